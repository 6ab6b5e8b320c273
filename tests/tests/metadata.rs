//! Everything that a file system says of a file comes back. That whatever did not would be seen, planted.rs shows.

#![cfg(test)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_restore::report::{Severity, Status};
use lifeboat_restore::{IdMap, Options, Selection};
use lifeboat_tests::compare::{self, assert_equal, listing, rsync};
use lifeboat_tests::trees::{self, Maker, Room};
use lifeboat_tests::{World, nobody};
use rustix::fs::{FileType, SeekFrom};

/// Backs up, restores, compares by both comparers; twice, the second time from what the first remembered.
fn comes_back(world: &World) {
    let source = listing(&world.source());
    for turn in ["first", "second"] {
        let report = world.backup().unwrap();
        assert_eq!(report.problems.named, [], "{turn}");
        let target = world.dir.path().join(turn);
        let report = world.restore(&target).unwrap();
        assert_eq!((report.status(), &report.findings[..]), (Status::Complete, [].as_slice()), "{turn}");
        assert_equal(&source, &listing(&target));
        assert_eq!(rsync(&world.source(), &target), "", "{turn}");
    }
}

/// A world in memory: tmpfs allows attributes and times that ext4 does not.
fn world_in_memory() -> World {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    world_in(dir)
}

fn world_in(dir: tempfile::TempDir) -> World {
    let store = LocalStore::create_at(&dir.path().join("repository")).unwrap();
    World::over(Arc::new(store), dir)
}

fn is_root() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
}

#[test]
fn everything_comes_back_on_disk() {
    is_root();
    let world = World::new();
    trees::everything(&world.source(), Room::Block);
    comes_back(&world);
}

#[test]
fn everything_comes_back_in_memory() {
    is_root();
    let world = world_in_memory();
    trees::everything(&world.source(), Room::Wide);
    comes_back(&world);
}

/// What differs, without the values.
fn keys(differences: &compare::Differences) -> Vec<(&str, &str)> {
    differences.keys().map(|(path, attribute)| (path.as_str(), *attribute)).collect()
}

#[test]
fn hard_links_across_tenants_come_back_as_files_of_their_own() {
    let world = world_in_memory();
    let m = Maker::new(&world.source());
    for dir in ["shared", "tenants/acme", "tenants/beta"] {
        m.dir(dir);
    }
    m.file("shared/x", b"one file");
    m.xattr("shared/x", "user.a", b"1");
    for path in ["shared/y", "tenants/acme/x", "tenants/beta/x", "tenants/beta/y"] {
        m.link("shared/x", path);
    }
    assert_eq!(world.backup().unwrap().problems.named, []);
    let target = world.dir.path().join("target");
    assert_eq!(world.restore(&target).unwrap().status(), Status::Complete);
    let differences = listing(&world.source()).differences(&listing(&target));
    let became: Vec<_> =
        differences.iter().map(|((path, what), (_, now))| (path.as_str(), *what, now.as_str())).collect();
    let expected = [
        ("shared/x", "links", "shared/x = shared/y"),
        ("shared/y", "links", "shared/x = shared/y"),
        ("tenants/acme/x", "links", ""),
        ("tenants/beta/x", "links", "tenants/beta/x = tenants/beta/y"),
        ("tenants/beta/y", "links", "tenants/beta/x = tenants/beta/y"),
    ];
    assert_eq!(became, expected);
}

/// The format ties further names to files only. Of links and special files every name is an entry of its own: all
/// is there but that they are one.
#[test]
fn further_names_of_links_and_special_files_become_entries_of_their_own() {
    is_root();
    let world = world_in_memory();
    let m = Maker::new(&world.source());
    m.symlink("link", "x");
    m.node("fifo", FileType::Fifo, (0, 0));
    m.node("null", FileType::CharacterDevice, (1, 3));
    for name in ["link", "fifo", "null"] {
        m.link(name, format!("{name} again"));
    }
    assert_eq!(world.backup().unwrap().problems.named, []);
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    let differences = listing(&world.source()).differences(&listing(&target));
    assert!(
        differences.len() == 6 && differences.keys().all(|(_, what)| *what == "links"),
        "{differences:?}"
    );
}

#[test]
fn a_terabyte_of_nothing_costs_nothing() {
    let world = World::new();
    let m = Maker::new(&world.source());
    let (size, middle) = (1_u64 << 40, 1_u64 << 39);
    m.sparse("vast", size, &[(middle, b"middle"), (size - 4, b"tail")]);
    let report = world.backup().unwrap();
    assert!(report.stored.0 < 100_000, "{report:?}");
    let target = world.dir.path().join("target");
    assert_eq!(world.restore(&target).unwrap().status(), Status::Complete);
    let file = std::fs::File::open(target.join("vast")).unwrap();
    let seek = |to| rustix::fs::seek(&file, to).unwrap();
    assert_eq!(seek(SeekFrom::End(0)), size);
    assert_eq!((seek(SeekFrom::Data(0)), seek(SeekFrom::Data(middle + 4096))), (middle, size - 4096));
    let mut tail = [0; 4];
    file.read_exact_at(&mut tail, size - 4).unwrap();
    assert_eq!(&tail, b"tail");
}

#[test]
fn owners_are_mapped_within_acls_too() {
    is_root();
    let world = world_in_memory();
    let m = Maker::new(&world.source());
    trees::one_of_each(&m.root);
    m.file("setuid", b"");
    m.owner("setuid", 1000, 7);
    m.mode("setuid", 0o6755);
    world.backup().unwrap();
    let uids = [(1000, 2000), (1234, 2234)].into();
    let gids = [(1000, 3000), (5678, 6678)].into();
    let options = Options { ids: IdMap { uids, gids, by_name: false }, ..Options::default() };
    let target = world.dir.path().join("target");
    let report = world.restore_with(&target, &Selection::default(), &options).unwrap();
    assert_eq!(report.findings, []);
    let differences = listing(&world.source()).differences(&listing(&target));
    let expected = [
        ("dir", "acl"),
        ("dir", "xattrs"),
        ("listed", "acl"),
        ("listed", "xattrs"),
        ("plain", "gid"),
        ("plain", "uid"),
        ("setuid", "uid"),
    ];
    assert_eq!(keys(&differences), expected);
    let now = |path: &str, what| {
        differences.iter().find(|((p, w), _)| p == path && *w == what).unwrap().1.1.clone()
    };
    assert_eq!((now("plain", "uid").as_str(), now("plain", "gid").as_str()), ("2000", "3000"));
    assert!(now("dir", "acl").contains("default:user:2234:rwx"), "{}", now("dir", "acl"));
    let acl = now("listed", "acl");
    assert!(acl.contains("user:2234:rw-") && acl.contains("group:6678:r--"), "{acl}");
}

#[test]
fn without_root_content_comes_back_and_the_rest_is_said() {
    if let Some(dir) = nobody::child() {
        return restore_as_nobody(&dir);
    }
    is_root();
    let world = World::new();
    let m = Maker::new(&world.source());
    trees::one_of_each(&m.root);
    for (name, owner) in [("setuid of another", 1000), ("setuid of its own", nobody::NOBODY)] {
        m.file(name, b"");
        m.owner(name, owner, owner);
        m.mode(name, 0o6755);
    }
    m.dir("closed to its owner");
    m.file("closed to its owner/inner", b"x");
    m.mode("closed to its owner", 0o000);
    m.mode("closed to its owner/inner", 0o000);
    world.backup().unwrap();
    let dir = world.dir.path();
    std::fs::write(dir.join("recovery"), world.recovery.to_secret_string().as_bytes()).unwrap();
    std::fs::create_dir(dir.join("own")).unwrap();
    for name in ["repository", "recovery", "own"] {
        trees::run("chown", &["-R".as_ref(), "65534:65534".as_ref(), dir.join(name).as_os_str()]);
    }
    nobody::run("without_root_content_comes_back_and_the_rest_is_said", dir);
    let target = listing(&dir.join("own/target"));
    let mut differences = listing(&world.source()).differences(&target);
    let strangers = differences.iter().filter(|((_, what), _)| matches!(*what, "uid" | "gid"));
    assert!(strangers.map(|(_, (_, now))| now).all(|id| id == "65534"));
    differences.retain(|(_, what), _| !matches!(*what, "uid" | "gid"));
    let expected = [
        ("attributes", "xattrs"),
        ("disk", "there"),
        ("link", "xattrs"),
        ("null", "there"),
        // Setuid would speak for whoever restored.
        ("setuid of another", "acl"),
        ("setuid of another", "mode"),
    ];
    assert_eq!(keys(&differences), expected);
}

fn restore_as_nobody(dir: &Path) {
    assert_eq!(rustix::process::geteuid().as_raw(), nobody::NOBODY);
    let store = LocalStore::open(&dir.join("repository")).unwrap();
    let world = World {
        dir: tempfile::tempdir_in(dir.join("own")).unwrap(),
        store: Arc::new(store),
        officer: SigningKey::from_seed([1; 32]),
        recovery: std::fs::read_to_string(dir.join("recovery")).unwrap().parse().unwrap(),
        writer: SigningKey::from_seed([2; 32]),
        card: Identity::generate(),
    };
    let report = world.restore(&dir.join("own/target")).unwrap();
    assert_eq!(report.status(), Status::Partial, "devices cannot be made");
    let of = |severity, path: &[u8], what: &str| {
        report.findings.iter().any(|finding| {
            finding.severity == severity && finding.path == path && finding.what.contains(what)
        })
    };
    assert!(of(Severity::Missing, b"null", "character device"), "{:?}", report.findings);
    assert!(of(Severity::Missing, b"disk", "block device"));
    assert!(of(Severity::Warning, b"plain", "owner"));
    assert!(of(Severity::Warning, b"attributes", "trusted.t"));
    assert!(of(Severity::Warning, b"setuid of another", "setuid and setgid were left out"));
    assert!(!of(Severity::Warning, b"setuid of its own", ""));
    assert_eq!(report.finding_counts.missing, 2);
}
