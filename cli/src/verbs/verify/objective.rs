//! Objectives: a restore that is timed, and the age of what it brings back.

use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::Timestamp;
use lifeboat_verify::objective::{
    Assumptions, Basis, Rehearsal, Rpo, RpoVerdict, Rto, RtoObjective, RtoVerdict, TrialSize, rehearse, rpo,
};
use lifeboat_verify::{Outcome, Seed};
use serde_json::{Value, json};

use super::{Args, Checked, Level, Trial};
use crate::codes::Code;
use crate::config::{Component, Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame, verify_failure};
use crate::measured::{self, Measured, Verdict};
use crate::progress::Progress;
use crate::when::{parse_moment, show_duration, show_objective};

/// Both objectives of a component.
#[derive(Clone, Debug)]
pub(crate) struct Objective {
    /// The component.
    pub(crate) component: Label,
    /// How long a restore takes, and how much would be lost; or why that could not be told.
    pub(crate) found: std::result::Result<Found, Failure>,
    /// What it means.
    pub(crate) exit: Exit,
}

/// What was measured of a component.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The time of a restore.
    pub(crate) rto: Rto,
    /// The age of what it brings back.
    pub(crate) rpo: Rpo,
    /// Whether the restore brought everything back.
    pub(crate) restored: Outcome,
    /// What drew the sample, if it was one.
    pub(crate) seed: Option<Seed>,
}

pub(super) fn check(
    context: &Context,
    config: &Config,
    region: &Region,
    components: &[&Component],
    args: &Args,
) -> Result<Checked> {
    let disaster = match &args.disaster_at {
        None => context.now(),
        Some(text) => parse_moment(text, context.now())
            .map_err(|why| Failure::usage(why).code(Code::Moment).at("--disaster-at"))?,
    };
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let mut objectives = Vec::new();
    for component in components {
        let progress = context.progress_of(&component.name, "objective");
        let found = one(context, &repository, &recovery, component, args, disaster, &progress)
            .map_err(|failure| failure.at(repository_place(region)).into_check());
        let exit = exit_of(&found);
        if let (Ok(found), Some(host)) = (&found, &config.host) {
            remember(context, component, found, &host.state);
        }
        objectives.push(Objective { component: component.name.clone(), found, exit });
        if exit == Exit::Interrupted {
            break;
        }
    }
    let exit = objectives.iter().fold(Exit::Ok, |exit, objective| exit.worst(objective.exit));
    let value = json!({ "region": region.name, "level": Level::Objective.word(), "exit": exit.code(),
                        "disaster": disaster.rfc3339(), "components": objectives.iter().map(value_of).collect::<Vec<_>>() });
    let summary = if objectives.is_empty() {
        "no component is configured in this region".to_owned()
    } else {
        String::new()
    };
    Ok(Checked {
        region: region.name.clone(),
        level: Level::Objective,
        exit,
        summary,
        findings: Vec::new(),
        objectives,
        value,
    })
}

fn one(
    context: &Context,
    repository: &Repository,
    recovery: &Recovery<'_>,
    component: &Component,
    args: &Args,
    disaster: Timestamp,
    progress: &Progress,
) -> Result<Found> {
    let listed = Judge::new(repository, recovery.catalog())?.list(Some(&component.name))?;
    let (size, seed) = match args.trial() {
        Trial::Whole => (TrialSize::Whole, None),
        Trial::Bytes(bytes) => {
            let seed = match args.seed {
                Some(seed) => seed,
                // Published long before, and a nonce: neither side alone chooses what is restored.
                None => Seed::from_checkpoint(&repository.trust().head.1, &args.nonce(context)?),
            };
            (TrialSize::Sample { bytes, seed }, Some(seed))
        }
    };
    let rehearsal = Rehearsal {
        component: component.name.clone(),
        size,
        scratch: args.scratch.clone().unwrap_or_else(std::env::temp_dir),
        objective: RtoObjective { target: component.rto.target, limit: component.rto.limit },
        assumptions: Assumptions { setup: component.rto_setup, cutover: component.rto_cutover },
    };
    let rehearsed = rehearse(recovery, &rehearsal, progress).map_err(verify_failure)?;
    let rpo = rpo(&listed, &component.name, disaster, component.rpo);
    let seed = seed.filter(|_| !rehearsed.rto.trial.whole);
    Ok(Found { rto: rehearsed.rto, rpo, restored: rehearsed.outcome, seed })
}

fn exit_of(found: &std::result::Result<Found, Failure>) -> Exit {
    let found = match found {
        Err(failure) => return failure.exit,
        Ok(found) => found,
    };
    let restored = match found.restored {
        Outcome::Passed => Exit::Ok,
        Outcome::Failed => Exit::Damaged,
        Outcome::NotRun(_) => Exit::Unchecked,
    };
    let time = match found.rto.verdict {
        RtoVerdict::Met => Exit::Ok,
        RtoVerdict::TargetMissed | RtoVerdict::LimitMissed => Exit::Missed,
        RtoVerdict::InsufficientEvidence(_) => Exit::Unchecked,
    };
    let loss = match found.rpo.verdict {
        RpoVerdict::Met => Exit::Ok,
        RpoVerdict::Missed => Exit::Missed,
        RpoVerdict::InsufficientEvidence(_) => Exit::Unchecked,
    };
    restored.worst(time).worst(loss)
}

fn remember(context: &Context, component: &Component, found: &Found, state: &std::path::Path) {
    let Some(run) = found.rpo.run else { return };
    let verdict = match found.rto.verdict {
        RtoVerdict::Met => Verdict::Met,
        RtoVerdict::TargetMissed => Verdict::TargetMissed,
        RtoVerdict::LimitMissed => Verdict::LimitMissed,
        RtoVerdict::InsufficientEvidence(_) => Verdict::InsufficientEvidence,
    };
    measured::store(state, &Measured::new(component, run, context.now(), found.rto.projected, verdict));
}

fn value_of(objective: &Objective) -> Value {
    match &objective.found {
        Err(failure) => {
            json!({ "component": objective.component, "exit": objective.exit.code(), "error": failure.json() })
        }
        Ok(found) => {
            json!({ "component": objective.component, "exit": objective.exit.code(), "rto": found.rto,
                             "rpo": found.rpo, "restored": found.restored, "seed": found.seed })
        }
    }
}

/// The verdict on recovery time in a few words: `MET: about 12 s of 24 h`.
pub(crate) fn rto_words(rto: &Rto) -> String {
    let about = show_duration(rto.projected);
    let (target, limit) = (show_objective(rto.objective.target), show_objective(rto.objective.limit));
    match &rto.verdict {
        RtoVerdict::Met => format!("met: about {about}, target {target}"),
        RtoVerdict::TargetMissed => format!("TARGET MISSED: about {about}, target {target}, limit {limit}"),
        RtoVerdict::LimitMissed => format!("MISSED: about {about}, limit {limit}"),
        RtoVerdict::InsufficientEvidence(why) => format!("insufficient evidence: {}", tame(why)),
    }
}

/// The verdict on loss in a few words: `met: 3 s lost, 24 h allowed`.
pub(crate) fn rpo_words(rpo: &Rpo) -> String {
    let allowed = show_objective(rpo.objective);
    let lost = rpo.loss.map_or_else(|| "everything".to_owned(), show_duration);
    let partial = if rpo.partial { ", and the snapshot is partial" } else { "" };
    match &rpo.verdict {
        RpoVerdict::Met => format!("met: {lost} lost, {allowed} allowed{partial}"),
        RpoVerdict::Missed => format!("MISSED: {lost} lost, {allowed} allowed{partial}"),
        RpoVerdict::InsufficientEvidence(why) => format!("insufficient evidence: {}", tame(why)),
    }
}

/// What a projected time consists of: `setup 0 s (assumed) + planning 0.1 s (measured) + …`.
pub(crate) fn terms(rto: &Rto) -> String {
    let term = |name: &str, time: Duration, basis: Basis| format!("{name} {} ({basis})", show_duration(time));
    rto.terms.iter().map(|one| term(one.name, one.time, one.basis)).collect::<Vec<_>>().join(" + ")
}
