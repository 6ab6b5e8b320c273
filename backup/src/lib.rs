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
mod command;
mod error;
mod exclude;
pub mod heartbeat;
mod hooks;
mod job;
mod limits;
mod ordinals;
mod pack;
mod pipeline;
mod program;
mod read;
mod report;
mod rewrite;
mod running;
mod seal;
mod source;
mod state;
mod tenants;
#[cfg(feature = "testing")]
pub mod testing;
mod walk;

pub use command::CommandSource;
pub use error::{BackupError, BackupErrorKind};
pub use exclude::{BadExclude, ExcludeRule, Excluded, Excludes};
pub use hooks::{HookFailure, Hooks};
pub use job::{Job, Source, Tree, run};
pub use limits::{Resources, TooLittle};
pub use program::{Environment, Fault, Program, ProgramError};
pub use report::{Problem, ProblemKind, Problems, Report, Rewritten};
pub use rewrite::{Percent, Rewriting};
pub use tenants::{BadPattern, Belongs, TenantRules};
