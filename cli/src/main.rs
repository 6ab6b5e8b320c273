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
mod config;
mod context;
mod exit;
mod failure;
mod keyfiles;
mod measured;
mod progress;
mod render;
mod survey;
mod trusted;
mod verbs;
mod when;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use clap::error::ErrorKind;
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::EnvFilter;

use args::{Cli, Global};
use context::{Context, Environment};
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error).into(),
    };
    start_log(&cli.global);
    let verb = cli.verb.name();
    let json = cli.global.json;
    let ended = context_of(cli.global).and_then(|context| verbs::run(&context, &cli.verb));
    render::tell(verb, ended, json).into()
}

/// Help and version are no errors; anything else is wrong usage, told as `--json` promises where it was asked for.
fn misused(error: &clap::Error) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is left to be told of a closed pipe.
        let _ = error.print();
        return Exit::Ok;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let failure = Failure::usage(what).at("the command line").next("see `lifeboat help`");
        return render::tell("", Err(failure), true);
    }
    let _ = error.print();
    Exit::Usage
}

fn context_of(global: Global) -> failure::Result<Context> {
    Ok(Context {
        json: global.json,
        quiet: global.quiet,
        config_path: global.config.filter(|path| !path.as_os_str().is_empty()),
        environment: Environment::read(),
        cancelled: on_interrupt()?,
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
            .map_err(|error| Failure::failed(format!("cannot watch for Ctrl-C: {error}")))?;
    }
    Ok(flag)
}

fn start_log(global: &Global) {
    let default = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_env("LIFEBOAT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    let json = std::env::var_os("LIFEBOAT_LOG_FORMAT").is_some_and(|format| format == "json");
    // A second subscriber is impossible here, and without any the program still works.
    let _ = if json { log.json().try_init() } else { log.try_init() };
}
