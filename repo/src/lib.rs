//! Format, keys, storage and repository of Lifeboat.
//!
//! Floors, from the ground: [`units`], [`ids`], [`clock`], [`observe`], then [`store`] and [`crypto`] (which
//! know nothing of each other), then [`format`](mod@format) (no I/O), then [`repository`]. [`retention`] is pure and
//! stands on ids alone. A module imports only lower floors; a test holds this.

pub mod clock;
pub mod crypto;
pub mod format;
pub mod ids;
pub mod observe;
pub mod repository;
pub mod retention;
pub mod store;
pub mod units;
