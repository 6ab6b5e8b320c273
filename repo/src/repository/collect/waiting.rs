//! Which records may be swept, and what the others wait for.

use std::collections::{BTreeMap, HashSet};

use super::Knobs;
use crate::format::names::{Place, Seq, place};
use crate::format::records::GcBody;
use crate::ids::{ObjectName, PackId};
use crate::repository::gc::{self, Condemned};
use crate::repository::maintainer::{Fenced, Maintainer};
use crate::repository::open_runs::{self, Runs};
use crate::repository::{Repository, RepositoryError};
use crate::units::{Bytes, Timestamp};

/// A record that is not to be swept yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub record: Seq,
    /// When it appeared, by the store's clock.
    pub since: Timestamp,
    /// What for.
    pub what: WaitsFor,
}

/// What a record waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// It is too young until then.
    Age(Timestamp),
    /// These runs may not have seen it. Each is over once something stands at this name, or ended after that moment.
    Runs(Vec<(ObjectName, Timestamp)>),
}

/// One gc record.
pub(super) struct Record {
    seq: Seq,
    appeared: Timestamp,
    body: GcBody,
}

/// What gc records condemned and expired that is still there.
#[derive(Default)]
pub(super) struct There {
    pub(super) packs: BTreeMap<PackId, Bytes>,
    pub(super) indexes: BTreeMap<ObjectName, Bytes>,
    pub(super) snapshots: BTreeMap<ObjectName, Bytes>,
}

/// What may go by now.
#[derive(Default)]
pub(super) struct Due {
    pub(super) packs: HashSet<PackId>,
    pub(super) indexes: HashSet<ObjectName>,
    pub(super) snapshots: HashSet<ObjectName>,
    pub(super) waiting: Vec<Waiting>,
    /// Runs that were ended, or would be.
    pub(super) fenced: Vec<ObjectName>,
}

/// Reads every record, in order.
pub(super) fn records(repository: &Repository) -> Result<Vec<Record>, RepositoryError> {
    let listed = repository.store().list("gc/").map_err(|error| RepositoryError::store("gc/", error))?;
    let mut records = Vec::new();
    let _ahead = repository.expect(listed.iter().map(|object| object.name.clone()));
    for object in listed {
        let Some(Place::Gc(seq)) = place(&object.name) else { continue };
        let body = gc::read(repository, &object.name, seq)?;
        records.push(Record { seq, appeared: object.modified, body });
    }
    records.sort_by_key(|record| record.seq);
    Ok(records)
}

impl There {
    /// Lists what is there of what any record condemns.
    pub(super) fn load(repository: &Repository, condemned: &Condemned) -> Result<Self, RepositoryError> {
        let list = |prefix: &str| {
            repository.store().list(prefix).map_err(|error| RepositoryError::store(prefix, error))
        };
        let mut there = Self::default();
        for object in list("packs/")? {
            if let Some(Place::Pack(pack)) = place(&object.name)
                && condemned.pack(pack)
            {
                there.packs.insert(pack, object.length);
            }
        }
        for object in list("index/")? {
            if condemned.index(&object.name) {
                there.indexes.insert(object.name, object.length);
            }
        }
        for object in list("snapshots/")? {
            if condemned.snapshot(&object.name) {
                there.snapshots.insert(object.name, object.length);
            }
        }
        Ok(there)
    }

    fn concerns(&self, body: &GcBody) -> bool {
        body.packs.iter().any(|pack| self.packs.contains_key(pack))
            || body.indexes.iter().any(|index| self.indexes.contains_key(index))
            || body.snapshots.iter().any(|snapshot| self.snapshots.contains_key(snapshot))
    }
}

impl Due {
    /// What may go of what is there. Runs that are too old and waited for are ended, if `act` says so.
    pub(super) fn judge(
        maintainer: &Maintainer<'_>,
        repository: &Repository,
        there: &There,
        knobs: &Knobs,
        act: bool,
    ) -> Result<Self, RepositoryError> {
        let records = records(repository)?;
        let condemned = Condemned::load(repository)?;
        let now =
            repository.store().now().map_err(|error| RepositoryError::store("the store's clock", error))?;
        // Listed after every record was there.
        let runs = open_runs::list(repository, &condemned)?;
        let mut due = Self::default();
        for (at, record) in records.iter().enumerate() {
            if !there.concerns(&record.body) {
                continue;
            }
            if now.since(record.appeared) < knobs.plan_age_min {
                let until = record.appeared.plus(knobs.plan_age_min);
                due.wait(record, WaitsFor::Age(until));
                continue;
            }
            let open = not_seen(record, records.get(at..).unwrap_or_default(), &runs);
            let mut blocking = Vec::new();
            for (commit, since) in open {
                let until = since.plus(knobs.run_age_max);
                if now < until {
                    blocking.push((commit, until));
                } else if !due.fenced.contains(&commit) {
                    if act && maintainer.fence(&commit)? == Fenced::Over {
                        continue;
                    }
                    due.fenced.push(commit);
                }
            }
            if blocking.is_empty() {
                due.take(&record.body, there);
            } else {
                due.wait(record, WaitsFor::Runs(blocking));
            }
        }
        Ok(due)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.indexes.is_empty() && self.snapshots.is_empty()
    }

    fn wait(&mut self, record: &Record, what: WaitsFor) {
        self.waiting.push(Waiting { record: record.seq, since: record.appeared, what });
    }

    fn take(&mut self, body: &GcBody, there: &There) {
        self.packs.extend(body.packs.iter().filter(|pack| there.packs.contains_key(pack)));
        self.indexes.extend(body.indexes.iter().filter(|index| there.indexes.contains_key(*index)).cloned());
        let snapshots = body.snapshots.iter().filter(|name| there.snapshots.contains_key(*name));
        self.snapshots.extend(snapshots.cloned());
    }
}

/// The commit names of runs that may not have seen a record and are not over, each with the moment since which it runs.
/// `from` are that record and all later ones.
fn not_seen(record: &Record, from: &[Record], runs: &Runs) -> Vec<(ObjectName, Timestamp)> {
    let since: BTreeMap<&ObjectName, Timestamp> =
        runs.open.iter().flat_map(|run| run.commits.iter().map(|commit| (commit, run.since))).collect();
    let listing = from
        .iter()
        .filter(|later| later.seq > record.seq)
        .find_map(|later| later.body.open.as_ref().map(|open| (open, later.appeared)));
    match listing {
        None => since.into_iter().map(|(commit, since)| (commit.clone(), since)).collect(),
        Some((open, listed)) => open
            .iter()
            .filter(|commit| !runs.is_over(commit))
            // A run of which no object is there any more began before it was listed.
            .map(|commit| (commit.clone(), since.get(commit).copied().unwrap_or(listed)))
            .collect(),
    }
}

/// Whether a record that still has something to sweep has no later record that lists runs, while some are open: without
/// one it would wait for whoever runs at the time of the sweep.
pub(super) fn wants_a_listing(repository: &Repository) -> Result<bool, RepositoryError> {
    let condemned = Condemned::load(repository)?;
    let there = There::load(repository, &condemned)?;
    let records = records(repository)?;
    let unlisted = records.iter().rev().take_while(|record| !listed_by(record, &records));
    if !unlisted.into_iter().any(|record| there.concerns(&record.body)) {
        return Ok(false);
    }
    Ok(!open_runs::list(repository, &condemned)?.open.is_empty())
}

fn listed_by(record: &Record, records: &[Record]) -> bool {
    records.iter().any(|later| later.seq > record.seq && later.body.open.is_some())
}
