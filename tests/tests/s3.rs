//! A repository in a bucket of a real S3 server.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::store::contract::{self, Outcome};
use lifeboat_repo::store::s3::{Bounds, Locks, S3Settings, S3Store};
use lifeboat_repo::store::{Created, Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::model::noise;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::{Rclone, Seaweed};
use lifeboat_tests::{World, write};

fn open(settings: S3Settings) -> Arc<dyn Store> {
    Arc::new(S3Store::open(settings).unwrap())
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

const LOCKED: Locks = Locks { normal: Some(Duration::from_secs(3600)) };

#[test]
fn a_bucket_keeps_the_contract() {
    let server = Seaweed::start();
    server.make_bucket("plain", false);
    server.make_bucket("locked", true);
    for settings in
        [server.settings("plain", "a/prefix"), S3Settings { locks: LOCKED, ..server.settings("locked", "") }]
    {
        let store = open(settings);
        let report = contract::check(store.as_ref(), &name("doctor/run"));
        assert!(report.passed(), "{}:\n{report}", store.location());
        assert_eq!(store.list("").unwrap(), []);
    }
    // A bucket without locks where locks are configured.
    let unlocked = open(S3Settings { locks: LOCKED, ..server.settings("plain", "") });
    let report = contract::check(unlocked.as_ref(), &name("doctor/run"));
    let failed: Vec<_> = report.checks.iter().filter(|check| check.outcome != Outcome::Passed).collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert!(failed[0].to_string().contains("must be made with Object Lock"), "{report}");
}

/// rclone answers 200 to conditions and locks and does nothing of the kind.
#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let server = Rclone::start("bucket");
    let store = open(S3Settings { locks: LOCKED, ..server.settings("bucket") });
    let report = contract::check(store.as_ref(), &name("doctor/run"));
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.outcome != Outcome::Passed)
        .map(|check| check.name)
        .collect();
    assert!(failed.contains(&"an object created is there, whole"), "{report}");
    // The first creation of whoever has not asked the doctor tells as well.
    let store = open(server.settings("bucket"));
    let error = store.create(&name("runs/w1/x"), b"something").unwrap_err();
    assert!(error.to_string().contains("accepts If-None-Match and ignores it"), "{error}");
}

#[test]
fn what_is_locked_stays_and_locks_only_grow() {
    let server = Seaweed::start();
    server.make_bucket("locked", true);
    let store = open(S3Settings { locks: LOCKED, ..server.settings("locked", "r") });
    let (pack, key) = (name("packs/00/0"), name("keys/s/w/k"));
    for name in [&pack, &key] {
        assert_eq!(store.create(name, b"content").unwrap(), Created::New);
    }
    let now = store.now().unwrap();
    let until = store.locked_until(&pack).unwrap().unwrap();
    let hour = until.since(now);
    assert!(hour > Duration::from_secs(3500) && hour <= Duration::from_secs(3601), "{hour:?}");
    let error = store.delete(&pack).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{error}");
    assert_eq!(store.read(&pack, Bytes(100)).unwrap(), b"content");
    // Longer is done, shorter is not needed and not done.
    let later = until.plus(Duration::from_secs(600));
    store.lock(&pack, later).unwrap();
    store.lock(&pack, until).unwrap();
    assert_eq!(store.locked_until(&pack).unwrap().unwrap().seconds(), later.seconds());
    // Keys are never locked: erasure must be able to remove them, and removes every version.
    assert_eq!(store.locked_until(&key).unwrap(), None);
    assert!(store.delete(&key).unwrap());
    assert!(!store.delete(&key).unwrap());
    assert_eq!(store.stat(&key).unwrap(), None);
}

/// Packs longer than a part go in parts: whole at their end or not at all, and once.
#[test]
fn a_long_object_is_put_in_parts() {
    let server = Seaweed::start();
    server.make_bucket("parts", false);
    let bounds = Bounds { part_size: Bytes::mib(5), ..Bounds::default() };
    let store = open(S3Settings { bounds, ..server.settings("parts", "") });
    let content = noise(1, 12 << 20);
    let pack = name("packs/00/0");
    store.stage(&pack, &content).unwrap();
    store.barrier().unwrap();
    assert_eq!(store.read(&pack, Bytes::mib(20)).unwrap(), content);
    assert_eq!(store.create(&pack, &noise(2, 11 << 20)).unwrap(), Created::Exists);
    assert_eq!(store.read(&pack, Bytes::mib(20)).unwrap(), content);
    let mut part = Vec::new();
    store.read_range(&pack, Bytes(6 << 20), Bytes(70_000), &mut part).unwrap();
    assert_eq!(part, content[6 << 20..][..70_000]);
}

#[test]
fn a_bucket_gives_back_what_was_backed_up() {
    let server = Seaweed::start();
    server.make_bucket("backup", true);
    let store = open(S3Settings { locks: LOCKED, ..server.settings("backup", "eu/fra") });
    let world = World::over(store, scratch());
    for tenant in ["acme", "globex"] {
        for at in 0..40 {
            let bytes = noise(at, usize::try_from(5_000 * at).unwrap());
            write(&world.source(), &format!("tenants/{tenant}/{at}"), &bytes);
        }
    }
    world.backup().unwrap();
    write(&world.source(), "tenants/acme/3", b"changed");
    std::fs::remove_file(world.source().join("tenants/globex/7")).unwrap();
    let report = world.backup().unwrap();
    assert!(report.stored < Bytes::kib(200), "the second stores what changed: {}", report.stored);
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    lifeboat_tests::compare::assert_same(&world.source(), &target);
    world.verify(&world.store).assert_passed("over S3");
}
