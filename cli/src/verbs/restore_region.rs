//! `restore --region`: every component of a region, those that others need first, on one clock.
//!
//! What is restored is decided once, at the beginning, and written down in the target with what became of each
//! component. The same command run again goes on from there: what is done is looked at and not done again, what was
//! cut off goes on, what failed is tried anew, and the clock counts from the first beginning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::repository::witness::Depth;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::diff::{Against, Aspect, Change, with_directory};
use lifeboat_restore::{Choice, Selection, Status, choose};
use lifeboat_verify::objective::Work;

use super::restore::{self, Args};
use crate::codes::Code;
use crate::config::{Component, Config, Region, RtoObjective};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown};
use crate::render::Outcome;
use crate::witnessed::{self, Said};
use journal::{Journal, Stage, Step};

mod journal;
mod page;

pub(super) use journal::brought;

/// What became of one component now.
struct Part<'c> {
    component: &'c Component,
    /// What of it is restored; none where there is no snapshot.
    run: Option<RunId>,
    ended: Ended,
    exit: Exit,
}

/// How a component's turn ended.
enum Ended {
    /// Only planned.
    Planned { entries: u64, bytes: Bytes, fetch: Bytes },
    /// Restored now.
    Restored(Step, Option<String>),
    /// Restored by an earlier run of the command; how many entries differ from it by now.
    Before(Step, u64),
    /// Not tried: it needs this one, which is not there.
    Skipped(Label),
    /// It failed.
    Failed(Failure),
    /// Not begun, since somebody asked to stop.
    NotBegun,
}

/// The whole, for pages and JSON.
struct Whole<'c> {
    region: &'c Region,
    target: &'c Path,
    parts: Vec<Part<'c>>,
    /// What components need that is in another region.
    outside: Vec<(Label, Label)>,
    /// From the first beginning to now; none where nothing is done.
    elapsed: Option<Duration>,
    /// The strictest of the components' objectives.
    objective: RtoObjective,
    /// What a witness says of how new the repository is.
    freshness: Said,
    exit: Exit,
}

pub(super) fn run(context: &Context, args: &Args, region: &Label) -> Result<Outcome> {
    let target = args.target()?;
    let config = context.config()?;
    let region = config.region(region)?;
    let order = in_order(&config, region);
    let Some(objective) = strictest(&order) else {
        return Err(Failure::usage(format!("no component is configured in region {}", region.name))
            .at(shown(&config.path))
            .next("name another region"));
    };
    let mut journal = Journal::open(target, &region.name, args.which.at.as_deref(), context.now())?;
    decide(context, args, region, &order, &mut journal)?;
    if !args.dry_run {
        journal.store()?;
    }
    let mut parts: Vec<Part<'_>> = Vec::new();
    for component in &order {
        let part = one(context, &config, args, component, &parts, &mut journal);
        parts.push(part);
    }
    let exit = parts.iter().fold(Exit::Ok, |exit, part| exit.worst(part.exit));
    if !args.dry_run && exit == Exit::Ok {
        journal.conclude(context.now())?;
    }
    let elapsed = (!args.dry_run).then(|| journal.elapsed(context.now()));
    let late = elapsed.is_some_and(|elapsed| elapsed > objective.target);
    let exit = if late { exit.worst(Exit::Missed) } else { exit };
    let freshness = match context.open(region) {
        Ok(repository) => witnessed::ask(context, region, &repository, Depth::All),
        Err(failure) => Said::Unknown(failure),
    };
    let exit = exit.worst(freshness.exit_of_restore());
    let outside = outside(&order);
    let whole = Whole { region, target, parts, outside, elapsed, objective, freshness, exit };
    Ok(Outcome { exit, value: page::value_of(&whole), page: page::render(context, &whole) })
}

/// The components of a region, each after those it needs; else in the order of the file. The configuration was
/// checked for circles.
pub(super) fn in_order<'c>(config: &'c Config, region: &'c Region) -> Vec<&'c Component> {
    let mut waiting: Vec<&Component> = config.components_of(&region.name).collect();
    let mut order: Vec<&Component> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = |one: &Component| !waiting.iter().any(|other| one.needs.contains(&other.name));
        let at = waiting.iter().position(|one| ready(one)).unwrap_or(0);
        order.push(waiting.remove(at));
    }
    order
}

/// What components need that is not of their region.
fn outside(order: &[&Component]) -> Vec<(Label, Label)> {
    let foreign = |component: &Component| -> Vec<(Label, Label)> {
        let needs = component.needs.iter().filter(|need| !order.iter().any(|one| one.name == **need));
        needs.map(|need| (component.name.clone(), need.clone())).collect()
    };
    order.iter().flat_map(|component| foreign(component)).collect()
}

fn strictest(order: &[&Component]) -> Option<RtoObjective> {
    Some(RtoObjective {
        target: order.iter().map(|component| component.rto.target).min()?,
        limit: order.iter().map(|component| component.rto.limit).min()?,
    })
}

/// Chooses a snapshot of every component that has none chosen yet: all of one listing, so that what is restored
/// does not depend on how long the first of them took.
fn decide(
    context: &Context,
    args: &Args,
    region: &Region,
    order: &[&Component],
    journal: &mut Journal,
) -> Result<()> {
    if order.iter().all(|component| journal.step(&component.name).is_some()) {
        return Ok(());
    }
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let listed = Judge::to_read(&repository, recovery.catalog())
        .and_then(|judge| judge.list_with_gone(None))
        .map_err(|error| Failure::from(error).at(repository_place(region)))?;
    for component in order {
        if journal.step(&component.name).is_some() {
            continue;
        }
        let choice = args.which.choice(context, &listed, &component.name)?;
        // What has none fails when its turn comes, with the reason.
        if let Ok(chosen) = choose(&listed, &component.name, choice) {
            journal.decide(&component.name, chosen.listed.run);
        }
    }
    Ok(())
}

/// Restores one component, where what it needs is there.
fn one<'c>(
    context: &Context,
    config: &Config,
    args: &Args,
    component: &'c Component,
    before: &[Part<'_>],
    journal: &mut Journal,
) -> Part<'c> {
    let step = journal.step(&component.name).cloned();
    let run = step.as_ref().map(|step| step.run);
    let part = |ended: Ended, exit| Part { component, run, ended, exit };
    if before.iter().any(|part| part.exit == Exit::Interrupted) {
        return part(Ended::NotBegun, Exit::Interrupted);
    }
    let absent = |part: &&Part<'_>| matches!(part.ended, Ended::Failed(_) | Ended::Skipped(_));
    let missing = before.iter().filter(absent).find(|part| component.needs.contains(&part.component.name));
    if let Some(missing) = missing {
        return part(Ended::Skipped(missing.component.name.clone()), Exit::Partly);
    }
    let ended = match &step {
        Some(step) if step.stage != Stage::Begun && step.took.is_some() => {
            again(context, args, component, step)
        }
        Some(step) => perform(context, config, args, component, step.run, journal)
            .or_else(|failure| ended_unnoticed(context, args, component, step, journal).ok_or(failure)),
        None => no_snapshot(context, args, config, component),
    };
    match ended {
        Ok(ended) => {
            let exit = exit_of(&ended);
            part(ended, exit)
        }
        Err(failure) => {
            // What is refused for one component leaves the whole partly done.
            let refused = matches!(failure.exit, Exit::Refused | Exit::Usage | Exit::Ok);
            let exit = if refused { Exit::Partly } else { failure.exit };
            part(Ended::Failed(failure), exit)
        }
    }
}

fn exit_of(ended: &Ended) -> Exit {
    match ended {
        Ended::Planned { .. } => Exit::Ok,
        Ended::Restored(step, _) | Ended::Before(step, 0) => step.exit(),
        Ended::Before(step, _) => step.exit().worst(Exit::Partly),
        Ended::Skipped(_) => Exit::Partly,
        Ended::Failed(failure) => failure.exit,
        Ended::NotBegun => Exit::Interrupted,
    }
}

/// Why there is nothing to restore, as choosing says it.
fn no_snapshot(context: &Context, args: &Args, config: &Config, component: &Component) -> Result<Ended> {
    let region = config.region(&component.region)?;
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let listed = Judge::to_read(&repository, recovery.catalog())?.list(Some(&component.name))?;
    let choice = args.which.choice(context, &listed, &component.name)?;
    let chosen = choose(&listed, &component.name, choice).map_err(restore_failure)?;
    Err(Failure::new(
        Exit::Refused,
        format!("snapshot {} of {} came only now", chosen.listed.run, component.name),
    )
    .code(Code::NotRestored)
    .next("run it again"))
}

fn perform(
    context: &Context,
    config: &Config,
    args: &Args,
    component: &Component,
    run: RunId,
    journal: &mut Journal,
) -> Result<Ended> {
    let target = place_of(args.target()?, &component.name);
    let own = args.of_component(&component.name, target, run);
    if !args.dry_run {
        journal.begin(&component.name)?;
    }
    let begun = std::time::Instant::now();
    let done = restore::one(context, config, &own)?;
    let Some(report) = &done.report else {
        let plan = &done.plan;
        return Ok(Ended::Planned { entries: plan.entries, bytes: plan.bytes, fetch: plan.fetch });
    };
    let stage = if report.status() == Status::Complete { Stage::Complete } else { Stage::Partial };
    let damaged = restore::exit_of(report) == Exit::Damaged;
    // Of a restore that was cut off, what went before counts too.
    let took = begun.elapsed() + journal.spent(&component.name);
    let plan = &done.plan;
    let work = Work { bytes: plan.bytes, fetched: plan.fetch, requests: plan.segments, files: plan.entries };
    let (took, work) = (Some(took), Some(work));
    let step = Step { run, stage, damaged, took, entries: report.entries, bytes: report.bytes, work };
    journal.end(&component.name, step.clone())?;
    Ok(Ended::Restored(step, done.passed_over))
}

/// What had come to its end when everything was cut off, before that could be written down: then what is there is no
/// longer taken for unfinished, and is refused. It must be just what the snapshot holds.
fn ended_unnoticed(
    context: &Context,
    args: &Args,
    component: &Component,
    step: &Step,
    journal: &mut Journal,
) -> Option<Ended> {
    if step.stage != Stage::Begun || args.dry_run {
        return None;
    }
    let took = Some(journal.spent(&component.name));
    let step = Step { stage: Stage::Complete, took, ..step.clone() };
    match again(context, args, component, &step) {
        Ok(Ended::Before(step, 0)) => {
            journal.end(&component.name, step.clone()).ok().map(|()| Ended::Before(step, 0))
        }
        _ => None,
    }
}

/// Looks at what was restored before: whether it is still there as it was.
fn again(context: &Context, args: &Args, component: &Component, step: &Step) -> Result<Ended> {
    let config = context.config()?;
    let region = config.region(&component.region)?;
    let at = |failure: Failure| failure.at(repository_place(region));
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let listed = Judge::to_read(&repository, recovery.catalog())?
        .list(Some(&component.name))
        .map_err(|e| at(e.into()))?;
    let chosen = choose(&listed, &component.name, Choice::Run(step.run))
        .map_err(|error| at(restore_failure(error)))?;
    let progress = context.progress_of(&component.name, "look at the restored");
    let observer: &dyn Observer = &progress;
    let (everything, target) = (Selection::default(), place_of(args.target()?, &component.name));
    let mut differ = 0;
    with_directory(
        &recovery,
        chosen.snapshot,
        &everything,
        &target,
        Against::default(),
        observer,
        &mut |one| {
            // Owners and the like may be others on purpose; what the snapshot never had is nobody's loss.
            let known = match &one.change {
                Change::Removed => true,
                Change::Changed(aspects) => aspects
                    .iter()
                    .any(|aspect| matches!(aspect, Aspect::Content | Aspect::Type | Aspect::Target)),
                Change::Added => false,
                Change::Unread(_) => one.old.is_some(),
            };
            differ += u64::from(known);
        },
    )
    .map_err(|error| at(restore_failure(error)))?;
    // What a partial restore did not bring is known to be missing.
    let differ = if step.stage == Stage::Complete { differ } else { 0 };
    let mut step = step.clone();
    if step.entries == 0 {
        // How much it was could not be written down.
        (step.entries, step.bytes) = (chosen.snapshot.counts.entries, chosen.snapshot.counts.bytes);
    }
    Ok(Ended::Before(step, differ))
}

fn place_of(target: &Path, component: &Label) -> PathBuf {
    target.join(component.as_str())
}

impl Step {
    fn exit(&self) -> Exit {
        match self.stage {
            _ if self.damaged => Exit::Damaged,
            Stage::Complete => Exit::Ok,
            _ => Exit::Partly,
        }
    }
}
