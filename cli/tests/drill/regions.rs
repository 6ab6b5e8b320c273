//! A region lost and rehearsed: all of it, from its replica, from the kit alone; and nowhere where something is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::books::follow;
use crate::stranger::stranger;
use crate::world::{DRILL, HEARTBEAT, IDENTITY, OFFICER, World, finished, steps};

#[test]
fn a_lost_region_is_rehearsed_with_every_step() {
    let world = World::new();
    let planned = world.json(&[&["drill", "plan", "region-loss"][..], &IDENTITY].concat(), 0);
    assert_eq!(planned["result"]["pins"].as_array().unwrap().len(), 2);
    assert!(!world.at("rehearsal").exists() && !world.at("drills").exists());
    // The host is lost.
    fs::remove_dir_all(world.at("host")).unwrap();
    fs::remove_dir_all(world.at("data")).unwrap();
    let done = world.json(&[&DRILL[..], &IDENTITY, &OFFICER].concat(), 0);
    let (facts, text) = world.facts(&done["result"]);
    assert_eq!(facts["verdict"], "met", "{facts:#}");
    // Signed by an officer whom the configuration pins, whole, and of this book, configuration and program.
    let directory = done["result"]["evidence"].as_str().unwrap();
    world.ends(&["evidence", "verify", directory], 0);
    world.ends(&["evidence", "verify", directory, "--against-config"], 0);
    assert!(world.at(directory).join("report.html").exists());
    let key = fs::read_to_string(world.at("safe/officer-alice.pub")).unwrap();
    let key: lifeboat_repo::crypto::sign::VerifyingKey = key.trim().parse().unwrap();
    let (held, said) = stranger(&world.at(directory), &key.fingerprint());
    assert!(held && said.ends_with(": met\n"), "{said}");
    // A byte of the report is another.
    let report = world.at(directory).join("report.html");
    let genuine = fs::read_to_string(&report).unwrap();
    fs::write(&report, genuine.replacen("Met", "met", 1)).unwrap();
    assert!(!stranger(&world.at(directory), &key.fingerprint()).0);
    fs::write(&report, genuine).unwrap();
    let simulated = ["declare", "machine", "services", "dns"];
    for (name, what) in steps(&facts) {
        let wanted = match name.as_str() {
            "afterwards" => "skipped",
            name if simulated.contains(&name) => "simulated",
            _ => "ran",
        };
        assert_eq!(what, wanted, "{name}");
    }
    assert!(facts["planted"].as_array().unwrap().iter().all(|one| one["caught_by"].is_string()), "{facts:#}");
    assert_eq!(facts["absent"][0]["absent"], true);
    let components: Vec<&str> =
        facts["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(components, ["identity", "chats"]);
    for component in facts["components"].as_array().unwrap() {
        assert_eq!(component["checks"][0]["outcome"], "passed", "{component:#}");
        assert_eq!(component["rto"]["terms"][0]["basis"], "measured");
        assert!(component["rpo"]["bound"].is_number(), "{component:#}");
    }
    // What people only simulated counts with its planned time: 30 min + 2 h + 3 h + 1 h.
    assert!(facts["projection"]["seconds"].as_f64().unwrap() > 23_400.0);
    assert!(!text.contains("AGE-SECRET-KEY") && !text.contains("PRIVATE KEY"));
    assert!(!world.at("rehearsal").exists(), "the target is cleaned up");
    // Another, with a disruption that is drawn, is listed and compared.
    let more = ["--window", "1s", "--seed", "2026-Q4"];
    world.ends(&[&DRILL[..], &IDENTITY, &more].concat(), 0);
    let listed = world.json(&["drill", "list"], 0);
    let ids: Vec<&str> = listed["result"]["drills"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    let compared = world.json(&["drill", "compare", ids[0], ids[1]], 0);
    assert_eq!(
        compared["result"]["steps"].as_array().unwrap().len(),
        facts["steps"].as_array().unwrap().len()
    );
    assert_eq!(compared["result"]["worse"], false);
}

/// The repository went with the region. Every command of the book looks at the replica, by hand and in a drill.
#[test]
fn a_region_that_is_lost_with_its_repository_comes_back_from_the_replica() {
    let world = World::new();
    for lost in ["host", "data", "repositories"] {
        fs::remove_dir_all(world.at(lost)).unwrap();
    }
    let drill = [&DRILL[..], &IDENTITY].concat();
    world.json(&drill, 7);
    let done = world.json(&[&drill[..], &["--replica"]].concat(), 0);
    let (facts, _) = world.facts(&done["result"]);
    assert_eq!(
        (&facts["verdict"], &facts["repositories"][0]["role"]),
        (&"met".into(), &"replica".into()),
        "{facts:#}"
    );
    assert_eq!(facts["components"][1]["checks"][0]["outcome"], "passed", "{facts:#}");
    // The replica is no target, whichever side is looked at.
    let mut bad = [&drill[..], &["--replica"]].concat();
    bad[8] = "repositories/eu-fra";
    fs::create_dir_all(world.at("repositories/eu-fra")).unwrap();
    assert_eq!(world.json(&bad, 7)["error"]["code"], "LB-730");
    let replica = [("LIFEBOAT_REPLICA", "yes".to_owned())];
    assert_eq!(follow(&world, "region-loss", &replica, &|_| {}).len(), 5);
    assert!(world.at("back/chats/uploads/acme/0.txt").exists());
}

#[test]
fn a_target_that_is_a_source_is_refused_by_whatever_name() {
    let world = World::new();
    symlink(world.at("data"), world.at("link")).unwrap();
    fs::create_dir(world.at("full")).unwrap();
    fs::write(world.at("full/file"), "").unwrap();
    let before = world.everything();
    let bad = [
        "data/chats",
        "data/chats/new",
        "data",
        "link/chats",
        "link",
        "repositories/eu-fra",
        "repositories/eu-fra/new",
        "replicas/eu-fra",
        "host/state",
        "safe",
        ".",
        "full",
    ];
    for target in bad {
        let mut arguments = [&DRILL[..], &IDENTITY].concat();
        arguments[8] = target;
        let said = world.json(&arguments, 7);
        assert_eq!(said["error"]["code"], "LB-730", "{target}: {said}");
    }
    // Nor does evidence lie where everything is removed in the end.
    let inside = world.json(&[&DRILL[..], &IDENTITY, &["--out", "rehearsal/drills"]].concat(), 7);
    assert_eq!(inside["error"]["code"], "LB-730", "{inside}");
    assert_eq!(before, world.everything(), "something was written or removed");
    assert!(!world.at("drills").exists(), "nothing is begun");
    assert!(!world.at("data/chats/new").exists() && !world.at("data/new").exists());
    // A bind mount has another path, and another mount of the repository is known by its id.
    let script = "mkdir other mnt && mount --bind data other && mount --bind repositories mnt && exec \"$0\" drill run region-loss \
                  --target \"$1\" --identity safe/recovery-eu-fra.txt --json";
    let known = [
        ("other/chats", "by another name is"),
        ("other", "by another name holds"),
        ("mnt/eu-fra/new", "by another name is, or lies within,"),
    ];
    for (target, by) in known {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-ec", script, env!("CARGO_BIN_EXE_lifeboat"), target]);
        let output = unshare.current_dir(world.directory.path()).env("USER", "alice").output().unwrap();
        let said = finished(&output, target, 7);
        assert!(said.contains("LB-730") && said.contains(by), "{said}");
        fs::remove_dir(world.at("other")).unwrap();
        fs::remove_dir(world.at("mnt")).unwrap();
    }
}

#[test]
fn a_drill_starts_from_the_recovery_kit_alone() {
    let world = World::with(HEARTBEAT);
    fs::write(world.at("own.md"), "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: 0 failed steps\n---\n# Of our own\n\n```sh {\"name\":\"look\",\"timeout\":\"1h\",\"phase\":\"check\"}\nlifeboat snapshots\n```\n").unwrap();
    let told = world.ends(&["kit", "--out", "kit", "--book", "own.md"], 0);
    let start = fs::read_to_string(world.at("kit/START-HERE.md")).unwrap();
    assert!(
        start.contains("- `books/own.md`: Of our own\n") && start.contains("- `books/region-loss.md`: "),
        "{start}"
    );
    assert!(told.contains("no secret"), "{told}");
    assert_eq!(world.json(&["kit", "--out", "kit"], 7)["error"]["code"], "LB-707");
    let sums = Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(world.at("kit"))
        .status()
        .unwrap();
    assert!(sums.success());
    let mut waiting = vec![world.at("kit")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if !path.ends_with("bin/lifeboat") {
                let text = fs::read_to_string(&path).unwrap();
                for secret in ["AGE-SECRET-KEY-1Q", "BEGIN OPENSSH PRIVATE KEY-----\n", "host/keys"] {
                    assert!(!text.contains(secret), "{}: {secret}", path.display());
                }
            }
        }
    }
    // In a mount namespace of its own: nothing of the host, its configuration or the sources is there any more; the
    // repository can only be read. Only kit and safe are at hand.
    let script = r#"
        cp -r kit safe /mnt/
        mount -o bind,ro repositories repositories
        mount -t tmpfs tmpfs data && mount -t tmpfs tmpfs host && mount -t tmpfs tmpfs kit && mount -t tmpfs tmpfs safe
        mount --bind /dev/null lifeboat.toml
        mount -t tmpfs tmpfs "$1"
        cd /mnt/kit
        export PATH="$PWD/bin:/usr/bin:/bin" LIFEBOAT_CONFIG="$PWD/lifeboat.toml" LIFEBOAT_IDENTITY=/mnt/safe/recovery-eu-fra.txt
        sha256sum -c --quiet SHA256SUMS
        lifeboat drill check books/*.md
        lifeboat drill run books/region-loss.md --target /mnt/rehearsal --erased canary --json
        cat drills/*/evidence.json
    "#;
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-ec", &format!("mount -t tmpfs tmpfs /mnt\n{script}"), "kit"]).arg(checkout);
    let output = unshare
        .current_dir(world.directory.path())
        .env_clear()
        .env("USER", "alice")
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    let said = finished(&output, "drill from the kit", 0);
    let text = said.get(said.find("{\n").unwrap()..).unwrap();
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(values[0]["result"]["verdict"], "met", "{said}");
    let chats = &values[1]["components"][1]["rpo"];
    assert!(chats["note"].as_str().unwrap().starts_with("by its heartbeats"), "{chats}");
}

/// A drill is of one region. How long all of them take is told once each has had its own, and until then who lacks one.
#[test]
fn regions_are_put_together_once_each_had_its_drill() {
    let part = |name: &str| {
        format!(
            "[components.{name}]\nregion = \"us-dal\"\npath = \"data/identity\"\nsystem = \"users of all\"\n"
        )
    };
    let region =
        "\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"repositories/us-dal\"\n".to_owned();
    let world = World::with(&[region, part("users"), part("more-users")].concat());
    let rehearsed = || {
        let identities = [&IDENTITY[..], &["--identity", "safe/recovery-us-dal.txt"]].concat();
        let status = [&["status"][..], &identities].concat();
        let value = world.json(&status, 0)["result"].clone();
        (value["rehearsed"].clone(), value["ready"]["reasons"].to_string(), world.ends(&status, 0))
    };
    let eu = [&DRILL[..], &IDENTITY, &OFFICER, &["--region", "eu-fra"]].concat();
    world.ends(&eu, 0);
    let (all, why, _) = rehearsed();
    assert!(all["seconds"].is_null() && all["lacking"][0]["region"] == "us-dal", "{all}");
    assert!(why.contains("(us-dal: no drill was ever of all of it)"), "{why}");
    // Nobody was ever erased there: no pass, and yet it says how long it took.
    let us = ["drill", "run", "region-loss", "--region", "us-dal", "--target", "rehearsal"];
    let done = world.json(&[&us[..], &["--identity", "safe/recovery-us-dal.txt"], &OFFICER].concat(), 5);
    // What another region took says nothing of this one.
    assert_eq!(world.facts(&done["result"]).0["history"], Value::Array(Vec::new()));
    let (all, why, page) = rehearsed();
    let own = |at: usize| all["drills"][at]["seconds"].as_f64().unwrap();
    assert!((all["seconds"].as_f64().unwrap() - own(0) - own(1)).abs() < 0.01, "{all}");
    assert!(page.contains("all regions, one after another: 13 h by drills"), "{page}");
    assert!(!why.contains("all regions"), "{why}");
}
