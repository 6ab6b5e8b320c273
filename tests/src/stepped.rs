//! One store, several parties, one step at a time: which of them makes its next operation, which operation fails, which
//! answer is lost, who dies, and how far the clock jumps meanwhile, a seed decides. Whoever passes the turn on does nothing
//! until it is back, so that between two operations nobody else moves and a seed gives the same again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};

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
    /// A sum over who did what in which order.
    pub trace: u64,
}

/// The table that parties sit at.
pub struct Steps {
    state: Mutex<State>,
    changed: Condvar,
    store: MemoryStore,
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
    late: Vec<(u64, ObjectName, Vec<u8>)>,
    tally: Tally,
}

enum Fate {
    Well,
    Before,
    After,
    Late,
}

impl Steps {
    /// A table for so many parties; the first one begins.
    #[must_use]
    pub fn new(seed: u64, parties: usize, store: &MemoryStore, clock: &Aging, mishaps: Mishaps) -> Arc<Self> {
        let state = State {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            turn: 0,
            living: vec![true; parties],
            paces: vec![100; parties],
            dead: vec![false; parties],
            late: Vec::new(),
            tally: Tally::default(),
        };
        let (store, clock) = (store.clone(), clock.clone());
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), store, clock, mishaps })
    }

    /// The store as a party sees it.
    #[must_use]
    pub fn seat(self: &Arc<Self>, party: usize, blind: Blind) -> Stepped {
        Stepped { steps: Arc::clone(self), party, blind }
    }

    /// A party that died is somebody else from now on, who may go on.
    pub fn revive(&self, party: usize) {
        if let Some(dead) = self.lock().dead.get_mut(party) {
            *dead = false;
        }
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
        self.arrive(&mut state, u64::MAX);
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
    fn arrive(&self, state: &mut State, now: u64) {
        let (due, later) = std::mem::take(&mut state.late).into_iter().partition(|(at, ..)| *at <= now);
        state.late = later;
        let due: Vec<(u64, ObjectName, Vec<u8>)> = due;
        for (_, name, bytes) in due {
            state.tally.late += 1;
            let _either = self.store.create(&name, &bytes);
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
        let living: Vec<usize> =
            (0..self.living.len()).filter(|party| self.living.get(*party) == Some(&true)).collect();
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

    fn note(&mut self, party: usize, operation: &str) {
        self.tally.operations += 1;
        for byte in operation.bytes().chain([u8::try_from(party).unwrap_or(255)]) {
            self.tally.trace = (self.tally.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The store as one party sees it.
#[derive(Clone)]
pub struct Stepped {
    steps: Arc<Steps>,
    party: usize,
    blind: Blind,
}

impl Stepped {
    /// Waits for its turn, makes one operation, and perhaps lets another party go on.
    fn step<T>(
        &self,
        operation: &'static str,
        subject: &str,
        put: Option<(&ObjectName, &[u8])>,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let steps = &self.steps;
        let mut state = steps.await_turn(self.party, steps.lock());
        state.note(self.party, operation);
        let now = state.tally.operations;
        steps.arrive(&mut state, now);
        let outcome = match self.fate(&mut state, put.is_some()) {
            Fate::Well => act(),
            Fate::Before => Err(self.failed(operation, subject)),
            Fate::After => act().and_then(|_| Err(self.failed(operation, subject))),
            Fate::Late => {
                if let Some((name, bytes)) = put {
                    let due = now + 1 + state.below(400) as u64;
                    state.late.push((due, name.clone(), bytes.to_vec()));
                }
                Err(self.failed(operation, subject))
            }
        };
        if state.chance(steps.mishaps.jumps) {
            let days = u32::try_from(1 + state.below(8)).unwrap_or(1);
            steps.clock.pass(DAY * days);
            state.tally.jumps += 1;
        }
        if state.chance(steps.mishaps.turns) {
            state.pass();
            steps.changed.notify_all();
            drop(steps.await_turn(self.party, state));
        }
        outcome
    }

    fn fate(&self, state: &mut State, is_put: bool) -> Fate {
        let mishaps = self.steps.mishaps;
        if state.dead.get(self.party) == Some(&true) {
            return Fate::Before;
        }
        if state.chance(mishaps.dies) {
            if let Some(dead) = state.dead.get_mut(self.party) {
                *dead = true;
            }
            state.tally.deaths += 1;
            return if state.chance(500) { Fate::After } else { Fate::Before };
        }
        let fate = if state.chance(mishaps.fails) {
            Fate::Before
        } else if state.chance(mishaps.ambiguous) {
            if is_put && state.chance(500) { Fate::Late } else { Fate::After }
        } else {
            return Fate::Well;
        };
        state.tally.faults += 1;
        fate
    }

    fn failed(&self, operation: &'static str, subject: &str) -> StoreError {
        let kind = StoreErrorKind::Unreachable("a simulation let it fail".into());
        StoreError { operation, subject: subject.to_owned(), location: self.location(), kind }
    }

    fn inner(&self) -> &MemoryStore {
        &self.steps.store
    }

    /// A snapshot is sealed, a fence is not.
    fn is_fence(&self, name: &ObjectName) -> bool {
        let there = self.inner().read(name, Bytes::mib(64)).unwrap_or_default();
        there.windows(5).any(|window| window == b"fence")
    }

    fn shown(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.inner().list(prefix)?;
        let hidden = |kind: Blind, place: &str| self.blind == kind && prefix.starts_with(place);
        if hidden(Blind::Records, "gc/") || hidden(Blind::Runs, "runs/") {
            return Ok(Vec::new());
        }
        if hidden(Blind::Fences, "snapshots/") {
            return Ok(listed.into_iter().filter(|one| !self.is_fence(&one.name)).collect());
        }
        Ok(listed)
    }
}

impl Store for Stepped {
    fn location(&self) -> String {
        format!("memory, seat {}", self.party)
    }

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.step("create", name.as_str(), Some((name, bytes)), || {
            if self.blind == Blind::Fences && name.as_str().starts_with("snapshots/") {
                self.inner().replace(name, bytes);
                return Ok(Created::New);
            }
            self.inner().create(name, bytes)
        })
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        if self.blind == Blind::Copies && name.as_str().starts_with("packs/") {
            return self.step("stage", name.as_str(), None, || Ok(()));
        }
        self.step("stage", name.as_str(), Some((name, bytes)), || self.inner().stage(name, bytes))
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        Ok(Box::new(SteppedUpload { store: self, bytes: Vec::new() }))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.inner().barrier()
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.step("read", name.as_str(), None, || self.inner().read(name, limit))
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let before = into.len();
        let read = || self.inner().read_range(name, offset, length, &mut *into);
        self.step("read range", name.as_str(), None, read).inspect_err(|_| into.truncate(before))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.step("list", prefix, None, || self.shown(prefix))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        self.step("stat", name.as_str(), None, || self.inner().stat(name))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.step("delete", name.as_str(), None, || self.inner().delete(name))
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner().now()
    }
}

struct SteppedUpload<'s> {
    store: &'s Stepped,
    bytes: Vec<u8>,
}

impl Upload for SteppedUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.store.stage(name, &self.bytes)
    }
}
