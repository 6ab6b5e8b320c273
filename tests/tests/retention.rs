//! What expires, what is locked for how long, and what somebody hid: on real stores.

#![cfg(test)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backup::{Job, Report};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::versions::{self, Disturbance};
use lifeboat_repo::repository::{Repository, expiry, locks};
use lifeboat_repo::retention::{Decision, Rules, decide};
use lifeboat_repo::store::s3::{Locks, S3Settings, S3Store, hide, overlay};
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_repo::units::{Bytes, LockClass, Timestamp};
use lifeboat_tests::compare::assert_same;
use lifeboat_tests::model::noise;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::{Role, Seaweed};
use lifeboat_tests::{World, label, write};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn fill(world: &World) {
    for tenant in ["acme", "globex"] {
        for at in 0..6 {
            write(&world.source(), &format!("tenants/{tenant}/{at}"), &noise(at, 20_000));
        }
    }
}

fn put(repository: &Repository, credentials: &Arc<Credentials>, draft: &GcDraft) {
    let maintainer =
        Maintainer::open(repository, Arc::clone(credentials), &SystemClock, &SystemEntropy).unwrap();
    maintainer.put_gc(draft).unwrap();
}

/// Three of four snapshots expire once, and only once; what is left restores.
#[test]
fn what_retention_expires_counts_no_more_and_the_rest_restores() {
    let world = World::over_memory_disk();
    let maintainer = world.maintainer("m1", 7);
    fill(&world);
    let made: Vec<ObjectName> = (0..4)
        .map(|night| {
            write(&world.source(), "tenants/acme/diary", format!("night {night}").as_bytes());
            world.backup().unwrap().snapshot
        })
        .collect();
    let rules = Rules { last: 1, ..Rules::default() };
    let decided = || -> Vec<Decision> {
        let repository = world.repository();
        let recovery = world.recovery(&repository);
        let judge = Judge::new(&repository, recovery.catalog()).unwrap();
        let listed = judge.list(Some(&label("files"))).unwrap();
        let candidates = expiry::candidates(&listed, judge.condemned());
        let now = repository.store().now().unwrap();
        decide(&candidates, Some(&rules), now, &jiff::tz::TimeZone::UTC)
    };
    let expired = |decisions: &[Decision]| -> Vec<ObjectName> {
        let gone = decisions.iter().filter(|decision| decision.expires());
        let mut names: Vec<ObjectName> = gone.map(|decision| decision.name.clone()).collect();
        names.sort();
        names
    };
    let gone = expired(&decided());
    assert_eq!(gone, made[..3]);
    put(&world.repository(), &maintainer, &GcDraft { snapshots: gone, ..GcDraft::default() });
    assert_eq!(expired(&decided()), []);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
    let standing = listed.iter().map(|one| one.standing.clone()).collect::<Vec<_>>();
    assert_eq!(standing, [Standing::Expired, Standing::Expired, Standing::Expired, Standing::Counts]);
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert_same(&world.source(), &target);
    world.verify(&world.store).assert_passed("after expiry");
}

/// Backs up with another state, so that the index alone tells what is stored already.
fn afresh(world: &World, store: &Arc<dyn Store>, lock: LockClass, state: &str) -> Report {
    let state: PathBuf = world.dir.path().join(state);
    let job = Job { lock, state, ..world.job() };
    let repository = world.repository_over(Arc::clone(store));
    let (clock, entropy) = (&SystemClock, &SystemEntropy);
    lifeboat_backup::run(&repository, world.credentials(), &job, clock, entropy, &Silent).unwrap()
}

fn packs(store: &Arc<dyn Store>) -> Vec<(ObjectName, Timestamp)> {
    let listed = store.list("packs/").unwrap();
    listed.into_iter().map(|object| (object.name, object.modified)).collect()
}

fn open(settings: &S3Settings, locks: Locks) -> Arc<dyn Store> {
    Arc::new(S3Store::open(S3Settings { locks, ..settings.clone() }).unwrap())
}

/// With locks of seconds: nothing new relies on one that ends soon; extended ones are relied on again; the short class
/// lies in packs of its own and is not extended.
#[test]
fn locks_are_extended_and_nothing_relies_on_one_that_ends_soon() {
    let server = Seaweed::start();
    server.make_bucket("locks", true);
    let settings = server.settings("locks", "eu");
    // Agents lock for four seconds; whoever extends, for two hours.
    let agent = open(&settings, Locks { normal: Some(Duration::from_secs(4)), short: None, floor: None });
    let extender = open(&settings, Locks { normal: Some(HOUR * 2), short: Some(HOUR), floor: None });
    let world = World::over(Arc::clone(&agent), scratch());
    let maintainer = world.maintainer("m1", 7);
    fill(&world);
    assert!(afresh(&world, &agent, LockClass::Normal, "first").packs > 0);
    let first = packs(&agent);
    // By the server's clock, which counts whole seconds.
    let late = first.iter().map(|(_, modified)| *modified).max().unwrap().plus(Duration::from_secs(2));
    while agent.now().unwrap() <= late {
        std::thread::yield_now();
    }
    let report = afresh(&world, &agent, LockClass::Normal, "second");
    assert!(report.packs > 0, "less than half of the lock is left, so all is stored anew");

    let repository = world.repository_over(Arc::clone(&extender));
    let recovery = world.recovery(&repository);
    let survey = locks::survey(&repository, recovery.catalog()).unwrap();
    let now = extender.now().unwrap();
    let terms = extender.lock_terms(LockClass::Normal).expect("locks");
    let plan = locks::extension(&survey, terms, now);
    assert_eq!(plan.objects.len(), survey.held.len(), "locks of seconds are all due");
    let kinds: std::collections::BTreeSet<&str> =
        plan.objects.iter().filter_map(|name| name.parts().next()).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["index", "ledger", "packs", "runs", "snapshots", "trust"]
    );
    for name in &plan.objects {
        locks::extend(extender.as_ref(), name, plan.until).unwrap();
    }
    put(&repository, &maintainer, &GcDraft { locked: plan.stated, ..GcDraft::default() });
    assert_eq!(
        locks::extension(&locks::survey(&repository, recovery.catalog()).unwrap(), terms, now).stated,
        None
    );
    let error = extender.delete(&first[0].0).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{error}");
    let report = afresh(&world, &agent, LockClass::Normal, "third");
    assert_eq!(report.packs, 0, "what was extended is relied on, however old it is");

    // The short class shares nothing with the other, and is locked for its own time, once.
    let before = packs(&extender);
    assert!(afresh(&world, &extender, LockClass::Short, "fourth").packs > 0);
    assert_eq!(afresh(&world, &extender, LockClass::Short, "fifth").packs, 0);
    assert_eq!(afresh(&world, &extender, LockClass::Normal, "sixth").packs, 0);
    let short: Vec<ObjectName> =
        packs(&extender).into_iter().filter(|pack| !before.contains(pack)).map(|(name, _)| name).collect();
    let survey = locks::survey(&repository, recovery.catalog()).unwrap();
    for name in &short {
        let left = extender.locked_until(name).unwrap().unwrap().since(extender.now().unwrap());
        assert!(left > HOUR / 2 && left <= HOUR + Duration::from_secs(1), "{left:?}");
        assert!(!survey.held.iter().any(|held| held.name == *name));
    }
    assert!(!short.is_empty());
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert_same(&world.source(), &target);
}

/// Whoever holds an agent's credentials hides every pack and puts something over snapshots and ledgers. All is found,
/// undone, and restores exactly.
#[test]
fn what_was_hidden_or_overlaid_in_a_locked_bucket_comes_back() {
    let may = ["Read:hidden", "Write:hidden", "List:hidden"].map(str::to_owned).to_vec();
    let server = Seaweed::with_roles(&[Role { name: "agent".to_owned(), actions: may }]);
    server.make_bucket("hidden", true);
    let settings = server.settings("hidden", "eu");
    let store = open(&settings, Locks { normal: Some(HOUR), short: None, floor: None });
    let world = World::over(Arc::clone(&store), scratch());
    fill(&world);
    world.backup().unwrap();
    assert_eq!(versions::disturbed(&world.repository()).unwrap(), []);

    let thief = server.settings_of("agent", "hidden", "eu");
    let mut attacked = std::collections::BTreeMap::new();
    for object in store.list("").unwrap() {
        match place(&object.name) {
            Some(Place::Pack(_) | Place::Key(..)) => {
                hide(&thief, &object.name).unwrap();
                attacked.insert(object.name, Disturbance::Hidden);
            }
            Some(Place::Snapshot(..) | Place::Ledger(..)) => {
                hide(&thief, &object.name).unwrap();
                overlay(&thief, &object.name).unwrap();
                attacked.insert(object.name, Disturbance::Overlaid);
            }
            _ => {}
        }
    }
    assert_eq!(store.list("packs/").unwrap(), []);
    world.restore(&world.dir.path().join("nothing")).unwrap_err();
    let repository = world.repository();
    let found = versions::disturbed(&repository).unwrap();
    let how =
        found.iter().map(|one| (one.name.clone(), one.how)).collect::<std::collections::BTreeMap<_, _>>();
    assert_eq!(how, attacked);
    for one in &found {
        versions::reinstate(&repository, one).unwrap();
    }
    assert_eq!(versions::disturbed(&repository).unwrap(), []);
    let target = world.dir.path().join("target");
    world.restore(&target).unwrap();
    assert_same(&world.source(), &target);
    world.verify(&store).assert_passed("after what was hidden came back");

    // Where the forgery is locked itself, the first version is put on top.
    let (pack, _) = packs(&store).remove(0);
    overlay(&thief, &pack).unwrap();
    store.lock(&pack, store.now().unwrap().plus(HOUR)).unwrap();
    let found = versions::disturbed(&repository).unwrap();
    assert_eq!(found.len(), 1);
    versions::reinstate(&repository, &found[0]).unwrap();
    assert_eq!(versions::disturbed(&repository).unwrap(), []);
    assert!(store.read(&pack, Bytes::mib(40)).unwrap().len() > 100);
}
