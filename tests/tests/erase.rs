//! A tenant erased from every backup: from the tombstone on nobody takes, keeps or gives back its data, nothing that is
//! left opens it, and its neighbours notice nothing.

#![cfg(test)]

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::{BackupError, Job, ProblemKind, Report};
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::format::names::Seq;
use lifeboat_repo::ids::{ObjectName, Tenant};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::bundles;
use lifeboat_repo::repository::erase::{self, Plan, Proof, Put, Swept};
use lifeboat_repo::repository::erasures::GRAVE;
use lifeboat_repo::repository::renewal::Renewal;
use lifeboat_repo::repository::reseal::{self, Acting, Step};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_restore::{InPlace, Options, Selection};
use lifeboat_tests::proof::scratch;
use lifeboat_tests::stock::{Safe, Toolbox};
use lifeboat_tests::{World, write};
use lifeboat_verify::Severity;

const SECRET: &[u8] = b"what acme wrote and wants to be forgotten ";

fn world() -> (World, MemoryStore) {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    write(&world.source(), "tenants/acme/a", &SECRET.repeat(300));
    write(&world.source(), "tenants/beta/b", &b"b of beta ".repeat(300));
    world.backup().unwrap();
    write(&world.source(), "tenants/acme/more", &SECRET.repeat(200));
    world.backup().unwrap();
    (world, memory)
}

fn act<T>(
    world: &World,
    store: &Arc<dyn Store>,
    act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
) -> Result<T, RepositoryError> {
    let repository = Repository::open(Arc::clone(store), &[world.officer.public()])?;
    let (officer, identities) = (world.alice(), [world.recovery_identity()]);
    let clock = &SystemClock;
    act(&Acting {
        repository: &repository,
        identities: &identities,
        officer: &officer,
        clock,
        lanes: NonZeroUsize::MIN,
    })
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

fn planned(acting: &Acting<'_>, name: &str) -> Result<Plan, RepositoryError> {
    erase::plan(acting, &tenant(name), &[acting.repository.store()])
}

/// As the verb does it.
fn erased(world: &World, store: &Arc<dyn Store>, name: &str) -> Result<(Put, Swept), RepositoryError> {
    act(world, store, |acting| {
        let plan = planned(acting, name)?;
        let put = erase::put(acting, &plan)?;
        Ok((put, erase::sweep(acting, &[acting.repository.store()])?))
    })
}

fn proved(world: &World, store: &Arc<dyn Store>, seq: u32) -> Proof {
    act(world, store, |acting| erase::prove(acting, Seq(seq), &[acting.repository.store()])).unwrap()
}

fn swept(world: &World, store: &Arc<dyn Store>) -> Swept {
    act(world, store, |acting| erase::sweep(acting, &[acting.repository.store()])).unwrap()
}

fn run(world: &World, store: &Arc<dyn Store>, observer: &dyn Observer) -> Result<Report, BackupError> {
    world.run(Arc::clone(store), &world.job(), &SystemClock, observer)
}

/// Restores the latest snapshot; beta must be there, and of acme only what `acme` says.
fn restored(world: &World, acme: &[&str]) {
    let target = scratch();
    world.restore(target.path()).unwrap();
    assert_eq!(fs::read(target.path().join("tenants/beta/b")).unwrap(), b"b of beta ".repeat(300));
    for file in ["a", "more"] {
        assert_eq!(target.path().join("tenants/acme").join(file).exists(), acme.contains(&file), "{file}");
    }
}

/// Both scripts on a copy of the store.
fn by_hand(world: &World, store: &MemoryStore) -> (i32, String, std::path::PathBuf, tempfile::TempDir) {
    let dir = scratch();
    let repository = dir.path().join("repository");
    for object in store.list("").unwrap() {
        write(&repository, object.name.as_str(), &store.read(&object.name, Bytes::mib(1024)).unwrap());
    }
    let papers = Safe::new(world);
    let safe = Safe { officers: papers.officers, identity: papers.identity, repository };
    let tools = Toolbox::new();
    let checked = tools.script("scripts/check-signatures", safe.papers());
    let target = dir.path().join("target");
    let mut args: Vec<OsString> = safe.papers().into_iter().map(ToOwned::to_owned).collect();
    args.extend(["--identity".into(), safe.identity.into(), "--component".into(), "files".into()]);
    args.extend(["--target".into(), target.clone().into()]);
    let said = tools.script("scripts/break-glass", &args);
    assert_eq!(said.status, Some(0), "{said:#?}");
    (checked.status.unwrap(), said.stdout + &checked.stderr, target, dir)
}

#[test]
fn a_tenant_is_erased_and_its_neighbours_are_not() {
    let (world, memory) = world();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let before: Vec<(ObjectName, Vec<u8>)> = ["keys/", "cards/"]
        .iter()
        .flat_map(|prefix| memory.list(prefix).unwrap())
        .map(|object| (object.name.clone(), memory.read(&object.name, Bytes::mib(1)).unwrap()))
        .collect();
    let plan = act(&world, &store, |acting| planned(acting, "acme")).unwrap();
    assert_eq!((plan.keys.len(), plan.snapshots.len(), plan.tokens.len()), (1, 2, 1));
    let (put, done) = erased(&world, &store, "acme").unwrap();
    assert!(put.effective && put.seq == Seq(0));
    let of = done.places[0].of(&plan.keys.iter().map(|(_, key)| *key).collect());
    assert_eq!((of, done.places.len()), ((2, 2, 2), 1));
    let rest = Swept { places: Vec::new(), ..done };
    assert_eq!(rest, Swept { destroyed: 2, graves: 2, ..Swept::default() });
    let buried: Vec<&(ObjectName, Vec<u8>)> =
        before.iter().filter(|(name, _)| memory.read(name, Bytes::mib(1)).unwrap() == GRAVE).collect();
    assert_eq!(buried.len(), 2);

    // Nobody names the tenant in clear, and what is left passes every check.
    for object in memory.list("erasures/").unwrap() {
        let bytes = memory.read(&object.name, Bytes::mib(1)).unwrap();
        assert!(!bytes.windows(4).any(|window| window == b"acme"), "a tombstone names the tenant");
    }
    world.verify(&store).assert_passed("erased");
    restored(&world, &[]);
    let (checked, said, target, _kept) = by_hand(&world, &memory);
    assert!(checked == 0 && said.contains(&format!("erased-key\t{}", plan.keys[0].1)), "{said}");
    assert!(target.join("tenants/beta/b").exists() && !target.join("tenants/acme/a").exists());
    let proof = proved(&world, &store, 0);
    assert!(proof.found.is_empty() && proof.segments > 0 && proof.identities > 3, "{proof:?}");

    // Its files are left out of the next backup, which says so; the others' go on.
    write(&world.source(), "tenants/beta/new", b"new of beta");
    let keys = memory.list("keys/").unwrap().len();
    let report = world.backup().unwrap();
    assert_eq!((report.problems.of(ProblemKind::Erased), report.problems.total()), (1, 1), "{report:?}");
    assert_eq!(memory.list("keys/").unwrap().len(), keys);
    restored(&world, &[]);
    world.verify(&store).assert_passed("a backup later");

    // A copy of a key object that comes back is found, by everybody, and goes again.
    let (name, bytes) = buried.iter().find(|(name, _)| name.as_str().starts_with("keys/")).unwrap();
    memory.remove(name);
    assert_eq!(memory.create(name, bytes).unwrap(), Created::New);
    let found = proved(&world, &store, 0);
    assert!(found.found.iter().any(|one| one.contains("is there again")), "{found:?}");
    let verdict = world.verify(&store);
    assert!(
        verdict
            .findings
            .iter()
            .any(|one| one.severity == Severity::Damage && one.what.contains("still or again"))
    );
    assert_eq!(by_hand(&world, &memory).0, 1);
    restored(&world, &[]);
    assert_eq!(swept(&world, &store).destroyed, 1);
    world.verify(&store).assert_passed("swept again");

    // And one that lies elsewhere, under the name of another key.
    let other: ObjectName =
        name.as_str().replace(&plan.keys[0].1.to_string(), &"ab".repeat(32)).parse().unwrap();
    assert_eq!(memory.create(&other, bytes).unwrap(), Created::New);
    let found = proved(&world, &store, 0);
    assert!(found.found.iter().any(|one| one.contains("holds the erased key")), "{found:?}");
    assert!(found.found.iter().any(|one| one.contains("opens")), "{found:?}");
    memory.remove(&other);

    // Sealing anew leaves the graves alone and brings nothing back.
    act(&world, &store, |acting| reseal::reseal(acting, &Renewal::default())).unwrap();
    assert_eq!(act(&world, &store, reseal::finish).unwrap().step, Step::Destroyed(None));
    assert!(proved(&world, &store, 0).found.is_empty());
    world.verify(&store).assert_passed("sealed anew");
    restored(&world, &[]);
}

#[test]
fn what_a_backup_left_out_of_an_erased_tenant_is_no_surplus() {
    let (world, memory) = world();
    let store: Arc<dyn Store> = Arc::new(memory);
    erased(&world, &store, "acme").unwrap();
    assert_eq!(world.backup().unwrap().counts.erased, 1);
    act(&world, &store, |acting| erase::readmit(acting, &tenant("acme"))).unwrap();
    // Let in again, acme has files; the latest snapshot is of before, and knows nothing of them.
    let target = world.source();
    write(&target, "tenants/acme/new", b"what acme wrote since");
    write(&target, "surplus", b"surplus");
    let in_place = InPlace { delete: true, ..InPlace::default() };
    let options = Options { in_place: Some(in_place), ..Options::default() };
    let report = world.restore_with(&target, &Selection::default(), &options).unwrap();
    assert!(target.join("tenants/acme/new").exists() && target.join("surplus").exists());
    let refused = report.changes.unwrap().not_removed.unwrap();
    assert!(refused.contains("officers had erased their tenant"), "{refused}");
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
fn a_run_under_way_commits_nothing_of_an_erased_tenant() {
    let (world, memory) = world();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    // The run makes a key for a tenant that nobody has seen yet.
    write(&world.source(), "tenants/gamma/c", &SECRET.repeat(10));
    let ((here, arrived), (release, go)) = (channel(), channel());
    let holding = Holding { here, go: Mutex::new(go) };
    let outcome = std::thread::scope(|scope| {
        let under_way = scope.spawn(|| run(&world, &store, &holding));
        arrived.recv().unwrap();
        // The tombstone is signed as by an officer who listed keys before this one was made.
        act(&world, &store, |acting| {
            let mut plan = planned(acting, "gamma")?;
            plan.keys.clear();
            erase::put(acting, &plan)
        })
        .unwrap();
        release.send(()).unwrap();
        under_way.join().unwrap()
    });
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("erased a tenant"), "{error}");
    // What it made is found by the sweep, and named by a tombstone of its own.
    let done = swept(&world, &store);
    assert_eq!((done.late, done.destroyed), (1, 2));
    assert!(proved(&world, &store, 1).found.is_empty());
    let report = world.backup().unwrap();
    assert_eq!(report.problems.of(ProblemKind::Erased), 1);
    world.verify(&store).assert_passed("the next backup");
    restored(&world, &["a", "more"]);
}

/// Between reading tombstones and reading cards an erasure may end: the run that comes so late takes it for what it is.
#[test]
fn a_run_that_begins_during_an_erasure_finds_a_grave_and_no_damage() {
    let (world, memory) = world();
    let counting = Arc::new(FaultyStore::new(memory.fork()));
    run(&world, &(Arc::clone(&counting) as Arc<dyn Store>), &Silent).unwrap();
    let log = counting.log();
    let tombstones = log.iter().position(|call| call.subject == "erasures/").unwrap();
    let cards = log.iter().position(|call| call.subject.starts_with("cards/")).unwrap();
    assert!(tombstones < cards, "{log:?}");
    let last = log.iter().rposition(|call| call.subject.starts_with("cards/")).unwrap();
    let (world, mut left_out) = (Arc::new(world), 0);
    for (at, call) in log.iter().enumerate().take(last + 1).skip(tombstones + 1) {
        let memory = memory.fork();
        let (meanwhile, store): (_, Arc<dyn Store>) = (Arc::clone(&world), Arc::new(memory.clone()));
        let held = FaultyStore::new(memory).call_at(at as u64 + 1, move || {
            erased(&meanwhile, &store, "acme").unwrap();
        });
        // A card that was read just before is good until the run commits; nothing is damage.
        match run(&world, &(Arc::new(held) as Arc<dyn Store>), &Silent) {
            Ok(report) => {
                assert_eq!(report.problems.of(ProblemKind::Erased), 1, "erased before {call}");
                left_out += 1;
            }
            Err(error) => assert!(error.to_string().contains("erased a tenant"), "{call}: {error}"),
        }
    }
    assert!(left_out > 0);
}

#[test]
fn a_tenant_that_is_let_in_again_has_a_new_key() {
    let (world, memory) = world();
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    erased(&world, &store, "acme").unwrap();
    world.backup().unwrap();
    restored(&world, &[]);
    let error = act(&world, &store, |acting| erase::readmit(acting, &tenant("beta"))).unwrap_err();
    assert!(error.to_string().contains("not erased"), "{error}");
    act(&world, &store, |acting| erase::readmit(acting, &tenant("acme"))).unwrap();
    let keys = memory.list("keys/").unwrap().len();
    let report = world.backup().unwrap();
    assert_eq!(report.problems.total(), 0);
    assert_eq!(memory.list("keys/").unwrap().len(), keys + 1);
    restored(&world, &["a", "more"]);
    // What was erased stays erased.
    assert!(proved(&world, &store, 0).found.is_empty());
    assert_eq!(swept(&world, &store).late, 0);
    world.verify(&store).assert_passed("let in again");
    let system = act(&world, &store, |acting| erase::plan(acting, &Tenant::System, &[])).unwrap_err();
    assert!(system.to_string().contains("no tenant"), "{system}");
}

#[test]
fn erasing_may_be_cut_off_at_every_operation() {
    let (world, memory) = world();
    let mut stopped = 0;
    'all: for at in 1.. {
        for fault in [Fault::Before, Fault::After] {
            let base = memory.fork();
            let store: Arc<dyn Store> = Arc::new(base.clone());
            let faulty = Arc::new(FaultyStore::new(base.clone()).stop_at(at, fault));
            let outcome = erased(&world, &(Arc::clone(&faulty) as Arc<dyn Store>), "acme");
            if faulty.operations() < at {
                outcome.unwrap();
                break 'all;
            }
            stopped += 1;
            let context = format!("stopped at operation {at}, {fault:?}: {:?}", faulty.log().last());
            // Between tombstone and sweep the only complaint is that something is to be swept.
            let verdict = world.verify(&store);
            let damage = verdict.findings.iter().filter(|one| one.severity == Severity::Damage);
            let damage: Vec<_> = damage.filter(|one| !one.what.contains("erase --sweep")).collect();
            assert!(damage.is_empty(), "{context}: {damage:#?}");
            // The same again: by name where no tombstone holds yet, and swept.
            let named = act(&world, &store, |acting| planned(acting, "acme")).unwrap();
            if named.keys.is_empty() {
                swept(&world, &store)
            } else {
                erased(&world, &store, "acme").unwrap().1
            };
            world.verify(&store).assert_passed(&context);
            let graves = |prefix: &str| {
                let all = base.list(prefix).unwrap();
                all.iter().filter(|one| base.read(&one.name, Bytes::mib(1)).unwrap() == GRAVE).count()
            };
            assert_eq!((graves("keys/"), graves("cards/")), (1, 1), "{context}");
        }
    }
    assert!(stopped > 40);
    eprintln!("stopped {stopped} times, at every operation, before and after it");
}

/// What hosts remember names a tenant's paths: it goes whoever swept before, and what is from after the tombstone stays.
#[test]
fn what_hosts_remember_from_before_an_erasure_goes_with_every_sweep() {
    let later = Arc::new(Mutex::new(Duration::ZERO));
    let memory = MemoryStore::with_clock(Arc::new(Later(Arc::clone(&later))));
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let world = World::over(Arc::clone(&store), scratch());
    write(&world.source(), "tenants/acme/a", &SECRET.repeat(300));
    let job = Job { state_in_repository: true, ..world.job() };
    world.run(Arc::clone(&store), &job, &SystemClock, &Silent).unwrap();
    let states = || -> Vec<(ObjectName, Vec<u8>)> {
        let all = memory.list("state/").unwrap();
        all.into_iter()
            .map(|one| (one.name.clone(), memory.read(&one.name, Bytes::mib(64)).unwrap()))
            .collect()
    };
    let before = states();
    assert!(!before.is_empty());
    let put_back = || {
        for (name, bytes) in &before {
            assert_eq!(memory.create(name, bytes).unwrap(), Created::New);
        }
    };
    assert_eq!(swept(&world, &store).destroyed, 0);
    assert_eq!(states(), before, "nobody was ever erased");
    erased(&world, &store, "acme").unwrap();
    assert_eq!(states(), []);
    // A backup that committed just before puts them just after; there is no key left to be destroyed.
    put_back();
    assert_eq!(swept(&world, &store).destroyed, 0);
    assert_eq!(states(), []);
    *later.lock().unwrap() = Duration::from_secs(2 * 86_400);
    put_back();
    assert_eq!(swept(&world, &store).destroyed, 0);
    assert_eq!(states(), before, "a state of two days later knows of the tombstone");
}

struct Later(Arc<Mutex<Duration>>);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(*self.0.lock().unwrap())
    }
}

/// Graves lie at names of keys, and no bundle holds what is erased: neither is damage, of the store or of a bundle.
#[test]
fn bundles_and_erasures_agree() {
    let later = Arc::new(Mutex::new(Duration::ZERO));
    let memory = MemoryStore::with_clock(Arc::new(Later(Arc::clone(&later))));
    let store: Arc<dyn Store> = Arc::new(memory.clone());
    let world = World::over(Arc::clone(&store), scratch());
    write(&world.source(), "tenants/acme/a", &SECRET.repeat(300));
    write(&world.source(), "tenants/beta/b", &b"b of beta ".repeat(300));
    world.backup().unwrap();
    let keeper = world.maintainer("m1", 7);
    let bundle = || {
        let repository = world.repository();
        let put = bundles::put(&repository, &keeper.signing, &SystemClock, false).unwrap();
        let held = bundles::read(&repository, put.name.as_ref().unwrap()).unwrap();
        (put.problems, held.into_keys().collect::<Vec<ObjectName>>())
    };
    let keys = |held: &[ObjectName]| held.iter().filter(|name| name.as_str().starts_with("keys/")).count();
    let (problems, held) = bundle();
    assert_eq!((problems, keys(&held)), (Vec::<String>::new(), 3));
    // The tombstone is signed and not swept yet: its key goes into no bundle any more.
    act(&world, &store, |acting| {
        let plan = planned(acting, "acme")?;
        erase::put(acting, &plan)
    })
    .unwrap();
    let (problems, held) = bundle();
    assert_eq!((problems, keys(&held)), (Vec::<String>::new(), 2));
    assert_eq!(swept(&world, &store).destroyed, 2);
    *later.lock().unwrap() = Duration::from_secs(3 * 3_600);
    let (problems, held) = bundle();
    assert_eq!((problems, keys(&held)), (Vec::<String>::new(), 2));
    world.verify(&store).assert_passed("graves that are older than the newest bundle");
}
