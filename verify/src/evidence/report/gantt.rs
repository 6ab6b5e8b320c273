//! The schedule of recovery: which component comes back when, and what decides the whole.

use maud::{Markup, html};

use super::super::facts::{ComponentFact, Facts, ProjectionFact, RtoFact, Seconds};
use super::super::plain::plain;
use super::bars::{Scale, mark, part, row};
use super::{badge, seconds, tone};

pub(in super::super) fn section(facts: &Facts) -> Markup {
    let timed: Vec<(&ComponentFact, &RtoFact)> =
        facts.components.iter().filter_map(|one| Some((one, one.rto.as_ref()?))).collect();
    if timed.is_empty() {
        return html! {};
    }
    let whole = facts.projection.as_ref();
    let first = timed.first().map(|(_, rto)| (rto.target, rto.limit));
    let target = whole.map(|one| one.target).or(first.map(|one| one.0));
    let limit = whole.map(|one| one.limit).or(first.map(|one| one.1));
    let wholes =
        whole.into_iter().flat_map(|one| [Some(one.seconds), one.high]).flatten().map(Seconds::number);
    let ends = timed.iter().map(|(_, rto)| latest(rto)).chain(wholes);
    let scale = Scale::over(ends, target, limit);
    html! {
        section {
            h2 { "How long recovery takes" }
            @if let Some(whole) = whole { (sentence(whole)) }
            ul.key {
                (mark("critical", "critical path")) (mark("bar", "others")) (mark("n", "everything")) (mark("range", "range of its end"))
                (mark("target", "target")) (mark("limit", "limit"))
            }
            div.bars {
                (scale.axis())
                @for (component, rto) in &timed { (bar(component, rto, scale)) }
                @if let Some(whole) = whole { (whole_bar(whole, scale)) }
            }
            (terms(&timed))
        }
    }
}

fn latest(rto: &RtoFact) -> f64 {
    let high = rto.high.map_or(rto.end.number(), |high| rto.start.number() + high.number());
    high.max(rto.end.number())
}

fn sentence(whole: &ProjectionFact) -> Markup {
    let path: Vec<&str> = whole.critical_path.iter().map(|one| one.as_str()).collect();
    html! {
        p {
            "Everything is back " b { (whole.seconds.show()) } " after the disruption"
            @if let (Some(low), Some(high)) = (whole.low, whole.high) {
                ", between " (low.show()) " and " (high.show())
                @if let Some(sure) = whole.confidence { " in " (sure.percent()) " of cases" }
            }
            ": " (badge(tone(whole.verdict), whole.verdict.words()))
            @if let Some(note) = &whole.note { " " (plain(note)) }
        }
        dl {
            dt { "Critical path" } dd { (path.join(" → ")) }
            dt { "Workers" }
            dd {
                (whole.workers)
                @match whole.workers_needed {
                    Some(needed) => { " (the target needs " (needed) ")" }
                    None => { " (no number of workers is known that keeps the target)" }
                }
            }
            @if let (Some(half), Some(most)) = (whole.p50, whole.p95) {
                dt { "From " (whole.drills) " drills" }
                dd {
                    "half are back within " (half.show()) ", 95 in 100 within " (most.show())
                    @if let (Some(target), Some(limit)) = (whole.within_target, whole.within_limit) {
                        "; target kept in " (target.percent()) ", limit in " (limit.percent())
                    }
                }
            } @else {
                dt { "Probabilities" } dd { "none yet: they take five drills, there are " (whole.drills) }
            }
            @if let Some(breaks) = whole.breaks_at { dt { "Growth breaks the target" } dd { (breaks.day()) } }
        }
    }
}

/// The whole, with what people do: components alone would look quicker than any recovery is.
fn whole_bar(whole: &ProjectionFact, scale: Scale) -> Markup {
    let says =
        format!("everything: back {} after the disruption; {}", whole.seconds.show(), whole.verdict.words());
    let end = scale.x(whole.seconds.number());
    let picture = html! {
        @if let Some((low, high)) = whole.low.zip(whole.high) {
            (part("range", scale.x(low.number()), scale.x(high.number()), 8.0, 8.0))
        }
        (part("n", 0.0, end, 3.0, 18.0))
        (scale.lines(24.0))
    };
    let name = html! { "everything" small { "with what people do" } };
    let value = html! { b { (whole.seconds.show()) } small { (whole.verdict.words()) } };
    row(&name, &says, &picture, &value)
}

fn bar(component: &ComponentFact, rto: &RtoFact, scale: Scale) -> Markup {
    let (start, end) = (scale.x(rto.start.number()), scale.x(rto.end.number()));
    let class = if rto.critical { "critical" } else { "bar" };
    let critical = if rto.critical { ", on the critical path" } else { "" };
    let says = format!(
        "{}: from {} to {} after the disruption{critical}; {}",
        component.name,
        rto.start.show(),
        rto.end.show(),
        rto.verdict.words()
    );
    let range = rto.low.zip(rto.high).map(|(low, high)| {
        (scale.x(rto.start.number() + low.number()), scale.x(rto.start.number() + high.number()))
    });
    let picture = html! {
        @if let Some((low, high)) = range { (part("range", low, high, 8.0, 8.0)) }
        (part(class, start, end, 3.0, 18.0))
        @if let Some((low, _)) = range { (part("range", low.min(end), end, 10.0, 4.0)) }
        (scale.lines(24.0))
    };
    let needs: Vec<&str> = component.needs.iter().map(|one| one.as_str()).collect();
    let name = html! {
        (component.name)
        small { (component.region) @if !needs.is_empty() { ", after " (needs.join(", ")) } }
    };
    let value = html! {
        (rto.start.show()) " → " b { (rto.end.show()) }
        small { (rto.verdict.words()) @if rto.critical { ", critical" } }
    };
    row(&name, &says, &picture, &value)
}

/// What was measured as a whole has no range.
fn range(rto: &RtoFact) -> String {
    match (rto.low, rto.high) {
        (None, None) => "none".to_owned(),
        (low, high) => format!("{} to {}", seconds(low), seconds(high)),
    }
}

fn terms(timed: &[(&ComponentFact, &RtoFact)]) -> Markup {
    html! {
        div.wide {
            table.stack {
                caption { "What each component's own time consists of, and how well that is known" }
                thead {
                    tr {
                        th scope="col" { "component" } th scope="col" { "terms" }
                        th."number" scope="col" { "range" } th."number" scope="col" { "extrapolated" }
                        th."number" scope="col" { "time" }
                    }
                }
                tbody {
                    @for (component, rto) in timed {
                        tr {
                            th scope="row" { (component.name) }
                            td data-label="terms" {
                                @for (number, term) in rto.terms.iter().enumerate() {
                                    @if number > 0 { " + " }
                                    span title=(plain(&term.note)) {
                                        (plain(&term.name)) " " (term.seconds.show()) " " small { (term.basis.to_string()) }
                                    }
                                }
                                @if let Some(note) = &rto.note { br; small { (plain(note)) } }
                            }
                            td."number" data-label="range" { (range(rto)) }
                            td."number" data-label="extrapolated" { (format!("{:.1} ×", rto.factor.number())) }
                            td."number" data-label="time" { b { (rto.seconds.show()) } }
                        }
                    }
                }
            }
        }
    }
}
