//! A tenant made to be erased: what a drill must never bring back.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use lifeboat_repo::ids::{Label, Tenant};
use lifeboat_repo::repository::erase;
use lifeboat_repo::repository::officer::Officer;
use lifeboat_repo::repository::reseal::Acting;

use super::{COMPONENTS, OFFICER};
use crate::config::{Config, Region};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::keyfiles;

/// Its name.
pub(super) const CANARY: &str = "canary";

/// Makes it, in the data of every component.
pub(super) fn make(data: &dyn Fn(&str) -> std::path::PathBuf) -> Result<()> {
    for component in COMPONENTS {
        let place = data(component).join("uploads").join(CANARY);
        fs::create_dir_all(&place)
            .and_then(|()| fs::write(place.join("contract.txt"), "this must never come back\n"))
            .map_err(|error| Failure::file("write the canary", &place, &error))?;
    }
    Ok(())
}

/// Erases it from data and backups, as an officer does; how many keys that destroyed.
pub(super) fn erase(
    context: &Context,
    config: &Config,
    data: &dyn Fn(&str) -> std::path::PathBuf,
    safe: &Path,
) -> Result<usize> {
    for component in COMPONENTS {
        let place = data(component).join("uploads").join(CANARY);
        fs::remove_dir_all(&place).map_err(|error| Failure::file("remove the canary", &place, &error))?;
    }
    config.regions.iter().map(|region| erase_in(context, region, safe)).sum()
}

fn erase_in(context: &Context, region: &Region, safe: &Path) -> Result<usize> {
    let unfit = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let name: Label = OFFICER.parse().map_err(|error| unfit(&error))?;
    let tenant: Tenant = CANARY.parse().map_err(|error| unfit(&error))?;
    let signing = keyfiles::read_signing_key(&safe.join(format!("officer-{name}")), "officer's key")?;
    let recovery = safe.join(format!("recovery-{}.txt", region.name));
    let identities = keyfiles::read_identities(&recovery, "recovery identity")?;
    let repository = context.open(region)?;
    let acting = Acting {
        repository: &repository,
        identities: &identities,
        officer: &Officer { name, signing: &signing },
        clock: &context.clock,
        lanes: NonZeroUsize::MIN,
    };
    let places = [repository.store()];
    let plan = erase::plan(&acting, &tenant, &places)?;
    erase::put(&acting, &plan)?;
    erase::sweep(&acting, &places)?;
    Ok(plan.keys.len())
}
