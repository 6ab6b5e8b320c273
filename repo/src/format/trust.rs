//! The header of a trust file. FORMAT.md §4.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::names::Seq;
use crate::format::records::Head;
use crate::format::{self, FormatError};
use crate::ids::{Label, ObjectHash, RepositoryId};
use crate::units::Timestamp;

/// The authoritative header of a repository: the first line of its newest trust file, a comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustHeader {
    /// Always `trust`.
    pub lifeboat: String,
    /// Format version.
    pub format: u32,
    /// Which repository.
    pub repository: RepositoryId,
    /// The region it belongs to.
    pub region: Label,
    /// That region's jurisdiction, such as `EU`.
    pub jurisdiction: String,
    /// Its number.
    pub seq: Seq,
    /// The hash of the trust before.
    pub previous: Option<ObjectHash>,
    /// When it was signed.
    pub created: Timestamp,
    /// How many officers must sign an erasure.
    pub quorum: u32,
    /// Ledgers of revoked writers count up to here; `null` where nothing of one counts.
    #[serde(default)]
    pub cutoffs: BTreeMap<Label, Option<Head>>,
    /// Seals below this number were destroyed, or are about to be: they may be missing, and count for nothing.
    #[serde(default, skip_serializing_if = "is_first")]
    pub seals_from: Seq,
    /// Of officers who were removed, the tombstones that count: numbers and hashes. No other of theirs does, whatever
    /// time it says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tombstones: BTreeMap<Label, Vec<Head>>,
}

impl TrustHeader {
    /// Reads the header from the text of the first comment, without its `#`.
    ///
    /// # Errors
    /// It is not one.
    pub fn decode(comment: &str) -> Result<Self, FormatError> {
        let header: Self = format::decode(comment.trim().as_bytes(), "trust header")?;
        if header.lifeboat == "trust" {
            Ok(header)
        } else {
            Err(FormatError::rule("trust header", "it does not say `\"lifeboat\":\"trust\"`"))
        }
    }
}

/// By reference, since serde asks so.
fn is_first(seq: &Seq) -> bool {
    *seq == Seq::default()
}
