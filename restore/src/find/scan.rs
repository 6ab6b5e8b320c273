//! Searching manifests chunk by chunk, so that a chunk shared by many snapshots is searched once.
//!
//! Cuts fall anywhere, so a chunk begins and ends within an entry. What stands before its first whole entry and after
//! its last is kept as bytes and joined with its neighbours in each manifest; what is between belongs to the chunk
//! alone, and its matches are remembered.

use std::collections::HashMap;
use std::sync::Arc;

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{Entry, EntryKind, LINE_MAX, ManifestDecoder, XattrValue};
use lifeboat_repo::ids::{ChunkId, KeyId};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::RepositoryError;

use super::Query;
use crate::diff::plain_kind;
use crate::error::RestoreError;
use crate::shares::{ManifestReader, OpenShare};

/// What a line that goes on with an entry begins with.
const MORE: &[u8] = b"{\"more\"";

/// A chunk with more than this outside whole entries (a file of thousands of chunks) is not remembered.
const ENDS_MAX: usize = 16 << 10;

/// An entry that matched, its lists of chunks replaced by what they are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) entry: Entry,
    /// Of chunks and holes.
    pub(super) content: [u8; 32],
    /// Of attributes.
    pub(super) xattrs: [u8; 32],
}

/// Searches shares of one writer.
pub(super) struct Scanner<'q> {
    query: &'q Query,
    chunks: HashMap<(KeyId, ChunkId), Arc<Piece>>,
    /// Chunks that were decoded.
    pub(super) decoded: u64,
}

/// A chunk of a manifest, searched.
struct Piece {
    /// Before the first entry that begins here, after the first end of a line.
    head: Vec<u8>,
    hits: Vec<Arc<Hit>>,
    /// From where the last entry begins; none if no entry begins here.
    tail: Option<Vec<u8>>,
}

impl<'q> Scanner<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        Self { query, chunks: HashMap::new(), decoded: 0 }
    }

    /// What matches in a share.
    ///
    /// # Errors
    /// Somebody asked to stop. The inner error: the manifest cannot be read, and nothing of it is given.
    pub(super) fn share(
        &mut self,
        reader: &mut ManifestReader<'_>,
        one: &OpenShare<'_>,
        observer: &dyn Observer,
    ) -> Result<Result<Vec<Arc<Hit>>, RepositoryError>, RestoreError> {
        let mut hits = Vec::new();
        let mut carried = Vec::new();
        for chunk in &one.share.manifest {
            if observer.cancelled() {
                return Err(RestoreError::cancelled());
            }
            let step = self.piece(reader, one, chunk).and_then(|piece| {
                carried.extend_from_slice(&piece.head);
                refuse_endless(one, &carried)?;
                if let Some(tail) = &piece.tail {
                    self.search(one, &carried, &mut hits)?;
                    hits.extend(piece.hits.iter().cloned());
                    carried.clear();
                    carried.extend_from_slice(tail);
                }
                Ok(())
            });
            if let Err(error) = step {
                return Ok(Err(error));
            }
        }
        Ok(self.search(one, &carried, &mut hits).map(|()| hits))
    }

    fn piece(
        &mut self,
        reader: &mut ManifestReader<'_>,
        one: &OpenShare<'_>,
        chunk: &ChunkRef,
    ) -> Result<Arc<Piece>, RepositoryError> {
        let slot = (one.share.key, chunk.0);
        if let Some(known) = self.chunks.get(&slot) {
            return Ok(Arc::clone(known));
        }
        self.decoded += 1;
        let bytes = reader.chunk(one, chunk)?;
        let (head, middle, tail) = split(bytes);
        let mut hits = Vec::new();
        self.search(one, middle, &mut hits)?;
        let piece = Arc::new(Piece { head: head.to_vec(), hits, tail: tail.map(<[u8]>::to_vec) });
        if piece.head.len() + piece.tail.as_ref().map_or(0, Vec::len) <= ENDS_MAX {
            self.chunks.insert(slot, Arc::clone(&piece));
        }
        Ok(piece)
    }

    /// Searches whole entries.
    fn search(
        &self,
        one: &OpenShare<'_>,
        lines: &[u8],
        hits: &mut Vec<Arc<Hit>>,
    ) -> Result<(), RepositoryError> {
        let mut decoder = ManifestDecoder::new();
        decoder.push(lines);
        decoder.end();
        let damaged =
            |why: String| RepositoryError::damaged(format!("manifest of tenant {}", one.key.tenant), why);
        while let Some(entry) = decoder.next_entry().map_err(|error| damaged(error.to_string()))? {
            if self.query.matches(&entry) {
                hits.push(Arc::new(Hit::of(entry)));
            }
        }
        Ok(())
    }
}

/// A line that never ends must not be gathered for ever.
fn refuse_endless(one: &OpenShare<'_>, carried: &[u8]) -> Result<(), RepositoryError> {
    let since = carried.iter().rev().take(LINE_MAX).position(|byte| *byte == b'\n');
    if carried.len() < LINE_MAX || since.is_some() {
        return Ok(());
    }
    let what = format!("manifest of tenant {}", one.key.tenant);
    Err(RepositoryError::damaged(what, "a line is longer than 128 KiB"))
}

/// What stands before the first entry that begins in a chunk, the whole entries, and from where the last begins.
///
/// Only what follows the end of a line can begin an entry; too little of a line to tell is left to what precedes it.
fn split(bytes: &[u8]) -> (&[u8], &[u8], Option<&[u8]>) {
    let begins = |at: usize| bytes.get(at..at + MORE.len()).is_some_and(|start| start != MORE);
    let mut starts = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1)
        .filter(|at| begins(*at));
    let Some(first) = starts.next() else { return (bytes, &[], None) };
    let last = starts.next_back().unwrap_or(first);
    let part = |from, to| bytes.get(from..to).unwrap_or_default();
    (part(0, first), part(first, last), Some(part(last, bytes.len())))
}

impl Hit {
    fn of(mut entry: Entry) -> Self {
        let mut content = Sha256::new();
        for chunk in std::mem::take(&mut entry.tail.chunks) {
            content.update(chunk.0.as_bytes());
        }
        // Ids have one length, so what follows cannot be taken for more of them.
        content.update(b"holes");
        for hole in std::mem::take(&mut entry.tail.holes) {
            content.update(&hole.offset.0.to_le_bytes());
            content.update(&hole.length.0.to_le_bytes());
        }
        let mut xattrs = Sha256::new();
        for xattr in std::mem::take(&mut entry.tail.xattrs) {
            let mut part = |bytes: &[u8]| {
                xattrs.update(&(bytes.len() as u64).to_le_bytes());
                xattrs.update(bytes);
            };
            part(&xattr.name);
            match &xattr.value {
                XattrValue::Inline(value) => part(value),
                XattrValue::Chunks(chunks) => chunks.iter().for_each(|chunk| part(chunk.0.as_bytes())),
            }
        }
        Self { entry, content: content.finish(), xattrs: xattrs.finish() }
    }
}

impl Query {
    /// Whether an entry is one of those looked for, whosever it is.
    fn matches(&self, entry: &Entry) -> bool {
        let kind = plain_kind(entry.kind);
        let is_file = kind == EntryKind::File;
        // A directory that could not be listed is one, and an error too.
        let unread = entry.tail.error.is_some() && self.kinds.contains(&EntryKind::Error);
        (self.kinds.is_empty() || self.kinds.contains(&kind) || unread)
            && self.size_min.is_none_or(|min| is_file && entry.size >= min)
            && self.size_max.is_none_or(|max| is_file && entry.size <= max)
            && self.since.is_none_or(|since| entry.metadata.mtime >= since)
            && self.until.is_none_or(|until| entry.metadata.mtime <= until)
            && (self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(&entry.path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_split_where_entries_begin() {
        let parts = |bytes: &'static [u8]| {
            let (head, middle, tail) = split(bytes);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(head), text(middle), tail.map(text))
        };
        let owned = |a: &str, b: &str, c: Option<&str>| (a.to_owned(), b.to_owned(), c.map(str::to_owned));
        assert_eq!(parts(b"no end of line"), owned("no end of line", "", None));
        assert_eq!(parts(b"x}\n{\"path\":1}\n"), owned("x}\n", "", Some("{\"path\":1}\n")));
        assert_eq!(
            parts(b"x}\n{\"path\":1}\n{\"more\":true}\n{\"path\":2}\n{\"pa"),
            owned("x}\n", "{\"path\":1}\n{\"more\":true}\n", Some("{\"path\":2}\n{\"pa"))
        );
        // Too little to tell whether it goes on.
        assert_eq!(parts(b"x}\n{\"mor"), owned("x}\n{\"mor", "", None));
        assert_eq!(parts(b"x}\n{\"more\":true}\n"), owned("x}\n{\"more\":true}\n", "", None));
    }
}
