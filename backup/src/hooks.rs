//! Programs that run before a backup, after it, and when it fails.
//!
//! | when         | runs                                                     | if one fails                                 |
//! | ------------ | -------------------------------------------------------- | -------------------------------------------- |
//! | `before`     | in order, before anything is read                        | the rest is left out, the backup fails       |
//! | `after`      | in order, once the snapshot is committed                 | the rest runs; the backup is "partly done"   |
//! | `on_failure` | in order, when the backup fails or is interrupted        | the rest runs; the backup's own error stands |
//!
//! Exactly one of `after` and `on_failure` runs in every backup that got hold of its component, so either may take
//! back what `before` did. A backup that finds another one of the same component under way runs none: what the
//! other's `before` made must not be taken from it. Ctrl-C ends a `before` hook; the others run to their end.

use std::ffi::OsString;

use lifeboat_repo::ids::{Label, ObjectName, RunId};
use lifeboat_repo::observe::{Event, Observer};

use crate::error::{BackupError, BackupErrorKind};
use crate::program::{Fault, Program, ProgramError};

/// What runs around a backup.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// Before anything is read.
    pub before: Vec<Program>,
    /// Once the snapshot is committed.
    pub after: Vec<Program>,
    /// When no snapshot was made.
    pub on_failure: Vec<Program>,
}

/// A hook that failed after the snapshot was made.
#[derive(Debug)]
pub struct HookFailure {
    /// Which: `after hook 2`.
    pub hook: String,
    /// Why.
    pub error: ProgramError,
}

/// What hooks are told of the backup they run in, as `LIFEBOAT_…`.
pub(crate) struct Occasion<'a> {
    pub(crate) component: &'a Label,
    /// The directory that is backed up, if it is one.
    pub(crate) path: Option<OsString>,
    pub(crate) run: Option<RunId>,
}

/// When a hook runs, and what there is to tell by then.
pub(crate) enum Moment<'a> {
    Before,
    After { status: &'static str, snapshot: &'a ObjectName },
    Failure(&'a BackupError),
}

impl Moment<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After { .. } => "after",
            Self::Failure(_) => "on_failure",
        }
    }

    fn status(&self) -> &'static str {
        match self {
            Self::Before => "starting",
            Self::After { status, .. } => status,
            Self::Failure(error) if matches!(error.kind, BackupErrorKind::Interrupted) => "interrupted",
            Self::Failure(_) => "failed",
        }
    }
}

impl Hooks {
    /// Runs what comes before; the first failure ends it.
    pub(crate) fn before(&self, occasion: &Occasion<'_>, observer: &dyn Observer) -> Result<(), BackupError> {
        let stop = || observer.cancelled();
        for (number, program) in (1..).zip(&self.before) {
            run(program, occasion, &Moment::Before, &stop).map_err(|error| BackupError {
                what: name_of(&Moment::Before, number),
                kind: match error.fault {
                    Fault::Interrupted => BackupErrorKind::Interrupted,
                    _ => BackupErrorKind::Program(Box::new(error)),
                },
            })?;
        }
        Ok(())
    }

    /// Runs what comes after; those that failed.
    pub(crate) fn after(
        &self,
        occasion: &Occasion<'_>,
        status: &'static str,
        snapshot: &ObjectName,
    ) -> Vec<HookFailure> {
        run_all(&self.after, occasion, &Moment::After { status, snapshot })
    }

    /// Runs what is to be done about a failure. The failure itself is the news, so that of a hook is a warning.
    pub(crate) fn on_failure(&self, occasion: &Occasion<'_>, why: &BackupError, observer: &dyn Observer) {
        for failure in run_all(&self.on_failure, occasion, &Moment::Failure(why)) {
            observer.tell(Event::Warning(failure.to_string()));
        }
    }
}

impl std::fmt::Display for HookFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.hook, self.error)?;
        match self.error.said.last() {
            Some(words) => write!(f, "; it said: {words}"),
            None => Ok(()),
        }
    }
}

fn run_all(programs: &[Program], occasion: &Occasion<'_>, moment: &Moment<'_>) -> Vec<HookFailure> {
    let mut failures = Vec::new();
    for (number, program) in (1..).zip(programs) {
        if let Err(error) = run(program, occasion, moment, &|| false) {
            failures.push(HookFailure { hook: name_of(moment, number), error });
        }
    }
    failures
}

fn name_of(moment: &Moment<'_>, number: u32) -> String {
    format!("{} hook {number}", moment.word())
}

fn run(
    program: &Program,
    occasion: &Occasion<'_>,
    moment: &Moment<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<(), ProgramError> {
    let mut program = program.clone();
    let told = &mut program.environment;
    told.set("LIFEBOAT_HOOK", moment.word());
    told.set("LIFEBOAT_COMPONENT", occasion.component.as_str());
    told.set("LIFEBOAT_STATUS", moment.status());
    if let Some(run) = occasion.run {
        told.set("LIFEBOAT_RUN", run.to_string());
    }
    if let Some(path) = &occasion.path {
        told.set("LIFEBOAT_PATH", path);
    }
    match moment {
        Moment::Before => {}
        Moment::After { snapshot, .. } => told.set("LIFEBOAT_SNAPSHOT", snapshot.to_string()),
        Moment::Failure(error) => told.set("LIFEBOAT_ERROR", error.to_string().replace('\0', " ")),
    }
    program.start(false)?.finish(stop).map(drop)
}
