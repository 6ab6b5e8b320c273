//! `status`: one look at every component.

use std::time::Duration;

use lifeboat_repo::format::snapshot::{Snapshot, Status};
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::repository::snapshots::Listed;
use lifeboat_repo::repository::witness::Depth;
use serde_json::{Value, json};

use crate::config::{Component, Config};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::measured::{self, Measured};
use crate::render::{Cell, Column, Outcome, Table, Tone};
use crate::survey::{self, Asked};
use crate::when::{show_duration, show_objective};
use crate::witnessed::{self, Said};
use replica::Copied;

#[cfg(feature = "recover")]
pub(crate) mod html;
mod replica;
#[cfg(feature = "recover")]
mod whole;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Write the readiness page to this file, too: could we recover today, and when was that last proven?
    #[cfg(feature = "recover")]
    #[arg(long, value_name = "FILE")]
    html: Option<std::path::PathBuf>,
    #[cfg(feature = "recover")]
    #[command(flatten)]
    from: html::Where,
}

/// What one look shows of a component.
struct Look<'c> {
    component: &'c Component,
    snapshot: Option<Snapshot>,
    /// What is wrong with the newest that is dated ahead of the store's clock.
    ahead: Option<String>,
    /// The newest that should count and does not, and why.
    void: Option<(RunId, String)>,
    age: Option<Duration>,
    measured: Option<Measured>,
    replica: Option<Copied>,
    exit: Exit,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    #[cfg(feature = "recover")]
    {
        let mut outcome = look_at(context, &args.asked)?;
        // The line on the terminal and the page say the same: there is one judgement.
        let (readiness, newest) = html::judge(context, &outcome, &args.from);
        html::tell(context, &mut outcome, &readiness, newest.as_ref());
        if let Some(file) = &args.html {
            html::write(&readiness, file)?;
        }
        Ok(outcome)
    }
    #[cfg(not(feature = "recover"))]
    look_at(context, &args.asked)
}

/// One look at every component asked for.
pub(crate) fn look_at(context: &Context, asked: &Asked) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut looks = Vec::new();
    let mut failures: Vec<(Label, Failure)> = Vec::new();
    let mut witnesses: Vec<(Label, Said)> = Vec::new();
    #[cfg(feature = "recover")]
    let mut members = Vec::new();
    for region in asked.regions(context, &config)? {
        let wanted = |component: &&Component| asked.wants(&component.name);
        if !config.components_of(&region.name).any(|component| wanted(&component)) {
            continue;
        }
        match survey::snapshots_of(context, &config, region, None, asked.identities.files(context)) {
            Ok(listed) => {
                if region.has_witness() {
                    let said = context
                        .open(region)
                        .map(|repository| witnessed::ask(context, region, &repository, Depth::Newest));
                    witnesses.push((region.name.clone(), said.unwrap_or_else(Said::Unknown)));
                }
                let copies = replica::look(context, &config, region, asked.identities.files(context));
                let components = config.components_of(&region.name).filter(wanted);
                for component in components {
                    let replica = copies.as_ref().map(|copies| Copied::of(context, copies, component));
                    let look = Look { replica, ..look(context, &config, component, &listed) };
                    #[cfg(feature = "recover")]
                    members.push(whole::member(component, look.measured.as_ref(), &listed));
                    looks.push(look);
                }
            }
            // One region out of reach must not hide how the others are.
            Err(failure) => failures.push((region.name.clone(), failure.into_check())),
        }
    }
    let exit = looks.iter().map(|look| look.exit).chain(failures.iter().map(|(_, failure)| failure.exit));
    let exit = exit.chain(witnesses.iter().map(|(_, said)| said.exit())).fold(Exit::Ok, Exit::worst);
    if !looks.is_empty() {
        page.table(&table(&looks));
    }
    #[cfg(feature = "recover")]
    let whole = whole::look(context, &config, members);
    #[cfg(feature = "recover")]
    let exit = whole.as_ref().map_or(exit, |whole| exit.worst(whole.exit()));
    #[cfg(feature = "recover")]
    if let Some(whole) = &whole {
        whole.render(&mut page);
    }
    for (region, failure) in &failures {
        page.gap().toned(Tone::Bad, &format!("  {region}: could not look: {}", failure.coded()));
        if let Some(next) = failure.step() {
            page.item("→", next);
        }
    }
    for (region, said) in &witnesses {
        page.gap().toned(said.tone(), &format!("  {region}: freshness {}", said.words()));
    }
    advise(&mut page, &looks);
    let components: Vec<Value> = looks.iter().map(value).collect();
    let regions: Vec<Value> = failures
        .iter()
        .map(|(region, failure)| json!({ "region": region, "error": failure.json() }))
        .collect();
    let told = witnesses
        .iter()
        .map(|(region, said)| json!({ "region": region, "freshness": said.value(), "says": said.words(), "exit": said.exit().code() }));
    let told: Vec<Value> = told.collect();
    #[cfg_attr(not(feature = "recover"), expect(unused_mut, reason = "agents schedule no recovery"))]
    let mut value = json!({ "components": components, "unreachable": regions, "witnesses": told });
    #[cfg(feature = "recover")]
    if let Some(object) = value.as_object_mut() {
        object.insert("whole".into(), whole.as_ref().map(whole::Whole::value).into());
    }
    Ok(Outcome { exit, value, page: page.finish() })
}

fn look<'c>(context: &Context, config: &Config, component: &'c Component, listed: &[Listed]) -> Look<'c> {
    let snapshot = survey::latest(listed, &component.name).cloned();
    let ahead = survey::ahead(listed, &component.name).map(survey::ahead_words);
    let age = snapshot.as_ref().map(|snapshot| context.now().since(snapshot.recovery_point));
    let measured = config.host.as_ref().and_then(|host| measured::load(&host.state, component));
    let void = survey::void_since(listed, &component.name).map(|(one, why)| (one.run, tame(why)));
    let late = age.is_none_or(|age| age > component.rpo);
    let partial = snapshot.as_ref().is_some_and(|snapshot| snapshot.status == Status::Partial);
    let mut exit = if partial { Exit::Partly } else { Exit::Ok };
    if late || measured.as_ref().is_some_and(|measured| measured.exit() == Exit::Missed) {
        exit = Exit::Missed;
    }
    if void.is_some() {
        exit = exit.worst(Exit::Damaged);
    }
    Look { component, snapshot, ahead, void, age, measured, replica: None, exit }
}

fn table(looks: &[Look<'_>]) -> Table {
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Left("region"),
        Column::Left("backup"),
        Column::Right("age"),
        Column::Left("RPO"),
        Column::Folded("RTO"),
    ]);
    for look in looks {
        let backup = match &look.snapshot {
            None if look.ahead.is_some() => Cell::toned(Tone::Bad, "dated ahead"),
            None => Cell::toned(Tone::Bad, "none"),
            Some(snapshot) if snapshot.status == Status::Partial => Cell::toned(Tone::Warn, "partial"),
            Some(_) => Cell::toned(Tone::Good, "complete"),
        };
        let age = look.age.map_or_else(|| "never".to_owned(), show_duration);
        let rpo = show_objective(look.component.rpo);
        let rpo = match look.age {
            Some(age) if age <= look.component.rpo => Cell::toned(Tone::Good, format!("met ({rpo})")),
            _ => Cell::toned(Tone::Bad, format!("MISSED ({rpo})")),
        };
        table.row([
            look.component.name.to_string().into(),
            look.component.region.to_string().into(),
            backup,
            age.into(),
            rpo,
            rto(look),
        ]);
    }
    table
}

fn rto(look: &Look<'_>) -> Cell {
    match &look.measured {
        None => Cell::toned(Tone::Dim, "not measured"),
        Some(measured) => Cell::toned(measured.tone(), measured.words()),
    }
}

fn advise(page: &mut crate::render::Page, looks: &[Look<'_>]) {
    let mut advice = Vec::new();
    for look in looks {
        let name = &look.component.name;
        if let Some((run, why)) = &look.void {
            advice.push(format!(
                "{name}: {run} is newer and does not count: {why}; `lifeboat verify`, then `lifeboat repair --from replica`"
            ));
        }
        if let Some(why) = &look.ahead {
            advice.push(format!("{name}: {why}; \"latest\" takes no such snapshot while there is another"));
        }
        match look.age {
            None if look.ahead.is_some() => advice.push(format!(
                "what a disaster now would lose of {name} is unknown: set the clock, then `lifeboat backup {name}`"
            )),
            None => advice.push(format!("{name} has no snapshot: `lifeboat backup {name}`")),
            Some(age) if age > look.component.rpo => {
                advice.push(format!(
                    "{name}: a disaster now would lose {}; `lifeboat backup {name}`, and see why the last one did \
                     not run",
                    show_duration(age)
                ));
            }
            Some(_) => {}
        }
        if let Some(snapshot) = look.snapshot.as_ref().filter(|snapshot| snapshot.status == Status::Partial) {
            let reasons = snapshot.counts.reasons();
            let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
            advice.push(format!("{name} is partial{why}; `lifeboat backup {name}` lists them"));
        }
        advice.extend(look.replica.as_ref().and_then(|copied| copied.advice(look.component)));
        advice.extend(look.measured.as_ref().and_then(Measured::advice));
        if look.measured.is_none() {
            advice.push(format!(
                "nobody has measured how long {name} takes to restore: `lifeboat verify --level objective {name}`"
            ));
        }
    }
    if !advice.is_empty() {
        page.gap();
    }
    for line in advice {
        page.item("→", &line);
    }
}

fn value(look: &Look<'_>) -> Value {
    let met = look.age.is_some_and(|age| age <= look.component.rpo);
    json!({
        "component": look.component.name, "region": look.component.region,
        "snapshot": look.snapshot.as_ref().map(|snapshot| snapshot.run),
        "recovery_point": look.snapshot.as_ref().map(|snapshot| snapshot.recovery_point.rfc3339()),
        "status": look.snapshot.as_ref().map(|snapshot| survey::status_word(snapshot.status)),
        "dated_ahead": look.ahead,
        "void": look.void.as_ref().map(|(run, why)| json!({ "run": run, "why": why })),
        "age_seconds": look.age.map(|age| age.as_secs()), "rpo_seconds": look.component.rpo.as_secs(),
        "rpo": if met { "met" } else { "missed" },
        "rto": look.measured.as_ref().map(Measured::value),
        "replica": look.replica.as_ref().map(Copied::value),
        "exit": look.exit.code(),
    })
}
