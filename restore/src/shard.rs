//! Shards: a plan divided among processes that never speak to each other.
//!
//! Each process reads the same manifests, so each can work out the same division. Shard *i* of *n* restores the regular
//! files whose middle lies in the *i*-th of *n* equal parts of all content, in the order of the manifests: neighbours
//! stay together, so that few segments are fetched by two. A file belongs to one shard, however large it is. Whatever
//! has no content (further names, links, special files, what directories say of themselves) is left to the process that
//! finishes, and so is what is lost: one process then says what there is not.
//!
//! What divides is known from manifests alone, never from what of the content can be had at the moment; a digest over
//! it lies in the target, so that a process which reads the manifests otherwise is refused and nothing falls between.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::str::FromStr;

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::units::Bytes;

use crate::perform::mark_name;
use crate::plan::Plan;
use crate::report::FindingCounts;
use crate::tree::{Node, Role};
use crate::work::{Fetch, PartsOf, Sink, Use, Work};

/// The most shards: whoever finishes holds a descriptor for each.
pub const SHARDS_MAX: u32 = 256;

/// What making a file costs, as so much content. Creating one over a network takes a few milliseconds.
const FILE_COST: Bytes = Bytes::kib(64);

/// One of several parts of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: NonZeroU32,
}

/// Why a text or a number names no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a shard: {0}")]
pub struct BadShard(String);

/// How a plan is divided, and what of it one process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// The shard; none for the process that finishes.
    pub(crate) number: Option<u32>,
    pub(crate) of: u32,
    /// Of everything that divides.
    pub(crate) digest: [u8; 32],
    /// The name of the mark in the target. It depends on all of the plan.
    pub(crate) mark: Vec<u8>,
}

impl Shard {
    /// Shard `number`, counted from 1, of `of`.
    ///
    /// # Errors
    /// There is none of that number, or too many in all.
    pub fn new(number: u32, of: u32) -> Result<Self, BadShard> {
        match NonZeroU32::new(of).filter(|of| of.get() <= SHARDS_MAX) {
            None => Err(BadShard(format!("there are 1 to {SHARDS_MAX} shards, not {of}"))),
            Some(of) if (1..=of.get()).contains(&number) => Ok(Self { number, of }),
            Some(of) => {
                Err(BadShard(format!("shards of {of} are counted from 1 to {of}, so {number} is none")))
            }
        }
    }

    /// Its number, counted from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How many there are.
    #[must_use]
    pub fn of(&self) -> u32 {
        self.of.get()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = BadShard;

    fn from_str(text: &str) -> Result<Self, BadShard> {
        let digits =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let parts = text.split_once('/').and_then(|(number, of)| Some((digits(number)?, digits(of)?)));
        let (number, of) = parts.ok_or_else(|| BadShard("write 3/16 for the third of sixteen".into()))?;
        Self::new(number, of)
    }
}

impl Plan {
    /// The part of a plan that is one shard's: its files, and the directories they lie in.
    ///
    /// Findings and losses that are known already are left to whoever finishes.
    #[must_use]
    pub fn into_shard(self, shard: Shard) -> Self {
        let division = Division::of(&self, Some(shard.number), shard.of());
        let wanted = borders(&self.work, shard);
        let work = self.work.files_alone(&wanted);
        let files = work.tree.nodes().filter(|(_, node)| is_file(node)).count() as u64;
        let content = work.uses.iter().filter(|one| matches!(one.sink, Sink::File(_)));
        let bytes = content.map(|one| Bytes(u64::from(one.take))).sum();
        Self {
            entries: files,
            files,
            bytes,
            segments: work.fetches.len() as u64,
            objects: work.objects(),
            fetch: work.stored(),
            findings: Vec::new(),
            finding_counts: FindingCounts::default(),
            losses: Vec::new(),
            division: Some(division),
            work,
            ..self
        }
    }

    /// The plan of whoever finishes what `of` shards restored.
    #[must_use]
    pub fn into_finish(self, of: u32) -> Self {
        let division = Division::of(&self, None, of);
        Self { division: Some(division), ..self }
    }
}

impl Division {
    fn of(plan: &Plan, number: Option<u32>, of: u32) -> Self {
        Self { number, of, digest: digest(&plan.work), mark: mark_name(&plan.work.tree) }
    }
}

/// Whether a node is a file of any kind.
fn is_file(node: &Node) -> bool {
    matches!(node.role, Role::Bare | Role::Whole | Role::Parts(_) | Role::Gone)
}

impl Work {
    /// What restoring a file takes, as far as its manifest tells.
    fn weight(&self, number: u32, node: &Node) -> u64 {
        let content =
            if node.sparse { self.sparse.get(&number).copied().unwrap_or_default() } else { node.size };
        content.0.saturating_add(FILE_COST.0)
    }

    /// The same work for some files alone: those that can be had whole, with the directories they lie in.
    fn files_alone(self, wanted: &Range<u32>) -> Self {
        let parts = self.parts;
        let whole = |role| match role {
            Role::Bare | Role::Whole => true,
            Role::Parts(part) => parts.get(part as usize).is_some_and(|part| part.lost == Bytes::ZERO),
            _ => false,
        };
        let (mut tree, numbers) =
            self.tree.files_alone(|number, node| wanted.contains(&number) && whole(node.role));
        let mut own_parts: Vec<PartsOf> = Vec::new();
        for part in parts {
            if let Some(node) = numbers.get(&part.node) {
                // There are no more than there were.
                tree.set_role(*node, Role::Parts(u32::try_from(own_parts.len()).unwrap_or(u32::MAX)));
                own_parts.push(PartsOf { node: *node, ..part });
            }
        }
        let mut values = self.values;
        let mut wanted_values = vec![false; values.len()];
        for (value, is_wanted) in values.iter_mut().zip(&mut wanted_values) {
            if let Some(node) = numbers.get(&value.node) {
                (value.node, *is_wanted) = (*node, true);
            }
        }
        let (mut fetches, mut uses) = (Vec::new(), Vec::new());
        for fetch in self.fetches {
            let from = uses.len();
            // A use knows its segment by its place among the fetches. There are no more than there were.
            let segment = u32::try_from(fetches.len()).unwrap_or(u32::MAX);
            for one in self.uses.get(fetch.uses.clone()).unwrap_or_default() {
                let sink = match one.sink {
                    Sink::File(node) => numbers.get(&node).map(|node| Sink::File(*node)),
                    Sink::Value(at) => wanted_values.get(at as usize).filter(|is| **is).map(|_| one.sink),
                };
                uses.extend(sink.map(|sink| Use { segment, sink, ..*one }));
            }
            if uses.len() > from {
                fetches.push(Fetch { segment: fetch.segment, uses: from..uses.len() });
            }
        }
        let sparse = self.sparse.into_iter();
        let sparse = sparse.filter_map(|(node, content)| Some((*numbers.get(&node)?, content))).collect();
        Self { tree, keys: self.keys, fetches, uses, parts: own_parts, values, sparse, again: self.again }
    }
}

/// The nodes between which a shard's files lie: those whose middle falls into its part of all content.
fn borders(work: &Work, shard: Shard) -> Range<u32> {
    let files = || work.tree.nodes().filter(|(_, node)| is_file(node));
    let total: u128 = files().map(|(number, node)| u128::from(work.weight(number, node))).sum();
    let (of, own) = (u128::from(shard.of()), u128::from(shard.number - 1));
    let (mut before, mut from, mut to) = (0_u128, None, 0);
    for (number, node) in files() {
        let weight = u128::from(work.weight(number, node));
        // The middle, twice, so that it is a whole number; below twice the total, since no weight is nothing.
        let middle = 2 * before + weight;
        before += weight;
        if middle * of / (2 * total) == own {
            from.get_or_insert(number);
            to = number + 1;
        }
    }
    from.unwrap_or(to)..to
}

/// A digest of everything that divides, and of every name: equal for all who read the same manifests.
fn digest(work: &Work) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (number, node) in work.tree.nodes() {
        let kind = match node.role {
            Role::Implied | Role::Dir => b'd',
            Role::Bare | Role::Whole | Role::Parts(_) | Role::Gone => b'f',
            Role::Link(_) => b'h',
            Role::Symlink => b'l',
            Role::Special(_) => b's',
        };
        let weight = if is_file(node) { work.weight(number, node) } else { 0 };
        let name = work.tree.name(node);
        hash.update(&[kind]);
        hash.update(&node.parent.to_le_bytes());
        hash.update(&weight.to_le_bytes());
        hash.update(&Bytes::of(name).0.to_le_bytes());
        hash.update(name);
    }
    hash.finish()
}

#[cfg(test)]
mod tests;
