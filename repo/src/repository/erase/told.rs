//! Tombstones in a replica: put there before anything of what they name is destroyed, so that nobody who reads the replica
//! meanwhile takes an erased key for a lost one.

use std::collections::HashSet;

use crate::format::RECORD_MAX;
use crate::format::names;
use crate::ids::ObjectName;
use crate::repository::RepositoryError;
use crate::repository::erasures::Erasures;
use crate::repository::reseal::Acting;
use crate::store::{Created, Store};

/// Copies the effective tombstones that a place does not have yet. Where its trust is behind the repository's it may not know
/// who signed them: then the next replication brings trust first, and them.
///
/// # Errors
/// A store failed.
pub(super) fn tell(
    acting: &Acting<'_>,
    place: &dyn Store,
    erasures: &Erasures,
) -> Result<(), RepositoryError> {
    let listed = |prefix: &str| -> Result<HashSet<ObjectName>, RepositoryError> {
        let objects = place.list(prefix).map_err(|error| RepositoryError::store(prefix, error))?;
        Ok(objects.into_iter().map(|object| object.name).collect())
    };
    if !listed("trust/")?.contains(&names::trust(acting.repository.trust().head.0)?) {
        return Ok(());
    }
    let there = listed("erasures/")?;
    for act in erasures.acts().iter().filter(|act| act.effective) {
        for officer in act.officers.keys() {
            let name = names::erasure(act.body.seq, officer)?;
            if there.contains(&name) {
                continue;
            }
            let failed = |error| RepositoryError::store(name.as_str(), error);
            let tombstone = acting.repository.store().read(&name, RECORD_MAX).map_err(failed)?;
            let (Created::New | Created::Exists) = place.create(&name, &tombstone).map_err(failed)?;
        }
    }
    Ok(())
}
