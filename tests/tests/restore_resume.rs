//! A restore that was cut off anywhere goes on where it was, and fetches only what is missing.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lifeboat_repo::ids::RunId;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_restore::{
    Choice, InPlace, Options, Plan, Report, RestoreError, RestoreErrorKind, Selection, Status,
};
use lifeboat_tests::compare::{assert_same, listing};
use lifeboat_tests::trees::{Maker, noise, one_of_each};
use lifeboat_tests::{World, label};

fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn with_plan<T>(
    world: &World,
    choice: Choice,
    selection: &Selection,
    work: impl FnOnce(&Arc<dyn Store>, &Plan) -> T,
) -> T {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let component = label("files");
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&component)).unwrap();
    let chosen = lifeboat_restore::choose(&listed, &component, choice).unwrap();
    let plan = lifeboat_restore::plan(&recovery, chosen.snapshot, selection, &Silent).unwrap();
    work(&world.store, &plan)
}

fn all<T>(world: &World, work: impl FnOnce(&Arc<dyn Store>, &Plan) -> T) -> T {
    with_plan(world, Choice::Latest, &Selection::default(), work)
}

/// One thread, so that a step is a step.
fn options(in_place: Option<InPlace>) -> Options {
    Options { workers: NonZeroUsize::new(1), in_place, ..Options::default() }
}

/// Says stop at the n-th event.
struct Until(usize, AtomicUsize);

impl Observer for Until {
    fn tell(&self, _: Event) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) >= self.0
    }
}

/// Many segments, with files that reach across several.
fn many_segments() -> World {
    let world = World::over(Arc::new(MemoryStore::new()), shm());
    one_of_each(&world.source());
    let m = Maker::new(&world.source());
    for number in 0..5 {
        m.file(format!("noise {number}"), &noise(number, 5 << 20));
    }
    m.sparse(
        "tenants/acme/sparse",
        20 << 20,
        &[(1 << 20, &noise(9, 6 << 20)), (12 << 20, &noise(10, 5 << 20))],
    );
    world.backup().unwrap();
    world
}

/// The places of packs that were read.
fn places(store: &FaultyStore<Arc<dyn Store>>) -> usize {
    store.log().iter().filter(|call| call.operation == Operation::ReadRange).count()
}

#[test]
fn nothing_that_was_restored_is_fetched_again() {
    let world = many_segments();
    let total = all(&world, |_, plan| plan.segments);
    assert!(total >= 10, "{total}");
    let source = listing(&world.source());
    let mut interrupted = BTreeSet::new();
    for events in 1.. {
        let dir = shm();
        let target = dir.path().join("target");
        let first = all(&world, |store, plan| {
            let counted = FaultyStore::new(Arc::clone(store));
            let outcome = lifeboat_restore::perform(
                &counted,
                plan,
                &target,
                &options(None),
                &Until(events, AtomicUsize::new(0)),
            );
            (outcome, places(&counted) as u64)
        });
        let Err(error) = first.0 else { break };
        assert!(matches!(error.kind, RestoreErrorKind::Cancelled), "{error}");
        assert!(error.to_string().contains("do the same again"), "{error}");
        interrupted.insert(first.1);
        let (report, second) = all(&world, |store, plan| {
            let counted = FaultyStore::new(Arc::clone(store));
            let report = lifeboat_restore::perform(&counted, plan, &target, &options(None), &Silent).unwrap();
            (report, places(&counted) as u64)
        });
        assert_eq!((report.status(), report.segments), (Status::Complete, second));
        assert_eq!(first.1 + second, total, "after {events} events");
        assert!(report.changes.is_some_and(|changes| changes.continues));
        lifeboat_tests::compare::assert_equal(&source, &listing(&target));
    }
    // It was cut off after every segment.
    assert_eq!(interrupted, (0..=total).collect());
}

/// A file system that holds so many inodes, unmounted at the end.
struct Disk(PathBuf, #[expect(dead_code, reason = "removed at the end")] tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        let dir = shm();
        let at = dir.path().join("disk");
        fs::create_dir(&at).unwrap();
        let disk = Self(at, dir);
        disk.mount(&["-t", "tmpfs", "tmpfs"]);
        disk
    }

    /// So many more inodes than are in use; any number where none is said.
    fn inodes_left(&self, count: Option<u64>) {
        let used = rustix::fs::statvfs(&self.0).unwrap();
        let most = count.map_or(0, |count| used.f_files - used.f_ffree + count);
        self.mount(&["-o", &format!("remount,nr_inodes={most}")]);
    }

    fn mount(&self, args: &[&str]) {
        let out = Command::new("mount").args(args).arg(&self.0).output().unwrap();
        assert!(out.status.success(), "this needs root: {}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

fn small_world() -> World {
    let world = World::over(Arc::new(MemoryStore::new()), shm());
    one_of_each(&world.source());
    Maker::new(&world.source()).file("several chunks", &noise(1, 3 << 20));
    world.backup().unwrap();
    world
}

#[test]
fn every_entry_may_be_the_one_that_could_not_be_made() {
    let world = small_world();
    let entries = all(&world, |_, plan| plan.entries);
    let mut failed = 0;
    for left in 0.. {
        let disk = Disk::new();
        let target = disk.0.join("target");
        disk.inodes_left(Some(left));
        let restore = || {
            all(&world, |store, plan| {
                lifeboat_restore::perform(store.as_ref(), plan, &target, &options(None), &Silent)
            })
        };
        match restore() {
            Ok(report) => {
                assert_eq!(report.status(), Status::Complete);
                break;
            }
            Err(error) => assert!(error.to_string().contains("No space left"), "{error}"),
        }
        failed += 1;
        disk.inodes_left(None);
        let report = restore().unwrap();
        assert_eq!((report.status(), report.finding_counts.warnings), (Status::Complete, 0), "{report:?}");
        assert_same(&world.source(), &target);
    }
    assert!(failed > entries / 2, "{failed} of {entries}");
}

#[test]
fn every_replacement_may_be_the_one_that_could_not_be_made() {
    let world = small_world();
    let how = Some(InPlace { delete: true, ..InPlace::default() });
    let mut failed = 0;
    for left in 0.. {
        let disk = Disk::new();
        let target = disk.0.join("target");
        all(&world, |store, plan| {
            lifeboat_restore::perform(store.as_ref(), plan, &target, &options(None), &Silent).unwrap()
        });
        let m = Maker::new(&target);
        for path in ["plain", "two names", "listed", "dir/inner", "tenants/acme/chat", "sparse"] {
            m.file(path, b"what was there before");
        }
        fs::remove_file(m.path("link")).unwrap();
        m.symlink("link", "elsewhere");
        fs::remove_dir_all(m.path("dir")).unwrap();
        m.file("dir", b"no directory");
        m.dir("surplus/deep");
        disk.inodes_left(Some(left));
        let restore = |in_place| {
            all(&world, |store, plan| {
                lifeboat_restore::perform(store.as_ref(), plan, &target, &options(in_place), &Silent)
            })
        };
        if restore(how).is_ok() {
            break;
        }
        failed += 1;
        disk.inodes_left(None);
        // Its mark says what it was: it goes on without being told that it may. What is surplus needs to be told.
        let marked = m.path(".lifeboat-restore").exists();
        let report = restore(if marked && failed % 2 == 0 { None } else { how }).unwrap();
        assert_eq!(report.status(), Status::Complete, "{report:?}");
        restore(how).unwrap();
        assert_same(&world.source(), &target);
    }
    assert!(failed >= 2, "{failed}");
}

fn cut_off(world: &World, choice: Choice, target: &Path) -> RestoreError {
    with_plan(world, choice, &Selection::default(), |store, plan| {
        let until = Until(6, AtomicUsize::new(0));
        lifeboat_restore::perform(store.as_ref(), plan, target, &options(None), &until).unwrap_err()
    })
}

fn restore(
    world: &World,
    choice: Choice,
    selection: &Selection,
    target: &Path,
    how: Option<InPlace>,
) -> Result<Report, RestoreError> {
    with_plan(world, choice, selection, |store, plan| {
        lifeboat_restore::perform(store.as_ref(), plan, target, &options(how), &Silent)
    })
}

#[test]
fn only_the_same_restore_goes_on() {
    let world = many_segments();
    let first: RunId = with_plan(&world, Choice::Latest, &Selection::default(), |_, plan| plan.run);
    let before = listing(&world.source());
    Maker::new(&world.source()).file("plain", b"changed");
    world.backup().unwrap();
    let dir = shm();
    let target = dir.path().join("target");
    let error = cut_off(&world, Choice::Run(first), &target);
    assert!(error.so_far.is_some(), "{error}");
    let left = listing(&target);
    assert!(left.paths().any(|path| path == b".lifeboat-restore"), "a mark says what it is");
    let some = Selection { paths: vec![b"plain".to_vec()], ..Selection::default() };
    for (choice, selection) in [(Choice::Latest, &Selection::default()), (Choice::Run(first), &some)] {
        let error = restore(&world, choice, selection, &target, None).unwrap_err();
        assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(&first.to_string()) && text.contains("--in-place"), "{text}");
        lifeboat_tests::compare::assert_equal(&left, &listing(&target));
    }
    restore(&world, Choice::Run(first), &Selection::default(), &target, None).unwrap();
    lifeboat_tests::compare::assert_equal(&before, &listing(&target));

    // Cut off again, it may be turned into another, and no mark of either stays.
    fs::remove_dir_all(&target).unwrap();
    cut_off(&world, Choice::Run(first), &target);
    restore(&world, Choice::Latest, &Selection::default(), &target, Some(InPlace::default())).unwrap();
    assert_same(&world.source(), &target);
}

#[test]
fn times_are_not_trusted_in_what_was_cut_off() {
    let world = small_world();
    let first: RunId = all(&world, |_, plan| plan.run);
    Maker::new(&world.source()).file("listed", b"changed");
    world.backup().unwrap();
    let trusting = Some(InPlace { trust_times: true, ..InPlace::default() });
    // Cut off by whichever restore: a crash of the machine may have kept a time and not the content.
    for choice in [Choice::Latest, Choice::Run(first)] {
        let dir = shm();
        let target = dir.path().join("target");
        cut_off(&world, choice, &target);
        let good = fs::metadata(world.source().join("plain")).unwrap();
        let plain = target.join("plain");
        fs::write(&plain, vec![0; usize::try_from(good.len()).unwrap()]).unwrap();
        fs::File::options()
            .append(true)
            .open(&plain)
            .unwrap()
            .set_modified(good.modified().unwrap())
            .unwrap();
        restore(&world, Choice::Latest, &Selection::default(), &target, trusting).unwrap();
        assert_same(&world.source(), &target);
    }
}

/// Begins another restore into the same target in the midst of one.
struct Rival<'r> {
    world: &'r World,
    target: &'r Path,
    phase: &'static str,
    how: Option<InPlace>,
    said: Mutex<Option<String>>,
}

impl Observer for Rival<'_> {
    fn tell(&self, event: Event) {
        if event == Event::Phase(self.phase) {
            let again = restore(self.world, Choice::Latest, &Selection::default(), self.target, self.how);
            *self.said.lock().unwrap() = Some(again.unwrap_err().to_string());
        }
    }
}

#[test]
fn two_restores_into_one_target_do_not_mix() {
    let world = small_world();
    let dir = shm();
    let target = dir.path().join("target");
    let in_place = Some(InPlace::default());
    for (phase, how) in
        [("restoring files", None), ("looking at what is there", in_place), ("restoring files", in_place)]
    {
        let rival = Rival { world: &world, target: &target, phase, how, said: Mutex::default() };
        all(&world, |store, plan| {
            lifeboat_restore::perform(store.as_ref(), plan, &target, &options(how), &rival).unwrap()
        });
        let said = rival.said.lock().unwrap().take().unwrap();
        assert!(said.contains("another restore is writing into it"), "{phase}: {said}");
        assert_same(&world.source(), &target);
        Maker::new(&target).file("plain", b"to be put right");
    }
}

/// Says stop when a phase begins.
struct UntilPhase(&'static str, AtomicUsize);

impl Observer for UntilPhase {
    fn tell(&self, event: Event) {
        if event == Event::Phase(self.0) {
            self.1.store(1, Ordering::Relaxed);
        }
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) > 0
    }
}

#[test]
fn who_is_not_root_goes_on_too() {
    let Some(dir) = lifeboat_tests::nobody::child() else {
        let dir = shm();
        rustix::fs::chown(dir.path(), Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
        lifeboat_tests::nobody::run("who_is_not_root_goes_on_too", dir.path());
        return;
    };
    let world = World::over(Arc::new(MemoryStore::new()), tempfile::tempdir_in(&dir).unwrap());
    let m = Maker::new(&world.source());
    m.dir("closed/deep");
    m.file("closed/deep/read only", &noise(1, 2000));
    m.xattr("closed/deep/read only", "user.a", b"a");
    m.file("closed/deep/unreadable", b"secret");
    m.file("large", &noise(2, 9 << 20));
    m.mode("closed/deep/read only", 0o444);
    m.mode("closed/deep/unreadable", 0o200);
    m.mode("closed/deep", 0o500);
    m.mode("closed", 0o550);
    m.mode(".", 0o555);
    world.backup().unwrap();
    let target = dir.join("target");
    let stops: [&dyn Observer; 2] =
        [&UntilPhase("restoring files", AtomicUsize::new(0)), &Until(7, AtomicUsize::new(0))];
    for stop in stops {
        let error = all(&world, |store, plan| {
            lifeboat_restore::perform(store.as_ref(), plan, &target, &options(None), stop).unwrap_err()
        });
        assert!(matches!(error.kind, RestoreErrorKind::Cancelled), "{error}");
    }
    let mark = fs::read(target.join(".lifeboat-restore")).unwrap();
    let report = restore(&world, Choice::Latest, &Selection::default(), &target, None).unwrap();
    assert_eq!((report.status(), report.finding_counts.warnings), (Status::Complete, 1), "{report:?}");
    assert!(!target.join(".lifeboat-restore").exists());
    // Cut off when all modes were set, which let nobody in any more.
    let there = Maker::new(&target);
    there.mode(".", 0o700);
    fs::write(target.join(".lifeboat-restore"), mark).unwrap();
    there.mode(".", 0o555);
    let report = restore(&world, Choice::Latest, &Selection::default(), &target, None).unwrap();
    assert_eq!((report.status(), report.segments), (Status::Complete, 0), "{report:?}");
    assert!(!target.join(".lifeboat-restore").exists());
    for path in ["closed", "closed/deep", "closed/deep/read only", "large", "."] {
        use std::os::unix::fs::MetadataExt;
        let (source, there) = (m.path(path).metadata().unwrap(), target.join(path).metadata().unwrap());
        let of = |meta: &fs::Metadata| (meta.mode(), meta.mtime(), meta.mtime_nsec(), meta.len());
        if source.is_file() {
            assert_eq!(of(&source), of(&there), "{path}");
        } else {
            assert_eq!(of(&source).0, of(&there).0, "{path}");
        }
    }
    // And so that it can be removed.
    for root in [world.source(), target] {
        for path in [".", "closed", "closed/deep"] {
            Maker::new(&root).mode(path, 0o700);
        }
    }
}
