//! What a recovery identity opens: seals, and through them every tenant key. Absent from an agent-only build.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::clock::Clock;
use crate::crypto::envelope::{self, Identity};
use crate::crypto::hash::ChunkIdKey;
use crate::crypto::sign::Kind;
use crate::format::heartbeat::CanaryKey;
use crate::format::keys::{KeyBody, NamedIdentity, NamedRecipient, OfficersSeal, OlderSeal, key_id, seal_id};
use crate::format::names::{self, Place, SealFor, place};
use crate::format::{self, RECORD_MAX};
use crate::ids::{IdentityId, KeyId, Label, ObjectName, Tenant, TenantToken};
use crate::repository::agent::parse_key;
use crate::repository::catalog::Catalog;
use crate::repository::erasures::{Erasures, GRAVE, tenant_token};
use crate::repository::seals::newest_seal;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError};
use crate::units::Timestamp;

/// A repository opened with a recovery identity.
pub struct Recovery<'r> {
    repository: &'r Repository,
    catalog: Catalog,
    /// The seal in use, then condemned ones below which a key may still be.
    seals: Vec<(IdentityId, Identity)>,
    /// The recipients of the identities it was opened with.
    holders: Vec<String>,
    officers: OfficersSeal,
    /// What officers erased.
    erasures: Erasures,
    /// When it was opened: keys that an officer sealed anew are judged then.
    now: Timestamp,
    opened: Mutex<HashMap<(Label, KeyId), Arc<TenantKey>>>,
}

/// A tenant key that opens.
pub struct TenantKey {
    /// Its id.
    pub key: KeyId,
    /// Whose data it seals.
    pub tenant: Tenant,
    /// Opens segments.
    pub identity: Identity,
    /// Names chunks.
    pub k_id: ChunkIdKey,
}

impl<'r> Recovery<'r> {
    /// Opens the newest seal.
    ///
    /// # Errors
    /// None of the identities opens it, it is damaged, or the store failed.
    pub fn open(
        repository: &'r Repository,
        identities: &[Identity],
        clock: &dyn Clock,
    ) -> Result<Self, RepositoryError> {
        let (name, body) = newest_seal(repository, SealFor::Officers, clock)?;
        let mut plain = zeroize::Zeroizing::new(Vec::new());
        envelope::open_into(&body, identities, &mut plain).map_err(|error| {
            if error.is_wrong_identity() {
                RepositoryError::wrong_key(
                    name.as_str(),
                    "the recovery identity given is none of this repository's; look for the one whose file names \
                     this region, or ask another officer",
                )
            } else {
                RepositoryError::damaged(name.as_str(), error.to_string())
            }
        })?;
        let damaged = |why: &str| RepositoryError::damaged(name.as_str(), why);
        let officers: OfficersSeal = format::decode(&plain, "officers' seal")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let mut seals = Vec::new();
        let older = officers.older.iter().map(|seal| (seal.id, &seal.identity));
        for (id, identity) in std::iter::once((officers.seal.id, &officers.seal.identity)).chain(older) {
            let seal: Identity =
                identity.parse().map_err(|_| damaged("a seal identity in it is malformed"))?;
            if seal_id(&seal.recipient().to_string()) != id {
                return Err(damaged("a seal identity in it is not the one it names"));
            }
            seals.push((id, seal));
        }
        let catalog = Catalog::new(&officers.catalogs)?;
        let holders = identities.iter().map(|identity| identity.recipient().to_string()).collect();
        let now = clock.now();
        let erasures = Erasures::load(repository)?;
        Ok(Self { repository, catalog, seals, holders, officers, erasures, now, opened: Mutex::default() })
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whoever can open the repository: names and recovery recipients. Only they know it: recipients are not stored in
    /// clear.
    pub fn recipients(&self) -> impl Iterator<Item = (&str, &str)> {
        self.officers.recovery.iter().map(|known| (known.name.as_str(), known.recipient.as_str()))
    }

    /// A copy of the seal to be wrapped anew.
    pub(crate) fn officers_seal(&self) -> OfficersSeal {
        OfficersSeal {
            format: self.officers.format,
            seq: self.officers.seq,
            seal: self.officers.seal.again(),
            since: self.officers.since,
            next: self.officers.next.as_ref().map(NamedIdentity::again),
            older: self.officers.older.iter().map(OlderSeal::again).collect(),
            catalogs: self.officers.catalogs.iter().map(NamedIdentity::again).collect(),
            recovery: self.officers.recovery.clone(),
            writers: self.officers.writers.clone(),
        }
    }

    /// The seal in use, then condemned ones below which a key may still be.
    pub(crate) fn seals(&self) -> &[(IdentityId, Identity)] {
        &self.seals
    }

    /// What officers erased.
    pub(crate) fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// Whether officers erased a key: then it opens nothing any more, whatever is left of it.
    #[must_use]
    pub fn is_erased(&self, key: KeyId) -> bool {
        self.erasures.key(key)
    }

    /// The recipients of the identities it was opened with.
    pub(crate) fn holders(&self) -> &[String] {
        &self.holders
    }

    /// What judges the heartbeats of every enrolled writer.
    #[must_use]
    pub fn canary_keys(&self) -> Vec<CanaryKey> {
        let key = |writer: &NamedRecipient<Label>| {
            let card = writer.recipient.parse().ok()?;
            Some(CanaryKey::new(self.repository.id(), writer.name.clone(), &card))
        };
        self.officers.writers.iter().filter_map(key).collect()
    }

    /// What stands for a tenant in the records of every enrolled writer.
    #[must_use]
    pub fn tokens_of(&self, tenant: &Tenant) -> Vec<(Label, TenantToken)> {
        let token = |writer: &NamedRecipient<Label>| {
            let card = writer.recipient.parse().ok()?;
            Some((writer.name.clone(), tenant_token(&self.repository.id(), &card, tenant)))
        };
        self.officers.writers.iter().filter_map(token).collect()
    }

    /// Every tenant key that has a key object below a seal that this opens: writer and key, sorted.
    ///
    /// # Errors
    /// The store failed.
    pub fn keys(&self) -> Result<Vec<(Label, KeyId)>, RepositoryError> {
        let mut keys = std::collections::BTreeSet::new();
        for (seal, _) in &self.seals {
            keys.extend(self.keys_below(*seal)?);
        }
        Ok(keys.into_iter().collect())
    }

    /// Every key object below one seal: writer and key, sorted.
    pub(crate) fn keys_below(&self, seal: IdentityId) -> Result<Vec<(Label, KeyId)>, RepositoryError> {
        let prefix = format!("keys/{seal}/");
        let listed =
            self.repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        Ok(listed
            .iter()
            .filter_map(|object| match place(&object.name) {
                Some(Place::Key(_, writer, key)) if !self.erasures.key(key) => Some((writer, key)),
                _ => None,
            })
            .collect())
    }

    /// Opens a tenant key; a second time from memory.
    ///
    /// # Errors
    /// The key object is missing (its tenant may have been erased), damaged, or the store failed.
    pub fn unwrap_tenant_key(&self, writer: &Label, key: KeyId) -> Result<Arc<TenantKey>, RepositoryError> {
        let slot = (writer.clone(), key);
        if let Ok(opened) = self.opened.lock()
            && let Some(found) = opened.get(&slot)
        {
            return Ok(Arc::clone(found));
        }
        let opened = Arc::new(self.open_key(writer, key)?);
        if let Ok(mut all) = self.opened.lock() {
            all.insert(slot, Arc::clone(&opened));
        }
        Ok(opened)
    }

    /// Below the seal in use, or where it was not sealed anew yet, below a condemned one.
    fn open_key(&self, writer: &Label, key: KeyId) -> Result<TenantKey, RepositoryError> {
        if self.erasures.key(key) {
            return Err(RepositoryError::refused(
                format!("key {key}"),
                "officers erased its tenant; nobody reads what it sealed",
            ));
        }
        let mut first: Option<RepositoryError> = None;
        for (id, seal) in &self.seals {
            match self.open_key_below(*id, seal, writer, key) {
                Ok((opened, _)) => return Ok(opened),
                // It may open there.
                Err(error) if !error.is_damage() => return Err(error),
                // That it is damaged somewhere says more than that it is missing elsewhere.
                Err(error) if first.as_ref().is_none_or(RepositoryError::is_missing) => first = Some(error),
                Err(_) => {}
            }
        }
        Err(first.unwrap_or_else(|| RepositoryError::damaged("seals/", "they hold no seal identity")))
    }

    /// A key object below one seal, with its body as it is.
    pub(crate) fn open_key_below(
        &self,
        id: IdentityId,
        seal: &Identity,
        writer: &Label,
        key: KeyId,
    ) -> Result<(TenantKey, zeroize::Zeroizing<Vec<u8>>), RepositoryError> {
        let name = names::key(id, writer, key)?;
        let read = self.repository.store().read(&name, RECORD_MAX);
        let bytes = read.map_err(|error| RepositoryError::store(name.as_str(), error))?;
        self.open_key_object(&name, bytes, seal, writer, key)
    }

    /// A key object of whatever store.
    pub(crate) fn open_key_object(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        seal: &Identity,
        writer: &Label,
        key: KeyId,
    ) -> Result<(TenantKey, zeroize::Zeroizing<Vec<u8>>), RepositoryError> {
        let damaged = |why: &str| RepositoryError::damaged(name.as_str(), why);
        if bytes == GRAVE {
            return Err(damaged(
                "a grave lies here, as of what officers erased, and no tombstone that is here says so: into a replica \
                 `lifeboat replicate` brings it; in a repository it is damage",
            ));
        }
        let signed = self.repository.check_signed(name, bytes, &[Kind::Key], JudgedAt::Any)?;
        match &signed.principal {
            signer if signer.is_writer(writer) => {}
            // Sealed anew: good as long as the officer is one.
            Principal::Officer(_) => {
                self.repository.judge(&signed.key, Kind::Key, name, JudgedAt::Moment(self.now))?;
            }
            _ => return Err(damaged("neither its writer nor an officer signed it")),
        }
        let mut plain = zeroize::Zeroizing::new(Vec::new());
        envelope::open_into(&signed.body, std::slice::from_ref(seal), &mut plain)
            .map_err(|error| RepositoryError::damaged(name.as_str(), error.to_string()))?;
        let body: KeyBody = format::decode(&plain, "key object")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let identity: Identity =
            body.identity.parse().map_err(|_| damaged("the identity in it is malformed"))?;
        let recipient = identity.recipient().to_string();
        let holds =
            body.key == key && body.writer == *writer && key_id(&self.repository.id(), &recipient) == key;
        if !holds {
            return Err(damaged("it is not the key its name says"));
        }
        let k_id = parse_key(&body.k_id).map_err(|_| damaged("a key in it is malformed"))?;
        let opened =
            TenantKey { key, tenant: body.tenant.clone(), identity, k_id: ChunkIdKey::from_bytes(k_id) };
        Ok((opened, plain))
    }
}
