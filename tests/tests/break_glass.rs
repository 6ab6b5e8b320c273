//! `scripts/break-glass` and the book about it bring everything back with stock tools alone.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::{Kind, SigningKey, sha256, sign_object};
use lifeboat_repo::format::index::{SegmentKind, encode_index};
use lifeboat_repo::format::names;
use lifeboat_repo::format::records::{FenceBody, GcBody};
use lifeboat_repo::format::{self, FORMAT_VERSION};
use lifeboat_repo::ids::{RunId, Tenant};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::units::Bytes;
use lifeboat_runbooks::{BOOKS, Book};
use lifeboat_tests::forge::{self, Forger};
use lifeboat_tests::proof::Ahead;
use lifeboat_tests::stock::{Safe, Said, Toolbox, enrol_maintainer, put_signed};
use lifeboat_tests::trees::{self, Maker, Room, noise};
use lifeboat_tests::{World, label, write};
use lifeboat_verify::objective::{RpoVerdict, rpo};

const SCRIPT: &str = "scripts/break-glass";

/// Every path of a tree with all that must come back of it.
type Tree = BTreeMap<Vec<u8>, String>;

/// Looks at a tree by itself, without any code of Lifeboat: type, mode, owner, time, content, target, numbers and
/// names of the same file. Sockets cannot come back this way.
fn look(root: &Path) -> Tree {
    let mut paths = vec![b".".to_vec()];
    let mut seen = 0;
    while let Some(path) = paths.get(seen).cloned() {
        seen += 1;
        let full = root.join(OsStr::from_bytes(&path));
        if full.symlink_metadata().unwrap().is_dir() {
            let names = fs::read_dir(full).unwrap().map(|entry| entry.unwrap().file_name());
            paths.extend(names.map(|name| [path.as_slice(), b"/", name.as_bytes()].concat()));
        }
    }
    paths.sort();
    let mut first_names = BTreeMap::new();
    let mut tree = Tree::new();
    for path in paths {
        let full = root.join(OsStr::from_bytes(&path));
        let meta = full.symlink_metadata().unwrap();
        let kind = meta.file_type();
        if kind.is_socket() {
            continue;
        }
        let mut text = format!(
            "{:o} {}:{} {}.{:09}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        if kind.is_file() {
            let content = fs::read(&full).unwrap();
            write!(text, " {} bytes {}", content.len(), hex::encode(sha256(&content))).unwrap();
            if meta.nlink() > 1 {
                let first = first_names.entry(meta.ino()).or_insert_with(|| path.clone());
                write!(text, " the same as {}", first.escape_ascii()).unwrap();
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&full).unwrap();
            write!(text, " to {}", target.as_os_str().as_bytes().escape_ascii()).unwrap();
        } else if kind.is_block_device() || kind.is_char_device() {
            write!(text, " device {}", meta.rdev()).unwrap();
        }
        tree.insert(path, text);
    }
    tree
}

/// Fails with every difference.
fn assert_same(expected: &Tree, found: &Tree) {
    let paths: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ: Vec<String> = paths
        .into_iter()
        .filter(|path| expected.get(*path) != found.get(*path))
        .map(|path| format!("{}: {:?}, not {:?}", path.escape_ascii(), found.get(path), expected.get(path)))
        .collect();
    assert!(differ.is_empty(), "{} of {} differ: {differ:#?}", differ.len(), expected.len());
}

/// What is at or below a path.
fn below(tree: &Tree, path: &str) -> Tree {
    let inside = |name: &[u8]| {
        name.strip_prefix(path.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    tree.iter().filter(|(name, _)| inside(name)).map(|(name, text)| (name.clone(), text.clone())).collect()
}

/// Restores.
fn break_glass(tools: &Toolbox, safe: &Safe, target: &Path, more: &[&str]) -> Said {
    let mut args = safe.papers();
    args.extend(["--identity".as_ref(), safe.identity.as_os_str(), "--component".as_ref(), "files".as_ref()]);
    args.extend(["--target".as_ref(), target.as_os_str()]);
    args.extend(more.iter().map(OsStr::new));
    tools.script(SCRIPT, args)
}

fn list(tools: &Toolbox, safe: &Safe) -> Said {
    let mut args = safe.papers();
    args.push("--list".as_ref());
    tools.script(SCRIPT, args)
}

/// A tree of three tenants and what belongs to none of them: everything that a file system can hold, and sizes
/// that share segments, fill them and span several.
fn plant(world: &World) {
    let m = Maker::new(&world.source());
    m.dir("tenants/gamma/sizes");
    for (number, size) in [0, 1, 64 << 10, 200 << 10, 3 << 20, 9 << 20].into_iter().enumerate() {
        m.file(format!("tenants/gamma/sizes/{size}"), &noise(number as u64 + 900, size));
    }
    m.file("tenants/gamma/text", "it compresses well\n".repeat(200_000).as_bytes());
    m.file("tenants/gamma/secret", b"gamma's");
    trees::everything(&world.source(), Room::Block);
}

#[test]
fn everything_comes_back_and_what_does_not_is_listed() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
    let (world, tools) = (World::new(), Toolbox::new());
    plant(&world);
    let first_tree = look(&world.source());
    let first = world.backup().unwrap();
    assert_eq!((first.tenants, first.problems.named.len()), (4, 0));

    let m = Maker::new(&world.source());
    m.file("tenants/gamma/sizes/1", b"2");
    m.file("tenants/gamma/sizes/3145728", &noise(7, 3 << 20));
    m.file(b"tenants/acme/new\nname \xff", b"new");
    m.time(b"tenants/acme/new\nname \xff", -2, 750_000_000);
    fs::remove_file(m.path("tenants/gamma/text")).unwrap();
    fs::rename(m.path("tenants/beta/links/c"), m.path("tenants/beta/links/d")).unwrap();
    let second_tree = look(&world.source());
    let second = world.backup().unwrap();
    assert!(second.packs > 0 && second.parent == Some(first.run));
    assert!(first_tree.len() > 500 && first_tree != second_tree);

    let safe = Safe::new(&world);
    let listed = list(&tools, &safe).done();
    let expected = [second.run, first.run].map(|run| format!("files\t{run}\tcounts\tw1\n"));
    assert_eq!(listed, format!("component\trun\tstate\twriter\n{}", expected.concat()));

    // The newest, whole.
    let calls = tools.note_calls("age");
    let target = world.dir.path().join("newest");
    let said = break_glass(&tools, &safe, &target, &[]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert_same(&second_tree, &look(&target));
    let hole = |root: &Path| root.join("holes/all hole, long").metadata().unwrap().blocks();
    assert_eq!(hole(&target), hole(&world.source()));

    // What it left out is what the manifests have of attributes, and every socket.
    let left_out: BTreeSet<String> = said.stdout.lines().map(str::to_owned).collect();
    assert_eq!(left_out, unrestorable(&world.source()));
    assert!(said.stderr.contains(&format!("{} left out", left_out.len())), "{}", said.stderr);

    // Each segment was decoded once, and nothing else with a tenant's key.
    let listed = world.listed(&world.store);
    let snapshot = listed.iter().find(|one| one.run == second.run).unwrap().snapshot.as_ref().unwrap();
    let needed: usize = snapshot.keys.iter().map(|share| share.segments.len()).sum();
    let decoded = fs::read_to_string(&calls).unwrap().lines().filter(|line| line.contains("/id/")).count();
    assert!(needed > 10, "there is something to decode twice");
    assert_eq!(decoded, needed);

    // An older one.
    let target = world.dir.path().join("older");
    let said = break_glass(&tools, &safe, &target, &["--run", &first.run.to_string()]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert_same(&first_tree, &look(&target));

    // One tenant: nobody else's keys are used, and nothing of anybody else is there.
    let before = fs::read_to_string(&calls).unwrap().len();
    let target = world.dir.path().join("one");
    let said = break_glass(&tools, &safe, &target, &["--tenant", "acme"]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    let found = look(&target);
    assert_same(&below(&second_tree, "./tenants/acme"), &below(&found, "./tenants/acme"));
    assert_eq!(found.len(), below(&found, "./tenants/acme").len() + 2, "and . and ./tenants");
    let notes = fs::read_to_string(&calls).unwrap();
    let keys: BTreeSet<&str> = notes[before..].lines().filter_map(|line| line.split("/id/").nth(1)).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

/// The lines that tell what of a tree cannot come back, as `printf %b` reads them.
fn unrestorable(root: &Path) -> BTreeSet<String> {
    let (mut lines, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut todo = vec![b".".to_vec()];
    while let Some(path) = todo.pop() {
        let full = root.join(OsStr::from_bytes(&path));
        let meta = full.symlink_metadata().unwrap();
        let kind = meta.file_type();
        let plain = std::str::from_utf8(&path).ok().filter(|text| !text.chars().any(char::is_control));
        let octal = |byte: &u8| match byte {
            b'\\' => "\\\\".to_owned(),
            0x20..=0x7e => char::from(*byte).to_string(),
            _ => format!("\\0{byte:03o}"),
        };
        let escaped =
            plain.map_or_else(|| path.iter().map(octal).collect(), |text| text.replace('\\', "\\\\"));
        if kind.is_socket() {
            lines.insert(format!("socket\t{escaped}"));
        }
        // A file of several names is told of by the first of them.
        if xattr::list(&full).unwrap().next().is_some() && (kind.is_dir() || seen.insert(meta.ino())) {
            lines.insert(format!("xattrs\t{escaped}"));
        }
        if kind.is_dir() {
            let names = fs::read_dir(full).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.collect();
            names.sort_by(|a, b| b.cmp(a));
            todo.extend(names.iter().map(|name| [path.as_slice(), b"/", name.as_bytes()].concat()));
        }
    }
    lines
}

/// Two tenants with a few files, backed up twice; quick to restore.
fn small() -> (World, RunId, RunId) {
    let world = World::new();
    write(&world.source(), "tenants/acme/chat", b"hello");
    write(&world.source(), "tenants/acme/noise", &noise(1, 300_000));
    write(&world.source(), "tenants/beta/chat", b"hello from beta");
    let first = world.backup().unwrap().run;
    write(&world.source(), "tenants/acme/more", b"more");
    write(&world.source(), "tenants/gamma/chat", b"hello from a new tenant");
    let second = world.backup().unwrap().run;
    (world, first, second)
}

/// It ended with this status, named all of this, and nowhere says that anything was restored.
fn assert_refused(case: &str, said: &Said, status: i32, names: &[&str], target: &Path) {
    assert_eq!(said.status, Some(status), "{case}: {said:#?}");
    for name in names {
        assert!(said.stderr.contains(name), "{case}: {name:?} is not in {said:#?}");
    }
    assert!(said.stdout.is_empty() && !said.stderr.contains("restored "), "{case}: {said:#?}");
    assert!(!said.stderr.contains("not found"), "{case}: {said:#?}");
    let is_empty = fs::read_dir(target).map_or(true, |mut entries| entries.next().is_none());
    assert!(is_empty || said.stderr.contains("not complete, do not use it"), "{case}: {said:#?}");
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn damage_ends_it() {
    let (world, _, second) = small();
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let snapshot = format!("snapshots/files/{second}");
    let run = format!("runs/w1/{second}");
    let pack = safe.objects("packs/").into_iter().max_by_key(|name| safe.read(name).len()).unwrap();
    // A customer's: without the key of `_system` directories come back all the same, only bare.
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let customers = |name: &String| {
        let id = name.rsplit('/').next().unwrap().parse().unwrap();
        recovery.unwrap_tenant_key(&label("w1"), id).unwrap().tenant != Tenant::System
    };
    let key = safe.objects("keys/").into_iter().find(customers).unwrap();
    let index = safe.objects("index/").remove(0);
    let seal = safe.objects("seals/").into_iter().rfind(|name| name.ends_with("/officers")).unwrap();
    let newest = safe.objects("trust/").pop().unwrap();
    let stranger = SigningKey::from_seed([9; 32]);

    // What is done to which object, and what is said of it. In the second half of an object lies its body.
    let cases: Vec<(&str, &str, Option<Vec<u8>>)> = vec![
        ("a pack that is flipped", &pack, Some(flip(&safe.read(&pack), 1000))),
        ("a pack that is cut", &pack, Some(safe.read(&pack)[..5000].to_vec())),
        ("a pack that is gone", &pack, None),
        ("a key that is flipped", &key, Some(flip(&safe.read(&key), safe.read(&key).len() - 5))),
        ("a key that is gone", &key, None),
        ("an index that is flipped", &index, Some(flip(&safe.read(&index), 600))),
        ("an index that is gone", &index, None),
        ("a snapshot that is flipped", &snapshot, Some(flip(&safe.read(&snapshot), 600))),
        ("a snapshot whose signature is flipped", &snapshot, Some(flip(&safe.read(&snapshot), 150))),
        ("a snapshot that is gone", &snapshot, None),
        ("a run that is flipped", &run, Some(flip(&safe.read(&run), 450))),
        ("a run that is gone", &run, None),
        (
            "a ledger entry that is flipped",
            "ledger/w1/00000001",
            Some(flip(&safe.read("ledger/w1/00000001"), 600)),
        ),
        ("a ledger entry that is gone", "ledger/w1/00000000", None),
        ("a seal that is flipped", &seal, Some(flip(&safe.read(&seal), 600))),
        ("a seal that is gone", &seal, None),
        ("a trust that is flipped", &newest, Some(flip(&safe.read(&newest), 600))),
        ("a trust that is gone", "trust/00000000", None),
    ];
    for (number, (case, object, bytes)) in cases.into_iter().enumerate() {
        let copy = safe.copied(&world.dir.path().join(format!("copy{number}")));
        bytes.map_or_else(|| copy.remove(object), |bytes| copy.put(object, &bytes));
        let target = world.dir.path().join(format!("target{number}"));
        let said = break_glass(&tools, &copy, &target, &[]);
        assert_refused(case, &said, 1, &["DAMAGED", object], &target);
    }

    // A tenant that was erased is left out only where that is asked for, and it is said.
    let copy = safe.copied(&world.dir.path().join("erased"));
    copy.remove(&key);
    let target = world.dir.path().join("without");
    let said = break_glass(&tools, &copy, &target, &["--allow-missing-keys"]);
    assert_eq!(said.stdout, format!("missing-key\t{}\n", key.rsplit('/').next().unwrap()), "{said:#?}");
    let (all, there) = (look(&world.source()), look(&target));
    assert!(said.status == Some(0) && there.len() < all.len() && there.len() > 2, "{there:#?}");
    for tenant in ["./tenants/acme", "./tenants/beta"] {
        let there = below(&there, tenant);
        assert!(there.is_empty() || there == below(&all, tenant), "{there:#?}");
    }

    // Somebody else's signatures: on a snapshot that a ledger entry names, and on one that none does.
    let mut forger = Forger::new(&world, "acme");
    let chunks = forger.manifest(&forge::file("tenants/acme/chat", &[]));
    forger.put_run();
    let (header, lines) = forger.put_pack();
    forger.put_index(&encode_index(&header, &lines).unwrap());
    let name = forger.snapshot_name();
    let body = forger.snapshot(chunks, 1, Bytes(0)).encode().unwrap();
    let body = forger.catalog.seal(&body, "a snapshot").unwrap();
    let object = sign_object(&stranger, Kind::Snapshot, &forger.repository, &name, &body).unwrap();
    let copy = safe.copied(&world.dir.path().join("unnamed"));
    copy.put(name.as_str(), &object);
    forger.put_raw(name.clone(), &object);
    forger.record(&world);
    let target = world.dir.path().join("forged");
    let said = break_glass(&tools, &safe, &target, &[]);
    assert_refused(
        "a stranger's signature",
        &said,
        1,
        &["DAMAGED", name.as_str(), "is not signed by"],
        &target,
    );
    let said = break_glass(&tools, &copy, &target, &["--run", &forger.run.to_string()]);
    assert_refused("an unrecorded stranger", &said, 1, &["DAMAGED", name.as_str(), "neither"], &target);
    // It does not count, so it stands in nobody's way.
    let said = break_glass(&tools, &copy, &target, &[]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(said.stderr.contains(&format!("passing over {name}: unsigned")), "{said:#?}");
    assert_same(&look(&world.source()), &look(&target));
}

#[test]
fn a_wrong_clock_hides_no_later_snapshot() {
    let (world, tools) = (World::new(), Toolbox::new());
    let ahead = Ahead(std::time::Duration::from_secs(400 * 86_400));
    write(&world.source(), "a", b"old");
    let wrong = world.run(Arc::clone(&world.store), &world.job(), &ahead, &Silent).unwrap();
    let lost = |disaster| {
        let listed = world.listed(&world.store);
        let objective = std::time::Duration::from_secs(3600);
        rpo(&listed, &label("files"), disaster, objective)
    };
    let both = |name: &str, content: &str| {
        let targets = [world.dir.path().join(name), world.dir.path().join(format!("{name} by hand"))];
        world.restore(&targets[0]).unwrap();
        let said = break_glass(&tools, &Safe::new(&world), &targets[1], &[]);
        assert_eq!(said.status, Some(0), "{said:#?}");
        for target in targets {
            assert_eq!(fs::read_to_string(target.join("a")).unwrap(), content);
        }
        said.stderr
    };
    // Better than nothing, and it proves nothing.
    assert!(both("first", "old").contains("dated later"));
    let much_later = ahead.now().plus(ahead.0);
    assert!(matches!(lost(much_later).verdict, RpoVerdict::InsufficientEvidence(_)));
    write(&world.source(), "a", b"new, and longer");
    let right = world.backup().unwrap();
    assert!(both("second", "new, and longer").contains(&wrong.run.to_string()));
    assert_eq!(lost(SystemClock.now()).run, Some(right.run));
    assert_eq!(lost(much_later).run, Some(right.run));
}

#[test]
fn what_it_cannot_begin_with_it_says() {
    let (world, _, second) = small();
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let at = |name: &str| world.dir.path().join(name);
    let stranger = World::new();
    let strange = Safe::new(&stranger);
    fs::write(at("stranger.pub"), format!("{} mallory\n", SigningKey::from_seed([9; 32]).public())).unwrap();
    fs::write(at("no.pub"), "nothing\n").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let other = |identity: &Path, officers: &Path, repository: &Path| Safe {
        officers: officers.to_owned(),
        identity: identity.to_owned(),
        repository: repository.to_owned(),
    };
    let target = at("target");

    // The wrong papers are damage as long as nobody knows better: a stranger's repository looks the same.
    let wrong_officer = other(&safe.identity, &at("stranger.pub"), &safe.repository);
    let said = break_glass(&tools, &wrong_officer, &target, &[]);
    assert_refused(
        "officer",
        &said,
        1,
        &["trust/00000000 is not signed by a key in", "stranger.pub"],
        &target,
    );
    let wrong_identity = other(&strange.identity, &safe.officers, &safe.repository);
    let said = break_glass(&tools, &wrong_identity, &target, &[]);
    assert_refused("identity", &said, 1, &["/officers does not open with this identity"], &target);

    let cases: [(&str, Safe, &[&str], &str); 9] = [
        ("no officers", other(&safe.identity, &at("no.pub"), &safe.repository), &[], "holds no line"),
        ("no such officers", other(&safe.identity, &at("absent"), &safe.repository), &[], "absent"),
        ("no such identity", other(&at("absent"), &safe.officers, &safe.repository), &[], "absent"),
        ("no repository", other(&safe.identity, &safe.officers, &at("absent")), &[], "absent"),
        (
            "not a repository",
            other(&safe.identity, &safe.officers, &at("empty")),
            &[],
            "is not a Lifeboat repository",
        ),
        (
            "component",
            other(&safe.identity, &safe.officers, &safe.repository),
            &["--component", "mail"],
            "no snapshot of mail counts",
        ),
        (
            "tenant",
            other(&safe.identity, &safe.officers, &safe.repository),
            &["--tenant", "delta"],
            "no tenant delta",
        ),
        (
            "run",
            other(&safe.identity, &safe.officers, &safe.repository),
            &["--run", "20200101t000000000z-0000000000000000"],
            "there is no snapshots/files/20200101",
        ),
        (
            "argument",
            other(&safe.identity, &safe.officers, &safe.repository),
            &["--everything"],
            "--everything",
        ),
    ];
    for (case, safe, more, named) in cases {
        assert_refused(case, &break_glass(&tools, &safe, &target, more), 2, &[named], &target);
    }

    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/.mine"), b"mine").unwrap();
    let said = break_glass(&tools, &safe, &at("full"), &[]);
    assert_eq!((said.status, said.stdout.as_str()), (Some(2), ""), "{said:#?}");
    assert!(said.stderr.contains("is not empty"), "{said:#?}");
    assert_eq!(look(&at("full")).len(), 2);

    for tool in ["zstd", "age", "jq", "ssh-keygen", "comm"] {
        let tools = Toolbox::new();
        tools.take(tool);
        let said = break_glass(&tools, &safe, &target, &["--run", &second.to_string()]);
        assert_refused(tool, &said, 2, &[&format!("{tool} is not installed")], &target);
    }
}

#[test]
fn lies_that_are_well_signed_are_found() {
    let (world, _, _) = small();
    let tools = Toolbox::new();
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = world.dir.path().join("target");
    let target_of = |number: usize| target.join(number.to_string());
    let lines = |lines: &[Vec<u8>]| lines.concat();

    // A segment that is not what the index says of it, met when much has been written already.
    let mut forger = Forger::new(&world, "acme");
    let chunk = forger.reference(b"content");
    forger.raw_segment(SegmentKind::Data, b"not zstd", Bytes(7), vec![chunk]);
    forger.commit(
        &world,
        &lines(&[forge::dir("tenants/acme"), forge::file("tenants/acme/f", &[chunk])]),
        2,
        Bytes(7),
    );
    let said = break_glass(&tools, &Safe::new(&world), &target_of(0), &[]);
    assert_refused(
        "not zstd",
        &said,
        1,
        &["DAMAGED", "does not decode to 7 bytes", "not complete"],
        &target_of(0),
    );

    let mut forger = Forger::new(&world, "acme");
    let chunk = forger.segment(SegmentKind::Data, &[b"content"]).remove(0);
    let outer = outside.display();
    let cases: [(&str, Vec<Vec<u8>>, &str); 6] = [
        ("upwards", vec![forge::file("tenants/acme/../../../escaped", &[chunk])], "not a path"),
        ("absolute", vec![forge::file(&format!("{outer}/escaped"), &[chunk])], "not a path"),
        (
            "through a link",
            vec![forge::symlink("tenants/acme/l", &outside), forge::file("tenants/acme/l/escaped", &[chunk])],
            "not everything could be written",
        ),
        (
            "twice",
            vec![forge::file("a", &[chunk]), forge::file("a", &[chunk])],
            "two entries have one path: ./a",
        ),
        ("linked to nothing", vec![forge::hardlink("a", "b")], "a hardlink has no first name: ./b"),
        (
            "a chunk that nobody has",
            vec![forge::file("a", &[forger.reference(b"?")])],
            "no segment holds the chunk",
        ),
    ];
    for (number, (case, entries, named)) in cases.into_iter().enumerate() {
        let mut forger = Forger::new(&world, "acme");
        let held = forger.segment(SegmentKind::Data, &[b"content"]).remove(0);
        assert_eq!(held, chunk);
        let bytes = Bytes(7 * entries.len() as u64);
        forger.commit(&world, &lines(&entries), entries.len() as u64, bytes);
        let target = target_of(number + 1);
        let said = break_glass(&tools, &Safe::new(&world), &target, &[]);
        assert_refused(case, &said, 1, &[named], &target);
        assert_eq!(look(&outside).len(), 1, "{case}: nothing is written outside the target");
        assert!(!world.dir.path().join("escaped").exists(), "{case}");
    }
}

#[test]
fn only_what_counts_is_restored() {
    let (world, first, second) = small();
    let tools = Toolbox::new();
    let state = look(&world.source());
    let safe = Safe::new(&world);

    // The last entry of the ledger is lost, as if the run had been cut off: what it recorded goes by its name only.
    let cut = safe.copied(&world.dir.path().join("cut"));
    cut.remove(&safe.objects("ledger/").pop().unwrap());
    let listed = list(&tools, &cut).done();
    assert!(listed.contains(&format!("{second}\tunrecorded\tw1")), "{listed}");
    let target = world.dir.path().join("unrecorded");
    let said = break_glass(&tools, &cut, &target, &["--run", &second.to_string()]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(said.stderr.contains("note: no ledger entry names"), "{said:#?}");
    assert_same(&state, &look(&target));
    let said = break_glass(&tools, &cut, &world.dir.path().join("before"), &[]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert!(said.stderr.contains(&format!("passing over snapshots/files/{second}: unrecorded")), "{said:#?}");
    assert!(!world.dir.path().join("before/tenants/acme/more").exists());

    // A maintainer expires the first snapshot, and ends a run that came later.
    let maintainer = SigningKey::from_seed([3; 32]);
    enrol_maintainer(&world, "m1", &maintainer);
    let name = names::snapshot(&label("files"), first).unwrap();
    let body = GcBody {
        format: FORMAT_VERSION,
        seq: names::Seq(0),
        time: SystemClock.now(),
        packs: Vec::new(),
        snapshots: vec![name],
        ..GcBody::default()
    };
    let gc = "gc/00000000".parse().unwrap();
    put_signed(&world, &maintainer, Kind::Gc, &gc, &format::encode(&body, "gc").unwrap());
    let ended = RunId::new(SystemClock.now(), [0xfe; 8]);
    let body = FenceBody { format: FORMAT_VERSION, fence: ended, time: SystemClock.now() };
    let fence = names::snapshot(&label("files"), ended).unwrap();
    put_signed(&world, &maintainer, Kind::Fence, &fence, &format::encode(&body, "fence").unwrap());
    let listed = list(&tools, &safe).done();
    let lines =
        [format!("{ended}\tfenced\t-"), format!("{second}\tcounts\tw1"), format!("{first}\texpired\t-")];
    let expected: String = lines.iter().map(|line| format!("files\t{line}\n")).collect();
    assert_eq!(listed, format!("component\trun\tstate\twriter\n{expected}"));
    for (run, why) in [(ended, "fenced"), (first, "expired")] {
        let target = world.dir.path().join(why);
        let said = break_glass(&tools, &safe, &target, &["--run", &run.to_string()]);
        assert_refused(why, &said, 2, &[&format!("{run} does not count: {why}")], &target);
    }
    let target = world.dir.path().join("newest");
    let said = break_glass(&tools, &safe, &target, &[]);
    assert_eq!(said.status, Some(0), "{said:#?}");
    assert_same(&state, &look(&target));
}

#[test]
fn the_book_does_what_it_says() {
    let (world, first, second) = small();
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let target = world.dir.path().join("restored");
    let (_, text) = BOOKS.iter().find(|(name, _)| *name == "recovery-without-lifeboat").unwrap();
    let book = Book::parse(text).unwrap();
    let mut done = Vec::new();
    let mut tenant = String::new();
    for step in &book.steps {
        let mut shell = tools.shell();
        shell.args(["-eu", "-c", &step.script]);
        shell
            .env("REPOSITORY", &safe.repository)
            .env("IDENTITY", &safe.identity)
            .env("OFFICERS", &safe.officers);
        shell.env("COMPONENT", "files").env("TARGET", &target);
        let said = Said::of(&mut shell);
        assert_eq!(said.status, Some(0), "{}: {said:#?}", step.name);
        let has = |text: &str| assert!(said.stdout.contains(text), "{}: no {text:?} in {said:#?}", step.name);
        let by_hand = |name: &str| fs::read(world.dir.path().join("restored.by-hand").join(name)).unwrap();
        match step.name.as_str() {
            "check-tools" => has("/trust\n"),
            "list-snapshots" => [first, second].iter().for_each(|run| has(&format!("{run}\tcounts\tw1"))),
            "check-signatures" => has(" 0 damaged"),
            "restore" => assert_same(&look(&world.source()), &look(&target)),
            "hand-trust-first" => has("Good \"lifeboat-trust:"),
            "hand-trust-chain" => {
                has("trust/00000000: OK");
                has("writer:w1 namespaces=");
            }
            "hand-seal" => {
                has("Good \"lifeboat-seal:");
                has("\"name\": \"alice\"");
            }
            "hand-snapshot" => {
                has("Good \"lifeboat-ledger:");
                has("Good \"lifeboat-snapshot:");
                has(&format!("snapshots/files/{second}: OK"));
                has("\"status\": \"complete\"");
            }
            "hand-key" => {
                has(": OK");
                let key: serde_json::Value = serde_json::from_slice(&by_hand("key.json")).unwrap();
                tenant = key["tenant"].as_str().unwrap().to_owned();
            }
            "hand-index" => assert!(by_hand("index.jsonl").len() > 1000),
            "hand-segment" => {
                let place =
                    if tenant == "_system" { "\".\"".into() } else { format!("\"tenants/{tenant}\"") };
                has(&place);
            }
            "hand-file" if tenant == "_system" => has("this tenant has no such file"),
            "hand-file" => {
                let source = world.source().join("tenants").join(&tenant);
                let files =
                    fs::read_dir(source).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
                assert_eq!(Some(by_hand("file")), files.min_by_key(Vec::len));
            }
            "clean-up" => assert!(!world.dir.path().join("restored.by-hand").exists()),
            other => panic!("what does the step {other:?} show?"),
        }
        done.push(step.name.as_str());
    }
    assert_eq!(done.len(), 13, "{done:?}");
}
