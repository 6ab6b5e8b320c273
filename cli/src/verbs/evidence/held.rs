//! Evidence on this machine: what there is, whether it holds, and what it says.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lifeboat_verify::evidence::{Checked, Current, Expired, Vouch, check, expired};

use crate::failure::{Failure, Result, tame};

/// One evidence directory, checked.
pub(crate) struct Held {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What was found in it; or why it could not be read.
    pub(crate) checked: std::result::Result<Checked, Failure>,
    /// Why it does not hold any more; nothing where it does, or where that was not asked.
    pub(crate) expired: Vec<Expired>,
}

impl Held {
    /// Checks one directory.
    pub(crate) fn look(path: PathBuf, vouch: &Vouch, current: Option<&Current>) -> Self {
        let checked = check(&path, vouch, super::VERSION).map_err(Failure::from);
        let facts = checked.as_ref().ok().and_then(|checked| checked.facts.as_ref());
        let expired = facts.zip(current).map(|(facts, current)| expired(facts, current)).unwrap_or_default();
        Self { path, checked, expired }
    }

    /// Why it cannot be believed, in words; nothing where it can.
    pub(crate) fn doubt(&self) -> Option<String> {
        let checked = match &self.checked {
            Err(failure) => return Some(format!("cannot be read: {}", failure.what)),
            Ok(checked) => checked,
        };
        if checked.unsigned {
            return Some("nobody signed it yet".to_owned());
        }
        let first = checked.problems.first()?;
        Some(format!("{}: {}: {}", first.reason.word(), tame(&first.file), tame(&first.what)))
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> String {
        tame(&self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Whether it is whole, signed by somebody known, and still speaks of how things are.
    pub(crate) fn holds(&self) -> bool {
        self.checked.as_ref().is_ok_and(|checked| checked.problems.is_empty()) && self.expired.is_empty()
    }
}

/// All evidence below a directory, by when it ended; what is none is passed over.
pub(crate) fn all(home: &Path, vouch: &Vouch, current: Option<&Current>) -> Result<Vec<Held>> {
    let entries = match fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("list evidence", home, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file("list evidence", home, &error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let some =
            ["evidence.json", "SHA256SUMS"].iter().any(|name| path.join(name).symlink_metadata().is_ok());
        if !hidden && some {
            found.push(Held::look(path, vouch, current));
        }
    }
    found.sort_by_cached_key(|held| {
        let facts = held.checked.as_ref().ok().and_then(|checked| checked.facts.as_ref());
        (facts.map(|facts| facts.exercise.ended), held.path.clone())
    });
    Ok(found)
}
