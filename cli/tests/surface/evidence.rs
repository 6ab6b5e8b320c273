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

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";

pub(crate) fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

/// A drill of this world's only component that went well and ended just now.
pub(crate) fn drill(world: &World) -> Facts {
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

pub(crate) fn evidence(world: &World, facts: &Facts) -> PathBuf {
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
    let nowhere = said(&world.ends(&["evidence", "verify", "nosuch"], 2));
    assert!(nowhere.contains("evidence list") && nowhere.contains("--from"), "{nowhere}");

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
    let waits = json(&world, &["evidence", "verify", unsigned], 5);
    assert_eq!((&waits["code"], &waits["problems"][0]["reason"]), (&"LB-551".into(), &"unsigned".into()));
    let listed = said(&world.ends(&["evidence", "list"], 5));
    assert!(listed.contains("not signed yet") && !listed.contains("NO:"), "{listed}");
    assert!(page(&world).contains("nobody signed it yet"));
    world.ends(&["evidence", "sign", unsigned, "--officer-key", "keys/host-1"], 7);
    let signed = json(&world, &["evidence", "sign", unsigned, "--officer-key", "keys/officer-alice"], 0);
    assert_eq!(signed["principal"], "officer:alice");
    json(&world, &["evidence", "verify", unsigned], 0);
    let again = world.ends(&["evidence", "sign", unsigned, "--officer-key", "keys/officer-alice"], 7);
    assert!(said(&again).contains("it is signed already"), "{}", said(&again));
    // Who took a signature away did not unsign it.
    let signature = PathBuf::from(unsigned).join("SHA256SUMS.sig");
    fs::remove_file(&signature).unwrap();
    assert_eq!(json(&world, &["evidence", "verify", unsigned], 4)["code"], "LB-450");
    fs::remove_dir_all(unsigned).unwrap();

    let facts = directory.join("evidence.json");
    fs::write(&facts, fs::read_to_string(&facts).unwrap().replace("OPS-4711", "OPS-4712")).unwrap();
    let changed = json(&world, &["evidence", "verify", path], 4);
    assert_eq!((&changed["code"], &changed["problems"][0]["reason"]), (&"LB-450".into(), &"changed".into()));
    assert!(said(&world.ends(&["evidence", "list"], 4)).contains("NO: changed"));
    assert!(page(&world).contains("cannot be believed"));
}

fn answer(world: &World, arguments: &[&str], code: i32) -> (String, String) {
    let status = json(world, &[&["status"], arguments].concat(), code);
    let answer = status["ready"]["answer"].as_str().unwrap().to_owned();
    let page = fs::read_to_string(world.at().join("ready.html")).unwrap_or_default();
    assert!(arguments.is_empty() || page.contains(&format!("<strong>{answer}</strong>")), "{status}");
    (answer, status["ready"]["reasons"].to_string())
}

#[test]
fn status_and_the_page_say_the_same() {
    const PAGE: [&str; 2] = ["--html", "ready.html"];
    let world = World::backed_up();
    let told = said(&world.ends(&["status"], 0));
    assert!(told.contains("could we recover today? Not proven"), "{told}");
    evidence(&world, &drill(&world));
    assert_eq!(answer(&world, &PAGE, 0).0, "Yes");
    // Evidence that nobody can read may be the newest, and say that nothing comes back.
    let broken = world.at().join("drills/broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("evidence.json"), "{}").unwrap();
    let (word, why) = answer(&world, &PAGE, 0);
    assert!(word == "Not proven" && why.contains("evidence broken: "), "{word}: {why}");
    fs::File::create(broken.join("evidence.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    let (word, why) = answer(&world, &PAGE, 0);
    assert!(word == "Not proven" && why.contains("evidence broken: cannot be read"), "{word}: {why}");
    fs::remove_dir_all(&broken).unwrap();
    // So may evidence where nobody can look.
    let (word, why) = answer(&world, &[&PAGE[..], &["--books", "nosuch"]].concat(), 0);
    assert!(word == "Not proven" && why.contains("evidence cannot be looked at"), "{word}: {why}");
    fs::write(world.at().join("file"), "").unwrap();
    let (word, why) = answer(&world, &[&PAGE[..], &["--evidence", "file"]].concat(), 0);
    assert!(word == "Not proven" && why.contains("evidence cannot be looked at"), "{word}: {why}");
    // What was timed on this host counts as well as what a drill showed.
    world.ends(&["verify", "--level", "objective", IDENTITY], 0);
    assert_eq!(answer(&world, &PAGE, 0).0, "Yes");
    let measured = world.at().join("state/measured/chats.json");
    let text = fs::read_to_string(&measured).unwrap();
    for (verdict, code, word) in
        [("limit_missed", 6, "No"), ("target_missed", 6, "No"), ("insufficient_evidence", 0, "Not proven")]
    {
        let other = text.replacen("\"verdict\": \"met\"", &format!("\"verdict\": \"{verdict}\""), 1);
        assert_ne!(other, text);
        fs::write(&measured, other).unwrap();
        let (found, why) = answer(&world, &PAGE, code);
        assert!(found == word && why.contains("its last timed restore"), "{verdict}: {found}: {why}");
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let world = World::backed_up();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = said(&world.ends(&["serve", "--listen", &address], 1));
    assert!(told.contains("another program listens there already"), "{told}");
    assert!(told.contains("next:") && told.contains("--listen 127.0.0.1:"), "{told}");
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
