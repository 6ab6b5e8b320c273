//! Writes an evidence directory: everything or nothing, and never over another.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::{SigningKey, sign_detached};
use lifeboat_repo::crypto::signers::{AllowedSigners, Entry};
use lifeboat_repo::ids::{Label, ObjectHash};

use super::derived::derived;
use super::error::{EvidenceError, EvidenceErrorKind};
use super::facts::{FORMAT, Facts};
use super::instructions;

/// The hashes of every other file.
pub(super) const SUMS: &str = "SHA256SUMS";
/// The signature over [`SUMS`].
pub(super) const SIGNATURE: &str = "SHA256SUMS.sig";
/// The signer's public key.
pub(super) const SIGNERS: &str = "allowed_signers";

/// A file of an evidence directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its name: letters, digits, `.`, `_`, `-`, a letter or digit first.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Attachment {
    /// A file.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// Who signs.
#[derive(Debug)]
pub struct Signer<'k> {
    /// Whose key it is, as `allowed_signers` names it: `officer:alice`, `drill-lead:bob`.
    pub principal: String,
    /// The key.
    pub key: &'k SigningKey,
}

/// What a signature over the evidence of this id is made for. No stored object has such a namespace, so neither can pass
/// for the other.
#[must_use]
pub(super) fn namespace(id: &Label) -> String {
    format!("lifeboat-evidence:{id}")
}

/// Writes `parent/<id>` with all there is to it and returns its path. It appears in one step, whole and on disk.
///
/// `attachments` are what facts cannot be made from: what [`extract`](super::extract()) took of the ledgers, other records.
///
/// # Errors
/// There is a directory of that id already, the facts are unfit to be written, or a file cannot be.
pub fn write(
    parent: &Path,
    facts: &Facts,
    attachments: &[Attachment],
    signer: &Signer<'_>,
) -> Result<PathBuf, EvidenceError> {
    create(parent, facts, attachments, Some(signer))
}

/// The same without a signature: nobody's word yet. [`sign`](super::sign()) may come later.
///
/// # Errors
/// As [`write()`].
pub fn write_unsigned(
    parent: &Path,
    facts: &Facts,
    attachments: &[Attachment],
) -> Result<PathBuf, EvidenceError> {
    create(parent, facts, attachments, None)
}

fn create(
    parent: &Path,
    facts: &Facts,
    attachments: &[Attachment],
    signer: Option<&Signer<'_>>,
) -> Result<PathBuf, EvidenceError> {
    if facts.format != FORMAT {
        return Err(EvidenceError::unfit("format", format!("it is {}, not {FORMAT}", facts.format)));
    }
    let path = parent.join(facts.id.as_str());
    if path.symlink_metadata().is_ok() {
        return Err(EvidenceError { what: path.display().to_string(), kind: EvidenceErrorKind::Exists });
    }
    let files = files(facts, attachments, signer)?;
    reserve(&path)?.fill(&files)
}

/// Makes a place for evidence ready before that begins which it is to be evidence of: what was done and cannot be told any
/// more, since there is no room or no right, is worse than what was not begun. Nothing appears at the path itself yet.
///
/// # Errors
/// Something is there that is no empty directory, or nothing can be written beside it.
pub fn reserve(path: &Path) -> Result<Reserved, EvidenceError> {
    let shown = path.display().to_string();
    let failed = |error| EvidenceError::file(shown.clone(), error);
    let free = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(failed(error)),
        Err(error) => error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err(),
        Ok(mut entries) => entries.next().is_none(),
    };
    if !free {
        return Err(EvidenceError { what: shown, kind: EvidenceErrorKind::Exists });
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    // A dot in front: whoever lists evidence does not see what is not whole.
    let scratch = tempfile::Builder::new().prefix(".evidence-").tempdir_in(parent).map_err(failed)?;
    Ok(Reserved { path: path.to_owned(), parent: parent.to_owned(), scratch })
}

/// A place for evidence, made ready by [`reserve`]. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    parent: PathBuf,
    scratch: tempfile::TempDir,
}

impl Reserved {
    /// Writes it without a signature: nobody's word yet. It appears in one step, whole and on disk.
    ///
    /// # Errors
    /// The facts are unfit to be written, a file cannot be, or something is there by now.
    pub fn write(self, facts: &Facts, attachments: &[Attachment]) -> Result<PathBuf, EvidenceError> {
        let files = files(facts, attachments, None)?;
        self.fill(&files)
    }

    fn fill(self, files: &[Attachment]) -> Result<PathBuf, EvidenceError> {
        let shown = self.path.display().to_string();
        let failed = |error| EvidenceError::file(shown.clone(), error);
        for file in files {
            put(&self.scratch.path().join(&file.name), &file.bytes).map_err(failed)?;
        }
        sync(self.scratch.path()).map_err(failed)?;
        fs::rename(self.scratch.path(), &self.path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory => {
                EvidenceError { what: shown.clone(), kind: EvidenceErrorKind::Exists }
            }
            _ => failed(error),
        })?;
        // It has another name now, and nothing of the old one is left to remove.
        let _ = self.scratch.keep();
        sync(&self.parent).map_err(failed)?;
        Ok(self.path)
    }
}

/// All files of the directory, the signature last.
fn files(
    facts: &Facts,
    attachments: &[Attachment],
    signer: Option<&Signer<'_>>,
) -> Result<Vec<Attachment>, EvidenceError> {
    let mut files = derived(facts)?;
    files.extend_from_slice(attachments);
    if let Some(signer) = signer {
        files.extend(signers_files(facts, signer)?);
    }
    sealed(facts, files, signer)
}

/// What is there of whoever signs: the key, and how to check with it.
pub(super) fn signers_files(facts: &Facts, signer: &Signer<'_>) -> Result<[Attachment; 2], EvidenceError> {
    let text = instructions::text(facts, &signer.principal, &signer.key.public());
    Ok([Attachment::new(SIGNERS, signers(facts, signer)?), Attachment::new(instructions::FILE, text)])
}

/// The files with their hashes behind them, and the signature over these where somebody signs.
pub(super) fn sealed(
    facts: &Facts,
    mut files: Vec<Attachment>,
    signer: Option<&Signer<'_>>,
) -> Result<Vec<Attachment>, EvidenceError> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut names = BTreeSet::from([SUMS, SIGNATURE]);
    for file in &files {
        if !is_file_name(&file.name) {
            return Err(EvidenceError::unfit(file.name.clone(), "no file of evidence may have such a name"));
        }
        if !names.insert(&file.name) {
            return Err(EvidenceError::unfit(file.name.clone(), "two files would have this name"));
        }
    }
    let sums = sums(files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice())));
    let signature = signer
        .map(|signer| sign_detached(signer.key, &namespace(&facts.id), sums.as_bytes()))
        .transpose()
        .map_err(|error| EvidenceError::unfit(SIGNATURE, error))?;
    files.push(Attachment::new(SUMS, sums));
    files.extend(signature.map(|signature| Attachment::new(SIGNATURE, signature)));
    Ok(files)
}

/// Lines as sha256sum writes and checks them, for files in the order of their names.
pub(super) fn sums<'f>(files: impl Iterator<Item = (&'f str, &'f [u8])>) -> String {
    files.map(|(name, bytes)| format!("{}  {name}\n", ObjectHash::from_bytes(sha256(bytes)))).collect()
}

/// The `allowed_signers` file beside the evidence. It says whom to look for on paper, and is believed by nobody.
fn signers(facts: &Facts, signer: &Signer<'_>) -> Result<String, EvidenceError> {
    let entry = Entry {
        principal: signer.principal.clone(),
        namespaces: vec![namespace(&facts.id)],
        valid_after: None,
        valid_before: None,
        key: signer.key.public(),
        comment: None,
    };
    let comment = "compare the fingerprint with the one on paper: this file alone proves nothing";
    let signers =
        AllowedSigners::new(comment, vec![entry]).map_err(|error| EvidenceError::unfit(SIGNERS, error))?;
    Ok(signers.render())
}

/// Whether evidence may hold a file of that name: nothing that a shell, a listing or `sha256sum` reads in another way.
pub(super) fn is_file_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

pub(super) fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}
