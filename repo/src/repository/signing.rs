//! What officers put: trust and seals, signed. FORMAT.md §4, §5. Absent from an agent-only build.

use crate::clock::Clock;
use crate::crypto::envelope::{self, Identity, Recipient};
use crate::crypto::sign::Kind;
use crate::crypto::signers::{AllowedSigners, Entry};
use crate::format::keys::{NamedIdentity, OfficersSeal, SealRecipient, WritersSeal};
use crate::format::names::{self, Place, SealFor, Seq, place};
use crate::format::records::Hint;
use crate::format::trust::TrustHeader;
use crate::format::{self, FORMAT_VERSION};
use crate::ids::{ObjectName, RepositoryId};
use crate::repository::officer::Officer;
use crate::repository::signed::sign_object;
use crate::repository::trust::Trust;
use crate::repository::{Repository, RepositoryError};
use crate::store::{Created, Store};
use crate::units::Timestamp;

/// Puts the trust that follows `before`, as `header` says otherwise.
pub(crate) fn put_trust_after(
    repository: &Repository,
    before: &Trust,
    officer: &Officer<'_>,
    entries: Vec<Entry>,
    header: TrustHeader,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    // The second in which an entry ends belongs to it still, and whoever signs the trust after this one may say any moment
    // from this one's on: it must be one at which nobody who was shut out may sign.
    let closed = entries.iter().filter_map(|entry| entry.valid_before).max();
    let after = closed.map(|last| Timestamp::new(last.seconds().saturating_add(1), 0));
    let now = clock.now().max(before.header.created);
    let header = TrustHeader {
        seq: before.head.0.next(),
        previous: Some(before.head.1),
        created: after.map_or(now, |after| after.max(now)),
        ..header
    };
    Signer { store: repository.store(), officer, id: repository.id() }.put_trust(&header, entries)
}

/// Puts seals under the next free number, which they then say.
pub(crate) fn put_seals_after(
    repository: &Repository,
    officer: &Officer<'_>,
    seal: &mut OfficersSeal,
) -> Result<(), RepositoryError> {
    put_seals(repository, officer, seal, next_seal_number(repository)?)
}

/// Puts seals under a number, which they then say. That of the officers first; whoever has it wins.
pub(crate) fn put_seals(
    repository: &Repository,
    officer: &Officer<'_>,
    seal: &mut OfficersSeal,
    number: Seq,
) -> Result<(), RepositoryError> {
    seal.seq = number;
    Signer { store: repository.store(), officer, id: repository.id() }.put_seals(seal)
}

/// The first number that no seal has.
pub(crate) fn next_seal_number(repository: &Repository) -> Result<Seq, RepositoryError> {
    let listed =
        repository.store().list("seals/").map_err(|error| RepositoryError::store("seals/", error))?;
    let newest = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Seal(seq, _)) => Some(seq),
        _ => None,
    });
    Ok(newest.max().unwrap_or_default().max(repository.trust().header.seals_from).next())
}

/// Signs in the name of an officer, and puts.
pub(crate) struct Signer<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) officer: &'a Officer<'a>,
    pub(crate) id: RepositoryId,
}

impl Signer<'_> {
    pub(crate) fn put_hint(&self) -> Result<(), RepositoryError> {
        let hint = Hint {
            lifeboat: "repository".into(),
            format: FORMAT_VERSION,
            repository: self.id,
            read:
                "A Lifeboat backup repository: age, zstd and JSON, described in FORMAT.md. Restore it with \
                   `lifeboat restore`, or with scripts/break-glass and stock tools."
                    .into(),
        };
        let name = names::hint()?;
        let bytes = format::encode(&hint, "hint").map_err(|error| RepositoryError::format("hint", &error))?;
        self.put(&name, &bytes)
    }

    /// Officers' first: a writer that sees its seal can rely on somebody being able to recover.
    pub(crate) fn put_seals(&self, seal: &OfficersSeal) -> Result<(), RepositoryError> {
        let recovery: Vec<&str> = seal.recovery.iter().map(|known| known.recipient.as_str()).collect();
        self.put_seal(names::seal(seal.seq, SealFor::Officers)?, seal, &recovery)?;
        let identity: Identity = seal
            .seal
            .identity
            .parse()
            .map_err(|_| RepositoryError::damaged("seals", "the seal identity is malformed"))?;
        let body = WritersSeal {
            format: FORMAT_VERSION,
            seq: seal.seq,
            seal: SealRecipient { id: seal.seal.id, recipient: identity.recipient().to_string() },
            since: seal.since,
            catalogs: seal.catalogs.iter().map(NamedIdentity::again).collect(),
        };
        let writers: Vec<&str> = seal.writers.iter().map(|known| known.recipient.as_str()).collect();
        if writers.is_empty() {
            return Ok(());
        }
        self.put_seal(names::seal(seal.seq, SealFor::Writers)?, &body, &writers)
    }

    fn put_seal<T: serde::Serialize>(
        &self,
        name: ObjectName,
        body: &T,
        recipients: &[&str],
    ) -> Result<(), RepositoryError> {
        let recipients = recipients
            .iter()
            .map(|recipient| recipient.parse::<Recipient>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| RepositoryError::damaged(name.as_str(), "a recipient in it is malformed"))?;
        let plain = zeroize::Zeroizing::new(
            format::encode(body, "seal").map_err(|error| RepositoryError::format(name.as_str(), &error))?,
        );
        let mut sealed = Vec::new();
        envelope::seal_into(&plain, &recipients, &mut sealed)
            .map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        self.put_signed(&name, Kind::Seal, &sealed)
    }

    pub(crate) fn put_trust(&self, header: &TrustHeader, entries: Vec<Entry>) -> Result<(), RepositoryError> {
        let name = names::trust(header.seq)?;
        let json =
            serde_json::to_string(header).map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        let signers = AllowedSigners::new(&json, entries)
            .map_err(|error| RepositoryError::machine(name.as_str(), error))?;
        self.put_signed(&name, Kind::Trust, signers.render().as_bytes())
    }

    fn put_signed(&self, name: &ObjectName, kind: Kind, body: &[u8]) -> Result<(), RepositoryError> {
        let object = sign_object(self.officer.signing, kind, &self.id, name, body)?;
        self.put(name, &object)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), RepositoryError> {
        match self.store.create(name, bytes).map_err(|error| RepositoryError::store(name.as_str(), error))? {
            Created::New => Ok(()),
            Created::Exists => Err(RepositoryError::refused(
                name.as_str(),
                "another officer put one of that number just now; look at it and repeat the command",
            )),
        }
    }
}
