//! What runs that were cut off left behind: whole objects of this writer that no ledger entry names. FORMAT.md §12.
//!
//! Later runs use them (a key, the packs of an index object), so they must be recorded, or nobody would miss them
//! if they vanished. The next run of the writer records them in its first entry. Recording one twice does no harm.
//!
//! Which of the writer's runs may have left something, every ledger entry says: so a run reads the newest entry,
//! not all of them, however many were cut off before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, place};
use crate::format::records::{Census, LedgerBody, OpenRun, Recorded, RunBody, Task};
use crate::format::{self, CATALOGED_STORED_MAX, RECORD_MAX};
use crate::ids::{Label, ObjectHash, ObjectName, PackId, RunId};
use crate::repository::agent::Agent;
use crate::repository::ledger;
use crate::repository::{JudgedAt, RepositoryError, index};
use crate::store::Listed;
use crate::units::Bytes;

/// What a run knows of its writer's runs, itself included.
#[derive(Debug, Default)]
pub(crate) struct OwnRuns {
    known: BTreeSet<RunId>,
    open: BTreeMap<RunId, Named>,
}

/// How many objects of an open run entries name: its first index objects, and its cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) indexes: u32,
    pub(crate) cards: u32,
}

impl OwnRuns {
    /// As an entry says it.
    pub(crate) fn stored(&self, writer: &Label) -> Result<(Census, Vec<OpenRun>), RepositoryError> {
        let known = run_names(writer, self.known.iter())?;
        let open = self.open.iter().map(|(run, named)| OpenRun(*run, named.indexes, named.cards));
        Ok((Census::of(known.iter()), open.collect()))
    }

    /// Takes in what another run of the writer appended meanwhile.
    pub(crate) fn see(&mut self, entry: &LedgerBody) {
        for OpenRun(run, indexes, cards) in &entry.open {
            if self.known.insert(*run) || *run == entry.run {
                self.open.insert(*run, Named { indexes: *indexes, cards: *cards });
            }
        }
        self.known.insert(entry.run);
        if entry.checkpoint.is_some() {
            self.open.remove(&entry.run);
        }
    }

    /// Notes how far a run's objects are named by the entry to come; `None` where it is the run's last.
    pub(crate) fn note(&mut self, run: RunId, named: Option<Named>) {
        self.known.insert(run);
        match named {
            Some(named) => self.open.insert(run, named),
            None => self.open.remove(&run),
        };
    }
}

/// What a run is for. Two runs of one writer for the same purpose never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// What it backs up; nothing unless it is a backup.
    pub(crate) component: Option<Label>,
    pub(crate) task: Task,
}

/// What runs of this writer left that no entry names, as `current` begins for `purpose` behind the entry `newest`;
/// and what the entries to come say of the writer's runs.
///
/// # Errors
/// The store failed. What is damaged is passed over: nothing may rely on it.
pub(crate) fn unrecorded(
    agent: &Agent<'_>,
    purpose: &Purpose,
    current: RunId,
    newest: Option<&LedgerBody>,
) -> Result<(OwnRuns, Vec<Recorded>), RepositoryError> {
    let mut listed = list(agent, &format!("runs/{}/", agent.writer()))?;
    listed.retain(|object| matches!(place(&object.name), Some(Place::Run(_, run)) if run != current));
    let past = match newest {
        None => Past::default(),
        Some(entry) => match recall(entry, &listed) {
            Some(past) => past,
            None => reread(agent)?,
        },
    };
    let mut own = OwnRuns::default();
    let mut candidates = BTreeSet::new();
    for object in &listed {
        let Some(Place::Run(_, run)) = place(&object.name) else { continue };
        own.known.insert(run);
        if !past.ended.contains(&run) {
            candidates.insert(run);
        }
    }
    own.known.insert(current);
    if candidates.is_empty() {
        return Ok((own, Vec::new()));
    }
    let mut adopter = Adopter::new(agent, purpose, &candidates, past)?;
    for run in candidates {
        if let Some(named) = adopter.look_at(run)? {
            own.open.insert(run, named);
        }
    }
    Ok((own, adopter.found))
}

/// What entries say of runs.
#[derive(Debug, Default)]
struct Past {
    ended: HashSet<RunId>,
    open: HashMap<RunId, Named>,
    /// What entries name; filled only where the whole ledger had to be read.
    named: HashSet<ObjectName>,
}

/// What the newest entry says of the runs listed; nothing where its census is of none of them. Those it counted are
/// the oldest, by name or, where the writer's clock went back, by the store's clock.
fn recall(entry: &LedgerBody, listed: &[Listed]) -> Option<Past> {
    let census = entry.runs?;
    let count = usize::try_from(census.0).ok()?;
    let by_name: Vec<&ObjectName> = listed.iter().map(|object| &object.name).collect();
    let mut by_age: Vec<&Listed> = listed.iter().collect();
    by_age.sort_by_key(|object| object.modified);
    let by_age: Vec<&ObjectName> = by_age.into_iter().map(|object| &object.name).collect();
    let counted = [by_name, by_age].into_iter().find_map(|names| {
        let oldest = names.get(..count)?.to_vec();
        (Census::of(oldest.iter().copied()) == census).then_some(oldest)
    })?;
    let open: HashMap<RunId, Named> = entry
        .open
        .iter()
        .map(|OpenRun(run, indexes, cards)| (*run, Named { indexes: *indexes, cards: *cards }))
        .collect();
    let ended = counted.into_iter().filter_map(|name| match place(name) {
        Some(Place::Run(_, run)) if !open.contains_key(&run) => Some(run),
        _ => None,
    });
    Some(Past { ended: ended.collect(), open, named: HashSet::new() })
}

/// The same from all entries, for the runs of which the newest cannot tell. A damaged entry tells nothing; what it
/// named is recorded once more.
fn reread(agent: &Agent<'_>) -> Result<Past, RepositoryError> {
    let mut past = Past::default();
    for seq in ledger::numbers(agent.repository(), agent.writer())? {
        match ledger::read_entry(agent.repository(), agent.writer(), seq) {
            Ok(entry) => {
                past.named.extend(entry.body.objects.into_iter().map(|object| object.0));
                if entry.body.checkpoint.is_some() {
                    past.ended.insert(entry.body.run);
                }
            }
            Err(error) if error.is_damage() => tracing::warn!(%error, "passed over"),
            Err(error) => return Err(error),
        }
    }
    Ok(past)
}

/// Looks at runs that may have left something.
struct Adopter<'a, 'r> {
    agent: &'a Agent<'r>,
    purpose: &'a Purpose,
    past: Past,
    /// What stands under the names of snapshots of the runs looked at.
    snapshots: HashMap<RunId, ObjectName>,
    /// Their index objects, in order.
    indexes: HashMap<RunId, Vec<ObjectName>>,
    cards: HashMap<RunId, u32>,
    /// Packs that are there; listed once an index object is to be recorded.
    packs: Option<HashMap<PackId, Bytes>>,
    found: Vec<Recorded>,
}

impl<'a, 'r> Adopter<'a, 'r> {
    fn new(
        agent: &'a Agent<'r>,
        purpose: &'a Purpose,
        runs: &BTreeSet<RunId>,
        past: Past,
    ) -> Result<Self, RepositoryError> {
        let snapshots =
            list(agent, "snapshots/")?.into_iter().filter_map(|object| match place(&object.name) {
                Some(Place::Snapshot(_, run)) if runs.contains(&run) => Some((run, object.name)),
                _ => None,
            });
        let snapshots = snapshots.collect();
        let mut indexes: HashMap<RunId, Vec<ObjectName>> = HashMap::new();
        for name in index::names_of(agent.repository(), agent.writer())? {
            if let Some(Place::Index(_, run, _)) = place(&name)
                && runs.contains(&run)
            {
                indexes.entry(run).or_default().push(name);
            }
        }
        let cards = agent.cards_made(runs);
        Ok(Self { agent, purpose, past, snapshots, indexes, cards, packs: None, found: Vec::new() })
    }

    /// Adopts what a run left; how much of it is then named, if the run may put more.
    fn look_at(&mut self, run: RunId) -> Result<Option<Named>, RepositoryError> {
        let before = self.past.open.get(&run).copied();
        let indexes = self.indexes.remove(&run).unwrap_or_default();
        let cards = self.cards.get(&run).copied().unwrap_or_default();
        let now = Named { indexes: u32::try_from(indexes.len()).unwrap_or(u32::MAX), cards };
        let name = names::run(self.agent.writer(), run)?;
        let announced = read_run(self.agent, &name)?;
        let known = before.unwrap_or_default();
        if before.is_none()
            && let Some((recorded, _)) = &announced
        {
            self.add(recorded.clone());
        }
        for index in indexes.iter().skip(known.indexes as usize) {
            self.adopt_index(index)?;
        }
        if now.cards != known.cards {
            for object in self.agent.made_by(run)? {
                self.add(object);
            }
        }
        // The snapshot is the last that a run puts. A fence may stand there long before the run finds it.
        let committed = match self.snapshots.remove(&run) {
            Some(name) => {
                own(self.agent, &name, Kind::Snapshot)?.map(|(hash, length)| Recorded(name, hash, length))
            }
            None => None,
        };
        let ended = committed.is_some() || announced.is_some_and(|(_, announced)| announced == *self.purpose);
        if let Some(snapshot) = committed {
            self.add(snapshot);
        }
        Ok((!ended).then_some(now))
    }

    fn add(&mut self, object: Recorded) {
        if !self.past.named.contains(&object.0) {
            self.found.push(object);
        }
    }

    /// An index object and its packs, as far as they are there at their length: others are not used either.
    fn adopt_index(&mut self, name: &ObjectName) -> Result<(), RepositoryError> {
        let Some((hash, length)) = own(self.agent, name, Kind::Index)? else { return Ok(()) };
        let index = match index::read(self.agent.repository(), self.agent.catalog(), name) {
            Ok(index) => index,
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "left by a run that was cut off; passed over");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.add(Recorded(name.clone(), hash, length));
        if self.packs.is_none() {
            let listed = list(self.agent, "packs/")?;
            let packs = listed.iter().filter_map(|object| match place(&object.name) {
                Some(Place::Pack(pack)) => Some((pack, object.length)),
                _ => None,
            });
            self.packs = Some(packs.collect());
        }
        for pack in index.header.packs {
            if self.packs.as_ref().is_some_and(|there| there.get(&pack.0) == Some(&pack.1)) {
                self.add(Recorded(names::pack(pack.0)?, ObjectHash::from_bytes(*pack.0.as_bytes()), pack.1));
            }
        }
        Ok(())
    }
}

fn list(agent: &Agent<'_>, prefix: &str) -> Result<Vec<Listed>, RepositoryError> {
    agent.repository().store().list(prefix).map_err(|error| RepositoryError::store(prefix, error))
}

fn run_names<'a>(
    writer: &Label,
    runs: impl Iterator<Item = &'a RunId>,
) -> Result<Vec<ObjectName>, RepositoryError> {
    Ok(runs.map(|run| names::run(writer, *run)).collect::<Result<_, _>>()?)
}

/// A run object of this writer, and what it announces; `None` where it is damaged or another's.
fn read_run(agent: &Agent<'_>, name: &ObjectName) -> Result<Option<(Recorded, Purpose)>, RepositoryError> {
    let signed = match agent.repository().read_signed(name, &[Kind::Run], JudgedAt::Any, RECORD_MAX) {
        Ok(signed) if signed.principal.is_writer(agent.writer()) => signed,
        Ok(_) => return Ok(None),
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(format::decode::<RunBody>(&signed.body, "run").ok().map(|body| {
        let purpose = Purpose { component: body.component, task: body.task };
        (Recorded(name.clone(), signed.hash, signed.length), purpose)
    }))
}

/// Hash and length of an object, if it is one that this writer signed. A fence in a snapshot's place is not.
pub(crate) fn own(
    agent: &Agent<'_>,
    name: &ObjectName,
    kind: Kind,
) -> Result<Option<(ObjectHash, Bytes)>, RepositoryError> {
    match agent.repository().read_signed(name, &[kind], JudgedAt::Any, CATALOGED_STORED_MAX) {
        Ok(signed) if signed.principal.is_writer(agent.writer()) => Ok(Some((signed.hash, signed.length))),
        Ok(_) => Ok(None),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}
