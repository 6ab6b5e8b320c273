//! Random changes between backups, against a naive model: whatever happened to the tree, every snapshot brings back
//! what was there when it was made.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

#![cfg(test)]

use std::ffi::OsStr;
use std::fs::{self, FileTimes, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::Knobs;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_tests::World;
use lifeboat_tests::collecting::AT_ONCE;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Ahead, Expected, scratch};
use proptest::collection::vec;
use proptest::prelude::*;

const CASES: u32 = 40;
/// Names that make trouble: of bytes that are no text, of controls, of what looks like patterns or escapes.
const NAMES: [&[u8]; 10] = [
    b"a",
    b"b.txt",
    b"c d",
    b"\xff\xfe",
    b"new\nline",
    b"back\\slash",
    b"*?[x]",
    "\u{e9}\u{1f4a7}".as_bytes(),
    b"-rf",
    b"A",
];
const TENANTS: [&str; 4] = ["acme", "beta", "gamma-2", "9.delta"];
/// What a clock may be ahead of the files' times, so that files do not count as changed just now.
const AHEAD: Duration = Duration::from_secs(3600);
/// Longer than a tick of the clock that files are dated by.
const TICK: Duration = Duration::from_millis(12);

/// Something that happens. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    Create(u8, u8, u32),
    CreateLarge(u8, u8),
    Overwrite(u8, u32),
    Append(u8, u16),
    Truncate(u8, u8),
    EditMiddle(u8, u8, u16),
    Rename(u8, u8, u8),
    Delete(u8),
    MakeDirectory(u8, u8),
    RemoveDirectory(u8),
    ChangeMode(u8, u16),
    Symlink(u8, u8, u8),
    Hardlink(u8, u8, u8),
    Touch(u8, u32),
    Tenant(u8),
    TenantGone(u8),
    StateLost,
    Backup,
    Interrupted(u8, bool),
    Expire(u8),
    Collect(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    prop_oneof![
        4 => (n(), n(), 0..20_000_u32).prop_map(|(d, name, length)| Step::Create(d, name, length)),
        1 => (n(), n()).prop_map(|(d, name)| Step::CreateLarge(d, name)),
        3 => (n(), 0..20_000_u32).prop_map(|(f, length)| Step::Overwrite(f, length)),
        2 => (n(), any::<u16>()).prop_map(|(f, length)| Step::Append(f, length)),
        1 => (n(), n()).prop_map(|(f, share)| Step::Truncate(f, share)),
        3 => (n(), n(), 1..5000_u16).prop_map(|(f, at, length)| Step::EditMiddle(f, at, length)),
        3 => (n(), n(), n()).prop_map(|(f, d, name)| Step::Rename(f, d, name)),
        2 => n().prop_map(Step::Delete),
        2 => (n(), n()).prop_map(|(d, name)| Step::MakeDirectory(d, name)),
        1 => n().prop_map(Step::RemoveDirectory),
        2 => (n(), 0..0o7777_u16).prop_map(|(e, mode)| Step::ChangeMode(e, mode)),
        2 => (n(), n(), n()).prop_map(|(d, name, to)| Step::Symlink(d, name, to)),
        2 => (n(), n(), n()).prop_map(|(f, d, name)| Step::Hardlink(f, d, name)),
        2 => (n(), any::<u32>()).prop_map(|(e, time)| Step::Touch(e, time)),
        2 => n().prop_map(Step::Tenant),
        1 => n().prop_map(Step::TenantGone),
        1 => Just(Step::StateLost),
        5 => Just(Step::Backup),
        2 => (n(), any::<bool>()).prop_map(|(at, after)| Step::Interrupted(at, after)),
        2 => n().prop_map(Step::Expire),
        2 => any::<bool>().prop_map(Step::Collect),
    ]
}

/// A source that things happen to, and its repository.
struct Game {
    world: World,
    memory: MemoryStore,
    store: Arc<dyn Store>,
    clock: Ahead,
    expected: Expected,
    keepers: [Arc<Credentials>; 2],
    collected: u64,
    steps: u64,
}

impl Game {
    fn new(ahead: bool) -> Self {
        let memory = MemoryStore::new();
        let world = World::over(Arc::new(memory.clone()), scratch());
        for name in ["tenants", "tenants/acme", "shared"] {
            fs::create_dir(world.source().join(name)).unwrap();
        }
        let store = Arc::new(memory.clone());
        let clock = Ahead(if ahead { AHEAD } else { Duration::ZERO });
        let keepers = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
        Self { world, memory, store, clock, expected: Expected::new(), keepers, collected: 0, steps: 0 }
    }

    /// Everything there is, sorted: directories, files.
    fn entries(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut next = vec![self.world.source()];
        while let Some(directory) = next.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    next.push(entry.path());
                } else if kind.is_file() {
                    files.push(entry.path());
                }
            }
            directories.push(directory);
        }
        directories.sort();
        files.sort();
        // Nothing is made beside the tenants: it would be nobody's.
        directories.retain(|path| !path.ends_with("source") && !path.ends_with("source/tenants"));
        (directories, files)
    }

    fn directory(&self, number: u8) -> PathBuf {
        let (directories, _) = self.entries();
        directories[usize::from(number) % directories.len()].clone()
    }

    fn file(&self, number: u8) -> Option<PathBuf> {
        let (_, files) = self.entries();
        (!files.is_empty()).then(|| files[usize::from(number) % files.len()].clone())
    }

    fn any(&self, number: u8) -> PathBuf {
        let (mut all, files) = self.entries();
        all.extend(files);
        all[usize::from(number) % all.len()].clone()
    }

    fn place(&self, directory: u8, name: u8) -> PathBuf {
        self.directory(directory).join(OsStr::from_bytes(NAMES[usize::from(name) % NAMES.len()]))
    }

    /// Lets something happen; what cannot happen does not.
    fn step(&mut self, step: &Step) {
        self.steps += 1;
        let content = |length: u32| {
            let seed = self.steps;
            if length.is_multiple_of(2) {
                noise(seed, length as usize)
            } else {
                format!("line {seed}\n").repeat(length as usize / 9).into()
            }
        };
        match *step {
            Step::Create(directory, name, length) => create(&self.place(directory, name), &content(length)),
            Step::CreateLarge(directory, name) => {
                create(&self.place(directory, name), &noise(self.steps, 2_500_000))
            }
            Step::Overwrite(file, length) => on(self.file(file), |path| fs::write(path, content(length))),
            Step::Append(file, length) => on(self.file(file), |path| {
                let before = fs::metadata(path)?.len();
                OpenOptions::new().write(true).open(path)?.write_all_at(&noise(7, length.into()), before)
            }),
            Step::Truncate(file, share) => on(self.file(file), |path| {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(file.metadata()?.len() * u64::from(share) / 200)
            }),
            Step::EditMiddle(file, at, length) => on(self.file(file), |path| {
                let file = OpenOptions::new().write(true).open(path)?;
                let at = file.metadata()?.len() * u64::from(at) / 256;
                file.write_all_at(&noise(self.steps, length.into()), at)
            }),
            Step::Rename(file, directory, name) => {
                let to = self.place(directory, name);
                on(self.file(file), |path| if to.is_dir() { Ok(()) } else { fs::rename(path, &to) });
            }
            Step::Delete(file) => on(self.file(file), |path| fs::remove_file(path)),
            Step::MakeDirectory(directory, name) => drop(fs::create_dir(self.place(directory, name))),
            Step::RemoveDirectory(number) => {
                let path = self.directory(number);
                if self.entries().0.len() > 1 {
                    fs::remove_dir_all(path).unwrap();
                }
            }
            Step::ChangeMode(number, mode) => {
                fs::set_permissions(self.any(number), Permissions::from_mode(mode.into())).unwrap();
            }
            Step::Symlink(directory, name, to) => {
                drop(symlink(
                    OsStr::from_bytes(NAMES[usize::from(to) % NAMES.len()]),
                    self.place(directory, name),
                ));
            }
            Step::Hardlink(file, directory, name) => {
                let to = self.place(directory, name);
                on(self.file(file), |path| {
                    drop(fs::hard_link(path, &to));
                    Ok(())
                });
            }
            Step::Touch(number, time) => {
                let time = SystemTime::UNIX_EPOCH + Duration::new(time.into(), time % 1_000_000_000);
                fs::File::open(self.any(number))
                    .unwrap()
                    .set_times(FileTimes::new().set_modified(time))
                    .unwrap();
            }
            Step::Tenant(number) => drop(fs::create_dir(self.tenant(number))),
            Step::TenantGone(number) => {
                if self.entries().0.len() > 1 {
                    drop(fs::remove_dir_all(self.tenant(number)));
                }
            }
            Step::StateLost => drop(fs::remove_dir_all(self.world.dir.path().join("state"))),
            Step::Backup => self.back_up(),
            Step::Interrupted(at, after) => self.interrupted(at, after),
            Step::Expire(number) => self.expire(number),
            Step::Collect(other) => self.collect(other),
        }
        if self.entries().0.is_empty() {
            fs::create_dir(self.world.source().join("shared")).unwrap();
        }
    }

    fn tenant(&self, number: u8) -> PathBuf {
        self.world.source().join("tenants").join(TENANTS[usize::from(number) % TENANTS.len()])
    }

    fn back_up(&mut self) {
        let report =
            self.world.run(Arc::clone(&self.store), &self.world.job(), &self.clock, &Silent).unwrap();
        assert_eq!(report.problems.total(), 0, "{:?}", report.problems);
        self.remember();
        assert!(self.expected.contains_key(&report.run));
        std::thread::sleep(TICK);
    }

    fn interrupted(&mut self, at: u8, after: bool) {
        let fault = if after { Fault::After } else { Fault::Before };
        let faulty = FaultyStore::new(self.memory.clone()).stop_at(u64::from(at % 64) + 1, fault);
        drop(self.world.run(Arc::new(faulty), &self.world.job(), &self.clock, &Silent));
        self.remember();
        std::thread::sleep(TICK);
    }

    /// Expires one of the snapshots, but never the last that counts.
    fn expire(&mut self, number: u8) {
        let mut listed = self.world.listed(&self.store);
        listed.retain(|one| matches!(one.standing, Standing::Counts | Standing::Unrecorded));
        if listed.len() > 1 {
            let one = &listed[usize::from(number) % listed.len()];
            self.world.expire(&self.keepers[0], std::slice::from_ref(&one.name));
            self.expected.remove(&one.run);
        }
    }

    /// Collects all that may go; whatever run died is ended.
    fn collect(&mut self, other: bool) {
        let knobs = Knobs { run_age_max: Duration::ZERO, ..AT_ONCE };
        let keeper = &self.keepers[usize::from(other)];
        let done = self.world.collect(Arc::clone(&self.store), keeper, &knobs).unwrap();
        assert!(done.condemned.damaged.is_empty() && done.swept.lost.is_empty(), "{done:?}");
        self.collected += done.swept.deleted.packs;
    }

    /// Every snapshot that nobody knew before holds the tree as it is.
    fn remember(&mut self) {
        let mut now = None;
        let mut listed = self.world.listed(&self.store);
        listed.retain(|one| matches!(one.standing, Standing::Counts | Standing::Unrecorded));
        for one in listed {
            self.expected.entry(one.run).or_insert_with(|| {
                Arc::clone(now.get_or_insert_with(|| Arc::new(Tree::of(&self.world.source()))))
            });
        }
    }
}

fn create(path: &Path, content: &[u8]) {
    // Through a symbolic link something outside might be written.
    if fs::symlink_metadata(path).is_err() {
        fs::write(path, content).unwrap();
    }
}

fn on(path: Option<PathBuf>, act: impl FnOnce(&PathBuf) -> std::io::Result<()>) {
    if let Some(path) = path {
        act(&path).unwrap();
    }
}

#[test]
fn every_snapshot_brings_back_its_tree() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    // A case that fails is printed whole; it becomes a test of its own.
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    let [sequences, steps, snapshots, packs] = [const { AtomicU64::new(0) }; 4];
    let outcome = proptest::test_runner::TestRunner::new(config).run(
        &(vec(step(), 5..60), any::<bool>()),
        |(played, ahead)| {
            let mut game = Game::new(ahead);
            for step in &played {
                game.step(step);
            }
            game.back_up();
            game.collect(false);
            let restored = game.world.assert_restorable(&game.store, &game.expected, "at the end");
            let listed = game.world.listed(&game.store);
            let counting = listed.iter().filter(|one| one.standing == Standing::Counts).count();
            assert_eq!((counting, restored), (game.expected.len(), game.expected.len()), "each counts");
            game.world.verify(&game.store).assert_passed("at the end");
            sequences.fetch_add(1, Ordering::Relaxed);
            steps.fetch_add(game.steps, Ordering::Relaxed);
            snapshots.fetch_add(restored as u64, Ordering::Relaxed);
            packs.fetch_add(game.collected, Ordering::Relaxed);
            Ok(())
        },
    );
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    eprintln!(
        "{sequences:?} sequences of changes, {steps:?} steps, {snapshots:?} snapshots restored and compared, {packs:?} packs \
         collected"
    );
}
