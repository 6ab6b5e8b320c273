//! Ctrl-C on the real process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{World, noise};

/// A backup of a tree that takes a while, stopped in the middle of its reading: the program waits for the signals
/// to come, since it is stopped (SIGSTOP) when it says that it reads.
fn caught(world: &World, signals: &[Signal]) -> (Option<i32>, String) {
    let mut command = world.command(&["backup", "--all", "--json"]);
    let mut child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while told.read_line(&mut line).unwrap() > 0 {
        let event: Value = serde_json::from_str(&line).unwrap();
        // The run has a name: its reading begins.
        if event["event"] == "progress" && event["run"].is_string() {
            break;
        }
        line.clear();
    }
    kill_process(pid, Signal::STOP).unwrap();
    for signal in signals {
        kill_process(pid, *signal).unwrap();
    }
    kill_process(pid, Signal::CONT).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap().code(), out)
}

#[test]
fn a_backup_stops_where_nothing_is_lost_and_the_next_goes_on() {
    let world = World::new();
    let big = world.at().join("data/chats/uploads/acme/big");
    fs::create_dir_all(&big).unwrap();
    for file in 0..24 {
        fs::write(big.join(format!("{file}.bin")), noise(file, 8 << 20)).unwrap();
    }
    let (code, out) = caught(&world, &[Signal::INT]);
    assert_eq!(code, Some(8), "{out}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let error = &told["result"]["components"][0]["error"];
    assert_eq!(error["code"], "LB-800", "{out}");
    assert!(error["next"].as_str().unwrap().contains("continues"), "{out}");
    let none = String::from_utf8(world.ends(&["snapshots"], 0).stdout).unwrap();
    assert!(none.contains("No snapshots"), "{none}");

    // Two signals: the second ends it at once, and nobody is left to print a result.
    let (code, out) = caught(&world, &[Signal::INT, Signal::TERM]);
    assert_eq!((code, out.as_str()), (Some(8), ""));

    world.ends(&["backup", "--all"], 0);
    world.ends(&["restore", "chats", "--target", "out", "--identity", "keys/recovery-eu-fra.txt"], 0);
    for file in 0..24 {
        let back = fs::read(world.at().join(format!("out/uploads/acme/big/{file}.bin"))).unwrap();
        assert!(back == noise(file, 8 << 20), "{file}");
    }
}
