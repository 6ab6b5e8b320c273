//! Where the content of a file with holes goes.

use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::Hole;

/// A run of a chunk's bytes and where in the file it goes.
pub(crate) struct Stretch {
    pub(crate) chunk: ChunkRef,
    pub(crate) skip: u32,
    pub(crate) take: u32,
    pub(crate) offset: u64,
}

/// Where the chunks of a file go: they fill what holes leave, and one may reach across a hole.
pub(crate) fn stretches(chunks: &[ChunkRef], holes: &[Hole]) -> impl Iterator<Item = Stretch> {
    let mut holes = holes.iter().peekable();
    let mut chunks = chunks.iter();
    let mut now: Option<(ChunkRef, u32)> = None;
    let mut at = 0_u64;
    std::iter::from_fn(move || {
        let (chunk, skip) = match now.take() {
            Some(rest) => rest,
            None => (*chunks.next()?, 0),
        };
        while let Some(hole) = holes.next_if(|hole| hole.offset.0 <= at) {
            at = hole.offset.0.saturating_add(hole.length.0);
        }
        let left = chunk.1 - skip;
        let room = holes.peek().map_or(u64::MAX, |hole| hole.offset.0 - at);
        let take = u32::try_from(room).map_or(left, |room| left.min(room));
        if take < left {
            now = Some((chunk, skip + take));
        }
        let offset = at;
        at = at.saturating_add(u64::from(take));
        Some(Stretch { chunk, skip, take, offset })
    })
}

#[cfg(test)]
mod tests {
    use lifeboat_repo::ids::ChunkId;
    use lifeboat_repo::units::Bytes;

    use super::*;

    #[test]
    fn chunks_fill_what_holes_leave() {
        let chunk = |length| ChunkRef(ChunkId::from_bytes([0; 32]), length);
        let hole = |offset, length| Hole { offset: Bytes(offset), length: Bytes(length) };
        let all = |chunks: &[ChunkRef], holes: &[Hole]| -> Vec<(u32, u32, u64)> {
            stretches(chunks, holes).map(|one| (one.skip, one.take, one.offset)).collect()
        };
        assert_eq!(all(&[chunk(3), chunk(4)], &[]), [(0, 3, 0), (0, 4, 3)]);
        assert_eq!(all(&[chunk(3), chunk(4)], &[hole(0, 10), hole(13, 5)]), [(0, 3, 10), (0, 4, 18)]);
        // One chunk across two holes, and a hole at the end.
        assert_eq!(
            all(&[chunk(7)], &[hole(2, 3), hole(6, 1), hole(11, 9)]),
            [(0, 2, 0), (2, 1, 5), (3, 4, 7)]
        );
        assert_eq!(all(&[], &[hole(0, 9)]), []);
    }
}
