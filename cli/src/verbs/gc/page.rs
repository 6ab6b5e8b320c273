//! What `gc` did, for people and for programs.

use std::collections::BTreeMap;

use lifeboat_repo::repository::collect::{Condemnation, LeftOut, Plan, Reason, Swept, WaitsFor, WhyLeft};
use lifeboat_repo::units::Bytes;
use serde_json::{Value, json};

use super::Collected;
use crate::context::Context;
use crate::failure::tame;
use crate::render::{Page, Tone};
use crate::when::{count_of, show_moment};

/// As many of one thing are named.
const NAMED: usize = 8;

pub(super) fn render(page: &mut Page, context: &Context, done: &Collected<'_>, dry_run: bool) {
    page.heading(&done.region.name.to_string());
    if let Some((plan, condemned)) = &done.plan {
        render_plan(page, plan, condemned, dry_run);
    }
    if let Some(swept) = &done.swept {
        render_swept(page, context, swept, dry_run);
    }
}

fn render_plan(page: &mut Page, plan: &Plan, done: &Condemnation, dry_run: bool) {
    let packs = |count: u64| count_of(count, "pack", "packs");
    page.field(
        "present",
        &format!("{}, {}, {} of it dead", packs(plan.present.packs), plan.present.bytes, plan.dead),
    );
    let bytes: Bytes = plan.packs.iter().map(|one| one.length).sum();
    let indexes = count_of(plan.indexes.len() as u64, "index object", "index objects");
    let condemned = format!("{} ({bytes}), {indexes}", packs(plan.packs.len() as u64));
    page.field(if dry_run { "would condemn" } else { "condemned" }, &condemned);
    for one in plan.packs.iter().take(NAMED) {
        let why = match one.reason {
            Reason::Unnamed => "no index names it".to_owned(),
            Reason::Dead { share, live } if live == Bytes::ZERO => format!("{share} dead"),
            Reason::Dead { share, live } => format!("{share} dead, {live} live"),
        };
        page.item("-", &format!("{}: {}, {why}", one.pack, one.length));
    }
    more(page, plan.packs.len());
    if !plan.states.is_empty() {
        let bytes: Bytes = plan.states.iter().map(|one| one.length).sum();
        page.field("outdated", &format!("{} ({bytes})", parts(plan.states.len() as u64)));
    }
    if done.moved.segments > 0 {
        page.field("copied", &moved(&done.moved));
    }
    if let Some(record) = done.record {
        page.field("record", &format!("gc/{record}"));
    }
    let mut by_reason: BTreeMap<&str, Vec<&LeftOut>> = BTreeMap::new();
    for left in plan.left.iter().chain(&done.damaged) {
        by_reason.entry(why_left(&left.why).0).or_default().push(left);
    }
    for (reason, left) in by_reason {
        page.field("left", &format!("{}: {reason}", packs(left.len() as u64)));
        for one in left.iter().take(NAMED) {
            let (_, bad) = why_left(&one.why);
            if let Some(why) = bad {
                page.marked("!", Tone::Bad, &format!("{}: {why}", one.pack));
            }
        }
    }
}

fn render_swept(page: &mut Page, context: &Context, swept: &Swept, dry_run: bool) {
    let deleted = &swept.deleted;
    let states = match deleted.states {
        0 => String::new(),
        count => format!(", {}", parts(count)),
    };
    let beats = match deleted.heartbeats {
        0 => String::new(),
        count => format!(
            ", {}",
            count_of(count, "heartbeat from before all snapshots", "heartbeats from before all snapshots")
        ),
    };
    let what = format!(
        "{}, {}, {}{states}{beats}: {} freed",
        count_of(deleted.packs, "pack", "packs"),
        count_of(deleted.indexes, "index object", "index objects"),
        count_of(deleted.snapshots, "snapshot", "snapshots"),
        deleted.bytes
    );
    page.field(if dry_run { "would delete" } else { "deleted" }, &what);
    if swept.moved.segments > 0 {
        page.field(if dry_run { "would copy" } else { "copied" }, &moved(&swept.moved));
    }
    for commit in &swept.fenced {
        let word = if dry_run { "would end" } else { "ended" };
        page.item("-", &format!("{word} the run of {commit}: it took too long, and a record waited for it"));
    }
    for waiting in &swept.left.waiting {
        match &waiting.what {
            WaitsFor::Age(until) => {
                page.item("-", &format!("gc/{} is swept from {} on", waiting.record, show_moment(*until)));
            }
            WaitsFor::Runs(runs) => {
                let until = runs.iter().map(|(_, until)| *until).max().unwrap_or_else(|| context.now());
                let named: Vec<&str> = runs.iter().take(NAMED).map(|(commit, _)| commit.as_str()).collect();
                page.item(
                    "-",
                    &format!(
                        "gc/{} waits until {} at the latest for runs that may not have seen it: {}",
                        waiting.record,
                        show_moment(until),
                        named.join(", ")
                    ),
                );
            }
        }
    }
    for locked in swept.left.locked.iter().take(NAMED) {
        let until = locked.until.map_or_else(
            || "for a time the store does not tell".to_owned(),
            |until| format!("until {}", show_moment(until)),
        );
        page.item("-", &format!("{} ({}) is locked {until}", locked.name, locked.length));
    }
    more(page, swept.left.locked.len());
    for segment in &swept.lost {
        page.marked("!", Tone::Bad, &format!("segment {segment} is lost: no place has it whole"));
    }
    for (pack, why) in &swept.left.unknown {
        page.marked(
            "!",
            Tone::Bad,
            &format!("pack {pack} stays: nothing says what it holds ({})", tame(why)),
        );
    }
}

fn moved(moved: &lifeboat_repo::repository::collect::Moved) -> String {
    let segments = count_of(moved.segments, "segment", "segments");
    format!("{segments} ({}) into {}", moved.bytes, count_of(moved.packs, "pack", "packs"))
}

fn parts(count: u64) -> String {
    count_of(count, "part of a host's state", "parts of hosts' states")
}

fn more(page: &mut Page, count: usize) {
    if count > NAMED {
        page.item("-", &format!("and {} more; --json names all", count - NAMED));
    }
}

/// Why a pack stays, and what is wrong if something is.
fn why_left(why: &WhyLeft) -> (&'static str, Option<String>) {
    match why {
        WhyLeft::Young => ("too young", None),
        WhyLeft::Later => ("more would be copied than in one go", None),
        WhyLeft::IndexLost => (
            "an index object is lost",
            Some(
                "snapshots need it and no index names it; `lifeboat repair index` writes the index anew"
                    .to_owned(),
            ),
        ),
        WhyLeft::Unreadable(why) => ("what it holds cannot be read", Some(tame(why))),
        WhyLeft::Damaged(why) => ("something live in it is damaged", Some(tame(why))),
    }
}

pub(super) fn value(done: &Collected<'_>) -> Value {
    let plan = done.plan.as_ref().map(|(plan, condemned)| plan_value(plan, condemned));
    let swept = done.swept.as_ref().map(swept_value);
    json!({ "region": done.region.name, "plan": plan, "sweep": swept })
}

fn plan_value(plan: &Plan, done: &Condemnation) -> Value {
    let packs: Vec<Value> = plan
        .packs
        .iter()
        .map(|one| {
            let (reason, share, live) = match one.reason {
                Reason::Unnamed => ("unnamed", None, None),
                Reason::Dead { share, live } => ("dead", Some(share), Some(live)),
            };
            json!({ "pack": one.pack, "bytes": one.length, "reason": reason, "dead_percent": share, "live": live })
        })
        .collect();
    let left = plan.left.iter().chain(&done.damaged).map(|one| {
        let (reason, why) = why_left(&one.why);
        json!({ "pack": one.pack, "reason": reason, "why": why })
    });
    let indexes: Vec<_> = plan.indexes.iter().map(|one| &one.name).collect();
    let states: Vec<_> = plan.states.iter().map(|one| &one.name).collect();
    json!({
        "present": plan.present, "dead": plan.dead, "packs": packs, "indexes": indexes, "states": states,
        "left": left.collect::<Vec<_>>(), "copied": done.moved, "record": done.record.map(|seq| seq.0),
    })
}

fn swept_value(swept: &Swept) -> Value {
    let waiting = swept.left.waiting.iter().map(|one| match &one.what {
        WaitsFor::Age(until) => {
            json!({ "record": one.record.0, "until": until.rfc3339(), "runs": [] })
        }
        WaitsFor::Runs(runs) => {
            let until = runs.iter().map(|(_, until)| *until).max().map(|until| until.rfc3339());
            let names: Vec<_> = runs.iter().map(|(commit, _)| commit).collect();
            json!({ "record": one.record.0, "until": until, "runs": names })
        }
    });
    let locked = swept.left.locked.iter().map(|one| {
        json!({ "name": one.name, "bytes": one.length, "until": one.until.map(|until| until.rfc3339()) })
    });
    let unknown = swept.left.unknown.iter().map(|(pack, why)| json!({ "pack": pack, "why": tame(why) }));
    json!({
        "deleted": swept.deleted, "copied": swept.moved, "lost": swept.lost, "ended": swept.fenced,
        "waiting": waiting.collect::<Vec<_>>(), "locked": locked.collect::<Vec<_>>(),
        "unknown": unknown.collect::<Vec<_>>(),
    })
}
