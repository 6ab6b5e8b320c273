//! From measurements to a time, its range, and a verdict.

use std::time::Duration;

use lifeboat_repo::units::Bytes;

use super::costs::{Fit, fit};
use super::{
    Assumptions, Basis, FACTOR_MAX, Least, Measurements, RANGE_MAX, Range, Rto, RtoObjective, RtoVerdict,
    SAMPLE_BYTES_MIN, SAMPLE_FILES_MIN, TRIALS_MIN, Term, Work,
};
use crate::span;

/// No range is narrower than a tenth either way: machines and networks differ from day to day by that, whatever
/// trials of one hour say.
const RANGE_MIN: f64 = 1.1;

/// What was measured once, of the whole, is taken to differ by a quarter next time: its spread is not known.
const ONCE: f64 = 1.25;

/// The whole may have up to so many times more requests or files a byte than the trial that had most.
const MIX_MAX: f64 = 1.5;

/// Extrapolates measurements to the whole component and compares the result with the objective.
#[must_use]
pub fn project(
    measured: &Measurements,
    least: Least,
    objective: RtoObjective,
    assumptions: &Assumptions,
) -> Rto {
    let factor = factor(measured);
    let fit = if measured.whole { None } else { fit(&measured.trials) };
    let Transfer { terms: transfer, streams, off } = transfer(measured, fit.as_ref(), factor);
    let mut terms = before(measured, assumptions);
    terms.extend(transfer.iter().cloned());
    terms.extend(after(assumptions));
    let total =
        |terms: &[Term]| terms.iter().map(|term| term.time).fold(Duration::ZERO, Duration::saturating_add);
    let projected = total(&terms);
    // What is assumed is taken as it is; what was measured differs the next time.
    let spread = [(total(&transfer), off), (measured.planning, ONCE)];
    let fixed = projected.saturating_sub(total(&transfer)).saturating_sub(measured.planning);
    let end = |of: &dyn Fn(f64, f64) -> f64| {
        let moved = spread.iter().map(|(time, off)| of(time.as_secs_f64(), *off)).sum();
        fixed.saturating_add(span::of_seconds(moved))
    };
    let range = Range { low: end(&|time, off| time / off), high: end(&|time, off| time * off) };
    let missing = insufficient(measured, least, fit.as_ref(), factor, range);
    Rto {
        verdict: verdict(missing, range.high, objective),
        projected,
        range,
        streams,
        terms,
        objective,
        measurements: measured.clone(),
        fit,
        factor,
        notes: notes(measured),
    }
}

/// The part of the time that was measured by trials.
struct Transfer {
    terms: Vec<Term>,
    streams: u32,
    /// The time is between so many times less and so many times more.
    off: f64,
}

fn transfer(measured: &Measurements, fit: Option<&Fit>, factor: f64) -> Transfer {
    if let Some((at, costs, off)) = fit.and_then(Fit::best) {
        let names = ["bytes", "requests", "files"];
        let full = &measured.full;
        let amounts = [full.fetched.to_string(), full.requests.to_string(), full.files.to_string()];
        let terms = names.into_iter().zip(amounts).zip(costs.of(full)).map(|((name, amount), time)| Term {
            name: name.to_owned(),
            time,
            basis: Basis::Modelled,
            note: format!(
                "{amount} of the whole with {} streams, from {} trials; the whole is {factor:.1} times them",
                at.streams,
                measured.trials.len()
            ),
        });
        return Transfer { terms: terms.collect(), streams: at.streams, off: off.max(RANGE_MIN) };
    }
    let quickest = measured.trials.iter().min_by_key(|trial| trial.transfer);
    let took = quickest.map(|trial| trial.transfer).unwrap_or_default();
    let (time, basis, note) = if measured.whole {
        (took, Basis::Measured, "the whole component was restored".to_owned())
    } else {
        let all: Duration = measured.trials.iter().map(|trial| trial.transfer).sum();
        let note = format!("a sample took {}, and the whole is {factor:.1} times that", span::show(all));
        (span::of_seconds(all.as_secs_f64() * factor), Basis::Modelled, note)
    };
    let terms = vec![Term { name: "transfer".into(), time, basis, note }];
    Transfer { terms, streams: quickest.map_or(0, |trial| trial.streams), off: ONCE }
}

fn before(measured: &Measurements, assumptions: &Assumptions) -> Vec<Term> {
    let retrieval = match &assumptions.retrieval {
        None => Term {
            name: "retrieval".into(),
            time: Duration::ZERO,
            basis: Basis::Assumed,
            note: "no storage class is configured, so objects are taken to be there at once".into(),
        },
        Some(retrieval) => Term {
            name: "retrieval".into(),
            time: retrieval.wait,
            basis: Basis::Assumed,
            note: format!("storage class {}: {}", retrieval.class, retrieval.source),
        },
    };
    let planning = Term {
        name: "planning".into(),
        time: measured.planning,
        basis: Basis::Measured,
        note: "snapshots, index and manifests of the whole were read".into(),
    };
    vec![assumed("setup", assumptions.setup, "until a machine stands ready"), retrieval, planning]
}

fn after(assumptions: &Assumptions) -> Vec<Term> {
    let erasures = Term {
        name: "erasures".into(),
        time: Duration::ZERO,
        basis: Basis::Modelled,
        note: "what tenant keys covered cannot be opened any more, so nothing is replayed".into(),
    };
    vec![
        assumed("replay", assumptions.replay, "logs up to the disaster"),
        erasures,
        assumed("checks", assumptions.checks, "the application's own checks"),
        assumed("cutover", assumptions.cutover, "until people use what was restored"),
    ]
}

fn assumed(name: &str, configured: Option<Duration>, what: &str) -> Term {
    let source =
        if configured.is_some() { "as configured" } else { "0 assumed, since nothing is configured" };
    Term {
        name: name.into(),
        time: configured.unwrap_or_default(),
        basis: Basis::Assumed,
        note: format!("{what}: {source}"),
    }
}

/// How many times larger the whole is; infinite where nothing of something was restored.
fn factor(measured: &Measurements) -> f64 {
    if measured.whole {
        return 1.0;
    }
    let (full, restored) = (measured.full, measured.restored());
    let ratio = |full: u64, restored: u64| if full <= restored { 1.0 } else { full as f64 / restored as f64 };
    let bytes = ratio(full.fetched.0, restored.fetched.0).max(ratio(full.bytes.0, restored.bytes.0));
    bytes.max(ratio(full.files, restored.files)).max(ratio(full.requests, restored.requests))
}

/// What a recovery time comes to beside what was promised; with something missing it is no verdict.
#[must_use]
pub(crate) fn verdict(missing: Option<String>, time: Duration, objective: RtoObjective) -> RtoVerdict {
    if let Some(reason) = missing {
        RtoVerdict::InsufficientEvidence(reason)
    } else if time <= objective.target {
        RtoVerdict::Met
    } else if time <= objective.limit {
        RtoVerdict::TargetMissed
    } else {
        RtoVerdict::LimitMissed
    }
}

/// What is missing to judge by measurements, if anything is.
fn insufficient(
    measured: &Measurements,
    least: Least,
    fit: Option<&Fit>,
    factor: f64,
    range: Range,
) -> Option<String> {
    let lost: u64 = measured.trials.iter().map(|trial| trial.lost).sum();
    let restored = measured.restored();
    if lost > 0 {
        return Some(format!(
            "{lost} paths could not be restored; the time of a restore that failed proves nothing"
        ));
    }
    if restored.bytes == Bytes::ZERO && restored.files == 0 {
        return Some("nothing was restored".into());
    }
    if measured.whole {
        return None;
    }
    if restored.bytes < least.bytes.min(measured.full.bytes) {
        return Some(format!(
            "{} were restored; at least {} or the whole component tell something",
            restored.bytes, least.bytes
        ));
    }
    if restored.files < least.files.min(measured.full.files) {
        return Some(format!(
            "{} files were restored; at least {} or the whole component tell something",
            restored.files, least.files
        ));
    }
    if factor > FACTOR_MAX {
        return Some(format!(
            "the whole is {factor:.0} times the sample; at most {FACTOR_MAX:.0} times can be extrapolated, so restore a \
             larger sample"
        ));
    }
    let Some(fit) = fit.filter(|fit| fit.trials >= TRIALS_MIN) else {
        return Some(format!(
            "{} trials could be made of the sample; of fewer than {TRIALS_MIN} nobody can say how far they spread",
            measured.trials.len()
        ));
    };
    if let Some(what) = unlike(measured) {
        return Some(what);
    }
    let wide = range.high.as_secs_f64() / range.low.as_secs_f64().max(f64::MIN_POSITIVE);
    (wide > RANGE_MAX).then(|| {
        format!(
            "{} trials differ so much that the time is between {} and {}; a range of more than {RANGE_MAX:.0} times says \
             nothing",
            fit.trials,
            span::show(range.low),
            span::show(range.high)
        )
    })
}

/// What the whole has more of than any trial had, if it is much: its cost is not told by them.
fn unlike(measured: &Measurements) -> Option<String> {
    let requests = |work: &Work| work.requests as f64 / work.bytes.0.max(1) as f64;
    let files = |work: &Work| work.files as f64 / work.bytes.0.max(1) as f64;
    let far = |share: &dyn Fn(&Work) -> f64| {
        let most = measured.trials.iter().map(|trial| share(&trial.work)).fold(0.0, f64::max);
        share(&measured.full) > most * MIX_MAX
    };
    let what = if far(&requests) {
        "segments"
    } else if far(&files) {
        "files"
    } else {
        return None;
    };
    Some(format!(
        "the whole has many more {what} a byte than any trial; draw another sample, or a larger one"
    ))
}

fn notes(measured: &Measurements) -> Vec<String> {
    let mut notes = vec![
        "measured on this machine, to scratch space; elsewhere disk, network and processors differ"
            .to_owned(),
    ];
    let restored = measured.restored();
    let small = restored.bytes < SAMPLE_BYTES_MIN || restored.files < SAMPLE_FILES_MIN;
    if measured.whole {
        notes.push("the whole was restored; that the next time differs by a quarter is assumed".into());
    }
    if measured.whole && small {
        notes.push(
            "the whole component was restored, but it is small: its rates say little of larger ones".into(),
        );
    }
    notes
}
