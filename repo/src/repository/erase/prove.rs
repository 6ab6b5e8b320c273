//! The proof of an erasure: whatever identity is there to be had, it opens nothing of the tenant.

use std::collections::{BTreeMap, HashSet};

use super::is_grave;
use crate::crypto::envelope::{self, Identity};
use crate::crypto::sign::split_object;
use crate::format::keys::{KeyBody, OfficersSeal};
use crate::format::names::{self, Place, SealFor, Seq, place};
use crate::format::{self, RECORD_MAX};
use crate::ids::{KeyId, Label, ObjectName, SegmentPrefix};
use crate::repository::RepositoryError;
use crate::repository::erasures::{Erasures, may_be_grave};
use crate::repository::reseal::{Acting, bundled_until};
use crate::repository::segments::SegmentMap;
use crate::repository::snapshots::Judge;
use crate::store::Store;
use crate::units::Timestamp;

/// Segments of a key that are tried with every identity: the header is what decides, and all of a key are sealed alike.
const SEGMENTS_TRIED: usize = 4;

/// What a proof found.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// Keys that the tombstone names.
    pub keys: usize,
    /// Identities tried: those given, and whatever they open.
    pub identities: usize,
    /// Objects below `seals/`, `keys/` and `cards/` looked into.
    pub objects: usize,
    /// Segments of the erased keys that were tried with every identity.
    pub segments: usize,
    /// Objects at erased names that are no graves, key objects in disguise, and segments that opened. None, if it holds.
    pub found: Vec<String>,
    /// Until when bundles may hold the keys; nothing where none is there.
    pub bundled: Option<Timestamp>,
}

/// Tries whether anything that is left outside bundles opens what a tombstone erased.
///
/// # Errors
/// There is no effective tombstone of that number, or the store failed: then nothing is proved.
pub fn prove(acting: &Acting<'_>, seq: Seq, places: &[&dyn Store]) -> Result<Proof, RepositoryError> {
    let repository = acting.repository;
    let recovery = acting.open()?;
    let erasures = Erasures::load(repository)?;
    let keys: HashSet<KeyId> = erasures
        .acts()
        .iter()
        .filter(|act| act.effective && act.body.seq == seq)
        .flat_map(|act| act.body.keys.iter().map(|(_, key)| *key))
        .collect();
    if keys.is_empty() {
        return Err(RepositoryError::refused(
            format!("erasures/{seq}"),
            "no tombstone of that number that enough officers signed names a key; look at the number",
        ));
    }
    let mut proof = Proof { keys: keys.len(), ..Proof::default() };
    let mut identities: Vec<Identity> = Vec::new();
    for given in acting.identities {
        identities.push(again(given)?);
    }
    for store in places {
        let seals = open_seals(*store, acting.identities, &mut proof)?;
        open_keys(*store, &seals, &keys, &mut identities, &mut proof)?;
        identities.extend(seals);
        proof.bundled = proof.bundled.max(bundled_until(repository, None)?);
    }
    proof.identities = identities.len();
    let mut wanted: BTreeMap<Label, HashSet<SegmentPrefix>> = BTreeMap::new();
    for one in Judge::new(repository, recovery.catalog())?.list(None)? {
        let Some(snapshot) = one.snapshot else { continue };
        for share in snapshot.keys.iter().filter(|share| keys.contains(&share.key)) {
            let of = wanted.entry(snapshot.writer.clone()).or_default();
            of.extend(share.segments.iter().take(SEGMENTS_TRIED).copied());
        }
    }
    for (writer, prefixes) in wanted {
        let map = SegmentMap::load(repository, recovery.catalog(), &writer, &prefixes)?;
        for segment in map.segments().iter().filter(|segment| keys.contains(&segment.key)) {
            for at in &segment.places {
                let name = names::pack(at.pack)?;
                let mut bytes = Vec::new();
                match repository.store().read_range(&name, at.offset, at.length, &mut bytes) {
                    Ok(()) => {}
                    Err(error) if error.is_missing() => continue,
                    Err(error) => return Err(RepositoryError::store(name.as_str(), error)),
                }
                proof.segments += 1;
                if envelope::open_into(&bytes, &identities, &mut Vec::new()).is_ok() {
                    proof.found.push(format!("segment {} in {name} opens", segment.id));
                }
            }
        }
    }
    Ok(proof)
}

/// Every seal and catalog identity that some seal object still gives to the identities at hand.
fn open_seals(
    store: &dyn Store,
    identities: &[Identity],
    proof: &mut Proof,
) -> Result<Vec<Identity>, RepositoryError> {
    let mut found = Vec::new();
    for name in names_below(store, "seals/")? {
        let Some(Place::Seal(_, SealFor::Officers)) = place(&name) else { continue };
        proof.objects += 1;
        let Some(plain) = opened(store, &name, identities)? else { continue };
        let Ok(seal) = format::decode::<OfficersSeal>(&plain, "seal") else { continue };
        let older = seal.older.iter().map(|older| &older.identity);
        let next = seal.next.iter().map(|next| &next.identity);
        let catalogs = seal.catalogs.iter().map(|catalog| &catalog.identity);
        let all = std::iter::once(&seal.seal.identity).chain(older).chain(next).chain(catalogs);
        found.extend(all.filter_map(|identity| identity.parse::<Identity>().ok()));
    }
    Ok(found)
}

/// Every tenant identity that is left below any name; none may be an erased one, nor may anything but graves lie at the
/// names of erased keys and cards.
fn open_keys(
    store: &dyn Store,
    seals: &[Identity],
    keys: &HashSet<KeyId>,
    identities: &mut Vec<Identity>,
    proof: &mut Proof,
) -> Result<(), RepositoryError> {
    for prefix in ["keys/", "cards/"] {
        let listed = store.list(prefix).map_err(|error| RepositoryError::store(prefix, error))?;
        for object in listed {
            let Some(Place::Key(_, _, key) | Place::Card(_, key)) = place(&object.name) else { continue };
            proof.objects += 1;
            if keys.contains(&key) {
                if !may_be_grave(object.length) || !is_grave(store, &object.name)? {
                    proof.found.push(format!("{} is there again", object.name));
                }
                continue;
            }
            if prefix == "cards/" || may_be_grave(object.length) {
                continue;
            }
            let Some(plain) = opened(store, &object.name, seals)? else { continue };
            let Ok(body) = format::decode::<KeyBody>(&plain, "key object") else { continue };
            if keys.contains(&body.key) {
                proof.found.push(format!("{} holds the erased key {}", object.name, body.key));
            }
            identities.extend(body.identity.parse::<Identity>().ok());
        }
    }
    Ok(())
}

fn opened(
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

fn again(identity: &Identity) -> Result<Identity, RepositoryError> {
    identity
        .to_secret_string()
        .parse()
        .map_err(|_| RepositoryError::machine("the identity given", "it cannot be copied"))
}
