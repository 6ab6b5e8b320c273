//! What each role may do with what a store grants it: a writer's host needs no more than its rights, a revoked writer
//! does not end well, and an officer may seal keys anew.

#![cfg(test)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lifeboat_backup::BackupErrorKind;
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::{Identity, Kind, SigningKey, open_into, seal_into, split_object};
use lifeboat_repo::format::keys::{NamedIdentity, OfficersSeal, SealRecipient, WritersSeal, seal_id};
use lifeboat_repo::format::names::{self, Place, SealFor, place};
use lifeboat_repo::format::records::LedgerBody;
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{IdentityId, Label, ObjectName, PackId};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::RepositoryErrorKind;
use lifeboat_repo::repository::ledger::Ledger;
use lifeboat_repo::repository::officer;
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Listed, Store, StoreError, StoreErrorKind, Upload};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::examine::{Verdict, look_integrity};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::stock::{Safe, Toolbox, put_signed};
use lifeboat_tests::{World, label, write};

// --- a writer's host

/// A store as a policy leaves it to a writer's host: it lists everything, reads what it works with, puts what is its
/// own, and neither looks at packs and keys nor deletes.
struct HostStore {
    inner: Arc<dyn Store>,
    writer: Label,
    refused: Mutex<Vec<String>>,
}

impl HostStore {
    fn check(&self, verb: &'static str, name: &ObjectName, allowed: bool) -> Result<(), StoreError> {
        if allowed {
            return Ok(());
        }
        self.refused.lock().unwrap().push(format!("{verb} {name}"));
        let kind = StoreErrorKind::Other("access denied".into());
        Err(StoreError { operation: verb, subject: name.to_string(), location: self.location(), kind })
    }

    fn may_get(&self, name: &ObjectName) -> Result<(), StoreError> {
        let allowed = match place(name) {
            Some(
                Place::Card(writer, _)
                | Place::Index(writer, ..)
                | Place::Run(writer, _)
                | Place::Heartbeat(writer, _),
            ) => writer == self.writer,
            Some(
                Place::Trust(_)
                | Place::Seal(..)
                | Place::Snapshot(..)
                | Place::Ledger(..)
                | Place::Gc(_)
                | Place::Erasure(..),
            ) => true,
            Some(Place::State(component, ..)) => component == label("files"),
            _ => false,
        };
        self.check("get", name, allowed)
    }

    fn may_put(&self, name: &ObjectName) -> Result<(), StoreError> {
        let allowed = match place(name) {
            Some(
                Place::Card(writer, _)
                | Place::Key(_, writer, _)
                | Place::Index(writer, ..)
                | Place::Run(writer, _)
                | Place::Heartbeat(writer, _)
                | Place::Ledger(writer, _),
            ) => writer == self.writer,
            Some(Place::Pack(_)) => true,
            Some(Place::Snapshot(component, _) | Place::State(component, ..)) => component == label("files"),
            _ => false,
        };
        self.check("put", name, allowed)
    }
}

struct HostUpload<'s> {
    store: &'s HostStore,
    inner: Box<dyn Upload + 's>,
}

impl Upload for HostUpload<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.write(bytes)
    }

    fn finish(self: Box<Self>, name: &ObjectName) -> Result<(), StoreError> {
        self.store.may_put(name)?;
        self.inner.finish(name)
    }
}

impl Store for HostStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        self.may_put(name)?;
        self.inner.create(name, bytes)
    }
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.may_put(name)?;
        self.inner.stage(name, bytes)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        Ok(Box::new(HostUpload { store: self, inner: self.inner.upload()? }))
    }
    fn barrier(&self) -> Result<(), StoreError> {
        self.inner.barrier()
    }
    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.may_get(name)?;
        self.inner.read(name, limit)
    }
    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.may_get(name)?;
        self.inner.read_range(name, offset, length, into)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix)
    }
    /// Object stores ask for the right to read an object before they say that it is there.
    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        self.may_get(name)?;
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.check("delete", name, false)?;
        self.inner.delete(name)
    }
    fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now()
    }
}

/// Keys, cards, indexes and packs that are there stand in the ledger, but for keys without a card, which nobody uses.
fn assert_recorded(world: &World, store: &Arc<dyn Store>, context: &str) {
    let repository = world.repository_over(Arc::clone(store));
    let ledgers = Ledger::load_all(&repository).unwrap();
    let recorded = ledgers.values().next().unwrap().recorded();
    let objects: Vec<ObjectName> = store.list("").unwrap().into_iter().map(|object| object.name).collect();
    for name in &objects {
        let used = match place(name) {
            Some(Place::Key(_, writer, key)) => objects.contains(&names::card(&writer, key).unwrap()),
            Some(Place::Card(..) | Place::Index(..) | Place::Snapshot(..)) => true,
            _ => false,
        };
        assert!(!used || recorded.contains_key(name), "{context}: no ledger names {name}");
        if let (Some(Place::Key(..)), Some((hash, length))) = (place(name), recorded.get(name)) {
            let stored = store.read(name, Bytes::mib(1)).unwrap();
            let truth = lifeboat_repo::crypto::sha256(&stored);
            assert_eq!((hash.as_bytes(), *length), (&truth, Bytes::of(&stored)), "{context}: {name}");
        }
    }
}

/// Backups, and backups after one that died at any operation, with no more than a host's rights.
#[test]
fn a_writer_needs_no_right_that_its_host_must_not_have() {
    let base = MemoryStore::new();
    let world = World::over(Arc::new(base.clone()), scratch());
    write(&world.source(), "tenants/acme/a", &noise(1, 40_000));
    write(&world.source(), "shared/readme", b"of nobody");
    let mut expected = Expected::new();
    let hosted = |store: &MemoryStore| {
        let inner: Arc<dyn Store> = Arc::new(store.clone());
        Arc::new(HostStore { inner, writer: label("w1"), refused: Mutex::default() })
    };
    let first = hosted(&base);
    let report =
        world.run(Arc::clone(&first) as Arc<dyn Store>, &world.job(), &SystemClock, &Silent).unwrap();
    assert_eq!(*first.refused.lock().unwrap(), [""; 0]);
    expected.insert(report.run, Arc::new(Tree::of(&world.source())));
    write(&world.source(), "tenants/acme/b", &noise(2, 40_000));
    write(&world.source(), "tenants/beta/new", b"another tenant");
    let source = Arc::new(Tree::of(&world.source()));
    let mut deaths = 0;
    'everywhere: for at in 1.. {
        for fault in [Fault::Before, Fault::After] {
            let context = format!("died at operation {at}, {fault:?}");
            let (store, state) = (base.fork(), scratch());
            let job = world.job_with_state(state.path().to_owned());
            let host = hosted(&store);
            let dying = Arc::new(FaultyStore::new(Arc::clone(&host)).stop_at(at, fault));
            let outcome = world.run(Arc::clone(&dying) as Arc<dyn Store>, &job, &SystemClock, &Silent);
            assert_eq!(*host.refused.lock().unwrap(), [""; 0], "{context}");
            if dying.operations() < at {
                outcome.unwrap();
                break 'everywhere;
            }
            deaths += 1;
            let host = hosted(&store);
            let report = world.run(Arc::clone(&host) as Arc<dyn Store>, &job, &SystemClock, &Silent);
            let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(*host.refused.lock().unwrap(), [""; 0], "{context}");
            let store: Arc<dyn Store> = Arc::new(store);
            assert_recorded(&world, &store, &context);
            let mut expected = expected.clone();
            for one in world.listed(&store) {
                assert_eq!(one.standing, Standing::Counts, "{context}");
                expected.entry(one.run).or_insert_with(|| Arc::clone(&source));
            }
            assert!(expected.contains_key(&report.run));
            world.assert_restorable(&store, &expected, &context);
            world.verify(&store).assert_passed(&context);
        }
    }
    assert!(deaths > 40, "{deaths} deaths");
}

#[test]
fn the_rights_of_a_host_are_as_narrow_as_they_say() {
    let base = MemoryStore::new();
    let world = World::over(Arc::new(base.clone()), scratch());
    write(&world.source(), "tenants/acme/a", b"a");
    world.backup().unwrap();
    let inner: Arc<dyn Store> = Arc::new(base);
    let host = HostStore { inner, writer: label("w1"), refused: Mutex::default() };
    for area in ["keys/", "packs/", "lifeboat.json"] {
        let name = world.store.list("").unwrap().into_iter().find(|one| one.name.as_str().starts_with(area));
        let name = name.unwrap().name;
        assert!(host.read(&name, Bytes::mib(1)).is_err() && host.stat(&name).is_err(), "{name}");
        assert!(
            host.read_range(&name, Bytes(0), Bytes(1), &mut Vec::new()).is_err()
                && host.delete(&name).is_err()
        );
    }
    for name in ["trust/00000009", "seals/00000009/writers", "gc/00000000", "runs/w2/x", "ledger/w2/00000000"]
    {
        assert!(host.create(&name.parse().unwrap(), b"").is_err(), "{name}");
    }
    let upload = host.upload().unwrap();
    assert!(upload.finish(&"trust/00000009".parse().unwrap()).is_err());
    let pack = names::pack(PackId::from_bytes([1; 32])).unwrap();
    assert!(host.upload().unwrap().finish(&pack).is_ok());
}

// --- a revoked writer

/// A store that does something once an object below a prefix was put.
struct Meddler<'m> {
    inner: Arc<dyn Store>,
    prefix: &'static str,
    done: AtomicBool,
    act: Box<dyn Fn() + Send + Sync + 'm>,
}

impl Store for Meddler<'_> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn create(&self, name: &ObjectName, bytes: &[u8]) -> Result<Created, StoreError> {
        let created = self.inner.create(name, bytes)?;
        if name.as_str().starts_with(self.prefix) && !self.done.swap(true, Ordering::Relaxed) {
            (self.act)();
        }
        Ok(created)
    }
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.stage(name, bytes)
    }
    fn upload(&self) -> Result<Box<dyn Upload + '_>, StoreError> {
        self.inner.upload()
    }
    fn barrier(&self) -> Result<(), StoreError> {
        self.inner.barrier()
    }
    fn read(&self, name: &ObjectName, limit: Bytes) -> Result<Vec<u8>, StoreError> {
        self.inner.read(name, limit)
    }
    fn read_range(
        &self,
        name: &ObjectName,
        offset: Bytes,
        length: Bytes,
        into: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(name, offset, length, into)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<Listed>, StoreError> {
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<bool, StoreError> {
        self.inner.delete(name)
    }
    fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now()
    }
}

/// An officer revokes the writer while its run is under way: before the commit, in its last moment, after it.
#[test]
fn a_run_whose_writer_was_revoked_meanwhile_is_no_success() {
    for (prefix, said, snapshots) in [
        ("index/", "nothing of it was committed", 1),
        ("snapshots/", "its snapshot is stored and does not count", 2),
        ("ledger/", "", 2),
    ] {
        let world: &'static World = Box::leak(Box::new(World::over(Arc::new(MemoryStore::new()), scratch())));
        write(&world.source(), "tenants/acme/a", b"a");
        world.backup().unwrap();
        write(&world.source(), "tenants/acme/b", b"b");
        let revoke = || {
            let repository = world.repository();
            let recovery = world.recovery(&repository);
            officer::revoke_writer(&recovery, &world.alice(), &label("w1"), &SystemClock).unwrap();
        };
        let store = Meddler {
            inner: Arc::clone(&world.store),
            prefix,
            done: AtomicBool::new(false),
            act: Box::new(revoke),
        };
        let outcome = world.run(Arc::new(store), &world.job(), &SystemClock, &Silent);
        assert_eq!(world.store.list("snapshots/").unwrap().len(), snapshots, "{prefix}");
        let counting =
            world.listed(&world.store).iter().filter(|one| one.standing == Standing::Counts).count();
        if said.is_empty() {
            // The cutoff holds its last entry.
            assert_eq!((outcome.is_ok(), counting), (true, 2));
            continue;
        }
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(said) && error.to_string().contains("revoked"), "{error}");
        let BackupErrorKind::Repository(source) = error.kind else { panic!("{prefix}: another kind") };
        assert!(matches!(source.kind, RepositoryErrorKind::Refused(_)));
        assert_eq!(counting, 1, "{prefix}");
        let again = world.backup().unwrap_err();
        assert!(again.to_string().contains("not enrolled"), "{again}");
    }
}

/// Somebody who took the host puts what breaks its ledger before it is revoked: that neither hinders the revocation nor
/// voids what was backed up before, nor keeps a reader busy with a hundred million numbers.
#[test]
fn a_broken_ledger_neither_hinders_nor_spoils_a_revocation() {
    for junk in ["ledger/w1/00000001", "ledger/w1/00000007", "ledger/w1/99999999"] {
        for signed in [false, true] {
            let world = World::over(Arc::new(MemoryStore::new()), scratch());
            write(&world.source(), "tenants/acme/a", b"a");
            world.backup().unwrap();
            let name: ObjectName = junk.parse().unwrap();
            let honest = world.store.read(&"ledger/w1/00000000".parse().unwrap(), Bytes::mib(1)).unwrap();
            if signed {
                // Well signed, and linked to nothing.
                let Some(Place::Ledger(_, seq)) = place(&name) else { panic!("{name}") };
                let mut body: LedgerBody =
                    format::decode(split_object(&honest).unwrap().1, "ledger entry").unwrap();
                body.seq = seq;
                put_signed(
                    &world,
                    &world.writer,
                    Kind::Ledger,
                    &name,
                    &format::encode(&body, "entry").unwrap(),
                );
            } else {
                assert_eq!(world.store.create(&name, b"junk").unwrap(), Created::New);
            }
            let before = look_integrity(&world, &world.store);
            assert!(before.damage().count() < 5 && before.word("ledger/w1/0000000") == "named", "{before:?}");
            assert_eq!(world.listed(&world.store)[0].standing, Standing::Counts, "{junk} {signed}");
            let repository = world.repository();
            let recovery = world.recovery(&repository);
            let cutoff =
                officer::revoke_writer(&recovery, &world.alice(), &label("w1"), &SystemClock).unwrap();
            assert_eq!(cutoff.unwrap().0, names::Seq(0), "{junk} {signed}");
            assert_eq!(world.listed(&world.store)[0].standing, Standing::Counts, "{junk} {signed}");
            world.verify(&world.store).assert_passed(junk);
        }
    }
}

// --- an officer who seals anew

/// The seal renewed: new seals, every key object sealed anew and signed by this officer, the old ones gone.
fn renew_seal(world: &World, officer: &SigningKey) -> IdentityId {
    let newest =
        world.store.list("seals/").unwrap().into_iter().rfind(|one| one.name.last() == "officers").unwrap();
    let opened = |name: &ObjectName, identity: &Identity| {
        let object = world.store.read(name, Bytes::mib(1)).unwrap();
        let mut plain = Vec::new();
        open_into(split_object(&object).unwrap().1, std::slice::from_ref(identity), &mut plain).unwrap();
        plain
    };
    let mut seal: OfficersSeal = format::decode(&opened(&newest.name, &world.recovery), "seal").unwrap();
    let old: Identity = seal.seal.identity.parse().unwrap();
    let new = Identity::generate();
    let recipient = new.recipient().to_string();
    let id = seal_id(&recipient);
    seal.seq = seal.seq.next();
    seal.seal = NamedIdentity { id, identity: new.to_secret_string().to_string() };
    let put_seal = |which, to: &Identity, body: Vec<u8>| {
        let mut sealed = Vec::new();
        seal_into(&body, &[to.recipient()], &mut sealed).unwrap();
        put_signed(world, &world.officer, Kind::Seal, &names::seal(seal.seq, which).unwrap(), &sealed);
    };
    put_seal(SealFor::Officers, &world.recovery, format::encode(&seal, "seal").unwrap());
    let writers = WritersSeal {
        format: FORMAT_VERSION,
        seq: seal.seq,
        seal: SealRecipient { id, recipient },
        since: None,
        catalogs: seal.catalogs.iter().map(NamedIdentity::again).collect(),
    };
    put_seal(SealFor::Writers, &world.card, format::encode(&writers, "seal").unwrap());
    for object in world.store.list("keys/").unwrap() {
        let Some(Place::Key(_, writer, key)) = place(&object.name) else { continue };
        let mut sealed = Vec::new();
        seal_into(&opened(&object.name, &old), &[new.recipient()], &mut sealed).unwrap();
        put_signed(world, officer, Kind::Key, &names::key(id, &writer, key).unwrap(), &sealed);
        assert!(world.store.delete(&object.name).unwrap());
    }
    id
}

fn sealed_world() -> World {
    let world = World::new();
    write(&world.source(), "tenants/acme/a", b"a of acme");
    write(&world.source(), "tenants/beta/b", b"b of beta");
    world.backup().unwrap();
    world
}

#[test]
fn keys_that_an_officer_sealed_anew_are_good_everywhere() {
    let world = sealed_world();
    renew_seal(&world, &world.officer);
    world.verify(&world.store).assert_passed("sealed anew");
    assert_eq!(world.verify(&world.store).unrecorded, 0);
    world.restore(&world.dir.path().join("restored")).unwrap();
    let said = Toolbox::new().script("scripts/check-signatures", Safe::new(&world).papers());
    assert!(said.status == Some(0) && said.stdout.contains(" 0 unrecorded, "), "{said:#?}");
    // The writer goes on with its keys.
    let keys = world.store.list("keys/").unwrap().len();
    write(&world.source(), "tenants/acme/more", b"more of acme");
    world.backup().unwrap();
    assert_eq!(world.store.list("keys/").unwrap().len(), keys);
    world.verify(&world.store).assert_passed("a backup later");

    let safe = Safe::new(&world);
    let target = world.dir.path().join("by hand");
    let mut papers: Vec<std::ffi::OsString> = safe.papers().into_iter().map(ToOwned::to_owned).collect();
    papers.extend(["--identity".into(), safe.identity.clone().into(), "--component".into(), "files".into()]);
    papers.extend(["--target".into(), target.clone().into()]);
    let said = Toolbox::new().script("scripts/break-glass", &papers);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert_eq!(std::fs::read(target.join("tenants/acme/more")).unwrap(), b"more of acme");
    assert_eq!(std::fs::read(target.join("tenants/beta/b")).unwrap(), b"b of beta");
}

#[test]
fn keys_that_nobody_entitled_sealed_anew_are_refused_everywhere() {
    let world = sealed_world();
    // A key that trust does not know.
    let stranger = SigningKey::from_seed([77; 32]);
    let id = renew_seal(&world, &stranger);
    let verdict = look_integrity(&world, &world.store);
    let Verdict::Ran(_, findings) = &verdict else { panic!("{verdict:?}") };
    let blamed = findings.iter().filter(|one| one.object.to_string().starts_with(&format!("keys/{id}/")));
    assert_eq!(blamed.count(), world.store.list("keys/").unwrap().len(), "{verdict:?}");
    assert_eq!(verdict.word(&format!("keys/{id}/")), "named");
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    for (writer, key) in recovery.keys().unwrap() {
        let error = recovery.unwrap_tenant_key(&writer, key).err().unwrap();
        assert!(error.is_damage(), "{error}");
    }
    let safe = Safe::new(&world);
    let tools = Toolbox::new();
    let said = tools.script("scripts/check-signatures", safe.papers());
    assert!(said.status == Some(1) && said.stderr.contains(&format!("DAMAGED: keys/{id}/")), "{said:#?}");
    let mut papers: Vec<std::ffi::OsString> = safe.papers().into_iter().map(ToOwned::to_owned).collect();
    papers.extend(["--identity".into(), safe.identity.clone().into(), "--component".into(), "files".into()]);
    papers.extend(["--target".into(), world.dir.path().join("by hand").into()]);
    let said = tools.script("scripts/break-glass", &papers);
    assert!(said.status == Some(1) && said.stderr.contains("nor an officer vouches"), "{said:#?}");
}
