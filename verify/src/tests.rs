//! Damage to a small repository, object by object: what each level sees, and what it cannot.

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::{ObjectName, Tenant};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;

use crate::damage::{Extent, Finding, Severity};
use crate::levels::Outcome;
use crate::needs::{Needs, Scope};
use crate::objective::{
    Assumptions, Least, Monotonic, Rehearsal, RtoObjective, RtoVerdict, TrialSize, rehearse,
};
use crate::readback::{Draw, ReadbackReport, SeedFrom, readback};
use crate::sample::Amount;
use crate::{IntegrityReport, InventoryReport, Threads, VerifyError, integrity, inventory, trace};
use fixture::Fixture;

mod fixture;

fn scope() -> Scope {
    Scope { component: None, threads: Threads::new(2) }
}

fn check_integrity(fixture: &Fixture, store: &MemoryStore) -> IntegrityReport {
    let repository = fixture.open(store);
    integrity(&repository, &fixture.pins(), &SystemClock, Threads::new(2), &Silent).unwrap()
}

fn check_inventory(fixture: &Fixture, store: &MemoryStore) -> Result<InventoryReport, VerifyError> {
    // The catalog of the whole repository: what a maintainer brings along.
    let whole = fixture.repository();
    let recovery = fixture.recovery(&whole);
    inventory(&fixture.open(store), recovery.catalog(), &scope(), &Silent)
}

fn check_readback(fixture: &Fixture, store: &MemoryStore, amount: Amount) -> ReadbackReport {
    let repository = fixture.open(store);
    let recovery = fixture.recovery(&repository);
    let draw = Draw { amount, seed: SeedFrom::Checkpoint { nonce: b"nonce".to_vec() } };
    readback(&recovery, &scope(), &draw, &Silent).unwrap()
}

fn damage(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity == Severity::Damage).collect()
}

fn bytes_of(store: &MemoryStore, name: &ObjectName) -> Vec<u8> {
    store.read(name, Bytes::mib(64)).unwrap()
}

/// What was lost, as `tenant: extent`, sorted.
fn losses(findings: &[Finding]) -> Vec<String> {
    let mut losses: Vec<String> = damage(findings)
        .iter()
        .flat_map(|finding| &finding.affects)
        .map(|affected| {
            let tenant = affected.tenant.as_ref().map_or_else(|| "?".to_owned(), Tenant::to_string);
            match &affected.extent {
                Extent::Unknown => format!("{tenant}: something"),
                Extent::Whole => format!("{tenant}: whole"),
                Extent::Paths { first, .. } => format!("{tenant}: {}", first.join(" ")),
            }
        })
        .collect();
    losses.sort();
    losses
}

#[test]
fn a_whole_repository_passes_every_level() {
    let fixture = Fixture::with_snapshots();
    let found = check_inventory(&fixture, &fixture.store).unwrap();
    assert_eq!((&found.outcome, found.findings.as_slice()), (&Outcome::Passed, &[][..]));
    assert_eq!((found.snapshots, found.segments, found.packs, found.keys), (2, 8, 2, 2));
    let found = check_integrity(&fixture, &fixture.store);
    assert_eq!((&found.outcome, found.findings.as_slice()), (&Outcome::Passed, &[][..]));
    assert_eq!((found.packs, found.unrecorded, found.unknown), (2, 0, 0));
    assert_eq!(found.objects, fixture.names("").len() as u64);
    assert!(found.checkpoint.is_some());
    let found = check_readback(&fixture, &fixture.store, Amount::Full);
    assert_eq!((&found.outcome, found.findings.as_slice()), (&Outcome::Passed, &[][..]));
    assert_eq!((found.population, found.sample, found.good, found.entries), (8, 8, 8, 6));
    assert!(found.bound.is_some_and(|bound| bound.exact) && found.seed.is_none());
}

#[test]
fn where_nothing_counts_nothing_passes() {
    let fixture = Fixture::new();
    let found = check_inventory(&fixture, &fixture.store).unwrap();
    assert!(matches!(found.outcome, Outcome::NotRun(_)));
    let found = check_readback(&fixture, &fixture.store, Amount::Full);
    assert!(matches!(found.outcome, Outcome::NotRun(_)));
    assert_eq!(found.bound, None);
    // Of what is there, every byte is right.
    assert_eq!(check_integrity(&fixture, &fixture.store).outcome, Outcome::Passed);
}

#[test]
fn integrity_sees_every_flipped_or_truncated_object() {
    let fixture = Fixture::with_snapshots();
    for name in fixture.names("").iter().filter(|name| name.as_str() != "lifeboat.json") {
        let whole = bytes_of(&fixture.store, name);
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let cut = &whole[..whole.len() - 1];
        let longer = [whole.as_slice(), b"x"].concat();
        for bytes in [flipped.as_slice(), cut, &longer, b""] {
            let store = fixture.store.fork();
            store.replace(name, bytes);
            // Damaged trust opens nothing, so there is no repository to look at.
            if name.as_str().starts_with("trust/") {
                assert!(
                    lifeboat_repo::repository::Repository::open(
                        std::sync::Arc::new(store.clone()),
                        &fixture.pins()
                    )
                    .is_err()
                );
                continue;
            }
            assert_eq!(check_integrity(&fixture, &store).outcome, Outcome::Failed, "{name}");
        }
    }
}

#[test]
fn integrity_sees_every_removal_but_that_of_the_only_ledgers_end() {
    let fixture = Fixture::with_snapshots();
    let last_entry = fixture.names("ledger/").pop().unwrap();
    for name in fixture.names("").iter().filter(|name| name.as_str() != "lifeboat.json") {
        let store = fixture.store.fork();
        store.remove(name);
        if name.as_str() == "trust/00000000" {
            continue;
        }
        let found = check_integrity(&fixture, &store);
        if *name == last_entry {
            // Nobody else saw it: that takes a witness. What it named is told to be unrecorded.
            assert_eq!(found.outcome, Outcome::Passed);
            assert!(found.unrecorded > 0);
        } else {
            assert_eq!(found.outcome, Outcome::Failed, "{name}");
        }
    }
}

#[test]
fn a_repository_without_ledgers_is_not_passed() {
    let fixture = Fixture::with_snapshots();
    let store = fixture.store.fork();
    for name in fixture.names("ledger/") {
        store.remove(&name);
    }
    assert!(matches!(check_integrity(&fixture, &store).outcome, Outcome::NotRun(_)));
}

#[test]
fn objects_under_other_names_are_seen() {
    let fixture = Fixture::with_snapshots();
    for area in ["runs/", "index/", "snapshots/", "ledger/", "keys/", "cards/", "packs/"] {
        let names = fixture.names(area);
        let [first, .., last] = names.as_slice() else { panic!("{area} has too few") };
        let store = fixture.store.fork();
        store.replace(first, &bytes_of(&fixture.store, last));
        assert_eq!(check_integrity(&fixture, &store).outcome, Outcome::Failed, "{area}");
    }
}

#[test]
fn what_nobody_recorded_or_knows_is_told_and_no_damage() {
    let fixture = Fixture::with_snapshots();
    let store = fixture.store.fork();
    let orphan = b"left by a run that was cut off";
    let id = lifeboat_repo::ids::PackId::from_bytes(lifeboat_repo::crypto::hash::sha256(orphan));
    store.replace(&lifeboat_repo::format::names::pack(id).unwrap(), orphan);
    store.replace(&"wal/main/00000001".parse().unwrap(), b"x");
    store.replace(&"holiday/pictures.zip".parse().unwrap(), b"x");
    let found = check_integrity(&fixture, &store);
    assert_eq!((found.outcome, found.unrecorded, found.unknown), (Outcome::Passed, 1, 2));
    assert_eq!(found.findings.len(), 3);
}

#[test]
fn inventory_sees_what_is_gone_or_cut_and_no_flipped_byte() {
    let fixture = Fixture::with_snapshots();
    for name in fixture.names("packs/") {
        let whole = bytes_of(&fixture.store, &name);
        let store = fixture.store.fork();
        store.replace(&name, &whole[..whole.len() - 1]);
        let found = check_inventory(&fixture, &store).unwrap();
        assert_eq!(found.outcome, Outcome::Failed);
        // Both tenants have something in the pack; the catalog cannot tell whose names they are.
        assert_eq!(losses(&found.findings), ["?: whole", "?: whole"]);
        store.replace(&name, &[whole.as_slice(), b"x"].concat());
        assert_eq!(check_inventory(&fixture, &store).unwrap().outcome, Outcome::Failed);
        let mut flipped = whole;
        flipped[0] ^= 1;
        store.replace(&name, &flipped);
        assert_eq!(check_inventory(&fixture, &store).unwrap().outcome, Outcome::Passed);
    }
    for area in ["packs/", "index/", "keys/", "runs/", "snapshots/", "ledger/fra-1/00000000"] {
        for name in fixture.store.list("").unwrap().into_iter().map(|object| object.name) {
            if name.as_str().starts_with(area) {
                let store = fixture.store.fork();
                store.remove(&name);
                assert_eq!(check_inventory(&fixture, &store).unwrap().outcome, Outcome::Failed, "{name}");
            }
        }
    }
}

/// Flips a byte inside the only place of the segment that holds some plaintext of a tenant.
fn flip_segment(fixture: &Fixture, tenant: &str, kind: &str, nth: usize) -> MemoryStore {
    let repository = fixture.repository();
    let recovery = fixture.recovery(&repository);
    let needs = Needs::load(&repository, recovery.catalog(), &scope(), &Silent).unwrap();
    let mut places: Vec<_> = needs
        .segments()
        .filter(|(_, segment)| format!("{:?}", segment.needed.kind).to_lowercase() == kind)
        .filter(|(_, segment)| {
            let key = recovery.unwrap_tenant_key(&"fra-1".parse().unwrap(), segment.needed.key).unwrap();
            key.tenant.to_string() == tenant
        })
        .map(|(_, segment)| segment.needed.places[0])
        .collect();
    // Packs are random, so order by when their run put them.
    let packs = fixture.store.list("packs/").unwrap();
    places.sort_by_key(|place| {
        packs.iter().find(|pack| pack.name.last() == place.pack.to_string()).map(|pack| pack.modified)
    });
    let place = places[nth];
    let name = lifeboat_repo::format::names::pack(place.pack).unwrap();
    let mut bytes = bytes_of(&fixture.store, &name);
    let middle = usize::try_from(place.offset.0 + place.length.0 - 1).unwrap();
    bytes[middle] ^= 1;
    let store = fixture.store.fork();
    store.replace(&name, &bytes);
    store
}

#[test]
fn readback_names_tenants_and_paths() {
    let fixture = Fixture::with_snapshots();
    let data = flip_segment(&fixture, "acme", "data", 0);
    let found = check_readback(&fixture, &data, Amount::Full);
    assert_eq!((found.outcome, found.good, found.bound), (Outcome::Failed, 7, None));
    assert_eq!(losses(&found.findings), ["acme: acme/a acme/b"]);
    let manifest = flip_segment(&fixture, "zeta", "manifest", 0);
    let found = check_readback(&fixture, &manifest, Amount::Full);
    assert_eq!(found.outcome, Outcome::Failed);
    assert_eq!(losses(&found.findings), ["zeta: whole"]);
}

#[test]
fn a_key_that_does_not_open_takes_the_tenant_with_it() {
    let fixture = Fixture::with_snapshots();
    for name in fixture.names("keys/") {
        let store = fixture.store.fork();
        store.remove(&name);
        let found = check_readback(&fixture, &store, Amount::Full);
        assert_eq!((found.outcome, found.keys), (Outcome::Failed, 1));
        assert_eq!(losses(&found.findings), ["?: whole", "?: whole"]);
    }
}

#[test]
fn damage_without_a_secret_is_traced_to_one_segment_with_one() {
    let fixture = Fixture::with_snapshots();
    let store = flip_segment(&fixture, "acme", "data", 1);
    let mut found = check_integrity(&fixture, &store);
    assert_eq!(found.outcome, Outcome::Failed);
    assert!(losses(&found.findings).is_empty());
    let repository = fixture.open(&store);
    let recovery = fixture.recovery(&repository);
    let needs = Needs::load(&repository, recovery.catalog(), &scope(), &Silent).unwrap();
    trace(&mut found.findings, &needs, &repository, None, Threads::ONE, &Silent).unwrap();
    assert_eq!(losses(&found.findings), ["?: something"]);
    trace(&mut found.findings, &needs, &repository, Some(&recovery), Threads::ONE, &Silent).unwrap();
    assert_eq!(losses(&found.findings), ["acme: acme/a acme/b"]);
}

#[test]
fn a_sample_reads_what_it_says_and_every_manifest() {
    let fixture = Fixture::with_snapshots();
    let found = check_readback(&fixture, &fixture.store, Amount::Segments(3));
    assert_eq!((found.outcome, found.population, found.sample, found.good), (Outcome::Passed, 8, 3, 3));
    assert_eq!(found.entries, 6);
    assert!(found.sample_bytes < found.population_bytes && found.seed.is_some());
    assert!(found.bound.is_some_and(|bound| !bound.exact));
    // A damaged manifest is found whether its segment is drawn or not.
    let manifest = flip_segment(&fixture, "zeta", "manifest", 1);
    for count in 1..8 {
        let found = check_readback(&fixture, &manifest, Amount::Segments(count));
        assert_eq!(found.outcome, Outcome::Failed, "{count}");
        assert_eq!(losses(&found.findings), ["zeta: whole"]);
    }
}

#[test]
fn manifests_that_lie_are_seen() {
    let lies: [(&str, fixture::Meddle<'_>); 4] = [
        ("not in its order", &|entries| entries.reverse()),
        ("entries with", &|entries| entries.truncate(1)),
        ("stands twice", &|entries| entries.insert(1, entries[0].clone())),
        ("names chunks that no segment", &|entries| {
            entries[0].tail.chunks[0].0 = lifeboat_repo::ids::ChunkId::from_bytes([9; 32]);
        }),
    ];
    for (expected, lie) in lies {
        let fixture = Fixture::new();
        fixture.backup_meddled(&[("acme", "acme/a", b"one"), ("acme", "acme/b", b"two")], lie);
        assert_eq!(check_inventory(&fixture, &fixture.store).unwrap().outcome, Outcome::Passed);
        assert_eq!(check_integrity(&fixture, &fixture.store).outcome, Outcome::Passed);
        let found = check_readback(&fixture, &fixture.store, Amount::Full);
        assert_eq!(found.outcome, Outcome::Failed, "{expected}");
        let damage = damage(&found.findings);
        assert!(damage.iter().any(|finding| finding.what.contains(expected)), "{expected}: {damage:?}");
        assert!(damage.iter().all(|finding| finding.affects.len() == 1), "{damage:?}");
    }
}

fn rehearsal(scratch: &std::path::Path) -> Rehearsal {
    Rehearsal {
        component: "chats".parse().unwrap(),
        size: TrialSize::Whole,
        least: Least::default(),
        scratch: scratch.to_owned(),
        objective: RtoObjective::default(),
        assumptions: Assumptions::default(),
    }
}

#[test]
fn a_rehearsal_restores_and_leaves_nothing() {
    let fixture = Fixture::with_snapshots();
    let repository = fixture.repository();
    let recovery = fixture.recovery(&repository);
    let scratch = tempfile::tempdir().unwrap();
    let mut seen = 0;
    let mut look = |tree: &std::path::Path| seen += usize::from(tree.join("acme/a").is_file());
    let found =
        rehearse(&recovery, &rehearsal(scratch.path()), &Monotonic::default(), &Silent, &mut look).unwrap();
    assert_eq!((found.outcome, found.rto.verdict), (Outcome::Passed, RtoVerdict::Met));
    // Once with each stream count.
    let measured = &found.rto.measurements;
    assert_eq!((measured.trials.len(), seen), (4, 4));
    assert_eq!((measured.full.bytes, measured.restored().bytes), (Bytes(200_007), Bytes(200_007)));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_rehearsal_that_loses_something_proves_no_time() {
    let fixture = Fixture::with_snapshots();
    let store = flip_segment(&fixture, "acme", "data", 1);
    let repository = fixture.open(&store);
    let recovery = fixture.recovery(&repository);
    let scratch = tempfile::tempdir().unwrap();
    let stopwatch = Monotonic::default();
    let found = rehearse(&recovery, &rehearsal(scratch.path()), &stopwatch, &Silent, &mut |_| {}).unwrap();
    assert_eq!(found.outcome, Outcome::Failed);
    assert!(matches!(found.rto.verdict, RtoVerdict::InsufficientEvidence(_)));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
