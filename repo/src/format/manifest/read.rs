//! Reading manifests: total, bounded, a line at a time.

use base64::Engine;
use serde::Deserialize;

use super::{Entry, EntryKind, Hole, LINE_MAX, Metadata, Tail, Xattr, XattrValue};
use crate::format::index::ChunkRef;
use crate::format::text::unescape;
use crate::format::{CHUNK_MAX, FormatError};
use crate::units::{Bytes, STORED_INTEGER_MAX, Timestamp};

/// The longest path. Twice what Linux takes in one call, since trees can be deeper; two of them, escaped, still
/// fit a line.
pub const PATH_LEN_MAX: usize = 8192;

/// Takes a manifest's bytes as they come and gives its entries.
#[derive(Default)]
pub struct ManifestDecoder {
    buffer: Vec<u8>,
    consumed: usize,
    line: u64,
    pending: Option<Entry>,
    ended: bool,
}

impl ManifestDecoder {
    /// A decoder at the beginning of a manifest.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that no more bytes come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next entry with all its lines, or `None` until more bytes come (or, after the end, for good).
    ///
    /// # Errors
    /// A line breaks a rule of the format. Nothing after it can be trusted.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, FormatError> {
        loop {
            let rest = self.buffer.get(self.consumed..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\n', rest) else {
                return self.without_line(rest.len());
            };
            if length >= LINE_MAX {
                return Err(self.rule("the line is longer than 128 KiB"));
            }
            self.line += 1;
            let line = rest.get(..length).unwrap_or_default();
            let raw: RawLine<'_> = serde_json::from_slice(line)
                .map_err(|error| FormatError::json(format!("manifest line {}", self.line), &error))?;
            let parsed = raw.into_line().map_err(|rule| self.rule(rule))?;
            self.consumed += length + 1;
            match parsed {
                Line::Entry(entry) => {
                    if let Some(complete) = self.pending.replace(*entry) {
                        return finished(complete, self.line).map(Some);
                    }
                }
                Line::More(more) => match &mut self.pending {
                    Some(entry) => {
                        entry.tail.xattrs.extend(more.xattrs);
                        entry.tail.holes.extend(more.holes);
                        entry.tail.chunks.extend(more.chunks);
                    }
                    None => return Err(self.rule("the first line goes on with nothing")),
                },
            }
        }
    }

    fn without_line(&mut self, left: usize) -> Result<Option<Entry>, FormatError> {
        if left >= LINE_MAX {
            return Err(self.rule("the line is longer than 128 KiB"));
        }
        if !self.ended {
            return Ok(None);
        }
        if left > 0 {
            return Err(self.rule("the last line is cut off"));
        }
        let line = self.line;
        self.pending.take().map(|entry| finished(entry, line)).transpose()
    }

    fn rule(&self, rule: impl Into<String>) -> FormatError {
        FormatError::rule(format!("manifest line {}", self.line + 1), rule)
    }
}

/// Whether a path may be used below a target: relative, no empty, `.` or `..` part, no NUL, no longer than
/// [`PATH_LEN_MAX`]. `.` alone is the root.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path == b"." {
        return Ok(());
    }
    if path.is_empty() || path.len() > PATH_LEN_MAX || path.contains(&0) {
        return Err("a path is empty, too long, or holds a NUL");
    }
    for part in path.split(|b| *b == b'/') {
        if part.is_empty() || part == b"." || part == b".." || part.len() > 255 {
            return Err("a path is absolute or has a part that is empty, `.`, `..` or too long");
        }
    }
    Ok(())
}

/// Rules that hold for an entry as a whole.
fn finished(entry: Entry, line: u64) -> Result<Entry, FormatError> {
    let rule = |text: &str| {
        Err(FormatError::rule(
            format!("manifest entry {:?} before line {line}", super::super::text::display(&entry.path)),
            text,
        ))
    };
    let mut end = 0;
    for hole in &entry.tail.holes {
        let Some(next) = hole.offset.0.checked_add(hole.length.0) else {
            return rule("a hole overflows");
        };
        if hole.offset.0 < end || hole.length.0 == 0 || next > entry.size.0 {
            return rule("its holes are not ascending within its size");
        }
        end = next;
    }
    let hollow: Bytes = entry.tail.holes.iter().map(|hole| hole.length).sum();
    let content: Bytes = entry.tail.chunks.iter().map(ChunkRef::length).sum();
    if entry.kind == EntryKind::File && hollow + content != entry.size {
        return rule("its holes and chunks do not add up to its size");
    }
    if entry.tail.chunks.iter().any(|chunk| chunk.length() > CHUNK_MAX) {
        return rule("a chunk is longer than the format allows");
    }
    Ok(entry)
}

enum Line {
    Entry(Box<Entry>),
    More(Tail),
}

type Text<'a> = std::borrow::Cow<'a, str>;

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(borrow, default)]
    path: Option<Text<'a>>,
    #[serde(borrow, default)]
    path_esc: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    mode: Option<Text<'a>>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    mtime: Timestamp,
    #[serde(default)]
    ctime: Timestamp,
    #[serde(borrow, default)]
    inode: Option<Text<'a>>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    device: Option<(u32, u32)>,
    #[serde(borrow, default)]
    target: Option<Text<'a>>,
    #[serde(borrow, default)]
    target_esc: Option<Text<'a>>,
    #[serde(borrow, default)]
    link: Option<Text<'a>>,
    #[serde(borrow, default)]
    link_esc: Option<Text<'a>>,
    #[serde(default)]
    xattrs: Vec<RawXattr<'a>>,
    #[serde(default)]
    holes: Vec<(u64, u64)>,
    #[serde(default)]
    chunks: Vec<ChunkRef>,
    #[serde(default)]
    changed: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct RawXattr<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    name_esc: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(default)]
    chunks: Option<Vec<ChunkRef>>,
}

fn named(plain: Option<Text<'_>>, escaped: Option<Text<'_>>) -> Result<Option<Vec<u8>>, &'static str> {
    match (plain, escaped) {
        (Some(_), Some(_)) => Err("a name stands both plain and escaped"),
        (Some(text), None) => Ok(Some(text.into_owned().into_bytes())),
        (None, Some(text)) => unescape(&text).map(Some).ok_or("an escape is malformed"),
        (None, None) => Ok(None),
    }
}

impl RawLine<'_> {
    fn into_line(self) -> Result<Line, &'static str> {
        let mut tail = Tail {
            device: self.device,
            target: named(self.target, self.target_esc)?,
            link: named(self.link, self.link_esc)?,
            xattrs: self.xattrs.into_iter().map(RawXattr::into_xattr).collect::<Result<_, _>>()?,
            holes: self.holes.into_iter().map(|(o, l)| Hole { offset: Bytes(o), length: Bytes(l) }).collect(),
            chunks: self.chunks,
            changed: self.changed,
            error: self.error,
        };
        if self.more {
            return Ok(Line::More(tail));
        }
        let path = named(self.path, self.path_esc)?.ok_or("it has no path")?;
        check_path(&path)?;
        let word = self.kind.ok_or("it has no type")?;
        let kind = EntryKind::from_word(&word).ok_or("its type is unknown")?;
        if let Some(link) = &tail.link {
            check_path(link)?;
        }
        check_kind(kind, &mut tail, self.size)?;
        let mode = match (self.mode, kind) {
            (None, EntryKind::Error) => 0,
            (Some(digits), _) => parse_mode(&digits).ok_or("its mode is malformed")?,
            (None, _) => return Err("it has no mode"),
        };
        let inode = self.inode.map_or(Ok(0), |text| text.parse()).map_err(|_| "its inode is malformed")?;
        let metadata = Metadata {
            mode,
            uid: self.uid,
            gid: self.gid,
            user: self.user,
            group: self.group,
            mtime: self.mtime,
            ctime: self.ctime,
            inode,
        };
        let size = Bytes(self.size.unwrap_or(0));
        if size.0 > STORED_INTEGER_MAX {
            return Err("its size is beyond 2^53");
        }
        Ok(Line::Entry(Box::new(Entry { path, kind, metadata, size, tail })))
    }
}

fn check_kind(kind: EntryKind, tail: &mut Tail, size: Option<u64>) -> Result<(), &'static str> {
    let fits = match kind {
        EntryKind::File => size.is_some(),
        EntryKind::Hardlink => tail.link.is_some(),
        EntryKind::Symlink => tail.target.as_ref().is_some_and(|t| !t.is_empty() && !t.contains(&0)),
        EntryKind::Char | EntryKind::Block => tail.device.is_some(),
        EntryKind::Error => tail.error.is_some(),
        EntryKind::Dir | EntryKind::Fifo | EntryKind::Socket => true,
    };
    if !fits {
        return Err("a field that its type needs is missing or malformed");
    }
    if kind != EntryKind::File && !(tail.chunks.is_empty() && tail.holes.is_empty()) {
        return Err("only files have content");
    }
    Ok(())
}

fn parse_mode(digits: &str) -> Option<u32> {
    let octal = digits.len() == 4 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    if octal { u32::from_str_radix(digits, 8).ok() } else { None }
}

impl RawXattr<'_> {
    fn into_xattr(self) -> Result<Xattr, &'static str> {
        let name = named(self.name, self.name_esc)?.ok_or("an attribute has no name")?;
        if name.is_empty() || name.contains(&0) || name.len() > 255 {
            return Err("an attribute's name is malformed");
        }
        let value = match (self.value, self.chunks) {
            (Some(text), None) => XattrValue::Inline(
                base64::engine::general_purpose::STANDARD
                    .decode(text.as_bytes())
                    .map_err(|_| "an attribute's value is not base64")?,
            ),
            (None, Some(chunks)) => {
                // Linux takes no value above 64 KiB; what claims more would only fill memory.
                if chunks.iter().map(ChunkRef::length).sum::<Bytes>() > Bytes::kib(64) {
                    return Err("an attribute's value is longer than Linux takes");
                }
                XattrValue::Chunks(chunks)
            }
            _ => return Err("an attribute needs a value or chunks"),
        };
        Ok(Xattr { name, value })
    }
}
