//! Finding things by id in a row of them that does not change: ids are hashes, so their first bits say about where.

use crate::ids::ChunkId;

/// Where in a row each chunk id stands.
///
/// Ids are spread evenly by whoever is honest: there is a bucket for each of their first bits with one or two in it,
/// found at once. Whoever makes ids that share their first bits makes a bucket long, and it is searched by halves:
/// slower, never wrong. 8 bytes an id at the most.
#[derive(Debug, Default)]
pub struct IdOrder {
    /// Places in the row, by id; those of one id in the order of the row.
    places: Vec<u32>,
    /// Where in `places` the bucket of each of the first bits ends.
    ends: Vec<u32>,
    /// How far the first 32 bits of an id are shifted to leave those of its bucket.
    shift: u32,
}

impl IdOrder {
    /// Orders a row. What has no place of 32 bits is left out.
    pub fn of<T>(row: &[T], id: impl Fn(&T) -> &ChunkId) -> Self {
        // By 32 bits, which is quick; what has them in common by all.
        let mut heads: Vec<(u32, u32)> = row.iter().map(|one| head(id(one))).zip(0..=u32::MAX).collect();
        heads.sort_unstable();
        for alike in heads.chunk_by_mut(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
            alike.sort_unstable_by_key(|(_, place)| (row.get(*place as usize).map(&id), *place));
        }
        let shift = 32 - heads.len().max(2).ilog2().min(32);
        let mut ends = vec![0; 1 << (32 - shift)];
        for ((head, _), end) in heads.iter().zip(1..) {
            if let Some(bucket) = ends.get_mut((head >> shift) as usize) {
                *bucket = end;
            }
        }
        let mut last = 0;
        for end in &mut ends {
            last = last.max(*end);
            *end = last;
        }
        Self { places: heads.into_iter().map(|(_, place)| place).collect(), ends, shift }
    }

    /// The places where an id stands in the row that was ordered.
    pub fn find<T>(&self, row: &[T], id: impl Fn(&T) -> &ChunkId, wanted: &ChunkId) -> &[u32] {
        let bucket = (head(wanted) >> self.shift) as usize;
        let end = |bucket: usize| self.ends.get(bucket).map_or(0, |end| *end as usize);
        let from = bucket.checked_sub(1).map_or(0, end);
        let all = self.places.get(from..end(bucket)).unwrap_or_default();
        let known = |place: &u32| row.get(*place as usize).map(&id);
        let first = all.partition_point(|place| known(place) < Some(wanted));
        let rest = all.get(first..).unwrap_or_default();
        let count = rest.iter().take_while(|place| known(place) == Some(wanted)).count();
        rest.get(..count).unwrap_or_default()
    }
}

fn head(id: &ChunkId) -> u32 {
    let [a, b, c, d, ..] = *id.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;

    /// Every id is found at all of its places and nowhere else, whatever ids there are.
    #[test]
    fn each_id_is_found_wherever_it_stands() {
        let hash = |seed: u32| sha256(&seed.to_le_bytes());
        // Spread evenly; two of three the same; alike in their first bits, by all of 32 and by fewer; the extremes.
        let even = (0..5000).map(hash).collect();
        let doubled = (0..999).map(|n| hash(n / 3)).collect();
        let alike = (0..2000).map(|n| [&[7; 5][..], &hash(n)[5..]].concat().try_into().unwrap()).collect();
        let narrow =
            (0..2000).map(|n| [&[0, 0], &hash(n % 1500)[2..]].concat().try_into().unwrap()).collect();
        let ends = vec![[0xff; 32], [0; 32], [0xff; 32]];
        let rows: [Vec<[u8; 32]>; 7] = [even, doubled, alike, narrow, ends, vec![[9; 32]], Vec::new()];
        for row in rows {
            let row: Vec<ChunkId> = row.into_iter().map(ChunkId::from_bytes).collect();
            let order = IdOrder::of(&row, |id| id);
            let strangers = (10_000..10_100).map(|n| ChunkId::from_bytes(hash(n)));
            for wanted in row.iter().copied().chain(strangers) {
                let found = order.find(&row, |id| id, &wanted);
                let expected: Vec<u32> =
                    (0..).zip(&row).filter(|(_, id)| **id == wanted).map(|(at, _)| at).collect();
                assert_eq!(found, expected);
            }
        }
    }
}
