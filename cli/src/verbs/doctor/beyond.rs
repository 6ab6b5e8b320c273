//! What `doctor` looks at beyond the repository itself: what it should hold, its replica, its witness.

use std::path::PathBuf;

use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::repository::witness::{Depth, Freshness};

use super::Findings;
use crate::config::{Config, Place, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::tame;
use crate::survey;
use crate::when::count_of;
use crate::witnessed::{self, Said};

/// Snapshots that should count and do not.
pub(super) fn check_snapshots(
    context: &Context,
    config: &Config,
    repository: &Repository,
    identities: &[PathBuf],
    area: &str,
    findings: &mut Findings,
) {
    let reader = match context.reader(config, repository, identities) {
        Ok(reader) => reader,
        // Why this host opens nothing is told where its enrolment is looked at.
        Err(_) => return,
    };
    let listed = match survey::listed(repository, &reader, None) {
        Ok(listed) => listed,
        Err(failure) => return findings.failure(area, failure),
    };
    let counting = listed.iter().filter(|one| one.standing == Standing::Counts).count() as u64;
    let void = listed.iter().filter_map(|one| match &one.standing {
        Standing::Void(why) => Some((one, why)),
        _ => None,
    });
    let mut whole = true;
    if let Some((newest, why)) = void.clone().max_by_key(|(one, _)| one.run) {
        whole = false;
        let count = count_of(void.count() as u64, "snapshot does", "snapshots do");
        findings.fail(
            area,
            Exit::Damaged,
            format!("{count} not count and should; the newest is {}: {}", newest.name, tame(why)),
            "`lifeboat verify --level integrity` names what is damaged, `lifeboat repair --from replica` heals it",
        );
    }
    for one in listed.iter().filter(|one| one.standing == Standing::Counts && one.ahead.is_some()) {
        whole = false;
        findings.warn(
            area,
            survey::ahead_words(one),
            "set that clock; \"latest\" passes such a snapshot over",
        );
    }
    if whole {
        findings.ok(area, format!("{} counted", count_of(counting, "snapshot", "snapshots")));
    }
}

/// Whether the region's replica opens, and is its.
pub(super) fn check_replica(
    context: &Context,
    region: &Region,
    repository: &Repository,
    area: &str,
    findings: &mut Findings,
) {
    if region.replica.is_none() || context.replica {
        return;
    }
    let there = region.at_replica();
    if there.repository.directory().is_some_and(|directory| !directory.exists()) {
        return findings.warn(
            area,
            format!("the replica is not there yet: {}", repository_place(&there)),
            "the first `lifeboat replicate` makes it; if it was there before, mount its disk",
        );
    }
    let empty = |directory: &std::path::Path| {
        std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
    };
    if there.repository.directory().is_some_and(empty) {
        return findings.fail(
            area,
            Exit::Refused,
            format!("the replica is empty: {}", repository_place(&there)),
            "if it was filled before, mount its disk; else the first `lifeboat replicate` fills it",
        );
    }
    match context.open(&there) {
        Ok(replica) if replica.id() != repository.id() => findings.fail(
            area,
            Exit::Refused,
            format!("{} is of another repository: {}", repository_place(&there), replica.id()),
            "nothing of this repository is copied there: name another place, and keep what lies in that one until you know \
             whose it is",
        ),
        Ok(_) => findings.ok(area, format!("the replica opens: {}", repository_place(&there))),
        Err(failure) => findings.failure(area, failure),
    }
}

/// What the region's witness says.
pub(super) fn check_witness(
    context: &Context,
    region: &Region,
    repository: &Repository,
    area: &str,
    findings: &mut Findings,
) {
    let Some(place) = &region.witness else { return };
    if let Place::Directory(directory) = place
        && !directory.exists()
        && directory.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir())
    {
        return findings.warn(
            area,
            format!("the witness is not there yet: {place}"),
            "the next backup makes it; if it was there before, mount its disk",
        );
    }
    let said = witnessed::ask(context, region, repository, Depth::Newest);
    let words = format!("freshness {}", said.words());
    match &said {
        Said::Unknown(failure) => findings.failure(area, failure.clone()),
        Said::Says(Freshness::Proven(_)) => findings.ok(area, words),
        Said::NoWitness | Said::Says(Freshness::NotProven) => {
            findings.warn(area, words, "the next backup tells the witness");
        }
        Said::Says(Freshness::Doubtful(_) | Freshness::RolledBack(_)) => {
            findings.fail(area, said.exit(), words, crate::codes::Code::RolledBack.next());
        }
    }
}
