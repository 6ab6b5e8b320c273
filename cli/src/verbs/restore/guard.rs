//! What a restore in place must not fall upon by accident: what is running, and what the next restore needs.

use std::path::{Path, PathBuf};

use super::Args;
use crate::config::{Component, Config, Region};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};

/// Refuses what needs a word of consent, and what no consent makes good.
///
/// # Errors
/// The target is where the component lives, or holds what it takes to restore.
pub(super) fn check(
    context: &Context,
    config: &Config,
    component: &Component,
    region: &Region,
    args: &Args,
) -> Result<()> {
    if !args.in_place {
        return Ok(());
    }
    // What is not there cannot be fallen upon.
    let Ok(target) = args.target()?.canonicalize() else { return Ok(()) };
    if let Some(source) = component.path().and_then(|path| path.canonicalize().ok())
        && (source.starts_with(&target) || target.starts_with(&source))
        && !args.over_live_root
    {
        return Err(Failure::new(
            Exit::Refused,
            format!("this is where {} lives: {}", component.name, shown(&source)),
        )
        .at(shown(&target))
        .next(
            "restore elsewhere and look first; or stop what works there and say --over-live-root: everything in it \
             becomes as it was in the snapshot, and what was written since is gone",
        ));
    }
    if args.delete
        && let Some(needed) =
            needed(context, config, region, args).into_iter().find(|path| lies_in(path, &target))
    {
        return Err(Failure::new(
            Exit::Refused,
            format!("--delete could remove {}, which restores need", shown(&needed)),
        )
        .at(shown(&target))
        .next("restore without --delete, or move that out of the target first"));
    }
    Ok(())
}

/// The repository, the configuration, keys and state.
fn needed(context: &Context, config: &Config, region: &Region, args: &Args) -> Vec<PathBuf> {
    let mut needed = vec![context.config_file()];
    needed.extend(region.repository.directory().map(Path::to_owned));
    needed.extend(args.identities.files(context).iter().cloned());
    if let Some(host) = &config.host {
        needed.extend([host.signing_key.clone(), host.card_identity.clone(), host.state.clone()]);
    }
    needed
}

fn lies_in(path: &Path, target: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path.starts_with(target))
}
