//! Inventory, integrity and readback, and how their findings are told.

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::witness::Depth;
use lifeboat_verify::evidence::facts::LookFact;
use lifeboat_verify::{Draw, Finding, Needs, Outcome, Scope, SeedFrom, Severity, Subject, Threads};
use serde_json::{Value, json};

use super::{Args, Checked, Level, looks};
use crate::config::{Config, Region};
use crate::context::{Context, Reader, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame, verify_failure};
use crate::progress::Progress;
use crate::render::short_hashes;
use crate::when::{count_of, show_count};
use crate::witnessed;

/// A finding for people.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// How grave it is.
    pub(crate) severity: Severity,
    /// What it is about, and what is the matter.
    pub(crate) what: String,
    /// Whom it hits.
    pub(crate) affects: Vec<String>,
}

/// What a level's report comes down to.
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) summary: String,
    pub(super) findings: Vec<Finding>,
    pub(super) value: Value,
}

pub(super) fn check(
    context: &Context,
    config: &Config,
    region: &Region,
    args: &Args,
    level: Level,
) -> Result<Checked> {
    let repository = context.open(region)?;
    let progress = context.progress(&format!("{} of {}", level.word(), region.name));
    let at = |failure: Failure| failure.at(repository_place(region));
    let mut checked = nothing(region, level);
    let mut take = |component: Option<&Label>, report: Result<Report>, begun| -> Result<()> {
        let report = report.map_err(at)?;
        checked.looks.push(looks::of(region, level, component, (begun, context.now()), &report, args));
        add(&mut checked, report);
        Ok(())
    };
    if level == Level::Integrity {
        let begun = context.now();
        take(None, integrity(context, config, region, &repository, args, &progress), begun)?;
    } else {
        for scope in &scopes(args, config, region) {
            let begun = context.now();
            let report = match level {
                Level::Inventory => inventory(context, config, &repository, args, scope, &progress),
                _ => readback(context, &repository, args, scope, &progress),
            };
            take(scope.component.as_ref(), report, begun)?;
        }
    }
    Ok(checked)
}

/// The whole region, or each component asked for.
fn scopes(args: &Args, config: &Config, region: &Region) -> Vec<Scope> {
    let asked: Vec<Label> = super::components(config, region, args)
        .into_iter()
        .filter(|component| args.components.contains(&component.name))
        .map(|component| component.name.clone())
        .collect();
    if asked.is_empty() {
        return vec![Scope::default()];
    }
    asked
        .into_iter()
        .map(|component| Scope { component: Some(component), threads: Threads::default() })
        .collect()
}

fn inventory(
    context: &Context,
    config: &Config,
    repository: &Repository,
    args: &Args,
    scope: &Scope,
    progress: &Progress,
) -> Result<Report> {
    let reader = context.reader(config, repository, args.identities.files(context))?;
    let report =
        lifeboat_verify::inventory(repository, reader.catalog(), scope, progress).map_err(verify_failure)?;
    Ok(Report {
        value: serde_json::to_value(&report).unwrap_or_default(),
        summary: format!(
            "{} {} ({}) in {}: looked for each",
            count_of(report.snapshots, "snapshot needs", "snapshots need"),
            count_of(report.segments, "segment", "segments"),
            report.bytes,
            count_of(report.packs, "pack", "packs"),
        ),
        outcome: report.outcome,
        findings: report.findings,
    })
}

fn integrity(
    context: &Context,
    config: &Config,
    region: &Region,
    repository: &Repository,
    args: &Args,
    progress: &Progress,
) -> Result<Report> {
    let threads = Threads::default();
    let mut report =
        lifeboat_verify::integrity(repository, &region.pins(), &context.clock, threads, progress)
            .map_err(verify_failure)?;
    let said = witnessed::ask(context, region, repository, Depth::All);
    if let Some(words) = said.finding() {
        // Whoever must be told first of all.
        let severity = if said.exit() == Exit::Damaged { Severity::Damage } else { Severity::CouldNotCheck };
        report.findings.insert(0, Finding::new(severity, Subject::Area("ledger/"), words));
        report.outcome = Outcome::of(&report.findings);
    }
    if report.findings.iter().any(|finding| finding.severity == Severity::Damage) {
        blame(context, config, repository, args, &mut report.findings, progress);
    }
    let mut value = serde_json::to_value(&report).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("freshness".into(), said.value());
    }
    Ok(Report {
        value,
        summary: format!(
            "read {} ({}), checked {} against {}",
            count_of(report.objects, "object", "objects"),
            report.bytes,
            count_of(report.recorded, "hash", "hashes"),
            count_of(report.ledger_entries, "ledger entry", "ledger entries"),
        ),
        outcome: report.outcome,
        findings: report.findings,
    })
}

/// Adds whom damage hits, as far as the keys at hand can tell. That none are at hand is no fault of the check.
fn blame(
    context: &Context,
    config: &Config,
    repository: &Repository,
    args: &Args,
    findings: &mut Vec<Finding>,
    progress: &Progress,
) {
    let Ok(reader) = context.reader(config, repository, args.identities.files(context)) else { return };
    let recovery = match &reader {
        Reader::Recovery(recovery) => Some(recovery),
        Reader::Agent(_) => None,
    };
    let scope = Scope::default();
    let traced = Needs::load(repository, reader.catalog(), &scope, progress).and_then(|needs| {
        lifeboat_verify::trace(findings, &needs, repository, recovery, scope.threads, progress)
    });
    if let Err(error) = traced {
        tracing::warn!(%error, "cannot tell whom the damage hits");
    }
}

fn readback(
    context: &Context,
    repository: &Repository,
    args: &Args,
    scope: &Scope,
    progress: &Progress,
) -> Result<Report> {
    let recovery = context.recover(repository, args.identities.files(context))?;
    let seed = match args.seed {
        Some(seed) => SeedFrom::Given(seed),
        None => SeedFrom::Checkpoint { nonce: args.nonce(context)? },
    };
    let draw = Draw { amount: args.sample, seed };
    let report = lifeboat_verify::readback(&recovery, scope, &draw, progress).map_err(verify_failure)?;
    let mut summary = format!(
        "opened {}, {} of {}, {}; {}",
        count_of(report.keys, "key", "keys"),
        show_count(report.good),
        count_of(report.population, "segment", "segments"),
        report.plain_bytes,
        count_of(report.entries, "entry", "entries"),
    );
    if let Some(bound) = report.bound.filter(|bound| !bound.exact) {
        summary.push_str(&format!("; {bound}"));
    }
    if let Some(seed) = &report.seed {
        summary.push_str(&format!("; seed {seed}"));
    }
    let value = serde_json::to_value(&report).unwrap_or_default();
    Ok(Report { value, summary, outcome: report.outcome, findings: report.findings })
}

fn nothing(region: &Region, level: Level) -> Checked {
    Checked {
        region: region.name.clone(),
        level,
        exit: Exit::Ok,
        summary: String::new(),
        findings: Vec::new(),
        objectives: Vec::new(),
        looks: Vec::new(),
        value: json!({ "region": region.name, "level": level.word(), "exit": Exit::Ok.code(), "reports": [] }),
    }
}

/// Takes a report among the others of its level.
fn add(checked: &mut Checked, report: Report) {
    checked.exit = checked.exit.worst(exit_of(&report.outcome));
    let between = if checked.summary.is_empty() { "" } else { "; " };
    checked.summary.push_str(between);
    checked.summary.push_str(&report.summary);
    checked.findings.extend(report.findings.iter().map(shown));
    if let Some(reports) = checked.value.get_mut("reports").and_then(Value::as_array_mut) {
        reports.push(report.value);
    }
    if let Some(exit) = checked.value.get_mut("exit") {
        *exit = json!(checked.exit.code());
    }
}

/// A level that could not run.
pub(super) fn not_run(region: &Region, level: Level, failure: &Failure, look: LookFact) -> Checked {
    let mut summary = failure.coded();
    if let Some(next) = failure.step() {
        summary.push_str(&format!(" → {next}"));
    }
    Checked {
        region: region.name.clone(),
        level,
        exit: failure.exit,
        summary,
        findings: Vec::new(),
        objectives: Vec::new(),
        looks: vec![look],
        value: json!({ "region": region.name, "level": level.word(), "exit": failure.exit.code(),
                       "error": failure.json() }),
    }
}

pub(super) const fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Passed => Exit::Ok,
        Outcome::Failed => Exit::Damaged,
        Outcome::NotRun(_) => Exit::Unchecked,
    }
}

pub(super) fn shown(finding: &Finding) -> Shown {
    let text = |text: String| short_hashes(&tame(&text));
    // One that says twice what it is about reads badly.
    let subject = finding.object.to_string();
    let what = finding
        .what
        .strip_prefix(&subject)
        .map_or_else(|| finding.to_string(), |rest| format!("{subject}{rest}"));
    // Without a recovery identity tenants have no names, and what is said of several is the same.
    let mut affects: Vec<(String, usize)> = Vec::new();
    for affected in finding.affects.iter().map(|affected| text(affected.to_string())) {
        match affects.iter_mut().find(|(known, _)| *known == affected) {
            Some((_, count)) => *count += 1,
            None => affects.push((affected, 1)),
        }
    }
    let several = |(words, count): (String, usize)| match count {
        1 => words,
        _ => words.replacen("of a tenant", &format!("of {count} tenants"), 1),
    };
    let affects = affects.into_iter().map(several).collect();
    Shown { severity: finding.severity, what: text(what), affects }
}
