//! Signing what is to be stored: nothing is signed that no reader would take. FORMAT.md §13.

use crate::crypto::sign::{self, Kind, SigningKey};
use crate::format::{CATALOGED_STORED_MAX, RECORD_MAX};
use crate::ids::{ObjectName, RepositoryId};
use crate::repository::RepositoryError;
use crate::units::Bytes;

/// The whole object: a signature block, and the body.
///
/// # Errors
/// It would be longer than readers take, or the machine failed.
pub(crate) fn sign_object(
    signing: &SigningKey,
    kind: Kind,
    repository: &RepositoryId,
    name: &ObjectName,
    body: &[u8],
) -> Result<Vec<u8>, RepositoryError> {
    let object = sign::sign_object(signing, kind, repository, name, body)
        .map_err(|error| RepositoryError::machine(name.as_str(), error))?;
    let (length, limit) = (Bytes::of(&object), length_max(kind));
    if length > limit {
        return Err(RepositoryError::refused(
            name.as_str(),
            format!(
                "it would be {length} long, and no reader takes more than {limit}; nothing was put. Give less at once, or \
                 report this"
            ),
        ));
    }
    Ok(object)
}

/// The longest object of a kind that readers take.
const fn length_max(kind: Kind) -> Bytes {
    match kind {
        Kind::Index | Kind::Snapshot | Kind::Replica | Kind::Bundle => CATALOGED_STORED_MAX,
        _ => RECORD_MAX,
    }
}
