//! What a drill measured, beside what was said before: kept on this host, and told in its facts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_verify::evidence::facts::{Facts, Outcome};
use lifeboat_verify::history::{Compared, Line, Taken, back_test};
use lifeboat_verify::objective::Work;

use crate::config::Config;
use crate::predictions;
use crate::when::{show_duration, show_moment};

/// How long each component took, and what there was to do.
pub(super) type Brought = BTreeMap<Label, (Duration, Option<Work>)>;

/// Tells of each component that came back whole whether what was said of it before held, and what is to be kept of it all.
pub(super) fn tell(
    facts: &mut Facts,
    config: &Config,
    region: &Label,
    brought: &Brought,
    state: &Path,
) -> Vec<Line> {
    let at = facts.exercise.ended.timestamp();
    let by = facts.id.to_string();
    let (mut all, mut whole) = (Vec::new(), Work::default());
    let known = predictions::load(state);
    for component in &mut facts.components {
        let came_back =
            !component.checks.is_empty() && component.checks.iter().all(|one| one.outcome == Outcome::Passed);
        let Some((took, Some(work))) = brought.get(&component.name).filter(|_| came_back) else { continue };
        let (took, work) = (*took, *work);
        whole.bytes += work.bytes;
        whole.fetched += work.fetched;
        whole.requests += work.requests;
        whole.files += work.files;
        let own = Some(component.name.clone());
        let line = Line::Measured(Taken { at, component: own, region: None, took, work, by: by.clone() });
        let tested = back_test(&[known.as_slice(), std::slice::from_ref(&line)].concat());
        let own =
            tested.compared.into_iter().find(|one| one.component == component.name && one.measured_at == at);
        if let (Some(rto), Some(own)) = (&mut component.rto, own) {
            rto.note = Some(words(&own));
        }
        all.push(line);
    }
    // A part of a region says nothing of how long all of it takes.
    let everything = config.components_of(region).all(|one| {
        all.iter()
            .any(|line| matches!(line, Line::Measured(taken) if taken.component.as_ref() == Some(&one.name)))
    });
    if let Some(projection) = facts.projection.as_ref().filter(|_| everything) {
        let took = projection.seconds.span();
        let region = Some(region.clone());
        all.push(Line::Measured(Taken { at, component: None, region, took, work: whole, by }));
    }
    all
}

fn words(one: &Compared) -> String {
    let held = if one.held { "which held" } else { "which did NOT hold" };
    format!(
        "{}; on {} it was said to take between {} and {}, {held}",
        show_duration(one.took),
        show_moment(one.predicted_at),
        show_duration(one.range.low),
        show_duration(one.range.high)
    )
}
