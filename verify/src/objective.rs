//! Recovery objectives: whether a restore fits the time promised, and how much a disaster would lose.
//!
//! Recovery time is measured by a real restore ([`rehearse`]) and extrapolated ([`project`]):
//!
//! ```text
//! T = setup + planning + transfer × factor + cutover
//! ```
//!
//! Every term says whether it was measured, modelled or only assumed. Waiting for archived objects, replay of
//! logs and of erasures are no terms yet: nothing stored so far needs them. Where a measurement is too small the
//! verdict is "insufficient evidence", never a pass.

use std::fmt;
use std::time::Duration;

use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use crate::span;

mod rehearsal;
mod rpo;
pub(crate) mod scratch;

pub use rehearsal::{Rehearsal, Rehearsed, TrialSize, rehearse};
pub use rpo::{Rpo, RpoVerdict, rpo};

/// A sample restores at least this much: sixteen segments, so that every thread has its turn several times and
/// starting up is small beside the transfer.
pub const SAMPLE_BYTES_MIN: Bytes = Bytes::mib(64);

/// A sample restores at least so many files: making a file costs the same whatever its length, and a rate of files
/// from a handful of them is noise.
pub const SAMPLE_FILES_MIN: u64 = 1000;

/// A sample is extrapolated by at most this factor. Beyond it, what one restore in a thousand meets (a cache that
/// fills up, a disk that throttles) decides the time, and the sample never met it.
pub const FACTOR_MAX: f64 = 1000.0;

/// The times promised for a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RtoObjective {
    /// What is aimed for.
    #[serde(serialize_with = "span::seconds")]
    pub target: Duration,
    /// What must not be exceeded.
    #[serde(serialize_with = "span::seconds")]
    pub limit: Duration,
}

impl Default for RtoObjective {
    /// What the operator promises in public: 24 to 48 hours.
    fn default() -> Self {
        Self { target: Duration::from_secs(24 * 3600), limit: Duration::from_secs(48 * 3600) }
    }
}

/// Times that no restore into scratch space can show. Where nothing is configured, 0 is assumed, and said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// Until a machine stands ready to restore to.
    pub setup: Option<Duration>,
    /// From restored data to a service that people use.
    pub cutover: Option<Duration>,
}

/// How much content there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Bytes of content.
    pub bytes: Bytes,
    /// Regular files.
    pub files: u64,
}

/// A restore that was done and timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// What was restored.
    pub restored: Size,
    /// What a restore of the whole component restores.
    pub full: Size,
    /// Whether the whole component was restored.
    pub whole: bool,
    /// Paths that could not be restored.
    pub lost: u64,
    /// Choosing a snapshot, reading index and manifests.
    #[serde(serialize_with = "span::seconds")]
    pub planning: Duration,
    /// Fetching, writing, and waiting for the disk.
    #[serde(serialize_with = "span::seconds")]
    pub transfer: Duration,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// What takes the time.
    pub name: &'static str,
    /// How long.
    #[serde(serialize_with = "span::seconds")]
    pub time: Duration,
    /// How well that is known.
    pub basis: Basis,
    /// Where it comes from, in words.
    pub note: String,
}

/// Whether a recovery time objective is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// A projected recovery time beside its objective.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rto {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: RtoVerdict,
    /// The whole time projected.
    #[serde(serialize_with = "span::seconds")]
    pub projected: Duration,
    /// What it consists of.
    pub terms: Vec<Term>,
    /// What was promised.
    pub objective: RtoObjective,
    /// The measurement it rests on.
    pub trial: Trial,
    /// Bytes of content a second; nothing where nothing was restored.
    pub bytes_per_second: Option<f64>,
    /// Files a second; nothing where nothing was restored.
    pub files_per_second: Option<f64>,
    /// How many times larger the whole component is than what was restored; 1 where it was restored whole.
    pub factor: f64,
    /// What to keep in mind when reading it.
    pub notes: Vec<String>,
}

/// Extrapolates a trial to the whole component and compares it with the objective.
///
/// One trial cannot tell what a byte costs from what a file costs. So the rates are stated separately, and the
/// transfer grows by whichever of bytes and files grows more.
#[must_use]
pub fn project(trial: &Trial, objective: RtoObjective, assumptions: Assumptions) -> Rto {
    let factor = factor(trial);
    let transfer = scale(trial.transfer, factor);
    let (basis, note) = if trial.whole {
        (Basis::Measured, "the whole component was restored".to_owned())
    } else {
        (
            Basis::Modelled,
            format!("a sample took {}, and the whole is {factor:.1} times that", span::show(trial.transfer)),
        )
    };
    let terms = vec![
        assumed("setup", assumptions.setup, "until a machine stands ready"),
        Term {
            name: "planning",
            time: trial.planning,
            basis: Basis::Measured,
            note: "snapshots, index and manifests were read".into(),
        },
        Term { name: "transfer", time: transfer, basis, note },
        assumed("cutover", assumptions.cutover, "until people use what was restored"),
    ];
    let projected = terms.iter().map(|term| term.time).fold(Duration::ZERO, Duration::saturating_add);
    let seconds = trial.transfer.as_secs_f64();
    let rate = |amount: u64| (amount > 0 && seconds > 0.0).then(|| amount as f64 / seconds);
    Rto {
        verdict: verdict(trial, factor, projected, objective),
        projected,
        terms,
        objective,
        trial: *trial,
        bytes_per_second: rate(trial.restored.bytes.0),
        files_per_second: rate(trial.restored.files),
        factor,
        notes: notes(trial),
    }
}

fn assumed(name: &'static str, configured: Option<Duration>, what: &str) -> Term {
    let source =
        if configured.is_some() { "as configured" } else { "0 assumed, since nothing is configured" };
    Term {
        name,
        time: configured.unwrap_or_default(),
        basis: Basis::Assumed,
        note: format!("{what}: {source}"),
    }
}

/// How many times larger the whole is; infinite where nothing of something was restored.
fn factor(trial: &Trial) -> f64 {
    if trial.whole {
        return 1.0;
    }
    let ratio = |full: u64, restored: u64| if full <= restored { 1.0 } else { full as f64 / restored as f64 };
    let bytes = ratio(trial.full.bytes.0, trial.restored.bytes.0);
    bytes.max(ratio(trial.full.files, trial.restored.files))
}

fn scale(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

fn verdict(trial: &Trial, factor: f64, projected: Duration, objective: RtoObjective) -> RtoVerdict {
    if let Some(reason) = insufficient(trial, factor) {
        RtoVerdict::InsufficientEvidence(reason)
    } else if projected <= objective.target {
        RtoVerdict::Met
    } else if projected <= objective.limit {
        RtoVerdict::TargetMissed
    } else {
        RtoVerdict::LimitMissed
    }
}

/// What is missing to judge by a trial, if anything is.
fn insufficient(trial: &Trial, factor: f64) -> Option<String> {
    if trial.lost > 0 {
        return Some(format!(
            "{} paths could not be restored; the time of a restore that failed proves nothing",
            trial.lost
        ));
    }
    if trial.restored == Size::default() {
        return Some("nothing was restored".into());
    }
    if trial.whole {
        return None;
    }
    let bytes_wanted = SAMPLE_BYTES_MIN.min(trial.full.bytes);
    let files_wanted = SAMPLE_FILES_MIN.min(trial.full.files);
    if trial.restored.bytes < bytes_wanted {
        return Some(format!(
            "{} were restored; at least {bytes_wanted} or the whole component tell something",
            trial.restored.bytes
        ));
    }
    if trial.restored.files < files_wanted {
        return Some(format!(
            "{} files were restored; at least {files_wanted} or the whole component tell something",
            trial.restored.files
        ));
    }
    (factor > FACTOR_MAX).then(|| {
        format!(
            "the whole is {factor:.0} times the sample; at most {FACTOR_MAX:.0} times can be extrapolated"
        )
    })
}

fn notes(trial: &Trial) -> Vec<String> {
    let mut notes = vec![
        "measured on this machine, to scratch space; elsewhere disk, network and processors differ"
            .to_owned(),
    ];
    let small = trial.restored.bytes < SAMPLE_BYTES_MIN || trial.restored.files < SAMPLE_FILES_MIN;
    if trial.whole && small {
        notes.push(
            "the whole component was restored, but it is small: its rates say little of larger ones".into(),
        );
    }
    if !trial.whole {
        notes.push(
            "the sample reads segments of which it uses a part, so a whole restore is rather faster".into(),
        );
    }
    notes
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
