//! Streams: files that are not read whole, and whatever else comes without an end in sight.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use crossbeam_channel::Sender;
use lifeboat_repo::crypto::chunk_id;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::Xattr;
use rustix::io::Errno;

use super::{ATTEMPTS, Content, Probe, Reader, open, read_range, unchanged};
use crate::source;
use crate::walk::{FileWork, ReadyLine, TenantKeys};

/// Chunks of one stream that wait for the assembler; at most 2 MiB each.
pub(crate) const STREAM_QUEUE: usize = 3;

/// A large file on its way.
pub(crate) enum Flow {
    /// The next chunk.
    Chunk { keys: Arc<TenantKeys>, chunk: ChunkRef, data: Vec<u8>, solid: bool },
    /// It changed: chunks so far are not its.
    Again,
    /// Its line; the chunks it names came before.
    End(Box<ReadyLine>),
    /// It vanished, or somebody asked to stop.
    Nothing,
}

/// Nobody takes the chunks any more: another stage failed, and says why.
pub(crate) struct Deaf;

/// Cuts a stream as it comes. `fill` appends to a window until it holds so many bytes, and says whether the stream
/// has ended.
pub(crate) fn cut_stream<E: From<Deaf>>(
    keys: &Arc<TenantKeys>,
    probe: &mut Probe,
    to: &Sender<Flow>,
    mut fill: impl FnMut(&mut Vec<u8>, usize) -> Result<bool, E>,
) -> Result<Vec<ChunkRef>, E> {
    let max = keys.data.params().max().as_usize();
    let mut window = Vec::with_capacity(2 * max);
    let mut chunks = Vec::new();
    loop {
        let ended = fill(&mut window, 2 * max)?;
        let mut at = 0;
        while let Some(rest) = window.get(at..).filter(|rest| rest.len() >= max || ended) {
            let Some(length) = keys.data.next_cut(rest, ended) else { break };
            let data = rest.get(..length).unwrap_or_default().to_vec();
            at += length;
            let chunk = ChunkRef(chunk_id(&keys.k_id, &data), u32::try_from(length).unwrap_or(u32::MAX));
            let solid = probe.is_solid(&data);
            chunks.push(chunk);
            to.send(Flow::Chunk { keys: Arc::clone(keys), chunk, data, solid }).map_err(|_| Deaf)?;
        }
        window.drain(..at);
        if ended {
            return Ok(chunks);
        }
    }
}

impl Reader<'_> {
    /// Sends a large file; nothing where nobody takes it.
    pub(super) fn stream(&mut self, work: &FileWork, to: &Sender<Flow>) -> Option<()> {
        let mut attempt = 1;
        loop {
            match self.stream_once(work, to, attempt == ATTEMPTS) {
                Ok(Some((content, xattrs))) => {
                    let line = self.line(work, content, xattrs);
                    return to.send(Flow::End(Box::new(line))).ok();
                }
                Ok(None) => to.send(Flow::Again).ok()?,
                Err(Stop::Io(error)) => {
                    to.send(Flow::Again).ok()?;
                    let flow =
                        self.unreadable(work, &error).map_or(Flow::Nothing, |line| Flow::End(Box::new(line)));
                    return to.send(flow).ok();
                }
                Err(Stop::Asked) => return to.send(Flow::Nothing).ok(),
                Err(Stop::Deaf) => return None,
            }
            attempt += 1;
        }
    }

    /// Sends a file's chunks; nothing where it changed and can be read again.
    fn stream_once(
        &mut self,
        work: &FileWork,
        to: &Sender<Flow>,
        last: bool,
    ) -> Result<Option<(Content, Vec<Xattr>)>, Stop> {
        let (file, stat) = open(work)?;
        let extents = if last {
            None
        } else {
            source::extents(file.as_fd(), stat.size).map_err(std::io::Error::from)?
        };
        let ranges = extents.clone().unwrap_or_else(|| vec![(0, stat.size.0)]);
        let mut source = Ranges { file: &file, ranges: ranges.into(), short: false };
        let stop = self.stop;
        let chunks = cut_stream(&work.keys, &mut self.probe, to, |window, target| {
            if stop() {
                return Err(Stop::Asked);
            }
            source.fill(window, target).map_err(Stop::Io)
        })?;
        let attributes = self.file_attributes(work, &file);
        let stable =
            !source.short && unchanged(&stat, &source::stat_fd(file.as_fd()).map_err(std::io::Error::from)?);
        if !stable && !last {
            return Ok(None);
        }
        let (mut arena, mut pieces) = (Vec::new(), Vec::new());
        let xattrs = self.cut_attributes(&work.keys, attributes, &mut arena, &mut pieces);
        for piece in pieces {
            let data = arena.get(piece.data).unwrap_or_default().to_vec();
            let flow =
                Flow::Chunk { keys: Arc::clone(&work.keys), chunk: piece.chunk, data, solid: piece.solid };
            to.send(flow).map_err(|_| Stop::Deaf)?;
        }
        let holes = extents.map(|ranges| source::holes_between(&ranges, stat.size)).unwrap_or_default();
        let size = if stable { stat.size } else { chunks.iter().map(ChunkRef::length).sum() };
        Ok(Some((Content { stat, size, holes, chunks, changed: !stable }, xattrs)))
    }
}

/// Why a stream ended early.
enum Stop {
    Io(std::io::Error),
    Asked,
    Deaf,
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Deaf> for Stop {
    fn from(Deaf: Deaf) -> Self {
        Self::Deaf
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Ranges of a file as one stream.
struct Ranges<'f> {
    file: &'f File,
    ranges: std::collections::VecDeque<(u64, u64)>,
    /// Whether the file ended before its ranges did.
    short: bool,
}

impl Ranges<'_> {
    /// Fills a window up to `target` bytes; whether the stream has ended.
    fn fill(&mut self, window: &mut Vec<u8>, target: usize) -> std::io::Result<bool> {
        while window.len() < target {
            let Some((offset, left)) = self.ranges.front_mut() else { return Ok(true) };
            let want = usize::try_from(*left).unwrap_or(usize::MAX).min(target - window.len());
            let got = read_range(self.file, *offset, want, window)?;
            *offset += got as u64;
            *left -= got as u64;
            if got < want {
                self.short = true;
                self.ranges.clear();
            } else if *left == 0 {
                self.ranges.pop_front();
            }
        }
        Ok(self.ranges.is_empty())
    }
}
