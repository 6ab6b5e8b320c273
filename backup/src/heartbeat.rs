//! Heartbeats: records written where an application's data lives, so that a restored copy shows what it lost. FORMAT.md §18.
//!
//! A number is spent before its record is written: a beat that is cut off leaves a gap, never a number twice. What was
//! written and could not be logged, since the repository was out of reach, is logged with the next beat.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::{Clock, Entropy};
use lifeboat_repo::format::heartbeat::{Beat, Canary, CanaryKey, Counter};
use lifeboat_repo::ids::{Label, ObjectName, RepositoryId, Tenant};
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::heartbeats::{Beater, read_log_of};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::program::{Fault, Program, ProgramError};

mod file;
mod memory;

pub use file::{records_in, tenants_of};
use memory::Memory;

/// A file of records, where nothing else is said.
pub const RECORDS: &str = ".lifeboat-heartbeat";

/// What a program may print at the most: a line for each of a hundred thousand tenants.
const OUTPUT_MAX: Bytes = Bytes::mib(64);

/// Where a component's records lie.
#[derive(Debug, Clone)]
pub enum Pulse {
    /// In a file of its tree, and in one in each of some tenants' directories. No link below the root is followed.
    Files {
        /// The root of the tree.
        root: PathBuf,
        /// The component's file, below the root.
        file: PathBuf,
        /// Tenants with the directory of each, below the root.
        tenants: Vec<(Tenant, PathBuf)>,
    },
    /// Wherever a program puts them. It is told the record in `LIFEBOAT_HEARTBEAT`, and its parts.
    Program(Program),
}

/// A component whose heart beats.
#[derive(Debug, Clone)]
pub struct Living {
    /// The component.
    pub component: Label,
    /// Where its records lie.
    pub pulse: Pulse,
    /// Prints how many records each tenant has: `TENANT COUNT` a line; `_system` is nobody.
    pub count: Option<Program>,
    /// Not more often than this.
    pub count_every: Duration,
}

/// What became of one component.
#[derive(Debug)]
pub struct Beaten {
    /// The component.
    pub component: Label,
    /// Its number, and when it was made; or why it was not written.
    pub wrote: Result<(u64, Timestamp), BeatError>,
    /// Tenants in whose data a record was written.
    pub tenants: u64,
    /// Tenants in whose data none could be, in words.
    pub missed: Vec<String>,
    /// Tenants that were counted; nothing where it was not time, or nobody counts.
    pub counted: Option<Result<u64, ProgramError>>,
}

/// What became of a beat.
#[derive(Debug)]
pub struct BeatReport {
    /// Each component.
    pub components: Vec<Beaten>,
    /// The entry that was put into the log, or why none could be.
    pub logged: Result<ObjectName, RepositoryError>,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum BeatError {
    /// Its file could not be.
    #[error("cannot write {path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The program failed.
    #[error("{0}")]
    Program(#[from] ProgramError),
    /// This host's memory of numbers cannot be used.
    #[error("cannot remember its number in {path}: {error}")]
    State {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Another beat is under way.
    #[error("another heartbeat is under way on this host")]
    Busy,
    /// The repository was never reached, so nobody could tell whose record it is.
    #[error("the repository was never reached from this host: {0}")]
    Unknown(String),
}

/// What a host that beats has.
pub struct Host<'h> {
    /// Its keys.
    pub credentials: Arc<Credentials>,
    /// Where it remembers numbers: a file in its state directory, one a region.
    pub memory: &'h Path,
    /// Its clock.
    pub clock: &'h dyn Clock,
    /// Its randomness.
    pub entropy: &'h dyn Entropy,
    /// Whether somebody asked to stop.
    pub stop: &'h dyn Fn() -> bool,
}

/// Writes a record for each component, and logs them. `repository` may be out of reach: then records are written all the
/// same, but for tenants, who may have been erased.
///
/// # Errors
/// This host cannot remember numbers, another beat is under way, or the repository was never reached.
pub fn beat(
    repository: Result<&Repository, RepositoryError>,
    host: &Host<'_>,
    living: &[Living],
) -> Result<BeatReport, BeatError> {
    let mut memory = Memory::open(host.memory)?;
    let beater = repository.and_then(|repository| {
        let beater = Beater::open(repository, Arc::clone(&host.credentials), host.clock, host.entropy)?;
        Ok((repository, beater))
    });
    let key = match &beater {
        Ok((_, beater)) => beater.key(),
        Err(error) => {
            let id: RepositoryId =
                memory.repository().ok_or_else(|| BeatError::Unknown(error.to_string()))?;
            CanaryKey::new(id, host.credentials.writer.clone(), &host.credentials.card.recipient())
        }
    };
    if let Ok((repository, beater)) = &beater
        && memory.is_new()
    {
        recall(&mut memory, repository, beater, host);
    }
    if let Ok((repository, _)) = &beater {
        memory.know(repository.id());
    }
    let mut beating = Beating { host, key, beater: beater.as_ref().ok().map(|(_, beater)| beater), memory };
    let mut components = Vec::new();
    for one in living {
        components.push(beating.one(one)?);
    }
    let mut memory = beating.memory;
    let logged = beater.and_then(|(_, beater)| {
        let (name, hash) =
            beater.put(memory.previous(), memory.beats().to_vec(), memory.counters().to_vec())?;
        memory.logged(name.clone(), hash);
        Ok(name)
    });
    memory.keep()?;
    Ok(BeatReport { components, logged })
}

/// A host that forgot its numbers goes on behind what it logged in the last days.
fn recall(memory: &mut Memory, repository: &Repository, beater: &Beater<'_>, host: &Host<'_>) {
    let now = host.clock.now();
    let days = Duration::from_secs(3 * 24 * 60 * 60);
    let from = Timestamp::new(now.seconds().saturating_sub_unsigned(days.as_secs()), 0);
    match read_log_of(repository, beater.catalog(), &host.credentials.writer, from, now.plus(days)) {
        Ok(log) => {
            for beat in log.entries.iter().flat_map(|entry| &entry.beats) {
                memory.seen(&beat.component, beat.tenant, beat.seq);
            }
        }
        Err(error) => tracing::warn!(%error, "the log of heartbeats cannot be read; numbers begin anew"),
    }
}

/// A beat that is under way.
struct Beating<'b> {
    host: &'b Host<'b>,
    key: CanaryKey,
    beater: Option<&'b Beater<'b>>,
    memory: Memory,
}

impl Beating<'_> {
    fn one(&mut self, living: &Living) -> Result<Beaten, BeatError> {
        let component = &living.component;
        let wrote = match self.write(living, &Tenant::System) {
            Err(error @ BeatError::State { .. }) => return Err(error),
            other => other,
        };
        let (mut tenants, mut missed) = (0, Vec::new());
        for tenant in self.tenants(living) {
            match self.write(living, &tenant) {
                Ok(_) => tenants += 1,
                Err(error @ BeatError::State { .. }) => return Err(error),
                Err(error) => missed.push(format!("{tenant}: {error}")),
            }
        }
        let due = self
            .memory
            .counted(component)
            .is_none_or(|last| self.host.clock.now().since(last) >= living.count_every);
        let counted = living.count.as_ref().filter(|_| due && self.beater.is_some());
        let counted = counted.map(|program| self.count(component, program));
        Ok(Beaten { component: component.clone(), wrote, tenants, missed, counted })
    }

    /// The tenants in whose data a record is written: none that was erased, and none while that cannot be told.
    fn tenants(&self, living: &Living) -> BTreeSet<Tenant> {
        match (&living.pulse, self.beater) {
            (Pulse::Files { tenants, .. }, Some(beater)) => tenants
                .iter()
                .map(|(tenant, _)| tenant)
                .filter(|tenant| !beater.is_erased(tenant))
                .cloned()
                .collect(),
            _ => BTreeSet::new(),
        }
    }

    fn write(&mut self, living: &Living, tenant: &Tenant) -> Result<(u64, Timestamp), BeatError> {
        let component = &living.component;
        let token = self.beater.and_then(|beater| beater.token(tenant));
        let place = match &living.pulse {
            Pulse::Files { root, file, .. } if *tenant == Tenant::System => Some((root, file.clone())),
            Pulse::Files { root, tenants, .. } => {
                let own = tenants.iter().find(|(known, _)| known == tenant);
                own.map(|(_, dir)| (root, dir.join(RECORDS)))
            }
            Pulse::Program(_) => None,
        };
        let failed = |root: &Path, path: &Path, error| BeatError::File {
            path: root.join(path).display().to_string(),
            error,
        };
        let before = match &place {
            Some((root, path)) => file::read(root, path).map_err(|error| failed(root, path, error))?,
            None => Vec::new(),
        };
        let own = before.iter().filter(|canary| self.key.made(canary)).map(|canary| canary.seq).max();
        let seq = self.memory.spend(component, token, own)?;
        let time = self.host.clock.now();
        let canary = self.key.make(component, tenant, seq, time);
        match (&living.pulse, &place) {
            (Pulse::Program(program), _) => self.run(program, &canary)?,
            (_, Some((root, path))) => {
                file::append(root, path, before, &canary).map_err(|error| failed(root, path, error))?;
            }
            (_, None) => {}
        }
        let written = self.host.clock.now();
        self.memory.wrote(Beat { component: component.clone(), tenant: token, seq, time, written });
        Ok((seq, time))
    }

    fn run(&self, program: &Program, canary: &Canary) -> Result<(), ProgramError> {
        let mut program = program.clone();
        let line = canary.line().unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let told = [
            ("LIFEBOAT_HEARTBEAT", line),
            ("LIFEBOAT_COMPONENT", canary.component.to_string()),
            ("LIFEBOAT_SEQ", canary.seq.to_string()),
            ("LIFEBOAT_TIME", canary.time.rfc3339()),
        ];
        for (name, value) in told {
            program.environment.set(name, value);
        }
        program.output(OUTPUT_MAX, self.host.stop).map(drop)
    }

    fn count(&mut self, component: &Label, program: &Program) -> Result<u64, ProgramError> {
        let time = self.host.clock.now();
        // One that fails is as dear as one that does not.
        self.memory.begin_count(component, time);
        let output = program.output(OUTPUT_MAX, self.host.stop)?;
        let counts = parse_counts(&output).map_err(|line| ProgramError {
            fault: Fault::Machine(std::io::Error::other(line)),
            said: Vec::new(),
        })?;
        let beater = self.beater;
        for (tenant, records) in
            counts.iter().filter(|(tenant, _)| beater.is_some_and(|b| !b.is_erased(tenant)))
        {
            let tenant = beater.and_then(|beater| beater.token(tenant));
            self.memory.count(Counter { component: component.clone(), tenant, records: *records, time });
        }
        Ok(counts.len() as u64)
    }
}

/// Reads `TENANT COUNT` lines.
///
/// # Errors
/// A line is none; the text says which.
pub fn parse_counts(output: &[u8]) -> Result<BTreeMap<Tenant, u64>, String> {
    let text = String::from_utf8_lossy(output);
    let mut counts = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split([' ', '\t', '|', ',']).filter(|word| !word.is_empty()).collect();
        let parsed = match words.as_slice() {
            [tenant, count] => tenant.parse::<Tenant>().ok().zip(count.parse::<u64>().ok()),
            _ => None,
        };
        let (tenant, count) =
            parsed.ok_or_else(|| format!("line {number} of its output is not `TENANT COUNT`"))?;
        counts.insert(tenant, count);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_databases_print_them() {
        let counts = parse_counts(b"acme 12\nzeta|7\n\n_system\t3\n").unwrap();
        let acme: Tenant = "acme".parse().unwrap();
        assert_eq!((counts.len(), counts[&acme], counts[&Tenant::System]), (3, 12, 3));
        assert_eq!(
            parse_counts(b"acme 12\nnothing\n"),
            Err("line 2 of its output is not `TENANT COUNT`".into())
        );
        assert!(parse_counts(b"acme -1\n").is_err());
    }
}
