//! One file of a snapshot as a stream of bytes, without restoring anything.

use std::collections::BTreeSet;

use lifeboat_repo::format::manifest::{Entry, EntryKind, order};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::units::Bytes;
use serde::Serialize;

use crate::content::{self, Broken};
use crate::error::RestoreError;
use crate::report::Loss;
use crate::select::{Selection, single_path};
use crate::shares::{self, Entries, ManifestReader, OpenShare};

/// A file that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Given {
    /// Whose it is.
    pub tenant: Tenant,
    /// How many bytes, holes included.
    pub size: Bytes,
    /// Whether it kept changing while it was backed up, so that it may mix several states.
    pub changed: bool,
}

/// Gives the bytes of one file in order; holes are zeros. Only the segments it needs are fetched, and every chunk is
/// compared with its id before a byte of it is given.
///
/// Another name of a file gives that file. The tenants, if any, narrow where the path is looked for.
///
/// # Errors
/// There is no such file, a chunk of it cannot be had (what was given before is right), `take` failed, or somebody
/// asked to stop.
pub fn cat(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    tenants: &BTreeSet<Tenant>,
    path: &[u8],
    observer: &dyn Observer,
    take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<Given, RestoreError> {
    let path = single_path(path)?;
    let selection = Selection { tenants: tenants.clone(), ..Selection::default() };
    let shares = shares::open(recovery, snapshot, &selection, observer)?;
    let map = shares::segments(recovery, snapshot, &shares)?;
    let mut reader = ManifestReader::new(recovery, &map)?;
    observer.tell(Event::Phase("reading manifests"));
    let mut losses = shares.losses;
    let mut found = None;
    for one in &shares.open {
        match seek(&mut reader, one, path, observer) {
            Ok(Some(entry)) => {
                found = Some((one, entry));
                break;
            }
            Ok(None) => {}
            Err(Broken::Stopped(error)) => return Err(error),
            Err(Broken::Stored(error)) => {
                losses.push(shares::lost_share(one.share, Some(&one.key.tenant), &error));
            }
        }
    }
    let Some((one, entry)) = found else { return Err(absent(snapshot, path, &losses)) };
    let entry = file_of(&mut reader, one, entry, observer)?;
    observer.tell(Event::Planned { items: 1, bytes: entry.size });
    let mut given = Bytes::ZERO;
    let outcome = content::stream(&mut reader, one, &entry, observer, &mut |bytes| {
        take(bytes).map_err(|error| RestoreError::io(shown(path), "pass it on", error))?;
        given += Bytes::of(bytes);
        observer.tell(Event::Progress { items: 0, bytes: Bytes::of(bytes) });
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(Given { tenant: one.key.tenant.clone(), size: entry.size, changed: entry.tail.changed }),
        Err(Broken::Stopped(error)) => Err(error),
        Err(Broken::Stored(error)) => {
            let mut error = RestoreError::from(error);
            let (first, all) = (given, entry.size);
            error.what = format!(
                "{} of tenant {}: the first {first} of {all} were given, then {}",
                shown(path),
                one.key.tenant,
                error.what
            );
            Err(error)
        }
    }
}

/// The entry at a path of a share; reads no further than its place.
fn seek(
    reader: &mut ManifestReader<'_>,
    one: &OpenShare<'_>,
    path: &[u8],
    observer: &dyn Observer,
) -> Result<Option<Entry>, Broken> {
    let mut entries = Entries::new(one);
    while let Some(entry) = entries.next(reader).map_err(Broken::Stored)? {
        if observer.cancelled() {
            return Err(Broken::Stopped(RestoreError::cancelled()));
        }
        match order(&entry.path, path) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(entry)),
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// The entry that has the content.
fn file_of(
    reader: &mut ManifestReader<'_>,
    one: &OpenShare<'_>,
    entry: Entry,
    observer: &dyn Observer,
) -> Result<Entry, RestoreError> {
    let what = shown(&entry.path);
    let refused = |why: String| Err(RestoreError::refused(what.clone(), why));
    match entry.kind {
        EntryKind::File => Ok(entry),
        EntryKind::Hardlink => {
            let first = entry.tail.link.unwrap_or_default();
            match seek(reader, one, &first, observer) {
                Ok(Some(file)) if file.kind == EntryKind::File => Ok(file),
                Ok(Some(_)) => refused(format!(
                    "it is another name of {}, which is no file; name a file",
                    text::display(&first)
                )),
                Ok(None) => Err(RestoreError::damaged(
                    what,
                    format!("it is another name of {}, which is not there", text::display(&first)),
                )),
                Err(Broken::Stopped(error)) => Err(error),
                Err(Broken::Stored(error)) => Err(error.into()),
            }
        }
        EntryKind::Dir => refused("it is a directory; `lifeboat ls` shows what is in it".into()),
        EntryKind::Symlink => {
            let target = entry.tail.target.unwrap_or_default();
            refused(format!(
                "it is a symbolic link to {}; links are not followed, name what it leads to",
                text::display(&target)
            ))
        }
        EntryKind::Error => {
            let why = entry.tail.error.unwrap_or_default();
            refused(format!(
                "it could not be read when it was backed up ({}); look in another snapshot with `lifeboat find`",
                text::display(why.as_bytes())
            ))
        }
        kind => refused(format!("it is a {} and has no content; name a file", kind.as_str())),
    }
}

fn absent(snapshot: &Snapshot, path: &[u8], losses: &[Loss]) -> RestoreError {
    let what = format!("{} in snapshot {} of {}", shown(path), snapshot.run, snapshot.component);
    match losses.first() {
        None => RestoreError::refused(what, "there is no such path; `lifeboat find` searches all snapshots"),
        Some(loss) => RestoreError::damaged(
            what,
            format!(
                "it is not in what can be read, and {} shares of tenants cannot: {}; look in an earlier snapshot",
                losses.len(),
                loss.why
            ),
        ),
    }
}

fn shown(path: &[u8]) -> String {
    text::display(path).into_owned()
}
