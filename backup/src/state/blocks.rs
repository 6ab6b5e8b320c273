//! Files of sealed blocks: so neither writing nor reading one holds a whole tree in memory.
//!
//! A file is a row of blocks, each a length and an age file holding zstd of a header line and content. The
//! header binds the block to repository, component, file and place; the last block says that it is the last.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};

use lifeboat_repo::crypto::{Compressor, Decompressor, Identity, Recipient};
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;

/// Plaintext of a block.
pub(super) const BLOCK: usize = 4 << 20;
/// Fast: it is written often and read once.
const LEVEL: i32 = -3;
/// What a reader takes as a block's plaintext at the most: a block, its header, one record over.
const BLOCK_MAX: Bytes = Bytes::mib(64);

/// Writes a file of blocks.
pub(super) struct BlockWriter {
    file: BufWriter<File>,
    to: Recipient,
    bound: String,
    place: String,
    number: u64,
    codec: Compressor,
    plain: Vec<u8>,
    packed: Vec<u8>,
    sealed: Vec<u8>,
}

impl BlockWriter {
    pub(super) fn new(file: File, to: Recipient, bound: String, place: String) -> Result<Self, BackupError> {
        let codec = Compressor::new().map_err(|error| BackupError::state(&place, error))?;
        let file = BufWriter::new(file);
        let (plain, packed, sealed) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { file, to, bound, place, number: 0, codec, plain, packed, sealed })
    }

    /// Writes one block.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.plain.clear();
        self.plain.extend_from_slice(format!("{} {}\n", self.bound, self.number).as_bytes());
        self.plain.extend_from_slice(bytes);
        self.number += 1;
        self.seal()
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        self.plain.clear();
        self.plain.extend_from_slice(format!("{} {} end\n", self.bound, self.number).as_bytes());
        self.seal()?;
        self.file.flush().map_err(|error| BackupError::state(&self.place, error))
    }

    fn seal(&mut self) -> Result<(), BackupError> {
        let fail = |error: &dyn std::fmt::Display| BackupError::state(&self.place, error);
        self.codec.compress_into(&self.plain, LEVEL, &mut self.packed).map_err(|error| fail(&error))?;
        lifeboat_repo::crypto::seal_into(&self.packed, std::slice::from_ref(&self.to), &mut self.sealed)
            .map_err(|error| fail(&error))?;
        let length = u32::try_from(self.sealed.len()).map_err(|error| fail(&error))?;
        self.file
            .write_all(&length.to_le_bytes())
            .and_then(|()| self.file.write_all(&self.sealed))
            .map_err(|error| fail(&error))
    }
}

/// Reads a file of blocks.
pub(super) struct BlockReader {
    file: BufReader<File>,
    identity: Identity,
    bound: String,
    number: u64,
    codec: Decompressor,
    sealed: Vec<u8>,
    packed: Vec<u8>,
    ended: bool,
}

impl BlockReader {
    pub(super) fn new(file: File, identity: &Identity, bound: String) -> Result<Self, String> {
        let codec = Decompressor::new().map_err(|error| error.to_string())?;
        let identity = identity.to_secret_string().parse().map_err(|_| "the host's key is malformed")?;
        let (sealed, packed) = (Vec::new(), Vec::new());
        Ok(Self {
            file: BufReader::new(file),
            identity,
            bound,
            number: 0,
            codec,
            sealed,
            packed,
            ended: false,
        })
    }

    /// Reads the next block into `plain`, and gives the length of its header; nothing at the end.
    pub(super) fn next(&mut self, plain: &mut Vec<u8>) -> Result<Option<usize>, String> {
        if self.ended {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(|error| error.to_string())?;
        let length = u64::from(u32::from_le_bytes(length));
        if Bytes(length) > BLOCK_MAX {
            return Err("a block is too long".into());
        }
        self.sealed.clear();
        (&mut self.file).take(length).read_to_end(&mut self.sealed).map_err(|error| error.to_string())?;
        lifeboat_repo::crypto::open_into(
            &self.sealed,
            std::slice::from_ref(&self.identity),
            &mut self.packed,
        )
        .map_err(|error| error.to_string())?;
        self.codec.decompress_into(&self.packed, BLOCK_MAX, plain).map_err(|error| error.to_string())?;
        let head = format!("{} {}\n", self.bound, self.number);
        if *plain == format!("{} {} end\n", self.bound, self.number).as_bytes() {
            self.ended = true;
            return Ok(None);
        }
        if !plain.starts_with(head.as_bytes()) {
            return Err("a block belongs elsewhere".into());
        }
        self.number += 1;
        Ok(Some(head.len()))
    }
}
