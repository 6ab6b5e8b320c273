//! A store that takes its time: no more bytes a second than allowed, by the hour.
//!
//! What is allowed belongs to the host, so one [`Throttle`] may stand before several stores, and counts what goes
//! either way. Time comes from a [`Clock`] and waiting from a [`Pause`], so tests own both. A clock that jumps costs
//! or gives the wait of one step at the most, never more.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::{Created, Store, StoreError, Upload};
use crate::clock::Clock;
use crate::ids::ObjectName;
use crate::store::versions::VersionId;
use crate::units::{ByteRate, Bytes, LockClass, Timestamp};

/// What is let through at once. Small, so that a change of the rate is felt soon and nobody waits long unasked.
const STEP: Bytes = Bytes::kib(256);

/// Something that waits.
pub trait Pause: Send + Sync {
    /// Returns after this time, or at once where nobody wants to wait any more.
    fn pause(&self, how_long: Duration);
}

/// How many bytes a second are allowed, by the hour.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// Outside all windows; no limit if nothing is said.
    pub always: Option<ByteRate>,
    /// The first that holds decides.
    pub windows: Vec<Window>,
}

/// Hours of every day in which another rate holds.
#[derive(Debug, Clone)]
pub struct Window {
    /// The first moment.
    pub from: Time,
    /// The first moment after it; before `from` where the window passes midnight.
    pub to: Time,
    /// Whose hours.
    pub zone: TimeZone,
    /// The rate; no limit if nothing is said.
    pub rate: Option<ByteRate>,
}

impl Rates {
    /// Whether there is a limit at any time.
    #[must_use]
    pub fn limit_anything(&self) -> bool {
        self.always.is_some() || self.windows.iter().any(|window| window.rate.is_some())
    }

    /// What is allowed at a moment.
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Option<ByteRate> {
        let inside = self.windows.iter().find(|window| window.holds(moment));
        inside.map_or(self.always, |window| window.rate)
    }
}

impl Window {
    fn holds(&self, moment: Timestamp) -> bool {
        let Ok(moment) = jiff::Timestamp::from_second(moment.seconds()) else { return false };
        let time = self.zone.to_datetime(moment).time();
        if self.from <= self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }
}

/// Holds back whoever would be too fast.
pub struct Throttle {
    rates: Rates,
    clock: Box<dyn Clock>,
    pause: Box<dyn Pause>,
    used: Mutex<Used>,
}

/// How much time is spoken for.
struct Used {
    /// Transfers so far would, at the rates allowed, end this long after `seen`.
    ahead: Duration,
    seen: Timestamp,
}

impl Throttle {
    /// A throttle for these rates.
    pub fn new(rates: Rates, clock: Box<dyn Clock>, pause: Box<dyn Pause>) -> Self {
        let seen = clock.now();
        Self { rates, clock, pause, used: Mutex::new(Used { ahead: Duration::ZERO, seen }) }
    }

    /// Returns when so many bytes may be transferred.
    pub fn wait_for(&self, bytes: Bytes) {
        let mut left = bytes.0;
        while left > 0 {
            let step = left.min(STEP.0);
            left -= step;
            let wait = self.claim(Bytes(step));
            if !wait.is_zero() {
                self.pause.pause(wait);
            }
        }
    }

    /// Claims the time for a step; how long until it is over.
    fn claim(&self, step: Bytes) -> Duration {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        used.ahead = used.ahead.saturating_sub(now.since(used.seen));
        used.seen = now;
        used.ahead = match self.rates.at(now) {
            Some(rate) => used.ahead.saturating_add(rate.time_for(step)),
            None => Duration::ZERO,
        };
        used.ahead
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").field("rates", &self.rates).finish_non_exhaustive()
    }
}

/// A store behind a throttle.
pub struct ThrottledStore {
    inner: Arc<dyn Store>,
    throttle: Arc<Throttle>,
}

impl ThrottledStore {
    /// Puts a throttle before a store.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, throttle: Arc<Throttle>) -> Self {
        Self { inner, throttle }
    }
}

struct ThrottledUpload<'s> {
    inner: Box<dyn Upload + 's>,
    throttle: &'s Throttle,
}

impl Upload for ThrottledUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.throttle.wait_for(Bytes::of(bytes));
        self.inner.write(bytes)
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.finish(name)
    }
}

impl Store for ThrottledStore {
    crate::store::forward_store!([inner]; location barrier expect expect_whole list stat delete now lock_terms
        locked_until lock versioned reinstate probes);

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.create_as(name, bytes, LockClass::Normal)
    }

    fn create_as(&self, name: &ObjectName, bytes: &[u8], class: LockClass) -> Result<Created, StoreError> {
        self.throttle.wait_for(Bytes::of(bytes));
        self.inner.create_as(name, bytes, class)
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.throttle.wait_for(Bytes::of(bytes));
        self.inner.stage(name, bytes)
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        let inner = self.inner.upload()?;
        Ok(Box::new(ThrottledUpload { inner, throttle: &self.throttle }))
    }

    fn upload_as(&self, class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        let inner = self.inner.upload_as(class)?;
        Ok(Box::new(ThrottledUpload { inner, throttle: &self.throttle }))
    }

    /// How much comes is known only afterwards, so that is when the wait is.
    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.read(name, limit)?;
        self.throttle.wait_for(Bytes::of(&bytes));
        Ok(bytes)
    }

    /// Afterwards too: a length that no object has must not be waited for.
    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(name, offset, length, into)?;
        self.throttle.wait_for(length);
        Ok(())
    }

    fn read_version(
        &self,
        name: &ObjectName,
        version: &VersionId,
        limit: Bytes,
    ) -> Result<Vec<u8>, StoreError> {
        let bytes = self.inner.read_version(name, version, limit)?;
        self.throttle.wait_for(Bytes::of(&bytes));
        Ok(bytes)
    }
}
