//! Content-defined cut points under a secret gear table.
//!
//! FastCDC as in `fastcdc::v2020`, but all 256 gear entries come from the tenant key's `K_chunk`. The crate's own
//! seed only XORs one constant into a public table, which an observer of chunk lengths solves for; a whole table
//! is a key. Chunk lengths then say nothing about known content.
//!
//! The cut points are part of the format: cutting otherwise stores everything anew. The crate's version is
//! pinned, and the tests pin its cuts.

use std::fmt;

use fastcdc::v2020::{
    AVERAGE_MAX, AVERAGE_MIN, MAXIMUM_MAX, MINIMUM_MIN, Normalization, cut_gear, select_masks,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::units::Bytes;

/// Sets this use of the chunking key apart from any later one.
const GEAR_CONTEXT: &[u8] = b"lifeboat gear v0";

/// How strongly lengths are drawn to `avg`. Over 20 random streams of 192 MiB, with 12 clusters of changes each,
/// level 2 stores 9.8 MB anew in chunks of 586 KiB on average; level 1, the crate's default, 11.6 in 628; level 3,
/// 9.5 in 552. From 1 to 2 that is a sixth less for a fifteenth more chunks; beyond, as much per chunk.
const NORMALIZATION: Normalization = Normalization::Level2;

/// The secret that cut points of one tenant key depend on: `K_chunk`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChunkingKey([u8; 32]);

impl ChunkingKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ChunkingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkingKey(redacted)")
    }
}

/// How long chunks are: never shorter than `min` (but the last), around `avg`, never longer than `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    min: usize,
    avg: usize,
    max: usize,
}

/// Lengths that make no chunker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "chunk lengths must be even and 64 B <= min < avg < max <= 16 MiB, avg a power of two from 256 B to 4 MiB; \
     not {min}, {avg}, {max}"
)]
pub struct BadChunkerParams {
    /// What was asked for.
    pub min: Bytes,
    /// What was asked for.
    pub avg: Bytes,
    /// What was asked for.
    pub max: Bytes,
}

impl ChunkerParams {
    /// For data: 128 KiB, 512 KiB, 2 MiB. On a database dump with 1 % of its rows changed in clusters a mean of
    /// 512 KiB stores 7.3 MB anew, 1 MiB 9.8, 2 MiB 19.4, 256 KiB 4.9 but twice the index.
    pub const DATA: Self = Self { min: 128 << 10, avg: 512 << 10, max: 2 << 20 };

    /// For manifests: 16 KiB, 64 KiB, 256 KiB. They change in many places and are small.
    pub const MANIFEST: Self = Self { min: 16 << 10, avg: 64 << 10, max: 256 << 10 };

    /// These lengths, if they make a chunker.
    ///
    /// # Errors
    /// They do not; the error has the rule. Even, because the cutter tests bytes in pairs; a power of two,
    /// because only then is `avg` what it says.
    pub const fn new(min: Bytes, avg: Bytes, max: Bytes) -> Result<Self, BadChunkerParams> {
        let fits = min.0 >= MINIMUM_MIN as u64
            && min.0 < avg.0
            && avg.0 < max.0
            && max.0 <= MAXIMUM_MAX as u64
            && avg.0 >= AVERAGE_MIN as u64
            && avg.0 <= AVERAGE_MAX as u64
            && avg.0.is_power_of_two()
            && min.0.is_multiple_of(2)
            && max.0.is_multiple_of(2);
        if fits {
            // At most 16 MiB, by the condition above.
            #[expect(clippy::cast_possible_truncation, reason = "checked against MAXIMUM_MAX")]
            Ok(Self { min: min.0 as usize, avg: avg.0 as usize, max: max.0 as usize })
        } else {
            Err(BadChunkerParams { min, avg, max })
        }
    }

    const fn is_valid(self) -> bool {
        Self::new(self.min(), self.avg(), self.max()).is_ok()
    }

    /// No chunk but the last is shorter.
    #[must_use]
    pub const fn min(&self) -> Bytes {
        Bytes(self.min as u64)
    }

    /// Where chunk lengths centre.
    #[must_use]
    pub const fn avg(&self) -> Bytes {
        Bytes(self.avg as u64)
    }

    /// No chunk is longer; a window of this length always gives a cut.
    #[must_use]
    pub const fn max(&self) -> Bytes {
        Bytes(self.max as u64)
    }
}

// The constants are parameters that `new` would take.
const _: () = assert!(ChunkerParams::DATA.is_valid() && ChunkerParams::MANIFEST.is_valid());

/// Cuts a stream into chunks. Has no state of the stream: one serves any number of them, from any thread.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Chunker {
    gear: Box<[u64; 256]>,
    /// Every entry of `gear` shifted left by one, for the cutter's two bytes a step.
    gear_shifted: Box<[u64; 256]>,
    #[zeroize(skip)]
    params: ChunkerParams,
    #[zeroize(skip)]
    mask_strict: u64,
    #[zeroize(skip)]
    mask_relaxed: u64,
}

impl Chunker {
    /// The chunker of this key.
    #[must_use]
    pub fn new(key: &ChunkingKey, params: ChunkerParams) -> Self {
        let mut stream = Zeroizing::new([0; 256 * 8]);
        blake3::Hasher::new_keyed(&key.0).update(GEAR_CONTEXT).finalize_xof().fill(stream.as_mut_slice());
        let mut gear = Box::new([0; 256]);
        let mut gear_shifted = Box::new([0; 256]);
        let entries = gear.iter_mut().zip(gear_shifted.iter_mut());
        for ((entry, shifted), bytes) in entries.zip(stream.as_chunks::<8>().0) {
            *entry = u64::from_le_bytes(*bytes);
            *shifted = *entry << 1;
        }
        let (mask_strict, mask_relaxed) = select_masks(params.avg, NORMALIZATION);
        Self { gear, gear_shifted, params, mask_strict, mask_relaxed }
    }

    /// The lengths it keeps to.
    #[must_use]
    pub const fn params(&self) -> ChunkerParams {
        self.params
    }

    /// The length of the chunk that `window` begins with; nothing where the window must first grow, up to
    /// `max`, or is empty.
    ///
    /// `window` begins where the last chunk ended; `at_end` says that the stream ends with it. Cuts do not
    /// depend on how long windows are, but each call scans from the start: give `max` bytes where there are so
    /// many.
    #[must_use]
    pub fn next_cut(&self, window: &[u8], at_end: bool) -> Option<usize> {
        let ChunkerParams { min, avg, max } = self.params;
        let window = window.get(..max).unwrap_or(window);
        if window.is_empty() {
            return None;
        }
        let (_, length) = cut_gear(
            window,
            min,
            avg,
            max,
            self.mask_strict,
            self.mask_relaxed,
            self.mask_strict << 1,
            self.mask_relaxed << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        // A cut inside the window stands whatever follows it. One at its end may only mean that it ended.
        let stands = length < window.len() || window.len() == max || at_end;
        stands.then_some(length)
    }
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunker").field("params", &self.params).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(seed: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(seed).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn chunker(params: ChunkerParams) -> Chunker {
        Chunker::new(&ChunkingKey::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap())), params)
    }

    /// The cuts of a stream of which `step` bytes arrive at a time.
    fn cuts(chunker: &Chunker, stream: &[u8], mut step: impl FnMut() -> usize) -> Vec<usize> {
        let (mut start, mut end) = (0, 0);
        let mut cuts = Vec::new();
        loop {
            let at_end = end == stream.len();
            match chunker.next_cut(&stream[start..end], at_end) {
                Some(length) => {
                    cuts.push(length);
                    start += length;
                }
                None if at_end => return cuts,
                None => end = (end + step()).min(stream.len()),
            }
        }
    }

    fn hash_of(cuts: &[usize]) -> String {
        let text: String = cuts.iter().map(|cut| format!("{cut}\n")).collect();
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    /// These may never change: other cuts store everything anew.
    #[test]
    fn cuts_are_pinned() {
        let stream = noise(b"lifeboat cut vectors", 8 << 20);
        let data = cuts(&chunker(ChunkerParams::DATA), &stream, || 8 << 20);
        assert_eq!(data[..4], [699982, 328230, 525937, 591126]);
        assert_eq!(
            (data.len(), hash_of(&data).as_str()),
            (15, "1b66d49da789da4c646e891e2019dae23272c9990cdd6696cc190024a71186a3")
        );
        let manifest = cuts(&chunker(ChunkerParams::MANIFEST), &stream, || 8 << 20);
        assert_eq!(manifest[..4], [71897, 24351, 70155, 102293]);
        assert_eq!(
            (manifest.len(), hash_of(&manifest).as_str()),
            (116, "e1cc18af6b91700c5f7333680c01781757570fa2f6be8651a1327a35f573fb16")
        );
        let gear = &chunker(ChunkerParams::DATA).gear;
        assert_eq!(gear[..2], [18373303354246417497, 60478264338912494]);
    }

    /// The cut points byte by byte, as FORMAT.md may put them: the first byte, `min` or later, at which the hash
    /// of the bytes from `min` on has no bit of the mask begins the next chunk.
    fn by_definition(chunker: &Chunker, stream: &[u8]) -> usize {
        let ChunkerParams { min, avg, max } = chunker.params;
        let end = stream.len().min(max);
        let mut hash = 0_u64;
        // Bytes are tested in pairs, so the last of an odd number is not.
        for (at, byte) in stream.iter().enumerate().take(end - end % 2).skip(min) {
            hash = (hash << 1).wrapping_add(chunker.gear[usize::from(*byte)]);
            let mask = if at < avg { chunker.mask_strict } else { chunker.mask_relaxed };
            if hash & mask == 0 {
                return at;
            }
        }
        end
    }

    #[test]
    fn lengths_keep_to_their_bounds_and_centre() {
        for params in [ChunkerParams::DATA, ChunkerParams::MANIFEST] {
            let stream = noise(b"bounds", 64 * params.avg);
            let lengths = cuts(&chunker(params), &stream, || params.max);
            assert_eq!(lengths.iter().sum::<usize>(), stream.len());
            let (last, others) = lengths.split_last().unwrap();
            assert!(others.iter().all(|length| (params.min..=params.max).contains(length)));
            assert!((1..=params.max).contains(last));
            assert!((32..=128).contains(&lengths.len()), "{} chunks of a mean of 64", lengths.len());
        }
    }

    #[test]
    fn monotonous_data_is_cut_at_the_maximum() {
        let params = ChunkerParams::MANIFEST;
        let lengths = cuts(&chunker(params), &vec![0; 3 * params.max + 5], || 10_000);
        assert_eq!(lengths, [params.max, params.max, params.max, 5]);
    }

    #[test]
    fn a_window_must_grow_until_a_cut_stands() {
        let chunker = chunker(ChunkerParams::MANIFEST);
        let zeros = vec![0; ChunkerParams::MANIFEST.max + 1];
        assert_eq!(chunker.next_cut(&[], true), None);
        assert_eq!(chunker.next_cut(&[], false), None);
        assert_eq!(chunker.next_cut(&[0], false), None);
        assert_eq!(chunker.next_cut(&[0], true), Some(1));
        assert_eq!(chunker.next_cut(&zeros[..ChunkerParams::MANIFEST.max - 1], false), None);
        assert_eq!(chunker.next_cut(&zeros, false), Some(ChunkerParams::MANIFEST.max));
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_around_it() {
        let chunker = chunker(ChunkerParams::MANIFEST);
        let before = noise(b"insertion", 8 << 20);
        let after = [&before[..1_000_000], b"inserted", &before[1_000_000..]].concat();
        let names = |stream: &[u8]| -> std::collections::HashSet<blake3::Hash> {
            let mut start = 0;
            let lengths = cuts(&chunker, stream, || 1 << 20).into_iter();
            lengths
                .map(|length| {
                    start += length;
                    blake3::hash(&stream[start - length..start])
                })
                .collect()
        };
        assert!(names(&after).difference(&names(&before)).count() <= 4);
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let stream = noise(b"keys", 8 << 20);
        let other = Chunker::new(&ChunkingKey::from_bytes([9; 32]), ChunkerParams::MANIFEST);
        let ours = chunker(ChunkerParams::MANIFEST);
        assert_ne!(cuts(&ours, &stream, || 1 << 20), cuts(&other, &stream, || 1 << 20));
        assert!(!format!("{other:?}").contains("gear"));
    }

    #[test]
    fn bad_lengths_are_refused() {
        let new = |min, avg, max| ChunkerParams::new(Bytes(min), Bytes(avg), Bytes(max));
        assert_eq!(new(128 << 10, 512 << 10, 2 << 20), Ok(ChunkerParams::DATA));
        assert_eq!(new(64, 256, 1024).map(|params| params.max()), Ok(Bytes(1024)));
        let bad = [
            (0, 512, 1024),
            (62, 256, 1024),
            (65, 256, 1024),
            (128, 300, 1024),
            (256, 256, 1024),
            (128, 256, 256),
            (128, 256, 1023),
            (128, 128, 1024),
            (128, 8 << 20, 16 << 20),
            (128, 256, (16 << 20) + 2),
            (128, 0, 1024),
            (u64::MAX, u64::MAX, u64::MAX),
        ];
        for (min, avg, max) in bad {
            assert!(new(min, avg, max).is_err(), "{min} {avg} {max}");
        }
    }

    proptest! {
        #[test]
        fn windows_do_not_move_cuts(seed: [u8; 8], length in 0_usize..100_000, steps in prop::collection::vec(1_usize..5000, 1..50)) {
            let params = ChunkerParams::new(Bytes(256), Bytes(1024), Bytes(4096)).unwrap();
            let chunker = chunker(params);
            let stream = noise(&seed, length);
            let whole = cuts(&chunker, &stream, || length.max(1));
            let mut start = 0;
            for cut in &whole {
                prop_assert_eq!(by_definition(&chunker, &stream[start..]), *cut);
                start += cut;
            }
            prop_assert_eq!(start, stream.len());
            let mut step = steps.iter().copied().cycle();
            prop_assert_eq!(cuts(&chunker, &stream, || step.next().unwrap()), whole);
        }
    }
}
