//! Old state played back, and damage to what collection leaves: gc records and fences. The matrix of all other objects
//! is `damage.rs`; words and rules are the same.

#![cfg(test)]

use std::sync::Arc;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::sign::{Kind, sign_object};
use lifeboat_repo::crypto::signers::Entry;
use lifeboat_repo::crypto::{AllowedSigners, Identity, SigningKey};
use lifeboat_repo::format::names::{self, Seq};
use lifeboat_repo::format::records::{FenceBody, GcBody, RunBody, Task};
use lifeboat_repo::format::trust::TrustHeader;
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::repository::snapshots::Standing;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Created, Store};
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::examine::{
    Listing, judge_restore, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::{World, label, write};

/// Three snapshots: the first expired by a gc record, a run fenced, and between the second and the third everything
/// became newer: trust, seals, a tenant's key.
struct Aged {
    world: World,
    store: MemoryStore,
    /// The store as it was after the second snapshot.
    old: MemoryStore,
    expired: ObjectName,
    fence: ObjectName,
    run: RunId,
    expected: Listing,
}

const GC: &str = "gc/00000000";

impl Aged {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = World::over(Arc::new(store.clone()), scratch());
        let source = world.source();
        write(&source, "tenants/acme/a", b"a of acme");
        let expired = world.backup().unwrap().snapshot;
        let maintainer = maintainer(&world);
        let time = SystemClock.now();
        let dead = RunId::new(time, [9; 8]);
        // A run that was announced, and took too long.
        let component = label("files");
        let body = RunBody {
            format: FORMAT_VERSION,
            writer: label("w1"),
            run: dead,
            component: Some(component),
            task: Task::Backup,
        };
        let announced = names::run(&label("w1"), dead).unwrap();
        put(&world, &world.writer, Kind::Run, &announced, &format::encode(&body, "run").unwrap());
        let fence = names::snapshot(&label("files"), dead).unwrap();
        let body = FenceBody { format: FORMAT_VERSION, fence: dead, time };
        put(&world, &maintainer, Kind::Fence, &fence, &format::encode(&body, "fence").unwrap());
        let body = GcBody {
            format: FORMAT_VERSION,
            seq: Seq(0),
            time,
            packs: Vec::new(),
            snapshots: vec![expired.clone()],
            ..GcBody::default()
        };
        let gc = format::encode(&body, "gc record").unwrap();
        put(&world, &maintainer, Kind::Gc, &GC.parse().unwrap(), &gc);
        write(&source, "tenants/beta/x", b"x of beta");
        world.backup().unwrap();
        let old = store.fork();
        world.enrol("w2", &SigningKey::from_seed([3; 32]).public(), &Identity::generate(), &["other"]);
        write(&source, "tenants/gamma/new", b"of a new tenant");
        write(&source, "tenants/beta/x", b"another x of beta");
        let run = world.backup().unwrap().run;
        let expected = tree(&source);
        Self { world, store, old, expired, fence, run, expected }
    }

    fn names(&self, prefix: &str) -> Vec<ObjectName> {
        self.store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    }

    /// What integrity, inventory, readback and a restore of the newest snapshot say of a store.
    fn say(&self, store: MemoryStore, named: &str) -> String {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let store: Arc<dyn Store> = Arc::new(store);
        let target = scratch();
        let target = target.path().join("target");
        let outcome = restore(&self.world, &store, &label("files"), Some(self.run), &target);
        [
            look_integrity(&self.world, &store).word(named),
            look_inventory(&self.world, &store, recovery.catalog()).word(named),
            look_readback(&self.world, &store).word(named),
            judge_restore(&outcome, &target, &self.expected),
        ]
        .join(" ")
    }
}

/// A maintainer, entered in the next trust.
fn maintainer(world: &World) -> SigningKey {
    let key = SigningKey::from_seed([77; 32]);
    let repository = world.repository();
    let (id, before) = (repository.id(), repository.trust());
    let mut entries: Vec<Entry> = before.signers.entries().cloned().collect();
    entries.push(Entry {
        principal: "maintainer:m1".into(),
        namespaces: vec![format!("lifeboat-fence:{id}:snapshots/*"), format!("lifeboat-gc:{id}:gc/*")],
        valid_after: Some(Timestamp::new(before.header.created.seconds(), 0)),
        valid_before: None,
        key: key.public(),
        comment: None,
    });
    let header = TrustHeader {
        seq: before.head.0.next(),
        previous: Some(before.head.1),
        created: SystemClock.now(),
        ..before.header.clone()
    };
    let text = AllowedSigners::new(&serde_json::to_string(&header).unwrap(), entries).unwrap().render();
    let name = names::trust(header.seq).unwrap();
    put(world, &world.officer, Kind::Trust, &name, text.as_bytes());
    key
}

fn put(world: &World, key: &SigningKey, kind: Kind, name: &ObjectName, body: &[u8]) {
    let object = sign_object(key, kind, &world.repository().id(), name, body).unwrap();
    assert_eq!(world.store.create(name, &object).unwrap(), Created::New);
}

#[test]
fn old_state_played_back_is_seen_by_whoever_can() {
    let aged = Aged::new();
    let areas = ["trust/", "seals/", "keys/", "cards/", "packs/", "index/", "snapshots/", "runs/", "ledger/"];
    let replay = |prefix: &str| {
        let store = aged.store.fork();
        let mut gone = 0;
        for name in aged.names(prefix) {
            if aged.old.stat(&name).unwrap().is_none() {
                store.remove(&name);
                gone += 1;
            }
        }
        assert!(gone > 0, "nothing below {prefix:?} became newer");
        aged.say(store, prefix)
    };
    let said: Vec<String> = areas.iter().map(|area| format!("{area} {}", replay(area))).collect();
    let matrix = MATRIX_REPLAY;
    assert_eq!(said, matrix, "{said:#?}");
    // All of it together is a repository as it once was. That takes a witness who saw the newer heads.
    assert_eq!(replay(""), "- - - refused");
}

/// What is played back, and what integrity, inventory, readback and a restore of the newest snapshot say.
///
/// Of a ledger's end nobody here can know that it is gone: that takes a witness. What was its own then restores by
/// its name, as unrecorded. The rest is named: ledger entries name objects, and checkpoints the newest trust and seals.
const MATRIX_REPLAY: &[&str] = &[
    "trust/ named - - exact",
    "seals/ named - - exact",
    "keys/ named named named partial",
    "cards/ named - - exact",
    "packs/ named named named partial",
    "index/ named named named partial",
    "snapshots/ named named named refused",
    "runs/ named found found refused",
    "ledger/ - - - exact",
];

#[test]
fn gc_records_and_fences_are_checked_like_everything_else() {
    let (aged, foreign) = (Aged::new(), Aged::new());
    let gc: ObjectName = GC.parse().unwrap();
    assert_eq!(aged.world.standing(&aged.world.store, &aged.expired), Some(Standing::Expired));
    assert_eq!(aged.world.standing(&aged.world.store, &aged.fence), Some(Standing::Fenced));
    let mut said = Vec::new();
    let unused = [
        "gc/00000007".to_owned(),
        format!("{}7777777777777777", aged.fence.as_str().split_at(aged.fence.as_str().len() - 16).0),
    ];
    let kinds = [("gc record", &gc, &gc, &aged.fence), ("fence", &aged.fence, &foreign.fence, &gc)];
    for ((what, name, strange, other), unused) in kinds.into_iter().zip(&unused) {
        let bytes = aged.store.read(name, Bytes::mib(1)).unwrap();
        let mut say = |how: &str, change: &dyn Fn(&MemoryStore)| {
            let store = aged.store.fork();
            change(&store);
            said.push(format!("{what} {how}: {}", aged.say(store, name.as_str())));
        };
        say("delete", &|store| store.remove(name));
        say("cut", &|store| store.replace(name, &bytes[..bytes.len() - 1]));
        say("empty", &|store| store.replace(name, b""));
        say("extend", &|store| store.replace(name, &[&bytes[..], b"\n"].concat()));
        say("flip signature", &|store| store.replace(name, &flipped(&bytes, 200)));
        say("flip body", &|store| store.replace(name, &flipped(&bytes, bytes.len() - 20)));
        say("swap", &|store| store.replace(name, &aged.store.read(other, Bytes::mib(1)).unwrap()));
        say("foreign", &|store| store.replace(name, &foreign.store.read(strange, Bytes::mib(1)).unwrap()));
        say("rename", &|store| {
            store.remove(name);
            store.replace(&unused.parse().unwrap(), &bytes);
        });
    }
    assert_eq!(said, MATRIX_COLLECTED, "{said:#?}");
}

/// What a gc record or a fence suffers, and what integrity, inventory, readback and a restore say.
///
/// A damaged record stops what would have to know what it condemned; a restore need not. One that is gone takes the
/// checkpoint that counted it to be missed; without it an expired snapshot counts again. A fence only keeps a run from
/// committing late.
const MATRIX_COLLECTED: &[&str] = &[
    "gc record delete: found - - exact",
    "gc record cut: named stops stops exact",
    "gc record empty: named stops stops exact",
    "gc record extend: named stops stops exact",
    "gc record flip signature: named stops stops exact",
    "gc record flip body: named stops stops exact",
    "gc record swap: named stops stops exact",
    "gc record foreign: named stops stops exact",
    "gc record rename: named stops stops exact",
    "fence delete: found - - exact",
    "fence cut: named - - exact",
    "fence empty: named - - exact",
    "fence extend: named - - exact",
    "fence flip signature: named - - exact",
    "fence flip body: named - - exact",
    "fence swap: named - - exact",
    "fence foreign: named - - exact",
    "fence rename: found - - exact",
];

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
