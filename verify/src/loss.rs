//! What a restored copy lost, from the heartbeats found in it.
//!
//! A heartbeat with number n is in the data only if the copy holds what was written before t(n), when it was made; one
//! that is not in the data was written after all that the copy holds. So with n the newest record below which none is
//! missing, and n + 1 the next that the log says was written by w(n + 1), a disaster at t lost a time of
//!
//! ```text
//! (t − w(n + 1), t − t(n)]
//! ```
//!
//! The upper end is what is reported. Files are read one after another while they change: only records made before the
//! snapshot's recovery point, the moment when reading began, say that everything older is there.
//!
//! A number that neither the copy nor the log has was never written only where the log is whole around it. Where entries of
//! it are missing, the record may have been written and be lost, so it counts as lost.
//!
//! What nothing proves is unknown, never 0: without records there is no bound, without the log its lower end is 0, without
//! counters nobody can say how many records of a tenant are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifeboat_repo::format::heartbeat::{Canary, CanaryKey, Counter, HeartbeatBody};
use lifeboat_repo::ids::{Label, TenantToken};
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::objective::RpoVerdict;
use crate::span;

mod cut;
mod proof;
#[cfg(test)]
mod tests;

pub use cut::{Cut, ReferenceCheck, cut};
use proof::{NONE, Proof, prove};

/// Records found in a copy whose writer made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    canaries: Vec<(Option<TenantToken>, Canary)>,
    /// Lines and records that no writer made as they stand.
    pub strange: u64,
}

impl Found {
    /// Those of a component among lines that a copy holds. `token` says what stands for a tenant in a writer's log.
    #[must_use]
    pub fn among(
        lines: &[u8],
        component: &Label,
        keys: &[CanaryKey],
        token: &dyn Fn(&Canary) -> Option<TenantToken>,
    ) -> Self {
        let (canaries, mut strange) = Canary::among(lines);
        let mut own = Vec::new();
        for canary in canaries {
            if canary.component == *component && keys.iter().any(|key| key.made(&canary)) {
                own.push((token(&canary), canary));
            } else {
                strange += 1;
            }
        }
        Self { canaries: own, strange }
    }

    /// Takes what was found elsewhere in the same copy.
    pub fn extend(&mut self, other: Self) {
        self.canaries.extend(other.canaries);
        self.strange += other.strange;
    }

    /// When the oldest of them was made: from there on the log is needed.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        self.canaries.iter().map(|(_, canary)| canary.time).min()
    }

    /// Whose records there are; nothing is nobody's.
    #[must_use]
    pub fn tenants(&self) -> BTreeSet<Option<TenantToken>> {
        self.canaries.iter().map(|(token, _)| *token).collect()
    }
}

/// What is known of a copy of one component.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    /// The component.
    pub component: &'k Label,
    /// What was found in it.
    pub found: &'k Found,
    /// The log, if it could be read.
    pub log: Option<&'k [HeartbeatBody]>,
    /// When reading began, as the snapshot says that it is a copy of; nothing where that is not known: then nothing bounds
    /// what is lost.
    pub recovery_point: Option<Timestamp>,
    /// When the disaster struck.
    pub disaster: Timestamp,
    /// How much may be lost.
    pub objective: Duration,
}

/// What a disaster lost of a component, or of a tenant in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The verdict on the upper end.
    #[serde(flatten)]
    pub verdict: RpoVerdict,
    /// The component.
    pub component: Label,
    /// Whose records it rests on; nothing for nobody's.
    pub tenant: Option<TenantToken>,
    /// When the disaster struck.
    pub disaster: Timestamp,
    /// At most the changes of so long are lost; nothing: unknown.
    pub bound: Option<Span>,
    /// More than the changes of so long are lost; nothing: unknown, and 0 is possible.
    pub low: Option<Span>,
    /// When the newest record was made that proves what the copy holds.
    pub proven: Option<Timestamp>,
    /// Its number.
    pub seq: Option<u64>,
    /// Records that were written, or may have been where the log is not whole, are not in the copy, and are older than one that
    /// is.
    pub holes: u64,
    /// Lines where records lie that no writer made as they stand.
    pub strange: u64,
    /// What is lost by numbers, for each tenant that was counted.
    pub lost: Vec<LostRecords>,
    /// Where it comes from, or what is missing.
    pub note: String,
}

/// A duration, in seconds where it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(
    /// How long.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub Duration,
);

/// How many records of a tenant are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRecords {
    /// Whose; nothing for nobody's.
    pub tenant: Option<TenantToken>,
    /// At least so many; nothing: unknown, since one of the two was not counted.
    pub records: Option<u64>,
    /// When they were counted last before the disaster.
    pub counted: Option<Timestamp>,
}

/// Judges a copy by the records of nobody in it, or else by those of tenants: what the worst of them says.
#[must_use]
pub fn judge(known: &Known<'_>) -> Loss {
    let tenants = known.found.tenants();
    if tenants.contains(&None) || tenants.is_empty() {
        return judge_tenant(known, None);
    }
    let each = tenants.into_iter().map(|tenant| judge_tenant(known, tenant));
    let gravity = |loss: &Loss| (loss.bound.is_none(), loss.verdict != RpoVerdict::Met, loss.bound);
    each.max_by_key(gravity).unwrap_or_else(|| judge_tenant(known, None))
}

/// Judges a copy by the records of one tenant in it.
#[must_use]
pub fn judge_tenant(known: &Known<'_>, tenant: Option<TenantToken>) -> Loss {
    let mut writers: BTreeMap<&Label, BTreeMap<u64, Timestamp>> = BTreeMap::new();
    for (_, canary) in known.found.canaries.iter().filter(|(token, _)| *token == tenant) {
        writers.entry(&canary.writer).or_default().insert(canary.seq, canary.time);
    }
    // Each writer's records are a proof of their own, and the best one counts; but a hole is one, whoever's records it is in.
    let proofs: Vec<Proof> =
        writers.iter().map(|(writer, found)| prove(known, tenant, writer, found)).collect();
    let holes = proofs.iter().fold(0_u64, |holes, proof| holes.saturating_add(proof.holes));
    let best = proofs.into_iter().max_by_key(|proof| proof.proven.map(|(_, time)| time));
    let proof = best.unwrap_or_else(|| Proof { note: NONE.into(), ..Proof::default() });
    let bound = proof.proven.map(|(_, time)| known.disaster.since(time));
    Loss {
        verdict: match bound {
            Some(bound) if bound <= known.objective && holes == 0 => RpoVerdict::Met,
            Some(_) => RpoVerdict::Missed,
            None => RpoVerdict::InsufficientEvidence(proof.note.clone()),
        },
        component: known.component.clone(),
        tenant,
        disaster: known.disaster,
        bound: bound.map(Span),
        low: proof.absent.map(|written| Span(known.disaster.since(written))).filter(|_| bound.is_some()),
        proven: proof.proven.map(|(_, time)| time),
        seq: proof.proven.map(|(seq, _)| seq),
        holes,
        strange: known.found.strange,
        lost: Vec::new(),
        note: proof.note,
    }
}

/// Compares what tenants had, as counted last before the disaster, with what a copy has. A tenant that was not counted on
/// one of both sides is unknown.
#[must_use]
pub fn lost_records(
    log: Option<&[HeartbeatBody]>,
    component: &Label,
    disaster: Timestamp,
    restored: Option<&BTreeMap<Option<TenantToken>, u64>>,
) -> Vec<LostRecords> {
    let mut newest: BTreeMap<Option<TenantToken>, &Counter> = BTreeMap::new();
    for counter in log.into_iter().flatten().flat_map(|entry| &entry.counters) {
        let fits = counter.component == *component && counter.time <= disaster;
        let newer = newest.get(&counter.tenant).is_none_or(|known| known.time <= counter.time);
        if fits && newer {
            newest.insert(counter.tenant, counter);
        }
    }
    let all: BTreeSet<Option<TenantToken>> = newest
        .keys()
        .copied()
        .chain(restored.into_iter().flat_map(|counts| counts.keys().copied()))
        .collect();
    let one = |tenant: Option<TenantToken>| {
        let (had, has) = (newest.get(&tenant), restored.and_then(|counts| counts.get(&tenant)));
        let records = had.zip(has).map(|(had, has)| had.records.saturating_sub(*has));
        LostRecords { tenant, records, counted: had.map(|counter| counter.time) }
    };
    all.into_iter().map(one).collect()
}
