//! Durations as people write them, `24h`, `15m`, `1d 12h`, and as they read them.

use std::time::Duration;

pub use lifeboat_repo::units::spoken::{promise, show};
use serde::{Deserialize, Deserializer, Serializer};

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: {0:?}; write numbers with d, h, m or s, such as 24h, 15m or 1d 12h")]
pub struct BadSpan(String);

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a duration: whole numbers each with its unit `d`, `h`, `m` or `s`, from large to small, each unit once.
///
/// # Errors
/// It is not of that form, or beyond 2^64 seconds.
pub fn parse(text: &str) -> Result<Duration, BadSpan> {
    let bad = || BadSpan(text.chars().take(40).collect());
    let mut units = UNITS.iter();
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (digits, tail) = rest.split_at(end);
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let letter = tail.chars().next().ok_or_else(bad)?;
        // Asking the same iterator again makes units descend.
        let (_, seconds) = units.find(|(unit, _)| *unit == letter).ok_or_else(bad)?;
        total = number.checked_mul(*seconds).and_then(|n| n.checked_add(total)).ok_or_else(bad)?;
        rest = tail.strip_prefix(letter).unwrap_or_default().trim_start();
    }
    Ok(Duration::from_secs(total))
}

/// Serialises a duration as a number of seconds.
pub(crate) fn seconds<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.as_secs_f64())
}

/// A duration that was written with [`seconds`]; what no duration can be becomes the longest there is.
pub(crate) fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    f64::deserialize(deserializer).map(of_seconds)
}

/// So many seconds. Less than none is none, and what is too long for a duration is the longest there is.
pub(crate) fn of_seconds(seconds: f64) -> Duration {
    if seconds <= 0.0 {
        Duration::ZERO
    } else {
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text| parse(text).map(|span| span.as_secs());
        assert_eq!(seconds("24h"), Ok(86_400));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("2d"), Ok(172_800));
        assert_eq!(seconds(" 1d 12h30m5s "), Ok(131_405));
        assert_eq!(seconds("0s"), Ok(0));
        for bad in ["", "h", "24", "1.5h", "-1h", "1h1h", "5m1h", "1w", "1 h", "99999999999999999999s", "1é"]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse("18446744073709551615d").is_err());
    }
}
