//! Recoveries of regions, put together: how long it takes until all of them are back.
//!
//! A drill recovers one region with one machine, and somebody leads it. After a disaster of everything as many regions are
//! recovered at a time as there are machines that restore at a time, the others after them: side by side only where
//! somebody says that there is more than one. What is done once for all of them, such as declaring the disaster, counts in
//! each, so that this is rather too long than too short.

use std::num::NonZeroU32;
use std::time::Duration;

/// How long all of them take, so many at a time, those that take longest first.
#[must_use]
pub fn together(took: &[Duration], at_a_time: NonZeroU32) -> Duration {
    let mut longest_first = took.to_vec();
    longest_first.sort_unstable_by(|a, b| b.cmp(a));
    let lanes = usize::try_from(at_a_time.get()).unwrap_or(usize::MAX).min(took.len());
    let mut ends = vec![Duration::ZERO; lanes];
    for time in longest_first {
        if let Some(free) = ends.iter_mut().min() {
            *free = free.saturating_add(time);
        }
    }
    ends.into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_recovered_side_by_side_as_far_as_there_are_machines() {
        let hours = |hours: &[u64], at_a_time: u32| {
            let took: Vec<_> = hours.iter().map(|hours| Duration::from_secs(hours * 3600)).collect();
            together(&took, NonZeroU32::new(at_a_time).unwrap()).as_secs() / 3600
        };
        assert_eq!(hours(&[7, 5], 1), 12);
        assert_eq!(hours(&[5, 7], 2), 7);
        assert_eq!(hours(&[5, 7], 9), 7);
        assert_eq!(hours(&[3, 4, 6], 2), 7);
        assert_eq!(hours(&[], 1), 0);
    }
}
