//! Copying what counts in a repository into its replica. FORMAT.md §14.
//!
//! Everything is copied as it is stored: no tenant key is needed, and none is opened. What is there already, by name and
//! length, is not copied again, so whoever continues after an interruption begins where it ended, and two who copy at
//! once do each other no harm. Each object is compared with its name, its signature and its maker's ledger on the way: a
//! replica never takes over damage.
//!
//! The order is such that a replica can be restored from at every moment: ledgers, tombstones, keys and cards, then seals
//! and trust (nothing of these is ever collected, and what they speak of may come later); then, in an announced run that a
//! collector of the replica waits for or fences, packs, index objects, runs, snapshots, and last the commit that makes
//! the snapshots count.

mod base;
mod facts;
mod moves;
mod needs;
mod parallel;
mod perform;
mod spared;

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::clock::{Clock, Entropy};
use crate::crypto::sign::VerifyingKey;
use crate::ids::ObjectName;
use crate::observe::{Event, Observer};
use crate::repository::agent::Credentials;
use crate::repository::maintainer::Maintainer;
use crate::repository::{Repository, RepositoryError, Role};
use crate::store::Store;
use crate::units::Bytes;

use facts::Facts;
use needs::Needs;

/// What a replication works with.
pub struct Job<'j> {
    /// The repository.
    pub source: &'j Repository,
    /// Where its replica lies; may be empty yet.
    pub replica: Arc<dyn Store>,
    /// The officers trust begins with.
    pub pins: &'j [VerifyingKey],
    /// A maintainer's, which works in the replica only.
    pub credentials: Arc<Credentials>,
    /// Tells the time.
    pub clock: &'j dyn Clock,
    /// Gives randomness.
    pub entropy: &'j dyn Entropy,
    /// How many objects are copied at once.
    pub threads: NonZeroUsize,
    /// How many bytes of packs are held at once; a longer pack is held alone.
    pub memory: Bytes,
}

/// An object to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub name: ObjectName,
    /// Its length.
    pub length: Bytes,
}

/// What a replication would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Ledgers, tombstones, keys and cards, seals, trust.
    pub base: Vec<Item>,
    /// Packs that are copied whole.
    pub packs: Vec<Item>,
    /// Segments that go into new packs, because theirs are condemned in the replica or damaged in the repository.
    pub segments: u64,
    /// Their stored bytes.
    pub segment_bytes: Bytes,
    /// Segments that are whole nowhere, and all of whose chunks are stored elsewhere: they hold no snapshot back.
    pub spared: u64,
    /// Index objects, runs and snapshots.
    pub records: Vec<Item>,
    /// Snapshots that count in the replica from then on.
    pub commits: Vec<ObjectName>,
    /// What cannot be copied.
    pub problems: Vec<Problem>,
}

/// Something that could not be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object.
    pub what: String,
    /// Why.
    pub why: String,
    /// Whether the repository is damaged there; otherwise this version does not copy such a thing.
    pub damage: bool,
}

/// What a replication did.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was to do when it began.
    pub plan: Plan,
    /// Its commit; none where there was nothing to commit.
    pub commit: Option<ObjectName>,
    /// Snapshots it committed.
    pub committed: Vec<ObjectName>,
    /// What could not be copied.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_empty() && self.work_is_empty()
    }

    /// Objects and bytes to be copied.
    #[must_use]
    pub fn totals(&self) -> (u64, Bytes) {
        let all = || self.base.iter().chain(&self.packs).chain(&self.records);
        (
            all().count() as u64 + self.segments,
            all().map(|item| item.length).sum::<Bytes>() + self.segment_bytes,
        )
    }

    /// Whether nothing is to do that needs an announced run.
    fn work_is_empty(&self) -> bool {
        self.packs.is_empty() && self.segments == 0 && self.records.is_empty() && self.commits.is_empty()
    }
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), damage: true }
    }

    pub(super) fn of(error: &RepositoryError) -> Self {
        Self::new(error.what.clone(), error.kind.to_string())
    }
}

/// Says what [`replicate`] would do.
///
/// # Errors
/// The credentials are no maintainer's, the replica is of another repository or newer than the repository, gc records are
/// damaged, the observer asked to stop, or a store failed.
pub fn plan(job: &Job<'_>, observer: &dyn Observer) -> Result<Plan, RepositoryError> {
    let maintainer = Maintainer::open(job.source, Arc::clone(&job.credentials), job.clock, job.entropy)?;
    let replica = job.source.replica_in(Arc::clone(&job.replica));
    observer.tell(Event::Phase("reading repository and replica"));
    let mut problems = Vec::new();
    let facts = Facts::load(job, &replica, maintainer.catalog(), &mut problems)?;
    let base = base::plan(job, &facts, &mut problems)?;
    let needs = Needs::load(job.source, &replica, maintainer.catalog(), &facts, observer, &mut problems)?;
    let mut work = needs.evaluate(&facts.packs);
    spared::spare(&needs, &mut work, (job.source, &replica), maintainer.catalog())?;
    let mut plan = work.plan(&facts, &needs)?;
    plan.base = base.items();
    plan.problems = problems;
    plan.problems.extend(needs.problems(&work));
    Ok(plan)
}

/// Copies what counts into the replica and commits it there.
///
/// What is damaged in the repository is left out and told of; the snapshots that need it are not committed.
///
/// # Errors
/// As [`plan`]; a collector of the replica ended the run; or something could not be confirmed. What was copied stays, and
/// the next replication goes on from there.
pub fn replicate(job: &Job<'_>, observer: &dyn Observer) -> Result<Report, RepositoryError> {
    let (mut problems, here) = (Vec::new(), job.source.replica_in(Arc::clone(&job.replica)));
    let planned = plan(job, observer)?;
    if planned.is_empty() {
        let problems = planned.problems.clone();
        return Ok(Report { plan: planned, commit: None, committed: Vec::new(), problems });
    }
    let (items, bytes) = planned.totals();
    observer.tell(Event::Planned { items, bytes });
    let reader = Maintainer::open(job.source, Arc::clone(&job.credentials), job.clock, job.entropy)?;
    let facts = Facts::load(job, &here, reader.catalog(), &mut problems)?;
    base::plan(job, &facts, &mut problems)?.copy(job, &facts, observer, &mut problems)?;
    if planned.work_is_empty() {
        // What cannot be copied stays so, whatever was copied of what lies below it.
        let more = planned.problems.iter().filter(|one| !problems.contains(one)).cloned().collect::<Vec<_>>();
        problems.extend(more);
        return Ok(Report { plan: planned, commit: None, committed: Vec::new(), problems });
    }
    let maintainer = Maintainer::open(&here, Arc::clone(&job.credentials), job.clock, job.entropy)?;
    let done = perform::run(job, &reader, &maintainer, observer, &mut problems)?;
    Ok(Report { plan: planned, commit: done.0, committed: done.1, problems })
}

pub(super) fn cancelled() -> RepositoryError {
    RepositoryError::refused("the replication", "it was asked to stop; run it again and it goes on")
}

impl Repository {
    /// The replica of this repository in another store, judged by this repository's trust: the replica may not have the
    /// newest yet.
    #[must_use]
    pub fn replica_in(&self, store: Arc<dyn Store>) -> Self {
        Self::by(store, self.trust.clone(), Role::Replica)
    }
}
