//! Recovery objectives: whether a restore fits the time promised, and how much a disaster would lose.
//!
//! Recovery time is measured by real restores ([`rehearse`]) and extrapolated ([`project`]):
//!
//! ```text
//! T = setup + retrieval wait + planning + bytes/θ(streams) + requests/ρ(streams) + files/ω(streams)
//!     + replay + erasures + checks + cutover
//! ```
//!
//! Every term says whether it was measured, modelled or only assumed. What bytes, requests and files cost is told
//! apart from several trials ([`fit`]), which also give the range in which 90 of 100 restores should end; the verdict
//! is that of its upper end. Where too little was measured, or the range is too wide, the verdict is "insufficient
//! evidence", never a pass.

use std::fmt;
use std::time::Duration;

use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use crate::span;

mod costs;
mod drawing;
mod projecting;
mod rehearsal;
mod rpo;
pub(crate) mod scratch;
mod trials;

pub(crate) use costs::student;
pub use costs::{AtStreams, Costs, Fit, fit};
pub use drawing::{Least, TrialSize};
pub use projecting::project;
pub(crate) use projecting::verdict;
pub use rehearsal::{Rehearsal, Rehearsed, STREAMS, rehearse};
pub use rpo::{Rpo, RpoVerdict, rpo};
pub use trials::{Measurements, Monotonic, Stopwatch, Stratum, Trial, Work};

/// A sample restores at least this much: sixteen segments, so that every thread has its turn several times and
/// starting up is small beside the transfer.
pub const SAMPLE_BYTES_MIN: Bytes = Bytes::mib(64);

/// A sample restores at least so many files: making a file costs the same whatever its length, and a rate of files
/// from a handful of them is noise.
pub const SAMPLE_FILES_MIN: u64 = 1000;

/// A sample is extrapolated by at most this factor, so it is at least a twentieth of the whole. Beyond it, what one
/// restore in a hundred meets (a cache that fills up, a disk that throttles) decides the time, and the sample never
/// met it.
pub const FACTOR_MAX: f64 = 20.0;

/// At least so many trials: of fewer nobody can say how far they spread.
pub const TRIALS_MIN: u32 = 8;

/// How sure the range of a projection is: so many of 100 restores end within it.
pub const CONFIDENCE: f64 = 0.9;

/// A range whose upper end is more than so many times its lower one says nothing.
pub const RANGE_MAX: f64 = 3.0;

/// The times promised for a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtoObjective {
    /// What is aimed for.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub target: Duration,
    /// What must not be exceeded.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub limit: Duration,
}

impl Default for RtoObjective {
    /// What the operator promises in public: 24 to 48 hours.
    fn default() -> Self {
        Self { target: Duration::from_secs(24 * 3600), limit: Duration::from_secs(48 * 3600) }
    }
}

/// Times that no restore into scratch space can show. Where nothing is configured, 0 is assumed, and said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// Until a machine stands ready to restore to.
    pub setup: Option<Duration>,
    /// Until archived objects can be read.
    pub retrieval: Option<Retrieval>,
    /// Replaying logs of a database up to the disaster.
    pub replay: Option<Duration>,
    /// The application's own checks of what was restored.
    pub checks: Option<Duration>,
    /// From restored data to a service that people use.
    pub cutover: Option<Duration>,
}

/// How long objects of a storage class have to be waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieval {
    /// The class, as the store spells it.
    pub class: String,
    /// How long.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub wait: Duration,
    /// Who says so.
    pub source: String,
}

/// How well a number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// A clock ran while it happened.
    Measured,
    /// Computed from something measured.
    Modelled,
    /// Nobody measured it: configured, or 0.
    Assumed,
}

/// One term of a projected recovery time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// What takes the time.
    pub name: String,
    /// How long.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub time: Duration,
    /// How well that is known.
    pub basis: Basis,
    /// Where it comes from, in words.
    pub note: String,
}

/// Whether a recovery time objective is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum RtoVerdict {
    /// Within the target.
    Met,
    /// Within the limit, beyond the target.
    TargetMissed,
    /// Beyond the limit.
    LimitMissed,
    /// Too little was measured; the text says what is missing.
    InsufficientEvidence(String),
}

/// Between which times a restore ends in [`CONFIDENCE`] of all cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Rarely sooner.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub low: Duration,
    /// Rarely later.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub high: Duration,
}

/// A projected recovery time beside its objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rto {
    /// The verdict, which is that of the upper end of the range.
    #[serde(flatten)]
    pub verdict: RtoVerdict,
    /// The whole time projected.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub projected: Duration,
    /// How far that can be off.
    pub range: Range,
    /// With how many streams.
    pub streams: u32,
    /// What it consists of.
    pub terms: Vec<Term>,
    /// What was promised.
    pub objective: RtoObjective,
    /// The measurements it rests on.
    pub measurements: Measurements,
    /// What trials say of bytes, requests and files; nothing where there were too few, or the whole was restored.
    pub fit: Option<Fit>,
    /// How many times larger the whole component is than what was restored; 1 where it was restored whole.
    pub factor: f64,
    /// What to keep in mind when reading it.
    pub notes: Vec<String>,
}

impl RtoVerdict {
    /// Whether the objective is missed.
    #[must_use]
    pub const fn is_missed(&self) -> bool {
        matches!(self, Self::TargetMissed | Self::LimitMissed)
    }
}

impl fmt::Display for RtoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.pad("met"),
            Self::TargetMissed => f.pad("target missed"),
            Self::LimitMissed => f.pad("limit missed"),
            Self::InsufficientEvidence(reason) => write!(f, "insufficient evidence: {reason}"),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Measured => "measured",
            Self::Modelled => "modelled",
            Self::Assumed => "assumed",
        })
    }
}

#[cfg(test)]
mod tests;
