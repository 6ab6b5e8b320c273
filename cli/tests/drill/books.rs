//! Every command of every book, as a person types it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::world::{IDENTITY, OFFICER, World, finished};

/// Runs every script of a book in order, as a person types them, in a drill or not; but for those that a test replaces.
pub(crate) fn follow(
    world: &World,
    book: &str,
    values: &[(&str, String)],
    special: &dyn Fn(&str),
) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runbooks/books").join(format!("{book}.md"));
    let text = fs::read_to_string(path).unwrap();
    let mut done = BTreeSet::new();
    let mut blocks = text.split("\n```sh {").skip(1);
    for block in blocks.by_ref() {
        let (info, rest) = block.split_once('\n').unwrap();
        let script = rest.split("\n```").next().unwrap();
        let info: Value = serde_json::from_str(&format!("{{{info}")).unwrap();
        let name = info["name"].as_str().unwrap();
        special(name);
        if info["mode"] == "manual" {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", script]).current_dir(world.directory.path()).env_clear();
        let bin = Path::new(env!("CARGO_BIN_EXE_lifeboat")).parent().unwrap();
        shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("USER", "alice");
        shell.env("LIFEBOAT_IDENTITY", world.at("safe/recovery-eu-fra.txt"));
        shell.env("LIFEBOAT_OFFICER_KEY", world.at("safe/officer-alice"));
        shell.env("REGION", "eu-fra").env("AT", "now").env("TARGET", world.at("back"));
        shell.envs(values.iter().map(|(name, value)| (name, value)));
        finished(&shell.output().unwrap(), &format!("{book}: {name}\n{script}"), 0);
        done.insert(name.to_owned());
    }
    done
}

#[test]
fn every_command_of_the_books_about_data_does_what_it_says() {
    let world = World::new();
    let nothing = |_: &str| {};
    assert_eq!(follow(&world, "region-loss", &[], &nothing).len(), 5);
    assert_eq!(fs::read_to_string(world.at("back/chats/uploads/acme/new.txt")).unwrap(), "new");
    fs::remove_dir_all(world.at("back")).unwrap();
    let component = [("COMPONENT", "chats".to_owned())];
    assert_eq!(follow(&world, "database-corruption", &component, &nothing).len(), 5);
    fs::remove_dir_all(world.at("back")).unwrap();
    let writer = [("WRITER", "app-1".to_owned())];
    assert_eq!(follow(&world, "ransomware-in-production", &writer, &nothing).len(), 6);
    assert_eq!(fs::read_to_string(world.at("back/identity/users")).unwrap(), "alice, bob");
}

#[test]
fn every_command_of_the_books_about_keys_does_what_it_says() {
    let world = World::new();
    // The successor's keys, made with stock tools as the book says.
    let made = Command::new("sh")
        .args(["-ec", "ssh-keygen -q -t ed25519 -N '' -C carol -f carol && age-keygen -o carol.txt 2>/dev/null && age-keygen -y carol.txt"])
        .current_dir(world.directory.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let recipient = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let values = [
        ("LOST", "bob".to_owned()),
        ("SUCCESSOR", "carol".to_owned()),
        ("SIGNING_KEY_FILE", "carol.pub".to_owned()),
        ("RECOVERY_RECIPIENT", recipient),
    ];
    // Bob is an officer whose keys are lost.
    let bob = Command::new("sh")
        .args([
            "-ec",
            "ssh-keygen -q -t ed25519 -N '' -C bob -f bob && age-keygen 2>/dev/null | age-keygen -y",
        ])
        .current_dir(world.directory.path())
        .output()
        .unwrap();
    let bobs = String::from_utf8(bob.stdout).unwrap().trim().to_owned();
    let add =
        ["keys", "officer", "add", "bob", "--signing-key-file", "bob.pub", "--recovery-recipient", &bobs];
    world.ends(&[&add[..], &IDENTITY, &OFFICER].concat(), 0);
    assert_eq!(follow(&world, "lost-recovery-keys", &values, &|_| {}).len(), 5);
    world.ends(&["keys", "check", "--identity", "carol.txt"], 0);

    // A host is broken into; its successor makes keys of its own.
    let configuration = fs::read_to_string(world.at("lifeboat.toml")).unwrap().replace("app-1", "app-2");
    fs::write(world.at("app-2.toml"), configuration).unwrap();
    let told = world.ends(&["keys", "writer", "new", "--config", "app-2.toml"], 0);
    let card =
        told.split_whitespace().find(|word| word.starts_with("age1")).unwrap().trim_matches('\'').to_owned();
    let values = [
        ("WRITER", "app-1".to_owned()),
        ("SUCCESSOR", "app-2".to_owned()),
        ("COMPONENT", "chats".to_owned()),
        ("SIGNING_KEY_FILE", "host/keys/app-2.pub".to_owned()),
        ("CARD", card),
    ];
    assert_eq!(follow(&world, "compromised-agent", &values, &|_| {}).len(), 5);
    world.ends(&["backup", "chats", "--config", "app-2.toml"], 0);
    world.ends(&["backup", "chats"], 7);
    // What whoever broke in puts behind the end of that host's ledger stops no drill.
    let ledger = world.at("repositories/eu-fra/ledger/app-1");
    let last = fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let number: u32 = last.file_name().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(ledger.join(format!("{:08}", number + 1)), "no entry").unwrap();
    world.ends(&[&["drill", "plan", "region-loss"][..], &IDENTITY].concat(), 0);
}

#[test]
fn every_command_of_the_book_about_damage_does_what_it_says() {
    let world = World::new();
    world.ends(&["replicate", "--config", "keeper.toml"], 0);
    let pack = first_pack(&world.at("repositories/eu-fra/packs"));
    fs::remove_file(&pack).unwrap();
    let damaged = world.json(&[&["verify", "--level", "inventory"][..], &IDENTITY].concat(), 4);
    assert_eq!(damaged["exit"], 4);
    let own = world.at("lifeboat.toml");
    let kept = fs::read(&own).unwrap();
    // Healing is a maintainer's, backing up the host's: each where it has its keys.
    let special = |name: &str| match name {
        "plan" | "heal" => fs::copy(world.at("keeper.toml"), &own).map(drop).unwrap(),
        _ => fs::write(&own, &kept).unwrap(),
    };
    assert_eq!(follow(&world, "repository-damage", &[], &special).len(), 6);
    assert!(pack.exists());
}

fn first_pack(packs: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> = fs::read_dir(packs)
        .unwrap()
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().map(|pack| pack.unwrap().path()))
        .collect();
    all.sort();
    all.remove(0)
}
