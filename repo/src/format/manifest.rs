//! Manifests: one tenant's share of a snapshot, entry by entry. FORMAT.md §10.
//!
//! A line begins with what one `statx` tells, in fixed order: the *head*. So a backup compares the head it
//! would write with the line of last time and copies the line where they agree, without parsing either.

use crate::format::index::ChunkRef;
use crate::units::{Bytes, Timestamp};

mod read;
mod write;

pub use read::{ManifestDecoder, PATH_LEN_MAX, check_path};
pub use write::{encode_entry, has_head, order, write_head, write_head_named, write_tail};

/// The longest manifest line, its newline included: two paths, each byte of them escaped, and what is short.
pub const LINE_MAX: usize = 128 << 10;

// What `printf %b` reads as one byte, `\0ooo`, is six bytes in JSON.
const _: () = assert!(2 * 6 * PATH_LEN_MAX + 4096 < LINE_MAX);

/// Attribute values up to this length stand in the line; longer ones become chunks.
pub const XATTR_INLINE_MAX: usize = 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A regular file, or the first name of one with several.
    File,
    /// Another name of an earlier file.
    Hardlink,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// Something that could not be read.
    Error,
}

impl EntryKind {
    /// What Linux's mode of an entry says that it is.
    #[must_use]
    pub const fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Dir,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o020_000 => Self::Char,
            0o060_000 => Self::Block,
            _ => Self::File,
        }
    }

    /// Its word in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::File => "file",
            Self::Hardlink => "hardlink",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Char => "char",
            Self::Block => "block",
            Self::Error => "error",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Dir,
            Self::File,
            Self::Hardlink,
            Self::Symlink,
            Self::Fifo,
            Self::Socket,
            Self::Char,
            Self::Block,
            Self::Error,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

/// What one `statx` tells of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name, where the host knew it.
    pub user: Option<String>,
    /// The group's name, where the host knew it.
    pub group: Option<String>,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of anything; only compared.
    pub ctime: Timestamp,
    /// The file's number; only compared.
    pub inode: u64,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: XattrValue,
}

/// The value of an extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrValue {
    /// Short: in the line.
    Inline(Vec<u8>),
    /// Long: chunks.
    Chunks(Vec<ChunkRef>),
}

/// A range of a file without content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where it begins.
    pub offset: Bytes,
    /// How long it is.
    pub length: Bytes,
}

/// An entry of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Full path, relative to the component's root; `.` is the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// What `statx` told; default where the entry is an error.
    pub metadata: Metadata,
    /// Length with holes; of files and hardlinks.
    pub size: Bytes,
    /// What the head does not hold.
    pub tail: Tail,
}

/// What a line holds after its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// What a symlink says.
    pub target: Option<Vec<u8>>,
    /// The first name of a hardlinked file.
    pub link: Option<Vec<u8>>,
    /// Extended attributes, ACLs among them.
    pub xattrs: Vec<Xattr>,
    /// Holes, ascending.
    pub holes: Vec<Hole>,
    /// Content, holes left out.
    pub chunks: Vec<ChunkRef>,
    /// Whether it kept changing while it was read.
    pub changed: bool,
    /// Why it could not be read.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests;
