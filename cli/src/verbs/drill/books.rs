//! Books: those that come with Lifeboat by name, others by their file.

use std::path::{Path, PathBuf};

use lifeboat_runbooks::{BOOKS, Book};

use crate::codes::Code;
use crate::failure::{Failure, Result, shown, tame};

/// A book as it was found.
pub(crate) struct Found {
    /// Its name: that of its file, without `.md`.
    pub(crate) name: String,
    /// Where it was found, if it is a file.
    pub(crate) file: Option<PathBuf>,
    /// Its text.
    pub(crate) text: String,
}

/// A book by its name, or in a file that ends with `.md`.
pub(crate) fn find(asked: &str) -> Result<Found> {
    let path = Path::new(asked);
    if path.extension().is_some_and(|ending| ending == "md") {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("cannot read the book: {error}")).code(Code::NoBook).at(shown(path))
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(Found { name, file: Some(path.to_owned()), text });
    }
    let own = BOOKS.iter().find(|(name, _)| *name == asked);
    let (name, text) = own.ok_or_else(|| {
        let known = crate::config::list(BOOKS.iter().map(|(name, _)| name));
        Failure::usage(format!("there is no book {asked:?}"))
            .code(Code::NoBook)
            .next(format!("use {known}, or a file that ends with .md"))
    })?;
    Ok(Found { name: (*name).to_owned(), file: None, text: (*text).to_owned() })
}

impl Found {
    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        self.file.as_deref().map_or_else(|| format!("the book {}", self.name), shown)
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Book> {
        Book::parse(&self.text).map_err(|error| {
            Failure::usage(format!("the book cannot be relied on: {}", tame(&error.why)))
                .code(Code::BadBook)
                .at(format!("{}, line {}", self.place(), error.line))
                .next("mend that line, then see what else `lifeboat drill check` says of it")
        })
    }
}
