//! Which segments a backup stores anew, because too little in them lives.
//!
//! A segment is sealed to a key that whoever collects does not have, so it stays whole as long as anybody needs one
//! chunk of it. Where files change one by one, dead data would stay for ever. So a backup takes what lives in such a
//! segment for absent: it reads those files again and stores their chunks elsewhere. Nothing is freed by that at once,
//! on the contrary: snapshots made before still need the old segment, and until they expire what lived in it is there
//! twice. Rewriting pays where that time is short beside the time in which the segment died.
//!
//! **When.** Take a stream of segments that decay at a constant rate, each rewritten once a share `f` of it lives,
//! `a` after it was written, and needed for another `r` by snapshots. What all of them take, divided by what lives, is
//! `(a + r) / a · −ln f / (1 − f)`, with `a = −ln f / rate`. It is least where `1/f − 1 = (1 + r/a) · −ln f`. A segment
//! is due from there on; its own age and share stand for the rate, so what changes often is treated otherwise than what
//! hardly ever does. The first backup's segments would all be due in the same night, though, and be there twice at
//! once; so what frees two thirds of that is due already, and a bound for each night does the rest.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use lifeboat_repo::units::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

/// How much earlier than it pays best a segment is due, as a factor of what it frees: so segments of one age do not all
/// come at once. Chosen in a simulation, in which what that costs later was lost in the noise.
const EARLY: f64 = 1.5;

/// A share of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// So many of a hundred; nothing beyond a hundred.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// This share of an amount, rounded down.
    #[must_use]
    pub fn of(self, amount: Bytes) -> Bytes {
        let share = u128::from(amount.0) * u128::from(self.0) / 100;
        Bytes(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// How far a backup goes to keep dead data from piling up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewriting {
    /// Only segments of which less than this lives, in bytes that the last snapshot needs. With nothing, none.
    pub below: Percent,
    /// No more than this share of the last snapshot in one backup, or one segment. With nothing, none.
    pub at_most: Percent,
}

impl Rewriting {
    /// Nothing is stored anew.
    pub const OFF: Self = Self { below: Percent(0), at_most: Percent(0) };
}

impl Default for Rewriting {
    /// Simulated and measured (docs/performance.md): what is stored comes near to the least there is for trees of which up
    /// to 2 % changes a night; what is written for that is at most three times what changes, and most often less.
    fn default() -> Self {
        Self { below: Percent(75), at_most: Percent(3) }
    }
}

/// What a walk knows of a segment that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Bytes of it that entries need now; a chunk that several of them need counts several times.
    pub(crate) live: Bytes,
    /// The most it ever was: what it held when it was new.
    pub(crate) most: Bytes,
    /// The start of the first run that needed it.
    pub(crate) since: Timestamp,
}

impl Holding {
    /// Nothing of a segment.
    pub(crate) const NONE: Self = Self { live: Bytes(0), most: Bytes(0), since: Timestamp::new(0, 0) };

    /// What a later walk says, which needs so much of it.
    pub(crate) fn renewed(self, live: Bytes) -> Self {
        Self { live, most: self.most.max(live), since: self.since }
    }

    /// Whether it pays to store anew what lives in it, where snapshots are kept for so long.
    fn is_due(&self, below: Percent, now: Timestamp, kept: Duration) -> bool {
        if self.live == Bytes::ZERO || self.live >= below.of(self.most) {
            return false;
        }
        let share = ratio(self.live, self.most);
        let age = now.since(self.since).as_secs_f64();
        EARLY * (1.0 / share - 1.0) * age >= (age + kept.as_secs_f64()) * -share.ln()
    }

    /// Of which less lives: comes first.
    fn order(&self, other: &Self) -> Ordering {
        let cross = |a: Bytes, b: Bytes| u128::from(a.0) * u128::from(b.0);
        cross(self.live, other.most).cmp(&cross(other.live, self.most))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of two sizes needs no more than 52 bits")]
fn ratio(part: Bytes, whole: Bytes) -> f64 {
    part.0 as f64 / whole.0 as f64
}

/// Whether any segment could be due, however short snapshots are kept.
pub(crate) fn any(holdings: &[Holding], rewriting: Rewriting) -> bool {
    rewriting.at_most > Percent(0)
        && holdings.iter().any(|one| one.live > Bytes::ZERO && one.live < rewriting.below.of(one.most))
}

/// The places of those to store anew, the least live first, where snapshots are kept for so long.
pub(crate) fn victims(
    holdings: &[Holding],
    rewriting: Rewriting,
    now: Timestamp,
    kept: Duration,
) -> Vec<usize> {
    if rewriting.at_most == Percent(0) {
        return Vec::new();
    }
    let mut due: Vec<(usize, &Holding)> =
        holdings.iter().enumerate().filter(|(_, one)| one.is_due(rewriting.below, now, kept)).collect();
    due.sort_by(|(a, one), (b, other)| one.order(other).then(a.cmp(b)));
    let budget = rewriting.at_most.of(holdings.iter().map(|one| one.live).sum());
    let mut taken = Bytes::ZERO;
    let within = |(place, one): (usize, &Holding)| {
        // Where snapshots are small, a segment may be more than their share.
        let fits = taken == Bytes::ZERO || taken + one.live <= budget;
        taken += one.live;
        fits.then_some(place)
    };
    due.into_iter().map_while(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * DAY)
    }

    /// So much of a hundred lives, so many days after it was written.
    fn holding(live: u64, age: u64) -> Holding {
        let since = Timestamp::new(i64::try_from((1000 - age) * DAY).unwrap(), 0);
        Holding { live: Bytes(live * 10_000), most: Bytes(1_000_000), since }
    }

    fn now() -> Timestamp {
        Timestamp::new(i64::try_from(1000 * DAY).unwrap(), 0)
    }

    fn all(below: u8) -> Rewriting {
        Rewriting { below: Percent(below), at_most: Percent(100) }
    }

    #[test]
    fn a_segment_is_due_where_what_it_frees_is_worth_what_it_takes() {
        let due_at = |age: u64, kept: u64| {
            (1..=100).rev().find(|live| holding(*live, age).is_due(Percent(100), now(), days(kept))).unwrap()
        };
        // Snapshots are kept as long as it is old, for less of that and less, and for four times as long.
        assert_eq!([due_at(30, 30), due_at(8, 6), due_at(10, 6), due_at(100, 400)], [57, 74, 88, 12]);
        // Nothing expires, or it is new: nothing is known of how fast it dies.
        assert!(!holding(1, 0).is_due(Percent(100), now(), days(6)));
        // What nobody needs is not stored anew, and what all is needed of neither.
        assert!(!holding(0, 30).is_due(Percent(100), now(), days(6)));
        assert!(!holding(100, 30).is_due(Percent(100), now(), days(0)));
        assert!(holding(49, 300).is_due(Percent(50), now(), days(6)));
        assert!(!holding(50, 300).is_due(Percent(50), now(), days(6)), "less than half");
    }

    #[test]
    fn the_least_live_come_first_and_the_rest_waits() {
        let holdings = [holding(60, 90), holding(20, 90), holding(100, 90), holding(20, 90), holding(40, 90)];
        assert_eq!(victims(&holdings, all(75), now(), days(6)), [1, 3, 4, 0]);
        assert_eq!(victims(&holdings, all(50), now(), days(6)), [1, 3, 4]);
        // 2.4 MB live in all; 0.2 + 0.2 + 0.4 are 33.3 % of that.
        let most = |percent| Rewriting { below: Percent(75), at_most: Percent(percent) };
        assert_eq!(victims(&holdings, most(34), now(), days(6)), [1, 3, 4]);
        assert_eq!(victims(&holdings, most(33), now(), days(6)), [1, 3]);
        assert_eq!(victims(&holdings, most(1), now(), days(6)), [1], "one at least");
        assert_eq!(victims(&holdings, most(0), now(), days(6)), [] as [usize; 0]);
        assert_eq!(victims(&holdings, Rewriting::OFF, now(), days(6)), [] as [usize; 0]);
        assert!(any(&holdings, all(75)) && !any(&holdings, all(20)) && !any(&holdings, Rewriting::OFF));
    }

    #[test]
    fn shares_are_shares() {
        assert_eq!(Percent::new(101), None);
        assert_eq!(Percent::new(50).unwrap().of(Bytes(u64::MAX)), Bytes(u64::MAX / 2));
        let again = holding(50, 3).renewed(Bytes(2_000_000)).renewed(Bytes(7));
        assert_eq!((again.live, again.most, again.since), (Bytes(7), Bytes(2_000_000), holding(50, 3).since));
    }
}
