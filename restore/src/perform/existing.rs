//! A target that holds something already: what of it can stay, what must change, what nobody asked for.
//!
//! A *survey* looks at all of it before anything is changed: content by chunk ids, so that only segments with
//! something that differs are fetched. It gives every node a [`Fate`].
//!
//! How files are rewritten, and why:
//! - One that keeps some of its content is patched: only what differs is written into it, since a large database file
//!   must not need its size again. While that lasts it holds a mixture under its name; the marker of an unfinished
//!   restore lies in the target, and the same restore finishes it. When it is done it is read again as a whole.
//! - One that keeps nothing is replaced: another is made beside it and takes its name once it is whole. So is every
//!   file that has a name which is not the snapshot's business (somebody else's file would change with it), every
//!   program (one that runs cannot be written), and over a live root every file.

use std::collections::{HashMap, HashSet};

use lifeboat_repo::observe::Event;
use rustix::fs::FileType;

use super::InPlace;
use super::dirs::Dirs;
use super::marker::Marker;
use super::site::Site;
use crate::changes::Changes;
use crate::disk::FileId;
use crate::error::RestoreError;
use crate::plan::Plan;
use crate::tree::{Node, Role};
use crate::work::{Fetch, PartsOf, Sink, Use, Work};
use pieces::Pieces;
use removal::Removals;

mod compare;
pub(super) mod correct;
mod decide;
mod pieces;
pub(super) mod removal;
pub(super) mod rewrite;
mod walk;

/// What becomes of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing is there: it is made.
    Make,
    /// It is there as it must be.
    Keep,
    /// Its content is right; what it says of itself is set.
    Correct,
    /// Some of its content is right: the rest is written into it.
    Patch,
    /// Another is made and takes its name.
    Replace,
    /// Its content is lost: what is there stays.
    Leave,
    /// A directory lies in its place that may not be removed.
    Blocked,
}

/// What a survey found, and what is left to do.
pub(super) struct Existing {
    fates: Vec<Fate>,
    /// Files that are opened again, as they were seen.
    files: HashMap<u32, FileId>,
    /// Files that need nothing fetched, and work nevertheless.
    local: HashSet<u32>,
    pub(super) removals: Removals,
    pieces: Pieces,
    /// Whether each use of the plan is there already.
    satisfied: Vec<bool>,
    fetches: Vec<Fetch>,
    uses: Vec<Use>,
    part_pieces: Vec<u32>,
}

impl Existing {
    pub(super) fn fate(&self, node: u32) -> Fate {
        self.fates.get(node as usize).copied().unwrap_or(Fate::Make)
    }

    pub(super) fn fetches(&self) -> &[Fetch] {
        &self.fetches
    }

    pub(super) fn uses_of(&self, fetch: &Fetch) -> &[Use] {
        self.uses.get(fetch.uses.clone()).unwrap_or_default()
    }

    /// Files of several parts, with the parts that are still to come.
    pub(super) fn parts(&self, work: &Work) -> Vec<PartsOf> {
        let pieces = self.part_pieces.iter().copied();
        work.parts.iter().zip(pieces).map(|(part, pieces)| PartsOf { pieces, ..*part }).collect()
    }
}

/// Whether a file is made without anything fetched for it.
pub(super) fn is_made_alone(site: &Site<'_>, number: u32, node: &Node) -> bool {
    match &site.existing {
        None => node.role == Role::Bare,
        Some(existing) => match existing.fate(number) {
            Fate::Make => node.role == Role::Bare,
            _ => existing.local.contains(&number),
        },
    }
}

/// Looks at all of the target.
///
/// # Errors
/// It cannot be read, or somebody asked to stop.
pub(super) fn survey(
    site: &Site<'_>,
    plan: &Plan,
    marker: &Marker,
    how: &InPlace,
    workers: usize,
) -> Result<(Existing, Changes), RestoreError> {
    let phase = |name| site.observer.tell(Event::Phase(name));
    phase("looking at what is there");
    let walked = walk::walk(site, marker)?;
    phase("comparing what is there");
    let pieces = Pieces::new(site.work);
    let compared = compare::all(site, &walked.seen, &pieces, how.trust_times, workers)?;
    let removals = removal::decide(walked.extras, plan, how);
    let judge = |number: u32| compared.judged.get(number as usize).copied().unwrap_or_default();
    let decided = decide::decide(site.work, &walked.seen, &judge, how.over_live_root, removals.deletes());
    let mut removals = removals;
    removals.in_the_way = decided.in_the_way;
    let mut existing = Existing {
        files: opened_again(&decided.fates, &walked.seen),
        fates: decided.fates,
        local: HashSet::new(),
        removals,
        pieces,
        satisfied: compared.satisfied,
        fetches: Vec::new(),
        uses: Vec::new(),
        part_pieces: Vec::new(),
    };
    existing.reduce(site.work);
    let changes = existing.changes(site, &walked.seen);
    Ok((existing, changes))
}

/// Notes what is told before anything is done, and takes what attributes keep.
///
/// # Errors
/// There is no descriptor left.
pub(super) fn begin(site: &Site<'_>) -> Result<(), RestoreError> {
    let Some(existing) = &site.existing else { return Ok(()) };
    let mut dirs =
        Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))?;
    for (number, node) in site.work.tree.nodes() {
        match existing.fate(number) {
            Fate::Leave => {
                site.set_absent(number);
                let what = "its content is lost; what was there before is left as it was";
                site.find(crate::report::Severity::Missing, number, || what.into());
            }
            Fate::Blocked => {
                site.set_absent(number);
                let what = "a directory that is not empty lies in its place; --delete would remove it";
                site.find(crate::report::Severity::Missing, number, || what.into());
            }
            Fate::Correct | Fate::Patch | Fate::Replace => {
                compare::keep_values(site, &mut dirs, number, node, &existing.pieces, &existing.satisfied);
            }
            Fate::Make | Fate::Keep => {}
        }
    }
    Ok(())
}

impl Existing {
    /// Leaves out of the plan's work what is there already.
    fn reduce(&mut self, work: &Work) {
        let mut left: HashMap<u32, u32> = HashMap::new();
        for fetch in &work.fetches {
            let from = self.uses.len();
            let places = fetch.uses.clone().zip(work.uses_of(fetch));
            for (at, one) in places {
                let Some(node) = work.node_of(one.sink) else { continue };
                let idle = matches!(self.fate(node), Fate::Keep | Fate::Leave | Fate::Blocked);
                if idle || self.satisfied.get(at).copied().unwrap_or(false) {
                    continue;
                }
                *left.entry(node).or_default() += 1;
                self.uses.push(*one);
            }
            if self.uses.len() > from {
                self.fetches.push(Fetch { segment: fetch.segment.clone(), uses: from..self.uses.len() });
            }
        }
        self.part_pieces = work.parts.iter().map(|part| left.get(&part.node).copied().unwrap_or(0)).collect();
        let waits = |number: u32| left.contains_key(&number);
        let changes = |fate| matches!(fate, Fate::Correct | Fate::Patch | Fate::Replace);
        let files = work
            .tree
            .nodes()
            .filter(|(_, node)| matches!(node.role, Role::Bare | Role::Whole | Role::Parts(_)));
        self.local = files
            .map(|(number, _)| number)
            .filter(|number| changes(self.fate(*number)) && !waits(*number))
            .collect();
    }

    fn changes(&self, site: &Site<'_>, seen: &[Option<walk::Seen>]) -> Changes {
        let mut changes = Changes::default();
        for (number, node) in site.work.tree.nodes() {
            if node.role == Role::Implied && self.fate(number) == Fate::Keep {
                continue;
            }
            let count = match self.fate(number) {
                Fate::Make => &mut changes.made,
                Fate::Keep => &mut changes.unchanged,
                Fate::Correct => &mut changes.corrected,
                Fate::Patch => &mut changes.patched,
                Fate::Replace => &mut changes.replaced,
                Fate::Leave | Fate::Blocked => &mut changes.left,
            };
            *count += 1;
        }
        for one in &self.uses {
            if matches!(one.sink, Sink::File(_)) {
                changes.bytes.0 += u64::from(one.take);
            }
        }
        changes.segments = self.fetches.len() as u64;
        changes.fetch = self
            .fetches
            .iter()
            .filter_map(|fetch| fetch.segment.places.first())
            .map(|place| place.length)
            .sum();
        self.removals.tell(&site.work.tree, seen, &mut changes);
        changes
    }
}

/// Files that are opened again to be written or copied from.
fn opened_again(fates: &[Fate], seen: &[Option<walk::Seen>]) -> HashMap<u32, FileId> {
    let numbered = (0_u32..).zip(fates.iter().zip(seen));
    numbered
        .filter(|(_, (fate, _))| matches!(fate, Fate::Correct | Fate::Patch | Fate::Replace))
        .filter_map(|(number, (_, seen))| Some((number, seen.as_ref()?)))
        .filter(|(_, seen)| seen.kind == FileType::RegularFile)
        .map(|(number, seen)| (number, seen.id))
        .collect()
}
