//! Bundles of seals and keys, so that whoever deletes keys does not destroy the backups. FORMAT.md §15.
//!
//! Put daily by somebody who can open none of what is in them: a maintainer's signing key is enough. A bundle is locked
//! for 14 days where the store has locks, and deleted after that: what was erased is then beyond recovery.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::crypto::sign::{Kind, SigningKey};
use crate::format::names::{self, Day, Place, SEQ_MAX, Seq, place};
use crate::format::{CATALOGED_STORED_MAX, RECORD_MAX, tar};
use crate::ids::ObjectName;
use crate::repository::erase::is_erased;
use crate::repository::erasures::Erasures;
use crate::repository::signed::sign_object;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError, RepositoryErrorKind};
use crate::store::{Created, Listed, StoreErrorKind};
use crate::units::{Bytes, Timestamp};

/// How long a bundle is locked, and then deleted. Within the 30 days that an erasure may take, with time to spare.
pub const BUNDLE_LOCK: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// A bundle older than this is not fresh: one is put every day.
pub const BUNDLE_FRESH: Duration = Duration::from_secs(36 * 60 * 60);

/// A bundle that was put, or would be.
#[derive(Clone, Debug)]
pub struct Bundled {
    /// Its name; none where nothing was put.
    pub name: Option<ObjectName>,
    /// How many seals and keys are in it.
    pub objects: u64,
    /// Its length.
    pub length: Bytes,
    /// Until when it is locked; none where the store has no locks.
    pub locked: Option<Timestamp>,
    /// Bundles whose time is over, which are deleted.
    pub over: Vec<ObjectName>,
    /// Seals and keys that are damaged and therefore not in it, and bundles that could not be deleted.
    pub problems: Vec<String>,
}

/// Puts a bundle of every seal and key that there is, and deletes those whose time is over. With `dry_run` only says so.
///
/// # Errors
/// The key is no maintainer's, there are more keys than a bundle may hold, or the store failed.
pub fn put(
    repository: &Repository,
    signing: &SigningKey,
    clock: &dyn Clock,
    dry_run: bool,
) -> Result<Bundled, RepositoryError> {
    let store = repository.store();
    let now = clock.now();
    let day = Day::of(now);
    let first = names::bundle(day, Seq(0))?;
    match repository.judge(&signing.public(), Kind::Bundle, &first, JudgedAt::Moment(now)) {
        Ok(Principal::Maintainer(_)) => {}
        Ok(_) | Err(RepositoryError { kind: RepositoryErrorKind::Untrusted(_), .. }) => {
            return Err(RepositoryError::refused(
                format!("maintainer {}", signing.public().fingerprint()),
                "it is no maintainer of this repository; an officer enrols it with `lifeboat keys maintainer add`",
            ));
        }
        Err(error) => return Err(error),
    }
    let mut problems = Vec::new();
    let erasures = Erasures::load(repository)?;
    let (archive, objects) = pack(repository, &erasures, &mut problems)?;
    let mut bundled = Bundled {
        name: None,
        objects,
        length: Bytes::of(&archive),
        locked: None,
        over: over(repository)?,
        problems,
    };
    if dry_run {
        return Ok(bundled);
    }
    let name = create(repository, signing, day, &archive)?;
    let until = store.now().map_err(|error| RepositoryError::store(name.as_str(), error))?.plus(BUNDLE_LOCK);
    match store.lock(&name, until) {
        Ok(()) => bundled.locked = Some(until),
        Err(error) if matches!(error.kind, StoreErrorKind::Unsupported(_)) => {}
        Err(error) => return Err(RepositoryError::store(name.as_str(), error)),
    }
    bundled.name = Some(name);
    // Only once the new one is there and locked.
    for name in &bundled.over {
        if let Err(error) = store.delete(name) {
            bundled
                .problems
                .push(format!("{name} is older than it may be, and could not be deleted: {error}"));
        }
    }
    Ok(bundled)
}

/// Every bundle, oldest first.
///
/// # Errors
/// The store failed.
pub fn list(repository: &Repository) -> Result<Vec<Listed>, RepositoryError> {
    let listed =
        repository.store().list("bundles/").map_err(|error| RepositoryError::store("bundles/", error))?;
    Ok(listed.into_iter().filter(|object| matches!(place(&object.name), Some(Place::Bundle(..)))).collect())
}

/// What is in a bundle, by name. What an object's own signature says is not judged here.
///
/// # Errors
/// It is missing, damaged or not a maintainer's, or the store failed.
pub fn read(
    repository: &Repository,
    name: &ObjectName,
) -> Result<BTreeMap<ObjectName, Vec<u8>>, RepositoryError> {
    let signed = repository.read_signed(name, &[Kind::Bundle], JudgedAt::Any, CATALOGED_STORED_MAX)?;
    if !matches!(signed.principal, Principal::Maintainer(_)) {
        return Err(RepositoryError::damaged(name.as_str(), "no maintainer signed it"));
    }
    let files = tar::files(&signed.body).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    let mut held = BTreeMap::new();
    for (file, content) in files {
        let file: ObjectName = file.parse()?;
        if kind_of(&file).is_none() {
            return Err(RepositoryError::damaged(
                name.as_str(),
                format!("it holds {file}, which is no seal or key"),
            ));
        }
        held.insert(file, content.to_vec());
    }
    Ok(held)
}

/// A seal or key from the newest bundle that has it whole: signed under its own name by somebody who may.
///
/// # Errors
/// The store failed. Bundles that are damaged are passed over.
pub fn find(repository: &Repository, wanted: &ObjectName) -> Result<Option<Vec<u8>>, RepositoryError> {
    let Some(kind) = kind_of(wanted) else { return Ok(None) };
    for bundle in list(repository)?.into_iter().rev() {
        match read(repository, &bundle.name) {
            Ok(mut held) => {
                let Some(bytes) = held.remove(wanted) else { continue };
                if repository.check_signed(wanted, bytes.clone(), &[kind], JudgedAt::Any).is_ok() {
                    return Ok(Some(bytes));
                }
            }
            Err(error) if error.is_damage() => tracing::warn!(%error, "passed over"),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn kind_of(name: &ObjectName) -> Option<Kind> {
    match place(name) {
        Some(Place::Seal(..)) => Some(Kind::Seal),
        Some(Place::Key(..)) => Some(Kind::Key),
        _ => None,
    }
}

/// Every seal and key whose signature holds. Of what is erased there is a grave, or a key that is to go: neither is kept.
fn pack(
    repository: &Repository,
    erasures: &Erasures,
    problems: &mut Vec<String>,
) -> Result<(Vec<u8>, u64), RepositoryError> {
    let store = repository.store();
    let (mut archive, mut objects) = (Vec::new(), 0);
    for area in ["seals/", "keys/"] {
        for object in store.list(area).map_err(|error| RepositoryError::store(area, error))? {
            let Some(kind) = kind_of(&object.name).filter(|_| !is_erased(erasures, &object.name)) else {
                continue;
            };
            let name = &object.name;
            let whole = store
                .read(name, RECORD_MAX)
                .map_err(|error| RepositoryError::store(name.as_str(), error))
                .and_then(|bytes| {
                    repository.check_signed(name, bytes.clone(), &[kind], JudgedAt::Any).map(|_| bytes)
                });
            match whole {
                Ok(bytes) => {
                    tar::append(&mut archive, name.as_str(), &bytes)
                        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
                    objects += 1;
                }
                // Sealed anew or erased between listing and reading.
                Err(error) if error.is_missing() => {}
                Err(error) if error.is_damage() => problems.push(error.to_string()),
                Err(error) => return Err(error),
            }
            if Bytes::of(&archive) > CATALOGED_STORED_MAX {
                return Err(RepositoryError::refused(
                    "keys/",
                    format!(
                        "there are more than a bundle may hold ({CATALOGED_STORED_MAX}); use a second repository"
                    ),
                ));
            }
        }
    }
    tar::finish(&mut archive);
    Ok((archive, objects))
}

/// Puts a bundle under the next free number of the day.
fn create(
    repository: &Repository,
    signing: &SigningKey,
    day: Day,
    archive: &[u8],
) -> Result<ObjectName, RepositoryError> {
    let taken = list(repository)?;
    let numbers = taken.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Bundle(of, seq)) if of == day => Some(seq),
        _ => None,
    });
    let mut seq = numbers.max().map_or(Seq(0), Seq::next);
    while seq.0 <= SEQ_MAX {
        let name = names::bundle(day, seq)?;
        let object = sign_object(signing, Kind::Bundle, &repository.id(), &name, archive)?;
        let created = repository.store().create(&name, &object);
        if created.map_err(|error| RepositoryError::store(name.as_str(), error))? == Created::New {
            return Ok(name);
        }
        seq = seq.next();
    }
    Err(RepositoryError::refused("bundles/", "all numbers of the day are taken"))
}

/// Bundles older than their lock, by the store's clock; never the newest.
fn over(repository: &Repository) -> Result<Vec<ObjectName>, RepositoryError> {
    let now = repository.store().now().map_err(|error| RepositoryError::store("bundles/", error))?;
    let all = list(repository)?;
    let old = all.into_iter().filter(|object| object.modified.plus(BUNDLE_LOCK) < now);
    Ok(old.map(|object| object.name).collect())
}
