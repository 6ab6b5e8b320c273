//! Evidence and the readiness page, on the real process: what holds, what is refused and with which exit code, who is
//! answered.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_verify::evidence::facts::{Facts, Met, Moment, Outcome, Verdict, What};
use lifeboat_verify::evidence::{Signer, write, write_unsigned};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{World, said};

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

/// A drill of this world's only component that went well and ended just now.
fn drill(world: &World) -> Facts {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/evidence/drill.json");
    let mut facts: Facts = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    facts.exercise.ended = Moment::new(SystemClock.now());
    facts.configuration =
        ObjectHash::from_bytes(sha256(&fs::read(world.at().join("lifeboat.toml")).unwrap()));
    facts.book = None;
    facts.steps.retain(|step| step.what != What::Interrupted);
    facts.components.retain(|one| one.checks.iter().all(|check| check.outcome == Outcome::Passed));
    facts.components.truncate(1);
    facts.components[0].name = "chats".parse().unwrap();
    facts.planted.retain(|one| one.caught_by.is_some());
    facts.assertions.retain(|one| one.met == Met::Met);
    facts.verdict = Verdict::Met;
    facts.tool.version = env!("CARGO_PKG_VERSION").into();
    facts
}

fn evidence(world: &World, facts: &Facts) -> PathBuf {
    let key = SigningKey::from_openssh(fs::read(world.at().join("keys/officer-alice")).unwrap()).unwrap();
    let signer = Signer { principal: "officer:alice".into(), key: &key };
    write(&world.at().join("drills"), facts, &[], &signer).unwrap()
}

fn page(world: &World) -> String {
    world.ends(&["status", "--html", "ready.html"], 0);
    fs::read_to_string(world.at().join("ready.html")).unwrap()
}

#[test]
fn evidence_holds_until_somebody_changes_it_or_what_it_speaks_of() {
    let world = World::backed_up();
    assert!(page(&world).contains("nobody ever rehearsed its recovery"));
    let directory = evidence(&world, &drill(&world));
    let path = directory.to_str().unwrap();
    assert!(page(&world).contains("<strong>Yes</strong>"), "{}", page(&world));
    let listed = json(&world, &["evidence", "list"], 0);
    assert_eq!(
        (&listed["evidence"][0]["holds"], &listed["evidence"][0]["verdict"]),
        (&true.into(), &"met".into())
    );
    json(&world, &["evidence", "show", path], 0);
    assert_eq!(json(&world, &["status"], 0)["evidence"]["holds"], true);
    json(&world, &["evidence", "verify", path], 0);
    json(&world, &["evidence", "verify", path, "--against-config"], 0);
    // A stranger has the key from paper, or a file that allows it evidence and nothing else.
    world.ends(&["evidence", "verify", path, "--officer", "keys/officer-alice.pub"], 0);
    let key = fs::read_to_string(world.at().join("keys/officer-alice.pub")).unwrap();
    let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    for (allowed, code) in [("lifeboat-evidence:*", 0), ("lifeboat-ledger:*", 7)] {
        fs::write(world.at().join("signers"), format!("alice namespaces=\"{allowed}\" {key}\n")).unwrap();
        world.ends(&["evidence", "verify", path, "--allowed-signers", "signers"], code);
    }
    let refused = json(&world, &["evidence", "verify", path, "--officer", "keys/host-1.pub"], 7);
    assert_eq!(
        (&refused["code"], &refused["problems"][0]["reason"]),
        (&"LB-750".into(), &"wrong-key".into())
    );
    world.ends(&["evidence", "verify", "data"], 2);

    let configuration = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&configuration).unwrap();
    fs::write(&configuration, format!("{text}# another\n")).unwrap();
    let expired = json(&world, &["evidence", "verify", path, "--against-config"], 5);
    assert_eq!(expired["expired"][0], "expired because the configuration changed");
    assert!(page(&world).contains("<strong>Not proven</strong>"));
    let status = said(&world.ends(&["status"], 0));
    assert!(status.contains("expired because the configuration changed"), "{status}");
    fs::write(&configuration, text).unwrap();

    // A drill without a key leaves its evidence unsigned, until somebody puts his word behind it.
    let mut later = drill(&world);
    later.id = "2026-11-28t09-00-00z-later".parse().unwrap();
    let unsigned = write_unsigned(&world.at().join("drills"), &later, &[]).unwrap();
    let unsigned = unsigned.to_str().unwrap();
    assert_eq!(json(&world, &["evidence", "verify", unsigned], 4)["problems"][0]["reason"], "unsigned");
    world.ends(&["evidence", "sign", unsigned, "--officer-key", "keys/host-1"], 7);
    let signed = json(&world, &["evidence", "sign", unsigned, "--officer-key", "keys/officer-alice"], 0);
    assert_eq!(signed["principal"], "officer:alice");
    json(&world, &["evidence", "verify", unsigned], 0);
    world.ends(&["evidence", "sign", unsigned, "--officer-key", "keys/officer-alice"], 7);
    fs::remove_dir_all(unsigned).unwrap();

    let facts = directory.join("evidence.json");
    fs::write(&facts, fs::read_to_string(&facts).unwrap().replace("OPS-4711", "OPS-4712")).unwrap();
    let changed = json(&world, &["evidence", "verify", path], 4);
    assert_eq!((&changed["code"], &changed["problems"][0]["reason"]), (&"LB-450".into(), &"changed".into()));
    assert!(said(&world.ends(&["evidence", "list"], 4)).contains("NO: changed"));
    assert!(page(&world).contains("cannot be believed"));
}

/// What a server answers: its status line, and all of it.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.lines().next().unwrap_or_default().to_owned(), answer)
}

#[test]
fn the_page_is_served_to_this_machine_alone() {
    let world = World::backed_up();
    for beyond in ["0.0.0.0:0", "[::]:0"] {
        let output = world.ends(&["serve", "--listen", beyond, "--json"], 2);
        assert!(said(&output).contains("LB-231"));
    }
    let mut command = world.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    let address = line.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let get = |path: &str, host: &str| ask(&address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let (status, answer) = get("/", &address);
    assert!(status.contains("200") && answer.contains("Could we recover today?"), "{answer}");
    assert!(answer.contains("default-src 'none'") && !answer.contains("<script"));
    let (_, metrics) = get("/metrics", "localhost");
    assert!(metrics.contains("lifeboat_rpo_met{component=\"chats\",region=\"eu-fra\"} 1"), "{metrics}");
    assert!(get("/healthz", "[::1]:1").1.ends_with("\r\n\r\nok\n"));
    assert!(get("/else", &address).0.contains("404"));
    // A page of somebody else's, in a browser on this machine, under a name that leads here.
    assert!(get("/", "rebound.example.com").0.contains("403"));
    assert!(ask(&address, "GET / HTTP/1.1\r\n\r\n").0.contains("403"));
    assert!(ask(&address, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n").0.contains("405"));
    assert!(ask(&address, "nonsense\r\n\r\n").0.contains("400"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
