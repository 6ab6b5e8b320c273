//! Runs that are not over: whoever collects waits for them, or ends them. FORMAT.md §11.

use std::collections::HashSet;

use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, place};
use crate::format::records::{RunBody, Task};
use crate::format::{self, RECORD_MAX};
use crate::ids::{Label, ObjectName, RunId};
use crate::repository::gc::Condemned;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError, Role};
use crate::store::Listed;
use crate::units::Timestamp;

/// A run that may still commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// Which.
    pub run: RunId,
    /// Whose.
    pub writer: Label,
    /// Where it may commit: one name, or where its run object is damaged every name that its writer may sign. It is over
    /// once something stands at all of them.
    pub commits: Vec<ObjectName>,
    /// Since when, by the store's clock.
    pub since: Timestamp,
}

/// What a listing of runs showed.
pub struct Runs<'c> {
    /// Every run that is announced and not over.
    pub open: Vec<OpenRun>,
    /// What stands at commit names.
    taken: HashSet<ObjectName>,
    condemned: &'c Condemned,
}

impl Runs<'_> {
    /// Whether a run that commits at this name is over: something stands there, or stood there until it was expired and
    /// collected.
    #[must_use]
    pub fn is_over(&self, commit: &ObjectName) -> bool {
        self.taken.contains(commit) || self.condemned.snapshot(commit)
    }
}

/// Lists runs.
///
/// # Errors
/// The store failed.
pub fn list<'c>(repository: &Repository, condemned: &'c Condemned) -> Result<Runs<'c>, RepositoryError> {
    let list =
        |prefix: &str| repository.store().list(prefix).map_err(|error| RepositoryError::store(prefix, error));
    // Announcements first: a run that is announced after them reads every record that was there before. And then trust:
    // whoever announced one of them is in it.
    let runs = list("runs/")?;
    let repository = &repository.renewed()?;
    let commits = match repository.role() {
        Role::Primary => "snapshots/",
        Role::Replica => "replicas/",
    };
    let taken = list(commits)?.into_iter().map(|object| object.name).collect();
    let mut listed = Runs { open: Vec::new(), taken, condemned };
    let mut possibly = Vec::new();
    for object in runs {
        let Some(Place::Run(writer, run)) = place(&object.name) else {
            tracing::warn!(object = %object.name, "no run has such a name; passed over");
            continue;
        };
        let possible = possible_commits(repository, &writer, run)?;
        if !possible.iter().all(|name| listed.is_over(name)) {
            possibly.push((object, writer, run, possible));
        }
    }
    let _ahead = repository.expect(possibly.iter().map(|(object, ..)| object.name.clone()));
    for (object, writer, run, possible) in possibly {
        let commits = announced(repository, &object, &writer, run)?.unwrap_or(possible);
        if !commits.iter().all(|name| listed.is_over(name)) {
            listed.open.push(OpenRun { run, writer, commits, since: object.modified });
        }
    }
    Ok(listed)
}

/// Every name at which trust lets this writer commit a run here. Backups do not run in a replica, nor replications
/// anywhere else.
fn possible_commits(
    repository: &Repository,
    writer: &Label,
    run: RunId,
) -> Result<Vec<ObjectName>, RepositoryError> {
    let entries = repository.trust().signers.entries();
    let namespaces = entries
        .filter(|entry| Principal::parse(&entry.principal).is_some_and(|who| who.is_writer(writer)))
        .flat_map(|entry| &entry.namespaces);
    if repository.role() == Role::Replica {
        let prefix = format!("lifeboat-replica:{}:", repository.id());
        let replicates = namespaces.into_iter().any(|namespace| namespace.starts_with(&prefix));
        return Ok(if replicates { vec![names::replica(run)?] } else { Vec::new() });
    }
    let prefix = format!("lifeboat-snapshot:{}:snapshots/", repository.id());
    let mut components: Vec<Label> = namespaces
        .filter_map(|namespace| namespace.strip_prefix(&prefix)?.strip_suffix("/*")?.parse().ok())
        .collect();
    components.sort();
    components.dedup();
    Ok(components.iter().map(|component| names::snapshot(component, run)).collect::<Result<_, _>>()?)
}

/// Where a run says that it commits; `None` where its object cannot be read as one of this writer.
fn announced(
    repository: &Repository,
    object: &Listed,
    writer: &Label,
    run: RunId,
) -> Result<Option<Vec<ObjectName>>, RepositoryError> {
    let at = JudgedAt::Moment(run.moment());
    let signed = match repository.read_signed(&object.name, &[Kind::Run], at, RECORD_MAX) {
        Ok(signed) if signed.principal.is_writer(writer) => signed,
        Ok(_) => return Ok(None),
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(body) = format::decode::<RunBody>(&signed.body, "run") else { return Ok(None) };
    if body.run != run || body.writer != *writer {
        return Ok(None);
    }
    Ok(Some(match (repository.role(), body.task, &body.component) {
        (Role::Primary, Task::Backup, Some(component)) => vec![names::snapshot(component, run)?],
        (Role::Replica, Task::Replicate, _) => vec![names::replica(run)?],
        _ => Vec::new(),
    }))
}
