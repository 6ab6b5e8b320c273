//! Which snapshot to restore.

use std::fmt::Write;

use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::repository::snapshots::{Listed, Standing};
use lifeboat_repo::units::Timestamp;

use crate::error::RestoreError;

/// Snapshots an error names.
const NAMED_MAX: usize = 10;

/// Which snapshot of a component is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Choice {
    /// The latest that counts. One that is dated ahead of the store's clock is taken only where there is no other.
    #[default]
    Latest,
    /// The one of this run. Chosen by name, it may be one that its run could no longer record.
    Run(RunId),
    /// What there was at this moment: the latest that counts and whose run was over by then, so that it holds nothing later.
    /// One that is dated ahead of the store's clock is taken only where there is no other.
    At(Timestamp),
}

/// A chosen snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'l> {
    /// What the listing says of it.
    pub listed: &'l Listed,
    /// The snapshot.
    pub snapshot: &'l Snapshot,
    /// Whether no ledger names it: nothing but its signature vouches for it, and a person should be told.
    pub unrecorded: bool,
    /// The newest one that was passed over because it does not count, or because its date is ahead of the store's clock:
    /// what is restored is another than a person may expect, and must be told.
    pub passed_over: Option<&'l Listed>,
}

/// Picks a component's snapshot out of a listing.
///
/// # Errors
/// There is none of that kind, or it does not count; the text lists what there is.
pub fn choose<'l>(
    listed: &'l [Listed],
    component: &Label,
    choice: Choice,
) -> Result<Chosen<'l>, RestoreError> {
    let own = || listed.iter().filter(|one| one.component == *component);
    match choice {
        Choice::Run(run) => match own().find(|one| one.run == run) {
            Some(one) => by_name(one),
            None => Err(RestoreError::refused(
                format!("snapshot {run} of {component}"),
                format!("there is none; {}", what_there_is(listed, component)),
            )),
        },
        Choice::Latest => {
            let chosen = latest(own().filter(|one| one.ahead.is_none())).or_else(|| latest(own()));
            let chosen = chosen.ok_or_else(|| none_counts(listed, component))?;
            Ok(Chosen { passed_over: passed_over(own(), &chosen), ..chosen })
        }
        Choice::At(moment) => {
            let by_then = || own().filter(|one| over(one).is_some_and(|end| end <= moment));
            latest(by_then().filter(|one| one.ahead.is_none())).or_else(|| latest(by_then())).ok_or_else(
                || {
                    RestoreError::refused(
                        format!("component {component} at {}", moment.rfc3339()),
                        format!("no snapshot that counts is that old; {}", what_there_is(listed, component)),
                    )
                },
            )
        }
    }
}

/// The one with the latest recovery point; of equals the later run.
fn latest<'l>(candidates: impl Iterator<Item = &'l Listed>) -> Option<Chosen<'l>> {
    candidates
        .filter(|one| one.standing == Standing::Counts)
        .filter_map(|one| {
            one.snapshot.as_ref().map(|snapshot| Chosen {
                listed: one,
                snapshot,
                unrecorded: false,
                passed_over: None,
            })
        })
        .max_by_key(|chosen| (chosen.snapshot.recovery_point, chosen.listed.run))
}

/// The newest one begun after the chosen one that should count and does not, or whose date is wrong. Fences and what retention expired
/// were never meant to be restored.
fn passed_over<'l>(candidates: impl Iterator<Item = &'l Listed>, chosen: &Chosen<'_>) -> Option<&'l Listed> {
    candidates
        .filter(|one| one.run > chosen.listed.run)
        .filter(|one| match one.standing {
            Standing::Void(_) | Standing::Unrecorded => true,
            Standing::Counts => one.ahead.is_some(),
            Standing::Fenced | Standing::Expired => false,
        })
        .max_by_key(|one| one.run)
}

fn by_name(one: &Listed) -> Result<Chosen<'_>, RestoreError> {
    let what = one.name.to_string();
    let chosen = |unrecorded| {
        one.snapshot.as_ref().map(|snapshot| Chosen { listed: one, snapshot, unrecorded, passed_over: None })
    };
    let unread = || RestoreError::damaged(what.clone(), "it could not be read");
    match &one.standing {
        Standing::Counts => chosen(false).ok_or_else(unread),
        Standing::Unrecorded => chosen(true).ok_or_else(unread),
        Standing::Fenced => {
            Err(RestoreError::refused(what, "its run was ended before it was complete; choose another"))
        }
        Standing::Expired => {
            let by = one.expired_by.as_ref().map_or_else(String::new, |record| format!(" ({record})"));
            let why = format!("retention expired it{by}, and its packs may be gone; choose another");
            Err(RestoreError::refused(what, why))
        }
        Standing::Void(why) => {
            Err(RestoreError::damaged(what, format!("it does not count: {why}; choose another")))
        }
    }
}

fn none_counts(listed: &[Listed], component: &Label) -> RestoreError {
    let what = format!("component {component}");
    let void = |one: &Listed| one.component == *component && matches!(one.standing, Standing::Void(_));
    let why = format!("it has no snapshot that counts; {}", what_there_is(listed, component));
    if listed.iter().any(void) { RestoreError::damaged(what, why) } else { RestoreError::refused(what, why) }
}

/// When nothing was read any more for it.
fn over(one: &Listed) -> Option<Timestamp> {
    one.snapshot.as_ref().map(|snapshot| snapshot.end.max(snapshot.recovery_point))
}

fn recovery_point(one: &Listed) -> Option<Timestamp> {
    one.snapshot.as_ref().map(|snapshot| snapshot.recovery_point)
}

/// The newest snapshots of a component with their standing, or the components there are.
fn what_there_is(listed: &[Listed], component: &Label) -> String {
    let mut own: Vec<_> = listed.iter().filter(|one| one.component == *component).collect();
    if own.is_empty() {
        let mut others: Vec<_> = listed.iter().map(|one| one.component.as_str()).collect();
        others.sort_unstable();
        others.dedup();
        return match others.as_slice() {
            [] => "the repository holds none of it".into(),
            names => format!("there are snapshots of: {}", names.join(", ")),
        };
    }
    own.sort_by_key(|one| std::cmp::Reverse((recovery_point(one), one.run)));
    let mut text = String::from("there are");
    for (at, one) in own.iter().take(NAMED_MAX).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let point = recovery_point(one).map_or_else(|| "unreadable".into(), Timestamp::rfc3339);
        // Writing to a String cannot fail.
        let _ =
            write!(text, "{comma} {} (recovery point {point}, {})", one.run, standing_word(&one.standing));
    }
    if own.len() > NAMED_MAX {
        let _ = write!(text, " and {} older", own.len() - NAMED_MAX);
    }
    text
}

fn standing_word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Counts => "counts",
        Standing::Unrecorded => "not recorded",
        Standing::Fenced => "ended by a collector",
        Standing::Expired => "expired",
        Standing::Void(_) => "void",
    }
}

#[cfg(test)]
mod tests;
