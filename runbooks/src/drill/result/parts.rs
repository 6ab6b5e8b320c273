//! The facts of each component, and of all of them together.

use std::time::Duration;

use lifeboat_verify::evidence::facts::{
    CheckFact, ComponentFact, Met, Mode, Outcome, ProjectionFact, Ratio, RpoFact, RtoFact, StepFact,
    TermFact, Verdict, What,
};
use lifeboat_verify::objective::{Basis, Rpo, RpoVerdict};

use super::super::journal::Pin;
use super::super::measure::Wanted;
use super::verdict::restores;
use super::{Clocked, Findings};
use crate::book::Phase;

pub(super) fn components(findings: &Findings<'_>, clock: &Clocked) -> Vec<ComponentFact> {
    let transfer = transfer(findings);
    let mut before = Duration::ZERO;
    let mut all = Vec::new();
    for wanted in findings.wanted {
        let pin = findings.journal.pins.iter().find(|pin| pin.component == wanted.name);
        let rto = transfer.and_then(|(start, end)| {
            let took = findings.took.get(&wanted.name).copied();
            let took = took.or_else(|| findings.took.is_empty().then(|| end.saturating_sub(start)))?;
            let begins = start.saturating_add(before);
            before = before.saturating_add(took);
            Some(rto(wanted, begins, took, clock))
        });
        all.push(component(findings, wanted, pin, rto));
    }
    all
}

/// When the steps that bring data back began and ended, from the disruption on.
fn transfer(findings: &Findings<'_>) -> Option<(Duration, Duration)> {
    let steps = findings.book.steps.iter().zip(&findings.journal.steps);
    let own: Vec<&StepFact> = steps
        .filter(|(step, fact)| {
            step.phase == Phase::Transfer && fact.what == What::Ran && fact.mode == Mode::Run
        })
        .map(|(_, fact)| fact)
        .collect();
    let start = own.iter().filter_map(|fact| fact.started).min()?;
    let end = own.iter().filter_map(|fact| fact.ended).max()?;
    Some((start.since(findings.journal.disruption), end.since(findings.journal.disruption)))
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
                "steps only simulated, at the time planned for them",
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

fn judge(time: Duration, target: Duration, limit: Duration) -> Verdict {
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
    let compared =
        found.and_then(|found| found.compared.get(&wanted.name)).filter(|_| restores(findings.book));
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
        rpo: found.and_then(|found| found.losses.get(&wanted.name)).map(loss),
        checks: check
            .map(|(outcome, detail)| CheckFact { level: "restore".into(), outcome, detail })
            .into_iter()
            .collect(),
    }
}

fn loss(rpo: &Rpo) -> RpoFact {
    let (verdict, note) = match &rpo.verdict {
        RpoVerdict::Met | RpoVerdict::Missed => {
            let verdict = if rpo.verdict == RpoVerdict::Met { Met::Met } else { Met::Missed };
            (verdict, "up to the snapshot's recovery point; what was written after it is lost".to_owned())
        }
        RpoVerdict::InsufficientEvidence(why) => (Met::Insufficient, why.clone()),
    };
    RpoFact {
        bound: rpo.loss.map(Into::into),
        low: None,
        newest_canary: None,
        holes: 0,
        lost: Vec::new(),
        objective: Some(rpo.objective.into()),
        verdict,
        note,
    }
}

pub(super) fn projection(
    findings: &Findings<'_>,
    clock: &Clocked,
    target: Duration,
    limit: Duration,
) -> Option<ProjectionFact> {
    let drills = u32::try_from(findings.history.len()).unwrap_or(u32::MAX).saturating_add(1);
    let note = if clock.names.is_empty() {
        "measured in this drill".to_owned()
    } else {
        format!(
            "{} measured in this drill; {} assumed for steps that were only simulated",
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
        drills,
        p50: None,
        p95: None,
        within_target: None,
        within_limit: None,
        breaks_at: None,
    })
}
