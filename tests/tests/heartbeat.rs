//! What disasters lose, against what the heartbeats in a restored copy say of it.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::heartbeat::{Host, Living, Pulse, beat, tenants_of};
use lifeboat_repo::clock::{Clock, SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::format::heartbeat::HeartbeatBody;
use lifeboat_repo::ids::RunId;
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::heartbeats::read_log;
use lifeboat_repo::repository::snapshots::Judge;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::FaultyStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Timestamp;
use lifeboat_restore::{Options, Selection, perform, plan};
use lifeboat_tests::paced::Numbers;
use lifeboat_tests::trees::Maker;
use lifeboat_tests::{World, label};
use lifeboat_verify::loss::{Found, Known, judge};
use lifeboat_verify::objective::{RpoVerdict, rpo};

const MILLI: Duration = Duration::from_millis(1);
/// Heartbeats come this often: what is a minute elsewhere is a second here.
const EVERY: Duration = Duration::from_millis(950);

/// A source that is written continuously, and a clock that its writers share. The time goes on whenever anybody looks at
/// the clock or says how far a backup is, and whatever is due by then is written.
struct Source {
    world: World,
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    numbers: Numbers,
    next_write: Timestamp,
    /// When each record of the application was written.
    written: Vec<(PathBuf, Timestamp)>,
}

impl Source {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let world = World::over(Arc::new(MemoryStore::new()), dir);
        let m = Maker::new(&world.source());
        // Directories are walked one after another, and the heartbeat's comes in the middle of them.
        for dir in ["a", "b", "heart", "x", "y"] {
            m.dir(dir);
        }
        let now = SystemClock.now().plus(Duration::from_secs(60));
        let state = State { now, numbers: Numbers(seed), next_write: now, written: Vec::new() };
        Self { world, state: Mutex::new(state) }
    }

    /// Lets so much time pass.
    fn pass(&self, time: Duration) -> Timestamp {
        let mut state = self.state.lock().unwrap();
        let until = state.now.plus(time);
        while state.next_write <= until {
            let at = state.next_write;
            let dir = ["a", "b", "x", "y"][(state.numbers.draw() % 4) as usize];
            let path = PathBuf::from(format!("{dir}/{}", state.written.len()));
            fs::write(self.world.source().join(&path), at.to_string()).unwrap();
            state.written.push((path, at));
            let pause = 20 + state.numbers.draw() % 120;
            state.next_write = at.plus(Duration::from_millis(pause));
        }
        state.now = until;
        until
    }

    fn beat(&self) {
        let repository = self.world.repository();
        let memory = self.world.dir.path().join("heartbeats.json");
        let host = Host {
            credentials: Arc::new(self.world.credentials()),
            memory: &memory,
            clock: self,
            entropy: &SystemEntropy,
            stop: &|| false,
        };
        let (root, file) = (self.world.source(), "heart/records".into());
        let living = Living {
            component: label("files"),
            pulse: Pulse::Files { root, file, tenants: Vec::new() },
            count: None,
            count_every: EVERY,
        };
        let report = beat(Ok(&repository), &host, &[living]).unwrap();
        assert!(report.logged.is_ok() && report.components[0].wrote.is_ok(), "{report:?}");
    }

    fn backup(&self) {
        let job = self.world.job();
        let repository = self.world.repository();
        lifeboat_backup::run(&repository, self.world.credentials(), &job, self, &SystemEntropy, self)
            .unwrap();
    }

    /// When the first change was made that a copy does not hold, of those made before the disaster.
    fn first_lost(
        &self,
        tree: &Path,
        disaster: Timestamp,
        log: &[HeartbeatBody],
        there: &BTreeSet<u64>,
    ) -> Option<Timestamp> {
        let state = self.state.lock().unwrap();
        let writes = state.written.iter().filter(|(path, at)| *at <= disaster && !tree.join(path).exists());
        // Heartbeats are changes, too.
        let beats = log.iter().flat_map(|entry| &entry.beats);
        let beats = beats
            .filter(|beat| beat.written <= disaster && !there.contains(&beat.seq))
            .map(|beat| beat.written);
        writes.map(|(_, at)| *at).chain(beats).min()
    }
}

impl Clock for Source {
    fn now(&self) -> Timestamp {
        self.pass(MILLI)
    }
}

impl Observer for Source {
    fn tell(&self, event: Event) {
        if !matches!(event, Event::Warning(_)) {
            self.pass(40 * MILLI);
        }
    }
}

/// The newest snapshot restored for each run, once.
struct Copies<'s> {
    source: &'s Source,
    restored: BTreeMap<RunId, PathBuf>,
    room: tempfile::TempDir,
}

impl Copies<'_> {
    fn of(&mut self, run: RunId) -> PathBuf {
        if let Some(path) = self.restored.get(&run) {
            return path.clone();
        }
        let target = self.room.path().join(run.to_string());
        let repository = self.source.world.repository();
        let recovery = self.source.world.recovery(&repository);
        let listed =
            Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&label("files"))).unwrap();
        let one = listed.iter().find(|one| one.run == run).unwrap();
        let plan = plan(&recovery, one.snapshot.as_ref().unwrap(), &Selection::default(), &Silent).unwrap();
        perform(repository.store(), &plan, &target, &Options::default(), &Silent).unwrap();
        self.restored.insert(run, target.clone());
        target
    }
}

#[test]
fn what_is_lost_lies_within_the_bound_at_two_hundred_disasters() {
    let source = Source::new(5);
    let begun = source.now();
    let mut ready = None;
    for round in 0..15 {
        let beats = 4 + source.state.lock().unwrap().numbers.draw() % 8;
        for _ in 0..beats {
            source.beat();
            let spent = source.state.lock().unwrap().numbers.draw() % 30;
            source.pass(EVERY - Duration::from_millis(spent));
        }
        source.pass(Duration::from_millis(source.state.lock().map(|mut s| s.numbers.draw() % 400).unwrap()));
        if round < 13 {
            source.backup();
            ready = ready.or(Some(source.now()));
        }
    }
    let (ready, ended) = (ready.unwrap(), source.now());
    let repository = source.world.repository();
    let recovery = source.world.recovery(&repository);
    let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&label("files"))).unwrap();
    let room = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut copies = Copies { source: &source, restored: BTreeMap::new(), room };
    let all = read_log(&repository, recovery.catalog(), begun, ended.plus(EVERY)).unwrap();
    let (mut widest, mut most, mut closed, mut numbers) = (Duration::ZERO, Duration::ZERO, 0, Numbers(77));
    for number in 0..200 {
        let disaster = ready.plus(ended.since(ready).mul_f64(numbers.share()));
        let found = rpo(&listed, &label("files"), disaster, Duration::MAX);
        let tree = copies.of(found.run.unwrap());
        let lines = fs::read(tree.join("heart/records")).unwrap();
        let found_records = Found::among(&lines, &label("files"), &recovery.canary_keys(), &|_| None);
        assert_eq!(found_records.strange, 0);
        let log = read_log(&repository, recovery.catalog(), begun, disaster).unwrap();
        assert_eq!(log.trouble, Vec::<String>::new());
        let loss = judge(&Known {
            component: &label("files"),
            found: &found_records,
            log: Some(&log.entries),
            recovery_point: found.recovery_point,
            disaster,
            objective: Duration::from_secs(3600),
        });
        let bound = loss.bound.unwrap_or_else(|| panic!("{number}: {loss:?}")).0;
        let low = loss.low.map_or(Duration::ZERO, |low| low.0);
        let (there, _) = lifeboat_repo::format::heartbeat::Canary::among(&lines);
        let there: BTreeSet<u64> = there.iter().map(|canary| canary.seq).collect();
        let truth = source
            .first_lost(&tree, disaster, &all.entries, &there)
            .map_or(Duration::ZERO, |first| disaster.since(first));
        assert!(
            low <= truth && truth <= bound,
            "{number}: {truth:?} lost, {low:?} to {bound:?} said: {loss:?}"
        );
        assert!(bound - low <= 2 * Duration::from_secs(1), "{number}: {low:?} to {bound:?}");
        assert_eq!((loss.holes, loss.verdict), (0, RpoVerdict::Met), "{number}");
        widest = widest.max(bound - low);
        most = most.max(truth);
        closed += u32::from(loss.low.is_some());
    }
    let state = source.state.lock().unwrap();
    println!(
        "200 disasters in {:?}, {} changes, {} backups: what was lost lay within the bound each time, at most {most:.2?}; the \
         bound at most {widest:.2?} wide, {closed} times with a lower end above nothing",
        ended.since(ready),
        state.written.len(),
        copies.restored.len()
    );
    assert!(copies.restored.len() >= 12 && state.written.len() > 500 && closed > 100);
}

/// A host that loses its memory, and one that cannot reach the repository for a while.
#[test]
fn numbers_go_on_and_what_was_not_logged_is_logged_later() {
    let source = Source::new(6);
    let m = Maker::new(&source.world.source());
    m.dir("tenants/acme");
    m.dir("tenants/acme/data");
    let repository = source.world.repository();
    let memory = source.world.dir.path().join("memory/hb.json");
    let host = Host {
        credentials: Arc::new(source.world.credentials()),
        memory: &memory,
        clock: &source,
        entropy: &SystemEntropy,
        stop: &|| false,
    };
    let living = Living {
        component: label("files"),
        pulse: Pulse::Files {
            root: source.world.source(),
            file: "heart/records".into(),
            tenants: vec![("acme".parse().unwrap(), "tenants/acme/data".into())],
        },
        count: Some(lifeboat_backup::Program::new("/bin/sh", &["-c", "echo 'acme 41'; echo '_system 7'"])),
        count_every: Duration::from_secs(3600),
    };
    let all = std::slice::from_ref(&living);
    let seq = |report: lifeboat_backup::heartbeat::BeatReport| report.components[0].wrote.as_ref().unwrap().0;
    let unreachable = || {
        let error = lifeboat_repo::repository::RepositoryError::refused("store", "it is far away");
        beat(Err(error), &host, all)
    };
    // Nobody could tell whose records they are.
    assert!(unreachable().is_err());
    let first = beat(Ok(&repository), &host, all).unwrap();
    assert_eq!((first.components[0].tenants, first.components[0].missed.len()), (1, 0));
    assert!(matches!(first.components[0].counted, Some(Ok(2))));
    assert_eq!(seq(first), 1);
    let apart = unreachable().unwrap();
    assert!(apart.logged.is_err() && apart.components[0].tenants == 0);
    assert_eq!(seq(apart), 2);
    assert_eq!(seq(beat(Ok(&repository), &host, all).unwrap()), 3);
    // All is forgotten: records and log tell how far it was.
    fs::remove_file(&memory).unwrap();
    fs::remove_file(source.world.source().join("heart/records")).unwrap();
    assert_eq!(seq(beat(Ok(&repository), &host, all).unwrap()), 4);
    fs::remove_file(&memory).unwrap();
    fs::remove_file(source.world.source().join("heart/records")).unwrap();
    // A host reads no log but its own: its rights say no more.
    let (other, card) = (SigningKey::from_seed([91; 32]), Identity::generate());
    source.world.enrol("other-1", &other.public(), &card, &["files"]);
    let watched = Arc::new(FaultyStore::new(Arc::clone(&source.world.store)));
    let repository = source.world.repository_over(Arc::clone(&watched) as Arc<dyn Store>);
    assert_eq!(seq(beat(Ok(&repository), &host, all).unwrap()), 5);
    let foreign = watched.log().into_iter().find(|call| call.subject.starts_with("heartbeats/other-1"));
    assert_eq!(foreign, None);
    let recovery = source.world.recovery(&repository);
    let log = read_log(&repository, recovery.catalog(), Timestamp::default(), source.now()).unwrap();
    let beats = log.entries.iter().flat_map(|entry| &entry.beats).filter(|beat| beat.tenant.is_none());
    let mut logged: Vec<u64> = beats.map(|beat| beat.seq).collect();
    logged.sort_unstable();
    assert_eq!(logged, [1, 2, 3, 4, 5]);
    let acme = recovery.tokens_of(&"acme".parse().unwrap());
    let counters: Vec<_> = log.entries.iter().flat_map(|entry| &entry.counters).collect();
    assert!(counters.iter().any(|counter| counter.tenant == Some(acme[0].1) && counter.records == 41));
    // Nothing stored names the tenant.
    for object in source.world.store.list("").unwrap() {
        let bytes = source.world.store.read(&object.name, object.length).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"acme"), "{}", object.name);
    }
    // A count that fails is not tried again before it is time.
    let failing = Some(lifeboat_backup::Program::new("/bin/sh", &["-c", "exit 3"]));
    let failing = Living { component: label("other"), count: failing, ..living.clone() };
    let count = || {
        let report = beat(Ok(&repository), &host, std::slice::from_ref(&failing)).unwrap();
        report.components.into_iter().next().unwrap().counted
    };
    assert!(matches!(count(), Some(Err(_))));
    assert!(count().is_none());
    // A tenant may put a link there; it is not followed.
    let secret = source.world.dir.path().join("secret");
    fs::write(&secret, b"untouched").unwrap();
    for name in [".lifeboat-heartbeat", ".lifeboat-heartbeat.new"] {
        let place = source.world.source().join("tenants/acme/data").join(name);
        let _ = fs::remove_file(&place);
        std::os::unix::fs::symlink(&secret, place).unwrap();
    }
    let report = beat(Ok(&repository), &host, all).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"untouched");
    assert_eq!((report.components[0].tenants, report.components[0].missed.len()), (0, 1));
    // Nor is one in the place of a directory above it.
    let (data, elsewhere) =
        (source.world.source().join("tenants/acme/data"), source.world.dir.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(&data).unwrap();
    fs::remove_dir(data.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, data.parent().unwrap()).unwrap();
    fs::create_dir(elsewhere.join("data")).unwrap();
    let report = beat(Ok(&repository), &host, all).unwrap();
    assert_eq!(fs::read_dir(elsewhere.join("data")).unwrap().count(), 0);
    assert_eq!((report.components[0].tenants, report.components[0].missed.len()), (0, 1));
    assert!(report.components[0].missed[0].contains("is a link, or no directory"), "{report:?}");
    let patterns = ["tenants/{tenant}/data".to_owned()];
    assert_eq!(tenants_of(&source.world.source(), &patterns, 9).unwrap(), []);
    fs::remove_file(data.parent().unwrap()).unwrap();
    m.dir("tenants/acme");
    m.dir("tenants/acme/data");
    let found = tenants_of(&source.world.source(), &patterns, 9).unwrap();
    assert_eq!(found, [("acme".parse().unwrap(), PathBuf::from("tenants/acme/data"))]);
}
