//! What is told of a backup that made a snapshot.

use std::collections::HashMap;
use std::time::Duration;

use lifeboat_repo::format::snapshot::{Counts, Status};
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::exclude::Excluded;
use crate::hooks::HookFailure;

/// Problems that a report names; the rest is counted.
const PROBLEMS_NAMED: usize = 1000;

/// A backup that made a snapshot.
#[derive(Debug)]
pub struct Report {
    /// The snapshot's object name.
    pub snapshot: ObjectName,
    /// Its run.
    pub run: RunId,
    /// The run it was compared with.
    pub parent: Option<RunId>,
    /// Whether it holds everything asked for.
    pub status: Status,
    /// Totals.
    pub counts: Counts,
    /// Tenants in it, `_system` included.
    pub tenants: usize,
    /// Bytes stored anew.
    pub stored: Bytes,
    /// Packs stored anew.
    pub packs: u64,
    /// What was stored anew only because too little lived where it lay.
    pub rewritten: Rewritten,
    /// What went wrong on the way.
    pub problems: Problems,
    /// What was left out, as configured.
    pub excluded: Excluded,
    /// Hooks that failed once the snapshot was made.
    pub hook_failures: Vec<HookFailure>,
    /// The moment up to which it holds data.
    pub recovery_point: Timestamp,
    /// How long it took.
    pub duration: Duration,
}

/// Segments that a backup took for absent, because too little of them lived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// How many.
    pub segments: u64,
    /// What lived in them when the backup began.
    pub bytes: Bytes,
}

/// Something in the source that could not be backed up as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path, relative to the component's root.
    pub path: Vec<u8>,
    /// What kind of problem.
    pub kind: ProblemKind,
    /// What happened.
    pub why: String,
}

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// It could not be read.
    Unreadable,
    /// It was gone when its turn came.
    Vanished,
    /// It kept changing while it was read.
    Changed,
    /// It belongs to no declared tenant.
    Undeclared,
    /// It lies where a tenant's data does, under a name that no tenant can have; it was taken as nobody's.
    Misnamed,
    /// There is nothing in the whole tree.
    Empty,
    /// It belongs to a tenant that officers erased; it was not taken.
    Erased,
}

/// Problems: the first by name, all by number.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// The first of them.
    pub named: Vec<Problem>,
    /// How many there are of each kind.
    pub totals: HashMap<ProblemKind, u64>,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        *self.totals.entry(problem.kind).or_default() += 1;
        if self.named.len() < PROBLEMS_NAMED {
            self.named.push(problem);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.totals.values().sum()
    }

    /// How many there are of a kind.
    #[must_use]
    pub fn of(&self, kind: ProblemKind) -> u64 {
        self.totals.get(&kind).copied().unwrap_or(0)
    }
}
