//! Signs evidence that nobody signed yet. Whoever is cut off while signing does it again, and it goes on from there.
//!
//! Four files are added or replaced. The signature is written first, under a name that nobody takes for it, and appears last:
//! from the first moment to the last this name says that somebody is at it. So what was cut off is told from evidence
//! that was signed and whose signature was taken away.

use std::fs;
use std::path::Path;

use super::check::{Files, Reason, Vouch, files, judge};
use super::derived::FACTS_FILE;
use super::directory::{
    Attachment, SIGNATURE, SIGNERS, SUMS, Signer, put, sealed, signers_files, sums, sync,
};
use super::error::{EvidenceError, EvidenceErrorKind};
use super::instructions;

/// Where the signature lies until it counts.
pub(super) const UNDER_WAY: &str = ".SHA256SUMS.sig.new";

/// Signs evidence that nobody signed yet, if it still has its hashes, fits them, and agrees with itself; one that somebody
/// was cut off signing, too. The signature is the last that appears. `version` is that of this program: what another version
/// drew is not drawn again to compare; what was not compared is told.
///
/// Who can write all its files can write others that agree: it is the signer who says that they are those of the run.
///
/// # Errors
/// It is signed already, anything is wrong with it but that nobody signed it, or a file cannot be read or written.
pub fn sign(directory: &Path, signer: &Signer<'_>, version: &str) -> Result<Vec<String>, EvidenceError> {
    let shown = directory.display().to_string();
    let mut found = files::read(directory)?;
    if found.files.contains_key(SIGNATURE) {
        return Err(EvidenceError { what: shown, kind: EvidenceErrorKind::Signed });
    }
    take_back(&mut found.files);
    let refused = |why: String| Err(EvidenceError::not_evidence(shown.clone(), why));
    if !found.files.contains_key(SUMS) {
        return refused(format!("{SUMS} is gone, so nothing says that it is what was written"));
    }
    if found.files.contains_key(SIGNERS) {
        return refused(format!(
            "{SIGNERS} is there and no signature: it was taken away; sign a copy of what was written"
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
    let mut added = sealed(&facts, all, Some(signer))?;
    added.retain(|file| !unsigned.contains(file));
    for step in steps(&added) {
        step.perform(directory).map_err(|error| EvidenceError::file(shown.clone(), error))?;
    }
    Ok(checked.notes)
}

/// The files as they were before somebody was cut off signing; as they are, where nobody was.
fn take_back(found: &mut Files) {
    if !found.contains_key(UNDER_WAY) {
        return;
    }
    for name in [SIGNATURE, SIGNERS, SUMS, instructions::FILE] {
        found.remove(&fresh(name));
    }
    let own = |found: &Files| {
        let others = found.iter().filter(|(name, _)| *name != SUMS);
        sums(others.map(|(name, bytes)| (name.as_str(), bytes.as_slice()))).into_bytes()
    };
    // The list is either that of before or that of all there is now. Any other is none that signing leaves.
    let replaced = found.get(SUMS) == Some(&own(found));
    found.remove(SIGNERS);
    found.remove(instructions::FILE);
    if replaced {
        let before = own(found);
        found.insert(SUMS.to_owned(), before);
    }
}

/// What a file is called until it is whole and on disk.
fn fresh(name: &str) -> String {
    format!(".{name}.new")
}

/// One step of signing: whatever was done of them, all of them may be done again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'f> {
    /// A file is written where nobody takes it for what it is to be.
    Put(&'f Attachment),
    /// It appears under its name.
    Show(&'f Attachment),
    /// What was done until now outlives the machine.
    Sync,
}

/// All steps, for files of which the signature is the last.
pub(super) fn steps(added: &[Attachment]) -> Vec<Step<'_>> {
    let Some((signature, others)) = added.split_last() else { return Vec::new() };
    let mut steps = vec![Step::Put(signature), Step::Sync];
    steps.extend(others.iter().flat_map(|file| [Step::Put(file), Step::Show(file)]));
    steps.extend([Step::Sync, Step::Show(signature), Step::Sync]);
    steps
}

impl Step<'_> {
    pub(super) fn perform(self, directory: &Path) -> std::io::Result<()> {
        match self {
            Self::Put(file) => {
                let path = directory.join(fresh(&file.name));
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => put(&path, &file.bytes),
                }
            }
            Self::Show(file) => fs::rename(directory.join(fresh(&file.name)), directory.join(&file.name)),
            Self::Sync => sync(directory),
        }
    }
}
