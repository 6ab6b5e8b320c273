//! `heartbeat`: records written where the applications' data lives, so that a copy of it shows what it lost.

use std::sync::Arc;

use lifeboat_backup::heartbeat::{
    BeatError, BeatReport, Beaten, Host as Heart, Living, Pulse, beat, tenants_of,
};
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::agent::Credentials;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Component, Config, Placed, Region};
use crate::context::{Context, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Outcome, Page, Tone};
use crate::when::count_of;

#[cfg(feature = "recover")]
mod check;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these components [default: all that have a heartbeat]
    #[arg(value_name = "COMPONENT")]
    components: Vec<Label>,
    #[cfg(feature = "recover")]
    #[command(flatten)]
    check: check::CheckArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    for name in &args.components {
        if config.component(name)?.heartbeat.is_none() {
            return Err(no_heart(&config, &format!("component {name} has no heartbeat")));
        }
    }
    let asked = |component: &&Component| {
        component.heartbeat.is_some()
            && (args.components.is_empty() || args.components.contains(&component.name))
    };
    let components: Vec<&Component> = config.components.iter().filter(asked).collect();
    if components.is_empty() {
        return Err(no_heart(&config, "no component has a heartbeat"));
    }
    #[cfg(feature = "recover")]
    if args.check.asked() {
        return check::run(context, &config, &components, &args.check);
    }
    let credentials = Arc::new(context.credentials(config.host()?)?);
    let mut page = context.page();
    let mut values = Vec::new();
    let own = |region: &Region| -> Vec<&Component> {
        components.iter().copied().filter(|component| component.region == region.name).collect()
    };
    let regions = config.regions.iter().filter(|region| !own(region).is_empty()).collect();
    // One region whose records cannot be written must not keep the others from theirs.
    let reached = each(regions, &mut page, |region, page| {
        let report = one(context, &config, region, &own(region), &credentials)?;
        let ended = exit_of(&report);
        render(page, region, &report);
        values.push(value(region, &report, ended));
        Ok(ended)
    })?;
    let value = json!({ "regions": values, "failures": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn no_heart(config: &Config, what: &str) -> Failure {
    Failure::usage(what)
        .code(Code::NoHeartbeat)
        .at(shown(&config.path))
        .next("add [components.NAME.heartbeat]; docs/operating.md shows how")
}

fn one(
    context: &Context,
    config: &Config,
    region: &Region,
    components: &[&Component],
    credentials: &Arc<Credentials>,
) -> Result<BeatReport> {
    let credentials = Arc::clone(credentials);
    let memory = config.host()?.state.join("heartbeats").join(format!("{}.json", region.name));
    let living: Vec<Living> = components.iter().filter_map(|component| living(component)).collect();
    // Records are written whether the repository is in reach or not: that is when they matter.
    let repository = context.open(region);
    let stop = || context.is_cancelled();
    let heart =
        Heart { credentials, memory: &memory, clock: &context.clock, entropy: &context.entropy, stop: &stop };
    let reached = repository.as_ref().map_err(|failure| {
        lifeboat_repo::repository::RepositoryError::refused(repository_place(region), failure.what.clone())
    });
    beat(reached, &heart, &living).map_err(|error| beat_failure(&error).at(repository_place(region)))
}

/// What beats of a component, as it is on this host now.
fn living(component: &Component) -> Option<Living> {
    let heartbeat = component.heartbeat.as_ref()?;
    let pulse = match &heartbeat.placed {
        Placed::Program(program) => Pulse::Program(program.clone()),
        Placed::File(file) => {
            let root = component.path()?;
            let tenants = tenants_of(root, &component.tenants, heartbeat.tenants).unwrap_or_else(|error| {
                tracing::warn!(component = %component.name, %error, "its tenants cannot be listed");
                Vec::new()
            });
            Pulse::Files { root: root.to_owned(), file: file.clone(), tenants }
        }
    };
    Some(Living {
        component: component.name.clone(),
        pulse,
        count: heartbeat.count.clone(),
        count_every: heartbeat.count_every,
    })
}

fn beat_failure(error: &BeatError) -> Failure {
    let code = match error {
        BeatError::Busy => Code::Busy,
        BeatError::State { .. } => Code::State,
        _ => Code::Heartbeat,
    };
    Failure::failed(tame(&error.to_string())).code(code)
}

fn exit_of(report: &BeatReport) -> Exit {
    let wrote = report.components.iter().filter(|one| one.wrote.is_ok()).count();
    let whole =
        |one: &Beaten| one.wrote.is_ok() && one.missed.is_empty() && !matches!(one.counted, Some(Err(_)));
    if wrote == 0 {
        Exit::Failed
    } else if report.logged.is_ok() && report.components.iter().all(whole) {
        Exit::Ok
    } else {
        Exit::Partly
    }
}

fn render(page: &mut Page, region: &Region, report: &BeatReport) {
    for one in &report.components {
        match &one.wrote {
            Ok((seq, time)) => {
                let tenants = match one.tenants {
                    0 => String::new(),
                    count => format!(", and for {}", count_of(count, "tenant", "tenants")),
                };
                let text = format!("{}: heartbeat {seq} at {}{tenants}", one.component, time.rfc3339());
                page.marked("✓", Tone::Good, &text);
            }
            Err(error) => {
                let text = format!("{}: no heartbeat: {}", one.component, tame(&error.to_string()));
                page.marked("✗", Tone::Bad, &text);
            }
        }
        for missed in &one.missed {
            page.item("  !", &tame(missed));
        }
        if let Some(Err(error)) = &one.counted {
            page.item("  !", &format!("its records could not be counted: {}", tame(&error.to_string())));
        }
    }
    if let Err(error) = &report.logged {
        let text =
            format!("{}: not logged, which is made good later: {}", region.name, tame(&error.to_string()));
        page.marked("!", Tone::Warn, &text);
    }
}

fn value(region: &Region, report: &BeatReport, exit: Exit) -> Value {
    let component = |one: &Beaten| {
        let (seq, time) =
            one.wrote.as_ref().map_or((None, None), |(seq, time)| (Some(*seq), Some(time.rfc3339())));
        json!({
            "component": one.component, "seq": seq, "time": time,
            "error": one.wrote.as_ref().err().map(|error| tame(&error.to_string())),
            "tenants": one.tenants, "missed": one.missed.iter().map(|missed| tame(missed)).collect::<Vec<_>>(),
            "counted": one.counted.as_ref().and_then(|counted| counted.as_ref().ok()),
        })
    };
    json!({
        "region": region.name, "exit": exit.code(),
        "components": report.components.iter().map(component).collect::<Vec<_>>(),
        "logged": report.logged.as_ref().ok().map(ToString::to_string),
        "log_error": report.logged.as_ref().err().map(|error| tame(&error.to_string())),
    })
}
