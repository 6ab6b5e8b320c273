//! When a drill has succeeded: what a book's `success` says, as conditions that measurements decide.
//!
//! ```text
//! success    = condition *( " and " condition )
//! condition  = measure ( "<=" / "<" / "=" ) value  /  number counted
//! measure    = "rto" / "rpo" / "canary gap"                          value: a duration, such as 24h
//! counted    = "failed steps" / "lost paths" / "lost records" / "holes" / "digest mismatches" / "undetected faults"
//! ```
//!
//! `0 digest mismatches` is the same as `digest mismatches = 0`. What was not measured decides nothing: the condition is
//! unknown, and a drill with an unknown condition has not succeeded.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lifeboat_verify::span;

/// What is measured in a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// From the disruption until all is back.
    Rto,
    /// How much time of data is lost, at the most.
    Rpo,
    /// From the newest canary in what was restored to the disruption, at the most.
    CanaryGap,
    /// Steps that failed.
    FailedSteps,
    /// Paths that could not be restored.
    LostPaths,
    /// Records that counters say are missing.
    LostRecords,
    /// Canaries missing below the newest.
    Holes,
    /// Restored content that is not what was backed up.
    DigestMismatches,
    /// Planted faults that nothing caught.
    UndetectedFaults,
}

const MEASURES: [(Measure, &str); 9] = [
    (Measure::Rto, "rto"),
    (Measure::Rpo, "rpo"),
    (Measure::CanaryGap, "canary gap"),
    (Measure::FailedSteps, "failed steps"),
    (Measure::LostPaths, "lost paths"),
    (Measure::LostRecords, "lost records"),
    (Measure::Holes, "holes"),
    (Measure::DigestMismatches, "digest mismatches"),
    (Measure::UndetectedFaults, "undetected faults"),
];

/// How much was measured, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Amount {
    /// Of time.
    Time(Duration),
    /// Of things.
    Count(u64),
}

/// How a measurement must stand to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Less.
    Below,
    /// Not more.
    AtMost,
    /// The same.
    Equal,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What is measured.
    pub measure: Measure,
    /// How it must stand.
    pub relation: Relation,
    /// To what.
    pub value: Amount,
}

/// All conditions of a book; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success(Vec<Condition>);

/// What a measurement says of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It holds.
    Met,
    /// It does not.
    Missed,
    /// Nothing was measured.
    Unknown,
}

/// A text that is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no condition: {why}")]
pub struct BadCondition {
    /// The text.
    pub found: String,
    /// What is wrong with it.
    pub why: String,
}

impl Success {
    /// Reads what a book says.
    ///
    /// # Errors
    /// A part of it is no condition.
    pub fn parse(text: &str) -> Result<Self, BadCondition> {
        text.split(" and ").map(|part| Condition::parse(part.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// The conditions, in order.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, BadCondition> {
        let bad = |why: String| BadCondition { found: text.chars().take(60).collect(), why };
        let (measure, relation, value) = split(text).ok_or_else(|| {
            bad("write `rto <= 24h` or `0 digest mismatches`, more of them with `and` between".into())
        })?;
        let measure = Measure::parse(measure).ok_or_else(|| {
            let known: Vec<&str> = MEASURES.iter().map(|(_, name)| *name).collect();
            bad(format!("what can be measured is {}", known.join(", ")))
        })?;
        let value = if measure.is_time() {
            Amount::Time(span::parse(value).map_err(|error| bad(error.to_string()))?)
        } else {
            Amount::Count(value.parse().map_err(|_| bad(format!("{value:?} is no number")))?)
        };
        Ok(Self { measure, relation, value })
    }

    /// What measurements say of it.
    #[must_use]
    pub fn decide(&self, measured: &BTreeMap<Measure, Amount>) -> Decision {
        let Some(found) = measured.get(&self.measure) else { return Decision::Unknown };
        let holds = match self.relation {
            Relation::Below => found < &self.value,
            Relation::AtMost => found <= &self.value,
            Relation::Equal => found == &self.value,
        };
        if holds { Decision::Met } else { Decision::Missed }
    }
}

/// Measure, relation and value of a condition in either of its forms.
fn split(text: &str) -> Option<(&str, Relation, &str)> {
    for (sign, relation) in [("<=", Relation::AtMost), ("<", Relation::Below), ("=", Relation::Equal)] {
        if let Some((measure, value)) = text.split_once(sign) {
            return Some((measure.trim(), relation, value.trim()));
        }
    }
    let (count, counted) = text.split_once(' ')?;
    count.bytes().all(|b| b.is_ascii_digit()).then_some((counted.trim(), Relation::Equal, count))
}

impl Measure {
    fn parse(text: &str) -> Option<Self> {
        MEASURES.iter().find(|(_, name)| *name == text).map(|(measure, _)| *measure)
    }

    /// Whether it is a time; otherwise it is a count.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Rto | Self::Rpo | Self::CanaryGap)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(MEASURES.iter().find(|(measure, _)| measure == self).map_or("", |(_, name)| name))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => f.pad(&span::promise(*time)),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.relation {
            Relation::Below => "<",
            Relation::AtMost => "<=",
            Relation::Equal => "=",
        };
        write!(f, "{} {sign} {}", self.measure, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_decided_by_what_was_measured() {
        let success = Success::parse("canary gap <= 15m and 0 digest mismatches and rto < 24h").unwrap();
        let hour = Duration::from_secs(3600);
        let measured = |gap: u64, mismatches: u64, rto: Duration| {
            BTreeMap::from([
                (Measure::CanaryGap, Amount::Time(Duration::from_secs(gap))),
                (Measure::DigestMismatches, Amount::Count(mismatches)),
                (Measure::Rto, Amount::Time(rto)),
            ])
        };
        let decide = |measured: &BTreeMap<Measure, Amount>| -> Vec<Decision> {
            success.conditions().iter().map(|condition| condition.decide(measured)).collect()
        };
        use Decision::{Met, Missed, Unknown};
        assert_eq!(decide(&measured(900, 0, hour)), [Met, Met, Met]);
        assert_eq!(decide(&measured(901, 1, hour * 24)), [Missed, Missed, Missed]);
        let mut partly = measured(1, 0, hour);
        partly.remove(&Measure::CanaryGap);
        assert_eq!(decide(&partly), [Unknown, Met, Met]);
        assert_eq!(success.conditions()[1].to_string(), "digest mismatches = 0");
    }

    #[test]
    fn what_nobody_could_decide_is_refused() {
        for text in [
            "",
            "all is well",
            "rto <= soon",
            "rto <= 24h and",
            "mistakes = 0",
            "holes = few",
            "0",
            "rto > 1h",
        ] {
            assert!(Success::parse(text).is_err(), "{text:?}");
        }
    }
}
