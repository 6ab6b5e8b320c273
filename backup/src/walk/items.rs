//! What the walk hands on: batches of items, each a finished line or work for a reader.

use std::ffi::CString;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lifeboat_repo::crypto::{ChunkIdKey, Chunker, ChunkerParams, ChunkingKey};
use lifeboat_repo::format::manifest::{self, EntryKind, Tail, Xattr, XattrValue};
use lifeboat_repo::repository::agent::Card;
use lifeboat_repo::repository::index::SegmentNumber;
use lifeboat_repo::units::Bytes;

use crate::source::{Attributes, Stat};

/// Files above this are streamed rather than read whole.
pub(crate) const STREAMED_ABOVE: Bytes = Bytes::mib(1);

/// A tenant key ready to cut and name chunks.
pub(crate) struct TenantKeys {
    /// Its place among the tenants of this run.
    pub(crate) ordinal: u32,
    pub(crate) card: Arc<Card>,
    pub(crate) k_id: ChunkIdKey,
    pub(crate) data: Chunker,
    pub(crate) manifest: Chunker,
}

impl TenantKeys {
    pub(crate) fn new(ordinal: u32, card: Arc<Card>) -> Self {
        let cut = ChunkingKey::from_bytes(card.k_chunk);
        Self {
            ordinal,
            k_id: ChunkIdKey::from_bytes(card.k_id),
            data: Chunker::new(&cut, ChunkerParams::DATA),
            manifest: Chunker::new(&cut, ChunkerParams::MANIFEST),
            card,
        }
    }
}

/// A file to be read.
pub(crate) struct FileWork {
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) dir: Arc<OwnedFd>,
    pub(crate) name: CString,
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
    /// Whether it looks as it did, and is read only so that its chunks are stored in another segment.
    pub(crate) settled: bool,
}

/// What the walk found.
pub(crate) enum Item {
    /// Entries that look as they did.
    Same(Same),
    /// A finished line with the segments it needs.
    Ready(ReadyLine),
    /// A line whose large attributes must be stored first.
    Attributes(AttributesWork),
    /// A file to be read.
    File(FileWork),
}

/// Entries that look as they did, one after another as the last walk left them.
pub(crate) struct Same {
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) block: Arc<Vec<u8>>,
    pub(crate) range: Range<usize>,
    /// The place of the first of them in the base, where they came from there.
    pub(crate) base: Option<u64>,
    pub(crate) entries: u64,
    pub(crate) files: u64,
    pub(crate) bytes: Bytes,
}

/// A finished line.
pub(crate) struct ReadyLine {
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) path: Vec<u8>,
    pub(crate) line: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) size: Bytes,
    pub(crate) stable: bool,
    /// The segments it needs, and how many bytes of each; one may stand there several times.
    pub(crate) needs: Vec<(SegmentNumber, Bytes)>,
}

/// An entry without content whose attributes are yet to be cut.
pub(crate) struct AttributesWork {
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) path: Vec<u8>,
    pub(crate) stat: Stat,
    pub(crate) tail: Tail,
    pub(crate) attributes: Attributes,
}

/// Items in order, and their number.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) items: Vec<Item>,
}

impl ReadyLine {
    /// The line of something that cannot be read.
    pub(crate) fn broken(keys: Arc<TenantKeys>, path: Vec<u8>, why: String) -> Self {
        let mut line = Vec::new();
        manifest::write_head(&mut line, &path, EntryKind::Error, &manifest::Metadata::default(), Bytes::ZERO);
        manifest::write_tail(&mut line, 0, &Tail { error: Some(why), ..Tail::default() });
        Self { keys, path, line, kind: EntryKind::Error, size: Bytes::ZERO, stable: false, needs: Vec::new() }
    }
}

impl AttributesWork {
    /// The finished line, where every attribute is short enough to stand in it.
    pub(super) fn ready(mut self) -> Result<ReadyLine, Box<Self>> {
        if self.attributes.iter().any(|(_, value)| value.len() > manifest::XATTR_INLINE_MAX) {
            return Err(Box::new(self));
        }
        self.tail.xattrs = std::mem::take(&mut self.attributes)
            .into_iter()
            .map(|(name, value)| Xattr { name, value: XattrValue::Inline(value) })
            .collect();
        Ok(self.finish())
    }

    /// The line, once the tail holds all attributes.
    pub(crate) fn finish(self) -> ReadyLine {
        let mut line = Vec::with_capacity(320);
        manifest::write_head(&mut line, &self.path, self.stat.kind, &self.stat.metadata, self.stat.size);
        manifest::write_tail(&mut line, 0, &self.tail);
        let kind = self.stat.kind;
        ReadyLine {
            keys: self.keys,
            path: self.path,
            line,
            kind,
            size: self.stat.size,
            // A directory that could not be listed is looked at again, whatever else is as it was.
            stable: self.tail.error.is_none(),
            needs: Vec::new(),
        }
    }
}
