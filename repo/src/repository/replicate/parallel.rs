//! The same work on many things by several threads, within an amount of memory.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::observe::Observer;
use crate::repository::RepositoryError;
use crate::units::Bytes;

/// Does `work` on every item, beginning them in order. The first error, or a request to stop, ends all threads after
/// the item at hand.
pub(super) fn each<T: Sync>(
    items: &[T],
    threads: NonZeroUsize,
    observer: &dyn Observer,
    work: impl Fn(&T) -> Result<(), RepositoryError> + Sync,
) -> Result<(), RepositoryError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(None);
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let outcome = if observer.cancelled() { Err(super::cancelled()) } else { work(item) };
            if let Err(error) = outcome {
                stop.store(true, Ordering::Relaxed);
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    let extra = threads.get().min(items.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..extra {
            scope.spawn(run);
        }
        run();
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// An amount of memory that threads share.
pub(super) struct Budget {
    whole: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

/// A part of it, given back when dropped.
pub(super) struct Part<'b> {
    budget: &'b Budget,
    bytes: u64,
}

impl Budget {
    pub(super) const fn new(whole: Bytes) -> Self {
        Self { whole: whole.0, free: Mutex::new(whole.0), freed: Condvar::new() }
    }

    /// Waits for so much. What is more than there is waits for all of it, and is alone then.
    pub(super) fn take(&self, bytes: Bytes) -> Part<'_> {
        let bytes = bytes.0.min(self.whole);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Part { budget: self, bytes }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}
