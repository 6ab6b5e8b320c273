//! Samples that nobody could choose, and what a clean one proves.
//!
//! Every segment gets a score: BLAKE3 of its id, keyed with the seed. The sample is the segments with the lowest
//! scores. So each is as likely to be drawn as any other, an auditor can draw the same sample with `b3sum --keyed`,
//! and whoever wrote the segments could not know which would be drawn: the seed is made after a checkpoint was
//! published, with a nonce of the auditor's.

use std::fmt;
use std::str::FromStr;

use lifeboat_repo::ids::{ObjectHash, SegmentId};
use serde::{Serialize, Serializer};

/// The confidence of every bound stated.
pub const CONFIDENCE: f64 = 0.95;

/// What decides which segments are drawn: 32 bytes, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// BLAKE3 of the hash of a ledger entry with a checkpoint, followed by a nonce. Neither whoever wrote the
    /// checkpoint nor whoever brings the nonce can choose it alone.
    #[must_use]
    pub fn from_checkpoint(checkpoint: &ObjectHash, nonce: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(checkpoint.as_bytes()).update(nonce);
        Self(*hasher.finalize().as_bytes())
    }

    /// The first bytes of BLAKE3 of a name, keyed with the seed: names with the lowest are drawn.
    #[must_use]
    pub fn score(&self, name: &[u8]) -> [u8; 8] {
        let hash = blake3::keyed_hash(&self.0, name);
        hash.as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ObjectHash::from_bytes(self.0).fmt(f)
    }
}

/// A text that is not a seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a seed: 64 hexadecimal digits in lower case are expected")]
pub struct BadSeed;

impl FromStr for Seed {
    type Err = BadSeed;

    fn from_str(text: &str) -> Result<Self, BadSeed> {
        text.parse::<ObjectHash>().map(|hash| Self(*hash.as_bytes())).map_err(|_| BadSeed)
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Everything.
    Full,
    /// So many segments, or all if there are fewer.
    Segments(u64),
    /// So many of a hundred segments, rounded up.
    Percent(f64),
}

impl Amount {
    /// How many of a population this is; of a population that is not empty at least one.
    #[must_use]
    pub fn of(self, population: u64) -> u64 {
        let wanted = match self {
            Self::Full => population,
            Self::Segments(count) => count,
            Self::Percent(percent) => share(population, percent),
        };
        wanted.clamp(u64::from(population > 0), population)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, and the caller clamps to the population"
)]
fn share(population: u64, percent: f64) -> u64 {
    (population as f64 * percent / 100.0).ceil() as u64
}

/// The places in `population` of the segments drawn, ascending.
#[must_use]
pub(crate) fn draw(population: &[SegmentId], count: u64, seed: &Seed) -> Vec<usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count >= population.len() {
        return (0..population.len()).collect();
    }
    let score = |id: &SegmentId| *blake3::keyed_hash(&seed.0, id.as_bytes()).as_bytes();
    let mut scored: Vec<([u8; 32], usize)> = population.iter().map(score).zip(0..).collect();
    if count > 0 {
        scored.select_nth_unstable(count - 1);
    }
    let mut drawn: Vec<usize> = scored.into_iter().take(count).map(|(_, at)| at).collect();
    drawn.sort_unstable();
    drawn
}

/// What a sample without a single failure proves of its population.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// At most this share of the population is bad, between 0 and 1.
    pub failure_rate_max: f64,
    /// How sure that is, between 0 and 1.
    pub confidence: f64,
    /// Whether the sample was the whole population: then the rate is no estimate but counted.
    pub exact: bool,
}

impl Bound {
    /// The bound of `sample` clean draws out of `population`; nothing where nothing was drawn.
    ///
    /// If more than a share r of the population were bad, n draws would all be good with probability below
    /// (1 − r)^n (a little less still, since nothing is drawn twice: hypergeometric). That is 5 % at
    /// r = 1 − 0.05^(1/n), so a larger r is ruled out with 95 % confidence. Where n is the whole population the
    /// hypergeometric probability is 0 for any r above 0: no failure means exactly none.
    #[must_use]
    pub fn of_clean(sample: u64, population: u64) -> Option<Self> {
        if sample == 0 {
            return None;
        }
        if sample >= population {
            return Some(Self { failure_rate_max: 0.0, confidence: 1.0, exact: true });
        }
        let failure_rate_max = 1.0 - (1.0 - CONFIDENCE).powf(1.0 / sample as f64);
        Some(Self { failure_rate_max, confidence: CONFIDENCE, exact: false })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exact {
            return f.write_str("every segment was read, so none is bad: this is counted, not estimated");
        }
        let (rate, confidence) = (self.failure_rate_max * 100.0, self.confidence * 100.0);
        write!(f, "with {confidence:.0} % confidence at most {rate:.3} % of the segments are bad")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(count: u32) -> Vec<SegmentId> {
        let id = |n: u32| SegmentId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes());
        (0..count).map(id).collect()
    }

    fn seed(nonce: u32) -> Seed {
        Seed::from_checkpoint(&ObjectHash::from_bytes([7; 32]), &nonce.to_le_bytes())
    }

    #[test]
    fn the_same_seed_draws_the_same_sample() {
        let all = population(1000);
        let drawn = draw(&all, 100, &seed(1));
        assert_eq!(drawn.len(), 100);
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(drawn, draw(&all, 100, &seed(1)));
        assert_ne!(drawn, draw(&all, 100, &seed(2)));
        assert_eq!(seed(1).to_string().parse(), Ok(seed(1)));
        assert!("xyz".parse::<Seed>().is_err());
        assert_eq!(draw(&all, 5000, &seed(1)).len(), 1000);
        assert!(draw(&[], 5, &seed(1)).is_empty() && draw(&all, 0, &seed(1)).is_empty());
    }

    #[test]
    fn a_larger_sample_contains_the_smaller() {
        let all = population(300);
        let (few, more) = (draw(&all, 20, &seed(3)), draw(&all, 50, &seed(3)));
        assert!(few.iter().all(|at| more.contains(at)));
    }

    #[test]
    fn every_segment_is_drawn_about_equally_often() {
        let all = population(50);
        let mut times = [0_u32; 50];
        for nonce in 0..2000 {
            for at in draw(&all, 10, &seed(nonce)) {
                times[at] += 1;
            }
        }
        // Each is drawn 400 times on average with a standard deviation of 17.9; five of them either way.
        assert!(times.iter().all(|n| (310..=490).contains(n)), "{times:?}");
    }

    #[test]
    fn amounts_round_up_and_never_exceed() {
        assert_eq!(Amount::Percent(1.0).of(1), 1);
        assert_eq!(Amount::Percent(1.0).of(101), 2);
        assert_eq!(Amount::Percent(0.0).of(10), 1);
        assert_eq!(Amount::Percent(f64::NAN).of(10), 1);
        assert_eq!(Amount::Percent(1e9).of(10), 10);
        assert_eq!(Amount::Segments(7).of(5), 5);
        assert_eq!(Amount::Full.of(5), 5);
        assert_eq!(Amount::Full.of(0), 0);
        assert_eq!(Amount::Segments(3).of(0), 0);
    }

    #[test]
    fn bounds_are_what_the_formula_says() {
        let bound = Bound::of_clean(59, 1000).unwrap();
        // The rule of three's better half: 59 clean draws rule out 5 %.
        assert!(bound.failure_rate_max < 0.05 && bound.failure_rate_max > 0.049, "{bound:?}");
        assert!((Bound::of_clean(1, 2).unwrap().failure_rate_max - 0.95).abs() < 1e-12);
        assert!((Bound::of_clean(299, 10_000).unwrap().failure_rate_max - 0.009_969).abs() < 1e-5);
        assert_eq!(
            Bound::of_clean(10, 10).map(|bound| (bound.failure_rate_max, bound.exact)),
            Some((0.0, true))
        );
        assert_eq!(Bound::of_clean(0, 10), None);
        assert_eq!(Bound::of_clean(0, 0), None);
    }
}
