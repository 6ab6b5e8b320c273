//! What the readiness page looks like.

use maud::{Markup, html};

use super::{Held, Readiness, Ready, latest};
use crate::evidence::controls::Standing;
use crate::evidence::facts::{ComponentFact, RtoFact, Seconds};
use crate::evidence::plain::plain;
use crate::evidence::report::{
    badge, course, document, heat_map, losses, promise, schedule, seconds, standing_tone, tile, tone,
};

impl Readiness {
    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let ready = self.ready();
        let standing = self.standing();
        let title = match standing {
            Standing::Shown => "ready",
            Standing::NotShown => "not ready",
            Standing::Insufficient | Standing::NotLooked => "not proven",
        };
        let facts: Vec<&ComponentFact> =
            ready.iter().filter_map(|one| one.proven.map(|(_, fact)| fact)).collect();
        let evidence = |fact: &ComponentFact| {
            let one = ready.iter().find(|one| one.component.name == fact.name)?;
            one.proven.map(|(held, _)| (&held.facts, self.age(held)))
        };
        document(
            &format!("Readiness: {title}"),
            &html! {
                header {
                    p.kicker { "Readiness · " (self.now.minute()) }
                    h1 { "Could we recover today?" }
                    div class=(format!("answer {}", standing_tone(standing))) {
                        strong { (self.answer()) }
                        (self.why())
                    }
                }
                main {
                    (self.tiles(&ready))
                    (self.table(&ready))
                    @for held in latest(&ready) {
                        section {
                            h2 {
                                (plain(&held.facts.title)) ": " (held.facts.kind.word()) " of "
                                (held.facts.exercise.ended.day())
                            }
                            p.soft { code { (held.facts.id) } ", " (self.age(held)) ": " (held.facts.verdict.words()) "." }
                        }
                        (schedule(&held.facts))
                        (losses(&held.facts.components))
                        (course(&held.facts))
                    }
                    @if !facts.is_empty() {
                        section {
                            h2 { "What is shown of which control, and how old that is" }
                            (heat_map(&facts, &evidence))
                        }
                    }
                }
                footer {
                    p { "Drawn from signed evidence and from how backups stand now. It is not signed itself: to show it to somebody, give the evidence." }
                }
            },
        )
    }

    fn why(&self) -> Markup {
        let reasons = self.reasons();
        html! {
            @if reasons.is_empty() {
                p { "Every component has a recent backup, and evidence that holds says it comes back in time." }
            }
            ul.plain {
                @for (component, why) in &reasons {
                    li { @if let Some(component) = component { b { (component) } ": " } (plain(why)) }
                }
            }
        }
    }

    fn tiles(&self, ready: &[Ready<'_>]) -> Markup {
        // What was projected for the whole counts, with what people do; a component alone is quicker than any recovery.
        let parts = ready.iter().filter_map(rto).map(|rto| (rto.end, rto.target, rto.verdict));
        let wholes = latest(ready)
            .into_iter()
            .filter_map(|held| held.facts.projection.as_ref())
            .map(|whole| (whole.seconds, whole.target, whole.verdict));
        let all = self.together();
        let regions = all.seconds.zip(all.verdict).map(|(time, verdict)| (time, all.target, verdict));
        let several = all.seconds.filter(|_| all.drills.len() > 1);
        let until = |time: Seconds| match several {
            Some(own) if own == time => format!("until all regions are back, {}", self.order()),
            _ => "until everything is back".to_owned(),
        };
        let times: Vec<_> = parts.chain(wholes).chain(regions).collect();
        let slowest = times.iter().max_by_key(|(time, ..)| *time);
        // A time in green is one that all of what it rests on met.
        let ended = latest(ready).into_iter().map(|held| held.facts.verdict);
        let gravest = times.iter().map(|(.., verdict)| *verdict).chain(ended).max();
        let unknown = ready.iter().filter(|one| rto(one).is_none()).count();
        let ages =
            || ready.iter().filter_map(|one| Some((one, self.now.since(one.component.recovery_point?))));
        let lost = ages().max_by_key(|(_, age)| *age);
        let nothing = ready.iter().filter(|one| one.component.recovery_point.is_none()).count();
        let proven: Option<Vec<&Held>> = ready.iter().map(|one| self.last_proven(one.component)).collect();
        let oldest = proven.filter(|all| !all.is_empty());
        let holds = ready.iter().all(Ready::holds);
        let oldest = oldest.and_then(|all| all.into_iter().map(|held| held.facts.exercise.ended).min());
        html! {
            ul.tiles {
                @match slowest {
                    Some((time, target, _)) => (tile("In what time", &time.show(),
                        match gravest.map(tone) { Some("good") if unknown > 0 || !holds => "warn", known => known.unwrap_or("warn") },
                        &format!("{}{}, target {}", until(*time), and(unknown, "never measured"), promise(*target)))),
                    None => (tile("In what time", "unknown", "bad", "nothing was ever measured")),
                }
                @match lost {
                    Some((one, age)) => (tile("Losing what", &Seconds::new(age).show(),
                        if nothing > 0 || Seconds::new(age) > one.component.allowed { "bad" } else { "good" },
                        &format!("of {}, at most{}", one.component.name, and(nothing, "lost altogether")))),
                    None => (tile("Losing what", "everything", "bad", "there is no snapshot")),
                }
                @match oldest {
                    Some(oldest) => (tile("Last proven", &oldest.day(), if holds { "good" } else { "warn" }, "for every component at least then")),
                    None => (tile("Last proven", "never, for all of it", "bad", "see the components below")),
                }
            }
        }
    }

    fn table(&self, ready: &[Ready<'_>]) -> Markup {
        html! {
            section {
                h2 { "Every component" }
                div.wide {
                    table.stack {
                        thead {
                            tr {
                                th scope="col" { "component" } th scope="col" { "recoverable" }
                                th."number" scope="col" { "restored after" } th."number" scope="col" { "target" }
                                th."number" scope="col" { "would lose" } th."number" scope="col" { "allowed" }
                                th scope="col" { "last proven" } th scope="col" { "last rehearsed" }
                                th scope="col" { "last verified" }
                            }
                        }
                        tbody { @for one in ready { (self.row(one)) } }
                    }
                }
            }
        }
    }

    fn row(&self, one: &Ready<'_>) -> Markup {
        let now = one.component;
        let words = match one.standing {
            Standing::Shown => "yes",
            Standing::NotShown => "no",
            Standing::Insufficient | Standing::NotLooked => "not proven",
        };
        let age = now.recovery_point.map(|point| Seconds::new(self.now.since(point)));
        html! {
            tr {
                th scope="row" { (now.name) " " small { (now.region) } }
                td data-label="recoverable" { (badge(standing_tone(one.standing), words)) }
                td."number" data-label="restored after" { (seconds(rto(one).map(|rto| rto.end))) }
                td."number" data-label="target" { (rto(one).map_or_else(|| "–".to_owned(), |rto| promise(rto.target))) }
                td."number" data-label="would lose" { (age.map_or_else(|| "everything".to_owned(), Seconds::show)) }
                td."number" data-label="allowed" { (promise(now.allowed)) }
                td data-label="last proven" {
                    @match self.last_proven(now) { Some(held) => (held.facts.exercise.ended.day()), None => "never" }
                }
                td data-label="last rehearsed" {
                    @match one.proven {
                        Some((held, _)) => {
                            (held.facts.exercise.ended.day()) " " small { (self.age(held)) ", " (held.facts.verdict.words()) }
                        }
                        None => "never",
                    }
                }
                td data-label="last verified" {
                    @match one.verified {
                        Some(held) => {
                            (held.facts.exercise.ended.day()) " "
                            small { (self.age(held)) ", " (held.facts.verdict.words()) @if held.problem.is_some() { ", not to be believed" } }
                        }
                        None => "no evidence",
                    }
                }
            }
        }
    }

    fn age(&self, held: &Held) -> String {
        let days = self.now.since(held.facts.exercise.ended).as_secs() / 86_400;
        if days == 0 { "today".to_owned() } else { format!("{days} d ago") }
    }
}

fn rto<'r>(one: &Ready<'r>) -> Option<&'r RtoFact> {
    one.proven.and_then(|(_, fact)| fact.rto.as_ref())
}

fn and(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", and {count} {what}") }
}
