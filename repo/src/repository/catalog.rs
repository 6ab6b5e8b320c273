//! The catalog: what opens and seals indexes, snapshots and pack tables. Agents, maintainers and officers hold it.

use std::sync::Arc;

use crate::crypto::codec::{Compressor, Decompressor};
use crate::crypto::envelope::{self, Identity, Recipient};
use crate::crypto::sign::Kind;
use crate::format::keys::NamedIdentity;
use crate::format::{CATALOGED_PLAIN_MAX, CATALOGED_STORED_MAX};
use crate::ids::ObjectName;
use crate::repository::{JudgedAt, Repository, RepositoryError, Signed};

/// The compression level of what the catalog seals. Most of it is hex of random bytes: harder work gains nothing.
const LEVEL: i32 = 3;

/// The catalog identities of a repository.
#[derive(Clone)]
pub struct Catalog {
    identities: Arc<[Identity]>,
    current: Recipient,
}

impl Catalog {
    /// The catalog of these identities; the last is the one to write with.
    ///
    /// # Errors
    /// There is none, or one is malformed.
    pub fn new(named: &[NamedIdentity]) -> Result<Self, RepositoryError> {
        let identities = named
            .iter()
            .map(|named| named.identity.parse::<Identity>())
            .collect::<Result<Arc<[_]>, _>>()
            .map_err(|error| RepositoryError::damaged("catalog identity", error.to_string()))?;
        let current = identities
            .last()
            .map(Identity::recipient)
            .ok_or_else(|| RepositoryError::damaged("seals", "they hold no catalog identity"))?;
        Ok(Self { identities, current })
    }

    /// Compresses and seals.
    ///
    /// # Errors
    /// The machine failed (memory, randomness).
    pub fn seal(&self, plain: &[u8], what: &str) -> Result<Vec<u8>, RepositoryError> {
        let mut packed = Vec::new();
        Compressor::new()
            .and_then(|mut codec| codec.compress_into(plain, LEVEL, &mut packed))
            .map_err(|error| RepositoryError::machine(what, error))?;
        let mut sealed = Vec::new();
        envelope::seal_into(&packed, std::slice::from_ref(&self.current), &mut sealed)
            .map_err(|error| RepositoryError::machine(what, error))?;
        Ok(sealed)
    }

    /// Opens and decompresses.
    ///
    /// # Errors
    /// The bytes are damaged, or no catalog identity opens them.
    pub fn open(&self, sealed: &[u8], what: &str) -> Result<Vec<u8>, RepositoryError> {
        let mut packed = Vec::new();
        envelope::open_into(sealed, &self.identities, &mut packed)
            .map_err(|error| RepositoryError::damaged(what, error.to_string()))?;
        let mut plain = Vec::new();
        Decompressor::new()
            .and_then(|mut codec| codec.decompress_into(&packed, CATALOGED_PLAIN_MAX, &mut plain))
            .map_err(|error| RepositoryError::damaged(what, error.to_string()))?;
        Ok(plain)
    }

    /// Reads a signed object and opens its body.
    ///
    /// # Errors
    /// As [`Repository::read_signed`] and [`Self::open`].
    pub fn read(
        &self,
        repository: &Repository,
        name: &ObjectName,
        kind: Kind,
        at: JudgedAt,
    ) -> Result<(Signed, Vec<u8>), RepositoryError> {
        let signed = repository.read_signed(name, &[kind], at, CATALOGED_STORED_MAX)?;
        let plain = self.open(&signed.body, name.as_str())?;
        Ok((signed, plain))
    }
}
