//! The stored form of everything: bytes to values and back, described in `FORMAT.md`.
//!
//! No I/O happens here, and decoding is total: any bytes give a value or a [`FormatError`], never a panic or
//! unbounded work.

pub mod heartbeat;
pub mod index;
pub mod keys;
pub mod manifest;
pub mod names;
pub mod pack;
pub mod records;
pub mod snapshot;
pub mod tar;
pub mod text;
pub mod trust;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// The version of the format this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 0;

/// The longest plaintext of a segment: it is decoded in memory.
pub const SEGMENT_PLAIN_MAX: Bytes = Bytes::mib(64);
/// The longest chunk: it is held in memory.
pub const CHUNK_MAX: Bytes = Bytes::mib(16);
/// The longest pack.
pub const PACK_MAX: Bytes = Bytes::mib(1024);
/// The longest stored index object, snapshot or pack table.
pub const CATALOGED_STORED_MAX: Bytes = Bytes::mib(256);
/// The longest plaintext of an index object, snapshot or pack table.
pub const CATALOGED_PLAIN_MAX: Bytes = Bytes::mib(1024);
/// The longest object of any other kind.
pub const RECORD_MAX: Bytes = Bytes::mib(64);

const _: () = assert!(CHUNK_MAX.0 < SEGMENT_PLAIN_MAX.0 && SEGMENT_PLAIN_MAX.0 < PACK_MAX.0);

/// Stored bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {kind}")]
pub struct FormatError {
    /// The thing, in words: `snapshot`, `index line 7`.
    pub what: String,
    /// What is wrong with it.
    pub kind: FormatErrorKind,
}

/// What is wrong with stored bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// Not the JSON it should be.
    #[error("{0}")]
    Json(String),
    /// Written by a newer Lifeboat.
    #[error("it has format {0}, newer than this program reads (0); use a newer Lifeboat")]
    Newer(u32),
    /// It needs features this program does not know.
    #[error("it needs {0:?}, which this program does not know; use a newer Lifeboat")]
    Must(Vec<String>),
    /// A rule of the format is broken.
    #[error("{0}")]
    Rule(String),
}

impl FormatError {
    pub(crate) fn json(what: impl Into<String>, error: &serde_json::Error) -> Self {
        Self { what: what.into(), kind: FormatErrorKind::Json(error.to_string()) }
    }

    pub(crate) fn rule(what: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { what: what.into(), kind: FormatErrorKind::Rule(rule.into()) }
    }
}

#[derive(Deserialize)]
struct Envelope {
    format: u32,
    #[serde(default)]
    must: Vec<String>,
}

/// Reads one JSON value of a known kind, after its version and `must`.
///
/// # Errors
/// It is not JSON of that shape, or was written by a newer Lifeboat.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, FormatError> {
    let envelope: Envelope =
        serde_json::from_slice(bytes).map_err(|error| FormatError::json(what, &error))?;
    if envelope.format > FORMAT_VERSION {
        return Err(FormatError { what: what.into(), kind: FormatErrorKind::Newer(envelope.format) });
    }
    if !envelope.must.is_empty() {
        return Err(FormatError { what: what.into(), kind: FormatErrorKind::Must(envelope.must) });
    }
    serde_json::from_slice(bytes).map_err(|error| FormatError::json(what, &error))
}

/// Writes one JSON value with a final newline.
///
/// # Errors
/// Never for the types of this module; serde cannot know.
pub fn encode<T: Serialize>(value: &T, what: &str) -> Result<Vec<u8>, FormatError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| FormatError::json(what, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Lines of JSON Lines with their numbers from 1. A last line without newline is an error, as is an empty one.
pub(crate) fn lines<'a>(
    bytes: &'a [u8],
    what: &'a str,
) -> impl Iterator<Item = Result<(usize, &'a [u8]), FormatError>> {
    bytes.split_inclusive(|b| *b == b'\n').enumerate().map(move |(at, line)| match line.split_last() {
        Some((b'\n', line)) if !line.is_empty() => Ok((at + 1, line)),
        _ => Err(FormatError::rule(format!("{what} line {}", at + 1), "the line is empty or cut off")),
    })
}
