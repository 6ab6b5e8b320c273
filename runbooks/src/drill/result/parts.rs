//! The facts of each component, and of all of them together.

use std::time::Duration;

use lifeboat_verify::estate::chances;
use lifeboat_verify::evidence::facts::{
    CheckFact, ComponentFact, Lost, Met, Mode, Moment, Outcome, ProjectionFact, Ratio, RpoFact, RtoFact,
    Seconds, TermFact, Verdict, What,
};
use lifeboat_verify::loss::Loss;
use lifeboat_verify::objective::{Basis, Rpo, RpoVerdict, RtoObjective};

use super::super::journal::Pin;
use super::super::measure::Wanted;
use super::{Clocked, Findings, Promised, brings, restores};
use crate::book::{Phase, Step};

pub(super) fn components(findings: &Findings<'_>, clock: &Clocked) -> Vec<ComponentFact> {
    let transfer = transfer(findings);
    let mut before = Duration::ZERO;
    let mut all = Vec::new();
    for wanted in findings.wanted {
        let pin = findings.journal.pins.iter().find(|pin| pin.component == wanted.name);
        let rto = transfer.filter(|_| came_back(findings, wanted)).and_then(|(start, end)| {
            if findings.took.is_empty() {
                // Nobody wrote down which took how long: each was back when all of them were.
                return Some(rto(wanted, start, end.saturating_sub(start), clock));
            }
            let took = *findings.took.get(&wanted.name)?;
            let begins = start.saturating_add(before);
            before = before.saturating_add(took);
            Some(rto(wanted, begins, took, clock))
        });
        all.push(component(findings, wanted, pin, rto));
    }
    all
}

/// Whether a component was restored and looked at: only then is there a time it took.
fn came_back(findings: &Findings<'_>, wanted: &Wanted) -> bool {
    let found = findings.found.as_ref().ok();
    restores(findings.book)
        && found.and_then(|found| found.compared.get(&wanted.name)).is_some_and(Result::is_ok)
}

/// When the steps that bring data back began and ended, from the disruption on: those that say that it is what they do, or
/// else all that say to where.
fn transfer(findings: &Findings<'_>) -> Option<(Duration, Duration)> {
    let span = |wanted: fn(&Step) -> bool| {
        let steps = || findings.book.steps.iter().zip(&findings.journal.steps);
        let own = || {
            steps()
                .filter(|(step, fact)| wanted(step) && fact.what == What::Ran && fact.mode == Mode::Run)
                .map(|(_, fact)| fact)
        };
        let start = own().filter_map(|fact| fact.started).min()?;
        let end = own().filter_map(|fact| fact.ended).max()?;
        Some((start.since(findings.journal.disruption), end.since(findings.journal.disruption)))
    };
    span(|step| step.phase == Phase::Transfer).or_else(|| span(brings))
}

fn rto(wanted: &Wanted, begins: Duration, took: Duration, clock: &Clocked) -> RtoFact {
    let term = |name: &str, time: Duration, basis, note: &str| TermFact {
        name: name.into(),
        seconds: time.into(),
        basis,
        note: note.into(),
    };
    let end = begins.saturating_add(took);
    let whole = end.saturating_add(clock.simulated);
    let (target, limit) = wanted.rto;
    RtoFact {
        seconds: took.into(),
        terms: vec![
            term("transfer", took, Basis::Measured, "all of it was restored, in this drill"),
            term("before", begins, Basis::Measured, "from the disruption until its restore began"),
            term(
                "people",
                clock.simulated,
                Basis::Assumed,
                "steps only simulated or left out, at the time planned for them",
            ),
        ],
        low: None,
        high: None,
        factor: Ratio::new(1.0),
        verdict: judge(whole, target, limit),
        note: None,
        target: target.into(),
        limit: limit.into(),
        start: begins.into(),
        end: end.into(),
        // One after another: each delays all that follow.
        critical: true,
    }
}

pub(super) fn judge(time: Duration, target: Duration, limit: Duration) -> Verdict {
    if time <= target {
        Verdict::Met
    } else if time <= limit {
        Verdict::TargetMissed
    } else {
        Verdict::LimitMissed
    }
}

fn component(
    findings: &Findings<'_>,
    wanted: &Wanted,
    pin: Option<&Pin>,
    rto: Option<RtoFact>,
) -> ComponentFact {
    let found = findings.found.as_ref().ok();
    // A step may restore without saying where to: what was compared all the same counts, as it does for the verdict.
    let compared = found
        .and_then(|found| found.compared.get(&wanted.name))
        .filter(|one| one.is_ok() || restores(findings.book));
    let check = compared.map(|one| match one {
        Err(why) => (Outcome::NotRun(why.clone()), why.clone()),
        Ok(found) => {
            let bad = found.mismatches + found.lost;
            let outcome = match (bad, found.unread) {
                (0, 0) => Outcome::Passed,
                (0, unread) => Outcome::NotRun(format!("{unread} entries could not be read")),
                _ => Outcome::Failed,
            };
            let detail = format!(
                "{} entries: {} differ in content, {} in owner, mode, time or attributes only, {} lost, {} not read",
                found.entries, found.mismatches, found.dressed, found.lost, found.unread
            );
            (outcome, detail)
        }
    });
    ComponentFact {
        name: wanted.name.clone(),
        region: findings.journal.region.clone(),
        snapshot: pin.and_then(|pin| pin.run),
        recovery_point: pin.and_then(|pin| pin.recovery_point),
        bytes: pin.map(|pin| pin.bytes).unwrap_or_default(),
        files: pin.map(|pin| pin.files).unwrap_or_default(),
        needs: wanted.needs.clone(),
        rto,
        rpo: loss(findings, wanted),
        checks: check
            .map(|(outcome, detail)| CheckFact { level: "restore".into(), outcome, detail })
            .into_iter()
            .collect(),
    }
}

/// What a disaster loses of a component: by the heartbeats in what came back, or where it has none by the age of its snapshot.
pub(super) fn loss(findings: &Findings<'_>, wanted: &Wanted) -> Option<RpoFact> {
    let found = findings.found.as_ref().ok()?;
    match found.heard.get(&wanted.name) {
        Some(Ok(loss)) => Some(by_heartbeats(loss, wanted)),
        Some(Err(why)) if restores(findings.book) => Some(unheard(why, wanted)),
        _ => found.losses.get(&wanted.name).map(by_age),
    }
}

fn by_heartbeats(loss: &Loss, wanted: &Wanted) -> RpoFact {
    let lost = |one: &lifeboat_verify::loss::LostRecords| {
        Some(Lost { tenant_token: one.tenant?, records: one.records })
    };
    let nobodys = loss.lost.iter().find(|one| one.tenant.is_none()).and_then(|one| one.records);
    let more = nobodys
        .filter(|records| *records > 0)
        .map_or_else(String::new, |records| format!("; of no tenant, at least {records} records are lost"));
    RpoFact {
        bound: loss.bound.map(|bound| bound.0.into()),
        low: loss.low.map(|low| low.0.into()),
        newest_canary: loss.proven.map(Moment::new),
        holes: loss.holes,
        lost: loss.lost.iter().filter_map(lost).collect(),
        objective: Some(wanted.rpo.into()),
        verdict: met(&loss.verdict),
        note: format!("by its heartbeats: {}{more}", loss.note),
    }
}

fn unheard(why: &str, wanted: &Wanted) -> RpoFact {
    RpoFact {
        bound: None,
        low: None,
        newest_canary: None,
        holes: 0,
        lost: Vec::new(),
        objective: Some(wanted.rpo.into()),
        verdict: Met::Insufficient,
        note: format!("its heartbeats were not found: {why}"),
    }
}

fn by_age(rpo: &Rpo) -> RpoFact {
    let note = match &rpo.verdict {
        RpoVerdict::Met | RpoVerdict::Missed => {
            "no heartbeat: up to what its snapshot says of itself; what was written after that is lost"
                .to_owned()
        }
        RpoVerdict::InsufficientEvidence(why) => why.clone(),
    };
    RpoFact {
        bound: rpo.loss.map(Into::into),
        low: None,
        newest_canary: None,
        holes: 0,
        lost: Vec::new(),
        objective: Some(rpo.objective.into()),
        verdict: met(&rpo.verdict),
        note,
    }
}

const fn met(verdict: &RpoVerdict) -> Met {
    match verdict {
        RpoVerdict::Met => Met::Met,
        RpoVerdict::Missed => Met::Missed,
        RpoVerdict::InsufficientEvidence(_) => Met::Insufficient,
    }
}

/// What is not known of losses, in sentences.
pub(super) fn limits(findings: &Findings<'_>) -> Vec<String> {
    let Ok(found) = &findings.found else { return Vec::new() };
    let of = |known: &dyn Fn(&Loss) -> bool| -> Vec<&str> {
        let heard = |wanted: &&Wanted| {
            !found.heard.get(&wanted.name).is_some_and(|heard| heard.as_ref().is_ok_and(known))
        };
        findings.wanted.iter().filter(heard).map(|wanted| wanted.name.as_str()).collect()
    };
    // Of whom only one side was counted, it is not known.
    let counted = |loss: &Loss| !loss.lost.is_empty() && loss.lost.iter().all(|one| one.records.is_some());
    let (silent, uncounted) = (of(&|_| true), of(&counted));
    let mut all = Vec::new();
    if !silent.is_empty() {
        all.push(format!(
            "No heartbeat says what is lost of {}: that is told by what a snapshot says of itself, or not at all.",
            silent.join(", ")
        ));
    }
    if !uncounted.is_empty() {
        all.push(format!("Nothing counts how many records are lost of {}.", uncounted.join(", ")));
    }
    all
}

pub(super) fn projection(
    findings: &Findings<'_>,
    clock: &Clocked,
    (target, limit): Promised,
) -> Option<ProjectionFact> {
    // A drill that failed may have been quick to.
    let past = findings.history.iter().filter(|one| one.verdict != Verdict::Failed);
    let mut drills: Vec<Duration> = past.filter_map(|one| one.measured.map(Seconds::span)).collect();
    drills.push(clock.all());
    let chances = chances(&drills, RtoObjective { target, limit });
    let note = if clock.names.is_empty() {
        "measured in this drill".to_owned()
    } else {
        format!(
            "{} measured in this drill; {} assumed for steps that were only simulated or left out",
            lifeboat_verify::span::show(clock.measured),
            lifeboat_verify::span::show(clock.simulated)
        )
    };
    clock.whole.then(|| ProjectionFact {
        seconds: clock.all().into(),
        low: None,
        high: None,
        confidence: None,
        target: target.into(),
        limit: limit.into(),
        verdict: judge(clock.all(), target, limit),
        note: Some(note),
        critical_path: findings.wanted.iter().map(|wanted| wanted.name.clone()).collect(),
        workers: 1,
        workers_needed: None,
        drills: u32::try_from(drills.len()).unwrap_or(u32::MAX),
        p50: chances.map(|all| all.p50.into()),
        p95: chances.map(|all| all.p95.into()),
        within_target: chances.map(|all| Ratio::new(all.within_target)),
        within_limit: chances.map(|all| Ratio::new(all.within_limit)),
        breaks_at: None,
    })
}
