//! The index: reading it, and the table a writer deduplicates with.

use std::collections::{HashMap, HashSet};

use crate::crypto::sign::Kind;
use crate::format::index::{Index, SegmentLine, decode_index};
use crate::format::names::{Place, place};
use crate::ids::{ChunkId, KeyId, Label, ObjectName, PackId, SegmentId};
use crate::repository::catalog::Catalog;
use crate::repository::gc::Condemned;
use crate::repository::shelf::Slot;
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::units::Bytes;

mod large;

use large::Large;

/// The names of a writer's index objects, oldest first.
///
/// # Errors
/// The store failed.
pub fn names_of(repository: &Repository, writer: &Label) -> Result<Vec<ObjectName>, RepositoryError> {
    let prefix = format!("index/{writer}/");
    let listed = repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
    let (named, strangers): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|object| matches!(place(&object.name), Some(Place::Index(..))));
    for object in strangers {
        tracing::warn!(object = %object.name, "no index object has such a name; passed over");
    }
    Ok(named.into_iter().map(|object| object.name).collect())
}

/// The names of the index objects that may say where a writer's segments lie: its own, oldest first, then those of every
/// maintainer. Maintainers move segments, and write an index anew where one is lost.
///
/// # Errors
/// The store failed.
pub fn names_for(repository: &Repository, writer: &Label) -> Result<Vec<ObjectName>, RepositoryError> {
    let mut names = names_of(repository, writer)?;
    for maintainer in repository.trust().maintainers().iter().filter(|name| *name != writer) {
        names.extend(names_of(repository, maintainer)?);
    }
    Ok(names)
}

/// Reads one index object, as far as it is of use: a condemned one may be gone or damaged.
///
/// # Errors
/// It is missing, damaged, or not its writer's, and no gc record condemns it.
pub fn read_if_any(
    repository: &Repository,
    catalog: &Catalog,
    condemned: &Condemned,
    name: &ObjectName,
) -> Result<Option<Index>, RepositoryError> {
    match read(repository, catalog, name) {
        Ok(index) => Ok(Some(index)),
        Err(error) if error.is_damage() && condemned.index(name) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads one index object.
///
/// # Errors
/// It is missing, damaged, or not its writer's.
pub fn read(repository: &Repository, catalog: &Catalog, name: &ObjectName) -> Result<Index, RepositoryError> {
    let Some(Place::Index(writer, run, _)) = place(name) else {
        return Err(RepositoryError::damaged(name.as_str(), "no index object has such a name"));
    };
    let (signed, plain) = catalog.read(repository, name, Kind::Index, JudgedAt::Moment(run.moment()))?;
    let index = decode_index(&plain).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    if index.header.writer != writer || index.header.run != run || !signed.principal.is_writer(&writer) {
        return Err(RepositoryError::damaged(name.as_str(), "it is not the index its name says"));
    }
    Ok(index)
}

/// The number of a segment in a [`DedupTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u32);

/// A segment that a writer may deduplicate into.
#[derive(Clone, Copy, Debug)]
pub struct KnownSegment {
    /// Its name.
    pub id: SegmentId,
    /// The pack it lies in; none while it is being written.
    pub pack: Option<PackId>,
    /// The tenant key that opens it.
    pub key: KeyId,
}

/// Which chunks a writer has stored, and in which segments.
///
/// Twelve bytes of a chunk's id and four of a segment's number make sixteen bytes a chunk. Ids are keyed, so
/// nobody outside can aim at a collision; by chance 10^9 chunks of one key meet one with probability 10^-11.
#[derive(Default)]
pub struct DedupTable {
    segments: Vec<KnownSegment>,
    /// Sorted by chunk; filled by [`Self::settle`].
    settled: Vec<Slot>,
    fresh: HashMap<[u8; 12], u32>,
    numbers: HashMap<SegmentId, u32>,
    excluded: HashSet<SegmentId>,
    large: Large,
}

impl DedupTable {
    /// Takes these segments for absent from now on, wherever they are.
    pub fn exclude(&mut self, segments: impl IntoIterator<Item = SegmentId>) {
        self.excluded.extend(segments);
    }

    /// Takes the segments of an index object for which `place` knows a pack that is there and not condemned: the line's
    /// own, or one they were moved to.
    pub fn absorb(&mut self, segments: &[SegmentLine], place: impl Fn(SegmentId, PackId) -> Option<PackId>) {
        for line in segments.iter().filter(|line| !line.chunks.is_empty()) {
            let Some(pack) = line.pack.and_then(|pack| place(line.segment, pack)) else { continue };
            let known = KnownSegment { id: line.segment, pack: Some(pack), key: line.key };
            if self.large.take(&known, line) {
                continue;
            }
            let Some(number) = self.number_of(&line.segment).or_else(|| self.add_segment(known)) else {
                continue;
            };
            for chunk in &line.chunks {
                self.settled.push(Slot { chunk: short(&chunk.0), segment: number.0.to_le_bytes() });
            }
            self.shelve_if_many();
        }
    }

    /// Sorts what was absorbed; look-ups find it from then on.
    pub fn settle(&mut self) {
        self.large.settle();
        self.settled.sort_unstable();
        self.settled.dedup_by_key(|slot| slot.chunk);
    }

    /// Makes a segment known; `None` where it is excluded, and beyond 2^32 segments: then nothing is deduplicated into
    /// it.
    pub fn add_segment(&mut self, segment: KnownSegment) -> Option<SegmentNumber> {
        if segment.pack.is_some() && self.excluded.contains(&segment.id) {
            return None;
        }
        let number = u32::try_from(self.segments.len()).ok()?;
        self.segments.push(segment);
        if segment.pack.is_some() {
            self.numbers.insert(segment.id, number);
        }
        Some(SegmentNumber(number))
    }

    /// Notes that a chunk is being stored in a segment.
    pub fn insert(&mut self, chunk: &ChunkId, segment: SegmentNumber) {
        self.fresh.insert(short(chunk), segment.0);
    }

    /// Gives a segment that was being written its name and pack.
    pub fn name_segment(&mut self, number: SegmentNumber, id: SegmentId, pack: PackId) {
        if let Some(segment) = self.segments.get_mut(number.0 as usize) {
            segment.id = id;
            segment.pack = Some(pack);
            self.numbers.insert(id, number.0);
        }
    }

    /// The segment that holds a chunk of this key, if there is one.
    pub fn find(&mut self, key: KeyId, chunk: &ChunkId) -> Option<SegmentNumber> {
        let wanted = short(chunk);
        let number = match self.fresh.get(&wanted) {
            Some(number) => *number,
            None => match self.settled.binary_search_by(|slot| slot.chunk.cmp(&wanted)) {
                Ok(at) => u32::from_le_bytes(self.settled.get(at)?.segment),
                Err(_) => self.find_shelved(key, &wanted)?,
            },
        };
        self.segments.get(number as usize).filter(|segment| segment.key == key).map(|_| SegmentNumber(number))
    }

    /// A segment by number.
    #[must_use]
    pub fn segment(&self, number: SegmentNumber) -> Option<&KnownSegment> {
        self.segments.get(number.0 as usize)
    }

    /// A segment by name.
    #[must_use]
    pub fn number_of(&self, id: &SegmentId) -> Option<SegmentNumber> {
        self.numbers.get(id).copied().map(SegmentNumber)
    }

    /// How many segments are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether no segment is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
    /// Appends the table as bytes that [`Self::absorb_bytes`] takes back: what is in packs, with the lengths of these.
    pub fn to_bytes(&self, out: &mut Vec<u8>, length: impl Fn(PackId) -> Option<Bytes>) {
        let mut slots = Vec::with_capacity(self.settled.len() + self.fresh.len());
        slots.extend_from_slice(&self.settled);
        slots.extend(
            self.fresh.iter().map(|(chunk, number)| Slot { chunk: *chunk, segment: number.to_le_bytes() }),
        );
        slots.sort_unstable();
        slots.dedup_by_key(|slot| slot.chunk);
        out.extend_from_slice(&(self.segments.len() as u64).to_le_bytes());
        for segment in &self.segments {
            let pack = segment.pack.unwrap_or(PackId::from_bytes([0; 32]));
            // No pack is empty: this one is never found present.
            let length = segment.pack.and_then(&length).unwrap_or(Bytes::ZERO);
            for part in [segment.id.as_bytes(), pack.as_bytes(), segment.key.as_bytes()] {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(&length.0.to_le_bytes());
        }
        for slot in slots {
            out.extend_from_slice(&slot.chunk);
            out.extend_from_slice(&slot.segment);
        }
    }

    /// Takes what [`Self::to_bytes`] wrote, of segments for which `place` knows a pack that is there at its length: their
    /// own, or one they were moved to. False where the bytes are something else; then nothing was taken.
    pub fn absorb_bytes(
        &mut self,
        bytes: &[u8],
        mut place: impl FnMut(SegmentId, PackId, Bytes) -> Option<PackId>,
    ) -> bool {
        let Some((segments, slots)) = split_table(bytes) else { return false };
        let mut numbers = Vec::with_capacity(segments.len());
        for segment in segments {
            let Some((known, length)) = parse_segment(segment) else { return false };
            let pack = known.pack.and_then(|pack| place(known.id, pack, length));
            let known = pack.map(|pack| KnownSegment { pack: Some(pack), ..known });
            numbers
                .push(known.and_then(|known| self.number_of(&known.id).or_else(|| self.add_segment(known))));
        }
        self.settled.reserve(slots.len());
        for (chunk, ordinal) in slots.iter().filter_map(|slot| slot.split_first_chunk::<12>()) {
            let ordinal = ordinal.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
            if let Some(Some(number)) = ordinal.and_then(|ordinal| numbers.get(ordinal)) {
                self.settled.push(Slot { chunk: *chunk, segment: number.0.to_le_bytes() });
            }
        }
        true
    }
}

/// Bytes of a segment in a table that was written out.
const SEGMENT_BYTES: usize = 32 + 32 + 32 + 8;
type SegmentBytes = [u8; SEGMENT_BYTES];
type SlotBytes = [u8; size_of::<Slot>()];

/// Segments and slots of a table that was written out.
fn split_table(bytes: &[u8]) -> Option<(&[SegmentBytes], &[SlotBytes])> {
    let (count, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(SEGMENT_BYTES)?;
    let (segments, slots) = rest.split_at_checked(length)?;
    let (slots, over) = slots.as_chunks();
    over.is_empty().then_some((segments.as_chunks().0, slots))
}

fn parse_segment(bytes: &SegmentBytes) -> Option<(KnownSegment, Bytes)> {
    let (id, rest) = bytes.split_first_chunk::<32>()?;
    let (pack, rest) = rest.split_first_chunk::<32>()?;
    let (key, length) = rest.split_first_chunk::<32>()?;
    let known = KnownSegment {
        id: SegmentId::from_bytes(*id),
        pack: Some(PackId::from_bytes(*pack)),
        key: KeyId::from_bytes(*key),
    };
    Some((known, Bytes(u64::from_le_bytes(*length.first_chunk()?))))
}

/// What a table keeps of a chunk's id.
pub(super) fn short(chunk: &ChunkId) -> [u8; 12] {
    let mut short = [0; 12];
    for (to, from) in short.iter_mut().zip(chunk.as_bytes()) {
        *to = *from;
    }
    short
}
