//! Putting tasks in their places: greedily by priority, or by the best of all orders where they are few.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{EXACT_MAX, Graph, Slot};

/// A place for every task.
pub(super) fn place(graph: &Graph, workers: NonZeroU32) -> Vec<Slot> {
    let greedy = Greedy::new(graph, workers).run();
    if graph.tasks.len() > EXACT_MAX {
        return greedy;
    }
    let mut search = Search {
        graph,
        workers: workers.get() as usize,
        best_end: last_end(&greedy),
        best: greedy,
        slots: vec![None; graph.tasks.len()],
    };
    search.descend(Duration::ZERO);
    search.best
}

fn last_end(slots: &[Slot]) -> Duration {
    slots.iter().map(|slot| slot.end).max().unwrap_or_default()
}

/// Among tasks that can begin, the one the longest chain hangs on comes first; then the one that came first.
type Rank = (Duration, Reverse<usize>);

/// Whenever a worker is free it takes something that can begin. No worker waits while there is something it could do: that
/// alone bounds the time.
struct Greedy<'g> {
    graph: &'g Graph,
    slots: Vec<Slot>,
    /// How many needed tasks are not over.
    waits: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    ready: BinaryHeap<Rank>,
    free: BinaryHeap<Reverse<u32>>,
    used: Vec<u32>,
    running: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl<'g> Greedy<'g> {
    fn new(graph: &'g Graph, workers: NonZeroU32) -> Self {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); graph.tasks.len()];
        for (at, task) in graph.tasks.iter().enumerate() {
            for needed in &task.needs {
                if let Some(list) = dependents.get_mut(*needed) {
                    list.push(at);
                }
            }
        }
        let begins = graph.tasks.iter().enumerate().filter(|(_, task)| task.needs.is_empty());
        Self {
            graph,
            slots: vec![Slot::default(); graph.tasks.len()],
            waits: graph.tasks.iter().map(|task| task.needs.len()).collect(),
            dependents,
            ready: begins.map(|(at, _)| rank(graph, at)).collect(),
            free: (0..workers.get()).map(Reverse).collect(),
            used: vec![0; graph.pools.len()],
            running: BinaryHeap::new(),
        }
    }

    fn run(mut self) -> Vec<Slot> {
        let mut now = Duration::ZERO;
        loop {
            self.begin(now);
            let Some(Reverse((end, at))) = self.running.pop() else { return self.slots };
            now = end;
            self.finish(at);
            // What ends at the same moment is over before anything begins.
            while let Some(Reverse((_, at))) = self.running.peek().filter(|next| next.0.0 == now).copied() {
                self.running.pop();
                self.finish(at);
            }
        }
    }

    fn begin(&mut self, now: Duration) {
        let mut held = Vec::new();
        while !self.free.is_empty() {
            let Some(next) = self.ready.pop() else { break };
            let at = next.1.0;
            let Some(task) = self.graph.tasks.get(at) else { continue };
            if !self.has_room(task.pool) {
                held.push(next);
                continue;
            }
            let Some(Reverse(worker)) = self.free.pop() else { break };
            let end = now.saturating_add(task.time);
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Slot { start: now, end, worker };
            }
            self.running.push(Reverse((end, at)));
        }
        self.ready.extend(held);
    }

    /// Takes a place in a pool, if there is one left.
    fn has_room(&mut self, pool: Option<usize>) -> bool {
        let Some(pool) = pool else { return true };
        let capacity = self.graph.pools.get(pool).copied().unwrap_or(u32::MAX);
        match self.used.get_mut(pool) {
            Some(used) if *used >= capacity => false,
            Some(used) => {
                *used += 1;
                true
            }
            None => true,
        }
    }

    fn finish(&mut self, at: usize) {
        self.free.push(Reverse(self.slots.get(at).map_or(0, |slot| slot.worker)));
        let pool = self.graph.tasks.get(at).and_then(|task| task.pool);
        if let Some(used) = pool.and_then(|pool| self.used.get_mut(pool)) {
            *used = used.saturating_sub(1);
        }
        for after in self.dependents.get(at).into_iter().flatten() {
            let Some(waits) = self.waits.get_mut(*after) else { continue };
            *waits = waits.saturating_sub(1);
            if *waits == 0 {
                self.ready.push(rank(self.graph, *after));
            }
        }
    }
}

fn rank(graph: &Graph, at: usize) -> Rank {
    (graph.tails.get(at).copied().unwrap_or_default(), Reverse(at))
}

/// Tries every order: each task as early as those before it let it begin. One of these schedules is the shortest, since
/// the tasks of any schedule, taken by their starts, come out no later that way.
struct Search<'g> {
    graph: &'g Graph,
    workers: usize,
    best: Vec<Slot>,
    best_end: Duration,
    slots: Vec<Option<Slot>>,
}

impl Search<'_> {
    fn descend(&mut self, end: Duration) {
        let open: Vec<usize> =
            (0..self.slots.len()).filter(|at| self.slots.get(*at) == Some(&None)).collect();
        if open.is_empty() {
            if end < self.best_end {
                self.best_end = end;
                self.best = self.slots.iter().copied().flatten().collect();
            }
            return;
        }
        for at in open {
            let Some(slot) = self.earliest(at) else { continue };
            let tail = self.graph.tails.get(at).copied().unwrap_or_default();
            // What hangs on this task takes too long already.
            if slot.start.saturating_add(tail) >= self.best_end {
                continue;
            }
            self.put(at, Some(slot));
            self.descend(end.max(slot.end));
            self.put(at, None);
        }
    }

    fn put(&mut self, at: usize, slot: Option<Slot>) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// The earliest place of a task beside those that have theirs; none while something it needs has none.
    fn earliest(&self, at: usize) -> Option<Slot> {
        let task = self.graph.tasks.get(at)?;
        let mut ready = Duration::ZERO;
        for needed in &task.needs {
            ready = ready.max(self.slots.get(*needed).copied().flatten()?.end);
        }
        let mut starts: Vec<Duration> =
            self.placed().map(|(_, slot)| slot.end).filter(|end| *end > ready).collect();
        starts.push(ready);
        starts.sort_unstable();
        starts.into_iter().find_map(|start| self.fits(task.pool, start, start.saturating_add(task.time)))
    }

    fn placed(&self) -> impl Iterator<Item = (usize, Slot)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| slot.map(|slot| (at, slot)))
    }

    /// A place from `start` to `end`, if a worker is free all that time and the pool has room.
    fn fits(&self, pool: Option<usize>, start: Duration, end: Duration) -> Option<Slot> {
        let overlaps = |slot: &Slot| slot.start < end && start < slot.end;
        if let Some(pool) = pool {
            let same = |at: &usize| self.graph.tasks.get(*at).is_some_and(|task| task.pool == Some(pool));
            let others: Vec<Slot> =
                self.placed().filter(|(at, slot)| same(at) && overlaps(slot)).map(|(_, slot)| slot).collect();
            let capacity = self.graph.pools.get(pool).copied().unwrap_or(u32::MAX);
            // The most at once is when one of them begins.
            let at_once =
                |moment: Duration| others.iter().filter(|o| o.start <= moment && moment < o.end).count();
            let peak = others.iter().map(|o| at_once(o.start.max(start))).max().unwrap_or(0);
            if u32::try_from(peak).is_ok_and(|peak| peak >= capacity) {
                return None;
            }
        }
        let busy: Vec<u32> =
            self.placed().filter(|(_, slot)| overlaps(slot)).map(|(_, slot)| slot.worker).collect();
        (0..).take(self.workers).find(|worker| !busy.contains(worker)).map(|worker| Slot {
            start,
            end,
            worker,
        })
    }
}
