//! `gc`: plans what no snapshot needs any more, copies what is live in it, and deletes what is due.

use std::sync::Arc;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::collect::{Condemnation, Knobs, Plan, Swept, WhyLeft, condemn, survey, sweep};
use lifeboat_repo::repository::maintainer::Maintainer;
use serde_json::json;

use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::render::Outcome;

mod page;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Condemn, and delete nothing
    #[arg(long, conflicts_with = "sweep_only")]
    plan_only: bool,
    /// Delete what is due, and condemn nothing
    #[arg(long)]
    sweep_only: bool,
}

/// What was done in a region, or would be.
struct Collected<'c> {
    region: &'c Region,
    /// Not with `--sweep-only`.
    plan: Option<(Plan, Condemnation)>,
    /// Not with `--plan-only`.
    swept: Option<Swept>,
}

impl Collected<'_> {
    /// Whether something that is needed is damaged.
    fn is_damaged(&self) -> bool {
        let bad =
            |why: &WhyLeft| matches!(why, WhyLeft::IndexLost | WhyLeft::Unreadable(_) | WhyLeft::Damaged(_));
        let plan = self
            .plan
            .iter()
            .any(|(plan, condemned)| plan.left.iter().chain(&condemned.damaged).any(|left| bad(&left.why)));
        let swept = |swept: &Swept| !swept.lost.is_empty() || !swept.left.unknown.is_empty();
        plan || self.swept.as_ref().is_some_and(swept)
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let credentials = Arc::new(context.credentials(config.host()?)?);
    let mut page = context.page();
    if args.dry_run {
        page.raw("Nothing is done; this would be:");
    }
    let mut values = Vec::new();
    let regions = context.regions(&config, &args.region)?;
    let reached = each(regions, &mut page, |region, page| {
        let repository = context.open(region)?;
        let done = Maintainer::open(&repository, Arc::clone(&credentials), &context.clock, &context.entropy)
            .map_err(Failure::from)
            .and_then(|maintainer| collect(context, &config, args, region, &maintainer));
        let done = done.map_err(|failure| failure.at(repository_place(region)))?;
        page::render(page, context, &done, args.dry_run);
        values.push(page::value(&done));
        Ok(if done.is_damaged() { Exit::Damaged } else { Exit::Ok })
    })?;
    let value = json!({ "dry_run": args.dry_run, "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

fn collect<'c>(
    context: &Context,
    config: &Config,
    args: &Args,
    region: &'c Region,
    maintainer: &Maintainer<'_>,
) -> Result<Collected<'c>> {
    let knobs: &Knobs = &config.gc;
    let progress: Progress = context.progress(&format!("collection in {}", region.name));
    let plan = if args.sweep_only {
        None
    } else {
        let plan = survey(maintainer, knobs, &progress)?;
        let done = if args.dry_run {
            Condemnation::default()
        } else {
            condemn(maintainer, &plan, knobs, &progress)?
        };
        Some((plan, done))
    };
    let swept = if args.plan_only { None } else { Some(sweep(maintainer, knobs, !args.dry_run, &progress)?) };
    Ok(Collected { region, plan, swept })
}
