//! How long everything together would take to come back, by what was measured last.

use std::num::NonZeroU32;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::snapshots::{Listed, Standing};
use lifeboat_verify::estate::{Member, Projection, Question, SizeAt, project_estate};
use lifeboat_verify::history::{BackTest, back_test, drills};
use lifeboat_verify::objective::{RtoObjective, RtoVerdict};
use serde_json::{Value, json};

use super::html::at_a_time;
use crate::config::{Component, Config};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::tame;
use crate::losses::readable;
use crate::measured::Measured;
use crate::predictions;
use crate::render::{Page, Tone};
use crate::when::{count_of, show_duration, show_objective};

/// All components, or what hinders to say anything of them.
pub(super) struct Whole {
    projection: Option<Projection>,
    tested: BackTest,
}

/// A component as it is seen here.
pub(super) fn member(component: &Component, measured: Option<&Measured>, listed: &[Listed]) -> Member {
    let sizes =
        listed.iter().filter(|one| one.component == component.name && one.standing == Standing::Counts);
    let size = |one: &Listed| {
        let snapshot = one.snapshot.as_ref()?;
        let (bytes, entries) = (snapshot.counts.bytes, snapshot.counts.entries);
        Some(SizeAt { at: snapshot.start, bytes, entries })
    };
    Member {
        name: component.name.clone(),
        needs: component.needs.clone(),
        rto: measured.and_then(Measured::rto),
        shards: component.rto_shards,
        sizes: sizes.filter_map(size).collect(),
    }
}

/// Projects all of them; nothing where only some were looked at, or none was ever measured.
pub(super) fn look(context: &Context, config: &Config, mut members: Vec<Member>) -> Option<Whole> {
    let state = &config.host.as_ref()?.state;
    if members.len() < config.components.len() || members.iter().all(|member| member.rto.is_none()) {
        return None;
    }
    // What was to be back first and is of another configuration would stop everything.
    let names: Vec<_> = members.iter().map(|member| member.name.clone()).collect();
    for member in &mut members {
        member.needs.retain(|need| names.contains(need));
    }
    let lines = predictions::load(state);
    let target = config.components.iter().map(|component| component.rto.target).max()?;
    let limit = config.components.iter().map(|component| component.rto.limit).max()?;
    let regions: Vec<Label> = config.regions.iter().map(|region| region.name.clone()).collect();
    let recoveries = drills(&lines, &regions, at_a_time(config));
    let question = Question {
        workers: config.recovery.workers.unwrap_or(NonZeroU32::MIN),
        objective: RtoObjective { target, limit },
        drills: &recoveries,
        now: context.now(),
    };
    let projection = project_estate(&members, &question);
    if let Err(error) = &projection {
        tracing::warn!(%error, "components cannot be scheduled");
    }
    Some(Whole { projection: projection.ok(), tested: back_test(&lines) })
}

impl Whole {
    /// What it means.
    pub(super) fn exit(&self) -> Exit {
        match self.projection.as_ref().map(|projection| &projection.verdict) {
            Some(RtoVerdict::Met) => Exit::Ok,
            Some(RtoVerdict::TargetMissed | RtoVerdict::LimitMissed) => Exit::Missed,
            Some(RtoVerdict::InsufficientEvidence(_)) | None => Exit::Unchecked,
        }
    }

    pub(super) fn render(&self, page: &mut Page) {
        let Some(found) = &self.projection else {
            page.gap()
                .toned(Tone::Bad, "  all together: components do not hold together, so nothing is known");
            return;
        };
        let about = format!(
            "about {}, between {} and {}, with {}",
            show_duration(found.projected),
            show_duration(found.range.low),
            show_duration(found.range.high),
            count_of(u64::from(found.workers), "worker", "workers")
        );
        let (target, limit) = (show_objective(found.objective.target), show_objective(found.objective.limit));
        let (tone, text) = match &found.verdict {
            RtoVerdict::Met => (Tone::Good, format!("met: {about}, target {target}")),
            RtoVerdict::TargetMissed => {
                (Tone::Warn, format!("TARGET MISSED: {about}, target {target}, limit {limit}"))
            }
            RtoVerdict::LimitMissed => (Tone::Bad, format!("MISSED: {about}, limit {limit}")),
            RtoVerdict::InsufficientEvidence(why) => {
                (Tone::Warn, format!("insufficient evidence: {}", tame(why)))
            }
        };
        page.gap().marked("all together", tone, &text);
        let path: Vec<String> = found.critical.iter().map(ToString::to_string).collect();
        page.item(
            "   ",
            &format!("longest chain: {} ({})", path.join(" → "), show_duration(found.critical_path)),
        );
        match found.workers_needed {
            Some(needed) => page.item("   ", &format!("workers needed for {target}: {needed}")),
            None if found.missing.is_empty() => {
                page.item("   ", &format!("no number of workers keeps {target}: the longest chain decides"))
            }
            None => page,
        };
        if let Some(growth) = &found.growth {
            let when = growth.target.map_or_else(|| "not within ten years".to_owned(), |day| day.rfc3339());
            page.item("   ", &format!("growth as until now breaks {target}: {when}"));
        }
        if let Some(chances) = &found.chances {
            page.item(
                "   ",
                &format!(
                    "by {} drills: half within {}, 95 of 100 within {}; {:.0} % within {target}, {:.0} % within {limit}",
                    chances.drills,
                    show_duration(chances.p50),
                    show_duration(chances.p95),
                    100.0 * chances.within_target,
                    100.0 * chances.within_limit
                ),
            );
        }
        if !self.tested.compared.is_empty() {
            let (held, all) = (self.tested.held, self.tested.compared.len());
            page.item(
                "   ",
                &format!("earlier predictions: {held} of {all} held when the whole was restored"),
            );
        }
    }

    pub(super) fn value(&self) -> Value {
        readable(json!({ "projection": self.projection, "predictions": self.tested }))
    }
}
