//! How a drill looks to whoever leads it: each step with its pace against the plan, and what it prints.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lifeboat_repo::observe::{Event, Observer};
use lifeboat_runbooks::drill::run::{Answer, Conductor};
use lifeboat_runbooks::{Mode, Step};
use lifeboat_verify::evidence::facts::{StepFact, What};

use super::asking::{self, Dialogue};
use crate::context::Context;
use crate::render::{Paint, Tone, clean, to_stderr, wrap_under};
use crate::when::{show_duration, show_objective};

/// Between two lines about a step that runs, where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(60);
/// Between two redraws on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Shows a drill on standard error.
pub(super) struct Watching<'a> {
    context: &'a Context,
    /// Manual steps that are done, and what proves it.
    done: BTreeMap<String, String>,
    operator: String,
    silent: bool,
    terminal: bool,
    paint: Paint,
    drawn: Mutex<Option<Duration>>,
}

impl<'a> Watching<'a> {
    pub(super) fn new(context: &'a Context, operator: &str, done: BTreeMap<String, String>) -> Self {
        let stream = std::io::stderr();
        Self {
            context,
            done,
            operator: operator.to_owned(),
            silent: context.quiet || context.json,
            terminal: stream.is_terminal(),
            paint: Paint::of(&stream),
            drawn: Mutex::new(None),
        }
    }

    /// A line for the lead, wrapped under itself.
    pub(super) fn say(&self, tone: Tone, text: &str) {
        self.put(tone, &wrap_under(&clean(text)));
    }

    fn put(&self, tone: Tone, text: &str) {
        if !self.silent {
            let wipe = if self.terminal { "\r\u{1b}[K" } else { "" };
            to_stderr(&format!("{wipe}{}\n", self.paint.paint(tone, text)));
        }
    }

    fn drawn(&self, at: Option<Duration>) {
        if let Ok(mut drawn) = self.drawn.lock() {
            *drawn = at;
        }
    }
}

impl Conductor for Watching<'_> {
    fn cancelled(&self) -> bool {
        self.context.cancelled.load(Ordering::Relaxed)
    }

    fn begins(&self, number: usize, of: usize, step: &Step, doing: What) {
        self.drawn(None);
        let planned =
            step.timeout.map_or_else(String::new, |timeout| format!(", planned {}", show_objective(timeout)));
        let doing = match (doing, step.mode) {
            (What::Simulated, _) => ", only simulated",
            (What::Skipped, _) => ", left out in drills",
            (_, Mode::Manual) => ", done by a person",
            _ => "",
        };
        let line = format!("[{number}/{of}] {} ({}{planned}{doing})", step.name, step.phase.as_str());
        self.say(Tone::Strong, &line);
    }

    fn line(&self, line: &str) {
        // As it is, without an indent: pages are as wide as a terminal.
        self.put(Tone::Dim, &clean(line));
    }

    fn tick(&self, step: &Step, running: Duration) {
        if self.silent {
            return;
        }
        let every = if self.terminal { DRAW_EVERY } else { LINE_EVERY };
        let Ok(mut drawn) = self.drawn.lock() else { return };
        if drawn.map_or(running < every, |last| running.saturating_sub(last) < every) {
            return;
        }
        *drawn = Some(running);
        let pace = pace(step.timeout, running);
        if self.terminal {
            to_stderr(&format!("\r\u{1b}[K      {pace}"));
        } else {
            to_stderr(&format!("      {pace}\n"));
        }
    }

    fn ended(&self, step: &Step, fact: &StepFact) {
        let took =
            fact.seconds.map_or_else(String::new, |took| format!(" in {}", pace(step.timeout, took.span())));
        let note = fact.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
        let exit = fact
            .exit
            .filter(|exit| *exit != 0)
            .map_or_else(String::new, |exit| format!(" (exit status {exit})"));
        let tone = match fact.what {
            What::Ran => Tone::Good,
            What::Failed | What::TimedOut | What::Interrupted => Tone::Bad,
            _ => Tone::Dim,
        };
        self.say(tone, &format!("      {}{exit}{took}{note}", fact.what.words()));
    }

    fn ask(&self, step: &Step) -> Answer {
        if let Some(reference) = self.done.get(&step.name) {
            return Answer::Done { by: self.operator.clone(), reference: Some(reference.clone()) };
        }
        if !std::io::stdin().is_terminal() || self.silent {
            return Answer::Nobody;
        }
        asking::ask(step, &mut AtTerminal(self))
    }
}

/// Whoever sits at the terminal.
struct AtTerminal<'w, 'a>(&'w Watching<'a>);

impl Dialogue for AtTerminal<'_, '_> {
    fn say(&mut self, tone: Tone, text: &str) {
        self.0.say(tone, &format!("      {text}"));
    }

    fn line(&mut self) -> Option<String> {
        asking::typed(&self.0.context.cancelled)
    }
}

/// `12 s of 20 h`
fn pace(planned: Option<Duration>, running: Duration) -> String {
    match planned {
        Some(planned) => format!("{} of {}", show_duration(running), show_objective(planned)),
        None => show_duration(running),
    }
}

/// What the drill looks at by itself tells nothing but its phases.
impl Observer for Watching<'_> {
    fn tell(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.say(Tone::Warn, &format!("      {text}"));
        }
    }

    fn cancelled(&self) -> bool {
        Conductor::cancelled(self)
    }
}
