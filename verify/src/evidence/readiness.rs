//! The readiness page: could we recover today, in what time, losing what, and when was that last proven?
//!
//! It is drawn by the renderer of reports from the newest evidence of every component and from how its backups stand now.

use lifeboat_repo::ids::Label;
use maud::{Markup, html};

use super::controls::{Standing, Topic};
use super::expiry::Expired;
use super::facts::{ComponentFact, Facts, Kind, Met, Moment, Outcome, RtoFact, Seconds, Verdict};
use super::plain::plain;
use super::report::{
    badge, course, document, heat_map, losses, promise, schedule, seconds, standing_tone, tile,
};

/// How a component's backups stand now.
#[derive(Clone, Debug)]
pub struct Now {
    /// The component.
    pub name: Label,
    /// Its region.
    pub region: Label,
    /// Up to when its newest snapshot that counts holds data; nothing where there is none.
    pub recovery_point: Option<Moment>,
    /// The most loss allowed.
    pub allowed: Seconds,
    /// What must be known of it besides: a snapshot that is partial.
    pub note: Option<String>,
}

/// Evidence that there is.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it says.
    pub facts: Facts,
    /// Why it cannot be believed; nothing where it verifies.
    pub problem: Option<String>,
    /// Why it does not hold any more.
    pub expired: Vec<Expired>,
}

/// All that the page shows.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// The moment it is of.
    pub now: Moment,
    /// Every component that is configured.
    pub components: Vec<Now>,
    /// Regions that could not be looked at, with the reason.
    pub unreachable: Vec<(Label, String)>,
    /// Evidence, by when it ended.
    pub evidence: Vec<Held>,
}

/// How ready one component is.
#[derive(Clone, Debug)]
pub struct Ready<'r> {
    /// How its backups stand.
    pub component: &'r Now,
    /// The newest evidence of it.
    pub proven: Option<(&'r Held, &'r ComponentFact)>,
    /// Whether it could be recovered today.
    pub standing: Standing,
    /// Everything that speaks against it.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Every component, with the newest evidence of it.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready<'_>> {
        self.components.iter().map(|component| self.of(component)).collect()
    }

    /// The whole: as ready as the least ready, and no better than the newest evidence ended.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let ready = self.ready();
        let unreachable = self.unreachable.iter().map(|_| Standing::Insufficient);
        let wholes = latest(&ready).into_iter().map(ended);
        let worst = ready.iter().map(|one| one.standing).chain(unreachable).chain(wholes).max();
        worst.unwrap_or(Standing::Insufficient)
    }

    fn of<'r>(&'r self, component: &'r Now) -> Ready<'r> {
        let proven = self.evidence.iter().rev().find_map(|held| {
            let of = |fact: &&ComponentFact| fact.name == component.name && fact.region == component.region;
            // Where the restore itself failed there is no time, and that is news, too.
            let failed = held.facts.kind == Kind::Drill && held.facts.verdict == Verdict::Failed;
            let fact = held.facts.components.iter().find(of).filter(|fact| failed || fact.rto.is_some());
            fact.map(|fact| (held, fact))
        });
        let mut ready = Ready { component, proven, standing: Standing::Shown, reasons: Vec::new() };
        match component.recovery_point.map(|point| Seconds::new(self.now.since(point))) {
            None => ready.against(Standing::NotShown, "there is no snapshot of it".into()),
            Some(age) if age > component.allowed => {
                let why = format!(
                    "a disaster now would lose {}, {} are allowed",
                    age.show(),
                    promise(component.allowed)
                );
                ready.against(Standing::NotShown, why);
            }
            Some(_) => {}
        }
        if let Some(note) = &component.note {
            ready.against(Standing::Insufficient, note.clone());
        }
        match proven {
            None => ready.against(Standing::Insufficient, "nobody ever rehearsed its recovery".into()),
            Some((held, fact)) => ready.judge(held, fact),
        }
        ready
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let ready = self.ready();
        let standing = self.standing();
        let (word, title) = match standing {
            Standing::Shown => ("Yes", "ready"),
            Standing::NotShown => ("No", "not ready"),
            Standing::Insufficient | Standing::NotLooked => ("Not proven", "not proven"),
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
                        strong { (word) }
                        (self.why(&ready))
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

    fn why(&self, ready: &[Ready<'_>]) -> Markup {
        let held_back: Vec<&Ready<'_>> = ready.iter().filter(|one| one.standing != Standing::Shown).collect();
        html! {
            @let wholes: Vec<&Held> = latest(ready).into_iter().filter(|held| ended(held) != Standing::Shown).collect();
            @if held_back.is_empty() && self.unreachable.is_empty() && wholes.is_empty() {
                @if ready.is_empty() { p { "No component is configured." } }
                @else { p { "Every component has a recent backup, and evidence that holds says it comes back in time." } }
            }
            ul.plain {
                @for (region, why) in &self.unreachable { li { "region " (region) " cannot be looked at: " (plain(why)) } }
                @for held in wholes {
                    li {
                        "the " (held.facts.kind.word()) " of " (held.facts.exercise.ended.day()) " ended with: "
                        (held.facts.verdict.words())
                    }
                }
                @for one in held_back {
                    li { b { (one.component.name) } ": " @for (number, why) in one.reasons.iter().enumerate() {
                        @if number > 0 { "; " } (plain(why))
                    } }
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
        let slowest = parts.chain(wholes).max_by_key(|(time, ..)| *time);
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
                    Some((time, target, verdict)) => (tile("In what time", &time.show(),
                        if unknown > 0 { "warn" } else { super::report::tone(verdict) },
                        &format!("until everything is back{}, target {}", and(unknown, "never measured"), promise(target)))),
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
            }
        }
    }

    /// The newest evidence that shows of a component that it comes back, whether it still holds or has expired since.
    fn last_proven(&self, component: &Now) -> Option<&Held> {
        self.evidence.iter().rev().find(|held| {
            let of = |fact: &&ComponentFact| fact.name == component.name && fact.region == component.region;
            let Some(fact) = held.facts.components.iter().find(of) else { return false };
            if held.problem.is_some() {
                return false;
            }
            let mut alone = Ready { component, proven: None, standing: Standing::Shown, reasons: Vec::new() };
            alone.judge_facts(&held.facts, fact);
            alone.standing == Standing::Shown
        })
    }

    fn age(&self, held: &Held) -> String {
        let days = self.now.since(held.facts.exercise.ended).as_secs() / 86_400;
        if days == 0 { "today".to_owned() } else { format!("{days} d ago") }
    }
}

impl Ready<'_> {
    fn against(&mut self, standing: Standing, why: String) {
        self.standing = self.standing.max(standing);
        self.reasons.push(why);
    }

    /// What its newest evidence says, if it can be believed.
    fn judge(&mut self, held: &Held, fact: &ComponentFact) {
        if let Some(problem) = &held.problem {
            // What cannot be believed says nothing, good or bad.
            self.against(Standing::Insufficient, format!("its evidence cannot be believed: {problem}"));
            return;
        }
        for why in &held.expired {
            self.against(Standing::Insufficient, format!("its evidence has {why}"));
        }
        self.judge_facts(&held.facts, fact);
    }

    /// What facts say of a component, whoever vouches for them.
    fn judge_facts(&mut self, facts: &Facts, fact: &ComponentFact) {
        let time = Topic::RecoveryTime.standing(facts, Some(fact));
        match (time, fact.rto.as_ref()) {
            (Standing::Shown, _) => {}
            (Standing::NotShown, Some(rto)) => {
                self.against(time, format!("its recovery time: {}", rto.verdict.words()));
            }
            _ => self
                .against(Standing::Insufficient, "too little was measured to say how long it takes".into()),
        }
        // Where it has no heartbeats nothing was looked at; how old its backups are is judged apart.
        let loss = Topic::DataLoss.standing(facts, Some(fact));
        if !matches!(loss, Standing::Shown | Standing::NotLooked) {
            let why = if loss == Standing::NotShown { Met::Missed } else { Met::Insufficient };
            self.against(loss, format!("what was lost of it: {}", why.words()));
        }
        if Topic::Restorable.standing(facts, Some(fact)) == Standing::NotLooked {
            self.against(Standing::Insufficient, "nothing that was restored of it was checked".into());
        }
        for check in &fact.checks {
            match &check.outcome {
                Outcome::Passed => {}
                Outcome::Failed => self.against(Standing::NotShown, format!("its {} failed", check.level)),
                Outcome::NotRun(why) => {
                    self.against(Standing::Insufficient, format!("its {} did not run: {why}", check.level));
                }
            }
        }
        if facts.verdict == Verdict::Failed {
            self.against(Standing::NotShown, "the last drill with it failed".into());
        }
    }

    /// Whether the evidence of it can be believed and still holds.
    fn holds(&self) -> bool {
        self.proven.is_some_and(|(held, _)| held.problem.is_none() && held.expired.is_empty())
    }
}

/// How the whole ended that evidence speaks of. What cannot be believed says nothing, good or bad.
fn ended(held: &Held) -> Standing {
    match held.facts.verdict {
        _ if held.problem.is_some() => Standing::Shown,
        Verdict::Met => Standing::Shown,
        Verdict::Insufficient => Standing::Insufficient,
        Verdict::TargetMissed | Verdict::LimitMissed | Verdict::Failed => Standing::NotShown,
    }
}

fn rto<'r>(one: &Ready<'r>) -> Option<&'r RtoFact> {
    one.proven.and_then(|(_, fact)| fact.rto.as_ref())
}

/// The evidence that is shown, each once, the newest first.
fn latest<'r>(ready: &[Ready<'r>]) -> Vec<&'r Held> {
    let mut all: Vec<&Held> = ready.iter().filter_map(|one| one.proven.map(|(held, _)| held)).collect();
    all.sort_by(|a, b| (b.facts.exercise.ended, &b.facts.id).cmp(&(a.facts.exercise.ended, &a.facts.id)));
    all.dedup_by(|a, b| a.facts.id == b.facts.id);
    all
}

fn and(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", and {count} {what}") }
}
