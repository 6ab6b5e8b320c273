//! `repair`: whole copies in the place of what is damaged, and marks for what no copy has.
//!
//! What somebody hid behind a marker, or put something over, comes back first, where the store keeps versions. Copies come
//! from the region's replica, or from another store; of keys and seals, where those have none, from bundles. What they do
//! not have a maintainer marks: packs are condemned once all that is whole in them was copied out, the rest is given up as
//! lost, and index objects are written anew. Then nothing relies on it any more, and the next backup stores again what
//! still exists at its source.

use std::sync::Arc;

use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::repository::maintainer::Maintainer;
use lifeboat_repo::repository::repair::{self, Opened};
use lifeboat_repo::repository::versions::{Disturbance, Reinstated, reinstate_all};
use lifeboat_repo::repository::{Repository, RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_verify::Threads;
use lifeboat_verify::heal::{self, Copy, Marked, Marks, ObjectPlan};
use serde_json::{Value, json};

use crate::clocks::refuse_clocks_apart;
use crate::codes::Code;
use crate::config::{Config, Region};
use crate::context::{Context, pinned, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame, verify_failure};
use crate::render::{Outcome, Page, Tone};
use crate::when::{count_of, show_moment};

mod source;

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
    /// What was hidden, or lay under something else.
    hidden: Vec<Reinstated>,
    plan: ObjectPlan,
    marks: Option<Marks>,
    marked: Option<Marked>,
    /// Why nothing was marked.
    unmarked: Option<String>,
    /// Whether what is to be marked is unknown, although it was asked for or tried.
    unknown: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut page = context.page();
    let mut values = Vec::new();
    let regions = with_copies(context.regions(&config, &args.region)?, args);
    let reached = each(regions, &mut page, |region, page| {
        let repaired =
            repair(context, &config, region, args).map_err(|failure| failure.at(repository_place(region)))?;
        render(page, region, args, &repaired);
        values.push(value(region, &repaired));
        Ok(repaired.exit())
    })?;
    let value = json!({ "dry_run": args.dry_run, "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

/// Where nobody named a region and copies are to come from replicas: the regions that have one.
fn with_copies<'c>(regions: Vec<&'c Region>, args: &Args) -> Vec<&'c Region> {
    if !args.region.is_empty() || args.from.as_deref() != Some("replica") {
        return regions;
    }
    let (with, without): (Vec<_>, Vec<_>) = regions.into_iter().partition(|region| region.replica.is_some());
    if with.is_empty() {
        return without;
    }
    for region in without {
        tracing::warn!(region = %region.name, "it has no replica to repair it from; passed over");
    }
    with
}

fn repair(context: &Context, config: &Config, region: &Region, args: &Args) -> Result<Repaired> {
    let mut copies = source::copies(context, config, region, args)?;
    let copy = copies.first().map(|copy| copy.store.as_ref());
    let (opened, hidden) = open(context, region, copy, args.dry_run)?;
    let here = &opened.repository;
    // Whether officers' signatures of today hold is judged by the time of this machine.
    refuse_clocks_apart(
        context.now(),
        here.store().now()?,
        "with a wrong clock what is whole looks damaged",
    )?;
    let progress = context.progress(&format!("repair of {}", region.name));
    let threads = Threads::default();
    let mut plan =
        heal::plan_objects(here, &opened.trust, &region.pins(), &copies, &context.clock, threads, &progress)
            .map_err(verify_failure)?;
    // What comes back by itself needs no copy.
    let comes_back = |name: &ObjectName| hidden.iter().any(|one| one.object == *name && one.left.is_none());
    plan.wrong.retain(|wrong| !comes_back(&wrong.object));
    copies.extend(heal::plan_bundled(here, &mut plan, &context.clock).map_err(verify_failure)?);
    if !args.dry_run {
        let opened = maintainer(context, config, here).ok();
        let catalog = opened.as_ref().map(Maintainer::catalog);
        heal::heal_objects(here, &mut plan, &copies, catalog, &context.clock, &progress);
    }
    let mut repaired = Repaired { hidden, plan, marks: None, marked: None, unmarked: None, unknown: false };
    match maintainer(context, config, here) {
        Ok(maintainer) => mark(&maintainer, args, &copies, &progress, &mut repaired)?,
        Err(failure) => (repaired.unmarked, repaired.unknown) = (Some(failure.what), args.what.is_some()),
    }
    Ok(repaired)
}

/// Opens the repository of a region, by the trust of the copy where its own does not hold, and lets readers have again
/// what was hidden from them.
fn open(
    context: &Context,
    region: &Region,
    copy: Option<&dyn Store>,
    dry_run: bool,
) -> Result<(Opened, Vec<Reinstated>)> {
    pinned(region)?;
    let store = context.store(region)?;
    let opened = repair::open(Arc::clone(&store), copy, &region.pins())?;
    let header = &opened.repository.trust().header;
    if header.region != region.name || header.jurisdiction != region.jurisdiction {
        return Err(Failure::new(
            Exit::Refused,
            format!("this repository belongs to region {}", header.region),
        )
        .code(Code::WrongRegion)
        .next("correct the region's name, jurisdiction or repository in lifeboat.toml"));
    }
    let hidden = match reinstate_all(&opened.repository, dry_run) {
        Ok(hidden) => hidden,
        Err(error) if is_refused(&error) => {
            tracing::warn!(%error, "what is hidden behind markers was not looked for");
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    if dry_run || hidden.is_empty() {
        return Ok((opened, hidden));
    }
    Ok((repair::open(store, copy, &region.pins())?, hidden))
}

/// Whether the credentials at hand may not do it.
fn is_refused(error: &RepositoryError) -> bool {
    matches!(&error.kind, RepositoryErrorKind::Store(error) if matches!(error.kind, StoreErrorKind::Denied(_)))
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
        Err(error) => (repaired.unmarked, repaired.unknown) = (Some(error.to_string()), true),
    }
    Ok(())
}

/// This host as a maintainer.
fn maintainer<'r>(context: &'r Context, config: &Config, here: &'r Repository) -> Result<Maintainer<'r>> {
    let credentials = Arc::new(context.credentials(config.host()?)?);
    Ok(Maintainer::open(here, credentials, &context.clock, &context.entropy)?)
}

impl Repaired {
    /// Everything healed; some of it; or damage is left and nothing could be done.
    fn exit(&self) -> Exit {
        let problems = self.marked.as_ref().map_or(0, |marked| marked.problems.len());
        let hidden = self.hidden.iter().filter(|one| one.left.is_some()).count();
        let left = (self.plan.left().count() + self.plan.unchecked.len() + problems + hidden) as u64;
        let lost = self.marks.as_ref().map_or(0, |marks| marks.lost.len() as u64 + marks.unknown);
        let done = self.plan.healed().count() > 0 || self.marked.is_some() || self.hidden.len() > hidden;
        let exit = match (left + lost, done) {
            (0, _) => Exit::Ok,
            (_, true) => Exit::Partly,
            (_, false) => Exit::Damaged,
        };
        if self.unknown { exit.worst(Exit::Unchecked) } else { exit }
    }
}

fn render(page: &mut Page, region: &Region, args: &Args, repaired: &Repaired) {
    page.heading(&format!("{} ({})", region.name, region.jurisdiction));
    if args.dry_run {
        page.raw("Nothing is done; this would be:");
    }
    let Repaired { hidden, plan, marks, marked, unmarked, unknown } = repaired;
    render_hidden(page, hidden, args.dry_run);
    if hidden.is_empty()
        && plan.wrong.is_empty()
        && marks.as_ref().is_none_or(Marks::is_empty)
        && plan.unchecked.is_empty()
        && !unknown
    {
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
        && (*unknown || plan.left().count() > 0)
    {
        let what = if *unknown { "what the index lacks is not known" } else { "what is left was not marked" };
        page.marked("unmarked", Tone::Warn, &format!("{what}, which a maintainer does: {}", tame(why)));
    }
}

fn render_hidden(page: &mut Page, hidden: &[Reinstated], dry_run: bool) {
    for one in hidden {
        let what = match one.how {
            Disturbance::Hidden => "a marker hid it",
            Disturbance::Overlaid => "another version lay over it",
        };
        let what = format!("{}: {what} since {}", one.object, show_moment(one.since));
        match &one.left {
            None if dry_run => page.marked("brings back", Tone::Good, &what),
            None => page.marked("brought back", Tone::Good, &what),
            Some(why) => page.marked("left", Tone::Bad, &format!("{what}; {}", tame(why))),
        };
    }
}

fn value(region: &Region, repaired: &Repaired) -> Value {
    json!({ "region": region.name, "hidden": repaired.hidden, "wrong": repaired.plan.wrong, "unchecked": repaired.plan.unchecked,
            "marks": repaired.marks, "marked": repaired.marked, "unmarked": repaired.unmarked })
}
