//! A repository: a store whose objects are trusted for reasons.
//!
//! [`Repository`] knows the newest trust and reads signed objects. What an agent does to one is in [`agent`] and
//! [`run`], what officers do in `officer`, what recovery needs in `recover`; the latter two are absent from an
//! agent-only build.

mod adopt;
pub mod agent;
pub mod catalog;
pub mod erasures;
pub mod error;
pub mod expiry;
pub mod floor;
pub mod gc;
pub mod heartbeats;
pub mod index;
mod journal;
pub mod ledger;
pub mod moved;
pub mod pack;
mod remembered;
pub mod replicas;
pub mod run;
mod seals;
pub mod shelf;
mod signed;
pub mod snapshots;
pub mod state;
pub mod trust;
pub mod versions;
pub mod witness;

#[cfg(feature = "recover")]
pub mod bundles;
#[cfg(feature = "recover")]
pub mod collect;
#[cfg(feature = "recover")]
mod draft;
#[cfg(feature = "recover")]
pub mod erase;
#[cfg(feature = "recover")]
pub mod locks;
#[cfg(feature = "recover")]
pub mod maintainer;
#[cfg(feature = "recover")]
pub mod officer;
#[cfg(feature = "recover")]
pub mod open_runs;
#[cfg(feature = "recover")]
pub mod order;
#[cfg(feature = "recover")]
pub mod recover;
#[cfg(feature = "recover")]
pub mod renewal;
#[cfg(feature = "recover")]
pub mod repair;
#[cfg(feature = "recover")]
pub mod replicate;
#[cfg(feature = "recover")]
pub mod reseal;
#[cfg(feature = "recover")]
pub mod segments;
#[cfg(feature = "recover")]
mod signing;
#[cfg(feature = "recover")]
pub mod spare;

use std::sync::Arc;

pub use error::{RepositoryError, RepositoryErrorKind};

use crate::crypto::hash::sha256;
use crate::crypto::sign::{self, Kind, VerifyingKey};
use crate::ids::{Label, ObjectHash, ObjectName, RepositoryId};
use crate::store::Store;
use crate::units::{Bytes, Timestamp};
use remembered::Remembered;
use trust::Trust;

/// An opened repository.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    trust: Trust,
    role: Role,
    remembered: Arc<Remembered>,
}

/// Which store of a repository is opened. Whoever opens it says so; nothing stored decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The repository itself: backups go here.
    Primary,
    /// A copy of it, where a snapshot counts only once a replication committed it. FORMAT.md §14.
    Replica,
}

/// Who signed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An officer.
    Officer(Label),
    /// A writer.
    Writer(Label),
    /// A maintainer.
    Maintainer(Label),
}

/// A signed object whose signature holds.
#[derive(Debug)]
pub struct Signed {
    /// Its kind; at a snapshot's name this tells a fence from a snapshot.
    pub kind: Kind,
    /// The key that signed it.
    pub key: VerifyingKey,
    /// Who signed it.
    pub principal: Principal,
    /// What is signed.
    pub body: Vec<u8>,
    /// The SHA-256 of the whole object.
    pub hash: ObjectHash,
    /// The length of the whole object.
    pub length: Bytes,
}

/// Objects that are read ahead. Whatever nobody came for until the end is forgotten: later it might be read for what is
/// there by then.
#[must_use]
pub(crate) struct Ahead<'s>(Option<&'s dyn Store>);

impl<'s> Ahead<'s> {
    fn of(store: &'s dyn Store, names: Vec<ObjectName>) -> Self {
        // One alone is read when it is asked for.
        let many = names.len() > 1;
        if many {
            store.expect_whole(names);
        }
        Self(many.then_some(store))
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.0 {
            store.expect_whole(Vec::new());
        }
    }
}

/// The moment a signature is judged at.
#[derive(Clone, Copy, Debug)]
pub enum JudgedAt {
    /// This one.
    Moment(Timestamp),
    /// Whenever: something else, such as a ledger entry, tells the moment.
    Any,
}

impl Repository {
    /// Opens the repository in a store, trusting the officers whose keys are pinned.
    ///
    /// # Errors
    /// There is no repository, its trust is not signed by a pinned officer, or the store failed.
    pub fn open(store: Arc<dyn Store>, pins: &[VerifyingKey]) -> Result<Self, RepositoryError> {
        let trust = Trust::load(store.as_ref(), pins)?;
        Ok(Self::by(store, trust, Role::Primary))
    }

    /// By a trust that was checked.
    fn by(store: Arc<dyn Store>, trust: Trust, role: Role) -> Self {
        Self { store, trust, role, remembered: Arc::default() }
    }

    /// Opens a replica of a repository, trusting the officers whose keys are pinned.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_replica(store: Arc<dyn Store>, pins: &[VerifyingKey]) -> Result<Self, RepositoryError> {
        let trust = Trust::load(store.as_ref(), pins)?;
        Ok(Self::by(store, trust, Role::Replica))
    }

    /// Which store of the repository this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The same repository, with the same trust, in another store.
    #[must_use]
    pub fn over(&self, store: Arc<dyn Store>) -> Self {
        Self::by(store, self.trust.clone(), self.role)
    }

    /// Its replica in another store, by the same trust.
    #[cfg(feature = "recover")]
    #[must_use]
    pub fn replica_over(&self, store: Arc<dyn Store>) -> Self {
        Self::by(store, self.trust.clone(), Role::Replica)
    }

    /// The store, shared.
    #[must_use]
    pub fn store_shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The newest trust.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Which repository this is.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.trust.header.repository
    }

    /// The same repository with the newest trust by now.
    ///
    /// # Errors
    /// A link of trust does not hold, or the store failed.
    pub fn renewed(&self) -> Result<Self, RepositoryError> {
        Ok(Self { trust: self.trust.renewed(self.store())?, ..self.clone() })
    }

    /// Reads an object and checks its signature against the newest trust.
    ///
    /// # Errors
    /// It is missing, too long, unsigned, signed by nobody trusted or under another name, or the store failed.
    pub fn read_signed(
        &self,
        name: &ObjectName,
        kinds: &[Kind],
        at: JudgedAt,
        limit: Bytes,
    ) -> Result<Signed, RepositoryError> {
        if let Some(bytes) = self.remembered.get(name, limit) {
            return self.check_signed(name, bytes, kinds, at);
        }
        let bytes =
            self.store.read(name, limit).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        let kept = Remembered::takes(name, Bytes::of(&bytes)).then(|| bytes.clone());
        let signed = self.check_signed(name, bytes, kinds, at)?;
        if let Some(bytes) = kept {
            self.remembered.keep(name, bytes);
        }
        Ok(signed)
    }

    /// Says that these will be read, in this order, while what is returned lives: what is far away sets out now.
    pub(crate) fn expect(&self, names: impl IntoIterator<Item = ObjectName>) -> Ahead<'_> {
        let wanted = names.into_iter().filter(|name| !self.remembered.has(name));
        Ahead::of(self.store(), wanted.collect())
    }

    /// Checks the signature of an object's bytes against the newest trust.
    ///
    /// # Errors
    /// It is unsigned, or signed by nobody trusted or under another name.
    pub fn check_signed(
        &self,
        name: &ObjectName,
        mut bytes: Vec<u8>,
        kinds: &[Kind],
        at: JudgedAt,
    ) -> Result<Signed, RepositoryError> {
        let hash = ObjectHash::from_bytes(sha256(&bytes));
        let length = Bytes::of(&bytes);
        let damaged = |why: String| RepositoryError::damaged(name.as_str(), why);
        let (block, body) = sign::split_object(&bytes).map_err(|error| damaged(error.to_string()))?;
        let id = self.id();
        let kind = kinds
            .iter()
            .copied()
            .find(|kind| block.namespace() == sign::namespace(*kind, &id, name))
            .ok_or_else(|| {
                damaged(format!("it was signed as {:?}, not under this name", block.namespace()))
            })?;
        let namespace = sign::namespace(kind, &id, name);
        let key = sign::verify(&block, body, &namespace).map_err(|error| damaged(error.to_string()))?;
        let principal = self.judge(&key, kind, name, at)?;
        let head = bytes.len() - body.len();
        let body = bytes.split_off(head);
        Ok(Signed { kind, key, principal, body, hash, length })
    }
}

impl Repository {
    /// Who the newest trust says made a signature of this kind and name, at that moment.
    ///
    /// # Errors
    /// Nobody who may.
    pub fn judge(
        &self,
        key: &VerifyingKey,
        kind: Kind,
        name: &ObjectName,
        at: JudgedAt,
    ) -> Result<Principal, RepositoryError> {
        self.trust.admit(key, &sign::namespace(kind, &self.id(), name), at).map_err(|why| RepositoryError {
            what: name.to_string(),
            kind: RepositoryErrorKind::Untrusted(why),
        })
    }
}

impl Principal {
    /// The principal that `allowed_signers` names so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (role, name) = text.split_once(':')?;
        let name = name.parse().ok()?;
        match role {
            "officer" => Some(Self::Officer(name)),
            "writer" => Some(Self::Writer(name)),
            "maintainer" => Some(Self::Maintainer(name)),
            _ => None,
        }
    }

    /// Whether this is that writer.
    #[must_use]
    pub fn is_writer(&self, name: &Label) -> bool {
        matches!(self, Self::Writer(own) if own == name)
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Officer(name) => write!(f, "officer:{name}"),
            Self::Writer(name) => write!(f, "writer:{name}"),
            Self::Maintainer(name) => write!(f, "maintainer:{name}"),
        }
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({} at {})", self.id(), self.store.location())
    }
}
