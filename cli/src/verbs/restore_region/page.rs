//! What a region's restore shows: one table, one clock.

use serde_json::{Value, json};

use super::journal::{Stage, Step};
use super::{Ended, Part, Whole};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::shown;
use crate::render::{Cell, Column, Table, Tone};
use crate::when::{count_of, show_count, show_duration, show_objective};

pub(super) fn render(context: &Context, whole: &Whole<'_>) -> String {
    let mut page = context.page();
    match whole.elapsed {
        Some(_) => page.heading(&format!("{} restored to {}", whole.region.name, shown(whole.target))),
        None => {
            page.heading(&format!("{}: nothing is done; this would be, in this order", whole.region.name))
        }
    };
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Left("snapshot of"),
        Column::Right("entries"),
        Column::Right("size"),
        Column::Right("took"),
        Column::Left("state"),
    ]);
    for part in &whole.parts {
        table.row(row(part));
    }
    page.table(&table);
    for part in &whole.parts {
        match &part.ended {
            Ended::Failed(failure) => {
                page.marked("failed", Tone::Bad, &format!("{}: {}", part.component.name, failure.coded()));
                if let Some(next) = failure.step() {
                    page.paragraph(9, &format!("→ {next}"));
                }
            }
            Ended::Restored(_, Some(newer)) => {
                page.marked("not newest", Tone::Bad, &format!("{}: {newer}", part.component.name));
            }
            Ended::Before(_, differ) if *differ > 0 => {
                let entries = count_of(*differ, "entry of it is", "entries of it are");
                let name = &part.component.name;
                page.marked("changed", Tone::Warn, &format!("{name}: {entries} not what was restored"));
            }
            _ => {}
        }
    }
    for (component, need) in &whole.outside {
        page.marked("note", Tone::Warn, &format!("{component} needs {need}, which is of another region"));
    }
    if whole.region.has_witness() {
        page.gap().toned(whole.freshness.tone(), &format!("Freshness {}.", whole.freshness.words()));
    }
    if whole.elapsed.is_some() {
        page.gap();
        let (tone, words) = time_words(whole);
        page.toned(tone, &words);
        page.toned(end_tone(whole.exit), end_words(whole.exit));
    }
    page.finish()
}

fn time_words(whole: &Whole<'_>) -> (Tone, String) {
    let elapsed = whole.elapsed.unwrap_or_default();
    let (target, limit) = (show_objective(whole.objective.target), show_objective(whole.objective.limit));
    let took = format!("Whole time {}, measured from the first beginning", show_duration(elapsed));
    if elapsed > whole.objective.limit {
        (Tone::Bad, format!("{took}: MISSED, the limit is {limit}."))
    } else if elapsed > whole.objective.target {
        (Tone::Bad, format!("{took}: TARGET MISSED, it is {target} (limit {limit})."))
    } else {
        (Tone::Good, format!("{took}: within {target} (limit {limit})."))
    }
}

const fn end_tone(exit: Exit) -> Tone {
    if matches!(exit, Exit::Ok | Exit::Missed) { Tone::Good } else { Tone::Bad }
}

const fn end_words(exit: Exit) -> &'static str {
    match exit {
        Exit::Ok | Exit::Missed => "Every component is there.",
        Exit::Interrupted => "Stopped on request; the same command goes on.",
        _ => "NOT everything is there: see above; the same command goes on.",
    }
}

fn row(part: &Part<'_>) -> [Cell; 6] {
    let held = part.run.map_or_else(String::new, |run| crate::when::show_moment(run.moment()));
    let (entries, size, took) = match &part.ended {
        Ended::Planned { entries, bytes, .. } => (show_count(*entries), bytes.to_string(), String::new()),
        Ended::Restored(step, _) | Ended::Before(step, _) => {
            let took = step.took.map(show_duration).unwrap_or_default();
            (show_count(step.entries), step.bytes.to_string(), took)
        }
        _ => Default::default(),
    };
    let (tone, state) = state(part);
    [
        part.component.name.to_string().into(),
        held.into(),
        entries.into(),
        size.into(),
        took.into(),
        Cell::toned(tone, state),
    ]
}

fn state(part: &Part<'_>) -> (Tone, String) {
    let of = |step: &Step| match step.stage {
        Stage::Complete => (Tone::Good, "complete"),
        _ if step.damaged => (Tone::Bad, "DAMAGED"),
        _ => (Tone::Bad, "PARTIAL"),
    };
    match &part.ended {
        Ended::Planned { fetch, .. } => (Tone::Plain, format!("fetches {fetch}")),
        Ended::Restored(step, _) => {
            let (tone, word) = of(step);
            (tone, word.to_owned())
        }
        Ended::Before(step, 0) => {
            let (tone, word) = of(step);
            (tone, format!("{word}, done before"))
        }
        Ended::Before(..) => (Tone::Warn, "done before, changed since".into()),
        Ended::Skipped(need) => (Tone::Bad, format!("skipped: needs {need}")),
        Ended::Failed(failure) => (Tone::Bad, format!("FAILED: {}", failure.code)),
        Ended::NotBegun => (Tone::Warn, "not begun".into()),
    }
}

pub(super) fn value_of(whole: &Whole<'_>) -> Value {
    let parts: Vec<Value> = whole.parts.iter().map(part_value).collect();
    let outside: Vec<Value> = whole
        .outside
        .iter()
        .map(|(component, need)| json!({ "component": component, "needs": need }))
        .collect();
    json!({
        "region": whole.region.name, "target": shown(whole.target), "dry_run": whole.elapsed.is_none(),
        "components": parts, "needs_outside": outside, "freshness": whole.freshness.value(),
        "rto": { "elapsed": whole.elapsed.map(|elapsed| elapsed.as_secs_f64()), "basis": "measured",
                 "target": whole.objective.target.as_secs_f64(), "limit": whole.objective.limit.as_secs_f64() },
    })
}

fn part_value(part: &Part<'_>) -> Value {
    let mut value = json!({ "component": part.component.name, "run": part.run, "exit": part.exit.code() });
    let more = match &part.ended {
        Ended::Planned { entries, bytes, fetch } => {
            json!({ "state": "planned", "entries": entries, "bytes": bytes, "fetch": fetch })
        }
        Ended::Restored(step, newer) => step_value("restored", step, ("passed_over", json!(newer))),
        Ended::Before(step, differ) => step_value("restored before", step, ("differ", json!(differ))),
        Ended::Skipped(need) => json!({ "state": "skipped", "needs": need }),
        Ended::Failed(failure) => {
            json!({ "state": "failed", "error": failure.json() })
        }
        Ended::NotBegun => json!({ "state": "not begun" }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn step_value(state: &str, step: &Step, (name, more): (&str, Value)) -> Value {
    json!({ "state": state, name: more, "complete": step.stage == Stage::Complete, "entries": step.entries,
            "bytes": step.bytes, "took": step.took.map(|took| took.as_secs_f64()) })
}
