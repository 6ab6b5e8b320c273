//! What of a snapshot is asked for: paths and tenants.

use std::collections::{BTreeSet, HashMap, HashSet};

use lifeboat_repo::format::manifest::check_path;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::Tenant;

use crate::error::RestoreError;

/// What of a snapshot is asked for. The default is all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Paths relative to the component's root, each with everything below it; empty for all.
    pub paths: Vec<Vec<u8>>,
    /// Tenants; empty for all.
    pub tenants: BTreeSet<Tenant>,
}

impl Selection {
    /// Whether a path of a manifest is among the paths asked for.
    pub(crate) fn covers(&self, path: &[u8]) -> bool {
        PathMatcher::new(&self.paths).is_ok_and(|mut matcher| matcher.judge(path) == Match::Selected)
    }
}

/// How a path stands to a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// Asked for.
    Selected,
    /// A directory above something asked for.
    Above,
    /// Neither.
    No,
}

/// A selection's paths, ready to be asked for every entry of a snapshot.
#[derive(Debug)]
pub(crate) struct PathMatcher {
    /// Each path asked for, and whether something matched it.
    selected: HashMap<Vec<u8>, bool>,
    above: HashSet<Vec<u8>>,
    all: bool,
}

impl PathMatcher {
    /// # Errors
    /// A path is absolute, empty, or leads out of the component.
    pub(crate) fn new(paths: &[Vec<u8>]) -> Result<Self, RestoreError> {
        let mut matcher = Self { selected: HashMap::new(), above: HashSet::new(), all: paths.is_empty() };
        for given in paths {
            let path = single_path(given)?;
            if path == b"." {
                matcher.all = true;
                continue;
            }
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                matcher.above.extend(path.get(..at).map(<[u8]>::to_vec));
            }
            matcher.selected.insert(path.to_vec(), false);
        }
        Ok(matcher)
    }

    /// How a path of a manifest stands to the selection.
    pub(crate) fn judge(&mut self, path: &[u8]) -> Match {
        if self.all {
            return Match::Selected;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            if let Some(hit) = path.get(..end).and_then(|prefix| self.selected.get_mut(prefix)) {
                *hit = true;
                return Match::Selected;
            }
        }
        if self.above.contains(path) { Match::Above } else { Match::No }
    }

    /// Whether anything asked for was there.
    pub(crate) fn matched(&self) -> bool {
        self.all || self.selected.values().any(|hit| *hit)
    }

    /// Paths asked for that nothing matched, sorted.
    pub(crate) fn unmatched(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> =
            self.selected.iter().filter(|(_, hit)| !**hit).map(|(path, _)| path.clone()).collect();
        paths.sort();
        paths
    }
}

/// One path as a person gives it, tidied.
///
/// # Errors
/// It is absolute, empty, or leads out of the component.
pub(crate) fn single_path(given: &[u8]) -> Result<&[u8], RestoreError> {
    let path = tidy(given);
    match check_path(path) {
        Ok(()) => Ok(path),
        Err(why) => Err(RestoreError::refused(
            format!("path {:?}", text::display(given)),
            format!("{why}; give it relative to the component's root, as `lifeboat ls` shows it"),
        )),
    }
}

/// A path as people type it, without `./` before and `/` after it.
fn tidy(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    while path.len() > 1 && path.ends_with(b"/") {
        path = path.strip_suffix(b"/").unwrap_or(path);
    }
    if path.is_empty() { b"." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(paths: &[&str]) -> PathMatcher {
        PathMatcher::new(&paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_path_selects_itself_and_what_is_below() {
        let mut m = matcher(&["a/b", "./c/", "x"]);
        assert_eq!(m.judge(b"a"), Match::Above);
        assert_eq!(m.judge(b"a/b"), Match::Selected);
        assert_eq!(m.judge(b"a/b/c/d"), Match::Selected);
        assert_eq!(m.judge(b"a/bc"), Match::No);
        assert_eq!(m.judge(b"c/d"), Match::Selected);
        assert_eq!(m.judge(b"."), Match::No);
        assert_eq!(m.unmatched(), [b"x".to_vec()]);
    }

    #[test]
    fn everything_is_the_default_and_the_dot() {
        assert_eq!(matcher(&[]).judge(b"a/b"), Match::Selected);
        assert_eq!(matcher(&["./"]).judge(b"."), Match::Selected);
    }

    #[test]
    fn paths_cannot_lead_out() {
        for bad in ["/etc", "../x", "a/../b", "a//b"] {
            assert!(PathMatcher::new(&[bad.as_bytes().to_vec()]).is_err(), "{bad}");
        }
    }
}
