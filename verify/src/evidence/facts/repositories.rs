//! Which repositories were used, and how far they had got.

use lifeboat_repo::ids::{Label, ObjectHash, ObjectName, RunId};
use serde::{Deserialize, Serialize};

use super::Place;

/// One repository that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryFact {
    /// Its region, jurisdiction and id.
    pub place: Place,
    /// Which copy of it was read.
    pub role: Role,
    /// Whether it was shown to be the newest state.
    pub freshness: Freshness,
    /// The newest trust: who may sign what.
    pub trust: TrustFact,
    /// The last entry of every writer's ledger, by writer.
    pub heads: Vec<EntryFact>,
    /// The newest entry that carries a checkpoint; nothing where no run has ended yet.
    pub checkpoint: Option<EntryFact>,
}

/// Which copy of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The repository itself.
    Repository,
    /// Its replica.
    Replica,
}

impl Role {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Replica => "replica",
        }
    }
}

/// Whether what was read is known to be the newest that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Freshness {
    /// A witness in another account has seen this entry, and the repository has it.
    Witnessed {
        /// The entry: `ledger/fra-1/00000007`.
        entry: ObjectName,
        /// Its SHA-256.
        sha256: ObjectHash,
    },
    /// Nothing shows it; the text says why.
    NotProven(String),
}

/// A ledger entry. Its bytes lie beside the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryFact {
    /// The writer.
    pub writer: Label,
    /// The entry: `ledger/fra-1/00000007`.
    pub entry: ObjectName,
    /// SHA-256 of the entry as it is stored.
    pub sha256: ObjectHash,
    /// The run that wrote it: it is judged at the time in this id.
    pub run: RunId,
}

/// The newest trust. Its bytes lie beside the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFact {
    /// Its name: `trust/00000002`.
    pub entry: ObjectName,
    /// SHA-256 of it as it is stored.
    pub sha256: ObjectHash,
}
