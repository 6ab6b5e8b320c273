//! Whether the newest bundle of keys is fresh and holds what there was: without it, whoever deletes keys destroys the
//! backups.

use std::time::Duration;

use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::bundles::{self, BUNDLE_FRESH};
use lifeboat_repo::repository::erasures::Erasures;
use lifeboat_repo::store::Listed;

use crate::damage::{Finding, Subject};

/// Whoever puts a bundle lists first: what appeared in the last hour before it may rightly be missing.
const LISTED_BEFORE: Duration = Duration::from_secs(60 * 60);

/// Looks into the newest bundle. Where nobody could put one, there is nothing to say.
pub(super) fn check(
    repository: &Repository,
    listed: &[Listed],
    erasures: &Erasures,
    findings: &mut Vec<Finding>,
) {
    let of_bundle = |object: &&Listed| matches!(place(&object.name), Some(Place::Bundle(..)));
    let Some(newest) = listed.iter().filter(of_bundle).max_by_key(|object| &object.name) else {
        let mut entries = repository.trust().signers.entries();
        if entries.any(|entry| entry.principal.starts_with("maintainer:") && entry.valid_before.is_none()) {
            let what = "there is no bundle of keys: whoever deletes keys destroys the backups; run `lifeboat keys bundle` \
                        every day";
            findings.push(Finding::notice(Subject::Area("bundles/"), what));
        }
        return;
    };
    match repository.store().now() {
        Ok(now) if now.since(newest.modified) > BUNDLE_FRESH => {
            let hours = now.since(newest.modified).as_secs() / 3600;
            let what =
                format!("the newest bundle of keys is {hours} h old; run `lifeboat keys bundle` every day");
            findings.push(Finding::notice(&newest.name, what));
        }
        Ok(_) => {}
        Err(error) => findings.push(Finding::of_store_error(&newest.name, &error)),
    }
    // That it cannot be read is a finding already.
    let Ok(held) = bundles::read(repository, &newest.name) else { return };
    let missing = listed.iter().filter(|object| {
        // Of what is erased graves are there, and nothing else may be kept.
        place(&object.name).is_some_and(|place| match place {
            Place::Seal(..) => true,
            Place::Key(_, _, key) => !erasures.key(key),
            _ => false,
        }) && object.modified.plus(LISTED_BEFORE) < newest.modified
            && !held.contains_key(&object.name)
    });
    let mut missing = missing.map(|object| &object.name);
    if let Some(first) = missing.next() {
        let what = match missing.count() {
            0 => format!("it does not hold {first}, which was there before it"),
            others => format!("it holds neither {first} nor {others} others that were there before it"),
        };
        findings.push(Finding::damage(&newest.name, what));
    }
}
