//! Walking through manifests: every line legal and in order, every chunk where the share says, totals as stated.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use lifeboat_repo::crypto::hash::chunk_id;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{Entry, EntryKind, ManifestDecoder, XattrValue, order};
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::recover::{Recovery, TenantKey};
use lifeboat_repo::repository::segments::SegmentReader;
use lifeboat_repo::units::Bytes;

use crate::damage::{Finding, Hits, Subject};
use crate::error::VerifyError;
use crate::holdings::{ChunkNumber, Copy, Holdings};
use crate::needs::{NeededShare, Needs};
use crate::trace::Hurt;
use crate::workers::{self, Threads};

/// Decoded segments that a thread keeps. A manifest that grew over many runs hops between segments of each;
/// this holds eight of the usual 4 MiB.
const DECODED_MAX: Bytes = Bytes::mib(32);

/// Chunks of manifests that were decoded and compared already, by writer and number: another copy of the same
/// chunk says nothing of this one.
pub(crate) type Retained = HashMap<(usize, ChunkNumber), Vec<u8>>;

/// What to walk through, and with what.
pub(crate) struct Task<'t> {
    pub(crate) needs: &'t Needs,
    pub(crate) hurt: &'t Hurt,
    pub(crate) recovery: &'t Recovery<'t>,
    pub(crate) retained: &'t Retained,
}

/// What the walk through one share's manifest showed.
#[derive(Default)]
pub(crate) struct Walk {
    /// The place of the share in [`Needs`].
    pub(crate) share: usize,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) entries: u64,
    pub(crate) bytes: Bytes,
    /// Paths that lose content, by the finding that says why.
    pub(crate) hits: BTreeMap<usize, Hits>,
    /// Paths with a chunk that no listed segment holds.
    pub(crate) strays: Hits,
    /// Why the walk did not reach the end, or why the end was wrong.
    pub(crate) ended: Option<Ended>,
}

/// Why a manifest cannot be relied on.
pub(crate) enum Ended {
    /// These findings say it already.
    Known(Vec<usize>),
    /// A new one.
    New(Box<Finding>),
}

impl Ended {
    fn new(finding: Finding) -> Self {
        Self::New(Box::new(finding))
    }
}

/// What findings about a share's manifest are about: its newest snapshot stands for all.
pub(crate) fn subject(needs: &Needs, share: &NeededShare) -> Subject {
    match needs.snapshots_of(share).max_by_key(|snapshot| snapshot.run) {
        Some(snapshot) => Subject::Manifest(snapshot.name.clone(), share.share.key),
        None => Subject::Area("snapshots/"),
    }
}

impl Task<'_> {
    /// Walks through the manifests of these shares.
    pub(crate) fn walk_all(
        &self,
        shares: &[usize],
        threads: Threads,
        observer: &dyn Observer,
    ) -> Result<Vec<Walk>, VerifyError> {
        let start = || Ok((Walker::new(self)?, Vec::new()));
        let states = workers::each(shares, threads, observer, start, |(walker, walks), at| {
            let Some(share) = self.needs.shares.get(*at) else { return Ok(()) };
            let walk = walker.walk(*at, share, observer)?;
            observer.tell(Event::Progress { items: walk.entries, bytes: Bytes::ZERO });
            walks.push(walk);
            Ok(())
        })?;
        let mut walks: Vec<Walk> = states.into_iter().flat_map(|(_, walks)| walks).collect();
        walks.sort_unstable_by_key(|walk| walk.share);
        Ok(walks)
    }
}

/// One thread's walker, with the segments it decoded last.
struct Walker<'w> {
    task: &'w Task<'w>,
    reader: SegmentReader<'w>,
    decoded: VecDeque<((usize, usize), Vec<u8>)>,
}

/// Everything about the share at hand.
struct At<'a> {
    share: &'a NeededShare,
    holdings: &'a Holdings,
    key: Arc<TenantKey>,
}

impl<'w> Walker<'w> {
    fn new(task: &'w Task<'w>) -> Result<Self, VerifyError> {
        let reader = SegmentReader::new(task.recovery.repository().store())?;
        Ok(Self { task, reader, decoded: VecDeque::new() })
    }

    fn walk(
        &mut self,
        number: usize,
        share: &NeededShare,
        observer: &dyn Observer,
    ) -> Result<Walk, VerifyError> {
        let mut walk = Walk { share: number, ..Walk::default() };
        if let Some(finding) = self.task.hurt.key(share) {
            walk.ended = Some(Ended::Known(vec![finding]));
            return Ok(walk);
        }
        let Some(holdings) = self.task.needs.writer(share) else { return Ok(walk) };
        let key = match self.task.recovery.unwrap_tenant_key(&holdings.writer, share.share.key) {
            Ok(key) => key,
            Err(error) => {
                let finding = Finding::of_error(subject(self.task.needs, share), &error);
                walk.ended = Some(Ended::new(finding));
                return Ok(walk);
            }
        };
        walk.tenant = Some(key.tenant.clone());
        let at = At { share, holdings, key };
        let mut reading = Reading::default();
        for chunk in &share.share.manifest {
            if observer.cancelled() {
                return Err(VerifyError::cancelled("reading manifests"));
            }
            let step = match self.chunk(&at, chunk) {
                Ok(bytes) => {
                    reading.decoder.push(bytes);
                    self.drain(&at, &mut reading, &mut walk)
                }
                Err(ended) => Err(ended),
            };
            if let Err(ended) = step {
                walk.ended = Some(ended);
                return Ok(walk);
            }
        }
        reading.decoder.end();
        walk.ended = self.drain(&at, &mut reading, &mut walk).err().or_else(|| self.totals(share, &walk));
        Ok(walk)
    }

    /// The bytes of a chunk of a manifest, compared with its id.
    fn chunk(&mut self, at: &At<'_>, chunk: &ChunkRef) -> Result<&[u8], Ended> {
        let damaged = |needs, why: &str| Ended::new(Finding::damage(subject(needs, at.share), why));
        let needs = self.task.needs;
        let copies = copies(at, chunk);
        let mut any = copies.iter().copied().chain(self.others(at, chunk, &copies));
        let Some(copy) = any.find(|copy| self.task.hurt.spares(at.share.writer, copy)) else {
            let known = self.task.hurt.why(at.share.writer, &copies);
            let known =
                if copies.is_empty() { self.task.hurt.lost(at.share).into_iter().collect() } else { known };
            return Err(if known.is_empty() {
                damaged(needs, "a chunk of it is in no segment that the snapshot lists for it")
            } else {
                Ended::Known(known)
            });
        };
        if let Some(bytes) = self.task.retained.get(&(at.share.writer, copy.number)) {
            return Ok(bytes);
        }
        let start = at.holdings.offset_of(copy);
        let plain = self.segment(at, copy)?;
        let bytes = plain.get(start..start.saturating_add(copy.length as usize)).unwrap_or_default();
        if chunk_id(&at.key.k_id, bytes) == chunk.0 {
            Ok(bytes)
        } else {
            Err(damaged(needs, "a chunk of it is not what was stored"))
        }
    }

    /// Copies of a chunk that the share does not list, where what it lists cannot be had.
    fn others<'a>(
        &self,
        at: &'a At<'_>,
        chunk: &'a ChunkRef,
        listed: &[Copy],
    ) -> impl Iterator<Item = Copy> + use<'a> {
        let lost = !listed.is_empty() || self.task.hurt.lost(at.share).is_some();
        let others = lost.then(|| at.holdings.copies_of(at.share.share.key, &chunk.0));
        others.into_iter().flatten().filter(|copy| copy.length == chunk.1)
    }

    /// The plaintext of a segment, from memory if it was read lately.
    fn segment(&mut self, at: &At<'_>, copy: Copy) -> Result<&[u8], Ended> {
        let wanted = (at.share.writer, copy.segment);
        if let Some(held) = self.decoded.iter().position(|(held, _)| *held == wanted) {
            self.decoded.swap(held, 0);
        } else {
            let error = RepositoryError::damaged("segment", "no index names it");
            let found = at.holdings.segments().get(copy.segment);
            let segment = found
                .ok_or_else(|| Ended::new(Finding::of_error(subject(self.task.needs, at.share), &error)))?;
            let held =
                |all: &VecDeque<(_, Vec<u8>)>| all.iter().map(|(_, plain)| Bytes::of(plain)).sum::<Bytes>();
            let mut plain = Vec::new();
            while !self.decoded.is_empty() && held(&self.decoded) + segment.needed.plain > DECODED_MAX {
                plain = self.decoded.pop_back().map(|(_, plain)| plain).unwrap_or_default();
            }
            self.reader.read(&segment.needed, &at.key.identity, &mut plain).map_err(|error| {
                Ended::new(Finding::of_error(Subject::Segment(segment.needed.id), &error))
            })?;
            self.decoded.push_front((wanted, plain));
        }
        Ok(self.decoded.front().map(|(_, plain)| plain.as_slice()).unwrap_or_default())
    }

    /// Takes the entries that are complete by now.
    fn drain(&self, at: &At<'_>, reading: &mut Reading, walk: &mut Walk) -> Result<(), Ended> {
        let damaged = |why: String| Ended::new(Finding::damage(subject(self.task.needs, at.share), why));
        while let Some(entry) = reading.decoder.next_entry().map_err(|error| damaged(error.to_string()))? {
            if reading.any && order(&reading.last, &entry.path).is_ge() {
                let path = text::display(&entry.path);
                return Err(damaged(format!("{path} stands twice in it or not in its order")));
            }
            reading.any = true;
            reading.last.clear();
            reading.last.extend_from_slice(&entry.path);
            walk.entries += 1;
            walk.bytes += content_of(&entry);
            self.look_up(at, &entry, walk);
        }
        Ok(())
    }

    /// Whether every chunk of an entry can be had.
    fn look_up(&self, at: &At<'_>, entry: &Entry, walk: &mut Walk) {
        let mut why = BTreeSet::new();
        let mut stray = false;
        for chunk in chunks_of(entry) {
            let mut copies =
                at.holdings.copies(&at.share.share, &chunk.0).filter(|copy| copy.length == chunk.1);
            if copies.any(|copy| self.task.hurt.spares(at.share.writer, &copy)) {
                continue;
            }
            let copies = self::copies(at, chunk);
            if self.others(at, chunk, &copies).any(|copy| self.task.hurt.spares(at.share.writer, &copy)) {
                continue;
            }
            why.extend(self.task.hurt.why(at.share.writer, &copies));
            if copies.is_empty() {
                match self.task.hurt.lost(at.share) {
                    Some(finding) => {
                        why.insert(finding);
                    }
                    None => stray = true,
                }
            }
        }
        for finding in why {
            walk.hits.entry(finding).or_default().add(&entry.path);
        }
        if stray {
            walk.strays.add(&entry.path);
        }
    }

    fn totals(&self, share: &NeededShare, walk: &Walk) -> Option<Ended> {
        let stated = &share.share;
        (stated.entries != walk.entries || stated.bytes != walk.bytes).then(|| {
            let what = format!(
                "it has {} entries with {}, but its snapshot says {} with {}",
                walk.entries, walk.bytes, stated.entries, stated.bytes
            );
            Ended::new(Finding::damage(subject(self.task.needs, share), what))
        })
    }
}

#[derive(Default)]
struct Reading {
    decoder: ManifestDecoder,
    last: Vec<u8>,
    any: bool,
}

/// The copies of a chunk that are as long as whoever names it says.
fn copies(at: &At<'_>, chunk: &ChunkRef) -> Vec<Copy> {
    at.holdings.copies(&at.share.share, &chunk.0).filter(|copy| copy.length == chunk.1).collect()
}

/// Every chunk an entry needs: content, and long attributes.
fn chunks_of(entry: &Entry) -> impl Iterator<Item = &ChunkRef> {
    let attributes = entry.tail.xattrs.iter().filter_map(|xattr| match &xattr.value {
        XattrValue::Chunks(chunks) => Some(chunks),
        XattrValue::Inline(_) => None,
    });
    entry.tail.chunks.iter().chain(attributes.flatten())
}

/// What an entry adds to its share's bytes: the length of a regular file, holes included. Further names of one
/// file are not counted again.
fn content_of(entry: &Entry) -> Bytes {
    if entry.kind == EntryKind::File { entry.size } else { Bytes::ZERO }
}
