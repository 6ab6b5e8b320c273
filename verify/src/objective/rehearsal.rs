//! Real restores into scratch space, timed.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::report::{LossKind, Report, Status};
use lifeboat_restore::{Choice, Options, Plan, RestoreError, Selection, choose, list, perform, plan};
use serde::Serialize;

use super::drawing::{Block, Drawing, Least, TrialSize};
use super::scratch::{Scratch, require_room};
use super::trials::{Measurements, Stopwatch, Trial, Work};
use super::{Assumptions, Rto, RtoObjective, SAMPLE_BYTES_MIN, SAMPLE_FILES_MIN, project};
use crate::error::{VerifyError, VerifyErrorKind};
use crate::levels::Outcome;

/// The stream counts that are tried.
pub const STREAMS: [u32; 4] = [1, 2, 4, 8];

/// A sample is restored in so many trials. Eight streams have half of them, since a whole restore runs so; the others
/// two each, among all kinds of files.
const TRIAL_STREAMS: [u32; 12] = [8, 4, 8, 1, 8, 2, 8, 1, 8, 4, 8, 2];

/// What is at most this large is restored whole with every stream count.
const REPEATED: Bytes = SAMPLE_BYTES_MIN;

/// A restore to be timed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The component; its newest snapshot is restored.
    pub component: Label,
    /// How much of it.
    pub size: TrialSize,
    /// The least that a sample restores.
    pub least: Least,
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
    /// What the restores said, each.
    pub reports: Vec<Report>,
}

/// Restores a component's newest snapshot, or a sample of it, into scratch space, and projects what a restore of
/// all of it takes. `look` is shown each restored tree before it is removed.
///
/// # Errors
/// There is no snapshot that counts, scratch space is missing or too small, the restore had to stop, or the
/// observer asked to stop. Scratch space is emptied in any case.
pub fn rehearse(
    recovery: &Recovery<'_>,
    wanted: &Rehearsal,
    stopwatch: &dyn Stopwatch,
    observer: &dyn Observer,
    look: &mut dyn FnMut(&Path),
) -> Result<Rehearsed, VerifyError> {
    let begun = stopwatch.read();
    let listed = Judge::new(recovery.repository(), recovery.catalog())?.list(Some(&wanted.component))?;
    let chosen = choose(&listed, &wanted.component, Choice::Latest)?;
    let snapshot = chosen.snapshot;
    let whole = plan(recovery, snapshot, &Selection::default(), observer)?;
    let planning = stopwatch.read().saturating_sub(begun);
    let mut rehearsing = Rehearsing { recovery, wanted, stopwatch, observer, look };
    let full = work_of(&whole);
    let mut measured = Measurements { full, planning, ..Measurements::default() };
    let mut reports = Vec::new();
    let mut add = |measured: &mut Measurements, (trial, report)| {
        measured.trials.push(trial);
        reports.push(report);
    };
    match Drawing::new(wanted.size, whole.bytes, whole.files, wanted.least) {
        None => {
            measured.whole = true;
            let all = [default_streams()];
            let streams: &[u32] = if full.bytes <= REPEATED { &STREAMS } else { &all };
            for streams in streams {
                add(&mut measured, rehearsing.trial(&whole, *streams, "the whole component")?);
            }
        }
        Some(drawing) => {
            drop(whole);
            let drawn = rehearsing.draw(snapshot, drawing)?;
            measured.strata = drawn.strata;
            for (block, streams) in drawn.trials.into_iter().zip(TRIAL_STREAMS) {
                let stratum = kind_of(&block);
                let plan = plan(recovery, snapshot, &block.selection, observer)?;
                add(&mut measured, rehearsing.trial(&plan, streams, &stratum)?);
            }
        }
    }
    Ok(Rehearsed {
        outcome: reports
            .iter()
            .map(outcome)
            .find(|outcome| *outcome != Outcome::Passed)
            .unwrap_or(Outcome::Passed),
        component: wanted.component.clone(),
        run: snapshot.run,
        rto: project(&measured, wanted.least, wanted.objective, &wanted.assumptions),
        reports,
    })
}

impl Default for Least {
    fn default() -> Self {
        Self { bytes: SAMPLE_BYTES_MIN, files: SAMPLE_FILES_MIN }
    }
}

/// What trials have in common.
struct Rehearsing<'r> {
    recovery: &'r Recovery<'r>,
    wanted: &'r Rehearsal,
    stopwatch: &'r dyn Stopwatch,
    observer: &'r dyn Observer,
    look: &'r mut dyn FnMut(&Path),
}

impl Rehearsing<'_> {
    fn draw(&self, snapshot: &Snapshot, mut drawing: Drawing) -> Result<super::drawing::Drawn, VerifyError> {
        self.observer.tell(Event::Phase("drawing a sample"));
        list(self.recovery, snapshot, &Selection::default(), self.observer, &mut |tenant, entry| {
            drawing.take(tenant, entry);
            ControlFlow::Continue(())
        })?;
        Ok(drawing.finish(TRIAL_STREAMS.len()))
    }

    fn trial(&mut self, plan: &Plan, streams: u32, stratum: &str) -> Result<(Trial, Report), VerifyError> {
        require_room(&self.wanted.scratch, plan.bytes, plan.entries)?;
        let scratch = Scratch::below(&self.wanted.scratch)?;
        let target = scratch.target();
        let workers = NonZeroUsize::new(streams as usize).unwrap_or(NonZeroUsize::MIN);
        self.observer.tell(Event::Phase("restoring into scratch space"));
        self.stopwatch.streams(workers);
        let begun = self.stopwatch.read();
        let options = Options { workers: Some(workers), ..Options::default() };
        let store = self.recovery.repository().store();
        let report = perform(store, plan, &target, &options, self.observer)?;
        let transfer = self.stopwatch.read().saturating_sub(begun);
        (self.look)(&target);
        self.observer.tell(Event::Phase("removing scratch space"));
        scratch.remove()?;
        let work = Work { bytes: report.bytes, ..work_of(plan) };
        let trial = Trial { work, streams, stratum: stratum.to_owned(), lost: lost(&report), transfer };
        Ok((trial, report))
    }
}

fn work_of(plan: &Plan) -> Work {
    Work { bytes: plan.bytes, fetched: plan.fetch, requests: plan.segments, files: plan.entries }
}

fn kind_of(block: &Block) -> String {
    let files = block.selection.paths.len() as u64;
    format!("files of about {}", Bytes(block.bytes.0 / files.max(1)))
}

fn default_streams() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(processors).unwrap_or(u32::MAX)
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
