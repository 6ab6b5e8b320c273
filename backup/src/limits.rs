//! How much of the machine a backup may use.
//!
//! Memory goes to buffers between stages, so a limit on it decides how many of them there are. What grows with
//! the repository is not among it: 16 bytes a chunk that the writer ever stored, once something new is met.

use std::num::NonZero;

use lifeboat_repo::units::Bytes;

/// Whatever the program holds before the first byte is read, catalog and tables of packs included.
const BASE: Bytes = Bytes::mib(24);
/// A worker reads and seals: a window and a queue of a large file (10 MiB), a segment as plain text, compressed,
/// opened again and decompressed again, one sealed and one waiting (6 MiB each), and a compressor (4 MiB).
const WORKER: Bytes = Bytes::mib(50);
/// A batch of small files: 1 MiB of content, its lines, and what the allocator keeps.
const BATCH: Bytes = Bytes::mib(2);
/// A segment that fills: 4 MiB and the chunk that it ends with.
const SEGMENT: Bytes = Bytes::mib(6);
/// As many batches as keep readers busy.
const BATCHES: usize = 8;
/// As many open segments as keep tenants together whose files alternate.
const SEGMENTS: usize = 64;
/// Below these a pipeline does not flow.
const BATCHES_MIN: usize = 2;
const SEGMENTS_MIN: usize = 4;

/// What a backup may use; everything that is there if nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Threads that read, and as many that seal.
    pub threads: Option<NonZero<usize>>,
    /// Memory for buffers.
    pub memory: Option<Bytes>,
}

/// Less memory than a backup can work with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{asked} of memory is too little for a backup; it needs {least} at least")]
pub struct TooLittle {
    /// What was given.
    pub asked: Bytes,
    /// What is needed.
    pub least: Bytes,
}

/// How many of everything the pipeline has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizing {
    /// Readers, and as many sealers.
    pub(crate) workers: usize,
    /// Batches under way.
    pub(crate) batches: usize,
    /// Segments filling.
    pub(crate) segments: usize,
}

impl Resources {
    /// Whether a backup can work with this.
    ///
    /// # Errors
    /// It is too little memory.
    pub fn check(&self) -> Result<(), TooLittle> {
        self.sizing(1).map(drop)
    }

    /// What fits, on a machine of so many processors. Workers count most, then what keeps them busy.
    pub(crate) fn sizing(&self, processors: usize) -> Result<Sizing, TooLittle> {
        let workers = self.threads.map_or(processors, NonZero::get).max(1);
        let Some(memory) = self.memory else {
            return Ok(Sizing { workers, batches: BATCHES, segments: SEGMENTS });
        };
        let least = Sizing { workers: 1, batches: BATCHES_MIN, segments: SEGMENTS_MIN };
        let Some(mut left) = memory.0.checked_sub(least.cost().0) else {
            return Err(TooLittle { asked: memory, least: least.cost() });
        };
        let mut more = |each: Bytes, most: usize| {
            let count = (left / each.0).min(most as u64);
            left -= count * each.0;
            usize::try_from(count).unwrap_or(most)
        };
        let workers = 1 + more(WORKER, workers - 1);
        let batches = BATCHES_MIN + more(BATCH, BATCHES - BATCHES_MIN);
        let segments = SEGMENTS_MIN + more(SEGMENT, SEGMENTS - SEGMENTS_MIN);
        Ok(Sizing { workers, batches, segments })
    }
}

impl Sizing {
    /// The memory that this many take at the most.
    fn cost(self) -> Bytes {
        let of = |each: Bytes, count: usize| Bytes(each.0.saturating_mul(count as u64));
        BASE + of(WORKER, self.workers) + of(BATCH, self.batches) + of(SEGMENT, self.segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(memory: Bytes) -> Resources {
        Resources { threads: None, memory: Some(memory) }
    }

    #[test]
    fn everything_is_used_where_nothing_is_said() {
        let all = Resources::default().sizing(6).unwrap();
        assert_eq!(all, Sizing { workers: 6, batches: BATCHES, segments: SEGMENTS });
        let two = Resources { threads: NonZero::new(2), memory: None };
        assert_eq!(two.sizing(6).unwrap().workers, 2);
    }

    #[test]
    fn memory_is_never_passed_and_never_wasted() {
        let least = Sizing { workers: 1, batches: BATCHES_MIN, segments: SEGMENTS_MIN }.cost();
        for processors in [1, 2, 8, 64] {
            let most = Sizing { workers: processors, batches: BATCHES, segments: SEGMENTS };
            for mib in 0..2048 {
                let memory = Bytes::mib(mib);
                match with(memory).sizing(processors) {
                    Ok(sizing) => {
                        assert!(sizing.cost() <= memory, "{memory}: {sizing:?}");
                        let full = sizing.cost() + SEGMENT > memory || sizing.segments == SEGMENTS;
                        assert!(full && sizing.workers <= processors, "{memory}: {sizing:?}");
                        assert!(memory < most.cost() || sizing == most, "{memory}: {sizing:?}");
                    }
                    Err(error) => assert!(memory < least && error.least == least, "{memory}"),
                }
            }
        }
    }
}
