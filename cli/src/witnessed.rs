//! What a region's witness says of how new its repository is.

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::witness::{self, Freshness};
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
pub(crate) fn ask(context: &Context, region: &Region, repository: &Repository) -> Said {
    // A replica is behind its repository, and may be.
    if region.role == Role::Replica {
        return Said::NoWitness;
    }
    match context.witness(region) {
        Ok(None) => Said::NoWitness,
        Err(failure) => Said::Unknown(failure),
        Ok(Some(store)) => match witness::compare(repository, store.as_ref()) {
            Ok(freshness) => Said::Says(freshness),
            Err(error) => Said::Unknown(error.into()),
        },
    }
}

/// Puts the newest entry of a writer's ledger to the witness, if there is one.
pub(crate) fn put(context: &Context, region: &Region, repository: &Repository, writer: &Label) -> Result<()> {
    let Some(store) = context.witness(region)? else { return Ok(()) };
    witness::put(repository, store.as_ref(), writer)?;
    Ok(())
}

impl Said {
    /// What it means for the process.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NoWitness | Self::Says(Freshness::Proven(_) | Freshness::NotProven) => Exit::Ok,
            Self::Unknown(_) => Exit::Unchecked,
            Self::Says(Freshness::RolledBack(_)) => Exit::Damaged,
        }
    }

    /// The same for a restore: that nobody could be asked is no fault of what came back.
    #[cfg(feature = "recover")]
    pub(crate) const fn exit_of_restore(&self) -> Exit {
        match self {
            Self::Unknown(_) => Exit::Ok,
            other => other.exit(),
        }
    }

    /// What a verification says of it, where it is more than nothing.
    #[cfg(feature = "recover")]
    pub(crate) fn finding(&self) -> Option<String> {
        match self {
            Self::NoWitness | Self::Says(Freshness::Proven(_) | Freshness::NotProven) => None,
            Self::Unknown(_) | Self::Says(Freshness::RolledBack(_)) => Some(self.words()),
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::NoWitness => "not proven: no witness says that nothing newer was taken away".into(),
            Self::Unknown(failure) => {
                format!("not proven: the witness could not be asked: {}", failure.coded())
            }
            Self::Says(Freshness::NotProven) => {
                "not proven: the witness knows nothing of this repository".into()
            }
            Self::Says(Freshness::Proven(moment)) => {
                format!("proven: nothing that was witnessed by {} is gone", show_moment(*moment))
            }
            Self::Says(Freshness::RolledBack(gone)) => {
                let names: Vec<String> = gone.iter().map(ToString::to_string).collect();
                format!(
                    "ROLLED BACK: witnessed and gone, or others now: {} ({})",
                    names.join(", "),
                    Code::RolledBack
                )
            }
        }
    }

    /// How it looks.
    pub(crate) const fn tone(&self) -> Tone {
        match self {
            Self::NoWitness | Self::Says(Freshness::NotProven) => Tone::Dim,
            Self::Unknown(_) => Tone::Warn,
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
            Self::NoWitness | Self::Unknown(_) | Self::Says(Freshness::NotProven) => "not proven",
            Self::Says(Freshness::Proven(_)) => "proven",
            Self::Says(Freshness::RolledBack(_)) => "rolled back",
        })
    }
}
