//! Segments that fill: which one a chunk lies in or goes to, and where full ones go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use lifeboat_repo::format::index::{ChunkRef, SegmentKind};
use lifeboat_repo::ids::{PackId, SegmentId};
use lifeboat_repo::repository::index::{DedupTable, KnownSegment, SegmentNumber};
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;
use crate::pack::Packed;
use crate::seal::{Pool, SealJob};
use crate::walk::TenantKeys;

/// A segment is sealed once it holds this much plaintext.
const SEGMENT_TARGET: usize = 4 << 20;
/// One of what outlived others: the smaller a segment, the more segments differ in how much of them lives, and the less
/// that lives must be stored anew for what is dead to go. It compresses a little less.
const SETTLED_TARGET: usize = 1 << 20;
/// What the assembler needs of the run: everything that touches the repository.
pub(crate) trait Desk {
    /// Takes a staged pack.
    fn add_pack(&self, packed: lifeboat_repo::repository::pack::StagedPack) -> Result<(), BackupError>;
    /// Reads the writer's index into the table.
    fn load_index(&self, table: &mut DedupTable) -> Result<(), BackupError>;
}

/// Which open segment: of which tenant, and what for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    tenant: u32,
    lane: Lane,
}

/// What goes into a segment together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// What is new or changed, and compresses. What changed is likely to change again.
    Data,
    /// What is new or changed, and does not compress.
    Solid,
    /// What outlived others in its segment, and compresses. It is likely to stay.
    Settled,
    /// What outlived others, and does not compress.
    SettledSolid,
    /// Manifests.
    Manifest,
}

impl Lane {
    /// How much plaintext of it makes a segment.
    fn target(self) -> usize {
        match self {
            Self::Settled | Self::SettledSolid => SETTLED_TARGET,
            Self::Data | Self::Solid | Self::Manifest => SEGMENT_TARGET,
        }
    }

    /// Where content goes.
    pub(super) fn of(solid: bool, settled: bool) -> Self {
        match (solid, settled) {
            (false, false) => Self::Data,
            (true, false) => Self::Solid,
            (false, true) => Self::Settled,
            (true, true) => Self::SettledSolid,
        }
    }
}

struct Open {
    number: SegmentNumber,
    keys: Arc<TenantKeys>,
    plain: Vec<u8>,
    chunks: Vec<ChunkRef>,
    used: u64,
}

/// The segments of a run: those that its writer has, and those that fill.
pub(crate) struct Filling<'a, D> {
    desk: &'a D,
    table: DedupTable,
    /// Whether the writer's whole index is in the table. It is read when first asked about an unknown chunk.
    loaded: bool,
    seals: Option<Sender<SealJob>>,
    packs: Receiver<Result<Packed, BackupError>>,
    plains: Pool,
    /// Segments filling at once; beyond, the least recently used is sealed early.
    most: usize,
    open: BTreeMap<Slot, Open>,
    ticks: u64,
    made: HashMap<PackId, Bytes>,
}

impl<'a, D: Desk> Filling<'a, D> {
    pub(crate) fn new(
        desk: &'a D,
        table: DedupTable,
        (seals, packs): (Sender<SealJob>, Receiver<Result<Packed, BackupError>>),
        plains: Pool,
        most: usize,
    ) -> Self {
        let (seals, open, made) = (Some(seals), BTreeMap::new(), HashMap::new());
        Self { desk, table, loaded: false, seals, packs, plains, most, open, ticks: 0, made }
    }

    /// Stored bytes of packs made by this run, and their number.
    pub(super) fn stored(&self) -> (Bytes, u64) {
        (self.made.values().copied().sum(), self.made.len() as u64)
    }

    pub(super) fn table(&self) -> &DedupTable {
        &self.table
    }

    /// The table, whether it holds the whole index, and the packs made with their lengths.
    pub(super) fn end(self) -> (DedupTable, bool, HashMap<PackId, Bytes>) {
        (self.table, self.loaded, self.made)
    }

    /// Whether a tenant's segment of this lane is filling.
    pub(super) fn holds(&self, keys: &TenantKeys, lane: Lane) -> bool {
        self.open.contains_key(&Slot { tenant: keys.ordinal, lane })
    }

    /// Takes packs that are done.
    pub(super) fn take_packs(&mut self) -> Result<(), BackupError> {
        while let Ok(packed) = self.packs.try_recv() {
            self.add_pack(packed?)?;
        }
        Ok(())
    }

    /// Seals what is filling and waits until everything lies in packs.
    pub(super) fn finish(&mut self) -> Result<(), BackupError> {
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

    /// The segment that holds a chunk: a known one, or the open one that it is now added to.
    pub(super) fn place(
        &mut self,
        keys: &Arc<TenantKeys>,
        chunk: ChunkRef,
        data: &[u8],
        lane: Lane,
    ) -> Result<SegmentNumber, BackupError> {
        let key = keys.card.key;
        if let Some(number) = self.table.find(key, &chunk.0) {
            return Ok(number);
        }
        if !self.loaded {
            self.desk.load_index(&mut self.table)?;
            self.loaded = true;
            if let Some(number) = self.table.find(key, &chunk.0) {
                return Ok(number);
            }
        }
        let slot = Slot { tenant: keys.ordinal, lane };
        self.ticks += 1;
        let ticks = self.ticks;
        if !self.open.contains_key(&slot) {
            self.make_room()?;
            let fresh = KnownSegment { id: SegmentId::from_bytes([0; 32]), pack: None, key };
            let number =
                self.table.add_segment(fresh).ok_or_else(|| BackupError::state("the index", "it is full"))?;
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
        let full = open.plain.len() >= lane.target();
        self.table.insert(&chunk.0, number);
        if full {
            self.seal(slot)?;
        }
        Ok(number)
    }

    fn make_room(&mut self) -> Result<(), BackupError> {
        if self.open.len() < self.most {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used).map(|(slot, _)| *slot);
        oldest.map_or(Ok(()), |slot| self.seal(slot))
    }

    fn seal(&mut self, slot: Slot) -> Result<(), BackupError> {
        let Some(open) = self.open.remove(&slot) else { return Ok(()) };
        let kind = if slot.lane == Lane::Manifest { SegmentKind::Manifest } else { SegmentKind::Data };
        let solid = matches!(slot.lane, Lane::Solid | Lane::SettledSolid);
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
            self.table.name_segment(number, id, pack.0);
        }
        self.made.insert(pack.0, pack.1);
        self.desk.add_pack(packed.pack)
    }
}
