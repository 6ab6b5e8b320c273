//! The cards a writer made, as they lie in the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Agent, Card, open_own, parse_key};
use crate::crypto::sign::Kind;
use crate::format::keys::{CardBody, key_id};
use crate::format::names::{self, Place, place};
use crate::format::records::Recorded;
use crate::format::{self, RECORD_MAX};
use crate::ids::{IdentityId, KeyId, ObjectHash, ObjectName, RunId};
use crate::repository::erasures::Erasures;
use crate::repository::{JudgedAt, RepositoryError};
use crate::units::Bytes;

/// A card and its key object as they are stored. Without their names, which [`Agent::made_by`] gives: a writer of
/// 40,000 tenants holds as many.
#[derive(Clone)]
pub(super) struct Made {
    run: RunId,
    key: KeyId,
    seal: IdentityId,
    key_object: (ObjectHash, Bytes),
    card_object: (ObjectHash, Bytes),
}

impl Agent<'_> {
    /// How many cards each of these runs of the writer made.
    pub(crate) fn cards_made(&self, runs: &BTreeSet<RunId>) -> HashMap<RunId, u32> {
        let mut counts = HashMap::new();
        for made in self.made.iter().filter(|made| runs.contains(&made.run)) {
            let count: &mut u32 = counts.entry(made.run).or_default();
            *count = count.saturating_add(1);
        }
        counts
    }

    /// The cards that a run of the writer made, with their key objects.
    pub(crate) fn made_by(&self, run: RunId) -> Result<Vec<Recorded>, RepositoryError> {
        let mut objects = Vec::new();
        for made in self.made.iter().filter(|made| made.run == run) {
            let (hash, length) = made.key_object;
            objects.push(Recorded(names::key(made.seal, self.writer(), made.key)?, hash, length));
            let (hash, length) = made.card_object;
            objects.push(Recorded(names::card(self.writer(), made.key)?, hash, length));
        }
        Ok(objects)
    }

    /// Reads every card whose key object is there under the living seal: a card without its key would make data
    /// that nobody can ever open.
    pub(super) fn load_cards(&mut self) -> Result<(), RepositoryError> {
        self.erasures = Erasures::load(self.repository)?;
        let writer = self.writer().clone();
        let sealed = self.keys_under(self.seal.id)?;
        let prefix = format!("cards/{writer}/");
        let listed =
            self.repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        for object in listed {
            let Some(Place::Card(_, key)) = place(&object.name) else { continue };
            if self.erasures.key(key) {
                continue;
            }
            if !sealed.contains(&key) {
                tracing::warn!(card = %object.name, "no key object under the living seal; the card is not used");
                continue;
            }
            let (card, made) = match self.read_card(&object.name, key) {
                Err(error) if error.is_damage() && self.was_erased(key)? => continue,
                read => read?,
            };
            self.made.push(made);
            let keep = self
                .cards
                .get(&card.tenant)
                .is_none_or(|old| (card.created, card.key) < (old.created, old.key));
            if keep {
                self.cards.insert(card.tenant.clone(), Arc::new(card));
            }
        }
        Ok(())
    }

    /// Whether a key was erased since tombstones were read here: then a grave lies where its card was.
    fn was_erased(&mut self, key: KeyId) -> Result<bool, RepositoryError> {
        self.erasures = Erasures::load(self.repository)?;
        Ok(self.erasures.key(key))
    }

    fn keys_under(&self, seal: IdentityId) -> Result<HashSet<KeyId>, RepositoryError> {
        let prefix = format!("keys/{seal}/{}/", self.writer());
        let listed =
            self.repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        Ok(listed
            .iter()
            .filter_map(|object| match place(&object.name) {
                Some(Place::Key(_, _, key)) => Some(key),
                _ => None,
            })
            .collect())
    }

    fn read_card(&self, name: &ObjectName, key: KeyId) -> Result<(Card, Made), RepositoryError> {
        let signed = self.repository.read_signed(name, &[Kind::Card], JudgedAt::Any, RECORD_MAX)?;
        let plain = open_own(&signed.body, &self.credentials.card, name.as_str())?;
        let body: CardBody =
            format::decode(&plain, "card").map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let Some(Place::Key(seal, owner, sealed)) = place(&body.sealed.0) else {
            return Err(RepositoryError::damaged(name.as_str(), "it names no key object"));
        };
        let ours = signed.key == self.credentials.signing.public()
            && body.key == key
            && sealed == key
            && owner == *self.writer()
            && body.writer == *self.writer()
            && key_id(&self.repository.id(), &body.recipient) == key;
        if !ours {
            return Err(RepositoryError::damaged(name.as_str(), "it is not a card that this writer made"));
        }
        let malformed = |_| RepositoryError::damaged(name.as_str(), "a key in it is malformed");
        let card = Card {
            key,
            tenant: body.tenant.clone(),
            recipient: body
                .recipient
                .parse()
                .map_err(|_| RepositoryError::damaged(name.as_str(), "its recipient is malformed"))?,
            k_id: parse_key(&body.k_id).map_err(malformed)?,
            k_chunk: parse_key(&body.k_chunk).map_err(malformed)?,
            created: body.created,
        };
        let key_object = (body.sealed.1, body.sealed.2);
        let card_object = (signed.hash, signed.length);
        Ok((card, Made { run: body.run, key, seal, key_object, card_object }))
    }
}
