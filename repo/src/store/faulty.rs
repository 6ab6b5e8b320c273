//! A store that counts its operations, and fails or dies at one of them, for tests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use crate::ids::ObjectName;
use crate::units::{Bytes, LockClass, Timestamp};

/// A store that passes everything on to another, counts it, and fails where it is told to.
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not performed.
    Before,
    /// It is performed, and the answer is lost.
    After,
}

/// The operations of a store, those of an upload among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Operation {
    Create,
    Stage,
    Upload,
    Write,
    Finish,
    Barrier,
    Read,
    ReadRange,
    List,
    Stat,
    Delete,
    Now,
}

/// One operation that was asked for, failed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub operation: Operation,
    /// The object's name or the listing's prefix; empty where there is none.
    pub subject: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.subject)
    }
}

#[derive(Default)]
struct State {
    log: Vec<Call>,
    plan: Plan,
}

#[derive(Default)]
enum Plan {
    #[default]
    Work,
    Stop(u64, Fault),
    Fail(u64, Fault, StoreErrorKind),
    Call(u64, Box<dyn FnOnce() + Send>),
}

impl<S: Store> FaultyStore<S> {
    /// Passes everything on, and counts.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Dies at the `at`-th operation, counted from 1: that one fails by `fault`, all later ones are not performed.
    #[must_use]
    pub fn stop_at(self, at: u64, fault: Fault) -> Self {
        self.lock().plan = Plan::Stop(at, fault);
        self
    }

    /// Fails only the `at`-th operation, counted from 1, with `kind`.
    #[must_use]
    pub fn fail_at(self, at: u64, fault: Fault, kind: StoreErrorKind) -> Self {
        self.lock().plan = Plan::Fail(at, fault, kind);
        self
    }

    /// Calls somebody before the `at`-th operation, counted from 1: what others do meanwhile.
    #[must_use]
    pub fn call_at(self, at: u64, meanwhile: impl FnOnce() + Send + 'static) -> Self {
        self.lock().plan = Plan::Call(at, Box::new(meanwhile));
        self
    }

    /// How many operations were asked for, those that failed included.
    pub fn operations(&self) -> u64 {
        self.lock().log.len() as u64
    }

    /// Every operation asked for, in order.
    pub fn log(&self) -> Vec<Call> {
        self.lock().log.clone()
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an operation; how it is to fail.
    fn note(&self, operation: Operation, subject: &str) -> Option<(Fault, StoreErrorKind)> {
        let mut state = self.lock();
        state.log.push(Call { operation, subject: subject.to_owned() });
        let number = state.log.len() as u64;
        let stopped = |fault| Some((fault, StoreErrorKind::Other("a test stopped the process".to_owned())));
        match state.plan {
            Plan::Stop(at, fault) if number == at => stopped(fault),
            Plan::Stop(at, _) if number > at => stopped(Fault::Before),
            Plan::Fail(at, ..) if number == at => match std::mem::take(&mut state.plan) {
                Plan::Fail(_, fault, kind) => Some((fault, kind)),
                Plan::Stop(..) | Plan::Call(..) | Plan::Work => None,
            },
            Plan::Call(at, _) if number == at => {
                let plan = std::mem::take(&mut state.plan);
                drop(state);
                if let Plan::Call(_, meanwhile) = plan {
                    meanwhile();
                }
                None
            }
            _ => None,
        }
    }

    fn run<T>(
        &self,
        operation: Operation,
        subject: &str,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some((fault, kind)) = self.note(operation, subject) else { return act() };
        if fault == Fault::After {
            act()?;
        }
        let (subject, location) = (subject.to_owned(), self.inner.location());
        Err(StoreError { operation: "finish an operation on", subject, location, kind })
    }
}

impl<S: Store> Store for FaultyStore<S> {
    crate::store::forward_store!([inner]; location expect expect_whole lock_terms locked_until lock versioned
        read_version reinstate probes);

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.create_as(name, bytes, LockClass::Normal)
    }

    fn create_as(&self, name: &ObjectName, bytes: &[u8], class: LockClass) -> Result<Created, StoreError> {
        self.run(Operation::Create, name.as_str(), || self.inner.create_as(name, bytes, class))
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.run(Operation::Stage, name.as_str(), || self.inner.stage(name, bytes))
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.upload_as(LockClass::Normal)
    }

    fn upload_as(&self, class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        let inner = self.run(Operation::Upload, "", || self.inner.upload_as(class))?;
        Ok(Box::new(FaultyUpload { store: self, inner }))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.run(Operation::Barrier, "", || self.inner.barrier())
    }

    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::Read, name.as_str(), || self.inner.read(name, limit))
    }

    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let before = into.len();
        let read = || self.inner.read_range(name, offset, length, &mut *into);
        self.run(Operation::ReadRange, name.as_str(), read).inspect_err(|_| into.truncate(before))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.run(Operation::List, prefix, || self.inner.list(prefix))
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        self.run(Operation::Stat, name.as_str(), || self.inner.stat(name))
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.run(Operation::Delete, name.as_str(), || self.inner.delete(name))
    }

    fn now(&self) -> Result<Timestamp, StoreError> {
        self.run(Operation::Now, "", || self.inner.now())
    }
}

struct FaultyUpload<'s, S> {
    store: &'s FaultyStore<S>,
    inner: Box<dyn Upload + 's>,
}

impl<S: Store> Upload for FaultyUpload<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.run(Operation::Write, "", || self.inner.write(bytes))
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.store.run(Operation::Finish, name.as_str(), || self.inner.finish(name))
    }
}

/// A shared store is a store, so that wrappers take `Arc<dyn Store>` as well.
impl<S: Store + ?Sized> Store for Arc<S> {
    crate::store::forward_store!([as_ref()]; location create create_as stage upload upload_as barrier read
        read_range expect expect_whole list stat delete now lock_terms locked_until lock versioned
        read_version reinstate probes);
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::super::memory::MemoryStore;
    use super::*;

    /// Five operations, the last two of an upload.
    fn work(store: &dyn Store) -> Result<(), StoreError> {
        let name = |text: &str| text.parse::<ObjectName>().unwrap();
        let _created = store.create(&name("a"), b"1")?;
        store.stage(&name("b"), b"2")?;
        let mut upload = store.upload()?;
        upload.write(b"3")?;
        upload.finish(&name("c"))
    }

    #[test]
    fn dies_at_each_operation_before_or_after_it() {
        for at in 1..=5 {
            for fault in [Fault::Before, Fault::After] {
                let shared: Arc<dyn Store> = Arc::new(MemoryStore::new());
                let store = FaultyStore::new(Arc::clone(&shared)).stop_at(at, fault);
                assert!(work(&store).is_err());
                assert!(store.barrier().is_err(), "the dead do nothing");
                assert_eq!(store.operations(), at + 1);
                let done = at - u64::from(fault == Fault::Before);
                let there = [done >= 1, done >= 2, done >= 5].iter().filter(|done| **done).count();
                assert_eq!(shared.list("").unwrap().len(), there, "{at} {fault:?}");
            }
        }
    }

    #[test]
    fn fails_once_and_goes_on() {
        let store = FaultyStore::new(MemoryStore::new()).fail_at(2, Fault::Before, StoreErrorKind::Missing);
        assert!(work(&store).unwrap_err().is_missing());
        assert!(store.stage(&"b".parse().unwrap(), b"2").is_ok());
        let log: Vec<String> = store.log().iter().map(ToString::to_string).collect();
        assert_eq!(log, ["Create a", "Stage b", "Stage b"]);
        let report = contract::check(&FaultyStore::new(MemoryStore::new()), &"scratch".parse().unwrap());
        assert!(report.passed(), "{report}");
    }
}
