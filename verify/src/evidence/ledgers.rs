//! The extract of ledgers against the facts: whether trust, heads and checkpoint are those that are named, signed by their
//! writers, and whether one of them shows that the end of a ledger is gone.

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::{self, Kind, split_object};
use lifeboat_repo::crypto::signers::AllowedSigners;
use lifeboat_repo::format::records::{Head, LedgerBody};
use lifeboat_repo::format::trust::TrustHeader;
use lifeboat_repo::format::{self, names};
use lifeboat_repo::ids::{ObjectHash, ObjectName};

use super::check::{Files, Problem, Reason};
use super::extract::file_names;
use super::facts::{EntryFact, Facts, RepositoryFact};

mod tombstones;

/// Compares every repository's extract.
pub(super) fn compare(facts: &Facts, files: &Files, problems: &mut Vec<Problem>) {
    for repository in &facts.repositories {
        Extract { repository, files, problems }.compare();
    }
    tombstones::compare(facts, files, problems);
}

struct Extract<'e> {
    repository: &'e RepositoryFact,
    files: &'e Files,
    problems: &'e mut Vec<Problem>,
}

/// Which part an entry plays.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Head,
    Checkpoint,
}

impl Extract<'_> {
    fn compare(mut self) {
        let trust = self.repository.trust.clone();
        let Some((_, body)) = self.object(&trust.entry) else {
            self.wrong(Reason::MissingFile, &trust.entry, "the trust that the facts name is not there");
            return;
        };
        if self.hash(&trust.entry) != Some(trust.sha256) {
            self.wrong(Reason::LedgerChanged, &trust.entry, "it is not the trust that the facts name");
            return;
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let Ok(signers) = AllowedSigners::parse(&text) else {
            self.wrong(Reason::LedgerChanged, &trust.entry, "it is no allowed_signers file");
            return;
        };
        let header = signers.first_comment().and_then(|comment| TrustHeader::decode(comment).ok());
        let Some(header) = header.filter(|header| header.repository == self.repository.place.repository)
        else {
            self.wrong(Reason::LedgerChanged, &trust.entry, "it is not this repository's trust");
            return;
        };
        for head in self.repository.heads.clone() {
            self.entry(&head, &signers, Part::Head);
        }
        if let Some(fact) = self.repository.checkpoint.clone() {
            let body = self.entry(&fact, &signers, Part::Checkpoint);
            if let Some(body) = body {
                self.seen(&fact, &body, &header);
            }
        }
    }

    /// One entry; its body where it is the one that the facts name.
    fn entry(&mut self, fact: &EntryFact, signers: &AllowedSigners, part: Part) -> Option<LedgerBody> {
        let Some((signed, body)) = self.object(&fact.entry) else {
            self.wrong(Reason::LedgerCut, &fact.entry, "the ledger ends before this entry: it is not there");
            return None;
        };
        let decoded = format::decode::<LedgerBody>(&body, "ledger entry").ok();
        if ObjectHash::from_bytes(sha256(&signed)) != fact.sha256 {
            let (reason, what) = self.unlike(fact, decoded.as_ref(), part);
            self.wrong(reason, &fact.entry, &what);
            return None;
        }
        let namespace = sign::namespace(Kind::Ledger, &self.repository.place.repository, &fact.entry);
        let principal = format!("writer:{}", fact.writer);
        let held = split_object(&signed).ok().and_then(|(block, body)| {
            let key = sign::verify(&block, body, &namespace).ok()?;
            signers.check(Some(&principal), &key, &namespace, fact.run.moment()).ok()?;
            decoded.filter(|decoded| decoded.writer == fact.writer && decoded.run == fact.run).filter(
                |decoded| names::ledger(&decoded.writer, decoded.seq).ok().as_ref() == Some(&fact.entry),
            )
        });
        if held.is_none() {
            self.wrong(Reason::LedgerChanged, &fact.entry, "it is not its writer's entry of that number");
        }
        held
    }

    /// What an entry is that is not the one the facts name.
    fn unlike(&self, fact: &EntryFact, there: Option<&LedgerBody>, part: Part) -> (Reason, String) {
        let earlier = there.is_some_and(|body| body.writer == fact.writer && body.run < fact.run)
            || there
                .and_then(|body| names::ledger(&body.writer, body.seq).ok())
                .is_some_and(|name| name < fact.entry);
        match (part, earlier) {
            (Part::Checkpoint, true) => {
                (Reason::CheckpointReplayed, "an older checkpoint stands in its place".to_owned())
            }
            (Part::Head, true) => {
                // The checkpoint's entry is often a head: then that is what it is about.
                let is_checkpoint = self.repository.checkpoint.as_ref() == Some(fact);
                let reason = if is_checkpoint { Reason::CheckpointReplayed } else { Reason::LedgerCut };
                (reason, "an earlier entry stands in its place".to_owned())
            }
            _ => (Reason::LedgerChanged, "it is not the entry that the facts name".to_owned()),
        }
    }

    /// No ledger ends before what the checkpoint saw of it.
    fn seen(&mut self, fact: &EntryFact, body: &LedgerBody, header: &TrustHeader) {
        let Some(checkpoint) = &body.checkpoint else {
            self.wrong(Reason::CheckpointReplayed, &fact.entry, "it carries no checkpoint");
            return;
        };
        // Of its own ledger it saw the entry before it, and is the next one itself.
        let own = (&body.writer, &Head(body.seq, fact.sha256));
        for (writer, seen) in checkpoint.heads.iter().chain([own]) {
            if header.cutoffs.contains_key(writer) {
                continue;
            }
            let Ok(name) = names::ledger(writer, seen.0) else { continue };
            let head = self.repository.heads.iter().find(|head| head.writer == *writer);
            let held = head.is_some_and(|head| {
                head.entry > name || (head.entry == name && Head(seen.0, head.sha256) == *seen)
            });
            if !held {
                let what = format!("the checkpoint saw {name}, and the ledger that is named ends before it");
                self.wrong(Reason::LedgerCut, &fact.entry, &what);
            }
        }
    }

    /// An object as it is stored, and its body.
    fn object(&self, entry: &ObjectName) -> Option<(Vec<u8>, Vec<u8>)> {
        let [signature, body] = file_names(&self.repository.place, self.repository.role, entry);
        let (signature, body) = (self.files.get(&signature)?, self.files.get(&body)?);
        Some(([signature.as_slice(), body.as_slice()].concat(), body.clone()))
    }

    fn hash(&self, entry: &ObjectName) -> Option<ObjectHash> {
        self.object(entry).map(|(signed, _)| ObjectHash::from_bytes(sha256(&signed)))
    }

    fn wrong(&mut self, reason: Reason, entry: &ObjectName, what: &str) {
        let [_, body] = file_names(&self.repository.place, self.repository.role, entry);
        self.problems.push(Problem::new(reason, &body, what));
    }
}
