//! Ed25519 keys in the forms OpenSSH keeps them in.

use std::fmt;
use std::str::FromStr;

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// A key that signs objects. Wiped when dropped.
pub struct SigningKey(PrivateKey);

/// A text that is not a key to sign with. Says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    /// It has a passphrase.
    #[error(
        "the signing key is encrypted with a passphrase, which lifeboat cannot ask for: keep it in a file only \
         its user can read and remove the passphrase with `ssh-keygen -p -N '' -f FILE`"
    )]
    Encrypted,
    /// RSA, ECDSA, a hardware key.
    #[error("the signing key is not Ed25519: make one with `ssh-keygen -t ed25519 -N '' -f FILE`")]
    NotEd25519,
    /// Something else.
    #[error("not a private key as ssh-keygen writes it (-----BEGIN OPENSSH PRIVATE KEY-----)")]
    Malformed,
}

impl SigningKey {
    /// The key that these 32 random bytes are.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(PrivateKey::from(Ed25519Keypair::from_seed(&seed)))
    }

    /// Reads a key as `ssh-keygen -t ed25519 -N ''` writes it.
    ///
    /// # Errors
    /// It is encrypted, of another kind, or no key; see [`BadSigningKey`].
    pub fn from_openssh(text: impl AsRef<[u8]>) -> Result<Self, BadSigningKey> {
        let key = PrivateKey::from_openssh(text.as_ref()).map_err(|error| match error {
            ssh_key::Error::AlgorithmUnsupported { .. } | ssh_key::Error::AlgorithmUnknown => {
                BadSigningKey::NotEd25519
            }
            _ => BadSigningKey::Malformed,
        })?;
        if key.is_encrypted() {
            return Err(BadSigningKey::Encrypted);
        }
        match key.key_data() {
            KeypairData::Ed25519(_) => Ok(Self(key)),
            _ => Err(BadSigningKey::NotEd25519),
        }
    }

    /// The key as `ssh-keygen` writes it, without a passphrase.
    ///
    /// # Errors
    /// Never for a key that was made or read here.
    pub fn to_openssh(&self) -> Result<Zeroizing<String>, BadSigningKey> {
        self.0.to_openssh(LineEnding::LF).map_err(|_| BadSigningKey::Malformed)
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        // `from_seed` and `from_openssh` admit nothing else, so the default is never taken.
        VerifyingKey(self.0.public_key().key_data().ed25519().copied().unwrap_or(Ed25519PublicKey([0; 32])))
    }

    pub(super) fn inner(&self) -> &PrivateKey {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

/// A key that checks signatures, in one spelling: `ssh-ed25519 AAAA…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey(Ed25519PublicKey);

/// A text that is not an Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key of the form ssh-ed25519 AAAA…")]
pub struct BadVerifyingKey;

impl VerifyingKey {
    /// What people compare: `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        KeyData::from(self.0).fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) fn from_data(data: &KeyData) -> Option<Self> {
        data.ed25519().copied().map(Self)
    }

    pub(super) fn to_public_key(self) -> PublicKey {
        PublicKey::from(self.0)
    }
}

impl FromStr for VerifyingKey {
    type Err = BadVerifyingKey;

    /// Takes the line of a `.pub` file; a comment after the key is dropped.
    fn from_str(text: &str) -> Result<Self, BadVerifyingKey> {
        let key = PublicKey::from_openssh(text).map_err(|_| BadVerifyingKey)?;
        let key = Self::from_data(key.key_data()).ok_or(BadVerifyingKey)?;
        let spelled = key.to_string();
        let rest = text.strip_prefix(&spelled).ok_or(BadVerifyingKey)?;
        if rest.is_empty() || rest.starts_with([' ', '\n', '\r']) { Ok(key) } else { Err(BadVerifyingKey) }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_public_key().to_openssh().map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn ssh_keygen(arguments: &[&str], file: &Path) -> String {
        let output = Command::new("ssh-keygen").args(arguments).arg(file).output();
        let output = output.unwrap_or_else(|error| panic!("install ssh-keygen (openssh-client): {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn ssh_keygen_reads_our_keys() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("key");
        let key = SigningKey::from_seed([7; 32]);
        std::fs::write(&file, key.to_openssh().unwrap().as_bytes()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let public = ssh_keygen(&["-y", "-f"], &file);
        assert_eq!(public.trim_end(), key.public().to_string());
        assert!(ssh_keygen(&["-l", "-f"], &file).contains(&key.public().fingerprint()));
        let again = SigningKey::from_openssh(std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
    }

    #[test]
    fn we_read_the_keys_of_ssh_keygen_and_say_what_to_do_about_others() {
        let scratch = tempfile::tempdir().unwrap();
        let make = |name: &str, kind: &str, passphrase: &str| {
            let file = scratch.path().join(name);
            ssh_keygen(&["-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f"], &file);
            let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
            (SigningKey::from_openssh(std::fs::read(file).unwrap()), public)
        };
        let (key, public) = make("plain", "ed25519", "");
        let key = key.unwrap();
        assert_eq!(public.parse(), Ok(key.public()));
        assert_eq!(public, format!("{} a comment\n", key.public()));

        assert_eq!(make("locked", "ed25519", "correct horse").0.unwrap_err(), BadSigningKey::Encrypted);
        let (rsa, public) = make("rsa", "rsa", "");
        assert_eq!(rsa.unwrap_err(), BadSigningKey::NotEd25519);
        assert!(public.parse::<VerifyingKey>().is_err());
        let (ecdsa, public) = make("ecdsa", "ecdsa", "");
        assert_eq!(ecdsa.unwrap_err(), BadSigningKey::NotEd25519);
        assert!(public.parse::<VerifyingKey>().is_err());
        for bad in ["", "x", "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n"] {
            assert_eq!(SigningKey::from_openssh(bad).unwrap_err(), BadSigningKey::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn public_keys_have_one_spelling() {
        let key = SigningKey::from_seed([1; 32]).public();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(format!("{text} someone@somewhere\n").parse(), Ok(key));
        for bad in ["", "ssh-ed25519", &format!(" {text}"), &format!("{text}="), &format!("no-pty {text}")] {
            assert!(bad.parse::<VerifyingKey>().is_err(), "{bad:?}");
        }
        assert!(text.replace("ssh-ed25519 ", "ssh-rsa ").parse::<VerifyingKey>().is_err());
    }

    #[test]
    fn private_keys_are_not_printed() {
        let key = SigningKey::from_seed([1; 32]);
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().fingerprint()));
    }
}
