//! Repair as people and programs see it: what it would do, what it did, what is left, and from where nothing may come.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const OFFICER: &str = "--officer-key=keys/officer-alice";
const R1: &str = "--config=r1.toml";
const HOME: &str = "repository = \"repositories/eu-fra\"";

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

/// A repository, its replica, a bundle of its keys, and the host r1, which maintains.
pub(crate) fn copied() -> World {
    let world = World::backed_up();
    let path = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replacen(HOME, &format!("replica = \"replica\"\n{HOME}"), 1);
    fs::write(&path, &text).unwrap();
    let host =
        text.replace("\"keys/host-1", "\"keys/r1").replacen("writer = \"host-1\"", "writer = \"r1\"", 1);
    fs::write(world.at().join("r1.toml"), host).unwrap();
    world.ends(&["keys", "maintainer", "new", R1], 0);
    world.ends(&["keys", "maintainer", "add", "r1", R1, OFFICER, IDENTITY], 0);
    world.ends(&["replicate", R1], 0);
    world.ends(&["keys", "bundle", R1], 0);
    world
}

/// The first object of an area, at any depth.
fn first(world: &World, store: &str, area: &str) -> (String, PathBuf) {
    let mut path = world.at().join(store).join(area);
    while path.is_dir() {
        let mut below: Vec<PathBuf> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        below.sort();
        path = below.remove(0);
    }
    let name = path.strip_prefix(world.at().join(store)).unwrap().to_str().unwrap().to_owned();
    (name, path)
}

#[test]
fn repair_says_what_it_would_do_does_it_and_says_what_is_left() {
    let world = copied();
    let repository = "repositories/eu-fra";
    let (pack, path) = first(&world, repository, "packs");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    fs::write(&path, &flipped).unwrap();
    let wrong = |value: &Value| value["regions"][0]["wrong"].clone();

    let planned = json(&world, &["repair", "--from", "replica", "--dry-run", R1], 0);
    assert_eq!((&planned["dry_run"], &wrong(&planned)[0]["from"]), (&true.into(), &"replica".into()));
    assert_eq!(fs::read(&path).unwrap(), flipped, "a plan changes nothing");
    let page = said(&world.ends(&["repair", "--from", "replica", "--dry-run", R1], 0));
    assert!(page.contains("Nothing is done") && page.contains("heals") && page.contains(&pack), "{page}");
    let done = json(&world, &["repair", "--from", "replica", R1], 0);
    assert_eq!((&wrong(&done), &done["dry_run"]), (&wrong(&planned), &false.into()));
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert!(said(&world.ends(&["repair", "--from", "replica", R1], 0)).contains("nothing is damaged"));
    world.ends(&["verify", "--level", "all", IDENTITY], 0);

    // A key that is gone in both places comes out of the bundle, whatever is asked; without one, nothing helps.
    let (key, path) = first(&world, repository, "keys");
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::remove_file(world.at().join("replica").join(&key)).unwrap();
    let (bundle, _) = first(&world, repository, "bundles");
    let planned = json(&world, &["repair", "--from", "replica", "--dry-run", R1], 0);
    assert_eq!(wrong(&planned)[0]["from"], Value::from(bundle.as_str()), "{planned}");
    assert!(!path.exists());
    let done = json(&world, &["repair", R1], 0);
    assert_eq!(
        (&wrong(&done)[0]["object"], &wrong(&done)[0]["from"]),
        (&key.as_str().into(), &bundle.as_str().into())
    );
    assert_eq!(fs::read(&path).unwrap(), whole);
    fs::remove_file(&path).unwrap();
    fs::remove_dir_all(world.at().join(repository).join("bundles")).unwrap();
    let left = json(&world, &["repair", "--from", "replica", R1], 4);
    let why = wrong(&left)[0]["left"].as_str().unwrap_or_default().to_owned();
    assert!(
        why.contains("there is no whole bundle") && why.contains("a replica or a bundle alone"),
        "{left}"
    );
    let page = said(&world.ends(&["repair", R1], 4));
    assert!(page.contains("left") && page.contains("lost for ever"), "{page}");
}

/// The host that backs up is no maintainer: whether the index lacks anything is not known to it, and that is no pass.
#[test]
fn what_could_not_be_marked_is_no_pass() {
    let world = copied();
    world.ends(&["repair"], 0);
    let value = json(&world, &["repair", "index"], 5);
    assert!(value["regions"][0]["unmarked"].is_string(), "{value}");
    let page = said(&world.ends(&["repair", "index"], 5));
    assert!(page.contains("unmarked") && !page.contains("nothing is damaged"), "{page}");
    world.ends(&["repair", "index", R1], 0);
}

/// One region that cannot be reached ends nothing for the others, and what was done in them is told.
#[test]
fn a_region_that_fails_is_told_with_the_others() {
    let world = copied();
    let config = world.at().join("r1.toml");
    let text = fs::read_to_string(&config).unwrap();
    let officers = text.lines().find(|line| line.trim_start().starts_with("officers")).unwrap();
    let lost = format!("\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"nowhere\"\n{officers}\n");
    fs::write(&config, text.clone() + &lost).unwrap();
    fs::create_dir(world.at().join("nowhere")).unwrap();
    for verb in [
        &["gc", "--dry-run", R1][..],
        &["locks", R1],
        &["repair", R1],
        &["retain", "--dry-run", R1, IDENTITY],
    ] {
        let page = said(&world.ends(verb, 7));
        assert!(page.contains("eu-fra") && page.contains("us-dal"), "{verb:?}: {page}");
        let value = json(&world, verb, 7);
        let (regions, failed) = (value["regions"].as_array().unwrap(), &value["unreachable"][0]);
        assert!(regions.len() == 1 && failed["region"] == "us-dal", "{verb:?}: {value}");
    }
    // Alone, its failure is the verb's.
    world.ends(&["locks", "--region", "us-dal", R1], 7);
}

#[test]
fn nothing_is_repaired_from_another_jurisdiction_or_repository() {
    let world = copied();
    let (_, path) = first(&world, "repositories/eu-fra", "packs");
    fs::remove_file(&path).unwrap();
    // The same bytes, at a place that the configuration gives to a region elsewhere.
    let copy =
        std::process::Command::new("cp").args(["-a", "replica", "dallas"]).current_dir(world.at()).status();
    assert!(copy.unwrap().success());
    let config = world.at().join("r1.toml");
    let text = fs::read_to_string(&config).unwrap();
    let dallas = "\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"dallas\"\n";
    fs::write(&config, text.clone() + dallas).unwrap();
    let repair = |from: &str| {
        let arguments = ["repair", "--region", "eu-fra", "--from", from, R1];
        let page = said(&world.ends(&arguments, 7));
        assert!(!path.exists(), "{from}");
        page
    };
    let absolute = world.at().join("dallas");
    for from in ["dallas", "./replica/../dallas", absolute.to_str().unwrap()] {
        let page = repair(from);
        assert!(page.contains("region us-dal (US)") && page.contains("stays in EU"), "{page}");
    }
    // Somebody else's repository, which none of the pinned officers signed.
    let other = World::backed_up();
    let page = repair(other.at().join("repositories/eu-fra").to_str().unwrap());
    assert!(page.contains("none of the officers pinned"), "{page}");
    // Where it may come from, it does.
    fs::write(&config, text).unwrap();
    world.ends(&["repair", "--from", "dallas", R1], 0);
    assert!(path.exists());
}
