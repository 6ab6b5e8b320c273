//! Goes through a book's steps, one after another, and writes down what becomes of each before and after it.

use std::ffi::OsString;
use std::sync::Mutex;
use std::time::Duration;

use lifeboat_repo::clock::Clock;
use lifeboat_repo::crypto::sha256;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_verify::evidence::facts::{
    Approval, Interruption, Mode as StepMode, Moment, Output, StepFact, What,
};

use super::journal::{Journal, JournalError};
use super::secrets::Redactor;
use super::step::{self, End, Ran, Shell, Watch};
use crate::book::{Book, InDrill, Mode, OnFail, Phase, Step};

/// Who is told of steps, and asked about those that people do.
pub trait Conductor: Sync {
    /// Whether everything should stop.
    fn cancelled(&self) -> bool;
    /// A step begins, or is passed over: its number from 1, how many there are, what is done with it.
    fn begins(&self, number: usize, of: usize, step: &Step, doing: What);
    /// A line that a step printed, cleaned.
    fn line(&self, line: &str);
    /// The step that runs has been running so long.
    fn tick(&self, step: &Step, running: Duration);
    /// A step came to its end.
    fn ended(&self, step: &Step, fact: &StepFact);
    /// Asks whether a person has done a step.
    fn ask(&self, step: &Step) -> Answer;
}

/// What a person says of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done: who says so, and what proves it.
    Done {
        /// Who.
        by: String,
        /// A ticket, a name, a time.
        reference: Option<String>,
    },
    /// It could not be done; why.
    Failed(String),
    /// There is nobody to ask.
    Nobody,
}

/// How the steps came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// To the last step that could be done.
    Through,
    /// Somebody asked to stop.
    Interrupted,
}

/// The facts of steps before anything is done.
#[must_use]
pub fn untouched(book: &Book) -> Vec<StepFact> {
    book.steps.iter().map(|step| fact(step, What::NotReached)).collect()
}

fn fact(step: &Step, what: What) -> StepFact {
    StepFact {
        name: step.name.clone(),
        heading: step.heading.clone(),
        phase: Some(step.phase.as_str().to_owned()),
        mode: if step.mode == Mode::Auto { StepMode::Run } else { StepMode::Manual },
        what,
        started: None,
        ended: None,
        seconds: None,
        planned: step.timeout.map(Into::into),
        exit: None,
        output: None,
        approver: None,
        note: None,
        attempt: 0,
        script_sha256: ObjectHash::from_bytes(sha256(step.script.as_bytes())),
    }
}

/// What a drill runs with.
pub struct Stage<'a> {
    /// The book.
    pub book: &'a Book,
    /// The environment of every step.
    pub environment: &'a [(OsString, OsString)],
    /// Values to take out of what steps print.
    pub secrets: &'a [String],
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Who is told.
    pub conductor: &'a dyn Conductor,
}

/// Notes that a drill that was cut off goes on: since when nothing ran, and which step is to be done again.
///
/// # Errors
/// It cannot be written down.
pub fn resume(journal: &mut Journal, now: Moment) -> Result<(), JournalError> {
    let from = journal.last_alive();
    let cut = journal.body.steps.iter().find(|step| step.what == What::Interrupted);
    let note = match cut {
        Some(step) => format!("cut off in the step {}, which is done again", step.name),
        None if journal.body.steps.iter().any(|step| step.what == What::NotReached) => {
            "cut off between two steps".to_owned()
        }
        None => "cut off after the last step".to_owned(),
    };
    journal.body.interruptions.push(Interruption { from: from.min(now), to: now, note });
    journal.store()
}

/// Does every step that is not done yet.
///
/// # Errors
/// It cannot be written down: then nothing more is done.
pub fn steps(stage: &Stage<'_>, journal: &mut Journal) -> Result<Went, JournalError> {
    let of = stage.book.steps.len();
    for (index, step) in stage.book.steps.iter().enumerate() {
        let Some(before) = journal.body.steps.get(index).cloned() else { break };
        if !matches!(before.what, What::NotReached | What::Interrupted) {
            continue;
        }
        if aborted(stage.book, &journal.body.steps) && step.phase != Phase::Cleanup {
            continue;
        }
        if stage.conductor.cancelled() {
            return Ok(Went::Interrupted);
        }
        let mut now = StepFact {
            attempt: before.attempt + 1,
            note: before.note.clone(),
            ..fact(step, What::Interrupted)
        };
        let told = match step.drill {
            InDrill::Run => What::Ran,
            InDrill::Simulate => What::Simulated,
            InDrill::Skip => What::Skipped,
        };
        stage.conductor.begins(index + 1, of, step, told);
        match (step.drill, step.mode) {
            (InDrill::Skip, _) => now.what = What::Skipped,
            (InDrill::Simulate, _) => now.what = What::Simulated,
            (InDrill::Run, mode) => {
                // Should the machine end now, this is what stands there.
                now.started = Some(Moment::new(stage.clock.now()));
                set(journal, index, &now)?;
                match mode {
                    Mode::Manual => ask(stage, step, &mut now),
                    Mode::Auto => take(&mut now, shell(stage, step, journal)),
                }
            }
        }
        set(journal, index, &now)?;
        stage.conductor.ended(step, &now);
        if now.what == What::Interrupted {
            return Ok(Went::Interrupted);
        }
    }
    Ok(Went::Through)
}

/// Whether a step failed that ends the book.
#[must_use]
pub fn aborted(book: &Book, facts: &[StepFact]) -> bool {
    book.steps.iter().zip(facts).any(|(step, fact)| {
        step.on_fail == OnFail::Abort && matches!(fact.what, What::Failed | What::TimedOut)
    })
}

fn set(journal: &mut Journal, index: usize, fact: &StepFact) -> Result<(), JournalError> {
    if let Some(slot) = journal.body.steps.get_mut(index) {
        *slot = fact.clone();
    }
    journal.store()
}

fn ask(stage: &Stage<'_>, step: &Step, now: &mut StepFact) {
    let started = stage.clock.now();
    now.started = Some(Moment::new(started));
    match stage.conductor.ask(step) {
        Answer::Done { by, reference } => {
            now.what = What::Ran;
            now.approver = Some(Approval { by, reference, at: Moment::new(stage.clock.now()) });
        }
        Answer::Failed(why) => {
            now.what = What::Failed;
            now.note = Some(why);
        }
        // It is asked about again.
        Answer::Nobody if stage.conductor.cancelled() => now.what = What::Interrupted,
        Answer::Nobody => {
            now.what = What::Skipped;
            now.note = Some("there was nobody to ask".to_owned());
        }
    }
    let ended = stage.clock.now();
    now.ended = Some(Moment::new(ended));
    now.seconds = Some(ended.since(started).into());
}

fn shell(stage: &Stage<'_>, step: &Step, journal: &Journal) -> Ran {
    let shell = Shell {
        environment: stage.environment,
        redactor: Redactor::new(stage.secrets),
        timeout: step.timeout,
        clock: stage.clock,
    };
    let watch = Watching { stage, step, journal, said: Mutex::new(Duration::ZERO) };
    step::run(&step.script, shell, &watch)
}

fn take(fact: &mut StepFact, ran: Ran) {
    fact.started = Some(Moment::new(ran.started));
    fact.ended = Some(Moment::new(ran.ended));
    fact.seconds = Some(ran.took.into());
    fact.output = Some(Output {
        sha256: ran.printed.sha256,
        bytes: ran.printed.bytes,
        redacted_lines: ran.printed.redacted_lines,
        tail: ran.printed.tail,
    });
    let drift = ran.ended.since(ran.started).abs_diff(ran.took);
    if drift > CLOCK_DRIFT_MAX {
        note(fact, format!("the clock was set meanwhile: it says {:.1} s more or less", drift.as_secs_f64()));
    }
    match ran.end {
        End::Exit(0) => (fact.what, fact.exit) = (What::Ran, Some(0)),
        End::Exit(code) => (fact.what, fact.exit) = (What::Failed, Some(code)),
        End::Signal(signal) => {
            fact.what = What::Failed;
            note(fact, format!("signal {signal} ended it"));
        }
        End::TimedOut => {
            fact.what = What::TimedOut;
            note(fact, "it took longer than its timeout and was ended".to_owned());
        }
        End::Interrupted => {
            fact.what = What::Interrupted;
            note(fact, "the drill was stopped while it ran".to_owned());
        }
        End::NotStarted(why) => {
            fact.what = What::Failed;
            note(fact, format!("it could not be started: {why}"));
        }
    }
}

/// Two clocks that differ by more than this were not left alone.
const CLOCK_DRIFT_MAX: Duration = Duration::from_secs(2);
/// How often a sign of life is written.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

fn note(fact: &mut StepFact, text: String) {
    fact.note = Some(match fact.note.take() {
        Some(before) if before != text => format!("{before}; {text}"),
        _ => text,
    });
}

struct Watching<'a> {
    stage: &'a Stage<'a>,
    step: &'a Step,
    journal: &'a Journal,
    said: Mutex<Duration>,
}

impl Watch for Watching<'_> {
    fn cancelled(&self) -> bool {
        self.stage.conductor.cancelled()
    }

    fn line(&self, line: &str) {
        self.stage.conductor.line(line);
    }

    fn tick(&self, running: Duration) {
        self.stage.conductor.tick(self.step, running);
        if let Ok(mut said) = self.said.lock()
            && running >= *said
        {
            *said = running + ALIVE_EVERY;
            self.journal.alive(Moment::new(self.stage.clock.now()));
        }
    }
}
