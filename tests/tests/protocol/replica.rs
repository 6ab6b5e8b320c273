//! Replication: runs that copy into a replica, and collectors there. In a replica a snapshot counts only where a commit of
//! such a run names it; the fence stands at that commit's name.

use stateright::{Model, Property};

use crate::sets::{Set, has, member, members, set_of};

/// Runs that copy.
const RUNS: usize = 2;
/// Collectors of the replica.
const COLLECTORS: usize = 2;
/// Gc records there.
const RECORDS: usize = 2;
/// Copies that collectors may make between them.
const COPIES: usize = 1;

/// How the protocol is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// As FORMAT.md has it.
    AsWritten,
    /// Runs that took too long count as over.
    NoFence,
    /// The fence stands at a name of the run's own, where it hinders nobody.
    FenceElsewhere,
    /// A snapshot counts as soon as its object is there.
    CountsAlone,
    /// Runs do not read the replica's gc records.
    RecordIgnored,
}

/// The model.
pub(crate) struct Replica {
    /// How the protocol is worded.
    pub(crate) wording: Wording,
    /// Gc records that may be put, at most two.
    pub(crate) records: u8,
    /// Runs that copy, at most two.
    pub(crate) runs: usize,
}

/// Packs: 0 is the source's, with segments 0 and 1; `1 + r` is what run `r` packed anew; `1 + RUNS + c` a copy. Snapshot
/// `s` needs segment `s`; snapshot 1 was copied and committed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    packs: Set,
    /// Segments in run's new packs and in copies.
    content: [Set; 1 + RUNS + COPIES],
    objects: Set,
    runs: [Run; RUNS],
    records: [Record; RECORDS],
    made: u8,
    collectors: [Collector; COLLECTORS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Run {
    at: At,
    snapshot: u8,
    commit: Commit,
    /// Creations of its commit under way.
    flight: u8,
    /// Somebody ended it, wherever the fence stands.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    Idle,
    Announced,
    /// Has read so many records.
    Listed(u8),
    /// What its snapshot needs is in the replica.
    Stored,
    Copied,
    Sent,
    Done,
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Commit {
    Free,
    There,
    Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
struct Record {
    packs: Set,
    expired: Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Collector {
    Idle,
    Waiting { record: u8, runs: Set },
    Marked { record: u8, seen: u8, live: Set },
    Deleting { packs: Set, objects: Set },
}

/// What somebody does; the first number is who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Announce(u8),
    ListRecords(u8),
    /// Takes a snapshot and sees to it that its segment is there: in a pack that is, or puts one.
    Store(u8, u8),
    PutSnapshot(u8),
    Send(u8),
    Arrive(u8),
    LookAgain(u8),
    Record(u8, u8, u8),
    ListRuns(u8, u8),
    Fence(u8, u8),
    Mark(u8),
    Copy(u8),
    Delete(u8),
    Crash(u8),
}

impl State {
    fn places(&self, segment: u8) -> Set {
        set_of(members(self.packs).filter(|pack| has(self.content[usize::from(*pack)], segment)))
    }

    fn told(&self, seen: u8, what: impl Fn(&Record) -> Set) -> Set {
        self.records.iter().take(seen.into()).fold(0, |set, record| set | what(record))
    }

    fn counting(&self, wording: Wording, seen: u8) -> Set {
        let committed = self.runs.iter().filter(|run| run.commit == Commit::There);
        let committed = 0b10 | set_of(committed.map(|run| run.snapshot));
        let named = if wording == Wording::CountsAlone { 0b11 } else { committed };
        self.objects & named & !self.told(seen, |record| record.expired)
    }

    fn over(&self, run: u8) -> bool {
        let run = self.runs[usize::from(run)];
        run.ended || run.commit != Commit::Free
    }

    fn open(&self) -> Set {
        let begun = (0..member(RUNS)).filter(|run| self.runs[usize::from(*run)].at != At::Idle);
        set_of(begun.filter(|run| !self.over(*run)))
    }

    /// The same with the runs' names exchanged.
    fn exchanged(&self) -> Self {
        let swap = |set: Set, first: u8| {
            let pair = 0b11 << first;
            set & !pair | u8::from(has(set, first)) << (first + 1) | u8::from(has(set, first + 1)) << first
        };
        let mut state = *self;
        state.packs = swap(state.packs, 1);
        state.content.swap(1, 2);
        state.runs.swap(0, 1);
        for record in &mut state.records {
            record.packs = swap(record.packs, 1);
        }
        for collector in &mut state.collectors {
            match collector {
                Collector::Waiting { runs, .. } => *runs = swap(*runs, 0),
                Collector::Deleting { packs, .. } => *packs = swap(*packs, 1),
                Collector::Idle | Collector::Marked { .. } => {}
            }
        }
        state
    }

    /// One of all states that differ in names only: nothing tells runs or collectors apart. Whom nobody need wait for any
    /// more is forgotten.
    fn canonical(mut self) -> Self {
        let open = self.open();
        for collector in &mut self.collectors {
            if let Collector::Waiting { runs, .. } = collector {
                *runs &= open;
            }
        }
        let mut other = self.exchanged();
        self.collectors.sort_unstable();
        other.collectors.sort_unstable();
        self.min(other)
    }

    fn store(&mut self, run: u8, snapshot: u8, seen: u8) {
        let condemned = self.told(seen, |record| record.packs);
        if self.places(snapshot) & !condemned == 0 {
            // The pack as it is, unless its name is condemned here: then in a new one.
            let pack = if has(condemned, 0) { 1 + run } else { 0 };
            self.packs |= 1 << pack;
            if pack > 0 {
                self.content[usize::from(pack)] = 1 << snapshot;
            }
        }
        let run = &mut self.runs[usize::from(run)];
        (run.at, run.snapshot) = (At::Stored, snapshot);
    }
}

impl Replica {
    fn copy_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, run) in state.runs.iter().enumerate().take(self.runs) {
            let r = member(number);
            if run.flight > 0 {
                actions.push(Action::Arrive(r));
            }
            match run.at {
                At::Idle => actions.push(Action::Announce(r)),
                At::Announced => actions.push(Action::ListRecords(r)),
                At::Listed(_) => actions.extend([Action::Store(r, 0), Action::Store(r, 1)]),
                At::Stored => actions.push(Action::PutSnapshot(r)),
                At::Copied if run.flight < 2 => actions.push(Action::Send(r)),
                At::Sent => actions.push(Action::LookAgain(r)),
                At::Copied | At::Done | At::Fenced => {}
            }
        }
    }

    fn collect_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, collector) in state.collectors.iter().enumerate() {
            let c = member(number);
            match *collector {
                Collector::Idle => {
                    if state.made < self.records {
                        let fresh = state.packs & !state.told(state.made, |record| record.packs);
                        let known = state.told(state.made, |record| record.expired);
                        for pack in members(fresh) {
                            actions.push(Action::Record(c, 1 << pack, 0));
                            let expirable = members(if known == 0 { state.objects } else { 0 });
                            actions.extend(expirable.map(|one| Action::Record(c, 1 << pack, 1 << one)));
                        }
                    }
                    let left = (0..state.made).filter(|record| {
                        let record = state.records[usize::from(*record)];
                        record.packs & state.packs | record.expired & state.objects != 0
                    });
                    actions.extend(left.map(|record| Action::ListRuns(c, record)));
                }
                Collector::Waiting { runs, .. } => {
                    actions.extend(members(runs & state.open()).map(|run| Action::Fence(c, run)));
                    let patient = self.wording != Wording::NoFence;
                    if members(runs).all(|run| state.over(run)) || !patient {
                        actions.push(Action::Mark(c));
                    }
                }
                Collector::Marked { .. } => actions.push(Action::Copy(c)),
                Collector::Deleting { .. } => actions.push(Action::Delete(c)),
            }
            if *collector != Collector::Idle {
                actions.push(Action::Crash(c));
            }
        }
    }

    fn copy(&self, state: &mut State, action: Action) -> Option<()> {
        let made = state.made;
        let run = |r: u8| usize::from(r);
        match action {
            Action::Announce(r) => state.runs[run(r)].at = At::Announced,
            Action::ListRecords(r) => {
                let ignored = self.wording == Wording::RecordIgnored;
                state.runs[run(r)].at = At::Listed(if ignored { 0 } else { made });
            }
            Action::Store(r, snapshot) => {
                let At::Listed(seen) = state.runs[run(r)].at else { return None };
                state.store(r, snapshot, seen);
            }
            Action::PutSnapshot(r) => {
                state.objects |= 1 << state.runs[run(r)].snapshot;
                state.runs[run(r)].at = At::Copied;
            }
            Action::Send(r) => {
                let run = &mut state.runs[run(r)];
                (run.at, run.flight) = (At::Sent, run.flight + 1);
            }
            Action::Arrive(r) => {
                let run = &mut state.runs[run(r)];
                run.flight -= 1;
                if run.commit == Commit::Free {
                    run.commit = Commit::There;
                }
                if run.at == At::Sent {
                    run.at = if run.commit == Commit::There { At::Done } else { At::Fenced };
                }
            }
            Action::LookAgain(r) => {
                let run = &mut state.runs[run(r)];
                run.at = match run.commit {
                    Commit::Free => At::Copied,
                    Commit::There => At::Done,
                    Commit::Fence => At::Fenced,
                };
            }
            _ => return None,
        }
        Some(())
    }

    fn collect(&self, state: &mut State, action: Action) -> Option<()> {
        let (c, next) = match action {
            Action::Record(c, packs, expired) => {
                state.records[usize::from(state.made)] = Record { packs, expired };
                state.made += 1;
                (c, Collector::Idle)
            }
            Action::ListRuns(c, record) => (c, Collector::Waiting { record, runs: state.open() }),
            Action::Fence(_, r) => {
                let run = &mut state.runs[usize::from(r)];
                run.ended = true;
                if self.wording != Wording::FenceElsewhere {
                    run.commit = Commit::Fence;
                }
                return Some(());
            }
            Action::Mark(c) => {
                let Collector::Waiting { record, .. } = state.collectors[usize::from(c)] else { return None };
                let live = state.counting(self.wording, state.made);
                (c, Collector::Marked { record, seen: state.made, live })
            }
            Action::Copy(c) => {
                let Collector::Marked { record, seen, live } = state.collectors[usize::from(c)] else {
                    return None;
                };
                let own = state.records[usize::from(record)];
                let condemned = state.told(seen, |record| record.packs);
                let held = members(own.packs & state.packs);
                let held = held.fold(0, |set, pack| set | state.content[usize::from(pack)]) & live;
                let need = set_of(members(held).filter(|segment| state.places(*segment) & !condemned == 0));
                if need != 0 {
                    let copy = 1 + RUNS;
                    if state.content[copy] != 0 {
                        return None;
                    }
                    state.content[copy] = need;
                    state.packs |= 1 << copy;
                }
                (
                    c,
                    Collector::Deleting {
                        packs: own.packs & state.packs,
                        objects: own.expired & state.objects,
                    },
                )
            }
            Action::Delete(c) => {
                let Collector::Deleting { packs, objects } = state.collectors[usize::from(c)] else {
                    return None;
                };
                state.packs &= !packs;
                state.objects &= !objects;
                (c, Collector::Idle)
            }
            Action::Crash(c) => (c, Collector::Idle),
            _ => return None,
        };
        state.collectors[usize::from(c)] = next;
        Some(())
    }
}

impl Model for Replica {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let run = Run { at: At::Idle, snapshot: 0, commit: Commit::Free, flight: 0, ended: false };
        let mut content = [0; 1 + RUNS + COPIES];
        content[0] = 0b11;
        vec![State {
            packs: 1,
            content,
            objects: 0b10,
            runs: [run; RUNS],
            records: [Record::default(); RECORDS],
            made: 0,
            collectors: [Collector::Idle; COLLECTORS],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.copy_actions(state, actions);
        self.collect_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.copy(&mut state, action).or_else(|| self.collect(&mut state, action))?;
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what counts can be restored", |model: &Self, state: &State| {
                let counting = state.counting(model.wording, state.made);
                members(counting).all(|snapshot| state.places(snapshot) != 0)
            }),
            Property::always("a fenced run never commits", |_, state: &State| {
                state.runs.iter().all(|run| !(run.ended && run.commit == Commit::There))
            }),
            Property::sometimes("space comes back", |model, state: &State| {
                state.packs & 1 == 0 && state.counting(model.wording, state.made) == 0b11
            }),
            Property::sometimes("a run is fenced", |_, state: &State| {
                state.runs.iter().any(|run| run.at == At::Fenced)
            }),
        ]
    }
}
