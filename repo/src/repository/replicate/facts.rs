//! What there is in a repository and in its replica.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Job, Problem};
use crate::format::names::{Place, place};
use crate::format::records::Recorded;
use crate::ids::{KeyId, Label, ObjectHash, ObjectName, PackId, RunId, SegmentId, SegmentPrefix};
use crate::repository::catalog::Catalog;
use crate::repository::erasures::Erasures;
use crate::repository::gc::Condemned;
use crate::repository::replicas::Replicated;
use crate::repository::snapshots::{Judge, Standing};
use crate::repository::{Repository, RepositoryError, ledger};
use crate::units::{Bytes, Timestamp};

/// What there is in both stores, read in an order in which whatever a snapshot needs is seen.
pub(super) struct Facts {
    /// Every object of the repository.
    pub(super) source: BTreeMap<ObjectName, Bytes>,
    /// Every object of the replica.
    pub(super) replica: BTreeMap<ObjectName, Bytes>,
    /// The packs of both.
    pub(super) packs: Packs,
    /// What gc records of the replica say.
    pub(super) condemned: Condemned,
    /// What officers erased, by the repository.
    pub(super) erasures: Erasures,
    /// What ledgers of writers name, but for packs and snapshots.
    pub(super) recorded: HashMap<ObjectName, Record>,
    /// Snapshots that count in the repository and that nobody expired in the replica.
    pub(super) snapshots: Vec<Wanted>,
}

/// An object as its maker's ledger says it.
pub(super) struct Record {
    pub(super) hash: ObjectHash,
    /// The time of the run that names it, at which keys and cards are judged.
    pub(super) moment: Timestamp,
}

/// The packs of repository and replica.
#[derive(Clone, Default)]
pub(super) struct Packs {
    pub(super) source: HashMap<PackId, Bytes>,
    pub(super) replica: HashMap<PackId, Bytes>,
    /// What gc records of the replica say; nothing before they are read.
    pub(super) condemned: Option<Condemned>,
    /// Found damaged in the repository, or standing in the replica in another length.
    pub(super) spoilt: HashSet<PackId>,
    /// Segments that were whole nowhere.
    pub(super) given_up: HashSet<SegmentId>,
}

/// A snapshot that the replica should have.
pub(super) struct Wanted {
    pub(super) stored: Recorded,
    pub(super) writer: Label,
    pub(super) run: RunId,
    /// Whether a replication committed it already.
    pub(super) committed: bool,
    pub(super) shares: Vec<(KeyId, Vec<SegmentPrefix>)>,
}

impl Packs {
    /// Whether a pack is whole in the repository, as far as lengths tell.
    pub(super) fn at_source(&self, pack: PackId, whole: Bytes) -> bool {
        self.source.get(&pack) == Some(&whole)
    }

    /// Whether a pack of the replica may be relied on.
    pub(super) fn usable(&self, pack: PackId, whole: Bytes) -> bool {
        self.replica.get(&pack) == Some(&whole) && !self.is_condemned(pack)
    }

    /// Whether a pack may be put into the replica under its name: nothing is there, and nothing condemned it.
    pub(super) fn may_be_put(&self, pack: PackId) -> bool {
        !self.replica.contains_key(&pack) && !self.is_condemned(pack) && !self.spoilt.contains(&pack)
    }

    fn is_condemned(&self, pack: PackId) -> bool {
        self.condemned.as_ref().is_some_and(|condemned| condemned.pack(pack))
    }
}

impl Facts {
    pub(super) fn load(
        job: &Job<'_>,
        replica: &Repository,
        catalog: &Catalog,
        problems: &mut Vec<Problem>,
    ) -> Result<Self, RepositoryError> {
        let judge = Judge::new(job.source, catalog)?;
        let listed = judge.list(None)?;
        // After what counts was told: whatever that needs is in the listing.
        let source = list(job.source)?;
        // After the keys were listed: whoever erases puts a tombstone first and looks for keys second.
        let erasures = Erasures::load(job.source)?;
        let recorded = recorded(job.source, &source, problems)?;
        let condemned = Condemned::load(replica)?;
        let committed = Replicated::load(replica, catalog)?;
        problems.extend(committed.unreadable().iter().map(Problem::of));
        let there = list(replica)?;
        let packs = |all: &BTreeMap<ObjectName, Bytes>| -> HashMap<PackId, Bytes> {
            let pack = |(name, length): (&ObjectName, &Bytes)| match place(name) {
                Some(Place::Pack(pack)) => Some((pack, *length)),
                _ => None,
            };
            all.iter().filter_map(pack).collect()
        };
        let packs = Packs {
            condemned: Some(condemned.clone()),
            source: packs(&source),
            replica: packs(&there),
            ..Packs::default()
        };
        let mut snapshots = Vec::new();
        for one in listed {
            let (Some(snapshot), Some(hash)) = (one.snapshot, one.hash) else { continue };
            if one.standing != Standing::Counts || condemned.snapshot(&one.name) {
                continue;
            }
            let gone = |key| judge.condemned().key(&one.name, key) || condemned.key(&one.name, key);
            let shares = snapshot.keys.into_iter().filter(|share| !gone(share.key));
            snapshots.push(Wanted {
                committed: committed.names(&one.name, hash),
                writer: snapshot.writer,
                run: one.run,
                shares: shares.map(|share| (share.key, share.segments)).collect(),
                stored: Recorded(one.name, hash, one.length),
            });
        }
        Ok(Self { source, replica: there, packs, condemned, erasures, recorded, snapshots })
    }

    /// Whether a key is erased, here or there: its key objects and its card are never copied.
    pub(super) fn is_erased(&self, key: KeyId) -> bool {
        self.erasures.key(key) || self.condemned.erasures().key(key)
    }
}

fn list(repository: &Repository) -> Result<BTreeMap<ObjectName, Bytes>, RepositoryError> {
    let what = repository.store().location();
    let listed = repository.store().list("").map_err(|error| RepositoryError::store(&what, error))?;
    Ok(listed.into_iter().map(|object| (object.name, object.length)).collect())
}

/// What ledgers of writers name. A damaged entry is told of where it is copied.
fn recorded(
    source: &Repository,
    names: &BTreeMap<ObjectName, Bytes>,
    problems: &mut Vec<Problem>,
) -> Result<HashMap<ObjectName, Record>, RepositoryError> {
    let mut recorded = HashMap::new();
    for name in names.keys() {
        let Some(Place::Ledger(writer, seq)) = place(name) else { continue };
        if !super::base::is_copied(source, &writer, seq) {
            continue;
        }
        let entry = match ledger::read_entry(source, &writer, seq) {
            Ok(entry) => entry,
            Err(error) if error.is_damage() => {
                problems.push(Problem::of(&error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let moment = entry.body.run.moment();
        for Recorded(name, hash, _) in entry.body.objects {
            let of_writer = match place(&name) {
                Some(
                    Place::Key(_, owner, _)
                    | Place::Card(owner, _)
                    | Place::Index(owner, ..)
                    | Place::Run(owner, _),
                ) => owner == writer,
                _ => false,
            };
            if of_writer {
                recorded.entry(name).or_insert(Record { hash, moment });
            }
        }
    }
    Ok(recorded)
}
