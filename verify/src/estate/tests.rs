use super::*;
use crate::objective::{Assumptions, Least, Measurements, Trial, Work, project};
use lifeboat_repo::units::Bytes;

const HOUR: Duration = Duration::from_secs(3600);

/// A component that was restored whole in so many hours, with one hour until a machine stands ready.
fn member(name: &str, needs: &[&str], hours: u32) -> Member {
    let full = Work { bytes: Bytes(1 << 40), fetched: Bytes(1 << 39), requests: 1000, files: 100_000 };
    let trial = Trial { work: full, streams: 8, stratum: String::new(), lost: 0, transfer: hours * HOUR };
    let measured = Measurements { trials: vec![trial], full, whole: true, ..Measurements::default() };
    let assumptions = Assumptions { setup: Some(HOUR), ..Assumptions::default() };
    let size = |day: i64, percent: u64| SizeAt {
        at: Timestamp::new(day * 86_400, 0),
        bytes: Bytes((1 << 40) / 100 * percent),
        entries: 1000 * percent,
    };
    Member {
        name: name.parse().unwrap(),
        needs: needs.iter().map(|need| need.parse().unwrap()).collect(),
        rto: Some(project(&measured, Least::default(), RtoObjective::default(), &assumptions)),
        shards: NonZeroU32::MIN,
        sizes: vec![size(0, 90), size(50, 95), size(100, 100)],
    }
}

fn question(workers: u32, drills: &[Duration]) -> Question<'_> {
    Question {
        workers: NonZeroU32::new(workers).unwrap(),
        objective: RtoObjective::default(),
        drills,
        now: Timestamp::new(100 * 86_400, 0),
    }
}

#[test]
fn the_whole_takes_as_long_as_its_longest_chain() {
    let all = [member("identity", &[], 4), member("chats", &["identity"], 8), member("files", &[], 2)];
    let found = project_estate(&all, &question(2, &[])).unwrap();
    // Each has an hour of setup; what was timed once is a quarter off.
    assert_eq!((found.projected, found.range.high), (14 * HOUR, 17 * HOUR));
    assert_eq!(found.range.low, 2 * HOUR + (12 * HOUR).mul_f64(0.8));
    assert_eq!(found.critical.iter().map(Label::as_str).collect::<Vec<_>>(), ["identity", "chats"]);
    assert_eq!(found.verdict, RtoVerdict::Met);
    let chats = found.parts.iter().find(|part| part.name.as_str() == "chats").unwrap();
    assert_eq!(
        (chats.start, chats.end, chats.end_high, chats.critical),
        (5 * HOUR, 14 * HOUR, 17 * HOUR, true)
    );
    let one = project_estate(&all, &question(1, &[])).unwrap();
    assert_eq!((one.projected, one.workers_needed), (17 * HOUR, Some(1)));
    assert!(one.chances.is_none());
}

#[test]
fn what_nobody_measured_makes_it_insufficient() {
    let mut all = [member("identity", &[], 4), member("chats", &["identity"], 8)];
    all[1].rto = None;
    let found = project_estate(&all, &question(2, &[])).unwrap();
    assert!(matches!(&found.verdict, RtoVerdict::InsufficientEvidence(why) if why.contains("chats")));
    assert_eq!((found.missing.len(), found.workers_needed, found.growth), (1, None, None));
    assert!(matches!(
        project_estate(&[], &question(2, &[])).unwrap().verdict,
        RtoVerdict::InsufficientEvidence(_)
    ));
}

#[test]
fn workers_and_the_day_growth_breaks_it() {
    let all: Vec<Member> = (0..4).map(|n| member(&format!("c{n}"), &[], 10)).collect();
    let one = project_estate(&all, &question(1, &[])).unwrap();
    assert_eq!((one.projected, &one.verdict), (44 * HOUR, &RtoVerdict::LimitMissed));
    // Upper ends of 13.5 hours: two after one another on two workers are 27, one each on four is 13.5.
    assert_eq!(one.workers_needed, Some(4));
    let four = project_estate(&all, &question(4, &[])).unwrap();
    let growth = four.growth.unwrap();
    // 12.5 h grow by a thousandth a day: 24 h less an hour of setup are passed after 840 days, 47 h after 2760.
    let day = |moment: Option<Timestamp>| moment.unwrap().seconds() / 86_400 - 100;
    assert!(
        (840..=842).contains(&day(growth.target)) && (2759..=2762).contains(&day(growth.limit)),
        "{growth:?}"
    );
    let mut young = all.clone();
    young[0].sizes.truncate(2);
    assert_eq!(project_estate(&young, &question(4, &[])).unwrap().growth, None);
}

#[test]
fn chances_need_five_drills() {
    let drills = [20, 22, 24, 26, 28].map(|hours| hours * HOUR);
    assert_eq!(chances(&drills[..4], RtoObjective::default()), None);
    let found = chances(&drills, RtoObjective::default()).unwrap();
    let hours = |span: Duration| span.as_secs_f64() / 3600.0;
    assert!((hours(found.p50) - 23.83).abs() < 0.05, "{found:?}");
    // Mean and spread of logarithms are 3.171 and 0.134; t at 0.95 with four degrees of freedom is 2.132.
    assert!((hours(found.p95) - 32.6).abs() < 0.3, "{found:?}");
    assert!((found.within_target - 0.52).abs() < 0.02 && found.within_limit > 0.99, "{found:?}");
    // P95 by its own share.
    let again = chances(&drills, RtoObjective { target: found.p95, limit: 48 * HOUR }).unwrap();
    assert!((again.within_target - 0.95).abs() < 0.001, "{again:?}");
    let equal = chances(&[HOUR; 5], RtoObjective { target: HOUR, limit: HOUR }).unwrap();
    assert!(equal.p95 > HOUR && (equal.within_target - 0.5).abs() < 0.001);
}
