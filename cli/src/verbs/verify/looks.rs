//! Evidence of a verification: every look as it tells it, which names neither tenants nor their files.

use std::collections::BTreeMap;

use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Timestamp;
use lifeboat_verify::evidence::facts::{Kind, LookFact, Moment, Ratio, SampleFact, Verdict};
use lifeboat_verify::evidence::{Looked, ObjectiveSaid, look, verified};
use lifeboat_verify::objective::{RpoVerdict, RtoVerdict};
use lifeboat_verify::{Outcome as Found, RestoredReport};
use serde_json::Value;

use super::levels::Report;
use super::objective::{Measured, Objective, rpo_words, rto_words};
use super::{Args, Checked, Level};
use crate::config::{Component, Region};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::Outcome;
use crate::verbs::evidence::made::Making;

/// From when to when.
type Span = (Timestamp, Timestamp);

/// Makes the place for evidence ready, if it is wanted.
pub(super) fn making(context: &Context, args: &Args) -> Result<Option<Making>> {
    let files = args.identities.files(context);
    let begin = |directory| Making::begin(context, Kind::Verification, directory, files);
    args.evidence.as_deref().map(begin).transpose()
}

/// Leaves evidence of all that was looked at.
pub(super) fn leave(
    context: &Context,
    making: Making,
    args: &Args,
    all: Vec<Checked>,
    outcome: &mut Outcome,
) {
    let mut regions: Vec<&str> = all.iter().map(|checked| checked.region.as_str()).collect();
    regions.dedup();
    let title = format!("Verification of {}: {}", crate::config::list(regions.iter()), args.level.word());
    let objectives: Vec<ObjectiveSaid> =
        all.iter().flat_map(|checked| &checked.objectives).filter_map(said).collect();
    let interrupted = outcome.exit == Exit::Interrupted;
    let looks = all.into_iter().flat_map(|checked| checked.looks).collect();
    let facts = |run| verified(run, looks, &objectives, interrupted);
    making.leave(context, title, operator(), facts, outcome);
}

/// Whoever runs this.
pub(crate) fn operator() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "nobody named".into())
}

/// A report of inventory, integrity or readback.
pub(super) fn of(
    region: &Region,
    level: Level,
    component: Option<&Label>,
    span: Span,
    report: &Report,
    args: &Args,
) -> LookFact {
    let sample = (level == Level::Readback).then(|| sample(&report.value, args)).flatten();
    look(Looked {
        detail: report.summary.clone(),
        counts: counts(&report.value),
        sample,
        findings: &report.findings,
        ..bare(region, level, component, span, report.outcome.clone())
    })
}

/// A component that was restored and compared.
pub(super) fn of_restored(
    region: &Region,
    component: &Component,
    span: Span,
    report: &RestoredReport,
    summary: &str,
) -> LookFact {
    look(Looked {
        snapshot: Some(report.run),
        detail: summary.to_owned(),
        counts: counts(&serde_json::to_value(report).unwrap_or_default()),
        findings: &report.findings,
        ..bare(region, Level::Restore, Some(&component.name), span, report.outcome.clone())
    })
}

/// What a restore that was timed brought back.
pub(super) fn of_objective(
    region: &Region,
    component: &Component,
    span: Span,
    found: &std::result::Result<Measured, Failure>,
) -> LookFact {
    let found = match found {
        Err(failure) => return failed(region, Level::Objective, Some(&component.name), span, failure),
        Ok(found) => found,
    };
    let restored = found.rto.measurements.restored();
    let what = if found.rto.measurements.whole { "all of it" } else { "a sample" };
    let outcome = match &found.restored {
        // The reason may quote names of files.
        Found::NotRun(_) => Found::NotRun("not all of it could be restored".into()),
        other => other.clone(),
    };
    let counts = [("bytes", restored.bytes.0), ("files", restored.files)];
    look(Looked {
        snapshot: found.rpo.run,
        detail: format!("restored {what}: {} in {} entries", restored.bytes, restored.files),
        counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        ..bare(region, Level::Objective, Some(&component.name), span, outcome)
    })
}

/// A look that could not be taken, or ended in an error. What the error says may quote names; its kind does not.
pub(super) fn failed(
    region: &Region,
    level: Level,
    component: Option<&Label>,
    span: Span,
    failure: &Failure,
) -> LookFact {
    let what = format!("{} ({})", failure.code.title(), failure.code);
    let outcome = if failure.exit == Exit::Damaged { Found::Failed } else { Found::NotRun(what.clone()) };
    look(Looked { detail: what, ..bare(region, level, component, span, outcome) })
}

fn bare<'l>(
    region: &'l Region,
    level: Level,
    component: Option<&'l Label>,
    (begun, ended): Span,
    outcome: Found,
) -> Looked<'l> {
    Looked {
        level: level.word(),
        region: &region.name,
        component,
        snapshot: None,
        begun: Moment::new(begun),
        ended: Moment::new(ended),
        outcome,
        detail: String::new(),
        counts: BTreeMap::new(),
        sample: None,
        findings: &[],
    }
}

/// What a report counted.
fn counts(report: &Value) -> BTreeMap<String, u64> {
    let numbers = report.as_object().into_iter().flatten();
    numbers.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect()
}

/// What a readback drew; nothing where it read everything.
fn sample(report: &Value, args: &Args) -> Option<SampleFact> {
    let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or_default();
    let seed = report.get("seed").and_then(Value::as_str)?.to_owned();
    let (population, drawn) = (number("population"), number("sample"));
    let bound = report.pointer("/bound/failure_rate_max").and_then(Value::as_f64);
    Some(SampleFact {
        of: "segments".into(),
        seed,
        checkpoint: None,
        nonce: args.nonce.clone(),
        population,
        drawn,
        coverage: Ratio::new(drawn as f64 / population.max(1) as f64),
        bound: bound.map(Ratio::new),
    })
}

/// What a restore that was timed says of objectives; where it failed, that is told as a look.
fn said(objective: &Objective) -> Option<ObjectiveSaid> {
    let found = objective.found.as_ref().ok()?;
    let time = match found.rto.verdict {
        RtoVerdict::Met => Verdict::Met,
        RtoVerdict::TargetMissed => Verdict::TargetMissed,
        RtoVerdict::LimitMissed => Verdict::LimitMissed,
        RtoVerdict::InsufficientEvidence(_) => Verdict::Insufficient,
    };
    let of_loss = |verdict: &RpoVerdict| match verdict {
        RpoVerdict::Met => Verdict::Met,
        RpoVerdict::Missed => Verdict::LimitMissed,
        RpoVerdict::InsufficientEvidence(_) => Verdict::Insufficient,
    };
    let by_heartbeats = found.loss.as_ref().map_or(Verdict::Met, |loss| of_loss(&loss.verdict));
    Some(ObjectiveSaid {
        component: objective.component.clone(),
        verdict: time.max(of_loss(&found.rpo.verdict)).max(by_heartbeats),
        detail: tame(&format!("time {}; loss {}", rto_words(&found.rto), rpo_words(&found.rpo))),
    })
}
