//! What the process says when it ends. Scripts and monitors act on these, so they never change their meaning.

use std::process::ExitCode;

use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, whole.
    Ok = 0,
    /// Something failed that says nothing of the stored data.
    Failed = 1,
    /// Wrong usage, or a configuration that does not hold together.
    Usage = 2,
    /// Done, but not all of it.
    Partly = 3,
    /// Stored data is damaged or missing.
    Damaged = 4,
    /// A check could not run, or had too little to judge by: neither good nor bad is known.
    Unchecked = 5,
    /// A recovery objective is missed.
    Missed = 6,
    /// The key does not open it, or the repository refused.
    Refused = 7,
    /// Stopped by Ctrl-C or SIGTERM.
    Interrupted = 8,
    /// What was compared is not the same: `diff` alone ends so.
    Different = 9,
}

impl Exit {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Partly,
        Self::Damaged,
        Self::Unchecked,
        Self::Missed,
        Self::Refused,
        Self::Interrupted,
        Self::Different,
    ];

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// One word, for `--json`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Partly => "partly done",
            Self::Damaged => "damaged",
            Self::Unchecked => "could not check",
            Self::Missed => "objective missed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Different => "different",
        }
    }

    /// A line for people.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => "failed: the machine or the store; says nothing of the stored data",
            Self::Usage => "wrong usage, or a mistake in lifeboat.toml",
            Self::Partly => "partly done: the rest is listed",
            Self::Damaged => "damaged: stored data is not what was written",
            Self::Unchecked => "could not check, or insufficient evidence: nothing is known",
            Self::Missed => "objective missed: restore too slow, or backup too old",
            Self::Refused => "wrong key, or refused: not enrolled, not trusted, not empty",
            Self::Interrupted => "interrupted; nothing is lost: run it again and it goes on",
            Self::Different => "different: `diff` found a difference",
        }
    }

    /// How grave it is beside others: what ends a command that did several things.
    const fn weight(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Different => 1,
            Self::Partly => 2,
            Self::Missed => 3,
            Self::Unchecked => 4,
            Self::Refused => 5,
            Self::Usage => 6,
            Self::Failed => 7,
            Self::Damaged => 8,
            Self::Interrupted => 9,
        }
    }

    /// The graver of two.
    pub(crate) const fn worst(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }

    /// What a failed operation on a repository means for somebody who acts (backs up, restores, enrols).
    pub(crate) const fn of(kind: &RepositoryErrorKind) -> Self {
        match kind {
            RepositoryErrorKind::Missing
            | RepositoryErrorKind::Damaged(_)
            | RepositoryErrorKind::Untrusted(_) => Self::Damaged,
            RepositoryErrorKind::WrongKey(_) | RepositoryErrorKind::Refused(_) => Self::Refused,
            RepositoryErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// The same for somebody who checks: where the store fails, the check could not run.
    pub(crate) const fn of_check(error: &RepositoryError) -> Self {
        match Self::of(&error.kind) {
            Self::Failed => Self::Unchecked,
            other => other,
        }
    }

    /// The table of all codes, for `--help`.
    pub(crate) fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for exit in Self::ALL {
            text.push_str(&format!("  {}  {}\n", exit.code(), exit.meaning()));
        }
        text.push_str("Where several things were done, the gravest counts.");
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_is_documented() {
        for (number, exit) in (0_u8..).zip(Exit::ALL) {
            assert_eq!(exit.code(), number);
            assert!(Exit::table().contains(&format!("\n  {number}  {}", exit.meaning())));
            assert!(exit.meaning().len() <= 72, "{}", exit.meaning());
        }
    }

    #[test]
    fn codes_are_in_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/exit-codes.md");
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("---")).skip(1);
        let wanted =
            Exit::ALL.map(|exit| format!("| {} | {} | {} |", exit.code(), exit.word(), exit.meaning()));
        assert_eq!(rows.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn the_store_failing_is_not_damage() {
        let damaged = RepositoryErrorKind::Damaged("x".into());
        assert_eq!(Exit::of(&damaged), Exit::Damaged);
        assert_eq!(Exit::of(&RepositoryErrorKind::Missing), Exit::Damaged);
        assert_eq!(Exit::of(&RepositoryErrorKind::WrongKey("x".into())), Exit::Refused);
        let machine = RepositoryErrorKind::Machine("x".into());
        assert_eq!(Exit::of(&machine), Exit::Failed);
        let error = RepositoryError { what: "x".into(), kind: machine };
        assert_eq!(Exit::of_check(&error), Exit::Unchecked);
    }

    #[test]
    fn the_gravest_counts() {
        let graver = |a: Exit, b: Exit| assert_eq!((a.worst(b), b.worst(a)), (a, a));
        graver(Exit::Partly, Exit::Ok);
        graver(Exit::Missed, Exit::Partly);
        graver(Exit::Damaged, Exit::Unchecked);
        graver(Exit::Damaged, Exit::Failed);
        graver(Exit::Interrupted, Exit::Damaged);
    }
}
