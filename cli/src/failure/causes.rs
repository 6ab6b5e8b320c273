//! Which code, exit code and advice the errors of the libraries get. One table, so that nothing is told in two ways;
//! a test compares it with the libraries' sources, since their enums are open to new variants.

use lifeboat_backup::{BackupError, BackupErrorKind};
use lifeboat_repo::repository::{RepositoryError, RepositoryErrorKind};
use lifeboat_repo::store::{StoreError, StoreErrorKind};
#[cfg(feature = "recover")]
use lifeboat_restore::{RestoreError, RestoreErrorKind};
#[cfg(feature = "recover")]
use lifeboat_verify::evidence::{EvidenceError, EvidenceErrorKind};
#[cfg(feature = "recover")]
use lifeboat_verify::{VerifyError, VerifyErrorKind};

use super::{Failure, tame};
use crate::codes::Code;
use crate::exit::Exit;

/// The code of a repository's error.
const fn repository_code(kind: &RepositoryErrorKind) -> Code {
    match kind {
        RepositoryErrorKind::Store(error) => match store_code(&error.kind) {
            code @ (Code::StoreRefuses | Code::StoreUnreachable) => code,
            _ => Code::Store,
        },
        RepositoryErrorKind::Missing => Code::ObjectMissing,
        RepositoryErrorKind::Damaged(_) => Code::ObjectDamaged,
        RepositoryErrorKind::Untrusted(_) => Code::Untrusted,
        RepositoryErrorKind::WrongKey(_) => Code::WrongKey,
        RepositoryErrorKind::Refused(_) => Code::NotAllowed,
        RepositoryErrorKind::Cancelled => Code::Interrupted,
        RepositoryErrorKind::Machine(_) => Code::Machine,
        _ => Code::Failed,
    }
}

/// The code of a store's error.
const fn store_code(kind: &StoreErrorKind) -> Code {
    match kind {
        StoreErrorKind::Missing => Code::ObjectMissing,
        StoreErrorKind::TooLong { .. } | StoreErrorKind::Short { .. } => Code::ObjectDamaged,
        StoreErrorKind::Exists => Code::Exists,
        StoreErrorKind::Denied(_) | StoreErrorKind::Locked(_) | StoreErrorKind::Unsupported(_) => {
            Code::StoreRefuses
        }
        StoreErrorKind::Unreachable(_) => Code::StoreUnreachable,
        StoreErrorKind::Io(_) | StoreErrorKind::Other(_) => Code::Store,
        _ => Code::Failed,
    }
}

/// What happened, and what to do where the text says it itself, after a semicolon.
fn halves(error: &impl std::fmt::Display) -> (String, Option<String>) {
    let whole = tame(&error.to_string());
    match whole.split_once("; ") {
        Some((what, next)) => (what.to_owned(), Some(next.to_owned())),
        None => (whole, None),
    }
}

/// A failure whose text may say what to do; where it does not, the catalogue does.
fn advised(exit: Exit, code: Code, error: &impl std::fmt::Display) -> Failure {
    let (what, next) = halves(error);
    Failure::new(exit, what).code(code).next(next.unwrap_or_else(|| code.next().to_owned()))
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let (exit, code) = (Exit::of(&error.kind), repository_code(&error.kind));
        match error.kind {
            RepositoryErrorKind::WrongKey(_) | RepositoryErrorKind::Refused(_) => {
                let (what, next) = halves(&error);
                let failure = Self::new(exit, what).code(code);
                next.into_iter().fold(failure, Self::next)
            }
            _ => {
                let next = next_of(&error).unwrap_or_else(|| code.next());
                Self::new(exit, tame(&error.to_string())).code(code).next(next)
            }
        }
    }
}

/// What helps where trust or seals are damaged, so that nothing else can be done before they are whole, or gc records, which
/// belong to one store and have no copy.
fn next_of(error: &RepositoryError) -> Option<&'static str> {
    if let RepositoryErrorKind::Store(store) = &error.kind {
        return next_in_store(&store.to_string());
    }
    let base = ["trust/", "seals/"].iter().any(|prefix| error.what.starts_with(prefix));
    let damaged = matches!(
        error.kind,
        RepositoryErrorKind::Missing | RepositoryErrorKind::Damaged(_) | RepositoryErrorKind::Untrusted(_)
    );
    if damaged && error.what.starts_with("gc/") {
        return Some(
            "whatever only reads passes over it. With no collection under way delete the object: what it had expired and \
             condemned is then missed, which `lifeboat repair` and `lifeboat retain COMPONENT --snapshot SNAPSHOT` put right",
        );
    }
    (base && damaged).then_some(
        "`lifeboat repair --from replica` (or from another copy) puts back what is whole; until then restore from the \
         replica with --replica",
    )
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = store_code(&error.kind);
        let said = tame(&error.to_string());
        let next = next_in_store(&said).unwrap_or_else(|| code.next());
        Self::failed(said).code(code).next(next)
    }
}

/// What helps where a server cannot be used yet.
fn next_in_store(said: &str) -> Option<&'static str> {
    if said.contains("no credentials were found") {
        return Some(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with `profile` in the region's s3 section; a \
             service or a timer has an environment of its own (docs/stores.md, docs/operating.md)",
        );
    }
    said.contains("NoSuchBucket").then_some(
        "correct the bucket's name, or make it: docs/stores.md says how, with Object Lock, which no bucket gets later",
    )
}

/// A backup that failed, as a person needs it.
pub(crate) fn backup_failure(error: BackupError) -> Failure {
    let (exit, code) = match error.kind {
        BackupErrorKind::Repository(error) => return Failure::from(*error),
        BackupErrorKind::Program(_) => (Exit::Failed, Code::Program),
        BackupErrorKind::Limits(_) => (Exit::Usage, Code::Configuration),
        BackupErrorKind::Source(_) => (Exit::Failed, Code::Source),
        BackupErrorKind::State(_) => (Exit::Failed, Code::State),
        BackupErrorKind::Busy => (Exit::Refused, Code::Busy),
        BackupErrorKind::Corrupted(_) => (Exit::Failed, Code::Memory),
        BackupErrorKind::Interrupted => (Exit::Interrupted, Code::Interrupted),
        _ => (Exit::Failed, Code::Failed),
    };
    match error.kind {
        // What the system said of a path may hold a semicolon of its own.
        BackupErrorKind::Source(_) | BackupErrorKind::State(_) => {
            Failure::new(exit, tame(&error.to_string())).code(code).next(code.next())
        }
        BackupErrorKind::Program(ref program) => {
            let said = program.said.join(" / ");
            let failure = advised(exit, code, &error);
            if said.is_empty() { failure } else { failure.at(format!("its last words: {}", tame(&said))) }
        }
        _ => advised(exit, code, &error),
    }
}

/// A restore that failed, as a person needs it.
#[cfg(feature = "recover")]
pub(crate) fn restore_failure(error: RestoreError) -> Failure {
    let (exit, code) = match error.kind {
        RestoreErrorKind::Damaged(_) => (Exit::Damaged, Code::Damaged),
        RestoreErrorKind::Unchecked(_) => (Exit::Failed, Code::Store),
        RestoreErrorKind::Refused(_) => (Exit::Refused, Code::NotRestored),
        RestoreErrorKind::WrongKey(_) => (Exit::Refused, Code::WrongKey),
        RestoreErrorKind::Io { .. } => (Exit::Failed, Code::File),
        RestoreErrorKind::Cancelled => (Exit::Interrupted, Code::Interrupted),
        _ => (Exit::Failed, Code::Failed),
    };
    if let RestoreErrorKind::Io { error: source, .. } = &error.kind
        && source.kind() == std::io::ErrorKind::StorageFull
    {
        return Failure::new(exit, tame(&error.to_string()))
            .code(code)
            .next("make room there, then run the same again: it goes on, and fetches only what is missing");
    }
    advised(exit, code, &error)
}

/// A verification that could not be done, as a person needs it: never a pass.
#[cfg(feature = "recover")]
pub(crate) fn verify_failure(error: VerifyError) -> Failure {
    let (exit, code) = match &error.kind {
        VerifyErrorKind::Cancelled => (Exit::Interrupted, Code::Interrupted),
        VerifyErrorKind::Repository(kind) => (Exit::of(kind), repository_code(kind)),
        VerifyErrorKind::Store(error) => (Exit::Unchecked, store_code(&error.kind)),
        VerifyErrorKind::Refused(_) => (Exit::Refused, Code::NotVerified),
        VerifyErrorKind::Restore(kind) => match kind {
            RestoreErrorKind::Damaged(_) => (Exit::Damaged, Code::Damaged),
            RestoreErrorKind::Refused(_) => (Exit::Refused, Code::NotRestored),
            RestoreErrorKind::WrongKey(_) => (Exit::Refused, Code::WrongKey),
            RestoreErrorKind::Cancelled => (Exit::Interrupted, Code::Interrupted),
            _ => (Exit::Unchecked, Code::Unchecked),
        },
        VerifyErrorKind::Scratch(_) => (Exit::Unchecked, Code::Scratch),
        _ => (Exit::Unchecked, Code::Unchecked),
    };
    advised(exit, code, &error).into_check()
}

#[cfg(feature = "recover")]
impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Self {
        let what = tame(&error.to_string());
        match error.kind {
            EvidenceErrorKind::File(_) => Self::failed(what).code(Code::File).next(Code::File.next()),
            EvidenceErrorKind::Exists => {
                Self::new(Exit::Refused, what).code(Code::Exists).next(Code::Exists.next())
            }
            EvidenceErrorKind::Signed => Self::new(Exit::Refused, what)
                .code(Code::Exists)
                .next("`lifeboat evidence verify` says by whom; there is nothing left to do"),
            EvidenceErrorKind::NotEvidence(_) => {
                Self::usage(what).code(Code::NoEvidence).next(Code::NoEvidence.next())
            }
            EvidenceErrorKind::Unfit(_) => Self::failed(what).code(Code::Failed).next(Code::Failed.next()),
            EvidenceErrorKind::Repository(kind) => RepositoryError { what: error.what, kind }.into(),
            EvidenceErrorKind::Store(error) => error.into(),
            _ => Self::failed(what).code(Code::Failed).next(Code::Failed.next()),
        }
    }
}
