//! What a drill's measurements come to: the conditions of its book, what every drill must show, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_verify::evidence::facts::{Assertion, Met, Seconds, Verdict, What};
use lifeboat_verify::loss::Loss;
use lifeboat_verify::span::{promise, show};

use super::super::target::Cleanup;
use super::parts::{judge, loss};
use super::{Clocked, Findings, Promised, restores};
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
    let losses: Option<Vec<Duration>> =
        findings.wanted.iter().map(|wanted| loss(findings, wanted)?.bound.map(Seconds::span)).collect();
    if let Some(worst) = losses.and_then(|losses| losses.into_iter().max()) {
        all.insert(Measure::Rpo, Amount::Time(worst));
    }
    // Of a component that nobody heard, nothing is known.
    let heard: Option<Vec<&Loss>> =
        findings.wanted.iter().map(|wanted| found.heard.get(&wanted.name)?.as_ref().ok()).collect();
    if let Some(heard) = heard.filter(|heard| !heard.is_empty()) {
        all.extend(by_heartbeats(&heard));
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

/// What heartbeats say of all components together, as far as they say it of each.
fn by_heartbeats(heard: &[&Loss]) -> Vec<(Measure, Amount)> {
    let mut all = Vec::new();
    let gaps: Option<Vec<Duration>> = heard.iter().map(|loss| Some(loss.bound?.0)).collect();
    if let Some(widest) = gaps.and_then(|gaps| gaps.into_iter().max()) {
        all.push((Measure::CanaryGap, Amount::Time(widest)));
        // Below a record that proves something; where none does, nobody can tell a hole.
        all.push((Measure::Holes, Amount::Count(heard.iter().map(|loss| loss.holes).sum())));
    }
    let counted = heard.iter().all(|loss| !loss.lost.is_empty());
    let lost: Option<u64> = heard.iter().flat_map(|loss| &loss.lost).map(|one| one.records).sum();
    if let Some(lost) = lost.filter(|_| counted) {
        all.push((Measure::LostRecords, Amount::Count(lost)));
    }
    all
}

/// An assertion, and what it comes to.
pub(super) type Judged = (Assertion, Verdict);

pub(super) fn assertions(findings: &Findings<'_>, clock: &Clocked, promised: Promised) -> Vec<Judged> {
    let measured = measured(findings, clock);
    let conditions = findings.book.front.success.conditions();
    let mut all: Vec<Judged> =
        conditions.iter().map(|condition| judged(condition, &measured, clock, promised)).collect();
    // A book may promise less than its components, or not speak of time at all.
    all.extend(clock.whole.then(|| in_time(clock, promised)));
    all.extend(within_loss(findings));
    all.extend([faults(findings), absent(findings)].map(grave));
    all
}

/// What a drill must show, whatever its book says: where it does not, it failed.
fn grave(assertion: Assertion) -> Judged {
    let verdict = match assertion.met {
        Met::Met => Verdict::Met,
        Met::Insufficient => Verdict::Insufficient,
        Met::Missed => Verdict::Failed,
    };
    (assertion, verdict)
}

/// Whether of no component more is lost than may be.
fn within_loss(findings: &Findings<'_>) -> Option<Judged> {
    let looked: Vec<_> =
        findings.wanted.iter().filter_map(|wanted| Some((wanted, loss(findings, wanted)?))).collect();
    let of = |met: Met| -> Vec<&str> {
        looked
            .iter()
            .filter(|(_, loss)| loss.verdict == met)
            .map(|(wanted, _)| wanted.name.as_str())
            .collect()
    };
    let (missed, unknown) = (of(Met::Missed), of(Met::Insufficient));
    let (met, verdict, detail) = match (missed.as_slice(), unknown.as_slice()) {
        ([], []) => (Met::Met, Verdict::Met, format!("{} of {}", looked.len(), looked.len())),
        // Of a book that brings nothing back, there is nothing to look at.
        ([], _) if !restores(findings.book) => return None,
        ([], some) => (Met::Insufficient, Verdict::Insufficient, format!("unknown: {}", some.join(", "))),
        (some, _) => (Met::Missed, Verdict::LimitMissed, format!("more is lost: {}", some.join(", "))),
    };
    let name = "no component loses more than it may".to_owned();
    (!looked.is_empty()).then_some((Assertion { name, met, detail }, verdict))
}

/// Whether everything was back in time: as soon as is aimed for, no later than was promised.
fn in_time(clock: &Clocked, (target, limit): Promised) -> Judged {
    let verdict = judge(clock.all(), target, limit);
    let met = if verdict == Verdict::Met { Met::Met } else { Met::Missed };
    let name = format!("all is back within {}, and no later than {}", promise(target), promise(limit));
    (Assertion { name, met, detail: show(clock.all()) }, verdict)
}

fn judged(
    condition: &Condition,
    measured: &BTreeMap<Measure, Amount>,
    clock: &Clocked,
    (_, limit): Promised,
) -> Judged {
    let (met, detail) = match condition.decide(measured) {
        Decision::Met => (Met::Met, None),
        Decision::Missed => (Met::Missed, None),
        Decision::Unknown => (Met::Insufficient, Some("it was not measured".to_owned())),
    };
    let found = measured.get(&condition.measure).map(ToString::to_string);
    let verdict = match (met, condition.measure) {
        (Met::Met, _) => Verdict::Met,
        (Met::Insufficient, _) => Verdict::Insufficient,
        (Met::Missed, Measure::Rto) if clock.all() <= limit => Verdict::TargetMissed,
        (Met::Missed, Measure::Rto | Measure::Rpo | Measure::CanaryGap) => Verdict::LimitMissed,
        (Met::Missed, _) => Verdict::Failed,
    };
    (Assertion { name: condition.to_string(), met, detail: detail.or(found).unwrap_or_default() }, verdict)
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
        Ok(none) if none.facts.is_empty() && none.readmitted > 0 => {
            unknown("all who were ever erased here were let in again: erase a tenant of your own, and name it".to_owned())
        }
        Ok(none) if none.facts.is_empty() => unknown(
            "nobody was ever erased in this repository: back up a tenant of your own, erase it, and name it with --erased"
                .to_owned(),
        ),
        Ok(all) => {
            let (back, all) = (all.facts.iter().filter(|one| !one.absent).count(), all.facts.len());
            let met = if back == 0 { Met::Met } else { Met::Missed };
            Assertion { name, met, detail: format!("{} of {all} are absent", all - back) }
        }
    }
}

pub(super) fn cleaned(cleanup: &Cleanup) -> Judged {
    let (met, detail) = if cleanup.left.is_empty() {
        (Met::Met, format!("{} removed", cleanup.removed.len()))
    } else {
        (Met::Missed, cleanup.left.join("; "))
    };
    grave(Assertion { name: "the target is cleaned up".into(), met, detail })
}

pub(super) fn verdict(findings: &Findings<'_>, assertions: &[Judged]) -> Verdict {
    let mut worst = assertions.iter().map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Met);
    let failed = findings.journal.steps.iter().any(|fact| matches!(fact.what, What::Failed | What::TimedOut));
    let unasked = findings.journal.steps.iter().any(|fact| fact.what == What::Skipped && fact.note.is_some());
    if failed {
        worst = worst.max(Verdict::Failed);
    }
    if let Ok(found) = &findings.found {
        let brings = restores(findings.book);
        for one in found.compared.values() {
            worst = worst.max(match one {
                // Of a book that brings nothing back, there is nothing to compare.
                Err(_) if !brings => Verdict::Met,
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
    worst
}
