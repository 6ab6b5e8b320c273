//! How much a disaster would lose: from the recovery point of the newest usable snapshot to the disaster.

use std::fmt;
use std::time::Duration;

use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::repository::snapshots::{Listed, Standing};
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::span;

/// Whether a recovery point objective is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "snake_case")]
pub enum RpoVerdict {
    /// No more is lost than was promised.
    Met,
    /// More is lost.
    Missed,
    /// Nothing to judge by; the text says why.
    InsufficientEvidence(String),
}

/// What a disaster at a moment would lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rpo {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: RpoVerdict,
    /// The component.
    pub component: Label,
    /// When the disaster strikes.
    pub disaster: Timestamp,
    /// The snapshot that would be restored.
    pub run: Option<RunId>,
    /// Up to when it holds data.
    pub recovery_point: Option<Timestamp>,
    /// The time of which data is lost, in seconds.
    #[serde(serialize_with = "loss_seconds")]
    pub loss: Option<Duration>,
    /// What was promised, in seconds.
    #[serde(serialize_with = "span::seconds")]
    pub objective: Duration,
    /// Whether that snapshot misses something besides: unreadable files, or such as changed while they were read.
    pub partial: bool,
}

/// What a disaster at that moment would lose of a component.
///
/// A snapshot helps if it counts, its run had ended by then, and it is not dated ahead of the store's clock; of those the one
/// with the latest recovery point is restored.
#[must_use]
pub fn rpo(listed: &[Listed], component: &Label, disaster: Timestamp, objective: Duration) -> Rpo {
    let usable = listed
        .iter()
        .filter(|one| one.component == *component && one.standing == Standing::Counts && one.ahead.is_none())
        .filter_map(|one| one.snapshot.as_ref())
        .filter(|snapshot| snapshot.end <= disaster)
        .max_by_key(|snapshot| (snapshot.recovery_point, snapshot.run));
    let loss = usable.map(|snapshot| disaster.since(snapshot.recovery_point));
    let verdict = match loss {
        Some(loss) if loss <= objective => RpoVerdict::Met,
        Some(_) => RpoVerdict::Missed,
        None => RpoVerdict::InsufficientEvidence(format!(
            "component {component} has no snapshot that counts, was complete by {}, and is not dated ahead of the \
             store's clock",
            disaster.rfc3339()
        )),
    };
    Rpo {
        verdict,
        component: component.clone(),
        disaster,
        run: usable.map(|snapshot| snapshot.run),
        recovery_point: usable.map(|snapshot| snapshot.recovery_point),
        loss,
        objective,
        partial: usable.is_some_and(|snapshot| snapshot.status == Status::Partial),
    }
}

fn loss_seconds<S: serde::Serializer>(loss: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match loss {
        Some(loss) => span::seconds(loss, serializer),
        None => serializer.serialize_none(),
    }
}

impl RpoVerdict {
    /// Whether the objective is missed.
    #[must_use]
    pub const fn is_missed(&self) -> bool {
        matches!(self, Self::Missed)
    }
}

impl fmt::Display for RpoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.pad("met"),
            Self::Missed => f.pad("missed"),
            Self::InsufficientEvidence(reason) => write!(f, "insufficient evidence: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::format::snapshot::{Counts, Snapshot, SourceNote};
    use lifeboat_repo::units::Bytes;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    fn listed(start: i64, end: i64, standing: Standing) -> Listed {
        let run = RunId::new(at(start), [1; 8]);
        let component: Label = "chats".parse().unwrap();
        let snapshot = Snapshot {
            format: 0,
            component: component.clone(),
            writer: "fra-1".parse().unwrap(),
            run,
            parent: None,
            source: SourceNote {
                kind: "files".into(),
                consistency: "each file by itself".into(),
                excluded: 0,
            },
            start: at(start),
            end: at(end),
            recovery_point: at(start),
            tool: "test".into(),
            status: Status::Complete,
            counts: Counts::default(),
            keys: Vec::new(),
            must: Vec::new(),
        };
        Listed {
            name: format!("snapshots/chats/{run}").parse().unwrap(),
            component,
            run,
            standing,
            snapshot: Some(snapshot),
            hash: None,
            length: Bytes::ZERO,
            expired_by: None,
            ahead: None,
        }
    }

    fn judge(all: &[Listed], disaster: i64, objective: u64) -> Rpo {
        rpo(all, &"chats".parse().unwrap(), at(disaster), Duration::from_secs(objective))
    }

    #[test]
    fn a_date_ahead_of_the_stores_clock_meets_nothing() {
        let mut all = [listed(900, 910, Standing::Counts)];
        assert_eq!(judge(&all, 1000, 500).verdict, RpoVerdict::Met);
        all[0].ahead = Some(Duration::from_secs(400 * 86_400));
        let rpo = judge(&all, 1000, 500);
        assert!(matches!(rpo.verdict, RpoVerdict::InsufficientEvidence(_)), "{rpo:?}");
        assert!(rpo.run.is_none());
    }

    #[test]
    fn the_loss_runs_from_the_recovery_point_to_the_disaster() {
        let all = [listed(100, 150, Standing::Counts), listed(1000, 1050, Standing::Counts)];
        let found = judge(&all, 1900, 900);
        assert_eq!((found.loss, &found.verdict), (Some(Duration::from_secs(900)), &RpoVerdict::Met));
        assert_eq!(judge(&all, 1901, 900).verdict, RpoVerdict::Missed);
    }

    #[test]
    fn a_run_that_had_not_ended_helps_nobody() {
        let all = [listed(100, 150, Standing::Counts), listed(1000, 1050, Standing::Counts)];
        assert_eq!(judge(&all, 1049, 900).loss, Some(Duration::from_secs(949)));
        assert_eq!(judge(&all, 1050, 900).loss, Some(Duration::from_secs(50)));
        assert!(matches!(judge(&all, 149, 900).verdict, RpoVerdict::InsufficientEvidence(_)));
    }

    #[test]
    fn what_does_not_count_does_not_help() {
        let all = [listed(100, 150, Standing::Unrecorded), listed(200, 210, Standing::Void("x".into()))];
        let found = judge(&all, 300, 900);
        assert!(matches!(found.verdict, RpoVerdict::InsufficientEvidence(_)));
        assert_eq!((found.run, found.loss), (None, None));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["verdict"], "insufficient_evidence");
        assert!(json["loss"].is_null());
    }
}
