//! The stages of a backup, and the threads and queues between them.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use lifeboat_repo::format::snapshot::{Counts, Share};
use lifeboat_repo::ids::{ObjectName, PackId, RunId, SegmentId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::agent::Card;
use lifeboat_repo::repository::index::DedupTable;
use lifeboat_repo::repository::pack::StagedPack;
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::units::Bytes;

use crate::assemble::{Assembler, Desk, Filling, Recorder, Remembered};
use crate::command::{CommandSource, Feed, Started};
use crate::error::{BackupError, BackupErrorKind};
use crate::exclude::{Excluded, Excluding};
use crate::job::{Job, Tree};
use crate::limits::Sizing;
use crate::pack::{Packed, Packer};
use crate::read::{ReadBatch, Reader};
use crate::report::{Problem, Problems};
use crate::seal::{Pool, SealJob, Sealed, Sealer};
use crate::state::State;
use crate::walk::{Batch, Ended, Outlet, Previous, TenantKeys, Walk};

/// A backup under way.
pub(crate) struct Backup<'a, 'r> {
    pub(crate) job: &'a Job,
    pub(crate) run: Mutex<Run<'r>>,
    pub(crate) present: &'a HashMap<PackId, Bytes>,
    pub(crate) state: &'a State,
    pub(crate) indexes: &'a HashSet<ObjectName>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) problems: Mutex<Problems>,
    pub(crate) excluded: Mutex<Excluded>,
}

/// What a backup reads.
pub(crate) enum Input<'a> {
    /// A tree, compared with the walk of last time.
    Tree { tree: &'a Tree, previous: Option<Box<Previous>> },
    /// A command that was just started.
    Stream { source: &'a CommandSource, started: Started },
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

fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk for Backup<'_, '_> {
    fn add_pack(&self, pack: StagedPack) -> Result<(), BackupError> {
        Ok(lock(&self.run).add_pack(pack)?)
    }

    fn load_index(&self, table: &mut DedupTable) -> Result<(), BackupError> {
        let mut run = lock(&self.run);
        table.shelve_in(self.state.shelves(), run.id());
        let already = self.load_chunks(&mut run, table)?;
        let damaged = run.load_index(self.present, &already, table)?;
        drop(run);
        for error in damaged {
            if self.state.is_relied_on() {
                // What it knew may stand in the snapshot already, as it was remembered.
                self.state.forget()?;
                return Err(error.into());
            }
            let warning = format!("{error}; what only it knows is stored again");
            self.observer.tell(Event::Warning(warning));
        }
        Ok(())
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
    fn new(sizing: Sizing) -> Self {
        let tokens = bounded(sizing.batches);
        for _ in 0..sizing.batches {
            let _ = tokens.0.try_send(());
        }
        Self {
            batches: bounded(sizing.batches),
            read: bounded(sizing.batches),
            seals: bounded(sizing.workers),
            sealed: bounded(sizing.workers),
            // Staged packs hold no content, only their tables.
            packs: unbounded(),
            tokens,
        }
    }
}

impl<'a, 'r> Backup<'a, 'r> {
    pub(crate) fn new(
        job: &'a Job,
        run: Run<'r>,
        present: &'a HashMap<PackId, Bytes>,
        (state, indexes): (&'a State, &'a HashSet<ObjectName>),
        observer: &'a dyn Observer,
    ) -> Self {
        let (run, problems, excluded) = (Mutex::new(run), Mutex::default(), Mutex::default());
        Self { job, run, present, state, indexes, observer, problems, excluded }
    }

    /// The run, and what was noted on the way.
    pub(crate) fn end(self) -> (Run<'r>, Problems, Excluded) {
        (unlocked(self.run), unlocked(self.problems), unlocked(self.excluded))
    }

    /// Reads, seals and packs the source.
    pub(crate) fn pipeline(
        &self,
        repository: &Repository,
        table: DedupTable,
        input: Input<'_>,
    ) -> Result<Done, BackupError> {
        let sizing = self.sizing()?;
        let workers = sizing.workers;
        let (plains, outputs) = (Pool::new(workers + 1), Pool::new(workers + 1));
        let arenas = Pool::new(sizing.batches);
        let sealers = (0..workers)
            .map(|_| Sealer::new(plains.clone(), outputs.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let (packer, recorder) = {
            let run = lock(&self.run);
            let (catalog, writer) = (run.agent().catalog_shared(), run.agent().writer().clone());
            let (store, class) = (repository.store(), self.job.lock);
            let packer = Packer { store, catalog, writer, run: run.id(), outputs, class };
            (packer, self.recorder(run.id(), &input)?)
        };
        let watch = Watch { inner: self.observer, stop: AtomicBool::new(false) };
        let problem = |problem: Problem| self.note(problem);
        // A reader that is told to stop leaves a file out, so nothing may be committed, even where the walk had ended.
        let left_out = AtomicBool::new(false);
        let stop = || {
            let asked = watch.cancelled();
            left_out.fetch_or(asked, Ordering::Relaxed);
            asked
        };
        std::thread::scope(|scope| {
            let Queues { batches, read, seals, sealed, packs, tokens } = Queues::new(sizing);
            let (watch, problem, stop, packer) = (&watch, &problem, &stop, &packer);
            let outlet = Outlet { readers: batches.0, tokens: tokens.1 };
            let to = read.0.clone();
            let walking = scope.spawn(move || self.take_in(input, watch, outlet, to));
            for _ in 0..workers {
                let (from, to, arenas) = (batches.1.clone(), read.0.clone(), arenas.clone());
                scope.spawn(move || Reader::new(problem, stop, arenas).run(&from, &to));
            }
            drop((batches.1, read.0));
            for mut sealer in sealers {
                let (from, to) = (seals.1.clone(), sealed.0.clone());
                scope.spawn(move || sealer.run(&from, &to));
            }
            drop((seals.1, sealed.0));
            scope.spawn(move || packer.run(&sealed.1, &packs.0));
            let filling = Filling::new(self, table, (seals.0, packs.1), plains, sizing.segments);
            let mut assembler = Assembler::new(self.observer, filling, recorder, arenas);
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
            let stopped = left_out.load(Ordering::Relaxed);
            self.conclude(assembler, if stopped { walked.and(Err(Ended::Stopped)) } else { walked })
        })
    }

    fn sizing(&self) -> Result<Sizing, BackupError> {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        self.job.resources.sizing(processors).map_err(|error| BackupError {
            what: format!("component {}", self.job.component),
            kind: BackupErrorKind::Limits(error),
        })
    }

    /// The table of chunks that this host kept. What was moved since is found where it is now.
    fn load_chunks(
        &self,
        run: &mut Run<'_>,
        table: &mut DedupTable,
    ) -> Result<HashSet<ObjectName>, RepositoryError> {
        let condemned = run.condemned().clone();
        let gone = |name: &ObjectName| !self.indexes.contains(name) && !condemned.index(name);
        let (mut failed, mut moved) = (None, None);
        let mut find = |segment: SegmentId| {
            if moved.is_none() && failed.is_none() {
                match run.moved(self.present) {
                    Ok(found) => moved = Some(found),
                    Err(error) => failed = Some(error),
                }
            }
            moved.as_ref().and_then(|moved| moved.find(&segment))
        };
        let covered = self.state.load_chunks(&gone, self.present, &mut find, table);
        failed.map_or(Ok(covered), Err)
    }

    fn recorder(&self, id: RunId, input: &Input<'_>) -> Result<Recorder, BackupError> {
        // What a command wrote last time is not looked at, so nothing is referred to.
        let last = match input {
            Input::Tree { previous, .. } => previous.as_deref(),
            Input::Stream { .. } => None,
        };
        let walk = self.state.begin(id, last.map(|last| &last.table))?;
        let (segments, tenants) =
            last.map(|last| (Arc::clone(&last.segments), last.table.tenants.clone())).unwrap_or_default();
        Ok(Recorder::new(walk, segments, tenants))
    }

    fn note(&self, problem: Problem) {
        lock(&self.problems).add(problem);
    }

    /// The first stage: walks a tree, for readers, or takes a stream, past them.
    fn take_in(
        &self,
        input: Input<'_>,
        watch: &Watch<'_>,
        outlet: Outlet,
        past: Sender<ReadBatch>,
    ) -> Result<(), Ended> {
        let card = |tenant: &Tenant| -> Result<Arc<Card>, BackupError> { Ok(lock(&self.run).card(tenant)?) };
        match input {
            Input::Tree { tree, previous } => {
                // A queue ends once nobody can send.
                drop(past);
                let (rules, previous) = (&tree.tenants, previous.map(|previous| *previous));
                let excluding = Excluding::new(&tree.excludes, &self.excluded);
                let problem = |problem| self.note(problem);
                let erased = |tenant: &Tenant| lock(&self.run).agent().is_erased(tenant);
                let mut walk = Walk::new(rules, excluding, watch, outlet, previous, &card, &problem);
                walk.erased = &erased;
                walk.run(&tree.root)
            }
            Input::Stream { source, started } => {
                let Outlet { readers, tokens } = outlet;
                drop(readers);
                let keys = Arc::new(TenantKeys::new(0, card(&source.tenant)?));
                let stop = || watch.cancelled();
                Feed { source, keys, to: past, tokens, stop: &stop }.run(started)
            }
        }
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
        let (counts, (stored, packs)) = (assembler.counts, assembler.stored());
        let remembered = assembler.remember(self.present);
        Ok(Done { shares, counts, stored, packs, remembered })
    }
}
