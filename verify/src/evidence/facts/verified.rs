//! What a verification looked at, and what it found there.
//!
//! Of findings only what names nobody: stored objects, and how many snapshots and shares of tenants they hit. Names of
//! tenants and of their files are in what `lifeboat verify` prints, and never in evidence.

use std::collections::BTreeMap;

use lifeboat_repo::ids::{Label, RunId};
use serde::{Deserialize, Serialize};

use super::components::Outcome;
use super::happened::SampleFact;
use super::numbers::Moment;

/// All that a verification looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationFact {
    /// Every look, in its order.
    pub looks: Vec<LookFact>,
}

/// One look: a level at a repository, or at one component in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookFact {
    /// How deep: `inventory`, `integrity`, `readback`, `restore`, `objective`.
    pub level: String,
    /// The region whose repository, or replica, it was.
    pub region: Label,
    /// The component; nothing: all that the repository holds.
    pub component: Option<Label>,
    /// The snapshot, where it was one.
    pub snapshot: Option<RunId>,
    /// When it began.
    pub begun: Moment,
    /// When it ended.
    pub ended: Moment,
    /// How it ended.
    pub outcome: Outcome,
    /// What was looked at, in a sentence.
    pub detail: String,
    /// How much: numbers by the names that `lifeboat verify --json` gives them.
    pub counts: BTreeMap<String, u64>,
    /// What was drawn, where not everything was looked at.
    pub sample: Option<SampleFact>,
    /// What was found, the gravest first.
    pub found: Vec<FindingFact>,
    /// Findings besides these.
    pub untold: u64,
}

impl LookFact {
    /// What it was a look at, in words: `integrity of eu-fra`, `restore of chats in eu-fra`.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.component {
            None => format!("{} of {}", self.level, self.region),
            Some(component) => format!("{} of {component} in {}", self.level, self.region),
        }
    }

    /// So many findings, those that are not told one by one too.
    #[must_use]
    pub fn all_found(&self) -> u64 {
        self.untold.saturating_add(self.found.len() as u64)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingFact {
    /// How grave it is.
    pub gravity: Gravity,
    /// What it is about: a stored object, a segment.
    pub object: String,
    /// What is the matter with it.
    pub what: String,
    /// Snapshots that it hits, as far as it is known.
    pub snapshots: u64,
    /// Shares of tenants in them that it hits, as far as it is known.
    pub shares: u64,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// Stored data is not what was written, or is gone.
    Damage,
    /// Nothing is known of it.
    CouldNotCheck,
    /// Worth knowing; nothing is lost.
    Notice,
}

impl Gravity {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::CouldNotCheck => "could not be checked",
            Self::Notice => "note",
        }
    }
}
