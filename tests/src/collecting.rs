//! Worlds whose store ages, and maintainers who collect in them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::format::names;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::{Condemnation, Knobs, Percent, Plan, Swept, condemn, survey, sweep};
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::{Repository, RepositoryError, index};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::World;
use crate::proof::scratch;

/// A store's clock that is put forward at will.
#[derive(Debug, Clone, Default)]
pub struct Aging(Arc<AtomicU64>);

impl Aging {
    /// Puts the clock forward.
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for Aging {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_secs(self.0.load(Ordering::SeqCst)))
    }
}

/// An hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// Ages of an hour, and whatever holds something dead is condemned.
pub const HOURS: Knobs = Knobs {
    pack_age_min: HOUR,
    plan_age_min: HOUR,
    run_age_max: Duration::from_secs(24 * 60 * 60),
    dead_share: Percent(1),
    copy_max: Bytes::mib(1024),
};

/// No ages at all: what only they keep apart is seen.
pub const AT_ONCE: Knobs = Knobs { pack_age_min: Duration::ZERO, plan_age_min: Duration::ZERO, ..HOURS };

/// A world in memory, with the clock of its store.
#[must_use]
pub fn aging_world() -> (World, MemoryStore, Aging) {
    let clock = Aging::default();
    let memory = MemoryStore::with_clock(Arc::new(clock.clone()));
    (World::over(Arc::new(memory.clone()), scratch()), memory, clock)
}

/// What a collection did.
#[derive(Debug, Default)]
pub struct Collected {
    /// What was to be condemned.
    pub plan: Plan,
    /// What came of it.
    pub condemned: Condemnation,
    /// What was deleted.
    pub swept: Swept,
}

impl World {
    /// Plans, condemns and sweeps over a store of this repository.
    ///
    /// # Errors
    /// As what it calls.
    pub fn collect(
        &self,
        store: Arc<dyn Store>,
        who: &Arc<Credentials>,
        knobs: &Knobs,
    ) -> Result<Collected, RepositoryError> {
        let repository = Repository::open(store, &[self.officer.public()])?;
        self.collect_in(&repository, who, knobs)
    }

    /// The same in a repository, or a replica, that is opened.
    ///
    /// # Errors
    /// As what it calls.
    pub fn collect_in(
        &self,
        repository: &Repository,
        who: &Arc<Credentials>,
        knobs: &Knobs,
    ) -> Result<Collected, RepositoryError> {
        let maintainer = Maintainer::open(repository, Arc::clone(who), &SystemClock, &SystemEntropy)?;
        let plan = survey(&maintainer, knobs, &Silent)?;
        let condemned = condemn(&maintainer, &plan, knobs, &Silent)?;
        let swept = sweep(&maintainer, knobs, true, &Silent)?;
        Ok(Collected { plan, condemned, swept })
    }

    /// Whatever lies in a pack that is there and that no record condemns is told, with its chunks, by an index object that no
    /// record condemns either: writers remember chunks and rely on any such pack.
    ///
    /// # Panics
    /// It is not.
    pub fn assert_told(&self, store: &Arc<dyn Store>, context: &str) {
        let repository = Repository::open(Arc::clone(store), &[self.officer.public()]).expect(context);
        let recovery = self.recovery(&repository);
        let condemned = Condemned::load(&repository).expect(context);
        let there: BTreeSet<ObjectName> = names_in(store, "packs/");
        let mut known = BTreeSet::new();
        let mut told = BTreeSet::new();
        for name in names_in(store, "index/") {
            let index = index::read(&repository, recovery.catalog(), &name).expect(context);
            for line in index.segments {
                let pack = line.pack.expect(context);
                if condemned.pack(pack) || !there.contains(&names::pack(pack).expect(context)) {
                    continue;
                }
                known.insert((pack, line.segment));
                if !condemned.index(&name) && !line.chunks.is_empty() {
                    told.insert((pack, line.segment));
                }
            }
        }
        let untold: Vec<_> = known.difference(&told).collect();
        assert!(untold.is_empty(), "{context}: nothing tells the chunks of {untold:?}");
    }

    /// Puts a gc record.
    pub fn put_gc(&self, who: &Arc<Credentials>, draft: &GcDraft) {
        let repository = self.repository();
        let maintainer = Maintainer::open(&repository, Arc::clone(who), &SystemClock, &SystemEntropy);
        maintainer.expect("a maintainer").put_gc(draft).expect("a record");
    }

    /// Expires snapshots.
    pub fn expire(&self, who: &Arc<Credentials>, snapshots: &[ObjectName]) {
        self.put_gc(who, &GcDraft { snapshots: snapshots.to_vec(), ..GcDraft::default() });
    }
}

fn names_in(store: &Arc<dyn Store>, prefix: &str) -> BTreeSet<ObjectName> {
    store.list(prefix).expect(prefix).into_iter().map(|object| object.name).collect()
}
