//! The fourth level: a snapshot is restored into scratch space, and what lies there is compared with its manifests,
//! entry by entry: content read back from the disk, and everything that is known of it besides.
//!
//! The comparison shares nothing with the restore but the reading of manifests: it asks the kernel what is there. A
//! machine or user that cannot set something (owners without root, attributes on a file system without them) makes
//! that "could not check", never a pass and never damage.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, ObjectName, RunId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::diff::{Against, Aspect, Change, Compared, Difference, with_directory};
use lifeboat_restore::report::{LossKind, Report};
use lifeboat_restore::{Choice, Loss, Options, Selection, choose, perform, plan};
use serde::Serialize;

use crate::damage::{Affected, Extent, Finding, Hits, Severity, Subject};
use crate::error::VerifyError;
use crate::levels::Outcome;
use crate::objective::scratch::{Scratch, require_room};
use crate::span;
use abilities::Abilities;

mod abilities;

/// The phase between the restore and the comparison, as observers are told.
pub const COMPARING: &str = "comparing what was restored";

/// What to restore and compare.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// The component.
    pub component: Label,
    /// Which of its snapshots.
    pub choice: Choice,
    /// Where a directory for it is made and removed again. It needs room for all of the snapshot.
    pub scratch: PathBuf,
}

/// What a restore into scratch space and the comparison showed.
#[derive(Clone, Debug, Serialize)]
pub struct RestoredReport {
    /// What may be said.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The component.
    pub component: Label,
    /// The snapshot.
    pub run: RunId,
    /// Entries compared.
    pub compared: u64,
    /// Those in which nothing differs.
    pub same: u64,
    /// Files restored.
    pub files: u64,
    /// Bytes of content restored, and read back.
    pub bytes: Bytes,
    /// How long the restore took.
    #[serde(serialize_with = "span::seconds")]
    pub restoring: Duration,
    /// How long the comparison took.
    #[serde(serialize_with = "span::seconds")]
    pub comparing: Duration,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Restores a snapshot into scratch space and compares every entry with its manifest.
///
/// # Errors
/// There is no such snapshot, scratch space is missing or too small, the restore or the comparison had to stop, or
/// the observer asked to stop. Scratch space is emptied in any case.
pub fn restored(
    recovery: &Recovery<'_>,
    wanted: &Restoration,
    observer: &dyn Observer,
) -> Result<RestoredReport, VerifyError> {
    let repository = recovery.repository();
    let listed = Judge::new(repository, recovery.catalog())?.list(Some(&wanted.component))?;
    let chosen = choose(&listed, &wanted.component, wanted.choice)?;
    let (snapshot, everything) = (chosen.snapshot, Selection::default());
    let plan = plan(recovery, snapshot, &everything, observer)?;
    require_room(&wanted.scratch, plan.bytes, plan.entries)?;
    let scratch = Scratch::below(&wanted.scratch)?;
    let abilities = Abilities::probe(&scratch)?;
    let target = scratch.target();
    observer.tell(Event::Phase("restoring into scratch space"));
    let begun = Instant::now();
    let report = perform(repository.store(), &plan, &target, &Options::default(), observer)?;
    let restoring = begun.elapsed();
    observer.tell(Event::Phase(COMPARING));
    let begun = Instant::now();
    let mut gathered = Gathered { abilities: &abilities, kinds: BTreeMap::new() };
    let against = Against { contents: true, holes: true };
    let compared =
        with_directory(recovery, snapshot, &everything, &target, against, observer, &mut |difference| {
            gathered.take(difference);
        })?;
    let comparing = begun.elapsed();
    let mut findings = gathered.into_findings(&chosen.listed.name, snapshot);
    findings.extend(losses(&report, &compared, &chosen.listed.name, snapshot));
    let expired = !plan.left_out.is_empty();
    findings.extend(short(&compared, snapshot, &chosen.listed.name, expired));
    observer.tell(Event::Phase("removing scratch space"));
    scratch.remove()?;
    Ok(RestoredReport {
        outcome: Outcome::of(&findings),
        component: wanted.component.clone(),
        run: snapshot.run,
        compared: entries(&compared),
        same: compared.same,
        files: report.files,
        bytes: report.bytes,
        restoring,
        comparing,
        findings,
    })
}

/// Entries of manifests that were compared.
fn entries(compared: &Compared) -> u64 {
    compared.same + compared.changed + compared.removed + compared.unread
}

/// A comparison that met fewer entries than the snapshot has must not pass for one of all.
fn short(compared: &Compared, snapshot: &Snapshot, name: &ObjectName, expired: bool) -> Option<Finding> {
    let (met, all) = (entries(compared), snapshot.keys.iter().map(|share| share.entries).sum::<u64>());
    // Of what retention took out of the snapshot, or could not be read, the number is told elsewhere.
    let told = expired || !compared.losses.is_empty();
    (!told && met < all).then(|| {
        let what = format!("its manifests hold {met} entries where it says {all}");
        Finding::damage(name, what)
    })
}

/// Shares and segments that could not be had.
fn losses(report: &Report, compared: &Compared, name: &ObjectName, snapshot: &Snapshot) -> Vec<Finding> {
    // A share whose manifest cannot be read is met by both.
    let again = |loss: &&Loss| !report.losses.iter().any(|known| known.key == loss.key);
    let all = report.losses.iter().chain(compared.losses.iter().filter(again));
    let finding = |loss: &Loss| {
        let severity = match loss.kind {
            LossKind::Unchecked => Severity::CouldNotCheck,
            LossKind::Key | LossKind::Damaged => Severity::Damage,
        };
        let mut hits = Hits::default();
        loss.paths.iter().for_each(|path| hits.add(path));
        let extent = if loss.paths.is_empty() { Extent::Whole } else { hits.into_extent_of(loss.path_count) };
        let subject = Subject::Manifest(name.clone(), loss.key);
        let mut finding = Finding::new(severity, subject, format!("not all could be restored: {}", loss.why));
        finding.affects.push(Affected {
            snapshot: name.clone(),
            component: snapshot.component.clone(),
            tenant: loss.tenant.clone(),
            extent,
        });
        finding
    };
    all.map(finding).collect()
}

/// Differences of one kind, by whose they are.
struct Gathered<'a> {
    abilities: &'a Abilities,
    kinds: BTreeMap<(Kind, Option<Tenant>), Hits>,
}

/// What is the matter with an entry. The order is that of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It is not there.
    Missing,
    /// It is there although no manifest has it.
    Stray,
    /// It differs in this.
    Differs(Aspect),
    /// This machine, user or file system cannot have it as it was.
    Beyond(Aspect, &'static str),
    /// It is a device, and this user may make none.
    NoDevice,
    /// It could not be read.
    Unread,
    /// It could not be read when it was backed up, so there is nothing to compare with.
    NeverRead,
}

impl Gathered<'_> {
    fn take(&mut self, difference: &Difference) {
        let is_device = difference
            .old
            .as_ref()
            .is_some_and(|side| matches!(side.kind, EntryKind::Char | EntryKind::Block));
        match &difference.change {
            Change::Removed if is_device && !self.abilities.devices => self.add(difference, Kind::NoDevice),
            Change::Removed => self.add(difference, Kind::Missing),
            Change::Added => self.add(difference, Kind::Stray),
            Change::Unread(_) if difference.old.is_none() && difference.new.is_none() => {
                self.add(difference, Kind::NeverRead);
            }
            Change::Unread(_) => self.add(difference, Kind::Unread),
            Change::Changed(aspects) => {
                for aspect in aspects {
                    let kind = match self.abilities.lacks_for(*aspect, difference) {
                        Some(why) => Kind::Beyond(*aspect, why),
                        None => Kind::Differs(*aspect),
                    };
                    self.add(difference, kind);
                }
            }
        }
    }

    fn add(&mut self, difference: &Difference, kind: Kind) {
        let slot = (kind, difference.tenant.clone());
        self.kinds.entry(slot).or_default().add(&difference.path);
    }

    fn into_findings(self, name: &ObjectName, snapshot: &Snapshot) -> Vec<Finding> {
        let finding = |((kind, tenant), hits): ((Kind, Option<Tenant>), Hits)| {
            let (severity, what) = kind.words(hits.count());
            let mut finding = Finding::new(severity, Subject::Object(name.clone()), what);
            finding.affects.push(Affected {
                snapshot: name.clone(),
                component: snapshot.component.clone(),
                tenant,
                extent: hits.into_extent(),
            });
            finding
        };
        self.kinds.into_iter().map(finding).collect()
    }
}

impl Kind {
    fn words(self, count: u64) -> (Severity, String) {
        let entries = if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        match self {
            Self::Missing => (Severity::Damage, format!("{entries} of it did not come back")),
            Self::Stray => (Severity::Damage, format!("{entries} came back that none of its manifests has")),
            Self::Differs(aspect) => {
                (Severity::Damage, format!("{entries} of it came back with another {}", noun(aspect)))
            }
            Self::Beyond(aspect, why) => {
                let what = format!("of {entries} the {} could not be compared: {why}", noun(aspect));
                (Severity::CouldNotCheck, what)
            }
            Self::NoDevice => {
                let what = format!("{entries} could not be compared: this user may make no device nodes");
                (Severity::CouldNotCheck, what)
            }
            Self::Unread => (Severity::CouldNotCheck, format!("{entries} that came back could not be read")),
            Self::NeverRead => {
                (Severity::Notice, format!("{entries} of it could not be read when it was backed up"))
            }
        }
    }
}

const fn noun(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Mtime => "time",
        Aspect::Xattrs => "set of attributes",
        Aspect::Link => "link to a file of several names",
        Aspect::Holes => "layout of holes",
        other => other.as_str(),
    }
}
