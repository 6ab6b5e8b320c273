//! A replica: filled by a maintainer, looked at by whoever reads, and told of where it is old.

use std::fs;

use serde_json::Value;

use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

#[test]
fn a_replica_is_filled_and_read() {
    let world = World::backed_up();
    let said_without = said(&world.ends(&["replicate"], 2));
    assert!(said_without.contains("LB-212"), "{said_without}");
    let path = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    let home = "repository = \"repositories/eu-fra\"";
    let text = text.replacen(home, &format!("replica = \"replica\"\n{home}"), 1);
    fs::write(&path, &text).unwrap();
    // The maintainer's host, which is another.
    let host =
        text.replace("\"keys/host-1", "\"keys/r1").replacen("writer = \"host-1\"", "writer = \"r1\"", 1);
    fs::write(world.at().join("r1.toml"), host).unwrap();
    let at_r1 = |arguments: &[&'static str]| [arguments, &["--config=r1.toml"]].concat();
    world.ends(&at_r1(&["keys", "maintainer", "new"]), 0);
    assert!(said(&world.ends(&at_r1(&["replicate", "--dry-run"]), 7)).contains("not there yet"));
    world.ends(&at_r1(&["replicate"]), 7);
    let replica = world.at().join("replica");
    assert!(!replica.exists(), "who was refused leaves nothing that looks like a replica");
    fs::create_dir(replica).unwrap();
    world.ends(&at_r1(&["keys", "maintainer", "add", "r1", "--officer-key=keys/officer-alice", IDENTITY]), 0);

    assert!(said(&world.ends(&["status"], 0)).contains("the replica could not be looked at"));
    let planned = json(&world, &at_r1(&["replicate", "--dry-run"]), 0);
    assert_eq!(planned["regions"][0]["snapshots"].as_array().map(Vec::len), Some(1), "{planned}");
    let done = json(&world, &at_r1(&["replicate"]), 0);
    let region = &done["regions"][0];
    assert_eq!(region["snapshots"].as_array().map(Vec::len), Some(1), "{done}");
    assert!(
        region["packs"]["objects"].as_u64() > Some(0)
            && region["problems"] == Value::from(Vec::<Value>::new())
    );
    let again = json(&world, &at_r1(&["replicate", "--dry-run"]), 0);
    assert_eq!(
        (&again["regions"][0]["objects"], &again["regions"][0]["snapshots"][0]),
        (&0.into(), &Value::Null)
    );

    // Seals and keys in a bundle, which any tar reads.
    let bundled = json(&world, &at_r1(&["keys", "bundle"]), 0)["regions"][0].clone();
    assert_eq!((&bundled["locked"], &bundled["problems"]), (&Value::Null, &Value::from(Vec::<Value>::new())));
    let listed = json(&world, &["keys", "bundle", "--list"], 0);
    assert_eq!(listed["regions"][0]["bundles"][0]["name"], bundled["bundle"]);
    let stored =
        fs::read(world.at().join("repositories/eu-fra").join(bundled["bundle"].as_str().unwrap())).unwrap();
    let end = b"-----END SSH SIGNATURE-----\n";
    let at = stored.windows(end.len()).position(|window| window == end).unwrap() + end.len();
    fs::write(world.at().join("keys.tar"), &stored[at..]).unwrap();
    let tar =
        std::process::Command::new("tar").args(["-tf", "keys.tar"]).current_dir(world.at()).output().unwrap();
    let names = String::from_utf8(tar.stdout).unwrap();
    assert!(
        tar.status.success() && names.lines().count() as u64 == bundled["objects"].as_u64().unwrap(),
        "{names}"
    );
    let key = names.lines().find(|name| name.starts_with("keys/")).unwrap().to_owned();
    let path = world.at().join("repositories/eu-fra").join(&key);
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    world.ends(&["keys", "bundle", "--extract", &key, "--output", "a.key"], 0);
    assert_eq!(fs::read(world.at().join("a.key")).unwrap(), whole);
    fs::write(&path, whole).unwrap();
    world.ends(&["keys", "bundle", "--extract", "seals/00000099/officers", "--output", "b.key"], 4);

    // The replica expires and collects by its own, by the one who copies; whoever backs up may not.
    let planned = json(&world, &at_r1(&["gc", "--replica", "--dry-run"]), 0);
    assert_eq!(planned["dry_run"], true, "{planned}");
    json(&world, &at_r1(&["gc", "--replica"]), 0);
    world.ends(&["gc", "--replica"], 7);
    let locks = json(&world, &at_r1(&["locks", "--replica"]), 0);
    assert_eq!(locks["regions"][0]["region"], "eu-fra", "{locks}");
    let gc = |store: &str| world.at().join(store).join("gc").exists();
    assert!(!gc("repositories/eu-fra"), "what is collected there is recorded there");

    // The repository is gone: all that reads does so in the replica.
    fs::rename(world.at().join("repositories"), world.at().join("gone")).unwrap();
    let listed = json(&world, &["snapshots", "--replica"], 0);
    assert_eq!(listed["snapshots"][0]["standing"], "counts", "{listed}");
    for verb in [
        &["ls", "chats", "--replica", IDENTITY][..],
        &["cat", "chats", "uploads/acme/hello.txt", "--replica", IDENTITY],
        &["find", "chats", "*hello*", "--replica", IDENTITY],
        &["stats", "--replica", IDENTITY],
        &["verify", "--level", "all", "--replica", IDENTITY],
        &["status", "--replica"],
        &["restore", "chats", "--target", "out", "--replica", IDENTITY],
    ] {
        world.ends(verb, 0);
    }
    assert_eq!(fs::read(world.at().join("out/uploads/acme/hello.txt")).unwrap(), b"hello acme");
    world.ends(&["snapshots"], 7);
    world.ends(&at_r1(&["replicate"]), 7);
}
