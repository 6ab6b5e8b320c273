//! A store that remembers how it came to hold what it holds, for tests of crashes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lossy::mix;
use super::memory::MemoryStore;
use super::{Created, Store, StoreError, Upload};
use crate::ids::ObjectName;
use crate::units::{LockClass, Timestamp};

/// A store that passes everything on to another and records each change that succeeded.
///
/// To inject faults as well, put them around the recorder, not below it: of what fails below, nobody knows
/// whether it happened.
pub struct RecordingStore<S> {
    inner: S,
    /// Held through each change, so that the order recorded is the order performed.
    changes: Mutex<Vec<Recorded>>,
}

/// A change and when it was made, by the store's clock.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The change.
    pub change: Change,
    /// When.
    pub at: Timestamp,
}

/// Something that changed a store, or confirmed changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method of that name, with its arguments and answer")]
pub enum Change {
    Stage { name: ObjectName, bytes: Arc<[u8]> },
    Finish { name: ObjectName, bytes: Arc<[u8]> },
    Create { name: ObjectName, bytes: Arc<[u8]>, created: Created },
    Delete { name: ObjectName },
    Barrier,
}

impl<S: Store> RecordingStore<S> {
    /// Records what happens to `inner` from now on.
    pub fn new(inner: S) -> Self {
        Self { inner, changes: Mutex::default() }
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The changes so far.
    pub fn changes(&self) -> Vec<Recorded> {
        self.lock().clone()
    }

    /// A store as a crash after the first `count` changes might leave it, where `base` is what there was before
    /// them. Of what was staged since the last barrier or creation, `seed` chooses what survives: 0 nothing,
    /// 1 everything, else any part. Objects keep their times; the new store is on the clock of `base`.
    pub fn after_crash(&self, base: &MemoryStore, count: usize, seed: u64) -> MemoryStore {
        let store = base.fork();
        let changes = self.lock();
        let done = changes.get(..count).unwrap_or(&changes);
        let confirms =
            |recorded: &Recorded| matches!(recorded.change, Change::Barrier | Change::Create { .. });
        let confirmed = done.iter().rposition(confirms).unwrap_or(0);
        for (index, recorded) in done.iter().enumerate() {
            let survives = index < confirmed
                || match seed {
                    0 => false,
                    1 => true,
                    _ => mix(seed, index as u64) & 1 == 1,
                };
            match &recorded.change {
                Change::Stage { name, bytes } | Change::Finish { name, bytes } if survives => {
                    store.put(name, bytes, recorded.at);
                }
                Change::Create { name, bytes, created: Created::New } => {
                    store.put(name, bytes, recorded.at);
                }
                Change::Delete { name } => store.remove(name),
                Change::Stage { .. } | Change::Finish { .. } | Change::Create { .. } | Change::Barrier => {}
            }
        }
        store
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record<T>(
        &self,
        act: impl FnOnce() -> Result<T, StoreError>,
        change: impl FnOnce(&T) -> Change,
    ) -> Result<T, StoreError> {
        let mut changes = self.lock();
        let answer = act()?;
        changes.push(Recorded { change: change(&answer), at: self.inner.now()? });
        Ok(answer)
    }
}

impl<S: Store> Store for RecordingStore<S> {
    crate::store::forward_store!([inner]; location read read_range expect expect_whole list stat now lock_terms
        locked_until lock versioned read_version reinstate probes);

    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.create_as(name, bytes, LockClass::Normal)
    }

    fn create_as(&self, name: &ObjectName, bytes: &[u8], class: LockClass) -> Result<Created, StoreError> {
        let create = || self.inner.create_as(name, bytes, class);
        self.record(create, |created| Change::Create {
            name: name.clone(),
            bytes: bytes.into(),
            created: *created,
        })
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let stage = || self.inner.stage(name, bytes);
        self.record(stage, |()| Change::Stage { name: name.clone(), bytes: bytes.into() })
    }

    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.upload_as(LockClass::Normal)
    }

    fn upload_as(&self, class: LockClass) -> Result<Box<dyn Upload + '_>, StoreError> {
        let inner = self.inner.upload_as(class)?;
        Ok(Box::new(RecordingUpload { store: self, inner, bytes: Vec::new() }))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.record(|| self.inner.barrier(), |()| Change::Barrier)
    }

    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.record(|| self.inner.delete(name), |_| Change::Delete { name: name.clone() })
    }
}

struct RecordingUpload<'s, S> {
    store: &'s RecordingStore<S>,
    inner: Box<dyn Upload + 's>,
    bytes: Vec<u8>,
}

impl<S: Store> Upload for RecordingUpload<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.write(bytes)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        let Self { store, inner, bytes } = *self;
        store.record(|| inner.finish(name), |()| Change::Finish { name: name.clone(), bytes: bytes.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn loses_any_part_of_what_no_barrier_confirmed_and_nothing_else() {
        let base = MemoryStore::new();
        base.replace(&"old".parse().unwrap(), b"0");
        let store = RecordingStore::new(base.fork());
        let name = |text: &str| text.parse::<ObjectName>().unwrap();
        store.stage(&name("a"), b"1").unwrap();
        store.barrier().unwrap();
        assert!(store.delete(&name("old")).unwrap());
        store.stage(&name("b"), b"2").unwrap();
        let mut upload = store.upload().unwrap();
        upload.write(b"3").unwrap();
        upload.finish(&name("c")).unwrap();
        assert_eq!(store.create(&name("d"), b"4").unwrap(), Created::New);

        let left = |count, seed| -> String {
            let listed = store.after_crash(&base, count, seed).list("").unwrap();
            listed.iter().map(|listed| listed.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let all = |count| (0..50).map(|seed| left(count, seed)).collect::<BTreeSet<_>>();
        assert_eq!(all(0), BTreeSet::from(["old".to_owned()]));
        assert_eq!(all(1), BTreeSet::from(["old".to_owned(), "a old".to_owned()]));
        assert_eq!(all(2), BTreeSet::from(["a old".to_owned()]));
        assert_eq!(all(5), ["a", "a b", "a b c", "a c"].map(str::to_owned).into());
        assert_eq!(all(6), BTreeSet::from(["a b c d".to_owned()]));
        assert_eq!((left(5, 0), left(5, 1)), ("a".to_owned(), "a b c".to_owned()));
    }
}
