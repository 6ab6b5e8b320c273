//! `drill`: runbooks checked, rehearsed and compared.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Result;
use crate::render::Outcome;

mod asking;
mod backtest;
pub(crate) mod books;
mod check;
mod compare;
mod done;
mod evidence;
mod failures;
mod list;
mod page;
mod plan;
mod run;
mod setup;
mod underway;
mod watching;

pub(crate) use setup::sources;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// See whether books still say what this program understands
    Check(check::Args),
    /// Say what a drill would do
    Plan(plan::Args),
    /// Execute a book against a disposable target, timed, and see planted faults caught
    Run(Box<run::Args>),
    /// List drills, and those that were cut off
    List(list::Args),
    /// Compare two drills step by step
    Compare(compare::Args),
}

impl Args {
    /// The verb's name, for `--json`.
    pub(crate) const fn name(&self) -> &'static str {
        match &self.what {
            What::Check(_) => "drill check",
            What::Plan(_) => "drill plan",
            What::Run(_) => "drill run",
            What::List(_) => "drill list",
            What::Compare(_) => "drill compare",
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Check(args) => check::run(context, args),
        What::Plan(args) => plan::run(context, args),
        What::Run(args) => run::run(context, args),
        What::List(args) => list::run(context, args),
        What::Compare(args) => compare::run(context, args),
    }
}
