//! Several at one repository: writers beside each other, two runs of one writer, a maintainer who ends runs and
//! expires snapshots, a thief with a revoked key.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use lifeboat_backup::{BackupError, BackupErrorKind, Job, Report};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::sign::{Kind, sign_object};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::format::names::{self, Place, Seq, place};
use lifeboat_repo::format::records::{FenceBody, GcBody};
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{ObjectName, PackId, RunId};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::ledger::Ledger;
use lifeboat_repo::repository::officer::{self, NewWriter};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::repository::{Repository, RepositoryErrorKind};
use lifeboat_repo::store::faulty::{Call, Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::{Choice, choose};
use lifeboat_tests::model::Tree;
use lifeboat_tests::proof::{Ahead, Expected, scratch};
use lifeboat_tests::{World, copy, files_in, label, write};

/// A world in memory, with one backup's worth of data.
fn world() -> (World, MemoryStore) {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    plant(&world.source(), "old");
    (world, memory)
}

fn plant(root: &Path, text: &str) {
    for tenant in ["acme", "beta"] {
        for number in 0..5 {
            write(
                root,
                &format!("tenants/{tenant}/{number}"),
                format!("{tenant} {text} {number} ").repeat(500).as_bytes(),
            );
        }
    }
    write(root, "shared", text.as_bytes());
}

fn tree(root: &Path) -> Arc<Tree> {
    Arc::new(Tree::of(root))
}

/// A writer with what its host holds.
struct Host {
    name: &'static str,
    seed: u8,
    card: Identity,
}

impl Host {
    fn enrolled(world: &World, name: &'static str, seed: u8, components: &[&str]) -> Self {
        let host = Self { name, seed, card: Identity::generate() };
        world.enrol(name, &SigningKey::from_seed([seed; 32]).public(), &host.card, components);
        host
    }

    fn credentials(&self) -> Credentials {
        let signing = SigningKey::from_seed([self.seed; 32]);
        Credentials { writer: label(self.name), signing, card: copy(&self.card) }
    }

    fn backup(&self, world: &World, job: &Job) -> Result<Report, BackupError> {
        let repository = world.repository();
        lifeboat_backup::run(&repository, self.credentials(), job, &SystemClock, &SystemEntropy, &Silent)
    }
}

fn job(world: &World, component: &str, root: PathBuf, state: &str) -> Job {
    Job {
        component: label(component),
        source: files_in(root),
        ..world.job_with_state(world.dir.path().join(state))
    }
}

#[test]
fn writers_work_side_by_side_on_one_component_and_on_several() {
    const ROUNDS: usize = 6;
    let (world, _) = world();
    let hosts = [
        Host::enrolled(&world, "fra-1", 11, &["files", "docs"]),
        Host::enrolled(&world, "fra-2", 12, &["files", "mail"]),
        Host::enrolled(&world, "fra-3", 13, &["files"]),
    ];
    let work = [(0, "files"), (1, "files"), (0, "docs"), (1, "mail"), (2, "files")];
    let (expected, start) = (Mutex::new(Expected::new()), Barrier::new(work.len()));
    std::thread::scope(|scope| {
        for (number, (host, component)) in work.into_iter().enumerate() {
            let (world, host, expected, start) = (&world, &hosts[host], &expected, &start);
            scope.spawn(move || {
                let root = world.dir.path().join(format!("tree{number}"));
                let job = job(world, component, root.clone(), &format!("state{number}"));
                for round in 0..ROUNDS {
                    plant(&root, &format!("{number} {round}"));
                    start.wait();
                    let report = host.backup(world, &job).unwrap();
                    expected.lock().unwrap().insert(report.run, tree(&root));
                }
            });
        }
    });
    let expected = expected.into_inner().unwrap();
    let restored = world.assert_restorable(&world.store, &expected, "side by side");
    assert_eq!((restored, expected.len()), (work.len() * ROUNDS, work.len() * ROUNDS));
    assert!(world.listed(&world.store).iter().all(|one| one.standing == Standing::Counts));
    // Read from the first entry, each following the one before.
    let ledgers = Ledger::load_all(&world.repository()).unwrap();
    assert_eq!(ledgers.values().map(|ledger| ledger.entries.len()).sum::<usize>(), work.len() * ROUNDS);
    world.verify(&world.store).assert_passed("side by side");
    eprintln!("{restored} snapshots of {} writers side by side", hosts.len());
}

/// Holds a run where it tells of a phase, until it is let go.
struct Holding {
    phase: &'static str,
    here: Sender<()>,
    go: Mutex<Receiver<()>>,
}

impl Holding {
    fn at(phase: &'static str) -> (Self, Receiver<()>, Sender<()>) {
        let ((here, arrived), (release, go)) = (channel(), channel());
        (Self { phase, here, go: Mutex::new(go) }, arrived, release)
    }
}

impl Observer for Holding {
    fn tell(&self, event: Event) {
        if event == Event::Phase(self.phase) {
            self.here.send(()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
        }
    }
}

/// Runs a backup of the world's job, and `meanwhile` just before it commits.
fn backup_with(world: &World, meanwhile: impl FnOnce()) -> Result<Report, BackupError> {
    let (holding, arrived, release) = Holding::at("commit");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| world.run(Arc::clone(&world.store), &world.job(), &SystemClock, &holding));
        arrived.recv().unwrap();
        meanwhile();
        release.send(()).unwrap();
        run.join().unwrap()
    })
}

#[test]
fn a_second_run_on_one_host_is_told_that_it_is_busy() {
    let (world, _) = world();
    let mut second = None;
    let first = backup_with(&world, || second = Some(world.backup())).unwrap();
    let second = second.unwrap().unwrap_err();
    assert!(matches!(second.kind, BackupErrorKind::Busy), "{second}");
    let expected = Expected::from([(first.run, tree(&world.source()))]);
    assert_eq!(world.assert_restorable(&world.store, &expected, "busy"), 1);
    // Another component of the same host is another matter.
    world.enrol("w1", &world.writer.public(), &world.card, &["docs"]);
    let mut other = None;
    backup_with(&world, || {
        let docs = job(&world, "docs", world.source(), "state");
        other = Some(world.run(Arc::clone(&world.store), &docs, &SystemClock, &Silent));
    })
    .unwrap();
    assert!(other.unwrap().is_ok());
    world.verify(&world.store).assert_passed("two components of one writer");
}

#[test]
fn of_two_hosts_with_one_name_the_later_to_commit_is_refused() {
    let (world, _) = world();
    let elsewhere = world.job_with_state(world.dir.path().join("elsewhere"));
    let mut other = None;
    let refused = backup_with(&world, || {
        other = Some(world.run(Arc::clone(&world.store), &elsewhere, &SystemClock, &Silent).unwrap());
    })
    .unwrap_err();
    let BackupErrorKind::Repository(error) = &refused.kind else { panic!("{refused}") };
    assert!(matches!(error.kind, RepositoryErrorKind::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("two hosts must not share"), "{refused}");
    let other = other.unwrap();
    let expected = Expected::from([(other.run, tree(&world.source()))]);
    assert_eq!(world.assert_restorable(&world.store, &expected, "two hosts"), 1);
    world.backup().unwrap();
    world.verify(&world.store).assert_passed("two hosts");
}

#[test]
fn what_a_dead_run_left_is_recorded_though_another_writer_went_on() {
    let (world, memory) = world();
    let other = Host::enrolled(&world, "w2", 22, &["files"]);
    let counting = Arc::new(FaultyStore::new(memory.fork()));
    let aside = scratch();
    let job_aside = world.job_with_state(aside.path().to_owned());
    world.run(Arc::clone(&counting) as Arc<dyn Store>, &job_aside, &SystemClock, &Silent).unwrap();
    let dying = FaultyStore::new(memory.clone()).stop_at(counting.operations() - 1, Fault::Before);
    assert!(world.run(Arc::new(dying), &world.job(), &SystemClock, &Silent).is_err());
    let left = world.listed(&world.store).pop().unwrap();
    assert_eq!(left.standing, Standing::Unrecorded);
    other.backup(&world, &job(&world, "files", world.source(), "elsewhere")).unwrap();
    assert_eq!(world.standing(&world.store, &left.name), Some(Standing::Unrecorded));
    world.backup().unwrap();
    assert_eq!(world.standing(&world.store, &left.name), Some(Standing::Counts));
    world.verify(&world.store).assert_passed("recorded late");
}

/// A run of one component dies after its snapshot while a run of another, begun later, has ended before.
#[test]
fn what_a_dead_run_left_is_recorded_though_another_component_went_on() {
    let (world, memory) = world();
    world.enrol("w1", &world.writer.public(), &world.card, &["docs"]);
    let aside = scratch();
    let counting = Arc::new(FaultyStore::new(memory.fork()));
    let job_aside = world.job_with_state(aside.path().to_owned());
    world.run(Arc::clone(&counting) as Arc<dyn Store>, &job_aside, &SystemClock, &Silent).unwrap();
    // Its ledger entry finds the number taken, so it dies there.
    let dying = Arc::new(FaultyStore::new(memory.clone()).stop_at(counting.operations() - 1, Fault::Before));
    let (holding, arrived, release) = Holding::at("commit");
    std::thread::scope(|scope| {
        let run = scope
            .spawn(|| world.run(Arc::clone(&dying) as Arc<dyn Store>, &world.job(), &SystemClock, &holding));
        arrived.recv().unwrap();
        let docs = job(&world, "docs", world.source(), "state");
        world.run(Arc::clone(&world.store), &docs, &SystemClock, &Silent).unwrap();
        release.send(()).unwrap();
        run.join().unwrap().unwrap_err();
    });
    let listed = world.listed(&world.store);
    let left = listed.iter().find(|one| one.component == label("files")).unwrap();
    assert_eq!(left.standing, Standing::Unrecorded);
    world.backup().unwrap();
    assert_eq!(world.standing(&world.store, &left.name), Some(Standing::Counts));
    world.verify(&world.store).assert_passed("recorded late");
}

/// Local state is no proof: what was lost from the repository is stored again.
#[test]
fn lost_packs_and_indexes_are_stored_again() {
    for area in ["packs/", "index/"] {
        let (world, memory) = world();
        world.backup().unwrap();
        let snapshots: Vec<ObjectName> = world.listed(&world.store).into_iter().map(|one| one.name).collect();
        for object in memory.list(area).unwrap() {
            memory.remove(&object.name);
        }
        let again = world.backup().unwrap();
        for name in snapshots {
            memory.remove(&name);
        }
        let expected = Expected::from([(again.run, tree(&world.source()))]);
        assert_eq!(world.assert_restorable(&world.store, &expected, area), 1);
    }
}

#[test]
fn two_hosts_with_one_name_harm_nothing_however_they_race() {
    let (mut committed, mut refused) = (0, 0);
    for _ in 0..12 {
        let (world, _) = world();
        let (world, start) = (&world, &Barrier::new(2));
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let hosts: Vec<_> = ["here", "there"]
                .map(|state| {
                    scope.spawn(move || {
                        let job = world.job_with_state(world.dir.path().join(state));
                        start.wait();
                        world.run(Arc::clone(&world.store), &job, &SystemClock, &Silent)
                    })
                })
                .into();
            hosts.into_iter().map(|host| host.join().unwrap()).collect()
        });
        let source = tree(&world.source());
        let expected: Expected =
            outcomes.iter().flatten().map(|report| (report.run, Arc::clone(&source))).collect();
        assert!(!expected.is_empty(), "{outcomes:?}");
        assert_eq!(world.assert_restorable(&world.store, &expected, "a race"), expected.len());
        committed += expected.len();
        refused += outcomes.len() - expected.len();
        Ledger::load_all(&world.repository()).unwrap();
        world.verify(&world.store).assert_passed("a race");
        world.backup().unwrap();
        world.verify(&world.store).assert_passed("after a race");
    }
    eprintln!("two hosts with one name: {committed} runs committed, {refused} refused");
}

/// A maintainer who signs by hand what no honest one would.
struct Maintainer(SigningKey);

impl Maintainer {
    fn enrolled(world: &World) -> Self {
        let maintainer = Self(SigningKey::from_seed([77; 32]));
        world.enrol_maintainer("m1", &maintainer.0, &Identity::generate());
        maintainer
    }

    fn put(&self, world: &World, kind: Kind, name: &ObjectName, body: &[u8]) -> Created {
        let object = sign_object(&self.0, kind, &world.repository().id(), name, body).unwrap();
        world.store.create(name, &object).unwrap()
    }

    fn fence(&self, world: &World, run: RunId) -> Created {
        let body = FenceBody { format: FORMAT_VERSION, fence: run, time: SystemClock.now() };
        let name = names::snapshot(&label("files"), run).unwrap();
        self.put(world, Kind::Fence, &name, &format::encode(&body, "fence").unwrap())
    }

    fn condemn(&self, world: &World, seq: u32, packs: Vec<PackId>, snapshots: Vec<ObjectName>) {
        let time = SystemClock.now();
        let body =
            GcBody { format: FORMAT_VERSION, seq: Seq(seq), time, packs, snapshots, ..GcBody::default() };
        let name: ObjectName = format!("gc/{}", Seq(seq)).parse().unwrap();
        assert_eq!(
            self.put(world, Kind::Gc, &name, &format::encode(&body, "gc record").unwrap()),
            Created::New
        );
    }
}

fn newest_run(store: &dyn Store) -> RunId {
    let runs = store.list("runs/").unwrap();
    let run = |object: &lifeboat_repo::store::Listed| match place(&object.name) {
        Some(Place::Run(_, run)) => Some(run),
        _ => None,
    };
    runs.iter().filter_map(run).max().unwrap()
}

fn packs(store: &dyn Store) -> Vec<PackId> {
    let listed = store.list("packs/").unwrap();
    let pack = |object: &lifeboat_repo::store::Listed| match place(&object.name) {
        Some(Place::Pack(pack)) => Some(pack),
        _ => None,
    };
    listed.iter().filter_map(pack).collect()
}

#[test]
fn a_fenced_run_does_not_commit() {
    let (world, _) = world();
    let maintainer = Maintainer::enrolled(&world);
    let first = world.backup().unwrap();
    let mut expected = Expected::from([(first.run, tree(&world.source()))]);
    plant(&world.source(), "new");
    let mut fenced = None;
    let refused = backup_with(&world, || {
        let run = newest_run(&*world.store);
        assert_eq!(maintainer.fence(&world, run), Created::New);
        fenced = Some(run);
    })
    .unwrap_err();
    assert!(refused.to_string().contains("a collector ended this run"), "{refused}");
    let name = names::snapshot(&label("files"), fenced.unwrap()).unwrap();
    assert_eq!(world.standing(&world.store, &name), Some(Standing::Fenced));
    let listed = world.listed(&world.store);
    assert_eq!(choose(&listed, &label("files"), Choice::Latest).unwrap().listed.run, first.run);
    assert!(choose(&listed, &label("files"), Choice::Run(fenced.unwrap())).is_err());
    world.verify(&world.store).assert_passed("after a fence");

    // What the fenced run stored was confirmed, so the next one finds it.
    let next = world.backup().unwrap();
    assert_eq!(next.packs, 0, "{next:?}");
    expected.insert(next.run, tree(&world.source()));
    assert_eq!(world.assert_restorable(&world.store, &expected, "after a fence"), 2);
    world.verify(&world.store).assert_passed("after a fence and a backup");
    // A fence comes too late for a run that has committed.
    assert_eq!(maintainer.fence(&world, next.run), Created::Exists);
}

#[test]
fn only_a_maintainer_fences_and_condemns() {
    let (world, _) = world();
    let mut run = None;
    let forged = backup_with(&world, || {
        let newest = newest_run(&*world.store);
        // Signed by somebody whom no trust names.
        assert_eq!(Maintainer(SigningKey::from_seed([78; 32])).fence(&world, newest), Created::New);
        run = Some(newest);
    });
    assert!(forged.is_err(), "the name is taken, whoever took it");
    let name = names::snapshot(&label("files"), run.unwrap()).unwrap();
    assert!(matches!(world.standing(&world.store, &name), Some(Standing::Void(_))));
    Maintainer(SigningKey::from_seed([78; 32])).condemn(&world, 0, Vec::new(), Vec::new());
    let refused = world.backup().unwrap_err();
    assert!(refused.to_string().contains("gc/00000000"), "{refused}");
}

#[test]
fn an_expired_snapshot_is_listed_so_and_not_chosen() {
    let (world, _) = world();
    let maintainer = Maintainer::enrolled(&world);
    let first = world.backup().unwrap();
    let mut expected = Expected::from([(first.run, tree(&world.source()))]);
    plant(&world.source(), "new");
    let second = world.backup().unwrap();
    maintainer.condemn(&world, 0, Vec::new(), vec![second.snapshot.clone()]);
    let listed = world.listed(&world.store);
    assert_eq!(world.standing(&world.store, &second.snapshot), Some(Standing::Expired));
    assert_eq!(choose(&listed, &label("files"), Choice::Latest).unwrap().listed.run, first.run);
    assert!(choose(&listed, &label("files"), Choice::Run(second.run)).is_err());
    world.verify(&world.store).assert_passed("with an expired snapshot");
    let third = world.backup().unwrap();
    expected.insert(third.run, tree(&world.source()));
    assert_eq!(world.assert_restorable(&world.store, &expected, "with an expired snapshot"), 2);
    world.verify(&world.store).assert_passed("after a backup");
}

#[test]
fn a_condemned_pack_is_not_deduplicated_into() {
    for lose_state in [false, true] {
        let (world, memory) = world();
        let maintainer = Maintainer::enrolled(&world);
        let first = world.backup().unwrap();
        let condemned = packs(&memory);
        assert!(!condemned.is_empty());
        assert_eq!(world.backup().unwrap().packs, 0);
        let snapshots = world.listed(&world.store).into_iter().map(|one| one.name).collect();
        maintainer.condemn(&world, 0, condemned.clone(), snapshots);
        if lose_state {
            std::fs::remove_dir_all(world.dir.path().join("state")).unwrap();
        }
        let again = world.backup().unwrap();
        assert!(again.packs > 0 && again.stored.0 * 10 > first.stored.0 * 9, "{again:?} after {first:?}");
        let expected = Expected::from([(again.run, tree(&world.source()))]);
        // Another collector finishes the plan.
        for pack in condemned {
            memory.remove(&names::pack(pack).unwrap());
        }
        assert_eq!(world.assert_restorable(&world.store, &expected, "collected"), 1);
        world.verify(&world.store).assert_passed("collected");
        assert_eq!(world.backup().unwrap().packs, 0, "and then all is known again");
    }
}

/// A clock that stands.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn what_a_revoked_writer_signs_later_does_not_count() {
    let (world, memory) = world();
    let before = world.backup().unwrap();
    let expected = Expected::from([(before.run, tree(&world.source()))]);
    std::thread::sleep(Duration::from_millis(5));
    let at_theft = SystemClock.now();
    // What the thief saw: with it he goes on as if nobody had revoked the key.
    let stolen = memory.fork();
    {
        let repository = world.repository();
        let recovery = world.recovery(&repository);
        officer::revoke_writer(&recovery, &world.alice(), &label("w1"), &SystemClock).unwrap();
    }
    let refused = world.backup().unwrap_err();
    assert!(refused.to_string().contains("not enrolled"), "{refused}");

    plant(&world.source(), "ransomed");
    let state = |name: &str| world.job_with_state(world.dir.path().join(name));
    let backdated =
        world.run(Arc::new(stolen.clone()), &state("thief"), &Stopped(at_theft), &Silent).unwrap();
    let later = world.run(Arc::new(stolen.clone()), &state("thief"), &SystemClock, &Silent).unwrap();
    for object in stolen.list("").unwrap() {
        let bytes = stolen.read(&object.name, Bytes::mib(64)).unwrap();
        let _ = world.store.create(&object.name, &bytes).unwrap();
    }
    for thiefs in [&backdated.snapshot, &later.snapshot] {
        let standing = world.standing(&world.store, thiefs).unwrap();
        assert!(matches!(standing, Standing::Void(_)), "{thiefs}: {standing:?}");
    }
    assert_eq!(world.standing(&world.store, &before.snapshot), Some(Standing::Counts));
    let listed = world.listed(&world.store);
    assert_eq!(choose(&listed, &label("files"), Choice::Latest).unwrap().listed.run, before.run);
    assert!(choose(&listed, &label("files"), Choice::Run(backdated.run)).is_err());
    for thiefs in [&backdated.snapshot, &later.snapshot] {
        memory.remove(thiefs);
    }
    assert_eq!(world.assert_restorable(&world.store, &expected, "after a theft"), 1);

    // Its successor has another name and goes on.
    let successor = Host::enrolled(&world, "w2", 22, &["files"]);
    let next = successor.backup(&world, &state("successor")).unwrap();
    assert_eq!(world.standing(&world.store, &next.snapshot), Some(Standing::Counts));
    let key = SigningKey::from_seed([23; 32]);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.enrol("w1", &key.public(), &world.card, &["files"]);
    }));
    assert!(refused.is_err(), "a name is never used twice");
    // Nor is a key, be it the officer's, another writer's or a revoked one's.
    let repository = world.repository();
    let (recovery, card) = (world.recovery(&repository), Identity::generate().recipient());
    let of_w1 =
        repository.trust().signers.entries().find(|entry| entry.principal == "writer:w1").unwrap().key;
    for taken in [world.officer.public(), SigningKey::from_seed([22; 32]).public(), of_w1] {
        let (name, components) = (label("w3"), vec![label("files")]);
        let new = NewWriter { name, signing: taken, card: card.clone(), components };
        let writer = officer::add_writer(&recovery, &world.alice(), &new, &SystemClock);
        let officer =
            officer::add_officer(&recovery, &world.alice(), &label("bob"), taken, &card, &SystemClock);
        for refused in [writer, officer] {
            assert!(refused.unwrap_err().to_string().contains("is already that of"));
        }
    }
    assert!(Repository::open(Arc::clone(&world.store), &[world.officer.public()]).is_ok());
}

/// The number of the last operation of a backup, the ledger entry with its checkpoint, where a run has no parent here.
fn last_entry(world: &World, store: &MemoryStore, state: &str, clock: &dyn Clock) -> u64 {
    let counting = Arc::new(FaultyStore::new(store.fork()));
    let job = world.job_with_state(world.dir.path().join(state));
    world.run(Arc::clone(&counting) as Arc<dyn Store>, &job, clock, &Silent).unwrap();
    let log = counting.log();
    let entry = |call: &Call| call.operation == Operation::Create && call.subject.starts_with("ledger/");
    1 + log.iter().rposition(entry).unwrap() as u64
}

/// The newest checkpoint counts what was there before its entry, and another run of its writer appends in between.
#[test]
fn two_components_of_one_writer_that_end_at_once_are_no_alarm() {
    let (world, memory) = world();
    world.enrol("w1", &world.writer.public(), &world.card, &["docs"]);
    world.backup().unwrap();
    let ahead = Ahead(Duration::from_secs(60));
    let at = last_entry(&world, &memory, "counted", &ahead);
    let docs = job(&world, "docs", world.source(), "docs");
    let world = Arc::new(world);
    let other = Arc::clone(&world);
    let held = FaultyStore::new(memory).call_at(at, move || {
        other.run(Arc::clone(&other.store), &docs, &SystemClock, &Silent).unwrap();
    });
    let held: Arc<dyn Store> = Arc::new(held);
    world.run(held, &world.job_with_state(world.dir.path().join("held")), &ahead, &Silent).unwrap();
    world.verify(&world.store).assert_passed("two entries in one");
}

/// The newest checkpoint counts a snapshot that no ledger names yet, and that expires and goes before there is another.
#[test]
fn what_was_counted_before_it_was_recorded_and_expired_since_is_no_alarm() {
    let (world, memory) = world();
    let keeper = world.maintainer("m1", 71);
    let host = Host::enrolled(&world, "w2", 12, &["docs"]);
    let docs = job(&world, "docs", world.source(), "docs");
    let backup = |store: Arc<dyn Store>| {
        let repository = world.repository_over(store);
        lifeboat_backup::run(&repository, host.credentials(), &docs, &SystemClock, &SystemEntropy, &Silent)
    };
    let counting = Arc::new(FaultyStore::new(memory.fork()));
    backup(Arc::clone(&counting) as Arc<dyn Store>).unwrap();
    let log = counting.log();
    let snapshot = log.iter().position(|call| call.subject.starts_with("snapshots/docs/20")).unwrap();
    let dying = FaultyStore::new(memory.clone()).stop_at(snapshot as u64 + 2, Fault::Before);
    std::fs::remove_dir_all(world.dir.path().join("docs")).unwrap();
    backup(Arc::new(dying)).unwrap_err();
    let counted = memory.list("snapshots/docs/").unwrap().remove(0).name;
    world.run(Arc::clone(&world.store), &world.job(), &Ahead(Duration::from_secs(60)), &Silent).unwrap();
    backup(Arc::clone(&world.store)).unwrap();
    world.verify(&world.store).assert_passed("recorded");
    world.expire(&keeper, std::slice::from_ref(&counted));
    memory.remove(&counted);
    world.verify(&world.store).assert_passed("expired and gone");
}
