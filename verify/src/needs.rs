//! What counting snapshots need: the shares in them, the segments of these, and where those lie.
//!
//! Identical shares (a tenant that did not change keeps its manifest byte for byte) are held and checked once.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::format::snapshot::Share;
use lifeboat_repo::ids::{KeyId, Label, ObjectHash, ObjectName, RunId, SegmentPrefix};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::catalog::Catalog;
use lifeboat_repo::repository::gc::Condemned;
use lifeboat_repo::repository::snapshots::{Judge, Listed, Standing};
use lifeboat_repo::units::Bytes;

use crate::damage::Finding;
use crate::error::VerifyError;
use crate::holdings::{Holdings, Maintained, Segment};
use crate::ledgers::{self, Ledgers};
use crate::workers::Threads;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// One component, or all.
    pub component: Option<Label>,
    /// How many threads may be used.
    pub threads: Threads,
}

/// What counting snapshots need.
pub struct Needs {
    pub(crate) snapshots: Vec<Counting>,
    pub(crate) shares: Vec<NeededShare>,
    /// By writer.
    pub(crate) holdings: Vec<Holdings>,
    pub(crate) ledgers: Ledgers,
    /// What gc records condemn and give up.
    pub(crate) condemned: Condemned,
    /// What was found on the way: snapshots that are gone or void, index objects that cannot be read.
    pub(crate) findings: Vec<Finding>,
}

/// A snapshot that counts.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) name: ObjectName,
    pub(crate) component: Label,
    pub(crate) run: RunId,
}

/// A tenant's share of one or more snapshots.
pub(crate) struct NeededShare {
    pub(crate) share: Share,
    /// The place of its writer in [`Needs::holdings`].
    pub(crate) writer: usize,
    /// The places in [`Needs::snapshots`] of those that it is part of.
    pub(crate) snapshots: Vec<usize>,
}

impl Needs {
    /// Reads ledgers, snapshots and indexes.
    ///
    /// # Errors
    /// The store failed in a listing, gc records are damaged (then nobody can say what is needed), or the
    /// observer asked to stop. Other damage is kept as findings.
    pub fn load(
        repository: &Repository,
        catalog: &Catalog,
        scope: &Scope,
        observer: &dyn Observer,
    ) -> Result<Self, VerifyError> {
        observer.tell(Event::Phase("reading snapshots"));
        let mut findings = Vec::new();
        let ledgers = ledgers::load(repository, scope.threads, observer, &mut findings)?;
        let judge = Judge::new(repository, catalog)?;
        let mut collected = Collected::default();
        let mut seen = HashSet::new();
        for component in components(repository, scope)? {
            if observer.cancelled() {
                return Err(VerifyError::cancelled("reading snapshots"));
            }
            for listed in judge.list(Some(&component))? {
                seen.insert(listed.name.clone());
                judge_standing(&listed, &ledgers, &mut findings);
                findings.extend(check_totals(&listed));
                collected.take(listed, &judge);
            }
        }
        let in_scope = |name: &ObjectName| match place(name) {
            Some(Place::Snapshot(component, _)) => {
                scope.component.as_ref().is_none_or(|only| *only == component)
            }
            _ => false,
        };
        for (name, record) in &ledgers.recorded {
            if record.binds && in_scope(name) && !seen.contains(name) && !judge.condemned().snapshot(name) {
                let what =
                    format!("it is missing, although {} names it and nothing expired it", record.entry);
                findings.push(Finding::damage(name, what));
            }
        }
        let condemned = judge.condemned().clone();
        drop(judge);
        observer.tell(Event::Phase("reading the index"));
        let source = crate::holdings::Source {
            repository,
            catalog,
            ledgers: &ledgers,
            condemned: &condemned,
            threads: scope.threads,
            observer,
        };
        let holdings = collected.load_holdings(&source, &mut findings)?;
        let Collected { snapshots, shares, .. } = collected;
        Ok(Self { snapshots, shares, holdings, ledgers, condemned, findings })
    }

    /// Every segment that a share needs, with the writer whose it is.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = ((KeyId, SegmentPrefix), &Label)> {
        self.shares.iter().flat_map(|needed| {
            let writer = self.holdings.get(needed.writer).map(|holdings| &holdings.writer);
            let of = |prefix: &SegmentPrefix| Some(((needed.share.key, *prefix), writer?));
            needed.share.segments.iter().filter_map(of).collect::<Vec<_>>()
        })
    }

    /// How many snapshots count.
    #[must_use]
    pub fn snapshot_count(&self) -> usize {
        self.snapshots.len()
    }

    /// The hash of the newest ledger entry that holds a checkpoint: what the seed of a sample is made from.
    #[must_use]
    pub fn newest_checkpoint(&self) -> Option<ObjectHash> {
        self.ledgers.newest_checkpoint().map(|(link, _)| link.head.1)
    }

    /// How many segments are needed, and their stored bytes.
    pub(crate) fn population(&self) -> (u64, Bytes) {
        self.segments().fold((0, Bytes::ZERO), |(count, bytes), (_, segment)| {
            (count + 1, bytes + segment.needed.places.first().map_or(Bytes::ZERO, |place| place.length))
        })
    }

    /// Every needed segment with the place of its writer.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (usize, &Segment)> {
        self.holdings
            .iter()
            .enumerate()
            .flat_map(|(writer, holdings)| holdings.segments().iter().map(move |segment| (writer, segment)))
    }

    pub(crate) fn writer(&self, share: &NeededShare) -> Option<&Holdings> {
        self.holdings.get(share.writer)
    }

    /// The snapshots that a share is part of.
    pub(crate) fn snapshots_of<'n>(&'n self, share: &'n NeededShare) -> impl Iterator<Item = &'n Counting> {
        share.snapshots.iter().filter_map(|at| self.snapshots.get(*at))
    }

    /// Every tenant key that shares are sealed to, with its writer.
    pub(crate) fn keys(&self) -> Vec<(Label, KeyId)> {
        let mut keys: Vec<(Label, KeyId)> = self
            .shares
            .iter()
            .filter_map(|share| self.writer(share).map(|holdings| (holdings.writer.clone(), share.share.key)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn components(repository: &Repository, scope: &Scope) -> Result<Vec<Label>, VerifyError> {
    if let Some(only) = &scope.component {
        return Ok(vec![only.clone()]);
    }
    let mut components: Vec<Label> = repository
        .store()
        .list("snapshots/")?
        .iter()
        .filter_map(|object| match place(&object.name) {
            Some(Place::Snapshot(component, _)) => Some(component),
            _ => None,
        })
        .collect();
    components.dedup();
    Ok(components)
}

/// What a snapshot's standing means for whoever relies on it.
fn judge_standing(listed: &Listed, ledgers: &Ledgers, findings: &mut Vec<Finding>) {
    match &listed.standing {
        Standing::Counts | Standing::Fenced | Standing::Expired => {}
        Standing::Unrecorded => findings.push(Finding::notice(
            &listed.name,
            "no ledger names it: its run was cut off in its last moment; its writer's next run records it",
        )),
        // One that a ledger vouched for must hold. Where ledgers are damaged, any may have been vouched for.
        Standing::Void(why) if ledgers.recorded.contains_key(&listed.name) || !ledgers.sound => {
            findings.push(Finding::damage(&listed.name, format!("it no longer counts: {why}")));
        }
        Standing::Void(why) => {
            findings.push(Finding::notice(&listed.name, format!("it never counted: {why}")));
        }
    }
}

/// A snapshot's totals must be those of its shares.
fn check_totals(listed: &Listed) -> Option<Finding> {
    let snapshot = listed.snapshot.as_ref().filter(|_| listed.standing == Standing::Counts)?;
    let entries: u64 = snapshot.keys.iter().map(|share| share.entries).sum();
    let bytes: Bytes = snapshot.keys.iter().map(|share| share.bytes).sum();
    let counts = &snapshot.counts;
    (entries != counts.entries || bytes != counts.bytes).then(|| {
        let what = format!(
            "it counts {} entries with {}, but its shares have {entries} with {bytes}",
            counts.entries, counts.bytes
        );
        Finding::damage(&listed.name, what)
    })
}

/// Snapshots and shares while they are collected.
#[derive(Default)]
struct Collected {
    snapshots: Vec<Counting>,
    shares: Vec<NeededShare>,
    writers: Vec<Label>,
    /// Shares by a hash of all they say.
    known: HashMap<blake3::Hash, usize>,
}

impl Collected {
    fn take(&mut self, listed: Listed, judge: &Judge<'_>) {
        let (Standing::Counts, Some(snapshot)) = (&listed.standing, listed.snapshot) else { return };
        let at = self.snapshots.len();
        let writer = self.writers.iter().position(|known| *known == snapshot.writer).unwrap_or_else(|| {
            self.writers.push(snapshot.writer.clone());
            self.writers.len() - 1
        });
        for share in snapshot.keys {
            if judge.condemned().key(&listed.name, share.key) {
                continue;
            }
            let number = *self.known.entry(fingerprint(writer, &share)).or_insert(self.shares.len());
            if number == self.shares.len() {
                self.shares.push(NeededShare { share, writer, snapshots: Vec::new() });
            }
            if let Some(share) = self.shares.get_mut(number) {
                share.snapshots.push(at);
            }
        }
        self.snapshots.push(Counting { name: listed.name, component: listed.component, run: listed.run });
    }

    fn load_holdings(
        &self,
        source: &crate::holdings::Source<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<Holdings>, VerifyError> {
        let mut wanted: BTreeMap<usize, HashSet<_>> = BTreeMap::new();
        for share in &self.shares {
            wanted.entry(share.writer).or_default().extend(share.share.segments.iter().copied());
        }
        let none = HashSet::new();
        let anyone = wanted.values().flatten().copied().collect();
        let maintained = Maintained::load(source, &self.writers, &anyone, findings)?;
        let mut all = Vec::with_capacity(self.writers.len());
        for (at, writer) in self.writers.iter().enumerate() {
            let wanted = wanted.get(&at).unwrap_or(&none);
            all.push(Holdings::load(source, &maintained, writer, wanted, findings)?);
        }
        Ok(all)
    }
}

/// Two shares with the same fingerprint say the same.
fn fingerprint(writer: usize, share: &Share) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let numbers = [writer as u64, share.manifest.len() as u64, share.entries, share.bytes.0];
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(share.key.as_bytes());
    for chunk in &share.manifest {
        hasher.update(chunk.0.as_bytes()).update(&chunk.1.to_le_bytes());
    }
    for segment in &share.segments {
        hasher.update(segment.as_bytes());
    }
    hasher.finalize()
}
