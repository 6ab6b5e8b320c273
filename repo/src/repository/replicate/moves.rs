//! Segments that go into new packs of the replica: theirs are condemned there, or damaged in the repository.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::needs::{Needs, Source, Spot, Work};
use super::{Job, Problem};
use crate::crypto::hash::segment_id;
use crate::format::index::{PackRef, SegmentLine};
use crate::format::names;
use crate::format::records::Recorded;
use crate::ids::{PackId, SegmentId};
use crate::repository::maintainer::{Maintainer, MaintenanceRun};
use crate::repository::pack::{PACK_TARGET, PackBuilder, StagedPack};
use crate::repository::{RepositoryError, index};
use crate::units::{Bytes, LockClass};

/// Puts the segments to be moved into new packs, and where they are into index objects of the replica's maintainer, with
/// their chunks: the object that told these may be condemned there.
pub(super) fn put(
    job: &Job<'_>,
    reader: &Maintainer<'_>,
    maintainer: &Maintainer<'_>,
    run: &mut MaintenanceRun<'_>,
    work: &Work,
    (facts, needs): (&mut Facts, &mut Needs),
    problems: &mut Vec<Problem>,
) -> Result<(), RepositoryError> {
    if work.moves.is_empty() {
        return Ok(());
    }
    let store = maintainer.repository().store();
    let mut mover = Mover { run, catalog: reader, packs: Vec::new(), lines: Vec::new() };
    // A pack holds segments of one class.
    let mut open: BTreeMap<LockClass, PackBuilder<'_>> = BTreeMap::new();
    for line in lines(job, reader, maintainer, work, facts, needs)? {
        let Some(segment) = needs.segments.get(&line.segment) else { continue };
        let Some(bytes) = read(job, line.segment, &segment.places)? else {
            facts.packs.given_up.insert(line.segment);
            let why = "its bytes are damaged wherever the repository has it";
            problems.push(Problem::new(format!("segment {}", line.segment), why));
            continue;
        };
        let class = line.lock;
        let mut builder = match open.remove(&class) {
            Some(builder) => builder,
            None => PackBuilder::begin_as(store, class)?,
        };
        builder.append(&bytes, line)?;
        if builder.length() >= PACK_TARGET {
            mover.take(builder)?;
        } else {
            open.insert(class, builder);
        }
    }
    for last in open.into_values() {
        mover.take(last)?;
    }
    let Mover { packs, lines, .. } = mover;
    let mut told: BTreeMap<PackId, (Bytes, usize)> = BTreeMap::new();
    let mut rest = packs.iter();
    for (name, count) in run.put_index(&packs, lines.clone())? {
        let number = needs.indexes.len();
        needs.indexes.push(Source { name, length: Bytes::ZERO, at_source: false, there: true, counts: true });
        told.extend(rest.by_ref().take(count).map(|PackRef(pack, length)| (*pack, (*length, number))));
    }
    facts.packs.replica.extend(told.iter().map(|(pack, (length, _))| (*pack, *length)));
    for line in lines {
        let place = line.pack.and_then(|pack| Some((pack, *told.get(&pack)?)));
        if let (Some(segment), Some((pack, (whole, number)))) = (needs.segments.get_mut(&line.segment), place)
        {
            segment.places.push(Spot {
                pack,
                whole,
                offset: line.offset,
                length: line.length,
                index: number,
            });
            segment.homes.push(number);
        }
    }
    Ok(())
}

/// The lines of the segments to be moved, with their chunks, from the index objects that tell these.
fn lines(
    job: &Job<'_>,
    reader: &Maintainer<'_>,
    maintainer: &Maintainer<'_>,
    work: &Work,
    facts: &Facts,
    needs: &Needs,
) -> Result<Vec<SegmentLine>, RepositoryError> {
    let mut homes: BTreeMap<usize, BTreeSet<SegmentId>> = BTreeMap::new();
    for id in &work.moves {
        if let Some(home) = needs.segments.get(id).and_then(|segment| segment.homes.first()) {
            homes.entry(*home).or_default().insert(*id);
        }
    }
    let mut lines = Vec::new();
    for (home, wanted) in homes {
        let Some(source) = needs.indexes.get(home) else { continue };
        let at_source = facts.source.contains_key(&source.name);
        let repository = if at_source { job.source } else { maintainer.repository() };
        let index = index::read(repository, reader.catalog(), &source.name)?;
        let told = index.segments.into_iter();
        lines.extend(told.filter(|line| wanted.contains(&line.segment) && !line.chunks.is_empty()));
    }
    lines.sort_by_key(|line| line.segment);
    lines.dedup_by_key(|line| line.segment);
    Ok(lines)
}

/// A segment's stored bytes from the first place in the repository that has them whole.
fn read(job: &Job<'_>, id: SegmentId, places: &[Spot]) -> Result<Option<Vec<u8>>, RepositoryError> {
    for spot in places {
        let name = names::pack(spot.pack)?;
        let mut bytes = Vec::new();
        match job.source.store().read_range(&name, spot.offset, spot.length, &mut bytes) {
            Ok(()) if segment_id(&bytes) == id => return Ok(Some(bytes)),
            Ok(()) => {}
            Err(error) => {
                let error = RepositoryError::store_read(name.as_str(), error);
                if !error.is_damage() {
                    return Err(error);
                }
            }
        }
    }
    Ok(None)
}

/// Packs that were made, and the lines that say what is in them.
struct Mover<'m, 'r> {
    run: &'m mut MaintenanceRun<'r>,
    catalog: &'m Maintainer<'m>,
    packs: Vec<PackRef>,
    lines: Vec<SegmentLine>,
}

impl Mover<'_, '_> {
    fn take(&mut self, pack: PackBuilder<'_>) -> Result<(), RepositoryError> {
        let (name, run) = (self.catalog.name(), self.run.id());
        let staged: StagedPack = pack.finish(self.catalog.catalog(), name, run)?;
        self.run.record(Recorded(staged.name.clone(), staged.hash(), staged.pack.1));
        self.packs.push(staged.pack);
        self.lines.extend(staged.segments);
        Ok(())
    }
}
