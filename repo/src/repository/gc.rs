//! What gc records say: packs and index objects condemned, snapshots expired, segments lost. FORMAT.md §11.

use std::collections::{HashMap, HashSet};

use crate::crypto::sign::Kind;
use crate::format::names::{Place, Seq, place};
use crate::format::records::{Census, GcBody, Locked};
use crate::format::{self, RECORD_MAX};
use crate::ids::{KeyId, Label, ObjectName, PackId, SegmentId};
use crate::repository::erasures::Erasures;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};

/// Everything that gc records condemn and expire.
#[derive(Debug, Clone)]
pub struct Condemned {
    packs: HashSet<PackId>,
    /// With the first record that expires each.
    snapshots: HashMap<ObjectName, ObjectName>,
    keys: HashSet<(ObjectName, KeyId)>,
    locked: Vec<Locked>,
    indexes: HashSet<ObjectName>,
    /// With the first record that gives each up.
    lost: HashMap<SegmentId, ObjectName>,
    /// What officers erased counts as expired wherever it is.
    erasures: Erasures,
    /// The records read.
    pub census: Census,
}

impl Condemned {
    /// Lists and reads every gc record, and every tombstone.
    ///
    /// # Errors
    /// The store failed, or a record is damaged or not a maintainer's: then nothing may be assumed.
    pub fn load(repository: &Repository) -> Result<Self, RepositoryError> {
        Self::read_all(repository, false)
    }

    /// The same for whoever only brings data back. A damaged record is told to `tracing` and passed over: what it expired
    /// is taken for what counts, and what it condemned is read if it is there. One flipped bit must not keep back everything
    /// there is; who writes, deletes or proves anything asks [`Self::load`].
    ///
    /// # Errors
    /// The store failed, or a tombstone is damaged: what officers erased must stay away.
    pub fn load_to_read(repository: &Repository) -> Result<Self, RepositoryError> {
        Self::read_all(repository, true)
    }

    fn read_all(repository: &Repository, pass_over: bool) -> Result<Self, RepositoryError> {
        let listed = repository.store().list("gc/").map_err(|error| RepositoryError::store("gc/", error))?;
        let mut packs = HashSet::new();
        let mut snapshots = HashMap::new();
        let mut keys = HashSet::new();
        let mut locked = Vec::new();
        let mut indexes = HashSet::new();
        let mut lost = HashMap::new();
        let mut records = Vec::new();
        let _ahead = repository.expect(listed.iter().map(|object| object.name.clone()));
        for object in &listed {
            let Some(Place::Gc(seq)) = place(&object.name) else {
                tracing::warn!(object = %object.name, "no gc record has such a name; passed over");
                continue;
            };
            records.push(&object.name);
            let body = match read(repository, &object.name, seq) {
                Err(error) if pass_over && error.is_damage() => {
                    tracing::warn!(%error, "passed over: what it expired is listed; `lifeboat verify` says more");
                    continue;
                }
                read => read?,
            };
            packs.extend(body.packs);
            for name in body.snapshots {
                snapshots.entry(name).or_insert_with(|| object.name.clone());
            }
            keys.extend(body.keys);
            locked.extend(body.locked);
            indexes.extend(body.indexes);
            for segment in body.lost {
                lost.entry(segment).or_insert_with(|| object.name.clone());
            }
        }
        let erasures = Erasures::load(repository)?;
        Ok(Self {
            packs,
            snapshots,
            keys,
            locked,
            indexes,
            lost,
            erasures,
            census: Census::of(records.into_iter()),
        })
    }

    /// Whether a pack is condemned: nothing new may rely on it.
    #[must_use]
    pub fn pack(&self, pack: PackId) -> bool {
        self.packs.contains(&pack)
    }

    /// What was stated about locks that were extended, in the order of the records.
    #[must_use]
    pub fn locked(&self) -> &[Locked] {
        &self.locked
    }

    /// Records that say this of locks, and nothing else.
    #[cfg(test)]
    pub(crate) fn stating(locked: Vec<Locked>) -> Self {
        let (packs, snapshots, keys) = (HashSet::new(), HashMap::new(), HashSet::new());
        Self {
            packs,
            snapshots,
            keys,
            locked,
            indexes: HashSet::new(),
            lost: HashMap::new(),
            erasures: Erasures::default(),
            census: Census::of(std::iter::empty()),
        }
    }

    /// Whether a snapshot counts as expired.
    #[must_use]
    pub fn snapshot(&self, name: &ObjectName) -> bool {
        self.snapshots.contains_key(name)
    }

    /// The record that expires a snapshot.
    #[must_use]
    pub fn expired_by(&self, name: &ObjectName) -> Option<&ObjectName> {
        self.snapshots.get(name)
    }

    /// The record that says that no place had a segment whole any more. It may have been healed since.
    #[must_use]
    pub fn lost(&self, segment: SegmentId) -> Option<&ObjectName> {
        self.lost.get(&segment)
    }

    /// Whether any snapshot of a component ever expired.
    #[must_use]
    pub fn expires_any_of(&self, component: &Label) -> bool {
        let of =
            |name: &ObjectName| matches!(place(name), Some(Place::Snapshot(its, _)) if its == *component);
        self.snapshots.keys().any(of)
    }

    /// Whether an index object is condemned: nothing live was known by it alone, whatever is not condemned is told by another,
    /// and it may be gone or damaged.
    #[must_use]
    pub fn index(&self, name: &ObjectName) -> bool {
        self.indexes.contains(name)
    }

    /// What officers erased.
    #[must_use]
    pub fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// Whether a key in a snapshot counts as expired, or is erased.
    #[must_use]
    pub fn key(&self, name: &ObjectName, key: KeyId) -> bool {
        self.erasures.key(key) || self.keys.contains(&(name.clone(), key))
    }
}

/// Reads one record.
///
/// # Errors
/// It is missing, damaged, or no maintainer's of that number.
pub fn read(repository: &Repository, name: &ObjectName, seq: Seq) -> Result<GcBody, RepositoryError> {
    let signed = repository.read_signed(name, &[Kind::Gc], JudgedAt::Any, RECORD_MAX)?;
    let body: GcBody = format::decode(&signed.body, "gc record")
        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    let signer = repository.judge(&signed.key, Kind::Gc, name, JudgedAt::Moment(body.time))?;
    if body.seq != seq || !matches!(signer, Principal::Maintainer(_)) {
        return Err(RepositoryError::damaged(
            name.as_str(),
            "it is not a maintainer's record of that number and time",
        ));
    }
    Ok(body)
}

/// The number that follows all that are taken.
///
/// # Errors
/// The store failed.
#[cfg(feature = "recover")]
pub(crate) fn next(repository: &Repository) -> Result<Seq, RepositoryError> {
    let listed = repository.store().list("gc/").map_err(|error| RepositoryError::store("gc/", error))?;
    let taken = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Gc(seq)) => Some(seq),
        _ => None,
    });
    Ok(taken.max().map_or(Seq(0), Seq::next))
}

/// All records by name.
///
/// # Errors
/// The store failed.
pub(crate) fn census(repository: &Repository) -> Result<Census, RepositoryError> {
    let listed = repository.store().list("gc/").map_err(|error| RepositoryError::store("gc/", error))?;
    let names = listed.iter().map(|object| &object.name);
    Ok(Census::of(names.filter(|name| matches!(place(name), Some(Place::Gc(_))))))
}
