//! A tree in any state becomes what the snapshot holds, and no more is fetched or written than that takes.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lifeboat_backup::{Excludes, Source};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::snapshot::{Snapshot, Status as SnapshotStatus};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_restore::{
    Changes, Choice, InPlace, Options, Plan, Report, RestoreErrorKind, Selection, Severity, Status,
};
use lifeboat_tests::compare::{assert_same, listing};
use lifeboat_tests::trees::{Maker, noise, one_of_each};
use lifeboat_tests::{World, label};
use rustix::fs::FileType;

/// A world, its snapshot's plan, and a directory with something beside the target that must stay as it is.
struct Ground {
    world: World,
    dir: tempfile::TempDir,
}

impl Ground {
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let world = World::new();
        fill(&world.source());
        world.backup().unwrap();
        fs::create_dir_all(dir.path().join("outside/d")).unwrap();
        fs::write(dir.path().join("outside/precious"), "precious").unwrap();
        Self { world, dir }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn with_plan<T>(&self, selection: &Selection, work: impl FnOnce(&dyn Store, &Plan) -> T) -> T {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let component = label("files");
        let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&component)).unwrap();
        let chosen = lifeboat_restore::choose(&listed, &component, Choice::Latest).unwrap();
        let snapshot: &Snapshot = chosen.snapshot;
        let plan = lifeboat_restore::plan(&recovery, snapshot, selection, &Silent).unwrap();
        work(repository.store(), &plan)
    }

    fn restore(&self, in_place: Option<InPlace>) -> Report {
        let options = Options { in_place, ..Options::default() };
        self.with_plan(&Selection::default(), |store, plan| {
            lifeboat_restore::perform(store, plan, &self.target(), &options, &Silent).unwrap()
        })
    }

    fn preview(&self, how: InPlace, selection: &Selection) -> Changes {
        let options = Options { in_place: Some(how), ..Options::default() };
        self.with_plan(selection, |_, plan| {
            lifeboat_restore::preview(plan, &self.target(), &options, &Silent).unwrap().unwrap()
        })
    }

    fn assert_exact(&self) {
        assert_same(&self.world.source(), &self.target());
    }
}

const KEEP: InPlace =
    InPlace { delete: false, delete_excluded: false, trust_times: false, over_live_root: false };
const DELETE: InPlace = InPlace { delete: true, ..KEEP };

/// When each entry was last changed in any way: a write of any kind is seen.
fn change_times(root: &Path) -> BTreeMap<PathBuf, (i64, i64)> {
    let mut times = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = path.symlink_metadata().unwrap();
        times.insert(path.clone(), (meta.ctime(), meta.ctime_nsec()));
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    times
}

/// Some of everything, and files of several chunks.
fn rich(root: &Path) {
    one_of_each(root);
    let m = Maker::new(root);
    m.dir("large");
    m.file("large/noise", &noise(31, 5 << 20));
    m.file("large/zeros and noise", &[vec![0; 1 << 20], noise(32, 2 << 20)].concat());
    m.sparse("large/sparse", 8 << 20, &[(1 << 20, &noise(33, 3 << 20)), (6 << 20, b"island")]);
    m.link("large/noise", "large/noise, too");
    m.sparse("large/hole", 1 << 20, &[]);
    m.file("large/program", &noise(34, 3 << 20));
    m.mode("large/program", 0o4755);
    for path in ["noise", "zeros and noise", "sparse", "hole", "program"] {
        m.time(format!("large/{path}"), 1_650_000_000, 5);
    }
    m.time("large", 1_650_000_000, 6);
    m.time(".", 1_650_000_000, 7);
}

#[test]
fn what_is_right_already_is_not_touched() {
    let ground = Ground::new(rich);
    ground.restore(None);
    ground.assert_exact();
    let before = change_times(&ground.target());
    for how in [KEEP, DELETE, InPlace { trust_times: true, ..KEEP }] {
        let report = ground.restore(Some(how));
        assert_eq!((report.segments, report.bytes.0, report.entries), (0, 0, 0), "{report:?}");
        let changes = report.changes.unwrap();
        assert_eq!((changes.touched(), changes.removed.count, changes.fetch.0), (0, 0, 0), "{changes:?}");
        assert!(changes.unchanged > 20);
        assert_eq!(change_times(&ground.target()), before);
    }
}

/// One change to a tree, chosen by a number.
fn meddle(m: &Maker, seed: u64) {
    let files = ["plain", "two names", "attributes", "listed", "sparse", "dir/inner", "tenants/acme/chat"];
    let large = ["large/noise", "large/zeros and noise", "large/sparse", "large/hole", "large/program"];
    let others = ["link", "null", "disk", "fifo", "socket"];
    let dirs = ["dir", "tenants", "large", "tenants/acme"];
    let pick = |from: &[&'static str], salt: u64| {
        from[usize::try_from((seed / 31 + salt) % from.len() as u64).unwrap()]
    };
    let any = |salt| pick(&[files.as_slice(), &large, &others].concat(), salt);
    let file = |salt| pick(&[files.as_slice(), &large].concat(), salt);
    let exists = |path: &str| m.path(path).symlink_metadata().is_ok();
    let is_file = |path: &str| m.path(path).symlink_metadata().is_ok_and(|meta| meta.is_file());
    let remove = |path: &str| {
        let at = m.path(path);
        match at.symlink_metadata() {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).unwrap(),
            Ok(_) => fs::remove_file(&at).unwrap(),
            Err(_) => {}
        }
    };
    let parent_there = |path: &str| m.path(path).parent().unwrap().is_dir();
    match seed % 19 {
        0 if is_file(file(1)) => {
            let bytes = fs::read(m.path(file(1))).unwrap();
            let half = bytes.len() / 2;
            m.file(file(1), &[&bytes[..half], b"?", bytes.get(half + 1..).unwrap_or_default()].concat());
        }
        1 if is_file(file(2)) => m.file(file(2), b"something else altogether"),
        2 if is_file(file(3)) => {
            let length = fs::metadata(m.path(file(3))).unwrap().len();
            fs::File::options().write(true).open(m.path(file(3))).unwrap().set_len(length / 3).unwrap();
        }
        3 if is_file(file(4)) => {
            let length = fs::metadata(m.path(file(4))).unwrap().len();
            fs::File::options().write(true).open(m.path(file(4))).unwrap().set_len(length + 9000).unwrap();
        }
        4 => remove(any(5)),
        5 => remove(pick(&dirs, 6)),
        6 if parent_there(any(7)) => {
            remove(any(7));
            m.dir(format!("{}/now a dir/deep", any(7)));
        }
        7 if parent_there(any(8)) => {
            remove(any(8));
            m.symlink(any(8), "nowhere");
        }
        8 if exists(pick(&dirs, 9)) => {
            remove(pick(&dirs, 9));
            m.file(pick(&dirs, 9), b"now a file");
        }
        9 if parent_there(any(10)) => {
            remove(any(10));
            m.node(any(10), FileType::Fifo, (0, 0));
        }
        10 if is_file(file(11)) => m.mode(file(11), 0o6711),
        11 if exists(any(12)) => m.owner(any(12), 77, 78),
        12 if exists(any(13)) => m.time(any(13), 1, 2),
        13 if is_file(file(14)) => m.xattr(file(14), "user.surplus", b"x"),
        14 if is_file("attributes") => {
            let _ =
                xattr::remove(m.path("attributes"), ["user.long", "user.short"][(seed / 31) as usize % 2]);
            m.xattr("attributes", "trusted.t", b"changed");
        }
        15 if is_file(file(15)) && parent_there(file(17)) && file(15) != file(17) => {
            remove(file(17));
            m.link(file(15), file(17));
        }
        16 if m.path(pick(&dirs, 16)).is_dir() => {
            m.acl(pick(&dirs, 16), &["-d", "-m", "u:4321:rwx"]);
            m.mode(pick(&dirs, 16), 0o2700);
        }
        17 if is_file("large/noise, too") => {
            let bytes = fs::read(m.path("large/noise, too")).unwrap();
            remove("large/noise, too");
            m.file("large/noise, too", &bytes);
        }
        18 if m.path(pick(&dirs, 18)).is_dir() => {
            m.dir(format!("{}/surplus/deep", pick(&dirs, 18)));
            m.file(format!("{}/surplus/deep/file", pick(&dirs, 18)), b"surplus");
            if is_file("plain") {
                m.link("plain", format!("{}/surplus/another name", pick(&dirs, 18)));
            }
        }
        _ => m.file(format!("surplus {seed}"), b"surplus"),
    }
}

#[test]
fn any_state_becomes_the_snapshot() {
    let ground = Ground::new(rich);
    let all = ground.restore(None).segments;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..16 {
        let m = Maker::new(&ground.target());
        for _ in 0..=round % 7 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // A tree that an earlier change took away cannot be changed again.
            meddle(&m, state >> 33);
        }
        let planned = ground.preview(DELETE, &Selection::default());
        let report = ground.restore(Some(DELETE));
        assert_eq!(report.status(), Status::Complete, "round {round}: {:?}", report.findings);
        assert_eq!(report.finding_counts.warnings, 0, "round {round}: {:?}", report.findings);
        assert!(report.segments <= all);
        assert_eq!(report.changes.as_ref(), Some(&planned), "a dry run says what is done");
        ground.assert_exact();
    }
    // An empty directory too, and none at all.
    fs::remove_dir_all(ground.target()).unwrap();
    ground.restore(Some(KEEP));
    ground.assert_exact();
}

#[test]
fn only_what_differs_is_fetched_and_written() {
    let ground = Ground::new(|root| {
        let m = Maker::new(root);
        m.file("large", &noise(1, 20 << 20));
        m.file("apart", &noise(2, 6 << 20));
    });
    let whole = ground.restore(None);
    assert!(whole.segments >= 6, "{whole:?}");
    let large = ground.target().join("large");
    let inode = fs::metadata(&large).unwrap().ino();
    let mut bytes = fs::read(&large).unwrap();
    bytes[10 << 20] ^= 1;
    fs::write(&large, &bytes).unwrap();
    let report = ground.restore(Some(KEEP));
    let changes = report.changes.as_ref().unwrap();
    assert_eq!(
        (changes.patched, changes.replaced, changes.made, report.segments),
        (1, 0, 0, 1),
        "{changes:?}"
    );
    assert!((1..=2 << 20).contains(&report.bytes.0), "one chunk: {report:?}");
    assert_eq!(fs::metadata(&large).unwrap().ino(), inode, "it was written in place");
    ground.assert_exact();

    // Longer than it should be: cut, nothing fetched. Another owner or time: set, nothing fetched.
    fs::File::options().append(true).open(&large).unwrap().set_len(21 << 20).unwrap();
    Maker::new(&ground.target()).owner("apart", 5, 6);
    let report = ground.restore(Some(KEEP));
    let changes = report.changes.as_ref().unwrap();
    assert_eq!(
        (changes.patched, changes.corrected, report.segments, report.bytes.0),
        (1, 1, 0, 0),
        "{changes:?}"
    );
    ground.assert_exact();

    // The same length and time, other content: seen, unless times are trusted.
    let time = fs::metadata(&large).unwrap().modified().unwrap();
    bytes[7 << 20] ^= 1;
    fs::write(&large, &bytes).unwrap();
    fs::File::options().append(true).open(&large).unwrap().set_modified(time).unwrap();
    let trusting = ground.restore(Some(InPlace { trust_times: true, ..KEEP }));
    assert_eq!((trusting.segments, trusting.entries), (0, 0));
    assert!(ground.restore(Some(KEEP)).segments > 0);
    ground.assert_exact();
}

#[test]
fn a_file_with_a_name_elsewhere_is_not_written() {
    let ground = Ground::new(rich);
    ground.restore(None);
    let outside = |name: &str| ground.outside().join(name);
    for (number, (path, change)) in [
        ("large/noise", "content"),
        ("plain", "content"),
        ("sparse", "mode"),
        ("link", "time"),
        ("fifo", "mode"),
    ]
    .into_iter()
    .enumerate()
    {
        let m = Maker::new(&ground.target());
        let name = format!("name {number}");
        rustix::fs::link(m.path(path), outside(&name)).unwrap();
        match change {
            "content" => {
                let mut bytes = fs::read(m.path(path)).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                m.file(path, &bytes);
            }
            "mode" => m.mode(path, 0o601),
            _ => m.time(path, 1, 1),
        }
    }
    let before = listing(&ground.outside());
    let report = ground.restore(Some(KEEP));
    assert_eq!(report.status(), Status::Complete, "{:?}", report.findings);
    // Nothing of them is changed, but that they are no longer names of one file.
    let differences = before.differences(&listing(&ground.outside()));
    assert!(differences.keys().all(|(_, what)| *what == "links"), "{differences:?}");
    ground.assert_exact();

    // A farm of hard links, as people make for a cheap copy, is no reason to write what is right.
    let times = change_times(&ground.target().join("dir"));
    rustix::fs::link(ground.target().join("dir/inner"), outside("farm")).unwrap();
    let linked = change_times(&ground.target().join("dir"));
    ground.restore(Some(KEEP));
    assert_eq!(change_times(&ground.target().join("dir")), linked);
    assert_ne!(times, linked);
}

#[test]
fn links_where_directories_belong_lead_nowhere() {
    let ground = Ground::new(rich);
    ground.restore(None);
    let target = ground.target();
    let before = listing(&ground.outside());
    fs::remove_dir_all(target.join("tenants")).unwrap();
    symlink(ground.outside(), target.join("tenants")).unwrap();
    fs::remove_dir_all(target.join("dir")).unwrap();
    symlink(ground.outside().join("d"), target.join("dir")).unwrap();
    fs::remove_file(target.join("plain")).unwrap();
    symlink(ground.outside().join("precious"), target.join("plain")).unwrap();
    // And one among what is removed.
    fs::create_dir(target.join("surplus")).unwrap();
    symlink(ground.outside(), target.join("surplus/away")).unwrap();
    let report = ground.restore(Some(DELETE));
    assert_eq!(report.status(), Status::Complete, "{:?}", report.findings);
    lifeboat_tests::compare::assert_equal(&before, &listing(&ground.outside()));
    ground.assert_exact();
}

#[test]
fn what_lies_where_a_mark_is_made_is_not_written() {
    let ground = Ground::new(|root| Maker::new(root).file("f", b"x"));
    ground.restore(None);
    let m = Maker::new(&ground.target());
    let precious = ground.outside().join("precious");
    for plant in ["another name", "symlink", "fifo"] {
        for name in [".lifeboat-restore.new", ".lifeboat-restore"] {
            match plant {
                "another name" => rustix::fs::link(&precious, m.path(name)).unwrap(),
                "symlink" => symlink(&precious, m.path(name)).unwrap(),
                _ => m.node(name, FileType::Fifo, (0, 0)),
            }
            m.file("f", b"y");
            ground.restore(Some(KEEP));
            ground.assert_exact();
            assert_eq!(fs::read(&precious).unwrap(), b"precious", "{plant} at {name}");
        }
    }
}

#[test]
fn surplus_is_kept_until_somebody_asks() {
    let ground = Ground::new(rich);
    ground.restore(None);
    let m = Maker::new(&ground.target());
    m.dir("surplus/deep");
    m.file("surplus/deep/file", b"surplus");
    m.file("dir/more", b"surplus");
    // Directories in the way of something else: an empty one is none's loss, a full one is kept.
    fs::remove_file(m.path("plain")).unwrap();
    m.dir("plain/full");
    fs::remove_file(m.path("fifo")).unwrap();
    m.dir("fifo");
    let report = ground.restore(Some(KEEP));
    assert_eq!(report.status(), Status::Partial);
    let missing: Vec<_> = report.findings.iter().filter(|one| one.severity == Severity::Missing).collect();
    assert!(
        missing.len() == 1 && missing[0].path == b"plain" && missing[0].what.contains("--delete"),
        "{missing:?}"
    );
    let changes = report.changes.unwrap();
    let kept: Vec<_> = changes.surplus.first.iter().map(|path| String::from_utf8_lossy(path)).collect();
    assert_eq!(kept, ["surplus", "dir/more"]);
    assert!(changes.to_string().contains("keeps     surplus"), "{changes}");
    assert!(m.path("plain/full").is_dir() && m.path("dir/more").is_file() && !m.path("fifo").is_dir());

    // Somebody who asked for one tenant alone is not given others' removal.
    let tenants = ["acme".parse().unwrap()].into();
    let some = Selection { tenants, ..Selection::default() };
    let changes = ground.preview(DELETE, &some);
    assert_eq!(changes.removed.count, 0);
    assert!(changes.not_removed.as_ref().unwrap().contains("tenants"), "{changes:?}");
    // Below a path asked for, and nowhere else.
    let some = Selection { paths: vec![b"dir".to_vec()], ..Selection::default() };
    let changes = ground.preview(DELETE, &some);
    assert_eq!(changes.removed.first, [b"dir/more".to_vec()]);

    let report = ground.restore(Some(DELETE));
    let changes = report.changes.unwrap();
    let removed: Vec<_> = changes.removed.first.iter().map(|path| String::from_utf8_lossy(path)).collect();
    assert_eq!(removed, ["surplus", "dir/more", "plain"]);
    ground.assert_exact();
}

#[test]
fn what_was_left_out_of_the_backup_is_not_taken_for_surplus() {
    let ground = Ground::new(|root| {
        let m = Maker::new(root);
        m.file("kept", b"x");
        m.file("data.cache", b"x");
    });
    let mut job = ground.world.job();
    let Source::Files(tree) = &mut job.source else { unreachable!() };
    tree.excludes = Excludes::default().with_patterns(&["*.cache".into()]).unwrap();
    let repository = ground.world.repository();
    let credentials = ground.world.credentials();
    lifeboat_backup::run(&repository, credentials, &job, &SystemClock, &SystemEntropy, &Silent).unwrap();
    ground.restore(None);
    let m = Maker::new(&ground.target());
    m.file("data.cache", b"what the service made again");
    let report = ground.restore(Some(DELETE));
    assert!(m.path("data.cache").exists());
    let changes = report.changes.unwrap();
    assert!(changes.not_removed.as_ref().unwrap().contains("--delete-excluded"), "{changes:?}");
    ground.restore(Some(InPlace { delete_excluded: true, ..DELETE }));
    assert!(!m.path("data.cache").exists());
}

#[test]
fn what_cannot_be_had_leaves_what_was_there() {
    let ground = Ground::new(|root| {
        let m = Maker::new(root);
        m.file("small", b"new content");
        m.file("large", &noise(1, 3 << 20));
        m.file("absent", b"not there");
    });
    ground.restore(None);
    let m = Maker::new(&ground.target());
    m.file("small", b"old content");
    let mut bytes = fs::read(m.path("large")).unwrap();
    bytes[0] ^= 1;
    m.file("large", &bytes);
    fs::remove_file(m.path("absent")).unwrap();
    let options = Options { in_place: Some(KEEP), ..Options::default() };
    let report = ground.with_plan(&Selection::default(), |_, plan| {
        let dead = FaultyStore::new(std::sync::Arc::clone(&ground.world.store)).stop_at(1, Fault::Before);
        lifeboat_restore::perform(&dead, plan, &ground.target(), &options, &Silent).unwrap()
    });
    assert_eq!(report.status(), Status::Partial);
    assert!(report.losses.iter().any(|loss| loss.paths.contains(&b"small".to_vec())), "{report:?}");
    assert_eq!(fs::read(m.path("small")).unwrap(), b"old content");
    assert_eq!(fs::read(m.path("large")).unwrap(), bytes);
    assert!(!m.path("absent").exists());
    let names: Vec<_> = fs::read_dir(ground.target()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
    assert_eq!(ground.restore(Some(KEEP)).status(), Status::Complete);
    ground.assert_exact();
}

#[test]
fn over_a_live_root_only_with_consent() {
    let ground = Ground::new(|root| Maker::new(root).file("f", &noise(1, 3 << 20)));
    // Only looked at: a test does not restore over the machine it runs on.
    ground.with_plan(&Selection::default(), |_, plan| {
        for in_place in [None, Some(DELETE)] {
            let options = Options { in_place, ..Options::default() };
            let error = lifeboat_restore::preview(plan, Path::new("/"), &options, &Silent).unwrap_err();
            assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
        }
    });
    // With consent no file is written while it has its name.
    ground.restore(None);
    let path = ground.target().join("f");
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let reader = fs::File::open(&path).unwrap();
    let report = ground.restore(Some(InPlace { over_live_root: true, ..KEEP }));
    assert_eq!(report.changes.unwrap().replaced, 1);
    ground.assert_exact();
    let mut seen = vec![0; bytes.len()];
    std::os::unix::fs::FileExt::read_exact_at(&reader, &mut seen, 0).unwrap();
    assert_eq!(seen, bytes, "who had it open has what he had");
}

#[test]
fn what_the_backup_could_not_list_is_never_removed() {
    const TEST: &str = "what_the_backup_could_not_list_is_never_removed";
    let Some(dir) = lifeboat_tests::nobody::child() else {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        rustix::fs::chown(dir.path(), Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
        lifeboat_tests::nobody::run(TEST, dir.path());
        return;
    };
    let world = World::over(std::sync::Arc::new(lifeboat_repo::store::memory::MemoryStore::new()), {
        fs::create_dir(dir.join("world")).unwrap();
        tempfile::tempdir_in(dir.join("world")).unwrap()
    });
    let m = Maker::new(&world.source());
    m.dir("closed/below");
    m.file("closed/below/precious", b"the only copy");
    m.file("open", b"x");
    m.mode("closed", 0o000);
    let closed = |report: &lifeboat_backup::Report| {
        let named: Vec<_> = report.problems.named.iter().map(|one| one.path.as_slice()).collect();
        assert_eq!(named, [b"closed".as_slice()], "{report:?}");
        assert_eq!((report.status, report.counts.errors), (SnapshotStatus::Partial, 1));
    };
    closed(&world.backup().unwrap());
    // Nothing changed, and it is told again.
    closed(&world.backup().unwrap());

    // Somewhere else it comes back empty, and that is said.
    let elsewhere = dir.join("elsewhere");
    let report = world.restore(&elsewhere).unwrap();
    let said: Vec<_> = report.findings.iter().filter(|one| one.path == b"closed").collect();
    assert!(said.iter().any(|one| one.what.contains("cannot be listed")), "{:?}", report.findings);

    // Where it lives nothing of it goes, and nothing else either.
    m.mode("closed", 0o700);
    m.file("surplus", b"surplus");
    let in_place = |target: &Path| {
        let options = Options { in_place: Some(DELETE), ..Options::default() };
        world.restore_with(target, &Selection::default(), &options).unwrap()
    };
    let refused = in_place(&world.source()).changes.unwrap().not_removed.unwrap();
    assert!(refused.contains("could not be read"), "{refused}");
    fs::set_permissions(m.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(m.path("closed/below/precious").exists() && m.path("surplus").exists());

    // Once it may be listed it is in the backup, and surplus goes.
    assert_eq!(world.backup().unwrap().status, SnapshotStatus::Complete);
    m.file("more", b"surplus");
    assert_eq!(in_place(&world.source()).changes.unwrap().removed.first, [b"more".to_vec()]);
    assert!(m.path("closed/below/precious").exists());
}

#[test]
fn a_tree_of_somebody_else_is_refused_before_anything_is_changed() {
    let Some(dir) = lifeboat_tests::nobody::child() else {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir_all(dir.path().join("target/closed/d")).unwrap();
        fs::set_permissions(dir.path().join("target/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(dir.path().join("target/f"), "old").unwrap();
        rustix::fs::chown(dir.path(), Some(rustix::fs::Uid::from_raw(65534)), None).unwrap();
        lifeboat_tests::nobody::run(
            "a_tree_of_somebody_else_is_refused_before_anything_is_changed",
            dir.path(),
        );
        assert_eq!(fs::read(dir.path().join("target/f")).unwrap(), b"old");
        return;
    };
    let world = World::over(std::sync::Arc::new(lifeboat_repo::store::memory::MemoryStore::new()), {
        fs::create_dir(dir.join("world")).unwrap();
        tempfile::tempdir_in(dir.join("world")).unwrap()
    });
    let m = Maker::new(&world.source());
    m.dir("closed/d");
    m.file("f", b"new");
    world.backup().unwrap();
    let options = Options { in_place: Some(KEEP), ..Options::default() };
    let error = world.restore_with(&dir.join("target"), &Selection::default(), &options).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Io { .. }), "{error}");
    assert!(
        error.to_string().contains("closed") && error.to_string().contains("ermission denied"),
        "{error}"
    );
}
