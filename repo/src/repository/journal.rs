//! What every run keeps: its announcement, the objects it put, the ledger entries that say so. FORMAT.md §11, §12.

use std::collections::BTreeMap;

use crate::crypto::sign::Kind;
use crate::format::index::{IndexHeader, PackRef, SegmentLine, encode_index};
use crate::format::names::{self, Seq};
use crate::format::records::{Checkpoint, Head, Recorded, RunBody};
use crate::format::{self, FORMAT_VERSION};
use crate::ids::{ObjectName, RunId};
use crate::repository::RepositoryError;
use crate::repository::adopt::{self, Named, OwnRuns, Purpose};
use crate::repository::agent::Agent;
use crate::repository::gc::Condemned;
use crate::repository::ledger::{self, NewEntry, read_entry};
use crate::repository::seals::newest_stored;
use crate::repository::snapshots::census;
use crate::repository::trust::Trust;

/// The journal of a run under way.
pub(crate) struct Journal<'r> {
    pub(crate) agent: Agent<'r>,
    pub(crate) id: RunId,
    purpose: Purpose,
    /// What was put since the last ledger entry.
    recorded: Vec<Recorded>,
    head: Option<Head>,
    indexes: Seq,
    cards: u32,
    runs: OwnRuns,
}

impl<'r> Journal<'r> {
    /// Announces a run. Plans of collectors are listed after it, and [`Self::catch_up`] follows.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn announce(agent: Agent<'r>, id: RunId, purpose: Purpose) -> Result<Self, RepositoryError> {
        let body = RunBody {
            format: FORMAT_VERSION,
            writer: agent.writer().clone(),
            run: id,
            component: purpose.component.clone(),
            task: purpose.task,
        };
        let name = names::run(agent.writer(), id)?;
        let bytes =
            format::encode(&body, "run").map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let announced = agent.put_new(&name, Kind::Run, &bytes)?;
        Ok(Self {
            agent,
            id,
            purpose,
            recorded: vec![announced],
            head: None,
            indexes: Seq(0),
            cards: 0,
            runs: OwnRuns::default(),
        })
    }

    /// Reads the newest ledger entry, and takes in what runs that were cut off left behind.
    ///
    /// # Errors
    /// The newest entry is damaged, or the store failed.
    pub(crate) fn catch_up(&mut self) -> Result<(), RepositoryError> {
        let (repository, writer) = (self.agent.repository, self.agent.writer());
        let newest = ledger::newest(repository)?.get(writer).copied();
        let head = newest.map(|seq| read_entry(repository, writer, seq)).transpose()?;
        self.head = head.as_ref().map(|entry| entry.head);
        let newest = head.as_ref().map(|entry| &entry.body);
        let (runs, adopted) = adopt::unrecorded(&self.agent, &self.purpose, self.id, newest)?;
        self.runs = runs;
        self.recorded.extend(adopted);
        Ok(())
    }

    /// Notes an object that the run put, for the next ledger entry.
    pub(crate) fn record(&mut self, object: Recorded) {
        self.recorded.push(object);
    }

    /// Notes a tenant key that the run made: its key object and its card.
    pub(crate) fn record_card(&mut self, recorded: [Recorded; 2]) {
        self.cards = self.cards.saturating_add(1);
        self.recorded.extend(recorded);
    }

    /// Confirms whatever was staged, then puts an index object that names these packs, if there are any.
    ///
    /// # Errors
    /// Something could not be confirmed.
    pub(crate) fn put_index(
        &mut self,
        packs: Vec<PackRef>,
        segments: &[SegmentLine],
    ) -> Result<Option<ObjectName>, RepositoryError> {
        let store = self.agent.repository.store();
        store.barrier().map_err(|error| RepositoryError::store("packs/", error))?;
        if packs.is_empty() {
            return Ok(None);
        }
        let header = IndexHeader::new(self.agent.writer().clone(), self.id, packs);
        let name = names::index(self.agent.writer(), self.id, self.indexes)?;
        self.indexes = self.indexes.next();
        let plain = encode_index(&header, segments)
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let sealed = self.agent.catalog().seal(&plain, name.as_str())?;
        let put = self.agent.put_new(&name, Kind::Index, &sealed)?;
        self.recorded.push(put);
        Ok(Some(name))
    }

    /// A ledger entry for what was put since the last one, if anything was.
    ///
    /// # Errors
    /// It could not be confirmed.
    pub(crate) fn enter(&mut self) -> Result<(), RepositoryError> {
        if !self.recorded.is_empty() {
            self.append(None)?;
        }
        Ok(())
    }

    /// The run's last entry, with a checkpoint over what the run sees by now; `lost` says what a revocation meanwhile
    /// means.
    ///
    /// # Errors
    /// It could not be confirmed, or the writer was revoked meanwhile and the entry does not count.
    pub(crate) fn close(
        &mut self,
        trust: &Trust,
        condemned: &Condemned,
        lost: &str,
    ) -> Result<Head, RepositoryError> {
        let checkpoint = self.checkpoint(trust, condemned)?;
        let head = self.append(Some(&checkpoint))?;
        let trust = trust.renewed(self.agent.repository.store())?;
        if trust.cutoff(self.agent.writer()).is_some_and(|last| last.is_none_or(|last| last.0 < head.0)) {
            return Err(self.revoked(lost));
        }
        Ok(head)
    }

    /// The index objects that the run put.
    ///
    /// # Errors
    /// A number is beyond eight digits.
    pub(crate) fn indexes(&self) -> Result<Vec<ObjectName>, RepositoryError> {
        let names = (0..self.indexes.0).map(|number| names::index(self.agent.writer(), self.id, Seq(number)));
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Why a run of a revoked writer ends.
    pub(crate) fn revoked(&self, what: &str) -> RepositoryError {
        RepositoryError::refused(
            format!("writer {}", self.agent.writer()),
            format!(
                "an officer revoked it while this run was under way; {what}; if that is a surprise, ask the officers, \
                 who enrol this host anew under another name"
            ),
        )
    }

    fn append(&mut self, checkpoint: Option<&Checkpoint>) -> Result<Head, RepositoryError> {
        let named = Named { indexes: self.indexes.0, cards: self.cards };
        self.runs.note(self.id, checkpoint.is_none().then_some(named));
        let mut entry = NewEntry {
            writer: &self.agent.credentials.writer,
            signing: &self.agent.credentials.signing,
            run: self.id,
            objects: &self.recorded,
            checkpoint,
            runs: &mut self.runs,
        };
        let head = ledger::append(self.agent.repository, &mut entry, self.head)?;
        self.recorded.clear();
        self.head = Some(head);
        Ok(head)
    }

    fn checkpoint(&self, trust: &Trust, condemned: &Condemned) -> Result<Checkpoint, RepositoryError> {
        let repository = self.agent.repository;
        let mut heads = BTreeMap::new();
        let newest = ledger::newest(repository)?;
        let names = newest.iter().map(|(writer, seq)| names::ledger(writer, *seq));
        let _ahead = repository.expect(names.collect::<Result<Vec<_>, _>>()?);
        for (writer, newest) in newest {
            if writer != *self.agent.writer() {
                heads.insert(writer.clone(), read_entry(repository, &writer, newest)?.head);
            }
        }
        let seals = newest_stored(repository)?;
        let (gc, snapshots) = census(repository, condemned)?;
        Ok(Checkpoint { trust: trust.head, seals, heads, gc, snapshots })
    }
}
