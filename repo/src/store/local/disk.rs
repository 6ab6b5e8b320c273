//! What a local store asks of a file system, and the real one.
//!
//! A trait, so that tests can pull the plug: see `LossyDisk`. Paths are relative to the store's root, their
//! parts between slashes, empty for the root itself. No symbolic link below the root is ever followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self as sys, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps,
};
use rustix::io::Errno;

use crate::ids::ObjectName;
use crate::units::{Bytes, Timestamp};

/// Where files lie before they are objects: below the root, so that a rename reaches every name.
pub(in crate::store) const TEMPORARY: &str = ".tmp";
/// Nobody but the owner enters: names alone tell who is backed up.
const DIRECTORY_MODE: Mode = Mode::RWXU;
/// Objects never change, so nobody may write to them, the owner included.
const OBJECT_MODE: Mode = Mode::RUSR;

/// A file system, below one directory.
pub(in crate::store) trait Disk: Send + Sync {
    /// The root in words.
    fn location(&self) -> String;

    /// Creates an empty file, to be written once; an error where the path is taken.
    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens for reading. What is not a regular file opens too and says so in its [`Meta`], except a symbolic
    /// link, which is an error.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a directory; whether it is new.
    fn make_directory(&self, path: &str) -> io::Result<bool>;

    /// Makes a directory's entries durable, not what they lead to.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name if that is free, in one step; whether it was.
    fn rename_exclusively(&self, from: &str, to: &str) -> io::Result<bool>;

    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// What is at a path.
    fn stat(&self, path: &str) -> io::Result<Meta>;

    /// What a directory holds, in any order, without what vanished meanwhile.
    fn entries(&self, path: &str) -> io::Result<Vec<Entry>>;
}

/// An open file.
pub(in crate::store) trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content durable, and the file as old as this moment.
    fn sync(&self) -> io::Result<()>;

    /// What the file is now.
    fn meta(&self) -> io::Result<Meta>;

    /// Reads at `offset`; how many bytes, 0 only at the end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Meta {
    pub(in crate::store) kind: Kind,
    pub(in crate::store) length: Bytes,
    pub(in crate::store) modified: Timestamp,
}

/// The kinds of file a store tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// One entry of a directory.
#[derive(Debug)]
pub(in crate::store) struct Entry {
    pub(in crate::store) name: OsString,
    pub(in crate::store) meta: Meta,
}

/// The directory a path lies in, and its last part.
pub(in crate::store) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The directories above a path, the nearest first, without the root.
pub(in crate::store) fn ancestors(path: &str) -> Vec<&str> {
    let above = std::iter::successors(Some(split(path).0), |inner| Some(split(inner).0));
    above.take_while(|directory| !directory.is_empty()).collect()
}

/// The name of an entry, or `None` where it cannot have one.
pub(in crate::store) fn object_name(directory: &str, entry: &OsStr) -> Option<ObjectName> {
    if directory.is_empty() && entry == TEMPORARY {
        return None;
    }
    let slash = if directory.is_empty() { "" } else { "/" };
    let name = entry.to_str().and_then(|last| format!("{directory}{slash}{last}").parse().ok());
    if name.is_none() {
        tracing::warn!(directory, ?entry, "not an object's name; left out");
    }
    name
}

/// The error for a symbolic link where an object or directory should be. Not "missing": something hides there.
pub(in crate::store) fn link_error(path: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{path} is a symbolic link; a store holds none"))
}

/// The operating system's file system.
pub(in crate::store) struct OsDisk {
    path: PathBuf,
    root: OwnedFd,
}

impl OsDisk {
    /// Makes the directory, durably. One that is there must hold nothing that could be an object.
    pub(in crate::store) fn create_at(path: &Path, is_ours: impl Fn(&OsStr) -> bool) -> io::Result<Self> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        std::fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE.as_raw_mode()).create(path)?;
        let disk = Self::open_at(path)?;
        if disk.entries("")?.iter().any(|entry| is_ours(&entry.name)) {
            let message = "the directory is not empty";
            return Err(io::Error::new(ErrorKind::AlreadyExists, message));
        }
        // The root's own entry, even where it was there: who made it may not have lived to sync it.
        for made in std::iter::once(path).chain(missing) {
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            sync(&File::open(parent)?)?;
        }
        Ok(disk)
    }

    /// The directory at `path`, which may itself be reached through symbolic links.
    pub(in crate::store) fn open_at(path: &Path) -> io::Result<Self> {
        let root = sys::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// Opens a directory part by part: `O_NOFOLLOW` guards only a path's last part.
    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut here = sys::openat(&self.root, ".", flags, Mode::empty())?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            here = match sys::openat(&here, part, flags, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = sys::statat(&here, part, AtFlags::SYMLINK_NOFOLLOW)?;
                    return Err(match meta_of(&stat).kind {
                        Kind::Link => link_error(path),
                        _ => Errno::NOTDIR.into(),
                    });
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(here)
    }

    /// As [`Disk::rename_exclusively`] where the file system cannot: link, which is exclusive too, then unlink.
    fn link_exclusively(&self, from: &str, to: &str) -> io::Result<bool> {
        let ((from_parent, from_last), (to_parent, to_last)) = (split(from), split(to));
        let (from_directory, to_directory) = (self.directory(from_parent)?, self.directory(to_parent)?);
        match sys::linkat(&from_directory, from_last, &to_directory, to_last, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // A network file system may have linked, lost the answer, and tried again.
                let ours = sys::statat(&from_directory, from_last, AtFlags::SYMLINK_NOFOLLOW)?;
                let theirs = sys::statat(&to_directory, to_last, AtFlags::SYMLINK_NOFOLLOW)?;
                if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = sys::unlinkat(&from_directory, from_last, AtFlags::empty()) {
            tracing::debug!(%error, from, "a temporary name stays beside its object");
        }
        Ok(true)
    }
}

impl Disk for OsDisk {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let (parent, last) = split(path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Box::new(OsFile(File::from(sys::openat(self.directory(parent)?, last, flags, OBJECT_MODE)?))))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let (parent, last) = split(path);
        // Nonblocking, or a pipe of that name would wait for a writer for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match sys::openat(self.directory(parent)?, last, flags, Mode::empty()) {
            Ok(file) => Ok(Box::new(OsFile(File::from(file)))),
            Err(Errno::LOOP) => Err(link_error(path)),
            Err(error) => Err(error.into()),
        }
    }

    fn make_directory(&self, path: &str) -> io::Result<bool> {
        let (parent, last) = split(path);
        match sys::mkdirat(self.directory(parent)?, last, DIRECTORY_MODE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => self.directory(path).map(|_| false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        sync(self.directory(path)?)
    }

    fn rename_exclusively(&self, from: &str, to: &str) -> io::Result<bool> {
        let ((from_parent, from_last), (to_parent, to_last)) = (split(from), split(to));
        let (from_directory, to_directory) = (self.directory(from_parent)?, self.directory(to_parent)?);
        match sys::renameat_with(from_directory, from_last, to_directory, to_last, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // NFS and some FUSE file systems know no flags of rename; old kernels no renameat2.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_exclusively(from, to),
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (parent, last) = split(path);
        Ok(sys::unlinkat(self.directory(parent)?, last, AtFlags::empty())?)
    }

    fn stat(&self, path: &str) -> io::Result<Meta> {
        let (parent, last) = split(path);
        Ok(meta_of(&sys::statat(self.directory(parent)?, last, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        let directory = self.directory(path)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match sys::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let name = OsStr::from_bytes(name.to_bytes()).to_owned();
                    entries.push(Entry { name, meta: meta_of(&stat) });
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(entries)
    }
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // An object is as old as its name, not as its bytes, which may have waited long. By the file system's
        // own clock; where it refuses, the object merely looks older.
        let unchanged = Timespec { tv_sec: 0, tv_nsec: sys::UTIME_OMIT };
        let now = Timespec { tv_sec: 0, tv_nsec: sys::UTIME_NOW };
        let times = Timestamps { last_access: unchanged, last_modification: now };
        if let Err(error) = sys::futimens(&self.0, &times) {
            tracing::debug!(%error, "cannot set the time of an object");
        }
        self.0.sync_all()
    }

    fn meta(&self) -> io::Result<Meta> {
        Ok(meta_of(&sys::fstat(&self.0)?))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(into, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// Syncs a directory. `EINVAL` says that this file system has no such operation (CIFS, some FUSE): nothing
/// more can be done there, and PostgreSQL takes it so too.
fn sync(directory: impl AsFd) -> io::Result<()> {
    match sys::fsync(directory) {
        Err(Errno::INVAL) => {
            tracing::debug!("this file system cannot sync directories");
            Ok(())
        }
        result => Ok(result?),
    }
}

fn meta_of(stat: &Stat) -> Meta {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    Meta {
        kind,
        length: Bytes(u64::try_from(stat.st_size).unwrap_or(0)),
        modified: Timestamp::new(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_of_rename_is_exclusive_too() {
        let root = tempfile::tempdir().unwrap();
        let disk = OsDisk::open_at(root.path()).unwrap();
        for (name, content) in [("a", b"1"), ("b", b"2"), ("d", b"3")] {
            disk.create(name).unwrap().append(content).unwrap();
        }
        assert!(disk.link_exclusively("a", "c").unwrap());
        assert!(!disk.link_exclusively("b", "c").unwrap());
        assert_eq!(std::fs::read(root.path().join("c")).unwrap(), b"1");
        assert_eq!(disk.stat("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(disk.stat("b").is_ok());
        // Linked already, and the answer was lost: we are the winner.
        std::fs::hard_link(root.path().join("d"), root.path().join("e")).unwrap();
        assert!(disk.link_exclusively("d", "e").unwrap());
    }
}
