//! Durations and moments as people write and read them.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use lifeboat_repo::units::{Timestamp, spoken};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// Reads `24h`, `90m`, `1h30m`, `2d`, `1w`, `45s`.
///
/// # Errors
/// Something else; the text says what is allowed.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write numbers with s, m, h, d or w, as in 24h or 1h30m");
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(bad)?;
        let unit = match after.bytes().next() {
            Some(b's') => 1,
            Some(b'm') => MINUTE,
            Some(b'h') => HOUR,
            Some(b'd') => DAY,
            Some(b'w') => WEEK,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(bad)?;
        rest = after.get(1..).unwrap_or_default().trim_start();
    }
    Ok(Duration::from_secs(seconds))
}

/// A duration as people say it, in at most two units: `0.31 s`, `12 s`, `4 min 5 s`, `23 h 10 min`, `3 d 4 h`.
pub(crate) fn show_duration(duration: Duration) -> String {
    spoken::show(duration)
}

/// An objective as its author wrote it: whole hours stay hours (`48 h`, not `2 d`).
pub(crate) fn show_objective(duration: Duration) -> String {
    spoken::promise(duration)
}

/// Reads a moment: `2026-11-23T18:43:39Z`, with any offset; `2026-11-23 18:43` in this machine's zone;
/// `now`; `3h ago`.
///
/// # Errors
/// Something else; the text says what is allowed.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let trimmed = text.trim();
    if trimmed == "now" {
        return Ok(now);
    }
    if let Some(ago) = trimmed.strip_suffix("ago") {
        let ago = parse_duration(ago)?;
        let back = i64::try_from(ago.as_secs()).unwrap_or(i64::MAX);
        return Ok(Timestamp::new(now.seconds().saturating_sub(back), now.nanos()));
    }
    // As `--json` shows moments of files.
    if let Ok(moment) = trimmed.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(moment) = trimmed.parse::<jiff::Timestamp>() {
        return Ok(moment.into());
    }
    let local =
        trimmed.parse::<DateTime>().ok().and_then(|civil| TimeZone::system().to_timestamp(civil).ok());
    local.map(Timestamp::from).ok_or_else(|| {
        format!(
            "{text:?} is no moment; write 2026-11-23T18:43:39Z, 2026-11-23 18:43 (this machine's zone), now, or 3h ago"
        )
    })
}

/// A moment for people: `2026-11-23 18:43 UTC`.
pub(crate) fn show_moment(moment: Timestamp) -> String {
    jiff::Timestamp::from_second(moment.seconds())
        .map_or_else(|_| moment.to_string(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A count with thousands set apart: `12,345`.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 file`, `2 files`.
pub(crate) fn count_of(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", show_count(count), if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let seconds = |text: &str| parse_duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("24h"), Ok(DAY));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(2 * DAY));
        assert_eq!(seconds("1w"), Ok(WEEK));
        assert_eq!(seconds("0s"), Ok(0));
        for bad in
            ["", "24", "h", "1.5h", "-1h", "24 hours", "9999999999999999999h", "18446744073709551615w", "1ä"]
        {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_read() {
        let now = Timestamp::new(1_763_923_456, 7);
        assert_eq!(parse_moment("now", now), Ok(now));
        assert_eq!(parse_moment("1h ago", now), Ok(Timestamp::new(1_763_919_856, 7)));
        assert_eq!(parse_moment("2025-11-23T18:44:16Z", now), Ok(Timestamp::new(1_763_923_456, 0)));
        assert_eq!(parse_moment("2025-11-23T19:44:16+01:00", now), Ok(Timestamp::new(1_763_923_456, 0)));
        assert_eq!(parse_moment("1763923456.000000007", Timestamp::default()), Ok(now));
        assert!(parse_moment("2025-11-23 18:44", now).is_ok());
        assert!(parse_moment("2025-11-23", now).is_ok());
        for bad in ["", "yesterday", "18:44", "2025-13-01", "h ago"] {
            assert!(parse_moment(bad, now).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(show_count(0), "0");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_count(1000), "1,000");
        assert_eq!(show_count(1_234_567), "1,234,567");
        assert_eq!(count_of(1, "file", "files"), "1 file");
    }
}
