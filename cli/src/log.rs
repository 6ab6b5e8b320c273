//! The log: one line an event, as text or as JSON, each with the verb, the component and the run it is about.
//!
//! What an operation tells (phases, progress, warnings) takes the same form where standard error is JSON, so that
//! every line of it is one object.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use lifeboat_repo::clock::{Clock, SystemClock};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::Global;
use crate::codes::Code;
use crate::failure::{Failure, Result};
use crate::render::{clean, to_stderr};

/// What standard error looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the lines of the log are about.
#[derive(Debug, Default)]
struct Subject {
    verb: &'static str,
    component: Option<String>,
    run: Option<String>,
}

/// The log of the process. A verb works on one component at a time, so that one subject holds for all its threads.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// What standard error looks like.
    pub(crate) format: LogFormat,
    subject: Arc<Mutex<Subject>>,
}

impl Log {
    /// Starts the log as flags and environment say.
    ///
    /// # Errors
    /// `LIFEBOAT_LOG` or `LIFEBOAT_LOG_FORMAT` says nothing that is understood.
    pub(crate) fn start(global: &Global, verb: &'static str) -> Result<Self> {
        let format = match (global.log_format, std::env::var("LIFEBOAT_LOG_FORMAT")) {
            (Some(format), _) => format,
            (None, Ok(text)) if !text.is_empty() => LogFormat::from_str(&text, true).map_err(|_| {
                Failure::usage(format!("{text:?} is no form of a log"))
                    .code(Code::Usage)
                    .at("LIFEBOAT_LOG_FORMAT")
                    .next("write text or json")
            })?,
            _ if global.json => LogFormat::Json,
            _ => LogFormat::Text,
        };
        let log = Self { format, subject: Arc::new(Mutex::new(Subject { verb, ..Subject::default() })) };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(global)?)
            .with_writer(std::io::stderr)
            .event_format(Lines(log.clone()));
        // A second subscriber is impossible here, and without any the program still works.
        let _ = subscriber.try_init();
        Ok(log)
    }

    /// A log for tests.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self { format: LogFormat::Text, subject: Arc::default() }
    }

    /// What follows is about this component.
    pub(crate) fn about(&self, component: Option<String>) {
        let mut subject = self.subject();
        subject.component = component;
        subject.run = None;
    }

    /// What follows is about this run, or snapshot.
    pub(crate) fn run(&self, run: String) {
        self.subject().run = Some(run);
    }

    /// Writes a line that an operation tells, where standard error is JSON.
    pub(crate) fn tell(&self, event: &'static str, more: Value) {
        let mut line = self.head(event);
        if let Value::Object(more) = more {
            line.extend(more);
        }
        to_stderr(&format!("{}\n", Value::Object(line)));
    }

    fn subject(&self) -> std::sync::MutexGuard<'_, Subject> {
        self.subject.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every JSON line begins with.
    fn head(&self, event: &'static str) -> Map<String, Value> {
        let subject = self.subject();
        let mut line = Map::new();
        line.insert("time".into(), json!(SystemClock.now().rfc3339()));
        line.insert("event".into(), json!(event));
        line.insert("verb".into(), json!(subject.verb));
        line.insert("component".into(), json!(subject.component));
        line.insert("run".into(), json!(subject.run));
        line
    }
}

/// What is logged: the flag, else the environment, else as loud as asked for.
fn filter(global: &Global) -> Result<EnvFilter> {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let from_environment = || std::env::var("LIFEBOAT_LOG").ok().filter(|text| !text.is_empty());
    let (place, text) = match (&global.log_level, from_environment()) {
        (Some(text), _) => ("--log-level", text.clone()),
        (None, Some(text)) => ("LIFEBOAT_LOG", text),
        (None, None) => return Ok(EnvFilter::new(default)),
    };
    EnvFilter::try_new(&text).map_err(|error| {
        Failure::usage(format!("{text:?} says not what to log: {error}")).code(Code::Usage).at(place).next(
            "write error, warn, info, debug or trace, or a part with its level as in lifeboat_backup=debug",
        )
    })
}

/// Writes events of `tracing`.
struct Lines(Log);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level();
        match self.0.format {
            LogFormat::Json => {
                let mut line = self.0.head("log");
                line.insert("level".into(), json!(level.as_str().to_ascii_lowercase()));
                line.insert("target".into(), json!(event.metadata().target()));
                line.insert("message".into(), json!(fields.message));
                line.insert("fields".into(), Value::Object(fields.rest));
                writeln!(out, "{}", Value::Object(line))
            }
            LogFormat::Text => {
                let line = text_line(&self.0.subject(), level.as_str(), &fields);
                writeln!(out, "{}", clean(&line).replace('\n', "\\n"))
            }
        }
    }
}

fn text_line(subject: &Subject, level: &str, fields: &Fields) -> String {
    let time = SystemClock.now().rfc3339();
    let about = [Some(subject.verb), subject.component.as_deref(), subject.run.as_deref()];
    let about: Vec<&str> = about.into_iter().flatten().collect();
    let mut line = format!("{time} {level:5} {}: {}", about.join(" "), fields.message);
    for (name, value) in &fields.rest {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::String(text) => write!(line, " {name}={text}"),
            other => write!(line, " {name}={other}"),
        };
    }
    line
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, json!(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, json!(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, json!(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, json!(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is_about() {
        let subject = Subject { verb: "backup", component: Some("chats".into()), run: Some("2026-x".into()) };
        let mut fields = Fields { message: "a card is not used".into(), ..Fields::default() };
        fields.rest.insert("card".into(), json!("cards/a"));
        let line = text_line(&subject, "WARN", &fields);
        assert!(line.ends_with(" WARN  backup chats 2026-x: a card is not used card=cards/a"), "{line}");
    }
}
