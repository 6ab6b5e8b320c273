//! Records in clear: runs, fences, gc, ledgers with their checkpoints. FORMAT.md §11, §12.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::names::Seq;
use crate::ids::{KeyId, Label, ObjectHash, ObjectName, PackId, RepositoryId, RunId, SegmentId, TenantToken};
use crate::units::{Bytes, Timestamp};

/// `lifeboat.json`: trusted for nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hint {
    /// Always `repository`.
    pub lifeboat: String,
    /// Format version.
    pub format: u32,
    /// Which repository.
    pub repository: RepositoryId,
    /// Where to read about it.
    pub read: String,
}

/// `runs/<writer>/<run>`: a run that may still commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBody {
    /// Format version.
    pub format: u32,
    /// Who runs.
    pub writer: Label,
    /// The run.
    pub run: RunId,
    /// What it backs up; absent unless it is a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Label>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Task::is_backup")]
    pub task: Task,
}

/// What a run does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// It backs up a component and commits at the name of its snapshot.
    #[default]
    Backup,
    /// It copies snapshots into a replica and commits at `replicas/<run>`.
    Replicate,
    /// A maintainer copies live segments or writes an index anew; it commits nothing, and nobody waits for it.
    Maintain,
}

impl Task {
    /// Whether it is a backup. By reference, since serde asks so.
    #[must_use]
    pub fn is_backup(&self) -> bool {
        *self == Self::Backup
    }
}

/// A fence in a snapshot's place: the run can no longer commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBody {
    /// Format version.
    pub format: u32,
    /// The run that is fenced.
    pub fence: RunId,
    /// When.
    pub time: Timestamp,
}

/// `replicas/<run>`: the snapshots that a run copied into a replica. FORMAT.md §14.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaBody {
    /// Format version.
    pub format: u32,
    /// The run that copied.
    pub run: RunId,
    /// Who ran.
    pub writer: Label,
    /// When it committed.
    pub time: Timestamp,
    /// How far the repository was copied.
    pub from: CopiedFrom,
    /// The snapshots that count from here on, with the SHA-256 and length of each.
    pub snapshots: Vec<Recorded>,
}

/// The heads of what a replication copied of the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFrom {
    /// The newest trust.
    pub trust: Head,
    /// The newest entry of every ledger.
    pub heads: BTreeMap<Label, Head>,
}

/// `gc/<seq>`: packs condemned, snapshots expired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcBody {
    /// Format version.
    pub format: u32,
    /// Its number.
    pub seq: Seq,
    /// When.
    pub time: Timestamp,
    /// Packs condemned, for ever.
    pub packs: Vec<PackId>,
    /// Snapshots that count as expired, for ever.
    pub snapshots: Vec<ObjectName>,
    /// Keys that count as expired in a snapshot.
    pub keys: Vec<(ObjectName, KeyId)>,
    /// Index objects condemned, for ever: nothing live was known by them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<ObjectName>,
    /// Segments that snapshots need and that no place has whole any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<SegmentId>,
    /// Commit names of the runs that were not over in a listing made after all earlier records were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Vec<ObjectName>>,
    /// How far locks were extended before this record was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<Locked>,
}

/// Every pack of the normal class that appeared by `until_put` (the store's clock), and that neither this record nor an
/// earlier one condemns, is locked at least until `until`: `["<until_put>","<until>"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked(pub Timestamp, pub Timestamp);

/// `erasures/<seq>/<officer>`: a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureBody {
    /// Format version.
    pub format: u32,
    /// Its number.
    pub seq: Seq,
    /// When.
    pub time: Timestamp,
    /// Tenant keys that are erased, for ever.
    pub keys: Vec<(Label, KeyId)>,
    /// What stands for the tenant, for each writer.
    pub tenants: BTreeMap<Label, TenantToken>,
    /// Whether the tenant is let in again, rather than kept out.
    #[serde(default)]
    pub readmit: bool,
}

/// `ledger/<writer>/<seq>`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerBody {
    /// Format version.
    pub format: u32,
    /// Whose ledger.
    pub writer: Label,
    /// This entry's number.
    pub seq: Seq,
    /// The hash of the entry before.
    pub previous: Option<ObjectHash>,
    /// The run that wrote it.
    pub run: RunId,
    /// What was put since the entry before.
    pub objects: Vec<Recorded>,
    /// The names below `runs/<writer>/` that the entry's run knew of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Census>,
    /// Those of them that may have put, or may still put, what no entry names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenRun>,
    /// In a run's last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

/// A run that has not ended, and how many of its index objects (the first ones) and of its cards (with their keys)
/// entries name: `["<run>",<index objects>,<cards>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRun(pub RunId, pub u32, pub u32);

/// An object as a ledger records it: `["<name>","<SHA-256>",<length>]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded(pub ObjectName, pub ObjectHash, pub Bytes);

/// How the whole repository looked to a writer at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The newest trust.
    pub trust: Head,
    /// The newest officers' seal and the newest writers' seal.
    pub seals: Vec<Recorded>,
    /// The head of every ledger.
    pub heads: BTreeMap<Label, Head>,
    /// All gc records.
    pub gc: Census,
    /// Every snapshot and fence that is not expired.
    pub snapshots: Census,
}

/// The newest of a chain: `[<seq>,"<hash>"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head(pub Seq, pub ObjectHash);

/// How many, and the SHA-256 of their sorted names, each ended by a newline: `[<count>,"<hash>"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census(pub u64, pub ObjectHash);

impl Census {
    /// Counts names; the order they come in does not matter.
    #[must_use]
    pub fn of<'a>(names: impl Iterator<Item = &'a ObjectName>) -> Self {
        let mut names: Vec<&str> = names.map(ObjectName::as_str).collect();
        names.sort_unstable();
        let mut text = String::new();
        for name in &names {
            text.push_str(name);
            text.push('\n');
        }
        Self(names.len() as u64, ObjectHash::from_bytes(crate::crypto::hash::sha256(text.as_bytes())))
    }
}
