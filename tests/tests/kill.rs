//! kill −9 of backup and restore, at random points of their lives: what is listed comes back exactly, and trying
//! again succeeds without anybody's help.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_restore::{Choice, InPlace, Options, Selection, Status, choose, perform, plan};
use lifeboat_tests::examine::{self, scratch};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::Expected;
use lifeboat_tests::{World, files_in, label, write};

/// The directory of the world that the process to be killed works in.
const PLACE: &str = "LIFEBOAT_TEST_VICTIM";
/// Where it restores to; without this it backs up.
const TARGET: &str = "LIFEBOAT_TEST_VICTIM_TARGET";
/// Whether what is there is brought to the snapshot's state.
const IN_PLACE: &str = "LIFEBOAT_TEST_VICTIM_IN_PLACE";
/// After so many kills a new repository begins: what is listed is restored again and again.
const KILLS_A_WORLD: u64 = 25;

/// How many of each are killed.
fn kills() -> u64 {
    if std::env::var_os("LIFEBOAT_SOAK").is_some() { 500 } else { 50 }
}

/// The process that is killed.
#[test]
#[ignore = "started by the tests below"]
fn victim() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let key = |name: &str| -> Identity { fs::read_to_string(place.join(name)).unwrap().parse().unwrap() };
    let store = LocalStore::open(&place.join("repository")).unwrap();
    let pins = [SigningKey::from_seed([1; 32]).public()];
    let repository = Repository::open(Arc::new(store), &pins).unwrap();
    let component = label("files");
    let Some(target) = std::env::var_os(TARGET).map(PathBuf::from) else {
        let signing = SigningKey::from_seed([2; 32]);
        let credentials = Credentials { writer: label("w1"), signing, card: key("card") };
        let mut job = World::over(Arc::new(MemoryStore::new()), scratch()).job();
        (job.source, job.state) = (files_in(place.join("source")), place.join("state"));
        lifeboat_backup::run(&repository, credentials, &job, &SystemClock, &SystemEntropy, &Silent).unwrap();
        return;
    };
    let recovery = Recovery::open(&repository, &[key("recovery")], &SystemClock).unwrap();
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&component)).unwrap();
    let chosen = choose(&listed, &component, Choice::Latest).unwrap();
    let plan = plan(&recovery, chosen.snapshot, &Selection::default(), &Silent).unwrap();
    let in_place = std::env::var_os(IN_PLACE).map(|_| InPlace { delete: true, ..InPlace::default() });
    let options = Options { in_place, ..Options::default() };
    let report = perform(repository.store(), &plan, &target, &options, &Silent).unwrap();
    assert_eq!(report.status(), Status::Complete);
}

/// What the process that is killed does.
enum Deed {
    Backup,
    Restore(PathBuf),
    InPlace(PathBuf),
}

/// A repository on disk, its source, and what its snapshots must bring back.
struct Scene {
    world: World,
    expected: Expected,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let dir = scratch();
        let place = dir.path().to_owned();
        let store = LocalStore::create_at(&place.join("repository")).unwrap();
        let world = World::over(Arc::new(store), dir);
        for (name, identity) in [("card", &world.card), ("recovery", &world.recovery)] {
            fs::write(place.join(name), identity.to_secret_string().as_bytes()).unwrap();
        }
        let source = world.source();
        for number in 0..40_u64 {
            let tenant = ["acme", "beta", "gamma"][usize::try_from(number % 3).unwrap()];
            let length = if number % 10 == 0 { 300_000 } else { 2_000 };
            let bytes = noise(seed.wrapping_mul(1000) + number, length);
            write(&source, &format!("tenants/{tenant}/d{}/f{number}", number % 5), &bytes);
        }
        std::os::unix::fs::symlink("d0", source.join("tenants/acme/link")).unwrap();
        fs::hard_link(source.join("tenants/acme/d0/f0"), source.join("tenants/acme/again")).unwrap();
        fs::set_permissions(source.join("tenants/beta"), fs::Permissions::from_mode(0o750)).unwrap();
        Self { world, expected: Expected::new() }
    }

    fn place(&self) -> &Path {
        self.world.dir.path()
    }

    /// Begins it in a process of its own.
    fn start(&self, deed: &Deed) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "victim", "--ignored"]).env(PLACE, self.place());
        match deed {
            Deed::Backup => &mut command,
            Deed::Restore(target) => command.env(TARGET, target),
            Deed::InPlace(target) => command.env(TARGET, target).env(IN_PLACE, "1"),
        };
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// How long it takes when nobody kills it.
    fn whole(&self, deed: &Deed) -> Duration {
        let began = Instant::now();
        assert!(self.start(deed).wait().unwrap().success());
        began.elapsed()
    }

    /// A backup that nobody kills, and what it must bring back.
    fn backup(&mut self) -> ObjectName {
        let report = self.world.backup().unwrap();
        assert_eq!(report.problems.total(), 0);
        self.expected.insert(report.run, Arc::new(Tree::of(&self.world.source())));
        report.snapshot
    }

    /// Whatever is listed and was not before holds the source as it is.
    fn expect_listed(&mut self) -> usize {
        let listed = self.world.listed(&self.world.store);
        let source = Arc::new(Tree::of(&self.world.source()));
        for one in &listed {
            self.expected.entry(one.run).or_insert_with(|| Arc::clone(&source));
        }
        listed.len()
    }
}

/// Kills a process at a random point of its life, if it still lives; whether it did.
fn kill(mut child: Child, whole: Duration, number: u64) -> bool {
    let chance = u32::from_le_bytes(noise(number.wrapping_mul(77) + 5, 4).try_into().unwrap());
    std::thread::sleep(whole.mul_f64(f64::from(chance) / f64::from(u32::MAX)));
    child.kill().unwrap();
    !child.wait().unwrap().success()
}

#[test]
fn a_backup_may_be_killed_at_any_time() {
    let (mut killed, mut tried, mut finished_anyway, mut snapshots) = (0, 0, 0, 0);
    while killed < kills() {
        let mut scene = Scene::new(tried + 1);
        let mut whole = scene.whole(&Deed::Backup);
        assert_eq!(scene.expect_listed(), 1);
        let until = (killed + KILLS_A_WORLD).min(kills());
        while killed < until {
            tried += 1;
            assert!(tried < 10 * kills(), "only {killed} of {tried} processes were killed in time");
            let source = scene.world.source();
            write(&source, "tenants/acme/large", &noise(10_000 + tried, 1_000_000));
            write(&source, &format!("tenants/t{tried}/file"), &noise(20_000 + tried, 20_000));
            let before = scene.expect_listed();
            if kill(scene.start(&Deed::Backup), whole, tried) {
                killed += 1;
            } else {
                // The machine became quicker.
                whole = whole.mul_f64(0.9);
            }
            // What is listed now, the last moment's included, comes back; and the next run needs nobody's help.
            let listed = scene.expect_listed();
            finished_anyway += listed - before;
            let context = format!("try {tried}");
            if tried % 5 == 0 {
                scene.world.assert_restorable(&scene.world.store, &scene.expected, &context);
                scene.world.verify(&scene.world.store).assert_undamaged(&context);
            }
            let snapshot = scene.backup();
            let standing = scene.world.standing(&scene.world.store, &snapshot);
            assert_eq!(standing, Some(Standing::Counts), "{context}");
        }
        let context = format!("after {killed} kills");
        let restored = scene.world.assert_restorable(&scene.world.store, &scene.expected, &context);
        assert_eq!(restored, scene.expected.len());
        snapshots += restored;
        scene.world.verify(&scene.world.store).assert_passed(&context);
    }
    println!(
        "{killed} of {tried} backups killed, {finished_anyway} committed first; {snapshots} snapshots, all exact"
    );
}

/// Two snapshots, of which the later has everything.
fn restorable() -> Scene {
    let mut scene = Scene::new(1);
    scene.backup();
    write(&scene.world.source(), "tenants/acme/large", &noise(7, 4_000_000));
    scene.backup();
    scene
}

/// Kills restores, and the same begun again, at random points; in the end the tree is exact. `prepare` makes the target
/// as it is found.
fn killed_restores(scene: &Scene, prepare: &dyn Fn(&Path), deed: fn(PathBuf) -> Deed) {
    let source = Tree::of(&scene.world.source());
    let stored = scene.world.store.list("").unwrap();
    let first = scratch();
    let target = first.path().join("target");
    prepare(&target);
    let mut whole = scene.whole(&deed(target));
    let (mut killed, mut tried, mut marked, mut twice) = (0, 0, 0, 0);
    while killed < kills() {
        tried += 1;
        assert!(tried < 10 * kills(), "only {killed} processes were killed in {tried} tries");
        let place = scratch();
        let (target, beside) = (place.path().join("target"), place.path().join("beside"));
        write(&beside, "file", b"not of this");
        prepare(&target);
        let deed = deed(target.clone());
        let mut ended = false;
        for again in 0..1 + tried % 3 {
            if !kill(scene.start(&deed), whole, 10 * tried + again) {
                whole = whole.mul_f64(0.9);
                ended = true;
                break;
            }
            killed += 1;
            twice += u64::from(again > 0);
            // One that was being made counts as one.
            let mark =
                [".lifeboat-restore", ".lifeboat-restore.new"].iter().any(|name| target.join(name).exists());
            marked += u64::from(mark);
            // A restore reads the repository and writes below its target, however it ends.
            assert_eq!(scene.world.store.list("").unwrap(), stored, "try {tried}");
            assert_eq!(examine::tree(&beside).len(), 1);
            // Without its mark what a restore made is whole, but for the target's own time: to remove the mark changes
            // it, and it is set again at once. In place it is corrected.
            let made = target.exists() && !examine::tree(&target).is_empty();
            if !mark && made && matches!(deed, Deed::Restore(_)) {
                let differences = source.differences(&Tree::of(&target));
                assert!(differences.iter().all(|one| one.starts_with(".: ")), "try {tried}: {differences:?}");
                ended = differences.is_empty()
                    || scene.start(&Deed::InPlace(target.clone())).wait().unwrap().success();
                break;
            }
        }
        assert!(ended || scene.start(&deed).wait().unwrap().success(), "try {tried}");
        assert_eq!(source.differences(&Tree::of(&target)), Vec::<String>::new(), "try {tried}");
        let mut names: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "target" && name != "beside");
        assert!(names.is_empty(), "{names:?}");
    }
    assert!(marked > killed / 10, "{marked} of {killed} were killed while they wrote");
    assert!(twice > killed / 10, "{twice} of {killed} were begun again and killed once more");
    println!(
        "{killed} restores killed in {tried} rows, {marked} while they wrote, {twice} that had been begun again; all \
         exact when they were run once more"
    );
}

#[test]
fn a_restore_may_be_killed_at_any_time() {
    killed_restores(&restorable(), &|_| {}, Deed::Restore);
}

#[test]
fn a_restore_in_place_may_be_killed_at_any_time() {
    let scene = restorable();
    let source = scene.world.source();
    let prepare = |target: &Path| {
        let copied = Command::new("cp").arg("-a").args([&source, target]).status().unwrap();
        assert!(copied.success());
        // To be patched, replaced, made, put right, and removed.
        let mut large = fs::read(target.join("tenants/acme/large")).unwrap();
        large[1_000_000..1_500_000].fill(0);
        write(target, "tenants/acme/large", &large);
        for number in 0..30 {
            let tenant = ["acme", "beta", "gamma"][number % 3];
            let path = target.join(format!("tenants/{tenant}/d{}/f{number}", number % 5));
            match number % 4 {
                0 => fs::write(&path, b"what was there before").unwrap(),
                1 => fs::remove_file(&path).unwrap(),
                2 => fs::set_permissions(&path, fs::Permissions::from_mode(0o601)).unwrap(),
                _ => write(target, &format!("surplus/{number}/file"), b"surplus"),
            }
        }
        fs::remove_file(target.join("tenants/acme/link")).unwrap();
        fs::create_dir(target.join("tenants/acme/link")).unwrap();
    };
    killed_restores(&scene, &prepare, Deed::InPlace);
}
