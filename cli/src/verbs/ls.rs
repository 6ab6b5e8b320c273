//! `ls`: what a snapshot holds.

use std::ffi::OsString;
use std::ops::ControlFlow;

use lifeboat_repo::format::manifest::{Entry, EntryKind};
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Tenant;
use serde_json::{Value, json};

use crate::choosing::Which;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Result, restore_failure, tame};
use crate::looking::{Asked, look};
use crate::render::{Lines, Outcome, Tone};
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
    let asked = Asked { what: &args.what, which: &args.which, identities: &args.identities };
    look(context, asked, |look| {
        let chosen = look.chosen()?;
        let progress = context.progress("reading");
        let mut lines = Lines::new(context.json);
        let mut shown = None;
        let selection = args.which.selection(&args.paths);
        let listing = lifeboat_restore::list(
            look.recovery,
            chosen.snapshot,
            &selection,
            &progress,
            &mut |tenant, entry| {
                let text = || {
                    let heading =
                        if shown.as_ref() == Some(tenant) { String::new() } else { format!("{tenant}:\n") };
                    heading + &line_of(entry)
                };
                let more = lines.show(text, || value_of(tenant, entry));
                shown.get_or_insert_with(|| tenant.clone()).clone_from(tenant);
                if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        )
        .map_err(|error| restore_failure(error).at(look.place()))?;
        let exit = if listing.losses.is_empty() { Exit::Ok } else { Exit::Partly };
        let entries = lines.finish()?;
        let mut page = context.page();
        for loss in &listing.losses {
            page.marked("lost", Tone::Bad, &tame(&loss.why));
        }
        let value = json!({ "component": look.component, "region": look.region.name,
                            "run": chosen.listed.run, "entries": entries, "losses": listing.losses });
        Ok(Outcome { exit, value, page: page.finish() })
    })
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
