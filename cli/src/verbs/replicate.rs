//! `replicate`: copies what counts in a region's repository into its replica.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::replicate::{Item, Job, Plan, Problem, Report, plan, replicate};
use lifeboat_repo::units::Bytes;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Config, LimitArgs, Place, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Outcome, Page, Tone};
use crate::when::count_of;

/// Enough to keep a fast store busy, where nothing else is configured.
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(7);
/// Packs held at once: eight of the usual length.
const MEMORY: Bytes = Bytes::mib(256);
/// Problems a page names; `--json` names all.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions [default: all that have a replica]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Only say what would be copied
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What was done, or is to be done, in a region.
struct Done {
    plan: Plan,
    report: Option<Report>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config_with(&args.limits)?;
    let regions = regions(context, &config, args)?;
    let mut page = context.page();
    let (mut exit, mut values) = (Exit::Ok, Vec::new());
    for region in regions {
        let ended = match one(context, &config, region, args.dry_run) {
            Ok(done) => {
                render(&mut page, region, &done);
                values.push(value(region, &done));
                exit_of(&done)
            }
            // One region that cannot be copied keeps no other from being.
            Err(failure) => {
                page.heading(&format!("Replica of {}", region.name));
                page.marked("FAIL", Tone::Bad, &failure.coded());
                if let Some(place) = &failure.place {
                    page.paragraph(7, &format!("at {place}"));
                }
                if let Some(next) = failure.step() {
                    page.paragraph(7, &format!("→ {next}"));
                }
                values.push(
                    json!({ "region": region.name, "exit": failure.exit.code(), "error": failure.json() }),
                );
                failure.exit
            }
        };
        exit = exit.worst(ended);
        if ended == Exit::Interrupted {
            break;
        }
    }
    let value = json!({ "dry_run": args.dry_run, "regions": values });
    Ok(Outcome { exit, value, page: page.finish() })
}

/// The regions asked for; one without a replica only where nobody asked for it by name.
fn regions<'c>(context: &Context, config: &'c Config, args: &Args) -> Result<Vec<&'c Region>> {
    let asked = context.regions(config, &args.region)?;
    let (with, without): (Vec<_>, Vec<_>) = asked.into_iter().partition(|region| region.replica.is_some());
    match without.first() {
        Some(region) if !args.region.is_empty() || with.is_empty() => {
            Err(Failure::usage(format!("region {} has no replica", region.name)).code(Code::NoReplica).next(
                "say where it lies with replica = \"s3://BUCKET/PREFIX\" in its section of lifeboat.toml",
            ))
        }
        _ => Ok(with),
    }
}

fn one(context: &Context, config: &Config, region: &Region, dry_run: bool) -> Result<Done> {
    // Whoever may not, or cannot, leaves nothing behind that looks like a replica.
    let credentials = Arc::new(context.credentials(config.host()?)?);
    let source = context.open(region)?;
    let there = region.at_replica();
    let made = match &there.repository {
        Place::Directory(directory) if !directory.exists() => {
            make(region, directory, dry_run)?;
            Some(directory)
        }
        _ => None,
    };
    let at = |failure: Failure| failure.at(repository_place(&there));
    let replica = context.store(&there)?;
    let resources = &config.limits.resources;
    let job = Job {
        source: &source,
        replica,
        pins: &region.pins(),
        credentials,
        clock: &context.clock,
        entropy: &context.entropy,
        threads: resources.threads.unwrap_or(THREADS),
        memory: resources.memory.unwrap_or(MEMORY),
    };
    let progress = context.progress(&format!("replication of {}", region.name));
    if dry_run {
        let plan = plan(&job, &progress).map_err(|error| at(failed(context, error.into())))?;
        return Ok(Done { plan, report: None });
    }
    let report = replicate(&job, &progress).map_err(|error| {
        if let Some(directory) = made {
            // What holds something stays: then it was begun.
            drop(std::fs::remove_dir(directory));
        }
        at(failed(context, error.into()))
    })?;
    Ok(Done { plan: report.plan.clone(), report: Some(report) })
}

/// Makes the directory of a replica that is not there yet.
fn make(region: &Region, directory: &Path, dry_run: bool) -> Result<()> {
    if dry_run {
        return Err(Failure::new(
            Exit::Refused,
            format!("the replica of region {} is not there yet", region.name),
        )
        .code(Code::NoRepository)
        .at(shown(directory))
        .next("the first `lifeboat replicate` makes it, and copies all that counts"));
    }
    // Its parent must be there: a disk that is not mounted must not look like a new replica.
    std::fs::create_dir(directory)
        .map_err(|error| Failure::file("make the replica", directory, &error))
        .map_err(|failure| failure.next("mount its disk, or make the directory it is to lie in"))
}

/// Whoever asked to stop gets what was asked for.
fn failed(context: &Context, failure: Failure) -> Failure {
    if context.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
        return failure.exit(Exit::Interrupted).code(Code::Interrupted);
    }
    failure
}

fn problems(done: &Done) -> &[Problem] {
    done.report.as_ref().map_or(&done.plan.problems, |report| &report.problems)
}

fn exit_of(done: &Done) -> Exit {
    let each = problems(done).iter().map(|one| if one.damage { Exit::Damaged } else { Exit::Partly });
    each.fold(Exit::Ok, Exit::worst)
}

fn sum(items: &[Item]) -> (u64, Bytes) {
    (items.len() as u64, items.iter().map(|item| item.length).sum())
}

fn render(page: &mut Page, region: &Region, done: &Done) {
    page.heading(&format!("Replica of {}", region.name));
    let plan = &done.plan;
    if plan.is_empty() {
        page.field("copied", "nothing: it has all that counts");
    } else {
        let what = if done.report.is_some() { "copied" } else { "to copy" };
        let (base, packs, records) = (sum(&plan.base), sum(&plan.packs), sum(&plan.records));
        let count = |(count, bytes): (u64, Bytes), one: &str, many: &str| {
            format!("{} ({bytes})", count_of(count, one, many))
        };
        page.field(what, &count(packs, "pack", "packs"));
        if plan.segments > 0 {
            let moved = count((plan.segments, plan.segment_bytes), "segment", "segments");
            page.field("", &format!("{moved} into new packs"));
        }
        page.field("", &count(records, "index object, run or snapshot", "index objects, runs and snapshots"));
        page.field(
            "",
            &count(
                base,
                "ledger entry, key, seal or trust file",
                "ledger entries, keys, seals and trust files",
            ),
        );
    }
    let (committed, words) = match &done.report {
        Some(report) => (report.committed.len(), "count in it from now on"),
        None => (plan.commits.len(), "would count in it"),
    };
    page.field("snapshots", &format!("{committed} more {words}"));
    if plan.spared > 0 {
        let segments = count_of(plan.spared, "segment is", "segments are");
        page.item(
            "-",
            &format!("{segments} whole nowhere; all that snapshots need of it is stored elsewhere too"),
        );
    }
    let problems = problems(done);
    for one in problems.iter().take(SHOWN) {
        page.marked("!", Tone::Bad, &format!("{}: {}", tame(&one.what), tame(&one.why)));
    }
    if problems.len() > SHOWN {
        page.item("!", &format!("and {} more; --json has all", problems.len() - SHOWN));
    }
    if problems.iter().any(|one| one.damage) {
        page.item("→", "damage is never copied; `lifeboat verify --level readback` says whom it hits");
    }
}

fn value(region: &Region, done: &Done) -> Value {
    let plan = &done.plan;
    let (objects, bytes) = plan.totals();
    let group = |items: &[Item]| {
        let (objects, bytes) = sum(items);
        json!({ "objects": objects, "bytes": bytes })
    };
    let problems: Vec<Value> = problems(done)
        .iter()
        .map(|one| json!({ "what": tame(&one.what), "why": tame(&one.why), "damage": one.damage }))
        .collect();
    json!({
        "region": region.name, "replica": region.replica.as_ref().map(ToString::to_string),
        "objects": objects, "bytes": bytes,
        "packs": group(&plan.packs), "records": group(&plan.records), "base": group(&plan.base),
        "segments": { "objects": plan.segments, "bytes": plan.segment_bytes },
        "spared_segments": plan.spared,
        "snapshots": done.report.as_ref().map_or(&plan.commits, |report| &report.committed),
        "commit": done.report.as_ref().and_then(|report| report.commit.as_ref()),
        "problems": problems, "exit": exit_of(done).code(),
    })
}
