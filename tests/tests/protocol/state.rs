//! The state of the model of collection: what lies in the store, and what each party knows.

use crate::sets::{Set, has, member, members, set_of};

/// Collectors at work.
pub(crate) const COLLECTORS: usize = 2;
/// Copies that collectors may make between them; an exploration ends where they need more.
pub(crate) const COPIES: usize = 2;
/// Gc records that may be put.
pub(crate) const RECORDS: usize = 2;

/// Everything. Packs, and the index objects that name them: 0 was there at the beginning, `1 + r` is what run `r` put,
/// `1 + R + c` the copy `c`. Segments: 0 and 1 were there, `2 + r` is run `r`'s own. Snapshots: 0 was there and needs segment
/// 1, `1 + r` is run `r`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State<const R: usize> {
    pub(crate) packs: Set,
    pub(crate) indexes: Set,
    pub(crate) copies: [Set; COPIES],
    pub(crate) old: Name,
    pub(crate) runs: [Run; R],
    pub(crate) plans: [Plan; RECORDS],
    pub(crate) made: u8,
    pub(crate) collectors: [Collector; COLLECTORS],
    pub(crate) late: bool,
}

/// What stands at a commit name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    Free,
    Snapshot,
    Fence,
    /// A snapshot that was expired and deleted.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Run {
    /// How far it is.
    pub(crate) at: At,
    /// The segment it needs.
    pub(crate) needs: u8,
    pub(crate) name: Name,
    /// Creations of its snapshot under way.
    pub(crate) flight: u8,
    pub(crate) fenced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    Idle,
    Announced,
    /// Has read records and is not announced yet: only where the wording is weaker.
    Early(u8),
    /// Has read so many gc records.
    Listed(u8),
    Uploaded,
    Chosen,
    /// Has sent its snapshot, has no answer yet.
    Sent,
    Done,
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Plan {
    pub(crate) packs: Set,
    pub(crate) indexes: Set,
    pub(crate) expired: Set,
    /// Runs not over in the listing that the record tells of.
    pub(crate) open: Set,
    /// What the weaker wording condemns instead of packs.
    pub(crate) segments: Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Collector {
    Idle,
    Looked { open: Set },
    Waiting { plan: u8, runs: Set },
    Read { plan: u8, seen: u8 },
    Marked { plan: u8, seen: u8, live: Set },
    Copying { plan: u8, seen: u8, need: Set, doomed: Doomed },
    Naming { plan: u8, seen: u8, copy: u8, doomed: Doomed },
    Copied { plan: u8, seen: u8, doomed: Doomed },
    Deleting { doomed: Doomed },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Doomed {
    pub(crate) packs: Set,
    pub(crate) indexes: Set,
    pub(crate) snapshots: Set,
}

impl<const R: usize> State<R> {
    /// Segments in a pack.
    pub(crate) fn holds(&self, pack: u8) -> Set {
        match usize::from(pack) {
            0 => 0b11,
            pack if pack <= R => 1 << (1 + pack),
            pack => self.copies[pack - 1 - R],
        }
    }

    /// The index object that told the chunks of a segment first.
    pub(crate) fn index_of(segment: u8) -> u8 {
        segment.saturating_sub(1)
    }

    /// Packs that a segment can be read from: the index object that names the pack tells its place there, and its chunks.
    pub(crate) fn places(&self, segment: u8) -> Set {
        set_of(members(self.packs & self.indexes).filter(|pack| has(self.holds(*pack), segment)))
    }

    /// The same where copies' index objects tell places alone, and chunks the first one.
    pub(crate) fn places_without_chunks(&self, segment: u8) -> Set {
        let told = self.indexes & (1 << Self::index_of(segment)) != 0;
        if told { self.places(segment) } else { 0 }
    }

    /// What stands at a snapshot's name.
    pub(crate) fn name(&self, snapshot: u8) -> Name {
        if snapshot == 0 { self.old } else { self.runs[usize::from(snapshot) - 1].name }
    }

    /// The segment that a snapshot needs.
    pub(crate) fn needs(&self, snapshot: u8) -> u8 {
        if snapshot == 0 { 1 } else { self.runs[usize::from(snapshot) - 1].needs }
    }

    /// Snapshots that are there.
    pub(crate) fn snapshots(&self) -> Set {
        set_of((0..=member(R)).filter(|snapshot| self.name(*snapshot) == Name::Snapshot))
    }

    /// What the first records say.
    pub(crate) fn told(&self, seen: u8, of: impl Fn(&Plan) -> Set) -> Set {
        self.plans.iter().take(usize::from(seen)).fold(0, |set, plan| set | of(plan))
    }

    /// Segments that snapshots need, as somebody knows it who read so many records.
    pub(crate) fn live(&self, seen: u8) -> Set {
        let counting = self.snapshots() & !self.told(seen, |plan| plan.expired);
        set_of(members(counting).map(|snapshot| self.needs(snapshot)))
    }

    /// Snapshots that count.
    pub(crate) fn counting(&self) -> Set {
        self.snapshots() & !self.told(self.made, |plan| plan.expired)
    }

    /// Whether a record has something left to delete.
    pub(crate) fn unfinished(&self, plan: u8) -> bool {
        let plan = self.plans[usize::from(plan)];
        plan.packs & self.packs | plan.indexes & self.indexes | plan.expired & self.snapshots() != 0
    }

    /// Whether nobody need wait for a run.
    pub(crate) fn over(&self, run: u8) -> bool {
        matches!(self.runs[usize::from(run)].name, Name::Snapshot | Name::Fence)
            || self.told(self.made, |plan| plan.expired) & (1 << (1 + run)) != 0
    }

    /// Runs that are announced and not over.
    pub(crate) fn open(&self) -> Set {
        let begun = (0..member(R)).filter(|run| {
            !matches!(self.runs[usize::from(*run)].at, At::Idle | At::Early(_)) && !self.over(*run)
        });
        set_of(begun)
    }

    /// The same with runs renamed: sound, since nothing tells them apart.
    fn renamed(&self, order: &[usize]) -> Self {
        let map = |set: Set, first: u32| {
            let runs = (0..R).filter(|to| set >> (first as usize + order[*to]) & 1 == 1);
            let mask = ((1u8 << R) - 1) << first;
            runs.fold(set & !mask, |set, to| set | 1 << (first as usize + to))
        };
        let back = |run: usize| order.iter().position(|from| *from == run).unwrap_or(run);
        let segment =
            |segment: u8| if segment < 2 { segment } else { 2 + member(back(usize::from(segment) - 2)) };
        let doomed = |doomed: Doomed| Doomed {
            packs: map(doomed.packs, 1),
            indexes: map(doomed.indexes, 1),
            snapshots: map(doomed.snapshots, 1),
        };
        let mut state = *self;
        state.packs = map(self.packs, 1);
        state.indexes = map(self.indexes, 1);
        state.copies = self.copies.map(|copy| map(copy, 2));
        for (to, from) in order.iter().enumerate() {
            state.runs[to] = Run { needs: segment(self.runs[*from].needs), ..self.runs[*from] };
        }
        for plan in &mut state.plans {
            *plan = Plan {
                packs: map(plan.packs, 1),
                indexes: map(plan.indexes, 1),
                expired: map(plan.expired, 1),
                open: map(plan.open, 0),
                segments: map(plan.segments, 2),
            };
        }
        for collector in &mut state.collectors {
            *collector = match *collector {
                Collector::Idle | Collector::Read { .. } => *collector,
                Collector::Looked { open } => Collector::Looked { open: map(open, 0) },
                Collector::Waiting { plan, runs } => Collector::Waiting { plan, runs: map(runs, 0) },
                Collector::Marked { plan, seen, live } => {
                    Collector::Marked { plan, seen, live: map(live, 2) }
                }
                Collector::Copying { plan, seen, need, doomed: all } => {
                    Collector::Copying { plan, seen, need: map(need, 2), doomed: doomed(all) }
                }
                Collector::Naming { plan, seen, copy, doomed: all } => {
                    Collector::Naming { plan, seen, copy, doomed: doomed(all) }
                }
                Collector::Copied { plan, seen, doomed: all } => {
                    Collector::Copied { plan, seen, doomed: doomed(all) }
                }
                Collector::Deleting { doomed: all } => Collector::Deleting { doomed: doomed(all) },
            };
        }
        state
    }

    /// One of all states that differ in names only: nothing tells runs or collectors apart, so one stands for all.
    pub(crate) fn canonical(mut self) -> Self {
        self.collectors.sort();
        let orders: &[&[usize]] = match R {
            2 => &[&[0, 1], &[1, 0]],
            3 => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
            _ => &[],
        };
        // Only orders that sort the runs by what does not depend on their names.
        let plain = |run: &Run| (run.at, run.name, run.flight, run.fenced);
        let sorted = |order: &&&[usize]| {
            order.windows(2).all(|pair| plain(&self.runs[pair[0]]) <= plain(&self.runs[pair[1]]))
        };
        let renamed = orders.iter().filter(sorted).map(|order| {
            let mut state = self.renamed(order);
            state.collectors.sort();
            state
        });
        renamed.min().unwrap_or(self)
    }
}
