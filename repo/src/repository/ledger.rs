//! Ledgers: what each writer signed for, in one chain. FORMAT.md §12.

use std::collections::{BTreeMap, HashMap};

use crate::crypto::sign::{Kind, SigningKey};
use crate::format::names::{self, Place, SEQ_MAX, Seq, place};
use crate::format::records::{Checkpoint, Head, LedgerBody, Recorded};
use crate::format::{self, FORMAT_VERSION, RECORD_MAX};
use crate::ids::{Label, ObjectHash, ObjectName, RunId};
use crate::repository::adopt::OwnRuns;
use crate::repository::signed::sign_object;
use crate::repository::{JudgedAt, Repository, RepositoryError, Signed};
use crate::store::Created;
use crate::units::Bytes;

/// So many entries are named ahead at once: whoever may put an object may put one under the last of all numbers.
const EXPECTED_MAX: u32 = 1 << 16;

/// One ledger entry, its signature checked.
#[derive(Debug, Clone)]
pub struct LedgerEntry {
    /// What it says.
    pub body: LedgerBody,
    /// Its number and hash.
    pub head: Head,
}

/// A writer's whole ledger, as far as it counts.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Its entries from the first.
    pub entries: Vec<LedgerEntry>,
}

/// The newest entry of every writer's ledger, by name only.
///
/// # Errors
/// The store failed.
pub fn newest(repository: &Repository) -> Result<BTreeMap<Label, Seq>, RepositoryError> {
    let listed =
        repository.store().list("ledger/").map_err(|error| RepositoryError::store("ledger/", error))?;
    let mut newest = BTreeMap::new();
    for object in listed {
        match place(&object.name) {
            Some(Place::Ledger(writer, seq)) => {
                let slot = newest.entry(writer).or_insert(seq);
                *slot = seq.max(*slot);
            }
            // Whoever may put an object here must not be able to stop everybody with its name.
            _ => tracing::warn!(object = %object.name, "no ledger entry has such a name; passed over"),
        }
    }
    Ok(newest)
}

/// The numbers of a writer's entries that are there, in order. A ledger may have holes, and whoever may put an object may
/// put one under the last of all numbers: who reads what there is must not count up to it.
///
/// # Errors
/// The store failed.
pub fn numbers(repository: &Repository, writer: &Label) -> Result<Vec<Seq>, RepositoryError> {
    let prefix = format!("ledger/{writer}/");
    let listed = repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
    let numbers = listed.into_iter().filter_map(|object| match place(&object.name) {
        Some(Place::Ledger(_, seq)) => Some(seq),
        _ => None,
    });
    Ok(numbers.collect())
}

/// The last entry of a writer's ledger up to which it holds, from the first on. What is behind a break, somebody may have
/// put there to void what is before it.
#[cfg(feature = "recover")]
pub(crate) fn sound_head(repository: &Repository, writer: &Label) -> Result<Option<Head>, RepositoryError> {
    let mut head: Option<Head> = None;
    for (expected, seq) in (0..).zip(numbers(repository, writer)?) {
        if seq != Seq(expected) {
            break;
        }
        match read_entry(repository, writer, seq) {
            Ok(entry) if entry.body.previous == head.map(|head| head.1) => head = Some(entry.head),
            Ok(_) => break,
            Err(error) if error.is_damage() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// Reads one entry; its place in the chain is not checked here.
///
/// # Errors
/// It is missing, damaged or not its writer's.
pub fn read_entry(repository: &Repository, writer: &Label, seq: Seq) -> Result<LedgerEntry, RepositoryError> {
    let name = names::ledger(writer, seq)?;
    let signed = repository.read_signed(&name, &[Kind::Ledger], JudgedAt::Any, RECORD_MAX)?;
    entry_of(repository, writer, seq, &name, signed)
}

/// Checks the bytes of one entry; its place in the chain is not checked here.
///
/// # Errors
/// They are damaged or not its writer's.
pub(crate) fn check_entry(
    repository: &Repository,
    writer: &Label,
    seq: Seq,
    bytes: Vec<u8>,
) -> Result<LedgerEntry, RepositoryError> {
    let name = names::ledger(writer, seq)?;
    let signed = repository.check_signed(&name, bytes, &[Kind::Ledger], JudgedAt::Any)?;
    entry_of(repository, writer, seq, &name, signed)
}

fn entry_of(
    repository: &Repository,
    writer: &Label,
    seq: Seq,
    name: &ObjectName,
    signed: Signed,
) -> Result<LedgerEntry, RepositoryError> {
    let body: LedgerBody = format::decode(&signed.body, "ledger entry")
        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    let signer = repository.judge(&signed.key, Kind::Ledger, name, JudgedAt::Moment(body.run.moment()))?;
    if body.seq != seq || body.writer != *writer || !signer.is_writer(writer) {
        return Err(RepositoryError::damaged(name.as_str(), "it is not its writer's entry of that number"));
    }
    Ok(LedgerEntry { body, head: Head(seq, signed.hash) })
}

impl Ledger {
    /// Reads a writer's ledger from its first entry to its newest, or to the cutoff of a revoked writer.
    ///
    /// # Errors
    /// An entry is missing, damaged, or does not follow the one before it.
    pub fn load(repository: &Repository, writer: &Label, newest: Seq) -> Result<Self, RepositoryError> {
        let cutoff = repository.trust().cutoff(writer);
        let count = match cutoff {
            None => newest.next().0,
            Some(Some(last)) => last.0.next().0,
            Some(None) => 0,
        };
        let mut entries: Vec<LedgerEntry> = Vec::new();
        let names = (0..count.min(EXPECTED_MAX)).map(|number| names::ledger(writer, Seq(number)));
        let _ahead = repository.expect(names.collect::<Result<Vec<_>, _>>()?);
        for number in 0..count {
            let entry = read_entry(repository, writer, Seq(number))?;
            if entry.body.previous != entries.last().map(|before| before.head.1) {
                return Err(RepositoryError::damaged(
                    names::ledger(writer, Seq(number))?.as_str(),
                    "it does not follow the entry before it: the ledger was rewritten or cut",
                ));
            }
            entries.push(entry);
        }
        let end = entries.last().map(|entry| entry.head);
        if cutoff.is_some_and(|cutoff| end != cutoff) {
            return Err(RepositoryError::damaged(
                format!("ledger/{writer}/"),
                "its entry at the cutoff is not the one that trust names",
            ));
        }
        Ok(Self { entries })
    }

    /// Every ledger of the repository.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_all(repository: &Repository) -> Result<BTreeMap<Label, Self>, RepositoryError> {
        newest(repository)?
            .into_iter()
            .map(|(writer, seq)| Ok((writer.clone(), Self::load(repository, &writer, seq)?)))
            .collect()
    }

    /// Everything the ledger names, with hash and length.
    #[must_use]
    pub fn recorded(&self) -> HashMap<ObjectName, (ObjectHash, Bytes)> {
        self.objects().map(|object| (object.0.clone(), (object.1, object.2))).collect()
    }

    /// Everything the ledger names, in order.
    pub fn objects(&self) -> impl Iterator<Item = &Recorded> {
        self.entries.iter().flat_map(|entry| entry.body.objects.iter())
    }
}

/// What a ledger entry is to say.
pub(crate) struct NewEntry<'e> {
    /// Whose ledger.
    pub(crate) writer: &'e Label,
    /// The writer's key.
    pub(crate) signing: &'e SigningKey,
    /// The run that writes it.
    pub(crate) run: RunId,
    /// What was put since the entry before.
    pub(crate) objects: &'e [Recorded],
    /// In a run's last entry.
    pub(crate) checkpoint: Option<&'e Checkpoint>,
    /// What the run knows of its writer's runs; learns of those that append meanwhile.
    pub(crate) runs: &'e mut OwnRuns,
}

/// Appends an entry after `head`, or after whatever another run of the same writer appended meanwhile.
///
/// # Errors
/// The store failed; the entry may or may not be there.
pub(crate) fn append(
    repository: &Repository,
    new: &mut NewEntry<'_>,
    mut head: Option<Head>,
) -> Result<Head, RepositoryError> {
    let (writer, run) = (new.writer, new.run);
    // Not that of an entry that another run of the writer appends meanwhile: what that names was not counted.
    let mut checkpoint = new.checkpoint.cloned();
    if let (Some(checkpoint), Some(head)) = (&mut checkpoint, head) {
        checkpoint.heads.insert(writer.clone(), head);
    }
    loop {
        let seq = head.map_or(Seq(0), |head| head.0.next());
        if seq.0 > SEQ_MAX {
            return Err(RepositoryError::refused(
                format!("ledger/{writer}/"),
                "it is full; enrol a new writer",
            ));
        }
        let name = names::ledger(writer, seq)?;
        let (runs, open) = new.runs.stored(writer)?;
        let body = LedgerBody {
            format: FORMAT_VERSION,
            writer: writer.clone(),
            seq,
            previous: head.map(|head| head.1),
            run,
            objects: new.objects.to_vec(),
            runs: Some(runs),
            open,
            checkpoint: checkpoint.clone(),
        };
        let bytes = format::encode(&body, "ledger entry")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let object = sign_object(new.signing, Kind::Ledger, &repository.id(), &name, &bytes)?;
        let created = repository
            .store()
            .create(&name, &object)
            .map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let ours = Head(seq, ObjectHash::from_bytes(crate::crypto::hash::sha256(&object)));
        if created == Created::New {
            return Ok(ours);
        }
        let taken = read_entry(repository, writer, seq)?;
        if taken.head == ours {
            return Ok(ours);
        }
        new.runs.see(&taken.body);
        head = Some(taken.head);
    }
}
