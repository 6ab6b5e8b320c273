//! When each part of a whole estate is back: components that need one another, on a number of workers.
//!
//! A component is restored by one worker, or its transfer is divided into shards that several restore at once, between
//! what must happen before (a machine stands ready, a plan is made) and after (replay, checks, cutover). What needs a
//! component begins when all of that is over. So an estate is a graph of tasks of one worker each, and a schedule says
//! who does what when.
//!
//! | bound                             | why no schedule is shorter                                                 |
//! | --------------------------------- | -------------------------------------------------------------------------- |
//! | critical path                     | tasks that need one another cannot overlap                                 |
//! | work ÷ workers                    | a worker does one thing at a time                                          |
//! | work of a pool ÷ its capacity     | no more of its tasks run at once                                           |
//!
//! Up to [`EXACT_MAX`] tasks the shortest schedule is found by trying all orders. Larger ones are scheduled by priority: of what
//! can begin, first what the longest path hangs on. Without pools that takes at most twice the larger of the first two
//! bounds (Graham, *Bounds on multiprocessing timing anomalies*, 1969), and usually little more than it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use serde::Serialize;

use crate::span;

mod place;
#[cfg(test)]
mod tests;

/// So many tasks are scheduled by trying every order: 5,040 at the most.
pub const EXACT_MAX: usize = 7;

/// A component is divided into so many shards at the most: each opens the plan anew, which costs more than it gains then.
pub const SHARDS_MAX: u32 = 1024;

/// A component to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: Label,
    /// What must be back before it begins.
    pub needs: Vec<Label>,
    /// Until its transfer can begin: a machine, archived objects, a plan.
    pub before: Duration,
    /// How long one worker transfers it.
    pub transfer: Duration,
    /// Into how many shards the transfer may be divided.
    pub shards: NonZeroU32,
    /// From the last byte to people using it: replay, erasures, checks, cutover.
    pub after: Duration,
    /// What else bounds how many of its tasks run at once, if anything: a name in [`Estate::pools`].
    pub pool: Option<String>,
}

/// Everything that is to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// Its components.
    pub parts: Vec<Part>,
    /// Things that only so many tasks may use at once: a line to another region, a database server.
    pub pools: BTreeMap<String, NonZeroU32>,
}

/// An estate that cannot be scheduled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EstateError {
    /// Two components have one name.
    #[error("two components are named {0}")]
    Twice(Label),
    /// A component needs one that is not there.
    #[error("component {part} needs {needs}, which is not among those to be restored")]
    Dangling {
        /// Which needs it.
        part: Label,
        /// What is not there.
        needs: Label,
    },
    /// Components need one another in a ring.
    #[error("component {0} needs itself, by way of others; nothing of them could begin")]
    Ring(Label),
    /// A component names a pool that is not there.
    #[error("component {part} names the pool {pool:?}, which is not defined")]
    Pool {
        /// Which names it.
        part: Label,
        /// What is not there.
        pool: String,
    },
}

/// What a task is of its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "stage", content = "of")]
pub enum Stage {
    /// All of it, by one worker.
    Whole,
    /// What comes before the transfer.
    Before,
    /// One of so many shards, from 1.
    Shard(u32, u32),
    /// What comes after the transfer.
    After,
}

/// A task in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    /// The component.
    pub part: Label,
    /// What of it.
    #[serde(flatten)]
    pub stage: Stage,
    /// When it begins, from the start of the recovery.
    #[serde(serialize_with = "span::seconds")]
    pub start: Duration,
    /// When it is over.
    #[serde(serialize_with = "span::seconds")]
    pub end: Duration,
    /// By which worker, from 0.
    pub worker: u32,
}

/// Who does what when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// Every task, by its start.
    pub tasks: Vec<Placed>,
    /// When all is back.
    #[serde(serialize_with = "span::seconds")]
    pub makespan: Duration,
    /// The components of the longest chain of tasks that need one another: where less time helps first.
    pub critical: Vec<Label>,
    /// How long that chain takes whatever workers there are.
    #[serde(serialize_with = "span::seconds")]
    pub critical_path: Duration,
    /// All work, one thing after the other.
    #[serde(serialize_with = "span::seconds")]
    pub work: Duration,
    /// No schedule on so many workers is shorter.
    #[serde(serialize_with = "span::seconds")]
    pub bound: Duration,
    /// How many workers it is made for.
    pub workers: u32,
    /// Whether it is the shortest there is.
    pub shortest: bool,
}

/// Schedules an estate on so many workers.
///
/// # Errors
/// Its components do not hold together.
pub fn schedule(estate: &Estate, workers: NonZeroU32) -> Result<Schedule, EstateError> {
    let graph = Graph::of(estate, workers)?;
    let placed = place::place(&graph, workers);
    let critical_path = graph.tails.iter().copied().max().unwrap_or_default();
    let work = graph.tasks.iter().map(|task| task.time).sum::<Duration>();
    let bound = critical_path.max(work / workers.get()).max(graph.pool_bound());
    let makespan = placed.iter().map(|slot| slot.end).max().unwrap_or_default();
    let mut tasks: Vec<Placed> =
        graph.tasks.iter().zip(&placed).filter_map(|(task, slot)| task.at(estate, slot)).collect();
    tasks.sort_by(|a, b| (a.start, a.worker, &a.part).cmp(&(b.start, b.worker, &b.part)));
    Ok(Schedule {
        tasks,
        makespan,
        critical: graph.critical(estate),
        critical_path,
        work,
        bound,
        workers: workers.get(),
        shortest: graph.tasks.len() <= EXACT_MAX || makespan == bound,
    })
}

/// The fewest workers with whom all is back in time, if any number is enough.
///
/// More workers may take longer, as schedules by priority go, so numbers are tried one by one from the least that could do.
///
/// # Errors
/// Its components do not hold together.
pub fn workers_for(estate: &Estate, target: Duration) -> Result<Option<Schedule>, EstateError> {
    let one = schedule(estate, NonZeroU32::MIN)?;
    if one.makespan <= target {
        return Ok(Some(one));
    }
    if target.is_zero() {
        return Ok(None);
    }
    let least = (one.work.as_secs_f64() / target.as_secs_f64()).floor().clamp(1.0, f64::from(SHARDS_MAX));
    let most: u64 = estate.parts.iter().map(|part| u64::from(part.shards.get().min(SHARDS_MAX))).sum();
    // `as` saturates; the clamp above keeps it exact.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1024")]
    let mut workers = NonZeroU32::new(least as u32).unwrap_or(NonZeroU32::MIN);
    while u64::from(workers.get()) <= most {
        let found = schedule(estate, workers)?;
        if found.makespan <= target {
            return Ok(Some(found));
        }
        workers = workers.saturating_add(1);
    }
    Ok(None)
}

/// A task: so long, by one worker, after others.
pub(crate) struct Task {
    part: usize,
    stage: Stage,
    pub(crate) time: Duration,
    pub(crate) needs: Vec<usize>,
    pub(crate) pool: Option<usize>,
}

/// An estate as tasks, each behind all that it needs.
pub(crate) struct Graph {
    pub(crate) tasks: Vec<Task>,
    /// Of each task the longest chain that begins with it.
    pub(crate) tails: Vec<Duration>,
    /// How many tasks of each pool may run at once.
    pub(crate) pools: Vec<u32>,
}

/// Where a task was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
    pub(crate) worker: u32,
}

impl Task {
    fn at(&self, estate: &Estate, slot: &Slot) -> Option<Placed> {
        let part = estate.parts.get(self.part)?.name.clone();
        Some(Placed { part, stage: self.stage, start: slot.start, end: slot.end, worker: slot.worker })
    }
}

impl Graph {
    fn of(estate: &Estate, workers: NonZeroU32) -> Result<Self, EstateError> {
        let order = in_order(estate)?;
        let mut graph = Self {
            tasks: Vec::new(),
            tails: Vec::new(),
            pools: estate.pools.values().map(|n| n.get()).collect(),
        };
        // Of each part the tasks after which it is back.
        let mut last: Vec<Vec<usize>> = vec![Vec::new(); estate.parts.len()];
        for at in order {
            let Some(part) = estate.parts.get(at) else { continue };
            let mut needs: Vec<usize> = Vec::new();
            for needed in part.needs.iter().filter_map(|name| position(estate, name)) {
                needs.extend(last.get(needed).into_iter().flatten());
            }
            let ends = graph.divide(estate, at, part, workers, needs)?;
            if let Some(slot) = last.get_mut(at) {
                *slot = ends;
            }
        }
        graph.tails = graph.tails_of();
        Ok(graph)
    }

    /// The tasks of a part, and after which of them it is back.
    fn divide(
        &mut self,
        estate: &Estate,
        at: usize,
        part: &Part,
        workers: NonZeroU32,
        needs: Vec<usize>,
    ) -> Result<Vec<usize>, EstateError> {
        let pool = match &part.pool {
            None => None,
            Some(pool) => Some(
                estate
                    .pools
                    .keys()
                    .position(|name| name == pool)
                    .ok_or_else(|| EstateError::Pool { part: part.name.clone(), pool: pool.clone() })?,
            ),
        };
        // More shards than workers would only wait for one another.
        let shards = part.shards.min(workers).get().min(SHARDS_MAX);
        let mut add = |stage, time, needs| {
            self.tasks.push(Task { part: at, stage, time, needs, pool });
            self.tasks.len() - 1
        };
        if shards == 1 {
            let time = part.before.saturating_add(part.transfer).saturating_add(part.after);
            return Ok(vec![add(Stage::Whole, time, needs)]);
        }
        let needs = if part.before.is_zero() { needs } else { vec![add(Stage::Before, part.before, needs)] };
        let each = part.transfer / shards;
        let ends: Vec<usize> =
            (1..=shards).map(|shard| add(Stage::Shard(shard, shards), each, needs.clone())).collect();
        if part.after.is_zero() { Ok(ends) } else { Ok(vec![add(Stage::After, part.after, ends)]) }
    }

    fn tails_of(&self) -> Vec<Duration> {
        let mut tails: Vec<Duration> = self.tasks.iter().map(|task| task.time).collect();
        // Tasks stand behind all they need: from the last to the first, each has its whole tail when its turn comes.
        for (at, task) in self.tasks.iter().enumerate().rev() {
            let tail = tails.get(at).copied().unwrap_or_default();
            for needed in &task.needs {
                let own = self.tasks.get(*needed).map_or(Duration::ZERO, |task| task.time);
                if let Some(slot) = tails.get_mut(*needed) {
                    *slot = (*slot).max(own.saturating_add(tail));
                }
            }
        }
        tails
    }

    fn pool_bound(&self) -> Duration {
        let work = |pool| {
            self.tasks.iter().filter(|task| task.pool == Some(pool)).map(|task| task.time).sum::<Duration>()
        };
        (0..)
            .zip(&self.pools)
            .map(|(pool, capacity)| work(pool) / (*capacity).max(1))
            .max()
            .unwrap_or_default()
    }

    /// The components along the longest chain.
    fn critical(&self, estate: &Estate) -> Vec<Label> {
        let tail = |at: &usize| self.tails.get(*at).copied().unwrap_or_default();
        let mut chain: Vec<Label> = Vec::new();
        let mut next = (0..self.tasks.len()).max_by_key(|at| (tail(at), std::cmp::Reverse(*at)));
        while let Some(at) = next {
            let part = self.tasks.get(at).and_then(|task| estate.parts.get(task.part));
            if let Some(part) = part.filter(|part| chain.last() != Some(&part.name)) {
                chain.push(part.name.clone());
            }
            let after = |other: &usize| self.tasks.get(*other).is_some_and(|task| task.needs.contains(&at));
            next = (0..self.tasks.len()).filter(after).max_by_key(|at| (tail(at), std::cmp::Reverse(*at)));
        }
        chain
    }
}

fn position(estate: &Estate, name: &Label) -> Option<usize> {
    estate.parts.iter().position(|part| part.name == *name)
}

/// The parts, each behind all that it needs.
fn in_order(estate: &Estate) -> Result<Vec<usize>, EstateError> {
    for (at, part) in estate.parts.iter().enumerate() {
        if position(estate, &part.name) != Some(at) {
            return Err(EstateError::Twice(part.name.clone()));
        }
        if let Some(needs) = part.needs.iter().find(|name| position(estate, name).is_none()) {
            return Err(EstateError::Dangling { part: part.name.clone(), needs: needs.clone() });
        }
    }
    let mut order: Vec<usize> = Vec::with_capacity(estate.parts.len());
    while order.len() < estate.parts.len() {
        let ready = |(at, part): &(usize, &Part)| {
            let back = |name: &Label| position(estate, name).is_some_and(|needed| order.contains(&needed));
            !order.contains(at) && part.needs.iter().all(back)
        };
        let found = estate.parts.iter().enumerate().filter(ready).map(|(at, _)| at).collect::<Vec<_>>();
        if found.is_empty() {
            let stuck = estate.parts.iter().enumerate().find(|(at, _)| !order.contains(at));
            let Some((_, part)) = stuck else { break };
            return Err(EstateError::Ring(ring(estate, &order, part)));
        }
        order.extend(found);
    }
    Ok(order)
}

/// One of those that need themselves: following what is needed and never back leads into the ring.
fn ring(estate: &Estate, back: &[usize], from: &Part) -> Label {
    let mut at = from;
    for _ in 0..estate.parts.len() {
        let stuck = |name: &&Label| position(estate, name).is_some_and(|needed| !back.contains(&needed));
        let Some(next) = at.needs.iter().find(stuck).and_then(|name| position(estate, name)) else { break };
        let Some(part) = estate.parts.get(next) else { break };
        at = part;
    }
    at.name.clone()
}
