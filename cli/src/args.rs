//! The command line. Each verb's own arguments stand with the verb.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::context::Reading;
use crate::exit::Exit;
use crate::log::LogFormat;
use crate::verbs;

/// Backs up a multi-tenant service, restores it after a disaster, and proves that the restore fits its time.
#[derive(Parser)]
#[command(name = "lifeboat", version, propagate_version = true, max_term_width = 80)]
#[command(after_help = "Begin with `lifeboat demo` to see it all, or `lifeboat init` to set it up.\n\
                        `lifeboat help` lists exit codes and environment.")]
#[command(after_long_help = after_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(clap::Args)]
pub(crate) struct Global {
    /// The configuration [default: ./lifeboat.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object on standard output, errors too; on standard error one a line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// No progress and no warnings
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    /// Log more to standard error; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = EVERYWHERE)]
    pub(crate) verbose: u8,
    /// Log this: error, warn, info, debug, trace, or parts as in lifeboat_backup=debug
    #[arg(long, global = true, value_name = "LEVEL", help_heading = EVERYWHERE)]
    pub(crate) log_level: Option<String>,
    /// The form of standard error [default: text, with --json json]
    #[arg(long, global = true, value_name = "FORMAT", value_enum, hide_possible_values = true, help_heading = EVERYWHERE)]
    pub(crate) log_format: Option<LogFormat>,
    /// Write metrics for Prometheus to this file
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    pub(crate) metrics: Option<PathBuf>,
}

/// The heading under which the options stand that every verb takes.
const EVERYWHERE: &str = "Everywhere";

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Write lifeboat.toml, or make the repositories and keys it describes
    #[cfg(feature = "recover")]
    Init(verbs::init::Args),
    /// Check that everything is as it must be, and say what to do where it is not
    Doctor(verbs::doctor::Args),
    /// Back up components
    Backup(verbs::backup::Args),
    /// Write a record into the data, so that a copy shows what it lost
    Heartbeat(verbs::heartbeat::Args),
    /// List snapshots
    Snapshots(Reading<verbs::snapshots::Args>),
    /// Show what repositories hold and how much space it takes
    Stats(Reading<verbs::stats::Args>),
    /// Show what a snapshot holds
    #[cfg(feature = "recover")]
    Ls(Reading<verbs::ls::Args>),
    /// Search snapshots: where a path is, since when, and when it changed
    #[cfg(feature = "recover")]
    Find(Reading<verbs::find::Args>),
    /// Print one file of a snapshot
    #[cfg(feature = "recover")]
    Cat(Reading<verbs::cat::Args>),
    /// Compare a snapshot with another, or with a directory
    #[cfg(feature = "recover")]
    Diff(Reading<verbs::diff::Args>),
    /// Restore a component, or part of it: into an empty directory, in place, or to standard output
    #[cfg(feature = "recover")]
    Restore(Reading<verbs::restore::Args>),
    /// Decide which snapshots expire, and say why; `gc` deletes
    #[cfg(feature = "recover")]
    Retain(Reading<verbs::retain::Args>),
    /// By when deleted data is gone, and which promises break
    #[cfg(feature = "recover")]
    Policy(verbs::policy::Args),
    /// Show how long objects are locked, and extend locks
    #[cfg(feature = "recover")]
    Locks(Reading<verbs::locks::Args>),
    /// Prove that backups are whole, open, and fit their objectives
    #[cfg(feature = "recover")]
    Verify(Reading<verbs::verify::Args>),
    /// Copy what counts in repositories into their replicas, as it is stored
    #[cfg(feature = "recover")]
    Replicate(verbs::replicate::Args),
    /// Heal what is damaged from a copy, and mark what no copy has
    #[cfg(feature = "recover")]
    Repair(verbs::repair::Args),
    /// Rehearse a runbook against a disposable target, timed, with planted faults
    #[cfg(feature = "recover")]
    Drill(verbs::drill::Args),
    /// Write what must be at hand when all else is gone: program, configuration, books, addresses
    #[cfg(feature = "recover")]
    Kit(verbs::kit::Args),
    /// One look: last snapshot, age and objectives of every component
    Status(Reading<verbs::status::Args>),
    /// Serve the readiness page and metrics to this machine
    #[cfg(feature = "recover")]
    Serve(Reading<verbs::serve::Args>),
    /// Evidence of drills: list it, show it, check who signed it
    #[cfg(feature = "recover")]
    Evidence(verbs::evidence::Args),
    /// Erase a tenant from every backup, and prove it
    #[cfg(feature = "recover")]
    Erase(verbs::erase::Args),
    /// Collect what no snapshot needs any more: plan, copy what is live, and delete what is due
    #[cfg(feature = "recover")]
    Gc(Reading<verbs::gc::Args>),
    /// Keys: writers, officers, what belongs in the safe
    Keys(verbs::keys::Args),
    /// Say what an error's code means and what to do
    Explain(verbs::explain::Args),
    /// Print a completion script for a shell
    Completions(verbs::completions::Args),
    /// Write a man page for every verb
    Manual(verbs::manual::Args),
    /// Back up, lose, restore and verify a real tree in a scratch directory, and show it on one page
    #[cfg(feature = "full")]
    Demo(verbs::demo::Args),
}

impl Verb {
    /// Its name, for `--json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            #[cfg(feature = "recover")]
            Self::Init(_) => "init",
            Self::Doctor(_) => "doctor",
            Self::Backup(_) => "backup",
            Self::Heartbeat(_) => "heartbeat",
            Self::Snapshots(_) => "snapshots",
            Self::Stats(_) => "stats",
            #[cfg(feature = "recover")]
            Self::Ls(_) => "ls",
            #[cfg(feature = "recover")]
            Self::Find(_) => "find",
            #[cfg(feature = "recover")]
            Self::Cat(_) => "cat",
            #[cfg(feature = "recover")]
            Self::Diff(_) => "diff",
            #[cfg(feature = "recover")]
            Self::Restore(_) => "restore",
            #[cfg(feature = "recover")]
            Self::Retain(_) => "retain",
            #[cfg(feature = "recover")]
            Self::Policy(args) => args.name(),
            #[cfg(feature = "recover")]
            Self::Locks(_) => "locks",
            #[cfg(feature = "recover")]
            Self::Verify(_) => "verify",
            #[cfg(feature = "recover")]
            Self::Replicate(_) => "replicate",
            #[cfg(feature = "recover")]
            Self::Repair(_) => "repair",
            #[cfg(feature = "recover")]
            Self::Drill(args) => args.name(),
            #[cfg(feature = "recover")]
            Self::Kit(_) => "kit",
            Self::Status(_) => "status",
            #[cfg(feature = "recover")]
            Self::Serve(_) => "serve",
            #[cfg(feature = "recover")]
            Self::Evidence(args) => args.name(),
            #[cfg(feature = "recover")]
            Self::Erase(_) => "erase",
            #[cfg(feature = "recover")]
            Self::Gc(_) => "gc",
            Self::Keys(args) => args.name(),
            Self::Explain(_) => "explain",
            Self::Completions(_) => "completions",
            Self::Manual(_) => "manual",
            #[cfg(feature = "full")]
            Self::Demo(_) => "demo",
        }
    }
}

/// The environment, each variable with what it does.
pub(crate) const ENVIRONMENT: [(&str, &str); 14] = [
    ("LIFEBOAT_CONFIG", "the configuration, as --config"),
    ("LIFEBOAT_IDENTITY", "recovery identities, as --identity, colons between"),
    ("LIFEBOAT_OFFICER_KEY", "an officer's signing key, as --officer-key"),
    ("LIFEBOAT_REPLICA", "if set, but to no: --replica, where a verb has it"),
    ("LIFEBOAT_SIGNING_KEY", "instead of signing_key in [host]"),
    ("LIFEBOAT_CARD_IDENTITY", "instead of card_identity in [host]"),
    ("LIFEBOAT_STATE", "instead of state in [host]"),
    ("LIFEBOAT_LOG", "what to log, as --log-level"),
    ("LIFEBOAT_LOG_FORMAT", "text or json, as --log-format"),
    ("DRILL_TARGET", "where a drill restores to, as --target"),
    ("JOB_COMPLETION_INDEX", "which shard, with `restore --shards`"),
    ("NO_COLOR", "no colours"),
    ("CLICOLOR", "0: no colours"),
    ("CLICOLOR_FORCE", "colours without a terminal too, unless NO_COLOR"),
];

fn after_help() -> String {
    let mut text = format!(
        "{}\n\n\
         Output: with --json one object on standard output,\n\
         {{\"verb\":…,\"exit\":…,\"meaning\":…,\"result\":…}}, or in place of the result\n\
         \"error\":{{\"code\",\"what\",\"where\",\"next\"}}. Progress, warnings and logs go to\n\
         standard error, with --json one object a line.\n\n\
         Environment:",
        Exit::table()
    );
    for (name, meaning) in ENVIRONMENT {
        text.push_str(&format!("\n  {name:22}  {meaning}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_the_terminal() {
        let help = Cli::command().term_width(80).render_long_help().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for (name, meaning) in ENVIRONMENT {
            assert!(help.contains(&format!("\n  {name:22}  {meaning}")), "{name} is broken in two");
        }
        assert!(help.contains("  6  objective missed"));
    }
}
