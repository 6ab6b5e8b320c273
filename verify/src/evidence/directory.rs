//! Writes an evidence directory: everything or nothing, and never over another.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::{SigningKey, sign_detached};
use lifeboat_repo::crypto::signers::{AllowedSigners, Entry};
use lifeboat_repo::ids::{Label, ObjectHash};

use super::check::{Reason, Vouch, files, judge};
use super::derived::{FACTS_FILE, derived};
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

/// The same without a signature: nobody's word yet. [`sign`] may come later.
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
    let files = files(facts, attachments, signer)?;
    let path = parent.join(facts.id.as_str());
    let shown = path.display().to_string();
    if path.symlink_metadata().is_ok() {
        return Err(EvidenceError { what: shown, kind: EvidenceErrorKind::Exists });
    }
    let failed = |error| EvidenceError::file(shown.clone(), error);
    fs::create_dir_all(parent).map_err(failed)?;
    // A dot in front: whoever lists evidence does not see what is not whole.
    let scratch = tempfile::Builder::new().prefix(".evidence-").tempdir_in(parent).map_err(failed)?;
    for file in &files {
        put(&scratch.path().join(&file.name), &file.bytes).map_err(failed)?;
    }
    sync(scratch.path()).map_err(failed)?;
    fs::rename(scratch.path(), &path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty => {
            EvidenceError { what: shown.clone(), kind: EvidenceErrorKind::Exists }
        }
        _ => failed(error),
    })?;
    // It has another name now, and nothing of the old one is left to remove.
    let _ = scratch.keep();
    sync(parent).map_err(failed)?;
    Ok(path)
}

/// Signs evidence that nobody signed yet, if it still has its hashes, fits them, and agrees with itself. The signature is
/// the last that appears. `version` is that of this program: what another version drew is not drawn again to compare; what
/// was not compared is told.
///
/// Who can write all its files can write others that agree: it is the signer who says that they are those of the drill.
///
/// # Errors
/// It is signed already, anything is wrong with it but that nobody signed it, or a file cannot be read or written.
pub fn sign(directory: &Path, signer: &Signer<'_>, version: &str) -> Result<Vec<String>, EvidenceError> {
    let shown = directory.display().to_string();
    let found = files::read(directory)?;
    if found.files.contains_key(SIGNATURE) {
        return Err(EvidenceError { what: shown, kind: EvidenceErrorKind::Signed });
    }
    let refused = |why: String| Err(EvidenceError::not_evidence(shown.clone(), why));
    if !found.files.contains_key(SUMS) {
        return refused(format!("{SUMS} is gone, so nothing says that it is what was written"));
    }
    if found.files.contains_key(SIGNERS) {
        return refused(format!(
            "{SIGNERS} is there and no signature: it was taken away, or whoever signed was cut off; sign a copy of what \
             the drill wrote"
        ));
    }
    let checked = judge(&found, &Vouch::Keys(Vec::new()), version);
    if let Some(first) = checked.problems.iter().find(|one| one.reason != Reason::Unsigned) {
        return refused(format!("{}: {}; what was changed is not signed", first.file, first.what));
    }
    let Some(facts) = checked.facts else { return refused(format!("{FACTS_FILE} is not there")) };
    let unsigned: Vec<Attachment> = found
        .files
        .into_iter()
        .filter(|(name, _)| name != SUMS)
        .map(|(name, bytes)| Attachment { name, bytes })
        .collect();
    let mut all = unsigned.clone();
    all.extend(signers_files(&facts, signer)?);
    for file in sealed(&facts, all, Some(signer))?.iter().filter(|file| !unsigned.contains(file)) {
        let path = directory.join(&file.name);
        let fresh = directory.join(format!(".{}.new", file.name));
        put(&fresh, &file.bytes)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| EvidenceError::file(path.display().to_string(), error))?;
    }
    sync(directory).map_err(|error| EvidenceError::file(shown, error))?;
    Ok(checked.notes)
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
fn signers_files(facts: &Facts, signer: &Signer<'_>) -> Result<[Attachment; 2], EvidenceError> {
    let text = instructions::text(facts, &signer.principal, &signer.key.public());
    Ok([Attachment::new(SIGNERS, signers(facts, signer)?), Attachment::new(instructions::FILE, text)])
}

/// The files with their hashes behind them, and the signature over these where somebody signs.
fn sealed(
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
    let sums: String = files.iter().map(|file| sum_line(&file.name, &file.bytes)).collect();
    let signature = signer
        .map(|signer| sign_detached(signer.key, &namespace(&facts.id), sums.as_bytes()))
        .transpose()
        .map_err(|error| EvidenceError::unfit(SIGNATURE, error))?;
    files.push(Attachment::new(SUMS, sums));
    files.extend(signature.map(|signature| Attachment::new(SIGNATURE, signature)));
    Ok(files)
}

/// A line as sha256sum writes and checks it.
fn sum_line(name: &str, bytes: &[u8]) -> String {
    format!("{}  {name}\n", ObjectHash::from_bytes(sha256(bytes)))
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

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}
