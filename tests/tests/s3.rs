//! A repository in a bucket of a real S3 server.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use lifeboat_backup::Job;
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::contract::{self, Outcome};
use lifeboat_repo::store::s3::{Bounds, Locks, S3Settings, S3Store, attack, set_policy};
use lifeboat_repo::store::{Created, Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::model::noise;
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

/// The policies of docs/policies as one for this server: words in capitals replaced, and without the one condition
/// that it does not know.
fn documented(roles: &[&str]) -> String {
    let mut statements = Vec::new();
    for role in roles {
        let path = format!("{}/../docs/policies/{role}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let text = text
            .replace("ROLE", &format!("arn:aws:iam::000000000000:user/{role}"))
            .replace("BUCKET/PREFIX", "policy/r")
            .replace("BUCKET", "policy")
            .replace("PREFIX", "r")
            .replace("MAINTAINER", "m1")
            .replace("WRITER", "w1")
            .replace("COMPONENT", "files");
        let policy: serde_json::Value = serde_json::from_str(&text).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            let mut statement = statement.clone();
            let condition = statement["Condition"].clone();
            if condition["Null"]["s3:if-none-match"].is_string()
                || condition["Bool"]["s3:ObjectCreationOperation"].is_string()
            {
                statement.as_object_mut().unwrap().remove("Condition");
            }
            statement["Sid"] = format!("{role}{}", statement["Sid"].as_str().unwrap()).into();
            statements.push(statement);
        }
    }
    serde_json::json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// Each role with the rights that the documentation grants it does its work, and is refused what is not its work.
#[test]
fn roles_do_their_work_and_nothing_else() {
    const ROLES: [&str; 5] = ["agent", "verifier", "maintainer", "officer", "eraser"];
    let nothing = |name: &&str| Role { name: (*name).to_owned(), actions: Vec::new() };
    let server = Seaweed::with_roles(&ROLES.iter().map(nothing).collect::<Vec<_>>());
    server.make_bucket("policy", true);
    set_policy(&server.settings("policy", ""), &documented(&ROLES)).unwrap();
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
    let job = Job { state: host.path().to_owned(), state_in_repository: true, ..world.job() };
    world.run(Arc::clone(&agent), &job, &SystemClock, &Silent).unwrap();
    let again = world.run(
        Arc::clone(&agent),
        &Job { state: scratch().path().to_owned(), ..job },
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
