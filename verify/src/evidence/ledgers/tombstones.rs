//! The tombstone that evidence of an erasure tells of, against its bytes beside it: signed by the officers it names.

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::{self, Kind, split_object};
use lifeboat_repo::crypto::signers::AllowedSigners;
use lifeboat_repo::format::records::ErasureBody;
use lifeboat_repo::format::{self, names};
use lifeboat_repo::ids::ObjectHash;

use super::super::check::{Files, Problem, Reason};
use super::super::extract::file_names;
use super::super::facts::{ErasureFact, Facts, Moment, RepositoryFact, SignedFact};

/// Compares every officer's signature.
pub(super) fn compare(facts: &Facts, files: &Files, problems: &mut Vec<Problem>) {
    let Some(erasure) = &facts.erasure else { return };
    let Some(repository) = facts.repositories.first() else { return };
    let [_, trust] = file_names(&repository.place, repository.role, &repository.trust.entry);
    let Some(signers) =
        files.get(&trust).and_then(|text| AllowedSigners::parse(&String::from_utf8_lossy(text)).ok())
    else {
        // Told already, of trust.
        return;
    };
    for one in &erasure.tombstone.signed {
        if let Err((reason, what)) = held(one, erasure, repository, &signers, files) {
            let [_, body] = file_names(&repository.place, repository.role, &one.entry);
            problems.push(Problem::new(reason, &body, what));
        }
    }
}

fn held(
    one: &SignedFact,
    erasure: &ErasureFact,
    repository: &RepositoryFact,
    signers: &AllowedSigners,
    files: &Files,
) -> Result<(), (Reason, &'static str)> {
    let [signature, body] = file_names(&repository.place, repository.role, &one.entry);
    let (Some(signature), Some(body)) = (files.get(&signature), files.get(&body)) else {
        return Err((Reason::MissingFile, "the tombstone that the facts name is not there"));
    };
    let signed = [signature.as_slice(), body.as_slice()].concat();
    if ObjectHash::from_bytes(sha256(&signed)) != one.sha256 {
        return Err((Reason::LedgerChanged, "it is not the tombstone that the facts name"));
    }
    let namespace = sign::namespace(Kind::Erasure, &repository.place.repository, &one.entry);
    let principal = format!("officer:{}", one.officer);
    let by_officer = split_object(&signed).ok().and_then(|(block, body)| {
        let key = sign::verify(&block, body, &namespace).ok()?;
        signers.check(Some(&principal), &key, &namespace, Some(erasure.requested.timestamp())).ok()?;
        format::decode::<ErasureBody>(body, "tombstone").ok()
    });
    let Some(body) = by_officer else {
        return Err((Reason::LedgerChanged, "it is not signed by the officer that the facts name"));
    };
    let keys = erasure.tombstone.keys.iter().map(|one| (one.writer.clone(), one.key));
    let same = names::erasure(body.seq, &one.officer).ok().as_ref() == Some(&one.entry)
        && body.seq.0 == erasure.tombstone.number
        && Moment::new(body.time) == erasure.requested
        && !body.readmit
        && body.keys.iter().cloned().eq(keys);
    if same { Ok(()) } else { Err((Reason::LedgerChanged, "it does not say what the facts say of it")) }
}
