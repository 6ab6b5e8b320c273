//! `demo`: the whole story on one page, with real data, real keys and a real loss.
//!
//! A host with two components in two regions and three tenants is made in a directory, backed up, changed, backed
//! up again, destroyed, and restored from nothing but the repositories and what lies in the safe. A fourth tenant, the
//! canary, is erased in between.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_repo::ids::Label;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::config::{Component, Config, Place};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::render::{Outcome, to_stderr};
use crate::survey::Identities;
use crate::verbs::verify::{self, Checked, Level};
use crate::verbs::{backup, init, restore};
use tree::{Amount, Changes, Facts, Limits};

mod canary;
mod page;
mod tree;

/// Who decides in it.
const OFFICER: &str = "alice";
/// Real trees that many machines have; the first that are there are used.
const TREES: [&str; 5] = ["/usr/share/doc", "/usr/include", "/usr/share/perl", "/usr/lib/python3", "/etc"];
/// Two components in two regions, three tenants: Frankfurt has two of them.
const COMPONENTS: [&str; 2] = ["chats", "tickets"];
const PLACES: [(&str, &str); 3] = [("chats", "aurora"), ("chats", "borealis"), ("tickets", "cascade")];

const CONFIG: &str = r#"# The configuration of the demonstration; `lifeboat init` elsewhere writes one with every field explained.
[host]
writer = "app-1"
signing_key = "host/keys/app-1"
card_identity = "host/keys/app-1.card"
state = "host/state"

[regions.eu-fra]
jurisdiction = "EU"
repository = "repositories/eu-fra"

[regions.us-dal]
jurisdiction = "US"
repository = "repositories/us-dal"

[components.chats]
region = "eu-fra"
path = "host/data/chats"
tenants = ["uploads/{tenant}"]
system = "settings that all tenants share"
rpo = "24h"

[components.tickets]
region = "us-dal"
path = "host/data/tickets"
tenants = ["uploads/{tenant}"]
system = "settings that all tenants share"
rpo = "24h"
"#;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to do it; must be empty or not be there
    #[arg(value_name = "DIR", default_value = "lifeboat-demo")]
    directory: PathBuf,
    /// A tree to copy the data from [default: this machine's documentation]
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Copy at most this many files
    #[arg(long, value_name = "N", default_value_t = 4000)]
    files: u64,
    /// Copy at most this many megabytes
    #[arg(long, value_name = "MB", default_value_t = 40)]
    megabytes: u64,
}

/// One step that was done.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) took: Duration,
    pub(super) what: String,
}

/// A component that was restored and compared.
pub(super) struct Compared {
    pub(super) component: Label,
    pub(super) region: Label,
    pub(super) entries: usize,
    pub(super) differences: Vec<PathBuf>,
}

/// A region that was verified.
pub(super) struct Proven {
    pub(super) region: Label,
    pub(super) levels: Vec<Checked>,
    /// Whether a planted fault turned the check red.
    pub(super) fault_found: bool,
}

/// All that happened.
pub(super) struct Story {
    pub(super) root: PathBuf,
    pub(super) sources: Vec<PathBuf>,
    pub(super) data: Amount,
    pub(super) began: Timestamp,
    pub(super) steps: Vec<Step>,
    pub(super) compared: Vec<Compared>,
    pub(super) proven: Vec<Proven>,
}

impl Story {
    /// What it all means.
    pub(super) fn exit(&self) -> Exit {
        let compared = self.compared.iter().any(|compared| !compared.differences.is_empty());
        let unfound = self.proven.iter().any(|proven| !proven.fault_found);
        let start = if compared || unfound { Exit::Failed } else { Exit::Ok };
        self.proven
            .iter()
            .flat_map(|proven| &proven.levels)
            .fold(start, |exit, checked| exit.worst(checked.exit))
    }
}

/// The demonstration under way.
struct Demo<'c> {
    context: &'c Context,
    /// The same for the verbs it calls: what they would say is on the page.
    inner: Context,
    root: PathBuf,
    steps: Vec<Step>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let root = std::path::absolute(&args.directory)
        .map_err(|error| Failure::file("use the directory", &args.directory, &error))?;
    refuse_used(&root)?;
    let inner = Context {
        quiet: true,
        config_path: Some(root.join("lifeboat.toml")),
        environment: crate::context::Environment::default(),
        ..context.clone()
    };
    let demo = Demo { context, inner, root, steps: Vec::new() };
    let story = demo.tell(args)?;
    Ok(Outcome { exit: story.exit(), value: page::value(&story), page: page::render(context, &story) })
}

fn refuse_used(root: &Path) -> Result<()> {
    let used = match fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::file("use the directory", root, &error)),
    };
    if used {
        return Err(Failure::new(
            Exit::Refused,
            "the demonstration needs an empty directory, and this is none",
        )
        .at(shown(root))
        .next("name another: `lifeboat demo DIR`"));
    }
    Ok(())
}

impl Demo<'_> {
    fn tell(mut self, args: &Args) -> Result<Story> {
        let began = self.context.now();
        let sources = sources(args)?;
        let data = self.make_data(args, &sources)?;
        let config = self.make_keys()?;
        self.back_up(&config, "first backup")?;
        self.erase(&config)?;
        self.live_a_day()?;
        self.back_up(&config, "second backup")?;
        let before = self.remember(&config)?;
        let disaster = self.lose()?;
        self.restore(&config)?;
        let compared = self.compare(&config, before)?;
        let proven = self.prove(&config, disaster)?;
        Ok(Story { root: self.root, sources, data, began, steps: self.steps, compared, proven })
    }

    /// Does a step, timed and announced.
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce(&Self) -> Result<(T, String)>) -> Result<T> {
        if self.inner.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::new(Exit::Interrupted, "stopped").at(format!("before: {name}")));
        }
        if !self.context.quiet && !self.context.json {
            to_stderr(&format!("{}. {name} …\n", self.steps.len() + 1));
        }
        let began = Instant::now();
        let (result, what) = work(self).map_err(|failure| failure.at(format!("demonstration, {name}")))?;
        self.steps.push(Step { name, took: began.elapsed(), what });
        Ok(result)
    }

    fn data(&self, component: &str) -> PathBuf {
        self.root.join("host/data").join(component)
    }

    fn identities(&self, config: &Config) -> Identities {
        let files =
            config.regions.iter().map(|region| self.root.join(format!("safe/recovery-{}.txt", region.name)));
        Identities { files: files.collect() }
    }

    fn make_data(&mut self, args: &Args, sources: &[PathBuf]) -> Result<Amount> {
        let limits = Limits { files: args.files, bytes: Bytes(args.megabytes.saturating_mul(1_000_000)) };
        self.step("copy a real tree", |demo| {
            let places = PLACES.map(|(component, tenant)| demo.data(component).join("uploads").join(tenant));
            let done = tree::deal(sources, &places, limits).and_then(|amount| {
                for component in COMPONENTS {
                    fs::write(
                        demo.data(component).join("settings.toml"),
                        "greeting = \"How can we help?\"\n",
                    )?;
                }
                tree::add_oddities(&demo.data("chats").join("uploads/aurora"))?;
                Ok(amount)
            });
            let amount = done.map_err(|error| Failure::file("copy a tree", &demo.root, &error))?;
            canary::make(&|component| demo.data(component))?;
            let text =
                format!("{} files, {}, for 3 tenants", crate::when::show_count(amount.files), amount.bytes);
            Ok((amount, text))
        })
    }

    fn make_keys(&mut self) -> Result<Config> {
        self.step("make keys and repositories", |demo| {
            let path = demo.root.join("lifeboat.toml");
            fs::write(&path, CONFIG)
                .map_err(|error| Failure::file("write the configuration", &path, &error))?;
            let officer = OFFICER.parse::<Label>().map_err(|error| Failure::failed(error.to_string()))?;
            let keys = Some(demo.root.join("safe"));
            init::run(&demo.inner, &init::Args { keys, officer: Some(officer), ..init::Args::default() })?;
            Ok((demo.inner.config()?, "2 regions, each with keys of its own".to_owned()))
        })
    }

    fn back_up(&mut self, config: &Config, name: &'static str) -> Result<()> {
        self.step(name, |demo| {
            let (mut read, mut stored) = (Bytes::ZERO, Bytes::ZERO);
            for component in &config.components {
                let report = backup::one(&demo.inner, config, config.host()?, component)?;
                read += report.counts.bytes;
                stored += report.stored;
                if report.problems.total() > 0 {
                    return Err(Failure::new(
                        Exit::Partly,
                        format!("the backup of {} is partial", component.name),
                    ));
                }
            }
            Ok(((), format!("{read} held, {stored} stored anew")))
        })
    }

    fn erase(&mut self, config: &Config) -> Result<()> {
        self.step("erase the canary", |demo| {
            let data = |component: &str| demo.data(component);
            let keys = canary::erase(&demo.inner, config, &data, &demo.root.join("safe"))?;
            Ok(((), format!("{keys} keys destroyed: it opens no more")))
        })
    }

    fn live_a_day(&mut self) -> Result<()> {
        self.step("live a day", |demo| {
            let mut all = Changes::default();
            for (component, tenant) in PLACES {
                let place = demo.data(component).join("uploads").join(tenant);
                let changes = tree::live_a_day(&place)
                    .map_err(|error| Failure::file("change files", &place, &error))?;
                all.changed += changes.changed;
                all.added += changes.added;
                all.deleted += changes.deleted;
            }
            Ok(((), format!("{} files changed, {} added, {} deleted", all.changed, all.added, all.deleted)))
        })
    }

    /// What the data is, before it is lost.
    fn remember(&self, config: &Config) -> Result<Vec<Facts>> {
        let trees = config.components.iter().filter_map(Component::path);
        let facts =
            trees.map(|path| tree::facts(path).map_err(|error| Failure::file("read the data", path, &error)));
        facts.collect()
    }

    fn lose(&mut self) -> Result<Timestamp> {
        self.step("DISASTER: the host is lost", |demo| {
            let host = demo.root.join("host");
            fs::remove_dir_all(&host).map_err(|error| Failure::file("delete the host", &host, &error))?;
            Ok((demo.context.now(), "data, keys and state are deleted".to_owned()))
        })
    }

    fn restore(&mut self, config: &Config) -> Result<()> {
        self.step("restore", |demo| {
            let (mut files, mut bytes) = (0, Bytes::ZERO);
            for component in &config.components {
                let target = demo.restored(&component.name);
                fs::create_dir_all(demo.root.join("restored"))
                    .map_err(|error| Failure::file("make the directory", &target, &error))?;
                let args = restore::Args::latest(component.name.clone(), target, demo.identities(config));
                let done = restore::one(&demo.inner, config, &args)?;
                if let Some(report) = &done.report {
                    files += report.files;
                    bytes += report.bytes;
                }
            }
            Ok(((), format!("{} files, {bytes}, safe's keys", crate::when::show_count(files))))
        })
    }

    fn restored(&self, component: &Label) -> PathBuf {
        self.root.join("restored").join(component.as_str())
    }

    fn compare(&mut self, config: &Config, before: Vec<Facts>) -> Result<Vec<Compared>> {
        self.step("compare every byte", |demo| {
            let mut all = Vec::new();
            for (component, before) in config.components.iter().zip(before) {
                let target = demo.restored(&component.name);
                let after = tree::facts(&target)
                    .map_err(|error| Failure::file("read what was restored", &target, &error))?;
                all.push(Compared {
                    component: component.name.clone(),
                    region: component.region.clone(),
                    entries: before.len(),
                    differences: tree::differences(&before, &after),
                });
            }
            let entries: usize = all.iter().map(|compared| compared.entries).sum();
            let differences: usize = all.iter().map(|compared| compared.differences.len()).sum();
            let text =
                format!("{} entries, {differences} differences", crate::when::show_count(entries as u64));
            Ok((all, text))
        })
    }

    fn prove(&mut self, config: &Config, disaster: Timestamp) -> Result<Vec<Proven>> {
        self.step("verify, and plant a fault", |demo| {
            let mut all = Vec::new();
            for region in &config.regions {
                let components: Vec<_> = config.components_of(&region.name).collect();
                let mut args = verify::Args::of(Level::All, demo.identities(config));
                args.disaster_at = Some(disaster.to_string());
                args.scratch = Some(demo.root.clone());
                let levels = verify::region_levels(&demo.inner, config, region, &components, &args)?;
                let fault_found = demo.fault_is_found(config, region)?;
                all.push(Proven { region: region.name.clone(), levels, fault_found });
            }
            Ok((all, "5 levels in each region".to_owned()))
        })
    }

    /// A check that cannot fail proves nothing: one flipped bit in a copy must turn it red.
    fn fault_is_found(&self, config: &Config, region: &crate::config::Region) -> Result<bool> {
        let Some(directory) = region.repository.directory() else { return Ok(false) };
        let copy = self.root.join(format!("copy-of-{}", region.name));
        let planted =
            tree::copy_plain(directory, &copy).and_then(|()| tree::flip_one_bit(&copy.join("packs")));
        let planted = planted.map_err(|error| Failure::file("plant a fault", &copy, &error))?;
        let damaged = crate::config::Region { repository: Place::Directory(copy.clone()), ..region.clone() };
        let args = verify::Args::of(Level::Integrity, Identities::default());
        let levels = verify::region_levels(&self.inner, config, &damaged, &[], &args)?;
        fs::remove_dir_all(&copy).map_err(|error| Failure::file("remove the copy", &copy, &error))?;
        Ok(planted && levels.iter().any(|checked| checked.exit == Exit::Damaged))
    }
}

fn sources(args: &Args) -> Result<Vec<PathBuf>> {
    if let Some(missing) = args.from.iter().find(|path| !path.is_dir()) {
        return Err(Failure::usage("there is no such directory to copy from").at(shown(missing)));
    }
    let sources: Vec<PathBuf> = if args.from.is_empty() {
        TREES.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect()
    } else {
        args.from.clone()
    };
    if sources.is_empty() {
        return Err(
            Failure::usage("this machine has none of the usual trees").next("name one with --from DIR")
        );
    }
    Ok(sources)
}
