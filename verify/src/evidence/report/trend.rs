//! How recovery time went over the drills before this one.

use maud::{Markup, html};

use super::super::facts::{Facts, Moment, PastDrill, Seconds, Verdict};
use super::bars::{Scale, mark, number};
use super::{badge, seconds, tone};

/// The picture shows the newest; the table below has all.
const SHOWN: usize = 12;
/// The height of the picture in its own units.
const HEIGHT: f64 = 200.0;

/// A drill as a column.
struct Column {
    id: String,
    ended: Moment,
    measured: Option<Seconds>,
    projected: Option<Seconds>,
    loss: Option<Seconds>,
    verdict: Verdict,
}

impl From<&PastDrill> for Column {
    fn from(past: &PastDrill) -> Self {
        Self {
            id: past.id.to_string(),
            ended: past.ended,
            measured: past.measured,
            projected: past.projected,
            loss: past.loss,
            verdict: past.verdict,
        }
    }
}

pub(in super::super) fn section(facts: &Facts) -> Markup {
    if facts.history.is_empty() {
        return html! {};
    }
    let mut columns: Vec<Column> = facts.history.iter().map(Column::from).collect();
    columns.push(this(facts));
    let whole = facts.projection.as_ref();
    let times = columns.iter().flat_map(|one| [one.measured, one.projected]).flatten().map(Seconds::number);
    let scale = Scale::over(times, whole.map(|one| one.target), whole.map(|one| one.limit));
    let shown = columns.get(columns.len().saturating_sub(SHOWN)..).unwrap_or_default();
    html! {
        section {
            h2 { "Trend over drills" }
            ul.key {
                (mark("bar", "measured, to everything back")) (mark("stripes", "never came back whole"))
                (mark("w", "projected before")) (mark("target", "target")) (mark("limit", "limit"))
            }
            div."chart" {
                svg viewBox=(format!("0 0 1000 {HEIGHT}")) preserveAspectRatio="none" role="img"
                    aria-label=(format!("Recovery time of the last {} drills; the table below has the numbers", shown.len())) {
                    (picture(shown, scale))
                }
                div."columns" aria-hidden="true" {
                    @for column in shown {
                        span { b { (seconds(column.measured)) } (column.ended.day().get(5..).unwrap_or_default()) }
                    }
                }
            }
            (table(&columns))
        }
    }
}

/// This drill, as later ones will see it.
fn this(facts: &Facts) -> Column {
    let back = facts.verdict != Verdict::Failed;
    let exercise = &facts.exercise;
    Column {
        id: facts.id.to_string(),
        ended: exercise.ended,
        measured: back.then(|| Seconds::new(exercise.ended.since(exercise.disruption))),
        projected: facts.projection.as_ref().map(|one| one.seconds),
        loss: facts.largest_loss(),
        verdict: facts.verdict,
    }
}

fn picture(columns: &[Column], scale: Scale) -> Markup {
    let width = 1000.0 / f64::from(u32::try_from(columns.len()).unwrap_or(u32::MAX)).max(1.0);
    let height = |time: Seconds| scale.x(time.number()) / 1000.0 * HEIGHT;
    html! {
        @for (place, column) in (0_u32..).zip(columns) {
            @let left = f64::from(place) * width + width * 0.2;
            @let wide = width * 0.6;
            @match column.measured {
                Some(measured) => {
                    @let tall = height(measured).max(2.0);
                    rect class="bar" x=(number(left)) y=(number(HEIGHT - tall)) width=(number(wide)) height=(number(tall)) {}
                }
                None => { rect fill="url(#stripes)" x=(number(left)) y="0" width=(number(wide)) height=(number(HEIGHT)) {} }
            }
            @if let Some(projected) = column.projected {
                rect class="w" x=(number(left - width * 0.08)) y=(number(HEIGHT - height(projected) - 1.5))
                    width=(number(wide + width * 0.16)) height="3" {}
            }
        }
        (scale.across(HEIGHT))
    }
}

fn table(columns: &[Column]) -> Markup {
    html! {
        div.wide {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "drill" } th scope="col" { "ended" } th."number" scope="col" { "measured" }
                        th."number" scope="col" { "projected" } th."number" scope="col" { "loss, at most" }
                        th scope="col" { "verdict" }
                    }
                }
                tbody {
                    @for column in columns.iter().rev() {
                        tr {
                            th scope="row" { code { (column.id) } }
                            td data-label="ended" { (column.ended.minute()) }
                            td."number" data-label="measured" { (seconds(column.measured)) }
                            td."number" data-label="projected" { (seconds(column.projected)) }
                            td."number" data-label="loss" {
                                (column.loss.map_or_else(|| "unknown".to_owned(), Seconds::show))
                            }
                            td data-label="verdict" { (badge(tone(column.verdict), column.verdict.words())) }
                        }
                    }
                }
            }
        }
    }
}
