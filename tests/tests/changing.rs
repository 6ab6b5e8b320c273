//! Sources that do not hold still: what changes, vanishes or cannot be read is said, and costs nothing else.

#![cfg(test)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_backup::{ProblemKind, Report};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_restore::report;
use lifeboat_tests::programs::{in_own_process, peak_memory};
use lifeboat_tests::trees::{Maker, noise};
use lifeboat_tests::{World, compare, nobody};
use rustix::fs::FileType;

const LARGE: usize = 6 << 20;

fn world_in(dir: &Path) -> World {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let store = LocalStore::create_at(&dir.path().join("repository")).unwrap();
    World::over(Arc::new(store), dir)
}

fn world() -> World {
    world_in(Path::new("/dev/shm"))
}

/// Does something once, after everything was walked and before anything is read.
struct Between<'a>(Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>);

impl Observer for Between<'_> {
    fn tell(&self, _event: Event) {}

    fn cancelled(&self) -> bool {
        // The walk asks before it hands over its first entries.
        if let Some(change) = self.0.lock().unwrap().take() {
            change();
        }
        false
    }
}

/// Backs up a small tree in which something changes between walk and reading.
fn backup_changed_between<'a>(world: &'a World, change: impl FnOnce(&Maker) + Send + 'a) -> Report {
    let m = Maker::new(&world.source());
    let between = Between(Mutex::new(Some(Box::new(move || change(&m)))));
    let repository = world.repository();
    let report = lifeboat_backup::run(
        &repository,
        world.credentials(),
        &world.job(),
        &SystemClock,
        &SystemEntropy,
        &between,
    );
    assert!(between.0.lock().unwrap().is_none(), "it was changed");
    report.unwrap()
}

/// Restores the latest snapshot; where.
fn restored(world: &World, name: &str) -> (PathBuf, report::Report) {
    let target = world.dir.path().join(name);
    let report = world.restore(&target).unwrap();
    (target, report)
}

fn problems(report: &Report) -> Vec<(&[u8], ProblemKind)> {
    report.problems.named.iter().map(|problem| (problem.path.as_slice(), problem.kind)).collect()
}

#[test]
fn what_vanishes_is_said_and_the_rest_comes_back() {
    let world = world();
    let m = Maker::new(&world.source());
    for name in ["before", "gone", "then"] {
        m.file(name, name.as_bytes());
    }
    let report = backup_changed_between(&world, |m| fs::remove_file(m.path("gone")).unwrap());
    assert_eq!(
        (problems(&report), report.status),
        (vec![(b"gone".as_slice(), ProblemKind::Vanished)], Status::Partial)
    );
    let (target, report) = restored(&world, "target");
    assert_eq!(report.status(), report::Status::Complete, "it was not there any more");
    assert!(!target.join("gone").exists());
    assert_eq!(
        (fs::read(target.join("before")).unwrap(), fs::read(target.join("then")).unwrap()),
        (b"before".to_vec(), b"then".to_vec())
    );
    // The next backup has nothing to say.
    assert_eq!(world.backup().unwrap().status, Status::Complete);
}

/// Of a file with several names the first is read; when it vanishes before that, the others have nothing to be
/// names of in this snapshot. That is said, by the backup and by whoever restores, and the next backup has them.
#[test]
fn a_file_whose_first_name_vanishes_is_missed_once_and_said() {
    let world = world();
    let m = Maker::new(&world.source());
    m.file("first", b"one file");
    m.link("first", "second");
    let report = backup_changed_between(&world, |m| fs::remove_file(m.path("first")).unwrap());
    assert_eq!(
        (problems(&report), report.status),
        (vec![(b"first".as_slice(), ProblemKind::Vanished)], Status::Partial)
    );
    let (_, report) = restored(&world, "target");
    assert_eq!((report.status(), report.finding_counts.missing), (report::Status::Partial, 1));
    assert_eq!(report.findings[0].path, b"second");
    assert_eq!(world.backup().unwrap().status, Status::Complete);
    let (target, report) = restored(&world, "next");
    assert_eq!(report.status(), report::Status::Complete);
    assert_eq!(fs::read(target.join("second")).unwrap(), b"one file");
}

/// Puts something in a file's place.
type Replace = fn(&Maker);

#[test]
fn what_is_no_file_any_more_is_said_and_never_followed() {
    let replacements: [(&str, Replace); 4] = [
        ("a directory", |m| m.dir("file")),
        ("a fifo", |m| m.node("file", FileType::Fifo, (0, 0))),
        ("a socket", |m| m.node("file", FileType::Socket, (0, 0))),
        ("a link", |m| m.symlink("file", "secret")),
    ];
    for (what, replace) in replacements {
        for size in [4, LARGE] {
            let world = world();
            let m = Maker::new(&world.source());
            m.file("file", &noise(1, size));
            m.file("neighbour", b"neighbour");
            m.file("secret", b"secret");
            let report = backup_changed_between(&world, |m| {
                fs::remove_file(m.path("file")).unwrap();
                replace(m);
            });
            assert_eq!(problems(&report), [(b"file".as_slice(), ProblemKind::Unreadable)], "{what}");
            assert_eq!((report.status, report.counts.errors), (Status::Partial, 1), "{what}");
            let (target, report) = restored(&world, "target");
            assert!(!target.join("file").exists(), "{what}");
            assert!(
                report.findings.iter().any(|finding| finding.path == b"file"),
                "{what}: {:?}",
                report.findings
            );
            assert_eq!(fs::read(target.join("neighbour")).unwrap(), b"neighbour", "{what}");
        }
    }
}

#[test]
fn what_changes_before_it_is_read_is_stored_as_it_is_then() {
    for (before, after) in [(10, 3_000_000), (3_000_000, 10), (LARGE, 0), (0, LARGE), (5, 5)] {
        let world = world();
        let m = Maker::new(&world.source());
        m.file("file", &noise(1, before));
        m.file("neighbour", b"neighbour");
        let report = backup_changed_between(&world, |m| m.file("file", &noise(2, after)));
        assert_eq!((problems(&report), report.status), (vec![], Status::Complete));
        let (target, _) = restored(&world, "target");
        assert!(fs::read(target.join("file")).unwrap() == noise(2, after), "{before} to {after}");
        assert_eq!(fs::read(target.join("neighbour")).unwrap(), b"neighbour");
    }
}

const GROWN: &str = "LIFEBOAT_TEST_GROWN_MIB";

#[test]
#[ignore = "run by what_has_become_large_is_not_held_in_memory"]
fn grown() {
    let Ok(mib) = std::env::var(GROWN) else { return };
    let world = world();
    let m = Maker::new(&world.source());
    for name in ["a", "b", "c", "d"] {
        m.file(name, name.as_bytes());
    }
    let grow = |path: PathBuf| {
        let (mut file, part) = (fs::File::create(path).unwrap(), noise(3, 1 << 20));
        for _ in 0..mib.parse().unwrap() {
            file.write_all(&part).unwrap();
        }
    };
    let report =
        backup_changed_between(&world, |m| ["a", "c"].map(|name| m.path(name)).into_iter().for_each(grow));
    assert_eq!((problems(&report), report.status), (vec![], Status::Complete));
    println!("PEAK {}", peak_memory());
    let (target, _) = restored(&world, "target");
    compare::assert_same(&world.source(), &target);
}

#[test]
fn what_has_become_large_is_not_held_in_memory() {
    let said = in_own_process("grown", GROWN, "300");
    let peak: u64 = said.lines().find_map(|line| line.strip_prefix("PEAK ")).unwrap().parse().unwrap();
    println!("peak {} MB", peak / 1_000_000);
    assert!(peak < 192 << 20, "{peak}");
}

/// How long to wait for a backup that meets a change: the machine may have other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the thread that changes things, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Backs up while another thread changes something, until a backup says what is expected.
fn backup_during(
    world: &World,
    change: impl Fn(&AtomicBool) + Sync,
    enough: impl Fn(&Report) -> bool,
    each: impl Fn(&Report),
) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| change(&stop));
        let _stop = Stop(&stop);
        let began = Instant::now();
        loop {
            let report = world.backup().unwrap();
            each(&report);
            if enough(&report) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "no backup met the change");
        }
    });
}

fn changed(report: &Report) -> bool {
    report.problems.of(ProblemKind::Changed) == 1
}

/// A changing file is the only thing reported, and says nothing but that.
fn only_changed(report: &Report) {
    for problem in &report.problems.named {
        assert_eq!(
            (problem.path.as_slice(), problem.kind),
            (b"file".as_slice(), ProblemKind::Changed),
            "{}",
            problem.why
        );
    }
    let partial = if report.problems.total() == 0 { Status::Complete } else { Status::Partial };
    assert_eq!((report.status, report.counts.changed), (partial, report.problems.total()));
}

/// The changing file is there, said to be so, and its neighbours are whole. Its content.
fn readable(world: &World) -> Vec<u8> {
    let (target, report) = restored(world, "target");
    assert_eq!(report.status(), report::Status::Complete);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.path == b"file" && finding.what.contains("kept changing"))
    );
    for name in ["early", "later"] {
        assert!(fs::read(target.join(name)).unwrap() == noise(7, LARGE), "{name}");
    }
    fs::read(target.join("file")).unwrap()
}

fn neighbours(world: &World) {
    let m = Maker::new(&world.source());
    for name in ["early", "later"] {
        m.file(name, &noise(7, LARGE));
    }
}

#[test]
fn a_file_that_grows_is_stored_up_to_where_it_was_and_said() {
    let world = world();
    neighbours(&world);
    let path = world.source().join("file");
    fs::write(&path, vec![b'a'; LARGE]).unwrap();
    let append = |stop: &AtomicBool| {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        while !stop.load(Ordering::Relaxed) {
            file.write_all(b"bbbb").unwrap();
            std::thread::yield_now();
        }
    };
    backup_during(&world, append, changed, only_changed);
    let content = readable(&world);
    let end = fs::metadata(&path).unwrap().len();
    assert!(content.len() >= LARGE && content.len() as u64 <= end);
    assert!(content.iter().enumerate().all(|(at, byte)| *byte == if at < LARGE { b'a' } else { b'b' }));
}

#[test]
fn a_file_that_shrinks_and_grows_is_stored_somehow_and_said() {
    let world = world();
    neighbours(&world);
    let path = world.source().join("file");
    fs::write(&path, vec![b'a'; LARGE]).unwrap();
    let change = |stop: &AtomicBool| {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            file.set_len((turn * 7919 * 4096) % LARGE as u64).unwrap();
            file.write_all_at(&[b'a'; 1 << 18], (turn * 104_729 * 4096) % LARGE as u64).unwrap();
            std::thread::yield_now();
        }
    };
    backup_during(&world, change, changed, only_changed);
    let content = readable(&world);
    assert!(content.len() <= LARGE + (1 << 18) && content.iter().all(|byte| matches!(byte, 0 | b'a')));
}

#[test]
fn a_file_that_is_replaced_is_one_or_the_other() {
    let world = world();
    let (path, new) = (world.source().join("file"), world.dir.path().join("new"));
    let versions = [vec![b'a'; LARGE], vec![b'b'; LARGE / 2], vec![b'c'; 10]];
    fs::write(&path, &versions[0]).unwrap();
    let change = |stop: &AtomicBool| {
        for version in versions.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
            fs::write(&new, version).unwrap();
            fs::rename(&new, &path).unwrap();
        }
    };
    let turn = std::cell::Cell::new(0);
    let each = |report: &Report| {
        only_changed(report);
        turn.set(turn.get() + 1);
        let (target, _) = restored(&world, &format!("target {}", turn.get()));
        let content = fs::read(target.join("file")).unwrap();
        assert!(versions.contains(&content), "{} bytes that never were", content.len());
    };
    backup_during(&world, change, |_| turn.get() == 8, each);
}

#[test]
fn files_that_come_and_go_do_not_disturb_the_rest() {
    let world = world();
    let m = Maker::new(&world.source());
    m.dir("busy");
    for number in 0..300 {
        m.file(format!("n{number}"), b"quiet");
    }
    let change = |stop: &AtomicBool| {
        let m = Maker::new(&m.path("busy"));
        for number in (0..64).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
            let (file, dir) = (m.path(format!("f{number}")), m.path(format!("d{number}")));
            if number % 2 == 0 {
                fs::write(&file, b"here").unwrap();
                fs::create_dir_all(dir.join("below")).unwrap();
            } else {
                let _ = fs::remove_file(m.path(format!("f{}", number - 1)));
                let _ = fs::remove_dir_all(m.path(format!("d{}", number - 1)));
            }
        }
    };
    let turn = std::cell::Cell::new(0);
    let each = |report: &Report| {
        let busy = |path: &[u8]| path.starts_with(b"busy/");
        assert!(report.problems.named.iter().all(|problem| busy(&problem.path)), "{:?}", report.problems);
        turn.set(turn.get() + 1);
        let (target, _) = restored(&world, &format!("target {}", turn.get()));
        let quiet = (0..300).all(|number| fs::read(target.join(format!("n{number}"))).unwrap() == b"quiet");
        assert!(quiet);
    };
    backup_during(&world, change, |_| turn.get() == 10, each);
}

#[test]
fn what_may_not_be_read_is_said_and_the_rest_comes_back() {
    if let Some(dir) = nobody::child() {
        return backup_as_nobody(&dir);
    }
    assert!(rustix::process::geteuid().is_root(), "root becomes nobody here");
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(nobody::NOBODY), Some(nobody::NOBODY)).unwrap();
    nobody::run("what_may_not_be_read_is_said_and_the_rest_comes_back", dir.path());
}

fn backup_as_nobody(dir: &Path) {
    assert_eq!(rustix::process::geteuid().as_raw(), nobody::NOBODY);
    let world = world_in(&dir.join("own"));
    let m = Maker::new(&world.source());
    m.dir("closed");
    m.file("closed/inner", b"x");
    m.dir("listed only");
    m.file("listed only/inner", b"x");
    m.file("secret", b"x");
    m.file("secret, large", &noise(1, LARGE));
    m.file("open", b"open");
    m.dir("tenants/acme");
    m.file("tenants/acme/secret", b"x");
    for name in ["closed", "secret", "secret, large", "tenants/acme/secret"] {
        m.mode(name, 0o000);
    }
    m.mode("listed only", 0o400);
    for turn in ["first", "second"] {
        let report = world.backup().unwrap();
        let expected = ["closed", "listed only/inner", "secret", "secret, large", "tenants/acme/secret"]
            .map(|path| (path.as_bytes(), ProblemKind::Unreadable));
        assert_eq!((problems(&report), report.status), (expected.to_vec(), Status::Partial), "{turn}");
        let (target, report) = restored(&world, turn);
        assert_eq!(fs::read(target.join("open")).unwrap(), b"open");
        assert!(!target.join("secret").exists() && !target.join("tenants/acme/secret").exists());
        // Who restores is told what was never stored.
        for path in ["secret", "secret, large", "tenants/acme/secret"] {
            assert!(report.findings.iter().any(|finding| finding.path == path.as_bytes()), "{path}");
        }
    }
}
