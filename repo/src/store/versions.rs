//! Versions of one name, in stores that keep them.
//!
//! Objects are created once, so there is one version of each. Whoever may put can still put a second one over it, or a
//! marker that hides it: nothing is lost by that where the first is locked, and nothing is found any more.

use crate::ids::ObjectName;
use crate::units::{Bytes, Timestamp};

/// A name with more than one version, or whose newest is a marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The name.
    pub name: ObjectName,
    /// What there is and was under it, oldest first; the last is what readers get.
    pub versions: Vec<Version>,
}

/// A version of an object, or a marker that hides those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// What the store calls it.
    pub id: VersionId,
    /// When it appeared, by the store's clock.
    pub modified: Timestamp,
    /// Its length; none of a marker.
    pub length: Option<Bytes>,
}

/// What a store calls a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub String);

impl Version {
    /// Whether it is a marker: for readers there is nothing.
    #[must_use]
    pub const fn is_marker(&self) -> bool {
        self.length.is_none()
    }
}
