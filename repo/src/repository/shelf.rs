//! The table of chunks of a writer that has very many: on disk, sorted, looked up block by block.
//!
//! ```text
//! segments | slots, sorted by chunk | packs | keys | first chunks of the slots' blocks | index names | numbers | trailer
//! ```
//!
//! Everything but the trailer, which names the run that wrote the file, lies in sealed blocks of a page each
//! ([`crate::crypto::blocks`]). In memory are the first chunk of each block, eight bytes for 255 chunks, and the packs; a
//! look-up reads and opens one block through the kernel's page cache, and a second one for the segment. It is
//! derived from index objects, and a cache: whoever cannot read it makes it anew.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::blocks::{BLOCK_PLAIN, BadBlock, BlockKey, SEALED_BLOCK};
use crate::ids::{KeyId, ObjectName, PackId, SegmentId};
use crate::repository::index::KnownSegment;
use crate::store::private::PrivateFile;
use crate::units::Bytes;

mod build;
mod write;

pub use build::ShelfBuilder;
pub use write::ShelfWriter;

/// Twelve bytes of a chunk's id and four of a segment's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The first bytes of the chunk's id.
    pub chunk: [u8; 12],
    /// The segment's number, little end first.
    pub segment: [u8; 4],
}

const _: () = assert!(size_of::<Slot>() == 16);

const SLOT: usize = 16;
/// A segment: its id, the numbers of its pack and of its key.
const SEGMENT: usize = 32 + 4 + 4;
/// A pack: its id and length.
const PACK: usize = 32 + 8;
const KEY: usize = 32;
const FENCE: usize = 8;
const TRAILER: usize = 64;
/// What the trailer begins with.
const SIGN: &str = "lifeboat-shelf 0 ";

/// Where a host keeps such tables, and what they are sealed with.
#[derive(Clone)]
pub struct ShelfPlace {
    /// The directory; what is sorted lies there, too, while it is.
    pub dir: PathBuf,
    /// The host's secret.
    pub secret: Zeroizing<String>,
    /// What the table belongs to: another's does not open.
    pub bound: String,
    /// Tables of fewer chunks stay in memory: looking up is quicker there.
    pub large: usize,
}

/// A table on disk that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The system's own error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A block is damaged.
    #[error(transparent)]
    Block(#[from] BadBlock),
    /// It is something else.
    #[error("it is no table of chunks: {0}")]
    Malformed(&'static str),
    /// It holds more than fits.
    #[error("it is full")]
    Full,
}

impl ShelfPlace {
    /// The key of one file; no two may be `whose` the same.
    fn key(&self, whose: &str) -> Result<BlockKey, ShelfError> {
        Ok(BlockKey::derive(self.secret.as_bytes(), &format!("{} shelf {whose}", self.bound))?)
    }
}

/// Records of one kind: in which block they begin, and how many there are.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Region {
    first: u64,
    count: u64,
}

impl Region {
    /// The block and the place in it of a record of so many bytes.
    fn at(self, at: u64, length: usize) -> (u64, usize) {
        let per = (BLOCK_PLAIN / length) as u64;
        (self.first + at / per, usize::try_from(at % per).unwrap_or(0) * length)
    }
}

/// The last block.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Numbers {
    segments: Region,
    slots: Region,
    packs: Region,
    keys: Region,
    fences: Region,
    names: Region,
}

/// A table on disk, open.
pub struct Shelf {
    file: PrivateFile,
    key: BlockKey,
    numbers: Numbers,
    /// The first eight bytes of the first chunk of each block.
    fences: Vec<u64>,
    packs: Vec<PackId>,
    keys: Vec<KeyId>,
    /// A bit a pack: whether it is there.
    present: Vec<u64>,
    /// Segments of packs that are not there, where they are known to lie elsewhere.
    moved: HashMap<u32, PackId>,
    block: Box<[u8; SEALED_BLOCK]>,
}

impl Shelf {
    /// Opens a table, with the packs that are `present` at their length. Segments of others are asked for: they may have
    /// been `moved`.
    ///
    /// # Errors
    /// It is not there, damaged, or another's.
    pub fn open(
        path: &Path,
        place: &ShelfPlace,
        present: impl Fn(PackId, Bytes) -> bool,
        mut moved: impl FnMut(SegmentId) -> Option<PackId>,
    ) -> Result<Self, ShelfError> {
        let file = PrivateFile::open(path)?;
        let length = file.length()?;
        let blocks = length.checked_sub(TRAILER as u64).ok_or(ShelfError::Malformed("it is too short"))?;
        let last = (blocks / SEALED_BLOCK as u64)
            .checked_sub(1)
            .filter(|_| blocks.is_multiple_of(SEALED_BLOCK as u64))
            .ok_or(ShelfError::Malformed("it was cut"))?;
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, blocks)?;
        let key = place.key(whose(&trailer)?)?;
        let block = Box::new([0; SEALED_BLOCK]);
        let mut shelf = Self {
            file,
            key,
            numbers: Numbers::default(),
            fences: Vec::new(),
            packs: Vec::new(),
            keys: Vec::new(),
            present: Vec::new(),
            moved: HashMap::new(),
            block,
        };
        let text = shelf.block(last)?;
        let end = memchr::memchr(b'\n', text).ok_or(ShelfError::Malformed("it has no numbers"))?;
        shelf.numbers = serde_json::from_slice(text.get(..end).unwrap_or_default())
            .map_err(|_| ShelfError::Malformed("its numbers make no sense"))?;
        if !shelf.numbers.fit(last) {
            return Err(ShelfError::Malformed("its numbers are not those of such a file"));
        }
        let mut fences = Vec::with_capacity(usize::try_from(shelf.numbers.fences.count).unwrap_or(0));
        shelf.records::<FENCE>(shelf.numbers.fences, |_, fence| fences.push(u64::from_be_bytes(*fence)))?;
        shelf.fences = fences;
        shelf.look_at_packs(present, &mut moved)?;
        Ok(shelf)
    }

    fn look_at_packs(
        &mut self,
        present: impl Fn(PackId, Bytes) -> bool,
        moved: &mut impl FnMut(SegmentId) -> Option<PackId>,
    ) -> Result<(), ShelfError> {
        let (mut words, mut all) = (Vec::new(), true);
        let (mut packs, mut keys) = (Vec::new(), Vec::new());
        self.records::<KEY>(self.numbers.keys, |_, key| keys.push(KeyId::from_bytes(*key)))?;
        packs.reserve_exact(usize::try_from(self.numbers.packs.count).unwrap_or(0));
        self.records::<PACK>(self.numbers.packs, |at, pack| {
            let (id, length) = split_pack(pack);
            packs.push(id);
            let there = present(id, length);
            all &= there;
            set(&mut words, at, there);
        })?;
        let mut moves = HashMap::new();
        if !all {
            self.records::<SEGMENT>(self.numbers.segments, |at, segment| {
                let (id, pack, _) = split_segment(segment);
                if !is_set(&words, pack)
                    && let (Some(pack), Ok(at)) = (moved(id), u32::try_from(at))
                {
                    moves.insert(at, pack);
                }
            })?;
        }
        (self.packs, self.keys) = (packs, keys);
        self.present = words;
        self.moved = moves;
        Ok(())
    }

    /// How many chunks it knows.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.numbers.slots.count
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index objects that it was made of.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn indexes(&self) -> Result<HashSet<ObjectName>, ShelfError> {
        let mut text = Vec::new();
        self.records::<1>(self.numbers.names, |_, byte| text.extend_from_slice(byte))?;
        let bad = ShelfError::Malformed("it names what is no index object");
        let Ok(text) = std::str::from_utf8(&text) else { return Err(bad) };
        text.lines()
            .map(|line| line.parse().map_err(|_| ShelfError::Malformed("a name in it is none")))
            .collect()
    }

    /// The number of the segment that holds a chunk.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn find(&mut self, chunk: &[u8; 12]) -> Result<Option<u32>, ShelfError> {
        let wanted = fence_of(chunk);
        // Blocks may begin with the same eight bytes, so the chunk may lie in the block before, too.
        let mut after = self.fences.partition_point(|fence| *fence <= wanted);
        while let Some(at) = after.checked_sub(1) {
            let (count, first) = (self.numbers.slots.count, self.numbers.slots.first);
            let per = BLOCK_PLAIN / SLOT;
            let here = usize::try_from(count - at as u64 * per as u64).map_or(per, |left| left.min(per));
            let (slots, _) = self.block(first + at as u64)?.as_chunks::<SLOT>();
            let slots = slots.get(..here).unwrap_or_default();
            if let Ok(found) = slots.binary_search_by(|slot| split_slot(slot).chunk.cmp(chunk)) {
                return Ok(slots.get(found).map(|slot| u32::from_le_bytes(split_slot(slot).segment)));
            }
            if self.fences.get(at).is_none_or(|fence| *fence < wanted) {
                break;
            }
            after = at;
        }
        Ok(None)
    }

    /// A segment by number, if it lies in a pack that is there.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn segment(&mut self, number: u32) -> Result<Option<KnownSegment>, ShelfError> {
        let (id, pack, key) = split_segment(&self.record(self.numbers.segments, u64::from(number))?);
        let place =
            if is_set(&self.present, pack) { self.packs.get(pack as usize) } else { self.moved.get(&number) };
        let known = |(pack, key): (&PackId, &KeyId)| KnownSegment { id, pack: Some(*pack), key: *key };
        Ok(place.zip(self.keys.get(key as usize)).map(known))
    }

    fn record<const N: usize>(&mut self, region: Region, at: u64) -> Result<[u8; N], ShelfError> {
        if at >= region.count {
            return Err(ShelfError::Malformed("it refers to what is not there"));
        }
        let (block, offset) = region.at(at, N);
        let record = self.block(block)?.get(offset..).and_then(<[u8]>::first_chunk);
        record.copied().ok_or(ShelfError::Malformed("a record is cut"))
    }

    fn block(&mut self, number: u64) -> Result<&[u8], ShelfError> {
        self.file.read_exact_at(self.block.as_mut_slice(), number * SEALED_BLOCK as u64)?;
        Ok(self.key.open(number, &mut self.block)?)
    }

    /// Every record of a region, in order.
    fn records<const N: usize>(
        &self,
        region: Region,
        mut each: impl FnMut(u64, &[u8; N]),
    ) -> Result<(), ShelfError> {
        let (mut block, mut at) = (Box::new([0; SEALED_BLOCK]), 0);
        while at < region.count {
            let (number, _) = region.at(at, N);
            self.file.read_exact_at(block.as_mut_slice(), number * SEALED_BLOCK as u64)?;
            let (records, _) = self.key.open(number, &mut block)?.as_chunks::<N>();
            for record in records.iter().take(usize::try_from(region.count - at).unwrap_or(usize::MAX)) {
                each(at, record);
                at += 1;
            }
        }
        Ok(())
    }
}

impl Numbers {
    /// Whether every region ends before the next one begins, and numbers fit what they index.
    fn fit(&self, blocks: u64) -> bool {
        let regions = [
            (self.segments, SEGMENT),
            (self.slots, SLOT),
            (self.packs, PACK),
            (self.keys, KEY),
            (self.fences, FENCE),
            (self.names, 1),
        ];
        let mut next = 0;
        for (region, length) in regions {
            let per = (BLOCK_PLAIN / length) as u64;
            if region.first != next {
                return false;
            }
            let Some(end) = region.first.checked_add(region.count.div_ceil(per)) else { return false };
            next = end;
        }
        let per = (BLOCK_PLAIN / SLOT) as u64;
        next == blocks && self.fences.count == self.slots.count.div_ceil(per)
    }
}

/// What the trailer says: the run that wrote the file, and as what.
fn whose(trailer: &[u8; TRAILER]) -> Result<&str, ShelfError> {
    let text = std::str::from_utf8(trailer).ok().and_then(|text| text.strip_prefix(SIGN));
    text.map(str::trim_end).ok_or(ShelfError::Malformed("it does not say whose it is"))
}

fn fence_of(chunk: &[u8; 12]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *chunk;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn split_slot(bytes: &[u8; SLOT]) -> Slot {
    let [chunk @ .., a, b, c, d] = *bytes;
    Slot { chunk, segment: [a, b, c, d] }
}

/// The id, the number of the pack, the number of the key.
fn split_segment(bytes: &[u8; SEGMENT]) -> (SegmentId, u32, u32) {
    let [id @ .., p0, p1, p2, p3, k0, k1, k2, k3] = *bytes;
    let (pack, key) = (u32::from_le_bytes([p0, p1, p2, p3]), u32::from_le_bytes([k0, k1, k2, k3]));
    (SegmentId::from_bytes(id), pack, key)
}

fn split_pack(bytes: &[u8; PACK]) -> (PackId, Bytes) {
    let [id @ .., a, b, c, d, e, f, g, h] = *bytes;
    (PackId::from_bytes(id), Bytes(u64::from_le_bytes([a, b, c, d, e, f, g, h])))
}

fn set(words: &mut Vec<u64>, at: u64, value: bool) {
    let word = usize::try_from(at / 64).unwrap_or(usize::MAX);
    if words.len() <= word {
        words.resize(word.saturating_add(1), 0);
    }
    if let Some(word) = words.get_mut(word) {
        *word |= u64::from(value) << (at % 64);
    }
}

fn is_set(words: &[u64], at: u32) -> bool {
    words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}

#[cfg(test)]
mod tests;
