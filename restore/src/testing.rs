//! A small repository made by hand: what goes in is under the test's control, chunk by chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{
    ChunkIdKey, Compressor, Identity, Level, SigningKey, chunk_id, seal_into, segment_id,
};
use lifeboat_repo::format::index::{ChunkRef, SegmentKind, SegmentLine};
use lifeboat_repo::format::manifest::{
    Entry, EntryKind, Hole, Metadata, Tail, Xattr, XattrValue, encode_entry, order,
};
use lifeboat_repo::format::snapshot::{Counts, Share, Snapshot, SourceNote, Status};
use lifeboat_repo::ids::{Label, ObjectName, RunId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::{Agent, Card, Credentials};
use lifeboat_repo::repository::officer::{self, NewRepository, NewWriter, Officer};
use lifeboat_repo::repository::pack::PackBuilder;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};

/// A repository with one writer.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    signing: SigningKey,
    recovery: Identity,
    writer: SigningKey,
    card: Identity,
}

/// Content and attributes of an entry before they are chunks.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) entry: Entry,
    pub(crate) chunks: Vec<Vec<u8>>,
    /// An attribute stored as chunks.
    pub(crate) long_xattr: Option<(Vec<u8>, Vec<Vec<u8>>)>,
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn tenant(text: &str) -> Tenant {
    text.parse().unwrap()
}

/// An entry owned by whoever runs the tests.
pub(crate) fn made(path: &str, kind: EntryKind, mode: u32) -> Made {
    let metadata = Metadata {
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: Timestamp::new(1_700_000_000, 123_456_789),
        ..Metadata::default()
    };
    let entry =
        Entry { path: path.as_bytes().to_vec(), kind, metadata, size: Bytes::ZERO, tail: Tail::default() };
    Made { entry, chunks: Vec::new(), long_xattr: None }
}

pub(crate) fn dir(path: &str) -> Made {
    made(path, EntryKind::Dir, 0o755)
}

pub(crate) fn file(path: &str, chunks: &[&[u8]]) -> Made {
    let mut made = made(path, EntryKind::File, 0o644);
    made.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
    made.entry.size = made.chunks.iter().map(|chunk| Bytes::of(chunk)).sum();
    made
}

pub(crate) fn symlink(path: &str, target: &str) -> Made {
    let mut made = made(path, EntryKind::Symlink, 0o777);
    made.entry.tail.target = Some(target.as_bytes().to_vec());
    made
}

pub(crate) fn hardlink(path: &str, first: &str) -> Made {
    let mut made = made(path, EntryKind::Hardlink, 0o644);
    made.entry.tail.link = Some(first.as_bytes().to_vec());
    made
}

impl Made {
    pub(crate) fn holes(mut self, holes: &[(u64, u64)]) -> Self {
        for (offset, length) in holes {
            self.entry.tail.holes.push(Hole { offset: Bytes(*offset), length: Bytes(*length) });
            self.entry.size += Bytes(*length);
        }
        self
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        let xattr = Xattr { name: name.as_bytes().to_vec(), value: XattrValue::Inline(value.to_vec()) };
        self.entry.tail.xattrs.push(xattr);
        self
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            store: MemoryStore::new(),
            signing: SigningKey::from_seed([1; 32]),
            recovery: Identity::generate(),
            writer: SigningKey::from_seed([2; 32]),
            card: Identity::generate(),
        };
        let new = NewRepository {
            region: label("eu-fra"),
            jurisdiction: "EU".into(),
            recovery: vec![("alice".into(), world.recovery.recipient())],
        };
        let officer = Officer { name: label("alice"), signing: &world.signing };
        officer::create(&world.store, &officer, &new, &SystemClock, &SystemEntropy).unwrap();
        let new = NewWriter {
            name: label("fra-1"),
            signing: world.writer.public(),
            card: world.card.recipient(),
            components: vec![label("chats")],
        };
        let repository = world.repository();
        officer::add_writer(&world.recovery(&repository), &officer, &new, &SystemClock).unwrap();
        world
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::open(Arc::new(self.store.clone()), &[self.signing.public()]).unwrap()
    }

    pub(crate) fn recovery<'r>(&self, repository: &'r Repository) -> Recovery<'r> {
        Recovery::open(repository, std::slice::from_ref(&self.recovery), &SystemClock).unwrap()
    }

    /// Backs up what each tenant has, `per_segment` chunks in each segment.
    pub(crate) fn back_up(&self, tenants: &[(&str, Vec<Made>)], per_segment: usize) -> Snapshot {
        let repository = self.repository();
        let credentials = Credentials {
            writer: label("fra-1"),
            signing: SigningKey::from_seed([2; 32]),
            card: self.card.to_secret_string().parse().unwrap(),
        };
        let agent = Agent::open(&repository, credentials.into(), &SystemClock, &SystemEntropy).unwrap();
        let mut run = Run::begin(agent, &label("chats")).unwrap();
        let mut keys = Vec::new();
        for (name, entries) in tenants {
            let card = run.card(&tenant(name)).unwrap();
            keys.push(self.store_share(&mut run, &card, entries, per_segment));
        }
        keys.sort_by_key(|share| share.key);
        let snapshot = snapshot(run.id(), keys);
        run.commit(&snapshot).unwrap();
        snapshot
    }

    fn store_share(&self, run: &mut Run<'_>, card: &Card, entries: &[Made], per_segment: usize) -> Share {
        let mut pool: BTreeMap<Vec<u8>, ()> = BTreeMap::new();
        let mut content: Vec<Vec<u8>> = Vec::new();
        let mut take = |chunk: &Vec<u8>| {
            if pool.insert(chunk.clone(), ()).is_none() {
                content.push(chunk.clone());
            }
            chunk_ref(card, chunk)
        };
        let mut sorted = entries.to_vec();
        sorted.sort_by(|a, b| order(&a.entry.path, &b.entry.path));
        let mut manifest = Vec::new();
        for made in &mut sorted {
            made.entry.tail.chunks = made.chunks.iter().map(&mut take).collect();
            if let Some((name, chunks)) = &made.long_xattr {
                let value = XattrValue::Chunks(chunks.iter().map(&mut take).collect());
                made.entry.tail.xattrs.push(Xattr { name: name.clone(), value });
            }
            manifest.extend(encode_entry(&made.entry));
        }
        let manifest: Vec<Vec<u8>> = manifest.chunks(100).map(<[u8]>::to_vec).collect();
        let mut pack = PackBuilder::begin(&self.store).unwrap();
        let mut segments = Vec::new();
        for (chunks, kind) in content
            .chunks(per_segment)
            .map(|chunks| (chunks, SegmentKind::Data))
            .chain(manifest.chunks(per_segment).map(|chunks| (chunks, SegmentKind::Manifest)))
        {
            let (bytes, line) = segment(card, chunks, kind);
            segments.push(line.segment.prefix());
            pack.append(&bytes, line).unwrap();
        }
        let staged = pack.finish(run.agent().catalog(), &label("fra-1"), run.id()).unwrap();
        run.add_pack(staged).unwrap();
        segments.sort();
        Share {
            key: card.key,
            manifest: manifest.iter().map(|chunk| chunk_ref(card, chunk)).collect(),
            entries: sorted.len() as u64,
            bytes: content.iter().map(|chunk| Bytes::of(chunk)).sum(),
            segments,
        }
    }

    /// Names of the objects below a prefix.
    pub(crate) fn names(&self, prefix: &str) -> Vec<ObjectName> {
        self.store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    }
}

fn chunk_ref(card: &Card, chunk: &[u8]) -> ChunkRef {
    ChunkRef(chunk_id(&ChunkIdKey::from_bytes(card.k_id), chunk), u32::try_from(chunk.len()).unwrap())
}

fn segment(card: &Card, chunks: &[Vec<u8>], kind: SegmentKind) -> (Vec<u8>, SegmentLine) {
    let plain = chunks.concat();
    let (mut packed, mut sealed) = (Vec::new(), Vec::new());
    Compressor::new().unwrap().compress_into(&plain, Level::SEGMENT, &mut packed).unwrap();
    seal_into(&packed, std::slice::from_ref(&card.recipient), &mut sealed).unwrap();
    let line = SegmentLine {
        segment: segment_id(&sealed),
        pack: None,
        key: card.key,
        kind,
        offset: Bytes::ZERO,
        length: Bytes::ZERO,
        plain: Bytes::of(&plain),
        lock: LockClass::Normal,
        chunks: chunks.iter().map(|chunk| chunk_ref(card, chunk)).collect(),
    };
    (sealed, line)
}

fn snapshot(run: RunId, keys: Vec<Share>) -> Snapshot {
    Snapshot {
        format: 0,
        component: label("chats"),
        writer: label("fra-1"),
        run,
        parent: None,
        source: SourceNote { kind: "files".into(), consistency: "each file by itself".into(), excluded: 0 },
        start: run.moment(),
        end: run.moment(),
        recovery_point: run.moment(),
        tool: "test".into(),
        status: Status::Complete,
        counts: Counts::default(),
        keys,
        must: Vec::new(),
    }
}

/// Counts what it is told, and says stop after so many events.
pub(crate) struct Watcher {
    pub(crate) stop_after: usize,
    pub(crate) events: std::sync::Mutex<Vec<Event>>,
}

impl Watcher {
    pub(crate) fn stopping_after(stop_after: usize) -> Self {
        Self { stop_after, events: std::sync::Mutex::default() }
    }
}

impl Observer for Watcher {
    fn tell(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn cancelled(&self) -> bool {
        self.events.lock().unwrap().len() >= self.stop_after
    }
}
