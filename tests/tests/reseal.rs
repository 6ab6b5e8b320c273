//! Seals, catalog and officers renewed: nothing is lost on the way, wherever that is cut off, and what is left of the
//! seal before opens nothing.

#![cfg(test)]

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::Report;
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::sign::Kind;
use lifeboat_repo::crypto::{Identity, SigningKey, open_into, split_object};
use lifeboat_repo::format::FORMAT_VERSION;
use lifeboat_repo::format::names::{self, Place, place};
use lifeboat_repo::format::records::GcBody;
use lifeboat_repo::ids::{IdentityId, ObjectName};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::agent::Agent;
use lifeboat_repo::repository::officer::{self, Officer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::renewal::{Renewal, remove_officer, renew_catalog};
use lifeboat_repo::repository::reseal::{
    Acting, Finished, InReplica, Resealed, Step, finish, finish_replica, outlook, reseal,
};
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::forge::catalog_identities;
use lifeboat_tests::model::Tree;
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::stock::{Safe, Toolbox, enrol_maintainer, put_signed};
use lifeboat_tests::{World, copy, label, write};
use lifeboat_verify::Severity;

/// A clock that tests move.
#[derive(Clone)]
struct Moved(Arc<Mutex<Duration>>);

impl Moved {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Duration::ZERO)))
    }

    fn days(&self, days: u64) {
        *self.0.lock().unwrap() += Duration::from_secs(days * 24 * 60 * 60);
    }
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(*self.0.lock().unwrap())
    }
}

/// Two tenants backed up.
struct Stage {
    world: World,
    memory: MemoryStore,
    store_clock: Moved,
    expected: Expected,
}

impl Stage {
    fn new() -> Self {
        let store_clock = Moved::new();
        let memory = MemoryStore::with_clock(Arc::new(store_clock.clone()));
        let world = World::over(Arc::new(memory.clone()), scratch());
        write(&world.source(), "tenants/acme/a", &b"a of acme ".repeat(300));
        write(&world.source(), "tenants/beta/b", &b"b of beta ".repeat(300));
        let mut stage = Self { world, memory, store_clock, expected: Expected::new() };
        stage.backup();
        stage
    }

    fn backup(&mut self) -> Report {
        let report = self.world.backup().unwrap();
        self.expected.insert(report.run, Arc::new(Tree::of(&self.world.source())));
        report
    }

    fn keys(&self) -> Vec<ObjectName> {
        self.memory.list("keys/").unwrap().into_iter().map(|object| object.name).collect()
    }

    fn keys_below(&self, seal: IdentityId) -> usize {
        self.memory.list(&format!("keys/{seal}/")).unwrap().len()
    }

    fn whole(&self, context: &str) {
        let store: Arc<dyn Store> = Arc::new(self.memory.clone());
        assert_eq!(self.world.assert_restorable(&store, &self.expected, context), self.expected.len());
        self.world.verify(&store).assert_passed(context);
    }
}

/// One lane, so that operations come in one order.
fn act<T>(
    world: &World,
    store: Arc<dyn Store>,
    act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
) -> Result<T, RepositoryError> {
    let repository = lifeboat_repo::repository::Repository::open(store, &[world.officer.public()])?;
    let (officer, identities) = (world.alice(), [world.recovery_identity()]);
    act(&Acting {
        repository: &repository,
        identities: &identities,
        officer: &officer,
        clock: &SystemClock,
        lanes: NonZeroUsize::MIN,
    })
}

fn renewed(stage: &Stage) -> Resealed {
    let store = Arc::new(stage.memory.clone());
    act(&stage.world, store, |acting| reseal(acting, &Renewal::default())).unwrap()
}

fn finished(stage: &Stage) -> Finished {
    act(&stage.world, Arc::new(stage.memory.clone()), finish).unwrap()
}

fn at_replica(stage: &Stage, replica: &MemoryStore) -> InReplica {
    let replica = Arc::new(replica.clone());
    act(&stage.world, Arc::new(stage.memory.clone()), |acting| finish_replica(acting, replica)).unwrap()
}

fn put_back(store: &MemoryStore, name: &ObjectName, bytes: &[u8]) {
    assert_eq!(store.create(name, bytes).unwrap(), Created::New);
}

/// A key that the repository lost is in none of its listings; the replica has it below the seal that is to go.
#[test]
fn no_seal_is_destroyed_while_a_needed_key_is_nowhere_below_it() {
    let stage = Stage::new();
    let lost = stage.keys().remove(0);
    let bytes = stage.memory.read(&lost, Bytes::mib(1)).unwrap();
    stage.memory.remove(&lost);
    renewed(&stage);
    let before = stage.memory.list("").unwrap().len();
    let held = finished(&stage);
    assert_eq!((held.step, held.keys, held.seals), (Step::Held, 0, 0));
    let Some(Place::Key(_, _, key)) = place(&lost) else { panic!("{lost}") };
    assert_eq!(held.unusable.iter().map(|one| one.key).collect::<Vec<_>>(), [key]);
    assert_eq!(stage.memory.list("").unwrap().len(), before);
    // Brought back out of the replica, as it lay there.
    put_back(&stage.memory, &lost, &bytes);
    assert_eq!(finished(&stage).step, Step::Destroyed(None));
    stage.whole("the key is back");
}

#[test]
fn the_last_copy_of_a_key_in_the_replica_stays() {
    let stage = Stage::new();
    let old = seal_of(&stage.keys()[0]);
    let replica = stage.memory.fork();
    renewed(&stage);
    assert_eq!(finished(&stage).step, Step::Destroyed(None));
    // Lost in the repository before it came to the replica; there it is below the old seal alone.
    let lost = stage.keys().remove(0);
    let bytes = stage.memory.read(&lost, Bytes::mib(1)).unwrap();
    stage.memory.remove(&lost);
    for object in stage.memory.list("").unwrap() {
        let _ =
            replica.create(&object.name, &stage.memory.read(&object.name, Bytes::mib(64)).unwrap()).unwrap();
    }
    let before = replica.list("").unwrap().len();
    let Some(Place::Key(_, writer, key)) = place(&lost) else { panic!("{lost}") };
    assert_eq!(at_replica(&stage, &replica), InReplica::Held(vec![(writer, key)]));
    assert_eq!(replica.list("").unwrap().len(), before, "something was destroyed");
    put_back(&replica, &lost, &bytes);
    assert!(matches!(at_replica(&stage, &replica), InReplica::Destroyed(4..)));
    assert_eq!(replica.list(&format!("keys/{old}/")).unwrap().len(), 0);
}

fn seal_of(key: &ObjectName) -> IdentityId {
    let Some(Place::Key(seal, ..)) = place(key) else { panic!("{key}") };
    seal
}

/// Both scripts on a copy of the store: all is well signed, and a snapshot comes back by hand.
fn by_hand(stage: &Stage, store: &MemoryStore, identity: &Identity, context: &str) {
    let dir = scratch();
    let repository = dir.path().join("repository");
    for object in store.list("").unwrap() {
        write(&repository, object.name.as_str(), &store.read(&object.name, Bytes::mib(1024)).unwrap());
    }
    let papers = Safe::new(&stage.world);
    let secret = format!("{}\n", identity.to_secret_string().as_str());
    fs::write(dir.path().join("identity"), secret).unwrap();
    let safe = Safe { officers: papers.officers, identity: dir.path().join("identity"), repository };
    let tools = Toolbox::new();
    let said = tools.script("scripts/check-signatures", safe.papers());
    assert_eq!(said.status, Some(0), "{context}: {said:#?}");
    let target = dir.path().join("target");
    let mut args: Vec<OsString> = safe.papers().into_iter().map(ToOwned::to_owned).collect();
    args.extend(["--identity".into(), safe.identity.into(), "--component".into(), "files".into()]);
    args.extend(["--target".into(), target.clone().into()]);
    let said = tools.script("scripts/break-glass", &args);
    assert_eq!(said.status, Some(0), "{context}: {said:#?}");
    same(&target, &stage.world.source());
}

fn same(a: &Path, b: &Path) {
    for file in ["tenants/acme/a", "tenants/beta/b"] {
        assert_eq!(fs::read(a.join(file)).unwrap(), fs::read(b.join(file)).unwrap(), "{file}");
    }
}

/// Holds a run just before it commits.
struct Holding {
    here: Sender<()>,
    go: Mutex<Receiver<()>>,
}

impl Observer for Holding {
    fn tell(&self, event: Event) {
        if event == Event::Phase("commit") {
            self.here.send(()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
        }
    }
}

#[test]
fn a_seal_is_renewed_beside_a_run_and_the_one_before_is_destroyed() {
    let mut stage = Stage::new();
    let old = seal_of(&stage.keys()[0]);
    let stray: Vec<(ObjectName, Vec<u8>)> = stage
        .keys()
        .into_iter()
        .map(|name| (name.clone(), stage.memory.read(&name, Bytes::mib(1)).unwrap()))
        .collect();
    // A run that does not know the new seal makes a key for a new tenant below the old one.
    write(&stage.world.source(), "tenants/gamma/c", b"c of gamma");
    let ((here, arrived), (release, go)) = (channel(), channel());
    let holding = Holding { here, go: Mutex::new(go) };
    let (new, report) = std::thread::scope(|scope| {
        let world = &stage.world;
        let run = scope.spawn(|| world.run(Arc::clone(&world.store), &world.job(), &SystemClock, &holding));
        arrived.recv().unwrap();
        let done = renewed(&stage);
        assert_eq!((done.keys, done.sealed, done.unusable.len()), (4, 4, 0));
        let Step::Waiting(open) = finished(&stage).step else { panic!("it does not wait") };
        assert!(open.len() == 1 && open[0].as_str().starts_with("snapshots/files/"), "{open:?}");
        assert_eq!(stage.keys_below(old), 4, "what a run may need was destroyed");
        release.send(()).unwrap();
        (done.seal.unwrap(), run.join().unwrap().unwrap())
    });
    stage.expected.insert(report.run, Arc::new(Tree::of(&stage.world.source())));
    stage.whole("between");
    by_hand(&stage, &stage.memory, &stage.world.recovery, "between");

    // A replica that was made before everything was renewed must have it all first.
    let replica = stage.memory.fork();
    assert_eq!(
        at_replica(&stage, &replica),
        InReplica::Destroyed(0),
        "while a seal is condemned nothing goes"
    );
    let done = finished(&stage);
    assert_eq!((done.step, done.condemned), (Step::Destroyed(None), vec![old]));
    assert_eq!(at_replica(&stage, &replica), InReplica::Behind, "it lacks seals and trust");
    for object in stage.memory.list("").unwrap() {
        let bytes = stage.memory.read(&object.name, Bytes::mib(1024)).unwrap();
        let _ = replica.create(&object.name, &bytes).unwrap();
    }
    assert!(matches!(at_replica(&stage, &replica), InReplica::Destroyed(4..)));
    assert_eq!(replica.list("keys/").unwrap().len(), stage.memory.list("keys/").unwrap().len());
    assert_eq!(replica.list("seals/").unwrap().len(), 2);
    assert_eq!((stage.keys_below(old), stage.keys_below(new)), (0, 4));
    assert_eq!(stage.memory.list("seals/").unwrap().len(), 2, "only the newest seals are left");
    stage.whole("after");
    by_hand(&stage, &stage.memory, &stage.world.recovery, "after");
    assert_eq!(finished(&stage).step, Step::Nothing);

    // Hosts go on with their keys, and new ones come below the new seal.
    write(&stage.world.source(), "tenants/delta/d", b"d of delta");
    stage.backup();
    assert_eq!(stage.keys_below(new), 5);
    stage.whole("a backup later");

    // Copies of key objects from before are of no use to anybody who has everything that is left.
    for (name, bytes) in stray {
        assert_eq!(stage.memory.create(&name, &bytes).unwrap(), Created::New);
        let repository = stage.world.repository();
        let recovery = stage.world.recovery(&repository);
        assert!(recovery.keys().unwrap().len() == 5);
        let body = split_object(&bytes).unwrap().1;
        assert!(open_into(body, &[copy(&stage.world.recovery)], &mut Vec::new()).is_err());
    }
}

#[test]
fn a_run_that_was_announced_late_uses_the_new_seal() {
    let stage = Stage::new();
    write(&stage.world.source(), "tenants/gamma/c", b"c of gamma");
    let repository = stage.world.repository();
    let credentials = Arc::new(stage.world.credentials());
    let agent = Agent::open(&repository, credentials, &SystemClock, &SystemEntropy).unwrap();
    let new = renewed(&stage).seal.unwrap();
    let component = label("files");
    let mut run = lifeboat_repo::repository::run::Run::begin(agent, &component).unwrap();
    run.card(&"gamma".parse().unwrap()).unwrap();
    assert_eq!(stage.keys_below(new), 4, "the key of the new tenant");
    // A key that it had is used, since it was sealed anew.
    run.card(&"acme".parse().unwrap()).unwrap();
    assert_eq!(stage.keys_below(new), 4);
}

#[test]
fn a_run_whose_snapshot_was_expired_and_collected_holds_no_seal() {
    let mut stage = Stage::new();
    let first = *stage.expected.keys().next().unwrap();
    write(&stage.world.source(), "tenants/acme/more", b"more of acme");
    stage.backup();
    let expired = names::snapshot(&label("files"), first).unwrap();
    let (key, time) = (SigningKey::from_seed([5; 32]), SystemClock.now());
    enrol_maintainer(&stage.world, "m1", &key);
    let body = GcBody { format: FORMAT_VERSION, time, snapshots: vec![expired.clone()], ..GcBody::default() };
    let body = lifeboat_repo::format::encode(&body, "gc").unwrap();
    put_signed(&stage.world, &key, Kind::Gc, &"gc/00000000".parse().unwrap(), &body);
    stage.memory.remove(&expired);
    renewed(&stage);
    let looked = {
        let repository = stage.world.repository();
        outlook(&stage.world.recovery(&repository)).unwrap()
    };
    assert!(looked.waiting.is_empty() && looked.condemned.len() == 1, "{looked:?}");
    assert_eq!(finished(&stage).step, Step::Destroyed(None));
}

#[test]
fn no_seal_is_destroyed_while_a_bundle_holds_its_keys() {
    let stage = Stage::new();
    let old = seal_of(&stage.keys()[0]);
    stage.store_clock.days(1);
    assert_eq!(
        stage.memory.create(&"bundles/20261127.00000000".parse().unwrap(), b"a tar").unwrap(),
        Created::New
    );
    let put = stage.memory.now().unwrap();
    renewed(&stage);
    let seals = stage.memory.list("seals/").unwrap().len();
    let Step::Bundled(until) = finished(&stage).step else { panic!("the seal is destroyed") };
    assert!(until >= put.plus(Duration::from_secs(14 * 86_400 - 60)), "{until:?}");
    assert_eq!(stage.keys_below(old), 0);
    assert!(stage.memory.list("seals/").unwrap().len() > seals);
    stage.store_clock.days(13);
    // Bundles of later days hold none of its keys.
    assert_eq!(
        stage.memory.create(&"bundles/20261210.00000000".parse().unwrap(), b"a tar").unwrap(),
        Created::New
    );
    assert_eq!(finished(&stage).step, Step::Bundled(until));
    // Somebody recovers from the bundle meanwhile: the keys in it still open.
    {
        let repository = stage.world.repository();
        let recovery = stage.world.recovery(&repository);
        assert_eq!(outlook(&recovery).unwrap().condemned, vec![old]);
    }
    stage.store_clock.days(1);
    let Step::Destroyed(Some(gone)) = finished(&stage).step else { panic!("the seal is not destroyed") };
    assert!(gone > until);
    assert_eq!(stage.memory.list("seals/").unwrap().len(), 2);
    // They are not signed; other tests have real ones.
    for object in stage.memory.list("bundles/").unwrap() {
        stage.memory.remove(&object.name);
    }
    stage.whole("destroyed");
}

/// What must hold at any moment: every key opens, and nothing is damaged but what an officer is at just now.
fn holds(stage: &Stage, store: &MemoryStore, context: &str) {
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    let repository = stage.world.repository_over(Arc::clone(&shared));
    let recovery = stage.world.recovery(&repository);
    let keys = recovery.keys().unwrap();
    assert_eq!(keys.len(), 3, "{context}");
    for (writer, key) in keys {
        recovery.unwrap_tenant_key(&writer, key).unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    let at_work = "an officer was at work";
    let verdict = stage.world.verify(&shared);
    let damage = verdict.findings.iter().filter(|one| one.severity == Severity::Damage);
    let damage: Vec<_> = damage.filter(|one| !one.what.contains(at_work)).collect();
    assert!(damage.is_empty(), "{context}: {damage:#?}");
}

/// Stops `work` at every operation of the store, before and after it; each time it is then done again by `again`.
fn stopped_everywhere(
    stage: &Stage,
    base: &MemoryStore,
    work: impl Fn(Arc<dyn Store>) -> Result<(), RepositoryError>,
    again: impl Fn(&MemoryStore),
) -> u64 {
    for at in 1.. {
        for fault in [Fault::Before, Fault::After] {
            let store = base.fork();
            let faulty = Arc::new(FaultyStore::new(store.clone()).stop_at(at, fault));
            let outcome = work(Arc::clone(&faulty) as Arc<dyn Store>);
            if faulty.operations() < at {
                outcome.unwrap();
                assert!(at > 20);
                return at - 1;
            }
            let context = format!("stopped at operation {at}, {fault:?}: {:?}", faulty.log().last());
            assert!(outcome.is_err(), "{context}");
            holds(stage, &store, &context);
            if at % 19 == 0 && fault == Fault::After {
                by_hand_unless_at_work(stage, &store, &context);
            }
            again(&store);
        }
    }
    0
}

/// The scripts stop where an officer was cut off between two objects; else they must do all.
fn by_hand_unless_at_work(stage: &Stage, store: &MemoryStore, context: &str) {
    let verdict = stage.world.verify(&(Arc::new(store.clone()) as Arc<dyn Store>));
    if verdict.findings.iter().all(|one| one.severity != Severity::Damage) {
        by_hand(stage, store, &stage.world.recovery, context);
    }
}

#[test]
fn sealing_anew_may_be_cut_off_at_every_operation() {
    let stage = Stage::new();
    let world = &stage.world;
    let done = |store: &MemoryStore| {
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        act(world, Arc::clone(&shared), |acting| reseal(acting, &Renewal::default())).unwrap();
        let done = act(world, Arc::clone(&shared), finish).unwrap();
        assert_eq!(done.step, Step::Destroyed(None));
        holds(&stage, store, "done again");
        let seals: std::collections::BTreeSet<IdentityId> =
            store.list("keys/").unwrap().iter().map(|object| seal_of(&object.name)).collect();
        assert_eq!((seals.len(), store.list("keys/").unwrap().len()), (1, 3));
    };
    let resealing = stopped_everywhere(
        &stage,
        &stage.memory,
        |store| act(world, store, |acting| reseal(acting, &Renewal::default())).map(drop),
        done,
    );
    let between = stage.memory.fork();
    act(world, Arc::new(between.clone()), |acting| reseal(acting, &Renewal::default())).unwrap();
    let finishing = stopped_everywhere(
        &stage,
        &between,
        |store| act(world, store, finish).map(drop),
        |store| {
            let done = act(world, Arc::new(store.clone()), finish).unwrap();
            assert!(matches!(done.step, Step::Destroyed(None) | Step::Nothing), "{done:?}");
            holds(&stage, store, "finished again");
            assert_eq!(store.list("seals/").unwrap().len(), 2);
            assert_eq!(store.list("keys/").unwrap().len(), 3);
        },
    );
    eprintln!("stopped at each of {resealing} operations of sealing anew and {finishing} of finishing");
}

/// A second officer with a recovery identity of his own.
fn take_in_bob(world: &World) -> (SigningKey, Identity) {
    let (signing, identity) = (SigningKey::from_seed([3; 32]), Identity::generate());
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let (name, key, recipient) = (label("bob"), signing.public(), identity.recipient());
    officer::add_officer(&recovery, &world.alice(), &name, key, &recipient, &SystemClock).unwrap();
    (signing, identity)
}

fn as_bob<T>(
    world: &World,
    (signing, identity): (&SigningKey, &Identity),
    act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
) -> Result<T, RepositoryError> {
    let repository = world.repository();
    let identities = [copy(identity)];
    let officer = Officer { name: label("bob"), signing };
    let clock = &SystemClock;
    act(&Acting {
        repository: &repository,
        identities: &identities,
        officer: &officer,
        clock,
        lanes: NonZeroUsize::MIN,
    })
}

#[test]
fn a_removed_officer_opens_nothing_that_is_put_later() {
    let mut stage = Stage::new();
    let (bob, identity) = take_in_bob(&stage.world);
    // Bob sealed the keys: his signature is on all of them.
    as_bob(&stage.world, (&bob, &identity), |acting| reseal(acting, &Renewal::default())).unwrap();
    let before = catalog_identities(&stage.world);

    // Nobody removes himself, nor works with what will open nothing.
    let error =
        as_bob(&stage.world, (&bob, &identity), |acting| remove_officer(acting, &label("bob"))).unwrap_err();
    assert!(error.to_string().contains("by another one"), "{error}");
    let store: Arc<dyn Store> = Arc::new(stage.memory.clone());
    let error = {
        let (repository, officer) = (stage.world.repository(), stage.world.alice());
        let identities = [copy(&identity)];
        let clock = &SystemClock;
        let acting = Acting {
            repository: &repository,
            identities: &identities,
            officer: &officer,
            clock,
            lanes: NonZeroUsize::MIN,
        };
        remove_officer(&acting, &label("bob")).unwrap_err()
    };
    assert!(error.to_string().contains("would open nothing"), "{error}");

    let removed =
        act(&stage.world, Arc::clone(&store), |acting| remove_officer(acting, &label("bob"))).unwrap();
    assert!(removed.closed && removed.resealed.sealed == 3, "{removed:?}");
    stage.whole("bob is gone");
    by_hand(&stage, &stage.memory, &stage.world.recovery, "bob is gone");
    let repository = stage.world.repository();
    let error = Recovery::open(&repository, &[copy(&identity)], &SystemClock).err().unwrap();
    assert!(error.to_string().contains("none of this repository's"), "{error}");
    // What he signs counts no longer, and what is written now the catalog that he had does not open.
    let again = as_bob(&stage.world, (&bob, &identity), |acting| reseal(acting, &Renewal::default()));
    assert!(again.is_err());
    let report = stage.backup();
    let object = stage.memory.read(&report.snapshot, Bytes::mib(1)).unwrap();
    let body = split_object(&object).unwrap().1;
    let old: Vec<Identity> = before.iter().map(copy).collect();
    assert!(open_into(body, &old, &mut Vec::new()).is_err());
    stage.whole("a backup after bob");
    // Again, it is told that there is no such officer; and the last one stays.
    for (name, why) in [("bob", "no such officer"), ("alice", "by another one")] {
        let error =
            act(&stage.world, Arc::clone(&store), |acting| remove_officer(acting, &label(name))).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(matches!(finished(&stage).step, Step::Destroyed(None)));
    stage.whole("finished");
    by_hand(&stage, &stage.memory, &stage.world.recovery, "finished");
}

#[test]
fn removing_an_officer_may_be_cut_off_at_every_operation() {
    let stage = Stage::new();
    let (_, identity) = take_in_bob(&stage.world);
    let world = &stage.world;
    let remove =
        |store: Arc<dyn Store>| act(world, store, |acting| remove_officer(acting, &label("bob"))).map(drop);
    let operations = stopped_everywhere(&stage, &stage.memory.fork(), remove, |store| {
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        match remove(Arc::clone(&shared)) {
            Ok(()) => {}
            // Only the answer to its last operation was lost.
            Err(error) => assert!(error.to_string().contains("no such officer"), "{error}"),
        }
        let repository = world.repository_over(shared);
        assert!(Recovery::open(&repository, &[copy(&identity)], &SystemClock).is_err());
        assert!(
            repository
                .trust()
                .signers
                .entries()
                .any(|one| one.principal == "officer:bob" && one.valid_before.is_some())
        );
        holds(&stage, store, "removed again");
    });
    eprintln!("stopped at each of {operations} operations of removing an officer");
}

#[test]
fn a_revoked_host_does_not_open_a_renewed_catalog() {
    let stage = Stage::new();
    let other = Identity::generate();
    let key = SigningKey::from_seed([9; 32]);
    stage.world.enrol("stolen", &key.public(), &other, &["mail"]);
    let before = catalog_identities(&stage.world);
    let repository = stage.world.repository();
    let recovery = stage.world.recovery(&repository);
    officer::revoke_writer(&recovery, &stage.world.alice(), &label("stolen"), &SystemClock).unwrap();
    let repository = stage.world.repository();
    let recovery = stage.world.recovery(&repository);
    renew_catalog(&recovery, &stage.world.alice()).unwrap();
    let mut stage = stage;
    let report = stage.backup();
    let object = stage.memory.read(&report.snapshot, Bytes::mib(1)).unwrap();
    let body = split_object(&object).unwrap().1;
    let old: Vec<Identity> = before.iter().map(copy).collect();
    assert!(open_into(body, &old, &mut Vec::new()).is_err());
    for object in stage.memory.list("seals/").unwrap().iter().rev().take(2) {
        let bytes = stage.memory.read(&object.name, Bytes::mib(1)).unwrap();
        assert!(open_into(split_object(&bytes).unwrap().1, &[copy(&other)], &mut Vec::new()).is_err());
    }
    stage.whole("a renewed catalog");
}
