//! What the program says to do next: it can be done as it stands, and what was refused leaves nothing behind.

// Helpers here are test code too (clippy.toml).
#![cfg(test)]

mod planted;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    let programs = Path::new(env!("CARGO_BIN_EXE_lifeboat")).parent().unwrap();
    command.current_dir(directory).args(arguments).env_clear().env("USER", "alice").env("PATH", programs);
    command.output().unwrap()
}

/// What it says, on both streams.
#[track_caller]
fn ends(directory: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(directory, env!("CARGO_BIN_EXE_lifeboat"), arguments);
    told(&arguments.join(" "), &output, code)
}

#[track_caller]
fn told(what: &str, output: &Output, code: i32) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let all = String::from_utf8(all).unwrap();
    assert_eq!(output.status.code(), Some(code), "{what}\n{all}");
    all
}

/// Every file below a directory.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// A directory with a configuration, data of two tenants, keys and a repository.
fn made() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    planted::two_tenants(at);
    let said = ends(at, &["init"], 0);
    assert!(said.contains("lifeboat init --officer NAME"), "{said}");
    ends(at, &["init", "--officer", "alice"], 0);
    directory
}

/// A text without the breaks of its lines.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The commands on lines of their own, as a shell reads them.
fn commands(page: &str) -> Vec<String> {
    let whole = page.replace(" \\\n", " ");
    let lines = whole.lines().map(str::trim).filter(|line| line.starts_with("lifeboat "));
    lines.map(flat).collect()
}

#[test]
fn what_erase_says_to_run_next_runs() {
    let directory = made();
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    // A name that a shell would take apart.
    fs::create_dir(at.join("the safe")).unwrap();
    fs::rename(at.join("keys/recovery-eu-fra.txt"), at.join("the safe/recovery.txt")).unwrap();
    let keys = ["--officer-key", "keys/officer-alice", "--identity", "the safe/recovery.txt"];
    let erase =
        |more: &[&str], code| ends(at, &[&["erase", "--region", "eu-fra"], more, &keys[..]].concat(), code);
    let said = erase(&["acme", "--irrevocably"], 0);
    let next = commands(&said);
    assert!(next.len() == 2 && next[0].contains("--sweep") && next[1].contains("--prove 0"), "{said}");
    for line in next {
        let ended = run(at, "/bin/sh", &["-c", &line]);
        let said = told(&line, &ended, 0);
        assert!(
            !line.contains("--prove") || said.contains("nothing that is left outside bundles opens"),
            "{said}"
        );
    }
    assert!(flat(&erase(&["--sign", "0", "--irrevocably"], 7)).contains("alice signed it already"));
    // Whoever asks again is told the same.
    let said = erase(&["acme", "--irrevocably"], 7);
    assert!(flat(&said).contains("--region eu-fra --prove 0 --officer-key keys/officer-alice"), "{said}");
}

#[test]
fn what_is_refused_leaves_nothing_and_says_what_to_do() {
    let directory = made();
    let at = directory.path();
    ends(at, &["backup", "--all"], 0);
    let path = at.join("lifeboat.toml");
    let with_replica = |replica: &str| {
        let text = fs::read_to_string(&path).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with("replica ="));
        let added = |line: &str| match line {
            "[regions.eu-fra]" => format!("{line}\nreplica = \"{replica}\"\n"),
            _ => format!("{line}\n"),
        };
        fs::write(&path, kept.map(added).collect::<String>()).unwrap();
    };
    with_replica("copy");
    // A host that backs up is no maintainer.
    let said = ends(at, &["replicate"], 7);
    assert!(said.contains("keys maintainer new"), "{said}");
    assert!(!at.join("copy").exists(), "an empty directory looks like a replica that lost everything");
    assert!(!said.starts_with('\n') && !said.contains("\n\n"), "{said:?}");
    assert!(ends(at, &["doctor"], 0).contains("the replica is not there yet"));
    // One that is empty may be a disk that is not mounted.
    fs::create_dir(at.join("copy")).unwrap();
    let said = flat(&ends(at, &["doctor"], 7));
    assert!(
        said.contains("the replica is empty") && said.contains("`lifeboat replicate` fills it"),
        "{said}"
    );
    // Nor is that of another repository its replica.
    let other = fs::read_to_string(&path).unwrap().replace("repositories/eu-fra", "other");
    let other = other.lines().filter(|line| !line.starts_with("officers =")).collect::<Vec<_>>().join("\n");
    fs::write(at.join("other.toml"), other).unwrap();
    ends(at, &["init", "--config", "other.toml", "--officer", "alice"], 0);
    with_replica("other");
    let said = flat(&ends(at, &["doctor"], 7));
    assert!(said.contains("replica of eu-fra in other is of another repository"), "{said}");
    with_replica("nowhere/copy");
    let said = ends(at, &["replicate"], 1);
    assert!(said.contains("mount its disk"), "{said}");

    let said = ends(at, &["kit", "--out", "nowhere/kit"], 1);
    assert!(said.contains("next:") && said.contains("mount its disk"), "{said}");
    // Half a kit is none.
    let script = "trap '' XFSZ; ulimit -f 64; exec lifeboat kit --out half";
    let said = told(script, &run(at, "/bin/sh", &["-c", script]), 1);
    assert!(said.contains("cannot write the kit") && !at.join("half").exists(), "{said}");
    // What is damaged here may be whole in the replica.
    let packs = walk(&at.join("repositories/eu-fra/packs"));
    packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let keys = ["--identity", "keys/recovery-eu-fra.txt"];
    let said = flat(&ends(at, &[&["restore", "chats", "--target", "back"], &keys[..]].concat(), 4));
    assert!(said.contains("the same with --replica") && said.contains("repair --from replica"), "{said}");
    let said = ends(at, &["restore", "chats", "--target", "out", "--identity", "nowhere.txt"], 2);
    assert!(said.contains("LB-208") && said.contains("next:") && said.contains("the safe"), "{said}");
}

#[test]
fn whoever_lacks_something_is_told_what() {
    let directory = made();
    let at = directory.path();
    // A component that came later, on a host whose user has no name.
    let path = at.join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    let docs = "\n[components.docs]\nregion = \"eu-fra\"\npath = \"data/chats\"\nsystem = \"ours\"\n";
    fs::write(&path, text.clone() + docs).unwrap();
    fs::rename(at.join("keys/officer-alice"), at.join("officer-alice")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
    let output = command.current_dir(at).arg("init").env_clear().output().unwrap();
    let said = flat(&told("init", &output, 0));
    assert!(
        said.contains("an officer runs: lifeboat keys writer add host-1 --component chats --component docs"),
        "{said}"
    );
    let keys = ["--officer-key", "officer-alice", "--identity", "keys/recovery-eu-fra.txt"];
    let said = ends(at, &[&["init"], &keys[..]].concat(), 0);
    assert!(said.contains("enrolled now, for chats and docs"), "{said}");

    fs::write(at.join("mine.md"), "---\ncomponent chats\n---\n# Mine\n").unwrap();
    let said = flat(&ends(at, &["drill", "check", "mine.md"], 2));
    assert!(said.contains("mine, line 2: front matter: it is no list of fields"), "{said}");
    let said = ends(at, &["explain", "LB-220"], 0);
    assert!(flat(&said).contains("`lifeboat drill check` names those that come along"), "{said}");
    assert!(ends(at, &["drill", "check"], 0).contains("- region-loss: "));
    // A page begins with what it says.
    fs::rename(at.join("repositories"), at.join("away")).unwrap();
    let said = ends(at, &["status"], 7);
    assert!(said.trim_start_matches('\n') == said && said.contains("could not look"), "{said:?}");
}

#[test]
fn policy_check_says_once_what_is_true_of_several() {
    let directory = made();
    let at = directory.path();
    let path = at.join("lifeboat.toml");
    let keep = "\n[components.chats.keep]\ndaily = 7\n[tenants.acme]\nkeep = \"5d\"\n";
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + keep).unwrap();
    ends(at, &["backup", "--all"], 0);
    let said = flat(&ends(at, &["policy", "check"], 0));
    assert_eq!(said.matches("deleted today, gone by").count(), 2, "{said}");
    assert_eq!(said.matches("what shares a segment").count(), 1, "{said}");
}
