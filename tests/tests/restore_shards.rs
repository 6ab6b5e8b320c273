//! A restore in shards: several processes bring files of one snapshot into one target, and one finishes.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lifeboat_repo::ids::RunId;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_restore::{
    Choice, InPlace, Options, Plan, Report, RestoreError, RestoreErrorKind, Selection, Shard, Status, sharded,
};
use lifeboat_tests::compare::{assert_equal, assert_same, listing};
use lifeboat_tests::trees::{Maker, noise, one_of_each};
use lifeboat_tests::{World, label};

const ONE: &str = "1/4";
const ALL: [&str; 4] = ["1/4", "2/4", "3/4", "4/4"];

fn shm() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Everything a file system can hold, and enough content that every shard has some.
fn world() -> World {
    let world = World::over(Arc::new(MemoryStore::new()), shm());
    one_of_each(&world.source());
    let m = Maker::new(&world.source());
    for dir in 0..3 {
        m.dir(format!("noise/{dir}"));
    }
    for number in 0..12 {
        m.file(format!("noise/{}/{number}", number % 3), &noise(number, 1 << 20));
        m.file(format!("noise/{}/small {number}", number % 3), &noise(number, 300));
    }
    m.dir("noise/empty");
    m.sparse("noise/holes", 20 << 20, &[(1 << 20, &noise(20, 3 << 20)), (12 << 20, &noise(21, 1 << 20))]);
    m.xattr("noise/holes", "user.long", &noise(22, 3000));
    fs::hard_link(m.path("noise/0/0"), m.path("noise/2/another name")).unwrap();
    m.mode("noise/1", 0o555);
    world.backup().unwrap();
    world
}

fn with_plan<T>(world: &World, choice: Choice, selection: &Selection, work: impl FnOnce(Plan) -> T) -> T {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let component = label("files");
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&component)).unwrap();
    let chosen = lifeboat_restore::choose(&listed, &component, choice).unwrap();
    work(lifeboat_restore::plan(&recovery, chosen.snapshot, selection, &Silent).unwrap())
}

fn plan<T>(world: &World, work: impl FnOnce(Plan) -> T) -> T {
    with_plan(world, Choice::Latest, &Selection::default(), work)
}

fn perform(
    world: &World,
    plan: &Plan,
    target: &Path,
    watched: &dyn Observer,
) -> Result<Report, RestoreError> {
    let options = Options { workers: NonZeroUsize::new(1), ..Options::default() };
    lifeboat_restore::perform(world.store.as_ref(), plan, target, &options, watched)
}

fn shard_watched(
    world: &World,
    shard: &str,
    target: &Path,
    watched: &dyn Observer,
) -> Result<Report, RestoreError> {
    plan(world, |plan| perform(world, &plan.into_shard(shard.parse().unwrap()), target, watched))
}

fn shard(world: &World, shard: &str, target: &Path) -> Result<Report, RestoreError> {
    shard_watched(world, shard, target, &Silent)
}

fn finish_of(world: &World, of: u32, target: &Path) -> Result<Report, RestoreError> {
    plan(world, |plan| perform(world, &plan.into_finish(of), target, &Silent))
}

fn finish(world: &World, target: &Path) -> Result<Report, RestoreError> {
    finish_of(world, 4, target)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, RestoreError>, words: &str) {
    let error = outcome.unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

/// The same, apart from the time of a root that nothing restored describes.
#[track_caller]
fn assert_same_below(alone: &Path, target: &Path) {
    let mut differences = listing(alone).differences(&listing(target));
    differences.remove(&(".".to_owned(), "mtime"));
    assert!(differences.is_empty(), "{differences:#?}");
}

fn marks(target: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(target).unwrap().map(|entry| entry.unwrap().file_name().into_string());
    names.filter_map(Result::ok).filter(|name| name.starts_with(".lifeboat-restore")).collect()
}

#[test]
fn four_at_once_make_what_one_makes() {
    let world = world();
    let dir = shm();
    let (target, alone) = (dir.path().join("target"), dir.path().join("alone"));
    let whole = plan(&world, |plan| perform(&world, &plan, &alone, &Silent)).unwrap();
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let running: Vec<_> =
            ALL.iter().map(|one| scope.spawn(|| shard(&world, one, &target).unwrap())).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let files: u64 = reports.iter().map(|report| report.files).sum();
    let bytes: u64 = reports.iter().map(|report| report.bytes.0).sum();
    assert_eq!((files, bytes), (whole.files, whole.bytes.0));
    assert!(reports.iter().all(|report| report.bytes.0 > whole.bytes.0 / 8), "{reports:?}");
    assert!(reports.iter().all(|report| report.status() == Status::Complete && report.findings.is_empty()));
    // Nobody but their owner enters what is not finished.
    assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o700);
    assert!(marks(&target).contains(".lifeboat-restore.shard-4.done"));
    let finished = finish(&world, &target).unwrap();
    assert_eq!((finished.entries, finished.files, finished.bytes), (whole.entries, whole.files, whole.bytes));
    assert_eq!((finished.status(), finished.changes), (Status::Complete, None));
    assert_eq!(finished.segments, reports.iter().map(|report| report.segments).sum::<u64>());
    assert_equal(&listing(&alone), &listing(&target));
    assert_same(&world.source(), &target);
    assert_eq!(marks(&target), BTreeSet::new());
    refused(finish(&world, &target), "nothing is being restored into it in shards");
    refused(shard(&world, ONE, &target), "it is not empty");
}

#[test]
fn any_number_in_any_order_makes_the_same() {
    let world = world();
    for (of, order) in
        [(1, vec![1]), (2, vec![2, 1]), (7, vec![7, 3, 1, 2, 6, 5, 4]), (200, (1..=200).collect())]
    {
        let dir = shm();
        for number in order {
            shard(&world, &format!("{number}/{of}"), dir.path()).unwrap();
        }
        assert_eq!(finish_of(&world, of, dir.path()).unwrap().status(), Status::Complete);
        assert_same(&world.source(), dir.path());
    }
}

#[test]
fn what_was_asked_for_alone_comes_in_shards_too() {
    let world = world();
    let dir = shm();
    let some = Selection { paths: vec![b"noise/2".to_vec(), b"listed".to_vec()], ..Selection::default() };
    let part = |work: &dyn Fn(Plan) -> Plan| {
        with_plan(&world, Choice::Latest, &some, |plan| perform(&world, &work(plan), dir.path(), &Silent))
    };
    let of_shard = |text: &'static str| part(&|plan| plan.into_shard(text.parse().unwrap()));
    of_shard("2/2").unwrap();
    refused(shard(&world, "1/2", dir.path()), "other paths or tenants");
    of_shard("1/2").unwrap();
    assert_eq!(part(&|plan| plan.into_finish(2)).unwrap().status(), Status::Complete);
    let alone = shm();
    world.restore_with(alone.path(), &some, &Options::default()).unwrap();
    assert_same_below(alone.path(), dir.path());
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

#[test]
fn a_shard_that_was_cut_off_goes_on_wherever_it_was() {
    let world = world();
    let mut cut = 0;
    for events in 1.. {
        let dir = shm();
        shard(&world, "1/2", dir.path()).unwrap();
        let until = Until(events, AtomicUsize::new(0));
        let Err(error) = shard_watched(&world, "2/2", dir.path(), &until) else { break };
        assert!(matches!(error.kind, RestoreErrorKind::Cancelled), "{error}");
        cut += 1;
        refused(
            finish_of(&world, 2, dir.path()),
            "shard 2/2 is not complete; run each with --shard, as in `--shard 2/2`",
        );
        let again = shard(&world, "2/2", dir.path()).unwrap();
        assert!(again.changes.is_some_and(|changes| changes.continues && changes.surplus.count == 0));
        assert_eq!(finish_of(&world, 2, dir.path()).unwrap().status(), Status::Complete);
        assert_same(&world.source(), dir.path());
    }
    assert!(cut > 5, "{cut}");
}

#[test]
fn shards_that_are_missing_are_named() {
    let world = world();
    let dir = shm();
    let target = dir.path().join("target");
    assert_eq!(sharded(&target).unwrap(), None);
    refused(finish(&world, &target), "nothing is being restored into it in shards");
    assert!(!target.exists());
    shard(&world, "2/4", &target).unwrap();
    let there = listing(&target);
    refused(
        finish(&world, &target),
        "shards 1/4, 3/4, 4/4 are not complete; run each with --shard, as in `--shard 1/4`",
    );
    assert_equal(&there, &listing(&target));
    let found = sharded(&target).unwrap().unwrap();
    assert_eq!((found.of, found.missing.as_slice()), (4, [1, 3, 4].as_slice()));
    assert_eq!(found.run, plan(&world, |plan| plan.run));
    refused(found.check_complete(), "shards 1/4, 3/4, 4/4");
}

#[test]
fn only_shards_of_the_same_restore_meet() {
    let world = world();
    let first: RunId = plan(&world, |plan| plan.run);
    let before = listing(&world.source());
    let dir = shm();
    shard(&world, ONE, dir.path()).unwrap();
    Maker::new(&world.source()).file("plain", b"changed");
    world.backup().unwrap();
    let there = listing(dir.path());
    refused(shard(&world, "2/4", dir.path()), "shards of another snapshot are restored into it");
    refused(finish(&world, dir.path()), &first.to_string());
    let of_first = |work: &dyn Fn(Plan) -> Plan| {
        with_plan(&world, Choice::Run(first), &Selection::default(), |plan| {
            perform(&world, &work(plan), dir.path(), &Silent)
        })
    };
    refused(of_first(&|plan| plan.into_shard("2/5".parse().unwrap())), "in 4 shards, not 5");
    refused(of_first(&|plan| plan.into_finish(5)), "in 4 shards, not 5");
    // One restore of all does not fall upon it, and leaves it as it is.
    refused(of_first(&|plan| plan), "it is being restored in 4 shards");
    assert_equal(&there, &listing(dir.path()));
    for one in &ALL[1..] {
        of_first(&|plan| plan.into_shard(one.parse().unwrap())).unwrap();
    }
    of_first(&|plan| plan.into_finish(4)).unwrap();
    assert_equal(&before, &listing(dir.path()));
}

#[test]
fn shards_do_not_join_what_is_no_restore_in_shards() {
    let world = world();
    let dir = shm();
    let (full, cut) = (dir.path().join("full"), dir.path().join("cut"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "mine").unwrap();
    refused(shard(&world, ONE, &full), "it is not empty");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    plan(&world, |plan| perform(&world, &plan, &cut, &Until(8, AtomicUsize::new(0))).unwrap_err());
    refused(shard(&world, ONE, &cut), "a restore that is not in shards left it unfinished");
    refused(finish(&world, &cut), "a restore that is not in shards left it unfinished");
    plan(&world, |plan| perform(&world, &plan, &cut, &Silent)).unwrap();
    assert_same(&world.source(), &cut);
}

#[test]
fn shards_that_nobody_ends_are_turned_into_a_restore_of_all() {
    let world = world();
    let dir = shm();
    shard(&world, "1/4", dir.path()).unwrap();
    let until = Until(4, AtomicUsize::new(0));
    shard_watched(&world, "3/4", dir.path(), &until).unwrap_err();
    let options =
        Options { in_place: Some(InPlace { delete: true, ..InPlace::default() }), ..Options::default() };
    let report = world.restore_with(dir.path(), &Selection::default(), &options).unwrap();
    assert_eq!(report.status(), Status::Complete);
    assert_same(&world.source(), dir.path());
}

/// Tries something else in the midst of a restore.
struct Rival<'r> {
    phase: &'static str,
    tries: &'r (dyn Fn() -> Vec<String> + Sync),
    said: Mutex<Vec<String>>,
}

impl Observer for Rival<'_> {
    fn tell(&self, event: Event) {
        if event == Event::Phase(self.phase) {
            let said = (self.tries)();
            self.said.lock().unwrap().extend(said);
        }
    }
}

#[test]
fn nobody_else_works_on_a_shard_that_runs() {
    let world = world();
    let dir = shm();
    let target = dir.path().join("target");
    let says = |outcome: Result<Report, RestoreError>| outcome.unwrap_err().to_string();
    let in_place = Options { in_place: Some(InPlace::default()), ..Options::default() };
    let tries = || {
        vec![
            says(shard(&world, "2/4", &target)),
            says(world.restore(&target)),
            says(world.restore_with(&target, &Selection::default(), &in_place)),
            says(finish(&world, &target)),
        ]
    };
    let rival = Rival { phase: "restoring files", tries: &tries, said: Mutex::default() };
    shard_watched(&world, "2/4", &target, &rival).unwrap();
    let said = rival.said.into_inner().unwrap();
    assert!(said[0].contains("another process is restoring shard 2;"), "{}", said[0]);
    assert!(said[1].contains("another restore is writing into it"), "{}", said[1]);
    assert!(said[2].contains("another restore is writing into it"), "{}", said[2]);
    assert!(said[3].contains("shards 1/4, 2/4, 3/4, 4/4 are not complete"), "{}", said[3]);
    for one in ["1/4", "3/4", "4/4"] {
        shard(&world, one, &target).unwrap();
    }
    // While it is finished no shard may begin again, and nobody else may finish.
    let tries = || vec![says(shard(&world, "1/4", &target)), says(finish(&world, &target))];
    let rival = Rival { phase: "setting directories", tries: &tries, said: Mutex::default() };
    plan(&world, |plan| perform(&world, &plan.into_finish(4), &target, &rival)).unwrap();
    let said = rival.said.into_inner().unwrap();
    assert!(said.iter().all(|said| said.contains("another restore is writing into it")), "{said:?}");
    assert_same(&world.source(), &target);
}

#[test]
fn locks_of_shards_hold_where_the_target_itself_cannot_be_locked() {
    // As over NFS, where a lock on a directory is not seen by other hosts.
    let world = world();
    let dir = shm();
    for one in ALL {
        shard(&world, one, dir.path()).unwrap();
    }
    let lock = fs::File::options().write(true).open(dir.path().join(".lifeboat-restore.shard-3")).unwrap();
    lock.lock().unwrap();
    refused(finish(&world, dir.path()), "another process is restoring shard 3");
    refused(shard(&world, "3/4", dir.path()), "another process is restoring shard 3");
    let options = Options { in_place: Some(InPlace::default()), ..Options::default() };
    refused(
        world.restore_with(dir.path(), &Selection::default(), &options),
        "another process is restoring shard 3",
    );
    drop(lock);
    finish(&world, dir.path()).unwrap();
    assert_same(&world.source(), dir.path());
}

#[test]
fn finishing_that_was_cut_off_goes_on_wherever_it_was() {
    let world = world();
    let mut cut = 0;
    for events in 1.. {
        let dir = shm();
        for one in ALL {
            shard(&world, one, dir.path()).unwrap();
        }
        let until = Until(events, AtomicUsize::new(0));
        if plan(&world, |plan| perform(&world, &plan.into_finish(4), dir.path(), &until)).is_ok() {
            break;
        }
        cut += 1;
        assert_eq!(finish(&world, dir.path()).unwrap().status(), Status::Complete);
        assert_same(&world.source(), dir.path());
    }
    assert!(cut > 3, "{cut}");
}

#[test]
fn whoever_finishes_mends_what_is_not_as_shards_left_it() {
    let world = world();
    let dir = shm();
    for one in ALL {
        shard(&world, one, dir.path()).unwrap();
    }
    let m = Maker::new(dir.path());
    fs::remove_file(m.path("noise/0/3")).unwrap();
    m.file("noise/1/4", b"overwritten");
    fs::set_permissions(m.path("noise/2/5"), fs::Permissions::from_mode(0o777)).unwrap();
    let report = finish(&world, dir.path()).unwrap();
    assert_eq!(report.status(), Status::Complete);
    assert!(report.changes.is_some_and(|changes| changes.bytes.0 == 2 << 20));
    assert_same(&world.source(), dir.path());
}

#[test]
fn a_complete_shard_that_is_run_again_fetches_nothing() {
    let world = world();
    let dir = shm();
    let first = shard(&world, ONE, dir.path()).unwrap();
    let again = shard(&world, ONE, dir.path()).unwrap();
    assert_eq!((again.segments, again.bytes.0, again.status()), (0, 0, Status::Complete));
    assert!(again.changes.is_some_and(|changes| changes.unchanged >= first.files));
    assert!(sharded(dir.path()).unwrap().unwrap().missing == [2, 3, 4]);
}

#[test]
fn a_shard_whose_store_fails_is_not_complete() {
    let world = world();
    let dir = shm();
    let counted = FaultyStore::new(Arc::clone(&world.store));
    let options = Options { workers: NonZeroUsize::new(1), ..Options::default() };
    let aside = shm();
    plan(&world, |plan| {
        let plan = plan.into_shard("1/2".parse::<Shard>().unwrap());
        lifeboat_restore::perform(&counted, &plan, aside.path(), &options, &Silent).unwrap()
    });
    let reads = counted.log();
    let at = reads.iter().position(|call| call.operation == Operation::ReadRange).unwrap() as u64 + 1;
    let kind = StoreErrorKind::Other("not now".into());
    let failing = FaultyStore::new(Arc::clone(&world.store)).fail_at(at, Fault::Before, kind);
    let report = plan(&world, |plan| {
        let plan = plan.into_shard("1/2".parse::<Shard>().unwrap());
        lifeboat_restore::perform(&failing, &plan, dir.path(), &options, &Silent).unwrap()
    });
    assert_eq!((report.status(), report.losses.len()), (Status::Partial, 1));
    shard(&world, "2/2", dir.path()).unwrap();
    refused(finish_of(&world, 2, dir.path()), "shard 1/2 is not complete");
    assert_eq!(shard(&world, "1/2", dir.path()).unwrap().status(), Status::Complete);
    finish_of(&world, 2, dir.path()).unwrap();
    assert_same(&world.source(), dir.path());
}

#[test]
fn what_is_lost_is_told_by_whoever_finishes_as_one_restore_tells_it() {
    let world = world();
    let dir = shm();
    let (target, alone) = (dir.path().join("target"), dir.path().join("alone"));
    let packs = world.store.list("packs/").unwrap();
    let largest = packs.iter().max_by_key(|object| object.length).unwrap();
    world.store.delete(&largest.name).unwrap();
    let run = |plan: &Plan, target: &Path| perform(&world, plan, target, &Silent).unwrap();
    let whole = plan(&world, |plan| run(&plan, &alone));
    assert_eq!(whole.status(), Status::Partial);
    for one in ALL {
        plan(&world, |plan| run(&plan.into_shard(one.parse().unwrap()), &target));
    }
    let finished = plan(&world, |plan| run(&plan.into_finish(4), &target));
    assert_eq!(finished.status(), Status::Partial);
    assert_eq!((finished.entries, finished.files), (whole.entries, whole.files));
    let lost = |report: &Report| -> u64 { report.losses.iter().map(|loss| loss.bytes.0).sum() };
    assert_eq!(lost(&finished), lost(&whole));
    assert_same_below(&alone, &target);
}

#[test]
fn a_snapshot_of_a_target_comes_back_with_its_marks() {
    let world = World::over(Arc::new(MemoryStore::new()), shm());
    let m = Maker::new(&world.source());
    m.file("a", &noise(1, 1 << 20));
    m.file(".lifeboat-restore", b"This\ncomponent files snapshot x\nasked y\n");
    m.file(".lifeboat-restore-.shard-1", b"of the snapshot");
    world.backup().unwrap();
    let dir = shm();
    for one in ["2/2", "1/2"] {
        shard(&world, one, dir.path()).unwrap();
    }
    assert!(marks(dir.path()).contains(".lifeboat-restore--.shard-2.done"), "{:?}", marks(dir.path()));
    finish_of(&world, 2, dir.path()).unwrap();
    assert_same(&world.source(), dir.path());
}

#[test]
fn whoever_reads_the_snapshot_otherwise_does_not_join() {
    let world = world();
    let dir = shm();
    shard(&world, ONE, dir.path()).unwrap();
    // Manifests lie in it, too: without them this process would divide what is left, and leave gaps.
    let packs = world.store.list("packs/").unwrap();
    world.store.delete(&packs.iter().max_by_key(|object| object.length).unwrap().name).unwrap();
    let there = listing(dir.path());
    refused(shard(&world, "2/4", dir.path()), "reads other entries in the snapshot than the first shard did");
    assert_equal(&there, &listing(dir.path()));
}

#[test]
fn what_another_shard_is_making_is_left_alone() {
    let world = world();
    let dir = shm();
    shard(&world, "1/2", dir.path()).unwrap();
    shard_watched(&world, "2/2", dir.path(), &Until(4, AtomicUsize::new(0))).unwrap_err();
    let [own, other] =
        [1, 2].map(|number| dir.path().join(format!(".lifeboat-restore.shard-{number}.9.tmp")));
    for path in [&own, &other] {
        fs::write(path, "beside").unwrap();
    }
    fs::remove_file(dir.path().join(".lifeboat-restore.shard-1.done")).unwrap();
    shard(&world, "1/2", dir.path()).unwrap();
    assert_eq!((own.exists(), other.exists()), (false, true));
    shard(&world, "2/2", dir.path()).unwrap();
    finish_of(&world, 2, dir.path()).unwrap();
    assert_same(&world.source(), dir.path());
}

#[test]
fn nothing_is_trusted_unread_once_finishing_has_begun() {
    let world = world();
    let dir = shm();
    for one in ALL {
        shard(&world, one, dir.path()).unwrap();
    }
    // As a crash of the machine would leave it: time and length are right, content is not.
    let path = dir.path().join("noise/0/3");
    let time = path.metadata().unwrap().modified().unwrap();
    fs::write(&path, vec![0; 1 << 20]).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
    let mark = dir.path().join(".lifeboat-restore");
    let text = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, text + "finishing\n").unwrap();
    refused(shard(&world, ONE, dir.path()), "its shards are being brought together");
    for one in 1..=3 {
        fs::remove_file(dir.path().join(format!(".lifeboat-restore.shard-{one}.done"))).unwrap();
    }
    finish(&world, dir.path()).unwrap();
    assert_same(&world.source(), dir.path());
}
