//! What `doctor` looks at in a region: the store, trust, this host's enrolment.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::repository::agent::Agent;
use lifeboat_repo::repository::{Repository, RepositoryErrorKind, versions};
use lifeboat_repo::store::StoreErrorKind;
use lifeboat_repo::store::contract::{self, Outcome};
use lifeboat_repo::units::Timestamp;

use super::{Findings, beyond, host};
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, tame};
use crate::trusted;
#[cfg(feature = "recover")]
use crate::when::show_moment;
use crate::when::{count_of, show_duration};

/// Clocks further apart make ages and signatures' times doubtful.
const SKEW_WARN: Duration = Duration::from_secs(5);
const SKEW_FAIL: Duration = Duration::from_secs(300);

/// So many hidden objects are named.
const HIDDEN_SHOWN: usize = 10;

/// Stray copies of key objects are of no use once the seal they were sealed to is destroyed.
const SEAL_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) fn check(
    context: &Context,
    config: &Config,
    region: &Region,
    passive: bool,
    identities: &[PathBuf],
    findings: &mut Findings,
) {
    let area = format!("region {}", region.name);
    let repository = match context.open(region) {
        Ok(repository) => repository,
        Err(failure) => return findings.failure(&area, failure),
    };
    let header = &repository.trust().header;
    let pinned = count_of(region.officers.len() as u64, "pinned officer", "pinned officers");
    findings.ok(
        &area,
        format!(
            "{} opens: {}, trust {} under {pinned}",
            repository_place(region),
            repository.id(),
            header.seq.0
        ),
    );
    if let Some(directory) = region.repository.directory() {
        host::free_space(directory, &area, findings);
    }
    if config.host.is_some() {
        check_enrolment(context, config, region, &repository, &area, findings);
    }
    check_identity(context, &repository, identities, &area, findings);
    check_versions(&repository, &area, findings);
    beyond::check_snapshots(context, config, &repository, identities, &area, findings);
    beyond::check_replica(context, region, &repository, &area, findings);
    beyond::check_witness(context, region, &repository, &area, findings);
    if passive {
        return findings.warn(&area, "the store was not tried", "run `lifeboat doctor` without --passive");
    }
    check_store(context, &repository, &area, findings);
}

fn check_enrolment(
    context: &Context,
    config: &Config,
    region: &Region,
    repository: &Repository,
    area: &str,
    findings: &mut Findings,
) {
    let Ok(host) = config.host() else { return };
    let writers = trusted::writers(repository);
    let bound = writers.iter().find(|writer| writer.name == host.writer);
    let maintains = bound.is_some_and(|writer| writer.role == trusted::Role::Maintainer);
    let components: Vec<_> = config.components_of(&region.name).map(|component| &component.name).collect();
    if components.is_empty() && !maintains {
        return;
    }
    let opened = context.credentials(host).and_then(|credentials| {
        Agent::open(repository, credentials.into(), &context.clock, &context.entropy)
            .map(|agent| agent.sealed_since())
            .map_err(Failure::from)
    });
    match opened {
        Ok(since) => seal_age(context, since, area, findings),
        Err(failure) => return findings.failure(area, failure),
    }
    if maintains {
        // It backs up nothing, whatever components the configuration describes for its rules.
        return findings.ok(area, format!("this host ({}) is a maintainer here", host.writer));
    }
    for component in components {
        if bound.is_some_and(|writer| writer.components.contains(component)) {
            findings.ok(area, format!("this host ({}) may back up {component}", host.writer));
        } else {
            findings.fail(
                area,
                Exit::Refused,
                format!("this host ({}) may not back up {component}", host.writer),
                format!("an officer runs `lifeboat keys writer add {} --component {component}`", host.writer),
            );
        }
    }
}

/// Whether keys should be sealed anew.
fn seal_age(context: &Context, since: Option<Timestamp>, area: &str, findings: &mut Findings) {
    let Some(age) = since.map(|since| context.now().since(since)) else { return };
    if age > SEAL_AGE_MAX {
        findings.warn(
            area,
            format!(
                "the seal is {} old, and stray copies of keys are of use as long as it is",
                show_duration(age)
            ),
            "an officer runs `lifeboat keys reseal`, and a day later `lifeboat keys reseal --finish`",
        );
    }
}

#[cfg(feature = "recover")]
fn check_identity(
    context: &Context,
    repository: &Repository,
    identities: &[PathBuf],
    area: &str,
    findings: &mut Findings,
) {
    if identities.is_empty() {
        return;
    }
    match context.recover(repository, identities) {
        Ok(recovery) => {
            findings.ok(area, "the recovery identity opens it; `lifeboat keys check` tries every key");
            match lifeboat_repo::repository::reseal::outlook(&recovery) {
                Ok(outlook) => check_seals(context, &outlook, area, findings),
                Err(error) => findings.failure(area, error.into()),
            }
        }
        Err(failure) => findings.failure(area, failure),
    }
}

/// Whether a seal should be renewed, or the one before destroyed.
#[cfg(feature = "recover")]
fn check_seals(
    context: &Context,
    outlook: &lifeboat_repo::repository::reseal::Outlook,
    area: &str,
    findings: &mut Findings,
) {
    if outlook.cut_off {
        let next = "an officer runs `lifeboat keys reseal` once more";
        return findings.warn(area, "a sealing anew was cut off before its seal was in use", next);
    }
    seal_age(context, outlook.since, area, findings);
    if outlook.condemned.is_empty() {
        return;
    }
    let condemned = count_of(outlook.condemned.len() as u64, "condemned seal is", "condemned seals are");
    let when = match (outlook.waiting.len(), outlook.keys, outlook.bundled) {
        (1.., ..) => "when the backups that it names are over".to_owned(),
        (0, 0, Some(until)) => {
            format!("from {} on, when bundles with its keys have expired", show_moment(until))
        }
        _ => "now".to_owned(),
    };
    findings.warn(
        area,
        format!("{condemned} not destroyed yet"),
        format!("{when}, an officer runs `lifeboat keys reseal --finish`"),
    );
}

#[cfg(not(feature = "recover"))]
fn check_identity(_: &Context, _: &Repository, _: &[PathBuf], _: &str, _: &mut Findings) {}

/// Whether anything is hidden behind a marker or lies under another version. A store that keeps no versions has nothing to
/// say, and a host that backs up may not ask.
fn check_versions(repository: &Repository, area: &str, findings: &mut Findings) {
    let found = match versions::disturbed(repository) {
        Ok(found) if found.is_empty() => return,
        Ok(found) => found,
        Err(error) => match &error.kind {
            RepositoryErrorKind::Store(inner) if matches!(inner.kind, StoreErrorKind::Denied(_)) => {
                return findings.ok(
                    area,
                    "this host may not list versions, as it should be where it backs up: what is hidden behind markers is \
                     found by whoever verifies",
                );
            }
            _ => return findings.failure(area, error.into()),
        },
    };
    let next = "somebody put a marker, or another version, over what is stored: find out whose credentials it was, then run \
                `lifeboat repair`";
    for one in found.iter().take(HIDDEN_SHOWN) {
        findings.fail(area, Exit::Damaged, tame(&format!("{}: {}", one.name, one.words())), next);
    }
    if let Some(more) = found.len().checked_sub(HIDDEN_SHOWN).filter(|more| *more > 0) {
        let what = format!(
            "{} more like these; `lifeboat repair --dry-run` names all",
            count_of(more as u64, "object", "objects")
        );
        findings.fail(area, Exit::Damaged, what, next);
    }
}

/// Runs the contract every store must keep, below a name nobody else uses.
fn check_store(context: &Context, repository: &Repository, area: &str, findings: &mut Findings) {
    let run = RunId::new(context.now(), context.nonce());
    let Ok(scratch) = format!("doctor/{run}").parse::<ObjectName>() else { return };
    let report = contract::check(repository.store(), &scratch);
    let mut broken = 0_u64;
    for check in &report.checks {
        match &check.outcome {
            Outcome::Passed => continue,
            Outcome::Failed(why) => findings.fail(
                area,
                Exit::Damaged,
                format!("the store breaks a promise: {}: {}", check.name, tame(why)),
                "do not rely on this store; mend it or use another",
            ),
            Outcome::NotRun(why) => findings.fail(
                area,
                Exit::Unchecked,
                format!("could not try the store: {}: {}", check.name, tame(why)),
                "mend what stopped the check, or use --passive to leave it out",
            ),
        }
        broken += 1;
    }
    if broken == 0 {
        let checks = count_of(report.checks.len() as u64, "promise", "promises");
        findings.ok(area, format!("the store keeps {checks}: exclusive creation, whole objects, listing"));
    }
    let Some(skew) = report.skew else { return };
    let apart = skew.unsigned_abs();
    if apart < SKEW_WARN {
        return findings.ok(area, "this host's clock agrees with the store's");
    }
    let words = format!("this host's clock and the store's are {} apart", show_duration(apart));
    let next = "set the clocks (NTP): ages of backups and the time of signatures hang on them";
    if apart < SKEW_FAIL {
        findings.warn(area, words, next);
    } else {
        findings.fail(area, Exit::Unchecked, words, next);
    }
}
