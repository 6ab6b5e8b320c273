//! What officers erased: tenant keys that count for nothing any more, and tenants whose data is taken no more until they
//! are readmitted. FORMAT.md §17.
//!
//! Tombstones are in clear and name nobody: keys by their ids, tenants by a token that only a writer and the officers can
//! make. Everybody reads them, an agent too.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::crypto::envelope::Recipient;
use crate::crypto::hash::keyed_text;
use crate::crypto::sign::Kind;
use crate::format::names::{Place, Seq, place};
use crate::format::records::ErasureBody;
#[cfg(feature = "recover")]
use crate::format::records::Head;
use crate::format::{self, RECORD_MAX};
use crate::ids::{KeyId, Label, ObjectHash, ObjectName, RepositoryId, Tenant, TenantToken};
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};
use crate::units::Bytes;

/// What stands at the name of a destroyed key object or card, so that nothing late comes back. Not signed: what a tombstone
/// names counts for nothing, whatever lies there.
pub const GRAVE: &[u8] = b"lifeboat-grave 0\n";

/// Every tombstone that enough officers signed.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    keys: HashSet<KeyId>,
    /// The newest word on a tenant of a writer: whether it is erased.
    tenants: HashMap<(Label, TenantToken), bool>,
    /// In order of their numbers.
    acts: Vec<Act>,
    /// Tombstones that count for nothing: their officers were removed, and trust names them not.
    void: Vec<ObjectName>,
}

/// A tombstone and who signed it.
#[derive(Clone, Debug)]
pub struct Act {
    /// What they signed.
    pub body: ErasureBody,
    /// They, and the hashes of what they put.
    pub officers: BTreeMap<Label, ObjectHash>,
    /// Whether they are enough.
    pub effective: bool,
}

impl Erasures {
    /// Lists and reads every tombstone.
    ///
    /// # Errors
    /// The store failed, or one is damaged or not signed by the officer that its name says: then nothing may be assumed.
    pub fn load(repository: &Repository) -> Result<Self, RepositoryError> {
        let listed = repository
            .store()
            .list("erasures/")
            .map_err(|error| RepositoryError::store("erasures/", error))?;
        let mut erasures = Self::default();
        let mut acts: BTreeMap<(Seq, Vec<u8>), Act> = BTreeMap::new();
        let _ahead = repository.expect(listed.iter().map(|object| object.name.clone()));
        for object in &listed {
            let Some(Place::Erasure(seq, officer)) = place(&object.name) else {
                tracing::warn!(object = %object.name, "no tombstone has such a name; passed over");
                continue;
            };
            let counting = repository.trust().tombstones(&officer);
            let known = counting.map(|known| known.iter().find(|head| head.0 == seq).map(|head| head.1));
            if known == Some(None) {
                tracing::warn!(object = %object.name, "its officer was removed before it; passed over");
                erasures.void.push(object.name.clone());
                continue;
            }
            let (text, body, hash) = read(repository, &object.name, seq, &officer, known.flatten())?;
            acts.entry((seq, text))
                .or_insert_with(|| Act { body, officers: BTreeMap::new(), effective: false })
                .officers
                .insert(officer, hash);
        }
        let quorum = (repository.trust().header.quorum as usize).max(1);
        for mut act in acts.into_values() {
            act.effective = act.officers.len() >= quorum;
            if act.effective {
                erasures.keys.extend(act.body.keys.iter().map(|(_, key)| *key));
                let tokens = act.body.tenants.iter().map(|(writer, token)| (writer.clone(), *token));
                erasures.tenants.extend(tokens.map(|tenant| (tenant, !act.body.readmit)));
            }
            erasures.acts.push(act);
        }
        Ok(erasures)
    }

    /// Whether a tenant key is erased: for ever, whatever lies at its names.
    #[must_use]
    pub fn key(&self, key: KeyId) -> bool {
        self.keys.contains(&key)
    }

    /// Every key that is erased.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().copied()
    }

    /// Whether a writer must take no data of a tenant.
    #[must_use]
    pub fn tenant(&self, writer: &Label, token: TenantToken) -> bool {
        self.tenants.get(&(writer.clone(), token)).copied().unwrap_or(false)
    }

    /// Tombstones that count for nothing: put in the name of an officer who was removed, and not known to trust.
    #[must_use]
    pub fn void(&self) -> &[ObjectName] {
        &self.void
    }

    /// The effective tombstones that an officer signed: numbers and hashes.
    #[cfg(feature = "recover")]
    pub(crate) fn signed_by(&self, officer: &Label) -> Vec<Head> {
        let effective = self.acts.iter().filter(|act| act.effective);
        effective.filter_map(|act| act.officers.get(officer).map(|hash| Head(act.body.seq, *hash))).collect()
    }

    /// Every tombstone, in order of their numbers.
    #[must_use]
    pub fn acts(&self) -> &[Act] {
        &self.acts
    }
}

fn read(
    repository: &Repository,
    name: &ObjectName,
    seq: Seq,
    officer: &Label,
    known: Option<ObjectHash>,
) -> Result<(Vec<u8>, ErasureBody, ObjectHash), RepositoryError> {
    let signed = repository.read_signed(name, &[Kind::Erasure], JudgedAt::Any, RECORD_MAX)?;
    let body: ErasureBody = format::decode(&signed.body, "tombstone")
        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    // One that trust names was judged by whoever removed its officer.
    let at = known.map_or(JudgedAt::Moment(body.time), |_| JudgedAt::Any);
    let signer = repository.judge(&signed.key, Kind::Erasure, name, at)?;
    if known.is_some_and(|known| known != signed.hash) {
        return Err(RepositoryError::damaged(name.as_str(), "it is not the tombstone that trust names"));
    }
    if body.seq != seq || signer != Principal::Officer(officer.clone()) {
        return Err(RepositoryError::damaged(
            name.as_str(),
            "it is not a tombstone of that number by that officer",
        ));
    }
    Ok((signed.body, body, signed.hash))
}

/// What stands for a tenant of a writer in a tombstone. Made with the writer's card recipient, which is stored nowhere in
/// clear: whoever has neither the writer's host nor a recovery identity cannot try names.
#[must_use]
pub fn tenant_token(repository: &RepositoryId, card: &Recipient, tenant: &Tenant) -> TenantToken {
    let secret = card.to_string();
    TenantToken::from_bytes(keyed_text(
        "lifeboat 0 tenant token",
        secret.as_bytes(),
        &format!("{repository}:{tenant}"),
    ))
}

/// Whether an object as long as this may be a grave.
#[must_use]
pub fn may_be_grave(length: Bytes) -> bool {
    length == Bytes::of(GRAVE)
}
