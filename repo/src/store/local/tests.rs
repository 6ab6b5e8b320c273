#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::SystemTime;

use super::*;
use crate::store::lossy::{Lie, LossyDisk, mix};

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

fn names(store: &dyn Store) -> Vec<String> {
    store.list("").unwrap().into_iter().map(|listed| listed.name.to_string()).collect()
}

fn temporaries(root: &Path) -> usize {
    fs::read_dir(root.join(TEMPORARY)).map_or(0, Iterator::count)
}

/// What may be at a name after a crash; `None` is nothing.
type Owed = BTreeSet<Option<Vec<u8>>>;

/// A disk, a store on it, and what the store owes us.
struct Lives {
    disk: LossyDisk,
    store: LocalStore,
    seed: u64,
    step: u64,
    owed: BTreeMap<ObjectName, Owed>,
    staged: Vec<ObjectName>,
}

impl Lives {
    fn new(seed: u64, lie: Option<Lie>) -> Self {
        let disk = LossyDisk::new();
        if let Some(lie) = lie {
            disk.lie(lie);
        }
        let store = disk.store();
        Self { disk, store, seed, step: 0, owed: BTreeMap::new(), staged: Vec::new() }
    }

    fn chance(&mut self, below: u64) -> u64 {
        self.step += 1;
        mix(self.seed, self.step) % below
    }

    /// A few operations until the disk stops, often in the middle of one.
    fn live(&mut self) {
        let stop = self.chance(120);
        self.disk.stop_after(stop);
        for _ in 0..self.chance(25) {
            let step = self.step;
            match self.chance(10) {
                0..3 => self.stage(&name(&format!("d{}/e{}/staged{step}", step % 2, step % 3))),
                3..6 => {
                    let target =
                        name(&format!("d{}/f{}/o{}", self.chance(2), self.chance(2), self.chance(3)));
                    self.create(&target);
                }
                6 => self.delete(),
                _ => {
                    if self.store.barrier().is_ok() {
                        self.confirm_staged();
                    }
                }
            }
        }
    }

    fn stage(&mut self, target: &ObjectName) {
        let bytes = target.as_str().repeat(20).into_bytes();
        let upload = || {
            let mut upload = self.store.upload()?;
            bytes.chunks(100).try_for_each(|piece| upload.write(piece))?;
            upload.finish(target)
        };
        let staged = if bytes.len().is_multiple_of(2) { self.store.stage(target, &bytes) } else { upload() };
        if staged.is_ok() {
            self.staged.push(target.clone());
            self.owed.insert(target.clone(), Owed::from([None, Some(bytes)]));
        }
    }

    fn create(&mut self, target: &ObjectName) {
        let bytes = format!("{target} {}", self.step).into_bytes();
        let answer = self.store.create(target, &bytes);
        if answer.is_ok() {
            self.confirm_staged();
        }
        let owed = self.owed.entry(target.clone()).or_insert_with(|| Owed::from([None]));
        match answer {
            Ok(Created::New) => {
                assert!(owed.contains(&None), "{target} was created twice");
                *owed = Owed::from([Some(bytes)]);
            }
            Ok(Created::Exists) => {
                // Whatever was there, we were told of it: from here on it must stay.
                let there = self.disk.files().remove(target.as_str());
                assert!(there.is_some() && owed.contains(&there), "{target} was never there");
                *owed = Owed::from([there]);
            }
            Err(_) => {
                owed.insert(Some(bytes));
            }
        }
    }

    fn delete(&mut self) {
        let at = usize::try_from(self.chance(100)).unwrap();
        let Some(target) = self.owed.keys().nth(at % self.owed.len().max(1)).cloned() else { return };
        // What is staged and not confirmed, nobody deletes.
        if self.staged.contains(&target) {
            return;
        }
        let answer = self.store.delete(&target);
        let owed = self.owed.get_mut(&target).unwrap();
        if let Ok(was_there) = answer {
            assert!(owed.iter().any(|may| may.is_some() == was_there), "{target}: {was_there}, {owed:?}");
            owed.clear();
        }
        owed.insert(None);
    }

    fn confirm_staged(&mut self) {
        for target in self.staged.drain(..) {
            assert!(self.owed.get_mut(&target).unwrap().remove(&None));
        }
    }

    /// The process dies, and perhaps the power goes; then everything owed must be there.
    fn die(&mut self) -> Result<(), String> {
        let power_goes = self.chance(3) > 0;
        if power_goes {
            let seed = self.chance(1 << 40);
            self.disk.crash(seed);
        } else {
            self.disk.restart();
        }
        self.store = self.disk.store();
        self.staged.clear();
        let listed = names(&self.store);
        if let Some(stray) = listed.iter().find(|listed| !self.owed.contains_key(&name(listed))) {
            return Err(format!("{stray} was never put"));
        }
        for (target, owed) in &mut self.owed {
            let found = match self.store.read(target, Bytes::mib(1)) {
                Ok(bytes) => Some(bytes),
                Err(error) if error.is_missing() => None,
                Err(error) => return Err(error.to_string()),
            };
            if listed.iter().any(|listed| listed == target.as_str()) != found.is_some() {
                return Err(format!("{target}: listing and reading disagree"));
            }
            if !owed.contains(&found) {
                return Err(format!("{target} holds {found:?}, owed is {owed:?}"));
            }
            // What survived a power cut is on the disk; what only survived a process may still go.
            if power_goes {
                *owed = Owed::from([found]);
            }
        }
        Ok(())
    }
}

/// The first seed for which something owed is lost or torn, and what.
fn first_loss(lie: Option<Lie>) -> Option<String> {
    (0..2_000).find_map(|seed| {
        let mut lives = Lives::new(seed, lie);
        (0..4).find_map(|life| {
            lives.live();
            lives.die().err().map(|loss| format!("seed {seed}, life {life}: {loss}"))
        })
    })
}

#[test]
fn what_was_confirmed_survives_any_crash_and_nothing_is_torn() {
    assert_eq!(first_loss(None), None);
}

#[test]
fn the_crash_test_notices_a_sync_left_out() {
    assert!(first_loss(Some(Lie::FileSync)).is_some());
    assert!(first_loss(Some(Lie::DirectorySync)).is_some());
}

#[test]
fn one_of_many_creators_wins_on_the_real_disk() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let target = name(&format!("new{round}/directories/race"));
        let start = std::sync::Barrier::new(4);
        let wins: Vec<Option<u8>> = thread::scope(|scope| {
            let racer = |id: u8| {
                let (start, target, root) = (&start, &target, root.path());
                scope.spawn(move || {
                    // A store each, as separate processes have.
                    let store = LocalStore::open(root).unwrap();
                    start.wait();
                    let won =
                        store.create(target, &vec![id; 10_000 + usize::from(id)]).unwrap() == Created::New;
                    won.then_some(id)
                })
            };
            let racers: Vec<_> = (0..4).map(racer).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners: Vec<u8> = wins.into_iter().flatten().collect();
        let [winner] = winners.as_slice() else { panic!("{winners:?} won") };
        let store = LocalStore::open(root.path()).unwrap();
        assert_eq!(store.read(&target, Bytes::mib(1)).unwrap(), vec![*winner; 10_000 + usize::from(*winner)]);
    }
    assert_eq!(temporaries(root.path()), 0, "losers clean up");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_behind() {
    let disk = LossyDisk::new();
    let store = disk.store();
    assert_eq!(store.create(&name("before"), b"before").unwrap(), Created::New);
    disk.set_capacity(Bytes(1_000));
    let full = |error: StoreError| {
        let text = error.to_string();
        assert!(text.contains("No space left on device"), "{text}");
        assert!(matches!(error.kind, StoreErrorKind::Io(io) if io.kind() == ErrorKind::StorageFull));
    };
    full(store.create(&name("a"), &[1; 2_000]).unwrap_err());
    full(store.stage(&name("b"), &[1; 2_000]).unwrap_err());
    let mut upload = store.upload().unwrap();
    upload.write(&[1; 900]).unwrap();
    full(upload.write(&[1; 900]).unwrap_err());
    assert!(upload.finish(&name("c")).is_err(), "a torn upload never gets a name");
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), ["before"]);
    // Nothing was lost that had been promised, so the store works on.
    store.stage(&name("d"), &[1; 900]).unwrap();
    store.barrier().unwrap();
    assert_eq!(names(&store), ["before", "d"]);
}

#[test]
fn links_are_neither_followed_nor_overlooked() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let store = LocalStore::open(root.path()).unwrap();
    assert_eq!(store.create(&name("real/object"), b"1").unwrap(), Created::New);
    let refused = |error: StoreError| {
        assert!(!error.is_missing(), "{error}");
        assert!(
            error.to_string().contains("symbolic link") || error.to_string().contains("regular file"),
            "{error}"
        );
    };

    symlink(outside.path().join("secret"), root.path().join("real/link")).unwrap();
    let linked = name("real/link");
    refused(store.read(&linked, Bytes::mib(1)).unwrap_err());
    refused(store.read_range(&linked, Bytes(0), Bytes(1), &mut Vec::new()).unwrap_err());
    refused(store.stat(&linked).unwrap_err());
    refused(store.delete(&linked).unwrap_err());
    refused(store.list("").unwrap_err());
    assert_eq!(store.create(&linked, b"2").unwrap(), Created::Exists);
    fs::remove_file(root.path().join("real/link")).unwrap();

    symlink(outside.path(), root.path().join("moved")).unwrap();
    refused(store.read(&name("moved/secret"), Bytes::mib(1)).unwrap_err());
    refused(store.create(&name("moved/new"), b"2").unwrap_err());
    refused(store.list("moved/").unwrap_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn strays_are_left_out_and_what_the_dead_left_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("made/on/the/way");
    let store = LocalStore::create_at(&path).unwrap();
    assert_eq!(store.create(&name("a/b"), b"1").unwrap(), Created::New);
    let mode = |relative: &str| fs::metadata(path.join(relative)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("a"), mode("a/b")), (0o700, 0o700, 0o400));
    assert!(LocalStore::create_at(&path).is_err(), "there are objects already");

    fs::write(path.join("a/Not A Name"), b"").unwrap();
    fs::create_dir(path.join("lost+found")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path.join("a/pipe"), rustix::fs::Mode::RWXU).unwrap();
    assert_eq!(names(&store), ["a/b"]);
    assert!(store.read(&name("a/pipe"), Bytes(1)).is_err());
    for bad in ["a", "..", "../", "a//", "/", "a/../"] {
        assert!(store.list(bad).is_err(), "{bad}");
    }

    let [old, young] = [".tmp/old", ".tmp/young"].map(|relative| path.join(relative));
    fs::write(&young, b"").unwrap();
    let yesterday = SystemTime::now() - TEMPORARY_AGE_MAX - Duration::from_secs(60);
    fs::File::create(&old).unwrap().set_modified(yesterday).unwrap();
    assert!(LocalStore::open(&path).is_ok());
    assert!(!old.exists() && young.exists());
}

#[test]
fn what_is_never_confirmed_goes_with_the_store() {
    let root = tempfile::tempdir().unwrap();
    let store = LocalStore::open(root.path()).unwrap();
    let mut abandoned = store.upload().unwrap();
    abandoned.write(b"1").unwrap();
    for number in 0..STAGED_OPEN_MAX + 10 {
        store.stage(&name(&format!("staged/{number}")), b"1").unwrap();
    }
    let twice = store.stage(&name("staged/1"), b"2").unwrap_err();
    assert!(matches!(twice.kind, StoreErrorKind::Exists));
    assert_eq!(temporaries(root.path()), STAGED_OPEN_MAX + 11);
    drop(abandoned);
    drop(store);
    assert_eq!(temporaries(root.path()), 0);
    assert!(names(&LocalStore::open(root.path()).unwrap()).is_empty());
}

#[test]
fn a_barrier_that_failed_is_not_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let store = LocalStore::open(root.path()).unwrap();
    store.stage(&name("a"), b"ours").unwrap();
    store.stage(&name("b"), b"ours").unwrap();
    fs::write(root.path().join("a"), b"theirs").unwrap();
    assert!(matches!(store.barrier().unwrap_err().kind, StoreErrorKind::Exists));
    // Another thread may have staged `b`: it must not be told that all is well.
    assert!(store.barrier().is_err());
    assert!(store.create(&name("c"), b"").is_err());
    assert_eq!(temporaries(root.path()), 0);
    let again = LocalStore::open(root.path()).unwrap();
    assert_eq!(again.create(&name("c"), b"").unwrap(), Created::New);
    assert_eq!(again.read(&name("a"), Bytes(100)).unwrap(), b"theirs");
}

#[test]
fn barriers_of_many_threads_confirm_what_each_staged() {
    let disk = LossyDisk::new();
    let store = disk.store();
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..50 {
                    let target = |number| name(&format!("w{writer}/{round}/{number}"));
                    for number in 0..4 {
                        store.stage(&target(number), target(number).as_str().as_bytes()).unwrap();
                        thread::yield_now();
                    }
                    store.barrier().unwrap();
                    for number in 0..4 {
                        // Perhaps another thread's barrier took it: ours must have waited.
                        assert!(store.stat(&target(number)).unwrap().is_some());
                    }
                }
            });
        }
    });
    disk.crash(0);
    assert_eq!(disk.store().list("").unwrap().len(), 800);
    assert!(disk.files().iter().all(|(path, bytes)| path.as_bytes() == bytes));
}

#[test]
fn a_directory_removed_and_made_again_is_synced_again() {
    let disk = LossyDisk::new();
    let store = disk.store();
    assert_eq!(store.create(&name("a/b"), b"old").unwrap(), Created::New);
    store.disk.remove("a").unwrap();
    assert_eq!(store.create(&name("a/b"), b"new").unwrap(), Created::New);
    disk.crash(0);
    assert_eq!(disk.files().into_values().collect::<Vec<_>>(), [b"new"]);
}
