//! Telling others how a verb went: metrics for Prometheus, pings for whoever misses us when we fall silent.
//!
//! Nothing here changes how a verb ends: what cannot be told is a warning.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat_repo::store::web;

use crate::config::{Config, Ping};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, shown};
use crate::render::Outcome;

mod metrics;

/// A server that does not answer by then does not.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lost packet is no reason to wake somebody.
const ATTEMPTS: u32 = 2;
/// Verbs that look, or are asked by a person who sees the answer.
const UNTOLD: [&str; 14] = [
    "cat",
    "completions",
    "demo",
    "diff",
    "evidence",
    "explain",
    "find",
    "init",
    "keys",
    "ls",
    "manual",
    "serve",
    "snapshots",
    "stats",
];

/// Of those, what recurs by itself.
const TOLD: [&str; 1] = ["keys bundle"];

/// What is told of one verb.
pub(crate) struct Telling {
    verb: &'static str,
    config: Option<Config>,
    textfile: Option<PathBuf>,
    began: Instant,
}

impl Telling {
    /// Begins to tell of a verb. What would be done, and is not, is told to nobody.
    pub(crate) fn begin(context: &Context, verb: &'static str, dry_run: bool) -> Self {
        let looks = UNTOLD.contains(&verb.split(' ').next().unwrap_or(verb)) && !TOLD.contains(&verb);
        let mut telling = Self { verb, config: None, textfile: None, began: Instant::now() };
        if dry_run || (looks && context.metrics.is_none()) {
            return telling;
        }
        // A configuration that makes no sense is told of by the verb itself.
        let config = Config::load(&context.config_file(), &context.environment.overrides).ok();
        let configured =
            config.as_ref().and_then(|config| config.outlets.textfile.clone()).filter(|_| !looks);
        telling.textfile = context.metrics.clone().or(configured);
        telling.config = config.filter(|_| !looks);
        if let Some((ping, url)) = telling.ping()
            && let Some(start) = &ping.start
        {
            send(ping, &url, start);
        }
        telling
    }

    /// Tells how it ended, everything it did being confirmed by now.
    pub(crate) fn end(&self, context: &Context, ended: &Result<Outcome, Failure>) {
        let exit = match ended {
            Ok(outcome) => outcome.exit,
            Err(failure) => failure.exit,
        };
        if let Some(file) = &self.textfile {
            let facts = metrics::Facts {
                verb: self.verb,
                exit,
                now: context.now(),
                took: self.began.elapsed(),
                result: ended.as_ref().ok().map(|outcome| &outcome.value),
                components: self.config.as_ref().map(|config| config.components.as_slice()),
            };
            if let Err(error) = metrics::write(file, &facts) {
                tracing::warn!(file = shown(file), %error, "metrics cannot be written");
            }
        }
        if let Some((ping, url)) = self.ping() {
            ended_as(ping, &url, exit);
        }
    }

    fn ping(&self) -> Option<(&Ping, String)> {
        let ping = &self.config.as_ref()?.outlets.ping;
        let told = ping.verbs.iter().any(|verb| verb == self.verb);
        let url = ping.url.as_ref().filter(|_| told)?;
        Some((ping, url.replace(crate::config::VERB, self.verb)))
    }
}

/// What `serve` tells Prometheus: what a file of metrics holds, and how a look at every component went just now.
///
/// # Errors
/// The file is there and cannot be read.
#[cfg(feature = "recover")]
pub(crate) fn metrics_of_status(
    context: &Context,
    textfile: Option<&std::path::Path>,
    exit: Exit,
    result: Option<&serde_json::Value>,
) -> std::io::Result<String> {
    let config = Config::load(&context.config_file(), &context.environment.overrides).ok();
    let components = config.as_ref().map(|config| config.components.as_slice());
    let facts =
        metrics::Facts { verb: "status", exit, now: context.now(), took: Duration::ZERO, result, components };
    metrics::served(textfile, &facts)
}

/// Tells that the backup of a component begins, if it has a URL of its own.
pub(crate) fn component_begins(ping: &Ping, url: Option<&str>) {
    if let (Some(url), Some(start)) = (url, &ping.start) {
        send(ping, url, start);
    }
}

/// Tells how it ended.
pub(crate) fn component_ended(ping: &Ping, url: Option<&str>, exit: Exit) {
    if let Some(url) = url {
        ended_as(ping, url, exit);
    }
}

fn ended_as(ping: &Ping, url: &str, exit: Exit) {
    let code = exit.code().to_string();
    match (exit, &ping.failure) {
        (Exit::Ok, _) => send(ping, url, &ping.success.replace(crate::config::EXIT, &code)),
        (_, Some(failure)) => send(ping, url, &failure.replace(crate::config::EXIT, &code)),
        (_, None) => tracing::info!("nobody is pinged, since it did not end well"),
    }
}

fn send(ping: &Ping, url: &str, suffix: &str) {
    // A query stays behind what is appended.
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let mut whole = format!("{path}{suffix}");
    if let Some(query) = query {
        // Writing to a string cannot fail.
        let _ = write!(whole, "?{query}");
    }
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match web::get(&whole, ping.allowed, &ping.roots, PATIENCE) {
            Ok(200..=299) => return,
            Ok(status) => last = format!("it answered {status}"),
            Err(why) => last = why,
        }
    }
    // The path is often a key: the server is said, no more.
    let server = whole.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    tracing::warn!(server, why = last, "the ping did not arrive; whoever waits for it may raise an alarm");
}
