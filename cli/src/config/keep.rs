//! `keep`, `[tenants.…]`, `[policy]`: what expires when, and what was promised about it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::retention::{Period, Rules};
use lifeboat_repo::units::LockClass;
use toml::Spanned;

use super::raw::{RawComponent, RawKeep, RawPolicy, RawTenant};
use super::{Place, Source, check};
use crate::failure::Result;
use crate::when::parse_duration;

/// Nothing younger expires, unless the configuration says otherwise: time to see that a rule is wrong.
const MINIMUM_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// `retain` and `gc` run every night, as backups do.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// More places than this are a slip of the finger.
const PLACES_MAX: i64 = 100_000;

/// What expires of a component, and by which calendar.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
pub(crate) struct Keep {
    /// The rules.
    pub(crate) rules: Rules,
    /// Whose days and weeks they count.
    pub(crate) zone: TimeZone,
}

/// A tenant with a rule of its own.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
pub(crate) struct TenantKeep {
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// How long its data stays in backups.
    pub(crate) keep: Duration,
}

/// What holds for all components.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
pub(crate) struct Policy {
    /// Within which time data deleted at the source must be gone, if that was promised.
    pub(crate) forget_within: Option<Duration>,
    /// How often `retain` and `gc` run.
    pub(crate) every: Duration,
}

/// How a component's data must be treated.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(feature = "recover"), expect(dead_code, reason = "agents expire nothing"))]
pub(crate) struct Treatment {
    /// What expires; without it nothing does.
    pub(crate) keep: Option<Keep>,
    /// Whether what belongs to no tenant is personal data all the same.
    pub(crate) personal: bool,
    /// How long its packs are locked, in a store with locks.
    pub(crate) lock: LockClass,
    /// Within which time data deleted at the source must be gone, if that was promised.
    pub(crate) forget_within: Option<Duration>,
}

/// What a component's fields say; `place` is where its region's repository lies.
pub(super) fn check_component(
    source: &Source<'_>,
    raw: &RawComponent,
    place: &Place,
    policy: Option<Duration>,
) -> Result<Treatment> {
    let keep = raw.keep.as_ref().map(|keep| check_keep(source, keep)).transpose()?;
    let personal = raw.personal.as_ref().is_some_and(|personal| *personal.get_ref());
    if let Some(flag) = raw.personal.as_ref().filter(|_| personal && raw.system.is_none()) {
        return Err(source
            .mistake(flag.span(), "personal speaks of data that belongs to no tenant, and there is no system")
            .next("say why it belongs to no tenant: system = \"…\"; data of tenants is personal anyway"));
    }
    let lock = raw.lock.as_ref().map(|text| check_lock(source, text)).transpose()?;
    let locked = matches!(place, Place::Bucket(settings) if settings.locks.normal.is_some());
    if let Some(flag) = raw.personal.as_ref().filter(|_| personal && locked && lock != Some(LockClass::Short))
    {
        return Err(source
            .mistake(
                flag.span(),
                "what is personal and under no tenant's key can be forgotten only by deleting packs, and these would be \
                 locked for long",
            )
            .next("add lock = \"short\" to this component"));
    }
    let forget_within =
        raw.forget_within.as_ref().map(|text| check::duration(source, text)).transpose()?.or(policy);
    Ok(Treatment { keep, personal, lock: lock.unwrap_or_default(), forget_within })
}

/// Tenants with rules of their own, in the file's order.
pub(super) fn check_tenants(
    source: &Source<'_>,
    raw: BTreeMap<Spanned<String>, RawTenant>,
) -> Result<Vec<TenantKeep>> {
    check::in_order(raw, |name, raw| {
        let tenant: Tenant = name.get_ref().parse().map_err(|_| {
            source
                .mistake(name.span(), format!("a tenant cannot be called {:?}", name.get_ref()))
                .next("use a-z, 0-9, dot, underscore and -, at most 63, a letter or digit first")
        })?;
        if tenant == Tenant::System {
            return Err(source
                .mistake(name.span(), "_system is no tenant: what belongs to nobody goes with its component")
                .next("give its components fewer snapshots to keep, with [components.NAME.keep]"));
        }
        Ok(TenantKeep { tenant, keep: check::duration(source, &raw.keep)? })
    })
}

/// What was promised of all components, and how often it is seen to.
pub(super) fn check_policy(source: &Source<'_>, raw: &RawPolicy) -> Result<Policy> {
    let read =
        |text: &Option<Spanned<String>>| text.as_ref().map(|text| check::duration(source, text)).transpose();
    Ok(Policy { forget_within: read(&raw.forget_within)?, every: read(&raw.every)?.unwrap_or(EVERY) })
}

fn check_lock(source: &Source<'_>, text: &Spanned<String>) -> Result<LockClass> {
    match text.get_ref().as_str() {
        "normal" => Ok(LockClass::Normal),
        "short" => Ok(LockClass::Short),
        other => {
            Err(source.mistake(text.span(), format!("there is no class of locks called {other:?}")).next(
                "write lock = \"normal\" or lock = \"short\"; how long each is stands in [regions.NAME.s3]",
            ))
        }
    }
}

fn check_keep(source: &Source<'_>, raw: &Spanned<RawKeep>) -> Result<Keep> {
    let RawKeep { last, hourly, daily, weekly, monthly, yearly, within, minimum_age, tz } = raw.get_ref();
    let count = |count: &Option<Spanned<i64>>| count.as_ref().map_or(Ok(0), |count| places(source, count));
    let by_period = [hourly, daily, weekly, monthly, yearly];
    let mut periods = BTreeMap::new();
    for (period, places) in Period::ALL.into_iter().zip(by_period) {
        periods.insert(period, count(places)?);
    }
    let within = within.as_ref().map(|text| check::duration(source, text)).transpose()?;
    let minimum_age = minimum_age.as_ref().map_or(Ok(MINIMUM_AGE), |text| {
        // None at all may be wanted.
        parse_duration(text.get_ref()).map_err(|why| source.mistake(text.span(), why))
    })?;
    let rules = Rules { last: count(last)?, periods, within, minimum_age };
    if rules.are_none() {
        return Err(source
            .mistake(raw.span(), "nothing says what is to be kept, so all but the newest would expire")
            .next("write at least one of last, hourly, daily, weekly, monthly, yearly, within; remove keep to keep all"));
    }
    let zone = match tz {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name.get_ref()).map_err(|_| {
            source
                .mistake(name.span(), format!("there is no time zone {:?} on this machine", name.get_ref()))
                .next("write a name such as Europe/Berlin or UTC; `timedatectl list-timezones` lists them")
        })?,
    };
    Ok(Keep { rules, zone })
}

fn places(source: &Source<'_>, count: &Spanned<i64>) -> Result<u32> {
    let places = u32::try_from(*count.get_ref()).ok().filter(|_| *count.get_ref() <= PLACES_MAX);
    places.ok_or_else(|| {
        source
            .mistake(count.span(), format!("so many are kept: a number from 0 to {PLACES_MAX}"))
            .next("write something like daily = 14")
    })
}
