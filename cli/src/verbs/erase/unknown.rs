//! A tenant of whom nothing is stored: most likely a name that was mistyped, or another region's.

use lifeboat_repo::repository::erase::Plan;
use lifeboat_repo::repository::erasures::{Act, Erasures};
use lifeboat_repo::repository::reseal::Acting;

use super::steps::Steps;
use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Tenants that an error names.
const NAMED_MAX: usize = 20;

/// Refuses to erase whom nobody here knows, unless that is meant: `in_advance`.
///
/// A tombstone for nobody would be signed, and whoever asked for it would believe that somebody is forgotten.
pub(super) fn refuse(acting: &Acting<'_>, plan: &Plan, in_advance: bool, steps: &Steps) -> Result<()> {
    if !plan.keys.is_empty() || in_advance {
        return Ok(());
    }
    let erasures = Erasures::load(acting.repository)?;
    let refused = |what: String| Failure::new(Exit::Refused, what).code(Code::NoTenant);
    if plan.tokens.iter().all(|(writer, token)| erasures.tenant(writer, *token)) {
        let names_it = |act: &&Act| {
            plan.tokens.iter().any(|(writer, token)| act.body.tenants.get(writer) == Some(token))
        };
        let newest = erasures
            .acts()
            .iter()
            .rev()
            .filter(names_it)
            .find(|act| act.effective && !act.body.keys.is_empty());
        let prove = newest.map_or_else(String::new, |act| {
            format!(
                ", `{}` tries whether anything opens what its newest tombstone names",
                steps.prove(act.body.seq)
            )
        });
        return Err(refused(format!("{} is erased already, and no key of it is left", plan.tenant))
            .next(format!("`{}` destroys what came late{prove}", steps.sweep())));
    }
    let known = &plan.known;
    let named: Vec<String> = known.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = known.len().saturating_sub(NAMED_MAX);
    let there = match (named.is_empty(), more) {
        (true, _) => "there is nobody".to_owned(),
        (false, 0) => format!("there are {}", named.join(", ")),
        (false, more) => format!("there are {} and {more} more", named.join(", ")),
    };
    let unopened = match plan.unopened.len() {
        0 => String::new(),
        count => format!(" (and {count} keys that open nowhere: whose they are cannot be told)"),
    };
    Err(refused(format!("nobody of the name {} has data here; {there}{unopened}", plan.tenant)).next(
        "look at name and region; --in-advance puts a tombstone all the same, so that hosts never take data of that name",
    ))
}
