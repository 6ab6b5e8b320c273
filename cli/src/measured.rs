//! Measurements of objectives that this host remembers, so that `status` can show them.
//!
//! A note for people, not evidence: it is not signed, and whoever may write the state may change it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_repo::clock::{Clock, PROOF_AGE_MAX, SystemClock};
use lifeboat_repo::ids::{Label, RunId};
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Component;
use crate::exit::Exit;
use crate::failure::tame;
use crate::render::Tone;
use crate::when::show_duration;

/// What a measurement came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Within target and limit.
    Met,
    /// Within the limit, not within the target.
    TargetMissed,
    /// Not within the limit.
    LimitMissed,
    /// Too little was measured to tell.
    InsufficientEvidence,
}

/// A measured restore, projected to the component's full size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    component: Label,
    region: Label,
    run: RunId,
    at: Timestamp,
    seconds: f64,
    verdict: Verdict,
    /// Why too little was measured to tell, where it was.
    #[serde(default)]
    why: Option<String>,
    /// Whether what was restored lacked something.
    #[serde(default)]
    lacked: bool,
    /// All of it, for whoever schedules components.
    #[serde(default)]
    rto: Value,
}

impl Measured {
    /// A measurement made now.
    #[cfg(feature = "recover")]
    pub(crate) fn new(
        component: &Component,
        run: RunId,
        at: Timestamp,
        rto: &lifeboat_verify::objective::Rto,
        lacked: bool,
    ) -> Self {
        use lifeboat_verify::objective::RtoVerdict;
        let (verdict, why) = match &rto.verdict {
            RtoVerdict::Met => (Verdict::Met, None),
            RtoVerdict::TargetMissed => (Verdict::TargetMissed, None),
            RtoVerdict::LimitMissed => (Verdict::LimitMissed, None),
            RtoVerdict::InsufficientEvidence(why) => (Verdict::InsufficientEvidence, Some(why.clone())),
        };
        let (component, region) = (component.name.clone(), component.region.clone());
        let seconds = rto.projected.as_secs_f64();
        Self {
            component,
            region,
            run,
            at,
            seconds,
            verdict,
            why,
            lacked,
            rto: serde_json::to_value(rto).unwrap_or_default(),
        }
    }

    /// The whole measurement.
    #[cfg(feature = "recover")]
    pub(crate) fn rto(&self) -> Option<lifeboat_verify::objective::Rto> {
        serde_json::from_value(self.rto.clone()).ok()
    }

    /// What it means for the process.
    pub(crate) const fn exit(&self) -> Exit {
        match self.verdict {
            Verdict::Met => Exit::Ok,
            Verdict::TargetMissed | Verdict::LimitMissed => Exit::Missed,
            Verdict::InsufficientEvidence => Exit::Unchecked,
        }
    }

    /// When it was made.
    #[cfg(feature = "recover")]
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// What to do where it says nothing of the time, and why it does not.
    pub(crate) fn advice(&self) -> Option<String> {
        let name = &self.component;
        let why = match (self.verdict, &self.why) {
            (Verdict::InsufficientEvidence, why) if !self.lacked => why.as_deref().map(tame),
            (Verdict::InsufficientEvidence, _) => None,
            _ => return None,
        };
        Some(match why {
            Some(why) => format!(
                "{name}: the last timed restore says nothing of the time: {why}; `lifeboat verify --level objective --trial \
                 whole {name}` measures all of it"
            ),
            None => format!(
                "{name}: the last timed restore lacked something, so it says nothing of the time; `lifeboat verify --level \
                 readback {name}` names what is damaged, then `lifeboat verify --level objective {name}`"
            ),
        })
    }

    /// How it looks.
    pub(crate) const fn tone(&self) -> Tone {
        match self.verdict {
            Verdict::Met => Tone::Good,
            Verdict::TargetMissed | Verdict::InsufficientEvidence => Tone::Warn,
            Verdict::LimitMissed => Tone::Bad,
        }
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let time = show_duration(Duration::try_from_secs_f64(self.seconds).unwrap_or(Duration::MAX));
        match self.verdict {
            Verdict::Met => format!("met (about {time})"),
            Verdict::TargetMissed => format!("over target (about {time})"),
            Verdict::LimitMissed => format!("MISSED (about {time})"),
            Verdict::InsufficientEvidence => "insufficient evidence".to_owned(),
        }
    }

    /// For `--json`.
    pub(crate) fn value(&self) -> Value {
        json!({ "verdict": self.verdict, "seconds": self.seconds, "run": self.run, "measured": self.at.rfc3339() })
    }
}

fn file(state: &Path, component: &Label) -> PathBuf {
    state.join("measured").join(format!("{component}.json"))
}

/// The last measurement, if there is one that is recent and of this component.
pub(crate) fn load(state: &Path, component: &Component) -> Option<Measured> {
    let text = std::fs::read(file(state, &component.name)).ok()?;
    let measured: Measured = serde_json::from_slice(&text).ok()?;
    let fits = measured.component == component.name && measured.region == component.region;
    (fits && SystemClock.now().since(measured.at) <= PROOF_AGE_MAX).then_some(measured)
}

/// Remembers a measurement, unless it says less than the one that is remembered: that one is given back, and stays. That it
/// cannot be remembered is no reason to fail.
#[cfg(feature = "recover")]
pub(crate) fn store(state: &Path, component: &Component, measured: &Measured) -> Option<Measured> {
    // A machine that only restores has no state, and none is made for this.
    if !state.is_dir() {
        return None;
    }
    // Of too little nothing follows; of a restore that lacked something, that the time before holds no more.
    if measured.verdict == Verdict::InsufficientEvidence && !measured.lacked {
        let before = load(state, component).filter(|one| one.verdict != Verdict::InsufficientEvidence);
        if before.is_some() {
            return before;
        }
    }
    let path = file(state, &measured.component);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let text = serde_json::to_vec_pretty(measured)?;
        std::fs::write(&path, text)
    });
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "the measurement is not remembered");
    }
    None
}

#[cfg(all(test, feature = "recover"))]
mod tests {
    use super::*;
    use crate::config::Config;
    use lifeboat_repo::units::Bytes;
    use lifeboat_verify::objective::{Assumptions, Least, Measurements, RtoObjective, Trial, Work, project};

    #[test]
    fn a_recent_measurement_is_remembered() {
        let config = Config::parse(Path::new("/x/lifeboat.toml"), crate::config::template::TEMPLATE).unwrap();
        let component = &config.components[0];
        let state = tempfile::tempdir().unwrap();
        assert!(load(state.path(), component).is_none());
        let run = RunId::new(SystemClock.now(), [1; 8]);
        let full = Work { bytes: Bytes(1 << 30), fetched: Bytes(1 << 30), requests: 300, files: 1000 };
        let transfer = Duration::from_secs(3600);
        let trial = Trial { work: full, streams: 2, stratum: String::new(), lost: 0, transfer };
        let measured = Measurements { trials: vec![trial], full, whole: true, ..Measurements::default() };
        let rto = project(&measured, Least::default(), RtoObjective::default(), &Assumptions::default());
        let keep = |measured: &Measured| store(state.path(), component, measured);
        assert!(keep(&Measured::new(component, run, SystemClock.now(), &rto, false)).is_none());
        let found = load(state.path(), component).unwrap();
        assert_eq!((found.words().as_str(), found.exit()), ("met (about 1 h)", Exit::Ok));
        assert_eq!((found.rto(), found.advice()), (Some(rto.clone()), None));
        let old = Measured::new(component, run, Timestamp::new(0, 0), &rto, false);
        assert!(keep(&old).is_none());
        assert!(load(state.path(), component).is_none(), "a measurement of long ago proves little");
    }
    #[test]
    fn what_says_less_does_not_take_the_place_of_what_says_more() {
        let config = Config::parse(Path::new("/x/lifeboat.toml"), crate::config::template::TEMPLATE).unwrap();
        let component = &config.components[0];
        let state = tempfile::tempdir().unwrap();
        let run = RunId::new(SystemClock.now(), [1; 8]);
        let full = Work { bytes: Bytes(1 << 30), fetched: Bytes(1 << 30), requests: 300, files: 1000 };
        let measured = |share: u64, lost: u64| {
            let work =
                Work { bytes: Bytes(full.bytes.0 / share), fetched: Bytes(full.fetched.0 / share), ..full };
            let transfer = Duration::from_secs(3600);
            let trial = Trial { work, streams: 2, stratum: String::new(), lost, transfer };
            let measured =
                Measurements { trials: vec![trial], full, whole: share == 1, ..Measurements::default() };
            let rto = project(&measured, Least::default(), RtoObjective::default(), &Assumptions::default());
            Measured::new(component, run, SystemClock.now(), &rto, lost > 0)
        };
        let keep = |measured: &Measured| store(state.path(), component, measured);
        let shown = || load(state.path(), component).unwrap();
        // Where nothing better is known it is shown, with its reason.
        assert!(keep(&measured(100, 0)).is_none());
        let advice = shown().advice().unwrap();
        assert!(advice.contains("10.7 MB were restored") && advice.contains("--trial whole"), "{advice}");
        assert!(keep(&measured(1, 0)).is_none());
        assert_eq!((shown().exit(), shown().advice()), (Exit::Ok, None));
        assert_eq!(keep(&measured(100, 0)).map(|kept| kept.words()).as_deref(), Some("met (about 1 h)"));
        assert_eq!(shown().exit(), Exit::Ok);
        // That something was missing says more than that all came back before.
        assert!(keep(&measured(1, 3)).is_none());
        let advice = shown().advice().unwrap();
        assert!(shown().exit() == Exit::Unchecked && advice.contains("lacked something"), "{advice}");
    }
}
