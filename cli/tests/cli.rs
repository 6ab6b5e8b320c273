//! The program as people and scripts meet it: exit codes, error texts, JSON, a whole demonstration.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

mod planted;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lifeboat(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.current_dir(directory).args(arguments).env_clear().env("USER", "alice");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn ends(directory: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = lifeboat(directory, arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "lifeboat {}\n{out}\n{err}", arguments.join(" "));
    (out, err)
}

#[track_caller]
fn json(directory: &Path, arguments: &[&str], code: i32) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let (out, _) = ends(directory, &arguments, code);
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!(value["exit"], code);
    value
}

/// A tree of a few hundred small files in directories.
fn small_tree(root: &Path) {
    for directory in 0..12 {
        let below = root.join(format!("book-{directory:02}"));
        fs::create_dir_all(&below).unwrap();
        for page in 0..20 {
            fs::write(below.join(format!("page-{page}.txt")), format!("{directory} {page} ").repeat(200))
                .unwrap();
        }
    }
}

/// A directory with a configuration, data of two tenants, keys and a repository.
fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    planted::two_tenants(at);
    ends(at, &["init"], 0);
    ends(at, &["init", "--dry-run"], 0);
    assert!(!at.join("keys").exists() && !at.join("repositories").exists());
    ends(at, &["init"], 0);
    directory
}

const IDENTITY: [&str; 2] = ["--identity", "keys/recovery-eu-fra.txt"];
const OFFICER: [&str; 2] = ["--officer-key", "keys/officer-alice"];

#[test]
fn wrong_usage_ends_with_two() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    ends(at, &["dance"], 2);
    ends(at, &[], 2);
    ends(at, &["backup"], 2);
    ends(at, &["restore", "chats"], 2);
    let value = json(at, &["dance"], 2);
    assert!(value["error"]["what"].as_str().unwrap().contains("dance"), "{value}");
    let (help, _) = ends(at, &["--help"], 0);
    for code in 0..=8 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
    let (version, _) = ends(at, &["--version"], 0);
    assert!(version.starts_with("lifeboat "));
    let (script, _) = ends(at, &["completions", "bash"], 0);
    assert!(script.contains("lifeboat"));
}

#[test]
fn a_mistake_in_the_configuration_is_shown_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (_, err) = ends(at, &["status"], 2);
    assert!(err.contains("there is no configuration file") && err.contains("lifeboat init"), "{err}");
    ends(at, &["init"], 0);
    let path = at.join("lifeboat.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("rpo = ", "rpo_ = ")).unwrap();
    let (_, err) = ends(at, &["backup", "--all"], 2);
    let line = good.lines().position(|line| line.starts_with("rpo = ")).unwrap() + 1;
    assert!(err.contains(&format!("lifeboat.toml, line {line}, column 1")), "{err}");
    assert!(err.contains("unknown field `rpo_`") && err.contains("`rpo`"), "{err}");
    let value = json(at, &["backup", "--all"], 2);
    assert!(value["error"]["where"].as_str().unwrap().contains("line"), "{value}");
    // A file named wrongly is not replaced by the default one.
    fs::write(&path, good).unwrap();
    ends(at, &["status", "--config", "elsewhere.toml"], 2);
    ends(at, &["backup", "nothing"], 2);
}

#[test]
fn a_missing_repository_is_refused_not_made() {
    let directory = made();
    let at = directory.path();
    fs::rename(at.join("repositories"), at.join("away")).unwrap();
    let (out, _) = ends(at, &["backup", "--all"], 7);
    assert!(out.contains("there is no repository of region eu-fra"), "{out}");
    ends(at, &["snapshots"], 7);
    let status = json(at, &["status"], 7);
    assert_eq!(status["result"]["unreachable"][0]["region"], "eu-fra");
    assert!(!at.join("repositories").exists());
}

#[test]
fn keys_are_made_once_for_their_owner() {
    let directory = made();
    let at = directory.path();
    for name in ["host-1", "host-1.card", "officer-alice", "recovery-eu-fra.txt"] {
        let mode = fs::metadata(at.join("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = fs::read(at.join("keys/recovery-eu-fra.txt")).unwrap();
    let value = json(at, &["init"], 0);
    assert_eq!(value["result"]["regions"][0]["created"], false);
    assert_eq!(value["result"]["keys_made"].as_array().unwrap().len(), 0);
    assert_eq!(fs::read(at.join("keys/recovery-eu-fra.txt")).unwrap(), before);
    let (out, _) = ends(at, &["doctor"], 0);
    assert!(out.contains("a recovery identity or officer's key lies on a host that writes"), "{out}");
    fs::set_permissions(at.join("keys/host-1"), fs::Permissions::from_mode(0o644)).unwrap();
    let (out, _) = ends(at, &["doctor"], 7);
    assert!(out.contains("chmod 600 keys/host-1"), "{out}");
}

#[test]
fn a_backup_comes_back_and_wrong_keys_do_not_open_it() {
    let directory = made();
    let at = directory.path();
    ends(at, &["status"], 6);
    let value = json(at, &["backup", "--all"], 0);
    let run = value["result"]["components"][0]["run"].as_str().unwrap().to_owned();
    ends(at, &["status"], 0);
    let value = json(at, &["snapshots"], 0);
    assert_eq!(value["result"]["snapshots"][0]["run"], run.as_str());
    ends(at, &[&["ls", &run[..12]], IDENTITY.as_slice()].concat(), 0);
    let (out, _) = ends(at, &[&["ls", "chats", "uploads/acme"], IDENTITY.as_slice()].concat(), 0);
    assert!(out.contains("uploads/acme/hello.txt") && !out.contains("globex"), "{out}");

    let (_, err) = ends(at, &["restore", "chats", "--target", "out"], 7);
    assert!(err.contains("--identity FILE"), "{err}");
    ends(at, &["restore", "chats", "--target", "out", "--identity", "keys/host-1.card"], 7);
    assert!(!at.join("out").exists());
    let restore = |target: &'static str, more: &[&'static str], code| {
        ends(at, &[&["restore", "chats", "--target", target], more, IDENTITY.as_slice()].concat(), code)
    };
    restore("out", &["--dry-run"], 0);
    assert!(!at.join("out").exists());
    restore("out", &["--tenant", "acme"], 0);
    assert_eq!(fs::read_to_string(at.join("out/uploads/acme/hello.txt")).unwrap(), "hello acme");
    assert!(!at.join("out/uploads/globex").exists());
    restore("out", &[], 7);
    restore("early", &["--at", "2001-01-01T00:00:00Z"], 7);
    restore("early", &["--at", "yesterday"], 2);
    ends(at, &[&["keys", "check"], IDENTITY.as_slice()].concat(), 0);
    ends(at, &["keys", "check", "--identity", "keys/host-1.card"], 7);
}

#[test]
fn damage_is_four_and_what_cannot_be_checked_is_not_a_pass() {
    let directory = made();
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    let verify = |level: &'static str, code| {
        json(at, &[&["verify", "--level", level], IDENTITY.as_slice()].concat(), code)
    };
    verify("all", 0);
    ends(at, &["verify"], 0);
    ends(at, &["verify", "--level", "readback"], 7);
    // What nobody has promised to be that recent is missed.
    let (out, _) = ends(
        at,
        &[&["verify", "--level", "objective", "--disaster-at", "2099-01-01T00:00Z"], IDENTITY.as_slice()]
            .concat(),
        6,
    );
    assert!(out.contains("MISSED"), "{out}");
    let shard = fs::read_dir(at.join("repositories/eu-fra/packs")).unwrap().next().unwrap().unwrap().path();
    let pack = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(pack).unwrap();
    verify("inventory", 4);
    verify("integrity", 4);
    let value = verify("readback", 4);
    assert!(value.to_string().contains("acme"), "damage is told by tenant: {value}");
    ends(at, &[&["restore", "chats", "--target", "out"], IDENTITY.as_slice()].concat(), 4);
}

#[test]
fn a_second_host_is_enrolled_and_revoked() {
    let directory = made();
    let at = directory.path();
    let second = fs::read_to_string(at.join("lifeboat.toml")).unwrap().replace("host-1", "host-2");
    fs::write(at.join("second.toml"), second).unwrap();
    let second = ["--config", "second.toml"];
    let new = json(at, &[&["keys", "writer", "new"], second.as_slice()].concat(), 0);
    ends(at, &[&["backup", "--all"], second.as_slice()].concat(), 7);
    let (key, card) =
        (new["result"]["signing_key"].as_str().unwrap(), new["result"]["card"].as_str().unwrap());
    let add = [
        "keys",
        "writer",
        "add",
        "host-2",
        "--component",
        "chats",
        "--signing-key-file",
        key,
        "--card",
        card,
    ];
    ends(at, &add, 2);
    ends(at, &[add.as_slice(), &OFFICER, &IDENTITY].concat(), 0);
    ends(at, &[&["backup", "--all"], second.as_slice()].concat(), 0);
    let revoke = ["keys", "writer", "revoke", "host-2"];
    ends(at, &[revoke.as_slice(), &["--dry-run"], &OFFICER, &IDENTITY].concat(), 0);
    ends(at, &[revoke.as_slice(), &OFFICER, &IDENTITY].concat(), 0);
    ends(at, &[&["backup", "--all"], second.as_slice()].concat(), 7);
    let writers = json(at, &["keys", "writer", "list"], 0);
    let revoked = |name: &str| {
        let all = writers["result"]["writers"].as_array().unwrap();
        !all.iter().find(|writer| writer["writer"] == name).unwrap()["revoked"].is_null()
    };
    assert!(revoked("host-2") && !revoked("host-1"));
    // What it backed up before it was revoked still counts.
    let snapshots = json(at, &["snapshots"], 0);
    assert_eq!(snapshots["result"]["snapshots"][0]["standing"], "counts");
}

/// A host of its own collects; one that backs up may not.
#[test]
fn a_maintainer_collects_until_it_is_revoked() {
    let directory = made();
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    ends(at, &["gc"], 7);
    let keeper = fs::read_to_string(at.join("lifeboat.toml")).unwrap().replace("host-1", "keeper-1");
    let ages = "\n[gc]\npack_age = \"0s\"\nplan_age = \"0s\"\n";
    fs::write(at.join("keeper.toml"), format!("{keeper}{ages}")).unwrap();
    let keeper = ["--config", "keeper.toml"];
    let run = |arguments: &[&str], code: i32| json(at, &[arguments, &keeper[..]].concat(), code);
    let new = run(&["keys", "maintainer", "new"], 0);
    assert!(new["result"]["enrol_with"].as_str().unwrap().contains("keys maintainer add keeper-1"));
    run(&["gc"], 7);
    run(&[&["keys", "maintainer", "add", "keeper-1"], &OFFICER[..], &IDENTITY[..]].concat(), 0);
    assert_eq!(run(&["keys", "maintainer", "list"], 0)["result"]["maintainers"][0]["maintainer"], "keeper-1");
    assert_eq!(run(&["keys", "writer", "list"], 0)["result"]["writers"].as_array().unwrap().len(), 1);
    // A pack that no index names: a run that was cut off left it.
    let shard = at.join("repositories/eu-fra/packs").read_dir().unwrap().next().unwrap().unwrap().path();
    let pack = shard.read_dir().unwrap().next().unwrap().unwrap().path();
    let index = at.join("repositories/eu-fra/index/host-1");
    let (there, away) = (index.clone(), at.join("index-away"));
    fs::rename(&there, &away).unwrap();
    let told = run(&["gc", "--dry-run"], 4);
    assert_eq!(told["result"]["regions"][0]["plan"]["left"][0]["reason"], "an index object is lost");
    run(&["gc"], 4);
    assert!(pack.exists());
    fs::rename(&away, &there).unwrap();
    let done = run(&["gc"], 0);
    assert_eq!(done["result"]["regions"][0]["sweep"]["deleted"]["packs"], 0);
    ends(at, &[&["gc"], &keeper[..]].concat(), 0);
    ends(at, &[&["verify", "--level", "integrity"][..]].concat(), 0);
    run(&[&["keys", "maintainer", "revoke", "keeper-1"], &OFFICER[..], &IDENTITY[..]].concat(), 0);
    run(&["gc"], 7);
}

#[test]
fn a_second_officer_can_recover_and_the_paper_names_both() {
    let directory = made();
    let at = directory.path();
    // Stands in for keys that bob made on a machine of his own.
    let bob = fs::read_to_string(at.join("lifeboat.toml")).unwrap().replace("host-1", "bob");
    fs::write(at.join("bob.toml"), bob).unwrap();
    let new = json(at, &["keys", "writer", "new", "--config", "bob.toml"], 0);
    let (key, card) =
        (new["result"]["signing_key"].as_str().unwrap(), new["result"]["card"].as_str().unwrap());
    let add = ["keys", "officer", "add", "bob", "--signing-key-file", key, "--recovery-recipient", card];
    ends(at, &[add.as_slice(), &OFFICER, &IDENTITY].concat(), 0);
    ends(at, &["keys", "check", "--identity", "keys/bob.card"], 0);
    let (paper, _) = ends(at, &[&["keys", "paper"], IDENTITY.as_slice()].concat(), 0);
    assert!(
        paper.contains("alice, SHA256:") && paper.contains("bob, SHA256:") && paper.contains("break-glass")
    );
    // Who can open it, too: that list only a recovery identity opens.
    // A key that does not fit beside the name stands below it.
    let flat = paper.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("alice, age1") && flat.contains(&format!("bob, {card}")), "{paper}");
    let recovery =
        &json(at, &[&["keys", "paper"], IDENTITY.as_slice()].concat(), 0)["result"]["regions"][0]["recovery"];
    assert_eq!((&recovery[0]["name"], &recovery[1]["recipient"]), (&"alice".into(), &card.into()));
    let (paper, _) = ends(at, &["keys", "paper"], 0);
    assert!(!paper.contains("age1") && paper.contains("not known here"), "{paper}");
    let secret = fs::read_to_string(at.join("keys/recovery-eu-fra.txt")).unwrap();
    let secret = secret.lines().last().unwrap();
    assert!(!paper.contains(secret));
    let (paper, _) = ends(at, &[&["keys", "paper", "--with-secret"], IDENTITY.as_slice()].concat(), 0);
    assert!(paper.contains(secret));
}

#[test]
fn a_partial_backup_is_three() {
    let directory = made();
    let at = directory.path();
    let text = fs::read_to_string(at.join("lifeboat.toml")).unwrap();
    let text: String =
        text.lines().filter(|line| !line.starts_with("system = ")).map(|line| format!("{line}\n")).collect();
    fs::write(at.join("lifeboat.toml"), text).unwrap();
    fs::write(at.join("data/chats/stray\u{1b}[2Jname"), "whose?").unwrap();
    let (out, err) = ends(at, &["backup", "chats"], 3);
    assert!(out.contains("belong to no declared tenant") && out.contains("stray\\0033[2Jname"), "{out}");
    assert!(!(out + &err).contains('\u{1b}'), "a name moved the cursor");
    ends(at, &["status"], 3);
}

/// A terminal is made by `script` of util-linux.
fn on_a_terminal(directory: &Path, arguments: &str, no_colour: bool) -> String {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_lifeboat"));
    let mut command = Command::new("script");
    command
        .current_dir(directory)
        .args(["-qec", &line, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm");
    if no_colour {
        command.env("NO_COLOR", "1");
    }
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn colours_are_for_terminals_only() {
    let directory = made();
    let at = directory.path();
    assert!(on_a_terminal(at, "backup --all", false).contains("\u{1b}[32mcomplete"));
    assert!(!on_a_terminal(at, "status", true).contains("\u{1b}[32m"));
    assert!(!ends(at, &["status"], 0).0.contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = made();
    let at = directory.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    command.current_dir(at).args(["completions", "bash"]).env_clear();
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn the_whole_demonstration_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    small_tree(&at.join("tree"));
    let (page, _) = ends(at, &["demo", "here", "--from", "tree"], 0);
    assert!(page.contains("VERDICT: everything came back, whole and in time."), "{page}");
    let wide: Vec<&str> =
        page.lines().filter(|line| line.chars().count() > 80 && !line.contains('/')).collect();
    assert_eq!(wide, Vec::<&str>::new());
    assert!(!at.join("here/host").exists(), "the host stays lost");
    assert!(at.join("here/restored/chats/uploads/aurora").is_dir());
    ends(at, &["demo", "here", "--from", "tree"], 7);
    // The repository of another region is not taken for one's own.
    let config = fs::read_to_string(at.join("here/lifeboat.toml")).unwrap();
    let swapped = config
        .replace("ies/eu-fra", "ies/x")
        .replace("ies/us-dal", "ies/eu-fra")
        .replace("ies/x", "ies/us-dal");
    fs::write(at.join("here/swapped.toml"), swapped).unwrap();
    let identity = "here/safe/recovery-eu-fra.txt";
    // Both are of another, and each is told.
    let (out, _) = ends(at, &["snapshots", "--config", "here/swapped.toml", "--identity", identity], 7);
    assert!(out.contains("this repository belongs to region us-dal (US), not to eu-fra (EU)"), "{out}");
    assert!(out.contains("this repository belongs to region eu-fra (EU), not to us-dal (US)"), "{out}");

    // What it leaves is enough to rehearse with: the canary was erased, and every fault is caught.
    let drill =
        ["drill", "run", "region-loss", "--region", "eu-fra", "--target", "drill", "--erased", "canary"];
    let files = [
        "--config",
        "here/lifeboat.toml",
        "--identity",
        identity,
        "--officer-key",
        "here/safe/officer-alice",
    ];
    let drilled = json(at, &[&drill[..], &files].concat(), 0);
    assert_eq!(drilled["result"]["verdict"], "met");
    assert!(!at.join("drill").exists());

    let value = json(at, &["demo", "again", "--from", "tree", "--files", "50"], 0);
    assert_eq!(value["result"]["files"], 50);
    assert!(
        value["result"]["regions"].as_array().unwrap().iter().all(|region| region["fault_found"] == true)
    );
}
