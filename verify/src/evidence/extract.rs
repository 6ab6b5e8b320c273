//! What is taken of a repository into evidence, so that a stranger can see which state of it was used: its newest trust,
//! the last entry of every ledger, and the newest checkpoint, byte for byte.

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::split_object;
use lifeboat_repo::format::RECORD_MAX;
use lifeboat_repo::format::names::{self, Seq};
use lifeboat_repo::ids::{Label, ObjectHash, ObjectName};
use lifeboat_repo::repository::ledger::{self, LedgerEntry};
use lifeboat_repo::repository::{Repository, RepositoryError};

use super::directory::Attachment;
use super::error::EvidenceError;
use super::facts::{EntryFact, Freshness, Place, RepositoryFact, Role, TombstoneFact, TrustFact};

/// The state of a repository as facts, with the files that show it.
///
/// An object becomes two files, so that `ssh-keygen` takes them as they are: its signature (`.sig`) and its body
/// (`.json`, of trust `.signers`). Both together are what is stored.
///
/// # Errors
/// The store failed, or what it has is damaged.
pub fn extract(
    repository: &Repository,
    role: Role,
    freshness: Freshness,
) -> Result<(RepositoryFact, Vec<Attachment>), EvidenceError> {
    let header = &repository.trust().header;
    let place = Place {
        region: header.region.clone(),
        jurisdiction: header.jurisdiction.clone(),
        repository: repository.id(),
    };
    let trust = trust(repository)?;
    let mut files = object(repository, &place, role, &trust.entry, trust.sha256)?;
    let mut heads = Vec::new();
    let mut checkpoint: Option<EntryFact> = None;
    for (writer, newest) in ledger::newest(repository)? {
        // Where a revoked writer's ledger ends is what trust says, hash and all.
        if repository.trust().cutoff(&writer).is_some() {
            continue;
        }
        let entry = ledger::read_entry(repository, &writer, newest)?;
        let head = fact(&writer, &entry)?;
        let with_checkpoint = newest_checkpoint(repository, &writer, entry)?;
        files.extend(object(repository, &place, role, &head.entry, head.sha256)?);
        heads.push(head);
        if let Some(found) = with_checkpoint
            && checkpoint.as_ref().is_none_or(|known| known.run < found.run)
        {
            checkpoint = Some(found);
        }
    }
    if let Some(found) = checkpoint.as_ref().filter(|found| !heads.contains(found)) {
        files.extend(object(repository, &place, role, &found.entry, found.sha256)?);
    }
    Ok((RepositoryFact { place, role, freshness, trust, heads, checkpoint }, files))
}

/// The files of a tombstone: what each officer signed, byte for byte, as it lies in this repository.
///
/// # Errors
/// The store failed, or what it has is damaged or another by now.
pub fn tombstone(
    repository: &Repository,
    state: &RepositoryFact,
    fact: &TombstoneFact,
) -> Result<Vec<Attachment>, EvidenceError> {
    let mut files = Vec::new();
    for one in &fact.signed {
        files.extend(object(repository, &state.place, state.role, &one.entry, one.sha256)?);
    }
    Ok(files)
}

/// The names of the two files of an object: signature and body.
pub(super) fn file_names(place: &Place, role: Role, entry: &ObjectName) -> [String; 2] {
    let stem = format!("{}.{}.{}", place.region, role.word(), entry.as_str().replace('/', "."));
    let body = if entry.as_str().starts_with("trust/") { "signers" } else { "json" };
    [format!("{stem}.sig"), format!("{stem}.{body}")]
}

fn trust(repository: &Repository) -> Result<TrustFact, EvidenceError> {
    let head = repository.trust().head;
    let entry = names::trust(head.0).map_err(RepositoryError::from)?;
    Ok(TrustFact { entry, sha256: head.1 })
}

fn fact(writer: &Label, entry: &LedgerEntry) -> Result<EntryFact, EvidenceError> {
    let name = names::ledger(writer, entry.head.0).map_err(RepositoryError::from)?;
    Ok(EntryFact { writer: writer.clone(), entry: name, sha256: entry.head.1, run: entry.body.run })
}

/// The newest entry of a ledger that has a checkpoint, from this one back. A run that is under way has put none yet.
fn newest_checkpoint(
    repository: &Repository,
    writer: &Label,
    mut entry: LedgerEntry,
) -> Result<Option<EntryFact>, EvidenceError> {
    loop {
        if entry.body.checkpoint.is_some() {
            return fact(writer, &entry).map(Some);
        }
        let Some(before) = entry.head.0.0.checked_sub(1) else { return Ok(None) };
        entry = ledger::read_entry(repository, writer, Seq(before))?;
    }
}

/// An object as its two files, if it still is the one it was.
fn object(
    repository: &Repository,
    place: &Place,
    role: Role,
    name: &ObjectName,
    expected: ObjectHash,
) -> Result<Vec<Attachment>, EvidenceError> {
    let bytes = repository.store().read(name, RECORD_MAX)?;
    if ObjectHash::from_bytes(sha256(&bytes)) != expected {
        return Err(EvidenceError::unfit(name.as_str(), "it changed while it was read"));
    }
    let (_, body) = split_object(&bytes).map_err(|error| EvidenceError::unfit(name.as_str(), error))?;
    let (signature, body) = bytes.split_at(bytes.len().saturating_sub(body.len()));
    let [signature_name, body_name] = file_names(place, role, name);
    Ok(vec![Attachment::new(signature_name, signature), Attachment::new(body_name, body)])
}
