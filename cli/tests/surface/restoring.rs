//! What a person types when it counts: restores in place and to standard output, commands with hooks, limits, and what
//! `doctor` says of programs. The libraries' tests hold the rest; here it is the program itself that does it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::world::{World, both, noise, said};

/// The public half of a card identity.
const CARD: &str = "age1jcvnlukcxkj57tsrmmvnt39xrpu8rnduxgyarw8c4x363m390fhseu580v";
const IDENTITY: &str = "--identity=keys/recovery-eu-fra.txt";

/// A command with hooks that write down that they ran.
const STREAM: &str = r#"
[components.crm]
region = "eu-fra"
command = ["sh", "-c", "test -z \"${LIFEBOAT_IDENTITY+x}\" && cat dump"]
directory = "."
stream_name = "crm.dump"
system = "all of it"
[components.crm.hooks]
before = [{ run = 'echo "before $LIFEBOAT_COMPONENT $LIFEBOAT_STATUS ${LIFEBOAT_IDENTITY-no key}" >> "$HOOKS"' }]
after = ['echo "after $LIFEBOAT_STATUS" >> "$HOOKS"']
on_failure = ['echo "failed $LIFEBOAT_STATUS" >> "$HOOKS"']
"#;

#[test]
fn a_stream_goes_through_the_program_and_back() {
    let world = World::with(STREAM);
    let hooks = world.at().join("hooks");
    let run = |arguments: &[&str], code: i32| {
        let mut command = world.command(arguments);
        command.env("PATH", "/usr/bin:/bin").env("HOOKS", &hooks).env("LIFEBOAT_IDENTITY", "keys/unheard-of");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{}", both(&output));
        output
    };
    // There is no dump yet: what `cat` said is told, and no snapshot is made.
    let failed = run(&["backup", "crm"], 1);
    assert!(said(&failed).contains("LB-109") && said(&failed).contains("No such file"), "{}", both(&failed));
    let dump = noise(1, 3_000_000);
    fs::write(world.at().join("dump"), &dump).unwrap();
    run(&["backup", "crm"], 0);
    assert_eq!(
        fs::read_to_string(&hooks).unwrap(),
        "before crm starting no key\nfailed failed\nbefore crm starting no key\nafter complete\n"
    );
    assert!(run(&["restore", "crm", "--stdout", IDENTITY], 0).stdout == dump);
    assert!(run(&["cat", "crm", "crm.dump", IDENTITY], 0).stdout == dump);
    run(&["verify", "crm", "--level", "restore", IDENTITY], 0);
    run(&["restore", "crm", "--target", "out", IDENTITY], 0);
    run(&["diff", "crm", "./out", "--content", IDENTITY], 0);
    // What would mix with the stream, and what is no stream.
    assert!(run(&["restore", "crm", "--stdout", "--json", IDENTITY], 2).stdout.starts_with(b"{"));
    run(&["backup", "chats"], 0);
    let several = run(&["restore", "chats", "--stdout", IDENTITY], 7);
    assert!(several.stdout.is_empty() && said(&several).contains("not one stream"), "{}", both(&several));
}

#[test]
fn a_restore_in_place_changes_what_it_says_and_no_more() {
    let world = World::backed_up();
    let live = world.at().join("data/chats");
    let (file, surplus) = (live.join("uploads/acme/hello.txt"), live.join("uploads/acme/new.txt"));
    let spoil = || {
        fs::write(&file, "overwritten").unwrap();
        fs::write(&surplus, "new").unwrap();
    };
    let content = || fs::read_to_string(&file).unwrap();
    let restore = |more: &[&str], code: i32| {
        let all = [&["restore", "chats", "--target", "data/chats", IDENTITY, "--json"], more].concat();
        let value: Value = serde_json::from_slice(&world.ends(&all, code).stdout).unwrap();
        value["result"].clone()
    };
    spoil();
    restore(&[], 7);
    restore(&["--in-place"], 7);
    restore(&["--delete"], 2);
    let planned = restore(&["--in-place", "--over-live-root", "--delete", "--dry-run"], 0);
    assert_eq!((content().as_str(), surplus.exists()), ("overwritten", true));
    assert_eq!(planned["changes"]["removed"]["first"], serde_json::json!(["uploads/acme/new.txt"]));
    let done = restore(&["--in-place", "--over-live-root"], 0);
    assert_eq!((content().as_str(), surplus.exists()), ("hello acme", true));
    assert_eq!(done["report"]["changes"]["surplus"]["count"], 1);
    spoil();
    let done = restore(&["--in-place", "--over-live-root", "--delete"], 0);
    assert_eq!((content().as_str(), surplus.exists()), ("hello acme", false));
    assert_eq!(done["report"]["changes"]["removed"], planned["changes"]["removed"]);
    // What a restore needs is never in the way of --delete.
    let all = ["restore", "chats", "--target", ".", "--in-place", "--over-live-root", "--delete", IDENTITY];
    world.ends(&all, 7);
}

fn configuration(world: &World) -> String {
    fs::read_to_string(world.at().join("lifeboat.toml")).unwrap()
}

#[test]
fn doctor_says_what_to_do_first() {
    let world = World::new();
    fs::remove_dir_all(world.at().join("keys")).unwrap();
    // A further host of a repository that there is; or the very first, whom nobody could enrol.
    let further = said(&world.ends(&["doctor"], 2));
    assert!(further.contains("make this host's keys with `lifeboat keys writer new`"), "{further}");
    let unpinned: String = configuration(&world)
        .lines()
        .filter(|line| !line.starts_with("officers"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(world.at().join("lifeboat.toml"), unpinned).unwrap();
    let first = said(&world.ends(&["doctor"], 2));
    assert!(
        first.contains("`lifeboat init` makes all keys") && !first.contains("keys writer new"),
        "{first}"
    );
}

#[test]
fn doctor_and_backup_heed_limits_and_programs() {
    let world = World::with(
        "\n[limits]\nbandwidth = \"100MB/s\"\nnice = 1\n\n[components.crm]\nregion = \"eu-fra\"\n\
         command = [\"no-such-program\"]\nsystem = \"ours\"\n",
    );
    // The store is tried with lengths that no object has: a limit must not wait for them.
    let looked = world.ends(&["doctor"], 1);
    assert!(said(&looked).contains("command no-such-program"), "{}", both(&looked));
    assert!(said(&looked).contains("the store keeps"), "{}", both(&looked));
    let limits = ["--limit-bandwidth", "unlimited", "--limit-memory", "256MiB", "--limit-threads", "1"];
    world.ends(&[&["backup", "chats"], &limits[..]].concat(), 0);
    let bad = [
        ["--limit-bandwidth", "50MB", "no bandwidth"],
        ["--limit-memory", "512", "no amount"],
        ["--limit-memory", "1MiB", "too little"],
        ["--limit-threads", "0", "0"],
    ];
    for [option, value, why] in bad {
        let output = world.ends(&["backup", "chats", option, value], 2);
        assert!(said(&output).contains(why), "{option} {value}: {}", both(&output));
    }
}

#[test]
fn what_is_hit_and_what_there_is_is_said_once_and_by_name() {
    let world = World::backed_up();
    let tenants = ["restore", "chats", "--target", "out", "--tenant", "acm", IDENTITY];
    assert!(said(&world.ends(&tenants, 7)).contains("there is _system, acme, globex"), "names are given");
    let more = "\n[components.tickets]\nregion = \"eu-fra\"\npath = \"data/tickets\"\nsystem = \"ours\"\n";
    let add =
        ["keys", "writer", "add", "app-2", "--component", "tickets", "--signing-key-file", "keys/host-1.pub"];
    let officer = said(&world.ends(&[&add, ["--card", CARD].as_slice()].concat(), 2));
    assert!(officer.contains("copy [components.tickets] from the new host's lifeboat.toml"), "{officer}");
    fs::write(world.at().join("more.toml"), configuration(&world) + more).unwrap();
    let none = ["restore", "tickets", "--target", "out", "--config", "more.toml", IDENTITY];
    assert!(said(&world.ends(&none, 7)).contains("the repository holds none of it"));
    let packs = world.at().join("repositories/eu-fra/packs");
    let pack =
        fs::read_dir(packs).unwrap().flatten().flat_map(|dir| fs::read_dir(dir.path()).unwrap()).next();
    let pack = pack.unwrap().unwrap().path();
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::File::options().write(true).open(&pack).unwrap().set_len(10).unwrap();
    // Without an identity tenants have no names.
    let looked = said(&world.ends(&["verify", "--level", "inventory"], 4));
    assert_eq!(looked.matches("hits the whole of 3 tenants in snapshots/chats/").count(), 1, "{looked}");
    let read = said(&world.ends(&["verify", "--level", "readback", IDENTITY], 4));
    assert!(
        read.contains("the whole of tenant acme") && read.contains("the whole of tenant globex"),
        "{read}"
    );
}
