//! Segments that are gone for good, and whose chunks their writer stored again: they hold no snapshot back. What readers do
//! about them, and verification, is in FORMAT.md §8.

use std::collections::{BTreeMap, HashSet};

use super::needs::{Needs, Work};
use crate::format::index::ChunkRef;
use crate::ids::{ChunkId, KeyId, SegmentId};
use crate::repository::catalog::Catalog;
use crate::repository::{Repository, RepositoryError, index};

/// Takes out of what is lost the segments whose every chunk lies in other segments that counting snapshots need and that
/// the replica has or gets. The index objects that tell their chunks are copied: without them nobody could see that.
///
/// # Errors
/// A store failed. A damaged index object is told of elsewhere.
pub(super) fn spare(
    needs: &Needs,
    work: &mut Work,
    (source, replica): (&Repository, &Repository),
    catalog: &Catalog,
) -> Result<(), RepositoryError> {
    let keys: HashSet<KeyId> = work.lost.iter().filter_map(|id| Some(needs.segments.get(id)?.key)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let mut gone: BTreeMap<SegmentId, (KeyId, usize, Vec<ChunkRef>)> = BTreeMap::new();
    let mut stored: HashSet<(KeyId, ChunkId, u32)> = HashSet::new();
    for (number, one) in needs.indexes.iter().enumerate().filter(|(_, one)| one.counts) {
        let from = if one.at_source { source } else { replica };
        let index = match index::read(from, catalog, &one.name) {
            Ok(index) => index,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        for line in index.segments {
            let known = needs.segments.get(&line.segment).is_some_and(|known| known.key == line.key);
            if !known || line.chunks.is_empty() || !keys.contains(&line.key) {
                continue;
            }
            if work.lost.contains(&line.segment) {
                gone.entry(line.segment).or_insert((line.key, number, line.chunks));
            } else {
                stored.extend(line.chunks.iter().map(|chunk| (line.key, chunk.0, chunk.1)));
            }
        }
    }
    for (id, (key, home, chunks)) in gone {
        if chunks.iter().all(|chunk| stored.contains(&(key, chunk.0, chunk.1))) {
            work.lost.remove(&id);
            work.spared += 1;
            work.indexes.insert(home);
        }
    }
    Ok(())
}
