//! What somebody hides in a bucket that keeps versions, or puts something over: told by every check, undone by repair, and
//! never a way around an erasure.

#![cfg(test)]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::repository::maintainer::GcDraft;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::repository::versions::{Disturbance, disturbed, reinstate_all};
use lifeboat_repo::repository::{RepositoryErrorKind, erase, repair};
use lifeboat_repo::store::s3::{Locks, S3Settings, S3Store, attack, hide, overlay, set_policy};
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::World;
use lifeboat_tests::compare::assert_same;
use lifeboat_tests::model::noise;
use lifeboat_tests::policies::documented;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::{Role, Seaweed};
use lifeboat_tests::write;
use lifeboat_verify::{Outcome, Severity};

const LOCKS: Locks = Locks { normal: Some(Duration::from_secs(3600)), short: None, floor: None };

fn open(settings: &S3Settings) -> Arc<dyn Store> {
    Arc::new(S3Store::open(S3Settings { locks: LOCKS, ..settings.clone() }).unwrap())
}

fn fill(world: &World) {
    for tenant in ["acme", "globex"] {
        for at in 0..4 {
            write(&world.source(), &format!("tenants/{tenant}/{at}"), &noise(at, 20_000));
        }
    }
}

fn names(store: &Arc<dyn Store>, prefix: &str) -> Vec<ObjectName> {
    store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
}

/// A thief with the credentials of a host that backs up, and the documented rights, on a server that cannot refuse to
/// overwrite. Nothing is lost by it: readers take no forgery, verification names each, and whoever may undo it does.
#[test]
fn what_an_agents_credentials_put_over_objects_is_found_and_undone() {
    const ROLES: [&str; 4] = ["agent", "verifier", "officer", "repairer"];
    let nothing = |name: &&str| Role { name: (*name).to_owned(), actions: Vec::new() };
    let server = Seaweed::with_roles(&ROLES.iter().map(nothing).collect::<Vec<_>>());
    server.make_bucket("over", true);
    set_policy(&server.settings("over", ""), &documented("over", "m1", &ROLES)).unwrap();
    let settings = |role: &str| server.settings_of(role, "over", "r");
    let plain = |role: &str| Arc::new(S3Store::open(settings(role)).unwrap()) as Arc<dyn Store>;
    let (agent, verifier, repairer) = (plain("agent"), plain("verifier"), plain("repairer"));
    // With the administrator's default lock, as the documentation says for hosts that may not lock.
    let world = World::over(open(&server.settings("over", "r")), scratch());
    fill(&world);
    world.backup_over(Arc::clone(&agent)).unwrap();
    world.verify(&verifier).assert_passed("before");

    let thief = settings("agent");
    let mut attacked = BTreeSet::new();
    let admin = Arc::clone(&world.store);
    let before: Vec<(ObjectName, Vec<u8>)> = names(&admin, "")
        .into_iter()
        .map(|name| (name.clone(), admin.read(&name, Bytes::mib(64)).unwrap()))
        .collect();
    for (name, _) in &before {
        let [deleted, overwritten] = attack(&thief, name);
        let kind = deleted.unwrap_err().kind;
        assert!(matches!(kind, StoreErrorKind::Denied(_)), "{name}: {kind}");
        if overwritten.is_ok() {
            attacked.insert(name.clone());
        }
    }
    let areas: BTreeSet<&str> = attacked.iter().map(|name| name.parts().next().unwrap()).collect();
    let may = ["cards", "index", "keys", "ledger", "packs", "runs", "snapshots"];
    assert_eq!(areas, BTreeSet::from(may), "a host may put over its own objects, and over nothing else");

    // Nobody takes a forgery for what was written.
    world.restore(&world.dir.path().join("forged")).unwrap_err();
    let verdict = world.verify(&verifier);
    assert_eq!((&verdict.integrity, &verdict.inventory), (&Outcome::Failed, &Outcome::Failed));
    for name in &attacked {
        let told = verdict.findings.iter().filter(|one| one.severity == Severity::Damage);
        let mut of = told.filter(|one| one.object.to_string() == name.as_str());
        assert!(of.any(|one| one.what.contains("lies over it")), "{name}: {:#?}", verdict.findings);
    }
    // The agent may not even ask, and a host that backs up is told nothing of versions.
    let refused = disturbed(&world.repository_over(agent)).unwrap_err();
    assert!(
        matches!(refused.kind, RepositoryErrorKind::Store(error) if matches!(error.kind, StoreErrorKind::Denied(_)))
    );

    let here = world.repository_over(Arc::clone(&repairer));
    let planned = reinstate_all(&here, true).unwrap();
    let done = reinstate_all(&here, false).unwrap();
    assert_eq!(planned, done);
    assert_eq!(done.iter().map(|one| one.object.clone()).collect::<BTreeSet<_>>(), attacked);
    assert!(done.iter().all(|one| one.left.is_none() && one.how == Disturbance::Overlaid), "{done:#?}");
    for (name, bytes) in before {
        assert!(admin.read(&name, Bytes::mib(64)).unwrap() == bytes, "{name}");
    }
    world.verify(&verifier).assert_passed("after");
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert_same(&world.source(), &target);
}

/// With markers over trust, tombstones, gc records and everything else at once: all of it comes back, in an order in which
/// what was erased and what was condemned stays away.
#[test]
fn markers_are_undone_and_what_was_erased_stays_away() {
    let may = ["Read:hidden", "Write:hidden", "List:hidden"].map(str::to_owned).to_vec();
    let server = Seaweed::with_roles(&[Role { name: "thief".to_owned(), actions: may }]);
    server.make_bucket("hidden", true);
    let settings = server.settings("hidden", "r");
    let thief = server.settings_of("thief", "hidden", "r");
    let store = open(&settings);
    let world = World::over(Arc::clone(&store), scratch());
    let maintainer = world.maintainer("m1", 7);
    fill(&world);
    world.backup().unwrap();
    let expired = world.backup().unwrap().snapshot;
    world.put_gc(&maintainer, &GcDraft { snapshots: vec![expired.clone()], ..GcDraft::default() });

    // Acme is erased. A thief had hidden its keys from the eraser before; globex's it hides afterwards.
    let keys = || [names(&store, "keys/"), names(&store, "cards/")].concat();
    let repository = world.repository();
    let (officer, identities) = (world.alice(), [world.recovery_identity()]);
    let (clock, lanes) = (&SystemClock, NonZeroUsize::MIN);
    let acting = Acting { repository: &repository, identities: &identities, officer: &officer, clock, lanes };
    let plan = erase::plan(&acting, &"acme".parse().unwrap(), &[repository.store()]).unwrap();
    let erased: BTreeSet<ObjectName> = keys()
        .into_iter()
        .filter(|name| plan.keys.iter().any(|(_, key)| name.last() == key.to_string()))
        .collect();
    assert_eq!(erased.len(), 2);
    assert!(erase::put(&acting, &plan).unwrap().effective);
    let first: Vec<ObjectName> = names(&store, "");
    for name in &first {
        hide(&thief, name).unwrap();
    }
    assert_eq!(names(&store, ""), []);

    // Even trust is gone; what it was the store still knows.
    let pins = [world.officer.public()];
    let opened = repair::open(Arc::clone(&store), None, &pins).unwrap();
    let told = disturbed(&opened.repository).unwrap();
    let kinds: BTreeSet<&str> = told.iter().map(|one| one.name.parts().next().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["erasures", "gc", "trust"]), "first what says what may be gone");
    let done = reinstate_all(&opened.repository, false).unwrap();
    assert!(done.iter().all(|one| one.left.is_none() && one.how == Disturbance::Hidden), "{done:#?}");
    let back: BTreeSet<ObjectName> = names(&store, "").into_iter().collect();
    let wanted: BTreeSet<ObjectName> =
        first.iter().filter(|name| !erased.contains(*name) && **name != expired).cloned().collect();
    assert_eq!(back, wanted, "keys of globex come back, of acme none");
    assert_eq!(disturbed(&world.repository()).unwrap(), []);
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert!(!target.join("tenants/acme/0").exists());
    assert_same(&world.source().join("tenants/globex"), &target.join("tenants/globex"));

    // The end of a ledger, which nothing else would miss.
    let last = names(&store, "ledger/w1/").pop().unwrap();
    hide(&thief, &last).unwrap();
    let verdict = world.verify(&store);
    let told: Vec<_> =
        verdict.findings.iter().filter(|one| one.object.to_string() == last.as_str()).collect();
    assert!(told.iter().any(|one| one.what.contains("a marker put at")), "{:#?}", verdict.findings);
    assert_eq!(verdict.integrity, Outcome::Failed);

    // A tombstone that a forgery lies over still holds.
    let tombstone = names(&store, "erasures/").pop().unwrap();
    overlay(&thief, &tombstone).unwrap();
    let seen = disturbed(&world.repository()).unwrap();
    assert_eq!(seen.iter().map(|one| &one.name).collect::<Vec<_>>(), [&tombstone]);
    reinstate_all(&world.repository(), false).unwrap();
    let back = names(&store, "");
    assert!(back.contains(&last) && back.iter().all(|name| !erased.contains(name)));
    assert!(back.iter().all(|name| !matches!(place(name), Some(Place::Snapshot(..))) || *name != expired));
}
