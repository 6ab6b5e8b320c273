//! Reading a book, strictly: a step that would be passed over in a disaster must be an error today.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_verify::span;
use serde::{Deserialize, Deserializer, Serialize};

use crate::success::Success;

mod reading;
#[cfg(test)]
mod tests;

/// A book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Its first heading.
    pub title: String,
    /// What it is for.
    pub front: FrontMatter,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// Commands that people are told to type, outside steps: blocks of `sh`, and `lifeboat …` within a line.
    pub told: Vec<Told>,
}

/// Something to type that is no step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The line of the book it stands on, or its block begins at, from 1.
    pub line: usize,
    /// What is to be typed.
    pub script: String,
}

/// What a book says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontMatter {
    /// The component it restores.
    pub component: Whose,
    /// The region.
    pub region: Whose,
    /// Components that must be back before.
    #[serde(default)]
    pub needs: Vec<Label>,
    /// The recovery time it promises.
    #[serde(deserialize_with = "duration")]
    pub rto: Duration,
    /// The data loss it promises.
    #[serde(deserialize_with = "duration")]
    pub rpo: Duration,
    /// When it has succeeded.
    #[serde(deserialize_with = "success")]
    pub success: Success,
    /// Environment variables that its steps are given: what differs from one disaster to the next. Values reach the shell
    /// in no other way, so that no name of a tenant or path can become a command.
    #[serde(default)]
    pub variables: BTreeSet<Variable>,
}

/// The name of an environment variable: capitals, digits and `_`, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct Variable(String);

impl Variable {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let right = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if right {
            Ok(Self(name))
        } else {
            Err(format!("a variable's name is made of A-Z, 0-9 and _, not {name:?}"))
        }
    }
}

impl std::str::FromStr for Variable {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        name.to_owned().try_into()
    }
}

/// What a book is for: one by name, or whichever is given when it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Whose {
    /// Whichever is given.
    Any,
    /// This one.
    Only(Label),
}

/// A block that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, unique in the book.
    pub name: String,
    /// The heading it stands under.
    pub heading: String,
    /// The shell script; of a manual step what a person is to do.
    pub script: String,
    /// The line of the book that its block begins at, from 1.
    pub line: usize,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// What part of a recovery it is.
    pub phase: Phase,
    /// Who does it.
    pub mode: Mode,
    /// Who must agree before it is done, each by a role such as `network on-call`.
    pub approvers: Vec<String>,
    /// What a drill does with it.
    pub drill: InDrill,
    /// What its failure means.
    pub on_fail: OnFail,
}

/// What part of a recovery a step is. They follow one another in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Finding out what happened and saying so.
    Declare,
    /// Making ready: a machine, keys, a look at what there is.
    #[default]
    Prepare,
    /// Bringing data back.
    Transfer,
    /// Bringing it up to date: logs, erasures.
    Replay,
    /// Making sure that it is what it should be.
    Check,
    /// Letting people use it.
    Cutover,
    /// Tidying up.
    Cleanup,
}

impl Phase {
    /// Its word, as books write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declare => "declare",
            Self::Prepare => "prepare",
            Self::Transfer => "transfer",
            Self::Replay => "replay",
            Self::Check => "check",
            Self::Cutover => "cutover",
            Self::Cleanup => "cleanup",
        }
    }
}

/// Who does a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The shell.
    #[default]
    Auto,
    /// A person, who then says what came of it.
    Manual,
}

/// What a drill does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InDrill {
    /// It is done.
    Run,
    /// It is shown, and said to be simulated.
    Simulate,
    /// It is listed as not executed.
    Skip,
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFail {
    /// The book ends here; steps of the phase `cleanup` are done all the same.
    #[default]
    Abort,
    /// The book goes on.
    Continue,
}

impl TryFrom<String> for Whose {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "any" => Ok(Self::Any),
            name => name.parse().map(Self::Only).map_err(|error| format!("{error}")),
        }
    }
}

impl Whose {
    /// Whether the book is for this one.
    #[must_use]
    pub fn is_for(&self, name: &Label) -> bool {
        match self {
            Self::Any => true,
            Self::Only(only) => only == name,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn success<'de, D: Deserializer<'de>>(from: D) -> Result<Success, D::Error> {
    Success::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// A book that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BookError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}
