//! Where objects live. A store knows names and bytes, nothing of what they mean.
//!
//! Operations block. Concurrency is the caller's threads; a store that speaks to a network drives its own
//! runtime behind this trait. So the pipeline has no colour, the simulation of crashes counts operations one
//! by one, and the local store, which is the default, pays nothing for others.
//!
//! The contract, checked for every store by [`contract`]:
//! - An object is created whole, once, and never changed: nobody sees half of one.
//! - [`Store::create`] is exclusive: of several creators of one name exactly one wins, however they race.
//! - [`Store::stage`] and [`Store::upload`] defer: what they put is visible and durable once the
//!   [`Store::barrier`] that follows has returned; before that it may be either. `create` is itself a barrier.
//! - A listing is complete, or an error. It shows whatever was confirmed before it began.

use std::fmt;

pub use forward::forward_store;

use crate::ids::ObjectName;
use crate::store::versions::{VersionId, Versioned};
use crate::units::{Bytes, LockClass, LockTerms, Timestamp};

pub mod contract;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
mod forward;
pub mod given;
pub mod local;
#[cfg(any(test, feature = "testing"))]
pub mod lossy;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod private;
#[cfg(any(test, feature = "testing"))]
pub mod recorder;
pub mod s3;
pub mod throttled;
pub mod versions;
pub mod web;

/// A place that keeps objects.
pub trait Store: Send + Sync {
    /// The place in words, for messages: a path or a URL without credentials.
    fn location(&self) -> String;

    /// Creates an object that must not exist yet; confirms all that was staged first. Durable on return.
    ///
    /// # Errors
    /// The store failed; the object may or may not exist.
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError>;

    /// As [`Self::create`], of what is locked as this class, where the store has locks.
    ///
    /// # Errors
    /// As [`Self::create`].
    fn create_as(&self, name: &ObjectName, bytes: &[u8], _class: LockClass) -> Result<Created, StoreError> {
        self.create(name, bytes)
    }

    /// Puts an object whose name nobody else uses; confirmed by the next [`Self::barrier`].
    ///
    /// # Errors
    /// The store failed, or the name is taken ([`StoreErrorKind::Exists`]; this may also surface at the barrier).
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError>;

    /// Begins an object whose name is known only at its end; otherwise as [`Self::stage`].
    ///
    /// # Errors
    /// The store failed.
    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError>;

    /// As [`Self::upload`], of what is locked as this class, where the store has locks.
    ///
    /// # Errors
    /// The store failed.
    fn upload_as(&self, _class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.upload()
    }

    /// Returns once everything staged before is visible and durable.
    ///
    /// # Errors
    /// Something staged since the last barrier could not be confirmed.
    fn barrier(&self) -> Result<(), StoreError>;

    /// The whole object, if it is no longer than `limit`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Missing`], [`StoreErrorKind::TooLong`], or the store failed.
    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError>;

    /// Exactly `length` bytes from `offset`, appended to `into`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Missing`], [`StoreErrorKind::Short`] where the object ends early, or the store failed.
    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError>;

    /// Says that [`Self::read_range`] will soon ask for exactly this; a store that is far away sets out to read it. Only
    /// ever a hint: it may be forgotten, and changes nothing of what is read.
    fn expect(&self, _name: &ObjectName, _offset: Bytes, _length: Bytes) {}

    /// Says that [`Self::read`] will soon ask for these, in this order: a hint like [`Self::expect`], of objects that are
    /// there and mostly small. It replaces what was said so before; with none, what nobody came for is forgotten.
    fn expect_whole(&self, _names: Vec<ObjectName>) {}

    /// Every object whose name starts with `prefix` (empty, or ending in `/`), sorted by name.
    /// What is no object name (a stray file) is left out and told to `tracing`.
    ///
    /// # Errors
    /// The store failed. A listing that could not be finished is an error, never a short list.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// What a listing would say of one object, or `None` where there is none.
    ///
    /// # Errors
    /// The store failed.
    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError>;

    /// Deletes an object; whether there was one.
    ///
    /// # Errors
    /// The store failed or refused.
    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError>;

    /// The time by the store's own clock, the only one that ages of objects are measured on.
    ///
    /// # Errors
    /// The store failed.
    fn now(&self) -> Result<Timestamp, StoreError>;

    /// How long packs of a class are locked as they are put; `None` where they are not.
    fn lock_terms(&self, _class: LockClass) -> Option<LockTerms> {
        None
    }

    /// Until when nobody may delete an object; `None` where it is not locked, or the store has no locks.
    ///
    /// # Errors
    /// There is no such object, or the store failed or refused.
    fn locked_until(&self, _name: &ObjectName) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    /// Locks an object until a moment, or longer if it is locked longer already.
    ///
    /// # Errors
    /// The store has no locks ([`StoreErrorKind::Unsupported`]), there is no such object, or the store failed or refused.
    fn lock(&self, name: &ObjectName, _until: Timestamp) -> Result<(), StoreError> {
        Err(self.unsupported("lock", name, "this kind of store has no locks"))
    }

    /// The error of what a store does not do.
    fn unsupported(&self, operation: &'static str, name: &ObjectName, why: &str) -> StoreError {
        let (subject, location) = (name.to_string(), self.location());
        StoreError { operation, subject, location, kind: StoreErrorKind::Unsupported(why.into()) }
    }

    /// Names below a prefix (as of [`Self::list`]) that have more than one version, or are hidden by a marker. None in a
    /// store that keeps no versions.
    ///
    /// # Errors
    /// The store failed or refused.
    fn versioned(&self, _prefix: &str) -> Result<Vec<Versioned>, StoreError> {
        Ok(Vec::new())
    }

    /// The whole of one version of an object, if it is no longer than `limit`.
    ///
    /// # Errors
    /// There is no such version, it is too long, or the store failed, refused or keeps no versions.
    fn read_version(
        &self,
        name: &ObjectName,
        _version: &VersionId,
        _limit: Bytes,
    ) -> Result<Vec<u8>, StoreError> {
        Err(self.unsupported("read a version of", name, "this kind of store keeps no versions"))
    }

    /// Makes readers get a version (of at most `limit`) again: removes what lies over it, or, where that is locked, puts
    /// the same content on top.
    ///
    /// # Errors
    /// There is no such version, or the store failed, refused or keeps no versions.
    fn reinstate(&self, name: &ObjectName, _version: &VersionId, _limit: Bytes) -> Result<(), StoreError> {
        Err(self.unsupported("reinstate", name, "this kind of store keeps no versions"))
    }

    /// What this kind of store should keep besides the [`contract`] of all, tried below `scratch`.
    fn probes(&self, _scratch: &ObjectName) -> Vec<contract::Check> {
        Vec::new()
    }
}

/// An object being written before its name is known. Dropped unfinished, it leaves nothing behind.
pub trait Upload {
    /// Appends bytes.
    ///
    /// # Errors
    /// The store failed.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Ends the object and stages it under `name`.
    ///
    /// # Errors
    /// As [`Store::stage`].
    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError>;
}

/// Whether a creation won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// The object is there now, and it is ours.
    New,
    /// The name was taken; nothing changed.
    Exists,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// Its length.
    pub length: Bytes,
    /// When it appeared, by the store's clock.
    pub modified: Timestamp,
}

/// A store operation that failed: what, where, why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {subject} in {location}: {kind}")]
pub struct StoreError {
    /// The operation, as a verb.
    pub operation: &'static str,
    /// The object's name or the listing's prefix.
    pub subject: String,
    /// The store.
    pub location: String,
    /// What went wrong.
    pub kind: StoreErrorKind,
}

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// The name is taken.
    #[error("an object of that name exists already")]
    Exists,
    /// The object is longer than the reader allows.
    #[error("it is {length} long; at most {limit} is expected there")]
    TooLong {
        /// The object's length.
        length: Bytes,
        /// What the reader allows.
        limit: Bytes,
    },
    /// The object ends before the range does.
    #[error("it ends after {length}, inside the range asked for")]
    Short {
        /// The object's length.
        length: Bytes,
    },
    /// The system's own error.
    #[error("{0}")]
    Io(std::io::Error),
    /// We may not.
    #[error("the store refuses it: {0}")]
    Denied(Box<str>),
    /// A lock forbids it.
    #[error("it is locked: {0}")]
    Locked(Box<str>),
    /// The store does not do this.
    #[error("the store does not do this: {0}")]
    Unsupported(Box<str>),
    /// The store did not answer as it should, however often it was asked.
    #[error("the store cannot be reached, or fails: {0}")]
    Unreachable(Box<str>),
    /// Anything else the store said.
    #[error("{0}")]
    Other(String),
}

impl StoreError {
    /// Whether the object is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Missing)
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "created",
            Self::Exists => "exists",
        })
    }
}
