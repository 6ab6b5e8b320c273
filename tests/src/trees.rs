//! Trees with everything that a file system can hold.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};

/// How much a file's attributes may take in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// One block, as on ext4.
    Block,
    /// As much as the kernel allows, as on tmpfs.
    Wide,
}

/// Names that break what is careless with names, apart from longer ones.
pub const HOSTILE_NAMES: &[&[u8]] = &[
    b" ",
    b" leading and trailing ",
    b"-rf",
    b"--",
    b"*",
    b"...",
    b"~",
    b"$(touch x)",
    b"`id`;&|<>",
    b"'single'",
    b"\"double\"",
    b"back\\slash",
    b"\\0101",
    b"\\",
    b"new\nline",
    b"\n",
    b"carriage\rreturn",
    b"tab\there",
    b"\x1b[2J\x1b]0;title\x07",
    b"\x7f",
    b"\x01\x02\x03",
    b"not \xff\xfe UTF-8",
    b"\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    "C1 \u{9b}31m".as_bytes(),
    "\u{202e}gnp.exe".as_bytes(),
    "zażółć gęślą jaźń".as_bytes(),
    "e\u{301} and \u{e9}".as_bytes(),
    "🛟".as_bytes(),
    b"%s%n",
    b"{\"path\":\"x\"}",
    b"lost+found.not",
];

/// Bytes that do not compress, the same for the same seed.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Runs a stock tool; its failure is the test's.
pub fn run(tool: &str, args: &[&OsStr]) {
    let out = Command::new(tool).args(args).output().expect("a tool that the tests need is installed");
    assert!(out.status.success(), "{tool} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A directory in which entries are made by path.
#[derive(Debug, Clone)]
pub struct Maker {
    /// The directory.
    pub root: PathBuf,
}

impl Maker {
    /// In this directory.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The full path.
    pub fn path(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(OsStr::from_bytes(path.as_ref()))
    }

    /// Makes a directory with its parents.
    pub fn dir(&self, path: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(path)).expect("a directory");
    }

    /// Makes a file; its directory is there.
    pub fn file(&self, path: impl AsRef<[u8]>, bytes: &[u8]) {
        fs::write(self.path(path), bytes).expect("a file");
    }

    /// Makes a file of a length with content at some offsets and holes elsewhere.
    pub fn sparse(&self, path: impl AsRef<[u8]>, length: u64, content: &[(u64, &[u8])]) {
        let file = File::create_new(self.path(path)).expect("a file");
        file.set_len(length).expect("a length");
        for (offset, bytes) in content {
            file.write_all_at(bytes, *offset).expect("content");
        }
    }

    /// Makes a fifo, socket or device.
    pub fn node(&self, path: impl AsRef<[u8]>, kind: FileType, device: (u32, u32)) {
        let device = rustix::fs::makedev(device.0, device.1);
        rustix::fs::mknodat(CWD, self.path(path), kind, Mode::from_raw_mode(0o600), device)
            .expect("a special file");
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        symlink(OsStr::from_bytes(target.as_ref()), self.path(path)).expect("a link");
    }

    /// Gives a file another name.
    pub fn link(&self, first: impl AsRef<[u8]>, path: impl AsRef<[u8]>) {
        let (first, path) = (self.path(first), self.path(path));
        rustix::fs::linkat(CWD, first, CWD, path, AtFlags::empty()).expect("a hard link");
    }

    /// Sets the owner, links not followed. Clears setuid and capabilities.
    pub fn owner(&self, path: impl AsRef<[u8]>, uid: u32, gid: u32) {
        lchown(self.path(path), Some(uid), Some(gid)).expect("an owner");
    }

    /// Sets the mode.
    pub fn mode(&self, path: impl AsRef<[u8]>, mode: u32) {
        rustix::fs::chmod(self.path(path), Mode::from_raw_mode(mode)).expect("a mode");
    }

    /// Sets the time of the last change, links not followed.
    pub fn time(&self, path: impl AsRef<[u8]>, seconds: i64, nanos: i64) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos },
        };
        rustix::fs::utimensat(CWD, self.path(path), &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
    }

    /// Sets an attribute, links not followed.
    pub fn xattr(&self, path: impl AsRef<[u8]>, name: impl AsRef<[u8]>, value: &[u8]) {
        xattr::set(self.path(path), OsStr::from_bytes(name.as_ref()), value).expect("an attribute");
    }

    /// Changes an ACL as `setfacl -m` or, with `-d`, the default ACL.
    pub fn acl(&self, path: impl AsRef<[u8]>, args: &[&str]) {
        let path = self.path(path);
        let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        all.extend([OsStr::new("--"), path.as_os_str()]);
        run("setfacl", &all);
    }

    /// Gives a program capabilities.
    pub fn capability(&self, path: impl AsRef<[u8]>, what: &str) {
        run("setcap", &[OsStr::new(what), self.path(path).as_os_str()]);
    }
}

/// One of each kind of entry and attribute, so that one difference can be planted in each.
pub fn one_of_each(root: &Path) {
    let m = Maker::new(root);
    m.file("plain", b"some content");
    m.owner("plain", 1000, 1000);
    m.file("two names", b"one file");
    m.link("two names", "two names, the second");
    m.file("attributes", b"");
    m.xattr("attributes", "user.short", b"value");
    m.xattr("attributes", "user.long", &noise(1, 1500));
    m.xattr("attributes", "trusted.t", b"t");
    m.xattr("attributes", "security.s", b"s");
    m.file("listed", b"");
    m.acl("listed", &["-m", "u:1234:rw,g:5678:r"]);
    m.sparse("sparse", 3 << 20, &[(1 << 20, &noise(2, 8192))]);
    m.symlink("link", "plain");
    m.xattr("link", "trusted.l", b"l");
    m.node("null", FileType::CharacterDevice, (1, 3));
    m.node("disk", FileType::BlockDevice, (7, 9));
    m.node("fifo", FileType::Fifo, (0, 0));
    m.node("socket", FileType::Socket, (0, 0));
    m.dir("dir");
    m.file("dir/inner", b"inner");
    m.acl("dir", &["-d", "-m", "u:1234:rwx"]);
    m.dir("tenants/acme");
    m.file("tenants/acme/chat", b"hello");
    for path in [
        "plain",
        "two names",
        "attributes",
        "listed",
        "sparse",
        "link",
        "null",
        "disk",
        "fifo",
        "socket",
        "dir/inner",
    ] {
        m.time(path, 1_700_000_000, 123_456_789);
    }
    for path in ["tenants/acme/chat", "tenants/acme", "tenants", "dir", "."] {
        m.time(path, 1_600_000_000, 987_654_321);
    }
}

/// Everything at once, as root, in two tenants and outside them.
pub fn everything(root: &Path, room: Room) {
    let m = Maker::new(root);
    for at in [b"".as_slice(), b"tenants/acme/", b"tenants/beta/"] {
        let below = |name: &str| [at, name.as_bytes()].concat();
        for dir in ["types", "modes", "links/a/b", "links/c", "attributes", "acls", "names", "times"] {
            m.dir(below(dir));
        }
        types(&Maker::new(&m.path(below("types"))));
        modes(&Maker::new(&m.path(below("modes"))));
        links(&Maker::new(&m.path(below("links"))));
        attributes(&Maker::new(&m.path(below("attributes"))), room);
        acls(&Maker::new(&m.path(below("acls"))));
        names(&Maker::new(&m.path(below("names"))));
        times(&Maker::new(&m.path(below("times"))));
    }
    m.dir("sizes");
    sizes(&Maker::new(&m.path("sizes")));
    m.dir("holes");
    holes(&Maker::new(&m.path("holes")));
    // The root itself, last: its default ACL would be inherited.
    m.owner(".", 4711, 4712);
    m.mode(".", 0o2751);
    m.xattr(".", "user.root", b"of the tree");
    m.acl(".", &["-m", "u:1234:rx", "-m", "d:u:1234:rwx"]);
    m.time(".", 1_234_567_890, 1);
}

fn types(m: &Maker) {
    m.dir("empty dir");
    m.file("empty file", b"");
    m.node("fifo", FileType::Fifo, (0, 0));
    m.node("socket", FileType::Socket, (0, 0));
    m.node("null", FileType::CharacterDevice, (1, 3));
    m.node("whiteout", FileType::CharacterDevice, (0, 0));
    m.node("big numbers", FileType::CharacterDevice, (0xfff, 0xf_ffff));
    m.node("loop", FileType::BlockDevice, (7, 200));
    for (number, name) in ["fifo", "socket", "null", "loop"].into_iter().enumerate() {
        m.owner(name, 33, 44);
        m.mode(name, [0o640, 0o7777, 0o6600, 0o000].get(number).copied().unwrap_or(0));
        m.xattr(name, "trusted.special", name.as_bytes());
        m.time(name, 1_000_000_000, 5);
    }
    m.symlink("dangling", "no/such/thing");
    m.symlink("absolute", "/etc/passwd");
    m.symlink("upwards", "../../../../../etc");
    m.symlink("to itself", "to itself");
    m.symlink("to a dir", "empty dir");
    m.symlink("dotted", ".");
    m.symlink("strange", b"new\nline \x1b[1m \xff\xfe \\0101 \"");
    m.symlink("long", vec![b'x'; 4095]);
    m.symlink("long and strange", vec![0xff; 4095]);
    m.owner("dangling", 12, 34);
    m.xattr("dangling", "trusted.link", b"not followed");
    m.xattr("absolute", "security.link", b"not followed");
    m.time("absolute", 77, 88);
}

fn modes(m: &Maker) {
    for mode in [
        0o0000, 0o0007, 0o0400, 0o0644, 0o1000, 0o1777, 0o2000, 0o2755, 0o4000, 0o4755, 0o6755, 0o7000,
        0o7777,
    ] {
        let (file, dir) = (format!("f{mode:04o}"), format!("d{mode:04o}"));
        m.file(&file, file.as_bytes());
        m.dir(&dir);
        m.file(format!("{dir}/inner"), b"inner");
        m.owner(&file, 1234, 5678);
        m.owner(&dir, 4_294_967_294, 65_534);
        m.mode(&file, mode);
        m.mode(&dir, mode);
    }
    // Owned by whoever restores: no change of owner clears these.
    m.file("own", b"own");
    m.mode("own", 0o6711);
}

fn links(m: &Maker) {
    m.file("a/first", &noise(3, 1000));
    m.mode("a/first", 0o640);
    m.xattr("a/first", "user.several", b"names");
    for path in ["a/b/second", "c/third", "a/fourth", "\u{fe}"] {
        m.link("a/first", path);
    }
    m.file("c/streamed", &noise(4, 1_500_000));
    m.link("c/streamed", "a/b/streamed too");
    m.file("c/empty", b"");
    m.link("c/empty", "a/empty too");
    m.sparse("a/sparse", 1 << 20, &[(512 << 10, b"x")]);
    m.link("a/sparse", "c/sparse too");
    m.file("c/like the first, but apart", &noise(3, 1000));
    // One of its names is outside the tree, or was removed: it just has one here.
    m.file("c/alone", b"alone");
}

fn attributes(m: &Maker, room: Room) {
    m.file("few", b"x");
    for name in ["user.plain", "trusted.plain", "security.plain"] {
        m.xattr("few", name, name.as_bytes());
    }
    m.xattr("few", "user.empty", b"");
    m.xattr("few", "user.binary", &(0..=255).collect::<Vec<u8>>());
    m.xattr("few", b"user.\xff \n\x1b \\ \" =", b"strange name");
    m.file("chunked", b"content too");
    m.xattr("chunked", "user.long", &noise(5, 2500));
    m.file("chunked alone", b"");
    m.xattr("chunked alone", "user.long", &noise(6, 1025));
    m.xattr("chunked alone", "user.inline", &noise(7, 1024));
    m.file("chunked, streamed", &noise(8, 1_200_000));
    m.xattr("chunked, streamed", "user.long", &noise(9, 2000));
    m.dir("dir");
    m.xattr("dir", "user.long", &noise(10, 2000));
    m.xattr("dir", "trusted.dir", b"t");
    m.symlink("link", "nowhere");
    m.xattr("link", "trusted.long", &noise(11, 2000));
    m.file("many", b"");
    for number in 0..40 {
        m.xattr("many", format!("user.n{number}"), format!("value {number}").as_bytes());
    }
    m.file("program", b"#!/bin/sh\n");
    m.owner("program", 1000, 1000);
    m.mode("program", 0o4755);
    m.capability("program", "cap_net_raw,cap_net_bind_service+ep");
    if room == Room::Wide {
        m.file("wide", b"wide");
        m.xattr("wide", "user.longest", &noise(12, 65_536));
        m.dir("wide dir");
        // Together longer than a line of a manifest.
        for number in 0..100 {
            m.xattr("wide dir", format!("user.n{number}"), &noise(100 + number, 1000));
        }
    }
}

fn acls(m: &Maker) {
    m.file("access", b"x");
    m.acl("access", &["-m", "u:1234:rwx,u:1235:r,g:5678:rx,m::rx"]);
    m.file("masked away", b"x");
    m.acl("masked away", &["-m", "u:1234:rwx,m::-"]);
    m.file("setuid", b"x");
    m.owner("setuid", 1000, 1001);
    m.acl("setuid", &["-m", "u:1234:rx"]);
    m.mode("setuid", 0o6750);
    m.dir("both");
    m.acl("both", &["-m", "g:5678:rwx"]);
    m.dir("both/below");
    m.file("both/below/file", b"x");
    m.acl("both", &["-d", "-m", "u:1234:rwx,g:5678:rx,o::-"]);
    m.dir("both/inherits");
    m.file("both/inherits/file", b"x");
    m.node("fifo", FileType::Fifo, (0, 0));
    m.acl("fifo", &["-m", "u:1:rw"]);
}

fn names(m: &Maker) {
    for (number, name) in HOSTILE_NAMES.iter().enumerate() {
        match number % 3 {
            0 => m.file(name, name),
            1 => {
                m.dir(name);
                m.file([name, b"/".as_slice(), name].concat(), name);
            }
            _ => m.symlink(name, name),
        }
    }
    m.file([b'n'; 255], b"long");
    m.file([0xff; 255], b"long");
    m.dir([b'\n'; 255]);
    m.file("first", b"x");
    m.link("first", b"second\n\xff");
}

fn times(m: &Maker) {
    let moments = [
        (0, 0),
        (0, 1),
        (-1, 999_999_999),
        (-1, 1),
        (-2_147_483_648, 0),
        (-2_147_483_647, 123_456_789),
        (2_147_483_648, 5),
        (15_000_000_000, 999_999_999),
        (1_700_000_000, 100_000_000),
        (1_700_000_000, 1_000),
    ];
    for (number, (seconds, nanos)) in moments.into_iter().enumerate() {
        m.file(format!("f{number}"), b"x");
        m.dir(format!("d{number}"));
        m.file(format!("d{number}/inner"), b"x");
        m.symlink(format!("l{number}"), "x");
        for kind in ["f", "d", "l"] {
            m.time(format!("{kind}{number}"), seconds, nanos);
        }
    }
}

fn sizes(m: &Maker) {
    let sizes = [
        1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 1_048_575, 1_048_576,
        1_048_577,
    ]
    .into_iter()
    .chain([(4 << 20) + 3, 20 << 20]);
    for size in sizes {
        m.file(size.to_string(), &noise(size as u64, size));
    }
    m.file("zeros", &vec![0; 3 << 20]);
}

fn holes(m: &Maker) {
    let (mib, some) = (1_u64 << 20, noise(20, 70_000));
    m.sparse("all hole", 100_000, &[]);
    m.sparse("all hole, long", 6 * mib, &[]);
    m.sparse("leading", 200_000, &[(131_072, some.get(..68_928).unwrap_or_default())]);
    m.sparse("middle", 200_000, &[(0, b"begin"), (196_608, b"the end ")]);
    m.sparse("trailing", 200_000, &[(0, &some)]);
    m.sparse("ends in a block", 100_001, &[(98_304, b"x")]);
    m.sparse("many", 10 * mib, &(0..100).map(|n| (n * 100_000, b"island".as_slice())).collect::<Vec<_>>());
    let long = noise(21, 3_000_000);
    m.sparse("streamed", 12 * mib, &[(mib, &long), (6 * mib, &long), (10 * mib, &some)]);
    m.sparse("streamed, trailing", 6 * mib, &[(0, &long)]);
    m.sparse("with attributes", 5 * mib, &[(mib, b"x")]);
    m.xattr("with attributes", "user.long", &noise(22, 2000));
    // Room that is allocated but not written is left out: whether it is a hole depends on what is cached.
}
