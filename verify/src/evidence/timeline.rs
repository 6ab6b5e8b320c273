//! `timeline.csv`: what happened, one line an event, for spreadsheets.
//!
//! RFC 4180 with line feeds; every field in quotes but numbers. A text that a spreadsheet would take for a formula gets
//! an apostrophe in front, since names and notes may come from a program's output.

use super::plain::plain;

use super::facts::{Facts, Mode, Moment, Seconds, StepFact};

/// Its name.
pub(super) const FILE: &str = "timeline.csv";

/// One line an event, in the order of the facts: the disruption, the beginning, every step, interruptions, the end.
pub(super) fn csv(facts: &Facts) -> String {
    let exercise = &facts.exercise;
    let mut rows = vec![
        "\"event\",\"name\",\"phase\",\"mode\",\"outcome\",\"started\",\"ended\",\"seconds\",\"exit\",\"attempt\""
            .to_owned(),
        event("disruption", exercise.disruption, None),
        event("begun", exercise.begun, None),
    ];
    rows.extend(facts.steps.iter().map(step));
    rows.extend(exercise.interruptions.iter().map(|gap| event("interruption", gap.from, Some(gap.to))));
    rows.push(event("ended", exercise.ended, None));
    rows.push(String::new());
    rows.join("\n")
}

/// A step's name as it stands in its line.
pub(super) fn name_of(step: &StepFact) -> String {
    field(&step.name)
}

/// The first field of what is left of a line, with its quotes.
pub(super) fn first_field(line: &str) -> &str {
    let mut inside = false;
    let end = line.find(|c| {
        inside ^= c == '"';
        c == ',' && !inside
    });
    line.get(..end.unwrap_or(line.len())).unwrap_or_default()
}

fn event(name: &str, from: Moment, to: Option<Moment>) -> String {
    let to = to.map(|to| to.to_string()).unwrap_or_default();
    format!("\"{name}\",\"\",\"\",\"\",\"\",\"{from}\",\"{to}\",,,")
}

fn step(step: &StepFact) -> String {
    let moment = |moment: Option<Moment>| moment.map(|moment| moment.to_string()).unwrap_or_default();
    let seconds = step.seconds.map(number).unwrap_or_default();
    let exit = step.exit.map(|exit| exit.to_string()).unwrap_or_default();
    let mode = match step.mode {
        Mode::Run => "run",
        Mode::Manual => "manual",
    };
    format!(
        "\"step\",{},{},\"{mode}\",\"{}\",\"{}\",\"{}\",{seconds},{exit},{}",
        field(&step.name),
        field(step.phase.as_deref().unwrap_or_default()),
        step.what.words(),
        moment(step.started),
        moment(step.ended),
        step.attempt,
    )
}

fn number(seconds: Seconds) -> String {
    serde_json::to_string(&seconds).unwrap_or_default()
}

/// A text in quotes, with nothing in it that acts on a terminal or a spreadsheet.
fn field(field: &str) -> String {
    let tame = plain(field).replace('"', "\"\"");
    let formula = tame.starts_with(['=', '+', '-', '@']);
    format!("\"{}{tame}\"", if formula { "'" } else { "" })
}
