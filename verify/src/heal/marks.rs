//! What no copy heals: marked in a gc record, with all that can still be had copied out before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::RECORD_MAX;
use lifeboat_repo::format::index::{PackRef, SegmentLine};
use lifeboat_repo::format::names::{self, Place, place};
use lifeboat_repo::format::records::Task;
use lifeboat_repo::ids::{KeyId, Label, ObjectName, PackId, SegmentId, SegmentPrefix};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::repair::{read_table, read_table_alone, refill, segment_at};
use lifeboat_repo::repository::{JudgedAt, Repository, RepositoryError, index};
use lifeboat_repo::store::Store;
use serde::Serialize;

use super::{Copy, ObjectPlan};
use crate::error::VerifyError;
use crate::holdings::Segment;
use crate::needs::{Needs, Scope};

/// What would be marked, and what is copied before.
#[derive(Debug, Default, Serialize)]
pub struct Marks {
    /// Packs to be condemned: they are missing or damaged, and no copy has them.
    pub packs: Vec<PackId>,
    /// Live segments that are whole somewhere, to be put into new packs.
    pub moved: Vec<SegmentId>,
    /// Live segments that nobody has whole.
    pub lost: Vec<SegmentId>,
    /// Index objects to be condemned: they are missing or damaged, and no copy has them.
    pub indexes: Vec<ObjectName>,
    /// Packs whose tables are read back into a new index object.
    pub read_back: Vec<PackId>,
    /// Cards to be removed that are damaged, or of damaged keys: their writer would go on sealing to what nobody can open, or
    /// could not begin. Without its card it makes another key. Keys themselves stay, whatever they look like: that is for
    /// officers to judge, who can open them.
    pub removed: Vec<ObjectName>,
    /// Live segments that no index object names, nor the table of any pack that is left.
    pub unknown: u64,
    /// Where each of `moved` is whole: the place of its copy, or none for here.
    #[serde(skip)]
    sources: Vec<(SegmentLine, Option<usize>)>,
    #[serde(skip)]
    tables: Vec<(PackRef, Vec<SegmentLine>)>,
}

/// What was marked.
#[derive(Debug, Serialize)]
pub struct Marked {
    /// The gc record.
    pub record: Option<ObjectName>,
    /// How many segments were copied into new packs.
    pub moved: u64,
    /// How many packs were read back into the index.
    pub read_back: u64,
    /// Damaged objects that could not be removed, with the reason.
    pub problems: Vec<String>,
}

impl Marks {
    /// Whether there is nothing to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
            && self.moved.is_empty()
            && self.lost.is_empty()
            && self.indexes.is_empty()
            && self.read_back.is_empty()
            && self.removed.is_empty()
    }
}

/// Works out what is to be marked, for the objects that stay damaged once the others are healed. `rebuild` reads back
/// the tables of all packs that no index object names, whatever is damaged.
///
/// # Errors
/// A listing failed, gc records are damaged, or the observer asked to stop.
pub fn plan_marks(
    here: &Repository,
    catalog: &Catalog,
    plan: &ObjectPlan,
    copies: &[Copy],
    rebuild: bool,
    observer: &dyn Observer,
) -> Result<Marks, VerifyError> {
    observer.tell(Event::Phase("looking for what is lost"));
    let condemned = Condemned::load(here)?;
    let mut marks = Marks::default();
    for wrong in plan.left() {
        match place(&wrong.object) {
            Some(Place::Pack(pack)) if !condemned.pack(pack) => marks.packs.push(pack),
            Some(Place::Index(..)) if !condemned.index(&wrong.object) => {
                marks.indexes.push(wrong.object.clone());
            }
            Some(Place::Key(_, writer, key)) if is_rotten(here, &wrong.object, Kind::Key)? => {
                let card = names::card(&writer, key).map_err(RepositoryError::from)?;
                if here.store().stat(&card)?.is_some() {
                    marks.removed.push(card);
                }
            }
            Some(Place::Card(..)) if is_rotten(here, &wrong.object, Kind::Card)? => {
                marks.removed.push(wrong.object.clone());
            }
            _ => {}
        }
    }
    marks.removed.sort();
    marks.removed.dedup();
    let broken: HashSet<PackId> = marks.packs.iter().copied().collect();
    let needs = Needs::load(here, catalog, &Scope::default(), observer)?;
    let wanted: BTreeSet<SegmentPrefix> =
        needs.shares.iter().flat_map(|share| &share.share.segments).copied().collect();
    let rebuild = rebuild || !marks.indexes.is_empty();
    let salvage = read_back(here, catalog, &condemned, &broken, (rebuild, &wanted), &mut marks)?;
    let known = Known::of(&needs, &marks);
    let untold: BTreeMap<(KeyId, SegmentPrefix), &Label> =
        needs.wanted().filter(|((_, prefix), _)| !known.told.contains(prefix)).collect();
    let elsewhere = Elsewhere::load(here, catalog, copies, &untold)?;
    look_at_told(here, &needs, (&condemned, &broken), (&elsewhere, copies), &mut marks)?;
    for segment in untold.keys() {
        let in_broken = salvage.get(segment).map(Vec::as_slice).unwrap_or_default();
        if let Some(line) = in_broken.iter().find(|line| segment_at(here.store(), line).is_some()) {
            marks.sources.push((line.clone(), None));
            continue;
        }
        let told = in_broken.iter().chain(elsewhere.told.get(segment).into_iter().flatten());
        let mut found =
            told.filter_map(|line| elsewhere.find(line.segment, std::slice::from_ref(line), copies));
        match (found.next(), in_broken.first()) {
            (Some((line, copy)), _) => marks.sources.push((line, Some(copy))),
            (None, Some(line)) if condemned.lost(line.segment).is_none() => marks.lost.push(line.segment),
            (None, Some(_)) => {}
            (None, None) => marks.unknown += u64::from(!known.named.contains(&segment.1)),
        }
    }
    marks.moved = marks.sources.iter().map(|(line, _)| line.segment).collect();
    marks.lost.sort_unstable();
    marks.lost.dedup();
    Ok(marks)
}

/// Which segments something here tells of.
struct Known {
    /// A place at the least.
    named: HashSet<SegmentPrefix>,
    /// Their chunks, too: of what was moved a place alone may be left, while what told its chunks is lost.
    told: HashSet<SegmentPrefix>,
}

impl Known {
    fn of(needs: &Needs, marks: &Marks) -> Self {
        let in_tables = marks.tables.iter().flat_map(|(_, lines)| lines).map(|line| line.segment.prefix());
        let mut told: HashSet<SegmentPrefix> = in_tables.collect();
        let mut named = told.clone();
        for holdings in &needs.holdings {
            for segment in holdings.segments() {
                let prefix = segment.needed.id.prefix();
                named.insert(prefix);
                if holdings.chunks_of(segment).next().is_some() {
                    told.insert(prefix);
                }
            }
        }
        Self { named, told }
    }
}

/// Segments of which the index tells, and that lie in no pack that stays: they are copied from wherever they are whole, or
/// given up.
fn look_at_told(
    here: &Repository,
    needs: &Needs,
    (condemned, broken): (&Condemned, &HashSet<PackId>),
    (elsewhere, copies): (&Elsewhere, &[Copy]),
    marks: &mut Marks,
) -> Result<(), VerifyError> {
    let there: HashSet<PackId> = packs_of(here.store())?;
    let whole_pack = |pack: &PackId| there.contains(pack) && !broken.contains(pack) && !condemned.pack(*pack);
    for holdings in &needs.holdings {
        for segment in holdings.segments() {
            if segment.needed.places.iter().any(|place| whole_pack(&place.pack)) {
                continue;
            }
            let lines = lines_of(segment, holdings.chunks_of(segment).map(|(_, chunk)| *chunk).collect());
            let here_whole = lines.iter().find(|line| segment_at(here.store(), line).is_some());
            if let Some(line) = here_whole {
                // A condemned pack that is whole is for its collector to empty.
                if line.pack.is_none_or(|pack| !condemned.pack(pack)) {
                    marks.sources.push((line.clone(), None));
                }
            } else if let Some((line, copy)) = elsewhere.find(segment.needed.id, &lines, copies) {
                marks.sources.push((line, Some(copy)));
            } else if condemned.lost(segment.needed.id).is_none() {
                marks.lost.push(segment.needed.id);
            }
        }
    }
    Ok(())
}

/// Whether something is there that nobody whom trust knows ever signed under this name. What is well signed and looks wrong
/// only now, by this machine's clock or by what a ledger says, is not.
fn is_rotten(here: &Repository, name: &ObjectName, kind: Kind) -> Result<bool, VerifyError> {
    match here.read_signed(name, &[kind], JudgedAt::Any, RECORD_MAX) {
        Ok(_) => Ok(false),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) if error.is_damage() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Does it: copies first, then the index, then the record, by which nothing relies on what is damaged any more.
///
/// # Errors
/// Something could not be confirmed. The same done again goes on.
pub fn put_marks(
    maintainer: &Maintainer<'_>,
    marks: &Marks,
    copies: &[Copy],
) -> Result<Marked, RepositoryError> {
    let here = maintainer.repository();
    let mut marked = Marked { record: None, moved: 0, read_back: 0, problems: Vec::new() };
    if !marks.sources.is_empty() || !marks.tables.is_empty() {
        let mut run = maintainer.begin(Task::Maintain)?;
        let segments: Vec<(SegmentLine, &dyn Store)> = marks
            .sources
            .iter()
            .map(|(line, copy)| {
                let store =
                    copy.and_then(|at| copies.get(at)).map_or(here.store(), |copy| copy.store.as_ref());
                (line.clone(), store)
            })
            .collect();
        refill(maintainer, &mut run, &segments)?;
        if !marks.tables.is_empty() {
            let packs: Vec<PackRef> = marks.tables.iter().map(|(pack, _)| *pack).collect();
            let lines: Vec<SegmentLine> = marks.tables.iter().flat_map(|(_, lines)| lines).cloned().collect();
            run.put_index(&packs, lines)?;
        }
        run.finish()?;
        (marked.moved, marked.read_back) = (segments.len() as u64, marks.tables.len() as u64);
    }
    if !marks.packs.is_empty() || !marks.lost.is_empty() || !marks.indexes.is_empty() {
        let (packs, lost, indexes) = (marks.packs.clone(), marks.lost.clone(), marks.indexes.clone());
        let seq = maintainer.put_gc(&GcDraft { packs, lost, indexes, ..GcDraft::default() })?;
        marked.record = Some(names::gc(seq)?);
    }
    // Nothing can be read from these, and the record says of index objects that they may be gone.
    for name in marks.indexes.iter().chain(&marks.removed) {
        if let Err(error) = here.store().delete(name) {
            marked.problems.push(format!("{name} cannot be removed: {error}"));
        }
    }
    Ok(marked)
}

fn packs_of(store: &dyn Store) -> Result<HashSet<PackId>, VerifyError> {
    let listed = store.list("packs/")?;
    let packs = listed.iter().filter_map(|object| match place(&object.name) {
        Some(Place::Pack(pack)) => Some(pack),
        _ => None,
    });
    Ok(packs.collect())
}

/// The lines that a segment's places make.
fn lines_of(segment: &Segment, chunks: Vec<lifeboat_repo::format::index::ChunkRef>) -> Vec<SegmentLine> {
    let needed = &segment.needed;
    let line = |place: &lifeboat_repo::repository::segments::Place| SegmentLine {
        segment: needed.id,
        pack: Some(place.pack),
        key: needed.key,
        kind: needed.kind,
        offset: place.offset,
        length: place.length,
        plain: needed.plain,
        lock: segment.lock,
        chunks: chunks.clone(),
    };
    needed.places.iter().map(line).collect()
}

/// The tables of packs that tell what no index object does: of all that none names, where everything is to be read back;
/// otherwise what is needed. Where a segment was moved to, index objects tell its place alone, and only what its writer put
/// tells its chunks. What only the tables of broken packs tell of what is needed is returned: their segments must leave them.
fn read_back(
    here: &Repository,
    catalog: &Catalog,
    condemned: &Condemned,
    broken: &HashSet<PackId>,
    (rebuild, wanted): (bool, &BTreeSet<SegmentPrefix>),
    marks: &mut Marks,
) -> Result<HashMap<(KeyId, SegmentPrefix), Vec<SegmentLine>>, VerifyError> {
    let mut named: HashSet<PackId> = HashSet::new();
    let (mut told, mut places): (HashSet<SegmentPrefix>, HashMap<SegmentPrefix, Vec<PackId>>) =
        Default::default();
    let damaged: BTreeSet<&ObjectName> = marks.indexes.iter().collect();
    for object in here.store().list("index/")? {
        if damaged.contains(&object.name) || condemned.index(&object.name) {
            continue;
        }
        match index::read(here, catalog, &object.name) {
            Ok(index) => {
                named.extend(index.header.packs.iter().map(|pack| pack.0));
                for line in index.segments {
                    if !line.chunks.is_empty() {
                        told.insert(line.segment.prefix());
                    } else if let Some(pack) = line.pack {
                        places.entry(line.segment.prefix()).or_default().push(pack);
                    }
                }
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let lacking: HashSet<SegmentPrefix> =
        wanted.iter().filter(|prefix| !told.contains(*prefix)).copied().collect();
    let unknown = lacking.iter().any(|prefix| !places.contains_key(prefix));
    let holders: HashSet<PackId> =
        lacking.iter().filter_map(|prefix| places.get(prefix)).flatten().copied().collect();
    let recorded = super::vouched(here)?;
    let mut packs: Vec<PackId> = packs_of(here.store())?.into_iter().collect();
    // A condemned pack may be all that has something yet; its collector moves that, and reads the same table.
    let all = |pack: &PackId| rebuild && !named.contains(pack) && !condemned.pack(*pack);
    packs.retain(|pack| holders.contains(pack) || (unknown && !named.contains(pack)) || all(pack));
    packs.sort_unstable();
    let mut salvage: HashMap<(KeyId, SegmentPrefix), Vec<SegmentLine>> = HashMap::new();
    for pack in packs {
        // What no ledger names, nobody signed for.
        if !names::pack(pack).is_ok_and(|name| recorded.contains_key(&name)) {
            continue;
        }
        let tells = |line: &SegmentLine| !line.chunks.is_empty() && lacking.contains(&line.segment.prefix());
        let read = if broken.contains(&pack) { read_table_alone } else { read_table };
        match read(here, catalog, pack) {
            Ok((_, lines)) if broken.contains(&pack) => {
                for line in lines.into_iter().filter(tells) {
                    salvage.entry((line.key, line.segment.prefix())).or_default().push(line);
                }
            }
            Ok((pack, lines)) if lines.iter().any(tells) || all(&pack.0) => {
                marks.read_back.push(pack.0);
                marks.tables.push((pack, lines));
            }
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(salvage)
}

/// Where copies have segments: at the places they have here, and wherever index objects of the copies say besides.
struct Elsewhere {
    places: Vec<HashMap<SegmentId, Vec<SegmentLine>>>,
    /// What is in segments that nothing here tells of: their writer's own index objects in the copies say it, or a
    /// maintainer's. What others say of them, nobody would believe here either.
    told: HashMap<(KeyId, SegmentPrefix), Vec<SegmentLine>>,
}

impl Elsewhere {
    fn load(
        here: &Repository,
        catalog: &Catalog,
        copies: &[Copy],
        untold: &BTreeMap<(KeyId, SegmentPrefix), &Label>,
    ) -> Result<Self, VerifyError> {
        let mut all = Self { places: Vec::new(), told: HashMap::new() };
        for copy in copies {
            let mut places: HashMap<SegmentId, Vec<SegmentLine>> = HashMap::new();
            let theirs = here.over(Arc::clone(&copy.store));
            for object in copy.store.list("index/")? {
                let Ok(index) = index::read(&theirs, catalog, &object.name) else { continue };
                let teller = index.header.writer;
                for line in index.segments {
                    let segment = (line.key, line.segment.prefix());
                    let believed = |owner: &Label| *owner == teller || here.trust().is_maintainer(&teller);
                    if !line.chunks.is_empty() && untold.get(&segment).is_some_and(|owner| believed(owner)) {
                        all.told.entry(segment).or_default().push(line.clone());
                    }
                    places.entry(line.segment).or_default().push(line);
                }
            }
            all.places.push(places);
        }
        Ok(all)
    }

    fn find(&self, id: SegmentId, lines: &[SegmentLine], copies: &[Copy]) -> Option<(SegmentLine, usize)> {
        let chunks = lines.first().map(|line| line.chunks.clone()).unwrap_or_default();
        copies.iter().enumerate().zip(&self.places).find_map(|((at, copy), places)| {
            let more = places.get(&id).into_iter().flatten();
            let line =
                lines.iter().chain(more).find(|line| segment_at(copy.store.as_ref(), line).is_some())?;
            Some((SegmentLine { chunks: chunks.clone(), ..line.clone() }, at))
        })
    }
}
