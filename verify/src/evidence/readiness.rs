//! The readiness page: could we recover today, in what time, losing what, and when was that last proven?
//!
//! It is drawn by the renderer of reports from the newest evidence of every component and from how its backups stand now.

use std::num::NonZeroU32;

use lifeboat_repo::ids::Label;

use super::controls::{Standing, Topic};
use super::expiry::Expired;
use super::facts::{ComponentFact, Facts, Kind, LookFact, Met, Moment, Outcome, Seconds, Verdict};
use super::report::promise;

mod page;
mod regions;

pub use regions::Together;

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
    /// What else speaks against it, and how much: a snapshot that is partial, a restore that took too long.
    pub against: Vec<(Standing, String)>,
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
    /// How many regions can be recovered at a time.
    pub at_a_time: NonZeroU32,
    /// Regions that could not be looked at, with the reason.
    pub unreachable: Vec<(Label, String)>,
    /// What else speaks against the whole, and how much: evidence that cannot be read, a schedule that is too long.
    pub against: Vec<(Standing, String)>,
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
    /// The newest verification that looked at it.
    pub verified: Option<&'r Held>,
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
        let regions = self.together().against().map(|(standing, _)| standing);
        let besides = self.against.iter().map(|(standing, _)| *standing).chain(unreachable).chain(regions);
        let worst = ready.iter().map(|one| one.standing).chain(besides).chain(wholes).max();
        worst.unwrap_or(Standing::Insufficient)
    }

    /// The answer, in a word or two.
    #[must_use]
    pub fn answer(&self) -> &'static str {
        match self.standing() {
            Standing::Shown => "Yes",
            Standing::NotShown => "No",
            Standing::Insufficient | Standing::NotLooked => "Not proven",
        }
    }

    /// Everything that speaks against it, and what it speaks of where that is one component. Texts of evidence stand in it
    /// as they are.
    #[must_use]
    pub fn reasons(&self) -> Vec<(Option<&Label>, String)> {
        let ready = self.ready();
        let unreachable = self
            .unreachable
            .iter()
            .map(|(region, why)| format!("region {region} cannot be looked at: {why}"));
        let wholes = latest(&ready).into_iter().filter(|held| ended(held) != Standing::Shown).map(|held| {
            let (kind, day) = (held.facts.kind.word(), held.facts.exercise.ended.day());
            format!("the {kind} of {day} ({}) ended with: {}", held.facts.title, held.facts.verdict.words())
        });
        let regions = self.together().against().map(|(_, why)| why);
        let besides = self.against.iter().map(|(_, why)| why.clone()).chain(regions);
        let mut all: Vec<_> = unreachable.chain(besides).chain(wholes).map(|why| (None, why)).collect();
        if ready.is_empty() {
            all.push((None, "no component is configured".to_owned()));
        }
        for one in ready.into_iter().filter(|one| one.standing != Standing::Shown) {
            all.push((Some(&one.component.name), one.reasons.join("; ")));
        }
        all
    }

    fn of<'r>(&'r self, component: &'r Now) -> Ready<'r> {
        let proven = self.evidence.iter().rev().find_map(|held| {
            let of = |fact: &&ComponentFact| fact.name == component.name && fact.region == component.region;
            // Where the restore itself failed there is no time, and that is news, too.
            let failed = held.facts.kind == Kind::Drill && held.facts.verdict == Verdict::Failed;
            let fact = held.facts.components.iter().find(of).filter(|fact| failed || fact.rto.is_some());
            fact.map(|fact| (held, fact))
        });
        let mut ready = Ready { proven, verified: self.verified(component), ..Ready::new(component) };
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
        for (standing, why) in &component.against {
            ready.against(*standing, why.clone());
        }
        match proven {
            None => ready.against(Standing::Insufficient, "nobody ever rehearsed its recovery".into()),
            Some((held, fact)) => ready.judge(held, fact),
        }
        ready.judge_verified();
        ready
    }

    /// The newest verification that looked at a component, or at all of its repository.
    fn verified(&self, component: &Now) -> Option<&Held> {
        self.evidence.iter().rev().find(|held| {
            let looks = held.facts.verification.iter().flat_map(|verification| &verification.looks);
            looks.into_iter().any(|look| looked_at(look, component))
        })
    }

    /// The newest evidence that shows of a component that it comes back, whether it still holds or has expired since.
    fn last_proven(&self, component: &Now) -> Option<&Held> {
        self.evidence.iter().rev().find(|held| {
            let of = |fact: &&ComponentFact| fact.name == component.name && fact.region == component.region;
            let Some(fact) = held.facts.components.iter().find(of) else { return false };
            if held.problem.is_some() {
                return false;
            }
            let mut alone = Ready::new(component);
            alone.judge_facts(&held.facts, fact);
            alone.standing == Standing::Shown
        })
    }
}

/// Whether a look was one at this component.
fn looked_at(look: &LookFact, component: &Now) -> bool {
    look.region == component.region && look.component.as_ref().is_none_or(|name| *name == component.name)
}

impl<'r> Ready<'r> {
    fn new(component: &'r Now) -> Self {
        Self { component, proven: None, verified: None, standing: Standing::Shown, reasons: Vec::new() }
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

    /// What the newest verification of it found. That there is none speaks against nothing: a drill shows more.
    fn judge_verified(&mut self) {
        let Some(held) = self.verified else { return };
        let mut looks = held.facts.verification.iter().flat_map(|verification| &verification.looks);
        let component = self.component;
        let Some(bad) = looks.find(|look| look.outcome == Outcome::Failed && looked_at(look, component))
        else {
            return;
        };
        let (words, day) = (bad.words(), held.facts.exercise.ended.day());
        match &held.problem {
            None => self.against(Standing::NotShown, format!("the {words} of {day} found damage")),
            // It says nothing, and whoever did not sign it may have his reasons.
            Some(problem) => self.against(
                Standing::Insufficient,
                format!("the {words} of {day} says that it found damage, and cannot be believed: {problem}"),
            ),
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

/// The evidence that is shown, each once, the newest first.
fn latest<'r>(ready: &[Ready<'r>]) -> Vec<&'r Held> {
    let mut all: Vec<&Held> = ready.iter().filter_map(|one| one.proven.map(|(held, _)| held)).collect();
    all.sort_by(|a, b| (b.facts.exercise.ended, &b.facts.id).cmp(&(a.facts.exercise.ended, &a.facts.id)));
    all.dedup_by(|a, b| a.facts.id == b.facts.id);
    all
}
