//! Damage to what maintainers put: gc records, index objects and ledgers of their own, bundles, what commits snapshots in a
//! replica; and to what a witness keeps. What each level sees of it, and what it cannot.

#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::repository::bundles;
use lifeboat_repo::repository::witness::{self, Depth, Freshness};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::collecting::AT_ONCE;
use lifeboat_tests::examine::{
    Listing, integrity_in, inventory_in, judge_restore, readback_in, restore_in, scratch, tree,
};
use lifeboat_tests::model::noise;
use lifeboat_tests::pair::Pair;
use lifeboat_tests::{label, write};

/// Which store an object lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Repository,
    Replica,
}

/// A repository that was expired and collected, with a bundle and a witness; and its replica.
struct Whole {
    pair: Pair,
    witness: MemoryStore,
    run: RunId,
    expected: Listing,
}

impl Whole {
    fn new() -> Self {
        let mut pair = Pair::new();
        let witness = MemoryStore::new();
        let m1 = pair.world.maintainer("m1", 82);
        let tell = |pair: &Pair| {
            witness::put(&pair.world.repository(), &witness, &label("w1")).unwrap();
        };
        // Something that stays beside what changes, so that packs are worth emptying.
        let backup = |pair: &mut Pair, night: u64| {
            write(&pair.world.source(), &format!("tenants/beta/stays-{night}"), &noise(900 + night, 50_000));
            pair.backup(night)
        };
        let mut snapshots: Vec<ObjectName> = (1..=3).map(|night| backup(&mut pair, night)).collect();
        pair.replicate();
        tell(&pair);
        // What is live in packs that expiry hollowed out is moved into new ones, twice.
        for (night, expired) in [(4, 2), (5, 1)] {
            let old: Vec<ObjectName> = snapshots.drain(..expired).collect();
            pair.world.expire(&m1, &old);
            for _ in 0..2 {
                pair.world.collect(Arc::clone(&pair.world.store), &m1, &AT_ONCE).unwrap();
            }
            snapshots.push(backup(&mut pair, night));
        }
        for _ in 0..2 {
            bundles::put(&pair.world.repository(), &m1.signing, &SystemClock, false).unwrap();
        }
        let run = backup(&mut pair, 6).last().parse().unwrap();
        tell(&pair);
        pair.replicate();
        let expected = tree(&pair.world.source());
        Self { pair, witness, run, expected }
    }

    const fn store(&self, side: Side) -> &MemoryStore {
        match side {
            Side::Repository => &self.pair.store,
            Side::Replica => &self.pair.replica,
        }
    }

    fn names(&self, side: Side, prefix: &str) -> Vec<ObjectName> {
        self.store(side).list(prefix).unwrap().into_iter().map(|object| object.name).collect()
    }

    fn open(&self, side: Side, store: &MemoryStore) -> Result<Repository, RepositoryError> {
        let (store, pins) = (Arc::new(store.clone()), [self.pair.world.officer.public()]);
        match side {
            Side::Repository => Repository::open(store, &pins),
            Side::Replica => Repository::open_replica(store, &pins),
        }
    }
}

fn bytes(store: &MemoryStore, name: &ObjectName) -> Vec<u8> {
    store.read(name, Bytes::mib(64)).unwrap()
}

/// An object to damage: what it is, where, another of its kind, a name of its kind that nothing has, and the same object of
/// another repository.
struct Subject {
    what: &'static str,
    side: Side,
    name: ObjectName,
    other: ObjectName,
    unused: ObjectName,
    foreign: Vec<u8>,
}

fn subjects(whole: &Whole, foreign: &Whole) -> Vec<Subject> {
    let other_run = |name: &ObjectName| {
        let text = name.as_str();
        let nonce = text.find("z-").unwrap() + 2;
        format!("{}{}{}", &text[..nonce], "7".repeat(16), &text[nonce + 16..]).parse().unwrap()
    };
    let numbered = |prefix: &str| format!("{prefix}00000009").parse().unwrap();
    let subject = |what, side, prefix: &str, newest: bool, unused: &dyn Fn(&ObjectName) -> ObjectName| {
        let (ours, theirs) = (whole.names(side, prefix), foreign.names(side, prefix));
        assert!(ours.len() >= 2 && theirs.len() == ours.len(), "{what}: {ours:?}");
        let (at, beside) = if newest { (ours.len() - 1, 0) } else { (0, 1) };
        let name = ours[at].clone();
        let foreign = bytes(foreign.store(side), &theirs[at]);
        Subject { what, side, unused: unused(&name), name, other: ours[beside].clone(), foreign }
    };
    vec![
        subject("first gc record", Side::Repository, "gc/", false, &|_| numbered("gc/")),
        subject("newest gc record", Side::Repository, "gc/", true, &|_| numbered("gc/")),
        subject("maintainer's index", Side::Repository, "index/m1/", true, &other_run),
        subject("maintainer's entry", Side::Repository, "ledger/m1/", false, &|_| numbered("ledger/m1/")),
        subject("old bundle", Side::Repository, "bundles/", false, &|_| numbered("bundles/20200101.")),
        subject("newest bundle", Side::Repository, "bundles/", true, &|_| numbered("bundles/20200101.")),
        subject("old commit", Side::Replica, "replicas/", false, &other_run),
        subject("newest commit", Side::Replica, "replicas/", true, &other_run),
        subject("replica's entry", Side::Replica, "ledger/r1/", false, &|_| numbered("ledger/r1/")),
    ]
}

const DAMAGES: [&str; 10] = [
    "delete",
    "cut",
    "empty",
    "extend",
    "flip-signature",
    "flip-body",
    "flip-end",
    "swap",
    "rename",
    "foreign",
];

fn inflict(whole: &MemoryStore, subject: &Subject, damage: &str) -> MemoryStore {
    let store = whole.fork();
    let bytes = bytes(whole, &subject.name);
    let end = b"-----END SSH SIGNATURE-----\n";
    let body = bytes.windows(end.len()).position(|window| window == end).unwrap() + end.len();
    let flip = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x01;
        store.replace(&subject.name, &bytes);
    };
    match damage {
        "delete" => store.remove(&subject.name),
        "cut" => store.replace(&subject.name, &bytes[..bytes.len() - 1]),
        "empty" => store.replace(&subject.name, b""),
        "extend" => store.replace(&subject.name, &[&bytes[..], b"\n"].concat()),
        "flip-signature" => flip(200),
        "flip-body" => flip(body),
        "flip-end" => flip(bytes.len() - 1),
        "swap" => {
            store.replace(&subject.name, &self::bytes(whole, &subject.other));
            store.replace(&subject.other, &bytes);
        }
        "rename" => {
            store.remove(&subject.name);
            store.replace(&subject.unused, &bytes);
        }
        "foreign" => store.replace(&subject.name, &subject.foreign),
        other => panic!("{other}"),
    }
    store
}

/// Integrity, inventory, readback, and a restore of the newest snapshot.
fn examine(whole: &Whole, subject: &Subject, store: &MemoryStore) -> [&'static str; 4] {
    let (world, named) = (&whole.pair.world, subject.name.as_str());
    let repository = whole.open(subject.side, store).unwrap();
    let recovery = world.recovery(&repository);
    let dir = scratch();
    let target = dir.path().join("target");
    let outcome = restore_in(world, &repository, &label("files"), Some(whole.run), &target);
    [
        integrity_in(world, &repository).word(named),
        inventory_in(&repository, recovery.catalog()).word(named),
        readback_in(world, &repository).word(named),
        judge_restore(&outcome, &target, &whole.expected),
    ]
}

/// As in damage.rs: what integrity, inventory, readback and a restore of the newest snapshot say.
const MATRIX: &[(&str, &str, &str)] = &[
    // That a record was there only checkpoints know; with it goes what it excuses: a snapshot that expired is missed.
    ("first gc record", "delete", "found found found exact"),
    ("newest gc record", "delete", "found - - exact"),
    // What is condemned and expired nobody may guess: all that must know it stops. A restore need not.
    ("first gc record", "cut empty extend flip swap rename foreign", "named stops stops exact"),
    ("newest gc record", "cut empty extend flip swap rename foreign", "named stops stops exact"),
    // Where segments were moved only it knows.
    ("maintainer's index", "delete cut empty extend flip swap rename foreign", "named named named partial"),
    ("maintainer's entry", "delete cut empty extend flip swap rename foreign", "named named named exact"),
    // A bundle goes when its time is over, so nobody misses one as long as another is fresh.
    ("old bundle", "delete", "- - - exact"),
    ("old bundle", "cut empty extend flip swap rename foreign", "named - - exact"),
    ("newest bundle", "delete", "- - - exact"),
    ("newest bundle", "cut empty extend flip swap rename foreign", "named - - exact"),
    // Without its commit a snapshot in the replica counts no more, and restores by its name; the others count.
    ("old commit", "delete cut empty extend flip rename foreign", "named - - exact"),
    ("old commit", "swap", "named unsure unsure exact"),
    ("newest commit", "delete cut empty extend flip rename foreign", "named - - exact"),
    ("newest commit", "swap", "named unsure unsure exact"),
    ("replica's entry", "delete cut empty extend flip swap rename foreign", "named named named exact"),
];

#[test]
fn every_level_sees_what_it_should_of_what_maintainers_put() {
    let (whole, foreign) = (Whole::new(), Whole::new());
    let mut seen: Vec<(&str, String, String)> = Vec::new();
    for subject in subjects(&whole, &foreign) {
        for damage in DAMAGES {
            let store = inflict(whole.store(subject.side), &subject, damage);
            let cell = AssertUnwindSafe(|| examine(&whole, &subject, &store));
            let words = catch_unwind(cell).unwrap_or_else(|_| panic!("{} {damage}", subject.what)).join(" ");
            let how = damage.split('-').next().unwrap();
            match seen.iter_mut().find(|(what, _, said)| *what == subject.what && *said == words) {
                Some((_, hows, _)) if hows.split(' ').any(|one| one == how) => {}
                Some((_, hows, _)) => *hows = format!("{hows} {how}"),
                None => seen.push((subject.what, how.to_owned(), words)),
            }
        }
    }
    let seen: Vec<_> = seen.iter().map(|(what, how, words)| (*what, how.as_str(), words.as_str())).collect();
    let unlike: Vec<_> = seen.iter().filter(|row| !MATRIX.contains(row)).collect();
    assert!(unlike.is_empty(), "not as the matrix says: {unlike:#?}");
    assert_eq!(seen.len(), MATRIX.len());
}

/// What a witness keeps is signed by its writer: whatever is done to it, it raises no false alarm that a repository was rolled
/// back, and proves nothing that it does not hold. What is gone from it nobody misses.
#[test]
fn a_damaged_witness_says_nothing_wrong() {
    let (whole, foreign) = (Whole::new(), Whole::new());
    let repository = whole.open(Side::Repository, &whole.pair.store).unwrap();
    let kept: Vec<ObjectName> =
        whole.witness.list("").unwrap().into_iter().map(|object| object.name).collect();
    let theirs: Vec<ObjectName> =
        foreign.witness.list("").unwrap().into_iter().map(|object| object.name).collect();
    assert_eq!(kept.len(), 2);
    let said = |store: &MemoryStore| match witness::compare(&repository, store, Depth::All).unwrap() {
        Freshness::Proven(_) => "proven",
        Freshness::NotProven => "not proven",
        Freshness::Doubtful(_) => "doubtful",
        Freshness::RolledBack(_) => "rolled back",
    };
    assert_eq!(said(&whole.witness), "proven");
    for (at, other) in [(0, 1), (1, 0)] {
        let subject = Subject {
            what: "entry",
            side: Side::Repository,
            name: kept[at].clone(),
            other: kept[other].clone(),
            unused: format!("{}9", &kept[at].as_str()[..kept[at].as_str().len() - 1]).parse().unwrap(),
            foreign: bytes(&foreign.witness, &theirs[at]),
        };
        for damage in DAMAGES {
            let expected = if damage == "delete" { "proven" } else { "doubtful" };
            assert_eq!(said(&inflict(&whole.witness, &subject, damage)), expected, "{at} {damage}");
        }
    }
    let none = whole.witness.fork();
    for name in &kept {
        none.remove(name);
    }
    assert_eq!(said(&none), "not proven");
    // And it is the repository that was rolled back where an entry is gone there.
    let older = whole.pair.store.fork();
    let entry = whole.names(Side::Repository, "ledger/w1/").pop().unwrap();
    older.remove(&entry);
    let repository = whole.open(Side::Repository, &older).unwrap();
    let found = witness::compare(&repository, &whole.witness, Depth::Newest).unwrap();
    assert_eq!(found, Freshness::RolledBack(vec![entry]));
}
