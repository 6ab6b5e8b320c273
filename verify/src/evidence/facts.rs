//! What a drill, a verification or an erasure found: the content of `evidence.json`.
//!
//! Everything shown of it (report, OSCAL, timeline) is a pure function of [`Facts`], so whoever has the facts can make
//! the rest again and compare. Moments are RFC 3339 in UTC to the millisecond, durations seconds to the millisecond. A
//! field that a reader does not know is an error: evidence that says more than is understood is not evidence that passed.
//!
//! Texts may hold whatever a program printed. Who shows them escapes them.

use lifeboat_repo::ids::{Label, ObjectHash, RepositoryId};
use serde::{Deserialize, Serialize};

mod components;
mod contradictions;
mod erased;
mod happened;
mod numbers;
mod repositories;
mod verified;

pub use components::{
    CheckFact, ComponentFact, Lost, Outcome, PastDrill, ProjectionFact, RpoFact, RtoFact, TermFact,
};
pub use erased::{DestroyedFact, ErasedKey, ErasureFact, ProofFact, SignedFact, TombstoneFact};
pub use happened::{
    AbsentFact, Approval, Exercise, How, Interruption, Mode, NotRun, Output, PlantedFact, SampleFact,
    StepFact, What,
};
pub use numbers::{BadMoment, Moment, Ratio, Seconds};
pub use repositories::{EntryFact, Freshness, RepositoryFact, Role, TrustFact};
pub use verified::{FindingFact, Gravity, LookFact, VerificationFact};

/// The version of this form.
pub const FORMAT: u32 = 1;

/// All that one evidence directory says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The version of this form: [`FORMAT`].
    pub format: u32,
    /// What was done.
    pub kind: Kind,
    /// Names this evidence and its directory: `2026-11-27t21-00-00z-region-loss`. Lower-case letters, digits, `.`, `_`, `-`.
    pub id: Label,
    /// What it is about, for people: `Loss of the region eu-fra`.
    pub title: String,
    /// The program that did and says it.
    pub tool: Tool,
    /// The runbook that was executed; nothing where none was.
    pub book: Option<Book>,
    /// SHA-256 of `lifeboat.toml` as it was used.
    pub configuration: ObjectHash,
    /// The repositories that were used, and how far each had got.
    pub repositories: Vec<RepositoryFact>,
    /// When, from which disruption on, and by whom.
    pub exercise: Exercise,
    /// Every step of the book in its order, those that were not executed too.
    pub steps: Vec<StepFact>,
    /// Every component that a drill was about.
    pub components: Vec<ComponentFact>,
    /// How long all of it together would take; nothing where it was not projected.
    pub projection: Option<ProjectionFact>,
    /// The tenants or chunks that were drawn to be looked at; nothing where everything was.
    pub sample: Option<SampleFact>,
    /// Faults planted to be caught.
    pub planted: Vec<PlantedFact>,
    /// Erased canaries that had to be absent.
    pub absent: Vec<AbsentFact>,
    /// The erasure that this is evidence of, for [`Kind::Erasure`].
    pub erasure: Option<ErasureFact>,
    /// What was looked at, for [`Kind::Verification`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationFact>,
    /// What ought to have been checked and was not. Never a pass.
    pub not_run: Vec<NotRun>,
    /// What the verdict rests on.
    pub assertions: Vec<Assertion>,
    /// The gravest of it all.
    pub verdict: Verdict,
    /// What this does not prove, in sentences.
    pub limits: Vec<String>,
    /// Earlier evidence of the same kind and book, oldest first, for the trend.
    pub history: Vec<PastDrill>,
}

/// What evidence speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A book was executed against a disposable target.
    Drill,
    /// Backups were verified.
    Verification,
    /// A tenant was erased.
    Erasure,
}

impl Kind {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drill => "drill",
            Self::Verification => "verification",
            Self::Erasure => "erasure",
        }
    }

    /// With its article: `a drill`.
    #[must_use]
    pub const fn one(self) -> &'static str {
        match self {
            Self::Drill => "a drill",
            Self::Verification => "a verification",
            Self::Erasure => "an erasure",
        }
    }
}

/// The program that made the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `lifeboat`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The commit it was built from, where the build knew it.
    pub commit: Option<String>,
}

/// A runbook, as it stood when it was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// Its name: `region-loss`.
    pub name: Label,
    /// Its title.
    pub title: String,
    /// SHA-256 of its text.
    pub sha256: ObjectHash,
    /// The recovery time it promises, as written (`24h`).
    pub rto: Option<String>,
    /// The most loss it allows, as written (`15m`).
    pub rpo: Option<String>,
    /// What success is, as written.
    pub success: Option<String>,
}

/// One condition that the verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// The condition: `every digest matches`, `canary gap <= 15m`.
    pub name: String,
    /// Whether it holds.
    pub met: Met,
    /// The numbers it was judged by, or what is missing.
    pub detail: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// It does.
    Met,
    /// It does not.
    Missed,
    /// There was too little to judge by.
    Insufficient,
}

impl Met {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Insufficient => "insufficient evidence",
        }
    }
}

/// How it ended, from the best to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Within the target, nothing lost beyond what was promised, every fault caught.
    Met,
    /// Within the limit, beyond the target.
    TargetMissed,
    /// Too little was measured to say.
    Insufficient,
    /// Beyond the limit, or more lost than was promised.
    LimitMissed,
    /// Something did not work, or a planted fault was not caught.
    Failed,
}

impl Verdict {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::TargetMissed => "target missed",
            Self::Insufficient => "insufficient evidence",
            Self::LimitMissed => "limit missed",
            Self::Failed => "failed",
        }
    }
}

/// The region a fact belongs to, with where its data may lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The region.
    pub region: Label,
    /// Its jurisdiction: `EU`.
    pub jurisdiction: String,
    /// Its repository.
    pub repository: RepositoryId,
}

#[cfg(test)]
mod tests;
