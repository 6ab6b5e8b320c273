//! What every store must keep, as checks: our tests run them on our stores, and `lifeboat doctor` on the
//! user's. Some stores accept a condition and ignore it; backups over such a store can lose data in silence.

use std::fmt;

use jiff::SignedDuration;

use super::{Store, StoreError};
use crate::clock::{Clock, SystemClock};
use crate::ids::{BadId, ObjectName};
use crate::units::{Bytes, Timestamp};

mod checks;

/// What the checks found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each check, in the order they ran.
    pub checks: Vec<Check>,
    /// How far the store's clock is ahead of ours; `None` where it could not be read.
    pub skew: Option<SignedDuration>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// Whether it does.
    pub outcome: Outcome,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not; this was seen.
    Failed(String),
    /// It could not be tried, for this reason.
    NotRun(String),
}

impl Report {
    /// Whether everything was tried and holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == Outcome::Passed)
    }
}

impl fmt::Display for Report {
    /// A line for each check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checks.iter().try_for_each(|check| writeln!(f, "{check}"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "passed   {}", self.name),
            Outcome::Failed(reason) => write!(f, "FAILED   {}: {reason}", self.name),
            Outcome::NotRun(reason) => write!(f, "not run  {}: {reason}", self.name),
        }
    }
}

/// Checks a store with objects below `scratch`, where there must be none, and removes them.
///
/// About 150 operations and 2 MB. It never fails itself: what goes wrong is an outcome.
pub fn check(store: &dyn Store, scratch: &ObjectName) -> Report {
    let bench = Bench { store, scratch };
    let mut checks: Vec<Check> = Vec::new();
    let unfit = bench.unfit();
    let mut obstacle = unfit.clone();
    for (name, run) in checks::CHECKS {
        let outcome = obstacle.clone().map_or_else(|| Outcome::of(run(&bench)), Outcome::NotRun);
        if checks.is_empty() && obstacle.is_none() && outcome != Outcome::Passed {
            obstacle = Some("objects cannot be created and read".to_owned());
        }
        checks.push(Check { name, outcome });
    }
    if obstacle.is_none() {
        checks.extend(store.probes(scratch));
    }
    let cleaned = unfit.map_or_else(|| Outcome::of(bench.clean()), Outcome::NotRun);
    checks.push(Check { name: "what the checks put is gone again", outcome: cleaned });
    let skew = store.now().ok().map(|theirs| ahead(theirs, SystemClock.now()));
    Report { checks, skew }
}

impl Outcome {
    fn of(verdict: Result<(), Broken>) -> Self {
        verdict.map_or_else(|Broken(reason)| Self::Failed(reason), |()| Self::Passed)
    }
}

/// What a check saw that must not be.
struct Broken(String);

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<BadId> for Broken {
    fn from(error: BadId) -> Self {
        Self(error.to_string())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(otherwise())) }
}

/// How far one clock is ahead of another.
fn ahead(theirs: Timestamp, ours: Timestamp) -> SignedDuration {
    let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    if theirs < ours { -signed(ours.since(theirs)) } else { signed(theirs.since(ours)) }
}

/// A store and the place in it where checks may put objects.
struct Bench<'s> {
    store: &'s dyn Store,
    scratch: &'s ObjectName,
}

/// More than any object of the checks.
const LENGTH_MAX: Bytes = Bytes::mib(4);

impl Bench<'_> {
    /// Why nothing can be checked, if so.
    fn unfit(&self) -> Option<String> {
        match self.store.list(&self.prefix()) {
            Ok(listed) if listed.is_empty() => None,
            Ok(_) => Some(format!("there are objects below {} already", self.scratch)),
            Err(error) => Some(error.to_string()),
        }
    }

    fn prefix(&self) -> String {
        format!("{}/", self.scratch)
    }

    fn name(&self, last: &str) -> Result<ObjectName, Broken> {
        Ok(format!("{}/{last}", self.scratch).parse()?)
    }

    /// The names below the scratch place and `prefix`, without the scratch place.
    fn list(&self, prefix: &str) -> Result<Vec<String>, Broken> {
        let scratch = self.prefix();
        let listed = self.store.list(&format!("{scratch}{prefix}"))?;
        let short = |listed: super::Listed| listed.name.as_str().replacen(&scratch, "", 1);
        Ok(listed.into_iter().map(short).collect())
    }

    fn create(&self, last: &str, bytes: &[u8]) -> Result<ObjectName, Broken> {
        let name = self.name(last)?;
        let created = self.store.create(&name, bytes)?;
        ensure(created == super::Created::New, || {
            format!("{name} is new, and creating it said it {created}")
        })?;
        Ok(name)
    }

    /// Holds if the object is there, whole, and looked up, listed and read alike.
    fn holds(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), Broken> {
        let found = self.store.read(name, LENGTH_MAX)?;
        ensure(found == bytes, || {
            format!("{name} holds {} that differ from the {} put", Bytes::of(&found), Bytes::of(bytes))
        })?;
        let stat = self.store.stat(name)?;
        ensure(
            stat.as_ref().is_some_and(|stat| stat.name == *name && stat.length == Bytes::of(bytes)),
            || format!("{name} is {} long, and looking it up gave {stat:?}", Bytes::of(bytes)),
        )?;
        let listed = self.store.list(&self.prefix())?.into_iter().find(|listed| listed.name == *name);
        ensure(listed == stat, || format!("looking {name} up gave {stat:?}, listing it {listed:?}"))
    }

    fn is_absent(&self, name: &ObjectName) -> Result<(), Broken> {
        let found = self.store.stat(name)?;
        ensure(found.is_none(), || format!("looking up {name}, which is not there, gave {found:?}"))?;
        match self.store.read(name, LENGTH_MAX) {
            Err(error) if error.is_missing() => {}
            other => return Err(unexpected("reading what is not there", &other)),
        }
        let listed = self.store.list(&self.prefix())?;
        ensure(listed.iter().all(|listed| listed.name != *name), || format!("{name} is listed and not there"))
    }

    /// Deletes everything below the scratch place.
    fn clean(&self) -> Result<(), Broken> {
        for listed in self.store.list(&self.prefix())? {
            self.store.delete(&listed.name)?;
        }
        let left = self.list("")?;
        ensure(left.is_empty(), || format!("still listed: {}", left.join(", ")))
    }
}

fn unexpected<T: fmt::Debug>(doing: &str, answer: &Result<T, StoreError>) -> Broken {
    Broken(match answer {
        Ok(value) => format!("{doing} gave {value:?}"),
        Err(error) => format!("{doing} failed in another way: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::local::LocalStore;
    use super::super::lossy::LossyDisk;
    use super::super::memory::MemoryStore;
    use super::super::{Created, Listed, Upload};
    use super::*;

    fn keeps(store: &dyn Store) {
        let (scratch, beside) = ("lifeboat-doctor/run".parse().unwrap(), "packs/0".parse().unwrap());
        assert_eq!(store.create(&beside, b"kept").unwrap(), Created::New);
        let report = check(store, &scratch);
        assert!(report.passed(), "{report}");
        assert!(report.skew.unwrap().unsigned_abs().as_secs() < 60);
        assert_eq!(store.list("").unwrap().len(), 1);
        let occupied = check(store, &"packs".parse().unwrap());
        assert!(
            occupied.checks.iter().all(|check| matches!(check.outcome, Outcome::NotRun(_))),
            "{occupied}"
        );
        assert_eq!(store.read(&beside, Bytes(4)).unwrap(), b"kept");
    }

    #[test]
    fn every_store_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        keeps(&LocalStore::create_at(&root.path().join("store")).unwrap());
        keeps(&LossyDisk::new().store());
        keeps(&MemoryStore::new());
    }

    /// A store that ignores conditions, as some do that claim to speak S3, and lists without order.
    struct Careless(MemoryStore);

    impl Store for Careless {
        fn location(&self) -> String {
            self.0.location()
        }
        fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
            self.0.replace(name, bytes);
            Ok(Created::New)
        }
        fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
            self.0.replace(name, bytes);
            Ok(())
        }
        fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
            self.0.upload()
        }
        fn barrier(&self) -> Result<(), StoreError> {
            Ok(())
        }
        fn read(&self, name: &ObjectName, _: Bytes) -> Result<Vec<u8>, StoreError> {
            self.0.read(name, LENGTH_MAX)
        }
        fn read_range(
            &self,
            name: &ObjectName,
            from: Bytes,
            _: Bytes,
            into: &mut Vec<u8>,
        ) -> Result<(), StoreError> {
            into.extend(self.0.read(name, LENGTH_MAX)?.iter().skip(from.as_usize()));
            Ok(())
        }
        fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
            self.0.list(prefix).map(|listed| listed.into_iter().rev().collect())
        }
        fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
            self.0.stat(name)
        }
        fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
            self.0.delete(name).map(|_| true)
        }
        fn now(&self) -> Result<Timestamp, StoreError> {
            Ok(Timestamp::new(self.0.now()?.seconds() - 200_000, 0))
        }
    }

    #[test]
    fn a_careless_store_is_found_out() {
        let report = check(&Careless(MemoryStore::new()), &"scratch".parse().unwrap());
        let failed = report.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_)));
        let failed: Vec<&str> = failed.map(|check| check.name).collect();
        assert_eq!(
            failed,
            [
                "a name is created once, and its content stays",
                "of concurrent creations one wins",
                "a range is what it says",
                "a range past the end is refused",
                "what is missing is called missing",
                "an object longer than expected is refused",
                "a listing is complete, sorted and exact",
                "what is deleted is gone",
                "the clock is right within a day, and dates objects",
                "a staged name that is taken is refused",
            ],
            "{report}"
        );
        assert_eq!(report.skew.unwrap().as_hours(), -55);
    }
}
