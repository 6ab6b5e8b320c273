//! From what is there and what of it is right to what is done: a pure function.

use std::collections::HashMap;

use rustix::fs::FileType;

use super::Fate;
use super::walk::Seen;
use crate::disk::FileId;
use crate::tree::{Node, Role};
use crate::work::Work;

/// What comparing said of an entry that has the kind it should.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// Its content is right: that of a file, what a link says, the numbers of a device.
    pub(super) content: bool,
    /// Some of its content is right.
    pub(super) kept: bool,
    /// Owner, mode, time and attributes are right.
    pub(super) metadata: bool,
}

/// What is done.
pub(super) struct Decided {
    pub(super) fates: Vec<Fate>,
    /// What is removed before anything is made in its place.
    pub(super) in_the_way: Vec<u32>,
}

/// The names that inodes have in the tree.
struct Names {
    /// How many names of one file of the snapshot lead to one inode.
    counts: HashMap<(u32, FileId), u32>,
    /// The first file of the snapshot that claims an inode; no other may keep it.
    claims: HashMap<FileId, u32>,
}

pub(super) fn decide(
    work: &Work,
    seen: &[Option<Seen>],
    judged: &dyn Fn(u32) -> Judged,
    live: bool,
    deletes: bool,
) -> Decided {
    let names = Names::of(work, seen);
    let mut decided = Decided { fates: Vec::with_capacity(seen.len()), in_the_way: Vec::new() };
    for ((number, node), seen_here) in work.tree.nodes().zip(seen) {
        let first = match node.role {
            Role::Link(first) => {
                Some((decided.fate(first), seen.get(first as usize).and_then(Option::as_ref)))
            }
            _ => None,
        };
        let fate = match seen_here {
            None => Fate::Make,
            Some(here) if wants_way(node, here) => {
                if here.kind != FileType::Directory || here.empty || (deletes && !here.mount) {
                    decided.in_the_way.push(number);
                    Fate::Make
                } else {
                    Fate::Blocked
                }
            }
            Some(here) => match first {
                Some((first_fate, first_seen)) => of_link(here, first_fate, first_seen),
                None => names.of_entry(work, number, node, here, judged(number), live),
            },
        };
        decided.fates.push(fate);
    }
    decided
}

impl Decided {
    fn fate(&self, number: u32) -> Fate {
        self.fates.get(number as usize).copied().unwrap_or(Fate::Make)
    }
}

/// Whether what is there must go before the node can be made: a directory where none belongs, or anything else where
/// one belongs. All else is replaced by a rename.
fn wants_way(node: &Node, here: &Seen) -> bool {
    let is_dir = matches!(node.role, Role::Dir | Role::Implied);
    is_dir != (here.kind == FileType::Directory) && node.role != Role::Gone
}

fn of_link(here: &Seen, first_fate: Fate, first: Option<&Seen>) -> Fate {
    match first_fate {
        Fate::Leave | Fate::Blocked => Fate::Leave,
        Fate::Keep | Fate::Correct | Fate::Patch if first.is_some_and(|first| first.id == here.id) => {
            Fate::Keep
        }
        _ => Fate::Replace,
    }
}

impl Names {
    fn of(work: &Work, seen: &[Option<Seen>]) -> Self {
        let mut names = Self { counts: HashMap::new(), claims: HashMap::new() };
        for ((number, node), seen) in work.tree.nodes().zip(seen) {
            let Some(seen) = seen.as_ref().filter(|seen| seen.links > 1 && seen.kind != FileType::Directory)
            else {
                continue;
            };
            let first = if let Role::Link(first) = node.role { first } else { number };
            *names.counts.entry((first, seen.id)).or_default() += 1;
            if first == number {
                names.claims.entry(seen.id).or_insert(number);
            }
        }
        names
    }

    fn of_entry(
        &self,
        work: &Work,
        number: u32,
        node: &Node,
        here: &Seen,
        judged: Judged,
        live: bool,
    ) -> Fate {
        let claimed = self.claims.get(&here.id).is_none_or(|first| *first == number);
        // Every name of it is one that the snapshot has for this very file.
        let own = here.links <= 1 || self.counts.get(&(number, here.id)) == Some(&here.links);
        let right = judged.content && judged.metadata;
        match node.role {
            Role::Implied => Fate::Keep,
            Role::Dir if judged.metadata => Fate::Keep,
            Role::Dir => Fate::Correct,
            Role::Gone => Fate::Leave,
            Role::Parts(part) if work.parts.get(part as usize).is_some_and(|part| part.lost.0 > 0) => {
                Fate::Leave
            }
            _ if right && claimed => Fate::Keep,
            Role::Bare | Role::Whole | Role::Parts(_)
                if here.kind == FileType::RegularFile && claimed && own =>
            {
                // A program that runs cannot be written, and not everybody can write what says that nobody may.
                let writable = here.mode & 0o111 == 0 && here.mode & 0o200 != 0;
                match judged {
                    Judged { content: true, .. } => Fate::Correct,
                    Judged { kept: true, .. } if writable && !live => Fate::Patch,
                    _ => Fate::Replace,
                }
            }
            _ => Fate::Replace,
        }
    }
}
