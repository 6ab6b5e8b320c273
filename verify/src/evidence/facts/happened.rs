//! What was done, step by step, and what was planted, drawn and left out.

use lifeboat_repo::ids::{Label, ObjectHash, TenantToken};
use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use super::numbers::{Moment, Ratio, Seconds};

/// When it happened, and by whom it was led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// The (simulated) disaster: the clock of recovery starts here.
    pub disruption: Moment,
    /// How that moment was chosen.
    pub how: How,
    /// When somebody began to act.
    pub begun: Moment,
    /// When it ended, as it should or not.
    pub ended: Moment,
    /// Times in between at which nothing ran, since the drill itself was cut off.
    pub interruptions: Vec<Interruption>,
    /// Who led it, as they called themselves.
    pub operator: String,
}

/// How the moment of a simulated disaster was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum How {
    /// Somebody named it.
    Given,
    /// It was drawn.
    Drawn {
        /// From this moment on.
        from: Moment,
        /// Up to this.
        to: Moment,
        /// With this seed.
        seed: String,
    },
}

/// A time at which nothing ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// The last sign of life before it.
    pub from: Moment,
    /// When it went on.
    pub to: Moment,
    /// Why, as far as it is known.
    pub note: String,
}

/// One step of a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepFact {
    /// Its name.
    pub name: String,
    /// The heading it stands under.
    pub heading: String,
    /// What recovery time it counts to (`transfer`); nothing where the book does not say.
    pub phase: Option<String>,
    /// Whether a machine or a person does it.
    pub mode: Mode,
    /// What became of it.
    pub what: What,
    /// When it began.
    pub started: Option<Moment>,
    /// When it ended.
    pub ended: Option<Moment>,
    /// How long it took, on a clock that nobody sets.
    pub seconds: Option<Seconds>,
    /// How long it may take: its timeout or plan.
    pub planned: Option<Seconds>,
    /// The exit status, where there was one.
    pub exit: Option<i32>,
    /// What it printed.
    pub output: Option<Output>,
    /// Who confirmed a manual step.
    pub approver: Option<Approval>,
    /// What else is to be said.
    pub note: Option<String>,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// SHA-256 of the script that ran.
    pub script_sha256: ObjectHash,
}

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The machine runs it.
    Run,
    /// A person does it.
    Manual,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Done, and well.
    Ran,
    /// Not done, only walked through, as the book says for drills.
    Simulated,
    /// Left out, as the book says for drills.
    Skipped,
    /// The drill ended before it.
    NotReached,
    /// It ended badly.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// The drill was cut off while it ran.
    Interrupted,
}

impl What {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Simulated => "simulated",
            Self::Skipped => "skipped",
            Self::NotReached => "not reached",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Who confirmed that a manual step was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who, as they called themselves.
    pub by: String,
    /// What they gave as proof: a ticket.
    pub reference: Option<String>,
    /// When.
    pub at: Moment,
}

/// What a step printed, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// SHA-256 of all of it, before anything was redacted.
    pub sha256: ObjectHash,
    /// How much it was.
    pub bytes: Bytes,
    /// How many lines were redacted in what was kept.
    pub redacted_lines: u64,
    /// Its last lines, redacted.
    pub tail: Vec<String>,
}

/// What was drawn to be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFact {
    /// Of what: `tenants`, `chunks`.
    pub of: String,
    /// The seed that drew it, in hex.
    pub seed: String,
    /// The checkpoint published earlier that the seed comes from.
    pub checkpoint: Option<String>,
    /// The auditor's nonce that the seed comes from.
    pub nonce: Option<String>,
    /// How many there are.
    pub population: u64,
    /// How many were drawn.
    pub drawn: u64,
    /// The share that was looked at, from 0 to 1.
    pub coverage: Ratio,
    /// The highest failure rate that a clean sample leaves room for, at 95 %; nothing where it was not clean.
    pub bound: Option<Ratio>,
}

/// A fault planted to be caught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantedFact {
    /// Its name: `corrupted-segment`.
    pub name: Label,
    /// What was done, in a sentence.
    pub what: String,
    /// Where: an object, a file.
    #[serde(rename = "where")]
    pub place: String,
    /// What must happen: an exit code, a verdict.
    pub expected: String,
    /// The step or check that caught it; nothing where none did.
    pub caught_by: Option<String>,
}

/// An erased canary that had to be absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsentFact {
    /// The tenant's token: it says nothing to who is not its writer or an officer.
    pub tenant_token: TenantToken,
    /// How it was looked for.
    pub looked_by: String,
    /// Whether it is absent.
    pub absent: bool,
}

/// A check that did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotRun {
    /// What was not checked.
    pub what: String,
    /// Why.
    pub reason: String,
}
