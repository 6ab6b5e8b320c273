//! One object at a time: bytes against the ledger, signature against trust at the right moment. FORMAT.md §3.

use std::collections::HashSet;

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::names::{Place, SealFor, Seq, place};
use lifeboat_repo::format::records::{FenceBody, RunBody};
use lifeboat_repo::format::{self, CATALOGED_STORED_MAX, RECORD_MAX};
use lifeboat_repo::ids::{KeyId, Label, ObjectName, PackId, RunId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::erasures::{Erasures, GRAVE};
use lifeboat_repo::repository::{JudgedAt, Principal, Repository, RepositoryError, Signed};
use lifeboat_repo::store::Listed;
use lifeboat_repo::units::{Bytes, Timestamp};

use super::gc::GcRecords;
use super::seals::NewestSeals;
use crate::damage::{Finding, Severity};
use crate::error::VerifyError;
use crate::ledgers::{Ledgers, Record};

/// Packs are read in pieces of this length: large enough that a request costs little beside it, and all the
/// memory a thread needs.
const PIECE: Bytes = Bytes::mib(4);

/// What objects are checked against.
pub(super) struct Check<'c> {
    pub(super) repository: &'c Repository,
    pub(super) ledgers: &'c Ledgers,
    pub(super) gc: &'c GcRecords,
    /// Tenant keys that ledgers name, under whatever seal.
    pub(super) keys: &'c HashSet<(Label, KeyId)>,
    /// What officers erased.
    pub(super) erasures: &'c Erasures,
    /// Runs that were announced.
    pub(super) runs: HashSet<RunId>,
    pub(super) newest: NewestSeals,
    pub(super) now: Timestamp,
}

/// What came of an object.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) finding: Option<Finding>,
    /// Whether it is a good snapshot that no ledger names.
    pub(super) unrecorded_snapshot: bool,
    /// Whether it is damaged, and no more than a notice since no ledger names it.
    pub(super) is_spoilt: bool,
}

impl Check<'_> {
    /// Reads an object and says what is wrong with it.
    pub(super) fn object(&self, object: &Listed, observer: &dyn Observer) -> Result<Checked, VerifyError> {
        let Some(place) = place(&object.name) else { return Ok(Checked::default()) };
        if super::is_erased(self.erasures, &place) {
            observer.tell(Event::Progress { items: 1, bytes: object.length });
            return Ok(Checked { finding: self.grave(object), ..Checked::default() });
        }
        let record = self.ledgers.recorded.get(&object.name);
        let mut checked = match place {
            Place::Pack(pack) => {
                Checked { finding: self.pack(object, pack, record, observer)?, ..Checked::default() }
            }
            _ => {
                let checked = self.signed(object, &place, record);
                observer.tell(Event::Progress { items: 1, bytes: object.length });
                checked
            }
        };
        let is_damage = |finding: &Option<Finding>| {
            finding.as_ref().is_some_and(|finding| finding.severity == Severity::Damage)
        };
        let damaged = is_damage(&checked.finding);
        checked.finding = checked.finding.map(|finding| self.weigh(finding, &object.name, &place, record));
        checked.is_spoilt = damaged && !is_damage(&checked.finding) && !self.gc.excuses(&object.name, &place);
        Ok(checked)
    }

    /// Where officers erased something, only a grave may stand.
    fn grave(&self, object: &Listed) -> Option<Finding> {
        let back = "officers erased it, and it is there, still or again; run `lifeboat erase --sweep`";
        match self.repository.store().read(&object.name, RECORD_MAX) {
            Ok(bytes) if bytes == GRAVE => None,
            Ok(_) => Some(Finding::damage(&object.name, back)),
            Err(error) if error.is_missing() => None,
            Err(error) => Some(Finding::of_store_error(&object.name, &error)),
        }
    }

    /// Damage to what nothing relies on is worth knowing, no more.
    fn weigh(
        &self,
        mut finding: Finding,
        name: &ObjectName,
        place: &Place,
        record: Option<&Record>,
    ) -> Finding {
        if finding.severity != Severity::Damage {
            return finding;
        }
        if self.gc.excuses(name, place) {
            finding.severity = Severity::Notice;
            finding.what.push_str("; a gc record condemns or expires it, so nothing relies on it");
        } else if record.is_none() && !self.is_relied_on(place) {
            finding.severity = Severity::Notice;
            finding.what.push_str("; no ledger names it, so nothing relies on it");
        }
        finding
    }

    /// Whether something relies on an object that no ledger names: on seals, on keys that an officer sealed anew, and on
    /// what stands in the place of a run's snapshot, where it may be a fence.
    fn is_relied_on(&self, place: &Place) -> bool {
        match place {
            Place::Seal(..) => true,
            Place::Key(_, writer, key) => self.keys.contains(&(writer.clone(), *key)),
            Place::Snapshot(_, run) | Place::Replica(run) => self.runs.contains(run),
            Place::Bundle(..) | Place::Heartbeat(..) => true,
            _ => false,
        }
    }

    fn signed(&self, object: &Listed, place: &Place, record: Option<&Record>) -> Checked {
        let name = &object.name;
        let limit = match place {
            Place::Index(..) | Place::Snapshot(..) | Place::Replica(_) | Place::Bundle(..) => {
                CATALOGED_STORED_MAX
            }
            _ => RECORD_MAX,
        };
        let found = |finding| Checked { finding: Some(finding), ..Checked::default() };
        let bytes = match self.repository.store().read(name, limit) {
            Ok(bytes) => bytes,
            Err(error) => return found(Finding::of_store_error(name, &error)),
        };
        let length = Bytes::of(&bytes);
        let checked = self.check_signature(name, bytes, place, record);
        // Of writers of one component each speaks for its own snapshots alone.
        let record = match &checked {
            Ok(signed) if signed.kind == Kind::Snapshot => self.of_signer(name, &signed.principal, record),
            _ => record,
        };
        let differs = |hash| record.is_some_and(|record| (record.hash, record.length) != (hash, length));
        match (checked, record) {
            (Ok(signed), Some(record)) if differs(signed.hash) => {
                let what = format!("it is well signed, but not the object that {} names", record.entry);
                found(Finding::damage(name, what))
            }
            (Ok(signed), None) if signed.kind == Kind::Snapshot && !self.gc.excuses(name, place) => Checked {
                finding: Some(Finding::notice(
                    name,
                    "no ledger names it: its run was cut off in its last moment; its writer's next run records it",
                )),
                unrecorded_snapshot: true,
                ..Checked::default()
            },
            (Ok(_), _) => Checked::default(),
            (Err(error), Some(record)) if record.length != length => {
                let what =
                    format!("it is {} bytes long instead of {}: {}", length.0, record.length.0, error.kind);
                found(Finding::damage(name, what))
            }
            (Err(error), _) => found(Finding::of_error(name, &error)),
        }
    }

    /// What the ledger of whoever signed a snapshot says of it, or what a maintainer's says who copied it.
    fn of_signer<'r>(
        &'r self,
        name: &ObjectName,
        signer: &Principal,
        record: Option<&'r Record>,
    ) -> Option<&'r Record> {
        let claims = self.ledgers.claims.get(name).into_iter().flatten();
        let by = |record: &&Record| match place(&record.entry) {
            Some(Place::Ledger(writer, _)) => {
                signer.is_writer(&writer) || self.repository.trust().is_maintainer(&writer)
            }
            _ => false,
        };
        record.into_iter().chain(claims).find(by)
    }

    fn check_signature(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        place: &Place,
        record: Option<&Record>,
    ) -> Result<Signed, RepositoryError> {
        let by_entry = record.map_or(JudgedAt::Any, |record| JudgedAt::Moment(record.moment));
        match place {
            // Read, and judged at its own time, before.
            Place::Erasure(..) => self.repository.check_signed(name, bytes, &[Kind::Erasure], JudgedAt::Any),
            Place::Seal(seq, which) => self.seal(name, bytes, *seq, *which),
            Place::Key(_, writer, _) => self.key(name, bytes, by_entry, writer),
            Place::Card(writer, _) => self.of_writer(name, bytes, Kind::Card, by_entry, writer),
            Place::Index(writer, run, _) => {
                self.of_writer(name, bytes, Kind::Index, JudgedAt::Moment(run.moment()), writer)
            }
            Place::Run(writer, run) => self.run(name, bytes, writer, *run),
            Place::Snapshot(_, run) => self.committed(name, bytes, Kind::Snapshot, *run),
            Place::Replica(run) => self.committed(name, bytes, Kind::Replica, *run),
            Place::Bundle(..) => self.bundle(name, bytes),
            Place::State(_, run, _) => self.state(name, bytes, *run),
            Place::Heartbeat(writer, id) => {
                self.of_writer(name, bytes, Kind::Heartbeat, JudgedAt::Moment(id.moment()), writer)
            }
            _ => Err(RepositoryError::damaged(name.as_str(), "no signed object has such a name")),
        }
    }

    /// Seals are judged now: only the newest opens anything, and only officers of today may have made it.
    fn seal(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        seq: Seq,
        which: SealFor,
    ) -> Result<Signed, RepositoryError> {
        let newest = match which {
            SealFor::Officers => self.newest.officers,
            SealFor::Writers => self.newest.writers,
        };
        let at = if newest == Some(seq) { JudgedAt::Moment(self.now) } else { JudgedAt::Any };
        let signed = self.repository.check_signed(name, bytes, &[Kind::Seal], at)?;
        match signed.principal {
            Principal::Officer(_) => Ok(signed),
            other => Err(wrong_signer(name, &other)),
        }
    }

    /// A key is its writer's, or an officer's of today who sealed it anew.
    fn key(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        by_entry: JudgedAt,
        writer: &Label,
    ) -> Result<Signed, RepositoryError> {
        let signed = self.repository.check_signed(name, bytes, &[Kind::Key], JudgedAt::Any)?;
        let at = match &signed.principal {
            signer if signer.is_writer(writer) => by_entry,
            Principal::Officer(_) => JudgedAt::Moment(self.now),
            other => return Err(wrong_signer(name, other)),
        };
        self.repository.judge(&signed.key, Kind::Key, name, at)?;
        Ok(signed)
    }

    fn of_writer(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        kind: Kind,
        at: JudgedAt,
        writer: &Label,
    ) -> Result<Signed, RepositoryError> {
        let signed = self.repository.check_signed(name, bytes, &[kind], at)?;
        if signed.principal.is_writer(writer) {
            Ok(signed)
        } else {
            Err(wrong_signer(name, &signed.principal))
        }
    }

    fn run(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        writer: &Label,
        run: RunId,
    ) -> Result<Signed, RepositoryError> {
        let signed = self.of_writer(name, bytes, Kind::Run, JudgedAt::Moment(run.moment()), writer)?;
        let body: RunBody = format::decode(&signed.body, "run")
            .map_err(|error| RepositoryError::damaged(name.as_str(), error.to_string()))?;
        if body.writer == *writer && body.run == run {
            Ok(signed)
        } else {
            Err(RepositoryError::damaged(name.as_str(), "it speaks of another run than its name"))
        }
    }

    /// What a host remembers: a writer's of the component that the name says, which trust has looked at.
    fn state(&self, name: &ObjectName, bytes: Vec<u8>, run: RunId) -> Result<Signed, RepositoryError> {
        let at = JudgedAt::Moment(run.moment());
        let signed = self.repository.check_signed(name, bytes, &[Kind::State], at)?;
        match &signed.principal {
            Principal::Writer(_) => Ok(signed),
            other => Err(wrong_signer(name, other)),
        }
    }

    /// A fence is put long after the run it ends, so its moment is in its body.
    fn committed(
        &self,
        name: &ObjectName,
        bytes: Vec<u8>,
        kind: Kind,
        run: RunId,
    ) -> Result<Signed, RepositoryError> {
        let signed = self.repository.check_signed(name, bytes, &[kind, Kind::Fence], JudgedAt::Any)?;
        if signed.kind == kind {
            let at = JudgedAt::Moment(run.moment());
            return match self.repository.judge(&signed.key, kind, name, at)? {
                Principal::Writer(_) => Ok(signed),
                other => Err(wrong_signer(name, &other)),
            };
        }
        let fence: FenceBody = format::decode(&signed.body, "fence")
            .map_err(|error| RepositoryError::damaged(name.as_str(), error.to_string()))?;
        match self.repository.judge(&signed.key, Kind::Fence, name, JudgedAt::Moment(fence.time))? {
            Principal::Maintainer(_) if fence.fence == run => Ok(signed),
            Principal::Maintainer(_) => {
                Err(RepositoryError::damaged(name.as_str(), "it is a fence for another run than its name"))
            }
            other => Err(wrong_signer(name, &other)),
        }
    }

    /// Whether a bundle holds what it should is looked at apart.
    fn bundle(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<Signed, RepositoryError> {
        let signed = self.repository.check_signed(name, bytes, &[Kind::Bundle], JudgedAt::Any)?;
        match signed.principal {
            Principal::Maintainer(_) => Ok(signed),
            other => Err(wrong_signer(name, &other)),
        }
    }

    /// Streams a pack through SHA-256, which is its name.
    fn pack(
        &self,
        object: &Listed,
        pack: PackId,
        record: Option<&Record>,
        observer: &dyn Observer,
    ) -> Result<Option<Finding>, VerifyError> {
        let name = &object.name;
        // Whatever somebody's ledger says of its length: its name says what it must be.
        let stated = record.map_or(object.length, |record| record.length);
        let mut hash = Sha256::new();
        let mut piece = Vec::new();
        let mut done = Bytes::ZERO;
        while done < object.length {
            if observer.cancelled() {
                return Err(VerifyError::cancelled("reading packs"));
            }
            let length = Bytes(object.length.0 - done.0).min(PIECE);
            piece.clear();
            if let Err(error) = self.repository.store().read_range(name, done, length, &mut piece) {
                return Ok(Some(Finding::of_store_error(name, &error)));
            }
            hash.update(&piece);
            done += length;
            observer.tell(Event::Progress { items: u64::from(done == object.length), bytes: length });
        }
        let same = hash.finish() == *pack.as_bytes();
        let other = object.length != stated;
        Ok((!same).then(|| match other {
            true => {
                let what = format!("it is {} bytes long instead of {}", object.length.0, stated.0);
                Finding::damage(name, what)
            }
            false => {
                Finding::damage(name, "its bytes are not those that were stored: their SHA-256 is another")
            }
        }))
    }
}

fn wrong_signer(name: &ObjectName, signer: &Principal) -> RepositoryError {
    RepositoryError::damaged(name.as_str(), format!("{signer} signed it, who must not sign such an object"))
}
