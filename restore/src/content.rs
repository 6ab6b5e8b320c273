//! What a file holds: given in order from stored chunks, or compared with a file of this machine.

use std::os::fd::BorrowedFd;

use lifeboat_repo::crypto::hash::{ChunkIdKey, Sha256, chunk_id};
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{Entry, Hole};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::RepositoryError;
use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread};

use crate::error::RestoreError;
use crate::plan::stretch::stretches;
use crate::shares::{ManifestReader, OpenShare};

/// Zeros given, or bytes read from a file, at a time.
const BLOCK: usize = 256 << 10;

/// Why content ended early.
pub(crate) enum Broken {
    /// A chunk cannot be had.
    Stored(RepositoryError),
    /// Whoever takes the bytes wants no more, or somebody asked to stop.
    Stopped(RestoreError),
}

/// Gives every byte of a file in order, holes as zeros; each chunk is compared with its id before any of it is
/// given.
///
/// # Errors
/// A chunk cannot be had, or `take` failed. What was given before is right.
pub(crate) fn stream(
    reader: &mut ManifestReader<'_>,
    one: &OpenShare<'_>,
    entry: &Entry,
    observer: &dyn Observer,
    take: &mut dyn FnMut(&[u8]) -> Result<(), RestoreError>,
) -> Result<(), Broken> {
    let mut at = 0;
    for stretch in stretches(&entry.tail.chunks, &entry.tail.holes) {
        if observer.cancelled() {
            return Err(Broken::Stopped(RestoreError::cancelled()));
        }
        zeros(stretch.offset.saturating_sub(at), observer, take).map_err(Broken::Stopped)?;
        let chunk = reader.chunk(one, &stretch.chunk).map_err(Broken::Stored)?;
        let from = stretch.skip as usize;
        // The chunk has the length that the stretches were cut from.
        let bytes = chunk.get(from..from.saturating_add(stretch.take as usize)).unwrap_or_default();
        take(bytes).map_err(Broken::Stopped)?;
        at = stretch.offset.saturating_add(u64::from(stretch.take));
    }
    zeros(entry.size.0.saturating_sub(at), observer, take).map_err(Broken::Stopped)
}

fn zeros(
    mut count: u64,
    observer: &dyn Observer,
    take: &mut dyn FnMut(&[u8]) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    const ZEROS: &[u8] = &[0; BLOCK];
    while count > 0 {
        if observer.cancelled() {
            return Err(RestoreError::cancelled());
        }
        let now = usize::try_from(count).unwrap_or(BLOCK).min(BLOCK);
        take(ZEROS.get(..now).unwrap_or_default())?;
        count -= now as u64;
    }
    Ok(())
}

/// The SHA-256 of a stored file: what files under different tenant keys can be compared by.
///
/// # Errors
/// A chunk cannot be had, or somebody asked to stop.
pub(crate) fn digest(
    reader: &mut ManifestReader<'_>,
    one: &OpenShare<'_>,
    entry: &Entry,
    observer: &dyn Observer,
) -> Result<[u8; 32], Broken> {
    let mut hash = Sha256::new();
    stream(reader, one, entry, observer, &mut |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hash.finish())
}

/// Whether an open file holds what an entry of its size says: chunk by chunk under the ids of its tenant key, zeros
/// where it says holes. Nothing is fetched.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn file_holds(
    file: BorrowedFd<'_>,
    k_id: &ChunkIdKey,
    entry: &Entry,
    observer: &dyn Observer,
) -> Result<bool, Errno> {
    let mut held = Vec::new();
    for stretch in stretches(&entry.tail.chunks, &entry.tail.holes) {
        if observer.cancelled() {
            return Err(Errno::CANCELED);
        }
        if stretch.skip == 0 {
            held.clear();
        }
        let from = held.len();
        held.resize(from + stretch.take as usize, 0);
        let read = read_full(file, held.get_mut(from..).unwrap_or_default(), stretch.offset)?;
        if read < stretch.take as usize {
            return Ok(false);
        }
        let ChunkRef(id, length) = stretch.chunk;
        // A chunk may reach across holes; it is compared once its last part is there.
        if held.len() == length as usize && chunk_id(k_id, &held) != id {
            return Ok(false);
        }
    }
    let mut block = vec![0; BLOCK];
    for hole in &entry.tail.holes {
        if !is_zero(file, hole, &mut block, observer)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file reads as zeros throughout a range; what the file system knows to be a hole is not read.
///
/// # Errors
/// The file cannot be read; `CANCELED` where somebody asked to stop.
pub(crate) fn is_zero(
    file: BorrowedFd<'_>,
    hole: &Hole,
    block: &mut [u8],
    observer: &dyn Observer,
) -> Result<bool, Errno> {
    let end = hole.offset.0.saturating_add(hole.length.0);
    let mut at = hole.offset.0;
    while at < end {
        if observer.cancelled() {
            return Err(Errno::CANCELED);
        }
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) => at = data,
            Err(Errno::NXIO) => return Ok(true),
            // This file system knows of no holes: everything is read.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
        let now = usize::try_from(end.saturating_sub(at)).unwrap_or(BLOCK).min(block.len());
        let read = read_full(file, block.get_mut(..now).unwrap_or_default(), at)?;
        if block.get(..read).unwrap_or_default().iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < now {
            return Ok(true);
        }
        at += now as u64;
    }
    Ok(true)
}

/// Whether every hole of an entry is one in the file too, as far as whole blocks of its file system go.
///
/// # Errors
/// The file system cannot tell.
pub(crate) fn holes_kept(file: BorrowedFd<'_>, holes: &[Hole], size: u64, block: u64) -> Result<bool, Errno> {
    let block = block.max(1);
    for hole in holes {
        let end = hole.offset.0.saturating_add(hole.length.0);
        let from = hole.offset.0.div_ceil(block).saturating_mul(block);
        // The last block may be a part of one.
        let to = if end >= size { end } else { end / block * block };
        if from >= to {
            continue;
        }
        match seek(file, SeekFrom::Data(from)) {
            Ok(data) if data < to => return Ok(false),
            Ok(_) | Err(Errno::NXIO) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(room) = buffer.get_mut(done..).filter(|room| !room.is_empty()) {
        match pread(file, room, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
