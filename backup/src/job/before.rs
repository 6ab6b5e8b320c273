//! What the backup before knew, in terms of this one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lifeboat_repo::ids::{ObjectName, PackId, SegmentId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::index::{DedupTable, KnownSegment, SegmentNumber};
use lifeboat_repo::repository::run::Run;
use lifeboat_repo::units::Bytes;

use crate::error::BackupError;
use crate::rewrite::Holding;
use crate::state::records::WalkReader;
use crate::state::{State, Table};
use crate::walk::Previous;

/// The walk of last time, unless nobody would find what it refers to.
pub(super) fn last_walk(
    state: &State,
    run: &Run<'_>,
    indexes: &HashSet<ObjectName>,
) -> Option<(Table, WalkReader)> {
    let (table, records) = state.load()?;
    // All that lies in packs which are not condemned is told by index objects which are not: FORMAT.md §11.
    let gone = |name: &&ObjectName| !indexes.contains(*name) && !run.condemned().index(name);
    if let Some(gone) = table.indexes.iter().find(gone) {
        tracing::warn!(index = %gone, "an index object is gone; every file is read anew");
        return None;
    }
    Some((table, records))
}

pub(super) fn holdings_of(table: &Table) -> HashMap<SegmentId, Holding> {
    let (segments, holdings) = (table.segments.iter(), table.holdings.iter());
    let needed = segments.zip(holdings).filter(|(_, holding)| holding.live > Bytes::ZERO);
    needed.map(|(segment, holding)| (segment.0, *holding)).collect()
}

/// Tells of packs that the last walk relied on, and that nobody condemned: somebody or something took them away. What was
/// in them and is at the source still is stored again.
fn tell_missing(table: &Table, run: &Run<'_>, present: &HashMap<PackId, Bytes>, observer: &dyn Observer) {
    let needed = table.segments.iter().zip(&table.holdings).filter(|(_, holding)| holding.live > Bytes::ZERO);
    let missing: BTreeSet<PackId> = needed
        .map(|((_, pack, length, _), _)| (*pack, *length))
        .filter(|(pack, length)| *length > Bytes::ZERO && present.get(pack) != Some(length))
        .map(|(pack, _)| pack)
        .filter(|pack| !run.condemned().pack(*pack))
        .collect();
    if let Some(first) = missing.first() {
        let more = match missing.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        observer.tell(Event::Warning(format!(
            "pack {first}{more} is missing or of another length; what was in it is stored again as far as it is still \
             here. Run `lifeboat verify` to see what older snapshots lack"
        )));
    }
}

/// The walk of last time in terms of this run, with what it needs found present and none of the victims.
pub(super) fn remembered(
    (table, records): (Table, WalkReader),
    run: &mut Run<'_>,
    present: &HashMap<PackId, Bytes>,
    victims: Vec<SegmentId>,
    observer: &dyn Observer,
) -> Result<(DedupTable, Previous), BackupError> {
    let there = |pack: &PackId, length: &Bytes| present.get(pack) == Some(length);
    // What has no length was gone before.
    let all = table.segments.iter().all(|(_, pack, length, _)| *length == Bytes::ZERO || there(pack, length));
    let moved = if all { None } else { Some(run.moved(present)?) };
    tell_missing(&table, run, present, observer);
    let mut known = DedupTable::default();
    known.exclude(victims);
    let segments: Arc<[Option<SegmentNumber>]> = table
        .segments
        .iter()
        .map(|(id, pack, length, key)| {
            let elsewhere = || moved.as_ref().and_then(|moved| moved.find(id));
            let pack = if there(pack, length) { Some(*pack) } else { elsewhere() };
            pack.and_then(|pack| known.add_segment(KnownSegment { id: *id, pack: Some(pack), key: *key }))
        })
        .collect();
    for (chunk, ordinal) in &table.manifests {
        if let Some(Some(number)) = segments.get(*ordinal as usize) {
            known.insert(chunk, *number);
        }
    }
    let tenants = table
        .tenants
        .iter()
        .map(|(tenant, key)| run.agent().card(tenant).map(|card| card.key).filter(|found| found == key))
        .collect();
    Ok((known, Previous { table, records, tenants, segments, next: None }))
}
