//! Which packs a writer may rely on: those that nothing condemns, and whose lock lasts. FORMAT.md §11.
//!
//! What an old pack holds is not stored anew, so a snapshot made today stands on it. Where it is locked, the lock must
//! last long enough for whoever extends locks to come by; else the snapshot could be destroyed tomorrow by whoever may
//! delete. Of personal data under no tenant's key it is the other way round: it goes with whole packs only, so that no
//! pack is relied on for long, and each is dead as a whole soon after its own snapshots expire.

use std::collections::HashMap;

use crate::format::names::{Place, place};
use crate::format::records::Locked;
use crate::ids::PackId;
use crate::repository::gc::Condemned;
use crate::store::Listed;
use crate::units::{Bytes, LockClass, LockTerms, Timestamp};

/// The packs among what is listed that may be relied on for data of a class, with their lengths. `now` is the time of
/// the store's clock, `terms` how long packs of the class are locked there.
#[must_use]
pub fn reliable(
    listed: &[Listed],
    condemned: &Condemned,
    class: LockClass,
    terms: Option<LockTerms>,
    now: Timestamp,
) -> HashMap<PackId, Bytes> {
    let mut found = HashMap::new();
    for object in listed {
        let Some(Place::Pack(pack)) = place(&object.name) else { continue };
        let lasts = match (class.relied_on(terms), terms) {
            (Some(relied), _) => object.modified.plus(relied) > now,
            (None, Some(terms)) => {
                locked_until(object.modified, terms, condemned.locked()) >= now.plus(terms.floor)
            }
            (None, None) => true,
        };
        if lasts && !condemned.pack(pack) {
            found.insert(pack, object.length);
        }
    }
    found
}

/// Until when a pack of the normal class is locked that appeared then: as it was put, or as far as was stated since.
#[must_use]
pub fn locked_until(appeared: Timestamp, terms: LockTerms, stated: &[Locked]) -> Timestamp {
    let put = appeared.plus(terms.period);
    let extended = stated.iter().filter(|stated| appeared <= stated.0).map(|stated| stated.1);
    extended.fold(put, Timestamp::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: u64 = 24 * 60 * 60;

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * DAY)
    }

    fn pack(number: u8, modified: Timestamp) -> Listed {
        let id = PackId::from_bytes([number; 32]);
        Listed { name: crate::format::names::pack(id).unwrap(), length: Bytes(u64::from(number)), modified }
    }

    fn found(condemned: &Condemned, class: LockClass, terms: Option<LockTerms>, now: Timestamp) -> Vec<u64> {
        let start = Timestamp::new(1_760_000_000, 0);
        let listed: Vec<Listed> = (1..=8_u8).map(|n| pack(n, start.plus(days(u64::from(n) * 10)))).collect();
        let mut lengths: Vec<u64> =
            reliable(&listed, condemned, class, terms, now).into_values().map(|length| length.0).collect();
        lengths.sort_unstable();
        lengths
    }

    #[test]
    fn nothing_new_relies_on_a_lock_that_ends_soon() {
        let start = Timestamp::new(1_760_000_000, 0);
        let now = start.plus(days(80));
        let terms = Some(LockTerms { period: days(60), floor: days(30) });
        let none = Condemned::stating(Vec::new());
        // Put at 50 days or later: 30 of 60 are left at least.
        assert_eq!(found(&none, LockClass::Normal, terms, now), [5, 6, 7, 8]);
        assert_eq!(found(&none, LockClass::Normal, None, now), [1, 2, 3, 4, 5, 6, 7, 8]);
        // All that appeared by the 20th day were extended far enough, those by the 40th not.
        let stated = |put: u64, until: u64| Locked(start.plus(days(put)), start.plus(days(until)));
        let extended = Condemned::stating(vec![stated(20, 110), stated(40, 109)]);
        assert_eq!(found(&extended, LockClass::Normal, terms, now), [1, 2, 5, 6, 7, 8]);
        // A statement never takes away.
        let short = Condemned::stating(vec![stated(80, 81)]);
        assert_eq!(found(&short, LockClass::Normal, terms, now), [5, 6, 7, 8]);
        // The short class is relied on for half its lock, whatever is stated, and without locks too.
        let terms = Some(LockTerms { period: days(20), floor: days(5) });
        assert_eq!(found(&extended, LockClass::Short, terms, now), [7, 8]);
        assert_eq!(found(&extended, LockClass::Short, None, now), [8]);
    }
}
