//! The `lifeboat` binary: arguments, environment, terminal and exit codes. What it does is done by the crates
//! below it.
//!
//! [`args`] is the command line, [`verbs`] what each verb does, [`config`] the file they start from, [`context`]
//! what they share, [`render`] the way results look, [`exit`] how the process ends.

#![cfg_attr(
    not(feature = "recover"),
    allow(dead_code, reason = "an agent-only build leaves verbs out, and with them what only they use")
)]

mod args;
#[cfg(feature = "recover")]
mod choosing;
mod clocks;
mod codes;
mod config;
mod context;
mod each;
mod exit;
mod failure;
mod keyfiles;
mod log;
#[cfg(feature = "recover")]
mod looking;
#[cfg(feature = "recover")]
mod losses;
mod measured;
#[cfg(feature = "recover")]
mod predictions;
mod progress;
mod render;
mod survey;
mod telling;
mod trusted;
mod verbs;
mod when;
mod witness_command;
mod witnessed;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use clap::error::ErrorKind;
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use signal_hook::consts::{SIGINT, SIGTERM};

use args::{Cli, Global};
use context::{Context, Environment};
use exit::Exit;
use failure::Failure;
use log::Log;
use telling::Telling;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error).into(),
    };
    let verb = cli.verb.name();
    let json = cli.global.json;
    // Every verb spells it so, and none shortens it.
    let dry_run = std::env::args_os().any(|argument| argument == "--dry-run");
    let ended = context_of(cli.global, verb).and_then(|context| {
        let telling = Telling::begin(&context, verb, dry_run);
        let ended = verbs::run(&context, &cli.verb);
        telling.end(&context, &ended);
        ended
    });
    let exit = render::tell(verb, ended, json);
    tracing::info!(exit = exit.code(), "ended: {}", exit.word());
    exit.into()
}

/// Help and version are no errors; anything else is wrong usage, told as `--json` promises where it was asked for.
fn misused(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is left to be told of a closed pipe.
        let _ = error.print();
        return Exit::Ok;
    }
    let text = error.render().to_string();
    if std::env::args_os().any(|argument| argument == "--json") {
        let what = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let what = what.trim_start_matches("error: ").to_owned();
        let failure = Failure::usage(what).at("the command line").next("see `lifeboat help`");
        return render::tell("", Err(failure), true);
    }
    render::to_stderr(&render::misuse_text(&text));
    Exit::Usage
}

fn context_of(global: Global, verb: &'static str) -> failure::Result<Context> {
    let log = Log::start(&global, verb)?;
    Ok(Context {
        json: global.json,
        quiet: global.quiet,
        log,
        metrics: global.metrics,
        config_path: global.config.filter(|path| !path.as_os_str().is_empty()),
        environment: Environment::read(),
        replica: false,
        cancelled: on_interrupt()?,
        throttle: Arc::default(),
        clock: SystemClock,
        entropy: SystemEntropy,
    })
}

/// The first Ctrl-C (or SIGTERM) asks the operation to stop where nothing is lost; the second ends the process.
fn on_interrupt() -> failure::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(Exit::Interrupted.code());
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&flag))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
            .map_err(|error| {
                Failure::failed(format!("cannot watch for Ctrl-C: {error}")).code(codes::Code::Machine)
            })?;
    }
    Ok(flag)
}
