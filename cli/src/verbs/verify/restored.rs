//! The level `restore`: each component restored whole into scratch space and compared.

use lifeboat_repo::repository::recover::Recovery;
use lifeboat_restore::Choice;
use lifeboat_verify::{Finding, Restoration, RestoredReport, Severity, restored};
use serde_json::{Value, json};

use super::levels::{exit_of, shown};
use super::{Args, Checked, Level, looks};
use crate::codes::Code;
use crate::config::{Component, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, verify_failure};
use crate::when::{count_of, parse_moment, show_count, show_duration};

pub(super) fn check(
    context: &Context,
    region: &Region,
    components: &[&Component],
    args: &Args,
) -> Result<Checked> {
    let choice = match &args.at {
        None => Choice::Latest,
        Some(text) => Choice::At(
            parse_moment(text, context.now())
                .map_err(|why| Failure::usage(why).code(Code::Moment).at("--at"))?,
        ),
    };
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let (mut exit, mut summaries, mut findings, mut values) = (Exit::Ok, Vec::new(), Vec::new(), Vec::new());
    let mut seen = Vec::new();
    for component in components {
        let begun = context.now();
        match one(context, &recovery, component, choice, args) {
            Ok(report) => {
                exit = exit.worst(exit_of(&report.outcome));
                let told = summary(&report);
                seen.push(looks::of_restored(region, component, (begun, context.now()), &report, &told));
                summaries.push(told);
                findings.extend(report.findings.iter().map(shown));
                values.push(serde_json::to_value(&report).unwrap_or_default());
            }
            // One component that could not be restored keeps no other from being checked.
            Err(failure) => {
                let failure = failure.at(repository_place(region)).into_check();
                exit = exit.worst(failure.exit);
                let span = (begun, context.now());
                seen.push(looks::failed(region, Level::Restore, Some(&component.name), span, &failure));
                summaries.push(format!("{}: {}", component.name, failure.what));
                values.push(failed(component, &failure));
                if failure.exit == Exit::Interrupted {
                    break;
                }
            }
        }
    }
    if components.is_empty() {
        summaries.push("no component is configured in this region".into());
    }
    let value = json!({ "region": region.name, "level": Level::Restore.word(), "exit": exit.code(),
                        "reports": values });
    Ok(Checked {
        region: region.name.clone(),
        level: Level::Restore,
        exit,
        summary: summaries.join("; "),
        findings,
        objectives: Vec::new(),
        looks: seen,
        value,
    })
}

fn one(
    context: &Context,
    recovery: &Recovery<'_>,
    component: &Component,
    choice: Choice,
    args: &Args,
) -> Result<RestoredReport> {
    let wanted = Restoration {
        component: component.name.clone(),
        choice,
        scratch: args.scratch.clone().unwrap_or_else(std::env::temp_dir),
    };
    let progress = context.progress_of(&component.name, "restore and compare");
    restored(recovery, &wanted, &progress).map_err(verify_failure)
}

fn summary(report: &RestoredReport) -> String {
    let grave = |finding: &&Finding| finding.severity != Severity::Notice;
    let end = match report.findings.iter().filter(grave).count() {
        0 => "all as it was".to_owned(),
        _ => format!("{} of them as they were", show_count(report.same)),
    };
    format!(
        "{}: {}, {} restored in {} and compared in {}, {end}",
        report.component,
        count_of(report.compared, "entry", "entries"),
        report.bytes,
        show_duration(report.restoring),
        show_duration(report.comparing),
    )
}

fn failed(component: &Component, failure: &Failure) -> Value {
    json!({ "component": component.name, "outcome": "not_run", "reason": failure.what,
            "findings": [], "error": failure.json() })
}
