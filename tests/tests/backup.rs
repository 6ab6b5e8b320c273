//! Backups: what they store, and what they leave alone.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lifeboat_backup::{BackupErrorKind, ProblemKind};
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::format::snapshot::Status;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, write};

#[test]
fn a_name_that_no_tenant_can_have_is_told_however_often() {
    let world = World::new();
    for path in ["tenants/acme/a", "tenants/Acme/a", "tenants/Acme/below/b", "tenants/bob@example.com/b"] {
        write(&world.source(), path, path.as_bytes());
    }
    for _ in 0..2 {
        let report = world.backup().unwrap();
        let told: Vec<_> = report.problems.named.iter().map(|one| (one.kind, one.path.as_slice())).collect();
        let misnamed = |path: &'static [u8]| (ProblemKind::Misnamed, path);
        assert_eq!(told, [misnamed(b"tenants/Acme"), misnamed(b"tenants/bob@example.com")]);
        assert_eq!((report.status, report.counts.undeclared, report.tenants), (Status::Partial, 2, 2));
    }
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert!(target.join("tenants/Acme/below/b").exists(), "it is kept all the same");
}

/// Asks to stop once it was asked so often whether to.
struct Impatient(AtomicUsize, usize);

impl Observer for Impatient {
    fn tell(&self, _: Event) {}

    fn cancelled(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) >= self.1
    }
}

#[test]
fn a_backup_stops_inside_a_large_file() {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    write(&world.source(), "large", &noise(1, 64 << 20));
    let stored = || memory.list("packs/").unwrap().iter().map(|pack| pack.length.0).sum::<u64>();
    // The walk has ended long before: it has one file to tell of.
    let observer = Impatient(AtomicUsize::new(0), 6);
    let error = world.run(Arc::clone(&world.store), &world.job(), &SystemClock, &observer).unwrap_err();
    assert!(matches!(error.kind, BackupErrorKind::Interrupted), "{error}");
    assert!(memory.list("snapshots/").unwrap().is_empty());
    assert!((1..40 << 20).contains(&stored()), "{}", stored());
    let before = stored();
    let report = world.backup().unwrap();
    assert_eq!((report.status, report.counts.files), (Status::Complete, 1));
    assert!(report.stored.0 + before < 66 << 20, "what was stored is not stored again: {}", report.stored);
    let target = scratch();
    world.restore(target.path()).unwrap();
    assert_eq!(std::fs::read(target.path().join("large")).unwrap(), noise(1, 64 << 20));
}

#[test]
fn an_unchanged_tree_stores_nothing_anew() {
    let world = World::new();
    for tenant in ["acme", "beta"] {
        for number in 0..50 {
            write(
                &world.source(),
                &format!("tenants/{tenant}/d{}/f{number}", number % 7),
                format!("{tenant} {number}").repeat(100).as_bytes(),
            );
        }
    }
    let big: Vec<u8> = (0..5_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    write(&world.source(), "shared/big", &big);
    let first = world.backup().unwrap();
    assert_eq!(first.tenants, 3);
    assert_eq!(first.counts.files, 101);
    assert!(first.stored.0 > 1_000_000, "{first:?}");
    let second = world.backup().unwrap();
    assert_eq!(second.parent, Some(first.run));
    assert_eq!(second.counts, first.counts);
    assert_eq!((second.packs, second.stored.0), (0, 0), "{second:?}");
    std::fs::remove_dir_all(world.dir.path().join("state")).unwrap();
    let third = world.backup().unwrap();
    assert_eq!((third.packs, third.parent), (0, None), "without state everything is read and found again");
}
