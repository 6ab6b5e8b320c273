//! `heartbeat --check`: what a restored copy lost, by the records found in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::choose;
use lifeboat_verify::Outcome as Checked;
use lifeboat_verify::loss::{Cut, Loss, ReferenceCheck, cut};
use lifeboat_verify::objective::RpoVerdict;
use serde_json::{Value, json};

use crate::choosing::Which;
use crate::codes::Code;
use crate::config::{Component, Config, Reference};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown, tame};
use crate::losses::{self, loss_words};
use crate::render::{Outcome, Tone};
use crate::survey::Identities;
use crate::when::{parse_moment, show_duration};

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// Write nothing: say what a restored copy lost. PATH is the restored tree of the component, or a file with records
    /// read out of it (- for standard input); with several components, a directory with one of their names for each
    #[arg(long, value_name = "PATH")]
    check: Option<PathBuf>,
    /// With --check: the snapshot that was restored, by name, its beginning, or latest; with several components one for
    /// each, as COMPONENT=RUN. Where nobody says, what is lost is unknown
    #[arg(long, value_name = "RUN", requires = "check")]
    snapshot: Vec<String>,
    /// With --check: `TENANT COUNT` lines, as the component's `count` prints them of the copy; with several components one
    /// file for each, as COMPONENT=FILE
    #[arg(long, value_name = "FILE", requires = "check")]
    counts: Vec<String>,
    /// With --check: when the disaster struck [default: now]
    #[arg(long, value_name = "TIME", requires = "check")]
    disaster_at: Option<String>,
    #[command(flatten)]
    identities: Identities,
}

/// The snapshot that every component has.
const LATEST: &str = "latest";

impl CheckArgs {
    /// Whether nothing is to be written.
    pub(super) fn asked(&self) -> bool {
        self.check.is_some()
    }
}

pub(super) fn run(
    context: &Context,
    config: &Config,
    components: &[&Component],
    args: &CheckArgs,
) -> Result<Outcome> {
    let place = args.check.clone().unwrap_or_default();
    let disaster = match &args.disaster_at {
        None => context.now(),
        Some(text) => parse_moment(text, context.now())
            .map_err(|why| Failure::usage(why).code(Code::Moment).at("--disaster-at"))?,
    };
    for (flag, given) in [("--snapshot", &args.snapshot), ("--counts", &args.counts)] {
        are_told_apart(flag, given, components)?;
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for component in components {
        match one(context, config, components, component, args, disaster) {
            Ok(loss) => found.push(loss),
            Err(failure) if components.len() == 1 => return Err(failure),
            // One that cannot be judged hides nothing of the others.
            Err(failure) => failures.push((component.name.clone(), failure)),
        }
    }
    let checks = references(context, config, components, &place);
    let objective = components.iter().map(|component| component.rpo).max().unwrap_or_default();
    let whole = (components.len() > 1 && failures.is_empty()).then(|| cut(&found, &checks, objective));
    let mut page = context.page();
    for loss in &found {
        page.marked(
            mark(&loss.verdict).0,
            mark(&loss.verdict).1,
            &format!("{}  {}", loss.component, loss_words(loss)),
        );
        // What is unknown has said why already.
        if loss.bound.is_some() {
            page.item("   ", &tame(&loss.note));
        }
        for lost in &loss.lost {
            let whose = lost.tenant.map_or_else(|| "nobody".to_owned(), |token| token.to_string());
            let whose: String = whose.chars().take(16).collect();
            let records =
                lost.records.map_or_else(|| "unknown".to_owned(), |records| format!("at least {records}"));
            page.item("   ", &format!("records lost of {whose}…: {records}"));
        }
    }
    if args.snapshot.is_empty() {
        page.item("→", "say which snapshot was restored: --snapshot RUN, or --snapshot latest");
    }
    for (component, failure) in &failures {
        page.marked("unknown", Tone::Bad, &format!("{component}  {}", failure.coded()));
        if let Some(next) = failure.step() {
            page.item("→", next);
        }
    }
    for check in &checks {
        page.item("  ·", &format!("{}: {}", check.name, said(&check.outcome)));
    }
    if let Some(whole) = &whole {
        page.gap().marked(mark(&whole.verdict).0, mark(&whole.verdict).1, &cut_words(whole));
    }
    let exit = found.iter().map(|loss| exit_of(&loss.verdict));
    let exit = exit.chain(whole.iter().map(|whole| exit_of(&whole.verdict)));
    let exit = exit.chain(failures.iter().map(|(_, failure)| failure.exit)).fold(Exit::Ok, Exit::worst);
    let failed =
        |(component, failure): &(Label, Failure)| json!({ "component": component, "error": failure.json() });
    let value = json!({ "disaster": disaster.rfc3339(), "losses": found.iter().map(losses::value).collect::<Vec<Value>>(),
                        "failures": failures.iter().map(failed).collect::<Vec<Value>>(), "references": checks,
                        "cut": losses::readable(json!(whole)) });
    Ok(Outcome { exit, value, page: page.finish() })
}

fn one(
    context: &Context,
    config: &Config,
    components: &[&Component],
    component: &Component,
    args: &CheckArgs,
    disaster: Timestamp,
) -> Result<Loss> {
    let alone = components.len() == 1;
    let place = args.check.clone().unwrap_or_default();
    let path = if alone { place } else { place.join(component.name.as_str()) };
    let path = path.as_path();
    let region = config.region(&component.region)?;
    let repository = context.open(region)?;
    let recovery = context.recover(&repository, args.identities.files(context))?;
    let found = if path == Path::new("-") {
        let lines = losses::handed_over(std::io::stdin()).map_err(|error| unreadable(path, &error))?;
        losses::among(&recovery, component, &lines)
    } else {
        losses::found_at(&recovery, component, path).map_err(|error| unreadable(path, &error))?
    };
    let counts = of(&args.counts, component, alone).map(|file| {
        let file = Path::new(file);
        let bytes = std::fs::File::open(file)
            .and_then(losses::handed_over)
            .map_err(|error| Failure::file("read", file, &error))?;
        lifeboat_backup::heartbeat::parse_counts(&bytes)
            .map_err(|why| Failure::usage(why).code(Code::File).at(shown(file)))
    });
    let counts = counts.transpose()?;
    let restored = of(&args.snapshot, component, alone).map(|name| {
        let listed = Judge::to_read(&repository, recovery.catalog())?.list(Some(&component.name))?;
        let which = Which { snapshot: Some(name.to_owned()), ..Which::default() };
        let choice = which.choice(context, &listed, &component.name)?;
        Ok::<_, Failure>(
            choose(&listed, &component.name, choice).map_err(restore_failure)?.snapshot.recovery_point,
        )
    });
    let point = restored.transpose()?;
    losses::judge(&recovery, component, &found, counts.as_ref(), disaster, point)
        .map_err(|failure| failure.at(repository_place(region)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::file("read the records", path, error);
    match error.kind() {
        ErrorKind::FileTooLarge => failure.exit(Exit::Usage).next(
            "give the newest records alone: `tail -n 1000` of them, or `ORDER BY … DESC LIMIT 1000` where they come from",
        ),
        _ => failure,
    }
}

/// What an argument says of a component: `COMPONENT=VALUE`, or a value that is of all there are.
fn of<'a>(given: &'a [String], component: &Component, alone: bool) -> Option<&'a str> {
    let named = |text: &'a String| text.split_once('=').filter(|(name, _)| *name == component.name.as_str());
    let own = given.iter().find_map(named).map(|(_, value)| value);
    own.or_else(|| given.first().filter(|text| alone || *text == LATEST).map(String::as_str))
}

/// With several components it must be said whose each value is; they all may be of the latest snapshot.
fn are_told_apart(flag: &str, given: &[String], components: &[&Component]) -> Result<()> {
    let named = |text: &String| {
        let name = text.split_once('=').map(|(name, _)| name);
        components.iter().any(|component| name == Some(component.name.as_str()))
    };
    let fits = match given {
        [] => true,
        [one] if components.len() == 1 || (flag == "--snapshot" && one == LATEST) => true,
        several => several.iter().all(named),
    };
    if fits {
        return Ok(());
    }
    let names: Vec<&str> = components.iter().map(|component| component.name.as_str()).collect();
    let example = names.first().map(|name| format!("{flag} {name}=…")).unwrap_or_default();
    Err(Failure::usage(format!("{flag} does not say of which component it is"))
        .at(flag)
        .next(format!("write {example}, once for each of: {}", names.join(", "))))
}

/// Runs the checks of what these components say of one another.
fn references(
    context: &Context,
    config: &Config,
    components: &[&Component],
    place: &Path,
) -> Vec<ReferenceCheck> {
    let here = |reference: &&Reference| {
        components.len() > 1
            && reference.components.iter().all(|name| components.iter().any(|one| one.name == *name))
    };
    let run = |reference: &Reference| {
        let mut program = reference.program.clone();
        let place = std::path::absolute(place).unwrap_or_else(|_| place.to_owned());
        program.environment.set("LIFEBOAT_RESTORED", place);
        let outcome = match program.output(Bytes::mib(64), &|| context.is_cancelled()) {
            Ok(_) => Checked::Passed,
            Err(error) if matches!(error.fault, lifeboat_backup::Fault::Status(_)) => Checked::Failed,
            Err(error) => Checked::NotRun(tame(&error.to_string())),
        };
        ReferenceCheck { name: reference.name.to_string(), components: reference.components.clone(), outcome }
    };
    config.recovery.references.iter().filter(here).map(run).collect()
}

fn said(outcome: &Checked) -> String {
    match outcome {
        Checked::Passed => "they fit one another".into(),
        Checked::Failed => "they do NOT fit one another".into(),
        Checked::NotRun(why) => format!("not run: {why}"),
    }
}

fn cut_words(cut: &Cut) -> String {
    let point = cut.recovery_point.map_or_else(|| "unknown".to_owned(), Timestamp::rfc3339);
    let apart = cut.apart.map_or_else(String::new, |apart| format!(", apart by {}", show_duration(apart.0)));
    format!("all together hold what was written until {point}{apart}: {}", tame(&cut.note))
}

fn mark(verdict: &RpoVerdict) -> (&'static str, Tone) {
    match verdict {
        RpoVerdict::Met => ("met    ", Tone::Good),
        RpoVerdict::Missed => ("MISSED ", Tone::Bad),
        RpoVerdict::InsufficientEvidence(_) => ("unknown", Tone::Warn),
    }
}

fn exit_of(verdict: &RpoVerdict) -> Exit {
    match verdict {
        RpoVerdict::Met => Exit::Ok,
        RpoVerdict::Missed => Exit::Missed,
        RpoVerdict::InsufficientEvidence(_) => Exit::Unchecked,
    }
}
