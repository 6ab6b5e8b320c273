//! Objects that somebody hid, or put something over, in a store that keeps versions; and how that is undone.
//!
//! Whoever holds an agent's credentials may put. With a marker, or a second version, over an object it hides what it may
//! not delete. What was there first is there still, at least as long as it is locked.

use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::names::{Place, place};
use crate::format::{CATALOGED_STORED_MAX, PACK_MAX};
use crate::ids::{ObjectName, PackId};
use crate::repository::gc::Condemned;
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::store::versions::{Version, VersionId, Versioned};
use crate::units::{Bytes, Timestamp};

/// An object that is there and that readers do not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// Its name.
    pub name: ObjectName,
    /// What was done to it.
    pub how: Disturbance,
    /// When, by the store's clock.
    pub since: Timestamp,
    /// The version that counts: the oldest that is what its name and signature say. None where no version is.
    pub good: Option<VersionId>,
}

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// A marker hides it: for readers it is deleted.
    Hidden,
    /// Another version lies over it.
    Overlaid,
}

/// Everything that is hidden or overlaid and that should not be, by name; what trust is made of first. What gc records
/// condemn and expire may be gone, and is passed over. Where anything was ever erased, keys and cards are, too: the
/// eraser alone knows which of them must stay away.
///
/// # Errors
/// The store failed, or gc records are damaged.
pub fn disturbed(repository: &Repository) -> Result<Vec<Disturbed>, RepositoryError> {
    let store = repository.store();
    let failed = |error| RepositoryError::store("the versions", error);
    let versioned = store.versioned("").map_err(failed)?;
    if versioned.is_empty() {
        return Ok(Vec::new());
    }
    let condemned = Condemned::load(repository)?;
    let erased = !store.list("erasures/").map_err(failed)?.is_empty();
    let mut found = Vec::new();
    for one in versioned {
        let Some(place) = place(&one.name) else { continue };
        let excused = match &place {
            Place::Pack(pack) => condemned.pack(*pack),
            Place::Snapshot(..) => condemned.snapshot(&one.name),
            Place::Key(..) | Place::Card(..) => erased,
            _ => false,
        };
        if !excused {
            found.extend(look(repository, &one, &place)?);
        }
    }
    found.sort_by_key(|one| (one.name.parts().next() != Some("trust"), one.name.clone()));
    Ok(found)
}

/// Lets readers have the version that counts again.
///
/// # Errors
/// There is no such version, or the store failed or refused.
pub fn reinstate(repository: &Repository, one: &Disturbed) -> Result<(), RepositoryError> {
    let Some(good) = &one.good else {
        return Err(RepositoryError::damaged(one.name.as_str(), "none of its versions is what was written"));
    };
    let limit = limit_of(&one.name);
    let reinstated = repository.store().reinstate(&one.name, good, limit);
    reinstated.map_err(|error| RepositoryError::store(one.name.as_str(), error))
}

fn limit_of(name: &ObjectName) -> Bytes {
    if name.parts().next() == Some("packs") { PACK_MAX } else { CATALOGED_STORED_MAX }
}

fn look(
    repository: &Repository,
    versioned: &Versioned,
    place: &Place,
) -> Result<Option<Disturbed>, RepositoryError> {
    let name = &versioned.name;
    let Some(newest) = versioned.versions.last() else { return Ok(None) };
    let good = oldest_good(repository, versioned, place)?;
    let how = match &good {
        // Of a name that was never used well, a marker is all that is left.
        None if newest.is_marker() => return Ok(None),
        Some((version, _)) if version.id == newest.id => return Ok(None),
        Some((_, bytes)) if !newest.is_marker() => {
            let shown = read(repository, name, newest)?;
            if shown.is_some_and(|shown| shown == *bytes) {
                return Ok(None);
            }
            Disturbance::Overlaid
        }
        _ if newest.is_marker() => Disturbance::Hidden,
        _ => Disturbance::Overlaid,
    };
    let good = good.map(|(version, _)| version.id);
    Ok(Some(Disturbed { name: name.clone(), how, since: newest.modified, good }))
}

/// The oldest version that is what its name or its signature says, with its bytes.
fn oldest_good(
    repository: &Repository,
    versioned: &Versioned,
    place: &Place,
) -> Result<Option<(Version, Vec<u8>)>, RepositoryError> {
    let name = &versioned.name;
    for version in versioned.versions.iter().filter(|version| !version.is_marker()) {
        let Some(bytes) = read(repository, name, version)? else { continue };
        let whole = match place {
            Place::Pack(pack) => PackId::from_bytes(sha256(&bytes)) == *pack,
            Place::Hint => true,
            _ => repository.check_signed(name, bytes.clone(), Kind::ALL, JudgedAt::Any).is_ok(),
        };
        if whole {
            return Ok(Some((version.clone(), bytes)));
        }
    }
    Ok(None)
}

/// A version's bytes; none where it is longer than anything of ours, or went meanwhile.
fn read(
    repository: &Repository,
    name: &ObjectName,
    version: &Version,
) -> Result<Option<Vec<u8>>, RepositoryError> {
    let limit = limit_of(name);
    if version.length.is_none_or(|length| length > limit) {
        return Ok(None);
    }
    match repository.store().read_version(name, &version.id, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(RepositoryError::store(name.as_str(), error)),
    }
}
