//! `drill list`: which drills there were, and which were cut off.

use std::path::PathBuf;

use lifeboat_runbooks::drill::journal;
use lifeboat_verify::evidence::facts::Verdict;
use serde_json::{Value, json};

use super::evidence;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::render::{Cell, Column, Outcome, Table, Tone};
use crate::when::show_duration;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where evidence of drills lies
    #[arg(long, value_name = "DIR", default_value = super::run::OUT)]
    out: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let all = evidence::all(&args.out)?;
    let cut =
        journal::unfinished(&args.out).map_err(|error| Failure::file("list drills", &args.out, &error))?;
    let mut table = Table::new(&[
        Column::Left("drill"),
        Column::Right("recovery"),
        Column::Right("lost"),
        Column::Folded("verdict"),
    ]);
    let mut values: Vec<Value> = Vec::new();
    for (path, _, facts) in &all {
        let rto = facts.projection.as_ref().map(|one| one.seconds);
        let lost = facts.largest_loss();
        let book = facts.book.as_ref().map_or("", |book| book.name.as_str());
        let tone = match facts.verdict {
            Verdict::Met => Tone::Good,
            Verdict::TargetMissed | Verdict::Insufficient => Tone::Warn,
            Verdict::LimitMissed | Verdict::Failed => Tone::Bad,
        };
        let time = |time: Option<lifeboat_verify::evidence::facts::Seconds>| {
            time.map_or_else(|| "unknown".to_owned(), |time| show_duration(time.span()))
        };
        table.row([
            facts.id.to_string().into(),
            time(rto).into(),
            time(lost).into(),
            Cell::toned(tone, facts.verdict.words()),
        ]);
        values.push(
            json!({ "id": facts.id, "book": book, "ended": facts.exercise.ended, "verdict": facts.verdict,
                            "rto": rto, "rpo": lost, "evidence": shown(path) }),
        );
    }
    let mut page = context.page();
    if all.is_empty() {
        page.toned(Tone::Warn, "No drill has come to its end here.");
    } else {
        page.table(&table);
    }
    let mut waiting = Vec::new();
    for path in &cut {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace(journal::UNFINISHED, "");
        match journal::peek(path) {
            Ok(body) => {
                page.marked("cut off", Tone::Warn, &format!("{}: it goes on with", tame(&name)));
                page.raw(&format!("    {}", tame(&body.resume)));
            }
            Err(error) => {
                page.marked("cut off", Tone::Bad, &tame(&error.to_string()));
            }
        }
        waiting.push(tame(&name));
    }
    Ok(Outcome {
        exit: Exit::Ok,
        value: json!({ "drills": values, "unfinished": waiting }),
        page: page.finish(),
    })
}
