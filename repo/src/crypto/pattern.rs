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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// The definition, as OpenSSH writes it.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', rest @ ..], text) => (0..=text.len()).any(|skip| slowly(rest, text.split_at(skip).1)),
            ([b'?', pattern @ ..], [_, text @ ..]) => slowly(pattern, text),
            ([wanted, pattern @ ..], [found, text @ ..]) => wanted == found && slowly(pattern, text),
            (_, []) => false,
        }
    }

    #[test]
    fn patterns_that_make_openssh_wait_do_not_make_us_wait() {
        let start = Instant::now();
        let pattern = "*a".repeat(PATTERN_MAX / 2 - 1);
        assert!(matches(pattern.as_bytes(), &[b'a'; 1000]));
        assert!(!matches(format!("{pattern}*b").as_bytes(), &[b'a'; 1000]));
        let pattern = format!("*{}b", "a".repeat(PATTERN_MAX - 2));
        assert!(!matches(pattern.as_bytes(), &[b'a'; 100_000]));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }

    #[test]
    fn only_plain_patterns_are_patterns() {
        for good in ["*", "lifeboat-index:*", "lifeboat-*:0123abcd:index/fra-app-1/*", "a?b"] {
            assert!(is_pattern(good), "{good}");
        }
        let long = "a".repeat(PATTERN_MAX + 1);
        for bad in ["", "!a", "a b", "a,b", "a\"", "a\\", "ä", "[a]", "a\0", "a\n", &long] {
            assert!(!is_pattern(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_its_definition_says(pattern in "[ab?*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                slowly(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
