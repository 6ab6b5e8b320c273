//! What a production host can open of what it stored: nothing that belongs to a tenant.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::{
    Decompressor, Identity, Kind, OpenError, open_into, read_identity_file, split_object,
};
use lifeboat_repo::format::index::SegmentLine;
use lifeboat_repo::format::names;
use lifeboat_repo::ids::KeyId;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::{JudgedAt, RepositoryErrorKind, index};
use lifeboat_repo::store::Store;
use lifeboat_repo::units::Bytes;
use lifeboat_tests::examine::{Listing, scratch, tree};
use lifeboat_tests::forge::catalog_identities;
use lifeboat_tests::{World, label, write};

const SECRET: &[u8] = b"AGE-SECRET-KEY-1";

/// A world after two backups, the second of a changed tree.
fn world() -> World {
    let store = lifeboat_repo::store::memory::MemoryStore::new();
    let world = World::over(std::sync::Arc::new(store), scratch());
    for tenant in ["acme", "beta"] {
        for number in 0..20 {
            let path = format!("tenants/{tenant}/f{number}");
            write(&world.source(), &path, format!("{tenant} {number} ").repeat(500).as_bytes());
        }
    }
    write(&world.source(), "shared/readme", b"of nobody");
    world.backup().unwrap();
    write(&world.source(), "tenants/acme/f3", b"changed");
    write(&world.source(), "tenants/gamma/new", b"a third tenant");
    world.backup().unwrap();
    world
}

/// Every identity that somebody finds who takes the writer's host: its card identity, what its state directory
/// holds, and what these open.
fn loot(world: &World) -> Vec<(String, Identity)> {
    let mut found = vec![("the card identity".to_owned(), world.credentials().card)];
    let host = std::fs::read(world.dir.path().join("state/host.key")).unwrap();
    found.extend(read_identity_file(host).unwrap().into_iter().map(|one| ("the host's key".to_owned(), one)));
    found.extend(catalog_identities(world).into_iter().map(|one| ("the catalog".to_owned(), one)));
    // Whatever else looks like an identity, in the state directory or in what any of these opens.
    for (name, text) in opened_texts(world, &found) {
        let secrets = secrets_in(&text);
        found.extend(secrets.into_iter().map(|one| (format!("an identity in {name}"), one)));
    }
    found
}

/// Every file of the state directory and every object of the store, in clear as far as the loot opens it.
fn opened_texts(world: &World, loot: &[(String, Identity)]) -> Listing {
    let mut texts = Listing::new();
    for (name, bytes) in tree(&world.dir.path().join("state")) {
        texts.insert(format!("state/{name} in clear"), open_blocks(&bytes, loot));
        texts.insert(format!("state/{name}"), bytes);
    }
    for object in world.store.list("").unwrap() {
        let bytes = world.store.read(&object.name, Bytes::mib(64)).unwrap();
        if let Ok((_, body)) = split_object(&bytes)
            && let Some(plain) = try_open(body, loot)
        {
            texts.insert(format!("{} in clear", object.name), plain);
        }
        texts.insert(object.name.to_string(), bytes);
    }
    texts
}

/// The content of an age file, decompressed if it is zstd, if any of the loot opens it.
fn try_open(sealed: &[u8], loot: &[(String, Identity)]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let opened = loot.iter().any(|(_, one)| open_into(sealed, std::slice::from_ref(one), &mut plain).is_ok());
    if !opened {
        return None;
    }
    let mut unpacked = Vec::new();
    match Decompressor::new().unwrap().decompress_into(&plain, Bytes::mib(64), &mut unpacked) {
        Ok(()) => Some(unpacked),
        Err(_) => Some(plain),
    }
}

/// The blocks of a state file in clear, one after another: wherever an age file begins, up to the next.
fn open_blocks(bytes: &[u8], loot: &[(String, Identity)]) -> Vec<u8> {
    let magic = b"age-encryption.org/v1\n";
    let starts: Vec<usize> =
        bytes.windows(magic.len()).enumerate().filter(|(_, w)| w == magic).map(|(at, _)| at).collect();
    let mut clear = Vec::new();
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(bytes.len());
        // A length stands between blocks: leave out what is too much until it opens.
        let opened = (0..16).find_map(|less| try_open(&bytes[*start..end - less], loot));
        clear.extend(opened.unwrap_or_else(|| panic!("a block of the state does not open")));
    }
    clear
}

fn secrets_in(text: &[u8]) -> Vec<Identity> {
    let starts =
        text.windows(SECRET.len()).enumerate().filter(|(_, window)| *window == SECRET).map(|(at, _)| at);
    starts
        .map(|at| {
            let end = text[at..]
                .iter()
                .position(|b| !b.is_ascii_alphanumeric() && *b != b'-')
                .unwrap_or(text.len() - at);
            std::str::from_utf8(&text[at..at + end]).unwrap().parse().unwrap()
        })
        .collect()
}

/// Every segment that any index names, with its stored bytes.
fn segments(world: &World) -> Vec<(SegmentLine, Vec<u8>)> {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let mut all = Vec::new();
    for name in index::names_of(&repository, &label("w1")).unwrap() {
        for line in index::read(&repository, recovery.catalog(), &name).unwrap().segments {
            let mut stored = Vec::new();
            let pack = names::pack(line.pack.unwrap()).unwrap();
            world.store.read_range(&pack, line.offset, line.length, &mut stored).unwrap();
            all.push((line, stored));
        }
    }
    all
}

#[test]
fn with_everything_of_its_host_a_writer_opens_no_segment_and_no_key() {
    let world = world();
    let loot = loot(&world);
    let segments = segments(&world);
    let keys = world.store.list("keys/").unwrap();
    assert!(segments.len() >= 6 && keys.len() == 4, "{} segments, {} keys", segments.len(), keys.len());
    let opens = |sealed: &[u8]| {
        let mut plain = Vec::new();
        loot.iter().find(|(_, one)| match open_into(sealed, std::slice::from_ref(one), &mut plain) {
            Ok(()) => true,
            // Anything else would mean that nothing was tried.
            Err(error) => {
                assert_eq!(error, OpenError::NoIdentityFits);
                false
            }
        })
    };
    for (line, stored) in &segments {
        assert!(opens(stored).is_none(), "segment {} opens with {}", line.segment, opens(stored).unwrap().0);
    }
    let repository = world.repository();
    for key in &keys {
        let signed = repository.read_signed(&key.name, &[Kind::Key], JudgedAt::Any, Bytes::mib(1)).unwrap();
        assert!(opens(&signed.body).is_none(), "{} opens with {}", key.name, opens(&signed.body).unwrap().0);
    }
    let seals = world.store.list("seals/").unwrap();
    for seal in seals.iter().filter(|object| object.name.last() == "officers") {
        let signed = repository.read_signed(&seal.name, &[Kind::Seal], JudgedAt::Any, Bytes::mib(1)).unwrap();
        assert!(opens(&signed.body).is_none(), "{}", seal.name);
    }
    // Nor does the way that a program would take.
    for (name, one) in &loot {
        let error = Recovery::open(&repository, &[lifeboat_tests::copy(one)], &SystemClock).err().unwrap();
        assert!(matches!(error.kind, RepositoryErrorKind::WrongKey(_)), "{name}: {error}");
    }
    println!("{} identities, {} segments, {} keys", loot.len(), segments.len(), keys.len());
}

#[test]
fn the_recovery_identity_opens_all_of_it() {
    let world = world();
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let keys: BTreeMap<KeyId, _> = recovery
        .keys()
        .unwrap()
        .into_iter()
        .map(|(writer, key)| (key, recovery.unwrap_tenant_key(&writer, key).unwrap()))
        .collect();
    let tenants: Vec<String> = {
        let mut tenants: Vec<_> = keys.values().map(|key| key.tenant.to_string()).collect();
        tenants.sort();
        tenants
    };
    assert_eq!(tenants, ["_system", "acme", "beta", "gamma"]);
    for (line, stored) in segments(&world) {
        let mut plain = Vec::new();
        open_into(&stored, std::slice::from_ref(&keys[&line.key].identity), &mut plain).unwrap();
        // And no other tenant's key does.
        for key in keys.values().filter(|key| key.key != line.key) {
            let opened = open_into(&stored, std::slice::from_ref(&key.identity), &mut plain);
            assert_eq!(opened, Err(OpenError::NoIdentityFits));
        }
    }
}

#[test]
fn no_identity_but_the_hosts_own_and_the_catalog_lies_on_the_host() {
    let world = world();
    let known = {
        let mut known = vec![("card".to_owned(), world.credentials().card)];
        let host = std::fs::read(world.dir.path().join("state/host.key")).unwrap();
        known.extend(read_identity_file(host).unwrap().into_iter().map(|one| ("host".to_owned(), one)));
        known.extend(catalog_identities(&world).into_iter().map(|one| ("catalog".to_owned(), one)));
        known
    };
    let recipients: Vec<String> = known.iter().map(|(_, one)| one.recipient().to_string()).collect();
    let texts = opened_texts(&world, &known);
    let opened =
        |part: &str| texts.keys().filter(|name| name.contains(part) && name.ends_with(" in clear")).count();
    // The scan is worth something only if what it scans is in clear: the state, the cards, the catalog's objects.
    assert!(
        opened("state/") >= 2 && opened("cards/") == 4 && opened("index/") == 2 && opened("snapshots/") == 2
    );
    let clear = |part: &'static str| {
        texts.iter().filter(move |(name, _)| name.contains(part) && name.ends_with(" in clear"))
    };
    assert!(clear("walk.").any(|(_, text)| text.windows(8).any(|window| window == b"acme/f19")));
    let mut held = 0;
    for (name, text) in &texts {
        for secret in secrets_in(text) {
            let allowed = name.starts_with("state/host.key") || name.ends_with("/writers in clear");
            assert!(allowed, "an identity lies in {name}");
            assert!(
                recipients.contains(&secret.recipient().to_string()),
                "an unknown identity lies in {name}"
            );
            held += 1;
        }
    }
    assert_eq!(held, 2, "the host's own and the catalog's");
    assert_eq!(opened("keys/"), 0);
    assert_eq!(opened("/officers"), 0);
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates and features that a build of the binary links, as `crate feature,feature`.
fn linked(features: &[&str]) -> Vec<String> {
    let mut args =
        vec!["tree", "-p", "lifeboat-cli", "--no-default-features", "-e", "normal", "--offline", "--locked"];
    args.extend(["--prefix", "none", "--no-dedupe", "--format", "{lib} {f}", "--features"]);
    args.extend(features);
    let mut lines: Vec<String> = cargo(&args).lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn an_agent_only_build_links_no_recovery() {
    let links = |lines: &[String], name: &str| lines.iter().any(|line| line.split(' ').next() == Some(name));
    let recovers = |lines: &[String]| {
        lines.iter().any(|line| line.starts_with("lifeboat_repo ") && line.contains("recover"))
    };
    let agent = linked(&["agent"]);
    assert!(links(&agent, "lifeboat_repo") && links(&agent, "lifeboat_backup"), "{agent:?}");
    assert!(!links(&agent, "lifeboat_restore") && !links(&agent, "lifeboat_verify"), "{agent:?}");
    assert!(!recovers(&agent), "{agent:?}");
    // The same question of the whole binary has another answer.
    let full = linked(&["full"]);
    assert!(
        links(&full, "lifeboat_restore") && links(&full, "lifeboat_verify") && recovers(&full),
        "{full:?}"
    );
}

/// The symbols of `lifeboat-repo` as cargo builds it for somebody who asks for these features of it.
fn symbols(features: &[&str]) -> String {
    let mut args =
        vec!["build", "-p", "lifeboat-repo", "--lib", "--offline", "--locked", "--message-format", "json"];
    let list = features.join(",");
    args.extend(["--no-default-features", "--features", &list]);
    let built = cargo(&args);
    let library = built
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["reason"] == "compiler-artifact" && line["target"]["name"] == "lifeboat_repo")
        .find_map(|line| {
            line["filenames"].as_array()?.iter().find_map(|name| Some(name.as_str()?.to_owned()))
        })
        .unwrap();
    let output = Command::new("nm").args(["-C", "--defined-only", &library]).output().unwrap();
    assert!(output.status.success(), "nm {library}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_an_agent_links_has_no_code_that_unwraps_a_tenant_key() {
    // The agent-only build links this library without features, as the test above shows, and whatever is not in
    // a library cannot be linked from it.
    let agent = symbols(&[]);
    // As the tests themselves link it.
    let whole = symbols(&["recover", "testing"]);
    for absent in
        ["unwrap_tenant_key", "repository::recover::", "repository::segments::", "repository::officer::"]
    {
        assert!(!agent.contains(absent), "{absent} is in the agent's library");
        assert!(whole.contains(absent), "{absent} is in neither, so its absence shows nothing");
    }
    assert!(
        agent.contains("repository::agent::Agent>::open") || agent.contains("repository::agent::Agent::open")
    );
}
