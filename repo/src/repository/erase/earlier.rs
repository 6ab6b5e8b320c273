//! Trust as it was when it was younger: what a place knows whose trust is behind.

use crate::crypto::hash::sha256;
use crate::crypto::sign;
use crate::crypto::signers::AllowedSigners;
use crate::format::RECORD_MAX;
use crate::format::names::{self, Seq};
use crate::format::records::Head;
use crate::format::trust::TrustHeader;
use crate::ids::ObjectHash;
use crate::repository::RepositoryError;
use crate::repository::trust::Trust;
use crate::store::Store;

/// What was the newest trust when this number was. It needs no pins, since each names the hash of the one before.
///
/// # Errors
/// The store failed, or has another one under a name.
pub(super) fn earlier(newest: &Trust, store: &dyn Store, seq: Seq) -> Result<Trust, RepositoryError> {
    let mut trust = newest.clone();
    while trust.head.0 > seq {
        let before = Seq(trust.head.0.0.saturating_sub(1));
        let name = names::trust(before)?;
        let damaged = |why: String| RepositoryError::damaged(name.as_str(), why);
        let bytes =
            store.read(&name, RECORD_MAX).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let head = Head(before, ObjectHash::from_bytes(sha256(&bytes)));
        if trust.header.previous != Some(head.1) {
            return Err(damaged("it is not the one that the next trust names".into()));
        }
        let (_, body) = sign::split_object(&bytes).map_err(|error| damaged(error.to_string()))?;
        let text = std::str::from_utf8(body).map_err(|_| damaged("it is not text".into()))?;
        let signers = AllowedSigners::parse(text).map_err(|error| damaged(error.to_string()))?;
        let comment = signers.first_comment().ok_or_else(|| damaged("its first line is no header".into()))?;
        let header =
            TrustHeader::decode(comment).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        trust = Trust { header, signers, head };
    }
    Ok(trust)
}
