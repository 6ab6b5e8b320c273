//! A region of two components that drills lose and bring back, and books of one's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const IDENTITY: [&str; 2] = ["--identity", "safe/recovery-eu-fra.txt"];

pub(crate) const OFFICER: [&str; 2] = ["--officer-key", "safe/officer-alice"];

pub(crate) const CONFIGURATION: &str = r#"
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

/// Records in the data of chats that say what a copy lost.
pub(crate) const HEARTBEAT: &str = "\n[components.chats.heartbeat]\ntenants = 1\n";

pub(crate) const DRILL: [&str; 9] =
    ["drill", "run", "region-loss", "--nonce", "auditor", "--erased", "canary", "--target", "rehearsal"];

/// Goes on with the drill that was cut off.
pub(crate) const RESUME: [&str; 5] = ["drill", "run", "--resume", "--identity", "safe/recovery-eu-fra.txt"];

/// Two components backed up twice, with a canary that was erased, and a replica.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With this besides in the configuration, and where that is heartbeats, one before each backup and after the last.
    pub(crate) fn with(besides: &str) -> Self {
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
        let beat = || !besides.contains("heartbeat]") || !world.ends(&["heartbeat"], 0).is_empty();
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

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.current_dir(self.directory.path()).args(arguments).env_clear();
        command.env("USER", "alice").env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub(crate) fn ends(&self, arguments: &[&str], code: i32) -> String {
        finished(&self.command(arguments).output().unwrap(), &arguments.join(" "), code)
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.command(&[arguments, &["--json"]].concat()).output().unwrap();
        finished(&output, &arguments.join(" "), code);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every path there is.
    pub(crate) fn everything(&self) -> BTreeSet<PathBuf> {
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

    /// The id of the drill that was cut off.
    pub(crate) fn cut_off(&self) -> String {
        let listed = self.json(&["drill", "list"], 0);
        listed["result"]["unfinished"][0].as_str().unwrap().to_owned()
    }

    /// The facts of a drill that came to its end.
    pub(crate) fn facts(&self, result: &Value) -> (Value, String) {
        let directory = self.at(result["evidence"].as_str().unwrap());
        let text = fs::read_to_string(directory.join("evidence.json")).unwrap();
        (serde_json::from_str(&text).unwrap(), text)
    }
}

/// The configuration with the officers that `init` pinned.
pub(crate) fn with_officer(world: &World, configuration: &str) -> String {
    let own = fs::read_to_string(world.at("lifeboat.toml")).unwrap();
    let pinned = own.lines().find(|line| line.starts_with("officers = ")).unwrap();
    configuration.replace("[regions.eu-fra]\n", &format!("[regions.eu-fra]\n{pinned}\n"))
}

#[track_caller]
pub(crate) fn finished(output: &Output, what: &str, code: i32) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "lifeboat {what}\n{text}");
    text
}

pub(crate) fn steps(facts: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    facts["steps"].as_array().unwrap().iter().map(|step| (text(&step["name"]), text(&step["what"]))).collect()
}

/// A drill of a book whose only step runs this, with these variables.
pub(crate) fn small_drill(world: &World, component: &str, variables: &str, script: &str) -> Command {
    let text = format!(
        "---\ncomponent: {component}\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\nvariables: [{variables}]\n---\n\
         # Small\n\n```sh {{\"name\":\"only\",\"timeout\":\"1h\",\"phase\":\"transfer\"}}\n{script}\n```\n"
    );
    fs::write(world.at("small.md"), text).unwrap();
    let arguments = ["drill", "run", "small.md", "--target", "rehearsal", "--json"];
    world.command(&[&arguments[..], &IDENTITY].concat())
}

/// A book of two steps, of which the first waits the first time it is done.
pub(crate) fn slow_book(world: &World) -> PathBuf {
    let path = world.at("slow.md");
    let text = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\nvariables: [TARGET, NOTES]\n---\n# Slow\n\n\
                ```sh {\"name\":\"slow\",\"timeout\":\"1h\",\"phase\":\"transfer\"}\nif [ -e \"$NOTES\" ]; then echo again; exit 0; fi\n\
                sleep 10000 & echo $! >\"$NOTES\"\nwait\n```\n\n```sh {\"name\":\"after\",\"timeout\":\"1h\",\"phase\":\"check\"}\n\
                printf 'AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0\\n\\033[2Jdone\\n'\n```\n";
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn gone(notes: &Path) -> bool {
    let pid = fs::read_to_string(notes).unwrap();
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).map_or(true, |stat| stat.contains(") Z "))
}

/// Starts a drill, and waits until the step that it is in has written its notes: that one waits for ever.
pub(crate) fn waiting(mut command: Command, notes: &Path) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while fs::read_to_string(notes).map_or(true, |text| !text.ends_with('\n')) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        std::thread::yield_now();
    }
    child
}
