//! Verification levels, recovery time and recovery point.
//!
//! | level                                | needs               | proves                                                       |
//! | ------------------------------------ | ------------------- | ------------------------------------------------------------ |
//! | [`inventory`](mod@inventory)         | catalog             | whatever a counting snapshot needs is there with its length  |
//! | [`integrity`](mod@integrity)         | nothing secret      | every byte matches its name, its signature and its ledger    |
//! | [`readback`](mod@readback)           | recovery identity   | segments open and match their chunk ids, manifests hold      |
//! | [`restored`](mod@restored)           | and scratch space   | a restored tree equals its manifests, metadata too           |
//! | [`objective`]                        | and scratch space   | how fast a real restore runs, against the time promised      |
//!
//! A level ends with an [`Outcome`] and [`Finding`]s. Findings name stored objects; [`trace`](trace::trace) adds
//! the snapshots, tenants and paths they hit. What could not be checked is never a pass.

pub mod damage;
pub mod error;
pub mod estate;
pub mod evidence;
pub mod heal;
pub mod history;
pub mod integrity;
pub mod inventory;
pub mod levels;
pub mod loss;
pub mod needs;
pub mod objective;
pub mod readback;
pub mod regions;
pub mod restored;
pub mod sample;
pub mod schedule;
pub mod span;
pub mod trace;
pub mod workers;

mod hidden;
mod holdings;
mod ledgers;
mod manifests;
mod moved;
mod segments;

pub use damage::{Affected, Extent, Finding, Severity, Subject};
pub use error::{VerifyError, VerifyErrorKind};
pub use integrity::{IntegrityReport, integrity};
pub use inventory::{InventoryReport, inventory};
pub use levels::{Level, Outcome};
pub use needs::{Needs, Scope};
pub use readback::{Draw, ReadbackReport, SeedFrom, readback};
pub use restored::{Restoration, RestoredReport, restored};
pub use sample::{Amount, Bound, Seed};
pub use trace::trace;
pub use workers::Threads;

#[cfg(test)]
mod tests;
