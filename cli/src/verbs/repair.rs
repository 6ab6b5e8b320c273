//! `repair`: whole copies in the place of what is damaged, and marks for what no copy has.
//!
//! Copies come from the region's replica, or from another store. What they do not have a maintainer marks: packs are
//! condemned once all that is whole in them was copied out, the rest is given up as lost, and index objects are written
//! anew. Then nothing relies on it any more, and the next backup stores again what still exists at its source.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::maintainer::Maintainer;
use lifeboat_repo::repository::repair;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::S3Settings;
use lifeboat_verify::Threads;
use lifeboat_verify::heal::{self, Copy, Marked, Marks, ObjectPlan};
use serde_json::{Value, json};

use crate::config::{Config, Place, Region};
use crate::context::{Context, open_store, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame, verify_failure};
use crate::render::{Outcome, Page, Tone};
use crate::when::count_of;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// `index`: read the index back from the tables of packs, whatever is damaged
    #[arg(value_name = "WHAT", value_parser = ["index"])]
    what: Option<String>,
    /// Where whole copies are: `replica`, a directory, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "STORE")]
    from: Option<String>,
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What became of a region.
struct Repaired {
    plan: ObjectPlan,
    marks: Option<Marks>,
    marked: Option<Marked>,
    /// Why nothing was marked.
    unmarked: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let (mut exit, mut values) = (Exit::Ok, Vec::new());
    for region in context.regions(&config, &args.region)? {
        let repaired =
            repair(context, &config, region, args).map_err(|failure| failure.at(repository_place(region)))?;
        exit = exit.worst(repaired.exit());
        render(&mut page, region, args, &repaired);
        values.push(value(region, &repaired));
    }
    Ok(Outcome { exit, value: json!({ "dry_run": args.dry_run, "regions": values }), page: page.finish() })
}

fn repair(context: &Context, config: &Config, region: &Region, args: &Args) -> Result<Repaired> {
    let copies = copies(region, args)?;
    let copy = copies.first().map(|copy| copy.store.as_ref());
    let opened = repair::open(open_store(region)?, copy, &region.pins())?;
    let here = &opened.repository;
    let header = &here.trust().header;
    if header.region != region.name || header.jurisdiction != region.jurisdiction {
        return Err(Failure::new(
            Exit::Refused,
            format!("this repository belongs to region {}", header.region),
        )
        .next("correct the region's name, jurisdiction or repository in lifeboat.toml"));
    }
    let progress = context.progress(&format!("repair of {}", region.name));
    let threads = Threads::default();
    let mut plan =
        heal::plan_objects(here, &opened.trust, &region.pins(), &copies, &context.clock, threads, &progress)
            .map_err(verify_failure)?;
    if !args.dry_run {
        heal::heal_objects(here, &mut plan, &copies, &context.clock, &progress);
    }
    let mut repaired = Repaired { plan, marks: None, marked: None, unmarked: None };
    match maintainer(context, config, here) {
        Ok(maintainer) => mark(&maintainer, args, &copies, &progress, &mut repaired)?,
        Err(failure) => repaired.unmarked = Some(failure.what),
    }
    Ok(repaired)
}

fn mark(
    maintainer: &Maintainer<'_>,
    args: &Args,
    copies: &[Copy],
    progress: &crate::progress::Progress,
    repaired: &mut Repaired,
) -> Result<()> {
    let (here, rebuild) = (maintainer.repository(), args.what.is_some());
    let planned = heal::plan_marks(here, maintainer.catalog(), &repaired.plan, copies, rebuild, progress);
    match planned {
        Ok(marks) if !args.dry_run && !marks.is_empty() => {
            repaired.marked = Some(heal::put_marks(maintainer, &marks, copies)?);
            repaired.marks = Some(marks);
        }
        Ok(marks) => repaired.marks = Some(marks),
        Err(error) => repaired.unmarked = Some(error.to_string()),
    }
    Ok(())
}

/// This host as a maintainer.
fn maintainer<'r>(context: &'r Context, config: &Config, here: &'r Repository) -> Result<Maintainer<'r>> {
    let credentials = Arc::new(context.credentials(config.host()?)?);
    Ok(Maintainer::open(here, credentials, &context.clock, &context.entropy)?)
}

fn copies(region: &Region, args: &Args) -> Result<Vec<Copy>> {
    let Some(from) = &args.from else { return Ok(Vec::new()) };
    let place = match (from.as_str(), from.strip_prefix("s3://")) {
        ("replica", _) => region.replica.clone().ok_or_else(|| {
            Failure::usage(format!("region {} has no replica", region.name)).next(
                "say where it lies with replica = \"…\" in its section of lifeboat.toml, or name a store",
            )
        })?,
        (_, Some(address)) => {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            Place::Bucket(Box::new(S3Settings::of(
                bucket.to_owned(),
                prefix.trim_end_matches('/').to_owned(),
            )))
        }
        (directory, None) => Place::Directory(PathBuf::from(directory)),
    };
    let copy = Region { repository: place, ..region.clone() };
    let store: Arc<dyn Store> = open_store(&copy)?;
    Ok(vec![Copy { name: from.clone(), store }])
}

impl Repaired {
    /// Everything healed; some of it; or damage is left and nothing could be done.
    fn exit(&self) -> Exit {
        let problems = self.marked.as_ref().map_or(0, |marked| marked.problems.len());
        let left = (self.plan.left().count() + self.plan.unchecked.len() + problems) as u64;
        let lost = self.marks.as_ref().map_or(0, |marks| marks.lost.len() as u64 + marks.unknown);
        let done = self.plan.healed().count() > 0 || self.marked.is_some();
        match (left + lost, done) {
            (0, _) => Exit::Ok,
            (_, true) => Exit::Partly,
            (_, false) => Exit::Damaged,
        }
    }
}

fn render(page: &mut Page, region: &Region, args: &Args, repaired: &Repaired) {
    page.heading(&format!("{} ({})", region.name, region.jurisdiction));
    if args.dry_run {
        page.raw("Nothing is done; this would be:");
    }
    let Repaired { plan, marks, marked, unmarked } = repaired;
    if plan.wrong.is_empty() && marks.as_ref().is_none_or(Marks::is_empty) && plan.unchecked.is_empty() {
        page.marked("whole", Tone::Good, "nothing is damaged and nothing is missing");
    }
    let word = if args.dry_run { "heals" } else { "healed" };
    for wrong in plan.healed() {
        let from = wrong.from.as_deref().unwrap_or_default();
        page.marked(
            word,
            Tone::Good,
            &format!("{} from {}: {}", wrong.object, tame(from), tame(&wrong.what)),
        );
    }
    for wrong in plan.left() {
        let why = wrong.left.as_deref().unwrap_or_default();
        page.marked(
            "left",
            Tone::Bad,
            &format!("{}: {}; {}", wrong.object, tame(&wrong.what), tame(why.trim_start_matches("; "))),
        );
    }
    for what in &plan.unchecked {
        page.marked("left", Tone::Bad, &tame(what));
    }
    if let Some(marks) = marks.as_ref().filter(|marks| !marks.is_empty()) {
        let segments = |count: usize| count_of(count as u64, "segment", "segments");
        page.field(
            "condemns",
            &format!(
                "{}, {}",
                count_of(marks.packs.len() as u64, "pack", "packs"),
                count_of(marks.indexes.len() as u64, "index object", "index objects")
            ),
        );
        page.field("copies", &format!("{} into new packs", segments(marks.moved.len())));
        page.field("reads back", &count_of(marks.read_back.len() as u64, "pack's table", "packs' tables"));
        page.field(
            "lost",
            &format!(
                "{}; the next backup stores again what still exists at its source",
                segments(marks.lost.len())
            ),
        );
    }
    for name in marks.iter().flat_map(|marks| &marks.removed) {
        page.field("removes", name.as_str());
    }
    for problem in marked.iter().flat_map(|marked| &marked.problems) {
        page.marked("left", Tone::Bad, &tame(problem));
    }
    if let Some(record) = marked.as_ref().and_then(|marked| marked.record.as_ref()) {
        page.field("record", record.as_str());
    }
    if let Some(why) = unmarked
        && plan.left().count() > 0
    {
        page.marked(
            "unmarked",
            Tone::Warn,
            &format!("what is left was not marked, which a maintainer does: {}", tame(why)),
        );
    }
}

fn value(region: &Region, repaired: &Repaired) -> Value {
    json!({ "region": region.name, "wrong": repaired.plan.wrong, "unchecked": repaired.plan.unchecked,
            "marks": repaired.marks, "marked": repaired.marked, "unmarked": repaired.unmarked })
}
