//! What was done, step by step, against what was planned.

use maud::{Markup, html};

use super::super::facts::{Facts, How, Mode, StepFact, What};
use super::super::plain::plain;
use super::{badge, moment, seconds};

pub(super) fn section(facts: &Facts) -> Markup {
    if facts.steps.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "What was done" }
            p.soft {
                "The moment of the disruption was "
                @match &facts.exercise.how {
                    How::Given => "given.",
                    How::Drawn { from, to, seed } => {
                        "drawn between " (from.minute()) " and " (to.minute()) " with the seed " code { (plain(seed)) } "."
                    }
                }
                @for gap in &facts.exercise.interruptions {
                    " Nothing ran from " (gap.from.minute()) " to " (gap.to.minute()) ": " (plain(&gap.note)) "."
                }
            }
            div.wide {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "step" } th scope="col" { "outcome" } th scope="col" { "begun" }
                            th."number" scope="col" { "took" } th."number" scope="col" { "planned" }
                            th scope="col" { "by" }
                        }
                    }
                    tbody { @for step in &facts.steps { (row(step)) } }
                }
            }
        }
    }
}

fn row(step: &StepFact) -> Markup {
    let over = step.seconds.zip(step.planned).is_some_and(|(took, planned)| took > planned);
    html! {
        tr {
            th scope="row" {
                (plain(&step.heading)) " " code { (plain(&step.name)) }
                @if step.attempt > 1 { small { " attempt " (step.attempt) } }
                @if let Some(note) = &step.note { br; small { (plain(note)) } }
                @if let Some(output) = &step.output {
                    details {
                        summary {
                            "last lines of " (output.bytes) " of output"
                            @if output.redacted_lines > 0 { ", " (output.redacted_lines) " redacted" }
                        }
                        pre { @for line in &output.tail { (plain(line)) "\n" } }
                        small { "SHA-256 of all of it: " code { (output.sha256) } }
                    }
                }
            }
            td data-label="outcome" {
                (badge(tone(step.what), step.what.words()))
                @if let Some(exit) = step.exit.filter(|exit| *exit != 0) { " " small { "exit status " (exit) } }
            }
            td data-label="begun" { (moment(step.started)) }
            td."number" data-label="took" { (seconds(step.seconds)) @if over { " " (badge("warn", "over plan")) } }
            td."number" data-label="planned" { (seconds(step.planned)) }
            td data-label="by" {
                @match (&step.approver, step.mode) {
                    (Some(approval), _) => {
                        (plain(&approval.by))
                        @if let Some(reference) = &approval.reference { " " small { (plain(reference)) } }
                    }
                    (None, Mode::Run) => "machine",
                    (None, Mode::Manual) => "nobody",
                }
            }
        }
    }
}

const fn tone(what: What) -> &'static str {
    match what {
        What::Ran => "good",
        What::Simulated | What::Skipped => "none",
        What::NotReached | What::Interrupted => "warn",
        What::Failed | What::TimedOut => "bad",
    }
}
