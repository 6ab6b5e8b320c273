//! How old what a region's replica holds is.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_repo::repository::snapshots::Listed;
use lifeboat_repo::units::Timestamp;
use serde_json::{Value, json};

use crate::config::{Component, Config, Region};
use crate::context::Context;
use crate::failure::Failure;
use crate::survey;
use crate::when::show_duration;

/// What the replica holds of a component.
pub(super) enum Copied {
    /// Its newest snapshot there holds all up to this moment, so long ago; or there is none.
    Newest(Option<(Timestamp, Duration)>),
    /// It could not be looked at: this host may have no business there.
    Unknown(Failure),
}

/// What counts in a region's replica; nothing where there is none, or where it is looked at already.
pub(super) fn look(
    context: &Context,
    config: &Config,
    region: &Region,
    identities: &[PathBuf],
) -> Option<Result<Vec<Listed>, Failure>> {
    if region.replica.is_none() || context.replica {
        return None;
    }
    Some(survey::snapshots_of(context, config, &region.at_replica(), None, identities))
}

impl Copied {
    pub(super) fn of(
        context: &Context,
        copies: &Result<Vec<Listed>, Failure>,
        component: &Component,
    ) -> Self {
        match copies {
            Err(failure) => Self::Unknown(failure.clone()),
            Ok(listed) => {
                let point = survey::latest(listed, &component.name).map(|newest| newest.recovery_point);
                Self::Newest(point.map(|point| (point, context.now().since(point))))
            }
        }
    }

    /// What to do, where it is older than may be lost.
    pub(super) fn advice(&self, component: &Component) -> Option<String> {
        let name = &component.name;
        match self {
            Self::Newest(Some((_, age))) if *age <= component.rpo => None,
            Self::Newest(Some((_, age))) => Some(format!(
                "{name}: the replica's newest snapshot is {} old; `lifeboat replicate`, and see why the last one did \
                 not run",
                show_duration(*age)
            )),
            Self::Newest(None) => {
                Some(format!("{name} has no snapshot in the replica: `lifeboat replicate`"))
            }
            Self::Unknown(failure) => {
                Some(format!("{name}: the replica could not be looked at: {}", failure.coded()))
            }
        }
    }

    pub(super) fn value(&self) -> Value {
        match self {
            Self::Newest(newest) => json!({
                "recovery_point": newest.map(|(point, _)| point.rfc3339()),
                "age_seconds": newest.map(|(_, age)| age.as_secs()),
            }),
            Self::Unknown(failure) => json!({ "error": failure.json() }),
        }
    }
}
