//! What a drill is about, worked out before anything is done: book, region, components, snapshots, disruption, values.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use lifeboat_repo::clock::Entropy;
use lifeboat_repo::crypto::Identity;
use lifeboat_repo::ids::{Label, Tenant};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::units::Timestamp;
use lifeboat_runbooks::drill::disruption::Disruption;
use lifeboat_runbooks::drill::journal::Pin;
use lifeboat_runbooks::drill::measure::{self, Erased, Wanted};
use lifeboat_runbooks::drill::secrets::is_secret;
use lifeboat_runbooks::drill::target::{Source, Target};
use lifeboat_runbooks::{Book, InDrill, Mode, Variable, Whose, lint};
use lifeboat_verify::evidence::facts::EntryFact;

use super::books::{self, Found};
use super::evidence;
use crate::codes::Code;
use crate::config::{Component, Config, Place, Region};
use crate::context::{Context, Side, repository_place};
use crate::failure::{Failure, Result, shown};
use crate::keyfiles;
use crate::survey::Identities;
use crate::verbs::restore_region;
use crate::when::{parse_duration, parse_moment};

/// Variables of books that a drill sets when it begins, without being told.
const SET_BY_DRILL: [&str; 2] = ["OFFICERS", "DRILL_TARGET"];

/// What a drill is asked to be about.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Asked {
    /// The region [default: the book's, or the only one there is]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<Label>,
    /// The component, for a book about one
    #[arg(long, value_name = "COMPONENT")]
    pub(crate) component: Option<Label>,
    /// When the disaster struck: 2026-11-23T18:43:39Z, or 3h ago [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "window")]
    pub(crate) disruption: Option<String>,
    /// Draw that moment in so long before now
    #[arg(long, value_name = "DURATION", requires = "seed")]
    pub(crate) window: Option<String>,
    /// Any text that draws it, named before
    #[arg(long, value_name = "TEXT", requires = "window")]
    pub(crate) seed: Option<String>,
    /// Any text of the auditor's: tenants and faults are drawn by it and an earlier checkpoint [default: random]
    #[arg(long, value_name = "TEXT")]
    pub(crate) nonce: Option<String>,
    /// The value of a variable of the book; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) values: Vec<String>,
    /// A tenant that was erased and must be absent; may be given several times
    #[arg(long, value_name = "TENANT")]
    pub(crate) erased: Vec<Tenant>,
    #[command(flatten)]
    pub(crate) side: Side,
    #[command(flatten)]
    pub(crate) identities: Identities,
}

/// All that a drill begins with.
pub(crate) struct Setup {
    /// The book as it was found.
    pub(crate) found: Found,
    /// The book.
    pub(crate) book: Book,
    /// The configuration.
    pub(crate) config: Config,
    /// The region's name.
    pub(crate) region: Label,
    /// The component, where the drill is about one: asked for, or the book's own.
    pub(crate) component: Option<Label>,
    /// The components, those that others need first.
    pub(crate) wanted: Vec<Wanted>,
    /// When the disaster struck.
    pub(crate) disruption: Disruption,
    /// The auditor's nonce.
    pub(crate) nonce: String,
    /// What the repository says.
    pub(crate) seen: Seen,
}

/// What was read of the repository.
pub(crate) struct Seen {
    /// What is restored.
    pub(crate) pins: Vec<Pin>,
    /// The newest checkpoint.
    pub(crate) checkpoint: Option<EntryFact>,
    /// Tombstones that are in force.
    pub(crate) erasures: usize,
}

impl Setup {
    /// Works it out.
    pub(crate) fn new(context: &Context, asked: &Asked, book: &str) -> Result<Self> {
        let found = books::find(book)?;
        let book = found.read()?;
        let config = context.config()?;
        let region = region_of(&config, asked, &book)?.clone();
        let component = component_of(asked, &book)?.cloned();
        let wanted = wanted(&config, component.as_ref(), &region)?;
        let disruption = disruption(context, asked)?;
        let repository = context.open(&region)?;
        let identities = identities(context, asked)?;
        let seen = see(context, &repository, &identities, &wanted, asked, disruption.at)
            .map_err(|failure| failure.at(repository_place(&region)))?;
        let nonce = match &asked.nonce {
            Some(nonce) => nonce.clone(),
            None => random(context)?,
        };
        Ok(Self { found, book, region: region.name, config, component, wanted, disruption, nonce, seen })
    }

    /// The values of the book's variables, as far as they are needed by what a drill runs.
    pub(crate) fn values(
        &self,
        context: &Context,
        asked: &Asked,
        target: &Target,
    ) -> Result<BTreeMap<Variable, String>> {
        let given = given(&asked.values)?;
        let region = self.config.region(&self.region)?;
        let mut values = BTreeMap::new();
        for variable in &self.book.front.variables {
            let own = match variable.as_str() {
                "REGION" => Some(self.region.to_string()),
                "COMPONENT" => self.component.as_ref().map(ToString::to_string),
                "TARGET" => Some(target.restored().to_string_lossy().into_owned()),
                "RECORDS" => Some(target.records().to_string_lossy().into_owned()),
                // Just what was complete by then is what a disaster leaves, and what is pinned.
                "AT" => Some(self.disruption.at.to_string()),
                "IDENTITY" => asked.identities.files(context).first().map(|path| absolute(path)),
                "REPOSITORY" => region.repository.directory().map(absolute),
                _ => None,
            };
            if let Some(value) = given.get(variable).cloned().or(own) {
                values.insert(variable.clone(), value);
            }
        }
        if let Some(stranger) = given.keys().find(|name| !self.book.front.variables.contains(name)) {
            return Err(Failure::usage(format!("the book has no variable {stranger}"))
                .code(Code::NoValue)
                .at("--set"));
        }
        self.complete(&values).map(|()| values)
    }

    /// Sees that every variable that a drill's steps use has a value: one of these, what a drill sets itself, or, of a
    /// secret, the environment's, which nobody writes down.
    pub(crate) fn complete(&self, values: &BTreeMap<Variable, String>) -> Result<()> {
        let own = |name: &Variable| {
            SET_BY_DRILL.contains(&name.as_str())
                || (is_secret(name.as_str()) && std::env::var_os(name.as_str()).is_some())
        };
        let mut missing = self.run().flat_map(lint::variables_of).filter(|name| {
            self.book.front.variables.contains(name) && !values.contains_key(name) && !own(name)
        });
        let Some(name) = missing.next() else { return Ok(()) };
        let failure = Failure::usage(format!("the book's variable {name} has no value")).code(Code::NoValue);
        Err(if is_secret(name.as_str()) {
            failure.next(format!("it is a secret: give it in the environment, as {name}"))
        } else {
            failure.next(format!("give --set {name}=VALUE"))
        })
    }

    /// The scripts that a drill runs.
    fn run(&self) -> impl Iterator<Item = &str> {
        let runs = |step: &&lifeboat_runbooks::Step| step.drill == InDrill::Run && step.mode == Mode::Auto;
        self.book.steps.iter().filter(runs).map(|step| step.script.as_str())
    }
}

/// Everything that the configuration names and a drill must not touch, whichever side it looks at.
pub(crate) fn sources(context: &Context, identities: &[PathBuf]) -> Result<Vec<Source>> {
    let config = context.at(Side::default()).config()?;
    let mut all = Vec::new();
    let mut add = |what: String, path: &Path| all.push(Source { what, path: path.to_owned() });
    for component in &config.components {
        if let Some(path) = component.path() {
            add(format!("the tree of {}", component.name), path);
        }
    }
    for region in &config.regions {
        let places = [
            ("repository", Some(&region.repository)),
            ("replica", region.replica.as_ref()),
            ("witness", region.witness.as_ref()),
        ];
        for (what, place) in places {
            if let Some(directory) = place.and_then(Place::directory) {
                add(format!("the {what} of {}", region.name), directory);
            }
        }
    }
    if let Some(host) = &config.host {
        add("this host's signing key".into(), &host.signing_key);
        add("this host's card identity".into(), &host.card_identity);
        add("this host's state".into(), &host.state);
    }
    add("the configuration".into(), &config.path);
    identities.iter().for_each(|path| add("a recovery identity".into(), path));
    Ok(all)
}

/// Names and values of environment variables.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// The environment of steps, and the values in it that are secrets.
pub(crate) fn environment(
    context: &Context,
    asked: &Asked,
    set: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Variables, Vec<String>) {
    // An officer's key is for decisions, and a drill takes none.
    let mut all: BTreeMap<OsString, OsString> =
        std::env::vars_os().filter(|(name, _)| name != "LIFEBOAT_OFFICER_KEY").collect();
    let files = asked
        .identities
        .files(context)
        .iter()
        .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    if let Ok(joined) = std::env::join_paths(files) {
        all.insert("LIFEBOAT_IDENTITY".into(), joined);
    }
    let config = context.config_file();
    all.insert("LIFEBOAT_CONFIG".into(), std::path::absolute(&config).unwrap_or(config).into());
    all.insert("NO_COLOR".into(), "1".into());
    // Commands of steps look where the drill does.
    all.remove(OsStr::new("LIFEBOAT_REPLICA"));
    if context.replica {
        all.insert("LIFEBOAT_REPLICA".into(), "yes".into());
    }
    all.extend(set);
    let secrets = all
        .iter()
        .filter(|(name, _)| is_secret(&name.to_string_lossy()))
        .map(|(_, value)| value.to_string_lossy().into_owned())
        .collect();
    (all.into_iter().collect(), secrets)
}

/// The recovery identities.
pub(crate) fn identities(context: &Context, asked: &Asked) -> Result<Vec<Identity>> {
    let mut all = Vec::new();
    for file in asked.identities.files(context) {
        all.extend(keyfiles::read_identities(file, "recovery identity")?);
    }
    Ok(all)
}

fn region_of<'c>(config: &'c Config, asked: &Asked, book: &Book) -> Result<&'c Region> {
    let of_component = component_of(asked, book)?.map(|name| config.component(name)).transpose()?;
    let named = match (&asked.region, of_component, &book.front.region, config.regions.as_slice()) {
        (Some(name), ..) => name,
        (None, Some(component), ..) => &component.region,
        (None, None, Whose::Only(name), _) => name,
        (None, None, Whose::Any, [only]) => &only.name,
        _ => {
            let known = crate::config::list(config.regions.iter().map(|region| &region.name));
            return Err(Failure::usage("which region is it about?")
                .code(Code::NoRegion)
                .next(format!("give --region: {known}")));
        }
    };
    if !book.front.region.is_for(named) {
        return Err(Failure::usage(format!("the book is not for region {named}")).code(Code::NoRegion));
    }
    config.region(named)
}

/// The component that a drill is about: the one asked for or the book's own; none where it is about all of a region.
fn component_of<'a>(asked: &'a Asked, book: &'a Book) -> Result<Option<&'a Label>> {
    match (&asked.component, &book.front.component) {
        (Some(name), whose) if whose.is_for(name) => Ok(Some(name)),
        (Some(name), _) => {
            Err(Failure::usage(format!("the book is not for component {name}")).code(Code::NoComponent))
        }
        (None, Whose::Only(name)) => Ok(Some(name)),
        (None, Whose::Any) => Ok(None),
    }
}

/// The components of the drill: the one it is about, else all of the region; those that others need first.
fn wanted(config: &Config, only: Option<&Label>, region: &Region) -> Result<Vec<Wanted>> {
    if let Some(name) = only {
        let component = config.component(name)?;
        if component.region != region.name {
            return Err(Failure::usage(format!("component {name} is of region {}", component.region))
                .code(Code::NoComponent));
        }
        return Ok(vec![wanted_of(component)]);
    }
    Ok(restore_region::in_order(config, region).into_iter().map(wanted_of).collect())
}

fn wanted_of(component: &Component) -> Wanted {
    Wanted {
        name: component.name.clone(),
        needs: component.needs.clone(),
        rpo: component.rpo,
        rto: (component.rto.target, component.rto.limit),
    }
}

fn disruption(context: &Context, asked: &Asked) -> Result<Disruption> {
    let now = context.now();
    let usage = |why: String, at: &str| Failure::usage(why).code(Code::Moment).at(at);
    match (&asked.disruption, &asked.window, &asked.seed) {
        (Some(text), ..) => {
            let at = parse_moment(text, now).map_err(|why| usage(why, "--disruption"))?;
            if at > now {
                return Err(usage(
                    "that is still to come; a drill rehearses what has happened".into(),
                    "--disruption",
                ));
            }
            Ok(Disruption::given(at))
        }
        (None, Some(window), Some(seed)) => {
            let window = parse_duration(window).map_err(|why| usage(why, "--window"))?;
            Ok(Disruption::drawn(now, window, seed))
        }
        _ => Ok(Disruption::given(now)),
    }
}

fn see(
    context: &Context,
    repository: &Repository,
    identities: &[Identity],
    wanted: &[Wanted],
    asked: &Asked,
    disruption: Timestamp,
) -> Result<Seen> {
    use lifeboat_repo::repository::erasures::Erasures;
    use lifeboat_repo::repository::recover::Recovery;
    if identities.is_empty() {
        // Says what is missing and where it lies.
        context.recover(repository, &[])?;
    }
    let recovery = Recovery::open(repository, identities, &context.clock)?;
    let listed = measure::listed(&recovery)?;
    let pins = measure::pin(&listed, wanted, disruption);
    let checkpoint = evidence::checkpoint(repository)?;
    let acts = Erasures::load(repository)?;
    for tenant in &asked.erased {
        let why = match measure::erased_as(&recovery, &acts, tenant) {
            Erased::By(_) => continue,
            Erased::Readmitted => "was erased here and let in again, so it may be there",
            Erased::Never => "was never erased here, so its absence shows nothing",
        };
        return Err(Failure::usage(format!("{tenant} {why}"))
            .code(Code::NoTenant)
            .next("name one that is erased, as it was called then"));
    }
    let erasures = acts.acts().iter().filter(|act| act.effective && !act.body.readmit).count();
    Ok(Seen { pins, checkpoint, erasures })
}

fn random(context: &Context) -> Result<String> {
    let mut bytes = [0; 16];
    context
        .entropy
        .fill(&mut bytes)
        .map_err(|error| Failure::failed(error.to_string()).code(Code::Machine))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn given(values: &[String]) -> Result<BTreeMap<Variable, String>> {
    let one = |text: &String| {
        let bad = |why: String| Failure::usage(why).code(Code::NoValue).at("--set");
        let (name, value) = text.split_once('=').ok_or_else(|| bad("write NAME=VALUE".into()))?;
        if is_secret(name) {
            // Values that are given lie in the drill's notes.
            return Err(bad(format!(
                "{name} is a secret by its name, and what is given here is written down"
            ))
            .next("give it in the environment, where steps find it and what they print is cleaned of it"));
        }
        Ok((name.parse::<Variable>().map_err(bad)?, value.to_owned()))
    };
    values.iter().map(one).collect()
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).map_or_else(|_| shown(path), |path| path.to_string_lossy().into_owned())
}
