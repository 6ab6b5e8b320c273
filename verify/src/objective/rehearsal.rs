//! A real restore into scratch space, timed.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use lifeboat_repo::format::manifest::{Entry, EntryKind};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, RunId, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::report::{LossKind, Report, Status};
use lifeboat_restore::{Choice, Options, RestoreError, Selection, choose, list, perform, plan};
use serde::Serialize;

use super::scratch::{Scratch, require_room};
use super::{Assumptions, Rto, RtoObjective, SAMPLE_FILES_MIN, Size, Trial, project};
use crate::error::{VerifyError, VerifyErrorKind};
use crate::levels::Outcome;
use crate::sample::Seed;

/// Files are drawn in runs of neighbours of about this much content: neighbours share segments, and a run spoils
/// at most one segment at each end.
const BLOCK: Bytes = Bytes::mib(16);

/// A run of small files ends here, whatever its content.
const BLOCK_FILES_MAX: usize = 1024;

/// How much of a component to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialSize {
    /// All of it: the only proof that is none of extrapolation.
    Whole,
    /// About this much of it, drawn by a seed, and at least 1,000 files; all of it if there is no more.
    Sample {
        /// Bytes of content.
        bytes: Bytes,
        /// Draws the files.
        seed: Seed,
    },
}

/// A restore to be timed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The component; its newest snapshot is restored.
    pub component: Label,
    /// How much of it.
    pub size: TrialSize,
    /// Where a directory for it is made and removed again.
    pub scratch: PathBuf,
    /// What was promised.
    pub objective: RtoObjective,
    /// What no restore into scratch space can show.
    pub assumptions: Assumptions,
}

/// What a timed restore showed.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsed {
    /// What may be said of the restore itself.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The component.
    pub component: Label,
    /// The snapshot.
    pub run: RunId,
    /// The time against the objective.
    pub rto: Rto,
    /// What the restore said.
    pub report: Report,
}

/// Restores a component's newest snapshot, or a sample of it, into scratch space, and projects what a restore of
/// all of it takes.
///
/// # Errors
/// There is no snapshot that counts, scratch space is missing or too small, the restore had to stop, or the
/// observer asked to stop. Scratch space is emptied in any case.
pub fn rehearse(
    recovery: &Recovery<'_>,
    wanted: &Rehearsal,
    observer: &dyn Observer,
) -> Result<Rehearsed, VerifyError> {
    let repository = recovery.repository();
    let begun = Instant::now();
    let listed = Judge::new(repository, recovery.catalog())?.list(Some(&wanted.component))?;
    let chosen = choose(&listed, &wanted.component, Choice::Latest)?;
    let choosing = begun.elapsed();
    let snapshot = chosen.snapshot;
    let (selection, whole) = select(recovery, snapshot, wanted.size, observer)?;
    let begun = Instant::now();
    let plan = plan(recovery, snapshot, &selection, observer)?;
    let planning = choosing + begun.elapsed();
    require_room(&wanted.scratch, plan.bytes, plan.entries)?;
    let scratch = Scratch::below(&wanted.scratch)?;
    observer.tell(Event::Phase("restoring into scratch space"));
    let begun = Instant::now();
    let report = perform(repository.store(), &plan, &scratch.target(), &Options::default(), observer)?;
    let transfer = begun.elapsed();
    observer.tell(Event::Phase("removing scratch space"));
    scratch.remove()?;
    let restored = Size { bytes: report.bytes, files: report.files };
    let counts = Size { bytes: snapshot.counts.bytes, files: snapshot.counts.files };
    let trial = Trial {
        restored,
        full: if whole { restored } else { counts },
        whole,
        lost: lost(&report),
        planning,
        transfer,
    };
    Ok(Rehearsed {
        outcome: outcome(&report),
        component: wanted.component.clone(),
        run: snapshot.run,
        rto: project(&trial, wanted.objective, wanted.assumptions),
        report,
    })
}

/// What to restore, and whether that is everything.
fn select(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    size: TrialSize,
    observer: &dyn Observer,
) -> Result<(Selection, bool), VerifyError> {
    let TrialSize::Sample { bytes, seed } = size else { return Ok((Selection::default(), true)) };
    observer.tell(Event::Phase("drawing a sample"));
    let mut drawing = Drawing::new(bytes, seed);
    list(recovery, snapshot, &Selection::default(), observer, &mut |tenant, entry| {
        drawing.take(tenant, entry);
        ControlFlow::Continue(())
    })?;
    Ok(match drawing.finish() {
        Some(paths) => (Selection { paths, ..Selection::default() }, false),
        None => (Selection::default(), true),
    })
}

/// A run of neighbouring files, with its score: the lowest scores are drawn.
#[derive(Default)]
struct Block {
    score: [u8; 8],
    bytes: Bytes,
    files: Vec<Vec<u8>>,
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Block {}

impl PartialOrd for Block {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Block {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.score, self.files.first()).cmp(&(other.score, other.files.first()))
    }
}

/// Draws blocks while entries pass by; holds no more than the sample and a block.
struct Drawing {
    wanted: Bytes,
    seed: Seed,
    drawn: BinaryHeap<Block>,
    bytes: Bytes,
    files: u64,
    current: Block,
    tenant: Option<Tenant>,
    /// Whether something is not in the sample.
    left_out: bool,
}

impl Drawing {
    fn new(wanted: Bytes, seed: Seed) -> Self {
        Self {
            wanted,
            seed,
            drawn: BinaryHeap::new(),
            bytes: Bytes::ZERO,
            files: 0,
            current: Block::default(),
            tenant: None,
            left_out: false,
        }
    }

    fn take(&mut self, tenant: &Tenant, entry: &Entry) {
        if entry.kind != EntryKind::File {
            return;
        }
        let full = self.current.bytes >= BLOCK || self.current.files.len() >= BLOCK_FILES_MAX;
        if full || self.tenant.as_ref() != Some(tenant) {
            self.end_block();
            self.tenant = Some(tenant.clone());
        }
        self.current.bytes += entry.size;
        self.current.files.push(entry.path.clone());
    }

    fn end_block(&mut self) {
        let mut block = std::mem::take(&mut self.current);
        let Some(first) = block.files.first() else { return };
        block.score = self.seed.score(first);
        self.bytes += block.bytes;
        self.files += block.files.len() as u64;
        self.drawn.push(block);
        while let Some(highest) = self.drawn.peek() {
            let bytes = Bytes(self.bytes.0.saturating_sub(highest.bytes.0));
            let files = self.files.saturating_sub(highest.files.len() as u64);
            if bytes < self.wanted || files < SAMPLE_FILES_MIN {
                break;
            }
            (self.bytes, self.files, self.left_out) = (bytes, files, true);
            self.drawn.pop();
        }
    }

    /// The paths drawn, or nothing where that is every file there is.
    fn finish(mut self) -> Option<Vec<Vec<u8>>> {
        self.end_block();
        self.left_out.then(|| self.drawn.into_iter().flat_map(|block| block.files).collect())
    }
}

fn lost(report: &Report) -> u64 {
    let in_losses: u64 = report.losses.iter().map(|loss| loss.path_count.max(1)).sum();
    in_losses.max(report.finding_counts.missing)
}

fn outcome(report: &Report) -> Outcome {
    let unchecked = report.losses.iter().find(|loss| loss.kind == LossKind::Unchecked);
    match (report.status(), unchecked) {
        (Status::Complete, _) => Outcome::Passed,
        (Status::Partial, Some(loss))
            if report.losses.iter().all(|loss| loss.kind == LossKind::Unchecked) =>
        {
            Outcome::NotRun(loss.why.clone())
        }
        (Status::Partial, _) => Outcome::Failed,
    }
}

impl From<RestoreError> for VerifyError {
    fn from(error: RestoreError) -> Self {
        match error.kind {
            lifeboat_restore::RestoreErrorKind::Cancelled => Self::cancelled("restoring into scratch space"),
            kind => Self { what: error.what, kind: VerifyErrorKind::Restore(kind) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::ids::ObjectHash;

    fn seed(nonce: u8) -> Seed {
        Seed::from_checkpoint(&ObjectHash::from_bytes([7; 32]), &[nonce])
    }

    fn draw(files: u32, size: Bytes, wanted: Bytes, seed: Seed) -> Option<Vec<Vec<u8>>> {
        let mut drawing = Drawing::new(wanted, seed);
        for n in 0..files {
            let entry = Entry {
                path: format!("f{n:08}").into_bytes(),
                kind: EntryKind::File,
                metadata: lifeboat_repo::format::manifest::Metadata::default(),
                size,
                tail: lifeboat_repo::format::manifest::Tail::default(),
            };
            drawing.take(&Tenant::System, &entry);
        }
        drawing.finish()
    }

    #[test]
    fn samples_hold_enough_bytes_and_files_and_not_much_more() {
        let large = draw(4000, Bytes::mib(1), Bytes::mib(64), seed(1)).unwrap();
        assert!((1000..1000 + 17).contains(&large.len()), "{}", large.len());
        let small = draw(100_000, Bytes::kib(16), Bytes::mib(64), seed(1)).unwrap();
        assert!((4096..4096 + 1025).contains(&small.len()), "{}", small.len());
        assert_eq!(draw(100_000, Bytes::kib(16), Bytes::mib(64), seed(1)), Some(small.clone()));
        assert_ne!(draw(100_000, Bytes::kib(16), Bytes::mib(64), seed(2)), Some(small));
    }

    #[test]
    fn a_small_component_is_taken_whole() {
        assert_eq!(draw(999, Bytes::mib(1), Bytes::mib(64), seed(1)), None);
        assert_eq!(draw(0, Bytes::ZERO, Bytes::mib(64), seed(1)), None);
    }
}
