//! What lies in the target and not in the snapshot: kept and told, or removed where that was asked for.

use std::os::fd::{AsFd, BorrowedFd};

use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::format::text;
use rustix::fs::{AtFlags, FileType, OFlags, unlinkat};
use rustix::io::Errno;

use super::super::InPlace;
use super::super::dirs::Dirs;
use super::super::site::{Site, Trouble};
use super::walk::{Extra, Seen, look};
use crate::changes::Changes;
use crate::disk::names_in;
use crate::error::RestoreError;
use crate::plan::Plan;
use crate::report::Severity;
use crate::tree::Tree;

/// What is removed, and what is not.
pub(in super::super) struct Removals {
    remove: Vec<Extra>,
    keep: Vec<(Extra, &'static str)>,
    /// What a restore that was cut off left.
    leftovers: Vec<Extra>,
    /// Nodes at whose place something lies that must go first.
    pub(super) in_the_way: Vec<u32>,
    deletes: bool,
    /// Why nothing is removed although it was asked for.
    refused: Option<String>,
}

/// Decides what is removed: a pure function of what was found, the plan and what was asked for.
///
/// Nothing is, where the snapshot may lack what the source had: then what looks surplus may be the last copy.
pub(super) fn decide(extras: Vec<Extra>, plan: &Plan, how: &InPlace) -> Removals {
    let refused = if how.delete { doubt(plan, how) } else { None };
    let deletes = how.delete && refused.is_none();
    let mut removals = Removals {
        remove: Vec::new(),
        keep: Vec::new(),
        leftovers: Vec::new(),
        in_the_way: Vec::new(),
        deletes,
        refused,
    };
    for extra in extras {
        if extra.ours && extra.kind != FileType::Directory {
            removals.leftovers.push(extra);
        } else if !deletes {
            removals.keep.push((extra, "it was not asked to be removed"));
        } else if extra.mount {
            removals.keep.push((extra, "something is mounted there"));
        } else if !plan.asked.covers(&plan.work.tree.path(extra.dir)) {
            removals.keep.push((extra, "it is outside the paths asked for"));
        } else {
            removals.remove.push(extra);
        }
    }
    removals
}

/// Why what the snapshot lacks may still be needed.
fn doubt(plan: &Plan, how: &InPlace) -> Option<String> {
    let losses = plan.losses.len() as u64;
    let counts = plan.counts;
    let unexplained = plan.snapshot_status == Status::Partial && counts.reasons().is_empty();
    if !plan.asked.tenants.is_empty() {
        Some("only some tenants were asked for, and others' data lies beside theirs".into())
    } else if losses > 0 {
        Some(format!("{losses} parts of the snapshot are lost, so it does not say what they held"))
    } else if plan.expired {
        Some("retention expired some tenants in this snapshot, so it does not say what they held".into())
    } else if counts.errors > 0 {
        Some(format!(
            "{} entries could not be read when it was backed up, so it does not hold them or what was in them",
            counts.errors
        ))
    } else if counts.erased > 0 {
        Some(format!(
            "the backup left out {} entries, with all below them, because officers had erased their tenant; what \
             lies there may be what came since",
            counts.erased
        ))
    } else if unexplained {
        Some("the snapshot is partial and does not say what it lacks".into())
    } else if plan.excluded > 0 && !how.delete_excluded {
        Some(format!(
            "the backup left out {} entries as configured, and they cannot be told from surplus ones; \
             --delete-excluded removes them too",
            plan.excluded
        ))
    } else {
        None
    }
}

impl Removals {
    /// Whether surplus entries are removed at all.
    pub(super) fn deletes(&self) -> bool {
        self.deletes
    }

    /// Names what is removed and what is kept.
    pub(super) fn tell(&self, tree: &Tree, seen: &[Option<Seen>], changes: &mut Changes) {
        for extra in &self.remove {
            changes.removed.add(|| below(tree, extra.dir, &extra.name));
        }
        for number in &self.in_the_way {
            let empty = seen.get(*number as usize).and_then(Option::as_ref).is_some_and(|seen| seen.empty);
            if !empty {
                changes.removed.add(|| tree.path(*number));
            }
        }
        for (extra, _) in &self.keep {
            changes.surplus.add(|| below(tree, extra.dir, &extra.name));
        }
        changes.not_removed.clone_from(&self.refused);
    }
}

/// Removes what lies where something else must be made, and what an earlier restore left.
///
/// # Errors
/// The restore must stop.
pub(in super::super) fn clear_the_way(site: &Site<'_>) -> Result<(), RestoreError> {
    let Some(existing) = &site.existing else { return Ok(()) };
    let mut dirs = dirs(site)?;
    for extra in &existing.removals.leftovers {
        remove(site, &mut dirs, extra.dir, &extra.name)?;
    }
    for number in &existing.removals.in_the_way {
        let Some(node) = site.work.tree.node(*number) else { continue };
        let removed =
            dirs.get(node.parent).and_then(|dir| remove_all(site, dir.as_fd(), site.work.tree.name(node)));
        site.settle(*number, removed)?;
        site.check()?;
    }
    Ok(())
}

/// Removes what nobody asked for.
///
/// # Errors
/// The restore must stop.
pub(in super::super) fn remove_surplus(site: &Site<'_>) -> Result<(), RestoreError> {
    let Some(existing) = &site.existing else { return Ok(()) };
    let mut dirs = dirs(site)?;
    for extra in &existing.removals.remove {
        remove(site, &mut dirs, extra.dir, &extra.name)?;
        site.check()?;
    }
    for (extra, why) in &existing.removals.keep {
        if existing.removals.deletes {
            let what = || format!("{} is kept: {why}", text::display(&extra.name));
            site.find(Severity::Note, extra.dir, what);
        }
    }
    Ok(())
}

fn remove(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, dir: u32, name: &[u8]) -> Result<(), RestoreError> {
    match dirs.get(dir).and_then(|held| remove_all(site, held.as_fd(), name)) {
        Ok(()) => Ok(()),
        Err(trouble) => match site.fatal(dir, trouble) {
            Some(error) => Err(error),
            None => {
                let what =
                    || format!("{} in it could not be removed: {}", text::display(name), trouble.words());
                site.find(Severity::Warning, dir, what);
                Ok(())
            }
        },
    }
}

/// Removes an entry with all below it, through no link and out of no mount.
fn remove_all(site: &Site<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Trouble> {
    let failed = |errno| Trouble::Errno("remove it", errno);
    let seen = match look(dir, name) {
        Ok(seen) => seen,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if seen.mount {
        return Err(failed(Errno::BUSY));
    }
    if seen.kind != FileType::Directory {
        return unlinkat(dir, name, AtFlags::empty()).map_err(failed);
    }
    let fd = site.root.open_dir(dir, name, OFlags::RDONLY).map_err(Trouble::again)?;
    for below in names_in(fd.as_fd()).map_err(failed)? {
        remove_all(site, fd.as_fd(), below.to_bytes())?;
    }
    drop(fd);
    unlinkat(dir, name, AtFlags::REMOVEDIR).map_err(failed)
}

fn dirs<'s, 'w>(site: &'s Site<'w>) -> Result<Dirs<'s, 'w>, RestoreError> {
    Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))
}

fn below(tree: &Tree, dir: u32, name: &[u8]) -> Vec<u8> {
    let mut path = tree.path(dir);
    if path == b"." {
        return name.to_vec();
    }
    path.push(b'/');
    path.extend_from_slice(name);
    path
}
