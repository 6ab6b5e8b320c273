//! What stores have in common that stand before another one: whatever they do not do themselves, the other does. One that
//! forgot an operation would silently have the trait's own answer to it, that of a store without locks and versions.

/// Methods of [`crate::store::Store`] that go straight to another store, which lies in a field or is given by a method:
/// `forward_store!([inner]; list stat delete)`.
#[macro_export]
macro_rules! forward_store {
    ($inner:tt; $($method:ident)*) => { $( $crate::store::forward_store!(@ $method $inner); )* };
    (@ location [$($inner:tt)*]) => {
        fn location(&self) -> String {
            self.$($inner)*.location()
        }
    };
    (@ create [$($inner:tt)*]) => {
        fn create(
            &self,
            name: &$crate::ids::ObjectName,
            bytes: &[u8],
        ) -> Result<$crate::store::Created, $crate::store::StoreError> {
            self.$($inner)*.create(name, bytes)
        }
    };
    (@ create_as [$($inner:tt)*]) => {
        fn create_as(
            &self,
            name: &$crate::ids::ObjectName,
            bytes: &[u8],
            class: $crate::units::LockClass,
        ) -> Result<$crate::store::Created, $crate::store::StoreError> {
            self.$($inner)*.create_as(name, bytes, class)
        }
    };
    (@ stage [$($inner:tt)*]) => {
        fn stage(
            &self,
            name: &$crate::ids::ObjectName,
            bytes: &[u8],
        ) -> Result<(), $crate::store::StoreError> {
            self.$($inner)*.stage(name, bytes)
        }
    };
    (@ upload [$($inner:tt)*]) => {
        fn upload(&self) -> Result<Box<dyn $crate::store::Upload + '_>, $crate::store::StoreError> {
            self.$($inner)*.upload()
        }
    };
    (@ upload_as [$($inner:tt)*]) => {
        fn upload_as(
            &self,
            class: $crate::units::LockClass,
        ) -> Result<Box<dyn $crate::store::Upload + '_>, $crate::store::StoreError> {
            self.$($inner)*.upload_as(class)
        }
    };
    (@ barrier [$($inner:tt)*]) => {
        fn barrier(&self) -> Result<(), $crate::store::StoreError> {
            self.$($inner)*.barrier()
        }
    };
    (@ read [$($inner:tt)*]) => {
        fn read(
            &self,
            name: &$crate::ids::ObjectName,
            limit: $crate::units::Bytes,
        ) -> Result<Vec<u8>, $crate::store::StoreError> {
            self.$($inner)*.read(name, limit)
        }
    };
    (@ read_range [$($inner:tt)*]) => {
        fn read_range(
            &self,
            name: &$crate::ids::ObjectName,
            offset: $crate::units::Bytes,
            length: $crate::units::Bytes,
            into: &mut Vec<u8>,
        ) -> Result<(), $crate::store::StoreError> {
            self.$($inner)*.read_range(name, offset, length, into)
        }
    };
    (@ expect [$($inner:tt)*]) => {
        fn expect(
            &self,
            name: &$crate::ids::ObjectName,
            offset: $crate::units::Bytes,
            length: $crate::units::Bytes,
        ) {
            self.$($inner)*.expect(name, offset, length);
        }
    };
    (@ expect_whole [$($inner:tt)*]) => {
        fn expect_whole(&self, names: Vec<$crate::ids::ObjectName>) {
            self.$($inner)*.expect_whole(names);
        }
    };
    (@ list [$($inner:tt)*]) => {
        fn list(&self, prefix: &str) -> Result<Vec<$crate::store::Listed>, $crate::store::StoreError> {
            self.$($inner)*.list(prefix)
        }
    };
    (@ stat [$($inner:tt)*]) => {
        fn stat(
            &self,
            name: &$crate::ids::ObjectName,
        ) -> Result<Option<$crate::store::Listed>, $crate::store::StoreError> {
            self.$($inner)*.stat(name)
        }
    };
    (@ delete [$($inner:tt)*]) => {
        fn delete(&self, name: &$crate::ids::ObjectName) -> Result<bool, $crate::store::StoreError> {
            self.$($inner)*.delete(name)
        }
    };
    (@ now [$($inner:tt)*]) => {
        fn now(&self) -> Result<$crate::units::Timestamp, $crate::store::StoreError> {
            self.$($inner)*.now()
        }
    };
    (@ lock_terms [$($inner:tt)*]) => {
        fn lock_terms(&self, class: $crate::units::LockClass) -> Option<$crate::units::LockTerms> {
            self.$($inner)*.lock_terms(class)
        }
    };
    (@ locked_until [$($inner:tt)*]) => {
        fn locked_until(
            &self,
            name: &$crate::ids::ObjectName,
        ) -> Result<Option<$crate::units::Timestamp>, $crate::store::StoreError> {
            self.$($inner)*.locked_until(name)
        }
    };
    (@ lock [$($inner:tt)*]) => {
        fn lock(
            &self,
            name: &$crate::ids::ObjectName,
            until: $crate::units::Timestamp,
        ) -> Result<(), $crate::store::StoreError> {
            self.$($inner)*.lock(name, until)
        }
    };
    (@ versioned [$($inner:tt)*]) => {
        fn versioned(
            &self,
            prefix: &str,
        ) -> Result<Vec<$crate::store::versions::Versioned>, $crate::store::StoreError> {
            self.$($inner)*.versioned(prefix)
        }
    };
    (@ read_version [$($inner:tt)*]) => {
        fn read_version(
            &self,
            name: &$crate::ids::ObjectName,
            version: &$crate::store::versions::VersionId,
            limit: $crate::units::Bytes,
        ) -> Result<Vec<u8>, $crate::store::StoreError> {
            self.$($inner)*.read_version(name, version, limit)
        }
    };
    (@ reinstate [$($inner:tt)*]) => {
        fn reinstate(
            &self,
            name: &$crate::ids::ObjectName,
            version: &$crate::store::versions::VersionId,
            limit: $crate::units::Bytes,
        ) -> Result<(), $crate::store::StoreError> {
            self.$($inner)*.reinstate(name, version, limit)
        }
    };
    (@ probes [$($inner:tt)*]) => {
        fn probes(&self, scratch: &$crate::ids::ObjectName) -> Vec<$crate::store::contract::Check> {
            self.$($inner)*.probes(scratch)
        }
    };
}

pub use forward_store;
