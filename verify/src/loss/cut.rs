//! The recovery point of a whole system: the oldest of its components, if they fit one another.

use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Loss, Span};
use crate::levels::Outcome;
use crate::objective::RpoVerdict;

/// A check of what components say of one another: that every upload a chat names is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceCheck {
    /// Its name.
    pub name: String,
    /// Which components it looks at.
    pub components: Vec<Label>,
    /// How it ended on the restored copies.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Up to when a whole restored system holds data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The verdict on the whole.
    #[serde(flatten)]
    pub verdict: RpoVerdict,
    /// What every component provably holds; nothing: unknown.
    pub recovery_point: Option<Timestamp>,
    /// At most the changes of so long are lost; nothing: unknown.
    pub bound: Option<Span>,
    /// The component that holds least, or of which nothing is known.
    pub oldest: Option<Label>,
    /// How far components lie apart: what one of them has and another lacks.
    pub apart: Option<Span>,
    /// Components whose references were checked with others, and held.
    pub consistent: bool,
    /// Where it comes from, or what is missing.
    pub note: String,
}

/// The oldest cut through components, and whether they fit one another there.
#[must_use]
pub fn cut(losses: &[Loss], checks: &[ReferenceCheck], objective: Duration) -> Cut {
    let unknown = losses.iter().find(|loss| loss.proven.is_none());
    let oldest = losses.iter().min_by_key(|loss| loss.proven);
    let newest = losses.iter().filter_map(|loss| loss.proven).max();
    let point = oldest.filter(|_| unknown.is_none()).and_then(|loss| loss.proven);
    let bound = losses.iter().map(|loss| loss.bound).max().flatten().filter(|_| unknown.is_none());
    let failed = checks.iter().find(|check| check.outcome == Outcome::Failed);
    let not_run = checks.iter().find_map(|check| match &check.outcome {
        Outcome::NotRun(why) => Some(format!("{} did not run: {why}", check.name)),
        _ => None,
    });
    let covered = losses.len() < 2
        || losses.iter().all(|loss| checks.iter().any(|check| check.components.contains(&loss.component)));
    let (verdict, note) = if let Some(check) = failed {
        (RpoVerdict::Missed, format!("components do not fit one another: {} failed", check.name))
    } else if losses.is_empty() {
        let why = "no component was looked at".to_owned();
        (RpoVerdict::InsufficientEvidence(why.clone()), why)
    } else if let Some(loss) = unknown {
        let why = format!("of {} nothing is known: {}", loss.component, loss.note);
        (RpoVerdict::InsufficientEvidence(why.clone()), why)
    } else if losses.iter().any(|loss| loss.verdict.is_missed())
        || bound.is_none_or(|bound| bound.0 > objective)
    {
        (RpoVerdict::Missed, "a component lost more than it may".to_owned())
    } else if let Some(why) = not_run {
        (RpoVerdict::InsufficientEvidence(why.clone()), why)
    } else if covered {
        (
            RpoVerdict::Met,
            "every component holds what it should, and what they say of one another fits".to_owned(),
        )
    } else {
        let why = "no check says that components fit one another".to_owned();
        (RpoVerdict::InsufficientEvidence(why.clone()), why)
    };
    Cut {
        consistent: verdict == RpoVerdict::Met,
        verdict,
        recovery_point: point,
        bound,
        oldest: oldest.map(|loss| loss.component.clone()),
        apart: point.zip(newest).map(|(point, newest)| Span(newest.since(point))),
        note,
    }
}
