//! How deep a verification goes, and what may be said after it.

use std::fmt;

use serde::Serialize;

use crate::damage::{Finding, Severity};

/// How deep a verification goes; each level needs more than the one before and proves more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every object that a counting snapshot needs is there with its length. Needs the catalog.
    Inventory,
    /// Every object's bytes match its name, its signature and its ledger. Needs no secret.
    Integrity,
    /// Segments decrypt, decompress and match their chunk ids; manifests hold. Needs a recovery identity.
    Readback,
    /// A tree restored into scratch space equals its manifests, metadata too. Needs a recovery identity and space.
    Restore,
}

impl Level {
    /// Its word, as people type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Integrity => "integrity",
            Self::Readback => "readback",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What may be said after a check.
///
/// There is no fourth: a check that could not run, or could not finish, is [`Outcome::NotRun`] and never a pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end and found no damage.
    Passed,
    /// It found damage.
    Failed,
    /// It did not run, or not to its end, so nothing is known; the text says why.
    NotRun(String),
}

impl Outcome {
    /// What a check that ended with these findings may say. Damage outweighs what could not be checked.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let with = |severity| findings.iter().filter(move |finding| finding.severity == severity);
        if with(Severity::Damage).next().is_some() {
            return Self::Failed;
        }
        match (with(Severity::CouldNotCheck).count(), with(Severity::CouldNotCheck).next()) {
            (0, _) | (_, None) => Self::Passed,
            (1, Some(only)) => Self::NotRun(format!("{}: {}", only.object, only.what)),
            (count, Some(first)) => Self::NotRun(format!(
                "{count} things could not be checked, first {}: {}",
                first.object, first.what
            )),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.pad("passed"),
            Self::Failed => f.pad("failed"),
            Self::NotRun(reason) => write!(f, "not run: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::Subject;

    fn finding(severity: Severity) -> Finding {
        Finding::new(severity, Subject::Area("packs/"), "x")
    }

    #[test]
    fn what_could_not_run_never_passes() {
        assert_eq!(Outcome::of(&[]), Outcome::Passed);
        assert_eq!(Outcome::of(&[finding(Severity::Notice)]), Outcome::Passed);
        let unchecked = [finding(Severity::Notice), finding(Severity::CouldNotCheck)];
        assert!(matches!(Outcome::of(&unchecked), Outcome::NotRun(_)));
        let both = [finding(Severity::CouldNotCheck), finding(Severity::Damage)];
        assert_eq!(Outcome::of(&both), Outcome::Failed);
    }

    #[test]
    fn outcomes_say_their_reason_in_json() {
        let json = serde_json::to_string(&Outcome::NotRun("no key".into())).unwrap();
        assert_eq!(json, r#"{"outcome":"not_run","reason":"no key"}"#);
        assert_eq!(serde_json::to_string(&Outcome::Passed).unwrap(), r#"{"outcome":"passed"}"#);
    }
}
