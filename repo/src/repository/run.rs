//! A run: from its announcement to the commit that either happens whole or not at all. FORMAT.md §11.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::CATALOGED_STORED_MAX;
use crate::format::index::{PackRef, SegmentLine};
use crate::format::names::{self, Place, place};
use crate::format::records::{Head, Recorded, Task};
use crate::format::snapshot::Snapshot;
use crate::ids::{Label, ObjectName, PackId, RunId, Tenant};
use crate::repository::adopt::{self, Purpose};
use crate::repository::agent::{Agent, Card, recorded};
use crate::repository::erasures::Erasures;
use crate::repository::floor;
use crate::repository::gc::Condemned;
use crate::repository::index::{self, DedupTable};
use crate::repository::journal::Journal;
use crate::repository::moved::Moved;
use crate::repository::pack::StagedPack;
use crate::repository::{JudgedAt, Principal, RepositoryError};
use crate::store::Created;
use crate::units::{Bytes, LockClass, Timestamp};

/// Packs between two index objects: so much at the most is uploaded again after an interruption.
pub const PACKS_PER_INDEX: usize = 64;

/// One execution of one writer on one component.
pub struct Run<'r> {
    journal: Journal<'r>,
    component: Label,
    lock: LockClass,
    condemned: Condemned,
    /// What was under the component's name when the run began.
    seen: BTreeSet<ObjectName>,
    packs: Vec<PackRef>,
    segments: Vec<SegmentLine>,
    /// Where maintainers moved segments to; read once something is not where it was.
    moved: Option<Arc<Moved>>,
}

/// A committed run.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The snapshot's object name.
    pub name: ObjectName,
    /// The ledger entry that holds the checkpoint.
    pub head: Head,
    /// The index objects that the run put.
    pub indexes: Vec<ObjectName>,
}

impl<'r> Run<'r> {
    /// Announces a run, then learns what is condemned.
    ///
    /// # Errors
    /// The writer may not snapshot this component, something is damaged, or the store failed.
    pub fn begin(agent: Agent<'r>, component: &Label) -> Result<Self, RepositoryError> {
        let id = agent.new_run()?;
        may_snapshot(&agent, component, id)?;
        let repository = agent.repository;
        let purpose = Purpose { component: Some(component.clone()), task: Task::Backup };
        let mut journal = Journal::announce(agent, id, purpose)?;
        // Announced first, plans listed second: whoever collects either was seen or waits for this run.
        let condemned = Condemned::load(repository)?;
        // Nor may a key go below a seal whose keys nobody will look for again.
        journal.agent.renew_seal()?;
        let mut run = Self {
            journal,
            component: component.clone(),
            lock: LockClass::Normal,
            condemned,
            seen: BTreeSet::new(),
            packs: Vec::new(),
            segments: Vec::new(),
            moved: None,
        };
        run.seen = run.snapshot_names()?;
        run.journal.catch_up()?;
        Ok(run)
    }

    /// The same, of what is locked as this class: it relies on packs of that class alone.
    #[must_use]
    pub fn locked_as(self, lock: LockClass) -> Self {
        Self { lock, ..self }
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.journal.id
    }

    /// The writer at work.
    #[must_use]
    pub fn agent(&self) -> &Agent<'r> {
        &self.journal.agent
    }

    /// What is condemned.
    #[must_use]
    pub fn condemned(&self) -> &Condemned {
        &self.condemned
    }

    /// The card of a tenant; a new key is made and stored where there is none.
    ///
    /// # Errors
    /// The key could not be confirmed stored.
    pub fn card(&mut self, tenant: &Tenant) -> Result<Arc<Card>, RepositoryError> {
        if self.agent().is_erased(tenant) {
            return Err(self.erased("it takes no data of that tenant"));
        }
        if let Some(card) = self.agent().card(tenant) {
            return Ok(card);
        }
        let (card, recorded) = self.journal.agent.make_key(tenant, self.journal.id)?;
        self.journal.record_card(recorded);
        Ok(card)
    }

    /// Packs that are there at their full length, not condemned, and locked for long enough: what may be relied on.
    ///
    /// # Errors
    /// The store failed.
    pub fn present_packs(&self) -> Result<HashMap<PackId, Bytes>, RepositoryError> {
        let store = self.agent().repository.store();
        let failed = |error| RepositoryError::store("packs/", error);
        let listed = store.list("packs/").map_err(failed)?;
        let terms = store.lock_terms(self.lock);
        // Without locks age does not matter, and nobody need be asked for the time.
        let timeless = terms.is_none() && self.lock.is_normal();
        let now = if timeless { Timestamp::default() } else { store.now().map_err(failed)? };
        Ok(floor::reliable(&listed, &self.condemned, self.lock, terms, now))
    }

    /// The moment of the oldest snapshot of this component and writer that is kept: so far back snapshots need what the
    /// writer stored. None where there is none, or where nothing of the component ever expired: then nobody can tell for
    /// how long they will.
    ///
    /// # Errors
    /// The store failed.
    pub fn oldest_kept(&self) -> Result<Option<Timestamp>, RepositoryError> {
        if !self.condemned.expires_any_of(&self.component) {
            return Ok(None);
        }
        for name in self.seen.iter().filter(|name| !self.condemned.snapshot(name)) {
            if let Some(Place::Snapshot(_, run)) = place(name)
                && adopt::own(self.agent(), name, Kind::Snapshot)?.is_some()
            {
                return Ok(Some(run.moment()));
            }
        }
        Ok(None)
    }

    /// The index objects that say where the writer's segments lie, and are not condemned: its own, and maintainers'.
    ///
    /// # Errors
    /// The store failed.
    pub fn index_names(&self) -> Result<Vec<ObjectName>, RepositoryError> {
        let mut names = index::names_for(self.agent().repository, self.agent().writer())?;
        names.retain(|name| !self.condemned.index(name));
        Ok(names)
    }

    /// Where maintainers moved segments to, as far as packs are present. It is read once, when something is asked for that
    /// is not where it was. A revoked maintainer is not believed: whoever relies on a place must be able to.
    ///
    /// # Errors
    /// The store failed.
    pub fn moved(&mut self, present: &HashMap<PackId, Bytes>) -> Result<Arc<Moved>, RepositoryError> {
        if let Some(moved) = &self.moved {
            return Ok(Arc::clone(moved));
        }
        let moved = Arc::new(Moved::load(self.agent(), &self.condemned, present)?);
        self.moved = Some(Arc::clone(&moved));
        Ok(moved)
    }

    /// Reads the writer's own index into a table to deduplicate with, as far as packs are present, or segments were moved
    /// to packs that are. Index objects that the table knows `already` are passed over. Gives why others were: they are
    /// damaged, and what only they know is to be stored again.
    ///
    /// # Errors
    /// The store failed.
    pub fn load_index(
        &mut self,
        present: &HashMap<PackId, Bytes>,
        already: &HashSet<ObjectName>,
        table: &mut DedupTable,
    ) -> Result<Vec<RepositoryError>, RepositoryError> {
        let mut damaged = Vec::new();
        let names = index::names_of(self.agent().repository, self.agent().writer())?.into_iter();
        let names: Vec<ObjectName> =
            names.filter(|name| !already.contains(name) && !self.condemned.index(name)).collect();
        let _ahead = self.agent().repository.expect(names.iter().cloned());
        for name in names {
            let index = match index::read(self.agent().repository, self.agent().catalog(), &name) {
                Ok(index) => index,
                Err(error) if error.is_damage() => {
                    damaged.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let named = &index.header.packs;
            let whole: HashSet<PackId> = named
                .iter()
                .filter(|pack| present.get(&pack.0) == Some(&pack.1))
                .map(|pack| pack.0)
                .collect();
            let mut segments = index.segments;
            segments.retain(|line| line.lock == self.lock);
            let moved = if whole.len() < named.len() { Some(self.moved(present)?) } else { None };
            table.absorb(&segments, |segment, pack| {
                let moved = || moved.as_ref().and_then(|moved| moved.find(&segment));
                if whole.contains(&pack) { Some(pack) } else { moved() }
            });
        }
        table.settle();
        Ok(damaged)
    }

    /// Takes a staged pack. Every so many an index object and a ledger entry confirm them.
    ///
    /// # Errors
    /// They could not be confirmed.
    pub fn add_pack(&mut self, pack: StagedPack) -> Result<(), RepositoryError> {
        self.journal.record(Recorded(pack.name.clone(), pack.hash(), pack.pack.1));
        self.packs.push(pack.pack);
        self.segments.extend(pack.segments);
        if self.packs.len() >= PACKS_PER_INDEX { self.confirm() } else { Ok(()) }
    }

    /// Confirms all packs so far: barrier, index object, ledger entry. An interrupted run continues from here.
    ///
    /// # Errors
    /// They could not be confirmed.
    pub fn confirm(&mut self) -> Result<(), RepositoryError> {
        self.put_index()?;
        self.journal.enter()
    }

    /// Commits: everything confirmed, then the snapshot's name taken, then recorded with a checkpoint.
    ///
    /// # Errors
    /// A collector fenced the run, another run of this writer committed meanwhile, the writer was revoked, or something
    /// could not be confirmed. After an error the snapshot may exist all the same; it is then whole.
    pub fn commit(mut self, snapshot: &Snapshot) -> Result<Committed, RepositoryError> {
        self.put_index()?;
        self.refuse_overlap()?;
        let repository = self.agent().repository;
        let trust = repository.trust().renewed(repository.store())?;
        if trust.cutoff(self.agent().writer()).is_some() {
            return Err(self.journal.revoked("nothing of it was committed"));
        }
        self.refuse_erased(snapshot)?;
        let name = names::snapshot(&self.component, self.id())?;
        let plain = snapshot.encode().map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let sealed = self.agent().catalog().seal(&plain, name.as_str())?;
        let object = self.agent().sign(&name, Kind::Snapshot, &sealed)?;
        let store = repository.store();
        let created =
            store.create(&name, &object).map_err(|error| RepositoryError::store(name.as_str(), error))?;
        if created == Created::Exists {
            let there = store
                .read(&name, CATALOGED_STORED_MAX)
                .map_err(|error| RepositoryError::store(name.as_str(), error))?;
            if sha256(&there) != sha256(&object) {
                return Err(self.name_taken(&name, there));
            }
        }
        self.journal.record(recorded(&name, &object));
        let head =
            self.journal.close(&trust, &self.condemned, "its snapshot is stored and does not count")?;
        Ok(Committed { name, head, indexes: self.journal.indexes()? })
    }

    fn put_index(&mut self) -> Result<(), RepositoryError> {
        let segments = std::mem::take(&mut self.segments);
        self.journal.put_index(std::mem::take(&mut self.packs), &segments)?;
        Ok(())
    }

    /// Why another object stands in our snapshot's place.
    fn name_taken(&self, name: &ObjectName, there: Vec<u8>) -> RepositoryError {
        let fence = self.agent().repository.check_signed(name, there, &[Kind::Fence], JudgedAt::Any);
        let fenced = fence.is_ok_and(|signed| matches!(signed.principal, Principal::Maintainer(_)));
        let what = if fenced {
            "a collector ended this run because it took too long; nothing is lost, run the backup again"
        } else {
            "somebody else put something in the place of this run's snapshot; nothing is lost: find out who may write \
             to this store besides its writers and maintainers, then run the backup again"
        };
        RepositoryError::refused(name.as_str(), what)
    }

    /// Officers put a tombstone first and list keys second, so each run either sees it here or its keys are listed.
    fn refuse_erased(&self, snapshot: &Snapshot) -> Result<(), RepositoryError> {
        let agent = self.agent();
        let erasures = Erasures::load(agent.repository)?;
        let mut erased = snapshot.keys.iter().any(|share| erasures.key(share.key));
        for card in agent.cards() {
            let held = || snapshot.keys.iter().any(|share| share.key == card.key);
            erased |= agent.is_erased_by(&erasures, &card.tenant) && held();
        }
        if erased {
            return Err(self.erased("nothing of it was committed"));
        }
        Ok(())
    }

    fn erased(&self, what: &str) -> RepositoryError {
        RepositoryError::refused(
            format!("run {}", self.id()),
            format!(
                "officers erased a tenant whose data it holds; {what}; run the backup again, which leaves that tenant out"
            ),
        )
    }

    fn snapshot_names(&self) -> Result<BTreeSet<ObjectName>, RepositoryError> {
        let prefix = format!("snapshots/{}/", self.component);
        let listed = self
            .agent()
            .repository
            .store()
            .list(&prefix)
            .map_err(|error| RepositoryError::store(&prefix, error))?;
        Ok(listed.into_iter().map(|object| object.name).collect())
    }

    fn refuse_overlap(&self) -> Result<(), RepositoryError> {
        for name in self.snapshot_names()?.difference(&self.seen) {
            if adopt::own(self.agent(), name, Kind::Snapshot)?.is_some() {
                return Err(RepositoryError::refused(
                    name.as_str(),
                    format!(
                        "another run of writer {} committed this while ours was under way; two hosts must not share \
                         a writer's name, enrol each with a name of its own",
                        self.agent().writer()
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn may_snapshot(agent: &Agent<'_>, component: &Label, run: RunId) -> Result<(), RepositoryError> {
    let name = names::snapshot(component, run)?;
    let key = agent.credentials.signing.public();
    let judged = agent.repository.judge(&key, Kind::Snapshot, &name, JudgedAt::Moment(run.moment()));
    match judged {
        Ok(principal) if principal.is_writer(agent.writer()) => Ok(()),
        _ => Err(RepositoryError::refused(
            format!("writer {}", agent.writer()),
            format!(
                "it is not bound to component {component}; an officer binds it with \
                 `lifeboat keys writer add {} --component {component}`",
                agent.writer()
            ),
        )),
    }
}
