//! Records of a walk, and the two files that hold them.
//!
//! The *base* is a whole walk. The *changes* say what the last walk made of it, in order: take so many records of
//! the base, pass over so many, put this one in. So a night in which little changed writes little. Once the
//! changes have grown too large, the next walk is written whole and becomes the base.

use std::ops::Range;
use std::sync::Arc;

use super::Base;
use lifeboat_repo::units::Bytes;

use super::blocks::{BLOCK, BlockReader, BlockWriter};
use crate::error::BackupError;

/// One entry of a walk, where it lies in its block.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) block: Arc<Vec<u8>>,
    /// The whole record.
    pub(crate) range: Range<usize>,
    /// Its place in the base, where it came from there.
    pub(crate) base: Option<u64>,
    pub(crate) fields: Fields,
}

/// The fields of a record.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    pub(crate) tenant: u32,
    /// Whether the line may be copied; not what changed while it was read, nor errors.
    pub(crate) stable: bool,
    /// Ordinals of the segments it needs, each with how many bytes of its chunks, as varints.
    needs: Range<usize>,
    path: Range<usize>,
    line: Range<usize>,
}

impl Record {
    pub(crate) fn path(&self) -> &[u8] {
        self.block.get(self.fields.path.clone()).unwrap_or_default()
    }

    pub(crate) fn line(&self) -> &[u8] {
        self.block.get(self.fields.line.clone()).unwrap_or_default()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = u32> {
        self.fields.needs(&self.block).map(|(segment, _)| segment)
    }
}

impl Fields {
    pub(crate) fn line<'b>(&self, block: &'b [u8]) -> &'b [u8] {
        block.get(self.line.clone()).unwrap_or_default()
    }

    pub(crate) fn path<'b>(&self, block: &'b [u8]) -> &'b [u8] {
        block.get(self.path.clone()).unwrap_or_default()
    }

    /// The segments it needs, by their ordinals, and how many bytes of each.
    pub(crate) fn needs<'b>(&self, block: &'b [u8]) -> impl Iterator<Item = (u32, Bytes)> + use<'b> {
        let mut rest = block.get(self.needs.clone()).unwrap_or_default();
        std::iter::from_fn(move || Some((take_varint(&mut rest)?, Bytes(take_long(&mut rest)?))))
    }
}

/// The record at a place of a block, and where the next one begins.
pub(crate) fn parse(block: &[u8], at: usize) -> Option<(Fields, usize)> {
    let mut rest = block.get(at..)?;
    let here = |rest: &[u8]| block.len() - rest.len();
    let tenant = take_varint(&mut rest)?;
    let (stable, tail) = rest.split_first()?;
    rest = tail;
    let mut section = || {
        let length = take_varint(&mut rest)? as usize;
        let start = here(rest);
        rest = rest.get(length..)?;
        Some(start..start + length)
    };
    let (needs, path, line) = (section()?, section()?, section()?);
    Some((Fields { tenant, stable: *stable == 1, needs, path, line }, here(rest)))
}

fn push_record(out: &mut Vec<u8>, tenant: u32, stable: bool, needs: &[u8], path: &[u8], line: &[u8]) {
    push_varint(out, tenant);
    out.push(u8::from(stable));
    for bytes in [needs, path, line] {
        push_varint(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(bytes);
    }
}

/// What was written.
pub(super) struct Written {
    /// Plaintext bytes of the records that were put in.
    pub(super) bytes: u64,
    /// The base, where these are changes of one.
    pub(super) base: Option<Base>,
}

/// Writes the records of a walk: whole, or as changes of a base.
pub(crate) struct WalkWriter {
    blocks: BlockWriter,
    block: Vec<u8>,
    needs: Vec<u8>,
    base: Option<Base>,
    /// Records of the base dealt with so far; the last of them that are to be taken; those passed over before.
    done: u64,
    taking: u64,
    passed: u64,
    bytes: u64,
}

impl WalkWriter {
    pub(super) fn new(blocks: BlockWriter, base: Option<Base>) -> Self {
        let (block, needs) = (Vec::with_capacity(64 << 10), Vec::new());
        Self { blocks, block, needs, base, done: 0, taking: 0, passed: 0, bytes: 0 }
    }

    /// Whether records of the base may be referred to.
    pub(crate) fn is_changes(&self) -> bool {
        self.base.is_some()
    }

    /// Puts a record in.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn push(
        &mut self,
        tenant: u32,
        stable: bool,
        needs: &[(u32, Bytes)],
        path: &[u8],
        line: &[u8],
    ) -> Result<(), BackupError> {
        if self.base.is_some() {
            self.end_taking();
            push_varint(&mut self.block, 0);
        }
        self.needs.clear();
        for (segment, bytes) in needs {
            push_varint(&mut self.needs, *segment);
            push_long(&mut self.needs, bytes.0);
        }
        let before = self.block.len();
        push_record(&mut self.block, tenant, stable, &self.needs, path, line);
        self.bytes += (self.block.len() - before) as u64;
        if self.block.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    /// Takes records of the base as they are, from one place on. Only where [`Self::is_changes`].
    pub(crate) fn take(&mut self, from: u64, count: u64) {
        if from != self.done || self.taking == 0 {
            self.end_taking();
            self.passed = from.saturating_sub(self.done);
        }
        self.taking += count;
        self.done = from + count;
    }

    fn end_taking(&mut self) {
        if self.taking > 0 {
            push_long(&mut self.block, self.taking);
            push_long(&mut self.block, self.passed);
            self.taking = 0;
        }
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(super) fn finish(mut self) -> Result<Written, BackupError> {
        self.end_taking();
        self.flush()?;
        self.blocks.finish()?;
        Ok(Written { bytes: self.bytes, base: self.base })
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.blocks.put(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// One of the two files, and how far it is read.
pub(super) struct Cursor {
    blocks: BlockReader,
    block: Arc<Vec<u8>>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(blocks: BlockReader) -> Self {
        Self { blocks, block: Arc::default(), at: 0 }
    }

    /// Makes sure that there is something at `at`; false at the end.
    fn ready(&mut self) -> bool {
        if self.at < self.block.len() {
            return true;
        }
        // A block that nobody else holds any more is used again.
        let mut plain = Arc::get_mut(&mut self.block).map(std::mem::take).unwrap_or_default();
        match self.blocks.next(&mut plain) {
            Ok(Some(head)) => {
                self.at = head;
                self.block = Arc::new(plain);
                self.at < self.block.len() || self.ready()
            }
            Ok(None) => false,
            Err(why) => {
                tracing::warn!(why, "local state is cut off; the remaining files are read anew");
                false
            }
        }
    }

    fn record(&mut self, base: Option<u64>) -> Option<Record> {
        if !self.ready() {
            return None;
        }
        let (fields, next) = parse(&self.block, self.at)?;
        let range = self.at..next;
        self.at = next;
        Some(Record { block: Arc::clone(&self.block), range, base, fields })
    }

    fn long(&mut self) -> Option<u64> {
        if !self.ready() {
            return None;
        }
        let mut rest = self.block.get(self.at..)?;
        let before = rest.len();
        let number = take_long(&mut rest)?;
        self.at += before - rest.len();
        Some(number)
    }
}

/// Reads the records of the last walk.
pub(crate) struct WalkReader {
    base: Cursor,
    changes: Option<Cursor>,
    /// Records of the base that were read or passed over.
    done: u64,
    /// Records of the base to be taken next.
    taking: u64,
    over: bool,
}

impl WalkReader {
    pub(super) fn new(base: Cursor, changes: Option<Cursor>) -> Self {
        Self { base, changes, done: 0, taking: 0, over: false }
    }

    /// The next record; none at the end, or where the rest cannot be read: then files are read anew.
    pub(crate) fn next(&mut self) -> Option<Record> {
        if self.over {
            return None;
        }
        let record = self.read();
        self.over = record.is_none();
        record
    }

    fn read(&mut self) -> Option<Record> {
        if let Some(changes) = self.changes.as_mut()
            && self.taking == 0
        {
            self.taking = changes.long()?;
            if self.taking == 0 {
                return changes.record(None);
            }
            for _ in 0..changes.long()? {
                self.base.record(None)?;
                self.done += 1;
            }
        }
        self.taking = self.taking.saturating_sub(1);
        let record = self.base.record(Some(self.done))?;
        self.done += 1;
        Some(record)
    }
}

fn push_varint(out: &mut Vec<u8>, number: u32) {
    push_long(out, u64::from(number));
}

fn push_long(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn take_varint(rest: &mut &[u8]) -> Option<u32> {
    take_long(rest).and_then(|number| u32::try_from(number).ok())
}

pub(crate) fn take_long(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
