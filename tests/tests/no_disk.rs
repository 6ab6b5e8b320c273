//! Hosts without a disk: the repository keeps what they remember, and nothing is wrong or lost for want of it.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::{Job, Report};
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::state::superseded;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::{FaultyStore, Operation};
use lifeboat_repo::store::s3::{Locks, S3Settings, S3Store};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::Seaweed;
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, compare, write};

const FILES: u64 = 120;

fn fill(world: &World) {
    for number in 0..FILES {
        write(&world.source(), &format!("tenants/acme/{number}"), &noise(number, 20_000));
        write(&world.source(), &format!("shared/{number}"), &noise(1000 + number, 3_000));
    }
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn tell(&self, event: Event) {
        if let Event::Warning(warning) = event {
            self.0.lock().unwrap().push(warning);
        }
    }
}

/// What a night cost: operations on the store, bytes read from it.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    operations: u64,
    read: Bytes,
}

struct Night {
    report: Report,
    cost: Cost,
    warnings: Vec<String>,
}

/// A backup from a directory of state that may be new.
fn night(world: &World, state: &Path, in_repository: bool) -> Night {
    let store = Arc::new(FaultyStore::new(Arc::clone(&world.store)));
    let job = Job { state: state.to_owned(), state_in_repository: in_repository, ..world.job() };
    let warnings = Warnings::default();
    let report = world.run(store.clone(), &job, &SystemClock, &warnings).unwrap();
    let log = store.log();
    let read = log.iter().filter(|call| matches!(call.operation, Operation::Read)).map(|call| {
        let name: ObjectName = call.subject.parse().unwrap();
        world.store.stat(&name).unwrap().map_or(Bytes::ZERO, |listed| listed.length)
    });
    let cost = Cost { operations: store.operations(), read: read.sum() };
    Night { report, cost, warnings: warnings.0.into_inner().unwrap() }
}

/// A backup on a host that was never seen before and will be gone after it.
fn fresh(world: &World) -> Night {
    let host = scratch();
    night(world, host.path(), true)
}

fn states(world: &World) -> Vec<ObjectName> {
    world.store.list("state/").unwrap().into_iter().map(|listed| listed.name).collect()
}

fn comes_back(world: &World, name: &str) {
    let target = world.dir.path().join(name);
    world.restore(&target).unwrap();
    compare::assert_same(&world.source(), &target);
}

fn an_unchanged_night(world: &World) {
    fill(world);
    let (disk, first) = (scratch(), fresh(world));
    assert!(first.report.parent.is_none() && first.warnings.is_empty(), "{:?}", first.warnings);
    // A host with a disk, beside it: its second night is what ours is compared with.
    night(world, disk.path(), false);
    let kept = night(world, disk.path(), false);
    let ours = fresh(world);
    assert_eq!(ours.warnings, Vec::<String>::new());
    assert_eq!((ours.report.packs, ours.report.stored), (0, Bytes::ZERO), "nothing is stored anew");
    assert_eq!(ours.report.parent, Some(first.report.run), "it is compared with what the first night left");
    let state: Bytes = world.store.list("state/").unwrap().iter().map(|listed| listed.length).sum();
    println!(
        "{}: {FILES} × 2 files unchanged; with a disk {} operations, {} read; without {} operations, {} read; {} of state",
        world.store.location(),
        kept.cost.operations,
        kept.cost.read,
        ours.cost.operations,
        ours.cost.read,
        state,
    );
    // Looking what there is, fetching it, putting the next. The run objects that are looked at differ by night.
    assert!(ours.cost.operations <= kept.cost.operations + 8, "{:?} beside {:?}", ours.cost, kept.cost);
    assert!(ours.cost.read < kept.cost.read + Bytes::kib(64), "{:?} beside {:?}", ours.cost, kept.cost);
    write(&world.source(), "tenants/acme/3", b"changed");
    let changed = fresh(world);
    assert!(changed.report.stored < Bytes::kib(40), "{} are stored anew", changed.report.stored);
    comes_back(world, "target");
    // Who cleans up keeps the newest; the next night does not miss the others.
    let listed = world.store.list("state/").unwrap();
    let old = superseded(&listed);
    assert_eq!((listed.len(), old.len()), (3, 2));
    for name in &old {
        assert!(world.store.delete(name).unwrap(), "{name} is not locked");
    }
    assert_eq!(fresh(world).report.parent, Some(changed.report.run));
    world.verify(&world.store).assert_passed("with state");
}

#[test]
fn an_unchanged_night_costs_a_fresh_host_little() {
    an_unchanged_night(&World::new());
}

#[test]
fn an_unchanged_night_costs_a_fresh_host_little_over_s3() {
    let server = Seaweed::start();
    server.make_bucket("bucket", true);
    let locks = Locks { normal: Some(Duration::from_secs(3600)), ..Locks::default() };
    let settings = S3Settings { locks, ..server.settings("bucket", "r") };
    an_unchanged_night(&World::over(Arc::new(S3Store::open(settings).unwrap()), scratch()));
}

/// Whatever becomes of the state, the snapshot is what the source is, and what could not be used is told.
#[test]
fn state_that_is_old_swapped_damaged_or_foreign_leads_to_no_wrong_snapshot() {
    let world = World::new();
    fill(&world);
    let path = |name: &ObjectName| world.dir.path().join("repository").join(name.as_str());
    let newest = || path(states(&world).last().unwrap());
    let oldest = || path(&states(&world)[0]);
    let thief = SigningKey::from_seed([9; 32]);
    let other = Identity::generate();
    world.enrol("w2", &thief.public(), &other, &["files"]);
    let foreign = || {
        let host = scratch();
        let repository = world.repository();
        let text = thief.to_openssh().unwrap();
        let credentials = lifeboat_repo::repository::agent::Credentials {
            writer: lifeboat_tests::label("w2"),
            signing: SigningKey::from_openssh(text.as_bytes()).unwrap(),
            card: lifeboat_tests::copy(&other),
        };
        let job = Job { state: host.path().to_owned(), state_in_repository: true, ..world.job() };
        let entropy = lifeboat_repo::clock::SystemEntropy;
        lifeboat_backup::run(&repository, credentials, &job, &SystemClock, &entropy, &Warnings::default())
            .unwrap();
    };
    type Spoil<'s> = Box<dyn Fn() + 's>;
    let edit = |path: PathBuf, how: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(&path).unwrap();
        how(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    let cases: Vec<(&str, Option<&str>, bool, Spoil<'_>)> = vec![
        // Name, what is told, whether the night still has something to compare with.
        ("rolled back", None, true, Box::new(|| fs::remove_file(newest()).unwrap())),
        (
            "swapped",
            Some("not under this name"),
            false,
            Box::new(|| fs::write(newest(), fs::read(oldest()).unwrap()).unwrap()),
        ),
        (
            "flipped",
            Some("is not used"),
            false,
            Box::new(|| {
                edit(newest(), &|bytes| {
                    let at = bytes.len() - 9;
                    bytes[at] ^= 1;
                })
            }),
        ),
        (
            "cut",
            Some("is not used"),
            false,
            Box::new(|| edit(newest(), &|bytes| bytes.truncate(bytes.len() / 2))),
        ),
        (
            "gone",
            None,
            false,
            Box::new(|| {
                for name in states(&world) {
                    fs::remove_file(path(&name)).unwrap()
                }
            }),
        ),
        ("foreign", Some("writer:w2 left it"), false, Box::new(foreign)),
    ];
    fresh(&world);
    for (at, (what, told, compared, spoil)) in (0_u64..).zip(cases) {
        write(&world.source(), "tenants/acme/5", &noise(500 + at, 20_000));
        write(&world.source(), &format!("tenants/acme/new {at}"), b"one more");
        assert_eq!(fresh(&world).warnings, Vec::<String>::new(), "before {what}");
        // Same name, same length: only a reader finds the difference.
        write(&world.source(), "tenants/acme/5", &noise(600 + at, 20_000));
        fs::remove_file(world.source().join(format!("shared/{at}"))).unwrap();
        spoil();
        let night = fresh(&world);
        assert_eq!(night.report.parent.is_some(), compared, "{what}");
        match told {
            None => assert_eq!(night.warnings, Vec::<String>::new(), "{what}"),
            Some(told) => assert!(
                night.warnings.len() == 1 && night.warnings[0].contains(told),
                "{what}: {:?}",
                night.warnings
            ),
        }
        comes_back(&world, &format!("target {at}"));
        assert_eq!(
            fresh(&world).report.parent,
            Some(night.report.run),
            "the state after {what} is good again"
        );
    }
}

/// A store that takes no state still takes snapshots, and the host says what it lacks.
#[test]
fn who_cannot_keep_state_is_told_and_backs_up() {
    let world = World::new();
    fill(&world);
    fs::write(world.dir.path().join("repository/state"), b"in the way").unwrap();
    let night = fresh(&world);
    assert!(night.report.parent.is_none());
    let put = |warning: &String| warning.starts_with("the repository keeps no state of this run: ");
    assert_eq!(night.warnings.iter().filter(|warning| put(warning)).count(), 1, "{:?}", night.warnings);
    comes_back(&world, "target");
}
