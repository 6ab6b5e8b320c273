//! The patterns of `allowed_signers`: `*` stands for any bytes, none included, `?` for exactly one.
//!
//! Source: match.c of OpenSSH, `match_pattern`. That one recurses and takes exponential time on `*a*a*a…`; this
//! one goes back to the last `*` only, which is enough: any match of what came before it serves as well.

/// ssh-keygen copies a pattern into 1,024 bytes and matches nothing where it does not fit.
const PATTERN_MAX: usize = 1000;

/// Whether `text` may stand between the commas of `namespaces="…"`.
pub(super) fn is_pattern(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:@/+-*?".contains(&b);
    !text.is_empty() && text.len() <= PATTERN_MAX && text.bytes().all(allowed)
}

/// Whether one of `patterns` matches the whole of `text`.
pub(super) fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern.as_bytes(), text.as_bytes()))
}

/// Whether `pattern` matches the whole of `text`: at most the product of their lengths in steps, no memory.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at_pattern, mut at_text) = (0, 0);
    // After the last `*` seen, and the first byte of the text that it does not stand for.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                at_pattern += 1;
                star = Some((at_pattern, at_text));
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((after_star, start)) = star else { return false };
                star = Some((after_star, start + 1));
                (at_pattern, at_text) = (after_star, start + 1);
            }
        }
    }
    pattern.get(at_pattern..).is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}
