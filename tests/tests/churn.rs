//! Thirty nights in which files change one by one, snapshots expire and space is collected: what is stored stays near to
//! what a fresh repository with the same snapshots takes, and whatever is kept comes back as it was.
//!
//! With `LIFEBOAT_SOAK` set it goes on to ninety.

#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_backup::{Job, Report, Rewriting};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::ids::{ObjectName, SegmentId, SegmentPrefix};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::{Condemnation, Knobs, Percent, Swept, condemn, survey, sweep};
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::{expiry, index};
use lifeboat_repo::retention::{Decision, Rules, decide};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::World;
use lifeboat_tests::churn::Changing;
use lifeboat_tests::model::Tree;
use lifeboat_tests::proof::{Expected, scratch};

/// Snapshots that are kept.
const KEEP: u32 = 7;
/// Files of the tree: about 130 MB.
const FILES: usize = 2_400;
/// Files of a thousand that change in a night.
const CHANGED: usize = 20;
/// What is stored may be so many hundredths of what a fresh repository with the same snapshots takes.
const MOST: u64 = 135;

/// Time passes by nights.
struct Calendar {
    nights: AtomicU64,
}

impl Clock for Calendar {
    fn now(&self) -> Timestamp {
        let nights = self.nights.load(Ordering::Relaxed);
        SystemClock.now().plus(Duration::from_secs(nights * 86_400 + 3_600))
    }
}

/// A repository, the tree that it holds, and its nights.
struct Nights {
    world: World,
    memory: MemoryStore,
    store: Arc<dyn Store>,
    clock: Arc<Calendar>,
    keeper: Arc<Credentials>,
    tree: Changing,
    expected: Expected,
    rewriting: Rewriting,
}

/// What a night's collection did.
struct Collected {
    condemned: Condemnation,
    swept: Swept,
}

impl Nights {
    fn new(rewriting: Rewriting) -> Self {
        let clock = Arc::new(Calendar { nights: AtomicU64::new(0) });
        let memory = MemoryStore::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let store: Arc<dyn Store> = Arc::new(memory.clone());
        let world = World::over(Arc::clone(&store), scratch());
        let keeper = world.maintainer("m1", 71);
        let tree = Changing::make(&world.source(), FILES, 4);
        Self { world, memory, store, clock, keeper, tree, expected: Expected::new(), rewriting }
    }

    /// The tree changes, unless it is the first night.
    fn change(&mut self) {
        if self.clock.nights.fetch_add(1, Ordering::Relaxed) > 0 {
            self.tree.night(CHANGED);
        }
    }

    fn backup(&mut self) -> Report {
        let job = Job { rewriting: self.rewriting, ..self.world.job() };
        self.world.run(Arc::clone(&self.store), &job, self.clock.as_ref(), &Silent).unwrap()
    }

    /// What is not among the last snapshots expires, as `retain` does it; what is dead goes, as `gc` does it.
    fn collect(&self) -> Collected {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let judge = Judge::new(&repository, recovery.catalog()).unwrap();
        let candidates = expiry::candidates(&judge.list(None).unwrap(), judge.condemned());
        let rules = Rules { last: KEEP, ..Rules::default() };
        let decisions = decide(&candidates, Some(&rules), self.store.now().unwrap(), &TimeZone::UTC);
        let expired = decisions.into_iter().filter(Decision::expires).map(|decision| decision.name);
        let expired: Vec<ObjectName> = expired.collect();
        let keeper = Arc::clone(&self.keeper);
        let maintainer = Maintainer::open(&repository, keeper, self.clock.as_ref(), &SystemEntropy).unwrap();
        if !expired.is_empty() {
            maintainer.put_gc(&GcDraft { snapshots: expired, ..GcDraft::default() }).unwrap();
        }
        // A backup takes less than a night and nobody restores meanwhile. What is condemned goes at once, so a copy takes
        // no space, and packs are worth one of which little is dead.
        let knobs = Knobs {
            pack_age_min: Duration::ZERO,
            plan_age_min: Duration::ZERO,
            dead_share: Percent(5),
            ..Knobs::default()
        };
        let plan = survey(&maintainer, &knobs, &Silent).unwrap();
        let condemned = condemn(&maintainer, &plan, &knobs, &Silent).unwrap();
        let swept = sweep(&maintainer, &knobs, true, &Silent).unwrap();
        Collected { condemned, swept }
    }

    /// Everything in the store.
    fn stored(&self) -> Bytes {
        self.memory.list("").unwrap().iter().map(|object| object.length).sum()
    }

    /// Segments that kept snapshots need.
    fn live(&self) -> Bytes {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
        let kept = listed.into_iter().filter(|one| one.standing == Standing::Counts);
        let needed: BTreeSet<SegmentPrefix> =
            kept.flat_map(|one| one.snapshot.unwrap().keys).flat_map(|share| share.segments).collect();
        let mut seen: BTreeSet<SegmentId> = BTreeSet::new();
        let mut live = Bytes::ZERO;
        for object in self.memory.list("index/").unwrap() {
            for line in index::read(&repository, recovery.catalog(), &object.name).unwrap().segments {
                if needed.contains(&line.segment.prefix()) && seen.insert(line.segment) {
                    live += line.length;
                }
            }
        }
        live
    }
}

/// A repository that has nothing but the last snapshots of so many nights.
fn fresh(nights: u64) -> Bytes {
    let mut fresh = Nights::new(Rewriting::OFF);
    for night in 1..=nights {
        fresh.change();
        if night + u64::from(KEEP) > nights {
            fresh.backup();
        }
    }
    fresh.stored()
}

#[test]
fn thirty_nights_store_little_more_than_a_fresh_repository() {
    let mut nights = Nights::new(Rewriting::default());
    let last = if std::env::var_os("LIFEBOAT_SOAK").is_some() { 90 } else { 30 };
    let (mut copied, mut rewritten) = (Bytes::ZERO, Bytes::ZERO);
    for night in 1..=last {
        nights.change();
        let report = nights.backup();
        if night + u64::from(KEEP) > last {
            nights.expected.insert(report.run, Arc::new(Tree::of(&nights.world.source())));
        }
        let done = nights.collect();
        let moved = done.condemned.moved.bytes + done.swept.moved.bytes;
        copied += moved;
        rewritten += report.rewritten.bytes;
        println!(
            "night {night}: {} files, {}; {} stored anew, for {} that lived in {} dying segments; {moved} copied, {} \
             freed; {} stored",
            report.counts.files,
            report.counts.bytes,
            report.stored,
            report.rewritten.bytes,
            report.rewritten.segments,
            done.swept.deleted.bytes,
            nights.stored()
        );
        if night % 30 == 0 {
            let (stored, live, fresh) = (nights.stored(), nights.live(), fresh(night));
            println!(
                "night {night}: {stored} are stored, {live} of it in segments that are needed; {fresh} in a fresh \
                 repository: {} %; {copied} were copied",
                stored.0 * 100 / fresh.0
            );
            assert!(stored.0 * 100 <= fresh.0 * MOST, "{stored} of {fresh}");
        }
    }
    assert!(rewritten > Bytes::ZERO, "nothing was stored anew");
    let kept = nights.world.assert_restorable(&nights.store, &nights.expected, "what is kept");
    assert_eq!(kept, nights.expected.len());
    let target = nights.world.dir.path().join("target");
    let report = nights.world.restore(&target).unwrap();
    println!(
        "restored {}, fetched {}: {} %",
        report.bytes,
        report.fetched,
        report.fetched.0 * 100 / report.bytes.0
    );
}
