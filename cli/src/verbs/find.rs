//! `find`: in which snapshots a path is, and when it changed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::RunId;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::find::{Found, Query, Search, State};
use lifeboat_restore::glob::Pattern;
use serde_json::{Value, json};

use crate::choosing::Which;
use crate::codes::Code;
use crate::config::parse_bytes;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, restore_failure, tame};
use crate::looking::{Asked, Look, look};
use crate::render::{Lines, Outcome, Tone};
use crate::survey::Identities;
use crate::when::{count_of, parse_moment, show_moment};

/// So much of a run's name tells it from every other of its component, unless two began within a millisecond; it can
/// be given to --snapshot as it is.
const RUN_SHOWN: usize = 19;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The component, or one snapshot of any
    #[arg(value_name = "COMPONENT|SNAPSHOT|latest")]
    what: String,
    /// `*.pdf` (names), `a/**/*.pdf` (whole paths), or any part of a path; one of several suffices
    #[arg(value_name = "PATTERN")]
    patterns: Vec<OsString>,
    /// Upper and lower case are the same (A to Z)
    #[arg(short, long)]
    ignore_case: bool,
    /// Only these: file, dir, symlink, fifo, socket, char, block, or error (was not read)
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_kind)]
    kinds: Vec<EntryKind>,
    /// Only files of at least this size: 512, 10kB, 5MB, 2GB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size_min: Option<Bytes>,
    /// Only files of at most this size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size_max: Option<Bytes>,
    /// Only what was last changed at this moment or later
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was last changed at this moment or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    identities: Identities,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let query = query(context, args)?;
    let asked = Asked { what: &args.what, which: &args.which, identities: &args.identities };
    look(context, asked, |look| {
        let snapshots = snapshots(look, args)?;
        let progress = context.progress("searching");
        let search = lifeboat_restore::find(look.recovery, &snapshots, &query, &progress)
            .map_err(|error| restore_failure(error).at(look.place()))?;
        drop(progress);
        let mut lines = Lines::new(context.json);
        let mut tenant = None;
        for found in &search.found {
            let heading = tenant != Some(&found.tenant);
            tenant = Some(&found.tenant);
            if !lines.show(|| text_of(found, heading, &search), || value_of(found)) {
                break;
            }
        }
        let found = lines.finish()?;
        let exit = if search.losses.is_empty() { Exit::Ok } else { Exit::Partly };
        let value = json!({ "component": look.component, "region": look.region.name, "runs": search.runs,
                            "found": found, "effort": search.effort, "losses": losses(&search) });
        Ok(Outcome { exit, value, page: summary(context, &search) })
    })
}

/// The snapshots to search, oldest first: the one asked for, or all that count.
fn snapshots<'l>(look: &'l Look<'_>, args: &Args) -> Result<Vec<&'l Snapshot>> {
    let one = args.which.snapshot.is_some() || args.which.at.is_some();
    if one || args.what == "latest" || args.what != look.component.as_str() {
        return Ok(vec![look.chosen()?.snapshot]);
    }
    let counts = look.listed.iter().filter(|one| one.standing == Standing::Counts);
    let mut all: Vec<&Snapshot> = counts.filter_map(|one| one.snapshot.as_ref()).collect();
    if all.is_empty() {
        // Says what there is instead.
        all.push(look.chosen()?.snapshot);
    }
    all.sort_by_key(|snapshot| (snapshot.recovery_point, snapshot.run));
    Ok(all)
}

fn query(context: &Context, args: &Args) -> Result<Query> {
    let moment = |text: &Option<String>, option: &str| -> Result<Option<Timestamp>> {
        let read = |text: &String| {
            parse_moment(text, context.now()).map_err(|why| Failure::usage(why).code(Code::Moment).at(option))
        };
        text.as_ref().map(read).transpose()
    };
    let patterns = args.patterns.iter().map(|pattern| {
        Pattern::new(pattern.as_bytes(), args.ignore_case).map_err(|error| {
            Failure::usage(tame(&error.to_string()))
                .next("write \\[ for a bracket that is meant as it stands")
        })
    });
    Ok(Query {
        patterns: patterns.collect::<Result<_>>()?,
        kinds: args.kinds.clone(),
        size_min: args.size_min,
        size_max: args.size_max,
        since: moment(&args.since, "--since")?,
        until: moment(&args.until, "--until")?,
        tenants: args.which.tenants.iter().cloned().collect(),
    })
}

fn parse_kind(text: &str) -> std::result::Result<EntryKind, String> {
    // Another name of a file is found as a file.
    EntryKind::from_word(text).filter(|kind| *kind != EntryKind::Hardlink).ok_or_else(|| {
        format!("{text:?} is no type; write file, dir, symlink, fifo, socket, char, block or error")
    })
}

fn parse_size(text: &str) -> std::result::Result<Bytes, String> {
    match text.parse() {
        Ok(bytes) => Ok(Bytes(bytes)),
        Err(_) => parse_bytes(text),
    }
}

fn text_of(found: &Found, heading: bool, search: &Search) -> String {
    let mut out = String::new();
    if heading {
        out.push_str(&format!("{}:\n", found.tenant));
    }
    out.push_str(&format!("  {}\n", text::display(&found.path)));
    for (at, state) in found.states.iter().enumerate() {
        out.push_str(&format!("    {}\n", state_text(state)));
        if let Some(after) = gone_in(state, found.states.get(at + 1), search) {
            out.push_str(&format!("    {}  not there, or not as asked for\n", short(after)));
        }
    }
    out
}

/// The first snapshot after a state that does not have it, where that is not simply the next state.
fn gone_in(state: &State, next: Option<&State>, search: &Search) -> Option<RunId> {
    let after = search.runs.iter().position(|run| *run == state.last)? + 1;
    let follower = *search.runs.get(after)?;
    match next {
        Some(next) => (next.first != follower).then_some(follower),
        None => (!state.present).then_some(follower),
    }
}

fn state_text(state: &State) -> String {
    let runs = if state.first == state.last {
        format!("{:41}", short(state.first))
    } else {
        format!("{} … {}", short(state.first), short(state.last))
    };
    let size = match state.kind {
        EntryKind::File | EntryKind::Hardlink => state.size.to_string(),
        kind => kind.as_str().to_owned(),
    };
    let mut line = format!("{runs} {:>4}×  {size:>9}", state.snapshots);
    if state.changed.is_empty() {
        line.push_str(&format!("  {}", show_moment(state.mtime).trim_end_matches(" UTC")));
    } else {
        let words: Vec<&str> = state.changed.iter().map(|aspect| aspect.as_str()).collect();
        line.push_str(&format!("  {}", words.join(" ")));
    }
    line
}

fn short(run: RunId) -> String {
    run.to_string().chars().take(RUN_SHOWN).collect()
}

fn value_of(found: &Found) -> Value {
    let states: Vec<Value> = found
        .states
        .iter()
        .map(|state| {
            json!({ "first": state.first, "last": state.last, "snapshots": state.snapshots,
                    "type": state.kind.as_str(), "mode": format!("{:04o}", state.mode),
                    "uid": state.owner.0, "gid": state.owner.1, "size": state.size, "mtime": state.mtime,
                    "changed": state.changed, "present": state.present })
        })
        .collect();
    json!({ "tenant": found.tenant, "path": text::display(&found.path), "states": states })
}

fn losses(search: &Search) -> Vec<Value> {
    search.losses.iter().map(|(run, loss)| json!({ "run": run, "loss": loss })).collect()
}

fn summary(context: &Context, search: &Search) -> String {
    let mut page = context.page();
    for (run, loss) in &search.losses {
        let whose = loss.tenant.as_ref().map_or_else(|| "a tenant".to_owned(), ToString::to_string);
        let why = crate::render::short_hashes(&tame(&loss.why));
        page.marked("lost", Tone::Bad, &format!("{whose} in {}: {why}", short(*run)));
    }
    page.toned(
        Tone::Dim,
        &format!(
            "{} in {}",
            count_of(search.found.len() as u64, "path", "paths"),
            count_of(search.runs.len() as u64, "snapshot", "snapshots")
        ),
    );
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_types_are_read() {
        assert_eq!(parse_size("512"), Ok(Bytes(512)));
        assert_eq!(parse_size("10kB"), Ok(Bytes(10_000)));
        assert_eq!(parse_size("2GB"), Ok(Bytes(2_000_000_000)));
        // As in the configuration.
        assert_eq!(parse_size("1.5MB"), Ok(Bytes(1_500_000)));
        assert_eq!(parse_size("1KiB"), Ok(Bytes(1024)));
        for bad in ["", "kB", "1.5", "10 mb", "99999999999999TB", "-1", "1K"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_kind("dir"), Ok(EntryKind::Dir));
        assert!(parse_kind("hardlink").is_err() && parse_kind("d").is_err());
    }
}
