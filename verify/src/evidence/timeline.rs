//! `timeline.csv`: what happened, one line an event, for spreadsheets.
//!
//! RFC 4180 with line feeds; every field in quotes but numbers. A text that a spreadsheet would take for a formula gets
//! an apostrophe in front, since names and notes may come from a program's output.

use super::plain::plain;

use super::facts::{Facts, Kind, LookFact, Mode, Moment, Seconds, StepFact};

/// Its name.
pub(super) const FILE: &str = "timeline.csv";

/// One line an event, in the order of the facts: the disruption, the beginning, every step or look, interruptions, the end; of
/// an erasure when it was asked for, held, and is gone for good.
pub(super) fn csv(facts: &Facts) -> String {
    let exercise = &facts.exercise;
    let mut rows = vec![
        "\"event\",\"name\",\"phase\",\"mode\",\"outcome\",\"started\",\"ended\",\"seconds\",\"exit\",\"attempt\""
            .to_owned(),
    ];
    if facts.kind == Kind::Drill {
        rows.push(event("disruption", exercise.disruption, None));
    }
    rows.push(event("begun", exercise.begun, None));
    rows.extend(facts.steps.iter().map(step));
    rows.extend(facts.verification.iter().flat_map(|one| &one.looks).map(look));
    if let Some(erasure) = &facts.erasure {
        let proven = erasure.proof.as_ref().map(|proof| proof.at);
        let moments = [
            ("requested", Some(erasure.requested)),
            ("effective", erasure.effective),
            ("destroyed", erasure.destroyed),
            ("tried", proven),
            ("irreversible", erasure.irreversible),
        ];
        rows.extend(moments.into_iter().filter_map(|(name, at)| Some(event(name, at?, None))));
    }
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

fn look(look: &LookFact) -> String {
    let outcome = look.outcome.words();
    let seconds = number(Seconds::new(look.ended.since(look.begun)));
    let (name, begun, ended) = (field(&look.words()), look.begun, look.ended);
    format!("\"look\",{name},\"\",\"run\",\"{outcome}\",\"{begun}\",\"{ended}\",{seconds},,")
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
