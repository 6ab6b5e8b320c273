//! A verb that failed, as a person needs it: what, where, what to do next.

use std::fmt::Display;
use std::path::Path;

use lifeboat_repo::format::text;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::exit::Exit;

mod causes;

pub(crate) use causes::backup_failure;
#[cfg(feature = "recover")]
pub(crate) use causes::{restore_failure, verify_failure};

/// What a verb's functions return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A verb that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// What it is in the catalogue of errors.
    pub(crate) code: Code,
    /// What happened.
    pub(crate) what: String,
    /// Where: a file and line, an object, a store.
    pub(crate) place: Option<String>,
    /// What to do now.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure of this kind; [`Self::code`] says more exactly which.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, code: Code::of(exit), what: what.into(), place: None, next: None }
    }

    /// What of the catalogue it is.
    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
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
        Self::failed(format!("cannot {doing}: {error}")).code(Code::File).at(shown(path))
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

    /// What happened, with its code: for a line among others.
    pub(crate) fn coded(&self) -> String {
        format!("{} ({})", self.what, self.code)
    }

    /// What to do now: what was said of this failure, else what the catalogue says of its kind.
    pub(crate) fn step(&self) -> Option<&str> {
        let of_kind = (self.code != Code::of(self.exit)).then(|| self.code.next());
        self.next.as_deref().or(of_kind)
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({ "code": self.code.to_string(), "what": self.what, "where": self.place, "next": self.step() })
    }
}

/// A path for people: nothing in it can move the cursor.
pub(crate) fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    text::display(path.as_os_str().as_bytes()).into_owned()
}

/// A file's name as a shell takes it for one word.
#[cfg(feature = "recover")]
pub(crate) fn word(file: &Path) -> String {
    let text = tame(&file.to_string_lossy());
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Text from elsewhere (an error that quotes a name) for people.
pub(crate) fn tame(words: &str) -> String {
    text::display(words.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::repository::RepositoryError;

    #[test]
    fn what_to_do_is_split_from_what_happened() {
        let failure =
            Failure::from(RepositoryError::refused("writer x", "it is not enrolled; an officer enrols it"));
        assert_eq!(failure.what, "writer x: it is not enrolled");
        assert_eq!(failure.next.as_deref(), Some("an officer enrols it"));
        assert_eq!((failure.exit, failure.code), (Exit::Refused, Code::NotAllowed));
    }

    #[test]
    fn a_check_that_could_not_run_keeps_its_cause() {
        let failure = Failure::failed("x").code(Code::Store).into_check();
        assert_eq!((failure.exit, failure.code), (Exit::Unchecked, Code::Store));
        assert_eq!(failure.json()["code"], "LB-101");
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

    #[cfg(feature = "recover")]
    #[test]
    fn a_shell_takes_a_file_for_one_word() {
        for (file, shown) in [
            ("keys/officer-alice", "keys/officer-alice"),
            ("my keys/a", "'my keys/a'"),
            ("it's; rm", r"'it'\''s; rm'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(word(Path::new(file)), shown);
        }
    }
}
