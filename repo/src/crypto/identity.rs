//! age recipients and identities, X25519 only, as text.

use std::fmt;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

/// What a file is encrypted to: `age1…`.
///
/// A tenant's recipient is a secret (stored data alone must give a future quantum attacker nothing to invert),
/// so `Debug` does not show it; `Display` does.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(pub(super) age::x25519::Recipient);

/// A text that is not an X25519 recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecipient {
    /// Another kind of recipient, or none.
    #[error("not an age recipient of the form age1… (58 letters and digits, lower case)")]
    NotRecipient,
    /// A key whose secrets everybody can compute; age would stop the process.
    #[error("an age recipient that protects nothing: its key is a point of low order")]
    LowOrder,
}

impl FromStr for Recipient {
    type Err = BadRecipient;

    fn from_str(text: &str) -> Result<Self, BadRecipient> {
        let recipient: age::x25519::Recipient = text.parse().map_err(|_| BadRecipient::NotRecipient)?;
        // Bech32 may be written in capitals; a recipient has one spelling.
        if recipient.to_string() != text {
            return Err(BadRecipient::NotRecipient);
        }
        let point = point_of(text).ok_or(BadRecipient::NotRecipient)?;
        if is_low_order(&point) { Err(BadRecipient::LowOrder) } else { Ok(Self(recipient)) }
    }
}

/// The 32 bytes in `age1…`.
fn point_of(text: &str) -> Option<[u8; 32]> {
    age_core::primitives::bech32_decode(
        text,
        |_| (),
        |_| Ok(()),
        |_, bytes| bytes.collect::<Vec<u8>>().try_into().map_err(|_| ()),
    )
    .ok()
}

/// Whether every shared secret with `point` is zero. One multiplication by any clamped scalar tells (RFC 7748
/// §6.1), and aws-lc reports it as an error.
fn is_low_order(point: &[u8; 32]) -> bool {
    let Ok(any) = PrivateKey::from_private_key(&X25519, &[0x42; 32]) else { return true };
    agree(&any, UnparsedPublicKey::new(&X25519, point), (), |_| Ok(())).is_err()
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(redacted)")
    }
}

/// What opens files encrypted to its recipient: `AGE-SECRET-KEY-1…`. Wiped when dropped.
pub struct Identity(pub(super) age::x25519::Identity);

/// A text that is not an X25519 identity. Says nothing of the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an age identity of the form AGE-SECRET-KEY-1…")]
pub struct BadIdentity;

impl Identity {
    /// A new identity, from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The identity as `age-keygen` writes it.
    #[must_use]
    pub fn to_secret_string(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }

    /// What to encrypt to so that this identity opens it.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }
}

impl FromStr for Identity {
    type Err = BadIdentity;

    fn from_str(text: &str) -> Result<Self, BadIdentity> {
        text.parse().map(Self).map_err(|_| BadIdentity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(redacted)")
    }
}

/// An identity file that cannot be used. Says nothing of its text but line numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFileError {
    /// The file is encrypted.
    #[error(
        "the identity file is itself encrypted, which lifeboat does not open: decrypt it with \
         `age -d -o identity.txt FILE`, use that file, then wipe it"
    )]
    Encrypted,
    /// The identity lives in a plugin (a hardware token).
    #[error(
        "line {line} is a plugin identity, which lifeboat does not run: open the object with stock `age -d -i` \
         and its plugin, or use a native identity made by `age-keygen`"
    )]
    Plugin {
        /// Counted from 1.
        line: usize,
    },
    /// A key of another kind that stock age takes: OpenSSH, post-quantum.
    #[error(
        "line {line} is a key of a kind lifeboat does not use here, such as an officer's: give an age identity of X25519, \
         as `age-keygen` makes it"
    )]
    Kind {
        /// Counted from 1.
        line: usize,
    },
    /// Something else, or a mistyped identity.
    #[error("line {line} is neither a comment nor an identity of the form AGE-SECRET-KEY-1…")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Only comments.
    #[error("the identity file holds no identity; `age-keygen` makes one")]
    Empty,
}

/// Reads an identity file as `age-keygen` writes it: one identity a line; blank lines and lines that start with
/// `#` are skipped.
///
/// # Errors
/// The file holds no identity, or something that is none; see [`IdentityFileError`].
pub fn read_identity_file(text: impl AsRef<[u8]>) -> Result<Vec<Identity>, IdentityFileError> {
    let bytes = text.as_ref();
    let mut identities = Vec::new();
    if [b"age-encryption.org/".as_slice(), b"-----BEGIN AGE ENCRYPTED FILE-----"]
        .iter()
        .any(|start| bytes.trim_ascii_start().starts_with(start))
    {
        return Err(IdentityFileError::Encrypted);
    }
    for (line, entry) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let entry = entry.trim_ascii();
        if entry.is_empty() || entry.starts_with(b"#") {
            continue;
        }
        let identity = std::str::from_utf8(entry).ok().and_then(|text| text.parse().ok());
        identities.push(identity.ok_or_else(|| not_identity(entry, line))?);
    }
    if identities.is_empty() { Err(IdentityFileError::Empty) } else { Ok(identities) }
}

fn not_identity(entry: &[u8], line: usize) -> IdentityFileError {
    let upper = entry.to_ascii_uppercase();
    let starts = |with: &str| upper.starts_with(with.as_bytes());
    if starts("AGE-PLUGIN-") {
        IdentityFileError::Plugin { line }
    } else if starts("AGE-SECRET-KEY-PQ-") || starts("-----BEGIN ") || starts("SSH-") {
        IdentityFileError::Kind { line }
    } else {
        IdentityFileError::Line { line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example in age's own tests.
    const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    #[test]
    fn identities_and_recipients_have_one_spelling() {
        let identity: Identity = SECRET.parse().unwrap();
        assert_eq!(*identity.to_secret_string(), SECRET);
        assert_eq!(identity.recipient().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse(), Ok(identity.recipient()));
        for bad in ["", "age1", &PUBLIC.to_uppercase(), &PUBLIC[1..], SECRET, &format!("{PUBLIC} ")] {
            assert_eq!(bad.parse::<Recipient>(), Err(BadRecipient::NotRecipient), "{bad}");
        }
        assert!(PUBLIC.parse::<Identity>().is_err());
    }

    #[test]
    fn generated_identities_differ_and_are_not_printed() {
        let (a, b) = (Identity::generate(), Identity::generate());
        assert_ne!(a.recipient(), b.recipient());
        assert_eq!(format!("{a:?} {:?}", a.recipient()), "Identity(redacted) Recipient(redacted)");
    }

    #[test]
    fn recipients_of_low_order_are_refused() {
        // All points of low order, and their other encodings (https://cr.yp.to/ecdh.html#validate).
        let hexes = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for hex in hexes {
            let mut point = [0; 32];
            hex::decode_to_slice(hex, &mut point).unwrap();
            assert!(is_low_order(&point), "{hex}");
        }
        assert!(!is_low_order(&point_of(PUBLIC).unwrap()));
        // Bech32 of 32 zero bytes.
        let zero = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdqqqqx";
        assert!(zero.parse::<Recipient>().is_err());
    }

    #[test]
    fn identity_files_say_what_is_wrong_and_where() {
        let file = format!("# created: 2026-11-23\r\n# public key: {PUBLIC}\r\n{SECRET}\r\n\n{SECRET}");
        let read = read_identity_file(&file).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read.first().unwrap().recipient().to_string(), PUBLIC);

        let error = |text: &str| read_identity_file(text).err();
        assert_eq!(error(""), Some(IdentityFileError::Empty));
        assert_eq!(error("# nothing\n\n"), Some(IdentityFileError::Empty));
        assert_eq!(error(&format!("{SECRET}\nx")), Some(IdentityFileError::Line { line: 2 }));
        assert_eq!(error(PUBLIC), Some(IdentityFileError::Line { line: 1 }));
        assert_eq!(error("#\nAGE-PLUGIN-YUBIKEY-1Q"), Some(IdentityFileError::Plugin { line: 2 }));
        assert_eq!(error("AGE-SECRET-KEY-PQ-1Q"), Some(IdentityFileError::Kind { line: 1 }));
        assert_eq!(error("-----BEGIN OPENSSH PRIVATE KEY-----"), Some(IdentityFileError::Kind { line: 1 }));
        assert_eq!(error("age-encryption.org/v1\n-> scrypt x 18\n"), Some(IdentityFileError::Encrypted));
        assert_eq!(error("-----BEGIN AGE ENCRYPTED FILE-----\n"), Some(IdentityFileError::Encrypted));
        assert!(read_identity_file([0xff, 0xfe]).is_err());
    }
}
