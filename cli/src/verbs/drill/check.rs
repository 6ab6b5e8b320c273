//! `drill check`: whether books still say what this program understands.

use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};
use lifeboat_runbooks::lint::{self, Against, Configured, Remark};
use lifeboat_runbooks::script::Word;
use lifeboat_runbooks::{BOOKS, Book};
use serde_json::json;

use super::books::{self, Found};
use crate::args::Cli;
use crate::config::Config;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Result, tame};
use crate::render::{Outcome, Tone};
use crate::when::count_of;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Books by name, or files that end with .md [default: all that come with Lifeboat]
    #[arg(value_name = "BOOK")]
    books: Vec<String>,
}

/// What stands for a word that is known only when a step runs.
const SOMETHING: &str = "x";

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let found: Vec<Found> = if args.books.is_empty() {
        BOOKS.iter().map(|(name, _)| books::find(name)).collect::<Result<_>>()?
    } else {
        args.books.iter().map(|asked| books::find(asked)).collect::<Result<_>>()?
    };
    let (mut read, mut remarks) = (Vec::new(), Vec::new());
    for book in &found {
        match Book::parse(&book.text) {
            Ok(parsed) => read.push((book.name.clone(), parsed)),
            Err(error) => remarks.push(Remark { book: book.name.clone(), line: error.line, what: error.why }),
        }
    }
    let command = Cli::command();
    let relaxed = relaxed(command.clone());
    let understands = |words: &[Word]| understands(&command, &relaxed, words);
    // Books of one's own are held against what one has; those that come along are for anybody.
    let configured =
        context.config().ok().filter(|_| !args.books.is_empty()).map(|config| configured(&config));
    remarks.extend(lint::lint(&read, &Against { understands: &understands, configured }));
    let exit = if remarks.is_empty() { Exit::Ok } else { Exit::Usage };
    let list: Vec<_> = remarks
        .iter()
        .map(|remark| json!({ "book": tame(&remark.book), "line": remark.line, "what": tame(&remark.what) }))
        .collect();
    let names: Vec<&str> = found.iter().map(|book| book.name.as_str()).collect();
    let mut page = context.page();
    for remark in &remarks {
        page.marked("mend", Tone::Bad, &tame(&remark.to_string()));
    }
    for (name, book) in &read {
        page.item("-", &format!("{}: {}", tame(name), count_of(book.steps.len() as u64, "step", "steps")));
    }
    let steps: usize = read.iter().map(|(_, book)| book.steps.len()).sum();
    let size = format!(
        "{}, {}",
        count_of(found.len() as u64, "book", "books"),
        count_of(steps as u64, "step", "steps")
    );
    match remarks.len() {
        0 => page.toned(Tone::Good, &format!("{size}: every command is one that this program understands.")),
        more => {
            page.toned(Tone::Bad, &format!("{size}: {} to mend.", count_of(more as u64, "thing", "things")))
        }
    };
    let value = json!({ "books": names, "steps": steps, "remarks": list });
    Ok(Outcome { exit, value, page: page.finish() })
}

fn configured(config: &Config) -> Configured {
    Configured {
        components: config.components.iter().map(|component| component.name.clone()).collect(),
        regions: config.regions.iter().map(|region| region.name.clone()).collect(),
    }
}

/// The command line, with any value taken wherever one stands.
pub(crate) fn relaxed(command: Command) -> Command {
    let any = |arg: clap::Arg| {
        if arg.get_action().takes_values() { arg.value_parser(OsStringValueParser::new()) } else { arg }
    };
    command.mut_args(any).mut_subcommands(relaxed)
}

/// Whether the command line takes these words. Of what is known only when a step runs, it must be that something may stand
/// there.
pub(crate) fn understands(
    command: &Command,
    relaxed: &Command,
    words: &[Word],
) -> std::result::Result<(), String> {
    let open = words.iter().any(|word| !matches!(word, Word::Plain(_)));
    let given = words.iter().map(|word| match word {
        Word::Plain(text) => text.as_str(),
        _ => SOMETHING,
    });
    let line: Vec<&str> = std::iter::once("lifeboat").chain(given).collect();
    let helped = |kind| matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // Without its values first: those that are not known yet would keep what follows them from being read.
    if open && let Err(error) = relaxed.clone().try_get_matches_from(&line) {
        return if helped(error.kind()) { Ok(()) } else { Err(said(&error)) };
    }
    let mut command = command.clone();
    // Each value that is not known yet is let pass, one after another, so that those that are known are all looked at.
    for _ in 0..words.len() + 1 {
        match command.clone().try_get_matches_from(&line) {
            Ok(_) => return Ok(()),
            Err(error) if helped(error.kind()) => return Ok(()),
            Err(error) => match stands_in(&error).filter(|_| open) {
                Some(argument) => command = let_pass(command, &argument),
                None => return Err(said(&error)),
            },
        }
    }
    Ok(())
}

/// The argument of which all that is wrong is that the word that stands in for its value is no such value.
fn stands_in(error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    match (error.get(ContextKind::InvalidValue), error.get(ContextKind::InvalidArg)) {
        (Some(ContextValue::String(value)), Some(ContextValue::String(argument))) if value == SOMETHING => {
            Some(argument.clone())
        }
        _ => None,
    }
}

/// The command line, with any value taken for one argument.
fn let_pass(command: Command, argument: &str) -> Command {
    let any = |arg: clap::Arg| {
        let same = match (arg.get_long(), argument.strip_prefix("--")) {
            (Some(long), Some(told)) => told.split([' ', '=']).next() == Some(long),
            (long, told) => long.is_none() && told.is_none(),
        };
        if same && arg.get_action().takes_values() {
            arg.value_parser(OsStringValueParser::new())
        } else {
            arg
        }
    };
    command.mut_args(any).mut_subcommands(|below| let_pass(below, argument))
}

fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.trim_start_matches("error: ").trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_runbooks::script::invocations;

    fn remarks(command: Command) -> Vec<String> {
        let books: Vec<(String, Book)> =
            BOOKS.iter().map(|(name, text)| ((*name).to_owned(), Book::parse(text).unwrap())).collect();
        let relaxed = relaxed(command.clone());
        let understands = |words: &[Word]| understands(&command, &relaxed, words);
        lint::lint(&books, &Against { understands: &understands, configured: None })
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_books_that_come_with_lifeboat_can_be_followed() {
        assert_eq!(remarks(Cli::command()), [""; 0]);
    }

    /// Takes every flag away that a book uses, one after another: each time a book is found out.
    #[test]
    fn a_flag_that_a_book_uses_cannot_be_removed() {
        let mut tried = 0;
        for (verb, flag) in used() {
            let gone = |command: Command| {
                command.mut_args(|arg| {
                    let same = arg.get_long() == Some(flag.as_str());
                    if same { arg.long("gone-for-good") } else { arg }
                })
            };
            let command = Cli::command();
            let command = if command.find_subcommand(&verb).is_some() {
                below(command, &verb, &gone)
            } else {
                continue;
            };
            let found = remarks(command);
            assert!(
                found.iter().any(|remark| remark.contains(&format!("--{flag}"))),
                "{verb} --{flag}: {found:?}"
            );
            tried += 1;
        }
        assert!(tried > 10, "{tried}");
        // And a verb.
        let command = Cli::command().mut_subcommand("snapshots", |command| command.name("pictures"));
        assert!(remarks(command).iter().any(|remark| remark.contains("snapshots")));
    }

    fn below(command: Command, verb: &str, change: &dyn Fn(Command) -> Command) -> Command {
        fn all(command: Command, change: &dyn Fn(Command) -> Command) -> Command {
            change(command).mut_subcommands(|below| all(below, change))
        }
        command.mut_subcommand(verb, |command| all(command, change))
    }

    /// Verbs, each with a flag that some book uses with it.
    fn used() -> std::collections::BTreeSet<(String, String)> {
        let mut used = std::collections::BTreeSet::new();
        for (_, text) in BOOKS {
            for step in Book::parse(text).unwrap().steps {
                for invocation in invocations(&step.script) {
                    let words: Vec<&str> = invocation.words.iter().map(Word::as_str).collect();
                    let [program, verb, rest @ ..] = words.as_slice() else { continue };
                    if *program == "lifeboat" {
                        let flags = rest.iter().filter_map(|word| word.strip_prefix("--"));
                        used.extend(flags.map(|flag| ((*verb).to_owned(), flag.to_owned())));
                    }
                }
            }
        }
        used
    }

    #[test]
    fn what_is_known_only_later_may_stand_anywhere() {
        let command = Cli::command();
        let relaxed = relaxed(command.clone());
        let asked = |script: &str| understands(&command, &relaxed, &invocations(script)[0].words[1..]);
        for good in [
            "lifeboat restore \"$C\" --target \"$T\" --shard \"$N\"",
            "lifeboat verify --level \"$L\" --sample 10%",
            "lifeboat restore --help",
        ] {
            assert_eq!(asked(good), Ok(()), "{good}");
        }
        for bad in [
            "lifeboat restore \"$C\" --target \"$T\" --shard \"$N\" --gone",
            "lifeboat verify --level \"$L\" --sample many",
            "lifeboat verify --level deeper",
            "lifeboat restore --region \"$R\"",
            "lifeboat",
        ] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }
}
