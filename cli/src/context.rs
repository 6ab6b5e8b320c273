//! What every verb starts from: how to speak, the configuration, opened repositories.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use lifeboat_backup::Environment as Variables;
use lifeboat_repo::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::agent::{Agent, Credentials};
use lifeboat_repo::repository::catalog::Catalog;
#[cfg(feature = "recover")]
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::{Repository, Role};
use lifeboat_repo::store::throttled::Throttle;
use lifeboat_repo::units::Timestamp;

use crate::codes::Code;
use crate::config::{Config, FILE, Host, LimitArgs, Overrides, Region};
use crate::exit::Exit;
#[cfg(feature = "recover")]
use crate::failure::shown;
use crate::failure::{Failure, Result};
use crate::keyfiles;
use crate::log::{Log, LogFormat};
use crate::progress::{Progress, Show};
use crate::render::{Page, Paint};
use stores::Patience;
#[cfg(feature = "recover")]
pub(crate) use stores::open_store;
pub(crate) use stores::repository_place;

mod stores;

/// What every verb starts from.
#[derive(Clone)]
pub(crate) struct Context {
    /// Whether the result is one JSON object.
    pub(crate) json: bool,
    /// Whether only errors and the result are wanted.
    pub(crate) quiet: bool,
    /// Where events and warnings go.
    pub(crate) log: Log,
    /// The configuration file named on the command line.
    pub(crate) config_path: Option<PathBuf>,
    /// Where metrics go, if the command line says so.
    pub(crate) metrics: Option<PathBuf>,
    /// What the environment says.
    pub(crate) environment: Environment,
    /// Whether regions' replicas are looked at instead of their repositories.
    pub(crate) replica: bool,
    /// Set by Ctrl-C.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// What holds back all stores together, once the configuration said so.
    pub(crate) throttle: Arc<OnceLock<Arc<Throttle>>>,
    /// The machine's clock.
    pub(crate) clock: SystemClock,
    /// The machine's randomness.
    pub(crate) entropy: SystemEntropy,
}

/// What the environment says. A variable that is empty says nothing.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    /// `LIFEBOAT_CONFIG`
    pub(crate) config: Option<PathBuf>,
    /// `LIFEBOAT_IDENTITY`, set apart by colons.
    pub(crate) identities: Vec<PathBuf>,
    /// `LIFEBOAT_OFFICER_KEY`
    pub(crate) officer_key: Option<PathBuf>,
    /// `LIFEBOAT_REPLICA`: whether verbs that have `--replica` look at replicas.
    pub(crate) replica: bool,
    /// What it sets instead of the configuration.
    pub(crate) overrides: Overrides,
}

/// That trust can begin somewhere: without a pinned officer nothing in a repository can be trusted.
pub(crate) fn pinned(region: &Region) -> Result<()> {
    if region.officers.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            format!("no officer's key is pinned for region {}, so nothing in its repository can be trusted", region.name),
        ).code(Code::NotPinned)
        .next(
            "make the repository with `lifeboat init`, or copy the officer's public key from the paper in the \
             safe to officers = [\"ssh-ed25519 AAAA… name\"]",
        ));
    }
    Ok(())
}

/// Our own environment for commands and hooks, without what speaks of keys.
pub(crate) fn inherited() -> Variables {
    std::env::vars_os().filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"LIFEBOAT_")).collect()
}

/// Whether a variable that is set says no all the same.
fn means_no(value: &OsStr) -> bool {
    ["0", "no", "false", "off"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let value = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name: &str| value(name).map(PathBuf::from);
        let identities = value("LIFEBOAT_IDENTITY").unwrap_or_default();
        Self {
            config: path("LIFEBOAT_CONFIG"),
            identities: std::env::split_paths(&identities)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            officer_key: path("LIFEBOAT_OFFICER_KEY"),
            replica: value("LIFEBOAT_REPLICA").is_some_and(|value| !means_no(&value)),
            overrides: Overrides {
                signing_key: path("LIFEBOAT_SIGNING_KEY"),
                card_identity: path("LIFEBOAT_CARD_IDENTITY"),
                state: path("LIFEBOAT_STATE"),
            },
        }
    }
}

impl Context {
    /// The same, to look at regions' replicas instead of their repositories, if so.
    pub(crate) fn at(&self, side: Side) -> Self {
        Self { replica: side.replica, ..self.clone() }
    }

    /// The same, for a verb that only reads: the environment may say so, too.
    pub(crate) fn reading(&self, side: Side) -> Self {
        if self.environment.replica && !side.replica {
            tracing::warn!("LIFEBOAT_REPLICA is set: this looks at replicas, not at the repositories");
        }
        self.at(Side { replica: side.replica || self.environment.replica })
    }

    /// Whether somebody asked to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The moment it is now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Something nobody else picks. Without randomness the time alone makes such names; nothing secret hangs on it.
    pub(crate) fn nonce(&self) -> [u8; 8] {
        let mut nonce = [0; 8];
        let _ = self.entropy.fill(&mut nonce);
        nonce
    }

    /// An empty page for standard output.
    pub(crate) fn page(&self) -> Page {
        Page::new(if self.json { Paint::default() } else { Paint::of(&io::stdout()) })
    }

    /// Begins to show an operation's progress.
    pub(crate) fn progress(&self, title: &str) -> Progress {
        let show = match (self.quiet, self.log.format) {
            (true, _) => Show::Nothing,
            (false, LogFormat::Json) => Show::Events,
            (false, LogFormat::Text) => Show::Progress,
        };
        Progress::new(title, show, self.log.clone(), Arc::clone(&self.cancelled))
    }

    /// Begins to show the progress of an operation on a component; the log names it until the next one.
    pub(crate) fn progress_of(&self, component: &Label, title: &str) -> Progress {
        self.log.about(Some(component.to_string()));
        self.progress(&format!("{title} of {component}"))
    }

    /// Where the configuration is, or would be.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config_path
            .clone()
            .or_else(|| self.environment.config.clone())
            .unwrap_or_else(|| PathBuf::from(FILE))
    }

    /// Reads and checks the configuration.
    pub(crate) fn config(&self) -> Result<Config> {
        self.config_with(&LimitArgs::default())
    }

    /// Reads and checks the configuration; from here on its limits hold, or those given in their place.
    pub(crate) fn config_with(&self, limits: &LimitArgs) -> Result<Config> {
        let mut config = Config::load(&self.config_file(), &self.environment.overrides)?;
        limits.apply(&mut config)?;
        if config.limits.rates.limit_anything() {
            let rates = config.limits.rates.clone();
            let patience = Box::new(Patience(Arc::clone(&self.cancelled)));
            self.throttle.get_or_init(|| Arc::new(Throttle::new(rates, Box::new(self.clock), patience)));
        }
        Ok(if self.replica { config.at_replicas() } else { config })
    }

    /// Opens a region's repository, trusting the officers pinned for it and nobody else.
    pub(crate) fn open(&self, region: &Region) -> Result<Repository> {
        pinned(region)?;
        let place = repository_place(region);
        if region.role == Role::Replica && region.replica.is_none() {
            return Err(Failure::usage(format!("region {} has no replica", region.name))
                .code(Code::NoReplica)
                .next(
                    "say where it lies with replica = \"s3://BUCKET/PREFIX\" in its section of lifeboat.toml",
                ));
        }
        let store = self.store(region)?;
        let opened = match region.role {
            Role::Primary => Repository::open(store, &region.pins()),
            Role::Replica => Repository::open_replica(store, &region.pins()),
        };
        let repository = opened.map_err(|error| Failure::from(error).at(&place))?;
        let header = &repository.trust().header;
        if header.region != region.name || header.jurisdiction != region.jurisdiction {
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "this repository belongs to region {} ({}), not to {} ({})",
                    header.region,
                    crate::failure::tame(&header.jurisdiction),
                    region.name,
                    region.jurisdiction
                ),
            )
            .code(Code::WrongRegion)
            .at(place)
            .next("correct the region's name, jurisdiction or repository in lifeboat.toml"));
        }
        Ok(repository)
    }

    /// Reads what this host holds.
    pub(crate) fn credentials(&self, host: &Host) -> Result<Credentials> {
        let help = "a host that never had keys makes them with `lifeboat keys writer new`, and an officer enrols it. Where \
                    they are lost, its name is used up: give `writer` in [host] another name first, and let the officer \
                    revoke the one before";
        let signing = keyfiles::read_signing_key(&host.signing_key, "signing key of this host")
            .map_err(|failure| failure.next(help))?;
        let card = keyfiles::read_identity(&host.card_identity, "card identity of this host")
            .map_err(|failure| failure.next(help))?;
        Ok(Credentials { writer: host.writer.clone(), signing, card })
    }

    /// Opens the catalog of a repository: with the recovery identities given, else as this host's writer.
    pub(crate) fn reader<'r>(
        &'r self,
        config: &Config,
        repository: &'r Repository,
        identities: &[PathBuf],
    ) -> Result<Reader<'r>> {
        #[cfg(feature = "recover")]
        if !identities.is_empty() {
            return Ok(Reader::Recovery(self.recover(repository, identities)?));
        }
        #[cfg(not(feature = "recover"))]
        let _ = identities;
        if config.host.is_none() {
            return Err(Failure::usage("neither a recovery identity nor [host] says with which key to look")
                .code(Code::NoHost)
                .next("give --identity FILE"));
        }
        let credentials = self.credentials(config.host()?)?;
        let agent = Agent::open(repository, credentials.into(), &self.clock, &self.entropy)
            .map_err(|error| Failure::from(error).at(repository.store().location()))?;
        Ok(Reader::Agent(agent))
    }

    /// Opens a repository with recovery identities.
    #[cfg(feature = "recover")]
    pub(crate) fn recover<'r>(&self, repository: &'r Repository, files: &[PathBuf]) -> Result<Recovery<'r>> {
        if files.is_empty() {
            return Err(Failure::new(Exit::Refused, "this needs the recovery identity, and none was given").code(Code::IdentityNeeded)
                .at(format!("region {}", repository.trust().header.region))
                .next("give --identity FILE (or LIFEBOAT_IDENTITY); it lies in the safe, or where `lifeboat init` wrote it"));
        }
        let mut identities = Vec::new();
        for file in files {
            identities.extend(keyfiles::read_identities(file, "recovery identity")?);
        }
        Recovery::open(repository, &identities, &self.clock).map_err(|error| {
            let files: Vec<String> = files.iter().map(|file| shown(file)).collect();
            Failure::from(error).at(repository.store().location()).at(format!("with {}", files.join(", ")))
        })
    }

    /// The regions asked for, or all; of replicas all that there are, where nobody asked for one by name.
    pub(crate) fn regions<'c>(&self, config: &'c Config, asked: &[Label]) -> Result<Vec<&'c Region>> {
        if asked.is_empty() {
            let has = |region: &&Region| !self.replica || region.replica.is_some();
            let (with, without): (Vec<_>, Vec<_>) = config.regions.iter().partition(has);
            if with.is_empty() {
                return Ok(without);
            }
            for region in without {
                tracing::warn!(region = %region.name, "it has no replica; passed over");
            }
            return Ok(with);
        }
        asked.iter().map(|name| config.region(name)).collect()
    }
}

/// Which store of a region is looked at.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    /// Look at the region's replica, not at its repository
    #[arg(long)]
    pub(crate) replica: bool,
}

/// A verb that reads, with which store it reads.
#[derive(clap::Args)]
pub(crate) struct Reading<A: clap::Args> {
    #[command(flatten)]
    pub(crate) args: A,
    #[command(flatten)]
    pub(crate) side: Side,
}

/// Who looks into a repository.
pub(crate) enum Reader<'r> {
    /// This host.
    Agent(Agent<'r>),
    /// Somebody with a recovery identity.
    #[cfg(feature = "recover")]
    Recovery(Recovery<'r>),
}

impl Reader<'_> {
    /// Opens indexes and snapshots.
    pub(crate) fn catalog(&self) -> &Catalog {
        match self {
            Self::Agent(agent) => agent.catalog(),
            #[cfg(feature = "recover")]
            Self::Recovery(recovery) => recovery.catalog(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::means_no;

    #[test]
    fn a_variable_may_say_no() {
        let no = |text: &str| means_no(OsStr::new(text));
        assert!(["0", "no", "No", "FALSE", "off"].iter().all(|text| no(text)));
        assert!(["1", "yes", "true", "on", "replica"].iter().all(|text| !no(text)));
    }
}
