//! The first level: whatever counting snapshots need is there with its length. No content is read, so a night's
//! inventory of a large repository costs a few listings; what it cannot see is a byte that changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use lifeboat_repo::format::names::{self, Place, place};
use lifeboat_repo::ids::{KeyId, Label, ObjectName, PackId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::{Repository, RepositoryError, segments};
use lifeboat_repo::units::Bytes;
use serde::Serialize;

use crate::damage::{Finding, Severity, Subject};
use crate::error::VerifyError;
use crate::hidden;
use crate::holdings::{Holdings, lists};
use crate::levels::Outcome;
use crate::moved;
use crate::needs::{Needs, Scope};
use crate::trace::{Hurt, attribute};

/// What an inventory saw.
#[derive(Clone, Debug, Serialize)]
pub struct InventoryReport {
    /// What may be said.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Snapshots that count.
    pub snapshots: u64,
    /// Segments that these need.
    pub segments: u64,
    /// Packs that these lie in.
    pub packs: u64,
    /// Stored bytes of these segments.
    pub bytes: Bytes,
    /// Tenant keys that these are sealed to.
    pub keys: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Checks that every object that a counting snapshot needs is there with its length.
///
/// # Errors
/// A listing failed, gc records are damaged, or the observer asked to stop: then nothing is known.
pub fn inventory(
    repository: &Repository,
    catalog: &Catalog,
    scope: &Scope,
    observer: &dyn Observer,
) -> Result<InventoryReport, VerifyError> {
    let look = || look(repository, catalog, scope, observer);
    moved::unless_moved(repository, look, |report| &report.outcome)
}

fn look(
    repository: &Repository,
    catalog: &Catalog,
    scope: &Scope,
    observer: &dyn Observer,
) -> Result<InventoryReport, VerifyError> {
    let needs = Needs::load(repository, catalog, scope, observer)?;
    observer.tell(Event::Phase("comparing with what is there"));
    let mut findings = needs.findings.clone();
    let mut hurt = Hurt::default();
    find_lost_segments(&needs, &mut hurt, &mut findings);
    find_lost_packs(repository, &needs, &mut hurt, &mut findings)?;
    find_lost_keys(repository, &needs, &mut hurt, &mut findings)?;
    hidden::tell(repository, scope.component.as_ref(), &mut findings);
    attribute(&mut findings, &hurt, &needs, None, scope.threads, observer)?;
    let (segments, bytes) = needs.population();
    let packs: HashSet<PackId> = needs
        .segments()
        .flat_map(|(_, segment)| segment.needed.places.iter().map(|place| place.pack))
        .collect();
    Ok(InventoryReport {
        outcome: needs.outcome(&findings),
        snapshots: needs.snapshots.len() as u64,
        segments,
        packs: packs.len() as u64,
        bytes,
        keys: needs.keys().len() as u64,
        findings,
    })
}

impl Needs {
    /// What a check of all that counts may say: nothing, where nothing counts.
    pub(crate) fn outcome(&self, findings: &[Finding]) -> Outcome {
        match Outcome::of(findings) {
            Outcome::Passed if self.snapshots.is_empty() => Outcome::NotRun("no snapshot counts".into()),
            other => other,
        }
    }
}

/// Segments that shares list and no index names: one finding a writer.
pub(crate) fn find_lost_segments(needs: &Needs, hurt: &mut Hurt, findings: &mut Vec<Finding>) {
    let mut lost: BTreeMap<usize, HashSet<_>> = BTreeMap::new();
    for share in &needs.shares {
        let Some(holdings) = needs.writer(share) else { continue };
        let known = |prefix| holdings.with_prefix(prefix).any(|(_, held)| lists(&share.share, &held.needed));
        let unknown = share.share.segments.iter().copied().filter(|prefix| !known(*prefix));
        lost.entry(share.writer).or_default().extend(unknown);
    }
    for (writer, prefixes) in lost {
        let Some(first) = prefixes.iter().min() else { continue };
        let Some(holdings) = needs.holdings.get(writer) else { continue };
        let name = &holdings.writer;
        let what = match prefixes.len() {
            1 => format!("a snapshot needs it, but no index object of writer {name} names it"),
            count => format!(
                "snapshots need it and {} others, but no index object of writer {name} names them",
                count - 1
            ),
        };
        hurt.add_lost(writer, findings.len());
        // An index object that the store would not give may name them.
        let severity = if holdings.settled { Severity::Damage } else { Severity::CouldNotCheck };
        findings.push(Finding::new(severity, Subject::LostSegment(*first), what));
    }
}

/// Packs that are gone or of another length, where that leaves a segment without a copy.
fn find_lost_packs(
    repository: &Repository,
    needs: &Needs,
    hurt: &mut Hurt,
    findings: &mut Vec<Finding>,
) -> Result<(), VerifyError> {
    let there: HashMap<PackId, Bytes> = repository
        .store()
        .list("packs/")?
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Pack(pack)) => Some((pack, object.length)),
            _ => None,
        })
        .collect();
    let mut blamed: HashMap<PackId, usize> = HashMap::new();
    for (writer, holdings) in needs.holdings.iter().enumerate() {
        let gone = gone_segments(holdings, &there);
        for at in &gone {
            let Some(segment) = holdings.segments().get(*at) else { continue };
            let healed = holdings.chunks_of(segment).all(|(_, chunk)| {
                let mut copies = holdings.copies_of(segment.needed.key, &chunk.0);
                copies.any(|copy| copy.length == chunk.1 && !gone.contains(&copy.segment))
            });
            for place in &segment.needed.places {
                let finding = *blamed.entry(place.pack).or_insert(findings.len());
                if finding == findings.len() {
                    let stated = holdings.packs.get(&place.pack).copied();
                    findings.push(lost_pack(place.pack, there.get(&place.pack).copied(), stated)?);
                }
                let Some(told) = findings.get_mut(finding) else { continue };
                if !healed {
                    told.severity = Severity::Damage;
                    hurt.add_segment(needs, writer, *at, finding);
                }
                if let Some(record) = needs.condemned.lost(segment.needed.id)
                    && !told.what.contains(record.as_str())
                {
                    told.what.push_str(&format!("; {record} says that segments in it are lost"));
                }
            }
        }
    }
    for at in blamed.values() {
        if let Some(finding) = findings.get_mut(*at)
            && finding.severity == Severity::Notice
        {
            finding.what.push_str("; all that snapshots need of it is stored elsewhere too");
        }
    }
    let needed: HashSet<PackId> =
        needs.segments().filter_map(|(_, segment)| segment.needed.places.first()).map(|p| p.pack).collect();
    note_unrecorded(needs, needed, &there, findings)
}

/// The places of segments that lie in no pack that is there at its length.
fn gone_segments(holdings: &Holdings, there: &HashMap<PackId, Bytes>) -> BTreeSet<usize> {
    let fits = |at: &segments::Place| {
        let length = there.get(&at.pack).copied();
        length.is_some_and(|length| at.offset + at.length <= length)
            && holdings.packs.get(&at.pack).is_none_or(|stated| length == Some(*stated))
    };
    let all = holdings.segments().iter().enumerate();
    all.filter(|(_, segment)| !segment.needed.places.iter().any(fits)).map(|(at, _)| at).collect()
}

/// What is the matter with a pack; it is damage only once something in it is lost.
fn lost_pack(pack: PackId, found: Option<Bytes>, stated: Option<Bytes>) -> Result<Finding, VerifyError> {
    let name = names::pack(pack).map_err(RepositoryError::from)?;
    let what = match (found, stated) {
        (None, _) => "it is missing".to_owned(),
        (Some(found), Some(stated)) => {
            format!("it is {found} long ({} bytes) instead of {}", found.0, stated.0)
        }
        (Some(found), None) => format!("it is {found} long, and a segment in it should lie beyond that"),
    };
    Ok(Finding::notice(name, what))
}

/// A pack that is needed, but that no ledger names: a keyless verifier would not miss it.
fn note_unrecorded(
    needs: &Needs,
    needed: HashSet<PackId>,
    there: &HashMap<PackId, Bytes>,
    findings: &mut Vec<Finding>,
) -> Result<(), VerifyError> {
    let mut unrecorded: Vec<ObjectName> = Vec::new();
    for pack in needed.into_iter().filter(|pack| there.contains_key(pack)) {
        let name = names::pack(pack).map_err(RepositoryError::from)?;
        if !needs.ledgers.recorded.contains_key(&name) {
            unrecorded.push(name);
        }
    }
    if let Some(first) = unrecorded.iter().min() {
        let what = format!(
            "snapshots need it and {} other packs, but no ledger names them, so a check without secrets would not \
             miss them",
            unrecorded.len() - 1
        );
        findings.push(Finding::notice(first, what));
    }
    Ok(())
}

fn find_lost_keys(
    repository: &Repository,
    needs: &Needs,
    hurt: &mut Hurt,
    findings: &mut Vec<Finding>,
) -> Result<(), VerifyError> {
    let there: HashSet<(Label, KeyId)> = repository
        .store()
        .list("keys/")?
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Key(_, writer, key)) => Some((writer, key)),
            _ => None,
        })
        .collect();
    for (writer, key) in needs.keys() {
        if there.contains(&(writer.clone(), key)) {
            continue;
        }
        let owner = needs.holdings.iter().position(|holdings| holdings.writer == writer);
        owner.into_iter().for_each(|owner| hurt.add_key(owner, key, findings.len()));
        let end = format!("/{writer}/{key}");
        let recorded = needs.ledgers.recorded.keys();
        let name = recorded
            .into_iter()
            .find(|name| name.as_str().starts_with("keys/") && name.as_str().ends_with(&end));
        let what = format!(
            "the object of tenant key {key} of writer {writer} is missing; nothing sealed to it opens"
        );
        let subject = name.map_or(Subject::Area("keys/"), Subject::from);
        findings.push(Finding::damage(subject, what));
    }
    Ok(())
}
