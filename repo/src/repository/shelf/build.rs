//! Building a table of chunks from what comes in any order: sorted in pieces, then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufReader, BufWriter, Read, Seek};
use std::path::PathBuf;

use super::write::Blocks;
use super::{BlockKey, SEALED_BLOCK, SLOT, ShelfError, ShelfPlace, ShelfWriter, Slot, split_slot};
use crate::ids::{ChunkId, ObjectName, PackId, RunId};
use crate::repository::index::{KnownSegment, short};
use crate::store::private::PrivateFile;
use crate::units::Bytes;

/// Builds a table in bounded memory: what [`ShelfPlace::large`] chunks take, however many there are.
pub struct ShelfBuilder {
    place: ShelfPlace,
    run: RunId,
    writer: ShelfWriter,
    buffer: Vec<Slot>,
    sorted: Vec<Sorted>,
}

/// Slots that were sorted and written out.
struct Sorted {
    file: PrivateFile,
    key: BlockKey,
    count: u64,
}

impl ShelfBuilder {
    /// Begins a table at `path`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: PathBuf, place: ShelfPlace, run: RunId) -> Result<Self, ShelfError> {
        let writer = ShelfWriter::create_as(&path, &place, run, "built")?;
        Ok(Self { place, run, writer, buffer: Vec::new(), sorted: Vec::new() })
    }

    /// Adds a segment, and gives its number.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn segment(&mut self, segment: &KnownSegment) -> Result<u32, ShelfError> {
        self.writer.segment(segment)
    }

    /// Adds a chunk of a segment.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn chunk(&mut self, chunk: &ChunkId, segment: u32) -> Result<(), ShelfError> {
        self.slot(Slot { chunk: short(chunk), segment: segment.to_le_bytes() })
    }

    pub(in crate::repository) fn slot(&mut self, slot: Slot) -> Result<(), ShelfError> {
        self.buffer.push(slot);
        if self.buffer.len() >= self.place.large.max(1) { self.write_out() } else { Ok(()) }
    }

    /// Ends the table, as [`ShelfWriter::finish`] does.
    ///
    /// # Errors
    /// A file cannot be written, or what was sorted cannot be read again.
    pub fn finish<'n>(
        mut self,
        length: impl Fn(PackId) -> Option<Bytes>,
        indexes: impl Iterator<Item = &'n ObjectName>,
    ) -> Result<(), ShelfError> {
        self.write_out()?;
        drop(std::mem::take(&mut self.buffer));
        let mut readers = self.sorted.into_iter().map(Reading::new).collect::<Result<Vec<_>, _>>()?;
        let mut heap = BinaryHeap::with_capacity(readers.len());
        for (at, reader) in readers.iter_mut().enumerate() {
            heap.extend(reader.next()?.map(|slot| Reverse((slot, at))));
        }
        while let Some(Reverse((slot, at))) = heap.pop() {
            self.writer.slot(slot)?;
            if let Some(reader) = readers.get_mut(at) {
                heap.extend(reader.next()?.map(|slot| Reverse((slot, at))));
            }
        }
        self.writer.finish(length, indexes)
    }

    fn write_out(&mut self) -> Result<(), ShelfError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer.sort_unstable();
        let number = self.sorted.len();
        let path = self.place.dir.join(format!("sorted.{number}"));
        let file = PrivateFile::create(&path)?;
        // Nobody else needs its name, and nobody has to remove it.
        PrivateFile::remove(&path)?;
        let whose = format!("{} sorted {number}", self.run);
        let mut blocks = Blocks::new(BufWriter::with_capacity(256 << 10, file), self.place.key(&whose)?);
        for slot in &self.buffer {
            blocks.block.extend_from_slice(&slot.chunk);
            blocks.block.extend_from_slice(&slot.segment);
            blocks.flush_if_full(SLOT)?;
        }
        blocks.flush()?;
        let file = blocks.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        let key = self.place.key(&whose)?;
        self.sorted.push(Sorted { file, key, count: self.buffer.len() as u64 });
        self.buffer.clear();
        Ok(())
    }
}

/// Sorted slots on their way back.
struct Reading {
    file: BufReader<PrivateFile>,
    key: BlockKey,
    left: u64,
    number: u64,
    block: Box<[u8; SEALED_BLOCK]>,
    at: usize,
}

impl Reading {
    fn new(sorted: Sorted) -> Result<Self, ShelfError> {
        let Sorted { mut file, key, count } = sorted;
        file.rewind()?;
        let file = BufReader::with_capacity(64 << 10, file);
        Ok(Self { file, key, left: count, number: 0, block: Box::new([0; SEALED_BLOCK]), at: SEALED_BLOCK })
    }

    fn next(&mut self) -> Result<Option<Slot>, ShelfError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.at + SLOT > super::BLOCK_PLAIN {
            self.file.read_exact(self.block.as_mut_slice())?;
            self.key.open(self.number, &mut self.block)?;
            self.number += 1;
            self.at = 0;
        }
        let slot = self.block.get(self.at..).and_then(<[u8]>::first_chunk).map(split_slot);
        self.at += SLOT;
        self.left -= 1;
        slot.map(Some).ok_or(ShelfError::Malformed("a record is cut"))
    }
}
