//! The backup agent: a source is walked, cut, deduplicated, sealed, packed and committed as a snapshot.
//!
//! ```text
//! walk ──► readers ──► assembler ──► sealers ──► packer ──► store
//!  │ unchanged: copied   │ in order: dedup,        │ compress, seal, open again, compare
//!  └────────────────────►│ manifests, local state  └ segments of about 4 MiB
//! ```
//!
//! Nothing here can open a tenant's data: the agent holds recipients, not identities. Queues are bounded in
//! bytes. What is told as done was confirmed by the store first.

mod assemble;
mod error;
mod job;
mod pack;
mod pipeline;
mod read;
mod seal;
mod source;
mod state;
mod tenants;
mod walk;

pub use error::{BackupError, BackupErrorKind};
pub use job::{Job, Problem, ProblemKind, Problems, Report, run};
pub use tenants::{BadPattern, Belongs, TenantRules};
