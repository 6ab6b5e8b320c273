//! Erasing a tenant: keys are destroyed wherever they lie, and nothing late brings one back.

use stateright::{Model, Property};

use crate::sets::{Set, has, member, members, set_of};

/// Runs at work, each of which may make a key for the tenant.
const RUNS: usize = 2;
/// Erasers, or one who crashes and another who goes on.
const ERASERS: usize = 2;
/// Where keys lie: where runs put them, and where they are sealed anew or replicated to.
const PLACES: usize = 2;

/// How the protocol is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// What is found is written down before anything is deleted, and every place of it gets a grave.
    AsWritten,
    /// An eraser deletes what it found, and whoever goes on after it has only what is still there.
    NotWrittenDown,
    /// Keys are deleted, and their names left free.
    NoGraves,
    /// Graves only at names where a key lay when they were listed.
    GravesWhereListed,
    /// Keys are listed before the tombstone is there.
    ListedBeforeTombstone,
    /// Runs look for tombstones only before they make a key.
    LookedOnce,
}

/// The model.
pub(crate) struct Erasure {
    /// How the protocol is worded.
    pub(crate) wording: Wording,
    /// Runs at work, at most two.
    pub(crate) runs: usize,
}

/// Who has what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    tombstone: bool,
    /// Key objects at each place.
    keys: [Set; PLACES],
    graves: [Set; PLACES],
    /// Puts of keys under way, at each place: sent, perhaps answered, and they may come late or twice.
    flight: [Set; PLACES],
    /// Whether somebody may still copy a key, to each place.
    copies: [bool; PLACES],
    runs: [Run; RUNS],
    erasers: [Eraser; ERASERS],
    /// Keys that tombstones name.
    named: Set,
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Run {
    Idle,
    /// Saw no tombstone; its key is on the way.
    Making,
    /// Its key is confirmed.
    Made,
    /// Looked once more.
    Committing,
    Committed,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Eraser {
    Idle,
    /// Found keys here, not yet written down.
    Listed {
        found: [Set; PLACES],
    },
    /// Sees to these names.
    Burying {
        names: [Set; PLACES],
    },
}

/// What somebody does; the first number is who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Look(u8),
    Confirm(u8),
    LookOnceMore(u8),
    Commit(u8),
    Arrive(u8, u8, bool),
    Copy(u8, u8),
    PutTombstone,
    ListKeys(u8),
    WriteDown(u8),
    Delete(u8, u8, u8),
    PutGrave(u8, u8, u8),
    Finish(u8),
    Crash(u8),
}

impl State {
    /// Keys that something committed is under, or that were there at the beginning.
    fn used(&self) -> Set {
        let committed = self.runs.iter().enumerate().filter(|(_, run)| **run == Run::Committed);
        1 | set_of(committed.map(|(number, _)| 1 + member(number)))
    }
}

impl Erasure {
    fn agent_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, run) in state.runs.iter().enumerate().take(self.runs) {
            let r = member(number);
            match run {
                Run::Idle => actions.push(Action::Look(r)),
                Run::Making if has(state.keys[0], 1 + r) => actions.push(Action::Confirm(r)),
                Run::Made => actions.push(Action::LookOnceMore(r)),
                Run::Committing => actions.push(Action::Commit(r)),
                Run::Making | Run::Committed | Run::Refused => {}
            }
        }
        for place in 0..member(PLACES) {
            for key in members(state.flight[usize::from(place)]) {
                // It arrives, and perhaps once more later.
                actions.extend([false, true].map(|again| Action::Arrive(place, key, again)));
            }
        }
        for place in 1..member(PLACES) {
            // Sealed anew, or replicated: nobody does who sees the tombstone.
            if state.copies[usize::from(place)] && !state.tombstone {
                actions.extend(members(state.keys[0]).map(|key| Action::Copy(place, key)));
            }
        }
    }

    /// The names an eraser has to see to: places of keys.
    fn names(&self, named: Set, found: [Set; PLACES]) -> [Set; PLACES] {
        let anywhere = found.iter().fold(named, |all, keys| all | keys);
        if self.wording == Wording::GravesWhereListed { found } else { [anywhere; PLACES] }
    }

    fn eraser_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.tombstone {
            actions.push(Action::PutTombstone);
        }
        for (number, eraser) in state.erasers.iter().enumerate() {
            let e = member(number);
            if *eraser != Eraser::Idle {
                actions.push(Action::Crash(e));
            }
            let names = match eraser {
                Eraser::Idle => {
                    let early = self.wording == Wording::ListedBeforeTombstone;
                    if !state.complete && (state.tombstone || early) {
                        actions.push(Action::ListKeys(e));
                    }
                    continue;
                }
                Eraser::Listed { .. } => {
                    if state.tombstone {
                        actions.push(Action::WriteDown(e));
                    }
                    continue;
                }
                Eraser::Burying { names } => *names,
            };
            let mut left = false;
            for (place, wanted) in names.iter().enumerate() {
                let at = member(place);
                let there = wanted & state.keys[place];
                actions.extend(members(there).map(|key| Action::Delete(e, at, key)));
                let free = wanted & !state.keys[place] & !state.graves[place];
                left |= there != 0;
                if self.wording != Wording::NoGraves {
                    left |= free != 0;
                    actions.extend(members(free).map(|key| Action::PutGrave(e, at, key)));
                }
            }
            if !left {
                actions.push(Action::Finish(e));
            }
        }
    }
}

impl Model for Erasure {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            tombstone: false,
            keys: [1, 0],
            graves: [0; PLACES],
            flight: [0; PLACES],
            copies: [true; PLACES],
            runs: [Run::Idle; RUNS],
            erasers: [Eraser::Idle; ERASERS],
            named: 0,
            complete: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.agent_actions(state, actions);
        self.eraser_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        let refused = |state: &State, otherwise| if state.tombstone { Run::Refused } else { otherwise };
        match action {
            Action::Look(r) => {
                state.runs[usize::from(r)] = refused(&state, Run::Making);
                if !state.tombstone {
                    state.flight[0] |= 1 << (1 + r);
                }
            }
            Action::Confirm(r) => state.runs[usize::from(r)] = Run::Made,
            Action::LookOnceMore(r) => {
                let once = self.wording == Wording::LookedOnce;
                state.runs[usize::from(r)] =
                    if once { Run::Committing } else { refused(&state, Run::Committing) };
            }
            Action::Commit(r) => state.runs[usize::from(r)] = Run::Committed,
            Action::Arrive(place, key, again) => {
                let place = usize::from(place);
                // A grave has the name: whatever comes late is refused.
                if !has(state.graves[place], key) {
                    state.keys[place] |= 1 << key;
                }
                if !again {
                    state.flight[place] &= !(1 << key);
                }
            }
            Action::Copy(place, key) => {
                state.flight[usize::from(place)] |= 1 << key;
                state.copies[usize::from(place)] = false;
            }
            Action::PutTombstone => state.tombstone = true,
            Action::ListKeys(e) => {
                state.erasers[usize::from(e)] = Eraser::Listed { found: self.names(0, state.keys) }
            }
            Action::WriteDown(e) => {
                let Eraser::Listed { found } = state.erasers[usize::from(e)] else { return None };
                if self.wording != Wording::NotWrittenDown {
                    state.named = found.iter().fold(state.named, |all, keys| all | keys);
                }
                state.erasers[usize::from(e)] = Eraser::Burying { names: self.names(state.named, found) };
            }
            Action::Delete(_, place, key) => state.keys[usize::from(place)] &= !(1 << key),
            Action::PutGrave(_, place, key) => state.graves[usize::from(place)] |= 1 << key,
            Action::Finish(e) => {
                state.erasers[usize::from(e)] = Eraser::Idle;
                state.complete = true;
            }
            Action::Crash(e) => state.erasers[usize::from(e)] = Eraser::Idle,
        }
        state.erasers.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what was erased never comes back", |_, state: &State| {
                let there = state.keys.iter().fold(0, |all, keys| all | keys);
                !state.complete || state.used() & there == 0
            }),
            Property::sometimes("an erasure completes", |model: &Self, state: &State| {
                let graves = state.graves.iter().fold(0, |all, graves| all | graves);
                state.complete && graves == (2 << model.runs) - 1
            }),
            Property::sometimes("a run is refused after it made a key", |_, state: &State| {
                state.runs.iter().enumerate().any(|(r, run)| {
                    *run == Run::Refused && has(state.keys[0] | state.graves[0], 1 + member(r))
                })
            }),
        ]
    }
}
