//! A backup from beginning to end.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lifeboat_repo::clock::{Clock, Entropy};
use lifeboat_repo::format::FORMAT_VERSION;
use lifeboat_repo::format::snapshot::{Snapshot, SourceNote, Status};
use lifeboat_repo::ids::{KeyId, Label, ObjectName, PackId, RunId, SegmentId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::{Agent, Credentials};
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::repository::state::StateKeeper;
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};

use crate::assemble::Remembered;
use crate::command::{CommandSource, Started};
use crate::error::BackupError;
use crate::exclude::Excludes;
use crate::hooks::{Hooks, Occasion};
use crate::limits::Resources;
use crate::pipeline::{Backup, Done, Input};
use crate::report::{Problem, ProblemKind, Report, Rewritten};
use crate::rewrite::{self, Holding, Rewriting};
use crate::state::{Fetched, State, Table};
use crate::tenants::TenantRules;
use crate::walk::Previous;
use before::{holdings_of, last_walk, remembered};

mod before;

/// What to back up.
#[derive(Debug, Clone)]
pub struct Job {
    /// The component.
    pub component: Label,
    /// Where its data comes from.
    pub source: Source,
    /// What runs around it.
    pub hooks: Hooks,
    /// What it may use of the machine.
    pub resources: Resources,
    /// How far it goes to keep dead data from piling up.
    pub rewriting: Rewriting,
    /// How long what it stores is locked, in a store with locks.
    pub lock: LockClass,
    /// Where this host keeps its state.
    pub state: PathBuf,
    /// Whether that lasts no longer than this backup, so that the repository keeps a copy for the next.
    pub state_in_repository: bool,
    /// What writes the snapshot: name and version.
    pub tool: String,
}

/// Where a component's data comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A tree of files.
    Files(Tree),
    /// What a program writes.
    Command(CommandSource),
}

/// A tree of files.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The directory.
    pub root: PathBuf,
    /// Whose data lies where in it.
    pub tenants: TenantRules,
    /// What is left out.
    pub excludes: Excludes,
    /// Whether a tree without any file is one; otherwise its backup is partial: most likely something is not mounted.
    pub allow_empty: bool,
}

impl Source {
    fn note(&self, excluded: u64) -> SourceNote {
        let (kind, consistency) = match self {
            Self::Files(_) => ("files", "each file by itself"),
            Self::Command(_) => ("command", "as the command sees it, complete: it ended with exit status 0"),
        };
        SourceNote { kind: kind.into(), consistency: consistency.into(), excluded }
    }
}

/// Backs up a component.
///
/// # Errors
/// No snapshot was made: the writer is not enrolled, the source cannot be read or its command failed, a hook that
/// comes before failed, the repository failed, or somebody stopped it. What was stored until then is kept, and the
/// next backup continues from it.
pub fn run(
    repository: &Repository,
    credentials: Credentials,
    job: &Job,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    observer: &dyn Observer,
) -> Result<Report, BackupError> {
    // Held to the end: whoever finds another backup under way must not run hooks beside it.
    let own = job.state_in_repository.then_some(&credentials.card);
    let state = State::open(&job.state, &repository.id(), &job.component, own)?.of_class(job.lock);
    let credentials = Arc::new(credentials);
    let carried = job.state_in_repository.then(|| Carried {
        state: &state,
        keeper: StateKeeper::new(repository, Arc::clone(&credentials), job.component.clone()),
        observer,
    });
    let begun = Cell::new(None);
    let occasion = || Occasion {
        component: &job.component,
        path: match &job.source {
            Source::Files(tree) => Some(tree.root.clone().into_os_string()),
            Source::Command(_) => None,
        },
        run: begun.get(),
    };
    let begin = || {
        let agent = Agent::open(repository, Arc::clone(&credentials), clock, entropy)?;
        let run = Run::begin(agent, &job.component)?.locked_as(job.lock);
        begun.set(Some(run.id()));
        observer.tell(Event::Run(run.id()));
        Ok::<_, BackupError>(run)
    };
    let attempt = || {
        let run = begin()?;
        job.hooks.before(&occasion(), observer)?;
        if let Some(carried) = &carried {
            carried.fetch();
        }
        let attempt = Attempt { repository, job, clock, observer, state: &state };
        match attempt.perform(run) {
            Err(error) if state.is_forgotten() => {
                observer.tell(Event::Warning(format!("{error}; every file is read anew")));
                attempt.perform(begin()?)
            }
            outcome => outcome,
        }
    };
    match attempt() {
        Ok(mut report) => {
            if let Some(carried) = &carried {
                carried.put(report.run);
            }
            let status = match report.status {
                Status::Complete => "complete",
                Status::Partial => "partial",
            };
            report.hook_failures = job.hooks.after(&occasion(), status, &report.snapshot);
            Ok(report)
        }
        Err(error) => {
            job.hooks.on_failure(&occasion(), &error, observer);
            Err(error)
        }
    }
}

/// State that the repository keeps for a host without a disk. Whatever becomes of it costs the next backup time, no
/// more, so it is told as a warning.
struct Carried<'a> {
    state: &'a State,
    keeper: StateKeeper<'a>,
    observer: &'a dyn Observer,
}

impl Carried<'_> {
    fn fetch(&self) {
        match self.state.fetch(&self.keeper) {
            Ok(Fetched::Nothing) => tracing::info!("the repository keeps no state of this component yet"),
            Ok(Fetched::Here | Fetched::Taken) => {}
            Err(error) => {
                let warning =
                    format!("the state kept in the repository is not used: {error}; every file is read anew");
                self.observer.tell(Event::Warning(warning));
            }
        }
    }

    fn put(&self, run: RunId) {
        if let Err(error) = self.state.keep_in(&self.keeper, run) {
            let warning = format!(
                "the repository keeps no state of this run: {error}; the next backup may read every file anew"
            );
            self.observer.tell(Event::Warning(warning));
        }
    }
}

/// A backup whose run has begun.
struct Attempt<'a> {
    repository: &'a Repository,
    job: &'a Job,
    clock: &'a dyn Clock,
    observer: &'a dyn Observer,
    state: &'a State,
}

impl Attempt<'_> {
    fn perform(&self, mut run: Run<'_>) -> Result<Report, BackupError> {
        let began = Instant::now();
        let start = self.clock.now();
        let present = run.present_packs()?;
        let mut indexes: HashSet<ObjectName> = run.index_names()?.into_iter().collect();
        let last = last_walk(self.state, &run, &indexes);
        let (victims, rewritten) = match &last {
            Some((table, _)) => self.victims(&run, table, &present, start)?,
            None => Default::default(),
        };
        let parent = last.as_ref().map(|(table, _)| table.run);
        let holdings = last.as_ref().map(|(table, _)| holdings_of(table)).unwrap_or_default();
        let remembered =
            last.map(|last| remembered(last, &mut run, &present, victims, self.observer)).transpose()?;
        let (known, previous) = remembered.unzip();
        let (input, recovery_point) = self.input(previous, start)?;
        let backup = Backup::new(self.job, run, &present, (self.state, &indexes), self.observer);
        let done = backup.pipeline(self.repository, known.unwrap_or_default(), input)?;
        let (run, mut problems, excluded) = backup.end();
        problems.named.sort_by(|a, b| a.path.cmp(&b.path));
        let Done { shares, mut counts, stored, packs, remembered } = done;
        if counts.entries <= 1 && matches!(&self.job.source, Source::Files(tree) if !tree.allow_empty) {
            let why = "there is nothing in it: is what should be mounted there mounted?";
            problems.add(Problem { path: b".".to_vec(), kind: ProblemKind::Empty, why: why.into() });
        }
        counts.undeclared = problems.of(ProblemKind::Undeclared) + problems.of(ProblemKind::Misnamed);
        // Directories that cannot be listed have an entry, and paths that are too long none.
        counts.errors = counts.errors.max(problems.of(ProblemKind::Unreadable));
        counts.vanished = problems.of(ProblemKind::Vanished);
        counts.erased = problems.of(ProblemKind::Erased);
        let status = if problems.total() == 0 { Status::Complete } else { Status::Partial };
        let id = run.id();
        let tenants = shares.len();
        let snapshot = Snapshot {
            format: FORMAT_VERSION,
            component: self.job.component.clone(),
            writer: run.agent().writer().clone(),
            run: id,
            parent,
            source: self.job.source.note(excluded.values().sum()),
            start,
            end: self.clock.now(),
            recovery_point,
            tool: self.job.tool.clone(),
            status,
            counts,
            keys: shares,
            must: Vec::new(),
        };
        self.observer.tell(Event::Phase("commit"));
        let committed = run.commit(&snapshot)?;
        indexes.extend(committed.indexes);
        self.remember((id, start), remembered, &holdings, &indexes, &present);
        Ok(Report {
            snapshot: committed.name,
            run: id,
            parent,
            status,
            counts,
            tenants,
            stored,
            packs,
            rewritten,
            problems,
            excluded,
            hook_failures: Vec::new(),
            recovery_point,
            duration: began.elapsed(),
        })
    }

    /// Keeps what the next backup compares with. Without it that one reads everything anew, so a failure is a warning.
    fn remember(
        &self,
        (run, start): (RunId, Timestamp),
        remembered: Remembered,
        holdings: &HashMap<SegmentId, Holding>,
        indexes: &HashSet<ObjectName>,
        present: &HashMap<PackId, Bytes>,
    ) {
        let Remembered { walk, chunks, tenants, segments, live, manifests } = remembered;
        let renewed = |((id, ..), live): (&(SegmentId, PackId, Bytes, KeyId), Bytes)| {
            let fresh = Holding { live, most: live, since: start };
            holdings.get(id).map_or(fresh, |before| before.renewed(live))
        };
        let holdings = segments.iter().zip(live).map(renewed).collect();
        let indexes_now = indexes.iter().cloned().collect();
        let (base, changes) = (None, 0);
        let table =
            Table { run, start, tenants, segments, holdings, manifests, indexes: indexes_now, base, changes };
        let kept = self.state.commit(walk, table).and_then(|()| match &chunks {
            Some((table, made)) => {
                let length = |pack| made.get(&pack).or_else(|| present.get(&pack)).copied();
                self.state.keep_chunks(run, table, indexes, length)
            }
            None => Ok(()),
        });
        if let Err(error) = kept {
            let warning = format!("the next backup will read every file anew: {error}");
            self.observer.tell(Event::Warning(warning));
        }
    }

    /// The segments that are to be taken for absent, because too little of them lives.
    fn victims(
        &self,
        run: &Run<'_>,
        table: &Table,
        present: &HashMap<PackId, Bytes>,
        now: Timestamp,
    ) -> Result<(Vec<SegmentId>, Rewritten), BackupError> {
        let rewriting = self.job.rewriting;
        if !rewrite::any(&table.holdings, rewriting) {
            return Ok(Default::default());
        }
        // Where nothing expires, nothing that is stored anew ever frees what it replaces.
        let Some(oldest) = run.oldest_kept()? else { return Ok(Default::default()) };
        // What is gone is stored again in any case.
        let there =
            |(_, pack, length, _): &(SegmentId, PackId, Bytes, KeyId)| present.get(pack) == Some(length);
        let holdings: Vec<Holding> = table
            .segments
            .iter()
            .zip(&table.holdings)
            .map(|(segment, holding)| if there(segment) { *holding } else { Holding::NONE })
            .collect();
        let chosen = rewrite::victims(&holdings, rewriting, now, now.since(oldest));
        let bytes = chosen.iter().filter_map(|at| holdings.get(*at)).map(|holding| holding.live).sum();
        let ids: Vec<SegmentId> =
            chosen.iter().filter_map(|at| table.segments.get(*at)).map(|segment| segment.0).collect();
        tracing::debug!(segments = ids.len(), %bytes, "of these too little lives; what does is stored anew");
        let rewritten = Rewritten { segments: ids.len() as u64, bytes };
        Ok((ids, rewritten))
    }

    /// What the pipeline reads, and the moment up to which it will provably hold data. A command starts here.
    fn input(
        &self,
        previous: Option<Previous>,
        start: Timestamp,
    ) -> Result<(Input<'_>, Timestamp), BackupError> {
        match &self.job.source {
            Source::Files(tree) => Ok((Input::Tree { tree, previous: previous.map(Box::new) }, start)),
            Source::Command(source) => {
                let at = self.clock.now();
                let running = source.program.start(true).map_err(|error| source.failed(error))?;
                Ok((Input::Stream { source, started: Started { running, at } }, at))
            }
        }
    }
}
