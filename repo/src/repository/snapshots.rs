//! Which snapshots there are, and which of them count. FORMAT.md §9.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::crypto::sign::Kind;
use crate::format::names::{self, Place, place};
use crate::format::records::{Census, RunBody, Task};
use crate::format::snapshot::Snapshot;
use crate::format::{self, CATALOGED_STORED_MAX, RECORD_MAX};
use crate::ids::{Label, ObjectHash, ObjectName, RunId};
use crate::repository::catalog::Catalog;
use crate::repository::gc::{self, Condemned};
use crate::repository::ledger::{self, Ledger};
use crate::repository::replicas::Replicated;
use crate::repository::{Ahead, JudgedAt, Principal, Repository, RepositoryError, Role};
use crate::store;
use crate::units::{Bytes, Timestamp};

/// How far two clocks may be apart. Beyond, one of both is wrong, and what is dated by it proves nothing.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether something under a snapshot's name counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Counts,
    /// Its run was cut off before it could record it, or in a replica the run that copied it. It can be restored by name.
    Unrecorded,
    /// A collector ended the run; there is no snapshot.
    Fenced,
    /// A gc record expired it.
    Expired,
    /// It does not count; the text says why.
    Void(String),
}

/// Something under a snapshot's name.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its object name.
    pub name: ObjectName,
    /// Its component.
    pub component: Label,
    /// Its run.
    pub run: RunId,
    /// Whether it counts.
    pub standing: Standing,
    /// The snapshot, where it could be read.
    pub snapshot: Option<Snapshot>,
    /// The SHA-256 of the object, where it could be read.
    pub hash: Option<ObjectHash>,
    /// Its stored length.
    pub length: Bytes,
    /// The gc record that expired it.
    pub expired_by: Option<ObjectName>,
    /// How far its recovery point lies after now by the store's clock, where that is more than [`CLOCKS_APART_MAX`]: its
    /// writer's clock was wrong, so it is neither the latest nor does its date say what a disaster would lose.
    pub ahead: Option<Duration>,
}

/// Everything needed to judge snapshots, read once.
pub struct Judge<'r> {
    repository: &'r Repository,
    catalog: &'r Catalog,
    condemned: Condemned,
    ledgers: BTreeMap<Label, Result<HashSet<(ObjectName, ObjectHash)>, String>>,
    runs: HashSet<ObjectName>,
    /// In a replica, what replications committed.
    replicated: Option<Replicated>,
    /// Now, by the store's clock; nothing where it does not tell.
    now: Option<Timestamp>,
}

impl<'r> Judge<'r> {
    /// Reads gc records, ledgers and the list of runs.
    ///
    /// # Errors
    /// The store failed, or gc records are damaged. A damaged ledger is no error here: its whole entries vouch
    /// for what they name, but for a revoked writer, whose ledger must hold up to its cutoff.
    pub fn new(repository: &'r Repository, catalog: &'r Catalog) -> Result<Self, RepositoryError> {
        Self::by(repository, catalog, Condemned::load(repository)?)
    }

    /// The same for whoever only brings data back: gc records that are damaged are passed over.
    ///
    /// # Errors
    /// The store failed, or a tombstone is damaged.
    pub fn to_read(repository: &'r Repository, catalog: &'r Catalog) -> Result<Self, RepositoryError> {
        Self::by(repository, catalog, Condemned::load_to_read(repository)?)
    }

    fn by(
        repository: &'r Repository,
        catalog: &'r Catalog,
        condemned: Condemned,
    ) -> Result<Self, RepositoryError> {
        let mut ledgers = BTreeMap::new();
        for (writer, newest) in ledger::newest(repository)? {
            let names = vouched(repository, &writer, newest)?;
            ledgers.insert(writer, names);
        }
        let runs =
            repository.store().list("runs/").map_err(|error| RepositoryError::store("runs/", error))?;
        let runs = runs.into_iter().map(|object| object.name).collect();
        let replicated = match repository.role() {
            Role::Primary => None,
            Role::Replica => Some(Replicated::load(repository, catalog)?),
        };
        let now = repository.store().now();
        let now =
            now.inspect_err(|error| tracing::warn!(%error, "no date ahead of the store's clock is noticed"));
        Ok(Self { repository, catalog, condemned, ledgers, runs, replicated, now: now.ok() })
    }

    /// Everything below `snapshots/` (of one component, if given), oldest first.
    ///
    /// # Errors
    /// The store failed. What is damaged is listed as void.
    pub fn list(&self, component: Option<&Label>) -> Result<Vec<Listed>, RepositoryError> {
        let mut found = Vec::new();
        self.each(component, |listed| found.push(listed))?;
        found.sort_by(|a, b| (a.run, &a.component).cmp(&(b.run, &b.component)));
        Ok(found)
    }

    /// The same, and with it as void what the ledgers name and is not there although no gc record expired it: a listing
    /// alone cannot show what somebody deleted.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list_with_gone(&self, component: Option<&Label>) -> Result<Vec<Listed>, RepositoryError> {
        let mut found = self.list(component)?;
        let there = found.iter().map(|one| one.name.clone()).collect();
        for name in self.missing(&there) {
            let Some(Place::Snapshot(of, run)) = place(&name) else { continue };
            if component.is_none_or(|wanted| *wanted == of) {
                let why = "its object is gone, although its writer's ledger names it and nothing expired it";
                found.push(Listed {
                    name,
                    component: of,
                    run,
                    standing: Standing::Void(why.into()),
                    snapshot: None,
                    hash: None,
                    length: Bytes::ZERO,
                    expired_by: None,
                    ahead: None,
                });
            }
        }
        found.sort_by(|a, b| (a.run, &a.component).cmp(&(b.run, &b.component)));
        Ok(found)
    }

    /// Snapshots one by one, by name: all snapshots together may be more than memory holds.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn each(
        &self,
        component: Option<&Label>,
        mut visit: impl FnMut(Listed),
    ) -> Result<(), RepositoryError> {
        let prefix = component.map_or_else(|| "snapshots/".to_owned(), |label| format!("snapshots/{label}/"));
        let objects =
            self.repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        let _ahead = self.look_ahead(&objects);
        for object in objects {
            if let Some(Place::Snapshot(component, run)) = place(&object.name) {
                visit(self.judge(object.name, component, run, object.length)?);
            }
        }
        Ok(())
    }

    /// Each snapshot that is not expired will be read, and then the object of its run.
    fn look_ahead(&self, objects: &[store::Listed]) -> Ahead<'_> {
        let mut runs: HashMap<RunId, &ObjectName> = HashMap::new();
        for name in &self.runs {
            if let Some(Place::Run(_, run)) = place(name) {
                runs.insert(run, name);
            }
        }
        let read = objects.iter().filter(|object| !self.condemned.snapshot(&object.name));
        self.repository.expect(read.flat_map(|object| {
            let run = match place(&object.name) {
                Some(Place::Snapshot(_, run)) => runs.get(&run).map(|name| (*name).clone()),
                _ => None,
            };
            [Some(object.name.clone()), run].into_iter().flatten()
        }))
    }

    /// Snapshots that would count and are not `there`: the ledgers name them, and no gc record expires them. In a replica
    /// those that a replication committed.
    #[must_use]
    pub fn missing(&self, there: &HashSet<ObjectName>) -> Vec<ObjectName> {
        let named = self.ledgers.values().flatten().flatten();
        let mut missing: Vec<ObjectName> = named
            .filter(|(name, hash)| {
                self.replicated.as_ref().is_none_or(|all| all.names(name, *hash))
                    && matches!(place(name), Some(Place::Snapshot(..)))
                    && !there.contains(name)
                    && !self.condemned.snapshot(name)
            })
            .map(|(name, _)| name.clone())
            .collect();
        missing.sort();
        missing
    }

    fn judge(
        &self,
        name: ObjectName,
        component: Label,
        run: RunId,
        length: Bytes,
    ) -> Result<Listed, RepositoryError> {
        let expired_by = self.condemned.expired_by(&name).cloned();
        let (snapshot, hash) = (None, None);
        let (standing, ahead) = (Standing::Expired, None);
        let mut listed = Listed { name, component, run, standing, snapshot, hash, length, expired_by, ahead };
        if listed.expired_by.is_some() {
            return Ok(listed);
        }
        match self.standing(&mut listed) {
            Ok(standing) => listed.standing = standing,
            Err(error) if error.is_damage() => {
                // Whoever tells of a snapshot names it.
                let own = error.what == listed.name.as_str();
                let why = if own { error.kind.to_string() } else { error.to_string() };
                listed.standing = Standing::Void(why);
            }
            Err(error) => return Err(error),
        }
        if let (Some(snapshot), Some(now)) = (&listed.snapshot, self.now) {
            let ahead = snapshot.recovery_point.since(now);
            listed.ahead = (ahead > CLOCKS_APART_MAX).then_some(ahead);
        }
        Ok(listed)
    }

    fn standing(&self, listed: &mut Listed) -> Result<Standing, RepositoryError> {
        let name = &listed.name;
        let at = JudgedAt::Moment(listed.run.moment());
        let kinds = [Kind::Snapshot, Kind::Fence];
        // A fence is put long after the run it ends, so its moment is in its body.
        let signed = self.repository.read_signed(name, &kinds, JudgedAt::Any, CATALOGED_STORED_MAX)?;
        if signed.kind == Kind::Fence {
            let fence: format::records::FenceBody = format::decode(&signed.body, "fence")
                .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
            let signer =
                self.repository.judge(&signed.key, Kind::Fence, name, JudgedAt::Moment(fence.time))?;
            let holds = fence.fence == listed.run && matches!(signer, Principal::Maintainer(_));
            return Ok(if holds {
                Standing::Fenced
            } else {
                Standing::Void("a fence that is not a maintainer's for this run".into())
            });
        }
        let signer = self.repository.judge(&signed.key, Kind::Snapshot, name, at)?;
        let plain = self.catalog.open(&signed.body, name.as_str())?;
        let snapshot =
            Snapshot::decode(&plain).map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let Principal::Writer(writer) = signer else {
            return Ok(Standing::Void("no writer signed it".into()));
        };
        if snapshot.component != listed.component || snapshot.run != listed.run || snapshot.writer != writer {
            return Ok(Standing::Void("it speaks of another component, run or writer than its name".into()));
        }
        listed.hash = Some(signed.hash);
        listed.snapshot = Some(snapshot);
        if let Some(why) = self.run_missing(&writer, listed)? {
            return Ok(Standing::Void(why));
        }
        Ok(match self.ledgers.get(&writer) {
            Some(Ok(names)) if names.contains(&(listed.name.clone(), signed.hash)) => {
                let copied = self.replicated.as_ref().is_none_or(|all| all.names(&listed.name, signed.hash));
                if copied { Standing::Counts } else { Standing::Unrecorded }
            }
            Some(Err(why)) => Standing::Void(format!("its writer's ledger is damaged: {why}")),
            _ if self.repository.trust().cutoff(&writer).is_some() => {
                Standing::Void("its writer was revoked before it".into())
            }
            _ => Standing::Unrecorded,
        })
    }

    fn run_missing(&self, writer: &Label, listed: &Listed) -> Result<Option<String>, RepositoryError> {
        let name = names::run(writer, listed.run)?;
        if !self.runs.contains(&name) {
            return Ok(Some("its run object is missing".into()));
        }
        let at = JudgedAt::Moment(listed.run.moment());
        let signed = self.repository.read_signed(&name, &[Kind::Run], at, RECORD_MAX)?;
        let body: RunBody = format::decode(&signed.body, "run")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let fits = body.component.as_ref() == Some(&listed.component)
            && body.task == Task::Backup
            && body.run == listed.run
            && signed.principal.is_writer(writer);
        Ok((!fits).then(|| "its run was of another component".into()))
    }

    /// What gc records condemn and expire.
    #[must_use]
    pub fn condemned(&self) -> &Condemned {
        &self.condemned
    }
}

/// What a writer's ledger vouches for. Where entries are damaged, those that are whole still vouch, each by its own
/// signature: one flipped bit must not void every snapshot of a writer. Only a revoked writer could have put
/// entries that do not count, so of one the chain must hold.
fn vouched(
    repository: &Repository,
    writer: &Label,
    newest: names::Seq,
) -> Result<Result<HashSet<(ObjectName, ObjectHash)>, String>, RepositoryError> {
    let named = |entry: &ledger::LedgerEntry| -> Vec<(ObjectName, ObjectHash)> {
        // Nothing else is asked for, and packs are many.
        let snapshots =
            entry.body.objects.iter().filter(|object| object.0.as_str().starts_with("snapshots/"));
        snapshots.map(|object| (object.0.clone(), object.1)).collect()
    };
    match Ledger::load(repository, writer, newest) {
        Ok(ledger) => return Ok(Ok(ledger.entries.iter().flat_map(named).collect())),
        Err(error) if !error.is_damage() => return Err(error),
        Err(error) if repository.trust().cutoff(writer).is_some() => return Ok(Err(error.to_string())),
        Err(error) => tracing::warn!(%error, "a ledger is damaged; its whole entries still count"),
    }
    let mut names = HashSet::new();
    for seq in ledger::numbers(repository, writer)? {
        match ledger::read_entry(repository, writer, seq) {
            Ok(entry) => names.extend(named(&entry)),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(names))
}

/// What a checkpoint says of gc records and of the snapshots and fences that none of them expires. `known` are records
/// that were read before.
///
/// Names are listed first, records after them: what is gone from the listing because it was expired and collected, a
/// record has expired that is counted too.
///
/// # Errors
/// The store failed, or a record that appeared is damaged.
pub(crate) fn census(
    repository: &Repository,
    known: &Condemned,
) -> Result<(Census, Census), RepositoryError> {
    let listed =
        repository.store().list("snapshots/").map_err(|error| RepositoryError::store("snapshots/", error))?;
    let renewed;
    let condemned = if gc::census(repository)? == known.census {
        known
    } else {
        // Whoever put it may be newer than the trust that is known here.
        renewed = Condemned::load(&repository.renewed()?)?;
        &renewed
    };
    let names = listed.iter().map(|object| &object.name);
    let names = names.filter(|name| matches!(place(name), Some(Place::Snapshot(..))));
    Ok((condemned.census, Census::of(names.filter(|name| !condemned.snapshot(name)))))
}
