//! Damage in bulk: single bits flipped and objects cut short, at places drawn at random over everything stored.
//!
//! The matrix (`damage.rs`) says cell by cell what each level sees. Here the rules behind it meet thousands of places:
//! integrity finds every change of any object; what a level finds or a restore refuses never turns into a panic;
//! and whatever a restore writes is right, byte for byte.

#![cfg(test)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::examine::{
    Listing, Verdict, judge_restore, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::model::noise;
use lifeboat_tests::{World, label, write};

/// Flips and cuts in an ordinary run of the tests, and at a soak.
const FEW: (u64, u64) = (5_000, 500);
const MANY: (u64, u64) = (100_000, 10_000);

/// A repository with everything in it that there is, small: the smaller, the more of it is hit.
struct Whole {
    world: World,
    objects: Vec<(ObjectName, Vec<u8>)>,
    store: MemoryStore,
    run: RunId,
    expected: Listing,
}

impl Whole {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = World::over(Arc::new(store.clone()), scratch());
        let source = world.source();
        write(&source, "readme", b"what belongs to nobody");
        write(&source, "tenants/acme/a", &noise(1, 300));
        write(&source, "tenants/beta/x", b"x of beta");
        world.backup().unwrap();
        write(&source, "tenants/acme/a", &noise(2, 300));
        let run = world.backup().unwrap().run;
        let expected = tree(&source);
        let listed = store.list("").unwrap();
        let objects = listed
            .into_iter()
            .map(|object| (object.name.clone(), store.read(&object.name, Bytes::mib(1)).unwrap()))
            // It is a hint to people, and trusted for nothing.
            .filter(|(name, _)| name.as_str() != "lifeboat.json")
            .collect();
        Self { world, objects, store, run, expected }
    }

    fn damaged(&self, name: &ObjectName, bytes: &[u8]) -> Arc<dyn Store> {
        let store = self.store.fork();
        store.replace(name, bytes);
        Arc::new(store)
    }
}

/// What became of the damage of one kind of object.
#[derive(Debug, Default)]
struct Row {
    damages: u64,
    integrity: u64,
    inventory: u64,
    readback: u64,
    exact: u64,
    partial: u64,
    refused: u64,
}

fn saw(verdict: &Verdict) -> u64 {
    u64::from(verdict.word("") != "-")
}

/// Looks at one damaged object with every level and with a restore.
fn look(whole: &Whole, name: &ObjectName, bytes: &[u8], row: &mut Row) {
    let store = whole.damaged(name, bytes);
    let integrity = look_integrity(&whole.world, &store);
    // What was changed is named: every byte stored stands under a signature or a hash.
    assert!(matches!(integrity.word(name.as_str()), "named" | "stops"), "{integrity:?}");
    row.damages += 1;
    row.integrity += 1;
    let repository = whole.world.repository();
    let recovery = whole.world.recovery(&repository);
    row.inventory += saw(&look_inventory(&whole.world, &store, recovery.catalog()));
    let readback = look_readback(&whole.world, &store);
    row.readback += saw(&readback);
    let target = scratch();
    let target = target.path().join("t");
    let outcome = restore(&whole.world, &store, &label("files"), Some(whole.run), &target);
    match judge_restore(&outcome, &target, &whole.expected) {
        "exact" => row.exact += 1,
        word => {
            // A readback is there to know this before the day it counts.
            assert_eq!(saw(&readback), 1, "a restore is {word}, and a readback saw nothing: {outcome:?}");
            *(if word == "partial" { &mut row.partial } else { &mut row.refused }) += 1;
        }
    }
}

/// A generator that needs nothing: the same places for the same number.
fn draw(number: u64, below: usize) -> usize {
    let bytes = noise(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1), 8);
    let drawn = u64::from_le_bytes(bytes.try_into().unwrap());
    usize::try_from(drawn % below as u64).unwrap()
}

type Rows = BTreeMap<String, Row>;

/// Inflicts damage number after number on all kinds in turn, on every processor.
fn inflict(whole: &Whole, count: u64, damage: impl Fn(u64, &mut Vec<u8>) + Sync) -> Rows {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, (name, _)) in whole.objects.iter().enumerate() {
        let area = name.as_str().split('/').next().unwrap().to_owned();
        kinds.entry(area).or_default().push(at);
    }
    let (kinds, next) = (&kinds, AtomicU64::new(0));
    let work = || {
        let mut rows = Rows::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return rows;
            }
            let (kind, places) = kinds.iter().nth(usize::try_from(number).unwrap() % kinds.len()).unwrap();
            let (name, bytes) = &whole.objects[places[draw(2 * number, places.len())]];
            let mut bytes = bytes.clone();
            damage(number, &mut bytes);
            let row = rows.entry(kind.clone()).or_default();
            let looked = AssertUnwindSafe(|| look(whole, name, &bytes, row));
            assert!(catch_unwind(looked).is_ok(), "damage {number} of {name}");
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Rows::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for (kind, row) in worker.join().unwrap() {
                let sum = all.entry(kind).or_default();
                sum.damages += row.damages;
                sum.integrity += row.integrity;
                sum.inventory += row.inventory;
                sum.readback += row.readback;
                sum.exact += row.exact;
                sum.partial += row.partial;
                sum.refused += row.refused;
            }
        }
    });
    all
}

fn amount() -> (u64, u64) {
    if std::env::var_os("LIFEBOAT_SOAK").is_some() { MANY } else { FEW }
}

/// What each level must see of any damage of a kind: `(inventory, readback)`.
///
/// Inventory opens no key, no card and no pack; a readback reads no card, no old seal, and of a pack only the segments.
fn must_see(kind: &str) -> (bool, bool) {
    match kind {
        "trust" | "index" | "snapshots" | "runs" | "ledger" => (true, true),
        "keys" => (false, true),
        "cards" | "seals" | "packs" => (false, false),
        other => panic!("a new kind of object, {other}: say what each level must see of it"),
    }
}

#[track_caller]
fn check(rows: &Rows, count: u64, how: &str) {
    println!(
        "{how:<10} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8}",
        "damages", "integrity", "inventory", "readback", "exact", "partial", "refused"
    );
    for (kind, row) in rows {
        println!(
            "{kind:<10} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8}",
            row.damages, row.integrity, row.inventory, row.readback, row.exact, row.partial, row.refused
        );
        let (inventory, readback) = must_see(kind);
        assert!(!inventory || row.inventory == row.damages, "{kind}: {row:?}");
        assert!(!readback || row.readback == row.damages, "{kind}: {row:?}");
    }
    assert_eq!(rows.values().map(|row| row.damages).sum::<u64>(), count);
    assert_eq!(rows.values().map(|row| row.exact + row.partial + row.refused).sum::<u64>(), count);
    assert_eq!(rows.len(), 9, "{:?}", rows.keys());
}

#[test]
fn every_flipped_bit_is_found_and_none_comes_back() {
    let whole = Whole::new();
    let rows = inflict(&whole, amount().0, |number, bytes| {
        let bit = draw(2 * number + 1, bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    });
    check(&rows, amount().0, "flips");
}

#[test]
fn every_cut_is_found_and_none_comes_back() {
    let whole = Whole::new();
    let rows = inflict(&whole, amount().1, |number, bytes| {
        let length = draw(2 * number + 1, bytes.len());
        bytes.truncate(length);
    });
    check(&rows, amount().1, "cuts");
}
