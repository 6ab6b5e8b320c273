//! Why a verification could not be done. What it found when it could is no error but a finding.

use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::StoreError;
use lifeboat_restore::RestoreErrorKind;

use crate::levels::Outcome;

/// A verification that could not be done: of what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {kind}")]
pub struct VerifyError {
    /// The object or thing concerned.
    pub what: String,
    /// Why.
    pub kind: VerifyErrorKind,
}

/// Why a verification could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// The repository, or the store below it, failed.
    #[error("{0}")]
    Repository(RepositoryErrorKind),
    /// The store failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// Whoever watches asked to stop.
    #[error("stopped before the end; nothing is known of the rest")]
    Cancelled,
    /// What was asked for makes no sense here; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// The timed restore failed.
    #[error("{0}")]
    Restore(RestoreErrorKind),
    /// The scratch space failed.
    #[error("{0}")]
    Scratch(#[source] std::io::Error),
}

impl VerifyError {
    pub(crate) fn cancelled(what: impl Into<String>) -> Self {
        Self { what: what.into(), kind: VerifyErrorKind::Cancelled }
    }

    pub(crate) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kind: VerifyErrorKind::Refused(why.into()) }
    }

    /// Whether it was stopped on request.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.kind, VerifyErrorKind::Cancelled)
    }

    /// What may be said of a level that ended like this: that it did not run.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome::NotRun(self.to_string())
    }
}

impl From<RepositoryError> for VerifyError {
    fn from(error: RepositoryError) -> Self {
        Self { what: error.what, kind: VerifyErrorKind::Repository(error.kind) }
    }
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self { what: error.location.clone(), kind: VerifyErrorKind::Store(error) }
    }
}
