//! The end of a sealing anew: the seal before is destroyed, once nothing can need it any more. FORMAT.md §5.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::{Acting, Resealed, Unusable, in_lanes, is_half_put, is_published, put_plan, seal_stragglers};
use crate::crypto::sign::Kind;
use crate::format::keys::OfficersSeal;
use crate::format::names::{self, Place, SealFor, Seq, place};
use crate::format::records::RunBody;
use crate::format::trust::TrustHeader;
use crate::format::{self, RECORD_MAX};
use crate::ids::{IdentityId, KeyId, Label, ObjectName, RunId};
use crate::repository::catalog::Catalog;
use crate::repository::gc::Condemned;
use crate::repository::recover::Recovery;
use crate::repository::signing::{put_seals_after, put_trust_after};
use crate::repository::snapshots::{Judge, Standing};
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::store::{Listed, Store};
use crate::units::Timestamp;

/// How long a bundle is locked: after that it is deleted, and what only it holds is beyond recovery. FORMAT.md §15.
pub const BUNDLE_AGE_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Times that a store gives to objects may be out of order by this much: a run that appeared sooner after the plan is
/// waited for as if it had come before, and a bundle that appeared sooner after the last key went may hold it.
pub(crate) const DISORDER_MAX: Duration = Duration::from_secs(60 * 60);

/// How far the destruction of condemned seals has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// No seal is condemned.
    Nothing,
    /// These runs may not have seen the plan and are not over: the names that they commit at.
    Waiting(Vec<ObjectName>),
    /// Keys that snapshots need do not open, so the seals that may open them stay.
    Held,
    /// The keys are gone; bundles may hold some until then.
    Bundled(Timestamp),
    /// The condemned seals are destroyed. Bundles may hold them until then, if there are any.
    Destroyed(Option<Timestamp>),
}

/// What [`finish`] did.
#[derive(Debug)]
pub struct Finished {
    /// Where it stands now.
    pub step: Step,
    /// The seals that were condemned when it began.
    pub condemned: Vec<IdentityId>,
    /// Keys that runs had put below them meanwhile and that were sealed anew.
    pub sealed: usize,
    /// Key objects that do not open. Only those that snapshots need hold the seals.
    pub unusable: Vec<Unusable>,
    /// Key objects destroyed, every version.
    pub keys: usize,
    /// Seal objects destroyed, every version.
    pub seals: usize,
}

/// Destroys condemned seals as far as that may be by now, step by step; the same call goes on later.
///
/// # Errors
/// A sealing anew was cut off and must be repeated first, the identities do not open the repository, the officer may not,
/// or the store failed.
pub fn finish(acting: &Acting<'_>) -> Result<Finished, RepositoryError> {
    let recovery = acting.open()?;
    let mut seal = recovery.officers_seal();
    if seal.next.is_some() {
        return Err(RepositoryError::refused(
            "seals/",
            "a sealing anew was cut off before its seal was in use; run `lifeboat keys reseal` once more",
        ));
    }
    let condemned = seal.older.iter().map(|older| older.id).collect();
    let mut finished =
        Finished { step: Step::Nothing, condemned, sealed: 0, unusable: Vec::new(), keys: 0, seals: 0 };
    if seal.older.is_empty() {
        // Hosts must have theirs before what they use goes.
        if !seal.writers.is_empty() && !is_published(acting.repository)? {
            put_seals_after(acting.repository, acting.officer, &mut seal)?;
        }
        finished.seals = destroy_seals(acting, seal.seq)?;
        if finished.seals > 0 {
            finished.step = Step::Destroyed(bundled_until(acting.repository.store(), None)?);
        }
        return Ok(finished);
    }
    if seal.older.iter().any(|older| older.emptied.is_none())
        && let Some(step) = empty(acting, &mut seal, &mut finished)?
    {
        finished.step = step;
        return Ok(finished);
    }
    let emptied = seal.older.iter().filter_map(|older| older.emptied).max();
    if let Some(until) = bundled_until(acting.repository.store(), emptied)? {
        finished.step = Step::Bundled(until);
        return Ok(finished);
    }
    let gone: Vec<IdentityId> = seal.older.iter().map(|older| older.id).collect();
    seal.older.clear();
    put_seals_after(acting.repository, acting.officer, &mut seal)?;
    finished.seals = destroy_seals(acting, seal.seq)?;
    // What a run that was ended put late: nothing needs it, and now nothing opens it.
    finished.keys += destroy_keys(acting, &gone)?;
    finished.step = Step::Destroyed(bundled_until(acting.repository.store(), None)?);
    Ok(finished)
}

/// What [`finish`] has before it.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The seal in use.
    pub seal: IdentityId,
    /// Since when it is in use; nothing where it is that of the beginning.
    pub since: Option<Timestamp>,
    /// Whether a sealing anew was cut off before its seal was in use.
    pub cut_off: bool,
    /// Seals that are condemned.
    pub condemned: Vec<IdentityId>,
    /// The names at which runs commit that may put keys below them yet.
    pub waiting: Vec<ObjectName>,
    /// Key objects below the seal in use.
    pub sealed: usize,
    /// Key objects below condemned ones.
    pub keys: usize,
    /// Seal objects before the newest.
    pub seals: usize,
    /// Until when bundles hold keys below them.
    pub bundled: Option<Timestamp>,
}

/// Looks at what [`finish`] would do, and does nothing.
///
/// # Errors
/// The store failed.
pub fn outlook(recovery: &Recovery<'_>) -> Result<Outlook, RepositoryError> {
    let repository = recovery.repository();
    let seal = recovery.officers_seal();
    let condemned: Vec<IdentityId> = seal.older.iter().map(|older| older.id).collect();
    let filled = seal.older.iter().filter(|older| older.emptied.is_none()).map(|older| older.plan).max();
    let waiting = match filled {
        Some(plan) => open_runs(repository, plan, !seal.writers.is_empty())?,
        None => Vec::new(),
    };
    let mut keys = 0;
    for id in &condemned {
        keys += recovery.keys_below(*id)?.len();
    }
    let emptied = if filled.is_some() {
        Some(store_now(repository.store())?)
    } else {
        seal.older.iter().filter_map(|older| older.emptied).max()
    };
    Ok(Outlook {
        seal: seal.seal.id,
        since: seal.since,
        cut_off: seal.next.is_some(),
        waiting,
        sealed: recovery.keys_below(seal.seal.id)?.len(),
        keys,
        seals: seals_before(repository, seal.seq)?.len(),
        bundled: if condemned.is_empty() { None } else { bundled_until(repository.store(), emptied)? },
        condemned,
    })
}

/// Waits for runs, seals anew what they left, destroys the key objects below condemned seals; why not, where not.
fn empty(
    acting: &Acting<'_>,
    seal: &mut OfficersSeal,
    finished: &mut Finished,
) -> Result<Option<Step>, RepositoryError> {
    if is_half_put(acting.repository, seal)? {
        let plan = seal.seq;
        put_plan(acting, seal, Some(plan))?;
    }
    let plan = seal.older.iter().filter(|older| older.emptied.is_none()).map(|older| older.plan).max();
    let waiting = open_runs(acting.repository, plan.unwrap_or(seal.seq), !seal.writers.is_empty())?;
    if !waiting.is_empty() {
        return Ok(Some(Step::Waiting(waiting)));
    }
    // Listed only now: what those runs put is there.
    let Resealed { sealed, unusable, .. } = seal_stragglers(acting)?;
    finished.sealed = sealed;
    let recovery = acting.open()?;
    let needed = needed_keys(acting.repository, recovery.catalog())?;
    let held = unusable.iter().any(|one| needed.contains(&(one.writer.clone(), one.key)));
    finished.unusable = unusable;
    // A key that is gone here may lie in the replica or in a bundle, below a seal that is condemned: it is in no listing.
    let there: HashSet<(Label, KeyId)> = recovery.keys()?.into_iter().collect();
    let gone: Vec<_> = needed.into_iter().filter(|slot| !there.contains(slot)).collect();
    finished.unusable.extend(gone.iter().map(|(writer, key)| Unusable {
        writer: writer.clone(),
        key: *key,
        error: RepositoryError::damaged(
            format!("key {key} of {writer}"),
            "snapshots need it, and it is below no seal; a replica or a bundle may have it",
        ),
    }));
    if held || !gone.is_empty() {
        return Ok(Some(Step::Held));
    }
    let emptied: Vec<IdentityId> = seal.older.iter().map(|older| older.id).collect();
    finished.keys += destroy_keys(acting, &emptied)?;
    let now = store_now(acting.repository.store())?;
    for older in seal.older.iter_mut().filter(|older| older.emptied.is_none()) {
        older.emptied = Some(now);
    }
    put_seals_after(acting.repository, acting.officer, seal)?;
    Ok(None)
}

/// The commit names of backups that may have begun before the plan was seen, and are not over.
fn open_runs(repository: &Repository, plan: Seq, writers: bool) -> Result<Vec<ObjectName>, RepositoryError> {
    let seen = plan_seen(repository, plan, writers)?;
    // Runs first, then where they end: one that ends in between is over.
    let runs = list(repository, "runs/")?;
    let over: HashSet<RunId> = list(repository, "snapshots/")?
        .into_iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Snapshot(_, run)) => Some(run),
            _ => None,
        })
        .collect();
    let mut open = Vec::new();
    for object in runs {
        let Some(Place::Run(writer, run)) = place(&object.name) else { continue };
        let late = seen.is_some_and(|seen| object.modified > seen.plus(DISORDER_MAX));
        if late || over.contains(&run) || repository.trust().cutoff(&writer).is_some() {
            continue;
        }
        let signed = match repository.read_signed(&object.name, &[Kind::Run], JudgedAt::Any, RECORD_MAX) {
            Ok(signed) => signed,
            // Without its run object no snapshot counts.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let Ok(body) = format::decode::<RunBody>(&signed.body, "run") else { continue };
        // Other tasks make no keys.
        if let Some(component) = body.component
            && body.task.is_backup()
        {
            open.push(names::snapshot(&component, run)?);
        }
    }
    if open.is_empty() {
        return Ok(open);
    }
    // What was expired and then collected stood at its name once: that run is over, too.
    let condemned = Condemned::load(repository)?;
    open.retain(|name| !condemned.snapshot(name));
    Ok(open)
}

/// When hosts could see the plan: the first writers' seal of its number or a later one; without writers, its own.
fn plan_seen(
    repository: &Repository,
    plan: Seq,
    writers: bool,
) -> Result<Option<Timestamp>, RepositoryError> {
    let which = if writers { SealFor::Writers } else { SealFor::Officers };
    let seals = list(repository, "seals/")?;
    let after = seals.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Seal(seq, found)) if found == which && seq >= plan => Some((seq, object.modified)),
        _ => None,
    });
    Ok(after.min().map(|(_, modified)| modified))
}

/// Every tenant key that a snapshot needs which counts or may yet count. One that is erased or expired is not needed.
pub(super) fn needed_keys(
    repository: &Repository,
    catalog: &Catalog,
) -> Result<BTreeSet<(Label, KeyId)>, RepositoryError> {
    let judge = Judge::new(repository, catalog)?;
    let mut needed = BTreeSet::new();
    for one in judge.list(None)? {
        let Some(snapshot) = one.snapshot else { continue };
        if matches!(one.standing, Standing::Counts | Standing::Unrecorded) {
            let kept = snapshot.keys.iter().filter(|share| !judge.condemned().key(&one.name, share.key));
            needed.extend(kept.map(|share| (snapshot.writer.clone(), share.key)));
        }
    }
    Ok(needed)
}

/// Until when the last bundle lasts that may hold what was there at `by` (`None`: what is there now).
pub(crate) fn bundled_until(
    store: &dyn Store,
    by: Option<Timestamp>,
) -> Result<Option<Timestamp>, RepositoryError> {
    let now = store_now(store)?;
    let by = by.map(|by| by.plus(DISORDER_MAX));
    let bundles = store.list("bundles/").map_err(|error| RepositoryError::store("bundles/", error))?;
    Ok(bundles
        .into_iter()
        .filter(|bundle| by.is_none_or(|by| bundle.modified <= by))
        .map(|bundle| bundle.modified.plus(BUNDLE_AGE_MAX))
        .filter(|until| *until > now)
        .max())
}

/// Destroys every key object below these seals.
fn destroy_keys(acting: &Acting<'_>, seals: &[IdentityId]) -> Result<usize, RepositoryError> {
    let mut names = Vec::new();
    for seal in seals {
        names
            .extend(list(acting.repository, &format!("keys/{seal}/"))?.into_iter().map(|object| object.name));
    }
    destroy(acting, &names)
}

/// Gives up all seals before `newest` in trust, and destroys them.
fn destroy_seals(acting: &Acting<'_>, newest: Seq) -> Result<usize, RepositoryError> {
    let repository = acting.repository;
    let names = seals_before(repository, newest)?;
    if names.is_empty() {
        return Ok(0);
    }
    let trust = repository.trust().renewed(repository.store())?;
    if trust.header.seals_from < newest {
        let entries = trust.signers.entries().cloned().collect();
        let header = TrustHeader { seals_from: newest, ..trust.header.clone() };
        put_trust_after(repository, &trust, acting.officer, entries, header, acting.clock)?;
    }
    destroy(acting, &names)
}

fn seals_before(repository: &Repository, newest: Seq) -> Result<Vec<ObjectName>, RepositoryError> {
    let names = list(repository, "seals/")?.into_iter().map(|object| object.name);
    Ok(names.filter(|name| matches!(place(name), Some(Place::Seal(seq, _)) if seq < newest)).collect())
}

fn destroy(acting: &Acting<'_>, names: &[ObjectName]) -> Result<usize, RepositoryError> {
    destroy_in(acting.repository.store(), acting, names)
}

pub(super) fn destroy_in(
    store: &dyn Store,
    acting: &Acting<'_>,
    names: &[ObjectName],
) -> Result<usize, RepositoryError> {
    let gone = in_lanes(acting.lanes, names, |name| {
        store.delete(name).map_err(|error| RepositoryError::store(name.as_str(), error))
    })?;
    Ok(gone.into_iter().filter(|gone| *gone).count())
}

pub(super) fn list(repository: &Repository, prefix: &str) -> Result<Vec<Listed>, RepositoryError> {
    repository.store().list(prefix).map_err(|error| RepositoryError::store(prefix, error))
}

fn store_now(store: &dyn Store) -> Result<Timestamp, RepositoryError> {
    store.now().map_err(|error| RepositoryError::store("the store's clock", error))
}
