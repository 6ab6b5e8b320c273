//! What a writer holds and may do: its own keys by their cards, never the private half. FORMAT.md §5.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::{Clock, Entropy};
use crate::crypto::envelope::{self, Identity, Recipient};
use crate::crypto::sign::{Kind, SigningKey};
use crate::format::keys::{CardBody, KeyBody, SealRecipient, WritersSeal, key_id};
use crate::format::names::{self, SealFor};
use crate::format::records::Recorded;
use crate::format::{self, FORMAT_VERSION};
use crate::ids::{KeyId, Label, ObjectHash, ObjectName, RunId, Tenant};
use crate::repository::catalog::Catalog;
use crate::repository::erasures::{Erasures, tenant_token};
use crate::repository::seals::{newest_of, newest_seal};
use crate::repository::signed::sign_object;
use crate::repository::{JudgedAt, Repository, RepositoryError, RepositoryErrorKind};
use crate::store::Created;
use crate::units::{Bytes, Timestamp};

mod cards;

use cards::Made;

/// What an agent's host holds.
pub struct Credentials {
    /// The writer's name.
    pub writer: Label,
    /// Signs what the writer puts.
    pub signing: SigningKey,
    /// Opens the writer's cards and the writers' seal.
    pub card: Identity,
}

/// A tenant key as its writer knows it.
pub struct Card {
    /// Its id.
    pub key: KeyId,
    /// Whose data it seals.
    pub tenant: Tenant,
    /// Seals segments.
    pub recipient: Recipient,
    /// Names chunks.
    pub k_id: [u8; 32],
    /// Places cuts.
    pub k_chunk: [u8; 32],
    created: Timestamp,
}

/// A writer at work in a repository.
#[derive(Clone)]
pub struct Agent<'r> {
    pub(crate) repository: &'r Repository,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) clock: &'r dyn Clock,
    pub(crate) entropy: &'r dyn Entropy,
    catalog: Arc<Catalog>,
    /// The writers' seal that was read.
    seal_name: ObjectName,
    seal: SealRecipient,
    since: Option<Timestamp>,
    cards: BTreeMap<Tenant, Arc<Card>>,
    /// What officers erased, as it was when the cards were read.
    erasures: Erasures,
    /// Every card of the writer with its key object, those that are not used included, for whoever must record them.
    made: Vec<Made>,
}

impl<'r> Agent<'r> {
    /// Opens the writers' seal and the writer's own cards.
    ///
    /// # Errors
    /// The writer is not enrolled, its card identity opens nothing, something is damaged, or the store failed.
    pub fn open(
        repository: &'r Repository,
        credentials: Arc<Credentials>,
        clock: &'r dyn Clock,
        entropy: &'r dyn Entropy,
    ) -> Result<Self, RepositoryError> {
        let mut agent = Self::without_cards(repository, credentials, clock, entropy)?;
        agent.load_cards()?;
        Ok(agent)
    }

    /// Opens the writers' seal alone, for whoever makes no tenant keys.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn without_cards(
        repository: &'r Repository,
        credentials: Arc<Credentials>,
        clock: &'r dyn Clock,
        entropy: &'r dyn Entropy,
    ) -> Result<Self, RepositoryError> {
        enrolled(repository, &credentials, clock)?;
        let (seal_name, seal) = open_seal(repository, &credentials.card, clock)?;
        let catalog = Arc::new(Catalog::new(&seal.catalogs)?);
        Ok(Self {
            repository,
            credentials,
            clock,
            entropy,
            catalog,
            seal_name,
            seal: seal.seal.clone(),
            since: seal.since,
            cards: BTreeMap::new(),
            erasures: Erasures::default(),
            made: Vec::new(),
        })
    }

    /// Reads the writers' seal again where officers have put another since, with the cards of keys below it. A run does
    /// so once it is announced: whoever destroys a seal puts the next one first and lists runs second, so each run
    /// either uses the new one or is waited for.
    pub(crate) fn renew_seal(&mut self) -> Result<(), RepositoryError> {
        let newest = newest_of(self.repository, SealFor::Writers)?;
        if newest.map(|seq| names::seal(seq, SealFor::Writers)).transpose()?.as_ref() == Some(&self.seal_name)
        {
            return Ok(());
        }
        let (name, seal) = open_seal(self.repository, &self.credentials.card, self.clock)?;
        self.catalog = Arc::new(Catalog::new(&seal.catalogs)?);
        (self.seal_name, self.seal, self.since) = (name, seal.seal.clone(), seal.since);
        self.cards.clear();
        self.made.clear();
        self.load_cards()
    }

    /// Since when the seal in use is in use; nothing where it is that of the beginning.
    #[must_use]
    pub fn sealed_since(&self) -> Option<Timestamp> {
        self.since
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

    /// The catalog, shared.
    #[must_use]
    pub fn catalog_shared(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog)
    }

    /// The writer's name.
    #[must_use]
    pub fn writer(&self) -> &Label {
        &self.credentials.writer
    }

    /// A name for a run that begins now.
    pub(crate) fn new_run(&self) -> Result<RunId, RepositoryError> {
        let mut nonce = [0; 8];
        self.entropy.fill(&mut nonce)?;
        Ok(RunId::new(self.clock.now(), nonce))
    }

    /// The writer's card for a tenant, if it has a key for it.
    #[must_use]
    pub fn card(&self, tenant: &Tenant) -> Option<Arc<Card>> {
        self.cards.get(tenant).cloned()
    }

    /// Whether officers erased a tenant, so that no data of it is taken.
    #[must_use]
    pub fn is_erased(&self, tenant: &Tenant) -> bool {
        self.is_erased_by(&self.erasures, tenant)
    }

    /// The same by what officers have erased by now.
    pub(crate) fn is_erased_by(&self, erasures: &Erasures, tenant: &Tenant) -> bool {
        let token = tenant_token(&self.repository.id(), &self.credentials.card.recipient(), tenant);
        erasures.tenant(self.writer(), token)
    }

    /// The card in use of every tenant the writer has a key for.
    pub fn cards(&self) -> impl Iterator<Item = &Card> {
        self.cards.values().map(Arc::as_ref)
    }

    /// Makes a key for a tenant: the key object confirmed, then the card, then the private half is forgotten.
    pub(crate) fn make_key(
        &mut self,
        tenant: &Tenant,
        run: RunId,
    ) -> Result<(Arc<Card>, [Recorded; 2]), RepositoryError> {
        let identity = Identity::generate();
        let recipient = identity.recipient();
        let mut k_id = [0; 32];
        let mut k_chunk = [0; 32];
        self.entropy.fill(&mut k_id)?;
        self.entropy.fill(&mut k_chunk)?;
        let key = key_id(&self.repository.id(), &recipient.to_string());
        let created = self.clock.now();
        let body = KeyBody {
            format: FORMAT_VERSION,
            key,
            writer: self.writer().clone(),
            tenant: tenant.clone(),
            created,
            k_id: hex::encode(k_id),
            k_chunk: hex::encode(k_chunk),
            identity: identity.to_secret_string().to_string(),
        };
        let seal: Recipient = self
            .seal
            .recipient
            .parse()
            .map_err(|_| RepositoryError::damaged("seals", "the seal's recipient is malformed"))?;
        let recorded_key =
            self.put_sealed(&names::key(self.seal.id, self.writer(), key)?, Kind::Key, &body, &seal)?;
        drop((identity, body));
        let body = CardBody {
            format: FORMAT_VERSION,
            key,
            writer: self.writer().clone(),
            tenant: tenant.clone(),
            created,
            k_id: hex::encode(k_id),
            k_chunk: hex::encode(k_chunk),
            recipient: recipient.to_string(),
            run,
            sealed: recorded_key.clone(),
        };
        let own = self.credentials.card.recipient();
        let recorded_card = self.put_sealed(&names::card(self.writer(), key)?, Kind::Card, &body, &own)?;
        let card = Arc::new(Card { key, tenant: tenant.clone(), recipient, k_id, k_chunk, created });
        self.cards.insert(tenant.clone(), Arc::clone(&card));
        Ok((card, [recorded_key, recorded_card]))
    }

    fn put_sealed<T: serde::Serialize>(
        &self,
        name: &ObjectName,
        kind: Kind,
        body: &T,
        to: &Recipient,
    ) -> Result<Recorded, RepositoryError> {
        let plain = zeroize::Zeroizing::new(
            format::encode(body, kind.as_str())
                .map_err(|error| RepositoryError::format(name.as_str(), &error))?,
        );
        let mut sealed = Vec::new();
        envelope::seal_into(&plain, std::slice::from_ref(to), &mut sealed)
            .map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        self.put_new(name, kind, &sealed)
    }

    /// Signs and creates an object that nobody else can have made.
    pub(crate) fn put_new(
        &self,
        name: &ObjectName,
        kind: Kind,
        body: &[u8],
    ) -> Result<Recorded, RepositoryError> {
        let object = self.sign(name, kind, body)?;
        let created = self
            .repository
            .store()
            .create(name, &object)
            .map_err(|error| RepositoryError::store(name.as_str(), error))?;
        if created == Created::Exists {
            return Err(RepositoryError::refused(
                name.as_str(),
                "an object of this name exists although it was never used before; check the clock and that no \
                 other host uses this writer's name",
            ));
        }
        Ok(recorded(name, &object))
    }

    pub(crate) fn sign(
        &self,
        name: &ObjectName,
        kind: Kind,
        body: &[u8],
    ) -> Result<Vec<u8>, RepositoryError> {
        sign_object(&self.credentials.signing, kind, &self.repository.id(), name, body)
    }
}

/// An object as a ledger records it.
pub(crate) fn recorded(name: &ObjectName, object: &[u8]) -> Recorded {
    let hash = ObjectHash::from_bytes(crate::crypto::hash::sha256(object));
    Recorded(name.clone(), hash, Bytes::of(object))
}

/// The 32 bytes of a key written as hex.
pub(crate) fn parse_key(text: &str) -> Result<[u8; 32], hex::FromHexError> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key)?;
    Ok(key)
}

fn enrolled(
    repository: &Repository,
    credentials: &Credentials,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let now = clock.now();
    let run = RunId::new(now, [0; 8]);
    let name = names::run(&credentials.writer, run)?;
    let key = credentials.signing.public();
    match repository.judge(&key, Kind::Run, &name, JudgedAt::Moment(now)) {
        // Revoked within a second of its enrolment, its entry is still valid for the rest of that second.
        Ok(principal)
            if principal.is_writer(&credentials.writer)
                && repository.trust().cutoff(&credentials.writer).is_none() =>
        {
            Ok(())
        }
        Ok(_) | Err(RepositoryError { kind: RepositoryErrorKind::Untrusted(_), .. }) => {
            let what = format!("writer {} ({})", credentials.writer, key.fingerprint());
            if let Some(since) = repository.trust().enrolled_later(&credentials.writer, &key, now) {
                return Err(RepositoryError::refused(
                    what,
                    format!(
                        "it was enrolled at {}, and by the clock of this machine it is {} only; set the clock",
                        since.rfc3339(),
                        now.rfc3339()
                    ),
                ));
            }
            Err(RepositoryError::refused(
                what,
                "it is not enrolled in this repository, or was revoked; an officer enrols it with \
             `lifeboat keys writer add`",
            ))
        }
        Err(error) => Err(error),
    }
}

fn open_seal(
    repository: &Repository,
    card: &Identity,
    clock: &dyn Clock,
) -> Result<(ObjectName, WritersSeal), RepositoryError> {
    let (name, body) = newest_seal(repository, SealFor::Writers, clock)?;
    let plain = open_own(&body, card, name.as_str())?;
    let seal: WritersSeal = format::decode(&plain, "writers' seal")
        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    Ok((name, seal))
}

fn open_own(
    body: &[u8],
    card: &Identity,
    what: &str,
) -> Result<zeroize::Zeroizing<Vec<u8>>, RepositoryError> {
    let mut plain = zeroize::Zeroizing::new(Vec::new());
    envelope::open_into(body, std::slice::from_ref(card), &mut plain).map_err(|error| {
        if error.is_wrong_identity() {
            RepositoryError::wrong_key(
                what,
                "this host's card identity does not open it; enrol the writer with the card recipient of this host",
            )
        } else {
            RepositoryError::damaged(what, error.to_string())
        }
    })?;
    Ok(plain)
}
