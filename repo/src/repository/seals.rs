//! The seals: which is the newest, and whether an officer of today signed it. FORMAT.md §5.

use crate::clock::Clock;
use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::RECORD_MAX;
use crate::format::names::{self, Place, SealFor, Seq, place};
use crate::format::records::Recorded;
use crate::ids::{ObjectHash, ObjectName};
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};
use crate::units::Bytes;

/// The body of the newest seal object, signed by somebody who is an officer now.
pub(crate) fn newest_seal(
    repository: &Repository,
    which: SealFor,
    clock: &dyn Clock,
) -> Result<(ObjectName, Vec<u8>), RepositoryError> {
    let newest = newest_of(repository, which)?.ok_or_else(|| {
        RepositoryError::damaged("seals/", "there is none; without it no key can be opened")
    })?;
    read_seal(repository, newest, which, clock)
}

/// The body of one seal object, signed by somebody who is an officer now.
pub(crate) fn read_seal(
    repository: &Repository,
    seq: Seq,
    which: SealFor,
    clock: &dyn Clock,
) -> Result<(ObjectName, Vec<u8>), RepositoryError> {
    let name = names::seal(seq, which)?;
    let signed = repository.read_signed(&name, &[Kind::Seal], JudgedAt::Moment(clock.now()), RECORD_MAX)?;
    match signed.principal {
        Principal::Officer(_) => Ok((name, signed.body)),
        _ => Err(RepositoryError::damaged(name.as_str(), "no officer signed it")),
    }
}

/// The newest officers' seal and the newest writers' seal as they are stored, for a checkpoint. Whether they are good
/// is not judged here: whoever opens one judges it.
pub(crate) fn newest_stored(repository: &Repository) -> Result<Vec<Recorded>, RepositoryError> {
    let mut stored = Vec::new();
    for which in [SealFor::Officers, SealFor::Writers] {
        let Some(seq) = newest_of(repository, which)? else { continue };
        let name = names::seal(seq, which)?;
        let object = repository
            .store()
            .read(&name, RECORD_MAX)
            .map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let hash = ObjectHash::from_bytes(sha256(&object));
        stored.push(Recorded(name, hash, Bytes::of(&object)));
    }
    Ok(stored)
}

/// The highest number of a seal that trust has not given up.
pub(crate) fn newest_of(repository: &Repository, which: SealFor) -> Result<Option<Seq>, RepositoryError> {
    let listed =
        repository.store().list("seals/").map_err(|error| RepositoryError::store("seals/", error))?;
    let numbers = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Seal(seq, found)) if found == which => Some(seq),
        _ => None,
    });
    let from = repository.trust().header.seals_from;
    Ok(numbers.filter(|seq| *seq >= from).max())
}
