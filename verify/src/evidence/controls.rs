//! Controls of standards, and what evidence shows of each: the map is data, in `controls.json`.

use serde::Deserialize;

use super::facts::{ComponentFact, Facts, Kind, Met, Outcome, Verdict, What};

/// The map.
const MAP: &str = include_str!("controls.json");

/// A control of a standard, in our words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Its id as a token: `cp-4`.
    pub id: String,
    /// The standard it stands in.
    pub framework: String,
    /// What the standard calls it: `CP-4`.
    pub label: String,
    /// What it is about, in our words.
    pub says: String,
    /// What a drill shows of it.
    pub by: Vec<Topic>,
    /// What a verification shows of it; none: it says nothing of this control.
    #[serde(default)]
    pub verification: Vec<Topic>,
    /// What an erasure shows of it.
    #[serde(default)]
    pub erasure: Vec<Topic>,
}

/// What evidence shows something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A book was executed from its beginning to its end.
    Exercised,
    /// Recovery fits the time promised.
    RecoveryTime,
    /// No more is lost than promised.
    DataLoss,
    /// What is stored is there, and is what was written.
    Intact,
    /// What is stored can be restored, and is what was backed up.
    Restorable,
    /// What goes wrong is noticed.
    Detects,
    /// What was erased is gone.
    Erased,
}

/// How a topic or a control stands, from the best to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was looked at, and is as it must be.
    Shown,
    /// It was not looked at here.
    NotLooked,
    /// Too little was seen.
    Insufficient,
    /// It is not as it must be.
    NotShown,
}

impl Standing {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::NotLooked => "not looked at",
            Self::Insufficient => "insufficient evidence",
            Self::NotShown => "not satisfied",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    #[serde(rename = "about")]
    _about: String,
    controls: Vec<Control>,
}

/// Every control of the map, in its order.
#[must_use]
pub fn controls() -> Vec<Control> {
    // The file is part of the program and a test reads it; a map that cannot be read shows no control rather than a wrong one.
    serde_json::from_str::<Map>(MAP).map(|map| map.controls).unwrap_or_default()
}

impl Control {
    /// What evidence of this kind shows of it.
    #[must_use]
    pub fn topics(&self, kind: Kind) -> &[Topic] {
        match kind {
            Kind::Drill => &self.by,
            Kind::Verification => &self.verification,
            Kind::Erasure => &self.erasure,
        }
    }

    /// How it stands for one component, or for the whole where none is given.
    #[must_use]
    pub fn standing(&self, facts: &Facts, component: Option<&ComponentFact>) -> Standing {
        let topics = self.topics(facts.kind).iter();
        let topics: Vec<Standing> = topics.map(|topic| topic.standing(facts, component)).collect();
        let looked = topics.iter().any(|standing| *standing != Standing::NotLooked);
        // What was not looked at leaves a control short of evidence, unless nothing of it was looked at.
        let worst = topics.into_iter().max().unwrap_or(Standing::NotLooked);
        if looked && worst == Standing::NotLooked { Standing::Insufficient } else { worst }
    }
}

impl Topic {
    /// How it stands for one component, or over all of them.
    #[must_use]
    pub fn standing(self, facts: &Facts, component: Option<&ComponentFact>) -> Standing {
        let over = |of: fn(&ComponentFact) -> Standing| match component {
            Some(component) => of(component),
            None => facts.components.iter().map(of).max().unwrap_or(Standing::NotLooked),
        };
        match self {
            Self::Exercised => exercised(facts),
            Self::RecoveryTime => over(recovery_time),
            Self::DataLoss => over(data_loss),
            Self::Intact => looked(facts, component, &["inventory", "integrity"]),
            Self::Restorable if facts.kind == Kind::Verification => {
                looked(facts, component, &["readback", "restore", "objective"])
            }
            Self::Restorable => over(restorable),
            Self::Detects => all(facts.planted.iter().map(|one| one.caught_by.is_some())),
            Self::Erased => erased(facts),
        }
    }
}

fn all(held: impl Iterator<Item = bool>) -> Standing {
    held.map(|held| if held { Standing::Shown } else { Standing::NotShown })
        .max()
        .unwrap_or(Standing::NotLooked)
}

fn exercised(facts: &Facts) -> Standing {
    if facts.book.is_none() || facts.steps.is_empty() {
        return Standing::NotLooked;
    }
    let last = |step: &&super::facts::StepFact| {
        !facts.steps.iter().any(|other| other.name == step.name && other.attempt > step.attempt)
    };
    facts
        .steps
        .iter()
        .filter(last)
        .map(|step| match step.what {
            What::Ran | What::Simulated | What::Skipped => Standing::Shown,
            What::NotReached | What::Interrupted => Standing::Insufficient,
            What::Failed | What::TimedOut => Standing::NotShown,
        })
        .max()
        .unwrap_or(Standing::NotLooked)
}

/// How looks of these levels ended, those at all of a repository and those at the component.
fn looked(facts: &Facts, component: Option<&ComponentFact>, levels: &[&str]) -> Standing {
    let looks = facts.verification.iter().flat_map(|verification| &verification.looks);
    let own = looks.filter(|look| {
        levels.contains(&look.level.as_str())
            && component.is_none_or(|of| {
                look.region == of.region && look.component.as_ref().is_none_or(|name| *name == of.name)
            })
    });
    own.map(|look| outcome(&look.outcome)).max().unwrap_or(Standing::NotLooked)
}

const fn outcome(outcome: &Outcome) -> Standing {
    match outcome {
        Outcome::Passed => Standing::Shown,
        Outcome::NotRun(_) => Standing::Insufficient,
        Outcome::Failed => Standing::NotShown,
    }
}

fn recovery_time(component: &ComponentFact) -> Standing {
    match component.rto.as_ref().map(|rto| rto.verdict) {
        None => Standing::NotLooked,
        Some(Verdict::Met) => Standing::Shown,
        Some(Verdict::Insufficient) => Standing::Insufficient,
        Some(Verdict::TargetMissed | Verdict::LimitMissed | Verdict::Failed) => Standing::NotShown,
    }
}

fn data_loss(component: &ComponentFact) -> Standing {
    match component.rpo.as_ref().map(|rpo| rpo.verdict) {
        None => Standing::NotLooked,
        Some(Met::Met) => Standing::Shown,
        Some(Met::Insufficient) => Standing::Insufficient,
        Some(Met::Missed) => Standing::NotShown,
    }
}

fn restorable(component: &ComponentFact) -> Standing {
    let checks = component.checks.iter().map(|check| outcome(&check.outcome));
    checks.max().unwrap_or(Standing::NotLooked)
}

fn erased(facts: &Facts) -> Standing {
    let absent = all(facts.absent.iter().map(|one| one.absent));
    let Some(erasure) = &facts.erasure else { return absent };
    let found = erasure.proof.as_ref().map(|proof| proof.found.len());
    let kept = match (erasure.destroyed.and(erasure.effective), erasure.horizon(), found) {
        (_, _, Some(1..)) => Standing::NotShown,
        (_, Some(horizon), _) if horizon > erasure.promised => Standing::NotShown,
        (Some(_), Some(_), Some(0)) => Standing::Shown,
        _ => Standing::Insufficient,
    };
    if facts.absent.is_empty() { kept } else { absent.max(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_can_be_read_and_names_each_control_once() {
        let controls = controls();
        let ids: std::collections::BTreeSet<&str> = controls.iter().map(|one| one.id.as_str()).collect();
        assert!(controls.len() >= 25 && ids.len() == controls.len(), "{}", controls.len());
        for one in &controls {
            assert!(!one.by.is_empty() && one.says.ends_with('.'), "{}", one.id);
            let token = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            assert!(one.id.starts_with(|c: char| c.is_ascii_lowercase()) && one.id.chars().all(token));
        }
    }

    #[test]
    fn a_control_stands_no_better_than_the_worst_of_what_shows_it() {
        let facts = super::super::tests::facts();
        let control = |id: &str| controls().into_iter().find(|one| one.id == id).unwrap();
        let component = |name: &str| facts.components.iter().find(|one| one.name.as_str() == name).unwrap();
        let identity = Some(component("identity"));
        assert_eq!(control("cp-10").standing(&facts, identity), Standing::Shown);
        assert_eq!(control("cp-9").standing(&facts, identity), Standing::NotShown, "a fault was not caught");
        assert_eq!(
            control("iso27001-a.5.30").standing(&facts, Some(component("files"))),
            Standing::Insufficient
        );
        assert_eq!(control("gdpr-17").standing(&facts, None), Standing::Shown);
        assert_eq!(control("cp-4").standing(&facts, None), Standing::NotShown, "chats lose too much");
        let good = super::super::tests::good();
        for control in controls() {
            assert_eq!(control.standing(&good, None), Standing::Shown, "{}", control.id);
        }
    }
}
