//! The real code, simulated: writers on several hosts, two of them under one name, and two maintainers at one store, one
//! operation at a time as a seed decides, while operations fail, answers are lost, puts arrive late, parties die and others
//! go on, and the clock jumps past every age. Afterwards whatever is listed comes back as it was, and whoever reported
//! success has a snapshot. Collectors that wait for no runs, or do not copy, lose something at one of the seeds.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::{Job, Resources};
use lifeboat_repo::clock::{Clock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::Knobs;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Timestamp;
use lifeboat_tests::collecting::{Aging, HOUR, HOURS, aging_world};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::Expected;
use lifeboat_tests::stepped::{Blind, Mishaps, Stepped, Steps, Tally};
use lifeboat_tests::{World, copy, files_in, label, write};

/// Says what a test went through; shown with `--success-output`.
macro_rules! counted {
    ($($text:tt)*) => { eprintln!($($text)*) };
}

/// What goes wrong in most simulations.
const ROUGH: Mishaps = Mishaps { fails: 6, ambiguous: 12, dies: 3, turns: 150, jumps: 12 };
/// Nothing goes wrong but time.
const SLOW: Mishaps = Mishaps { fails: 0, ambiguous: 0, dies: 0, turns: 200, jumps: 40 };
/// Everybody's turns: three who back up, two who collect.
const WRITERS: usize = 3;
const PARTIES: usize = WRITERS + 2;

/// A host's clock, days off the store's.
struct Skewed(Aging, i64);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        let now = self.0.now();
        Timestamp::new(now.seconds() + self.1, now.nanos())
    }
}

/// Notes which run a backup is, since its snapshot may be there although it says it failed.
struct Notes<'a> {
    tree: Arc<Tree>,
    expected: &'a Mutex<Expected>,
}

impl Observer for Notes<'_> {
    fn tell(&self, event: Event) {
        if let Event::Run(run) = event {
            self.expected.lock().unwrap().insert(run, Arc::clone(&self.tree));
        }
    }
}

struct Simulation {
    world: World,
    memory: MemoryStore,
    clock: Aging,
    second: Credentials,
    keepers: [Arc<Credentials>; 2],
    expected: Mutex<Expected>,
    expired: Mutex<BTreeSet<ObjectName>>,
    committed: Mutex<Vec<ObjectName>>,
}

/// Content that comes and goes: what a version has is told by its bits.
fn plant(root: &Path, version: u64) {
    for part in 0..4 {
        let path = format!("tenants/acme/{part}");
        if version >> part & 1 == 1 {
            write(root, &path, &noise(part, 3000));
        }
    }
    write(root, "tenants/acme/version", version.to_string().as_bytes());
}

impl Simulation {
    /// Two snapshots of the first component; the first will expire, and most of what it stored is dead then.
    fn new() -> Self {
        let (world, memory, clock) = aging_world();
        let (signing, card) = (SigningKey::from_seed([9; 32]), Identity::generate());
        world.enrol("w2", &signing.public(), &card, &["mail"]);
        let second = Credentials { writer: label("w2"), signing, card };
        let keepers = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
        // Clocks that are two days slow must not be from before anybody was enrolled.
        clock.pass(HOUR * 24 * 4);
        let (expected, expired, committed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let simulation = Self { world, memory, clock, second, keepers, expected, expired, committed };
        for version in [0b1111, 0b0001] {
            let store: Arc<dyn Store> = Arc::new(simulation.memory.clone());
            simulation.back_up(&store, 0, version, 0).unwrap();
        }
        simulation.clock.pass(HOUR * 24);
        simulation
    }

    fn credentials(&self, party: usize) -> Credentials {
        if party < 2 {
            return self.world.credentials();
        }
        let signing = self.second.signing.to_openssh().unwrap();
        Credentials {
            writer: label("w2"),
            signing: SigningKey::from_openssh(signing.as_bytes()).unwrap(),
            card: copy(&self.second.card),
        }
    }

    /// Backs a version up as the writer of a seat, with a clock so many days off.
    fn back_up(&self, store: &Arc<dyn Store>, party: usize, version: u64, days: i64) -> Option<ObjectName> {
        let root = self.world.dir.path().join(format!("source-{party}-{version}"));
        plant(&root, version);
        let job = Job {
            component: label(if party < 2 { "files" } else { "mail" }),
            source: files_in(root.clone()),
            state: self.world.dir.path().join(format!("state-{party}")),
            // Several threads would ask the store in an order that no seed decides.
            resources: Resources { threads: Some(NonZero::<usize>::MIN), memory: None },
            ..self.world.job()
        };
        let notes = Notes { tree: Arc::new(Tree::of(&root)), expected: &self.expected };
        let clock = Skewed(self.clock.clone(), days * 24 * 60 * 60);
        let repository = Repository::open(Arc::clone(store), &[self.world.officer.public()]).ok()?;
        let credentials = self.credentials(party);
        let report = lifeboat_backup::run(&repository, credentials, &job, &clock, &SystemEntropy, &notes);
        report.ok().map(|report| report.snapshot)
    }

    fn write_and_note(&self, seat: &Stepped, steps: &Steps, party: usize, seed: u64) {
        let store: Arc<dyn Store> = Arc::new(seat.clone());
        let days = [0, 2, -2].get(party).copied().unwrap_or(0);
        for round in 0..3 {
            let version = (seed >> (party * 4 + round)) & 0b1111 | 1 << (round + 1);
            if let Some(name) = self.back_up(&store, party, version, days) {
                self.committed.lock().unwrap().push(name);
            }
            // Whoever died is started again.
            steps.revive(party);
        }
    }

    fn keep(&self, seat: &Stepped, steps: &Steps, party: usize, knobs: &Knobs) {
        let who = &self.keepers[party - WRITERS];
        for _ in 0..4 {
            let store: Arc<dyn Store> = Arc::new(seat.clone());
            if party == WRITERS {
                let _either = self.expire(&store, who);
            }
            let _either = self.world.collect(store, who, knobs);
            steps.revive(party);
        }
    }

    /// Expires all but the newest of each component.
    fn expire(&self, store: &Arc<dyn Store>, who: &Arc<Credentials>) -> Option<()> {
        let repository = Repository::open(Arc::clone(store), &[self.world.officer.public()]).ok()?;
        let maintainer = Maintainer::open(&repository, Arc::clone(who), &self.clock, &SystemEntropy).ok()?;
        let listed = Judge::new(&repository, maintainer.catalog()).ok()?.list(None).ok()?;
        let mut counting: BTreeMap<Label, Vec<ObjectName>> = BTreeMap::new();
        for one in listed.into_iter().filter(|one| one.standing == Standing::Counts) {
            counting.entry(one.component).or_default().push(one.name);
        }
        let old = counting.values().flat_map(|names| names.iter().rev().skip(1)).cloned();
        let draft = GcDraft { snapshots: old.collect(), ..GcDraft::default() };
        self.expired.lock().unwrap().extend(draft.snapshots.iter().cloned());
        if draft.snapshots.is_empty() {
            return Some(());
        }
        maintainer.put_gc(&draft).ok().map(drop)
    }

    /// Everybody at once, one step at a time.
    fn play(&self, seed: u64, mishaps: Mishaps, blind: (Blind, Blind), knobs: &Knobs) -> Tally {
        let steps = Steps::new(seed, PARTIES, &self.memory, &self.clock, mishaps);
        std::thread::scope(|scope| {
            for party in 0..PARTIES {
                let steps = &steps;
                scope.spawn(move || {
                    let played = catch_unwind(AssertUnwindSafe(|| {
                        if party < WRITERS {
                            self.write_and_note(&steps.seat(party, blind.0), steps, party, seed);
                        } else {
                            self.keep(&steps.seat(party, blind.1), steps, party, knobs);
                        }
                    }));
                    steps.leave(party);
                    played.unwrap_or_else(|panic| resume_unwind(panic));
                });
            }
        });
        steps.finish()
    }

    /// What is listed comes back: now, and when everything due is swept. How many there are then.
    fn comes_back(&self, seed: u64) -> usize {
        let store: Arc<dyn Store> = Arc::new(self.memory.clone());
        let restored = |when: &str| {
            let expected = self.expected.lock().unwrap();
            self.world.assert_restorable(&store, &expected, &format!("seed {seed}, {when}"))
        };
        restored("at once");
        for _ in 0..2 {
            self.clock.pass(HOUR * 24 * 9);
            self.world.collect(Arc::clone(&store), &self.keepers[1], &HOURS).unwrap();
        }
        restored("later")
    }

    /// It comes back, who reported success has a snapshot, and verification finds nothing.
    fn prove(&self, seed: u64) -> usize {
        let restored = self.comes_back(seed);
        let store: Arc<dyn Store> = Arc::new(self.memory.clone());
        for name in self.committed.lock().unwrap().iter() {
            if !self.expired.lock().unwrap().contains(name) {
                let standing = self.world.standing(&store, name);
                assert!(matches!(standing, Some(Standing::Counts)), "seed {seed}: {name}: {standing:?}");
            }
        }
        self.world.verify(&store).assert_undamaged(&format!("seed {seed}"));
        restored
    }
}

fn seeds(few: u64, many: u64) -> std::ops::Range<u64> {
    if std::env::var_os("LIFEBOAT_SOAK").is_some() { 0..many } else { 0..few }
}

#[test]
fn whatever_happens_nothing_committed_is_lost() {
    let (mut sum, mut restored) = (Tally::default(), 0);
    let range = seeds(80, 3000);
    for seed in range.clone() {
        let mishaps = if seed % 4 == 3 { SLOW } else { ROUGH };
        let simulation = Simulation::new();
        let tally = simulation.play(seed, mishaps, (Blind::No, Blind::No), &HOURS);
        restored += simulation.prove(seed);
        sum.operations += tally.operations;
        sum.faults += tally.faults;
        sum.deaths += tally.deaths;
        sum.turns += tally.turns;
        sum.jumps += tally.jumps;
        sum.late += tally.late;
    }
    counted!("seeds {range:?}: {sum:?}; {restored} snapshots restored; violations: 0");
    assert!(sum.faults > 0 && sum.deaths > 0 && sum.late > 0 && sum.jumps > 0);
}

/// A precaution that is left out, and from which seed on a loss is looked for: the one at which it is known to show.
struct LeftOut {
    what: &'static str,
    blind: (Blind, Blind),
    from: u64,
}

impl LeftOut {
    /// What does not come back at a seed, if anything does not.
    fn lost_at(&self, seed: u64) -> Option<String> {
        let simulation = Simulation::new();
        simulation.play(seed, SLOW, self.blind, &HOURS);
        let loss = catch_unwind(AssertUnwindSafe(|| simulation.comes_back(seed))).err()?;
        let told = loss.downcast_ref::<String>().map_or("", String::as_str);
        Some(told.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect())
    }

    /// The seed at which something is lost that is not lost with the precaution.
    fn shows(&self) {
        let (hook, quiet) = (std::panic::take_hook(), Box::new(|_: &PanicHookInfo<'_>| {}));
        std::panic::set_hook(quiet);
        let found = (self.from..self.from + 300).find_map(|seed| Some((seed, self.lost_at(seed)?)));
        std::panic::set_hook(hook);
        let (seed, told) = found.unwrap_or_else(|| unreachable!("{}: nothing is lost", self.what));
        let simulation = Simulation::new();
        simulation.play(seed, SLOW, (Blind::No, Blind::No), &HOURS);
        simulation.prove(seed);
        counted!("{}: seed {seed} loses something, and does not with it: {told}", self.what);
    }
}

// That records are listed again between copying and deleting is not among these: nothing is lost without it as long as
// the tables of packs that no index names are read, as they are; the model of the protocol explores both.

#[test]
#[ignore = "a search, by hand: no seed is known yet at which a snapshot does not come back"]
fn a_writer_that_sees_no_records_loses_something() {
    let blind = (Blind::Records, Blind::No);
    LeftOut { what: "writers see the records of collectors", blind, from: 0 }.shows();
}

#[test]
#[ignore = "a search, by hand: no seed is known yet at which a snapshot does not come back"]
fn a_writer_that_does_not_mind_fences_loses_something() {
    let blind = (Blind::Fences, Blind::No);
    LeftOut { what: "writers cannot commit where a fence stands", blind, from: 0 }.shows();
}

#[test]
fn a_collector_that_waits_for_no_runs_loses_something() {
    let blind = (Blind::No, Blind::Runs);
    LeftOut { what: "collectors wait for runs", blind, from: 22 }.shows();
}

#[test]
fn a_collector_that_does_not_copy_loses_something() {
    let blind = (Blind::No, Blind::Copies);
    LeftOut { what: "collectors copy what is live", blind, from: 0 }.shows();
}

#[test]
fn a_seed_gives_the_same_again() {
    for seed in 0..2 {
        let play = || Simulation::new().play(seed, ROUGH, (Blind::No, Blind::No), &HOURS);
        let (once, again) = (play(), play());
        assert_eq!(once, again, "seed {seed}");
    }
}

/// So that days are days.
const _: () = assert!(HOURS.run_age_max.as_secs() <= Duration::from_secs(24 * 60 * 60).as_secs());
