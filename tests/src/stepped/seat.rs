//! One seat at the table.

use std::sync::Arc;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};

use super::{Blind, DAY, Late, State, Steps};

enum Fate {
    Well,
    Before,
    After,
    Late,
}

/// A store as one party sees it.
#[derive(Clone)]
pub struct Stepped {
    pub(super) steps: Arc<Steps>,
    pub(super) party: usize,
    pub(super) store: MemoryStore,
    pub(super) blind: Blind,
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
        Steps::arrive(&mut state, now);
        let outcome = match self.fate(&mut state, put.is_some()) {
            Fate::Well => act(),
            Fate::Before => Err(self.failed(operation, subject)),
            Fate::After => act().and_then(|_| Err(self.failed(operation, subject))),
            Fate::Late => {
                if let Some((name, bytes)) = put {
                    let due = now + 1 + state.below(400) as u64;
                    let (store, name, bytes) = (self.store.clone(), name.clone(), bytes.to_vec());
                    state.late.push(Late { due, store, name, bytes });
                }
                Err(self.failed(operation, subject))
            }
        };
        if state.chance(steps.mishaps.jumps) {
            let days = u32::try_from(1 + state.below(8)).unwrap_or(1);
            steps.clock.pass(DAY * days);
            state.tally.jumps += 1;
        }
        let naps = operation == "list" && subject == "packs/" && state.chance(steps.mishaps.naps);
        if naps {
            state.nap(self.party);
        }
        if naps || state.chance(steps.mishaps.turns) {
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
        &self.store
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
