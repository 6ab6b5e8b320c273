//! A store whose time is reckoned, not passed: what each operation costs is drawn by a seed.
//!
//! Reading takes a latency, which now and then is long, and the transfer; making a file takes the disk. How much of that
//! goes on at a time depends on the number of streams, and how busy store and disk are changes from restore to restore.
//! All of it is summed, so threads and machine change nothing.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::store::{Store, StoreError};
use lifeboat_repo::units::Bytes;
use lifeboat_verify::objective::Stopwatch;

/// What things cost.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Until the first byte of a read comes, usually.
    pub latency: Duration,
    /// Bytes a second of one stream.
    pub stream: f64,
    /// Bytes a second of all together.
    pub line: f64,
    /// A file or other entry.
    pub file: Duration,
    /// How many files are made at a time at the most.
    pub disk: f64,
    /// How much busier or idler store and disk are from restore to restore: a standard deviation of the logarithm.
    pub weather: f64,
}

/// What was read and made by one restore, and when in the order of restores.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Every read: where, and how much.
    pub reads: Vec<(String, u64, u64)>,
    /// Files and other entries made.
    pub items: u64,
}

/// Reckons the time.
#[derive(Debug)]
pub struct Pace {
    seed: u64,
    costs: Costs,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    before: Duration,
    restores: u64,
    streams: usize,
    done: Done,
}

impl Pace {
    /// A world of its own for each seed.
    #[must_use]
    pub fn new(seed: u64, costs: Costs) -> Arc<Self> {
        Arc::new(Self { seed, costs, state: Mutex::new(State { streams: 1, ..State::default() }) })
    }

    /// What was read and made since the number of streams was told last.
    #[must_use]
    pub fn done(&self) -> Done {
        self.lock().done.clone()
    }

    /// How long all this takes as the `restore`-th restore with so many streams.
    #[must_use]
    pub fn time_of(&self, done: &Done, restore: u64, streams: usize) -> Duration {
        let streams = streams as f64;
        let mut latency = 0.0;
        let mut bytes = 0.0;
        // Threads read in any order, and sums of fractions depend on it.
        let mut reads = done.reads.clone();
        reads.sort();
        for (name, offset, length) in &reads {
            let at = hash(self.seed, name.as_bytes(), *offset);
            // One read in a hundred waits for a disk that was asleep.
            let slow = if at.is_multiple_of(100) { 10.0 } else { 1.0 };
            latency += self.costs.latency.as_secs_f64() * slow * (0.8 * normal(at) - 0.32).exp();
            bytes += *length as f64;
        }
        let line = (bytes / self.costs.line).max(bytes / self.costs.stream / streams);
        let files = done.items as f64 * self.costs.file.as_secs_f64() / streams.min(self.costs.disk);
        let weather =
            |of: u64| (self.costs.weather * normal(hash(self.seed, b"weather", restore * 2 + of))).exp();
        Duration::from_secs_f64((latency / streams + line) * weather(0) + files * weather(1))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, name: &ObjectName, offset: u64, length: u64) {
        self.lock().done.reads.push((name.to_string(), offset, length));
    }
}

impl Stopwatch for Pace {
    fn read(&self) -> Duration {
        let state = self.lock();
        state.before + self.time_of(&state.done, state.restores, state.streams)
    }

    fn streams(&self, streams: NonZeroUsize) {
        let mut state = self.lock();
        let took = self.time_of(&state.done, state.restores, state.streams);
        state.before += took;
        state.restores += 1;
        state.streams = streams.get();
        state.done = Done::default();
    }
}

impl Observer for Pace {
    fn tell(&self, event: Event) {
        if let Event::Progress { items, .. } = event {
            self.lock().done.items += items;
        }
    }
}

/// A store at that pace. Only reading takes time.
pub struct PacedStore {
    inner: Arc<dyn Store>,
    pace: Arc<Pace>,
}

impl PacedStore {
    /// Puts a pace before a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

impl Store for PacedStore {
    lifeboat_repo::store::forward_store!([inner]; location create create_as stage upload upload_as barrier list stat delete
        now lock_terms locked_until lock versioned read_version reinstate probes);

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.read(name, limit)?;
        self.pace.read(name, 0, bytes.len() as u64);
        Ok(bytes)
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(name, offset, length, into)?;
        self.pace.read(name, offset.0, length.0);
        Ok(())
    }
}

/// Numbers that look random and are the same every time.
#[derive(Debug, Clone, Copy)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next, between 0 and 1.
    pub fn share(&mut self) -> f64 {
        self.draw() as f64 / u64::MAX as f64
    }

    /// About this, though at times many times more or less: the logarithm is normal with this deviation.
    pub fn about(&mut self, middle: f64, deviation: f64) -> f64 {
        middle * (deviation * normal(self.draw())).exp()
    }
}

fn hash(seed: u64, text: &[u8], number: u64) -> u64 {
    let folded = text.iter().fold(seed, |state, byte| mix(state ^ u64::from(*byte)));
    mix(folded ^ mix(number))
}

fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number of a normal distribution: the sum of twelve uniform ones, which is near enough.
fn normal(from: u64) -> f64 {
    (0..12_u64)
        .map(|n| mix(from.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n))) as f64 / u64::MAX as f64)
        .sum::<f64>()
        - 6.0
}
