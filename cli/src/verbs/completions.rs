//! `completions`: what a shell needs to finish words.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::render::Outcome;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(_context: &Context, args: &Args) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lifeboat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Ok(Outcome {
        exit: Exit::Ok,
        value: json!({ "shell": args.shell.to_string(), "script": script }),
        page: script,
    })
}
