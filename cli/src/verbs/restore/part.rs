//! Which part of a restore this process does: all of it, a shard, or what is left when all shards are complete.
//!
//! Shards are counted from 1, as in `--shard 3/16`. Kubernetes counts the pods of an Indexed Job from 0 and tells each
//! its number in `JOB_COMPLETION_INDEX`; with `--shards 16` that is translated here, and nowhere else.

use lifeboat_repo::ids::RunId;
use lifeboat_repo::repository::snapshots::Listed;
use lifeboat_restore::{Choice, Plan, Shard, Sharded, sharded};
use serde::Serialize;

use super::Args;
use crate::codes::Code;
use crate::config::Component;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown};

/// Where Kubernetes tells the pods of an Indexed Job their number.
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// What says which part this is.
#[derive(clap::Args, Clone, Default)]
pub(super) struct PartArgs {
    /// Restore only part I of N, by content: 1/4 to 4/4 may run at once, on several hosts that share DIR; --finish ends
    /// it
    #[arg(long, value_name = "I/N", conflicts_with_all = ["shards", "finish", "region", "stdout", "in_place"])]
    shard: Option<Shard>,
    /// The same as --shard, with I from JOB_COMPLETION_INDEX in the environment, counted from 0
    #[arg(long, value_name = "N", conflicts_with_all = ["finish", "region", "stdout", "in_place"])]
    shards: Option<u32>,
    /// When all shards are complete: make links and special files, set directories, look at every file, remove marks
    #[arg(long, conflicts_with_all = ["region", "stdout", "in_place", "dry_run"])]
    finish: bool,
}

/// Which part of a restore this process does.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase", tag = "does")]
pub(super) enum Part {
    /// All of it.
    All,
    /// One of several shards.
    Shard {
        /// Its number, counted from 1.
        number: u32,
        /// How many there are.
        of: u32,
        #[serde(skip)]
        shard: Shard,
        /// The snapshot that the shards before it chose.
        #[serde(skip)]
        pinned: Option<RunId>,
    },
    /// What is left when all shards are complete.
    Finish {
        /// How many shards there were.
        of: u32,
        #[serde(skip)]
        pinned: RunId,
    },
}

impl Part {
    /// What the arguments, the environment and the target say.
    ///
    /// # Errors
    /// They do not go together, or there is nothing to finish.
    pub(super) fn of(args: &Args, component: &Component) -> Result<Self> {
        let shard = match (args.part.shard, args.part.shards) {
            (Some(shard), _) => Some(shard),
            (None, Some(of)) => Some(indexed(of, std::env::var(INDEX).ok().as_deref())?),
            (None, None) => None,
        };
        if shard.is_none() && !args.part.finish {
            return Ok(Self::All);
        }
        let there = sharded(args.target()?).map_err(restore_failure)?;
        if let Some(there) = &there
            && there.component != component.name
        {
            return Err(refused(format!("{} is being restored there in shards", there.component))
                .at(shown(args.target()?))
                .next("name another directory"));
        }
        match (shard, there) {
            (Some(shard), there) => {
                let (number, of) = (shard.number(), shard.of());
                Ok(Self::Shard { number, of, shard, pinned: there.map(|there| there.run) })
            }
            (None, Some(there)) => Self::finish(&there),
            (None, None) => Err(refused("nothing is being restored there in shards")
                .at(shown(args.target()?))
                .next("restore every shard first, as in `--shard 1/16`")),
        }
    }

    fn finish(there: &Sharded) -> Result<Self> {
        // Said before the manifests are read, which takes its time.
        there.check_complete().map_err(restore_failure)?;
        Ok(Self::Finish { of: there.of, pinned: there.run })
    }

    /// The choice among a component's snapshots: where none is named, the one that the first shard chose.
    pub(super) fn choice(
        &self,
        args: &Args,
        context: &Context,
        listed: &[Listed],
        component: &Component,
    ) -> Result<Choice> {
        let named = args.which.snapshot.is_some() || args.which.at.is_some();
        match self {
            Self::Shard { pinned: Some(run), .. } | Self::Finish { pinned: run, .. } if !named => {
                Ok(Choice::Run(*run))
            }
            _ => args.which.choice(context, listed, &component.name),
        }
    }

    /// What of a plan this part does.
    pub(super) fn of_plan(&self, plan: Plan) -> Plan {
        match self {
            Self::All => plan,
            Self::Shard { shard, .. } => plan.into_shard(*shard),
            Self::Finish { of, .. } => plan.into_finish(*of),
        }
    }

    /// Whether more is to come.
    pub(super) fn is_shard(&self) -> bool {
        matches!(self, Self::Shard { .. })
    }

    /// Before the name of the component.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Shard { number, of, .. } => format!("shard {number}/{of} of "),
            Self::All | Self::Finish { .. } => String::new(),
        }
    }
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Refused, what).code(Code::NotRestored)
}

/// The shard of a pod that Kubernetes numbered.
fn indexed(of: u32, index: Option<&str>) -> Result<Shard> {
    let usage = |what: String| Failure::usage(what).at("--shards").next("or say --shard I/N, counted from 1");
    let Some(index) = index.filter(|index| !index.is_empty()) else {
        return Err(usage(format!("{INDEX} is not set, so that this process has no number")));
    };
    let number = index.parse::<u32>().ok().and_then(|index| index.checked_add(1));
    let number = number.ok_or_else(|| usage(format!("{INDEX} is no number")))?;
    Shard::new(number, of).map_err(|error| usage(format!("{INDEX} is {index}, counted from 0: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_counts_from_zero() {
        let of = |index| indexed(16, index).map(|shard| shard.to_string()).ok();
        assert_eq!(of(Some("0")).as_deref(), Some("1/16"));
        assert_eq!(of(Some("15")).as_deref(), Some("16/16"));
        for bad in [None, Some(""), Some("16"), Some("-1"), Some("x"), Some("4294967295")] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert!(indexed(0, Some("0")).is_err());
    }
}
