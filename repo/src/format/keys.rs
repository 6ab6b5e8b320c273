//! Bodies of seals, key objects and cards, and how identities are named. FORMAT.md §5.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::hash::sha256;
use crate::format::names::Seq;
use crate::format::records::Recorded;
use crate::ids::{IdentityId, KeyId, Label, RepositoryId, RunId, Tenant};
use crate::units::Timestamp;

/// `seals/<seq>/officers`: what recovery needs.
#[derive(Serialize, Deserialize)]
pub struct OfficersSeal {
    /// Format version.
    pub format: u32,
    /// Which sealing this is.
    pub seq: Seq,
    /// The identity that opens key objects.
    pub seal: NamedIdentity,
    /// Since when that seal is in use; absent where it always was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The seal to come, while keys are being sealed to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NamedIdentity>,
    /// Condemned seals below which keys may still be, or of which bundles may still hold keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<OlderSeal>,
    /// The identities that open index, snapshots and pack tables; the last is the one in use.
    pub catalogs: Vec<NamedIdentity>,
    /// Who can open this object: kept here so that it can be wrapped anew.
    pub recovery: Vec<NamedRecipient<String>>,
    /// The card recipients of enrolled writers, likewise.
    pub writers: Vec<NamedRecipient<Label>>,
}

/// `seals/<seq>/writers`: what an agent needs.
#[derive(Serialize, Deserialize)]
pub struct WritersSeal {
    /// Format version.
    pub format: u32,
    /// Which sealing this is.
    pub seq: Seq,
    /// The recipient of key objects.
    pub seal: SealRecipient,
    /// As in [`OfficersSeal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// As in [`OfficersSeal`].
    pub catalogs: Vec<NamedIdentity>,
}

/// An age identity with its id.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct NamedIdentity {
    /// Derived from the recipient.
    #[zeroize(skip)]
    pub id: IdentityId,
    /// `AGE-SECRET-KEY-1…`
    pub identity: String,
}

impl NamedIdentity {
    /// Another copy. Not `Clone`: copies of secrets should be seen where they are made.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { id: self.id, identity: self.identity.clone() }
    }
}

/// A condemned seal.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct OlderSeal {
    /// Derived from the recipient.
    #[zeroize(skip)]
    pub id: IdentityId,
    /// `AGE-SECRET-KEY-1…`
    pub identity: String,
    /// The number of the seals that condemned it: runs that did not see them may still put keys below it.
    #[zeroize(skip)]
    pub plan: Seq,
    /// When, by the store's clock, the last key below it was destroyed. Bundles put before then may hold some.
    #[zeroize(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emptied: Option<Timestamp>,
}

impl OlderSeal {
    /// Another copy. Not `Clone`: copies of secrets should be seen where they are made.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { id: self.id, identity: self.identity.clone(), plan: self.plan, emptied: self.emptied }
    }
}

/// The seal's recipient with its id.
#[derive(Clone, Serialize, Deserialize)]
pub struct SealRecipient {
    /// Derived from the recipient.
    pub id: IdentityId,
    /// `age1…`
    pub recipient: String,
}

/// A recipient and whose it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct NamedRecipient<N> {
    /// The officer or writer.
    pub name: N,
    /// `age1…`
    pub recipient: String,
}

/// `keys/…`: a tenant key whole. Only a seal identity opens it.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct KeyBody {
    /// Format version.
    pub format: u32,
    /// Its id.
    #[zeroize(skip)]
    pub key: KeyId,
    /// Who made it.
    #[zeroize(skip)]
    pub writer: Label,
    /// For whom.
    #[zeroize(skip)]
    pub tenant: Tenant,
    /// When.
    #[zeroize(skip)]
    pub created: Timestamp,
    /// Names chunks: 64 hex digits.
    pub k_id: String,
    /// Places cuts: 64 hex digits.
    pub k_chunk: String,
    /// Opens the tenant's segments: `AGE-SECRET-KEY-1…`
    pub identity: String,
}

/// `cards/…`: what the writer keeps of a tenant key.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct CardBody {
    /// Format version.
    pub format: u32,
    /// Its id.
    #[zeroize(skip)]
    pub key: KeyId,
    /// Who made it.
    #[zeroize(skip)]
    pub writer: Label,
    /// For whom.
    #[zeroize(skip)]
    pub tenant: Tenant,
    /// When.
    #[zeroize(skip)]
    pub created: Timestamp,
    /// Names chunks: 64 hex digits.
    pub k_id: String,
    /// Places cuts: 64 hex digits.
    pub k_chunk: String,
    /// Seals the tenant's segments: `age1…`. A secret: what is stored must give nothing to invert.
    pub recipient: String,
    /// The run that made it.
    #[zeroize(skip)]
    pub run: RunId,
    /// The key object that was stored with it.
    #[zeroize(skip)]
    pub sealed: Recorded,
}

/// The id of the tenant key with this recipient.
#[must_use]
pub fn key_id(repository: &RepositoryId, recipient: &str) -> KeyId {
    KeyId::from_bytes(sha256(format!("lifeboat-key-0:{repository}:{recipient}").as_bytes()))
}

/// The id of the seal with this recipient.
#[must_use]
pub fn seal_id(recipient: &str) -> IdentityId {
    identity_id("seal", recipient)
}

/// The id of the catalog identity with this recipient.
#[must_use]
pub fn catalog_id(recipient: &str) -> IdentityId {
    identity_id("catalog", recipient)
}

fn identity_id(kind: &str, recipient: &str) -> IdentityId {
    let hash = sha256(format!("lifeboat-{kind}-0:{recipient}").as_bytes());
    let mut id = [0; 8];
    for (to, from) in id.iter_mut().zip(hash) {
        *to = from;
    }
    IdentityId::from_bytes(id)
}
