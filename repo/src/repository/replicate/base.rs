//! Ledgers, tombstones, keys and cards, seals and trust: copied before a run is announced, since no collector touches
//! them. What officers erased is never copied, and the tombstone that says so goes before any key.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::facts::Facts;
use super::parallel::each;
use super::{Item, Job, Problem};
use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, Seq, place};
use crate::format::records::ErasureBody;
use crate::format::{self, RECORD_MAX};
use crate::ids::{Label, ObjectHash, ObjectName};
use crate::observe::{Event, Observer};
use crate::repository::erasures::Erasures;
use crate::repository::trust::Trust;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError, ledger};
use crate::store::Created;
use crate::units::Bytes;

/// What is to be copied, in this order.
#[derive(Default)]
pub(super) struct Base {
    hint: Option<Item>,
    /// Entries in order, by ledger.
    ledgers: BTreeMap<Label, Vec<(Seq, Item)>>,
    erasures: Vec<Item>,
    keys: Vec<Item>,
    seals: Vec<Item>,
    trust: Vec<(Seq, Item)>,
}

/// Whether an entry of a ledger belongs into a replica: a maintainer's speaks of one store, and what is behind a revoked
/// writer's cutoff does not count. Of a writer whom trust does not know yet the next replication knows.
pub(super) fn is_copied(source: &Repository, writer: &Label, seq: Seq) -> bool {
    let trust = source.trust();
    let principal = format!("writer:{writer}");
    let known = trust.signers.entries().any(|entry| entry.principal == principal);
    let counts = match trust.cutoff(writer) {
        None => true,
        Some(None) => false,
        Some(Some(last)) => seq <= last.0,
    };
    known && counts && !trust.is_maintainer(writer)
}

/// What is missing in the replica.
///
/// # Errors
/// The replica is of another repository, or it has seen what the repository does not have any more.
pub(super) fn plan(
    job: &Job<'_>,
    facts: &Facts,
    problems: &mut Vec<Problem>,
) -> Result<Base, RepositoryError> {
    refuse_stranger(job, facts)?;
    let mut base = Base::default();
    for (name, length) in &facts.source {
        let Some(kind) = place(name) else { continue };
        let item = Item { name: name.clone(), length: *length };
        let there = facts.replica.contains_key(name);
        match kind {
            Place::Hint if !there => base.hint = Some(item),
            Place::Ledger(writer, seq) if !there && is_copied(job.source, &writer, seq) => {
                base.ledgers.entry(writer).or_default().push((seq, item));
            }
            Place::Erasure(..) if !there && !facts.erasures.void().contains(name) => {
                base.erasures.push(item);
            }
            Place::Key(_, _, key) | Place::Card(_, key) if !there && !facts.is_erased(key) => {
                base.keys.push(item);
            }
            // Below that they are about to be destroyed, here and there.
            Place::Seal(seq, _) if !there && seq >= job.source.trust().header.seals_from => {
                base.seals.push(item)
            }
            Place::Trust(seq) if !there && seq <= job.source.trust().head.0 => base.trust.push((seq, item)),
            _ => {}
        }
    }
    for name in facts.replica.keys().filter(|name| matches!(place(name), Some(Place::Erasure(..)))) {
        if !facts.source.contains_key(name) {
            let why = "the replica has this tombstone and the repository has it no more; it still holds in the replica";
            problems.push(Problem::new(name.as_str(), why));
        }
    }
    Ok(base)
}

/// A replica never holds what its repository does not: if it does, either is another's, or the repository was rolled
/// back, and what it has now must not pass for what it had.
fn refuse_stranger(job: &Job<'_>, facts: &Facts) -> Result<(), RepositoryError> {
    let newest = |names: &BTreeMap<ObjectName, Bytes>| {
        let mut heads: BTreeMap<Option<Label>, Seq> = BTreeMap::new();
        for name in names.keys() {
            let (chain, seq) = match place(name) {
                Some(Place::Trust(seq)) => (None, seq),
                Some(Place::Ledger(writer, seq)) if is_copied(job.source, &writer, seq) => {
                    (Some(writer), seq)
                }
                _ => continue,
            };
            let slot = heads.entry(chain).or_insert(seq);
            *slot = seq.max(*slot);
        }
        heads
    };
    let source = newest(&facts.source);
    for (chain, seq) in newest(&facts.replica) {
        let name = match &chain {
            None => names::trust(seq)?,
            Some(writer) => names::ledger(writer, seq)?,
        };
        let behind = source.get(&chain).is_none_or(|newest| *newest < seq);
        // Listed first, the repository may have got it since, and another replication may have copied it already.
        let gone = || {
            let there = job.source.store().stat(&name);
            there.map(|there| there.is_none()).map_err(|error| RepositoryError::store(name.as_str(), error))
        };
        if behind && gone()? {
            return Err(RepositoryError::refused(
                name.as_str(),
                "the replica has it and the repository has not: the repository was rolled back, or one of the two is \
                 another's; compare both with `lifeboat status` and restore from the replica (--replica) what is gone",
            ));
        }
        let hash = |store: &dyn crate::store::Store| {
            store
                .read(&name, RECORD_MAX)
                .map(|bytes| sha256(&bytes))
                .map_err(|error| RepositoryError::store(name.as_str(), error))
        };
        if hash(job.source.store())? != hash(job.replica.as_ref())? {
            return Err(RepositoryError::refused(
                name.as_str(),
                "it is another in the replica than in the repository: one was rewritten, or they are two repositories; \
                 nothing was copied",
            ));
        }
    }
    Ok(())
}

impl Base {
    /// Everything, in the order in which it is copied.
    pub(super) fn items(&self) -> Vec<Item> {
        let ledgers = self.ledgers.values().flatten().map(|(_, item)| item);
        let trust = self.trust.iter().map(|(_, item)| item);
        let first = self.hint.iter().chain(ledgers).chain(&self.erasures);
        first.chain(&self.keys).chain(&self.seals).chain(trust).cloned().collect()
    }

    /// Copies everything; what is damaged in the repository is left out.
    pub(super) fn copy(
        &self,
        job: &Job<'_>,
        facts: &Facts,
        observer: &dyn Observer,
        problems: &mut Vec<Problem>,
    ) -> Result<(), RepositoryError> {
        observer.tell(Event::Phase("copying ledgers, keys and trust"));
        let found = Mutex::new(Vec::new());
        let copier = Copier { job, facts, observer, found: &found };
        if let Some(hint) = &self.hint {
            copier.put(hint, &copier.read(hint)?)?;
        }
        let chains: Vec<_> = self.ledgers.iter().collect();
        each(&chains, job.threads, observer, |(writer, entries)| {
            entries.iter().try_for_each(|(seq, item)| copier.entry(writer, *seq, item))
        })?;
        let early = trust_of(job)?;
        let (now, later) = copier.tombstones(&self.erasures, early.as_ref())?;
        now.iter().try_for_each(|(item, bytes)| copier.put(item, bytes))?;
        each(&self.keys, job.threads, observer, |item| copier.key(item))?;
        self.copy_trust(&copier, early)?;
        later.iter().try_for_each(|(item, bytes)| copier.put(item, bytes))?;
        problems.extend(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
        Ok(())
    }

    /// Seals and trust so that at every moment the newest seal in the replica was signed by an officer of the newest trust
    /// there: a seal goes as soon as trust knows its signer, and before the trust that may end who signed the one before.
    fn copy_trust(&self, copier: &Copier<'_>, mut trust: Option<Trust>) -> Result<(), RepositoryError> {
        let job = copier.job;
        let mut seals = self.seals.iter().peekable();
        for step in self.trust.iter().map(Some).chain([None]) {
            while let Some(seal) = seals.peek() {
                let bytes = copier.read(seal)?;
                let signer = copier.check_seal(seal, &bytes)?;
                let now = JudgedAt::Moment(job.clock.now());
                let good = |trust: &Trust| {
                    matches!(trust.admit(&signer.0, &signer.1, now), Ok(Principal::Officer(_)))
                };
                // An empty replica cannot be opened before it has trust: its seals go first. At the end all go.
                if step.is_some() && trust.as_ref().is_some_and(|trust| !good(trust)) {
                    break;
                }
                copier.put(seal, &bytes)?;
                seals.next();
            }
            if let Some((_, item)) = step {
                let bytes = copier.read(item)?;
                let next = Trust::check(&item.name, &bytes, trust.as_ref(), job.pins)?;
                copier.put(item, &bytes)?;
                trust = Some(next);
            }
        }
        Ok(())
    }
}

/// The replica's own trust; nothing where it has none yet, and so cannot be opened.
fn trust_of(job: &Job<'_>) -> Result<Option<Trust>, RepositoryError> {
    let listed = job.replica.list("trust/").map_err(|error| RepositoryError::store("trust/", error))?;
    match listed.is_empty() {
        true => Ok(None),
        false => Trust::load(job.replica.as_ref(), job.pins).map(Some),
    }
}

/// Objects with their bytes.
type Read<'i> = Vec<(&'i Item, Vec<u8>)>;

/// Copies one object after the other, once it is known to be good.
struct Copier<'c> {
    job: &'c Job<'c>,
    facts: &'c Facts,
    observer: &'c dyn Observer,
    found: &'c Mutex<Vec<Problem>>,
}

impl Copier<'_> {
    fn read(&self, item: &Item) -> Result<Vec<u8>, RepositoryError> {
        let read = self.job.source.store().read(&item.name, RECORD_MAX);
        read.map_err(|error| RepositoryError::store(item.name.as_str(), error))
    }

    fn put(&self, item: &Item, bytes: &[u8]) -> Result<(), RepositoryError> {
        put_same(self.job, &item.name, bytes)?;
        self.observer.tell(Event::Progress { items: 1, bytes: Bytes::of(bytes) });
        Ok(())
    }

    /// Copies what `check` finds good; what is damaged is noted.
    fn copy(
        &self,
        item: &Item,
        check: impl FnOnce(&[u8]) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let good = self.read(item).and_then(|bytes| check(&bytes).map(|()| bytes));
        match good {
            Ok(bytes) => self.put(item, &bytes),
            Err(error) if error.is_damage() => {
                self.note(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Tombstones that the replica's trust can judge already, which go before any key; and those of officers whom it does
    /// not know yet, which go after trust: nobody could open the replica until then.
    fn tombstones<'i>(
        &self,
        items: &'i [Item],
        trust: Option<&Trust>,
    ) -> Result<(Read<'i>, Read<'i>), RepositoryError> {
        let mut all = Vec::new();
        for item in items {
            let bytes = self.read(item)?;
            let source = self.job.source;
            let signed = source.check_signed(&item.name, bytes.clone(), &[Kind::Erasure], JudgedAt::Any)?;
            let body: ErasureBody = format::decode(&signed.body, "tombstone")
                .map_err(|error| RepositoryError::format(item.name.as_str(), &error))?;
            let namespace = crate::crypto::sign::namespace(Kind::Erasure, &source.id(), &item.name);
            let at = JudgedAt::Moment(body.time);
            let known = trust.is_none_or(|trust| trust.admit(&signed.key, &namespace, at).is_ok());
            all.push((known, item, bytes));
        }
        let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(known, ..)| *known);
        let read = |all: Vec<(bool, &'i Item, Vec<u8>)>| {
            all.into_iter().map(|(_, item, bytes)| (item, bytes)).collect::<Read<'i>>()
        };
        Ok((read(now), read(later)))
    }

    /// Copies a key object or a card, unless officers erased it meanwhile: then a grave stands here or there.
    fn key(&self, item: &Item) -> Result<(), RepositoryError> {
        let copied = self
            .read(item)
            .and_then(|bytes| self.check_key(item, &bytes).map(|()| bytes))
            .and_then(|bytes| self.put(item, &bytes));
        match copied {
            Err(error) if error.is_damage() => {
                let erasures = Erasures::load(self.job.source)?;
                if !matches!(place(&item.name), Some(Place::Key(_, _, key) | Place::Card(_, key)) if erasures.key(key))
                {
                    self.note(&error);
                }
                Ok(())
            }
            copied => copied,
        }
    }

    fn note(&self, error: &RepositoryError) {
        self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Problem::of(error));
    }

    fn entry(&self, writer: &Label, seq: Seq, item: &Item) -> Result<(), RepositoryError> {
        self.copy(item, |bytes| ledger::check_entry(self.job.source, writer, seq, bytes.to_vec()).map(drop))
    }

    /// A key is its writer's, named by a ledger, or an officer's of today who sealed it anew. A card is its writer's.
    fn check_key(&self, item: &Item, bytes: &[u8]) -> Result<(), RepositoryError> {
        let (source, name) = (self.job.source, &item.name);
        let (kind, owner) = match place(name) {
            Some(Place::Key(_, owner, _)) => (Kind::Key, owner),
            Some(Place::Card(owner, _)) => (Kind::Card, owner),
            _ => return Err(RepositoryError::damaged(name.as_str(), "no key has such a name")),
        };
        let signed = source.check_signed(name, bytes.to_vec(), &[kind], JudgedAt::Any)?;
        let damaged = |why: &str| Err(RepositoryError::damaged(name.as_str(), why));
        let moment = match (&signed.principal, self.facts.recorded.get(name)) {
            (signer, Some(record)) if signer.is_writer(&owner) && record.hash == signed.hash => record.moment,
            (signer, Some(_)) if signer.is_writer(&owner) => {
                return damaged("it is not the one that its writer's ledger names");
            }
            (signer, None) if signer.is_writer(&owner) => {
                return damaged("no ledger names it yet; the writer's next run records it");
            }
            (Principal::Officer(_), _) if kind == Kind::Key => self.job.clock.now(),
            _ => return damaged("somebody signed it who must not"),
        };
        source.judge(&signed.key, kind, name, JudgedAt::Moment(moment)).map(drop)
    }

    /// Who signed a seal, and for what.
    fn check_seal(
        &self,
        item: &Item,
        bytes: &[u8],
    ) -> Result<(crate::crypto::sign::VerifyingKey, String), RepositoryError> {
        let signed =
            self.job.source.check_signed(&item.name, bytes.to_vec(), &[Kind::Seal], JudgedAt::Any)?;
        match signed.principal {
            Principal::Officer(_) => {
                let namespace = crate::crypto::sign::namespace(Kind::Seal, &self.job.source.id(), &item.name);
                Ok((signed.key, namespace))
            }
            _ => Err(RepositoryError::damaged(item.name.as_str(), "no officer signed it")),
        }
    }
}

/// Creates an object in the replica. Where another replication put it meanwhile, it must be the same.
pub(super) fn put_same(job: &Job<'_>, name: &ObjectName, bytes: &[u8]) -> Result<(), RepositoryError> {
    let failed = |error| RepositoryError::store(name.as_str(), error);
    if job.replica.create(name, bytes).map_err(failed)? == Created::New {
        return Ok(());
    }
    let there = job.replica.read(name, Bytes::of(bytes)).map_err(failed)?;
    if there == bytes {
        return Ok(());
    }
    Err(RepositoryError::damaged(
        name.as_str(),
        "something else stands under this name in the replica; see `lifeboat verify --replica`, and take it away there",
    ))
}

/// As a ledger names it.
pub(super) fn hash_of(bytes: &[u8]) -> ObjectHash {
    ObjectHash::from_bytes(sha256(bytes))
}
