//! What is in a snapshot, without restoring it.

use std::ops::ControlFlow;

use lifeboat_repo::format::manifest::Entry;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use serde::Serialize;

use crate::error::RestoreError;
use crate::report::Loss;
use crate::select::{Match, PathMatcher, Selection};
use crate::shares::{self, Ended, ManifestReader};

/// What a listing came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Entries shown.
    pub entries: u64,
    /// Shares, or ends of them, that could not be read.
    pub losses: Vec<Loss>,
}

/// Shows every selected entry of a snapshot: tenant by tenant, each in the order of its manifest.
/// `show` may end it early.
///
/// # Errors
/// What was asked for is not in the snapshot, the store failed, or somebody asked to stop.
pub fn list(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    observer: &dyn Observer,
    show: &mut dyn FnMut(&Tenant, &Entry) -> ControlFlow<()>,
) -> Result<Listing, RestoreError> {
    let mut matcher = PathMatcher::new(&selection.paths)?;
    let mut shares = shares::open(recovery, snapshot, selection, observer)?;
    let map = shares::segments(recovery, snapshot, &shares)?;
    for error in map.unreadable() {
        observer.tell(Event::Warning(format!("{error}; what only it knows cannot be listed")));
    }
    let mut reader = ManifestReader::new(recovery, &map)?;
    let mut listing = Listing { entries: 0, losses: std::mem::take(&mut shares.losses) };
    shares.open.sort_by(|a, b| a.key.tenant.cmp(&b.key.tenant));
    let mut enough = false;
    for one in &shares.open {
        let outcome = reader.read(one, &mut |entry| {
            if observer.cancelled() {
                return Err(RestoreError::cancelled());
            }
            if matcher.judge(&entry.path) == Match::Selected {
                listing.entries += 1;
                enough = show(&one.key.tenant, &entry).is_break();
            }
            if enough { Err(RestoreError::cancelled()) } else { Ok(()) }
        });
        match outcome {
            Ok(()) => {}
            Err(Ended::Stopped(_)) if enough => return Ok(listing),
            Err(Ended::Stopped(error)) => return Err(error),
            Err(Ended::Unreadable(error)) => {
                listing.losses.push(shares::lost_share(one.share, Some(&one.key.tenant), &error));
            }
        }
    }
    if listing.losses.is_empty() && !matcher.matched() {
        let named: Vec<_> = matcher.unmatched().iter().map(|path| text::display(path).into_owned()).collect();
        return Err(RestoreError::refused(
            format!("snapshot {} of {}", snapshot.run, snapshot.component),
            format!("it holds nothing at {}; `lifeboat find` searches all snapshots", named.join(", ")),
        ));
    }
    for path in matcher.unmatched() {
        observer.tell(Event::Warning(format!("the snapshot holds nothing at {}", text::display(&path))));
    }
    Ok(listing)
}
