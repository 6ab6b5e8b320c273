//! What a region's witness says of how new its repository is.

use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::repository::witness::{self, Depth, Freshness, Told};
use lifeboat_repo::repository::{Repository, Role};
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::Region;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
#[cfg(feature = "recover")]
use crate::render::Page;
use crate::render::Tone;
use crate::when::show_moment;

/// Names that a sentence names.
const NAMES_SHOWN: usize = 5;

/// What can be said.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// There is no witness.
    NoWitness,
    /// It could not be asked.
    Unknown(Failure),
    /// It says this.
    Says(Freshness),
}

/// Asks the witness of a region. That it cannot be asked keeps nobody from restoring.
pub(crate) fn ask(context: &Context, region: &Region, repository: &Repository, depth: Depth) -> Said {
    // A replica is behind its repository, and may be.
    if region.role == Role::Replica {
        return Said::NoWitness;
    }
    match context.witness(region) {
        Ok(None) => Said::NoWitness,
        Err(failure) => Said::Unknown(failure),
        Ok(Some(store)) => match witness::compare(repository, store.as_ref(), depth) {
            Ok(freshness) => Said::Says(freshness),
            Err(error) => Said::Unknown(error.into()),
        },
    }
}

/// Puts the newest entry of a writer's ledger to the witness; `None` where there is no witness, or nothing to put.
pub(crate) fn put(
    context: &Context,
    region: &Region,
    repository: &Repository,
    writer: &Label,
) -> Result<Option<ObjectName>> {
    let Some(store) = context.witness(region)? else { return Ok(None) };
    match witness::put(repository, store.as_ref(), writer)? {
        Told::Nothing => Ok(None),
        Told::Kept(name) => Ok(Some(name)),
        Told::RolledBack(gone) => {
            Err(Failure::new(Exit::Damaged, format!("{gone} was witnessed, and is gone or another now"))
                .code(Code::RolledBack)
                .next(Code::RolledBack.next()))
        }
    }
}

impl Said {
    /// What it means for the process.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NoWitness | Self::Says(Freshness::Proven(_) | Freshness::NotProven) => Exit::Ok,
            Self::Unknown(_) | Self::Says(Freshness::Doubtful(_)) => Exit::Unchecked,
            Self::Says(Freshness::RolledBack(_)) => Exit::Damaged,
        }
    }

    /// The same for a restore: that nobody could be asked is no fault of what came back.
    #[cfg(feature = "recover")]
    pub(crate) const fn exit_of_restore(&self) -> Exit {
        match self {
            Self::Says(Freshness::RolledBack(_)) => Exit::Damaged,
            _ => Exit::Ok,
        }
    }

    /// What it says of one writer's ledger: that others are whole proves nothing of one that nobody witnessed.
    #[cfg(feature = "recover")]
    pub(crate) fn of(self, writer: &Label) -> Self {
        match self {
            Self::Says(Freshness::Proven(vouched)) if !vouched.contains_key(writer) => {
                Self::Says(Freshness::NotProven)
            }
            other => other,
        }
    }

    /// What a verification says of it, where it is more than nothing.
    #[cfg(feature = "recover")]
    pub(crate) fn finding(&self) -> Option<String> {
        match self {
            Self::NoWitness | Self::Says(Freshness::Proven(_) | Freshness::NotProven) => None,
            Self::Unknown(_) | Self::Says(Freshness::Doubtful(_) | Freshness::RolledBack(_)) => {
                Some(self.words())
            }
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::NoWitness => "not proven: no witness says that nothing newer was taken away".into(),
            Self::Unknown(failure) => {
                let place = failure.place.as_ref().map_or_else(String::new, |place| format!(" at {place}"));
                let next = failure.next.as_ref().map_or_else(String::new, |next| format!("; {next}"));
                format!("not proven: the witness could not be asked: {}{place}{next}", failure.coded())
            }
            Self::Says(Freshness::NotProven) => "not proven: the witness has seen nothing of it".into(),
            Self::Says(Freshness::Proven(vouched)) => {
                let until = vouched.values().max().map_or_else(String::new, |moment| show_moment(*moment));
                format!("proven: nothing is gone that was witnessed up to the run of {until}")
            }
            Self::Says(Freshness::Doubtful(strange)) => {
                format!(
                    "not proven: the witness holds what nobody signed whom this repository trusts: {}; it was rolled \
                     back to before their writer was enrolled, or a stranger put them there",
                    names_of(strange)
                )
            }
            Self::Says(Freshness::RolledBack(gone)) => {
                format!(
                    "ROLLED BACK: witnessed, and gone or another now: {} ({})",
                    names_of(gone),
                    Code::RolledBack
                )
            }
        }
    }

    /// How it looks.
    pub(crate) const fn tone(&self) -> Tone {
        match self {
            Self::NoWitness | Self::Says(Freshness::NotProven) => Tone::Dim,
            Self::Unknown(_) | Self::Says(Freshness::Doubtful(_)) => Tone::Warn,
            Self::Says(Freshness::Proven(_)) => Tone::Good,
            Self::Says(Freshness::RolledBack(_)) => Tone::Bad,
        }
    }

    /// Shows it as a field of a page.
    #[cfg(feature = "recover")]
    pub(crate) fn show(&self, page: &mut Page) {
        page.field_toned("freshness", self.tone(), &self.words());
    }

    /// For `--json`: a word.
    pub(crate) fn value(&self) -> Value {
        json!(match self {
            Self::NoWitness
            | Self::Unknown(_)
            | Self::Says(Freshness::NotProven | Freshness::Doubtful(_)) => "not proven",
            Self::Says(Freshness::Proven(_)) => "proven",
            Self::Says(Freshness::RolledBack(_)) => "rolled back",
        })
    }
}

/// The first of some names, and how many more there are.
fn names_of(names: &[ObjectName]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(ObjectName::as_str).collect();
    let rest = names.len().saturating_sub(NAMES_SHOWN);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{more}", shown.join(", "))
}
