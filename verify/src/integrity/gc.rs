//! gc records, read as far as they can be: they excuse what is missing.

use std::collections::HashSet;

use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::names::{Place, Seq, place};
use lifeboat_repo::format::records::{Census, GcBody};
use lifeboat_repo::format::{self, RECORD_MAX};
use lifeboat_repo::ids::{ObjectName, PackId};
use lifeboat_repo::repository::{JudgedAt, Principal, Repository, RepositoryError};
use lifeboat_repo::store::Listed;

use crate::damage::Finding;

/// What gc records condemn and expire.
pub(super) struct GcRecords {
    packs: HashSet<PackId>,
    snapshots: HashSet<ObjectName>,
    indexes: HashSet<ObjectName>,
    /// Every record's name and the snapshots it expires, by number.
    records: Vec<(ObjectName, Vec<ObjectName>)>,
    /// Whether every record could be read.
    pub(super) sound: bool,
}

/// Reads every gc record in a listing.
pub(super) fn load(repository: &Repository, listed: &[Listed], findings: &mut Vec<Finding>) -> GcRecords {
    let mut gc = GcRecords {
        packs: HashSet::new(),
        snapshots: HashSet::new(),
        indexes: HashSet::new(),
        records: Vec::new(),
        sound: true,
    };
    for object in listed {
        let Some(Place::Gc(seq)) = place(&object.name) else { continue };
        let expired = match read(repository, &object.name, seq) {
            Ok(body) => {
                gc.packs.extend(body.packs);
                gc.indexes.extend(body.indexes);
                gc.snapshots.extend(body.snapshots.iter().cloned());
                body.snapshots
            }
            Err(error) => {
                findings.push(Finding::of_error(&object.name, &error));
                gc.sound = false;
                Vec::new()
            }
        };
        gc.records.push((object.name.clone(), expired));
    }
    gc
}

fn read(repository: &Repository, name: &ObjectName, seq: Seq) -> Result<GcBody, RepositoryError> {
    let damaged = |why: String| RepositoryError::damaged(name.as_str(), why);
    let signed = repository.read_signed(name, &[Kind::Gc], JudgedAt::Any, RECORD_MAX)?;
    let body: GcBody =
        format::decode(&signed.body, "gc record").map_err(|error| damaged(error.to_string()))?;
    let signer = repository.judge(&signed.key, Kind::Gc, name, JudgedAt::Moment(body.time))?;
    if body.seq == seq && matches!(signer, Principal::Maintainer(_)) {
        Ok(body)
    } else {
        Err(damaged("it is not a maintainer's record of that number and time".into()))
    }
}

impl GcRecords {
    /// Whether an object may be gone: a condemned pack or index object, or an expired snapshot.
    pub(super) fn excuses(&self, name: &ObjectName, place: &Place) -> bool {
        match place {
            Place::Pack(pack) => self.packs.contains(pack),
            Place::Snapshot(..) => self.snapshots.contains(name),
            Place::Index(..) => self.indexes.contains(name),
            _ => false,
        }
    }

    /// The snapshots that are expired by now.
    pub(super) fn expired(&self) -> impl Iterator<Item = &ObjectName> {
        self.snapshots.iter()
    }

    /// The snapshots that were expired when gc records gave this census; nothing if they never did.
    pub(super) fn expired_at(&self, census: &Census) -> Option<HashSet<&ObjectName>> {
        let count = usize::try_from(census.0).ok()?;
        let then = self.records.get(..count)?;
        let matches = Census::of(then.iter().map(|(name, _)| name)) == *census;
        matches.then(|| then.iter().flat_map(|(_, expired)| expired).collect())
    }
}
