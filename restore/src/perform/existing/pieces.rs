//! The chunks of each file and value in their order, which the work has in the order of segments.

use lifeboat_repo::crypto::hash::ChunkIdKey;
use lifeboat_repo::ids::ChunkId;

use crate::work::{Sink, Use, Work};

/// Uses in the order of what they make up.
pub(super) struct Pieces {
    /// Numbers of uses, by file and offset.
    files: Vec<u32>,
    /// Numbers of uses, by value and offset.
    values: Vec<u32>,
}

/// One chunk at one place. Holes may part it.
pub(super) struct Piece<'p> {
    /// The numbers of its uses.
    pub(super) uses: &'p [u32],
    pub(super) id: ChunkId,
    pub(super) length: u32,
    pub(super) k_id: &'p ChunkIdKey,
}

impl Pieces {
    pub(super) fn new(work: &Work) -> Self {
        let (mut files, mut values) = (Vec::new(), Vec::new());
        for (number, one) in (0_u32..).zip(&work.uses) {
            match one.sink {
                Sink::File(_) => files.push(number),
                Sink::Value(_) => values.push(number),
            }
        }
        let place = |number: &u32| {
            work.uses.get(*number as usize).map_or((0, 0), |one| (sink_number(one), one.offset))
        };
        files.sort_unstable_by_key(place);
        values.sort_unstable_by_key(place);
        Self { files, values }
    }

    /// The pieces of a file.
    pub(super) fn of_file<'p>(&'p self, work: &'p Work, node: u32) -> impl Iterator<Item = Piece<'p>> {
        pieces(range(&self.files, work, node), work)
    }

    /// The pieces of a value.
    pub(super) fn of_value<'p>(&'p self, work: &'p Work, value: u32) -> impl Iterator<Item = Piece<'p>> {
        pieces(range(&self.values, work, value), work)
    }
}

fn sink_number(one: &Use) -> u32 {
    match one.sink {
        Sink::File(number) | Sink::Value(number) => number,
    }
}

fn range<'p>(sorted: &'p [u32], work: &Work, number: u32) -> &'p [u32] {
    let of = |at: &u32| work.uses.get(*at as usize).map_or(u32::MAX, sink_number);
    let from = sorted.partition_point(|at| of(at) < number);
    let to = sorted.partition_point(|at| of(at) <= number);
    sorted.get(from..to).unwrap_or_default()
}

fn pieces<'p>(mut uses: &'p [u32], work: &'p Work) -> impl Iterator<Item = Piece<'p>> {
    std::iter::from_fn(move || {
        let one = |at: &u32| work.uses.get(*at as usize);
        let first = uses.first().and_then(one)?;
        let mut taken = 0_u64;
        let mut count = 0;
        while let Some(next) = uses.get(count).and_then(one) {
            taken += u64::from(next.take);
            count += 1;
            if taken >= u64::from(first.length) {
                break;
            }
        }
        let (now, rest) = uses.split_at_checked(count)?;
        uses = rest;
        let key = work.fetches.get(first.segment as usize).map(|fetch| fetch.segment.key)?;
        let k_id = &work.keys.get(&key)?.k_id;
        Some(Piece { uses: now, id: first.id, length: first.length, k_id })
    })
}
