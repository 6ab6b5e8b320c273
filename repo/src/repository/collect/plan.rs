//! What is to be condemned, and why: a value that can be printed.

use std::collections::BTreeSet;

use crate::ids::{ObjectName, PackId};
use crate::repository::collect::{OldState, Percent};
use crate::repository::maintainer::GcDraft;
use crate::units::Bytes;

/// What a gc record is to condemn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Packs, the deadest first.
    pub packs: Vec<CondemnedPack>,
    /// Index objects that name nothing else and know nothing that is live.
    pub indexes: Vec<CondemnedIndex>,
    /// Parts of states that newer ones took the place of. No record condemns them; every sweep deletes them.
    pub states: Vec<OldState>,
    /// Packs that hold something dead, or that no index names, and stay for now.
    pub left: Vec<LeftOut>,
    /// All packs that are there and not condemned yet.
    pub present: Totals,
    /// What is dead in them.
    pub dead: Bytes,
    /// Whether runs should be listed, though nothing is condemned: records wait for runs that no listing names.
    pub list_runs: bool,
}

/// A number of packs and their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// How many.
    pub packs: u64,
    /// How long together.
    pub bytes: Bytes,
}

/// A pack to be condemned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CondemnedPack {
    /// Which.
    pub pack: PackId,
    /// How long it is.
    pub length: Bytes,
    /// Why.
    pub reason: Reason,
}

/// An index object to be condemned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CondemnedIndex {
    /// Which.
    pub name: ObjectName,
    /// The packs it names that are there; all of them are to be condemned.
    pub packs: Vec<PackId>,
    /// Those that are not there although no record condemns them: they are condemned with it. One that comes back, out of a
    /// replica, would hold what nothing tells the chunks of, and writers who remember it would rely on it.
    pub gone: Vec<PackId>,
}

/// Why a pack is to be condemned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So much of its segments no snapshot needs.
    Dead {
        /// The share of dead bytes.
        share: Percent,
        /// What is live in it, and lies elsewhere or is to be copied.
        live: Bytes,
    },
    /// No index object names it, and nothing in it is live.
    Unnamed,
}

/// A pack that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub pack: PackId,
    /// Why.
    pub why: WhyLeft,
}

/// Why a pack stays for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyLeft {
    /// A run that is not over may still name it.
    Young,
    /// More would have to be copied than in one go.
    Later,
    /// No index names it, yet snapshots need segments in it: an index object is lost.
    IndexLost,
    /// No index names it, and what it holds cannot be read.
    Unreadable(String),
    /// A live segment in it is damaged, and lies whole nowhere else.
    Damaged(String),
}

impl Plan {
    /// Whether there is nothing to put into a record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.indexes.is_empty() && !self.list_runs
    }

    /// As a gc record says it.
    #[must_use]
    pub fn draft(&self) -> GcDraft {
        let gone = self.indexes.iter().flat_map(|one| &one.gone);
        let packs: BTreeSet<PackId> = self.packs.iter().map(|one| one.pack).chain(gone.copied()).collect();
        GcDraft {
            packs: packs.into_iter().collect(),
            indexes: self.indexes.iter().map(|one| one.name.clone()).collect(),
            ..GcDraft::default()
        }
    }

    /// Takes packs out of the plan, and index objects that name them.
    pub(super) fn leave(&mut self, left: Vec<LeftOut>) {
        let stays = |pack: &PackId| left.iter().any(|out| out.pack == *pack);
        self.packs.retain(|one| !stays(&one.pack));
        self.indexes.retain(|one| !one.packs.iter().any(stays));
        self.left.extend(left);
    }
}
