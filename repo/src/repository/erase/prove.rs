//! The proof of an erasure: whatever identity is there to be had, it opens nothing of the tenant.

use std::collections::{BTreeMap, HashSet};

use super::is_grave;
use super::places::{opened, seals_in};
use crate::crypto::envelope::{self, Identity};
use crate::format;
use crate::format::keys::KeyBody;
use crate::format::names::{self, Place, Seq, place};
use crate::ids::{KeyId, Label, SegmentPrefix};
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
    /// When the last of their cards was destroyed, by the clock of the place: since then a grave stands there. A card has one
    /// name for ever, where key objects get graves below every seal to come. Nothing where none stands.
    pub buried: Option<Timestamp>,
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
        let seals = seals_in(*store, acting.identities)?;
        proof.objects += seals.objects;
        open_keys(*store, &seals.identities, &keys, &mut identities, &mut proof)?;
        identities.extend(seals.identities);
        proof.bundled = proof.bundled.max(bundled_until(*store, None)?);
    }
    // A tombstone names the keys that opened when it was put; of one that came back since, it knows nothing.
    for late in super::late_keys(acting, places)?.0.into_values() {
        let unnamed = late.iter().map(|(writer, key)| {
            format!("the key {key} of {writer} is that of an erased tenant, and no tombstone names it")
        });
        proof.found.extend(unnamed);
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
                } else if prefix == "cards/" {
                    proof.buried = proof.buried.max(Some(object.modified));
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

fn again(identity: &Identity) -> Result<Identity, RepositoryError> {
    identity
        .to_secret_string()
        .parse()
        .map_err(|_| RepositoryError::machine("the identity given", "it cannot be copied"))
}
