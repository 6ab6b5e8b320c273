//! Readers: they read, cut and name; several at once, each a batch at a time.
//!
//! A file that changes while it is read is read again, up to three times; the last time whatever comes is
//! taken, up to the size it had, and the entry says so.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::crypto::{Compressor, chunk_id};
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{self, EntryKind, Hole, Tail, Xattr, XattrValue};
use lifeboat_repo::units::Bytes;

use crate::report::{Problem, ProblemKind};
use crate::seal::Pool;
use crate::source::{self, Stat};
use crate::walk::{AttributesWork, Batch, FileWork, Item, ReadyLine, STREAMED_ABOVE, Same, TenantKeys};

mod stream;

pub(crate) use stream::{Deaf, Flow, STREAM_QUEUE, cut_stream};

/// How often a file is read before it is taken as it comes.
const ATTEMPTS: u32 = 3;
/// Chunks shorter than this are not probed: probing would cost as much as compressing.
const PROBED_FROM: usize = 64 << 10;
/// How much of a chunk the probe compresses.
const PROBE: usize = 64 << 10;
/// A chunk and its bytes.
pub(crate) struct Piece {
    pub(crate) chunk: ChunkRef,
    /// Where its bytes are in the batch.
    pub(crate) data: Range<usize>,
    /// Whether it did not compress.
    pub(crate) solid: bool,
}

/// What became of an item.
pub(crate) enum Out {
    /// Entries that look as they did.
    Same(Same),
    /// A line, and the chunks it needs; whether it is read only so that they lie elsewhere.
    Line(ReadyLine, Vec<Piece>, bool),
    /// A large file, chunk by chunk; whether it is read only so that they lie elsewhere.
    Stream(Receiver<Flow>, bool),
    /// It vanished.
    Nothing,
}

/// A batch, read.
pub(crate) struct ReadBatch {
    pub(crate) number: u64,
    pub(crate) outs: Vec<Out>,
    pub(crate) arena: Vec<u8>,
}

/// A reader; one a thread.
pub(crate) struct Reader<'a> {
    pub(crate) problem: &'a (dyn Fn(Problem) + Sync),
    /// Whether somebody asked to stop: looked at inside of large files. Whoever was told so may have left one out.
    stop: &'a (dyn Fn() -> bool + Sync),
    arenas: Pool,
    probe: Probe,
}

/// Tells what compresses from what does not.
pub(crate) struct Probe {
    codec: Option<Compressor>,
    packed: Vec<u8>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        // Without a context nothing is probed, and all is compressed alike.
        Self { codec: Compressor::new().ok(), packed: Vec::new() }
    }

    /// Whether 64 KiB from the middle of a chunk do not compress.
    pub(crate) fn is_solid(&mut self, data: &[u8]) -> bool {
        if data.len() < PROBED_FROM {
            return false;
        }
        let Some(codec) = &mut self.codec else { return false };
        let from = (data.len() - PROBE) / 2;
        let sample = data.get(from..from + PROBE).unwrap_or(data);
        // Text compresses; seeing that it is text costs next to nothing.
        if sample.is_ascii() {
            return false;
        }
        codec.compress_into(sample, -1, &mut self.packed).is_ok()
            && self.packed.len() * 100 > sample.len() * 98
    }
}

/// A file as it was read.
struct Content {
    stat: Stat,
    size: Bytes,
    holes: Vec<Hole>,
    chunks: Vec<ChunkRef>,
    changed: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        problem: &'a (dyn Fn(Problem) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
        arenas: Pool,
    ) -> Self {
        Self { problem, stop, arenas, probe: Probe::new() }
    }

    /// Takes batches until there are no more, or nobody takes what was read.
    pub(crate) fn run(&mut self, batches: &Receiver<Batch>, to: &Sender<ReadBatch>) {
        for batch in batches {
            if self.batch(batch, to).is_none() {
                return;
            }
        }
    }

    fn batch(&mut self, batch: Batch, to: &Sender<ReadBatch>) -> Option<()> {
        let mut read = ReadBatch {
            number: batch.number,
            outs: Vec::with_capacity(batch.items.len()),
            arena: self.arenas.get(),
        };
        // The one that the walk put at the batch's end, and what has become large since.
        let mut large = Vec::new();
        for item in batch.items {
            let out = match item {
                Item::Same(same) => Ok(Out::Same(same)),
                Item::Ready(line) => Ok(Out::Line(line, Vec::new(), false)),
                Item::Attributes(work) => Ok(self.attributes(work, &mut read.arena)),
                Item::File(work) if work.stat.size > STREAMED_ABOVE => Err(Box::new(work)),
                Item::File(work) => self.small(work, &mut read.arena),
            };
            read.outs.push(out.unwrap_or_else(|work| {
                let (sender, receiver) = crossbeam_channel::bounded(STREAM_QUEUE);
                let settled = work.settled;
                large.push((work, sender));
                Out::Stream(receiver, settled)
            }));
        }
        to.send(read).ok()?;
        large.into_iter().try_for_each(|(work, sender)| self.stream(&work, &sender))
    }

    fn attributes(&mut self, mut work: AttributesWork, arena: &mut Vec<u8>) -> Out {
        let mut pieces = Vec::new();
        let attributes = std::mem::take(&mut work.attributes);
        work.tail.xattrs = self.cut_attributes(&work.keys, attributes, arena, &mut pieces);
        Out::Line(work.finish(), pieces, false)
    }

    fn cut_attributes(
        &mut self,
        keys: &TenantKeys,
        attributes: source::Attributes,
        arena: &mut Vec<u8>,
        pieces: &mut Vec<Piece>,
    ) -> Vec<Xattr> {
        let mut xattrs = Vec::new();
        for (name, value) in attributes {
            if value.len() <= manifest::XATTR_INLINE_MAX {
                xattrs.push(Xattr { name, value: XattrValue::Inline(value) });
                continue;
            }
            let start = arena.len();
            arena.extend_from_slice(&value);
            let from = pieces.len();
            self.cut(keys, arena, start, pieces);
            let chunks = pieces.iter().skip(from).map(|piece| piece.chunk).collect();
            xattrs.push(Xattr { name, value: XattrValue::Chunks(chunks) });
        }
        xattrs
    }

    /// Reads a small file whole; gives it back if it is no small one any more.
    fn small(&mut self, work: FileWork, arena: &mut Vec<u8>) -> Result<Out, Box<FileWork>> {
        let start = arena.len();
        Ok(match self.read_small(&work, arena, start) {
            Ok(None) => return Err(Box::new(work)),
            Ok(Some((content, attributes))) => {
                let mut pieces = Vec::new();
                self.cut(&work.keys, arena, start, &mut pieces);
                let content = Content { chunks: pieces.iter().map(|piece| piece.chunk).collect(), ..content };
                let xattrs = self.cut_attributes(&work.keys, attributes, arena, &mut pieces);
                Out::Line(self.line(&work, content, xattrs), pieces, work.settled)
            }
            Err(error) => {
                arena.truncate(start);
                self.unreadable(&work, &error).map_or(Out::Nothing, |line| Out::Line(line, Vec::new(), false))
            }
        })
    }

    fn read_small(
        &self,
        work: &FileWork,
        arena: &mut Vec<u8>,
        start: usize,
    ) -> std::io::Result<Option<(Content, source::Attributes)>> {
        let mut attempt = 1;
        loop {
            arena.truncate(start);
            let last = attempt == ATTEMPTS;
            let (file, stat) = open(work)?;
            if stat.size > STREAMED_ABOVE {
                return Ok(None);
            }
            let extents = if last { None } else { source::extents(file.as_fd(), stat.size)? };
            let ranges = extents.clone().unwrap_or_else(|| vec![(0, stat.size.0)]);
            let mut whole = true;
            for (offset, length) in ranges {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                whole &= read_range(&file, offset, length, arena)? == length;
            }
            let attributes = self.file_attributes(work, &file);
            let stable = whole && unchanged(&stat, &source::stat_fd(file.as_fd())?);
            if stable || last {
                let holes =
                    extents.map(|ranges| source::holes_between(&ranges, stat.size)).unwrap_or_default();
                let size = if stable { stat.size } else { Bytes((arena.len() - start) as u64) };
                let content = Content { stat, size, holes, chunks: Vec::new(), changed: !stable };
                return Ok(Some((content, attributes)));
            }
            attempt += 1;
        }
    }

    /// Cuts what the arena holds from `start` on.
    fn cut(&mut self, keys: &TenantKeys, arena: &[u8], start: usize, pieces: &mut Vec<Piece>) {
        let mut at = start;
        while let Some(length) = keys.data.next_cut(arena.get(at..).unwrap_or_default(), true) {
            let data = arena.get(at..at + length).unwrap_or_default();
            let chunk = ChunkRef(chunk_id(&keys.k_id, data), u32::try_from(length).unwrap_or(u32::MAX));
            let solid = self.probe.is_solid(data);
            pieces.push(Piece { chunk, data: at..at + length, solid });
            at += length;
        }
    }

    fn line(&self, work: &FileWork, content: Content, xattrs: Vec<Xattr>) -> ReadyLine {
        if content.changed {
            self.tell(
                work,
                ProblemKind::Changed,
                "it kept changing while it was read; what was read last is kept",
            );
        }
        let mut metadata = content.stat.metadata;
        // Names were looked up by the walk; owners may have changed since.
        if metadata.uid == work.stat.metadata.uid {
            metadata.user.clone_from(&work.stat.metadata.user);
        }
        if metadata.gid == work.stat.metadata.gid {
            metadata.group.clone_from(&work.stat.metadata.group);
        }
        let mut line = Vec::with_capacity(400);
        manifest::write_head(&mut line, &work.path, EntryKind::File, &metadata, content.size);
        let tail = Tail {
            xattrs,
            holes: content.holes,
            chunks: content.chunks,
            changed: content.changed,
            ..Tail::default()
        };
        manifest::write_tail(&mut line, 0, &tail);
        ReadyLine {
            keys: Arc::clone(&work.keys),
            path: work.path.clone(),
            line,
            kind: EntryKind::File,
            size: content.size,
            stable: !content.changed,
            needs: Vec::new(),
        }
    }

    fn file_attributes(&self, work: &FileWork, file: &File) -> source::Attributes {
        source::attributes_fd(file).unwrap_or_else(|error| {
            self.tell(
                work,
                ProblemKind::Unreadable,
                &format!("its extended attributes cannot be read: {error}"),
            );
            Vec::new()
        })
    }

    /// The line of a file that cannot be read, or nothing where it is gone.
    fn unreadable(&self, work: &FileWork, error: &std::io::Error) -> Option<ReadyLine> {
        if error.kind() == std::io::ErrorKind::NotFound {
            self.tell(work, ProblemKind::Vanished, "it vanished before it was read");
            return None;
        }
        let why = error.to_string();
        self.tell(work, ProblemKind::Unreadable, &why);
        Some(ReadyLine::broken(Arc::clone(&work.keys), work.path.clone(), why))
    }

    fn tell(&self, work: &FileWork, kind: ProblemKind, why: &str) {
        (self.problem)(Problem { path: work.path.clone(), kind, why: why.to_owned() });
    }
}

fn open(work: &FileWork) -> std::io::Result<(File, Stat)> {
    let file = source::open_file(work.dir.as_fd(), &work.name)?;
    let stat = source::stat_fd(file.as_fd())?;
    if stat.kind != EntryKind::File {
        return Err(std::io::Error::other("it is no regular file any more"));
    }
    Ok((File::from(file), stat))
}

fn unchanged(before: &Stat, after: &Stat) -> bool {
    before.metadata.mtime == after.metadata.mtime
        && before.metadata.ctime == after.metadata.ctime
        && before.size == after.size
}

/// Appends up to `length` bytes from `offset`; how many there were.
fn read_range(file: &File, offset: u64, length: usize, into: &mut Vec<u8>) -> std::io::Result<usize> {
    let start = into.len();
    into.resize(start + length, 0);
    let mut done = 0;
    while done < length {
        let Some(space) = into.get_mut(start + done..) else { break };
        match file.read_at(space, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                into.truncate(start);
                return Err(error);
            }
        }
    }
    into.truncate(start + done);
    Ok(done)
}
