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

use crate::error::{RestoreError, SoFar};
use crate::ids::{IdMap, Resolved};
use crate::plan::Plan;
use crate::report::Report;
use crate::shares::workers;
use beneath::Root;
use site::Site;

mod beneath;
mod dirs;
mod fetch;
mod files;
mod metadata;
mod others;
mod parts;
mod site;

/// How a plan is performed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// How owners are mapped.
    pub ids: IdMap,
    /// Threads; as many as the machine has processors where nothing is said.
    pub workers: Option<NonZeroUsize>,
}

/// Performs a plan beneath `target`, which must be empty (but for a `lost+found`) or not be there: then it is
/// made, its parent must be there.
///
/// What cannot be had or made is in the report; the rest is restored. Success means that it is on the disk.
///
/// # Errors
/// The target is not empty, the machine cannot write (disk full), somebody meddles with the target, the store
/// keeps failing, or somebody asked to stop. What was restored by then stays, and the error says how much.
pub fn perform(
    store: &dyn Store,
    plan: &Plan,
    target: &Path,
    options: &Options,
    observer: &dyn Observer,
) -> Result<Report, RestoreError> {
    let begun = Instant::now();
    let (root, notes) = Root::open(target)?;
    let ids = Resolved::new(&options.ids, plan.work.tree.owners());
    let workers = options.workers.map_or_else(workers, NonZeroUsize::get);
    let mut site = Site::new(&plan.work, root, ids, workers, observer);
    site.start_from(plan, notes);
    observer.tell(Event::Planned { items: plan.entries, bytes: plan.bytes });
    let outcome = all_phases(&site, store, workers);
    site.flush();
    match outcome {
        Ok(()) => Ok(site.into_report(begun.elapsed())),
        Err(mut error) => {
            let (entries, bytes) = site.done();
            error.so_far = Some(SoFar { entries, planned: plan.entries, bytes });
            Err(error)
        }
    }
}

fn all_phases(site: &Site<'_>, store: &dyn Store, workers: usize) -> Result<(), RestoreError> {
    let phase = |name| site.observer.tell(Event::Phase(name));
    phase("making directories");
    others::make_dirs(site)?;
    phase("restoring files");
    fetch::files(site, store, workers)?;
    phase("restoring links and special files");
    others::make_links(site)?;
    others::make_specials(site)?;
    others::make_symlinks(site)?;
    phase("setting directories");
    others::set_dirs(site)?;
    phase("waiting for the disk");
    syncfs(&site.root.fd).map_err(|error| RestoreError::io(site.root.shown(), "bring it to the disk", error))
}

#[cfg(test)]
mod tests;
