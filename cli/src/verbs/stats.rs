//! `stats`: what repositories hold and how much space it takes.

use std::collections::BTreeMap;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::units::Bytes;
use serde_json::{Value, json};

use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render::{Column, Outcome, Page, Table};
use crate::survey::{self, Identities};
use crate::when::show_count;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    identities: Identities,
}

/// What a kind of object takes.
#[derive(Default, serde::Serialize)]
struct Kind {
    objects: u64,
    bytes: Bytes,
}

/// What a component holds.
#[derive(Default)]
struct Held {
    snapshots: u64,
    /// Of all snapshots together, as if each were stored whole.
    logical: Bytes,
    latest: Bytes,
    tenants: usize,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    for region in context.regions(&config, &args.region)? {
        values.push(region_stats(context, &config, region, args, &mut page)?);
    }
    Ok(Outcome { exit: Exit::Ok, value: json!({ "regions": values }), page: page.finish() })
}

fn region_stats(
    context: &Context,
    config: &Config,
    region: &Region,
    args: &Args,
    page: &mut Page,
) -> Result<Value> {
    let repository = context.open(region)?;
    let objects =
        repository.store().list("").map_err(|error| Failure::from(error).at(repository_place(region)))?;
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    for object in &objects {
        let kind = kinds.entry(object.name.parts().next().unwrap_or_default()).or_default();
        kind.objects += 1;
        kind.bytes += object.length;
    }
    let reader = context.reader(config, &repository, args.identities.files(context))?;
    let listed = survey::listed(&repository, &reader, None)?;
    let mut components: BTreeMap<&Label, Held> = BTreeMap::new();
    for one in listed.iter().filter(|one| one.standing == Standing::Counts) {
        let Some(snapshot) = &one.snapshot else { continue };
        let held = components.entry(&one.component).or_default();
        held.snapshots += 1;
        held.logical += snapshot.counts.bytes;
        held.latest = snapshot.counts.bytes;
        held.tenants = snapshot.keys.len();
    }
    let stored: Bytes = kinds.values().map(|kind| kind.bytes).sum();
    let logical: Bytes = components.values().map(|held| held.logical).sum();
    render(page, region, &repository.id().to_string(), &kinds, &components, stored);
    if stored > Bytes::ZERO {
        page.gap();
        let ratio = logical.0 as f64 / stored.0 as f64;
        page.paragraph(
            2,
            &format!("All snapshots together hold {logical} in {stored} stored: {ratio:.1} to 1."),
        );
    }
    let components: Vec<Value> = components
        .iter()
        .map(|(name, held)| {
            json!({ "component": name, "snapshots": held.snapshots, "latest_bytes": held.latest,
                    "logical_bytes": held.logical, "tenant_keys": held.tenants })
        })
        .collect();
    Ok(json!({ "region": region.name, "repository": repository.id(), "kinds": kinds, "stored_bytes": stored,
               "logical_bytes": logical, "components": components }))
}

fn render(
    page: &mut Page,
    region: &Region,
    id: &str,
    kinds: &BTreeMap<&str, Kind>,
    components: &BTreeMap<&Label, Held>,
    stored: Bytes,
) {
    page.heading(&format!("{} ({})", region.name, region.jurisdiction));
    page.field("repository", id);
    page.field("stored", &stored.to_string());
    page.gap();
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Right("snapshots"),
        Column::Right("latest"),
        Column::Right("all together"),
        Column::Right("tenant keys"),
    ]);
    for (name, held) in components {
        table.row([
            name.to_string().into(),
            show_count(held.snapshots).into(),
            held.latest.to_string().into(),
            held.logical.to_string().into(),
            held.tenants.to_string().into(),
        ]);
    }
    if !table.is_empty() {
        page.table(&table).gap();
    }
    let mut table = Table::new(&[Column::Left("objects"), Column::Right("number"), Column::Right("bytes")]);
    for (name, kind) in kinds {
        table.row([(*name).into(), show_count(kind.objects).into(), kind.bytes.to_string().into()]);
    }
    page.table(&table);
}
