//! `retain COMPONENT --snapshot NAME`: a snapshot that is to expire whatever the rules say, mostly since nobody can read it
//! any more. As long as it counts for something, what it needs cannot be told, and nothing can be collected.

use lifeboat_repo::repository::snapshots::{Judge, Listed, Standing};
use lifeboat_repo::retention::{Decision, Fate};

use super::Decided;
use crate::codes::Code;
use crate::config::Component;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::survey;

/// The decision that it expires.
///
/// # Errors
/// There is none of that name, it expired before, or it is the newest that counts.
pub(super) fn decide(judge: &Judge<'_>, component: &Component, wanted: &str) -> Result<Decided> {
    let listed = judge.list_with_gone(Some(&component.name))?;
    let run = survey::run_by_prefix(&listed, &component.name, wanted)?;
    let counts = |one: &&Listed| one.standing == Standing::Counts;
    let refused = |why: String, next: &str| {
        Err(Failure::new(Exit::Refused, why).code(Code::Refused).at(run.to_string()).next(next))
    };
    let over = |one: &Listed| matches!(one.standing, Standing::Expired | Standing::Fenced);
    let Some(one) = listed.iter().find(|one| one.run == run && !over(one)) else {
        return refused("it has expired already".into(), "`lifeboat gc` frees the space");
    };
    if listed.iter().filter(counts).max_by_key(|one| one.run).is_some_and(|newest| newest.run == run) {
        return refused(
            format!("it is the newest snapshot of {} that counts, which is always kept", component.name),
            "back up first; then it can expire",
        );
    }
    let moment = one.snapshot.as_ref().map_or(run.moment(), |snapshot| snapshot.recovery_point);
    let decision = Decision { name: one.name.clone(), run, moment, fate: Fate::Named };
    Ok(Decided {
        component: component.name.clone(),
        ruled: component.treatment.keep.is_some(),
        decisions: vec![decision],
        keys: Vec::new(),
    })
}
