//! Containment: whatever is opened below the target is opened relative to a directory handle, through no
//! symbolic link, and never upwards. So neither a manifest nor somebody who swaps a directory for a link
//! meanwhile can make a restore write elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_repo::format::text;
use rustix::fs::{Mode, OFlags, ResolveFlags, fgetxattr_query, fremovexattr, mkdir, open, openat, openat2};
use rustix::io::Errno;

use crate::error::RestoreError;
use crate::ids::ACL_DEFAULT;

/// What a new file system has at its root; a target may.
pub(super) const LOST_AND_FOUND: &[u8] = b"lost+found";

/// What new directories are until the end: their owner's alone.
pub(super) const PRIVATE_DIR: Mode = Mode::RWXU;
/// What new files are until they are whole.
pub(super) const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Flags of a handle that only other calls start from.
pub(super) const HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// The longest path that one call takes (`PATH_MAX`, less the NUL). What lies deeper is opened part by part.
const ONE_CALL_MAX: usize = 4095;

/// How often a lookup is tried again that a rename elsewhere disturbed (`openat2` then says EAGAIN).
const RACES_MAX: u32 = 128;

/// The target.
pub(super) struct Root {
    pub(super) fd: OwnedFd,
    path: PathBuf,
    /// Whether the kernel and whatever sandboxes us know `openat2` (Linux 5.6).
    whole_paths: AtomicBool,
}

impl Root {
    /// Opens the target; makes it where it is not there, and says whether it did.
    ///
    /// # Errors
    /// It is not a directory, or cannot be made or opened.
    pub(super) fn open(path: &Path) -> Result<(Self, bool), RestoreError> {
        let made = match mkdir(path, PRIVATE_DIR) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(Errno::NOENT) => {
                return Err(RestoreError::refused(
                    shown(path),
                    "the directory it would lie in is not there; make it",
                ));
            }
            Err(error) => return Err(RestoreError::io(shown(path), "make it", error)),
        };
        let root = Self::existing(path)?;
        let root = root.ok_or_else(|| RestoreError::io(shown(path), "open it", Errno::NOENT))?;
        Ok((root, made))
    }

    /// Opens the target; none where it is not there.
    ///
    /// # Errors
    /// It is not a directory, or cannot be opened.
    pub(super) fn existing(path: &Path) -> Result<Option<Self>, RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: path.to_owned(), whole_paths: AtomicBool::new(true) })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => {
                Err(RestoreError::refused(shown(path), "it is not a directory; name an empty or a new one"))
            }
            Err(error) => Err(RestoreError::io(shown(path), "open it", error)),
        }
    }

    /// The target, for messages.
    pub(super) fn shown(&self) -> String {
        shown(&self.path)
    }

    /// A handle on the directory at `path` below `base`, to start other calls from.
    pub(super) fn handle(&self, base: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_dir(base, path, HANDLE)
    }

    /// Opens the directory at `path` below `base`, through no link.
    pub(super) fn open_dir(
        &self,
        base: BorrowedFd<'_>,
        path: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.len() <= ONE_CALL_MAX && self.whole_paths.load(Ordering::Relaxed) {
            match open_whole(base, path, flags) {
                // A seccomp filter that does not know the call says EPERM.
                Err(Errno::NOSYS | Errno::PERM) => self.whole_paths.store(false, Ordering::Relaxed),
                outcome => return outcome,
            }
        }
        open_stepwise(base, path, flags)
    }

    /// As on a kernel without `openat2`.
    #[cfg(test)]
    pub(super) fn without_whole_paths(self) -> Self {
        self.whole_paths.store(false, Ordering::Relaxed);
        self
    }
}

fn open_whole(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut races = 0;
    loop {
        match openat2(base, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if races < RACES_MAX => races += 1,
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// Paths here have passed `check_path`: no part is empty, `.` or `..`.
fn open_stepwise(base: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let (above, last) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at), path.get(at + 1..).unwrap_or_default()),
        None => (None, path),
    };
    let mut held: Option<OwnedFd> = None;
    for part in above.into_iter().flat_map(|above| above.split(|byte| *byte == b'/')) {
        let from = held.as_ref().map_or(base, AsFd::as_fd);
        held = Some(openat(from, part, HANDLE | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?);
    }
    openat(held.as_ref().map_or(base, AsFd::as_fd), last, flags, Mode::empty())
}

fn shown(path: &Path) -> String {
    format!("target {}", text::display(path.as_os_str().as_encoded_bytes()))
}

/// Whether the target had a default ACL, which everything made in it would inherit.
pub(super) fn drop_default_acl(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    match fgetxattr_query(fd, ACL_DEFAULT) {
        Ok(0) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Ok(_) => fremovexattr(fd, ACL_DEFAULT).map(|()| true),
        Err(error) => Err(error),
    }
}
