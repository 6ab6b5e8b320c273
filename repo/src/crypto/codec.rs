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
mod tests;
