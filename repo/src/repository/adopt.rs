//! What runs that were cut off left behind: whole objects of this writer that no ledger entry names.
//!
//! Later runs use them (a key, the packs of an index object), so they must be recorded, or nobody would miss them
//! if they vanished. The next run of the writer records them in its first entry. Recording one twice does no harm.

use std::collections::{HashMap, HashSet};

use crate::crypto::sign::Kind;
use crate::format::CATALOGED_STORED_MAX;
use crate::format::names::{self, Place, place};
use crate::format::records::Recorded;
use crate::ids::{Label, ObjectHash, ObjectName, RunId};
use crate::repository::agent::Agent;
use crate::repository::ledger::{self, Ledger};
use crate::repository::{JudgedAt, RepositoryError, index};
use crate::units::Bytes;

/// So many of the newest ledger entries are looked at for a snapshot before the whole ledger is read: more than a
/// writer's other components append between two runs of one.
const ENTRIES_LOOKED_AT: usize = 64;

/// The writer's own objects that its ledger does not name, as `current` begins.
///
/// Only looked for where a run of this writer has neither a snapshot nor a fence in its place, or its newest
/// snapshot of this component is not recorded: then the whole ledger is read. Runs of other components may be under
/// way, and end in any order; what one of them leaves, its own component's next run records.
///
/// # Errors
/// The store failed, or the writer's own ledger is damaged.
pub(crate) fn unrecorded(
    agent: &Agent<'_>,
    component: &Label,
    current: RunId,
) -> Result<Vec<Recorded>, RepositoryError> {
    let repository = agent.repository();
    let list =
        |prefix: &str| repository.store().list(prefix).map_err(|error| RepositoryError::store(prefix, error));
    let snapshots = list("snapshots/")?;
    let ended: HashMap<RunId, &ObjectName> = snapshots
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Snapshot(_, run)) => Some((run, &object.name)),
            _ => None,
        })
        .collect();
    let runs: Vec<RunId> = list(&format!("runs/{}/", agent.writer()))?
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Run(_, run)) if run != current => Some(run),
            _ => None,
        })
        .collect();
    let Some(newest) = ledger::newest(repository)?.get(agent.writer()).copied() else {
        return all_but(agent, &HashSet::new(), &ended, &runs);
    };
    let whole = runs.iter().all(|run| ended.contains_key(run));
    let last = runs
        .iter()
        .filter_map(|run| Some((run, *ended.get(run)?)))
        .filter(|(_, name)| matches!(place(name), Some(Place::Snapshot(of, _)) if of == *component));
    let last = last.max_by_key(|(run, _)| **run).map(|(_, name)| name);
    if whole && last.map_or(Ok(true), |name| is_recorded(agent, newest, name))? {
        return Ok(Vec::new());
    }
    let ledger = Ledger::load(repository, agent.writer(), newest)?;
    let known = ledger.objects().map(|object| object.0.clone()).collect();
    all_but(agent, &known, &ended, &runs)
}

/// Whether one of the newest entries names a snapshot, as it does unless its run was cut off.
fn is_recorded(agent: &Agent<'_>, newest: names::Seq, name: &ObjectName) -> Result<bool, RepositoryError> {
    for seq in (0..=newest.0).rev().take(ENTRIES_LOOKED_AT) {
        let entry = ledger::read_entry(agent.repository(), agent.writer(), names::Seq(seq))?;
        if entry.body.objects.iter().any(|object| object.0 == *name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn all_but(
    agent: &Agent<'_>,
    known: &HashSet<ObjectName>,
    ended: &HashMap<RunId, &ObjectName>,
    runs: &[RunId],
) -> Result<Vec<Recorded>, RepositoryError> {
    let repository = agent.repository();
    let mut found = Vec::new();
    let mut adopt = |name: &ObjectName, kind: Kind| -> Result<(), RepositoryError> {
        if !known.contains(name)
            && let Some((hash, length)) = own(agent, name, kind)?
        {
            found.push(Recorded(name.clone(), hash, length));
        }
        Ok(())
    };
    for run in runs {
        adopt(&names::run(agent.writer(), *run)?, Kind::Run)?;
    }
    for (prefix, kind) in [
        (format!("keys/{}/{}/", agent.seal_id(), agent.writer()), Kind::Key),
        (format!("cards/{}/", agent.writer()), Kind::Card),
    ] {
        let listed =
            repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        for object in listed {
            adopt(&object.name, kind)?;
        }
    }
    for name in runs.iter().filter_map(|run| ended.get(run)) {
        adopt(name, Kind::Snapshot)?;
    }
    let indexes = index::names_of(repository, agent.writer())?;
    for name in &indexes {
        adopt(name, Kind::Index)?;
    }
    for name in indexes.iter().filter(|name| !known.contains(*name)) {
        for pack in index::read(repository, agent.catalog(), name)?.header.packs {
            let hash = ObjectHash::from_bytes(*pack.0.as_bytes());
            let name = names::pack(pack.0)?;
            let there = repository
                .store()
                .stat(&name)
                .map_err(|error| RepositoryError::store(name.as_str(), error))?;
            // One that is not there at its length is not used either.
            if !known.contains(&name) && there.is_some_and(|listed| listed.length == pack.1) {
                found.push(Recorded(name, hash, pack.1));
            }
        }
    }
    Ok(found)
}

/// Hash and length of an object, if it is one that this writer signed. A fence in a snapshot's place is not.
pub(crate) fn own(
    agent: &Agent<'_>,
    name: &ObjectName,
    kind: Kind,
) -> Result<Option<(ObjectHash, Bytes)>, RepositoryError> {
    match agent.repository().read_signed(name, &[kind], JudgedAt::Any, CATALOGED_STORED_MAX) {
        Ok(signed) if signed.principal.is_writer(agent.writer()) => Ok(Some((signed.hash, signed.length))),
        Ok(_) => Ok(None),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}
