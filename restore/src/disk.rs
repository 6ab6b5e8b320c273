//! A tree of this machine, walked in the order that manifests have, relative to directory handles and through no
//! symbolic link.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::format::manifest::{EntryKind, Metadata, PATH_LEN_MAX};
use lifeboat_repo::format::text;
use lifeboat_repo::units::{Bytes, Timestamp};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, openat, readlinkat, statx};
use rustix::io::Errno;

use crate::error::RestoreError;

/// Device (major, minor) and inode: what names of one file have in common.
pub(crate) type FileId = (u32, u32, u64);

/// An entry met by the walk.
pub(crate) struct Met {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) metadata: Metadata,
    pub(crate) size: Bytes,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) links: u32,
    pub(crate) file: FileId,
    /// How its file system hands out space.
    pub(crate) block: u64,
    dir: Arc<OwnedFd>,
    name: CString,
}

/// What the walk gives.
pub(crate) enum Step {
    /// An entry.
    Met(Box<Met>),
    /// Something that could not be looked at, and why.
    Unread(Vec<u8>, String),
}

struct Level {
    dir: Arc<OwnedFd>,
    names: std::vec::IntoIter<CString>,
    /// How long the path is without the entry's name.
    prefix: usize,
}

/// A walk under way.
pub(crate) struct Walk {
    levels: Vec<Level>,
    path: Vec<u8>,
    root: Option<Met>,
    /// Why a directory that was just given could not be listed.
    unlisted: Option<(Vec<u8>, String)>,
}

impl Walk {
    /// Begins at a directory.
    ///
    /// # Errors
    /// It is none, or cannot be listed.
    pub(crate) fn begin(root: &Path) -> Result<Self, RestoreError> {
        let shown = || format!("directory {}", text::display(root.as_os_str().as_bytes()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(root, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR => RestoreError::refused(shown(), "it is not a directory; name one"),
            Errno::NOENT => RestoreError::refused(shown(), "it is not there; name one that is"),
            error => RestoreError::io(shown(), "open it", error),
        })?;
        let dir = Arc::new(dir);
        let names = names_in(dir.as_fd()).map_err(|error| RestoreError::io(shown(), "list it", error))?;
        let root = stat(&dir, c".", b".").map_err(|error| RestoreError::io(shown(), "look at it", error))?;
        let levels = vec![Level { dir, names: names.into_iter(), prefix: 0 }];
        Ok(Self { levels, path: Vec::new(), root: Some(root), unlisted: None })
    }

    /// The next entry in the order of manifests.
    pub(crate) fn next(&mut self) -> Option<Step> {
        if let Some((path, why)) = self.unlisted.take() {
            return Some(Step::Unread(path, why));
        }
        if let Some(root) = self.root.take() {
            return Some(Step::Met(Box::new(root)));
        }
        let (dir, name) = loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            self.path.truncate(level.prefix);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            break (Arc::clone(&level.dir), name);
        };
        let unread = |path: &[u8], why: String| Some(Step::Unread(path.to_vec(), why));
        if self.path.len() > PATH_LEN_MAX {
            return unread(&self.path, "its path is longer than 8 KiB".into());
        }
        let met = match stat(&dir, &name, &self.path) {
            Ok(met) => met,
            Err(error) => return unread(&self.path, format!("it cannot be looked at: {error}")),
        };
        if met.kind == EntryKind::Dir {
            let opened = open_quietly(dir.as_fd(), &name, OFlags::DIRECTORY)
                .and_then(|fd| names_in(fd.as_fd()).map(|names| (fd, names)));
            match opened {
                Ok((fd, names)) => {
                    let (dir, prefix) = (Arc::new(fd), self.path.len());
                    self.levels.push(Level { dir, names: names.into_iter(), prefix });
                }
                Err(error) => {
                    self.unlisted = Some((self.path.clone(), format!("it cannot be listed: {error}")));
                }
            }
        }
        Some(Step::Met(Box::new(met)))
    }
}

impl Met {
    /// Opens a regular file to read it.
    pub(crate) fn open(&self) -> Result<OwnedFd, Errno> {
        // Not blocking: a fifo may have taken its place.
        open_quietly(self.dir.as_fd(), &self.name, OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// What a symbolic link says.
    pub(crate) fn target(&self) -> Result<Vec<u8>, Errno> {
        readlinkat(&self.dir, &self.name, Vec::new()).map(CString::into_bytes)
    }

    /// Extended attributes, sorted by name. A file system that has none has none.
    pub(crate) fn xattrs(&self) -> std::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut path = format!("/proc/self/fd/{}/", self.dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(self.name.to_bytes());
        let path = OsStr::from_bytes(&path);
        let unsupported = |error: &std::io::Error| {
            let errno = error.raw_os_error().map(Errno::from_raw_os_error);
            matches!(errno, Some(Errno::OPNOTSUPP | Errno::NOSYS))
        };
        let names = match xattr::list(path) {
            Err(error) if unsupported(&error) => return Ok(Vec::new()),
            names => names?,
        };
        let mut found = Vec::new();
        for name in names {
            if let Some(value) = xattr::get(path, &name)? {
                found.push((name.as_bytes().to_vec(), value));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn stat(dir: &Arc<OwnedFd>, name: &CStr, path: &[u8]) -> Result<Met, Errno> {
    let stat = statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let kind = EntryKind::of_mode(u32::from(stat.stx_mode));
    let device = matches!(kind, EntryKind::Char | EntryKind::Block);
    Ok(Met {
        path: path.to_vec(),
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
        device: device.then_some((stat.stx_rdev_major, stat.stx_rdev_minor)),
        links: stat.stx_nlink,
        file: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
        block: u64::from(stat.stx_blksize),
        dir: Arc::clone(dir),
        name: name.to_owned(),
    })
}

/// Leaves access times alone where the kernel lets us.
fn open_quietly(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(dir, name, flags, Mode::empty()),
        outcome => outcome,
    }
}

/// The names in a directory, in the order of their bytes.
pub(crate) fn names_in(dir: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
