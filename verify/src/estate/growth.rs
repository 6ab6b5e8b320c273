//! When growth breaks what was promised.

use std::time::Duration;

use lifeboat_repo::units::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

use super::{End, Member, Question, Scale, estate};
use crate::schedule::{EstateError, schedule};

const DAY: f64 = 86_400.0;
/// Nobody knows how a system grows in the eleventh year.
const DAYS_MAX: u32 = 3650;
/// Snapshots of so many days at the least say how something grows.
const SPAN_MIN: Duration = Duration::from_secs(7 * 86_400);
/// And so many of them.
const SIZES_MIN: usize = 3;

/// A component's size at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeAt {
    /// When.
    pub at: Timestamp,
    /// Bytes of content.
    pub bytes: Bytes,
    /// Files and other entries.
    pub entries: u64,
}

/// When growth breaks what was promised, if it goes on as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// When the upper end passes the target; nothing: not within ten years.
    pub target: Option<Timestamp>,
    /// When it passes the limit; nothing: not within ten years.
    pub limit: Option<Timestamp>,
}

/// When growth breaks what was promised, with as many workers as are asked about. Nothing where too few sizes are known of a
/// component.
///
/// # Errors
/// Components do not hold together.
pub fn growth(members: &[Member], question: &Question<'_>) -> Result<Option<Growth>, EstateError> {
    let trends: Option<Vec<Trend>> = members.iter().map(|member| Trend::of(&member.sizes)).collect();
    let Some(trends) = trends else { return Ok(None) };
    let breaks = |allowed: Duration| -> Result<Option<Timestamp>, EstateError> {
        let late = |days: u32| -> Result<bool, EstateError> {
            let scale = |member: &Member| {
                let found = members.iter().position(|other| other.name == member.name);
                found.and_then(|at| trends.get(at)).map_or_else(Scale::default, |trend| trend.after(days))
            };
            Ok(schedule(&estate(members, End::High, &scale), question.workers)?.makespan > allowed)
        };
        if !late(DAYS_MAX)? {
            return Ok(None);
        }
        // The first late day, between one that is not and one that is.
        let (mut before, mut after) = (0, DAYS_MAX);
        if late(0)? {
            return Ok(Some(question.now));
        }
        while after - before > 1 {
            let middle = before.midpoint(after);
            if late(middle)? { after = middle } else { before = middle }
        }
        Ok(Some(question.now.plus(Duration::from_secs(u64::from(after) * 86_400))))
    };
    Ok(Some(Growth { target: breaks(question.objective.target)?, limit: breaks(question.objective.limit)? }))
}

/// A line through sizes: by how much of today's a component grows a day.
struct Trend {
    bytes: f64,
    files: f64,
}

impl Trend {
    fn of(sizes: &[SizeAt]) -> Option<Self> {
        let first = sizes.iter().map(|size| size.at).min()?;
        let last = sizes.iter().max_by_key(|size| size.at)?;
        if sizes.len() < SIZES_MIN || last.at.since(first) < SPAN_MIN {
            return None;
        }
        let days = |size: &SizeAt| size.at.since(first).as_secs_f64() / DAY;
        let slope = |of: &dyn Fn(&SizeAt) -> f64| {
            let count = sizes.len() as f64;
            let (x, y) =
                (sizes.iter().map(days).sum::<f64>() / count, sizes.iter().map(of).sum::<f64>() / count);
            let together: f64 = sizes.iter().map(|size| (days(size) - x) * (of(size) - y)).sum();
            let own: f64 = sizes.iter().map(|size| (days(size) - x).powi(2)).sum();
            (together / own.max(f64::MIN_POSITIVE)) / of(last).max(1.0)
        };
        Some(Self { bytes: slope(&|size| size.bytes.0 as f64), files: slope(&|size| size.entries as f64) })
    }

    /// What shrinks is taken to stay.
    fn after(&self, days: u32) -> Scale {
        let grown = |slope: f64| 1.0 + slope.max(0.0) * f64::from(days);
        Scale { bytes: grown(self.bytes), files: grown(self.files) }
    }
}
