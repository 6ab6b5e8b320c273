//! An officer who was removed: trust and tombstones in that officer's name count for nothing, whatever time they say.

#![cfg(test)]

use std::num::NonZeroUsize;
use std::sync::Arc;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::signers::{AllowedSigners, Entry};
use lifeboat_repo::crypto::{Identity, Kind, SigningKey, sign_object};
use lifeboat_repo::format::names::{self, Seq};
use lifeboat_repo::format::records::ErasureBody;
use lifeboat_repo::format::trust::TrustHeader;
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{KeyId, Label, ObjectName};
use lifeboat_repo::repository::erase::{self, Plan};
use lifeboat_repo::repository::officer::{self, Officer};
use lifeboat_repo::repository::renewal::remove_officer;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::proof::scratch;
use lifeboat_tests::stock::{Safe, Toolbox};
use lifeboat_tests::{World, label, write};
use lifeboat_verify::Severity;

/// A repository with a second officer, bob, who has erased a tenant and was then removed.
struct Stage {
    world: World,
    memory: MemoryStore,
    bob: SigningKey,
}

impl Stage {
    fn new() -> Self {
        let memory = MemoryStore::new();
        let world = World::over(Arc::new(memory.clone()), scratch());
        for tenant in ["acme", "beta", "gamma"] {
            write(&world.source(), &format!("tenants/{tenant}/a"), &tenant.as_bytes().repeat(300));
        }
        world.backup().unwrap();
        let bob = SigningKey::from_seed([3; 32]);
        let repository = world.repository();
        let recovery = world.recovery(&repository);
        let recipient = Identity::generate().recipient();
        let (name, clock) = (label("bob"), &SystemClock);
        officer::add_officer(&recovery, &world.alice(), &name, bob.public(), &recipient, clock).unwrap();
        let stage = Self { world, memory, bob };
        let erased = stage.act(&Officer { name: label("bob"), signing: &stage.bob }, |acting| {
            let plan = stage.plan(acting, "gamma")?;
            erase::put(acting, &plan)?;
            erase::sweep(acting, &[&stage.memory])
        });
        assert_eq!(erased.unwrap().destroyed, 2);
        stage
    }

    fn plan(&self, acting: &Acting<'_>, tenant: &str) -> Result<Plan, RepositoryError> {
        erase::plan(acting, &tenant.parse().unwrap(), &[&self.memory])
    }

    fn act<T>(
        &self,
        officer: &Officer<'_>,
        act: impl FnOnce(&Acting<'_>) -> Result<T, RepositoryError>,
    ) -> Result<T, RepositoryError> {
        let repository = self.opened()?;
        let (identities, clock, lanes) = ([self.world.recovery_identity()], &SystemClock, NonZeroUsize::MIN);
        act(&Acting { repository: &repository, identities: &identities, officer, clock, lanes })
    }

    fn remove_bob(&self) {
        assert!(
            self.act(&self.world.alice(), |acting| remove_officer(acting, &label("bob"))).unwrap().closed
        );
    }

    fn opened(&self) -> Result<Repository, RepositoryError> {
        Repository::open(Arc::new(self.memory.clone()), &[self.world.officer.public()])
    }

    fn put(&self, signing: &SigningKey, kind: Kind, name: &ObjectName, body: &[u8]) {
        let object = sign_object(signing, kind, &self.world.repository().id(), name, body).unwrap();
        assert_eq!(self.memory.create(name, &object).unwrap(), Created::New, "{name}");
    }

    /// Puts the trust that follows, as somebody says.
    fn put_trust(
        &self,
        signing: &SigningKey,
        change: impl FnOnce(&mut TrustHeader, &mut Vec<Entry>),
    ) -> ObjectName {
        let before = self.world.repository().trust().clone();
        let mut entries: Vec<Entry> = before.signers.entries().cloned().collect();
        let mut header =
            TrustHeader { seq: before.head.0.next(), previous: Some(before.head.1), ..before.header.clone() };
        change(&mut header, &mut entries);
        let text = AllowedSigners::new(&serde_json::to_string(&header).unwrap(), entries).unwrap().render();
        let name = names::trust(header.seq).unwrap();
        self.put(signing, Kind::Trust, &name, text.as_bytes());
        name
    }

    /// What `check-signatures` ends with, and says.
    fn by_hand(&self) -> (i32, String) {
        let dir = scratch();
        let repository = dir.path().join("repository");
        for object in self.memory.list("").unwrap() {
            write(
                &repository,
                object.name.as_str(),
                &self.memory.read(&object.name, Bytes::mib(64)).unwrap(),
            );
        }
        let papers = Safe::new(&self.world);
        let safe = Safe { officers: papers.officers, identity: papers.identity, repository };
        let said = Toolbox::new().script("scripts/check-signatures", safe.papers());
        (said.status.unwrap(), said.stdout + &said.stderr)
    }
}

fn closed_at(entries: &[Entry]) -> Timestamp {
    entries.iter().find(|entry| entry.principal == "officer:bob").unwrap().valid_before.unwrap()
}

/// Bob takes the repository back: he is an officer again, and nobody else is.
fn take_back(header: &mut TrustHeader, entries: &mut [Entry], created: Timestamp) {
    header.created = created;
    for entry in entries.iter_mut() {
        let (bob, alice) = (entry.principal == "officer:bob", entry.principal == "officer:alice");
        if bob {
            entry.valid_before = None;
        } else if alice {
            entry.valid_before = entry.valid_after.map(|after| Timestamp::new(after.seconds() + 1, 0));
        }
    }
}

#[test]
fn a_removed_officer_signs_no_trust() {
    let stage = Stage::new();
    stage.remove_bob();
    let trust = stage.world.repository().trust().clone();
    let entries: Vec<Entry> = trust.signers.entries().cloned().collect();
    let closed = closed_at(&entries);
    assert!(
        trust.header.created.seconds() > closed.seconds(),
        "the trust that removes bob must be of a second at which he may sign nothing"
    );
    // Dated as early as the chain allows, and in the last second that was bob's.
    for created in [trust.header.created, closed] {
        let forged = stage.put_trust(&stage.bob, |header, entries| take_back(header, entries, created));
        let error = stage.opened().unwrap_err();
        assert!(error.to_string().contains(forged.as_str()), "{error}");
        let (status, said) = stage.by_hand();
        assert!(status != 0 && said.contains(forged.as_str()), "{said}");
        stage.memory.remove(&forged);
    }
    assert_eq!(stage.by_hand().0, 0);
    // He does not come back by the front door either: not with the same key, and not by name.
    let repository = stage.world.repository();
    let recovery = stage.world.recovery(&repository);
    let (alice, key, recipient) = (stage.world.alice(), stage.bob.public(), Identity::generate().recipient());
    for name in ["bob", "robert"] {
        let again = officer::add_officer(&recovery, &alice, &label(name), key, &recipient, &SystemClock);
        assert!(again.is_err(), "{name}");
    }
}

/// Trust that was put before `created` was moved behind the last second of whoever it removes.
#[test]
fn a_removed_officer_signs_no_trust_that_follows_one_of_the_same_second() {
    let stage = Stage::new();
    let mut closed = Timestamp::new(0, 0);
    stage.put_trust(&stage.world.officer, |header, entries| {
        for entry in entries.iter_mut().filter(|entry| entry.principal == "officer:bob") {
            closed =
                Timestamp::new(entry.valid_after.unwrap().seconds().max(header.created.seconds()) + 1, 0);
            entry.valid_before = Some(closed);
        }
        header.created = closed;
    });
    stage.opened().unwrap();
    let forged = stage.put_trust(&stage.bob, |header, entries| take_back(header, entries, closed));
    let error = stage.opened().unwrap_err();
    assert!(error.to_string().contains(forged.as_str()), "{error}");
    let (status, said) = stage.by_hand();
    assert!(status != 0 && said.contains(forged.as_str()), "{said}");
}

#[test]
fn a_removed_officer_erases_nobody() {
    let stage = Stage::new();
    let keys: Vec<(Label, KeyId)> = {
        let repository = stage.world.repository();
        stage.world.recovery(&repository).keys().unwrap()
    };
    assert_eq!(keys.len(), 3, "{keys:?}");
    let tokens = stage.act(&stage.world.alice(), |acting| stage.plan(acting, "acme")).unwrap().tokens;
    let time = {
        let repository = stage.world.repository();
        let entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
        entries.iter().find(|entry| entry.principal == "officer:bob").unwrap().valid_after.unwrap()
    };
    // A number that alice took, below those that bob took while he might.
    stage
        .act(&stage.world.alice(), |acting| {
            let mut plan = stage.plan(acting, "acme")?;
            (plan.keys, plan.tokens) = (Vec::new(), std::collections::BTreeMap::new());
            erase::put(acting, &plan)
        })
        .unwrap();
    stage.remove_bob();
    for seq in [Seq(1), Seq(2), Seq(9)] {
        let body = ErasureBody {
            format: FORMAT_VERSION,
            seq,
            time,
            keys: keys.clone(),
            tenants: tokens.clone(),
            readmit: false,
        };
        let name = names::erasure(seq, &label("bob")).unwrap();
        stage.put(&stage.bob, Kind::Erasure, &name, &format::encode(&body, "tombstone").unwrap());
    }
    // Nor does garbage in his name stop anybody.
    let garbage = names::erasure(Seq(10), &label("bob")).unwrap();
    assert_eq!(stage.memory.create(&garbage, b"garbage").unwrap(), Created::New);
    let swept = stage.act(&stage.world.alice(), |acting| erase::sweep(acting, &[&stage.memory])).unwrap();
    assert_eq!((swept.destroyed, swept.late), (0, 0), "{swept:?}");
    let report = stage.world.backup().unwrap();
    assert_eq!(report.problems.total(), 1, "gamma alone, whom bob erased while he might: {report:?}");
    let target = scratch();
    stage.world.restore(target.path()).unwrap();
    for (tenant, there) in [("acme", true), ("beta", true), ("gamma", false)] {
        assert_eq!(target.path().join(format!("tenants/{tenant}/a")).exists(), there, "{tenant}");
    }
    let verdict = stage.world.verify(&(Arc::new(stage.memory.clone()) as Arc<dyn Store>));
    verdict.assert_passed("void tombstones");
    let told = verdict.findings.iter().filter(|one| one.what.contains("its officer was removed"));
    assert_eq!(told.filter(|one| one.severity == Severity::Notice).count(), 4);
    let (status, said) = stage.by_hand();
    assert_eq!(status, 0, "{said}");
}
