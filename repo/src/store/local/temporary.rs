//! Files that are not objects yet.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, TEMPORARY};
use super::{LocalStore, StoreError, StoreErrorKind, Upload};
use crate::clock::{Entropy, SystemEntropy};
use crate::ids::ObjectName;
use crate::units::Timestamp;

/// An object whose name is not known yet.
pub(super) struct LocalUpload<'s> {
    store: &'s LocalStore,
    file: Temporary,
}

impl<'s> LocalUpload<'s> {
    pub(super) fn new(store: &'s LocalStore, file: Temporary) -> Self {
        Self { store, file }
    }
}

impl Upload for LocalUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let failed = |error| self.store.fail("write", "an upload", StoreErrorKind::Io(error));
        self.file.append(bytes).map_err(failed)
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        if self.file.state == Written::Torn {
            let message = "a write before failed".to_owned();
            return Err(self.store.fail("stage", name.as_str(), StoreErrorKind::Other(message)));
        }
        self.store.keep(self.file, name)
    }
}

/// A file below `.tmp`, removed when dropped unless it was placed.
pub(super) struct Temporary {
    disk: Arc<dyn Disk>,
    path: String,
    /// `None` once synced.
    file: Option<Box<dyn DiskFile>>,
    state: Written,
}

/// How far a temporary file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Every write so far succeeded.
    Whole,
    /// A write failed: it must never get a name.
    Torn,
    /// It has its name, and is no longer temporary.
    Placed,
}

impl Temporary {
    /// A new file, empty.
    pub(super) fn new(disk: &Arc<dyn Disk>) -> io::Result<Self> {
        let mut random = [0; 16];
        SystemEntropy.fill(&mut random).map_err(io::Error::other)?;
        let path = format!("{TEMPORARY}/{}", hex::encode(random));
        let file = match disk.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.make_directory(TEMPORARY)?;
                disk.create(&path)?
            }
            result => result?,
        };
        Ok(Self { disk: Arc::clone(disk), path, file: Some(file), state: Written::Whole })
    }

    /// Writes at the end; after a failure the file is lost.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().ok_or_else(closed)?.append(bytes).inspect_err(|_| self.state = Written::Torn)
    }

    /// Makes the content durable and closes the file; nothing where that was done before.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| file.sync())
    }

    /// Turns the file into an object if the name is free; whether it was.
    pub(super) fn rename_exclusively(&mut self, name: &ObjectName) -> io::Result<bool> {
        let free = self.disk.rename_exclusively(&self.path, name.as_str())?;
        if free {
            self.state = Written::Placed;
        }
        Ok(free)
    }

    /// The moment of the last write, by the file system's clock.
    pub(super) fn modified(&self) -> io::Result<Timestamp> {
        Ok(self.file.as_ref().ok_or_else(closed)?.meta()?.modified)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.state == Written::Placed {
            return;
        }
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::debug!(%error, path = self.path, "a temporary file stays");
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the file is closed already")
}
