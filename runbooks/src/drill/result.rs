//! The facts of a drill, and what they come to. Pure: whoever has the same findings gets the same facts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::ids::{Label, ObjectHash};
use lifeboat_verify::evidence::facts::{
    Assertion, Book as BookFact, CheckFact, ComponentFact, Exercise, FORMAT, Facts, Kind, Met, Mode, Moment,
    NotRun, Outcome, PastDrill, PlantedFact, ProjectionFact, Ratio, RepositoryFact, RpoFact, RtoFact,
    Seconds, StepFact, TermFact, Tool, Verdict, What,
};
use lifeboat_verify::objective::{Basis, Rpo, RpoVerdict};
use serde_json::Value;

use super::conclude::Found;
use super::journal::{Body, Pin};
use super::measure::Wanted;
use super::target::Cleanup;
use crate::book::{Book, Phase};
use crate::success::{Amount, Condition, Decision, Measure};

/// What a region's restore writes down in its target.
pub const REGION_JOURNAL: &str = "lifeboat-region-restore.json";

/// What the facts are made of.
pub struct Findings<'a> {
    /// The book.
    pub book: &'a Book,
    /// The name that evidence knows it by.
    pub name: Label,
    /// The drill.
    pub journal: &'a Body,
    /// The program.
    pub tool: Tool,
    /// The repositories it read.
    pub repositories: Vec<RepositoryFact>,
    /// The components, those that others need first.
    pub wanted: &'a [Wanted],
    /// What was looked at; the text says why nothing could be.
    pub found: Result<Found, String>,
    /// How long each component's restore took, where that is known.
    pub took: BTreeMap<Label, Duration>,
    /// What was removed, and what was left.
    pub cleanup: Cleanup,
    /// Whether what was restored is left where it is, as asked.
    pub kept: bool,
    /// When all of it ended.
    pub ended: Moment,
    /// Earlier drills of the book.
    pub history: Vec<PastDrill>,
}

/// How long each component of a region's restore took, as it wrote down.
#[must_use]
pub fn times(restored: &Path) -> BTreeMap<Label, Duration> {
    let text = std::fs::read(restored.join(REGION_JOURNAL)).unwrap_or_default();
    let journal: Value = serde_json::from_slice(&text).unwrap_or_default();
    let components = journal.get("components").and_then(Value::as_object);
    let one = |(name, step): (&String, &Value)| {
        let took = serde_json::from_value(step.get("took")?.clone()).ok()?;
        Some((name.parse().ok()?, took))
    };
    components.into_iter().flatten().filter_map(one).collect()
}

/// The time from the disruption until people were let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocked {
    /// On the clock, from the disruption to the end of the last step that counts.
    pub measured: Duration,
    /// Of that, until somebody began to act.
    pub before: Duration,
    /// Steps that were only simulated, at the time planned for them.
    pub simulated: Duration,
    /// Their names.
    pub names: Vec<String>,
    /// Whether every step that was to be done was.
    pub whole: bool,
}

impl Clocked {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> Duration {
        self.measured.saturating_add(self.simulated)
    }
}

/// Reads the clock off the steps.
#[must_use]
pub fn clocked(book: &Book, journal: &Body) -> Clocked {
    let counts = || book.steps.iter().zip(&journal.steps).filter(|(step, _)| step.phase != Phase::Cleanup);
    let end = counts().filter_map(|(_, fact)| fact.ended).max().unwrap_or(journal.begun);
    let simulated: Vec<&StepFact> =
        counts().map(|(_, fact)| fact).filter(|fact| fact.what == What::Simulated).collect();
    let planned = simulated.iter().filter_map(|fact| fact.planned).map(Seconds::span);
    Clocked {
        measured: end.since(journal.disruption),
        before: journal.begun.since(journal.disruption),
        simulated: planned.fold(Duration::ZERO, Duration::saturating_add),
        names: simulated.iter().map(|fact| fact.name.clone()).collect(),
        whole: counts().all(|(_, fact)| {
            matches!(fact.what, What::Ran | What::Simulated)
                || (fact.what == What::Skipped && fact.note.is_none())
        }),
    }
}

/// Puts it all together.
#[must_use]
pub fn facts(findings: Findings<'_>) -> Facts {
    let clock = clocked(findings.book, findings.journal);
    let not_run = not_run(&findings);
    let assertions = assertions(&findings, &clock);
    let (target, limit) = objective(&findings);
    let verdict = verdict(&findings, &clock, &assertions, limit);
    let components = components(&findings, &clock);
    let projection = projection(&findings, &clock, target, limit);
    let limits = limits(&findings, &clock);
    let Findings { book, name, journal, tool, repositories, found, ended, history, .. } = findings;
    let title = match &journal.component {
        Some(component) => format!("{}: {component} of {}", book.title, journal.region),
        None => format!("{}: {}", book.title, journal.region),
    };
    let (sample, planted, absent) = match found {
        Ok(found) => (found.sample, planted_facts(&found.planted), found.absent.unwrap_or_default()),
        Err(_) => (None, Vec::new(), Vec::new()),
    };
    Facts {
        format: FORMAT,
        kind: Kind::Drill,
        id: journal.id.clone(),
        title,
        tool,
        book: Some(BookFact {
            name,
            title: book.title.clone(),
            sha256: journal.book_sha256,
            rto: Some(lifeboat_verify::span::show(book.front.rto)),
            rpo: Some(lifeboat_verify::span::show(book.front.rpo)),
            success: Some(success_text(book)),
        }),
        configuration: journal.configuration,
        repositories,
        exercise: Exercise {
            disruption: journal.disruption,
            how: journal.how.clone(),
            begun: journal.begun,
            ended,
            interruptions: journal.interruptions.clone(),
            operator: journal.operator.clone(),
        },
        steps: journal.steps.clone(),
        components,
        projection,
        sample,
        planted,
        absent,
        erasure: None,
        not_run,
        assertions,
        verdict,
        limits,
        history,
    }
}

fn success_text(book: &Book) -> String {
    let all: Vec<String> = book.front.success.conditions().iter().map(ToString::to_string).collect();
    all.join(" and ")
}

/// What is aimed for and what must not be exceeded: the book's, no laxer than the strictest component's.
fn objective(findings: &Findings<'_>) -> (Duration, Duration) {
    let strictest = |of: fn(&Wanted) -> Duration| findings.wanted.iter().map(of).min();
    let target = strictest(|wanted| wanted.rto.0)
        .map_or(findings.book.front.rto, |own| own.min(findings.book.front.rto));
    let limit = strictest(|wanted| wanted.rto.1).unwrap_or(findings.book.front.rto);
    (target, limit.max(target))
}

fn planted_facts(
    planted: &[(super::planted::Plant, Result<super::planted::Caught, String>)],
) -> Vec<PlantedFact> {
    let one = |(which, caught): &(super::planted::Plant, Result<super::planted::Caught, String>)| {
        let name: Label = which.name().parse().ok()?;
        // What could not be planted is told among what did not run.
        let caught = caught.as_ref().ok()?;
        let (place, caught_by) = (caught.place.clone(), caught.by.clone());
        Some(PlantedFact {
            name,
            what: which.what().into(),
            place,
            expected: which.expected().into(),
            caught_by,
        })
    };
    planted.iter().filter_map(one).collect()
}

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

fn assertions(findings: &Findings<'_>, clock: &Clocked) -> Vec<Assertion> {
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
    let of = |wanted: fn(&Result<super::planted::Caught, String>) -> bool| -> Vec<&str> {
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

fn verdict(findings: &Findings<'_>, clock: &Clocked, assertions: &[Assertion], limit: Duration) -> Verdict {
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
fn restores(book: &Book) -> bool {
    let brings = |step: &crate::book::Step| {
        step.phase == Phase::Transfer
            && step.mode == crate::book::Mode::Auto
            && step.drill == crate::book::InDrill::Run
            && crate::lint::variables_of(&step.script)
                .any(|one| matches!(one.as_str(), "TARGET" | "DRILL_TARGET"))
    };
    book.steps.iter().any(brings)
}

fn not_run(findings: &Findings<'_>) -> Vec<NotRun> {
    let mut all = findings.journal.not_run.clone();
    if findings.kept {
        all.push(NotRun { what: "cleaning up the target".into(), reason: "it was to be kept".into() });
    }
    for fact in &findings.journal.steps {
        let reason = match fact.what {
            What::Simulated => "simulated, as the book says for drills",
            What::Skipped => fact.note.as_deref().unwrap_or("left out, as the book says for drills"),
            What::NotReached => "the drill ended before it",
            What::Interrupted => "the drill was cut off while it ran",
            What::Ran | What::Failed | What::TimedOut => continue,
        };
        all.push(NotRun { what: format!("step {}", fact.name), reason: reason.to_owned() });
    }
    match &findings.found {
        Err(why) => {
            all.push(NotRun { what: "everything a drill looks at by itself".into(), reason: why.clone() })
        }
        Ok(found) => {
            let compared =
                found.compared.iter().filter_map(|(name, one)| one.as_ref().err().map(|why| (name, why)));
            all.extend(
                compared
                    .map(|(name, why)| NotRun { what: format!("comparison of {name}"), reason: why.clone() }),
            );
            let planted =
                found.planted.iter().filter_map(|(which, one)| one.as_ref().err().map(|why| (which, why)));
            all.extend(planted.map(|(which, why)| NotRun {
                what: format!("planted fault {}", which.name()),
                reason: why.clone(),
            }));
            if let Err(why) = &found.absent {
                all.push(NotRun { what: "absence of the erased".into(), reason: why.clone() });
            }
        }
    }
    all
}

fn components(findings: &Findings<'_>, clock: &Clocked) -> Vec<ComponentFact> {
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

fn projection(
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

fn limits(findings: &Findings<'_>, clock: &Clocked) -> Vec<String> {
    use lifeboat_verify::evidence::facts::Freshness;
    let mut all = vec![
        "The signature shows who says this and that it was not changed since; not that it is true."
            .to_owned(),
        "It was restored to scratch space on one machine; elsewhere disk, network and processors differ."
            .to_owned(),
    ];
    if !clock.names.is_empty() {
        all.push(format!(
            "These steps were not done, and count with the time planned for them, which nobody measured: {}.",
            clock.names.join(", ")
        ));
    }
    let unproven = findings.repositories.iter().any(|one| matches!(one.freshness, Freshness::NotProven(_)));
    if unproven {
        all.push("Nothing shows that the repository was the newest: somebody may have taken its newest state away.".to_owned());
    }
    all.push(
        "Loss is told by the age of snapshots: how many records that is, nothing here counts.".to_owned(),
    );
    if !findings.journal.interruptions.is_empty() {
        all.push(
            "The drill itself was cut off; the time until it went on is part of the time measured."
                .to_owned(),
        );
    }
    all
}

/// The hash of a configuration or a book, as facts name it.
#[must_use]
pub fn hash(text: &[u8]) -> ObjectHash {
    ObjectHash::from_bytes(lifeboat_repo::crypto::sha256(text))
}
