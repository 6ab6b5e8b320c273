//! What retention decides on in a repository: snapshots as they are listed become candidates.

use crate::format::snapshot::Status;
use crate::repository::gc::Condemned;
use crate::repository::snapshots::{Listed, Standing};
use crate::retention::{Candidate, Worth};

/// What may expire of what is listed: all but what has expired already, and fences, which stay. Keys that have expired
/// in a snapshot are not in it any more.
#[must_use]
pub fn candidates(listed: &[Listed], condemned: &Condemned) -> Vec<Candidate> {
    let mut found = Vec::new();
    for one in listed {
        let status = one.snapshot.as_ref().map(|snapshot| snapshot.status);
        let worth = match (&one.standing, status) {
            (Standing::Expired | Standing::Fenced, _) => continue,
            (Standing::Counts, Some(Status::Complete)) => Worth::Complete,
            (Standing::Counts, _) => Worth::Partial,
            (Standing::Unrecorded, _) => Worth::Unrecorded,
            (Standing::Void(why), _) => Worth::Nothing(why.clone()),
        };
        let shares = one.snapshot.iter().flat_map(|snapshot| &snapshot.keys);
        let keys = shares.map(|share| share.key).filter(|key| !condemned.key(&one.name, *key));
        found.push(Candidate {
            name: one.name.clone(),
            run: one.run,
            moment: one.snapshot.as_ref().map_or(one.run.moment(), |snapshot| snapshot.recovery_point),
            worth,
            keys: keys.collect(),
        });
    }
    found
}
