//! What is lost, unreadable or interrupted is named, and the rest comes back.

use std::fs;

use lifeboat_repo::format::index::SegmentKind;
use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::names;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::segments::SegmentMap;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::units::Bytes;
use rustix::fs::{Mode, OFlags};

use super::*;

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
    let map = SegmentMap::load(&repository, recovery.catalog(), &snapshot.writer, &wanted).unwrap();
    let data = map.segments().iter().find(|segment| segment.kind == SegmentKind::Data).unwrap();
    let place = data.places[0];
    let pack = names::pack(place.pack).unwrap();
    let mut bytes = world.store.read(&pack, Bytes::mib(1)).unwrap();
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
    let plan = planned(&world, &snapshot, &Selection::default());
    spoil_last(&world, &plan);
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
