//! Destroying a seal: runs that make keys and use them, officers that seal anew what is in use and destroy the old seal.

use stateright::{Model, Property};

use crate::sets::{Set, has, member, members, set_of};

/// Runs at work.
const RUNS: usize = 2;
/// Officers, or one who crashes and another who goes on.
const OFFICERS: usize = 2;

/// How the protocol is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// As FORMAT.md has it.
    AsWritten,
    /// Runs that took too long count as over.
    NoFence,
    /// Keys are listed before runs are waited for or fenced.
    KeysBeforeRuns,
    /// Runs use what is under a condemned seal.
    RecordIgnored,
    /// Runs make new keys under the seal that they read before they were announced.
    SealReadEarly,
    /// The new seal is put after the record that condemns the old one.
    RunsBeforeRecord,
}

/// The model.
pub(crate) struct Seals {
    /// How the protocol is worded.
    pub(crate) wording: Wording,
}

/// Keys: 0 was there, `1 + r` is what run `r` makes. Seals: the old one and the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    /// Key objects under the old seal and under the new one.
    sealed: [Set; 2],
    newer: bool,
    condemned: bool,
    destroyed: bool,
    runs: [Run; RUNS],
    officers: [Officer; OFFICERS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Run {
    at: At,
    /// The seal it has read.
    seal: u8,
    /// The key it needs.
    key: u8,
    name: Name,
    flight: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    Idle,
    /// Has read the newest seal.
    Opened,
    Announced,
    /// Whether it saw the old seal condemned.
    Listed(bool),
    Chosen,
    Sent,
    Done,
    Fenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Free,
    Snapshot,
    Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Officer {
    Idle,
    /// Waits for these; `keys` only where they were listed before.
    Waiting {
        runs: Set,
        keys: Option<Set>,
    },
    /// Has these to seal anew.
    Sealing {
        keys: Set,
    },
}

/// What somebody does; the first number is who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Open(u8),
    Announce(u8),
    ListRecords(u8),
    Use(u8, u8),
    Make(u8),
    Send(u8),
    Arrive(u8),
    LookAgain(u8),
    PutSeal,
    Condemn,
    ListRuns(u8),
    Fence(u8),
    ListKeys(u8),
    SealAnew(u8),
    Destroy(u8),
    Crash(u8),
}

impl State {
    fn over(&self, run: u8) -> bool {
        self.runs[usize::from(run)].name != Name::Free
    }

    fn open(&self) -> Set {
        let begun =
            (0..member(RUNS)).filter(|run| !matches!(self.runs[usize::from(*run)].at, At::Idle | At::Opened));
        set_of(begun.filter(|run| !self.over(*run)))
    }

    /// Keys whose object can be opened.
    fn usable(&self) -> Set {
        self.sealed[1] | if self.destroyed { 0 } else { self.sealed[0] }
    }
}

impl Seals {
    /// Keys that a run may use, having seen the old seal condemned or not.
    fn relied_on(&self, state: &State, condemned: bool) -> Set {
        let old = if condemned && self.wording != Wording::RecordIgnored { 0 } else { state.sealed[0] };
        state.sealed[1] | if state.destroyed { 0 } else { old }
    }

    fn run_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, run) in state.runs.iter().enumerate() {
            let r = member(number);
            if run.flight > 0 {
                actions.push(Action::Arrive(r));
            }
            match run.at {
                At::Idle => actions.push(Action::Open(r)),
                At::Opened => actions.push(Action::Announce(r)),
                At::Announced => actions.push(Action::ListRecords(r)),
                At::Listed(condemned) => {
                    actions.push(Action::Make(r));
                    actions.extend(members(self.relied_on(state, condemned)).map(|key| Action::Use(r, key)));
                }
                At::Chosen if run.flight < 2 => actions.push(Action::Send(r)),
                At::Sent => actions.push(Action::LookAgain(r)),
                At::Chosen | At::Done | At::Fenced => {}
            }
        }
    }

    fn officer_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.newer {
            actions.push(Action::PutSeal);
        } else if !state.condemned {
            actions.push(Action::Condemn);
        }
        let ready = state.newer && (state.condemned || self.wording == Wording::RunsBeforeRecord);
        for (number, officer) in state.officers.iter().enumerate() {
            let o = member(number);
            match *officer {
                Officer::Idle if ready && !state.destroyed => actions.push(Action::ListRuns(o)),
                Officer::Idle => {}
                Officer::Waiting { runs, .. } => {
                    actions.extend(members(runs & state.open()).map(Action::Fence));
                    let patient = self.wording != Wording::NoFence;
                    if state.condemned && (!patient || members(runs).all(|run| state.over(run))) {
                        actions.push(Action::ListKeys(o));
                    }
                }
                Officer::Sealing { keys: 0 } => actions.push(Action::Destroy(o)),
                Officer::Sealing { .. } => actions.push(Action::SealAnew(o)),
            }
            if *officer != Officer::Idle {
                actions.push(Action::Crash(o));
            }
        }
    }

    fn run(&self, state: &mut State, action: Action) -> Option<()> {
        let (condemned, newest) = (state.condemned, u8::from(state.newer));
        let run = |r: u8| usize::from(r);
        match action {
            Action::Open(r) => (state.runs[run(r)].at, state.runs[run(r)].seal) = (At::Opened, newest),
            Action::Announce(r) => state.runs[run(r)].at = At::Announced,
            Action::ListRecords(r) => {
                let run = &mut state.runs[run(r)];
                run.at = At::Listed(condemned);
                // Its seal is condemned: it reads again which is the newest.
                if condemned && !matches!(self.wording, Wording::SealReadEarly | Wording::RecordIgnored) {
                    run.seal = newest;
                }
            }
            Action::Use(r, key) => (state.runs[run(r)].at, state.runs[run(r)].key) = (At::Chosen, key),
            Action::Make(r) => {
                let seal = state.runs[run(r)].seal;
                state.sealed[usize::from(seal)] |= 1 << (1 + r);
                (state.runs[run(r)].at, state.runs[run(r)].key) = (At::Chosen, 1 + r);
            }
            Action::Send(r) => {
                let run = &mut state.runs[run(r)];
                (run.at, run.flight) = (At::Sent, run.flight + 1);
            }
            Action::Arrive(r) => {
                let run = &mut state.runs[run(r)];
                run.flight -= 1;
                if run.name == Name::Free {
                    run.name = Name::Snapshot;
                }
                if run.at == At::Sent {
                    run.at = if run.name == Name::Snapshot { At::Done } else { At::Fenced };
                }
            }
            Action::LookAgain(r) => {
                let run = &mut state.runs[run(r)];
                run.at = match run.name {
                    Name::Free => At::Chosen,
                    Name::Snapshot => At::Done,
                    Name::Fence => At::Fenced,
                };
            }
            _ => return None,
        }
        Some(())
    }

    fn officer(&self, state: &mut State, action: Action) -> Option<()> {
        let (o, next) = match action {
            Action::PutSeal => {
                state.newer = true;
                return Some(());
            }
            Action::Condemn => {
                state.condemned = true;
                return Some(());
            }
            Action::Fence(r) => {
                state.runs[usize::from(r)].name = Name::Fence;
                return Some(());
            }
            Action::ListRuns(o) => {
                let keys = (self.wording == Wording::KeysBeforeRuns).then_some(state.sealed[0]);
                (o, Officer::Waiting { runs: state.open(), keys })
            }
            Action::ListKeys(o) => {
                let Officer::Waiting { keys, .. } = state.officers[usize::from(o)] else { return None };
                (o, Officer::Sealing { keys: keys.unwrap_or(state.sealed[0]) & !state.sealed[1] })
            }
            Action::SealAnew(o) => {
                let Officer::Sealing { keys } = state.officers[usize::from(o)] else { return None };
                let key = members(keys).next()?;
                if has(state.usable(), key) {
                    state.sealed[1] |= 1 << key;
                }
                (o, Officer::Sealing { keys: keys & !(1 << key) })
            }
            Action::Destroy(o) => {
                state.destroyed = true;
                (o, Officer::Idle)
            }
            Action::Crash(o) => (o, Officer::Idle),
            _ => return None,
        };
        state.officers[usize::from(o)] = next;
        Some(())
    }
}

impl Model for Seals {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let run = Run { at: At::Idle, seal: 0, key: 0, name: Name::Free, flight: 0 };
        vec![State {
            sealed: [1, 0],
            newer: false,
            condemned: false,
            destroyed: false,
            runs: [run; RUNS],
            officers: [Officer::Idle; OFFICERS],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.run_actions(state, actions);
        self.officer_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.run(&mut state, action).or_else(|| self.officer(&mut state, action))?;
        state.officers.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no key in use is destroyed", |_, state: &State| {
                let committed = state.runs.iter().filter(|run| run.name == Name::Snapshot);
                set_of(committed.map(|run| run.key)) & !state.usable() == 0
            }),
            Property::sometimes(
                "a seal is destroyed, and what was made under it lives on",
                |_, state: &State| {
                    let old = |run: &Run| run.name == Name::Snapshot && has(state.sealed[0], run.key);
                    state.destroyed && state.runs.iter().any(old)
                },
            ),
            Property::sometimes("a run is fenced", |_, state: &State| {
                state.runs.iter().any(|run| run.at == At::Fenced)
            }),
        ]
    }
}
