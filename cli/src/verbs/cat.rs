//! `cat`: one file of a snapshot on standard output.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::observe::Observer;
use lifeboat_restore::cat::Given;
use lifeboat_restore::{RestoreError, RestoreErrorKind};
use serde_json::json;

use crate::choosing::Which;
use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown};
use crate::keyfiles::in_the_way;
use crate::looking::{Asked, Look, look};
use crate::render::{Outcome, Tone};
use crate::survey::Identities;

/// Written at a time.
const BUFFER: usize = 256 << 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A component, or a snapshot of any; `latest` where there is but one component
    #[arg(value_name = "COMPONENT|SNAPSHOT|latest")]
    what: String,
    /// The file, relative to the component's root; as `ls` shows it, if its name is no plain text
    #[arg(value_name = "PATH")]
    path: OsString,
    /// Write to this new file instead of standard output; --json needs it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: Identities,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if context.json && args.output.is_none() {
        return Err(Failure::usage("the file's bytes and the JSON cannot both go to standard output")
            .at("--json")
            .next("give --output FILE"));
    }
    let asked = Asked { what: &args.what, which: &args.which, identities: &args.identities };
    look(context, asked, |look| {
        let chosen = look.chosen()?;
        let progress = context.progress("reading");
        let mut sink = Sink { to: args.output.as_deref(), out: None, hash: Sha256::new(), gone: false };
        let Some(given) = give(look, args, chosen.snapshot, &progress, &mut sink)? else {
            return Ok(Outcome { exit: Exit::Ok, value: json!({}), page: String::new() });
        };
        let sha256 = hex::encode(sink.finish()?);
        let mut page = context.page();
        if given.changed && args.output.is_some() {
            page.marked(
                "note",
                Tone::Warn,
                "it kept changing while it was backed up; it may mix several states",
            );
        }
        let value = json!({ "component": look.component, "region": look.region.name,
                            "run": chosen.listed.run, "tenant": given.tenant, "size": given.size,
                            "sha256": sha256, "changed": given.changed,
                            "output": args.output.as_deref().map(shown) });
        Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
    })
}

/// Gives the file of that name, or else the one whose name is shown like that; nothing where whoever read standard
/// output has seen enough.
fn give(
    look: &Look<'_>,
    args: &Args,
    snapshot: &Snapshot,
    progress: &dyn Observer,
    sink: &mut Sink<'_>,
) -> Result<Option<Given>> {
    if let Some(output) = args.output.as_deref().filter(|output| output.exists()) {
        return Err(in_the_way(output));
    }
    let tenants: BTreeSet<_> = args.which.tenants.iter().cloned().collect();
    let mut attempt = |path: &[u8]| {
        lifeboat_restore::cat(look.recovery, snapshot, &tenants, path, progress, &mut |bytes| {
            sink.write(bytes)
        })
    };
    let path = args.path.as_bytes();
    let outcome = match attempt(path) {
        Err(RestoreError { kind: RestoreErrorKind::Refused(why), what, .. }) => {
            let spelled = args.path.to_str().and_then(text::unescape).filter(|spelled| spelled != path);
            match spelled {
                Some(spelled) => attempt(&spelled),
                None => Err(RestoreError { what, kind: RestoreErrorKind::Refused(why), so_far: None }),
            }
        }
        outcome => outcome,
    };
    match outcome {
        Err(_) if sink.gone => Ok(None),
        outcome => outcome.map(Some).map_err(|error| restore_failure(error).at(look.place())),
    }
}

/// Where the bytes go. A file is made when the first of them come, so that nothing is left of a path that is not
/// there.
struct Sink<'a> {
    to: Option<&'a Path>,
    out: Option<BufWriter<Box<dyn Write>>>,
    hash: Sha256,
    gone: bool,
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        let outcome = self.out()?.write_all(bytes);
        self.gone = is_gone(&outcome);
        outcome
    }

    fn out(&mut self) -> io::Result<&mut BufWriter<Box<dyn Write>>> {
        let out: BufWriter<Box<dyn Write>> = match self.out.take() {
            Some(out) => out,
            None => {
                let out: Box<dyn Write> = match self.to {
                    // It is a customer's.
                    Some(path) => {
                        Box::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?)
                    }
                    None => Box::new(io::stdout()),
                };
                BufWriter::with_capacity(BUFFER, out)
            }
        };
        Ok(self.out.insert(out))
    }

    /// Everything is written; the SHA-256 of it.
    fn finish(mut self) -> Result<[u8; 32]> {
        let flushed = self.out().and_then(Write::flush);
        match flushed {
            Err(error) if !self.gone && error.kind() != io::ErrorKind::BrokenPipe => {
                let place = self.to.map_or_else(|| "standard output".to_owned(), shown);
                Err(Failure::failed(format!("cannot write the file's content: {error}"))
                    .code(Code::Output)
                    .at(place)
                    .next(Code::Output.next()))
            }
            _ => Ok(self.hash.finish()),
        }
    }
}

fn is_gone(outcome: &io::Result<()>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
