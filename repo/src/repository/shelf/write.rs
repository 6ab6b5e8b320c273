//! Writing a table of chunks: segments first, then slots in order, then what was met on the way.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{
    BLOCK_PLAIN, BlockKey, Numbers, Region, SEALED_BLOCK, SIGN, Shelf, ShelfError, ShelfPlace, Slot, TRAILER,
    fence_of, split_segment, split_slot,
};
use crate::ids::{KeyId, ObjectName, PackId, RunId};
use crate::repository::index::KnownSegment;
use crate::store::private::PrivateFile;
use crate::units::Bytes;

/// A table that is being written, in a file of its own until it is whole.
pub struct ShelfWriter {
    blocks: Blocks<BufWriter<PrivateFile>>,
    whose: String,
    path: PathBuf,
    packs: Numbering<PackId>,
    keys: Numbering<KeyId>,
    numbers: Numbers,
    fences: Vec<u64>,
    last: Option<[u8; 12]>,
}

impl ShelfWriter {
    /// Begins the table that a run leaves; it takes the place of what is at `path` once it is whole.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, place: &ShelfPlace, run: RunId) -> Result<Self, ShelfError> {
        Self::create_as(path, place, run, "kept")
    }

    /// A run writes at most one table of each name: it tells their keys apart.
    pub(super) fn create_as(
        path: &Path,
        place: &ShelfPlace,
        run: RunId,
        name: &str,
    ) -> Result<Self, ShelfError> {
        let whose = format!("{run} {name}");
        let file = PrivateFile::create(&fresh(path))?;
        Ok(Self {
            blocks: Blocks::new(BufWriter::with_capacity(256 << 10, file), place.key(&whose)?),
            whose,
            path: path.to_owned(),
            packs: Numbering::default(),
            keys: Numbering::default(),
            numbers: Numbers::default(),
            fences: Vec::new(),
            last: None,
        })
    }

    /// Adds a segment in a pack, before any slot, and gives its number.
    ///
    /// # Errors
    /// There are 2^32 already, or the file cannot be written.
    pub fn segment(&mut self, segment: &KnownSegment) -> Result<u32, ShelfError> {
        let number = u32::try_from(self.numbers.segments.count).map_err(|_| ShelfError::Full)?;
        let pack = segment.pack.ok_or(ShelfError::Malformed("a segment lies in no pack"))?;
        let (pack, key) = (self.packs.of(pack)?, self.keys.of(segment.key)?);
        for part in [segment.id.as_bytes().as_slice(), &pack.to_le_bytes(), &key.to_le_bytes()] {
            self.blocks.block.extend_from_slice(part);
        }
        self.numbers.segments.count += 1;
        self.blocks.flush_if_full(super::SEGMENT)?;
        Ok(number)
    }

    /// Adds a slot, in the order of chunks. Of several with one chunk the first stays.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn slot(&mut self, slot: Slot) -> Result<(), ShelfError> {
        if self.last == Some(slot.chunk) {
            return Ok(());
        }
        if self.last.is_none() {
            self.blocks.flush()?;
            self.numbers.slots.first = self.blocks.number;
        }
        self.last = Some(slot.chunk);
        if self.blocks.block.is_empty() {
            self.fences.push(fence_of(&slot.chunk));
        }
        self.blocks.block.extend_from_slice(&slot.chunk);
        self.blocks.block.extend_from_slice(&slot.segment);
        self.numbers.slots.count += 1;
        self.blocks.flush_if_full(super::SLOT)
    }

    /// Ends the table: with the lengths of packs, and the index objects that it was made of.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish<'n>(
        mut self,
        length: impl Fn(PackId) -> Option<Bytes>,
        indexes: impl Iterator<Item = &'n ObjectName>,
    ) -> Result<(), ShelfError> {
        self.blocks.flush()?;
        if self.last.is_none() {
            self.numbers.slots.first = self.blocks.number;
        }
        // No pack is empty: one without a length is never found present.
        let packs = self.packs.order.iter().map(|pack| {
            let mut record = [0; super::PACK];
            let (id, to) = record.split_at_mut(32);
            id.copy_from_slice(pack.as_bytes());
            to.copy_from_slice(&length(*pack).unwrap_or(Bytes::ZERO).0.to_le_bytes());
            record
        });
        self.numbers.packs = self.blocks.region(packs)?;
        self.numbers.keys = self.blocks.region(self.keys.order.iter().map(|key| *key.as_bytes()))?;
        self.numbers.fences = self.blocks.region(self.fences.iter().map(|fence| fence.to_be_bytes()))?;
        let names = indexes.flat_map(|name| name.as_str().bytes().chain([b'\n']));
        self.numbers.names = self.blocks.region(names.map(|byte| [byte]))?;
        let numbers = serde_json::to_vec(&self.numbers).map_err(std::io::Error::from)?;
        self.blocks.block.extend_from_slice(&numbers);
        self.blocks.block.push(b'\n');
        self.blocks.flush()?;
        let trailer = format!("{:<width$}\n", format!("{SIGN}{}", self.whose), width = TRAILER - 1);
        self.blocks.out.write_all(trailer.as_bytes())?;
        self.blocks.out.flush()?;
        PrivateFile::rename(&fresh(&self.path), &self.path)?;
        Ok(())
    }
}

fn fresh(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Numbers for ids, in the order they are met.
struct Numbering<T> {
    of: HashMap<T, u32>,
    order: Vec<T>,
}

impl<T> Default for Numbering<T> {
    fn default() -> Self {
        Self { of: HashMap::new(), order: Vec::new() }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Numbering<T> {
    fn of(&mut self, id: T) -> Result<u32, ShelfError> {
        if let Some(number) = self.of.get(&id) {
            return Ok(*number);
        }
        let number = u32::try_from(self.order.len()).map_err(|_| ShelfError::Full)?;
        self.of.insert(id, number);
        self.order.push(id);
        Ok(number)
    }
}

/// Content that is sealed and written block by block.
pub(super) struct Blocks<W> {
    pub(super) out: W,
    key: BlockKey,
    pub(super) number: u64,
    pub(super) block: Vec<u8>,
}

impl<W: Write> Blocks<W> {
    pub(super) fn new(out: W, key: BlockKey) -> Self {
        Self { out, key, number: 0, block: Vec::with_capacity(SEALED_BLOCK) }
    }

    /// Writes the block out where another record of this length does not fit.
    pub(super) fn flush_if_full(&mut self, record: usize) -> Result<(), ShelfError> {
        if self.block.len() + record > BLOCK_PLAIN { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<(), ShelfError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.block.resize(SEALED_BLOCK, 0);
        if let Some(block) = self.block.first_chunk_mut() {
            self.key.seal(self.number, block)?;
        }
        self.out.write_all(&self.block)?;
        self.number += 1;
        self.block.clear();
        Ok(())
    }

    fn region<const N: usize>(
        &mut self,
        records: impl Iterator<Item = [u8; N]>,
    ) -> Result<Region, ShelfError> {
        let mut region = Region { first: self.number, count: 0 };
        for record in records {
            self.block.extend_from_slice(&record);
            region.count += 1;
            self.flush_if_full(N)?;
        }
        self.flush()?;
        Ok(region)
    }
}

impl Shelf {
    /// Copies the segments that are there into a table that is being written. Gives their numbers there, in the order of
    /// those here, and tells `met` of each.
    pub(in crate::repository) fn copy_segments(
        &self,
        to: &mut ShelfWriter,
        mut met: impl FnMut(&KnownSegment, u32),
    ) -> Result<Vec<Option<u32>>, ShelfError> {
        let mut renumbered = Vec::with_capacity(usize::try_from(self.numbers.segments.count).unwrap_or(0));
        let mut failed = None;
        self.records::<{ super::SEGMENT }>(self.numbers.segments, |at, segment| {
            let (id, pack, key) = split_segment(segment);
            let there = super::is_set(&self.present, pack);
            let pack = match u32::try_from(at) {
                Ok(_) if there => self.packs.get(pack as usize).copied(),
                Ok(at) => self.moved.get(&at).copied(),
                Err(_) => None,
            };
            let number = pack.zip(self.keys.get(key as usize)).and_then(|(pack, key)| {
                let known = KnownSegment { id, pack: Some(pack), key: *key };
                let number = to.segment(&known);
                if let Ok(number) = &number {
                    met(&known, *number);
                }
                number.map_err(|error| failed = Some(error)).ok()
            });
            renumbered.push(number);
        })?;
        failed.map_or(Ok(renumbered), Err)
    }

    /// Merges the slots of this table with others, sorted, into one that is being written.
    pub(in crate::repository) fn merge_slots(
        &self,
        renumbered: &[Option<u32>],
        others: &[Slot],
        to: &mut ShelfWriter,
    ) -> Result<(), ShelfError> {
        let (mut others, mut failed) = (others.iter().copied().peekable(), None);
        self.records::<{ super::SLOT }>(self.numbers.slots, |_, slot| {
            let slot = split_slot(slot);
            let number = renumbered.get(u32::from_le_bytes(slot.segment) as usize).copied().flatten();
            // Where both know a chunk, the newer place is taken.
            while let Some(other) = others.next_if(|other| other.chunk <= slot.chunk) {
                if let Err(error) = to.slot(other) {
                    failed = Some(error);
                }
            }
            if let Some(number) = number
                && let Err(error) = to.slot(Slot { chunk: slot.chunk, segment: number.to_le_bytes() })
            {
                failed = Some(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        others.try_for_each(|other| to.slot(other))
    }
}
