//! Replicas: what counts in a repository is copied as it is stored, in an order that no crash, fence or damage spoils.

#![cfg(test)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::SigningKey;
use lifeboat_repo::format::names;
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::format::records::Task;
use lifeboat_repo::ids::{ObjectName, PackId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::maintainer::{Fenced, GcDraft, Maintainer};
use lifeboat_repo::repository::officer;
use lifeboat_repo::repository::replicate::{Job, replicate};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::faulty::{Call, Fault, FaultyStore, Operation};
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::pair::Pair;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::stock::{Safe, Toolbox};
use lifeboat_tests::{World, label, write};

fn packs(store: &MemoryStore) -> Vec<(ObjectName, PackId)> {
    let listed = store.list("packs/").unwrap();
    let pack = |name: ObjectName| match place(&name) {
        Some(Place::Pack(pack)) => Some((name, pack)),
        _ => None,
    };
    listed.into_iter().filter_map(|object| pack(object.name)).collect()
}

fn flip(store: &MemoryStore, name: &ObjectName, at: usize) {
    let mut bytes = store.read(name, Bytes::mib(64)).unwrap();
    bytes[at] ^= 1;
    store.replace(name, &bytes);
}

#[test]
fn what_counts_is_copied_and_nothing_else_and_only_once() {
    let mut pair = Pair::new();
    let first = pair.backup(1);
    let before = pair.plan();
    assert!(!before.is_empty() && pair.replica.list("").unwrap().is_empty(), "a plan changes nothing");
    let report = pair.replicate();
    assert_eq!((report.committed.as_slice(), report.plan.totals()), (&[first.clone()][..], before.totals()));
    pair.assert_sound(&pair.replica, 1, "the first");
    assert!(pair.plan().is_empty(), "{:#?}", pair.plan());
    assert_eq!(pair.replicate().commit, None);

    // Strangers, and what no ledger names, stay where they are.
    let stray: ObjectName = "packs/stray".parse().unwrap();
    assert_eq!(pair.store.create(&stray, b"x").unwrap(), Created::New);
    let second = pair.backup(2);
    // Expired in the repository before it was copied.
    let third = pair.backup(3);
    let m1 = pair.world.maintainer("m1", 82);
    let draft = GcDraft { snapshots: vec![second.clone()], ..GcDraft::default() };
    pair.put_gc(&pair.world.repository(), &m1, &draft);
    pair.store.remove(&second);
    let already = packs(&pair.replica);
    let report = pair.replicate();
    assert_eq!(report.committed, [third]);
    assert!(report.plan.packs.iter().all(|item| already.iter().all(|(name, _)| *name != item.name)));
    let names: Vec<String> =
        pair.replica.list("").unwrap().into_iter().map(|object| object.name.to_string()).collect();
    assert!(!names.iter().any(|name| name.contains("stray") || *name == second.to_string()), "{names:#?}");
    assert!(
        !names.iter().any(|name| name.starts_with("gc/") || name.starts_with("ledger/m1/")),
        "{names:#?}"
    );
    pair.assert_sound(&pair.replica, 2, "the third");
    // The repository still is what it was.
    pair.world.verify(&pair.world.store).assert_undamaged("the source");
}

#[test]
fn a_snapshot_counts_only_once_it_is_committed() {
    let mut pair = Pair::new();
    let first = pair.backup(1);
    pair.replicate();
    let second = pair.backup(2);
    // Copied by hand, as by a run that was cut off before its commit.
    for object in pair.store.list("").unwrap() {
        if place(&object.name).is_some() && !object.name.as_str().starts_with("ledger/r1/") {
            let _ = pair
                .replica
                .create(&object.name, &pair.store.read(&object.name, Bytes::mib(64)).unwrap())
                .unwrap();
        }
    }
    assert_eq!(
        pair.standings(&pair.replica),
        [(first, Standing::Counts), (second.clone(), Standing::Unrecorded)]
    );
    let report = pair.replicate();
    assert_eq!(report.committed, [second]);
    pair.assert_sound(&pair.replica, 2, "both");
}

/// Wherever a replication dies, the replica opens, what counted in it comes back, and the next one ends the work.
#[test]
fn a_crash_at_any_operation_harms_nothing() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let base = pair.replica.fork();
    // Trust and seals move, too: a new writer, and one that is revoked.
    pair.world.enrol("w2", &SigningKey::from_seed([83; 32]).public(), &pair.world.card, &["docs"]);
    pair.backup(2);
    let (repository, alice) = (pair.world.repository(), pair.world.alice());
    officer::revoke_writer(&pair.world.recovery(&repository), &alice, &label("w2"), &SystemClock).unwrap();
    pair.backup(3);
    for (start, counted) in [(MemoryStore::new(), 0), (base, 1)] {
        let mut at = 0;
        loop {
            at += 1;
            let mut reached = true;
            for fault in [Fault::Before, Fault::After] {
                let replica = start.fork();
                let context = format!("operation {at} {fault:?} on a replica of {counted}");
                let dying = Arc::new(FaultyStore::new(replica.clone()).stop_at(at, fault));
                let outcome = pair.replicate_into(Arc::clone(&dying) as Arc<dyn Store>);
                reached = dying.operations() >= at;
                assert_eq!(outcome.is_err(), reached, "{context}: {outcome:?}");
                // Reading harms nothing in two ways.
                let last = dying.log().last().cloned().unwrap();
                if fault == Fault::After && matches!(last.operation, Operation::Read | Operation::List) {
                    continue;
                }
                let opened =
                    Repository::open_replica(Arc::new(replica.clone()), &[pair.world.officer.public()]);
                match opened {
                    Ok(opened) => {
                        let found = pair.world.assert_restorable_in(&opened, &pair.expected, &context);
                        assert!(found >= counted, "{context}: {found}");
                    }
                    Err(error) => assert_eq!(counted, 0, "{context}: {error}"),
                }
                let again = pair.replicate_into(Arc::new(replica.clone())).unwrap();
                assert_eq!(again.problems, [], "{context}");
                if at % 5 == 0 || !reached {
                    pair.assert_sound(&replica, 3, &context);
                } else {
                    let standings = pair.standings(&replica);
                    assert!(
                        standings.iter().all(|(_, one)| *one == Standing::Counts),
                        "{context}: {standings:?}"
                    );
                    assert_eq!(standings.len(), 3, "{context}");
                }
            }
            if !reached {
                break;
            }
        }
        eprintln!(
            "{at} operations of a replication into a replica of {counted} snapshots, each before and after"
        );
        assert!(at > 30, "{at}");
    }
}

#[test]
fn packs_condemned_in_the_replica_are_never_put_again() {
    let mut pair = Pair::new();
    let first = pair.backup(1);
    pair.replicate();
    // The replica expires and collects what the repository keeps.
    let condemned: Vec<PackId> = packs(&pair.replica).into_iter().map(|(_, pack)| pack).collect();
    let indexes: Vec<ObjectName> =
        pair.replica.list("index/").unwrap().into_iter().map(|object| object.name).collect();
    let draft = GcDraft {
        packs: condemned.clone(),
        snapshots: vec![first.clone()],
        indexes: indexes.clone(),
        ..GcDraft::default()
    };
    pair.put_gc(&pair.open(&pair.replica), &pair.credentials, &draft);
    for name in
        packs(&pair.replica).into_iter().map(|(name, _)| name).chain(indexes.clone()).chain([first.clone()])
    {
        pair.replica.remove(&name);
    }
    // What the next snapshot shares with it goes into a new pack, under a name that nothing condemned.
    let second = pair.backup(2);
    let plan = pair.plan();
    assert!(plan.segments > 0, "{plan:#?}");
    let report = pair.replicate();
    assert_eq!(report.committed, std::slice::from_ref(&second));
    assert!(packs(&pair.replica).iter().all(|(_, pack)| !condemned.contains(pack)));
    assert!(pair.replica.list("index/").unwrap().iter().all(|object| !indexes.contains(&object.name)));
    assert_eq!(pair.standings(&pair.replica), [(second, Standing::Counts)]);
    pair.assert_sound(&pair.replica, 1, "what was condemned is gone");
    assert!(pair.plan().is_empty(), "{:#?}", pair.plan());
}

#[test]
fn damage_is_not_taken_over() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let known = packs(&pair.store);
    let second = pair.backup(2);
    let fresh: Vec<ObjectName> =
        packs(&pair.store).into_iter().filter(|one| !known.contains(one)).map(|(name, _)| name).collect();
    let whole = pair.store.read(&fresh[0], Bytes::mib(64)).unwrap();
    // In its first segment: the others go into a new pack, and what needs it is not committed.
    flip(&pair.store, &fresh[0], 300);
    let report = pair.replicate_into(Arc::new(pair.replica.clone())).unwrap();
    let told: Vec<String> = report.problems.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    assert!(told.iter().any(|one| one.contains(fresh[0].as_str())), "{told:#?}");
    assert!(told.iter().any(|one| one.starts_with("segment ")), "{told:#?}");
    assert_eq!(report.committed, []);
    assert!(pair.replica.stat(&fresh[0]).unwrap().is_none() && pair.replica.stat(&second).unwrap().is_none());
    pair.assert_sound(&pair.replica, 1, "beside damage");
    // Mended, it is copied.
    pair.store.replace(&fresh[0], &whole);
    assert_eq!(pair.replicate().committed, [second]);
    pair.assert_sound(&pair.replica, 2, "mended");
    // What the replica lost comes back; what is damaged in it is told by verification.
    pair.replica.remove(&fresh[0]);
    assert!(!pair.plan().is_empty());
    pair.replicate();
    pair.assert_sound(&pair.replica, 2, "healed");
}

#[test]
fn a_collector_of_the_replica_ends_a_replication() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let second = pair.backup(2);
    // Stopped right before its commit, as by SIGSTOP, and fenced there.
    let counting = Arc::new(FaultyStore::new(pair.replica.fork()));
    pair.replicate_into(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let log = counting.log();
    let commit = 1 + log
        .iter()
        .position(|call| call.operation == Operation::Create && call.subject.starts_with("replicas/"))
        .unwrap();
    let dying = FaultyStore::new(pair.replica.clone()).stop_at(commit as u64, Fault::Before);
    pair.replicate_into(Arc::new(dying)).unwrap_err();
    let run = pair.replica.list("runs/r1/").unwrap().pop().unwrap().name.last().parse().unwrap();
    let here = pair.open(&pair.replica);
    let maintainer =
        Maintainer::open(&here, Arc::clone(&pair.credentials), &SystemClock, &SystemEntropy).unwrap();
    assert_eq!(maintainer.fence(&names::replica(run).unwrap()).unwrap(), Fenced::Now);
    assert!(pair.standings(&pair.replica).contains(&(second.clone(), Standing::Unrecorded)));
    let report = pair.replicate();
    assert_eq!(report.committed, [second]);
    pair.assert_sound(&pair.replica, 2, "after a fence");
}

/// A replica in a directory is all that is left, and stock tools are all there is. The repository had a maintainer of its own,
/// and expired what the replica never got.
#[test]
fn a_replica_is_checked_and_restored_by_hand() {
    let world = World::new();
    write(&world.source(), "tenants/acme/a", &noise(3, 50_000));
    let first = world.backup().unwrap().snapshot;
    let (m1, r1) = (world.maintainer("m1", 82), world.maintainer("r1", 81));
    world.put_gc(&m1, &GcDraft { snapshots: vec![first.clone()], ..GcDraft::default() });
    world.store.delete(&first).unwrap();
    let repository = world.repository();
    let maintainer = Maintainer::open(&repository, m1, &SystemClock, &SystemEntropy).unwrap();
    maintainer.begin(Task::Maintain).unwrap().finish().unwrap();
    write(&world.source(), "shared/b", b"of nobody");
    world.backup().unwrap();
    let tree = Tree::of(&world.source());
    let at = world.dir.path().join("replica");
    let source = world.repository();
    let job = Job {
        source: &source,
        replica: Arc::new(LocalStore::create_at(&at).unwrap()),
        pins: &[world.officer.public()],
        credentials: r1,
        clock: &SystemClock,
        entropy: &SystemEntropy,
        threads: NonZeroUsize::new(4).unwrap(),
        memory: Bytes::mib(1),
    };
    assert_eq!(replicate(&job, &Silent).unwrap().problems, []);
    let safe = Safe { repository: at.clone(), ..Safe::new(&world) };
    let tools = Toolbox::new();
    let check = || {
        let mut args = safe.papers();
        args.push("--replica".as_ref());
        let said = tools.script("scripts/check-signatures", args);
        (said.status, format!("{}{}", said.stdout, said.stderr))
    };
    let (status, said) = check();
    assert!(status == Some(0) && said.contains(" 0 damaged") && said.contains(" 0 strangers"), "{said}");
    // As a repository it would lack what its ledgers name.
    assert_eq!(tools.script("scripts/check-signatures", safe.papers()).status, Some(1));

    let target = world.dir.path().join("by hand");
    let mut args = safe.papers();
    args.extend(["--identity".as_ref(), safe.identity.as_os_str(), "--component".as_ref(), "files".as_ref()]);
    args.extend(["--replica".as_ref(), "--target".as_ref(), target.as_os_str()]);
    let said = tools.script("scripts/break-glass", args);
    assert_eq!(said.status, Some(0), "{said:#?}");
    let differences = tree.differences(&Tree::of(&target));
    assert!(differences.is_empty(), "{differences:#?}");

    // What the replica's own maintainer recorded must be there, and be what it was.
    for prefix in ["packs/", "replicas/"] {
        let path = at.join(safe.objects(prefix).remove(0));
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = whole.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let (status, said) = check();
        assert!(status == Some(1) && said.contains("DAMAGED"), "{prefix} flipped: {said}");
        std::fs::remove_file(&path).unwrap();
        let (status, said) = check();
        assert!(status == Some(1) && said.contains("missing"), "{prefix} gone: {said}");
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(check().0, Some(0));
}

#[test]
fn another_repository_or_one_that_was_rolled_back_is_refused() {
    let mut pair = Pair::new();
    pair.backup(1);
    let earlier = pair.store.fork();
    pair.backup(2);
    pair.replicate();
    let rolled_back =
        Pair { world: World { store: Arc::new(earlier.clone()), ..pair.world }, store: earlier, ..pair };
    let refused = rolled_back.replicate_into(Arc::new(rolled_back.replica.clone())).unwrap_err();
    assert!(refused.to_string().contains("rolled back"), "{refused}");
    let mut other = Pair::new();
    other.backup(1);
    let refused = other.replicate_into(Arc::new(rolled_back.replica.clone())).unwrap_err();
    assert!(refused.to_string().contains("two repositories"), "{refused}");
    // A writer is no maintainer.
    let writer = Arc::new(other.world.credentials());
    let theirs = Pair { credentials: writer, ..other };
    assert!(
        theirs
            .replicate_into(Arc::new(MemoryStore::new()))
            .unwrap_err()
            .to_string()
            .contains("no maintainer")
    );
}

#[test]
fn what_was_stored_again_holds_no_snapshot_back() {
    let mut pair = Pair::new();
    let first = pair.backup(1);
    for (pack, _) in packs(&pair.store) {
        pair.store.remove(&pack);
    }
    // Nothing changed, so every chunk of the first, manifests and all, is stored again.
    let again = pair.world.backup().unwrap();
    pair.expected.insert(again.run, Arc::new(Tree::of(&pair.world.source())));
    let second = names::snapshot(&label("files"), again.run).unwrap();
    let plan = pair.plan();
    assert!(plan.spared > 0 && plan.problems.is_empty(), "{plan:#?}");
    assert_eq!(pair.replicate().committed, [first, second]);
    pair.assert_sound(&pair.replica, 2, "after packs were lost");
    assert!(pair.plan().is_empty(), "{:#?}", pair.plan());
    // What was not stored again holds back what needs it, and that alone.
    let known = packs(&pair.store);
    let third = pair.backup(2);
    for (pack, _) in packs(&pair.store).into_iter().filter(|one| !known.contains(one)) {
        pair.store.remove(&pack);
    }
    let report = pair.replicate_into(Arc::new(pair.replica.clone())).unwrap();
    assert!(report.problems.iter().any(|one| one.what.starts_with("segment ")), "{report:#?}");
    assert!(pair.replica.stat(&third).unwrap().is_none());
    pair.assert_sound(&pair.replica, 2, "beside damage");
    // Its ledger was copied and names what was not: by hand the one before comes back.
    let dir = scratch();
    let at = dir.path().join("replica");
    for object in pair.replica.list("").unwrap() {
        write(&at, object.name.as_str(), &pair.replica.read(&object.name, Bytes::mib(64)).unwrap());
    }
    let safe = Safe { repository: at, ..Safe::new(&pair.world) };
    let target = dir.path().join("by hand");
    let mut args = safe.papers();
    args.extend(["--identity".as_ref(), safe.identity.as_os_str(), "--component".as_ref(), "files".as_ref()]);
    args.extend(["--replica".as_ref(), "--target".as_ref(), target.as_os_str()]);
    let said = Toolbox::new().script("scripts/break-glass", args);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(said.stderr.contains(&format!("passing over {third}: not copied")), "{said:#?}");
    assert!(pair.expected[&again.run].differences(&Tree::of(&target)).is_empty());
}

/// Between the listings of the repository and of the replica another replication brings what came meanwhile.
#[test]
fn another_replication_at_once_is_no_rollback() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    pair.backup(2);
    let counting = Arc::new(FaultyStore::new(pair.replica.fork()));
    pair.replicate_into(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let whole = |call: &Call| call.operation == Operation::List && call.subject.is_empty();
    let at = counting.log().iter().position(whole).unwrap();
    let (replica, pair) = (pair.replica.clone(), Arc::new(pair));
    let inside = Arc::clone(&pair);
    let held = FaultyStore::new(replica.clone()).call_at(at as u64 + 1, move || {
        write(&inside.world.source(), "tenants/acme/meanwhile", b"meanwhile");
        inside.world.backup().unwrap();
        inside.replicate();
    });
    let report = pair.replicate_into(Arc::new(held)).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    pair.replicate();
    pair.world.verify_in(&pair.open(&replica)).assert_passed("two replications at once");
}
