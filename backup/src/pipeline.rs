//! The stages of a backup, and the threads and queues between them.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use lifeboat_repo::format::snapshot::{Counts, Share};
use lifeboat_repo::ids::{PackId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::agent::Card;
use lifeboat_repo::repository::index::DedupTable;
use lifeboat_repo::repository::pack::StagedPack;
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::units::Bytes;

use crate::assemble::{Assembler, Desk, Known, Remembered};
use crate::error::{BackupError, BackupErrorKind};
use crate::job::{Job, Problem, Problems};
use crate::pack::{Packed, Packer};
use crate::read::{ReadBatch, Reader};
use crate::seal::{Pool, SealJob, Sealed, Sealer};
use crate::state::State;
use crate::walk::{Batch, Ended, Outlet, Previous, Walk};

/// Batches under way at once: with 1 MiB each they bound the memory of reading.
const BATCHES: usize = 16;

/// A backup under way.
pub(crate) struct Backup<'a, 'r> {
    pub(crate) job: &'a Job,
    pub(crate) run: Mutex<Run<'r>>,
    pub(crate) present: &'a HashMap<PackId, Bytes>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) problems: Mutex<Problems>,
}

/// Everything stored, nothing committed.
pub(crate) struct Done {
    pub(crate) shares: Vec<Share>,
    pub(crate) counts: Counts,
    pub(crate) stored: Bytes,
    pub(crate) packs: u64,
    pub(crate) remembered: Remembered,
}

/// An observer that the assembler can stop.
struct Watch<'a> {
    inner: &'a dyn Observer,
    stop: AtomicBool,
}

impl Observer for Watch<'_> {
    fn tell(&self, event: Event) {
        self.inner.tell(event);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.inner.cancelled()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk for Backup<'_, '_> {
    fn add_pack(&self, pack: StagedPack) -> Result<(), BackupError> {
        Ok(lock(&self.run).add_pack(pack)?)
    }

    fn load_index(&self, table: &mut DedupTable) -> Result<(), RepositoryError> {
        lock(&self.run).load_index(self.present, table)
    }
}

/// Both ends of a queue.
type Queue<T> = (Sender<T>, Receiver<T>);

/// All queues.
struct Queues {
    batches: Queue<Batch>,
    read: Queue<ReadBatch>,
    seals: Queue<SealJob>,
    sealed: Queue<Result<Sealed, BackupError>>,
    packs: Queue<Result<Packed, BackupError>>,
    tokens: Queue<()>,
}

impl Queues {
    fn new(workers: usize) -> Self {
        let tokens = bounded(BATCHES);
        for () in [(); BATCHES] {
            let _ = tokens.0.try_send(());
        }
        Self {
            batches: bounded(BATCHES),
            read: bounded(BATCHES),
            seals: bounded(workers),
            sealed: bounded(workers),
            // Staged packs hold no content, only their tables.
            packs: unbounded(),
            tokens,
        }
    }
}

impl Backup<'_, '_> {
    /// Walks, reads, seals and packs the source.
    pub(crate) fn pipeline(
        &self,
        repository: &Repository,
        state: &State,
        table: DedupTable,
        previous: Option<Previous>,
    ) -> Result<Done, BackupError> {
        let (id, writer, catalog) = {
            let run = lock(&self.run);
            (run.id(), run.agent().writer().clone(), run.agent().catalog_shared())
        };
        let workers = std::thread::available_parallelism().map_or(2, NonZero::get);
        let (plains, outputs) = (Pool::new(workers + 2), Pool::new(workers + 2));
        let sealers = (0..workers)
            .map(|_| Sealer::new(plains.clone(), outputs.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let walk_state = state.begin(id)?;
        let watch = Watch { inner: self.observer, stop: AtomicBool::new(false) };
        let packer = Packer { store: repository.store(), catalog, writer, run: id, outputs };
        let problem = |problem: Problem| lock(&self.problems).add(problem);
        let card = |tenant: &Tenant| -> Result<Arc<Card>, BackupError> { Ok(lock(&self.run).card(tenant)?) };
        let queues = Queues::new(workers);
        std::thread::scope(|scope| {
            let Queues { batches, read, seals, sealed, packs, tokens } = queues;
            let outlet = Outlet { readers: batches.0, tokens: tokens.1 };
            let (watch, problem, card, packer) = (&watch, &problem, &card, &packer);
            let walking = scope.spawn(move || {
                Walk::new(&self.job.tenants, watch, outlet, previous, card, problem).run(&self.job.root)
            });
            for _ in 0..workers {
                let (from, to) = (batches.1.clone(), read.0.clone());
                scope.spawn(move || Reader::new(problem).run(&from, &to));
            }
            drop((batches.1, read.0));
            for mut sealer in sealers {
                let (from, to) = (seals.1.clone(), sealed.0.clone());
                scope.spawn(move || sealer.run(&from, &to));
            }
            drop((seals.1, sealed.0));
            scope.spawn(move || packer.run(&sealed.1, &packs.0));
            let known = Known { table, loaded: false };
            let mut assembler =
                Assembler::new(self, self.observer, known, walk_state, seals.0, packs.1, plains);
            let taken = assembler.take_all(&read.1, &tokens.0);
            if taken.is_err() {
                watch.stop.store(true, Ordering::Relaxed);
            }
            // Readers and walk end once nobody takes from them. What is still queued is dropped here: a queue keeps it
            // as long as somebody can send, and a reader waits for as long as the other end of its stream is kept.
            drop(tokens.0);
            read.1.iter().for_each(drop);
            let walked = walking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken?;
            self.conclude(assembler, walked)
        })
    }

    fn conclude(
        &self,
        mut assembler: Assembler<'_, Self>,
        walked: Result<(), Ended>,
    ) -> Result<Done, BackupError> {
        assembler.finish(walked.is_ok())?;
        if let Err(ended) = walked {
            // What is stored is confirmed, so that the next backup continues from it.
            lock(&self.run).confirm()?;
            return Err(match ended {
                Ended::Failed(error) => error,
                Ended::Stopped => BackupError {
                    what: format!("component {}", self.job.component),
                    kind: BackupErrorKind::Interrupted,
                },
            });
        }
        let shares = assembler.shares();
        let (counts, stored, packs) = (assembler.counts, assembler.stored, assembler.pack_count);
        let remembered = assembler.remember(self.present);
        Ok(Done { shares, counts, stored, packs, remembered })
    }
}
