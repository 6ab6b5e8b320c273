//! What a host keeps between backups is a cache: it saves work, and nothing is ever lost or wrong for want of it.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::Report;
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::store::faulty::{FaultyStore, Operation};
use lifeboat_tests::examine::look_readback;
use lifeboat_tests::proof::Ahead;
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, compare, write};

fn hours(count: u64) -> Ahead {
    Ahead(Duration::from_secs(count * 3600))
}

/// Enough files for several chunks, of two tenants.
fn fill(world: &World) {
    for number in 0..60_u64 {
        write(&world.source(), &format!("tenants/acme/{number}"), &noise(number, 40_000));
        write(&world.source(), &format!("shared/{number}"), &noise(1000 + number, 3_000));
    }
}

fn change(world: &World, night: u64) {
    write(&world.source(), &format!("tenants/acme/new {night}"), &noise(7_000 + night, 5_000));
}

/// A backup, and the index objects that it read.
fn backup(world: &World) -> (Report, usize) {
    backup_at(world, &SystemClock)
}

fn backup_at(world: &World, clock: &dyn Clock) -> (Report, usize) {
    let store = Arc::new(FaultyStore::new(Arc::clone(&world.store)));
    let report = world.run(store.clone(), &world.job(), clock, &Silent).unwrap();
    let log = store.log();
    let reads = log.iter().filter(|call| matches!(call.operation, Operation::Read | Operation::ReadRange));
    let indexes = reads.filter(|call| call.subject.starts_with("index/")).count();
    (report, indexes)
}

fn comes_back(world: &World, name: &str) {
    let target = world.dir.path().join(name);
    world.restore(&target).unwrap();
    compare::assert_same(&world.source(), &target);
}

/// The file of this name in the state of the only component.
fn kept(world: &World, name: &str) -> PathBuf {
    fn find(dir: &Path, name: &str) -> Option<PathBuf> {
        fs::read_dir(dir).unwrap().flatten().find_map(|entry| match entry.path() {
            path if path.is_dir() => find(&path, name),
            path => (entry.file_name() == name).then_some(path),
        })
    }
    find(&world.job().state, name).unwrap()
}

#[test]
fn a_night_with_changes_reads_no_index_it_has_seen() {
    let world = World::new();
    fill(&world);
    assert_eq!(backup(&world).1, 0, "there is none yet");
    for night in 0..4 {
        change(&world, night);
        // What is known already is stored no more: a copy of an old file costs nothing.
        fs::copy(
            world.source().join("tenants/acme/1"),
            world.source().join(format!("tenants/acme/copy {night}")),
        )
        .unwrap();
        let (report, indexes) = backup(&world);
        assert_eq!((report.packs, indexes), (1, 0), "night {night}");
        assert!(report.stored.0 < 30_000, "{} are stored anew", report.stored);
    }
    comes_back(&world, "target");
}

#[test]
fn a_table_that_is_lost_or_damaged_is_made_anew() {
    for spoil in [
        (|path: &Path| fs::remove_file(path).unwrap()) as fn(&Path),
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ] {
        let world = World::new();
        fill(&world);
        backup(&world);
        spoil(&kept(&world, "chunks"));
        change(&world, 0);
        let (report, indexes) = backup(&world);
        assert_eq!(indexes, 1, "the index is read instead");
        assert!(report.stored.0 < 30_000, "{} are stored anew", report.stored);
        change(&world, 1);
        assert_eq!(backup(&world).1, 0, "and kept again");
        comes_back(&world, "target");
    }
}

#[test]
fn what_is_gone_from_the_store_is_stored_again_whatever_the_host_remembers() {
    // Without an index object nobody finds its segments; without a pack, or with one cut short, they are not there.
    let index = |world: &World| world.dir.path().join("repository/index");
    let packs = |world: &World| world.dir.path().join("repository/packs");
    let cut = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    type Place = fn(&World) -> PathBuf;
    type Spoil = fn(&Path);
    let places: [(Place, Spoil); 3] = [(index, remove), (packs, remove), (packs, cut)];
    for (place, spoil) in places {
        let world = World::new();
        fill(&world);
        let (first, _) = backup(&world);
        files_below(&place(&world)).iter().for_each(|path| spoil(path));
        change(&world, 0);
        let (second, _) = backup(&world);
        assert!(second.stored >= first.stored, "{} after {}", second.stored, first.stored);
        comes_back(&world, "target");
    }
}

/// Nobody finds what only a damaged index object names, so it is stored again, and no snapshot relies on it.
#[test]
fn what_a_damaged_index_object_knew_is_stored_again() {
    let damage = |path: &PathBuf| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    // The host remembers all, or nothing, or it remembers the walk and must read the index.
    for (remembered, again) in [(vec!["last", "chunks"], false), (vec![], true), (vec!["last"], true)] {
        let world = World::new();
        fill(&world);
        let (first, _) = backup(&world);
        files_below(&world.dir.path().join("repository/index")).iter().for_each(damage);
        for name in ["last", "chunks"].iter().filter(|name| !remembered.contains(name)) {
            fs::remove_file(kept(&world, name)).unwrap();
        }
        change(&world, 0);
        let told = Told::default();
        let second = world.run(Arc::clone(&world.store), &world.job(), &SystemClock, &told).unwrap();
        assert_eq!(second.status, Status::Complete, "{remembered:?}");
        let warnings = told.warnings.into_inner().unwrap();
        if again {
            assert!(second.stored >= first.stored, "{} after {}", second.stored, first.stored);
            assert!(warnings.iter().any(|warning| warning.contains("index/")), "{warnings:?}");
            comes_back(&world, "target");
            // And the night after costs what a night costs.
            change(&world, 1);
            assert!(backup(&world).0.stored.0 < 30_000);
            comes_back(&world, "second target");
        } else {
            // Nothing was read: that is for `verify` to find, which must.
            let report = look_readback(&world, &world.store);
            assert!(format!("{report:?}").contains("index/"), "{report:?}");
        }
    }
}

#[derive(Default)]
struct Told {
    warnings: Mutex<Vec<String>>,
}

impl Observer for Told {
    fn tell(&self, event: Event) {
        if let Event::Warning(warning) = event {
            self.warnings.lock().unwrap().push(warning);
        }
    }
}

/// What is younger than the last backup may have changed again within one tick of a file system's clock.
#[test]
fn what_changed_just_before_a_backup_is_read_again_by_the_next() {
    let world = World::new();
    fill(&world);
    // Reading anew asks the table of chunks, which is then kept anew.
    let table = |world: &World| fs::metadata(kept(world, "chunks")).unwrap().ino();
    backup(&world);
    let before = table(&world);
    backup(&world);
    assert_ne!(table(&world), before, "the files were written just before the first backup");
    backup_at(&world, &hours(1));
    let before = table(&world);
    backup_at(&world, &hours(2));
    assert_eq!(table(&world), before, "nothing is younger than the backup before");
    write(&world.source(), "shared/5", &noise(5, 3_000));
    backup_at(&world, &hours(3));
    let before = (before, table(&world));
    assert_ne!(before.0, before.1, "another content of the same length");
    backup_at(&world, &hours(4));
    assert_eq!(table(&world), before.1, "and nothing around it is forgotten");
    comes_back(&world, "target");
}

/// Entries are referred to while segments that others need are gone: what each needs is told right all the same.
#[test]
fn segments_that_are_gone_do_not_confuse_what_entries_need() {
    let world = World::new();
    let packs = |world: &World| files_below(&world.dir.path().join("repository/packs"));
    fill(&world);
    backup_at(&world, &hours(1));
    let first = packs(&world);
    for number in 0..60_u64 {
        write(&world.source(), &format!("tenants/beta/{number}"), &noise(5_000 + number, 40_000));
    }
    // So much that the walk after it is written whole, and counts the segments of both.
    for night in 2..5 {
        backup_at(&world, &hours(night));
    }
    first.iter().for_each(|path| fs::remove_file(path).unwrap());
    let damage = |world: &World| -> Vec<String> {
        look_readback(world, &world.store).damage().map(ToString::to_string).collect()
    };
    // What was lost is lost for the snapshots before, and for these alone.
    let lost = damage(&world);
    assert!(!lost.is_empty());
    for night in 5..9 {
        change(&world, night);
        backup_at(&world, &hours(night));
        comes_back(&world, &format!("target {night}"));
        assert_eq!(damage(&world), lost, "night {night}");
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files_below(&path)),
            path => found.push(path),
        }
    }
    found
}

/// A writer of very many chunks has its table on disk; it deduplicates just so, and whatever becomes of that file, too.
#[test]
fn a_table_on_disk_saves_the_same_and_may_be_lost() {
    lifeboat_backup::testing::keep_tables_on_disk_from(40);
    let world = World::new();
    fill(&world);
    backup(&world);
    for night in 0..7 {
        change(&world, night);
        let copy = format!("tenants/acme/copy {night}");
        fs::copy(world.source().join("tenants/acme/1"), world.source().join(copy)).unwrap();
        let spoilt = match night {
            // Built from index objects, the packs of one gone, so that its chunks must not be relied on.
            3 => {
                fs::remove_file(kept(&world, "shelf")).unwrap();
                true
            }
            4 => {
                let path = kept(&world, "shelf");
                let mut bytes = fs::read(&path).unwrap();
                bytes[5000] ^= 1;
                fs::write(path, bytes).unwrap();
                false
            }
            5 => true,
            _ => false,
        };
        let (report, indexes) = backup(&world);
        assert_eq!(indexes > 0, spoilt, "night {night}: {indexes} index objects were read");
        // Damage is met in the middle: what is not found then is stored once more.
        let most = if night == 4 { 3_000_000 } else { 30_000 };
        assert!(report.stored.0 < most, "night {night}: {} are stored anew", report.stored);
        let shelf = world.job().state;
        assert_eq!(has(&shelf, "shelf"), night != 4, "night {night}");
        assert!(
            !has(&shelf, "chunks") && !has(&shelf, "shelf.new") && !has(&shelf, "built"),
            "night {night}"
        );
    }
    comes_back(&world, "target");
}

fn has(dir: &Path, name: &str) -> bool {
    fs::read_dir(dir).unwrap().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => has(&path, name),
        _ => entry.file_name() == name,
    })
}
