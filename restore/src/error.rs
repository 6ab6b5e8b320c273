//! What stops a restore, sorted by what a person must do next.

use std::fmt;

use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::units::Bytes;

/// A restore that could not be planned or had to stop: on what, why, and what was done by then.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {kind}{}", Done(.so_far))]
pub struct RestoreError {
    /// The object, path or thing concerned, fit for a terminal.
    pub what: String,
    /// Why.
    pub kind: RestoreErrorKind,
    /// What had been written when it stopped; `None` where nothing was.
    pub so_far: Option<SoFar>,
}

/// Why a restore could not be planned or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreErrorKind {
    /// Stored bytes are missing or are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The store failed: nothing is known about the data.
    #[error("{0}")]
    Unchecked(String),
    /// It is not there, or may not be done; the text says what to do.
    #[error("{0}")]
    Refused(String),
    /// The key at hand does not open it.
    #[error("{0}")]
    WrongKey(String),
    /// The machine refused to read or write: disk full, no permission.
    #[error("cannot {doing}: {error}")]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// What a restore had written when it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoFar {
    /// Entries finished.
    pub entries: u64,
    /// Entries planned.
    pub planned: u64,
    /// Bytes of content written.
    pub bytes: Bytes,
}

struct Done<'a>(&'a Option<SoFar>);

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(so_far) = self.0 else { return Ok(()) };
        write!(
            f,
            "; by then {} of {} entries with {} were restored, so the target is incomplete: do the same again to \
             finish it",
            so_far.entries, so_far.planned, so_far.bytes
        )
    }
}

impl RestoreError {
    pub(crate) fn new(what: impl Into<String>, kind: RestoreErrorKind) -> Self {
        Self { what: what.into(), kind, so_far: None }
    }

    pub(crate) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(what, RestoreErrorKind::Refused(why.into()))
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(what, RestoreErrorKind::Damaged(why.into()))
    }

    pub(crate) fn io(what: impl Into<String>, doing: &'static str, error: impl Into<std::io::Error>) -> Self {
        Self::new(what, RestoreErrorKind::Io { doing, error: error.into() })
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("restore", RestoreErrorKind::Cancelled)
    }
}

impl From<RepositoryError> for RestoreError {
    fn from(error: RepositoryError) -> Self {
        let text = error.kind.to_string();
        let kind = match error.kind {
            RepositoryErrorKind::Missing
            | RepositoryErrorKind::Damaged(_)
            | RepositoryErrorKind::Untrusted(_) => RestoreErrorKind::Damaged(text),
            RepositoryErrorKind::WrongKey(_) => RestoreErrorKind::WrongKey(text),
            RepositoryErrorKind::Refused(_) => RestoreErrorKind::Refused(text),
            _ => RestoreErrorKind::Unchecked(text),
        };
        Self::new(error.what, kind)
    }
}
