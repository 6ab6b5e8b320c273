//! What packs hold that is live, and where else it lies.

use std::collections::BTreeMap;

use super::live::Live;
use crate::crypto::hash::segment_id;
use crate::format::CATALOGED_STORED_MAX;
use crate::format::index::{Index, SegmentLine, decode_table};
use crate::format::names::{self, Place, place};
use crate::format::pack::{FOOTER_LEN, Footer};
use crate::ids::{ObjectName, PackId, SegmentId};
use crate::observe::{Event, Observer};
use crate::repository::catalog::Catalog;
use crate::repository::{Repository, RepositoryError, index};
use crate::store::Store;
use crate::units::Bytes;

/// A live segment of packs that are to go.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// What it holds, with its chunks where anything knew them.
    pub(super) line: SegmentLine,
    /// Every place that is known.
    pub(super) places: Vec<At>,
}

/// A place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) pack: PackId,
    pub(super) offset: Bytes,
    pub(super) length: Bytes,
}

/// The live segments of some packs.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) segments: BTreeMap<SegmentId, Held>,
    /// Packs of which neither their own table nor an index object says what they hold.
    pub(super) unknown: Vec<(PackId, String)>,
}

impl Holdings {
    /// What is live in these packs: by their own tables, which nobody can take away from them, and by the index, which
    /// knows other places too.
    ///
    /// # Errors
    /// The store failed.
    pub(super) fn load(
        repository: &Repository,
        catalog: &Catalog,
        live: &Live,
        packs: &BTreeMap<PackId, Bytes>,
        observer: &dyn Observer,
    ) -> Result<Self, RepositoryError> {
        let mut holdings = Self::default();
        let mut unread = BTreeMap::new();
        for (pack, length) in packs {
            match read_table(repository, catalog, *pack, *length) {
                Ok(lines) => {
                    for line in lines.into_iter().filter(|line| live.contains(line.segment.prefix())) {
                        holdings.take(line);
                    }
                }
                // Somebody else finished with it.
                Err(error) if error.is_missing() => {}
                Err(error) if error.is_damage() => {
                    unread.insert(*pack, error.kind.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        loop {
            let before = holdings.segments.len();
            each_index(repository, catalog, observer, |_, index| {
                for (pack, _) in index.header.packs.iter().map(|pack| (pack.0, pack.1)) {
                    unread.remove(&pack);
                }
                for line in index.segments {
                    let doomed = line.pack.is_some_and(|pack| packs.contains_key(&pack));
                    if holdings.segments.contains_key(&line.segment)
                        || (doomed && live.contains(line.segment.prefix()))
                    {
                        holdings.take(line);
                    }
                }
            })?;
            // What only the index knew to be in these packs may lie elsewhere by lines that were read before.
            if holdings.segments.len() == before {
                break;
            }
        }
        holdings.unknown = unread.into_iter().collect();
        Ok(holdings)
    }

    fn take(&mut self, mut line: SegmentLine) {
        let Some(pack) = line.pack.take() else { return };
        let at = At { pack, offset: line.offset, length: line.length };
        let held = self
            .segments
            .entry(line.segment)
            .or_insert_with(|| Held { line: line.clone(), places: Vec::new() });
        if held.line.chunks.is_empty() && !line.chunks.is_empty() {
            held.line = line;
        }
        if !held.places.contains(&at) {
            held.places.push(at);
        }
    }
}

/// Reads every index object there is, one after the other. Those that cannot be read are told and passed over.
///
/// # Errors
/// The store failed.
pub(super) fn each_index(
    repository: &Repository,
    catalog: &Catalog,
    observer: &dyn Observer,
    visit: impl FnMut(&ObjectName, Index),
) -> Result<(), RepositoryError> {
    read_indexes(repository, catalog, list_indexes(repository)?, observer, visit)
}

/// The names of all index objects.
///
/// # Errors
/// The store failed.
pub(super) fn list_indexes(repository: &Repository) -> Result<Vec<ObjectName>, RepositoryError> {
    let listed =
        repository.store().list("index/").map_err(|error| RepositoryError::store("index/", error))?;
    let names = listed.into_iter().map(|object| object.name);
    Ok(names.filter(|name| matches!(place(name), Some(Place::Index(..)))).collect())
}

/// The same of those that were listed before.
///
/// # Errors
/// The store failed.
pub(super) fn read_indexes(
    repository: &Repository,
    catalog: &Catalog,
    named: Vec<ObjectName>,
    observer: &dyn Observer,
    mut visit: impl FnMut(&ObjectName, Index),
) -> Result<(), RepositoryError> {
    observer.tell(Event::Planned { items: named.len() as u64, bytes: Bytes::ZERO });
    let _ahead = repository.expect(named.iter().cloned());
    for name in named {
        if observer.cancelled() {
            return Err(RepositoryError::cancelled("collection"));
        }
        match index::read(repository, catalog, &name) {
            Ok(index) => visit(&name, index),
            Err(error) if error.is_missing() => {}
            Err(error) if error.is_damage() => observer.tell(Event::Warning(format!(
                "{error}; what only this index object says is taken from the packs themselves"
            ))),
            Err(error) => return Err(error),
        }
        observer.tell(Event::Progress { items: 1, bytes: Bytes::ZERO });
    }
    Ok(())
}

/// Reads a pack's own table; each line says which pack.
///
/// # Errors
/// It is damaged or missing, or the store failed.
pub(super) fn read_table(
    repository: &Repository,
    catalog: &Catalog,
    pack: PackId,
    length: Bytes,
) -> Result<Vec<SegmentLine>, RepositoryError> {
    let name = names::pack(pack)?;
    let damaged = |why: &str| RepositoryError::damaged(name.as_str(), why);
    let store = repository.store();
    let read = |offset: Bytes, length: Bytes| {
        let mut bytes = Vec::new();
        store
            .read_range(&name, offset, length, &mut bytes)
            .map_err(|error| RepositoryError::store_read(name.as_str(), error))?;
        Ok::<_, RepositoryError>(bytes)
    };
    let footer_length = Bytes(FOOTER_LEN as u64);
    let footer_at = length.0.checked_sub(footer_length.0).ok_or_else(|| damaged("it is too short"))?;
    let footer = read(Bytes(footer_at), footer_length)?;
    let footer =
        Footer::decode(&footer, length).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    if footer.length > CATALOGED_STORED_MAX {
        return Err(damaged("its table is longer than the format allows"));
    }
    let table = catalog.open(&read(footer.offset, footer.length)?, name.as_str())?;
    let (_, mut lines) =
        decode_table(&table).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    for line in &mut lines {
        line.pack = Some(pack);
    }
    Ok(lines)
}

/// Reads a segment's stored bytes from a place, compared with its id.
///
/// # Errors
/// They are damaged or missing, or the store failed.
pub(super) fn read_segment(
    store: &dyn Store,
    segment: SegmentId,
    at: At,
    bytes: &mut Vec<u8>,
) -> Result<(), RepositoryError> {
    let name = names::pack(at.pack)?;
    bytes.clear();
    store
        .read_range(&name, at.offset, at.length, bytes)
        .map_err(|error| RepositoryError::store_read(name.as_str(), error))?;
    if segment_id(bytes) == segment {
        Ok(())
    } else {
        Err(RepositoryError::damaged(
            format!("segment {segment} in {name}"),
            "its bytes are not those that were stored",
        ))
    }
}
