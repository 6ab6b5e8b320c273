//! Damage to every kind of stored object: what each level sees of it, and what it cannot.

#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lifeboat_repo::format::index::SegmentKind;
use lifeboat_repo::ids::{KeyId, ObjectName, RunId};
use lifeboat_repo::repository::index;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::examine::{
    Listing, judge_restore, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::{World, label, write};

/// Bytes that no compressor gains on: they get a segment of their own.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A repository with two writers enrolled and two snapshots, and what the second holds.
struct Whole {
    world: World,
    store: MemoryStore,
    run: RunId,
    expected: Listing,
}

impl Whole {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = World::over(Arc::new(store.clone()), scratch());
        let signing = lifeboat_repo::crypto::SigningKey::from_seed([3; 32]);
        let card = lifeboat_repo::crypto::Identity::generate();
        world.enrol("w2", &signing.public(), &card, &["other"]);
        let source = world.source();
        write(&source, "shared/readme", b"what belongs to nobody");
        write(&source, "tenants/acme/a", b"a of acme");
        write(&source, "tenants/acme/photo", &noise(1, 150_000));
        write(&source, "tenants/acme/sub/c", &b"compressible ".repeat(3000));
        write(&source, "tenants/beta/x", b"x of beta");
        std::os::unix::fs::symlink("a", source.join("tenants/acme/link")).unwrap();
        world.backup().unwrap();
        write(&source, "tenants/acme/later", &noise(2, 120_000));
        write(&source, "tenants/beta/x", b"another x of beta");
        let run = world.backup().unwrap().run;
        let expected = tree(&source);
        Self { world, store, run, expected }
    }

    fn names(&self, prefix: &str) -> Vec<ObjectName> {
        self.store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    }

    /// The one name below a prefix that holds this.
    fn name_with(&self, prefix: &str, part: &str) -> ObjectName {
        self.names(prefix).into_iter().find(|name| name.as_str().contains(part)).unwrap()
    }

    fn bytes(&self, name: &ObjectName) -> Vec<u8> {
        self.store.read(name, Bytes::mib(64)).unwrap()
    }

    fn key_of(&self, tenant: &str) -> KeyId {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let keys = recovery.keys().unwrap();
        let own = |(writer, key): &(_, KeyId)| {
            recovery.unwrap_tenant_key(writer, *key).unwrap().tenant.to_string() == tenant
        };
        keys.into_iter().find(own).unwrap().1
    }

    /// The segment of acme's file `later` (noise, so it has one of its own): its pack, where it begins, its end.
    fn photo_segment(&self) -> (ObjectName, usize) {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let key = self.key_of("acme");
        for name in index::names_of(&repository, &label("w1")).unwrap().into_iter().rev() {
            let index = index::read(&repository, recovery.catalog(), &name).unwrap();
            for line in index.segments {
                if line.key == key && line.kind == SegmentKind::Data && line.plain == Bytes(120_000) {
                    let pack = lifeboat_repo::format::names::pack(line.pack.unwrap()).unwrap();
                    return (pack, usize::try_from(line.offset.0 + line.length.0 / 2).unwrap());
                }
            }
        }
        panic!("acme's file has no segment of its own");
    }
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Delete,
    CutByOne,
    Empty,
    ExtendByOne,
    /// The byte at this place, from the front.
    Flip(&'static str, usize),
    /// With another object of the same kind.
    Swap,
    /// To another name that its kind may have.
    Rename,
    /// The object of another repository that has the same officer, writer and keys of both.
    Foreign,
}

/// One object to damage.
struct Subject {
    what: &'static str,
    name: ObjectName,
    other: ObjectName,
    unused: ObjectName,
    foreign: ObjectName,
    flips: Vec<(&'static str, usize)>,
}

fn subjects(whole: &Whole, foreign: &Whole) -> Vec<Subject> {
    let named = |text: String| text.parse::<ObjectName>().unwrap();
    let signed = |name: &ObjectName| {
        let bytes = whole.bytes(name);
        let end = b"-----END SSH SIGNATURE-----\n";
        let body = bytes.windows(end.len()).position(|window| window == end).unwrap() + end.len();
        vec![
            ("frame", 0),
            ("signature", 200),
            ("body", body),
            ("middle", (body + bytes.len()) / 2),
            ("end", bytes.len() - 1),
        ]
    };
    let mut all = Vec::new();
    let mut add = |what, name: ObjectName, other: ObjectName, unused: String, foreign: ObjectName| {
        let flips = signed(&name);
        all.push(Subject { what, name, other, unused: named(unused), foreign, flips });
    };
    let at = |prefix: &str, place: usize| whole.names(prefix)[place].clone();
    let from = |prefix: &str, place: usize| foreign.names(prefix)[place].clone();
    let (acme, beta) = (whole.key_of("acme").to_string(), whole.key_of("beta").to_string());
    let theirs = foreign.key_of("acme").to_string();
    let nobody = "77".repeat(32);
    add("first trust", at("trust/", 0), at("trust/", 1), "trust/00000009".into(), from("trust/", 0));
    add("newest trust", at("trust/", 2), at("trust/", 1), "trust/00000009".into(), from("trust/", 2));
    let seal = |which: &str, seq: u32| named(format!("seals/{seq:08}/{which}"));
    for (what, which, seq, other) in [
        ("old seal", "officers", 0, 1),
        ("officers' seal", "officers", 2, 1),
        ("writers' seal", "writers", 2, 1),
    ] {
        let unused = format!("seals/00000009/{which}");
        add(what, seal(which, seq), seal(which, other), unused, seal(which, seq));
    }
    let key = whole.name_with("keys/", &acme);
    let unused = key.as_str().replace(&acme, &nobody);
    add("key", key, whole.name_with("keys/", &beta), unused, foreign.name_with("keys/", &theirs));
    let card = whole.name_with("cards/", &acme);
    let unused = card.as_str().replace(&acme, &nobody);
    add("card", card, whole.name_with("cards/", &beta), unused, foreign.name_with("cards/", &theirs));
    let other_run = |name: &ObjectName| {
        let text = name.as_str();
        let nonce = text.find("z-").unwrap() + 2;
        format!("{}{}{}", &text[..nonce], "7".repeat(16), &text[nonce + 16..])
    };
    for (what, area, place, other) in [
        ("first index", "index/", 0, 1),
        ("newest index", "index/", 1, 0),
        ("old snapshot", "snapshots/", 0, 1),
        ("snapshot", "snapshots/", 1, 0),
        ("run", "runs/", 1, 0),
    ] {
        let unused = other_run(&at(area, place));
        add(what, at(area, place), at(area, other), unused, from(area, place));
    }
    add("first entry", at("ledger/", 0), at("ledger/", 1), "ledger/w1/00000009".into(), from("ledger/", 0));
    let last = whole.names("ledger/").len() - 1;
    add("last entry", at("ledger/", last), at("ledger/", 0), "ledger/w1/00000009".into(), from("ledger/", last));
    let (pack, segment) = whole.photo_segment();
    let length = whole.bytes(&pack).len();
    let other = whole.names("packs/").into_iter().find(|name| *name != pack).unwrap();
    let unused = format!("packs/77/{nobody}");
    let flips = vec![("segment", segment), ("table", length - 64 - 100), ("footer", length - 40)];
    all.push(Subject { what: "pack", name: pack, other, unused: named(unused), foreign: foreign.photo_segment().0, flips });
    all
}

fn inflict(whole: &Whole, foreign: &Whole, subject: &Subject, damage: Damage) -> MemoryStore {
    let store = whole.store.fork();
    let bytes = whole.bytes(&subject.name);
    match damage {
        Damage::Delete => store.remove(&subject.name),
        Damage::CutByOne => store.replace(&subject.name, &bytes[..bytes.len() - 1]),
        Damage::Empty => store.replace(&subject.name, b""),
        Damage::ExtendByOne => store.replace(&subject.name, &[&bytes[..], b"\n"].concat()),
        Damage::Flip(_, at) => {
            let mut bytes = bytes;
            bytes[at] ^= 0x01;
            store.replace(&subject.name, &bytes);
        }
        Damage::Swap => {
            store.replace(&subject.name, &whole.bytes(&subject.other));
            store.replace(&subject.other, &bytes);
        }
        Damage::Rename => {
            store.remove(&subject.name);
            store.replace(&subject.unused, &bytes);
        }
        Damage::Foreign => store.replace(&subject.name, &foreign.bytes(&subject.foreign)),
    }
    store
}

/// One line of the matrix.
fn examine(whole: &Whole, recovery: &Recovery<'_>, subject: &Subject, store: MemoryStore) -> [String; 4] {
    let store: Arc<dyn Store> = Arc::new(store);
    let named = subject.name.as_str();
    let integrity = look_integrity(&whole.world, &store);
    let inventory = look_inventory(&whole.world, &store, recovery.catalog());
    let readback = look_readback(&whole.world, &store);
    let scratch = scratch();
    let target = scratch.path().join("target");
    let outcome = restore(&whole.world, &store, &label("files"), Some(whole.run), &target);
    let restored = judge_restore(&outcome, &target, &whole.expected);
    if std::env::var_os("EXPLAIN").is_some() {
        eprintln!("I {integrity:?}\nN {inventory:?}\nR {readback:?}\nX {outcome:?}");
    }
    [integrity.word(named).into(), inventory.word(named).into(), readback.word(named).into(), restored.into()]
}

#[test]
fn every_level_sees_what_it_should_of_every_damage() {
    let (whole, foreign) = (Whole::new(), Whole::new());
    let repository = whole.world.repository();
    let recovery = whole.world.recovery(&repository);
    let mut seen = String::new();
    for subject in subjects(&whole, &foreign) {
        let mut damages = vec![Damage::Delete, Damage::CutByOne, Damage::Empty, Damage::ExtendByOne];
        damages.extend(subject.flips.iter().map(|(what, at)| Damage::Flip(what, *at)));
        damages.extend([Damage::Swap, Damage::Rename, Damage::Foreign]);
        for damage in damages {
            let store = inflict(&whole, &foreign, &subject, damage);
            let how = match damage {
                Damage::Flip(what, _) => format!("flip {what}"),
                other => format!("{other:?}"),
            };
            let cell = AssertUnwindSafe(|| examine(&whole, &recovery, &subject, store));
            let words = catch_unwind(cell).unwrap_or_else(|_| panic!("{} {how}: a panic", subject.what));
            let line = format!("{:<15} {:<15} {:<7} {:<7} {:<7} {}\n", subject.what, how, words[0], words[1], words[2], words[3]);
            seen.push_str(&line);
        }
    }
    eprintln!("{seen}");
}
