//! A verb that failed, as a person needs it: what, where, what to do next.

use std::fmt::Display;
use std::path::Path;

use lifeboat_repo::format::text;
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::StoreError;
use serde_json::{Value, json};

use crate::exit::Exit;

/// What a verb's functions return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A verb that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// Where: a file and line, an object, a store.
    pub(crate) place: Option<String>,
    /// What to do now.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), place: None, next: None }
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Something of the machine failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// A file could not be used.
    pub(crate) fn file(doing: &str, path: &Path, error: &dyn Display) -> Self {
        Self::failed(format!("cannot {doing}: {error}")).at(shown(path))
    }

    /// Says where; what was said before stays in front.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        self.place = Some(match self.place.take() {
            Some(inner) if inner != place => format!("{inner}, {place}"),
            _ => place,
        });
        self
    }

    /// Says what to do next, unless something nearer said it.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next.get_or_insert(next.into());
        self
    }

    /// Replaces the exit code.
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// As a check reports it: where the machine or the store failed, nothing is known.
    pub(crate) fn into_check(self) -> Self {
        let exit = if self.exit == Exit::Failed { Exit::Unchecked } else { self.exit };
        self.exit(exit)
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({ "what": self.what, "where": self.place, "next": self.next })
    }
}

/// A path for people: nothing in it can move the cursor.
pub(crate) fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    text::display(path.as_os_str().as_bytes()).into_owned()
}

/// Text from elsewhere (an error that quotes a name) for people.
pub(crate) fn tame(words: &str) -> String {
    text::display(words.as_bytes()).into_owned()
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let exit = Exit::of(&error.kind);
        let whole = error.to_string();
        let next = match &error.kind {
            RepositoryErrorKind::Store(_) => {
                "check that the store can be reached, is not full and may be used by this user; then run it again"
            }
            RepositoryErrorKind::Missing | RepositoryErrorKind::Damaged(_) => {
                "see how much is affected with `lifeboat verify --level integrity`; what other snapshots hold can \
                 still be restored"
            }
            RepositoryErrorKind::Untrusted(_) => {
                "compare the officers' keys in lifeboat.toml with those on paper; if they agree, somebody forged it"
            }
            RepositoryErrorKind::WrongKey(_) | RepositoryErrorKind::Refused(_) => {
                // These texts say themselves what to do, after a semicolon.
                return match whole.split_once("; ") {
                    Some((what, next)) => Self::new(exit, tame(what)).next(tame(next)),
                    None => Self::new(exit, tame(&whole)),
                };
            }
            _ => "run it again; if it stays, report it with the output of --verbose",
        };
        Self::new(exit, tame(&whole)).next(next)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(tame(&error.to_string()))
            .next("check that the place exists, is not full and may be used by this user")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_split_from_what_happened() {
        let failure =
            Failure::from(RepositoryError::refused("writer x", "it is not enrolled; an officer enrols it"));
        assert_eq!(failure.what, "writer x: it is not enrolled");
        assert_eq!(failure.next.as_deref(), Some("an officer enrols it"));
        assert_eq!(failure.exit, Exit::Refused);
    }

    #[test]
    fn hostile_text_is_tamed() {
        let failure = Failure::from(RepositoryError::damaged("snap\u{1b}[2J", "no\nerror: fake"));
        assert!(!failure.what.contains(['\n', '\u{1b}']), "{}", failure.what);
    }

    #[test]
    fn places_add_up() {
        let failure = Failure::failed("x").at("trust/0").at("region eu-fra").at("region eu-fra");
        assert_eq!(failure.place.as_deref(), Some("trust/0, region eu-fra, region eu-fra"));
    }
}
