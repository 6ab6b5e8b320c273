//! What the kernel tells of files: metadata, attributes, holes, names. Relative to directory handles, so that
//! neither long paths nor renamed parents matter.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use lifeboat_repo::format::manifest::{EntryKind, Hole, Metadata};
use lifeboat_repo::units::{Bytes, Timestamp};
use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom, Statx, StatxFlags};
use rustix::io::Errno;

/// Device (major, minor) and inode.
pub(crate) type FileId = (u32, u32, u64);

/// One `statx`, sorted.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) kind: EntryKind,
    pub(crate) metadata: Metadata,
    pub(crate) size: Bytes,
    pub(crate) links: u32,
    /// Device and inode: what hardlinks have in common.
    pub(crate) file: FileId,
    pub(crate) device: Option<(u32, u32)>,
}

/// Names of users and groups, looked up once each.
#[derive(Default)]
pub(crate) struct Names {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Names {
    /// The names of an entry's owner and group.
    pub(crate) fn of(&mut self, metadata: &Metadata) -> (Option<&str>, Option<&str>) {
        let text = |name: &OsStr| name.to_str().map(str::to_owned);
        let user = self
            .users
            .entry(metadata.uid)
            .or_insert_with(|| uzers::get_user_by_uid(metadata.uid).and_then(|user| text(user.name())));
        let group = self
            .groups
            .entry(metadata.gid)
            .or_insert_with(|| uzers::get_group_by_gid(metadata.gid).and_then(|group| text(group.name())));
        (user.as_deref(), group.as_deref())
    }

    /// Writes them into the entry's metadata.
    pub(crate) fn fill(&mut self, metadata: &mut Metadata) {
        let (user, group) = self.of(metadata);
        (metadata.user, metadata.group) = (user.map(str::to_owned), group.map(str::to_owned));
    }
}

/// `statx` of a name in a directory; symlinks are not followed.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<Stat, Errno> {
    rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(|stat| sort(&stat))
}

/// `statx` of an open file.
pub(crate) fn stat_fd(file: BorrowedFd<'_>) -> Result<Stat, Errno> {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|stat| sort(&stat))
}

fn sort(stat: &Statx) -> Stat {
    let kind = EntryKind::of_mode(u32::from(stat.stx_mode));
    let device = matches!(kind, EntryKind::Char | EntryKind::Block);
    Stat {
        kind,
        metadata: Metadata {
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            user: None,
            group: None,
            mtime: Timestamp::new(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            ctime: Timestamp::new(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            inode: stat.stx_ino,
        },
        size: if kind == EntryKind::File { Bytes(stat.stx_size) } else { Bytes::ZERO },
        links: stat.stx_nlink,
        file: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
        device: device.then_some((stat.stx_rdev_major, stat.stx_rdev_minor)),
    }
}

/// Opens a directory by its name in another.
pub(crate) fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_quietly(dir, name, flags)
}

/// Opens a regular file by its name in a directory. Not blocking: a fifo may have taken its place.
pub(crate) fn open_file(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    open_quietly(dir, name, flags)
}

/// Leaves access times alone where the kernel lets us.
fn open_quietly(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        outcome => outcome,
    }
}

/// Room for what one system call tells of a directory.
pub(crate) const LISTING: usize = 32 << 10;

/// The names in a directory, in the order of their bytes.
#[derive(Default)]
pub(crate) struct Listing {
    /// Names one after another, each with its zero.
    bytes: Vec<u8>,
    starts: Vec<u32>,
    next: usize,
}

impl Listing {
    fn name(&self, start: u32) -> Option<&CStr> {
        CStr::from_bytes_until_nul(self.bytes.get(start as usize..)?).ok()
    }

    /// Whether a name is among those listed.
    pub(crate) fn holds(&self, name: &CStr) -> bool {
        let found = |start: &u32| self.name(*start).unwrap_or_default().cmp(name);
        self.starts.binary_search_by(found).is_ok()
    }

    /// Forgets all names but one; how many these were.
    pub(crate) fn keep_only(&mut self, name: &CStr) -> u64 {
        let before = self.starts.len();
        let mut starts = std::mem::take(&mut self.starts);
        starts.retain(|start| self.name(*start) == Some(name));
        self.starts = starts;
        (before - self.starts.len()) as u64
    }

    /// The next name.
    pub(crate) fn next(&mut self) -> Option<&CStr> {
        let start = self.starts.get(self.next).copied()?;
        self.next += 1;
        self.name(start)
    }
}

/// Lists a directory, through a buffer of the caller's.
pub(crate) fn names_in(dir: BorrowedFd<'_>, buffer: &mut [MaybeUninit<u8>]) -> Result<Listing, Errno> {
    let mut listing = Listing::default();
    let mut entries = rustix::fs::RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            // Names of one directory beyond 4 GiB do not fit in memory here either.
            listing.starts.push(u32::try_from(listing.bytes.len()).map_err(|_| Errno::NOMEM)?);
            listing.bytes.extend_from_slice(name.to_bytes_with_nul());
        }
    }
    let mut starts = std::mem::take(&mut listing.starts);
    // A zero ends each name, so comparing what is left of all names compares the names.
    let rest = |start: &u32| listing.bytes.get(*start as usize..).unwrap_or_default();
    starts.sort_unstable_by(|a, b| rest(a).cmp(rest(b)));
    listing.starts = starts;
    Ok(listing)
}

/// What a symlink says.
pub(crate) fn read_link(dir: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(dir, name, Vec::new()).map(CString::into_bytes)
}

/// The ranges of a file that hold content, or nothing where it has no holes.
pub(crate) fn extents(file: BorrowedFd<'_>, size: Bytes) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    let seek = |to| rustix::fs::seek(file, to);
    let hole = match seek(SeekFrom::Hole(0)) {
        Ok(hole) if hole < size.0 => hole,
        Ok(_) | Err(Errno::INVAL | Errno::NXIO | Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut ranges = if hole > 0 { vec![(0, hole)] } else { Vec::new() };
    let mut at = hole;
    while at < size.0 {
        let data = match seek(SeekFrom::Data(at)) {
            Ok(data) => data.min(size.0),
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        if data >= size.0 {
            break;
        }
        // It may have been cut since; whoever reads it will find it shorter.
        let end = match seek(SeekFrom::Hole(data)) {
            Ok(end) => end.min(size.0),
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        if end <= data {
            break;
        }
        ranges.push((data, end - data));
        at = end;
    }
    Ok(Some(ranges))
}

/// The holes between ranges of content.
pub(crate) fn holes_between(ranges: &[(u64, u64)], size: Bytes) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut at = 0;
    for (offset, length) in ranges {
        if *offset > at {
            holes.push(Hole { offset: Bytes(at), length: Bytes(offset - at) });
        }
        at = offset + length;
    }
    if at < size.0 {
        holes.push(Hole { offset: Bytes(at), length: Bytes(size.0 - at) });
    }
    holes
}

/// Names and values of extended attributes, sorted by name.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// The attributes of a name in a directory; symlinks are not followed.
pub(crate) fn attributes_at(dir: BorrowedFd<'_>, name: &CStr) -> std::io::Result<Attributes> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = OsStr::from_bytes(&path);
    collect(xattr::list(path), |name| xattr::get(path, name))
}

/// The attributes of an open file.
pub(crate) fn attributes_fd(file: &std::fs::File) -> std::io::Result<Attributes> {
    use xattr::FileExt;
    collect(file.list_xattr(), |name| file.get_xattr(name))
}

fn collect(
    names: std::io::Result<xattr::XAttrs>,
    get: impl Fn(&OsStr) -> std::io::Result<Option<Vec<u8>>>,
) -> std::io::Result<Attributes> {
    let unsupported = |error: &std::io::Error| {
        matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::OPNOTSUPP | Errno::NOSYS))
    };
    let names = match names {
        Err(error) if unsupported(&error) => return Ok(Vec::new()),
        names => names?,
    };
    let mut found = Vec::new();
    for name in names {
        if let Some(value) = get(&name)? {
            found.push((name.as_bytes().to_vec(), value));
        }
    }
    found.sort_unstable();
    Ok(found)
}
