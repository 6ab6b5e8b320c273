//! `drill plan`: what a drill would do, and nothing is done.

use std::time::Duration;

use lifeboat_runbooks::drill::planted::Plant;
use lifeboat_runbooks::drill::target::Target;
use lifeboat_runbooks::{InDrill, Mode, Phase};
use lifeboat_verify::evidence::facts::Moment;
use serde_json::{Value, json};

use super::setup::{Asked, Setup};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Result, tame};
use crate::render::{Column, Outcome, Table, Tone};
use crate::when::{show_moment, show_objective};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The book: by name, or a file that ends with .md
    #[arg(value_name = "BOOK")]
    book: String,
    #[command(flatten)]
    asked: Asked,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let context = &context.reading(args.asked.side);
    let setup = Setup::new(context, &args.asked, &args.book)?;
    let nowhere = Target { directory: "TARGET".into(), made: false };
    let values = setup.values(context, &args.asked, &nowhere)?;
    let mut page = context.page();
    page.heading(&tame(&format!("{}: nothing is done; this would be", setup.book.title)));
    let mut table = Table::new(&[
        Column::Left("step"),
        Column::Left("phase"),
        Column::Right("planned"),
        Column::Left("in a drill"),
    ]);
    let (mut planned, mut steps) = (Duration::ZERO, Vec::<Value>::new());
    for step in &setup.book.steps {
        let timeout = step.timeout.unwrap_or_default();
        if step.phase != Phase::Cleanup {
            planned = planned.saturating_add(timeout);
        }
        let doing = match (step.drill, step.mode) {
            (InDrill::Skip, _) => "left out",
            (InDrill::Simulate, _) => "only simulated",
            (InDrill::Run, Mode::Manual) => "a person does it",
            (InDrill::Run, Mode::Auto) => "runs",
        };
        table.row([
            step.name.clone().into(),
            step.phase.as_str().to_owned().into(),
            show_objective(timeout).into(),
            doing.to_owned().into(),
        ]);
        steps.push(json!({ "name": step.name, "phase": step.phase, "planned": timeout.as_secs_f64(), "doing": doing }));
    }
    page.table(&table);
    page.gap();
    page.field("disruption", &show_moment(setup.disruption.at));
    page.field("region", setup.region.as_str());
    for pin in &setup.seen.pins {
        let what = match (pin.run, pin.recovery_point) {
            (Some(run), Some(point)) => {
                format!("{}: {run} ({}, of {})", pin.component, pin.bytes, show_moment(point.timestamp()))
            }
            _ => format!("{}: no snapshot would have been there", pin.component),
        };
        page.field("restores", &what);
    }
    page.field(
        "planned",
        &format!(
            "{} at the most, {} promised",
            show_objective(planned),
            show_objective(setup.book.front.rto)
        ),
    );
    page.field("plants", &Plant::ALL.map(Plant::name).join(", "));
    if setup.seen.erasures == 0 {
        page.marked(
            "note",
            Tone::Warn,
            "nobody was ever erased here, so no canary can show that the erased stay away",
        );
    }
    let unread: Vec<&str> = setup
        .book
        .steps
        .iter()
        .filter(|step| step.drill != InDrill::Run)
        .map(|step| step.name.as_str())
        .collect();
    page.field("not done", &unread.join(", "));
    let value = json!({
        "book": setup.found.name, "region": setup.region, "disruption": Moment::new(setup.disruption.at), "steps": steps,
        "planned": planned.as_secs_f64(), "pins": setup.seen.pins, "values": values, "plants": Plant::ALL.map(Plant::name),
        "erasures": setup.seen.erasures,
    });
    Ok(Outcome { exit: Exit::Ok, value, page: page.finish() })
}
