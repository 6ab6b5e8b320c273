//! `keys`: who may write, who may recover, what belongs in the safe.

use clap::Subcommand;

#[cfg(feature = "recover")]
pub(super) use writers::OfficerArgs;

use crate::context::Context;
#[cfg(feature = "recover")]
use crate::context::Reading;
use crate::failure::Result;
use crate::render::Outcome;
#[cfg(feature = "recover")]
use crate::trusted::Role;

#[cfg(feature = "recover")]
mod bundle;
#[cfg(feature = "recover")]
mod check;
#[cfg(feature = "recover")]
mod maintainers;
mod new;
#[cfg(feature = "recover")]
mod officers;
#[cfg(feature = "recover")]
mod paper;
#[cfg(feature = "recover")]
mod renewal;
#[cfg(feature = "recover")]
mod writers;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Hosts that back up
    #[command(subcommand)]
    Writer(Writer),
    /// Those who expire, collect and copy
    #[cfg(feature = "recover")]
    #[command(subcommand)]
    Maintainer(Maintainer),
    /// People who enrol writers and may recover
    #[cfg(feature = "recover")]
    #[command(subcommand)]
    Officer(Officer),
    /// Seal every key anew, and destroy the seal before
    #[cfg(feature = "recover")]
    Reseal(renewal::Reseal),
    /// What opens the lists of what is stored
    #[cfg(feature = "recover")]
    #[command(subcommand)]
    Catalog(Catalog),
    /// Try whether a recovery identity opens everything
    #[cfg(feature = "recover")]
    Check(Reading<check::Args>),
    /// Put a copy of seals and keys under a lock, every day
    #[cfg(feature = "recover")]
    Bundle(bundle::Args),
    /// Print what belongs in a safe
    #[cfg(feature = "recover")]
    Paper(paper::Args),
}

#[derive(Subcommand)]
enum Writer {
    /// Make this host's keys and print the line an officer needs
    New(new::Args),
    /// Enrol a writer, or bind it to more components
    #[cfg(feature = "recover")]
    Add(writers::Add),
    /// Revoke a writer: nothing it signs from now on counts
    #[cfg(feature = "recover")]
    Revoke(writers::Revoke),
    /// List writers
    #[cfg(feature = "recover")]
    List(writers::List),
}

#[cfg(feature = "recover")]
#[derive(Subcommand)]
enum Maintainer {
    /// Make this host's keys and print the line an officer needs
    New(new::Args),
    /// Enrol a maintainer
    Add(maintainers::Add),
    /// Revoke a maintainer: nothing it signs from now on counts
    Revoke(writers::Revoke),
    /// List maintainers
    List(writers::List),
}

#[cfg(feature = "recover")]
#[derive(Subcommand)]
enum Officer {
    /// Take in an officer
    Add(officers::Add),
    /// Remove an officer: renew seal and catalog, and close the entry in trust
    Remove(renewal::Remove),
}

#[cfg(feature = "recover")]
#[derive(Subcommand)]
enum Catalog {
    /// Write with a new catalog identity from now on
    Renew(renewal::Renew),
}

impl Args {
    /// The verb's name, for `--json`.
    pub(crate) fn name(&self) -> &'static str {
        match &self.what {
            What::Writer(Writer::New(_)) => "keys writer new",
            #[cfg(feature = "recover")]
            What::Writer(Writer::Add(_)) => "keys writer add",
            #[cfg(feature = "recover")]
            What::Writer(Writer::Revoke(_)) => "keys writer revoke",
            #[cfg(feature = "recover")]
            What::Writer(Writer::List(_)) => "keys writer list",
            #[cfg(feature = "recover")]
            What::Maintainer(Maintainer::New(_)) => "keys maintainer new",
            #[cfg(feature = "recover")]
            What::Maintainer(Maintainer::Add(_)) => "keys maintainer add",
            #[cfg(feature = "recover")]
            What::Maintainer(Maintainer::Revoke(_)) => "keys maintainer revoke",
            #[cfg(feature = "recover")]
            What::Maintainer(Maintainer::List(_)) => "keys maintainer list",
            #[cfg(feature = "recover")]
            What::Officer(Officer::Add(_)) => "keys officer add",
            #[cfg(feature = "recover")]
            What::Officer(Officer::Remove(_)) => "keys officer remove",
            #[cfg(feature = "recover")]
            What::Reseal(_) => "keys reseal",
            #[cfg(feature = "recover")]
            What::Catalog(Catalog::Renew(_)) => "keys catalog renew",
            #[cfg(feature = "recover")]
            What::Check(_) => "keys check",
            #[cfg(feature = "recover")]
            What::Paper(_) => "keys paper",
            #[cfg(feature = "recover")]
            What::Bundle(_) => "keys bundle",
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Writer(Writer::New(args)) => new::run(context, args),
        #[cfg(feature = "recover")]
        What::Writer(Writer::Add(args)) => writers::add(context, args),
        #[cfg(feature = "recover")]
        What::Writer(Writer::Revoke(args)) => writers::revoke(context, args, Role::Writer),
        #[cfg(feature = "recover")]
        What::Writer(Writer::List(args)) => writers::list(context, args, Role::Writer),
        #[cfg(feature = "recover")]
        What::Maintainer(Maintainer::New(_)) => maintainers::new(context),
        #[cfg(feature = "recover")]
        What::Maintainer(Maintainer::Add(args)) => maintainers::add(context, args),
        #[cfg(feature = "recover")]
        What::Maintainer(Maintainer::Revoke(args)) => writers::revoke(context, args, Role::Maintainer),
        #[cfg(feature = "recover")]
        What::Maintainer(Maintainer::List(args)) => writers::list(context, args, Role::Maintainer),
        #[cfg(feature = "recover")]
        What::Officer(Officer::Add(args)) => officers::add(context, args),
        #[cfg(feature = "recover")]
        What::Officer(Officer::Remove(args)) => renewal::remove(context, args),
        #[cfg(feature = "recover")]
        What::Reseal(args) => renewal::reseal(context, args),
        #[cfg(feature = "recover")]
        What::Catalog(Catalog::Renew(args)) => renewal::renew(context, args),
        #[cfg(feature = "recover")]
        What::Check(args) => check::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        What::Paper(args) => paper::run(context, args),
        #[cfg(feature = "recover")]
        What::Bundle(args) => bundle::run(context, args),
    }
}
