//! The log of heartbeats: put by whoever beats, read by whoever asks what a copy lost. FORMAT.md §18.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Entropy};
use crate::crypto::sign::Kind;
use crate::format::heartbeat::{Beat, CanaryKey, Counter, HeartbeatBody};
use crate::format::names::{self, Day, Place, place};
use crate::format::{self, FORMAT_VERSION};
use crate::ids::{Label, ObjectHash, ObjectName, Tenant, TenantToken};
use crate::repository::agent::{Agent, Credentials};
use crate::repository::catalog::Catalog;
use crate::repository::erasures::{Erasures, tenant_token};
use crate::repository::{JudgedAt, Repository, RepositoryError};
use crate::units::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Entries are read from so many days before the moment asked for at the most: what did not beat for longer is told by the
/// records themselves.
const DAYS_MAX: u32 = 400;

/// A writer whose heart beats.
pub struct Beater<'r> {
    agent: Agent<'r>,
    erasures: Erasures,
}

impl<'r> Beater<'r> {
    /// Opens the writers' seal and reads tombstones.
    ///
    /// # Errors
    /// The writer is not enrolled, or was before there were heartbeats; something is damaged, or the store failed.
    pub fn open(
        repository: &'r Repository,
        credentials: Arc<Credentials>,
        clock: &'r dyn Clock,
        entropy: &'r dyn Entropy,
    ) -> Result<Self, RepositoryError> {
        let agent = Agent::without_cards(repository, credentials, clock, entropy)?;
        let name = names::heartbeat(agent.writer(), agent.new_run()?)?;
        let key = agent.credentials.signing.public();
        repository.judge(&key, Kind::Heartbeat, &name, JudgedAt::Moment(clock.now())).map_err(|_| {
            let writer = agent.writer();
            RepositoryError::refused(
                name.as_str(),
                format!(
                    "writer {writer} was enrolled before there were heartbeats; an officer renews that with `lifeboat keys \
                     writer add {writer}` and its components"
                ),
            )
        })?;
        Ok(Self { erasures: Erasures::load(repository)?, agent })
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.agent.catalog()
    }

    /// What makes this writer's records.
    #[must_use]
    pub fn key(&self) -> CanaryKey {
        let card = self.agent.credentials.card.recipient();
        CanaryKey::new(self.agent.repository().id(), self.agent.writer().clone(), &card)
    }

    /// What stands for a tenant; nothing for nobody.
    #[must_use]
    pub fn token(&self, tenant: &Tenant) -> Option<TenantToken> {
        let card = self.agent.credentials.card.recipient();
        match tenant {
            Tenant::System => None,
            Tenant::Named(_) => Some(tenant_token(&self.agent.repository().id(), &card, tenant)),
        }
    }

    /// Whether officers erased a tenant, so that nothing is written for it.
    #[must_use]
    pub fn is_erased(&self, tenant: &Tenant) -> bool {
        self.agent.is_erased_by(&self.erasures, tenant)
    }

    /// Puts an entry into the log, behind `previous`.
    ///
    /// # Errors
    /// The store failed.
    pub fn put(
        &self,
        previous: Option<(ObjectName, ObjectHash)>,
        beats: Vec<Beat>,
        counters: Vec<Counter>,
    ) -> Result<(ObjectName, ObjectHash), RepositoryError> {
        let (writer, id) = (self.agent.writer().clone(), self.agent.new_run()?);
        let name = names::heartbeat(&writer, id)?;
        let body = HeartbeatBody { format: FORMAT_VERSION, writer, id, previous, beats, counters };
        let plain = format::encode(&body, "heartbeat")
            .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
        let sealed = self.agent.catalog().seal(&plain, name.as_str())?;
        let recorded = self.agent.put_new(&name, Kind::Heartbeat, &sealed)?;
        Ok((name, recorded.1))
    }
}

/// What a log says.
#[derive(Clone, Debug, Default)]
pub struct HeartbeatLog {
    /// Entries in order of their time, their signatures checked.
    pub entries: Vec<HeartbeatBody>,
    /// Entries that are there and cannot be read, or that do not follow the one before, in words.
    pub trouble: Vec<String>,
}

/// Reads what all writers logged from a moment on, up to and with another.
///
/// # Errors
/// The store failed. What is damaged is told in the log.
pub fn read_log(
    repository: &Repository,
    catalog: &Catalog,
    from: Timestamp,
    to: Timestamp,
) -> Result<HeartbeatLog, RepositoryError> {
    let mut log = HeartbeatLog::default();
    for writer in repository.trust().writers() {
        let own = read_log_of(repository, catalog, &writer, from, to)?;
        log.entries.extend(own.entries);
        log.trouble.extend(own.trouble);
    }
    log.entries.sort_by_key(|entry| entry.id);
    Ok(log)
}

/// The same of one writer, whose host may read no other's.
///
/// # Errors
/// As [`read_log`].
pub fn read_log_of(
    repository: &Repository,
    catalog: &Catalog,
    writer: &Label,
    from: Timestamp,
    to: Timestamp,
) -> Result<HeartbeatLog, RepositoryError> {
    let mut log = HeartbeatLog::default();
    let mut before: Option<(ObjectName, ObjectHash)> = None;
    let names = named(repository, writer, from, to)?;
    let _ahead = repository.expect(names.iter().cloned());
    for name in names {
        let Some(Place::Heartbeat(_, id)) = place(&name) else { continue };
        let read = catalog.read(repository, &name, Kind::Heartbeat, JudgedAt::Moment(id.moment()));
        let body = read.and_then(|(signed, plain)| {
            let body: HeartbeatBody = format::decode(&plain, "heartbeat")
                .map_err(|error| RepositoryError::format(name.as_str(), &error))?;
            let own = body.writer == *writer && body.id == id && signed.principal.is_writer(writer);
            if own {
                Ok((body, signed.hash))
            } else {
                Err(RepositoryError::damaged(name.as_str(), "it is not that writer's entry of that name"))
            }
        });
        match body {
            Ok((body, hash)) => {
                if before.is_some() && body.previous != before {
                    log.trouble.push(format!("{name} does not follow the entry before it: some are missing"));
                }
                before = Some((name, hash));
                log.entries.push(body);
            }
            Err(error) if error.is_damage() => log.trouble.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(log)
}

/// The names of a writer's entries, day by day.
fn named(
    repository: &Repository,
    writer: &Label,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<ObjectName>, RepositoryError> {
    let mut names = Vec::new();
    let longest = DAY.saturating_mul(DAYS_MAX);
    let earliest = to.seconds().saturating_sub_unsigned(longest.as_secs());
    let mut moment = from.max(Timestamp::new(earliest, 0));
    for _ in 0..=DAYS_MAX {
        let day = Day::of(moment);
        let prefix = format!("heartbeats/{writer}/{day}/");
        let listed =
            repository.store().list(&prefix).map_err(|error| RepositoryError::store(&prefix, error))?;
        names.extend(listed.into_iter().map(|object| object.name).filter(|name| match place(name) {
            Some(Place::Heartbeat(_, id)) => id.moment() >= from && id.moment() <= to,
            _ => false,
        }));
        if day >= Day::of(to) {
            break;
        }
        moment = moment.plus(DAY);
    }
    Ok(names)
}
