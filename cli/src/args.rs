//! The command line. Each verb's own arguments stand with the verb.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::exit::Exit;
use crate::verbs;

/// Backs up a multi-tenant service, restores it after a disaster, and proves that the restore fits its time.
#[derive(Parser)]
#[command(name = "lifeboat", version, propagate_version = true, max_term_width = 100)]
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
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object on standard output, errors too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress and no warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more to standard error; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

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
    /// List snapshots
    Snapshots(verbs::snapshots::Args),
    /// Show what repositories hold and how much space it takes
    Stats(verbs::stats::Args),
    /// Show what a snapshot holds
    #[cfg(feature = "recover")]
    Ls(verbs::ls::Args),
    /// Restore a component, or part of it, into an empty directory
    #[cfg(feature = "recover")]
    Restore(verbs::restore::Args),
    /// Prove that backups are whole, open, and fit their objectives
    #[cfg(feature = "recover")]
    Verify(verbs::verify::Args),
    /// One look: last snapshot, age and objectives of every component
    Status(verbs::status::Args),
    /// Keys: writers, officers, what belongs in the safe
    Keys(verbs::keys::Args),
    /// Print a completion script for a shell
    Completions(verbs::completions::Args),
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
            Self::Snapshots(_) => "snapshots",
            Self::Stats(_) => "stats",
            #[cfg(feature = "recover")]
            Self::Ls(_) => "ls",
            #[cfg(feature = "recover")]
            Self::Restore(_) => "restore",
            #[cfg(feature = "recover")]
            Self::Verify(_) => "verify",
            Self::Status(_) => "status",
            Self::Keys(args) => args.name(),
            Self::Completions(_) => "completions",
            #[cfg(feature = "full")]
            Self::Demo(_) => "demo",
        }
    }
}

fn after_help() -> String {
    format!(
        "{}\n\n\
         Output: with --json one object on standard output,\n\
         {{\"verb\":…,\"exit\":…,\"meaning\":…,\"result\":…}}, or \"error\":{{\"what\",\"where\",\"next\"}} in place\n\
         of the result. Progress, warnings and logs go to standard error.\n\n\
         Environment:\n  \
           LIFEBOAT_CONFIG         the configuration, as --config\n  \
           LIFEBOAT_IDENTITY       recovery identity files, as --identity, set apart by colons\n  \
           LIFEBOAT_OFFICER_KEY    an officer's signing key, as --officer-key\n  \
           LIFEBOAT_SIGNING_KEY    instead of signing_key in [host]\n  \
           LIFEBOAT_CARD_IDENTITY  instead of card_identity in [host]\n  \
           LIFEBOAT_STATE          instead of state in [host]\n  \
           LIFEBOAT_LOG            what to log, such as debug or lifeboat_backup=trace\n  \
           LIFEBOAT_LOG_FORMAT     text or json\n  \
           NO_COLOR                no colours",
        Exit::table()
    )
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
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(help.contains("  6  objective missed"));
    }
}
