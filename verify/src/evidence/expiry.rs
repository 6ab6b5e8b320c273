//! Evidence speaks of one book, one configuration and one version of the program. With another of these it has expired.

use lifeboat_repo::ids::{Label, ObjectHash};
use serde::Serialize;

use super::facts::{Facts, Moment};

pub use lifeboat_repo::clock::PROOF_AGE_MAX as AGE_MAX;

/// How things are now.
#[derive(Clone, Debug)]
pub struct Current {
    /// SHA-256 of the configuration.
    pub configuration: ObjectHash,
    /// The books there are, with the SHA-256 of each one's text.
    pub books: Vec<(Label, ObjectHash)>,
    /// The version of the program.
    pub version: String,
    /// The moment.
    pub now: Moment,
}

/// Why evidence does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expired {
    /// The book it executed reads otherwise now.
    Book(Label),
    /// The book it executed is gone.
    NoBook(Label),
    /// The configuration is another.
    Configuration,
    /// The program is another.
    Tool {
        /// The version that made the evidence.
        was: String,
        /// The version there is now.
        is: String,
    },
    /// It is older than [`AGE_MAX`].
    Age,
}

/// Everything by which the evidence has expired; nothing where it still holds.
#[must_use]
pub fn expired(facts: &Facts, current: &Current) -> Vec<Expired> {
    let mut reasons = Vec::new();
    if let Some(book) = &facts.book {
        match current.books.iter().find(|(name, _)| *name == book.name) {
            Some((_, sha256)) if *sha256 == book.sha256 => {}
            Some(_) => reasons.push(Expired::Book(book.name.clone())),
            None => reasons.push(Expired::NoBook(book.name.clone())),
        }
    }
    if facts.configuration != current.configuration {
        reasons.push(Expired::Configuration);
    }
    if facts.tool.version != current.version {
        reasons.push(Expired::Tool { was: facts.tool.version.clone(), is: current.version.clone() });
    }
    if current.now.since(facts.exercise.ended) > AGE_MAX {
        reasons.push(Expired::Age);
    }
    reasons
}

impl std::fmt::Display for Expired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Book(name) => write!(f, "expired because the book {name} changed"),
            Self::NoBook(name) => write!(f, "expired because the book {name} is gone"),
            Self::Configuration => f.write_str("expired because the configuration changed"),
            Self::Tool { was, is } => {
                let was = super::plain::plain(was);
                write!(f, "expired because the program changed, from version {was} to {is}")
            }
            Self::Age => write!(f, "expired by its age: more than {} days", AGE_MAX.as_secs() / 86_400),
        }
    }
}
