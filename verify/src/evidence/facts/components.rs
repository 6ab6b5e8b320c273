//! What is known of each component: how long it takes, what would be lost, what was checked.

use lifeboat_repo::ids::{Label, ObjectHash, RunId, TenantToken};
use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use super::numbers::{Moment, Ratio, Seconds};
use super::{Met, Verdict};
use crate::objective::Basis;

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentFact {
    /// Its name.
    pub name: Label,
    /// Its region.
    pub region: Label,
    /// The snapshot that was restored or looked at.
    pub snapshot: Option<RunId>,
    /// Up to when that snapshot holds data.
    pub recovery_point: Option<Moment>,
    /// How much content it has.
    pub bytes: Bytes,
    /// How many regular files.
    pub files: u64,
    /// The components it needs.
    pub needs: Vec<Label>,
    /// How long recovery takes; nothing where it was not looked at.
    pub rto: Option<RtoFact>,
    /// What would be lost; nothing where it was not looked at.
    pub rpo: Option<RpoFact>,
    /// What was checked of it.
    pub checks: Vec<CheckFact>,
}

/// How long recovery of a component takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RtoFact {
    /// The time stated, from the start of its own recovery to its end.
    pub seconds: Seconds,
    /// What it consists of.
    pub terms: Vec<TermFact>,
    /// The lower end of the range that is stated.
    pub low: Option<Seconds>,
    /// The upper end of the range that is stated.
    pub high: Option<Seconds>,
    /// How many times larger the whole is than what was measured; 1 where the whole was restored.
    pub factor: Ratio,
    /// Whether its own objective is met.
    pub verdict: Verdict,
    /// Why, where the verdict alone does not say.
    pub note: Option<String>,
    /// What is aimed for.
    pub target: Seconds,
    /// What must not be exceeded.
    pub limit: Seconds,
    /// When its recovery begins, from the disruption on, in the schedule of the whole.
    pub start: Seconds,
    /// When it is back, from the disruption on, in the schedule of the whole.
    pub end: Seconds,
    /// Whether it lies on the critical path.
    pub critical: bool,
}

/// One term of a recovery time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermFact {
    /// What takes the time.
    pub name: String,
    /// How long.
    pub seconds: Seconds,
    /// How well that is known.
    pub basis: Basis,
    /// Where it comes from.
    pub note: String,
}

/// What a disaster would lose of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpoFact {
    /// At most the changes of so long are lost; nothing: unknown, and never zero.
    pub bound: Option<Seconds>,
    /// At least the changes of so long are lost, where that is known.
    pub low: Option<Seconds>,
    /// When the newest contiguous canary was written.
    pub newest_canary: Option<Moment>,
    /// Canaries that are missing below the newest: something was lost in the middle.
    pub holes: u64,
    /// Records lost, by tenant, where counters tell.
    pub lost: Vec<Lost>,
    /// The most loss that was promised.
    pub objective: Option<Seconds>,
    /// Whether that is kept.
    pub verdict: Met,
    /// Where the bound comes from, or why there is none.
    pub note: String,
}

/// Records of a tenant that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// The tenant's token.
    pub tenant_token: TenantToken,
    /// How many; nothing: unknown.
    pub records: Option<u64>,
}

/// A check of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckFact {
    /// Its level or name: `readback`, `restore`, `probe`.
    pub level: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, with its numbers.
    pub detail: String,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It found something wrong.
    Failed,
    /// It did not run; the text says why. Never a pass.
    NotRun(String),
}

impl Outcome {
    /// In words.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotRun(_) => "not run",
        }
    }
}

/// How long everything together would take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectionFact {
    /// The time stated, from the disruption until everything is back.
    pub seconds: Seconds,
    /// The lower end of its range.
    pub low: Option<Seconds>,
    /// The upper end of its range.
    pub high: Option<Seconds>,
    /// How sure the range is, from 0 to 1: 0.9.
    pub confidence: Option<Ratio>,
    /// What is aimed for.
    pub target: Seconds,
    /// What must not be exceeded.
    pub limit: Seconds,
    /// Whether that is met.
    pub verdict: Verdict,
    /// Why, where the verdict alone does not say.
    pub note: Option<String>,
    /// Components that decide the whole time, in their order.
    pub critical_path: Vec<Label>,
    /// Workers that restore at a time.
    pub workers: u32,
    /// Workers needed to keep the target; nothing: no number of them does, or it is not known.
    pub workers_needed: Option<u32>,
    /// Drills that its probabilities rest on.
    pub drills: u32,
    /// Half of all recoveries are quicker; from five drills on.
    pub p50: Option<Seconds>,
    /// 95 in 100 recoveries are quicker; from five drills on.
    pub p95: Option<Seconds>,
    /// The probability to keep the target, from 0 to 1; from five drills on.
    pub within_target: Option<Ratio>,
    /// The probability to keep the limit, from 0 to 1; from five drills on.
    pub within_limit: Option<Ratio>,
    /// When growth breaks the target, where growth is known.
    pub breaks_at: Option<Moment>,
}

/// Earlier evidence, as the trend shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PastDrill {
    /// Its id.
    pub id: Label,
    /// When it ended.
    pub ended: Moment,
    /// SHA-256 of its `evidence.json`.
    pub sha256: ObjectHash,
    /// From the disruption until everything was back; nothing where it never was.
    pub measured: Option<Seconds>,
    /// What had been projected for it.
    pub projected: Option<Seconds>,
    /// The largest loss of any component; nothing: unknown.
    pub loss: Option<Seconds>,
    /// How it ended.
    pub verdict: Verdict,
}
