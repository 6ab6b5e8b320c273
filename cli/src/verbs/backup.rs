//! `backup`: components into their regions' repositories.

use std::path::Path;

use lifeboat_backup::{
    Environment, ExcludeRule, HookFailure, Job, Problem, ProblemKind, Report, Source, TenantRules, Tree,
};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::{Label, ObjectName};
use serde_json::{Value, json};

use crate::clocks::refuse_clocks_apart;
use crate::codes::Code;
use crate::config::{Component, Config, Host, LimitArgs, SourceKind};
use crate::context::{Context, inherited, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, backup_failure, shown, tame};
use crate::render::{Outcome, Page, Tone};
use crate::telling::{component_begins, component_ended};
use crate::when::{count_of, show_count, show_duration};
use crate::witnessed;

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
    #[command(flatten)]
    limits: LimitArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config_with(&args.limits)?;
    let host = config.host()?;
    let components: Vec<&Component> = if args.all {
        config.components.iter().collect()
    } else {
        args.components.iter().map(|name| config.component(name)).collect::<Result<_>>()?
    };
    if components.is_empty() {
        return Err(Failure::usage("there is no component to back up")
            .code(Code::Configuration)
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
        component_begins(&config.outlets.ping, component.ping.as_deref());
        let outcome = one(context, &config, host, component);
        let witnessed = match &outcome {
            Ok(_) => witness(context, &config, host, component),
            Err(_) => Ok(None),
        };
        match &outcome {
            Ok(report) => render(&mut page, component, report),
            Err(failure) => render_failure(&mut page, component, failure),
        }
        if let Err(failure) = &witnessed {
            page.marked("!", Tone::Bad, &format!("the witness was not told: {}", failure.coded()));
            if let Some(place) = &failure.place {
                page.item("at", place);
            }
            if let Some(next) = failure.step() {
                page.item("→", next);
            }
        }
        let ended = match &outcome {
            // That a witness is out of reach is no fault of the backup; what it has seen and is gone is.
            Ok(_) if witnessed.as_ref().is_err_and(|failure| failure.exit == Exit::Damaged) => Exit::Damaged,
            Ok(report) if report.status == Status::Complete && report.hook_failures.is_empty() => Exit::Ok,
            Ok(_) => Exit::Partly,
            Err(failure) => failure.exit,
        };
        component_ended(&config.outlets.ping, component.ping.as_deref(), ended);
        exit = exit.worst(ended);
        let mut value = value(component, &outcome, ended);
        if let (Ok(_), Some(object)) = (&outcome, value.as_object_mut()) {
            object.insert("witnessed".into(), json!(witnessed.as_ref().ok().and_then(Option::as_ref)));
            object.insert("witness_error".into(), json!(witnessed.as_ref().err().map(Failure::json)));
        }
        values.push(value);
        if ended == Exit::Interrupted {
            break;
        }
    }
    Ok(Outcome { exit, value: json!({ "components": values }), page: page.finish() })
}

/// Tells the region's witness, if there is one, of the newest entry of this host's ledger.
fn witness(
    context: &Context,
    config: &Config,
    host: &Host,
    component: &Component,
) -> Result<Option<ObjectName>> {
    let region = config.region(&component.region)?;
    if !region.has_witness() {
        return Ok(None);
    }
    let told = witnessed::put(context, region, &context.open(region)?, &host.writer);
    if let Err(failure) = &told {
        tracing::warn!(component = %component.name, "the witness was not told: {}", failure.coded());
    }
    told
}

/// Backs up one component.
pub(crate) fn one(context: &Context, config: &Config, host: &Host, component: &Component) -> Result<Report> {
    let region = config.region(&component.region)?;
    if let (Some(path), Some(repository)) = (component.path(), region.repository.directory()) {
        refuse_overlap(path, repository, "repository")?;
    }
    let repository = context.open(region)?;
    let there =
        repository.store().now().map_err(|error| Failure::from(error).at(repository_place(region)))?;
    refuse_clocks_apart(context.now(), there, "a snapshot with a wrong date hides those that come after it")
        .map_err(|failure| failure.at(repository_place(region)))?;
    let credentials = context.credentials(host)?;
    let inherited = inherited();
    let mut hooks = component.hooks.clone();
    for hook in [&mut hooks.before, &mut hooks.after, &mut hooks.on_failure].into_iter().flatten() {
        hook.inherited = inherited.clone();
    }
    let job = Job {
        component: component.name.clone(),
        source: source(config, component, inherited)?,
        hooks,
        resources: config.limits.resources,
        rewriting: component.rewriting,
        lock: component.treatment.lock,
        state: host.state.clone(),
        state_in_repository: host.state_in_repository,
        tool: format!("lifeboat {}", env!("CARGO_PKG_VERSION")),
    };
    let progress = context.progress_of(&component.name, "backup");
    lifeboat_backup::run(&repository, credentials, &job, &context.clock, &context.entropy, &progress)
        .map_err(|error| backup_failure(error).at(repository_place(region)))
}

fn source(config: &Config, component: &Component, inherited: Environment) -> Result<Source> {
    match &component.source {
        SourceKind::Files(root, excludes) => {
            let tenants = TenantRules::parse(&component.tenants, component.system.clone())
                .and_then(|rules| rules.with_nobodys(&component.not_tenants))
                .map_err(|error| {
                    let failure = Failure::usage(tame(&error.to_string())).code(Code::Configuration);
                    failure.at(shown(&config.path))
                })?;
            Ok(Source::Files(Tree {
                root: root.clone(),
                tenants,
                excludes: excludes.clone(),
                allow_empty: component.allow_empty,
            }))
        }
        SourceKind::Command(command) => {
            let mut command = command.clone();
            command.program.inherited = inherited;
            Ok(Source::Command(command))
        }
    }
}

/// A repository inside what it backs up would swallow itself, and burn with it.
fn refuse_overlap(source: &Path, other: &Path, what: &str) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (source, other) = (real(source), real(other));
    if other.starts_with(&source) || source.starts_with(&other) {
        return Err(Failure::usage(format!("the {what} and the component's path lie within each other"))
            .at(format!("{} and {}", shown(&source), shown(&other)))
            .code(Code::Overlap)
            .next("keep them apart, best on different machines"));
    }
    Ok(())
}

fn dry_run(config: &Config, components: &[&Component], mut page: Page) -> Result<Outcome> {
    let mut values = Vec::new();
    page.raw("Nothing is done; this would be:");
    for component in components {
        let region = config.region(&component.region)?;
        let from = match &component.source {
            SourceKind::Files(path, _) => shown(path),
            SourceKind::Command(command) => format!("what {} writes", command.program.name()),
        };
        page.item("-", &format!("{}: {from} to {}", component.name, repository_place(region)));
        values.push(json!({ "component": component.name, "region": region.name,
                            "path": component.path().map(shown), "command": command_name(component),
                            "repository": region.repository.to_string() }));
    }
    Ok(Outcome {
        exit: Exit::Ok,
        value: json!({ "dry_run": true, "components": values }),
        page: page.finish(),
    })
}

/// The program of a component whose data comes from one. Its arguments are nobody's business.
fn command_name(component: &Component) -> Option<String> {
    match &component.source {
        SourceKind::Command(command) => Some(command.program.name()),
        SourceKind::Files(..) => None,
    }
}

fn render(page: &mut Page, component: &Component, report: &Report) {
    let (tone, status) = match report.status {
        Status::Complete if !report.hook_failures.is_empty() => {
            (Tone::Warn, "complete, but see the hooks below")
        }
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
    if report.rewritten.segments > 0 {
        let segments = count_of(report.rewritten.segments, "segment", "segments");
        page.field(
            "of it",
            &format!("{} because {segments} held too little else that lives", report.rewritten.bytes),
        );
    }
    page.field("took", &show_duration(report.duration));
    render_excluded(page, report);
    render_problems(page, report);
    for failure in &report.hook_failures {
        page.toned(Tone::Warn, &format!("  {}", tame(&failure.to_string())));
    }
}

/// What is not in the backup because somebody configured it so.
fn render_excluded(page: &mut Page, report: &Report) {
    for (at, (rule, count)) in report.excluded.iter().enumerate() {
        let name = if at == 0 { "left out" } else { "" };
        let entries = count_of(*count, "entry", "entries");
        page.field(name, &format!("{entries} by {}", tame(&rule.to_string())));
    }
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
        (
            ProblemKind::Misnamed,
            "where a tenant's name should stand, under a name that no tenant can have; stored under \
         _system",
        ),
        (ProblemKind::Empty, "tree without anything in it"),
        (ProblemKind::Erased, "of tenants that officers erased; not taken"),
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
    if problems.of(ProblemKind::Erased) > 0 {
        page.item("→", "delete them here, or let the tenant in again with `lifeboat erase --readmit`");
    }
    if problems.of(ProblemKind::Empty) > 0 {
        page.item(
            "→",
            "mount what belongs there and run it again; or say allow_empty = true in its component",
        );
    }
    if problems.of(ProblemKind::Misnamed) > 0 {
        page.item(
            "→",
            "such data can be neither restored nor erased for its tenant alone: rename them (a-z, 0-9, dot, dash and \
             underscore, at most 63), or list those that are no tenant's in not_tenants = [\"…\"]",
        );
    }
    if problems.of(ProblemKind::Undeclared) > 0 {
        page.item("→", "add a pattern to tenants, or say with system = \"…\" why it is nobody's");
    }
}

fn render_failure(page: &mut Page, component: &Component, failure: &Failure) {
    page.heading(&format!("{} in {}", component.name, component.region));
    page.field_toned("status", Tone::Bad, &format!("no snapshot was made: {}", failure.coded()));
    if let Some(place) = &failure.place {
        page.field("where", place);
    }
    if let Some(next) = failure.step() {
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
            "rewritten_segments": report.rewritten.segments, "rewritten_bytes": report.rewritten.bytes,
            "excluded": report.excluded.iter().map(excluded_value).collect::<Vec<_>>(),
            "hook_failures": report.hook_failures.iter().map(hook_value).collect::<Vec<_>>(),
            "seconds": report.duration.as_secs_f64(), "problems_total": report.problems.total(),
            "problems": report.problems.named.iter().map(problem_value).collect::<Vec<_>>(),
        }),
    }
}

fn excluded_value((rule, count): (&ExcludeRule, &u64)) -> Value {
    json!({ "rule": tame(&rule.to_string()), "entries": count })
}

fn hook_value(failure: &HookFailure) -> Value {
    json!({ "hook": failure.hook, "why": tame(&failure.to_string()) })
}

fn problem_value(problem: &Problem) -> Value {
    let kind = match problem.kind {
        ProblemKind::Unreadable => "unreadable",
        ProblemKind::Vanished => "vanished",
        ProblemKind::Changed => "changed",
        ProblemKind::Undeclared => "undeclared",
        ProblemKind::Misnamed => "misnamed",
        ProblemKind::Empty => "empty",
        ProblemKind::Erased => "erased",
    };
    json!({ "path": text::display(&problem.path), "kind": kind, "why": tame(&problem.why) })
}
