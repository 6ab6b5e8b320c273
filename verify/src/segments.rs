//! Opening segments and comparing every chunk in them with its id.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_repo::crypto::hash::chunk_id;
use lifeboat_repo::ids::{ChunkId, KeyId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::recover::TenantKey;
use lifeboat_repo::repository::segments::{NeededSegment, SegmentReader};
use lifeboat_repo::store::Store;
use lifeboat_repo::units::Bytes;

use crate::damage::{Finding, Subject};
use crate::error::VerifyError;
use crate::holdings::{ChunkNumber, Holdings, Segment};
use crate::manifests::Retained;
use crate::needs::Needs;
use crate::readback::Keys;
use crate::trace::Hurt;
use crate::workers::{self, Threads};

/// Segments that are on their way, from a store that is far away, while one is worked on.
const AHEAD: usize = 16;

/// Chunks of manifests kept for the walk that follows, so that their segments are not decoded twice. What is
/// beyond is read again.
const RETAINED_MAX: Bytes = Bytes::mib(128);

/// What to read with.
pub(crate) struct Pass<'p> {
    pub(crate) needs: &'p Needs,
    pub(crate) store: &'p dyn Store,
    pub(crate) keys: &'p Keys,
    pub(crate) threads: Threads,
}

/// What came out.
#[derive(Default)]
pub(crate) struct Read {
    /// Segments that came out whole.
    pub(crate) good: u64,
    pub(crate) chunks: u64,
    pub(crate) plain: Bytes,
    /// Stored bytes of all segments drawn.
    pub(crate) stored: Bytes,
    pub(crate) retained: Retained,
}

/// Reads these segments (writer and place), each once, in the order they lie in packs.
pub(crate) fn read_segments(
    pass: &Pass<'_>,
    places: &[(usize, usize)],
    hurt: &mut Hurt,
    findings: &mut Vec<Finding>,
    observer: &dyn Observer,
) -> Result<Read, VerifyError> {
    let mut jobs: Vec<Job<'_>> =
        places.iter().filter_map(|(writer, at)| Job::new(pass, *writer, *at)).collect();
    jobs.sort_unstable_by_key(|job| job.segment.needed.places.first().copied());
    for (position, job) in jobs.iter_mut().enumerate() {
        job.position = position;
    }
    let stored: Bytes = jobs.iter().map(Job::stored).sum();
    observer.tell(Event::Phase("reading segments"));
    observer.tell(Event::Planned { items: jobs.len() as u64, bytes: stored });
    let manifest_chunks: HashSet<(KeyId, ChunkId)> = pass
        .needs
        .shares
        .iter()
        .flat_map(|share| share.share.manifest.iter().map(|chunk| (share.share.key, chunk.0)))
        .collect();
    let shared = Shared { manifest_chunks, retained: AtomicU64::new(0) };
    let start = || Worker::new(pass, &shared);
    let workers = workers::each(&jobs, pass.threads, observer, start, |worker, job| {
        for next in jobs.iter().skip(job.position + 1).take(AHEAD) {
            worker.reader.expect(&next.segment.needed);
        }
        worker.read(job);
        observer.tell(Event::Progress { items: 1, bytes: job.stored() });
        Ok(())
    })?;
    let mut read = Read { stored, ..Read::default() };
    let mut bad = Vec::new();
    for worker in workers {
        read.good += worker.read.good;
        read.chunks += worker.read.chunks;
        read.plain += worker.read.plain;
        read.retained.extend(worker.read.retained);
        bad.extend(worker.bad);
    }
    bad.sort_by_key(|bad| (bad.writer, bad.segment));
    for one in bad {
        match one.chunks {
            Some(chunks) => {
                for chunk in chunks {
                    hurt.add_chunk(one.writer, one.segment, chunk, findings.len());
                }
            }
            None if one.lost => hurt.add_segment(pass.needs, one.writer, one.segment, findings.len()),
            None => {}
        }
        findings.push(one.finding);
    }
    Ok(read)
}

/// A segment to read.
struct Job<'j> {
    /// Its place in the order they are begun in.
    position: usize,
    writer: usize,
    at: usize,
    holdings: &'j Holdings,
    segment: &'j Segment,
}

impl<'j> Job<'j> {
    fn new(pass: &Pass<'j>, writer: usize, at: usize) -> Option<Self> {
        let holdings = pass.needs.holdings.get(writer)?;
        Some(Self { position: 0, writer, at, holdings, segment: holdings.segments().get(at)? })
    }

    fn stored(&self) -> Bytes {
        self.segment.needed.places.first().map_or(Bytes::ZERO, |place| place.length)
    }
}

/// A segment that did not come out whole.
struct Bad {
    writer: usize,
    segment: usize,
    /// The chunks that are wrong, where the rest is right.
    chunks: Option<Vec<ChunkNumber>>,
    /// Whether nothing of it can be had.
    lost: bool,
    finding: Finding,
}

/// What all workers see.
struct Shared {
    manifest_chunks: HashSet<(KeyId, ChunkId)>,
    /// Bytes retained by all of them.
    retained: AtomicU64,
}

/// One thread's reader and what it found.
struct Worker<'w> {
    pass: &'w Pass<'w>,
    shared: &'w Shared,
    reader: SegmentReader<'w>,
    plain: Vec<u8>,
    read: Read,
    bad: Vec<Bad>,
}

impl<'w> Worker<'w> {
    fn new(pass: &'w Pass<'w>, shared: &'w Shared) -> Result<Self, VerifyError> {
        let reader = SegmentReader::new(pass.store)?;
        Ok(Self { pass, shared, reader, plain: Vec::new(), read: Read::default(), bad: Vec::new() })
    }

    fn read(&mut self, job: &Job<'_>) {
        let slot = (job.holdings.writer.clone(), job.segment.needed.key);
        // A key that does not open is a finding of its own, and takes all its segments with it.
        let Some(key) = self.pass.keys.get(&slot) else { return };
        let needed = &job.segment.needed;
        let mut failed: Vec<RepositoryError> = Vec::new();
        for place in &needed.places {
            let one = NeededSegment { places: vec![*place], ..needed.clone() };
            match self.reader.read(&one, &key.identity, &mut self.plain) {
                Ok(()) => {
                    self.note_bad_copies(job, &failed);
                    self.compare(job, key);
                    return;
                }
                Err(error) => failed.push(error),
            }
        }
        let finding = match failed.last() {
            Some(error) => Finding::of_error(Subject::Segment(needed.id), error),
            None => Finding::damage(Subject::Segment(needed.id), "no index says where it is"),
        };
        self.bad.push(Bad { writer: job.writer, segment: job.at, chunks: None, lost: true, finding });
    }

    fn note_bad_copies(&mut self, job: &Job<'_>, failed: &[RepositoryError]) {
        let Some(first) = failed.first() else { return };
        let what = format!("one copy of it cannot be read ({first}), another is whole");
        let finding = Finding::notice(Subject::Segment(job.segment.needed.id), what);
        self.bad.push(Bad { writer: job.writer, segment: job.at, chunks: None, lost: false, finding });
    }

    /// Compares every chunk of the plaintext at hand with its id, and keeps those of manifests.
    fn compare(&mut self, job: &Job<'_>, key: &TenantKey) {
        let mut wrong = Vec::new();
        let mut rest = self.plain.as_slice();
        for (number, chunk) in job.holdings.chunks_of(job.segment) {
            let length = chunk.1 as usize;
            let (bytes, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = tail;
            self.read.chunks += 1;
            if bytes.len() != length || chunk_id(&key.k_id, bytes) != chunk.0 {
                wrong.push(number);
                continue;
            }
            if self.shared.manifest_chunks.contains(&(key.key, chunk.0)) {
                let held = self.shared.retained.fetch_add(length as u64, Ordering::Relaxed);
                if held.saturating_add(length as u64) <= RETAINED_MAX.0 {
                    self.read.retained.insert((job.writer, number), bytes.to_vec());
                }
            }
        }
        self.read.plain += Bytes::of(&self.plain);
        if wrong.is_empty() {
            self.read.good += 1;
            return;
        }
        let what = format!("{} of its chunks are not what was stored, although the segment is", wrong.len());
        let finding = Finding::damage(Subject::Segment(job.segment.needed.id), what);
        self.bad.push(Bad { writer: job.writer, segment: job.at, chunks: Some(wrong), lost: true, finding });
    }
}
