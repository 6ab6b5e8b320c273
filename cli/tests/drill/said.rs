//! What whoever leads a drill says, and what is refused of it before anything is begun.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::world::{DRILL, IDENTITY, OFFICER, World, finished, slow_book, small_drill};

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
    terminal.stdin.take().unwrap().write_all(b"Eve\nBob Adams\nNET-2\n").unwrap();
    let output = terminal.wait_with_output().unwrap();
    let said = finished(&output, "drill at a terminal", 0);
    assert!(said.contains("Who agrees, as lead?"), "{said}");
    let ended = fs::read_dir(world.at("drills")).unwrap().map(|one| one.unwrap().path()).max().unwrap();
    let facts = fs::read_to_string(ended.join("evidence.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let approval = &facts["steps"][0]["approver"];
    assert_eq!((&approval["by"], &approval["reference"]), (&"Bob Adams".into(), &"NET-2; lead: Eve".into()));
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
