//! Differences to plant in a restored copy of `lifeboat_tests::trees::one_of_each`, one for each thing that must come back,
//! with what has to be said of each.

use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, FileType};

use lifeboat_tests::trees::{Maker, noise};

/// A difference to plant.
pub(crate) struct Plant {
    /// What it is.
    pub(crate) what: &'static str,
    /// Plants it.
    pub(crate) plant: fn(&Maker),
    /// What must be said, and nothing else: `+`, `-` or an aspect, and the path.
    pub(crate) said: &'static [(&'static str, &'static str)],
}

/// Plants something that changes the time of a directory or file without meaning to.
fn quietly(m: &Maker, path: &str, plant: impl FnOnce()) {
    let stat = rustix::fs::lstat(m.path(path)).expect("an entry");
    plant();
    m.time(path, stat.st_mtime, stat.st_mtime_nsec.cast_signed());
}

/// Puts something else in an entry's place, with its owner, mode and time.
fn instead(m: &Maker, path: &str, make: impl FnOnce()) {
    let stat = rustix::fs::lstat(m.path(path)).expect("an entry");
    quietly(m, ".", || {
        std::fs::remove_file(m.path(path)).expect("an entry is gone");
        make();
        m.owner(path, stat.st_uid, stat.st_gid);
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            m.mode(path, stat.st_mode & 0o7777);
        }
        m.time(path, stat.st_mtime, stat.st_mtime_nsec.cast_signed());
    });
}

fn overwrite(m: &Maker, path: &str, bytes: &[u8], offset: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(m.path(path)).expect("a file");
    quietly(m, path, || file.write_all_at(bytes, offset).expect("bytes"));
}

fn punch(m: &Maker, path: &str, offset: u64, length: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(m.path(path)).expect("a file");
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    quietly(m, path, || rustix::fs::fallocate(&file, flags, offset, length).expect("a hole"));
}

/// All of them.
pub(crate) const PLANTS: &[Plant] = &[
    Plant {
        what: "one bit of content",
        plant: |m| overwrite(m, "plain", b"some contenu", 0),
        said: &[("content", "plain")],
    },
    Plant {
        what: "one bit in the middle of a sparse file",
        plant: |m| overwrite(m, "sparse", &[noise(2, 8192)[5000] ^ 1], (1 << 20) + 5000),
        said: &[("content", "sparse")],
    },
    Plant { what: "length", plant: |m| overwrite(m, "plain", b"\0", 12), said: &[("content", "plain")] },
    Plant {
        what: "content where a hole was",
        plant: |m| overwrite(m, "sparse", b"x", 3 << 19),
        said: &[("content", "sparse"), ("holes", "sparse")],
    },
    Plant {
        what: "zeros where a hole was",
        plant: |m| overwrite(m, "sparse", &[0; 65536], 65536),
        said: &[("holes", "sparse")],
    },
    Plant {
        what: "a hole where content was",
        plant: |m| punch(m, "sparse", 1 << 20, 4096),
        said: &[("content", "sparse")],
    },
    Plant {
        what: "content of a tenant's file",
        plant: |m| overwrite(m, "tenants/acme/chat", b"j", 0),
        said: &[("content", "tenants/acme/chat")],
    },
    Plant { what: "mode", plant: |m| m.mode("plain", 0o645), said: &[("mode", "plain")] },
    Plant { what: "setuid", plant: |m| m.mode("plain", 0o4644), said: &[("mode", "plain")] },
    Plant {
        what: "mode of a directory",
        plant: |m| m.mode("tenants/acme", 0o1755),
        said: &[("mode", "tenants/acme")],
    },
    Plant { what: "mode of the root", plant: |m| m.mode(".", 0o700), said: &[("mode", ".")] },
    Plant { what: "user", plant: |m| m.owner("plain", 1001, 1000), said: &[("owner", "plain")] },
    Plant { what: "group", plant: |m| m.owner("plain", 1000, 1001), said: &[("owner", "plain")] },
    Plant { what: "user of a link", plant: |m| m.owner("link", 7, 0), said: &[("owner", "link")] },
    Plant {
        what: "time, by a nanosecond",
        plant: |m| m.time("plain", 1_700_000_000, 123_456_788),
        said: &[("mtime", "plain")],
    },
    Plant {
        what: "time of a directory",
        plant: |m| m.time("dir", 1_600_000_000, 987_654_322),
        said: &[("mtime", "dir")],
    },
    Plant {
        what: "time of a link",
        plant: |m| m.time("link", 1_700_000_000, 123_456_788),
        said: &[("mtime", "link")],
    },
    Plant {
        what: "value of an attribute",
        plant: |m| m.xattr("attributes", "user.short", b"valuf"),
        said: &[("xattrs", "attributes")],
    },
    Plant {
        what: "one byte of a long attribute",
        plant: |m| {
            let mut value = noise(1, 1500);
            value[1400] ^= 1;
            m.xattr("attributes", "user.long", &value);
        },
        said: &[("xattrs", "attributes")],
    },
    Plant {
        what: "a long attribute cut",
        plant: |m| m.xattr("attributes", "user.long", &noise(1, 1500)[..1499]),
        said: &[("xattrs", "attributes")],
    },
    Plant {
        what: "attribute removed",
        plant: |m| xattr::remove(m.path("attributes"), "security.s").expect("an attribute is gone"),
        said: &[("xattrs", "attributes")],
    },
    Plant {
        what: "attribute too many",
        plant: |m| m.xattr("plain", "user.new", b""),
        said: &[("xattrs", "plain")],
    },
    Plant {
        what: "attribute of a link",
        plant: |m| m.xattr("link", "trusted.l", b"m"),
        said: &[("xattrs", "link")],
    },
    Plant {
        what: "user within an ACL",
        plant: |m| m.acl("listed", &["-x", "u:1234", "-m", "u:1233:rw"]),
        said: &[("xattrs", "listed")],
    },
    Plant { what: "default ACL", plant: |m| m.acl("dir", &["-k"]), said: &[("xattrs", "dir")] },
    Plant {
        what: "hard link broken",
        plant: |m| {
            instead(m, "two names, the second", || m.file("two names, the second", b"one file"));
        },
        said: &[("link", "two names, the second")],
    },
    Plant {
        what: "hard link too many",
        plant: |m| {
            quietly(m, ".", || {
                std::fs::remove_file(m.path("dir/inner")).expect("an entry is gone");
                quietly(m, "dir", || {
                    m.link("plain", "dir/inner");
                });
            });
            m.time("dir", 1_600_000_000, 987_654_321);
        },
        said: &[("content", "dir/inner"), ("owner", "dir/inner"), ("link", "plain")],
    },
    Plant {
        what: "target of a link",
        plant: |m| {
            instead(m, "link", || {
                m.symlink("link", "plaim");
                m.xattr("link", "trusted.l", b"l");
            });
        },
        said: &[("target", "link")],
    },
    Plant {
        what: "device number",
        plant: |m| instead(m, "null", || m.node("null", FileType::CharacterDevice, (1, 5))),
        said: &[("device", "null")],
    },
    Plant {
        what: "kind of device",
        plant: |m| instead(m, "disk", || m.node("disk", FileType::CharacterDevice, (7, 9))),
        said: &[("type", "disk")],
    },
    Plant {
        what: "type",
        plant: |m| instead(m, "fifo", || m.node("fifo", FileType::Socket, (0, 0))),
        said: &[("type", "fifo")],
    },
    Plant {
        what: "extra file",
        plant: |m| quietly(m, "tenants/acme", || m.file("tenants/acme/extra", b"")),
        said: &[("+", "tenants/acme/extra")],
    },
    Plant {
        what: "missing file",
        plant: |m| {
            quietly(m, "tenants/acme", || {
                std::fs::remove_file(m.path("tenants/acme/chat")).expect("an entry is gone");
            });
        },
        said: &[("-", "tenants/acme/chat")],
    },
    Plant {
        what: "missing directory with what is in it",
        plant: |m| {
            quietly(m, ".", || std::fs::remove_dir_all(m.path("dir")).expect("entries are gone"));
        },
        said: &[("-", "dir"), ("-", "dir/inner")],
    },
    Plant {
        what: "name",
        plant: |m| {
            quietly(m, ".", || {
                std::fs::rename(m.path("socket"), m.path("Socket")).expect("another name");
            });
        },
        said: &[("+", "Socket"), ("-", "socket")],
    },
];
