//! The announced part of a replication: packs, index objects, runs, snapshots, and the commit.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::base::{hash_of, put_same};
use super::facts::{Facts, Wanted};
use super::needs::{Needs, Work};
use super::parallel::{Budget, each};
use super::{Job, Problem, moves, spared};
use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, place};
use crate::format::records::{CopiedFrom, Recorded, ReplicaBody, Task};
use crate::format::{self, CATALOGED_STORED_MAX, FORMAT_VERSION};
use crate::ids::{ObjectHash, ObjectName, PackId};
use crate::observe::{Event, Observer};
use crate::repository::catalog::Catalog;
use crate::repository::maintainer::{Maintainer, MaintenanceRun};
use crate::repository::{JudgedAt, Principal, RepositoryError, ledger, pack};
use crate::store::{Created, Store, StoreErrorKind};
use crate::units::{Bytes, LockClass};

/// Packs are read in pieces of this length.
const PIECE: Bytes = Bytes::mib(8);
/// So many objects are named by one ledger entry, which then has about 3 MiB.
const OBJECTS_PER_ENTRY: usize = 20_000;
/// What vanished or proved damaged is looked for elsewhere so often.
const ROUNDS: usize = 4;

/// Copies in an announced run and commits: the commit's name, and the snapshots in it.
pub(super) fn run(
    job: &Job<'_>,
    reader: &Maintainer<'_>,
    maintainer: &Maintainer<'_>,
    observer: &dyn Observer,
    problems: &mut Vec<Problem>,
) -> Result<(Option<ObjectName>, Vec<ObjectName>), RepositoryError> {
    let mut run = maintainer.begin(Task::Replicate)?;
    observer.tell(Event::Run(run.id()));
    // Announced first, the replica's gc records read second: a collector either was seen or waits for this run.
    let mut facts = Facts::load(job, maintainer.repository(), reader.catalog(), problems)?;
    let load = |facts: &Facts| {
        let mut told = Vec::new();
        let (source, here) = (job.source, maintainer.repository());
        let needs = Needs::load(source, here, reader.catalog(), facts, observer, &mut told)?;
        Ok::<_, RepositoryError>((needs, told))
    };
    let (mut needs, told) = load(&facts)?;
    problems.extend(told);
    for _ in 0..ROUNDS {
        let work = needs.evaluate(&facts.packs);
        let vanished = copy_packs(job, reader.catalog(), &work, &mut facts, observer, problems)?;
        moves::put(job, reader, maintainer, &mut run, &work, (&mut facts, &mut needs), problems)?;
        if vanished {
            // Collected meanwhile: the index says where its segments are now.
            let before = facts.packs;
            facts = Facts::load(job, maintainer.repository(), reader.catalog(), problems)?;
            (facts.packs.spoilt, facts.packs.given_up) = (before.spoilt, before.given_up);
            needs = load(&facts)?.0;
        } else if work.packs.is_empty() && work.moves.is_empty() {
            break;
        }
    }
    let mut work = needs.evaluate(&facts.packs);
    spared::spare(&needs, &mut work, (job.source, maintainer.repository()), reader.catalog())?;
    problems.extend(needs.problems(&work));
    let unfinished = !work.packs.is_empty() || !work.moves.is_empty();
    let whole: Vec<&Wanted> =
        facts.snapshots.iter().filter(|one| !unfinished && needs.is_whole(one, &work)).collect();
    observer.tell(Event::Phase("copying snapshots"));
    let records = Records { job, facts: &facts, observer, damaged: Mutex::default() };
    let copied = records.copy(&needs, &work, &whole)?;
    problems.extend(records.damaged.into_inner().unwrap_or_else(PoisonError::into_inner));
    let named = named_by_own(maintainer)?;
    record(job, &mut run, &facts, &work, copied, &named)?;
    let fresh: Vec<Recorded> =
        whole.iter().filter(|one| !one.committed).map(|one| one.stored.clone()).collect();
    let committed = fresh.iter().map(|one| one.0.clone()).collect();
    let name = commit(job, reader, &mut run, &facts, fresh)?;
    run.finish()?;
    Ok((Some(name), committed))
}

/// Copies packs as they are; whether one was gone. The replica's packs in `facts` are then what they are by now.
fn copy_packs(
    job: &Job<'_>,
    catalog: &Catalog,
    work: &Work,
    facts: &mut Facts,
    observer: &dyn Observer,
    problems: &mut Vec<Problem>,
) -> Result<bool, RepositoryError> {
    observer.tell(Event::Phase("copying packs"));
    let budget = Budget::new(job.memory);
    let packs: Vec<(PackId, Bytes)> = work.packs.iter().map(|(pack, length)| (*pack, *length)).collect();
    let done = Mutex::new(Vec::with_capacity(packs.len()));
    each(&packs, job.threads, observer, |(pack, length)| {
        let part = budget.take(*length);
        let copied = copy_pack(job, catalog, *pack, *length, observer)?;
        drop(part);
        done.lock().unwrap_or_else(PoisonError::into_inner).push((*pack, *length, copied));
        Ok(())
    })?;
    let mut vanished = false;
    for (pack, length, copied) in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match copied {
            Copied::Whole => {
                facts.packs.replica.insert(pack, length);
            }
            Copied::Gone => {
                facts.packs.source.remove(&pack);
                vanished = true;
            }
            Copied::Damaged(why) => {
                facts.packs.spoilt.insert(pack);
                problems.push(Problem::new(names::pack(pack)?.as_str(), why));
            }
        }
    }
    Ok(vanished)
}

/// What came of a pack.
enum Copied {
    Whole,
    /// A collector took it.
    Gone,
    /// Its segments are looked at one by one.
    Damaged(&'static str),
}

fn copy_pack(
    job: &Job<'_>,
    catalog: &Catalog,
    pack: PackId,
    whole: Bytes,
    observer: &dyn Observer,
) -> Result<Copied, RepositoryError> {
    let name = names::pack(pack)?;
    let mut bytes = Vec::with_capacity(usize::try_from(whole.0).unwrap_or_default());
    let mut done = Bytes::ZERO;
    while done < whole {
        let length = Bytes(whole.0 - done.0).min(PIECE);
        match job.source.store().read_range(&name, done, length, &mut bytes) {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(Copied::Gone),
            Err(error) if matches!(error.kind, StoreErrorKind::Short { .. }) => {
                return Ok(Copied::Damaged("it is shorter than it was"));
            }
            Err(error) => return Err(RepositoryError::store(name.as_str(), error)),
        }
        done += length;
        observer.tell(Event::Progress { items: u64::from(done == whole), bytes: length });
    }
    if sha256(&bytes) != *pack.as_bytes() {
        return Ok(Copied::Damaged("its bytes are not those that were stored: their SHA-256 is another"));
    }
    let failed = |error| RepositoryError::store(name.as_str(), error);
    // Its own table says for how long it is to be locked; where that is damaged, nothing relies on it but by the index.
    let class = match pack::class_of(&bytes, catalog, name.as_str()) {
        Ok(class) => class,
        Err(error) => {
            tracing::warn!(%error, "taken for one of the normal class");
            LockClass::Normal
        }
    };
    if job.replica.create_as(&name, &bytes, class).map_err(failed)? == Created::Exists {
        let there = job.replica.stat(&name).map_err(failed)?;
        if there.is_none_or(|there| there.length != whole) {
            return Ok(Copied::Damaged("what stands under its name in the replica is of another length"));
        }
    }
    Ok(Copied::Whole)
}

/// Copies index objects, runs and snapshots.
struct Records<'c> {
    job: &'c Job<'c>,
    facts: &'c Facts,
    observer: &'c dyn Observer,
    /// What is damaged in the replica itself.
    damaged: Mutex<Vec<Problem>>,
}

/// A signed object to be copied: its hash, where somebody said it.
type Signed = (ObjectName, Kind, Option<ObjectHash>);

impl Records<'_> {
    /// Copies what is not there; gives all of it, with hashes.
    fn copy(&self, needs: &Needs, work: &Work, whole: &[&Wanted]) -> Result<Vec<Recorded>, RepositoryError> {
        let known = |name: &ObjectName| self.facts.recorded.get(name).map(|record| record.hash);
        // What this run put itself is recorded already.
        let own = |name: &ObjectName| {
            !self.facts.replica.contains_key(name) && !self.facts.source.contains_key(name)
        };
        let indexes = work.indexes.iter().filter_map(|number| needs.indexes.get(*number));
        let indexes = indexes.filter(|index| !own(&index.name));
        let indexes = indexes.map(|index| (index.name.clone(), Kind::Index, known(&index.name)));
        let runs = whole.iter().map(|one| {
            let name = names::run(&one.writer, one.run)?;
            let hash = known(&name);
            Ok((name, Kind::Run, hash))
        });
        let runs = runs.collect::<Result<Vec<Signed>, RepositoryError>>()?;
        let snapshots = whole.iter().map(|one| (one.stored.0.clone(), Kind::Snapshot, Some(one.stored.1)));
        let mut all = Vec::new();
        for group in [indexes.collect(), runs, snapshots.collect::<Vec<Signed>>()] {
            let done = Mutex::new(Vec::with_capacity(group.len()));
            each(&group, self.job.threads, self.observer, |one| {
                let recorded = self.one(one)?;
                done.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
                Ok(())
            })?;
            all.extend(done.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(all)
    }

    /// Copies an object that is not there yet. Nobody has to have said its hash: what was put just before its run was cut
    /// off is in no ledger. Then one that is there is read, and where it is damaged the replica's ledger names what the
    /// source has, by which `repair` finds it and puts it right.
    fn one(&self, one: &Signed) -> Result<Recorded, RepositoryError> {
        let (name, _, hash) = one;
        let Some(length) = self.facts.replica.get(name) else {
            let (recorded, bytes) = self.read(one, self.job.source.store())?;
            put_same(self.job, name, &bytes)?;
            self.observer.tell(Event::Progress { items: 1, bytes: Bytes::of(&bytes) });
            return Ok(recorded);
        };
        if let Some(hash) = hash {
            return Ok(Recorded(name.clone(), *hash, *length));
        }
        match self.read(one, self.job.replica.as_ref()) {
            Err(error) if error.is_damage() && self.facts.source.contains_key(name) => {
                let (recorded, _) = self.read(one, self.job.source.store())?;
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                damaged.push(Problem::new(name.as_str(), "it is damaged in the replica: repair the replica"));
                Ok(recorded)
            }
            other => Ok(other?.0),
        }
    }

    fn read(
        &self,
        (name, kind, hash): &Signed,
        store: &dyn Store,
    ) -> Result<(Recorded, Vec<u8>), RepositoryError> {
        let bytes = store
            .read(name, CATALOGED_STORED_MAX)
            .map_err(|error| RepositoryError::store_read(name.as_str(), error))?;
        let at = match place(name) {
            Some(Place::Index(_, run, _) | Place::Run(_, run) | Place::Snapshot(_, run)) => run.moment(),
            _ => return Err(RepositoryError::damaged(name.as_str(), "no such object is copied")),
        };
        let signed = self.job.source.check_signed(name, bytes.clone(), &[*kind], JudgedAt::Moment(at))?;
        if hash.is_some_and(|hash| hash != signed.hash) {
            return Err(RepositoryError::damaged(
                name.as_str(),
                "it is well signed, but not the object that its writer's ledger names; `lifeboat verify` says more",
            ));
        }
        Ok((Recorded(name.clone(), signed.hash, signed.length), bytes))
    }
}

/// What the replica's own maintainers' ledgers name already.
fn named_by_own(maintainer: &Maintainer<'_>) -> Result<HashSet<ObjectName>, RepositoryError> {
    let here = maintainer.repository();
    let mut named = HashSet::new();
    for writer in ledger::newest(here)?.into_keys().filter(|writer| here.trust().is_maintainer(writer)) {
        for seq in ledger::numbers(here, &writer)? {
            match ledger::read_entry(here, &writer, seq) {
                Ok(entry) => named.extend(entry.body.objects.into_iter().map(|object| object.0)),
                Err(error) if error.is_damage() => tracing::warn!(%error, "passed over"),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(named)
}

/// Names in the replica's ledger whatever its snapshots rely on and no entry names: what this run copied, and what one
/// left that was cut off.
fn record(
    job: &Job<'_>,
    run: &mut MaintenanceRun<'_>,
    facts: &Facts,
    work: &Work,
    copied: Vec<Recorded>,
    named: &HashSet<ObjectName>,
) -> Result<(), RepositoryError> {
    let mut all = copied;
    for (pack, length) in &work.used {
        all.push(Recorded(names::pack(*pack)?, ObjectHash::from_bytes(*pack.as_bytes()), *length));
    }
    all.retain(|object| !named.contains(&object.0));
    let keys = job.replica.list("keys/").and_then(|keys| Ok((keys, job.replica.list("cards/")?)));
    let (keys, cards) = keys.map_err(|error| RepositoryError::store("keys/", error))?;
    for object in keys.into_iter().chain(cards).filter(|object| !named.contains(&object.name)) {
        match place(&object.name) {
            // Of what is erased graves are there, which nobody records.
            Some(Place::Key(_, _, key) | Place::Card(_, key)) if !facts.is_erased(key) => {}
            _ => continue,
        }
        let hash = match facts.recorded.get(&object.name) {
            Some(record) => record.hash,
            None => {
                let read = job.replica.read(&object.name, format::RECORD_MAX);
                hash_of(&read.map_err(|error| RepositoryError::store(object.name.as_str(), error))?)
            }
        };
        all.push(Recorded(object.name, hash, object.length));
    }
    for (number, object) in all.into_iter().enumerate() {
        if number > 0 && number % OBJECTS_PER_ENTRY == 0 {
            run.enter()?;
        }
        run.record(object);
    }
    run.enter()
}

/// Takes the run's commit name.
fn commit(
    job: &Job<'_>,
    reader: &Maintainer<'_>,
    run: &mut MaintenanceRun<'_>,
    facts: &Facts,
    snapshots: Vec<Recorded>,
) -> Result<ObjectName, RepositoryError> {
    let mut heads = BTreeMap::new();
    for name in facts.source.keys() {
        if let Some(Place::Ledger(writer, seq)) = place(name)
            && super::base::is_copied(job.source, &writer, seq)
        {
            heads.insert(writer, seq);
        }
    }
    let heads = heads
        .into_iter()
        .map(|(writer, seq)| {
            let head = ledger::read_entry(job.source, &writer, seq)?.head;
            Ok((writer, head))
        })
        .collect::<Result<_, RepositoryError>>()?;
    let agent = run.agent();
    let body = ReplicaBody {
        format: FORMAT_VERSION,
        run: run.id(),
        writer: agent.writer().clone(),
        time: job.clock.now(),
        from: CopiedFrom { trust: job.source.trust().head, heads },
        snapshots,
    };
    let name = names::replica(run.id())?;
    let plain = format::encode(&body, "replication")
        .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
    let object = agent.sign(&name, Kind::Replica, &reader.catalog().seal(&plain, name.as_str())?)?;
    let failed = |error| RepositoryError::store(name.as_str(), error);
    if job.replica.create(&name, &object).map_err(failed)? == Created::Exists {
        let there = job.replica.read(&name, CATALOGED_STORED_MAX).map_err(failed)?;
        if hash_of(&there) != hash_of(&object) {
            let fence = job.source.check_signed(&name, there, &[Kind::Fence], JudgedAt::Any);
            let fenced = fence.is_ok_and(|signed| matches!(signed.principal, Principal::Maintainer(_)));
            let what = if fenced {
                "a collector of the replica ended this replication because it took too long; nothing is lost: run it \
                 again, and it goes on from what was copied"
            } else {
                "somebody else put something in the place of this run's commit; nothing is lost: find out who may write \
                 to this store besides its maintainers, then run it again"
            };
            return Err(RepositoryError::refused(name.as_str(), what));
        }
    }
    run.record(Recorded(name.clone(), hash_of(&object), Bytes::of(&object)));
    Ok(name)
}
