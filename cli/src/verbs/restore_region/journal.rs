//! What a region's restore writes down in its target, so that it can go on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_verify::objective::Work;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};

/// Its name in the target.
const NAME: &str = lifeboat_runbooks::drill::conclude::REGION_JOURNAL;
/// A journal of thousands of components is far shorter.
const LENGTH_MAX: u64 = 16 << 20;

/// The journal, in memory.
pub(super) struct Journal {
    directory: PathBuf,
    body: Body,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The region.
    region: Label,
    /// `--at` as it was given.
    at: Option<String>,
    /// When it was begun first.
    begun: Timestamp,
    /// When everything was there first. Whoever looks again tomorrow must not be told that it took a day.
    #[serde(default)]
    ended: Option<Timestamp>,
    /// Components that have a snapshot.
    components: BTreeMap<Label, Step>,
}

/// What became of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The snapshot chosen.
    pub(super) run: RunId,
    /// How far it came.
    pub(super) stage: Stage,
    /// Whether stored data turned out to be damaged.
    #[serde(default)]
    pub(super) damaged: bool,
    /// How long it took; none until it is done.
    pub(super) took: Option<Duration>,
    /// Entries restored.
    pub(super) entries: u64,
    /// Bytes of content written.
    pub(super) bytes: Bytes,
    /// All that there was to do; none until it is done.
    #[serde(default)]
    pub(super) work: Option<Work>,
}

/// How far a component came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Its snapshot is chosen.
    Chosen,
    /// It was begun.
    Begun,
    /// Everything is there.
    Complete,
    /// It came to its end, and something is missing.
    Partial,
}

/// How long each component took that a region's restore brought there, and what there was to do; nothing where none did.
pub(in super::super) fn brought(target: &Path) -> BTreeMap<Label, (Duration, Option<Work>)> {
    let path = target.join(NAME);
    let short = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LENGTH_MAX);
    let body =
        short.then(|| fs::read(&path).ok()).flatten().map(|text| serde_json::from_slice::<Body>(&text));
    let components = body.and_then(|body| body.ok()).map(|body| body.components).unwrap_or_default();
    components.into_iter().filter_map(|(name, step)| Some((name, (step.took?, step.work)))).collect()
}

impl Journal {
    /// The journal in a target, or a new one where the target is empty or not there yet.
    ///
    /// # Errors
    /// The target holds something else, or the restore of something else.
    pub(super) fn open(target: &Path, region: &Label, at: Option<&str>, now: Timestamp) -> Result<Self> {
        let path = target.join(NAME);
        let unread = |error: &dyn std::fmt::Display| Failure::file("read it", &path, error);
        let other = |what: String| {
            Failure::new(Exit::Refused, what)
                .code(Code::NotRestored)
                .at(shown(&path))
                .next("name another target, or ask for the same as before")
        };
        match File::open(&path) {
            Ok(file) => {
                if file.metadata().map_err(|error| unread(&error))?.len() > LENGTH_MAX {
                    return Err(other("this is no journal of a region's restore".into()));
                }
                let body: Body = serde_json::from_reader(io::BufReader::new(file))
                    .map_err(|error| other(format!("the journal of the restore cannot be read: {error}")))?;
                if body.region != *region {
                    return Err(other(format!("region {} is being restored here", body.region)));
                }
                if body.at.as_deref() != at {
                    let meant = body.at.as_deref().map_or("the latest".to_owned(), |at| format!("--at {at}"));
                    return Err(other(format!("the restore here was begun for {meant}")));
                }
                Ok(Self { directory: target.to_owned(), body })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                refuse_full(target)?;
                let components = BTreeMap::new();
                let body = Body {
                    region: region.clone(),
                    at: at.map(str::to_owned),
                    begun: now,
                    ended: None,
                    components,
                };
                Ok(Self { directory: target.to_owned(), body })
            }
            Err(error) => Err(unread(&error)),
        }
    }

    /// How long it takes from the first beginning: until `now`, or until everything was there first.
    pub(super) fn elapsed(&self, now: Timestamp) -> Duration {
        self.body.ended.unwrap_or(now).since(self.body.begun)
    }

    /// Notes that everything is there, unless it was before.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn conclude(&mut self, now: Timestamp) -> Result<()> {
        if self.body.ended.is_none() {
            self.body.ended = Some(now);
            self.store()?;
        }
        Ok(())
    }

    /// What is known of a component.
    pub(super) fn step(&self, component: &Label) -> Option<&Step> {
        self.body.components.get(component)
    }

    /// How long earlier attempts took that came to an end.
    pub(super) fn spent(&self, component: &Label) -> Duration {
        self.step(component).and_then(|step| step.took).unwrap_or_default()
    }

    /// Chooses a component's snapshot.
    pub(super) fn decide(&mut self, component: &Label, run: RunId) {
        let step = Step {
            run,
            stage: Stage::Chosen,
            damaged: false,
            took: None,
            entries: 0,
            bytes: Bytes::ZERO,
            work: None,
        };
        self.body.components.insert(component.clone(), step);
    }

    /// Notes that a component is begun.
    pub(super) fn begin(&mut self, component: &Label) -> Result<()> {
        if let Some(step) = self.body.components.get_mut(component) {
            step.stage = Stage::Begun;
        }
        self.body.ended = None;
        self.store()
    }

    /// Notes what became of a component.
    pub(super) fn end(&mut self, component: &Label, step: Step) -> Result<()> {
        self.body.components.insert(component.clone(), step);
        self.store()
    }

    /// Writes it, whole or not at all; makes the target.
    pub(super) fn store(&self) -> Result<()> {
        let path = self.directory.join(NAME);
        self.write(&path).map_err(|error| {
            Failure::file("write down how far the restore came", &path, &error).next(Code::File.next())
        })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let fresh = path.with_extension("json.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        serde_json::to_writer_pretty(&mut file, &self.body)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(&self.directory)?.sync_all()
    }
}

fn refuse_full(target: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file("list the target", target, &error)),
        Ok(entries) => entries,
    };
    let name = |entry: &io::Result<fs::DirEntry>| entry.as_ref().ok().map(fs::DirEntry::file_name);
    match entries.find(|entry| name(entry).is_none_or(|name| name != "lost+found")) {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            Exit::Refused,
            "the target is not empty, and no region's restore was begun in it",
        )
        .code(Code::NotRestored)
        .at(shown(target))
        .next("name an empty directory, or one to make")),
    }
}
