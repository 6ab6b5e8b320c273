//! Which files a sample restores: a share of the tenants of every size, the largest tenant always among them.
//!
//! Files are drawn in blocks of neighbours, since neighbours share segments and a block spoils at most one segment at
//! each end. A tenant larger than a block is cut into blocks; smaller ones are put together with others of about their
//! size, which makes the strata. Of every stratum each n-th block is taken, from a place that the seed chooses, so the
//! sample has its share of each.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_repo::format::manifest::{Entry, EntryKind};
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::Selection;

use super::trials::Stratum;
use crate::sample::Seed;

#[cfg(test)]
mod tests;

/// A block is never larger.
const BLOCK_MAX: Bytes = Bytes::mib(16);
/// Nor has it more files, whatever its content.
const BLOCK_FILES_MAX: u64 = 1024;
/// So many blocks make a sample, where it is large enough: two for each trial.
const BLOCKS: f64 = 24.0;
/// From this share on the whole is restored: it takes hardly longer and leaves no doubt.
const WHOLE_FROM: f64 = 0.9;
/// A tenant is not cut finer than its segments, of each of which a block may use a little and fetch all.
const CUT_MIN: Bytes = Bytes::mib(4);
/// Tenants of up to so many bytes are taken for about one size.
const SIZES: [Bytes; 3] = [Bytes::kib(64), Bytes::mib(1), Bytes::mib(16)];

/// How much of a component to restore.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrialSize {
    /// All of it: the only proof that is none of extrapolation.
    Whole,
    /// About this much of it, drawn by a seed, and as many files as a sample needs; all of it if there is not much more.
    Sample {
        /// Bytes of content.
        bytes: Bytes,
        /// Draws the files.
        seed: Seed,
    },
    /// About this share of it, between 0 and 1.
    Share {
        /// The share.
        share: f64,
        /// Draws the files.
        seed: Seed,
    },
}

/// The least that a sample restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Bytes of content.
    pub bytes: Bytes,
    /// Regular files.
    pub files: u64,
}

/// Files that are restored together.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    pub(super) selection: Selection,
    class: usize,
}

impl Block {
    fn files(&self) -> u64 {
        self.selection.paths.len() as u64
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.selection.paths.extend(other.selection.paths);
        self.selection.tenants.extend(other.selection.tenants);
    }
}

/// A sample, ready to be restored in trials.
pub(super) struct Drawn {
    /// What each trial restores.
    pub(super) trials: Vec<Block>,
    /// What it was drawn from.
    pub(super) strata: Vec<Stratum>,
}

/// Draws blocks while entries pass by; holds no more than the sample and a few blocks.
pub(super) struct Drawing {
    share: f64,
    seed: Seed,
    block: Bytes,
    block_files: u64,
    /// By class: how far the counting is, and a block that is not full.
    open: BTreeMap<usize, (f64, Block)>,
    tenant: Option<Current>,
    /// The size of the largest tenant so far, and what to draw if nothing of it is.
    largest: (Bytes, Block),
    drawn: Vec<Block>,
    strata: Vec<Stratum>,
}

/// The tenant whose entries pass by.
struct Current {
    name: Tenant,
    bytes: Bytes,
    files: u64,
    block: Block,
    first: Option<Block>,
}

impl Drawing {
    /// Nothing where the whole is to be restored.
    pub(super) fn new(size: TrialSize, bytes: Bytes, files: u64, least: Least) -> Option<Self> {
        let of = |wanted: u64, all: u64| if all == 0 { 0.0 } else { wanted as f64 / all as f64 };
        let (share, seed) = match size {
            TrialSize::Whole => return None,
            TrialSize::Share { share, seed } => (share, seed),
            TrialSize::Sample { bytes: wanted, seed } => {
                (of(wanted.max(least.bytes).0, bytes.0).max(of(least.files, files)), seed)
            }
        };
        if bytes == Bytes::ZERO || share >= WHOLE_FROM {
            return None;
        }
        let (smallest, each) = (Bytes(least.bytes.0 / 16), share / BLOCKS);
        let names =
            ["tenants of up to 64 kB", "tenants of up to 1 MB", "tenants of up to 16 MB", "larger tenants"];
        Some(Self {
            share,
            seed,
            block: Bytes(part(bytes.0, each)).max(smallest).min(BLOCK_MAX),
            block_files: part(files, each).clamp(least.files / 16, BLOCK_FILES_MAX).max(1),
            open: BTreeMap::new(),
            tenant: None,
            largest: (Bytes::ZERO, Block::default()),
            drawn: Vec::new(),
            strata: names.map(|name| Stratum { name: name.into(), ..Stratum::default() }).into(),
        })
    }

    /// Takes the next entry.
    pub(super) fn take(&mut self, tenant: &Tenant, entry: &Entry) {
        if entry.kind != EntryKind::File {
            return;
        }
        if self.tenant.as_ref().is_none_or(|current| current.name != *tenant) {
            self.end_tenant();
            self.tenant = Some(Current::new(tenant));
        }
        let (limit, files) = (self.block.max(CUT_MIN), self.block_files);
        let Some(current) = &mut self.tenant else { return };
        let many = current.block.files() >= files && current.block.bytes >= self.block;
        let full = current.block.bytes >= limit || many || current.block.files() >= BLOCK_FILES_MAX;
        let done = full.then(|| std::mem::take(&mut current.block));
        current.bytes += entry.size;
        current.files += 1;
        current.block.bytes += entry.size;
        current.block.selection.paths.push(entry.path.clone());
        if let Some(block) = done {
            self.of_large(block);
        }
    }

    /// A block of a tenant that has more.
    fn of_large(&mut self, mut block: Block) {
        block.class = SIZES.len();
        let Some(mut current) = self.tenant.take() else { return };
        block.selection.tenants = BTreeSet::from([current.name.clone()]);
        if current.first.is_none() {
            current.first = Some(block.clone());
        }
        self.count(block);
        self.tenant = Some(current);
    }

    fn end_tenant(&mut self) {
        let Some(mut current) = self.tenant.take() else { return };
        let mut rest = std::mem::take(&mut current.block);
        rest.selection.tenants = BTreeSet::from([current.name.clone()]);
        let large = current.first.is_some();
        rest.class = if large {
            SIZES.len()
        } else {
            SIZES.iter().position(|size| current.bytes <= *size).unwrap_or(SIZES.len())
        };
        if let Some(stratum) = self.strata.get_mut(rest.class) {
            stratum.tenants += 1;
            stratum.bytes += current.bytes;
            stratum.files += current.files;
        }
        if current.bytes > self.largest.0 {
            let first = current.first.take().unwrap_or_else(|| rest.clone());
            self.largest = (current.bytes, first);
        }
        // The end of a large tenant is short: it goes with what comes next of its kind.
        if rest.files() > 0 {
            self.gather(rest);
        }
    }

    /// Puts the files of small tenants together.
    fn gather(&mut self, unit: Block) {
        let class = unit.class;
        let (_, open) =
            self.open.entry(class).or_insert_with(|| (offset(&self.seed, class), Block::default()));
        open.class = class;
        open.add(unit);
        if open.bytes >= self.block || open.files() >= self.block_files {
            let block = std::mem::take(open);
            self.count(block);
        }
    }

    /// Counts a block, and draws it where it is its turn.
    fn count(&mut self, block: Block) {
        let class = block.class;
        let (at, _) = self.open.entry(class).or_insert_with(|| (offset(&self.seed, class), Block::default()));
        let before = at.floor();
        *at += self.share;
        if at.floor() > before {
            self.draw(block);
        }
    }

    fn draw(&mut self, block: Block) {
        if let Some(stratum) = self.strata.get_mut(block.class) {
            stratum.drawn_bytes += block.bytes;
            stratum.drawn_files += block.files();
        }
        self.drawn.push(block);
    }

    /// The sample, divided into at most so many trials.
    pub(super) fn finish(mut self, trials: usize) -> Drawn {
        self.end_tenant();
        let open: Vec<Block> = std::mem::take(&mut self.open)
            .into_iter()
            .map(|(class, (at, block))| {
                self.open.insert(class, (at, Block::default()));
                block
            })
            .filter(|block| block.files() > 0)
            .collect();
        for block in open {
            let none = self.strata.get(block.class).is_some_and(|stratum| stratum.drawn_files == 0);
            // Of every stratum something is in the sample.
            if none {
                self.draw(block);
            } else {
                self.count(block);
            }
        }
        let in_sample = |drawn: &[Block], tenants: &BTreeSet<Tenant>| {
            drawn.iter().any(|block| !block.selection.tenants.is_disjoint(tenants))
        };
        let (_, first) = std::mem::take(&mut self.largest);
        if first.files() > 0 && !in_sample(&self.drawn, &first.selection.tenants) {
            self.draw(first);
        }
        self.strata.retain(|stratum| stratum.tenants > 0);
        Drawn { trials: divide(self.drawn, trials), strata: self.strata }
    }
}

impl Current {
    fn new(name: &Tenant) -> Self {
        let (bytes, files, block) = (Bytes::ZERO, 0, Block::default());
        Self { name: name.clone(), bytes, files, block, first: None }
    }
}

/// Divides blocks into trials of about the same effort. Blocks of like files go together, so that trials differ in how
/// many files they make for a byte, and what each costs can be told apart.
fn divide(mut blocks: Vec<Block>, trials: usize) -> Vec<Block> {
    let size = |block: &Block| block.bytes.0 as f64 / block.files().max(1) as f64;
    blocks.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let bytes: f64 = blocks.iter().map(|block| block.bytes.0 as f64).sum::<f64>().max(1.0);
    let files: f64 = blocks.iter().map(|block| block.files() as f64).sum::<f64>().max(1.0);
    let mut made: Vec<Block> = Vec::new();
    let mut before = 0.0;
    let mut last = usize::MAX;
    for block in blocks {
        let effort = block.bytes.0 as f64 / bytes + block.files() as f64 / files;
        let place = place(before + effort / 2.0, trials);
        before += effort;
        match made.last_mut().filter(|_| last == place) {
            Some(trial) => trial.add(block),
            None => made.push(block),
        }
        last = place;
    }
    made
}

/// In which of so many trials something stands in whose middle this much effort of 2 is done.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and the number of trials"
)]
fn place(effort: f64, trials: usize) -> usize {
    ((effort / 2.0 * trials as f64).max(0.0) as usize).min(trials.saturating_sub(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates"
)]
fn part(of: u64, share: f64) -> u64 {
    (of as f64 * share) as u64
}

/// Where counting begins in a stratum, between 0 and 1.
fn offset(seed: &Seed, class: usize) -> f64 {
    let score = u64::from_be_bytes(seed.score(format!("stratum {class}").as_bytes()));
    score as f64 / u64::MAX as f64 * 0.999_999
}
