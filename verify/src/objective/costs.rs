//! What a byte, a request and a file cost, told apart from several trials, and how far that can be off.
//!
//! A trial that fetched `b` bytes in `q` requests and made `f` files with `s` streams took
//!
//! ```text
//! t = (b·cb + q·cq + f·cf) · g(s)
//! ```
//!
//! with costs of at least 0 and g = 1 at the stream count that most trials had. They are found by least squares of
//! relative errors, costs and speeds in turn. What is left over is the spread: between repetitions, between kinds of
//! content, and whatever this shape does not catch. It makes the range.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use super::trials::{Trial, Work};
use crate::span;

/// Rounds of costs and speeds in turn: both settle within a few.
const ROUNDS: usize = 20;
/// Steps of one round, each over all three costs.
const STEPS: usize = 100;

/// The 95th percentile of Student's t by degrees of freedom, from 1: so 90 % lie between minus and plus that.
/// Source: tables of the distribution; beyond the last, that of 30 is a little too large, and safe.
const T_95: [f64; 30] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753,
    1.746, 1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711, 1.708, 1.706, 1.703, 1.701, 1.699, 1.697,
];

/// What things cost at one stream count, in seconds each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// A stored byte that is fetched.
    pub byte: f64,
    /// A request to the store.
    pub request: f64,
    /// A file or other entry that is made.
    pub file: f64,
}

/// How fast a restore runs with so many streams.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtStreams {
    /// How many segments are fetched and written at a time.
    pub streams: u32,
    /// The time it takes, as a share of that at the stream count most trials had.
    pub relative: f64,
    /// How many trials that rests on.
    pub trials: u32,
    /// Stored bytes a second that those trials fetched, all in all.
    pub bytes_per_second: f64,
}

/// What several trials come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// What things cost at the stream count most trials had.
    pub costs: Costs,
    /// Every stream count that was tried, ascending.
    pub speeds: Vec<AtStreams>,
    /// How far trials lie from what the costs say: the standard deviation of the logarithm of their ratio.
    pub spread: f64,
    /// Trials beyond those that costs and speeds use up.
    pub freedom: u32,
    /// How many trials there were.
    pub trials: u32,
}

/// Tells costs apart. Nothing where there are too few trials to tell costs and spread.
#[must_use]
pub fn fit(trials: &[Trial]) -> Option<Fit> {
    let rows: Vec<Row> = trials.iter().filter_map(Row::of).collect();
    let counts = counts(&rows);
    let (reference, _) =
        counts.iter().max_by_key(|(streams, count)| (**count, **streams)).map(|(s, c)| (*s, *c))?;
    let mut speeds: BTreeMap<u32, f64> = counts.keys().map(|streams| (*streams, 1.0)).collect();
    let mut costs = [0.0; 3];
    for _ in 0..ROUNDS {
        costs = least_squares(&rows, &speeds);
        speeds = speeds_of(&rows, &costs, reference);
    }
    let used = costs.iter().filter(|cost| **cost > 0.0).count() + counts.len() - 1;
    let freedom = rows.len().checked_sub(used).filter(|freedom| *freedom > 0)?;
    let squares: f64 = rows.iter().map(|row| row.residual(&costs, &speeds).powi(2)).sum();
    let [byte, request, file] = costs;
    let at = |(streams, relative): (&u32, &f64)| {
        let of = |row: &&Row| row.streams == *streams;
        let (bytes, seconds) =
            rows.iter().filter(of).fold((0.0, 0.0), |(b, s), row| (b + row.amounts[0], s + row.seconds));
        let trials = counts.get(streams).copied().unwrap_or_default();
        AtStreams { streams: *streams, relative: *relative, trials, bytes_per_second: bytes / seconds }
    };
    Some(Fit {
        costs: Costs { byte, request, file },
        speeds: speeds.iter().map(at).collect(),
        spread: (squares / freedom as f64).sqrt(),
        freedom: u32::try_from(freedom).unwrap_or(u32::MAX),
        trials: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    })
}

impl Costs {
    /// What bytes, requests and files of so much work cost together, and each.
    #[must_use]
    pub fn of(&self, work: &Work) -> [Duration; 3] {
        let seconds = [
            self.byte * work.fetched.0 as f64,
            self.request * work.requests as f64,
            self.file * work.files as f64,
        ];
        seconds.map(span::of_seconds)
    }

    fn scaled(self, by: f64) -> Self {
        Self { byte: self.byte * by, request: self.request * by, file: self.file * by }
    }

    /// Stored bytes a second where nothing else took time.
    #[must_use]
    pub fn byte_rate(&self) -> Option<Bytes> {
        rate(self.byte).map(Bytes)
    }

    /// Files a second where nothing else took time.
    #[must_use]
    pub fn file_rate(&self) -> Option<u64> {
        rate(self.file)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates"
)]
fn rate(each: f64) -> Option<u64> {
    (each > 0.0).then(|| (1.0 / each) as u64)
}

impl Fit {
    /// The stream count with which a restore is surest to be quick, what things cost with it, and the factor by which
    /// a new restore of that kind is slower or quicker than those say, in 90 of 100 cases at the most.
    #[must_use]
    pub fn best(&self) -> Option<(AtStreams, Costs, f64)> {
        let upper = |at: &AtStreams| at.relative * self.factor(at);
        let at = self.speeds.iter().min_by(|a, b| upper(a).total_cmp(&upper(b))).copied()?;
        Some((at, self.costs.scaled(at.relative), self.factor(&at)))
    }

    /// Spread of a new restore, and of what trials say of it: costs rest on all of them, a speed on its own.
    fn factor(&self, at: &AtStreams) -> f64 {
        let all = f64::from(self.trials.max(1));
        let costs = f64::from(self.trials.saturating_sub(self.freedom)) / all;
        let speed = if at.relative == 1.0 { 0.0 } else { 1.0 / f64::from(at.trials.max(1)) };
        (student(self.freedom) * self.spread * (1.0 + costs + speed).sqrt()).exp()
    }
}

/// How many standard deviations hold 90 of 100 cases, with the spread known from so many degrees of freedom.
#[must_use]
pub(crate) fn student(freedom: u32) -> f64 {
    let at = (freedom.max(1) as usize - 1).min(T_95.len() - 1);
    T_95.get(at).copied().unwrap_or(f64::INFINITY)
}

/// A trial as numbers.
struct Row {
    amounts: [f64; 3],
    streams: u32,
    seconds: f64,
}

impl Row {
    fn of(trial: &Trial) -> Option<Self> {
        let work = &trial.work;
        let amounts = [work.fetched.0 as f64, work.requests as f64, work.files as f64];
        let seconds = trial.transfer.as_secs_f64();
        (seconds > 0.0).then_some(Self { amounts, streams: trial.streams, seconds })
    }

    fn at(&self, costs: &[f64; 3]) -> f64 {
        self.amounts.iter().zip(costs).map(|(amount, cost)| amount * cost).sum()
    }

    fn residual(&self, costs: &[f64; 3], speeds: &BTreeMap<u32, f64>) -> f64 {
        let expected = self.at(costs) * speeds.get(&self.streams).copied().unwrap_or(1.0);
        if expected > 0.0 { (self.seconds / expected).ln() } else { f64::INFINITY }
    }
}

fn counts(rows: &[Row]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.streams).or_default() += 1;
    }
    counts
}

/// The costs, none below 0, with the least sum of squared relative errors: one cost after another is set to what is
/// best beside the others, until nothing changes.
fn least_squares(rows: &[Row], speeds: &BTreeMap<u32, f64>) -> [f64; 3] {
    let scaled: Vec<[f64; 3]> = rows
        .iter()
        .map(|row| row.amounts.map(|x| x * speeds.get(&row.streams).copied().unwrap_or(1.0) / row.seconds))
        .collect();
    let mut costs = [0.0_f64; 3];
    for _ in 0..STEPS {
        for at in 0..3 {
            let own = |row: &[f64; 3]| row.get(at).copied().unwrap_or_default();
            let square: f64 = scaled.iter().map(|row| own(row).powi(2)).sum();
            let miss: f64 = scaled
                .iter()
                .map(|row| own(row) * (1.0 - row.iter().zip(&costs).map(|(x, cost)| x * cost).sum::<f64>()))
                .sum();
            if let Some(cost) = costs.get_mut(at).filter(|_| square > 0.0) {
                *cost = (*cost + miss / square).max(0.0);
            }
        }
    }
    costs
}

/// How much slower or quicker trials with each stream count were than the costs say, against the reference.
fn speeds_of(rows: &[Row], costs: &[f64; 3], reference: u32) -> BTreeMap<u32, f64> {
    let none = BTreeMap::new();
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let (sum, count) = sums.entry(row.streams).or_default();
        *sum += row.residual(costs, &none);
        *count += 1.0;
    }
    let mean = |(sum, count): &(f64, f64)| sum / count;
    let base = sums.get(&reference).map_or(0.0, mean);
    sums.iter()
        .map(|(streams, all)| (*streams, if *streams == reference { 1.0 } else { (mean(all) - base).exp() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(bytes: u64, requests: u64, files: u64, streams: u32, seconds: f64) -> Trial {
        Trial {
            work: Work { bytes: Bytes(bytes * 2), fetched: Bytes(bytes), requests, files },
            streams,
            stratum: String::new(),
            lost: 0,
            transfer: Duration::from_secs_f64(seconds),
        }
    }

    /// Costs of 10 ns a byte, 20 ms a request, 1 ms a file; 8 streams take a fifth of the time of one.
    fn exact() -> Vec<Trial> {
        let speed = |streams| match streams {
            8 => 0.2,
            4 => 0.3,
            _ => 1.0,
        };
        let each = [
            (40_000_000, 10, 50, 8),
            (30_000_000, 9, 900, 8),
            (10_000_000, 80, 300, 8),
            (5_000_000, 3, 2500, 8),
            (20_000_000, 30, 1200, 4),
            (25_000_000, 6, 700, 4),
            (15_000_000, 40, 400, 1),
            (35_000_000, 9, 1500, 1),
        ];
        let cost = |b: u64, q: u64, f: u64| b as f64 * 1e-8 + q as f64 * 0.02 + f as f64 * 1e-3;
        each.iter().map(|(b, q, f, s)| trial(*b, *q, *f, *s, cost(*b, *q, *f) * speed(*s))).collect()
    }

    #[test]
    fn costs_and_speeds_are_told_apart() {
        let found = fit(&exact()).unwrap();
        assert!(found.spread < 1e-3, "{found:?}");
        let (at, costs, factor) = found.best().unwrap();
        assert_eq!((at.streams, at.trials, found.trials, found.freedom), (8, 4, 8, 3));
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 0.01;
        assert!(
            close(costs.byte, 2e-9) && close(costs.request, 4e-3) && close(costs.file, 2e-4),
            "{costs:?}"
        );
        assert!(close(factor, 1.0), "{factor}");
        let one = found.speeds.iter().find(|at| at.streams == 1).unwrap();
        assert!(close(one.relative, 5.0), "{one:?}");
    }

    #[test]
    fn what_trials_disagree_on_widens_the_range() {
        let mut trials = exact();
        for (at, trial) in trials.iter_mut().enumerate() {
            trial.transfer = trial.transfer.mul_f64(if at % 2 == 0 { 1.15 } else { 1.0 / 1.15 });
        }
        let (_, _, factor) = fit(&trials).unwrap().best().unwrap();
        assert!(factor > 1.15, "{factor}");
    }

    #[test]
    fn too_few_trials_tell_nothing() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&exact()[..3]), None);
    }
}
