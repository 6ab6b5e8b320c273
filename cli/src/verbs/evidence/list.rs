//! `evidence list`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::held::{self, Held};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Result, shown, tame};
use crate::render::{Cell, Column, Outcome, Table, Tone};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where evidence lies
    #[arg(long, value_name = "DIR", default_value = super::HOME)]
    from: PathBuf,
    /// The books that it must fit [default: those that come with lifeboat]
    #[arg(long, value_name = "DIR")]
    books: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let vouch = super::pinned(context)?;
    let current = super::current(context, args.books.as_deref())?;
    let all = held::all(&args.from, &vouch, Some(&current))?;
    let mut page = context.page();
    if all.is_empty() {
        page.raw(&format!("there is no evidence in {}", shown(&args.from)));
        page.item("→", "a drill leaves some: `lifeboat drill run BOOK`");
    } else {
        page.table(&table(&all));
    }
    let exit = all.iter().map(exit).fold(Exit::Ok, Exit::worst);
    let list: Vec<Value> = all.iter().map(value).collect();
    Ok(Outcome { exit, value: json!({ "evidence": list }), page: page.finish() })
}

/// What is not whole is damage; what nobody signed yet proves nothing; what expired is no more than old.
fn exit(held: &Held) -> Exit {
    match &held.checked {
        Err(failure) => failure.exit,
        Ok(checked) => super::verify::exit(checked),
    }
}

fn table(all: &[Held]) -> Table {
    let mut table = Table::new(&[Column::Left("evidence"), Column::Left("verdict"), Column::Left("holds")]);
    for held in all {
        let facts = held.checked.as_ref().ok().and_then(|checked| checked.facts.as_ref());
        let verdict = facts.map_or("?", |facts| facts.verdict.words());
        // Names begin with the moment.
        table.row([held.name().into(), verdict.into(), holds(held)]);
    }
    table
}

fn holds(held: &Held) -> Cell {
    match (&held.checked, held.expired.first()) {
        (Err(failure), _) => Cell::toned(Tone::Bad, failure.what.clone()),
        (Ok(checked), _) if checked.unsigned => Cell::toned(Tone::Warn, "not signed yet"),
        (Ok(checked), _) if !checked.problems.is_empty() => {
            let first = checked.problems.first().map_or("", |problem| problem.reason.word());
            Cell::toned(Tone::Bad, format!("NO: {first}"))
        }
        (Ok(_), Some(expired)) => Cell::toned(Tone::Warn, tame(&expired.to_string())),
        (Ok(_), None) => Cell::toned(Tone::Good, "yes"),
    }
}

/// For `--json`.
pub(crate) fn value(held: &Held) -> Value {
    let checked = held.checked.as_ref().ok();
    let facts = checked.and_then(|checked| checked.facts.as_ref());
    json!({
        "path": shown(&held.path), "id": facts.map(|facts| &facts.id), "kind": facts.map(|facts| facts.kind),
        "title": facts.map(|facts| &facts.title), "ended": facts.map(|facts| facts.exercise.ended),
        "verdict": facts.map(|facts| facts.verdict),
        "holds": held.holds(), "problems": checked.map(|checked| &checked.problems),
        "expired": held.expired.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "error": held.checked.as_ref().err().map(crate::failure::Failure::json),
    })
}
