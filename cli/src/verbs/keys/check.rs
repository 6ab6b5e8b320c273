//! `keys check`: a recovery identity that opens nothing is found out now, not in the disaster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use lifeboat_repo::ids::{KeyId, Label, SegmentPrefix};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::segments::{SegmentMap, SegmentReader};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::{Repository, RepositoryError};
use serde_json::{Value, json};

use crate::config::Region;
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::{Outcome, Page, Tone, short_hashes};
use crate::survey::Identities;
use crate::when::count_of;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    identities: Identities,
}

/// What was tried in a region.
#[derive(Default)]
struct Tried {
    keys: usize,
    opened: usize,
    segments: usize,
    /// What did not open, and how grave that is.
    failed: Vec<(Exit, String)>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let mut exit = Exit::Ok;
    for region in context.regions(&config, &args.region)? {
        let tried = region_keys(context, region, args.identities.files(context));
        let ended = match &tried {
            Ok(tried) => tried.failed.iter().fold(Exit::Ok, |exit, (other, _)| exit.worst(*other)),
            Err(failure) => failure.exit,
        };
        exit = exit.worst(ended);
        render(&mut page, region, &tried);
        values.push(value(region, &tried, ended));
    }
    Ok(Outcome { exit, value: json!({ "regions": values }), page: page.finish() })
}

fn region_keys(context: &Context, region: &Region, files: &[PathBuf]) -> Result<Tried> {
    let at = |failure: Failure| failure.into_check();
    let repository = context.open(region).map_err(at)?;
    let recovery = context.recover(&repository, files).map_err(at)?;
    try_keys(&repository, &recovery)
        .map_err(|error| Failure::from(error).into_check().at(repository_place(region)))
}

fn try_keys(repository: &Repository, recovery: &Recovery<'_>) -> std::result::Result<Tried, RepositoryError> {
    let needed = needed_segments(repository, recovery)?;
    let mut keys: BTreeSet<(Label, KeyId)> = recovery.keys()?.into_iter().collect();
    keys.extend(needed.keys().cloned());
    let mut tried = Tried { keys: keys.len(), ..Tried::default() };
    let mut maps: HashMap<&Label, SegmentMap> = HashMap::new();
    let mut reader = SegmentReader::new(repository.store())?;
    let mut plain = Vec::new();
    for slot @ (writer, key) in &keys {
        let opened = match recovery.unwrap_tenant_key(writer, *key) {
            Ok(opened) => opened,
            Err(error) => {
                tried.failed.push((Exit::of_check(&error), tame(&error.to_string())));
                continue;
            }
        };
        tried.opened += 1;
        let Some(prefixes) = needed.get(slot) else { continue };
        if !maps.contains_key(writer) {
            let wanted: HashSet<SegmentPrefix> = needed
                .iter()
                .filter(|((owner, _), _)| owner == writer)
                .flat_map(|(_, some)| some)
                .copied()
                .collect();
            let map = SegmentMap::load(repository, recovery.catalog(), writer, &wanted)?;
            let unreadable = map.unreadable().iter();
            tried.failed.extend(unreadable.map(|error| (Exit::Damaged, tame(&error.to_string()))));
            maps.insert(writer, map);
        }
        let Some(map) = maps.get(writer) else { continue };
        let segment =
            map.segments().iter().find(|one| one.key == *key && prefixes.contains(&one.id.prefix()));
        let Some(segment) = segment else {
            tried.failed.push((Exit::Damaged, format!("no index says where the data of key {key} lies")));
            continue;
        };
        match reader.read(segment, &opened.identity, &mut plain) {
            Ok(()) => tried.segments += 1,
            Err(error) => tried.failed.push((Exit::of_check(&error), tame(&error.to_string()))),
        }
    }
    Ok(tried)
}

/// One segment of every key that a snapshot needs.
fn needed_segments(
    repository: &Repository,
    recovery: &Recovery<'_>,
) -> std::result::Result<BTreeMap<(Label, KeyId), HashSet<SegmentPrefix>>, RepositoryError> {
    let judge = Judge::new(repository, recovery.catalog())?;
    let listed = judge.list(None)?;
    let mut needed: BTreeMap<(Label, KeyId), HashSet<SegmentPrefix>> = BTreeMap::new();
    for one in listed.iter().filter(|one| one.standing == Standing::Counts) {
        let Some(snapshot) = &one.snapshot else { continue };
        // What is erased or expired nothing needs, and nothing opens.
        for share in snapshot.keys.iter().filter(|share| !judge.condemned().key(&one.name, share.key)) {
            if let Some(first) = share.segments.first() {
                needed.entry((snapshot.writer.clone(), share.key)).or_insert_with(|| HashSet::from([*first]));
            }
        }
    }
    Ok(needed)
}

fn render(page: &mut Page, region: &Region, tried: &Result<Tried>) {
    page.heading(&region.name.to_string());
    let tried = match tried {
        Ok(tried) => tried,
        Err(failure) => {
            page.marked("FAIL", Tone::Bad, &failure.coded());
            if let Some(next) = failure.step() {
                page.paragraph(7, &format!("→ {next}"));
            }
            return;
        }
    };
    page.marked("ok  ", Tone::Good, "the recovery identity opens the seal and the catalog");
    let all = tried.failed.is_empty();
    let (mark, tone) = if all { ("ok  ", Tone::Good) } else { ("FAIL", Tone::Bad) };
    let keys = count_of(tried.keys as u64, "tenant key", "tenant keys");
    let segments = count_of(tried.segments as u64, "segment", "segments");
    page.marked(
        mark,
        tone,
        &format!("{} of {keys} open, and {segments} sealed to them were read", tried.opened),
    );
    for (_, what) in tried.failed.iter().take(20) {
        page.item("    -", &short_hashes(what));
    }
    if tried.failed.len() > 20 {
        page.item("    -", &format!("and {} more", tried.failed.len() - 20));
    }
    if !all {
        page.paragraph(
            7,
            "→ see whom it hits with `lifeboat verify --level readback`; a tenant that was erased on \
                           purpose has no key any more",
        );
    }
}

fn value(region: &Region, tried: &Result<Tried>, exit: Exit) -> Value {
    match tried {
        Err(failure) => json!({ "region": region.name, "exit": exit.code(), "error": failure.json() }),
        Ok(tried) => json!({
            "region": region.name, "exit": exit.code(), "keys": tried.keys, "opened": tried.opened,
            "segments_read": tried.segments,
            "failed": tried.failed.iter().map(|(_, what)| what).collect::<Vec<_>>(),
        }),
    }
}
