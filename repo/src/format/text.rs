//! Paths and other names that are bytes, as text that JSON, terminals and shells can carry.

use std::borrow::Cow;

/// Whether bytes may stand in JSON as they are: UTF-8 without control characters (C0, DEL, C1).
#[must_use]
pub fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let tame = if text.is_ascii() {
        text.bytes().all(|b| (0x20..0x7f).contains(&b))
    } else {
        !text.chars().any(char::is_control)
    };
    tame.then_some(text)
}

/// The bytes as POSIX `printf %b` reads them: `\0ooo` for what is not printable ASCII, `\\` for a backslash.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => {
                text.push_str("\\0");
                for shift in [6, 3, 0] {
                    text.push(char::from(b'0' + ((byte >> shift) & 7)));
                }
            }
        }
    }
    text
}

/// The bytes that [`escape`] wrote, or `None` where the text is not of that form.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if !(0x20..0x7f).contains(first) {
            return None;
        }
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        match after {
            [b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'0', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// For people: the bytes as text that cannot move a cursor or fake a line.
#[must_use]
pub fn display(bytes: &[u8]) -> Cow<'_, str> {
    plain(bytes).map_or_else(|| Cow::Owned(escape(bytes)), Cow::Borrowed)
}

/// Appends a JSON string.
pub(crate) fn push_json(line: &mut Vec<u8>, text: &str) {
    line.push(b'"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            line.extend_from_slice(text.as_bytes().get(start..at).unwrap_or_default());
            if byte < 0x20 {
                line.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            } else {
                line.extend_from_slice(&[b'\\', byte]);
            }
            start = at + 1;
        }
    }
    line.extend_from_slice(text.as_bytes().get(start..).unwrap_or_default());
    line.push(b'"');
}

/// Appends `"key":"…"` or `"key_esc":"…"`.
pub(crate) fn push_named(line: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    line.push(b'"');
    line.extend_from_slice(key.as_bytes());
    if let Some(text) = plain(bytes) {
        line.extend_from_slice(b"\":");
        push_json(line, text);
    } else {
        line.extend_from_slice(b"_esc\":");
        push_json(line, &escape(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes.clone()));
            let mut line = Vec::new();
            push_named(&mut line, "k", &bytes);
            let value: serde_json::Value = serde_json::from_slice(&[b"{".as_slice(), &line, b"}"].concat()).unwrap();
            let back = value.get("k").and_then(|v| v.as_str()).map(|t| t.as_bytes().to_vec())
                .or_else(|| value.get("k_esc").and_then(|v| v.as_str()).and_then(unescape));
            prop_assert_eq!(back, Some(bytes));
        }

        #[test]
        fn shown_names_are_tame(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(!display(&bytes).chars().any(char::is_control));
        }

        #[test]
        fn unescape_is_total(text in ".*") {
            let _ = unescape(&text);
        }
    }
}
