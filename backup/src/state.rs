//! What a host remembers between backups: the last walk, so that an unchanged file costs one `statx`.
//!
//! It is a cache. It is sealed under a key of this host, bound to repository and component, rebuilt when it is
//! lost or unreadable, and never taken as proof that an object exists.
//!
//! Beside the walk lies the table of chunks to deduplicate with, so that a night with changes need not read the
//! whole index from the repository.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lifeboat_repo::crypto::{Identity, read_identity_file};
use lifeboat_repo::ids::{ChunkId, KeyId, Label, ObjectName, PackId, RepositoryId, RunId, SegmentId, Tenant};
use lifeboat_repo::repository::index::DedupTable;
use lifeboat_repo::repository::shelf::{Shelf, ShelfPlace};
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{BackupError, BackupErrorKind};
use crate::rewrite::Holding;

mod blocks;
mod carried;
pub(crate) mod records;

pub(crate) use carried::Fetched;

use blocks::{BLOCK, BlockReader, BlockWriter};
use records::{Cursor, WalkReader, WalkWriter, Written};

/// The table of chunks where it fits into memory, and where it does not.
const CHUNKS: &str = "chunks";
const SHELF: &str = "shelf";
/// Tables of so many chunks (16 MiB of them) lie on disk. Below, looking up in memory is quicker by far.
pub(crate) static LARGE: AtomicUsize = AtomicUsize::new(1 << 20);
/// Changes larger than the base by this divisor: the next walk is written whole.
const CHANGES_SHARE: u64 = 4;

/// The state of one component on this host, locked for one backup.
pub(crate) struct State {
    dir: PathBuf,
    identity: Identity,
    bound: String,
    relied_on: AtomicBool,
    forgotten: AtomicBool,
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
    /// By the same ordinals: how much of each segment lives.
    pub(crate) holdings: Vec<Holding>,
    /// The chunks of manifests, with the ordinals of their segments.
    pub(crate) manifests: Vec<(ChunkId, u32)>,
    /// The writer's index objects: without them nobody finds the segments, though their packs be there.
    pub(crate) indexes: Vec<ObjectName>,
    /// The walk that holds most records.
    pub(crate) base: Option<Base>,
    /// Plaintext of the changes to it, where there are any.
    pub(crate) changes: u64,
}

/// A whole walk.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Base {
    pub(crate) run: RunId,
    pub(crate) bytes: u64,
}

/// The table of chunks that a host keeps, and the index objects that it was made of.
#[derive(Debug, Serialize, Deserialize)]
struct ChunksHeader {
    indexes: Vec<ObjectName>,
}

impl State {
    /// Opens and locks the state of a component. It is sealed under the host's key, or under `own` where it is carried
    /// from host to host.
    ///
    /// # Errors
    /// The directory cannot be used, or another backup holds the lock.
    pub(crate) fn open(
        root: &Path,
        repository: &RepositoryId,
        component: &Label,
        own: Option<&Identity>,
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
        let identity = match own {
            Some(own) => copy(own).map_err(state)?,
            None => host_identity(&root.join("host.key")).map_err(state)?,
        };
        let bound = format!("{repository}/{component}");
        let (relied_on, forgotten) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { identity, bound, dir, relied_on, forgotten, _lock: lock })
    }

    /// What the last committed run left, if it can be read. From then on it is relied on.
    pub(crate) fn load(&self) -> Option<(Table, WalkReader)> {
        let unread = |why: String| {
            tracing::warn!(state = %self.dir.display(), why, "local state cannot be read; every file is read anew");
        };
        let table = self.read_table().map_err(unread).ok()??;
        let reader = self.open_walk(&table).map_err(unread).ok()?;
        self.relied_on.store(true, Ordering::Relaxed);
        Some((table, reader))
    }

    /// Whether what the last run left was taken for true.
    pub(crate) fn is_relied_on(&self) -> bool {
        self.relied_on.load(Ordering::Relaxed)
    }

    /// Forgets what the last run left: every file is to be read anew.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn forget(&self) -> Result<(), BackupError> {
        for name in ["last", CHUNKS, SHELF] {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.error(&error)),
                _ => {}
            }
        }
        self.relied_on.store(false, Ordering::Relaxed);
        self.forgotten.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it was forgotten since it was opened.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// The same for what is locked as this class. What it remembers of packs of another is passed over.
    pub(crate) fn of_class(mut self, class: LockClass) -> Self {
        if !class.is_normal() {
            self.bound = format!("{}/{class}", self.bound);
        }
        self
    }

    fn open_walk(&self, table: &Table) -> Result<WalkReader, String> {
        let base = table.base.ok_or("it names no walk")?;
        let open = |run| self.reader(&self.walk_path(run), "walk", run).map(Cursor::new);
        let changes = if base.run == table.run { None } else { Some(open(table.run)?) };
        Ok(WalkReader::new(open(base.run)?, changes))
    }

    /// Begins to write the walk of a run: as changes of the last one's base, or whole.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn begin(&self, run: RunId, last: Option<&Table>) -> Result<WalkWriter, BackupError> {
        let path = self.walk_path(run);
        let blocks = self.writer(&path, "walk", run)?;
        let base = last.filter(|last| last.changes <= last.base.map_or(0, |base| base.bytes) / CHANGES_SHARE);
        Ok(WalkWriter::new(blocks, base.and_then(|last| last.base)))
    }

    /// Makes a walk the last one, once its run has committed.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn commit(&self, walk: WalkWriter, mut table: Table) -> Result<(), BackupError> {
        let Written { bytes, base } = walk.finish()?;
        table.changes = if base.is_some() { bytes } else { 0 };
        table.base = base.or(Some(Base { run: table.run, bytes }));
        let json = serde_json::to_vec(&table).map_err(|error| self.error(&error))?;
        self.replace("last", "table", table.run, &json)?;
        self.sweep(&table);
        Ok(())
    }

    /// Takes the table of chunks that was kept, as far as packs are present or segments were `moved` to packs that are, and gives the index objects
    /// that need not be read then: none where there is no table, or where one of its index objects is gone that no gc
    /// record condemns.
    pub(crate) fn load_chunks(
        &self,
        gone: &dyn Fn(&ObjectName) -> bool,
        present: &HashMap<PackId, Bytes>,
        moved: &mut dyn FnMut(SegmentId) -> Option<PackId>,
        table: &mut DedupTable,
    ) -> HashSet<ObjectName> {
        if let Some(covered) = self.open_shelf(gone, present, moved, table) {
            return covered;
        }
        let bytes = self.read_whole(CHUNKS, "chunks").unwrap_or_else(|why| {
            tracing::warn!(state = %self.dir.display(), why, "the table of chunks cannot be read; it is made anew");
            None
        });
        let bytes = bytes.unwrap_or_default();
        let Some(line) = bytes.iter().position(|byte| *byte == b'\n') else { return HashSet::new() };
        let header = serde_json::from_slice(bytes.get(..line).unwrap_or_default());
        let Ok(ChunksHeader { indexes: covered }) = header else { return HashSet::new() };
        let covered: HashSet<ObjectName> = covered.into_iter().collect();
        let slots = bytes.get(line + 1..).unwrap_or_default();
        let place = |segment, pack, length| match present.get(&pack) {
            Some(known) if *known == length => Some(pack),
            // What has no length was never in a pack.
            _ if length == Bytes::ZERO => None,
            _ => moved(segment),
        };
        if !covered.iter().any(gone) && table.absorb_bytes(slots, place) { covered } else { HashSet::new() }
    }

    /// Keeps the table of chunks for the next run.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn keep_chunks(
        &self,
        run: RunId,
        table: &DedupTable,
        indexes: &HashSet<ObjectName>,
        length: impl Fn(PackId) -> Option<Bytes>,
    ) -> Result<(), BackupError> {
        let remove = |name: &str| drop(fs::remove_file(self.dir.join(name)));
        if table.is_broken() {
            [CHUNKS, SHELF].into_iter().for_each(remove);
            return Ok(());
        }
        if table.is_large() {
            remove(CHUNKS);
            let kept = table.keep(&self.dir.join(SHELF), length, indexes.iter());
            return kept.map_err(|error| self.error(&error));
        }
        remove(SHELF);
        let header = ChunksHeader { indexes: indexes.iter().cloned().collect() };
        let mut bytes = serde_json::to_vec(&header).map_err(|error| self.error(&error))?;
        bytes.push(b'\n');
        table.to_bytes(&mut bytes, length);
        self.replace(CHUNKS, "chunks", run, &bytes)
    }

    /// Where tables of chunks that are too large for memory lie.
    pub(crate) fn shelves(&self) -> ShelfPlace {
        let (dir, secret) = (self.dir.clone(), self.identity.to_secret_string());
        ShelfPlace { dir, secret, bound: self.bound.clone(), large: LARGE.load(Ordering::Relaxed) }
    }

    /// The table on disk, if there is one that can be used, and the index objects that it covers.
    fn open_shelf(
        &self,
        gone: &dyn Fn(&ObjectName) -> bool,
        present: &HashMap<PackId, Bytes>,
        moved: &mut dyn FnMut(SegmentId) -> Option<PackId>,
        table: &mut DedupTable,
    ) -> Option<HashSet<ObjectName>> {
        let path = self.dir.join(SHELF);
        if !path.exists() {
            return None;
        }
        let known = |pack, length| present.get(&pack) == Some(&length);
        let opened = Shelf::open(&path, &self.shelves(), known, moved)
            .and_then(|shelf| shelf.indexes().map(|covered| (shelf, covered)));
        match opened {
            Ok((shelf, covered)) if !covered.iter().any(gone) => {
                table.take_shelf(shelf);
                return Some(covered);
            }
            Ok(_) => {
                tracing::warn!(shelf = %path.display(), "an index object is gone; the table of chunks is made anew")
            }
            Err(error) => {
                tracing::warn!(shelf = %path.display(), %error, "the table of chunks cannot be read; it is made anew");
            }
        }
        None
    }

    /// Removes walks of other runs. What cannot be removed is only in the way.
    pub(crate) fn sweep(&self, keep: &Table) {
        let keep =
            [Some(keep.run), keep.base.map(|base| base.run)].map(|run| run.map(|run| self.walk_path(run)));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let walk = entry.file_name().to_string_lossy().starts_with("walk.");
            if walk && !keep.contains(&Some(entry.path())) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn replace(&self, name: &str, what: &str, run: RunId, bytes: &[u8]) -> Result<(), BackupError> {
        let new = self.dir.join(format!("{name}.new"));
        let mut blocks = self.writer(&new, what, run)?;
        for part in bytes.chunks(BLOCK) {
            blocks.put(part)?;
        }
        blocks.finish()?;
        fs::rename(&new, self.dir.join(name)).map_err(|error| self.error(&error))
    }

    fn read_table(&self) -> Result<Option<Table>, String> {
        let Some(json) = self.read_whole("last", "table")? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| error.to_string())
    }

    fn read_whole(&self, name: &str, what: &str) -> Result<Option<Vec<u8>>, String> {
        let file = match File::open(self.dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut blocks = BlockReader::new(file, &self.identity, format!("{} {what}", self.bound))?;
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        while let Some(head) = blocks.next(&mut part)? {
            whole.extend_from_slice(part.get(head..).unwrap_or_default());
        }
        Ok(Some(whole))
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
        // Only walks are known by their runs when they are read.
        let bound = match what {
            "walk" => format!("{} {what} {run}", self.bound),
            _ => format!("{} {what}", self.bound),
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

fn copy(identity: &Identity) -> Result<Identity, std::io::Error> {
    identity.to_secret_string().parse().map_err(|_| std::io::Error::other("the card identity is malformed"))
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
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(error);
        }
    }
    let text = fs::read_to_string(path)?;
    let malformed =
        || std::io::Error::other(format!("{} is no key; remove it to start afresh", path.display()));
    read_identity_file(text).map_err(|_| malformed())?.pop().ok_or_else(malformed)
}
