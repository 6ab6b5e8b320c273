//! Collection on both sides: repository and replica expire and collect each by its own, and go on copying.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::names;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::{Knobs, Swept, WaitsFor, condemn, survey, sweep};
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::collecting::{AT_ONCE, Aging, HOUR, HOURS};
use lifeboat_tests::pair::Pair;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::stock::{Safe, Toolbox};
use lifeboat_tests::write;

/// A pair whose stores age.
fn aging() -> (Pair, Aging) {
    let clock = Aging::default();
    let store = || MemoryStore::with_clock(Arc::new(clock.clone()));
    (Pair::over(store(), store()), clock)
}

fn collect(repository: &Repository, who: &Arc<Credentials>, knobs: &Knobs) -> Swept {
    let maintainer = Maintainer::open(repository, Arc::clone(who), &SystemClock, &SystemEntropy).unwrap();
    let plan = survey(&maintainer, knobs, &Silent).unwrap();
    condemn(&maintainer, &plan, knobs, &Silent).unwrap();
    sweep(&maintainer, knobs, true, &Silent).unwrap()
}

fn expire(pair: &Pair, repository: &Repository, who: &Arc<Credentials>, snapshots: &[ObjectName]) {
    let draft = GcDraft { snapshots: snapshots.to_vec(), ..GcDraft::default() };
    pair.put_gc(repository, who, &draft);
}

/// Condemns, and once that is old enough sweeps.
fn collect_all(clock: &Aging, repository: &Repository, who: &Arc<Credentials>) -> u64 {
    let mut packs = 0;
    for _ in 0..3 {
        clock.pass(HOUR * 2);
        let swept = collect(repository, who, &HOURS);
        assert!(swept.lost.is_empty() && swept.left.unknown.is_empty(), "{swept:?}");
        packs += swept.deleted.packs;
    }
    packs
}

#[test]
fn both_sides_collect_and_go_on_copying() {
    let (mut pair, clock) = aging();
    let m1 = pair.world.maintainer("m1", 82);
    let snapshots: Vec<ObjectName> = (1..=4).map(|night| pair.backup(night)).collect();
    pair.replicate();
    // The repository keeps the last one, its replica the last two.
    expire(&pair, &pair.world.repository(), &m1, &snapshots[..3]);
    assert!(collect_all(&clock, &pair.world.repository(), &m1) > 0);
    let replica = pair.replica.clone();
    pair.assert_sound(&replica, 4, "the replica knows nothing of it");
    let r1 = Arc::clone(&pair.credentials);
    expire(&pair, &pair.open(&replica), &r1, &snapshots[..2]);
    assert!(collect_all(&clock, &pair.open(&replica), &r1) > 0);
    pair.assert_sound(&replica, 2, "collected in the replica");
    pair.world.verify(&pair.world.store).assert_undamaged("collected in the repository");
    // Both moved what lives to packs of their own; the next snapshot needs of both.
    let fifth = pair.backup(5);
    let report = pair.replicate();
    assert_eq!(report.committed, std::slice::from_ref(&fifth));
    pair.assert_sound(&replica, 3, "copied after both collected");
    assert_eq!(pair.world.assert_restorable(&pair.world.store, &pair.expected, "the repository"), 2);
    collect_all(&clock, &pair.open(&replica), &r1);
    collect_all(&clock, &pair.world.repository(), &m1);
    assert!(pair.plan().is_empty(), "{:#?}", pair.plan());
    pair.assert_sound(&replica, 3, "collected once more");
    // And stock tools bring the newest back from the replica.
    let dir = scratch();
    let at = dir.path().join("replica");
    for object in replica.list("").unwrap() {
        write(&at, object.name.as_str(), &replica.read(&object.name, Bytes::mib(64)).unwrap());
    }
    let safe = Safe { repository: at, ..Safe::new(&pair.world) };
    let target = dir.path().join("by hand");
    let mut args = safe.papers();
    args.extend(["--identity".as_ref(), safe.identity.as_os_str(), "--component".as_ref(), "files".as_ref()]);
    args.extend(["--replica".as_ref(), "--target".as_ref(), target.as_os_str()]);
    let said = Toolbox::new().script("scripts/break-glass", args);
    assert_eq!(said.status, Some(0), "{said:#?}");
    let tree = pair.expected.values().last().unwrap();
    let differences = tree.differences(&lifeboat_tests::model::Tree::of(&target));
    assert!(differences.is_empty(), "{differences:#?}");
}

/// A replication that is under way is waited for and then ended at its own commit name; backups never are, though their
/// runs were copied.
#[test]
fn only_replications_are_waited_for_and_ended() {
    let (mut pair, clock) = aging();
    let snapshots = [pair.backup(1), pair.backup(2)];
    pair.replicate();
    pair.backup(3);
    let counting = Arc::new(FaultyStore::new(pair.replica.fork()));
    pair.replicate_into(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let log = counting.log();
    let commit = log
        .iter()
        .position(|call| call.operation == Operation::Create && call.subject.starts_with("replicas/"))
        .unwrap();
    let dying = FaultyStore::new(pair.replica.clone()).stop_at(commit as u64 + 1, Fault::Before);
    pair.replicate_into(Arc::new(dying)).unwrap_err();
    let run = pair.replica.list("runs/r1/").unwrap().pop().unwrap().name.last().parse().unwrap();
    let name = names::replica(run).unwrap();
    let (replica, r1) = (pair.replica.clone(), Arc::clone(&pair.credentials));
    expire(&pair, &pair.open(&replica), &r1, &snapshots[..1]);
    clock.pass(HOUR * 2);
    let waiting = collect(&pair.open(&replica), &r1, &HOURS);
    assert!(waiting.fenced.is_empty() && !waiting.left.waiting.is_empty(), "{waiting:?}");
    for one in &waiting.left.waiting {
        if let WaitsFor::Runs(runs) = &one.what {
            assert!(runs.iter().all(|(commit, _)| *commit == name), "{waiting:?}");
        }
    }
    let brief = Knobs { run_age_max: Duration::from_secs(60), ..AT_ONCE };
    let ended = collect(&pair.open(&replica), &r1, &brief);
    assert_eq!(ended.fenced, [name], "{ended:?}");
    pair.replicate();
    pair.assert_sound(&replica, 2, "after a fence");
}
