//! What differs between a snapshot and another, or a directory.
//!
//! Both sides come in the same order and are read side by side, so memory does not grow with them. Content is
//! compared by chunk ids; it is fetched only where two snapshots name it under different tenant keys, and read only
//! where a directory's file may have changed.

use lifeboat_repo::format::manifest::{Entry, EntryKind};
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::Serialize;

use crate::report::Loss;

mod changes;
mod directory;
mod merged;
mod snapshots;

pub use directory::{Against, with_directory};
pub use snapshots::between;

pub(crate) use changes::changes;

/// What of an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// What it is: file, directory, link. Nothing else is compared then.
    Type,
    /// Its bytes, their number included.
    Content,
    /// Permissions, setuid, setgid and sticky included.
    Mode,
    /// User or group, by number.
    Owner,
    /// When it last changed.
    Mtime,
    /// Extended attributes, ACLs among them.
    Xattrs,
    /// Where a symbolic link leads.
    Target,
    /// Which file it is another name of.
    Link,
    /// Which device it stands for.
    Device,
    /// What was a hole is one no more.
    Holes,
}

impl Aspect {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Mtime => "mtime",
            Self::Xattrs => "xattrs",
            Self::Target => "target",
            Self::Link => "link",
            Self::Device => "device",
            Self::Holes => "holes",
        }
    }
}

/// How an entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the new side has it.
    Added,
    /// Only the old side has it.
    Removed,
    /// Both have it; these differ, in order.
    Changed(Vec<Aspect>),
    /// It, or something of it, could not be read on one side: nothing is known. The text says why.
    Unread(String),
}

/// What one side has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What it is; another name of a file is a file.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Length of a file.
    pub size: Bytes,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is; none where only a directory has it.
    pub tenant: Option<Tenant>,
    /// Its path.
    pub path: Vec<u8>,
    /// How it differs.
    pub change: Change,
    /// What the old side has.
    pub old: Option<Side>,
    /// What the new side has.
    pub new: Option<Side>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Entries only the new side has.
    pub added: u64,
    /// Entries only the old side has.
    pub removed: u64,
    /// Entries that both have and that differ.
    pub changed: u64,
    /// Entries of which nothing is known, since one side could not be read.
    pub unread: u64,
    /// Entries that are the same.
    pub same: u64,
    /// Bytes of files only the new side has.
    pub bytes_added: Bytes,
    /// Bytes of files only the old side has.
    pub bytes_removed: Bytes,
    /// Bytes that files whose content changed have now.
    pub bytes_changed: Bytes,
    /// Shares of tenants, or ends of them, that could not be read.
    pub losses: Vec<Loss>,
}

impl Compared {
    /// Whether anything is known to differ.
    #[must_use]
    pub const fn differs(&self) -> bool {
        self.added > 0 || self.removed > 0 || self.changed > 0
    }

    /// Whether everything could be compared.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.unread == 0 && self.losses.is_empty()
    }

    fn count(&mut self, difference: &Difference) {
        let size = |side: &Option<Side>| side.as_ref().map_or(Bytes::ZERO, |side| side.size);
        match &difference.change {
            Change::Added => {
                self.added += 1;
                self.bytes_added += size(&difference.new);
            }
            Change::Removed => {
                self.removed += 1;
                self.bytes_removed += size(&difference.old);
            }
            Change::Changed(aspects) => {
                self.changed += 1;
                if aspects.contains(&Aspect::Content) {
                    self.bytes_changed += size(&difference.new);
                }
            }
            Change::Unread(_) => self.unread += 1,
        }
    }
}

impl Side {
    /// None of an entry that was not read. Bytes are counted with the first name of a file.
    fn of(entry: &Entry) -> Option<Self> {
        let m = &entry.metadata;
        let size = if entry.kind == EntryKind::Hardlink { Bytes::ZERO } else { entry.size };
        (entry.kind != EntryKind::Error).then(|| Self {
            kind: plain_kind(entry.kind),
            mode: m.mode & 0o7777,
            uid: m.uid,
            gid: m.gid,
            mtime: m.mtime,
            size,
        })
    }
}

/// Another name of a file is a file.
pub(crate) fn plain_kind(kind: EntryKind) -> EntryKind {
    if kind == EntryKind::Hardlink { EntryKind::File } else { kind }
}

/// Why nothing can be said of an entry that was not read when it was backed up.
fn not_read(entry: &Entry) -> Option<Change> {
    let why = entry.tail.error.as_deref();
    match entry.kind {
        EntryKind::Error => {
            let why = why.unwrap_or("no reason is given");
            Some(Change::Unread(format!("it could not be read when it was backed up: {why}")))
        }
        _ => why.map(|why| Change::Unread(format!("when it was backed up {why}"))),
    }
}
