//! Durations as people read them: one form wherever one is shown.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration for people, in at most two units: `0.31 s`, `12 s`, `4 min 5 s`, `23 h 10 min`, `3 d 4 h`.
#[must_use]
pub fn show(span: Duration) -> String {
    const FEW: Duration = Duration::from_secs(10);
    if span < FEW {
        return match span.as_secs_f64() {
            few if few < 0.0005 => "0 s".to_owned(),
            few if few < 1.0 => format!("{few:.2} s"),
            few => format!("{few:.1} s"),
        };
    }
    // A drill of 59.9 s took a minute, not 59 s.
    let seconds = span.as_secs().saturating_add(u64::from(span.subsec_millis() >= 500));
    let (large, large_unit, small, small_unit) = match seconds {
        ..MINUTE => return format!("{seconds} s"),
        MINUTE..HOUR => (seconds / MINUTE, "min", seconds % MINUTE, "s"),
        HOUR..DAY => (seconds / HOUR, "h", seconds % HOUR / MINUTE, "min"),
        _ => (seconds / DAY, "d", seconds % DAY / HOUR, "h"),
    };
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// A promise as people say it: whole hours stay hours (`48 h`, where [`show`] says `2 d`).
#[must_use]
pub fn promise(span: Duration) -> String {
    let seconds = span.as_secs();
    if span.subsec_nanos() == 0 && seconds > 0 && seconds.is_multiple_of(HOUR) && seconds <= 4 * DAY {
        format!("{} h", seconds / HOUR)
    } else {
        show(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_to_two_units() {
        let shown = |millis| show(Duration::from_millis(millis));
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(352), "0.35 s");
        assert_eq!(shown(9_960), "10.0 s");
        assert_eq!(shown(42_000), "42 s");
        assert_eq!(shown(59_900), "1 min");
        assert_eq!(shown(125_000), "2 min 5 s");
        assert_eq!(shown(3_600_000), "1 h");
        assert_eq!(shown(4_980_000), "1 h 23 min");
        assert_eq!(shown(86_400_000 + 7_200_000), "1 d 2 h");
        let promised = |seconds| promise(Duration::from_secs(seconds));
        assert_eq!(promised(2 * DAY), "48 h");
        assert_eq!(promised(30 * DAY), "30 d");
        assert_eq!(promised(900), "15 min");
        assert_eq!(promised(0), "0 s");
    }
}
