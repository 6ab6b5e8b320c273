//! Controls against components: what is shown of each, and how old that is.

use maud::{Markup, html};

use super::super::controls::{Standing, controls};
use super::super::facts::{ComponentFact, Facts};
use super::standing_tone;

/// What evidence there is of a component, and its age in words.
pub(in super::super) type Evidence<'a, 'f> = &'a dyn Fn(&ComponentFact) -> Option<(&'f Facts, String)>;

/// A table, so that it is read as one by whoever does not see colours.
pub(in super::super) fn heat_map(components: &[&ComponentFact], evidence: Evidence<'_, '_>) -> Markup {
    html! {
        ul.key {
            @for standing in [Standing::Shown, Standing::NotShown, Standing::Insufficient, Standing::NotLooked] {
                li { span class=(format!("badge {}", standing_tone(standing))) { (sign(standing)) } " " (standing.words()) }
            }
        }
        div.wide {
            table."heat" {
                thead {
                    tr {
                        th scope="col" { "control" }
                        @for component in components {
                            th."component" scope="col" { (component.name) br; small { (component.region) } }
                        }
                    }
                }
                tbody {
                    @for group in controls().chunk_by(|a, b| a.framework == b.framework) {
                        @if let Some(first) = group.first() {
                            tr { th."group" scope="colgroup" colspan=(components.len().saturating_add(1)) { (first.framework) } }
                        }
                        @for control in group {
                            tr {
                                th scope="row" { (control.label) small."soft" { (control.says) } }
                                @for component in components {
                                    @match evidence(component) {
                                        Some((facts, age)) => (cell(control.standing(facts, Some(component)), &age)),
                                        None => (cell(Standing::NotLooked, "never")),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(standing: Standing, age: &str) -> Markup {
    html! {
        td class=(standing_tone(standing)) {
            span aria-hidden="true" { (sign(standing)) } span."unseen" { (standing.words()) }
            @if standing != Standing::NotLooked { small { (age) } }
        }
    }
}

const fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Shown => "✓",
        Standing::NotLooked => "–",
        Standing::Insufficient => "?",
        Standing::NotShown => "✗",
    }
}
