//! What replications committed to a replica: the snapshots that count there. FORMAT.md §14.

use std::collections::{BTreeMap, HashSet};

use crate::crypto::sign::Kind;
use crate::format::names::{Place, place};
use crate::format::records::{FenceBody, ReplicaBody};
use crate::format::{self, CATALOGED_STORED_MAX};
use crate::ids::{ObjectHash, ObjectName, RunId};
use crate::repository::catalog::Catalog;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};
use crate::units::Timestamp;

/// Everything that replications committed.
#[derive(Debug, Default)]
pub struct Replicated {
    snapshots: HashSet<(ObjectName, ObjectHash)>,
    /// When each run committed, by its id.
    commits: BTreeMap<RunId, Timestamp>,
    unreadable: Vec<RepositoryError>,
}

impl Replicated {
    /// Lists and reads every commit. One that is damaged commits nothing and is told by [`Self::unreadable`]: it must not
    /// keep back what the others committed.
    ///
    /// # Errors
    /// The store failed.
    pub fn load(repository: &Repository, catalog: &Catalog) -> Result<Self, RepositoryError> {
        let listed = repository
            .store()
            .list("replicas/")
            .map_err(|error| RepositoryError::store("replicas/", error))?;
        let mut all = Self::default();
        let _ahead = repository.expect(listed.iter().map(|object| object.name.clone()));
        for object in listed {
            let Some(Place::Replica(run)) = place(&object.name) else {
                tracing::warn!(object = %object.name, "no replication has such a name; passed over");
                continue;
            };
            match read(repository, catalog, &object.name, run) {
                Ok(Some(body)) => {
                    all.commits.insert(run, body.time);
                    all.snapshots.extend(body.snapshots.into_iter().map(|one| (one.0, one.1)));
                }
                Ok(None) => {}
                Err(error) if error.is_damage() => all.unreadable.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Whether a replication committed this snapshot.
    #[must_use]
    pub fn names(&self, snapshot: &ObjectName, hash: ObjectHash) -> bool {
        self.snapshots.contains(&(snapshot.clone(), hash))
    }

    /// When the newest replication committed.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.commits.values().max().copied()
    }

    /// Why commits were left out: they are damaged.
    #[must_use]
    pub fn unreadable(&self) -> &[RepositoryError] {
        &self.unreadable
    }
}

/// What one run committed; nothing where a collector ended it.
fn read(
    repository: &Repository,
    catalog: &Catalog,
    name: &ObjectName,
    run: RunId,
) -> Result<Option<ReplicaBody>, RepositoryError> {
    let kinds = [Kind::Replica, Kind::Fence];
    let signed = repository.read_signed(name, &kinds, JudgedAt::Any, CATALOGED_STORED_MAX)?;
    let malformed = |error: &format::FormatError| RepositoryError::format(name.as_str(), error);
    if signed.kind == Kind::Fence {
        let fence: FenceBody = format::decode(&signed.body, "fence").map_err(|error| malformed(&error))?;
        let signer = repository.judge(&signed.key, Kind::Fence, name, JudgedAt::Moment(fence.time))?;
        return match signer {
            Principal::Maintainer(_) if fence.fence == run => Ok(None),
            _ => Err(RepositoryError::damaged(
                name.as_str(),
                "a fence that is not a maintainer's for this run",
            )),
        };
    }
    let signer = repository.judge(&signed.key, Kind::Replica, name, JudgedAt::Moment(run.moment()))?;
    let plain = catalog.open(&signed.body, name.as_str())?;
    let body: ReplicaBody = format::decode(&plain, "replication").map_err(|error| malformed(&error))?;
    if body.run != run || !signer.is_writer(&body.writer) {
        return Err(RepositoryError::damaged(
            name.as_str(),
            "it speaks of another run or writer than its name",
        ));
    }
    Ok(Some(body))
}
