//! Erased tenants and replicas: tombstones are copied, keys of whom they name never, and everybody else's are.

#![cfg(test)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::envelope::Identity;
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::format::names::{Place, Seq, place};
use lifeboat_repo::ids::{KeyId, Label, ObjectName, Tenant};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::erase::{self, Swept};
use lifeboat_repo::repository::erasures::GRAVE;
use lifeboat_repo::repository::officer::{self, Officer};
use lifeboat_repo::repository::renewal::Renewal;
use lifeboat_repo::repository::reseal::{self, Acting};
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_restore::{Options, Selection};
use lifeboat_tests::pair::Pair;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::{World, label, write};

fn act<T>(
    world: &World,
    store: Arc<dyn Store>,
    act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
) -> Result<T, RepositoryError> {
    let repository = Repository::open(store, &[world.officer.public()])?;
    let (officer, identities) = (world.alice(), [world.recovery_identity()]);
    let (clock, lanes) = (&SystemClock, NonZeroUsize::MIN);
    act(&Acting { repository: &repository, identities: &identities, officer: &officer, clock, lanes })
}

/// Puts a tombstone: the keys it names.
fn tombstone(pair: &Pair, tenant: &str) -> Vec<(Label, KeyId)> {
    let tenant: Tenant = tenant.parse().unwrap();
    act(&pair.world, Arc::new(pair.store.clone()), |acting| {
        let plan = erase::plan(acting, &tenant, &[&pair.store, &pair.replica])?;
        assert!(erase::put(acting, &plan)?.effective);
        Ok(plan.keys)
    })
    .unwrap()
}

fn sweep(pair: &Pair, places: &[&dyn Store]) -> Swept {
    act(&pair.world, Arc::new(pair.store.clone()), |acting| erase::sweep(acting, places)).unwrap()
}

/// The key objects and cards of a store.
fn keys_in(store: &MemoryStore) -> Vec<(ObjectName, KeyId, Vec<u8>)> {
    let all = ["keys/", "cards/"].into_iter().flat_map(|prefix| store.list(prefix).unwrap());
    let key = |name: &ObjectName| match place(name) {
        Some(Place::Key(_, _, key) | Place::Card(_, key)) => key,
        _ => panic!("{name}"),
    };
    all.map(|one| (one.name.clone(), key(&one.name), store.read(&one.name, Bytes::mib(1)).unwrap())).collect()
}

/// What of the latest snapshot a store gives back, by tenants.
fn tenants(pair: &Pair, repository: &Repository) -> Vec<String> {
    let recovery = pair.world.recovery(repository);
    let listed = Judge::new(repository, recovery.catalog()).unwrap().list(None).unwrap();
    let snapshot = listed.last().unwrap().snapshot.as_ref().unwrap();
    let target = scratch();
    let plan = lifeboat_restore::plan(&recovery, snapshot, &Selection::default(), &Silent).unwrap();
    lifeboat_restore::perform(repository.store(), &plan, target.path(), &Options::default(), &Silent)
        .unwrap();
    let below = std::fs::read_dir(target.path().join("tenants")).unwrap();
    let files =
        below.map(|one| one.unwrap()).filter(|one| std::fs::read_dir(one.path()).unwrap().count() > 0);
    let mut names: Vec<String> = files.map(|one| one.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_erased_is_never_copied_and_everything_else_is() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    // Of gamma the replica has nothing yet, of acme everything.
    write(&pair.world.source(), "tenants/gamma/c", b"of gamma");
    pair.backup(2);
    let before = keys_in(&pair.store);
    let acme = tombstone(&pair, "acme");
    let gamma = tombstone(&pair, "gamma");
    let gone = |key: KeyId| acme.iter().chain(&gamma).any(|(_, erased)| *erased == key);
    // A tenant that comes later, before anything was swept anywhere.
    write(&pair.world.source(), "tenants/delta/d", b"of delta");
    pair.backup(3);
    pair.replicate();
    let here = pair.open(&pair.replica);
    assert_eq!(tenants(&pair, &here), ["beta", "delta"]);
    assert_eq!(pair.store.list("erasures/").unwrap().len(), 2);
    let names = |store: &MemoryStore| {
        store.list("erasures/").unwrap().into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&pair.store), names(&pair.replica));
    let copied = |key: KeyId| keys_in(&pair.replica).into_iter().filter(|one| one.1 == key).count();
    assert_eq!(
        (copied(acme[0].1), copied(gamma[0].1)),
        (2, 0),
        "gamma's stays away, acme's waits to be swept"
    );
    // Swept in both places: graves at every name, gamma's in the replica too, where nothing ever lay.
    let swept = sweep(&pair, &[&pair.store, &pair.replica]);
    assert_eq!((swept.destroyed, swept.graves), (6, 8), "{swept:?}");
    pair.replicate();
    let verdict = pair.world.verify_in(&pair.open(&pair.replica));
    verdict.assert_passed("swept");
    assert_eq!(verdict.unrecorded, 0, "{:#?}", verdict.findings);
    // An old copy comes back in the repository, even where the replica lost its grave.
    for (name, key, bytes) in before.iter().filter(|one| gone(one.1)) {
        pair.store.remove(name);
        assert_eq!(pair.store.create(name, bytes).unwrap(), Created::New);
        pair.replica.remove(name);
        assert!(pair.plan().is_empty(), "{key}");
    }
    write(&pair.world.source(), "tenants/epsilon/e", b"of epsilon");
    pair.backup(4);
    pair.replicate();
    let open: Vec<_> =
        keys_in(&pair.replica).into_iter().filter(|one| gone(one.1) && one.2 != GRAVE).collect();
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(tenants(&pair, &pair.open(&pair.replica)), ["beta", "delta", "epsilon"]);
}

/// Whoever listed keys before the tombstone puts them after the sweep: graves are in the way, wherever it puts them.
#[test]
fn a_copy_on_its_way_finds_a_grave() {
    let mut pair = Pair::new();
    pair.backup(1);
    let names: Vec<(ObjectName, KeyId)> =
        keys_in(&pair.store).into_iter().map(|one| (one.0, one.1)).collect();
    let key = act(&pair.world, Arc::new(pair.store.clone()), |acting| {
        Ok(erase::plan(acting, &"acme".parse().unwrap(), &[&pair.store])?.keys[0].clone())
    })
    .unwrap();
    let (name, _) =
        names.iter().find(|(name, id)| *id == key.1 && name.as_str().starts_with("keys/")).unwrap();
    // A replication, held at the moment at which it puts the key.
    let counting = Arc::new(FaultyStore::new(MemoryStore::new()));
    pair.replicate_into(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let at = counting
        .log()
        .iter()
        .position(|call| call.operation == Operation::Create && call.subject == name.as_str())
        .unwrap();
    let (replica, pair) = (pair.replica.clone(), Arc::new(pair));
    let (inside, other) = (Arc::clone(&pair), replica.clone());
    let held = FaultyStore::new(replica.clone()).call_at(at as u64 + 1, move || {
        tombstone(&inside, "acme");
        sweep(&inside, &[&inside.store, &other]);
    });
    let report = pair.replicate_into(Arc::new(held)).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(replica.read(name, Bytes::mib(1)).unwrap(), GRAVE);
    pair.replicate();
    assert_eq!(tenants(&pair, &pair.open(&replica)), ["beta"]);
    pair.world.verify_in(&pair.open(&replica)).assert_passed("a copy on its way");
}

/// A sweep that dies between destroying and burying left no grave; the next one puts it, and one below every seal.
#[test]
fn a_grave_comes_to_every_name_whatever_was_cut_off() {
    let mut pair = Pair::new();
    pair.backup(1);
    // Condemned, with every key below both seals.
    act(&pair.world, Arc::new(pair.store.clone()), |acting| reseal::reseal(acting, &Renewal::default()))
        .unwrap();
    let erased = tombstone(&pair, "acme");
    let counting = Arc::new(FaultyStore::new(pair.store.fork()));
    let sweep_in = |store: Arc<dyn Store>| {
        act(&pair.world, Arc::clone(&store), |acting| erase::sweep(acting, &[acting.repository.store()]))
    };
    sweep_in(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let (mut cuts, log) = (0, counting.log());
    for (at, call) in log.iter().enumerate().filter(|(_, call)| call.operation == Operation::Delete) {
        let memory = pair.store.fork();
        let dying = FaultyStore::new(memory.clone()).stop_at(at as u64 + 1, Fault::After);
        sweep_in(Arc::new(dying)).unwrap_err();
        let swept = sweep_in(Arc::new(memory.clone())).unwrap();
        assert_eq!(swept.graves, 3, "{call}: {swept:?}");
        let graves = keys_in(&memory).into_iter().filter(|one| one.1 == erased[0].1);
        assert!(graves.map(|one| one.2 == GRAVE).collect::<Vec<_>>() == [true; 3], "{call}");
        cuts += 1;
    }
    assert_eq!(cuts, 3);
}

/// Stores other bytes under a name, or none.
fn replace(store: &MemoryStore, name: &ObjectName, bytes: Option<&[u8]>) {
    store.remove(name);
    if let Some(bytes) = bytes {
        assert_eq!(store.create(name, bytes).unwrap(), Created::New);
    }
}

/// The key object of the only key of a tenant.
fn key_object(pair: &Pair, tenant: &str) -> (ObjectName, Vec<u8>) {
    let tenant: Tenant = tenant.parse().unwrap();
    let keys = act(&pair.world, Arc::new(pair.store.clone()), |acting| {
        Ok(erase::plan(acting, &tenant, &[&pair.store])?.keys)
    });
    let (_, key) = keys.unwrap().remove(0);
    let mut objects = keys_in(&pair.store).into_iter();
    let (name, _, bytes) = objects.find(|one| one.1 == key && one.0.as_str().starts_with("keys/")).unwrap();
    (name, bytes)
}

fn rotten(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

#[test]
fn a_key_that_is_whole_in_the_replica_alone_is_erased_there() {
    for missing in [false, true] {
        let mut pair = Pair::new();
        pair.backup(1);
        pair.replicate();
        let (name, bytes) = key_object(&pair, "acme");
        let rot = rotten(&bytes);
        replace(&pair.store, &name, (!missing).then_some(rot.as_slice()));
        let erased = tombstone(&pair, "acme");
        assert_eq!(erased.len(), 1, "the replica says whose it is");
        let places: [&dyn Store; 2] = [&pair.store, &pair.replica];
        let swept = sweep(&pair, &places);
        assert_eq!((swept.unopened.len(), swept.graves), (0, 4), "{swept:?}");
        for store in [&pair.store, &pair.replica] {
            let left = keys_in(store).into_iter().filter(|one| one.1 == erased[0].1);
            assert_eq!(left.map(|one| one.2 == GRAVE).collect::<Vec<_>>(), [true; 2]);
        }
        let proof =
            act(&pair.world, Arc::new(pair.store.clone()), |acting| erase::prove(acting, Seq(0), &places));
        assert_eq!(proof.unwrap().found, Vec::<String>::new());
        pair.replicate();
        assert_eq!(tenants(&pair, &pair.open(&pair.replica)), ["beta"]);
    }
}

/// Whoever may destroy keys may not always delete what hosts remember: then keys are gone everywhere all the same.
#[test]
fn keys_go_everywhere_before_what_hosts_remember() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let erased = tombstone(&pair, "acme");
    let state: ObjectName = format!("state/files/{}", pair.expected.keys().next().unwrap()).parse().unwrap();
    assert_eq!(pair.store.create(&state, b"what a host remembers").unwrap(), Created::New);
    for at in 1.. {
        let refused = StoreErrorKind::Other("access denied".into());
        let primary = FaultyStore::new(pair.store.clone()).fail_at(at, Fault::Before, refused);
        let places: [&dyn Store; 2] = [&primary, &pair.replica];
        let outcome =
            act(&pair.world, Arc::new(pair.store.clone()), |acting| erase::sweep(acting, &places).map(drop));
        let call = primary.log().get(usize::try_from(at - 1).unwrap()).cloned().expect("a state is deleted");
        assert!(outcome.is_err() || call.subject.is_empty(), "{call:?}");
        if call.operation == Operation::Delete && call.subject == state.to_string() {
            break;
        }
    }
    let left = keys_in(&pair.replica).into_iter().filter(|one| one.1 == erased[0].1);
    assert_eq!(left.map(|one| one.2 == GRAVE).collect::<Vec<_>>(), [true; 2]);
}

#[test]
fn a_key_that_opens_nowhere_is_told_and_goes_once_it_opens_again() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let (name, bytes) = key_object(&pair, "acme");
    replace(&pair.store, &name, Some(&rotten(&bytes)));
    replace(&pair.replica, &name, Some(&rotten(&bytes)));
    let places: [&dyn Store; 2] = [&pair.store, &pair.replica];
    assert_eq!(tombstone(&pair, "acme"), []);
    let unopened = sweep(&pair, &places).unopened;
    assert!(unopened.len() == 1 && unopened[0].contains(name.as_str()), "{unopened:?}");
    // Healed out of a bundle, in the replica alone: the proof sees it, and the next sweep ends it.
    replace(&pair.replica, &name, Some(&bytes));
    assert_eq!(tombstone(&pair, "beta").len(), 1);
    sweep(&pair, &[]);
    let proof = |seq| {
        let proof =
            act(&pair.world, Arc::new(pair.store.clone()), |acting| erase::prove(acting, Seq(seq), &places));
        proof.unwrap().found
    };
    assert!(proof(1).iter().any(|one| one.contains("no tombstone names it")), "{:?}", proof(1));
    let swept = sweep(&pair, &places);
    assert_eq!((swept.late, swept.unopened.len()), (1, 0), "{swept:?}");
    assert_eq!((proof(1), proof(2)), (Vec::new(), Vec::new()));
}

#[test]
fn a_replica_knows_of_an_erasure_before_its_keys_go() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    tombstone(&pair, "acme");
    sweep(&pair, &[&pair.store, &pair.replica]);
    let replica = pair.open(&pair.replica);
    pair.world.verify_in(&replica).assert_passed("erased, and not replicated since");
    assert_eq!(tenants(&pair, &replica), ["beta"]);
    assert!(pair.plan().is_empty(), "{:#?}", pair.plan());
}

/// Whose trust is behind: a maintainer was taken in since. Who signed is known there all the same.
#[test]
fn a_replica_whose_trust_is_behind_knows_of_an_erasure_too() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    drop(pair.world.maintainer("r2", 82));
    tombstone(&pair, "acme");
    assert_eq!(sweep(&pair, &[&pair.store, &pair.replica]).untold, 0);
    assert!(pair.replica.list("trust/").unwrap().len() < pair.store.list("trust/").unwrap().len());
    let replica = pair.open(&pair.replica);
    pair.world.verify_in(&replica).assert_passed("erased, with a trust that is behind");
    assert_eq!(tenants(&pair, &replica), ["beta"]);
    pair.replicate();
    pair.world.verify_in(&pair.open(&pair.replica)).assert_passed("replicated since");
}

/// An officer of whom a replica does not know yet: the tombstone would be nobody's there, and nothing would open. It comes
/// with trust; until then whoever reads is told what a grave is, and whoever erased that a replication is due.
#[test]
fn a_tombstone_of_an_officer_unknown_to_a_replica_comes_with_trust() {
    let mut pair = Pair::new();
    pair.backup(1);
    pair.replicate();
    let (bob, identity) = (SigningKey::from_seed([3; 32]), Identity::generate());
    {
        let repository = pair.world.repository();
        let recovery = pair.world.recovery(&repository);
        let (name, key, recipient) = (label("bob"), bob.public(), identity.recipient());
        officer::add_officer(&recovery, &pair.world.alice(), &name, key, &recipient, &SystemClock).unwrap();
    }
    let repository = pair.world.repository();
    let (officer, identities) = (Officer { name: label("bob"), signing: &bob }, [identity]);
    let (clock, lanes) = (&SystemClock, NonZeroUsize::MIN);
    let acting = Acting { repository: &repository, identities: &identities, officer: &officer, clock, lanes };
    let places: [&dyn Store; 2] = [&pair.store, &pair.replica];
    let plan = erase::plan(&acting, &"acme".parse().unwrap(), &places).unwrap();
    assert!(erase::put(&acting, &plan).unwrap().effective);
    let swept = erase::sweep(&acting, &places).unwrap();
    assert_eq!((swept.untold, swept.graves), (1, 4), "{swept:?}");
    let replica = pair.open(&pair.replica);
    assert_eq!(pair.replica.list("erasures/").unwrap(), []);
    let (writer, key) = plan.keys[0].clone();
    let told = pair.world.recovery(&replica).unwrap_tenant_key(&writer, key).err().unwrap().to_string();
    assert!(told.contains("a grave lies here") && told.contains("lifeboat replicate"), "{told}");
    pair.replicate();
    let replica = pair.open(&pair.replica);
    pair.world.verify_in(&replica).assert_passed("replicated since");
    assert_eq!(tenants(&pair, &replica), ["beta"]);
    assert_eq!(erase::sweep(&acting, &places).unwrap().untold, 0);
}
