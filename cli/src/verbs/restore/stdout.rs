//! `restore --stdout`: the one stream of a component that a command yields.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_restore::{RestoreError, RestoreErrorKind, Selection};
use serde_json::json;

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure};
use crate::render::Outcome;

/// Written at a time.
const BUFFER: usize = 256 << 10;

/// Writes the stream. Every chunk is compared with its id before a byte of it is written, so what was written when it
/// fails is right; the exit code says that it is not all.
///
/// # Errors
/// The snapshot holds no single stream, a chunk of it cannot be had, or standard output cannot be written.
pub(super) fn run(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let path = stream_of(recovery, snapshot, selection, observer)?;
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout());
    let mut failed = None;
    let outcome =
        lifeboat_restore::cat(recovery, snapshot, &selection.tenants, &path, observer, &mut |bytes| {
            out.write_all(bytes).inspect_err(|error| failed = Some(error.kind()))
        });
    // What is right of it goes out even where the rest cannot be had.
    let flushed = out.flush();
    match (outcome, failed) {
        (Err(_), Some(kind)) => Err(unwritten(&kind.into())),
        (Err(error), None) => Err(restore_failure(error)),
        (Ok(_), _) => flushed.map_err(|error| unwritten(&error)).map(|()| Outcome {
            exit: Exit::Ok,
            value: json!({}),
            page: String::new(),
        }),
    }
}

/// The path of the only file of the snapshot.
fn stream_of(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    observer: &dyn Observer,
) -> Result<Vec<u8>> {
    let refused = |why: String| {
        restore_failure(RestoreError {
            what: format!("snapshot {} of {}", snapshot.run, snapshot.component),
            kind: RestoreErrorKind::Refused(why),
            so_far: None,
        })
    };
    let mut files = Vec::new();
    let listing = lifeboat_restore::list(recovery, snapshot, selection, observer, &mut |_, entry| {
        if entry.kind == EntryKind::File {
            files.push(entry.path.clone());
        }
        if files.len() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(restore_failure)?;
    if let Some(loss) = listing.losses.first() {
        return Err(Failure::new(Exit::Damaged, "what the snapshot holds cannot be read in full")
            .at(text::display(loss.why.as_bytes()).into_owned())
            .next("try an earlier snapshot: `lifeboat snapshots`"));
    }
    match files.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(refused("it holds no stream; `lifeboat ls` shows what it holds".into())),
        _ => Err(refused(
            "it holds several files, not one stream; restore it to --target DIR, or take one file with `lifeboat cat`"
                .into(),
        )),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write the stream: {error}"))
        .code(Code::Output)
        .at("standard output")
        .next(Code::Output.next())
}
