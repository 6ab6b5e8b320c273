//! The third level: what was backed up comes out again. Segments are fetched, opened, decompressed and compared
//! chunk by chunk with their ids; manifests are read to their last line.

use std::collections::HashMap;
use std::sync::Arc;

use lifeboat_repo::ids::{KeyId, Label, SegmentId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::{Recovery, TenantKey};
use lifeboat_repo::units::Bytes;
use serde::Serialize;

use crate::damage::{Finding, Subject};
use crate::error::VerifyError;
use crate::inventory::find_lost_segments;
use crate::levels::Outcome;
use crate::manifests::Task;
use crate::moved;
use crate::needs::{Needs, Scope};
use crate::sample::{Amount, Bound, Seed, draw};
use crate::segments::{Pass, read_segments};
use crate::trace::{Hurt, attribute_snapshots, settle};
use crate::workers;

/// How much to read back, and which sample.
#[derive(Clone, Debug)]
pub struct Draw {
    /// How much.
    pub amount: Amount,
    /// What draws the sample.
    pub seed: SeedFrom,
}

/// Where the seed of a sample comes from.
#[derive(Clone, Debug)]
pub enum SeedFrom {
    /// It is given, to draw the sample of an earlier report again.
    Given(Seed),
    /// The newest checkpoint, published before, and a nonce of whoever asks: neither side chooses alone.
    Checkpoint {
        /// Any bytes.
        nonce: Vec<u8>,
    },
}

/// What a readback saw.
#[derive(Clone, Debug, Serialize)]
pub struct ReadbackReport {
    /// What may be said.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Snapshots that count; the manifests of all of them were read, whatever the sample.
    pub snapshots: u64,
    /// Different shares of tenants in them.
    pub shares: u64,
    /// Entries in their manifests, each manifest counted once.
    pub entries: u64,
    /// Segments that these need.
    pub population: u64,
    /// Their stored bytes.
    pub population_bytes: Bytes,
    /// Segments drawn.
    pub sample: u64,
    /// Their stored bytes: what share of the stored data was looked at.
    pub sample_bytes: Bytes,
    /// Segments drawn that came out whole.
    pub good: u64,
    /// Chunks compared with their ids.
    pub chunks: u64,
    /// Bytes of content that came out.
    pub plain_bytes: Bytes,
    /// The seed that drew the sample; none where everything was read.
    pub seed: Option<Seed>,
    /// What the sample proves of the population; only where every segment drawn was good.
    pub bound: Option<Bound>,
    /// Tenant keys that open.
    pub keys: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Reads back segments and every manifest.
///
/// # Errors
/// A listing failed, gc records are damaged, no checkpoint can seed the sample, or the observer asked to stop.
pub fn readback(
    recovery: &Recovery<'_>,
    scope: &Scope,
    wanted: &Draw,
    observer: &dyn Observer,
) -> Result<ReadbackReport, VerifyError> {
    let look = || look(recovery, scope, wanted, observer);
    moved::unless_moved(recovery.repository(), look, |report| &report.outcome)
}

fn look(
    recovery: &Recovery<'_>,
    scope: &Scope,
    wanted: &Draw,
    observer: &dyn Observer,
) -> Result<ReadbackReport, VerifyError> {
    let needs = Needs::load(recovery.repository(), recovery.catalog(), scope, observer)?;
    let mut findings = needs.findings.clone();
    let mut hurt = Hurt::default();
    find_lost_segments(&needs, &mut hurt, &mut findings);
    observer.tell(Event::Phase("opening tenant keys"));
    let keys = open_keys(recovery, &needs, scope, observer, &mut hurt, &mut findings)?;
    let chosen = choose(&needs, wanted)?;
    let pass =
        Pass { needs: &needs, store: recovery.repository().store(), keys: &keys, threads: scope.threads };
    let read = read_segments(&pass, &chosen.places, &mut hurt, &mut findings, observer)?;
    observer.tell(Event::Phase("reading manifests"));
    attribute_snapshots(&mut findings, &needs);
    let task = Task { needs: &needs, hurt: &hurt, recovery, retained: &read.retained };
    let shares: Vec<usize> = (0..needs.shares.len()).collect();
    let mut entries = 0;
    for walk in task.walk_all(&shares, scope.threads, observer)? {
        entries += walk.entries;
        settle(&mut findings, &needs, walk);
    }
    hurt.excuse(&mut findings);
    let (population, population_bytes) = needs.population();
    let sample = chosen.places.len() as u64;
    let clean = read.good == sample;
    Ok(ReadbackReport {
        outcome: needs.outcome(&findings),
        snapshots: needs.snapshots.len() as u64,
        shares: needs.shares.len() as u64,
        entries,
        population,
        population_bytes,
        sample,
        sample_bytes: read.stored,
        good: read.good,
        chunks: read.chunks,
        plain_bytes: read.plain,
        seed: chosen.seed,
        bound: if clean { Bound::of_clean(sample, population) } else { None },
        keys: keys.len() as u64,
        findings,
    })
}

/// The segments to read.
struct Chosen {
    /// Writer and segment, by their places in [`Needs`].
    places: Vec<(usize, usize)>,
    seed: Option<Seed>,
}

fn choose(needs: &Needs, wanted: &Draw) -> Result<Chosen, VerifyError> {
    let mut all: Vec<(SegmentId, (usize, usize))> = Vec::new();
    for (writer, holdings) in needs.holdings.iter().enumerate() {
        let segments = holdings.segments().iter().enumerate();
        all.extend(segments.map(|(at, segment)| (segment.needed.id, (writer, at))));
    }
    all.sort_unstable();
    let count = wanted.amount.of(all.len() as u64);
    if count == all.len() as u64 {
        return Ok(Chosen { places: all.into_iter().map(|(_, place)| place).collect(), seed: None });
    }
    let seed = match &wanted.seed {
        SeedFrom::Given(seed) => *seed,
        SeedFrom::Checkpoint { nonce } => {
            let checkpoint = needs.newest_checkpoint().ok_or_else(|| {
                VerifyError::refused(
                    "sample",
                    "no ledger holds a checkpoint to make a seed from; give a seed",
                )
            })?;
            Seed::from_checkpoint(&checkpoint, nonce)
        }
    };
    let ids: Vec<SegmentId> = all.iter().map(|(id, _)| *id).collect();
    let drawn = draw(&ids, count, &seed);
    let places = drawn.into_iter().filter_map(|at| all.get(at)).map(|(_, place)| *place).collect();
    Ok(Chosen { places, seed: Some(seed) })
}

pub(crate) type Keys = HashMap<(Label, KeyId), Arc<TenantKey>>;

/// Opens every key under the living seal, and every key that a share needs.
fn open_keys(
    recovery: &Recovery<'_>,
    needs: &Needs,
    scope: &Scope,
    observer: &dyn Observer,
    hurt: &mut Hurt,
    findings: &mut Vec<Finding>,
) -> Result<Keys, VerifyError> {
    let mut wanted = recovery.keys()?;
    wanted.extend(needs.keys());
    wanted.sort_unstable();
    wanted.dedup();
    let open = |(writer, key): &(Label, KeyId)| Ok(recovery.unwrap_tenant_key(writer, *key));
    let opened = workers::map(&wanted, scope.threads, observer, open)?;
    let mut keys = Keys::new();
    for (slot, outcome) in wanted.into_iter().zip(opened) {
        match outcome {
            Ok(key) => {
                keys.insert(slot, key);
            }
            Err(error) => {
                let owner = needs.holdings.iter().position(|holdings| holdings.writer == slot.0);
                owner.into_iter().for_each(|owner| hurt.add_key(owner, slot.1, findings.len()));
                let subject = error.what.parse().map_or(Subject::Area("keys/"), Subject::Object);
                findings.push(Finding::of_error(subject, &error));
            }
        }
    }
    Ok(keys)
}
