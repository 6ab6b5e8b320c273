//! What changes when seals are renewed: an officer goes, the catalog is renewed. FORMAT.md §4, §5.
//!
//! Absent from an agent-only build.

use std::time::Duration;

use crate::crypto::envelope::Identity;
use crate::crypto::sign::Kind;
use crate::crypto::signers::Entry;
use crate::format::RECORD_MAX;
use crate::format::keys::{NamedIdentity, OfficersSeal, catalog_id};
use crate::format::names;
use crate::ids::Label;
use crate::repository::erasures::Erasures;
use crate::repository::officer::Officer;
use crate::repository::recover::Recovery;
use crate::repository::reseal::{Acting, Resealed, in_lanes, is_half_put, reseal};
use crate::repository::signing::{put_seals_after, put_trust_after};
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};

/// What is to change with the seals.
#[derive(Clone, Debug, Default)]
pub struct Renewal {
    /// Whose recovery identity is to open nothing that is put from now on; the catalog is then renewed, too.
    pub without: Option<Label>,
}

/// What removing an officer did.
#[derive(Debug, Default)]
pub struct Removed {
    /// The sealing anew, unless that was done before.
    pub resealed: Resealed,
    /// Whether the officer's entry in trust was closed by this call.
    pub closed: bool,
}

impl Renewal {
    /// Whether something of it is still to be done in these seals.
    pub(crate) fn is_pending(&self, seal: &OfficersSeal) -> bool {
        let gone = self.without.as_ref().map(Label::as_str);
        gone.is_some_and(|gone| seal.recovery.iter().any(|known| known.name == gone))
    }

    /// Does it.
    pub(crate) fn apply(&self, seal: &mut OfficersSeal) {
        if self.is_pending(seal) {
            seal.recovery
                .retain(|known| Some(known.name.as_str()) != self.without.as_ref().map(Label::as_str));
            renew(seal);
        }
    }
}

/// Puts seals with a new catalog identity: what is written from now on, by runs that begin from now on, the identities
/// before it do not open. They stay in the seals, for what is older.
///
/// # Errors
/// The officer may not, another officer is at work, or the store failed.
pub fn renew_catalog(recovery: &Recovery<'_>, officer: &Officer<'_>) -> Result<(), RepositoryError> {
    let mut seal = recovery.officers_seal();
    renew(&mut seal);
    put_seals_after(recovery.repository(), officer, &mut seal)
}

/// Removes an officer: a new seal and a new catalog that the officer's recovery identity never opened, every key sealed
/// anew, and the officer's signatures count no longer. Cut off, the same call goes on.
///
/// # Errors
/// There is no such officer, too few would be left, the acting officer is the one to be removed or works with that one's
/// recovery identity, or the store failed.
pub fn remove_officer(acting: &Acting<'_>, name: &Label) -> Result<Removed, RepositoryError> {
    may_remove(acting, name)?;
    let repository = acting.repository;
    let seal = acting.open()?.officers_seal();
    let renewal = Renewal { without: Some(name.clone()) };
    let mut removed = Removed::default();
    if renewal.is_pending(&seal) || seal.next.is_some() || is_half_put(repository, &seal)? {
        removed.resealed = reseal(acting, &renewal)?;
    }
    if open_officers(repository).contains(name) {
        destroy_signed_by(acting, name)?;
        close(acting, name)?;
        removed.closed = true;
    }
    Ok(removed)
}

/// Whether an officer may be removed, by this one.
///
/// # Errors
/// As [`remove_officer`].
pub fn may_remove(acting: &Acting<'_>, name: &Label) -> Result<(), RepositoryError> {
    let recovery = acting.open()?;
    let seal = recovery.officers_seal();
    let open = open_officers(acting.repository);
    let known = open.contains(name) || seal.recovery.iter().any(|known| known.name == name.as_str());
    if !known && seal.next.is_none() {
        return Err(RepositoryError::refused(
            format!("officer:{name}"),
            "there is no such officer, or no longer; `lifeboat keys paper` names those there are",
        ));
    }
    refuse_too_few(acting, &recovery, name, &open, &seal)
}

fn refuse_too_few(
    acting: &Acting<'_>,
    recovery: &Recovery<'_>,
    name: &Label,
    open: &[Label],
    seal: &OfficersSeal,
) -> Result<(), RepositoryError> {
    let refused = |why: String| Err(RepositoryError::refused(format!("officer:{name}"), why));
    if acting.officer.name == *name {
        return refused("an officer is removed by another one; let somebody else run this".into());
    }
    let quorum = acting.repository.trust().header.quorum as usize;
    let left = open.iter().filter(|officer| *officer != name).count();
    if left == 0 || left < quorum {
        return refused(format!(
            "{left} would be left, and an erasure needs {} to sign; take in another officer first with `lifeboat keys \
             officer add`",
            quorum.max(1)
        ));
    }
    let mut staying = seal.recovery.iter().filter(|known| known.name != name.as_str()).peekable();
    if staying.peek().is_none() {
        return refused(
            "nobody else's recovery identity opens this repository; take in another officer first with `lifeboat keys \
             officer add`"
                .into(),
        );
    }
    if !staying.any(|known| recovery.holders().contains(&known.recipient)) {
        return refused(
            "the recovery identity given is that of the officer to be removed, and would open nothing any more; give \
             that of an officer who stays"
                .into(),
        );
    }
    Ok(())
}

/// Everybody who may sign as an officer.
fn open_officers(repository: &Repository) -> Vec<Label> {
    let entries = repository.trust().signers.entries().filter(|entry| entry.valid_before.is_none());
    let mut officers: Vec<Label> = entries
        .filter_map(|entry| match Principal::parse(&entry.principal) {
            Some(Principal::Officer(name)) => Some(name),
            _ => None,
        })
        .collect();
    officers.sort();
    officers.dedup();
    officers
}

/// Key objects below condemned seals that the officer sealed anew would look forged once the entry is closed. Each opens
/// below the seal in use before it goes.
fn destroy_signed_by(acting: &Acting<'_>, name: &Label) -> Result<(), RepositoryError> {
    let recovery = acting.open()?;
    let Some(((id, seal), condemned)) = recovery.seals().split_first() else { return Ok(()) };
    let mut below = Vec::new();
    for (old, _) in condemned {
        below.extend(recovery.keys_below(*old)?.into_iter().map(|slot| (*old, slot)));
    }
    let signed_by = Principal::Officer(name.clone());
    let store = acting.repository.store();
    in_lanes(acting.lanes, &below, |(old, (writer, key))| {
        let object = names::key(*old, writer, *key)?;
        match acting.repository.read_signed(&object, &[Kind::Key], JudgedAt::Any, RECORD_MAX) {
            Ok(signed) if signed.principal == signed_by => {}
            Ok(_) => return Ok(()),
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error),
        }
        match recovery.open_key_below(*id, seal, writer, *key) {
            Ok(_) => {}
            Err(error) if error.is_damage() => return Ok(()),
            Err(error) => return Err(error),
        }
        store.delete(&object).map(drop).map_err(|error| RepositoryError::store(object.as_str(), error))
    })?;
    Ok(())
}

/// Closes an officer's entries in trust, which then names the tombstones of this officer that count.
fn close(acting: &Acting<'_>, name: &Label) -> Result<(), RepositoryError> {
    let repository = acting.repository;
    let principal = format!("officer:{name}");
    let mut entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
    let now = acting.clock.now();
    for entry in entries.iter_mut().filter(|entry| entry.principal == principal) {
        // An entry must be valid for a second at least, or ssh-keygen refuses the whole file.
        let soonest = entry.valid_after.map_or(now, |after| now.max(after.plus(Duration::from_secs(1))));
        entry.valid_before = Some(entry.valid_before.map_or(soonest, |before| before.min(soonest)));
    }
    let mut header = repository.trust().header.clone();
    header.tombstones.insert(name.clone(), Erasures::load(repository)?.signed_by(name));
    put_trust_after(repository, repository.trust(), acting.officer, entries, header, acting.clock)
}

fn renew(seal: &mut OfficersSeal) {
    let catalog = Identity::generate();
    seal.catalogs.push(NamedIdentity {
        id: catalog_id(&catalog.recipient().to_string()),
        identity: catalog.to_secret_string().to_string(),
    });
}
