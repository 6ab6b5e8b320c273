//! `diff`: a snapshot compared with another, or with a directory.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::text;
use lifeboat_repo::observe::Observer;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::diff::{Against, Aspect, Change, Compared, Difference, Side, between, with_directory};
use lifeboat_restore::{Choice, Chosen, choose};
use serde_json::{Value, json};

use crate::choosing::Which;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, shown, tame};
use crate::looking::{Asked, Look, look};
use crate::render::{Lines, Outcome, Tone, short_hashes};
use crate::survey::{Identities, run_by_prefix};
use crate::when::{count_of, show_moment};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The old side: a snapshot, or a component for its latest (or --at, --snapshot)
    #[arg(value_name = "COMPONENT|SNAPSHOT|latest")]
    old: String,
    /// The new side: another snapshot of it, `latest`, or a directory (written with a `/`, such as ./out)
    #[arg(value_name = "SNAPSHOT|latest|DIR")]
    new: OsString,
    /// Only these paths, relative to the component's root, with what is below them
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<OsString>,
    /// Compare all contents, even of files whose size and time agree
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: Identities,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let asked = Asked { what: &args.old, which: &args.which, identities: &args.identities };
    let directory = args.new.as_bytes().contains(&b'/').then(|| Path::new(&args.new));
    look(context, asked, |look| {
        let old = look.chosen()?;
        let new = match directory {
            Some(_) => None,
            None => Some(other(look, &args.new)?),
        };
        let selection = args.which.selection(&args.paths);
        let progress = context.progress("comparing");
        let observer: &dyn Observer = &progress;
        let mut lines = Lines::new(context.json);
        let mut show = |difference: &Difference| {
            // Whoever read enough still gets the exit code.
            lines.show(|| text_of(difference), || value_of(difference));
        };
        let compared = match (&new, directory) {
            (Some(new), _) => {
                let (a, b) = (old.snapshot, new.snapshot);
                between(look.recovery, a, b, &selection, args.content, observer, &mut show)
            }
            (None, directory) => {
                let directory = directory.unwrap_or(Path::new("."));
                let against = Against { contents: args.content, holes: false };
                with_directory(
                    look.recovery,
                    old.snapshot,
                    &selection,
                    directory,
                    against,
                    observer,
                    &mut show,
                )
            }
        };
        let compared = compared.map_err(|error| restore_failure(error).at(look.place()))?;
        let differences = lines.finish()?;
        let value = json!({
            "component": look.component, "region": look.region.name, "old": old.listed.run,
            "new": new.as_ref().map(|new| new.listed.run), "directory": directory.map(shown),
            "differences": differences, "summary": compared,
        });
        Ok(Outcome { exit: exit_of(&compared), value, page: summary(context, &compared) })
    })
}

/// The snapshot on the new side.
fn other<'l>(look: &'l Look<'_>, name: &OsStr) -> Result<Chosen<'l>> {
    let name = name.to_str().ok_or_else(|| {
        Failure::usage("the new side is no name of a snapshot")
            .next("write a directory with a /, such as ./out")
    })?;
    let choice = match name {
        "latest" => Choice::Latest,
        name => Choice::Run(run_by_prefix(look.listed, &look.component, name).map_err(|mut failure| {
            failure.next = Some(format!(
                "`lifeboat snapshots {}` lists them; a directory is written with a /, such as ./{}",
                look.component,
                tame(name)
            ));
            failure
        })?),
    };
    choose(look.listed, &look.component, choice).map_err(restore_failure)
}

fn exit_of(compared: &Compared) -> Exit {
    let differs = if compared.differs() { Exit::Different } else { Exit::Ok };
    differs.worst(if compared.whole() { Exit::Ok } else { Exit::Partly })
}

fn text_of(difference: &Difference) -> String {
    let path = text::display(&difference.path);
    let (mark, more) = match &difference.change {
        Change::Added => ('+', difference.new.as_ref().map_or_else(String::new, what)),
        Change::Removed => ('-', difference.old.as_ref().map_or_else(String::new, what)),
        Change::Changed(aspects) => {
            let all: Vec<String> = aspects.iter().map(|aspect| aspect_text(*aspect, difference)).collect();
            ('~', all.join(", "))
        }
        Change::Unread(why) => ('?', tame(why)),
    };
    format!("{mark} {path}  ({more})\n")
}

/// What one side is, in a word or two.
fn what(side: &Side) -> String {
    match side.kind {
        EntryKind::File => side.size.to_string(),
        kind => kind.as_str().to_owned(),
    }
}

fn aspect_text(aspect: Aspect, difference: &Difference) -> String {
    let word = aspect.as_str();
    let (Some(old), Some(new)) = (&difference.old, &difference.new) else { return word.to_owned() };
    let pair = |old: String, new: String| format!("{word} {old} → {new}");
    match aspect {
        Aspect::Type => pair(old.kind.as_str().to_owned(), new.kind.as_str().to_owned()),
        Aspect::Content if old.size != new.size => pair(exact(old.size), exact(new.size)),
        Aspect::Mode => pair(format!("{:04o}", old.mode), format!("{:04o}", new.mode)),
        Aspect::Owner => pair(format!("{}:{}", old.uid, old.gid), format!("{}:{}", new.uid, new.gid)),
        Aspect::Mtime => {
            let (old, new) = (show_moment(old.mtime), show_moment(new.mtime));
            // Apart by less than a minute: the JSON has the nanoseconds.
            if old == new { word.to_owned() } else { pair(old, new) }
        }
        _ => word.to_owned(),
    }
}

/// A size whose rounded form could hide a difference.
fn exact(size: Bytes) -> String {
    if size.0 < 1_000_000 { format!("{} B", size.0) } else { format!("{size} ({} B)", size.0) }
}

fn value_of(difference: &Difference) -> Value {
    let side = |side: &Option<Side>| {
        side.as_ref().map(|side| {
            json!({ "type": side.kind.as_str(), "mode": format!("{:04o}", side.mode), "uid": side.uid,
                    "gid": side.gid, "mtime": side.mtime, "size": side.size })
        })
    };
    let (change, changed, why) = match &difference.change {
        Change::Added => ("added", None, None),
        Change::Removed => ("removed", None, None),
        Change::Changed(aspects) => ("changed", Some(aspects), None),
        Change::Unread(why) => ("unread", None, Some(tame(why))),
    };
    json!({ "change": change, "changed": changed, "why": why, "tenant": difference.tenant,
            "path": text::display(&difference.path), "old": side(&difference.old),
            "new": side(&difference.new) })
}

fn summary(context: &Context, compared: &Compared) -> String {
    let mut page = context.page();
    for loss in &compared.losses {
        let whose = loss.tenant.as_ref().map_or_else(|| "a tenant".to_owned(), ToString::to_string);
        page.marked("lost", Tone::Bad, &format!("{whose}: {}", short_hashes(&tame(&loss.why))));
    }
    let same = count_of(compared.same, "entry is", "entries are");
    if !compared.differs() && compared.whole() {
        page.toned(Tone::Good, &format!("No difference: {same} the same."));
        return page.finish();
    }
    let mut parts = vec![
        format!("{} added ({})", compared.added, compared.bytes_added),
        format!("{} removed ({})", compared.removed, compared.bytes_removed),
        format!("{} changed ({} in files with other content)", compared.changed, compared.bytes_changed),
    ];
    if compared.unread > 0 {
        parts.push(format!("{} not readable", compared.unread));
    }
    page.paragraph(0, &format!("{}; {same} the same.", parts.join(", ")));
    page.finish()
}
