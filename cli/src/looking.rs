//! Finding and opening the snapshot that `ls`, `find`, `cat` and `diff` look into.

use std::collections::BTreeSet;

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_restore::{Choice, Chosen, choose};

use crate::choosing::Which;
use crate::codes::Code;
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::failure::{Failure, Result, restore_failure, tame};
use crate::survey::{Identities, run_by_prefix};

/// What looking asks for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// A component, a snapshot of any by its name or the beginning of it, or `latest`.
    pub(crate) what: &'a str,
    /// Which snapshot, where `what` is a component.
    pub(crate) which: &'a Which,
    /// What opens it.
    pub(crate) identities: &'a Identities,
}

/// A repository opened, and what is meant in it.
pub(crate) struct Look<'l> {
    /// Its region.
    pub(crate) region: &'l Region,
    /// What opens tenants' data.
    pub(crate) recovery: &'l Recovery<'l>,
    /// Snapshots; only those of the component, where one was named.
    pub(crate) listed: &'l [Listed],
    /// The component.
    pub(crate) component: Label,
    /// The snapshot of it.
    pub(crate) choice: Choice,
}

impl Look<'_> {
    /// The snapshot.
    pub(crate) fn chosen(&self) -> Result<Chosen<'_>> {
        choose(self.listed, &self.component, self.choice).map_err(restore_failure)
    }

    /// The repository, for errors.
    pub(crate) fn place(&self) -> String {
        repository_place(self.region)
    }
}

/// Opens the repository that holds what is asked for, and looks into it.
pub(crate) fn look<T>(
    context: &Context,
    asked: Asked<'_>,
    into: impl FnOnce(&Look<'_>) -> Result<T>,
) -> Result<T> {
    let config = context.config()?;
    let named = component_named(&config, asked.what)?;
    let regions: Vec<&Region> = match &named {
        Some(component) => vec![config.region(&config.component(component)?.region)?],
        None => config.regions.iter().collect(),
    };
    for region in regions {
        let repository = context.open(region)?;
        let recovery = context.recover(&repository, asked.identities.files(context))?;
        let listed =
            Judge::to_read(&repository, recovery.catalog()).and_then(|judge| judge.list(named.as_ref()));
        let listed = listed.map_err(|error| Failure::from(error).at(repository_place(region)))?;
        let Some((component, choice)) = meant(context, asked, &listed, named.as_ref())? else { continue };
        return into(&Look { region, recovery: &recovery, listed: &listed, component, choice });
    }
    Err(Failure::usage(format!(
        "{} is neither a component nor the beginning of a snapshot's name",
        tame(asked.what)
    ))
    .code(Code::NoSnapshot)
    .next("`lifeboat snapshots` lists both"))
}

/// The component meant, where the argument names one.
fn component_named(config: &Config, what: &str) -> Result<Option<Label>> {
    if what == "latest" {
        return match config.components.as_slice() {
            [only] => Ok(Some(only.name.clone())),
            _ => Err(Failure::usage("there is more than one component; latest of which?")
                .next("write the component's name: it stands for the latest of that one")),
        };
    }
    let label = what.parse::<Label>().ok();
    Ok(label.filter(|label| config.components.iter().any(|component| component.name == *label)))
}

/// The component and snapshot meant; none where the argument names a snapshot of another region.
fn meant(
    context: &Context,
    asked: Asked<'_>,
    listed: &[Listed],
    named: Option<&Label>,
) -> Result<Option<(Label, Choice)>> {
    if let Some(component) = named {
        return Ok(Some((component.clone(), asked.which.choice(context, listed, component)?)));
    }
    let with: BTreeSet<&Label> = listed
        .iter()
        .filter(|one| !asked.what.is_empty() && one.run.to_string().starts_with(asked.what))
        .map(|one| &one.component)
        .collect();
    match with.first() {
        None => Ok(None),
        Some(component) => {
            let run = run_by_prefix(listed, component, asked.what)?;
            Ok(Some(((*component).clone(), Choice::Run(run))))
        }
    }
}
