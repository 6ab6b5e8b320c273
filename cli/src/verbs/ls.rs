//! `ls`: what a snapshot holds.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use lifeboat_repo::format::manifest::{Entry, EntryKind};
use lifeboat_repo::format::text;
use lifeboat_repo::ids::{Label, Tenant};
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_restore::Choice;
use serde_json::{Value, json};

use crate::choosing::{Which, restore_failure};
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, tame};
use crate::render::Outcome;
use crate::survey::Identities;
use crate::when::show_moment;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A component, or a snapshot of any; `latest` where there is but one component
    #[arg(value_name = "COMPONENT|SNAPSHOT|latest")]
    what: String,
    /// Only these paths, relative to the component's root, with what is below them
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: Identities,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let named = component_named(&config, args)?;
    let regions: Vec<&Region> = match &named {
        Some(component) => vec![config.region(&config.component(component)?.region)?],
        None => config.regions.iter().collect(),
    };
    for region in regions {
        let repository = context.open(region)?;
        let recovery = context.recover(&repository, args.identities.files(context))?;
        let listed = Judge::new(&repository, recovery.catalog()).and_then(|judge| judge.list(named.as_ref()));
        let listed = listed.map_err(|error| Failure::from(error).at(repository_place(region)))?;
        let Some((component, choice)) = find(context, args, &listed, named.as_ref())? else { continue };
        let chosen = lifeboat_restore::choose(&listed, &component, choice).map_err(restore_failure)?;
        let progress = context.progress("reading");
        let mut show = Show::new(context.json);
        let selection = args.which.selection(&args.paths);
        let listing = lifeboat_restore::list(
            &recovery,
            chosen.snapshot,
            &selection,
            &progress,
            &mut |tenant, entry| show.entry(tenant, entry),
        )
        .map_err(|error| restore_failure(error).at(repository_place(region)))?;
        let exit = if listing.losses.is_empty() { Exit::Ok } else { Exit::Partly };
        let entries = show.finish()?;
        let mut page = context.page();
        for loss in &listing.losses {
            page.marked("lost", crate::render::Tone::Bad, &tame(&loss.why));
        }
        let value = json!({ "component": component, "region": region.name, "run": chosen.listed.run,
                            "entries": entries, "losses": listing.losses });
        return Ok(Outcome { exit, value, page: page.finish() });
    }
    Err(Failure::usage(format!(
        "{} is neither a component nor the beginning of a snapshot's name",
        tame(&args.what)
    ))
    .next("`lifeboat snapshots` lists both"))
}

/// The component meant, where the argument names one.
fn component_named(config: &Config, args: &Args) -> Result<Option<Label>> {
    if args.what == "latest" {
        return match config.components.as_slice() {
            [only] => Ok(Some(only.name.clone())),
            _ => Err(Failure::usage("there is more than one component; latest of which?")
                .next("write `lifeboat ls COMPONENT`: it shows the latest of that one")),
        };
    }
    let label = args.what.parse::<Label>().ok();
    Ok(label.filter(|label| config.components.iter().any(|component| component.name == *label)))
}

/// The component and snapshot meant; none where the argument names a snapshot of another region.
fn find(
    context: &Context,
    args: &Args,
    listed: &[Listed],
    named: Option<&Label>,
) -> Result<Option<(Label, Choice)>> {
    if let Some(component) = named {
        return Ok(Some((component.clone(), args.which.choice(context, listed, component)?)));
    }
    let with: BTreeSet<&Label> = listed
        .iter()
        .filter(|one| !args.what.is_empty() && one.run.to_string().starts_with(&args.what))
        .map(|one| &one.component)
        .collect();
    match with.first() {
        None => Ok(None),
        Some(component) => {
            let run = crate::survey::run_by_prefix(listed, component, &args.what)?;
            Ok(Some(((*component).clone(), Choice::Run(run))))
        }
    }
}

/// Shows entries as they come; `--json` gathers them.
struct Show {
    gathered: Option<Vec<Value>>,
    out: BufWriter<io::Stdout>,
    tenant: Option<Tenant>,
    failed: Option<io::Error>,
}

impl Show {
    fn new(json: bool) -> Self {
        let gathered = json.then(Vec::new);
        Self { gathered, out: BufWriter::new(io::stdout()), tenant: None, failed: None }
    }

    fn entry(&mut self, tenant: &Tenant, entry: &Entry) -> ControlFlow<()> {
        if let Some(gathered) = &mut self.gathered {
            gathered.push(value_of(tenant, entry));
            return ControlFlow::Continue(());
        }
        let mut text = String::new();
        if self.tenant.as_ref() != Some(tenant) {
            text.push_str(&format!("{tenant}:\n"));
            self.tenant = Some(tenant.clone());
        }
        text.push_str(&line_of(entry));
        match self.out.write_all(text.as_bytes()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn finish(mut self) -> Result<Option<Vec<Value>>> {
        match self.failed.map_or_else(|| self.out.flush(), Err) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::failed(format!("cannot write to standard output: {error}")))
            }
            _ => Ok(self.gathered),
        }
    }
}

fn line_of(entry: &Entry) -> String {
    let owner = |name: &Option<String>, number: u32| name.as_deref().map_or_else(|| number.to_string(), tame);
    let meta = &entry.metadata;
    let size = match (entry.kind, entry.tail.device) {
        (EntryKind::File | EntryKind::Hardlink, _) => entry.size.to_string(),
        (_, Some((major, minor))) => format!("{major},{minor}"),
        _ => String::new(),
    };
    let mut line = format!(
        "  {} {:8} {:8} {size:>9}  {}  {}",
        mode_of(entry),
        owner(&meta.user, meta.uid),
        owner(&meta.group, meta.gid),
        show_moment(meta.mtime).trim_end_matches(" UTC"),
        text::display(&entry.path)
    );
    if let Some(target) = &entry.tail.target {
        line.push_str(&format!(" -> {}", text::display(target)));
    }
    if let Some(link) = &entry.tail.link {
        line.push_str(&format!(" = {}", text::display(link)));
    }
    if let Some(why) = &entry.tail.error {
        line.push_str(&format!(" (not read: {})", tame(why)));
    }
    line.push('\n');
    line
}

/// `-rwsr-xr-x`
fn mode_of(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::Dir => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::Char => 'c',
        EntryKind::Block => 'b',
        EntryKind::Error => '?',
        EntryKind::File | EntryKind::Hardlink => '-',
    };
    let mode = entry.metadata.mode;
    let mut text = String::from(kind);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => unset,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn value_of(tenant: &Tenant, entry: &Entry) -> Value {
    json!({
        "tenant": tenant, "path": text::display(&entry.path), "type": entry.kind.as_str(),
        "mode": format!("{:04o}", entry.metadata.mode & 0o7777), "uid": entry.metadata.uid,
        "gid": entry.metadata.gid, "mtime": entry.metadata.mtime, "size": entry.size,
        "target": entry.tail.target.as_ref().map(|target| text::display(target)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::format::manifest::{Metadata, Tail};
    use lifeboat_repo::units::Bytes;

    #[test]
    fn lines_look_like_those_people_know() {
        let metadata = Metadata { mode: 0o4755, uid: 7, ..Metadata::default() };
        let mut entry = Entry {
            path: b"a\x1b[2J".to_vec(),
            kind: EntryKind::File,
            metadata,
            size: Bytes(12),
            tail: Tail::default(),
        };
        let line = line_of(&entry);
        assert!(
            line.starts_with("  -rwsr-xr-x 7        0             12 B  1970-01-01 00:00  a\\0033[2J"),
            "{line}"
        );
        entry.kind = EntryKind::Dir;
        entry.metadata.mode = 0o1777;
        assert_eq!(mode_of(&entry), "drwxrwxrwt");
        entry.metadata.mode = 0o2640;
        assert_eq!(mode_of(&entry), "drw-r-S---");
    }
}
