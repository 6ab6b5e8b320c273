//! What every parser must hold to, whatever bytes it is given: one function a parser.
//!
//! The fuzzer (`tests/fuzz`) runs these on bytes it makes up, the suite (`tests/tests/corpora.rs`) on the corpora.
//! Each says whether the parser took the bytes, and panics where a rule is broken: what was taken must come back
//! the same when it is written and read again, and nothing may be given out beyond its limit. Memory and time
//! are watched from outside.

mod forms;
mod sealed;

pub use sealed::IDENTITY;

/// Looks at one input; whether the parser took it.
pub type Target = fn(&[u8]) -> bool;

/// Every parser of stored, configured or written text, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("age", sealed::age),
    ("age-edits", sealed::age_edits),
    ("book", forms::book),
    ("card", forms::card),
    ("footer", forms::footer),
    ("gc", forms::gc),
    ("identities", sealed::identities),
    ("index", forms::index),
    ("key", forms::key),
    ("ledger", forms::ledger),
    ("manifest", forms::manifest),
    ("names", forms::names),
    ("run", forms::run),
    ("seal", forms::seal),
    ("signed", sealed::signed),
    ("snapshot", forms::snapshot),
    ("state", forms::state),
    ("table", forms::table),
    ("text", forms::text),
    ("trust", forms::trust),
    ("zstd", sealed::zstd),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
