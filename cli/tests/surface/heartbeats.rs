//! Heartbeats end to end: written, backed up, restored, and read for what was lost.

use std::fs;

use serde_json::Value;

use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const LATEST: &str = "--snapshot=latest";

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

#[test]
fn a_copy_shows_what_it_lost() {
    let world = World::with(
        "\n[components.chats.heartbeat]\ntenants = 2\ncount = \"echo acme 5; echo globex 7\"\ncount_every = \"1s\"\n",
    );
    let beat = |code| json(&world, &["heartbeat"], code)["regions"][0].clone();
    let first = beat(0);
    let one = &first["components"][0];
    assert_eq!((&one["seq"], &one["tenants"], &one["counted"]), (&1.into(), &2.into(), &2.into()), "{first}");
    assert!(first["logged"].as_str().unwrap().starts_with("heartbeats/host-1/"));
    beat(0);
    world.ends(&["backup", "--all"], 0);
    assert_eq!(beat(0)["components"][0]["seq"], 3);
    world.ends(&["restore", "chats", "--target", "out", IDENTITY], 0);

    fs::write(world.at().join("counts"), "acme 3\nglobex 7\n").unwrap();
    let check =
        ["heartbeat", "chats", "--check", "out", "--snapshot", "latest", "--counts", "counts", IDENTITY];
    let found = json(&world, &check, 0)["losses"][0].clone();
    let number = |name: &str| found[name].as_f64().unwrap();
    assert!(number("low") < number("bound") && number("bound") < 600.0, "{found}");
    assert_eq!((&found["seq"], &found["holes"]), (&2.into(), &0.into()), "{found}");
    let lost: Vec<u64> =
        found["lost"].as_array().unwrap().iter().filter_map(|one| one["records"].as_u64()).collect();
    assert_eq!(lost.iter().sum::<u64>(), 2, "{found}");
    // Of which snapshot it is a copy nobody can see in it.
    let unknown = json(&world, &["heartbeat", "chats", "--check", "out", IDENTITY], 5)["losses"][0].clone();
    assert_eq!((&unknown["bound"], &unknown["proven"]), (&Value::Null, &Value::Null), "{unknown}");
    assert!(unknown["note"].as_str().unwrap().contains("of which snapshot"), "{unknown}");
    let none = world.ends(&["heartbeat", "chats", "--check", "out", "--snapshot", "1999", IDENTITY], 2);
    assert!(said(&none).contains("no snapshot 1999"));
    // In a sample of everything the same is read.
    let verified = json(&world, &["verify", "--level", "objective", IDENTITY], 0);
    let loss = &verified["checks"][0]["components"][0]["loss"];
    assert_eq!((&loss["seq"], &loss["verdict"]), (&2.into(), &"met".into()), "{verified}");
    let status = json(&world, &["status"], 0);
    assert_eq!(status["whole"]["projection"]["verdict"], "met", "{status}");

    // A record in the middle is gone.
    beat(0);
    world.ends(&["backup", "--all"], 0);
    world.ends(&["restore", "chats", "--target", "later", IDENTITY], 0);
    let records = world.at().join("later/.lifeboat-heartbeat");
    let lines = fs::read_to_string(&records).unwrap();
    let kept: Vec<&str> = lines.lines().filter(|line| !line.contains("\"seq\":2,")).collect();
    fs::write(&records, kept.join("\n")).unwrap();
    let found =
        json(&world, &["heartbeat", "chats", "--check", "later", LATEST, IDENTITY], 6)["losses"][0].clone();
    assert_eq!((&found["holes"], &found["seq"]), (&1.into(), &1.into()), "{found}");
    // What a tenant puts in the place of its records is neither followed nor waited for.
    for tenant in ["acme", "globex"] {
        let place = world.at().join("later/uploads").join(tenant).join(".lifeboat-heartbeat");
        fs::remove_file(&place).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
    }
    json(&world, &["heartbeat", "chats", "--check", "later", LATEST, IDENTITY], 6);
    // One that nobody wrote says nothing, and no record at all is no answer.
    fs::write(&records, lines.lines().next().unwrap().replace("\"seq\":1,", "\"seq\":9,")).unwrap();
    let tree = world.at().join("later/uploads");
    fs::remove_dir_all(tree).unwrap();
    let found =
        json(&world, &["heartbeat", "chats", "--check", "later", LATEST, IDENTITY], 5)["losses"][0].clone();
    assert_eq!((&found["bound"], &found["strange"]), (&Value::Null, &1.into()), "{found}");

    // Out of reach, the record is written all the same, and logged with the next.
    let (here, away) = (world.at().join("repositories"), world.at().join("away"));
    fs::rename(&here, &away).unwrap();
    let apart = beat(3);
    assert_eq!((&apart["components"][0]["seq"], &apart["logged"]), (&5.into(), &Value::Null), "{apart}");
    fs::rename(&away, &here).unwrap();
    beat(0);
    world.ends(&["backup", "--all"], 0);
    world.ends(&["restore", "chats", "--target", "last", IDENTITY], 0);
    let found =
        json(&world, &["heartbeat", "chats", "--check", "last", LATEST, IDENTITY], 0)["losses"][0].clone();
    assert_eq!((&found["holes"], &found["seq"]), (&0.into(), &6.into()), "{found}");
    world.ends(&["verify", "--level", "integrity"], 0);
}

#[test]
fn records_that_are_handed_over_have_an_end() {
    let world = World::with("\n[components.chats.heartbeat]\n");
    world.ends(&["heartbeat"], 0);
    world.ends(&["backup", "--all"], 0);
    let records = world.at().join("records");
    fs::copy(world.at().join("data/chats/.lifeboat-heartbeat"), &records).unwrap();
    let check = ["heartbeat", "chats", "--check", "records", LATEST, IDENTITY];
    assert_eq!(json(&world, &check, 0)["losses"][0]["seq"], 1);
    fs::File::options().append(true).open(&records).unwrap().set_len((64 << 20) + 1).unwrap();
    let said = said(&world.ends(&check, 2));
    assert!(said.contains("longer than 67.1 MB") && said.contains("tail -n"), "{said}");
}

#[test]
fn one_region_or_component_that_fails_hides_nothing_of_the_others() {
    let world = World::with(
        "\n[components.chats.heartbeat]\n\n[regions.aa-gone]\njurisdiction = \"EU\"\nrepository = \"repositories/aa-gone\"\n\n\
         [components.crm]\nregion = \"aa-gone\"\npath = \"data/crm\"\nsystem = \"a test\"\n\n\
         [components.crm.heartbeat]\n",
    );
    fs::create_dir_all(world.at().join("data/crm")).unwrap();
    let (here, away) = (world.at().join("repositories/aa-gone"), world.at().join("away"));
    fs::rename(&here, &away).unwrap();
    let beat = json(&world, &["heartbeat"], 1);
    assert_eq!(beat["failures"][0]["region"], "aa-gone", "{beat}");
    assert_eq!(beat["failures"][0]["error"]["code"], "LB-113", "{beat}");
    assert_eq!(beat["regions"][0]["components"][0]["seq"], 1, "{beat}");
    fs::rename(&away, &here).unwrap();
    json(&world, &["heartbeat"], 0);
    world.ends(&["backup", "--all"], 0);

    let identities = [IDENTITY, "--identity=keys/recovery-aa-gone.txt"];
    let check = |more: &[&str], code| {
        world.ends(&[&["heartbeat", "--check", "data", "--json"], &identities[..], more].concat(), code)
    };
    let value = |output: std::process::Output| -> Value {
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        crate::json::documented(&value);
        value["result"].clone()
    };
    let all = value(check(&[LATEST], 5));
    assert_eq!((&all["losses"][0]["seq"], &all["losses"][1]["seq"]), (&2.into(), &1.into()), "{all}");
    // What is counted or restored of one says nothing of another.
    fs::write(world.at().join("counts"), "acme 3\n").unwrap();
    let wrong = world
        .ends(&[&["heartbeat", "--check", "data", LATEST, "--counts=counts"], &identities[..]].concat(), 2);
    assert!(said(&wrong).contains("--counts does not say of which component"), "{}", said(&wrong));
    let told = value(check(&[LATEST, "--counts=chats=counts"], 5));
    assert_eq!(told["losses"].as_array().unwrap().len(), 2, "{told}");
    fs::rename(world.at().join("data/crm"), world.at().join("data/gone")).unwrap();
    let part = value(check(&[LATEST], 1));
    assert_eq!((&part["failures"][0]["component"], &part["cut"]), (&"crm".into(), &Value::Null), "{part}");
    assert_eq!(part["losses"][0]["component"], "chats", "{part}");
}

#[test]
fn without_a_section_there_is_no_heartbeat() {
    let world = World::new();
    assert!(said(&world.ends(&["heartbeat"], 2)).contains("LB-213"));
    let path = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    for (bad, why) in [
        ("file = \"../x\"", "below the component's path"),
        ("file = \"x\"\nwrite = \"true\"", "not both"),
        ("tenants = -1", "0 to 1000"),
        ("every = \"1m\"", "unknown field"),
    ] {
        fs::write(&path, format!("{text}\n[components.chats.heartbeat]\n{bad}\n")).unwrap();
        let said = said(&world.ends(&["heartbeat"], 2));
        assert!(said.contains(why), "{bad}: {said}");
    }
}
