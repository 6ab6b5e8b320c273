//! Commit and collection: runs that rely on what is there or put their own, collectors that condemn, wait, fence, copy and
//! delete, crash at any moment and are resumed by others; a creation whose answer is lost arrives late or never.

use stateright::{Model, Property};

use crate::sets::{Set, has, member, members, parts, set_of};
use crate::state::{At, COLLECTORS, COPIES, Collector, Name, Plan, RECORDS, Run, State};

/// How the protocol is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// As FORMAT.md has it.
    AsWritten,
    /// Runs that took too long count as over.
    NoFence,
    /// Records condemn dead segments, and writers rely on all others.
    SegmentsCondemned,
    /// A sweep trusts every pack that its own record does not name.
    OwnRecordOnly,
    /// Deleted first, copied then.
    DeleteBeforeCopy,
    /// Writers rely on condemned packs.
    RecordIgnored,
    /// Writers read records before they are announced.
    RecordsBeforeAnnouncing,
    /// Runs are listed before the record is there.
    RunsBeforeRecord,
    /// A record that lost the race for its number goes under the next with the same list of open runs.
    OpenOfLostRace,
    /// A snapshot takes the place of a fence.
    NotExclusive,
    /// Records are not listed again after the copying.
    NotListedAgain,
    /// A pack that no index names is taken as empty.
    UnnamedAreEmpty,
    /// The same, and records are not listed again after the copying.
    UnnamedAreEmptyNotListedAgain,
    /// Condemned index objects go without another look at what is live.
    IndexNotLookedAtAgain,
    /// The index object of a copy tells the places of segments and not their chunks, which writers remember all the same.
    CopyWithoutChunks,
    /// What was condemned goes before the copy's place is known.
    CopyUnconfirmed,
}

/// The model of `R` runs and two collectors.
pub(crate) struct Collection<const R: usize> {
    /// How the protocol is worded.
    pub(crate) wording: Wording,
    /// Gc records that may be put, at most two.
    pub(crate) records: u8,
    /// Whether they expire a snapshot.
    pub(crate) expire: bool,
    /// Whether they condemn index objects too.
    pub(crate) indexes: bool,
    /// Whether the listings of runs that later records tell of are used.
    pub(crate) open: bool,
    /// Whether a sweep reads records and snapshots one after the other, so that something may come between.
    pub(crate) fine: bool,
    /// Whether creations are sent again, and arrive twice, and a pack that was deleted reappears.
    pub(crate) late: bool,
}

/// What somebody does; the first number is who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Announce(u8),
    ListRecords(u8),
    Rely(u8, u8),
    Upload(u8),
    PutIndex(u8),
    Send(u8),
    Arrive(u8),
    LookAgain(u8),
    Look(u8),
    Plan(u8, Plan),
    ListRuns(u8, u8, Option<u8>),
    Fence(u8, u8),
    ReadRecords(u8),
    Mark(u8),
    ListPacks(u8),
    Copy(u8),
    PutCopyIndex(u8),
    ListAgain(u8),
    DeletePack(u8, u8),
    DeleteIndex(u8, u8),
    DeleteSnapshot(u8, u8),
    Crash(u8),
    Reappear(u8),
}

impl<const R: usize> Collection<R> {
    /// Forgets what can make no difference any more.
    fn forget(&self, state: &mut State<R>) {
        let over = set_of((0..member(R)).filter(|run| state.over(*run)));
        for (number, plan) in state.plans.iter_mut().enumerate() {
            plan.open &= !over;
            if number == 0 && self.wording != Wording::RunsBeforeRecord {
                plan.open = 0;
            }
        }
        for collector in &mut state.collectors {
            if let Collector::Looked { open: runs } | Collector::Waiting { runs, .. } = collector {
                *runs &= !over;
            }
        }
        for run in &mut state.runs {
            let ended = matches!(run.at, At::Done | At::Fenced);
            let counts = run.name == Name::Snapshot || run.flight > 0;
            if ended && !counts {
                run.needs = 0;
            }
        }
    }

    fn writer_actions(&self, state: &State<R>, actions: &mut Vec<Action>) {
        for (number, run) in state.runs.iter().enumerate() {
            let r = member(number);
            if run.flight > 0 {
                actions.push(Action::Arrive(r));
            }
            match run.at {
                At::Idle if self.wording == Wording::RecordsBeforeAnnouncing => {
                    actions.push(Action::ListRecords(r))
                }
                At::Idle => actions.push(Action::Announce(r)),
                At::Early(_) => actions.push(Action::Announce(r)),
                At::Announced => actions.push(Action::ListRecords(r)),
                At::Listed(seen) => {
                    actions.push(Action::Upload(r));
                    let known = (0..2 + member(R)).filter(|segment| self.reliable(state, seen, *segment));
                    actions.extend(known.map(|segment| Action::Rely(r, segment)));
                }
                At::Uploaded => actions.push(Action::PutIndex(r)),
                At::Chosen if run.flight < 1 + u8::from(self.late) => actions.push(Action::Send(r)),
                At::Sent if self.late => actions.push(Action::LookAgain(r)),
                _ => {}
            }
        }
    }

    /// Packs that a segment can be read from.
    pub(crate) fn places(&self, state: &State<R>, segment: u8) -> Set {
        match self.wording {
            Wording::CopyWithoutChunks => state.places_without_chunks(segment),
            _ => state.places(segment),
        }
    }

    /// Whether a writer that read so many records may rely on a segment. It remembers what index objects told, those that are
    /// condemned or gone by now included.
    fn reliable(&self, state: &State<R>, seen: u8, segment: u8) -> bool {
        if self.wording == Wording::SegmentsCondemned {
            return state.places(segment) != 0
                && state.told(seen, |plan| plan.segments) & (1 << segment) == 0;
        }
        let remembered = state.packs & (state.indexes | state.told(state.made, |plan| plan.indexes));
        let trusted = remembered & !state.told(seen, |plan| plan.packs);
        members(trusted).any(|pack| has(state.holds(pack), segment))
    }

    fn plans(&self, state: &State<R>, c: u8, open: Set, actions: &mut Vec<Action>) {
        let condemned = state.told(state.made, |plan| plan.packs);
        let expired = state.told(state.made, |plan| plan.expired);
        let told_indexes = state.told(state.made, |plan| plan.indexes);
        let expirable = if self.expire && expired == 0 { state.snapshots() } else { 0 };
        for packs in parts(state.packs & !condemned) {
            if packs.count_ones() > 1 && packs != state.packs & !condemned {
                continue;
            }
            let void = (packs | condemned | !state.packs) & state.indexes & !told_indexes;
            let void = if self.indexes { void } else { 0 };
            let segments =
                members(packs).fold(0, |set, pack| set | state.holds(pack)) & !state.live(state.made);
            for expired in std::iter::once(0).chain(members(expirable).map(|bit| 1 << bit)) {
                for indexes in [0, void] {
                    if packs | expired | indexes == 0 || (indexes == void && void == 0 && indexes != 0) {
                        continue;
                    }
                    actions.push(Action::Plan(
                        c,
                        Plan {
                            packs,
                            indexes,
                            expired,
                            open,
                            segments: if self.wording == Wording::SegmentsCondemned { segments } else { 0 },
                        },
                    ));
                    if void == 0 {
                        break;
                    }
                }
            }
        }
    }

    fn collector_actions(&self, state: &State<R>, actions: &mut Vec<Action>) {
        for (number, collector) in state.collectors.iter().enumerate() {
            let c = member(number);
            if *collector != Collector::Idle {
                actions.push(Action::Crash(c));
            }
            match *collector {
                Collector::Idle => {
                    if state.made < self.records && !self.open {
                        self.plans(state, c, 0, actions);
                    } else if state.made < self.records {
                        actions.push(Action::Look(c));
                    }
                    for plan in (0..state.made).filter(|plan| state.unfinished(*plan)) {
                        actions.push(Action::ListRuns(c, plan, None));
                        let first = if self.wording == Wording::RunsBeforeRecord { plan } else { plan + 1 };
                        let first = if self.open { first } else { state.made };
                        actions
                            .extend((first..state.made).map(|later| Action::ListRuns(c, plan, Some(later))));
                    }
                }
                Collector::Looked { open } if state.made < self.records => {
                    self.plans(state, c, open, actions)
                }
                Collector::Looked { .. } => {}
                Collector::Waiting { runs, .. } => {
                    let fence =
                        |run: &u8| matches!(state.runs[usize::from(*run)].name, Name::Free | Name::Gone);
                    actions.extend(members(runs).filter(fence).map(|run| Action::Fence(c, run)));
                    if members(runs).all(|run| state.over(run)) || self.wording == Wording::NoFence {
                        actions.push(Action::ReadRecords(c));
                    }
                }
                Collector::Read { .. } => actions.push(Action::Mark(c)),
                Collector::Marked { .. } => actions.push(Action::ListPacks(c)),
                Collector::Copying { .. } => {
                    if state.copies.contains(&0) {
                        actions.push(Action::Copy(c));
                    }
                }
                Collector::Naming { .. } => actions.push(Action::PutCopyIndex(c)),
                Collector::Copied { .. } => actions.push(Action::ListAgain(c)),
                Collector::Deleting { doomed } => {
                    let packs = members(doomed.packs).map(|pack| Action::DeletePack(c, pack));
                    let indexes = members(doomed.indexes).map(|index| Action::DeleteIndex(c, index));
                    let snapshots =
                        members(doomed.snapshots).map(|snapshot| Action::DeleteSnapshot(c, snapshot));
                    actions.extend(packs.chain(indexes).chain(snapshots).next());
                }
            }
        }
        if state.late {
            let gone = state.told(state.made, |plan| plan.packs) & !state.packs;
            actions.extend(members(gone).map(Action::Reappear));
        }
    }
}

impl<const R: usize> Model for Collection<R> {
    type State = State<R>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<R>> {
        let run = Run { at: At::Idle, needs: 0, name: Name::Free, flight: 0, fenced: false };
        vec![State {
            packs: 1,
            indexes: 1,
            copies: [0; COPIES],
            old: Name::Snapshot,
            runs: [run; R],
            plans: [Plan::default(); RECORDS],
            made: 0,
            collectors: [Collector::Idle; COLLECTORS],
            late: self.late,
        }]
    }

    fn actions(&self, state: &State<R>, actions: &mut Vec<Action>) {
        self.writer_actions(state, actions);
        self.collector_actions(state, actions);
    }

    fn next_state(&self, last: &State<R>, action: Action) -> Option<State<R>> {
        let mut state = *last;
        self.write(&mut state, action).or_else(|| self.collect(&mut state, action))?;
        self.forget(&mut state);
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what counts can be restored", |model: &Self, state: &State<R>| {
                members(state.counting()).all(|snapshot| model.places(state, state.needs(snapshot)) != 0)
            }),
            Property::always("a fenced run never commits", |_, state: &State<R>| {
                state.runs.iter().all(|run| !(run.fenced && run.name == Name::Snapshot))
            }),
            Property::always("who reports success has committed", |_, state: &State<R>| {
                let expired = state.told(state.made, |plan| plan.expired);
                state.runs.iter().enumerate().all(|(r, run)| {
                    run.at != At::Done
                        || matches!(run.name, Name::Snapshot | Name::Gone)
                        || expired & (2 << r) != 0
                })
            }),
            Property::sometimes("space comes back", |_, state: &State<R>| {
                state.packs & 1 == 0 && state.counting() != 0
            }),
            Property::sometimes("what was dead is used, and moves", |_, state: &State<R>| {
                state.packs & 1 == 0 && members(state.counting()).any(|snapshot| state.needs(snapshot) == 0)
            }),
            Property::sometimes("a run is fenced", |_, state: &State<R>| {
                state.runs.iter().any(|run| run.at == At::Fenced)
            }),
        ]
    }
}
