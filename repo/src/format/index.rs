//! Index objects and pack tables: which segment lies where and holds which chunks. FORMAT.md §7, §8.

use serde::{Deserialize, Serialize};

use crate::format::{self, CHUNK_MAX, FORMAT_VERSION, FormatError, PACK_MAX, SEGMENT_PLAIN_MAX};
use crate::ids::{ChunkId, KeyId, Label, PackId, RunId, SegmentId};
use crate::units::{Bytes, LockClass};

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentKind {
    /// Content of files (and small manifests beside it).
    Data,
    /// Manifests alone.
    Manifest,
}

/// A segment and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLine {
    /// Its name.
    pub segment: SegmentId,
    /// The pack it lies in; absent in that pack's own table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackId>,
    /// The tenant key that opens it.
    pub key: KeyId,
    /// What it holds.
    pub kind: SegmentKind,
    /// Where it begins in the pack.
    pub offset: Bytes,
    /// Its stored length.
    pub length: Bytes,
    /// The length of its plaintext.
    pub plain: Bytes,
    /// How long its pack is locked.
    #[serde(default, skip_serializing_if = "LockClass::is_normal")]
    pub lock: LockClass,
    /// The chunks in it, in order; empty where the line only gives another place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chunks: Vec<ChunkRef>,
}

/// A chunk and its length: `["<ChunkId>",<length>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef(pub ChunkId, pub u32);

impl ChunkRef {
    /// The chunk's length.
    #[must_use]
    pub fn length(&self) -> Bytes {
        Bytes(u64::from(self.1))
    }
}

/// The first line of an index object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexHeader {
    /// Format version.
    pub format: u32,
    /// Whose index.
    pub writer: Label,
    /// The run that wrote it.
    pub run: RunId,
    /// The packs it speaks of, with their lengths.
    pub packs: Vec<PackRef>,
}

/// A pack and its length: `["<PackId>",<length>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRef(pub PackId, pub Bytes);

/// An index object, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Whose it is and which packs it names.
    pub header: IndexHeader,
    /// Its segments.
    pub segments: Vec<SegmentLine>,
}

/// The first line of a pack's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHeader {
    /// Format version.
    pub format: u32,
    /// Who wrote the pack.
    pub writer: Label,
    /// In which run.
    pub run: RunId,
}

/// Writes an index object's plaintext.
///
/// # Errors
/// Never for well-formed values; serde cannot know.
pub fn encode_index(header: &IndexHeader, segments: &[SegmentLine]) -> Result<Vec<u8>, FormatError> {
    encode_lines(header, segments, "index")
}

/// Writes a pack table's plaintext.
///
/// # Errors
/// Never for well-formed values; serde cannot know.
pub fn encode_table(header: &TableHeader, segments: &[SegmentLine]) -> Result<Vec<u8>, FormatError> {
    encode_lines(header, segments, "pack table")
}

fn encode_lines<H: Serialize>(
    header: &H,
    segments: &[SegmentLine],
    what: &str,
) -> Result<Vec<u8>, FormatError> {
    let mut bytes = format::encode(header, what)?;
    for segment in segments {
        serde_json::to_writer(&mut bytes, segment).map_err(|error| FormatError::json(what, &error))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads an index object's plaintext.
///
/// # Errors
/// It is not one, or a line breaks a rule of the format.
pub fn decode_index(bytes: &[u8]) -> Result<Index, FormatError> {
    let (header, segments) = decode_lines::<IndexHeader>(bytes, "index", true)?;
    Ok(Index { header, segments })
}

/// Reads a pack table's plaintext.
///
/// # Errors
/// It is not one, or a line breaks a rule of the format.
pub fn decode_table(bytes: &[u8]) -> Result<(TableHeader, Vec<SegmentLine>), FormatError> {
    decode_lines(bytes, "pack table", false)
}

fn decode_lines<H: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &str,
    names_packs: bool,
) -> Result<(H, Vec<SegmentLine>), FormatError> {
    let mut lines = format::lines(bytes, what);
    let (_, first) = lines.next().ok_or_else(|| FormatError::rule(what, "it is empty"))??;
    let header = format::decode(first, what)?;
    let mut segments = Vec::new();
    for line in lines {
        let (number, line) = line?;
        let at = || format!("{what} line {number}");
        let segment: SegmentLine =
            serde_json::from_slice(line).map_err(|error| FormatError::json(at(), &error))?;
        check_segment(&segment, names_packs).map_err(|rule| FormatError::rule(at(), rule))?;
        segments.push(segment);
    }
    Ok((header, segments))
}

fn check_segment(line: &SegmentLine, names_pack: bool) -> Result<(), &'static str> {
    if line.pack.is_some() != names_pack {
        return Err("it names a pack where it must not, or names none where it must");
    }
    let end = line.offset.0.checked_add(line.length.0).ok_or("offset and length overflow")?;
    if end > PACK_MAX.0 || line.plain > SEGMENT_PLAIN_MAX || line.length.0 == 0 {
        return Err("a length is beyond the limits of the format");
    }
    if line.chunks.iter().any(|chunk| chunk.length() > CHUNK_MAX) {
        return Err("a chunk is longer than the format allows");
    }
    let sum: Bytes = line.chunks.iter().map(ChunkRef::length).sum();
    if !line.chunks.is_empty() && sum != line.plain {
        return Err("the chunks do not add up to the plaintext");
    }
    Ok(())
}

impl IndexHeader {
    /// The header of a new index object.
    #[must_use]
    pub fn new(writer: Label, run: RunId, packs: Vec<PackRef>) -> Self {
        Self { format: FORMAT_VERSION, writer, run, packs }
    }
}
