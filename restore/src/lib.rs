//! Restore: choose a snapshot, plan what to fetch and where it goes, perform it, look inside.
//!
//! [`choose`](mod@choose) picks a snapshot; [`plan`](mod@plan) reads the manifests of the shares asked for and
//! says what there is to do, without touching anything; [`perform`](mod@perform) fetches every segment once, in
//! pack order, and fans its chunks out to files beneath an empty target; [`shard`](mod@shard) divides a plan among
//! processes. [`list`](mod@list) shows entries,
//! [`find`](mod@find) searches many snapshots at once, [`cat`](mod@cat) gives one file, [`diff`] compares a snapshot
//! with another or with a directory.
//!
//! Invariants: every chunk is compared with its id before it is written; nothing outside the target is ever
//! written, whatever a manifest says and whatever somebody does to the target meanwhile; what cannot be restored
//! is named as a [`Loss`] and does not stop the rest.

pub mod cat;
pub mod changes;
pub mod choose;
pub mod diff;
pub mod error;
pub mod find;
pub mod glob;
pub mod ids;
pub mod list;
pub mod perform;
pub mod plan;
pub mod report;
pub mod select;
pub mod shard;

mod content;
mod disk;
mod shares;
#[cfg(test)]
mod testing;
mod tree;
mod work;

pub use cat::cat;
pub use changes::Changes;
pub use choose::{Choice, Chosen, choose};
pub use error::{RestoreError, RestoreErrorKind};
pub use find::find;
pub use ids::IdMap;
pub use list::list;
pub use perform::{InPlace, Options, Sharded, perform, preview, sharded};
pub use plan::{Plan, plan};
pub use report::{Finding, Loss, Report, Severity, Status};
pub use select::Selection;
pub use shard::Shard;
