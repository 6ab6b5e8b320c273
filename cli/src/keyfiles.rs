//! Keys in files: read with plain words about what is wrong, written once and for their owner only.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lifeboat_repo::clock::Entropy;
use lifeboat_repo::crypto::envelope::{Identity, Recipient};
use lifeboat_repo::crypto::read_identity_file;
use lifeboat_repo::crypto::sign::{SigningKey, VerifyingKey};

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};

/// Key files are short; more is another file given by mistake.
const KEY_FILE_MAX: u64 = 64 << 10;

/// Reads a signing key as ssh-keygen writes it.
pub(crate) fn read_signing_key(path: &Path, whose: &str) -> Result<SigningKey> {
    let text = read(path, whose)?;
    SigningKey::from_openssh(&text).map_err(|error| unusable(path, whose, &error.to_string()))
}

/// Reads the identities of a file as age-keygen writes it.
pub(crate) fn read_identities(path: &Path, whose: &str) -> Result<Vec<Identity>> {
    let text = read(path, whose)?;
    read_identity_file(&text).map_err(|error| unusable(path, whose, &error.to_string()))
}

/// Reads the first identity of a file.
pub(crate) fn read_identity(path: &Path, whose: &str) -> Result<Identity> {
    let mut identities = read_identities(path, whose)?;
    if identities.len() > 1 {
        return Err(unusable(path, whose, "it holds several identities; one is expected"));
    }
    identities.pop().ok_or_else(|| unusable(path, whose, "it holds no identity"))
}

/// Reads a public key: the line of a `.pub` file, or such a file.
pub(crate) fn read_public_key(text_or_path: &str) -> Result<VerifyingKey> {
    if let Ok(key) = text_or_path.trim().parse() {
        return Ok(key);
    }
    let path = Path::new(text_or_path);
    let text = read(path, "public key")?;
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|error| unusable(path, "public key", &format!("it is {error}")))
}

/// Reads a short text, such as allowed signers.
#[cfg(feature = "recover")]
pub(crate) fn read_text(path: &Path, whose: &str) -> Result<String> {
    String::from_utf8(read(path, whose)?).map_err(|_| unusable(path, whose, "it is no text"))
}

fn read(path: &Path, whose: &str) -> Result<Vec<u8>> {
    let text = fs::metadata(path).and_then(|meta| {
        if meta.is_file() && meta.len() > KEY_FILE_MAX {
            return Err(std::io::Error::other("it is far too long to be a key"));
        }
        fs::read(path)
    });
    text.map_err(|error| unread(path, whose, &error))
}

fn unread(path: &Path, whose: &str, error: &std::io::Error) -> Failure {
    let what = match error.kind() {
        ErrorKind::NotFound => format!("there is no {whose}"),
        _ => format!("cannot read the {whose}: {error}"),
    };
    let failure = Failure::usage(what).code(Code::NoKeyFile).at(shown(path));
    match error.kind() {
        // It is there: whoever is told to make one would make another.
        ErrorKind::PermissionDenied => {
            failure.next("run this as the user whose key that is; backups usually run as root")
        }
        _ => failure,
    }
}

fn unusable(path: &Path, whose: &str, why: &str) -> Failure {
    Failure::new(Exit::Refused, format!("the {whose} cannot be used: {why}"))
        .code(Code::BadKey)
        .at(shown(path))
}

/// The permissions beyond its owner's that a file of a secret has, if any.
pub(crate) fn too_open(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// What is said of a file that lies where one is to be made.
pub(crate) fn in_the_way(path: &Path) -> Failure {
    Failure::new(Exit::Refused, "there is a file of that name; it is never overwritten")
        .code(Code::Exists)
        .at(shown(path))
        .next("move it away if you no longer need it, or choose another place")
}

/// Writes a new file; one that is there is never overwritten.
fn write_new(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        private_directory(directory)?;
    }
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        });
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => in_the_way(path),
        _ => Failure::file("write a key", path, &error),
    })
}

/// Makes a directory, and those above it, for their owner only. One that is there is left as it is.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::file("make the directory", path, &error))
}

/// The file beside a signing key that holds its public half.
pub(crate) fn public_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".pub");
    path.with_file_name(name)
}

/// Makes a signing key, and its public half beside it.
pub(crate) fn make_signing_key(path: &Path, comment: &str, entropy: &dyn Entropy) -> Result<SigningKey> {
    let mut seed = [0; 32];
    entropy.fill(&mut seed).map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
    let key = SigningKey::from_seed(seed);
    let text = key.to_openssh().map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
    write_new(path, text.as_bytes(), 0o600)?;
    write_new(&public_file(path), format!("{} {comment}\n", key.public()).as_bytes(), 0o644)?;
    Ok(key)
}

/// Makes an age identity as age-keygen would, with a comment that says what it is.
pub(crate) fn make_identity(path: &Path, comment: &str) -> Result<Identity> {
    let identity = Identity::generate();
    let secret = identity.to_secret_string();
    let text = format!("# {comment}\n# public key: {}\n", identity.recipient());
    write_new(path, [text.as_bytes(), secret.as_bytes(), b"\n"].concat().as_slice(), 0o600)?;
    Ok(identity)
}

/// Reads a recipient.
pub(crate) fn parse_recipient(text: &str) -> std::result::Result<Recipient, String> {
    text.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::clock::SystemEntropy;

    #[test]
    fn keys_are_written_once_for_their_owner_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/officer-alice");
        let key = make_signing_key(&path, "alice", &SystemEntropy).unwrap();
        assert_eq!(too_open(&path), None);
        assert_eq!(read_signing_key(&path, "officer's key").unwrap().public(), key.public());
        let public = public_file(&path);
        assert_eq!(read_public_key(public.to_str().unwrap()).unwrap(), key.public());
        assert_eq!(read_public_key(&format!("{} x", key.public())).unwrap(), key.public());
        let again = make_signing_key(&path, "alice", &SystemEntropy).unwrap_err();
        assert_eq!(again.exit, Exit::Refused);

        let path = directory.path().join("keys/recovery.txt");
        let identity = make_identity(&path, "recovery identity of eu-fra").unwrap();
        assert_eq!(read_identity(&path, "identity").unwrap().recipient(), identity.recipient());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(too_open(&path), Some(0o640));
        assert_eq!(read_signing_key(&path, "key").unwrap_err().exit, Exit::Refused);
        assert_eq!(read_identity(&directory.path().join("none"), "identity").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn whose_key_may_not_be_read_is_not_told_to_make_another() {
        let unread =
            |kind: ErrorKind| unread(Path::new("keys/host-1"), "signing key", &kind.into()).next("make one");
        assert_eq!(unread(ErrorKind::NotFound).next.as_deref(), Some("make one"));
        assert!(unread(ErrorKind::PermissionDenied).next.unwrap().starts_with("run this as the user"));
    }
}
