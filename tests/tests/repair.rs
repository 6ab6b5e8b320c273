//! Repair: every object of a repository deleted once and flipped once, healed from a copy; keys and seals from bundles; and
//! without either, what the next backup heals.

#![cfg(test)]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use lifeboat_backup::{BackupError, Job, Report};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::format::names::{self as object_names, Place, place};
use lifeboat_repo::format::records::Recorded;
use lifeboat_repo::ids::{KeyId, ObjectHash, ObjectName};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::maintainer::Maintainer;
use lifeboat_repo::repository::renewal::Renewal;
use lifeboat_repo::repository::reseal::{self, Acting};
use lifeboat_repo::repository::{Repository, RepositoryError, bundles, erase, index, repair};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};
use lifeboat_tests::examine::{judge_restore, look_integrity, look_readback, restore, scratch, tree};
use lifeboat_tests::forge::Forger;
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, label, write};
use lifeboat_verify::heal::{self, Copy, Marked, Marks, ObjectPlan};
use lifeboat_verify::{Severity, Threads};

struct Whole {
    world: World,
    store: MemoryStore,
    maintainer: Arc<Credentials>,
}

/// Two snapshots of three tenants.
fn whole() -> Whole {
    let store = MemoryStore::new();
    let world = World::over(Arc::new(store.clone()), scratch());
    let maintainer = world.maintainer("m1", 71);
    let source = world.source();
    write(&source, "shared/readme", b"what belongs to nobody");
    write(&source, "tenants/acme/photo", &noise(1, 150_000));
    write(&source, "tenants/beta/x", &noise(2, 40_000));
    world.backup().unwrap();
    write(&source, "tenants/acme/later", &noise(3, 120_000));
    world.backup().unwrap();
    Whole { world, store, maintainer }
}

struct Repaired {
    plan: ObjectPlan,
    marks: Option<Marks>,
    marked: Option<Marked>,
}

/// What `repair` does.
fn repair(whole: &Whole, store: &MemoryStore, copy: Option<&MemoryStore>) -> Result<Repaired, String> {
    repair_at(whole, store, copy, &SystemClock)
}

/// The same on a machine that thinks it is another time.
fn repair_at(
    whole: &Whole,
    store: &MemoryStore,
    copy: Option<&MemoryStore>,
    clock: &dyn Clock,
) -> Result<Repaired, String> {
    let pins = [whole.world.officer.public()];
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    let mut copies: Vec<Copy> =
        copy.iter().map(|copy| Copy { name: "replica".into(), store: Arc::new((*copy).clone()) }).collect();
    let from = copies.first().map(|copy| copy.store.as_ref());
    let opened = repair::open(shared, from, &pins).map_err(|error| error.to_string())?;
    let here = &opened.repository;
    let mut plan = heal::plan_objects(here, &opened.trust, &pins, &copies, clock, Threads::ONE, &Silent)
        .map_err(|error| error.to_string())?;
    copies.extend(heal::plan_bundled(here, &mut plan, clock).map_err(|error| error.to_string())?);
    let opened = Maintainer::open(here, Arc::clone(&whole.maintainer), &SystemClock, &SystemEntropy).ok();
    let catalog = opened.as_ref().map(Maintainer::catalog);
    heal::heal_objects(here, &mut plan, &copies, catalog, clock, &Silent);
    let mut repaired = Repaired { plan, marks: None, marked: None };
    let Ok(maintainer) = Maintainer::open(here, Arc::clone(&whole.maintainer), &SystemClock, &SystemEntropy)
    else {
        return Ok(repaired);
    };
    let marks = heal::plan_marks(here, maintainer.catalog(), &repaired.plan, &copies, false, &Silent)
        .map_err(|error| error.to_string())?;
    if !marks.is_empty() {
        repaired.marked =
            Some(heal::put_marks(&maintainer, &marks, &copies).map_err(|error| error.to_string())?);
    }
    repaired.marks = Some(marks);
    Ok(repaired)
}

fn harm(store: &MemoryStore, name: &ObjectName, delete: bool) -> MemoryStore {
    let hurt = store.fork();
    if delete {
        hurt.remove(name);
    } else {
        let mut bytes = store.read(name, Bytes::mib(64)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        hurt.replace(name, &bytes);
    }
    hurt
}

fn names(store: &MemoryStore) -> Vec<ObjectName> {
    store.list("").unwrap().into_iter().map(|object| object.name).collect()
}

fn area(name: &ObjectName) -> String {
    match name.parts().next().unwrap_or_default() {
        "seals" => format!("seals/{}", name.last()),
        area => area.to_owned(),
    }
}

#[test]
fn a_copy_heals_every_object_deleted_or_flipped() {
    let whole = whole();
    let all = names(&whole.store);
    assert!(all.len() <= 150, "{}", all.len());
    let mut table: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    for name in &all {
        for delete in [true, false] {
            let hurt = harm(&whole.store, name, delete);
            let repaired = repair(&whole, &hurt, Some(&whole.store));
            let repaired = repaired.unwrap_or_else(|error| panic!("{name} {delete}: {error}"));
            if name.as_str() != "lifeboat.json" {
                let healed = |one: &heal::Wrong| one.object == *name && one.from.is_some();
                assert!(repaired.plan.wrong.iter().any(healed), "{name} {delete}: {:?}", repaired.plan);
                assert!(repaired.marked.is_none(), "{name} {delete}: {:?}", repaired.marks);
                assert_eq!(
                    hurt.read(name, Bytes::mib(64)).unwrap(),
                    whole.store.read(name, Bytes::mib(64)).unwrap(),
                    "{name} {delete}"
                );
            }
            let shared: Arc<dyn Store> = Arc::new(hurt);
            let looks = [look_integrity(&whole.world, &shared), look_readback(&whole.world, &shared)]
                .map(|look| look.word(""));
            assert_eq!(looks, ["-", "-"], "{name} {delete}");
            table.entry(area(name)).or_default()[usize::from(!delete)] += 1;
        }
    }
    println!("healed from a copy, readback clean: {} objects", all.len());
    println!("{:16} {:>8} {:>8}", "kind", "deleted", "flipped");
    for (kind, [deleted, flipped]) in &table {
        println!("{kind:16} {deleted:>8} {flipped:>8}");
    }
}

#[test]
fn without_a_copy_the_next_backup_heals_what_still_exists() {
    let whole = whole();
    let mut table: BTreeMap<String, BTreeMap<&str, u32>> = BTreeMap::new();
    for name in names(&whole.store) {
        for delete in [true, false] {
            let hurt = harm(&whole.store, &name, delete);
            let shared: Arc<dyn Store> = Arc::new(hurt.clone());
            let state = scratch();
            copy_dir(&whole.world.dir.path().join("state"), state.path());
            let repaired = repair(&whole, &hurt, None);
            if let Ok(repaired) = &repaired
                && (name.as_str().starts_with("keys/") || name.as_str().starts_with("seals/"))
                && !repaired.plan.wrong.is_empty()
            {
                let told = repaired.plan.left().any(|one| {
                    one.object == name && one.left.as_ref().is_some_and(|left| left.contains("bundle"))
                });
                assert!(told, "{name} {delete}: {:?}", repaired.plan);
            }
            let verdict = match backup(&whole.world, Arc::clone(&shared), state.path()) {
                Err(_) => "needs a copy",
                Ok(report) => {
                    let dir = scratch();
                    let target = dir.path().join("target");
                    let run = Some(report.run);
                    let outcome = restore(&whole.world, &shared, &label("files"), run, &target);
                    match judge_restore(&outcome, &target, &tree(&whole.world.source())) {
                        "exact" => "healed",
                        _ => "needs a copy",
                    }
                }
            };
            let kinds = ["packs", "index", "cards", "keys", "snapshots", "runs", "state"];
            assert!(
                verdict == "healed" || !kinds.contains(&area(&name).as_str()),
                "{name} {delete} is not healed: {:?}",
                repaired.map(|repaired| repaired.plan)
            );
            *table.entry(area(&name)).or_default().entry(verdict).or_default() += 1;
        }
    }
    println!("without a copy, the newest snapshot after the next backup:");
    for (kind, verdicts) in &table {
        println!("{kind:16} {verdicts:?}");
    }
}

fn backup(world: &World, store: Arc<dyn Store>, state: &Path) -> Result<Report, BackupError> {
    let repository = Repository::open(store, &[world.officer.public()])?;
    let job = Job { state: state.to_owned(), ..world.job() };
    lifeboat_backup::run(&repository, world.credentials(), &job, &SystemClock, &SystemEntropy, &Silent)
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The segment of acme's photo (noise, so it has one of its own): its pack, and a byte in the middle of it.
fn photo(whole: &Whole) -> (ObjectName, usize) {
    let repository = whole.world.repository();
    let recovery = whole.world.recovery(&repository);
    let name = index::names_of(&repository, &label("w1")).unwrap().remove(0);
    let index = index::read(&repository, recovery.catalog(), &name).unwrap();
    let line = index.segments.into_iter().find(|line| line.plain == Bytes(150_000)).unwrap();
    let pack = lifeboat_repo::format::names::pack(line.pack.unwrap()).unwrap();
    (pack, usize::try_from(line.offset.0 + line.length.0 / 2).unwrap())
}

/// The store with a bit of the photo flipped, and the pack that it is in.
fn photo_spoilt(whole: &Whole) -> (MemoryStore, ObjectName) {
    let (pack, at) = photo(whole);
    let hurt = whole.store.fork();
    let mut bytes = whole.store.read(&pack, Bytes::mib(64)).unwrap();
    bytes[at] ^= 1;
    hurt.replace(&pack, &bytes);
    (hurt, pack)
}

fn restored(whole: &Whole, store: &MemoryStore) -> &'static str {
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    let dir = scratch();
    let target = dir.path().join("target");
    let outcome = restore(&whole.world, &shared, &label("files"), None, &target);
    judge_restore(&outcome, &target, &tree(&whole.world.source()))
}

fn looks(whole: &Whole, store: &MemoryStore) -> [&'static str; 2] {
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    [look_integrity(&whole.world, &shared), look_readback(&whole.world, &shared)].map(|look| look.word(""))
}

/// Of a damaged pack what is whole is copied out, the rest is given up; a copy that turns up later heals that too, and the
/// condemned pack never comes back under its name.
#[test]
fn what_no_copy_has_is_marked_and_a_later_copy_still_heals_it() {
    let whole = whole();
    let (hurt, pack) = photo_spoilt(&whole);
    let repaired = repair(&whole, &hurt, None).unwrap();
    let marks = repaired.marks.unwrap();
    assert_eq!((marks.packs.len(), marks.lost.len(), marks.unknown), (1, 1, 0), "{marks:?}");
    assert!(marks.moved.len() >= 2, "{marks:?}");
    assert_eq!(restored(&whole, &hurt), "partial");
    assert_eq!(looks(&whole, &hurt), ["-", "named"], "known damage, named by readback");
    hurt.remove(&pack);
    assert_eq!(restored(&whole, &hurt), "partial", "what was copied out does not need the pack");
    // Nothing is found or done twice.
    assert!(repair(&whole, &hurt, None).unwrap().marks.unwrap().is_empty());
    let later = hurt.fork();
    let repaired = repair(&whole, &later, Some(&whole.store)).unwrap();
    assert_eq!(repaired.marks.unwrap().moved, marks.lost);
    assert!(later.stat(&pack).unwrap().is_none(), "condemned for ever");
    assert_eq!((restored(&whole, &later), looks(&whole, &later)), ("exact", ["-", "-"]));
    // And without one, the next backup.
    let state = scratch();
    copy_dir(&whole.world.dir.path().join("state"), state.path());
    let report = backup(&whole.world, Arc::new(hurt.clone()), state.path()).unwrap();
    assert!(report.stored > Bytes(150_000) && report.stored < Bytes(250_000), "{report:?}");
    assert_eq!((restored(&whole, &hurt), looks(&whole, &hurt)), ("exact", ["-", "-"]), "older ones too");
}

/// The table of a pack that is damaged elsewhere tells what else is in it.
#[test]
fn what_a_damaged_pack_alone_tells_of_is_copied_out() {
    let whole = whole();
    let (hurt, pack) = photo_spoilt(&whole);
    for object in whole.store.list("index/w1/").unwrap() {
        hurt.remove(&object.name);
    }
    let marks = repair(&whole, &hurt, None).unwrap().marks.unwrap();
    assert_eq!((marks.packs.len(), marks.lost.len(), marks.unknown), (1, 1, 0), "{marks:?}");
    assert!(marks.moved.len() >= 2, "{marks:?}");
    hurt.remove(&pack);
    assert_eq!(restored(&whole, &hurt), "partial", "all but what was in the damaged segment");
    assert_eq!(looks(&whole, &hurt), ["-", "named"]);
    assert!(repair(&whole, &hurt, None).unwrap().marks.unwrap().is_empty());
}

#[test]
fn a_lost_index_is_read_back_from_the_tables_of_packs() {
    let whole = whole();
    let hurt = whole.store.fork();
    for object in whole.store.list("index/w1/").unwrap() {
        hurt.remove(&object.name);
    }
    let marks = repair(&whole, &hurt, None).unwrap().marks.unwrap();
    assert_eq!((marks.indexes.len(), marks.read_back.len(), marks.unknown), (2, 2, 0), "{marks:?}");
    assert!(marks.lost.is_empty() && marks.packs.is_empty(), "{marks:?}");
    assert_eq!((restored(&whole, &hurt), looks(&whole, &hurt)), ("exact", ["-", "-"]));
    // A writer stores anew what only an index of its own could tell it.
    let state = scratch();
    let report = backup(&whole.world, Arc::new(hurt.clone()), state.path()).unwrap();
    assert!(report.stored > Bytes(300_000), "{report:?}");
    assert_eq!((restored(&whole, &hurt), looks(&whole, &hurt)), ("exact", ["-", "-"]));
}

fn bundle(whole: &Whole, store: &MemoryStore) -> ObjectName {
    let repository = whole.world.repository_over(Arc::new(store.clone()));
    let bundled = bundles::put(&repository, &whole.maintainer.signing, &SystemClock, false).unwrap();
    assert_eq!(bundled.problems, Vec::<String>::new());
    bundled.name.unwrap()
}

fn act<T>(
    whole: &Whole,
    store: &MemoryStore,
    act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
) -> T {
    let repository = whole.world.repository_over(Arc::new(store.clone()));
    let (officer, identities) = (whole.world.alice(), [whole.world.recovery_identity()]);
    let (clock, lanes) = (&SystemClock, NonZeroUsize::MIN);
    act(&Acting { repository: &repository, identities: &identities, officer: &officer, clock, lanes })
        .unwrap()
}

/// Every key and seal, deleted once and flipped once, and all of them at once: from the newest bundle that has it, without any
/// other copy. A damaged bundle in between holds nothing.
#[test]
fn lost_keys_and_seals_come_out_of_bundles() {
    let whole = whole();
    let first = bundle(&whole, &whole.store);
    let second = bundle(&whole, &whole.store);
    let mut bytes = whole.store.read(&second, Bytes::mib(64)).unwrap();
    bytes[700] ^= 1;
    whole.store.replace(&second, &bytes);
    let mut sealed = names(&whole.store);
    sealed.retain(|name| name.as_str().starts_with("keys/") || name.as_str().starts_with("seals/"));
    assert!(sealed.len() >= 5, "{sealed:?}");
    let same = |hurt: &MemoryStore, name: &ObjectName| {
        hurt.read(name, Bytes::mib(1)).unwrap() == whole.store.read(name, Bytes::mib(1)).unwrap()
    };
    for name in &sealed {
        for delete in [true, false] {
            let hurt = harm(&whole.store, name, delete);
            let repaired = repair(&whole, &hurt, None).unwrap();
            let healed =
                |one: &heal::Wrong| one.object == *name && one.from.as_deref() == Some(first.as_str());
            assert!(repaired.plan.wrong.iter().any(healed), "{name} {delete}: {:?}", repaired.plan);
            assert!(repaired.marked.is_none() && same(&hurt, name), "{name} {delete}");
        }
    }
    let hurt = whole.store.fork();
    for name in &sealed {
        hurt.remove(name);
    }
    repair(&whole, &hurt, None).unwrap();
    assert!(sealed.iter().all(|name| same(&hurt, name)));
    hurt.remove(&second);
    assert_eq!((restored(&whole, &hurt), looks(&whole, &hurt)), ("exact", ["-", "-"]));
    // Without any, the report says what could have healed them.
    hurt.remove(&first);
    hurt.remove(&sealed[0]);
    let left = repair(&whole, &hurt, None).unwrap().plan.left().next().unwrap().left.clone().unwrap();
    assert!(
        left.starts_with("there is no whole bundle") && left.contains("from a replica or a bundle alone"),
        "{left}"
    );
}

/// A bundle, or a copy, that still has the key of an erased tenant never brings it back, though it is older than the tombstone.
#[test]
fn what_officers_erased_comes_out_of_no_bundle() {
    let whole = whole();
    let hurt = whole.store.fork();
    bundle(&whole, &hurt);
    let erased = act(&whole, &hurt, |acting| {
        let plan = erase::plan(acting, &"acme".parse().unwrap(), &[acting.repository.store()])?;
        assert!(erase::put(acting, &plan)?.effective);
        Ok(plan.keys)
    });
    assert!(!erased.is_empty());
    // A key of somebody else's is lost with them.
    for object in ["keys/", "cards/"].into_iter().flat_map(|prefix| hurt.list(prefix).unwrap()) {
        hurt.remove(&object.name);
    }
    let plan = repair(&whole, &hurt, Some(&whole.store)).unwrap().plan;
    let speaks_of =
        |key: &KeyId| plan.wrong.iter().any(|one| one.object.as_str().ends_with(&key.to_string()));
    assert!(erased.iter().all(|(_, key)| !speaks_of(key)), "what was erased is not wrong: {:?}", plan.wrong);
    let back: Vec<_> =
        ["keys/", "cards/"].into_iter().flat_map(|prefix| hurt.list(prefix).unwrap()).collect();
    let (keys, cards) = (whole.store.list("keys/").unwrap().len(), whole.store.list("cards/").unwrap().len());
    assert_eq!(back.len(), keys + cards - 2 * erased.len(), "{back:?}");
    for object in ["keys/", "cards/"].into_iter().flat_map(|prefix| hurt.list(prefix).unwrap()) {
        hurt.remove(&object.name);
    }
    repair(&whole, &hurt, None).unwrap();
    let back = hurt.list("keys/").unwrap();
    assert_eq!(back.len(), keys - erased.len(), "{back:?}");
    for (_, key) in erased {
        assert!(
            back.iter().all(|object| !object.name.as_str().contains(&key.to_string())),
            "{key}: {back:?}"
        );
    }
}

/// A tombstone that is put after the repair was planned keeps the key away as well.
#[test]
fn what_is_erased_while_it_is_repaired_stays_away() {
    let whole = whole();
    let hurt = whole.store.fork();
    for object in whole.store.list("keys/").unwrap() {
        hurt.remove(&object.name);
    }
    let (pins, shared) = ([whole.world.officer.public()], Arc::new(hurt.clone()) as Arc<dyn Store>);
    let copies = [Copy { name: "replica".into(), store: Arc::new(whole.store.clone()) }];
    let here = whole.world.repository_over(shared);
    let threads = Threads::ONE;
    let mut plan = heal::plan_objects(&here, &[], &pins, &copies, &SystemClock, threads, &Silent).unwrap();
    let keys = whole.store.list("keys/").unwrap().len();
    assert_eq!(plan.healed().count(), keys);
    let erased = act(&whole, &hurt, |acting| {
        // Where its keys still are, the officers look, too.
        let places: [&dyn Store; 2] = [acting.repository.store(), &whole.store];
        let plan = erase::plan(acting, &"acme".parse().unwrap(), &places)?;
        assert!(erase::put(acting, &plan)?.effective);
        Ok(plan.keys)
    });
    heal::heal_objects(&here, &mut plan, &copies, None, &SystemClock, &Silent);
    let back = hurt.list("keys/").unwrap();
    assert_eq!(back.len(), keys - erased.len(), "{back:?}");
    let left: Vec<_> = plan.left().filter_map(|one| one.left.as_deref()).collect();
    assert_eq!(left, ["officers erased it meanwhile"]);
}

/// A ledger names a key under the seal it was made for; sealed anew it lies elsewhere, in copies and bundles too.
#[test]
fn a_key_that_was_sealed_anew_is_found_where_it_lies_now() {
    for from_copy in [true, false] {
        let whole = whole();
        let old: Vec<ObjectName> =
            whole.store.list("keys/").unwrap().into_iter().map(|one| one.name).collect();
        let resealed = act(&whole, &whole.store, |acting| reseal::reseal(acting, &Renewal::default()));
        drop(resealed);
        for name in &old {
            whole.store.remove(name);
        }
        let copy = from_copy.then(|| whole.store.fork());
        if !from_copy {
            bundle(&whole, &whole.store);
        }
        let now: Vec<ObjectName> =
            whole.store.list("keys/").unwrap().into_iter().map(|one| one.name).collect();
        assert!(now.len() == old.len() && now.iter().all(|name| !old.contains(name)), "{now:?}");
        let bytes = whole.store.read(&now[0], Bytes::mib(1)).unwrap();
        whole.store.remove(&now[0]);
        let repaired = repair(&whole, &whole.store, copy.as_ref()).unwrap();
        assert_eq!(repaired.plan.healed().count(), 1, "{:?}", repaired.plan);
        assert_eq!(whole.store.read(&now[0], Bytes::mib(1)).unwrap(), bytes);
        assert_eq!((restored(&whole, &whole.store), looks(&whole, &whole.store)), ("exact", ["-", "-"]));
    }
}

/// Years before anything here was made.
struct Early;

impl Clock for Early {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_000_000_000, 0)
    }
}

/// Keys that officers sealed anew are judged by this machine's clock; where that is wrong, all of them look wrong.
#[test]
fn no_key_is_deleted_whatever_this_machine_thinks_of_it() {
    let whole = whole();
    act(&whole, &whole.store, |acting| reseal::reseal(acting, &Renewal::default()));
    act(&whole, &whole.store, reseal::finish);
    let sealed = |store: &MemoryStore| -> Vec<(ObjectName, Vec<u8>)> {
        let mut all = names(store);
        all.retain(|name| name.as_str().starts_with("keys/") || name.as_str().starts_with("cards/"));
        all.into_iter().map(|name| (name.clone(), store.read(&name, Bytes::mib(1)).unwrap())).collect()
    };
    let hurt = whole.store.fork();
    let before = sealed(&hurt);
    let repaired = repair_at(&whole, &hurt, None, &Early).unwrap();
    let looks_wrong = repaired.plan.left().filter(|one| one.object.as_str().starts_with("keys/")).count();
    assert!(looks_wrong >= 2, "{:?}", repaired.plan);
    assert!(repaired.marks.unwrap().removed.is_empty());
    assert_eq!(sealed(&hurt), before);
    // One that is rotten stays, too; its card goes, so that its writer makes another key.
    let (name, bytes) = before.iter().find(|(name, _)| name.as_str().starts_with("keys/")).unwrap();
    let mut rotten = bytes.clone();
    *rotten.last_mut().unwrap() ^= 1;
    hurt.replace(name, &rotten);
    let Some(Place::Key(_, writer, key)) = place(name) else { panic!("{name}") };
    let card = object_names::card(&writer, key).unwrap();
    let marks = repair(&whole, &hurt, None).unwrap().marks.unwrap();
    assert_eq!(marks.removed, std::slice::from_ref(&card));
    assert_eq!(hurt.read(name, Bytes::mib(1)).unwrap(), rotten);
    assert!(hurt.stat(&card).unwrap().is_none());
}

/// A writer that was broken into says of others' packs that they have another length, and of their snapshots that they are
/// others: nothing of theirs is damaged for that, nothing is put anew, and what is lost of theirs still heals.
#[test]
fn no_ledger_makes_damage_of_what_others_put() {
    let whole = whole();
    let world = &whole.world;
    let (signing, card) = (SigningKey::from_seed([42; 32]), Identity::generate());
    world.enrol("w2", &signing.public(), &card, &["mail", "files"]);
    let before = names(&whole.store);
    let state = scratch();
    let snapshots: Vec<ObjectName> = ["mail", "files"]
        .into_iter()
        .map(|component| {
            let text = signing.to_openssh().unwrap();
            let credentials = Credentials {
                writer: label("w2"),
                signing: SigningKey::from_openssh(text.as_bytes()).unwrap(),
                card: lifeboat_tests::copy(&card),
            };
            let (component, state) = (label(component), state.path().join(component));
            let job = Job { component, state, ..world.job() };
            let (clock, entropy) = (&SystemClock, &SystemEntropy);
            lifeboat_backup::run(&world.repository(), credentials, &job, clock, entropy, &Silent)
                .unwrap()
                .snapshot
        })
        .collect();
    let packs: Vec<ObjectName> = names(&whole.store)
        .into_iter()
        .filter(|name| name.as_str().starts_with("packs/") && !before.contains(name))
        .collect();
    let mut forger = Forger::new(world, "acme");
    forger.put_run();
    for pack in &packs {
        let Some(Place::Pack(id)) = place(pack) else { panic!("{pack}") };
        let length = whole.store.stat(pack).unwrap().unwrap().length;
        forger.claim(Recorded(pack.clone(), ObjectHash::from_bytes(*id.as_bytes()), Bytes(length.0 + 1)));
    }
    for name in &snapshots {
        forger.claim(Recorded(name.clone(), ObjectHash::from_bytes([7; 32]), Bytes(7)));
    }
    forger.record(world);
    assert!(!packs.is_empty());
    let verdict = world.verify(&(Arc::new(whole.store.clone()) as Arc<dyn Store>));
    let damage = verdict.findings.iter().filter(|one| one.severity == Severity::Damage);
    let damage: Vec<String> = damage.map(|one| one.object.to_string()).collect();
    assert!(
        !damage.is_empty() && damage.iter().all(|one| one.starts_with("ledger/")),
        "{:#?}",
        verdict.findings
    );
    // Repair acts on none of it.
    let hurt = whole.store.fork();
    let listed = hurt.list("").unwrap();
    let repaired = repair(&whole, &hurt, Some(&whole.store)).unwrap();
    assert_eq!(repaired.plan.healed().count(), 0, "{:?}", repaired.plan);
    assert!(repaired.marked.is_none(), "{:?}", repaired.marks);
    assert_eq!(hurt.list("").unwrap(), listed);
    // What is really gone heals.
    for name in packs.iter().chain(&snapshots) {
        let hurt = harm(&whole.store, name, true);
        let repaired = repair(&whole, &hurt, Some(&whole.store)).unwrap();
        assert!(repaired.plan.healed().any(|one| one.object == *name), "{name}: {:?}", repaired.plan);
        assert_eq!(
            hurt.read(name, Bytes::mib(64)).unwrap(),
            whole.store.read(name, Bytes::mib(64)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_healed_pack_keeps_its_class() {
    let whole = whole();
    let (state, before) = (scratch(), names(&whole.store));
    write(&whole.world.source(), "tenants/acme/short", &noise(9, 90_000));
    let job = Job { lock: LockClass::Short, state: state.path().to_owned(), ..whole.world.job() };
    whole.world.run(Arc::new(whole.store.clone()), &job, &SystemClock, &Silent).unwrap();
    for name in names(&whole.store).iter().filter(|name| name.as_str().starts_with("packs/")) {
        let class = if before.contains(name) { LockClass::Normal } else { LockClass::Short };
        assert_eq!(whole.store.class_of(name), Some(class));
        let hurt = harm(&whole.store, name, true);
        repair(&whole, &hurt, Some(&whole.store)).unwrap();
        assert_eq!(hurt.class_of(name), Some(class), "{name}");
    }
}
