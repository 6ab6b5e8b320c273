//! The real code, simulated: writers on several hosts, two of them under one name, and two maintainers at one store, one
//! operation at a time as a seed decides, while operations fail, answers are lost, puts arrive late, parties die and others
//! go on, and the clock jumps past every age. Afterwards whatever is listed comes back as it was, and whoever reported
//! success has a snapshot. Each precaution left out loses something at one of the seeds.

#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::Job;
use lifeboat_repo::clock::{Clock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::Knobs;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::Standing;
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
const ROUGH: Mishaps = Mishaps { fails: 6, ambiguous: 6, dies: 3, turns: 150, jumps: 12 };
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
    first: Vec<ObjectName>,
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
    /// Two snapshots of the first component; the first is expired, so half of what it stored is dead.
    fn new() -> Self {
        let (world, memory, clock) = aging_world();
        let (signing, card) = (SigningKey::from_seed([9; 32]), Identity::generate());
        world.enrol("w2", &signing.public(), &card, &["mail"]);
        let second = Credentials { writer: label("w2"), signing, card };
        let keepers = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
        // Clocks that are two days slow must not be from before anybody was enrolled.
        clock.pass(HOUR * 24 * 4);
        let (expected, first, committed) = (Mutex::default(), Vec::new(), Mutex::default());
        let mut simulation = Self { world, memory, clock, second, keepers, expected, first, committed };
        for version in [0b1111, 0b0001] {
            let store: Arc<dyn Store> = Arc::new(simulation.memory.clone());
            let name = simulation.back_up(&store, 0, version, 0).unwrap();
            simulation.first.push(name);
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
        for round in 0..4 {
            let store: Arc<dyn Store> = Arc::new(seat.clone());
            if round == 0 && party == WRITERS {
                let _either = self.expire(&store, who);
            }
            let _either = self.world.collect(store, who, knobs);
            steps.revive(party);
        }
    }

    fn expire(&self, store: &Arc<dyn Store>, who: &Arc<Credentials>) -> Option<()> {
        let repository = Repository::open(Arc::clone(store), &[self.world.officer.public()]).ok()?;
        let maintainer = Maintainer::open(&repository, Arc::clone(who), &self.clock, &SystemEntropy).ok()?;
        let draft = GcDraft { snapshots: self.first[..1].to_vec(), ..GcDraft::default() };
        maintainer.put_gc(&draft).ok().map(drop)
    }

    /// Everybody at once, one step at a time.
    fn play(&self, seed: u64, mishaps: Mishaps, blind: (Blind, Blind), knobs: &Knobs) -> Tally {
        let steps = Steps::new(seed, PARTIES, &self.memory, &self.clock, mishaps);
        std::thread::scope(|scope| {
            for party in 0..PARTIES {
                let steps = &steps;
                scope.spawn(move || {
                    if party < WRITERS {
                        self.write_and_note(&steps.seat(party, blind.0), steps, party, seed);
                    } else {
                        self.keep(&steps.seat(party, blind.1), steps, party, knobs);
                    }
                    steps.leave(party);
                });
            }
        });
        steps.finish()
    }

    /// What is listed comes back, and who reported success has a snapshot; now, and when everything due is swept.
    fn prove(&self, seed: u64) -> usize {
        let store: Arc<dyn Store> = Arc::new(self.memory.clone());
        let mut restored = 0;
        for when in ["at once", "later"] {
            let context = format!("seed {seed}, {when}");
            let expected = self.expected.lock().unwrap();
            restored = self.world.assert_restorable(&store, &expected, &context);
            for name in self.committed.lock().unwrap().iter() {
                let standing = self.world.standing(&store, name);
                assert!(matches!(standing, Some(Standing::Counts)), "{context}: {name}: {standing:?}");
            }
            for _ in 0..2 {
                self.clock.pass(HOUR * 24 * 9);
                self.world.collect(Arc::clone(&store), &self.keepers[1], &HOURS).unwrap();
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
    let range = seeds(16, 600);
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

/// Finds the first seed at which something is lost.
fn first_loss(what: &str, blind: (Blind, Blind), knobs: &Knobs) -> Option<u64> {
    let lost = |seed: &u64| {
        let simulation = Simulation::new();
        simulation.play(*seed, SLOW, blind, knobs);
        catch_unwind(AssertUnwindSafe(|| simulation.prove(*seed))).is_err()
    };
    let seed = seeds(60, 400).find(lost);
    counted!("{what}: the first seed that loses something: {seed:?}");
    seed
}

#[test]
fn without_a_precaution_a_seed_loses_something() {
    assert!(first_loss("writers see no gc records", (Blind::Records, Blind::No), &HOURS).is_some());
    assert!(first_loss("writers do not mind fences", (Blind::Fences, Blind::No), &HOURS).is_some());
    assert!(first_loss("collectors wait for no runs", (Blind::No, Blind::Runs), &HOURS).is_some());
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
