//! Entries of the log of heartbeats that nobody needs any more. FORMAT.md §18.
//!
//! They say what a copy of a snapshot has lost. Of a time from which no snapshot is left there is no copy to ask about, and
//! they are read by nobody but whoever asks, so nothing is condemned before and nothing waited for.

use std::time::Duration;

use crate::format::names::{Place, place};
use crate::repository::{Repository, RepositoryError};
use crate::store::Listed;

/// Entries are kept for so long before the oldest snapshot: a copy holds records that were made before it, and the log tells
/// which of them are missing.
const BEFORE_OLDEST: Duration = Duration::from_secs(30 * 86_400);

/// Lists what is from so long before the oldest snapshot, oldest first. Whatever lies under a snapshot's name counts: one
/// that is expired and still there may be asked for, one that cannot be read may be healed. Without any, nothing is listed.
pub(super) fn list(repository: &Repository) -> Result<Vec<Listed>, RepositoryError> {
    let list =
        |prefix: &str| repository.store().list(prefix).map_err(|error| RepositoryError::store(prefix, error));
    // Snapshots last: one that is being put meanwhile is newer than any.
    let beats = list("heartbeats/")?;
    Ok(outdated(beats, &list("snapshots/")?))
}

/// Of these entries those that no snapshot needs.
fn outdated(beats: Vec<Listed>, snapshots: &[Listed]) -> Vec<Listed> {
    let runs = snapshots.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Snapshot(_, run)) => Some(run.moment()),
        _ => None,
    });
    let Some(oldest) = runs.min() else { return Vec::new() };
    let mut outdated: Vec<Listed> = beats
        .into_iter()
        .filter(|object| {
            matches!(place(&object.name), Some(Place::Heartbeat(_, id)) if id.moment().plus(BEFORE_OLDEST) < oldest)
        })
        .collect();
    outdated.sort_by(|a, b| a.name.cmp(&b.name));
    outdated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Bytes, Timestamp};

    fn listed(names: &[&str]) -> Vec<Listed> {
        let one = |name: &&str| Listed {
            name: name.parse().unwrap(),
            length: Bytes(100),
            modified: Timestamp::new(0, 0),
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn only_what_is_long_before_every_snapshot_goes() {
        let id = |day: &str| format!("{day}t120000000z-0123456789abcdef");
        let beat = |writer: &str, day: &str| format!("heartbeats/{writer}/{day}/{}", id(day));
        let beats =
            [beat("w1", "20260930"), beat("w1", "20261002"), beat("w2", "20200101"), beat("w2", "20261101")];
        let beats: Vec<&str> = beats.iter().map(String::as_str).collect();
        let snapshots = |days: &[&str]| {
            let names: Vec<String> = days.iter().map(|day| format!("snapshots/chats/{}", id(day))).collect();
            listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let gone = |days: &[&str]| -> Vec<String> {
            outdated(listed(&beats), &snapshots(days)).into_iter().map(|one| one.name.to_string()).collect()
        };
        assert_eq!(gone(&["20261101", "20261128"]), [beats[0], beats[2]]);
        assert_eq!(gone(&["20261128", "20200115"]), Vec::<String>::new(), "an old snapshot keeps them all");
        assert_eq!(gone(&[]), Vec::<String>::new(), "without a snapshot nobody knows");
    }
}
