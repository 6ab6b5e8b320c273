//! Retention: which snapshots expire, and why. Pure: the same snapshots, rules, moment and time zone give the same
//! decisions, in whatever order the snapshots come.
//!
//! - More rules never expire more, and applying the decisions a second time changes nothing.
//! - The newest complete snapshot is always kept, so retention alone never leaves a component without a backup.
//! - Partial snapshots take places of their own: a night in which a file could not be read pushes out no whole one.
//! - What does not count (fenced, void, dated in the future) takes no place and is left alone. What no ledger names yet
//!   takes none either; it goes when it is older than all that is kept.
//!
//! `now` must be the time of the store's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::ids::{KeyId, ObjectName, RunId};
use crate::units::Timestamp;

mod horizon;
mod periods;
mod reasons;
mod tenants;
#[cfg(test)]
mod tests;

pub use horizon::{Horizon, horizon, tenant_horizon};
pub use periods::Period;
pub use reasons::{Because, Passed, Untaken};
pub use tenants::{KeyDecision, KeyFate, expire_keys};

/// How much later than now a snapshot may be dated before it is not believed. A writer whose clock is wrong, or that
/// was broken into, must not take the places of those that are there.
pub const FUTURE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Which snapshots of a component are kept. All rules are applied to all snapshots; one that any rule keeps is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// So many of the newest.
    pub last: u32,
    /// The newest of each of so many hours, days, weeks, months or years in which there is one. Those of 0 are no rule.
    pub periods: BTreeMap<Period, u32>,
    /// All that are no older.
    pub within: Option<Duration>,
    /// Nothing younger expires, whatever else is said: a mistake in the rules shows before it costs anything.
    pub minimum_age: Duration,
}

/// What a snapshot is worth to whoever restores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It counts, and holds everything its component should.
    Complete,
    /// It counts, and lacks something.
    Partial,
    /// No ledger names it yet.
    Unrecorded,
    /// It does not count, for this reason.
    Nothing(String),
}

/// Something under a snapshot's name that no gc record expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its object name.
    pub name: ObjectName,
    /// Its run.
    pub run: RunId,
    /// The moment it speaks of: its recovery point.
    pub moment: Timestamp,
    /// What it is worth.
    pub worth: Worth,
    /// The tenant keys in it that no gc record expires.
    pub keys: Vec<KeyId>,
}

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is kept, for these reasons; never empty.
    Kept(Vec<Because>),
    /// It expires: what each rule says to it. Empty for one that no ledger names.
    Expired(Vec<Passed>),
    /// It expires because somebody named it.
    Named,
    /// It takes no place and is left as it is.
    Left(Untaken),
}

/// A decision on one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its object name.
    pub name: ObjectName,
    /// Its run.
    pub run: RunId,
    /// The moment it speaks of.
    pub moment: Timestamp,
    /// What becomes of it.
    pub fate: Fate,
}

impl Decision {
    /// Whether it expires.
    #[must_use]
    pub fn expires(&self) -> bool {
        matches!(self.fate, Fate::Expired(_) | Fate::Named)
    }

    /// Whether it is kept because it counts; what is left alone is not.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.fate, Fate::Kept(_))
    }

    /// Whether it is what the component always keeps.
    #[must_use]
    pub fn is_newest(&self) -> bool {
        matches!(&self.fate, Fate::Kept(why) if why.iter().any(|why| matches!(why, Because::Newest { .. })))
    }
}

impl Rules {
    /// Whether nothing is kept but what always is.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.last == 0 && self.within.is_none() && self.periods.values().all(|count| *count == 0)
    }
}

/// Decides on the snapshots of one component, newest first. Without rules everything is kept.
#[must_use]
pub fn decide(
    candidates: &[Candidate],
    rules: Option<&Rules>,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Decision> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|a, b| (b.moment, b.run, &b.name).cmp(&(a.moment, a.run, &a.name)));
    sorted.dedup_by(|a, b| a.name == b.name);
    let counting = |worth: Worth| -> Vec<&Candidate> {
        sorted.iter().copied().filter(|one| one.worth == worth && !is_future(one, now)).collect()
    };
    let (complete, partial) = (counting(Worth::Complete), counting(Worth::Partial));
    let mut fates: BTreeMap<&ObjectName, Fate> = BTreeMap::new();
    for row in [&complete, &partial] {
        let judged = rules.map_or_else(|| keep_all(row), |rules| apply(row, rules, now, zone));
        fates.extend(row.iter().map(|one| &one.name).zip(judged));
    }
    keep_newest(complete.first().copied(), partial.first().copied(), &mut fates);
    let kept = sorted.iter().filter(|one| matches!(fates.get(&one.name), Some(Fate::Kept(_))));
    let oldest = kept.map(|one| one.moment).min();
    let decide = |one: &&Candidate| {
        let fate = fates.get(&one.name).cloned().unwrap_or_else(|| uncounted(one, rules, oldest, now));
        Decision { name: one.name.clone(), run: one.run, moment: one.moment, fate }
    };
    sorted.iter().map(decide).collect()
}

fn is_future(one: &Candidate, now: Timestamp) -> bool {
    one.moment > now.plus(FUTURE_MAX)
}

fn keep_all(row: &[&Candidate]) -> Vec<Fate> {
    row.iter().map(|_| Fate::Kept(vec![Because::NoRules])).collect()
}

/// What rules say to a row of snapshots, newest first.
fn apply(row: &[&Candidate], rules: &Rules, now: Timestamp, zone: &TimeZone) -> Vec<Fate> {
    let mut verdicts: Vec<(Vec<Because>, Vec<Passed>)> = row.iter().map(|_| Default::default()).collect();
    for ((place, one), (kept, passed)) in (1..).zip(row).zip(&mut verdicts) {
        let age = now.since(one.moment);
        if age < rules.minimum_age {
            kept.push(Because::Young { minimum: rules.minimum_age });
        }
        match rules.last {
            0 => {}
            last if place <= last => kept.push(Because::Last { place, of: last }),
            last => passed.push(Passed::Last { of: last }),
        }
        match rules.within {
            None => {}
            Some(within) if age <= within => kept.push(Because::Within { within }),
            Some(within) => passed.push(Passed::Within { within }),
        }
    }
    for (period, count) in rules.periods.iter().filter(|(_, count)| **count > 0) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for (one, (kept, passed)) in row.iter().zip(&mut verdicts) {
            let label = period.label(one.moment, zone);
            if seen.contains(&label) {
                passed.push(Passed::Later { period: *period, label });
            } else if seen.len() < *count as usize {
                seen.insert(label.clone());
                let place = u32::try_from(seen.len()).unwrap_or(u32::MAX);
                kept.push(Because::Period { place, of: *count, period: *period, label });
            } else {
                passed.push(Passed::Full { period: *period, of: *count });
            }
        }
    }
    let fate = |(kept, passed): (Vec<Because>, Vec<Passed>)| {
        if kept.is_empty() { Fate::Expired(passed) } else { Fate::Kept(kept) }
    };
    verdicts.into_iter().map(fate).collect()
}

/// The newest complete one stays whatever the rules say, and so does the newest of all: it is what a restore takes.
fn keep_newest<'c>(
    complete: Option<&'c Candidate>,
    partial: Option<&'c Candidate>,
    fates: &mut BTreeMap<&'c ObjectName, Fate>,
) {
    let newest_partial =
        partial.filter(|one| complete.is_none_or(|whole| (one.moment, one.run) > (whole.moment, whole.run)));
    for (one, whole) in [(complete, true), (newest_partial, false)] {
        let Some(one) = one else { continue };
        let because = Because::Newest { whole };
        match fates.get_mut(&one.name) {
            Some(Fate::Kept(why)) => why.push(because),
            _ => drop(fates.insert(&one.name, Fate::Kept(vec![because]))),
        }
    }
}

/// What becomes of one that takes no place. `oldest` is the moment of the oldest that is kept.
fn uncounted(one: &Candidate, rules: Option<&Rules>, oldest: Option<Timestamp>, now: Timestamp) -> Fate {
    if is_future(one, now) {
        return Fate::Left(Untaken::Future);
    }
    match &one.worth {
        Worth::Nothing(why) => Fate::Left(Untaken::Nothing(why.clone())),
        _ => {
            let outlived = oldest.is_some_and(|oldest| one.moment < oldest);
            let old = rules.is_some_and(|rules| now.since(one.moment) >= rules.minimum_age);
            if outlived && old { Fate::Expired(Vec::new()) } else { Fate::Left(Untaken::Unrecorded) }
        }
    }
}

impl fmt::Display for Decision {
    /// `kept: 3rd of 7 daily, 2026-11-25`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, why) = (self.word(), self.why());
        write!(f, "{word}: {why}")
    }
}
