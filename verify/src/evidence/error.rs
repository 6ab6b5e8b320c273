//! Why evidence could not be written or read. What is wrong with evidence that was read is no error but a
//! [`Problem`](super::Problem).

use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::StoreError;

/// Evidence that could not be written or read: what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {kind}")]
pub struct EvidenceError {
    /// The file, directory or object concerned.
    pub what: String,
    /// Why.
    pub kind: EvidenceErrorKind,
}

/// Why evidence could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceErrorKind {
    /// A file or directory could not be read, made or written.
    #[error("{0}")]
    File(#[source] std::io::Error),
    /// There is something of that name already, and evidence is never overwritten.
    #[error("it is there already, and evidence is never overwritten")]
    Exists,
    /// Somebody signed it already.
    #[error("it is signed already, and nobody's signature is replaced")]
    Signed,
    /// It is no evidence directory at all.
    #[error("{0}")]
    NotEvidence(String),
    /// The facts cannot be written down; the text says what is wrong with them.
    #[error("{0}")]
    Unfit(String),
    /// The store of the repository whose ledgers are to be extracted failed.
    #[error("{0}")]
    Store(#[source] StoreError),
    /// The repository whose ledgers are to be extracted failed.
    #[error("{0}")]
    Repository(RepositoryErrorKind),
}

impl EvidenceError {
    pub(super) fn file(what: impl Into<String>, error: std::io::Error) -> Self {
        Self { what: what.into(), kind: EvidenceErrorKind::File(error) }
    }

    pub(super) fn unfit(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), kind: EvidenceErrorKind::Unfit(why.to_string()) }
    }

    pub(super) fn not_evidence(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), kind: EvidenceErrorKind::NotEvidence(why.into()) }
    }
}

impl From<StoreError> for EvidenceError {
    fn from(error: StoreError) -> Self {
        Self { what: error.location.clone(), kind: EvidenceErrorKind::Store(error) }
    }
}

impl From<RepositoryError> for EvidenceError {
    fn from(error: RepositoryError) -> Self {
        Self { what: error.what, kind: EvidenceErrorKind::Repository(error.kind) }
    }
}
