use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;
use crate::format::names;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// Summer time twice a year, half hours, a day that never was (Apia, 30 December 2011), no summer time.
const ZONES: [&str; 5] =
    ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/New_York", "Asia/Kolkata"];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * HOUR)
}

fn at(zone: &TimeZone, text: &str) -> Timestamp {
    let local: DateTime = text.parse().unwrap();
    local.to_zoned_datetime(zone.clone()).unwrap().timestamp().into()
}

fn one(moment: Timestamp, number: u8, worth: Worth) -> Candidate {
    let run = RunId::new(moment, [number; 8]);
    let name = names::snapshot(&"chats".parse().unwrap(), run).unwrap();
    Candidate { name, run, moment, worth, keys: Vec::new() }
}

fn rules(last: u32, periods: [u32; 5], within: u64, minimum_age: u64) -> Rules {
    Rules {
        last,
        periods: Period::ALL.into_iter().zip(periods).collect(),
        within: (within > 0).then(|| hours(within)),
        minimum_age: hours(minimum_age),
    }
}

fn said(decisions: &[Decision]) -> Vec<String> {
    decisions.iter().map(ToString::to_string).collect()
}

// --- by hand

#[test]
fn every_decision_has_its_reason() {
    let berlin = zone("Europe/Berlin");
    let now = at(&berlin, "2026-11-27T12:00");
    let mut all: Vec<Candidate> = (19..=27)
        .map(|day| one(at(&berlin, &format!("2026-11-{day}T03:00")), day, Worth::Complete))
        .collect();
    all.push(one(at(&berlin, "2026-11-25T04:00"), 1, Worth::Partial));
    all.push(one(at(&berlin, "2026-11-26T04:00"), 2, Worth::Unrecorded));
    all.push(one(at(&berlin, "2026-11-24T23:30"), 3, Worth::Nothing("a collector ended its run".into())));
    all.push(one(at(&berlin, "2026-12-24T03:00"), 4, Worth::Complete));
    let rules = Rules { within: Some(hours(24)), ..rules(1, [0, 3, 2, 0, 0], 0, 12) };
    assert_eq!(
        said(&decide(&all, Some(&rules), now, &berlin)),
        [
            "left: dated later than the store's clock, so it takes no place: look at its writer's clock",
            "kept: younger than the minimum age of 12 h; 1st of the last 1; no older than 1 d; 1st of 3 daily, \
             2026-11-27; 1st of 2 weekly, 2026-W48; the newest complete one, always kept: without it nothing might be \
             left",
            "left: no ledger names it yet; it takes no place",
            "kept: 2nd of 3 daily, 2026-11-26",
            "kept: 1st of the last 1; 1st of 3 daily, 2026-11-25; 1st of 2 weekly, 2026-W48",
            "kept: 3rd of 3 daily, 2026-11-25",
            "left: it takes no place: a collector ended its run",
            "expired: no rule keeps it: past the last 1; older than 1 d; past the newest 3 days; a later one \
             stands for 2026-W48",
            "expired: no rule keeps it: past the last 1; older than 1 d; past the newest 3 days; a later one \
             stands for 2026-W48",
            "kept: 2nd of 2 weekly, 2026-W47",
            "expired: no rule keeps it: past the last 1; older than 1 d; past the newest 3 days; a later one \
             stands for 2026-W47",
            "expired: no rule keeps it: past the last 1; older than 1 d; past the newest 3 days; a later one \
             stands for 2026-W47",
            "expired: no rule keeps it: past the last 1; older than 1 d; past the newest 3 days; a later one \
             stands for 2026-W47",
        ]
    );
}

#[test]
fn the_newest_complete_one_is_always_kept() {
    let utc = TimeZone::UTC;
    let now = at(&utc, "2026-11-27T12:00");
    let long_ago = at(&utc, "2019-01-01T00:00");
    let old = one(long_ago, 1, Worth::Complete);
    let partial = one(long_ago.plus(hours(1)), 2, Worth::Partial);
    let decisions = decide(&[old.clone(), partial.clone()], Some(&rules(0, [0; 5], 1, 0)), now, &utc);
    assert!(decisions.iter().all(Decision::is_newest), "{:?}", said(&decisions));
    // A partial one that is older goes.
    let younger = one(long_ago.plus(hours(2)), 3, Worth::Complete);
    let decisions = decide(&[old, partial, younger], Some(&rules(0, [0; 5], 1, 0)), now, &utc);
    assert_eq!(decisions.iter().map(Decision::expires).collect::<Vec<_>>(), [false, true, true]);
    assert!(decide(&[], Some(&Rules::default()), now, &utc).is_empty());
}

/// One that is dated far ahead takes no place, even as the newest: else a broken writer could expire everything.
#[test]
fn one_from_the_future_pushes_nothing_out() {
    let utc = TimeZone::UTC;
    let now = at(&utc, "2026-11-27T12:00");
    let honest = one(at(&utc, "2026-11-20T12:00"), 1, Worth::Complete);
    let forged: Vec<Candidate> =
        (2..9).map(|n| one(now.plus(hours(25 + u64::from(n))), n, Worth::Complete)).collect();
    let all: Vec<Candidate> = forged.into_iter().chain([honest.clone()]).collect();
    let decisions = decide(&all, Some(&rules(2, [0; 5], 0, 0)), now, &utc);
    assert!(decisions.iter().all(|decision| !decision.expires()));
    assert!(decisions.last().unwrap().is_newest());
}

#[test]
fn unrecorded_ones_go_with_the_oldest_that_is_kept() {
    let utc = TimeZone::UTC;
    let day = |day: u8| at(&utc, &format!("2026-11-{day:02}T03:00"));
    let mut all: Vec<Candidate> = (10..20).map(|n| one(day(n), n, Worth::Complete)).collect();
    all.push(one(day(12).plus(hours(1)), 1, Worth::Unrecorded));
    all.push(one(day(18).plus(hours(1)), 2, Worth::Unrecorded));
    let decisions = decide(&all, Some(&rules(3, [0; 5], 0, 0)), day(19).plus(hours(5)), &utc);
    let of = |number: u8| decisions.iter().find(|d| d.run == all[usize::from(number) + 9].run).unwrap();
    assert_eq!(of(1).to_string(), "expired: no ledger names it, and it is older than all that is kept");
    assert!(!of(2).expires());
}

/// Where the clock is set back an hour comes twice; a day is 25 hours, another 23, and one never was.
#[test]
fn periods_are_those_of_the_calendar() {
    let berlin = zone("Europe/Berlin");
    let twice = at(&berlin, "2026-10-25T02:30");
    let labels = [0, 1, 2].map(|later| Period::Hour.label(twice.plus(hours(later)), &berlin));
    assert_eq!(labels, ["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"]);
    let day = |text: &str| Period::Day.label(text.parse::<jiff::Timestamp>().unwrap().into(), &berlin);
    assert_eq!(day("2026-10-24T22:00:00Z"), "2026-10-25");
    assert_eq!(day("2026-10-25T22:59:59Z"), "2026-10-25");
    assert_eq!(day("2026-10-25T23:00:00Z"), "2026-10-26");
    let week = |text: &str| Period::Week.label(at(&berlin, text), &berlin);
    assert_eq!(week("2027-01-03T23:59"), "2026-W53");
    assert_eq!(week("2024-12-30T00:00"), "2025-W01");
    let month = |text: &str| Period::Month.label(at(&berlin, text), &berlin);
    assert_eq!(
        (month("2028-02-29T23:59").as_str(), month("2028-03-01T00:00").as_str()),
        ("2028-02", "2028-03")
    );
    let apia = zone("Pacific/Apia");
    let begins = |moment, count| Period::Day.begins(moment, &apia, count).unwrap();
    let day = begins(at(&apia, "2011-12-29T12:00"), 1);
    assert_eq!(Period::Day.label(day, &apia), "2011-12-31");
    let leap = Period::Year.begins(at(&berlin, "2028-02-29T12:00"), &berlin, 1).unwrap();
    assert_eq!(Period::Day.label(leap, &berlin), "2029-01-01");
}

#[test]
fn a_tenants_keep_only_ever_shortens() {
    let utc = TimeZone::UTC;
    let day = |day: u8| at(&utc, &format!("2026-11-{day:02}T03:00"));
    let now = day(27).plus(hours(1));
    let (short, long) = (KeyId::from_bytes([1; 32]), KeyId::from_bytes([2; 32]));
    let stranger = KeyId::from_bytes([3; 32]);
    let mut all: Vec<Candidate> = (10..20).map(|n| one(day(n), n, Worth::Complete)).collect();
    all.iter_mut().for_each(|one| one.keys = vec![short, long, stranger]);
    let decisions = decide(&all, Some(&rules(4, [0; 5], 0, 0)), now, &utc);
    let keep = BTreeMap::from([(short, hours(9 * 24)), (long, hours(900 * 24))]);
    let keys = expire_keys(&decisions, &all, &keep, hours(1), now);
    assert_eq!(keys.len(), 8, "two keys in each of four that are kept");
    let of = |key: KeyId| keys.iter().filter(|one| one.key == key).map(|one| one.fate).collect::<Vec<_>>();
    assert_eq!(of(short), [KeyFate::Kept, KeyFate::Expired, KeyFate::Expired, KeyFate::Expired][..]);
    assert_eq!(of(long), [KeyFate::Kept; 4]);
    // The newest keeps its tenants, however old it is; what is young keeps them too.
    let keep = BTreeMap::from([(short, hours(1))]);
    let keys = expire_keys(&decisions, &all, &keep, hours(9 * 24 + 24), now);
    let fates: Vec<KeyFate> = keys.iter().map(|one| one.fate).collect();
    assert_eq!(fates, [KeyFate::Newest, KeyFate::Young, KeyFate::Expired, KeyFate::Expired]);
}

// --- against a naive model

fn number(part: impl Into<i64>) -> i64 {
    part.into()
}

/// Everything of a snapshot's date that a period is told by.
fn parts(moment: Timestamp, zone: &TimeZone) -> [Vec<i64>; 5] {
    let local = jiff::Timestamp::from_second(moment.seconds()).unwrap().to_zoned_datetime(zone.clone());
    let (year, month, day) = (number(local.year()), number(local.month()), number(local.day()));
    let week = local.date().iso_week_date();
    [
        vec![year, month, day, number(local.hour()), number(local.offset().seconds())],
        vec![year, month, day],
        vec![number(week.year()), number(week.week())],
        vec![year, month],
        vec![year],
    ]
}

/// Which snapshots expire, told for each by looking at all others, as slowly as can be.
fn naive(all: &[Candidate], rules: &Rules, now: Timestamp, zone: &TimeZone) -> BTreeSet<ObjectName> {
    let future = |one: &Candidate| one.moment > now.plus(FUTURE_MAX);
    let newer = |a: &Candidate, b: &Candidate| (a.moment, a.run) > (b.moment, b.run);
    let counts = |one: &Candidate| matches!(one.worth, Worth::Complete | Worth::Partial) && !future(one);
    let keeps = |one: &Candidate| {
        let age = now.since(one.moment);
        let rivals: Vec<&Candidate> = all
            .iter()
            .filter(|other| other.worth == one.worth && !future(other) && newer(other, one))
            .collect();
        let whole_newer =
            all.iter().any(|other| other.worth == Worth::Complete && !future(other) && newer(other, one));
        if rivals.is_empty() && !whole_newer {
            return true;
        }
        let by_period = Period::ALL.into_iter().enumerate().any(|(at, period)| {
            let own = &parts(one.moment, zone)[at];
            let later: BTreeSet<Vec<i64>> =
                rivals.iter().map(|rival| parts(rival.moment, zone)[at].clone()).collect();
            !later.contains(own) && later.len() < rules.periods[&period] as usize
        });
        age < rules.minimum_age
            || rivals.len() < rules.last as usize
            || rules.within.is_some_and(|within| age <= within)
            || by_period
    };
    let kept: Vec<&Candidate> = all.iter().filter(|one| counts(one) && keeps(one)).collect();
    let oldest = kept.iter().map(|one| one.moment).min();
    let outlived = |one: &Candidate| {
        one.worth == Worth::Unrecorded
            && !future(one)
            && oldest.is_some_and(|oldest| one.moment < oldest)
            && now.since(one.moment) >= rules.minimum_age
    };
    let gone = all.iter().filter(|one| (counts(one) && !keeps(one)) || outlived(one));
    gone.map(|one| one.name.clone()).collect()
}

fn expired(all: &[Candidate], rules: &Rules, now: Timestamp, zone: &TimeZone) -> BTreeSet<ObjectName> {
    let decisions = decide(all, Some(rules), now, zone);
    decisions.into_iter().filter(Decision::expires).map(|decision| decision.name).collect()
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let worth = prop_oneof![
        6 => Just(Worth::Complete),
        3 => Just(Worth::Partial),
        1 => Just(Worth::Unrecorded),
        1 => Just(Worth::Nothing("void".into())),
    ];
    // Years, days around a change of the clock, minutes of one night; some of one moment.
    let moment = prop_oneof![
        1_300_000_000_i64..1_800_000_000,
        1_761_000_000_i64..1_763_000_000,
        (0_i64..40).prop_map(|step| 1_761_436_800 + step * 900),
    ];
    proptest::collection::vec((moment, worth), 0..40).prop_map(|all| {
        let numbered = all.into_iter().zip(0_u8..);
        numbered.map(|((moment, worth), n)| one(Timestamp::new(moment, 0), n, worth)).collect()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (0..5_u32, proptest::array::uniform5(0..6_u32), 0..3000_u64, 0..200_u64)
        .prop_map(|(last, periods, within, age)| rules(last, periods, within, age))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_the_naive_model(
        all in candidates(), rules in any_rules(), now in 1_761_000_000_i64..1_800_000_000, zoned in 0..ZONES.len()
    ) {
        let (now, zone) = (Timestamp::new(now, 0), zone(ZONES[zoned]));
        prop_assert_eq!(expired(&all, &rules, now, &zone), naive(&all, &rules, now, &zone));
    }

    #[test]
    fn order_does_not_matter_and_a_second_time_changes_nothing(
        all in candidates(), rules in any_rules(), now in 1_761_000_000_i64..1_800_000_000,
        zoned in 0..ZONES.len(), turn in 0..40_usize
    ) {
        let (now, zone) = (Timestamp::new(now, 0), zone(ZONES[zoned]));
        let gone = expired(&all, &rules, now, &zone);
        let mut turned: Vec<Candidate> = all.iter().rev().cloned().collect();
        turned.rotate_left(turn.checked_rem(all.len()).unwrap_or(0));
        prop_assert_eq!(decide(&all, Some(&rules), now, &zone), decide(&turned, Some(&rules), now, &zone));
        let rest: Vec<Candidate> = all.iter().filter(|one| !gone.contains(&one.name)).cloned().collect();
        prop_assert_eq!(expired(&rest, &rules, now, &zone), BTreeSet::new());
    }

    #[test]
    fn more_rules_never_expire_more_and_never_everything(
        all in candidates(), rules in any_rules(), more in any_rules(), now in 1_761_000_000_i64..1_800_000_000
    ) {
        let now = Timestamp::new(now, 0);
        let both = Rules {
            last: rules.last.max(more.last),
            periods: Period::ALL.into_iter().map(|p| (p, rules.periods[&p].max(more.periods[&p]))).collect(),
            within: rules.within.max(more.within),
            minimum_age: rules.minimum_age.max(more.minimum_age),
        };
        let (few, many) =
            (expired(&all, &both, now, &TimeZone::UTC), expired(&all, &rules, now, &TimeZone::UTC));
        prop_assert!(few.is_subset(&many));
        let counting = |one: &&Candidate| one.worth == Worth::Complete && !is_future(one, now);
        let newest = all.iter().filter(counting).max_by_key(|one| (one.moment, one.run));
        prop_assert!(newest.is_none_or(|newest| !many.contains(&newest.name)));
    }

    /// What a snapshot made now holds is gone when the horizon says so, if backups go on.
    #[test]
    fn nothing_outlives_its_horizon(
        rules in any_rules(), now in 1_761_000_000_i64..1_800_000_000, every in 1..60_u64, zoned in 0..ZONES.len()
    ) {
        let (now, zone) = (Timestamp::new(now, 0), zone(ZONES[zoned]));
        let every = hours(every);
        let horizon = horizon(&rules, every, now, &zone).unwrap();
        let mut all = vec![one(now, 0, Worth::Complete)];
        // Every so often, and now and then late within what is allowed; enough of them, and no more.
        while all.last().unwrap().moment.plus(every) <= horizon.until && all.len() < 400 {
            all.push(one(all.last().unwrap().moment.plus(every), 1, Worth::Complete));
        }
        if all.len() < 400 {
            let gone = expired(&all, &rules, horizon.until.plus(Duration::from_secs(1)), &zone);
            prop_assert!(gone.contains(&all[0].name), "{:?}", horizon);
        }
    }
}

#[test]
fn a_tenants_horizon_is_the_sooner_of_both() {
    let utc = TimeZone::UTC;
    let now = at(&utc, "2026-11-27T12:00");
    let daily = horizon(&rules(0, [0, 14, 0, 0, 0], 0, 24), hours(24), now, &utc);
    let until = |keep: u64| tenant_horizon(daily, Duration::from_secs(keep * DAY), hours(24), hours(24), now);
    assert_eq!(daily.unwrap().until, now.plus(Duration::from_secs(15 * DAY)));
    assert_eq!((until(7).rule, until(7).until), ("tenant", now.plus(Duration::from_secs(7 * DAY))));
    assert_eq!((until(90).rule, until(90).until), ("daily", daily.unwrap().until));
    assert_eq!(tenant_horizon(None, hours(1), hours(30), hours(24), now).until, now.plus(hours(30)));
}
