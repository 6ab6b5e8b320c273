//! Seals and keys that no copy of the repository has, from the bundles that are put every day for this.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_repo::clock::Clock;
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::repository::{Repository, bundles};
use lifeboat_repo::store::given::Given;

use super::{Copy, ObjectPlan, Wrong, advice, look_in, rank, seals_of_keys};
use crate::error::VerifyError;

/// Looks in the bundles, the newest first, for seals and keys that nothing else heals; which are then healed from the copies
/// that this returns. The newest whole bundle also tells of seals that nothing here names any more. One that is damaged holds
/// nothing; one that could not be read, though something is wanted of it, is told in the plan. What officers erased is in no
/// plan, and so comes back from no bundle.
///
/// # Errors
/// Keys, seals or bundles could not be listed.
pub fn plan_bundled(
    here: &Repository,
    plan: &mut ObjectPlan,
    clock: &dyn Clock,
) -> Result<Vec<Copy>, VerifyError> {
    let seals_here = seals_of_keys(here.store())?;
    let mut copies: Vec<Copy> = Vec::new();
    for bundle in bundles::list(here)?.into_iter().rev() {
        if !copies.is_empty() && !plan.left().any(is_bundled) {
            break;
        }
        let held = match bundles::read(here, &bundle.name) {
            Ok(held) => held,
            Err(error) if error.is_damage() || !plan.left().any(is_bundled) => {
                tracing::warn!(%error, "passed over");
                continue;
            }
            Err(error) => {
                plan.unchecked.push(error.to_string());
                continue;
            }
        };
        if copies.is_empty() {
            lost_seals(here, held.keys(), plan)?;
        }
        let name = bundle.name.to_string();
        let store = Arc::new(Given::new(name.clone(), held, bundle.modified));
        let copy = Copy { name, store };
        for wrong in plan.wrong.iter_mut().filter(|wrong| wrong.from.is_none() && is_bundled(wrong)) {
            look_in(here, &copy, &seals_here, clock, wrong);
        }
        copies.push(copy);
    }
    for wrong in plan.wrong.iter_mut().filter(|wrong| wrong.from.is_none() && is_bundled(wrong)) {
        let found = match copies.len() {
            0 => "there is no whole bundle".to_owned(),
            1 => "the one whole bundle does not have it".to_owned(),
            all => format!("none of {all} whole bundles has it"),
        };
        wrong.left = Some(found + advice(&wrong.object));
    }
    plan.wrong.sort_by_key(|wrong| rank(&wrong.object));
    Ok(copies)
}

/// Adds seals that a bundle holds and that are gone here, though nobody gave them up.
fn lost_seals<'n>(
    here: &Repository,
    held: impl Iterator<Item = &'n ObjectName>,
    plan: &mut ObjectPlan,
) -> Result<(), VerifyError> {
    let there: BTreeSet<ObjectName> =
        here.store().list("seals/")?.into_iter().map(|object| object.name).collect();
    for name in held {
        let lost = matches!(place(name), Some(Place::Seal(seq, _)) if seq >= here.trust().header.seals_from)
            && !there.contains(name)
            && plan.wrong.iter().all(|wrong| wrong.object != *name);
        if lost {
            let what = "it is missing".to_owned();
            plan.wrong.push(Wrong { object: name.clone(), what, from: None, left: None, vouched: None });
        }
    }
    Ok(())
}

fn is_bundled(wrong: &Wrong) -> bool {
    matches!(place(&wrong.object), Some(Place::Key(..) | Place::Seal(..)))
}
