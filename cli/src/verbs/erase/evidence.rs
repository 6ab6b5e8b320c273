//! Evidence of an erasure: what came of the tombstone, of its keys, and of the attempt to open what is left.

use std::collections::HashSet;

use lifeboat_repo::format::names::{self, Seq};
use lifeboat_repo::ids::KeyId;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::erase::{self, Proof, Put, Swept};
use lifeboat_repo::repository::erasures::{Act, Erasures};
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::store::Store;
use lifeboat_verify::evidence::facts::{
    DestroyedFact, ErasedKey, Kind, Moment, ProofFact, Role, SignedFact, TombstoneFact,
};
use lifeboat_verify::evidence::{Erased, EvidenceError, erased, tombstone};

use super::{Args, perform_proof};
use crate::config::Region;
use crate::context::Context;
use crate::failure::{Failure, Result, tame};
use crate::render::Outcome;
use crate::verbs::evidence::made::Making;

/// What a run did, as far as it came.
#[derive(Default)]
pub(super) struct Did {
    /// The tombstone it was about.
    pub(super) seq: Option<Seq>,
    /// What was destroyed; the text says why that did not come to its end.
    pub(super) swept: Option<std::result::Result<Swept, String>>,
    /// Whether anything opens it; the text says why nobody knows.
    pub(super) proof: Option<std::result::Result<Proof, String>>,
}

impl Did {
    /// Notes a tombstone that was put or signed.
    pub(super) fn put(&mut self, put: &Put) {
        self.seq = Some(put.seq);
    }
}

/// Makes the place for evidence ready, if it is wanted.
pub(super) fn making(context: &Context, args: &Args, region: &Region) -> Result<Option<Making>> {
    let Some(directory) = &args.evidence else { return Ok(None) };
    let mut making =
        Making::begin(context, Kind::Erasure, directory, args.officer.identities.files(context))?;
    making.see(context, region);
    Ok(Some(making))
}

/// Leaves evidence of what was done: where it went well in how it ended, where it failed in the failure. Where no tombstone
/// was put there is nothing to be evidence of.
pub(super) fn leave(
    context: &Context,
    mut making: Making,
    acting: &Acting<'_>,
    region: &Region,
    did: Did,
    ended: Result<Outcome>,
) -> Result<Outcome> {
    let Some(seq) = did.seq else { return ended };
    let officer = acting.officer.name.to_string();
    let title = format!("Erasure of the tenant behind tombstone {} of {}", seq.0, region.name);
    let told = told(acting, region, seq, &did).and_then(|told| {
        if let Some(state) = making.state() {
            let files = tombstone(acting.repository, state, &told.tombstone)?;
            making.attach(files);
        }
        Ok(told)
    });
    match (told, ended) {
        (Ok(told), Ok(mut outcome)) => {
            making.leave(context, title, officer, |run| erased(run, told), &mut outcome);
            Ok(outcome)
        }
        (Ok(told), Err(failure)) => {
            Err(making.leave_failed(context, title, officer, |run| erased(run, told), failure))
        }
        (Err(error), Ok(mut outcome)) => {
            making.fail(context, &error, &mut outcome);
            Ok(outcome)
        }
        (Err(_), ended) => ended,
    }
}

/// All that evidence tells of it.
fn told(acting: &Acting<'_>, region: &Region, seq: Seq, did: &Did) -> Result<Erased> {
    // Read again: others may have signed meanwhile.
    let erasures = Erasures::load(acting.repository)?;
    let act = erasures.acts().iter().find(|act| act.body.seq == seq);
    let act = act.ok_or_else(|| Failure::failed(format!("tombstone {} cannot be found again", seq.0)))?;
    let keys: HashSet<KeyId> = act.body.keys.iter().map(|(_, key)| *key).collect();
    let requested = Moment::new(act.body.time);
    let swept = did.swept.as_ref().and_then(|swept| swept.as_ref().ok());
    let proof = did.proof.as_ref().and_then(|proof| proof.as_ref().ok());
    let now = Moment::new(acting.clock.now());
    // By the clock of the place, since a grave lies at their cards' names; else this run has just destroyed them.
    let destroyed = match proof {
        Some(proof) => proof.buried.map(Moment::new),
        None => swept.map(|_| now),
    };
    Ok(Erased {
        region: region.name.clone(),
        tombstone: tombstone_of(acting, act)?,
        tenant_tokens: act.body.tenants.values().copied().collect(),
        requested,
        effective: effective(acting, act)?,
        destroyed_in: did.swept.as_ref().map(|swept| match swept {
            Ok(swept) => Ok(places(swept, &keys)),
            Err(why) => Err(why.clone()),
        }),
        destroyed: destroyed.map(|destroyed| destroyed.max(requested)),
        bundled: proof.and_then(|proof| proof.bundled).map(Moment::new),
        proof: match &did.proof {
            Some(Ok(proof)) => Ok(proof_of(proof, now)),
            Some(Err(why)) => Err(why.clone()),
            None => Err("it was not tried: keys are not destroyed yet".to_owned()),
        },
        unopened: swept.map_or(0, |swept| swept.unopened.len() as u64),
        untold: swept.map_or(0, |swept| swept.untold as u64),
    })
}

fn tombstone_of(acting: &Acting<'_>, act: &Act) -> Result<TombstoneFact> {
    let mut signed = Vec::new();
    for (officer, hash) in &act.officers {
        let entry = names::erasure(act.body.seq, officer).map_err(RepositoryError::from)?;
        signed.push(SignedFact { officer: officer.clone(), entry, sha256: *hash });
    }
    let keys = act.body.keys.iter().map(|(writer, key)| ErasedKey { writer: writer.clone(), key: *key });
    let wanted = quorum(acting).saturating_sub(act.officers.len());
    Ok(TombstoneFact { number: act.body.seq.0, keys: keys.collect(), signed, wanted: wanted as u64 })
}

fn quorum(acting: &Acting<'_>) -> usize {
    (acting.repository.trust().header.quorum as usize).max(1)
}

/// Since when it holds: one officer's word holds at once, that of several once the last that was needed is stored.
fn effective(acting: &Acting<'_>, act: &Act) -> Result<Option<Moment>> {
    let needed = quorum(acting);
    if !act.effective {
        return Ok(None);
    }
    let requested = Moment::new(act.body.time);
    if needed == 1 {
        return Ok(Some(requested));
    }
    let mut stored = Vec::new();
    for officer in act.officers.keys() {
        let name = names::erasure(act.body.seq, officer).map_err(RepositoryError::from)?;
        let stat = acting.repository.store().stat(&name).map_err(EvidenceError::from)?;
        stored.extend(stat.map(|one| one.modified));
    }
    stored.sort_unstable();
    Ok(stored.get(needed.saturating_sub(1)).map(|at| Moment::new(*at).max(requested)))
}

/// What of this tombstone's keys was destroyed: the repository first, its replica then.
fn places(swept: &Swept, keys: &HashSet<KeyId>) -> Vec<DestroyedFact> {
    let of = |(place, destroyed): (Role, &erase::Destroyed)| {
        let (objects, versions, graves) = destroyed.of(keys);
        DestroyedFact { place, objects: objects as u64, versions: versions as u64, graves: graves as u64 }
    };
    [Role::Repository, Role::Replica].into_iter().zip(&swept.places).map(of).collect()
}

fn proof_of(proof: &Proof, at: Moment) -> ProofFact {
    ProofFact {
        at,
        identities: proof.identities as u64,
        objects: proof.objects as u64,
        segments: proof.segments as u64,
        found: proof.found.iter().map(|one| tame(one)).collect(),
    }
}

/// Tries whether anything opens what was just erased, and notes it. That it cannot be tried undoes nothing.
pub(super) fn prove(acting: &Acting<'_>, places: &[&dyn Store], seq: Seq, did: &mut Did) {
    did.proof = Some(perform_proof(acting, places, seq).map_err(|failure| failure.coded()));
}
