//! Predictions that are kept, and what was measured afterwards: whether ranges hold is itself measured.

use std::num::NonZeroU32;
use std::time::Duration;

use lifeboat_repo::ids::Label;
use lifeboat_repo::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::objective::{Basis, Range, Rto, Work};
use crate::regions::together;
use crate::span;

/// A prediction fits a measurement if the component is at most so many times larger or smaller by then.
const SIZE_MAX: f64 = 1.5;

/// A line of the file of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How long something was said to take.
    Predicted(Predicted),
    /// How long it took.
    Measured(Taken),
}

/// How long restoring a component was said to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// When.
    pub at: Timestamp,
    /// The component.
    pub component: Label,
    /// Planning and transfer; what is assumed is not predicted.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub time: Duration,
    /// How far that can be off.
    pub range: Range,
    /// What there was to do.
    pub full: Work,
    /// How many times larger that was than what it was told from.
    pub factor: f64,
}

/// How long something took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// When it was over.
    pub at: Timestamp,
    /// The component; nothing: everything together, from the disruption on.
    pub component: Option<Label>,
    /// The region that everything is of; nothing: all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Label>,
    /// Planning and transfer of the whole component, or of everything all that there was.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub took: Duration,
    /// What was done.
    pub work: Work,
    /// What measured it: `verify`, or the id of a drill.
    pub by: String,
}

/// Whether predictions held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackTest {
    /// Each measurement that something had been said of before.
    pub compared: Vec<Compared>,
    /// How many of them lay within the range.
    pub held: u32,
}

/// A measurement beside the prediction before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The component.
    pub component: Label,
    /// When it was said.
    pub predicted_at: Timestamp,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// What was said, for as much as there was to do in the end.
    pub range: Range,
    /// How long it took.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub took: Duration,
    /// Whether it lay within the range.
    pub held: bool,
}

/// What a projection says, to be kept; nothing where it says nothing.
#[must_use]
pub fn predicted(component: &Label, rto: &Rto, at: Timestamp) -> Option<Predicted> {
    if matches!(rto.verdict, crate::objective::RtoVerdict::InsufficientEvidence(_)) || rto.measurements.whole
    {
        return None;
    }
    let assumed: Duration =
        rto.terms.iter().filter(|term| term.basis == Basis::Assumed).map(|term| term.time).sum();
    let less = |time: Duration| time.saturating_sub(assumed);
    Some(Predicted {
        at,
        component: component.clone(),
        time: less(rto.projected),
        range: Range { low: less(rto.range.low), high: less(rto.range.high) },
        full: rto.measurements.full,
        factor: rto.factor,
    })
}

/// What a restore of the whole measured; nothing where a sample was restored, or not all came back.
#[must_use]
pub fn taken(component: &Label, rto: &Rto, at: Timestamp) -> Option<Taken> {
    let measured = &rto.measurements;
    let whole = measured.whole && measured.trials.iter().all(|trial| trial.lost == 0);
    let quickest = measured.trials.iter().map(|trial| trial.transfer).min().filter(|_| whole)?;
    Some(Taken {
        at,
        component: Some(component.clone()),
        region: None,
        took: quickest.saturating_add(measured.planning),
        work: measured.full,
        by: "verify".into(),
    })
}

/// Compares each measurement of a component with the newest prediction before it, scaled to what there was to do.
#[must_use]
pub fn back_test(lines: &[Line]) -> BackTest {
    let predictions: Vec<&Predicted> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Predicted(predicted) => Some(predicted),
            Line::Measured(_) => None,
        })
        .collect();
    let mut found = BackTest::default();
    for line in lines {
        let Line::Measured(taken) = line else { continue };
        let Some(component) = &taken.component else { continue };
        let before = predictions.iter().filter(|one| one.component == *component && one.at < taken.at);
        let Some(newest) = before.max_by_key(|one| one.at) else { continue };
        let grown = taken.work.fetched.0.max(1) as f64 / newest.full.fetched.0.max(1) as f64;
        if !(1.0 / SIZE_MAX..=SIZE_MAX).contains(&grown) {
            continue;
        }
        let scaled = |time: Duration| span::of_seconds(time.as_secs_f64() * grown);
        let range = Range { low: scaled(newest.range.low), high: scaled(newest.range.high) };
        let held = range.low <= taken.took && taken.took <= range.high;
        found.held += u32::from(held);
        found.compared.push(Compared {
            component: component.clone(),
            predicted_at: newest.at,
            measured_at: taken.at,
            range,
            took: taken.took,
            held,
        });
    }
    found
}

/// How long recoveries of everything took, as drills measured: those of all there is, and those that are put together of one
/// drill of each region, the newest with the newest, so that none counts twice.
#[must_use]
pub fn drills(lines: &[Line], regions: &[Label], at_a_time: NonZeroU32) -> Vec<Duration> {
    let of = |region: Option<&Label>| -> Vec<Duration> {
        let whole = lines.iter().rev().filter_map(|line| match line {
            Line::Measured(taken) if taken.component.is_none() => Some(taken),
            _ => None,
        });
        whole.filter(|taken| taken.region.as_ref() == region).map(|taken| taken.took).collect()
    };
    let each: Vec<Vec<Duration>> = regions.iter().map(|region| of(Some(region))).collect();
    let count = each.iter().map(Vec::len).min().unwrap_or_default();
    let put_together = (0..count).map(|at| {
        let took: Vec<Duration> = each.iter().filter_map(|own| own.get(at).copied()).collect();
        together(&took, at_a_time)
    });
    of(None).into_iter().chain(put_together).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat_repo::units::Bytes;

    fn work(bytes: u64) -> Work {
        Work { bytes: Bytes(bytes), fetched: Bytes(bytes), requests: 1, files: 1 }
    }

    fn said(at: i64, low: u64, high: u64, bytes: u64) -> Line {
        let range = Range { low: Duration::from_secs(low), high: Duration::from_secs(high) };
        let (component, time) = ("chats".parse().unwrap(), Duration::from_secs(low.midpoint(high)));
        let at = Timestamp::new(at, 0);
        Line::Predicted(Predicted { at, component, time, range, full: work(bytes), factor: 5.0 })
    }

    fn took(at: i64, seconds: u64, bytes: u64) -> Line {
        let (at, took) = (Timestamp::new(at, 0), Duration::from_secs(seconds));
        let component = Some("chats".parse().unwrap());
        Line::Measured(Taken { at, component, region: None, took, work: work(bytes), by: "verify".into() })
    }

    #[test]
    fn each_measurement_is_held_against_the_newest_prediction_before_it() {
        let lines = [
            said(10, 80, 120, 1000),
            took(20, 100, 1000),
            said(30, 200, 300, 1000),
            took(40, 100, 1000),
            // A fifth more to do, a fifth more time.
            took(50, 350, 1200),
            // Another component by now.
            took(60, 1000, 5000),
        ];
        let found = back_test(&lines);
        let held: Vec<bool> = found.compared.iter().map(|one| one.held).collect();
        assert_eq!((held.as_slice(), found.held), (&[true, false, true][..], 2));
        assert_eq!(back_test(&[took(5, 100, 1000), said(10, 80, 120, 1000)]), BackTest::default());
        let text = serde_json::to_string(&lines[0]).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), lines[0]);
    }
    #[test]
    fn drills_of_each_region_are_put_together_and_none_counts_twice() {
        let [eu, us]: [Label; 2] = ["eu-fra", "us-dal"].map(|name| name.parse().unwrap());
        let whole = |at: i64, region: Option<&Label>, hours: u64| {
            let (at, took) = (Timestamp::new(at, 0), Duration::from_secs(hours * 3600));
            let (region, by) = (region.cloned(), format!("drill-{at}"));
            Line::Measured(Taken { at, component: None, region, took, work: work(1), by })
        };
        let lines = [
            took(5, 100, 1000),
            whole(10, None, 30),
            whole(20, Some(&eu), 5),
            whole(30, Some(&eu), 7),
            whole(40, Some(&us), 6),
        ];
        let hours = |regions: &[Label], machines: u32| -> Vec<u64> {
            let all = drills(&lines, regions, NonZeroU32::new(machines).unwrap());
            all.into_iter().map(|took| took.as_secs() / 3600).collect()
        };
        let both = [eu.clone(), us];
        assert_eq!((hours(&both, 1), hours(&both, 2)), (vec![30, 13], vec![30, 7]));
        assert_eq!(hours(&[eu], 1), [30, 7, 5]);
    }
}
