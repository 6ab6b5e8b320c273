//! The assembler: takes what was read in order, stores what is new, writes manifests and local state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::crypto::chunk_id;
use lifeboat_repo::format::index::{ChunkRef, SegmentKind};
use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::snapshot::{Counts, Share};
use lifeboat_repo::ids::{ChunkId, KeyId, PackId, SegmentId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::index::{DedupTable, KnownSegment, SegmentNumber};
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;
use crate::ordinals::{Marks, Ordinals};
use crate::pack::Packed;
use crate::read::{Flow, Out, Piece, ReadBatch};
use crate::seal::{Pool, SealJob};
use crate::state::records::{self, WalkWriter};
use crate::walk::{ReadyLine, Same, TenantKeys};

/// A segment is sealed once it holds this much plaintext.
const SEGMENT_TARGET: usize = 4 << 20;
/// Manifests up to this share the segment of what their tenant wrote.
const SMALL_MANIFEST: usize = 64 << 10;

/// What the assembler needs of the run: everything that touches the repository.
pub(crate) trait Desk {
    /// Takes a staged pack.
    fn add_pack(&self, packed: lifeboat_repo::repository::pack::StagedPack) -> Result<(), BackupError>;
    /// Reads the writer's index into the table.
    fn load_index(&self, table: &mut DedupTable) -> Result<(), RepositoryError>;
}

/// The segments a writer has, loaded from the repository when first asked about a chunk it does not know.
pub(crate) struct Known {
    pub(crate) table: DedupTable,
    pub(crate) loaded: bool,
}

/// Which open segment: of which tenant, and what for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    tenant: u32,
    kind: u8,
}

const DATA: u8 = 0;
const SOLID: u8 = 1;
const MANIFEST: u8 = 2;

struct Open {
    number: SegmentNumber,
    keys: Arc<TenantKeys>,
    plain: Vec<u8>,
    chunks: Vec<ChunkRef>,
    used: u64,
}

struct Gathering {
    keys: Arc<TenantKeys>,
    /// Manifest bytes not cut yet.
    rest: Vec<u8>,
    manifest: Vec<ChunkRef>,
    entries: u64,
    bytes: Bytes,
    segments: Marks,
}

/// Takes what was read and turns it into segments and manifests.
pub(crate) struct Assembler<'a, D> {
    pub(crate) desk: &'a D,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) known: Known,
    pub(crate) walk: WalkWriter,
    pub(crate) seals: Option<Sender<SealJob>>,
    pub(crate) packs: Receiver<Result<Packed, BackupError>>,
    pub(crate) plains: Pool,
    pub(crate) counts: Counts,
    /// Segments filling at once; beyond, the least recently used is sealed early.
    pub(crate) open_max: usize,
    /// Stored bytes of packs made by this run, and their number.
    pub(crate) stored: Bytes,
    pub(crate) pack_count: u64,
    pack_lengths: HashMap<PackId, Bytes>,
    shares: Vec<Option<Gathering>>,
    open: BTreeMap<Slot, Open>,
    ticks: u64,
    /// How the records of this walk count segments and tenants.
    ordinals: Ordinals,
    /// What the ordinals of the last walk's records stand for.
    last: Arc<[Option<SegmentNumber>]>,
    arenas: Pool,
    manifest_chunks: Vec<(ChunkId, SegmentNumber)>,
}

/// What the next walk needs of this one.
pub(crate) struct Remembered {
    pub(crate) walk: WalkWriter,
    /// The table to deduplicate with, where it is other than what is kept, and the lengths of packs made meanwhile.
    pub(crate) chunks: Option<(DedupTable, HashMap<PackId, Bytes>)>,
    pub(crate) tenants: Vec<(Tenant, KeyId)>,
    pub(crate) segments: Vec<(SegmentId, PackId, Bytes, KeyId)>,
    pub(crate) manifests: Vec<(ChunkId, u32)>,
}

impl<'a, D: Desk> Assembler<'a, D> {
    pub(crate) fn new(
        desk: &'a D,
        observer: &'a dyn Observer,
        known: Known,
        walk: WalkWriter,
        (seals, packs): (Sender<SealJob>, Receiver<Result<Packed, BackupError>>),
        (plains, arenas): (Pool, Pool),
        (last, ordinals): (Arc<[Option<SegmentNumber>]>, Ordinals),
    ) -> Self {
        Self {
            desk,
            observer,
            known,
            walk,
            seals: Some(seals),
            packs,
            plains,
            counts: Counts::default(),
            open_max: usize::MAX,
            stored: Bytes::ZERO,
            pack_count: 0,
            pack_lengths: HashMap::new(),
            shares: Vec::new(),
            open: BTreeMap::new(),
            ticks: 0,
            ordinals,
            last,
            arenas,
            manifest_chunks: Vec::new(),
        }
    }

    /// Takes batches in the order of their numbers until there are no more.
    pub(crate) fn take_all(
        &mut self,
        batches: &Receiver<ReadBatch>,
        tokens: &Sender<()>,
    ) -> Result<(), BackupError> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        for batch in batches {
            waiting.insert(batch.number, batch);
            while let Some(batch) = waiting.remove(&next) {
                self.take(batch)?;
                let _ = tokens.send(());
                next += 1;
            }
            while let Ok(packed) = self.packs.try_recv() {
                self.add_pack(packed?)?;
            }
        }
        Ok(())
    }

    /// Seals what is open and waits until everything lies in packs. With `manifests`, these are written first.
    pub(crate) fn finish(&mut self, manifests: bool) -> Result<(), BackupError> {
        if manifests {
            for tenant in 0..self.shares.len() {
                self.finish_manifest(tenant)?;
            }
        }
        while let Some((slot, _)) = self.open.first_key_value() {
            let slot = *slot;
            self.seal(slot)?;
        }
        self.seals = None;
        while let Ok(packed) = self.packs.recv() {
            self.add_pack(packed?)?;
        }
        Ok(())
    }

    /// Every tenant's share, sorted by key. Call it after [`Self::finish`].
    pub(crate) fn shares(&self) -> Vec<Share> {
        let mut shares: Vec<Share> = self
            .shares
            .iter()
            .flatten()
            .map(|gathering| {
                let known = gathering.segments.iter().filter_map(|number| self.known.table.segment(number));
                let mut segments: Vec<_> = known.map(|segment| segment.id.prefix()).collect();
                segments.sort_unstable();
                segments.dedup();
                Share {
                    key: gathering.keys.card.key,
                    manifest: gathering.manifest.clone(),
                    entries: gathering.entries,
                    bytes: gathering.bytes,
                    segments,
                }
            })
            .collect();
        shares.sort_by_key(|share| share.key);
        shares
    }

    /// What the next walk needs. `lengths` are those of the packs that were there before.
    pub(crate) fn remember(self, lengths: &HashMap<PackId, Bytes>) -> Remembered {
        let mut ordinals = self.ordinals;
        let manifests =
            self.manifest_chunks.iter().map(|(chunk, number)| (*chunk, ordinals.segment(*number))).collect();
        let gone = (
            SegmentId::from_bytes([0; 32]),
            PackId::from_bytes([0; 32]),
            Bytes::ZERO,
            KeyId::from_bytes([0; 32]),
        );
        let place = |number: SegmentNumber| {
            let segment = self.known.table.segment(number)?;
            let pack = segment.pack?;
            let length = self.pack_lengths.get(&pack).or_else(|| lengths.get(&pack))?;
            Some((segment.id, pack, *length, segment.key))
        };
        let segments =
            ordinals.segments().iter().map(|number| number.and_then(place).unwrap_or(gone)).collect();
        let chunks = self.known.loaded.then_some((self.known.table, self.pack_lengths));
        Remembered { walk: self.walk, chunks, tenants: ordinals.into_tenants(), segments, manifests }
    }

    fn take(&mut self, batch: ReadBatch) -> Result<(), BackupError> {
        let (mut items, mut bytes) = (0, Bytes::ZERO);
        for out in batch.outs {
            let line = match out {
                Out::Same(same) => {
                    items += same.entries;
                    bytes += same.bytes;
                    self.take_same(&same)?;
                    None
                }
                Out::Line(mut line, pieces) => {
                    for piece in pieces {
                        let number = self.place_piece(&line.keys, &piece, &batch.arena)?;
                        line.segments.push(number);
                    }
                    Some(line)
                }
                Out::Stream(flows) => self.take_stream(&flows)?,
                Out::Nothing => None,
            };
            if let Some(line) = line {
                items += 1;
                bytes += if line.kind == EntryKind::File { line.size } else { Bytes::ZERO };
                self.add_line(line)?;
            }
        }
        self.arenas.put(batch.arena);
        self.observer.tell(Event::Progress { items, bytes });
        Ok(())
    }

    /// Copies lines of last time. Their records need not even be copied where they are referred to.
    fn take_same(&mut self, same: &Same) -> Result<(), BackupError> {
        let base = same.base.filter(|_| self.walk.is_changes());
        let tenant = self.ordinals.tenant(&same.keys);
        let Some(gathering) = gathering(&mut self.shares, &same.keys) else { return Ok(()) };
        let mut at = same.range.start;
        while at < same.range.end {
            let (fields, next) = records::parse(&same.block, at)
                .ok_or_else(|| BackupError::state("a record of the last walk", "it is malformed"))?;
            gathering.rest.extend_from_slice(fields.line(&same.block));
            let numbers = || {
                let number = |ordinal: u32| self.last.get(ordinal as usize).copied().flatten();
                fields.segments(&same.block).filter_map(number)
            };
            numbers().for_each(|number| gathering.segments.insert(number));
            if base.is_none() {
                let ordinals: Vec<u32> = numbers().map(|number| self.ordinals.segment(number)).collect();
                let (path, line) = (fields.path(&same.block), fields.line(&same.block));
                self.walk.push(tenant, true, &ordinals, path, line)?;
            }
            at = next;
        }
        if let Some(base) = base {
            self.walk.take(base, same.entries);
        }
        gathering.entries += same.entries;
        gathering.bytes += same.bytes;
        self.counts.entries += same.entries;
        self.counts.files += same.files;
        self.counts.bytes += same.bytes;
        self.cut_if_full(&same.keys)
    }

    fn take_stream(&mut self, flows: &Receiver<Flow>) -> Result<Option<ReadyLine>, BackupError> {
        let mut segments = Vec::new();
        for flow in flows {
            match flow {
                Flow::Chunk { keys, chunk, data, solid } => {
                    segments.push(self.place(&keys, chunk, &data, if solid { SOLID } else { DATA })?);
                    while let Ok(packed) = self.packs.try_recv() {
                        self.add_pack(packed?)?;
                    }
                }
                Flow::Again => segments.clear(),
                Flow::Nothing => return Ok(None),
                Flow::End(mut line) => {
                    line.segments = segments;
                    return Ok(Some(*line));
                }
            }
        }
        // The reader is gone without an end: another stage failed, and says why.
        Ok(None)
    }

    fn add_line(&mut self, mut line: ReadyLine) -> Result<(), BackupError> {
        line.segments.sort_unstable();
        line.segments.dedup();
        let Some(gathering) = gathering(&mut self.shares, &line.keys) else { return Ok(()) };
        gathering.rest.extend_from_slice(&line.line);
        gathering.entries += 1;
        line.segments.iter().for_each(|number| gathering.segments.insert(*number));
        self.counts.entries += 1;
        match line.kind {
            EntryKind::File => {
                gathering.bytes += line.size;
                self.counts.files += 1;
                self.counts.bytes += line.size;
                self.counts.changed += u64::from(!line.stable);
            }
            EntryKind::Error => self.counts.errors += 1,
            _ => {}
        }
        let tenant = self.ordinals.tenant(&line.keys);
        let ordinals: Vec<u32> = line.segments.iter().map(|number| self.ordinals.segment(*number)).collect();
        self.walk.push(tenant, line.stable, &ordinals, &line.path, &line.line)?;
        self.cut_if_full(&line.keys)
    }

    /// Cuts a tenant's manifest once there is enough of it.
    fn cut_if_full(&mut self, keys: &TenantKeys) -> Result<(), BackupError> {
        let tenant = keys.ordinal as usize;
        let max = usize::try_from(keys.manifest.params().max().0).unwrap_or(usize::MAX);
        let rest =
            self.shares.get(tenant).and_then(Option::as_ref).map_or(0, |gathering| gathering.rest.len());
        if rest >= 4 * max { self.cut_manifest(tenant, false) } else { Ok(()) }
    }

    fn finish_manifest(&mut self, tenant: usize) -> Result<(), BackupError> {
        self.cut_manifest(tenant, true)
    }

    /// Cuts what there is of a manifest, as far as cuts are certain.
    fn cut_manifest(&mut self, tenant: usize, ended: bool) -> Result<(), BackupError> {
        let Some(Some(gathering)) = self.shares.get_mut(tenant) else { return Ok(()) };
        let keys = Arc::clone(&gathering.keys);
        let whole = gathering.manifest.is_empty();
        let mut rest = std::mem::take(&mut gathering.rest);
        let small = ended && whole && rest.len() <= SMALL_MANIFEST;
        let slot = Slot { tenant: keys.ordinal, kind: DATA };
        let kind = if small && self.open.contains_key(&slot) { DATA } else { MANIFEST };
        let mut at = 0;
        let mut placed = Vec::new();
        while let Some(length) = keys.manifest.next_cut(rest.get(at..).unwrap_or_default(), ended) {
            let data = rest.get(at..at + length).unwrap_or_default();
            let chunk = ChunkRef(chunk_id(&keys.k_id, data), u32::try_from(length).unwrap_or(u32::MAX));
            placed.push((chunk, self.place(&keys, chunk, data, kind)?));
            at += length;
        }
        if let Some(Some(gathering)) = self.shares.get_mut(tenant) {
            // The buffer goes on being used; only what is not cut yet stays in it.
            rest.drain(..at);
            gathering.rest = rest;
            for (chunk, number) in placed {
                gathering.manifest.push(chunk);
                gathering.segments.insert(number);
                self.manifest_chunks.push((chunk.0, number));
            }
        }
        Ok(())
    }

    fn place_piece(
        &mut self,
        keys: &Arc<TenantKeys>,
        piece: &Piece,
        arena: &[u8],
    ) -> Result<SegmentNumber, BackupError> {
        let data = arena.get(piece.data.clone()).unwrap_or_default();
        self.place(keys, piece.chunk, data, if piece.solid { SOLID } else { DATA })
    }

    /// The segment that holds a chunk: a known one, or the open one that it is now added to.
    fn place(
        &mut self,
        keys: &Arc<TenantKeys>,
        chunk: ChunkRef,
        data: &[u8],
        kind: u8,
    ) -> Result<SegmentNumber, BackupError> {
        let key = keys.card.key;
        if let Some(number) = self.known.table.find(key, &chunk.0) {
            return Ok(number);
        }
        if !self.known.loaded {
            self.desk.load_index(&mut self.known.table)?;
            self.known.loaded = true;
            if let Some(number) = self.known.table.find(key, &chunk.0) {
                return Ok(number);
            }
        }
        let slot = Slot { tenant: keys.ordinal, kind };
        self.ticks += 1;
        let ticks = self.ticks;
        if !self.open.contains_key(&slot) {
            self.make_room()?;
            let fresh = KnownSegment { id: SegmentId::from_bytes([0; 32]), pack: None, key };
            let number = self
                .known
                .table
                .add_segment(fresh)
                .ok_or_else(|| BackupError::state("the index", "it is full"))?;
            let plain = self.plains.get();
            self.open.insert(
                slot,
                Open { number, keys: Arc::clone(keys), plain, chunks: Vec::new(), used: ticks },
            );
        }
        let Some(open) = self.open.get_mut(&slot) else {
            return Err(BackupError::state("a segment", "it was lost"));
        };
        open.used = ticks;
        open.plain.extend_from_slice(data);
        open.chunks.push(chunk);
        let number = open.number;
        let full = open.plain.len() >= SEGMENT_TARGET;
        self.known.table.insert(&chunk.0, number);
        if full {
            self.seal(slot)?;
        }
        Ok(number)
    }

    fn make_room(&mut self) -> Result<(), BackupError> {
        if self.open.len() < self.open_max {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(slot, _)| *slot);
        oldest.map_or(Ok(()), |slot| self.seal(slot))
    }

    fn seal(&mut self, slot: Slot) -> Result<(), BackupError> {
        let Some(open) = self.open.remove(&slot) else { return Ok(()) };
        let kind = if slot.kind == MANIFEST { SegmentKind::Manifest } else { SegmentKind::Data };
        let solid = slot.kind == SOLID;
        let job = SealJob {
            number: open.number,
            keys: open.keys,
            kind,
            solid,
            plain: open.plain,
            chunks: open.chunks,
        };
        let sent = self.seals.as_ref().is_some_and(|seals| seals.send(job).is_ok());
        if sent {
            return Ok(());
        }
        // The stages after this one are gone; the last of them says why.
        for packed in &self.packs {
            packed?;
        }
        Err(BackupError::state("sealing", "it ended early"))
    }

    fn add_pack(&mut self, packed: Packed) -> Result<(), BackupError> {
        let pack = packed.pack.pack;
        for (number, id) in packed.named {
            self.known.table.name_segment(number, id, pack.0);
        }
        self.pack_lengths.insert(pack.0, pack.1);
        self.stored += pack.1;
        self.pack_count += 1;
        self.desk.add_pack(packed.pack)
    }
}

impl Gathering {
    fn new(keys: &Arc<TenantKeys>) -> Self {
        Self {
            keys: Arc::clone(keys),
            rest: Vec::new(),
            manifest: Vec::new(),
            entries: 0,
            bytes: Bytes::ZERO,
            segments: Marks::default(),
        }
    }
}

/// What is gathered for a tenant.
fn gathering<'s>(
    shares: &'s mut Vec<Option<Gathering>>,
    keys: &Arc<TenantKeys>,
) -> Option<&'s mut Gathering> {
    let tenant = keys.ordinal as usize;
    if shares.len() <= tenant {
        shares.resize_with(tenant + 1, || None);
    }
    shares.get_mut(tenant).map(|slot| slot.get_or_insert_with(|| Gathering::new(keys)))
}
