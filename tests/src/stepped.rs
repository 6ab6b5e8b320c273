//! Stores, several parties at them, one step at a time: which of them makes its next operation, which operation fails, which
//! answer is lost, who dies, and how far the clock jumps meanwhile, a seed decides. Whoever passes the turn on does nothing
//! until it is back, so that between two operations nobody else moves and a seed gives the same again.

mod seat;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;

pub use seat::Stepped;

use crate::collecting::Aging;

/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How often what goes wrong, out of a thousand operations each.
#[derive(Debug, Clone, Copy)]
pub struct Mishaps {
    /// An operation is not performed.
    pub fails: u64,
    /// It is performed, and the answer is lost; a put may be performed much later.
    pub ambiguous: u64,
    /// The party dies.
    pub dies: u64,
    /// Another party goes on.
    pub turns: u64,
    /// The clock jumps by one to eight days.
    pub jumps: u64,
    /// Whoever has just listed packs, and will rely on what it saw, does nothing while others make hundreds of operations.
    pub naps: u64,
}

/// What a party is denied, as if a precaution were left out of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blind {
    /// Nothing.
    No,
    /// It sees no gc records.
    Records,
    /// It sees no fences, and takes the place of whatever stands at a snapshot's name.
    Fences,
    /// It sees no runs.
    Runs,
    /// What it copies into new packs arrives nowhere.
    Copies,
}

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations.
    pub operations: u64,
    /// Operations that failed, answers that were lost.
    pub faults: u64,
    /// Parties that died.
    pub deaths: u64,
    /// Times that another party went on.
    pub turns: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Puts that arrived late.
    pub late: u64,
    /// Parties that did nothing for long.
    pub naps: u64,
    /// A sum over who did what in which order.
    pub trace: u64,
}

/// The table that parties sit at.
pub struct Steps {
    state: Mutex<State>,
    changed: Condvar,
    clock: Aging,
    mishaps: Mishaps,
}

struct State {
    random: u64,
    turn: usize,
    living: Vec<bool>,
    /// How often it is whose turn, one beside the other.
    paces: Vec<usize>,
    dead: Vec<bool>,
    /// Until which operation each does nothing.
    asleep: Vec<u64>,
    late: Vec<Late>,
    tally: Tally,
}

/// A put on its way: when it arrives, and where.
struct Late {
    due: u64,
    store: MemoryStore,
    name: ObjectName,
    bytes: Vec<u8>,
}

impl Steps {
    /// A table for so many parties; the first one begins.
    #[must_use]
    pub fn new(seed: u64, parties: usize, clock: &Aging, mishaps: Mishaps) -> Arc<Self> {
        let state = State {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            turn: 0,
            living: vec![true; parties],
            paces: vec![100; parties],
            dead: vec![false; parties],
            asleep: vec![0; parties],
            late: Vec::new(),
            tally: Tally::default(),
        };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), clock: clock.clone(), mishaps })
    }

    /// A store as a party sees it.
    #[must_use]
    pub fn seat(self: &Arc<Self>, party: usize, store: &MemoryStore, blind: Blind) -> Stepped {
        Stepped { steps: Arc::clone(self), party, store: store.clone(), blind }
    }

    /// A party that died is somebody else from now on, who may go on; whether it had died.
    pub fn revive(&self, party: usize) -> bool {
        self.lock().dead.get_mut(party).is_some_and(std::mem::take)
    }

    /// A party does nothing for long, and has its turn then.
    pub fn pause(&self, party: usize) {
        let mut state = self.await_turn(party, self.lock());
        state.nap(party);
        state.pass();
        self.changed.notify_all();
        drop(self.await_turn(party, state));
    }

    /// A party has left: the others go on without it.
    pub fn leave(&self, party: usize) {
        let mut state = self.await_turn(party, self.lock());
        if let Some(living) = state.living.get_mut(party) {
            *living = false;
        }
        state.pass();
        drop(state);
        self.changed.notify_all();
    }

    /// Lets arrive what is still on its way; what happened.
    #[must_use]
    pub fn finish(&self) -> Tally {
        let mut state = self.lock();
        Self::arrive(&mut state, u64::MAX);
        state.tally
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_turn<'s>(&'s self, party: usize, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        while state.turn != party {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Performs what was due.
    fn arrive(state: &mut State, now: u64) {
        let (due, later): (Vec<Late>, _) =
            std::mem::take(&mut state.late).into_iter().partition(|one| one.due <= now);
        state.late = later;
        for one in due {
            state.tally.late += 1;
            let _either = one.store.create(&one.name, &one.bytes);
        }
    }
}

impl State {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn chance(&mut self, of_thousand: u64) -> bool {
        (self.random() >> 20) % 1000 < of_thousand
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from((self.random() >> 20) % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn pass(&mut self) {
        let mut living: Vec<usize> =
            (0..self.living.len()).filter(|party| self.living.get(*party) == Some(&true)).collect();
        let now = self.tally.operations;
        let awake = |party: &usize| self.asleep.get(*party).is_none_or(|until| *until <= now);
        if living.iter().any(awake) {
            living.retain(awake);
        }
        // Now and then somebody becomes slow, or hasty: so one may go through all of a collection between two operations
        // of another.
        if self.chance(60) {
            let (party, pace) = (self.below(self.paces.len()), self.below(4));
            if let (Some(to), Some(new)) = (self.paces.get_mut(party), [1, 10, 100, 1000].get(pace)) {
                *to = *new;
            }
        }
        let pace = |party: &usize| self.paces.get(*party).copied().unwrap_or(0);
        let total: usize = living.iter().map(pace).sum();
        let mut chosen = self.below(total);
        for party in living {
            let pace = self.paces.get(party).copied().unwrap_or(0);
            if chosen < pace {
                self.turn = party;
                self.tally.turns += 1;
                break;
            }
            chosen -= pace;
        }
    }

    /// Lets a party do nothing for long.
    fn nap(&mut self, party: usize) {
        let until = self.tally.operations + 100 + self.below(900) as u64;
        if let Some(asleep) = self.asleep.get_mut(party) {
            *asleep = until;
        }
        self.tally.naps += 1;
    }

    fn note(&mut self, party: usize, operation: &str) {
        self.tally.operations += 1;
        for byte in operation.bytes().chain([u8::try_from(party).unwrap_or(255)]) {
            self.tally.trace = (self.tally.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
