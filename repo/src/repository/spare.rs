//! When a segment is not where it should be: the index read once more, and other copies of its chunks.
//!
//! A collector moves segments while others read, and says where to in an index object that it put before anything was
//! deleted. And what is gone for good the writer may have stored again, in another segment of the same tenant key, when
//! it next met it at the source. Neither is looked for before something is missing: then all that the index knows of the
//! tenant keys at hand is read, once.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use crate::crypto::hash::chunk_id;
use crate::format::index::ChunkRef;
use crate::ids::{KeyId, Label, SegmentId};
use crate::repository::catalog::Catalog;
use crate::repository::recover::TenantKey;
use crate::repository::segments::{SegmentMap, SegmentReader};
use crate::repository::{Repository, RepositoryError};

/// What the index says now, read when first asked.
pub struct Again {
    repository: Repository,
    catalog: Catalog,
    writer: Label,
    keys: HashSet<KeyId>,
    map: OnceLock<Option<SegmentMap>>,
}

/// Copies of chunks whose segment cannot be had; one a thread.
#[derive(Default)]
pub struct Spare {
    /// The segment that was decoded last.
    held: Option<(SegmentId, Vec<u8>)>,
    /// Segments that cannot be had either.
    bad: HashSet<SegmentId>,
}

impl Again {
    pub(crate) fn new(
        repository: &Repository,
        catalog: &Catalog,
        writer: &Label,
        keys: HashSet<KeyId>,
    ) -> Self {
        let (repository, catalog, writer) = (repository.clone(), catalog.clone(), writer.clone());
        Self { repository, catalog, writer, keys, map: OnceLock::new() }
    }

    /// Everything that the index knows of the tenant keys by now; nothing where it cannot be read.
    fn map(&self) -> Option<&SegmentMap> {
        let read = || match self.read() {
            Ok(map) => Some(map),
            Err(error) => {
                tracing::warn!(%error, "the index cannot be read again");
                None
            }
        };
        self.map.get_or_init(read).as_ref()
    }

    fn read(&self) -> Result<SegmentMap, RepositoryError> {
        tracing::info!(writer = %self.writer, "a segment is not where it was; the index is read again");
        let repository = self.repository.renewed()?;
        SegmentMap::read(&repository, &self.catalog, &self.writer, |line| self.keys.contains(&line.key))
    }
}

impl Spare {
    /// The bytes of a chunk from wherever the index now says that it lies, compared with its id; nothing where no copy
    /// is whole.
    pub fn chunk(
        &mut self,
        again: &Again,
        reader: &mut SegmentReader<'_>,
        key: &TenantKey,
        chunk: &ChunkRef,
    ) -> Option<&[u8]> {
        let range = self.find(again.map()?, reader, key, chunk)?;
        self.held.as_ref().and_then(|(_, plain)| plain.get(range))
    }

    /// Decodes a segment that holds the chunk, and says where in it.
    fn find(
        &mut self,
        map: &SegmentMap,
        reader: &mut SegmentReader<'_>,
        key: &TenantKey,
        chunk: &ChunkRef,
    ) -> Option<Range<usize>> {
        for place in map.copies(key.key, &chunk.0).filter(|place| place.length == chunk.1) {
            let Some(segment) = map.segment(place.segment) else { continue };
            if self.bad.contains(&segment.id) {
                continue;
            }
            if self.held.as_ref().is_none_or(|(held, _)| *held != segment.id) {
                let mut plain = self.held.take().map(|(_, plain)| plain).unwrap_or_default();
                if reader.read(segment, &key.identity, &mut plain).is_err() {
                    self.bad.insert(segment.id);
                    continue;
                }
                self.held = Some((segment.id, plain));
            }
            let start = place.offset as usize;
            let range = start..start.saturating_add(place.length as usize);
            let bytes = self.held.as_ref().and_then(|(_, plain)| plain.get(range.clone()));
            if bytes.is_some_and(|bytes| chunk_id(&key.k_id, bytes) == chunk.0) {
                return Some(range);
            }
        }
        None
    }
}
