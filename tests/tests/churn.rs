//! Thirty nights in which files change one by one and snapshots expire: what the snapshots that are kept need stays near
//! to what a fresh repository with the same snapshots takes. What packs hold besides goes when they are collected, and
//! is not counted.
//!
//! With `LIFEBOAT_SOAK` set it goes on to ninety.

#![cfg(test)]

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_backup::{Job, Report, Rewriting};
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::SigningKey;
use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::names::Seq;
use lifeboat_repo::format::records::GcBody;
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{ObjectName, SegmentId, SegmentPrefix};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::index;
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::churn::Changing;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::stock::{enrol_maintainer, put_signed};
use lifeboat_tests::{World, compare};

/// Snapshots that are kept.
const KEEP: usize = 7;
/// Files of the tree: about 100 MB.
const FILES: usize = 2_400;
/// Files of a thousand that change in a night.
const CHANGED: usize = 20;
/// What is needed may be so many hundredths of what a fresh repository with the same snapshots takes.
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
    store: MemoryStore,
    clock: Arc<Calendar>,
    maintainer: SigningKey,
    tree: Changing,
    made: VecDeque<ObjectName>,
    records: u32,
    rewriting: Rewriting,
}

impl Nights {
    fn new(rewriting: Rewriting) -> Self {
        let clock = Arc::new(Calendar { nights: AtomicU64::new(0) });
        let store = MemoryStore::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let world = World::over(Arc::new(store.clone()), scratch());
        let maintainer = SigningKey::from_seed([77; 32]);
        enrol_maintainer(&world, "m1", &maintainer);
        let tree = Changing::make(&world.source(), FILES, 4);
        Self { world, store, clock, maintainer, tree, made: VecDeque::new(), records: 0, rewriting }
    }

    /// The tree changes, unless it is the first night.
    fn change(&mut self) {
        if self.clock.nights.fetch_add(1, Ordering::Relaxed) > 0 {
            self.tree.night(CHANGED);
        }
    }

    fn backup(&mut self) -> Report {
        let job = Job { rewriting: self.rewriting, ..self.world.job() };
        let report =
            self.world.run(Arc::new(self.store.clone()), &job, self.clock.as_ref(), &Silent).unwrap();
        self.made.push_back(report.snapshot.clone());
        report
    }

    fn expire(&mut self) {
        let expired = self.made.len().saturating_sub(KEEP);
        let snapshots: Vec<ObjectName> = self.made.drain(..expired).collect();
        if snapshots.is_empty() {
            return;
        }
        let (seq, time) = (Seq(self.records), self.clock.now());
        let body = GcBody { format: FORMAT_VERSION, seq, time, snapshots, ..GcBody::default() };
        let name = format!("gc/{:08}", self.records).parse().unwrap();
        put_signed(&self.world, &self.maintainer, Kind::Gc, &name, &format::encode(&body, "gc").unwrap());
        self.records += 1;
    }

    /// Everything in the store.
    fn stored(&self) -> Bytes {
        self.store.list("").unwrap().iter().map(|object| object.length).sum()
    }

    /// Segments that kept snapshots need, and everything but packs.
    fn live(&self) -> Bytes {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
        let kept = listed.into_iter().filter(|one| one.standing == Standing::Counts);
        let needed: BTreeSet<SegmentPrefix> =
            kept.flat_map(|one| one.snapshot.unwrap().keys).flat_map(|share| share.segments).collect();
        let mut seen: BTreeSet<SegmentId> = BTreeSet::new();
        let mut live = Bytes::ZERO;
        for object in self.store.list("index/").unwrap() {
            for line in index::read(&repository, recovery.catalog(), &object.name).unwrap().segments {
                if needed.contains(&line.segment.prefix()) && seen.insert(line.segment) {
                    live += line.length;
                }
            }
        }
        let others = self
            .store
            .list("")
            .unwrap()
            .into_iter()
            .filter(|object| !object.name.as_str().starts_with("packs/"));
        live + others.map(|object| object.length).sum::<Bytes>()
    }
}

/// A repository that has nothing but the last snapshots of so many nights.
fn fresh(nights: u64) -> Bytes {
    let mut fresh = Nights::new(Rewriting::OFF);
    for night in 1..=nights {
        fresh.change();
        if night + KEEP as u64 > nights {
            fresh.backup();
        }
    }
    fresh.stored()
}

#[test]
fn thirty_nights_need_little_more_than_a_fresh_repository() {
    let mut nights = Nights::new(Rewriting::default());
    let last = if std::env::var_os("LIFEBOAT_SOAK").is_some() { 90 } else { 30 };
    for night in 1..=last {
        nights.change();
        let report = nights.backup();
        nights.expire();
        println!(
            "night {night}: {} files, {}; {} stored anew, for {} that lived in {} dying segments; in packs {}",
            report.counts.files,
            report.counts.bytes,
            report.stored,
            report.rewritten.bytes,
            report.rewritten.segments,
            nights.stored()
        );
        if night % 30 == 0 {
            let (needed, fresh) = (nights.live(), fresh(night));
            println!(
                "night {night}: {needed} are needed, {fresh} of a fresh repository: {} %",
                needed.0 * 100 / fresh.0
            );
            assert!(needed.0 * 100 <= fresh.0 * MOST, "{needed} of {fresh}");
        }
    }
    let target = nights.world.dir.path().join("target");
    let report = nights.world.restore(&target).unwrap();
    println!(
        "restored {}, fetched {}: {} %",
        report.bytes,
        report.fetched,
        report.fetched.0 * 100 / report.bytes.0
    );
    compare::assert_same(&nights.world.source(), &target);
}
