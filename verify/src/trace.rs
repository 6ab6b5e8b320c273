//! From damaged objects to those who lose something: snapshots, tenants, paths.

use std::collections::{HashMap, HashSet};

use lifeboat_repo::crypto::hash::segment_id;
use lifeboat_repo::format::names::{self, Place, place};
use lifeboat_repo::ids::{KeyId, ObjectName, PackId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::recover::Recovery;

use crate::damage::{Affected, Extent, Finding, Severity, Subject};
use crate::error::VerifyError;
use crate::holdings::{ChunkNumber, Copy, Segment, lists};
use crate::manifests::{self, Ended, Retained, Walk};
use crate::needs::{NeededShare, Needs};
use crate::workers::{self, Threads};

/// Which chunks and keys cannot be had, and the findings (by their place) that say why.
#[derive(Default)]
pub(crate) struct Hurt {
    chunks: HashSet<(usize, ChunkNumber)>,
    segments: HashMap<(usize, usize), Vec<usize>>,
    keys: HashMap<(usize, KeyId), usize>,
    /// Findings about segments that no index of a writer names.
    lost: HashMap<usize, usize>,
}

impl Hurt {
    /// Nothing of a segment can be had.
    pub(crate) fn add_segment(&mut self, needs: &Needs, writer: usize, segment: usize, finding: usize) {
        let Some(holdings) = needs.holdings.get(writer) else { return };
        let Some(lost) = holdings.segments().get(segment) else { return };
        self.chunks.extend(holdings.chunks_of(lost).map(|(number, _)| (writer, number)));
        self.blame(writer, segment, finding);
    }

    /// A chunk of a segment cannot be had.
    pub(crate) fn add_chunk(&mut self, writer: usize, segment: usize, chunk: ChunkNumber, finding: usize) {
        self.chunks.insert((writer, chunk));
        self.blame(writer, segment, finding);
    }

    pub(crate) fn add_key(&mut self, writer: usize, key: KeyId, finding: usize) {
        self.keys.insert((writer, key), finding);
    }

    pub(crate) fn add_lost(&mut self, writer: usize, finding: usize) {
        self.lost.insert(writer, finding);
    }

    fn blame(&mut self, writer: usize, segment: usize, finding: usize) {
        let blamed = self.segments.entry((writer, segment)).or_default();
        if !blamed.contains(&finding) {
            blamed.push(finding);
        }
    }

    /// Findings about segments that, now that every manifest was read, hit nobody: whatever snapshots need of them is
    /// stored elsewhere too.
    pub(crate) fn excuse(&self, findings: &mut [Finding]) {
        for finding in self.segments.values().flatten().chain(self.lost.values()) {
            if let Some(finding) = findings.get_mut(*finding)
                && finding.severity == Severity::Damage
                && finding.affects.is_empty()
            {
                finding.severity = Severity::Notice;
                finding.what.push_str("; all that snapshots need of it is stored elsewhere too");
            }
        }
    }

    pub(crate) fn key(&self, share: &NeededShare) -> Option<usize> {
        self.keys.get(&(share.writer, share.share.key)).copied()
    }

    /// The finding about segments that no index of this share's writer names.
    pub(crate) fn lost(&self, share: &NeededShare) -> Option<usize> {
        self.lost.get(&share.writer).copied()
    }

    pub(crate) fn spares(&self, writer: usize, copy: &Copy) -> bool {
        !self.chunks.contains(&(writer, copy.number))
    }

    /// The findings that say why these copies cannot be had.
    pub(crate) fn why(&self, writer: usize, copies: &[Copy]) -> Vec<usize> {
        let mut why: Vec<usize> = copies
            .iter()
            .filter_map(|copy| self.segments.get(&(writer, copy.segment)))
            .flatten()
            .copied()
            .collect();
        why.sort_unstable();
        why.dedup();
        why
    }

    /// The findings that may hit a share, by what it lists; its manifest may show that they do not.
    fn touching(&self, needs: &Needs, share: &NeededShare) -> Vec<usize> {
        let mut found: Vec<usize> = self.key(share).into_iter().collect();
        let Some(holdings) = needs.writer(share) else { return found };
        for prefix in &share.share.segments {
            let mut known = false;
            for (at, _) in holdings.with_prefix(*prefix).filter(|(_, held)| lists(&share.share, &held.needed))
            {
                known = true;
                found.extend(self.segments.get(&(share.writer, at)).into_iter().flatten());
            }
            if !known {
                found.extend(self.lost(share));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Fills in whom findings hit, as far as what is at hand can tell: snapshots by the catalog alone, tenants and
/// paths with a recovery identity. Of damaged packs, the segments that are needed are read and compared with
/// their ids, so that a flipped byte is blamed on one segment and not on a whole pack.
///
/// # Errors
/// The machine failed, or the observer asked to stop.
pub fn trace(
    findings: &mut Vec<Finding>,
    needs: &Needs,
    repository: &Repository,
    recovery: Option<&Recovery<'_>>,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<(), VerifyError> {
    observer.tell(Event::Phase("tracing damage to snapshots"));
    for finding in findings.iter_mut() {
        finding.affects.clear();
    }
    let mut hurt = Hurt::default();
    let mut packs: HashMap<PackId, usize> = HashMap::new();
    for (at, finding) in findings.iter().enumerate() {
        match &finding.object {
            Subject::Object(name) if finding.severity == Severity::Damage => match place(name) {
                Some(Place::Pack(pack)) => {
                    packs.insert(pack, at);
                }
                Some(Place::Key(_, writer, key)) => {
                    let owner = needs.holdings.iter().position(|holdings| holdings.writer == writer);
                    owner.into_iter().for_each(|owner| hurt.add_key(owner, key, at));
                }
                _ => {}
            },
            Subject::LostSegment(prefix) => {
                for (writer, _) in needs
                    .holdings
                    .iter()
                    .enumerate()
                    .filter(|(_, held)| held.with_prefix(*prefix).next().is_none())
                {
                    hurt.add_lost(writer, at);
                }
            }
            _ => {}
        }
    }
    probe(&mut hurt, needs, repository, &packs, threads, observer)?;
    attribute(findings, &hurt, needs, recovery, threads, observer)
}

/// Reads the needed segments of damaged packs and notes those that have no whole copy.
fn probe(
    hurt: &mut Hurt,
    needs: &Needs,
    repository: &Repository,
    packs: &HashMap<PackId, usize>,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<(), VerifyError> {
    let mut suspects: Vec<(usize, usize, &Segment)> = Vec::new();
    for (writer, holdings) in needs.holdings.iter().enumerate() {
        let segments = holdings.segments().iter().enumerate();
        let all_damaged =
            |segment: &Segment| segment.needed.places.iter().all(|place| packs.contains_key(&place.pack));
        suspects.extend(
            segments.filter(|(_, segment)| all_damaged(segment)).map(|(at, segment)| (writer, at, segment)),
        );
    }
    let whole = workers::map(&suspects, threads, observer, |(_, _, segment)| {
        Ok(has_whole_copy(repository, segment))
    })?;
    for ((writer, at, segment), whole) in suspects.into_iter().zip(whole) {
        if !whole {
            for finding in segment.needed.places.iter().filter_map(|place| packs.get(&place.pack)) {
                hurt.add_segment(needs, writer, at, *finding);
            }
        }
    }
    Ok(())
}

fn has_whole_copy(repository: &Repository, segment: &Segment) -> bool {
    let mut stored = Vec::new();
    segment.needed.places.iter().any(|place| {
        stored.clear();
        names::pack(place.pack)
            .ok()
            .and_then(|pack| {
                repository.store().read_range(&pack, place.offset, place.length, &mut stored).ok()
            })
            .is_some_and(|()| segment_id(&stored) == segment.needed.id)
    })
}

/// Says of every finding whom it hits.
pub(crate) fn attribute(
    findings: &mut Vec<Finding>,
    hurt: &Hurt,
    needs: &Needs,
    recovery: Option<&Recovery<'_>>,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<(), VerifyError> {
    attribute_snapshots(findings, needs);
    let touched: Vec<(usize, Vec<usize>)> = needs
        .shares
        .iter()
        .enumerate()
        .map(|(at, share)| (at, hurt.touching(needs, share)))
        .filter(|(_, touching)| !touching.is_empty())
        .collect();
    match recovery {
        Some(recovery) => {
            let shares: Vec<usize> = touched.into_iter().map(|(at, _)| at).collect();
            let task = manifests::Task { needs, hurt, recovery, retained: &Retained::default() };
            for walk in task.walk_all(&shares, threads, observer)? {
                settle(findings, needs, walk);
            }
        }
        None => {
            for (at, touching) in touched {
                blame_unopened(findings, hurt, needs, at, &touching);
            }
        }
    }
    Ok(())
}

/// A snapshot that is gone, or whose run is, is lost whole.
pub(crate) fn attribute_snapshots(findings: &mut [Finding], needs: &Needs) {
    for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Damage) {
        let Subject::Object(name) = &finding.object else { continue };
        let lost: Vec<&ObjectName> = match place(name) {
            Some(Place::Snapshot(..)) => vec![name],
            Some(Place::Run(_, run)) => {
                let end = format!("/{run}");
                let recorded = needs.ledgers.recorded.keys();
                recorded
                    .filter(|known| {
                        known.as_str().starts_with("snapshots/") && known.as_str().ends_with(&end)
                    })
                    .collect()
            }
            _ => continue,
        };
        let affected = lost.into_iter().filter_map(|name| match place(name) {
            Some(Place::Snapshot(component, _)) => {
                Some(Affected { snapshot: name.clone(), component, tenant: None, extent: Extent::Whole })
            }
            _ => None,
        });
        finding.affects = affected.collect();
    }
}

/// Without a recovery identity: what a share lists tells that it is hit, and where its manifest is, how badly.
fn blame_unopened(findings: &mut [Finding], hurt: &Hurt, needs: &Needs, at: usize, touching: &[usize]) {
    let Some(share) = needs.shares.get(at) else { return };
    let Some(holdings) = needs.writer(share) else { return };
    let mut whole: Vec<usize> = hurt.key(share).into_iter().collect();
    for chunk in &share.share.manifest {
        let copies: Vec<Copy> = holdings.copies(&share.share, &chunk.0).collect();
        if copies.is_empty() {
            whole.extend(hurt.lost(share));
        } else if !copies.iter().any(|copy| hurt.spares(share.writer, copy)) {
            whole.extend(hurt.why(share.writer, &copies));
        }
    }
    for finding in touching {
        let extent = if whole.contains(finding) { Extent::Whole } else { Extent::Unknown };
        affect(findings, needs, share, *finding, None, &extent);
    }
}

/// Enters what the walk through a manifest showed.
pub(crate) fn settle(findings: &mut Vec<Finding>, needs: &Needs, walk: Walk) {
    let Some(share) = needs.shares.get(walk.share) else { return };
    let tenant = walk.tenant.as_ref();
    let mut whole = Vec::new();
    match walk.ended {
        None => {}
        Some(Ended::Known(known)) => whole = known,
        Some(Ended::New(finding)) => {
            whole.push(findings.len());
            findings.push(*finding);
        }
    }
    for finding in &whole {
        affect(findings, needs, share, *finding, tenant, &Extent::Whole);
    }
    for (finding, hits) in walk.hits.into_iter().filter(|(finding, _)| !whole.contains(finding)) {
        affect(findings, needs, share, finding, tenant, &hits.into_extent());
    }
    if walk.strays.count() > 0 {
        let what =
            format!("it names chunks that no segment listed for it holds, first for {}", walk.strays.first());
        let at = findings.len();
        findings.push(Finding::damage(manifests::subject(needs, share), what));
        affect(findings, needs, share, at, tenant, &walk.strays.into_extent());
    }
}

fn affect(
    findings: &mut [Finding],
    needs: &Needs,
    share: &NeededShare,
    finding: usize,
    tenant: Option<&Tenant>,
    extent: &Extent,
) {
    let Some(finding) = findings.get_mut(finding) else { return };
    finding.affects.extend(needs.snapshots_of(share).map(|snapshot| Affected {
        snapshot: snapshot.name.clone(),
        component: snapshot.component.clone(),
        tenant: tenant.cloned(),
        extent: extent.clone(),
    }));
}
