//! What a verification looked at, level by level, and what it found.

use maud::{Markup, html};

use super::super::facts::{Facts, FindingFact, Gravity, LookFact, Outcome, Seconds};
use super::super::plain::plain;
use super::{badge, tile};

/// Findings that a page names; `evidence.json` has more.
const FOUND_SHOWN: usize = 40;

pub(super) fn tiles(facts: &Facts) -> Markup {
    let Some(verification) = &facts.verification else { return html! {} };
    let (looks, count) = (&verification.looks, verification.looks.len());
    let passed = looks.iter().filter(|look| look.outcome == Outcome::Passed).count();
    let failed = looks.iter().filter(|look| look.outcome == Outcome::Failed).count();
    let damage: usize =
        looks.iter().flat_map(|look| &look.found).filter(|one| one.gravity == Gravity::Damage).count();
    let beyond = if looks.iter().any(|look| look.untold > 0) { " or more" } else { "" };
    html! {
        (tile("Looks that passed", &format!("{passed} of {count}"), match (failed, passed == count) {
            (1.., _) => "bad", (0, true) => "good", (0, false) => "warn"
        }, "each a level at a repository or a component"))
        (tile("Damage found", &format!("{damage}{beyond}"), if damage == 0 { "good" } else { "bad" },
            "stored objects that are not what was written, or are gone"))
    }
}

pub(super) fn section(facts: &Facts) -> Markup {
    let Some(verification) = &facts.verification else { return html! {} };
    html! {
        section {
            h2 { "What was looked at" }
            div.wide {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "level" } th scope="col" { "of" } th scope="col" { "outcome" }
                            th."number" scope="col" { "took" } th scope="col" { "how much" }
                        }
                    }
                    tbody { @for look in &verification.looks { (row(look)) } }
                }
            }
            @for look in verification.looks.iter().filter(|look| !look.found.is_empty()) { (found(look)) }
        }
    }
}

fn row(look: &LookFact) -> Markup {
    let tone = match look.outcome {
        Outcome::Passed => "good",
        Outcome::Failed => "bad",
        Outcome::NotRun(_) => "warn",
    };
    html! {
        tr {
            th scope="row" { (plain(&look.level)) }
            td data-label="of" {
                @match &look.component { Some(name) => { (name) " " small { (look.region) } }, None => { "all of " (look.region) } }
                @if let Some(snapshot) = look.snapshot { br; small { code { (snapshot) } } }
            }
            td data-label="outcome" {
                (badge(tone, look.outcome.words()))
                @if let Outcome::NotRun(why) = &look.outcome { br; small { (plain(why)) } }
            }
            td."number" data-label="took" { (Seconds::new(look.ended.since(look.begun)).show()) }
            td data-label="how much" { (plain(&look.detail)) }
        }
    }
}

fn found(look: &LookFact) -> Markup {
    let rest = look.all_found().saturating_sub(look.found.len().min(FOUND_SHOWN) as u64);
    html! {
        h3 { "What " (plain(&look.words())) " found" }
        div.wide {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "object" } th scope="col" { "how grave" } th scope="col" { "what" }
                        th."number" scope="col" { "snapshots hit" } th."number" scope="col" { "shares of tenants" }
                    }
                }
                tbody { @for one in look.found.iter().take(FOUND_SHOWN) { (finding(one)) } }
            }
        }
        @if rest > 0 { p.soft { "And " (rest) " more." } }
    }
}

fn finding(one: &FindingFact) -> Markup {
    let tone = match one.gravity {
        Gravity::Damage => "bad",
        Gravity::CouldNotCheck => "warn",
        Gravity::Notice => "none",
    };
    html! {
        tr {
            th scope="row" { code { (plain(&one.object)) } }
            td data-label="how grave" { (badge(tone, one.gravity.words())) }
            td data-label="what" { (plain(&one.what)) }
            td."number" data-label="snapshots hit" { (one.snapshots) }
            td."number" data-label="shares" { (one.shares) }
        }
    }
}
