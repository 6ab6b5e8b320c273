//! Reads an evidence directory into memory, bounded: whoever hands it over may have put anything there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Files, Problem, Reason};
use crate::evidence::derived::FACTS_FILE;
use crate::evidence::error::EvidenceError;
use crate::evidence::facts::Facts;

/// The most that a file of evidence may be. A drill of a thousand components takes some megabytes.
const FILE_MAX: u64 = 64 << 20;
/// The most that all files together may be.
const ALL_MAX: u64 = 512 << 20;
/// The most files: two for each ledger.
const FILES_MAX: usize = 10_000;

/// What is there.
pub(in crate::evidence) struct Found {
    pub(in crate::evidence) files: Files,
    pub(in crate::evidence) problems: Vec<Problem>,
}

/// Reads every plain file; whatever else is there is a problem.
pub(in crate::evidence) fn read(directory: &Path) -> Result<Found, EvidenceError> {
    let shown = directory.display().to_string();
    let entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => EvidenceError::not_evidence(shown.clone(), "there is no such directory"),
        ErrorKind::NotADirectory => EvidenceError::not_evidence(shown.clone(), "it is no directory"),
        _ => EvidenceError::file(shown.clone(), error),
    })?;
    let (mut files, mut problems, mut left) = (BTreeMap::new(), Vec::new(), ALL_MAX);
    for entry in entries {
        let entry = entry.map_err(|error| EvidenceError::file(shown.clone(), error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || entry.file_name().to_str().is_none() {
            let what = "it is no plain file; nobody signed for it";
            problems.push(Problem::new(Reason::NotAFile, &name, what));
            continue;
        }
        let bytes = read_file(&entry.path(), FILE_MAX.min(left))?;
        left = left.saturating_sub(bytes.len() as u64);
        files.insert(name, bytes);
        if files.len() > FILES_MAX {
            return Err(EvidenceError::not_evidence(shown, "it holds more files than any evidence does"));
        }
    }
    if !files.contains_key(FACTS_FILE) {
        if !files.contains_key(super::SUMS) {
            let why = format!("it holds neither {FACTS_FILE} nor {}", super::SUMS);
            return Err(EvidenceError::not_evidence(shown, why));
        }
        problems.push(Problem::new(Reason::BadFacts, FACTS_FILE, "it is not there"));
    }
    Ok(Found { files, problems })
}

fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, EvidenceError> {
    let failed = |error| EvidenceError::file(path.display().to_string(), error);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(EvidenceError::not_evidence(
            path.display().to_string(),
            "it is larger than any file of evidence",
        ));
    }
    Ok(bytes)
}

/// Reads what a directory says, checking nothing: for lists. What is to be believed goes through
/// [`check`](super::check()).
///
/// # Errors
/// There is none, or it is not of the form this version reads.
pub fn read_facts(directory: &Path) -> Result<(Facts, Vec<u8>), EvidenceError> {
    let path = directory.join(FACTS_FILE);
    let bytes = read_file(&path, FILE_MAX)?;
    let facts = serde_json::from_slice(&bytes)
        .map_err(|error| EvidenceError::not_evidence(path.display().to_string(), error.to_string()))?;
    Ok((facts, bytes))
}
