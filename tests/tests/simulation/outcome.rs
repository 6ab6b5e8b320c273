//! What must come back, and does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lifeboat_repo::ids::{ObjectName, SegmentPrefix};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::store::Store;
use lifeboat_restore::{Options, Selection, Status, perform, plan};
use lifeboat_tests::collecting::{HOUR, HOURS};
use lifeboat_tests::model::Tree;
use lifeboat_tests::proof::scratch;
use lifeboat_verify::Outcome;

use crate::scene::{Play, Simulation, drawn};

/// What a snapshot brought back.
#[derive(Debug)]
pub(crate) enum Back {
    /// All of it.
    Whole,
    /// Not all, and it needs something that was damaged.
    Damaged,
    /// Not all, and an index object that named something it needs was damaged.
    Unnamed,
}

/// Snapshots that count.
pub(crate) type Backs = BTreeMap<ObjectName, Back>;

/// What is not as it must be.
pub(crate) type Violation = String;

impl Simulation {
    /// Restores every snapshot that counts, or is not recorded yet.
    ///
    /// # Errors
    /// One does not come back as it was, though nothing that it needs was damaged.
    fn restored(&self, repository: &Repository, when: &str) -> Result<Backs, Violation> {
        let recovery = self.world.recovery(repository);
        let listed = Judge::new(repository, recovery.catalog()).unwrap().list(None).unwrap();
        let expected = self.expected.lock().unwrap().clone();
        let mut backs = Backs::new();
        for one in &listed {
            let lost = |why: String| format!("seed {}, {when}: {}: {why}", self.seed, one.name);
            match one.standing {
                Standing::Counts | Standing::Unrecorded => {}
                Standing::Void(_) => return Err(lost(format!("{:?}", one.standing))),
                _ => continue,
            }
            let tree = expected.get(&one.run).ok_or_else(|| lost("nobody expects it".into()))?;
            let snapshot = one.snapshot.as_ref().ok_or_else(|| lost("it cannot be read".into()))?;
            let target = scratch();
            let back = plan(&recovery, snapshot, &Selection::default(), &Silent).and_then(|plan| {
                perform(repository.store(), &plan, target.path(), &Options::default(), &Silent)
            });
            let wrong = match back {
                Ok(report) if report.status() == Status::Complete => {
                    let differences = tree.differences(&Tree::of(target.path()));
                    if !differences.is_empty() {
                        return Err(lost(format!("{differences:?}")));
                    }
                    backs.insert(one.name.clone(), Back::Whole);
                    continue;
                }
                Ok(report) => format!("{:?}", report.losses),
                Err(error) => error.to_string(),
            };
            let harm = self.harm.lock().unwrap();
            let needs = |hurt: &dyn Fn(SegmentPrefix) -> bool| {
                snapshot.keys.iter().flat_map(|share| &share.segments).any(|one| hurt(*one))
            };
            let back = match (needs(&|one| harm.hurt(one)), needs(&|one| harm.unnamed.contains(&one))) {
                (true, _) => Back::Damaged,
                (false, true) => Back::Unnamed,
                _ => return Err(lost(wrong)),
            };
            backs.insert(one.name.clone(), back);
        }
        Ok(backs)
    }

    fn restored_here(&self, when: &str) -> Result<Backs, Violation> {
        let backs = self.restored(&self.repository(self.store()).unwrap(), when)?;
        // Packs have tables of their own: of a damaged index nothing is lost once it is repaired.
        match backs.iter().find(|(_, back)| matches!(back, Back::Unnamed)) {
            Some((name, _)) => Err(format!("seed {}, {when}: {name}: an index is not read back", self.seed)),
            None => Ok(backs),
        }
    }

    fn replica_store(&self) -> Arc<dyn Store> {
        Arc::new(self.replica.clone())
    }

    /// What counts in the replica comes back from it, if there is one yet.
    pub(crate) fn replica_comes_back(&self, when: &str) -> Backs {
        let Ok(replica) = self.opened_replica(self.replica_store()) else { return Backs::new() };
        self.restored(&replica, &format!("the replica, {when}")).unwrap_or_else(|lost| unreachable!("{lost}"))
    }

    /// What is listed comes back: now, and when everything due is swept. How many there are then.
    ///
    /// # Errors
    /// Something does not.
    pub(crate) fn comes_back(&self) -> Result<Backs, Violation> {
        self.restored_here("at once")?;
        self.told("at once");
        for _ in 0..2 {
            self.clock.pass(HOUR * 24 * 9);
            self.world.collect(self.store(), &self.keepers[1], &HOURS).unwrap();
            self.told("later");
        }
        self.restored_here("later")
    }

    /// Whatever a writer may rely on is told with its chunks, where nothing was damaged.
    fn told(&self, when: &str) {
        if self.harm.lock().unwrap().is_none() {
            self.world.assert_told(&self.store(), &format!("seed {}, {when}", self.seed));
        }
    }

    /// It comes back, from the replica too; who reported success has a snapshot; and verification finds nothing but what
    /// was damaged beyond repair. How many snapshots came back whole, and how many did not.
    pub(crate) fn prove(&self, play: Play) -> (usize, usize) {
        let (mut newest, mut repaired) = Default::default();
        let mut backs = Vec::new();
        if play.harm {
            (newest, repaired) = self.repaired(play);
        }
        if play.replica {
            self.replicate(self.store(), self.replica_store()).unwrap();
            let there = self.replica_comes_back("filled once more");
            for name in there.iter().filter(|(_, back)| matches!(back, Back::Unnamed)).map(|(name, _)| name) {
                let had = matches!(repaired.get(name), Some(Back::Whole));
                assert!(!had, "seed {}: {name} is whole, and replication does not heal it", self.seed);
            }
            backs.push(there);
        }
        let here = self.comes_back().unwrap_or_else(|lost| unreachable!("{lost}"));
        for name in &newest {
            let back = here.get(name);
            assert!(matches!(back, Some(Back::Whole)), "seed {}: {name}, made anew: {back:?}", self.seed);
        }
        let whole = here.values().all(|back| matches!(back, Back::Whole));
        backs.push(here);
        if play.replica {
            self.keep_replica(self.replica_store()).unwrap();
            self.clock.pass(HOUR * 24 * 9);
            self.keep_replica(self.replica_store()).unwrap();
            backs.push(self.replica_comes_back("collected"));
        }
        for name in self.committed.lock().unwrap().iter() {
            if !self.expired.lock().unwrap().contains(name) {
                let standing = self.world.standing(&self.store(), name);
                assert!(
                    matches!(standing, Some(Standing::Counts)),
                    "seed {}: {name}: {standing:?}",
                    self.seed
                );
            }
        }
        let (verdict, context) = (self.world.verify(&self.store()), format!("seed {}", self.seed));
        if whole && self.harm.lock().unwrap().segments.is_empty() {
            verdict.assert_undamaged(&context);
        } else if whole {
            // What is lost and stored again is found by whoever has the keys; the inventory has none.
            let failed = [&verdict.integrity, &verdict.readback].contains(&&Outcome::Failed);
            assert!(!failed, "{context}: {:#?}", verdict.findings);
        }
        let all = || backs.iter().flat_map(BTreeMap::values);
        let whole = all().filter(|back| matches!(back, Back::Whole)).count();
        (whole, all().count() - whole)
    }

    /// Repairs what is left damaged, and backs up once more; the snapshots of that, and what came back before it. What the
    /// replica had whole is whole then.
    fn repaired(&self, play: Play) -> (BTreeSet<ObjectName>, Backs) {
        let there = self.replica_comes_back("before repair");
        let copy = play.replica.then(|| self.replica_store());
        self.mend(self.store(), copy).unwrap_or_else(|why| unreachable!("seed {}: {why}", self.seed));
        let here = self.restored_here("repaired").unwrap_or_else(|lost| unreachable!("{lost}"));
        for (name, back) in &here {
            let whole = matches!(back, Back::Whole);
            let had = matches!(there.get(name), Some(Back::Whole));
            assert!(
                whole || !had,
                "seed {}: the replica has {name} whole, and repair does not heal it",
                self.seed
            );
        }
        let version = drawn(self.seed, 300) % 16;
        let newest = [0, 2].map(|party| self.back_up(&self.store(), party, version, 0).unwrap());
        (newest.into(), here)
    }
}
