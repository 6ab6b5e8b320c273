//! How long everything together takes to come back: the components that need one another, on a number of workers.
//!
//! Each component's recovery time is a projection of its own ([`Rto`]); [`schedule`](mod@crate::schedule) says who waits
//! for whom. The lower and upper end are schedules of all components at their lower and upper ends: wider than the truth
//! where components vary independently, and right where they vary together, as on a slow day of the store they do.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::objective::{Range, Rto, RtoObjective, RtoVerdict, verdict};
use crate::schedule::{Estate, EstateError, Part, Schedule, schedule, workers_for};
use crate::span;

mod chances;
mod growth;
#[cfg(test)]
mod tests;

pub use chances::{Chances, DRILLS_MIN, chances};
pub use growth::{Growth, SizeAt, growth};

/// A component of an estate.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: Label,
    /// Components that must be back first.
    pub needs: Vec<Label>,
    /// How long it takes, as measured last; nothing where nobody measured.
    pub rto: Option<Rto>,
    /// Into how many shards its restore may be divided.
    pub shards: NonZeroU32,
    /// How its size developed.
    pub sizes: Vec<SizeAt>,
}

/// What is asked of an estate.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// How many machines restore at a time.
    pub workers: NonZeroU32,
    /// What was promised for the whole.
    pub objective: RtoObjective,
    /// How long whole recoveries took, as drills measured.
    pub drills: &'q [Duration],
    /// The moment it is now.
    pub now: Timestamp,
}

/// How long everything takes to come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// The verdict, which is that of the upper end of the range.
    #[serde(flatten)]
    pub verdict: RtoVerdict,
    /// From the disruption until everything is back.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub projected: Duration,
    /// How far that can be off.
    pub range: Range,
    /// What was promised.
    pub objective: RtoObjective,
    /// Machines that restore at a time.
    pub workers: u32,
    /// The longest chain of components that need one another.
    pub critical: Vec<Label>,
    /// How long that takes whatever workers there are.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub critical_path: Duration,
    /// All work, one thing after the other.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub work: Duration,
    /// Each component in its place, in the order of their ends.
    pub parts: Vec<PartTime>,
    /// The fewest workers with whom the upper end keeps the target; nothing: no number of them, or it is not known.
    pub workers_needed: Option<u32>,
    /// Probabilities, from five drills on.
    pub chances: Option<Chances>,
    /// When growth breaks what was promised; nothing where it is not known.
    pub growth: Option<Growth>,
    /// Components of which too little is known.
    pub missing: Vec<Label>,
}

/// A component in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartTime {
    /// Its name.
    pub name: Label,
    /// When its recovery begins, from the disruption on.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub start: Duration,
    /// When it is back.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub end: Duration,
    /// When it is back if everything takes as long as it may.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub end_high: Duration,
    /// Whether less time of it would bring everything back sooner.
    pub critical: bool,
}

/// Which end of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Low,
    Middle,
    High,
}

/// Schedules an estate and judges it.
///
/// # Errors
/// Its components do not hold together.
pub fn project_estate(members: &[Member], question: &Question<'_>) -> Result<Projection, EstateError> {
    let at = |end| schedule(&estate(members, end, &|_| Scale::default()), question.workers);
    let [low, middle, high] = [at(End::Low)?, at(End::Middle)?, at(End::High)?];
    let insufficient = |rto: &Rto| matches!(rto.verdict, RtoVerdict::InsufficientEvidence(_));
    let missing: Vec<Label> = members
        .iter()
        .filter(|member| member.rto.as_ref().is_none_or(insufficient))
        .map(|member| member.name.clone())
        .collect();
    let reason = (!missing.is_empty() || members.is_empty()).then(|| {
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        match names.as_slice() {
            [] => "there is no component".to_owned(),
            names => format!("of {} nobody knows how long they take", names.join(", ")),
        }
    });
    let range = Range { low: low.makespan, high: high.makespan };
    let known = reason.is_none();
    let needed = if known {
        workers_for(&estate(members, End::High, &|_| Scale::default()), question.objective.target)?
    } else {
        None
    };
    Ok(Projection {
        verdict: verdict(reason, range.high, question.objective),
        projected: middle.makespan,
        range,
        objective: question.objective,
        workers: question.workers.get(),
        critical: middle.critical.clone(),
        critical_path: middle.critical_path,
        work: middle.work,
        parts: parts(&middle, &high),
        workers_needed: needed.map(|found| found.workers),
        chances: chances(question.drills, question.objective),
        growth: if known { growth(members, question)? } else { None },
        missing,
    })
}

fn parts(middle: &Schedule, high: &Schedule) -> Vec<PartTime> {
    let mut ends: BTreeMap<&Label, PartTime> = BTreeMap::new();
    for task in &middle.tasks {
        let critical = middle.critical.contains(&task.part);
        let new = PartTime {
            name: task.part.clone(),
            start: task.start,
            end: task.end,
            end_high: Duration::ZERO,
            critical,
        };
        let part = ends.entry(&task.part).or_insert(new);
        part.start = part.start.min(task.start);
        part.end = part.end.max(task.end);
    }
    for task in &high.tasks {
        if let Some(part) = ends.get_mut(&task.part) {
            part.end_high = part.end_high.max(task.end);
        }
    }
    let mut parts: Vec<PartTime> = ends.into_values().collect();
    parts.sort_by(|a, b| (a.end, &a.name).cmp(&(b.end, &b.name)));
    parts
}

/// How many times larger a component is than when it was measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    bytes: f64,
    files: f64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { bytes: 1.0, files: 1.0 }
    }
}

fn estate(members: &[Member], end: End, scale: &dyn Fn(&Member) -> Scale) -> Estate {
    let part = |member: &Member| {
        let times = member.rto.as_ref().map(|rto| stages(rto, end, scale(member))).unwrap_or_default();
        let [before, transfer, after] = times;
        let (name, needs) = (member.name.clone(), member.needs.clone());
        Part { name, needs, before, transfer, shards: member.shards, after, pool: None }
    };
    Estate { parts: members.iter().map(part).collect(), pools: BTreeMap::new() }
}

/// What comes before a component's transfer, the transfer, and what comes after it.
fn stages(rto: &Rto, end: End, scale: Scale) -> [Duration; 3] {
    let moves = |name: &str| ["bytes", "requests", "files", "transfer"].contains(&name);
    // What was measured has the range; what is assumed is taken as it is.
    let measured = |name: &str| moves(name) || name == "planning";
    let sum: f64 =
        rto.terms.iter().filter(|term| measured(&term.name)).map(|term| term.time.as_secs_f64()).sum();
    let total = match end {
        End::Low => rto.range.low,
        End::Middle => rto.projected,
        End::High => rto.range.high,
    };
    let off = total.as_secs_f64() - rto.projected.as_secs_f64();
    let factor = if sum > 0.0 { (sum + off) / sum } else { 1.0 };
    let mut stages = [0.0; 3];
    let [before, transfer, after] = &mut stages;
    for term in &rto.terms {
        let grown = match term.name.as_str() {
            "bytes" | "requests" => scale.bytes,
            "files" | "planning" => scale.files,
            "transfer" => scale.bytes.max(scale.files),
            _ => 1.0,
        };
        let time = term.time.as_secs_f64() * grown * if measured(&term.name) { factor } else { 1.0 };
        match term.name.as_str() {
            "setup" | "retrieval" | "planning" => *before += time,
            name if moves(name) => *transfer += time,
            _ => *after += time,
        }
    }
    stages.map(span::of_seconds)
}
