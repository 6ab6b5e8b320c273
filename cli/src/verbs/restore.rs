//! `restore`: a component, or part of it, into an empty directory, over what is there, or to standard output.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lifeboat_repo::format::snapshot::{Counts, Snapshot};
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::witness::Depth;
use lifeboat_restore::ids::parse_mapping;
use lifeboat_restore::report::LossKind;
use lifeboat_restore::{Changes, Choice, IdMap, InPlace, Options, Plan, Report, Status};
use serde_json::json;

use crate::choosing::Which;
use crate::config::{Component, Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown};
use crate::looking::{Asked, look};
use crate::render::Outcome;
use crate::survey::{self, Identities, status_word};
use crate::witnessed::{self, Said};

mod guard;
mod page;
mod part;
mod stdout;

/// Where values begin in the lines that tell of changes.
const CHANGES_COLUMN: usize = 12;

#[derive(clap::Args, Clone)]
#[command(override_usage = "lifeboat restore [OPTIONS] --target <DIR> <COMPONENT>
       lifeboat restore [OPTIONS] --target <DIR> --shard <I/N> <COMPONENT>
       lifeboat restore [OPTIONS] --target <DIR> --finish <COMPONENT>
       lifeboat restore [OPTIONS] --target <DIR> --region <REGION>
       lifeboat restore [OPTIONS] --stdout <COMPONENT>")]
pub(crate) struct Args {
    /// The component
    #[arg(required_unless_present = "region")]
    component: Option<Label>,
    /// All components of this region, those that others need first, each into DIR/COMPONENT
    #[arg(long, value_name = "REGION", conflicts_with_all = ["component", "paths", "snapshot", "tenants"])]
    pub(super) region: Option<Label>,
    /// An empty directory, or one to make; or what the same restore left unfinished: it goes on there
    #[arg(long, value_name = "DIR", required_unless_present = "stdout")]
    target: Option<PathBuf>,
    /// Write the one stream of a component that a command yields to standard output, in place of --target
    #[arg(long, conflicts_with_all = ["region", "target", "in_place", "dry_run", "paths", "map_uid", "map_gid", "by_name"])]
    stdout: bool,
    /// Bring what is in the target to the snapshot's state: only what differs is fetched and written
    #[arg(long)]
    in_place: bool,
    /// With --in-place, remove what the snapshot does not have; look with --dry-run first
    #[arg(long, requires = "in_place")]
    delete: bool,
    /// With --delete, remove also what may be there because the backup left it out as configured
    #[arg(long, requires = "delete")]
    delete_excluded: bool,
    /// With --in-place, take files whose length and time are right for right, unread
    #[arg(long, requires = "in_place")]
    trust_times: bool,
    /// With --in-place, restore even over the running system or the place where the component lives
    #[arg(long, requires = "in_place")]
    over_live_root: bool,
    /// Segments to fetch and write at a time: as many as `verify --level objective` found quickest [default: one for
    /// each processor]
    #[arg(long, value_name = "N", value_parser = streams)]
    streams: Option<NonZeroUsize>,
    #[command(flatten)]
    part: part::PartArgs,
    /// Only this path, relative to the component's root, with what is below it; may be given several times
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    pub(super) which: Which,
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Give what belonged to user A to user B; may be given several times
    #[arg(long, value_name = "A:B", value_parser = mapping)]
    map_uid: Vec<(u32, u32)>,
    /// Give what belonged to group A to group B; may be given several times
    #[arg(long, value_name = "A:B", value_parser = mapping)]
    map_gid: Vec<(u32, u32)>,
    /// Find users and groups by their names on this machine, not by number
    #[arg(long)]
    by_name: bool,
    #[command(flatten)]
    pub(super) identities: Identities,
}

/// More threads than this are a slip of the finger.
const STREAMS_MAX: usize = 1024;

fn streams(text: &str) -> std::result::Result<NonZeroUsize, String> {
    let found = text.parse::<NonZeroUsize>().ok().filter(|streams| streams.get() <= STREAMS_MAX);
    found.ok_or_else(|| format!("{text:?} is no number of streams; write 1 to 1024"))
}

fn mapping(text: &str) -> std::result::Result<(u32, u32), String> {
    parse_mapping(text).map_err(|error| error.to_string())
}

/// A restore that came to its end, or the plan of one.
pub(crate) struct Done {
    pub(super) snapshot: Snapshot,
    unrecorded: bool,
    /// A newer snapshot that does not count, and why.
    pub(super) passed_over: Option<String>,
    part: part::Part,
    pub(super) plan: Plan,
    /// What was restored; none after a dry run.
    pub(crate) report: Option<Report>,
    /// What a dry run found in the target.
    changes: Option<Changes>,
    /// What a witness says of how new the repository is.
    pub(super) freshness: Said,
}

impl Args {
    /// A whole component's latest snapshot.
    #[cfg(feature = "full")]
    pub(crate) fn latest(component: Label, target: PathBuf, identities: Identities) -> Self {
        let (paths, map_uid, map_gid) = (Vec::new(), Vec::new(), Vec::new());
        let (which, dry_run, by_name) = (Which::default(), false, false);
        let (component, region) = (Some(component), None);
        Self {
            component,
            region,
            target: Some(target),
            stdout: false,
            in_place: false,
            delete: false,
            delete_excluded: false,
            trust_times: false,
            over_live_root: false,
            streams: None,
            part: part::PartArgs::default(),
            paths,
            which,
            dry_run,
            map_uid,
            map_gid,
            by_name,
            identities,
        }
    }
}

impl Args {
    /// The same for one component of a region.
    pub(super) fn of_component(&self, component: &Label, target: PathBuf, run: RunId) -> Self {
        let which = Which { snapshot: Some(run.to_string()), at: None, tenants: Vec::new() };
        Self { component: Some(component.clone()), region: None, target: Some(target), which, ..self.clone() }
    }

    fn options(&self) -> Options {
        let ids = IdMap {
            uids: self.map_uid.iter().copied().collect(),
            gids: self.map_gid.iter().copied().collect(),
            by_name: self.by_name,
        };
        let in_place = self.in_place.then_some(InPlace {
            delete: self.delete,
            delete_excluded: self.delete_excluded,
            trust_times: self.trust_times,
            over_live_root: self.over_live_root,
        });
        Options { ids, in_place, workers: self.streams }
    }

    /// Where to restore to. The command line has this, or standard output.
    pub(super) fn target(&self) -> Result<&Path> {
        self.target.as_deref().ok_or_else(|| Failure::usage("no target is named").next("give --target DIR"))
    }

    fn component(&self) -> Result<&Label> {
        // The command line has either this or a region.
        self.component.as_ref().ok_or_else(|| Failure::usage("no component is named"))
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if let Some(region) = &args.region {
        return super::restore_region::run(context, args, region);
    }
    let config = context.config()?;
    let component = config.component(args.component()?)?;
    let region = config.region(&component.region)?;
    if args.stdout {
        return to_stdout(context, component, args);
    }
    let done = one(context, &config, args)?;
    let Some(report) = &done.report else { return Ok(dry_run(context, args.target()?, region, &done)) };
    let value = json!({ "component": component.name, "region": region.name, "run": done.snapshot.run,
                        "recovery_point": done.snapshot.recovery_point.rfc3339(),
                        "snapshot_status": status_word(done.snapshot.status), "unrecorded": done.unrecorded,
                        "passed_over": done.passed_over, "freshness": done.freshness.value(), "part": done.part,
                        "target": shown(args.target()?), "status": report.status(), "report": page::report_value(report) });
    let page = page::render(context, args.target()?, component, &done, report);
    let exit = exit_of(report).worst(done.freshness.exit_of_restore());
    Ok(Outcome { exit, value, page })
}

/// Restores, or only plans it.
pub(crate) fn one(context: &Context, config: &Config, args: &Args) -> Result<Done> {
    let component = config.component(args.component()?)?;
    let region = config.region(&component.region)?;
    guard::check(context, config, component, region, args)?;
    let part = part::Part::of(args, component)?;
    let at = |failure: Failure| failure.at(repository_place(region));
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let listed = Judge::to_read(&repository, recovery.catalog())
        .and_then(|judge| judge.list_with_gone(Some(&component.name)))
        .map_err(|error| at(error.into()))?;
    let choice = part.choice(args, context, &listed, component)?;
    let chosen = lifeboat_restore::choose(&listed, &component.name, choice).map_err(restore_failure)?;
    let (snapshot, unrecorded) = (chosen.snapshot.clone(), chosen.unrecorded);
    // Whoever named the latest is told, too, as is a region whose snapshots were chosen before.
    let latest = lifeboat_restore::choose(&listed, &component.name, Choice::Latest).ok();
    let passed_over =
        latest.filter(|latest| latest.listed.run == snapshot.run).and_then(|one| one.passed_over);
    let passed_over = passed_over.map(|newer| match &newer.standing {
        Standing::Void(why) => format!("{} is newer but does not count: {why}", newer.run),
        Standing::Counts => {
            format!("{}; --snapshot {} restores it", survey::ahead_words(newer), newer.run)
        }
        _ => format!("{} is newer but no ledger names it; restore it with --snapshot", newer.run),
    });
    let progress = context.progress_of(&component.name, "restore");
    progress.tell(Event::Run(snapshot.run));
    let selection = args.which.selection(&args.paths);
    let plan = lifeboat_restore::plan(&recovery, &snapshot, &selection, &progress)
        .map_err(|error| at(restore_failure(error)))?;
    let plan = part.of_plan(plan);
    let (options, target) = (args.options(), args.target()?);
    let (report, changes) = if args.dry_run {
        (None, lifeboat_restore::preview(&plan, target, &options, &progress).map_err(restore_failure)?)
    } else {
        let report = lifeboat_restore::perform(repository.store(), &plan, target, &options, &progress);
        (Some(report.map_err(|error| at(restore_failure(error)))?), None)
    };
    let freshness = witnessed::ask(context, region, &repository, Depth::All).of(&snapshot.writer);
    Ok(Done { snapshot, unrecorded, passed_over, part, plan, report, changes, freshness })
}

/// Why a snapshot is partial, behind a colon.
pub(crate) fn partial_words(counts: &Counts) -> String {
    let reasons = counts.reasons();
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) }
}

/// The stream of a component on standard output.
fn to_stdout(context: &Context, component: &Component, args: &Args) -> Result<Outcome> {
    if context.json {
        return Err(Failure::usage("the stream and the JSON cannot both go to standard output")
            .at("--json")
            .next("leave out --json or --stdout, or use `lifeboat cat --output FILE`"));
    }
    let asked = Asked { what: component.name.as_str(), which: &args.which, identities: &args.identities };
    look(context, asked, |look| {
        let chosen = look.chosen()?;
        let progress = context.progress_of(&component.name, "restore");
        progress.tell(Event::Run(chosen.snapshot.run));
        let everything = args.which.selection(&[]);
        stdout::run(look.recovery, chosen.snapshot, &everything, &progress)
            .map_err(|failure| failure.at(look.place()))
    })
}

/// What a restore that came to its end means.
pub(crate) fn exit_of(report: &Report) -> Exit {
    let losses = report.losses.iter().map(|loss| match loss.kind {
        LossKind::Damaged => Exit::Damaged,
        LossKind::Unchecked => Exit::Unchecked,
        LossKind::Key => Exit::Partly,
    });
    let whole = if report.status() == Status::Complete { Exit::Ok } else { Exit::Partly };
    losses.fold(whole, Exit::worst)
}

fn dry_run(context: &Context, target: &Path, region: &Region, done: &Done) -> Outcome {
    let plan = &done.plan;
    let mut page = context.page();
    page.raw("Nothing is done; this would be:");
    page.raw(plan.to_string().trim_end());
    page.raw(&format!("  into      {}", shown(target)));
    if let Some(changes) = &done.changes {
        page.raw("Of that, beside what is there:");
        page.columns(CHANGES_COLUMN, &changes.to_string());
    }
    if done.freshness.finding().is_some() {
        done.freshness.show(&mut page);
    }
    let exit = if plan.losses.is_empty() { Exit::Ok } else { Exit::Partly };
    let exit = exit.worst(done.freshness.exit_of_restore());
    let value = json!({ "dry_run": true, "region": region.name, "target": shown(target), "part": done.part,
                        "plan": plan, "changes": done.changes, "freshness": done.freshness.value() });
    Outcome { exit, value, page: page.finish() }
}
