//! Moments, durations and ratios as evidence spells them: each in one way, so that the same facts are the same bytes.

use std::fmt;
use std::time::Duration;

use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC to the millisecond: `2026-11-27T21:00:00.000Z`, and no other spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(jiff::Timestamp);

/// A text that is not a [`Moment`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a moment of the form 2026-11-27T21:00:00.000Z: {0:?}")]
pub struct BadMoment(String);

impl Moment {
    /// The moment, cut to the millisecond. What no calendar reaches becomes 1970.
    #[must_use]
    pub fn new(moment: Timestamp) -> Self {
        let millis = moment
            .seconds()
            .checked_mul(1000)
            .and_then(|seconds| seconds.checked_add(i64::from(moment.nanos() / 1_000_000)))
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        Self(millis.unwrap_or_default())
    }

    /// The time from `earlier` to this, or zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.as_millisecond().saturating_sub(earlier.0.as_millisecond());
        u64::try_from(millis).map_or(Duration::ZERO, Duration::from_millis)
    }

    /// This moment moved later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self::new(self.timestamp().plus(by))
    }

    /// As the rest of the program holds it.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from(self.0)
    }

    /// `2026-11-27 21:00 UTC`, for people.
    #[must_use]
    pub fn minute(self) -> String {
        let utc = jiff::tz::Offset::UTC.to_datetime(self.0);
        format!("{} {:02}:{:02} UTC", utc.date(), utc.hour(), utc.minute())
    }

    /// `2026-11-27`.
    #[must_use]
    pub fn day(self) -> String {
        jiff::tz::Offset::UTC.to_datetime(self.0).date().to_string()
    }
}

impl From<Timestamp> for Moment {
    fn from(moment: Timestamp) -> Self {
        Self::new(moment)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3}", self.0))
    }
}

impl std::str::FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        let bad = || BadMoment(text.chars().take(40).collect());
        let moment: jiff::Timestamp = text.parse().map_err(|_| bad())?;
        let moment = Self::new(Timestamp::from(moment));
        if moment.to_string() == text { Ok(moment) } else { Err(bad()) }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A duration to the millisecond; a number of seconds in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(Duration);

/// The longest duration that can be said, a million years: what is longer was never measured.
const LONGEST: Duration = Duration::from_secs(31_557_600_000_000);

impl Seconds {
    /// The duration, rounded to the millisecond.
    #[must_use]
    pub fn new(span: Duration) -> Self {
        let nanos = span.min(LONGEST).as_nanos().saturating_add(500_000);
        Self(u64::try_from(nanos / 1_000_000).map_or(LONGEST, Duration::from_millis))
    }

    /// As the rest of the program holds it.
    #[must_use]
    pub const fn span(self) -> Duration {
        self.0
    }

    /// As a number, for drawing.
    #[must_use]
    pub fn number(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// For people: `1 h 23 min`.
    #[must_use]
    pub fn show(self) -> String {
        crate::span::show(self.0)
    }
}

impl From<Duration> for Seconds {
    fn from(span: Duration) -> Self {
        Self::new(span)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole seconds stay whole numbers: jq 1.6 prints 3600.0 in another way than 1.7 does.
        if self.0.subsec_millis() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            // Divided once: seconds and their fraction added up would be rounded twice.
            serializer.serialize_f64(self.0.as_millis() as f64 / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let span = Duration::try_from_secs_f64(number).map_err(de::Error::custom)?;
        Ok(Self::new(span))
    }
}

/// A number without a unit (a share, a factor), to nine decimals. Never infinite, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

/// Nine decimals; the bound of a clean sample of a million is 0.000003.
const DECIMALS: f64 = 1e9;

/// Above this, nine decimals are more than a binary64 holds.
const RATIO_MAX: f64 = 4e6;

impl Ratio {
    /// The number, rounded; what is none or negative becomes 0, what is too large the largest.
    #[must_use]
    pub fn new(number: f64) -> Self {
        let number = if number.is_nan() { 0.0 } else { number.clamp(0.0, RATIO_MAX) };
        Self((number * DECIMALS).round() / DECIMALS)
    }

    /// As a number.
    #[must_use]
    pub const fn number(self) -> f64 {
        self.0
    }

    /// As a percentage for people: `93.5 %`.
    #[must_use]
    pub fn percent(self) -> String {
        format!("{:.1} %", self.0 * 100.0)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::new)
    }
}
