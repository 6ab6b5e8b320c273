//! What a repository says of itself: what was taken away is noticed, what is strange stops nothing, and what was cut
//! off long ago costs nothing.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backup::Job;
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::{Kind, SigningKey};
use lifeboat_repo::format::records::{FenceBody, GcBody};
use lifeboat_repo::format::{self, FORMAT_VERSION, names};
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::examine::look_integrity;
use lifeboat_tests::forge::Forger;
use lifeboat_tests::proof::{Ahead, scratch};
use lifeboat_tests::stock::{Safe, Toolbox, enrol_maintainer, put_signed};
use lifeboat_tests::{World, label, write};

const CHECK: &str = "scripts/check-signatures";

/// A world on a store in memory, after a backup.
fn world() -> (World, MemoryStore) {
    let store = MemoryStore::new();
    let world = World::over(Arc::new(store.clone()), scratch());
    write(&world.source(), "tenants/acme/a", b"a of acme");
    world.backup().unwrap();
    (world, store)
}

/// The same on a disk, for stock tools.
fn local_world() -> World {
    let world = World::new();
    write(&world.source(), "tenants/acme/a", b"a of acme");
    world.backup().unwrap();
    world
}

fn put_gc(world: &World, maintainer: &SigningKey, seq: u32, snapshots: Vec<ObjectName>) -> ObjectName {
    let (seq, time) = (names::Seq(seq), SystemClock.now());
    let body =
        GcBody { format: FORMAT_VERSION, seq, time, packs: Vec::new(), snapshots, ..GcBody::default() };
    let name: ObjectName = format!("gc/{seq}").parse().unwrap();
    put_signed(world, maintainer, Kind::Gc, &name, &format::encode(&body, "gc").unwrap());
    name
}

fn put_fence(world: &World, maintainer: &SigningKey, fence: RunId) -> ObjectName {
    let body = FenceBody { format: FORMAT_VERSION, fence, time: SystemClock.now() };
    let name = names::snapshot(&label("files"), fence).unwrap();
    put_signed(world, maintainer, Kind::Fence, &name, &format::encode(&body, "fence").unwrap());
    name
}

// --- what runs that were cut off cost later ones

/// Backs up; how many ledger entries and how many objects it read.
fn reads_of(world: &World, job: &Job, clock: &dyn Clock) -> (usize, usize) {
    let counting = Arc::new(FaultyStore::new(Arc::clone(&world.store)));
    world.run(Arc::clone(&counting) as Arc<dyn Store>, job, clock, &Silent).unwrap();
    let log = counting.log();
    let reads = log.iter().filter(|call| matches!(call.operation, Operation::Read | Operation::ReadRange));
    let entries = reads.clone().filter(|call| call.subject.starts_with("ledger/")).count();
    (entries, reads.count())
}

/// Dies at an operation; how many there would have been is told beforehand.
fn die(world: &World, store: &MemoryStore, job: &Job, at: impl Fn(u64) -> u64, clock: &dyn Clock) {
    let aside = scratch();
    let counting = Arc::new(FaultyStore::new(store.fork()));
    let same = Job { state: aside.path().to_owned(), ..job.clone() };
    world.run(Arc::clone(&counting) as Arc<dyn Store>, &same, clock, &Silent).unwrap();
    let dying = FaultyStore::new(store.clone()).stop_at(at(counting.operations()), Fault::Before);
    let aside = scratch();
    let same = Job { state: aside.path().to_owned(), ..job.clone() };
    assert!(world.run(Arc::new(dying), &same, clock, &Silent).is_err());
}

/// Runs die early and late, of this component and of one that never runs again; a clock goes back; snapshots expire
/// and are collected; an entry says nothing of runs. Yet the twentieth run after reads no more than the third.
#[test]
fn what_was_cut_off_costs_later_runs_nothing() {
    let (world, store) = world();
    world.enrol("w1", &world.writer.public(), &world.card, &["files", "docs"]);
    let docs = Job { component: label("docs"), ..world.job_with_state(world.dir.path().join("docs")) };
    let ahead = |hours: u64| Ahead(Duration::from_secs(hours * 3600));
    write(&world.source(), "tenants/beta/b", b"b of beta");
    die(&world, &store, &world.job(), |all| all / 2, &ahead(3));
    die(&world, &store, &docs, |all| all / 2, &ahead(1));
    die(&world, &store, &docs, |all| all - 6, &ahead(2));
    let afterwards = |what: &str| {
        let costs: Vec<(usize, usize)> = (0..20).map(|_| reads_of(&world, &world.job(), &ahead(4))).collect();
        let steady = costs[2];
        assert!(costs[2..].iter().all(|cost| *cost == steady), "{what}: {costs:?}");
        // Only the newest entry.
        assert_eq!(steady.0, 1, "{what}: {costs:?}");
        for one in world.listed(&world.store) {
            assert!(matches!(one.standing, Standing::Counts | Standing::Expired), "{what}: {}", one.name);
        }
        world.verify(&world.store).assert_passed(what);
    };
    afterwards("deaths");

    // Expired and collected: the run objects stay.
    let maintainer = SigningKey::from_seed([3; 32]);
    enrol_maintainer(&world, "m1", &maintainer);
    let expired: Vec<ObjectName> =
        world.listed(&world.store).into_iter().take(5).map(|one| one.name).collect();
    put_gc(&world, &maintainer, 0, expired.clone());
    for name in &expired {
        store.remove(name);
    }
    afterwards("snapshots gone");

    let mut forger = Forger::new(&world, "acme");
    forger.put_run();
    forger.record(&world);
    die(&world, &store, &world.job(), |all| all - 2, &ahead(5));
    let (first, _) = reads_of(&world, &world.job(), &ahead(6));
    assert!(first > 40, "the whole ledger is read once: {first} entries");
    afterwards("an entry that says nothing");
}

// --- strangers

/// Names that are none, wherever somebody may put an object.
const STRANGERS: &[&str] = &[
    "cards/w1/stray",
    "gc/stray",
    "index/stray",
    "index/w1/stray",
    "keys/stray",
    "ledger/stray",
    "ledger/w1/stray",
    "packs/stray",
    "runs/w1/stray",
    "seals/stray",
    "snapshots/files/stray",
    "snapshots/stray",
    "stray",
    "trust/stray",
];

#[test]
fn a_strange_name_is_told_of_and_stops_nothing() {
    let world = local_world();
    for name in STRANGERS {
        let name: ObjectName = name.parse().unwrap();
        assert_eq!(world.store.create(&name, b"what is this").unwrap(), Created::New);
    }
    write(&world.source(), "tenants/acme/b", b"b of acme");
    world.backup().unwrap();
    die_late(&world);
    world.backup().unwrap();
    world.restore(&world.dir.path().join("restored")).unwrap();
    world.enrol("w2", &SigningKey::from_seed([5; 32]).public(), &world.card, &["files"]);
    let verdict = world.verify(&world.store);
    verdict.assert_passed("with strangers");
    for area in ["gc", "index", "ledger", "trust", "snapshots"] {
        let told = verdict.findings.iter().any(|one| {
            one.object.to_string().starts_with(area)
                && one.what.contains("no object of Lifeboat has such a name")
        });
        assert!(told, "{area}: {:#?}", verdict.findings);
    }
    let safe = Safe::new(&world);
    let said = Toolbox::new().script(CHECK, safe.papers());
    let counted = format!(" {} strangers, 0 damaged", STRANGERS.len());
    assert!(said.status == Some(0) && said.stdout.contains(&counted), "{said:#?}");
    assert!(said.stderr.contains("not objects of Lifeboat"), "{said:#?}");
    let mut papers = safe.papers();
    papers.push("--list".as_ref());
    let said = Toolbox::new().script("scripts/break-glass", &papers);
    assert!(said.status == Some(0) && said.stdout.matches("\tcounts\t").count() == 5, "{said:#?}");
}

/// A run that dies after its snapshot, before its last ledger entry.
fn die_late(world: &World) {
    let run = |store: &Arc<FaultyStore<Arc<dyn Store>>>| {
        let state = scratch();
        let job = world.job_with_state(state.path().to_owned());
        world.run(Arc::clone(store) as Arc<dyn Store>, &job, &SystemClock, &Silent)
    };
    write(&world.source(), "tenants/acme/c", b"c of acme");
    let counting = Arc::new(FaultyStore::new(Arc::clone(&world.store)));
    run(&counting).unwrap();
    write(&world.source(), "tenants/acme/d", b"d of acme");
    let before = world.store.list("snapshots/").unwrap().len();
    // One index object more is read than last time, and trust is looked at once more behind the entry.
    let dying = FaultyStore::new(Arc::clone(&world.store)).stop_at(counting.operations(), Fault::Before);
    assert!(run(&Arc::new(dying)).is_err());
    assert_eq!(world.store.list("snapshots/").unwrap().len(), before + 1);
    assert!(world.listed(&world.store).iter().any(|one| one.standing == Standing::Unrecorded));
}

// --- what was taken away

/// Taking the newest seal away, both objects of it, would pass an older one off as the newest.
#[test]
fn that_the_newest_seal_is_gone_is_noticed() {
    let world = local_world();
    world.enrol("w2", &SigningKey::from_seed([5; 32]).public(), &world.card, &["files"]);
    world.backup().unwrap();
    let newest = ["seals/00000002/officers", "seals/00000002/writers"];
    let safe = Safe::new(&world);
    let tools = Toolbox::new();
    assert_eq!(tools.script(CHECK, safe.papers()).status, Some(0));
    assert_eq!(look_integrity(&world, &world.store).damage().map(|one| one.to_string()).next(), None);
    for name in newest {
        assert!(world.store.delete(&name.parse().unwrap()).unwrap(), "{name}");
    }
    let verdict = look_integrity(&world, &world.store);
    let said = tools.script(CHECK, safe.papers());
    assert_eq!(said.status, Some(1), "{said:#?}");
    for name in newest {
        assert_eq!(verdict.word(name), "named", "{verdict:#?}");
        assert!(said.stderr.contains(&format!("DAMAGED: {name} is missing")), "{said:#?}");
    }
    let mut papers = safe.papers();
    papers.push("--list".as_ref());
    let said = tools.script("scripts/break-glass", &papers);
    assert!(said.status == Some(0) && said.stderr.contains(&format!("WARNING: {}", newest[0])), "{said:#?}");
}

/// Fences and gc records: each damaged, and gone, after a checkpoint has seen it.
#[test]
fn damage_to_fences_and_gc_records_is_found() {
    let world = local_world();
    let maintainer = SigningKey::from_seed([3; 32]);
    enrol_maintainer(&world, "m1", &maintainer);
    let (safe, tools) = (Safe::new(&world), Toolbox::new());
    // A run that was announced and never committed.
    let run = {
        let mut forger = Forger::new(&world, "acme");
        forger.put_run();
        forger.run
    };
    let fence = put_fence(&world, &maintainer, run);
    let old =
        world.listed(&world.store).into_iter().find(|one| one.standing == Standing::Counts).unwrap().name;
    let gc = put_gc(&world, &maintainer, 0, vec![old]);
    world.backup().unwrap();
    // Put after the newest checkpoint: it counted neither.
    put_fence(&world, &maintainer, RunId::new(SystemClock.now(), [0xfe; 8]));
    assert_eq!(look_integrity(&world, &world.store).damage().map(|one| one.to_string()).next(), None);
    let said = tools.script(CHECK, safe.papers());
    assert_eq!(said.status, Some(0), "{said:#?}");
    for name in [&fence, &gc] {
        let whole = world.store.read(name, Bytes::mib(1)).unwrap();
        let area = name.as_str().split_once('/').unwrap().0;
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            Some(bytes)
        };
        let end = whole.len() - 3;
        for damage in
            [flipped(0), flipped(100), flipped(end), Some(whole[..end].to_vec()), Some(Vec::new()), None]
        {
            assert!(world.store.delete(name).unwrap());
            if let Some(bytes) = &damage {
                assert_eq!(world.store.create(name, bytes).unwrap(), Created::New);
            }
            let verdict = look_integrity(&world, &world.store);
            // Of what is gone only numbers and a hash are known.
            let blamed = if damage.is_some() { name.as_str() } else { area };
            assert_eq!(verdict.word(blamed), "named", "{name}: {verdict:#?}");
            let said = tools.script(CHECK, safe.papers());
            let blamed = if damage.is_none() && area == "gc" { "gc records are missing" } else { blamed };
            let named = said.stderr.lines().any(|line| line.starts_with("DAMAGED") && line.contains(blamed));
            assert!(said.status == Some(1) && named, "{name}: {said:#?}");
            if damage.is_some() {
                assert!(world.store.delete(name).unwrap());
            }
            assert_eq!(world.store.create(name, &whole).unwrap(), Created::New);
        }
    }
}
