//! Calm text that fits 80 columns, and the one place that writes to the standard streams.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::Failure;

#[cfg(feature = "recover")]
mod lines;
mod page;
mod table;

#[cfg(feature = "recover")]
pub(crate) use lines::Lines;
pub(crate) use page::Page;
#[cfg(feature = "recover")]
pub(crate) use page::{WIDTH, fill, short_hashes, wrap_under};
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
    /// Colours for a stream that is a terminal and not a dumb one. `NO_COLOR` and `CLICOLOR=0` switch them off,
    /// `CLICOLOR_FORCE` on even for a file; `NO_COLOR` comes first. <https://bixense.com/clicolors>
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        Self { on: wanted(stream.is_terminal(), |name| std::env::var_os(name)) }
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

fn wanted(terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let refused = set("CLICOLOR").is_some_and(|value| value == "0");
    terminal && !refused && set("TERM").is_none_or(|term| term != "dumb")
}

/// Text that moves no cursor, rings no bell and reverses no line, whatever name of a file or error it quotes: what
/// would is written out. The last guard before the terminal; names are tamed where they come in, too.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let acts = |c: char| (c.is_control() && c != '\n') || is_format(c);
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let written = text.chars().map(|c| if acts(c) { c.escape_unicode().to_string() } else { c.to_string() });
    Cow::Owned(written.collect())
}

/// Characters that change the order of those beside them, or end lines: a name holding them can look like another.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
            let failure =
                Failure::failed(format!("cannot write to standard output: {error}")).code(Code::Output);
            to_stderr(&error_text(&failure.next(Code::Output.next()), Paint::of(&io::stderr())));
            exit.worst(Exit::Failed)
        }
    }
}

fn envelope(verb: &str, exit: Exit, key: &str, value: Value) -> String {
    let object = json!({ "verb": verb, "exit": exit.code(), "meaning": exit.word(), key: value });
    format!("{object:#}\n")
}

/// What clap says of a wrong command line, with its code. Where it shows help instead, that stands as it is.
pub(crate) fn misuse_text(text: &str) -> String {
    let Some(rest) = text.strip_prefix("error: ") else { return clean(text).into_owned() };
    let (what, more) = rest.split_once('\n').unwrap_or((rest, ""));
    let failure = error_text(&Failure::usage(what), Paint::of(&io::stderr()));
    format!("{failure}{}", clean(more))
}

fn error_text(failure: &Failure, paint: Paint) -> String {
    let title = format!("error[{}]:", failure.code);
    let what = page::wrap(&clean(&failure.what), title.chars().count() + 1, 7);
    let mut text = format!("{} {what}\n", paint.paint(Tone::Bad, &title));
    let mut line = |name: &str, value: &str| {
        let value = page::wrap(&clean(value), 9, 9);
        text.push_str(&format!("  {} {value}\n", paint.paint(Tone::Dim, &format!("{name:6}"))));
    };
    if let Some(place) = &failure.place {
        line("where:", place);
    }
    if let Some(next) = failure.step() {
        line("next:", next);
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
        assert_eq!(
            text,
            "error[LB-200]: there is no region eu-paris\n  where: lifeboat.toml\n  next:  use eu-fra\n"
        );
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
    fn nothing_that_acts_on_a_terminal_passes() {
        assert_eq!(clean("a\nb ü → …"), "a\nb ü → …");
        assert_eq!(clean("\u{1b}[2J\r\u{7}\u{9b}m"), "\\u{1b}[2J\\u{d}\\u{7}\\u{9b}m");
        assert_eq!(clean("exe.\u{202e}txt"), "exe.\\u{202e}txt");
    }

    #[test]
    fn colours_follow_the_environment() {
        let on = |terminal, set: &[(&str, &str)]| {
            wanted(terminal, |name| set.iter().find(|(one, _)| *one == name).map(|(_, value)| value.into()))
        };
        assert!(on(true, &[]) && !on(false, &[]) && on(true, &[("NO_COLOR", "")]));
        assert!(
            !on(true, &[("NO_COLOR", "1")])
                && !on(true, &[("TERM", "dumb")])
                && !on(true, &[("CLICOLOR", "0")])
        );
        assert!(on(false, &[("CLICOLOR_FORCE", "1")]) && !on(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!on(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }

    #[test]
    fn colours_are_off_unless_asked_for() {
        assert_eq!(Paint::default().paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint { on: true }.paint(Tone::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
        assert_eq!(Paint { on: true }.paint(Tone::Plain, "x"), "x");
    }
}
