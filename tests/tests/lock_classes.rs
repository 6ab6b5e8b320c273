//! For how long packs are locked: a pack is of the class that its own table says, whoever says what of it, and keeps that
//! class wherever it is copied.

#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_backup::Job;
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::format::index::{IndexHeader, encode_index};
use lifeboat_repo::ids::{ObjectName, PackId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::maintainer::GcDraft;
use lifeboat_repo::repository::{index, locks};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::LockClass;
use lifeboat_tests::forge::Forger;
use lifeboat_tests::model::noise;
use lifeboat_tests::pair::Pair;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::{World, label, write};

fn packs(store: &MemoryStore) -> BTreeSet<ObjectName> {
    store.list("packs/").unwrap().into_iter().map(|object| object.name).collect()
}

/// Backs up as one class; the packs put.
fn backup(world: &World, store: &MemoryStore, lock: LockClass, state: &str) -> BTreeSet<ObjectName> {
    let before = packs(store);
    write(&world.source(), &format!("tenants/acme/{state}"), &noise(u64::from(state.as_bytes()[0]), 100_000));
    let job = Job { lock, state: world.dir.path().join(state), ..world.job() };
    world.run(Arc::new(store.clone()), &job, &SystemClock, &Silent).unwrap();
    packs(store).difference(&before).cloned().collect()
}

fn classes(store: &MemoryStore, packs: &BTreeSet<ObjectName>) -> BTreeSet<LockClass> {
    packs.iter().map(|name| store.class_of(name).unwrap()).collect()
}

#[test]
fn a_pack_keeps_its_class_in_the_replica() {
    let pair = Pair::new();
    let short = backup(&pair.world, &pair.store, LockClass::Short, "a");
    let normal = backup(&pair.world, &pair.store, LockClass::Normal, "b");
    pair.replicate();
    let (as_short, as_normal) = (BTreeSet::from([LockClass::Short]), BTreeSet::from([LockClass::Normal]));
    for store in [&pair.store, &pair.replica] {
        assert_eq!((classes(store, &short), classes(store, &normal)), (as_short.clone(), as_normal.clone()));
    }
    // And where its segments go into new packs, since the replica condemned the old ones.
    let old = packs(&pair.replica);
    let condemned: Vec<PackId> = old.iter().map(|name| name.last().parse().unwrap()).collect();
    let draft = GcDraft { packs: condemned, ..GcDraft::default() };
    pair.put_gc(&pair.open(&pair.replica), &pair.credentials, &draft);
    old.iter().for_each(|name| pair.replica.remove(name));
    pair.replicate();
    let moved = packs(&pair.replica);
    assert!(moved.is_disjoint(&old) && !moved.is_empty());
    assert_eq!(classes(&pair.replica, &moved), BTreeSet::from([LockClass::Normal, LockClass::Short]));
}

#[test]
fn no_index_object_keeps_locks_of_others_from_being_extended() {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    let normal = backup(&world, &memory, LockClass::Normal, "a");
    let short = backup(&world, &memory, LockClass::Short, "b");
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let survey = || locks::survey(&world.repository(), recovery.catalog()).unwrap();
    let held = |survey: &locks::Survey| -> BTreeSet<ObjectName> {
        let names = survey.held.iter().map(|held| held.name.clone());
        names.filter(|name| name.as_str().starts_with("packs/")).collect()
    };
    assert_eq!(held(&survey()), normal);
    // Somebody who may put an index object says of the packs of others that they are of the short class, and of short ones
    // that they are not.
    let names = index::names_of(&repository, &label("w1")).unwrap();
    let told: Vec<_> =
        names.iter().map(|name| index::read(&repository, recovery.catalog(), name).unwrap()).collect();
    for lock in LockClass::ALL {
        let mut forger = Forger::new(&world, "acme");
        let packs = told.iter().flat_map(|index| index.header.packs.clone()).collect();
        let mut lines: Vec<_> = told.iter().flat_map(|index| index.segments.clone()).collect();
        lines.iter_mut().for_each(|line| line.lock = lock);
        let header = IndexHeader::new(label("w1"), forger.run, packs);
        forger.put_index(&encode_index(&header, &lines).unwrap());
    }
    let found = survey();
    assert_eq!((held(&found), found.unreadable.len()), (normal.clone(), 0));
    // Or spoils one, here every honest one and all that lie about it.
    for object in memory.list("index/").unwrap() {
        memory.replace(&object.name, b"spoilt");
    }
    let found = survey();
    assert_eq!((held(&found), found.unreadable.len()), (normal.clone(), 4), "{:?}", found.unreadable);
    assert_eq!(found.unnamed_since, None);
    // A pack of which nothing tells the class is told, too.
    let broken = normal.first().unwrap();
    memory.replace(broken, b"nothing of a pack");
    let found = survey();
    assert!(found.unreadable.iter().any(|one| one.contains(broken.as_str())), "{:?}", found.unreadable);
    assert!(!held(&found).contains(broken) && found.unnamed_since.is_some());
    assert!(!short.is_empty());
}
