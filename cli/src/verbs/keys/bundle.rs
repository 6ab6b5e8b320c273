//! `keys bundle`: a copy of seals and keys under a lock, put by somebody who can open none of them.

use std::path::{Path, PathBuf};

use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::repository::bundles::{self, Bundled};
use serde_json::{Value, json};

use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;
use crate::render::{Outcome, Page, Tone};
use crate::when::{count_of, show_duration, show_moment};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// List bundles and do nothing else
    #[arg(long, conflicts_with = "dry_run")]
    list: bool,
    /// Take this seal or key from the newest bundle that has it whole, and do nothing else
    #[arg(long, value_name = "NAME", requires = "output", conflicts_with_all = ["dry_run", "list"])]
    extract: Option<ObjectName>,
    /// With --extract, the file to make
    #[arg(long, value_name = "FILE", requires = "extract")]
    output: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    if let (Some(name), Some(output)) = (&args.extract, &args.output) {
        return extract(context, &config, args, name, output);
    }
    let mut values = Vec::new();
    let reached = each(context.regions(&config, &args.region)?, &mut page, |region, page| {
        let at = |failure: Failure| failure.at(repository_place(region));
        let repository = context.open(region)?;
        if args.list {
            let listed = bundles::list(&repository).map_err(|error| at(error.into()))?;
            page.heading(&format!("Bundles of {}", region.name));
            for object in &listed {
                let age = show_duration(context.now().since(object.modified));
                page.item("-", &format!("{} ({}), {age} old", object.name, object.length));
            }
            let objects = listed.iter().map(|object| {
                json!({ "name": object.name, "bytes": object.length, "put": object.modified.rfc3339() })
            });
            values.push(json!({ "region": region.name, "bundles": objects.collect::<Vec<Value>>() }));
            return Ok(Exit::Ok);
        }
        let host = config.host()?;
        let signing = keyfiles::read_signing_key(&host.signing_key, "signing key of this maintainer")?;
        let bundled = bundles::put(&repository, &signing, &context.clock, args.dry_run)
            .map_err(|error| at(error.into()))?;
        render(page, region, &bundled);
        values.push(value(region, &bundled));
        Ok(if bundled.problems.is_empty() { Exit::Ok } else { Exit::Partly })
    })?;
    let value = json!({ "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

/// Takes an object from the newest bundle that has it whole, wherever that is.
fn extract(
    context: &Context,
    config: &Config,
    args: &Args,
    name: &ObjectName,
    output: &Path,
) -> Result<Outcome> {
    if output.exists() {
        return Err(keyfiles::in_the_way(output));
    }
    let (mut page, mut found) = (context.page(), None);
    let reached = each(context.regions(config, &args.region)?, &mut page, |region, _| {
        let repository = context.open(region)?;
        if found.is_none() {
            let looked = bundles::find(&repository, name);
            let looked = looked.map_err(|error| Failure::from(error).at(repository_place(region)))?;
            found = looked.map(|bytes| (region, bytes));
        }
        Ok(Exit::Ok)
    })?;
    let Some((region, bytes)) = found else {
        let exit = reached.exit.worst(Exit::Damaged);
        return Err(Failure::new(exit, format!("no bundle holds {name} whole"))
            .code(crate::codes::Code::ObjectMissing)
            .next("`lifeboat keys bundle --list` lists bundles; look for the object in the replica too"));
    };
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
        .map_err(|error| Failure::file("write the object", output, &error))?;
    page.item("-", &format!("{name} is in {}, as it was stored", shown(output)));
    let values = [json!({ "region": region.name, "extracted": name })];
    let value = json!({ "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

fn render(page: &mut Page, region: &Region, bundled: &Bundled) {
    page.heading(&format!("Bundle of {}", region.name));
    let objects = count_of(bundled.objects, "seal or key", "seals and keys");
    let name = bundled.name.as_ref().map_or_else(|| "not put: a dry run".to_owned(), ToString::to_string);
    page.field("bundle", &name);
    page.field("holds", &format!("{objects} ({})", bundled.length));
    if bundled.name.is_some() {
        match bundled.locked {
            Some(until) => page.field("locked", &format!("until {}", show_moment(until))),
            None => {
                page.field_toned("locked", Tone::Warn, "no: this store has no locks, so it can be deleted")
            }
        };
    }
    let over = bundled.over.len() as u64;
    page.field("over", &format!("{} older than 14 days", count_of(over, "bundle", "bundles")));
    for problem in &bundled.problems {
        page.marked("!", Tone::Bad, &tame(problem));
    }
}

fn value(region: &Region, bundled: &Bundled) -> Value {
    json!({
        "region": region.name, "bundle": bundled.name, "objects": bundled.objects, "bytes": bundled.length,
        "locked": bundled.locked.map(|until| until.rfc3339()), "over": bundled.over,
        "problems": bundled.problems.iter().map(|one| tame(one)).collect::<Vec<_>>(),
    })
}
