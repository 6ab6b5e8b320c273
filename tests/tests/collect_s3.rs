//! Writers and collectors at once on one bucket of a real server, as processes that are killed and stopped at random:
//! afterwards whatever is listed comes back as it was.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_backup::{Hooks, Job, Resources, Rewriting};
use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::{Label, ObjectName, RunId};
use lifeboat_repo::observe::{Event, Observer, Silent};
use lifeboat_repo::repository::Repository;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::collect::{Knobs, Percent, condemn, survey, sweep};
use lifeboat_repo::repository::maintainer::{GcDraft, Maintainer};
use lifeboat_repo::repository::snapshots::{Judge, Standing};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::S3Store;
use lifeboat_repo::units::{Bytes, LockClass};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::seaweed::{Seaweed, settings_at};
use lifeboat_tests::{World, files_in, label, write};
use rustix::process::{Pid, Signal, kill_process};

/// Says what a test went through; shown with `--success-output`.
macro_rules! counted {
    ($($text:tt)*) => { eprintln!($($text)*) };
}

/// Where a process finds its keys and sources.
const PLACE: &str = "LIFEBOAT_TEST_PLACE";
/// The server.
const ENDPOINT: &str = "LIFEBOAT_TEST_ENDPOINT";
/// Who it is: `w3` writes, `m1` collects.
const WHO: &str = "LIFEBOAT_TEST_WHO";
/// What it backs up.
const VERSION: &str = "LIFEBOAT_TEST_VERSION";
const BUCKET: &str = "lifeboat";
/// Seconds instead of days.
const KNOBS: Knobs = Knobs {
    pack_age_min: Duration::from_secs(2),
    plan_age_min: Duration::from_secs(1),
    run_age_max: Duration::from_secs(5),
    dead_share: Percent(1),
    copy_max: Bytes::mib(1024),
};
/// How long a writer is stopped: past every age.
const STOPPED: Duration = Duration::from_secs(12);

/// How much is asked for.
struct Asked {
    writers: usize,
    collectors: usize,
    time: Duration,
    kills: usize,
    fences: usize,
    sweeps: usize,
}

fn asked() -> Asked {
    let minute = Duration::from_secs(60);
    if std::env::var_os("LIFEBOAT_SOAK").is_some() {
        return Asked { writers: 16, collectors: 2, time: minute * 10, kills: 300, fences: 50, sweeps: 100 };
    }
    Asked { writers: 4, collectors: 1, time: minute * 3 / 2, kills: 30, fences: 5, sweeps: 10 }
}

fn store(endpoint: &str) -> Arc<dyn Store> {
    Arc::new(S3Store::open(settings_at(endpoint.to_owned(), "admin", BUCKET, "")).unwrap())
}

fn signing(who: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed.iter_mut().zip(who.bytes().chain([77])).for_each(|(to, from)| *to = from);
    SigningKey::from_seed(seed)
}

/// What a process has, and does.
struct Part {
    place: PathBuf,
    who: Label,
    repository: Repository,
}

impl Part {
    fn credentials(&self) -> Credentials {
        let card = fs::read_to_string(self.place.join(format!("card-{}", self.who))).unwrap();
        Credentials {
            writer: self.who.clone(),
            signing: signing(self.who.as_str()),
            card: card.parse().unwrap(),
        }
    }

    fn back_up(&self, version: &str) {
        let job = Job {
            component: label(&format!("of-{}", self.who)),
            source: files_in(self.place.join(format!("source-{}-{version}", self.who))),
            state: self.place.join(format!("state-{}", self.who)),
            hooks: Hooks::default(),
            resources: Resources::default(),
            rewriting: Rewriting::default(),
            lock: LockClass::Normal,
            state_in_repository: false,
            tool: "lifeboat-tests".into(),
        };
        let notes = Notes { place: &self.place, version: format!("{}-{version}", self.who) };
        let credentials = self.credentials();
        lifeboat_backup::run(&self.repository, credentials, &job, &SystemClock, &SystemEntropy, &notes)
            .unwrap();
    }

    /// Expires all but the newest of each component, condemns, sweeps, and notes what came of it.
    fn collect(&self) {
        let credentials = Arc::new(self.credentials());
        let maintainer =
            Maintainer::open(&self.repository, credentials, &SystemClock, &SystemEntropy).unwrap();
        let listed = Judge::new(&self.repository, maintainer.catalog()).unwrap().list(None).unwrap();
        let mut counting: BTreeMap<Label, Vec<ObjectName>> = BTreeMap::new();
        for one in listed.into_iter().filter(|one| one.standing == Standing::Counts) {
            counting.entry(one.component).or_default().push(one.name);
        }
        let old = counting.values().flat_map(|names| names.iter().rev().skip(1)).cloned();
        let draft = GcDraft { snapshots: old.collect(), ..GcDraft::default() };
        if !draft.snapshots.is_empty() {
            maintainer.put_gc(&draft).unwrap();
        }
        let plan = survey(&maintainer, &KNOBS, &Silent).unwrap();
        condemn(&maintainer, &plan, &KNOBS, &Silent).unwrap();
        let swept = sweep(&maintainer, &KNOBS, true, &Silent).unwrap();
        if swept.deleted.packs > 0 {
            let note = self.place.join(format!("swept-{}-{}", self.who, std::process::id()));
            fs::write(note, swept.deleted.packs.to_string()).unwrap();
        }
    }
}

/// Writes down which version a run backs up, before it can commit.
struct Notes<'a> {
    place: &'a Path,
    version: String,
}

impl Observer for Notes<'_> {
    fn tell(&self, event: Event) {
        if let Event::Run(run) = event {
            fs::write(self.place.join(format!("run-{run}")), &self.version).unwrap();
        }
    }
}

/// The process that may be killed.
#[test]
#[ignore = "started by the test below"]
fn party() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let (endpoint, who) = (std::env::var(ENDPOINT).unwrap(), std::env::var(WHO).unwrap());
    let pins = [SigningKey::from_seed([1; 32]).public()];
    let repository = Repository::open(store(&endpoint), &pins).unwrap();
    let part = Part { place, who: label(&who), repository };
    match std::env::var(VERSION) {
        Ok(version) => part.back_up(&version),
        Err(_) => part.collect(),
    }
}

/// A process under way.
struct Running {
    child: Child,
    began: Instant,
    /// When it is killed, or stopped and for how long.
    fate: Option<(Duration, bool)>,
    stopped: bool,
}

struct Scene {
    world: World,
    endpoint: String,
    random: u64,
    kills: usize,
    stops: usize,
    succeeded: usize,
    failed: usize,
}

impl Scene {
    fn new(endpoint: String, asked: &Asked) -> Self {
        let world = World::over(store(&endpoint), scratch());
        for number in 1..=asked.writers {
            let who = format!("h{number}");
            let card = Identity::generate();
            fs::write(world.dir.path().join(format!("card-{who}")), card.to_secret_string().as_bytes())
                .unwrap();
            world.enrol(&who, &signing(&who).public(), &card, &[&format!("of-{who}")]);
        }
        for number in 1..=asked.collectors {
            let who = format!("m{number}");
            let card = Identity::generate();
            fs::write(world.dir.path().join(format!("card-{who}")), card.to_secret_string().as_bytes())
                .unwrap();
            world.enrol_maintainer(&who, &signing(&who), &card);
        }
        Self { world, endpoint, random: 0x9e37_79b9, kills: 0, stops: 0, succeeded: 0, failed: 0 }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }

    /// A version shares much with others of its host, so that what is dead is relied on again.
    fn plant(&self, who: &str, version: u64) {
        let root = self.world.dir.path().join(format!("source-{who}-{version}"));
        if root.exists() {
            return;
        }
        for part in 0..5 {
            if version >> part & 1 == 1 {
                write(&root, &format!("tenants/{who}/{part}"), &noise(part + 100 * who.len() as u64, 30_000));
            }
        }
        write(&root, "version", version.to_string().as_bytes());
    }

    fn start(&mut self, who: &str) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "party", "--ignored", "--nocapture"]);
        command.env(PLACE, self.world.dir.path()).env(ENDPOINT, &self.endpoint).env(WHO, who);
        if who.starts_with('h') {
            let version = 1 + self.below(31);
            self.plant(who, version);
            command.env(VERSION, version.to_string());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // A collection takes longer than a backup, and some are to get as far as deleting.
        let at = Duration::from_millis(self.below(if who.starts_with('h') { 1500 } else { 6000 }));
        let fate = match self.below(16) {
            0..7 => Some((at, true)),
            7 if who.starts_with('h') => Some((at, false)),
            _ => None,
        };
        Running { child, began: Instant::now(), fate, stopped: false }
    }

    /// Looks after a process; whether it is over.
    fn tend(&mut self, running: &mut Running) -> bool {
        if let Some(status) = running.child.try_wait().unwrap() {
            if status.success() {
                self.succeeded += 1
            } else {
                self.failed += 1
            }
            return true;
        }
        let pid = Pid::from_child(&running.child);
        match running.fate {
            Some((at, true)) if running.began.elapsed() >= at => {
                running.child.kill().unwrap();
                running.child.wait().unwrap();
                self.kills += 1;
                return true;
            }
            Some((at, false)) if !running.stopped && running.began.elapsed() >= at => {
                kill_process(pid, Signal::STOP).unwrap();
                running.stopped = true;
                self.stops += 1;
            }
            Some((at, false)) if running.began.elapsed() >= at + STOPPED => {
                kill_process(pid, Signal::CONT).unwrap();
                running.fate = None;
            }
            _ => {}
        }
        false
    }

    fn fences(&self) -> usize {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
        listed.iter().filter(|one| one.standing == Standing::Fenced).count()
    }

    fn noted(&self, prefix: &str) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.world.dir.path()).unwrap().map(|entry| entry.unwrap());
        let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
        let wanted = named.filter_map(|(name, path)| Some((name.strip_prefix(prefix)?.to_owned(), path)));
        wanted.map(|(name, path)| (name, fs::read_to_string(path).unwrap_or_default())).collect()
    }

    fn expected(&self) -> Expected {
        let tree = |version: &str| Tree::of(&self.world.dir.path().join(format!("source-{version}")));
        // A run killed while it noted what it backs up had committed nothing.
        let runs = self.noted("run-").into_iter().filter(|(_, version)| !version.is_empty());
        runs.map(|(run, version)| (run.parse::<RunId>().unwrap(), Arc::new(tree(&version)))).collect()
    }
}

#[test]
fn writers_and_collectors_at_once_lose_nothing() {
    let asked = asked();
    let server = Seaweed::start();
    server.make_bucket(BUCKET, false);
    let mut scene = Scene::new(server.endpoint(), &asked);
    let writers = (1..=asked.writers).map(|number| format!("h{number}"));
    let who: Vec<String> = writers.chain((1..=asked.collectors).map(|number| format!("m{number}"))).collect();
    let began = Instant::now();
    let mut running: Vec<Option<Running>> = who.iter().map(|_| None).collect();
    let (mut fences, mut sweeps) = (0, 0);
    let enough = |scene: &Scene, fences, sweeps| {
        began.elapsed() >= asked.time
            && scene.kills >= asked.kills
            && fences >= asked.fences
            && sweeps >= asked.sweeps
    };
    while !enough(&scene, fences, sweeps) {
        // A slow machine goes on until the counts are reached.
        assert!(began.elapsed() < asked.time * 3, "{} kills, {fences} fences, {sweeps} sweeps", scene.kills);
        for (slot, who) in running.iter_mut().zip(&who) {
            let over = slot.as_mut().is_none_or(|running| scene.tend(running));
            if over {
                *slot = Some(scene.start(who));
            }
        }
        if began.elapsed() >= asked.time {
            (fences, sweeps) = (scene.fences(), scene.noted("swept-").len());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for one in running.iter_mut().flatten() {
        let _either = kill_process(Pid::from_child(&one.child), Signal::CONT);
        one.child.wait().unwrap();
    }
    let (store, expected) = (Arc::clone(&scene.world.store), scene.expected());
    let restored = scene.world.assert_restorable(&store, &expected, "afterwards");
    scene.world.verify(&store).assert_undamaged("afterwards");
    counted!(
        "{} writers, {} collectors, {:?}: {} ended well, {} with an error, {} killed, {} stopped; {fences} fences, {sweeps} \
         deleting sweeps; {restored} snapshots restored",
        asked.writers,
        asked.collectors,
        began.elapsed(),
        scene.succeeded,
        scene.failed,
        scene.kills,
        scene.stops
    );
    assert!(restored > 0 && scene.stops > 0);
}
