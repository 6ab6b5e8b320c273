//! The facts of an erasure. Pure: the same findings give the same facts.

use std::time::Duration;

use lifeboat_repo::ids::{Label, TenantToken};

use super::facts::{
    DestroyedFact, ErasureFact, Facts, Kind, Met, Moment, NotRun, ProofFact, Seconds, TombstoneFact, Verdict,
};
use super::run::{Judged, Run, judged};

/// What is promised to whoever asks to be forgotten, backups included.
const PROMISED: Duration = Duration::from_secs(30 * 86_400);

/// What is known of an erasure.
#[derive(Clone, Debug)]
pub struct Erased {
    /// The region.
    pub region: Label,
    /// The tombstone.
    pub tombstone: TombstoneFact,
    /// The tenant's token with each writer.
    pub tenant_tokens: Vec<TenantToken>,
    /// When the first officer signed it.
    pub requested: Moment,
    /// Since when it holds; nothing where too few have signed.
    pub effective: Option<Moment>,
    /// What was destroyed; nothing where this run only looked, or could not begin to. The text says why it could not end.
    pub destroyed_in: Option<Result<Vec<DestroyedFact>, String>>,
    /// When the last key was destroyed.
    pub destroyed: Option<Moment>,
    /// Until when bundles may hold the keys; nothing where none is there.
    pub bundled: Option<Moment>,
    /// Whether anything opens it; the text says why nobody knows.
    pub proof: Result<ProofFact, String>,
    /// Keys that open in no place, so that nobody can tell whose they are.
    pub unopened: u64,
    /// Places that know too little of who may sign to take the tombstone.
    pub untold: u64,
}

/// The facts.
#[must_use]
pub fn erased(run: Run, erased: Erased) -> Facts {
    // Where no bundle holds them, they are gone when they are destroyed.
    let irreversible =
        erased.destroyed.map(|destroyed| erased.bundled.map_or(destroyed, |until| until.max(destroyed)));
    let fact = ErasureFact {
        region: erased.region.clone(),
        tombstone: erased.tombstone.clone(),
        tenant_tokens: erased.tenant_tokens.clone(),
        requested: erased.requested,
        effective: erased.effective,
        destroyed_in: erased.destroyed_in.clone().and_then(Result::ok).unwrap_or_default(),
        destroyed: erased.destroyed,
        irreversible,
        promised: Seconds::new(PROMISED),
        proof: erased.proof.clone().ok(),
    };
    let all = vec![signed(&fact), destroyed(&erased), proven(&erased), in_time(&fact)];
    let mut not_run = Vec::new();
    if let Some(Err(reason)) = &erased.destroyed_in {
        not_run.push(NotRun {
            what: "the destruction of keys and cards, to its end".into(),
            reason: reason.clone(),
        });
    }
    if let Err(reason) = &erased.proof {
        not_run
            .push(NotRun { what: "whether anything that is left opens it".into(), reason: reason.clone() });
    }
    let mut facts = run.facts(Kind::Erasure, all, not_run);
    facts.limits.extend([
        "What opens nothing any more is still stored, until it is collected.".to_owned(),
        "Copies that somebody made elsewhere, of the repository or of keys, are in nobody's sight here."
            .to_owned(),
        "What was restored before the erasure lies where it was restored to.".to_owned(),
    ]);
    if fact.proof.is_some() {
        facts.limits.push("Bundles were not looked into: they hold the keys until they expire, and nothing puts back a key that a tombstone names.".to_owned());
    }
    facts.erasure = Some(fact);
    facts
}

fn signed(fact: &ErasureFact) -> Judged {
    let names: Vec<&str> = fact.tombstone.signed.iter().map(|one| one.officer.as_str()).collect();
    let (met, wanted) = match fact.effective {
        Some(_) => (Met::Met, String::new()),
        None => (Met::Insufficient, format!("; {} more must sign", fact.tombstone.wanted)),
    };
    let detail = format!("tombstone {}: signed by {}{wanted}", fact.tombstone.number, names.join(", "));
    judged("as many officers signed it as must", met, Verdict::Failed, detail)
}

fn destroyed(erased: &Erased) -> Judged {
    let name = "its keys and cards are destroyed in every place";
    let number = erased.tombstone.keys.len();
    let keys = format!("keys: {number}");
    let (met, detail) = match (&erased.destroyed_in, erased.destroyed) {
        (Some(Err(why)), _) => (Met::Missed, why.clone()),
        _ if erased.unopened > 0 => (
            Met::Insufficient,
            format!("keys that open nowhere, so that nobody can tell whose they are: {}", erased.unopened),
        ),
        _ if erased.untold > 0 => (
            Met::Insufficient,
            "the replica does not know yet who may sign, so that the tombstone does not hold there"
                .to_owned(),
        ),
        (Some(Ok(places)), Some(_)) => {
            let versions: u64 = places.iter().map(|one| one.versions).sum();
            (Met::Met, format!("{keys}; versions destroyed: {versions}; places: {}", places.len()))
        }
        (None, Some(at)) => (Met::Met, format!("{keys}; graves since {}", at.minute())),
        (_, None) => (Met::Insufficient, "nothing says that they are".to_owned()),
    };
    judged(name, met, Verdict::Failed, detail)
}

fn proven(erased: &Erased) -> Judged {
    let name = "nothing that is left outside bundles opens it";
    let (met, detail) = match &erased.proof {
        Err(why) => (Met::Insufficient, why.clone()),
        Ok(proof) if !proof.found.is_empty() => {
            (Met::Missed, format!("what does, or lies where nothing may: {}", proof.found.len()))
        }
        Ok(proof) => (
            Met::Met,
            format!(
                "identities tried: {}; on segments: {}; objects looked into: {}",
                proof.identities, proof.segments, proof.objects
            ),
        ),
    };
    judged(name, met, Verdict::Failed, detail)
}

fn in_time(fact: &ErasureFact) -> Judged {
    let name = format!("it is beyond recovery within {}", fact.promised.show());
    match fact.horizon() {
        None => judged(
            name,
            Met::Insufficient,
            Verdict::Insufficient,
            "nobody knows when the last bundle is gone",
        ),
        Some(horizon) => {
            let met = if horizon <= fact.promised { Met::Met } else { Met::Missed };
            judged(name, met, Verdict::LimitMissed, format!("after {}", horizon.show()))
        }
    }
}
