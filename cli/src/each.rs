//! One region after another: what fails in one keeps no other from its turn.

use lifeboat_repo::ids::Label;
use serde_json::{Value, json};

use crate::config::Region;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render::{Page, Tone};

/// How it went in all regions together.
pub(crate) struct Reached {
    /// The worst of all.
    pub(crate) exit: Exit,
    /// For `--json`: the regions in which it failed, and why.
    pub(crate) unreachable: Vec<Value>,
}

/// Does the same in each region, and tells at the end of the page where it failed.
///
/// # Errors
/// It failed in the only region there is, or somebody asked to stop.
pub(crate) fn each<'c>(
    regions: Vec<&'c Region>,
    page: &mut Page,
    mut work: impl FnMut(&'c Region, &mut Page) -> Result<Exit>,
) -> Result<Reached> {
    let (mut exit, mut worked) = (Exit::Ok, false);
    let mut failures: Vec<(&Label, Failure)> = Vec::new();
    for region in regions {
        match work(region, page) {
            Ok(ended) => (exit, worked) = (exit.worst(ended), true),
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => failures.push((&region.name, failure)),
        }
    }
    if !worked
        && failures.len() == 1
        && let Some((_, failure)) = failures.pop()
    {
        return Err(failure);
    }
    for (region, failure) in &failures {
        exit = exit.worst(failure.exit);
        page.gap().toned(Tone::Bad, &format!("  {region}: {}", failure.coded()));
        if let Some(place) = &failure.place {
            page.item("at", place);
        }
        if let Some(next) = failure.step() {
            page.item("→", next);
        }
    }
    let value = |(region, failure): &(&Label, Failure)| json!({ "region": region, "error": failure.json() });
    Ok(Reached { exit, unreachable: failures.iter().map(value).collect() })
}
