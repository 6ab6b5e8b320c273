//! Writes entries as lines of a manifest.

use super::{Entry, EntryKind, LINE_MAX, Metadata, Tail, Xattr, XattrValue};
use crate::format::index::ChunkRef;
use crate::format::text::{push_json, push_named};
use crate::units::{Bytes, Timestamp};

/// Appends a line's head: everything up to and without its tail.
pub fn write_head(line: &mut Vec<u8>, path: &[u8], kind: EntryKind, metadata: &Metadata, size: Bytes) {
    let names = (metadata.user.as_deref(), metadata.group.as_deref());
    write_head_named(line, path, kind, metadata, names, size);
}

/// As [`write_head`], with the names of user and group given apart: whoever compares heads need not own them.
pub fn write_head_named(
    line: &mut Vec<u8>,
    path: &[u8],
    kind: EntryKind,
    metadata: &Metadata,
    (user, group): (Option<&str>, Option<&str>),
    size: Bytes,
) {
    line.push(b'{');
    push_named(line, "path", path);
    push_text(line, "type", kind.as_str());
    if kind == EntryKind::Error {
        return;
    }
    let m = metadata;
    line.extend_from_slice(b",\"mode\":\"");
    for shift in [9_u32, 6, 3, 0] {
        line.push(b'0' + u8::try_from((m.mode >> shift) & 7).unwrap_or(0));
    }
    line.extend_from_slice(b"\",\"uid\":");
    push_number(line, u64::from(m.uid));
    line.extend_from_slice(b",\"gid\":");
    push_number(line, u64::from(m.gid));
    if let Some(user) = user {
        push_text(line, "user", user);
    }
    if let Some(group) = group {
        push_text(line, "group", group);
    }
    line.extend_from_slice(b",\"mtime\":\"");
    push_time(line, m.mtime);
    line.extend_from_slice(b"\",\"ctime\":\"");
    push_time(line, m.ctime);
    line.extend_from_slice(b"\",\"inode\":\"");
    push_number(line, m.inode);
    line.push(b'"');
    if matches!(kind, EntryKind::File | EntryKind::Hardlink) {
        line.extend_from_slice(b",\"size\":");
        push_number(line, size.0);
    }
}

/// Whether a stored entry (its line and those that go on with it) begins with this head.
#[must_use]
pub fn has_head(stored: &[u8], head: &[u8]) -> bool {
    stored.strip_prefix(head).is_some_and(|rest| matches!(rest.first(), Some(b',' | b'}')))
}

/// Appends the tail to a head, ends the line, and adds the lines that go on where it would get too long.
/// `start` is where the entry begins in `out`.
pub fn write_tail(out: &mut Vec<u8>, start: usize, tail: &Tail) {
    if let Some((major, minor)) = tail.device {
        out.extend_from_slice(format!(",\"device\":[{major},{minor}]").as_bytes());
    }
    if let Some(target) = &tail.target {
        out.push(b',');
        push_named(out, "target", target);
    }
    if let Some(link) = &tail.link {
        out.push(b',');
        push_named(out, "link", link);
    }
    if tail.changed {
        out.extend_from_slice(b",\"changed\":true");
    }
    if let Some(error) = &tail.error {
        push_text(out, "error", error);
    }
    let mut lines = Lines { line: start, array: None };
    for xattr in &tail.xattrs {
        write_xattr(&mut lines, out, xattr);
    }
    for hole in &tail.holes {
        lines.item(out, "holes", format!("[{},{}]", hole.offset.0, hole.length.0).as_bytes());
    }
    for chunk in &tail.chunks {
        lines.item(out, "chunks", &chunk_item(chunk));
    }
    lines.finish(out);
}

/// A whole entry as it is stored.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    write_head(&mut out, &entry.path, entry.kind, &entry.metadata, entry.size);
    write_tail(&mut out, 0, &entry.tail);
    out
}

/// The order entries stand in: parents before children, siblings by bytes.
#[must_use]
pub fn order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    // `.` is the root and comes before everything.
    match (a == b".", b == b".") {
        (true, true) => return std::cmp::Ordering::Equal,
        (true, false) => return std::cmp::Ordering::Less,
        (false, true) => return std::cmp::Ordering::Greater,
        (false, false) => {}
    }
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

/// Keeps lines below [`LINE_MAX`]: an array that would overflow goes on in a new line.
struct Lines {
    line: usize,
    array: Option<&'static str>,
}

/// Room kept for what ends a line: `]}` and a newline.
const LINE_END: usize = 3;

impl Lines {
    fn item(&mut self, out: &mut Vec<u8>, key: &'static str, item: &[u8]) {
        let opening = key.len() + 6;
        if out.len() - self.line + item.len() + opening + LINE_END > LINE_MAX {
            self.end_line(out);
            self.line = out.len();
            out.extend_from_slice(b"{\"more\":true");
        }
        if self.array == Some(key) {
            out.push(b',');
        } else {
            self.end_array(out);
            out.extend_from_slice(b",\"");
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(b"\":[");
            self.array = Some(key);
        }
        out.extend_from_slice(item);
    }

    fn end_array(&mut self, out: &mut Vec<u8>) {
        if self.array.take().is_some() {
            out.push(b']');
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        self.end_array(out);
        out.extend_from_slice(b"}\n");
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        self.end_line(out);
    }
}

fn write_xattr(lines: &mut Lines, out: &mut Vec<u8>, xattr: &Xattr) {
    use base64::Engine;
    let mut item = vec![b'{'];
    push_named(&mut item, "name", &xattr.name);
    match &xattr.value {
        XattrValue::Inline(value) => {
            push_text(&mut item, "value", &base64::engine::general_purpose::STANDARD.encode(value));
        }
        XattrValue::Chunks(chunks) => {
            item.extend_from_slice(b",\"chunks\":[");
            for (at, chunk) in chunks.iter().enumerate() {
                if at > 0 {
                    item.push(b',');
                }
                item.extend_from_slice(&chunk_item(chunk));
            }
            item.push(b']');
        }
    }
    item.push(b'}');
    lines.item(out, "xattrs", &item);
}

fn chunk_item(chunk: &ChunkRef) -> Vec<u8> {
    let mut item = Vec::with_capacity(80);
    item.extend_from_slice(b"[\"");
    let mut hex = [0_u8; 64];
    if hex::encode_to_slice(chunk.0.as_bytes(), &mut hex).is_ok() {
        item.extend_from_slice(&hex);
    }
    item.extend_from_slice(b"\",");
    push_number(&mut item, u64::from(chunk.1));
    item.push(b']');
    item
}

fn push_text(line: &mut Vec<u8>, key: &str, text: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
    push_json(line, text);
}

fn push_time(line: &mut Vec<u8>, time: Timestamp) {
    if time.seconds() < 0 {
        line.push(b'-');
    }
    push_number(line, time.seconds().unsigned_abs());
    line.push(b'.');
    let mut nanos = time.nanos();
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(nanos % 10).unwrap_or(0);
        nanos /= 10;
    }
    line.extend_from_slice(&digits);
}

fn push_number(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    line.extend_from_slice(digits.get(20 - length..).unwrap_or_default());
}
