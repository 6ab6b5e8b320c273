//! The source `command`: what a program writes, as one stream.
//!
//! The stream is cut as it comes, so memory does not grow with it, and stored as one regular file. The entry is
//! written only once the program has ended with exit status 0: a dump that broke off is no dump, however much of
//! it there is.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{self, EntryKind, Metadata, Tail};
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::error::{BackupError, BackupErrorKind};
use crate::program::{Fault, Program, ProgramError};
use crate::read::{Deaf, Flow, Out, Probe, ReadBatch, STREAM_QUEUE, cut_stream};
use crate::running::Running;
use crate::walk::{Ended, ReadyLine, TenantKeys};

/// The most that is taken of a program's output at once: what a pipe holds.
const READ: usize = 64 << 10;
/// Permissions of the entry: a dump is nobody else's business.
const MODE: u32 = 0o600;

/// A program whose output is backed up.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// The program.
    pub program: Program,
    /// The name that the stream has in the snapshot: one part of a path.
    pub stream_name: String,
    /// Whose data it is.
    pub tenant: Tenant,
    /// Whether an empty stream is a backup. It is more often a mistake.
    pub allow_empty: bool,
}

/// A command under way, and the moment it was started: the stream holds what was there then.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) at: Timestamp,
}

/// Reads a command's stream into the pipeline, in the place of walk and readers.
pub(crate) struct Feed<'a> {
    pub(crate) source: &'a CommandSource,
    pub(crate) keys: Arc<TenantKeys>,
    pub(crate) to: Sender<ReadBatch>,
    pub(crate) tokens: Receiver<()>,
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl CommandSource {
    /// A program's error as the end of a backup.
    pub(crate) fn failed(&self, error: ProgramError) -> BackupError {
        let kind = match error.fault {
            Fault::Interrupted => BackupErrorKind::Interrupted,
            _ => BackupErrorKind::Program(Box::new(error)),
        };
        BackupError { what: format!("command {}", self.program.name()), kind }
    }
}

impl From<Deaf> for Ended {
    fn from(Deaf: Deaf) -> Self {
        Self::Stopped
    }
}

impl Feed<'_> {
    /// Takes all the command writes.
    pub(crate) fn run(self, started: Started) -> Result<(), Ended> {
        let (flows, stream) = crossbeam_channel::bounded(STREAM_QUEUE);
        self.tokens.recv().map_err(|_| Ended::Stopped)?;
        let batch = ReadBatch { number: 0, outs: vec![Out::Stream(stream, false)], arena: Vec::new() };
        self.to.send(batch).map_err(|_| Ended::Stopped)?;
        let at = started.at;
        match self.take(started.running, &flows) {
            Ok(chunks) => {
                let line = self.line(at, chunks)?;
                flows.send(Flow::End(Box::new(line))).map_err(|_| Ended::Stopped)
            }
            Err(ended) => {
                drop(flows.send(Flow::Nothing));
                Err(ended)
            }
        }
    }

    /// Cuts what the command writes until it has ended well.
    fn take(&self, mut running: Running, flows: &Sender<Flow>) -> Result<Vec<ChunkRef>, Ended> {
        let ended_badly = |error: ProgramError| match error.fault {
            Fault::Interrupted => Ended::Stopped,
            _ => Ended::Failed(self.source.failed(error)),
        };
        let chunks =
            cut_stream(&self.keys, &mut Probe::new(), flows, |window, target| -> Result<bool, Ended> {
                while window.len() < target {
                    if !running.read(window, READ, self.stop).map_err(ended_badly)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })?;
        let said = running.finish(self.stop).map_err(ended_badly)?;
        if chunks.is_empty() && !self.source.allow_empty {
            return Err(ended_badly(ProgramError { fault: Fault::Nothing, said }));
        }
        Ok(chunks)
    }

    fn line(&self, at: Timestamp, chunks: Vec<ChunkRef>) -> Result<ReadyLine, Ended> {
        let fault = |fault| Ended::Failed(self.source.failed(ProgramError { fault, said: Vec::new() }));
        let (uid, gid) = self.source.program.owner().map_err(fault)?;
        let metadata = Metadata { mode: MODE, uid, gid, mtime: at, ctime: at, ..Metadata::default() };
        let size: Bytes = chunks.iter().map(|chunk| Bytes(u64::from(chunk.1))).sum();
        let path = self.source.stream_name.as_bytes().to_vec();
        let mut line = Vec::with_capacity(400);
        manifest::write_head(&mut line, &path, EntryKind::File, &metadata, size);
        manifest::write_tail(&mut line, 0, &Tail { chunks, ..Tail::default() });
        let keys = Arc::clone(&self.keys);
        Ok(ReadyLine { keys, path, line, kind: EntryKind::File, size, stable: true, needs: Vec::new() })
    }
}
