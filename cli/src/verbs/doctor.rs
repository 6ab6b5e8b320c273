//! `doctor`: is everything as it must be, and what to do where it is not.

use lifeboat_repo::ids::Label;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::render::{Outcome, Page, Tone};
use crate::survey::Identities;

mod beyond;
mod host;
mod store;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Write nothing to the stores: leaves out whether they keep what they promise
    #[arg(long)]
    passive: bool,
    #[command(flatten)]
    identities: Identities,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail(Exit),
}

/// One thing looked at.
struct Finding {
    area: String,
    what: String,
    verdict: Verdict,
    next: Option<String>,
}

/// Findings as they come.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, area: &str, verdict: Verdict, what: impl Into<String>, next: Option<String>) {
        self.0.push(Finding { area: area.into(), what: what.into(), verdict, next });
    }

    pub(super) fn ok(&mut self, area: &str, what: impl Into<String>) {
        self.add(area, Verdict::Ok, what, None);
    }

    pub(super) fn warn(&mut self, area: &str, what: impl Into<String>, next: impl Into<String>) {
        self.add(area, Verdict::Warn, what, Some(next.into()));
    }

    pub(super) fn fail(&mut self, area: &str, exit: Exit, what: impl Into<String>, next: impl Into<String>) {
        self.add(area, Verdict::Fail(exit), what, Some(next.into()));
    }

    /// What went wrong, as a finding.
    pub(super) fn failure(&mut self, area: &str, failure: Failure) {
        let failure = failure.into_check();
        let what = match &failure.place {
            Some(place) => format!("{} ({}, {place})", failure.what, failure.code),
            None => failure.coded(),
        };
        let next = failure.step().map(ToOwned::to_owned);
        self.add(area, Verdict::Fail(failure.exit), what, next);
    }

    fn exit(&self) -> Exit {
        self.0.iter().fold(Exit::Ok, |exit, finding| match finding.verdict {
            Verdict::Fail(found) => exit.worst(found),
            _ => exit,
        })
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let mut findings = Findings::default();
    findings.ok("configuration", {
        let (regions, components) = (config.regions.len(), config.components.len());
        format!(
            "{} is sound: {}, {}",
            crate::failure::shown(&config.path),
            crate::when::count_of(regions as u64, "region", "regions"),
            crate::when::count_of(components as u64, "component", "components")
        )
    });
    host::check(&config, &mut findings);
    for region in context.regions(&config, &args.region)? {
        store::check(context, &config, region, args.passive, args.identities.files(context), &mut findings);
    }
    Ok(Outcome { exit: findings.exit(), value: value(&findings), page: render(context, &findings) })
}

fn render(context: &Context, findings: &Findings) -> String {
    let mut page: Page = context.page();
    let mut area = "";
    for finding in &findings.0 {
        if finding.area != area {
            page.heading(&finding.area);
            area = &finding.area;
        }
        let (mark, tone) = match finding.verdict {
            Verdict::Ok => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warn),
            Verdict::Fail(_) => ("FAIL", Tone::Bad),
        };
        page.marked(mark, tone, &finding.what);
        if let Some(next) = &finding.next {
            page.paragraph(7, &format!("→ {next}"));
        }
    }
    let count =
        |wanted: fn(&Verdict) -> bool| findings.0.iter().filter(|finding| wanted(&finding.verdict)).count();
    let (warned, failed) =
        (count(|verdict| *verdict == Verdict::Warn), count(|verdict| matches!(verdict, Verdict::Fail(_))));
    page.gap();
    match (failed, warned) {
        (0, 0) => page.toned(Tone::Good, "All is well."),
        (0, _) => page.toned(
            Tone::Warn,
            &format!("Works, with {}.", crate::when::count_of(warned as u64, "warning", "warnings")),
        ),
        _ => page.toned(
            Tone::Bad,
            &format!("{} must be mended.", crate::when::count_of(failed as u64, "thing", "things")),
        ),
    };
    page.finish()
}

fn value(findings: &Findings) -> Value {
    let all = findings.0.iter().map(|finding| {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail(_) => "fail",
        };
        json!({ "area": finding.area, "verdict": verdict, "what": finding.what, "next": finding.next })
    });
    json!({ "findings": all.collect::<Vec<_>>() })
}
