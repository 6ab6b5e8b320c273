//! `backup`: components into their regions' repositories.

use std::path::Path;

use lifeboat_backup::{BackupError, BackupErrorKind, Job, Problem, ProblemKind, Report, TenantRules};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Label;
use serde_json::{Value, json};

use crate::config::{Component, Config, Host};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Outcome, Page, Tone};
use crate::when::{count_of, show_count, show_duration};

/// Problems a page names; `--json` names more.
const PROBLEMS_SHOWN: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The components to back up
    #[arg(value_name = "COMPONENT", required_unless_present = "all")]
    components: Vec<Label>,
    /// Every component of the configuration
    #[arg(long, conflicts_with = "components")]
    all: bool,
    /// Only say what would be backed up, and to where
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let host = config.host()?;
    let components: Vec<&Component> = if args.all {
        config.components.iter().collect()
    } else {
        args.components.iter().map(|name| config.component(name)).collect::<Result<_>>()?
    };
    if components.is_empty() {
        return Err(Failure::usage("there is no component to back up")
            .at(shown(&config.path))
            .next("add [components.NAME] with region and path"));
    }
    let mut page = context.page();
    if args.dry_run {
        return dry_run(&config, &components, page);
    }
    let mut exit = Exit::Ok;
    let mut values = Vec::new();
    for component in components {
        let outcome = one(context, &config, host, component);
        match &outcome {
            Ok(report) => render(&mut page, component, report),
            Err(failure) => render_failure(&mut page, component, failure),
        }
        let ended = match &outcome {
            Ok(report) if report.status == Status::Complete => Exit::Ok,
            Ok(_) => Exit::Partly,
            Err(failure) => failure.exit,
        };
        exit = exit.worst(ended);
        values.push(value(component, &outcome, ended));
        if ended == Exit::Interrupted {
            break;
        }
    }
    Ok(Outcome { exit, value: json!({ "components": values }), page: page.finish() })
}

/// Backs up one component.
pub(crate) fn one(context: &Context, config: &Config, host: &Host, component: &Component) -> Result<Report> {
    let region = config.region(&component.region)?;
    refuse_overlap(&component.path, &region.repository, "repository")?;
    let repository = context.open(region)?;
    let credentials = context.credentials(host)?;
    let tenants = TenantRules::parse(&component.tenants, component.system.clone())
        .map_err(|error| Failure::usage(tame(&error.to_string())).at(shown(&config.path)))?;
    let job = Job {
        component: component.name.clone(),
        root: component.path.clone(),
        tenants,
        state: host.state.clone(),
        tool: format!("lifeboat {}", env!("CARGO_PKG_VERSION")),
    };
    let progress = context.progress(&format!("backup of {}", component.name));
    lifeboat_backup::run(&repository, credentials, &job, &context.clock, &context.entropy, &progress)
        .map_err(|error| failure_of(error).at(repository_place(region)))
}

/// A repository inside what it backs up would swallow itself, and burn with it.
fn refuse_overlap(source: &Path, other: &Path, what: &str) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (source, other) = (real(source), real(other));
    if other.starts_with(&source) || source.starts_with(&other) {
        return Err(Failure::usage(format!("the {what} and the component's path lie within each other"))
            .at(format!("{} and {}", shown(&source), shown(&other)))
            .next("keep them apart, best on different machines"));
    }
    Ok(())
}

fn failure_of(error: BackupError) -> Failure {
    let whole = tame(&error.to_string());
    let (what, next) = match whole.split_once("; ") {
        Some((what, next)) => (what.to_owned(), Some(next.to_owned())),
        None => (whole.clone(), None),
    };
    let failure = match error.kind {
        BackupErrorKind::Repository(error) => return Failure::from(*error),
        BackupErrorKind::Source(_) => Failure::new(Exit::Failed, whole)
            .next("check that the component's path exists and that this user may read it"),
        BackupErrorKind::State(_) => Failure::new(Exit::Failed, whole)
            .next("check the state directory; it may be emptied, the next backup then reads everything once"),
        BackupErrorKind::Busy => Failure::new(Exit::Refused, what),
        BackupErrorKind::Interrupted => Failure::new(Exit::Interrupted, what),
        _ => Failure::new(Exit::Failed, what),
    };
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

fn dry_run(config: &Config, components: &[&Component], mut page: Page) -> Result<Outcome> {
    let mut values = Vec::new();
    page.raw("Nothing is done; this would be:");
    for component in components {
        let region = config.region(&component.region)?;
        page.item(
            "-",
            &format!("{}: {} to {}", component.name, shown(&component.path), repository_place(region)),
        );
        values.push(json!({ "component": component.name, "region": region.name,
                            "path": shown(&component.path), "repository": shown(&region.repository) }));
    }
    Ok(Outcome {
        exit: Exit::Ok,
        value: json!({ "dry_run": true, "components": values }),
        page: page.finish(),
    })
}

fn render(page: &mut Page, component: &Component, report: &Report) {
    let (tone, status) = match report.status {
        Status::Complete => (Tone::Good, "complete"),
        Status::Partial => (Tone::Warn, "partly done: see below"),
    };
    page.heading(&format!("{} in {}", component.name, component.region));
    page.field_toned("status", tone, status);
    page.field("snapshot", &report.run.to_string());
    let tenants = count_of(report.tenants as u64, "tenant key", "tenant keys");
    page.field(
        "holds",
        &format!("{}, {}, {tenants}", count_of(report.counts.files, "file", "files"), report.counts.bytes),
    );
    let against = if report.parent.is_some() { "" } else { " (nothing to compare with: all was read)" };
    let packs = count_of(report.packs, "pack", "packs");
    page.field("stored anew", &format!("{} in {packs}{against}", report.stored));
    page.field("took", &show_duration(report.duration));
    render_problems(page, report);
}

fn render_problems(page: &mut Page, report: &Report) {
    let problems = &report.problems;
    if problems.total() == 0 {
        return;
    }
    let kinds = [
        (ProblemKind::Unreadable, "could not be read"),
        (ProblemKind::Vanished, "vanished while it was read"),
        (ProblemKind::Changed, "kept changing; stored as last read"),
        (ProblemKind::Undeclared, "belong to no declared tenant; stored under _system"),
    ];
    for (kind, words) in kinds.iter().filter(|(kind, _)| problems.of(*kind) > 0) {
        page.toned(Tone::Warn, &format!("  {} {words}:", show_count(problems.of(*kind))));
        let named: Vec<&Problem> = problems.named.iter().filter(|problem| problem.kind == *kind).collect();
        for problem in named.iter().take(PROBLEMS_SHOWN) {
            let why = if matches!(kind, ProblemKind::Unreadable) {
                format!(": {}", tame(&problem.why))
            } else {
                String::new()
            };
            page.item("-", &format!("{}{why}", text::display(&problem.path)));
        }
        let rest = problems.of(*kind).saturating_sub(named.len().min(PROBLEMS_SHOWN) as u64);
        if rest > 0 {
            page.item("-", &format!("and {} more", show_count(rest)));
        }
    }
    if problems.of(ProblemKind::Undeclared) > 0 {
        page.item("→", "add a pattern to tenants, or say with system = \"…\" why it is nobody's");
    }
}

fn render_failure(page: &mut Page, component: &Component, failure: &Failure) {
    page.heading(&format!("{} in {}", component.name, component.region));
    page.field_toned("status", Tone::Bad, &format!("no snapshot was made: {}", failure.what));
    if let Some(place) = &failure.place {
        page.field("where", place);
    }
    if let Some(next) = &failure.next {
        page.field("next", next);
    }
}

fn value(component: &Component, outcome: &Result<Report>, exit: Exit) -> Value {
    match outcome {
        Err(failure) => json!({ "component": component.name, "region": component.region,
                                "exit": exit.code(), "error": failure.json() }),
        Ok(report) => json!({
            "component": component.name, "region": component.region, "exit": exit.code(),
            "run": report.run, "parent": report.parent, "recovery_point": report.recovery_point.rfc3339(),
            "status": crate::survey::status_word(report.status), "counts": report.counts,
            "tenant_keys": report.tenants, "stored_bytes": report.stored, "packs": report.packs,
            "seconds": report.duration.as_secs_f64(), "problems_total": report.problems.total(),
            "problems": report.problems.named.iter().map(problem_value).collect::<Vec<_>>(),
        }),
    }
}

fn problem_value(problem: &Problem) -> Value {
    let kind = match problem.kind {
        ProblemKind::Unreadable => "unreadable",
        ProblemKind::Vanished => "vanished",
        ProblemKind::Changed => "changed",
        ProblemKind::Undeclared => "undeclared",
    };
    json!({ "path": text::display(&problem.path), "kind": kind, "why": tame(&problem.why) })
}
