//! Maintainers: who is one, gc records and fences under every kind of answer, and the runs their work leaves.

#![cfg(test)]

use std::sync::Arc;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::format::names::{self, Seq};
use lifeboat_repo::format::records::{Recorded, Task};
use lifeboat_repo::ids::{KeyId, ObjectName, PackId};
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::ledger::Ledger;
use lifeboat_repo::repository::maintainer::{Fenced, GcDraft, Maintainer};
use lifeboat_repo::repository::officer::{self, NewMaintainer, NewWriter};
use lifeboat_repo::repository::pack::PackBuilder;
use lifeboat_repo::repository::run::{PACKS_PER_INDEX, Run};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::repository::{gc, index};
use lifeboat_repo::store::faulty::{Fault, FaultyStore, Operation};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::proof::scratch;
use lifeboat_tests::{World, label, write};

fn world() -> (World, MemoryStore) {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    write(&world.source(), "tenants/acme/1", &b"acme ".repeat(999));
    (world, memory)
}

fn maintainer<'r>(
    repository: &'r Repository,
    credentials: &Arc<Credentials>,
) -> Result<Maintainer<'r>, RepositoryError> {
    Maintainer::open(repository, Arc::clone(credentials), &SystemClock, &SystemEntropy)
}

fn expiring(snapshot: &ObjectName) -> GcDraft {
    GcDraft { snapshots: vec![snapshot.clone()], ..GcDraft::default() }
}

/// Begins a run of the world's writer and lets it be.
fn begin_a_run(world: &World) -> ObjectName {
    let repository = world.repository();
    let agent = lifeboat_repo::repository::agent::Agent::open(
        &repository,
        world.credentials().into(),
        &SystemClock,
        &SystemEntropy,
    )
    .unwrap();
    let run = Run::begin(agent, &label("files")).unwrap();
    names::snapshot(&label("files"), run.id()).unwrap()
}

#[test]
fn a_maintainer_has_two_roles_of_one_key_and_loses_both() {
    let (world, _) = world();
    let credentials = world.maintainer("m1", 71);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    maintainer(&repository, &credentials).unwrap().begin(Task::Maintain).unwrap().finish().unwrap();
    // A writer is no maintainer, and neither may be given the other's name or key.
    let refused = maintainer(&repository, &world.credentials().into()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("no maintainer here but a writer"), "{refused}");
    let card = Identity::generate().recipient();
    let fresh = SigningKey::from_seed([72; 32]).public();
    let writers = [("m1", credentials.signing.public()), ("m1", fresh), ("w9", credentials.signing.public())];
    for (name, signing) in writers {
        let new =
            NewWriter { name: label(name), signing, card: card.clone(), components: vec![label("files")] };
        officer::add_writer(&recovery, &world.alice(), &new, &SystemClock).unwrap_err();
    }
    let maintainers =
        [("w1", world.writer.public()), ("w1", fresh), ("m9", world.writer.public()), ("m1", fresh)];
    for (name, signing) in maintainers {
        let new = NewMaintainer { name: label(name), signing, card: card.clone() };
        officer::add_maintainer(&recovery, &world.alice(), &new, &SystemClock).unwrap_err();
    }
    officer::revoke_writer(&recovery, &world.alice(), &label("m1"), &SystemClock).unwrap();
    let repository = world.repository();
    assert!(maintainer(&repository, &credentials).is_err());
    let of_m1 = repository.trust().signers.entries().filter(|entry| entry.principal.ends_with(":m1"));
    assert_eq!(of_m1.map(|entry| entry.valid_before.is_some()).collect::<Vec<_>>(), [true, true]);
}

/// Numbers are gapless, whoever races; and each record names the runs that were open once all before it were there.
#[test]
fn records_take_the_next_number_and_name_open_runs() {
    let (world, _) = world();
    let first = world.backup().unwrap();
    let credentials = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
    let open = begin_a_run(&world);
    let repository = &world.repository();
    std::thread::scope(|scope| {
        for one in &credentials {
            scope.spawn(|| {
                let maintainer = maintainer(repository, one).unwrap();
                for _ in 0..8 {
                    maintainer.put_gc(&expiring(&first.snapshot)).unwrap();
                }
            });
        }
    });
    assert_eq!(world.store.list("gc/").unwrap().len(), 16);
    for number in 0..16 {
        let record = gc::read(repository, &names::gc(Seq(number)).unwrap(), Seq(number)).unwrap();
        assert_eq!(
            record.open,
            Some(vec![open.clone()]),
            "a run of maintenance or one that is over is not open"
        );
    }
    let maintainer = maintainer(repository, &credentials[0]).unwrap();
    assert_eq!(maintainer.fence(&open).unwrap(), Fenced::Now);
    assert_eq!(maintainer.fence(&open).unwrap(), Fenced::Over);
    assert_eq!(world.standing(&world.store, &open), Some(Standing::Fenced));
    let seq = maintainer.put_gc(&GcDraft::default()).unwrap();
    let record = gc::read(repository, &names::gc(seq).unwrap(), seq).unwrap();
    assert_eq!((seq, record.open), (Seq(16), Some(Vec::new())));
}

/// A run whose object is damaged is waited for at every name that its writer may sign.
#[test]
fn a_damaged_run_is_not_taken_for_over() {
    let (world, memory) = world();
    world.enrol("w1", &world.writer.public(), &world.card, &["docs"]);
    let credentials = world.maintainer("m1", 71);
    let open = begin_a_run(&world);
    let object = memory.list("runs/w1/").unwrap().pop().unwrap().name;
    memory.replace(&object, b"flipped");
    let repository = world.repository();
    let seq = maintainer(&repository, &credentials).unwrap().put_gc(&GcDraft::default()).unwrap();
    let record = gc::read(&repository, &names::gc(seq).unwrap(), seq).unwrap();
    let docs = names::snapshot(&label("docs"), open.last().parse().unwrap()).unwrap();
    assert_eq!(record.open, Some(vec![docs, open]));
}

/// Whether the answer to a creation is lost or it was never done: one record more at the most, and a fence either way.
#[test]
fn lost_answers_are_looked_up() {
    for fault in [Fault::Before, Fault::After] {
        let (world, memory) = world();
        let first = world.backup().unwrap();
        let credentials = world.maintainer("m1", 71);
        let open = begin_a_run(&world);
        let counting = Arc::new(FaultyStore::new(memory.fork()));
        let repository = world.repository_over(Arc::clone(&counting) as Arc<dyn Store>);
        maintainer(&repository, &credentials).unwrap().put_gc(&expiring(&first.snapshot)).unwrap();
        let at =
            counting.log().iter().position(|call| call.operation == Operation::Create).unwrap() as u64 + 1;
        let lost = || StoreErrorKind::Unreachable("a test lost the answer".into());
        let faulty: Arc<dyn Store> = Arc::new(FaultyStore::new(memory.clone()).fail_at(at, fault, lost()));
        let repository = world.repository_over(faulty);
        let put = maintainer(&repository, &credentials).unwrap().put_gc(&expiring(&first.snapshot));
        assert_eq!(put.is_ok(), fault == Fault::After, "{put:?}");
        assert_eq!(memory.list("gc/").unwrap().len(), usize::from(fault == Fault::After));

        let counting = Arc::new(FaultyStore::new(memory.fork()));
        let repository = world.repository_over(Arc::clone(&counting) as Arc<dyn Store>);
        assert_eq!(maintainer(&repository, &credentials).unwrap().fence(&open).unwrap(), Fenced::Now);
        let at = counting.operations();
        let faulty: Arc<dyn Store> = Arc::new(FaultyStore::new(memory.clone()).fail_at(at, fault, lost()));
        let repository = world.repository_over(faulty);
        let fenced = maintainer(&repository, &credentials).unwrap().fence(&open);
        assert_eq!(fenced.is_ok(), fault == Fault::After, "{fenced:?}");
    }
}

/// What a maintainer's runs put is in its ledger, what one that was cut off left behind too.
#[test]
fn runs_of_maintenance_are_recorded() {
    let (world, memory) = world();
    world.backup().unwrap();
    let credentials = world.maintainer("m1", 71);
    let repository = world.repository();
    maintainer(&repository, &credentials).unwrap().begin(Task::Maintain).unwrap();
    world.verify(&world.store).assert_passed("a run of maintenance under way");
    maintainer(&repository, &credentials).unwrap().begin(Task::Maintain).unwrap().finish().unwrap();
    let ledgers = Ledger::load_all(&repository).unwrap();
    let named = ledgers[&label("m1")].recorded();
    for run in memory.list("runs/m1/").unwrap() {
        assert!(named.contains_key(&run.name), "{}", run.name);
    }
    assert_eq!(ledgers[&label("m1")].entries.len(), 1);
    world.backup().unwrap();
    world.verify(&world.store).assert_passed("after a run of maintenance");
}

/// No reader takes a record, an entry or an index object that is too long, so none is put: all that is to be said is said in
/// several, or refused.
#[test]
fn nothing_is_put_that_no_reader_takes() {
    let (world, memory) = world();
    let credentials = world.maintainer("m1", 71);
    let first = world.backup().unwrap();
    let repository = world.repository();
    let maintainer = maintainer(&repository, &credentials).unwrap();
    let id = |number: u64| format!("{number:064x}");
    let keys: Vec<(ObjectName, KeyId)> =
        (0..40_000).map(|number| (first.snapshot.clone(), id(number).parse().unwrap())).collect();
    let packs: Vec<PackId> = (0..40_000).map(|number| id(number).parse().unwrap()).collect();
    let draft = GcDraft { keys: keys.clone(), packs: packs.clone(), ..GcDraft::default() };
    let last = maintainer.put_gc(&draft).unwrap();
    let records = memory.list("gc/").unwrap();
    assert!(records.len() > 1 && last.0 as usize + 1 == records.len(), "{}", records.len());
    assert!(records.iter().all(|record| record.length < Bytes::mib(5)));
    let condemned = gc::Condemned::load(&repository).unwrap();
    assert!(keys.iter().all(|(name, key)| condemned.key(name, *key)));
    assert!(packs.iter().all(|pack| condemned.pack(*pack)));
    // A ledger entry that would be too long is refused, and the ledger stays as it was.
    let mut run = maintainer.begin(Task::Maintain).unwrap();
    let long = "x/".repeat(250);
    for number in 0..120_000 {
        let name: ObjectName = format!("{long}{number}").parse().unwrap();
        run.record(Recorded(name, id(number).parse().unwrap(), Bytes(1)));
    }
    let before = memory.list("ledger/m1/").unwrap();
    let error = run.finish().unwrap_err();
    assert!(error.to_string().contains("no reader takes more"), "{error}");
    assert_eq!(memory.list("ledger/m1/").unwrap(), before);
    // Many packs are told in as many index objects as backups would put.
    let mut run = maintainer.begin(Task::Maintain).unwrap();
    let (mut packs, mut lines) = (Vec::new(), Vec::new());
    let told = index::names_of(&repository, &label("w1")).unwrap();
    let line = index::read(&repository, maintainer.catalog(), &told[0]).unwrap().segments[0].clone();
    for number in 0..PACKS_PER_INDEX as u64 + 9 {
        let mut builder = PackBuilder::begin(repository.store()).unwrap();
        builder.append(&number.to_le_bytes(), line.clone()).unwrap();
        let staged = builder.finish(maintainer.catalog(), maintainer.name(), run.id()).unwrap();
        packs.push(staged.pack);
        lines.extend(staged.segments);
    }
    let put = run.put_index(&packs, lines).unwrap();
    assert_eq!(put.iter().map(|(_, packs)| *packs).collect::<Vec<_>>(), [PACKS_PER_INDEX, 9]);
    let read = |name| index::read(&repository, maintainer.catalog(), name).unwrap();
    let told: Vec<_> = put.iter().map(|(name, _)| read(name)).collect();
    assert_eq!(told.iter().flat_map(|index| index.header.packs.clone()).collect::<Vec<_>>(), packs);
    assert!(told.iter().all(|index| index.header.packs.len() == index.segments.len()));
    run.finish().unwrap();
}
