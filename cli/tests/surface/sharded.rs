//! A restore in shards by several processes of the program, one of which is killed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::world::{World, noise, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const INDEX: &str = "JOB_COMPLETION_INDEX";

/// Content enough that a process can be killed in the midst of it.
fn world() -> World {
    let world = World::new();
    let below = world.at().join("data/chats/uploads/acme/large");
    fs::create_dir(&below).unwrap();
    for number in 0..12 {
        fs::write(below.join(format!("{number}")), noise(number, 3 << 20)).unwrap();
    }
    fs::hard_link(below.join("0"), below.join("again")).unwrap();
    symlink("large/3", below.join("../link")).unwrap();
    fs::set_permissions(&below, fs::Permissions::from_mode(0o750)).unwrap();
    world.ends(&["backup", "--all"], 0);
    world
}

/// The process of one pod, as Kubernetes would start it.
fn pod(world: &World, index: usize, more: &[&str]) -> Command {
    let all =
        [&["restore", "chats", "--target", "out", "--shards", "4", "--json", "-q", IDENTITY], more].concat();
    let mut command = world.command(&all);
    command.env(INDEX, index.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn result_of(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{value}");
    value["result"].clone()
}

#[test]
fn four_pods_restore_what_one_process_restores() {
    let world = world();
    let out = world.at().join("out");
    let mut pods: Vec<Child> = (0..4).map(|index| pod(&world, index, &[]).spawn().unwrap()).collect();
    // One is killed as soon as it has begun, or else a little later.
    let killed = out.join(".lifeboat-restore.shard-2");
    let mut second = pods.remove(1);
    while !killed.exists() && second.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    second.kill().unwrap();
    let was_killed = second.wait().unwrap().code().is_none();
    // A newer snapshot turns up: those that join, and whoever finishes, keep to the first one's.
    let runs = world.ends(&["snapshots", "--json"], 0);
    let runs: Value = serde_json::from_slice(&runs.stdout).unwrap();
    let first = runs["result"]["snapshots"][0]["run"].as_str().unwrap().to_owned();
    let changed = world.at().join("data/chats/uploads/acme/hello.txt");
    let before = fs::metadata(&changed).unwrap().modified().unwrap();
    fs::write(&changed, "changed since").unwrap();
    world.ends(&["backup", "--all"], 0);
    for done in pods.into_iter().map(result_of) {
        assert_eq!((&done["part"]["does"], &done["part"]["of"]), (&"shard".into(), &4.into()));
        assert_eq!(done["run"], first.as_str());
    }
    let refused = world.ends(&["restore", "chats", "--target", "out", "--finish", IDENTITY], 7);
    assert!(was_killed && said(&refused).contains("shard 2/4 is not complete"), "{}", said(&refused));
    assert!(said(&refused).contains("`--shard 2/4`"), "{}", said(&refused));
    let other = pod(&world, 1, &["--snapshot", "latest"]).output().unwrap();
    assert_eq!(other.status.code(), Some(7), "{}", said(&other));
    assert!(said(&other).contains("shards of another snapshot"), "{}", said(&other));
    let again = result_of(pod(&world, 1, &[]).spawn().unwrap());
    assert_eq!(again["part"], serde_json::json!({ "does": "shard", "number": 2, "of": 4 }));
    world.ends(&["restore", "chats", "--target", "out", IDENTITY], 7);
    let finished = world.ends(&["restore", "chats", "--target", "out", "--finish", "--json", IDENTITY], 0);
    let finished: Value = serde_json::from_slice(&finished.stdout).unwrap();
    assert_eq!(finished["result"]["part"], serde_json::json!({ "does": "finish", "of": 4 }));
    assert_eq!(finished["result"]["run"], first.as_str());
    world.ends(&["restore", "chats", "--target", "alone", "--snapshot", &first, IDENTITY], 0);
    world.ends(&["diff", &first, "./out", "--content", IDENTITY], 0);
    let alone = finished_report(&world, &first);
    let of = |report: &Value| ["entries", "files", "bytes"].map(|name| report[name].clone());
    assert_eq!(of(&finished["result"]["report"]), of(&alone));
    assert_eq!(fs::metadata(out.join("uploads/acme/hello.txt")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(&out).unwrap().count(), fs::read_dir(world.at().join("alone")).unwrap().count());
}

/// What a restore in one process says of the same.
fn finished_report(world: &World, run: &str) -> Value {
    let all = ["restore", "chats", "--target", "again", "--snapshot", run, "--json", IDENTITY];
    let value: Value = serde_json::from_slice(&world.ends(&all, 0).stdout).unwrap();
    value["result"]["report"].clone()
}

#[test]
fn what_is_no_shard_is_a_mistake_of_usage() {
    let world = World::backed_up();
    let base = ["restore", "chats", "--target", "out", IDENTITY];
    let with = |more: &[&'static str]| [&base[..], more].concat();
    for (more, words) in [
        (&["--shard", "5/4"][..], "counted from 1 to 4"),
        (&["--shard", "3"], "write 3/16"),
        (&["--shard", "1/1000"], "1 to 256 shards"),
        (&["--shards", "4"], "JOB_COMPLETION_INDEX is not set"),
        (&["--shard", "1/2", "--finish"], "cannot be used with"),
        (&["--shard", "1/2", "--in-place"], "cannot be used with"),
        (&["--finish", "--dry-run"], "cannot be used with"),
    ] {
        let output = world.ends(&with(more), 2);
        assert!(said(&output).contains(words), "{more:?}: {}", said(&output));
    }
    let mut outside = world.command(&with(&["--shards", "4"]));
    let output = outside.env(INDEX, "4").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("JOB_COMPLETION_INDEX is 4, counted from 0"), "{}", said(&output));
    assert!(!world.at().join("out").exists());
}
