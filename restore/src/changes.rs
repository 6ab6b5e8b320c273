//! What a restore in place changes, and what it leaves: the plan of it, which a dry run prints.

use std::fmt;

use lifeboat_repo::format::text;
use lifeboat_repo::units::Bytes;
use serde::{Serialize, Serializer};

/// Paths named in full; the others are counted.
const PATHS_MAX: usize = 1000;

/// Paths a page names; JSON has more.
const SHOWN: usize = 20;

/// What becomes of what is in the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Whether it goes on with what a restore left unfinished.
    pub continues: bool,
    /// Entries that are not there and are made.
    pub made: u64,
    /// Entries that are as they must be.
    pub unchanged: u64,
    /// Entries whose owner, mode, time or attributes are set.
    pub corrected: u64,
    /// Files into which what differs is written.
    pub patched: u64,
    /// Entries that another takes the place of.
    pub replaced: u64,
    /// Entries that stay as they are although they differ: findings say why.
    pub left: u64,
    /// Bytes of content to write that are fetched.
    pub bytes: Bytes,
    /// Segments to fetch, each once.
    pub segments: u64,
    /// Stored bytes to fetch.
    pub fetch: Bytes,
    /// What is removed, each with everything below it.
    pub removed: Paths,
    /// What the snapshot does not have and is kept.
    pub surplus: Paths,
    /// Why nothing surplus is removed although that was asked for.
    pub not_removed: Option<String>,
}

/// Paths: the first of them, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Paths {
    /// How many.
    pub count: u64,
    /// The first of them.
    #[serde(serialize_with = "as_shown")]
    pub first: Vec<Vec<u8>>,
}

impl Changes {
    /// Entries that are changed or made.
    #[must_use]
    pub fn touched(&self) -> u64 {
        self.made + self.corrected + self.patched + self.replaced
    }

    /// Whether any file's content is written.
    pub(crate) fn writes_files(&self) -> bool {
        self.bytes > Bytes::ZERO || self.patched + self.replaced > 0
    }
}

impl Paths {
    pub(crate) fn add(&mut self, path: impl FnOnce() -> Vec<u8>) {
        self.count += 1;
        if self.first.len() < PATHS_MAX {
            self.first.push(path());
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        for path in self.first.iter().take(SHOWN) {
            writeln!(f, "  {word:<9} {}", text::display(path))?;
        }
        match self.count.saturating_sub(SHOWN as u64) {
            0 => Ok(()),
            more => writeln!(f, "  {word:<9} and {more} more"),
        }
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.continues {
            writeln!(f, "  goes on   with what a restore of the same left unfinished")?;
        }
        writeln!(f, "  there     {} as they must be", counted(self.unchanged, "entry is", "entries are"))?;
        writeln!(
            f,
            "  changes   {} made, {} replaced, {} rewritten in part, {} corrected",
            self.made, self.replaced, self.patched, self.corrected
        )?;
        if self.left > 0 {
            writeln!(
                f,
                "  leaves    {} and cannot be changed",
                counted(self.left, "entry that differs", "entries that differ")
            )?;
        }
        writeln!(f, "  writes    {}", self.bytes)?;
        writeln!(f, "  fetches   {} in {}", self.fetch, counted(self.segments, "segment", "segments"))?;
        self.removed.write(f, "removes")?;
        if let Some(why) = &self.not_removed {
            writeln!(f, "  removes   nothing: {why}")?;
        }
        self.surplus.write(f, "keeps")
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn as_shown<S: Serializer>(paths: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| text::display(path)))
}
