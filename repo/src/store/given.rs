//! Objects that somebody has in hand already, as a store to read from: what a bundle holds, the first versions of what was
//! hidden. Nothing can be put there, and nothing deleted.

use std::collections::BTreeMap;

use super::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use crate::ids::ObjectName;
use crate::units::{Bytes, Timestamp};

const WHY: &str = "it can only be read";

/// A few objects in memory, which never change.
#[derive(Debug)]
pub struct Given {
    location: String,
    objects: BTreeMap<ObjectName, Vec<u8>>,
    /// When all of them appeared; also the time of this store's clock, which stands still.
    moment: Timestamp,
}

impl Given {
    /// Objects that were at a place, in words, at a moment.
    #[must_use]
    pub const fn new(location: String, objects: BTreeMap<ObjectName, Vec<u8>>, moment: Timestamp) -> Self {
        Self { location, objects, moment }
    }

    fn fail(&self, name: &ObjectName, kind: StoreErrorKind) -> StoreError {
        let (subject, location) = (name.to_string(), self.location());
        StoreError { operation: "read", subject, location, kind }
    }

    fn object(&self, name: &ObjectName) -> Result<&[u8], StoreError> {
        let found = self.objects.get(name).map(Vec::as_slice);
        found.ok_or_else(|| self.fail(name, StoreErrorKind::Missing))
    }

    fn listed(&self, name: &ObjectName, bytes: &[u8]) -> Listed {
        Listed { name: name.clone(), length: Bytes::of(bytes), modified: self.moment }
    }
}

impl Store for Given {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn create(&self, name: &ObjectName, _bytes: &[u8]) -> Result<Created, StoreError> {
        Err(self.unsupported("create", name, WHY))
    }

    fn stage(&self, name: &ObjectName, _bytes: &[u8]) -> Result<(), StoreError> {
        Err(self.unsupported("stage", name, WHY))
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        let kind = StoreErrorKind::Unsupported(WHY.into());
        Err(StoreError {
            operation: "begin",
            subject: "an object".to_owned(),
            location: self.location(),
            kind,
        })
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let bytes = self.object(name)?;
        let length = Bytes::of(bytes);
        if length > limit {
            return Err(self.fail(name, StoreErrorKind::TooLong { length, limit }));
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
        let short = || self.fail(name, StoreErrorKind::Short { length: Bytes::of(bytes) });
        into.extend_from_slice(range.ok_or_else(short)?);
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let below = self.objects.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        Ok(below.map(|(name, bytes)| self.listed(name, bytes)).collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        Ok(self.objects.get(name).map(|bytes| self.listed(name, bytes)))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        Err(self.unsupported("delete", name, WHY))
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.moment)
    }
}
