//! Snapshots. FORMAT.md §9.

use serde::{Deserialize, Serialize};

use crate::format::index::ChunkRef;
use crate::format::{self, FormatError};
use crate::ids::{KeyId, Label, RunId, SegmentPrefix};
use crate::units::{Bytes, Timestamp};

/// One component at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Format version.
    pub format: u32,
    /// What was backed up.
    pub component: Label,
    /// By whom.
    pub writer: Label,
    /// In which run; also the snapshot's name.
    pub run: RunId,
    /// The run whose snapshot this one was compared with.
    pub parent: Option<RunId>,
    /// How the data was read.
    pub source: SourceNote,
    /// When reading began.
    pub start: Timestamp,
    /// When everything was stored.
    pub end: Timestamp,
    /// The moment up to which the snapshot provably holds data.
    pub recovery_point: Timestamp,
    /// What wrote it.
    pub tool: String,
    /// Whether everything asked for is in it.
    pub status: Status,
    /// Totals.
    pub counts: Counts,
    /// Every tenant's share, sorted by key.
    pub keys: Vec<Share>,
    /// Features a reader must know.
    #[serde(default)]
    pub must: Vec<String>,
}

/// How the data was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceNote {
    /// The kind of source: `files` or `command`.
    pub kind: String,
    /// What holds together in it, in words.
    pub consistency: String,
    /// How many entries were left out as configured; a whole directory counts as one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub excluded: u64,
}

/// Whether a snapshot holds everything its component should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything.
    Complete,
    /// Something could not be read, changed while it was read, or belongs to no declared tenant.
    Partial,
}

/// Totals of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Entries of manifests.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of content.
    pub bytes: Bytes,
    /// Entries that could not be read, and directories that could not be listed.
    pub errors: u64,
    /// Files that kept changing while they were read.
    pub changed: u64,
    /// Entries of no declared tenant.
    pub undeclared: u64,
    /// Entries that were gone when their turn came.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub vanished: u64,
    /// Entries left out, with all below them, because officers had erased their tenant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub erased: u64,
}

impl Counts {
    /// What makes a snapshot partial, in words; nothing where the counts give no reason.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let all = [
            (self.errors, "not readable"),
            (self.changed, "changing while they were read"),
            (self.undeclared, "of no declared tenant"),
            (self.vanished, "gone while it was read"),
            (self.erased, "left out because officers had erased their tenant"),
        ];
        all.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect()
    }
}

/// One tenant's share of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The tenant key.
    pub key: KeyId,
    /// The chunks of its manifest.
    pub manifest: Vec<ChunkRef>,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of content it names.
    pub bytes: Bytes,
    /// The sorted prefixes of every segment it needs, manifest included.
    pub segments: Vec<SegmentPrefix>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Snapshot {
    /// Reads a snapshot's plaintext.
    ///
    /// # Errors
    /// It is not one, or breaks a rule of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let snapshot: Self = format::decode(bytes, "snapshot")?;
        let sorted = snapshot.keys.iter().zip(snapshot.keys.iter().skip(1)).all(|(a, b)| a.key < b.key);
        let prefixes = snapshot
            .keys
            .iter()
            .all(|share| share.segments.iter().zip(share.segments.iter().skip(1)).all(|(a, b)| a < b));
        if sorted && prefixes {
            Ok(snapshot)
        } else {
            Err(FormatError::rule("snapshot", "its keys or segments are not sorted"))
        }
    }

    /// The snapshot's plaintext.
    ///
    /// # Errors
    /// Never; serde cannot know.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        format::encode(self, "snapshot")
    }
}
