//! Reasons, for people and for programs.

use std::fmt;
use std::time::Duration;

use super::{Decision, Fate, Period};

/// Why a snapshot is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Nobody said what may expire.
    NoRules,
    /// It is younger than anything that may expire.
    Young {
        /// The least age.
        minimum: Duration,
    },
    /// It is one of the newest.
    Last {
        /// Which one, from 1.
        place: u32,
        /// Of how many.
        of: u32,
    },
    /// It is the newest of its period.
    Period {
        /// Which period, the newest being 1.
        place: u32,
        /// Of how many.
        of: u32,
        /// What kind of period.
        period: Period,
        /// Which one.
        label: String,
    },
    /// It is young enough.
    Within {
        /// Up to which age all are kept.
        within: Duration,
    },
    /// It is the newest: without it the component might have no backup at all.
    Newest {
        /// Whether it is the newest complete one, or the newest of all and partial.
        whole: bool,
    },
}

/// Why a rule does not keep a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// So many are newer.
    Last {
        /// How many are kept.
        of: u32,
    },
    /// It is older.
    Within {
        /// Up to which age all are kept.
        within: Duration,
    },
    /// A later one is kept of its period.
    Later {
        /// What kind of period.
        period: Period,
        /// Which one.
        label: String,
    },
    /// Of so many later periods one is kept.
    Full {
        /// What kind of period.
        period: Period,
        /// How many.
        of: u32,
    },
}

/// Why a snapshot is left as it is, and takes no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// No ledger names it yet, and it is not older than all that is kept.
    Unrecorded,
    /// It is dated later than the store's clock allows.
    Future,
    /// It does not count.
    Nothing(String),
}

impl Decision {
    /// What becomes of it, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.fate {
            Fate::Kept(_) => "kept",
            Fate::Expired(_) | Fate::Named => "expired",
            Fate::Left(_) => "left",
        }
    }

    /// Why, in words.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.fate {
            Fate::Kept(why) => joined(why),
            Fate::Expired(passed) if passed.is_empty() => {
                "no ledger names it, and it is older than all that is kept".to_owned()
            }
            Fate::Expired(passed) => format!("no rule keeps it: {}", joined(passed)),
            Fate::Named => "by its name".into(),
            Fate::Left(why) => why.to_string(),
        }
    }
}

fn joined<T: fmt::Display>(parts: &[T]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRules => f.write_str("no rule says what may expire"),
            Self::Young { minimum } => write!(f, "younger than the minimum age of {}", span(*minimum)),
            Self::Last { place, of } => write!(f, "{} of the last {of}", ordinal(*place)),
            Self::Period { place, of, period, label } => {
                write!(f, "{} of {of} {period}, {label}", ordinal(*place))
            }
            Self::Within { within } => write!(f, "no older than {}", span(*within)),
            Self::Newest { whole: true } => {
                f.write_str("the newest complete one, always kept: without it nothing might be left")
            }
            Self::Newest { whole: false } => f.write_str("the newest of all, always kept, though partial"),
        }
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last { of } => write!(f, "past the last {of}"),
            Self::Within { within } => write!(f, "older than {}", span(*within)),
            Self::Later { label, .. } => write!(f, "a later one stands for {label}"),
            Self::Full { period, of } => write!(f, "past the newest {of} {}", period.many()),
        }
    }
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecorded => f.write_str("no ledger names it yet; it takes no place"),
            Self::Future => f.write_str(
                "dated later than the store's clock, so it takes no place: look at its writer's clock",
            ),
            Self::Nothing(why) => write!(f, "it takes no place: {why}"),
        }
    }
}

/// `1st`, `2nd`, `3rd`, `11th`.
fn ordinal(place: u32) -> String {
    let suffix = match (place % 10, place % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{place}{suffix}")
}

/// A length of time in the largest unit that divides it: `36 h`, `2 d`, `90 s`.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")];
    let whole = units.iter().find(|(each, _)| seconds >= *each && seconds.is_multiple_of(*each));
    match whole {
        Some((each, unit)) => format!("{} {unit}", seconds.checked_div(*each).unwrap_or_default()),
        None => format!("{seconds} s"),
    }
}
