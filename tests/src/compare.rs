//! Two comparers of trees that share nothing with Lifeboat and little with each other.
//!
//! [`rsync`] asks rsync what it would change. [`listing`] asks the kernel and stock tools about every entry: what
//! rsync does not look at, such as holes, is there too. What a tool is needed for fails
//! without it; nothing is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, OsStr};
use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Statx, StatxFlags};

/// Names that a tool is asked about at once; a command line has a limit.
const ASKED_AT_ONCE: usize = 500;

/// What rsync would change to make `target` equal to `source`: nothing, where they are.
#[must_use]
pub fn rsync(source: &Path, target: &Path) -> String {
    let slash = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push("/");
        path
    };
    let out = Command::new("rsync")
        .args(["-aHAXn", "--checksum", "--delete", "--modify-window=-1", "--itemize-changes", "--"])
        .args([slash(source), slash(target)])
        .env("LC_ALL", "C")
        .output()
        .expect("rsync is installed");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && told.is_empty(), "rsync: {} {told}", out.status);
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What is to be known of every entry of a tree, by path and attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing(BTreeMap<Vec<u8>, Seen>);

/// What differs: path and attribute, and what either side has.
pub type Differences = BTreeMap<(String, &'static str), (String, String)>;

impl Listing {
    /// How many entries it has, the root included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(Vec::as_slice)
    }

    /// What differs from another. An entry that one side lacks is the attribute `there`.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Differences {
        let mut found = Differences::new();
        let paths: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for path in paths {
            let shown = path.escape_ascii().to_string();
            match (self.0.get(path), other.0.get(path)) {
                (Some(a), Some(b)) => {
                    for key in a.keys().chain(b.keys()) {
                        let value = |side: &BTreeMap<_, String>| side.get(key).cloned().unwrap_or_default();
                        if value(a) != value(b) {
                            found.insert((shown.clone(), key), (value(a), value(b)));
                        }
                    }
                }
                (a, b) => {
                    found.insert((shown, "there"), (a.is_some().to_string(), b.is_some().to_string()));
                }
            }
        }
        found
    }
}

/// Fails unless both comparers find the trees equal.
pub fn assert_same(source: &Path, target: &Path) {
    assert_equal(&listing(source), &listing(target));
    let changes = rsync(source, target);
    assert!(changes.is_empty(), "rsync would change:\n{changes}");
}

/// Fails unless the listings are equal; says what differs.
pub fn assert_equal(source: &Listing, target: &Listing) {
    let differences = source.differences(target);
    let mut told = String::new();
    for ((path, attribute), (a, b)) in differences.iter().take(30) {
        writeln!(told, "  {path}: {attribute}: {a:?} became {b:?}").expect("a text grows");
    }
    assert!(differences.is_empty(), "{} differences:\n{told}", differences.len());
}

/// Asks about every entry of a tree. Directories are entered by handle, so no path is too long.
#[must_use]
pub fn listing(root: &Path) -> Listing {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(root, flags, Mode::empty()).expect("a directory");
    let mut lister = Lister::default();
    lister.entries(&dir, &[c".".to_owned()], b"");
    lister.walk(&dir, b"");
    lister.finish()
}

type Seen = BTreeMap<&'static str, String>;

#[derive(Default)]
struct Lister {
    listing: Listing,
    /// Paths of each file with several names.
    links: BTreeMap<(u32, u32, u64), Vec<Vec<u8>>>,
}

impl Lister {
    fn walk(&mut self, dir: &OwnedFd, prefix: &[u8]) {
        let names = names(dir);
        for some in names.chunks(ASKED_AT_ONCE) {
            for name in self.entries(dir, some, prefix) {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = rustix::fs::openat(dir, &name, flags, Mode::empty()).expect("a directory");
                self.walk(&below, &[prefix, name.to_bytes(), b"/"].concat());
            }
        }
    }

    /// Lists names of a directory; gives those of them that are directories.
    fn entries(&mut self, dir: &OwnedFd, names: &[CString], prefix: &[u8]) -> Vec<CString> {
        let (mut of_kind, mut seen): (BTreeMap<_, Vec<CString>>, BTreeMap<_, _>) = Default::default();
        for name in names {
            let stat = rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
                .expect("an entry");
            let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
            if kind != FileType::Directory && stat.stx_nlink > 1 {
                let id = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
                self.links.entry(id).or_default().push([prefix, name.to_bytes()].concat());
            }
            of_kind.entry(format!("{kind:?}")).or_default().push(name.clone());
            seen.insert(name.to_bytes().to_vec(), one(dir, name, &stat, kind));
        }
        let kinds = |wanted: &dyn Fn(&str) -> bool| -> Vec<CString> {
            of_kind.iter().filter(|(kind, _)| wanted(kind)).flat_map(|(_, names)| names.clone()).collect()
        };
        let mut told = |attribute: &'static str, of: BTreeMap<Vec<u8>, String>| {
            for (name, text) in of {
                seen.get_mut(&name).expect("a name that was asked for").insert(attribute, text);
            }
        };
        told("xattrs", blocks(&tool(dir, "getfattr", &["-d", "-m", "-", "-h", "-e", "hex"], names)));
        // A link has no ACL of its own, and getfacl would follow it.
        told("acl", blocks(&tool(dir, "getfacl", &["-p", "-n"], &kinds(&|kind| kind != "Symlink"))));
        told("content", sums(&tool(dir, "sha256sum", &["-z"], &kinds(&|kind| kind == "RegularFile"))));
        self.listing.0.extend(seen.into_iter().map(|(name, seen)| ([prefix, &name].concat(), seen)));
        kinds(&|kind| kind == "Directory").into_iter().filter(|name| name.as_c_str() != c".").collect()
    }

    fn finish(mut self) -> Listing {
        for mut group in std::mem::take(&mut self.links).into_values() {
            group.sort();
            let shown: Vec<_> = group.iter().map(|path| path.escape_ascii().to_string()).collect();
            for path in group {
                if let Some(seen) = self.listing.0.get_mut(&path) {
                    seen.insert("links", shown.join(" = "));
                }
            }
        }
        self.listing
    }
}

/// What the kernel says of an entry.
fn one(dir: &OwnedFd, name: &CStr, stat: &Statx, kind: FileType) -> Seen {
    let mut seen = plain(stat);
    match kind {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(dir, name, flags, Mode::empty()).expect("a file");
            seen.insert("size", stat.stx_size.to_string());
            seen.insert("holes", seek_map(&file, stat.stx_size));
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new()).expect("a link");
            seen.insert("target", target.to_bytes().escape_ascii().to_string());
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            seen.insert("device", format!("{}:{}", stat.stx_rdev_major, stat.stx_rdev_minor));
        }
        _ => {}
    }
    seen
}

/// What `statx` alone says.
fn plain(stat: &Statx) -> Seen {
    let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
    BTreeMap::from([
        ("type", format!("{kind:?}")),
        ("mode", format!("{:04o}", stat.stx_mode & 0o7777)),
        ("uid", stat.stx_uid.to_string()),
        ("gid", stat.stx_gid.to_string()),
        ("mtime", format!("{}.{:09}", stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec)),
    ])
}

/// Where content begins and ends.
fn seek_map(file: &OwnedFd, size: u64) -> String {
    let mut map = String::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return format!("unknown: {error}"),
        };
        at = rustix::fs::seek(file, SeekFrom::Hole(data)).expect("every file ends in a hole");
        write!(map, "{data}-{at} ").expect("a text grows");
    }
    map
}

/// What a stock tool prints of names in a directory.
fn tool(dir: &OwnedFd, tool: &str, args: &[&str], names: &[CString]) -> Vec<u8> {
    if names.is_empty() {
        return Vec::new();
    }
    let paths = names.iter().map(|name| OsStr::from_bytes(name.to_bytes()));
    let out = Command::new(tool)
        .args(args)
        .arg("--")
        .args(paths)
        .current_dir(format!("/proc/self/fd/{}", dir.as_raw_fd()))
        .env("LC_ALL", "C")
        .output()
        .expect("a tool that the tests need is installed");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && told.is_empty(), "{tool}: {} {told}", out.status);
    out.stdout
}

/// What getfattr or getfacl prints, by name; lines sorted, since attributes have no order, without the owner.
fn blocks(text: &[u8]) -> BTreeMap<Vec<u8>, String> {
    let mut found: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    let mut block = None;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix(b"# file: ") {
            block = Some(found.entry(unquoted(name)).or_default());
        } else if !line.starts_with(b"# owner:") && !line.starts_with(b"# group:") {
            let lines = block.as_mut().expect("a name comes first");
            lines.push(line.escape_ascii().to_string());
        }
    }
    let joined = |mut lines: Vec<String>| {
        lines.sort_unstable();
        lines.join("\n")
    };
    found.into_iter().map(|(name, lines)| (name, joined(lines))).collect()
}

/// What sha256sum prints, by name. With `-z` names are as they are.
fn sums(text: &[u8]) -> BTreeMap<Vec<u8>, String> {
    text.split(|byte| *byte == 0)
        .filter_map(|line| line.split_at_checked(64))
        .map(|(sum, name)| {
            let name = name.strip_prefix(b"  ").expect("two spaces come before a name");
            (name.to_vec(), String::from_utf8_lossy(sum).into_owned())
        })
        .collect()
}

/// A name without the `\ooo` that getfattr and getfacl write, and the `\\` that getfacl does.
fn unquoted(mut text: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        let octal = rest.get(..3).and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        let (byte, length) = match octal {
            Some(byte) if *first == b'\\' => (byte, 3),
            None if text.starts_with(b"\\\\") => (b'\\', 1),
            _ => (*first, 0),
        };
        name.push(byte);
        text = rest.get(length..).unwrap_or_default();
    }
    name
}

fn names(dir: &OwnedFd) -> Vec<CString> {
    let entries = Dir::read_from(dir).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_owned())
        .filter(|name| name.as_c_str() != c"." && name.as_c_str() != c"..")
        .collect();
    names.sort_unstable();
    names
}
