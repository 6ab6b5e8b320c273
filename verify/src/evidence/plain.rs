//! Texts of unknown origin, made so that they act on nothing.

use std::fmt::Write;

/// The text with what moves a cursor, hides or turns text around spelled out: `\u{1b}`.
///
/// What a step printed may hold terminal escapes, and a name may be turned around to read as another one.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || turns {
            // Writing to a string cannot fail.
            let _ = write!(plain, "{}", c.escape_unicode());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The text as Markdown that says it and does nothing else: no fence, no link, no HTML, no column of a table.
pub(crate) fn markdown(text: &str) -> String {
    let mut marked = String::with_capacity(text.len());
    for c in plain(text).chars() {
        if matches!(c, '|' | '`' | '<' | '>' | '[' | ']' | '*' | '_' | '\\' | '{' | '}' | '&') {
            marked.push('\\');
        }
        marked.push(c);
    }
    marked
}
