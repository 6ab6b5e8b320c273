//! Everything that a file system says of a file comes back, and whatever did not would be seen.

#![cfg(test)]

use std::path::Path;

use lifeboat_restore::report::Status;
use lifeboat_tests::World;
use lifeboat_tests::compare::{assert_equal, listing, rsync};
use lifeboat_tests::trees::{self, Room};

/// Backs up, restores, compares by both comparers; twice, the second time from what the first remembered.
fn comes_back(world: &World) {
    let source = listing(&world.source());
    for turn in ["first", "second"] {
        let report = world.backup().unwrap();
        assert_eq!(report.problems.named, [], "{turn}");
        let target = world.dir.path().join(turn);
        let report = world.restore(&target).unwrap();
        assert_eq!((report.status(), &report.findings[..]), (Status::Complete, [].as_slice()), "{turn}");
        assert_equal(&source, &listing(&target));
        assert_eq!(rsync(&world.source(), &target), "", "{turn}");
    }
}

/// A world in memory: tmpfs allows attributes and times that ext4 does not.
fn world_in_memory() -> World {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    world_in(dir)
}

fn world_in(dir: tempfile::TempDir) -> World {
    let store = lifeboat_repo::store::local::LocalStore::create_at(&dir.path().join("repository")).unwrap();
    World::over(std::sync::Arc::new(store), dir)
}

fn is_root() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
}

#[test]
fn everything_comes_back_on_disk() {
    is_root();
    let world = World::new();
    trees::everything(&world.source(), Room::Block);
    comes_back(&world);
}

#[test]
fn everything_comes_back_in_memory() {
    is_root();
    let world = world_in_memory();
    trees::everything(&world.source(), Room::Wide);
    comes_back(&world);
}

fn _unused(_: &Path) {}
