use lifeboat_repo::format::names;
use lifeboat_repo::format::snapshot::{Counts, SourceNote, Status};
use lifeboat_repo::units::Bytes;

use super::*;
use crate::error::RestoreErrorKind;

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn run(at: i64) -> RunId {
    RunId::new(Timestamp::new(1_800_000_000 + at, 0), [1; 8])
}

fn listed(at: i64, point: i64, standing: Standing) -> Listed {
    let component = label("chats");
    let snapshot = Snapshot {
        format: 0,
        component: component.clone(),
        writer: label("fra-1"),
        run: run(at),
        parent: None,
        source: SourceNote { kind: "files".into(), consistency: "none".into(), excluded: 0 },
        start: Timestamp::default(),
        end: Timestamp::default(),
        recovery_point: Timestamp::new(1_800_000_000 + point, 0),
        tool: "test".into(),
        status: Status::Complete,
        counts: Counts::default(),
        keys: Vec::new(),
        must: Vec::new(),
    };
    Listed {
        name: names::snapshot(&component, run(at)).unwrap(),
        component,
        run: run(at),
        standing,
        snapshot: Some(snapshot),
        hash: None,
        length: Bytes(1),
        expired_by: None,
        ahead: None,
    }
}

#[test]
fn the_latest_is_the_latest_that_counts() {
    let all = [
        listed(1, 1, Standing::Counts),
        listed(2, 2, Standing::Counts),
        listed(3, 3, Standing::Unrecorded),
        listed(4, 4, Standing::Void("x".into())),
    ];
    let chosen = choose(&all, &label("chats"), Choice::Latest).unwrap();
    assert_eq!(chosen.listed.run, run(2));
    assert!(!chosen.unrecorded);
}

#[test]
fn what_is_dated_ahead_is_the_latest_only_where_there_is_no_other() {
    let ahead = |mut one: Listed| {
        one.ahead = Some(std::time::Duration::from_secs(400 * 86_400));
        one
    };
    let all = [ahead(listed(900, 900, Standing::Counts)), listed(2, 2, Standing::Counts)];
    let chosen = choose(&all, &label("chats"), Choice::Latest).unwrap();
    assert_eq!((chosen.listed.run, chosen.passed_over.unwrap().run), (run(2), run(900)));
    assert_eq!(choose(&all, &label("chats"), Choice::Run(run(900))).unwrap().listed.run, run(900));
    let chosen = choose(&all[..1], &label("chats"), Choice::Latest).unwrap();
    assert_eq!(chosen.listed.run, run(900));
    assert!(chosen.passed_over.is_none());
}

#[test]
fn a_moment_chooses_by_recovery_point_not_by_start() {
    let all = [listed(1, 9, Standing::Counts), listed(2, 5, Standing::Counts)];
    let at = |point: i64| Choice::At(Timestamp::new(1_800_000_000 + point, 0));
    assert_eq!(choose(&all, &label("chats"), at(5)).unwrap().listed.run, run(2));
    assert_eq!(choose(&all, &label("chats"), at(9)).unwrap().listed.run, run(1));
    let error = choose(&all, &label("chats"), at(4)).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Refused(_)));
    assert!(error.to_string().contains(&run(1).to_string()), "{error}");
}

#[test]
fn a_moment_chooses_nothing_of_which_a_part_was_read_later() {
    let ends = |at: i64, point: i64, end: i64| {
        let mut one = listed(at, point, Standing::Counts);
        if let Some(snapshot) = &mut one.snapshot {
            snapshot.end = Timestamp::new(1_800_000_000 + end, 0);
        }
        one
    };
    let all = [ends(10, 10, 12), ends(15, 15, 30)];
    let at = |point: i64| {
        let choice = Choice::At(Timestamp::new(1_800_000_000 + point, 0));
        choose(&all, &label("chats"), choice).map(|chosen| chosen.listed.run).ok()
    };
    assert_eq!([at(11), at(12), at(29), at(30)], [None, Some(run(10)), Some(run(10)), Some(run(15))]);
}

#[test]
fn unrecorded_ones_are_chosen_by_name_and_flagged() {
    let all = [listed(1, 1, Standing::Unrecorded), listed(2, 2, Standing::Expired)];
    let chosen = choose(&all, &label("chats"), Choice::Run(run(1))).unwrap();
    assert!(chosen.unrecorded);
    let expired = choose(&all, &label("chats"), Choice::Run(run(2))).unwrap_err();
    assert!(matches!(expired.kind, RestoreErrorKind::Refused(_)));
    assert!(choose(&all, &label("chats"), Choice::Latest).is_err());
}

#[test]
fn errors_say_what_there_is() {
    let all = [listed(1, 1, Standing::Counts)];
    let other = choose(&all, &label("tickets"), Choice::Latest).unwrap_err().to_string();
    assert!(other.contains("there are snapshots of: chats"), "{other}");
    let none = choose(&[], &label("tickets"), Choice::Latest).unwrap_err().to_string();
    assert!(none.contains("the repository holds none of it"), "{none}");
    let wrong = choose(&all, &label("chats"), Choice::Run(run(7))).unwrap_err().to_string();
    assert!(wrong.contains(&run(1).to_string()) && wrong.contains("counts"), "{wrong}");
    let void = [listed(1, 1, Standing::Void("signature".into()))];
    let error = choose(&void, &label("chats"), Choice::Latest).unwrap_err();
    assert!(matches!(error.kind, RestoreErrorKind::Damaged(_)));
}
