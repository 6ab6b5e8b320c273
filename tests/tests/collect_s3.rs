//! Writers and collectors at once on one bucket of a real server: `lifeboat backup`, `lifeboat retain` and `lifeboat gc`,
//! killed and stopped at random. Whoever ends with an error was fenced; and afterwards whatever is listed comes back as it
//! was.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_repo::crypto::{Identity, SigningKey};
use lifeboat_repo::ids::RunId;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::snapshots::{Judge, Listed, Standing};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::S3Store;
use lifeboat_restore::{Options, Selection, Status, perform, plan};
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::scratch;
use lifeboat_tests::seaweed::{Seaweed, secret_of, settings_at};
use lifeboat_tests::{World, programs, write};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Says what a test went through; shown with `--success-output`.
macro_rules! counted {
    ($($text:tt)*) => { eprintln!($($text)*) };
}

const BUCKET: &str = "lifeboat";
/// Seconds instead of days.
const AGES: &str = r#"
[gc]
pack_age = "2s"
plan_age = "1s"
run_age = "5s"
dead_share = 1
"#;
/// How long a writer is stopped: past every age.
const STOPPED: Duration = Duration::from_secs(12);
/// A writer rests for so long at the most between two backups, times the number of writers: a server on a small machine
/// answers so many requests a second, and collectors are to get somewhere, too.
const REST: Duration = Duration::from_secs(1);
/// What a fenced run is told.
const FENCED: &str = "a collector ended this run because it took too long";

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

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verb {
    Backup(u64),
    Retain,
    Gc,
}

/// A process under way.
struct Running {
    who: String,
    verb: Verb,
    child: Child,
    /// Where its standard output and standard error go.
    said: [PathBuf; 2],
    began: Instant,
    /// When it is killed, or stopped and for how long.
    fate: Option<(Duration, bool)>,
    stopped: bool,
}

/// What came of all processes.
#[derive(Default, Debug)]
struct Counts {
    /// How many ended well, by verb, and how long they took together.
    well: BTreeMap<&'static str, (usize, Duration)>,
    fenced: usize,
    killed: usize,
    stopped: usize,
    /// Runs that collectors told they had ended.
    ended: usize,
    /// Collections that deleted a pack.
    sweeps: usize,
    /// Packs that they deleted.
    deleted: u64,
}

struct Scene {
    world: World,
    endpoint: String,
    random: u64,
    started: u64,
    counts: Counts,
    /// What each run backed up that said it had.
    versions: BTreeMap<RunId, (String, u64)>,
}

impl Scene {
    fn new(endpoint: String, asked: &Asked) -> Self {
        let world = World::over(store(&endpoint), scratch());
        let counts = Counts::default();
        let scene =
            Self { world, endpoint, random: 0x9e37_79b9, started: 0, counts, versions: BTreeMap::new() };
        let writers: Vec<String> = (1..=asked.writers).map(|number| format!("h{number}")).collect();
        for who in &writers {
            let card = scene.keys(who);
            scene.world.enrol(who, &signing(who).public(), &card, &[&format!("of-{who}")]);
        }
        for number in 1..=asked.collectors {
            let who = format!("m{number}");
            let card = scene.keys(&who);
            scene.world.enrol_maintainer(&who, &signing(&who), &card);
            let components = writers
                .iter()
                .map(|who| component(who, "nothing") + "keep = { last = 1, minimum_age = \"1s\" }\n");
            scene.configure(&who, &who, &components.collect::<String>());
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.world.dir.path().join(name)
    }

    /// Writes a host's keys.
    fn keys(&self, who: &str) -> Identity {
        let card = Identity::generate();
        let keys = [
            (format!("{who}.key"), signing(who).to_openssh().unwrap().as_bytes().to_vec()),
            (format!("{who}.card"), card.to_secret_string().as_bytes().to_vec()),
        ];
        for (name, key) in keys {
            fs::write(self.at(&name), key).unwrap();
            fs::set_permissions(self.at(&name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        card
    }

    fn configure(&self, name: &str, who: &str, components: &str) {
        let (endpoint, officer) = (&self.endpoint, self.world.officer.public());
        let text = format!(
            r#"[host]
writer = "{who}"
signing_key = "{who}.key"
card_identity = "{who}.card"
state = "state-{who}"

[regions.eu-fra]
jurisdiction = "EU"
repository = "s3://{BUCKET}"
officers = ["{officer}"]

[regions.eu-fra.s3]
region = "us-east-1"
endpoint = "{endpoint}"
path_style = true
allow_private = true
allow_http = true
{AGES}{components}"#
        );
        fs::write(self.at(&format!("{name}.toml")), text).unwrap();
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }

    fn source(&self, who: &str, version: u64) -> PathBuf {
        self.at(&format!("source-{who}-{version}"))
    }

    /// A version shares much with others of its host, so that what is dead is relied on again; each part is a tenant's, so
    /// that packs die in parts. It tells which it is.
    fn plant(&self, who: &str, version: u64) {
        let root = self.source(who, version);
        if root.exists() {
            return;
        }
        for part in 0..5 {
            if version >> part & 1 == 1 {
                write(&root, &format!("tenants/t{part}/data"), &noise(part + 100 * who.len() as u64, 30_000));
            }
        }
        write(&root, "version", version.to_string().as_bytes());
        self.configure(&format!("{who}-{version}"), who, &component(who, &format!("source-{who}-{version}")));
    }

    /// Starts what is next to be done by somebody: whoever collects expires first.
    fn start(&mut self, who: &str, last: Option<Verb>) -> Running {
        let verb = match last {
            _ if who.starts_with('h') => Verb::Backup(1 + self.below(31)),
            Some(Verb::Retain) => Verb::Gc,
            _ => Verb::Retain,
        };
        let (config, word) = match verb {
            Verb::Backup(version) => {
                self.plant(who, version);
                (format!("{who}-{version}.toml"), "backup")
            }
            Verb::Retain => (format!("{who}.toml"), "retain"),
            Verb::Gc => (format!("{who}.toml"), "gc"),
        };
        self.started += 1;
        let said = ["out", "err"].map(|name| self.at(&format!("{name}-{}", self.started)));
        let [out, err] = said.each_ref().map(|path| File::create(path).unwrap());
        let mut command = Command::new(programs::lifeboat());
        command.current_dir(self.world.dir.path()).args([word, "--json", "--config", &config]);
        if word == "backup" {
            command.arg("--all");
        }
        command.env("AWS_ACCESS_KEY_ID", "admin").env("AWS_SECRET_ACCESS_KEY", secret_of("admin"));
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        // A collection takes longer than a backup, and some are to get as far as deleting.
        let at = Duration::from_millis(self.below(if word == "backup" { 1000 } else { 6000 }));
        let fate = match (self.below(16), word) {
            (0..7, "backup") | (0..3, _) => Some((at, true)),
            (7, "backup") => Some((at, false)),
            _ => None,
        };
        Running { who: who.to_owned(), verb, child, said, began: Instant::now(), fate, stopped: false }
    }

    /// Looks after a process; whether it is over.
    fn tend(&mut self, running: &mut Running) -> bool {
        if let Some(status) = running.child.try_wait().unwrap() {
            self.note(running, status.code());
            return true;
        }
        let pid = Pid::from_child(&running.child);
        match running.fate {
            Some((at, true)) if running.began.elapsed() >= at => {
                running.child.kill().unwrap();
                running.child.wait().unwrap();
                self.counts.killed += 1;
                running.forget();
                return true;
            }
            Some((at, false)) if !running.stopped && running.began.elapsed() >= at => {
                kill_process(pid, Signal::STOP).unwrap();
                running.stopped = true;
                self.counts.stopped += 1;
            }
            Some((at, false)) if running.began.elapsed() >= at + STOPPED => {
                kill_process(pid, Signal::CONT).unwrap();
                running.fate = None;
            }
            _ => {}
        }
        false
    }

    /// What a process says that was not killed: it did what it was to do, or it was fenced.
    fn note(&mut self, running: &Running, code: Option<i32>) {
        let [out, err] = running.said.each_ref().map(|path| fs::read_to_string(path).unwrap_or_default());
        let (who, verb) = (&running.who, running.verb);
        let told = serde_json::from_str::<Value>(&out).unwrap_or_default()["result"].take();
        if code == Some(7) && matches!(verb, Verb::Backup(_)) && out.contains(FENCED) {
            self.counts.fenced += 1;
            running.forget();
            return;
        }
        assert_eq!(code, Some(0), "{who}, {verb:?}:\n{out}\n{err}");
        let word = match verb {
            Verb::Backup(version) => {
                let run = told["components"][0]["run"].as_str().unwrap_or_else(|| panic!("{out}"));
                self.versions.insert(run.parse().unwrap(), (who.clone(), version));
                "backup"
            }
            Verb::Retain => "retain",
            Verb::Gc => {
                let sweep = &told["regions"][0]["sweep"];
                let packs = sweep["deleted"]["packs"].as_u64().unwrap_or_else(|| panic!("{out}"));
                self.counts.deleted += packs;
                self.counts.sweeps += usize::from(packs > 0);
                self.counts.ended += sweep["ended"].as_array().map_or(0, Vec::len);
                "gc"
            }
        };
        let slot = self.counts.well.entry(word).or_default();
        *slot = (slot.0 + 1, slot.1 + running.began.elapsed());
        running.forget();
    }

    /// Everything that counts comes back: as the version that it says it is, which is the one that its run said it backed
    /// up, if it did. How many there are, and how many fences.
    fn come_back(&self) -> (usize, usize) {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let listed = Judge::new(&repository, recovery.catalog()).unwrap().list(None).unwrap();
        let fences = listed.iter().filter(|one| one.standing == Standing::Fenced).count();
        for one in &listed {
            assert!(!matches!(one.standing, Standing::Void(_)), "{}: {:?}", one.name, one.standing);
        }
        let count = |one: &&Listed| matches!(one.standing, Standing::Counts | Standing::Unrecorded);
        let counting: Vec<&Listed> = listed.iter().filter(count).collect();
        for one in &counting {
            let target = scratch();
            let plan =
                plan(&recovery, one.snapshot.as_ref().unwrap(), &Selection::default(), &Silent).unwrap();
            let report =
                perform(repository.store(), &plan, target.path(), &Options::default(), &Silent).unwrap();
            assert_eq!(report.status(), Status::Complete, "{}: {report:#?}", one.name);
            let who = one.component.as_str().strip_prefix("of-").unwrap();
            let version = fs::read_to_string(target.path().join("version")).unwrap().parse().unwrap();
            if let Some(said) = self.versions.get(&one.run) {
                assert_eq!(said, &(who.to_owned(), version), "{}", one.name);
            }
            let differences = Tree::of(&self.source(who, version)).differences(&Tree::of(target.path()));
            assert!(differences.is_empty(), "{}: {differences:#?}", one.name);
        }
        (counting.len(), fences)
    }

    /// Whoever said it had a snapshot has one, unless it is expired by now.
    fn assert_there(&self) {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let judge = Judge::new(&repository, recovery.catalog()).unwrap();
        let listed = judge.list(None).unwrap();
        let standing: BTreeMap<RunId, &Standing> =
            listed.iter().map(|one| (one.run, &one.standing)).collect();
        for (run, (who, _)) in &self.versions {
            let name = format!("snapshots/of-{who}/{run}").parse().unwrap();
            let there = matches!(standing.get(run), Some(Standing::Counts));
            assert!(there || judge.condemned().snapshot(&name), "{name}: {:?}", standing.get(run));
        }
    }
}

impl Running {
    fn forget(&self) {
        for path in &self.said {
            fs::remove_file(path).unwrap();
        }
    }
}

fn component(who: &str, path: &str) -> String {
    format!(
        "\n[components.of-{who}]\nregion = \"eu-fra\"\npath = \"{path}\"\ntenants = [\"tenants/{{tenant}}\"]\n\
         system = \"which version it is\"\n"
    )
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
    let mut running: Vec<Running> = who.iter().map(|who| scene.start(who, None)).collect();
    let mut resting: Vec<Option<Instant>> = who.iter().map(|_| None).collect();
    let rest_max = u64::try_from(REST.as_millis()).unwrap() * asked.writers as u64;
    let enough = |counts: &Counts| {
        began.elapsed() >= asked.time
            && counts.killed >= asked.kills
            && counts.ended >= asked.fences
            && counts.sweeps >= asked.sweeps
    };
    while !enough(&scene.counts) {
        // A slow machine goes on until the counts are reached.
        assert!(began.elapsed() < asked.time * 3, "{:?}", scene.counts);
        for (one, rest) in running.iter_mut().zip(&mut resting) {
            match rest {
                None if scene.tend(one) => {
                    let wanted = if one.who.starts_with('h') { scene.below(rest_max) } else { 0 };
                    *rest = Some(Instant::now() + Duration::from_millis(wanted));
                }
                Some(until) if Instant::now() >= *until => {
                    *rest = None;
                    *one = scene.start(&one.who, Some(one.verb));
                }
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let busy = running.iter_mut().zip(resting).filter(|(_, rest)| rest.is_none());
    for (one, _) in busy {
        let _either = kill_process(Pid::from_child(&one.child), Signal::CONT);
        let code = one.child.wait().unwrap().code();
        scene.note(one, code);
    }
    let took = began.elapsed();
    scene.world.assert_told(&scene.world.store, "afterwards");
    let (restored, fences) = scene.come_back();
    scene.assert_there();
    scene.world.verify(&scene.world.store).assert_undamaged("afterwards");
    counted!(
        "{} writers, {} collectors, {took:?}: {:?}; {fences} fences; {restored} snapshots restored",
        asked.writers,
        asked.collectors,
        scene.counts
    );
    assert!(restored > 0 && scene.counts.stopped > 0 && fences >= asked.fences);
}
