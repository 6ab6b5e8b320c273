//! Which snapshot a verb works on: the arguments that `ls`, `restore` and `verify` share.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use lifeboat_repo::ids::{Label, Tenant};
use lifeboat_repo::repository::snapshots::Listed;
use lifeboat_restore::{Choice, Selection};

use crate::codes::Code;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::survey::run_by_prefix;
use crate::when::parse_moment;

/// Which snapshot, and what of it.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Which {
    /// A snapshot by name, or by its beginning [default: latest]
    #[arg(long, value_name = "RUN", conflicts_with = "at")]
    pub(crate) snapshot: Option<String>,
    /// The latest that was complete by then, so that it holds nothing later: 2026-11-23T18:43:39Z, or 3h ago
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Only this tenant's data; may be given several times
    #[arg(long = "tenant", value_name = "TENANT")]
    pub(crate) tenants: Vec<Tenant>,
}

impl Which {
    /// The choice among a component's snapshots.
    pub(crate) fn choice(&self, context: &Context, listed: &[Listed], component: &Label) -> Result<Choice> {
        match (&self.snapshot, &self.at) {
            (Some(name), _) if name == "latest" => Ok(Choice::Latest),
            (Some(name), _) => Ok(Choice::Run(run_by_prefix(listed, component, name)?)),
            (None, Some(moment)) => {
                let moment = parse_moment(moment, context.now())
                    .map_err(|why| Failure::usage(why).code(Code::Moment).at("--at"))?;
                Ok(Choice::At(moment))
            }
            (None, None) => Ok(Choice::Latest),
        }
    }

    /// What of the snapshot.
    pub(crate) fn selection(&self, paths: &[OsString]) -> Selection {
        Selection {
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            tenants: self.tenants.iter().cloned().collect::<BTreeSet<_>>(),
        }
    }
}
