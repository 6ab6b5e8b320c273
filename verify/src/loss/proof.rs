//! What the records of one writer in a copy prove, beside that writer's log.

use std::collections::BTreeMap;

use lifeboat_repo::format::heartbeat::{Beat, HeartbeatBody};
use lifeboat_repo::format::names;
use lifeboat_repo::ids::{Label, TenantToken};
use lifeboat_repo::units::Timestamp;

use super::Known;

pub(super) const NONE: &str = "no heartbeat is in the copy, so nothing says what is lost";
const NO_SNAPSHOT: &str = "nobody said of which snapshot this is a copy, so nothing says when its reading began, and what all is in it";

/// What the records of one writer prove.
#[derive(Default)]
pub(super) struct Proof {
    /// The newest that says that everything older is there.
    pub(super) proven: Option<(u64, Timestamp)>,
    /// When the first that is not there was written.
    pub(super) absent: Option<Timestamp>,
    pub(super) holes: u64,
    pub(super) note: String,
}

pub(super) fn prove(
    known: &Known<'_>,
    tenant: Option<TenantToken>,
    writer: &Label,
    found: &BTreeMap<u64, Timestamp>,
) -> Proof {
    let (Some((first, _)), Some((last, _))) = (found.first_key_value(), found.last_key_value()) else {
        return Proof { note: NONE.into(), ..Proof::default() };
    };
    let log = known.log.map(|entries| Log::of(entries, known, tenant, writer));
    let missing = Missing::between(found, log.as_ref(), (*first, *last));
    let end = missing.first.map_or(*last, |seq| seq.saturating_sub(1));
    let within =
        |time: &Timestamp| known.recovery_point.is_some_and(|point| *time <= point.min(known.disaster));
    let proven = found.range(..=end).rev().find(|(_, time)| within(time)).map(|(seq, time)| (*seq, *time));
    let absent = log.as_ref().and_then(|log| {
        let mut later = log.beats.range(end.saturating_add(1)..);
        later.find(|(seq, _)| !found.contains_key(seq)).map(|(_, (_, beat))| beat.written)
    });
    let note = match (&log, absent) {
        _ if known.recovery_point.is_none() => NO_SNAPSHOT,
        _ if proven.is_none() => {
            "no heartbeat in the copy is older than the moment when reading began, so nothing says that all before it is there"
        }
        (None, _) => {
            "the log of heartbeats could not be read, so nothing says when the first lost one was written"
        }
        _ if missing.untold => {
            "entries of the log of heartbeats are missing, so numbers that are neither in it nor in the copy count as lost"
        }
        (Some(_), None) => "no later heartbeat was logged before the disaster",
        (Some(_), Some(_)) => "the next heartbeat was logged, and is not in the copy",
    };
    Proof { proven, absent, holes: missing.count, note: note.to_owned() }
}

/// A writer's log, as far as it is there.
struct Log<'l> {
    /// Records that it says were written, each with the place of its entry.
    beats: BTreeMap<u64, (usize, &'l Beat)>,
    /// Places of entries before which others are missing.
    broken: Vec<usize>,
}

impl<'l> Log<'l> {
    fn of(
        entries: &'l [HeartbeatBody],
        known: &Known<'_>,
        tenant: Option<TenantToken>,
        writer: &Label,
    ) -> Self {
        let mut own: Vec<&HeartbeatBody> = entries.iter().filter(|entry| entry.writer == *writer).collect();
        own.sort_by_key(|entry| entry.id);
        let follows = |(before, entry): (&&HeartbeatBody, &&HeartbeatBody)| {
            let name = names::heartbeat(writer, before.id).ok();
            name.is_some() && entry.previous.as_ref().map(|(name, _)| name) == name.as_ref()
        };
        let pairs = own.iter().zip(own.iter().skip(1));
        let broken = (1..).zip(pairs).filter(|(_, pair)| !follows(*pair)).map(|(place, _)| place).collect();
        let mut beats = BTreeMap::new();
        for (place, beat) in own
            .iter()
            .enumerate()
            .flat_map(|(place, entry)| entry.beats.iter().map(move |beat| (place, beat)))
        {
            if beat.component == *known.component && beat.tenant == tenant && beat.time <= known.disaster {
                beats.insert(beat.seq, (place, beat));
            }
        }
        Self { beats, broken }
    }

    /// Whether it would tell of every record with a number between two that were written, had there been one.
    fn is_whole_between(&self, low: u64, high: u64) -> bool {
        let below = self.beats.range(..=low).next_back().map(|(_, (place, _))| *place);
        let above = self.beats.range(high..).next().map(|(_, (place, _))| *place);
        let (Some(below), Some(above)) = (below, above) else { return false };
        below <= above && !self.broken.iter().any(|place| below < *place && *place <= above)
    }
}

/// Numbers that are not in the copy.
#[derive(Default)]
struct Missing {
    first: Option<u64>,
    count: u64,
    /// Whether some of them are missing in the log as well, which is not whole there.
    untold: bool,
}

impl Missing {
    /// Those that the log says were written, and those of which it cannot say that they were not. Where there is no log
    /// that is each.
    fn between(found: &BTreeMap<u64, Timestamp>, log: Option<&Log<'_>>, (first, last): (u64, u64)) -> Self {
        let logged = log.into_iter().flat_map(|log| log.beats.range(first..=last).map(|(seq, _)| *seq));
        let told: std::collections::BTreeSet<u64> = found.keys().copied().chain(logged).collect();
        let mut missing = Self::default();
        let mut before = first;
        for seq in told {
            let between = seq.saturating_sub(before).saturating_sub(1);
            if between > 0 && log.is_none_or(|log| !log.is_whole_between(before, seq)) {
                missing.add(before.saturating_add(1), between);
                missing.untold = true;
            }
            if !found.contains_key(&seq) {
                missing.add(seq, 1);
            }
            before = seq;
        }
        missing
    }

    fn add(&mut self, seq: u64, count: u64) {
        self.first.get_or_insert(seq);
        self.count = self.count.saturating_add(count);
    }
}
