//! The machine under a run fails: memory flips bits, clocks jump, every operation of the store fails once.

#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_backup::BackupErrorKind;
use lifeboat_backup::testing::{Stage, meddle};
use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::store::faulty::{Fault, FaultyStore};
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::store::{Store, StoreErrorKind};
use lifeboat_repo::units::Timestamp;
use lifeboat_tests::examine::scratch;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::Expected;
use lifeboat_tests::{World, write};

/// A world in memory with a source of two tenants and a snapshot of it, and what that must bring back.
fn stage() -> (World, MemoryStore, Expected) {
    let store = MemoryStore::new();
    let world = World::over(Arc::new(store.clone()), scratch());
    let source = world.source();
    for number in 0..4_u64 {
        write(&source, &format!("tenants/acme/f{number}"), &noise(number + 1, 50_000));
        write(&source, &format!("tenants/beta/g{number}"), format!("{number}").repeat(2000).as_bytes());
    }
    let run = world.backup().unwrap().run;
    let expected = Expected::from([(run, Arc::new(Tree::of(&source)))]);
    (world, store, expected)
}

fn change(world: &World, number: u64) {
    write(&world.source(), "tenants/acme/changed", &noise(1000 + number, 40_000));
    write(&world.source(), "tenants/beta/changed", format!("{number} ").repeat(900).as_bytes());
    write(&world.source(), &format!("tenants/t{number}/new"), b"of a new tenant");
}

/// What must hold after a run that failed or did not: everything listed comes back, nothing is damaged, and the next
/// run needs nobody's help.
fn survives(world: &World, store: &Arc<dyn Store>, expected: &mut Expected, context: &str) {
    let source = Arc::new(Tree::of(&world.source()));
    for one in world.listed(store) {
        expected.entry(one.run).or_insert_with(|| Arc::clone(&source));
    }
    world.verify(store).assert_undamaged(context);
    let report = world.run(Arc::clone(store), &world.job(), &SystemClock, &Silent);
    let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
    expected.insert(report.run, source);
    let restored = world.assert_restorable(store, expected, context);
    assert_eq!(restored, expected.len(), "{context}");
    world.verify(store).assert_passed(context);
}

#[test]
fn a_flip_between_two_stages_is_found_before_anything_is_stored() {
    for (number, stage_hit) in (0..).zip([Stage::Plain, Stage::Packed, Stage::Sealed]) {
        let mut refused = 0;
        for place in 0..12_u64 {
            let (world, store, mut expected) = stage();
            change(&world, number);
            let before = store.list("").unwrap().len();
            let hits = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&hits);
            meddle(move |stage, bytes| {
                if stage == stage_hit
                    && !bytes.is_empty()
                    && counted.fetch_add(1, Ordering::Relaxed) == place % 3
                {
                    let at = bytes.len() * usize::try_from(place).unwrap() / 12;
                    bytes[at] ^= 0x10;
                }
            });
            let outcome = world.backup();
            meddle(|_, _| ());
            let context = format!("{stage_hit:?} at {place}/12");
            let Err(error) = outcome else {
                // What zstd and age do not look at does not reach the content: then nothing is wrong.
                assert!(hits.load(Ordering::Relaxed) <= place % 3, "{context}: nobody saw it");
                continue;
            };
            assert!(matches!(error.kind, BackupErrorKind::Corrupted(_)), "{context}: {error:?}");
            refused += 1;
            assert_eq!(store.list("snapshots/").unwrap().len(), 1, "{context}");
            assert!(store.list("").unwrap().len() <= before + 8, "{context}");
            let store: Arc<dyn Store> = Arc::new(store);
            survives(&world, &store, &mut expected, &context);
        }
        assert!(refused >= 8, "{stage_hit:?}: {refused} of 12");
    }
}

#[test]
fn a_flip_after_the_last_check_is_found_by_a_readback() {
    let (world, store, _) = stage();
    change(&world, 7);
    let hit = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&hit);
    meddle(move |stage, bytes| {
        if stage == Stage::Checked && counted.fetch_add(1, Ordering::Relaxed) == 0 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    });
    let stored = world.backup();
    meddle(|_, _| ());
    assert!(hit.load(Ordering::Relaxed) > 0);
    // A pack is named by what was put into it: its name cannot tell. Its segments' names can, where somebody reads.
    let store: Arc<dyn Store> = Arc::new(store);
    match stored {
        Ok(_) => {
            let findings = world.verify(&store).findings;
            assert!(
                findings.iter().any(|found| found.what.contains("not those that were stored")),
                "{findings:#?}"
            );
        }
        Err(error) => assert!(matches!(error.kind, BackupErrorKind::Corrupted(_)), "{error:?}"),
    }
}

/// A clock that says something else every time it is asked.
struct Jumping {
    asked: AtomicU64,
    /// In seconds from the true time, one after the other.
    jumps: &'static [i64],
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let jump = self.jumps[usize::try_from(asked).unwrap() % self.jumps.len()];
        let now = SystemClock.now();
        Timestamp::new(now.seconds() + jump, now.nanos())
    }
}

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

#[test]
fn a_clock_that_jumps_harms_nothing() {
    // Forward and back, within a run and between runs; none of it before the writer was enrolled.
    let clocks: [&[i64]; 4] =
        [&[0, HOUR, 1, 2 * HOUR], &[YEAR, 0], &[0, YEAR, 10 * YEAR, 1], &[5, 4, 3, 2, 1]];
    let (world, store, mut expected) = stage();
    let store: Arc<dyn Store> = Arc::new(store);
    for (number, jumps) in (0..).zip(clocks) {
        change(&world, number);
        let context = format!("the clock jumps {jumps:?}");
        let clock = Jumping { asked: AtomicU64::new(number), jumps };
        match world.run(Arc::clone(&store), &world.job(), &clock, &Silent) {
            Ok(report) => drop(expected.insert(report.run, Arc::new(Tree::of(&world.source())))),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("clock") || text.contains("valid"), "{context}: {text}");
            }
        }
        survives(&world, &store, &mut expected, &context);
    }
    // Before its own enrolment nobody has signed anything: the run is refused, and says who is not enrolled.
    let clock = Jumping { asked: AtomicU64::new(0), jumps: &[-YEAR] };
    let error = world.run(Arc::clone(&store), &world.job(), &clock, &Silent).unwrap_err();
    assert!(error.to_string().contains("writer w1"), "{error}");
    survives(&world, &store, &mut expected, "the clock went back a year");
}

#[test]
fn a_backup_over_a_store_that_fails_once_loses_nothing() {
    let errors = [rustix::io::Errno::IO, rustix::io::Errno::NOSPC];
    let (world, base, expected) = stage();
    change(&world, 1);
    let kept = world.dir.path().join("state-kept");
    copy(&world.job().state, &kept);
    let (mut failed, mut went_on) = (0, 0);
    for at in 1.. {
        let mut reached = false;
        for fault in [Fault::Before, Fault::After] {
            let errno = errors[usize::try_from(at % 2).unwrap()];
            let kind = StoreErrorKind::Io(std::io::Error::from_raw_os_error(errno.raw_os_error()));
            let fork = base.fork();
            let faulty = Arc::new(FaultyStore::new(fork.clone()).fail_at(at, fault, kind));
            std::fs::remove_dir_all(world.job().state).unwrap();
            copy(&kept, &world.job().state);
            let outcome =
                world.run(Arc::clone(&faulty) as Arc<dyn Store>, &world.job(), &SystemClock, &Silent);
            reached |= faulty.operations() >= at;
            let context = format!("operation {at} {fault:?} fails with {errno}");
            match outcome {
                Ok(_) => went_on += 1,
                Err(error) => {
                    failed += 1;
                    assert!(
                        error.to_string().contains(&std::io::Error::from(errno).to_string()),
                        "{context}: {error}"
                    );
                }
            }
            let store: Arc<dyn Store> = Arc::new(fork);
            survives(&world, &store, &mut expected.clone(), &context);
        }
        if !reached {
            println!("{failed} runs failed, {went_on} went on, of {} operations", at - 1);
            assert!(failed > 2 * at / 3);
            break;
        }
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
