//! `keys reseal`, `keys officer remove`, `keys catalog renew`: what follows when somebody should no longer be able to.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::officer::Officer;
use lifeboat_repo::repository::renewal::{self, Renewal};
use lifeboat_repo::repository::reseal::{self, Acting, InReplica, Resealed};
use lifeboat_repo::repository::snapshots::Judge;
use serde_json::{Value, json};

use super::writers::OfficerArgs;
use crate::config::Region;
use crate::context::{Context, open_store, repository_place};
use crate::each::each;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyfiles;
use crate::render::{Outcome, Page};
use crate::trusted;
use crate::when::show_moment;
use page::{exit_of, render_exposure, render_finished, render_outlook, render_resealed, value_of_resealed};

mod page;

/// Requests to a store far away take a tenth of a second; a repository has tens of thousands of keys.
const LANES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

#[derive(clap::Args)]
pub(crate) struct Reseal {
    /// Destroy the seals before, as far as that may be by now
    #[arg(long)]
    finish: bool,
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub(crate) struct Remove {
    /// The officer's name
    name: Label,
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
pub(crate) struct Renew {
    /// Only these regions [default: all]
    #[arg(long, value_name = "REGION")]
    region: Vec<Label>,
    #[command(flatten)]
    officer: OfficerArgs,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What a region's repository is acted on with.
struct At<'c> {
    context: &'c Context,
    region: &'c Region,
    repository: Repository,
    name: Label,
}

impl At<'_> {
    /// Acts, and says where it failed.
    fn act<T>(
        &self,
        args: &OfficerArgs,
        act: impl FnOnce(&Acting<'_>) -> std::result::Result<T, lifeboat_repo::repository::RepositoryError>,
    ) -> Result<T> {
        let signing = args.key(self.context)?;
        let officer = Officer { name: self.name.clone(), signing: &signing };
        // Says better than the library which file does not open what.
        self.context.recover(&self.repository, args.identities.files(self.context))?;
        let mut identities = Vec::new();
        for file in args.identities.files(self.context) {
            identities.extend(keyfiles::read_identities(file, "recovery identity")?);
        }
        let acting = Acting {
            repository: &self.repository,
            identities: &identities,
            officer: &officer,
            clock: &self.context.clock,
            lanes: LANES,
        };
        act(&acting).map_err(|error| Failure::from(error).at(repository_place(self.region)))
    }
}

/// Acts in every region asked for; the worst exit counts.
fn in_regions(
    context: &Context,
    asked: &[Label],
    officer: &OfficerArgs,
    mut act: impl FnMut(&At<'_>, &mut Page) -> Result<(Exit, Value)>,
) -> Result<Outcome> {
    let config = context.config()?;
    let key = officer.key(context)?;
    let (mut page, mut values) = (context.page(), Vec::new());
    let reached = each(context.regions(&config, asked)?, &mut page, |region, page| {
        let repository = context.open(region)?;
        let name = trusted::officer_of(&repository, &key)?;
        page.heading(region.name.as_str());
        let (ended, value) = act(&At { context, region, repository, name }, page)?;
        values.push(value);
        Ok(ended)
    })?;
    let value = json!({ "regions": values, "unreachable": reached.unreachable });
    Ok(Outcome { exit: reached.exit, value, page: page.finish() })
}

pub(crate) fn reseal(context: &Context, args: &Reseal) -> Result<Outcome> {
    in_regions(context, &args.region, &args.officer, |at, page| match (args.dry_run, args.finish) {
        (true, finish) => {
            let outlook = at.act(&args.officer, |acting| reseal::outlook(&acting.open()?))?;
            Ok((Exit::Ok, render_outlook(at.region, &outlook, finish, page)))
        }
        (false, false) => {
            let done = at.act(&args.officer, |acting| reseal::reseal(acting, &Renewal::default()))?;
            render_resealed(&done, page);
            page.item("→", FINISH_LATER);
            Ok((exit_of(&done.unusable), value_of_resealed(at.region, &done, None)))
        }
        (false, true) => {
            let done = at.act(&args.officer, reseal::finish)?;
            let (exit, mut value) = render_finished(at.region, &done, page);
            let (also, replica) = finish_replica(at, &args.officer, page)?;
            merge(&mut value, json!({ "replica": replica }));
            Ok((exit.worst(also), value))
        }
    })
}

/// What remains to be done after a seal was renewed.
const FINISH_LATER: &str = "tomorrow, when every backup under way now is over, run `lifeboat keys reseal --finish`: it \
                            destroys the seal before. Until then and until bundles have expired, whoever holds an old \
                            copy of seals and keys, and a recovery identity that opened them, can still use it";

pub(crate) fn remove(context: &Context, args: &Remove) -> Result<Outcome> {
    in_regions(context, &args.region, &args.officer, |at, page| {
        let seen = at.act(&args.officer, |acting| {
            let recovery = acting.open()?;
            let listed = Judge::new(acting.repository, recovery.catalog())?.list(None)?;
            Ok((listed.iter().filter(|one| one.snapshot.is_some()).count(), recovery.keys()?.len()))
        })?;
        let until = context.now();
        let (mut resealed, mut closed, mut exit) = (Resealed::default(), false, Exit::Ok);
        if args.dry_run {
            at.act(&args.officer, |acting| renewal::may_remove(acting, &args.name))?;
            page.item(
                "-",
                &format!(
                    "would remove officer {}, renew seal and catalog, and seal every key anew",
                    args.name
                ),
            );
        } else {
            let done = at.act(&args.officer, |acting| renewal::remove_officer(acting, &args.name))?;
            (resealed, closed) = (done.resealed, done.closed);
            page.item("-", &format!("{} is no officer of {} any more", args.name, at.region.name));
            render_resealed(&resealed, page);
            exit = exit_of(&resealed.unusable);
        }
        render_exposure(&args.name, until, seen, page);
        page.item("→", FINISH_LATER);
        page.item("→", "print a new paper with `lifeboat keys paper`, take the name out of `officers` in every lifeboat.toml, and \
                        take away what reaches the store");
        let exposure = json!({ "until": until.rfc3339(), "snapshots": seen.0, "keys": seen.1 });
        let mut value = value_of_resealed(at.region, &resealed, Some(args.dry_run));
        merge(&mut value, json!({ "officer": args.name, "closed": closed, "could_read": exposure }));
        Ok((exit, value))
    })
}

pub(crate) fn renew(context: &Context, args: &Renew) -> Result<Outcome> {
    in_regions(context, &args.region, &args.officer, |at, page| {
        let until = context.now();
        if args.dry_run {
            page.item("-", "would put seals with a new catalog identity");
        } else {
            at.act(&args.officer, |acting| renewal::renew_catalog(&acting.open()?, acting.officer))?;
            page.item("-", "runs that begin from now on write with a new catalog identity; older ones open what is older");
        }
        page.paragraph(
            2,
            &format!(
                "A host that was broken into could read the catalog of everything until {}, and of what runs under way \
                 write until they end: names of objects, sizes, which tenant key (no name) is in which snapshot; never \
                 content or names of files. Revoke its writer first (`lifeboat keys writer revoke`): whoever is \
                 enrolled opens the new catalog, too.",
                show_moment(until)
            ),
        );
        Ok((
            Exit::Ok,
            json!({ "region": at.region.name, "dry_run": args.dry_run, "could_read_until": until.rfc3339() }),
        ))
    })
}

/// The same in the region's replica, if there is one; what came of it there.
fn finish_replica(at: &At<'_>, args: &OfficerArgs, page: &mut Page) -> Result<(Exit, Option<&'static str>)> {
    if at.region.replica.is_none() {
        return Ok((Exit::Ok, None));
    }
    let config = at.context.config()?.at_replicas();
    let replica = open_store(config.region(&at.region.name)?)?;
    match at.act(args, |acting| reseal::finish_replica(acting, Arc::clone(&replica)))? {
        InReplica::Destroyed(0) => Ok((Exit::Ok, Some("done"))),
        InReplica::Destroyed(count) => {
            page.item("-", &format!("{count} objects of old seals destroyed in the replica, every version"));
            Ok((Exit::Ok, Some("done")))
        }
        InReplica::Held(keys) => {
            for (writer, key) in keys.iter().take(20) {
                page.item(
                    "-",
                    &format!("the key {key} of {writer} is in the replica alone, below an old seal"),
                );
            }
            page.item(
                "→",
                "snapshots need these keys, so nothing was destroyed in the replica; bring them back into the \
                 repository below the seal in use (out of a bundle or with `lifeboat repair`), or expire the \
                 snapshots, then run this again",
            );
            Ok((Exit::Damaged, Some("held")))
        }
        InReplica::Behind => {
            page.item(
                "→",
                "the replica lacks what has come since; run `lifeboat replicate`, then this again",
            );
            Ok((Exit::Partly, Some("behind")))
        }
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}
