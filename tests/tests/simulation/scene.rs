//! Who is there, and what everybody does.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};

use lifeboat_backup::{Job, Resources};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::replicate::{self, replicate};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, Timestamp};
use lifeboat_tests::collecting::{Aging, HOUR, HOURS, aging_world};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::Expected;
use lifeboat_tests::stepped::{Blind, Mishaps, Stepped, Steps, Tally};
use lifeboat_tests::{World, copy, files_in, label, write};

use crate::harm::Harm;

/// Three who back up, two of them under one name.
const WRITERS: usize = 3;
/// And two who collect.
const KEEPERS: usize = 2;
/// Who fills the replica.
const COPIER: usize = WRITERS + KEEPERS;
/// What a source may hold, each of a tenant of its own: so a pack holds segments that die one by one.
const PARTS: u64 = 4;

/// What is played.
#[derive(Clone, Copy)]
pub(crate) struct Play {
    pub(crate) mishaps: Mishaps,
    /// What writers and collectors are denied.
    pub(crate) blind: (Blind, Blind),
    /// Whether there is a replica.
    pub(crate) replica: bool,
    /// Whether objects are damaged, and repaired.
    pub(crate) harm: bool,
}

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

pub(crate) struct Simulation {
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) memory: MemoryStore,
    pub(crate) replica: MemoryStore,
    pub(crate) clock: Aging,
    second: Credentials,
    pub(crate) keepers: [Arc<Credentials>; KEEPERS],
    copier: Arc<Credentials>,
    pub(crate) expected: Mutex<Expected>,
    pub(crate) expired: Mutex<BTreeSet<ObjectName>>,
    pub(crate) committed: Mutex<Vec<ObjectName>>,
    pub(crate) harm: Mutex<Harm>,
}

/// A number that a seed gives for some use.
pub(crate) fn drawn(seed: u64, what: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    mixed >> 24
}

/// Content that comes and goes: what a version has is told by its bits.
fn plant(root: &Path, version: u64) {
    for part in 0..PARTS {
        if version >> part & 1 == 1 {
            write(root, &format!("tenants/t{part}/data"), &noise(part, 3000));
        }
    }
    write(root, "version", version.to_string().as_bytes());
}

impl Simulation {
    /// Two snapshots of each component; the first will expire, and most of what it stored is dead then.
    pub(crate) fn new(seed: u64) -> Self {
        let (world, memory, clock) = aging_world();
        let replica = MemoryStore::with_clock(Arc::new(clock.clone()));
        let (signing, card) = (SigningKey::from_seed([9; 32]), Identity::generate());
        world.enrol("w2", &signing.public(), &card, &["mail"]);
        let second = Credentials { writer: label("w2"), signing, card };
        let keepers = [world.maintainer("m1", 71), world.maintainer("m2", 72)];
        let copier = world.maintainer("r1", 73);
        // Clocks that are two days slow must not be from before anybody was enrolled.
        clock.pass(HOUR * 24 * 4);
        let (expected, expired, committed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let harm = Mutex::default();
        let simulation = Self {
            seed,
            world,
            memory,
            replica,
            clock,
            second,
            keepers,
            copier,
            expected,
            expired,
            committed,
            harm,
        };
        for (party, version) in [(0, 0b1111), (0, 0b0001), (2, 0b1111), (2, 0b0001)] {
            simulation.back_up(&simulation.store(), party, version, 0).unwrap();
        }
        simulation.clock.pass(HOUR * 24);
        simulation
    }

    /// The repository's store, with nobody in the way.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.memory.clone())
    }

    pub(crate) fn repository(&self, store: Arc<dyn Store>) -> Result<Repository, RepositoryError> {
        Repository::open(store, &[self.world.officer.public()])
    }

    pub(crate) fn opened_replica(&self, store: Arc<dyn Store>) -> Result<Repository, RepositoryError> {
        Repository::open_replica(store, &[self.world.officer.public()])
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
    pub(crate) fn back_up(
        &self,
        store: &Arc<dyn Store>,
        party: usize,
        version: u64,
        days: i64,
    ) -> Option<ObjectName> {
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
        let repository = self.repository(Arc::clone(store)).ok()?;
        let credentials = self.credentials(party);
        let report = lifeboat_backup::run(&repository, credentials, &job, &clock, &SystemEntropy, &notes);
        report.ok().map(|report| report.snapshot)
    }

    fn write_and_note(&self, seat: &Stepped, steps: &Steps, party: usize) {
        let store: Arc<dyn Store> = Arc::new(seat.clone());
        let days = [0, 2, -2].get(party).copied().unwrap_or(0);
        for round in 0..3 {
            let version = drawn(self.seed, (party * 4 + round) as u64) % (1 << PARTS);
            if let Some(name) = self.back_up(&store, party, version, days) {
                self.committed.lock().unwrap().push(name);
            }
            // Whoever died is started again.
            steps.revive(party);
        }
    }

    fn keep(&self, seat: &Stepped, steps: &Steps, party: usize) {
        let who = &self.keepers[party - WRITERS];
        for _ in 0..4 {
            let store: Arc<dyn Store> = Arc::new(seat.clone());
            if let Ok(repository) = self.repository(store) {
                if party == WRITERS {
                    let _either = self.expire(&repository, who, 1);
                }
                let _either = self.world.collect_in(&repository, who, &HOURS);
            }
            steps.revive(party);
        }
    }

    /// Expires all but the newest of each component.
    fn expire(
        &self,
        repository: &Repository,
        who: &Arc<Credentials>,
        keep: usize,
    ) -> Result<(), RepositoryError> {
        let maintainer = Maintainer::open(repository, Arc::clone(who), &self.clock, &SystemEntropy)?;
        let listed = Judge::new(repository, maintainer.catalog())?.list(None)?;
        let mut counting: BTreeMap<Label, Vec<ObjectName>> = BTreeMap::new();
        for one in listed.into_iter().filter(|one| one.standing == Standing::Counts) {
            counting.entry(one.component).or_default().push(one.name);
        }
        let old = counting.values().flat_map(|names| names.iter().rev().skip(keep)).cloned();
        let draft = GcDraft { snapshots: old.collect(), ..GcDraft::default() };
        if draft.snapshots.is_empty() {
            return Ok(());
        }
        if who.writer != self.copier.writer {
            self.expired.lock().unwrap().extend(draft.snapshots.iter().cloned());
        }
        maintainer.put_gc(&draft).map(drop)
    }

    /// Copies into the replica.
    pub(crate) fn replicate(
        &self,
        from: Arc<dyn Store>,
        to: Arc<dyn Store>,
    ) -> Result<replicate::Report, RepositoryError> {
        let source = self.repository(from)?;
        let job = replicate::Job {
            source: &source,
            replica: to,
            pins: &[self.world.officer.public()],
            credentials: Arc::clone(&self.copier),
            clock: &SystemClock,
            entropy: &SystemEntropy,
            threads: NonZero::<usize>::MIN,
            memory: Bytes::mib(64),
        };
        replicate(&job, &Silent)
    }

    /// Expires and collects in the replica, by records of its own.
    pub(crate) fn keep_replica(&self, store: Arc<dyn Store>) -> Result<(), RepositoryError> {
        let replica = self.opened_replica(store)?;
        self.expire(&replica, &self.copier, 2)?;
        self.world.collect_in(&replica, &self.copier, &HOURS).map(drop)
    }

    fn copy_and_keep(&self, steps: &Arc<Steps>) {
        let seat = |store| -> Arc<dyn Store> { Arc::new(steps.seat(COPIER, store, Blind::No)) };
        for round in 0..4 {
            let _either = self.replicate(seat(&self.memory), seat(&self.replica));
            if round > 0 {
                let _either = self.keep_replica(seat(&self.replica));
            }
            steps.revive(COPIER);
        }
        // At any moment, whoever else is in the middle of something.
        self.replica_comes_back("midway");
    }

    /// Everybody at once, one step at a time.
    pub(crate) fn play(&self, play: Play) -> Tally {
        let parties = COPIER + usize::from(play.replica) + usize::from(play.harm);
        let steps = Steps::new(self.seed, parties, &self.clock, play.mishaps);
        std::thread::scope(|scope| {
            for party in 0..parties {
                let steps = &steps;
                scope.spawn(move || {
                    let seat = |blind| steps.seat(party, &self.memory, blind);
                    let played = catch_unwind(AssertUnwindSafe(|| match party {
                        0..WRITERS => self.write_and_note(&seat(play.blind.0), steps, party),
                        WRITERS..COPIER => self.keep(&seat(play.blind.1), steps, party),
                        COPIER if play.replica => self.copy_and_keep(steps),
                        _ => self.harm_and_mend(steps, party, play.replica),
                    }));
                    steps.leave(party);
                    played.unwrap_or_else(|panic| resume_unwind(panic));
                });
            }
        });
        steps.finish()
    }
}
