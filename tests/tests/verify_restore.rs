//! The level `restore`: it passes where everything came back, goes red for every single thing that did not, and says
//! "not run" of what this user or machine could not have brought back.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use lifeboat_backup::Job;
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::Choice;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::trees::{self, Maker, Room};
use lifeboat_tests::{World, files_in, label, nobody};
use lifeboat_verify::restored::COMPARING;
use lifeboat_verify::{
    Extent, Outcome, Restoration, RestoredReport, Severity, VerifyError, VerifyErrorKind, restored,
};

#[path = "looking/plants.rs"]
mod plants;

use plants::{PLANTS, Plant};

/// Tampers with what was restored, between the restore and the comparison.
struct Tamperer<'t> {
    scratch: PathBuf,
    tamper: &'t (dyn Fn(&Path) + Sync),
    done: Mutex<u32>,
}

impl Observer for Tamperer<'_> {
    fn tell(&self, event: Event) {
        if event == Event::Phase(COMPARING) {
            let rehearsal = std::fs::read_dir(&self.scratch).unwrap().next().unwrap().unwrap().path();
            (self.tamper)(&rehearsal.join("restored"));
            *self.done.lock().unwrap() += 1;
        }
    }
}

fn world(store: Arc<dyn Store>) -> World {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
    let world = World::over(store, tempfile::tempdir_in("/dev/shm").expect("a tmpfs"));
    std::fs::create_dir(world.dir.path().join("scratch")).unwrap();
    world
}

fn verify(world: &World, observer: &dyn Observer) -> Result<RestoredReport, VerifyError> {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let scratch = world.dir.path().join("scratch");
    let wanted = Restoration { component: label("files"), choice: Choice::Latest, scratch: scratch.clone() };
    let report = restored(&recovery, &wanted, observer);
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0, "customers' data is left in scratch space");
    report
}

fn tampered(world: &World, tamper: &(dyn Fn(&Path) + Sync)) -> RestoredReport {
    let tamperer = Tamperer { scratch: world.dir.path().join("scratch"), tamper, done: Mutex::default() };
    let report = verify(world, &tamperer).unwrap();
    assert_eq!(*tamperer.done.lock().unwrap(), 1);
    report
}

#[test]
fn everything_that_came_back_passes() {
    let world = world(Arc::new(MemoryStore::new()));
    trees::everything(&world.source(), Room::Wide);
    let counts = world.backup().unwrap().counts;
    let report = verify(&world, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Passed, "{:#?}", report.findings);
    assert_eq!((report.same, report.compared), (counts.entries, counts.entries));
    assert!(report.findings.is_empty() && report.files > 150 && report.bytes > Bytes::mib(20));
}

#[test]
fn every_planted_difference_turns_it_red() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let world = world(Arc::new(LocalStore::create_at(&dir.path().join("repository")).unwrap()));
    trees::one_of_each(&world.source());
    world.backup().unwrap();
    for Plant { what, plant, said } in PLANTS {
        let report = tampered(&world, &|root| plant(&Maker::new(root)));
        assert_eq!(report.outcome, Outcome::Failed, "{what}");
        for (_, path) in *said {
            let names = |extent: &Extent| matches!(extent, Extent::Paths { first, .. } if first.iter().any(|one| one == path));
            let found = report.findings.iter().find(|finding| {
                finding.severity == Severity::Damage && finding.affects.iter().any(|hit| names(&hit.extent))
            });
            let finding = found.unwrap_or_else(|| panic!("{what}: {path} in {:#?}", report.findings));
            assert!(finding.object.to_string().starts_with("snapshots/files/"), "{what}: {finding}");
            let tenant = finding.affects[0].tenant.as_ref().map(ToString::to_string);
            let expected = match *path {
                // Nobody knows whose it is.
                "tenants/acme/extra" | "Socket" => None,
                path if path.starts_with("tenants/acme") => Some("acme"),
                _ => Some("_system"),
            };
            assert_eq!(tenant.as_deref(), expected, "{what}");
        }
        // Of one kind and tenant there is one finding.
        let tenant = |path: &str| path.starts_with("tenants/acme");
        let kinds: BTreeSet<_> = said.iter().map(|(word, path)| (*word, tenant(path))).collect();
        assert_eq!(report.findings.len(), kinds.len(), "{what}: {:#?}", report.findings);
    }
}

#[test]
fn what_is_lost_in_the_store_turns_it_red() {
    let memory = MemoryStore::new();
    let world = world(Arc::new(memory.clone()));
    let m = Maker::new(&world.source());
    m.dir("tenants/acme");
    m.file("tenants/acme/large", &trees::noise(1, 40 << 20));
    world.backup().unwrap();
    let mut packs = memory.list("packs/").unwrap();
    packs.sort_by_key(|pack| pack.length);
    let pack = packs.last().unwrap();
    let mut bytes = memory.read(&pack.name, Bytes::mib(64)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    memory.replace(&pack.name, &bytes);
    let report = verify(&world, &Silent).unwrap();
    assert_eq!(report.outcome, Outcome::Failed);
    let told = format!("{:?}", report.findings);
    assert!(told.contains("tenants/acme/large") && told.contains("acme"), "{told}");
}

#[test]
fn what_could_not_be_compared_is_never_a_pass() {
    let world = world(Arc::new(MemoryStore::new()));
    let m = Maker::new(&world.source());
    m.dir("a");
    m.file("a/f", b"a");
    m.file("z", b"z");
    world.backup().unwrap();
    // A symbolic link where a directory must be listed, to one that is the same: nothing is followed out of the scratch
    // space.
    let source = world.source();
    let report = tampered(&world, &|root| {
        std::fs::remove_dir_all(root.join("a")).unwrap();
        std::os::unix::fs::symlink(source.join("a"), root.join("a")).unwrap();
    });
    assert_eq!((report.outcome, report.same), (Outcome::Failed, 1), "{:#?}", report.findings);
    assert!(format!("{:?}", report.findings).contains("a/f"), "{:#?}", report.findings);
    // Nothing left at all.
    let report = tampered(&world, &|root| {
        std::fs::remove_dir_all(root.join("a")).unwrap();
        std::fs::remove_file(root.join("z")).unwrap();
    });
    assert_eq!((report.outcome, report.same), (Outcome::Failed, 0));
    // The whole of it gone, so that there is nothing to look at: no answer, and no pass.
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let scratch = world.dir.path().join("scratch");
    let wanted = Restoration { component: label("files"), choice: Choice::Latest, scratch: scratch.clone() };
    let gone = Tamperer {
        scratch: scratch.clone(),
        tamper: &|root| std::fs::remove_dir_all(root).unwrap(),
        done: Mutex::default(),
    };
    assert!(restored(&recovery, &wanted, &gone).is_err());
    // No such place, and no snapshot.
    let nowhere = Restoration { scratch: scratch.join("none"), ..wanted.clone() };
    let error = restored(&recovery, &nowhere, &Silent).unwrap_err();
    assert!(matches!(error.kind, VerifyErrorKind::Scratch(_)), "{error}");
    let never = Restoration { choice: Choice::At(lifeboat_repo::units::Timestamp::new(0, 0)), ..wanted };
    assert!(restored(&recovery, &never, &Silent).is_err());
}

#[test]
fn too_little_space_is_refused_before_anything_is_written() {
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    let m = Maker::new(&world.source());
    m.file("plain", &trees::noise(1, 4 << 20));
    world.backup().unwrap();
    let small = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        let done = std::process::Command::new(args[0]).args(&args[1..]).arg(small.path()).status().unwrap();
        assert!(done.success(), "{args:?}");
    };
    mount(&["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs"]);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let wanted =
        Restoration { component: label("files"), choice: Choice::Latest, scratch: small.path().to_owned() };
    let outcome = restored(&recovery, &wanted, &Silent);
    let left = std::fs::read_dir(small.path()).unwrap().count();
    mount(&["umount"]);
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind, VerifyErrorKind::Scratch(_)), "{error}");
    assert_eq!(left, 0);
}

#[test]
fn what_a_user_cannot_restore_is_not_run_rather_than_passed_or_damaged() {
    if let Some(dir) = nobody::child() {
        as_nobody(&dir);
        return;
    }
    let dir = scratch();
    let m = Maker::new(dir.path());
    for tree in ["mixed", "own"] {
        m.dir(tree);
        m.file(format!("{tree}/mine"), b"mine");
        m.owner(format!("{tree}/mine"), nobody::NOBODY, nobody::NOBODY);
        m.owner(tree, nobody::NOBODY, nobody::NOBODY);
    }
    m.file("mixed/roots", b"root's");
    m.owner("mixed/roots", 0, 0);
    m.mode("mixed/roots", 0o4755);
    m.dir("work");
    m.mode("work", 0o777);
    nobody::run("what_a_user_cannot_restore_is_not_run_rather_than_passed_or_damaged", dir.path());
}

fn as_nobody(dir: &Path) {
    let outcome = |tree: &str, tamper: &(dyn Fn(&Path) + Sync)| {
        let world =
            World::over(Arc::new(MemoryStore::new()), tempfile::tempdir_in(dir.join("work")).unwrap());
        std::fs::create_dir(world.dir.path().join("scratch")).unwrap();
        let job = Job { source: files_in(dir.join(tree)), ..world.job() };
        let (repository, credentials) = (world.repository(), world.credentials());
        lifeboat_backup::run(&repository, credentials, &job, &SystemClock, &SystemEntropy, &Silent).unwrap();
        tampered(&world, tamper)
    };
    let mixed = outcome("mixed", &|_| {});
    assert!(matches!(&mixed.outcome, Outcome::NotRun(_)), "{:#?}", mixed.findings);
    let told: Vec<String> = mixed.findings.iter().map(ToString::to_string).collect();
    assert!(mixed.findings.iter().all(|finding| finding.severity == Severity::CouldNotCheck), "{told:?}");
    assert!(told.iter().any(|text| text.contains("owner") && text.contains("run it as root")), "{told:?}");
    assert!(told.iter().any(|text| text.contains("setuid")), "{told:?}");
    // What a user can have is held against him all the same.
    let plant: &(dyn Fn(&Path) + Sync) = &|root| std::fs::write(root.join("roots"), b"r00t's").unwrap();
    let red = outcome("mixed", plant);
    assert_eq!(red.outcome, Outcome::Failed);
    let own = outcome("own", &|_| {});
    assert_eq!(own.outcome, Outcome::Passed, "{:?}", own.findings);
}
