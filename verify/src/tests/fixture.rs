//! A small repository, made by the repo crate alone: no crate here may know how backups are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::codec::{Compressor, Level};
use lifeboat_repo::crypto::envelope::seal_into;
use lifeboat_repo::crypto::hash::{ChunkIdKey, chunk_id, segment_id};
use lifeboat_repo::crypto::identity::Identity;
use lifeboat_repo::crypto::sign::{SigningKey, VerifyingKey};
use lifeboat_repo::format::index::{ChunkRef, SegmentKind, SegmentLine};
use lifeboat_repo::format::manifest::{Entry, EntryKind, Metadata, Tail, encode_entry};
use lifeboat_repo::format::snapshot::{Counts, Share, Snapshot, SourceNote, Status};
use lifeboat_repo::ids::{Label, ObjectName, Tenant};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::{Agent, Card, Credentials};
use lifeboat_repo::repository::officer::{self, NewRepository, NewWriter, Officer};
use lifeboat_repo::repository::pack::PackBuilder;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, LockClass};

/// Tenant, path, content.
pub(super) type File<'f> = (&'f str, &'f str, &'f [u8]);

/// Changes entries before they are encoded: how tests make manifests that lie.
pub(super) type Meddle<'m> = &'m dyn Fn(&mut Vec<Entry>);

pub(super) struct Fixture {
    pub(super) store: MemoryStore,
    officer: SigningKey,
    recovery: Identity,
    card: Identity,
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn writer_key() -> SigningKey {
    SigningKey::from_seed([2; 32])
}

impl Fixture {
    /// A repository with an officer and a writer `fra-1` bound to `chats`, and no snapshot.
    pub(super) fn new() -> Self {
        let fixture = Self {
            store: MemoryStore::new(),
            officer: SigningKey::from_seed([1; 32]),
            recovery: Identity::generate(),
            card: Identity::generate(),
        };
        let officer = Officer { name: label("alice"), signing: &fixture.officer };
        let new = NewRepository {
            region: label("eu-fra"),
            jurisdiction: "EU".into(),
            recovery: vec![("alice".into(), fixture.recovery.recipient())],
        };
        officer::create(&fixture.store, &officer, &new, &SystemClock, &SystemEntropy).unwrap();
        let repository = fixture.repository();
        let writer = NewWriter {
            name: label("fra-1"),
            signing: writer_key().public(),
            card: fixture.card.recipient(),
            components: vec![label("chats")],
        };
        officer::add_writer(&fixture.recovery(&repository), &officer, &writer, &SystemClock).unwrap();
        fixture
    }

    /// With two snapshots of two tenants. No content is in both: what only one of them has lies in one segment only.
    pub(super) fn with_snapshots() -> Self {
        let fixture = Self::new();
        fixture.backup(&[
            ("acme", "acme/a", b"one"),
            ("acme", "acme/b", &[7; 200_000]),
            ("zeta", "zeta/only", b"then"),
        ]);
        fixture.backup(&[
            ("acme", "acme/a", b"two"),
            ("acme", "acme/b", &[8; 200_000]),
            ("zeta", "zeta/only", b"next"),
        ]);
        fixture
    }

    pub(super) fn pins(&self) -> Vec<VerifyingKey> {
        vec![self.officer.public()]
    }

    pub(super) fn repository(&self) -> Repository {
        self.open(&self.store)
    }

    pub(super) fn open(&self, store: &MemoryStore) -> Repository {
        Repository::open(Arc::new(store.clone()), &self.pins()).unwrap()
    }

    pub(super) fn recovery<'r>(&self, repository: &'r Repository) -> Recovery<'r> {
        Recovery::open(repository, std::slice::from_ref(&self.recovery), &SystemClock).unwrap()
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<ObjectName> {
        self.store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    }

    pub(super) fn backup(&self, files: &[File<'_>]) -> ObjectName {
        self.backup_meddled(files, &|_| {})
    }

    /// Every file one chunk, every tenant one segment of data and one of its manifest, all in one pack.
    pub(super) fn backup_meddled(&self, files: &[File<'_>], meddle: Meddle<'_>) -> ObjectName {
        let repository = self.repository();
        let signing = writer_key();
        let credentials = Credentials { writer: label("fra-1"), signing, card: self.card_again() };
        let agent = Agent::open(&repository, credentials.into(), &SystemClock, &SystemEntropy).unwrap();
        let mut run = Run::begin(agent, &label("chats")).unwrap();
        let mut tenants: BTreeMap<Tenant, Vec<File<'_>>> = BTreeMap::new();
        for file in files {
            tenants.entry(file.0.parse().unwrap()).or_default().push(*file);
        }
        let mut pack = PackBuilder::begin(repository.store()).unwrap();
        let mut shares = Vec::new();
        for (tenant, files) in tenants {
            let card = run.card(&tenant).unwrap();
            shares.push(put_share(&mut pack, &card, &files, meddle));
        }
        let staged = pack.finish(run.agent().catalog(), &label("fra-1"), run.id()).unwrap();
        run.add_pack(staged).unwrap();
        shares.sort_by_key(|share| share.key);
        let snapshot = snapshot(&run, shares);
        run.commit(&snapshot).unwrap().name
    }

    fn card_again(&self) -> Identity {
        self.card.to_secret_string().parse().unwrap()
    }
}

fn snapshot(run: &Run<'_>, shares: Vec<Share>) -> Snapshot {
    let now = SystemClock.now();
    Snapshot {
        format: 0,
        component: label("chats"),
        writer: label("fra-1"),
        run: run.id(),
        parent: None,
        source: SourceNote { kind: "files".into(), consistency: "each file by itself".into(), excluded: 0 },
        start: now,
        end: now,
        recovery_point: now,
        tool: "test".into(),
        status: Status::Complete,
        counts: Counts {
            entries: shares.iter().map(|share| share.entries).sum(),
            bytes: shares.iter().map(|share| share.bytes).sum(),
            ..Counts::default()
        },
        keys: shares,
        must: Vec::new(),
    }
}

fn put_share(pack: &mut PackBuilder<'_>, card: &Card, files: &[File<'_>], meddle: Meddle<'_>) -> Share {
    let key = ChunkIdKey::from_bytes(card.k_id);
    let chunk = |bytes: &[u8]| ChunkRef(chunk_id(&key, bytes), u32::try_from(bytes.len()).unwrap());
    let mut entries: Vec<Entry> = files
        .iter()
        .map(|(_, path, content)| Entry {
            path: path.as_bytes().to_vec(),
            kind: EntryKind::File,
            metadata: Metadata::default(),
            size: Bytes::of(content),
            tail: Tail { chunks: vec![chunk(content)], ..Tail::default() },
        })
        .collect();
    let contents: Vec<&[u8]> = files.iter().map(|(_, _, content)| *content).collect();
    let data = put_segment(pack, card, SegmentKind::Data, &contents);
    let (count, bytes) = (entries.len() as u64, entries.iter().map(|entry| entry.size).sum());
    meddle(&mut entries);
    let manifest: Vec<u8> = entries.iter().flat_map(encode_entry).collect();
    let stored = put_segment(pack, card, SegmentKind::Manifest, &[&manifest]);
    let mut segments = vec![data, stored];
    segments.sort_unstable();
    Share { key: card.key, manifest: vec![chunk(&manifest)], entries: count, bytes, segments }
}

fn put_segment(
    pack: &mut PackBuilder<'_>,
    card: &Card,
    kind: SegmentKind,
    contents: &[&[u8]],
) -> lifeboat_repo::ids::SegmentPrefix {
    let plain = contents.concat();
    let (mut packed, mut sealed) = (Vec::new(), Vec::new());
    Compressor::new().unwrap().compress_into(&plain, Level::SEGMENT, &mut packed).unwrap();
    seal_into(&packed, std::slice::from_ref(&card.recipient), &mut sealed).unwrap();
    let key = ChunkIdKey::from_bytes(card.k_id);
    let line = SegmentLine {
        segment: segment_id(&sealed),
        pack: None,
        key: card.key,
        kind,
        offset: Bytes::ZERO,
        length: Bytes::of(&sealed),
        plain: Bytes::of(&plain),
        lock: LockClass::Normal,
        chunks: contents
            .iter()
            .map(|c| ChunkRef(chunk_id(&key, c), u32::try_from(c.len()).unwrap()))
            .collect(),
    };
    let prefix = line.segment.prefix();
    pack.append(&sealed, line).unwrap();
    prefix
}
