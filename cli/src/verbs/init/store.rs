//! Where `init` makes a repository: a new directory, or a bucket that was tried first.

use std::sync::Arc;

use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::contract::{self, Outcome};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::s3::S3Store;

use crate::codes::Code;
use crate::config::{Place, Region};
use crate::context::{Context, open_store, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame};
use crate::keyfiles;

/// Whether there is a repository of that region.
pub(super) fn exists(region: &Region) -> Result<bool> {
    match &region.repository {
        Place::Directory(directory) => Ok(directory.join("trust").exists()),
        Place::Bucket(_) => {
            let listed = open_store(region)?.list("trust/");
            let listed = listed.map_err(|error| Failure::from(error).at(repository_place(region)))?;
            Ok(!listed.is_empty())
        }
    }
}

/// The store for a new repository. A bucket is tried before anything is put into it that should last: over a server
/// that ignores conditions, say, writers would overwrite each other's objects.
pub(super) fn make(context: &Context, region: &Region) -> Result<Arc<dyn Store>> {
    let settings = match &region.repository {
        Place::Directory(directory) => {
            if let Some(above) = directory.parent().filter(|above| !above.as_os_str().is_empty()) {
                keyfiles::private_directory(above)?;
            }
            let store = LocalStore::create_at(directory)
                .map_err(|error| Failure::from(error).exit(Exit::Refused).at(shown(directory)))?;
            return Ok(Arc::new(store));
        }
        Place::Bucket(settings) => settings,
    };
    let at = |failure: Failure| failure.at(repository_place(region));
    let store = S3Store::open(settings.as_ref().clone()).map_err(|error| at(error.into()))?;
    let run = RunId::new(context.now(), context.nonce());
    let scratch: ObjectName =
        format!("doctor/{run}").parse().map_err(|_| at(Failure::failed("no such name")))?;
    let report = contract::check(&store, &scratch);
    let broken = report.checks.iter().find(|check| check.outcome != Outcome::Passed);
    if let Some(check) = broken {
        let (why, exit) = match &check.outcome {
            Outcome::Failed(why) => (why, Exit::Refused),
            Outcome::NotRun(why) => (why, Exit::Unchecked),
            Outcome::Passed => return Ok(Arc::new(store)),
        };
        let what =
            format!("this bucket does not keep what a repository needs: {}: {}", check.name, tame(why));
        return Err(at(Failure::new(exit, what).code(Code::Store).next(
            "check address and credentials; if the server is such, use another one (docs/stores.md)",
        )));
    }
    Ok(Arc::new(store))
}
