//! Sealers: a segment is compressed, sealed, and opened again before it leaves the machine.
//!
//! Compressors and memory have corrupted backups before. The payload key is still at hand, so the check needs
//! no private key: open, decompress, compare every chunk with its id.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::crypto::{Compressor, Decompressor, chunk_id, reopen_into, seal_into, segment_id};
use lifeboat_repo::format::index::{ChunkRef, SegmentKind, SegmentLine};
use lifeboat_repo::repository::index::SegmentNumber;
use lifeboat_repo::units::{Bytes, LockClass};

use crate::error::{BackupError, BackupErrorKind};
#[cfg(feature = "testing")]
use crate::testing::Stage;
use crate::walk::TenantKeys;

/// The level for what compresses.
const LEVEL: i32 = 3;
/// The level for what a probe found incompressible.
const LEVEL_SOLID: i32 = -1;

/// A full segment.
pub(crate) struct SealJob {
    pub(crate) number: SegmentNumber,
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) kind: SegmentKind,
    pub(crate) solid: bool,
    pub(crate) plain: Vec<u8>,
    pub(crate) chunks: Vec<ChunkRef>,
}

/// A sealed segment; its place is yet to be found.
pub(crate) struct Sealed {
    pub(crate) number: SegmentNumber,
    pub(crate) bytes: Vec<u8>,
    pub(crate) line: SegmentLine,
}

/// Buffers that go round.
#[derive(Clone)]
pub(crate) struct Pool {
    give: Sender<Vec<u8>>,
    take: Receiver<Vec<u8>>,
}

impl Pool {
    /// A pool that keeps so many buffers at the most.
    pub(crate) fn new(most: usize) -> Self {
        let (give, take) = crossbeam_channel::bounded(most);
        Self { give, take }
    }

    /// An empty buffer, used before if there is one.
    pub(crate) fn get(&self) -> Vec<u8> {
        self.take.try_recv().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(crate) fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        drop(self.give.try_send(buffer));
    }
}

/// A sealer; one a thread.
pub(crate) struct Sealer {
    compressor: Compressor,
    decompressor: Decompressor,
    packed: Vec<u8>,
    again: Vec<u8>,
    plain: Vec<u8>,
    plains: Pool,
    outputs: Pool,
}

impl Sealer {
    pub(crate) fn new(plains: Pool, outputs: Pool) -> Result<Self, BackupError> {
        let machine = |error: &dyn std::fmt::Display| BackupError::state("zstd", error);
        Ok(Self {
            compressor: Compressor::new().map_err(|error| machine(&error))?,
            decompressor: Decompressor::new().map_err(|error| machine(&error))?,
            packed: Vec::new(),
            again: Vec::new(),
            plain: Vec::new(),
            plains,
            outputs,
        })
    }

    /// Takes jobs until there are no more, or nobody takes what was sealed.
    pub(crate) fn run(&mut self, jobs: &Receiver<SealJob>, to: &Sender<Result<Sealed, BackupError>>) {
        for job in jobs {
            if to.send(self.seal(job)).is_err() {
                return;
            }
        }
    }

    fn seal(&mut self, job: SealJob) -> Result<Sealed, BackupError> {
        #[cfg(feature = "testing")]
        let mut job = job;
        #[cfg(feature = "testing")]
        crate::testing::pass(Stage::Plain, &mut job.plain);
        let broken =
            |why: String| BackupError { what: "a segment".into(), kind: BackupErrorKind::Corrupted(why) };
        let level = if job.solid { LEVEL_SOLID } else { LEVEL };
        self.compressor
            .compress_into(&job.plain, level, &mut self.packed)
            .map_err(|error| BackupError::state("zstd", error))?;
        #[cfg(feature = "testing")]
        crate::testing::pass(Stage::Packed, &mut self.packed);
        let mut bytes = self.outputs.get();
        let key = seal_into(&self.packed, std::slice::from_ref(&job.keys.card.recipient), &mut bytes)
            .map_err(|error| BackupError::state("age", error))?;
        #[cfg(feature = "testing")]
        crate::testing::pass(Stage::Sealed, &mut bytes);
        let length = Bytes::of(&job.plain);
        reopen_into(&bytes, &key, &mut self.again).map_err(|error| broken(error.to_string()))?;
        self.decompressor
            .decompress_into(&self.again, length, &mut self.plain)
            .map_err(|error| broken(error.to_string()))?;
        let mut rest = self.plain.as_slice();
        for chunk in &job.chunks {
            let (data, tail) = rest
                .split_at_checked(chunk.1 as usize)
                .ok_or_else(|| broken("it came back shorter".into()))?;
            if chunk_id(&job.keys.k_id, data) != chunk.0 {
                return Err(broken("a chunk came back from sealing as something else".into()));
            }
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(broken("it came back longer".into()));
        }
        let line = SegmentLine {
            segment: segment_id(&bytes),
            pack: None,
            key: job.keys.card.key,
            kind: job.kind,
            offset: Bytes::ZERO,
            length: Bytes::of(&bytes),
            plain: length,
            lock: LockClass::Normal,
            chunks: job.chunks,
        };
        #[cfg(feature = "testing")]
        crate::testing::pass(Stage::Checked, &mut bytes);
        self.plains.put(job.plain);
        Ok(Sealed { number: job.number, bytes, line })
    }
}
