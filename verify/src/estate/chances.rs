//! What drills say of the next recovery.

use std::f64::consts::FRAC_PI_2;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::objective::{RtoObjective, student};
use crate::span;

/// Of fewer drills nobody can say how likely something is.
pub const DRILLS_MIN: usize = 5;

/// Recoveries differ by a twentieth at least, however alike five drills were.
const SPREAD_MIN: f64 = 0.05;

/// Steps of an integral; its error is far below what five drills can tell.
const STEPS: u32 = 2000;

/// How likely the next recovery is how quick: the logarithm of its time is taken to be normal, of which drills tell mean and
/// spread, so the next one follows Student's t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chances {
    /// Drills that it rests on.
    pub drills: u32,
    /// Half of all recoveries are quicker.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub p50: Duration,
    /// 95 in 100 recoveries are quicker.
    #[serde(serialize_with = "span::seconds", deserialize_with = "span::from_seconds")]
    pub p95: Duration,
    /// The probability to keep the target, from 0 to 1.
    pub within_target: f64,
    /// The probability to keep the limit, from 0 to 1.
    pub within_limit: f64,
}

/// What whole recoveries, as drills measured them, say of the next; nothing of fewer than [`DRILLS_MIN`].
#[must_use]
pub fn chances(drills: &[Duration], objective: RtoObjective) -> Option<Chances> {
    if drills.len() < DRILLS_MIN {
        return None;
    }
    let logs: Vec<f64> = drills.iter().map(|took| took.as_secs_f64().max(1e-3).ln()).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let spread = variance.sqrt().max(SPREAD_MIN) * (1.0 + 1.0 / count).sqrt();
    let drills = u32::try_from(logs.len()).unwrap_or(u32::MAX);
    let within =
        |time: Duration| share_below((time.as_secs_f64().max(1e-3).ln() - mean) / spread, count - 1.0);
    Some(Chances {
        drills,
        p50: span::of_seconds(mean.exp()),
        p95: span::of_seconds((mean + student(drills - 1) * spread).exp()),
        within_target: within(objective.target),
        within_limit: within(objective.limit),
    })
}

/// The share of Student's t below a value. With t = √ν tan θ its density is cos^(ν − 1) θ, up to a factor.
fn share_below(value: f64, freedom: f64) -> f64 {
    let density = |angle: f64| angle.cos().max(0.0).powf(freedom - 1.0);
    let end = (value / freedom.sqrt()).atan();
    integral(&density, -FRAC_PI_2, end) / integral(&density, -FRAC_PI_2, FRAC_PI_2)
}

/// Simpson's rule.
fn integral(of: &dyn Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let width = (to - from) / f64::from(STEPS);
    let inner = (1..STEPS).map(|step| {
        let weight = if step % 2 == 1 { 4.0 } else { 2.0 };
        weight * of(from + width * f64::from(step))
    });
    (of(from) + inner.sum::<f64>() + of(to)) * width / 3.0
}
