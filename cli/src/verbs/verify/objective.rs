//! Objectives: a restore that is timed, and the age of what it brings back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::{Choice, cat, choose};
use lifeboat_verify::history::{Line, predicted, taken};
use lifeboat_verify::loss::{Found, Loss};
use lifeboat_verify::objective::{
    Assumptions, Basis, Least, Monotonic, Rehearsal, Rpo, RpoVerdict, Rto, RtoObjective, RtoVerdict,
    TrialSize, rehearse, rpo,
};
use lifeboat_verify::{Outcome, Seed};
use serde_json::{Value, json};

use super::{Args, Checked, Level, Trial, looks};
use crate::codes::Code;
use crate::config::{Component, Config, Heartbeat, Placed, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame, verify_failure};
use crate::losses;
use crate::measured;
use crate::predictions;
use crate::progress::Progress;
use crate::when::{count_of, parse_moment, show_duration, show_objective};

/// Both objectives of a component.
#[derive(Clone, Debug)]
pub(crate) struct Objective {
    /// The component.
    pub(crate) component: Label,
    /// How long a restore takes, and how much would be lost; or why that could not be told.
    pub(crate) found: std::result::Result<Measured, Failure>,
    /// What it means.
    pub(crate) exit: Exit,
    /// When another was measured that says more than this one, so that `status` goes on showing it.
    pub(crate) kept: Option<Timestamp>,
}

/// What was measured of a component.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// The time of a restore.
    pub(crate) rto: Rto,
    /// The age of what it brings back.
    pub(crate) rpo: Rpo,
    /// Whether the restore brought everything back.
    pub(crate) restored: Outcome,
    /// What is lost by the heartbeats found in what was restored, where the component has any.
    pub(crate) loss: Option<Loss>,
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
    let (mut objectives, mut seen) = (Vec::new(), Vec::new());
    for component in components {
        let begun = context.now();
        let progress = context.progress_of(&component.name, "objective");
        let found = one((context, config), &repository, &recovery, component, args, disaster, &progress)
            .map_err(|failure| failure.at(repository_place(region)).into_check());
        let exit = exit_of(&found);
        seen.push(looks::of_objective(region, component, (begun, context.now()), &found));
        let kept = match (&found, &config.host) {
            (Ok(found), Some(host)) => remember(context, component, found, &host.state),
            _ => None,
        };
        objectives.push(Objective { component: component.name.clone(), found, exit, kept });
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
        looks: seen,
        value,
    })
}

fn one(
    (context, config): (&Context, &Config),
    repository: &Repository,
    recovery: &Recovery<'_>,
    component: &Component,
    args: &Args,
    disaster: Timestamp,
    progress: &Progress,
) -> Result<Measured> {
    let (size, seed) = match args.trial() {
        Trial::Whole => (TrialSize::Whole, None),
        sample => {
            let seed = match args.seed {
                Some(seed) => seed,
                // Published long before, and a nonce: neither side alone chooses what is restored.
                None => Seed::from_checkpoint(&repository.trust().head.1, &args.nonce(context)?),
            };
            let size = match sample {
                Trial::Bytes(bytes) => TrialSize::Sample { bytes, seed },
                Trial::Percent(percent) => TrialSize::Share { share: f64::from(percent) / 100.0, seed },
                Trial::Whole => TrialSize::Whole,
            };
            (size, Some(seed))
        }
    };
    let rehearsal = Rehearsal {
        component: component.name.clone(),
        size,
        least: Least::default(),
        scratch: args.scratch.clone().unwrap_or_else(std::env::temp_dir),
        objective: RtoObjective { target: component.rto.target, limit: component.rto.limit },
        assumptions: assumptions(config, component),
    };
    let mut found = Found::default();
    let mut look = |tree: &Path| match losses::found_at(recovery, component, tree) {
        // A component that was restored whole several times is looked at once.
        Ok(more) => {
            if size != TrialSize::Whole || found == Found::default() {
                found.extend(more)
            }
        }
        Err(error) => tracing::warn!(component = %component.name, %error, "heartbeats cannot be read"),
    };
    let rehearsed =
        rehearse(recovery, &rehearsal, &Monotonic::default(), progress, &mut look).map_err(verify_failure)?;
    let listed = Judge::new(repository, recovery.catalog())?.list(Some(&component.name))?;
    let loss = match &component.heartbeat {
        None => None,
        Some(heartbeat) => {
            let restored = choose(&listed, &component.name, Choice::Run(rehearsed.run)).ok();
            let restored = restored.map(|chosen| chosen.snapshot);
            if let Some(snapshot) = restored.filter(|_| !rehearsed.rto.measurements.whole) {
                found.extend(of_component(recovery, component, heartbeat, snapshot, progress));
            }
            let point = restored.map(|snapshot| snapshot.recovery_point);
            Some(losses::judge(recovery, component, &found, None, disaster, point)?)
        }
    };
    let rpo = rpo(&listed, &component.name, disaster, component.rpo);
    let seed = seed.filter(|_| !rehearsed.rto.measurements.whole);
    Ok(Measured { rto: rehearsed.rto, rpo, restored: rehearsed.outcome, loss, seed })
}

/// What no restore into scratch space can show of a component.
pub(crate) fn assumptions(config: &Config, component: &Component) -> Assumptions {
    let region = config.regions.iter().find(|region| region.name == component.region);
    let class = region.and_then(|region| region.repository.storage_class());
    Assumptions {
        setup: component.rto_setup,
        retrieval: class.map(|class| config.recovery.wait(class)),
        replay: component.rto_replay,
        checks: component.rto_checks,
        cutover: component.rto_cutover,
    }
}

/// The records in the component's own file, which a sample may not have.
fn of_component(
    recovery: &Recovery<'_>,
    component: &Component,
    heartbeat: &Heartbeat,
    snapshot: &Snapshot,
    progress: &Progress,
) -> Found {
    let Placed::File(file) = &heartbeat.placed else { return Found::default() };
    let mut lines = Vec::new();
    let path = file.as_os_str().as_encoded_bytes();
    let given = cat(recovery, snapshot, &BTreeSet::new(), path, progress, &mut |bytes| {
        lines.extend_from_slice(bytes);
        Ok(())
    });
    if let Err(error) = given {
        tracing::warn!(component = %component.name, %error, "its file of heartbeats cannot be had");
        return Found::default();
    }
    losses::among(recovery, component, &lines)
}

fn exit_of(found: &std::result::Result<Measured, Failure>) -> Exit {
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
    let by_heartbeats = match found.loss.as_ref().map(|loss| &loss.verdict) {
        None | Some(RpoVerdict::Met) => Exit::Ok,
        Some(RpoVerdict::Missed) => Exit::Missed,
        Some(RpoVerdict::InsufficientEvidence(_)) => Exit::Unchecked,
    };
    restored.worst(time).worst(loss).worst(by_heartbeats)
}

/// Remembers it, unless an earlier one says more: when that was measured.
fn remember(context: &Context, component: &Component, found: &Measured, state: &Path) -> Option<Timestamp> {
    let run = found.rpo.run?;
    let now = context.now();
    let said = predicted(&component.name, &found.rto, now).map(Line::Predicted);
    let took = taken(&component.name, &found.rto, now).map(Line::Measured);
    said.into_iter().chain(took).for_each(|line| predictions::keep(state, &line));
    let lacked = found.restored != Outcome::Passed;
    let measured = measured::Measured::new(component, run, now, &found.rto, lacked);
    measured::store(state, component, &measured).map(|kept| kept.at())
}

fn value_of(objective: &Objective) -> Value {
    match &objective.found {
        Err(failure) => {
            json!({ "component": objective.component, "exit": objective.exit.code(), "error": failure.json() })
        }
        Ok(found) => {
            json!({ "component": objective.component, "exit": objective.exit.code(), "rto": found.rto,
                             "rpo": found.rpo, "restored": found.restored, "seed": found.seed,
                             "loss": found.loss.as_ref().map(losses::value) })
        }
    }
}

/// The verdict on recovery time in a few words: `met: about 12 s, between 11 s and 13 s, target 24 h`.
pub(crate) fn rto_words(rto: &Rto) -> String {
    let (low, high) = (show_duration(rto.range.low), show_duration(rto.range.high));
    let about = match show_duration(rto.projected) {
        about if low == high => about,
        about => format!("{about}, between {low} and {high}"),
    };
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

/// What a projected time consists of: `setup 0 s (assumed) + planning 0.1 s (measured) + …`. What is 0 because nothing of
/// its kind is configured is left out; `--json` has it.
pub(crate) fn terms(rto: &Rto) -> String {
    let term = |name: &str, time: Duration, basis: Basis| format!("{name} {} ({basis})", show_duration(time));
    let told = rto
        .terms
        .iter()
        .filter(|one| !one.time.is_zero() || matches!(one.name.as_str(), "setup" | "cutover"));
    told.map(|one| term(&one.name, one.time, one.basis)).collect::<Vec<_>>().join(" + ")
}

/// How fast it ran with each number of streams: `1 stream 80.1 MB/s, 8 streams 310.0 MB/s`.
pub(crate) fn speeds(rto: &Rto) -> Option<String> {
    let trials = &rto.measurements.trials;
    let mut counts: Vec<u32> = trials.iter().map(|trial| trial.streams).collect();
    counts.sort_unstable();
    counts.dedup();
    let speed = |streams: &u32| {
        let own = || trials.iter().filter(|trial| trial.streams == *streams);
        let seconds: f64 = own().map(|trial| trial.transfer.as_secs_f64()).sum();
        let bytes: u64 = own().map(|trial| trial.work.bytes.0).sum();
        let rate = Bytes(whole_number(bytes as f64 / seconds.max(1e-9)));
        format!("{} {rate}/s", count_of(u64::from(*streams), "stream", "streams"))
    };
    (counts.len() > 1).then(|| {
        let all = counts.iter().map(speed).collect::<Vec<_>>().join(", ");
        format!("{all}; told for `restore --streams {}`", rto.streams)
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates"
)]
fn whole_number(rate: f64) -> u64 {
    rate as u64
}
