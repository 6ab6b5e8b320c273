//! Where a component's heartbeats lie.

use std::path::{Component as Part, Path, PathBuf};
use std::time::Duration;

use lifeboat_backup::Program;
use lifeboat_backup::heartbeat::RECORDS;

use super::Source;
use super::check::duration;
use super::raw::RawComponent;
use super::sources::check_hook;
use crate::failure::Result;

/// Counting may be dear: a query over all of a database.
const COUNT_EVERY: Duration = Duration::from_secs(15 * 60);
/// A sample is enough: each costs a file a minute.
const TENANTS_MAX: i64 = 1000;

/// Records in a component's data that say what a copy lost.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    /// Where they lie.
    pub(crate) placed: Placed,
    /// In the data of so many tenants, too.
    pub(crate) tenants: usize,
    /// Prints how many records each tenant has.
    pub(crate) count: Option<Program>,
    /// Not more often than this.
    pub(crate) count_every: Duration,
}

/// Where records lie.
#[derive(Debug, Clone)]
pub(crate) enum Placed {
    /// In a file, relative to the component's path.
    File(PathBuf),
    /// Where a program puts them.
    Program(Program),
}

pub(super) fn check(source: &Source<'_>, component: &RawComponent) -> Result<Option<Heartbeat>> {
    let Some(raw) = &component.heartbeat else { return Ok(None) };
    let (span, raw) = (raw.span(), raw.get_ref());
    let placed = match (&component.path, &raw.write, &raw.file) {
        (_, Some(_), Some(file)) => {
            return Err(source
                .mistake(file.span(), "a heartbeat is written into a file or by a program, not both")
                .next("take one of the two away"));
        }
        (_, Some(hook), None) => Placed::Program(check_hook(source, hook)?),
        (None, None, _) => {
            return Err(source
                .mistake(span, "what a command writes has no files, so something must write its heartbeats")
                .next("add write = \"psql crm -c \\\"INSERT INTO heartbeat VALUES ('$LIFEBOAT_HEARTBEAT')\\\"\""));
        }
        (Some(_), None, file) => {
            let path = file.as_ref().map_or(RECORDS, |file| file.get_ref().as_str());
            let plain = Path::new(path).components().all(|part| matches!(part, Part::Normal(_)));
            if path.is_empty() || !plain {
                let span = file.as_ref().map_or(span, toml::Spanned::span);
                return Err(source
                    .mistake(span, "file is a path below the component's path")
                    .next("write something like .lifeboat-heartbeat, or leave it away"));
            }
            if component.system.is_none() {
                return Err(source
                    .mistake(span, "the file of heartbeats belongs to no tenant, which the component does not allow")
                    .next("add system = \"why the rest belongs to no customer\", or write heartbeats with a program"));
            }
            Placed::File(PathBuf::from(path))
        }
    };
    let tenants = raw.tenants.as_ref().map_or(Ok(0), |count| {
        let fits = (0..=TENANTS_MAX).contains(count.get_ref());
        usize::try_from(*count.get_ref()).ok().filter(|_| fits).ok_or_else(|| {
            source
                .mistake(count.span(), "a sample of tenants has 0 to 1000 of them")
                .next("write tenants = 5")
        })
    })?;
    Ok(Some(Heartbeat {
        placed,
        tenants,
        count: raw.count.as_ref().map(|hook| check_hook(source, hook)).transpose()?,
        count_every: raw.count_every.as_ref().map_or(Ok(COUNT_EVERY), |text| duration(source, text))?,
    }))
}
