//! What is lost, by the heartbeats in what came back, and whether the erased stay away.

use std::time::Duration;

use lifeboat_repo::ids::TenantToken;
use lifeboat_repo::repository::erase;
use lifeboat_runbooks::drill::measure::Absent;
use lifeboat_runbooks::drill::planted::Really;
use lifeboat_tests::label;
use lifeboat_verify::evidence::facts::{Met, Verdict};
use lifeboat_verify::loss::{Loss, LostRecords, Span};
use lifeboat_verify::objective::RpoVerdict;

use crate::rehearsal::{BOOK, Rehearsal, acting, erase_tenant};

/// What heartbeats say: so much is lost at the most, between so many holes, and so many records of one tenant.
fn loss(rehearsal: &Rehearsal, bound: Option<u64>, holes: u64, records: Option<u64>) -> Loss {
    let bound = bound.map(|minutes| Duration::from_secs(minutes * 60));
    let disaster = rehearsal.body.disruption.timestamp();
    let lost = LostRecords { tenant: Some(TenantToken::from_bytes([1; 32])), records, counted: None };
    Loss {
        verdict: match bound {
            None => RpoVerdict::InsufficientEvidence("none in it".into()),
            Some(bound) if bound <= rehearsal.wanted[0].rpo && holes == 0 => RpoVerdict::Met,
            Some(_) => RpoVerdict::Missed,
        },
        component: label("files"),
        tenant: None,
        disaster,
        bound: bound.map(Span),
        low: None,
        proven: bound.map(|_| disaster),
        seq: None,
        holes,
        strange: 0,
        lost: vec![lost],
        note: "told by a test".into(),
    }
}

/// The snapshot is a moment old, and says of itself that next to nothing is lost: what was found in it counts.
#[test]
fn what_is_lost_is_told_by_what_came_back() {
    let asked = BOOK.replace("rpo <= 24h", "rpo <= 24h and canary gap <= 15m and 0 holes and 0 lost records");
    assert_ne!(asked, BOOK);
    let cases = [
        (Some((Some(10), 0, Some(0))), Verdict::Met, ""),
        (Some((Some(20), 0, Some(0))), Verdict::LimitMissed, "canary gap"),
        (Some((Some(1500), 0, Some(0))), Verdict::LimitMissed, "rpo"),
        (Some((Some(10), 2, Some(0))), Verdict::Failed, "holes"),
        (Some((Some(10), 0, Some(3))), Verdict::Failed, "lost records"),
        (Some((Some(10), 0, None)), Verdict::Insufficient, "lost records"),
        (Some((None, 0, Some(0))), Verdict::Insufficient, "rpo"),
        (None, Verdict::Insufficient, "canary gap"),
    ];
    for (said, verdict, named) in cases {
        let mut rehearsal = Rehearsal::new().with_book(&asked);
        rehearsal.heard = said.map(|(bound, holes, records)| Ok(loss(&rehearsal, bound, holes, records)));
        let facts = rehearsal.facts(rehearsal.look(Really::Planted));
        assert_eq!(facts.verdict, verdict, "{said:?}: {:#?}", facts.assertions);
        let missed: Vec<&str> =
            facts.assertions.iter().filter(|one| one.met != Met::Met).map(|one| one.name.as_str()).collect();
        assert_eq!(
            missed.iter().any(|name| name.starts_with(named)),
            !missed.is_empty(),
            "{said:?}: {missed:?}"
        );
        let rpo = facts.components[0].rpo.as_ref().unwrap();
        assert_eq!(rpo.note.starts_with("by its heartbeats"), said.is_some(), "{}", rpo.note);
        assert_eq!(rpo.newest_canary.is_some(), said.is_some_and(|said| said.0.is_some()));
    }
    // A component has heartbeats, and nobody could look for them.
    let mut rehearsal = Rehearsal::new();
    rehearsal.heard = Some(Err("no room".into()));
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(
        (facts.verdict, facts.components[0].rpo.as_ref().unwrap().bound),
        (Verdict::Insufficient, None)
    );
}

/// Two are erased, and one of them came back: that one, and no other.
#[test]
fn of_the_erased_only_those_are_back_that_are() {
    let mut rehearsal = Rehearsal::new();
    erase_tenant(&rehearsal.world, "beta");
    let absent = |rehearsal: &Rehearsal| {
        let found = rehearsal.look(Really::Planted).absent;
        found.map(|all| all.facts.iter().map(|one| (one.absent, one.looked_by.clone())).collect::<Vec<_>>())
    };
    rehearsal.body.erased = vec!["gone".into(), "beta".into()];
    let both = absent(&rehearsal).unwrap();
    assert_eq!(both.iter().map(|(absent, _)| *absent).collect::<Vec<_>>(), [true, false]);
    assert!(both[0].1.contains("none is its own") && both[1].1.contains("ONE IS ITS OWN"), "{both:?}");
    rehearsal.body.erased = vec!["gone".into()];
    let one = absent(&rehearsal).unwrap();
    assert!(one[1].0 && one[1].1.contains("it was not named"), "{one:?}");
    // Somebody who was never erased shows nothing.
    rehearsal.body.erased.push("acme".into());
    assert!(absent(&rehearsal).unwrap_err().contains("is not erased"));
}

/// Who was let in again may be there; what the old key covered may not.
#[test]
fn who_was_let_in_again_is_no_canary() {
    let rehearsal = Rehearsal::new();
    let (repository, officer) = (rehearsal.world.repository(), rehearsal.world.alice());
    let identities = [rehearsal.world.recovery_identity()];
    let acting = acting(&repository, &identities, &officer);
    erase::readmit(&acting, &"gone".parse().unwrap()).unwrap();
    let mut rehearsal = rehearsal;
    assert!(rehearsal.look(Really::Planted).absent.unwrap_err().contains("is not erased"));
    rehearsal.body.erased.clear();
    let found = rehearsal.look(Really::Planted);
    assert_eq!(found.absent, Ok(Absent { facts: Vec::new(), readmitted: 1 }));
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
    assert!(facts.not_run.iter().any(|one| one.what.contains("let in again")), "{:?}", facts.not_run);
}

/// Nothing was ever erased: nobody can say that the erased stay away.
#[test]
fn without_an_erased_canary_there_is_no_pass() {
    let rehearsal = Rehearsal::new();
    let mut found = rehearsal.look(Really::Planted);
    found.absent = Ok(Absent::default());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
}
