//! What a maintainer does: gc records, fences, and the runs its own work leaves. FORMAT.md §4, §11.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::{Clock, Entropy};
use crate::crypto::hash::sha256;
use crate::crypto::sign::Kind;
use crate::format::index::{PackRef, SegmentLine};
use crate::format::names::{self, SEQ_MAX, Seq};
use crate::format::records::{FenceBody, GcBody, Head, Recorded, Task};
use crate::format::{self, FORMAT_VERSION, RECORD_MAX};
use crate::ids::{Label, ObjectName, PackId, RunId};
use crate::repository::adopt::Purpose;
use crate::repository::agent::{Agent, Credentials};
use crate::repository::catalog::Catalog;
use crate::repository::gc::{self, Condemned};
use crate::repository::journal::Journal;
use crate::repository::open_runs::{self, OpenRun};
use crate::repository::run::PACKS_PER_INDEX;
use crate::repository::{JudgedAt, Principal, Repository, RepositoryError, RepositoryErrorKind};
use crate::store::Created;

pub use crate::repository::draft::GcDraft;

/// A maintainer at work in a repository: it opens the catalog, and no tenant key.
pub struct Maintainer<'r> {
    agent: Agent<'r>,
}

/// Whether a fence is what stands at a run's commit name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// It is, put just now: the run can no longer commit.
    Now,
    /// Something was there before: the run is over.
    Over,
}

impl<'r> Maintainer<'r> {
    /// Opens the writers' seal as a maintainer.
    ///
    /// # Errors
    /// The credentials are no maintainer's, their card identity opens nothing, something is damaged, or the store
    /// failed.
    pub fn open(
        repository: &'r Repository,
        credentials: Arc<Credentials>,
        clock: &'r dyn Clock,
        entropy: &'r dyn Entropy,
    ) -> Result<Self, RepositoryError> {
        enrolled(repository, &credentials, clock)?;
        Ok(Self { agent: Agent::without_cards(repository, credentials, clock, entropy)? })
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &'r Repository {
        self.agent.repository
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.agent.catalog()
    }

    /// The maintainer's name, which is its name as a writer too.
    #[must_use]
    pub fn name(&self) -> &Label {
        self.agent.writer()
    }

    /// Puts gc records under the next free numbers, as many as the draft takes; the last of them. Every record before one is
    /// there when the runs are listed that it names as open: where somebody else takes the number meanwhile, they are
    /// listed anew.
    ///
    /// # Errors
    /// Records or runs could not be read, or a record could not be confirmed. It may be there all the same, and counts
    /// then: a later one may say the same again.
    pub fn put_gc(&self, draft: &GcDraft) -> Result<Seq, RepositoryError> {
        let mut last = Seq(0);
        for part in draft.parts() {
            last = self.put_record(&part)?;
        }
        Ok(last)
    }

    fn put_record(&self, draft: &GcDraft) -> Result<Seq, RepositoryError> {
        loop {
            let seq = gc::next(self.repository())?;
            if seq.0 > SEQ_MAX {
                return Err(RepositoryError::refused("gc/", "all numbers are taken"));
            }
            let condemned = Condemned::load(self.repository())?;
            let open = open_runs::list(self.repository(), &condemned)?.open;
            let body = self.record_of(draft, seq, &open);
            let name = names::gc(seq)?;
            let bytes = format::encode(&body, "gc record")
                .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
            let object = self.agent.sign(&name, Kind::Gc, &bytes)?;
            if self.put_exclusive(&name, &object)? {
                return Ok(seq);
            }
        }
    }

    /// Ends a run: takes its commit name, unless something is there.
    ///
    /// # Errors
    /// The store failed, and it is not known what stands there.
    pub fn fence(&self, commit: &ObjectName) -> Result<Fenced, RepositoryError> {
        let run: RunId = commit.last().parse()?;
        let body = FenceBody { format: FORMAT_VERSION, fence: run, time: self.agent.clock.now() };
        let bytes = format::encode(&body, "fence")
            .map_err(|error| RepositoryError::format(commit.as_str(), &error))?;
        let object = self.agent.sign(commit, Kind::Fence, &bytes)?;
        let store = self.repository().store();
        match store.create(commit, &object) {
            Ok(Created::New) => Ok(Fenced::Now),
            Ok(Created::Exists) => Ok(Fenced::Over),
            // The answer was lost: whatever stands there by now ended the run.
            Err(error) => match store.stat(commit) {
                Ok(Some(_)) => Ok(Fenced::Over),
                _ => Err(RepositoryError::store(commit.as_str(), error)),
            },
        }
    }

    /// Begins a run of maintenance. Nobody waits for one that is of no other task.
    ///
    /// # Errors
    /// Something is damaged, or the store failed.
    pub fn begin(&self, task: Task) -> Result<MaintenanceRun<'r>, RepositoryError> {
        let agent = self.agent.clone();
        let id = agent.new_run()?;
        let mut journal = Journal::announce(agent, id, Purpose { component: None, task })?;
        journal.catch_up()?;
        Ok(MaintenanceRun { journal })
    }

    fn record_of(&self, draft: &GcDraft, seq: Seq, open: &[OpenRun]) -> GcBody {
        let GcDraft { packs, snapshots, keys, indexes, lost, locked } = draft.clone();
        let open = open.iter().flat_map(|run| run.commits.iter().cloned()).collect();
        let time = self.agent.clock.now();
        let open = Some(open);
        GcBody { format: FORMAT_VERSION, seq, time, packs, snapshots, keys, indexes, lost, open, locked }
    }

    /// Creates an object; whether the name is ours. Where the answer was lost, the name is looked at again.
    fn put_exclusive(&self, name: &ObjectName, object: &[u8]) -> Result<bool, RepositoryError> {
        let store = self.repository().store();
        let failed = |error| RepositoryError::store(name.as_str(), error);
        match store.create(name, object) {
            Ok(Created::New) => return Ok(true),
            Ok(Created::Exists) => {}
            Err(error) => match store.stat(name) {
                Ok(Some(_)) => {}
                _ => return Err(failed(error)),
            },
        }
        let there = store.read(name, RECORD_MAX).map_err(failed)?;
        Ok(sha256(&there) == sha256(object))
    }
}

/// A run of maintenance under way.
pub struct MaintenanceRun<'r> {
    journal: Journal<'r>,
}

impl MaintenanceRun<'_> {
    /// The run's id.
    #[must_use]
    pub fn id(&self) -> RunId {
        self.journal.id
    }

    /// Who runs.
    pub(crate) fn agent(&self) -> &Agent<'_> {
        &self.journal.agent
    }

    /// Names in a ledger entry what was recorded since the last one.
    pub(crate) fn enter(&mut self) -> Result<(), RepositoryError> {
        self.journal.enter()
    }

    /// Whose run it is.
    #[must_use]
    pub fn writer(&self) -> &Label {
        self.journal.agent.writer()
    }

    /// Notes an object that the run put, for the next ledger entry.
    pub fn record(&mut self, object: Recorded) {
        self.journal.record(object);
    }

    /// Confirms whatever was staged, and puts index objects that name these packs and places, as many packs in each as
    /// backups put, with a ledger entry each. Gives their names, and how many of the packs each says. Nothing but the
    /// confirmation happens where there are no packs.
    ///
    /// # Errors
    /// Something could not be confirmed, or is more than a reader takes.
    pub fn put_index(
        &mut self,
        packs: &[PackRef],
        lines: Vec<SegmentLine>,
    ) -> Result<Vec<(ObjectName, usize)>, RepositoryError> {
        if packs.is_empty() {
            self.journal.put_index(Vec::new(), &[])?;
            self.journal.enter()?;
            return Ok(Vec::new());
        }
        let mut of_pack: HashMap<Option<PackId>, Vec<SegmentLine>> = HashMap::new();
        for line in lines {
            of_pack.entry(line.pack).or_default().push(line);
        }
        let mut put = Vec::new();
        for some in packs.chunks(PACKS_PER_INDEX) {
            let lines: Vec<SegmentLine> =
                some.iter().filter_map(|pack| of_pack.remove(&Some(pack.0))).flatten().collect();
            let name = self.journal.put_index(some.to_vec(), &lines)?;
            self.journal.enter()?;
            put.extend(name.map(|name| (name, some.len())));
        }
        Ok(put)
    }

    /// Ends the run with a ledger entry whose checkpoint is over all that is there by now.
    ///
    /// # Errors
    /// It could not be confirmed, or the maintainer was revoked meanwhile.
    pub fn finish(mut self) -> Result<Head, RepositoryError> {
        let repository = self.journal.agent.repository;
        let trust = repository.trust().renewed(repository.store())?;
        let condemned = Condemned::load(repository)?;
        self.journal.close(&trust, &condemned, "what it did does not count")
    }
}

fn enrolled(
    repository: &Repository,
    credentials: &Credentials,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let key = credentials.signing.public();
    let at = JudgedAt::Moment(clock.now());
    let name = names::gc(Seq(0))?;
    match repository.judge(&key, Kind::Gc, &name, at) {
        Ok(Principal::Maintainer(found))
            if found == credentials.writer && repository.trust().cutoff(&found).is_none() =>
        {
            Ok(())
        }
        Ok(_) | Err(RepositoryError { kind: RepositoryErrorKind::Untrusted(_), .. }) => {
            let principal = format!("writer:{}", credentials.writer);
            let trust = repository.trust();
            if trust.signers.entries().any(|entry| entry.principal == principal)
                && !trust.is_maintainer(&credentials.writer)
            {
                return Err(RepositoryError::refused(
                    format!("{} ({})", credentials.writer, key.fingerprint()),
                    "it is no maintainer here but a writer, and whoever backs up must not delete; a maintainer is a host of its own, whose \
                     lifeboat.toml names it in [host] (`lifeboat keys maintainer new`)",
                ));
            }
            Err(RepositoryError::refused(
                format!("maintainer {} ({})", credentials.writer, key.fingerprint()),
                "it is no maintainer of this repository, or was revoked; an officer enrols it with \
             `lifeboat keys maintainer add`",
            ))
        }
        Err(error) => Err(error),
    }
}
