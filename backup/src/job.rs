//! A backup from beginning to end.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lifeboat_repo::clock::{Clock, Entropy};
use lifeboat_repo::format::FORMAT_VERSION;
use lifeboat_repo::format::snapshot::{Counts, Snapshot, SourceNote, Status};
use lifeboat_repo::ids::{Label, ObjectName, PackId, RunId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::{Agent, Credentials};
use lifeboat_repo::repository::index::{self, DedupTable, KnownSegment, SegmentNumber};
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::error::BackupError;
use crate::pipeline::{Backup, Done};
use crate::state::{State, Table};
use crate::tenants::TenantRules;
use crate::walk::Previous;

/// Problems that a report names; the rest is counted.
const PROBLEMS_NAMED: usize = 1000;

/// What to back up.
#[derive(Debug, Clone)]
pub struct Job {
    /// The component.
    pub component: Label,
    /// The directory.
    pub root: PathBuf,
    /// Whose data lies where in it.
    pub tenants: TenantRules,
    /// Where this host keeps its state.
    pub state: PathBuf,
    /// What writes the snapshot: name and version.
    pub tool: String,
}

/// A backup that made a snapshot.
#[derive(Debug, Clone)]
pub struct Report {
    /// The snapshot's object name.
    pub snapshot: ObjectName,
    /// Its run.
    pub run: RunId,
    /// The run it was compared with.
    pub parent: Option<RunId>,
    /// Whether it holds everything asked for.
    pub status: Status,
    /// Totals.
    pub counts: Counts,
    /// Tenants in it, `_system` included.
    pub tenants: usize,
    /// Bytes stored anew.
    pub stored: Bytes,
    /// Packs stored anew.
    pub packs: u64,
    /// What went wrong on the way.
    pub problems: Problems,
    /// The moment up to which it holds data.
    pub recovery_point: Timestamp,
    /// How long it took.
    pub duration: Duration,
}

/// Something in the source that could not be backed up as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path, relative to the component's root.
    pub path: Vec<u8>,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// What happened.
    pub why: String,
}

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// It could not be read.
    Unreadable,
    /// It was gone when its turn came.
    Vanished,
    /// It kept changing while it was read.
    Changed,
    /// It belongs to no declared tenant.
    Undeclared,
}

/// Problems: the first by name, all by number.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// The first of them.
    pub named: Vec<Problem>,
    /// How many there are of each kind.
    pub totals: HashMap<ProblemKind, u64>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        *self.totals.entry(problem.kind).or_default() += 1;
        if self.named.len() < PROBLEMS_NAMED {
            self.named.push(problem);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.totals.values().sum()
    }

    /// How many there are of a kind.
    #[must_use]
    pub fn of(&self, kind: ProblemKind) -> u64 {
        self.totals.get(&kind).copied().unwrap_or(0)
    }
}

/// Backs up a component.
///
/// # Errors
/// No snapshot was made: the writer is not enrolled, the source's root cannot be read, the repository failed, or
/// somebody stopped it. What was stored until then is kept, and the next backup continues from it.
pub fn run(
    repository: &Repository,
    credentials: Credentials,
    job: &Job,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    observer: &dyn Observer,
) -> Result<Report, BackupError> {
    let began = Instant::now();
    let state = State::open(&job.state, &repository.id(), &job.component)?;
    let agent = Agent::open(repository, credentials, clock, entropy)?;
    let run = Run::begin(agent, &job.component)?;
    let start = clock.now();
    let present = run.present_packs()?;
    let mut indexes: HashSet<ObjectName> =
        index::names_of(repository, run.agent().writer())?.into_iter().collect();
    let (mut table, previous, parent) = remembered(&state, &run, &present, &indexes);
    if previous.is_none() {
        table = DedupTable::default();
    }
    let backup =
        Backup { job, run: Mutex::new(run), present: &present, observer, problems: Mutex::default() };
    let done = backup.pipeline(repository, &state, table, previous)?;
    let run = backup.run.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut problems = backup.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    problems.named.sort_by(|a, b| a.path.cmp(&b.path));
    let Done { shares, mut counts, stored, packs, remembered } = done;
    counts.undeclared = problems.of(ProblemKind::Undeclared);
    let status = if problems.total() == 0 { Status::Complete } else { Status::Partial };
    let id = run.id();
    let writer = run.agent().writer().clone();
    let tenants = shares.len();
    let snapshot = Snapshot {
        format: FORMAT_VERSION,
        component: job.component.clone(),
        writer,
        run: id,
        parent,
        source: SourceNote { kind: "files".into(), consistency: "each file by itself".into() },
        start,
        end: clock.now(),
        recovery_point: start,
        tool: job.tool.clone(),
        status,
        counts,
        keys: shares,
        must: Vec::new(),
    };
    observer.tell(Event::Phase("commit"));
    let committed = run.commit(&snapshot)?;
    indexes.extend(committed.indexes);
    let table = Table {
        run: id,
        start,
        tenants: remembered.tenants,
        segments: remembered.segments,
        manifests: remembered.manifests,
        indexes: indexes.into_iter().collect(),
    };
    if let Err(error) = state.commit(remembered.walk, &table) {
        observer.tell(Event::Warning(format!("the next backup will read every file anew: {error}")));
    }
    Ok(Report {
        snapshot: committed.name,
        run: id,
        parent,
        status,
        counts,
        tenants,
        stored,
        packs,
        problems,
        recovery_point: start,
        duration: began.elapsed(),
    })
}

/// The walk of last time in terms of this run, with what it needs found present.
fn remembered(
    state: &State,
    run: &Run<'_>,
    present: &HashMap<PackId, Bytes>,
    indexes: &HashSet<ObjectName>,
) -> (DedupTable, Option<Previous>, Option<RunId>) {
    let mut known = DedupTable::default();
    let Some((table, records)) = state.load() else { return (known, None, None) };
    if let Some(gone) = table.indexes.iter().find(|name| !indexes.contains(*name)) {
        tracing::warn!(index = %gone, "an index object is gone; every file is read anew");
        return (known, None, None);
    }
    let segments: Vec<Option<SegmentNumber>> = table
        .segments
        .iter()
        .map(|(id, pack, length, key)| {
            let there = present.get(pack) == Some(length);
            there.then(|| known.add_segment(KnownSegment { id: *id, pack: Some(*pack), key: *key })).flatten()
        })
        .collect();
    for (chunk, ordinal) in &table.manifests {
        if let Some(Some(number)) = segments.get(*ordinal as usize) {
            known.insert(chunk, *number);
        }
    }
    let tenants = table
        .tenants
        .iter()
        .map(|(tenant, key)| run.agent().card(tenant).filter(|card| card.key == *key).map(|_| tenant.clone()))
        .collect::<Vec<Option<Tenant>>>();
    let previous = Previous { records, start: table.start, tenants, segments, next: None };
    (known, Some(previous), Some(table.run))
}
