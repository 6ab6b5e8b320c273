//! Crashes: a run that ends at any operation of the store, at any loss of power, at any moment, harms nothing. What
//! is listed comes back, verification finds no damage, and the next backup succeeds.

#![cfg(test)]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_backup::{BackupErrorKind, Job};
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::format::names;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::index;
use lifeboat_repo::repository::ledger::Ledger;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::lossy::LossyDisk;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::recorder::RecordingStore;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::{World, write};

/// Says what a test went through; shown with `--success-output`.
macro_rules! counted {
    ($($text:tt)*) => { eprintln!($($text)*) };
}

const BOTH: [Fault; 2] = [Fault::Before, Fault::After];

/// A small tree of three tenants.
fn plant(root: &Path) {
    for tenant in ["acme", "beta", "gamma"] {
        for number in 0..4 {
            write(
                root,
                &format!("tenants/{tenant}/d{}/f{number}", number % 2),
                format!("{tenant} {number}").repeat(50).as_bytes(),
            );
        }
    }
    write(root, "tenants/acme/noise", &noise(1, 300_000));
    write(root, "shared/readme", b"of nobody");
    symlink("../acme", root.join("tenants/beta/link")).unwrap();
    fs::hard_link(root.join("tenants/gamma/d0/f0"), root.join("tenants/gamma/again")).unwrap();
}

/// Changes of every tenant, and a tenant come and gone.
fn change(root: &Path) {
    write(root, "tenants/acme/d0/f0", b"other content");
    write(root, "tenants/delta/new", &noise(2, 100_000));
    fs::remove_file(root.join("tenants/beta/d1/f1")).unwrap();
    fs::rename(root.join("tenants/beta/d0/f2"), root.join("tenants/beta/moved")).unwrap();
    fs::set_permissions(root.join("tenants/acme/noise"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_dir_all(root.join("tenants/gamma")).unwrap();
}

/// A repository before the run that is to die, on a store that forks cheaply.
struct Stage {
    world: World,
    base: MemoryStore,
    /// The state directory before the run.
    state: PathBuf,
    expected: Expected,
    /// What the run backs up.
    source: Arc<Tree>,
}

impl Stage {
    /// Nothing was backed up yet.
    fn first() -> Self {
        let base = MemoryStore::new();
        let world = World::over(Arc::new(base.clone()), scratch());
        plant(&world.source());
        let source = Arc::new(Tree::of(&world.source()));
        let state = world.dir.path().join("state");
        Self { world, base, state, expected: Expected::new(), source }
    }

    /// There is a backup, and the source has changed since.
    fn second() -> Self {
        let mut stage = Self::first();
        let report = stage.world.backup().unwrap();
        stage.expected.insert(report.run, stage.source);
        change(&stage.world.source());
        stage.source = Arc::new(Tree::of(&stage.world.source()));
        stage
    }

    fn job(&self, state: &Path) -> Job {
        self.world.job_with_state(state.to_owned())
    }

    /// A copy of the state directory, for one try.
    fn copy_state(&self) -> tempfile::TempDir {
        let to = scratch();
        copy_files(&self.state, to.path());
        to
    }

    /// Runs a backup that dies at the `at`-th operation; whether it was reached.
    fn die(&self, store: &MemoryStore, state: &Path, at: u64, fault: Fault) -> bool {
        let faulty = Arc::new(FaultyStore::new(store.clone()).stop_at(at, fault));
        let outcome =
            self.world.run(Arc::clone(&faulty) as Arc<dyn Store>, &self.job(state), &SystemClock, &Silent);
        let reached = faulty.operations() >= at;
        assert_eq!(outcome.is_err(), reached, "operation {at} {fault:?}: {outcome:?}");
        reached
    }

    /// Everything that must hold after a crash; what the state directory is, is up to the caller.
    fn assert_survived(&self, store: &Arc<dyn Store>, state: &Path, context: &str) {
        let mut expected = self.expected.clone();
        self.expect_new(&mut expected, store);
        let before = self.world.assert_restorable(store, &expected, context);
        assert!(before >= self.expected.len(), "{context}: a snapshot is gone");
        self.world.verify(store).assert_undamaged(context);

        let report = self.world.run(Arc::clone(store), &self.job(state), &SystemClock, &Silent);
        let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(report.problems.total(), 0, "{context}");
        self.expect_new(&mut expected, store);
        for one in self.world.listed(store) {
            assert_eq!(one.standing, Standing::Counts, "{context}: {}", one.name);
        }
        assert_eq!(self.world.assert_restorable(store, &expected, context), before + 1, "{context}");
        self.world.verify(store).assert_passed(context);
    }

    /// Whatever is listed and was not there before holds the source.
    fn expect_new(&self, expected: &mut Expected, store: &Arc<dyn Store>) {
        for one in self.world.listed(store) {
            expected.entry(one.run).or_insert_with(|| Arc::clone(&self.source));
        }
    }

    /// Dies at every operation in both ways; how often.
    fn die_everywhere(&self) -> u64 {
        let mut runs = 0;
        for at in 1.. {
            for fault in BOTH {
                let (store, state) = (self.base.fork(), self.copy_state());
                if !self.die(&store, state.path(), at, fault) {
                    assert!(at > 20, "a backup takes more than {at} operations");
                    return runs;
                }
                runs += 1;
                let store: Arc<dyn Store> = Arc::new(store);
                self.assert_survived(&store, state.path(), &format!("died at operation {at}, {fault:?}"));
            }
        }
        runs
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_first_backup_may_die_at_every_operation() {
    let runs = Stage::first().die_everywhere();
    counted!("first backup: stopped {runs} times, at every operation, before and after it");
}

#[test]
fn a_second_backup_may_die_at_every_operation() {
    let runs = Stage::second().die_everywhere();
    counted!("second backup: stopped {runs} times, at every operation, before and after it");
}

#[test]
fn deaths_in_a_row_leave_nothing_unrecorded() {
    let stage = Stage::second();
    let count = |store: &MemoryStore, state: &Path| {
        let counting = Arc::new(FaultyStore::new(store.fork()));
        let job = stage.job(state);
        stage.world.run(Arc::clone(&counting) as Arc<dyn Store>, &job, &SystemClock, &Silent).unwrap();
        counting.operations()
    };
    let last = count(&stage.base, stage.copy_state().path());
    let mut runs = 0;
    for first in last - 7..last {
        let (store, state) = (stage.base.fork(), stage.copy_state());
        assert!(stage.die(&store, state.path(), first, Fault::After));
        let counted = scratch();
        copy_files(state.path(), counted.path());
        let last = count(&store, counted.path());
        for then in last - 7..last {
            let (store, again) = (store.fork(), scratch());
            copy_files(state.path(), again.path());
            assert!(stage.die(&store, again.path(), then, Fault::After));
            runs += 2;
            let store: Arc<dyn Store> = Arc::new(store);
            stage.assert_survived(&store, again.path(), &format!("died at {first}, then at {then}"));
        }
    }
    counted!("two deaths in a row: {runs} stopped runs");
}

#[test]
fn power_may_fail_after_every_change_of_the_store() {
    let mut crashes = 0;
    for stage in [Stage::first(), Stage::second()] {
        let recorder = Arc::new(RecordingStore::new(stage.base.fork()));
        let state = stage.copy_state();
        stage
            .world
            .run(Arc::clone(&recorder) as Arc<dyn Store>, &stage.job(state.path()), &SystemClock, &Silent)
            .unwrap();
        let mut seen = HashSet::new();
        for count in 0..=recorder.changes().len() {
            for seed in [0, 1, 7, 8] {
                let store = recorder.after_crash(&stage.base, count, seed);
                let names: Vec<String> =
                    store.list("").unwrap().into_iter().map(|object| object.name.to_string()).collect();
                if !seen.insert(names) {
                    continue;
                }
                crashes += 1;
                let store: Arc<dyn Store> = Arc::new(store);
                let context = format!("power failed after change {count}, seed {seed}");
                stage.assert_survived(&store, stage.copy_state().path(), &context);
            }
        }
    }
    counted!("power failed {crashes} times in different ways");
}

#[test]
fn what_an_interrupted_run_left_and_the_next_uses_is_recorded() {
    let stage = Stage::first();
    for at in 1.. {
        let (store, state) = (stage.base.fork(), stage.copy_state());
        if !stage.die(&store, state.path(), at, Fault::Before) {
            break;
        }
        let store: Arc<dyn Store> = Arc::new(store);
        let report =
            stage.world.run(Arc::clone(&store), &stage.job(state.path()), &SystemClock, &Silent).unwrap();
        assert_recorded(&stage.world, &store, &report.snapshot, &format!("died at operation {at}"));
    }
}

/// Keys, cards, indexes and packs behind a snapshot stand in its writer's ledger.
fn assert_recorded(world: &World, store: &Arc<dyn Store>, name: &ObjectName, context: &str) {
    let repository = world.repository_over(Arc::clone(store));
    let recovery = world.recovery(&repository);
    let recorded = Ledger::load_all(&repository).unwrap().into_values().next().unwrap().recorded();
    let listed = world.listed(store);
    let snapshot = listed.iter().find(|one| one.name == *name).and_then(|one| one.snapshot.as_ref()).unwrap();
    let keys: Vec<String> = snapshot.keys.iter().map(|share| share.key.to_string()).collect();
    let objects: Vec<ObjectName> = store.list("").unwrap().into_iter().map(|object| object.name).collect();
    let mut needed: Vec<ObjectName> =
        objects.iter().filter(|name| keys.iter().any(|key| name.last() == key)).cloned().collect();
    for name in objects.iter().filter(|name| name.as_str().starts_with("index/")) {
        needed.push(name.clone());
        let index = index::read(&repository, recovery.catalog(), name).unwrap();
        needed.extend(index.header.packs.iter().map(|pack| names::pack(pack.0).unwrap()));
    }
    assert!(needed.len() > 2 * keys.len());
    for name in needed {
        assert!(recorded.contains_key(&name), "{context}: no ledger names {name}");
    }
}

#[test]
fn a_local_disk_may_lose_power_at_any_operation() {
    let mut crashes = 0;
    let mut seed = 2;
    for after in 0.. {
        let disk = LossyDisk::new();
        let world = World::over(Arc::new(disk.store()), scratch());
        plant(&world.source());
        let source = Arc::new(Tree::of(&world.source()));
        let mut stage = Stage {
            base: MemoryStore::new(),
            state: world.dir.path().join("state"),
            expected: Expected::new(),
            source,
            world,
        };
        if after % 2 == 1 {
            let report = stage.world.backup().unwrap();
            stage.expected.insert(report.run, Arc::clone(&stage.source));
            change(&stage.world.source());
            stage.source = Arc::new(Tree::of(&stage.world.source()));
        }
        disk.stop_after(after);
        let died = stage.world.backup_over(Arc::new(disk.store())).is_err();
        disk.crash(seed);
        seed += 1;
        let store: Arc<dyn Store> = Arc::new(disk.store());
        stage.assert_survived(
            &store,
            &stage.state,
            &format!("power failed after disk operation {after}, seed {seed}"),
        );
        if !died && after % 2 == 1 {
            break;
        }
        crashes += u64::from(died);
    }
    counted!("a local disk lost power {crashes} times");
}

/// Stops when this many batches were taken.
struct Impatient {
    left: AtomicU64,
}

impl Observer for Impatient {
    fn tell(&self, event: Event) {
        if matches!(event, Event::Progress { .. }) {
            let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        }
    }

    fn cancelled(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn a_stopped_run_keeps_what_it_stored() {
    let mut stage = Stage::first();
    for number in 0..80 {
        write(
            &stage.world.source(),
            &format!("tenants/beta/big{number:02}"),
            &noise(100 + number, 1_000_000),
        );
    }
    stage.source = Arc::new(Tree::of(&stage.world.source()));
    let whole = {
        let (store, state) = (stage.base.fork(), scratch());
        stage.world.run(Arc::new(store), &stage.job(state.path()), &SystemClock, &Silent).unwrap().stored
    };
    let (store, state) = (stage.base.fork(), scratch());
    let impatient = Impatient { left: AtomicU64::new(6) };
    let error = stage
        .world
        .run(Arc::new(store.clone()), &stage.job(state.path()), &SystemClock, &impatient)
        .unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Interrupted), "{error}");
    let store: Arc<dyn Store> = Arc::new(store);
    assert!(stage.world.listed(&store).is_empty());
    let kept: u64 = store.list("packs/").unwrap().iter().map(|pack| pack.length.0).sum();
    assert!(kept > 5_000_000 && kept < whole.0, "kept {kept} of {whole:?}");
    assert_eq!(stage.world.verify(&store).unrecorded, 0, "what was stored is recorded");
    let after =
        stage.world.run(Arc::new(store.clone()), &stage.job(state.path()), &SystemClock, &Silent).unwrap();
    assert!(
        after.stored.0 < whole.0 - kept + 500_000,
        "stored {:?} more, {kept} kept of {whole:?}",
        after.stored
    );
    stage.assert_survived(&store, state.path(), "stopped by a person");
}

/// Large files are streamed, by readers that wait for whoever stores what they read.
#[test]
fn a_run_that_dies_among_large_files_ends() {
    let stage = Stage::first();
    for number in 0..12 {
        write(
            &stage.world.source(),
            &format!("tenants/beta/big{number:02}"),
            &noise(100 + number, 6_000_000),
        );
    }
    let count = Arc::new(FaultyStore::new(stage.base.fork()));
    let job = stage.job(stage.copy_state().path());
    stage.world.run(Arc::clone(&count) as Arc<dyn Store>, &job, &SystemClock, &Silent).unwrap();
    let first = count.log().iter().position(|call| call.operation == Operation::Upload).unwrap() as u64;
    for at in first..first + 6 {
        let (store, state) = (stage.base.fork(), scratch());
        assert!(stage.die(&store, state.path(), at, Fault::Before));
    }
}
