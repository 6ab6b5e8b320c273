//! What a drill's measurements come to: the conditions of its book, what every drill must show, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_verify::evidence::facts::{Assertion, Met, Verdict, What};
use lifeboat_verify::objective::RpoVerdict;

use super::super::target::Cleanup;
use super::{Clocked, Findings};
use crate::book::{Book, Phase};
use crate::success::{Amount, Condition, Decision, Measure};

/// What the drill measured, for the conditions of its book. What is not known is not there.
#[must_use]
pub fn measured(findings: &Findings<'_>, clock: &Clocked) -> BTreeMap<Measure, Amount> {
    let mut all = BTreeMap::new();
    let failed =
        findings.journal.steps.iter().filter(|fact| matches!(fact.what, What::Failed | What::TimedOut));
    all.insert(Measure::FailedSteps, Amount::Count(failed.count() as u64));
    if clock.whole {
        all.insert(Measure::Rto, Amount::Time(clock.all()));
    }
    let Ok(found) = &findings.found else { return all };
    let losses: Option<Vec<Duration>> = found.losses.values().map(|rpo| rpo.loss).collect();
    if let Some(worst) = losses.and_then(|losses| losses.into_iter().max()) {
        all.insert(Measure::Rpo, Amount::Time(worst));
    }
    let compared: Option<Vec<_>> = found.compared.values().map(|one| one.as_ref().ok()).collect();
    if let Some(compared) = compared.filter(|compared| !compared.is_empty()) {
        let lost = compared.iter().map(|one| one.lost).sum();
        all.insert(Measure::LostPaths, Amount::Count(lost));
        // What could not be read is no match.
        if compared.iter().all(|one| one.unread == 0) {
            let mismatches = compared.iter().map(|one| one.mismatches).sum();
            all.insert(Measure::DigestMismatches, Amount::Count(mismatches));
        }
    }
    let caught: Option<Vec<bool>> = found
        .planted
        .iter()
        .map(|(_, caught)| caught.as_ref().ok().map(|caught| caught.by.is_some()))
        .collect();
    if let Some(caught) = caught {
        let missed = caught.iter().filter(|caught| !**caught).count();
        all.insert(Measure::UndetectedFaults, Amount::Count(missed as u64));
    }
    all
}

pub(super) fn assertions(findings: &Findings<'_>, clock: &Clocked) -> Vec<Assertion> {
    let measured = measured(findings, clock);
    let mut all: Vec<Assertion> = findings
        .book
        .front
        .success
        .conditions()
        .iter()
        .map(|condition| judged(condition, &measured))
        .collect();
    all.push(faults(findings));
    all.push(absent(findings));
    if !findings.kept {
        all.push(cleaned(&findings.cleanup));
    }
    all
}

fn judged(condition: &Condition, measured: &BTreeMap<Measure, Amount>) -> Assertion {
    let (met, detail) = match condition.decide(measured) {
        Decision::Met => (Met::Met, None),
        Decision::Missed => (Met::Missed, None),
        Decision::Unknown => (Met::Insufficient, Some("it was not measured".to_owned())),
    };
    let found = measured.get(&condition.measure).map(ToString::to_string);
    Assertion { name: condition.to_string(), met, detail: detail.or(found).unwrap_or_default() }
}

/// A fault that nothing caught makes every other result worthless.
fn faults(findings: &Findings<'_>) -> Assertion {
    let name = "every planted fault is caught".to_owned();
    let Ok(found) = &findings.found else {
        return Assertion { name, met: Met::Insufficient, detail: "none was planted".into() };
    };
    let of = |wanted: fn(&Result<super::super::planted::Caught, String>) -> bool| -> Vec<&str> {
        found.planted.iter().filter(|(_, caught)| wanted(caught)).map(|(which, _)| which.name()).collect()
    };
    let missed = of(|caught| caught.as_ref().is_ok_and(|caught| caught.by.is_none()));
    let not_planted = of(Result::is_err);
    let (met, detail) = match (missed.as_slice(), not_planted.as_slice()) {
        ([], []) => (Met::Met, format!("{} of {}", found.planted.len(), found.planted.len())),
        ([], some) => (Met::Insufficient, format!("could not be planted: {}", some.join(", "))),
        (some, _) => (Met::Missed, format!("not caught: {}", some.join(", "))),
    };
    Assertion { name, met, detail }
}

fn absent(findings: &Findings<'_>) -> Assertion {
    let name = "the erased stay away".to_owned();
    let unknown = |detail: String| Assertion { name: name.clone(), met: Met::Insufficient, detail };
    let found = match &findings.found {
        Ok(found) => found,
        Err(why) => return unknown(why.clone()),
    };
    match &found.absent {
        Err(why) => unknown(why.clone()),
        Ok(none) if none.is_empty() => unknown(
            "nobody was ever erased in this repository: back up a tenant of your own, erase it, and name it with --erased"
                .to_owned(),
        ),
        Ok(all) => {
            let back = all.iter().filter(|one| !one.absent).count();
            let met = if back == 0 { Met::Met } else { Met::Missed };
            Assertion { name, met, detail: format!("{} of {} are absent", all.len() - back, all.len()) }
        }
    }
}

fn cleaned(cleanup: &Cleanup) -> Assertion {
    let (met, detail) = if cleanup.left.is_empty() {
        (Met::Met, format!("{} removed", cleanup.removed.len()))
    } else {
        (Met::Missed, cleanup.left.join("; "))
    };
    Assertion { name: "the target is cleaned up".into(), met, detail }
}

pub(super) fn verdict(
    findings: &Findings<'_>,
    clock: &Clocked,
    assertions: &[Assertion],
    limit: Duration,
) -> Verdict {
    let conditions = findings.book.front.success.conditions();
    let mut worst = Verdict::Met;
    for (index, assertion) in assertions.iter().enumerate() {
        let measure = conditions.get(index).map(|condition| condition.measure);
        let own = match (assertion.met, measure) {
            (Met::Met, _) => Verdict::Met,
            (Met::Insufficient, _) => Verdict::Insufficient,
            (Met::Missed, Some(Measure::Rto)) if clock.all() <= limit => Verdict::TargetMissed,
            (Met::Missed, Some(Measure::Rto | Measure::Rpo | Measure::CanaryGap)) => Verdict::LimitMissed,
            (Met::Missed, _) => Verdict::Failed,
        };
        worst = worst.max(own);
    }
    let failed = findings.journal.steps.iter().any(|fact| matches!(fact.what, What::Failed | What::TimedOut));
    let unasked = findings.journal.steps.iter().any(|fact| fact.what == What::Skipped && fact.note.is_some());
    let lost = findings
        .found
        .as_ref()
        .is_ok_and(|found| found.losses.values().any(|rpo| matches!(rpo.verdict, RpoVerdict::Missed)));
    if failed {
        worst = worst.max(Verdict::Failed);
    }
    if restores(findings.book)
        && let Ok(found) = &findings.found
    {
        for one in found.compared.values() {
            worst = worst.max(match one {
                Err(_) => Verdict::Insufficient,
                Ok(one) if one.mismatches + one.lost > 0 => Verdict::Failed,
                Ok(one) if one.unread > 0 => Verdict::Insufficient,
                Ok(_) => Verdict::Met,
            });
        }
    }
    if unasked {
        worst = worst.max(Verdict::Insufficient);
    }
    if lost {
        worst = worst.max(Verdict::LimitMissed);
    }
    worst
}

/// Whether a drill of this book brings data back at all: some are about keys or the repository. Those that do say to where.
pub(super) fn restores(book: &Book) -> bool {
    let brings = |step: &crate::book::Step| {
        step.phase == Phase::Transfer
            && step.mode == crate::book::Mode::Auto
            && step.drill == crate::book::InDrill::Run
            && crate::lint::variables_of(&step.script)
                .any(|one| matches!(one.as_str(), "TARGET" | "DRILL_TARGET"))
    };
    book.steps.iter().any(brings)
}
