//! What officers do: make a repository, enrol and revoke writers, take in officers. FORMAT.md §4, §5.
//!
//! Each act puts a new trust file first and new seals after it. Cut off in between, it is repeated as it was:
//! every act is a no-op where its effect is there already, but for the seals, which are put again.

use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::crypto::envelope::{Identity, Recipient};
use crate::crypto::sign::{SigningKey, VerifyingKey};
use crate::crypto::signers::Entry;
use crate::format::FORMAT_VERSION;
use crate::format::keys::{NamedIdentity, NamedRecipient, OfficersSeal, catalog_id, seal_id};
use crate::format::names::Seq;
use crate::format::records::Head;
use crate::format::trust::TrustHeader;
use crate::ids::{Label, RepositoryId};
use crate::repository::ledger;
use crate::repository::recover::Recovery;
use crate::repository::signing::{Signer, put_seals_after, put_trust_after};
use crate::repository::{Repository, RepositoryError};
use crate::store::Store;
use crate::units::Timestamp;

mod maintainers;

pub use maintainers::{NewMaintainer, add_maintainer};

/// An officer at work.
pub struct Officer<'a> {
    /// The officer's name.
    pub name: Label,
    /// Signs trust and seals.
    pub signing: &'a SigningKey,
}

/// A repository to be made.
pub struct NewRepository {
    /// The region it belongs to.
    pub region: Label,
    /// That region's jurisdiction, such as `EU`.
    pub jurisdiction: String,
    /// Who can open it: names and recipients. At least one.
    pub recovery: Vec<(String, Recipient)>,
}

/// A writer to be enrolled.
pub struct NewWriter {
    /// Its name.
    pub name: Label,
    /// Verifies what it signs.
    pub signing: VerifyingKey,
    /// Its card recipient.
    pub card: Recipient,
    /// What it may snapshot.
    pub components: Vec<Label>,
}

/// Makes a repository in an empty store. Trust is put last: until then there is none.
///
/// # Errors
/// The store is not empty, nobody could open the repository, or the store failed.
pub fn create(
    store: &dyn Store,
    officer: &Officer<'_>,
    new: &NewRepository,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<RepositoryId, RepositoryError> {
    let there = store.list("").map_err(|error| RepositoryError::store("the new repository", error))?;
    if let Some(first) = there.first() {
        return Err(RepositoryError::refused(
            store.location(),
            format!("it is not empty (it holds {}); give an empty place for a new repository", first.name),
        ));
    }
    if new.recovery.is_empty() {
        return Err(RepositoryError::refused(
            "recovery",
            "no recovery recipient was given; nobody could ever restore from this repository",
        ));
    }
    let mut id = [0; 16];
    entropy.fill(&mut id)?;
    let id = RepositoryId::from_bytes(id);
    let seal = Identity::generate();
    let catalog = Identity::generate();
    let officers = OfficersSeal {
        format: FORMAT_VERSION,
        seq: Seq(0),
        seal: NamedIdentity {
            id: seal_id(&seal.recipient().to_string()),
            identity: seal.to_secret_string().to_string(),
        },
        since: Some(clock.now()),
        next: None,
        older: Vec::new(),
        catalogs: vec![NamedIdentity {
            id: catalog_id(&catalog.recipient().to_string()),
            identity: catalog.to_secret_string().to_string(),
        }],
        recovery: new
            .recovery
            .iter()
            .map(|(name, recipient)| NamedRecipient { name: name.clone(), recipient: recipient.to_string() })
            .collect(),
        writers: Vec::new(),
    };
    let signer = Signer { store, officer, id };
    signer.put_hint()?;
    signer.put_seals(&officers)?;
    let header = TrustHeader {
        lifeboat: "trust".into(),
        format: FORMAT_VERSION,
        repository: id,
        region: new.region.clone(),
        jurisdiction: new.jurisdiction.clone(),
        seq: Seq(0),
        previous: None,
        created: clock.now(),
        quorum: 1,
        cutoffs: std::collections::BTreeMap::new(),
        seals_from: Seq(0),
        tombstones: std::collections::BTreeMap::new(),
    };
    let entry = officer_entry(&id, &officer.name, officer.signing.public(), header.created);
    signer.put_trust(&header, vec![entry])?;
    Ok(id)
}

/// Enrols a writer, or binds it to more components.
///
/// # Errors
/// The name is taken by another key, the key is somebody else's, the officer may not, or the store failed.
pub fn add_writer(
    recovery: &Recovery<'_>,
    officer: &Officer<'_>,
    new: &NewWriter,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let repository = recovery.repository();
    let principal = format!("writer:{}", new.name);
    let mut entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
    if entries.iter().any(|entry| entry.principal == principal && entry.key != new.signing)
        || entries.iter().any(|entry| entry.principal == format!("maintainer:{}", new.name))
        || repository.trust().cutoff(&new.name).is_some()
    {
        return Err(RepositoryError::refused(
            principal,
            "this name was given to another key or to a maintainer, or was revoked before; a name is never used twice, \
             choose another",
        ));
    }
    refuse_second_role(&entries, &[&principal], &new.signing)?;
    let entry = writer_entry(&repository.id(), new, clock.now());
    let bound = |wanted: &String| {
        entries.iter().any(|entry| entry.principal == principal && entry.namespaces.contains(wanted))
    };
    if !entry.namespaces.iter().all(bound) {
        entries.push(entry);
        put_next_trust(repository, officer, entries, repository.trust().header.cutoffs.clone(), clock)?;
    }
    rewrap(recovery, officer, |seal| {
        seal.writers.retain(|writer| writer.name != new.name);
        seal.writers.push(NamedRecipient { name: new.name.clone(), recipient: new.card.to_string() });
    })
}

/// Revokes a writer, or a maintainer in both its roles: nothing it signs from now on counts, nor anything its ledger does
/// not hold by now.
///
/// # Errors
/// There is no such writer, the officer may not, or the store failed.
pub fn revoke_writer(
    recovery: &Recovery<'_>,
    officer: &Officer<'_>,
    name: &Label,
    clock: &dyn Clock,
) -> Result<Option<Head>, RepositoryError> {
    let repository = recovery.repository();
    let principal = format!("writer:{name}");
    let mut entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
    if !entries.iter().any(|entry| entry.principal == principal) {
        return Err(RepositoryError::refused(
            principal,
            "no such writer is enrolled here; `lifeboat keys writer list` shows those who are",
        ));
    }
    // Not simply the newest: whoever took the writer's host may have put what breaks the chain, and all before a cutoff
    // behind a break would be void.
    let cutoff = ledger::sound_head(repository, name)?;
    if repository.trust().cutoff(name).is_none() {
        let now = clock.now();
        let maintainer = format!("maintainer:{name}");
        let closed = |entry: &&mut Entry| [&principal, &maintainer].contains(&&entry.principal);
        for entry in entries.iter_mut().filter(closed) {
            // An entry must be valid for a second at least, or ssh-keygen refuses the whole file.
            let soonest = entry.valid_after.map_or(now, |after| now.max(after.plus(Duration::from_secs(1))));
            entry.valid_before = Some(entry.valid_before.map_or(soonest, |before| before.min(soonest)));
        }
        let mut cutoffs = repository.trust().header.cutoffs.clone();
        cutoffs.insert(name.clone(), cutoff);
        put_next_trust(repository, officer, entries, cutoffs, clock)?;
    }
    rewrap(recovery, officer, |seal| seal.writers.retain(|writer| writer.name != *name))?;
    Ok(cutoff)
}

/// Takes in an officer who may sign trust, and whose recovery identity then opens everything.
///
/// # Errors
/// The name is taken by another key, the key is somebody else's, the officer may not, or the store failed.
pub fn add_officer(
    recovery: &Recovery<'_>,
    officer: &Officer<'_>,
    name: &Label,
    signing: VerifyingKey,
    recipient: &Recipient,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let repository = recovery.repository();
    let principal = format!("officer:{name}");
    let mut entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
    match entries.iter().find(|entry| entry.principal == principal) {
        Some(entry) if entry.key != signing => {
            return Err(RepositoryError::refused(
                principal,
                "this name belongs to another key; choose another",
            ));
        }
        Some(entry) if entry.valid_before.is_some() => {
            return Err(RepositoryError::refused(
                principal,
                "this officer was removed, and who was removed is no officer again; choose another name and make \
                 another key",
            ));
        }
        Some(_) => {}
        None => {
            refuse_second_role(&entries, &[&principal], &signing)?;
            entries.push(officer_entry(&repository.id(), name, signing, clock.now()));
            put_next_trust(repository, officer, entries, repository.trust().header.cutoffs.clone(), clock)?;
        }
    }
    rewrap(recovery, officer, |seal| {
        seal.recovery.retain(|known| known.name != name.as_str());
        seal.recovery.push(NamedRecipient { name: name.to_string(), recipient: recipient.to_string() });
    })
}

/// Nobody could say in which role such a key signed; and that of a revoked writer would be good again. `roles` are those
/// that it is to have: a maintainer has two, which sign nothing of each other's.
fn refuse_second_role(entries: &[Entry], roles: &[&str], key: &VerifyingKey) -> Result<(), RepositoryError> {
    match entries.iter().find(|entry| entry.key == *key && !roles.contains(&entry.principal.as_str())) {
        Some(entry) => Err(RepositoryError::refused(
            roles.first().copied().unwrap_or_default(),
            format!("this key is already that of {}; make another, each has its own", entry.principal),
        )),
        None => Ok(()),
    }
}

fn officer_entry(id: &RepositoryId, name: &Label, key: VerifyingKey, now: Timestamp) -> Entry {
    let kinds = [("trust", "trust/*"), ("seal", "seals/*"), ("key", "keys/*"), ("erasure", "erasures/*")];
    Entry {
        principal: format!("officer:{name}"),
        namespaces: kinds.iter().map(|(kind, names)| format!("lifeboat-{kind}:{id}:{names}")).collect(),
        valid_after: Some(Timestamp::new(now.seconds(), 0)),
        valid_before: None,
        key,
        comment: None,
    }
}

fn writer_entry(id: &RepositoryId, new: &NewWriter, now: Timestamp) -> Entry {
    let name = &new.name;
    let mut namespaces = vec![
        format!("lifeboat-run:{id}:runs/{name}/*"),
        format!("lifeboat-key:{id}:keys/*/{name}/*"),
        format!("lifeboat-card:{id}:cards/{name}/*"),
        format!("lifeboat-index:{id}:index/{name}/*"),
        format!("lifeboat-ledger:{id}:ledger/{name}/*"),
        format!("lifeboat-heartbeat:{id}:heartbeats/{name}/*"),
    ];
    for component in &new.components {
        namespaces.push(format!("lifeboat-snapshot:{id}:snapshots/{component}/*"));
        namespaces.push(format!("lifeboat-state:{id}:state/{component}/*"));
    }
    Entry {
        principal: format!("writer:{name}"),
        namespaces,
        valid_after: Some(Timestamp::new(now.seconds(), 0)),
        valid_before: None,
        key: new.signing,
        comment: None,
    }
}

fn put_next_trust(
    repository: &Repository,
    officer: &Officer<'_>,
    entries: Vec<Entry>,
    cutoffs: std::collections::BTreeMap<Label, Option<Head>>,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let header = TrustHeader { cutoffs, ..repository.trust().header.clone() };
    put_trust_after(repository, repository.trust(), officer, entries, header, clock)
}

/// Puts the seals again under the next number, changed.
fn rewrap(
    recovery: &Recovery<'_>,
    officer: &Officer<'_>,
    change: impl FnOnce(&mut OfficersSeal),
) -> Result<(), RepositoryError> {
    let mut seal = recovery.officers_seal();
    change(&mut seal);
    put_seals_after(recovery.repository(), officer, &mut seal)
}
