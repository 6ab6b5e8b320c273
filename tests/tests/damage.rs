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

impl Damage {
    fn word(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::CutByOne => "cut",
            Self::Empty => "empty",
            Self::ExtendByOne => "extend",
            Self::Flip("segment", _) => "flip-segment",
            Self::Flip("table", _) => "flip-table",
            Self::Flip("footer", _) => "flip-footer",
            Self::Flip(..) => "flip",
            Self::Swap => "swap",
            Self::Rename => "rename",
            Self::Foreign => "foreign",
        }
    }
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
    add(
        "last entry",
        at("ledger/", last),
        at("ledger/", 0),
        "ledger/w1/00000009".into(),
        from("ledger/", last),
    );
    let (pack, segment) = whole.photo_segment();
    let length = whole.bytes(&pack).len();
    let other = whole.names("packs/").into_iter().find(|name| *name != pack).unwrap();
    let unused = format!("packs/77/{nobody}");
    // Of another length: by that alone inventory can tell.
    let strange =
        foreign.names("packs/").into_iter().find(|name| foreign.bytes(name).len() != length).unwrap();
    let flips = vec![("segment", segment), ("table", length - 64 - 100), ("footer", length - 40)];
    all.push(Subject { what: "pack", name: pack, other, unused: named(unused), foreign: strange, flips });
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

/// What the three levels and a restore of the newest snapshot say of a damaged store.
fn examine(
    whole: &Whole,
    recovery: &Recovery<'_>,
    subject: &Subject,
    store: MemoryStore,
) -> [&'static str; 4] {
    let store: Arc<dyn Store> = Arc::new(store);
    let named = subject.name.as_str();
    let integrity = look_integrity(&whole.world, &store);
    let inventory = look_inventory(&whole.world, &store, recovery.catalog());
    let readback = look_readback(&whole.world, &store);
    let scratch = scratch();
    let target = scratch.path().join("target");
    let outcome = restore(&whole.world, &store, &label("files"), Some(whole.run), &target);
    let restored = judge_restore(&outcome, &target, &whole.expected);
    [integrity.word(named), inventory.word(named), readback.word(named), restored]
}

/// For every object: damages, and what integrity, inventory, readback and a restore of the newest snapshot say.
///
/// `named`: damage, and a finding names the object. `found`: damage, but only what depends on the object is named.
/// `stops`: the level cannot be done, and its error names the object; `stops?`: names another one. `-`: nothing is
/// seen. `exact`, `partial` (what is missing is named) and `refused` are of restores; none is ever wrong.
const MATRIX: &[(&str, &str, &str)] = &[
    // Without its first link nothing of the chain of trust holds, so there is no repository to look at.
    ("first trust", "delete cut empty extend flip swap rename", "stops stops stops refused"),
    ("first trust", "foreign", "stops? stops? stops? refused"),
    // The trust before it opens as well: only the checkpoints of runs know that there was a newer one.
    ("newest trust", "delete", "named - - exact"),
    ("newest trust", "cut empty extend flip swap rename foreign", "stops stops stops refused"),
    // Only the newest seal opens anything; under a higher number an old one is found to be signed for another name.
    ("old seal", "delete cut empty extend flip swap foreign", "named - - exact"),
    ("old seal", "rename", "named - stops refused"),
    // The one before still opens for the same officer. Inventory has its catalog from elsewhere and reads no seal.
    ("officers' seal", "delete", "named - - exact"),
    ("officers' seal", "cut empty extend flip swap rename foreign", "named - stops refused"),
    // Nothing but a backup needs the writers' seal, nor cards.
    ("writers' seal", "delete cut empty extend flip swap rename foreign", "named - - exact"),
    // Inventory sees that a key is there, not whether it opens.
    ("key", "delete rename", "named named named partial"),
    ("key", "cut empty extend flip swap foreign", "named - named partial"),
    ("card", "delete cut empty extend flip swap rename foreign", "named - - exact"),
    // What only a lost or damaged index object knew is lost, and named; the rest comes back.
    ("first index", "delete cut empty extend flip swap rename foreign", "named named named partial"),
    ("newest index", "delete cut empty extend flip swap rename foreign", "named named named partial"),
    // The newest one restores whatever happens to the other.
    ("old snapshot", "delete cut empty extend flip rename foreign", "named named named exact"),
    ("old snapshot", "swap", "named named named refused"),
    ("snapshot", "delete cut empty extend flip swap rename foreign", "named named named refused"),
    // A snapshot without its run counts for nothing: the levels that look at snapshots name that.
    ("run", "delete rename", "named found found refused"),
    ("run", "cut empty extend flip swap foreign", "named named named refused"),
    // The whole entries of a damaged ledger still vouch; where that of the snapshot is lost, it restores by its name.
    ("first entry", "delete cut empty extend flip swap rename foreign", "named named named exact"),
    // That the end of the only ledger is gone nobody here can know: that takes a witness. The snapshot is then
    // unrecorded, and restores by its name.
    ("last entry", "delete", "- - - exact"),
    ("last entry", "cut empty extend flip swap rename foreign", "named named named exact"),
    ("pack", "delete empty swap rename foreign", "named named named partial"),
    // Only integrity reads what lies behind the segments.
    ("pack", "cut extend", "named named - exact"),
    // Inventory reads no content.
    ("pack", "flip-segment", "named - named partial"),
    ("pack", "flip-table flip-footer", "named - - exact"),
];

#[test]
fn every_level_sees_what_it_should_of_every_damage() {
    let (whole, foreign) = (Whole::new(), Whole::new());
    let repository = whole.world.repository();
    let recovery = whole.world.recovery(&repository);
    let mut seen: Vec<(&str, String, String)> = Vec::new();
    let mut cells = 0;
    for subject in subjects(&whole, &foreign) {
        let mut damages = vec![Damage::Delete, Damage::CutByOne, Damage::Empty, Damage::ExtendByOne];
        damages.extend(subject.flips.iter().map(|(what, at)| Damage::Flip(what, *at)));
        damages.extend([Damage::Swap, Damage::Rename, Damage::Foreign]);
        for damage in damages {
            let store = inflict(&whole, &foreign, &subject, damage);
            let cell = AssertUnwindSafe(|| examine(&whole, &recovery, &subject, store));
            let words =
                catch_unwind(cell).unwrap_or_else(|_| panic!("{} {damage:?}", subject.what)).join(" ");
            cells += 4;
            let how = damage.word();
            match seen.iter_mut().find(|(what, _, said)| *what == subject.what && *said == words) {
                // All flips of one object mostly are alike.
                Some((_, hows, _)) if hows.split(' ').any(|one| one == how) => {}
                Some((_, hows, _)) => *hows = format!("{hows} {how}"),
                None => seen.push((subject.what, how.to_owned(), words)),
            }
        }
    }
    println!("{cells} cells");
    let seen: Vec<_> = seen.iter().map(|(what, how, words)| (*what, how.as_str(), words.as_str())).collect();
    let unlike: Vec<_> = seen.iter().filter(|row| !MATRIX.contains(row)).collect();
    assert!(unlike.is_empty(), "{cells} cells; not as the matrix says: {unlike:#?}");
    assert_eq!(seen.len(), MATRIX.len());
}

#[test]
fn readback_names_snapshots_tenants_and_paths() {
    let whole = Whole::new();
    let lost = |damage: &dyn Fn(&MemoryStore)| {
        let store = whole.store.fork();
        damage(&store);
        look_readback(&whole.world, &(Arc::new(store) as Arc<dyn Store>)).losses()
    };
    let snapshots = whole.names("snapshots/");
    let (pack, at) = whole.photo_segment();
    let one_byte = lost(&|store| {
        let mut bytes = whole.bytes(&pack);
        bytes[at] ^= 0x80;
        store.replace(&pack, &bytes);
    });
    assert_eq!(one_byte, [format!("1 path of tenant acme in {}: tenants/acme/later", snapshots[1])]);
    let key = whole.name_with("keys/", &whole.key_of("beta").to_string());
    let one_key = lost(&|store| store.remove(&key));
    // Whose key it was only the key could tell.
    let whole_of = |snapshot: &ObjectName| format!("the whole of a tenant in {snapshot}");
    assert_eq!(one_key, [whole_of(&snapshots[0]), whole_of(&snapshots[1])]);
    // All of the second run's content in one pack: the first snapshot keeps everything.
    let one_pack = lost(&|store| store.remove(&pack));
    assert!(
        !one_pack.is_empty() && one_pack.iter().all(|loss| loss.contains(snapshots[1].as_str())),
        "{one_pack:?}"
    );
}

#[test]
fn the_latest_snapshot_is_never_a_wrong_one() {
    let whole = Whole::new();
    let newest = &whole.names("snapshots/")[1];
    let store = whole.store.fork();
    let mut bytes = whole.bytes(newest);
    *bytes.last_mut().unwrap() ^= 1;
    store.replace(newest, &bytes);
    let store: Arc<dyn Store> = Arc::new(store);
    // Latest means the latest that counts: the one before comes back, whole.
    let scratch = scratch();
    let target = scratch.path().join("target");
    let report = restore(&whole.world, &store, &label("files"), None, &target).unwrap();
    assert_eq!(report.status(), lifeboat_restore::Status::Complete);
    assert!(!target.join("tenants/acme/later").exists());
    assert_eq!(std::fs::read(target.join("tenants/beta/x")).unwrap(), b"x of beta");
    // By name the damaged one is refused, and the error says why and what else there is.
    let refused = restore(&whole.world, &store, &label("files"), Some(whole.run), &scratch.path().join("b"));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains(newest.as_str()) && text.contains("choose another"), "{text}");
}
