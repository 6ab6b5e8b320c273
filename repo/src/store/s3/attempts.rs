//! Trying again, within bounds: how many requests at once, how many attempts, how long between them.
//!
//! As many requests as the server takes: the number grows by one for each full round that went well and halves when
//! the server asks for less, as TCP does. Attempts share a budget, so that a server that fails everything is not
//! asked ten times as often as one that works.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::fault::{Fault, FaultKind};
use super::settings::Bounds;
use crate::clock::{Entropy, SystemEntropy};
use crate::units::Bytes;

/// After a cut, the answers to what was asked before it say nothing new.
const CUT_EVERY: Duration = Duration::from_secs(1);
/// Repetitions that may be outstanding beyond what successes earn.
const BUDGET: f64 = 100.0;
/// What a success earns: one repetition in five requests goes on for ever.
const EARNED: f64 = 0.2;
/// Requests at once before anything is known of the server.
const FIRST_LIMIT: f64 = 8.0;

/// How many requests may be under way.
pub(super) struct Gate {
    state: Mutex<GateState>,
    freed: Notify,
    max: f64,
}

struct GateState {
    limit: f64,
    busy: u32,
    cut: Option<Instant>,
    budget: f64,
}

/// The right to one request.
struct Permit<'g>(&'g Gate);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.busy = state.busy.saturating_sub(1));
        self.0.freed.notify_waiters();
    }
}

impl Gate {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let max = f64::from(bounds.requests_max.max(1));
        let state = GateState { limit: FIRST_LIMIT.min(max), busy: 0, cut: None, budget: BUDGET };
        Self { state: Mutex::new(state), freed: Notify::new(), max }
    }

    fn with<T>(&self, act: impl FnOnce(&mut GateState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn enter(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            freed.as_mut().enable();
            let entered = self.with(|state| {
                let free = f64::from(state.busy) < state.limit;
                state.busy += u32::from(free);
                free
            });
            if entered {
                return Permit(self);
            }
            freed.await;
        }
    }

    fn went_well(&self) {
        self.with(|state| {
            state.limit = (state.limit + 1.0 / state.limit).min(self.max);
            state.budget = (state.budget + EARNED).min(BUDGET);
        });
    }

    fn was_slow(&self) {
        self.with(|state| {
            let now = Instant::now();
            if state.cut.is_none_or(|cut| now.duration_since(cut) >= CUT_EVERY) {
                state.limit = (state.limit / 2.0).max(1.0);
                state.cut = Some(now);
            }
        });
    }

    /// Takes one repetition from the budget; false where none is left.
    fn may_repeat(&self) -> bool {
        self.with(|state| {
            let may = state.budget >= 1.0;
            state.budget -= if may { 1.0 } else { 0.0 };
            may
        })
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        self.with(|state| state.limit)
    }
}

/// Gives up on something that moves so many bytes once it takes longer than they ever should.
pub(super) async fn within<T>(
    bounds: &Bounds,
    bytes: Bytes,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let limit = bounds.patience.saturating_add(bounds.slowest.time_for(bytes));
    let answer = tokio::time::timeout(limit, work).await;
    answer
        .unwrap_or_else(|_| Err(Fault::passing(format!("no whole answer within {} s", limit.as_secs_f32()))))
}

/// Tries until it works, cannot work, or the attempts are used up. `renew` is called where credentials have expired.
pub(super) async fn repeat<T, F, R>(
    gate: &Gate,
    bounds: &Bounds,
    attempt: impl Fn() -> F,
    renew: impl Fn() -> R,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
    R: Future<Output = ()>,
{
    let mut tried = 0;
    loop {
        tried += 1;
        let permit = gate.enter().await;
        let answer = attempt().await;
        drop(permit);
        let fault = match answer {
            Ok(value) => {
                gate.went_well();
                return Ok(value);
            }
            Err(fault) => fault,
        };
        if fault.kind == FaultKind::Slow || fault.kind == FaultKind::Passing && fault.ambiguous {
            gate.was_slow();
        }
        if !fault.kind.passes() {
            return Err(fault);
        }
        if tried >= bounds.attempts_max.max(1) || !gate.may_repeat() {
            let message = format!("{} (tried {tried} times)", fault.message);
            return Err(Fault { message, ..fault });
        }
        tracing::debug!(tried, reason = %fault.message, "a request failed and is tried again");
        if fault.kind == FaultKind::Expired {
            renew().await;
        }
        tokio::time::sleep(wait(bounds, tried)).await;
    }
}

/// A random time between nothing and the doubled wait: many hosts that failed together do not return together.
fn wait(bounds: &Bounds, tried: u32) -> Duration {
    let doubled = bounds.backoff.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(bounds.backoff_max);
    let mut random = [0; 4];
    // Without randomness the whole wait is waited.
    let part = SystemEntropy.fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
    doubled.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn quick() -> Bounds {
        Bounds { backoff: Duration::ZERO, attempts_max: 5, ..Bounds::default() }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(future)
    }

    async fn failing(gate: &Gate, bounds: &Bounds, kind: FaultKind) -> (Result<(), Fault>, u32) {
        let tried = Cell::new(0);
        let attempt = || {
            tried.set(tried.get() + 1);
            async { Err(Fault { kind, ambiguous: false, message: "said so".to_owned() }) }
        };
        let answer = repeat(gate, bounds, attempt, || async {}).await;
        (answer, tried.get())
    }

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let bounds = quick();
        for (kind, times) in [
            (FaultKind::Slow, 5),
            (FaultKind::Passing, 5),
            (FaultKind::Contended, 5),
            (FaultKind::Expired, 5),
            (FaultKind::Missing, 1),
            (FaultKind::Taken, 1),
            (FaultKind::Denied, 1),
            (FaultKind::Final, 1),
        ] {
            let (answer, tried) = run(failing(&Gate::new(&bounds), &bounds, kind));
            assert_eq!((answer.unwrap_err().kind, tried), (kind, times));
        }
    }

    #[test]
    fn the_budget_ends_repetition_and_success_earns_it_back() {
        let bounds = quick();
        let gate = Gate::new(&bounds);
        let mut all = 0;
        for _ in 0..100 {
            all += run(failing(&gate, &bounds, FaultKind::Passing)).1;
        }
        assert_eq!(all, 200, "100 operations, and 100 repetitions between them");
        for _ in 0..5 {
            run(repeat(&gate, &bounds, || async { Ok(()) }, || async {})).unwrap();
        }
        assert_eq!(run(failing(&gate, &bounds, FaultKind::Passing)).1, 2);
    }

    #[test]
    fn fewer_at_once_where_the_server_asks_for_it() {
        let bounds = quick();
        let gate = Gate::new(&bounds);
        assert!((gate.limit() - 8.0).abs() < 1e-9);
        for _ in 0..3 {
            let _ = run(failing(&gate, &bounds, FaultKind::Slow));
        }
        assert!((gate.limit() - 4.0).abs() < 1e-9, "halved once a second, not for every answer");
        for _ in 0..40 {
            run(repeat(&gate, &bounds, || async { Ok(()) }, || async {})).unwrap();
        }
        assert!(gate.limit() > 8.0 && gate.limit() < 12.0, "{}", gate.limit());
    }

    #[test]
    fn what_never_answers_is_given_up() {
        let bounds = Bounds { patience: Duration::from_millis(5), attempts_max: 2, ..quick() };
        let gate = Gate::new(&bounds);
        let never = || within(&bounds, Bytes::ZERO, std::future::pending::<Result<(), Fault>>());
        let fault = run(repeat(&gate, &bounds, never, || async {})).unwrap_err();
        assert!(fault.ambiguous && fault.message.ends_with("(tried 2 times)"), "{fault:?}");
    }
}
