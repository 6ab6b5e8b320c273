//! Quantities that cross module boundaries: bytes and moments, never bare integers.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub mod spoken;

/// The largest integer that may stand in a stored object.
///
/// jq and JavaScript hold numbers as binary64; above 2^53 - 1 they round in silence.
pub const STORED_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `n` binary kilobytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` binary megabytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The length of a buffer.
    #[must_use]
    pub const fn of(buffer: &[u8]) -> Self {
        Self(buffer.len() as u64)
    }

    /// The count as a buffer length; saturates on machines with narrow addresses.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Bytes {
    /// Decimal units, one decimal: `207.3 MB`. Fewer than 1,000 are exact: `512 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1000.0;
        let mut unit = "kB";
        for larger in UNITS.iter().skip(1) {
            if value < 999.95 {
                break;
            }
            value /= 1000.0;
            unit = larger;
        }
        f.pad(&format!("{value:.1} {unit}"))
    }
}

/// Bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteRate(pub Bytes);

impl ByteRate {
    /// How long so many bytes take. At a rate of nothing they never come.
    #[must_use]
    pub fn time_for(self, bytes: Bytes) -> Duration {
        let nanos = u128::from(bytes.0) * 1_000_000_000;
        let nanos = nanos.checked_div(u128::from(self.0.0)).unwrap_or(u128::MAX);
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.0))
    }
}

/// How long packs of the short class are locked where nobody says otherwise.
pub const SHORT_PERIOD: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How long packs are locked, in a store with locks: a pack holds data of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockClass {
    /// As long as backups must outlive a break-in that nobody has noticed yet.
    #[default]
    Normal,
    /// Only as long as personal data may stay that no tenant's key covers: it goes by deletion alone.
    Short,
}

impl LockClass {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Normal, Self::Short];

    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Short => "short",
        }
    }

    /// For how long after it was put something new may rely on a pack of this class, whatever was extended since; where
    /// nothing says so, for as long as its lock lasts. Of the short class that is so without locks, too: what goes by
    /// deletion alone must not be held up by what shares its packs.
    #[must_use]
    pub fn relied_on(self, terms: Option<LockTerms>) -> Option<Duration> {
        match self {
            Self::Normal => None,
            Self::Short => {
                let terms = terms.unwrap_or(LockTerms { period: SHORT_PERIOD, floor: SHORT_PERIOD / 2 });
                Some(terms.period.saturating_sub(terms.floor))
            }
        }
    }

    /// Whether it is what goes without saying. By reference, since serde asks so.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

impl fmt::Display for LockClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How long a class is locked, and how much of it must be left for something new to rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTerms {
    /// How long what is put is locked; extended to as much again.
    pub period: Duration,
    /// With less left nothing is deduplicated into it, and it is extended.
    pub floor: Duration,
}

/// A moment in UTC to the nanosecond. Stored as the string `seconds.nnnnnnnnn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// The moment `nanos` (below 10^9; more is clamped) after `seconds` since 1970.
    #[must_use]
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: if nanos < 1_000_000_000 { nanos } else { 999_999_999 } }
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds past [`Self::seconds`].
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// The time from `earlier` to this, or zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.as_nanos() - earlier.as_nanos();
        u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// This moment moved later by `by`; saturates.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let nanos = self.nanos + by.subsec_nanos();
        let carry = i64::from(nanos >= 1_000_000_000);
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        Self {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carry),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// `2026-11-23T18:43:39Z`, or the stored form where the calendar does not reach.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.seconds).map_or_else(|_| self.to_string(), |t| t.to_string())
    }

    fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(moment: jiff::Timestamp) -> Self {
        let nanos = moment.as_nanosecond();
        let seconds = nanos.div_euclid(1_000_000_000);
        let rest = nanos.rem_euclid(1_000_000_000);
        Self::new(i64::try_from(seconds).unwrap_or_default(), u32::try_from(rest).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanos)
    }
}

/// A text that is not `seconds.nnnnnnnnn`.
#[derive(Debug, thiserror::Error)]
#[error("not a timestamp of the form seconds.nnnnnnnnn: {0:?}")]
pub struct BadTimestamp(String);

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let bad = || BadTimestamp(text.chars().take(40).collect());
        let (seconds, nanos) = text.split_once('.').ok_or_else(bad)?;
        // One spelling: no plus, no zeros in front, no negative zero.
        let digits = seconds.strip_prefix('-').unwrap_or(seconds);
        let plain = seconds == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
        if nanos.len() != 9 || !nanos.bytes().all(|b| b.is_ascii_digit()) || !plain {
            return Err(bad());
        }
        Ok(Self { seconds: seconds.parse().map_err(|_| bad())?, nanos: nanos.parse().map_err(|_| bad())? })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_every_nanosecond() {
        for text in ["1763923456.123456789", "0.000000000", "-1.999999999", "253402300799.000000001"] {
            let moment: Timestamp = text.parse().unwrap_or_default();
            assert_eq!(moment.to_string(), text);
        }
        for bad in [
            "1.5",
            "1",
            "",
            "x.000000000",
            "1.00000000x",
            "+1.000000000",
            "-0.000000001",
            "01.000000000",
            "-+1.000000000",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_between_never_goes_negative() {
        let early = Timestamp::new(10, 999_999_999);
        let late = Timestamp::new(12, 1);
        assert_eq!(late.since(early), Duration::new(1, 2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.plus(Duration::new(1, 2)), late);
    }

    #[test]
    fn bytes_read_as_people_write_them() {
        assert_eq!(Bytes(999).to_string(), "999 B");
        assert_eq!(Bytes(207_300_000).to_string(), "207.3 MB");
        assert_eq!(Bytes(999_999).to_string(), "1.0 MB");
    }
}
