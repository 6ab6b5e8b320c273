//! What a long operation tells whoever watches it. Libraries never print; they tell an [`Observer`].

use crate::ids::RunId;
use crate::units::Bytes;

/// Something worth telling while an operation runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// How much there is to do, as far as is known now.
    Planned {
        /// Items (files, objects, segments).
        items: u64,
        /// Bytes of content.
        bytes: Bytes,
    },
    /// Work done since the last such event.
    Progress {
        /// Items finished.
        items: u64,
        /// Bytes of content finished.
        bytes: Bytes,
    },
    /// Another phase began; the text names it.
    Phase(&'static str),
    /// The operation is this run, or works on the snapshot of this run.
    Run(RunId),
    /// Something a person should know although the operation goes on.
    Warning(String),
}

/// Told of [`Event`]s, from any thread. Must be quick: it is called on hot paths.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn tell(&self, event: Event);

    /// Whether the operation should stop as soon as nothing would be lost.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn tell(&self, _event: Event) {}
}
