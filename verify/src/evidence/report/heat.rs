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
        (key())
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

fn key() -> Markup {
    html! {
        ul.key {
            @for standing in [Standing::Shown, Standing::NotShown, Standing::Insufficient, Standing::NotLooked] {
                li { span class=(format!("badge {}", standing_tone(standing))) { (sign(standing)) } " " (standing.words()) }
            }
        }
    }
}

/// Where no component has evidence of its own: what all of it shows of the controls that it speaks to.
pub(super) fn table(facts: &Facts) -> Markup {
    let all = controls().into_iter().map(|control| (control.standing(facts, None), control));
    let spoken: Vec<_> = all.filter(|(standing, _)| *standing != Standing::NotLooked).collect();
    if spoken.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "What it shows of which control" }
            p.soft { "Ids of the standards, words of ours. Of other controls this says nothing." }
            (key())
            div.wide {
                table.stack {
                    thead { tr { th scope="col" { "control" } th scope="col" { "standing" } th scope="col" { "what it is about" } } }
                    tbody {
                        @for (standing, control) in &spoken {
                            tr {
                                th scope="row" { (control.framework) " " (control.label) }
                                td data-label="standing" { (super::badge(standing_tone(*standing), standing.words())) }
                                td data-label="about" { (control.says) }
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
