//! Patterns for paths: `*`, `**`, `?`, `[a-z]`, as shells and `.gitignore` have them, on bytes.

use lifeboat_repo::format::text;

/// The longest pattern: what is matched against is at most 8 KiB itself.
pub const PATTERN_MAX: usize = 4096;

/// A pattern ready to match paths.
///
/// One without `/` matches an entry's own name, one with `/` its whole path. `*` and `?` stop at `/`, `**` does not.
/// A text without any of `*?[` is found wherever it stands in the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    whole_path: bool,
    ignore_case: bool,
    /// The text itself, where there is nothing special in it.
    plain: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// Any byte but `/`.
    One,
    /// Any number of bytes but `/`.
    Many,
    /// Any number of bytes.
    Deep,
    /// A byte in (or, if the first is set, not in) these ranges; never `/`.
    Class(bool, Vec<(u8, u8)>),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {shown:?}: {why}")]
pub struct BadPattern {
    shown: String,
    why: &'static str,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is empty, too long, or a `[` in it is never closed.
    pub fn new(given: &[u8], ignore_case: bool) -> Result<Self, BadPattern> {
        let bad = |why| BadPattern { shown: text::display(given).chars().take(80).collect(), why };
        let given = given.strip_prefix(b"./").unwrap_or(given);
        if given.is_empty() || given.len() > PATTERN_MAX {
            return Err(bad("it is empty or longer than 4 KiB"));
        }
        if !given.iter().any(|byte| b"*?[".contains(byte)) {
            let plain = if ignore_case { given.to_ascii_lowercase() } else { given.to_vec() };
            return Ok(Self { parts: Vec::new(), whole_path: true, ignore_case, plain: Some(plain) });
        }
        let mut parts = Vec::new();
        let mut rest = given;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            parts.push(match first {
                b'?' => Part::One,
                b'*' if after.first() == Some(&b'*') => {
                    rest = after.get(1..).unwrap_or_default();
                    // `a/**/b` is `a/b` too.
                    if rest.first() == Some(&b'/') && matches!(parts.last(), None | Some(Part::Byte(b'/'))) {
                        rest = rest.get(1..).unwrap_or_default();
                        parts.push(Part::Deep);
                        continue;
                    }
                    Part::Deep
                }
                b'*' => Part::Many,
                b'[' => {
                    let (class, after) = class(after).ok_or_else(|| bad("a [ in it is never closed"))?;
                    rest = after;
                    class
                }
                b'\\' if !after.is_empty() => {
                    rest = after.get(1..).unwrap_or_default();
                    Part::Byte(after.first().copied().unwrap_or(b'\\'))
                }
                byte => Part::Byte(*byte),
            });
        }
        Ok(Self { parts, whole_path: given.contains(&b'/'), ignore_case, plain: None })
    }

    /// Whether a path is one of those meant.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let lowered;
        let path = if self.ignore_case {
            lowered = path.to_ascii_lowercase();
            &lowered
        } else {
            path
        };
        if let Some(plain) = &self.plain {
            return path.windows(plain.len()).any(|window| window == plain.as_slice());
        }
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        glob(&self.parts, if self.whole_path { path } else { name }, self.ignore_case)
    }
}

/// What stands in brackets, and what follows them.
fn class(after: &[u8]) -> Option<(Part, &[u8])> {
    let (not, mut rest) = match after.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, after),
    };
    let mut ranges = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        if *first == b']' && !ranges.is_empty() {
            return Some((Part::Class(not, ranges), after));
        }
        match after {
            [b'-', last, after @ ..] if *last != b']' => {
                ranges.push((*first, *last));
                rest = after;
            }
            _ => {
                ranges.push((*first, *first));
                rest = after;
            }
        }
    }
}

/// Matches with a memory of the last `*` and the last `**` only, so that no pattern takes more than quadratic time
/// for each of the two.
fn glob(parts: &[Part], text: &[u8], ignore_case: bool) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut many: Option<(usize, usize)> = None;
    let mut deep: Option<(usize, usize)> = None;
    loop {
        let byte = text.get(read).copied();
        match parts.get(at) {
            None if byte.is_none() => return true,
            Some(Part::Deep) => {
                deep = Some((at + 1, read));
                many = None;
                at += 1;
                continue;
            }
            Some(Part::Many) => {
                many = Some((at + 1, read));
                at += 1;
                continue;
            }
            Some(part) if byte.is_some_and(|byte| takes(part, byte, ignore_case)) => {
                at += 1;
                read += 1;
                continue;
            }
            _ => {}
        }
        // Let the last star take one byte more; `*` first, since `**` covers what it cannot.
        match (many, deep) {
            (Some((next, from)), _) if text.get(from).is_some_and(|byte| *byte != b'/') => {
                many = Some((next, from + 1));
                (at, read) = (next, from + 1);
            }
            (_, Some((next, from))) if from < text.len() => {
                deep = Some((next, from + 1));
                many = None;
                (at, read) = (next, from + 1);
            }
            _ => return false,
        }
    }
}

fn takes(part: &Part, byte: u8, ignore_case: bool) -> bool {
    let lower = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
    match part {
        Part::Byte(wanted) => lower(*wanted) == byte,
        Part::One => byte != b'/',
        Part::Class(not, ranges) => {
            let within = |b: u8| ranges.iter().any(|(from, to)| (*from..=*to).contains(&b));
            let hit = within(byte) || (ignore_case && within(byte.to_ascii_uppercase()));
            byte != b'/' && hit != *not
        }
        Part::Many | Part::Deep => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = Pattern::new(pattern.as_bytes(), false).unwrap();
        for path in yes {
            assert!(pattern.matches(path.as_bytes()), "{pattern:?} should match {path}");
        }
        for path in no {
            assert!(!pattern.matches(path.as_bytes()), "{pattern:?} should not match {path}");
        }
    }

    #[test]
    fn patterns_mean_what_shells_mean() {
        check("*.txt", &["a.txt", "x/y/.txt", "x.d/a.txt"], &["a.txt.gz", "a.txt/b"]);
        check("a/*.txt", &["a/b.txt"], &["a/b/c.txt", "x/a/b.txt", "a/b.txtx"]);
        check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "b", "a/x/c"]);
        check("**/b", &["b", "a/b", "a/x/b"], &["a/bc"]);
        check("a/**", &["a/b", "a/b/c"], &["a", "b/a/c"]);
        check("f?o[0-9a]", &["foo1", "x/fxoa"], &["foo", "foob", "fo/a"]);
        check("[!a-c]*", &["d", "x/dab"], &["abc", "x/b"]);
        check("[]x]", &["]", "x"], &["y"]);
        check("*a*b*c", &["aabbcc", "xaybzc", "abcabc"], &["abcab", "acb"]);
        check("a/**/x*y/z", &["a/1/xy/z", "a/x/x1y/xx/xyy/z"], &["a/xy/y", "a/1/x/y/z"]);
        check("\\*", &["x/*"], &["a"]);
        check("uploads/acme", &["uploads/acme", "my-uploads/acme/x"], &["uploads/globex"]);
    }

    #[test]
    fn case_can_be_ignored() {
        let plain = Pattern::new(b"ReadMe", true).unwrap();
        assert!(plain.matches(b"docs/README.md") && !plain.matches(b"docs/read"));
        let glob = Pattern::new(b"*.[J]PG", true).unwrap();
        assert!(glob.matches(b"a.jpg") && glob.matches(b"A.JPG") && !glob.matches(b"a.png"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_none_takes_long() {
        for bad in [&b""[..], b"./", b"a[b", b"[", b"[!", &[b'*'; PATTERN_MAX + 1]] {
            assert!(Pattern::new(bad, false).is_err(), "{bad:?}");
        }
        let hard = Pattern::new(&b"**a*".repeat(40), false).unwrap();
        assert!(!hard.matches(&b"a/".repeat(19)));
        assert!(Pattern::new(b"\xff*", false).unwrap().matches(b"x/\xff\xfe"));
    }
}
