//! Restores that were done and timed, and the work they did.

use std::iter::Sum;
use std::num::NonZeroUsize;
use std::ops::Add;
use std::time::{Duration, Instant};

use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use crate::span;

/// How much a restore has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Bytes of content that are written.
    pub bytes: Bytes,
    /// Stored bytes that are fetched.
    pub fetched: Bytes,
    /// Requests: segments that are fetched.
    pub requests: u64,
    /// Files and other entries that are made.
    pub files: u64,
}

/// A restore that was done and timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// What it did.
    pub work: Work,
    /// How many segments were fetched and written at a time.
    pub streams: u32,
    /// What was restored, in words: `files of about 12 kB`.
    pub stratum: String,
    /// Paths that could not be restored.
    pub lost: u64,
    /// Fetching, writing, and waiting for the disk.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub transfer: Duration,
}

/// Tenants of about one size, and how much of them was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stratum {
    /// Which, in words: `the largest tenant`, `tenants of up to 1.0 MB`.
    pub name: String,
    /// How many tenants it has.
    pub tenants: u64,
    /// What they have.
    pub bytes: Bytes,
    /// In how many files.
    pub files: u64,
    /// How much of that is in the sample.
    pub drawn_bytes: Bytes,
    /// In how many files.
    pub drawn_files: u64,
}

/// Everything that was measured of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurements {
    /// Each restore.
    pub trials: Vec<Trial>,
    /// What a restore of the whole component does.
    pub full: Work,
    /// Whether each trial restored the whole component.
    pub whole: bool,
    /// What the sample was drawn from; empty where the whole was restored.
    pub strata: Vec<Stratum>,
    /// Choosing a snapshot, reading index and manifests, of the whole component.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub planning: Duration,
}

impl Measurements {
    /// What all trials restored together; of a component restored whole more than once, what one did.
    #[must_use]
    pub fn restored(&self) -> Work {
        if self.whole {
            return self.trials.first().map(|trial| trial.work).unwrap_or_default();
        }
        self.trials.iter().map(|trial| trial.work).sum()
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            fetched: self.fetched + other.fetched,
            requests: self.requests.saturating_add(other.requests),
            files: self.files.saturating_add(other.files),
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), Add::add)
    }
}

/// What times trials.
pub trait Stopwatch: Sync {
    /// The time since some moment that stays the same.
    fn read(&self) -> Duration;

    /// Told before a restore with so many streams begins.
    fn streams(&self, _streams: NonZeroUsize) {}
}

/// The machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Stopwatch for Monotonic {
    fn read(&self) -> Duration {
        self.0.elapsed()
    }
}
