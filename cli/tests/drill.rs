//! Drills and books with the program itself: a region lost and rehearsed, cut off and resumed, refused where the target is no
//! target; a drill from the recovery kit alone; every command of every book.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const IDENTITY: [&str; 2] = ["--identity", "safe/recovery-eu-fra.txt"];
const OFFICER: [&str; 2] = ["--officer-key", "safe/officer-alice"];

const CONFIGURATION: &str = r#"
[host]
writer = "app-1"
signing_key = "host/keys/app-1"
card_identity = "host/keys/app-1.card"
state = "host/state"

[regions.eu-fra]
jurisdiction = "EU"
repository = "repositories/eu-fra"
replica = "replicas/eu-fra"

[components.chats]
region = "eu-fra"
path = "data/chats"
tenants = ["uploads/{tenant}"]
system = "settings of all"
needs = ["identity"]

[components.identity]
region = "eu-fra"
path = "data/identity"
system = "users of all"
"#;

/// Two components backed up twice, with a canary that was erased, and a replica.
struct World {
    directory: tempfile::TempDir,
}

/// Records in the data of chats that say what a copy lost.
const HEARTBEAT: &str = "\n[components.chats.heartbeat]\ntenants = 1\n";

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// With this besides in the configuration, and a heartbeat before each backup and after the last where it says so.
    fn with(besides: &str) -> Self {
        let world = Self { directory: tempfile::tempdir().unwrap() };
        for tenant in ["acme", "globex", "canary"] {
            let uploads = world.at(&format!("data/chats/uploads/{tenant}"));
            fs::create_dir_all(&uploads).unwrap();
            for number in 0..20 {
                fs::write(
                    uploads.join(format!("{number}.txt")),
                    format!("{tenant} wrote {number} ").repeat(200),
                )
                .unwrap();
            }
        }
        fs::create_dir_all(world.at("data/identity")).unwrap();
        fs::write(world.at("data/identity/users"), "alice, bob").unwrap();
        fs::write(world.at("data/chats/settings"), "greeting = hello").unwrap();
        fs::create_dir(world.at("replicas")).unwrap();
        // Programs know no directory of the configuration.
        let own = besides.replace('@', &world.directory.path().display().to_string());
        fs::write(world.at("lifeboat.toml"), format!("{CONFIGURATION}{own}")).unwrap();
        world.ends(&["init", "--keys", "safe", "--officer", "alice"], 0);
        let beat = || besides.is_empty() || !world.ends(&["heartbeat"], 0).is_empty();
        assert!(beat());
        world.ends(&["backup", "--all"], 0);
        // A maintainer's host fills the replica, and heals.
        let keeper = CONFIGURATION.replace("app-1", "keeper-1");
        fs::write(world.at("keeper.toml"), with_officer(&world, &keeper)).unwrap();
        world.ends(&["keys", "maintainer", "new", "--config", "keeper.toml"], 0);
        let add = ["keys", "maintainer", "add", "keeper-1", "--config", "keeper.toml"];
        world.ends(&[&add[..], &IDENTITY, &OFFICER].concat(), 0);
        world.ends(&["replicate", "--config", "keeper.toml"], 0);
        fs::remove_dir_all(world.at("data/chats/uploads/canary")).unwrap();
        let erase = ["erase", "canary", "--region", "eu-fra", "--irrevocably"];
        world.ends(&[&erase[..], &IDENTITY, &OFFICER].concat(), 0);
        fs::write(world.at("data/chats/uploads/acme/new.txt"), "new").unwrap();
        assert!(beat());
        world.ends(&["backup", "--all"], 0);
        assert!(beat());
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.current_dir(self.directory.path()).args(arguments).env_clear();
        command.env("USER", "alice").env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ends(&self, arguments: &[&str], code: i32) -> String {
        finished(&self.command(arguments).output().unwrap(), &arguments.join(" "), code)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat()).output().unwrap();
        finished(&output, &arguments.join(" "), code);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every path there is.
    fn everything(&self) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        let mut waiting = vec![self.directory.path().to_owned()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    waiting.push(entry.path());
                }
                all.insert(entry.path());
            }
        }
        all
    }

    /// The facts of a drill that came to its end.
    fn facts(&self, result: &Value) -> (Value, String) {
        let directory = self.at(result["evidence"].as_str().unwrap());
        let text = fs::read_to_string(directory.join("evidence.json")).unwrap();
        (serde_json::from_str(&text).unwrap(), text)
    }
}

/// The configuration with the officers that `init` pinned.
fn with_officer(world: &World, configuration: &str) -> String {
    let own = fs::read_to_string(world.at("lifeboat.toml")).unwrap();
    let pinned = own.lines().find(|line| line.starts_with("officers = ")).unwrap();
    configuration.replace("[regions.eu-fra]\n", &format!("[regions.eu-fra]\n{pinned}\n"))
}

#[track_caller]
fn finished(output: &Output, what: &str, code: i32) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "lifeboat {what}\n{text}");
    text
}

/// Follows VERIFY.md as a stranger would: with ssh-keygen, sha256sum, jq, a shell, and the fingerprint from paper.
fn stranger(evidence: &Path, fingerprint: &str) -> (bool, String) {
    let text = fs::read_to_string(evidence.join("VERIFY.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let tools = tempfile::tempdir().unwrap();
    for tool in ["ssh-keygen", "sha256sum", "jq"] {
        symlink(Path::new("/usr/bin").join(tool), tools.path().join(tool)).unwrap();
    }
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", &blocks.collect::<String>()]).current_dir(evidence).env_clear();
    let output = shell.env("PATH", tools.path()).env("FINGERPRINT", fingerprint).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn steps(facts: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    facts["steps"].as_array().unwrap().iter().map(|step| (text(&step["name"]), text(&step["what"]))).collect()
}

const DRILL: [&str; 9] =
    ["drill", "run", "region-loss", "--nonce", "auditor", "--erased", "canary", "--target", "rehearsal"];

#[test]
fn a_lost_region_is_rehearsed_with_every_step() {
    let world = World::new();
    let planned = world.json(&[&["drill", "plan", "region-loss"][..], &IDENTITY].concat(), 0);
    assert_eq!(planned["result"]["pins"].as_array().unwrap().len(), 2);
    assert!(!world.at("rehearsal").exists() && !world.at("drills").exists());
    // The host is lost.
    fs::remove_dir_all(world.at("host")).unwrap();
    fs::remove_dir_all(world.at("data")).unwrap();
    let done = world.json(&[&DRILL[..], &IDENTITY, &OFFICER].concat(), 0);
    let (facts, text) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    // Signed by an officer whom the configuration pins, whole, and of this book, configuration and program.
    let directory = done["result"]["evidence"].as_str().unwrap();
    world.ends(&["evidence", "verify", directory], 0);
    world.ends(&["evidence", "verify", directory, "--against-config"], 0);
    assert!(world.at(directory).join("report.html").exists());
    let key = fs::read_to_string(world.at("safe/officer-alice.pub")).unwrap();
    let key: lifeboat_repo::crypto::sign::VerifyingKey = key.trim().parse().unwrap();
    let (held, said) = stranger(&world.at(directory), &key.fingerprint());
    assert!(held && said.ends_with(": met\n"), "{said}");
    // A byte of the report is another.
    let report = world.at(directory).join("report.html");
    let genuine = fs::read_to_string(&report).unwrap();
    fs::write(&report, genuine.replacen("Met", "met", 1)).unwrap();
    assert!(!stranger(&world.at(directory), &key.fingerprint()).0);
    fs::write(&report, genuine).unwrap();
    let simulated = ["declare", "machine", "services", "dns"];
    for (name, what) in steps(&facts) {
        let wanted = match name.as_str() {
            "afterwards" => "skipped",
            name if simulated.contains(&name) => "simulated",
            _ => "ran",
        };
        assert_eq!(what, wanted, "{name}");
    }
    assert!(facts["planted"].as_array().unwrap().iter().all(|one| one["caught_by"].is_string()), "{facts:#}");
    assert_eq!(facts["absent"][0]["absent"], true);
    let components: Vec<&str> =
        facts["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(components, ["identity", "chats"]);
    for component in facts["components"].as_array().unwrap() {
        assert_eq!(component["checks"][0]["outcome"], "passed", "{component:#}");
        assert_eq!(component["rto"]["terms"][0]["basis"], "measured");
        assert!(component["rpo"]["bound"].is_number(), "{component:#}");
    }
    // What people only simulated counts with its planned time: 30 min + 2 h + 3 h + 1 h.
    assert!(facts["projection"]["seconds"].as_f64().unwrap() > 23_400.0);
    assert!(!text.contains("AGE-SECRET-KEY") && !text.contains("PRIVATE KEY"));
    assert!(!world.at("rehearsal").exists(), "the target is cleaned up");
    // Another, with a disruption that is drawn, is listed and compared.
    let more = ["--window", "1s", "--seed", "2026-Q4"];
    world.ends(&[&DRILL[..], &IDENTITY, &more].concat(), 0);
    let listed = world.json(&["drill", "list"], 0);
    let ids: Vec<&str> = listed["result"]["drills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    let compared = world.json(&["drill", "compare", ids[0], ids[1]], 0);
    assert_eq!(
        compared["result"]["steps"].as_array().unwrap().len(),
        facts["steps"].as_array().unwrap().len()
    );
    assert_eq!(compared["result"]["worse"], false);
}

/// The repository went with the region. Every command of the book looks at the replica, by hand and in a drill.
#[test]
fn a_region_that_is_lost_with_its_repository_comes_back_from_the_replica() {
    let world = World::new();
    for lost in ["host", "data", "repositories"] {
        fs::remove_dir_all(world.at(lost)).unwrap();
    }
    let drill = [&DRILL[..], &IDENTITY].concat();
    world.json(&drill, 7);
    let done = world.json(&[&drill[..], &["--replica"]].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(
        (&facts["verdict"], &facts["repositories"][0]["role"]),
        (&"met".into(), &"replica".into()),
        "{facts:#}"
    );
    assert_eq!(facts["components"][1]["checks"][0]["outcome"], "passed", "{facts:#}");
    // The replica is no target, whichever side is looked at.
    let mut bad = [&drill[..], &["--replica"]].concat();
    bad[8] = "repositories/eu-fra";
    fs::create_dir_all(world.at("repositories/eu-fra")).unwrap();
    assert_eq!(world.json(&bad, 7)["error"]["code"], "LB-730");
    let replica = [("LIFEBOAT_REPLICA", "yes".to_owned())];
    assert_eq!(follow(&world, "region-loss", &replica, &|_| {}).len(), 5);
    assert!(world.at("back/chats/uploads/acme/0.txt").exists());
}

#[test]
fn a_target_that_is_a_source_is_refused_by_whatever_name() {
    let world = World::new();
    symlink(world.at("data"), world.at("link")).unwrap();
    fs::create_dir(world.at("full")).unwrap();
    fs::write(world.at("full/file"), "").unwrap();
    let before = world.everything();
    let bad = [
        "data/chats",
        "data/chats/new",
        "data",
        "link/chats",
        "link",
        "repositories/eu-fra",
        "repositories/eu-fra/new",
        "replicas/eu-fra",
        "host/state",
        "safe",
        ".",
        "full",
    ];
    for target in bad {
        let mut arguments = [&DRILL[..], &IDENTITY].concat();
        arguments[8] = target;
        let said = world.json(&arguments, 7);
        assert_eq!(said["error"]["code"], "LB-730", "{target}: {said}");
    }
    assert_eq!(before, world.everything(), "something was written or removed");
    assert!(!world.at("drills").exists(), "nothing is begun");
    assert!(!world.at("data/chats/new").exists() && !world.at("data/new").exists());
    // A bind mount has another path, and another mount of the repository is known by its id.
    let script = "mkdir other mnt && mount --bind data other && mount --bind repositories mnt && exec \"$0\" drill run region-loss \
                  --target \"$1\" --identity safe/recovery-eu-fra.txt --json";
    for target in ["other/chats", "other", "mnt/eu-fra/new"] {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-ec", script, env!("CARGO_BIN_EXE_lifeboat"), target]);
        let output = unshare.current_dir(world.directory.path()).env("USER", "alice").output().unwrap();
        let said = finished(&output, target, 7);
        assert!(said.contains("LB-730"), "{said}");
        fs::remove_dir(world.at("other")).unwrap();
        fs::remove_dir(world.at("mnt")).unwrap();
    }
}

/// A book of two steps, of which the first waits the first time it is done.
fn slow_book(world: &World) -> PathBuf {
    let path = world.at("slow.md");
    let text = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\nvariables: [TARGET, NOTES]\n---\n# Slow\n\n\
                ```sh {\"name\":\"slow\",\"timeout\":\"1h\",\"phase\":\"transfer\"}\nif [ -e \"$NOTES\" ]; then echo again; exit 0; fi\n\
                sleep 10000 & echo $! >\"$NOTES\"\nwait\n```\n\n```sh {\"name\":\"after\",\"timeout\":\"1h\",\"phase\":\"check\"}\n\
                printf 'AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0\\n\\033[2Jdone\\n'\n```\n";
    fs::write(&path, text).unwrap();
    path
}

fn begun(world: &World, notes: &Path) -> Child {
    let set = format!("NOTES={}", notes.display());
    let arguments = ["drill", "run", "slow.md", "--target", "rehearsal", "--set", set.as_str()];
    let mut command = world.command(&[&arguments[..], &IDENTITY, &OFFICER].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The step says when it has begun.
    while fs::read_to_string(notes).map_or(true, |text| !text.ends_with('\n')) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        std::thread::yield_now();
    }
    child
}

fn gone(notes: &Path) -> bool {
    let pid = fs::read_to_string(notes).unwrap();
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn a_drill_that_was_killed_goes_on_with_the_step_it_was_in() {
    let world = World::new();
    slow_book(&world);
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(8))] {
        let notes = world.at(&format!("notes-{code:?}"));
        let child = begun(&world, &notes);
        // Another that wants to go on with it meanwhile is refused.
        let busy = world.json(&[&["drill", "run", "--resume"][..], &IDENTITY].concat(), 7);
        assert_eq!(busy["error"]["code"], "LB-731");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), code);
        // Whoever reads it knows what to type, and another drill says whose the target is.
        let waiting =
            world.json(&["drill", "list"], 0)["result"]["unfinished"][0].as_str().unwrap().to_owned();
        let line = format!(
            "lifeboat drill run --resume {waiting} --identity safe/recovery-eu-fra.txt --officer-key safe/officer-alice"
        );
        assert!(world.ends(&["drill", "list"], 0).contains(&line));
        // As wide as a terminal.
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.contains(&line), code.is_some(), "{said}");
        let other = world.json(
            &[&["drill", "run", "slow.md", "--target", "rehearsal", "--set", "NOTES=x"][..], &IDENTITY]
                .concat(),
            7,
        );
        assert!(
            other["error"]["code"] == "LB-730" && other["error"]["what"].as_str().unwrap().contains(&waiting),
            "{other}"
        );
        let done = world.json(&[&["drill", "run", "--resume"][..], &IDENTITY].concat(), 0);
        assert!(gone(&notes), "what the step had started is ended");
        let (facts, text) = world.facts(&done["result"]);
        assert_eq!(facts["exercise"]["interruptions"].as_array().unwrap().len(), 1, "{facts:#}");
        assert_eq!((&facts["steps"][0]["what"], &facts["steps"][0]["attempt"]), (&"ran".into(), &2.into()));
        assert_eq!(facts["steps"][0]["output"]["tail"][0], "again");
        // And what the next step printed is kept without its secret and its escapes.
        assert_eq!(facts["steps"][1]["output"]["redacted_lines"], 1);
        assert!(!text.contains("AGE-SECRET-KEY") && !text.contains("u001b"), "{text}");
        assert!(!world.at("rehearsal").exists());
    }
    let said = world.json(&[&["drill", "run", "--resume"][..], &IDENTITY].concat(), 2);
    assert_eq!(said["error"]["code"], "LB-731");
}

/// A drill of a book whose only step runs this, with these variables.
fn small_drill(world: &World, component: &str, variables: &str, script: &str) -> Command {
    let text = format!(
        "---\ncomponent: {component}\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\nvariables: [{variables}]\n---\n\
         # Small\n\n```sh {{\"name\":\"only\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\n{script}\n```\n"
    );
    fs::write(world.at("small.md"), text).unwrap();
    let arguments = ["drill", "run", "small.md", "--target", "rehearsal", "--json"];
    world.command(&[&arguments[..], &IDENTITY].concat())
}

#[test]
fn a_book_of_one_component_needs_no_word_of_it_and_officers_are_there() {
    let world = World::new();
    let restore = "test \"$COMPONENT\" = chats\nlifeboat restore \"$COMPONENT\" --target \"$TARGET\"";
    let output = small_drill(&world, "chats", "COMPONENT, TARGET", restore).output().unwrap();
    finished(&output, "drill of a book of one component", 0);
    let (facts, _) = world.facts(&serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"]);
    assert_eq!(facts["components"].as_array().unwrap().len(), 1);
    assert_eq!(facts["components"][0]["checks"][0]["outcome"], "passed", "{facts:#}");
    let officers = small_drill(&world, "any", "OFFICERS", "grep alice \"$OFFICERS\"").output().unwrap();
    finished(&officers, "drill that reads officers' keys", 0);
}

#[test]
fn a_secret_is_given_in_the_environment_alone_and_never_written_down() {
    let world = World::new();
    let script = "echo \"$API_TOKEN\"";
    let drill = || small_drill(&world, "any", "API_TOKEN", script);
    let output = drill().args(["--set", "API_TOKEN=tiger-tiger"]).output().unwrap();
    let said = finished(&output, "a secret among values", 2);
    assert!(said.contains("LB-222") && said.contains("environment") && !said.contains("tiger"), "{said}");
    let said = finished(&drill().output().unwrap(), "no secret", 2);
    assert!(said.contains("LB-222") && said.contains("give it in the environment"), "{said}");
    assert!(!world.at("drills").exists() && !world.at("rehearsal").exists());
    let output = drill().env("API_TOKEN", "tiger-tiger").output().unwrap();
    finished(&output, "a secret of the environment", 0);
    let (facts, text) = world.facts(&serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"]);
    assert_eq!(facts["steps"][0]["output"]["tail"][0], "[redacted]");
    assert!(!text.contains("tiger"));
}

/// Every time the drill is stopped after the last step, there is nothing left to restore from: what it found is kept.
#[test]
fn a_drill_that_cannot_write_its_evidence_loses_nothing() {
    let world = World::new();
    let place = world.at("drills");
    let script = format!(
        "lifeboat restore --region \"$REGION\" --target \"$TARGET\" >\"$TARGET.log\" 2>&1\nrm \"$TARGET.log\"\n: >\"{}/$LIFEBOAT_DRILL\"",
        place.display()
    );
    let output = small_drill(&world, "any", "REGION, TARGET", &script).output().unwrap();
    finished(&output, "drill whose evidence has no place", 7);
    assert!(!world.at("rehearsal").exists(), "by then the target is cleaned up");
    let waiting = world.json(&["drill", "list"], 0)["result"]["unfinished"][0].as_str().unwrap().to_owned();
    let resume = [&["drill", "run", "--resume"][..], &IDENTITY].concat();
    // What it measured is kept by then; where it was cut off before that, when it goes on, and never twice.
    let notes = world.at("host/state/predictions.jsonl");
    let kept = fs::read_to_string(&notes).unwrap();
    assert_eq!(kept.lines().filter(|line| line.contains(&waiting)).count(), 3, "{kept}");
    fs::write(&notes, kept.get(..20).unwrap()).unwrap();
    for _ in 0..2 {
        world.json(&resume, 7);
        let lines = fs::read_to_string(&notes).unwrap();
        assert_eq!(lines.split_once('\n').unwrap().1, kept);
    }
    // What is gone cannot be kept.
    let kept = world.json(&[&resume[..], &["--keep"]].concat(), 7);
    assert!(kept["error"]["what"].as_str().unwrap().contains("cannot be kept"), "{kept}");
    fs::remove_file(place.join(&waiting)).unwrap();
    let done = world.json(&resume, 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    assert_eq!(facts["components"][1]["checks"][0]["outcome"], "passed", "{facts:#}");
    let cleaned =
        facts["assertions"].as_array().unwrap().iter().find(|one| one["name"] == "the target is cleaned up");
    assert_eq!(cleaned.unwrap()["detail"], "3 removed");
    assert_eq!(facts["exercise"]["interruptions"].as_array().unwrap().len(), 3);
    assert_eq!(facts["steps"][0]["attempt"], 1);
}

/// What was said of a component before is held against what the drill measured, and what it measured is kept: by the whole, five
/// of them give probabilities.
#[test]
fn a_drill_holds_what_was_said_before_against_what_it_measured() {
    let world = World::new();
    let notes = world.at("host/state/predictions.jsonl");
    let kept = || -> Vec<Value> {
        let text = fs::read_to_string(&notes).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["measured"].clone()).collect()
    };
    let drill = || {
        let done = world.json(&[&DRILL[..], &IDENTITY].concat(), 0);
        let components = world.facts(&done["result"]).0["components"].clone();
        [0, 1].map(|at| components[at]["rto"]["note"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(drill(), ["", ""]);
    let lines = kept();
    let names: Vec<&Value> = lines.iter().map(|line| &line["component"]).collect();
    assert_eq!(names, [&Value::from("identity"), &Value::from("chats"), &Value::Null]);
    assert!(lines[2]["took"].as_f64().unwrap() > 23_400.0, "with what people do: {}", lines[2]);
    let said = |line: &Value, high: f64| {
        let (at, component, work) = (&line["at"], &line["component"], &line["work"]);
        let range = serde_json::json!({ "low": 0.0, "high": high });
        let predicted = serde_json::json!({ "at": at, "component": component, "time": high, "range": range, "full": work, "factor": 5.0 });
        serde_json::json!({ "predicted": predicted }).to_string()
    };
    let text = fs::read_to_string(&notes).unwrap();
    fs::write(&notes, format!("{text}{}\n{}\n", said(&lines[0], 0.000_001), said(&lines[1], 3600.0)))
        .unwrap();
    let [identity, chats] = drill();
    assert!(identity.ends_with("which did NOT hold"), "{identity}");
    assert!(chats.ends_with("which held"), "{chats}");
    assert_eq!(kept().iter().filter(|line| line.is_object() && line["component"].is_null()).count(), 2);
}

/// The server holds the step's output open and is there for the next step; in the end nothing of it is left.
#[test]
fn a_server_that_a_step_starts_lives_until_the_drill_ends() {
    let world = World::new();
    let notes = world.at("notes");
    let script = format!("setsid sleep 10000 &\necho $! >'{}'", notes.display());
    let output = small_drill(&world, "any", "", &script).output().unwrap();
    finished(&output, "drill that starts a server", 0);
    assert!(gone(&notes));
}

#[test]
fn what_is_said_to_be_done_is_asked_for_and_agreed_to() {
    let world = World::new();
    let text = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# People\n\n\
                ```sh {\"name\":\"call\",\"timeout\":\"1h\",\"mode\":\"manual\",\"drill\":\"run\",\"approvers\":[\"lead\"]}\ncall\n```\n\n\
                ```sh {\"name\":\"dns\",\"timeout\":\"1h\",\"mode\":\"manual\"}\npoint\n```\n";
    fs::write(world.at("people.md"), text).unwrap();
    let drill = ["drill", "run", "people.md", "--target", "rehearsal"];
    for (said, why) in [
        (&["--done", "dns=NET-1"][..], "only simulate"),
        (&["--done", "called=NET-1"], "no step called"),
        (&["--done", "call=NET-1"], "its lead agrees"),
        (&["--done", "call=NET-1", "--approved", "call=boss=Eve"], "approves"),
    ] {
        let refused = world.json(&[&drill[..], &IDENTITY, said].concat(), 2);
        assert_eq!(refused["error"]["code"], "LB-222", "{refused}");
        assert!(refused["error"]["what"].as_str().unwrap().contains(why), "{refused}");
    }
    assert!(!world.at("drills").exists() && !world.at("rehearsal").exists());
    let said = ["--done", "call=NET-1", "--approved", "call=lead=Eve"];
    let done = world.json(&[&drill[..], &IDENTITY, &said].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(facts["steps"][0]["approver"]["reference"], "NET-1; lead: Eve", "{facts:#}");
    // Nobody is there to be asked: no pass.
    world.json(&[&drill[..], &IDENTITY].concat(), 5);
    // Somebody is, at a terminal.
    let line = [&["lifeboat"][..], &drill, &IDENTITY].concat().join(" ");
    let own = Path::new(env!("CARGO_BIN_EXE_lifeboat")).parent().unwrap();
    let mut terminal = Command::new("/usr/bin/script");
    terminal.args(["-qec", &line, "/dev/null"]).current_dir(world.directory.path()).env_clear();
    terminal.env("USER", "alice").env("PATH", format!("{}:/usr/bin:/bin", own.display()));
    let mut terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    terminal.stdin.take().unwrap().write_all(b"Bob Adams\nNET-2\nEve\n").unwrap();
    let output = terminal.wait_with_output().unwrap();
    let said = finished(&output, "drill at a terminal", 0);
    assert!(said.contains("Who agrees, as lead?"), "{said}");
    let ended = fs::read_dir(world.at("drills")).unwrap().map(|one| one.unwrap().path()).max().unwrap();
    let facts = fs::read_to_string(ended.join("evidence.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let approval = &facts["steps"][0]["approver"];
    assert_eq!((&approval["by"], &approval["reference"]), (&"Bob Adams".into(), &"NET-2; lead: Eve".into()));
}

/// Said at the beginning, or when a drill goes on: nobody says it twice, however often it is cut off before the step.
#[test]
fn what_is_said_to_be_done_outlives_being_killed() {
    let world = World::new();
    let notes = [world.at("notes-0"), world.at("notes-1")];
    let waits = |number: usize| {
        let own = notes[number].display();
        format!(
            "```sh {{\"name\":\"wait-{number}\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\nif [ -e '{own}' ]; then exit 0; fi\n\
             sleep 10000 & echo $! >'{own}'\nwait\n```\n\n"
        )
    };
    let asks = |name: &str| {
        format!(
            "```sh {{\"name\":\"{name}\",\"timeout\":\"1h\",\"mode\":\"manual\",\"drill\":\"run\",\"approvers\":[\"lead\"]}}\n{name}\n```\n\n"
        )
    };
    let head =
        "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# People\n\n";
    let text = [head, &waits(0), &waits(1), &asks("call"), &asks("dns")].concat();
    fs::write(world.at("people.md"), text).unwrap();
    let killed = |arguments: &[&str], notes: &Path| {
        let mut command = world.command(&[arguments, &IDENTITY].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while fs::read_to_string(notes).map_or(true, |text| !text.ends_with('\n')) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let begin = ["drill", "run", "people.md", "--target", "rehearsal"];
    killed(&[&begin[..], &["--done", "call=NET-1", "--approved", "call=lead=Eve"]].concat(), &notes[0]);
    let resume = ["drill", "run", "--resume"];
    killed(&[&resume[..], &["--done", "dns=NET-2", "--approved", "dns=lead=Bob"]].concat(), &notes[1]);
    let done = world.json(&[&resume[..], &IDENTITY].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    let told =
        [2, 3].map(|at| facts["steps"][at]["approver"]["reference"].as_str().unwrap_or("nothing").to_owned());
    assert_eq!(told, ["NET-1; lead: Eve", "NET-2; lead: Bob"], "{facts:#}");
}

/// What came back is listened to, as `heartbeat --check` does: of trees by their files, of anything else by what a step reads
/// out of it.
#[test]
fn what_is_lost_is_told_by_heartbeats_in_what_came_back() {
    let besides = format!(
        "{HEARTBEAT}\n[components.identity.heartbeat]\nwrite = \"echo \\\"$LIFEBOAT_HEARTBEAT\\\" >>@/data/identity/beats\"\n"
    );
    let world = World::with(&besides);
    let book = |read: &str| {
        let text = format!(
            "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: canary gap <= 24h and 0 holes\nvariables: [REGION, TARGET, \
             AT, RECORDS]\n---\n# Listen\n\n```sh {{\"name\":\"restore\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\nlifeboat restore \
             --region \"$REGION\" --target \"$TARGET\" --at \"$AT\"\n{read}\n```\n"
        );
        fs::write(world.at("listen.md"), text).unwrap();
    };
    let drill = ["drill", "run", "listen.md", "--target", "rehearsal", "--erased", "canary"];
    book(
        "cp \"$TARGET/identity/beats\" \"$RECORDS/identity.heartbeats\"\necho _system 3 >\"$RECORDS/identity.counts\"",
    );
    let done = world.json(&[&drill[..], &IDENTITY].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    for component in facts["components"].as_array().unwrap() {
        let rpo = &component["rpo"];
        assert!(rpo["note"].as_str().unwrap().starts_with("by its heartbeats"), "{rpo}");
        // The newest record in it is the second of three, and the third is known to be lost.
        let [low, bound] = ["low", "bound"].map(|end| rpo[end].as_f64().unwrap());
        assert!(low > 0.0 && low <= bound, "{rpo}");
        assert!(
            rpo["newest_canary"].as_str().unwrap() <= component["recovery_point"].as_str().unwrap(),
            "{component}"
        );
    }
    // Whom nobody listens to says nothing.
    book("true # \"$RECORDS\"");
    let done = world.json(&[&drill[..], &IDENTITY].concat(), 5);
    let (facts, _) = world.facts(&done["result"]);
    let rpo = &facts["components"][0]["rpo"];
    assert!(rpo["bound"].is_null() && rpo["note"].as_str().unwrap().contains("$RECORDS/identity"), "{rpo}");
}

/// Evidence says so, and no other drill takes it for its own, or for one that was cut off.
#[test]
fn what_is_kept_stays_and_is_said() {
    let world = World::new();
    let done = world.json(&[&DRILL[..], &IDENTITY, &["--keep"]].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert!(world.at("rehearsal/restored").is_dir());
    assert!(facts.to_string().contains("kept"), "{facts:#}");
    let said = world.json(&[&DRILL[..], &IDENTITY].concat(), 7);
    assert_eq!(said["error"]["code"], "LB-730", "{said}");
    assert!(said["error"]["what"].as_str().unwrap().contains("what it restored is kept"), "{said}");
    assert!(world.at("rehearsal/restored").is_dir());
}

/// It was cut off once all was looked at, and before anything was removed: whoever goes on with it may still say to keep it.
#[test]
fn what_was_found_already_can_still_be_kept() {
    let world = World::new();
    let script = format!(
        "lifeboat restore --region \"$REGION\" --target \"$TARGET\" >/dev/null 2>&1\n: >\"{}/$LIFEBOAT_DRILL\"",
        world.at("drills").display()
    );
    let drill = || small_drill(&world, "any", "REGION, TARGET", &script);
    let resume = [&["drill", "run", "--resume"][..], &IDENTITY].concat();
    for kept in [true, false] {
        finished(&drill().arg("--keep").output().unwrap(), "drill whose evidence has no place", 7);
        let waiting =
            world.json(&["drill", "list"], 0)["result"]["unfinished"][0].as_str().unwrap().to_owned();
        let notes = world.at(&format!("drills/{waiting}.unfinished/drill.json"));
        let text = fs::read_to_string(&notes).unwrap();
        fs::write(&notes, text.replace("\"keep\": true", "\"keep\": false")).unwrap();
        fs::remove_file(world.at("drills").join(waiting)).unwrap();
        let keep = if kept { &["--keep"][..] } else { &[] };
        let done = world.json(&[&resume[..], keep].concat(), 0);
        let (facts, _) = world.facts(&done["result"]);
        assert_eq!(world.at("rehearsal/restored/identity/users").exists(), kept);
        assert_eq!(facts["not_run"].to_string().contains("it was to be kept"), kept, "{facts:#}");
        if kept {
            fs::remove_dir_all(world.at("rehearsal")).unwrap();
        }
    }
}

#[test]
fn an_erased_canary_whose_name_is_mistyped_is_refused() {
    let world = World::new();
    let mut arguments = [&DRILL[..], &IDENTITY].concat();
    for name in ["canarry", "acme"] {
        arguments[6] = name;
        let said = world.json(&arguments, 2);
        assert_eq!(said["error"]["code"], "LB-721", "{said}");
    }
    // Nor is one who was let in again any canary.
    let readmit = ["erase", "--readmit", "canary", "--region", "eu-fra"];
    world.ends(&[&readmit[..], &IDENTITY, &OFFICER].concat(), 0);
    arguments[6] = "canary";
    let said = world.json(&arguments, 2);
    assert!(said["error"]["what"].as_str().unwrap().contains("let in again"), "{said}");
    assert!(!world.at("drills").exists() && !world.at("rehearsal").exists());
}

#[test]
fn a_book_that_cannot_be_relied_on_is_refused_with_its_line() {
    let world = World::new();
    let good = fs::read_to_string(slow_book(&world)).unwrap();
    let cases = [
        ("twice", good.replace("\"after\"", "\"slow\""), "line 17"),
        ("unknown", good.replace("rto: 24h", "rtoo: 24h"), "line 4"),
        ("escape", good.replace("# Slow", "# S\u{1b}[2Jlow"), "line 9"),
    ];
    for (name, text, line) in cases {
        assert_ne!(text, good, "{name}");
        let file = format!("{name}.md");
        fs::write(world.at(&file), text).unwrap();
        let said =
            world.json(&[&["drill", "run", &file, "--target", "rehearsal"][..], &IDENTITY].concat(), 2);
        assert_eq!(said["error"]["code"], "LB-221", "{said}");
        assert!(said["error"]["where"].as_str().unwrap().contains(line), "{said}");
        assert_eq!(
            world.json(&["drill", "check", &file], 2)["result"]["remarks"].as_array().unwrap().len(),
            1
        );
    }
    assert!(!world.at("rehearsal").exists() && !world.at("drills").exists());
    // A name that wants to be a command is a name.
    let evil = "NOTES=$(touch pwned); `touch pwned`";
    fs::write(world.at("$(touch pwned); `touch pwned`"), "").unwrap();
    world.ends(
        &[&["drill", "run", "slow.md", "--target", "rehearsal", "--set", evil][..], &IDENTITY].concat(),
        0,
    );
    assert!(!world.at("pwned").exists());
}

#[test]
fn a_drill_starts_from_the_recovery_kit_alone() {
    let world = World::with(HEARTBEAT);
    fs::write(world.at("own.md"), "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# Of our own\n\n```sh {\"name\":\"look\",\"timeout\":\"1h\",\"phase\":\"check\"}\nlifeboat snapshots\n```\n").unwrap();
    let told = world.ends(&["kit", "--out", "kit", "--book", "own.md"], 0);
    let start = fs::read_to_string(world.at("kit/START-HERE.md")).unwrap();
    assert!(
        start.contains("- `books/own.md`: Of our own\n") && start.contains("- `books/region-loss.md`: "),
        "{start}"
    );
    assert!(told.contains("no secret"), "{told}");
    assert_eq!(world.json(&["kit", "--out", "kit"], 7)["error"]["code"], "LB-707");
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(world.at("kit"))
        .status()
        .unwrap();
    assert!(sums.success());
    let mut waiting = vec![world.at("kit")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if !path.ends_with("bin/lifeboat") {
                let text = fs::read_to_string(&path).unwrap();
                for secret in ["AGE-SECRET-KEY-1Q", "BEGIN OPENSSH PRIVATE KEY-----\n", "host/keys"] {
                    assert!(!text.contains(secret), "{}: {secret}", path.display());
                }
            }
        }
    }
    // In a mount namespace of its own: nothing of the host, its configuration or the sources is there any more; the
    // repository can only be read. Only kit and safe are at hand.
    let script = r#"
        cp -r kit safe /mnt/
        mount -o bind,ro repositories repositories
        mount -t tmpfs tmpfs data && mount -t tmpfs tmpfs host && mount -t tmpfs tmpfs kit && mount -t tmpfs tmpfs safe
        mount --bind /dev/null lifeboat.toml
        mount -t tmpfs tmpfs "$1"
        cd /mnt/kit
        export PATH="$PWD/bin:/usr/bin:/bin" LIFEBOAT_CONFIG="$PWD/lifeboat.toml" LIFEBOAT_IDENTITY=/mnt/safe/recovery-eu-fra.txt
        sha256sum -c --quiet SHA256SUMS
        lifeboat drill check books/*.md
        lifeboat drill run books/region-loss.md --target /mnt/rehearsal --erased canary --json
        cat drills/*/evidence.json
    "#;
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-ec", &format!("mount -t tmpfs tmpfs /mnt\n{script}"), "kit"]).arg(checkout);
    let output = unshare
        .current_dir(world.directory.path())
        .env_clear()
        .env("USER", "alice")
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    let said = finished(&output, "drill from the kit", 0);
    let text = said.get(said.find("{\n").unwrap()..).unwrap();
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(values[0]["result"]["verdict"], "met", "{said}");
    let chats = &values[1]["components"][1]["rpo"];
    assert!(chats["note"].as_str().unwrap().starts_with("by its heartbeats"), "{chats}");
}

/// Runs every script of a book in order, as a person types them, in a drill or not; but for those that a test replaces.
fn follow(world: &World, book: &str, values: &[(&str, String)], special: &dyn Fn(&str)) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks/books").join(format!("{book}.md"));
    let text = fs::read_to_string(path).unwrap();
    let mut done = BTreeSet::new();
    let mut blocks = text.split("\n```sh {").skip(1);
    for block in blocks.by_ref() {
        let (info, rest) = block.split_once('\n').unwrap();
        let script = rest.split("\n```").next().unwrap();
        let info: Value = serde_json::from_str(&format!("{{{info}")).unwrap();
        let name = info["name"].as_str().unwrap();
        special(name);
        if info["mode"] == "manual" {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(world.directory.path()).env_clear();
        let bin = Path::new(env!("CARGO_BIN_EXE_lifeboat")).parent().unwrap();
        shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("USER", "alice");
        shell.env("LIFEBOAT_IDENTITY", world.at("safe/recovery-eu-fra.txt"));
        shell.env("LIFEBOAT_OFFICER_KEY", world.at("safe/officer-alice"));
        shell.env("REGION", "eu-fra").env("AT", "now").env("TARGET", world.at("back"));
        shell.envs(values.iter().map(|(name, value)| (name, value)));
        finished(&shell.output().unwrap(), &format!("{book}: {name}\n{script}"), 0);
        done.insert(name.to_owned());
    }
    done
}

#[test]
fn every_command_of_the_books_about_data_does_what_it_says() {
    let world = World::new();
    let nothing = |_: &str| {};
    assert_eq!(follow(&world, "region-loss", &[], &nothing).len(), 5);
    assert_eq!(fs::read_to_string(world.at("back/chats/uploads/acme/new.txt")).unwrap(), "new");
    fs::remove_dir_all(world.at("back")).unwrap();
    let component = [("COMPONENT", "chats".to_owned())];
    assert_eq!(follow(&world, "database-corruption", &component, &nothing).len(), 5);
    fs::remove_dir_all(world.at("back")).unwrap();
    let writer = [("WRITER", "app-1".to_owned())];
    assert_eq!(follow(&world, "ransomware-in-production", &writer, &nothing).len(), 6);
    assert_eq!(fs::read_to_string(world.at("back/identity/users")).unwrap(), "alice, bob");
}

#[test]
fn every_command_of_the_books_about_keys_does_what_it_says() {
    let world = World::new();
    // The successor's keys, made with stock tools as the book says.
    let made = Command::new("sh")
        .args(["-ec", "ssh-keygen -q -t ed25519 -N '' -C carol -f carol && age-keygen -o carol.txt 2>/dev/null && age-keygen -y carol.txt"])
        .current_dir(world.directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let recipient = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let values = [
        ("LOST", "bob".to_owned()),
        ("SUCCESSOR", "carol".to_owned()),
        ("SIGNING_KEY_FILE", "carol.pub".to_owned()),
        ("RECOVERY_RECIPIENT", recipient),
    ];
    // Bob is an officer whose keys are lost.
    let bob = Command::new("sh")
        .args([
            "-ec",
            "ssh-keygen -q -t ed25519 -N '' -C bob -f bob && age-keygen 2>/dev/null | age-keygen -y",
        ])
        .current_dir(world.directory.path())
        .output()
        .unwrap();
    let bobs = String::from_utf8(bob.stdout).unwrap().trim().to_owned();
    let add =
        ["keys", "officer", "add", "bob", "--signing-key-file", "bob.pub", "--recovery-recipient", &bobs];
    world.ends(&[&add[..], &IDENTITY, &OFFICER].concat(), 0);
    assert_eq!(follow(&world, "lost-recovery-keys", &values, &|_| {}).len(), 5);
    world.ends(&["keys", "check", "--identity", "carol.txt"], 0);

    // A host is broken into; its successor makes keys of its own.
    let configuration = fs::read_to_string(world.at("lifeboat.toml")).unwrap().replace("app-1", "app-2");
    fs::write(world.at("app-2.toml"), configuration).unwrap();
    let told = world.ends(&["keys", "writer", "new", "--config", "app-2.toml"], 0);
    let card =
        told.split_whitespace().find(|word| word.starts_with("age1")).unwrap().trim_matches('\'').to_owned();
    let values = [
        ("WRITER", "app-1".to_owned()),
        ("SUCCESSOR", "app-2".to_owned()),
        ("COMPONENT", "chats".to_owned()),
        ("SIGNING_KEY_FILE", "host/keys/app-2.pub".to_owned()),
        ("CARD", card),
    ];
    assert_eq!(follow(&world, "compromised-agent", &values, &|_| {}).len(), 5);
    world.ends(&["backup", "chats", "--config", "app-2.toml"], 0);
    world.ends(&["backup", "chats"], 7);
}

#[test]
fn every_command_of_the_book_about_damage_does_what_it_says() {
    let world = World::new();
    world.ends(&["replicate", "--config", "keeper.toml"], 0);
    let pack = first_pack(&world.at("repositories/eu-fra/packs"));
    fs::remove_file(&pack).unwrap();
    let damaged = world.json(&[&["verify", "--level", "inventory"][..], &IDENTITY].concat(), 4);
    assert_eq!(damaged["exit"], 4);
    let own = world.at("lifeboat.toml");
    let kept = fs::read(&own).unwrap();
    // Healing is a maintainer's, backing up the host's: each where it has its keys.
    let special = |name: &str| match name {
        "plan" | "heal" => fs::copy(world.at("keeper.toml"), &own).map(drop).unwrap(),
        _ => fs::write(&own, &kept).unwrap(),
    };
    assert_eq!(follow(&world, "repository-damage", &[], &special).len(), 6);
    assert!(pack.exists());
}

fn first_pack(packs: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(packs)
        .unwrap()
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().map(|pack| pack.unwrap().path()))
        .collect();
    all.sort();
    all.remove(0)
}
