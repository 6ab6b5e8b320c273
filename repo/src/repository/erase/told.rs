//! Tombstones in a replica: put there before anything of what they name is destroyed, so that nobody who reads the replica
//! meanwhile takes an erased key for a lost one.

use std::collections::HashSet;

use super::earlier::earlier;
use crate::crypto::sign::{self, Kind};
use crate::format::RECORD_MAX;
use crate::format::names::{self, Place, place as place_of};
use crate::format::records::Head;
use crate::ids::{Label, ObjectHash, ObjectName};
use crate::repository::erasures::{Act, Erasures};
use crate::repository::reseal::Acting;
use crate::repository::trust::Trust;
use crate::repository::{JudgedAt, Principal, RepositoryError};
use crate::store::{Created, Store};

/// Copies the effective tombstones that a place does not have yet, and of which its own trust, which may be behind the
/// repository's, knows who signed them. What it does not know, the next replication brings after trust.
///
/// Whether the place knows of all of them now.
///
/// # Errors
/// A store failed.
pub(super) fn tell(
    acting: &Acting<'_>,
    place: &dyn Store,
    erasures: &Erasures,
) -> Result<bool, RepositoryError> {
    let listed = |prefix: &str| -> Result<HashSet<ObjectName>, RepositoryError> {
        let objects = place.list(prefix).map_err(|error| RepositoryError::store(prefix, error))?;
        Ok(objects.into_iter().map(|object| object.name).collect())
    };
    let numbers = listed("trust/")?.into_iter().filter_map(|name| match place_of(&name) {
        Some(Place::Trust(seq)) => Some(seq),
        _ => None,
    });
    // Nobody can open a place without trust.
    let Some(newest) = numbers.max() else { return Ok(true) };
    let (store, ours) = (acting.repository.store(), acting.repository.trust());
    let trust = earlier(ours, store, newest)?;
    let quorum = (trust.header.quorum as usize).max(1);
    let there = listed("erasures/")?;
    let mut all = true;
    for act in erasures.acts().iter().filter(|act| act.effective) {
        let mut known = 0;
        for (officer, hash) in &act.officers {
            let name = names::erasure(act.body.seq, officer)?;
            // Under the same trust they were judged when they were read.
            let same = trust.head == ours.head;
            if same && there.contains(&name) {
                known += 1;
                continue;
            }
            let failed = |error| RepositoryError::store(name.as_str(), error);
            let tombstone = store.read(&name, RECORD_MAX).map_err(failed)?;
            if !same && !knows(&trust, &name, &tombstone, act, officer, *hash) {
                continue;
            }
            known += 1;
            if !there.contains(&name) {
                let (Created::New | Created::Exists) = place.create(&name, &tombstone).map_err(failed)?;
            }
        }
        all &= known >= quorum;
    }
    Ok(all)
}

/// Whether a trust takes a tombstone for its officer's, as whoever reads tombstones under it will.
fn knows(
    trust: &Trust,
    name: &ObjectName,
    bytes: &[u8],
    act: &Act,
    officer: &Label,
    hash: ObjectHash,
) -> bool {
    let named = trust.tombstones(officer).map(|known| known.contains(&Head(act.body.seq, hash)));
    let at = if named == Some(true) { JudgedAt::Any } else { JudgedAt::Moment(act.body.time) };
    let namespace = sign::namespace(Kind::Erasure, &trust.header.repository, name);
    let signer = sign::split_object(bytes)
        .ok()
        .and_then(|(block, body)| sign::verify(&block, body, &namespace).ok())
        .and_then(|key| trust.admit(&key, &namespace, at).ok());
    named != Some(false) && signer == Some(Principal::Officer(officer.clone()))
}
