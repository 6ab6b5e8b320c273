//! The readiness page, from what `status` found and the evidence there is.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_verify::evidence::facts::{Moment, Seconds};
use lifeboat_verify::evidence::readiness::{Held, Now, Readiness};
use serde_json::Value;

use crate::context::Context;
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

/// The page, of what `status` printed for programs.
pub(crate) fn readiness(context: &Context, status: &Value, from: &Where) -> Result<Readiness> {
    let vouch = evidence::pinned(context)?;
    let current = evidence::current(context, from.books.as_deref())?;
    let all = held::all(&from.evidence, &vouch, Some(&current))?;
    let list = |name: &str| status.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let unreachable = list("unreachable").iter().filter_map(|one| {
        let why = one.pointer("/error/what").and_then(Value::as_str).unwrap_or("unknown");
        Some((text(one, "region").parse().ok()?, why.to_owned()))
    });
    Ok(Readiness {
        now: Moment::new(context.now()),
        components: list("components").iter().filter_map(now).collect(),
        unreachable: unreachable.collect(),
        evidence: all.into_iter().filter_map(of).collect(),
    })
}

fn now(one: &Value) -> Option<Now> {
    let point: Option<jiff::Timestamp> = text(one, "recovery_point").parse().ok();
    let partial = text(one, "status") == "partial";
    Some(Now {
        name: text(one, "component").parse().ok()?,
        region: text(one, "region").parse().ok()?,
        recovery_point: point.map(|point| Moment::new(point.into())),
        allowed: Seconds::new(Duration::from_secs(
            one.get("rpo_seconds").and_then(Value::as_u64).unwrap_or(0),
        )),
        note: partial.then(|| "its newest snapshot is partial".to_owned()),
    })
}

/// Evidence that can be read, with what is wrong with it; what cannot be read shows nothing.
fn of(held: held::Held) -> Option<Held> {
    let checked = match held.checked {
        Ok(checked) => checked,
        Err(failure) => {
            tracing::warn!(path = %held.path.display(), why = failure.what, "evidence cannot be read");
            return None;
        }
    };
    let problem = checked
        .problems
        .first()
        .map(|first| format!("{}: {}: {}", first.reason.word(), tame(&first.file), tame(&first.what)));
    Some(Held { facts: checked.facts?, problem, expired: held.expired })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Says of the newest evidence, if there is any, whether it holds. How `status` ends hangs on backups, not on this.
pub(super) fn tell(context: &Context, status: &mut Outcome, from: &Where) -> Result<()> {
    if !from.evidence.is_dir() {
        return Ok(());
    }
    let vouch = evidence::pinned(context)?;
    let current = evidence::current(context, from.books.as_deref())?;
    let Some(newest) = held::all(&from.evidence, &vouch, Some(&current))?.pop() else { return Ok(()) };
    let name = newest.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let problem = newest.checked.as_ref().ok().and_then(|checked| checked.problems.first());
    let (tone, words) = match (&newest.checked, problem, newest.expired.first()) {
        (Err(failure), ..) => (Tone::Bad, format!("cannot be read: {}", failure.what)),
        (Ok(_), Some(problem), _) => (Tone::Bad, format!("cannot be believed: {}", problem.reason.word())),
        (Ok(_), None, Some(expired)) => (Tone::Warn, expired.to_string()),
        (Ok(checked), None, None) => {
            let verdict = checked.facts.as_ref().map_or("unknown", |facts| facts.verdict.words());
            (Tone::Plain, format!("holds, {verdict}"))
        }
    };
    let mut page = context.page();
    page.gap().toned(tone, &format!("  evidence {}: {}", tame(&name), tame(&words)));
    status.page.push_str(&page.finish());
    if let Some(value) = status.value.as_object_mut() {
        value.insert("evidence".to_owned(), evidence::value(&newest));
    }
    Ok(())
}

/// Writes the page where it was asked for, in one step.
pub(super) fn write(context: &Context, status: &Value, file: &std::path::Path, from: &Where) -> Result<()> {
    let page = readiness(context, status, from)?.page();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fresh = file.with_file_name(format!(".{name}.new"));
    std::fs::write(&fresh, page)
        .and_then(|()| std::fs::rename(&fresh, file))
        .map_err(|error| Failure::file("write the page", file, &error))
}
