//! Segments that a maintainer moved to other packs: every reader finds them, and writers go on deduplicating into them.

#![cfg(test)]

use std::ffi::OsStr;
use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::index::SegmentLine;
use lifeboat_repo::format::names;
use lifeboat_repo::format::records::{Recorded, Task};
use lifeboat_repo::ids::{ObjectName, PackId, SegmentId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::index;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::pack::PackBuilder;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::faulty::{FaultyStore, Operation};
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::Bytes;
use lifeboat_restore::{Choice, Options, Selection, choose, perform, plan};
use lifeboat_tests::examine::{
    judge_restore, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::stock::{Safe, Toolbox};
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, label, write};
use lifeboat_verify::Threads;
use lifeboat_verify::heal;

/// A world with a maintainer, and two snapshots of content that does not compress.
fn world() -> (World, Arc<Credentials>) {
    let world = World::over_memory_disk();
    let maintainer = world.maintainer("m1", 71);
    let source = world.source();
    write(&source, "shared/readme", b"what belongs to nobody");
    write(&source, "tenants/acme/photo", &noise(1, 400_000));
    write(&source, "tenants/beta/x", b"x of beta");
    world.backup().unwrap();
    write(&source, "tenants/acme/later", &noise(2, 300_000));
    world.backup().unwrap();
    (world, maintainer)
}

/// Every line of the writer's index.
fn lines(world: &World) -> Vec<SegmentLine> {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let names = index::names_of(&repository, &label("w1")).unwrap();
    names
        .iter()
        .flat_map(|name| index::read(&repository, recovery.catalog(), name).unwrap().segments)
        .collect()
}

/// Copies every segment of the writer's packs into one new pack, tells where, and gives that pack's id.
fn copy_all(world: &World, credentials: &Arc<Credentials>) -> PackId {
    let repository = world.repository();
    let maintainer =
        Maintainer::open(&repository, Arc::clone(credentials), &SystemClock, &SystemEntropy).unwrap();
    let mut run = maintainer.begin(Task::Maintain).unwrap();
    let mut builder = PackBuilder::begin(repository.store()).unwrap();
    for line in lines(world) {
        let mut bytes = Vec::new();
        let pack = names::pack(line.pack.unwrap()).unwrap();
        repository.store().read_range(&pack, line.offset, line.length, &mut bytes).unwrap();
        builder.append(&bytes, line).unwrap();
    }
    let staged = builder.finish(maintainer.catalog(), maintainer.name(), run.id()).unwrap();
    run.record(Recorded(staged.name.clone(), staged.hash(), staged.pack.1));
    let places: Vec<SegmentLine> =
        staged.segments.into_iter().map(|line| SegmentLine { chunks: Vec::new(), ..line }).collect();
    run.put_index(&[staged.pack], places).unwrap();
    run.finish().unwrap();
    staged.pack.0
}

fn put_gc(world: &World, credentials: &Arc<Credentials>, draft: &GcDraft) {
    let repository = world.repository();
    let maintainer =
        Maintainer::open(&repository, Arc::clone(credentials), &SystemClock, &SystemEntropy).unwrap();
    maintainer.put_gc(draft).unwrap();
}

fn packs(world: &World) -> Vec<PackId> {
    let listed = world.store.list("packs/").unwrap();
    listed.iter().map(|object| object.name.last().parse().unwrap()).collect()
}

fn delete(world: &World, packs: &[PackId]) {
    for pack in packs {
        world.store.delete(&names::pack(*pack).unwrap()).unwrap();
    }
}

/// What the three levels and a restore of a snapshot say.
fn look(world: &World, snapshot: Option<&ObjectName>) -> [&'static str; 4] {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let (dir, expected) = (scratch(), tree(&world.source()));
    let target = dir.path().join("target");
    let run = snapshot.map(|name| name.last().parse().unwrap());
    let outcome = restore(world, &world.store, &label("files"), run, &target);
    let mut restored = judge_restore(&outcome, &target, &expected);
    if outcome.as_ref().is_ok_and(|report| !report.losses.is_empty()) {
        restored = "partial";
    }
    [
        look_integrity(world, &world.store).word("packs/"),
        look_inventory(world, &world.store, recovery.catalog()).word("packs/"),
        look_readback(world, &world.store).word("packs/"),
        restored,
    ]
}

#[test]
fn what_was_moved_is_found_by_every_reader_and_goes_on_being_used() {
    let (world, maintainer) = world();
    let old = packs(&world);
    // A restore that was planned before anything moved.
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
    let chosen = choose(&listed, &label("files"), Choice::Latest).unwrap();
    let planned = plan(&recovery, chosen.snapshot, &Selection::default(), &Silent).unwrap();
    let new = copy_all(&world, &maintainer);
    put_gc(&world, &maintainer, &GcDraft { packs: old.clone(), ..GcDraft::default() });
    assert_eq!(look(&world, None), ["-", "-", "-", "exact"], "condemned and still there");
    delete(&world, &old);
    assert_eq!(look(&world, None), ["-", "-", "-", "exact"]);
    let dir = scratch();
    let target = dir.path().join("planned before");
    let outcome = perform(repository.store(), &planned, &target, &Options::default(), &Silent);
    assert_eq!(judge_restore(&outcome.map_err(|e| panic!("{e}")), &target, &tree(&world.source())), "exact");

    // The walk of last time, the table of chunks and an empty host all know the new places.
    let report = world.backup().unwrap();
    assert!(report.stored < Bytes::kib(20), "{report:?}");
    write(&world.source(), "tenants/acme/copy of photo", &noise(1, 400_000));
    let report = world.backup().unwrap();
    assert!(report.stored < Bytes::kib(20), "{report:?}");
    std::fs::remove_dir_all(world.dir.path().join("state")).unwrap();
    let report = world.backup().unwrap();
    assert!(report.stored < Bytes::kib(20), "{report:?}");
    assert!(packs(&world).contains(&new));
    assert_eq!(look(&world, None), ["-", "-", "-", "exact"]);
    with_stock_tools(&world);
}

/// break-glass restores the newest snapshot, and check-signatures finds nothing wrong.
fn with_stock_tools(world: &World) {
    let (tools, safe) = (Toolbox::new(), Safe::new(world));
    drop(tools.script("scripts/check-signatures", safe.papers()).done());
    let target = world.dir.path().join("by hand");
    let mut args = safe.papers();
    args.extend(["--component", "files", "--identity"].map(OsStr::new));
    args.extend([safe.identity.as_os_str(), OsStr::new("--target"), target.as_os_str()]);
    drop(tools.script("scripts/break-glass", args).done());
    assert_eq!(tree(&target), tree(&world.source()));
}

#[test]
fn what_is_lost_is_stored_again_and_heals_older_snapshots_too() {
    let (world, maintainer) = world();
    let gone: Vec<PackId> = packs(&world);
    let segments: Vec<SegmentId> = lines(&world).iter().map(|line| line.segment).collect();
    let listed = world.store.list("snapshots/files/").unwrap();
    let older = listed.last().unwrap().name.clone();
    delete(&world, &gone);
    assert_eq!(look(&world, None)[..3], ["named", "named", "named"]);
    put_gc(&world, &maintainer, &GcDraft { packs: gone, lost: segments, ..GcDraft::default() });
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let inventory = look_inventory(&world, &world.store, recovery.catalog());
    let told = inventory.damage().find(|finding| finding.what.contains("gc/00000000")).unwrap();
    assert!(told.affects.iter().any(|hit| hit.snapshot == older), "{told}");
    // The local walk notices what it relied on, and reads those files anew.
    let report = world.backup().unwrap();
    assert!(report.stored > Bytes(700_000), "{report:?}");
    assert_eq!(look(&world, None)[3], "exact");
    assert_eq!(look(&world, Some(&older))[3], "exact", "the content of an older one is stored again");
}

#[test]
fn an_expired_snapshot_is_refused_with_the_record_that_expired_it() {
    let (world, maintainer) = world();
    let first = world.store.list("snapshots/files/").unwrap().remove(0).name;
    put_gc(&world, &maintainer, &GcDraft { snapshots: vec![first.clone()], ..GcDraft::default() });
    let run = first.last().parse().unwrap();
    let target = world.dir.path().join("target");
    let refused = restore(&world, &world.store, &label("files"), Some(run), &target).unwrap_err();
    assert!(refused.to_string().contains("gc/00000000"), "{refused}");
}

/// The segments of what no snapshot needs any more, their packs and their index object go; the last walk, which knew of
/// them all, is still good.
#[test]
fn a_condemned_index_object_may_be_gone_and_nothing_is_read_anew_for_it() {
    let (world, maintainer) = world();
    let source = world.source();
    write(&source, "tenants/beta/passing", &noise(3, 100_000));
    let second = world.backup().unwrap();
    std::fs::remove_file(source.join("tenants/beta/passing")).unwrap();
    let third = world.backup().unwrap();
    let index = world.store.list("index/w1/").unwrap();
    let dead = index.iter().find(|object| object.name.as_str().contains(&second.run.to_string())).unwrap();
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let packs: Vec<PackId> = index::read(&repository, recovery.catalog(), &dead.name)
        .unwrap()
        .header
        .packs
        .iter()
        .map(|p| p.0)
        .collect();
    let (snapshots, indexes) = (vec![second.snapshot], vec![dead.name.clone()]);
    put_gc(&world, &maintainer, &GcDraft { packs: packs.clone(), snapshots, indexes, ..GcDraft::default() });
    delete(&world, &packs);
    world.store.delete(&dead.name).unwrap();
    assert_eq!(look(&world, None), ["-", "-", "-", "exact"]);
    // The walk of last time is good, and for what is new so is the table of chunks.
    write(&source, "tenants/acme/copy of photo", &noise(1, 400_000));
    let watched = Arc::new(FaultyStore::new(Arc::clone(&world.store)));
    let shared: Arc<dyn Store> = Arc::clone(&watched) as _;
    let fourth = world.backup_over(shared).unwrap();
    assert_eq!(fourth.parent, Some(third.run), "not everything was read anew");
    assert!(fourth.stored < Bytes::kib(20), "{fourth:?}");
    let log = watched.log();
    let reads = log.iter().filter(|call| matches!(call.operation, Operation::Read | Operation::ReadRange));
    let read: Vec<&str> =
        reads.map(|call| call.subject.as_str()).filter(|name| name.starts_with("index/")).collect();
    assert!(read.iter().all(|name| name.starts_with("index/m1/")), "no index object was read: {read:?}");
    with_stock_tools(&world);
}

/// Where an index object tells places alone, the table of the pack tells the chunks.
#[test]
fn what_was_moved_is_read_back_once_its_writers_index_is_lost() {
    let (world, maintainer) = world();
    let old = packs(&world);
    copy_all(&world, &maintainer);
    put_gc(&world, &maintainer, &GcDraft { packs: old.clone(), ..GcDraft::default() });
    delete(&world, &old);
    for object in world.store.list("index/w1/").unwrap() {
        world.store.delete(&object.name).unwrap();
    }
    assert_eq!(look(&world, None)[3], "partial");
    let (here, pins) = (world.repository(), [world.officer.public()]);
    let plan = heal::plan_objects(&here, &[], &pins, &[], &SystemClock, Threads::ONE, &Silent).unwrap();
    let keeper = Maintainer::open(&here, maintainer, &SystemClock, &SystemEntropy).unwrap();
    let marks = heal::plan_marks(&here, keeper.catalog(), &plan, &[], false, &Silent).unwrap();
    assert_eq!((marks.indexes.len(), marks.read_back.len(), marks.lost.len()), (2, 1, 0), "{marks:?}");
    heal::put_marks(&keeper, &marks, &[]).unwrap();
    assert_eq!(look(&world, None)[3], "exact");
    let again = heal::plan_marks(&here, keeper.catalog(), &plan, &[], true, &Silent).unwrap();
    assert!(again.read_back.is_empty(), "once is enough: {again:?}");
}

/// Left by a run that was cut off before a ledger named it, and damaged since: the next run of its writer takes it over.
#[test]
fn what_no_ledger_names_and_is_damaged_is_repaired_too() {
    let (world, maintainer) = world();
    let run = world.store.list("runs/w1/").unwrap()[0].name.last().to_owned();
    let stray: ObjectName = format!("index/w1/{run}.00000009").parse().unwrap();
    assert_eq!(world.store.create(&stray, b"not an index").unwrap(), Created::New);
    let pack = "ab".repeat(32);
    let damaged: ObjectName = format!("packs/ab/{pack}").parse().unwrap();
    assert_eq!(world.store.create(&damaged, b"not that pack").unwrap(), Created::New);
    assert_eq!(look_readback(&world, &world.store).word(""), "named");
    let (here, pins) = (world.repository(), [world.officer.public()]);
    let plan = heal::plan_objects(&here, &[], &pins, &[], &SystemClock, Threads::ONE, &Silent).unwrap();
    let keeper = Maintainer::open(&here, maintainer, &SystemClock, &SystemEntropy).unwrap();
    let marks = heal::plan_marks(&here, keeper.catalog(), &plan, &[], false, &Silent).unwrap();
    assert_eq!((marks.indexes.as_slice(), marks.read_back.len()), (&[stray][..], 0));
    assert_eq!(marks.packs, [pack.parse().unwrap()], "a run would take it over");
    heal::put_marks(&keeper, &marks, &[]).unwrap();
    assert_eq!(look_readback(&world, &world.store).word(""), "-");
}
