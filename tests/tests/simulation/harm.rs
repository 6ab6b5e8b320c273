//! Damage, and what mends it.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::{ObjectName, PackId, SegmentPrefix};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::ledger::Ledger;
use lifeboat_repo::repository::maintainer::Maintainer;
use lifeboat_repo::repository::{index, repair};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::stepped::{Blind, Steps};
use lifeboat_verify::Threads;
use lifeboat_verify::heal::{self, Copy, ObjectPlan};

use crate::scene::{Simulation, drawn};

/// As often something is damaged.
const ROUNDS: u64 = 4;

/// What was damaged and mended.
#[derive(Default)]
pub(crate) struct Harm {
    /// Segments that damage was done to, in the repository or its replica.
    pub(crate) segments: BTreeSet<SegmentPrefix>,
    /// Those beside them in packs that were damaged.
    beside: BTreeSet<SegmentPrefix>,
    /// Those that index objects named which were damaged: until the next repair or replication nobody may know of them.
    pub(crate) unnamed: BTreeSet<SegmentPrefix>,
    /// Those in packs whose own tables were damaged: with the index object nothing is left that names them.
    untabled: BTreeSet<SegmentPrefix>,
    pub(crate) flipped: u64,
    pub(crate) deleted: u64,
    /// Objects that a copy healed.
    pub(crate) healed: u64,
    /// Segments put into new packs.
    pub(crate) moved: u64,
    /// Segments given up.
    pub(crate) lost: u64,
}

impl Harm {
    /// Whether nothing was damaged.
    pub(crate) fn is_none(&self) -> bool {
        self.flipped + self.deleted == 0
    }

    /// Whether damage may have cost a segment.
    pub(crate) fn hurt(&self, segment: SegmentPrefix) -> bool {
        self.segments.contains(&segment)
            || (self.unnamed.contains(&segment) && self.untabled.contains(&segment))
    }
}

impl Simulation {
    pub(crate) fn harm_and_mend(&self, steps: &Arc<Steps>, party: usize, replica: bool) {
        let seat = |store| -> Arc<dyn Store> { Arc::new(steps.seat(party, store, Blind::No)) };
        for round in 0..ROUNDS {
            steps.pause(party);
            // It is our turn until the next operation.
            self.harm(round, replica);
            steps.pause(party);
            let with = replica && !drawn(self.seed, 200 + round).is_multiple_of(3);
            let mended = self.mend(seat(&self.memory), with.then(|| seat(&self.replica)));
            if mended.is_err() {
                // What is damaged is deleted before its copy is put: whoever dies in between leaves less than there was.
                let mut harm = self.harm.lock().unwrap();
                let beside = harm.beside.clone();
                harm.segments.extend(beside);
            }
            steps.revive(party);
        }
    }

    /// Damages one object: a pack or an index object, of the repository or its replica.
    fn harm(&self, round: u64, replica: bool) {
        let draw = |what| drawn(self.seed, 100 + 10 * round + what);
        let there = replica && draw(0).is_multiple_of(3);
        let store = if there { &self.replica } else { &self.memory };
        let listed = ["packs/", "index/"].map(|prefix| store.list(prefix).unwrap());
        let mut listed = listed.concat();
        // Names are random; the order in which objects appeared is not.
        listed.sort_by_key(|object| object.modified);
        let count = listed.len().max(1) as u64;
        let Some(object) = listed.get(usize::try_from(draw(1) % count).unwrap()) else { return };
        let at = if draw(2).is_multiple_of(2) { None } else { Some(draw(3) % object.length.0) };
        let noted = match place(&object.name) {
            Some(Place::Pack(pack)) => self.note_pack(store, pack, at),
            // A replication puts anew what is gone from the replica, not what is there and damaged.
            _ => self.note_index(store, &object.name, there && at.is_some()),
        };
        if !noted {
            return;
        }
        let mut harm = self.harm.lock().unwrap();
        let Some(at) = at else {
            store.remove(&object.name);
            harm.deleted += 1;
            return;
        };
        let mut bytes = store.read(&object.name, Bytes::mib(64)).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 1;
        store.replace(&object.name, &bytes);
        harm.flipped += 1;
    }

    /// Notes what an index object names; whether it was whole so far.
    fn note_index(&self, store: &MemoryStore, name: &ObjectName, for_good: bool) -> bool {
        let repository = self.repository(self.store()).unwrap();
        let recovery = self.world.recovery(&repository);
        let there = repository.over(Arc::new(store.clone()));
        let Ok(index) = index::read(&there, recovery.catalog(), name) else { return false };
        // Repair believes no table of a pack that no ledger names: of what is not recorded yet, an index object is all.
        let ledgers = Ledger::load_all(&repository).unwrap_or_default();
        let recorded = ledgers.values().any(|ledger| ledger.recorded().contains_key(name));
        let harm = &mut *self.harm.lock().unwrap();
        let hurt = if for_good || !recorded { &mut harm.segments } else { &mut harm.unnamed };
        hurt.extend(index.segments.iter().map(|line| line.segment.prefix()));
        true
    }

    /// Notes what is in a pack, and what of it a byte belongs to; whether the pack was whole so far.
    fn note_pack(&self, store: &MemoryStore, pack: PackId, at: Option<u64>) -> bool {
        let repository = self.repository(self.store()).unwrap();
        let recovery = self.world.recovery(&repository);
        let there = repository.over(Arc::new(store.clone()));
        let Ok((_, lines)) = repair::read_table(&there, recovery.catalog(), pack) else { return false };
        let mut harm = self.harm.lock().unwrap();
        let end = lines.iter().map(|line| line.offset.0 + line.length.0).max().unwrap_or_default();
        for line in lines {
            let (from, to) = (line.offset.0, line.offset.0 + line.length.0);
            harm.beside.insert(line.segment.prefix());
            if at.is_some_and(|at| at >= end) {
                harm.untabled.insert(line.segment.prefix());
            }
            if at.is_none_or(|at| (from..to).contains(&at)) {
                harm.segments.insert(line.segment.prefix());
            }
        }
        true
    }

    /// What `repair` does, with the replica or without.
    pub(crate) fn mend(
        &self,
        store: Arc<dyn Store>,
        copy: Option<Arc<dyn Store>>,
    ) -> Result<ObjectPlan, String> {
        let pins = [self.world.officer.public()];
        let copies: Vec<Copy> =
            copy.into_iter().map(|store| Copy { name: "replica".into(), store }).collect();
        let from = copies.first().map(|copy| copy.store.as_ref());
        let opened = repair::open(store, from, &pins).map_err(|error| error.to_string())?;
        let here = &opened.repository;
        let (clock, entropy) = (&SystemClock, &SystemEntropy);
        let mut plan = heal::plan_objects(here, &opened.trust, &pins, &copies, clock, Threads::ONE, &Silent)
            .map_err(|error| error.to_string())?;
        heal::heal_objects(here, &mut plan, &copies, None, clock, &Silent);
        let who = Arc::clone(&self.keepers[1]);
        let maintainer = Maintainer::open(here, who, clock, entropy).map_err(|error| error.to_string())?;
        let marks = heal::plan_marks(here, maintainer.catalog(), &plan, &copies, false, &Silent)
            .map_err(|error| error.to_string())?;
        if !marks.is_empty() {
            heal::put_marks(&maintainer, &marks, &copies).map_err(|error| error.to_string())?;
        }
        let mut harm = self.harm.lock().unwrap();
        harm.healed += plan.healed().count() as u64;
        harm.moved += marks.moved.len() as u64;
        harm.lost += marks.lost.len() as u64;
        Ok(plan)
    }
}
