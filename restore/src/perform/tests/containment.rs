//! Nothing outside the target is touched, whatever a snapshot says and somebody does meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink as link_to};
use std::path::Path;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::observe::Silent;
use rustix::fs::OFlags;

use super::*;

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
    // Through each link there is a directory to be had.
    fs::create_dir_all(ground.target().join("a/b/c/d")).unwrap();
    fs::create_dir(ground.outside().join("sub")).unwrap();
    link_to(ground.outside(), ground.target().join("a/l")).unwrap();
    link_to("c", ground.target().join("a/b/inner")).unwrap();
    let mut root = root;
    for _ in 0..2 {
        let base = std::os::fd::AsFd::as_fd(&root.fd);
        assert!(root.handle(base, b"b/c").is_ok());
        assert!(root.open_dir(base, b".", OFlags::RDONLY).is_ok());
        for path in [b"l".as_slice(), b"b/inner", b"b/inner/d", b"l/sub", b"b/none"] {
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
