//! `lifeboat.toml`: which regions and components there are, and what this host holds.
//!
//! [`raw`] is the file's shape, [`check`] makes sense of it or says line and column of what makes none,
//! [`template`] is the file `init` writes, [`edit`] pins officers in it without touching the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_backup::{CommandSource, Excludes, Hooks, Program, Resources, Rewriting};
use lifeboat_repo::crypto::sign::VerifyingKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Role;
use lifeboat_repo::store::throttled::Rates;

use crate::codes::Code;
use crate::failure::{Failure, Result, shown};

mod amounts;
mod check;
#[cfg(feature = "recover")]
mod collecting;
pub(crate) mod edit;
mod heartbeat;
mod keep;
mod limits;
mod outlets;
mod place;
mod raw;
#[cfg(feature = "recover")]
mod recovery;
mod replica;
mod sources;
pub(crate) mod template;
#[cfg(test)]
mod tests;

#[cfg(feature = "recover")]
pub(crate) use amounts::parse_bytes;
pub(crate) use heartbeat::{Heartbeat, Placed};
pub(crate) use keep::{Policy, TenantKeep, Treatment};
pub(crate) use limits::LimitArgs;
pub(crate) use outlets::{EXIT, Outlets, Ping, VERB};
pub(crate) use place::Place;
#[cfg(feature = "recover")]
pub(crate) use recovery::{Recovering, Reference};

/// The name of the file where none is given.
pub(crate) const FILE: &str = "lifeboat.toml";

/// A configuration that holds together.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The file it came from.
    pub(crate) path: PathBuf,
    /// What this host is, if it writes.
    pub(crate) host: Option<Host>,
    /// What this host may use.
    pub(crate) limits: Limits,
    /// Who is told how it went.
    pub(crate) outlets: Outlets,
    /// When and how much is collected.
    #[cfg(feature = "recover")]
    pub(crate) gc: lifeboat_repo::repository::collect::Knobs,
    /// With whom and how everything is brought back.
    #[cfg(feature = "recover")]
    pub(crate) recovery: Recovering,
    /// In the file's order.
    pub(crate) regions: Vec<Region>,
    /// In the file's order.
    pub(crate) components: Vec<Component>,
    /// What was promised of all components, and how often it is seen to.
    #[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
    pub(crate) policy: Policy,
    /// Tenants with a rule of their own, in the file's order.
    #[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
    pub(crate) tenants: Vec<TenantKeep>,
}

/// A host that backs up.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name as a writer.
    pub(crate) writer: Label,
    /// Its signing key, as ssh-keygen writes it.
    pub(crate) signing_key: PathBuf,
    /// Its card identity, as age-keygen writes it.
    pub(crate) card_identity: PathBuf,
    /// Where it keeps what speeds up the next backup.
    pub(crate) state: PathBuf,
    /// Whether the repository keeps a copy of that, since this host will be another one tomorrow.
    pub(crate) state_in_repository: bool,
}

/// A place with a jurisdiction and a repository.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    /// Its name.
    pub(crate) name: Label,
    /// Such as `EU`.
    pub(crate) jurisdiction: String,
    /// Where its repository lies, or what stands in its place: see `role`.
    pub(crate) repository: Place,
    /// Where its replica lies, if it has one.
    pub(crate) replica: Option<Place>,
    /// Where the witness of its ledgers lies, if it has one.
    pub(crate) witness: Option<Place>,
    /// The command that is its witness instead.
    pub(crate) witness_command: Option<Program>,
    /// Which of the two `repository` is.
    pub(crate) role: Role,
    /// Officers whose keys are pinned: trust begins with them.
    pub(crate) officers: Vec<PinnedOfficer>,
}

/// A pinned officer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PinnedOfficer {
    /// The key.
    pub(crate) key: VerifyingKey,
    /// Whose, in words; what follows the key in the file.
    pub(crate) name: String,
}

/// A part of the system that is backed up and restored on its own.
#[derive(Debug, Clone)]
pub(crate) struct Component {
    /// Its name.
    pub(crate) name: Label,
    /// The region whose repository it goes to.
    pub(crate) region: Label,
    /// Where its data comes from.
    pub(crate) source: SourceKind,
    /// What runs around its backups.
    pub(crate) hooks: Hooks,
    /// How far its backups go to keep dead data from piling up.
    pub(crate) rewriting: Rewriting,
    /// Which paths belong to which tenant.
    pub(crate) tenants: Vec<String>,
    /// Whether its tree may hold nothing at all.
    pub(crate) allow_empty: bool,
    /// Paths that these patterns fit and that are no tenant's.
    pub(crate) not_tenants: Vec<String>,
    /// Why the rest may belong to nobody; without it the rest makes a backup "partly done".
    pub(crate) system: Option<String>,
    /// What expires, how long it is locked, what was promised.
    pub(crate) treatment: Treatment,
    /// How much may be lost.
    pub(crate) rpo: Duration,
    /// How long a restore may take.
    pub(crate) rto: RtoObjective,
    /// What no timed restore can show: until a machine stands ready.
    pub(crate) rto_setup: Option<Duration>,
    /// And from restored data to a service that people use.
    pub(crate) rto_cutover: Option<Duration>,
    /// Replaying logs up to the disaster.
    #[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents restore nothing"))]
    pub(crate) rto_replay: Option<Duration>,
    /// The application's own checks of what was restored.
    #[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents restore nothing"))]
    pub(crate) rto_checks: Option<Duration>,
    /// Into how many shards its restore may be divided.
    #[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents restore nothing"))]
    pub(crate) rto_shards: std::num::NonZeroU32,
    /// Records in its data that say what a copy lost.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// Components that must be back first.
    pub(crate) needs: Vec<Label>,
    /// A URL to ask for as its backups begin and end.
    pub(crate) ping: Option<String>,
}

/// Where a component's data comes from.
#[derive(Debug, Clone)]
pub(crate) enum SourceKind {
    /// A tree, and what is left out of it.
    Files(PathBuf, Excludes),
    /// What a program writes.
    Command(CommandSource),
}

impl Component {
    /// The tree to back up, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.source {
            SourceKind::Files(path, _) => Some(path),
            SourceKind::Command(_) => None,
        }
    }
}

/// What this host may use, whatever it does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// To and from all stores together.
    pub(crate) rates: Rates,
    /// Threads and memory.
    pub(crate) resources: Resources,
    /// How far this process stands back for others, 0 to 19.
    pub(crate) nice: Option<i32>,
}

/// How long a restore may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RtoObjective {
    /// What we aim for.
    pub(crate) target: Duration,
    /// What was promised.
    pub(crate) limit: Duration,
}

/// What the environment sets instead of the file, so that a service manager can place credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// `LIFEBOAT_SIGNING_KEY`
    pub(crate) signing_key: Option<PathBuf>,
    /// `LIFEBOAT_CARD_IDENTITY`
    pub(crate) card_identity: Option<PathBuf>,
    /// `LIFEBOAT_STATE`
    pub(crate) state: Option<PathBuf>,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::usage("there is no configuration file")
                    .code(Code::NoConfiguration)
                    .at(shown(path))
                    .next("write one with `lifeboat init`, or name yours with --config FILE"));
            }
            Err(error) => {
                return Err(Failure::usage(format!("cannot read the configuration: {error}"))
                    .code(Code::Configuration)
                    .at(shown(path))
                    .next(
                        "let this user read it, or name another with --config FILE; it must be text in UTF-8",
                    ));
            }
        };
        let mut config = Self::parse(path, &text)?;
        if let Some(host) = &mut config.host {
            let instead = |slot: &mut PathBuf, with: &Option<PathBuf>| {
                if let Some(with) = with {
                    slot.clone_from(with);
                }
            };
            instead(&mut host.signing_key, &overrides.signing_key);
            instead(&mut host.card_identity, &overrides.card_identity);
            instead(&mut host.state, &overrides.state);
        }
        Ok(config)
    }

    /// Checks a text; relative paths in it are relative to the file's directory.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let source = Source { path, text };
        let raw = toml::from_str(text).map_err(|error| source.malformed(&error))?;
        check::check(&source, raw)
    }

    /// A region by name.
    pub(crate) fn region(&self, name: &Label) -> Result<&Region> {
        self.regions.iter().find(|region| region.name == *name).ok_or_else(|| {
            let known = list(self.regions.iter().map(|region| &region.name));
            Failure::usage(format!("there is no region {name}"))
                .code(Code::NoRegion)
                .at(shown(&self.path))
                .next(format!("use {known}"))
        })
    }

    /// A component by name.
    pub(crate) fn component(&self, name: &Label) -> Result<&Component> {
        self.components.iter().find(|component| component.name == *name).ok_or_else(|| {
            let known = list(self.components.iter().map(|component| &component.name));
            Failure::usage(format!("there is no component {name}"))
                .code(Code::NoComponent)
                .at(shown(&self.path))
                .next(format!("use {known}"))
        })
    }

    /// The components of a region.
    pub(crate) fn components_of<'a>(&'a self, region: &'a Label) -> impl Iterator<Item = &'a Component> {
        self.components.iter().filter(move |component| component.region == *region)
    }

    /// This host, for what only a writer can do.
    pub(crate) fn host(&self) -> Result<&Host> {
        self.host.as_ref().ok_or_else(|| {
            Failure::usage("this configuration has no [host] section, so this host writes nothing").code(Code::NoHost)
                .at(shown(&self.path))
                .next("add [host] with writer, signing_key, card_identity and state; `lifeboat init` shows the shape")
        })
    }
}

impl Region {
    /// The keys trust begins with.
    pub(crate) fn pins(&self) -> Vec<VerifyingKey> {
        self.officers.iter().map(|officer| officer.key).collect()
    }
}

/// `a, b or c`
pub(crate) fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.split_last() {
        None => "none: there are none yet".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The file's text, to point into.
pub(crate) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// A mistake at these bytes.
    fn mistake(&self, span: std::ops::Range<usize>, what: impl Into<String>) -> Failure {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let quoted = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        let quoted: String = quoted.chars().take(60).collect();
        let mut place = format!("{}, line {line}, column {column}", shown(self.path));
        if !quoted.is_empty() {
            place.push_str(": ");
            place.push_str(&lifeboat_repo::format::text::display(quoted.as_bytes()));
        }
        Failure::usage(what).code(Code::Configuration).at(place)
    }

    fn malformed(&self, error: &toml::de::Error) -> Failure {
        let message = crate::failure::tame(&error.message().replace('\n', " "));
        self.mistake(error.span().unwrap_or(0..0), message)
            .next("correct that line; `lifeboat init` in an empty directory writes a file with every field explained")
    }
}
