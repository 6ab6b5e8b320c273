//! Faults of the machine: full disks, what cannot be read or written, a store that fails now and then.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lifeboat_backup::BackupErrorKind;
use lifeboat_repo::ids::RunId;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::store::faulty::{Call, Fault, FaultyStore, Operation};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_restore::RestoreErrorKind;
use lifeboat_restore::report::LossKind;
use lifeboat_tests::examine::{
    Listing, Verdict, judge_restore, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::{World, files_in, label, write};
use lifeboat_verify::{Outcome, Severity};

/// A file system in memory of a certain size, unmounted at the end.
struct Disk {
    at: PathBuf,
    _dir: tempfile::TempDir,
}

impl Disk {
    /// Where a disk cannot be mounted (that takes root) there is none; under CI that is a failure.
    fn new(size: &str) -> Option<Self> {
        let dir = scratch();
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let disk = Self { at, _dir: dir };
        if disk.mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]) {
            return Some(disk);
        }
        assert!(std::env::var_os("LIFEBOAT_CI").is_none(), "cannot mount a file system; run this as root");
        eprintln!("not run: cannot mount a file system; run this as root");
        std::mem::forget(disk);
        None
    }

    fn resize(&self, size: &str) {
        assert!(self.mount(&["-o", &format!("remount,size={size}")]));
    }

    fn mount(&self, args: &[&str]) -> bool {
        Command::new("mount").args(args).arg(&self.at).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.at).output());
    }
}

/// Bytes that no compressor gains on.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// That a snapshot restores exactly.
#[track_caller]
fn restores(world: &World, run: RunId, expected: &Listing) {
    let scratch = scratch();
    let target = scratch.path().join("target");
    let outcome = restore(world, &world.store, &label("files"), Some(run), &target);
    assert_eq!(judge_restore(&outcome, &target, expected), "exact", "{outcome:?}");
}

#[test]
fn a_full_repository_fails_the_backup_and_nothing_else() {
    let Some(disk) = Disk::new("8m") else { return };
    let store = LocalStore::create_at(&disk.at.join("repository")).unwrap();
    let world = World::over(Arc::new(store), scratch());
    write(&world.source(), "tenants/acme/first", &noise(1, 2 << 20));
    let first = world.backup().unwrap().run;
    let before = tree(&world.source());
    restores(&world, first, &before);
    write(&world.source(), "tenants/acme/second", &noise(2, 12 << 20));
    for _ in 0..3 {
        let error = world.backup().unwrap_err();
        assert!(matches!(error.kind, BackupErrorKind::Repository(_)), "{error:?}");
        assert!(error.to_string().contains("No space left on device"), "{error}");
        // Nobody sees a snapshot, and what there was is whole.
        assert_eq!(world.store.list("snapshots/").unwrap().len(), 1);
        restores(&world, first, &before);
        assert!(look_integrity(&world, &world.store).damage().next().is_none());
    }
    disk.resize("64m");
    let second = world.backup().unwrap().run;
    restores(&world, first, &before);
    restores(&world, second, &tree(&world.source()));
    assert_eq!(look_readback(&world, &world.store).word("-"), "-");
}

#[test]
fn a_full_target_is_reported_and_nothing_else_touched() {
    let Some(disk) = Disk::new("2m") else { return };
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    for number in 0..8 {
        write(&world.source(), &format!("tenants/acme/f{number}"), &noise(number + 1, 1 << 20));
    }
    let run = world.backup().unwrap().run;
    let stored = world.store.list("").unwrap();
    let target = disk.at.join("target");
    let error = restore(&world, &world.store, &label("files"), Some(run), &target).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Io { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("No space left on device") && text.contains("the target is incomplete"), "{text}");
    let so_far = error.so_far.unwrap();
    assert!(so_far.entries < so_far.planned, "{so_far:?}");
    assert_eq!(world.store.list("").unwrap(), stored, "a restore only reads");
    // A file that is there under its name is whole, or the error would be worse than none: a later look cannot
    // tell a cut file from a short one.
    restores(&world, run, &tree(&world.source()));
}

#[test]
fn a_source_or_state_that_cannot_be_used_is_named() {
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    write(&world.source(), "tenants/acme/a", b"a");
    let mut gone = world.job();
    let not_there = world.dir.path().join("not-there");
    gone.source = files_in(not_there.clone());
    let run = |job: &lifeboat_backup::Job| {
        let repository = world.repository();
        let (clock, entropy) = (lifeboat_repo::clock::SystemClock, lifeboat_repo::clock::SystemEntropy);
        let silent = lifeboat_repo::observe::Silent;
        lifeboat_backup::run(&repository, world.credentials(), job, &clock, &entropy, &silent)
    };
    let named = |path: &Path, error: &lifeboat_backup::BackupError| {
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    };
    let error = run(&gone).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Source(_)), "{error:?}");
    named(&not_there, &error);
    // A file is no directory to back up.
    let mut file = world.job();
    let no_directory = world.source().join("tenants/acme/a");
    file.source = files_in(no_directory.clone());
    let error = run(&file).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Source(_)), "{error:?}");
    named(&no_directory, &error);
    // Root reads and writes what it likes, so the state's place is taken by a file.
    let mut taken = world.job();
    taken.state = world.dir.path().join("taken");
    std::fs::write(&taken.state, b"a file").unwrap();
    let error = run(&taken).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::State(_)), "{error:?}");
    named(&taken.state, &error);
    assert!(world.store.list("snapshots/").unwrap().is_empty());
    assert!(run(&world.job()).is_ok());
}

#[test]
fn a_state_that_cannot_grow_costs_a_backup_and_no_snapshot() {
    let Some(disk) = Disk::new("64k") else { return };
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    for number in 0..3000 {
        write(&world.source(), &format!("tenants/acme/{number:x<200}"), format!("{number}").as_bytes());
    }
    let mut job = world.job();
    job.state = disk.at.clone();
    let repository = world.repository();
    let (clock, entropy) = (lifeboat_repo::clock::SystemClock, lifeboat_repo::clock::SystemEntropy);
    let silent = lifeboat_repo::observe::Silent;
    match lifeboat_backup::run(&repository, world.credentials(), &job, &clock, &entropy, &silent) {
        Ok(report) => restores(&world, report.run, &tree(&world.source())),
        Err(error) => {
            assert!(matches!(error.kind, BackupErrorKind::State(_)), "{error:?}");
            assert!(error.to_string().contains("No space left on device"), "{error}");
        }
    }
    disk.resize("32m");
    let report =
        lifeboat_backup::run(&repository, world.credentials(), &job, &clock, &entropy, &silent).unwrap();
    restores(&world, report.run, &tree(&world.source()));
}

/// A world in memory with two backups, and what the newest holds.
fn flaky_world() -> (World, RunId, Listing) {
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    for number in 0..6_u64 {
        write(&world.source(), &format!("tenants/acme/f{number}"), &noise(number + 1, 70_000));
        write(&world.source(), &format!("tenants/beta/g{number}"), format!("{number}").as_bytes());
    }
    world.backup().unwrap();
    write(&world.source(), "tenants/beta/late", &noise(99, 70_000));
    let run = world.backup().unwrap().run;
    let expected = tree(&world.source());
    (world, run, expected)
}

fn eio() -> StoreErrorKind {
    StoreErrorKind::Io(std::io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()))
}

/// Runs `work` over a store that fails at its `n`-th operation, for every n until a run needs fewer; `work` can ask
/// which operation failed. Gives the number of faults.
fn at_every_operation(world: &World, work: impl Fn(&Arc<dyn Store>, &dyn Fn() -> Option<Call>)) -> u64 {
    for at in 1.. {
        let flaky = Arc::new(FaultyStore::new(Arc::clone(&world.store)).fail_at(at, Fault::Before, eio()));
        let store: Arc<dyn Store> = Arc::clone(&flaky) as Arc<dyn Store>;
        let place = usize::try_from(at - 1).unwrap();
        work(&store, &|| flaky.log().get(place).cloned());
        if flaky.operations() < at {
            return at - 1;
        }
    }
    unreachable!("there is an end")
}

/// Only dates ahead of the store's clock go unnoticed where it does not tell the time, and a warning says so.
fn asked_for_the_time(failed: Option<Call>) -> bool {
    failed.is_some_and(|call| matches!(call.operation, Operation::Now))
}

#[test]
fn a_restore_over_a_store_that_fails_once_is_exact_or_says_so() {
    let (world, run, expected) = flaky_world();
    let words = std::cell::RefCell::new(std::collections::BTreeMap::<&str, u64>::new());
    let runs = at_every_operation(&world, |store, call| {
        let scratch = scratch();
        let target = scratch.path().join("target");
        let outcome = restore(&world, store, &label("files"), Some(run), &target);
        let word = match judge_restore(&outcome, &target, &expected) {
            "exact" if asked_for_the_time(call()) => "exact without the store's clock",
            word => word,
        };
        *words.borrow_mut().entry(word).or_default() += 1;
        match &outcome {
            Ok(report) => {
                // The bytes may well be whole: that is what the loss must say.
                assert!(report.losses.iter().all(|loss| loss.kind == LossKind::Unchecked), "{report:?}");
                assert!(
                    report.losses.iter().all(|loss| loss.why.contains("Input/output error")),
                    "{report:?}"
                );
            }
            Err(error) => {
                assert!(matches!(error.kind, RestoreErrorKind::Unchecked(_)), "{error:?}");
                assert!(error.to_string().contains("Input/output error"), "{error}");
            }
        }
    });
    let words = words.into_inner();
    println!("{runs} faults: {words:?}");
    assert_eq!(words.get("exact"), Some(&1), "only the run that met no fault");
    assert!(words.contains_key("partial") && words.contains_key("refused"));
}

#[test]
fn a_level_over_a_store_that_fails_once_could_not_check_and_finds_no_damage() {
    let (world, ..) = flaky_world();
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    type Look<'l> = (&'l str, &'l dyn Fn(&Arc<dyn Store>) -> Verdict);
    let levels: [Look<'_>; 3] = [
        ("integrity", &|store| look_integrity(&world, store)),
        ("inventory", &|store| look_inventory(&world, store, recovery.catalog())),
        ("readback", &|store| look_readback(&world, store)),
    ];
    for (level, look) in levels {
        let runs = at_every_operation(&world, |store, call| match look(store) {
            Verdict::Ran(Outcome::Passed, _) => {
                let failed = call();
                let harmless = failed.is_none() || asked_for_the_time(failed.clone());
                assert!(harmless, "{level} passed although this failed: {failed:?}")
            }
            Verdict::Ran(outcome, findings) => {
                let damage = findings.iter().find(|finding| finding.severity == Severity::Damage);
                assert!(damage.is_none(), "{level}: {:?} became {damage:?}", call());
                assert!(matches!(outcome, Outcome::NotRun(_)), "{level}: {outcome}");
            }
            Verdict::Stopped(text) => assert!(text.contains("Input/output error"), "{level}: {text}"),
        });
        println!("{level}: {runs} faults");
    }
}

#[test]
fn a_restore_over_a_store_that_dies_is_partial_or_refused() {
    let (world, run, expected) = flaky_world();
    for at in 1.. {
        let dying = Arc::new(FaultyStore::new(Arc::clone(&world.store)).stop_at(at, Fault::Before));
        let store: Arc<dyn Store> = Arc::clone(&dying) as Arc<dyn Store>;
        let scratch = scratch();
        let target = scratch.path().join("target");
        let outcome = restore(&world, &store, &label("files"), Some(run), &target);
        let word = judge_restore(&outcome, &target, &expected);
        if dying.operations() < at {
            assert_eq!(word, "exact");
            break;
        }
        assert_ne!(word, "exact");
        if let Err(error) = outcome {
            assert!(matches!(error.kind, RestoreErrorKind::Unchecked(_)), "{error:?}");
        }
    }
}

#[test]
fn an_opened_repository_over_a_failing_store_says_that_nothing_is_known() {
    let (world, ..) = flaky_world();
    let dead: Arc<dyn Store> =
        Arc::new(FaultyStore::new(Arc::clone(&world.store)).fail_at(1, Fault::Before, eio()));
    let error = Repository::open(dead, &[world.officer.public()]).unwrap_err();
    assert!(!error.is_damage() && !error.is_missing(), "{error:?}");
    let log = FaultyStore::new(Arc::clone(&world.store));
    let listed = log.list("trust/").unwrap();
    assert_eq!((log.log()[0].operation, listed.len()), (Operation::List, 2));
}
