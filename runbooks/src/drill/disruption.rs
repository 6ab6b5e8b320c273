//! The simulated disaster: when it struck. The clock of a drill starts there, not when somebody begins to act.

use std::time::Duration;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::units::Timestamp;
use lifeboat_verify::evidence::facts::{How, Moment};

/// When the disaster struck, and how that moment was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disruption {
    /// The moment.
    pub at: Timestamp,
    /// How it was chosen.
    pub how: How,
}

impl Disruption {
    /// A moment that somebody names.
    #[must_use]
    pub const fn given(at: Timestamp) -> Self {
        Self { at, how: How::Given }
    }

    /// A moment drawn in the time before `until`, as likely one as another, by whatever text the seed is: who names the
    /// seed before the backups are made cannot choose a moment that suits them.
    #[must_use]
    pub fn drawn(until: Timestamp, window: Duration, seed: &str) -> Self {
        let from = back(until, window);
        let hash = sha256(seed.as_bytes());
        let number = hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        // To the millisecond, since evidence says no more; the excess of the division is below 2^-20 for any century.
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let at = from.plus(Duration::from_millis(number % millis.max(1)));
        let how = How::Drawn { from: Moment::new(from), to: Moment::new(until), seed: seed.to_owned() };
        Self { at, how }
    }
}

fn back(moment: Timestamp, by: Duration) -> Timestamp {
    let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
    Timestamp::new(moment.seconds().saturating_sub(seconds), moment.nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_drawn_within_its_window_and_again_by_the_same_seed() {
        let until = Timestamp::new(1_800_000_000, 5);
        let window = Duration::from_secs(86_400);
        let mut halves = [0; 2];
        for seed in 0..200 {
            let drawn = Disruption::drawn(until, window, &seed.to_string());
            assert_eq!(drawn, Disruption::drawn(until, window, &seed.to_string()));
            assert!(drawn.at <= until && until.since(drawn.at) <= window);
            halves[usize::from(until.since(drawn.at) > window / 2)] += 1;
        }
        // 100 each on average, with a standard deviation of 7.
        assert!(halves.iter().all(|count| (65..=135).contains(count)), "{halves:?}");
        assert_eq!(Disruption::drawn(until, Duration::ZERO, "x").at, until);
    }
}
