//! The end of a sealing anew in a replica. FORMAT.md §5.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Acting;
use super::finish::{destroy_in, list, needed_keys};
use crate::format::names::{Place, place};
use crate::ids::{KeyId, Label, ObjectName};
use crate::repository::recover::Recovery;
use crate::repository::{Repository, RepositoryError};
use crate::store::Store;

/// What [`finish_replica`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InReplica {
    /// It destroyed as many objects.
    Destroyed(usize),
    /// Nothing: the replica lacks what has come since, and must be brought up to date first.
    Behind,
    /// Nothing: snapshots need these keys, and the replica has them below a seal that would go, but not below the living one.
    Held(Vec<(Label, KeyId)>),
}

/// Destroys in a replica what `finish` destroyed in the repository.
///
/// # Errors
/// A seal is condemned still, the identities do not open the repository, or a store failed.
pub fn finish_replica(acting: &Acting<'_>, replica: Arc<dyn Store>) -> Result<InReplica, RepositoryError> {
    let recovery = acting.open()?;
    let seal = recovery.officers_seal();
    if seal.next.is_some() || !seal.older.is_empty() {
        return Ok(InReplica::Destroyed(0));
    }
    let replica = acting.repository.replica_over(replica);
    let store = replica.store();
    let listed = |store: &dyn Store, prefix: &str| {
        let names = store.list(prefix).map_err(|error| RepositoryError::store(prefix, error))?;
        Ok::<HashSet<ObjectName>, RepositoryError>(names.into_iter().map(|object| object.name).collect())
    };
    let living = format!("keys/{}/", seal.seal.id);
    for prefix in ["trust/", "seals/", &living] {
        let there = listed(store, prefix)?;
        if !listed(acting.repository.store(), prefix)?.is_subset(&there) {
            return Ok(InReplica::Behind);
        }
    }
    let gone = |name: &ObjectName| match place(name) {
        Some(Place::Key(id, ..)) => id != seal.seal.id,
        Some(Place::Seal(seq, _)) => seq < seal.seq,
        _ => false,
    };
    let mut names: Vec<ObjectName> = Vec::new();
    for prefix in ["keys/", "seals/"] {
        names.extend(listed(store, prefix)?.into_iter().filter(|name| gone(name)));
    }
    names.sort();
    let held = only_in(&recovery, &replica, &names)?;
    if !held.is_empty() {
        return Ok(InReplica::Held(held));
    }
    destroy_in(store, acting, &names).map(InReplica::Destroyed)
}

/// Keys that snapshots need, here or in the replica, and that the replica has under one of these names, but not below the
/// living seal: the repository never had them there, so nothing else is left of them.
fn only_in(
    recovery: &Recovery<'_>,
    replica: &Repository,
    names: &[ObjectName],
) -> Result<Vec<(Label, KeyId)>, RepositoryError> {
    let slot = |name: &ObjectName| match place(name) {
        Some(Place::Key(_, writer, key)) if !recovery.erasures().key(key) => Some((writer, key)),
        _ => None,
    };
    let living = format!("keys/{}/", recovery.officers_seal().seal.id);
    let living: HashSet<(Label, KeyId)> =
        list(replica, &living)?.iter().filter_map(|object| slot(&object.name)).collect();
    let only: BTreeSet<(Label, KeyId)> =
        names.iter().filter_map(slot).filter(|slot| !living.contains(slot)).collect();
    if only.is_empty() {
        return Ok(Vec::new());
    }
    let mut needed = needed_keys(recovery.repository(), recovery.catalog())?;
    needed.extend(needed_keys(replica, recovery.catalog())?);
    Ok(only.intersection(&needed).cloned().collect())
}
