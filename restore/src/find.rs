//! Where in many snapshots a path is, and when it changed.
//!
//! Snapshots of one component share most of their manifests' chunks, so each chunk is fetched, decoded and searched
//! once, however many snapshots it stands in; of a tenant that did not change nothing is looked at twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{EntryKind, order};
use lifeboat_repo::format::snapshot::{Share, Snapshot};
use lifeboat_repo::ids::{KeyId, Label, RunId, SegmentPrefix, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::segments::SegmentMap;
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::Serialize;

use crate::diff::{Aspect, changes};
use crate::error::RestoreError;
use crate::glob::Pattern;
use crate::report::Loss;
use crate::select::Selection;
use crate::shares::{self, ManifestReader, Shares};
use scan::{Hit, Scanner};

mod scan;

/// What is looked for. Everything that is said must hold; of several patterns one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Patterns; none for every path.
    pub patterns: Vec<Pattern>,
    /// Kinds; none for every kind. Another name of a file is a file.
    pub kinds: Vec<EntryKind>,
    /// Files of at least this size.
    pub size_min: Option<Bytes>,
    /// Files of at most this size.
    pub size_max: Option<Bytes>,
    /// Changed at or after this moment.
    pub since: Option<Timestamp>,
    /// Changed at or before this moment.
    pub until: Option<Timestamp>,
    /// Tenants; none for all.
    pub tenants: BTreeSet<Tenant>,
}

/// What a search came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The snapshots searched, oldest first.
    pub runs: Vec<RunId>,
    /// What was found: tenant by tenant, in the order of paths.
    pub found: Vec<Found>,
    /// Shares of tenants that could not be read, with their snapshots. What is said of these tenants passes over
    /// those snapshots.
    pub losses: Vec<(RunId, Loss)>,
    /// What it took.
    pub effort: Effort,
}

/// What a search took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// Chunks of manifests that the snapshots consist of, counted as often as they stand in one.
    pub chunks: u64,
    /// Chunks that were decoded.
    pub decoded: u64,
}

/// A path and its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub tenant: Tenant,
    /// The path.
    pub path: Vec<u8>,
    /// Its states, oldest first. Between two that do not follow one another it was not there, or did not match.
    pub states: Vec<State>,
}

/// A path's state throughout a row of snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The first snapshot with it.
    pub first: RunId,
    /// The last.
    pub last: RunId,
    /// How many snapshots from the first to the last, both included, have it.
    pub snapshots: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Its length.
    pub size: Bytes,
    /// Last change of content.
    pub mtime: Timestamp,
    /// What differs from the state before; empty for the first, and where it came back as it had been.
    pub changed: Vec<Aspect>,
    /// Whether the newest snapshot searched still has it.
    pub present: bool,
}

/// Searches snapshots of one component, oldest first.
///
/// Content is the same where chunk ids under one tenant key are; under another key (another writer's snapshot) where
/// size and time are.
///
/// # Errors
/// A tenant asked for is in none of them, the store failed, or somebody asked to stop.
pub fn find(
    recovery: &Recovery<'_>,
    snapshots: &[&Snapshot],
    query: &Query,
    observer: &dyn Observer,
) -> Result<Search, RestoreError> {
    let everybody = Selection::default();
    let mut opened = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots {
        opened.push(shares::open(recovery, snapshot, &everybody, observer)?);
    }
    refuse_absent(query, &opened)?;
    observer.tell(Event::Phase("reading the index"));
    let maps = maps_of(recovery, snapshots, &opened, query)?;
    let mut readers: HashMap<&Label, (ManifestReader<'_>, Scanner<'_>)> = HashMap::new();
    for (writer, map) in &maps {
        readers.insert(writer, (ManifestReader::new(recovery, map)?, Scanner::new(query)));
    }
    observer.tell(Event::Phase("searching manifests"));
    let mut history = History::default();
    let mut search = Search { runs: snapshots.iter().map(|one| one.run).collect(), ..Search::default() };
    for (at, (snapshot, shares)) in snapshots.iter().zip(&mut opened).enumerate() {
        // A key that does not open might be any tenant's: what it held is told as lost, and that is all.
        search.losses.extend(std::mem::take(&mut shares.losses).into_iter().map(|loss| (snapshot.run, loss)));
        let Some((reader, scanner)) = readers.get_mut(&snapshot.writer) else { continue };
        for one in shares.open.iter().filter(|one| asked_for(query, &one.key.tenant)) {
            search.effort.chunks += one.share.manifest.len() as u64;
            let tracks = history.tracks(&one.key.tenant);
            if tracks.is_again(one.share) {
                tracks.again(at);
                continue;
            }
            match scanner.share(reader, one, observer)? {
                Ok(hits) => tracks.take(one.share, at, &hits),
                Err(error) => {
                    tracks.passed_over = true;
                    let loss = shares::lost_share(one.share, Some(&one.key.tenant), &error);
                    search.losses.push((snapshot.run, loss));
                }
            }
        }
        history.end(at);
        observer.tell(Event::Progress { items: 1, bytes: Bytes::ZERO });
    }
    search.effort.decoded = readers.values().map(|(_, scanner)| scanner.decoded).sum();
    search.found = history.into_found(&search.runs);
    Ok(search)
}

fn asked_for(query: &Query, tenant: &Tenant) -> bool {
    query.tenants.is_empty() || query.tenants.contains(tenant)
}

fn refuse_absent(query: &Query, opened: &[Shares<'_>]) -> Result<(), RestoreError> {
    let there: HashSet<&Tenant> =
        opened.iter().flat_map(|shares| &shares.open).map(|one| &one.key.tenant).collect();
    let lost = opened.iter().any(|shares| !shares.losses.is_empty());
    match query.tenants.iter().find(|tenant| !there.contains(tenant)) {
        Some(absent) if !lost => Err(RestoreError::refused(
            format!("tenant {absent}"),
            "no snapshot searched has data of that name",
        )),
        _ => Ok(()),
    }
}

/// The segments that the snapshots need, by writer: each index is read once.
fn maps_of(
    recovery: &Recovery<'_>,
    snapshots: &[&Snapshot],
    opened: &[Shares<'_>],
    query: &Query,
) -> Result<BTreeMap<Label, SegmentMap>, RestoreError> {
    let mut wanted: BTreeMap<&Label, HashSet<SegmentPrefix>> = BTreeMap::new();
    for (snapshot, shares) in snapshots.iter().zip(opened) {
        let of_writer = wanted.entry(&snapshot.writer).or_default();
        for one in shares.open.iter().filter(|one| asked_for(query, &one.key.tenant)) {
            of_writer.extend(one.share.segments.iter().copied());
        }
    }
    let mut maps = BTreeMap::new();
    for (writer, wanted) in wanted {
        let map = SegmentMap::load(recovery.repository(), recovery.catalog(), writer, &wanted)?;
        maps.insert(writer.clone(), map);
    }
    Ok(maps)
}

/// The states of every path that matched, by the places of snapshots in the row.
#[derive(Default)]
struct History {
    tenants: BTreeMap<Tenant, Tracks>,
}

/// Those of one tenant.
#[derive(Default)]
struct Tracks {
    paths: HashMap<Vec<u8>, Vec<Stretch>>,
    /// The last snapshot of which is known what it has of the tenant: it was read, or has nothing.
    known: Option<usize>,
    /// The only share of the tenant in that snapshot: of the same one nothing need be looked at again.
    last: Option<(KeyId, Vec<ChunkRef>)>,
    /// Shares taken of the present snapshot.
    taken: u32,
    /// Whether a share of the present snapshot could not be read.
    passed_over: bool,
}

/// A state and where it stands.
struct Stretch {
    first: usize,
    last: usize,
    snapshots: u64,
    key: KeyId,
    hit: Arc<Hit>,
    changed: Vec<Aspect>,
}

impl Tracks {
    fn is_again(&self, share: &Share) -> bool {
        self.taken == 0
            && self.last.as_ref().is_some_and(|(key, last)| *key == share.key && *last == share.manifest)
    }

    /// The share is the one of the last snapshot known.
    fn again(&mut self, at: usize) {
        self.taken += 1;
        for stretches in self.paths.values_mut() {
            if let Some(stretch) = stretches.last_mut().filter(|one| Some(one.last) == self.known) {
                stretch.last = at;
                stretch.snapshots += 1;
            }
        }
    }

    fn take(&mut self, share: &Share, at: usize, hits: &[Arc<Hit>]) {
        self.taken += 1;
        self.last = (self.taken == 1).then(|| (share.key, share.manifest.clone()));
        for hit in hits {
            let stretches = self.paths.entry(hit.entry.path.clone()).or_default();
            let mut changed = Vec::new();
            if let Some(before) = stretches.last_mut() {
                changed = differences(before, share.key, hit);
                if changed.is_empty() && Some(before.last) == self.known {
                    before.last = at;
                    before.snapshots += 1;
                    // What the next is compared with is what is nearest to it.
                    before.key = share.key;
                    before.hit = Arc::clone(hit);
                    continue;
                }
            }
            let hit = Arc::clone(hit);
            stretches.push(Stretch { first: at, last: at, snapshots: 1, key: share.key, hit, changed });
        }
    }
}

impl History {
    fn tracks(&mut self, tenant: &Tenant) -> &mut Tracks {
        self.tenants.entry(tenant.clone()).or_default()
    }

    /// Ends a snapshot: a tenant of which it has no share is known to be absent from it.
    fn end(&mut self, at: usize) {
        for tracks in self.tenants.values_mut() {
            if std::mem::take(&mut tracks.passed_over) {
                tracks.last = None;
            } else {
                tracks.known = Some(at);
                if tracks.taken == 0 {
                    tracks.last = None;
                }
            }
            tracks.taken = 0;
        }
    }

    fn into_found(self, runs: &[RunId]) -> Vec<Found> {
        let run = |at: usize| runs.get(at).copied();
        let mut all = Vec::new();
        for (tenant, tracks) in self.tenants {
            let mut found: Vec<Found> = tracks
                .paths
                .into_iter()
                .map(|(path, stretches)| Found {
                    tenant: tenant.clone(),
                    path,
                    states: stretches
                        .into_iter()
                        .filter_map(|one| {
                            let m = &one.hit.entry.metadata;
                            Some(State {
                                first: run(one.first)?,
                                last: run(one.last)?,
                                snapshots: one.snapshots,
                                kind: one.hit.entry.kind,
                                mode: m.mode & 0o7777,
                                owner: (m.uid, m.gid),
                                size: one.hit.entry.size,
                                mtime: m.mtime,
                                changed: one.changed,
                                present: Some(one.last) == tracks.known,
                            })
                        })
                        .collect(),
                })
                .collect();
            found.sort_by(|a, b| order(&a.path, &b.path));
            all.extend(found);
        }
        all
    }
}

/// What differs from the state before.
fn differences(before: &Stretch, key: KeyId, hit: &Hit) -> Vec<Aspect> {
    let (was, is) = (&before.hit.entry, &hit.entry);
    let mut found = changes(was, is);
    if found.contains(&Aspect::Type) {
        return found;
    }
    // Another name has no content of its own to compare.
    let both = was.kind == EntryKind::File && is.kind == EntryKind::File;
    let content = both
        && if before.key == key {
            before.hit.content != hit.content
        } else {
            // Under another key ids say nothing; what has another time may be other content.
            was.metadata.mtime != is.metadata.mtime
        };
    found.extend((was.size != is.size || content).then_some(Aspect::Content));
    let xattrs = before.key == key && was.kind == is.kind && before.hit.xattrs != hit.xattrs;
    found.extend(xattrs.then_some(Aspect::Xattrs));
    found.sort_unstable();
    found
}
