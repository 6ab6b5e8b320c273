//! How long what backups consist of is locked, and which locks are to be extended. FORMAT.md §11.
//!
//! Locks end; backups that still count must not become deletable by that. Somebody with an identity of its own, who may
//! change locks and nothing else, extends them while there is enough left. What expired is not extended, nor are packs of
//! the short class: they are to go soon.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::format::names::{Place, place};
use crate::format::records::Locked;
use crate::ids::{ObjectName, PackId};
use crate::repository::catalog::Catalog;
use crate::repository::gc::Condemned;
use crate::repository::{Repository, RepositoryError, index, pack};
use crate::store::{Listed, Store};
use crate::units::{LockClass, LockTerms, Timestamp};

/// Requests at once: each only waits for the server.
const ASKERS: usize = 16;

/// An object that is to be locked for as long as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: ObjectName,
    /// When it appeared, by the store's clock.
    pub appeared: Timestamp,
    /// Until when it is locked; none where it is not.
    pub until: Option<Timestamp>,
}

/// What is known of the locks in a repository.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What is to stay locked, by name.
    pub held: Vec<Held>,
    /// The first pack that no index names: an unfinished run's, or nobody's. Of later ones nothing can be stated.
    pub unnamed_since: Option<Timestamp>,
    /// Index objects and packs that do not say of which class packs are: what else says it was asked, and where nothing
    /// does, these packs are not held.
    pub unreadable: Vec<String>,
}

/// What extending comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// What is to be locked longer.
    pub objects: Vec<ObjectName>,
    /// Until when.
    pub until: Timestamp,
    /// What can be stated of packs once that is done.
    pub stated: Option<Locked>,
}

/// Looks at the lock of everything that is to stay locked.
///
/// Whoever may put an index object could name packs of others in it, as of the short class, or spoil it: so a pack is of
/// that class only if its own table says so, and where an index object cannot be read, tables are asked of packs that no
/// other names.
///
/// # Errors
/// The store failed or refused, or gc records are damaged.
pub fn survey(repository: &Repository, catalog: &Catalog) -> Result<Survey, RepositoryError> {
    let condemned = Condemned::load(repository)?;
    let listed = repository.store().list("").map_err(|error| RepositoryError::store("", error))?;
    let mut survey = Survey::default();
    let classes = classes(repository, catalog, &condemned, &listed, &mut survey.unreadable)?;
    let mut wanted = Vec::new();
    for object in listed {
        let stays = match place(&object.name) {
            Some(Place::Pack(pack)) if condemned.pack(pack) => false,
            Some(Place::Pack(pack)) => match classes.get(&pack) {
                Some(class) => class.is_normal(),
                None => {
                    let since =
                        survey.unnamed_since.map_or(object.modified, |since| since.min(object.modified));
                    survey.unnamed_since = Some(since);
                    false
                }
            },
            Some(Place::Snapshot(..)) => !condemned.snapshot(&object.name),
            Some(
                Place::Index(..)
                | Place::Run(..)
                | Place::Ledger(..)
                | Place::Gc(_)
                | Place::Trust(_)
                | Place::Replica(_),
            ) => true,
            _ => false,
        };
        if stays {
            wanted.push(object);
        }
    }
    survey.held = ask(repository.store(), &wanted)?;
    Ok(survey)
}

/// What is to be extended, and what can be stated afterwards. Pure.
#[must_use]
pub fn extension(survey: &Survey, terms: LockTerms, now: Timestamp) -> Extension {
    let (until, enough) = (now.plus(terms.period), now.plus(terms.floor));
    let is_due = |held: &&Held| held.until.is_none_or(|until| until < enough);
    let objects: Vec<ObjectName> = survey.held.iter().filter(is_due).map(|held| held.name.clone()).collect();
    let packs = survey.held.iter().filter(|held| matches!(place(&held.name), Some(Place::Pack(_))));
    let ends = packs.map(|held| if is_due(&held) { until } else { held.until.unwrap_or(until) });
    let extended = objects.iter().any(|name| matches!(place(name), Some(Place::Pack(_))));
    // A pack that appeared in the same moment as the first unnamed one may be unnamed too.
    let put = survey
        .unnamed_since
        .map_or(now, |since| Timestamp::new(since.seconds().saturating_sub(1), 0).min(now));
    let stated = ends.min().filter(|_| extended).map(|end| Locked(put, end));
    Extension { objects, until, stated }
}

/// Locks one object until then, and looks whether it is.
///
/// # Errors
/// The store failed or refused, or accepted the lock and did not keep it.
pub fn extend(store: &dyn Store, name: &ObjectName, until: Timestamp) -> Result<(), RepositoryError> {
    let failed = |error| RepositoryError::store(name.as_str(), error);
    store.lock(name, until).map_err(failed)?;
    let there = store.locked_until(name).map_err(failed)?;
    if there.is_some_and(|there| there.seconds() >= until.seconds()) {
        return Ok(());
    }
    Err(RepositoryError::refused(
        name.as_str(),
        "the store accepted a longer lock and did not keep it; `lifeboat doctor` tries what it does",
    ))
}

/// Which class packs are of that an index names, or should.
fn classes(
    repository: &Repository,
    catalog: &Catalog,
    condemned: &Condemned,
    listed: &[Listed],
    unreadable: &mut Vec<String>,
) -> Result<HashMap<PackId, LockClass>, RepositoryError> {
    let mut found: HashMap<PackId, LockClass> = HashMap::new();
    let mut doubtful: HashSet<PackId> = HashSet::new();
    let indexes = listed.iter().filter(|object| matches!(place(&object.name), Some(Place::Index(..))));
    let _ahead = repository.expect(indexes.clone().map(|object| object.name.clone()));
    for object in indexes {
        let index = match index::read_if_any(repository, catalog, condemned, &object.name) {
            Ok(Some(index)) => index,
            Ok(None) => continue,
            Err(error) if error.is_damage() => {
                unreadable.push(error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let short = index.segments.iter().filter(|line| !line.lock.is_normal());
        doubtful.extend(short.filter_map(|line| line.pack));
        found.extend(index.header.packs.iter().map(|pack| (pack.0, LockClass::Normal)));
    }
    let torn = !unreadable.is_empty();
    for object in listed {
        let Some(Place::Pack(pack)) = place(&object.name) else { continue };
        let unnamed = torn && !found.contains_key(&pack);
        if condemned.pack(pack) || !(unnamed || doubtful.contains(&pack)) {
            continue;
        }
        match pack::class_at(repository.store(), catalog, pack, object.length) {
            Ok(class) => drop(found.insert(pack, class)),
            Err(error) if error.is_damage() => {
                unreadable.push(error.to_string());
                found.remove(&pack);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn ask(store: &dyn Store, objects: &[Listed]) -> Result<Vec<Held>, RepositoryError> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Vec::with_capacity(objects.len()), None));
    std::thread::scope(|scope| {
        for _ in 0..ASKERS.min(objects.len()) {
            scope.spawn(|| {
                while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let until = store.locked_until(&object.name);
                    let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match until {
                        Ok(until) => {
                            let (name, appeared) = (object.name.clone(), object.modified);
                            found.0.push(Held { name, appeared, until });
                        }
                        Err(error) => {
                            found.1.get_or_insert(RepositoryError::store(object.name.as_str(), error));
                            return;
                        }
                    }
                }
            });
        }
    });
    let (mut held, failed) = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = failed {
        return Err(error);
    }
    held.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::names;
    use std::time::Duration;

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 24 * 60 * 60)
    }

    #[test]
    fn what_ends_soon_is_extended_and_the_least_is_stated() {
        let start = Timestamp::new(1_760_000_000, 0);
        let terms = LockTerms { period: days(60), floor: days(30) };
        let now = start.plus(days(100));
        let pack = |number: u8, until: Option<u64>| Held {
            name: names::pack(PackId::from_bytes([number; 32])).unwrap(),
            appeared: start,
            until: until.map(|until| start.plus(days(until))),
        };
        let trust = Held { name: "trust/00000000".parse().unwrap(), ..pack(0, Some(101)) };
        let all = vec![pack(1, Some(129)), pack(2, Some(130)), pack(3, None), trust.clone()];
        let survey = Survey { held: all.clone(), unnamed_since: None, ..Survey::default() };
        let found = extension(&survey, terms, now);
        let names = |at: &[usize]| at.iter().map(|at| all[*at].name.clone()).collect::<Vec<_>>();
        assert_eq!((found.objects, found.until), (names(&[0, 2, 3]), start.plus(days(160))));
        assert_eq!(found.stated, Some(Locked(now, start.plus(days(130)))));
        // Nothing is stated of packs from the first one on that no index names.
        let unnamed = Survey { unnamed_since: Some(start.plus(days(7))), ..survey };
        let stated = extension(&unnamed, terms, now).stated.unwrap();
        assert!(stated.0 < start.plus(days(7)) && stated.0.plus(days(1)) > start.plus(days(7)));
        // Nor where no pack was extended.
        let others = Survey { held: vec![pack(2, Some(130)), trust], ..Survey::default() };
        let found = extension(&others, terms, now);
        assert_eq!((found.objects.len(), found.stated), (1, None));
    }
}
