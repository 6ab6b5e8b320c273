//! Collection: what no snapshot needs any more goes, by a plan first and a sweep later. FORMAT.md §11.
//!
//! [`survey`] reads a repository and makes a [`Plan`] that can be printed; nothing is changed. [`condemn`] copies what
//! is live in it, as stored, and puts a gc record. [`sweep`] finishes whatever records are due, whoever put them: it
//! copies what turned out to be live and deletes the rest. All of it may be cut off anywhere, and anybody may go on.
//!
//! Clocks decide when, never whether: a pack goes only after every run that may not have seen its record is over.

mod beats;
mod condemn;
mod held;
mod live;
mod moving;
mod plan;
mod states;
mod sweep;
mod tally;
mod unnamed;
mod waiting;

use std::time::Duration;

pub use condemn::{Condemnation, condemn};
pub use live::Live;
pub use plan::{CondemnedPack, LeftOut, Plan, Reason, WhyLeft};
pub use states::OldState;
pub use sweep::{Deleted, Leftovers, Locked, Swept, sweep};
pub use tally::{PackAge, Tally, survey};
pub use waiting::{Waiting, WaitsFor};

use crate::units::Bytes;

/// When and how much is collected. Ages are measured on the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// A pack that is younger is not condemned: a run that is not over may still name it.
    pub pack_age_min: Duration,
    /// A record that is younger is not swept: whoever reads by an older listing has so long to finish.
    pub plan_age_min: Duration,
    /// A run that is older is ended where it is waited for.
    pub run_age_max: Duration,
    /// From which share of dead bytes on a pack is condemned.
    pub dead_share: Percent,
    /// So much is copied in one go; the deadest packs come first.
    pub copy_max: Bytes,
}

/// Hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct Percent(pub u8);

impl Percent {
    /// How much `part` is of `whole`, rounded down; of nothing it is all.
    #[must_use]
    pub fn of(part: Bytes, whole: Bytes) -> Self {
        let hundredths = u128::from(part.0).saturating_mul(100).checked_div(u128::from(whole.0));
        Self(hundredths.map_or(100, |share| u8::try_from(share.min(100)).unwrap_or(100)))
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} %", self.0))
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Knobs {
    fn default() -> Self {
        Self {
            // A run names its packs in an index object after every 64 of them; so long that takes over no network.
            pack_age_min: DAY.saturating_mul(3),
            plan_age_min: DAY.saturating_mul(7),
            run_age_max: DAY.saturating_mul(7),
            // Three bytes are copied to free one, and take space until what was condemned goes: docs/performance.md.
            dead_share: Percent(25),
            copy_max: Bytes(64 << 30),
        }
    }
}

/// What was copied, as stored, into new packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Segments.
    pub segments: u64,
    /// Their stored length.
    pub bytes: Bytes,
    /// The packs they went into.
    pub packs: u64,
}
