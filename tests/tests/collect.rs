//! Collection: what no snapshot needs goes, whatever else happens meanwhile, and nothing else ever does.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::{BackupError, Job, Report};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::names::{self, Place, Seq, place};
use lifeboat_repo::ids::{ObjectName, PackId, RunId};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::{Deleted, Knobs, Reason, WaitsFor, WhyLeft, sweep};
use lifeboat_repo::repository::gc;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::faulty::{Call, Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::collecting::{AT_ONCE, Aging, HOUR, HOURS, aging_world};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Ahead, Expected, scratch};
use lifeboat_tests::{World, write};

/// Two tenants with a file of noise each, and something shared.
fn plant(root: &Path, tenant: &str, seed: u64) {
    write(root, &format!("tenants/{tenant}/data"), &noise(seed, 40_000));
    write(root, &format!("tenants/{tenant}/note"), format!("{tenant} {seed}").as_bytes());
}

/// A world, its two maintainers, and what each of its snapshots must bring back.
struct Scene {
    world: World,
    memory: MemoryStore,
    clock: Aging,
    keepers: [Arc<Credentials>; 2],
    expected: Expected,
    snapshots: Vec<ObjectName>,
}

impl Scene {
    fn new() -> Self {
        let (world, memory, clock) = aging_world();
        let keepers = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
        let scene = Self { world, memory, clock, keepers, expected: Expected::new(), snapshots: Vec::new() };
        plant(&scene.world.source(), "acme", 1);
        plant(&scene.world.source(), "beta", 2);
        scene
    }

    /// One whose first snapshot is expired, and whose second needs half of what the first stored.
    fn half_dead() -> Self {
        let mut scene = Self::new();
        scene.backup();
        plant(&scene.world.source(), "acme", 3);
        scene.backup();
        scene.world.expire(&scene.keepers[0], &scene.snapshots[..1]);
        scene
    }

    fn backup(&mut self) -> Report {
        let report = self.run(&Silent).unwrap();
        self.note(&report);
        report
    }

    fn run(&self, observer: &dyn Observer) -> Result<Report, BackupError> {
        let clock = Ahead(Duration::from_secs(5));
        self.world.run(Arc::clone(&self.world.store), &self.world.job(), &clock, observer)
    }

    fn note(&mut self, report: &Report) {
        self.expected.insert(report.run, Arc::new(Tree::of(&self.world.source())));
        self.snapshots.push(report.snapshot.clone());
    }

    fn collect(&self, knobs: &Knobs) -> lifeboat_tests::collecting::Collected {
        self.world.collect(Arc::clone(&self.world.store), &self.keepers[0], knobs).unwrap()
    }

    fn packs(&self) -> Vec<PackId> {
        packs(&self.memory)
    }

    fn assert_whole(&self, restorable: usize, context: &str) {
        assert_whole(&self.world, &self.memory, &self.expected, restorable, context);
    }
}

/// Each may be a round trip to another continent.
fn assert_no_record_is_read_twice(watched: &FaultyStore<MemoryStore>) {
    let mut read = BTreeMap::<String, u32>::new();
    for call in watched.log().into_iter().filter(|call| call.operation == Operation::Read) {
        *read.entry(call.subject).or_default() += 1;
    }
    for area in ["gc/", "index/", "ledger/", "runs/", "snapshots/"] {
        let mut of = read.iter().filter(|(name, _)| name.starts_with(area)).peekable();
        assert!(of.peek().is_some() || area == "runs/", "{area}: nothing is read");
        assert_eq!(of.find(|(_, count)| **count > 1), None);
    }
}

fn assert_whole(world: &World, memory: &MemoryStore, expected: &Expected, restorable: usize, context: &str) {
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    assert_eq!(world.assert_restorable(&store, expected, context), restorable, "{context}");
    world.verify(&store).assert_undamaged(context);
}

fn packs(store: &dyn Store) -> Vec<PackId> {
    let listed = store.list("packs/").unwrap();
    listed
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Pack(pack)) => Some(pack),
            _ => None,
        })
        .collect()
}

/// Expired, condemned with a copy of what is live, swept; and then nothing is left to do.
#[test]
fn space_comes_back_and_what_is_live_moves() {
    let mut scene = Scene::half_dead();
    let first = scene.packs();
    assert_eq!(first.len(), 2);
    let young = scene.collect(&HOURS);
    assert!(young.plan.packs.is_empty() && young.plan.left.iter().any(|left| left.why == WhyLeft::Young));
    scene.clock.pass(HOUR);
    let watched = Arc::new(FaultyStore::new(scene.memory.clone()));
    let planned =
        scene.world.collect(Arc::clone(&watched) as Arc<dyn Store>, &scene.keepers[0], &HOURS).unwrap();
    assert_no_record_is_read_twice(&watched);
    assert_eq!(planned.plan.packs.len(), 1, "{planned:?}");
    let Reason::Dead { share, live } = planned.plan.packs[0].reason else { panic!("{planned:?}") };
    assert!((20..80).contains(&share.0) && live > Bytes(40_000), "{planned:?}");
    assert_eq!((planned.condemned.moved.packs, planned.swept.deleted.packs), (1, 0), "{planned:?}");
    assert_eq!(planned.swept.deleted.snapshots, 1, "its record was due before: {planned:?}");
    assert!(scene.packs().contains(&first[0]) && scene.packs().contains(&first[1]));
    scene.assert_whole(1, "condemned");

    // The writer goes on, and stores nothing again that was copied.
    let again = scene.backup();
    assert_eq!(again.packs, 0, "{again:?}");
    scene.clock.pass(HOUR);
    let swept = scene.collect(&HOURS).swept;
    assert_eq!((swept.deleted.packs, swept.deleted.snapshots), (1, 0), "{swept:?}");
    assert_eq!((swept.moved.segments, swept.lost.len()), (0, 0), "{swept:?}");
    assert!(!scene.packs().contains(&planned.plan.packs[0].pack));
    scene.assert_whole(2, "swept");
    std::fs::remove_dir_all(scene.world.dir.path().join("state")).unwrap();
    assert_eq!(scene.backup().packs, 0, "without local state too");
    scene.assert_whole(3, "swept, and backed up");

    // What is expired altogether goes, index objects too.
    let all = scene.snapshots.clone();
    scene.world.expire(&scene.keepers[1], &all);
    scene.clock.pass(HOUR);
    let rest = scene.collect(&HOURS);
    assert!(!rest.plan.indexes.is_empty() && rest.plan.packs.len() == 2, "{rest:?}");
    scene.clock.pass(HOUR);
    let gone = scene.collect(&HOURS);
    assert!(scene.packs().is_empty() && scene.memory.list("index/").unwrap().is_empty(), "{gone:?}");
    let quiet = scene.collect(&HOURS);
    assert_eq!((quiet.condemned.record, quiet.swept.deleted.packs), (None, 0));
    scene.backup();
    scene.assert_whole(1, "begun anew");
}

/// Told, and nothing changed.
#[test]
fn a_dry_sweep_changes_nothing() {
    let scene = Scene::half_dead();
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    scene.clock.pass(HOUR);
    let before = scene.memory.list("").unwrap();
    let repository = scene.world.repository();
    let keeper =
        Maintainer::open(&repository, Arc::clone(&scene.keepers[0]), &SystemClock, &SystemEntropy).unwrap();
    let told = sweep(&keeper, &HOURS, false, &Silent).unwrap();
    assert_eq!((told.deleted.packs, told.deleted.snapshots), (1, 0), "the snapshot was due before");
    assert_eq!(scene.memory.list("").unwrap(), before);
    assert_eq!(sweep(&keeper, &HOURS, true, &Silent).unwrap().deleted, told.deleted);
}

/// What hosts without a disk left goes once a newer one is whole, whatever else is due.
#[test]
fn states_go_once_newer_ones_are_whole() {
    let scene = Scene::new();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let host = scratch();
        let job = Job { state_in_repository: true, ..scene.world.job_with_state(host.path().to_owned()) };
        let report = scene.world.run(Arc::clone(&scene.world.store), &job, &Ahead(HOUR), &Silent).unwrap();
        runs.push(report.run);
    }
    // One that is being put: its last part is not there yet.
    let newer = "state/files/20991127t000000000z-0123456789abcdef.00000001".parse().unwrap();
    assert_eq!(scene.memory.create(&newer, b"a part").unwrap(), Created::New);
    let before = scene.memory.list("").unwrap();
    let repository = scene.world.repository();
    let keeper =
        Maintainer::open(&repository, Arc::clone(&scene.keepers[0]), &SystemClock, &SystemEntropy).unwrap();
    let told = sweep(&keeper, &HOURS, false, &Silent).unwrap();
    assert_eq!(scene.memory.list("").unwrap(), before);
    let done = scene.collect(&HOURS);
    let planned: Vec<RunId> = done
        .plan
        .states
        .iter()
        .map(|old| match place(&old.name) {
            Some(Place::State(_, run, _)) => run,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(planned, runs[..2]);
    assert_eq!((done.swept.deleted.states, done.swept.deleted.packs), (2, 0), "{done:?}");
    assert_eq!(told.deleted, done.swept.deleted);
    assert_eq!(done.swept.deleted.bytes, done.plan.states.iter().map(|old| old.length).sum());
    let left: Vec<ObjectName> =
        scene.memory.list("state/").unwrap().into_iter().map(|object| object.name).collect();
    let newest = names::state(&scene.world.job().component, runs[2], Seq(0)).unwrap();
    assert_eq!(left, [newest, newer]);
    let again = scene.collect(&HOURS);
    assert_eq!((again.plan.states.len(), again.swept.deleted), (0, Deleted::default()), "{again:?}");
}

/// Holds a run where it tells of a phase, until it is let go.
struct Holding(Sender<()>, Mutex<Receiver<()>>);

impl Observer for Holding {
    fn tell(&self, event: Event) {
        if event == Event::Phase("commit") {
            self.0.send(()).unwrap();
            self.1.lock().unwrap().recv().unwrap();
        }
    }
}

/// Runs a backup, and `meanwhile` just before it commits.
fn backup_with(scene: &Scene, meanwhile: impl FnOnce(&Scene)) -> Result<Report, BackupError> {
    let ((here, arrived), (release, go)) = (channel(), channel());
    let holding = Holding(here, Mutex::new(go));
    std::thread::scope(|scope| {
        // Dropped where `meanwhile` fails, so that nobody waits for ever.
        let release = release;
        let run = scope.spawn(|| scene.run(&holding));
        arrived.recv().unwrap();
        meanwhile(scene);
        release.send(()).unwrap();
        run.join().unwrap()
    })
}

/// A run that began before the plan relies on what it condemns: it is waited for, and what it needs is kept.
#[test]
fn a_run_that_may_not_have_seen_the_plan_is_waited_for() {
    let mut scene = Scene::new();
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots.clone());
    scene.clock.pass(HOUR);
    let slow = backup_with(&scene, |scene| {
        let planned = scene.collect(&HOURS);
        assert_eq!(planned.plan.packs.len(), 1, "{planned:?}");
        scene.clock.pass(HOUR * 2);
        for _ in 0..2 {
            let waiting = scene.collect(&HOURS).swept;
            assert_eq!(waiting.deleted.packs, 0, "{waiting:?}");
            assert!(matches!(&waiting.left.waiting[0].what, WaitsFor::Runs(runs) if runs.len() == 1));
        }
    })
    .unwrap();
    assert_eq!(slow.packs, 0, "it deduplicated into the condemned pack: {slow:?}");
    scene.note(&slow);
    let condemned = scene.packs();
    let swept = scene.collect(&HOURS).swept;
    assert_eq!(swept.deleted.packs, 1, "{swept:?}");
    assert!(swept.moved.segments > 0 && !scene.packs().contains(&condemned[0]));
    scene.assert_whole(1, "after a slow run");
}

/// One that takes too long is ended, and cannot commit any more.
#[test]
fn a_run_that_takes_too_long_is_ended() {
    let mut scene = Scene::new();
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots.clone());
    scene.clock.pass(HOUR);
    let refused = backup_with(&scene, |scene| {
        scene.collect(&HOURS);
        scene.clock.pass(HOUR * 30);
        let swept = scene.collect(&HOURS).swept;
        assert_eq!((swept.fenced.len(), swept.deleted.packs), (1, 1), "{swept:?}");
    })
    .unwrap_err();
    assert!(refused.to_string().contains("a collector ended this run"), "{refused}");
    scene.backup();
    scene.assert_whole(1, "after a fence");
}

/// A snapshot that is expired, swept and gone frees its name, and its run is over all the same.
#[test]
fn a_run_whose_snapshot_is_gone_is_over() {
    let scene = Scene::half_dead();
    scene.clock.pass(HOUR);
    assert_eq!(scene.collect(&HOURS).swept.deleted.snapshots, 1);
    scene.world.put_gc(&scene.keepers[0], &GcDraft::default());
    let repository = scene.world.repository();
    let last = scene.memory.list("gc/").unwrap().pop().unwrap().name;
    let Some(Place::Gc(seq)) = place(&last) else { panic!("{last}") };
    let record = gc::read(&repository, &last, seq).unwrap();
    assert_eq!(record.open, Some(Vec::new()));
}

/// Dies at each operation, before it or after it; another maintainer finishes.
#[test]
fn a_collector_may_die_anywhere_and_another_finishes() {
    let mut scene = Scene::new();
    plant(&scene.world.source(), "gamma", 5);
    scene.backup();
    plant(&scene.world.source(), "acme", 3);
    plant(&scene.world.source(), "gamma", 6);
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots[..1]);
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    plant(&scene.world.source(), "gamma", 7);
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots[1..2]);
    scene.clock.pass(HOUR);
    // One record is due, another pack is to be condemned and, without ages, swept at once.
    let counting = Arc::new(FaultyStore::new(scene.memory.fork()));
    let whole = scene.world.collect(Arc::clone(&counting) as _, &scene.keepers[0], &AT_ONCE).unwrap();
    assert!(whole.condemned.moved.segments > 0 && whole.swept.deleted.packs > 1, "{whole:?}");
    let (mut died, step) = (0, if std::env::var_os("LIFEBOAT_SOAK").is_some() { 1 } else { 2 });
    for at in (1..=counting.operations()).step_by(step) {
        for fault in [Fault::Before, Fault::After] {
            let memory = scene.memory.fork();
            let dying = Arc::new(FaultyStore::new(memory.clone()).stop_at(at, fault));
            let context = || format!("died {fault:?} {}", dying.log().last().unwrap());
            if scene.world.collect(Arc::clone(&dying) as _, &scene.keepers[0], &AT_ONCE).is_ok() {
                continue;
            }
            died += 1;
            let context = context();
            assert_restorable(&scene, &memory, 1, &context);
            scene.world.collect(Arc::new(memory.clone()), &scene.keepers[1], &AT_ONCE).unwrap();
            scene.world.collect(Arc::new(memory.clone()), &scene.keepers[1], &AT_ONCE).unwrap();
            assert_whole(&scene.world, &memory, &scene.expected, 1, &context);
            let rest = packs(&memory).len();
            assert!(rest <= 3, "{context}: {rest} packs are left");
        }
    }
    eprintln!("a collection of {} operations died {died} times", counting.operations());
}

fn assert_restorable(scene: &Scene, memory: &MemoryStore, restorable: usize, context: &str) {
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    assert_eq!(scene.world.assert_restorable(&store, &scene.expected, context), restorable, "{context}");
}

/// At each operation of a collection another one runs from beginning to end; at each, a backup; and at each operation of
/// a backup a collection. Nothing that counts is lost, and no run that nobody ended fails.
#[test]
fn others_may_come_at_any_operation() {
    let scene = Arc::new(Scene::half_dead());
    scene.clock.pass(HOUR);
    let step = if std::env::var_os("LIFEBOAT_SOAK").is_some() { 1 } else { 3 };
    let counting = Arc::new(FaultyStore::new(scene.memory.fork()));
    scene.world.collect(Arc::clone(&counting) as _, &scene.keepers[0], &AT_ONCE).unwrap();
    for at in (1..=counting.operations()).step_by(step) {
        for backup in [false, true] {
            let memory = scene.memory.fork();
            let (inner, inside) = (memory.clone(), Arc::clone(&scene));
            let run: Arc<Mutex<Option<RunId>>> = Arc::default();
            let ran = Arc::clone(&run);
            let faulty = FaultyStore::new(memory.clone()).call_at(at, move || {
                let store: Arc<dyn Store> = Arc::new(inner);
                if backup {
                    *ran.lock().unwrap() = Some(back_up_apart(&inside, store).unwrap().run);
                } else {
                    inside.world.collect(store, &inside.keepers[1], &AT_ONCE).unwrap();
                }
            });
            let store = Arc::new(faulty);
            scene.world.collect(Arc::clone(&store) as _, &scene.keepers[0], &AT_ONCE).unwrap();
            let context = format!("at {at}, {}", if backup { "a backup" } else { "a collector" });
            scene.world.assert_told(&(Arc::new(memory.clone()) as Arc<dyn Store>), &context);
            let mut expected = scene.expected.clone();
            if let Some(run) = *run.lock().unwrap() {
                expected.insert(run, Arc::new(Tree::of(&scene.world.source())));
            }
            for _ in 0..2 {
                assert_whole(&scene.world, &memory, &expected, expected.len() - 1, &context);
                scene.world.collect(Arc::new(memory.clone()), &scene.keepers[1], &AT_ONCE).unwrap();
            }
        }
    }
    let counting = Arc::new(FaultyStore::new(scene.memory.fork()));
    back_up_apart(&scene, Arc::clone(&counting) as _).unwrap();
    for at in (1..=counting.operations()).step_by(step) {
        let memory = scene.memory.fork();
        let (inner, inside) = (memory.clone(), Arc::clone(&scene));
        let faulty = FaultyStore::new(memory.clone()).call_at(at, move || {
            for keeper in &inside.keepers {
                inside.world.collect(Arc::new(inner.clone()), keeper, &AT_ONCE).unwrap();
            }
        });
        let report = back_up_apart(&scene, Arc::new(faulty)).unwrap();
        let mut expected = scene.expected.clone();
        expected.insert(report.run, Arc::new(Tree::of(&scene.world.source())));
        for _ in 0..2 {
            assert_whole(&scene.world, &memory, &expected, expected.len() - 1, &format!("backup, at {at}"));
            scene.world.collect(Arc::new(memory.clone()), &scene.keepers[1], &AT_ONCE).unwrap();
        }
    }
}

/// A backup with the old content of a tenant, and no memory of what was backed up: it relies on whatever the index says.
fn back_up_apart(scene: &Scene, store: Arc<dyn Store>) -> Result<Report, BackupError> {
    let state = scratch();
    let job = scene.world.job_with_state(state.path().to_owned());
    scene.world.run(store, &job, &Ahead(Duration::from_secs(5)), &Silent)
}

/// A writer remembers the chunks of what was copied, and what told them first is condemned and goes while it relies on the
/// copy.
#[test]
fn what_a_writer_remembers_is_told_wherever_it_was_copied_to() {
    let mut scene = Scene::half_dead();
    scene.clock.pass(HOUR);
    let moved = scene.collect(&HOURS);
    assert_eq!(moved.condemned.moved.packs, 1, "{moved:?}");
    // Nothing needs the copy any more, which is young; the index object that told its chunks first goes for itself.
    let beta = scene.world.source().join("tenants/beta");
    std::fs::rename(&beta, scene.world.dir.path().join("beta")).unwrap();
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots[1..2]);
    let planned = scene.collect(&HOURS).plan;
    assert_eq!((planned.packs.len(), planned.indexes.len()), (0, 1), "{planned:?}");
    scene.world.assert_told(&scene.world.store, "condemned");
    // Runs are listed once more, so that nobody waits for those that begin from here on.
    scene.world.put_gc(&scene.keepers[0], &GcDraft::default());
    scene.clock.pass(HOUR);
    std::fs::rename(scene.world.dir.path().join("beta"), &beta).unwrap();
    let report = backup_with(&scene, |scene| {
        let swept = scene.collect(&HOURS).swept;
        assert_eq!(swept.deleted.indexes, 1, "{swept:?}");
    })
    .unwrap();
    assert!(report.stored < Bytes::kib(30), "it relies on the copy: {report:?}");
    scene.note(&report);
    scene.assert_whole(2, "what it relies on was condemned meanwhile");
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    scene.assert_whole(2, "copied again");
}

/// A backup that comes in between two listings of a plan: its index object is not taken for one whose packs are gone.
#[test]
fn what_is_put_while_a_plan_is_made_is_not_condemned() {
    let scene = Arc::new(Scene::half_dead());
    scene.clock.pass(HOUR);
    let counting = Arc::new(FaultyStore::new(scene.memory.fork()));
    scene.world.collect(Arc::clone(&counting) as _, &scene.keepers[0], &HOURS).unwrap();
    let lists = |call: &Call| call.operation == Operation::List;
    let both = |call: &Call| lists(call) && ["packs/", "index/"].contains(&call.subject.as_str());
    let log = counting.log();
    let first = log.iter().position(both).unwrap();
    let second = first + 1 + log[first + 1..].iter().position(both).unwrap();
    assert_ne!(log[first].subject, log[second].subject);
    let memory = scene.memory.fork();
    let (inner, inside) = (memory.clone(), Arc::clone(&scene));
    let faulty = FaultyStore::new(memory.clone()).call_at(second as u64 + 1, move || {
        write(&inside.world.source(), "tenants/acme/more", &noise(5, 40_000));
        assert!(back_up_apart(&inside, Arc::new(inner)).unwrap().stored > Bytes(40_000));
    });
    let done = scene.world.collect(Arc::new(faulty), &scene.keepers[0], &HOURS).unwrap();
    assert_eq!((done.plan.packs.len(), done.plan.indexes.len()), (1, 0), "{:?}", done.plan);
    scene.world.assert_told(&(Arc::new(memory) as Arc<dyn Store>), "a backup between two listings");
}

/// A pack that is gone, damage, and needed by nothing is condemned with the index object that names it: out of a replica it
/// may come back, and a writer remembers it.
#[test]
fn a_pack_that_is_gone_is_condemned_with_its_index_object() {
    let mut scene = Scene::new();
    write(&scene.world.source(), "shared", b"before");
    scene.backup();
    let [gone] = scene.packs()[..] else { panic!("one pack") };
    plant(&scene.world.source(), "acme", 3);
    plant(&scene.world.source(), "beta", 4);
    write(&scene.world.source(), "shared", b"after");
    scene.backup();
    scene.world.expire(&scene.keepers[0], &scene.snapshots[..1]);
    let name = names::pack(gone).unwrap();
    let bytes = scene.memory.read(&name, Bytes::mib(1)).unwrap();
    scene.memory.remove(&name);
    scene.clock.pass(HOUR);
    let planned = scene.collect(&HOURS).plan;
    assert_eq!((planned.packs.len(), planned.indexes.len()), (0, 1), "{planned:?}");
    assert_eq!(planned.indexes[0].gone, [gone]);
    assert_eq!(scene.memory.create(&name, &bytes).unwrap(), Created::New);
    scene.world.assert_told(&scene.world.store, "back again");
    plant(&scene.world.source(), "acme", 1);
    let report = scene.backup();
    assert!(report.stored > Bytes(40_000), "nobody relies on it: {report:?}");
}

/// A record that appears after the copying is seen before anything is deleted.
#[test]
fn records_are_listed_again_before_anything_is_deleted() {
    let scene = Scene::half_dead();
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    scene.clock.pass(HOUR);
    let counting = Arc::new(FaultyStore::new(scene.memory.fork()));
    scene.world.collect(Arc::clone(&counting) as _, &scene.keepers[0], &HOURS).unwrap();
    let log = counting.log();
    let delete = log.iter().position(|call| call.operation == Operation::Delete).unwrap();
    let listing = log[..delete].iter().rposition(|call| call.operation == Operation::List).unwrap();
    assert_eq!(log[listing].subject, "gc/");
    // Somebody condemns everything that is there, and finishes with what was not condemned before.
    let memory = scene.memory.clone();
    let standing: Vec<PackId> = scene.packs();
    let (world, keeper) = (Arc::new(scene), listing as u64 + 1);
    let inside = Arc::clone(&world);
    let faulty = FaultyStore::new(memory.clone()).call_at(keeper, move || {
        inside.world.put_gc(&inside.keepers[1], &GcDraft { packs: standing, ..GcDraft::default() });
    });
    world.world.collect(Arc::new(faulty), &world.keepers[0], &HOURS).unwrap();
    let repository = world.world.repository();
    let condemned = gc::Condemned::load(&repository).unwrap();
    for pack in world.packs().into_iter().filter(|pack| condemned.pack(*pack)) {
        memory.remove(&names::pack(pack).unwrap());
    }
    // What lay beside the pack that was swept was condemned with it; that which was swept had been copied again.
    let moved: Vec<PackId> = world.packs();
    assert!(!moved.is_empty(), "what is live was copied to a pack that stays");
}

#[test]
fn a_pack_that_reappears_is_deleted_again() {
    let scene = Scene::half_dead();
    let old: Vec<_> = scene.memory.list("packs/").unwrap();
    let bytes: Vec<_> = old.iter().map(|one| scene.memory.read(&one.name, Bytes::mib(64)).unwrap()).collect();
    scene.clock.pass(HOUR);
    let planned = scene.collect(&HOURS);
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    let back = old
        .iter()
        .zip(&bytes)
        .find(|(one, _)| place(&one.name) == Some(Place::Pack(planned.plan.packs[0].pack)));
    let (name, bytes) = back.map(|(one, bytes)| (&one.name, bytes)).unwrap();
    scene.memory.replace(name, bytes);
    let swept = scene.collect(&HOURS).swept;
    assert_eq!((swept.deleted.packs, swept.moved.segments), (1, 0), "{swept:?}");
    scene.assert_whole(1, "after a pack reappeared");
}

/// A live segment that is damaged keeps its pack from being condemned; where it is condemned all the same, the segment is
/// told to be lost, and blocks nothing.
#[test]
fn a_damaged_live_segment_is_told_and_blocks_nothing() {
    let mut scene = Scene::half_dead();
    scene.clock.pass(HOUR);
    let planned = scene.collect(&Knobs { copy_max: Bytes::ZERO, ..HOURS });
    assert!(planned.plan.packs.is_empty(), "nothing may be copied: {planned:?}");
    let repository = scene.world.repository();
    let keeper =
        Maintainer::open(&repository, Arc::clone(&scene.keepers[0]), &SystemClock, &SystemEntropy).unwrap();
    let plan = lifeboat_repo::repository::collect::survey(&keeper, &HOURS, &Silent).unwrap();
    let pack = plan.packs[0].pack;
    let name = names::pack(pack).unwrap();
    let whole = scene.memory.read(&name, Bytes::mib(64)).unwrap();
    // Everything but table and footer.
    let mut bad = whole.clone();
    let table = bad.len() - 2_000;
    for byte in bad.iter_mut().take(table).step_by(1_000) {
        *byte ^= 1;
    }
    scene.memory.replace(&name, &bad);
    let left = scene.collect(&HOURS);
    assert!(left.condemned.damaged.iter().any(|left| left.pack == pack), "{left:?}");
    assert!(!scene.packs().is_empty());
    scene.world.put_gc(&scene.keepers[0], &GcDraft { packs: vec![pack], ..GcDraft::default() });
    scene.clock.pass(HOUR);
    let swept = scene.collect(&HOURS).swept;
    assert!(!swept.lost.is_empty() && swept.deleted.packs == 1, "{swept:?}");
    let condemned = gc::Condemned::load(&scene.world.repository()).unwrap();
    assert!(swept.lost.iter().all(|segment| condemned.lost(*segment).is_some()));
    // What still exists at the source is stored again, and the next snapshot is whole.
    let run = scene.backup();
    assert!(run.packs > 0, "{run:?}");
    let listed = scene.world.listed(&scene.world.store);
    assert!(listed.iter().any(|one| one.run == run.run && one.standing == Standing::Counts));
    scene.world.expire(&scene.keepers[0], &scene.snapshots[1..2]);
    scene.assert_whole(1, "after a loss");
}

/// What decides on liveness must be read, or nothing goes.
#[test]
fn nothing_is_collected_where_a_snapshot_cannot_be_read() {
    for damage in [None, Some(b"flipped".as_slice())] {
        let scene = Scene::half_dead();
        scene.clock.pass(HOUR);
        let counting = scene.snapshots[1].clone();
        match damage {
            None => scene.memory.remove(&counting),
            Some(bytes) => scene.memory.replace(&counting, bytes),
        }
        let before = scene.memory.list("").unwrap();
        let refused =
            scene.world.collect(Arc::clone(&scene.world.store), &scene.keepers[0], &AT_ONCE).unwrap_err();
        assert!(refused.to_string().contains(counting.as_str()), "{refused}");
        assert!(refused.to_string().contains("retain COMPONENT --snapshot"), "{refused}");
        assert_eq!(scene.memory.list("").unwrap(), before);
        // Expired by name it needs nothing.
        scene.world.expire(&scene.keepers[0], std::slice::from_ref(&counting));
        assert!(scene.collect(&AT_ONCE).swept.deleted.packs > 0);
    }
}

/// A tenant's key expired in a snapshot: its segments go, its neighbour's stay.
#[test]
fn keys_expired_in_a_snapshot_are_not_live() {
    let mut scene = Scene::new();
    let report = scene.backup();
    let listed = scene.world.listed(&scene.world.store);
    let snapshot = listed[0].snapshot.as_ref().unwrap();
    assert_eq!(snapshot.keys.len(), 3);
    let tenants = snapshot.keys.iter().filter(|share| share.bytes > Bytes(40_000)).map(|share| share.key);
    let key = tenants.min().unwrap();
    let keys = vec![(report.snapshot.clone(), key)];
    scene.world.put_gc(&scene.keepers[0], &GcDraft { keys, ..GcDraft::default() });
    let before: u64 = scene.memory.list("packs/").unwrap().iter().map(|one| one.length.0).sum();
    let first = scene.packs();
    scene.clock.pass(HOUR);
    scene.collect(&HOURS);
    scene.clock.pass(HOUR);
    let swept = scene.collect(&HOURS).swept;
    assert_eq!(swept.deleted.packs, 1, "{swept:?}");
    let after: u64 = scene.memory.list("packs/").unwrap().iter().map(|one| one.length.0).sum();
    assert!(after + 30_000 < before && !scene.packs().contains(&first[0]), "{before} {after}");
    let next = scene.backup();
    assert!(next.packs > 0, "what is gone is stored again");
    scene.world.expire(&scene.keepers[0], &scene.snapshots[..1]);
    scene.assert_whole(1, "after a key was expired");
}

/// A pack that no index names goes, unless snapshots need what is in it: then an index object is lost.
#[test]
fn packs_that_no_index_names_are_looked_into() {
    let scene = Scene::half_dead();
    let index = scene.memory.list("index/w1/").unwrap();
    for object in &index {
        scene.memory.remove(&object.name);
    }
    scene.clock.pass(HOUR);
    let planned = scene.collect(&HOURS);
    assert!(planned.plan.packs.is_empty(), "{planned:?}");
    assert!(planned.plan.left.iter().all(|left| left.why == WhyLeft::IndexLost), "{planned:?}");
    scene.world.expire(&scene.keepers[0], &scene.snapshots);
    let unnamed = scene.collect(&HOURS);
    assert_eq!(unnamed.plan.packs.len(), 2, "{unnamed:?}");
    assert!(unnamed.plan.packs.iter().all(|one| one.reason == Reason::Unnamed));
}

/// Heartbeats from long before all snapshots go with a sweep, whatever else is due, and those that somebody may ask for stay.
#[test]
fn heartbeats_from_before_all_snapshots_go() {
    let scene = Scene::new();
    let name = |day: &str| -> ObjectName {
        format!("heartbeats/w1/{day}/{day}t120000000z-0123456789abcdef").parse().unwrap()
    };
    let (old, needed) = (name("20200101"), name("20991127"));
    for one in [&old, &needed] {
        assert_eq!(scene.memory.create(one, b"an entry").unwrap(), Created::New);
    }
    let repository = scene.world.repository();
    let keeper =
        Maintainer::open(&repository, Arc::clone(&scene.keepers[0]), &SystemClock, &SystemEntropy).unwrap();
    let told = sweep(&keeper, &HOURS, false, &Silent).unwrap();
    assert_eq!((told.deleted.heartbeats, told.deleted.bytes), (0, Bytes::ZERO), "there is no snapshot yet");
    scene.world.backup().unwrap();
    let told = sweep(&keeper, &HOURS, false, &Silent).unwrap();
    assert_eq!((told.deleted.heartbeats, told.deleted.bytes), (1, Bytes(8)));
    assert_eq!(scene.memory.list("heartbeats/").unwrap().len(), 2, "nothing is done");
    assert_eq!(sweep(&keeper, &HOURS, true, &Silent).unwrap().deleted, told.deleted);
    let left: Vec<ObjectName> =
        scene.memory.list("heartbeats/").unwrap().into_iter().map(|object| object.name).collect();
    assert_eq!(left, [needed]);
}
