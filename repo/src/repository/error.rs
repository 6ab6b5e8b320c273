//! What can go wrong with a repository, sorted by what a person must do next.

use crate::clock::NoEntropy;
use crate::format::FormatError;
use crate::ids::BadId;
use crate::store::{StoreError, StoreErrorKind};

/// An operation on a repository that failed: on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {kind}")]
pub struct RepositoryError {
    /// The object or thing concerned.
    pub what: String,
    /// Why.
    pub kind: RepositoryErrorKind,
}

/// Why an operation on a repository failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryErrorKind {
    /// The store failed: nothing is known about the data.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The object is not there.
    #[error("it is missing")]
    Missing,
    /// Stored bytes are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The signature is good, but nobody trusted made it.
    #[error("{0}")]
    Untrusted(String),
    /// The key at hand does not open it.
    #[error("{0}")]
    WrongKey(String),
    /// It is not there, or not ours to use; the text says what to do.
    #[error("{0}")]
    Refused(String),
    /// It was asked to stop.
    #[error("it was stopped; what was done by then stays, and nothing is lost")]
    Cancelled,
    /// Something of the machine failed: randomness, a library.
    #[error("{0}")]
    Machine(String),
}

impl RepositoryError {
    /// The store failed on `what`.
    pub(crate) fn store(what: &str, error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Missing => RepositoryErrorKind::Missing,
            StoreErrorKind::TooLong { .. } => RepositoryErrorKind::Damaged(error.kind.to_string()),
            _ => RepositoryErrorKind::Store(error),
        };
        Self { what: what.into(), kind }
    }

    #[cfg(feature = "recover")]
    /// As [`Self::store`], where an object that ends too early is damage.
    pub(crate) fn store_read(what: &str, error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Short { .. } | StoreErrorKind::TooLong { .. } => {
                Self::damaged(what, error.kind.to_string())
            }
            _ => Self::store(what, error),
        }
    }

    /// `what` is damaged.
    #[must_use]
    pub fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::Damaged(why.into()) }
    }

    /// `what` is refused; `why` says what to do.
    #[must_use]
    pub fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::Refused(why.into()) }
    }

    /// A key does not open `what`.
    #[must_use]
    pub fn wrong_key(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::WrongKey(why.into()) }
    }

    /// `what` was asked to stop.
    #[cfg(feature = "recover")]
    pub(crate) fn cancelled(what: impl Into<String>) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::Cancelled }
    }

    pub(crate) fn machine(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::Machine(why.to_string()) }
    }

    pub(crate) fn format(what: impl Into<String>, error: &FormatError) -> Self {
        Self { what: what.into(), kind: RepositoryErrorKind::Damaged(error.to_string()) }
    }

    /// Whether the object simply is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self.kind, RepositoryErrorKind::Missing)
    }

    /// Whether the data, rather than the way to it, is at fault.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(
            self.kind,
            RepositoryErrorKind::Missing
                | RepositoryErrorKind::Damaged(_)
                | RepositoryErrorKind::Untrusted(_)
        )
    }
}

impl From<BadId> for RepositoryError {
    fn from(error: BadId) -> Self {
        Self::damaged("a name", error.to_string())
    }
}

impl From<NoEntropy> for RepositoryError {
    fn from(error: NoEntropy) -> Self {
        Self::machine("randomness", error)
    }
}
