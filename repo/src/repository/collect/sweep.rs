//! Finishing records: copying what turned out to be live, deleting the rest. FORMAT.md §11, "Sweeping".

use std::collections::{BTreeMap, HashSet};

use super::condemn::{Standing, in_order, read_anywhere};
use super::held::{Held, Holdings, read_segment};
use super::live::Live;
use super::moving::Mover;
use super::waiting::{Due, There, Waiting};
use super::{Knobs, Moved, beats, states};
use crate::format::names;
use crate::format::records::Task;
use crate::ids::{ObjectName, PackId, SegmentId};
use crate::observe::{Event, Observer};
use crate::repository::gc::{self, Condemned};
use crate::repository::maintainer::{GcDraft, Maintainer, MaintenanceRun};
use crate::repository::{Repository, RepositoryError, index};
use crate::store::StoreErrorKind;
use crate::units::{Bytes, Timestamp};

/// So often everything is looked at anew because a record appeared meanwhile; each time somebody else put one.
const ROUNDS_MAX: u32 = 32;

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// What was deleted.
    pub deleted: Deleted,
    /// What was copied before.
    pub moved: Moved,
    /// Segments that snapshots need and that no place has whole: put into a record before their pack went.
    pub lost: Vec<SegmentId>,
    /// Runs that were ended because records waited for them too long.
    pub fenced: Vec<ObjectName>,
    /// What could not be deleted, or is not to be yet.
    pub left: Leftovers,
}

/// What a sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Deleted {
    /// Packs.
    pub packs: u64,
    /// Index objects.
    pub indexes: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Parts of states of hosts that newer ones took the place of.
    pub states: u64,
    /// Entries of the log of heartbeats from long before the oldest snapshot.
    pub heartbeats: u64,
    /// Their length.
    pub bytes: Bytes,
}

/// What is condemned or expired and still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Records that are not to be swept yet.
    pub waiting: Vec<Waiting>,
    /// What a lock keeps.
    pub locked: Vec<Locked>,
    /// Packs of which nothing says what they hold, and why.
    pub unknown: Vec<(PackId, String)>,
}

/// An object that a lock keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locked {
    /// Which.
    pub name: ObjectName,
    /// How long it is.
    pub length: Bytes,
    /// Until when, where the store says so.
    pub until: Option<Timestamp>,
}

/// Sweeps every record that is due, what newer states of hosts took the place of, and heartbeats from long before the oldest
/// snapshot. Without `act` nothing is changed, and what would go is told.
///
/// # Errors
/// The store failed, or what is live cannot be told. What was done by then is safe, and the next sweep goes on.
pub fn sweep(
    maintainer: &Maintainer<'_>,
    knobs: &Knobs,
    act: bool,
    observer: &dyn Observer,
) -> Result<Swept, RepositoryError> {
    let repository = &maintainer.repository().renewed()?;
    observer.tell(Event::Phase("looking for records that are due"));
    let condemned = Condemned::load(repository)?;
    let there = There::load(repository, &condemned)?;
    let due = Due::judge(maintainer, repository, &there, knobs, act)?;
    let mut swept = Swept { fenced: due.fenced.clone(), ..Swept::default() };
    swept.left.waiting.clone_from(&due.waiting);
    let mut sweeper = Sweeper { maintainer, repository, due, suspects: HashSet::new(), swept, observer };
    let states = states::list(repository)?.into_iter().map(|old| (old.name, old.length));
    sweeper.swept.deleted.states = sweeper.drop_all(states.collect(), act)?;
    let beats = beats::list(repository)?.into_iter().map(|old| (old.name, old.length));
    sweeper.swept.deleted.heartbeats = sweeper.drop_all(beats.collect(), act)?;
    if sweeper.due.is_empty() {
        return Ok(sweeper.swept);
    }
    // Every run that may not have seen these records is over by now: what none of the snapshots needs that are read from
    // here on, nobody will need.
    if !act {
        sweeper.tell()?;
        return Ok(sweeper.swept);
    }
    let mut run = maintainer.begin(Task::Maintain)?;
    let mut rounds = 0;
    let settled = loop {
        if let Some(settled) = sweeper.secure(&mut run)? {
            break settled;
        }
        rounds += 1;
        if rounds > ROUNDS_MAX {
            return Err(RepositoryError::refused(
                "gc/",
                "others put records all the time, and each must be looked at before anything is deleted; run it again \
                 when they are done",
            ));
        }
    };
    sweeper.delete(&settled)?;
    run.finish()?;
    Ok(sweeper.swept)
}

struct Sweeper<'s, 'r> {
    maintainer: &'s Maintainer<'r>,
    repository: &'s Repository,
    due: Due,
    /// Segments that no place had whole in the round before: since then somebody may have moved them.
    suspects: HashSet<SegmentId>,
    swept: Swept,
    observer: &'s dyn Observer,
}

/// What may be deleted: everything live in it lies elsewhere.
struct Settled {
    live: Live,
    packs: BTreeMap<PackId, Bytes>,
    there: There,
}

impl Sweeper<'_, '_> {
    /// One round: reads records and snapshots anew, copies what is live in packs that are due and lies whole in no pack
    /// that stays, and looks whether a record appeared meanwhile. Nothing where all must be looked at once more.
    fn secure(&mut self, run: &mut MaintenanceRun<'_>) -> Result<Option<Settled>, RepositoryError> {
        let catalog = self.maintainer.catalog();
        let condemned = Condemned::load(self.repository)?;
        let there = There::load(self.repository, &condemned)?;
        self.observer.tell(Event::Phase("reading snapshots"));
        let live = Live::load(self.repository, catalog)?;
        let mut packs = self.due_packs(&there);
        let mut lost = Vec::new();
        if !packs.is_empty() {
            self.observer.tell(Event::Phase("reading the index"));
            let holdings = Holdings::load(self.repository, catalog, &live, &packs, self.observer)?;
            for (pack, _) in &holdings.unknown {
                packs.remove(pack);
            }
            self.swept.left.unknown.clone_from(&holdings.unknown);
            self.observer.tell(Event::Phase("copying what is live"));
            let standing = Standing::with(self.repository, &condemned)?;
            let mut mover = Mover::new(self.repository, catalog, run);
            for held in in_order(&holdings) {
                if self.observer.cancelled() {
                    return Err(RepositoryError::cancelled("collection"));
                }
                if !self.keep(held, &standing, &mut mover)? {
                    lost.push(held.line.segment);
                }
            }
            mover.confirm()?;
            let moved = mover.moved;
            self.swept.moved.segments += moved.segments;
            self.swept.moved.bytes += moved.bytes;
            self.swept.moved.packs += moved.packs;
        }
        if !self.is_certain(&lost) {
            return Ok(None);
        }
        self.give_up(&lost, &condemned)?;
        // Whoever condemned a pack that a segment was left in, or copied to, is seen here; or sees our record, and what
        // of it is gone, before deleting anything.
        if gc::census(self.repository)? != condemned.census {
            return Ok(None);
        }
        Ok(Some(Settled { live, packs, there }))
    }

    /// Sees to it that a live segment lies whole in a pack that stays; whether it does.
    fn keep(
        &self,
        held: &Held,
        standing: &Standing,
        mover: &mut Mover<'_, '_>,
    ) -> Result<bool, RepositoryError> {
        let (store, id) = (self.repository.store(), held.line.segment);
        let mut bytes = Vec::new();
        for at in held.places.iter().filter(|at| standing.has(**at)) {
            match read_segment(store, id, *at, &mut bytes) {
                Ok(()) => return Ok(true),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        match read_anywhere(self.repository, held, &mut bytes)? {
            Ok(()) => {
                mover.add(held, &bytes)?;
                Ok(true)
            }
            Err(error) => {
                self.observer.tell(Event::Warning(error.to_string()));
                Ok(false)
            }
        }
    }

    /// Whether what no place has whole was so in the round before too: one that somebody moved and deleted in between is
    /// found where it lies now.
    fn is_certain(&mut self, lost: &[SegmentId]) -> bool {
        let certain = lost.iter().all(|segment| self.suspects.contains(segment));
        self.suspects = lost.iter().copied().collect();
        certain
    }

    /// Puts what is lost into a record, unless it is in one.
    fn give_up(&mut self, lost: &[SegmentId], condemned: &Condemned) -> Result<(), RepositoryError> {
        self.swept.lost = lost.to_vec();
        let lost: Vec<SegmentId> =
            lost.iter().filter(|segment| condemned.lost(**segment).is_none()).copied().collect();
        if !lost.is_empty() {
            self.maintainer.put_gc(&GcDraft { lost, ..GcDraft::default() })?;
        }
        Ok(())
    }

    fn due_packs(&self, there: &There) -> BTreeMap<PackId, Bytes> {
        let due = there.packs.iter().filter(|(pack, _)| self.due.packs.contains(*pack));
        due.map(|(pack, length)| (*pack, *length)).collect()
    }

    /// Packs first, then index objects that know nothing live, then snapshots.
    fn delete(&mut self, settled: &Settled) -> Result<(), RepositoryError> {
        self.observer.tell(Event::Phase("deleting"));
        for (pack, length) in &settled.packs {
            if self.remove(&names::pack(*pack)?, *length)? {
                self.swept.deleted.packs += 1;
            }
        }
        for (name, length) in &settled.there.indexes {
            if self.due.indexes.contains(name)
                && self.is_useless(name, &settled.live)?
                && self.remove(name, *length)?
            {
                self.swept.deleted.indexes += 1;
            }
        }
        for (name, length) in &settled.there.snapshots {
            if self.due.snapshots.contains(name) && self.remove(name, *length)? {
                self.swept.deleted.snapshots += 1;
            }
        }
        Ok(())
    }

    /// Deletes what nobody needs and no record condemns, or only tells it; how many objects.
    fn drop_all(&mut self, old: Vec<(ObjectName, Bytes)>, act: bool) -> Result<u64, RepositoryError> {
        let mut dropped = 0;
        for (name, length) in old {
            if !act {
                self.swept.deleted.bytes += length;
            } else if !self.remove(&name, length)? {
                continue;
            }
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Looks at a condemned index object again. One that cannot be read stays: nobody can say what only it knows.
    fn is_useless(&self, name: &ObjectName, live: &Live) -> Result<bool, RepositoryError> {
        match index::read(self.repository, self.maintainer.catalog(), name) {
            Ok(index) => Ok(!index.segments.iter().any(|line| live.contains(line.segment.prefix()))),
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object; false where it was gone, or is locked.
    fn remove(&mut self, name: &ObjectName, length: Bytes) -> Result<bool, RepositoryError> {
        if self.observer.cancelled() {
            return Err(RepositoryError::cancelled("collection"));
        }
        let store = self.repository.store();
        match store.delete(name) {
            Ok(true) => {
                self.swept.deleted.bytes += length;
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) if matches!(error.kind, StoreErrorKind::Locked(_)) => {
                // That it is locked is known; until when is told if the store tells it.
                let until = store.locked_until(name).unwrap_or_default();
                self.swept.left.locked.push(Locked { name: name.clone(), length, until });
                Ok(false)
            }
            Err(error) => Err(RepositoryError::store(name.as_str(), error)),
        }
    }

    /// Tells what would go, and what would have to be copied before; nothing is changed.
    fn tell(&mut self) -> Result<(), RepositoryError> {
        let catalog = self.maintainer.catalog();
        let condemned = Condemned::load(self.repository)?;
        let there = There::load(self.repository, &condemned)?;
        let live = Live::load(self.repository, catalog)?;
        let mut packs = self.due_packs(&there);
        if !packs.is_empty() {
            let holdings = Holdings::load(self.repository, catalog, &live, &packs, self.observer)?;
            for (pack, _) in &holdings.unknown {
                packs.remove(pack);
            }
            let standing = Standing::with(self.repository, &condemned)?;
            for held in holdings.segments.values() {
                if !held.places.iter().any(|at| standing.has(*at)) {
                    self.swept.moved.segments += 1;
                    self.swept.moved.bytes += held.line.length;
                }
            }
            self.swept.left.unknown = holdings.unknown;
        }
        let deleted = &mut self.swept.deleted;
        deleted.packs = packs.len() as u64;
        deleted.bytes += packs.values().copied().sum();
        for (_, length) in there.indexes.iter().filter(|(name, _)| self.due.indexes.contains(*name)) {
            deleted.indexes += 1;
            deleted.bytes += *length;
        }
        for (_, length) in there.snapshots.iter().filter(|(name, _)| self.due.snapshots.contains(*name)) {
            deleted.snapshots += 1;
            deleted.bytes += *length;
        }
        Ok(())
    }
}
