//! `evidence`: list it, show it, check it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::ids::{Label, ObjectHash};
use lifeboat_verify::evidence::facts::Moment;
use lifeboat_verify::evidence::{Current, Vouch};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::render::Outcome;

pub(crate) mod held;
mod list;
pub(crate) mod made;
mod show;
pub(crate) mod sign;
mod verify;

pub(crate) use list::value;

/// Where drills put their evidence.
pub(crate) const HOME: &str = "drills";

/// The version that evidence of this program names.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List evidence, the newest last, with its verdict and whether it still holds
    List(list::Args),
    /// Show what evidence says
    Show(show::Args),
    /// Check who signed evidence, and that nobody changed it since
    Verify(verify::Args),
    /// Put your word behind evidence that nobody signed yet
    Sign(sign::Args),
}

impl Args {
    /// The verb's name, for `--json`.
    pub(crate) const fn name(&self) -> &'static str {
        match &self.what {
            What::List(_) => "evidence list",
            What::Show(_) => "evidence show",
            What::Verify(_) => "evidence verify",
            What::Sign(_) => "evidence sign",
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::List(args) => list::run(context, args),
        What::Show(args) => show::run(context, args),
        What::Verify(args) => verify::run(context, args),
        What::Sign(args) => sign::run(context, args),
    }
}

/// Whom to believe where nobody is named: the officers pinned in the configuration.
pub(crate) fn pinned(context: &Context) -> Result<Vouch> {
    let config = context.config()?;
    Ok(Vouch::Keys(config.regions.iter().flat_map(crate::config::Region::pins).collect()))
}

/// How things are now: what evidence must still fit.
pub(crate) fn current(context: &Context, books: Option<&Path>) -> Result<Current> {
    let file = context.config_file();
    let text =
        std::fs::read(&file).map_err(|error| Failure::file("read the configuration", &file, &error))?;
    Ok(Current {
        configuration: ObjectHash::from_bytes(sha256(&text)),
        books: books.map_or_else(|| Ok(own_books()), books_in)?,
        version: VERSION.to_owned(),
        now: Moment::new(context.now()),
    })
}

/// The books that come with the program.
fn own_books() -> Vec<(Label, ObjectHash)> {
    lifeboat_runbooks::BOOKS
        .iter()
        .filter_map(|(name, text)| {
            Some((name.parse().ok()?, ObjectHash::from_bytes(sha256(text.as_bytes()))))
        })
        .collect()
}

/// The books of a directory, by their file's name.
fn books_in(directory: &Path) -> Result<Vec<(Label, ObjectHash)>> {
    let failed = |path: &Path, error: &std::io::Error| Failure::file("read a book", path, error);
    let mut books = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| failed(directory, &error))? {
        let path: PathBuf = entry.map_err(|error| failed(directory, &error))?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let (Some(name), Some("md")) = (name, path.extension().and_then(|name| name.to_str())) {
            let text = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
            books.push((name, ObjectHash::from_bytes(sha256(&text))));
        }
    }
    Ok(books)
}
