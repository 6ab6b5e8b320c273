//! `stats`: what repositories hold and how much space it takes, by component and tenant.
//!
//! This host's keys name the tenants it backs up itself; a recovery identity names them all. Without either name a
//! tenant is shown by its key's id: sizes are in the catalog, names are not.

use std::collections::BTreeMap;

use lifeboat_repo::ids::Tenant;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::units::Bytes;
use serde_json::{Value, json};

use crate::config::{Config, Region};
use crate::context::{Context, Reader, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::{Column, Outcome, Page, Table, Tone};
use crate::survey::{self, Asked};
use crate::when::{count_of, show_count, show_moment};
use measure::{Component, Figures, Held, Key};

mod measure;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    asked: Asked,
}

/// What a kind of object takes.
#[derive(Default, serde::Serialize)]
struct Kind {
    objects: u64,
    bytes: Bytes,
}

/// What is known of a region.
struct Known<'c> {
    region: &'c Region,
    id: String,
    kinds: BTreeMap<String, Kind>,
    figures: Figures,
    /// Whose key it is, where that is known.
    tenants: BTreeMap<Key, Tenant>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = args.asked.regions(context, &config)?;
    let reached = each(regions, &mut page, |region, page| {
        let known = look(context, &config, region, args)?;
        render(page, &known);
        values.push(value(&known));
        Ok(if known.figures.unreadable.is_empty() { Exit::Ok } else { Exit::Damaged })
    })?;
    let value = json!({ "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn look<'c>(context: &Context, config: &Config, region: &'c Region, args: &Args) -> Result<Known<'c>> {
    let at = |failure: Failure| failure.at(repository_place(region));
    let repository = context.open(region)?;
    let objects = repository.store().list("").map_err(|error| at(error.into()))?;
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    for object in &objects {
        let kind = object.name.parts().next().unwrap_or_default();
        let kind = kinds.entry(kind.to_owned()).or_default();
        kind.objects += 1;
        kind.bytes += object.length;
    }
    let reader = context.reader(config, &repository, args.asked.identities.files(context))?;
    let listed = survey::listed(&repository, &reader, None).map_err(at)?;
    let counting: Vec<_> = listed
        .iter()
        .filter(|one| one.standing == Standing::Counts)
        .filter(|one| args.asked.wants(&one.component))
        .filter_map(|one| one.snapshot.as_ref())
        .collect();
    let figures =
        measure::measure(&repository, reader.catalog(), &counting).map_err(|error| at(error.into()))?;
    let tenants = tenants(&reader, &figures).map_err(|error| at(error.into()))?;
    Ok(Known { region, id: repository.id().to_string(), kinds, figures, tenants })
}

/// Whose keys they are, as far as the reader can open that. A key that does not open (its tenant was erased) has
/// no name any more; that is no failure.
fn tenants(
    reader: &Reader<'_>,
    figures: &Figures,
) -> std::result::Result<BTreeMap<Key, Tenant>, RepositoryError> {
    let mut known = BTreeMap::new();
    match reader {
        Reader::Agent(agent) => {
            known.extend(agent.cards().map(|card| ((agent.writer().clone(), card.key), card.tenant.clone())));
        }
        #[cfg(feature = "recover")]
        Reader::Recovery(recovery) => {
            let keys = figures.components.values().flat_map(|component| component.keys.keys());
            for key in keys.filter(|key| !recovery.is_erased(key.1)) {
                match recovery.unwrap_tenant_key(&key.0, key.1) {
                    Ok(opened) => {
                        known.insert(key.clone(), opened.tenant.clone());
                    }
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    #[cfg(not(feature = "recover"))]
    let _ = figures;
    Ok(known)
}

fn render(page: &mut Page, known: &Known<'_>) {
    let Known { region, id, kinds, figures, tenants } = known;
    page.heading(&format!("{} ({})", region.name, region.jurisdiction));
    page.field("repository", id);
    let (objects, stored) = total(kinds);
    page.field("takes", &format!("{stored} in {}", count_of(objects, "object", "objects")));
    if figures.components.len() > 1 {
        render_held(page, &figures.all);
    }
    for (name, component) in &figures.components {
        page.heading(&format!("{name} in {}", region.name));
        render_held(page, &component.all);
        render_keys(page, component, tenants);
    }
    if figures.components.is_empty() {
        page.field("holds", "no snapshot that counts");
    }
    page.gap();
    let mut table = Table::new(&[Column::Left("objects"), Column::Right("number"), Column::Right("bytes")]);
    for (name, kind) in kinds {
        table.row([name.as_str().into(), show_count(kind.objects).into(), kind.bytes.to_string().into()]);
    }
    page.table(&table);
    for why in &figures.unreadable {
        page.marked("damaged", Tone::Bad, &format!("{}: figures lack what only it knows", tame(why)));
    }
}

fn total(kinds: &BTreeMap<String, Kind>) -> (u64, Bytes) {
    (kinds.values().map(|kind| kind.objects).sum(), kinds.values().map(|kind| kind.bytes).sum())
}

fn render_held(page: &mut Page, held: &Held) {
    let mut snapshots = show_count(held.snapshots);
    if let (Some(oldest), Some(newest)) = (held.oldest, held.newest) {
        let oldest = show_moment(oldest);
        snapshots.push_str(&format!(", {} to {}", oldest.trim_end_matches(" UTC"), show_moment(newest)));
    }
    page.field("snapshots", &snapshots);
    let grown = held.grown_bytes.map_or_else(String::new, |grown| format!(", {}", grown_words(grown)));
    page.field("latest", &format!("{}{grown}; {} stored anew", held.latest_bytes, held.new_stored_bytes));
    page.field(
        "all together",
        &format!("{} in {} stored: {}", held.logical_bytes, held.stored_bytes, ratios(held)),
    );
}

fn ratios(held: &Held) -> String {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"));
    format!("deduplicated {} to 1, compressed {} to 1", ratio(held.deduplication), ratio(held.compression))
}

fn grown_words(grown: i64) -> String {
    let bytes = Bytes(grown.unsigned_abs());
    match grown {
        0 => "as much as the one before".to_owned(),
        1.. => format!("{bytes} more than the one before"),
        _ => format!("{bytes} less than the one before"),
    }
}

fn render_keys(page: &mut Page, component: &Component, tenants: &BTreeMap<Key, Tenant>) {
    if component.keys.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        Column::Left("tenant"),
        Column::Right("snapshots"),
        Column::Right("latest"),
        Column::Right("together"),
        Column::Right("stored"),
        Column::Right("dedup"),
        Column::Right("compr"),
    ]);
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"));
    let mut unnamed = false;
    let mut rows: Vec<(String, &Held)> = component
        .keys
        .iter()
        .map(|(key, held)| {
            let name = tenants.get(key).map(ToString::to_string);
            unnamed |= name.is_none();
            (name.unwrap_or_else(|| short_key(key)), held)
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, held) in rows {
        table.row([
            name.into(),
            show_count(held.snapshots).into(),
            held.latest_bytes.to_string().into(),
            held.logical_bytes.to_string().into(),
            held.stored_bytes.to_string().into(),
            ratio(held.deduplication).into(),
            ratio(held.compression).into(),
        ]);
    }
    page.gap().table(&table);
    if unnamed {
        page.paragraph(2, "Keys without a name are other writers', or their tenant was erased: --identity FILE names the former.");
    }
}

/// A key that nobody here can name.
fn short_key(key: &Key) -> String {
    let id = key.1.to_string();
    format!("key {}…", id.get(..12).unwrap_or(&id))
}

fn value(known: &Known<'_>) -> Value {
    let components = known.figures.components.iter().map(|(name, component)| {
        let tenants = component.keys.iter().map(|(key, held)| {
            merged(json!({ "tenant": known.tenants.get(key), "writer": key.0, "key": key.1 }), held)
        });
        merged(json!({ "component": name, "tenants": tenants.collect::<Vec<_>>() }), &component.all)
    });
    let (objects, stored) = total(&known.kinds);
    json!({ "region": known.region.name, "repository": known.id, "kinds": known.kinds, "objects": objects,
            "object_bytes": stored, "all": known.figures.all, "components": components.collect::<Vec<_>>(),
            "unreadable_indexes": known.figures.unreadable.iter().map(|why| tame(why)).collect::<Vec<_>>() })
}

/// The names, and the figures beside them.
fn merged(mut names: Value, held: &Held) -> Value {
    // Nothing in figures can fail to be JSON.
    if let (Some(names), Ok(Value::Object(figures))) = (names.as_object_mut(), serde_json::to_value(held)) {
        names.extend(figures);
    }
    names
}
