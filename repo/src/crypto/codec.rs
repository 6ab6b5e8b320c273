//! zstd with reused contexts, and a cap on what comes out.
//!
//! A context costs more to make than a small object to compress, so workers keep theirs. Frames we write say
//! their content size; frames we read may be anything stock `zstd -d` takes, in any number, but never give more
//! than the caller's limit, which is the signed length of what they hold.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;
use zstd::zstd_safe::{self, zstd_sys::ZSTD_ErrorCode};

use crate::units::Bytes;

/// How hard to compress. zstd clamps what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(i32);

impl Level {
    /// For segments: the level at which compression keeps up with reading and sealing.
    pub const SEGMENT: Self = Self(3);
    /// For what a probe found incompressible.
    pub const FAST: Self = Self(1);
}

impl From<i32> for Level {
    fn from(level: i32) -> Self {
        Self(level)
    }
}

/// Bytes that could not be compressed or decompressed. The destination is empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More comes out than may.
    #[error("it decompresses to more than the {limit} it may hold")]
    TooLarge {
        /// The limit.
        limit: Bytes,
    },
    /// Not one or more whole zstd frames.
    #[error("not whole zstd frames: {0}")]
    Damaged(String),
    /// Frames around something that is not the JSON expected. The text is not repeated: it may be a secret.
    #[error("not the JSON expected, at line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// zstd itself failed.
    #[error("zstd failed: {0}")]
    Machine(String),
    /// There is no memory for the result.
    #[error("no memory for {0}")]
    Memory(Bytes),
}

/// Compresses, one frame at a time.
pub struct Compressor {
    context: zstd::bulk::Compressor<'static>,
    level: Level,
}

impl Compressor {
    /// A new context.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new() -> Result<Self, CodecError> {
        let level = Level::SEGMENT;
        Ok(Self { context: zstd::bulk::Compressor::new(level.0).map_err(machine)?, level })
    }

    /// Compresses `plain` into one frame that says its content size. The contents of `out` are replaced, its
    /// memory is reused.
    ///
    /// # Errors
    /// zstd or memory failed; `out` is then empty.
    pub fn compress_into(
        &mut self,
        plain: &[u8],
        level: impl Into<Level>,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let level = level.into();
        out.clear();
        if level != self.level {
            self.context.set_compression_level(level.0).map_err(machine)?;
            self.level = level;
        }
        reserve(out, zstd::compress_bound(plain.len()))?;
        let written = self.context.compress_to_buffer(plain, out);
        if written.is_err() {
            out.clear();
        }
        written.map(|_| ()).map_err(machine)
    }

    /// Writes `value` as one line of JSON, compressed.
    ///
    /// # Errors
    /// As [`Self::compress_into`]; or `value` has no JSON form.
    pub fn pack_json(&mut self, value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.clear();
        // Small objects may hold keys. 4 KiB hold all of those without a move that leaves a copy behind.
        let mut plain = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *plain, value).map_err(|error| bad_json(&error))?;
        plain.push(b'\n');
        self.compress_into(&plain, Level::SEGMENT, out)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Decompresses.
pub struct Decompressor {
    context: zstd::bulk::Decompressor<'static>,
}

impl Decompressor {
    /// What to try first where frames do not say their size.
    const UNSIZED_MIN: usize = 64 * 1024;

    /// A new context.
    ///
    /// # Errors
    /// zstd has no memory.
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self { context: zstd::bulk::Decompressor::new().map_err(machine)? })
    }

    /// Decompresses all frames of `packed` into `out`, whose contents are replaced. Skippable frames are skipped.
    /// At most `limit` bytes are written or allocated.
    ///
    /// # Errors
    /// `packed` is empty, damaged, followed by something, or holds more than `limit`; `out` is then empty.
    pub fn decompress_into(
        &mut self,
        packed: &[u8],
        limit: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        out.clear();
        let done = match stated_size(packed)? {
            Some(total) if total > limit => return Err(CodecError::TooLarge { limit }),
            Some(total) => self.decompress_sized(packed, total, out),
            None => self.decompress_unsized(packed, limit, out),
        };
        if done.is_err() {
            out.clear();
        }
        done
    }

    fn decompress_sized(&mut self, packed: &[u8], total: Bytes, out: &mut Vec<u8>) -> Result<(), CodecError> {
        reserve(out, total.as_usize())?;
        self.context.decompress_to_buffer(packed, out).map_err(damaged)?;
        // zstd holds every frame to its size, so this cannot differ; that it cannot is not ours to assume.
        if Bytes::of(out) == total {
            Ok(())
        } else {
            Err(CodecError::Damaged("their sizes are not what they say".into()))
        }
    }

    /// Frames made from a pipe do not say their size. The destination is doubled until they fit: at worst twice
    /// the work, and never more memory than `limit`.
    fn decompress_unsized(
        &mut self,
        packed: &[u8],
        limit: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let limit_here = limit.as_usize();
        let mut room = packed.len().saturating_mul(4).max(Self::UNSIZED_MIN).min(limit_here);
        loop {
            out.clear();
            reserve(out, room)?;
            out.resize(room, 0);
            match self.context.decompress_to_buffer(packed, out.as_mut_slice()) {
                Ok(length) => {
                    out.truncate(length);
                    return Ok(());
                }
                Err(error) if !is_too_small(&error) => return Err(damaged(error)),
                Err(_) if room >= limit_here => return Err(CodecError::TooLarge { limit }),
                Err(_) => room = room.saturating_mul(2).min(limit_here),
            }
        }
    }

    /// Reads JSON that [`Compressor::pack_json`] or a stock tool packed.
    ///
    /// # Errors
    /// As [`Self::decompress_into`]; or it is not such JSON.
    pub fn unpack_json<T: DeserializeOwned>(&mut self, packed: &[u8], limit: Bytes) -> Result<T, CodecError> {
        let mut plain = Zeroizing::new(Vec::new());
        self.decompress_into(packed, limit, &mut plain)?;
        serde_json::from_slice(&plain).map_err(|error| bad_json(&error))
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// What all frames of `packed` say they hold, or nothing where one does not say.
fn stated_size(packed: &[u8]) -> Result<Option<Bytes>, CodecError> {
    if packed.is_empty() {
        return Err(CodecError::Damaged("there are none".into()));
    }
    let code = |code| CodecError::Damaged(zstd_safe::get_error_name(code).to_owned());
    let mut rest = packed;
    let mut total = Some(Bytes::ZERO);
    while !rest.is_empty() {
        let length = zstd_safe::find_frame_compressed_size(rest).map_err(code)?;
        let content = zstd_safe::get_frame_content_size(rest)
            .map_err(|_| CodecError::Damaged("a frame header is malformed".into()))?;
        total = total.zip(content).map(|(total, content)| total + Bytes(content));
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(total)
}

fn reserve(out: &mut Vec<u8>, room: usize) -> Result<(), CodecError> {
    out.try_reserve_exact(room).map_err(|_| CodecError::Memory(Bytes(room as u64)))
}

fn is_too_small(error: &std::io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<zstd::Error>())
        .is_some_and(|inner| inner.is(ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall))
}

fn damaged(error: std::io::Error) -> CodecError {
    CodecError::Damaged(error.to_string())
}

fn machine(error: std::io::Error) -> CodecError {
    CodecError::Machine(error.to_string())
}

fn bad_json(error: &serde_json::Error) -> CodecError {
    CodecError::Json { line: error.line(), column: error.column() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Compressor::new().unwrap().compress_into(plain, Level::SEGMENT, &mut out).unwrap();
        out
    }

    fn unpacked(packed: &[u8], limit: u64) -> Result<Vec<u8>, CodecError> {
        let mut out = vec![1, 2, 3];
        let done = Decompressor::new().unwrap().decompress_into(packed, Bytes(limit), &mut out);
        assert!(done.is_ok() || out.is_empty());
        assert!(out.capacity() as u64 <= limit.max(3), "{} bytes of memory for {limit}", out.capacity());
        done.map(|()| out)
    }

    /// What comes from a pipe: no content size.
    fn streamed(plain: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        plain.for_each(|part| encoder.write_all(&part).unwrap());
        encoder.finish().unwrap()
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        [&0x184D_2A50_u32.to_le_bytes(), length.to_le_bytes().as_slice(), content].concat()
    }

    const GIGABYTE: u64 = 1 << 30;

    fn gigabyte_of_zeros() -> impl Iterator<Item = Vec<u8>> {
        std::iter::repeat_n(vec![0; 1 << 20], 1 << 10)
    }

    #[test]
    fn frames_say_their_size_and_come_back_whole_from_reused_contexts() {
        let mut compressor = Compressor::new().unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        for (size, level) in [(5_000_000, 3), (0, 3), (1, 1), (100_000, 19), (3, 3), (70_000, -5)] {
            let text: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[1]).collect();
            compressor.compress_into(&text, level, &mut packed).unwrap();
            assert_eq!(stated_size(&packed), Ok(Some(Bytes(u64::from(size)))));
            decompressor.decompress_into(&packed, Bytes(u64::from(size)), &mut plain).unwrap();
            assert_eq!(plain, text);
        }
    }

    #[test]
    fn the_limit_is_exact() {
        let frame = packed(&[7; 1000]);
        assert_eq!(unpacked(&frame, 1000), Ok(vec![7; 1000]));
        assert_eq!(unpacked(&frame, 999), Err(CodecError::TooLarge { limit: Bytes(999) }));
        let unsized_frame = streamed(std::iter::once(vec![7; 100_000]));
        assert_eq!(stated_size(&unsized_frame), Ok(None));
        assert_eq!(unpacked(&unsized_frame, 100_000), Ok(vec![7; 100_000]));
        assert_eq!(unpacked(&unsized_frame, 1 << 24), Ok(vec![7; 100_000]));
        assert_eq!(unpacked(&unsized_frame, 99_999), Err(CodecError::TooLarge { limit: Bytes(99_999) }));
        assert_eq!(unpacked(&unsized_frame, 0), Err(CodecError::TooLarge { limit: Bytes(0) }));
    }

    #[test]
    fn a_roomy_buffer_does_not_widen_the_limit() {
        let mut out = Vec::with_capacity(1 << 20);
        let mut decompressor = Decompressor::new().unwrap();
        for frame in [packed(&[7; 1000]), streamed(std::iter::once(vec![7; 1000]))] {
            assert!(decompressor.decompress_into(&frame, Bytes(999), &mut out).is_err());
            assert!(out.is_empty());
        }
    }

    #[test]
    fn bombs_are_refused_in_bounded_memory() {
        let unsized_bomb = streamed(gigabyte_of_zeros());
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_pledged_src_size(Some(GIGABYTE)).unwrap();
        gigabyte_of_zeros().for_each(|part| encoder.write_all(&part).unwrap());
        let sized_bomb = encoder.finish().unwrap();
        assert_eq!(stated_size(&sized_bomb), Ok(Some(Bytes(GIGABYTE))));
        for bomb in [unsized_bomb, sized_bomb] {
            assert!(bomb.len() < 1 << 17);
            let limit = Bytes::mib(4);
            assert_eq!(unpacked(&bomb, limit.0), Err(CodecError::TooLarge { limit }));
        }
        // Many small frames add up as well.
        let many = packed(&[0; 1 << 20]).repeat(5);
        assert_eq!(unpacked(&many, 5 << 20).map(|plain| plain.len()), Ok(5 << 20));
        assert!(unpacked(&many, (5 << 20) - 1).is_err());
        // Sizes that would wrap around.
        for size in [1_u64 << 63, u64::MAX - 1, u64::MAX - 2] {
            let huge = [&[0x28, 0xB5, 0x2F, 0xFD, 0xE0], size.to_le_bytes().as_slice(), &[1, 0, 0]].concat();
            assert!(unpacked(&huge.repeat(2), 1 << 20).is_err(), "{size}");
        }
    }

    #[test]
    fn frames_that_lie_about_their_size_are_refused() {
        let frame = packed(&[7; 1000]);
        // Byte 4 says how the size is written; 1000 is in two bytes, less 256.
        assert_eq!(frame[4] >> 6, 1);
        let at = frame.windows(2).position(|two| two == (1000_u16 - 256).to_le_bytes()).unwrap();
        for stated in [0_u16, 10, 743, 745, 60_000] {
            let mut lying = frame.clone();
            lying[at..at + 2].copy_from_slice(&stated.to_le_bytes());
            assert!(matches!(unpacked(&lying, 1 << 20), Err(CodecError::Damaged(_))), "{stated}");
        }
    }

    #[test]
    fn several_frames_and_skippable_frames_are_taken_as_zstd_takes_them() {
        let two =
            [packed(b"one"), skippable(b"padding"), streamed(std::iter::once(b"two".to_vec()))].concat();
        assert_eq!(unpacked(&two, 100), Ok(b"onetwo".to_vec()));
        let padded = [packed(b"one"), skippable(b"")].concat();
        assert_eq!(unpacked(&padded, 3), Ok(b"one".to_vec()));
        assert_eq!(unpacked(&skippable(b"only"), 0), Ok(Vec::new()));
        assert_eq!(unpacked(&packed(b""), 0), Ok(Vec::new()));
    }

    #[test]
    fn anything_but_whole_frames_is_refused() {
        let frame = packed(b"some text that is worth keeping");
        for length in 0..frame.len() {
            assert!(matches!(unpacked(&frame[..length], 100), Err(CodecError::Damaged(_))), "{length}");
        }
        for garbage in [&b"x"[..], b"\0", b"\n", &[0x28, 0xB5, 0x2F, 0xFD], &[0; 100]] {
            let trailed = [&frame, garbage].concat();
            assert!(matches!(unpacked(&trailed, 1000), Err(CodecError::Damaged(_))), "{garbage:?}");
            assert!(unpacked(garbage, 1000).is_err());
            let skipped = [&skippable(b"x"), garbage].concat();
            assert!(unpacked(&skipped, 1000).is_err());
        }
    }

    #[test]
    fn json_goes_both_ways_and_errors_do_not_repeat_it() {
        let mut packed = Vec::new();
        Compressor::new().unwrap().pack_json(&vec!["secret"], &mut packed).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        assert_eq!(unpacked(&packed, 100), Ok(b"[\"secret\"]\n".to_vec()));
        assert_eq!(decompressor.unpack_json(&packed, Bytes(100)), Ok(vec!["secret".to_owned()]));
        let error = decompressor.unpack_json::<Vec<u8>>(&packed, Bytes(100)).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(decompressor.unpack_json::<Vec<String>>(&packed, Bytes(5)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(tail: Vec<u8>, cut: u8, flip: u8) {
            let _ = unpacked(&tail, 1 << 16);
            let mut frame = [packed(&tail), streamed(std::iter::once(tail))].concat();
            let at = usize::from(cut) % frame.len();
            frame[at] ^= flip;
            let _ = unpacked(&frame, 1 << 16);
        }
    }
}
