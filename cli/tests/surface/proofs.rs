//! Evidence that `verify` and `erase` leave of their own runs: of what went well and of what did not, checked by this program,
//! by stock tools and by others' validators; and where it may not lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_verify::evidence::facts::Facts;
use lifeboat_verify::evidence::{canonical, derived};
use serde_json::Value;

use crate::evidence::{drill, evidence, json};
use crate::repairing::copied;
use crate::stranger::stranger;
use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const OFFICER: &str = "--officer-key=keys/officer-alice";

/// What a directory of evidence says, once nothing is wrong with it but that nobody signed it; nor does it name anybody.
#[track_caller]
fn said_in(world: &World, directory: &str, result: &Value, verdict: &str) -> Facts {
    let path = world.at().join(directory);
    assert_eq!(result["evidence"], path.to_str().unwrap(), "{result}");
    let waits = json(world, &["evidence", "verify", directory], 5);
    assert_eq!((&waits["code"], &waits["verdict"]), (&"LB-551".into(), &verdict.into()), "{waits:#}");
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for personal in ["acme", "globex", "uploads", "hello", "AGE-SECRET-KEY", "PRIVATE KEY"] {
            assert!(!text.contains(personal), "{} names {personal}", file.display());
        }
    }
    let text = fs::read(path.join("evidence.json")).unwrap();
    let facts: Facts = serde_json::from_slice(&text).unwrap();
    assert_eq!(canonical(&facts).unwrap(), text);
    for made in derived(&facts).unwrap() {
        assert!(
            fs::read(path.join(&made.name)).unwrap() == made.bytes,
            "{} is made of other facts",
            made.name
        );
    }
    let configuration = fs::read(world.at().join("lifeboat.toml")).unwrap();
    assert_eq!(facts.configuration, ObjectHash::from_bytes(sha256(&configuration)));
    assert_eq!(facts.tool.version, env!("CARGO_PKG_VERSION"));
    facts
}

/// An officer signs it; then it holds for this program and for a stranger with stock tools, to the last byte.
#[track_caller]
fn signed(world: &World, directory: &str) {
    world.ends(&["evidence", "sign", directory, OFFICER], 0);
    let whole = json(world, &["evidence", "verify", directory, "--against-config"], 0);
    let (path, fingerprint) = (world.at().join(directory), fingerprint(world));
    let (held, told) = stranger(&path, &fingerprint);
    let wanted = format!("VERIFIED: {} {}", whole["kind"].as_str().unwrap(), whole["id"].as_str().unwrap());
    assert!(held && told.contains(&wanted), "{told}");
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        let genuine = fs::read(&file).unwrap();
        let mut other = genuine.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        fs::write(&file, other).unwrap();
        world.ends(&["evidence", "verify", directory], 4);
        // The instructions are read before anything is checked.
        if !file.ends_with("VERIFY.md") {
            assert!(!stranger(&path, &fingerprint).0, "{} was changed", file.display());
        }
        fs::write(&file, genuine).unwrap();
    }
    world.ends(&["evidence", "verify", directory], 0);
}

fn fingerprint(world: &World) -> String {
    let key = fs::read(world.at().join("keys/officer-alice")).unwrap();
    SigningKey::from_openssh(key).unwrap().public().fingerprint()
}

/// Valid by NIST's schema and by another validator; the standing of every control that it speaks to.
#[track_caller]
fn controls(path: &Path) -> BTreeMap<String, (String, String)> {
    let packed = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/oscal/complete_schema.json.zst");
    let unpacked = Command::new("zstd").args(["-dc", packed]).output().unwrap();
    let schema: Value = serde_json::from_slice(&unpacked.stdout).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let file = path.join("oscal-assessment-results.json");
    let value: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let errors: Vec<String> =
        schema.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let output = Command::new("oscal-validate").arg(&file).output();
    let output = output.unwrap_or_else(|error| panic!("scripts/test installs oscal-validate: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let findings = value["assessment-results"]["results"][0]["findings"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let finding = |one: &Value| {
        let target = &one["target"];
        let status = &target["status"];
        (text(&target["target-id"]), (text(&status["state"]), text(&status["reason"])))
    };
    findings.iter().map(finding).collect()
}

fn stands(id: &str, state: &str, reason: &str) -> (String, (String, String)) {
    (id.to_owned(), (state.to_owned(), reason.to_owned()))
}

/// The first pack of a store.
fn pack(world: &World) -> PathBuf {
    let mut path = world.at().join("repositories/eu-fra/packs");
    while path.is_dir() {
        path = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    }
    path
}

#[test]
fn a_verification_leaves_evidence_of_what_it_looked_at() {
    let world = World::backed_up();
    let all = ["verify", "--level", "all", "--nonce", "auditor 2026", "--sample", "1", IDENTITY];
    let done = json(&world, &[&all[..], &["--evidence", "drills/whole"]].concat(), 0);
    let facts = said_in(&world, "drills/whole", &done, "met");
    let looks = &facts.verification.as_ref().unwrap().looks;
    let levels: Vec<(&str, Option<&str>)> = looks
        .iter()
        .map(|look| (look.level.as_str(), look.component.as_ref().map(|name| name.as_str())))
        .collect();
    let chats = Some("chats");
    let wanted = [
        ("inventory", None),
        ("integrity", None),
        ("readback", None),
        ("restore", chats),
        ("objective", chats),
    ];
    assert_eq!(levels, wanted);
    // How much, by the numbers that --json has, and at which checkpoint; who drew what can be drawn again.
    assert_eq!(looks[1].counts["objects"], done["checks"][1]["reports"][0]["objects"].as_u64().unwrap());
    let state = &facts.repositories[0];
    let checkpoint = state.checkpoint.as_ref().unwrap();
    let stored = fs::read(world.at().join("repositories/eu-fra").join(checkpoint.entry.as_str())).unwrap();
    assert_eq!(checkpoint.sha256, ObjectHash::from_bytes(sha256(&stored)));
    let sample = looks[2].sample.as_ref().unwrap();
    assert_eq!((sample.drawn, sample.nonce.as_deref()), (1, Some("auditor 2026")));
    assert!(sample.checkpoint.as_ref().unwrap().starts_with(checkpoint.entry.as_str()), "{sample:?}");
    // A verification is no recovery: it claims no time and no loss, and speaks of no control that is about them.
    assert!(facts.components.is_empty() && facts.projection.is_none());
    let path = world.at().join("drills/whole");
    let satisfied = ["cp-9.1", "csf-pr.ds-11", "csf-rc.rp-03", "iso27001-a.8.13"];
    let mut wanted: BTreeMap<_, _> = satisfied.iter().map(|id| stands(id, "satisfied", "pass")).collect();
    wanted.extend([stands("cp-9", "not-satisfied", "other")]);
    assert_eq!(controls(&path), wanted);
    signed(&world, "drills/whole");
    let shown = said(&world.ends(&["evidence", "show", "whole"], 0));
    assert!(shown.contains("integrity of eu-fra") && shown.contains("passed"), "{shown}");
    // It is evidence like any other, and no drill.
    assert!(said(&world.ends(&["evidence", "list"], 0)).contains("yes"));
    assert!(!said(&world.ends(&["drill", "list"], 0)).contains("met"));
    let status = json(&world, &["status"], 0);
    assert_eq!(
        (&status["evidence"]["holds"], &status["ready"]["answer"]),
        (&true.into(), &"Not proven".into())
    );

    // Without a key only bytes are held against what names them.
    let done = json(&world, &["verify", "--evidence", "bytes"], 0);
    let facts = said_in(&world, "bytes", &done, "met");
    assert!(facts.limits.iter().any(|limit| limit.starts_with("Nothing was opened")), "{:?}", facts.limits);
    let mut wanted = BTreeMap::from([stands("csf-rc.rp-03", "satisfied", "pass")]);
    for id in ["cp-9", "cp-9.1", "csf-pr.ds-11", "iso27001-a.8.13"] {
        wanted.extend([stands(id, "not-satisfied", "other")]);
    }
    assert_eq!(controls(&world.at().join("bytes")), wanted);
    // What could not be done is no pass, and is told without what the error quotes.
    let done = json(&world, &["verify", "--level", "readback", "--evidence", "closed"], 7);
    let facts = said_in(&world, "closed", &done, "insufficient");
    assert!(facts.not_run[0].reason.contains("LB-704"), "{:?}", facts.not_run);
    controls(&world.at().join("closed"));
}

#[test]
fn a_verification_that_finds_damage_leaves_evidence_of_it() {
    let world = World::backed_up();
    evidence(&world, &drill(&world));
    assert_eq!(json(&world, &["status"], 0)["ready"]["answer"], "Yes");
    let (pack, readback) = (pack(&world), ["verify", "--level", "readback", IDENTITY]);
    let whole = fs::read(&pack).unwrap();
    let mut other = whole.clone();
    other[100] ^= 1;
    fs::write(&pack, other).unwrap();
    let done = json(&world, &[&readback[..], &["--evidence", "drills/damaged"]].concat(), 4);
    let facts = said_in(&world, "drills/damaged", &done, "failed");
    let look = &facts.verification.as_ref().unwrap().looks[0];
    assert!(look.found[0].snapshots > 0 && look.found[0].shares > 0, "{look:?}");
    let refuted: BTreeMap<_, _> = ["cp-9", "cp-9.1", "csf-pr.ds-11", "iso27001-a.8.13"]
        .iter()
        .map(|id| stands(id, "not-satisfied", "fail"))
        .collect();
    let mut found = controls(&world.at().join("drills/damaged"));
    found.remove("csf-rc.rp-03");
    assert_eq!(found, refuted);
    // Nobody's word: it proves nothing, and is not passed over. An officer's: nobody could recover.
    let status = json(&world, &["status"], 0);
    let (answer, why) = (&status["ready"]["answer"], status["ready"]["reasons"].to_string());
    assert!(
        answer == "Not proven" && why.contains("says that it found damage, and cannot be believed"),
        "{why}"
    );
    signed(&world, "drills/damaged");
    let status = json(&world, &["status", "--html", "ready.html"], 0);
    let (answer, why) = (&status["ready"]["answer"], status["ready"]["reasons"].to_string());
    assert!(answer == "No" && why.contains("found damage"), "{why}");
    assert!(fs::read_to_string(world.at().join("ready.html")).unwrap().contains("last verified"));
    // Mended and looked at again.
    fs::write(&pack, whole).unwrap();
    json(&world, &[&readback[..], &["--evidence", "drills/mended"]].concat(), 0);
    world.ends(&["evidence", "sign", "drills/mended", OFFICER], 0);
    assert_eq!(json(&world, &["status"], 0)["ready"]["answer"], "Yes");
}

#[test]
fn an_erasure_leaves_evidence_with_its_proof() {
    let world = copied();
    let erase = |more: &[&str], code| {
        json(&world, &[&["erase", "--region", "eu-fra", OFFICER, IDENTITY][..], more].concat(), code)
    };
    let done = erase(&["globex", "--irrevocably", "--evidence", "drills/erased"], 0);
    assert!(done["proved"] == true && done["keys"].is_array(), "{done}");
    let facts = said_in(&world, "drills/erased", &done, "met");
    let erasure = facts.erasure.as_ref().unwrap();
    let (tombstone, proof) = (&erasure.tombstone, erasure.proof.as_ref().unwrap());
    assert_eq!((tombstone.number, tombstone.keys.len(), tombstone.wanted), (0, 1, 0));
    assert_eq!(tombstone.signed[0].officer.as_str(), "alice");
    let places: Vec<(&str, u64, u64)> =
        erasure.destroyed_in.iter().map(|one| (one.place.word(), one.objects, one.versions)).collect();
    assert_eq!(places, [("repository", 2, 2), ("replica", 2, 2)]);
    assert!(erasure.destroyed_in.iter().all(|one| one.graves >= 2), "{:?}", erasure.destroyed_in);
    assert!(proof.found.is_empty() && proof.segments > 0 && proof.identities > 2, "{proof:?}");
    // A bundle holds the keys for a while yet: no longer than was promised.
    let horizon = erasure.horizon().unwrap().span().as_secs();
    assert!((13 * 86_400..=30 * 86_400).contains(&horizon), "{horizon}");
    let standing = controls(&world.at().join("drills/erased"));
    assert_eq!(standing["gdpr-17"], ("satisfied".to_owned(), "pass".to_owned()));
    assert_eq!(standing.keys().collect::<Vec<_>>(), ["gdpr-17", "gdpr-28", "gdpr-5"]);
    signed(&world, "drills/erased");
    // Tried again later, by the verb that does nothing else.
    let done = erase(&["--prove", "0", "--evidence", "drills/later"], 0);
    let facts = said_in(&world, "drills/later", &done, "met");
    assert!(facts.erasure.as_ref().unwrap().destroyed.is_some_and(|at| at >= erasure.requested));
    // A key that came back: that is when evidence counts.
    let grave = fs::read_dir(world.at().join("repositories/eu-fra/cards/host-1")).unwrap();
    let grave = grave
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::metadata(path).unwrap().len() < 100)
        .unwrap();
    fs::remove_file(&grave).unwrap();
    fs::write(&grave, "a card of old".repeat(100)).unwrap();
    let done = erase(&["--prove", "0", "--evidence", "drills/back"], 4);
    let facts = said_in(&world, "drills/back", &done, "failed");
    assert!(facts.erasure.unwrap().proof.unwrap().found[0].contains("is there again"));
    assert_eq!(controls(&world.at().join("drills/back"))["gdpr-17"].1, "fail");
    signed(&world, "drills/back");
}

/// Every file below the world's directory.
fn everything(world: &World) -> BTreeSet<PathBuf> {
    let (mut all, mut below) = (BTreeSet::new(), vec![world.at().to_owned()]);
    while let Some(directory) = below.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                below.push(entry.path());
            }
            all.insert(entry.path());
        }
    }
    all
}

#[test]
fn evidence_lies_nowhere_where_it_could_do_harm() {
    let world = World::backed_up();
    symlink(world.at().join("data"), world.at().join("link")).unwrap();
    fs::create_dir(world.at().join("full")).unwrap();
    fs::write(world.at().join("full/file"), "").unwrap();
    fs::create_dir(world.at().join("empty")).unwrap();
    let before = everything(&world);
    let bad = [
        "data/chats",
        "data/chats/new",
        "link/chats/deep/new",
        "repositories/eu-fra",
        "repositories/eu-fra/new",
        "state/new",
        "keys",
        ".",
        "full",
    ];
    let verbs: [&[&str]; 3] = [
        &["verify"],
        &["erase", "acme", "--region", "eu-fra", "--irrevocably", OFFICER, IDENTITY],
        &["erase", "--prove", "0", "--region", "eu-fra", OFFICER, IDENTITY],
    ];
    for directory in bad {
        for verb in verbs {
            let refused = world.ends(&[verb, &["--evidence", directory, "--json"]].concat(), 7);
            let refused: Value = serde_json::from_slice(&refused.stdout).unwrap();
            assert_eq!(refused["error"]["code"], "LB-732", "{directory}: {refused}");
        }
    }
    for (file, code) in [("lifeboat.toml", 7), ("full/file", 1)] {
        for verb in verbs {
            let told = said(&world.ends(&[verb, &["--evidence", file]].concat(), code));
            assert!(told.contains(file), "{told}");
        }
    }
    let at_all = ["--region", "eu-fra", "--evidence", "new", OFFICER, IDENTITY];
    for more in
        [&["--sweep"][..], &["--readmit", "acme"], &["acme", "--dry-run"], &["nobody", "--in-advance"]]
    {
        world.ends(&[&["erase"], more, &at_all[..]].concat(), 2);
    }
    // What is refused for another reason leaves nothing either.
    world.ends(&[&["erase", "nobody", "--irrevocably"], &at_all[..]].concat(), 7);
    world.ends(&[&["erase", "acme"], &at_all[..]].concat(), 7);
    world.ends(&[&["erase", "--prove", "7"], &at_all[..]].concat(), 7);
    assert_eq!(before, everything(&world), "something was written or removed");
    // An empty directory is as good as none.
    let done = json(&world, &["verify", "--evidence", "empty"], 0);
    said_in(&world, "empty", &done, "met");
}
