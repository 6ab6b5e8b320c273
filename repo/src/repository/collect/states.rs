//! What hosts without a disk left in the repository and nobody needs any more. FORMAT.md §16.
//!
//! It is a cache: whoever was just fetching what goes reads all files anew. So nothing is condemned before and nothing
//! waited for.

use crate::ids::ObjectName;
use crate::repository::{Repository, RepositoryError, state};
use crate::units::Bytes;

/// A part of a state that a newer one took the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldState {
    /// Its object name.
    pub name: ObjectName,
    /// How long it is.
    pub length: Bytes,
}

/// Lists what is older than the newest whole state of its component.
pub(super) fn list(repository: &Repository) -> Result<Vec<OldState>, RepositoryError> {
    let listed =
        repository.store().list("state/").map_err(|error| RepositoryError::store("state/", error))?;
    let lengths = listed.iter().map(|object| (&object.name, object.length));
    let lengths: std::collections::BTreeMap<_, _> = lengths.collect();
    let old = state::superseded(&listed);
    Ok(old
        .into_iter()
        .filter_map(|name| lengths.get(&name).map(|length| OldState { length: *length, name: name.clone() }))
        .collect())
}
