//! Performing a plan: fetch every segment once, write beneath the target, set metadata.
//!
//! Order, and why: directories first, for their owner alone, so that nobody meets half a tree; then files, segment
//! by segment; then further names and special files; symbolic links last of all, so that nothing made later could
//! pass through one; then what directories say of themselves, deepest first, since making an entry changes its
//! directory's time and a restored mode may forbid entering.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::store::Store;
use rustix::fs::syncfs;

use crate::changes::Changes;
use crate::error::{RestoreError, SoFar};
use crate::ids::{IdMap, Resolved};
use crate::plan::Plan;
use crate::report::{Report, Severity};
use crate::shares::workers;
use crate::tree::{ROOT, Role};
use existing::removal;
use metadata::Handle;
use shards::Held;
use site::Site;
use target::{Allowed, State, Target};

mod beneath;
mod dirs;
mod existing;
mod fetch;
mod files;
mod marker;
mod metadata;
mod others;
mod parts;
mod shards;
mod site;
mod target;
mod values;

pub(crate) use marker::mark_name;
pub use shards::{Sharded, sharded};

/// How a plan is performed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How owners are mapped.
    pub ids: IdMap,
    /// Threads; as many as the machine has processors where nothing is said.
    pub workers: Option<NonZeroUsize>,
    /// Brings what is in the target to the snapshot's state, where that is allowed.
    pub in_place: Option<InPlace>,
}

/// How a target that holds something is restored into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InPlace {
    /// Removes what the snapshot does not have.
    pub delete: bool,
    /// Removes it also where the backup left things out as configured, which look the same.
    pub delete_excluded: bool,
    /// Takes a file whose length and time are right for right, and does not read it. Never trusted in what an
    /// interrupted restore left.
    pub trust_times: bool,
    /// The target may be the root of this system or of a running process. Then no file is written while it has its
    /// name: each that differs is replaced whole.
    pub over_live_root: bool,
}

impl Options {
    fn allowed(&self) -> Allowed {
        let live = self.in_place.is_some_and(|how| how.over_live_root);
        Allowed { full: self.in_place.is_some(), live }
    }
}

/// Performs a plan beneath `target`: an empty directory (but for a `lost+found`), or one that is not there and is made,
/// its parent must be there; or what the same restore left unfinished; or, in place, any directory.
///
/// What cannot be had or made is in the report; the rest is restored. Success means that it is on the disk. What is cut
/// off, by an error or a crash, is continued by doing the same again: only what is missing is fetched.
///
/// A plan that is a shard ([`Plan::into_shard`]) may be performed beside the other shards, in any order, by processes of
/// any hosts that see the target; it makes files alone. [`Plan::into_finish`] is performed when all are complete.
///
/// # Errors
/// The target may not be written into, the machine cannot write (disk full), somebody meddles with the target, the
/// store keeps failing, or somebody asked to stop. What was restored by then stays, and the error says how much.
pub fn perform(
    store: &dyn Store,
    plan: &Plan,
    target: &Path,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Report, RestoreError> {
    let begun = Instant::now();
    let Target { root, state, mut marker, marked, notes, locks: _locks, shards } =
        target::open(target, plan, options.allowed())?;
    let ids = Resolved::new(&options.ids, plan.work.tree.owners());
    let workers = options.workers.map_or_else(workers, NonZeroUsize::get);
    let mut site = Site::new(&plan.work, root, ids, workers, observer);
    site.start_from(plan, notes);
    site.shard = plan.division.as_ref().and_then(|division| division.number);
    let mut changes = None;
    if state != State::Empty {
        let how = match &shards {
            Some(held) => InPlace { trust_times: held.trusted, ..InPlace::default() },
            None => how_of(options, marked),
        };
        let (existing, mut found) = existing::survey(&site, plan, &marker, &how, workers)?;
        found.continues = state == State::Unfinished;
        site.adopt(existing);
        observer.tell(Event::Planned { items: found.touched(), bytes: found.bytes });
        changes = Some(found);
    } else {
        observer.tell(Event::Planned { items: plan.entries, bytes: plan.bytes });
    }
    // Where nothing is to be done, nothing is written at all.
    let marks =
        changes.as_ref().is_none_or(|changes| changes.touched() > 0 || changes.removed.count > 0) || marked;
    if let Some(held) = &shards {
        let writes = changes.as_ref().is_none_or(|changes| changes.touched() > 0);
        let writes_files = changes.as_ref().is_some_and(Changes::writes_files);
        if writes {
            held.begin(&site.root, &marker, writes_files)?;
        }
    } else if marks {
        marker.put(&site.root)?;
    }
    let outcome = all_phases(&site, store, workers).and_then(|()| match &shards {
        Some(held) => complete(&site, plan, held, &mut marker),
        None if marks => unmark(&site, &mut marker),
        None => Ok(()),
    });
    site.flush();
    if shards.as_ref().is_some_and(Held::finishes) {
        // What was there is what shards restored, unless something of it had to be mended.
        changes = changes.filter(|changes| changes.writes_files() || changes.surplus.count > 0);
    }
    match outcome {
        Ok(()) => Ok(Report { changes, ..site.into_report(begun.elapsed()) }),
        Err(mut error) => {
            let (entries, bytes) = site.done();
            error.so_far = Some(SoFar { entries, planned: plan.entries, bytes });
            Err(error)
        }
    }
}

/// What [`perform`] would change in a target that holds something; none where it is empty or not there. Nothing is
/// changed.
///
/// # Errors
/// The target may not be written into, or cannot be read.
pub fn preview(
    plan: &Plan,
    target: &Path,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Option<Changes>, RestoreError> {
    if plan.division.is_some() {
        return shards::look(target, plan).map(|()| None);
    }
    let Some(Target { root, state, marker, marked, .. }) = target::peek(target, plan, options.allowed())?
    else {
        return Ok(None);
    };
    if state == State::Empty {
        return Ok(None);
    }
    let ids = Resolved::new(&options.ids, plan.work.tree.owners());
    let workers = options.workers.map_or_else(workers, NonZeroUsize::get);
    let mut site = Site::new(&plan.work, root, ids, workers, observer);
    site.may_change = false;
    let (_, mut changes) = existing::survey(&site, plan, &marker, &how_of(options, marked), workers)?;
    changes.continues = state == State::Unfinished;
    Ok(Some(changes))
}

/// A crash of the machine may have kept a file's time and not its content, whichever restore it cut off.
fn how_of(options: &Options, marked: bool) -> InPlace {
    let how = options.in_place.unwrap_or_default();
    InPlace { trust_times: how.trust_times && !marked, ..how }
}

fn all_phases(site: &Site<'_>, store: &dyn Store, workers: usize) -> Result<(), RestoreError> {
    let phase = |name| site.observer.tell(Event::Phase(name));
    existing::begin(site)?;
    phase("making directories");
    removal::clear_the_way(site)?;
    others::make_dirs(site)?;
    phase("restoring files");
    fetch::files(site, store, workers)?;
    phase("restoring links and special files");
    others::make_links(site)?;
    others::make_specials(site)?;
    others::make_symlinks(site)?;
    others::make_links_of_others(site)?;
    removal::remove_surplus(site)?;
    if site.shard.is_none() {
        phase("setting directories");
        others::set_dirs(site)?;
    }
    phase("waiting for the disk");
    sync(site)
}

fn sync(site: &Site<'_>) -> Result<(), RestoreError> {
    syncfs(&site.root.fd).map_err(|error| RestoreError::io(site.root.shown(), "bring it to the disk", error))
}

/// Notes that a shard is complete; or, when all are brought together, that the restore is.
fn complete(
    site: &Site<'_>,
    plan: &Plan,
    held: &Held,
    marker: &mut marker::Marker,
) -> Result<(), RestoreError> {
    if held.finishes() {
        site.flush();
        site.add_shards(plan, held.fetched);
        // From here on marks of shards go, and no longer tell that they are complete.
        marker.put_finishing(&site.root)?;
        return unmark(site, marker);
    }
    // What may be had after all when the store works again is worth another run of this shard.
    if site.is_unchecked() { Ok(()) } else { held.complete(&site.root, marker, site.fetched()) }
}

/// Removes the mark of an unfinished restore, and sets the time of the root once more, which that changed.
fn unmark(site: &Site<'_>, marker: &mut marker::Marker) -> Result<(), RestoreError> {
    use std::os::fd::AsFd;
    marker.remove(&site.root)?;
    if let Some(node) = site.work.tree.node(ROOT).filter(|node| node.role == Role::Dir)
        && let Err(errno) = Handle::File(site.root.fd.as_fd()).touch(node.mtime)
    {
        site.find(Severity::Warning, ROOT, || format!("its time could not be set: {errno}"));
    }
    sync(site)
}

#[cfg(test)]
mod tests;
