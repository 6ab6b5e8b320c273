use lifeboat_repo::crypto::identity::Identity;
use lifeboat_repo::format::heartbeat::{Beat, Canary};
use lifeboat_repo::format::names;
use lifeboat_repo::ids::{ObjectHash, RepositoryId, RunId, Tenant, TenantToken};

use super::*;
use crate::levels::Outcome;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(seconds, 0)
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

struct Scene {
    key: CanaryKey,
}

impl Scene {
    fn new() -> Self {
        let card = Identity::generate().recipient();
        Self { key: CanaryKey::new(RepositoryId::from_bytes([1; 16]), label("w1"), &card) }
    }

    /// Records with these numbers, number n made at 100 n.
    fn found(&self, seqs: impl IntoIterator<Item = u64>) -> Found {
        let make = |seq: u64| self.key.make(&label("chats"), &Tenant::System, seq, at(100 * seq as i64));
        let lines: Vec<u8> = seqs.into_iter().flat_map(|seq| make(seq).line().unwrap()).collect();
        Found::among(&lines, &label("chats"), std::slice::from_ref(&self.key), &|_| None)
    }
}

/// A log of records with these numbers, each written within a second, and none missing.
fn log(seqs: impl IntoIterator<Item = u64>) -> Vec<HeartbeatBody> {
    let id = |seq: u64| RunId::new(at(100 * seq as i64 + 1), [0; 8]);
    let mut before = None;
    let mut previous = |seq| before.replace(seq).and_then(|seq| names::heartbeat(&label("w1"), id(seq)).ok());
    let entry = |seq: u64| HeartbeatBody {
        format: 0,
        writer: label("w1"),
        id: id(seq),
        previous: previous(seq).map(|name| (name, ObjectHash::from_bytes([0; 32]))),
        beats: vec![Beat {
            component: label("chats"),
            tenant: None,
            seq,
            time: at(100 * seq as i64),
            written: at(100 * seq as i64 + 1),
        }],
        counters: Vec::new(),
    };
    seqs.into_iter().map(entry).collect()
}

fn judged(found: &Found, log: Option<&[HeartbeatBody]>, point: i64, disaster: i64) -> Loss {
    let component = label("chats");
    judge(&Known {
        component: &component,
        found,
        log,
        recovery_point: Some(at(point)),
        disaster: at(disaster),
        objective: Duration::from_secs(500),
    })
}

fn seconds(span: Option<Span>) -> Option<u64> {
    span.map(|span| span.0.as_secs())
}

#[test]
fn the_bound_lies_between_the_last_that_is_there_and_the_first_that_is_not() {
    let scene = Scene::new();
    let loss = judged(&scene.found(1..=10), Some(&log(1..=14)), 1050, 1450);
    assert_eq!((seconds(loss.bound), seconds(loss.low)), (Some(450), Some(1450 - 1101)));
    assert_eq!((loss.seq, loss.holes, &loss.verdict), (Some(10), 0, &RpoVerdict::Met));
    // A second more than may be lost.
    assert_eq!(judged(&scene.found(1..=10), Some(&log(1..=14)), 1050, 1501).verdict, RpoVerdict::Missed);
    // A record that was read after others proves nothing of those, but what is not there is newer than it.
    let loss = judged(&scene.found(1..=10), Some(&log(1..=14)), 950, 1450);
    assert_eq!((loss.seq, seconds(loss.bound), seconds(loss.low)), (Some(9), Some(550), Some(349)));
    // What was written after the disaster, by a clock that runs on, says nothing.
    let loss = judged(&scene.found(1..=10), Some(&log(1..=14)), 1050, 1090);
    assert_eq!((seconds(loss.bound), loss.low), (Some(90), None));
}

#[test]
fn what_nothing_proves_is_unknown_and_never_nothing() {
    let scene = Scene::new();
    let none = judged(&scene.found([]), Some(&log(1..=14)), 1050, 1450);
    assert!(matches!(none.verdict, RpoVerdict::InsufficientEvidence(_)));
    assert_eq!((none.bound, none.low), (None, None));
    let json = serde_json::to_value(&none).unwrap();
    assert!(json["bound"].is_null() && json["verdict"] == "insufficient_evidence");
    // Without the log the bound is all the time since the last record.
    let loss = judged(&scene.found(1..=10), None, 1050, 1450);
    assert_eq!((seconds(loss.bound), loss.low), (Some(450), None));
    assert!(loss.note.contains("could not be read"));
    let late = judged(&scene.found(5..=10), Some(&log(1..=14)), 450, 1450);
    assert!(matches!(late.verdict, RpoVerdict::InsufficientEvidence(_)), "{late:?}");
}

/// The worst of them tells what was lost, though another's newest record be older.
#[test]
fn no_tenant_hides_the_hole_of_another() {
    let (scene, component) = (Scene::new(), label("chats"));
    let tenants = [("acme", 1), ("globex", 2)]
        .map(|(name, byte)| (name.parse::<Tenant>().unwrap(), TenantToken::from_bytes([byte; 32])));
    let token =
        |canary: &Canary| tenants.iter().find(|(who, _)| *who == canary.tenant).map(|(_, token)| *token);
    let there = [(1..=10).filter(|seq| *seq != 8).collect::<Vec<u64>>(), (1..=6).collect()];
    let mut found = Found::default();
    for ((tenant, _), seqs) in tenants.iter().zip(there) {
        let make = |seq: u64| scene.key.make(&component, tenant, seq, at(100 * seq as i64));
        let lines: Vec<u8> = seqs.into_iter().flat_map(|seq| make(seq).line().unwrap()).collect();
        found.extend(Found::among(&lines, &component, std::slice::from_ref(&scene.key), &token));
    }
    let mut log = log(1..=10);
    for beats in log.iter_mut().map(|entry| &mut entry.beats) {
        let of = |(_, token): &(Tenant, TenantToken)| Beat { tenant: Some(*token), ..beats[0].clone() };
        let last = if beats[0].seq <= 6 { 2 } else { 1 };
        *beats = tenants[..last].iter().map(of).collect();
    }
    let loss = judged(&found, Some(&log), 1050, 1060);
    assert_eq!((loss.holes, &loss.verdict), (1, &RpoVerdict::Missed), "{loss:?}");
}

#[test]
fn a_hole_is_found_and_is_worse() {
    let scene = Scene::new();
    let found = scene.found((1..=10).filter(|seq| ![6, 7].contains(seq)));
    let loss = judged(&found, Some(&log(1..=10)), 1050, 1060);
    assert_eq!((loss.seq, loss.holes, seconds(loss.bound)), (Some(5), 2, Some(560)));
    assert_eq!(seconds(loss.low), Some(1060 - 601));
    assert_eq!(loss.verdict, RpoVerdict::Missed);
    // A hole is a miss even where little time is lost.
    let near = scene.found((1..=10).filter(|seq| *seq != 9));
    let loss = judged(&near, Some(&log(1..=10)), 1050, 1060);
    assert_eq!((seconds(loss.bound), loss.verdict), (Some(260), RpoVerdict::Missed));
    // A number that was never written is no hole, if the log says so.
    let loss = judged(&found, Some(&log((1..=10).filter(|seq| ![6, 7].contains(seq)))), 1050, 1060);
    assert_eq!((loss.holes, loss.seq), (0, Some(10)));
    assert_eq!(judged(&found, None, 1050, 1060).holes, 2);
}

/// Entries of the log whose numbers are these were deleted, or are damaged.
fn without(seqs: &[u64]) -> Vec<HeartbeatBody> {
    log(1..=14).into_iter().filter(|entry| !seqs.contains(&entry.beats[0].seq)).collect()
}

#[test]
fn what_a_log_that_is_not_whole_does_not_name_may_be_lost() {
    let scene = Scene::new();
    let found = scene.found((1..=10).filter(|seq| ![6, 7].contains(seq)));
    let loss = judged(&found, Some(&without(&[6, 7])), 1050, 1060);
    assert_eq!((loss.seq, loss.holes, seconds(loss.bound)), (Some(5), 2, Some(560)));
    // What is in the copy is not what is lost.
    assert_eq!((loss.verdict, loss.low), (RpoVerdict::Missed, None));
    assert!(loss.note.contains("entries of the log of heartbeats are missing"), "{}", loss.note);
    let loss = judged(&found, Some(&without(&[6, 7])), 1050, 1450);
    assert_eq!((seconds(loss.bound), seconds(loss.low)), (Some(950), Some(1450 - 1101)));
    // Its beginning and its end are gone as well: nothing tells of 6 and 7.
    for gone in [&[1, 2, 3, 4, 5, 6, 7][..], &[6, 7, 8, 9, 10, 11, 12, 13, 14]] {
        let loss = judged(&found, Some(&without(gone)), 1050, 1060);
        assert_eq!((loss.seq, loss.holes), (Some(5), 2), "{gone:?}");
    }
    // Entries that are missing elsewhere, or at the end, hide nothing of what is between.
    let never = |gone: &[u64]| {
        let numbers = (1..=14).filter(|seq| ![6, 7].contains(seq));
        log(numbers).into_iter().filter(|entry| !gone.contains(&entry.beats[0].seq)).collect::<Vec<_>>()
    };
    for gone in [&[2][..], &[9], &[11, 12, 13, 14]] {
        let loss = judged(&found, Some(&never(gone)), 1050, 1060);
        assert_eq!((loss.seq, loss.holes, seconds(loss.bound)), (Some(10), 0, Some(60)), "{gone:?}");
    }
}

#[test]
fn without_its_snapshot_a_copy_proves_nothing() {
    let scene = Scene::new();
    let (component, entries) = (label("chats"), log(1..=14));
    let known = Known {
        component: &component,
        found: &scene.found(1..=10),
        log: Some(&entries),
        recovery_point: None,
        disaster: at(1450),
        objective: Duration::from_secs(500),
    };
    let loss = judge(&known);
    assert!(matches!(loss.verdict, RpoVerdict::InsufficientEvidence(_)), "{loss:?}");
    assert_eq!((loss.bound, loss.proven), (None, None));
    // One that was read after the disaster may hold what was written after it: that proves nothing of before.
    let loss = judge(&Known { recovery_point: Some(at(2000)), disaster: at(950), ..known });
    assert_eq!((loss.seq, seconds(loss.bound)), (Some(9), Some(50)));
}

#[test]
fn of_two_writers_the_newest_record_counts_and_not_the_highest_number() {
    let scene = Scene::new();
    let mut other = Scene::new();
    let card = Identity::generate().recipient();
    other.key = CanaryKey::new(RepositoryId::from_bytes([1; 16]), label("w2"), &card);
    // The second writer took over at 900, and begins with 1.
    let lines: Vec<u8> = (1..=4)
        .flat_map(|seq| {
            other.key.make(&label("chats"), &Tenant::System, seq, at(1000 + 10 * seq as i64)).line().unwrap()
        })
        .collect();
    let second = Found::among(&lines, &label("chats"), &[other.key], &|_| None);
    let both = |mut first: Found| {
        first.extend(second.clone());
        judged(&first, None, 1050, 1060)
    };
    let loss = both(scene.found(1..=10));
    assert_eq!((loss.seq, seconds(loss.bound), loss.verdict), (Some(4), Some(20), RpoVerdict::Met));
    // What is lost in the middle of the first one's is lost, however new the second's are.
    let loss = both(scene.found((1..=10).filter(|seq| *seq != 5)));
    assert_eq!((loss.seq, loss.holes, loss.verdict), (Some(4), 1, RpoVerdict::Missed));
}

#[test]
fn forged_records_prove_nothing() {
    let (scene, other) = (Scene::new(), Scene::new());
    let make =
        |key: &CanaryKey, seq| key.make(&label("chats"), &Tenant::System, seq, at(100)).line().unwrap();
    let lines = [make(&scene.key, 1), make(&other.key, 2), b"garbage\n".to_vec()].concat();
    let found = Found::among(&lines, &label("chats"), &[scene.key], &|_| None);
    assert_eq!((found.strange, found.canaries.len()), (2, 1));
}

#[test]
fn lost_records_are_counted_or_unknown() {
    let token = |byte| Some(TenantToken::from_bytes([byte; 32]));
    let counter = |byte, records, time| Counter {
        component: label("chats"),
        tenant: token(byte),
        records,
        time: at(time),
    };
    let mut entries = log(1..=3);
    entries[0].counters = vec![counter(1, 50, 100), counter(2, 10, 100)];
    entries[1].counters = vec![counter(1, 70, 200)];
    entries[2].counters = vec![counter(1, 99, 300)];
    let restored = BTreeMap::from([(token(1), 45), (token(3), 5)]);
    let lost = lost_records(Some(&entries), &label("chats"), at(250), Some(&restored));
    let all: Vec<_> = lost.iter().map(|one| (one.tenant, one.records)).collect();
    assert_eq!(all, [(token(1), Some(25)), (token(2), None), (token(3), None)]);
    assert!(
        lost_records(None, &label("chats"), at(250), Some(&restored)).iter().all(|one| one.records.is_none())
    );
    assert!(
        lost_records(Some(&entries), &label("chats"), at(250), None).iter().all(|one| one.records.is_none())
    );
}

#[test]
fn a_system_holds_what_its_oldest_component_holds_if_they_fit() {
    let scene = Scene::new();
    let of = |name: &str, last| Loss {
        component: label(name),
        ..judged(&scene.found(1..=last), Some(&log(1..=14)), 2000, 1450)
    };
    let (old, new) = (of("chats", 11), of("uploads", 13));
    let check = |outcome| ReferenceCheck {
        name: "uploads of chats".into(),
        components: vec![label("chats"), label("uploads")],
        outcome,
    };
    let objective = Duration::from_secs(500);
    let both = [old.clone(), new.clone()];
    let found = cut(&both, &[check(Outcome::Passed)], objective);
    assert_eq!((found.recovery_point, &found.verdict), (Some(at(1100)), &RpoVerdict::Met));
    assert_eq!((seconds(found.apart), found.oldest), (Some(200), Some(label("chats"))));
    assert_eq!(cut(&both, &[check(Outcome::Failed)], objective).verdict, RpoVerdict::Missed);
    let insufficient = |found: &Cut| matches!(found.verdict, RpoVerdict::InsufficientEvidence(_));
    assert!(insufficient(&cut(&both, &[], objective)));
    assert!(insufficient(&cut(&both, &[check(Outcome::NotRun("no".into()))], objective)));
    assert!(insufficient(&cut(&[], &[], objective)));
    assert_eq!(cut(&[old], &[], objective).verdict, RpoVerdict::Met);
    let unknown = Loss { proven: None, bound: None, ..new };
    let found = cut(&[both[0].clone(), unknown], &[check(Outcome::Passed)], objective);
    assert!(insufficient(&found) && found.recovery_point.is_none() && found.bound.is_none());
}
