//! Signed objects: an SSHSIG block, then the body.
//!
//! ```text
//! -----BEGIN SSH SIGNATURE-----
//! …base64, 70 columns…
//! -----END SSH SIGNATURE-----
//! body, to the end
//! ```
//!
//! The namespace is `lifeboat-<kind>:<repository>:<name>`, so nothing passes under another name, in another
//! repository or as another kind of thing. `sed` splits an object, `ssh-keygen -Y verify` checks it. Ed25519 and
//! SHA-512 only; a block has exactly one spelling, so no byte of an object can change unnoticed.
//!
//! Source: <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig>.

use std::fmt;
use std::str::FromStr;

use ssh_key::{Algorithm, HashAlg, LineEnding, SshSig};

use crate::ids::{ObjectName, RepositoryId};
use crate::units::Bytes;

pub use super::ssh::{BadSigningKey, BadVerifyingKey, SigningKey, VerifyingKey};

/// The longest SSHSIG block. An Ed25519 block with the longest object name takes 1.2 KiB. ssh-keygen takes
/// quadratic time over what it is given as a signature, so a block is measured before it is read.
pub const SSHSIG_BLOCK_MAX: Bytes = Bytes::kib(4);

const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----\n";
const END: &[u8] = b"\n-----END SSH SIGNATURE-----\n";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What an object is, and so who may sign it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The kind as it stands in a namespace.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// Who may sign what.
    Trust = "trust",
    /// What recovery or writers need, wrapped.
    Seal = "seal",
    /// A tenant key.
    Key = "key",
    /// A tenant key without its private half, for its writer.
    Card = "card",
    /// Where chunks lie.
    Index = "index",
    /// One component at one moment.
    Snapshot = "snapshot",
    /// An end to a run, put where its snapshot would be.
    Fence = "fence",
    /// That a run began.
    Run = "run",
    /// What a writer or officer did.
    Ledger = "ledger",
    /// What is to be collected.
    Gc = "gc",
    /// That a tenant is erased.
    Erasure = "erasure",
    /// A copy of seals and keys, under a lock.
    Bundle = "bundle",
    /// What a run copied into a replica.
    Replica = "replica",
    /// What a host remembers between backups.
    State = "state",
    /// That an application's data was alive, and up to which record.
    Heartbeat = "heartbeat",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of object")]
pub struct BadKind;

impl FromStr for Kind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(BadKind)
    }
}

/// What a signature over such an object must have been made for.
#[must_use]
pub fn namespace(kind: Kind, repository: &RepositoryId, name: &ObjectName) -> String {
    format!("lifeboat-{kind}:{repository}:{name}")
}

/// A body that could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignError(String);

/// The object to store: the block, then the body.
///
/// # Errors
/// Only where ssh-key fails at what it cannot fail at; nothing must be stored then.
pub fn sign_object(
    key: &SigningKey,
    kind: Kind,
    repository: &RepositoryId,
    name: &ObjectName,
    body: &[u8],
) -> Result<Vec<u8>, SignError> {
    let block = sign_detached(key, &namespace(kind, repository, name), body)?;
    let mut object = Vec::with_capacity(block.len().saturating_add(body.len()));
    object.extend_from_slice(block.as_bytes());
    object.extend_from_slice(body);
    Ok(object)
}

/// The block alone, for a file beside the one it signs, as `ssh-keygen -Y sign` writes it. The namespace is none of a
/// stored object's (see [`namespace`]), or it could be put in front of its file and stored as one.
///
/// # Errors
/// As [`sign_object`].
pub fn sign_detached(key: &SigningKey, namespace: &str, body: &[u8]) -> Result<String, SignError> {
    let failed = |error: ssh_key::Error| SignError(error.to_string());
    let signature = key.inner().sign(namespace, HashAlg::Sha512, body).map_err(failed)?;
    let block = signature.to_pem(LineEnding::LF).map_err(failed)?;
    if Bytes::of(block.as_bytes()) > SSHSIG_BLOCK_MAX {
        return Err(SignError("the block is longer than a reader takes".into()));
    }
    Ok(block)
}

/// Bytes that are no signed object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// They do not begin with a block.
    #[error("it is not signed: it does not begin with an SSH signature")]
    Unsigned,
    /// The block does not end, or not soon enough.
    #[error("its signature block does not end within {SSHSIG_BLOCK_MAX}")]
    Unended,
    /// The block is not SSHSIG.
    #[error("its signature block is malformed: {0}")]
    Malformed(String),
    /// The block is SSHSIG, but not as Lifeboat signs.
    #[error("its signature is of a kind lifeboat does not take: {0}")]
    Unsupported(&'static str),
}

/// A well-formed signature, of which nothing is known to be true until [`verify`] says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshsigBlock {
    signature: SshSig,
    key: VerifyingKey,
}

impl SshsigBlock {
    /// What it claims to have been made for.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.signature.namespace()
    }

    /// The key it claims to be made with.
    #[must_use]
    pub const fn public_key(&self) -> VerifyingKey {
        self.key
    }

    fn parse(text: &[u8]) -> Result<Self, FrameError> {
        let malformed = |error: ssh_key::Error| FrameError::Malformed(error.to_string());
        let signature = SshSig::from_pem(text).map_err(malformed)?;
        if signature.version() != SshSig::VERSION {
            return Err(FrameError::Unsupported("another version of SSHSIG"));
        }
        if signature.hash_alg() != HashAlg::Sha512 {
            return Err(FrameError::Unsupported("its hash is not sha512"));
        }
        if !signature.reserved().is_empty() {
            return Err(FrameError::Unsupported("its reserved field is not empty"));
        }
        if signature.algorithm() != Algorithm::Ed25519 {
            return Err(FrameError::Unsupported("it is not Ed25519"));
        }
        let key = VerifyingKey::from_data(signature.public_key())
            .ok_or(FrameError::Unsupported("its key is not Ed25519"))?;
        // Base64 and line breaks could be spelled in other ways; one is enough.
        if signature.to_pem(LineEnding::LF).map_err(malformed)?.as_bytes() != text {
            return Err(FrameError::Malformed("it is not spelled as ssh-keygen spells it".into()));
        }
        Ok(Self { signature, key })
    }
}

/// Splits an object into its block and its body, checking neither against the other.
///
/// # Errors
/// It does not begin with one well-formed block of at most [`SSHSIG_BLOCK_MAX`].
pub fn split_object(object: &[u8]) -> Result<(SshsigBlock, &[u8]), FrameError> {
    if !object.starts_with(BEGIN) {
        return Err(FrameError::Unsigned);
    }
    let searched = object.get(..SSHSIG_BLOCK_MAX.as_usize()).unwrap_or(object);
    let end = searched.windows(END.len()).position(|window| window == END).ok_or(FrameError::Unended)?;
    let (text, body) = object.split_at_checked(end.saturating_add(END.len())).ok_or(FrameError::Unended)?;
    Ok((SshsigBlock::parse(text)?, body))
}

/// A signature that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It was made for another name, repository or kind.
    #[error("signed as {found:?}, not as {expected:?}")]
    Renamed {
        /// What it was made for.
        found: String,
        /// What it should have been made for.
        expected: String,
    },
    /// Body or signature are changed.
    #[error("the signature does not match the body")]
    Mismatch,
}

/// Checks that `block` was made over `body` for `expected`, and says with which key. Whether that key may sign
/// such a thing is for [`AllowedSigners::check`](super::signers::AllowedSigners::check).
///
/// # Errors
/// It was not.
pub fn verify(block: &SshsigBlock, body: &[u8], expected: &str) -> Result<VerifyingKey, VerifyError> {
    if block.namespace() != expected {
        let found = block.namespace().chars().take(640).collect();
        return Err(VerifyError::Renamed { found, expected: expected.to_owned() });
    }
    block.key.to_public_key().verify(expected, body, &block.signature).map_err(|_| VerifyError::Mismatch)?;
    Ok(block.key)
}

#[cfg(test)]
mod tests;
