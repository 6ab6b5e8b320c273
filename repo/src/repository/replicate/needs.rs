//! Which segments counting snapshots need, where they lie in both stores, and what follows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::facts::{Facts, Packs, Wanted};
use super::{Item, Plan, Problem};
use crate::format::index::{Index, PackRef};
use crate::format::names::{self, Place, place};
use crate::ids::{KeyId, Label, ObjectName, PackId, SegmentId, SegmentPrefix};
use crate::observe::Observer;
use crate::repository::catalog::Catalog;
use crate::repository::{Repository, RepositoryError, index};
use crate::units::Bytes;

/// An index object.
pub(super) struct Source {
    pub(super) name: ObjectName,
    pub(super) length: Bytes,
    /// Whether the repository has it.
    pub(super) at_source: bool,
    /// Whether the replica has it already.
    pub(super) there: bool,
    /// Whether it counts in the replica, now or once it is copied: no gc record there condemns it.
    pub(super) counts: bool,
}

/// A place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) pack: PackId,
    /// The length of the pack.
    pub(super) whole: Bytes,
    pub(super) offset: Bytes,
    pub(super) length: Bytes,
    /// The number of the index object that says so.
    pub(super) index: usize,
}

/// A needed segment.
pub(super) struct Segment {
    pub(super) key: KeyId,
    pub(super) places: Vec<Spot>,
    /// The index objects whose lines tell its chunks.
    pub(super) homes: Vec<usize>,
}

/// What counting snapshots need.
pub(super) struct Needs {
    pub(super) indexes: Vec<Source>,
    pub(super) segments: BTreeMap<SegmentId, Segment>,
    /// The segments that lists of counting snapshots name.
    by_list: HashMap<(KeyId, SegmentPrefix), Vec<SegmentId>>,
}

/// What is to be done for the segments.
#[derive(Default)]
pub(super) struct Work {
    /// Copied whole.
    pub(super) packs: BTreeMap<PackId, Bytes>,
    /// Put into new packs.
    pub(super) moves: BTreeSet<SegmentId>,
    /// Of no use in the replica whatever is done.
    pub(super) lost: HashSet<SegmentId>,
    /// How many more of them there were, all of whose chunks are stored elsewhere.
    pub(super) spared: u64,
    /// Packs of the replica that are relied on.
    pub(super) used: BTreeMap<PackId, Bytes>,
    /// Index objects that are relied on.
    pub(super) indexes: BTreeSet<usize>,
}

impl Needs {
    /// Reads every index object of both stores.
    pub(super) fn load(
        source: &Repository,
        replica: &Repository,
        catalog: &Catalog,
        facts: &Facts,
        observer: &dyn Observer,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, RepositoryError> {
        let mut wanted: HashMap<(KeyId, SegmentPrefix), &Label> = HashMap::new();
        for snapshot in &facts.snapshots {
            for (key, prefixes) in &snapshot.shares {
                wanted.extend(prefixes.iter().map(|prefix| ((*key, *prefix), &snapshot.writer)));
            }
        }
        let mut needs = Self { indexes: Vec::new(), segments: BTreeMap::new(), by_list: HashMap::new() };
        needs.by_list.extend(wanted.keys().map(|list| (*list, Vec::new())));
        let only_there = facts.replica.iter().filter(|(name, _)| !facts.source.contains_key(*name));
        let all = facts.source.iter().map(|one| (source, one)).chain(only_there.map(|one| (replica, one)));
        for (repository, (name, length)) in all {
            let Some(Place::Index(writer, ..)) = place(name) else { continue };
            if observer.cancelled() {
                return Err(super::cancelled());
            }
            let number = needs.indexes.len();
            needs.indexes.push(Source {
                name: name.clone(),
                length: *length,
                at_source: facts.source.contains_key(name),
                there: facts.replica.contains_key(name),
                counts: !facts.condemned.index(name),
            });
            match index::read(repository, catalog, name) {
                Ok(index) => {
                    let everywhere = source.trust().is_maintainer(&writer);
                    let ours = |list: &(KeyId, SegmentPrefix)| {
                        wanted.get(list).is_some_and(|owner| everywhere || **owner == writer)
                    };
                    needs.take(number, index, ours);
                }
                Err(error) if error.is_damage() => problems.push(Problem::of(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(needs)
    }

    fn take(&mut self, number: usize, index: Index, ours: impl Fn(&(KeyId, SegmentPrefix)) -> bool) {
        let lengths: HashMap<PackId, Bytes> =
            index.header.packs.iter().map(|PackRef(pack, length)| (*pack, *length)).collect();
        for line in index.segments {
            let list = (line.key, line.segment.prefix());
            if !ours(&list) {
                continue;
            }
            let Some((pack, whole)) = line.pack.and_then(|pack| Some((pack, *lengths.get(&pack)?))) else {
                continue;
            };
            let spot = Spot { pack, whole, offset: line.offset, length: line.length, index: number };
            let segment = self.segments.entry(line.segment).or_insert_with(|| {
                self.by_list.entry(list).or_default().push(line.segment);
                Segment { key: line.key, places: Vec::new(), homes: Vec::new() }
            });
            if segment.key == line.key {
                segment.places.push(spot);
                if !line.chunks.is_empty() {
                    segment.homes.push(number);
                }
            }
        }
    }

    /// What is to be done so that every segment has a place in the replica.
    pub(super) fn evaluate(&self, packs: &Packs) -> Work {
        let mut work = Work::default();
        let counts = |number: usize| self.indexes.get(number).is_some_and(|index| index.counts);
        for (id, segment) in &self.segments {
            let home = segment.homes.iter().copied().find(|home| counts(*home));
            let told = segment.places.iter().filter(|spot| home.is_some() && counts(spot.index));
            let there = told.clone().find(|spot| packs.usable(spot.pack, spot.whole));
            let whole = || {
                // What is copied already for another segment comes first.
                let may =
                    |spot: &&&Spot| packs.at_source(spot.pack, spot.whole) && packs.may_be_put(spot.pack);
                let mut some = told.clone().filter(|spot| may(&spot));
                let first = some.clone().find(|spot| work.packs.contains_key(&spot.pack));
                first.or_else(|| some.next())
            };
            if let Some(spot) = there {
                work.used.insert(spot.pack, spot.whole);
                work.indexes.extend(home.into_iter().chain([spot.index]));
            } else if let Some(spot) = whole() {
                work.packs.insert(spot.pack, spot.whole);
                work.indexes.extend(home.into_iter().chain([spot.index]));
            } else if segment.places.iter().any(|spot| packs.at_source(spot.pack, spot.whole))
                && !segment.homes.is_empty()
                && !packs.given_up.contains(id)
            {
                work.moves.insert(*id);
            } else {
                work.lost.insert(*id);
            }
        }
        work
    }

    /// Whether everything that a snapshot needs has a place, or gets one.
    pub(super) fn is_whole(&self, snapshot: &Wanted, work: &Work) -> bool {
        snapshot.shares.iter().all(|(key, prefixes)| {
            prefixes.iter().all(|prefix| {
                let known = self.by_list.get(&(*key, *prefix));
                known.is_some_and(|ids| !ids.is_empty() && ids.iter().any(|id| !work.lost.contains(id)))
            })
        })
    }

    /// Segments of which nothing can be copied.
    pub(super) fn problems(&self, work: &Work) -> Vec<Problem> {
        let unknown = self.by_list.values().filter(|ids| ids.is_empty()).count();
        let mut problems = Vec::new();
        if unknown > 0 {
            problems.push(Problem::new(
                "index/",
                format!("{unknown} segments are needed that no index object names"),
            ));
        }
        if let Some(first) = work.lost.iter().min() {
            let why = match work.lost.len() {
                1 => "it is needed and in no pack that is whole".to_owned(),
                count => format!("it and {} more are needed and in no pack that is whole", count - 1),
            };
            problems.push(Problem::new(format!("segment {first}"), why));
        }
        problems
    }
}

impl Work {
    /// What that means, object by object.
    pub(super) fn plan(&self, facts: &Facts, needs: &Needs) -> Result<Plan, RepositoryError> {
        let (segments, spared) = (self.moves.len() as u64, self.spared);
        let mut plan = Plan { segments, spared, ..Plan::default() };
        for (pack, length) in &self.packs {
            plan.packs.push(Item { name: names::pack(*pack)?, length: *length });
        }
        let moved = self.moves.iter().filter_map(|id| needs.segments.get(id)?.places.first());
        plan.segment_bytes = moved.map(|spot| spot.length).sum();
        for index in self.indexes.iter().filter_map(|number| needs.indexes.get(*number)) {
            if !index.there {
                plan.records.push(Item { name: index.name.clone(), length: index.length });
            }
        }
        for snapshot in facts.snapshots.iter().filter(|snapshot| needs.is_whole(snapshot, self)) {
            let run = names::run(&snapshot.writer, snapshot.run)?;
            let name = &snapshot.stored.0;
            for (name, length) in [(&run, facts.source.get(&run)), (name, Some(&snapshot.stored.2))] {
                let Some(length) = length.filter(|_| !facts.replica.contains_key(name)) else { continue };
                plan.records.push(Item { name: name.clone(), length: *length });
            }
            if !snapshot.committed {
                plan.commits.push(name.clone());
            }
        }
        Ok(plan)
    }
}
