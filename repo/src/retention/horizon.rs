//! Until when rules keep what is deleted at its source today.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::Rules;
use crate::units::Timestamp;

/// The latest moment at which a snapshot may still hold what is deleted at the source now, and the rule that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// When the last snapshot that holds it expires.
    pub until: Timestamp,
    /// The rule, as it is called.
    pub rule: &'static str,
}

/// Until when rules keep a snapshot made now, if from now on one is made every `interval`. `None` where they do so for
/// ever. Whoever stops backing up keeps the newest for ever; that no rule can tell.
#[must_use]
pub fn horizon(rules: &Rules, interval: Duration, now: Timestamp, zone: &TimeZone) -> Option<Horizon> {
    let times = |count: u32| interval.saturating_mul(count);
    // The newest is kept until there is another.
    let mut all = vec![Horizon { until: now.plus(interval), rule: "newest" }];
    all.push(Horizon { until: now.plus(rules.minimum_age), rule: "minimum_age" });
    if rules.last > 0 {
        all.push(Horizon { until: now.plus(times(rules.last)), rule: "last" });
    }
    if let Some(within) = rules.within {
        all.push(Horizon { until: now.plus(within), rule: "within" });
    }
    for (period, count) in rules.periods.iter().filter(|(_, count)| **count > 0) {
        // It may be the newest of its period. It goes when so many later periods have one: the last of them begins
        // then, and within an interval has its first. Where a period passes without any, those count that have one.
        let begins = period.begins(now, zone, *count)?.plus(interval);
        let sparse = now.plus(times(*count)).plus(interval);
        all.push(Horizon { until: begins.max(sparse), rule: period.rule() });
    }
    all.into_iter().max_by_key(|horizon| horizon.until)
}

/// The same for a tenant whose data is kept for `keep`: the sooner of both.
#[must_use]
pub fn tenant_horizon(
    component: Option<Horizon>,
    keep: Duration,
    minimum_age: Duration,
    interval: Duration,
    now: Timestamp,
) -> Horizon {
    let own = Horizon { until: now.plus(keep.max(minimum_age).max(interval)), rule: "tenant" };
    component.filter(|component| component.until <= own.until).unwrap_or(own)
}
