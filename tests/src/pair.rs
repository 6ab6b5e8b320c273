//! A repository and its replica.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::names;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::replicate::{Job, Plan, Report, plan, replicate};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;

use crate::model::{Tree, noise};
use crate::proof::{Expected, scratch};
use crate::{World, label, write};

/// A repository, its replica, and the maintainer that fills it.
pub struct Pair {
    /// Whose repository it is.
    pub world: World,
    /// Where that lies.
    pub store: MemoryStore,
    /// Where its replica lies.
    pub replica: MemoryStore,
    /// The maintainer's, r1.
    pub credentials: Arc<Credentials>,
    /// What each snapshot must bring back.
    pub expected: Expected,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// An empty repository, and nothing beside it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::over(MemoryStore::new(), MemoryStore::new())
    }

    /// A repository in one store, and room for its replica in another.
    #[must_use]
    pub fn over(store: MemoryStore, replica: MemoryStore) -> Self {
        let world = World::over(Arc::new(store.clone()), scratch());
        let credentials = world.maintainer("r1", 81);
        Self { world, store, replica, credentials, expected: Expected::new() }
    }

    /// Backs up a tree that has changed.
    pub fn backup(&mut self, night: u64) -> ObjectName {
        let root = self.world.source();
        write(&root, "tenants/acme/stays", &noise(1, 200_000));
        write(&root, "tenants/acme/changes", &noise(100 + night, 100_000));
        write(&root, &format!("tenants/beta/{night}"), format!("of beta {night}").as_bytes());
        let tree = Arc::new(Tree::of(&root));
        let report = self.world.backup().expect("it goes well");
        self.expected.insert(report.run, tree);
        names::snapshot(&label("files"), report.run).expect("it goes well")
    }

    /// A replication into a store.
    pub fn with<T>(&self, replica: Arc<dyn Store>, what: impl FnOnce(&Job<'_>) -> T) -> T {
        let source = self.world.repository();
        let job = Job {
            source: &source,
            replica,
            pins: &[self.world.officer.public()],
            credentials: Arc::clone(&self.credentials),
            clock: &SystemClock,
            entropy: &SystemEntropy,
            threads: NonZeroUsize::MIN,
            memory: Bytes::mib(64),
        };
        what(&job)
    }

    /// Copies into a store.
    ///
    /// # Errors
    /// As [`replicate()`].
    pub fn replicate_into(&self, replica: Arc<dyn Store>) -> Result<Report, RepositoryError> {
        self.with(replica, |job| replicate(job, &Silent))
    }

    /// Copies into the replica, where nothing is in the way.
    pub fn replicate(&self) -> Report {
        let report = self.replicate_into(Arc::new(self.replica.clone())).expect("it goes well");
        assert_eq!(report.problems, []);
        report
    }

    /// What that would do.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.with(Arc::new(self.replica.clone()), |job| plan(job, &Silent)).expect("it goes well")
    }

    /// Opens a replica.
    #[must_use]
    pub fn open(&self, replica: &MemoryStore) -> Repository {
        Repository::open_replica(Arc::new(replica.clone()), &[self.world.officer.public()])
            .expect("it goes well")
    }

    /// What snapshots of a replica are worth.
    #[must_use]
    pub fn standings(&self, replica: &MemoryStore) -> Vec<(ObjectName, Standing)> {
        let repository = self.open(replica);
        let recovery = self.world.recovery(&repository);
        let listed = Judge::new(&repository, recovery.catalog())
            .expect("it goes well")
            .list(None)
            .expect("it goes well");
        listed.into_iter().map(|one| (one.name, one.standing)).collect()
    }

    /// Every snapshot of the replica comes back, and every level of verification passes.
    pub fn assert_sound(&self, replica: &MemoryStore, snapshots: usize, context: &str) {
        let repository = self.open(replica);
        let verdict = self.world.verify_in(&repository);
        verdict.assert_passed(context);
        assert_eq!(verdict.unrecorded, 0, "{context}: {:#?}", verdict.findings);
        assert_eq!(
            self.world.assert_restorable_in(&repository, &self.expected, context),
            snapshots,
            "{context}"
        );
    }

    /// Puts a gc record, as a maintainer of the replica or of the repository.
    pub fn put_gc(&self, repository: &Repository, credentials: &Arc<Credentials>, draft: &GcDraft) {
        let maintainer = Maintainer::open(repository, Arc::clone(credentials), &SystemClock, &SystemEntropy)
            .expect("it goes well");
        maintainer.put_gc(draft).expect("it goes well");
    }
}
