//! The readiness page, from what `status` found and the evidence there is.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_verify::evidence::controls::Standing;
use lifeboat_verify::evidence::facts::{Moment, Seconds};
use lifeboat_verify::evidence::readiness::{Held, Now, Readiness, Together};
use serde_json::{Value, json};

use crate::config::{Component, Config};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::{Outcome, Tone};
use crate::verbs::evidence::{self, held};

/// Where evidence is looked for.
#[derive(clap::Args, Clone)]
pub(crate) struct Where {
    /// Where evidence of drills lies
    #[arg(long, value_name = "DIR", default_value = evidence::HOME)]
    pub(crate) evidence: PathBuf,
    /// The books that evidence must fit [default: those that come with lifeboat]
    #[arg(long, value_name = "DIR")]
    pub(crate) books: Option<PathBuf>,
}

/// Whether all could be recovered today, by what `status` found and the evidence there is; and the newest of that.
pub(crate) fn judge(context: &Context, status: &Outcome, from: &Where) -> (Readiness, Option<held::Held>) {
    let value = &status.value;
    let list = |name: &str| value.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let unreachable = list("unreachable").iter().filter_map(|one| {
        let why = one.pointer("/error/what").and_then(Value::as_str).unwrap_or("unknown");
        Some((text(one, "region").parse().ok()?, why.to_owned()))
    });
    let mut readiness = Readiness {
        now: Moment::new(context.now()),
        components: list("components").iter().filter_map(now).collect(),
        at_a_time: context.config().map_or(NonZeroU32::MIN, |config| at_a_time(&config)),
        unreachable: unreachable.collect(),
        against: whole(value).into_iter().chain(list("witnesses").iter().filter_map(witness)).collect(),
        evidence: Vec::new(),
    };
    let newest = match held(context, from) {
        Ok(mut all) => {
            readiness.against.extend(all.iter().filter_map(unreadable));
            readiness.evidence = all.iter().filter_map(of).collect();
            all.pop()
        }
        // What cannot be looked at hides nothing of the rest, and proves nothing.
        Err(failure) => {
            let place = failure.place.as_deref().map_or_else(String::new, |place| format!(" ({place})"));
            let why = format!("evidence cannot be looked at: {}{place}", failure.what);
            readiness.against.push((Standing::Insufficient, why));
            None
        }
    };
    if status.exit != Exit::Ok && readiness.standing() == Standing::Shown {
        let why = format!("`lifeboat status` ends with {} ({})", status.exit.code(), status.exit.word());
        readiness.against.push((Standing::Insufficient, why));
    }
    (readiness, newest)
}

/// How many regions are recovered at a time: one a machine. Where a component needs one of another region, one after another.
pub(super) fn at_a_time(config: &Config) -> NonZeroU32 {
    let region = |name: &Label| config.component(name).ok().map(|one| &one.region);
    let foreign =
        |one: &Component| one.needs.iter().any(|need| region(need).is_some_and(|of| *of != one.region));
    let workers = config.recovery.workers.filter(|_| !config.components.iter().any(foreign));
    workers.unwrap_or(NonZeroU32::MIN)
}

fn held(context: &Context, from: &Where) -> Result<Vec<held::Held>> {
    // Where there never was any there is nothing that could be wrong with it.
    if matches!(from.evidence.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let vouch = evidence::pinned(context)?;
    let current = evidence::current(context, from.books.as_deref())?;
    held::all(&from.evidence, &vouch, Some(&current))
}

fn now(one: &Value) -> Option<Now> {
    let point: Option<jiff::Timestamp> = text(one, "recovery_point").parse().ok();
    let mut against = Vec::new();
    if text(one, "status") == "partial" {
        against.push((Standing::Insufficient, "its newest snapshot is partial".to_owned()));
    }
    if let Some(why) = one.get("dated_ahead").and_then(Value::as_str) {
        against.push((Standing::Insufficient, why.to_owned()));
    }
    if let Some(void) = one.get("void").filter(|void| !void.is_null()) {
        let why = format!("{} is newer and does not count: {}", text(void, "run"), text(void, "why"));
        against.push((Standing::NotShown, why));
    }
    let rto = one.get("rto").map(|rto| text(rto, "verdict")).unwrap_or_default();
    against.extend(of_time("its last timed restore", rto));
    Some(Now {
        name: text(one, "component").parse().ok()?,
        region: text(one, "region").parse().ok()?,
        recovery_point: point.map(|point| Moment::new(point.into())),
        allowed: Seconds::new(Duration::from_secs(
            one.get("rpo_seconds").and_then(Value::as_u64).unwrap_or(0),
        )),
        against,
    })
}

/// What speaks against the schedule of all components, where there is one.
fn whole(status: &Value) -> Option<(Standing, String)> {
    let whole = status.get("whole").filter(|whole| !whole.is_null())?;
    match whole.get("projection").filter(|projection| !projection.is_null()) {
        None => Some((Standing::Insufficient, "all together: components do not hold together".to_owned())),
        Some(projection) => {
            let (standing, why) = of_time("all together", text(projection, "verdict"))?;
            let reason = text(projection, "reason");
            Some((standing, if reason.is_empty() { why } else { format!("{why}: {reason}") }))
        }
    }
}

/// What a verdict on recovery time speaks against.
fn of_time(what: &str, verdict: &str) -> Option<(Standing, String)> {
    match verdict {
        "target_missed" => Some((Standing::NotShown, format!("{what}: target missed"))),
        "limit_missed" => Some((Standing::NotShown, format!("{what}: limit missed"))),
        "insufficient_evidence" => Some((Standing::Insufficient, format!("{what}: insufficient evidence"))),
        _ => None,
    }
}

/// What a witness says against a region.
fn witness(one: &Value) -> Option<(Standing, String)> {
    let standing = match one.get("exit").and_then(Value::as_u64)? {
        0 => return None,
        code if code == u64::from(Exit::Damaged.code()) => Standing::NotShown,
        _ => Standing::Insufficient,
    };
    Some((standing, format!("region {}: freshness {}", text(one, "region"), text(one, "says"))))
}

/// Evidence of which not even the facts can be read: it may be the newest, and say that nothing comes back.
fn unreadable(one: &held::Held) -> Option<(Standing, String)> {
    let read = one.checked.as_ref().is_ok_and(|checked| checked.facts.is_some());
    let why = one.doubt().filter(|_| !read)?;
    Some((Standing::Insufficient, format!("evidence {}: {why}", one.name())))
}

/// Evidence that can be read, with what is wrong with it.
fn of(one: &held::Held) -> Option<Held> {
    let facts = one.checked.as_ref().ok()?.facts.clone()?;
    Some(Held { facts, problem: one.doubt(), expired: one.expired.clone() })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Says of the newest evidence, if there is any, whether it holds, and whether all could be recovered today. How `status`
/// ends hangs on backups, not on this.
pub(super) fn tell(
    context: &Context,
    status: &mut Outcome,
    readiness: &Readiness,
    newest: Option<&held::Held>,
) {
    let mut page = context.page();
    if let Some(newest) = newest {
        let (tone, words) = match (newest.doubt(), newest.expired.first(), &newest.checked) {
            (Some(doubt), ..) => (Tone::Bad, format!("cannot be believed: {doubt}")),
            (None, Some(expired), _) => (Tone::Warn, expired.to_string()),
            (None, None, checked) => {
                let facts = checked.as_ref().ok().and_then(|checked| checked.facts.as_ref());
                let verdict = facts.map_or("unknown", |facts| facts.verdict.words());
                (Tone::Plain, format!("holds, {verdict}"))
            }
        };
        page.gap().toned(tone, &format!("  evidence {}: {}", newest.name(), tame(&words)));
    }
    let tone = match readiness.standing() {
        Standing::Shown => Tone::Good,
        Standing::NotShown => Tone::Bad,
        Standing::Insufficient | Standing::NotLooked => Tone::Warn,
    };
    let all = readiness.together();
    // Of one region its own drill speaks; what is not known is told among the reasons.
    if all.drills.len() > 1 && all.seconds.is_some() {
        let words = format!("  all regions, {}: {}", readiness.order(), all.words());
        page.gap().toned(Tone::Plain, &words);
    }
    let reasons: Vec<String> = readiness.reasons().into_iter().map(said).collect();
    page.gap().toned(tone, &format!("  could we recover today? {}", readiness.answer()));
    for reason in &reasons {
        page.item("   ", reason);
    }
    let told = page.finish();
    if !status.page.is_empty() && !told.is_empty() {
        status.page.push('\n');
    }
    status.page.push_str(&told);
    if let Some(value) = status.value.as_object_mut() {
        if let Some(newest) = newest {
            value.insert("evidence".to_owned(), evidence::value(newest));
        }
        value.insert("rehearsed".to_owned(), regions(&all));
        value.insert("ready".to_owned(), json!({ "answer": readiness.answer(), "reasons": reasons }));
    }
}

/// All regions together, for `--json`.
fn regions(all: &Together<'_>) -> Value {
    let drills = all.drills.iter().map(|(region, held, took)| {
        json!({ "region": region, "id": held.facts.id, "ended": held.facts.exercise.ended, "seconds": took })
    });
    let lacking = all.lacking.iter().map(|(region, why)| json!({ "region": region, "why": tame(why) }));
    json!({
        "seconds": all.seconds, "verdict": all.verdict, "drills": drills.collect::<Vec<_>>(),
        "lacking": lacking.collect::<Vec<_>>(),
    })
}

fn said((component, why): (Option<&Label>, String)) -> String {
    match component {
        None => tame(&why),
        Some(component) => format!("{component}: {}", tame(&why)),
    }
}

/// Writes the page where it was asked for, in one step.
pub(super) fn write(readiness: &Readiness, file: &std::path::Path) -> Result<()> {
    let page = readiness.page();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fresh = file.with_file_name(format!(".{name}.new"));
    std::fs::write(&fresh, page)
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|error| Failure::file("write the page", file, &error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::FILE;

    #[test]
    fn regions_are_recovered_side_by_side_where_there_are_workers_and_none_needs_another() {
        let region =
            |name: &str| format!("[regions.{name}]\njurisdiction = \"EU\"\nrepository = \"/r/{name}\"\n");
        let component = |name: &str, region: &str, needs: &str| {
            format!(
                "[components.{name}]\nregion = \"{region}\"\npath = \"/d/{name}\"\nsystem = \"all\"\nneeds = [{needs}]\n"
            )
        };
        let at_once = |workers: &str, needs: &str| {
            let parts = [
                region("a"),
                region("b"),
                component("one", "a", ""),
                component("two", "b", needs),
                workers.into(),
            ];
            at_a_time(&Config::parse(Path::new(FILE), &parts.concat()).unwrap()).get()
        };
        let two = "[recovery]\nworkers = 2\n";
        assert_eq!((at_once("", ""), at_once(two, ""), at_once(two, "\"one\"")), (1, 2, 1));
    }
}
