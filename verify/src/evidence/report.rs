//! `report.html`: the facts for people. One file, no script, nothing fetched; light, dark, and on A4.
//!
//! Every picture has its numbers beside it, so nothing is said by colour or length alone. Texts of the facts go through
//! [`plain`] and maud's escaping.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::controls::Standing;
use super::facts::{Facts, Kind, Met, Moment, Seconds, Verdict};
use super::plain::plain;

mod bars;
mod details;
mod erased;
mod gantt;
mod heat;
mod loss;
mod steps;
mod trend;
mod verified;

pub(super) use gantt::section as schedule;
pub(super) use heat::heat_map;
pub(super) use loss::section as losses;
pub(super) use trend::section as course;

/// Its name.
pub(super) const FILE: &str = "report.html";

const STYLE: &str = include_str!("report/style.css");

/// The page for these facts.
pub(super) fn page(facts: &Facts) -> String {
    let title = format!("{}: {}", plain(&facts.title), facts.verdict.words());
    let age = |_: &super::facts::ComponentFact| Some((facts, facts.exercise.ended.day()));
    let names: Vec<_> = facts.components.iter().collect();
    document(
        &title,
        &html! {
            header {
                p.kicker { "Evidence of " (facts.kind.one()) " · " code { (facts.id) } }
                h1 { (plain(&facts.title)) }
                (answer(facts))
            }
            main {
                (tiles(facts))
                (schedule(facts))
                (losses(&facts.components))
                (course(facts))
                (steps::section(facts))
                (verified::section(facts))
                (details::planted(facts))
                (erased::section(facts))
                (details::assertions(facts))
                @if !names.is_empty() {
                    section {
                        h2 { "What it shows of which control" }
                        p.soft { "Ids of the standards, words of ours. The date is that of the evidence." }
                        (heat_map(&names, &age))
                    }
                }
                @if names.is_empty() { (heat::table(facts)) }
                (details::open(facts))
                (details::origin(facts))
            }
            footer {
                p {
                    "This page is made of " code { "evidence.json" } " and of nothing else. " code { "VERIFY.md" }
                    " beside it says how to check both without Lifeboat, and what a signature does not prove."
                }
            }
        },
    )
}

/// A whole document around a body.
pub(super) fn document(title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Even what slipped through every escape could fetch nothing and run nothing.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                svg width="0" height="0" aria-hidden="true" style="position:absolute" {
                    defs {
                        pattern id="stripes" width="14" height="14" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                            line."stripe" x1="0" y1="0" x2="0" y2="14" {}
                        }
                    }
                }
                (body)
            }
        }
    }
    .into_string()
}

fn answer(facts: &Facts) -> Markup {
    let exercise = &facts.exercise;
    let took = Seconds::new(exercise.ended.since(exercise.disruption));
    html! {
        div class=(format!("answer {}", tone(facts.verdict))) {
            strong { (capital(facts.verdict.words())) }
            p {
                @match facts.kind {
                    Kind::Drill => {
                        "The clock started at the disruption, " (exercise.disruption.minute()) ", and stopped "
                        (took.show()) " later, " (exercise.ended.minute()) "."
                    }
                    Kind::Verification | Kind::Erasure => {
                        "Begun " (exercise.begun.minute()) ", ended " (exercise.ended.minute()) "."
                    }
                }
                " Led by " (plain(&exercise.operator)) "."
            }
        }
    }
}

fn tiles(facts: &Facts) -> Markup {
    let caught = facts.planted.iter().filter(|one| one.caught_by.is_some()).count();
    let absent = facts.absent.iter().filter(|one| one.absent).count();
    html! {
        ul.tiles {
            @if let Some(whole) = &facts.projection {
                (tile("Everything back after", &whole.seconds.show(), tone(whole.verdict), &format!(
                    "{}, target {}, limit {}", whole.verdict.words(), promise(whole.target), promise(whole.limit))))
            }
            @if let Some((value, tone, note)) = loss::worst(&facts.components) {
                (tile("Data lost, at most", &value, tone, &note))
            }
            @if !facts.planted.is_empty() {
                (tile("Planted faults caught", &format!("{caught} of {}", facts.planted.len()),
                    if caught == facts.planted.len() { "good" } else { "bad" }, "each must turn the drill red"))
            }
            @if !facts.absent.is_empty() {
                (tile("Erased canaries absent", &format!("{absent} of {}", facts.absent.len()),
                    if absent == facts.absent.len() { "good" } else { "bad" }, "what was erased must stay erased"))
            }
            (verified::tiles(facts))
            (erased::tiles(facts))
            @let unchecked = facts.not_run.len();
            (tile("Not checked", &unchecked.to_string(), if unchecked == 0 { "good" } else { "warn" },
                "what did not run is never a pass"))
        }
    }
}

pub(super) fn tile(name: &str, value: &str, tone: &str, note: &str) -> Markup {
    html! {
        li class=(format!("is-{tone}")) { span { (name) } b { (value) } small { (note) } }
    }
}

/// The class of a verdict.
pub(super) const fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "good",
        Verdict::TargetMissed | Verdict::Insufficient => "warn",
        Verdict::LimitMissed | Verdict::Failed => "bad",
    }
}

pub(super) const fn met_tone(met: Met) -> &'static str {
    match met {
        Met::Met => "good",
        Met::Insufficient => "warn",
        Met::Missed => "bad",
    }
}

pub(super) const fn standing_tone(standing: Standing) -> &'static str {
    match standing {
        Standing::Shown => "good",
        Standing::NotLooked => "none",
        Standing::Insufficient => "warn",
        Standing::NotShown => "bad",
    }
}

pub(super) fn badge(tone: &str, words: &str) -> Markup {
    html! { span class=(format!("badge {tone}")) { (words) } }
}

pub(super) fn moment(moment: Option<Moment>) -> String {
    moment.map_or_else(|| "–".to_owned(), Moment::minute)
}

pub(super) fn seconds(span: Option<Seconds>) -> String {
    span.map_or_else(|| "–".to_owned(), Seconds::show)
}

/// A promise as people say it: `24 h`, where [`Seconds::show`] would say `1 d`.
pub(super) fn promise(span: Seconds) -> String {
    crate::span::promise(span.span())
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
