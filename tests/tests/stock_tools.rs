//! What Lifeboat stores is what stock tools accept, and what is not they refuse.

#![cfg(test)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::{ChunkIdKey, Identity, Kind, SigningKey, chunk_id, segment_id, sha256};
use lifeboat_repo::format::records::{FenceBody, GcBody};
use lifeboat_repo::format::{self, FORMAT_VERSION, names};
use lifeboat_repo::ids::RunId;
use lifeboat_repo::repository::officer::{self, Officer};
use lifeboat_tests::stock::{Safe, Said, Toolbox, enrol_maintainer, put_signed};
use lifeboat_tests::trees::noise;
use lifeboat_tests::{World, label, write};
use serde_json::Value;

const SCRIPT: &str = "scripts/check-signatures";
const FORMAT: &str = include_str!("../../repo/FORMAT.md");
const BODY: &str = "sed '1,/^-----END SSH SIGNATURE-----$/d'";

/// The one passage of FORMAT.md that begins and ends so: what it tells people to type is what runs here.
fn passage(begin: &str, end: &str) -> String {
    let mut found = FORMAT.match_indices(begin);
    let (at, _) = found.next().unwrap_or_else(|| panic!("FORMAT.md has no {begin:?}"));
    assert!(found.next().is_none(), "FORMAT.md has {begin:?} twice");
    let length = FORMAT[at..].find(end).unwrap();
    FORMAT[at..at + length].to_owned()
}

/// Two tenants in two runs, and something by a maintainer that the third run has seen: an object of every kind.
fn world(noisy: usize) -> World {
    let world = World::new();
    write(&world.source(), "tenants/acme/noise", &noise(1, noisy));
    write(&world.source(), "tenants/acme/text", "hello\n".repeat(50_000).as_bytes());
    write(&world.source(), "tenants/beta/chat", b"hello from beta");
    let expired = world.backup().unwrap().snapshot;
    write(&world.source(), "tenants/acme/more", b"more");
    world.backup().unwrap();
    let maintainer = SigningKey::from_seed([3; 32]);
    enrol_maintainer(&world, "m1", &maintainer);
    let time = SystemClock.now();
    let (seq, snapshots) = (names::Seq(0), vec![expired]);
    let body =
        GcBody { format: FORMAT_VERSION, seq, time, packs: Vec::new(), snapshots, ..GcBody::default() };
    let gc = "gc/00000000".parse().unwrap();
    put_signed(&world, &maintainer, Kind::Gc, &gc, &format::encode(&body, "gc").unwrap());
    let fence = RunId::new(time, [0xfe; 8]);
    let body = FenceBody { format: FORMAT_VERSION, fence, time };
    let name = names::snapshot(&label("files"), fence).unwrap();
    put_signed(&world, &maintainer, Kind::Fence, &name, &format::encode(&body, "fence").unwrap());
    write(&world.source(), "tenants/beta/more", b"more");
    world.backup().unwrap();
    world
}

/// One object of each kind, by what it is.
fn one_of_each(safe: &Safe) -> BTreeMap<&'static str, String> {
    let newest = |prefix: &str| safe.objects(prefix).pop().unwrap();
    let seal = newest("seals/");
    let fence =
        safe.objects("snapshots/").into_iter().find(|name| name.ends_with("fefefefefefefefe")).unwrap();
    BTreeMap::from([
        ("trust", newest("trust/")),
        ("seal for officers", seal.replace("/writers", "/officers")),
        ("seal for writers", seal),
        ("key", newest("keys/")),
        ("card", newest("cards/")),
        ("pack", newest("packs/")),
        ("index", newest("index/")),
        ("snapshot", newest("snapshots/")),
        ("run", newest("runs/")),
        ("ledger", "ledger/w1/00000001".into()),
        ("gc", "gc/00000000".into()),
        ("fence", fence),
    ])
}

/// Where the body of an object begins.
fn body_at(object: &[u8]) -> usize {
    let end = b"\n-----END SSH SIGNATURE-----\n";
    object.windows(end.len()).position(|window| window == end).map_or(0, |at| at + end.len())
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// `20261123t184339123z-…` as ssh-keygen wants it, and so whatever has at least these digits.
fn moment(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    format!("{digits}Z")
}

/// A repository's objects, and who signed them.
struct Desk {
    tools: Toolbox,
    safe: Safe,
    world: World,
    scratch: tempfile::TempDir,
}

impl Desk {
    fn new(world: World) -> Self {
        let safe = Safe::new(&world);
        Self { tools: Toolbox::new(), safe, world, scratch: tempfile::tempdir().unwrap() }
    }

    fn body(&self, object: &str) -> Vec<u8> {
        let bytes = self.safe.read(object);
        bytes[body_at(&bytes)..].to_vec()
    }

    /// When an object is judged (FORMAT.md §3).
    fn judged_at(&self, object: &str) -> String {
        let parts: Vec<&str> = object.split('/').collect();
        match parts[0] {
            "index" | "snapshots" | "runs" => moment(parts[2]),
            "ledger" => moment(json(&self.body(object))["run"].as_str().unwrap()),
            "keys" | "cards" => {
                let naming = self.safe.objects("ledger/").into_iter().find(|entry| {
                    json(&self.body(entry))["objects"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|named| named[0] == object)
                });
                self.judged_at(&naming.unwrap())
            }
            "trust" => {
                let body = String::from_utf8(self.body(object)).unwrap();
                let header: Value =
                    serde_json::from_str(body.lines().next().unwrap().strip_prefix("# ").unwrap()).unwrap();
                let created = header["created"].as_str().unwrap().to_owned();
                self.tools
                    .lines(Path::new("/"), "TZ=UTC date -d \"@$1\" +%Y%m%d%H%M%SZ", [created])
                    .done()
                    .trim()
                    .to_owned()
            }
            _ => moment(&SystemClock.now().rfc3339()),
        }
    }

    /// The `allowed_signers` that an object is judged by: of trust the one before it, of all else the newest.
    fn signers(&self, object: &str) -> Vec<u8> {
        let trusts = self.safe.objects("trust/");
        match trusts.iter().position(|name| name == object) {
            Some(0) => format!("officer:alice {}\n", self.world.officer.public()).into_bytes(),
            Some(number) => self.body(&trusts[number - 1]),
            None => self.body(trusts.last().unwrap()),
        }
    }

    /// The two seds and the ssh-keygen of FORMAT.md §3.
    fn verify(
        &self,
        signers: &[u8],
        principal: &str,
        kind: &str,
        name: &str,
        at: &str,
        object: &[u8],
    ) -> Said {
        let dir = self.scratch.path();
        fs::write(dir.join("allowed_signers"), signers).unwrap();
        fs::write(dir.join("object"), object).unwrap();
        let mut lines = passage("LC_ALL=C sed    '", "\n");
        lines.extend(["\n".to_owned(), passage("LC_ALL=C sed '1,", "\n"), "\n".to_owned()]);
        lines.push_str(&passage("ssh-keygen -Y verify -f", "\n\n"));
        for (placeholder, argument) in
            [("<principal>", "$1"), ("<namespace>", "$2"), ("<YYYYMMDDHHMMSSZ>", "$3")]
        {
            assert!(lines.contains(placeholder), "{lines}");
            lines = lines.replace(placeholder, &format!("\"{argument}\""));
        }
        let namespace = format!("lifeboat-{kind}:{}:{name}", self.world.repository().id());
        self.tools.lines(dir, &lines, [principal, &namespace, at])
    }
}

#[test]
fn ssh_keygen_accepts_what_was_signed_and_nothing_else() {
    let desk = Desk::new(world(10_000));
    let mut objects = one_of_each(&desk.safe);
    objects.remove("pack");
    objects.insert("the first trust", "trust/00000000".into());
    let other_run = "20261123t184339123z-0123456789abcdef";
    let other_hash = "0123456789abcdef".repeat(4);
    for (what, name) in objects {
        let (role, kind, renamed) = match what {
            "trust" | "the first trust" => ("officer:alice", "trust", "trust/00000077".into()),
            "seal for officers" => ("officer:alice", "seal", name.replace("/officers", "/writers")),
            "seal for writers" => ("officer:alice", "seal", name.replace("/writers", "/officers")),
            "key" => ("writer:w1", "key", format!("{}/{other_hash}", name.rsplit_once('/').unwrap().0)),
            "card" => ("writer:w1", "card", format!("cards/w1/{other_hash}")),
            "index" => ("writer:w1", "index", format!("{}.00000007", name.rsplit_once('.').unwrap().0)),
            "run" => ("writer:w1", "run", format!("runs/w1/{other_run}")),
            "snapshot" => ("writer:w1", "snapshot", format!("snapshots/files/{other_run}")),
            "ledger" => ("writer:w1", "ledger", "ledger/w1/00000077".into()),
            "gc" => ("maintainer:m1", "gc", "gc/00000077".into()),
            "fence" => ("maintainer:m1", "fence", format!("snapshots/files/{other_run}")),
            other => panic!("who signs {other}?"),
        };
        let (object, signers) = (desk.safe.read(&name), desk.signers(&name));
        let at = if matches!(what, "gc" | "fence") {
            moment(&SystemClock.now().rfc3339())
        } else {
            desk.judged_at(&name)
        };
        let said = desk.verify(&signers, role, kind, &name, &at, &object);
        assert!(said.status == Some(0) && said.stdout.contains("Good"), "{name}: {said:#?}");

        let refuses = |how: &str, role: &str, kind: &str, name: &str, object: &[u8]| {
            let said = desk.verify(&signers, role, kind, name, &at, object);
            assert!(
                said.status != Some(0) && !said.stdout.contains("Good"),
                "{how}: {what} {name}: {said:#?}"
            );
        };
        let (body, end) = (body_at(&object), object.len());
        for at in [body, body + (end - body) / 2, end - 1] {
            let mut changed = object.clone();
            changed[at] ^= 1;
            refuses("a changed body", role, kind, &name, &changed);
        }
        for at in [3, 40, 100, body / 2, body - 60, body - 35] {
            let mut changed = object.clone();
            let at = if changed[at] == b'\n' { at + 1 } else { at };
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            refuses("a changed signature", role, kind, &name, &changed);
        }
        refuses("a longer body", role, kind, &name, &[object.as_slice(), b"\n"].concat());
        refuses("a shorter body", role, kind, &name, &object[..end - 1]);
        refuses("another name", role, kind, &renamed, &object);
        refuses("another kind", role, if kind == "run" { "index" } else { "run" }, &name, &object);
        refuses("somebody else", "writer:w2", kind, &name, &object);
    }
}

#[test]
fn sha256sum_checks_packs_against_the_ledger() {
    let world = world(10_000);
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let sums = passage("jq -r '.objects[]", "`");
    let lines = format!(
        "failed=0; for entry in ledger/*/*; do {BODY} \"$entry\" | {sums} || failed=1; done; exit $failed"
    );
    let checked = tools.lines(&safe.repository, &lines, [""; 0]).done();
    let packs = safe.objects("packs/");
    assert!(
        packs.len() > 2 && packs.iter().all(|pack| checked.contains(&format!("{pack}: OK"))),
        "{checked}"
    );

    let pack = packs.iter().max_by_key(|name| safe.read(name).len()).unwrap();
    let bytes = safe.read(pack);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 0x80;
    for (case, damaged) in
        [("flipped", Some(flipped.as_slice())), ("cut", bytes.get(..bytes.len() - 1)), ("gone", None)]
    {
        damaged.map_or_else(|| safe.remove(pack), |damaged| safe.put(pack, damaged));
        let said = tools.lines(&safe.repository, &lines, [""; 0]);
        assert_eq!(said.status, Some(1), "{case}: {said:#?}");
        let blamed: Vec<&str> = said.stdout.lines().filter(|line| line.contains("FAILED")).collect();
        assert!(matches!(&blamed[..], [one] if one.starts_with(pack)), "{case}: {blamed:?}");
        // The script sees it too, without anything that a tenant could read.
        let said = tools.script(SCRIPT, safe.papers());
        assert!(said.status == Some(1) && said.stderr.contains(pack), "{case}: {said:#?}");
    }
}

/// Has an object damaged, and the script find it: of those behind which nothing can be judged one at a time, of
/// all others one of each kind at once. The damage is made of what it is, its bytes and the repository before;
/// it is other bytes, or none for an object that goes.
fn each_is_found(except: &[&str], damage: impl Fn(&str, &str, &Safe) -> Option<Vec<u8>>) {
    let world = world(10_000);
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let mut objects = one_of_each(&safe);
    objects.retain(|what, _| !except.contains(what));
    let alone = ["trust", "ledger"].map(|what| objects.remove_entry(what).unwrap());
    let groups = alone.into_iter().map(|one| BTreeMap::from([one])).chain([objects]);
    for (number, group) in groups.enumerate() {
        let copy = safe.copied(&world.dir.path().join(format!("copy{number}")));
        for (what, name) in &group {
            damage(what, name, &safe).map_or_else(|| copy.remove(name), |bytes| copy.put(name, &bytes));
        }
        let said = tools.script(SCRIPT, copy.papers());
        assert_eq!(said.status, Some(1), "{group:#?}: {said:#?}");
        for (what, name) in group {
            // Of gc records and of names below snapshots/ the checkpoints know number and hash.
            let blamed = |line: &str| {
                line.contains(&name)
                    || (what == "gc" && line.contains("gc records are missing"))
                    || (what == "fence" && line.contains("names below snapshots/; one is gone"))
            };
            let named = said.stderr.lines().any(|line| line.starts_with("DAMAGED") && blamed(line));
            assert!(named, "{what}: {name} is not named: {said:#?}");
        }
        assert!(!said.stdout.contains(" 0 damaged"), "{said:#?}");
    }
    let said = tools.script(SCRIPT, safe.papers());
    assert!(said.status == Some(0) && said.stdout.contains(" 0 damaged"), "{said:#?}");
    assert!(said.stdout.contains(" 0 unrecorded, 1 fences, 0 by revoked writers, 0 strangers"), "{said:#?}");
}

#[test]
fn the_script_finds_changed_bodies() {
    each_is_found(&[], |_, name, safe| {
        let mut bytes = safe.read(name);
        let at = body_at(&bytes).midpoint(bytes.len());
        bytes[at] ^= 1;
        Some(bytes)
    });
}

#[test]
fn the_script_finds_changed_signatures() {
    each_is_found(&["pack"], |_, name, safe| {
        let mut bytes = safe.read(name);
        bytes[150] = if bytes[150] == b'A' { b'Q' } else { b'A' };
        Some(bytes)
    });
}

#[test]
fn the_script_finds_what_is_cut() {
    each_is_found(&[], |_, name, safe| {
        let mut bytes = safe.read(name);
        bytes.truncate(bytes.len() - 2);
        Some(bytes)
    });
}

#[test]
fn the_script_finds_what_is_missing() {
    each_is_found(&[], |_, _, _| None);
}

#[test]
fn the_script_finds_what_took_anothers_place() {
    each_is_found(&["gc"], |what, name, safe| {
        // An honest object of the same kind under a name that is not its own.
        let other = match what {
            "trust" => "trust/00000000".to_owned(),
            "seal for officers" => "seals/00000000/officers".into(),
            "seal for writers" => name.replace("/writers", "/officers"),
            "ledger" => "ledger/w1/00000000".into(),
            "fence" => safe.objects("snapshots/").pop().unwrap(),
            _ => safe.objects(name.split_once('/').unwrap().0).remove(0),
        };
        assert_ne!(other, name);
        Some(safe.read(&other))
    });
}

#[test]
fn the_script_says_when_it_cannot_begin() {
    let world = World::new();
    let (tools, safe) = (Toolbox::new(), Safe::new(&world));
    let at = |name: &str| world.dir.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("no.pub"), "nothing\n").unwrap();
    fs::write(at("stranger.pub"), format!("{} mallory\n", SigningKey::from_seed([9; 32]).public())).unwrap();
    let run = |repository: &Path, officers: &Path, more: &[&str]| {
        let mut args = vec![
            OsStr::new("--repository"),
            repository.as_os_str(),
            "--officer".as_ref(),
            officers.as_os_str(),
        ];
        args.extend(more.iter().map(OsStr::new));
        tools.script(SCRIPT, args)
    };
    let refuses = |status: i32, named: &str, said: Said| {
        assert!(
            said.status == Some(status) && said.stderr.contains(named) && said.stdout.is_empty(),
            "{named}: {said:#?}"
        );
    };
    refuses(2, "no directory", run(&at("absent"), &safe.officers, &[]));
    refuses(2, "is not a Lifeboat repository", run(&at("empty"), &safe.officers, &[]));
    refuses(2, "cannot read", run(&safe.repository, &at("absent"), &[]));
    refuses(2, "holds no line", run(&safe.repository, &at("no.pub"), &[]));
    refuses(2, "--everything", run(&safe.repository, &safe.officers, &["--everything"]));
    refuses(2, "--jobs", run(&safe.repository, &safe.officers, &["--jobs", "0"]));
    refuses(2, "needed", tools.script(SCRIPT, ["--repository", "."]));
    refuses(1, "trust/00000000 is not signed by a key in", run(&safe.repository, &at("stranger.pub"), &[]));
    tools.take("jq");
    refuses(2, "jq is not installed", run(&safe.repository, &safe.officers, &[]));
}

#[test]
fn trust_may_change_hands() {
    let world = World::new();
    write(&world.source(), "tenants/acme/chat", b"hello");
    world.backup().unwrap();
    let (bob, bobs) = (SigningKey::from_seed([5; 32]), Identity::generate());
    world.enrol("w2", &SigningKey::from_seed([4; 32]).public(), &Identity::generate(), &["files", "mail"]);
    let repository = world.repository();
    // A writer that never wrote, so nothing of its ledger counts.
    let cutoff =
        officer::revoke_writer(&world.recovery(&repository), &world.alice(), &label("w2"), &SystemClock)
            .unwrap();
    assert_eq!(cutoff, None);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    officer::add_officer(
        &recovery,
        &world.alice(),
        &label("bob"),
        bob.public(),
        &bobs.recipient(),
        &SystemClock,
    )
    .unwrap();
    let repository = world.repository();
    let by_bob = Officer { name: label("bob"), signing: &bob };
    let cutoff =
        officer::revoke_writer(&world.recovery(&repository), &by_bob, &label("w1"), &SystemClock).unwrap();
    assert!(
        cutoff.is_some(),
        "one that wrote, revoked by the new officer, in the second it wrote in or soon after"
    );

    let desk = Desk::new(world);
    let trusts = desk.safe.objects("trust/");
    assert_eq!(trusts.len(), 6);
    for (name, who) in trusts.iter().zip(["alice", "alice", "alice", "alice", "alice", "bob"]) {
        let (object, signers, at) = (desk.safe.read(name), desk.signers(name), desk.judged_at(name));
        let said = desk.verify(&signers, &format!("officer:{who}"), "trust", name, &at, &object);
        assert_eq!(said.status, Some(0), "{name}: {said:#?}");
    }
    // What the revoked writer signed in time still holds; what it could sign now does not.
    let (snapshot, signers) = (desk.safe.objects("snapshots/").remove(0), desk.signers("snapshots"));
    let object = desk.safe.read(&snapshot);
    for (at, status) in [(desk.judged_at(&snapshot), 0), ("20990101000000Z".into(), 255)] {
        let said = desk.verify(&signers, "writer:w1", "snapshot", &snapshot, &at, &object);
        assert_eq!(said.status, Some(status), "{said:#?}");
    }
    let said = desk.tools.script(SCRIPT, desk.safe.papers());
    assert!(said.status == Some(0) && said.stdout.contains("6 trusts, 1 ledger entries"), "{said:#?}");

    // And the new officer's identity restores what was written before.
    fs::write(&desk.safe.identity, bobs.to_secret_string().as_str()).unwrap();
    let target = desk.scratch.path().join("target");
    let mut args = desk.safe.papers();
    args.extend([
        "--identity".as_ref(),
        desk.safe.identity.as_os_str(),
        "--component".as_ref(),
        "files".as_ref(),
    ]);
    args.extend(["--target".as_ref(), target.as_os_str()]);
    let _ = desk.tools.script("scripts/break-glass", args).done();
    assert_eq!(fs::read(target.join("tenants/acme/chat")).unwrap(), b"hello");
}

#[test]
fn segments_open_with_age_and_zstd() {
    let desk = Desk::new(world(6_000_000));
    let (repository, scratch) = (desk.safe.repository.as_path(), desk.scratch.path());
    let open = |object: &str, identity: &Path, more: &str| {
        let lines = format!("{BODY} \"$1\" | age -d -i \"$2\" {more}");
        desk.tools.lines(repository, &lines, [OsStr::new(object), identity.as_os_str()]).done()
    };
    let identity = |name: &str, text: &Value| {
        fs::write(scratch.join(name), text.as_str().unwrap()).unwrap();
        scratch.join(name)
    };
    let officers = one_of_each(&desk.safe).remove("seal for officers").unwrap();
    let seal = json(open(&officers, &desk.safe.identity, "").as_bytes());
    let catalog = identity("catalog", &seal["catalogs"][0]["identity"]);
    let seal = identity("seal", &seal["seal"]["identity"]);
    let keys: BTreeMap<String, Value> = desk
        .safe
        .objects("keys/")
        .iter()
        .map(|name| (name.rsplit('/').next().unwrap().to_owned(), json(open(name, &seal, "").as_bytes())))
        .collect();

    let (mut segments, mut chunks) = (0, 0);
    let mut packs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for index in desk.safe.objects("index/") {
        let text = open(&index, &catalog, "| zstd -dc");
        for line in text.lines().skip(1).map(|line| json(line.as_bytes())) {
            let pack = line["pack"].as_str().unwrap().to_owned();
            let key = &keys[line["key"].as_str().unwrap()];
            let file = format!("packs/{}/{pack}", &pack[..2]);
            let lines = "dd if=\"$1\" bs=64K iflag=skip_bytes,count_bytes skip=\"$2\" count=\"$3\" status=none >\"$4/segment\"
                age -d -i \"$4/key\" \"$4/segment\" | zstd -dc >\"$4/plain\"";
            let _ = identity("key", &key["identity"]);
            let (offset, length) = (line["offset"].to_string(), line["length"].to_string());
            let _ = desk
                .tools
                .lines(repository, lines, [&file, &offset, &length, scratch.to_str().unwrap()])
                .done();
            let stored = fs::read(scratch.join("segment")).unwrap();
            assert_eq!(segment_id(&stored).to_string(), line["segment"].as_str().unwrap());
            let plain = fs::read(scratch.join("plain")).unwrap();
            let mut k_id = [0; 32];
            hex::decode_to_slice(key["k_id"].as_str().unwrap(), &mut k_id).unwrap();
            let mut at = 0;
            for chunk in line["chunks"].as_array().unwrap() {
                let end = at + usize::try_from(chunk[1].as_u64().unwrap()).unwrap();
                let id = chunk_id(&ChunkIdKey::from_bytes(k_id), &plain[at..end]);
                assert_eq!(id.to_string(), chunk[0].as_str().unwrap());
                (at, chunks) = (end, chunks + 1);
            }
            assert_eq!((at, Some(at as u64)), (plain.len(), line["plain"].as_u64()));
            segments += 1;
            packs.entry(pack).or_default().push(line);
        }
    }
    assert!(segments > 5 && chunks > segments, "{segments} segments, {chunks} chunks");

    // Each pack says the same of itself, in its table.
    assert_eq!(packs.len(), desk.safe.objects("packs/").len());
    for (pack, mut lines) in packs {
        let file = format!("packs/{}/{pack}", &pack[..2]);
        assert_eq!(hex::encode(sha256(&desk.safe.read(&file))), pack);
        let script = "tail -c 64 \"$1\" | { read -r magic version word offset length
                [ \"$magic $version $word\" = 'lifeboat-pack 0 table' ]
                dd if=\"$1\" bs=64K iflag=skip_bytes,count_bytes skip=\"$offset\" count=\"$length\" status=none; } |
                age -d -i \"$2\" | zstd -dc";
        let table = desk.tools.lines(repository, script, [file.as_ref(), catalog.as_os_str()]).done();
        let table: Vec<Value> = table.lines().skip(1).map(|line| json(line.as_bytes())).collect();
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("pack");
        }
        assert_eq!(table, lines);
    }
}
