//! Tenants that are to be forgotten sooner than their component expires.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::reasons::span;
use super::{Candidate, Decision};
use crate::ids::{KeyId, ObjectName, RunId};
use crate::units::Timestamp;

/// What becomes of a tenant's key in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFate {
    /// The snapshot is no older than the tenant's data is kept.
    Kept,
    /// The snapshot is the newest of its component: what a tenant had in the last backup is in the source too, and a
    /// component whose backups fail must not lose its tenants one by one.
    Newest,
    /// The snapshot is younger than anything that may expire.
    Young,
    /// It expires.
    Expired,
}

/// A decision on one key in one snapshot that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDecision {
    /// The snapshot.
    pub snapshot: ObjectName,
    /// Its run.
    pub run: RunId,
    /// The key.
    pub key: KeyId,
    /// How long data of its tenant is kept.
    pub keep: Duration,
    /// What becomes of it.
    pub fate: KeyFate,
}

/// Decides on the keys of tenants with a rule of their own, in all snapshots but those that expire as a whole. It only
/// ever shortens: a snapshot that expires takes all keys with it, whatever a tenant's rule says.
#[must_use]
pub fn expire_keys(
    decisions: &[Decision],
    candidates: &[Candidate],
    keep: &BTreeMap<KeyId, Duration>,
    minimum_age: Duration,
    now: Timestamp,
) -> Vec<KeyDecision> {
    let held: BTreeMap<&ObjectName, &Candidate> = candidates.iter().map(|one| (&one.name, one)).collect();
    let mut found = Vec::new();
    for decision in decisions.iter().filter(|decision| !decision.expires()) {
        let Some(candidate) = held.get(&decision.name) else { continue };
        let age = now.since(decision.moment);
        let keys = candidate.keys.iter().filter_map(|key| Some((*key, *keep.get(key)?)));
        found.extend(keys.map(|(key, keep)| {
            let fate = if age <= keep {
                KeyFate::Kept
            } else if decision.is_newest() {
                KeyFate::Newest
            } else if age < minimum_age {
                KeyFate::Young
            } else {
                KeyFate::Expired
            };
            KeyDecision { snapshot: decision.name.clone(), run: decision.run, key, keep, fate }
        }));
    }
    found
}

impl fmt::Display for KeyDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keep = span(self.keep);
        match self.fate {
            KeyFate::Kept => write!(f, "kept: no older than the tenant's {keep}"),
            KeyFate::Newest => f.write_str("kept: the newest of its component, which is always kept whole"),
            KeyFate::Young => f.write_str("kept: younger than the minimum age"),
            KeyFate::Expired => write!(f, "expired: older than the tenant's {keep}"),
        }
    }
}
