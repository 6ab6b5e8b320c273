//! Evidence of drills: who signs it, and what lies where they put it.

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_runbooks::drill::measure::Wanted;
use lifeboat_verify::evidence::check::read_facts;
use lifeboat_verify::evidence::facts::{EntryFact, Facts, Freshness, Kind, PastDrill, Role as RoleFact};
use lifeboat_verify::evidence::{Attachment, Signer, extract};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::keyfiles;
use crate::trusted;

pub(super) use crate::verbs::evidence::made::{repository, tool};

/// Who signs evidence.
#[derive(clap::Args)]
pub(crate) struct OfficerKey {
    /// Sign the evidence with this key: an officer's, or one of your own [default: it is not signed]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
}

impl OfficerKey {
    /// The file, if it was given on the command line.
    pub(super) fn given(&self) -> Option<&Path> {
        self.officer_key.as_deref()
    }

    /// The key, if one was given: read before a drill begins, so that none ends without its signature.
    pub(super) fn key(&self, context: &Context) -> Result<Option<SigningKey>> {
        let path = self.officer_key.as_ref().or(context.environment.officer_key.as_ref());
        path.map(|path| keyfiles::read_signing_key(path, "signing key")).transpose()
    }
}

/// Writes an evidence directory, signed where there is a key; where it is. Without one it is nobody's word, and
/// `evidence sign` may put somebody's behind it.
pub(super) fn write(
    out: &Path,
    facts: &Facts,
    attachments: &[Attachment],
    key: Option<&SigningKey>,
    repository: &Repository,
) -> Result<PathBuf> {
    if let Some(key) = key {
        let own = key.public();
        let officer = trusted::officers(repository).into_iter().find(|(_, known)| *known == own);
        let principal = match officer {
            Some((name, _)) => format!("officer:{name}"),
            None => format!("drill-lead:{}", key_name(&facts.exercise.operator)),
        };
        return Ok(lifeboat_verify::evidence::write(out, facts, attachments, &Signer { principal, key })?);
    }
    Ok(lifeboat_verify::evidence::write_unsigned(out, facts, attachments)?)
}

/// Whoever leads, as a signer is named.
fn key_name(operator: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    operator.chars().take(40).map(plain).collect()
}

/// The newest checkpoint in the ledgers that count: what whoever broke into a host put behind the end of its ledger does not.
pub(super) fn checkpoint(repository: &Repository) -> Result<Option<EntryFact>> {
    let unasked = Freshness::NotProven(String::new());
    Ok(extract(repository, RoleFact::Repository, unasked)?.0.checkpoint)
}

/// Evidence of drills in a directory, by when they ended; what cannot be read is left out.
pub(super) fn all(out: &Path) -> Result<Vec<(PathBuf, Vec<u8>, Facts)>> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Failure::file("list drills", out, &error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::file("list drills", out, &error))?.path();
        // Verifications and erasures may lie beside them.
        if let Some((text, facts)) = read(&path).filter(|(_, facts)| facts.kind == Kind::Drill) {
            found.push((path, text, facts));
        }
    }
    found.sort_by(|(_, _, a), (_, _, b)| (a.exercise.ended, &a.id).cmp(&(b.exercise.ended, &b.id)));
    Ok(found)
}

/// The facts in one directory.
pub(super) fn read(directory: &Path) -> Option<(Vec<u8>, Facts)> {
    read_facts(directory).ok().map(|(facts, text)| (text, facts))
}

/// Where the evidence of a drill lies, if it was written.
pub(super) fn of(out: &Path, id: &Label) -> Result<Option<PathBuf>> {
    Ok(all(out)?.into_iter().find(|(_, _, facts)| facts.id == *id).map(|(place, ..)| place))
}

/// Earlier drills of a book that were of the same components: what it takes to bring others back says nothing of these.
pub(super) fn history(out: &Path, book: &str, region: &Label, wanted: &[Wanted]) -> Result<Vec<PastDrill>> {
    let same = |facts: &Facts| {
        let own = |wanted: &Wanted| {
            facts.components.iter().any(|one| one.name == wanted.name && one.region == *region)
        };
        facts.book.as_ref().is_some_and(|own| own.name.as_str() == book)
            && facts.components.len() == wanted.len()
            && wanted.iter().all(own)
    };
    let past = |(_, text, facts): (PathBuf, Vec<u8>, Facts)| PastDrill {
        loss: facts.largest_loss(),
        id: facts.id,
        ended: facts.exercise.ended,
        sha256: lifeboat_runbooks::drill::result::hash(&text),
        measured: facts.projection.as_ref().map(|one| one.seconds),
        projected: None,
        verdict: facts.verdict,
    };
    Ok(all(out)?.into_iter().filter(|(_, _, facts)| same(facts)).map(past).collect())
}
