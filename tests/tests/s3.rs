//! A repository in a bucket of a real S3 server.

#![cfg(test)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::replicate::{Job, replicate};
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::repository::witness::{self, Depth, Freshness, Told};
use lifeboat_repo::repository::{Repository, bundles, erase, locks};
use lifeboat_repo::store::contract::{self, Outcome};
use lifeboat_repo::store::s3::{Bounds, Locks, S3Settings, S3Store, attack, set_policy};
use lifeboat_repo::store::{Created, Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::model::noise;
use lifeboat_tests::policies::documented;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::{Rclone, Role, Seaweed};
use lifeboat_tests::{World, write};

fn open(settings: S3Settings) -> Arc<dyn Store> {
    Arc::new(S3Store::open(settings).unwrap())
}

fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

const LOCKED: Locks = Locks { normal: Some(Duration::from_secs(3600)), short: None, floor: None };

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
    // Locks are tried by themselves: this server says yes to them, too.
    let probes = store.probes(&name("doctor/probe"));
    let lock = probes.iter().find(|check| check.name.starts_with("what is locked")).unwrap();
    assert!(matches!(&lock.outcome, Outcome::Failed(_)), "{lock}");
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

/// Each role with the rights that the documentation grants it does its work, and is refused what is not its work.
#[test]
fn roles_do_their_work_and_nothing_else() {
    const ROLES: [&str; 5] = ["agent", "verifier", "maintainer", "officer", "eraser"];
    let nothing = |name: &&str| Role { name: (*name).to_owned(), actions: Vec::new() };
    let server = Seaweed::with_roles(&ROLES.iter().map(nothing).collect::<Vec<_>>());
    server.make_bucket("policy", true);
    set_policy(&server.settings("policy", ""), &documented("policy", "m1", &ROLES)).unwrap();
    let of = |role: &str| open(server.settings_of(role, "policy", "r"));
    let [agent, verifier, maintainer, officer, eraser] = ROLES.map(of);
    let admin = of("admin");

    // The officer makes the repository and enrols; the agent backs up twice; the verifier proves and restores.
    let world = World::over(Arc::clone(&officer), scratch());
    for at in 0..20 {
        write(&world.source(), &format!("tenants/acme/{at}"), &noise(at, 20_000));
    }
    world.backup_over(Arc::clone(&agent)).unwrap();
    write(&world.source(), "tenants/globex/1", b"new");
    world.backup_over(Arc::clone(&agent)).unwrap();
    world.verify(&verifier).assert_passed("as the verifier");
    world.restore(&world.dir.path().join("target")).unwrap();
    lifeboat_tests::compare::assert_same(&world.source(), &world.dir.path().join("target"));

    let host = scratch();
    let job =
        lifeboat_backup::Job { state: host.path().to_owned(), state_in_repository: true, ..world.job() };
    world.run(Arc::clone(&agent), &job, &SystemClock, &Silent).unwrap();
    let again = world.run(
        Arc::clone(&agent),
        &lifeboat_backup::Job { state: scratch().path().to_owned(), ..job },
        &SystemClock,
        &Silent,
    );
    assert!(again.unwrap().parent.is_some(), "the agent may put its state, and read it");

    let listed = admin.list("").unwrap();
    let first = |prefix: &str| {
        listed.iter().find(|listed| listed.name.as_str().starts_with(prefix)).unwrap().name.clone()
    };
    let denied = |what: &str, answer: Result<(), lifeboat_repo::store::StoreError>| {
        let kind = answer.map_err(|error| error.kind);
        assert!(matches!(kind, Err(StoreErrorKind::Denied(_))), "{what}: {kind:?}");
    };
    let until = admin.now().unwrap().plus(Duration::from_secs(600));
    let (pack, key, card) = (first("packs/"), first("keys/"), first("cards/"));
    for object in [&pack, &key, &card, &first("snapshots/"), &first("trust/"), &first("state/")] {
        denied("the agent deletes", agent.delete(object).map(drop));
        denied("the agent locks", agent.lock(object, until));
        denied("the verifier deletes", verifier.delete(object).map(drop));
        denied("the officer deletes", officer.delete(object).map(drop));
    }
    for object in [&pack, &key] {
        denied("the agent reads", agent.read(object, Bytes::mib(64)).map(drop));
    }
    let stolen = server.settings_of("agent", "policy", "r");
    for object in [&first("trust/"), &first("seals/")] {
        for (what, answer) in ["deletes", "overwrites"].into_iter().zip(attack(&stolen, object)) {
            denied(&format!("a thief with the agent's credentials {what} {object}"), answer);
        }
    }
    // What the agent may put it may put over here, for want of a condition in this server's policies: as a version more.
    let [deleted, _] = attack(&stolen, &pack);
    denied("a thief deletes a pack", deleted);
    denied("the agent puts trust", agent.create(&name("trust/00000009"), b"x").map(drop));
    denied("the agent puts as another", agent.create(&name("runs/w2/x"), b"x").map(drop));
    denied("the agent fences another", agent.create(&name("snapshots/mail/x"), b"x").map(drop));
    denied("the verifier puts", verifier.create(&name("packs/00/x"), b"x").map(drop));
    denied("the maintainer reads a key", maintainer.read(&key, Bytes::mib(1)).map(drop));
    denied("the maintainer deletes a key", maintainer.delete(&key).map(drop));
    denied("the maintainer deletes trust", maintainer.delete(&first("trust/")).map(drop));
    denied("the eraser reads a pack", eraser.read(&pack, Bytes::mib(64)).map(drop));
    denied("the eraser deletes a pack", eraser.delete(&pack).map(drop));

    // What their work is they may do.
    maintainer.lock(&pack, until).unwrap();
    let error = maintainer.delete(&pack).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{error}");
    assert!(maintainer.delete(&first("snapshots/")).unwrap());
    assert!(maintainer.delete(&first("state/")).unwrap());
    assert_eq!(maintainer.create(&name("gc/00000000"), b"x").unwrap(), Created::New);
    assert!(eraser.delete(&key).unwrap());
    assert_eq!(admin.stat(&key).unwrap(), None);
}

/// A witness in another account: hosts put and read entries there, and take none away; a repository that was rolled back in
/// its own account is told by it.
#[test]
fn a_bucket_is_a_witness() {
    let nothing = Role { name: "witness".to_owned(), actions: Vec::new() };
    let server = Seaweed::with_roles(&[nothing]);
    server.make_bucket("first", false);
    server.make_bucket("elsewhere", true);
    set_policy(&server.settings("elsewhere", ""), &documented("elsewhere", "m1", &["witness"])).unwrap();
    let store = open(server.settings("first", "r"));
    let kept = open(server.settings_of("witness", "elsewhere", "r"));
    let world = World::over(Arc::clone(&store), scratch());
    write(&world.source(), "tenants/acme/a", b"first");
    world.backup().unwrap();
    let w1 = lifeboat_tests::label("w1");
    let compare = |depth| witness::compare(&world.repository(), kept.as_ref(), depth).unwrap();
    assert_eq!(compare(Depth::All), Freshness::NotProven);
    let Told::Kept(first) = witness::put(&world.repository(), kept.as_ref(), &w1).unwrap() else { panic!() };
    assert!(matches!(compare(Depth::All), Freshness::Proven(_)));
    write(&world.source(), "tenants/acme/a", b"second");
    world.backup().unwrap();
    assert!(matches!(witness::put(&world.repository(), kept.as_ref(), &w1).unwrap(), Told::Kept(_)));
    let refused = kept.delete(&first).unwrap_err().kind;
    assert!(matches!(refused, StoreErrorKind::Denied(_)), "{refused}");
    let refused = kept.create(&name("ledger/w1/00000000"), b"x").unwrap_err().kind;
    assert!(matches!(refused, StoreErrorKind::Denied(_)), "nothing else goes there: {refused}");
    // The end of the ledger goes, with the snapshot it names.
    let last = store.list("ledger/w1/").unwrap().pop().unwrap().name;
    store.delete(&last).unwrap();
    for depth in [Depth::Newest, Depth::All] {
        assert_eq!(compare(depth), Freshness::RolledBack(vec![last.clone()]));
    }
    let told = witness::put(&world.repository(), kept.as_ref(), &w1).unwrap();
    assert_eq!(told, Told::RolledBack(last));
}

/// Bundles are put and locked by somebody who may do that alone; a replica in another bucket is filled by somebody who may
/// delete in neither, tombstones and all; and what it commits is locked as what it copied.
#[test]
fn bundles_and_replicas_need_no_other_rights_than_documented() {
    const ROLES: [&str; 6] = ["agent", "officer", "maintainer", "bundler", "replicator-source", "replicator"];
    let nothing = |name: &&str| Role { name: (*name).to_owned(), actions: Vec::new() };
    let server = Seaweed::with_roles(&ROLES.iter().map(nothing).collect::<Vec<_>>());
    for (bucket, roles) in [("first", &ROLES[..5]), ("copy", &ROLES[5..])] {
        server.make_bucket(bucket, true);
        set_policy(&server.settings(bucket, ""), &documented(bucket, "m1", roles)).unwrap();
    }
    let of = |role: &str| open(server.settings_of(role, "first", "r"));
    let [agent, officer, maintainer, bundler, source] =
        ["agent", "officer", "maintainer", "bundler", "replicator-source"].map(of);
    let world = World::over(Arc::clone(&officer), scratch());
    let (m1, r1) = (world.maintainer("m1", 82), world.maintainer("r1", 81));
    for tenant in ["acme", "globex"] {
        write(&world.source(), &format!("tenants/{tenant}/a"), &noise(1, 20_000));
    }
    world.backup_over(agent).unwrap();
    let denied = |what: &str, answer: Result<(), lifeboat_repo::store::StoreError>| {
        let kind = answer.map_err(|error| error.kind);
        assert!(matches!(kind, Err(StoreErrorKind::Denied(_))), "{what}: {kind:?}");
    };

    let over = |store: &Arc<dyn Store>| world.repository_over(Arc::clone(store));
    let bundled = bundles::put(&over(&bundler), &m1.signing, &SystemClock, false).unwrap();
    let bundle = bundled.name.unwrap();
    assert!(bundled.objects > 3 && bundled.problems.is_empty(), "{:?}", bundled.problems);
    let left = bundler.locked_until(&bundle).unwrap().unwrap().since(bundler.now().unwrap());
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(left > day * 13 && left <= day * 14, "{left:?}");
    assert_eq!(bundled.locked.unwrap().seconds(), bundler.locked_until(&bundle).unwrap().unwrap().seconds());
    for store in [&bundler, &open(server.settings("first", "r"))] {
        let error = store.delete(&bundle).unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "nobody may before its time: {error}");
    }
    bundles::read(&over(&maintainer), &bundle).unwrap();
    let key = officer.list("keys/").unwrap().remove(0).name;
    let pack = officer.list("packs/").unwrap().remove(0).name;
    denied("the bundler deletes a key", bundler.delete(&key).map(drop));
    denied("the bundler reads a pack", bundler.read(&pack, Bytes::mib(64)).map(drop));
    denied("the bundler puts a key", bundler.create(&name("keys/x"), b"x").map(drop));

    // A tenant is erased; its tombstone goes along, its keys do not.
    let repository = over(&officer);
    let (alice, identities) = (world.alice(), [world.recovery_identity()]);
    let (clock, lanes) = (&SystemClock, NonZeroUsize::MIN);
    let acting = Acting { repository: &repository, identities: &identities, officer: &alice, clock, lanes };
    let plan = erase::plan(&acting, &"acme".parse().unwrap(), &[repository.store()]).unwrap();
    assert!(erase::put(&acting, &plan).unwrap().effective);
    let replica = open(server.settings_of("replicator", "copy", "r"));
    let from = over(&source);
    let job = Job {
        source: &from,
        replica: Arc::clone(&replica),
        pins: &[world.officer.public()],
        credentials: r1,
        clock: &SystemClock,
        entropy: &SystemEntropy,
        threads: NonZeroUsize::new(4).unwrap(),
        memory: Bytes::mib(64),
    };
    let report = replicate(&job, &Silent).unwrap();
    assert_eq!((report.problems.as_slice(), report.committed.len()), (&[][..], 1));
    let admin = open(S3Settings { locks: LOCKED, ..server.settings("copy", "r") });
    let there = Repository::open_replica(Arc::clone(&admin), &[world.officer.public()]).unwrap();
    let verdict = world.verify_in(&there);
    verdict.assert_undamaged("the replica");
    assert_eq!(
        (there.store().list("erasures/").unwrap().len(), there.store().list("keys/").unwrap().len()),
        (1, 2)
    );
    for object in [&pack, &officer.list("trust/").unwrap()[0].name] {
        denied("the replicator deletes there", replica.delete(object).map(drop));
        denied("the replicator deletes here", source.delete(object).map(drop));
    }
    denied("the replicator puts here", source.create(&name("packs/00/x"), b"x").map(drop));
    // What commits snapshots there is to be locked as these are.
    let recovery = world.recovery(&there);
    let held = locks::survey(&there, recovery.catalog()).unwrap().held;
    assert!(held.iter().any(|one| one.name.as_str().starts_with("replicas/")), "{held:#?}");
    let commit = name("replicas/20261127t000000000z-0000000000000000");
    assert_eq!(admin.create(&commit, b"x").unwrap(), Created::New);
    assert!(admin.locked_until(&commit).unwrap().is_some());
}
