//! What a host remembers between backups: the last walk, so that an unchanged file costs one `statx`.
//!
//! It is a cache. It is sealed under a key of this host, bound to repository and component, rebuilt when it is
//! lost or unreadable, and never taken as proof that an object exists.
//!
//! A state file is a row of blocks, each a length and an age file holding zstd of a header line and up to
//! 4 MiB: so neither writing nor reading holds a whole tree in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::{Compressor, Decompressor, Identity, Recipient, read_identity_file};
use lifeboat_repo::ids::{ChunkId, KeyId, Label, ObjectName, PackId, RepositoryId, RunId, SegmentId, Tenant};
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{BackupError, BackupErrorKind};

/// Plaintext of a block.
const BLOCK: usize = 4 << 20;
/// Fast: it is written every night and read once.
const LEVEL: i32 = -3;
/// What a reader takes as a block's plaintext at the most: a block, its header, one record over.
const BLOCK_MAX: Bytes = Bytes::mib(64);

/// The state of one component on this host, locked for one backup.
pub(crate) struct State {
    dir: PathBuf,
    identity: Identity,
    bound: String,
    _lock: File,
}

/// What a walk leaves for the next, beside its records.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) run: RunId,
    pub(crate) start: Timestamp,
    /// By the ordinals that records use.
    pub(crate) tenants: Vec<(Tenant, KeyId)>,
    /// By the ordinals that records use: the segment, its pack and that pack's length, its key.
    pub(crate) segments: Vec<(SegmentId, PackId, Bytes, KeyId)>,
    /// The chunks of manifests, with the ordinals of their segments.
    pub(crate) manifests: Vec<(ChunkId, u32)>,
    /// The writer's index objects: without them nobody finds the segments, though their packs be there.
    pub(crate) indexes: Vec<ObjectName>,
}

/// One entry of a walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tenant: u32,
    /// Whether the line may be copied; not what changed while it was read, nor errors.
    pub(crate) stable: bool,
    pub(crate) segments: Vec<u32>,
    pub(crate) path: Vec<u8>,
    pub(crate) line: Vec<u8>,
}

impl State {
    /// Opens and locks the state of a component.
    ///
    /// # Errors
    /// The directory cannot be used, or another backup holds the lock.
    pub(crate) fn open(
        root: &Path,
        repository: &RepositoryId,
        component: &Label,
    ) -> Result<Self, BackupError> {
        let dir = root.join(repository.to_string()).join(component.as_str());
        let state = |error: std::io::Error| {
            BackupError::state(
                dir.display().to_string(),
                format!("the state directory cannot be used: {error}"),
            )
        };
        fs::create_dir_all(&dir).map_err(state)?;
        let lock =
            private().write(true).create(true).truncate(false).open(dir.join("lock")).map_err(state)?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BackupError {
                    what: format!("component {component}"),
                    kind: BackupErrorKind::Busy,
                });
            }
            Err(error) => return Err(state(error.into())),
        }
        let identity = host_identity(&root.join("host.key")).map_err(state)?;
        Ok(Self { identity, bound: format!("{repository}/{component}"), dir, _lock: lock })
    }

    /// What the last committed run left, if it can be read.
    pub(crate) fn load(&self) -> Option<(Table, WalkReader)> {
        let table = match self.read_table() {
            Ok(table) => table?,
            Err(why) => {
                tracing::warn!(state = %self.dir.display(), why, "local state cannot be read; every file is read anew");
                return None;
            }
        };
        let blocks = self.reader(&self.walk_path(table.run), "walk", table.run).ok()?;
        Some((table, WalkReader { blocks, block: Vec::new(), at: 0 }))
    }

    /// Begins to write the walk of a run.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn begin(&self, run: RunId) -> Result<WalkWriter, BackupError> {
        let path = self.walk_path(run);
        let blocks = self.writer(&path, "walk", run)?;
        Ok(WalkWriter { blocks, block: Vec::with_capacity(BLOCK + (64 << 10)) })
    }

    /// Makes a walk the last one, once its run has committed.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn commit(&self, mut walk: WalkWriter, table: &Table) -> Result<(), BackupError> {
        walk.flush()?;
        walk.blocks.finish()?;
        let new = self.dir.join("last.new");
        let json = serde_json::to_vec(table).map_err(|error| self.error(&error))?;
        let mut blocks = self.writer(&new, "table", table.run)?;
        for part in json.chunks(BLOCK) {
            blocks.put(part)?;
        }
        blocks.finish()?;
        fs::rename(&new, self.dir.join("last")).map_err(|error| self.error(&error))?;
        self.sweep(table.run);
        Ok(())
    }

    /// Removes walks of other runs. What cannot be removed is only in the way.
    pub(crate) fn sweep(&self, keep: RunId) {
        let keep = self.walk_path(keep);
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let stale = entry.file_name().to_string_lossy().starts_with("walk.") && entry.path() != keep;
            if stale {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn read_table(&self) -> Result<Option<Table>, String> {
        let path = self.dir.join("last");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut blocks = BlockReader::new(file, &self.identity, format!("{} table", self.bound))?;
        let mut json = Vec::new();
        while let Some(part) = blocks.next()? {
            json.extend_from_slice(&part);
        }
        serde_json::from_slice(&json).map(Some).map_err(|error| error.to_string())
    }

    fn reader(&self, path: &Path, what: &str, run: RunId) -> Result<BlockReader, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        BlockReader::new(file, &self.identity, format!("{} {what} {run}", self.bound))
    }

    fn writer(&self, path: &Path, what: &str, run: RunId) -> Result<BlockWriter, BackupError> {
        let file = private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|error| BackupError::state(path.display().to_string(), error))?;
        // The table is read before its run is known.
        let bound = if what == "table" {
            format!("{} table", self.bound)
        } else {
            format!("{} {what} {run}", self.bound)
        };
        BlockWriter::new(file, self.identity.recipient(), bound, path.display().to_string())
    }

    fn walk_path(&self, run: RunId) -> PathBuf {
        self.dir.join(format!("walk.{run}"))
    }

    fn error(&self, error: &dyn std::fmt::Display) -> BackupError {
        BackupError::state(self.dir.display().to_string(), error)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The key of this host's state; made where there is none.
fn host_identity(path: &Path) -> Result<Identity, std::io::Error> {
    if !path.exists() {
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = private().write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all(Identity::generate().to_secret_string().as_bytes())?;
        file.sync_all()?;
        // Whoever links first wins; the other key was never used.
        let linked = fs::hard_link(&fresh, path);
        fs::remove_file(&fresh)?;
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
    }
    let text = fs::read_to_string(path)?;
    let malformed =
        || std::io::Error::other(format!("{} is no key; remove it to start afresh", path.display()));
    read_identity_file(text).map_err(|_| malformed())?.pop().ok_or_else(malformed)
}

/// Writes the records of a walk.
pub(crate) struct WalkWriter {
    blocks: BlockWriter,
    block: Vec<u8>,
}

impl WalkWriter {
    pub(crate) fn push(
        &mut self,
        tenant: u32,
        stable: bool,
        segments: &[u32],
        path: &[u8],
        line: &[u8],
    ) -> Result<(), BackupError> {
        push_varint(&mut self.block, tenant);
        self.block.push(u8::from(stable));
        push_varint(&mut self.block, u32::try_from(segments.len()).unwrap_or(u32::MAX));
        for segment in segments {
            push_varint(&mut self.block, *segment);
        }
        for bytes in [path, line] {
            push_varint(&mut self.block, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            self.block.extend_from_slice(bytes);
        }
        if self.block.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        self.blocks.put(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// Reads the records of a walk.
pub(crate) struct WalkReader {
    blocks: BlockReader,
    block: Vec<u8>,
    at: usize,
}

impl WalkReader {
    /// The next record; none at the end, or where the rest cannot be read: then files are read anew.
    pub(crate) fn next(&mut self) -> Option<Record> {
        if self.at >= self.block.len() {
            self.block = match self.blocks.next() {
                Ok(block) => block?,
                Err(why) => {
                    tracing::warn!(why, "local state is cut off; the remaining files are read anew");
                    return None;
                }
            };
            self.at = 0;
        }
        let mut rest = self.block.get(self.at..)?;
        let before = rest.len();
        let record = parse_record(&mut rest)?;
        self.at += before - rest.len();
        Some(record)
    }
}

fn parse_record(rest: &mut &[u8]) -> Option<Record> {
    let tenant = take_varint(rest)?;
    let (stable, tail) = rest.split_first()?;
    *rest = tail;
    let count = take_varint(rest)?;
    let mut segments = Vec::with_capacity(rest.len().min(count as usize));
    for _ in 0..count {
        segments.push(take_varint(rest)?);
    }
    let mut bytes = || {
        let length = take_varint(rest)?;
        let (bytes, tail) = rest.split_at_checked(length as usize)?;
        *rest = tail;
        Some(bytes.to_vec())
    };
    let path = bytes()?;
    let line = bytes()?;
    Some(Record { tenant, stable: *stable == 1, segments, path, line })
}

fn push_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn take_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u64;
    for shift in (0..35).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

struct BlockWriter {
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
    fn new(file: File, to: Recipient, bound: String, place: String) -> Result<Self, BackupError> {
        let codec = Compressor::new().map_err(|error| BackupError::state(&place, error))?;
        let file = BufWriter::new(file);
        Ok(Self {
            file,
            to,
            bound,
            place,
            number: 0,
            codec,
            plain: Vec::new(),
            packed: Vec::new(),
            sealed: Vec::new(),
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.plain.clear();
        self.plain.extend_from_slice(format!("{} {}\n", self.bound, self.number).as_bytes());
        self.plain.extend_from_slice(bytes);
        self.number += 1;
        self.seal()
    }

    fn finish(mut self) -> Result<(), BackupError> {
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

struct BlockReader {
    file: BufReader<File>,
    identity: Identity,
    bound: String,
    number: u64,
    codec: Decompressor,
    ended: bool,
}

impl BlockReader {
    fn new(file: File, identity: &Identity, bound: String) -> Result<Self, String> {
        let codec = Decompressor::new().map_err(|error| error.to_string())?;
        let identity = identity.to_secret_string().parse().map_err(|_| "the host's key is malformed")?;
        Ok(Self { file: BufReader::new(file), identity, bound, number: 0, codec, ended: false })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.ended {
            return Ok(None);
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(|error| error.to_string())?;
        let length = u64::from(u32::from_le_bytes(length));
        if Bytes(length) > BLOCK_MAX {
            return Err("a block is too long".into());
        }
        let mut sealed = Vec::new();
        (&mut self.file).take(length).read_to_end(&mut sealed).map_err(|error| error.to_string())?;
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        lifeboat_repo::crypto::open_into(&sealed, std::slice::from_ref(&self.identity), &mut packed)
            .map_err(|error| error.to_string())?;
        self.codec.decompress_into(&packed, BLOCK_MAX, &mut plain).map_err(|error| error.to_string())?;
        let head = format!("{} {}\n", self.bound, self.number);
        if plain == format!("{} {} end\n", self.bound, self.number).as_bytes() {
            self.ended = true;
            return Ok(None);
        }
        if !plain.starts_with(head.as_bytes()) {
            return Err("a block belongs elsewhere".into());
        }
        self.number += 1;
        plain.drain(..head.len());
        Ok(Some(plain))
    }
}
