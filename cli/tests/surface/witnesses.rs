//! A witness in another account: what was rolled back is told by it, and that it is out of reach fails no backup.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const HOME: &str = "repository = \"repositories/eu-fra\"";

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

fn restored(world: &World, target: &str, code: i32) -> Value {
    json(world, &["restore", "chats", "--target", target, IDENTITY], code)["freshness"].clone()
}

fn status(world: &World, code: i32) -> Value {
    json(world, &["status"], code)["witnesses"][0]["freshness"].clone()
}

/// Backs up into a repository that has changed since; what is said of it.
fn backup(world: &World, content: &str, code: i32) -> Value {
    fs::write(world.at().join("data/chats/uploads/acme/new.txt"), content).unwrap();
    json(world, &["backup", "--all"], code)["components"][0].clone()
}

/// Configures a witness, or none.
fn configure(world: &World, witness: Option<&str>) {
    configure_line(world, witness.map(|place| format!("witness = \"{place}\"")));
}

/// Configures a command that is one.
fn configure_command(world: &World, command: &[&str]) {
    configure_line(world, Some(format!("witness_command = {command:?}")));
}

fn configure_line(world: &World, witness: Option<String>) {
    let path = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("witness")).collect();
    let line = witness.map_or_else(|| HOME.to_owned(), |line| format!("{line}\n{HOME}"));
    fs::write(path, kept.join("\n").replacen(HOME, &line, 1)).unwrap();
}

fn copy(world: &World, from: &str, to: &str) {
    assert!(Command::new("cp").args(["-a", from, to]).current_dir(world.at()).status().unwrap().success());
}

fn names(directory: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Where the witness keeps the entries of the only writer.
fn witnessed(world: &World) -> PathBuf {
    let repository = names(&world.at().join("witness/witness")).remove(0);
    names(&repository).remove(0)
}

/// Where the repository keeps them.
fn ledger(world: &World) -> PathBuf {
    names(&world.at().join("repositories/eu-fra/ledger")).remove(0)
}

#[test]
fn a_repository_that_was_rolled_back_is_told_by_its_witness() {
    let world = World::backed_up();
    assert_eq!(restored(&world, "without", 0), "not proven");
    configure(&world, Some("witness"));
    assert_eq!(
        (restored(&world, "before", 0), status(&world, 0)),
        ("not proven".into(), "not proven".into())
    );
    copy(&world, "repositories", "older");
    let kept = backup(&world, "first", 0)["witnessed"].as_str().unwrap().to_owned();
    let newest = names(&ledger(&world)).pop().unwrap();
    assert_eq!(fs::read(world.at().join("witness").join(&kept)).unwrap(), fs::read(&newest).unwrap());
    assert_eq!((restored(&world, "after", 0), status(&world, 0)), ("proven".into(), "proven".into()));
    world.ends(&["verify"], 0);

    // The newest witnessed entry is gone: the repository is as it once was, whole and consistent.
    fs::rename(world.at().join("repositories"), world.at().join("newer")).unwrap();
    copy(&world, "older", "repositories");
    assert_eq!(
        (restored(&world, "rolled", 4), status(&world, 4)),
        ("rolled back".into(), "rolled back".into())
    );
    let whole = said(&world.ends(&["restore", "--region", "eu-fra", "--target", "region", IDENTITY], 4));
    assert!(whole.contains("ROLLED BACK"), "{whole}");
    let told = said(&world.ends(&["verify"], 4));
    let gone = newest.file_name().unwrap().to_str().unwrap();
    assert!(told.contains("ROLLED BACK") && told.contains("LB-404") && told.contains(gone), "{told}");

    // A backup says so too, and does not cover it up. Then another entry lies where the witnessed one lay.
    let grown = backup(&world, "grown", 4);
    assert_eq!((&grown["witnessed"], &grown["witness_error"]["code"]), (&Value::Null, &"LB-404".into()));
    assert_eq!(names(&witnessed(&world)).len(), 1);
    assert!(newest.exists());
    assert_eq!(
        (restored(&world, "other", 4), status(&world, 4)),
        ("rolled back".into(), "rolled back".into())
    );

    // Somebody who has the host's credentials lets it grow past its old end, and tells the witness of that.
    configure(&world, None);
    backup(&world, "past", 0);
    configure(&world, Some("witness"));
    let last = names(&ledger(&world)).pop().unwrap();
    assert!(last > newest);
    fs::copy(&last, witnessed(&world).join(last.file_name().unwrap())).unwrap();
    assert_eq!(restored(&world, "past", 4), "rolled back");
    world.ends(&["verify"], 4);
}

#[test]
fn a_witness_that_says_nothing_proves_nothing_and_fails_no_backup() {
    let world = World::backed_up();
    configure(&world, Some("not-mounted/witness"));
    let alone = backup(&world, "alone", 0);
    assert_eq!(alone["witnessed"], Value::Null);
    assert!(alone["witness_error"]["what"].is_string(), "{alone}");
    assert!(said(&world.ends(&["backup", "--all"], 0)).contains("the witness was not told"));
    assert_eq!(
        (restored(&world, "unknown", 0), status(&world, 5)),
        ("not proven".into(), "not proven".into())
    );
    world.ends(&["verify"], 5);

    // What nobody signed whom this repository trusts proves nothing, and hides nothing.
    configure(&world, Some("witness"));
    backup(&world, "kept", 0);
    assert_eq!(status(&world, 0), "proven");
    let stranger = witnessed(&world).parent().unwrap().join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::write(stranger.join(names(&ledger(&world)).pop().unwrap().file_name().unwrap()), "no entry").unwrap();
    assert_eq!(
        (restored(&world, "strange", 0), status(&world, 5)),
        ("not proven".into(), "not proven".into())
    );
    assert!(said(&world.ends(&["verify"], 5)).contains("stranger"));
    // Nor does it keep the witness from being told.
    backup(&world, "again", 0)["witnessed"].as_str().unwrap();
}

/// What comes over a connection that breaks is not kept, since nobody could take it away again.
#[test]
fn a_witness_keeps_only_what_arrived_whole() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |asked: &str, sent: &[u8]| {
        let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/witness"))
            .args([dir.path().to_str().unwrap(), "serve"])
            .env("SSH_ORIGINAL_COMMAND", asked)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(sent).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code().unwrap(), done.stdout)
    };
    // Of "an entry".
    const PUT: &str =
        "put witness/a/host-1/00000000 9fb7f2ffa7e75ba5d5017c2b5b651a7d256016ca891c74ca01cb651d6781a6e9";
    assert_eq!(serve(PUT, b"an en"), (1, Vec::new()));
    assert_eq!(serve("get witness/a/host-1/00000000", b""), (0, Vec::new()));
    assert_eq!(serve(PUT, b"an entry"), (0, Vec::new()));
    assert_eq!(serve("get witness/a/host-1/00000000", b""), (0, b"an entry".to_vec()));
    assert_eq!(serve("put witness/a/host-1/00000001", b"").0, 2);
}

/// A command keeps what a store would keep: scripts/witness, in a directory of its own.
#[test]
fn a_command_is_a_witness_too() {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/witness");
    let world = World::backed_up();
    let kept = world.at().join("kept by command");
    fs::create_dir(&kept).unwrap();
    configure_command(&world, &[SCRIPT, kept.to_str().unwrap()]);
    assert_eq!(status(&world, 0), "not proven");
    copy(&world, "repositories", "older");
    let name = backup(&world, "first", 0)["witnessed"].as_str().unwrap().to_owned();
    let newest = names(&ledger(&world)).pop().unwrap();
    assert_eq!(fs::read(kept.join(&name)).unwrap(), fs::read(&newest).unwrap());
    assert_eq!((restored(&world, "after", 0), status(&world, 0)), ("proven".into(), "proven".into()));
    world.ends(&["verify"], 0);
    // Told again of the same, it keeps what it has.
    fs::rename(world.at().join("repositories"), world.at().join("newer")).unwrap();
    copy(&world, "older", "repositories");
    assert_eq!(
        (restored(&world, "rolled", 4), status(&world, 4)),
        ("rolled back".into(), "rolled back".into())
    );
    let grown = backup(&world, "grown", 4);
    assert_eq!((&grown["witnessed"], &grown["witness_error"]["code"]), (&Value::Null, &"LB-404".into()));

    // One that says yes and keeps nothing, one that fails, one that is not there, one that lists what is no name.
    for (at, (script, told)) in [
        ("exit 0", Some("does not have it")),
        ("echo no disk >&2; exit 3", Some("no disk")),
        ("case $1 in list) echo ../escape ;; esac", Some("no name that begins so")),
    ]
    .into_iter()
    .enumerate()
    {
        let path = world.at().join(format!("witness-{at}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        configure_command(&world, &[path.to_str().unwrap()]);
        let done = backup(&world, script, 0);
        let error = done["witness_error"]["what"].as_str().unwrap_or_default().to_owned();
        assert!(
            told.is_none_or(|told| error.contains(told)) && done["witnessed"].is_null(),
            "{script}: {done}"
        );
    }
    configure_command(&world, &["./nowhere"]);
    assert_eq!(status(&world, 5), "not proven");
    assert!(said(&world.ends(&["backup", "--all"], 0)).contains("there is no such program"));
    configure_line(&world, Some("witness_command = [\"x\"]\nwitness = \"w\"".to_owned()));
    assert!(said(&world.ends(&["status"], 2)).contains("two witnesses"));
}
