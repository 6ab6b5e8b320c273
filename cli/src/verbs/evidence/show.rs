//! `evidence show`: what evidence says, for people at a terminal. `report.html` says more.

use std::path::PathBuf;

use lifeboat_verify::evidence::check::read_facts;
use lifeboat_verify::evidence::facts::{Facts, Kind, Met, Moment, Outcome as Check, Verdict};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Cell, Column, Outcome, Page, Table, Tone};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory of the evidence, or its name below --from
    evidence: PathBuf,
    /// Where evidence lies
    #[arg(long, value_name = "DIR", default_value = super::HOME)]
    from: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let below = args.from.join(&args.evidence);
    let path = if args.evidence.is_dir() { &args.evidence } else { &below };
    let (facts, _) = read_facts(path).map_err(Failure::from)?;
    let mut page = context.page();
    head(&mut page, &facts);
    components(&mut page, &facts);
    steps(&mut page, &facts);
    looks(&mut page, &facts);
    erasure(&mut page, &facts);
    rest(&mut page, &facts);
    page.gap().raw("Nothing of this was checked: `lifeboat evidence verify` does that.");
    let value = json!({ "path": shown(path), "facts": facts });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}

fn head(page: &mut Page, facts: &Facts) {
    page.heading(&tame(&facts.title));
    let tone = tone(facts.verdict);
    page.toned(tone, &format!("  {}", facts.verdict.words()));
    page.field("evidence", facts.id.as_str());
    let (start, begun) = match facts.kind {
        Kind::Drill => ("disruption", facts.exercise.disruption),
        Kind::Verification | Kind::Erasure => ("begun", facts.exercise.begun),
    };
    page.field(start, &begun.minute());
    page.field("ended", &facts.exercise.ended.minute());
    page.field("led by", &tame(&facts.exercise.operator));
    if let Some(whole) = &facts.projection {
        page.field("all back after", &format!("{}, target {}", whole.seconds.show(), whole.target.show()));
    }
}

fn components(page: &mut Page, facts: &Facts) {
    if facts.components.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        Column::Left("component"),
        Column::Right("back after"),
        Column::Left("RTO"),
        Column::Right("lost at most"),
        Column::Left("RPO"),
        Column::Left("checks"),
    ]);
    for one in &facts.components {
        let (end, rto) = match &one.rto {
            Some(rto) => (rto.end.show(), Cell::toned(tone(rto.verdict), rto.verdict.words())),
            None => ("–".into(), Cell::toned(Tone::Dim, "not looked at")),
        };
        let (lost, rpo) = match &one.rpo {
            Some(rpo) => {
                let lost = rpo.bound.map_or_else(|| "unknown".to_owned(), |bound| bound.show());
                (lost, Cell::toned(met_tone(rpo.verdict), rpo.verdict.words()))
            }
            None => ("–".into(), Cell::toned(Tone::Dim, "not looked at")),
        };
        let passed = one.checks.iter().filter(|check| check.outcome == Check::Passed).count();
        let all = one.checks.len();
        let checks =
            Cell::toned(if passed == all { Tone::Good } else { Tone::Bad }, format!("{passed} of {all}"));
        table.row([one.name.to_string().into(), end.into(), rto, lost.into(), rpo, checks]);
    }
    page.gap().table(&table);
}

fn steps(page: &mut Page, facts: &Facts) {
    if facts.steps.is_empty() {
        return;
    }
    let mut table = Table::new(&[
        Column::Left("step"),
        Column::Left("outcome"),
        Column::Right("took"),
        Column::Right("planned"),
    ]);
    for step in &facts.steps {
        let time = |span: Option<lifeboat_verify::evidence::facts::Seconds>| {
            span.map_or_else(|| "–".to_owned(), |span| span.show())
        };
        table.row([
            tame(&step.name).into(),
            step.what.words().into(),
            time(step.seconds).into(),
            time(step.planned).into(),
        ]);
    }
    page.gap().table(&table);
}

/// What a verification looked at.
fn looks(page: &mut Page, facts: &Facts) {
    let Some(verification) = &facts.verification else { return };
    let mut table = Table::new(&[
        Column::Left("look"),
        Column::Left("outcome"),
        Column::Right("findings"),
        Column::Left("how much"),
    ]);
    for look in &verification.looks {
        let tone = match look.outcome {
            Check::Passed => Tone::Good,
            Check::NotRun(_) => Tone::Warn,
            Check::Failed => Tone::Bad,
        };
        table.row([
            tame(&look.words()).into(),
            Cell::toned(tone, look.outcome.words()),
            look.all_found().to_string().into(),
            tame(&look.detail).into(),
        ]);
    }
    page.gap().table(&table);
}

/// What was erased, by numbers.
fn erasure(page: &mut Page, facts: &Facts) {
    let Some(erasure) = &facts.erasure else { return };
    let moment = |at: Option<Moment>| at.map_or_else(|| "not known".to_owned(), Moment::minute);
    let signed: Vec<&str> = erasure.tombstone.signed.iter().map(|one| one.officer.as_str()).collect();
    page.gap().field("tombstone", &format!("{}, signed by {}", erasure.tombstone.number, signed.join(", ")));
    page.field("holds since", &moment(erasure.effective));
    page.field("destroyed", &moment(erasure.destroyed));
    for one in &erasure.destroyed_in {
        let (objects, versions) = (one.objects, one.versions);
        page.field("", &format!("{}: objects: {objects}, versions: {versions}", one.place.word()));
    }
    page.field("gone for good", &moment(erasure.irreversible));
    let proven = match &erasure.proof {
        None => "was not tried".to_owned(),
        Some(proof) if proof.found.is_empty() => {
            format!("nothing: identities tried: {}, on segments: {}", proof.identities, proof.segments)
        }
        Some(proof) => format!("SOMETHING: see evidence.json ({})", proof.found.len()),
    };
    page.field("what opens it", &proven);
}

fn rest(page: &mut Page, facts: &Facts) {
    page.gap();
    for one in &facts.planted {
        let by = one
            .caught_by
            .as_ref()
            .map_or_else(|| "NOT CAUGHT".to_owned(), |by| format!("caught by {}", tame(by)));
        page.item("·", &format!("planted {}: {by}", one.name));
    }
    for one in facts.assertions.iter().filter(|one| one.met != Met::Met) {
        page.item("✗", &format!("{}: {}; {}", tame(&one.name), one.met.words(), tame(&one.detail)));
    }
    for one in &facts.not_run {
        page.item("?", &format!("not checked: {}: {}", tame(&one.what), tame(&one.reason)));
    }
}

const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Met => Tone::Good,
        Verdict::TargetMissed | Verdict::Insufficient => Tone::Warn,
        Verdict::LimitMissed | Verdict::Failed => Tone::Bad,
    }
}

const fn met_tone(met: Met) -> Tone {
    match met {
        Met::Met => Tone::Good,
        Met::Insufficient => Tone::Warn,
        Met::Missed => Tone::Bad,
    }
}
