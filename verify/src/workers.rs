//! The same work on many things by several threads.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lifeboat_repo::observe::Observer;

use crate::error::VerifyError;

/// More threads than this gain nothing: the store or memory bandwidth is the limit long before, and each holds
/// buffers of up to a segment.
const THREADS_MAX: usize = 16;

/// How many threads a check may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(NonZeroUsize);

impl Threads {
    /// One thread.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// So many, but at least one and at most 16.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(NonZeroUsize::new(count.min(THREADS_MAX)).unwrap_or(NonZeroUsize::MIN))
    }
}

impl Default for Threads {
    /// As many as the machine has processors.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }
}

/// Does `work` on every item, each thread with a state of its own, which it gives back at the end. Items are
/// begun in order. The first error, or a request to stop, ends all threads after the item at hand.
pub(crate) fn each<T: Sync, S: Send>(
    items: &[T],
    threads: Threads,
    observer: &dyn Observer,
    start: impl Fn() -> Result<S, VerifyError> + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), VerifyError> + Sync,
) -> Result<Vec<S>, VerifyError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done = Mutex::new((Vec::new(), None));
    let run = || {
        let mut state = start()?;
        while !stop.load(Ordering::Relaxed) {
            let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            if observer.cancelled() {
                return Err(VerifyError::cancelled("verification"));
            }
            work(&mut state, item)?;
        }
        Ok(state)
    };
    let run = || {
        let outcome = run();
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        if let Ok(mut done) = done.lock() {
            match outcome {
                Ok(state) => done.0.push(state),
                Err(error) => done.1 = done.1.take().or(Some(error)),
            }
        }
    };
    let extra = threads.0.get().min(items.len()).saturating_sub(1);
    std::thread::scope(|scope| {
        for _ in 0..extra {
            scope.spawn(run);
        }
        run();
    });
    let (states, error) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    error.map_or(Ok(states), Err)
}

/// What `work` makes of every item, in their order.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: Threads,
    observer: &dyn Observer,
    work: impl Fn(&T) -> Result<R, VerifyError> + Sync,
) -> Result<Vec<R>, VerifyError> {
    let numbered: Vec<(usize, &T)> = items.iter().enumerate().collect();
    let states = each(
        &numbered,
        threads,
        observer,
        || Ok(Vec::new()),
        |made, (number, item)| {
            made.push((*number, work(item)?));
            Ok(())
        },
    )?;
    let mut made: Vec<(usize, R)> = states.into_iter().flatten().collect();
    made.sort_unstable_by_key(|(number, _)| *number);
    Ok(made.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::observe::{Event, Silent};

    struct Impatient;

    impl Observer for Impatient {
        fn tell(&self, _event: Event) {}
        fn cancelled(&self) -> bool {
            true
        }
    }

    #[test]
    fn results_keep_their_order() {
        let items: Vec<u32> = (0..1000).collect();
        for threads in [Threads::ONE, Threads::new(0), Threads::new(7), Threads::new(1000)] {
            let doubled = map(&items, threads, &Silent, |n| Ok(n * 2)).unwrap();
            assert!(doubled.iter().copied().eq(items.iter().map(|n| n * 2)));
        }
        assert!(map(&[0_u8; 0], Threads::new(4), &Silent, |_| Ok(0)).unwrap().is_empty());
    }

    #[test]
    fn errors_and_requests_to_stop_end_it() {
        let items: Vec<u32> = (0..100).collect();
        let work = |n: &u32| if *n == 5 { Err(VerifyError::refused("x", "y")) } else { Ok(*n) };
        assert!(!map(&items, Threads::new(3), &Silent, work).unwrap_err().is_cancelled());
        assert!(map(&items, Threads::new(3), &Impatient, |_| Ok(())).unwrap_err().is_cancelled());
    }
}
