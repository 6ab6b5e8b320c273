//! Time and randomness, passed in so that tests own them.

use std::time::{Duration, SystemTime};

use crate::units::Timestamp;

/// What was measured or shown longer ago proves little: a drill a quarter is what auditors ask for at least.
pub const PROOF_AGE_MAX: Duration = Duration::from_secs(92 * 24 * 60 * 60);

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The moment it is now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        timestamp_of(SystemTime::now())
    }
}

/// A [`SystemTime`] as a [`Timestamp`]; moments before 1970 keep their sign.
#[must_use]
pub fn timestamp_of(moment: SystemTime) -> Timestamp {
    match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timestamp::default().plus(after),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => Timestamp::new(-seconds, 0),
                nanos => Timestamp::new(-seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

/// Where randomness comes from.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// The source of randomness failed; nothing secret may be made.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The source of randomness failed.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes: {0}")]
pub struct NoEntropy(pub String);

/// The operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(buffer).map_err(|error| NoEntropy(error.to_string()))
    }
}
