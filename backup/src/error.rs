//! What ends a backup without a snapshot.

use lifeboat_repo::repository::RepositoryError;

use crate::limits::TooLittle;
use crate::program::ProgramError;

/// A backup that made no snapshot: at what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {kind}")]
pub struct BackupError {
    /// The thing concerned.
    pub what: String,
    /// Why.
    pub kind: BackupErrorKind,
}

/// Why a backup made no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupErrorKind {
    /// The repository failed or refused.
    #[error("{}", .0.kind)]
    Repository(#[source] Box<RepositoryError>),
    /// The source's command, or a hook that comes before, failed.
    #[error("{0}")]
    Program(#[source] Box<ProgramError>),
    /// It is given too little of the machine.
    #[error("{0}")]
    Limits(#[source] TooLittle),
    /// The source's root cannot be read at all.
    #[error("{0}")]
    Source(String),
    /// The state directory cannot be used.
    #[error("{0}")]
    State(String),
    /// Another backup of this component runs on this host.
    #[error("another backup of this component is under way on this host; let it finish, then run this again")]
    Busy,
    /// What was sealed did not open as what went in: memory or a processor is at fault.
    #[error("{0}; this machine damages data, check its memory before you rely on it")]
    Corrupted(String),
    /// Stopped by a person.
    #[error("stopped; what was stored so far is kept, and the next backup continues from it")]
    Interrupted,
}

impl BackupError {
    pub(crate) fn source(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), kind: BackupErrorKind::Source(why.to_string()) }
    }

    pub(crate) fn state(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), kind: BackupErrorKind::State(why.to_string()) }
    }
}

impl From<RepositoryError> for BackupError {
    fn from(error: RepositoryError) -> Self {
        Self { what: error.what.clone(), kind: BackupErrorKind::Repository(Box::new(error)) }
    }
}
