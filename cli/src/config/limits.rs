//! `[limits]`: what this host may use of machine and network.

use std::num::NonZero;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use lifeboat_backup::{Resources, TooLittle};
use lifeboat_repo::store::throttled::{Rates, Window};
use lifeboat_repo::units::{ByteRate, Bytes};
use toml::Spanned;

use super::amounts::{parse_bytes, parse_rate};
use super::raw::{RawLimits, RawWindow};
use super::{Config, Limits, Source};
use crate::failure::{Failure, Result};

/// More threads than this are a slip of the finger.
const THREADS_MAX: i64 = 1024;
/// The lowest priority there is.
const NICE_MAX: i64 = 19;

pub(super) fn check(source: &Source<'_>, raw: &RawLimits) -> Result<Limits> {
    let threads = raw.threads.as_ref().map(|threads| check_threads(source, threads)).transpose()?;
    let memory = raw.memory.as_ref().map(|memory| check_memory(source, memory)).transpose()?;
    let nice = raw.nice.as_ref().map(|nice| check_nice(source, nice)).transpose()?;
    let always = raw.bandwidth.as_ref().map(|text| rate(source, text)).transpose()?.flatten();
    let windows = raw.schedule.iter().map(|window| check_window(source, window)).collect::<Result<_>>()?;
    Ok(Limits { rates: Rates { always, windows }, resources: Resources { threads, memory }, nice })
}

fn check_threads(source: &Source<'_>, threads: &Spanned<i64>) -> Result<NonZero<usize>> {
    let count = usize::try_from(*threads.get_ref()).ok().and_then(NonZero::new);
    count.filter(|_| *threads.get_ref() <= THREADS_MAX).ok_or_else(|| {
        source.mistake(threads.span(), "threads is a number from 1 to 1024").next("write threads = 2")
    })
}

fn check_nice(source: &Source<'_>, nice: &Spanned<i64>) -> Result<i32> {
    let level = i32::try_from(*nice.get_ref()).ok().filter(|_| (0..=NICE_MAX).contains(nice.get_ref()));
    level.ok_or_else(|| {
        source
            .mistake(nice.span(), "nice is a number from 0 to 19; 19 stands back for everybody")
            .next("write nice = 10")
    })
}

fn check_memory(source: &Source<'_>, text: &Spanned<String>) -> Result<Bytes> {
    let memory = parse_bytes(text.get_ref()).map_err(|why| source.mistake(text.span(), why))?;
    let resources = Resources { threads: None, memory: Some(memory) };
    resources.check().map_err(|error| {
        let least = least(&error);
        source.mistake(text.span(), error.to_string()).next(format!("write memory = \"{least}\" or more"))
    })?;
    Ok(memory)
}

/// What would do, as it may be written.
fn least(error: &TooLittle) -> String {
    format!("{}MiB", error.least.0.div_ceil(1 << 20))
}

fn rate(source: &Source<'_>, text: &Spanned<String>) -> Result<Option<ByteRate>> {
    parse_rate(text.get_ref()).map_err(|why| source.mistake(text.span(), why))
}

fn check_window(source: &Source<'_>, raw: &RawWindow) -> Result<Window> {
    let hours = raw.hours.get_ref();
    let parsed = hours.split_once('-').and_then(|(from, to)| Some((time(from)?, time(to)?)));
    let Some((from, to)) = parsed.filter(|(from, to)| from != to) else {
        return Err(source
            .mistake(raw.hours.span(), format!("{hours:?} are no hours"))
            .next("write hours = \"08:00-18:00\"; past midnight as in 22:00-06:00"));
    };
    let zone = match &raw.tz {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name.get_ref()).map_err(|_| {
            source
                .mistake(name.span(), format!("there is no time zone {:?} on this machine", name.get_ref()))
                .next("write a name such as Europe/Berlin or UTC; `timedatectl list-timezones` lists them")
        })?,
    };
    Ok(Window { from, to, zone, rate: rate(source, &raw.bandwidth)? })
}

/// `8:00`, `08:00`, `18:30`. `24:00` is midnight too.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let plain =
        |part: &str, most: usize| (1..=most).contains(&part.len()).then(|| part.parse::<i8>().ok()).flatten();
    let (hour, minute) = (plain(hour, 2)?, plain(minute, 2).filter(|_| minute.len() == 2)?);
    let hour = if (hour, minute) == (24, 0) { 0 } else { hour };
    Time::new(hour, minute, 0, 0).ok()
}

/// Limits of one command instead of the host's.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct LimitArgs {
    /// At most so many bytes a second to and from the store, whatever the hour [50MB/s, unlimited]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit_bandwidth: Option<MaybeRate>,
    /// At most so much memory for a backup's buffers (such as 512MiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    limit_memory: Option<Bytes>,
    /// At most so many threads that read or write, and as many that encrypt
    #[arg(long, value_name = "NUMBER")]
    limit_threads: Option<NonZero<usize>>,
}

/// A rate, or no limit. (The name keeps clap from taking it for an option that may be left out.)
type MaybeRate = Option<ByteRate>;

impl LimitArgs {
    /// Sets them in place of what the configuration says, and stands back for others as it says.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<()> {
        let limits = &mut config.limits;
        if let Some(always) = self.limit_bandwidth {
            limits.rates = Rates { always, windows: Vec::new() };
        }
        let resources = &mut limits.resources;
        resources.threads = self.limit_threads.or(resources.threads);
        resources.memory = self.limit_memory.or(resources.memory);
        resources.check().map_err(|error| {
            let least = least(&error);
            Failure::usage(error.to_string()).next(format!("give --limit-memory {least} or more"))
        })?;
        if let Some(nice) = limits.nice {
            let stood_back = rustix::process::setpriority_process(None, nice);
            if let Err(error) = stood_back {
                tracing::warn!(%error, nice, "the priority of this process could not be changed");
            }
        }
        Ok(())
    }
}
