//! A witness: another store, in another account, that keeps the newest entry of every ledger. FORMAT.md §12.
//!
//! Inside a repository nothing shows that its end was cut off whole. A witness does: whoever rolls the repository back
//! must roll the witness back too, in an account that is not his.

use std::collections::BTreeMap;

use crate::format::RECORD_MAX;
use crate::format::names::{self, Seq};
use crate::ids::{Label, ObjectName};
use crate::repository::ledger::{self, check_entry};
use crate::repository::{Repository, RepositoryError};
use crate::store::{Created, Store};
use crate::units::{Bytes, Timestamp};

/// What a witness says of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Every witnessed entry is there; the newest was made by a run that began at this moment.
    Proven(Timestamp),
    /// Nothing was witnessed, so nothing is proven.
    NotProven,
    /// These entries are witnessed and gone, or are others now: the repository was rolled back.
    RolledBack(Vec<ObjectName>),
}

/// Puts the newest entry of a writer's ledger to the witness, as it is stored.
///
/// # Errors
/// The entry is damaged, the witness holds another one under its name, or a store failed.
pub fn put(
    repository: &Repository,
    witness: &dyn Store,
    writer: &Label,
) -> Result<Option<ObjectName>, RepositoryError> {
    let Some(seq) = ledger::numbers(repository, writer)?.pop() else { return Ok(None) };
    let stored = names::ledger(writer, seq)?;
    let bytes = repository
        .store()
        .read(&stored, RECORD_MAX)
        .map_err(|error| RepositoryError::store(stored.as_str(), error))?;
    check_entry(repository, writer, seq, bytes.clone())?;
    let name = name_of(repository, writer, seq)?;
    let failed = |error| RepositoryError::store(name.as_str(), error);
    if witness.create(&name, &bytes).map_err(failed)? == Created::Exists
        && witness.read(&name, Bytes::of(&bytes)).map_err(failed)? != bytes
    {
        return Err(RepositoryError::refused(
            name.as_str(),
            "the witness has seen another entry of this number: the ledger was rewritten; find out by whom before the \
             next backup",
        ));
    }
    Ok(Some(name))
}

/// Compares the newest witnessed entry of every ledger with what the repository shows.
///
/// # Errors
/// A store failed: then nothing is known. What is no entry of this repository's writers is passed over.
pub fn compare(repository: &Repository, witness: &dyn Store) -> Result<Freshness, RepositoryError> {
    let prefix = format!("witness/{}/", repository.id());
    let listed = witness.list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
    let mut newest: BTreeMap<Label, (Seq, ObjectName)> = BTreeMap::new();
    for object in listed {
        let parts: Vec<&str> = object.name.parts().collect();
        let ["witness", _, writer, seq] = parts.as_slice() else { continue };
        let (Ok(writer), Ok(seq)) = (writer.parse::<Label>(), seq.parse::<Seq>()) else { continue };
        // Sorted by name, so the last is the newest.
        newest.insert(writer, (seq, object.name));
    }
    let (mut moment, mut gone) = (None, Vec::new());
    for (writer, (seq, name)) in newest {
        let bytes =
            witness.read(&name, RECORD_MAX).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let witnessed = match check_entry(repository, &writer, seq, bytes) {
            Ok(entry) => entry,
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "the witness holds what is no entry of this repository; passed over");
                continue;
            }
            Err(error) => return Err(error),
        };
        match ledger::read_entry(repository, &writer, seq) {
            Ok(entry) if entry.head == witnessed.head => {
                moment = moment.max(Some(witnessed.body.run.moment()));
            }
            Ok(_) => gone.push(names::ledger(&writer, seq)?),
            Err(error) if error.is_damage() => gone.push(names::ledger(&writer, seq)?),
            Err(error) => return Err(error),
        }
    }
    Ok(match (gone.is_empty(), moment) {
        (false, _) => Freshness::RolledBack(gone),
        (true, Some(moment)) => Freshness::Proven(moment),
        (true, None) => Freshness::NotProven,
    })
}

/// `witness/<repository>/<writer>/<seq>`
fn name_of(repository: &Repository, writer: &Label, seq: Seq) -> Result<ObjectName, RepositoryError> {
    Ok(format!("witness/{}/{writer}/{seq}", repository.id()).parse()?)
}
