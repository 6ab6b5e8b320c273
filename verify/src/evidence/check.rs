//! Checks an evidence directory: who signed it, whether its files are those that were signed, whether they agree.
//!
//! Everything that is wrong is told, each with its own [`Reason`], since one change shows in several places and the reason
//! that helps is not always the first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::{self, VerifyingKey};
use lifeboat_repo::crypto::signers::AllowedSigners;
use lifeboat_repo::ids::ObjectHash;
use serde::Serialize;

use super::derived::{FACTS_FILE, derived};
use super::directory::{SIGNATURE, SIGNERS, SUMS, is_file_name, namespace};
use super::error::EvidenceError;
use super::facts::{FORMAT, Facts};
use super::plain::plain;
use super::signing::UNDER_WAY;
use super::{instructions, ledgers};

pub(super) mod files;
mod steps;

pub use files::read_facts;

/// What is wrong with evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no signature, or nothing it could be of.
    Unsigned,
    /// The signature does not fit.
    BadSignature,
    /// The signature was made for other evidence, or for something else.
    OtherEvidence,
    /// The signature holds, and nobody vouches for its key.
    WrongKey,
    /// A file is not the one that was signed.
    Changed,
    /// A file that was signed is gone.
    MissingFile,
    /// A file is there that nobody signed for.
    UnknownFile,
    /// Something is there that is no plain file.
    NotAFile,
    /// The list of hashes is not of its form.
    BadList,
    /// `evidence.json` is not of its form.
    BadFacts,
    /// A step is told of in one place and not in another.
    StepRemoved,
    /// A file is not what the facts make.
    NotDerived,
    /// A ledger's last entry is gone or an earlier one.
    LedgerCut,
    /// A ledger's entry is another one than the facts name.
    LedgerChanged,
    /// The checkpoint is an older one than the facts name.
    CheckpointReplayed,
    /// The verdict is better than what it rests on.
    Verdict,
}

impl Reason {
    /// As `--json` says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad-signature",
            Self::OtherEvidence => "other-evidence",
            Self::WrongKey => "wrong-key",
            Self::Changed => "changed",
            Self::MissingFile => "missing-file",
            Self::UnknownFile => "unknown-file",
            Self::NotAFile => "not-a-file",
            Self::BadList => "bad-list",
            Self::BadFacts => "bad-facts",
            Self::StepRemoved => "step-removed",
            Self::NotDerived => "not-derived",
            Self::LedgerCut => "ledger-cut",
            Self::LedgerChanged => "ledger-changed",
            Self::CheckpointReplayed => "checkpoint-replayed",
            Self::Verdict => "verdict",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub reason: Reason,
    /// The file it shows in.
    pub file: String,
    /// In a sentence, with what is known.
    pub what: String,
}

impl Problem {
    pub(super) fn new(reason: Reason, file: &str, what: impl Into<String>) -> Self {
        Self { reason, file: plain(file), what: plain(&what.into()) }
    }
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub enum Vouch {
    /// Any of these keys.
    Keys(Vec<VerifyingKey>),
    /// Whoever such a file allows to sign evidence.
    Signers(AllowedSigners),
}

impl Vouch {
    fn vouches(&self, key: &VerifyingKey, namespace: &str) -> bool {
        match self {
            Self::Keys(keys) => keys.contains(key),
            // When it was signed nobody knows: what evidence says of the time is the signer's word.
            Self::Signers(signers) => signers.check(None, key, namespace, None).is_ok(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the evidence says, where it can be read. To be believed only if nothing is wrong.
    pub facts: Option<Facts>,
    /// The key that signed, where the signature holds.
    pub signer: Option<VerifyingKey>,
    /// Whose key `allowed_signers` says it is.
    pub principal: Option<String>,
    /// Everything that is wrong; nothing where all is well.
    pub problems: Vec<Problem>,
    /// Whether nothing is wrong but that nobody signed it yet: nobody took a signature away, either.
    pub unsigned: bool,
    /// What was not compared, and why.
    pub notes: Vec<String>,
}

/// Checks a directory. `version` is that of this program: what another version drew is not drawn again to compare.
///
/// # Errors
/// It is no directory, cannot be read, or holds more than any evidence does.
pub fn check(directory: &Path, vouch: &Vouch, version: &str) -> Result<Checked, EvidenceError> {
    Ok(judge(&files::read(directory)?, vouch, version))
}

/// Checks what was read.
pub(super) fn judge(found: &files::Found, vouch: &Vouch, version: &str) -> Checked {
    let mut problems = found.problems.clone();
    let files = &found.files;
    let facts = facts_of(files, &mut problems);
    let signer = signature(files, facts.as_ref(), vouch, &mut problems);
    hashes(files, &mut problems);
    let mut notes = Vec::new();
    if let Some(facts) = &facts {
        steps::compare(facts, files, &mut problems);
        if facts.tool.version == version {
            compare_derived(facts, files, &mut problems);
        } else {
            notes.push(format!(
                "version {} drew it, this is version {version}: pictures and tables were not drawn again to compare",
                plain(&facts.tool.version)
            ));
        }
        ledgers::compare(facts, files, &mut problems);
        verdict(facts, &mut problems);
    }
    let unsigned = problems.iter().map(|one| one.reason).eq([Reason::Unsigned])
        && files.contains_key(SUMS)
        && !files.contains_key(SIGNERS);
    let principal = principal(files);
    if let (Some(facts), Some(key), Some(principal)) = (&facts, &signer, &principal)
        && facts.tool.version == version
        && let Some(there) = files.get(instructions::FILE)
        && *there != instructions::text(facts, principal, key).into_bytes()
    {
        let what = "it is not what lifeboat writes for these facts and this signer";
        problems.push(Problem::new(Reason::NotDerived, instructions::FILE, what));
    }
    Checked { facts, signer, principal, problems, unsigned, notes }
}

pub(super) type Files = BTreeMap<String, Vec<u8>>;

fn facts_of(files: &Files, problems: &mut Vec<Problem>) -> Option<Facts> {
    let bytes = files.get(FACTS_FILE)?;
    match serde_json::from_slice::<Facts>(bytes) {
        Ok(facts) if facts.format == FORMAT => Some(facts),
        Ok(facts) => {
            let what = format!("it is of form {}, this version reads {FORMAT}", facts.format);
            problems.push(Problem::new(Reason::BadFacts, FACTS_FILE, what));
            None
        }
        Err(error) => {
            problems.push(Problem::new(Reason::BadFacts, FACTS_FILE, error.to_string()));
            None
        }
    }
}

/// Who signed the list of hashes, for this evidence.
fn signature(
    files: &Files,
    facts: Option<&Facts>,
    vouch: &Vouch,
    problems: &mut Vec<Problem>,
) -> Option<VerifyingKey> {
    let mut wrong = |reason, what: String| problems.push(Problem::new(reason, SIGNATURE, what));
    let (Some(signature), Some(sums)) = (files.get(SIGNATURE), files.get(SUMS)) else {
        let what = match (files.contains_key(SUMS), files.contains_key(SIGNERS)) {
            _ if files.contains_key(UNDER_WAY) => {
                "whoever signed was cut off: `lifeboat evidence sign` goes on with it".to_owned()
            }
            (false, _) => format!("{SUMS} is missing"),
            (true, true) => format!("it was signed once, as {SIGNERS} shows, and the signature is gone"),
            (true, false) => "nobody signed it yet".to_owned(),
        };
        wrong(Reason::Unsigned, what);
        return None;
    };
    let signed = [signature.as_slice(), sums.as_slice()].concat();
    let (block, body) = match sign::split_object(&signed) {
        Ok(split) if split.1 == sums.as_slice() => split,
        Ok(_) => {
            wrong(Reason::BadSignature, "something follows the signature".to_owned());
            return None;
        }
        Err(error) => {
            wrong(Reason::BadSignature, error.to_string());
            return None;
        }
    };
    let claimed = block.namespace().to_owned();
    let expected = facts.map_or(claimed.clone(), |facts| namespace(&facts.id));
    if !claimed.starts_with("lifeboat-evidence:") || claimed != expected {
        wrong(Reason::OtherEvidence, format!("it was made for {claimed}, not for {expected}"));
    }
    let key = match sign::verify(&block, body, &claimed) {
        Ok(key) => key,
        Err(error) => {
            wrong(Reason::BadSignature, error.to_string());
            return None;
        }
    };
    if !vouch.vouches(&key, &claimed) {
        let what = format!("it was signed by {}, for which nobody vouches here", key.fingerprint());
        wrong(Reason::WrongKey, what);
    }
    Some(key)
}

/// Every file against the list, and the list against the files.
fn hashes(files: &Files, problems: &mut Vec<Problem>) {
    let Some(sums) = files.get(SUMS) else { return };
    let mut listed = BTreeSet::new();
    for line in String::from_utf8_lossy(sums).lines() {
        let parsed = line
            .split_once("  ")
            .and_then(|(hash, name)| Some((hash.parse::<ObjectHash>().ok()?, name)))
            .filter(|(_, name)| is_file_name(name) && listed.insert((*name).to_owned()));
        let Some((hash, name)) = parsed else {
            let what = format!("a line names no file, or one twice: {line}");
            problems.push(Problem::new(Reason::BadList, SUMS, what));
            continue;
        };
        match files.get(name) {
            None => {
                problems.push(Problem::new(
                    Reason::MissingFile,
                    name,
                    "it was signed and is gone".to_owned(),
                ));
            }
            Some(bytes) if ObjectHash::from_bytes(sha256(bytes)) != hash => {
                problems.push(Problem::new(Reason::Changed, name, "it is not the file that was signed"));
            }
            Some(_) => {}
        }
    }
    for name in files.keys().filter(|name| ![SUMS, SIGNATURE].contains(&name.as_str())) {
        if !listed.contains(name) {
            problems.push(Problem::new(Reason::UnknownFile, name, "nobody signed for this file"));
        }
    }
}

/// What is made of facts is made again.
fn compare_derived(facts: &Facts, files: &Files, problems: &mut Vec<Problem>) {
    let made = match derived(facts) {
        Ok(made) => made,
        Err(error) => {
            problems.push(Problem::new(Reason::BadFacts, FACTS_FILE, error.to_string()));
            return;
        }
    };
    for file in made {
        // That it is gone is said already.
        if files.get(&file.name).is_some_and(|there| *there != file.bytes) {
            let what = format!("it is not what {FACTS_FILE} makes");
            problems.push(Problem::new(Reason::NotDerived, &file.name, what));
        }
    }
}

/// A verdict must not be better than what it rests on, whoever signed it.
fn verdict(facts: &Facts, problems: &mut Vec<Problem>) {
    for why in facts.contradictions() {
        problems.push(Problem::new(Reason::Verdict, FACTS_FILE, why));
    }
}

fn principal(files: &Files) -> Option<String> {
    let text = String::from_utf8_lossy(files.get(SIGNERS)?).into_owned();
    let signers = AllowedSigners::parse(&text).ok()?;
    signers.entries().next().map(|entry| entry.principal.clone())
}
