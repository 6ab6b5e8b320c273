//! The catalog: what opens and seals indexes, snapshots and pack tables. Agents, maintainers and officers hold it.

use std::sync::Arc;

use crate::crypto::codec::{Compressor, Decompressor};
use crate::crypto::envelope::{self, Identity, Recipient};
use crate::crypto::sign::Kind;
use crate::format::keys::NamedIdentity;
use crate::format::{CATALOGED_PLAIN_MAX, CATALOGED_STORED_MAX};
use crate::ids::ObjectName;
use crate::repository::{JudgedAt, Repository, RepositoryError, Signed};
use crate::units::Bytes;

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
    /// No reader would take so much, or the machine failed (memory, randomness).
    pub fn seal(&self, plain: &[u8], what: &str) -> Result<Vec<u8>, RepositoryError> {
        self.seal_within(plain, what, CATALOGED_PLAIN_MAX, CATALOGED_STORED_MAX)
    }

    fn seal_within(
        &self,
        plain: &[u8],
        what: &str,
        plain_max: Bytes,
        stored_max: Bytes,
    ) -> Result<Vec<u8>, RepositoryError> {
        let refused = |length: Bytes, limit: Bytes| {
            let why =
                format!("it would be {length} long, and no reader takes more than {limit}; nothing was put");
            Err(RepositoryError::refused(what, why))
        };
        if Bytes::of(plain) > plain_max {
            return refused(Bytes::of(plain), plain_max);
        }
        let mut packed = Vec::new();
        Compressor::new()
            .and_then(|mut codec| codec.compress_into(plain, LEVEL, &mut packed))
            .map_err(|error| RepositoryError::machine(what, error))?;
        let mut sealed = Vec::new();
        envelope::seal_into(&packed, std::slice::from_ref(&self.current), &mut sealed)
            .map_err(|error| RepositoryError::machine(what, error))?;
        if Bytes::of(&sealed) > stored_max {
            return refused(Bytes::of(&sealed), stored_max);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keys::catalog_id;

    #[test]
    fn nothing_is_sealed_that_no_reader_takes() {
        let identity = Identity::generate();
        let id = catalog_id(&identity.recipient().to_string());
        let named = NamedIdentity { id, identity: identity.to_secret_string().to_string() };
        let catalog = Catalog::new(&[named]).unwrap();
        let (plain, much) = (b"an index object", Bytes::mib(1));
        let sealed = catalog.seal_within(plain, "index", Bytes::of(plain), much).unwrap();
        assert_eq!(catalog.open(&sealed, "index").unwrap(), plain);
        // How long a header is, chance decides; it is never as short as this.
        let short = Bytes(100);
        assert!(Bytes::of(&sealed) > short);
        for (plain_max, stored_max) in [(Bytes(plain.len() as u64 - 1), much), (much, short)] {
            let error = catalog.seal_within(plain, "index", plain_max, stored_max).unwrap_err();
            assert!(error.to_string().contains("no reader takes more"), "{error}");
        }
    }
}
