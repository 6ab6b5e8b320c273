//! What somebody meets who uses the program for the first time, or on the worst day.

use std::fs;

use serde_json::Value;

use crate::world::{World, said};

fn json(world: &World, arguments: &[&str], code: i32) -> Value {
    let output = world.ends(&[arguments, &["--json"]].concat(), code);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    crate::json::documented(&value);
    value["result"].clone()
}

/// Replaces text of the configuration.
fn edit(world: &World, from: &str, to: &str) {
    let path = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in the configuration");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_name_that_no_tenant_can_have_makes_a_backup_partly_done() {
    let world = World::backed_up();
    for path in ["Acme", "lost+found"] {
        fs::create_dir(world.at().join("data/chats/uploads").join(path)).unwrap();
    }
    let page = said(&world.ends(&["backup", "chats"], 3));
    assert!(page.contains("uploads/Acme") && page.contains("uploads/lost+found"), "{page}");
    assert!(page.contains("not_tenants"), "{page}");
    let page = said(&world.ends(&["status"], 3));
    assert!(page.contains("partial: 2 of no declared tenant;"), "{page}");
    let tenants = "tenants = [\"uploads/{tenant}\"]";
    edit(&world, tenants, &format!("{tenants}\nnot_tenants = [\"uploads/lost+found\"]"));
    let value = json(&world, &["backup", "chats"], 3);
    let problems = value["components"][0]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{value}");
    assert_eq!(
        (problems[0]["path"].as_str(), problems[0]["kind"].as_str()),
        (Some("uploads/Acme"), Some("misnamed"))
    );
    fs::remove_dir(world.at().join("data/chats/uploads/Acme")).unwrap();
    world.ends(&["backup", "chats"], 0);
    edit(&world, "uploads/lost+found", "../lost+found");
    let page = said(&world.ends(&["backup", "chats"], 2));
    assert!(page.contains("line "), "{page}");
}

const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";
const OFFICER: &str = "--officer-key=keys/officer-alice";
const KEEPER: &str = "--config=keeper.toml";

#[test]
fn a_tenant_of_whom_nothing_is_known_is_not_erased_unless_that_is_meant() {
    let world = World::backed_up();
    let erase = |who: &str, more: &[&str], code: i32| {
        let arguments =
            [&["erase", who, "--region", "eu-fra", "--irrevocably", OFFICER, IDENTITY], more].concat();
        said(&world.ends(&arguments, code))
    };
    for more in [&["--dry-run"][..], &[]] {
        let page = erase("acmee", more, 7);
        assert!(page.contains("LB-721") && page.contains("there are acme, globex"), "{page}");
    }
    assert!(!world.at().join("repositories/eu-fra/erasures").exists());
    let page = erase("acmee", &["--in-advance"], 0);
    assert!(
        !page.contains("beyond recovery") && page.contains("0 keys") && !page.contains("--prove"),
        "{page}"
    );
    fs::create_dir(world.at().join("data/chats/uploads/acmee")).unwrap();
    let page = said(&world.ends(&["backup", "chats"], 3));
    assert!(page.contains("of tenants that officers erased; not taken: - uploads/acmee"), "{page}");
    // Whose tombstone is to be proven: its own, not the newest of all.
    erase("globex", &[], 0);
    erase("acme", &[], 0);
    let page = erase("globex", &[], 7);
    assert!(page.contains("erased already") && page.contains("--sweep"), "{page}");
    assert!(page.contains("--prove 1") && !page.contains("--prove 2"), "{page}");
}

#[test]
fn a_repository_that_is_out_of_reach_is_not_made_anew() {
    let world = World::backed_up();
    let at = |path: &str| world.at().join(path);
    fs::create_dir(at("safe")).unwrap();
    fs::rename(at("keys/recovery-eu-fra.txt"), at("safe/recovery-eu-fra.txt")).unwrap();
    fs::rename(at("repositories/eu-fra"), at("not-mounted")).unwrap();
    let page = said(&world.ends(&["backup", "chats"], 7));
    assert!(page.contains("LB-703") && page.contains("only where there never was one"), "{page}");
    let init = ["init", OFFICER, "--identity=safe/recovery-eu-fra.txt"];
    for more in [&["--dry-run"][..], &[]] {
        let page = said(&world.ends(&[&init[..], more].concat(), 7));
        assert!(page.contains("LB-703") && page.contains("--anew"), "{page}");
    }
    assert!(!at("repositories/eu-fra").exists() && !at("keys/recovery-eu-fra.txt").exists());

    // Said so, it is made, and whoever opened the one before opens it.
    world.ends(&[&init[..], &["--anew"]].concat(), 0);
    assert!(!at("keys/recovery-eu-fra.txt").exists());
    world.ends(&["backup", "chats"], 0);
    world.ends(&["keys", "check", "--identity=safe/recovery-eu-fra.txt"], 0);

    // With no identity at hand one is made, under a name that none before had.
    fs::remove_dir_all(at("repositories/eu-fra")).unwrap();
    world.ends(&["init", OFFICER, "--anew"], 0);
    let names = fs::read_dir(at("keys")).unwrap().map(|entry| entry.unwrap().file_name());
    let made: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("recovery-")).collect();
    assert_eq!(made.len(), 1);
    assert!(made[0].to_string_lossy().starts_with("recovery-eu-fra-20"), "{made:?}");
    world.ends(&["backup", "chats"], 0);
}

#[test]
fn the_newest_snapshot_that_somebody_deleted_is_missed() {
    let world = World::backed_up();
    fs::write(world.at().join("data/chats/new"), "new").unwrap();
    let value = json(&world, &["backup", "chats"], 0);
    let run = value["components"][0]["run"].as_str().unwrap().to_owned();
    let object = world.at().join("repositories/eu-fra/snapshots/chats").join(&run);
    let bytes = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    for (arguments, code) in [
        (&["snapshots"][..], 4),
        (&["status"], 4),
        (&["doctor", "--passive"], 4),
        (&["restore", "chats", "--target", "out", IDENTITY], 0),
        (&["restore", "--region", "eu-fra", "--target", "region", IDENTITY], 0),
    ] {
        let page = said(&world.ends(arguments, code));
        assert!(page.contains(&run) && page.contains("its object is gone"), "{arguments:?}: {page}");
    }
    fs::write(&object, bytes).unwrap();
    world.ends(&["snapshots"], 0);
    world.ends(&["status"], 0);
}

#[test]
fn a_region_out_of_reach_hides_no_other() {
    let world = World::with(
        "\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"repositories/us-dal\"\n\n[components.crm]\n\
         region = \"us-dal\"\npath = \"data/crm\"\nsystem = \"ours\"\n",
    );
    fs::create_dir_all(world.at().join("data/crm")).unwrap();
    fs::write(world.at().join("data/crm/rows"), "rows").unwrap();
    world.ends(&["backup", "--all"], 0);
    let text = fs::read_to_string(world.at().join("lifeboat.toml")).unwrap();
    fs::write(world.at().join("keeper.toml"), text.replace("host-1", "keeper-1")).unwrap();
    world.ends(&["keys", "maintainer", "new", KEEPER], 0);
    let add = ["keys", "maintainer", "add", "keeper-1", KEEPER, OFFICER, IDENTITY];
    world.ends(&[&add[..], &["--identity=keys/recovery-us-dal.txt"]].concat(), 0);
    fs::rename(world.at().join("repositories/us-dal"), world.at().join("not-mounted")).unwrap();
    for arguments in [
        &["snapshots"][..],
        &["stats"],
        &["locks"],
        &["retain", "--dry-run", KEEPER],
        &["gc", "--dry-run", KEEPER],
        &["repair", "--dry-run", KEEPER],
        &["keys", "writer", "list"],
        &["keys", "paper"],
        &["keys", "bundle", KEEPER],
        &["keys", "reseal", "--dry-run", OFFICER, IDENTITY],
    ] {
        let page = said(&world.ends(arguments, 7));
        assert!(
            page.contains("eu-fra") && page.contains("us-dal: there is no repository"),
            "{arguments:?}: {page}"
        );
        let value = json(&world, arguments, 7);
        assert_eq!(value["unreachable"][0]["region"], "us-dal", "{arguments:?}: {value}");
        assert_eq!(value["unreachable"][0]["error"]["code"], "LB-703", "{value}");
    }
    // Where nothing is in reach, each is told.
    fs::rename(world.at().join("repositories/eu-fra"), world.at().join("neither")).unwrap();
    let page = said(&world.ends(&["snapshots"], 7));
    assert!(
        page.contains("eu-fra: there is no repository") && page.contains("us-dal: there is no"),
        "{page}"
    );
    assert_eq!(json(&world, &["snapshots"], 7)["unreachable"].as_array().unwrap().len(), 2);
    fs::rename(world.at().join("neither"), world.at().join("repositories/eu-fra")).unwrap();
    // Whoever asks for what is there is told of nothing else.
    world.ends(&["snapshots", "chats"], 0);
    world.ends(&["snapshots", "crm"], 7);
    // One region without a replica keeps the other's from nothing.
    edit(
        &world,
        "repository = \"repositories/eu-fra\"",
        "repository = \"repositories/eu-fra\"\nreplica = \"replica\"",
    );
    let page = said(&world.ends(&["snapshots", "--replica"], 7));
    assert!(page.contains("LB-703") && !page.contains("LB-212"), "{page}");
}

#[test]
fn doctor_looks_at_the_others_and_knows_a_maintainer() {
    let world = World::backed_up();
    world.ends(&["keys", "maintainer", "new", KEEPER], 0);
    world.ends(&["keys", "maintainer", "add", "keeper-1", KEEPER, OFFICER, IDENTITY], 0);
    let page = said(&world.ends(&["doctor", "--passive", KEEPER], 0));
    assert!(page.contains("keeper-1) is a maintainer here") && !page.contains("keys writer add"), "{page}");
    let repository = "repository = \"repositories/eu-fra\"";
    edit(
        &world,
        repository,
        &format!("{repository}\nreplica = \"replica\"\nwitness = \"away/deep/witness\""),
    );
    let page = said(&world.ends(&["doctor", "--passive"], 5));
    assert!(page.contains("the replica is not there yet") && page.contains("lifeboat replicate"), "{page}");
    assert!(
        page.contains("away/deep/witness") && page.contains("make the directory it is to lie in"),
        "{page}"
    );
    fs::create_dir_all(world.at().join("away/deep")).unwrap();
    let page = said(&world.ends(&["doctor", "--passive"], 0));
    assert!(page.contains("the witness is not there yet") && !page.contains("All is well"), "{page}");
    world.ends(&["backup", "chats"], 0);
    let page = said(&world.ends(&["doctor", "--passive"], 0));
    assert!(page.contains("freshness proven"), "{page}");
}

#[test]
fn what_is_in_the_way_is_never_overwritten() {
    let world = World::backed_up();
    fs::write(world.at().join("mine"), "mine").unwrap();
    let cat = ["cat", "chats", "uploads/acme/hello.txt", "--output", "mine", IDENTITY];
    let extract = ["keys", "bundle", "--extract", "seals/00000001/officers", "--output", "mine"];
    for arguments in [&cat[..], &extract] {
        let page = said(&world.ends(arguments, 7));
        assert!(page.contains("LB-707"), "{page}");
    }
    assert_eq!(fs::read_to_string(world.at().join("mine")).unwrap(), "mine");
}

#[test]
fn what_looks_like_a_disk_that_is_not_mounted_is_told() {
    let world = World::backed_up();
    // Packs that are gone are missed by whoever stored them.
    fs::remove_dir_all(world.at().join("repositories/eu-fra/packs")).unwrap();
    let page = said(&world.ends(&["backup", "chats"], 0));
    assert!(page.contains("is missing or of another length") && page.contains("lifeboat verify"), "{page}");
    world.ends(&["verify", "--level", "inventory"], 0);
    fs::rename(world.at().join("data/chats"), world.at().join("data/away")).unwrap();
    fs::create_dir(world.at().join("data/chats")).unwrap();
    for _ in 0..2 {
        let page = said(&world.ends(&["backup", "chats"], 3));
        assert!(page.contains("tree without anything in it") && page.contains("allow_empty"), "{page}");
    }
    let tenants = "tenants = [\"uploads/{tenant}\"]";
    edit(&world, tenants, &format!("{tenants}\nallow_empty = true"));
    world.ends(&["backup", "chats"], 0);
}

#[test]
fn next_steps_are_those_that_work() {
    let world = World::backed_up();
    let page = said(&world.ends(&["gc"], 7));
    assert!(
        page.contains("no maintainer here but a writer") && !page.contains("keys maintainer add"),
        "{page}"
    );
    let page = said(&world.ends(&["ls", "chats", "nothere", IDENTITY], 7));
    assert!(page.contains("it holds nothing at nothere"), "{page}");
    world.ends(&["ls", "chats", "uploads/acme", IDENTITY], 0);
    fs::rename(world.at().join("keys/host-1"), world.at().join("lost")).unwrap();
    let page = said(&world.ends(&["backup", "chats"], 2));
    assert!(page.contains("LB-208") && page.contains("give `writer` in [host] another name first"), "{page}");
    fs::rename(world.at().join("lost"), world.at().join("keys/host-1")).unwrap();
    // Somebody else's officer is pinned.
    let text = fs::read_to_string(world.at().join("lifeboat.toml")).unwrap();
    let public = fs::read_to_string(world.at().join("keys/host-1.pub"));
    if let Ok(public) = public {
        let own = fs::read_to_string(world.at().join("keys/officer-alice.pub")).unwrap();
        let key = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        fs::write(world.at().join("lifeboat.toml"), text.replace(&key(&own), &key(&public))).unwrap();
        let page = said(&world.ends(&["snapshots"], 7));
        assert!(page.contains("treat it as an attack") && !page.contains("pin that"), "{page}");
    }
}
