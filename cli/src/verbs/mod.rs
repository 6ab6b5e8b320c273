//! What each verb does: arguments to calls of the crates below, their reports to pages and JSON.

use crate::args::Verb;
use crate::context::Context;
use crate::failure::Result;
use crate::render::Outcome;

pub(crate) mod backup;
#[cfg(feature = "recover")]
pub(crate) mod cat;
pub(crate) mod completions;
#[cfg(feature = "full")]
pub(crate) mod demo;
#[cfg(feature = "recover")]
pub(crate) mod diff;
pub(crate) mod doctor;
#[cfg(feature = "recover")]
pub(crate) mod drill;
#[cfg(feature = "recover")]
pub(crate) mod erase;
#[cfg(feature = "recover")]
pub(crate) mod evidence;
pub(crate) mod explain;
#[cfg(feature = "recover")]
pub(crate) mod find;
#[cfg(feature = "recover")]
pub(crate) mod gc;
pub(crate) mod heartbeat;
#[cfg(feature = "recover")]
pub(crate) mod init;
pub(crate) mod keys;
#[cfg(feature = "recover")]
pub(crate) mod kit;
#[cfg(feature = "recover")]
pub(crate) mod locks;
#[cfg(feature = "recover")]
pub(crate) mod ls;
pub(crate) mod manual;
#[cfg(feature = "recover")]
pub(crate) mod policy;
#[cfg(feature = "recover")]
pub(crate) mod repair;
#[cfg(feature = "recover")]
pub(crate) mod replicate;
#[cfg(feature = "recover")]
pub(crate) mod restore;
#[cfg(feature = "recover")]
pub(crate) mod restore_region;
#[cfg(feature = "recover")]
pub(crate) mod retain;
#[cfg(feature = "recover")]
pub(crate) mod serve;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod status;
#[cfg(feature = "recover")]
pub(crate) mod verify;

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Outcome> {
    match verb {
        #[cfg(feature = "recover")]
        Verb::Init(args) => init::run(context, args),
        Verb::Doctor(args) => doctor::run(context, args),
        Verb::Backup(args) => backup::run(context, args),
        Verb::Heartbeat(args) => heartbeat::run(context, args),
        Verb::Snapshots(args) => snapshots::run(&context.reading(args.side), &args.args),
        Verb::Stats(args) => stats::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Ls(args) => ls::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Find(args) => find::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Cat(args) => cat::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Diff(args) => diff::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Restore(args) => restore::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Retain(args) => retain::run(&context.at(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Policy(args) => policy::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Locks(args) => locks::run(&context.at(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Verify(args) => verify::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Replicate(args) => replicate::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Repair(args) => repair::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Drill(args) => drill::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Kit(args) => kit::run(context, args),
        Verb::Status(args) => status::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Serve(args) => serve::run(&context.reading(args.side), &args.args),
        #[cfg(feature = "recover")]
        Verb::Evidence(args) => evidence::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Erase(args) => erase::run(context, args),
        #[cfg(feature = "recover")]
        Verb::Gc(args) => gc::run(&context.at(args.side), &args.args),
        Verb::Keys(args) => keys::run(context, args),
        Verb::Explain(args) => explain::run(context, args),
        Verb::Completions(args) => completions::run(context, args),
        Verb::Manual(args) => manual::run(context, args),
        #[cfg(feature = "full")]
        Verb::Demo(args) => demo::run(context, args),
    }
}
