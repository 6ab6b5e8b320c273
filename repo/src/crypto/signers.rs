//! Who may sign what, and when: the `allowed_signers` file of OpenSSH.
//!
//! ```text
//! # {"…": "a header, in our trust files"}
//! writer:fra-app-1 namespaces="lifeboat-index:*,lifeboat-run:*",valid-after="20261123000000Z" ssh-ed25519 AAAA…
//! ```
//!
//! What parses here means the same to `ssh-keygen -Y verify`. The reverse does not hold: of several spellings one
//! is taken, and nothing that lets a key do more than its line seems to say (patterns of principals, certificate
//! authorities, no namespaces at all, times in the local zone).
//!
//! Source: ssh-keygen(1), ALLOWED SIGNERS; sshsig.c of OpenSSH 9.2.

use std::fmt::Write;

use super::pattern::{is_pattern, matches_any};
use super::ssh::VerifyingKey;
use crate::units::Timestamp;

/// An `allowed_signers` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedSigners {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// What follows the `#`, or nothing for a blank line.
    Comment(Option<String>),
    Entry(Entry),
}

/// One key, whose it is, what it may sign and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose: `officer:alice`, `writer:fra-app-1`, `maintainer:m1`.
    pub principal: String,
    /// Patterns of what it may sign; `*` stands for any characters (`/` too), `?` for one.
    pub namespaces: Vec<String>,
    /// Signatures of this second and later count.
    pub valid_after: Option<Timestamp>,
    /// Signatures of this second and earlier count.
    pub valid_before: Option<Timestamp>,
    /// The key.
    pub key: VerifyingKey,
    /// What follows the key.
    pub comment: Option<String>,
}

/// A text that is not an `allowed_signers` file as Lifeboat takes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("allowed signers, line {line}: {kind}")]
pub struct SignersError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: SignersErrorKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignersErrorKind {
    /// A tab is fine, other control characters are not: ssh-keygen stops reading at some of them.
    #[error("it has a control character")]
    Control,
    /// ssh-keygen skips spaces before an entry or a `#`.
    #[error("it begins with a space")]
    Indented,
    /// Lists, patterns and quotes among them.
    #[error("it must begin with exactly one principal, such as writer:fra-app-1 (a-z A-Z 0-9 . _ : @ -)")]
    Principal,
    /// An option of another name, twice, without quotes, or malformed.
    #[error(
        "an option is unknown, repeated or malformed; there are namespaces, valid-after and valid-before"
    )]
    Option,
    /// Without it the key might sign anything.
    #[error("it has no option namespaces=\"…\"")]
    NoNamespaces,
    /// A negated pattern, an empty one, or strange characters.
    #[error("its namespaces are not patterns between commas (negation with ! is not taken)")]
    Namespaces,
    /// Local time, or no date.
    #[error("a time is not UTC of the form YYYYMMDDHHMMSSZ, later than 1970")]
    Time,
    /// It would never be valid.
    #[error("it ends before it begins")]
    Interval,
    /// A field is not what it would be read as.
    #[error("a field has characters that would make it read as something else")]
    Respelled,
    /// Another kind of key, or none.
    #[error("it has no Ed25519 public key of the form ssh-ed25519 AAAA…")]
    Key,
}

/// Why a key may not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No entry has this key (for this principal).
    #[error("the key {fingerprint} is not among the allowed signers{}", of(principal.as_deref()))]
    UnknownKey {
        /// The key's.
        fingerprint: String,
        /// Whom it was asked for.
        principal: Option<String>,
    },
    /// It is known, but not for this.
    #[error("{principal} may not sign {namespace:?}")]
    WrongNamespace {
        /// Whose key it is.
        principal: String,
        /// What was signed.
        namespace: String,
    },
    /// It is known, from later on.
    #[error("the key of {principal} is valid from {from} on", from = from.rfc3339())]
    NotYetValid {
        /// Whose key it is.
        principal: String,
        /// The first second.
        from: Timestamp,
    },
    /// It is known, until earlier.
    #[error("the key of {principal} was valid until {until}", until = until.rfc3339())]
    Expired {
        /// Whose key it is.
        principal: String,
        /// The last second.
        until: Timestamp,
    },
}

fn of(principal: Option<&str>) -> String {
    principal.map_or_else(String::new, |principal| format!(" as {principal}"))
}

impl AllowedSigners {
    /// A file of these entries under this first comment. Times are cut to seconds.
    ///
    /// # Errors
    /// An entry or the comment would not read back as it is; see [`SignersErrorKind`].
    pub fn new(first_comment: &str, entries: Vec<Entry>) -> Result<Self, SignersError> {
        let comment = Line::Comment(Some(format!(" {first_comment}")));
        let lines = std::iter::once(comment)
            .chain(entries.into_iter().map(|entry| Line::Entry(entry.cut_to_seconds())));
        let written = Self { lines: lines.collect() };
        let read = Self::parse(&written.render())?;
        if read == written {
            return Ok(read);
        }
        // A field that holds a space, a quote or a line end has become something else.
        let alike =
            read.lines.iter().zip(&written.lines).take_while(|(read, written)| read == written).count();
        Err(SignersError { line: alike.saturating_add(1), kind: SignersErrorKind::Respelled })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A line is none that Lifeboat takes; nothing of the file counts then.
    pub fn parse(text: &str) -> Result<Self, SignersError> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let lines = (1..)
            .zip(text.split('\n'))
            .map(|(line, content)| parse_line(content).map_err(|kind| SignersError { line, kind }))
            .collect::<Result<_, _>>()?;
        Ok(Self { lines })
    }

    /// The file as text; every line ends with a line feed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Comment(None) => {}
                Line::Comment(Some(comment)) => text.extend(["#", comment]),
                Line::Entry(entry) => text.push_str(&entry.render()),
            }
            text.push('\n');
        }
        text
    }

    /// The first line without its `#` and one space, if it is a comment: the header, in our trust files.
    #[must_use]
    pub fn first_comment(&self) -> Option<&str> {
        match self.lines.first()? {
            Line::Comment(Some(comment)) => Some(comment.strip_prefix(' ').unwrap_or(comment)),
            _ => None,
        }
    }

    /// The entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| match line {
            Line::Entry(entry) => Some(entry),
            Line::Comment(_) => None,
        })
    }

    /// Whether some entry of a principal is for this namespace, whatever its key and its times.
    #[must_use]
    pub fn covers(&self, principal: &str, namespace: &str) -> bool {
        let mut own = self.entries().filter(|entry| entry.principal == principal);
        own.any(|entry| matches_any(&entry.namespaces, namespace))
    }

    /// The entry by which `key` (as `principal`, or as anybody) may sign for `namespace` `at` that moment, to
    /// the second, as `ssh-keygen -Y verify -O verify-time=…` judges. Without a moment, times are not judged.
    ///
    /// # Errors
    /// There is none; the refusal is that of the entry that came closest.
    pub fn check(
        &self,
        principal: Option<&str>,
        key: &VerifyingKey,
        namespace: &str,
        at: impl Into<Option<Timestamp>>,
    ) -> Result<&Entry, Refusal> {
        let at = at.into();
        let mut closest =
            Refusal::UnknownKey { fingerprint: key.fingerprint(), principal: principal.map(str::to_owned) };
        let known = self
            .entries()
            .filter(|entry| entry.key == *key && principal.is_none_or(|wanted| wanted == entry.principal));
        for entry in known {
            match entry.refusal(namespace, at) {
                None => return Ok(entry),
                Some(refusal) => {
                    let is_time = !matches!(refusal, Refusal::WrongNamespace { .. });
                    if is_time || matches!(closest, Refusal::UnknownKey { .. }) {
                        closest = refusal;
                    }
                }
            }
        }
        Err(closest)
    }
}

impl Entry {
    /// The entry as its line says it: times have no more than seconds there.
    fn cut_to_seconds(mut self) -> Self {
        for time in [&mut self.valid_after, &mut self.valid_before] {
            *time = time.map(|time| Timestamp::new(time.seconds(), 0));
        }
        self
    }

    fn refusal(&self, namespace: &str, at: Option<Timestamp>) -> Option<Refusal> {
        let principal = || self.principal.clone();
        if !matches_any(&self.namespaces, namespace) {
            return Some(Refusal::WrongNamespace {
                principal: principal(),
                namespace: namespace.chars().take(640).collect(),
            });
        }
        // Both bounds belong to the interval: sshsig.c refuses what is < valid_after or > valid_before.
        let second = at?.seconds();
        let early = self.valid_after.filter(|from| second < from.seconds());
        let late = self.valid_before.filter(|until| second > until.seconds());
        early
            .map(|from| Refusal::NotYetValid { principal: principal(), from })
            .or_else(|| late.map(|until| Refusal::Expired { principal: principal(), until }))
    }

    fn render(&self) -> String {
        let mut text = format!("{} namespaces=\"{}\"", self.principal, self.namespaces.join(","));
        for (name, time) in [("valid-after", self.valid_after), ("valid-before", self.valid_before)] {
            if let Some(time) = time {
                // Writing to a string cannot fail.
                let _ = write!(text, ",{name}=\"{}\"", render_time(time));
            }
        }
        let _ = write!(text, " {}", self.key);
        if let Some(comment) = &self.comment {
            text.extend([" ", comment]);
        }
        text
    }
}

fn parse_line(line: &str) -> Result<Line, SignersErrorKind> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(SignersErrorKind::Control);
    }
    if line.is_empty() {
        return Ok(Line::Comment(None));
    }
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(Line::Comment(Some(comment.to_owned())));
    }
    if line.starts_with([' ', '\t']) {
        return Err(SignersErrorKind::Indented);
    }
    parse_entry(line).map(Line::Entry)
}

fn parse_entry(line: &str) -> Result<Entry, SignersErrorKind> {
    let (principal, rest) = word(line);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:@-".contains(&b);
    if !principal.bytes().all(plain) {
        return Err(SignersErrorKind::Principal);
    }
    let (options, rest) = word(rest);
    // A key where options should be: ssh-keygen would let it sign anything.
    if options.is_empty() || options == "ssh-ed25519" {
        return Err(SignersErrorKind::NoNamespaces);
    }
    let (namespaces, valid_after, valid_before) = parse_options(options)?;
    let (kind, rest) = word(rest);
    let (base64, rest) = word(rest);
    let key = format!("{kind} {base64}").parse().map_err(|_| SignersErrorKind::Key)?;
    let comment = rest.trim_end_matches([' ', '\t']);
    let comment = (!comment.is_empty()).then(|| comment.to_owned());
    Ok(Entry { principal: principal.to_owned(), namespaces, valid_after, valid_before, key, comment })
}

/// Splits off the first word and the blanks after it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

type Options = (Vec<String>, Option<Timestamp>, Option<Timestamp>);

fn parse_options(text: &str) -> Result<Options, SignersErrorKind> {
    let mut rest = text;
    let (mut namespaces, mut after, mut before) = (None, None, None);
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").ok_or(SignersErrorKind::Option)?;
        let (value, next) = value.split_once('"').ok_or(SignersErrorKind::Option)?;
        let repeated = match name {
            "namespaces" => namespaces.replace(parse_namespaces(value)?).is_some(),
            "valid-after" => after.replace(parse_time(value)?).is_some(),
            "valid-before" => before.replace(parse_time(value)?).is_some(),
            _ => true,
        };
        rest = match next.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if next.is_empty() => "",
            _ => return Err(SignersErrorKind::Option),
        };
        if repeated {
            return Err(SignersErrorKind::Option);
        }
    }
    if after.zip(before).is_some_and(|(after, before)| after >= before) {
        return Err(SignersErrorKind::Interval);
    }
    Ok((namespaces.ok_or(SignersErrorKind::NoNamespaces)?, after, before))
}

fn parse_namespaces(text: &str) -> Result<Vec<String>, SignersErrorKind> {
    let patterns: Vec<_> = text.split(',').map(str::to_owned).collect();
    if patterns.iter().all(|pattern| is_pattern(pattern)) {
        Ok(patterns)
    } else {
        Err(SignersErrorKind::Namespaces)
    }
}

/// `YYYYMMDDHHMMSSZ`. ssh-keygen reads the epoch itself as "no bound", so it is refused.
fn parse_time(text: &str) -> Result<Timestamp, SignersErrorKind> {
    let digits = text.strip_suffix('Z').filter(|d| d.len() == 14 && d.bytes().all(|b| b.is_ascii_digit()));
    let civil = digits.and_then(|d| jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", d).ok());
    // What ssh-keygen would normalise (30 February, second 60) must not mean something else here.
    let civil =
        civil.filter(|civil| civil.strftime("%Y%m%d%H%M%S").to_string() == digits.unwrap_or_default());
    civil
        .and_then(|civil| jiff::tz::TimeZone::UTC.to_timestamp(civil).ok())
        .map(Timestamp::from)
        .filter(|time| time.seconds() > 0)
        .ok_or(SignersErrorKind::Time)
}

/// The other way; a time beyond the calendar gives a text that [`parse_time`] refuses.
fn render_time(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds())
        .map_or_else(|_| time.to_string(), |moment| moment.strftime("%Y%m%d%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests;
