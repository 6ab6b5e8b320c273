//! `serve`: the readiness page and metrics over HTTP, for this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::log::LogFormat;
use crate::render::{self, Outcome};
use crate::survey::Asked;
use crate::telling;
use crate::verbs::status::{self, html};
use crate::when::parse_duration;
use wire::{Answer, Request};

mod wire;

/// How often it looks whether somebody connected or asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// So many are served at once: a person, a collector, and room for those who connect and say nothing.
const AT_ONCE: usize = 32;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    from: html::Where,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9417")]
    listen: String,
    /// Listen elsewhere than on loopback: whoever gets there reads everything
    #[arg(long)]
    beyond_loopback: bool,
    /// Names besides its address that it answers to: that of a proxy in front
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// How old what it shows may be before it looks into the repositories again
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    fresh: Duration,
    /// Serve what is in this file of metrics, too [default: textfile of lifeboat.toml]
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,
}

/// What was seen last, and when.
struct Seen {
    at: Instant,
    status: std::result::Result<Outcome, Failure>,
}

struct Served<'a> {
    context: &'a Context,
    args: &'a Args,
    address: SocketAddr,
    textfile: Option<PathBuf>,
    seen: Mutex<Option<Arc<Seen>>>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let listener = listen(args)?;
    let address =
        listener.local_addr().map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
    let textfile = args.textfile.clone().or(config.outlets.textfile);
    announce(context, address);
    let served = Served { context, args, address, textfile, seen: Mutex::new(None) };
    let busy = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        while !context.cancelled.load(Ordering::Relaxed) {
            match listener.accept() {
                // One too many is hung up on, and may come again.
                Ok((stream, _)) if busy.load(Ordering::Relaxed) < AT_ONCE => {
                    let (served, busy) = (&served, &busy);
                    busy.fetch_add(1, Ordering::Relaxed);
                    scope.spawn(move || {
                        wire::serve(stream, |request| served.answer(request));
                        busy.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                Ok(_) => {}
                // Nobody is there yet, or whoever was is gone again.
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    });
    Ok(Outcome { exit: Exit::Ok, value: json!({ "address": address.to_string() }), page: String::new() })
}

fn listen(args: &Args) -> Result<TcpListener> {
    let mut addresses = args.listen.to_socket_addrs().map_err(|error| {
        Failure::usage(format!("no address to listen on: {error}")).at(tame(&args.listen))
    })?;
    let Some(address) = addresses.next() else {
        return Err(Failure::usage("no address to listen on").at(tame(&args.listen)));
    };
    if !address.ip().is_loopback() && !args.beyond_loopback {
        return Err(Failure::usage(format!(
            "{address} is not loopback: others could read how ready you are"
        ))
        .code(Code::NotLoopback)
        .at("--listen")
        .next(Code::NotLoopback.next()));
    }
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let (what, next) = match error.kind() {
            ErrorKind::AddrInUse => (
                "another program listens there already, perhaps another `lifeboat serve`".to_owned(),
                "end that one, or say another port: --listen 127.0.0.1:9418",
            ),
            ErrorKind::AddrNotAvailable => {
                (error.to_string(), "name an address of this machine, such as 127.0.0.1")
            }
            ErrorKind::PermissionDenied => {
                (error.to_string(), "ports below 1024 are the system's: say another, such as 9417")
            }
            _ => (error.to_string(), "say another address or port: --listen 127.0.0.1:9418"),
        };
        Failure::failed(format!("cannot listen on {address}: {what}"))
            .code(Code::Machine)
            .at("--listen")
            .next(next)
    })
}

fn announce(context: &Context, address: SocketAddr) {
    tracing::info!(%address, "serving");
    if !context.quiet && context.log.format == LogFormat::Text {
        render::to_stderr(&format!("http://{address}/ shows how ready you are; Ctrl-C ends it\n"));
    }
}

impl Served<'_> {
    fn answer(&self, request: &Request) -> Answer {
        if !self.is_meant(request) {
            return Answer::text(403, "this server does not answer to that name; see --host\n");
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "HEAD", "/") => self.page(),
            ("GET" | "HEAD", "/metrics") => self.metrics(),
            // That it answers is all there is to it: how ready things are is for the page to say.
            ("GET" | "HEAD", "/healthz") => Answer::text(200, "ok\n"),
            ("GET" | "HEAD", _) => Answer::text(404, "there are /, /metrics and /healthz\n"),
            _ => Answer::text(405, "only GET and HEAD\n"),
        }
    }

    /// A page from elsewhere may have this browser ask us under a name of its own, and read the answer.
    fn is_meant(&self, request: &Request) -> bool {
        let Some(host) = &request.host else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
            _ => host.as_str(),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_own = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == self.address.ip());
        is_own
            || bare.eq_ignore_ascii_case("localhost")
            || self.args.hosts.iter().any(|own| own.eq_ignore_ascii_case(bare))
    }

    /// What was seen of the repositories, if not too long ago; else what is there now.
    fn look(&self) -> Arc<Seen> {
        // Others wait: one look serves them all.
        let mut slot = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref().filter(|seen| seen.at.elapsed() < self.args.fresh) {
            Some(seen) => Arc::clone(seen),
            None => {
                let seen =
                    Seen { at: Instant::now(), status: status::look_at(self.context, &self.args.asked) };
                Arc::clone(slot.insert(Arc::new(seen)))
            }
        }
    }

    fn page(&self) -> Answer {
        let seen = self.look();
        match &seen.status {
            Ok(outcome) => Answer::html(html::judge(self.context, outcome, &self.args.from).0.page()),
            Err(failure) => Answer::text(503, &format!("could not look: {}\n", failure.coded())),
        }
    }

    fn metrics(&self) -> Answer {
        let seen = self.look();
        let (exit, result): (Exit, Option<&Value>) = match &seen.status {
            Ok(outcome) => (outcome.exit, Some(&outcome.value)),
            Err(failure) => (failure.exit, None),
        };
        let text = telling::metrics_of_status(self.context, self.textfile.as_deref(), exit, result);
        match text {
            Ok(text) => Answer { status: 200, kind: METRICS, body: text.into_bytes() },
            Err(error) => Answer::text(503, &format!("the file of metrics cannot be read: {error}\n")),
        }
    }
}

/// What Prometheus reads in both of its forms.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
