//! Looking at a store with every level of verification and with a restore, and saying in words what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_restore::{
    Choice, Options, Report, RestoreError, Selection, Severity as Grade, Status, choose, perform, plan,
};
use lifeboat_verify::{
    Amount, Draw, Finding, Outcome, Scope, SeedFrom, Severity, Threads, VerifyError, integrity, inventory,
    readback,
};

use crate::World;

/// What a level of verification said.
#[derive(Debug)]
pub enum Verdict {
    /// It ran and ended so.
    Ran(Outcome, Vec<Finding>),
    /// It could not be done; the text is what a person reads.
    Stopped(String),
}

impl Verdict {
    /// What it came to, in a word: whether `named` was blamed, something else was, or nothing.
    #[must_use]
    pub fn word(&self, named: &str) -> &'static str {
        let blames = |finding: &Finding| {
            finding.severity == Severity::Damage
                && (finding.object.to_string().contains(named) || finding.what.contains(named))
        };
        match self {
            Self::Ran(Outcome::Passed, _) => "-",
            Self::Ran(Outcome::Failed, findings) if findings.iter().any(blames) => "named",
            Self::Ran(Outcome::Failed, _) => "found",
            Self::Ran(Outcome::NotRun(_), _) => "unsure",
            Self::Stopped(text) if text.contains(named) => "stops",
            Self::Stopped(_) => "stops?",
        }
    }

    /// The damage it found.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        let findings = match self {
            Self::Ran(_, findings) => findings.as_slice(),
            Self::Stopped(_) => &[],
        };
        findings.iter().filter(|finding| finding.severity == Severity::Damage)
    }

    /// Whom the damage hits, each as `tenant extent`, sorted.
    #[must_use]
    pub fn losses(&self) -> Vec<String> {
        let all: BTreeSet<String> =
            self.damage().flat_map(|finding| &finding.affects).map(ToString::to_string).collect();
        all.into_iter().collect()
    }

    fn of<R>(result: Result<R, VerifyError>, parts: impl FnOnce(R) -> (Outcome, Vec<Finding>)) -> Self {
        match result {
            Ok(report) => {
                let (outcome, findings) = parts(report);
                Self::Ran(outcome, findings)
            }
            Err(error) => Self::Stopped(error.to_string()),
        }
    }
}

fn scope() -> Scope {
    Scope { component: None, threads: Threads::ONE }
}

fn open(world: &World, store: &Arc<dyn Store>) -> Result<Repository, RepositoryError> {
    Repository::open(Arc::clone(store), &[world.officer.public()])
}

/// Integrity, with nothing but the pinned officer.
#[must_use]
pub fn look_integrity(world: &World, store: &Arc<dyn Store>) -> Verdict {
    match open(world, store) {
        Ok(repository) => integrity_in(world, &repository),
        Err(error) => Verdict::Stopped(error.to_string()),
    }
}

/// The same in a repository, or a replica, that is opened.
#[must_use]
pub fn integrity_in(world: &World, repository: &Repository) -> Verdict {
    let pins = [world.officer.public()];
    let report = integrity(repository, &pins, &SystemClock, Threads::ONE, &Silent);
    Verdict::of(report, |report| (report.outcome, report.findings))
}

/// Inventory, with a catalog that a maintainer brings along.
#[must_use]
pub fn look_inventory(world: &World, store: &Arc<dyn Store>, catalog: &Catalog) -> Verdict {
    match open(world, store) {
        Ok(repository) => inventory_in(&repository, catalog),
        Err(error) => Verdict::Stopped(error.to_string()),
    }
}

/// The same in a repository, or a replica, that is opened.
#[must_use]
pub fn inventory_in(repository: &Repository, catalog: &Catalog) -> Verdict {
    let report = inventory(repository, catalog, &scope(), &Silent);
    Verdict::of(report, |report| (report.outcome, report.findings))
}

/// Readback of everything.
#[must_use]
pub fn look_readback(world: &World, store: &Arc<dyn Store>) -> Verdict {
    match open(world, store) {
        Ok(repository) => readback_in(world, &repository),
        Err(error) => Verdict::Stopped(error.to_string()),
    }
}

/// The same in a repository, or a replica, that is opened.
#[must_use]
pub fn readback_in(world: &World, repository: &Repository) -> Verdict {
    let recovery = match Recovery::open(repository, &[world.recovery_identity()], &SystemClock) {
        Ok(recovery) => recovery,
        Err(error) => return Verdict::Stopped(error.to_string()),
    };
    let draw = Draw { amount: Amount::Full, seed: SeedFrom::Checkpoint { nonce: b"n".to_vec() } };
    let report = readback(&recovery, &scope(), &draw, &Silent);
    Verdict::of(report, |report| (report.outcome, report.findings))
}

/// Restores a snapshot into `target`, from the address of the store to the last file.
///
/// # Errors
/// As the operations of a restore, in the order a person meets them.
pub fn restore(
    world: &World,
    store: &Arc<dyn Store>,
    component: &Label,
    run: Option<RunId>,
    target: &Path,
) -> Result<Report, RestoreError> {
    restore_in(world, &open(world, store)?, component, run, target)
}

/// The same from a repository, or a replica, that is opened.
///
/// # Errors
/// As [`restore`].
pub fn restore_in(
    world: &World,
    repository: &Repository,
    component: &Label,
    run: Option<RunId>,
    target: &Path,
) -> Result<Report, RestoreError> {
    let recovery = Recovery::open(repository, &[world.recovery_identity()], &SystemClock)?;
    let judge = Judge::to_read(repository, recovery.catalog())?;
    let listed = judge.list(Some(component))?;
    let chosen = choose(&listed, component, run.map_or(Choice::Latest, Choice::Run))?;
    let plan = plan(&recovery, chosen.snapshot, &Selection::default(), &Silent)?;
    perform(repository.store(), &plan, target, &Options::default(), &Silent)
}

/// A tree: paths with what they are.
pub type Listing = BTreeMap<String, Vec<u8>>;

/// Everything below a directory: contents of files, targets of links, nothing of directories.
#[must_use]
pub fn tree(root: &Path) -> Listing {
    let mut found = Listing::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            let meta = path.symlink_metadata().expect("an entry that stays");
            let name = path.strip_prefix(root).expect("a path below").to_string_lossy().into_owned();
            let content = if meta.is_dir() {
                todo.push(path);
                b"directory".to_vec()
            } else if meta.is_symlink() {
                let to = std::fs::read_link(&path).expect("a link");
                format!("-> {}", to.display()).into_bytes()
            } else {
                std::fs::read(&path).expect("a readable file")
            };
            found.insert(name, content);
        }
    }
    found
}

/// What a restore made of a tree, in a word: `exact`, `partial` (and says so), or `refused` (with an error).
///
/// # Panics
/// Something came back wrong, or something is missing and the restore did not say so.
#[must_use]
pub fn judge_restore(
    outcome: &Result<Report, RestoreError>,
    target: &Path,
    expected: &Listing,
) -> &'static str {
    let mut found = if target.exists() { tree(target) } else { Listing::new() };
    if outcome.is_err() {
        // The mark of an unfinished restore, by which the next one goes on.
        found.retain(|path, _| !path.starts_with(".lifeboat-restore"));
    }
    let holed: BTreeSet<&[u8]> = outcome
        .iter()
        .flat_map(|report| &report.findings)
        .filter(|finding| finding.severity == Grade::Missing)
        .map(|finding| finding.path.as_slice())
        .collect();
    for (path, content) in &found {
        let right = match expected.get(path) {
            // What is lost of it, it says, is read as zeros. Where a file is cut into chunks is left to its key.
            Some(whole) if holed.contains(path.as_bytes()) => {
                let same = whole.iter().zip(content).all(|(whole, byte)| byte == whole || *byte == 0);
                same && whole.len() == content.len()
            }
            whole => whole == Some(content),
        };
        assert!(right, "{path} came back wrong: {outcome:?}");
    }
    match outcome {
        Ok(report) if report.status() == Status::Complete => {
            assert_eq!(found.len(), expected.len(), "something is missing and nobody says so: {report:?}");
            "exact"
        }
        Ok(report) => {
            assert!(
                report.losses.iter().all(|loss| !loss.why.is_empty())
                    && (!report.losses.is_empty() || report.finding_counts.missing > 0),
                "{report:?}"
            );
            "partial"
        }
        Err(_) => "refused",
    }
}

/// A directory that goes away, in memory where there is one: restores bring everything to the disk at their end.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}
