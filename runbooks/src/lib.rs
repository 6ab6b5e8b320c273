//! Runbooks: what people read in a disaster, and the code that reads it too.
//!
//! A book is Markdown with YAML front matter. A fenced `sh` block whose info string goes on with a JSON object is
//! a *step*; other blocks are for people only. So one text is followed on paper and executed in tests, and the two
//! cannot drift apart.

mod book;
pub mod drill;
pub mod lint;
pub mod script;
pub mod success;

pub use book::{Book, BookError, FrontMatter, InDrill, Mode, OnFail, Phase, Step, Told, Variable, Whose};

/// The books that come with Lifeboat: name and text.
pub const BOOKS: &[(&str, &str)] = &[
    ("region-loss", include_str!("../books/region-loss.md")),
    ("database-corruption", include_str!("../books/database-corruption.md")),
    ("ransomware-in-production", include_str!("../books/ransomware-in-production.md")),
    ("lost-recovery-keys", include_str!("../books/lost-recovery-keys.md")),
    ("compromised-agent", include_str!("../books/compromised-agent.md")),
    ("repository-damage", include_str!("../books/repository-damage.md")),
    ("recovery-without-lifeboat", include_str!("../books/recovery-without-lifeboat.md")),
];
