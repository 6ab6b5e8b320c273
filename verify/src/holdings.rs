//! What a writer's index says of the segments that counting snapshots need.

use std::collections::{HashMap, HashSet};

use lifeboat_repo::format::index::{ChunkRef, Index, SegmentLine};
use lifeboat_repo::format::names::{Place as NamePlace, place};
use lifeboat_repo::format::snapshot::Share;
use lifeboat_repo::ids::{ChunkId, KeyId, Label, ObjectName, PackId, SegmentId, SegmentPrefix};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::order::IdOrder;
use lifeboat_repo::repository::segments::{NeededSegment, Place};
use lifeboat_repo::repository::{Repository, RepositoryError, index};
use lifeboat_repo::units::{Bytes, LockClass};

use crate::damage::{Finding, Severity};
use crate::error::VerifyError;
use crate::ledgers::Ledgers;
use crate::workers::{self, Threads};

/// Where holdings are read from.
pub(crate) struct Source<'s> {
    pub(crate) repository: &'s Repository,
    pub(crate) catalog: &'s Catalog,
    pub(crate) ledgers: &'s Ledgers,
    pub(crate) condemned: &'s Condemned,
    pub(crate) threads: Threads,
    pub(crate) observer: &'s dyn Observer,
}

/// What index objects of maintainers say of segments that are needed of anyone.
pub(crate) struct Maintained {
    indexes: Vec<Index>,
    settled: bool,
}

impl Maintained {
    /// Reads every maintainer's index objects, but those of whoever is among the writers.
    pub(crate) fn load(
        source: &Source<'_>,
        writers: &[Label],
        wanted: &HashSet<SegmentPrefix>,
        findings: &mut Vec<Finding>,
    ) -> Result<Self, VerifyError> {
        let mut maintained = Self { indexes: Vec::new(), settled: true };
        for maintainer in source.repository.trust().maintainers() {
            if !writers.contains(&maintainer) {
                let read = read_all(source, &maintainer, wanted, findings)?;
                maintained.settled &= read.settled;
                maintained.indexes.extend(read.indexes);
            }
        }
        Ok(maintained)
    }
}

/// A needed segment and the chunks in it.
pub(crate) struct Segment {
    pub(crate) needed: NeededSegment,
    /// How its packs are locked.
    pub(crate) lock: LockClass,
    /// The number of its first chunk.
    first: u32,
    /// How many chunks it has.
    count: u32,
}

/// A chunk's number: its place when all segments' chunks stand in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkNumber(pub(crate) u32);

/// A copy of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) number: ChunkNumber,
    /// The place of its segment in [`Holdings::segments`].
    pub(crate) segment: usize,
    pub(crate) length: u32,
}

/// What a writer's index says of the segments that are needed of it: 48 bytes a chunk, 200 a segment.
pub(crate) struct Holdings {
    pub(crate) writer: Label,
    segments: Vec<Segment>,
    chunks: Vec<ChunkRef>,
    /// The place of each chunk's segment in `segments`.
    owners: Vec<u32>,
    by_id: IdOrder,
    /// Places in `segments`, in order of their prefixes.
    by_prefix: Vec<(SegmentPrefix, usize)>,
    /// Whether every index object was read or is damaged: then what is not here is lost.
    pub(crate) settled: bool,
    /// The lengths that index objects give for packs.
    pub(crate) packs: HashMap<PackId, Bytes>,
}

impl Holdings {
    /// Reads every index object of a writer, and takes what maintainers' say of its segments. One that cannot be read
    /// becomes a finding; what only it knew is then missing here.
    pub(crate) fn load(
        source: &Source<'_>,
        maintained: &Maintained,
        writer: &Label,
        wanted: &HashSet<SegmentPrefix>,
        findings: &mut Vec<Finding>,
    ) -> Result<Self, VerifyError> {
        let own = read_all(source, writer, wanted, findings)?;
        let mut holdings = Self {
            writer: writer.clone(),
            segments: Vec::new(),
            chunks: Vec::new(),
            owners: Vec::new(),
            by_id: IdOrder::default(),
            by_prefix: Vec::new(),
            settled: own.settled && maintained.settled,
            packs: HashMap::new(),
        };
        let mut numbers = HashMap::new();
        for index in own.indexes {
            holdings.packs.extend(index.header.packs.iter().map(|pack| (pack.0, pack.1)));
            for line in index.segments {
                holdings.take(line, &mut numbers);
            }
        }
        for index in &maintained.indexes {
            holdings.packs.extend(index.header.packs.iter().map(|pack| (pack.0, pack.1)));
            for line in index.segments.iter().filter(|line| wanted.contains(&line.segment.prefix())) {
                holdings.take(line.clone(), &mut numbers);
            }
        }
        holdings.settle(source.condemned);
        Ok(holdings)
    }

    fn take(&mut self, line: SegmentLine, numbers: &mut HashMap<SegmentId, usize>) {
        let Some(pack) = line.pack else { return };
        let place = Place { pack, offset: line.offset, length: line.length };
        let at = *numbers.entry(line.segment).or_insert(self.segments.len());
        if at == self.segments.len() {
            let (id, key, kind, plain) = (line.segment, line.key, line.kind, line.plain);
            let needed = NeededSegment { id, key, kind, plain, places: Vec::new() };
            self.segments.push(Segment { needed, lock: line.lock, first: 0, count: 0 });
        }
        let Some(segment) = self.segments.get_mut(at) else { return };
        if !segment.needed.places.contains(&place) {
            segment.needed.places.push(place);
        }
        // A line that only gives another place has no chunks; whichever line has them first tells them.
        let numbers = [self.chunks.len(), line.chunks.len(), at].map(u32::try_from);
        if let (0, [Ok(first), Ok(count), Ok(owner)]) = (segment.count, numbers) {
            (segment.first, segment.count) = (first, count);
            self.owners.resize(self.chunks.len() + line.chunks.len(), owner);
            self.chunks.extend(line.chunks);
        }
    }

    fn settle(&mut self, condemned: &Condemned) {
        for segment in &mut self.segments {
            segment.needed.places.sort_by_key(|place| condemned.pack(place.pack));
        }
        self.by_id = IdOrder::of(&self.chunks, |chunk| &chunk.0);
        self.by_prefix = self.segments.iter().map(|segment| segment.needed.id.prefix()).zip(0..).collect();
        self.by_prefix.sort_unstable();
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The chunks of a segment with their numbers, in the order of its plaintext.
    pub(crate) fn chunks_of<'h>(
        &'h self,
        segment: &Segment,
    ) -> impl Iterator<Item = (ChunkNumber, &'h ChunkRef)> + use<'h> {
        let (first, count) = (segment.first, segment.count);
        let chunks = self.chunks.get(first as usize..).unwrap_or_default();
        (first..).map(ChunkNumber).zip(chunks.iter().take(count as usize))
    }

    /// The places of a share's segments with this prefix.
    pub(crate) fn with_prefix(&self, prefix: SegmentPrefix) -> impl Iterator<Item = (usize, &Segment)> {
        let first = self.by_prefix.partition_point(|(known, _)| *known < prefix);
        self.by_prefix
            .get(first..)
            .unwrap_or_default()
            .iter()
            .take_while(move |(known, _)| *known == prefix)
            .filter_map(|(_, at)| self.segments.get(*at).map(|segment| (*at, segment)))
    }

    /// Every copy of a chunk of this share's key in a segment that the share lists.
    pub(crate) fn copies<'h>(
        &'h self,
        share: &'h Share,
        chunk: &ChunkId,
    ) -> impl Iterator<Item = Copy> + use<'h> {
        self.copies_of(share.key, chunk).filter(|copy| {
            self.segments.get(copy.segment).is_some_and(|segment| lists(share, &segment.needed))
        })
    }

    /// Every copy of a chunk of a key in a segment that any snapshot lists: where a segment is lost, the writer may have
    /// stored its chunks again.
    pub(crate) fn copies_of<'h>(
        &'h self,
        key: KeyId,
        chunk: &ChunkId,
    ) -> impl Iterator<Item = Copy> + use<'h> {
        self.by_id
            .find(&self.chunks, |known| &known.0, chunk)
            .iter()
            .filter_map(|number| self.chunks.get(*number as usize).map(|known| (*number, known)))
            .filter_map(|(number, known)| {
                let segment = *self.owners.get(number as usize)? as usize;
                Some(Copy { number: ChunkNumber(number), segment, length: known.1 })
            })
            .filter(move |copy| {
                self.segments.get(copy.segment).is_some_and(|segment| segment.needed.key == key)
            })
    }

    /// Where in its segment's plaintext a chunk begins.
    pub(crate) fn offset_of(&self, copy: Copy) -> usize {
        let Some(segment) = self.segments.get(copy.segment) else { return 0 };
        let before = self.chunks_of(segment).take_while(|(number, _)| *number < copy.number);
        before.map(|(_, chunk)| chunk.1 as usize).sum()
    }
}

/// Whether a share lists a segment as needed and can open it.
pub(crate) fn lists(share: &Share, segment: &NeededSegment) -> bool {
    share.key == segment.key && share.segments.binary_search(&segment.id.prefix()).is_ok()
}

/// What was read of somebody's index.
struct ReadAll {
    indexes: Vec<Index>,
    /// Whether every index object was read or is damaged.
    settled: bool,
}

/// Reads somebody's index objects, with those segments that are wanted.
fn read_all(
    source: &Source<'_>,
    writer: &Label,
    wanted: &HashSet<SegmentPrefix>,
    findings: &mut Vec<Finding>,
) -> Result<ReadAll, VerifyError> {
    let names = names(source, writer, findings)?;
    let read = |name: &ObjectName| Ok(read_some(source, name, wanted));
    let mut all = ReadAll { indexes: Vec::new(), settled: true };
    for (name, outcome) in names.iter().zip(workers::map(&names, source.threads, source.observer, read)?) {
        match outcome {
            Ok(index) => all.indexes.extend(index),
            Err(error) => {
                let finding = Finding::of_error(name, &error);
                all.settled &= finding.severity == Severity::Damage;
                findings.push(finding);
            }
        }
    }
    Ok(all)
}

/// The index objects that there are; those that a ledger names and that are gone become findings, unless a gc record
/// condemns them.
fn names(
    source: &Source<'_>,
    writer: &Label,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ObjectName>, VerifyError> {
    let listed = source.repository.store().list(&format!("index/{writer}/"))?;
    let names: Vec<ObjectName> = listed
        .into_iter()
        .map(|object| object.name)
        .filter(|name| matches!(place(name), Some(NamePlace::Index(..))))
        .collect();
    let prefix = format!("index/{writer}/");
    for (name, record) in &source.ledgers.recorded {
        let gone = record.binds && names.binary_search(name).is_err() && !source.condemned.index(name);
        if gone && name.as_str().starts_with(&prefix) {
            findings
                .push(Finding::damage(name, format!("it is missing, although {} names it", record.entry)));
        }
    }
    Ok(names)
}

/// One index object with only those segments that are wanted; nothing where it is condemned and of no use.
fn read_some(
    source: &Source<'_>,
    name: &ObjectName,
    wanted: &HashSet<SegmentPrefix>,
) -> Result<Option<Index>, RepositoryError> {
    let read = index::read_if_any(source.repository, source.catalog, source.condemned, name)?;
    let Some(mut index) = read else { return Ok(None) };
    index.segments.retain(|line| wanted.contains(&line.segment.prefix()));
    index.segments.shrink_to_fit();
    Ok(Some(index))
}
