//! What there is to do, in the order it is done: which segments to fetch, and where each of their chunks goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use lifeboat_repo::ids::{ChunkId, KeyId, PackId};
use lifeboat_repo::repository::recover::TenantKey;
use lifeboat_repo::repository::segments::{ChunkPlace, NeededSegment, SegmentMap};
use lifeboat_repo::repository::spare::Again;
use lifeboat_repo::units::Bytes;

use crate::tree::Tree;

/// Where chunks lie: a segment map, or what a test says.
pub(crate) trait Locate {
    fn find(&self, key: KeyId, chunk: &ChunkId) -> Option<ChunkPlace>;
    fn segment(&self, number: u32) -> Option<&NeededSegment>;
    /// What the index says later.
    fn again(&self) -> Option<Arc<Again>> {
        None
    }
}

impl Locate for SegmentMap {
    fn find(&self, key: KeyId, chunk: &ChunkId) -> Option<ChunkPlace> {
        Self::find(self, key, chunk)
    }

    fn segment(&self, number: u32) -> Option<&NeededSegment> {
        Self::segment(self, number)
    }

    fn again(&self) -> Option<Arc<Again>> {
        Self::again(self)
    }
}

/// One place that needs one chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// The segment: first its number in the map, then, once sorted, in [`Work::fetches`].
    pub(crate) segment: u32,
    /// Where the chunk begins in the segment's plaintext.
    pub(crate) at: u32,
    pub(crate) length: u32,
    /// Which of its bytes are needed here: holes may part them.
    pub(crate) skip: u32,
    pub(crate) take: u32,
    pub(crate) sink: Sink,
    /// Where these bytes go in the file or value.
    pub(crate) offset: u64,
    pub(crate) id: ChunkId,
}

/// What a chunk goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// A file, by its node.
    File(u32),
    /// The value of an extended attribute, by its place in [`Work::values`].
    Value(u32),
}

/// A file that several chunks or attribute values make up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartsOf {
    pub(crate) node: u32,
    /// Uses to wait for.
    pub(crate) pieces: u32,
    /// Content that is known to be lost before anything is fetched.
    pub(crate) lost: Bytes,
}

/// A value of an attribute that is fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValueOf {
    pub(crate) node: u32,
    pub(crate) length: u32,
}

/// A segment to fetch, and the uses of its chunks.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) segment: NeededSegment,
    pub(crate) uses: Range<usize>,
}

/// Everything a restore does.
pub(crate) struct Work {
    pub(crate) tree: Tree,
    pub(crate) keys: HashMap<KeyId, Arc<TenantKey>>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) uses: Vec<Use>,
    pub(crate) parts: Vec<PartsOf>,
    pub(crate) values: Vec<ValueOf>,
    /// How much content files with holes have, by their node; that of all others is their size.
    pub(crate) sparse: HashMap<u32, Bytes>,
    /// What the index says later, for when a segment is not where it should be.
    pub(crate) again: Option<Arc<Again>>,
}

impl Work {
    /// Sorts uses so that every segment is fetched once, pack by pack.
    ///
    /// Packs come in the order their first needed segment was indexed, which is the order in which the source
    /// was walked, so that neighbouring chunks mostly go to neighbouring files.
    pub(crate) fn fetches(mut uses: Vec<Use>, locate: &dyn Locate) -> (Vec<Fetch>, Vec<Use>) {
        let mut needed: BTreeMap<u32, &NeededSegment> = BTreeMap::new();
        for one in &uses {
            if !needed.contains_key(&one.segment) {
                needed.extend(locate.segment(one.segment).map(|segment| (one.segment, segment)));
            }
        }
        let mut ranks: HashMap<PackId, usize> = HashMap::new();
        let mut order: Vec<(usize, Bytes, u32, &NeededSegment)> = Vec::with_capacity(needed.len());
        for (number, segment) in needed {
            let Some(place) = segment.places.first() else { continue };
            let next = ranks.len();
            let rank = *ranks.entry(place.pack).or_insert(next);
            order.push((rank, place.offset, number, segment));
        }
        order.sort_unstable_by_key(|(rank, offset, number, _)| (*rank, *offset, *number));
        let renumbered: HashMap<u32, u32> =
            order.iter().map(|(_, _, number, _)| *number).zip(0_u32..).collect();
        uses.retain_mut(|one| match renumbered.get(&one.segment) {
            Some(rank) => {
                one.segment = *rank;
                true
            }
            None => false,
        });
        // A stable sort: uses of one chunk stay in the order of the manifest.
        uses.sort_by_key(|one| (one.segment, one.at));
        let mut fetches = Vec::with_capacity(order.len());
        let mut from = 0;
        for ((_, _, _, segment), rank) in order.into_iter().zip(0_u32..) {
            let to = from + uses.get(from..).unwrap_or_default().partition_point(|one| one.segment <= rank);
            fetches.push(Fetch { segment: segment.clone(), uses: from..to });
            from = to;
        }
        (fetches, uses)
    }

    /// How many objects the segments lie in.
    pub(crate) fn objects(&self) -> u64 {
        let places = self.fetches.iter().filter_map(|fetch| fetch.segment.places.first());
        places.map(|place| place.pack).collect::<HashSet<_>>().len() as u64
    }

    /// Stored bytes of all segments.
    pub(crate) fn stored(&self) -> Bytes {
        let places = self.fetches.iter().filter_map(|fetch| fetch.segment.places.first());
        places.map(|place| place.length).sum()
    }

    /// The uses of a segment's chunks.
    pub(crate) fn uses_of(&self, fetch: &Fetch) -> &[Use] {
        self.uses.get(fetch.uses.clone()).unwrap_or_default()
    }

    /// The node a chunk is for.
    pub(crate) fn node_of(&self, sink: Sink) -> Option<u32> {
        match sink {
            Sink::File(node) => Some(node),
            Sink::Value(value) => self.values.get(value as usize).map(|value| value.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_repo::format::index::SegmentKind;
    use lifeboat_repo::ids::SegmentId;
    use lifeboat_repo::repository::segments::Place;

    use super::*;

    struct Places(Vec<NeededSegment>);

    impl Locate for Places {
        fn find(&self, _: KeyId, _: &ChunkId) -> Option<ChunkPlace> {
            None
        }

        fn segment(&self, number: u32) -> Option<&NeededSegment> {
            self.0.get(number as usize)
        }
    }

    fn segment(number: u8, pack: u8, offset: u64) -> NeededSegment {
        NeededSegment {
            id: SegmentId::from_bytes([number; 32]),
            key: KeyId::from_bytes([0; 32]),
            kind: SegmentKind::Data,
            plain: Bytes(100),
            places: vec![Place {
                pack: PackId::from_bytes([pack; 32]),
                offset: Bytes(offset),
                length: Bytes(10),
            }],
        }
    }

    fn a_use(segment: u32, at: u32, node: u32) -> Use {
        Use {
            segment,
            at,
            length: 1,
            skip: 0,
            take: 1,
            sink: Sink::File(node),
            offset: 0,
            id: ChunkId::from_bytes([0; 32]),
        }
    }

    #[test]
    fn every_segment_is_fetched_once_pack_by_pack() {
        // Pack 9 comes first in the index although its name sorts last; within packs the offset decides.
        let places = Places(vec![
            segment(0, 9, 50),
            segment(1, 3, 0),
            segment(2, 9, 0),
            segment(3, 3, 10),
            segment(4, 3, 5),
        ]);
        let uses = vec![
            a_use(3, 0, 1),
            a_use(0, 7, 2),
            a_use(2, 0, 3),
            a_use(0, 0, 4),
            a_use(1, 0, 5),
            a_use(0, 7, 1),
        ];
        let (fetches, uses) = Work::fetches(uses, &places);
        let numbers: Vec<u8> = fetches.iter().map(|fetch| fetch.segment.id.as_bytes()[0]).collect();
        assert_eq!(numbers, [2, 0, 1, 3]);
        let sinks: Vec<Vec<Sink>> = fetches
            .iter()
            .map(|fetch| uses[fetch.uses.clone()].iter().map(|one| one.sink).collect())
            .collect();
        assert_eq!(
            sinks,
            [
                vec![Sink::File(3)],
                vec![Sink::File(4), Sink::File(2), Sink::File(1)],
                vec![Sink::File(5)],
                vec![Sink::File(1)]
            ]
        );
    }
}
