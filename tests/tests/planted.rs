//! One difference planted in a restored copy for each attribute: both comparers see it, or are known not to.

#![cfg(test)]

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use lifeboat_repo::store::local::LocalStore;
use lifeboat_tests::World;
use lifeboat_tests::compare::{listing, rsync};
use lifeboat_tests::trees::{self, Maker};
use rustix::fs::FileType;

/// A difference to plant in a restored copy.
struct Plant {
    what: &'static str,
    plant: fn(&Maker),
    /// What the listing must see of it, and nothing else: path and attribute.
    listed: &'static [(&'static str, &'static str)],
    /// What rsync must say of it: the beginning of a line. `None` where it cannot see it.
    rsync: Option<&'static str>,
}

/// Plants something that changes a directory or file whose own time is not meant.
fn quietly(m: &Maker, path: &str, plant: impl FnOnce()) {
    let stat = rustix::fs::lstat(m.path(path)).unwrap();
    plant();
    m.time(path, stat.st_mtime, stat.st_mtime_nsec.cast_signed());
}

/// Puts something else in an entry's place, with its owner, mode and time.
fn instead(m: &Maker, path: &str, make: impl FnOnce()) {
    let stat = rustix::fs::lstat(m.path(path)).unwrap();
    quietly(m, ".", || {
        std::fs::remove_file(m.path(path)).unwrap();
        make();
        m.owner(path, stat.st_uid, stat.st_gid);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            m.mode(path, stat.st_mode & 0o7777);
        }
        m.time(path, stat.st_mtime, stat.st_mtime_nsec.cast_signed());
    });
}

const PLANTS: &[Plant] = &[
    Plant { what: "nothing", plant: |_| {}, listed: &[], rsync: None },
    Plant {
        what: "mode",
        plant: |m| m.mode("plain", 0o645),
        listed: &[("plain", "acl"), ("plain", "mode")],
        rsync: Some(".f...p..... plain"),
    },
    Plant {
        what: "setuid",
        plant: |m| m.mode("plain", 0o4644),
        listed: &[("plain", "acl"), ("plain", "mode")],
        rsync: Some(".f...p..... plain"),
    },
    Plant {
        what: "mode of a directory",
        plant: |m| m.mode("tenants/acme", 0o1755),
        listed: &[("tenants/acme", "acl"), ("tenants/acme", "mode")],
        rsync: Some(".d...p..... tenants/acme/"),
    },
    Plant {
        what: "user",
        plant: |m| m.owner("plain", 1001, 1000),
        listed: &[("plain", "uid")],
        rsync: Some(".f....o.... plain"),
    },
    Plant {
        what: "group",
        plant: |m| m.owner("plain", 1000, 1001),
        listed: &[("plain", "gid")],
        rsync: Some(".f.....g... plain"),
    },
    Plant {
        what: "user of a link",
        plant: |m| m.owner("link", 7, 0),
        listed: &[("link", "uid")],
        rsync: Some(".L....o.... link"),
    },
    Plant {
        what: "time, by a nanosecond",
        plant: |m| m.time("plain", 1_700_000_000, 123_456_788),
        listed: &[("plain", "mtime")],
        rsync: Some(".f..t...... plain"),
    },
    Plant {
        what: "time of a directory, by a nanosecond",
        plant: |m| m.time("dir", 1_600_000_000, 987_654_322),
        listed: &[("dir", "mtime")],
        rsync: Some(".d..t...... dir/"),
    },
    Plant {
        what: "time of the root, by a nanosecond",
        plant: |m| m.time(".", 1_600_000_000, 987_654_320),
        listed: &[(".", "mtime")],
        rsync: Some(".d..t...... ./"),
    },
    Plant {
        what: "time of a link, by a nanosecond",
        plant: |m| m.time("link", 1_700_000_000, 123_456_788),
        listed: &[("link", "mtime")],
        rsync: Some(".L..t...... link"),
    },
    Plant {
        what: "value of an attribute",
        plant: |m| m.xattr("attributes", "user.short", b"valuf"),
        listed: &[("attributes", "xattrs")],
        rsync: Some(".f........x attributes"),
    },
    Plant {
        what: "one byte of a long attribute",
        plant: |m| {
            let mut value = trees::noise(1, 1500);
            value[1400] ^= 1;
            m.xattr("attributes", "user.long", &value);
        },
        listed: &[("attributes", "xattrs")],
        rsync: Some(".f........x attributes"),
    },
    Plant {
        what: "attribute removed",
        plant: |m| xattr::remove(m.path("attributes"), "user.short").unwrap(),
        listed: &[("attributes", "xattrs")],
        rsync: Some(".f........x attributes"),
    },
    Plant {
        what: "attribute of the kernel's removed",
        plant: |m| xattr::remove(m.path("attributes"), "trusted.t").unwrap(),
        listed: &[("attributes", "xattrs")],
        rsync: Some(".f........x attributes"),
    },
    Plant {
        what: "security attribute removed",
        plant: |m| xattr::remove(m.path("attributes"), "security.s").unwrap(),
        listed: &[("attributes", "xattrs")],
        rsync: Some(".f........x attributes"),
    },
    Plant {
        what: "attribute of a link",
        plant: |m| m.xattr("link", "trusted.l", b"m"),
        listed: &[("link", "xattrs")],
        rsync: Some(".L........x link"),
    },
    Plant {
        what: "entry of an ACL",
        plant: |m| m.acl("listed", &["-n", "-m", "u:1234:r"]),
        listed: &[("listed", "acl"), ("listed", "xattrs")],
        rsync: Some(".f.......a. listed"),
    },
    Plant {
        what: "user within an ACL",
        plant: |m| m.acl("listed", &["-x", "u:1234", "-m", "u:1233:rw"]),
        listed: &[("listed", "acl"), ("listed", "xattrs")],
        rsync: Some(".f.......a. listed"),
    },
    Plant {
        what: "default ACL removed",
        plant: |m| m.acl("dir", &["-k"]),
        listed: &[("dir", "acl"), ("dir", "xattrs")],
        rsync: Some(".d.......a. dir/"),
    },
    Plant {
        what: "hard link broken",
        plant: |m| {
            instead(m, "two names, the second", || m.file("two names, the second", b"one file"));
        },
        listed: &[("two names", "links"), ("two names, the second", "links")],
        rsync: Some("hf          two names, the second => two names"),
    },
    Plant {
        what: "hard link too many",
        plant: |m| {
            quietly(m, ".", || {
                std::fs::remove_file(m.path("listed")).unwrap();
                m.link("attributes", "listed");
            });
        },
        listed: &[
            ("attributes", "links"),
            ("listed", "acl"),
            ("listed", "links"),
            ("listed", "mode"),
            ("listed", "xattrs"),
        ],
        rsync: Some(".f"),
    },
    Plant {
        what: "hole filled",
        plant: |m| {
            let file = std::fs::OpenOptions::new().write(true).open(m.path("sparse")).unwrap();
            quietly(m, "sparse", || file.write_all_at(&[0; 65536], 65536).unwrap());
        },
        listed: &[("sparse", "holes")],
        rsync: None,
    },
    Plant {
        what: "content made a hole",
        plant: |m| {
            let file = std::fs::OpenOptions::new().write(true).open(m.path("sparse")).unwrap();
            quietly(m, "sparse", || {
                let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&file, flags, 1 << 20, 4096).unwrap();
            });
        },
        listed: &[("sparse", "content"), ("sparse", "holes")],
        rsync: Some(">fc........ sparse"),
    },
    Plant {
        what: "one bit of content",
        plant: |m| quietly(m, "plain", || std::fs::write(m.path("plain"), b"some contenu").unwrap()),
        listed: &[("plain", "content")],
        rsync: Some(">fc........ plain"),
    },
    Plant {
        what: "length",
        plant: |m| quietly(m, "plain", || std::fs::write(m.path("plain"), b"some content\0").unwrap()),
        listed: &[("plain", "content"), ("plain", "holes"), ("plain", "size")],
        rsync: Some(">fcs....... plain"),
    },
    Plant {
        what: "target of a link",
        plant: |m| {
            instead(m, "link", || {
                m.symlink("link", "plaim");
                m.xattr("link", "trusted.l", b"l");
            });
        },
        listed: &[("link", "target")],
        rsync: Some("cLc........ link -> plain"),
    },
    Plant {
        what: "device number",
        plant: |m| instead(m, "null", || m.node("null", FileType::CharacterDevice, (1, 5))),
        listed: &[("null", "device")],
        rsync: Some("cD"),
    },
    Plant {
        what: "kind of device",
        plant: |m| instead(m, "disk", || m.node("disk", FileType::CharacterDevice, (7, 9))),
        listed: &[("disk", "type")],
        rsync: None,
    },
    Plant {
        what: "type",
        plant: |m| instead(m, "fifo", || m.node("fifo", FileType::Socket, (0, 0))),
        listed: &[("fifo", "type")],
        rsync: Some("cS"),
    },
    Plant {
        what: "extra file",
        plant: |m| quietly(m, "tenants/acme", || m.file("tenants/acme/extra", b"")),
        listed: &[("tenants/acme/extra", "there")],
        rsync: Some("*deleting   tenants/acme/extra"),
    },
    Plant {
        what: "missing file",
        plant: |m| {
            quietly(m, "tenants/acme", || std::fs::remove_file(m.path("tenants/acme/chat")).unwrap());
        },
        listed: &[("tenants/acme/chat", "there")],
        rsync: Some(">f+++++++++ tenants/acme/chat"),
    },
    Plant {
        what: "name",
        plant: |m| {
            quietly(m, ".", || std::fs::rename(m.path("socket"), m.path("Socket")).unwrap());
        },
        listed: &[("Socket", "there"), ("socket", "there")],
        rsync: Some("*deleting   Socket"),
    },
];

#[test]
fn every_planted_difference_is_seen() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
    let dir = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let store = LocalStore::create_at(&dir.path().join("repository")).unwrap();
    let world = World::over(Arc::new(store), dir);
    trees::one_of_each(&world.source());
    world.backup().unwrap();
    let source = listing(&world.source());
    let mut unseen_by_rsync = Vec::new();
    for (number, Plant { what, plant, listed, rsync: told }) in PLANTS.iter().enumerate() {
        let target = world.dir.path().join(format!("target {number}"));
        world.restore(&target).unwrap();
        plant(&Maker::new(&target));
        let seen = source.differences(&listing(&target));
        let seen: Vec<_> = seen.keys().map(|(path, attribute)| (path.as_str(), *attribute)).collect();
        assert_eq!(seen, *listed, "{what}");
        let changes = rsync(&world.source(), &target);
        match told {
            Some(told) => assert!(changes.lines().any(|line| line.starts_with(told)), "{what}: {changes:?}"),
            None => {
                assert_eq!(changes, "", "{what}");
                unseen_by_rsync.push(*what);
            }
        }
        std::fs::remove_dir_all(&target).unwrap();
    }
    assert_eq!(unseen_by_rsync, ["nothing", "hole filled", "kind of device"]);
}
