//! Performing a plan: what is live in it is copied, then it is condemned.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::held::{At, Held, Holdings, read_segment};
use super::live::Live;
use super::moving::Mover;
use super::plan::{LeftOut, Plan, WhyLeft};
use super::{Knobs, Moved};
use crate::format::names::{Place, Seq, place};
use crate::format::records::Task;
use crate::ids::PackId;
use crate::observe::{Event, Observer};
use crate::repository::gc::Condemned;
use crate::repository::maintainer::Maintainer;
use crate::repository::{Repository, RepositoryError};
use crate::units::Bytes;

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condemnation {
    /// The record that was put, if there was anything to put.
    pub record: Option<Seq>,
    /// What was copied before.
    pub moved: Moved,
    /// Packs that were left out after all: something live in them is damaged.
    pub damaged: Vec<LeftOut>,
}

/// Copies what is live in the packs of a plan and lies nowhere else, then puts the record. Cut off in between, the copies
/// serve the next plan.
///
/// # Errors
/// The store failed, or what is live cannot be told any more.
pub fn condemn(
    maintainer: &Maintainer<'_>,
    plan: &Plan,
    knobs: &Knobs,
    observer: &dyn Observer,
) -> Result<Condemnation, RepositoryError> {
    let mut done = Condemnation::default();
    if plan.is_empty() {
        return Ok(done);
    }
    let repository = &maintainer.repository().renewed()?;
    let mut run = maintainer.begin(Task::Maintain)?;
    let mut plan = plan.clone();
    if plan.packs.iter().any(|one| one.reason.live_bytes() > Bytes::ZERO) {
        observer.tell(Event::Phase("copying what is live"));
        let mut mover = Mover::new(repository, maintainer.catalog(), &mut run);
        done.damaged = copy(repository, maintainer, &plan, knobs, &mut mover, observer)?;
        mover.confirm()?;
        done.moved = mover.moved;
        plan.leave(done.damaged.clone());
    }
    if !plan.is_empty() {
        observer.tell(Event::Phase("condemning"));
        done.record = Some(maintainer.put_gc(&plan.draft())?);
    }
    run.finish()?;
    Ok(done)
}

/// Copies the live segments of a plan's packs that lie in no pack that stays; the packs in which one is damaged.
fn copy(
    repository: &Repository,
    maintainer: &Maintainer<'_>,
    plan: &Plan,
    knobs: &Knobs,
    mover: &mut Mover<'_, '_>,
    observer: &dyn Observer,
) -> Result<Vec<LeftOut>, RepositoryError> {
    let live = Live::load(repository, maintainer.catalog())?;
    let doomed: BTreeMap<PackId, Bytes> = plan
        .packs
        .iter()
        .filter(|one| one.reason.live_bytes() > Bytes::ZERO)
        .map(|one| (one.pack, one.length))
        .collect();
    let holdings = Holdings::load(repository, maintainer.catalog(), &live, &doomed, observer)?;
    let going: HashSet<PackId> = plan.packs.iter().map(|one| one.pack).collect();
    let standing = Standing::load(repository)?;
    let total = holdings.segments.values().map(|held| held.line.length).sum();
    observer.tell(Event::Planned { items: holdings.segments.len() as u64, bytes: total });
    let (mut bytes, mut damaged, mut copied) = (Vec::new(), BTreeMap::new(), Bytes::ZERO);
    for held in in_order(&holdings) {
        if observer.cancelled() {
            return Err(RepositoryError::cancelled("collection"));
        }
        let safe = held.places.iter().any(|at| standing.has(*at) && !going.contains(&at.pack));
        if !safe {
            // A plan made a while ago may have grown; what is too much waits for the next.
            match read_anywhere(repository, held, &mut bytes)? {
                Ok(()) if copied <= knobs.copy_max => {
                    copied += Bytes::of(&bytes);
                    mover.add(held, &bytes)?;
                }
                Ok(()) => leave(&mut damaged, held, &doomed, &WhyLeft::Later),
                Err(error) => leave(&mut damaged, held, &doomed, &WhyLeft::Damaged(error.to_string())),
            }
        }
        observer.tell(Event::Progress { items: 1, bytes: held.line.length });
    }
    for (pack, why) in holdings.unknown {
        damaged.insert(pack, WhyLeft::Unreadable(why));
    }
    Ok(damaged.into_iter().map(|(pack, why)| LeftOut { pack, why }).collect())
}

fn leave(left: &mut BTreeMap<PackId, WhyLeft>, held: &Held, doomed: &BTreeMap<PackId, Bytes>, why: &WhyLeft) {
    for at in held.places.iter().filter(|at| doomed.contains_key(&at.pack)) {
        left.insert(at.pack, why.clone());
    }
}

/// Segments pack by pack, as they lie, so that they are read forwards.
pub(super) fn in_order(holdings: &Holdings) -> impl Iterator<Item = &Held> {
    let mut all: Vec<&Held> = holdings.segments.values().collect();
    all.sort_by_key(|held| held.places.first().map(|at| (at.pack, at.offset)));
    all.into_iter()
}

/// Reads a segment from the first place that has it whole; the inner error is why none has.
///
/// # Errors
/// The store failed.
pub(super) fn read_anywhere(
    repository: &Repository,
    held: &Held,
    bytes: &mut Vec<u8>,
) -> Result<Result<(), RepositoryError>, RepositoryError> {
    let mut why =
        RepositoryError::damaged(format!("segment {}", held.line.segment), "no place of it is known");
    for at in &held.places {
        match read_segment(repository.store(), held.line.segment, *at, bytes) {
            Ok(()) => return Ok(Ok(())),
            Err(error) if error.is_damage() => why = error,
            Err(error) => return Err(error),
        }
    }
    Ok(Err(why))
}

/// Packs that are there, and that no record condemns.
pub(super) struct Standing(BTreeSet<(PackId, Bytes)>);

impl Standing {
    pub(super) fn load(repository: &Repository) -> Result<Self, RepositoryError> {
        let condemned = Condemned::load(repository)?;
        Self::with(repository, &condemned)
    }

    pub(super) fn with(repository: &Repository, condemned: &Condemned) -> Result<Self, RepositoryError> {
        let listed =
            repository.store().list("packs/").map_err(|error| RepositoryError::store("packs/", error))?;
        let packs = listed.iter().filter_map(|object| match place(&object.name) {
            Some(Place::Pack(pack)) if !condemned.pack(pack) => Some((pack, object.length)),
            _ => None,
        });
        Ok(Self(packs.collect()))
    }

    /// Whether the pack of a place is there, and long enough for it.
    pub(super) fn has(&self, at: At) -> bool {
        let end = at.offset + at.length;
        self.0.range((at.pack, end)..).next().is_some_and(|(pack, _)| *pack == at.pack)
    }
}
