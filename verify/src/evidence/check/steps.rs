//! Whether facts and timeline tell of the same steps: a step that was taken out of one still stands in the other.

use std::collections::BTreeMap;

use super::{Files, Problem, Reason};
use crate::evidence::derived::FACTS_FILE;
use crate::evidence::facts::Facts;
use crate::evidence::timeline;

/// Compares names of steps, attempts counted.
pub(super) fn compare(facts: &Facts, files: &Files, problems: &mut Vec<Problem>) {
    let Some(bytes) = files.get(timeline::FILE) else { return };
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for step in &facts.steps {
        *counts.entry(timeline::name_of(step)).or_default() += 1;
    }
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(rest) = line.strip_prefix("\"step\",") {
            *counts.entry(timeline::first_field(rest).to_owned()).or_default() -= 1;
        }
    }
    for (name, count) in counts {
        let (file, what) = match count {
            0 => continue,
            ..0 => (FACTS_FILE, format!("{} tells of step {name}, and this does not", timeline::FILE)),
            1.. => (timeline::FILE, format!("{FACTS_FILE} tells of step {name}, and this does not")),
        };
        problems.push(Problem::new(Reason::StepRemoved, file, what));
    }
}
