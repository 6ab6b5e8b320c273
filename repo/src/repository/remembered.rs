//! Small objects that were read once. Records, ledger entries, runs and snapshots are never changed, and judging and
//! collecting look at each of them several times, mostly over a network.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::format::names::{Place, place};
use crate::ids::ObjectName;
use crate::units::Bytes;

/// Longer objects are read again.
const LENGTH_MAX: Bytes = Bytes::kib(64);
/// Beyond this together no more are kept.
const ALL_MAX: Bytes = Bytes::mib(32);

/// Whole objects by name, as they were when their signature held.
///
/// Whoever takes one from here checks its signature again, by the trust of that moment. What can be replaced under its
/// name (keys and cards by graves, what hosts remember) is never kept.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    objects: HashMap<ObjectName, Vec<u8>>,
    bytes: Bytes,
}

impl Remembered {
    /// Whether an object of such a name and length is worth keeping.
    pub(super) fn takes(name: &ObjectName, length: Bytes) -> bool {
        length <= LENGTH_MAX
            && matches!(
                place(name),
                Some(
                    Place::Gc(_)
                        | Place::Ledger(..)
                        | Place::Run(..)
                        | Place::Snapshot(..)
                        | Place::Index(..)
                        | Place::Erasure(..)
                )
            )
    }

    /// The object, if it was kept and is no longer than `limit`.
    pub(super) fn get(&self, name: &ObjectName, limit: Bytes) -> Option<Vec<u8>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.objects.get(name).filter(|bytes| Bytes::of(bytes) <= limit).cloned()
    }

    /// Whether it was kept.
    pub(super) fn has(&self, name: &ObjectName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).objects.contains_key(name)
    }

    /// Keeps an object whose signature holds, while there is room.
    pub(super) fn keep(&self, name: &ObjectName, bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length = Bytes::of(&bytes);
        if kept.bytes + length <= ALL_MAX && !kept.objects.contains_key(name) {
            kept.bytes += length;
            kept.objects.insert(name.clone(), bytes);
        }
    }
}
