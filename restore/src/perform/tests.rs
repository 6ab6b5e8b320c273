use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::names;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::Store;
use lifeboat_repo::units::Bytes;
use tempfile::TempDir;

use super::beneath::Root;
use super::*;
use crate::error::RestoreErrorKind;
use crate::plan::plan;
use crate::report::{LossKind, Severity, Status};
use crate::select::Selection;
use crate::testing::{Watcher, World, dir, file, hardlink, made, symlink, tenant};

mod containment;
mod losses;
mod sharded;

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

/// Flips a byte of the segment that a plan fetches last, in its pack; the pack, and its bytes as they were.
fn spoil_last(world: &World, plan: &Plan) -> (ObjectName, Vec<u8>) {
    let place = plan.work.fetches.last().unwrap().segment.places[0];
    let pack = names::pack(place.pack).unwrap();
    let whole = world.store.read(&pack, Bytes::mib(1)).unwrap();
    let mut spoilt = whole.clone();
    spoilt[place.offset.as_usize() + place.length.as_usize() / 2] ^= 1;
    world.store.replace(&pack, &spoilt);
    (pack, whole)
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
fn a_value_longer_than_linux_takes_is_damage() {
    for (last, damaged) in [(4096, false), (4097, true)] {
        let world = World::new();
        let mut long = file("t/a/f", &[b"x"]);
        let chunks = (0..16_u8).map(|n| vec![n; if n == 15 { last } else { 4096 }]).collect();
        long.long_xattr = Some((b"user.long".to_vec(), chunks));
        let system = vec![dir("."), file("other", &[b"o"])];
        let snapshot = world.back_up(&[("_system", system), ("a", vec![dir("t/a"), long])], 40);
        let plan = planned(&world, &snapshot, &Selection::default());
        let lost: Vec<_> = plan.losses.iter().map(|loss| (loss.tenant.clone(), loss.kind)).collect();
        let expected = if damaged { vec![(Some(tenant("a")), LossKind::Damaged)] } else { Vec::new() };
        assert_eq!(lost, expected, "{:?}", plan.losses);
        if damaged {
            assert!(plan.losses[0].why.contains("longer than Linux takes"), "{:?}", plan.losses);
            let ground = Ground::new();
            assert_eq!(restored(&world, &plan, &ground.target()).status(), Status::Partial);
            assert!(ground.target().join("other").exists() && !ground.target().join("t/a/f").exists());
        }
    }
}

#[test]
fn what_is_no_file_has_several_names_too() {
    let world = World::new();
    let entries = vec![
        dir("."),
        made("fifo", EntryKind::Fifo, 0o620),
        hardlink("fifo too", "fifo"),
        symlink("link", "nowhere"),
        hardlink("link too", "link"),
        dir("d"),
        hardlink("d/link three", "link"),
    ];
    let snapshot = world.back_up(&[("_system", entries)], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    assert_eq!(restored(&world, &plan, &ground.target()).findings, []);
    let seen = |path: &str| fs::symlink_metadata(ground.target().join(path)).unwrap();
    let assert_tied = || {
        for names in [["fifo", "fifo too"].as_slice(), &["link", "link too", "d/link three"]] {
            assert!(names.iter().all(|name| seen(name).ino() == seen(names[0]).ino()), "{names:?}");
            assert_eq!(seen(names[0]).nlink(), names.len() as u64);
        }
        assert!(seen("fifo").file_type().is_fifo() && seen("link").file_type().is_symlink());
        assert_eq!(fs::read_link(ground.target().join("link too")).unwrap(), Path::new("nowhere"));
        assert_eq!((seen("fifo too").mtime(), seen("fifo").mode() & 0o7777), (1_700_000_000, 0o620));
    };
    assert_tied();

    // In place: what is tied stays as it is, what is not is tied again.
    let in_place = Options { in_place: Some(InPlace::default()), ..Options::default() };
    let again = || perform(&world.store, &plan, &ground.target(), &in_place, &Silent).unwrap();
    assert_eq!(again().changes.unwrap().touched(), 0);
    fs::remove_file(ground.target().join("link too")).unwrap();
    std::os::unix::fs::symlink("nowhere", ground.target().join("link too")).unwrap();
    fs::remove_file(ground.target().join("fifo")).unwrap();
    assert_eq!(again().findings, []);
    assert_tied();

    // A further name asked for alone brings what it is a name of.
    let ground = Ground::new();
    let selection = Selection { paths: vec![b"d".to_vec(), b"fifo too".to_vec()], ..Selection::default() };
    let report = restored(&world, &planned(&world, &snapshot, &selection), &ground.target());
    assert_eq!(report.findings, []);
    assert_eq!(fs::read_link(ground.target().join("d/link three")).unwrap(), Path::new("nowhere"));
    let fifo = fs::symlink_metadata(ground.target().join("fifo too")).unwrap();
    assert!(fifo.file_type().is_fifo() && !ground.target().join("fifo").exists());
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
        Options { ids: IdMap { uids: [(4711, u32::MAX)].into(), ..IdMap::default() }, ..Options::default() };
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

#[test]
fn devices_come_back_where_they_may_be_made() {
    let world = World::new();
    let mut null = made("null", EntryKind::Char, 0o666);
    null.entry.tail.device = Some((1, 3));
    let mut disk = made("disk", EntryKind::Block, 0o640);
    disk.entry.tail.device = Some((7, 300));
    let entries = vec![dir("."), null, hardlink("null too", "null"), disk];
    let snapshot = world.back_up(&[("_system", entries)], 1);
    let ground = Ground::new();
    let report = restored(&world, &planned(&world, &snapshot, &Selection::default()), &ground.target());
    if report.finding_counts.missing == 3 {
        // Without the right to make devices each is named, and the rest is there.
        assert_eq!((report.status(), report.entries), (Status::Partial, 1));
        return;
    }
    assert_eq!(report.findings, []);
    let null = fs::metadata(ground.target().join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
    assert_eq!(fs::metadata(ground.target().join("null too")).unwrap().ino(), null.ino());
    let disk = fs::metadata(ground.target().join("disk")).unwrap();
    assert!(disk.file_type().is_block_device());
    assert_eq!(disk.rdev(), rustix::fs::makedev(7, 300));
}

#[test]
fn owners_are_mapped_or_named() {
    let world = World::new();
    let mut owned = file("f", &[b"x"]);
    (owned.entry.metadata.uid, owned.entry.metadata.gid) = (4711, 4712);
    let snapshot = world.back_up(&[("_system", vec![dir("."), owned])], 1);
    let plan = planned(&world, &snapshot, &Selection::default());
    let ids = IdMap { uids: [(4711, 5711)].into(), gids: [(4712, 5712)].into(), by_name: false };
    let ground = Ground::new();
    let report =
        perform(&world.store, &plan, &ground.target(), &Options { ids, ..Options::default() }, &Silent)
            .unwrap();
    // Content is there either way, so it is complete.
    assert_eq!(report.status(), Status::Complete);
    if rustix::process::geteuid().is_root() {
        let seen = fs::metadata(ground.target().join("f")).unwrap();
        assert_eq!((seen.uid(), seen.gid()), (5711, 5712));
    } else {
        assert!(report.findings.iter().any(|one| one.what.contains("5711:5712")), "{:?}", report.findings);
    }
}
