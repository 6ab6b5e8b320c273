//! Every tenant key in every place that holds keys, and whose each is: what is damaged or missing in one place may be whole
//! in another, and gives the tenant back from there.

use std::collections::{BTreeMap, HashSet};

use crate::crypto::envelope::{self, Identity};
use crate::crypto::sign::split_object;
use crate::format::keys::{OfficersSeal, seal_id};
use crate::format::names::{Place, SealFor, place};
use crate::format::{self, RECORD_MAX};
use crate::ids::{IdentityId, KeyId, Label, ObjectName, Tenant};
use crate::repository::RepositoryError;
use crate::repository::recover::Recovery;
use crate::repository::reseal::{Acting, Unusable, in_lanes};
use crate::store::Store;

/// The keys of every place that no tombstone names.
pub(super) struct Keys {
    /// Those that open in some place: whose each is.
    pub(super) opened: BTreeMap<(Label, KeyId), Tenant>,
    /// Those that open nowhere: whose each is cannot be told.
    pub(super) unopened: Vec<Unusable>,
}

/// Opens every key object of every place, below whatever seal is still to be had.
///
/// # Errors
/// A store failed: then nothing is known.
pub(super) fn keys(
    acting: &Acting<'_>,
    recovery: &Recovery<'_>,
    places: &[&dyn Store],
) -> Result<Keys, RepositoryError> {
    let mut seals: BTreeMap<IdentityId, Identity> = BTreeMap::new();
    for store in places {
        let found = seals_in(*store, acting.identities)?.identities;
        seals.extend(found.into_iter().map(|seal| (seal_id(&seal.recipient().to_string()), seal)));
    }
    let mut found: BTreeMap<(Label, KeyId), Result<Tenant, RepositoryError>> = BTreeMap::new();
    for store in places {
        let mut objects = Vec::new();
        for name in names_below(*store, "keys/")? {
            if let Some(Place::Key(seal, writer, key)) = place(&name)
                && !recovery.erasures().key(key)
                && let Some(seal) = seals.get(&seal)
            {
                objects.push((name, seal, writer, key));
            }
        }
        let outcomes = in_lanes(acting.lanes, &objects, |(name, seal, writer, key)| {
            let read = store
                .read(name, RECORD_MAX)
                .map_err(|error| RepositoryError::store(name.as_str(), error))
                .and_then(|bytes| recovery.open_key_object(name, bytes, seal, writer, *key));
            match read {
                Ok((opened, _)) => Ok(Some(Ok(opened.tenant))),
                // Sealed anew or erased between listing and reading.
                Err(error) if error.is_missing() => Ok(None),
                Err(error) if error.is_damage() => Ok(Some(Err(error))),
                Err(error) => Err(error),
            }
        })?;
        for ((.., writer, key), outcome) in objects.into_iter().zip(outcomes) {
            let Some(outcome) = outcome else { continue };
            let slot = found
                .entry((writer, key))
                .or_insert_with(|| Err(RepositoryError::damaged(format!("key {key}"), "it opens nowhere")));
            if slot.is_err() {
                *slot = outcome;
            }
        }
    }
    let (mut opened, mut unopened) = (BTreeMap::new(), Vec::new());
    for ((writer, key), outcome) in found {
        match outcome {
            Ok(tenant) => drop(opened.insert((writer, key), tenant)),
            Err(error) => unopened.push(Unusable { writer, key, error }),
        }
    }
    Ok(Keys { opened, unopened })
}

/// What the seal objects of a place still give to identities.
pub(super) struct Seals {
    /// Every seal and catalog identity.
    pub(super) identities: Vec<Identity>,
    /// How many seal objects were looked into.
    pub(super) objects: usize,
}

pub(super) fn seals_in(store: &dyn Store, identities: &[Identity]) -> Result<Seals, RepositoryError> {
    let (mut found, mut objects) = (Vec::new(), 0);
    let mut seen: HashSet<String> = HashSet::new();
    for name in names_below(store, "seals/")? {
        let Some(Place::Seal(_, SealFor::Officers)) = place(&name) else { continue };
        objects += 1;
        let Some(plain) = opened(store, &name, identities)? else { continue };
        let Ok(seal) = format::decode::<OfficersSeal>(&plain, "seal") else { continue };
        let older = seal.older.iter().map(|older| &older.identity);
        let next = seal.next.iter().map(|next| &next.identity);
        let catalogs = seal.catalogs.iter().map(|catalog| &catalog.identity);
        let all = std::iter::once(&seal.seal.identity).chain(older).chain(next).chain(catalogs);
        let all = all.filter_map(|identity| identity.parse::<Identity>().ok());
        found.extend(all.filter(|identity| seen.insert(identity.recipient().to_string())));
    }
    Ok(Seals { identities: found, objects })
}

/// What some of the identities open; nothing where none does, or nothing is there.
pub(super) fn opened(
    store: &dyn Store,
    name: &ObjectName,
    identities: &[Identity],
) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, RepositoryError> {
    let object = match store.read(name, RECORD_MAX) {
        Ok(object) => object,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(RepositoryError::store(name.as_str(), error)),
    };
    let mut plain = zeroize::Zeroizing::new(Vec::new());
    let Ok((_, body)) = split_object(&object) else { return Ok(None) };
    Ok(envelope::open_into(body, identities, &mut plain).is_ok().then_some(plain))
}

fn names_below(store: &dyn Store, prefix: &str) -> Result<Vec<ObjectName>, RepositoryError> {
    let listed = store.list(prefix).map_err(|error| RepositoryError::store(prefix, error))?;
    Ok(listed.into_iter().map(|object| object.name).collect())
}
