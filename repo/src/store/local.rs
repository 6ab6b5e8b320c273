//! A store in a directory: the default, and what every other store is measured against.
//!
//! Objects are files named as they are called. One is written below `.tmp`, synced, and then renamed without
//! replacing, so of several creators one wins and nobody sees half an object; then the directories are synced,
//! and only then is it confirmed. Everything staged waits for the barrier, which syncs each directory once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use crate::clock::{Clock, SystemClock};
use crate::ids::{Label, ObjectName};
use crate::units::{Bytes, Timestamp};

use disk::{Disk, DiskFile, Kind, OsDisk, TEMPORARY, ancestors, link_error, object_name, split};
use open::OpenFiles;
use temporary::{LocalUpload, Temporary};

pub(in crate::store) mod disk;
mod open;
mod temporary;
#[cfg(test)]
mod tests;

/// Staged files kept open until the barrier. They are open so that the sync sees every error of their
/// writeback; beyond this many each is synced at once instead. Half of a modest limit of 256 descriptors.
const STAGED_OPEN_MAX: usize = 128;

/// Temporary files untouched for longer belong to nobody alive: an upload takes minutes.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A store in a directory.
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    /// What waits for the barrier, by its name to be.
    staged: Mutex<BTreeMap<ObjectName, Temporary>>,
    /// Held through a barrier, so that one returns only after those that took its objects. Holds why one failed.
    barrier: Mutex<Option<String>>,
    /// Directories whose entries in their parents we have seen durable. Another process may have made one and
    /// died before its sync, so being there proves nothing.
    durable: Mutex<BTreeSet<String>>,
    open: OpenFiles,
}

impl LocalStore {
    /// Makes the directory (for its owner only) and opens a store in it. A directory that is there already
    /// must hold nothing that could be an object.
    ///
    /// # Errors
    /// The directory cannot be made, or is not empty.
    pub fn create_at(path: &Path) -> Result<Self, StoreError> {
        let could_be_object = |name: &OsStr| name.to_str().is_some_and(|text| text.parse::<Label>().is_ok());
        let disk =
            OsDisk::create_at(path, could_be_object).map_err(|error| opening("create", path, error))?;
        Ok(Self::over(Arc::new(disk)))
    }

    /// Opens the store in a directory. Nothing is written but the removal of what dead processes left, so a
    /// read-only medium serves as well.
    ///
    /// # Errors
    /// There is no such directory, or it may not be entered.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = OsDisk::open_at(path).map_err(|error| opening("open", path, error))?;
        let store = Self::over(Arc::new(disk));
        if let Err(error) = store.remove_stale() {
            tracing::debug!(%error, "cannot remove temporary files of dead processes");
        }
        Ok(store)
    }

    /// The store on a disk.
    pub(in crate::store) fn over(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            staged: Mutex::default(),
            barrier: Mutex::default(),
            durable: Mutex::default(),
            open: OpenFiles::default(),
        }
    }

    fn fail(&self, operation: &'static str, subject: &str, kind: StoreErrorKind) -> StoreError {
        StoreError { operation, subject: subject.to_owned(), location: self.disk.location(), kind }
    }

    /// An error of reading: where the system finds nothing, there is no object.
    fn unread(&self, operation: &'static str, name: &ObjectName, error: io::Error) -> StoreError {
        let kind = if is_absent(&error) { StoreErrorKind::Missing } else { StoreErrorKind::Io(error) };
        self.fail(operation, name.as_str(), kind)
    }

    fn unwritten(&self, operation: &'static str, name: &ObjectName) -> impl Fn(io::Error) -> StoreError {
        move |error| self.fail(operation, name.as_str(), StoreErrorKind::Io(error))
    }

    fn remove_stale(&self) -> Result<(), StoreError> {
        let failed = |error| self.fail("clean", TEMPORARY, StoreErrorKind::Io(error));
        let entries = match self.disk.entries(TEMPORARY) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result.map_err(failed)?,
        };
        if entries.is_empty() {
            return Ok(());
        }
        let now = self.now()?;
        for entry in entries {
            let Some(name) = entry.name.to_str() else { continue };
            if entry.meta.kind == Kind::File && now.since(entry.meta.modified) > TEMPORARY_AGE_MAX {
                match self.disk.remove(&format!("{TEMPORARY}/{name}")) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Gives a synced file its name, making directories where they are wanting; whether the name was free.
    fn place(&self, file: &mut Temporary, name: &ObjectName) -> io::Result<bool> {
        match file.rename_exclusively(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for directory in ancestors(name.as_str()).into_iter().rev() {
                    if self.disk.make_directory(directory)? {
                        lock(&self.durable).remove(directory);
                    }
                }
                file.rename_exclusively(name)
            }
            result => result,
        }
    }

    /// Makes the names of objects durable, and the directories on the way to them; each is synced once.
    fn confirm<'n>(&self, names: impl Iterator<Item = &'n ObjectName>) -> io::Result<()> {
        let mut to_sync = BTreeSet::new();
        let mut made_durable = BTreeSet::new();
        for name in names {
            to_sync.insert(split(name.as_str()).0);
            let durable = lock(&self.durable);
            for directory in ancestors(name.as_str()) {
                if !durable.contains(directory) {
                    to_sync.insert(split(directory).0);
                    made_durable.insert(directory);
                }
            }
        }
        for directory in to_sync {
            self.disk.sync_directory(directory)?;
        }
        lock(&self.durable).extend(made_durable.into_iter().map(str::to_owned));
        Ok(())
    }

    /// Keeps a whole file for the barrier, unless its name is taken.
    fn keep(&self, mut file: Temporary, name: &ObjectName) -> Result<(), StoreError> {
        let taken = || self.fail("stage", name.as_str(), StoreErrorKind::Exists);
        match self.disk.stat(name.as_str()) {
            Ok(_) => return Err(taken()),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(self.unwritten("stage", name)(error)),
        }
        if lock(&self.staged).len() >= STAGED_OPEN_MAX {
            file.sync().map_err(self.unwritten("stage", name))?;
        }
        let mut staged = lock(&self.staged);
        if staged.contains_key(name) {
            return Err(taken());
        }
        staged.insert(name.clone(), file);
        Ok(())
    }

    /// Confirms what was staged. What is not placed when an error ends this is removed.
    fn confirm_staged(&self, mut staged: BTreeMap<ObjectName, Temporary>) -> Result<(), StoreError> {
        for (name, file) in &mut staged {
            file.sync().map_err(self.unwritten("confirm", name))?;
        }
        for (name, file) in &mut staged {
            if !self.place(file, name).map_err(self.unwritten("confirm", name))? {
                return Err(self.fail("confirm", name.as_str(), StoreErrorKind::Exists));
            }
        }
        let failed = |error| self.fail("confirm", "what was staged", StoreErrorKind::Io(error));
        self.confirm(staged.keys()).map_err(failed)
    }

    /// Fills `into`, whose bytes exist, from an object.
    fn fill(&self, file: &dyn DiskFile, offset: Bytes, into: &mut [u8]) -> Result<(), StoreErrorKind> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.0.saturating_add(done as u64);
            match file.read_at(rest, at).map_err(StoreErrorKind::Io)? {
                0 => return Err(StoreErrorKind::Short { length: Bytes(at) }),
                read => done += read,
            }
        }
        Ok(())
    }

    /// Opens an object for reading, with its length.
    fn object(
        &self,
        operation: &'static str,
        name: &ObjectName,
    ) -> Result<(Box<dyn DiskFile>, Bytes), StoreError> {
        let unread = |error| self.unread(operation, name, error);
        let file = self.disk.open(name.as_str()).map_err(unread)?;
        let meta = file.meta().map_err(unread)?;
        match meta.kind {
            Kind::File => Ok((file, meta.length)),
            Kind::Directory => Err(self.fail(operation, name.as_str(), StoreErrorKind::Missing)),
            Kind::Link | Kind::Other => Err(self.fail(operation, name.as_str(), not_a_file())),
        }
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.disk.location()
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.barrier()?;
        let create = || {
            let mut file = Temporary::new(&self.disk)?;
            file.append(bytes)?;
            file.sync()?;
            let free = self.place(&mut file, name)?;
            // Losers sync as well: whoever was told that the object exists may rely on it.
            self.confirm(std::iter::once(name))?;
            Ok(if free { Created::New } else { Created::Exists })
        };
        create().map_err(self.unwritten("create", name))
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = Temporary::new(&self.disk).map_err(self.unwritten("stage", name))?;
        file.append(bytes).map_err(self.unwritten("stage", name))?;
        self.keep(file, name)
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        let failed = |error| self.fail("begin", "an upload", StoreErrorKind::Io(error));
        Ok(Box::new(LocalUpload::new(self, Temporary::new(&self.disk).map_err(failed)?)))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        let mut broken = lock(&self.barrier);
        if let Some(why) = broken.as_ref() {
            let message =
                format!("what was staged earlier may be lost, since this failed: {why}; open it again");
            return Err(self.fail("confirm", "what was staged", StoreErrorKind::Other(message)));
        }
        let staged = std::mem::take(&mut *lock(&self.staged));
        if staged.is_empty() {
            return Ok(());
        }
        // Failure stays: the kernel reports a lost write once, so a second sync would succeed over a hole; and
        // whoever staged what this barrier lost may be another thread, which must learn of it at its own.
        self.confirm_staged(staged).inspect_err(|error| *broken = Some(error.to_string()))
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let (file, length) = self.object("read", name)?;
        if length > limit {
            return Err(self.fail("read", name.as_str(), StoreErrorKind::TooLong { length, limit }));
        }
        let mut bytes = vec![0; length.as_usize()];
        let failed = |kind| self.fail("read", name.as_str(), kind);
        self.fill(&*file, Bytes::ZERO, &mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let (file, total) = self.open.get_or_open(name, || self.object("read", name))?;
        if offset.0.checked_add(length.0).is_none_or(|end| end > total.0) {
            return Err(self.fail("read", name.as_str(), StoreErrorKind::Short { length: total }));
        }
        let before = into.len();
        into.resize(before.saturating_add(length.as_usize()), 0);
        let added = into.get_mut(before..).unwrap_or_default();
        self.fill(&**file, offset, added).map_err(|kind| {
            into.truncate(before);
            self.fail("read", name.as_str(), kind)
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let failed = |error| self.fail("list", prefix, StoreErrorKind::Io(error));
        let start = place(prefix).map_err(|kind| self.fail("list", prefix, kind))?;
        let mut found = Vec::new();
        let mut directories = vec![start.to_owned()];
        while let Some(directory) = directories.pop() {
            let entries = match self.disk.entries(&directory) {
                // Nothing below that prefix, or it vanished since its parent was read.
                Err(error) if is_absent(&error) => continue,
                result => result.map_err(failed)?,
            };
            for entry in entries {
                let Some(name) = object_name(&directory, &entry.name) else { continue };
                match entry.meta.kind {
                    Kind::File => {
                        let (length, modified) = (entry.meta.length, entry.meta.modified);
                        found.push(Listed { name, length, modified });
                    }
                    Kind::Directory => directories.push(name.as_str().to_owned()),
                    // It may stand for a whole tree moved elsewhere: leaving it out would be a short list.
                    Kind::Link => return Err(failed(link_error(name.as_str()))),
                    Kind::Other => tracing::warn!(%name, "neither a file nor a directory; left out"),
                }
            }
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        let meta = match self.disk.stat(name.as_str()) {
            Err(error) if is_absent(&error) => return Ok(None),
            result => result.map_err(|error| self.unread("look up", name, error))?,
        };
        match meta.kind {
            Kind::File => {
                Ok(Some(Listed { name: name.clone(), length: meta.length, modified: meta.modified }))
            }
            Kind::Directory => Ok(None),
            Kind::Link | Kind::Other => Err(self.fail("look up", name.as_str(), not_a_file())),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        let failed = self.unwritten("delete", name);
        let was_there = match self.stat(name)? {
            None => false,
            Some(_) => match self.disk.remove(name.as_str()) {
                Err(error) if is_absent(&error) => false,
                result => result.map(|()| true).map_err(&failed)?,
            },
        };
        self.open.forget(name);
        // Synced even where nothing was there: who deleted it may have died before its own sync, and what is
        // erased must not come back with the power.
        match self.disk.sync_directory(split(name.as_str()).0) {
            Err(error) if !is_absent(&error) => Err(failed(error)),
            _ => Ok(was_there),
        }
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        // What the file system would date an object now: on a network share the server's clock.
        match Temporary::new(&self.disk).and_then(|file| file.modified()) {
            Ok(now) => Ok(now),
            // Nothing gets an age where nothing can be written.
            Err(error)
                if matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                Ok(SystemClock.now())
            }
            Err(error) => Err(self.fail("date", "a file", StoreErrorKind::Io(error))),
        }
    }
}

/// The directory a listing's prefix means: empty, or a name and a slash.
pub(in crate::store) fn place(prefix: &str) -> Result<&str, StoreErrorKind> {
    match prefix.strip_suffix('/') {
        None if prefix.is_empty() => Ok(prefix),
        Some(name) if name.parse::<ObjectName>().is_ok() => Ok(name),
        _ => Err(StoreErrorKind::Other("it is no prefix of objects' names".to_owned())),
    }
}

/// Whether there is nothing at the path; below a file nothing can be.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn not_a_file() -> StoreErrorKind {
    StoreErrorKind::Other("it is not a regular file".to_owned())
}

fn opening(operation: &'static str, path: &Path, error: io::Error) -> StoreError {
    let subject = "the store".to_owned();
    StoreError { operation, subject, location: path.display().to_string(), kind: StoreErrorKind::Io(error) }
}

/// Locks what no panic can leave half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
