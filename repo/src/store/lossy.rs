//! A disk that forgets what was not synced, for tests: killing a process keeps the page cache, a power cut
//! does not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::Errno;

use super::local::LocalStore;
use super::local::disk::{Disk, DiskFile, Entry, Kind, Meta, split};
use crate::clock::{Clock, SystemClock};
use crate::units::{Bytes, Timestamp};

/// A disk in memory that models page cache and directory entries. Cloning gives the same disk.
#[derive(Clone, Default)]
pub struct LossyDisk {
    state: Arc<Mutex<State>>,
}

/// A sync that does nothing, to show that a test would notice its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Of files.
    FileSync,
    /// Of directories.
    DirectorySync,
}

impl LossyDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store on this disk. It fails once the disk crashed or restarted: open another.
    #[must_use]
    pub fn store(&self) -> LocalStore {
        let boot = self.lock().boot;
        LocalStore::over(Arc::new(Mount { disk: self.clone(), boot }))
    }

    /// Lets the content of all files together grow to this much; then the disk is full.
    pub fn set_capacity(&self, capacity: Bytes) {
        self.lock().capacity = Some(capacity.0);
    }

    /// Makes syncs of one kind do nothing.
    pub fn lie(&self, lie: Lie) {
        self.lock().lie = Some(lie);
    }

    /// After `operations` more operations of the disk, all fail until [`Self::crash`] or [`Self::restart`].
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.lock();
        state.stop_at = Some(state.operations.saturating_add(operations));
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The files there are, by path, `.tmp` included.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        let mut files = BTreeMap::new();
        let mut directories = vec![(String::new(), ROOT)];
        while let Some((path, id)) = directories.pop() {
            for (name, child) in state.entries(id).into_iter().flatten() {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                match state.nodes.get(*child) {
                    Some(Node::File(file)) => drop(files.insert(path, file.data.clone())),
                    _ => directories.push((path, *child)),
                }
            }
        }
        files
    }

    /// The processes die; the machine lives, and what they wrote with it, synced or not.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.boot += 1;
        state.stop_at = None;
    }

    /// The power goes. Of what was not synced, `seed` chooses what survives: each change of a directory or not,
    /// and of each file all, nothing, some of it, or its length without its content.
    pub fn crash(&self, seed: u64) {
        self.restart();
        for (id, node) in self.lock().nodes.iter_mut().enumerate() {
            match node {
                Node::Directory(directory) => directory.lose(seed, id as u64),
                Node::File(file) => file.lose(mix(seed, id as u64)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that looks random, the same for the same arguments (`SplitMix64`).
pub(in crate::store) fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const ROOT: usize = 0;

struct State {
    nodes: Vec<Node>,
    /// Counts crashes and restarts; what was opened before one is dead.
    boot: u64,
    operations: u64,
    stop_at: Option<u64>,
    capacity: Option<u64>,
    lie: Option<Lie>,
}

enum Node {
    File(FileNode),
    Directory(DirectoryNode),
}

#[derive(Default)]
struct FileNode {
    data: Vec<u8>,
    synced: Vec<u8>,
    modified: Timestamp,
}

#[derive(Default)]
struct DirectoryNode {
    entries: BTreeMap<String, usize>,
    synced: BTreeMap<String, usize>,
}

impl Default for State {
    fn default() -> Self {
        let nodes = vec![Node::Directory(DirectoryNode::default())];
        Self { nodes, boot: 0, operations: 0, stop_at: None, capacity: None, lie: None }
    }
}

impl DirectoryNode {
    fn lose(&mut self, seed: u64, id: u64) {
        let names: BTreeSet<&String> = self.entries.keys().chain(self.synced.keys()).collect();
        let mut kept = BTreeMap::new();
        for name in names {
            let (new, old) = (self.entries.get(name), self.synced.get(name));
            // Chosen by node, not by name: temporary names are random, and a seed must repeat.
            let node = new.or(old).copied().unwrap_or_default();
            let survives = match seed % 4 {
                0 => false,
                1 => true,
                _ => mix(mix(seed, id), node as u64) & 1 == 1,
            };
            if let Some(node) = if survives { new } else { old } {
                kept.insert(name.clone(), *node);
            }
        }
        self.entries.clone_from(&kept);
        self.synced = kept;
    }
}

impl FileNode {
    fn lose(&mut self, chance: u64) {
        if self.data != self.synced {
            let length = self.data.len();
            match chance % 4 {
                0 => self.data.clone_from(&self.synced),
                1 => self.data.truncate(usize::try_from(mix(chance, 0)).unwrap_or(0) % length.max(1)),
                2 => self.data.fill(0),
                _ => {}
            }
        }
        self.synced.clone_from(&self.data);
    }
}

impl State {
    fn entries(&self, id: usize) -> Option<&BTreeMap<String, usize>> {
        match self.nodes.get(id) {
            Some(Node::Directory(directory)) => Some(&directory.entries),
            _ => None,
        }
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        let mut id = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let entries = self.entries(id).ok_or(ErrorKind::NotADirectory)?;
            id = *entries.get(part).ok_or(ErrorKind::NotFound)?;
        }
        Ok(id)
    }

    fn directory(&mut self, path: &str) -> io::Result<&mut DirectoryNode> {
        let id = self.find(path)?;
        match self.nodes.get_mut(id) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, id: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<usize> {
        let (parent, last) = split(path);
        let id = self.nodes.len();
        let directory = self.directory(parent)?;
        if directory.entries.contains_key(last) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        directory.entries.insert(last.to_owned(), id);
        self.nodes.push(node);
        Ok(id)
    }

    fn meta(&self, id: usize) -> io::Result<Meta> {
        match self.nodes.get(id) {
            Some(Node::File(file)) => {
                Ok(Meta { kind: Kind::File, length: Bytes::of(&file.data), modified: file.modified })
            }
            Some(Node::Directory(_)) => {
                Ok(Meta { kind: Kind::Directory, length: Bytes::ZERO, modified: Timestamp::default() })
            }
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Bytes in files that still have a name.
    fn used(&self) -> u64 {
        let mut used = 0;
        let mut ids = vec![ROOT];
        while let Some(id) = ids.pop() {
            match self.nodes.get(id) {
                Some(Node::File(file)) => used += file.data.len() as u64,
                Some(Node::Directory(directory)) => ids.extend(directory.entries.values()),
                None => {}
            }
        }
        used
    }
}

/// The disk as a process sees it that started after `boot` crashes.
#[derive(Clone)]
struct Mount {
    disk: LossyDisk,
    boot: u64,
}

impl Mount {
    /// Begins an operation, unless the process is dead.
    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.lock();
        if state.boot != self.boot || state.stop_at.is_some_and(|stop| state.operations >= stop) {
            return Err(Errno::IO.into());
        }
        state.operations += 1;
        Ok(state)
    }

    fn opened(&self, id: usize) -> Box<dyn DiskFile> {
        Box::new(LossyFile { mount: self.clone(), id })
    }
}

impl Disk for Mount {
    fn location(&self) -> String {
        "a lossy disk".to_owned()
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = FileNode { modified: SystemClock.now(), ..FileNode::default() };
        let id = self.begin()?.add(path, Node::File(file))?;
        Ok(self.opened(id))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.begin()?.find(path)?;
        Ok(self.opened(id))
    }

    fn make_directory(&self, path: &str) -> io::Result<bool> {
        let mut state = self.begin()?;
        match state.add(path, Node::Directory(DirectoryNode::default())) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => state.directory(path).map(|_| false),
            result => result.map(|_| true),
        }
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        thread::yield_now();
        let mut state = self.begin()?;
        let lie = state.lie == Some(Lie::DirectorySync);
        let directory = state.directory(path)?;
        if !lie {
            directory.synced.clone_from(&directory.entries);
        }
        Ok(())
    }

    fn rename_exclusively(&self, from: &str, to: &str) -> io::Result<bool> {
        let mut state = self.begin()?;
        let id = state.find(from)?;
        let ((from_parent, from_last), (to_parent, to_last)) = (split(from), split(to));
        let target = state.directory(to_parent)?;
        if target.entries.contains_key(to_last) {
            return Ok(false);
        }
        target.entries.insert(to_last.to_owned(), id);
        state.directory(from_parent)?.entries.remove(from_last);
        Ok(true)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (parent, last) = split(path);
        let removed = self.begin()?.directory(parent)?.entries.remove(last);
        removed.map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn stat(&self, path: &str) -> io::Result<Meta> {
        let state = self.begin()?;
        state.meta(state.find(path)?)
    }

    fn entries(&self, path: &str) -> io::Result<Vec<Entry>> {
        let mut state = self.begin()?;
        let entries = state.directory(path)?.entries.clone();
        let entry = |(name, id)| Ok(Entry { name: OsString::from(name), meta: state.meta(id)? });
        entries.into_iter().map(entry).collect()
    }
}

struct LossyFile {
    mount: Mount,
    id: usize,
}

impl DiskFile for LossyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.mount.begin()?;
        let free = state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used()));
        // A full disk takes what fits before it says so.
        let fits = usize::try_from(free).unwrap_or(usize::MAX).min(bytes.len());
        let file = state.file(self.id)?;
        file.data.extend_from_slice(bytes.get(..fits).unwrap_or_default());
        file.modified = SystemClock.now();
        if fits < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        // Syncs are slow: let others run meanwhile.
        thread::yield_now();
        let mut state = self.mount.begin()?;
        let lie = state.lie == Some(Lie::FileSync);
        let file = state.file(self.id)?;
        if !lie {
            file.synced.clone_from(&file.data);
        }
        file.modified = SystemClock.now();
        Ok(())
    }

    fn meta(&self) -> io::Result<Meta> {
        self.mount.begin()?.meta(self.id)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.mount.begin()?;
        let file = state.file(self.id)?;
        let rest = usize::try_from(offset).ok().and_then(|at| file.data.get(at..)).unwrap_or_default();
        // Short reads, as systems may: at most 1,000 bytes at once.
        let read = rest.len().min(into.len()).min(1000);
        for (to, from) in into.iter_mut().zip(rest.iter().take(read)) {
            *to = *from;
        }
        Ok(read)
    }
}
