//! Finding and opening segments: what restore and readback stand on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::crypto::codec::Decompressor;
use crate::crypto::envelope::{self, Identity};
use crate::crypto::hash::segment_id;
use crate::format::index::{SegmentKind, SegmentLine};
use crate::format::names;
use crate::ids::{ChunkId, KeyId, Label, PackId, SegmentId, SegmentPrefix};
use crate::repository::catalog::Catalog;
use crate::repository::gc::Condemned;
use crate::repository::order::IdOrder;
use crate::repository::spare::Again;
use crate::repository::{Repository, RepositoryError, index};
use crate::store::Store;
use crate::units::Bytes;

/// Where a copy of a segment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The pack.
    pub pack: PackId,
    /// Where in it.
    pub offset: Bytes,
    /// How long it is there.
    pub length: Bytes,
}

/// A segment that something needs.
#[derive(Debug, Clone)]
pub struct NeededSegment {
    /// Its name.
    pub id: SegmentId,
    /// The tenant key that opens it.
    pub key: KeyId,
    /// What it holds.
    pub kind: SegmentKind,
    /// The length of its plaintext.
    pub plain: Bytes,
    /// Every place it is known at, those in condemned packs last; never empty.
    pub places: Vec<Place>,
}

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The number of the segment in the map.
    pub segment: u32,
    /// Where in the segment's plaintext.
    pub offset: u32,
    /// How long it is.
    pub length: u32,
}

/// The segments that some shares need, and the chunks in them.
#[derive(Default)]
pub struct SegmentMap {
    segments: Vec<NeededSegment>,
    chunks: Vec<(ChunkId, ChunkPlace)>,
    by_id: IdOrder,
    unreadable: Vec<RepositoryError>,
    again: Option<Arc<Again>>,
}

impl SegmentMap {
    /// Reads the index for those of a writer's segments that have these prefixes: its own index objects, and those of
    /// every maintainer.
    ///
    /// One damaged index object must not keep back what the others know: it is left out and told by
    /// [`Self::unreadable`].
    ///
    /// # Errors
    /// The store failed, or a name is none of an index object. Segments that no index names are
    /// simply not in the map.
    pub fn load(
        repository: &Repository,
        catalog: &Catalog,
        writer: &Label,
        wanted: &HashSet<SegmentPrefix>,
    ) -> Result<Self, RepositoryError> {
        Self::load_for(repository, catalog, writer, wanted, &HashSet::new())
    }

    /// The same for whoever opens these tenant keys. Where no index object names a segment any more, everything it knows
    /// of the keys is in the map: the writer may have stored the same chunks again.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_for(
        repository: &Repository,
        catalog: &Catalog,
        writer: &Label,
        wanted: &HashSet<SegmentPrefix>,
        keys: &HashSet<KeyId>,
    ) -> Result<Self, RepositoryError> {
        let listed = |line: &SegmentLine| wanted.contains(&line.segment.prefix());
        let mut map = Self::read(repository, catalog, writer, listed)?;
        let known: HashSet<SegmentPrefix> = map.segments.iter().map(|segment| segment.id.prefix()).collect();
        if !keys.is_empty() && !wanted.is_subset(&known) {
            map = Self::read(repository, catalog, writer, |line| listed(line) || keys.contains(&line.key))?;
        }
        let keys = map.segments.iter().map(|segment| segment.key).chain(keys.iter().copied()).collect();
        map.again = Some(Arc::new(Again::new(repository, catalog, writer, keys)));
        Ok(map)
    }

    /// Reads the index for the segments that are `wanted`.
    pub(crate) fn read(
        repository: &Repository,
        catalog: &Catalog,
        writer: &Label,
        wanted: impl Fn(&SegmentLine) -> bool,
    ) -> Result<Self, RepositoryError> {
        let condemned = Condemned::load_to_read(repository)?;
        let mut map = Self::default();
        let mut numbers: HashMap<SegmentId, Taken> = HashMap::new();
        let names = index::names_for(repository, writer)?;
        let _ahead = repository.expect(names.iter().cloned());
        for name in names {
            let index = match index::read_if_any(repository, catalog, &condemned, &name) {
                Ok(Some(index)) => index,
                Ok(None) => continue,
                Err(error) if error.is_damage() => {
                    map.unreadable.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for line in index.segments.into_iter().filter(&wanted) {
                map.take(line, &mut numbers);
            }
        }
        for segment in &mut map.segments {
            segment.places.sort_by_key(|place| condemned.pack(place.pack));
        }
        // A segment known by location lines alone has no chunks anybody could ask for.
        map.by_id = IdOrder::of(&map.chunks, |(id, _)| id);
        Ok(map)
    }

    fn take(&mut self, line: SegmentLine, numbers: &mut HashMap<SegmentId, Taken>) {
        let Some(pack) = line.pack else { return };
        let place = Place { pack, offset: line.offset, length: line.length };
        let Ok(next) = u32::try_from(self.segments.len()) else { return };
        let taken = numbers.entry(line.segment).or_insert(Taken { number: next, chunks: false });
        let number = taken.number;
        match self.segments.get_mut(number as usize) {
            Some(segment) if segment.places.contains(&place) => {}
            Some(segment) => segment.places.push(place),
            None => self.segments.push(NeededSegment {
                id: line.segment,
                key: line.key,
                kind: line.kind,
                plain: line.plain,
                places: vec![place],
            }),
        }
        // Whichever line has them first tells the chunks; one that only gives another place has none.
        if taken.chunks {
            return;
        }
        taken.chunks = !line.chunks.is_empty();
        let mut offset = 0_u32;
        for chunk in line.chunks {
            self.chunks.push((chunk.0, ChunkPlace { segment: number, offset, length: chunk.1 }));
            offset = offset.saturating_add(chunk.1);
        }
    }

    /// Why index objects were left out: they are damaged, and what only they knew is not in the map.
    #[must_use]
    pub fn unreadable(&self) -> &[RepositoryError] {
        &self.unreadable
    }

    /// Every segment in the map; a segment's number is its place here.
    #[must_use]
    pub fn segments(&self) -> &[NeededSegment] {
        &self.segments
    }

    /// A segment by its number.
    #[must_use]
    pub fn segment(&self, number: u32) -> Option<&NeededSegment> {
        self.segments.get(number as usize)
    }

    /// Where a chunk of a tenant key lies.
    #[must_use]
    pub fn find(&self, key: KeyId, chunk: &ChunkId) -> Option<ChunkPlace> {
        self.copies(key, chunk).next()
    }

    /// Everywhere that a chunk of a tenant key lies.
    pub fn copies(&self, key: KeyId, chunk: &ChunkId) -> impl Iterator<Item = ChunkPlace> {
        let found = self.by_id.find(&self.chunks, |(id, _)| id, chunk);
        found
            .iter()
            .filter_map(|at| self.chunks.get(*at as usize))
            .map(|(_, place)| *place)
            .filter(move |place| self.segment(place.segment).is_some_and(|segment| segment.key == key))
    }

    /// What the index says later, for when a segment is not where it should be.
    #[must_use]
    pub fn again(&self) -> Option<Arc<Again>> {
        self.again.clone()
    }
}

/// A segment that a line named, and whether one told its chunks.
struct Taken {
    number: u32,
    chunks: bool,
}

/// Fetches and opens segments with buffers that are used again.
pub struct SegmentReader<'s> {
    store: &'s dyn Store,
    stored: Vec<u8>,
    packed: Vec<u8>,
    codec: Decompressor,
}

impl<'s> SegmentReader<'s> {
    /// A reader over a store; one a thread.
    ///
    /// # Errors
    /// The machine gave no decompression context.
    pub fn new(store: &'s dyn Store) -> Result<Self, RepositoryError> {
        let codec = Decompressor::new().map_err(|error| RepositoryError::machine("zstd", error))?;
        Ok(Self { store, stored: Vec::new(), packed: Vec::new(), codec })
    }

    /// Says which segment will be read soon.
    pub fn expect(&self, segment: &NeededSegment) {
        if let Some(place) = segment.places.first()
            && let Ok(pack) = names::pack(place.pack)
        {
            self.store.expect(&pack, place.offset, place.length);
        }
    }

    /// Reads a segment's plaintext into `plain`, from the first of its places that has it whole.
    ///
    /// Its stored bytes are compared with its id. Its chunks are for the caller to compare.
    ///
    /// # Errors
    /// No place has it whole; the error is that of the last place.
    pub fn read(
        &mut self,
        segment: &NeededSegment,
        identity: &Identity,
        plain: &mut Vec<u8>,
    ) -> Result<(), RepositoryError> {
        let mut outcome =
            Err(RepositoryError::damaged(format!("segment {}", segment.id), "no index says where it is"));
        for place in &segment.places {
            outcome = self.read_at(segment, *place, identity, plain);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn read_at(
        &mut self,
        segment: &NeededSegment,
        place: Place,
        identity: &Identity,
        plain: &mut Vec<u8>,
    ) -> Result<(), RepositoryError> {
        let pack = names::pack(place.pack)?;
        self.stored.clear();
        self.store
            .read_range(&pack, place.offset, place.length, &mut self.stored)
            .map_err(|error| RepositoryError::store_read(pack.as_str(), error))?;
        let what = || format!("segment {} in {pack}", segment.id);
        if segment_id(&self.stored) != segment.id {
            return Err(RepositoryError::damaged(what(), "its bytes are not those that were stored"));
        }
        envelope::open_into(&self.stored, std::slice::from_ref(identity), &mut self.packed).map_err(
            |error| {
                if error.is_wrong_identity() {
                    RepositoryError::wrong_key(what(), "its tenant key does not open it")
                } else {
                    RepositoryError::damaged(what(), error.to_string())
                }
            },
        )?;
        self.codec
            .decompress_into(&self.packed, segment.plain, plain)
            .map_err(|error| RepositoryError::damaged(what(), error.to_string()))?;
        if Bytes::of(plain) == segment.plain {
            Ok(())
        } else {
            Err(RepositoryError::damaged(what(), "its plaintext is shorter than its index says"))
        }
    }
}
