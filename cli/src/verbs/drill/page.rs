//! What a drill found, on one page.

use std::path::Path;

use lifeboat_verify::evidence::facts::{ComponentFact, Facts, How, Met, Outcome, StepFact, Verdict, What};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{shown, tame};
use crate::render::{Cell, Column, Page, Table, Tone};
use crate::when::{show_duration, show_moment, show_objective};

pub(super) fn value(facts: &Facts, directory: &Path) -> Value {
    let steps: Vec<Value> = facts.steps.iter().map(|step| {
        json!({ "name": step.name, "what": step.what, "seconds": step.seconds, "exit": step.exit, "attempt": step.attempt })
    }).collect();
    let planted: Vec<Value> =
        facts.planted.iter().map(|one| json!({ "name": one.name, "caught_by": one.caught_by })).collect();
    json!({
        "id": facts.id, "evidence": shown(directory), "verdict": facts.verdict,
        "rto": facts.projection.as_ref().map(|one| one.seconds),
        "rpo": facts.largest_loss(),
        "interruptions": facts.exercise.interruptions.len(), "steps": steps, "planted": planted,
        "assertions": facts.assertions, "not_run": facts.not_run,
    })
}

pub(super) fn render(context: &Context, facts: &Facts, directory: &Path) -> String {
    let mut page = context.page();
    page.heading(&tame(&facts.title));
    let drawn = if facts.exercise.how == How::Given { "" } else { ", drawn" };
    page.field("disruption", &format!("{}{drawn}", show_moment(facts.exercise.disruption.timestamp())));
    if let Some(whole) = &facts.projection {
        let (target, limit) = (show_objective(whole.target.span()), show_objective(whole.limit.span()));
        let words = format!("{} of {target}, limit {limit}", show_duration(whole.seconds.span()));
        page.field_toned("recovery time", tone(whole.verdict), &words);
        page.field("", &tame(whole.note.as_deref().unwrap_or_default()));
        if let (Some(half), Some(most)) = (whole.p50, whole.p95) {
            let (half, most) = (show_duration(half.span()), show_duration(most.span()));
            page.field(
                "",
                &format!("by {} drills: half within {half}, 95 of 100 within {most}", whole.drills),
            );
        }
    }
    for cut in &facts.exercise.interruptions {
        page.field_toned(
            "cut off",
            Tone::Warn,
            &format!("{}: {}", show_moment(cut.from.timestamp()), cut.note),
        );
    }
    page.gap();
    steps(&mut page, &facts.steps);
    if !facts.components.is_empty() {
        page.gap();
        components(&mut page, &facts.components);
    }
    page.gap();
    for one in &facts.planted {
        match &one.caught_by {
            Some(by) => page.marked("caught", Tone::Good, &tame(&format!("{}: by {by}", one.name))),
            None => page.marked("NOT CAUGHT", Tone::Bad, &tame(&format!("{}: {}", one.name, one.place))),
        };
    }
    for one in &facts.assertions {
        let tone = match one.met {
            Met::Met => Tone::Good,
            Met::Missed => Tone::Bad,
            Met::Insufficient => Tone::Warn,
        };
        page.marked(one.met.words(), tone, &tame(&format!("{}: {}", one.name, one.detail)));
    }
    page.gap();
    page.toned(tone(facts.verdict), &format!("The drill's verdict: {}.", facts.verdict.words()));
    page.field("evidence", &shown(directory));
    if !directory.join("SHA256SUMS.sig").exists() {
        page.marked(
            "not signed",
            Tone::Warn,
            "no key was given (--officer-key), so this shows nobody else anything",
        );
    }
    page.finish()
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Met => Tone::Good,
        Verdict::TargetMissed | Verdict::Insufficient => Tone::Warn,
        Verdict::LimitMissed | Verdict::Failed => Tone::Bad,
    }
}

fn steps(page: &mut Page, steps: &[StepFact]) {
    let mut table = Table::new(&[
        Column::Left("step"),
        Column::Left("phase"),
        Column::Right("took"),
        Column::Right("planned"),
        Column::Folded("what"),
    ]);
    for step in steps {
        let tone = match step.what {
            What::Ran => Tone::Good,
            What::Failed | What::TimedOut | What::Interrupted => Tone::Bad,
            What::Simulated | What::Skipped | What::NotReached => Tone::Dim,
        };
        let attempt = if step.attempt > 1 { format!(", attempt {}", step.attempt) } else { String::new() };
        let exit = step
            .exit
            .filter(|exit| *exit != 0)
            .map_or_else(String::new, |exit| format!(", exit status {exit}"));
        table.row([
            step.name.clone().into(),
            step.phase.clone().unwrap_or_default().into(),
            step.seconds.map_or_else(String::new, |took| show_duration(took.span())).into(),
            step.planned.map_or_else(String::new, |planned| show_objective(planned.span())).into(),
            Cell::toned(tone, format!("{}{exit}{attempt}", step.what.words())),
        ]);
    }
    page.table(&table);
}

fn components(page: &mut Page, components: &[ComponentFact]) {
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Left("snapshot of"),
        Column::Right("size"),
        Column::Right("took"),
        Column::Right("lost"),
        Column::Folded("compared"),
    ]);
    for one in components {
        let point =
            one.recovery_point.map_or_else(|| "none".to_owned(), |point| show_moment(point.timestamp()));
        let took = one.rto.as_ref().map_or_else(String::new, |rto| show_duration(rto.seconds.span()));
        let lost = one.rpo.as_ref().and_then(|rpo| rpo.bound);
        let (tone, compared) = match one.checks.first().map(|check| &check.outcome) {
            Some(Outcome::Passed) => (Tone::Good, "the same"),
            Some(Outcome::Failed) => (Tone::Bad, "DIFFERENT"),
            _ => (Tone::Warn, "not compared"),
        };
        table.row([
            one.name.to_string().into(),
            point.into(),
            one.bytes.to_string().into(),
            took.into(),
            lost.map_or_else(|| "unknown".to_owned(), |lost| show_duration(lost.span())).into(),
            Cell::toned(tone, compared),
        ]);
    }
    page.table(&table);
}
