//! What a long operation shows while it runs: a bar on a terminal, a plain line now and then elsewhere, or one JSON
//! object a line.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::units::Bytes;
use serde_json::{Value, json};

use crate::failure::tame;
use crate::log::Log;
use crate::render::{Paint, Tone, to_stderr};
use crate::when::{show_count, show_duration};

/// Between two lines where there is no terminal: a night's log stays short.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// Between two events of progress for programs.
const EVENT_EVERY: Duration = Duration::from_secs(1);
/// Between two redraws of the bar's text.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// More warnings than this are counted, not shown; they are all in the result.
const WARNINGS_SHOWN: u64 = 20;

/// Watches an operation for a person.
pub(crate) struct Progress {
    view: View,
    log: Log,
    state: Mutex<State>,
    cancelled: Arc<AtomicBool>,
}

enum View {
    Bar(ProgressBar),
    Lines,
    Events,
    Nothing,
}

struct State {
    title: String,
    phase: &'static str,
    items: u64,
    bytes: Bytes,
    items_planned: u64,
    bytes_planned: Bytes,
    began: Instant,
    /// When something was last shown of this phase.
    shown: Option<Instant>,
    warnings: u64,
}

/// How much to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Nothing but errors.
    Nothing,
    /// Warnings, and progress, for people.
    Progress,
    /// The same for programs.
    Events,
}

impl Progress {
    /// Begins watching.
    pub(crate) fn new(title: &str, show: Show, log: Log, cancelled: Arc<AtomicBool>) -> Self {
        let view = match show {
            Show::Nothing => View::Nothing,
            Show::Progress if io::stderr().is_terminal() => {
                View::Bar(ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10)))
            }
            Show::Progress => View::Lines,
            Show::Events => View::Events,
        };
        let now = Instant::now();
        let state = State {
            title: title.to_owned(),
            phase: "",
            items: 0,
            bytes: Bytes::ZERO,
            items_planned: 0,
            bytes_planned: Bytes::ZERO,
            began: now,
            shown: None,
            warnings: 0,
        };
        let progress = Self { view, log, state: Mutex::new(state), cancelled };
        progress.restyle(false);
        tracing::info!("{title} begins");
        progress
    }

    fn show(&self, state: &mut State, at_once: bool) {
        let every = match self.view {
            View::Bar(_) => DRAW_EVERY,
            View::Events => EVENT_EVERY,
            View::Lines | View::Nothing => LINE_EVERY,
        };
        // A night's log needs no line for what is over soon; a program is told of every phase once.
        let since = state.shown.map_or_else(
            || if matches!(self.view, View::Lines) { state.began.elapsed() } else { every },
            |shown| shown.elapsed(),
        );
        if !at_once && since < every {
            return;
        }
        state.shown = Some(Instant::now());
        match &self.view {
            View::Bar(bar) => {
                bar.set_length(state.bytes_planned.0.max(1));
                bar.set_position(state.bytes.0.min(state.bytes_planned.0));
                bar.set_message(state.line());
            }
            View::Lines => to_stderr(&format!("{}\n", state.line())),
            View::Events => self.log.tell("progress", state.value()),
            View::Nothing => {}
        }
    }

    /// A bar where the end is known; else the text alone.
    fn restyle(&self, planned: bool) {
        let View::Bar(bar) = &self.view else { return };
        let template = if planned { "[{bar:24}] {wide_msg}" } else { "{wide_msg}" };
        // The templates are ours and constant; without them the bar merely looks plain.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
    }

    fn warn(&self, state: &mut State, text: &str) {
        state.warnings += 1;
        let text = match state.warnings {
            ..=WARNINGS_SHOWN => tame(text),
            seen if seen == WARNINGS_SHOWN + 1 => {
                "further warnings are not shown; the result counts them".to_owned()
            }
            _ => return,
        };
        let line = format!("{} {text}\n", Paint::of(&io::stderr()).paint(Tone::Warn, "warning:"));
        match &self.view {
            View::Bar(bar) => bar.suspend(|| to_stderr(&line)),
            View::Lines => to_stderr(&line),
            View::Events => self.log.tell("warning", json!({ "text": text })),
            View::Nothing => {}
        }
    }
}

impl State {
    fn value(&self) -> Value {
        let planned = |known: bool, value: u64| known.then_some(value);
        json!({
            "title": self.title, "phase": self.phase, "items": self.items, "bytes": self.bytes,
            "items_planned": planned(self.items_planned > 0, self.items_planned),
            "bytes_planned": planned(self.bytes_planned > Bytes::ZERO, self.bytes_planned.0),
            "seconds": self.began.elapsed().as_secs_f64(),
        })
    }

    fn line(&self) -> String {
        let mut line = self.title.clone();
        if !self.phase.is_empty() {
            line.push_str(": ");
            line.push_str(self.phase);
        }
        if self.bytes_planned > Bytes::ZERO {
            line.push_str(&format!(", {} of {}", self.bytes, self.bytes_planned));
        } else if self.bytes > Bytes::ZERO {
            line.push_str(&format!(", {}", self.bytes));
        }
        if self.items_planned > 0 {
            line.push_str(&format!(", {} of {}", show_count(self.items), show_count(self.items_planned)));
        } else if self.items > 0 {
            line.push_str(&format!(", {} items", show_count(self.items)));
        }
        let elapsed = self.began.elapsed();
        if elapsed >= Duration::from_secs(1) {
            line.push_str(&format!(", {}", show_duration(elapsed)));
        }
        line
    }
}

impl Observer for Progress {
    fn tell(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { items, bytes } => {
                state.items_planned = items;
                state.bytes_planned = bytes;
                self.restyle(bytes > Bytes::ZERO);
            }
            Event::Progress { items, bytes } => {
                state.items += items;
                state.bytes += bytes;
                self.show(&mut state, false);
            }
            Event::Phase(phase) => {
                // Counts belong to a phase; `Planned` follows where they are known.
                state.phase = phase;
                (state.items, state.bytes) = (0, Bytes::ZERO);
                (state.items_planned, state.bytes_planned) = (0, Bytes::ZERO);
                self.restyle(false);
                tracing::debug!(phase, "{}", state.title);
                let at_once = match self.view {
                    View::Bar(_) | View::Events => true,
                    View::Lines | View::Nothing => state.began.elapsed() >= LINE_EVERY,
                };
                self.show(&mut state, at_once);
            }
            Event::Run(run) => {
                self.log.run(run.to_string());
                tracing::info!("{} is run {run}", state.title);
            }
            Event::Warning(text) => self.warn(&mut state, &text),
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(seconds = state.began.elapsed().as_secs(), "{} is over", state.title);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_counted_by_phase() {
        let cancelled = Arc::new(AtomicBool::new(false));
        let progress = Progress::new("backup of chats", Show::Nothing, Log::silent(), Arc::clone(&cancelled));
        progress.tell(Event::Phase("reading"));
        progress.tell(Event::Planned { items: 3, bytes: Bytes(3000) });
        progress.tell(Event::Progress { items: 1, bytes: Bytes(1000) });
        progress.tell(Event::Warning("x\u{1b}[2J".into()));
        let state = progress.state.lock().unwrap();
        assert_eq!(state.line(), "backup of chats: reading, 1.0 kB of 3.0 kB, 1 of 3");
        assert_eq!(state.warnings, 1);
        drop(state);
        cancelled.store(true, Ordering::Relaxed);
        assert!(progress.cancelled());
    }
}
