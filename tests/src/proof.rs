//! Proving a repository: what is listed comes back, and every level of verification says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backup::{BackupError, Job, Report};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::observe::{Observer, Silent};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::snapshots::{Judge, Listed, Standing};
use lifeboat_repo::store::Store;
use lifeboat_repo::units::Timestamp;
use lifeboat_restore::{Options, Selection, perform, plan};
use lifeboat_verify::{
    Amount, Draw, Finding, Outcome, Scope, SeedFrom, Severity, Threads, integrity, inventory, readback,
};

use crate::World;
use crate::model::Tree;

/// What each snapshot must bring back.
pub type Expected = BTreeMap<RunId, Arc<Tree>>;

/// What the levels of verification say of a repository.
pub struct Verdict {
    /// Whether whatever counts is there.
    pub inventory: Outcome,
    /// Whether every object is what it was.
    pub integrity: Outcome,
    /// Whether everything opens.
    pub readback: Outcome,
    /// Objects that no ledger names.
    pub unrecorded: u64,
    /// What all of them found.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Nothing is damaged, though there may be nothing to check yet.
    pub fn assert_undamaged(&self, context: &str) {
        let unstarted = |found: &Finding| found.object.to_string() == "ledger/";
        let bad: Vec<_> = self
            .findings
            .iter()
            .filter(|found| found.severity != Severity::Notice)
            .filter(|found| found.severity == Severity::Damage || !unstarted(found))
            .collect();
        let failed = [&self.inventory, &self.integrity, &self.readback].contains(&&Outcome::Failed);
        assert!(bad.is_empty() && !failed, "{context}: {bad:#?}");
    }

    /// Every level passed.
    pub fn assert_passed(&self, context: &str) {
        let levels = [&self.inventory, &self.integrity, &self.readback];
        assert_eq!(levels, [&Outcome::Passed; 3], "{context}: {:#?}", self.findings);
    }
}

/// A directory for a test's trees; in memory where the machine has such a place, since a restore waits for the
/// disk.
///
/// # Panics
/// There is no room.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// A clock that is ahead of the machine's: so files do not count as changed just before a backup.
#[derive(Debug, Clone, Copy)]
pub struct Ahead(pub Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0)
    }
}

impl World {
    /// Runs a job into a store of this repository.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn run(
        &self,
        store: Arc<dyn Store>,
        job: &Job,
        clock: &dyn Clock,
        observer: &dyn Observer,
    ) -> Result<Report, BackupError> {
        let repository = Repository::open(store, &[self.officer.public()])?;
        lifeboat_backup::run(&repository, self.credentials(), job, clock, &SystemEntropy, observer)
    }

    /// The job of [`World::job`] with another state directory.
    #[must_use]
    pub fn job_with_state(&self, state: PathBuf) -> Job {
        Job { state, ..self.job() }
    }

    /// Everything under snapshots' names, with its standing.
    #[must_use]
    pub fn listed(&self, store: &Arc<dyn Store>) -> Vec<Listed> {
        let repository = self.repository_over(Arc::clone(store));
        let recovery = self.recovery(&repository);
        Judge::new(&repository, recovery.catalog()).expect("a judge").list(None).expect("a listing")
    }

    /// The standing of one snapshot.
    #[must_use]
    pub fn standing(&self, store: &Arc<dyn Store>, name: &ObjectName) -> Option<Standing> {
        self.listed(store).into_iter().find(|one| one.name == *name).map(|one| one.standing)
    }

    /// Restores every snapshot that counts or is not recorded yet and compares it with what it should bring
    /// back; how many there were.
    pub fn assert_restorable(&self, store: &Arc<dyn Store>, expected: &Expected, context: &str) -> usize {
        self.assert_restorable_in(&self.repository_over(Arc::clone(store)), expected, context)
    }

    /// The same in a repository, or a replica, that is opened.
    pub fn assert_restorable_in(&self, repository: &Repository, expected: &Expected, context: &str) -> usize {
        let recovery = self.recovery(repository);
        let listed =
            Judge::new(repository, recovery.catalog()).expect("a judge").list(None).expect("a listing");
        let mut restored = 0;
        for one in &listed {
            assert!(
                !matches!(one.standing, Standing::Void(_)),
                "{context}: {}: {:?}",
                one.name,
                one.standing
            );
            if !matches!(one.standing, Standing::Counts | Standing::Unrecorded) {
                continue;
            }
            let tree = expected.get(&one.run);
            let tree = tree.unwrap_or_else(|| unreachable!("{context}: nobody expects {}", one.name));
            let snapshot = one.snapshot.as_ref().expect("a snapshot that can be read");
            let target = scratch();
            let plan = plan(&recovery, snapshot, &Selection::default(), &Silent).expect("a plan");
            let report = perform(repository.store(), &plan, target.path(), &Options::default(), &Silent)
                .unwrap_or_else(|error| unreachable!("{context}: {}: {error}", one.name));
            assert_eq!(report.status(), lifeboat_restore::Status::Complete, "{context}: {report:#?}");
            let differences = tree.differences(&Tree::of(target.path()));
            assert!(differences.is_empty(), "{context}: {}: {differences:#?}", one.name);
            restored += 1;
        }
        restored
    }

    /// Runs inventory, integrity and a full readback.
    #[must_use]
    pub fn verify(&self, store: &Arc<dyn Store>) -> Verdict {
        self.verify_in(&self.repository_over(Arc::clone(store)))
    }

    /// The same in a repository, or a replica, that is opened.
    #[must_use]
    pub fn verify_in(&self, repository: &Repository) -> Verdict {
        let recovery = self.recovery(repository);
        let scope = Scope { component: None, threads: Threads::new(2) };
        let there = inventory(repository, recovery.catalog(), &scope, &Silent).expect("an inventory");
        let pins = [self.officer.public()];
        let whole =
            integrity(repository, &pins, &SystemClock, Threads::new(2), &Silent).expect("an integrity check");
        let draw = Draw { amount: Amount::Full, seed: SeedFrom::Checkpoint { nonce: Vec::new() } };
        let read = readback(&recovery, &scope, &draw, &Silent).expect("a readback");
        let mut findings = there.findings;
        findings.extend(whole.findings);
        findings.extend(read.findings);
        Verdict {
            inventory: there.outcome,
            integrity: whole.outcome,
            readback: read.outcome,
            unrecorded: whole.unrecorded,
            findings,
        }
    }
}
