//! What all threads of a restore share: the work, the target, what was found, whether to stop.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lifeboat_repo::format::text;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::units::Bytes;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::beneath::Root;
use super::existing::{Existing, Fate};
use super::marker::{Fetched, OURS, shard_name};
use super::parts::{OpenFiles, Part};
use super::values::{HELD_MAX, Values};
use crate::error::RestoreError;
use crate::ids::Resolved;
use crate::plan::Plan;
use crate::report::{Findings, Loss, LossKind, Report, Severity};
use crate::tree::{ROOT, Role};
use crate::work::{Fetch, Use, Work};

/// Why one entry could not be made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// The system said so.
    Errno(&'static str, Errno),
    /// The directory it belongs in could not be made.
    NoDirectory,
    /// A directory that was made is no longer there, or something else is in its place.
    Meddled(Errno),
    /// A file of the target that was looked at has changed since.
    Changed,
}

/// What all threads share.
pub(super) struct Site<'w> {
    pub(super) work: &'w Work,
    pub(super) root: Root,
    pub(super) ids: Resolved,
    pub(super) observer: &'w dyn Observer,
    /// Whether anything may be changed: not while somebody only asks what would be.
    pub(super) may_change: bool,
    /// Which of several shards this is, at the same time as others; none for all other restores.
    pub(super) shard: Option<u32>,
    /// Values of attributes, from when they come until they are set.
    pub(super) values: Values,
    /// What a target that was not empty holds already; none where everything is made anew.
    pub(super) existing: Option<Existing>,
    pub(super) parts: Vec<Part>,
    pub(super) open_files: OpenFiles,
    /// Descriptors of directories a thread may keep open.
    pub(super) dirs_open_max: usize,
    /// Descriptors of unfinished files all threads together may keep open.
    pub(super) files_open_max: usize,
    /// Who owns what this process makes here, learned from the first thing made: the same everywhere below one
    /// target, since directories get their owners and modes last.
    pub(super) owner: OnceLock<(u32, u32)>,
    findings: Mutex<Findings>,
    losses: Mutex<Vec<Loss>>,
    absent: Mutex<HashSet<u32>>,
    failure: Mutex<Option<RestoreError>>,
    stop: AtomicBool,
    done: Counts,
    /// Done, but not yet told.
    fresh: Counts,
    files: AtomicU64,
    segments: AtomicU64,
    fetched: AtomicU64,
}

#[derive(Default)]
struct Counts {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl<'w> Site<'w> {
    pub(super) fn new(
        work: &'w Work,
        root: Root,
        ids: Resolved,
        workers: usize,
        observer: &'w dyn Observer,
    ) -> Self {
        // Half of what the process may open: it has a store and more to open besides.
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(4096).clamp(64, 4096) / 2;
        let descriptors = usize::try_from(descriptors).unwrap_or(32);
        Self {
            work,
            root,
            ids,
            observer,
            may_change: true,
            shard: None,
            values: Values::new(work.values.len(), HELD_MAX),
            existing: None,
            parts: work.parts.iter().map(Part::new).collect(),
            open_files: OpenFiles::default(),
            dirs_open_max: (descriptors / 2 / workers.max(1)).clamp(4, 256),
            files_open_max: descriptors / 2,
            owner: OnceLock::new(),
            findings: Mutex::default(),
            losses: Mutex::default(),
            absent: Mutex::default(),
            failure: Mutex::default(),
            stop: AtomicBool::new(false),
            done: Counts::default(),
            fresh: Counts::default(),
            files: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
        }
    }

    /// Takes over what the plan found, and notes on the target.
    pub(super) fn start_from(&mut self, plan: &Plan, notes: Vec<String>) {
        let mut findings = Findings { first: plan.findings.clone(), counts: plan.finding_counts };
        for note in notes {
            findings.add(Severity::Note, || (b".".to_vec(), note));
        }
        self.findings = Mutex::new(findings);
        self.losses = Mutex::new(plan.losses.clone());
        let gone = self.work.tree.nodes().filter(|(_, node)| node.role == Role::Gone);
        self.absent = Mutex::new(gone.map(|(number, _)| number).collect());
    }

    /// Takes over what a survey of the target found: only what differs is fetched and written.
    pub(super) fn adopt(&mut self, existing: Existing) {
        self.parts = existing.parts(self.work).iter().map(Part::new).collect();
        self.existing = Some(existing);
    }

    /// The segments to fetch.
    pub(super) fn fetches(&self) -> &[Fetch] {
        self.existing.as_ref().map_or(self.work.fetches.as_slice(), Existing::fetches)
    }

    /// The uses of a segment's chunks.
    pub(super) fn uses_of(&self, fetch: &Fetch) -> &[Use] {
        self.existing.as_ref().map_or_else(|| self.work.uses_of(fetch), |existing| existing.uses_of(fetch))
    }

    /// What becomes of a node; made anew, where nothing was there before.
    pub(super) fn fate(&self, node: u32) -> Fate {
        self.existing.as_ref().map_or(Fate::Make, |existing| existing.fate(node))
    }

    pub(super) fn find(&self, severity: Severity, node: u32, what: impl FnOnce() -> String) {
        lock(&self.findings).add(severity, || (self.work.tree.path(node), what()));
    }

    pub(super) fn lose(&self, loss: Loss) {
        lock(&self.losses).push(loss);
    }

    /// Notes that an entry is not there.
    pub(super) fn set_absent(&self, node: u32) {
        lock(&self.absent).insert(node);
    }

    pub(super) fn is_absent(&self, node: u32) -> bool {
        lock(&self.absent).contains(&node)
    }

    /// Whether a directory or one above it could not be made.
    pub(super) fn is_absent_below(&self, mut node: u32) -> bool {
        let absent = lock(&self.absent);
        while node != ROOT {
            if absent.contains(&node) {
                return true;
            }
            node = self.work.tree.node(node).map_or(ROOT, |node| node.parent);
        }
        false
    }

    /// What becomes of an entry that was tried: whether it is there.
    ///
    /// # Errors
    /// The trouble is not this entry's alone, so the restore stops.
    pub(super) fn settle(&self, node: u32, outcome: Result<(), Trouble>) -> Result<bool, RestoreError> {
        let Err(trouble) = outcome else { return Ok(true) };
        if let Some(error) = self.fatal(node, trouble) {
            return Err(error);
        }
        self.set_absent(node);
        self.find(Severity::Missing, node, || trouble.words());
        Ok(false)
    }

    /// The error of a trouble that ends the restore.
    pub(super) fn fatal(&self, node: u32, trouble: Trouble) -> Option<RestoreError> {
        let shown = || self.shown(node);
        match trouble {
            Trouble::Errno(doing, errno) if is_fatal(errno) => Some(RestoreError::io(shown(), doing, errno)),
            Trouble::Errno(..) | Trouble::NoDirectory | Trouble::Changed => None,
            Trouble::Meddled(errno) => Some(RestoreError::refused(
                shown(),
                format!(
                    "the target was changed by somebody else meanwhile ({errno}); nothing was written outside it, \
                     restore into a directory that nobody else can write"
                ),
            )),
        }
    }

    /// A node, for messages.
    pub(super) fn shown(&self, node: u32) -> String {
        format!("{:?} in {}", text::display(&self.work.tree.path(node)), self.root.shown())
    }

    /// How the names begin of what this restore makes beside something; shards have names of their own.
    pub(super) fn scratch(&self) -> Vec<u8> {
        match self.shard {
            Some(number) => [shard_name(OURS, number), b".".to_vec()].concat(),
            None => OURS.to_vec(),
        }
    }

    /// Whether the store failed for something, so that nobody knows whether it can be had.
    pub(super) fn is_unchecked(&self) -> bool {
        lock(&self.losses).iter().any(|loss| loss.kind == LossKind::Unchecked)
    }

    /// What was fetched so far.
    pub(super) fn fetched(&self) -> Fetched {
        Fetched {
            segments: self.segments.load(Ordering::Relaxed),
            bytes: Bytes(self.fetched.load(Ordering::Relaxed)),
        }
    }

    /// Takes up what shards fetched, and counts as restored what is there: they restored it.
    pub(super) fn add_shards(&self, plan: &Plan, fetched: Fetched) {
        self.segments.fetch_add(fetched.segments, Ordering::Relaxed);
        self.fetched.fetch_add(fetched.bytes.0, Ordering::Relaxed);
        let absent = lock(&self.absent);
        let roles = || absent.iter().filter_map(|number| self.work.tree.node(*number)).map(|node| node.role);
        let entries = roles().filter(|role| *role != Role::Implied).count() as u64;
        let files =
            roles().filter(|role| matches!(role, Role::Bare | Role::Whole | Role::Parts(_))).count() as u64;
        let lost: u64 = lock(&self.losses).iter().skip(plan.losses.len()).map(|loss| loss.bytes.0).sum();
        self.done.entries.store(plan.entries.saturating_sub(entries), Ordering::Relaxed);
        self.files.store(plan.files.saturating_sub(files), Ordering::Relaxed);
        self.done.bytes.store(plan.bytes.0.saturating_sub(lost), Ordering::Relaxed);
    }

    /// Counts an entry as restored.
    pub(super) fn count(&self, is_file: bool) {
        self.fresh.entries.fetch_add(1, Ordering::Relaxed);
        self.files.fetch_add(u64::from(is_file), Ordering::Relaxed);
    }

    /// Counts content as written.
    pub(super) fn count_bytes(&self, bytes: usize) {
        self.fresh.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_fetch(&self, stored: Bytes) {
        self.segments.fetch_add(1, Ordering::Relaxed);
        self.fetched.fetch_add(stored.0, Ordering::Relaxed);
    }

    /// Tells the observer what was done since it was last told.
    pub(super) fn flush(&self) {
        let items = self.fresh.entries.swap(0, Ordering::Relaxed);
        let bytes = self.fresh.bytes.swap(0, Ordering::Relaxed);
        self.done.entries.fetch_add(items, Ordering::Relaxed);
        self.done.bytes.fetch_add(bytes, Ordering::Relaxed);
        if items > 0 || bytes > 0 {
            self.observer.tell(Event::Progress { items, bytes: Bytes(bytes) });
        }
    }

    /// Entries and bytes told so far.
    pub(super) fn done(&self) -> (u64, Bytes) {
        (self.done.entries.load(Ordering::Relaxed), Bytes(self.done.bytes.load(Ordering::Relaxed)))
    }

    /// Makes all threads stop; the first reason counts.
    pub(super) fn fail(&self, error: RestoreError) {
        self.stop.store(true, Ordering::Relaxed);
        lock(&self.failure).get_or_insert(error);
    }

    /// Whether to stop.
    pub(super) fn stopped(&self) -> bool {
        if self.observer.cancelled() {
            self.fail(RestoreError::cancelled());
        }
        self.stop.load(Ordering::Relaxed)
    }

    /// # Errors
    /// The reason to stop, if there is one.
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        if self.stopped() { lock(&self.failure).take().map_or(Ok(()), Err) } else { Ok(()) }
    }

    pub(super) fn into_report(self, duration: Duration) -> Report {
        let findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        Report {
            entries: self.done.entries.into_inner(),
            files: self.files.into_inner(),
            bytes: Bytes(self.done.bytes.into_inner()),
            segments: self.segments.into_inner(),
            fetched: Bytes(self.fetched.into_inner()),
            duration,
            findings: findings.first,
            finding_counts: findings.counts,
            losses: self.losses.into_inner().unwrap_or_else(PoisonError::into_inner),
            changes: None,
        }
    }
}

impl Trouble {
    /// What was made before cannot be opened again.
    pub(super) fn again(errno: Errno) -> Self {
        match errno {
            Errno::LOOP
            | Errno::NOTDIR
            | Errno::NOENT
            | Errno::XDEV
            | Errno::AGAIN
            | Errno::NXIO
            | Errno::ISDIR => Self::Meddled(errno),
            _ => Self::Errno("open it again", errno),
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::Errno(doing, errno) => format!("cannot {doing}: {errno}"),
            Self::NoDirectory => "its directory could not be made".into(),
            Self::Changed => {
                "somebody changed it while it was restored; stop what writes to it, then restore it again"
                    .into()
            }
            Self::Meddled(errno) => format!("its directory was changed meanwhile: {errno}"),
        }
    }
}

/// A lock's content; a thread that panicked holding it left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether everything that follows would meet the same error.
fn is_fatal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC
            | Errno::DQUOT
            | Errno::IO
            | Errno::ROFS
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::NODEV
            | Errno::STALE
            | Errno::ACCESS
    )
}
