//! Forging: what somebody can put into a repository who holds a writer's host, signing key and card identity.
//!
//! A [`Forger`] signs whatever it is told to. What it stores is well signed and recorded in the ledger, so every
//! lie in it has to be found by whoever reads it.

use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{
    ChunkIdKey, Compressor, Identity, Kind, Level, Recipient, SigningKey, chunk_id, open_into, seal_into,
    segment_id, sha256, sign_object, split_object,
};
use lifeboat_repo::format::index::{
    ChunkRef, IndexHeader, PackRef, SegmentKind, SegmentLine, TableHeader, encode_index, encode_table,
};
use lifeboat_repo::format::keys::WritersSeal;
use lifeboat_repo::format::manifest::{Entry, EntryKind, Metadata, Tail, encode_entry};
use lifeboat_repo::format::pack::Footer;
use lifeboat_repo::format::records::{LedgerBody, Recorded, RunBody, Task};
use lifeboat_repo::format::snapshot::{Counts, Share, Snapshot, SourceNote, Status};
use lifeboat_repo::format::{self, FORMAT_VERSION, names};
use lifeboat_repo::ids::{Label, ObjectHash, ObjectName, PackId, RepositoryId, RunId, Tenant};
use lifeboat_repo::repository::agent::{Agent, Card};
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::ledger;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};

use crate::{World, label};

/// Somebody with everything that the writer's host holds.
pub struct Forger {
    /// Where the objects go.
    pub store: Arc<dyn Store>,
    /// Which repository they claim to be of.
    pub repository: RepositoryId,
    /// Signs them.
    pub signing: SigningKey,
    /// Seals indexes and snapshots.
    pub catalog: Arc<Catalog>,
    catalog_recipient: Recipient,
    /// The key of the tenant whose data is forged.
    pub card: Arc<Card>,
    /// The run that claims to have made it.
    pub run: RunId,
    /// The component it claims to be of.
    pub component: Label,
    /// The segments to put.
    pub segments: Vec<Segment>,
    recorded: Vec<Recorded>,
}

/// A segment, and what the index is to say of it.
pub struct Segment {
    /// What is stored.
    pub stored: Vec<u8>,
    /// What the index says; pack and place are filled in.
    pub line: SegmentLine,
}

impl Forger {
    /// On the host of the world's writer, which has backed up this tenant before.
    ///
    /// # Panics
    /// The writer has no key for this tenant.
    #[must_use]
    pub fn new(world: &World, tenant: &str) -> Self {
        let repository = world.repository();
        let agent = Agent::open(&repository, world.credentials().into(), &SystemClock, &SystemEntropy)
            .expect("an agent");
        let tenant: Tenant = tenant.parse().expect("a tenant");
        let mut nonce = [0; 8];
        SystemEntropy.fill(&mut nonce).expect("randomness");
        Self {
            store: Arc::clone(&world.store),
            repository: repository.id(),
            signing: world.credentials().signing,
            catalog: agent.catalog_shared(),
            catalog_recipient: catalog_identities(world).last().expect("a catalog").recipient(),
            card: agent.card(&tenant).expect("a card"),
            run: RunId::new(SystemClock.now(), nonce),
            component: label("files"),
            segments: Vec::new(),
            recorded: Vec::new(),
        }
    }

    /// An age file for the tenant's key that holds these bytes.
    #[must_use]
    pub fn sealed(&self, bytes: &[u8]) -> Vec<u8> {
        sealed_to(bytes, &self.card.recipient)
    }

    /// An age file for the catalog that holds these bytes, whatever they are.
    ///
    /// # Panics
    /// The writers' seal does not open.
    #[must_use]
    pub fn sealed_for_catalog(&self, bytes: &[u8]) -> Vec<u8> {
        sealed_to(bytes, &self.catalog_recipient)
    }

    /// Adds a segment of these chunks; everything said of it is true.
    pub fn segment(&mut self, kind: SegmentKind, chunks: &[&[u8]]) -> Vec<ChunkRef> {
        let refs: Vec<ChunkRef> = chunks.iter().map(|chunk| self.reference(chunk)).collect();
        let plain = chunks.concat();
        self.raw_segment(kind, &packed(&plain), Bytes::of(&plain), refs.clone());
        refs
    }

    /// Adds a segment that holds these (compressed) bytes, and says this of it.
    pub fn raw_segment(&mut self, kind: SegmentKind, packed: &[u8], plain: Bytes, chunks: Vec<ChunkRef>) {
        let stored = self.sealed(packed);
        self.stored_segment(kind, stored, plain, chunks);
    }

    /// Adds a segment whose stored bytes are these.
    pub fn stored_segment(
        &mut self,
        kind: SegmentKind,
        stored: Vec<u8>,
        plain: Bytes,
        chunks: Vec<ChunkRef>,
    ) {
        let line = SegmentLine {
            segment: segment_id(&stored),
            pack: None,
            key: self.card.key,
            kind,
            offset: Bytes::ZERO,
            length: Bytes::of(&stored),
            plain,
            lock: LockClass::Normal,
            chunks,
        };
        self.segments.push(Segment { stored, line });
    }

    /// The true name of a chunk.
    #[must_use]
    pub fn reference(&self, chunk: &[u8]) -> ChunkRef {
        let id = chunk_id(&ChunkIdKey::from_bytes(self.card.k_id), chunk);
        ChunkRef(id, u32::try_from(chunk.len()).expect("a short chunk"))
    }

    /// A manifest of these lines, in one chunk of one segment.
    pub fn manifest(&mut self, lines: &[u8]) -> Vec<ChunkRef> {
        let chunks: Vec<&[u8]> = lines.chunks(1 << 20).collect();
        self.segment(SegmentKind::Manifest, &chunks)
    }

    /// Signs and puts an object; the ledger entry to come names it.
    pub fn put(&mut self, name: ObjectName, kind: Kind, body: &[u8]) {
        let object = sign_object(&self.signing, kind, &self.repository, &name, body).expect("a signature");
        self.put_raw(name, &object);
    }

    /// Puts an object as it is; the ledger entry to come names it.
    pub fn put_raw(&mut self, name: ObjectName, object: &[u8]) {
        assert_eq!(self.store.create(&name, object).expect("a working store"), Created::New, "{name}");
        self.recorded.push(Recorded(name, ObjectHash::from_bytes(sha256(object)), Bytes::of(object)));
    }

    /// Lets the ledger entry to come name an object, whoever put it, in whatever way.
    pub fn claim(&mut self, recorded: Recorded) {
        self.recorded.push(recorded);
    }

    /// Puts the run object.
    pub fn put_run(&mut self) {
        let body = RunBody {
            format: FORMAT_VERSION,
            writer: label("w1"),
            run: self.run,
            component: Some(self.component.clone()),
            task: Task::Backup,
        };
        let name = names::run(&label("w1"), self.run).expect("a name");
        self.put(name, Kind::Run, &format::encode(&body, "run").expect("JSON"));
    }

    /// Puts all segments as one pack, and gives what a true index says of them.
    pub fn put_pack(&mut self) -> (IndexHeader, Vec<SegmentLine>) {
        let mut pack = Vec::new();
        let mut lines = Vec::new();
        for segment in &self.segments {
            let mut line = segment.line.clone();
            line.offset = Bytes::of(&pack);
            pack.extend_from_slice(&segment.stored);
            lines.push(line);
        }
        let header = TableHeader { format: FORMAT_VERSION, writer: label("w1"), run: self.run };
        let table = encode_table(&header, &lines).expect("JSON");
        let table = self.catalog.seal(&table, "a table").expect("a sealed table");
        let footer = Footer { offset: Bytes::of(&pack), length: Bytes::of(&table) };
        pack.extend_from_slice(&table);
        pack.extend_from_slice(&footer.encode());
        let id = PackId::from_bytes(sha256(&pack));
        for line in &mut lines {
            line.pack = Some(id);
        }
        self.put_raw(names::pack(id).expect("a name"), &pack);
        (IndexHeader::new(label("w1"), self.run, vec![PackRef(id, Bytes::of(&pack))]), lines)
    }

    /// The name of this run's first index object.
    #[must_use]
    pub fn index_name(&self) -> ObjectName {
        names::index(&label("w1"), self.run, names::Seq(0)).expect("a name")
    }

    /// Puts an index object of these lines of JSON.
    pub fn put_index(&mut self, plain: &[u8]) {
        let body = self.catalog.seal(plain, "an index").expect("a sealed index");
        self.put(self.index_name(), Kind::Index, &body);
    }

    /// A snapshot of one share; everything said in it is true, if its numbers are.
    #[must_use]
    pub fn snapshot(&self, manifest: Vec<ChunkRef>, entries: u64, bytes: Bytes) -> Snapshot {
        let mut prefixes: Vec<_> =
            self.segments.iter().map(|segment| segment.line.segment.prefix()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let share = Share { key: self.card.key, manifest, entries, bytes, segments: prefixes };
        Snapshot {
            format: FORMAT_VERSION,
            component: self.component.clone(),
            writer: label("w1"),
            run: self.run,
            parent: None,
            source: SourceNote { kind: "files".into(), consistency: "none".into(), excluded: 0 },
            start: self.run.moment(),
            end: self.run.moment(),
            recovery_point: self.run.moment(),
            tool: "forger".into(),
            status: Status::Complete,
            counts: Counts { entries, files: entries, bytes, ..Counts::default() },
            keys: vec![share],
            must: Vec::new(),
        }
    }

    /// The name of this run's snapshot.
    #[must_use]
    pub fn snapshot_name(&self) -> ObjectName {
        names::snapshot(&self.component, self.run).expect("a name")
    }

    /// Puts a snapshot of this JSON.
    pub fn put_snapshot(&mut self, plain: &[u8]) {
        let body = self.catalog.seal(plain, "a snapshot").expect("a sealed snapshot");
        self.put(self.snapshot_name(), Kind::Snapshot, &body);
    }

    /// Ends the run: a ledger entry names everything put since.
    pub fn record(&mut self, world: &World) {
        let repository = world.repository();
        let writer = label("w1");
        let newest = ledger::newest(&repository).expect("a listing").get(&writer).copied();
        let head = newest.map(|seq| ledger::read_entry(&repository, &writer, seq).expect("an entry").head);
        let seq = head.map_or(names::Seq(0), |head| head.0.next());
        let body = LedgerBody {
            format: FORMAT_VERSION,
            writer: writer.clone(),
            seq,
            previous: head.map(|head| head.1),
            run: self.run,
            objects: std::mem::take(&mut self.recorded),
            runs: None,
            open: Vec::new(),
            checkpoint: None,
        };
        let name = names::ledger(&writer, seq).expect("a name");
        self.put(name, Kind::Ledger, &format::encode(&body, "ledger entry").expect("JSON"));
        self.recorded.clear();
    }

    /// Puts everything as an honest run would: the segments, and a snapshot of this manifest.
    pub fn commit(&mut self, world: &World, lines: &[u8], entries: u64, bytes: Bytes) {
        let manifest = self.manifest(lines);
        self.put_run();
        let (header, lines) = self.put_pack();
        self.put_index(&encode_index(&header, &lines).expect("JSON"));
        let snapshot = self.snapshot(manifest, entries, bytes);
        self.put_snapshot(&snapshot.encode().expect("JSON"));
        self.record(world);
    }
}

/// The catalog identities, as the writer's host has them: from the newest writers' seal, by its card identity.
///
/// # Panics
/// The seal does not open.
#[must_use]
pub fn catalog_identities(world: &World) -> Vec<Identity> {
    let listed = world.store.list("seals/").expect("a listing");
    let name = &listed.iter().rfind(|object| object.name.last() == "writers").expect("a seal").name;
    let object = world.store.read(name, Bytes::mib(1)).expect("a seal");
    let (_, body) = split_object(&object).expect("a signed object");
    let mut plain = Vec::new();
    open_into(body, &[world.credentials().card], &mut plain).expect("an open seal");
    let seal: WritersSeal = format::decode(&plain, "seal").expect("JSON");
    seal.catalogs.iter().map(|named| named.identity.parse().expect("an identity")).collect()
}

/// zstd of these bytes.
#[must_use]
pub fn packed(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    Compressor::new()
        .and_then(|mut codec| codec.compress_into(plain, Level::FAST, &mut packed))
        .expect("zstd");
    packed
}

/// An age file for this recipient.
#[must_use]
pub fn sealed_to(bytes: &[u8], recipient: &Recipient) -> Vec<u8> {
    let mut sealed = Vec::new();
    seal_into(bytes, std::slice::from_ref(recipient), &mut sealed).expect("an age file");
    sealed
}

/// An age file whose header names this recipient so many times: age's own parser is quadratic in that.
#[must_use]
pub fn header_bomb(bytes: &[u8], recipient: &Recipient, stanzas: usize) -> Vec<u8> {
    let sealed = sealed_to(bytes, recipient);
    let find =
        |what: &[u8]| sealed.windows(what.len()).position(|window| window == what).expect("an age file");
    let (first, mac) = (find(b"-> "), find(b"\n---") + 1);
    let (before, rest) = sealed.split_at(first);
    let (stanza, after) = rest.split_at(mac - first);
    [before, &stanza.repeat(stanzas), after].concat()
}

/// A manifest's line for a file of these chunks.
#[must_use]
pub fn file(path: &str, chunks: &[ChunkRef]) -> Vec<u8> {
    let size = chunks.iter().map(ChunkRef::length).sum();
    entry(path, EntryKind::File, size, Tail { chunks: chunks.to_vec(), ..Tail::default() })
}

/// A manifest's line for a directory.
#[must_use]
pub fn dir(path: &str) -> Vec<u8> {
    entry(path, EntryKind::Dir, Bytes::ZERO, Tail::default())
}

/// A manifest's line for a symbolic link.
#[must_use]
pub fn symlink(path: &str, target: &Path) -> Vec<u8> {
    let target = Some(target.as_os_str().as_encoded_bytes().to_vec());
    entry(path, EntryKind::Symlink, Bytes::ZERO, Tail { target, ..Tail::default() })
}

/// A manifest's line for another name of a file.
#[must_use]
pub fn hardlink(path: &str, first: &str) -> Vec<u8> {
    entry(
        path,
        EntryKind::Hardlink,
        Bytes(1),
        Tail { link: Some(first.as_bytes().to_vec()), ..Tail::default() },
    )
}

/// A manifest's line.
#[must_use]
pub fn entry(path: &str, kind: EntryKind, size: Bytes, tail: Tail) -> Vec<u8> {
    let mode = if kind == EntryKind::Dir { 0o755 } else { 0o644 };
    let metadata = Metadata { mode, mtime: Timestamp::new(1, 0), ..Metadata::default() };
    encode_entry(&Entry { path: path.as_bytes().to_vec(), kind, metadata, size, tail })
}
