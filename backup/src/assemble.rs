//! The assembler: takes what was read in order, stores what is new, writes manifests and local state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::crypto::chunk_id;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::snapshot::{Counts, Share};
use lifeboat_repo::ids::{ChunkId, KeyId, PackId, SegmentId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::index::{DedupTable, SegmentNumber};
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;
use crate::ordinals::Marks;
use crate::read::{Flow, Out, Piece, ReadBatch};
use crate::seal::Pool;
use crate::state::records::WalkWriter;
use crate::walk::{ReadyLine, Same, TenantKeys};

mod filling;
mod recorder;

use filling::Lane;
pub(crate) use filling::{Desk, Filling};
pub(crate) use recorder::Recorder;

/// Manifests up to this share the segment of what their tenant wrote.
const SMALL_MANIFEST: usize = 64 << 10;

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
    observer: &'a dyn Observer,
    filling: Filling<'a, D>,
    recorder: Recorder,
    shares: Vec<Option<Gathering>>,
    arenas: Pool,
    manifest_chunks: Vec<(ChunkId, SegmentNumber)>,
    /// Bytes needed of each segment, by its number.
    live: Vec<Bytes>,
    pub(crate) counts: Counts,
}

/// What the next walk needs of this one.
pub(crate) struct Remembered {
    pub(crate) walk: WalkWriter,
    /// The table to deduplicate with, where it is other than what is kept, and the lengths of packs made meanwhile.
    pub(crate) chunks: Option<(DedupTable, HashMap<PackId, Bytes>)>,
    pub(crate) tenants: Vec<(Tenant, KeyId)>,
    pub(crate) segments: Vec<(SegmentId, PackId, Bytes, KeyId)>,
    /// Bytes needed of each of them.
    pub(crate) live: Vec<Bytes>,
    pub(crate) manifests: Vec<(ChunkId, u32)>,
}

impl<'a, D: Desk> Assembler<'a, D> {
    pub(crate) fn new(
        observer: &'a dyn Observer,
        filling: Filling<'a, D>,
        recorder: Recorder,
        arenas: Pool,
    ) -> Self {
        let (shares, manifest_chunks, live) = (Vec::new(), Vec::new(), Vec::new());
        let counts = Counts::default();
        Self { observer, filling, recorder, shares, arenas, manifest_chunks, live, counts }
    }

    /// Stored bytes of packs made by this run, and their number.
    pub(crate) fn stored(&self) -> (Bytes, u64) {
        self.filling.stored()
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
            self.filling.take_packs()?;
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
        self.filling.finish()
    }

    /// Every tenant's share, sorted by key. Call it after [`Self::finish`].
    pub(crate) fn shares(&self) -> Vec<Share> {
        let mut shares: Vec<Share> = self
            .shares
            .iter()
            .flatten()
            .map(|gathering| {
                let known =
                    gathering.segments.iter().filter_map(|number| self.filling.table().segment(number));
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
        let (walk, mut ordinals) = self.recorder.end();
        let manifests =
            self.manifest_chunks.iter().map(|(chunk, number)| (*chunk, ordinals.segment(*number))).collect();
        let (table, loaded, made) = self.filling.end();
        let gone = (
            SegmentId::from_bytes([0; 32]),
            PackId::from_bytes([0; 32]),
            Bytes::ZERO,
            KeyId::from_bytes([0; 32]),
        );
        let place = |number: SegmentNumber| {
            let segment = table.segment(number)?;
            let pack = segment.pack?;
            let length = made.get(&pack).or_else(|| lengths.get(&pack))?;
            Some((segment.id, pack, *length, segment.key))
        };
        let segments =
            ordinals.segments().iter().map(|number| number.and_then(place).unwrap_or(gone)).collect();
        let needed = |number: SegmentNumber| self.live.get(number.0 as usize).copied().unwrap_or(Bytes::ZERO);
        let live = ordinals.segments().iter().map(|number| number.map_or(Bytes::ZERO, needed)).collect();
        let chunks = loaded.then_some((table, made));
        Remembered { walk, chunks, tenants: ordinals.into_tenants(), segments, live, manifests }
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
                Out::Line(mut line, pieces, settled) => {
                    for Piece { chunk, data, solid } in pieces {
                        let data = batch.arena.get(data).unwrap_or_default();
                        let number = self.filling.place(&line.keys, chunk, data, Lane::of(solid, settled))?;
                        line.needs.push((number, chunk.length()));
                    }
                    Some(line)
                }
                Out::Stream(flows, settled) => self.take_stream(&flows, settled)?,
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

    /// Copies lines of last time.
    fn take_same(&mut self, same: &Same) -> Result<(), BackupError> {
        let Some(gathering) = gathering(&mut self.shares, &same.keys) else { return Ok(()) };
        let live = &mut self.live;
        self.recorder.same(same, |line, needs| {
            gathering.rest.extend_from_slice(line);
            for (number, bytes) in needs {
                gathering.segments.insert(*number);
                note(live, *number, *bytes);
            }
        })?;
        gathering.entries += same.entries;
        gathering.bytes += same.bytes;
        self.counts.entries += same.entries;
        self.counts.files += same.files;
        self.counts.bytes += same.bytes;
        self.cut_if_full(&same.keys)
    }

    fn take_stream(
        &mut self,
        flows: &Receiver<Flow>,
        settled: bool,
    ) -> Result<Option<ReadyLine>, BackupError> {
        let mut needs = Vec::new();
        for flow in flows {
            match flow {
                Flow::Chunk { keys, chunk, data, solid } => {
                    let number = self.filling.place(&keys, chunk, &data, Lane::of(solid, settled))?;
                    needs.push((number, chunk.length()));
                    self.filling.take_packs()?;
                }
                Flow::Again => needs.clear(),
                Flow::Nothing => return Ok(None),
                Flow::End(mut line) => {
                    line.needs = needs;
                    return Ok(Some(*line));
                }
            }
        }
        // The reader is gone without an end: another stage failed, and says why.
        Ok(None)
    }

    fn add_line(&mut self, mut line: ReadyLine) -> Result<(), BackupError> {
        line.needs.sort_unstable();
        line.needs.dedup_by(|one, before| {
            let same = one.0 == before.0;
            before.1 += if same { one.1 } else { Bytes::ZERO };
            same
        });
        let Some(gathering) = gathering(&mut self.shares, &line.keys) else { return Ok(()) };
        gathering.rest.extend_from_slice(&line.line);
        gathering.entries += 1;
        for (number, bytes) in &line.needs {
            gathering.segments.insert(*number);
            note(&mut self.live, *number, *bytes);
        }
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
        self.recorder.line(&line)?;
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
        let lane = if small && self.filling.holds(&keys, Lane::Data) { Lane::Data } else { Lane::Manifest };
        let mut at = 0;
        let mut placed = Vec::new();
        while let Some(length) = keys.manifest.next_cut(rest.get(at..).unwrap_or_default(), ended) {
            let data = rest.get(at..at + length).unwrap_or_default();
            let chunk = ChunkRef(chunk_id(&keys.k_id, data), u32::try_from(length).unwrap_or(u32::MAX));
            placed.push((chunk, self.filling.place(&keys, chunk, data, lane)?));
            at += length;
        }
        if let Some(Some(gathering)) = self.shares.get_mut(tenant) {
            // The buffer goes on being used; only what is not cut yet stays in it.
            rest.drain(..at);
            gathering.rest = rest;
            for (chunk, number) in placed {
                gathering.manifest.push(chunk);
                gathering.segments.insert(number);
                note(&mut self.live, number, chunk.length());
                self.manifest_chunks.push((chunk.0, number));
            }
        }
        Ok(())
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

/// Notes that so many bytes of a segment are needed.
fn note(live: &mut Vec<Bytes>, number: SegmentNumber, bytes: Bytes) {
    let at = number.0 as usize;
    if live.len() <= at {
        live.resize(at + 1, Bytes::ZERO);
    }
    if let Some(needed) = live.get_mut(at) {
        *needed += bytes;
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
