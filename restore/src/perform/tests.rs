use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink as link_to};
use std::path::{Path, PathBuf};

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use super::*;
use crate::error::RestoreErrorKind;
use crate::plan::plan;
use crate::report::{LossKind, Severity, Status};
use crate::select::Selection;
use crate::testing::{Watcher, World, dir, file, hardlink, made, symlink, tenant};

/// A place for a target, with something beside it that must stay as it is.
struct Ground {
    dir: TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/precious"), "precious").unwrap();
        Self { dir }
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn assert_outside_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.outside()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read(self.outside().join("precious")).unwrap(), b"precious");
    }
}

fn planned(
    world: &World,
    snapshot: &lifeboat_repo::format::snapshot::Snapshot,
    selection: &Selection,
) -> Plan {
    let repository = world.repository();
    plan(&world.recovery(&repository), snapshot, selection, &Silent).unwrap()
}

fn restored(world: &World, plan: &Plan, target: &Path) -> Report {
    perform(&world.store, plan, target, &Options::default(), &Silent).unwrap()
}

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_tree_of_several_tenants_comes_back() {
    let world = World::new();
    let big: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 1000 + usize::from(byte)]).collect();
    let big_refs: Vec<&[u8]> = big.iter().map(Vec::as_slice).collect();
    let system =
        vec![dir("."), dir("tenants"), file("readme", &[b"hello"]), symlink("link", "tenants/a/one")];
    let mut private = made("tenants/a/private", EntryKind::Dir, 0o500);
    private.entry.metadata.mtime = lifeboat_repo::units::Timestamp::new(-5, 7);
    let a = vec![
        dir("tenants/a"),
        file("tenants/a/one", &[b"hello"]),
        file("tenants/a/big", &big_refs),
        file("tenants/a/twice", &[&big[0], &big[1], &big[0]]),
        file("tenants/a/empty", &[]),
        file("tenants/a/holes", &[b"abc", b"defg"]).holes(&[(0, 4096), (4098, 10), (4113, 8000)]),
        file("tenants/a/hollow", &[]).holes(&[(0, 70_000)]),
        hardlink("tenants/a/zlink", "tenants/a/one"),
        private,
        file("tenants/a/private/deep", &[b"deep"]),
        made("tenants/a/fifo", EntryKind::Fifo, 0o620),
        made("tenants/a/socket", EntryKind::Socket, 0o600),
    ];
    let snapshot = world.back_up(&[("_system", system), ("a", a)], 7);
    let ground = Ground::new();
    let plan = planned(&world, &snapshot, &Selection::default());
    assert_eq!((plan.entries, plan.files), (16, 8));
    assert!(plan.to_string().contains("_system, a"), "{plan}");
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.findings, []);
    assert_eq!((report.status(), report.entries, report.files), (Status::Complete, 16, 8));
    assert_eq!(report.bytes, plan.bytes);
    assert_eq!((report.segments, report.fetched), (plan.segments, plan.fetch));

    let at = |path: &str| ground.target().join(path);
    assert_eq!(fs::read(at("tenants/a/one")).unwrap(), b"hello");
    assert_eq!(fs::read(at("tenants/a/big")).unwrap(), big.concat());
    assert_eq!(fs::read(at("tenants/a/twice")).unwrap(), [&*big[0], &big[1], &big[0]].concat());
    assert_eq!(fs::read(at("tenants/a/empty")).unwrap(), b"");
    let holes = fs::read(at("tenants/a/holes")).unwrap();
    assert_eq!(holes, [&[0; 4096], b"ab".as_slice(), &[0; 10], b"cdefg", &[0; 8000]].concat());
    assert_eq!(fs::metadata(at("tenants/a/hollow")).unwrap().len(), 70_000);
    assert_eq!(fs::metadata(at("tenants/a/hollow")).unwrap().blocks(), 0);
    assert_eq!(
        fs::metadata(at("tenants/a/zlink")).unwrap().ino(),
        fs::metadata(at("tenants/a/one")).unwrap().ino()
    );
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("tenants/a/one"));
    assert_eq!(mode_of(&at("tenants/a/private")), 0o500);
    assert_eq!(mode_of(&at("tenants/a/fifo")), 0o620);
    assert_eq!(mode_of(&ground.target()), 0o755);
    let private = fs::metadata(at("tenants/a/private")).unwrap();
    assert_eq!((private.mtime(), private.mtime_nsec()), (-5, 7));
    for path in ["tenants/a/big", "tenants", "link", "tenants/a/fifo", "tenants/a/empty"] {
        let seen = fs::symlink_metadata(at(path)).unwrap();
        assert_eq!((seen.mtime(), seen.mtime_nsec()), (1_700_000_000, 123_456_789), "{path}");
    }
    ground.assert_outside_untouched();
}

#[test]
fn attributes_come_back_short_and_long() {
    let world = World::new();
    let mut long = file("f", &[b"x"]).xattr("user.short", b"\0\xff");
    long.long_xattr = Some((b"user.long".to_vec(), vec![vec![1; 1500], vec![2; 600]]));
    long.entry.metadata.mode = 0o444;
    let mut on_dir = dir("d");
    on_dir.long_xattr = Some((b"user.dir".to_vec(), vec![vec![3; 2000]]));
    let snapshot = world.back_up(&[("_system", vec![dir("."), long, on_dir])], 1);
    let ground = Ground::new();
    let report = restored(&world, &planned(&world, &snapshot, &Selection::default()), &ground.target());
    assert_eq!(report.findings, []);
    let get = |path: &str, name: &str| xattr::get(ground.target().join(path), name).unwrap().unwrap();
    assert_eq!(get("f", "user.short"), b"\0\xff");
    assert_eq!(get("f", "user.long"), [vec![1; 1500], vec![2; 600]].concat());
    assert_eq!(get("d", "user.dir"), vec![3; 2000]);
    assert_eq!(mode_of(&ground.target().join("f")), 0o444);
}

#[test]
fn paths_and_tenants_are_restored_alone() {
    let world = World::new();
    let system = vec![dir("."), made("t", EntryKind::Dir, 0o711), file("other", &[b"o"])];
    let a = vec![
        dir("t/a"),
        file("t/a/first", &[b"same"]),
        hardlink("t/a/keep/second", "t/a/first"),
        hardlink("t/a/keep/third", "t/a/first"),
        dir("t/a/keep"),
    ];
    let b = vec![dir("t/b"), file("t/b/x", &[b"b"])];
    let snapshot = world.back_up(&[("_system", system), ("a", a), ("b", b)], 3);

    // A further name whose file was not asked for brings the content itself.
    let ground = Ground::new();
    let selection = Selection { paths: vec![b"t/a/keep/".to_vec()], ..Selection::default() };
    let plan = planned(&world, &snapshot, &selection);
    assert_eq!(plan.left_out.first().map(|left| left.count), Some(5));
    let report = restored(&world, &plan, &ground.target());
    assert_eq!((report.status(), report.entries), (Status::Complete, 5));
    assert_eq!(fs::read(ground.target().join("t/a/keep/third")).unwrap(), b"same");
    let second = fs::metadata(ground.target().join("t/a/keep/second")).unwrap();
    assert_eq!(second.nlink(), 2);
    assert!(!ground.target().join("other").exists() && !ground.target().join("t/a/first").exists());
    assert_eq!(mode_of(&ground.target().join("t")), 0o711);

    // A tenant alone: what is above belongs to another and is for the owner only.
    let ground = Ground::new();
    let selection = Selection { tenants: [tenant("b")].into(), ..Selection::default() };
    let report = restored(&world, &planned(&world, &snapshot, &selection), &ground.target());
    assert_eq!(report.status(), Status::Complete);
    assert_eq!(fs::read(ground.target().join("t/b/x")).unwrap(), b"b");
    assert_eq!(mode_of(&ground.target().join("t")), 0o700);
    assert!(!ground.target().join("t/a").exists());

    let repository = world.repository();
    let recovery = world.recovery(&repository);
    for (selection, part) in [
        (Selection { tenants: [tenant("c")].into(), ..Selection::default() }, "tenant c"),
        (Selection { paths: vec![b"nowhere".to_vec()], ..Selection::default() }, "nowhere"),
    ] {
        let error = plan_error(&recovery, &snapshot, &selection);
        assert!(
            matches!(error.kind, RestoreErrorKind::Refused(_)) && error.to_string().contains(part),
            "{error}"
        );
    }
}

fn plan_error(
    recovery: &lifeboat_repo::repository::recover::Recovery<'_>,
    snapshot: &lifeboat_repo::format::snapshot::Snapshot,
    selection: &Selection,
) -> RestoreError {
    plan(recovery, snapshot, selection, &Silent).unwrap_err()
}

#[test]
fn an_erased_key_and_a_lost_pack_do_not_stop_the_others() {
    let world = World::new();
    let a = vec![dir("a"), file("a/x", &[b"aaa"])];
    let b = vec![dir("b"), file("b/x", &[b"bbb"])];
    let c = vec![dir("c"), file("c/x", &[b"ccc"]), hardlink("c/y", "c/x")];
    let snapshot = world.back_up(&[("_system", vec![dir(".")]), ("a", a), ("b", b), ("c", c)], 10);
    let keys: Vec<_> = world.names("keys/");
    let repository = world.repository();
    let share_of = |name: &str| {
        let recovery = world.recovery(&repository);
        let mut shares = snapshot.keys.iter();
        shares
            .find(|share| {
                recovery.unwrap_tenant_key(&snapshot.writer, share.key).unwrap().tenant == tenant(name)
            })
            .unwrap()
            .clone()
    };
    let erased = share_of("b").key;
    let damaged = share_of("c");
    world.store.remove(keys.iter().find(|name| name.last() == erased.to_string()).unwrap());

    // Flip a byte in the data segment of c: its content is lost, its manifest is not.
    let recovery = world.recovery(&repository);
    let wanted = damaged.segments.iter().copied().collect();
    let map = lifeboat_repo::repository::segments::SegmentMap::load(
        &repository,
        recovery.catalog(),
        &snapshot.writer,
        &wanted,
    )
    .unwrap();
    let data = map
        .segments()
        .iter()
        .find(|segment| segment.kind == lifeboat_repo::format::index::SegmentKind::Data)
        .unwrap();
    let place = data.places[0];
    let pack = lifeboat_repo::format::names::pack(place.pack).unwrap();
    let mut bytes = world.store.read(&pack, lifeboat_repo::units::Bytes::mib(1)).unwrap();
    bytes[place.offset.as_usize() + place.length.as_usize() / 2] ^= 1;
    world.store.replace(&pack, &bytes);

    let ground = Ground::new();
    let plan = planned(&world, &snapshot, &Selection::default());
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.status(), Status::Partial);
    let kinds: Vec<_> = report.losses.iter().map(|loss| (loss.key, loss.kind)).collect();
    assert_eq!(kinds, [(erased, LossKind::Key), (damaged.key, LossKind::Damaged)]);
    assert_eq!(report.losses[1].paths, [b"c/x".to_vec()]);
    assert!(report.findings.iter().any(|one| one.path == b"c/y" && one.severity == Severity::Missing));
    assert_eq!(fs::read(ground.target().join("a/x")).unwrap(), b"aaa");
    assert!(!ground.target().join("b").exists());
    assert!(ground.target().join("c").exists() && !ground.target().join("c/x").exists());
}

#[test]
fn a_file_that_lost_a_part_is_whole_in_size_and_named() {
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), file("f", &[b"one", b"two", b"three"])])], 1);
    let mut plan = planned(&world, &snapshot, &Selection::default());
    // The last segment points beyond its pack.
    let last = plan.work.fetches.last_mut().unwrap();
    last.segment.places[0].offset = lifeboat_repo::units::Bytes(1 << 29);
    let ground = Ground::new();
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.status(), Status::Partial);
    assert_eq!(fs::read(ground.target().join("f")).unwrap(), b"onetwo\0\0\0\0\0");
    assert!(
        report.findings.iter().any(|one| one.what.contains("5 B of it are lost")),
        "{:?}",
        report.findings
    );
}

#[test]
fn a_store_that_keeps_failing_ends_it() {
    let world = World::new();
    let chunks: Vec<Vec<u8>> = (0..30_u8).map(|byte| vec![byte; 10]).collect();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let snapshot = world.back_up(&[("_system", vec![dir("."), file("f", &chunks)])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let store = FaultyStore::new(world.store.fork()).stop_at(1, Fault::Before);
    let ground = Ground::new();
    let error = perform(&store, &plan, &ground.target(), &Options::default(), &Silent).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Unchecked(_)), "{error}");
    assert!(error.so_far.is_some());
}

#[test]
fn only_an_empty_directory_is_a_target() {
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), dir("lost+found"), file("f", &[b"x"])])], 5);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let refused = |target: &Path, part: &str| {
        let error = perform(&world.store, &plan, target, &Options::default(), &Silent).unwrap_err();
        assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&ground.outside(), "precious");
    refused(&ground.outside().join("precious"), "not a directory");
    refused(&ground.dir.path().join("a/b"), "not there");
    ground.assert_outside_untouched();
    // A new file system is empty.
    fs::create_dir_all(ground.target().join("lost+found")).unwrap();
    assert_eq!(restored(&world, &plan, &ground.target()).status(), Status::Complete);
}

#[test]
fn nothing_is_written_through_a_link_that_the_snapshot_itself_holds() {
    let world = World::new();
    let ground = Ground::new();
    let outside = ground.outside();
    // A link, and an entry below it: no backup makes that, a forger might.
    let a = vec![symlink("d", outside.to_str().unwrap())];
    let b = vec![file("d/planted", &[b"x"])];
    let snapshot = world.back_up(&[("_system", vec![dir(".")]), ("a", a), ("b", b)], 5);
    let plan = planned(&world, &snapshot, &Selection::default());
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.status(), Status::Partial);
    assert!(report.findings.iter().any(|one| one.path == b"d" && one.severity == Severity::Missing));
    ground.assert_outside_untouched();
}

/// Swaps a directory of the target for a link when a phase begins.
struct Swapper<'g> {
    ground: &'g Ground,
    phase: &'static str,
}

impl Observer for Swapper<'_> {
    fn tell(&self, event: Event) {
        if event == Event::Phase(self.phase) {
            let victim = self.ground.target().join("d");
            fs::rename(&victim, self.ground.dir.path().join(format!("moved {}", self.phase))).unwrap();
            link_to(self.ground.outside(), &victim).unwrap();
        }
    }
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    let world = World::new();
    let entries = vec![
        dir("."),
        dir("d"),
        file("d/precious", &[b"mine", b"now"]),
        file("d/planted", &[b"x"]),
        dir("d/e"),
        file("d/e/f", &[b"x"]),
        symlink("d/s", "x"),
        made("d/fifo", EntryKind::Fifo, 0o600),
    ];
    let snapshot = world.back_up(&[("_system", entries)], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    for phase in ["restoring files", "restoring links and special files", "setting directories"] {
        let ground = Ground::new();
        let before = fs::metadata(ground.outside()).unwrap();
        let swapper = Swapper { ground: &ground, phase };
        let error =
            perform(&world.store, &plan, &ground.target(), &Options::default(), &swapper).unwrap_err();
        assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
        assert!(error.to_string().contains("changed by somebody else"), "{error}");
        ground.assert_outside_untouched();
        let after = fs::metadata(ground.outside()).unwrap();
        assert_eq!((before.mode(), before.mtime(), before.uid()), (after.mode(), after.mtime(), after.uid()));
    }
}

#[test]
fn a_link_where_a_directory_is_needed_ends_it() {
    struct Planter<'g>(&'g Ground);
    impl Observer for Planter<'_> {
        fn tell(&self, event: Event) {
            if event == Event::Phase("making directories") {
                link_to(self.0.outside(), self.0.target().join("d")).unwrap();
            }
        }
    }
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), dir("d"), file("d/planted", &[b"x"])])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let error =
        perform(&world.store, &plan, &ground.target(), &Options::default(), &Planter(&ground)).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Refused(_)), "{error}");
    ground.assert_outside_untouched();
}

#[test]
fn paths_are_opened_beneath_with_and_without_openat2() {
    let ground = Ground::new();
    fs::create_dir_all(ground.target().join("a")).unwrap();
    let (root, _) = Root::open(&ground.dir.path().join("target/a")).unwrap();
    fs::create_dir_all(ground.target().join("a/b/c")).unwrap();
    link_to(ground.outside(), ground.target().join("a/l")).unwrap();
    link_to("b", ground.target().join("a/b/inner")).unwrap();
    let mut root = root;
    for _ in 0..2 {
        let base = std::os::fd::AsFd::as_fd(&root.fd);
        assert!(root.handle(base, b"b/c").is_ok());
        assert!(root.open_dir(base, b".", OFlags::RDONLY).is_ok());
        for path in [b"l".as_slice(), b"b/inner", b"b/inner/c", b"l/x", b"b/none"] {
            assert!(root.handle(base, path).is_err(), "{}", String::from_utf8_lossy(path));
        }
        root = root.without_whole_paths();
    }
}

#[test]
fn a_default_acl_of_the_target_is_not_inherited() {
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), file("f", &[b"x"])])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    fs::create_dir(ground.target()).unwrap();
    let entry = |tag: u16, perm: u16, id: u32| {
        [tag.to_le_bytes().as_slice(), &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let all = u32::MAX;
    let acl = [
        vec![2, 0, 0, 0],
        entry(1, 7, all),
        entry(2, 7, 4711),
        entry(4, 5, all),
        entry(16, 7, all),
        entry(32, 5, all),
    ]
    .concat();
    if xattr::set(ground.target(), "system.posix_acl_default", &acl).is_err() {
        return; // A file system without ACLs inherits none.
    }
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.finding_counts.notes, 1);
    assert_eq!(xattr::get(ground.target().join("f"), "system.posix_acl_access").unwrap(), None);
}

#[test]
fn stopping_says_how_far_it_came() {
    let world = World::new();
    let files = (0..50).map(|n| file(&format!("f{n:02}"), &[format!("{n}").as_bytes()]));
    let snapshot = world.back_up(&[("_system", [dir(".")].into_iter().chain(files).collect())], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let watcher = Watcher::stopping_after(10);
    let options = Options { workers: NonZeroUsize::new(1), ..Options::default() };
    let error = perform(&world.store, &plan, &ground.target(), &options, &watcher).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Cancelled), "{error}");
    let so_far = error.so_far.unwrap();
    assert!(so_far.entries > 0 && so_far.entries < 51, "{so_far:?}");
    assert!(error.to_string().contains("of 51 entries"), "{error}");
}

#[test]
fn many_large_files_need_few_descriptors() {
    let world = World::new();
    let mut entries = vec![dir(".")];
    for n in 0..40 {
        // Segments interleave the parts of all files.
        let chunks: Vec<Vec<u8>> = (0..4).map(|part| format!("{part}:{n}").into_bytes()).collect();
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        entries.push(dir(&format!("d{n:02}")));
        entries.push(file(&format!("d{n:02}/f"), &chunks));
    }
    let snapshot = world.back_up(&[("_system", entries)], 3);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let (root, _) = Root::open(&ground.target()).unwrap();
    let ids = Resolved::new(&IdMap::default(), plan.work.tree.owners());
    let mut site = Site::new(&plan.work, root, ids, 2, &Silent);
    (site.files_open_max, site.dirs_open_max) = (2, 4);
    all_phases(&site, &world.store, 2).unwrap();
    for n in 0..40 {
        let expected: String = (0..4).map(|part| format!("{part}:{n}")).collect();
        assert_eq!(fs::read_to_string(ground.target().join(format!("d{n:02}/f"))).unwrap(), expected);
    }
}

#[test]
fn what_was_not_read_is_told_again() {
    let world = World::new();
    let mut unread = made("gone\u{1b}[2J", EntryKind::Error, 0);
    unread.entry.tail.error = Some("permission denied\u{7}".into());
    let mut changed = file("log", &[b"x"]);
    changed.entry.tail.changed = true;
    let snapshot = world.back_up(&[("_system", vec![dir("."), unread, changed])], 5);
    let plan = planned(&world, &snapshot, &Selection::default());
    assert_eq!(plan.finding_counts.warnings, 2);
    assert!(!plan.to_string().chars().any(|c| c.is_control() && c != '\n'), "{plan:?}");
    let ground = Ground::new();
    let report = restored(&world, &plan, &ground.target());
    assert_eq!((report.status(), report.finding_counts.warnings), (Status::Complete, 2));
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    // Writing to /dev/full is the nearest thing to a full disk that needs no mount.
    let full = rustix::fs::open("/dev/full", OFlags::WRONLY, Mode::empty()).unwrap();
    let trouble = files::write_all_at(std::os::fd::AsFd::as_fd(&full), b"x", 0).unwrap_err();
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), file("f", &[b"x"])])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let (root, _) = Root::open(&ground.target()).unwrap();
    let site = Site::new(&plan.work, root, Resolved::default(), 1, &Silent);
    let error = site.settle(1, Err(trouble)).unwrap_err();
    assert!(
        matches!(error.kind, RestoreErrorKind::Io { .. }) && error.to_string().contains("space"),
        "{error}"
    );
}

#[test]
fn a_file_of_another_is_not_setuid_for_whoever_restores() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can show both sides.
    }
    let world = World::new();
    let mut setuid = file("su", &[b"x"]);
    setuid.entry.metadata.mode = 0o6755;
    setuid.entry.metadata.uid = 4711;
    let snapshot = world.back_up(&[("_system", vec![dir("."), setuid])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    let report = restored(&world, &plan, &ground.target());
    assert_eq!(report.findings, []);
    let seen = fs::metadata(ground.target().join("su")).unwrap();
    assert_eq!((seen.uid(), mode_of(&ground.target().join("su"))), (4711, 0o6755));

    // 2^32 - 1 means "nobody in particular": it cannot be set, and the bits must not speak for root.
    let ground = Ground::new();
    let options =
        Options { ids: IdMap { uids: [(4711, u32::MAX)].into(), ..IdMap::default() }, workers: None };
    let report = perform(&world.store, &plan, &ground.target(), &options, &Silent).unwrap();
    assert_eq!((report.status(), report.finding_counts.warnings), (Status::Complete, 1));
    assert_eq!(mode_of(&ground.target().join("su")), 0o2755);
}

#[test]
fn listing_shows_what_is_selected() {
    let world = World::new();
    let a = vec![dir("t/a"), file("t/a/x", &[b"x"]), file("t/a/y", &[b"y"])];
    let snapshot = world.back_up(&[("_system", vec![dir("."), dir("t")]), ("a", a)], 5);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let shown = |selection: &Selection, enough: usize| {
        let mut shown = Vec::new();
        let listing = crate::list::list(&recovery, &snapshot, selection, &Silent, &mut |tenant, entry| {
            shown.push(format!("{tenant} {}", String::from_utf8_lossy(&entry.path)));
            if shown.len() == enough {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
        assert_eq!(listing.unwrap().entries, shown.len() as u64);
        shown
    };
    assert_eq!(shown(&Selection::default(), 99), ["_system .", "_system t", "a t/a", "a t/a/x", "a t/a/y"]);
    assert_eq!(shown(&Selection::default(), 3), ["_system .", "_system t", "a t/a"]);
    let selection = Selection { paths: vec![b"t/a/y".to_vec()], ..Selection::default() };
    assert_eq!(shown(&selection, 99), ["a t/a/y"]);
}
