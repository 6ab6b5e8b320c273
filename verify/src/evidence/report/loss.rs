//! How much would be lost: a bar for each component, striped where nobody knows.

use maud::{Markup, html};

use super::super::facts::{ComponentFact, Met, RpoFact, Seconds};
use super::super::plain::plain;
use super::bars::{Scale, mark, part, row, striped};
use super::{badge, met_tone, moment, promise};

pub(in super::super) fn section(components: &[ComponentFact]) -> Markup {
    let looked: Vec<(&ComponentFact, &RpoFact)> =
        components.iter().filter_map(|one| Some((one, one.rpo.as_ref()?))).collect();
    if looked.is_empty() {
        return html! {};
    }
    let longest = |rpo: &RpoFact| {
        let allowed = rpo.objective.map_or(0.0, Seconds::number);
        rpo.bound.map_or(0.0, Seconds::number).max(allowed * 1.3)
    };
    let scale = Scale::over(looked.iter().map(|(_, rpo)| longest(rpo)), None, None);
    html! {
        section {
            h2 { "How much would be lost" }
            p.soft { (told(looked.iter().map(|(_, rpo)| *rpo))) }
            ul.key {
                (mark("g", "within what is allowed")) (mark("b", "beyond")) (mark("stripes", "unknown"))
                (mark("target", "allowed"))
            }
            div.bars {
                (scale.axis())
                @for (component, rpo) in &looked { (bar(component, rpo, scale)) }
            }
            (lost(&looked))
        }
    }
}

/// Where the bounds come from.
fn told<'r>(looked: impl Iterator<Item = &'r RpoFact> + Clone) -> String {
    let heard = looked.clone().any(|rpo| rpo.newest_canary.is_some());
    let silent = looked.clone().any(|rpo| rpo.newest_canary.is_none() && rpo.bound.is_some());
    let from = match (heard, silent) {
        (true, false) => {
            "From the newest canary that was found in the restored copy, below which none is missing. "
        }
        (true, true) => {
            "From the newest canary that was found in the restored copy, below which none is missing; where the table names \
             none, from what the snapshot says of itself. "
        }
        (false, true) => "From what each snapshot says of itself: no canary was found in a restored copy. ",
        (false, false) => "",
    };
    format!("{from}Where nothing bounds the loss it is unknown, which is not zero.")
}

/// The largest loss, with its tone and a note, for one look.
pub(in super::super) fn worst(components: &[ComponentFact]) -> Option<(String, &'static str, String)> {
    let looked = || components.iter().filter_map(|one| Some((one, one.rpo.as_ref()?)));
    let unknown = looked().filter(|(_, rpo)| rpo.bound.is_none()).count();
    let verdict = looked().map(|(_, rpo)| rpo.verdict).max_by_key(|met| match met {
        Met::Met => 0,
        Met::Insufficient => 1,
        Met::Missed => 2,
    })?;
    let known = looked().filter_map(|(one, rpo)| Some((one, rpo.bound?))).max_by_key(|(_, bound)| *bound);
    let missed = looked().filter(|(_, rpo)| rpo.verdict == Met::Missed).count();
    let value = match known {
        Some((_, bound)) => bound.show(),
        None => "unknown".to_owned(),
    };
    let mut notes = Vec::new();
    if let Some((component, _)) = known {
        notes.push(format!("in {}", component.name));
    }
    if missed > 0 {
        notes.push(format!("{missed} beyond what is allowed"));
    }
    if unknown > 0 && known.is_some() {
        notes.push(format!("{unknown} unknown"));
    }
    Some((value, met_tone(verdict), notes.join(", ")))
}

fn bar(component: &ComponentFact, rpo: &RpoFact, scale: Scale) -> Markup {
    let allowed = rpo.objective.map(promise);
    let words = match rpo.bound {
        Some(bound) => format!("at most {}", bound.show()),
        None => "unknown".to_owned(),
    };
    let says = format!(
        "{}: {words} lost{}; {}",
        component.name,
        allowed.as_ref().map(|allowed| format!(", {allowed} allowed")).unwrap_or_default(),
        rpo.verdict.words()
    );
    let picture = html! {
        @match rpo.bound {
            Some(bound) => (part(if rpo.verdict == Met::Missed { "b" } else { "g" }, 0.0, scale.x(bound.number()), 3.0, 18.0)),
            None => (striped(0.0, 1000.0)),
        }
        @if let Some(allowed) = rpo.objective {
            @let x = super::bars::number(scale.x(allowed.number()));
            line."target" x1=(x) x2=(x) y1="0" y2="24" {}
        }
    };
    let name = html! { (component.name) small { (component.region) } };
    let value = html! {
        b { (words) } " " (badge(met_tone(rpo.verdict), rpo.verdict.words()))
        @if let Some(allowed) = allowed { small { (allowed) " allowed" } }
    };
    row(&name, &says, &picture, &value)
}

fn lost(looked: &[(&ComponentFact, &RpoFact)]) -> Markup {
    html! {
        div.wide {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "component" } th scope="col" { "recovery point" }
                        th scope="col" { "newest canary" } th."number" scope="col" { "holes" }
                        th scope="col" { "records lost" } th scope="col" { "where that comes from" }
                    }
                }
                tbody {
                    @for (component, rpo) in looked {
                        tr {
                            th scope="row" { (component.name) }
                            td data-label="recovery point" { (moment(component.recovery_point)) }
                            td data-label="newest canary" { (moment(rpo.newest_canary)) }
                            td."number" data-label="holes" { (rpo.holes) }
                            td data-label="records lost" {
                                @if rpo.lost.is_empty() { "unknown" }
                                @for (number, one) in rpo.lost.iter().enumerate() {
                                    @if number > 0 { ", " }
                                    @match one.records { Some(records) => (records), None => "unknown" }
                                    " of " code title=(one.tenant_token.to_string()) { (first(&one.tenant_token.to_string())) }
                                }
                            }
                            td data-label="from" { (plain(&rpo.note)) }
                        }
                    }
                }
            }
        }
    }
}

/// The beginning of a token: the whole of it helps nobody who reads.
fn first(token: &str) -> &str {
    token.get(..12).unwrap_or(token)
}
