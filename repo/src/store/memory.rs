//! A store in memory, for tests.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::local::place;
use super::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use crate::clock::{Clock, SystemClock};
use crate::ids::ObjectName;
use crate::units::{Bytes, LockClass, Timestamp};

/// A store in memory. Cloning gives the same store; [`Self::fork`] another one.
#[derive(Clone)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
    clock: Arc<dyn Clock>,
}

type Objects = BTreeMap<ObjectName, Object>;

#[derive(Clone)]
struct Object {
    bytes: Arc<[u8]>,
    modified: Timestamp,
    class: LockClass,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store on the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store on a clock of its own.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { objects: Arc::default(), clock }
    }

    /// Another store that holds the same now, on the same clock.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { objects: Arc::new(Mutex::new(self.lock().clone())), clock: Arc::clone(&self.clock) }
    }

    /// Puts bytes in place of an object, or where none was: how tests damage a store. Its time stays.
    pub fn replace(&self, name: &ObjectName, bytes: &[u8]) {
        let now = self.clock.now();
        let mut objects = self.lock();
        let modified = objects.get(name).map_or(now, |object| object.modified);
        objects.insert(name.clone(), Object { bytes: bytes.into(), modified, class: LockClass::Normal });
    }

    /// Removes an object, if there is one.
    pub fn remove(&self, name: &ObjectName) {
        self.lock().remove(name);
    }

    /// Puts an object dated `modified` if its name is free; whether it was.
    pub(in crate::store) fn put(&self, name: &ObjectName, bytes: &[u8], modified: Timestamp) -> bool {
        self.put_as(name, bytes, modified, LockClass::Normal)
    }

    /// As which class an object was put.
    #[must_use]
    pub fn class_of(&self, name: &ObjectName) -> Option<LockClass> {
        self.lock().get(name).map(|object| object.class)
    }

    fn put_as(&self, name: &ObjectName, bytes: &[u8], modified: Timestamp, class: LockClass) -> bool {
        match self.lock().entry(name.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Object { bytes: bytes.into(), modified, class });
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, operation: &'static str, subject: &str, kind: StoreErrorKind) -> StoreError {
        StoreError { operation, subject: subject.to_owned(), location: self.location(), kind }
    }

    fn object(&self, name: &ObjectName) -> Result<Arc<[u8]>, StoreError> {
        let found = self.lock().get(name).map(|object| Arc::clone(&object.bytes));
        found.ok_or_else(|| self.fail("read", name.as_str(), StoreErrorKind::Missing))
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.create_as(name, bytes, LockClass::Normal)
    }

    fn create_as(&self, name: &ObjectName, bytes: &[u8], class: LockClass) -> Result<Created, StoreError> {
        let new = self.put_as(name, bytes, self.clock.now(), class);
        Ok(if new { Created::New } else { Created::Exists })
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        if self.put(name, bytes, self.clock.now()) {
            Ok(())
        } else {
            Err(self.fail("stage", name.as_str(), StoreErrorKind::Exists))
        }
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.upload_as(LockClass::Normal)
    }

    fn upload_as(&self, class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        Ok(Box::new(MemoryUpload { store: self, bytes: Vec::new(), class }))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let bytes = self.object(name)?;
        let length = Bytes::of(&bytes);
        if length > limit {
            return Err(self.fail("read", name.as_str(), StoreErrorKind::TooLong { length, limit }));
        }
        Ok(bytes.to_vec())
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let bytes = self.object(name)?;
        let start = offset.as_usize();
        let range = bytes.get(start..start.saturating_add(length.as_usize()));
        let short = || self.fail("read", name.as_str(), StoreErrorKind::Short { length: Bytes::of(&bytes) });
        into.extend_from_slice(range.ok_or_else(short)?);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        place(prefix).map_err(|kind| self.fail("list", prefix, kind))?;
        let objects = self.lock();
        let listed = objects.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        Ok(listed.map(|(name, object)| object.listed(name)).collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        Ok(self.lock().get(name).map(|object| object.listed(name)))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        Ok(self.lock().remove(name).is_some())
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }
}

impl Object {
    fn listed(&self, name: &ObjectName) -> Listed {
        Listed { name: name.clone(), length: Bytes::of(&self.bytes), modified: self.modified }
    }
}

struct MemoryUpload<'s> {
    store: &'s MemoryStore,
    bytes: Vec<u8>,
    class: LockClass,
}

impl Upload for MemoryUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        if self.store.put_as(name, &self.bytes, self.store.clock.now(), self.class) {
            Ok(())
        } else {
            Err(self.store.fail("stage", name.as_str(), StoreErrorKind::Exists))
        }
    }
}
