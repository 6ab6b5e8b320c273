//! Scratch space: a directory of our own, with enough room, that goes away whatever modes were restored in it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat_repo::units::Bytes;

use crate::error::{VerifyError, VerifyErrorKind};

/// A file takes whole blocks, and a directory some too; this much a file is kept free besides content.
const ROOM_PER_ENTRY: Bytes = Bytes::kib(4);

/// A private directory that is removed in the end.
pub(crate) struct Scratch {
    directory: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Makes a directory below `parent` that only its owner may enter: what is restored there is customers' data.
    pub(crate) fn below(parent: &Path) -> Result<Self, VerifyError> {
        let directory = tempfile::Builder::new()
            .prefix("lifeboat-rehearsal-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(|error| scratch_error(parent, error))?;
        Ok(Self { directory: Some(directory) })
    }

    /// Where to restore to; it is not there yet.
    pub(crate) fn target(&self) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.path().join("restored")).unwrap_or_default()
    }

    /// A name next to it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.path().join(name)).unwrap_or_default()
    }

    /// Removes everything.
    pub(crate) fn remove(mut self) -> Result<(), VerifyError> {
        self.directory.take().map_or(Ok(()), remove)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.directory.take().map(remove) {
            tracing::warn!(%error, "customers' data is left in scratch space; remove it by hand");
        }
    }
}

/// Refuses where the disk below `parent` has no room for this.
pub(crate) fn require_room(parent: &Path, bytes: Bytes, entries: u64) -> Result<(), VerifyError> {
    let found = rustix::fs::statvfs(parent).map_err(|error| scratch_error(parent, error.into()))?;
    let free = Bytes(found.f_bavail.saturating_mul(found.f_frsize));
    let wanted = bytes + Bytes(entries.saturating_mul(ROOM_PER_ENTRY.0));
    if wanted <= free {
        return Ok(());
    }
    // Nothing is known then; it is no refusal of what was asked for.
    let why = format!(
        "{wanted} of scratch space are needed and {free} are free; give another place, or restore a sample"
    );
    Err(scratch_error(parent, io::Error::new(io::ErrorKind::StorageFull, why)))
}

pub(crate) fn scratch_error(path: &Path, error: io::Error) -> VerifyError {
    VerifyError { what: path.display().to_string(), kind: VerifyErrorKind::Scratch(error) }
}

fn remove(directory: tempfile::TempDir) -> Result<(), VerifyError> {
    let path = directory.keep();
    if fs::remove_dir_all(&path).is_ok() {
        return Ok(());
    }
    // Restored directories may forbid their owner to look in.
    open_up(&path).and_then(|()| fs::remove_dir_all(&path)).map_err(|error| scratch_error(&path, error))
}

/// Lets the owner into every directory below one of ours. Symbolic links are not followed.
fn open_up(path: &Path) -> io::Result<()> {
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::below(parent.path()).unwrap();
        let inner = scratch.target().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("x"), b"x").unwrap();
        let mode = fs::metadata(scratch.target().parent().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(scratch.target(), fs::Permissions::from_mode(0o500)).unwrap();
        scratch.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_without_room_is_refused_before_anything_is_restored() {
        let parent = tempfile::tempdir().unwrap();
        assert!(require_room(parent.path(), Bytes::kib(1), 1).is_ok());
        assert!(require_room(parent.path(), Bytes(u64::MAX / 2), 1).is_err());
        assert!(require_room(&parent.path().join("none"), Bytes::ZERO, 0).is_err());
    }
}
