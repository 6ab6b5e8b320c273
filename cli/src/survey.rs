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
use crate::when::show_duration;

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

    /// The regions asked for, once every name is known to exist: a mistyped one must not look like an empty list. Where
    /// components are named and no region is, those of the components: others may be out of reach.
    pub(crate) fn regions<'c>(&self, context: &Context, config: &'c Config) -> Result<Vec<&'c Region>> {
        let mut homes = self.region.clone();
        for name in &self.components {
            let home = &config.component(name)?.region;
            if self.region.is_empty() && !homes.contains(home) {
                homes.push(home.clone());
            }
        }
        context.regions(config, &homes)
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

/// Everything under snapshots' names in an opened repository, and what should be there and is gone; oldest first.
pub(crate) fn listed(
    repository: &Repository,
    reader: &Reader<'_>,
    component: Option<&Label>,
) -> Result<Vec<Listed>> {
    let judge = Judge::to_read(repository, reader.catalog())?;
    Ok(judge.list_with_gone(component)?)
}

/// The snapshot with the latest recovery point that counts and is not dated ahead of the store's clock.
pub(crate) fn latest<'l>(listed: &'l [Listed], component: &Label) -> Option<&'l Snapshot> {
    counting(listed, component)
        .filter(|one| one.ahead.is_none())
        .filter_map(|one| one.snapshot.as_ref())
        .max_by_key(|snapshot| (snapshot.recovery_point, snapshot.run))
}

/// The newest that counts and is dated ahead of the store's clock.
pub(crate) fn ahead<'l>(listed: &'l [Listed], component: &Label) -> Option<&'l Listed> {
    counting(listed, component).filter(|one| one.ahead.is_some()).max_by_key(|one| one.run)
}

/// The newest that should count and does not, where it is newer than the latest that does.
pub(crate) fn void_since<'l>(listed: &'l [Listed], component: &Label) -> Option<(&'l Listed, &'l str)> {
    let latest = latest(listed, component).map(|snapshot| snapshot.run);
    let newer = listed.iter().filter(|one| one.component == *component && Some(one.run) > latest);
    let void = newer.filter_map(|one| match &one.standing {
        Standing::Void(why) => Some((one, why.as_str())),
        _ => None,
    });
    void.max_by_key(|(one, _)| one.run)
}

fn counting<'l>(listed: &'l [Listed], component: &Label) -> impl Iterator<Item = &'l Listed> {
    listed.iter().filter(|one| one.component == *component && one.standing == Standing::Counts)
}

/// What is wrong with a snapshot that is dated ahead of the store's clock, in words.
pub(crate) fn ahead_words(one: &Listed) -> String {
    format!(
        "{} is dated {} later than it is now by the store's clock: the clock of {} was wrong when it was made, and its \
         date proves nothing",
        one.run,
        show_duration(one.ahead.unwrap_or_default()),
        one.snapshot.as_ref().map_or("its host", |snapshot| snapshot.writer.as_str()),
    )
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
        "stored": one.length, "ahead_seconds": one.ahead.map(|ahead| ahead.as_secs()),
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
