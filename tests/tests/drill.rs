//! Drills plant faults, and whatever is not caught makes them red: each fault with what must catch it, and each with its
//! guard taken away.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_runbooks::drill::planted::{Plant, Really};
use lifeboat_runbooks::drill::result;
use lifeboat_runbooks::drill::target::Cleanup;
use lifeboat_verify::evidence::facts::{Met, Moment, Verdict, What};

use rehearsal::{Rehearsal, late};

#[path = "drill/absent.rs"]
mod absent;
#[path = "drill/asked.rs"]
mod asked;
#[path = "drill/promises.rs"]
mod promises;
#[path = "drill/rehearsal.rs"]
mod rehearsal;

/// All objects of a store with their bytes' hash.
fn stored(path: &Path) -> BTreeMap<String, [u8; 32]> {
    let store = LocalStore::open(path).unwrap();
    let limit = lifeboat_repo::units::Bytes::mib(64);
    let hash = |name| lifeboat_repo::crypto::sha256(&store.read(name, limit).unwrap());
    store.list("").unwrap().iter().map(|one| (one.name.to_string(), hash(&one.name))).collect()
}

#[test]
fn every_planted_fault_is_caught_and_none_is_left() {
    let rehearsal = Rehearsal::new();
    let repository = rehearsal.world.dir.path().join("repository");
    let before = stored(&repository);
    let found = rehearsal.look(Really::Planted);
    assert_eq!(before, stored(&repository), "a drill changed the repository");
    let left = std::fs::read_dir(rehearsal.body.target.work()).unwrap().count();
    assert_eq!(left, 0, "something planted is left");
    let by: Vec<(&str, String)> = found
        .planted
        .iter()
        .map(|(which, caught)| (which.name(), caught.as_ref().unwrap().by.clone().unwrap_or_default()))
        .collect();
    let wanted = [
        ("corrupted-segment", "the restore"),
        ("missing-object", "the inventory"),
        ("stale-sentinel", "the age of what can be restored"),
        ("wrong-key", "the seal"),
        ("altered-file", "the comparison of contents"),
    ];
    for ((name, by), (wanted, caught_by)) in by.iter().zip(wanted) {
        println!("{name:18} caught by {by}");
        assert!(*name == wanted && by.starts_with(caught_by), "{name}: {by}");
    }
    assert_eq!(by.len(), Plant::ALL.len());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Met, "{:#?}", facts.assertions);
    assert!(facts.absent.len() == 1 && facts.absent[0].absent, "{:?}", facts.absent);
    let sample = facts.sample.unwrap();
    assert_eq!((sample.population, sample.drawn), (3, 3), "acme, beta and what is nobody's");
    assert_eq!(sample.bound.map(|bound| bound.number()), Some(0.0));
}

#[test]
fn a_fault_that_nobody_plants_is_not_caught_and_makes_the_drill_red() {
    let rehearsal = Rehearsal::new();
    let pretended = rehearsal.look(Really::Pretended);
    for (which, caught) in &pretended.planted {
        assert_eq!(caught.as_ref().unwrap().by, None, "{}: cries wolf", which.name());
    }
    // One after another is not caught, the others are.
    for index in 0..Plant::ALL.len() {
        let mut found = rehearsal.look(Really::Planted);
        found.planted[index] = pretended.planted[index].clone();
        let facts = rehearsal.facts(found);
        assert_eq!(facts.verdict, Verdict::Failed, "{}", Plant::ALL[index].name());
        println!("{:18} not caught: {}", Plant::ALL[index].name(), facts.verdict.words());
    }
    // One that could not be planted is no pass either.
    let mut found = rehearsal.look(Really::Planted);
    found.planted[0].1 = Err("no room".into());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
    let judged = facts.assertions.iter().find(|one| one.name == "every planted fault is caught").unwrap();
    assert_eq!(judged.met, Met::Insufficient, "{judged:?}");
    assert!(
        facts.not_run.iter().any(|one| one.what.contains("corrupted-segment") && one.reason == "no room")
    );
}

/// What makes a drill red, and how red.
type Case = (&'static str, fn(&mut Rehearsal), Verdict, &'static str);

const CASES: [Case; 11] = [
    ("nothing", |_| {}, Verdict::Met, ""),
    (
        "a byte of a restored file",
        |r| std::fs::write(r.restored("tenants/acme/a"), "x".repeat(300)).unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "a file that did not come back",
        |r| std::fs::remove_file(r.restored("tenants/beta/a")).unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "a file too many",
        |r| std::fs::write(r.restored("tenants/beta/b"), "").unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "nothing restored",
        |r| std::fs::remove_dir_all(r.restored("")).unwrap(),
        Verdict::Insufficient,
        "digest",
    ),
    (
        "the erased came back",
        |r| std::fs::create_dir_all(r.restored("tenants/gone")).unwrap(),
        Verdict::Failed,
        "erased",
    ),
    ("a step that failed", |r| r.body.steps[1].what = What::Failed, Verdict::Failed, "failed steps"),
    (
        "a step that nobody could be asked about",
        |r| {
            r.body.steps[1].what = What::Skipped;
            r.body.steps[1].note = Some("there was nobody to ask".into());
        },
        Verdict::Insufficient,
        "rto",
    ),
    ("thirty hours", |r| late(r, 30), Verdict::TargetMissed, "rto"),
    ("fifty hours", |r| late(r, 50), Verdict::LimitMissed, "rto"),
    (
        "too old a snapshot",
        |r| {
            r.body.disruption = Moment::new(SystemClock.now().plus(Duration::from_secs(2 * 86_400)));
            r.body.steps.iter_mut().for_each(|step| {
                (step.started, step.ended) = (Some(r.body.disruption), Some(r.body.disruption))
            });
        },
        Verdict::LimitMissed,
        "rpo",
    ),
];

#[test]
fn whatever_is_wrong_makes_the_drill_as_red_as_it_is() {
    for (what, spoil, verdict, named) in CASES {
        let mut rehearsal = Rehearsal::new();
        spoil(&mut rehearsal);
        let found = rehearsal.look(Really::Planted);
        let facts = rehearsal.facts(found);
        assert_eq!(facts.verdict, verdict, "{what}: {:#?}", facts.assertions);
        let missed: Vec<&str> =
            facts.assertions.iter().filter(|one| one.met != Met::Met).map(|one| one.name.as_str()).collect();
        assert!(named.is_empty() == missed.is_empty(), "{what}: {missed:?}");
        assert!(named.is_empty() || missed.iter().any(|name| name.contains(named)), "{what}: {missed:?}");
    }
}

#[test]
fn a_target_that_was_not_cleaned_up_makes_the_drill_red() {
    let mut rehearsal = Rehearsal::new();
    let done = |rehearsal: &Rehearsal| {
        let mut facts = rehearsal.facts(rehearsal.look(Really::Planted));
        result::close(&mut facts, &rehearsal.body, Moment::new(SystemClock.now()));
        facts.verdict
    };
    rehearsal.body.cleanup = Some(Cleanup::default());
    assert_eq!(done(&rehearsal), Verdict::Met);
    rehearsal.body.cleanup = Some(Cleanup { left: vec!["a file".into()], ..Cleanup::default() });
    assert_eq!(done(&rehearsal), Verdict::Failed);
}
