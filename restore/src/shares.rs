//! The shares of a snapshot: whose they are, and the entries of their manifests.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lifeboat_repo::crypto::hash::chunk_id;
use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{Entry, ManifestDecoder, order};
use lifeboat_repo::format::names;
use lifeboat_repo::format::snapshot::{Share, Snapshot};
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::recover::{Recovery, TenantKey};
use lifeboat_repo::repository::segments::{SegmentMap, SegmentReader};
use lifeboat_repo::repository::spare::Spare;
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::units::Bytes;

use crate::error::RestoreError;
use crate::report::{Loss, LossKind};
use crate::select::Selection;

/// Decoded segments of manifests kept at once. Manifests of later snapshots hop between segments of several
/// runs; this holds eight of the usual 4 MiB.
const DECODED_MAX: Bytes = Bytes::mib(32);

/// Key objects read at once at the most: they are small, so latency is all there is.
const OPENERS_MAX: usize = 16;
/// Tenants that are named to whoever asks for one that is not there.
const NAMED_MAX: usize = 20;

/// A share that opens.
pub(crate) struct OpenShare<'s> {
    pub(crate) share: &'s Share,
    pub(crate) key: Arc<TenantKey>,
}

/// The shares asked for.
pub(crate) struct Shares<'s> {
    pub(crate) open: Vec<OpenShare<'s>>,
    /// Shares whose key does not open.
    pub(crate) losses: Vec<Loss>,
    /// Shares that retention expired out of this snapshot.
    pub(crate) expired: u64,
    /// Shares of tenants not asked for.
    pub(crate) other: u64,
}

/// Opens the tenant keys of a snapshot and keeps the shares asked for.
///
/// # Errors
/// The store failed, or a tenant asked for is not in the snapshot.
pub(crate) fn open<'s>(
    recovery: &Recovery<'_>,
    snapshot: &'s Snapshot,
    selection: &Selection,
    observer: &dyn Observer,
) -> Result<Shares<'s>, RestoreError> {
    observer.tell(Event::Phase("opening tenant keys"));
    let condemned = Condemned::load_to_read(recovery.repository())?;
    let name = names::snapshot(&snapshot.component, snapshot.run).map_err(RepositoryError::from)?;
    let living: Vec<&Share> = snapshot.keys.iter().filter(|share| !condemned.key(&name, share.key)).collect();
    let expired = snapshot.keys.len() - living.len();
    let mut shares = Shares { open: Vec::new(), losses: Vec::new(), expired: expired as u64, other: 0 };
    let keys = open_keys(recovery, snapshot, &living, observer)?;
    let everybody = selection.tenants.is_empty();
    let mut others = Vec::new();
    for (share, key) in living.into_iter().zip(keys) {
        match key {
            Ok(key) if everybody || selection.tenants.contains(&key.tenant) => {
                shares.open.push(OpenShare { share, key });
            }
            Ok(key) => others.push(key),
            Err(error) if blames_key(&error) => shares.losses.push(lost_share(share, None, &error)),
            Err(error) => return Err(error.into()),
        }
    }
    shares.other = others.len() as u64;
    if !everybody {
        refuse_absent(&mut shares, selection, snapshot, &others)?;
    }
    Ok(shares)
}

/// The segments that the shares need, from their writer's index.
///
/// # Errors
/// The store failed.
pub(crate) fn segments(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    shares: &Shares<'_>,
) -> Result<SegmentMap, RestoreError> {
    let wanted: HashSet<_> = shares.open.iter().flat_map(|one| one.share.segments.iter().copied()).collect();
    let keys: HashSet<_> = shares.open.iter().map(|one| one.share.key).collect();
    let (repository, catalog) = (recovery.repository(), recovery.catalog());
    Ok(SegmentMap::load_for(repository, catalog, &snapshot.writer, &wanted, &keys)?)
}

/// A share that cannot be had, or not all of it.
pub(crate) fn lost_share(share: &Share, tenant: Option<&Tenant>, error: &RepositoryError) -> Loss {
    let kind = if tenant.is_none() { LossKind::Key } else { LossKind::of(error) };
    let mut loss = Loss::new(share.key, tenant.cloned(), kind, error.to_string());
    loss.path_count = share.entries;
    loss.bytes = share.bytes;
    loss
}

/// Tenants asked for must be there; keys that do not open are lost only if they might be theirs.
fn refuse_absent(
    shares: &mut Shares<'_>,
    selection: &Selection,
    snapshot: &Snapshot,
    others: &[Arc<TenantKey>],
) -> Result<(), RestoreError> {
    let absent: Vec<String> = selection
        .tenants
        .iter()
        .filter(|tenant| !shares.open.iter().any(|one| one.key.tenant == **tenant))
        .map(ToString::to_string)
        .collect();
    if absent.is_empty() {
        shares.losses.clear();
        return Ok(());
    }
    let what = format!("tenant {} in snapshot {}", absent.join(", "), snapshot.run);
    if shares.losses.is_empty() {
        let mut there: Vec<String> = others.iter().map(|key| key.tenant.to_string()).collect();
        there.sort_unstable();
        let more = if there.len() > NAMED_MAX { ", and others" } else { "" };
        there.truncate(NAMED_MAX);
        let why = format!("the snapshot has nothing of that name; there is {}{more}", there.join(", "));
        return Err(RestoreError::refused(what, why));
    }
    if shares.open.is_empty() {
        return Err(RestoreError::damaged(
            what,
            format!(
                "no key that opens has that name, and {} of the snapshot's keys do not open; the tenant may have \
                 been erased",
                shares.losses.len()
            ),
        ));
    }
    Ok(())
}

fn blames_key(error: &RepositoryError) -> bool {
    error.is_damage() || matches!(error.kind, RepositoryErrorKind::WrongKey(_))
}

type Opened = Result<Arc<TenantKey>, RepositoryError>;

/// Opens every key, several at once.
fn open_keys(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    shares: &[&Share],
    observer: &dyn Observer,
) -> Result<Vec<Opened>, RestoreError> {
    let next = AtomicUsize::new(0);
    let opened: Mutex<Vec<(usize, Opened)>> = Mutex::new(Vec::with_capacity(shares.len()));
    let open_some = || {
        while !observer.cancelled() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(share) = shares.get(at) else { break };
            let key = recovery.unwrap_tenant_key(&snapshot.writer, share.key);
            opened.lock().unwrap_or_else(PoisonError::into_inner).push((at, key));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..shares.len().min(OPENERS_MAX) {
            scope.spawn(open_some);
        }
        open_some();
    });
    let mut opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
    if opened.len() < shares.len() {
        return Err(RestoreError::cancelled());
    }
    opened.sort_unstable_by_key(|(at, _)| *at);
    Ok(opened.into_iter().map(|(_, key)| key).collect())
}

/// Reads manifests. Keeps the segments it decoded last.
pub(crate) struct ManifestReader<'m> {
    map: &'m SegmentMap,
    reader: SegmentReader<'m>,
    decoded: VecDeque<(u32, Vec<u8>)>,
    spare: Spare,
}

/// Why the entries of a manifest ended early.
pub(crate) enum Ended {
    /// The manifest, or what follows in it, cannot be had.
    Unreadable(RepositoryError),
    /// Whoever takes the entries wants no more.
    Stopped(RestoreError),
}

impl<'m> ManifestReader<'m> {
    /// # Errors
    /// The machine gave no decompression context.
    pub(crate) fn new(recovery: &'m Recovery<'_>, map: &'m SegmentMap) -> Result<Self, RestoreError> {
        let reader = SegmentReader::new(recovery.repository().store())?;
        Ok(Self { map, reader, decoded: VecDeque::new(), spare: Spare::default() })
    }

    /// Gives every entry of a share's manifest to `take`, in order.
    ///
    /// # Errors
    /// The manifest cannot be read to its end, or `take` failed. What was given before stands.
    pub(crate) fn read(
        &mut self,
        one: &OpenShare<'_>,
        take: &mut dyn FnMut(Entry) -> Result<(), RestoreError>,
    ) -> Result<(), Ended> {
        // Segments of another key are of no more use.
        self.decoded.clear();
        let mut entries = Entries::new(one);
        while let Some(entry) = entries.next(self).map_err(Ended::Unreadable)? {
            take(entry).map_err(Ended::Stopped)?;
        }
        Ok(())
    }

    /// The bytes of a chunk of this share, compared with its id.
    ///
    /// # Errors
    /// No index says where it is, its segment cannot be read, or it is not what was stored; and no other copy of it can
    /// be had.
    pub(crate) fn chunk(&mut self, one: &OpenShare<'_>, chunk: &ChunkRef) -> Result<&[u8], RepositoryError> {
        match self.decode(one, chunk) {
            Ok(range) => {
                let plain = self.decoded.front().map(|(_, plain)| plain.as_slice()).unwrap_or_default();
                Ok(plain.get(range).unwrap_or_default())
            }
            Err(error) if error.is_damage() => {
                let again = self.map.again();
                let spare =
                    again.and_then(|again| self.spare.chunk(&again, &mut self.reader, &one.key, chunk));
                spare.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Decodes the segment that a chunk lies in to the front, and says where in it.
    fn decode(&mut self, one: &OpenShare<'_>, chunk: &ChunkRef) -> Result<Range<usize>, RepositoryError> {
        let damaged =
            |why: &str| RepositoryError::damaged(format!("a chunk of tenant {}", one.key.tenant), why);
        let place = self
            .map
            .find(one.share.key, &chunk.0)
            .filter(|place| place.length == chunk.1)
            .ok_or_else(|| damaged("no index says where it is"))?;
        let plain = self.segment(place.segment, one)?;
        let start = place.offset as usize;
        let range = start..start.saturating_add(place.length as usize);
        let bytes = plain.get(range.clone()).ok_or_else(|| damaged("it lies beyond its segment"))?;
        if chunk_id(&one.key.k_id, bytes) == chunk.0 {
            Ok(range)
        } else {
            Err(damaged("it is not what was stored"))
        }
    }

    fn segment(&mut self, number: u32, one: &OpenShare<'_>) -> Result<&[u8], RepositoryError> {
        if let Some(at) = self.decoded.iter().position(|(held, _)| *held == number) {
            self.decoded.swap(at, 0);
        } else {
            let unknown = || RepositoryError::damaged(format!("segment {number}"), "no index names it");
            let segment = self.map.segment(number).ok_or_else(unknown)?;
            let held =
                |all: &VecDeque<(u32, Vec<u8>)>| all.iter().map(|(_, plain)| Bytes::of(plain)).sum::<Bytes>();
            let mut plain = Vec::new();
            while !self.decoded.is_empty() && held(&self.decoded) + segment.plain > DECODED_MAX {
                plain = self.decoded.pop_back().map(|(_, plain)| plain).unwrap_or_default();
            }
            self.reader.read(segment, &one.key.identity, &mut plain)?;
            self.decoded.push_front((number, plain));
        }
        Ok(self.decoded.front().map(|(_, plain)| plain.as_slice()).unwrap_or_default())
    }
}

/// The entries of a share's manifest, one after another, for whoever reads several manifests side by side.
pub(crate) struct Entries<'s> {
    one: &'s OpenShare<'s>,
    /// Chunks of the manifest taken so far.
    taken: usize,
    ended: bool,
    decoder: ManifestDecoder,
    last: Option<Vec<u8>>,
}

impl<'s> Entries<'s> {
    pub(crate) fn new(one: &'s OpenShare<'s>) -> Self {
        Self { one, taken: 0, ended: false, decoder: ManifestDecoder::new(), last: None }
    }

    /// The share.
    pub(crate) fn share(&self) -> &'s OpenShare<'s> {
        self.one
    }

    /// The next entry; none after the last.
    ///
    /// # Errors
    /// The manifest cannot be read further. What was given before stands.
    pub(crate) fn next(&mut self, reader: &mut ManifestReader<'_>) -> Result<Option<Entry>, RepositoryError> {
        let damaged = |why: String| {
            RepositoryError::damaged(format!("manifest of tenant {}", self.one.key.tenant), why)
        };
        loop {
            if let Some(entry) = self.decoder.next_entry().map_err(|error| damaged(error.to_string()))? {
                if self.last.as_ref().is_some_and(|last| order(last, &entry.path).is_ge()) {
                    return Err(damaged("its entries are not in order".into()));
                }
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(&entry.path);
                return Ok(Some(entry));
            }
            match self.one.share.manifest.get(self.taken) {
                Some(chunk) => {
                    self.taken += 1;
                    self.decoder.push(reader.chunk(self.one, chunk)?);
                }
                None if self.ended => return Ok(None),
                None => {
                    self.ended = true;
                    self.decoder.end();
                }
            }
        }
    }
}

/// Threads for work that computes.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
