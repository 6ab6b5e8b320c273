//! Looking at what repositories hold: the part that several verbs share.

use std::path::PathBuf;

use lifeboat_repo::format::snapshot::{Snapshot, Status};
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::snapshots::{Judge, Listed, Standing};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Config, Region};
use crate::context::{Context, Reader, repository_place};
use crate::failure::{Failure, Result, tame};

/// Which recovery identities to look with; without any, this host's own keys serve where they suffice.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Identities {
    /// A file with a recovery identity, as age-keygen writes it; may be given several times
    #[arg(long = "identity", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

impl Identities {
    /// The files given on the command line, else those of the environment.
    pub(crate) fn files<'a>(&'a self, context: &'a Context) -> &'a [PathBuf] {
        if self.files.is_empty() { &context.environment.identities } else { &self.files }
    }
}

/// Which components and regions to look at, and with which keys.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Asked {
    /// Only these components
    #[arg(value_name = "COMPONENT")]
    pub(crate) components: Vec<Label>,
    /// Only these regions
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<Label>,
    #[command(flatten)]
    pub(crate) identities: Identities,
}

impl Asked {
    /// Whether a component is among those asked for.
    pub(crate) fn wants(&self, component: &Label) -> bool {
        self.components.is_empty() || self.components.contains(component)
    }

    /// The regions asked for, once every name is known to exist: a mistyped one must not look like an empty list.
    pub(crate) fn regions<'c>(&self, context: &Context, config: &'c Config) -> Result<Vec<&'c Region>> {
        self.components.iter().try_for_each(|name| config.component(name).map(drop))?;
        context.regions(config, &self.region)
    }
}

/// Everything under snapshots' names in a region, oldest first.
pub(crate) fn snapshots_of(
    context: &Context,
    config: &Config,
    region: &Region,
    component: Option<&Label>,
    identities: &[PathBuf],
) -> Result<Vec<Listed>> {
    let repository = context.open(region)?;
    let reader = context.reader(config, &repository, identities)?;
    listed(&repository, &reader, component).map_err(|failure| failure.at(repository_place(region)))
}

/// Everything under snapshots' names in an opened repository, oldest first.
pub(crate) fn listed(
    repository: &Repository,
    reader: &Reader<'_>,
    component: Option<&Label>,
) -> Result<Vec<Listed>> {
    let judge = Judge::new(repository, reader.catalog())?;
    Ok(judge.list(component)?)
}

/// The snapshot with the latest recovery point that counts.
pub(crate) fn latest<'l>(listed: &'l [Listed], component: &Label) -> Option<&'l Snapshot> {
    listed
        .iter()
        .filter(|one| one.component == *component && one.standing == Standing::Counts)
        .filter_map(|one| one.snapshot.as_ref())
        .max_by_key(|snapshot| (snapshot.recovery_point, snapshot.run))
}

/// Whether something under a snapshot's name counts, in a word.
pub(crate) fn standing_word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Counts => "counts",
        Standing::Unrecorded => "unrecorded",
        Standing::Fenced => "ended",
        Standing::Expired => "expired",
        Standing::Void(_) => "void",
    }
}

/// Whether a snapshot is whole, in a word.
pub(crate) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Partial => "partial",
    }
}

/// A snapshot for `--json`.
pub(crate) fn snapshot_json(one: &Listed) -> Value {
    let mut value = json!({
        "component": one.component, "run": one.run, "standing": standing_word(&one.standing),
        "stored": one.length,
    });
    let Some(object) = value.as_object_mut() else { return value };
    if let Standing::Void(why) = &one.standing {
        object.insert("why".into(), json!(tame(why)));
    }
    if let Some(snapshot) = &one.snapshot {
        object.insert("status".into(), json!(status_word(snapshot.status)));
        object.insert("writer".into(), json!(snapshot.writer));
        object.insert("parent".into(), json!(snapshot.parent));
        object.insert("start".into(), json!(snapshot.start.rfc3339()));
        object.insert("end".into(), json!(snapshot.end.rfc3339()));
        object.insert("recovery_point".into(), json!(snapshot.recovery_point.rfc3339()));
        object.insert("counts".into(), json!(snapshot.counts));
        object.insert("tenants".into(), json!(snapshot.keys.len()));
        object.insert("tool".into(), json!(tame(&snapshot.tool)));
    }
    value
}

/// Finds a run by its name or the beginning of it, among a component's snapshots.
pub(crate) fn run_by_prefix(
    listed: &[Listed],
    component: &Label,
    wanted: &str,
) -> Result<lifeboat_repo::ids::RunId> {
    let matching: Vec<_> = listed
        .iter()
        .filter(|one| one.component == *component && one.run.to_string().starts_with(wanted))
        .map(|one| one.run)
        .collect();
    match matching.as_slice() {
        [run] => Ok(*run),
        [] => Err(Failure::usage(format!("component {component} has no snapshot {}", tame(wanted)))
            .code(Code::NoSnapshot)
            .next(format!("`lifeboat snapshots {component}` lists them; the beginning of a name is enough"))),
        [first, ..] => Err(Failure::usage(format!(
            "{} snapshots of {component} begin with {}",
            matching.len(),
            tame(wanted)
        ))
        .code(Code::NoSnapshot)
        .next(format!("write more of the name, such as {first}"))),
    }
}
