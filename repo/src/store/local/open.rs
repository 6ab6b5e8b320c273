//! The last few objects read from, kept open: a restore reads thousands of segments out of each pack.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::disk::DiskFile;
use super::lock;
use crate::ids::ObjectName;
use crate::units::Bytes;

/// As many as readers work on at once.
const OPEN_MAX: usize = 16;
/// How long an open file may speak for its name. Another process may delete and repair an object, and the
/// space of a deleted one is held as long as it is open.
const OPEN_AGE_MAX: Duration = Duration::from_secs(10);

/// An open object and its length.
pub(super) type OpenFile = (Arc<Box<dyn DiskFile>>, Bytes);

/// Open objects, the most recently used last.
#[derive(Default)]
pub(super) struct OpenFiles {
    files: Mutex<VecDeque<Kept>>,
}

struct Kept {
    name: ObjectName,
    since: Instant,
    file: OpenFile,
}

impl OpenFiles {
    /// The object, opened anew where it is not at hand.
    pub(super) fn get_or_open<E>(
        &self,
        name: &ObjectName,
        open: impl FnOnce() -> Result<(Box<dyn DiskFile>, Bytes), E>,
    ) -> Result<OpenFile, E> {
        if let Some(file) = self.get(name) {
            return Ok(file);
        }
        // Opened without the lock: two readers may open the same object, which costs little.
        let (file, length) = open()?;
        let file = (Arc::new(file), length);
        let mut files = lock(&self.files);
        files.retain(|kept| kept.name != *name && kept.since.elapsed() < OPEN_AGE_MAX);
        if files.len() >= OPEN_MAX {
            files.pop_front();
        }
        files.push_back(Kept { name: name.clone(), since: Instant::now(), file: file.clone() });
        Ok(file)
    }

    /// Closes the object, as soon as who reads from it is done.
    pub(super) fn forget(&self, name: &ObjectName) {
        lock(&self.files).retain(|kept| kept.name != *name);
    }

    fn get(&self, name: &ObjectName) -> Option<OpenFile> {
        let mut files = lock(&self.files);
        let at = files.iter().position(|kept| kept.name == *name)?;
        let kept = files.remove(at).filter(|kept| kept.since.elapsed() < OPEN_AGE_MAX)?;
        let file = kept.file.clone();
        files.push_back(kept);
        Some(file)
    }
}
