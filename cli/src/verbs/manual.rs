//! `manual`: a man page for the program and one for every verb, made from the command line itself.

use std::collections::VecDeque;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, roman};
use serde_json::json;

use crate::args::{Cli, ENVIRONMENT};
use crate::config::FILE;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::render::Outcome;

mod examples;

use examples::examples;

/// What the program reads and writes.
const FILES: [(&str, &str); 5] = [
    (FILE, "The configuration, in the current directory unless --config or LIFEBOAT_CONFIG names another."),
    (
        "keys/WRITER, keys/WRITER.card",
        "This host's signing key and card identity. They open no tenant's data.",
    ),
    (
        "recovery-REGION.txt",
        "A recovery identity: opens every backup of its region. It belongs in a safe, not on a host.",
    ),
    ("officer-NAME", "An officer's signing key: says who may write. It belongs in another safe."),
    (
        "state/",
        "What this host remembers of its last backup. It may be emptied; the next backup is slower then.",
    ),
];

/// The date on the pages: that of the release, not of the day they are written, so that they stay the same.
const PAGES_OF: &str = "2026-11-23";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to write the pages, such as /usr/local/share/man/man1; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    std::fs::create_dir_all(&args.out)
        .map_err(|error| Failure::file("make the directory", &args.out, &error))?;
    let mut names = Vec::new();
    for (name, text) in pages()? {
        let file = args.out.join(&name);
        std::fs::write(&file, text).map_err(|error| Failure::file("write a man page", &file, &error))?;
        names.push(name);
    }
    let mut page = context.page();
    page.raw(&format!("{} man pages in {}", names.len(), shown(&args.out)));
    if let Some(first) = names.first() {
        page.item("→", &format!("man -l {}", shown(&args.out.join(first))));
    }
    let value = json!({ "directory": shown(&args.out), "pages": names });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

/// Every page: name of the file and text. Verbs of verbs have one each, too.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut waiting = VecDeque::from([(String::from("lifeboat"), root)]);
    let mut pages = Vec::new();
    while let Some((path, command)) = waiting.pop_front() {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            waiting.push_back((format!("{path} {}", below.get_name()), below.clone()));
        }
        let text =
            page(&path, &command).map_err(|error| Failure::failed(format!("cannot make {path}: {error}")))?;
        pages.push((format!("{}.1", path.replace(' ', "-")), text));
    }
    Ok(pages)
}

fn page(path: &str, command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let verbs: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    // What follows the help is in sections of its own here.
    let command = command.clone().after_help(None::<&str>).after_long_help(None::<&str>);
    let man = Man::new(command.name(path.replace(' ', "-")))
        .title(path.replace(' ', "-").to_uppercase())
        .source(concat!("lifeboat ", env!("CARGO_PKG_VERSION")))
        .date(PAGES_OF)
        .manual("Lifeboat");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    // clap_mangen breaks a line, leaves one empty and breaks again, which mandoc rightly finds odd.
    text = String::from_utf8_lossy(&text).replace("\n.br\n\n.br\n", "\n.sp\n").into_bytes();
    let mut roff = Roff::new();
    if !verbs.is_empty() {
        roff.control("SH", ["VERBS"]);
        let pages = verbs.iter().map(|verb| format!("{}-{verb}(1)", path.replace(' ', "-")));
        roff.text([roman(pages.collect::<Vec<_>>().join(", "))]);
    }
    exit_status(&mut roff);
    pairs(&mut roff, "FILES", FILES.iter().map(|(name, what)| (bold(*name), *what)));
    pairs(&mut roff, "ENVIRONMENT", ENVIRONMENT.iter().map(|(name, what)| (bold(*name), *what)));
    pairs(&mut roff, "EXAMPLES", examples(path).iter().map(|(line, what)| (bold(*line), *what)));
    roff.control("SH", ["SEE ALSO"]);
    let beside = if path == "lifeboat" { "age(1), ssh-keygen(1)" } else { "lifeboat(1)" };
    roff.text([roman(format!("{beside}; `lifeboat explain CODE` for errors."))]);
    text.extend(roff.render().into_bytes());
    Ok(text)
}

fn exit_status(roff: &mut Roff) {
    let codes = Exit::ALL.iter().map(|exit| (bold(exit.code().to_string()), exit.meaning()));
    pairs(roff, "EXIT STATUS", codes);
    roff.control("PP", []);
    roff.text([roman("Where several things were done, the gravest counts.")]);
}

fn pairs<'a>(roff: &mut Roff, heading: &str, pairs: impl Iterator<Item = (Inline, &'a str)>) {
    roff.control("SH", [heading]);
    for (name, what) in pairs {
        roff.control("TP", []);
        roff.text([name]);
        roff.text([roman(what)]);
    }
}
