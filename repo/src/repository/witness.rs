//! A witness: another store, in another account, that keeps the newest entry of every ledger. FORMAT.md §12.
//!
//! Inside a repository nothing shows that its end was cut off whole. A witness does: whoever rolls the repository back
//! must roll the witness back too, in an account that is not his.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::hash::sha256;
use crate::format::RECORD_MAX;
use crate::format::names::{self, Seq};
use crate::format::records::Head;
use crate::ids::{Label, ObjectHash, ObjectName};
use crate::repository::ledger::{self, check_entry};
use crate::repository::{Repository, RepositoryError};
use crate::store::{Created, Store, StoreErrorKind};
use crate::units::{Bytes, Timestamp};

/// What a witness says of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Every witnessed entry is there. For every ledger that is vouched for: when the newest run began that does so.
    Proven(BTreeMap<Label, Timestamp>),
    /// Nothing was witnessed, so nothing is proven.
    NotProven,
    /// The witness holds these, which nobody whom the repository trusts signed, and which it does not hold itself: it was
    /// rolled back to before their writer was enrolled, or a stranger put them there.
    Doubtful(Vec<ObjectName>),
    /// These entries are witnessed and gone, or are others now: the repository was rolled back.
    RolledBack(Vec<ObjectName>),
}

/// How far back to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The newest witnessed entry of every ledger, and what it says of the others. Two small reads a ledger and head.
    Newest,
    /// All that was witnessed: also finds that a ledger was cut off and then grew past its old end.
    All,
}

/// How putting an entry to the witness went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The ledger has no entry yet.
    Nothing,
    /// The witness has it now, or had it already.
    Kept(ObjectName),
    /// The witness was not told, for it has seen this entry, which is gone or another now: the repository was rolled back.
    RolledBack(ObjectName),
}

/// Puts the newest sound entry of a writer's ledger to the witness, as it is stored. What the witness saw last must still be
/// there: otherwise a ledger that was cut off would grow past its old end, and nobody would see it.
///
/// # Errors
/// What the witness saw last cannot be checked, or a store failed.
pub fn put(repository: &Repository, witness: &dyn Store, writer: &Label) -> Result<Told, RepositoryError> {
    if let Some((seq, name)) =
        listed(repository, witness, writer.as_str())?.pop().map(|last| (last.1, last.2))
    {
        let mut compared = Compared::default();
        compared.see(repository, witness, (writer, seq, &name), true)?;
        if let Some(gone) = compared.gone.pop_first() {
            return Ok(Told::RolledBack(gone));
        }
        if compared.doubtful.contains(&name) {
            return Err(RepositoryError::refused(
                name.as_str(),
                "the witness holds what is no entry of this repository, in the place of the newest; find out who put it",
            ));
        }
    }
    let Some((seq, bytes)) = newest_sound(repository, writer)? else { return Ok(Told::Nothing) };
    let name: ObjectName = format!("witness/{}/{writer}/{seq}", repository.id()).parse()?;
    let failed = |error| RepositoryError::store(name.as_str(), error);
    if witness.create(&name, &bytes).map_err(failed)? == Created::Exists
        && witness.read(&name, Bytes::of(&bytes)).ok().as_ref() != Some(&bytes)
    {
        return Ok(Told::RolledBack(names::ledger(writer, seq)?));
    }
    Ok(Told::Kept(name))
}

/// Compares what was witnessed with what the repository shows.
///
/// # Errors
/// A store failed: then nothing is known.
pub fn compare(
    repository: &Repository,
    witness: &dyn Store,
    depth: Depth,
) -> Result<Freshness, RepositoryError> {
    let mut compared = Compared::default();
    // Sorted by name, so the last of a writer is its newest.
    let mut all = listed(repository, witness, "")?.into_iter().peekable();
    while let Some((writer, seq, name)) = all.next() {
        let newest = all.peek().is_none_or(|next| next.0 != writer);
        if newest || depth == Depth::All {
            compared.see(repository, witness, (&writer, seq, &name), newest)?;
        }
    }
    Ok(compared.freshness())
}

/// Witnessed entries of a writer, or of all, sorted by name.
fn listed(
    repository: &Repository,
    witness: &dyn Store,
    writer: &str,
) -> Result<Vec<(Label, Seq, ObjectName)>, RepositoryError> {
    let end = if writer.is_empty() { "" } else { "/" };
    let prefix = format!("witness/{}/{writer}{end}", repository.id());
    let listed = witness.list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
    let entries = listed.into_iter().filter_map(|object| {
        let parts: Vec<&str> = object.name.parts().collect();
        let ["witness", _, writer, seq] = parts.as_slice() else { return None };
        let (writer, seq) = (writer.parse().ok()?, seq.parse().ok()?);
        Some((writer, seq, object.name))
    });
    Ok(entries.collect())
}

/// The newest entry of a ledger that is its writer's, as it is stored. What somebody put behind it hides nothing.
fn newest_sound(repository: &Repository, writer: &Label) -> Result<Option<(Seq, Vec<u8>)>, RepositoryError> {
    for seq in ledger::numbers(repository, writer)?.into_iter().rev() {
        let Some(bytes) = stored(repository.store(), &names::ledger(writer, seq)?)? else { continue };
        match check_entry(repository, writer, seq, bytes.clone()) {
            Ok(_) => return Ok(Some((seq, bytes))),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A record, or `None` where there is none: what is longer than any record is none.
fn stored(store: &dyn Store, name: &ObjectName) -> Result<Option<Vec<u8>>, RepositoryError> {
    match store.read(name, RECORD_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind, StoreErrorKind::Missing | StoreErrorKind::TooLong { .. }) => {
            Ok(None)
        }
        Err(error) => Err(RepositoryError::store(name.as_str(), error)),
    }
}

/// What was compared so far.
#[derive(Default)]
struct Compared {
    vouched: BTreeMap<Label, Timestamp>,
    doubtful: BTreeSet<ObjectName>,
    gone: BTreeSet<ObjectName>,
}

impl Compared {
    /// Looks at one witnessed entry, and, where asked to, at the heads that it names of other ledgers.
    fn see(
        &mut self,
        repository: &Repository,
        witness: &dyn Store,
        (writer, seq, name): (&Label, Seq, &ObjectName),
        heads: bool,
    ) -> Result<(), RepositoryError> {
        let Some(witnessed) = stored(witness, name)? else {
            self.doubtful.insert(name.clone());
            return Ok(());
        };
        let place = names::ledger(writer, seq)?;
        let same = stored(repository.store(), &place)?.is_some_and(|there| there == witnessed);
        let entry = match check_entry(repository, writer, seq, witnessed) {
            Ok(entry) if same => entry,
            Ok(_) => {
                self.gone.insert(place);
                return Ok(());
            }
            Err(error) if error.is_damage() => {
                if !same {
                    self.doubtful.insert(name.clone());
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let moment = entry.body.run.moment();
        self.vouch(writer, moment);
        let checkpoint = entry.body.checkpoint.filter(|_| heads);
        for (other, Head(seq, hash)) in checkpoint.into_iter().flat_map(|checkpoint| checkpoint.heads) {
            let place = names::ledger(&other, seq)?;
            match stored(repository.store(), &place)? {
                Some(there) if ObjectHash::from_bytes(sha256(&there)) == hash => self.vouch(&other, moment),
                _ => {
                    self.gone.insert(place);
                }
            }
        }
        Ok(())
    }

    fn vouch(&mut self, writer: &Label, moment: Timestamp) {
        let slot = self.vouched.entry(writer.clone()).or_insert(moment);
        *slot = moment.max(*slot);
    }

    fn freshness(self) -> Freshness {
        if !self.gone.is_empty() {
            Freshness::RolledBack(self.gone.into_iter().collect())
        } else if !self.doubtful.is_empty() {
            Freshness::Doubtful(self.doubtful.into_iter().collect())
        } else if self.vouched.is_empty() {
            Freshness::NotProven
        } else {
            Freshness::Proven(self.vouched)
        }
    }
}
