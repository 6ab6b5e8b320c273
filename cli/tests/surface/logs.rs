//! Structured logs: one object a line, each about a run, and never a secret.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::world::{World, both};

#[test]
fn every_line_says_verb_component_and_run() {
    let world = World::new();
    let output = world.ends(&["backup", "--all", "--log-format", "json", "--log-level", "lifeboat=debug"], 0);
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["verb"] == "backup" && line["time"].is_string()), "{lines:?}");
    let named: Vec<&Value> = lines.iter().filter(|line| line["component"] == "chats").collect();
    let runs: BTreeSet<&str> = named.iter().filter_map(|line| line["run"].as_str()).collect();
    let snapshots = world.ends(&["snapshots", "--json"], 0);
    let snapshots: Value = serde_json::from_slice(&snapshots.stdout).unwrap();
    let run = snapshots["result"]["snapshots"][0]["run"].as_str().unwrap();
    assert_eq!(runs, BTreeSet::from([run]), "{lines:?}");
    // From the moment the run has a name every line has it.
    let first = lines.iter().position(|line| line["run"] == run).unwrap();
    assert!(
        lines[first..].iter().all(|line| line["run"] == run && line["component"] == "chats"),
        "{lines:?}"
    );
    assert!(lines.len() >= first + 4, "{lines:?}");
    assert!(lines.iter().any(|line| line["event"] == "progress" && line["phase"] == "commit"), "{lines:?}");
    let text = world.ends(&["backup", "--all", "--log-level", "lifeboat=info"], 0);
    assert!(both(&text).contains(" INFO  backup chats "), "{}", both(&text));
}

#[test]
fn what_is_not_understood_is_refused() {
    let world = World::new();
    let text = both(&world.ends(&["status", "--log-level", "a=b=c"], 2));
    assert!(text.contains("--log-level") && text.contains("LB-200"), "{text}");
    let output = world.command(&["status"]).env("LIFEBOAT_LOG_FORMAT", "xml").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
}

/// The secrets of a world: lines of age identities, and of the bodies of private signing keys.
fn secrets(world: &World) -> Vec<String> {
    let mut secrets = Vec::new();
    for entry in fs::read_dir(world.at().join("keys")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(['#', '-']) && line.len() > 20);
        // The first lines of a private key hold its public half as well; the last ones are secret alone.
        let found: Vec<String> = lines.map(str::to_owned).collect();
        secrets.extend(found.into_iter().rev().take(2));
    }
    secrets
}

#[test]
fn no_secret_is_ever_logged_or_shown() {
    let world = World::new();
    let secrets = secrets(&world);
    assert!(secrets.len() >= 5, "{}", secrets.len());
    let identity = "--identity=keys/recovery-eu-fra.txt";
    let calls: &[(&[&str], i32)] = &[
        (&["init"], 0),
        (&["doctor", identity], 0),
        (&["backup", "--all"], 0),
        (&["stats", identity], 0),
        (&["ls", "chats", identity], 0),
        (&["verify", "--level", "all", identity], 0),
        (&["restore", "chats", "--target", "out", identity], 0),
        (&["keys", "check", identity], 0),
        (&["keys", "paper", identity], 0),
        (&["keys", "check", "--identity", "keys/host-1.card"], 7),
        (&["keys", "check", "--identity", "keys/host-1"], 7),
    ];
    for (call, code) in calls {
        for format in ["text", "json"] {
            let target = format!("out-{format}");
            let call: Vec<&str> =
                call.iter().map(|part| if *part == "out" { target.as_str() } else { part }).collect();
            let text = both(&world.ends(
                &[call.as_slice(), &["--json", "--log-level", "trace", "--log-format", format]].concat(),
                *code,
            ));
            // Tenants' keys never leave the repository, whatever they are.
            assert!(!text.contains("AGE-SECRET-KEY"), "{call:?}");
            assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "{call:?}");
        }
    }
    // Only asked for it is shown: the test would see it.
    let shown = both(&world.ends(&["keys", "paper", "--with-secret", identity], 0));
    assert!(secrets.iter().any(|secret| shown.contains(secret.as_str())));
}
