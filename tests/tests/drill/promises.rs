//! What was promised, what came back of it, and how long that took.

use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::ids::ObjectHash;
use lifeboat_runbooks::drill::planted::Really;
use lifeboat_tests::label;
use lifeboat_verify::evidence::facts::{
    Met, Moment, Outcome as CheckOutcome, PastDrill, Seconds, Verdict, What,
};

use crate::rehearsal::{BOOK, Rehearsal, late};

#[test]
fn what_brings_nothing_back_says_nothing_of_how_long_that_takes() {
    let (_, text) = lifeboat_runbooks::BOOKS.iter().find(|(name, _)| *name == "repository-damage").unwrap();
    let rehearsal = Rehearsal::new().with_book(text);
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Met, "{:#?}", facts.assertions);
    for component in &facts.components {
        assert!(component.rto.is_none() && component.checks.is_empty(), "{component:#?}");
    }
    // What should have come back and did not took no time either.
    let rehearsal = Rehearsal::new();
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert!(facts.components[0].rto.is_none(), "{:#?}", facts.components);
}

#[test]
fn what_was_promised_is_kept_whatever_the_book_calls_a_success() {
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let silent = BOOK.replace("and rto <= 24h ", "");
    assert_ne!(silent, BOOK);
    // A component of which more was promised than by the book; and a book that speaks of no time.
    let cases = [
        (BOOK, (hours(1), hours(4)), 10, Verdict::LimitMissed),
        (BOOK, (hours(1), hours(12)), 10, Verdict::TargetMissed),
        (&silent, (hours(24), hours(48)), 30, Verdict::TargetMissed),
        (&silent, (hours(24), hours(48)), 50, Verdict::LimitMissed),
        (&silent, (hours(24), hours(48)), 10, Verdict::Met),
    ];
    for (number, (book, rto, took, verdict)) in cases.into_iter().enumerate() {
        let mut rehearsal = Rehearsal::new().with_book(book);
        rehearsal.wanted[0].rto = rto;
        late(&mut rehearsal, took);
        let facts = rehearsal.facts(rehearsal.look(Really::Planted));
        assert_eq!(facts.verdict, verdict, "{number}: {:#?}", facts.assertions);
        let said = facts.assertions.iter().any(|one| one.met == Met::Missed && one.name.contains("back"));
        assert_eq!(said, verdict != Verdict::Met, "{number}: {:#?}", facts.assertions);
    }
}

/// What came back counts, whatever part of a recovery the step calls itself that brings it.
#[test]
fn a_restore_in_another_phase_counts() {
    let other = BOOK.replace("\"transfer\"", "\"replay\"").replace(" and 0 digest mismatches", "");
    assert_ne!(other, BOOK);
    let rehearsal = Rehearsal::new().with_book(&other);
    assert_eq!(rehearsal.facts(rehearsal.look(Really::Planted)).verdict, Verdict::Met);
    std::fs::write(rehearsal.restored("tenants/acme/a"), "x".repeat(300)).unwrap();
    assert_eq!(rehearsal.facts(rehearsal.look(Really::Planted)).verdict, Verdict::Failed);
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Insufficient);
    assert_eq!(facts.components[0].checks.len(), 1);
}

/// A step that restores may say nothing of where to: what differs is told all the same, and why the verdict is what it is.
#[test]
fn what_a_step_brings_without_a_word_of_it_is_compared() {
    let silent = BOOK.replace("lifeboat restore --target \"$TARGET\"", "sh restore.sh");
    assert_ne!(silent, BOOK);
    let rehearsal = Rehearsal::new().with_book(&silent);
    std::fs::write(rehearsal.restored("tenants/acme/a"), "x".repeat(300)).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Failed);
    assert_eq!(facts.components[0].checks[0].outcome, CheckOutcome::Failed, "{:#?}", facts.components);
}

/// What drills leave out takes its time all the same in a disaster.
#[test]
fn what_is_left_out_counts_with_its_planned_time() {
    let skipped = "\n```sh {\"name\":\"later\",\"timeout\":\"23h59m\",\"phase\":\"check\",\"drill\":\"skip\"}\ntrue\n```\n";
    let mut rehearsal = Rehearsal::new().with_book(&format!("{BOOK}{skipped}"));
    rehearsal.body.steps[2].what = What::Skipped;
    (rehearsal.body.steps[2].started, rehearsal.body.steps[2].ended) = (None, None);
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    let whole = facts.projection.unwrap();
    assert!(whole.seconds.number() >= 24.0 * 3600.0, "{whole:?}");
    assert!(
        facts.limits.iter().any(|one| one.contains("not done") && one.contains("later")),
        "{:?}",
        facts.limits
    );
}

/// Four before and this one are five: from then on drills say how likely the next is how quick.
#[test]
fn from_five_drills_on_there_are_probabilities() {
    let past = |hours: u64, verdict: Verdict| PastDrill {
        id: label("earlier"),
        ended: Moment::new(SystemClock.now()),
        sha256: ObjectHash::from_bytes([0; 32]),
        measured: Some(Seconds::new(Duration::from_secs(hours * 3600))),
        projected: None,
        loss: None,
        verdict,
    };
    let mut rehearsal = Rehearsal::new();
    late(&mut rehearsal, 10);
    let whole = |rehearsal: &Rehearsal| {
        rehearsal.facts(rehearsal.look(Really::Planted)).projection.expect("it came to its end")
    };
    rehearsal.history = vec![past(8, Verdict::Met), past(9, Verdict::Met), past(11, Verdict::Insufficient)];
    // One that failed after a minute was not a quick recovery.
    rehearsal.history.push(past(0, Verdict::Failed));
    let four = whole(&rehearsal);
    assert_eq!((four.drills, four.p50), (4, None));
    rehearsal.history.push(past(12, Verdict::Met));
    let five = whole(&rehearsal);
    let hours = |time: Option<Seconds>| time.unwrap().number() / 3600.0;
    assert_eq!(five.drills, 5);
    assert!((9.0..11.0).contains(&hours(five.p50)) && hours(five.p95) > 12.0, "{five:?}");
    assert!(five.within_target.unwrap().number() > 0.95, "{five:?}");
}
