//! The second level: every stored byte matches its name, its signature and its ledger. Needs no secret, only read
//! access and the pinned officers, so whoever runs it learns nothing and can be anybody.
//!
//! Ledgers are read first, then the listing, then gc records: what a ledger names was there before the listing
//! began, and what was collected before it was planned before it. So runs and collections under way look like
//! nothing worse than unrecorded objects.
//!
//! What it cannot see: that a writer stored nonsense under a good signature (readback does), and that the end of
//! a ledger was cut off together with every checkpoint of others that saw it (a witness does).

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::sign::VerifyingKey;
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::{KeyId, Label, ObjectHash, ObjectName, RunId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::erasures::Erasures;
use lifeboat_repo::repository::trust::Trust;
use lifeboat_repo::store::Listed;
use lifeboat_repo::units::{Bytes, Timestamp};
use serde::Serialize;

use crate::damage::{Finding, Subject};
use crate::error::VerifyError;
use crate::hidden;
use crate::ledgers::{self, Ledgers};
use crate::levels::Outcome;
use crate::workers::{self, Threads};
use gc::GcRecords;
use seals::NewestSeals;

mod bundles;
mod checkpoints;
mod gc;
mod objects;
mod seals;

/// What an integrity check saw.
#[derive(Clone, Debug, Serialize)]
pub struct IntegrityReport {
    /// What may be said.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Objects in the repository.
    pub objects: u64,
    /// Their bytes; every one was read, but for objects with names this version does not know.
    pub bytes: Bytes,
    /// Packs among the objects.
    pub packs: u64,
    /// Ledger entries that count.
    pub ledger_entries: u64,
    /// Objects that ledgers name.
    pub recorded: u64,
    /// Objects that a ledger should name and none does: left by runs that were cut off or are under way.
    pub unrecorded: u64,
    /// Objects with names this version does not know; they were not read.
    pub unknown: u64,
    /// The newest checkpoint: what to compare with a witness.
    pub checkpoint: Option<CheckpointSeen>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Damaged objects that no ledger names, with what is the matter: nothing relies on them, but the next run of their
    /// writer may take them over.
    #[serde(skip)]
    pub spoilt: Vec<(ObjectName, String)>,
}

/// The newest checkpoint that an integrity check saw.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointSeen {
    /// The ledger entry that holds it.
    pub entry: ObjectName,
    /// The SHA-256 of that object.
    pub hash: ObjectHash,
    /// When its run began.
    pub moment: Timestamp,
}

/// Checks every object of a repository.
///
/// # Errors
/// A listing failed, or the observer asked to stop: then nothing is known. All else becomes a finding.
pub fn integrity(
    repository: &Repository,
    pins: &[VerifyingKey],
    clock: &dyn Clock,
    threads: Threads,
    observer: &dyn Observer,
) -> Result<IntegrityReport, VerifyError> {
    let mut findings = Vec::new();
    observer.tell(Event::Phase("reading trust and ledgers"));
    if let Err(error) = Trust::load(repository.store(), pins) {
        findings.push(Finding::of_error(Subject::Area("trust/"), &error));
    }
    let ledgers = ledgers::load(repository, threads, observer, &mut findings)?;
    let listed = repository.store().list("")?;
    let gc = gc::load(repository, &listed, &mut findings);
    let keys = ledgers.keys();
    let erasures = Erasures::load(repository).unwrap_or_else(|error| {
        findings.push(Finding::of_error(Subject::Area("erasures/"), &error));
        Erasures::default()
    });
    findings.extend(erasures.void().iter().map(|name| {
        Finding::notice(name, "it counts for nothing: its officer was removed, and trust does not name it")
    }));
    let survey = Survey::of(&listed, &ledgers, &gc, &keys, &erasures);
    survey.report(&ledgers, &gc, &erasures, &mut findings);
    let newest = survey.newest.clone();
    newest.report(repository, &listed, &mut findings);
    let check = objects::Check {
        repository,
        ledgers: &ledgers,
        gc: &gc,
        keys: &keys,
        erasures: &erasures,
        runs: survey.runs(),
        newest,
        now: clock.now(),
    };
    let jobs = survey.jobs();
    observer.tell(Event::Phase("reading every object"));
    let bytes = jobs.iter().map(|job| job.length).sum();
    observer.tell(Event::Planned { items: jobs.len() as u64, bytes });
    let mut unrecorded: u64 = survey.unrecorded.values().map(|group| group.count).sum();
    let mut spoilt = Vec::new();
    let checked = workers::map(&jobs, threads, observer, |object| check.object(object, observer))?;
    for (job, checked) in jobs.iter().zip(checked) {
        unrecorded += u64::from(checked.unrecorded_snapshot);
        if let Some(finding) = checked.finding.as_ref().filter(|_| checked.is_spoilt) {
            spoilt.push((job.name.clone(), finding.what.clone()));
        }
        findings.extend(checked.finding);
    }
    observer.tell(Event::Phase("comparing checkpoints"));
    checkpoints::check(repository, &ledgers, &listed, &gc, &mut findings);
    bundles::check(repository, &listed, &erasures, &mut findings);
    hidden::tell(repository, None, &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    Ok(IntegrityReport {
        outcome: Outcome::of(&findings),
        objects: listed.len() as u64,
        bytes: listed.iter().map(|object| object.length).sum(),
        packs: survey.packs,
        ledger_entries: ledgers.entries(),
        recorded: ledgers.recorded.len() as u64,
        unrecorded,
        unknown: survey.unknown.values().map(|group| group.count).sum(),
        checkpoint: ledgers.newest_checkpoint().map(|(link, _)| CheckpointSeen {
            entry: link.name.clone(),
            hash: link.head.1,
            moment: link.run.moment(),
        }),
        findings,
        spoilt,
    })
}

/// Objects of one kind that something is to be said of.
struct Group {
    first: ObjectName,
    count: u64,
    bytes: Bytes,
}

/// What a listing shows before anything is read.
struct Survey<'l> {
    known: HashMap<&'l ObjectName, (&'l Listed, Place)>,
    names: HashSet<&'l ObjectName>,
    packs: u64,
    /// By the first part of their names.
    unrecorded: BTreeMap<String, Group>,
    unknown: BTreeMap<String, Group>,
    /// The newest seals.
    newest: NewestSeals,
}

impl<'l> Survey<'l> {
    fn of(
        listed: &'l [Listed],
        ledgers: &Ledgers,
        gc: &GcRecords,
        keys: &HashSet<(Label, KeyId)>,
        erasures: &Erasures,
    ) -> Self {
        let mut survey = Self {
            known: HashMap::with_capacity(listed.len()),
            names: listed.iter().map(|object| &object.name).collect(),
            packs: 0,
            unrecorded: BTreeMap::new(),
            unknown: BTreeMap::new(),
            newest: NewestSeals::default(),
        };
        for object in listed {
            let Some(place) = place(&object.name) else {
                add(&mut survey.unknown, object);
                continue;
            };
            match &place {
                Place::Seal(seq, which) => survey.newest.see(*seq, *which),
                Place::Pack(_) => survey.packs += 1,
                _ => {}
            }
            let recordable = matches!(
                place,
                Place::Pack(_) | Place::Index(..) | Place::Key(..) | Place::Card(..) | Place::Run(..)
            );
            let recorded = ledgers.recorded.contains_key(&object.name) || is_sealed_anew(&place, keys);
            if recordable && !recorded && !is_erased(erasures, &place) && !gc.excuses(&object.name, &place) {
                add(&mut survey.unrecorded, object);
            }
            survey.known.insert(&object.name, (object, place));
        }
        survey
    }

    /// What is missing, unrecorded or unknown.
    fn report(&self, ledgers: &Ledgers, gc: &GcRecords, erasures: &Erasures, findings: &mut Vec<Finding>) {
        let sealed: HashSet<(&Label, KeyId)> = self
            .known
            .values()
            .filter_map(|(_, place)| match place {
                Place::Key(_, writer, key) => Some((writer, *key)),
                _ => None,
            })
            .collect();
        let excused = |name: &ObjectName| match place(name) {
            Some(place) if is_erased(erasures, &place) => true,
            // Under a later seal it is there.
            Some(Place::Key(_, writer, key)) => sealed.contains(&(&writer, key)),
            Some(place) => gc.excuses(name, &place),
            None => false,
        };
        for (name, record) in &ledgers.recorded {
            if record.binds && !self.names.contains(name) && !excused(name) {
                let doubt =
                    if gc.sound { "" } else { ", and a gc record that might explain it cannot be read" };
                let what = format!("it is missing, although {} names it{doubt}", record.entry);
                findings.push(Finding::damage(name, what));
            }
        }
        if ledgers.entries() == 0 && !self.unrecorded.is_empty() {
            let what = "no entry counts, so nothing says what should be here";
            findings.push(Finding::unchecked(Subject::Area("ledger/"), what));
        }
        for group in self.unrecorded.values() {
            let what = format!(
                "no ledger names {}: a run that was cut off or is under way put it",
                group.with_others()
            );
            findings.push(Finding::notice(&group.first, what));
        }
        for (area, group) in &self.unknown {
            let reserved = area == "wal";
            let why = if reserved {
                "a newer Lifeboat stores such objects"
            } else {
                "no object of Lifeboat has such a name"
            };
            findings
                .push(Finding::notice(&group.first, format!("{} not checked: {why}", group.with_others())));
        }
    }

    /// The runs that were announced, whoever announced them.
    fn runs(&self) -> HashSet<RunId> {
        let run = |place: &Place| match place {
            Place::Run(_, run) => Some(*run),
            _ => None,
        };
        self.known.values().filter_map(|(_, place)| run(place)).collect()
    }

    /// The objects to read here, the longest first, so that no thread is left with a pack at the end.
    /// Trust, ledgers and gc records are read before.
    fn jobs(&self) -> Vec<Listed> {
        let mut jobs: Vec<Listed> = self
            .known
            .values()
            .filter(|(_, place)| {
                !matches!(place, Place::Hint | Place::Trust(_) | Place::Ledger(..) | Place::Gc(_))
            })
            .map(|(object, _)| (*object).clone())
            .collect();
        jobs.sort_unstable_by(|a, b| (b.length, &a.name).cmp(&(a.length, &b.name)));
        jobs
    }
}

/// Whether this is a key that a ledger names under this or another seal.
fn is_sealed_anew(place: &Place, keys: &HashSet<(Label, KeyId)>) -> bool {
    match place {
        Place::Key(_, writer, key) => keys.contains(&(writer.clone(), *key)),
        _ => false,
    }
}

/// Whether officers erased this key object or card.
fn is_erased(erasures: &Erasures, place: &Place) -> bool {
    matches!(place, Place::Key(_, _, key) | Place::Card(_, key) if erasures.key(*key))
}

impl Group {
    fn with_others(&self) -> String {
        match self.count {
            1 => format!("it ({})", self.bytes),
            count => format!("it and {} more like it ({})", count - 1, self.bytes),
        }
    }
}

fn add(groups: &mut BTreeMap<String, Group>, object: &Listed) {
    let area = object.name.parts().next().unwrap_or_default().to_owned();
    let group = groups.entry(area).or_insert_with(|| Group {
        first: object.name.clone(),
        count: 0,
        bytes: Bytes::ZERO,
    });
    group.count += 1;
    group.bytes += object.length;
}
