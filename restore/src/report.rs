//! What a restore has to say afterwards: findings, losses, totals.

use std::time::Duration;

use lifeboat_repo::format::text;
use lifeboat_repo::ids::{KeyId, Tenant};
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::units::Bytes;
use serde::{Serialize, Serializer};

use crate::changes::Changes;

/// Findings kept in full. Beyond them only totals grow: a restore without root may have one for every file.
pub const FINDINGS_MAX: usize = 1000;

/// Paths named in one loss.
pub const LOSS_PATHS_MAX: usize = 20;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Content is there; something about it is not as it was, such as its owner.
    Warning,
    /// Something asked for is not there. Makes the restore partial.
    Missing,
}

/// Something a person should know about one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The path, relative to the target.
    #[serde(serialize_with = "as_shown")]
    pub path: Vec<u8>,
    /// What is to be said of it.
    pub what: String,
    /// How much it matters.
    pub severity: Severity,
}

/// Why something was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// The tenant key is missing or does not open: its tenant may have been erased.
    Key,
    /// Stored bytes are missing or damaged.
    Damaged,
    /// The store failed; the bytes may be whole.
    Unchecked,
}

impl LossKind {
    /// Why bytes under a key that opens cannot be had.
    pub(crate) fn of(error: &RepositoryError) -> Self {
        match error.kind {
            RepositoryErrorKind::WrongKey(_) => Self::Damaged,
            _ if error.is_damage() => Self::Damaged,
            _ => Self::Unchecked,
        }
    }
}

/// Something of the snapshot that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The tenant key concerned.
    pub key: KeyId,
    /// Whose it is, where that is known.
    pub tenant: Option<Tenant>,
    /// Why, sorted.
    pub kind: LossKind,
    /// Why, in words.
    pub why: String,
    /// The first paths concerned; empty where the manifest itself is lost.
    #[serde(serialize_with = "all_as_shown")]
    pub paths: Vec<Vec<u8>>,
    /// How many paths are concerned, as far as is known.
    pub path_count: u64,
    /// Bytes of content concerned, as far as is known.
    pub bytes: Bytes,
}

/// How many findings there were of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FindingCounts {
    /// Of [`Severity::Note`].
    pub notes: u64,
    /// Of [`Severity::Warning`].
    pub warnings: u64,
    /// Of [`Severity::Missing`].
    pub missing: u64,
}

/// Whether a restore brought back everything asked for that the snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything.
    Complete,
    /// Something asked for is missing; findings and losses name it.
    Partial,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries restored.
    pub entries: u64,
    /// Regular files among them; further names of one file are not counted again.
    pub files: u64,
    /// Bytes of content written, holes left out.
    pub bytes: Bytes,
    /// Segments fetched.
    pub segments: u64,
    /// Stored bytes fetched.
    pub fetched: Bytes,
    /// How long it took, planning left out.
    pub duration: Duration,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many findings there were.
    pub finding_counts: FindingCounts,
    /// What could not be restored.
    pub losses: Vec<Loss>,
    /// What became of what was in the target, where it was not empty.
    pub changes: Option<Changes>,
}

impl Report {
    /// Whether everything asked for is there. Metadata that this machine or user could not set does not count.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.losses.is_empty() && self.finding_counts.missing == 0 {
            Status::Complete
        } else {
            Status::Partial
        }
    }
}

/// Findings as they come: the first ones in full, all of them counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    pub(crate) first: Vec<Finding>,
    pub(crate) counts: FindingCounts,
}

impl Findings {
    /// Takes one; its texts are made only if they are kept.
    pub(crate) fn add(&mut self, severity: Severity, make: impl FnOnce() -> (Vec<u8>, String)) {
        let count = match severity {
            Severity::Note => &mut self.counts.notes,
            Severity::Warning => &mut self.counts.warnings,
            Severity::Missing => &mut self.counts.missing,
        };
        *count += 1;
        if self.first.len() < FINDINGS_MAX {
            let (path, what) = make();
            self.first.push(Finding { path, what, severity });
        }
    }
}

impl Loss {
    pub(crate) fn new(key: KeyId, tenant: Option<Tenant>, kind: LossKind, why: impl Into<String>) -> Self {
        Self { key, tenant, kind, why: why.into(), paths: Vec::new(), path_count: 0, bytes: Bytes::ZERO }
    }

    /// Adds a path; only the first are named.
    pub(crate) fn add_path(&mut self, path: impl FnOnce() -> Vec<u8>) {
        self.path_count += 1;
        if self.paths.len() < LOSS_PATHS_MAX {
            self.paths.push(path());
        }
    }
}

fn as_shown<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text::display(path))
}

fn all_as_shown<S: Serializer>(paths: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| text::display(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_capped_and_counted() {
        let mut findings = Findings::default();
        for _ in 0..FINDINGS_MAX + 7 {
            findings.add(Severity::Warning, || (b"a".to_vec(), "w".into()));
        }
        assert_eq!(findings.first.len(), FINDINGS_MAX);
        assert_eq!(findings.counts.warnings, FINDINGS_MAX as u64 + 7);
    }
}
