//! A repository as it would be with a fault in it. Reads go through, with the fault; nothing is ever written: whatever would
//! is refused here, so that no drill can harm the repository it rehearses with.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};

/// A fault in stored objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Objects that are gone.
    pub hidden: BTreeSet<ObjectName>,
    /// Objects of which one byte is another: at this place.
    pub altered: Vec<(ObjectName, Bytes)>,
}

/// A store seen with a fault in it.
pub struct Overlay {
    under: Arc<dyn Store>,
    fault: Fault,
}

impl Overlay {
    /// Lays a fault over a store.
    #[must_use]
    pub fn new(under: Arc<dyn Store>, fault: Fault) -> Self {
        Self { under, fault }
    }

    fn refused(&self, operation: &'static str, subject: &str) -> StoreError {
        let kind = StoreErrorKind::Denied("a drill writes nothing into a repository".into());
        StoreError { operation, subject: subject.to_owned(), location: self.location(), kind }
    }

    fn see(&self, operation: &'static str, name: &ObjectName) -> Result<(), StoreError> {
        if self.fault.hidden.contains(name) {
            let (subject, location) = (name.to_string(), self.location());
            return Err(StoreError { operation, subject, location, kind: StoreErrorKind::Missing });
        }
        Ok(())
    }

    /// Alters what was read of an object from `offset` on.
    fn alter(&self, name: &ObjectName, offset: Bytes, read: &mut [u8]) {
        for (_, at) in self.fault.altered.iter().filter(|(altered, _)| altered == name) {
            let inside = at.0.checked_sub(offset.0).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = inside.and_then(|at| read.get_mut(at)) {
                *byte ^= 1;
            }
        }
    }
}

impl Store for Overlay {
    fn location(&self) -> String {
        format!("{}, with a planted fault", self.under.location())
    }

    fn create(&self, name: &ObjectName, _bytes: &[u8]) -> Result<Created, StoreError> {
        Err(self.refused("create", name.as_str()))
    }

    fn stage(&self, name: &ObjectName, _bytes: &[u8]) -> Result<(), StoreError> {
        Err(self.refused("put", name.as_str()))
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        Err(self.refused("upload", "an object"))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.see("read", name)?;
        let mut bytes = self.under.read(name, limit)?;
        self.alter(name, Bytes::ZERO, &mut bytes);
        Ok(bytes)
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.see("read", name)?;
        let before = into.len();
        self.under.read_range(name, offset, length, into)?;
        if let Some(read) = into.get_mut(before..) {
            self.alter(name, offset, read);
        }
        Ok(())
    }

    fn expect(&self, name: &ObjectName, offset: Bytes, length: Bytes) {
        self.under.expect(name, offset, length);
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut all = self.under.list(prefix)?;
        all.retain(|one| !self.fault.hidden.contains(&one.name));
        Ok(all)
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        if self.fault.hidden.contains(name) { Ok(None) } else { self.under.stat(name) }
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        Err(self.refused("delete", name.as_str()))
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        self.under.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::store::local::LocalStore;

    #[test]
    fn faults_are_seen_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let under = Arc::new(LocalStore::create_at(&dir.path().join("store")).unwrap());
        let name = |text: &str| -> ObjectName { text.parse().unwrap() };
        for object in ["packs/a", "packs/b"] {
            assert_eq!(under.create(&name(object), b"0123456789").unwrap(), Created::New);
        }
        let fault = Fault { hidden: [name("packs/a")].into(), altered: vec![(name("packs/b"), Bytes(5))] };
        let over = Overlay::new(Arc::clone(&under) as Arc<dyn Store>, fault);
        assert!(over.read(&name("packs/a"), Bytes(100)).unwrap_err().is_missing());
        assert_eq!(over.stat(&name("packs/a")).unwrap(), None);
        assert_eq!(over.list("packs/").unwrap().len(), 1);
        assert_eq!(over.read(&name("packs/b"), Bytes(100)).unwrap(), b"0123446789");
        let part = |offset, length| {
            let mut into = b"x".to_vec();
            over.read_range(&name("packs/b"), Bytes(offset), Bytes(length), &mut into).unwrap();
            String::from_utf8(into).unwrap()
        };
        assert_eq!((part(0, 5), part(4, 3), part(6, 2)), ("x01234".into(), "x446".into(), "x67".into()));
        assert!(over.create(&name("packs/c"), b"").is_err() && over.stage(&name("packs/c"), b"").is_err());
        assert!(over.upload().is_err() && over.delete(&name("packs/b")).is_err());
        assert_eq!(
            under.list("").unwrap().iter().filter(|one| one.name.as_str().starts_with("packs/")).count(),
            2
        );
        assert_eq!(under.read(&name("packs/b"), Bytes(100)).unwrap(), b"0123456789");
    }
}
