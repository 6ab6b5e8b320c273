//! Fetching: threads take segments in pack order, open them, and hand their chunks out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use lifeboat_repo::crypto::hash::chunk_id;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::repository::recover::TenantKey;
use lifeboat_repo::repository::segments::SegmentReader;
use lifeboat_repo::repository::spare::Spare;
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::Store;
use lifeboat_repo::units::Bytes;

use super::dirs::Dirs;
use super::site::Site;
use super::{existing, files, parts};
use crate::error::{RestoreError, RestoreErrorKind};
use crate::report::{Loss, LossKind};
use crate::tree::Role;
use crate::work::{Fetch, Sink, Use};

/// Files without stored content made at a time.
const BARE_BATCH: usize = 256;

/// Segments that are on their way, from a store that is far away, while one is worked on.
const AHEAD: usize = 16;

/// Failures of the store in a row after which it is not asked any more.
const STORE_FAILURES_MAX: u32 = 8;

/// Restores every file.
///
/// # Errors
/// The restore must stop.
pub(super) fn files(site: &Site<'_>, store: &dyn Store, workers: usize) -> Result<(), RestoreError> {
    let bare: Vec<u32> = site
        .work
        .tree
        .nodes()
        .filter(|(number, node)| existing::is_made_alone(site, *number, node))
        .map(|(number, _)| number)
        .collect();
    let queue = Queue {
        fetches: site.fetches(),
        bare: bare.chunks(BARE_BATCH).collect(),
        next: AtomicUsize::new(0),
        failures: AtomicU32::new(0),
    };
    let jobs = queue.fetches.len() + queue.bare.len();
    std::thread::scope(|scope| {
        for _ in 1..workers.min(jobs) {
            scope.spawn(|| work(site, store, &queue));
        }
        work(site, store, &queue);
    });
    site.check()
}

/// What threads take from.
struct Queue<'q> {
    fetches: &'q [Fetch],
    bare: Vec<&'q [u32]>,
    next: AtomicUsize,
    /// Failures of the store since it last answered.
    failures: AtomicU32,
}

fn work(site: &Site<'_>, store: &dyn Store, queue: &Queue<'_>) {
    if let Err(error) = try_work(site, store, queue) {
        site.fail(error);
    }
}

fn try_work(site: &Site<'_>, store: &dyn Store, queue: &Queue<'_>) -> Result<(), RestoreError> {
    let mut dirs =
        Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))?;
    let mut reader = SegmentReader::new(store)?;
    let (mut plain, mut spare) = (Vec::new(), Spare::default());
    while !site.stopped() {
        let job = queue.next.fetch_add(1, Ordering::Relaxed);
        if let Some(fetch) = queue.fetches.get(job) {
            for next in queue.fetches.iter().skip(job + 1).take(AHEAD) {
                reader.expect(&next.segment);
            }
            let buffers = (&mut plain, &mut spare);
            segment(site, &mut dirs, &mut reader, fetch, buffers, &queue.failures)?;
        } else if let Some(batch) = queue.bare.get(job - queue.fetches.len()) {
            for node in *batch {
                files::bare(site, &mut dirs, *node)?;
            }
        } else {
            break;
        }
        site.flush();
    }
    Ok(())
}

fn segment(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    reader: &mut SegmentReader<'_>,
    fetch: &Fetch,
    (plain, spare): (&mut Vec<u8>, &mut Spare),
    failures: &AtomicU32,
) -> Result<(), RestoreError> {
    let mut uses = site.uses_of(fetch);
    // Every use was planned under its key.
    let Some(key) = site.work.keys.get(&fetch.segment.key) else { return Ok(()) };
    let broken = match reader.read(&fetch.segment, &key.identity, plain) {
        Ok(()) => {
            failures.store(0, Ordering::Relaxed);
            site.count_fetch(fetch.segment.places.first().map_or(Bytes::ZERO, |place| place.length));
            None
        }
        Err(error) => {
            give_up_on_store(&error, failures)?;
            plain.clear();
            Some(error)
        }
    };
    let mut lost = Vec::new();
    while let Some(first) = uses.first() {
        // All uses of one chunk: compared once, written everywhere.
        let same = uses.iter().take_while(|one| one.at == first.at && one.id == first.id).count();
        let (now, rest) = uses.split_at_checked(same).unwrap_or((uses, &[]));
        uses = rest;
        let start = first.at as usize;
        let chunk = plain.get(start..start.saturating_add(first.length as usize));
        let whole = chunk.filter(|chunk| broken.is_none() && chunk_id(&key.k_id, chunk) == first.id);
        // Damage may have been healed, or gone round, since; where the store fails nothing is known.
        let again = site.work.again.as_ref().filter(|_| broken.as_ref().is_none_or(is_damage));
        let found = match (whole, again) {
            (Some(chunk), _) => Some(chunk),
            (None, Some(again)) => spare.chunk(again, reader, key, &ChunkRef(first.id, first.length)),
            (None, None) => None,
        };
        match found {
            Some(chunk) => now.iter().try_for_each(|one| hand_out(site, dirs, one, chunk))?,
            None => lost.extend_from_slice(now),
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    let error = broken.unwrap_or_else(|| {
        let what = format!("a chunk in segment {}", fetch.segment.id);
        RepositoryError::damaged(what, "its content is not what its id says")
    });
    lose(site, dirs, key, &lost, &error)
}

fn is_damage(error: &RepositoryError) -> bool {
    error.is_damage()
}

/// Writes the bytes of a chunk where one use needs them.
fn hand_out(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, one: &Use, chunk: &[u8]) -> Result<(), RestoreError> {
    let from = one.skip as usize;
    let bytes = chunk.get(from..from.saturating_add(one.take as usize)).unwrap_or_default();
    match one.sink {
        Sink::File(node) => match site.work.tree.node(node).map(|node| node.role) {
            Some(Role::Whole) => files::whole(site, dirs, node, bytes),
            Some(Role::Parts(part)) => parts::write(site, dirs, part, bytes, one.offset),
            _ => Ok(()),
        },
        Sink::Value(value) => {
            let length = site.work.values.get(value as usize).map_or(0, |value| value.length);
            site.values.put(value, length, one.offset, bytes);
            value_done(site, dirs, one)
        }
    }
}

/// A file whose attribute was waited for may be complete now.
fn value_done(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, one: &Use) -> Result<(), RestoreError> {
    let node = site.work.node_of(one.sink).and_then(|node| site.work.tree.node(node));
    match node.map(|node| node.role) {
        Some(Role::Parts(part)) => parts::piece_done(site, dirs, part),
        _ => Ok(()),
    }
}

/// Accounts for chunks that cannot be had.
fn lose(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    key: &TenantKey,
    uses: &[Use],
    error: &RepositoryError,
) -> Result<(), RestoreError> {
    let mut loss = Loss::new(key.key, Some(key.tenant.clone()), LossKind::of(error), error.to_string());
    let mut named = HashSet::new();
    for one in uses {
        loss.bytes += Bytes(u64::from(one.take));
        if let Some(node) = site.work.node_of(one.sink)
            && named.insert(node)
        {
            loss.add_path(|| site.work.tree.path(node));
        }
    }
    site.lose(loss);
    for one in uses {
        match one.sink {
            Sink::File(node) => match site.work.tree.node(node).map(|node| node.role) {
                Some(Role::Parts(part)) => {
                    parts::lose(site, part, one.take);
                    parts::piece_done(site, dirs, part)?;
                }
                _ => site.set_absent(node),
            },
            Sink::Value(value) => {
                site.values.lose(value);
                value_done(site, dirs, one)?;
            }
        }
    }
    Ok(())
}

/// A store that keeps failing is not asked for every segment of a large restore.
fn give_up_on_store(error: &RepositoryError, failures: &AtomicU32) -> Result<(), RestoreError> {
    if matches!(error.kind, RepositoryErrorKind::Store(_))
        && failures.fetch_add(1, Ordering::Relaxed) + 1 >= STORE_FAILURES_MAX
    {
        let why =
            format!("the store failed {STORE_FAILURES_MAX} times in a row, at last with: {}", error.kind);
        return Err(RestoreError::new(error.what.clone(), RestoreErrorKind::Unchecked(why)));
    }
    Ok(())
}
