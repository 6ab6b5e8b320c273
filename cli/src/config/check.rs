//! Making sense of the file, or saying where it makes none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_repo::crypto::sign::VerifyingKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Role;
use lifeboat_repo::store::web::Allowed;
use toml::Spanned;

use super::place::check_place;
use super::raw::{RawComponent, RawConfig, RawHost, RawRegion};
use super::{
    Component, Config, Host, PinnedOfficer, Region, RtoObjective, Source, Treatment, heartbeat, keep, limits,
    list, outlets, replica, sources,
};
use crate::failure::Result;
use crate::when::{parse_duration, show_objective};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// What is promised to customers: each part back within 24 to 48 hours.
const RTO_TARGET: Duration = HOUR.saturating_mul(24);
const RTO_LIMIT: Duration = HOUR.saturating_mul(48);
/// Backups run every night.
const RPO: Duration = HOUR.saturating_mul(24);
/// Where `{tenant}` stands in a pattern.
const TENANT: &str = "{tenant}";

pub(super) fn check(source: &Source<'_>, raw: RawConfig) -> Result<Config> {
    if raw.regions.is_empty() {
        return Err(source
            .mistake(0..0, "there is no region; backups need a repository in one")
            .next("add [regions.NAME] with jurisdiction and repository"));
    }
    let host = raw.host.map(|host| check_host(source, &host)).transpose()?;
    let limits = limits::check(source, &raw.limits)?;
    let outlets = outlets::check(source, &raw.metrics, raw.ping.as_ref())?;
    let policy = keep::check_policy(source, &raw.policy)?;
    let tenants = keep::check_tenants(source, raw.tenants)?;
    let defaults = raw
        .regions
        .iter()
        .map(|(name, region)| Ok((name.get_ref().clone(), Defaults::of(source, region)?)))
        .collect::<Result<BTreeMap<String, Defaults>>>()?;
    let regions = in_order(raw.regions, |name, region| check_region(source, name, region))?;
    refuse_shared_repositories(source, &regions)?;
    let components = in_order(raw.components, |name, component| {
        let Some(defaults) = defaults.get(component.region.get_ref()) else {
            return Err(source
                .mistake(
                    component.region.span(),
                    format!("component {} names a region that is not here", name.get_ref()),
                )
                .next(format!("use {}", list(defaults.keys()))));
        };
        let home = regions.iter().find(|(region, _)| region.name.as_str() == component.region.get_ref());
        let home = home.map(|(region, _)| &region.repository);
        let treatment = home
            .map(|home| keep::check_component(source, &component, home, policy.forget_within))
            .transpose()?;
        check_component(
            source,
            name,
            component,
            defaults,
            outlets.ping.allowed,
            treatment.unwrap_or_default(),
        )
    })?;
    let components = check_needs(source, components)?;
    #[cfg(feature = "recover")]
    let recovery = super::recovery::check(source, &raw.recovery, raw.references, &components)?;
    let regions = regions.into_iter().map(|(region, _)| region).collect();
    Ok(Config {
        path: source.path.to_owned(),
        host,
        limits,
        outlets,
        #[cfg(feature = "recover")]
        gc: super::collecting::check(source, &raw.gc)?,
        #[cfg(feature = "recover")]
        recovery,
        regions,
        components,
        policy,
        tenants,
    })
}

/// What a region says for all its components.
struct Defaults {
    rto: RtoObjective,
    setup: Option<Duration>,
    cutover: Option<Duration>,
}

impl Defaults {
    fn of(source: &Source<'_>, region: &RawRegion) -> Result<Self> {
        let promised = RtoObjective { target: RTO_TARGET, limit: RTO_LIMIT };
        let read =
            |text: &Option<Spanned<String>>| text.as_ref().map(|text| duration(source, text)).transpose();
        Ok(Self {
            rto: objective(source, region.rto_target.as_ref(), region.rto_limit.as_ref(), promised)?,
            setup: read(&region.rto_setup)?,
            cutover: read(&region.rto_cutover)?,
        })
    }
}

/// What a table's entries become, in the order they stand in the file.
pub(super) fn in_order<R, T>(
    table: BTreeMap<Spanned<String>, R>,
    mut each: impl FnMut(&Spanned<String>, R) -> Result<T>,
) -> Result<Vec<T>> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries.into_iter().map(|(name, raw)| each(&name, raw)).collect()
}

fn check_host(source: &Source<'_>, raw: &RawHost) -> Result<Host> {
    Ok(Host {
        writer: label(source, &raw.writer, "the writer's name")?,
        signing_key: path(source, &raw.signing_key)?,
        card_identity: path(source, &raw.card_identity)?,
        state: path(source, &raw.state)?,
        state_in_repository: raw.state_in_repository,
    })
}

type Placed<T> = (T, std::ops::Range<usize>);

fn check_region(source: &Source<'_>, name: &Spanned<String>, raw: RawRegion) -> Result<Placed<Region>> {
    let jurisdiction = raw.jurisdiction.get_ref();
    let tame = jurisdiction.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if jurisdiction.is_empty() || jurisdiction.len() > 16 || !tame {
        return Err(source
            .mistake(raw.jurisdiction.span(), "a jurisdiction is a short word")
            .next("write something like EU, US or UK (letters, digits and -, at most 16)"));
    }
    let repository = check_place(source, ["repository", "s3"], &raw.repository, raw.s3.as_ref())?;
    let replica = replica::check(source, name, &raw, &repository)?;
    let witness = replica::check_witness(source, name, &raw, [Some(&repository), replica.as_ref()])?;
    let witness_command = replica::check_witness_command(source, name, &raw)?;
    let mut officers: Vec<PinnedOfficer> = Vec::new();
    for text in &raw.officers {
        let officer = officer(source, text)?;
        if officers.iter().any(|known| known.key == officer.key) {
            return Err(source
                .mistake(text.span(), "this officer's key is pinned twice in one region")
                .next("remove one of the two lines"));
        }
        officers.push(officer);
    }
    let region = Region {
        name: label(source, name, "a region's name")?,
        jurisdiction: jurisdiction.clone(),
        repository,
        replica,
        witness,
        witness_command,
        role: Role::Primary,
        officers,
    };
    Ok((region, raw.repository.span()))
}

fn officer(source: &Source<'_>, text: &Spanned<String>) -> Result<PinnedOfficer> {
    let key: VerifyingKey = text.get_ref().parse().map_err(|error| {
        source
            .mistake(text.span(), format!("this is {error}"))
            .next("copy the whole line of the officer's .pub file: ssh-ed25519 AAAA… alice")
    })?;
    let name = text.get_ref().split_whitespace().nth(2).unwrap_or("unnamed").to_owned();
    Ok(PinnedOfficer { key, name })
}

fn refuse_shared_repositories(source: &Source<'_>, regions: &[Placed<Region>]) -> Result<()> {
    for (at, (region, span)) in regions.iter().enumerate() {
        let earlier = regions.iter().take(at).find(|(other, _)| {
            let of =
                |region: &Region| std::iter::once(region.repository.clone()).chain(region.replica.clone());
            of(other).any(|there| of(region).any(|here| there.is(&here)))
        });
        if let Some((other, _)) = earlier {
            return Err(source
                .mistake(
                    span.clone(),
                    format!("region {} has the same repository as region {}", region.name, other.name),
                )
                .next("give each region a repository and a replica of its own: data of one never goes to the other"));
        }
    }
    Ok(())
}

fn check_component(
    source: &Source<'_>,
    name: &Spanned<String>,
    raw: RawComponent,
    defaults: &Defaults,
    pings: Allowed,
    treatment: Treatment,
) -> Result<(Component, Vec<Spanned<String>>)> {
    for pattern in &raw.tenants {
        check_pattern(source, pattern)?;
    }
    for path in &raw.not_tenants {
        check_not_tenant(source, path)?;
    }
    if raw.tenants.is_empty() && raw.tenant.is_none() && raw.system.is_none() {
        return Err(source
            .mistake(name.span(), format!("component {} does not say whose data it holds", name.get_ref()))
            .next(
                "add tenants = [\"uploads/{tenant}\"], or system = \"why it belongs to no tenant\", or both",
            ));
    }
    if let Some(reason) = raw.system.as_ref().filter(|reason| reason.get_ref().trim().is_empty()) {
        return Err(source
            .mistake(reason.span(), "system is empty; it is the reason why data belongs to no tenant")
            .next("write it out, such as \"product documentation, no customer data\""));
    }
    let rpo = match &raw.rpo {
        None => RPO,
        Some(text) => duration(source, text)?,
    };
    let component = Component {
        name: label(source, name, "a component's name")?,
        region: label(source, &raw.region, "a region's name")?,
        source: sources::check(source, name, &raw)?,
        heartbeat: heartbeat::check(source, &raw)?,
        hooks: sources::check_hooks(source, &raw.hooks)?,
        rewriting: sources::check_rewriting(source, &raw)?,
        tenants: raw.tenants.iter().map(|pattern| pattern.get_ref().clone()).collect(),
        allow_empty: raw.allow_empty.as_ref().is_some_and(|flag| *flag.get_ref()),
        not_tenants: raw.not_tenants.iter().map(|path| path.get_ref().clone()).collect(),
        system: raw.system.map(Spanned::into_inner),
        treatment,
        rpo,
        rto: objective(source, raw.rto_target.as_ref(), raw.rto_limit.as_ref(), defaults.rto)?,
        rto_setup: raw.rto_setup.map(|text| duration(source, &text)).transpose()?.or(defaults.setup),
        rto_replay: raw.rto_replay.as_ref().map(|text| duration(source, text)).transpose()?,
        rto_checks: raw.rto_checks.as_ref().map(|text| duration(source, text)).transpose()?,
        rto_shards: raw
            .rto_shards
            .as_ref()
            .map_or(Ok(std::num::NonZeroU32::MIN), |count| positive(source, count))?,
        rto_cutover: raw.rto_cutover.map(|text| duration(source, &text)).transpose()?.or(defaults.cutover),
        needs: raw
            .needs
            .iter()
            .map(|need| label(source, need, "a component's name"))
            .collect::<Result<_>>()?,
        ping: raw.ping.map(|text| outlets::check_url(source, &text, pings)).transpose()?,
    };
    Ok((component, raw.needs))
}

fn check_pattern(source: &Source<'_>, pattern: &Spanned<String>) -> Result<()> {
    let text = pattern.get_ref();
    let parts: Vec<&str> = text.split('/').collect();
    let whole = parts.iter().filter(|part| part.contains(TENANT)).count() == 1;
    if !whole || text.matches(TENANT).count() != 1 {
        return Err(source
            .mistake(pattern.span(), "a pattern has {tenant} exactly once")
            .next("write something like uploads/{tenant}, relative to the component's path"));
    }
    if text.starts_with('/') || parts.iter().any(|part| part.is_empty() || matches!(*part, "." | "..")) {
        return Err(source
            .mistake(
                pattern.span(),
                "a pattern is a path below the component's path, without .. or double slashes",
            )
            .next("write something like uploads/{tenant}"));
    }
    Ok(())
}

fn check_not_tenant(source: &Source<'_>, path: &Spanned<String>) -> Result<()> {
    let text = path.get_ref();
    let bad = |part: &str| part.is_empty() || matches!(part, "." | "..") || part.contains(TENANT);
    if text.trim_end_matches('/').split('/').any(bad) {
        return Err(source
            .mistake(path.span(), "what is no tenant's is named by its path below the component's path")
            .next("write something like uploads/lost+found, without {tenant} and .."));
    }
    Ok(())
}

fn check_needs(source: &Source<'_>, found: Vec<(Component, Vec<Spanned<String>>)>) -> Result<Vec<Component>> {
    let names: Vec<Label> = found.iter().map(|(component, _)| component.name.clone()).collect();
    for (component, needs) in &found {
        for need in needs {
            if !names.iter().any(|name| name.as_str() == need.get_ref()) {
                return Err(source
                    .mistake(need.span(), format!("component {} needs one that is not here", component.name))
                    .next(format!("use {}", list(names.iter()))));
            }
        }
    }
    // Whatever is left after taking away, again and again, all that need only what is gone, waits for itself.
    let mut waiting: Vec<&(Component, Vec<Spanned<String>>)> = found.iter().collect();
    loop {
        let left: Vec<&Label> = waiting.iter().map(|(component, _)| &component.name).collect();
        let (still, gone): (Vec<_>, Vec<_>) = waiting
            .iter()
            .copied()
            .partition(|(component, _)| component.needs.iter().any(|need| left.contains(&need)));
        if gone.is_empty() {
            break;
        }
        waiting = still;
    }
    if let Some((component, needs)) = waiting.first() {
        let span = needs.first().map_or(0..0, Spanned::span);
        return Err(source
            .mistake(span, format!("component {} waits for itself through what it needs", component.name))
            .next("take one `needs` away, so that something can be restored first"));
    }
    Ok(found.into_iter().map(|(component, _)| component).collect())
}

fn objective(
    source: &Source<'_>,
    target: Option<&Spanned<String>>,
    limit: Option<&Spanned<String>>,
    defaults: RtoObjective,
) -> Result<RtoObjective> {
    let read =
        |text: Option<&Spanned<String>>, or: Duration| text.map_or(Ok(or), |text| duration(source, text));
    let found = RtoObjective { target: read(target, defaults.target)?, limit: read(limit, defaults.limit)? };
    if found.target > found.limit {
        let span = target.or(limit).map_or(0..0, Spanned::span);
        let (target, limit) = (show_objective(found.target), show_objective(found.limit));
        return Err(source
            .mistake(span, format!("rto_target ({target}) is later than rto_limit ({limit})"))
            .next("aim for less than what was promised: rto_target ≤ rto_limit"));
    }
    Ok(found)
}

pub(super) fn duration(source: &Source<'_>, text: &Spanned<String>) -> Result<Duration> {
    let duration = parse_duration(text.get_ref()).map_err(|why| source.mistake(text.span(), why))?;
    if duration.is_zero() {
        return Err(source
            .mistake(text.span(), "a time of nothing can never be met")
            .next("write 15m, or 24h"));
    }
    Ok(duration)
}

pub(super) fn label(source: &Source<'_>, text: &Spanned<String>, what: &str) -> Result<Label> {
    text.get_ref().parse().map_err(|_| {
        source
            .mistake(text.span(), format!("{what} cannot be {:?}", text.get_ref()))
            .next("use a-z, 0-9, dot, underscore and -, at most 63, a letter or digit first")
    })
}

/// A number of at least 1.
pub(super) fn positive(source: &Source<'_>, count: &Spanned<i64>) -> Result<std::num::NonZeroU32> {
    let found = u32::try_from(*count.get_ref()).ok().and_then(std::num::NonZeroU32::new);
    found.ok_or_else(|| {
        source.mistake(count.span(), "this is a number from 1 on").next("write a whole number such as 20")
    })
}

/// A path, relative to the file's directory.
pub(super) fn path(source: &Source<'_>, text: &Spanned<String>) -> Result<PathBuf> {
    let bad = text.get_ref().is_empty() || text.get_ref().contains('\0');
    if bad {
        return Err(source
            .mistake(text.span(), "a path is empty")
            .next("write an absolute path, or one relative to this file"));
    }
    let base = source.path.parent().unwrap_or(Path::new(""));
    Ok(tidy(&base.join(text.get_ref())))
}

/// The path without `.` parts, so that two spellings of one place are seen to be one.
fn tidy(path: &Path) -> PathBuf {
    let tidy: PathBuf =
        path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    if tidy.as_os_str().is_empty() { PathBuf::from(".") } else { tidy }
}
