//! All regions together: how long it takes until every one of them is back, by the newest drill of the whole of each.

use lifeboat_repo::ids::Label;

use super::{Held, Readiness};
use crate::evidence::controls::Standing;
use crate::evidence::facts::{Facts, Kind, Seconds, Verdict};
use crate::regions::together;

/// What drills say of all regions together.
#[derive(Clone, Debug)]
pub struct Together<'r> {
    /// Regions whose newest drill of all of them says how long that took, with that.
    pub drills: Vec<(&'r Label, &'r Held, Seconds)>,
    /// The others, with the reason.
    pub lacking: Vec<(&'r Label, String)>,
    /// How long all of them take; nothing where one is lacking.
    pub seconds: Option<Seconds>,
    /// What is aimed for with the last of them.
    pub target: Seconds,
    /// Whether that is kept, or else the limit; nothing where it is not known.
    pub verdict: Option<Verdict>,
}

impl Readiness {
    /// All regions together. Each component alone may be shown to come back in time, and they not.
    #[must_use]
    pub fn together(&self) -> Together<'_> {
        let (mut drills, mut lacking) = (Vec::new(), Vec::new());
        let (mut target, mut limit) = (Seconds::default(), Seconds::default());
        for region in self.regions() {
            match self.rehearsed(region) {
                Ok((held, took, aims)) => {
                    drills.push((region, held, took));
                    (target, limit) = (target.max(aims.0), limit.max(aims.1));
                }
                Err(why) => lacking.push((region, why)),
            }
        }
        let times: Vec<_> = drills.iter().map(|(_, _, took)| took.span()).collect();
        let known = lacking.is_empty() && !drills.is_empty();
        let seconds = known.then(|| Seconds::new(together(&times, self.at_a_time)));
        let verdict = seconds.map(|time| match time {
            time if time <= target => Verdict::Met,
            time if time <= limit => Verdict::TargetMissed,
            _ => Verdict::LimitMissed,
        });
        Together { drills, lacking, seconds, target, verdict }
    }

    /// In which order regions are recovered, in words.
    #[must_use]
    pub fn order(&self) -> String {
        match self.at_a_time.get() {
            1 => "one after another".to_owned(),
            many => format!("{many} at a time"),
        }
    }

    /// The regions of all components, each once.
    fn regions(&self) -> Vec<&Label> {
        let mut all: Vec<&Label> = self.components.iter().map(|one| &one.region).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The newest drill of all of a region: how long that took, what was aimed for, and what must not be exceeded.
    fn rehearsed(&self, region: &Label) -> Result<(&Held, Seconds, (Seconds, Seconds)), String> {
        let whole = |facts: &Facts| {
            let own =
                |name: &Label| facts.components.iter().any(|one| one.name == *name && one.region == *region);
            self.components.iter().filter(|one| one.region == *region).all(|one| own(&one.name))
        };
        let newest =
            self.evidence.iter().rev().find(|held| held.facts.kind == Kind::Drill && whole(&held.facts));
        let Some(held) = newest else { return Err("no drill was ever of all of it".to_owned()) };
        let day = held.facts.exercise.ended.day();
        if held.problem.is_some() {
            return Err(format!("its drill of {day} cannot be believed"));
        }
        if let Some(why) = held.expired.first() {
            return Err(format!("its drill of {day} has {why}"));
        }
        match &held.facts.projection {
            Some(found) if held.facts.verdict != Verdict::Failed => {
                Ok((held, found.seconds, (found.target, found.limit)))
            }
            Some(_) => Err(format!("its drill of {day} failed")),
            None => Err(format!("its drill of {day} does not say how long it took")),
        }
    }
}

impl Together<'_> {
    /// What speaks against all of them coming back in time, and how much. Of one region alone its own drill speaks.
    pub(super) fn against(&self) -> Option<(Standing, String)> {
        if self.drills.len() + self.lacking.len() < 2 {
            return None;
        }
        if !self.lacking.is_empty() {
            let each = self.lacking.iter().map(|(region, why)| format!("{region}: {why}"));
            let each = each.collect::<Vec<_>>().join("; ");
            let why = format!("how long all regions take together is not known ({each})");
            return Some((Standing::Insufficient, why));
        }
        let verdict = self.verdict.filter(|verdict| *verdict != Verdict::Met)?;
        Some((Standing::NotShown, format!("all regions together: {}, {}", self.words(), verdict.words())))
    }

    /// How long all of them take, and of what that is made.
    #[must_use]
    pub fn words(&self) -> String {
        let each = self.drills.iter().map(|(region, held, took)| {
            format!("{region} {} on {}", took.show(), held.facts.exercise.ended.day())
        });
        let each = each.collect::<Vec<_>>().join(", ");
        self.seconds
            .map_or_else(|| "not known".to_owned(), |time| format!("{} by drills ({each})", time.show()))
    }
}
