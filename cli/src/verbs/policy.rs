//! `policy check`: by when data that is deleted at its source today is gone from the backups, and which promises do not
//! hold.

use std::time::Duration;

use clap::Subcommand;
use lifeboat_repo::format::names;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::snapshots::{Listed, Standing};
use lifeboat_repo::units::Timestamp;
use serde_json::{Value, json};

use crate::config::{Component, Config, Place, Region};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render::{Outcome, Page, Tone};
use crate::survey::{self, Asked};
use crate::when::{show_duration, show_moment, show_objective};
use forecast::{Forecast, forecasts};

mod forecast;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say by when deleted data is gone from the backups, and which promises do not hold
    Check(Check),
}

#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    asked: Asked,
}

impl Args {
    /// The verb's name, for `--json`.
    pub(crate) fn name(&self) -> &'static str {
        match &self.what {
            What::Check(_) => "policy check",
        }
    }
}

/// What was found of a component.
struct Found<'c> {
    component: &'c Component,
    forecasts: Vec<Forecast>,
    /// Promises that do not hold, besides those of the forecasts.
    broken: Vec<String>,
    /// What could not be looked at.
    unchecked: Option<Failure>,
}

impl Found<'_> {
    fn broken(&self) -> impl Iterator<Item = &String> {
        self.broken.iter().chain(self.forecasts.iter().flat_map(|forecast| &forecast.broken))
    }

    fn exit(&self) -> Exit {
        let unchecked = self.unchecked.as_ref().map_or(Exit::Ok, |_| Exit::Unchecked);
        if self.broken().next().is_some() { Exit::Missed.worst(unchecked) } else { unchecked }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let What::Check(Check { asked }) = &args.what;
    let config = context.config()?;
    let mut page = context.page();
    let mut found = Vec::new();
    for region in asked.regions(context, &config)? {
        let wanted = config.components_of(&region.name).filter(|component| asked.wants(&component.name));
        let wanted: Vec<&Component> = wanted.collect();
        if wanted.is_empty() {
            continue;
        }
        let stored = look(context, &config, region, asked);
        for component in wanted {
            found.push(check(context.now(), &config, region, component, &stored));
        }
    }
    for one in &found {
        render(&mut page, one);
    }
    let exit = found.iter().map(Found::exit).fold(Exit::Ok, Exit::worst);
    page.gap();
    match found.iter().map(|one| one.broken().count()).sum::<usize>() {
        0 => page.field_toned("promises", Tone::Good, "none is broken by what is configured and found"),
        1 => page.field_toned("promises", Tone::Bad, "one is broken"),
        broken => page.field_toned("promises", Tone::Bad, &format!("{broken} are broken")),
    };
    let components: Vec<Value> = found.iter().map(value).collect();
    Ok(Outcome { exit, value: json!({ "components": components }), page: page.finish() })
}

/// What a region's repository says: its snapshots, and of the newest whether it is locked.
struct Stored {
    listed: Vec<Listed>,
    now: Timestamp,
    /// Until when the newest snapshot that counts is locked; none where there is no lock, or no snapshot.
    locked: Option<Timestamp>,
}

fn look(context: &Context, config: &Config, region: &Region, asked: &Asked) -> Result<Stored> {
    let repository = context.open(region)?;
    let reader = context.reader(config, &repository, asked.identities.files(context))?;
    let listed = survey::listed(&repository, &reader, None)?;
    let newest = listed.iter().rev().find(|one| one.standing == Standing::Counts);
    let locked = match newest {
        Some(newest) => repository.store().locked_until(
            &names::snapshot(&newest.component, newest.run)
                .map_err(|error| Failure::failed(error.to_string()))?,
        )?,
        None => None,
    };
    Ok(Stored { now: repository.store().now()?, listed, locked })
}

fn check<'c>(
    here: Timestamp,
    config: &Config,
    region: &Region,
    component: &'c Component,
    stored: &Result<Stored>,
) -> Found<'c> {
    let now = stored.as_ref().map_or(here, |stored| stored.now);
    let forecasts = forecasts(config, region, component, now);
    let mut broken = Vec::new();
    let unchecked = stored.as_ref().err().map(|failure| failure.clone().into_check());
    if let Ok(stored) = stored {
        broken.extend(freshness(component, stored));
        let wanted = matches!(&region.repository, Place::Bucket(settings) if settings.locks.normal.is_some());
        if wanted && stored.locked.is_none() && counts(stored, &component.name).next().is_some() {
            broken.push(
                "a lock is configured, and the newest snapshot has none: the bucket was made without Object Lock, or \
                 whoever puts may set none; `lifeboat doctor` tries it"
                    .to_owned(),
            );
        }
    }
    Found { component, forecasts, broken, unchecked }
}

fn counts<'s>(stored: &'s Stored, component: &'s Label) -> impl Iterator<Item = &'s Listed> {
    stored.listed.iter().filter(move |one| one.component == *component && one.standing == Standing::Counts)
}

/// Whether snapshots come as often as was promised.
fn freshness(component: &Component, stored: &Stored) -> Option<String> {
    let points = counts(stored, &component.name).filter_map(|one| one.snapshot.as_ref());
    let newest = points.map(|snapshot| snapshot.recovery_point).max();
    let rpo = show_objective(component.rpo);
    match newest.map(|newest| stored.now.since(newest)) {
        None => Some(format!("no snapshot counts, and at most {rpo} may be lost")),
        Some(age) if age > component.rpo => Some(format!(
            "the newest snapshot is {} old, and at most {rpo} may be lost: nothing that was deleted leaves it either",
            show_duration(age)
        )),
        Some(_) => None,
    }
}

fn render(page: &mut Page, found: &Found<'_>) {
    page.heading(&format!("{} in {}", found.component.name, found.component.region));
    for forecast in &found.forecasts {
        let gone =
            forecast.gone.map_or_else(|| "never".to_owned(), |gone| format!("by {}", show_moment(gone)));
        let tone = if forecast.broken.is_empty() { Tone::Plain } else { Tone::Bad };
        page.field_toned(&forecast.whose, tone, &format!("deleted today, gone {gone}"));
        for step in &forecast.steps {
            page.item("·", &format!("{}  {}", show_moment(step.until), step.why));
        }
    }
    // What is true of several is said once.
    let mut said: Vec<&String> = Vec::new();
    for note in found.forecasts.iter().flat_map(|forecast| &forecast.notes) {
        if !said.contains(&note) {
            page.item("·", note);
            said.push(note);
        }
    }
    for why in found.broken() {
        page.marked("broken", Tone::Bad, why);
    }
    if let Some(failure) = &found.unchecked {
        page.marked("unknown", Tone::Warn, &format!("could not look: {}", failure.coded()));
    }
}

fn value(found: &Found<'_>) -> Value {
    let forecasts = found.forecasts.iter().map(|forecast| {
        let steps = forecast.steps.iter();
        let steps = steps.map(|step| json!({ "until": step.until.rfc3339(), "why": step.why }));
        json!({ "whose": forecast.whose, "tenant": forecast.tenant, "gone": forecast.gone.map(Timestamp::rfc3339),
                "within_seconds": forecast.within.as_ref().map(Duration::as_secs),
                "steps": steps.collect::<Vec<_>>(), "notes": forecast.notes, "broken": forecast.broken })
    });
    json!({ "component": found.component.name, "region": found.component.region,
            "forget_within_seconds": found.component.treatment.forget_within.as_ref().map(Duration::as_secs),
            "forecasts": forecasts.collect::<Vec<_>>(), "broken": found.broken().collect::<Vec<_>>(),
            "unchecked": found.unchecked.as_ref().map(Failure::json) })
}
