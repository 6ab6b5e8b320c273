//! `snapshots`: what can be restored.

use std::collections::BTreeMap;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::snapshots::{Listed, Standing};
use serde_json::json;

use crate::config::Region;
use crate::context::Context;
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Result, tame};
use crate::render::{Cell, Column, Outcome, Page, Table, Tone};
use crate::survey::{self, Asked, snapshot_json, standing_word, status_word};
use crate::when::{show_count, show_duration};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Expired and ended ones too
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = args.asked.regions(context, &config)?;
    let reached = each(regions, &mut page, |region, page| {
        let mut exit = Exit::Ok;
        let listed =
            survey::snapshots_of(context, &config, region, None, args.asked.identities.files(context))?;
        let wanted = |one: &&Listed| {
            let named = args.asked.wants(&one.component);
            named && (args.all || !matches!(one.standing, Standing::Expired | Standing::Fenced))
        };
        let mut by_component: BTreeMap<&Label, Vec<&Listed>> = BTreeMap::new();
        for one in listed.iter().filter(wanted) {
            by_component.entry(&one.component).or_default().push(one);
            if matches!(one.standing, Standing::Void(_)) {
                exit = exit.worst(Exit::Damaged);
            }
            values.push(with_region(one, region));
        }
        for (component, snapshots) in by_component {
            render(page, context, region, component, &snapshots);
        }
        Ok(exit)
    })?;
    if values.is_empty() && reached.unreachable.is_empty() {
        page.raw("No snapshots. Make the first with `lifeboat backup --all`.");
    }
    let value = json!({ "snapshots": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn with_region(one: &Listed, region: &Region) -> serde_json::Value {
    let mut value = snapshot_json(one);
    if let Some(object) = value.as_object_mut() {
        object.insert("region".into(), json!(region.name));
    }
    value
}

fn render(page: &mut Page, context: &Context, region: &Region, component: &Label, snapshots: &[&Listed]) {
    page.heading(&format!("{component} in {}", region.name));
    let mut table = Table::new(&[
        Column::Left("snapshot"),
        Column::Right("age"),
        Column::Right("files"),
        Column::Right("size"),
        Column::Left("status"),
    ]);
    let mut void = Vec::new();
    for one in snapshots {
        let status = match (&one.standing, &one.snapshot) {
            (Standing::Counts, Some(_)) if one.ahead.is_some() => {
                void.push(survey::ahead_words(one));
                Cell::toned(Tone::Bad, "dated ahead")
            }
            (Standing::Counts, Some(snapshot))
                if snapshot.status == lifeboat_repo::format::snapshot::Status::Complete =>
            {
                Cell::toned(Tone::Good, "complete")
            }
            (Standing::Counts, Some(snapshot)) => Cell::toned(Tone::Warn, status_word(snapshot.status)),
            (Standing::Void(why), _) => {
                void.push(format!("{}: {}", one.run, tame(why)));
                Cell::toned(Tone::Bad, "void")
            }
            (standing, _) => Cell::toned(Tone::Warn, standing_word(standing)),
        };
        let (files, size, point) =
            one.snapshot.as_ref().map_or((String::new(), String::new(), one.run.moment()), |s| {
                (show_count(s.counts.files), s.counts.bytes.to_string(), s.recovery_point)
            });
        let age = show_duration(context.now().since(point));
        table.row([one.run.to_string().into(), age.into(), files.into(), size.into(), status]);
    }
    page.table(&table);
    for why in void {
        page.item("!", &why);
    }
}
