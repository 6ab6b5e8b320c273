//! What `doctor` looks at in a region: the store, trust, this host's enrolment.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Agent;
use lifeboat_repo::store::contract::{self, Outcome};

use super::{Findings, host};
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, tame};
use crate::trusted;
use crate::when::{count_of, show_duration};

/// Clocks further apart make ages and signatures' times doubtful.
const SKEW_WARN: Duration = Duration::from_secs(5);
const SKEW_FAIL: Duration = Duration::from_secs(300);

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
    let components: Vec<_> = config.components_of(&region.name).map(|component| &component.name).collect();
    if components.is_empty() {
        return;
    }
    let opened = context.credentials(host).and_then(|credentials| {
        Agent::open(repository, credentials.into(), &context.clock, &context.entropy)
            .map(drop)
            .map_err(Failure::from)
    });
    if let Err(failure) = opened {
        return findings.failure(area, failure);
    }
    let writers = trusted::writers(repository);
    let bound = writers.iter().find(|writer| writer.name == host.writer);
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
        Ok(_) => findings.ok(area, "the recovery identity opens it; `lifeboat keys check` tries every key"),
        Err(failure) => findings.failure(area, failure),
    }
}

#[cfg(not(feature = "recover"))]
fn check_identity(_: &Context, _: &Repository, _: &[PathBuf], _: &str, _: &mut Findings) {}

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
