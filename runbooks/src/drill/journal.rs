//! What a drill writes down as it goes, so that it can go on after it was cut off, and so that the cut is told.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lifeboat_repo::ids::{Label, ObjectHash, RunId};
use lifeboat_repo::units::Bytes;
use lifeboat_verify::evidence::facts::{How, Interruption, Moment, NotRun, StepFact};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::shown;
use super::target::{Cleanup, Target};
use crate::book::Variable;

mod concluded;

pub use concluded::Concluded;

/// The file.
const NAME: &str = "drill.json";
/// Says when the drill last showed a sign of life.
const ALIVE: &str = "alive";
/// A journal of a thousand steps is far shorter.
const LENGTH_MAX: u64 = 16 << 20;
/// What a drill found, once all is looked at: a directory of its facts and of what goes with them.
const CONCLUDED: &str = "concluded";
/// How the directory of a drill ends that has not come to its end.
pub const UNFINISHED: &str = ".unfinished";

/// All that a drill has to know again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Its id.
    pub id: Label,
    /// The book: its name, or its file.
    pub book: String,
    /// SHA-256 of its text.
    pub book_sha256: ObjectHash,
    /// SHA-256 of the configuration.
    pub configuration: ObjectHash,
    /// The region.
    pub region: Label,
    /// The component, where the book is about one.
    pub component: Option<Label>,
    /// Who leads.
    pub operator: String,
    /// When the disaster struck.
    pub disruption: Moment,
    /// How that was chosen.
    pub how: How,
    /// When it was begun.
    pub begun: Moment,
    /// The auditor's nonce.
    pub nonce: String,
    /// The earlier checkpoint from which samples are drawn, and the seed made of both.
    pub checkpoint: Option<String>,
    /// The seed.
    pub seed: String,
    /// Where it restores to.
    pub target: Target,
    /// What is restored.
    pub pins: Vec<Pin>,
    /// Values of the book's variables. No secrets: whatever is one by its name is taken from the environment alone.
    pub values: BTreeMap<Variable, String>,
    /// Tenants that must be absent.
    pub erased: Vec<String>,
    /// Every step.
    pub steps: Vec<StepFact>,
    /// Times at which nothing ran.
    pub interruptions: Vec<Interruption>,
    /// What could not be done.
    pub not_run: Vec<NotRun>,
    /// Whether what was restored is left where it is.
    pub keep: bool,
    /// Whether the region's replica is looked at, not its repository.
    pub replica: bool,
    /// What was said beforehand of steps for people, by their names.
    pub done: BTreeMap<String, String>,
    /// The command that goes on with it, should it be cut off.
    pub resume: String,
    /// Whether cleaning up the target has begun: from then on nothing of it is whole.
    pub cleaning: bool,
    /// What became of the target, once it was cleaned up.
    pub cleanup: Option<Cleanup>,
}

/// A snapshot that a drill restores, decided at its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The component.
    pub component: Label,
    /// Its snapshot; none that would have been there.
    pub run: Option<RunId>,
    /// Up to when it holds data.
    pub recovery_point: Option<Moment>,
    /// How much content it has.
    pub bytes: Bytes,
    /// How many files.
    pub files: u64,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process works on the drill.
    #[error("{0} is under way in another process")]
    Busy(String),
    /// It is none.
    #[error("{place} is no drill that can go on: {why}")]
    Broken {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// The machine failed.
    #[error("cannot write down how far the drill came in {place}: {error}")]
    Io {
        /// Where.
        place: String,
        /// Why.
        error: io::Error,
    },
}

/// The journal of a drill under way; no other process has it meanwhile.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    _lock: File,
    /// What it says.
    pub body: Body,
}

impl Journal {
    /// Begins one in `out`.
    ///
    /// # Errors
    /// There is one of that id, or the machine failed.
    pub fn begin(out: &Path, body: Body) -> Result<Self, JournalError> {
        let directory = out.join(format!("{}{UNFINISHED}", body.id));
        let io = |error| JournalError::Io { place: shown(&directory), error };
        fs::create_dir_all(out).map_err(io)?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(io)?;
        let lock = lock(&directory)?;
        let journal = Self { directory, _lock: lock, body };
        journal.store().inspect_err(|_| {
            // Nothing is begun: what cannot go on must not look as if it could.
            let _ = fs::remove_dir_all(&journal.directory);
        })?;
        Ok(journal)
    }

    /// Takes up the one in this directory.
    ///
    /// # Errors
    /// It is no journal, another process has it, or the machine failed.
    pub fn resume(directory: &Path) -> Result<Self, JournalError> {
        let lock = lock(directory)?;
        Ok(Self { directory: directory.to_owned(), _lock: lock, body: peek(directory)? })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The machine failed.
    pub fn store(&self) -> Result<(), JournalError> {
        let path = self.directory.join(NAME);
        let write = || -> io::Result<()> {
            let fresh = path.with_extension("new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            serde_json::to_writer_pretty(&mut file, &self.body)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| JournalError::Io { place: shown(&path), error })
    }

    /// Writes down what was found, whole or not at all: what was restored may be removed from now on.
    ///
    /// # Errors
    /// It is more than is ever read again, or the machine failed.
    pub fn conclude(&self, found: &Concluded) -> Result<(), JournalError> {
        let place = self.directory.join(CONCLUDED);
        let write = || found.put(&place).and_then(|()| File::open(&self.directory)?.sync_all());
        write().map_err(|error| JournalError::Io { place: shown(&place), error })
    }

    /// What was found, if the drill had come so far.
    ///
    /// # Errors
    /// What is there is not what was written.
    pub fn concluded(&self) -> Result<Option<Concluded>, JournalError> {
        let place = self.directory.join(CONCLUDED);
        Concluded::read(&place).map_err(|why| JournalError::Broken { place: shown(&place), why })
    }

    /// Says that it is alive. What fails here is not worth ending a drill.
    pub fn alive(&self, now: Moment) {
        let _ = fs::write(self.directory.join(ALIVE), now.to_string());
    }

    /// The last sign of life before now, as far as there was one.
    #[must_use]
    pub fn last_alive(&self) -> Moment {
        let said =
            fs::read_to_string(self.directory.join(ALIVE)).ok().and_then(|text| text.trim().parse().ok());
        let told = self.body.steps.iter().filter_map(|step| step.ended.or(step.started)).max();
        said.max(told).unwrap_or(self.body.begun)
    }

    /// Removes it, once evidence stands in its place.
    ///
    /// # Errors
    /// The machine failed.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.directory)
    }
}

/// What the journal in this directory says, whoever has it.
///
/// # Errors
/// It is none.
pub fn peek(directory: &Path) -> Result<Body, JournalError> {
    let path = directory.join(NAME);
    let broken = |why: String| JournalError::Broken { place: shown(directory), why };
    let length = fs::metadata(&path).map_err(|error| broken(error.to_string()))?.len();
    if length > LENGTH_MAX {
        return Err(broken("it is far too long".into()));
    }
    let text = fs::read(&path).map_err(|error| broken(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))
}

/// Drills in `out` that have not come to their end: their directories, sorted.
///
/// # Errors
/// The directory cannot be listed; one that is not there holds none.
pub fn unfinished(out: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) && path.join(NAME).is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn lock(directory: &Path) -> Result<File, JournalError> {
    let io = |error: io::Error| JournalError::Io { place: shown(directory), error };
    let file = File::open(directory).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(JournalError::Busy(shown(directory))),
        Err(error) => Err(io(error.into())),
    }
}
