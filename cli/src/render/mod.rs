//! Calm text that fits 80 columns, and the one place that writes to the standard streams.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;

mod page;
mod table;

pub(crate) use page::Page;
#[cfg(feature = "recover")]
pub(crate) use page::short_hashes;
pub(crate) use table::{Cell, Column, Table};

/// What a verb that came to its end has to say.
pub(crate) struct Outcome {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// For `--json`.
    pub(crate) value: Value,
    /// For people; may be empty.
    pub(crate) page: String,
}

/// How a piece of text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// Less important.
    Dim,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Something must be done.
    Bad,
}

/// Whether tones become colours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours for a stream that is a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: stream.is_terminal() && !set("NO_COLOR") && !dumb }
    }

    /// The text in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.on || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Writes to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn to_stdout(text: &str) -> io::Result<()> {
    quietly(io::stdout().lock(), text)
}

/// Writes to standard error, whatever becomes of it.
pub(crate) fn to_stderr(text: &str) {
    // Nobody is left to be told.
    let _ = quietly(io::stderr().lock(), text);
}

fn quietly(mut stream: impl Write, text: &str) -> io::Result<()> {
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Tells how a verb ended: `--json` gives one object on standard output, whether it went well or not; otherwise
/// the page goes there and an error to standard error.
pub(crate) fn tell(verb: &str, ended: Result<Outcome, Failure>, as_json: bool) -> Exit {
    let (exit, written) = match ended {
        Ok(outcome) if as_json => {
            (outcome.exit, to_stdout(&envelope(verb, outcome.exit, "result", outcome.value)))
        }
        Ok(outcome) => (outcome.exit, to_stdout(&outcome.page)),
        Err(failure) if as_json => {
            (failure.exit, to_stdout(&envelope(verb, failure.exit, "error", failure.json())))
        }
        Err(failure) => {
            to_stderr(&error_text(&failure, Paint::of(&io::stderr())));
            (failure.exit, Ok(()))
        }
    };
    match written {
        Ok(()) => exit,
        Err(error) => {
            to_stderr(&format!("error: cannot write to standard output: {error}\n"));
            exit.worst(Exit::Failed)
        }
    }
}

fn envelope(verb: &str, exit: Exit, key: &str, value: Value) -> String {
    let object = json!({ "verb": verb, "exit": exit.code(), "meaning": exit.word(), key: value });
    format!("{object:#}\n")
}

fn error_text(failure: &Failure, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.paint(Tone::Bad, "error:"), page::wrap(&failure.what, 7));
    if let Some(place) = &failure.place {
        text.push_str(&format!("  {} {}\n", paint.paint(Tone::Dim, "where:"), place));
    }
    if let Some(next) = &failure.next {
        text.push_str(&format!("  {}  {}\n", paint.paint(Tone::Dim, "next:"), page::wrap(next, 9)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_what_next() {
        let failure = Failure::usage("there is no region eu-paris").at("lifeboat.toml").next("use eu-fra");
        let text = error_text(&failure, Paint::default());
        assert_eq!(text, "error: there is no region eu-paris\n  where: lifeboat.toml\n  next:  use eu-fra\n");
    }

    #[test]
    fn json_is_one_object_either_way() {
        let failure = Failure::failed("x");
        let object: Value =
            serde_json::from_str(&envelope("ls", failure.exit, "error", failure.json())).unwrap();
        assert_eq!(object["exit"], 1);
        assert_eq!(object["error"]["what"], "x");
    }

    #[test]
    fn colours_are_off_unless_asked_for() {
        assert_eq!(Paint::default().paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint { on: true }.paint(Tone::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(Paint { on: true }.paint(Tone::Plain, "x"), "x");
    }
}
