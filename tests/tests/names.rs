//! Names are bytes: whatever a file system allows comes back, and whatever is shown is tame.

#![cfg(test)]

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lifeboat_backup::ProblemKind;
use lifeboat_repo::format::snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_restore::report::Status;
use lifeboat_restore::{Options, Selection};
use lifeboat_tests::World;
use lifeboat_tests::compare::{assert_equal, assert_same, listing};
use lifeboat_tests::trees::{HOSTILE_NAMES, Maker, noise};
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

/// What `lifeboat` takes for a path at most.
const PATH_LEN_MAX: usize = 8192;

fn world() -> World {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = LocalStore::create_at(&dir.path().join("repository")).unwrap();
    World::over(Arc::new(store), dir)
}

/// Backs up and restores; nothing may be missing on the way.
fn comes_back(world: &World) {
    assert_eq!(world.backup().unwrap().problems.named, []);
    let target = world.dir.path().join("target");
    let report = world.restore(&target).unwrap();
    let said: Vec<_> = report.findings.iter().map(|finding| &finding.what).collect();
    assert!(report.status() == Status::Complete && said.is_empty(), "{said:?}");
    assert_equal(&listing(&world.source()), &listing(&target));
}

/// Any name that a file system takes.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == 0 || byte == b'/' { b'\\' } else { byte });
    let length = prop_oneof![8 => 1_usize..12, 1 => 200_usize..=255];
    let random = length.prop_flat_map(move |length| proptest::collection::vec(byte.clone(), length));
    // Few letters collide and nest often.
    let few = proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'.'), Just(b'-'), Just(b' ')], 1..4);
    let hostile = proptest::sample::select(HOSTILE_NAMES).prop_map(<[u8]>::to_vec);
    prop_oneof![4 => random, 2 => few, 1 => hostile]
        .prop_map(|name| if name == b"." || name == b".." { b"...".to_vec() } else { name })
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Dir,
    Link,
    Fifo,
}

/// Paths and what lies there.
fn any_tree() -> impl Strategy<Value = Vec<(Vec<Vec<u8>>, Kind)>> {
    let kind = prop_oneof![5 => Just(Kind::File), 2 => Just(Kind::Dir), 1 => Just(Kind::Link), 1 => Just(Kind::Fifo)];
    let path = proptest::collection::vec(any_name(), 1..5);
    proptest::collection::vec((path, kind), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_names_come_back(tree in any_tree()) {
        let world = world();
        let m = Maker::new(&world.source());
        let mut taken = BTreeSet::new();
        for (parts, kind) in tree {
            let (name, dirs) = parts.split_last().unwrap();
            let dir = dirs.join(&b'/');
            // Something else may be where a directory should go, or the other way round.
            if std::fs::create_dir_all(m.path(&dir)).is_err() {
                continue;
            }
            let path = if dir.is_empty() { name.clone() } else { [dir.as_slice(), b"/", name].concat() };
            if std::fs::symlink_metadata(m.path(&path)).is_ok() {
                continue;
            }
            match kind {
                Kind::File => m.file(&path, name),
                Kind::Dir => m.dir(&path),
                Kind::Link => m.symlink(&path, name),
                Kind::Fifo => m.node(&path, FileType::Fifo, (0, 0)),
            }
            taken.insert(path);
        }
        comes_back(&world);
        let target = listing(&world.dir.path().join("target"));
        let back: BTreeSet<_> = target.paths().map(<[u8]>::to_vec).collect();
        prop_assert!(taken.is_subset(&back));
    }
}

#[test]
fn every_hostile_name_comes_back_and_is_shown_tame() {
    let world = world();
    let m = Maker::new(&world.source());
    m.dir("tenants/acme");
    for name in HOSTILE_NAMES {
        m.file(name, name);
        m.file([b"tenants/acme/", *name].concat(), b"x");
        m.dir([b"dir ", *name].concat());
    }
    world.backup().unwrap();
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert_same(&world.source(), &target);
    let tame = |text: &str| !text.chars().any(char::is_control);
    for name in HOSTILE_NAMES {
        assert!(tame(&text::display(name)), "{name:?}");
        // What is said of a path that is not there must not speak to the terminal either.
        let paths = vec![[b"absent ", *name].concat()];
        let target = world.dir.path().join("none");
        let selection = Selection { paths, ..Selection::default() };
        let error = world.restore_with(&target, &selection, &Options::default()).unwrap_err();
        assert!(tame(&error.to_string()), "{error:?}");
        assert!(!target.exists());
        // Each can be asked for by itself.
        let paths = vec![name.to_vec()];
        let target = world.dir.path().join("alone");
        let selection = Selection { paths, ..Selection::default() };
        let report = world.restore_with(&target, &selection, &Options::default()).unwrap();
        assert_eq!((report.status(), report.entries), (Status::Complete, 1), "{name:?}");
        assert_eq!(std::fs::read(Maker::new(&target).path(name)).unwrap(), *name);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_target_of_any_name_serves() {
    let world = world();
    Maker::new(&world.source()).file("file", b"x");
    world.backup().unwrap();
    for (number, name) in HOSTILE_NAMES.iter().enumerate() {
        let target = Maker::new(world.dir.path()).path([format!("{number} ").as_bytes(), name].concat());
        world.restore(&target).unwrap();
        assert_same(&world.source(), &target);
        // Not empty any more, so it is refused; the name is shown tame.
        let error = world.restore(&target).unwrap_err().to_string();
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

/// Directories within each other, each with the same name; the last, and the length of its path.
fn nest(world: &World, name: &[u8], depth: usize) -> (OwnedFd, usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(CWD, world.source(), flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&at, name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, name, flags, Mode::empty()).unwrap();
    }
    (at, depth * (name.len() + 1) - 1)
}

fn write_in(dir: &OwnedFd, name: &str, bytes: &[u8]) -> std::fs::File {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(rustix::fs::openat(dir, name, flags, Mode::RUSR).unwrap());
    std::io::Write::write_all(&mut file, bytes).unwrap();
    file
}

#[test]
fn paths_beyond_what_one_call_takes_come_back() {
    for (name, depth) in [([b'd'; 255], 20), ([0xff; 255], 20), ([b'd'; 255], 31)] {
        let world = world();
        let (dir, length) = nest(&world, &name, depth);
        assert!(length > 4096);
        let small = write_in(&dir, "small", b"small");
        xattr::FileExt::set_xattr(&small, "user.long", &noise(1, 2000)).unwrap();
        write_in(&dir, "streamed", &noise(2, 3_000_000));
        write_in(&dir, "empty", b"");
        rustix::fs::symlinkat("nowhere", &dir, "link").unwrap();
        rustix::fs::mkdirat(&dir, "dir", Mode::RWXU).unwrap();
        rustix::fs::mknodat(&dir, "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
        comes_back(&world);
    }
}

#[test]
fn many_short_names_deep_come_back() {
    let world = world();
    let (dir, length) = nest(&world, b"d", 400);
    assert!(length < 4096);
    write_in(&dir, "file", b"deep");
    comes_back(&world);
}

#[test]
fn hard_links_between_long_paths_come_back() {
    for name in [[b'd'; 255], [0xff; 255]] {
        let world = world();
        let (dir, length) = nest(&world, &name, 31);
        assert!(length > 7900);
        write_in(&dir, "first", b"one file");
        rustix::fs::linkat(&dir, "first", &dir, "second", AtFlags::empty()).unwrap();
        Maker::new(&world.source()).file("neighbour", b"x");
        comes_back(&world);
    }
}

#[test]
fn a_path_that_is_too_long_is_reported_and_its_neighbours_come_back() {
    let world = world();
    let (dir, length) = nest(&world, &[b'd'; 255], 32);
    assert!(length < PATH_LEN_MAX);
    write_in(&dir, "too long", b"x");
    Maker::new(&world.source()).file("neighbour", b"x");
    let report = world.backup().unwrap();
    assert_eq!(report.status, snapshot::Status::Partial);
    let kinds: Vec<_> = report.problems.named.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [ProblemKind::Unreadable]);
    let target = world.dir.path().join("target");
    assert_eq!(world.restore(&target).unwrap().status(), Status::Complete);
    rustix::fs::unlinkat(&dir, "too long", AtFlags::empty()).unwrap();
    let (source, target) = (listing(&world.source()), listing(&target));
    let differences = source.differences(&target);
    // Only the time of the directory that held it.
    assert_eq!(differences.keys().map(|(_, attribute)| *attribute).collect::<Vec<_>>(), ["mtime"]);
}
