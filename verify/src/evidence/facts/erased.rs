//! What an erasure was: who signed it, what was destroyed where, and whether anything that is left opens it.
//!
//! The tenant is named nowhere: keys by their ids, the tenant by a token that only a writer and the officers can make.

use lifeboat_repo::ids::{KeyId, Label, ObjectHash, ObjectName, TenantToken};
use serde::{Deserialize, Serialize};

use super::numbers::{Moment, Seconds};
use super::repositories::Role;

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureFact {
    /// The region in whose repository the tombstone lies.
    pub region: Label,
    /// The tombstone.
    pub tombstone: TombstoneFact,
    /// The tenant's token with each writer.
    pub tenant_tokens: Vec<TenantToken>,
    /// When the first officer signed it: what was promised counts from here.
    pub requested: Moment,
    /// Since when every verb refuses it; nothing where too few officers have signed.
    pub effective: Option<Moment>,
    /// What this run destroyed, place by place; none where it only looked.
    pub destroyed_in: Vec<DestroyedFact>,
    /// When the last key was destroyed; nothing where that is still to come, or is not known.
    pub destroyed: Option<Moment>,
    /// When the last bundle that holds a key has expired.
    pub irreversible: Option<Moment>,
    /// What was promised, from the request on: 30 days.
    pub promised: Seconds,
    /// Whether anything that is left opens it; nothing where that was not tried.
    pub proof: Option<ProofFact>,
}

/// A tombstone, and who signed it. Its bytes lie beside the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TombstoneFact {
    /// Its number.
    pub number: u32,
    /// The keys that it names.
    pub keys: Vec<ErasedKey>,
    /// Who signed it.
    pub signed: Vec<SignedFact>,
    /// How many more have to.
    pub wanted: u64,
}

/// An erased key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasedKey {
    /// The writer whose key it was.
    pub writer: Label,
    /// The key.
    pub key: KeyId,
}

/// An officer's signature on a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFact {
    /// Who.
    pub officer: Label,
    /// The object: `erasures/00000000/alice`.
    pub entry: ObjectName,
    /// SHA-256 of it as it is stored.
    pub sha256: ObjectHash,
}

/// What was destroyed in one place that holds keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestroyedFact {
    /// The repository, or its replica.
    pub place: Role,
    /// Key objects and cards that were there and are not any more.
    pub objects: u64,
    /// Versions of them, in a store that keeps versions; else one of each.
    pub versions: u64,
    /// Graves that stand: nothing late comes back to these names.
    pub graves: u64,
}

/// Whether anything that is left outside bundles opens what was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFact {
    /// When it was tried.
    pub at: Moment,
    /// Identities that were tried: those given, and whatever they open.
    pub identities: u64,
    /// Objects below `seals/`, `keys/` and `cards/` that were looked into.
    pub objects: u64,
    /// Segments of the erased keys that were tried with every identity.
    pub segments: u64,
    /// What does, or is where nothing may be. None, if it holds.
    pub found: Vec<String>,
}

impl ErasureFact {
    /// How long after it was asked for the last bundle that holds a key is gone.
    #[must_use]
    pub fn horizon(&self) -> Option<Seconds> {
        self.irreversible.map(|gone| Seconds::new(gone.since(self.requested)))
    }
}
