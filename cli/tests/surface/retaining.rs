//! `retain` by the program: what it says it would expire, it expires, once.

use crate::world::{World, said};

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const OFFICER: &str = "--officer-key=keys/officer-alice";

#[test]
fn what_retain_says_it_records_once() {
    let world = World::with(
        "\n[components.chats.keep]\nlast = 1\nminimum_age = \"0s\"\n[tenants.acme]\nkeep = \"90d\"\n",
    );
    for _ in 0..3 {
        world.ends(&["backup", "--all"], 0);
    }
    // Without a recovery identity nobody can tell whose keys are whose.
    let output = world.ends(&["retain", "--dry-run"], 3);
    assert!(said(&output).contains("2 snapshots would expire; nothing was done"), "{}", said(&output));
    assert!(said(&output).contains("kept: 1st of the last 1; the newest complete one"), "{}", said(&output));
    world.ends(&["retain", "--dry-run", IDENTITY], 0);
    // The host that backs up is no maintainer.
    world.ends(&["retain", IDENTITY], 7);
    let text = std::fs::read_to_string(world.at().join("lifeboat.toml")).unwrap().replace("host-1", "m1");
    std::fs::write(world.at().join("m1.toml"), text).unwrap();
    world.ends(&["keys", "maintainer", "new", "--config", "m1.toml"], 0);
    world.ends(&["keys", "maintainer", "add", "m1", "--config", "m1.toml", OFFICER, IDENTITY], 0);
    let output = world.ends(&["retain", "--config", "m1.toml", IDENTITY], 0);
    assert!(said(&output).contains("2 snapshots expired, by gc/00000000"), "{}", said(&output));
    let output = world.ends(&["retain", "--config", "m1.toml", IDENTITY], 0);
    assert!(said(&output).contains("nothing expires"), "{}", said(&output));
    let output = world.ends(&["snapshots", "--json"], 0);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["result"]["snapshots"].as_array().unwrap().len(), 1);
}

/// Nobody can tell what a snapshot needs that cannot be read: nothing is collected until it expires by its name.
#[test]
fn what_cannot_be_read_expires_by_its_name() {
    let world = World::with("\n[components.chats.keep]\nlast = 9\n");
    for _ in 0..3 {
        world.ends(&["backup", "--all"], 0);
    }
    let text = std::fs::read_to_string(world.at().join("lifeboat.toml")).unwrap().replace("host-1", "m1");
    std::fs::write(world.at().join("m1.toml"), text).unwrap();
    world.ends(&["keys", "maintainer", "new", "--config", "m1.toml"], 0);
    world.ends(&["keys", "maintainer", "add", "m1", "--config", "m1.toml", OFFICER, IDENTITY], 0);
    let below = world.at().join("repositories/eu-fra/snapshots/chats");
    let mut names: Vec<String> = std::fs::read_dir(&below)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let m1 = ["--config", "m1.toml"];
    let retain = |name: &str, exit| {
        said(&world.ends(&[&["retain", "chats", "--snapshot", name][..], &m1].concat(), exit))
    };
    std::fs::write(below.join(&names[0]), "spoilt").unwrap();
    let told = said(&world.ends(&[&["gc"][..], &m1].concat(), 4));
    assert!(told.contains("retain COMPONENT --snapshot SNAPSHOT"), "{told}");
    assert!(retain(&names[0], 0).contains("1 snapshot expired, by gc/00000000"));
    world.ends(&[&["gc"][..], &m1].concat(), 0);
    // One that is gone, too; once, and never the newest.
    std::fs::remove_file(below.join(&names[1])).unwrap();
    retain(&names[1], 0);
    retain(&names[0], 7);
    assert!(retain(&names[2], 7).contains("always kept"));
    retain("2026nothere", 2);
    world.ends(&["retain", "--snapshot", &names[2], "--config", "m1.toml"], 2);
    world.ends(&["verify", "--level", "inventory"], 0);
    // Records belong to one store. Of a damaged one all is told that can be done, and whoever only reads goes on.
    let record = world.at().join("repositories/eu-fra/gc/00000000");
    std::fs::write(&record, "spoilt").unwrap();
    world.ends(&["restore", "chats", "--target=back", IDENTITY], 0);
    let told = said(&world.ends(&["snapshots"], 4));
    assert!(told.contains("complete") && told.contains("void"), "{told}");
    let told = said(&world.ends(&["backup", "chats"], 4));
    assert!(told.contains("LB-402") && told.contains("whatever only reads passes over it"), "{told}");
    std::fs::remove_file(&record).unwrap();
    world.ends(&["backup", "chats"], 0);
    // What the record had expired is missed, and expires again.
    world.ends(&["verify", "--level", "inventory"], 4);
    retain(&names[0], 0);
    world.ends(&["verify", "--level", "inventory"], 0);
}

/// What is erased stays in the lists of older snapshots; nobody trips over it.
#[test]
fn an_erased_tenant_is_in_nobodys_way() {
    let world = World::with("\n[components.chats.keep]\nlast = 9\n[tenants.acme]\nkeep = \"90d\"\n");
    world.ends(&["backup", "--all"], 0);
    world.ends(&["erase", "globex", "--region", "eu-fra", "--irrevocably", OFFICER, IDENTITY], 0);
    for verb in [&["retain", "--dry-run", IDENTITY][..], &["stats", IDENTITY], &["keys", "check", IDENTITY]] {
        world.ends(verb, 0);
    }
    let said = said(&world.ends(&["stats", IDENTITY], 0));
    assert!(said.contains("acme") && !said.contains("globex"), "{said}");
}
