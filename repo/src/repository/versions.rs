//! Objects that somebody hid, or put something over, in a store that keeps versions; and how that is undone.
//!
//! Whoever holds an agent's credentials may put. With a marker, or a second version, over an object it hides what it may
//! not delete. What was there first is there still, at least as long as it is locked.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::crypto::hash::sha256;
use crate::crypto::sign::{Kind, VerifyingKey};
use crate::format::names::{Place, place};
use crate::format::{CATALOGED_STORED_MAX, PACK_MAX, RECORD_MAX};
use crate::ids::{ObjectName, PackId};
use crate::repository::gc::Condemned;
use crate::repository::trust::Trust;
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::store::Store;
use crate::store::given::Given;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Disturbance {
    /// A marker hides it: for readers it is deleted.
    Hidden,
    /// Another version lies over it.
    Overlaid,
}

/// Everything that is hidden or overlaid and that should not be, by name. What gc records condemn and expire, what officers
/// erased and which seals they gave up may be gone, and is passed over.
///
/// Trust, tombstones and gc records go before all else: as long as any of them is hidden or overlaid, only they are told,
/// for nobody can say yet what may be gone.
///
/// # Errors
/// The store failed or refused, or gc records are damaged.
pub fn disturbed(repository: &Repository) -> Result<Vec<Disturbed>, RepositoryError> {
    let versioned = repository.store().versioned("");
    let versioned = versioned.map_err(|error| RepositoryError::store("the versions", error))?;
    let (first, rest): (Vec<_>, Vec<_>) = versioned
        .into_iter()
        .filter_map(|one| place(&one.name).map(|place| (one, place)))
        .partition(|(_, place)| matches!(place, Place::Trust(_) | Place::Erasure(..) | Place::Gc(_)));
    let mut found = Vec::new();
    for (one, place) in &first {
        found.extend(look(repository, one, place)?);
    }
    if !found.is_empty() || rest.is_empty() {
        let rank = |name: &ObjectName| name.parts().next() != Some("trust");
        found.sort_by(|a, b| (rank(&a.name), &a.name).cmp(&(rank(&b.name), &b.name)));
        return Ok(found);
    }
    let condemned = Condemned::load(repository)?;
    for (one, place) in &rest {
        if !may_be_gone(repository, &condemned, &one.name, place) {
            found.extend(look(repository, one, place)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn may_be_gone(repository: &Repository, condemned: &Condemned, name: &ObjectName, place: &Place) -> bool {
    match place {
        Place::Pack(pack) => condemned.pack(*pack),
        Place::Snapshot(..) => condemned.snapshot(name),
        Place::Index(..) => condemned.index(name),
        // What is erased never comes back, whatever versions of it are left.
        Place::Key(_, _, key) | Place::Card(_, key) => condemned.erasures().key(*key),
        Place::Seal(seq, _) => *seq < repository.trust().header.seals_from,
        // A state says nothing that the rest does not say, and the last alone is of use.
        Place::State(..) => true,
        _ => false,
    }
}

/// Trust as it was put first, where anything below `trust/` is hidden or overlaid now; nothing where nothing is.
///
/// # Errors
/// The store failed or refused, or even the first versions make no chain that a pinned officer begins.
pub fn first_trust(store: &dyn Store, pins: &[VerifyingKey]) -> Result<Option<Trust>, RepositoryError> {
    let failed = |error| RepositoryError::store("trust/", error);
    let versioned = store.versioned("trust/").map_err(failed)?;
    if versioned.is_empty() {
        return Ok(None);
    }
    let mut objects = BTreeMap::new();
    for object in store.list("trust/").map_err(failed)? {
        if versioned.iter().all(|one| one.name != object.name) {
            objects.insert(object.name.clone(), store.read(&object.name, RECORD_MAX).map_err(failed)?);
        }
    }
    for one in versioned {
        let first = one.versions.iter().find(|version| !version.is_marker());
        if let Some(version) = first
            && version.length.is_some_and(|length| length <= RECORD_MAX)
        {
            let bytes = store.read_version(&one.name, &version.id, RECORD_MAX).map_err(failed)?;
            objects.insert(one.name, bytes);
        }
    }
    let moment = store.now().map_err(failed)?;
    let first = Given::new(format!("first versions in {}", store.location()), objects, moment);
    Trust::load(&first, pins).map(Some)
}

impl Disturbed {
    /// What is the matter with it, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let since = self.since.rfc3339();
        match (self.how, &self.good) {
            (Disturbance::Hidden, Some(_)) => {
                format!(
                    "a marker put at {since} hides it; what it hides is whole, and `lifeboat repair` brings it back"
                )
            }
            (Disturbance::Overlaid, Some(_)) => format!(
                "another version put at {since} lies over it; the first is whole, and `lifeboat repair` brings it back"
            ),
            (Disturbance::Hidden, None) => {
                format!("a marker put at {since} hides it, and none of its versions is what was written")
            }
            (Disturbance::Overlaid, None) => {
                format!("it has several versions, the newest of {since}, and none is what was written")
            }
        }
    }
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

/// What became of an object that was hidden or overlaid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reinstated {
    /// Its name.
    pub object: ObjectName,
    /// What was done to it.
    pub how: Disturbance,
    /// When, by the store's clock.
    pub since: Timestamp,
    /// Why readers do not get what was written; nothing where they do again, or would.
    pub left: Option<String>,
}

/// Lets readers have everything again that was hidden or overlaid; with `dry_run` says what could be. Once trust, tombstones
/// and gc records are back, it looks again at what else may not be gone.
///
/// # Errors
/// As [`disturbed`]. What the store refuses for one object is said of that object.
pub fn reinstate_all(repository: &Repository, dry_run: bool) -> Result<Vec<Reinstated>, RepositoryError> {
    let mut here = repository.clone();
    let mut done: BTreeMap<ObjectName, Reinstated> = BTreeMap::new();
    loop {
        let found = disturbed(&here)?;
        let fresh: Vec<_> = found.into_iter().filter(|one| !done.contains_key(&one.name)).collect();
        if fresh.is_empty() {
            return Ok(done.into_values().collect());
        }
        for one in fresh {
            let outcome = match (&one.good, dry_run) {
                (Some(_), true) => Ok(()),
                _ => reinstate(&here, &one),
            };
            let left = outcome.err().map(|error| error.kind.to_string());
            let Disturbed { name: object, how, since, .. } = one;
            done.insert(object.clone(), Reinstated { object, how, since, left });
        }
        if !dry_run {
            here = here.renewed()?;
        }
    }
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
