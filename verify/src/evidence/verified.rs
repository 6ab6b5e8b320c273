//! The facts of a verification. Pure: the same looks give the same facts.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_repo::ids::{Label, RunId};

use super::facts::{
    EntryFact, Facts, FindingFact, Gravity, Kind, LookFact, Met, Moment, NotRun, Outcome, RepositoryFact,
    SampleFact, Verdict, VerificationFact,
};
use super::run::{Judged, Run, judged};
use crate::damage::{Finding, Severity, Subject};
use crate::levels;
use crate::sample::Seed;

/// Findings that are told one by one. Who heals looks again; who reads evidence has seen enough.
const FOUND_MAX: usize = 200;

/// One look, as it was.
#[derive(Clone, Debug)]
pub struct Looked<'l> {
    /// How deep.
    pub level: &'static str,
    /// The region.
    pub region: &'l Label,
    /// The component; nothing: all that the repository holds.
    pub component: Option<&'l Label>,
    /// The snapshot, where it was one.
    pub snapshot: Option<RunId>,
    /// When it began.
    pub begun: Moment,
    /// When it ended.
    pub ended: Moment,
    /// How it ended. A reason in it must name no tenant and no file.
    pub outcome: levels::Outcome,
    /// What was looked at, in a sentence that names no tenant and no file.
    pub detail: String,
    /// How much, by name.
    pub counts: BTreeMap<String, u64>,
    /// What was drawn.
    pub sample: Option<SampleFact>,
    /// What was found.
    pub findings: &'l [Finding],
}

/// A look as evidence tells it: of findings nothing that names a tenant or a file.
#[must_use]
pub fn look(looked: Looked<'_>) -> LookFact {
    let mut found: Vec<FindingFact> = looked.findings.iter().map(finding).collect();
    found.sort_by_key(|one| one.gravity);
    let unchecked: Vec<&FindingFact> =
        found.iter().filter(|one| one.gravity == Gravity::CouldNotCheck).collect();
    let outcome = match (looked.outcome, unchecked.first()) {
        (levels::Outcome::Passed, _) => Outcome::Passed,
        (levels::Outcome::Failed, _) => Outcome::Failed,
        (levels::Outcome::NotRun(why), None) => Outcome::NotRun(why),
        // The reason that is printed may quote what such a finding says.
        (levels::Outcome::NotRun(_), Some(first)) => Outcome::NotRun(format!(
            "{} could not be checked, first {}",
            if unchecked.len() == 1 { "1 thing".to_owned() } else { format!("{} things", unchecked.len()) },
            first.object
        )),
    };
    let untold = found.len().saturating_sub(FOUND_MAX) as u64;
    found.truncate(FOUND_MAX);
    LookFact {
        level: looked.level.to_owned(),
        region: looked.region.clone(),
        component: looked.component.cloned(),
        snapshot: looked.snapshot,
        begun: looked.begun,
        ended: looked.ended,
        outcome,
        detail: looked.detail,
        counts: looked.counts,
        sample: looked.sample,
        found,
        untold,
    }
}

fn finding(one: &Finding) -> FindingFact {
    let gravity = match one.severity {
        Severity::Damage => Gravity::Damage,
        Severity::CouldNotCheck => Gravity::CouldNotCheck,
        Severity::Notice => Gravity::Notice,
    };
    // What is said of a manifest may quote the names of files in it.
    let what = match (&one.object, gravity) {
        (Subject::Manifest(..), Gravity::Damage) => {
            "what it tells of cannot be had as it was backed up".to_owned()
        }
        (Subject::Manifest(..), _) => "not all that it tells of could be looked at".to_owned(),
        _ => one.what.clone(),
    };
    let snapshots: BTreeSet<_> = one.affects.iter().map(|affected| &affected.snapshot).collect();
    FindingFact {
        gravity,
        object: one.object.to_string(),
        what,
        snapshots: snapshots.len() as u64,
        shares: one.affects.len() as u64,
    }
}

/// What a restore that was timed said of an objective. It is told as a condition, and no recovery time is claimed of it.
#[derive(Clone, Debug)]
pub struct ObjectiveSaid {
    /// The component.
    pub component: Label,
    /// Whether it is met, as far as that restore tells.
    pub verdict: Verdict,
    /// In words.
    pub detail: String,
}

/// The facts.
#[must_use]
pub fn verified(
    run: Run,
    mut looks: Vec<LookFact>,
    objectives: &[ObjectiveSaid],
    interrupted: bool,
) -> Facts {
    looks.iter_mut().for_each(|look| name_checkpoint(look, &run.repositories));
    let mut all: Vec<Judged> = looks.iter().map(judge).collect();
    all.extend(objectives.iter().map(objective));
    let mut not_run: Vec<NotRun> = looks
        .iter()
        .filter_map(|look| match &look.outcome {
            Outcome::NotRun(reason) => Some(NotRun { what: look.words(), reason: reason.clone() }),
            Outcome::Passed | Outcome::Failed => None,
        })
        .collect();
    if looks.is_empty() {
        all.push(judged("anything was looked at", Met::Insufficient, Verdict::Insufficient, "nothing was"));
    }
    if interrupted {
        all.push(judged(
            "it was not stopped before its end",
            Met::Insufficient,
            Verdict::Insufficient,
            "somebody stopped it",
        ));
        not_run.push(NotRun { what: "the rest of it".into(), reason: "somebody stopped it".into() });
    }
    let mut facts = run.facts(Kind::Verification, all, not_run);
    facts.limits.extend(limits(&looks, objectives));
    facts.verification = Some(VerificationFact { looks });
    facts
}

/// Names the checkpoint that a sample was drawn by, where it can be drawn by it again: the nonce is known.
fn name_checkpoint(look: &mut LookFact, repositories: &[RepositoryFact]) {
    let Some(sample) = &mut look.sample else { return };
    let Some(nonce) = &sample.nonce else { return };
    let own = repositories.iter().filter(|one| one.place.region == look.region);
    let drew = |entry: &&EntryFact| {
        Seed::from_checkpoint(&entry.sha256, nonce.as_bytes()).to_string() == sample.seed
    };
    let found = own.filter_map(|one| one.checkpoint.as_ref()).find(drew);
    sample.checkpoint = found.map(|entry| format!("{} {}", entry.entry, entry.sha256));
}

fn judge(look: &LookFact) -> Judged {
    let met = match &look.outcome {
        Outcome::Passed => Met::Met,
        Outcome::Failed => Met::Missed,
        Outcome::NotRun(_) => Met::Insufficient,
    };
    let detail = match &look.outcome {
        Outcome::NotRun(why) => why.clone(),
        _ => look.detail.clone(),
    };
    judged(format!("{} finds no damage", look.words()), met, Verdict::Failed, detail)
}

fn objective(said: &ObjectiveSaid) -> Judged {
    let met = match said.verdict {
        Verdict::Met => Met::Met,
        Verdict::Insufficient => Met::Insufficient,
        _ => Met::Missed,
    };
    let name = format!("{} fits its objectives, as far as a trial restore tells", said.component);
    judged(name, met, said.verdict, said.detail.clone())
}

fn limits(looks: &[LookFact], objectives: &[ObjectiveSaid]) -> Vec<String> {
    let any = |levels: &[&str]| looks.iter().any(|look| levels.contains(&look.level.as_str()));
    let mut all = Vec::new();
    if !objectives.is_empty() {
        all.push(
            "How long recovery takes is not shown here, nor what it loses: a trial restore is no recovery, and a drill shows \
             that."
                .to_owned(),
        );
    } else {
        all.push(
            "It says nothing of how long recovery takes, nor of what it loses: a drill shows that."
                .to_owned(),
        );
    }
    if !any(&["readback", "restore", "objective"]) {
        all.push(
            "Nothing was opened: stored bytes were held against what names them, and whether they are what was backed up, and \
             whether keys open them, was not looked at."
                .to_owned(),
        );
    }
    if looks.iter().any(|look| look.component.is_some()) {
        all.push("Where a component is named, nothing else in its repository was looked at.".to_owned());
    }
    if looks.iter().any(|look| look.all_found() > 0) {
        all.push("Whom damage hits is told by numbers: `lifeboat verify` names tenants and files, evidence never does.".to_owned());
    }
    all
}
