//! What a backup leaves out, and why so: every entry left out is counted under the rule that did it.
//!
//! By default nothing is left out. What a backup does not hold is found out on the worst day, so leaving out is
//! something a person writes down. A directory that is left out is not looked into and counts as one entry. The
//! root itself is never left out.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::source::{self, Listing, Stat};

/// The name of a cache directory's tag, and how its content begins: <https://bford.info/cachedir/>.
const CACHEDIR_TAG: &CStr = c"CACHEDIR.TAG";
const CACHEDIR_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Rules for leaving out. By default nothing is left out.
#[derive(Debug, Clone)]
pub struct Excludes {
    patterns: Gitignore,
    if_present: Vec<CString>,
    cachedir_tag: bool,
    one_filesystem: bool,
}

/// The rule that left something out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExcludeRule {
    /// A pattern of `exclude`, as it is written.
    Pattern(String),
    /// Its directory holds a file of this name, from `exclude_if_present`.
    IfPresent(String),
    /// Its directory holds a `CACHEDIR.TAG`.
    CachedirTag,
    /// Its directory is the root of another file system.
    OtherFilesystem,
}

/// How many entries each rule left out; whole directories count as one.
pub type Excluded = BTreeMap<ExcludeRule, u64>;

/// A rule that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("exclude {rule:?}: {why}")]
pub struct BadExclude {
    /// The rule, as it is written.
    pub rule: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for ExcludeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => write!(f, "pattern {pattern}"),
            Self::IfPresent(name) => write!(f, "beside {name}"),
            Self::CachedirTag => f.write_str("in a cache directory (CACHEDIR.TAG)"),
            Self::OtherFilesystem => f.write_str("contents of another file system"),
        }
    }
}

impl Default for Excludes {
    fn default() -> Self {
        Self {
            patterns: Gitignore::empty(),
            if_present: Vec::new(),
            cachedir_tag: false,
            one_filesystem: false,
        }
    }
}

impl Excludes {
    /// Adds patterns as in a `.gitignore` at the root: the last that matches decides, `!` takes back, a slash at
    /// the beginning or in the middle ties it to the root, one at the end means directories only.
    ///
    /// # Errors
    /// A pattern that is no glob, or that would match nothing or mean a comment.
    pub fn with_patterns(mut self, patterns: &[String]) -> Result<Self, BadExclude> {
        let mut builder = GitignoreBuilder::new("");
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            let bad = |why: &str| BadExclude { rule: pattern.clone(), why: why.to_owned() };
            let bare = pattern.strip_prefix('!').unwrap_or(pattern);
            if bare.trim_matches('/').trim().is_empty() {
                return Err(bad("it names nothing"));
            }
            if pattern.starts_with('#') {
                return Err(bad("it would be a comment; write \\# for a name that begins so"));
            }
            if bare.trim() != bare && !bare.ends_with("\\ ") {
                return Err(bad("it begins or ends with a space; write [ ] or \\ for one that is meant"));
            }
            if bare.split('/').any(|part| matches!(part, "." | "..")) {
                return Err(bad("it must be relative to the component's root, without . and .."));
            }
            builder.add_line(None, pattern).map_err(|error| bad(&error.to_string()))?;
        }
        self.patterns = builder
            .build()
            .map_err(|error| BadExclude { rule: patterns.join(", "), why: error.to_string() })?;
        Ok(self)
    }

    /// Leaves out the contents of directories that hold a file of one of these names; the directory and that
    /// file are kept, so that a restored tree shows why it is empty.
    ///
    /// # Errors
    /// Something that is no name of a file.
    pub fn with_if_present(mut self, names: &[String]) -> Result<Self, BadExclude> {
        for name in names {
            let plain = !matches!(name.as_str(), "" | "." | "..") && !name.contains('/');
            match CString::new(name.as_str()) {
                Ok(name) if plain => self.if_present.push(name),
                _ => {
                    let why = "it must be the name of a file, without slashes".into();
                    return Err(BadExclude { rule: name.clone(), why });
                }
            }
        }
        Ok(self)
    }

    /// Leaves out the contents of directories with a `CACHEDIR.TAG`; the directory and the tag are kept.
    #[must_use]
    pub fn with_cachedir_tag(mut self, yes: bool) -> Self {
        self.cachedir_tag = yes;
        self
    }

    /// Leaves out what lies on another file system than the root; directories it is mounted on are kept.
    #[must_use]
    pub fn with_one_filesystem(mut self, yes: bool) -> Self {
        self.one_filesystem = yes;
        self
    }

    /// The pattern that leaves this path out, if one does.
    fn pattern(&self, path: &[u8], directory: bool) -> Option<ExcludeRule> {
        match self.patterns.matched(Path::new(OsStr::from_bytes(path)), directory) {
            Match::Ignore(glob) => Some(ExcludeRule::Pattern(glob.original().to_owned())),
            Match::None | Match::Whitelist(_) => None,
        }
    }
}

/// Rules at work on a tree.
pub(crate) struct Excluding<'a> {
    rules: &'a Excludes,
    counts: &'a Mutex<Excluded>,
    /// The file system of the root.
    home: Option<(u32, u32)>,
}

impl<'a> Excluding<'a> {
    pub(crate) fn new(rules: &'a Excludes, counts: &'a Mutex<Excluded>) -> Self {
        Self { rules, counts, home: None }
    }

    /// Notes where the root lies.
    pub(crate) fn begin(&mut self, root: &Stat) {
        let (major, minor, _) = root.file;
        self.home = Some((major, minor));
    }

    /// Whether a pattern leaves this out.
    pub(crate) fn leaves_out(&self, path: &[u8], directory: bool) -> bool {
        let rule = self.rules.pattern(path, directory);
        rule.map(|rule| self.count(rule, 1)).is_some()
    }

    /// The same of something that the kernel does not tell the kind of.
    pub(crate) fn leaves_out_unseen(&self, path: &[u8]) -> bool {
        let rule = self.rules.pattern(path, false).or_else(|| self.rules.pattern(path, true));
        rule.map(|rule| self.count(rule, 1)).is_some()
    }

    /// Whether what a directory holds lies on another file system, and is left out for it.
    pub(crate) fn stays_outside(&self, stat: &Stat) -> bool {
        let (major, minor, _) = stat.file;
        let outside = self.rules.one_filesystem && self.home.is_some_and(|home| home != (major, minor));
        if outside {
            self.count(ExcludeRule::OtherFilesystem, 1);
        }
        outside
    }

    /// What is kept of a directory's names: all, or only the tag that says so.
    pub(crate) fn keep(&self, dir: BorrowedFd<'_>, mut names: Listing) -> Listing {
        let present = self.rules.if_present.iter().find(|tag| names.holds(tag));
        let (tag, rule) = match present {
            Some(tag) => (tag.as_c_str(), ExcludeRule::IfPresent(tag.to_string_lossy().into_owned())),
            None if self.rules.cachedir_tag && is_cache(dir, &names) => {
                (CACHEDIR_TAG, ExcludeRule::CachedirTag)
            }
            None => return names,
        };
        let left_out = names.keep_only(tag);
        if left_out > 0 {
            self.count(rule, left_out);
        }
        names
    }

    fn count(&self, rule: ExcludeRule, entries: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(rule).or_default() += entries;
    }
}

/// Whether a directory holds a tag with the right beginning. One that cannot be read is none: nothing is left out
/// on suspicion.
fn is_cache(dir: BorrowedFd<'_>, names: &Listing) -> bool {
    if !names.holds(CACHEDIR_TAG) {
        return false;
    }
    let Ok(tag) = source::open_file(dir, CACHEDIR_TAG) else { return false };
    let mut beginning = [0; CACHEDIR_SIGNATURE.len()];
    std::fs::File::from(tag).read_exact(&mut beginning).is_ok() && beginning == CACHEDIR_SIGNATURE
}
