//! `drill compare`: two drills side by side, step by step.

use std::path::{Path, PathBuf};

use lifeboat_verify::evidence::facts::{Facts, Seconds, StepFact};
use serde_json::{Value, json};

use super::evidence;
use crate::codes::Code;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Column, Outcome, Table, Tone};
use crate::when::show_duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The earlier one: its id, or its directory
    #[arg(value_name = "ID|DIR")]
    before: String,
    /// The later one
    #[arg(value_name = "ID|DIR")]
    after: String,
    /// Where evidence of drills lies
    #[arg(long, value_name = "DIR", default_value = super::run::OUT)]
    out: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (before, after) = (find(&args.out, &args.before)?, find(&args.out, &args.after)?);
    let mut table = Table::new(&[
        Column::Left("step"),
        Column::Right("before"),
        Column::Right("after"),
        Column::Folded("change"),
    ]);
    let mut values: Vec<Value> = Vec::new();
    for name in names(&before, &after) {
        let (one, other) = (step(&before, name), step(&after, name));
        let took = |step: Option<&StepFact>| match step {
            None => "not in it".to_owned(),
            Some(step) => {
                step.seconds.map_or_else(|| step.what.words().to_owned(), |took| show_duration(took.span()))
            }
        };
        table.row([name.to_owned().into(), took(one).into(), took(other).into(), change(one, other).into()]);
        values.push(json!({ "name": tame(name), "before": side(one), "after": side(other) }));
    }
    let whole = |facts: &Facts| facts.projection.as_ref().map(|one| one.seconds);
    let rows = [
        ("recovery time", whole(&before), whole(&after)),
        ("lost", before.largest_loss(), after.largest_loss()),
    ];
    for (name, one, other) in rows {
        let shown = |time: Option<Seconds>| {
            time.map_or_else(|| "unknown".to_owned(), |time| show_duration(time.span()))
        };
        table.row([
            name.to_owned().into(),
            shown(one).into(),
            shown(other).into(),
            factor(one, other).into(),
        ]);
    }
    let mut page = context.page();
    page.heading(&format!("{} → {}", before.id, after.id));
    page.table(&table);
    page.gap();
    let changed: Vec<&str> = [
        (
            "the book",
            before.book.as_ref().map(|book| book.sha256) != after.book.as_ref().map(|book| book.sha256),
        ),
        ("the configuration", before.configuration != after.configuration),
        ("the tool", before.tool != after.tool),
    ]
    .iter()
    .filter_map(|(what, differs)| differs.then_some(*what))
    .collect();
    if !changed.is_empty() {
        page.toned(Tone::Warn, &format!("Not the same in both: {}.", changed.join(", ")));
    }
    let worse = after.verdict > before.verdict;
    let tone = if worse { Tone::Bad } else { Tone::Plain };
    page.toned(tone, &format!("Verdict: {} → {}.", before.verdict.words(), after.verdict.words()));
    let brief = |facts: &Facts| json!({ "id": facts.id, "verdict": facts.verdict, "rto": whole(facts), "rpo": facts.largest_loss() });
    let value = json!({ "before": brief(&before), "after": brief(&after), "steps": values, "changed": changed, "worse": worse });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

fn find(out: &Path, asked: &str) -> Result<Facts> {
    let by_path = Path::new(asked);
    let directory = if by_path.is_dir() { by_path.to_owned() } else { out.join(asked) };
    evidence::read(&directory).map(|(_, facts)| facts).ok_or_else(|| {
        Failure::usage("there is no evidence of a drill that can be read")
            .code(Code::NoDrill)
            .at(shown(&directory))
            .next("`lifeboat drill list` names those there are")
    })
}

/// Names of steps in the order of the later drill, then those that only the earlier has.
fn names<'f>(before: &'f Facts, after: &'f Facts) -> Vec<&'f str> {
    let mut names: Vec<&str> = after.steps.iter().map(|step| step.name.as_str()).collect();
    let gone = before.steps.iter().map(|step| step.name.as_str()).filter(|name| step(after, name).is_none());
    names.extend(gone);
    names
}

fn step<'f>(facts: &'f Facts, name: &str) -> Option<&'f StepFact> {
    facts.steps.iter().find(|step| step.name == name)
}

fn side(step: Option<&StepFact>) -> Value {
    json!(step.map(|step| json!({ "what": step.what, "seconds": step.seconds })))
}

fn change(before: Option<&StepFact>, after: Option<&StepFact>) -> String {
    match (before, after) {
        (Some(one), Some(other)) if one.script_sha256 != other.script_sha256 => "another script".to_owned(),
        (Some(one), Some(other)) if one.what != other.what => {
            format!("{} → {}", one.what.words(), other.what.words())
        }
        (Some(one), Some(other)) => factor(one.seconds, other.seconds),
        _ => String::new(),
    }
}

fn factor(before: Option<Seconds>, after: Option<Seconds>) -> String {
    match (before, after) {
        (Some(one), Some(other)) if one.number() >= 0.05 => format!("× {:.1}", other.number() / one.number()),
        _ => String::new(),
    }
}
