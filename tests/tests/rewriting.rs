//! A backup stores anew what lives in segments that are mostly dead, and only where that pays.

#![cfg(test)]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backup::{Job, Percent, Report, Rewriting};
use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::SigningKey;
use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::names::{Place, Seq, place};
use lifeboat_repo::format::records::GcBody;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{ObjectName, SegmentPrefix};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_tests::proof::{Ahead, scratch};
use lifeboat_tests::stock::{enrol_maintainer, put_signed};
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, compare, examine, label, write};

/// Files of one segment, of 100 KB each.
const EACH: u64 = 42;

/// A world of three segments, in which time passes by nights, and snapshots expire.
struct Nights {
    world: World,
    store: MemoryStore,
    maintainer: SigningKey,
    night: u64,
    records: u32,
    made: Vec<ObjectName>,
}

impl Nights {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = World::over(Arc::new(store.clone()), scratch());
        let maintainer = SigningKey::from_seed([77; 32]);
        enrol_maintainer(&world, "m1", &maintainer);
        for number in 0..3 * EACH {
            put(&world, number, 0);
        }
        Self { world, store, maintainer, night: 0, records: 0, made: Vec::new() }
    }

    fn clock(&self) -> Ahead {
        Ahead(Duration::from_secs(self.night * 86_400 + 3_600))
    }

    /// The job with a copy of what the host remembers.
    fn job_apart(&self, name: &str) -> Job {
        let state = self.world.dir.path().join(name);
        let copied = Command::new("cp").arg("-a").arg(self.world.job().state).arg(&state).status();
        assert!(copied.unwrap().success());
        Job { state, ..self.job(percent(75, 100)) }
    }

    fn job(&self, rewriting: Rewriting) -> Job {
        Job { rewriting, ..self.world.job() }
    }

    /// A night's backup.
    fn backup(&mut self, rewriting: Rewriting) -> Report {
        self.night += 1;
        let report = self
            .world
            .run(Arc::new(self.store.clone()), &self.job(rewriting), &self.clock(), &Silent)
            .unwrap();
        self.made.push(report.snapshot.clone());
        report
    }

    /// Expires all but so many of the newest.
    fn keep(&mut self, count: usize) {
        let expired = self.made.len() - count;
        let snapshots: Vec<ObjectName> = self.made.drain(..expired).collect();
        let seq = Seq(self.records);
        let time = self.clock().now();
        let body = GcBody { format: FORMAT_VERSION, seq, time, snapshots, ..GcBody::default() };
        let name = format!("gc/{:08}", self.records).parse().unwrap();
        put_signed(&self.world, &self.maintainer, Kind::Gc, &name, &format::encode(&body, "gc").unwrap());
        self.records += 1;
    }

    fn snapshot(&self, report: &Report) -> Snapshot {
        let listed = self.world.listed(&(Arc::new(self.store.clone()) as Arc<dyn Store>));
        listed.into_iter().find(|one| one.name == report.snapshot).unwrap().snapshot.unwrap()
    }

    fn comes_back(&self, name: &str) {
        let target = self.world.dir.path().join(name);
        let Some(Place::Snapshot(_, run)) = self.made.last().and_then(place) else { panic!("no snapshot") };
        let store = Arc::new(self.store.clone()) as Arc<dyn Store>;
        examine::restore(&self.world, &store, &label("files"), Some(run), &target).unwrap();
        compare::assert_same(&self.world.source(), &target);
    }
}

fn put(world: &World, number: u64, version: u64) {
    write(&world.source(), &format!("{number:04}"), &noise(number * 1000 + version, 100_000));
}

fn segments(snapshot: &Snapshot) -> BTreeSet<SegmentPrefix> {
    snapshot.keys.iter().flat_map(|share| share.segments.iter().copied()).collect()
}

fn percent(below: u8, at_most: u8) -> Rewriting {
    Rewriting { below: Percent::new(below).unwrap(), at_most: Percent::new(at_most).unwrap() }
}

/// Most of the first segment's files change, a few of the second's, none of the third's; a snapshot expires.
fn mostly_dead() -> (Nights, Report) {
    let mut nights = Nights::new();
    nights.backup(Rewriting::default());
    nights.night += 20;
    for number in (0..30).chain(42..47) {
        put(&nights.world, number, 1);
    }
    let before = nights.backup(Rewriting::default());
    assert_eq!(before.rewritten.segments, 0);
    (nights, before)
}

#[test]
fn what_lives_in_a_mostly_dead_segment_is_stored_anew() {
    let (mut nights, before) = mostly_dead();
    // Nothing has ever expired: what is stored anew would never free anything.
    let idle = nights.backup(percent(75, 100));
    assert_eq!((idle.rewritten.segments, idle.packs), (0, 0));
    nights.keep(2);
    // Where a manifest is cut is drawn with the key: the small segment of one may be mostly dead, too, at any of these.
    let spared = nights.backup(percent(20, 100)).rewritten.bytes.0;
    assert!(spared < 100_000, "more than a fifth of each lives, yet {spared} bytes are stored anew");
    assert_eq!(nights.backup(Rewriting::OFF).packs, 0);
    let after = nights.backup(percent(75, 100));
    // Where a manifest is cut is drawn with the key: its segment may be mostly dead, too.
    let manifest = after.rewritten.segments - 1;
    assert!(
        manifest <= 1 && (1_200_000..1_225_000).contains(&after.rewritten.bytes.0),
        "{:?}",
        after.rewritten
    );
    assert!((1_200_000..1_250_000).contains(&after.stored.0), "{}", after.stored);
    let (old, new) = (nights.snapshot(&before), nights.snapshot(&after));
    let manifests =
        |snapshot: &Snapshot| snapshot.keys.iter().map(|share| share.manifest.clone()).collect::<Vec<_>>();
    assert_eq!(manifests(&old), manifests(&new), "nothing of the tree is other than it was");
    let (old, new) = (segments(&old), segments(&new));
    let (gone, fresh) = (old.difference(&new).count() as u64, new.difference(&old).count() as u64);
    assert!((1..=2).contains(&gone), "{gone}");
    assert!((2..=1 + gone).contains(&fresh), "what survived is in segments of 1 MiB, not in {fresh}");
    // From then on there is nothing to do, and nothing to read.
    let store = Arc::new(FaultyStore::new(nights.store.clone()));
    nights.night += 1;
    let idle =
        nights.world.run(store.clone(), &nights.job(percent(75, 100)), &nights.clock(), &Silent).unwrap();
    assert_eq!((idle.rewritten.segments, idle.packs), (0, 0));
    let reads = store
        .log()
        .into_iter()
        .filter(|call| matches!(call.operation, Operation::Read | Operation::ReadRange));
    let reads: Vec<String> = reads.map(|call| call.subject).collect();
    assert!(!reads.iter().any(|name| name.starts_with("index/") || name.starts_with("packs/")), "{reads:#?}");
    nights.comes_back("target");
}

#[test]
fn a_night_stores_no_more_anew_than_its_share() {
    let (mut nights, _) = mostly_dead();
    for number in 47..79 {
        put(&nights.world, number, 2);
    }
    nights.backup(Rewriting::OFF);
    nights.keep(1);
    // Of the second segment less lives than of the first. Both are more than the share, so one comes each night; that of a
    // manifest, which is small, may have a night of its own.
    let mut data = Vec::new();
    let mut idle = false;
    for _ in 0..4 {
        let night = nights.backup(percent(75, 1));
        idle = night.packs == 0;
        if night.rewritten.bytes.0 >= 100_000 {
            data.push(night.rewritten.bytes.0 / 100_000);
        }
    }
    assert_eq!((data.as_slice(), idle), ([5, 12].as_slice(), true));
    nights.comes_back("target");
}

#[test]
fn what_an_interrupted_night_stored_anew_is_not_stored_again() {
    let (mut nights, _) = mostly_dead();
    nights.keep(1);
    nights.night += 1;
    let whole = FaultyStore::new(nights.store.fork());
    let whole = Arc::new(whole);
    nights.world.run(whole.clone(), &nights.job_apart("whole"), &nights.clock(), &Silent).unwrap();
    let mut continued = 0;
    for at in 1..whole.operations() {
        let store = nights.store.fork();
        let cut = Arc::new(FaultyStore::new(store.clone()).stop_at(at, Fault::Before));
        let job = nights.job_apart(&format!("cut {at}"));
        assert!(nights.world.run(cut, &job, &nights.clock(), &Silent).is_err());
        let stored = |store: &MemoryStore| store.list("packs/").unwrap().len();
        let confirmed = stored(&store) > stored(&nights.store) && store.list("index/").unwrap().len() == 3;
        let again = nights.world.run(Arc::new(store.clone()), &job, &nights.clock(), &Silent).unwrap();
        assert!((1..=2).contains(&again.rewritten.segments), "its data, and a manifest where that is cut so");
        if confirmed {
            assert_eq!(again.packs, 0, "operation {at}");
            continued += 1;
        }
    }
    assert!(continued > 0);
}
