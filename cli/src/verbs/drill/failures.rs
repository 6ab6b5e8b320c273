//! What can go wrong with a drill, with its code and exit.

use lifeboat_runbooks::drill::journal::JournalError;
use lifeboat_runbooks::drill::target::TargetError;

use crate::codes::Code;
use crate::exit::Exit;
use crate::failure::{Failure, tame};

/// A target that may not be used.
pub(super) fn target(error: TargetError) -> Failure {
    let next = match &error {
        TargetError::Io { .. } => return Failure::failed(error.to_string()).code(Code::File),
        TargetError::IsSource { .. } | TargetError::IsRepository { .. } => {
            "name a directory of its own, best on a disk of its own: what a drill restores to is emptied in the end"
        }
        TargetError::NotEmpty { .. } => "name an empty directory, or one to make",
        TargetError::NotOurs { .. } => "begin a new drill, and look at what is there by hand",
        TargetError::Taken { .. } => {
            "`lifeboat drill list` says how it goes on if it was cut off; else remove by hand what it kept, or name another \
             directory"
        }
    };
    Failure::new(Exit::Refused, tame(&error.to_string())).code(Code::DrillTarget).next(next)
}

/// A journal that cannot be used.
pub(super) fn journal(error: JournalError) -> Failure {
    match error {
        JournalError::Io { .. } => Failure::failed(error.to_string()).code(Code::File),
        JournalError::Busy(_) => Failure::new(Exit::Refused, error.to_string())
            .code(Code::NoDrill)
            .next("let it finish, or stop it with Ctrl-C, then run this again"),
        JournalError::Broken { .. } => Failure::new(Exit::Refused, error.to_string())
            .code(Code::NoDrill)
            .next("begin a new drill; clean its target up by hand"),
    }
}
