//! Every ledger, read as far as it can be: a damaged entry is a finding, and what the others say still counts.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::format::names::{self, Place, Seq, place};
use lifeboat_repo::format::records::{Checkpoint, Head};
use lifeboat_repo::ids::{KeyId, Label, ObjectHash, ObjectName, RunId};
use lifeboat_repo::observe::Observer;
use lifeboat_repo::repository::ledger::{LedgerEntry, read_entry};
use lifeboat_repo::repository::trust::Trust;
use lifeboat_repo::repository::{Repository, RepositoryError, Role};
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::damage::{Finding, Severity, Subject};
use crate::error::VerifyError;
use crate::workers::{self, Threads};

/// An entry of a ledger without the objects it names.
pub(crate) struct Link {
    pub(crate) name: ObjectName,
    pub(crate) head: Head,
    pub(crate) run: RunId,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The objects below `snapshots/` that it names.
    pub(crate) snapshots: Vec<ObjectName>,
}

/// What a ledger says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) hash: ObjectHash,
    pub(crate) length: Bytes,
    /// The time of the run whose entry names it: keys and cards are judged at it.
    pub(crate) moment: Timestamp,
    pub(crate) entry: ObjectName,
    /// Whether it must be here. Not so in a replica, where a writer's ledger speaks of what the repository holds.
    pub(crate) binds: bool,
}

/// Every ledger of a repository, as far as it counts and could be read.
#[derive(Default)]
pub(crate) struct Ledgers {
    pub(crate) chains: BTreeMap<Label, Vec<Link>>,
    pub(crate) recorded: HashMap<ObjectName, Record>,
    /// What other entries say otherwise of the same objects.
    pub(crate) claims: HashMap<ObjectName, Vec<Record>>,
    /// Whether every entry that counts was there and whole.
    pub(crate) sound: bool,
    pub(crate) bytes: Bytes,
    /// Entries that the store would not give: nothing is known of them, so nothing may be concluded from them.
    pub(crate) unread: HashSet<(Label, Seq)>,
}

/// Reads every ledger; what is wrong with one becomes a finding.
pub(crate) fn load(
    repository: &Repository,
    threads: Threads,
    observer: &dyn Observer,
    findings: &mut Vec<Finding>,
) -> Result<Ledgers, VerifyError> {
    let mut numbers: BTreeMap<Label, BTreeMap<Seq, Bytes>> = BTreeMap::new();
    for object in repository.store().list("ledger/")? {
        if let Some(Place::Ledger(writer, seq)) = place(&object.name) {
            numbers.entry(writer).or_default().insert(seq, object.length);
        }
    }
    // A revoked writer's cutoff may name a ledger of which nothing is left.
    for writer in repository.trust().header.cutoffs.keys().filter(|writer| is_expected(repository, writer)) {
        numbers.entry(writer.clone()).or_default();
    }
    let mut ledgers = Ledgers { sound: true, ..Ledgers::default() };
    for (writer, listed) in numbers {
        let before = findings.len();
        load_one(repository, &writer, &listed, threads, observer, &mut ledgers, findings)?;
        ledgers.sound &= findings.len() == before;
        note_beyond(repository, &writer, &listed, findings);
    }
    Ok(ledgers)
}

/// Whether a revoked writer's ledger must be here: a maintainer's is in the store where it worked.
fn is_expected(repository: &Repository, writer: &Label) -> bool {
    repository.role() == Role::Primary || !repository.trust().is_maintainer(writer)
}

/// How many entries of a ledger count, from the first.
fn count_of(repository: &Repository, writer: &Label, listed: &BTreeMap<Seq, Bytes>) -> u32 {
    match repository.trust().cutoff(writer) {
        None => listed.keys().next_back().map_or(0, |newest| newest.next().0),
        Some(Some(last)) => last.0.next().0,
        Some(None) => 0,
    }
}

fn load_one(
    repository: &Repository,
    writer: &Label,
    listed: &BTreeMap<Seq, Bytes>,
    threads: Threads,
    observer: &dyn Observer,
    ledgers: &mut Ledgers,
    findings: &mut Vec<Finding>,
) -> Result<(), VerifyError> {
    let count = count_of(repository, writer, listed);
    let wanted: Vec<Seq> = listed.range(..Seq(count)).map(|(seq, _)| *seq).collect();
    note_holes(writer, &wanted, count, findings);
    let read = workers::map(&wanted, threads, observer, |seq| Ok(read_entry(repository, writer, *seq)))?;
    let cutoff = repository.trust().cutoff(writer).flatten();
    let reach = Reach::of(repository, writer);
    let mut chain = Vec::new();
    // The hash of the entry before, where it could be read.
    let mut previous: Option<Option<ObjectHash>> = Some(None);
    let mut expected = Seq(0);
    for (seq, outcome) in wanted.into_iter().zip(read) {
        if seq != expected {
            previous = None;
        }
        expected = seq.next();
        let name = names::ledger(writer, seq).map_err(RepositoryError::from)?;
        let entry = match outcome {
            Ok(entry) => entry,
            Err(error) => {
                let finding = Finding::of_error(name, &error);
                if finding.severity == Severity::CouldNotCheck {
                    ledgers.unread.insert((writer.clone(), seq));
                }
                findings.push(finding);
                previous = None;
                continue;
            }
        };
        if previous.is_some_and(|previous| previous != entry.body.previous) {
            findings.push(Finding::damage(
                &name,
                "it does not follow the entry before it: the ledger was rewritten or cut",
            ));
        }
        if cutoff.is_some_and(|cutoff| cutoff.0 == seq && cutoff != entry.head) {
            findings
                .push(Finding::damage(&name, "it is not the entry that trust names as this writer's last"));
        }
        previous = Some(Some(entry.head.1));
        ledgers.bytes += listed.get(&seq).copied().unwrap_or_default();
        chain.push(take(repository.trust(), &name, entry, reach, ledgers, findings));
    }
    ledgers.chains.insert(writer.clone(), chain);
    Ok(())
}

/// Notes entries that are missing, a finding for each hole: holes may be as long as numbers go.
fn note_holes(writer: &Label, there: &[Seq], count: u32, findings: &mut Vec<Finding>) {
    let mut expected = Seq(0);
    for seq in there.iter().copied().chain([Seq(count)]) {
        if seq > expected {
            let what = match seq.0 - expected.0 {
                1 => "it is missing".to_owned(),
                missing => format!("it and the {} entries after it are missing", missing - 1),
            };
            let name = names::ledger(writer, expected).map_or(Subject::Area("ledger/"), Subject::Object);
            findings.push(Finding::damage(name, what));
        }
        expected = seq.next();
    }
}

/// What a ledger speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What its writer put here.
    Own,
    /// What its writer put into the repository of which this is a replica.
    Elsewhere,
    /// What a maintainer copied into this replica, whoever made it.
    Copied,
}

impl Reach {
    pub(crate) fn of(repository: &Repository, writer: &Label) -> Self {
        match repository.role() {
            Role::Primary => Self::Own,
            Role::Replica if repository.trust().is_maintainer(writer) => Self::Copied,
            Role::Replica => Self::Elsewhere,
        }
    }
}

/// Notes what an entry records, and keeps its place in the chain. What an entry of elsewhere saw of the whole
/// repository says nothing of this store.
fn take(
    trust: &Trust,
    name: &ObjectName,
    entry: LedgerEntry,
    reach: Reach,
    ledgers: &mut Ledgers,
    findings: &mut Vec<Finding>,
) -> Link {
    let moment = entry.body.run.moment();
    let mut snapshots = Vec::new();
    for object in entry.body.objects {
        let may_sign = |name: &ObjectName| trust.may_ever_sign(&entry.body.writer, Kind::Snapshot, name);
        if !may_record(&entry.body.writer, reach, &object.0, object.1, may_sign) {
            findings.push(Finding::damage(
                name,
                format!("it names {} in a way that this writer may not", object.0),
            ));
            continue;
        }
        if reach != Reach::Elsewhere && object.0.as_str().starts_with("snapshots/") {
            snapshots.push(object.0.clone());
        }
        let binds = reach != Reach::Elsewhere;
        let record = Record { hash: object.1, length: object.2, moment, entry: name.clone(), binds };
        let known = ledgers.recorded.entry(object.0.clone()).or_insert_with(|| record.clone());
        if (known.hash, known.length) != (record.hash, record.length) {
            findings
                .push(Finding::damage(name, format!("it contradicts {} about {}", known.entry, object.0)));
            ledgers.claims.entry(object.0.clone()).or_default().push(record);
        }
        known.binds |= binds;
        if reach == Reach::Elsewhere {
            // Signatures are judged at the moment of who made it, not of who copied it.
            known.moment = moment;
        }
    }
    Link {
        name: name.clone(),
        head: entry.head,
        run: entry.body.run,
        checkpoint: entry.body.checkpoint.filter(|_| reach != Reach::Elsewhere),
        snapshots,
    }
}

/// A ledger speaks for what its writer alone can put; of a pack it can only say what the pack's name says, of snapshots only
/// of those that this writer may sign.
pub(crate) fn may_record(
    writer: &Label,
    reach: Reach,
    name: &ObjectName,
    hash: ObjectHash,
    may_sign: impl FnOnce(&ObjectName) -> bool,
) -> bool {
    match place(name) {
        Some(Place::Pack(pack)) => pack.as_bytes() == hash.as_bytes(),
        Some(
            Place::Key(_, owner, _) | Place::Card(owner, _) | Place::Index(owner, ..) | Place::Run(owner, _),
        ) => owner == *writer || reach == Reach::Copied,
        Some(Place::Snapshot(..)) => reach == Reach::Copied || may_sign(name),
        // What a newer version stores is for that version to say.
        Some(Place::Replica(_) | Place::Bundle(..) | Place::Erasure(..)) | None => true,
        Some(_) => false,
    }
}

fn note_beyond(
    repository: &Repository,
    writer: &Label,
    listed: &BTreeMap<Seq, Bytes>,
    findings: &mut Vec<Finding>,
) {
    let counted = count_of(repository, writer, listed);
    let beyond = listed.range(Seq(counted)..).count();
    if let Some(first) =
        listed.range(Seq(counted)..).next().and_then(|(seq, _)| names::ledger(writer, *seq).ok())
    {
        let what = format!("writer {writer} was revoked; {beyond} entries from here on do not count");
        findings.push(Finding::notice(first, what));
    }
}

impl Ledgers {
    /// The newest entry that holds a checkpoint, by the time of its run.
    pub(crate) fn newest_checkpoint(&self) -> Option<(&Link, &Checkpoint)> {
        self.chains
            .values()
            .flatten()
            .filter_map(|link| link.checkpoint.as_ref().map(|checkpoint| (link, checkpoint)))
            .max_by_key(|(link, _)| (link.run, link.head.0))
    }

    /// Every tenant key that a ledger names, under whatever seal: an officer may have sealed it anew since.
    pub(crate) fn keys(&self) -> HashSet<(Label, KeyId)> {
        let key = |name: &ObjectName| match place(name) {
            Some(Place::Key(_, writer, key)) => Some((writer, key)),
            _ => None,
        };
        self.recorded.keys().filter_map(key).collect()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.chains.values().map(|chain| chain.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_speaks_for_its_writer_only() {
        let writer: Label = "fra-1".parse().unwrap();
        let run = "20251123t184416123z-abababababababab";
        let hash = ObjectHash::from_bytes([0xaa; 32]);
        let hex = "aa".repeat(32);
        let bound = |name: &ObjectName| name.as_str().starts_with("snapshots/chats/");
        let may = |name: &str| may_record(&writer, Reach::Own, &name.parse().unwrap(), hash, bound);
        assert!(may(&format!("packs/aa/{hex}")));
        assert!(!may(&format!("packs/ab/ab{}", "aa".repeat(31))));
        assert!(may(&format!("runs/fra-1/{run}")) && !may(&format!("runs/fra-2/{run}")));
        assert!(may(&format!("index/fra-1/{run}.00000000")) && !may(&format!("index/fra-2/{run}.00000000")));
        assert!(may(&format!("cards/fra-1/{hex}")) && !may(&format!("cards/fra-2/{hex}")));
        assert!(may(&format!("keys/{}/fra-1/{hex}", "0".repeat(16))));
        assert!(may(&format!("snapshots/chats/{run}")) && may("erasures/00000001/alice"));
        assert!(!may(&format!("snapshots/docs/{run}")), "a component that it is not bound to");
        assert!(!may("trust/00000000") && !may("ledger/fra-1/00000000") && !may("gc/00000000"));
    }
}
