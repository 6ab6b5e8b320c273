//! Adding up what packs hold, index object by index object, and choosing those to condemn.

use std::collections::HashSet;

use super::held::{list_indexes, read_indexes};
use super::live::Live;
use super::plan::{CondemnedIndex, CondemnedPack, LeftOut, Plan, Reason, WhyLeft};
use super::{Knobs, Percent, states, unnamed, waiting};
use crate::format::index::Index;
use crate::format::names::{Place, place};
use crate::ids::{ObjectName, PackId};
use crate::observe::{Event, Observer};
use crate::repository::gc::Condemned;
use crate::repository::maintainer::Maintainer;
use crate::repository::{Repository, RepositoryError};
use crate::units::{Bytes, Timestamp};

/// A pack that is there, and whether it is old enough to be condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackAge {
    /// Which.
    pub pack: PackId,
    /// How long it is.
    pub length: Bytes,
    /// Whether a run that is not over may still name it.
    pub young: bool,
}

/// What packs hold, as far as index objects were added. No I/O: whoever has the values can make a plan.
pub struct Tally<'l> {
    live: &'l Live,
    /// Those that are there and not condemned, sorted.
    packs: Vec<PackAge>,
    named: Vec<bool>,
    spans: Vec<Span>,
    indexes: Vec<Seen>,
}

/// A segment in a pack. 16 bytes, for as many as there are places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    pack: u32,
    offset: u32,
    length: u32,
    live: bool,
}

/// An index object that may go once the packs it names do.
struct Seen {
    name: ObjectName,
    packs: Vec<u32>,
    /// Those that are not there, or condemned.
    gone: Vec<PackId>,
}

/// Reads a repository and plans. Nothing is changed.
///
/// # Errors
/// The store failed, or what is live cannot be told.
pub fn survey(
    maintainer: &Maintainer<'_>,
    knobs: &Knobs,
    observer: &dyn Observer,
) -> Result<Plan, RepositoryError> {
    let repository = &maintainer.repository().renewed()?;
    let catalog = maintainer.catalog();
    observer.tell(Event::Phase("reading snapshots"));
    // What is live is read before index objects are listed, and these before packs: a pack that one of them names and that
    // is not there is gone, and was not put meanwhile. A pack that appears meanwhile is young.
    let condemned = Condemned::load(repository)?;
    let live = Live::load(repository, catalog)?;
    let indexes = list_indexes(repository)?;
    let packs = list_packs(repository, &condemned, knobs)?;
    let mut tally = Tally::new(&live, packs);
    observer.tell(Event::Phase("reading the index"));
    read_indexes(repository, catalog, indexes, observer, |name, index| {
        if !condemned.index(name) {
            tally.add(name, &index);
        }
    })?;
    let unnamed: Vec<PackAge> = tally.unnamed().filter(|pack| !pack.young).collect();
    let standing = tally.packs.iter().map(|pack| pack.pack).collect();
    let mut plan = tally.plan(knobs);
    for index in &mut plan.indexes {
        index.gone.retain(|pack| !condemned.pack(*pack));
    }
    plan.leave(unnamed::to_be_left(repository, catalog, &live, &unnamed, &standing, observer)?);
    plan.list_runs = waiting::wants_a_listing(repository)?;
    plan.states = states::list(repository)?;
    Ok(plan)
}

fn list_packs(
    repository: &Repository,
    condemned: &Condemned,
    knobs: &Knobs,
) -> Result<Vec<PackAge>, RepositoryError> {
    let store = repository.store();
    let now = store.now().map_err(|error| RepositoryError::store("the store's clock", error))?;
    let listed = store.list("packs/").map_err(|error| RepositoryError::store("packs/", error))?;
    let young = |since: Timestamp| now.since(since) < knobs.pack_age_min;
    Ok(listed
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Pack(pack)) if !condemned.pack(pack) => {
                Some(PackAge { pack, length: object.length, young: young(object.modified) })
            }
            _ => None,
        })
        .collect())
}

impl<'l> Tally<'l> {
    /// Nothing added up yet. `packs` are those that are there and not condemned.
    #[must_use]
    pub fn new(live: &'l Live, mut packs: Vec<PackAge>) -> Self {
        packs.sort_unstable_by_key(|one| one.pack);
        let named = vec![false; packs.len()];
        Self { live, packs, named, spans: Vec::new(), indexes: Vec::new() }
    }

    /// Adds what an index object says. A pack that has not the length it says is damaged, and is left to verification.
    pub fn add(&mut self, name: &ObjectName, index: &Index) {
        let (mut of, mut whole, mut gone) = (HashSet::new(), HashSet::new(), Vec::new());
        for pack in &index.header.packs {
            let Some(at) = self.position(pack.0) else {
                gone.push(pack.0);
                continue;
            };
            if let (Some(named), Ok(number)) = (self.named.get_mut(at), u32::try_from(at)) {
                *named = true;
                of.insert(number);
                if self.packs.get(at).is_some_and(|there| there.length == pack.1) {
                    whole.insert(number);
                }
            }
        }
        let mut knows_live = false;
        for line in &index.segments {
            let live = self.live.contains(line.segment.prefix());
            knows_live |= live;
            let Some(at) = line.pack.and_then(|pack| self.position(pack)) else { continue };
            let (Ok(pack), Ok(offset), Ok(length)) =
                (u32::try_from(at), u32::try_from(line.offset.0), u32::try_from(line.length.0))
            else {
                continue;
            };
            if let Some(named) = self.named.get_mut(at) {
                *named = true;
            }
            of.insert(pack);
            if whole.contains(&pack) {
                self.spans.push(Span { pack, offset, length, live });
            }
        }
        if !knows_live {
            let mut packs: Vec<u32> = of.into_iter().collect();
            packs.sort_unstable();
            self.indexes.push(Seen { name: name.clone(), packs, gone });
        }
    }

    /// Packs that no index object names so far.
    pub fn unnamed(&self) -> impl Iterator<Item = PackAge> {
        let named = self.named.iter();
        self.packs.iter().zip(named).filter(|(_, named)| !**named).map(|(pack, _)| *pack)
    }

    /// Chooses what to condemn: packs that no index names, then the deadest, as far as what is live in them may be
    /// copied in one go.
    #[must_use]
    pub fn plan(mut self, knobs: &Knobs) -> Plan {
        // An index written anew names the same segments again.
        self.spans.sort_unstable();
        self.spans.dedup();
        let mut sums = vec![(Bytes::ZERO, Bytes::ZERO); self.packs.len()];
        for span in &self.spans {
            if let Some((all, live)) = sums.get_mut(span.pack as usize) {
                *all += Bytes(u64::from(span.length));
                *live += Bytes(if span.live { u64::from(span.length) } else { 0 });
            }
        }
        let mut plan = Plan::default();
        let mut candidates = Vec::new();
        for ((pack, named), (all, live)) in self.packs.iter().zip(&self.named).zip(&sums) {
            plan.present.packs += 1;
            plan.present.bytes += pack.length;
            let dead = Bytes(all.0.saturating_sub(live.0));
            plan.dead += if *named { dead } else { pack.length };
            let reason = match named {
                false => Reason::Unnamed,
                true if all.0 > 0 => Reason::Dead { share: Percent::of(dead, *all), live: *live },
                // Of a damaged pack nothing is known.
                true => continue,
            };
            if matches!(reason, Reason::Dead { share, live } if share < knobs.dead_share && live.0 > 0) {
                continue;
            }
            if pack.young {
                plan.left.push(LeftOut { pack: pack.pack, why: WhyLeft::Young });
                continue;
            }
            candidates.push(CondemnedPack { pack: pack.pack, length: pack.length, reason });
        }
        candidates.sort_by_key(|one| (one.reason.live(), one.pack));
        let mut copied = Bytes::ZERO;
        for one in candidates {
            let (_, live) = one.reason.live();
            if copied + live > knobs.copy_max && live.0 > 0 {
                plan.left.push(LeftOut { pack: one.pack, why: WhyLeft::Later });
            } else {
                copied += live;
                plan.packs.push(one);
            }
        }
        plan.indexes = self.useless_indexes(&plan);
        plan
    }

    /// Index objects that know nothing live, and of whose packs every one is gone or condemned.
    fn useless_indexes(&self, plan: &Plan) -> Vec<CondemnedIndex> {
        let going: HashSet<u32> = plan
            .packs
            .iter()
            .filter_map(|one| self.position(one.pack).and_then(|at| u32::try_from(at).ok()))
            .collect();
        let useless = self.indexes.iter().filter(|one| one.packs.iter().all(|pack| going.contains(pack)));
        let packs_of = |one: &Seen| {
            one.packs.iter().filter_map(|at| self.packs.get(*at as usize)).map(|pack| pack.pack).collect()
        };
        let condemned = |one: &Seen| CondemnedIndex {
            name: one.name.clone(),
            packs: packs_of(one),
            gone: one.gone.clone(),
        };
        useless.map(condemned).collect()
    }

    fn position(&self, pack: PackId) -> Option<usize> {
        self.packs.binary_search_by_key(&pack, |one| one.pack).ok()
    }
}

impl Reason {
    /// What is live in the pack.
    pub(super) fn live_bytes(self) -> Bytes {
        self.live().1
    }

    /// The share that is not dead, for ordering, and what is live.
    fn live(self) -> (Percent, Bytes) {
        match self {
            Self::Unnamed => (Percent(0), Bytes::ZERO),
            Self::Dead { share, live } => (Percent(100_u8.saturating_sub(share.0)), live),
        }
    }
}
