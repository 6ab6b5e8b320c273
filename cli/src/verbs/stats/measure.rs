//! What snapshots hold and store, by component and tenant: told from snapshots and indexes alone, so that no
//! tenant's key is needed. Only the names of tenants need one.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_repo::format::index::SegmentKind;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{KeyId, Label, SegmentPrefix};
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::{Repository, RepositoryError, index};
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::Serialize;

/// A tenant key of a writer.
pub(super) type Key = (Label, KeyId);

/// What some segments hold and take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    stored: Bytes,
    stored_content: Bytes,
    plain_content: Bytes,
}

impl Taken {
    fn add(&mut self, segment: &Size) {
        self.stored += segment.stored;
        if segment.content {
            self.stored_content += segment.stored;
            self.plain_content += segment.plain;
        }
    }
}

/// How long a segment is.
#[derive(Clone, Copy, Debug)]
struct Size {
    stored: Bytes,
    plain: Bytes,
    content: bool,
}

/// What is held of a component, of a tenant in one, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Held {
    /// Snapshots that count.
    pub(super) snapshots: u64,
    /// Content of the latest snapshot.
    pub(super) latest_bytes: Bytes,
    /// What the latest holds beyond the one before; negative where it holds less, none where there is but one.
    pub(super) grown_bytes: Option<i64>,
    /// Stored bytes that only the latest needs.
    pub(super) new_stored_bytes: Bytes,
    /// Content of all snapshots together, as if each were stored whole.
    pub(super) logical_bytes: Bytes,
    /// What all snapshots together need in the store: segments of content and of manifests.
    pub(super) stored_bytes: Bytes,
    /// Content of all snapshots to what is stored of it before compression.
    pub(super) deduplication: Option<f64>,
    /// What is stored of content before compression to what it takes.
    pub(super) compression: Option<f64>,
    /// Recovery point of the oldest snapshot.
    #[serde(serialize_with = "moment")]
    pub(super) oldest: Option<Timestamp>,
    /// Recovery point of the newest.
    #[serde(serialize_with = "moment")]
    pub(super) newest: Option<Timestamp>,
}

fn moment<S: serde::Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(to)
}

/// One component.
#[derive(Debug, Default)]
pub(super) struct Component {
    /// All of it.
    pub(super) all: Held,
    /// Each tenant key in it.
    pub(super) keys: BTreeMap<Key, Held>,
}

/// A region's figures.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Everything together; what components share counts once.
    pub(super) all: Held,
    /// Each component.
    pub(super) components: BTreeMap<Label, Component>,
    /// Index objects that are damaged: what only they know is missing from the figures.
    pub(super) unreadable: Vec<String>,
}

/// Measures snapshots that count.
///
/// # Errors
/// The store failed.
pub(super) fn measure(
    repository: &Repository,
    catalog: &Catalog,
    snapshots: &[&Snapshot],
) -> Result<Figures, RepositoryError> {
    let mut figures = Figures::default();
    let sizes = sizes(repository, catalog, snapshots, &mut figures.unreadable)?;
    let mut by_component: BTreeMap<&Label, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in snapshots {
        by_component.entry(&snapshot.component).or_default().push(snapshot);
    }
    for (name, mut snapshots) in by_component {
        snapshots.sort_by_key(|snapshot| (snapshot.recovery_point, snapshot.run));
        figures.components.insert(name.clone(), component(&snapshots, &sizes));
    }
    let mut all: Vec<&Snapshot> = snapshots.to_vec();
    all.sort_by_key(|snapshot| (snapshot.recovery_point, snapshot.run));
    figures.all = held(&all, &sizes, None);
    let each = || figures.components.values().map(|component| &component.all);
    figures.all.latest_bytes = each().map(|held| held.latest_bytes).sum();
    figures.all.new_stored_bytes = each().map(|held| held.new_stored_bytes).sum();
    figures.all.grown_bytes = each().filter_map(|held| held.grown_bytes).reduce(i64::saturating_add);
    Ok(figures)
}

type Sizes = HashMap<(Label, SegmentPrefix), Size>;

fn sizes(
    repository: &Repository,
    catalog: &Catalog,
    snapshots: &[&Snapshot],
    unreadable: &mut Vec<String>,
) -> Result<Sizes, RepositoryError> {
    let mut wanted: BTreeMap<&Label, HashSet<SegmentPrefix>> = BTreeMap::new();
    for snapshot in snapshots {
        let prefixes = snapshot.keys.iter().flat_map(|share| &share.segments).copied();
        wanted.entry(&snapshot.writer).or_default().extend(prefixes);
    }
    let condemned = Condemned::load(repository)?;
    let mut sizes = Sizes::new();
    for (writer, wanted) in wanted {
        for name in index::names_for(repository, writer)? {
            let index = match index::read_if_any(repository, catalog, &condemned, &name) {
                Ok(Some(index)) => index,
                Ok(None) => continue,
                Err(error) if error.is_damage() => {
                    unreadable.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            for line in index.segments.iter().filter(|line| wanted.contains(&line.segment.prefix())) {
                let content = line.kind == SegmentKind::Data;
                let size = Size { stored: line.length, plain: line.plain, content };
                sizes.entry((writer.clone(), line.segment.prefix())).or_insert(size);
            }
        }
    }
    Ok(sizes)
}

fn component(snapshots: &[&Snapshot], sizes: &Sizes) -> Component {
    let mut keys: BTreeMap<Key, Held> = BTreeMap::new();
    for snapshot in snapshots {
        for share in &snapshot.keys {
            let key = (snapshot.writer.clone(), share.key);
            keys.entry(key).or_insert_with_key(|key| held(snapshots, sizes, Some(key)));
        }
    }
    Component { all: held(snapshots, sizes, None), keys }
}

/// What snapshots in the order of their recovery points hold, of one key or of all.
fn held(snapshots: &[&Snapshot], sizes: &Sizes, key: Option<&Key>) -> Held {
    let mut held = Held::default();
    let mut seen: HashSet<(&Label, SegmentPrefix)> = HashSet::new();
    let mut all = Taken::default();
    let mut last: Option<Bytes> = None;
    for snapshot in snapshots {
        let shares = snapshot
            .keys
            .iter()
            .filter(|share| key.is_none_or(|(writer, key)| *writer == snapshot.writer && *key == share.key));
        let mut bytes = Bytes::ZERO;
        let mut fresh = Taken::default();
        let mut any = false;
        for share in shares {
            any = true;
            bytes += share.bytes;
            for prefix in &share.segments {
                if seen.insert((&snapshot.writer, *prefix))
                    && let Some(size) = sizes.get(&(snapshot.writer.clone(), *prefix))
                {
                    fresh.add(size);
                    all.add(size);
                }
            }
        }
        if !any {
            continue;
        }
        held.snapshots += 1;
        held.logical_bytes += bytes;
        held.grown_bytes = last.map(|before| difference(bytes, before));
        held.latest_bytes = bytes;
        held.new_stored_bytes = fresh.stored;
        held.oldest = held.oldest.or(Some(snapshot.recovery_point));
        held.newest = Some(snapshot.recovery_point);
        last = Some(bytes);
    }
    held.stored_bytes = all.stored;
    held.deduplication = ratio(held.logical_bytes, all.plain_content);
    held.compression = ratio(all.plain_content, all.stored_content);
    held
}

fn difference(now: Bytes, before: Bytes) -> i64 {
    let clamped = |bytes: Bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX);
    clamped(now) - clamped(before)
}

fn ratio(whole: Bytes, part: Bytes) -> Option<f64> {
    (part > Bytes::ZERO).then(|| whole.0 as f64 / part.0 as f64)
}
