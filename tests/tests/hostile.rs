//! Hostile input: well signed lies by somebody who holds a writer's keys, foreign objects, wrong keys.

#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::crypto::{Identity, Kind, SigningKey, sign_object};
use lifeboat_repo::format::index::{ChunkRef, IndexHeader, SegmentKind, SegmentLine, encode_index};
use lifeboat_repo::format::manifest::{EntryKind, LINE_MAX, Tail};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{ChunkId, ObjectName};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::{Repository, RepositoryErrorKind};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::{Report, RestoreError, RestoreErrorKind, Status};
use lifeboat_tests::examine::{
    Verdict, look_integrity, look_inventory, look_readback, restore, scratch, tree,
};
use lifeboat_tests::forge::{Forger, dir, entry, file, hardlink, header_bomb, packed, symlink};
use lifeboat_tests::{World, label, write};

/// A repository in memory with one honest backup of the tenant `acme`.
struct Scene {
    world: World,
    store: MemoryStore,
}

impl Scene {
    fn new() -> Self {
        let store = MemoryStore::new();
        let world = World::over(Arc::new(store.clone()), scratch());
        write(&world.source(), "tenants/acme/honest", b"honest");
        world.backup().unwrap();
        Self { world, store }
    }

    fn forger(&self) -> Forger {
        Forger::new(&self.world, "acme")
    }

    /// Restores what was forged last, next to a file that must stay as it is.
    fn restore(&self, forger: &Forger) -> Restored {
        let scratch = scratch();
        write(scratch.path(), "outside/precious", b"precious");
        let before = tree(&scratch.path().join("outside"));
        let target = scratch.path().join("target");
        let outcome = restore(&self.world, &self.world.store, &forger.component, Some(forger.run), &target);
        assert_eq!(tree(&scratch.path().join("outside")), before, "something was written outside the target");
        let mut beside: Vec<_> =
            scratch.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        beside.retain(|name| name != "target");
        assert_eq!(beside, ["outside"]);
        let made = if target.exists() { tree(&target).into_keys().collect() } else { Vec::new() };
        Restored { outcome, made }
    }

    fn readback(&self) -> Verdict {
        look_readback(&self.world, &self.world.store)
    }
}

struct Restored {
    outcome: Result<Report, RestoreError>,
    made: Vec<String>,
}

impl Restored {
    /// That it is partial, that this is why, and that nothing was made but this.
    #[track_caller]
    fn is_partial(&self, why: &str, made: &[&str]) {
        let report = self.outcome.as_ref().unwrap();
        assert_eq!(report.status(), Status::Partial);
        let losses = report.losses.iter().map(|loss| loss.why.clone());
        let whys: Vec<String> =
            losses.chain(report.findings.iter().map(|found| found.what.clone())).collect();
        assert!(whys.iter().any(|text| text.contains(why)), "{why:?} is not in {whys:?}");
        assert_eq!(self.made, made);
    }

    /// That it is refused as damaged, before anything was made, and that the error says so.
    #[track_caller]
    fn is_refused(&self, what: &str, why: &str) {
        let error = self.outcome.as_ref().unwrap_err();
        assert!(matches!(error.kind, RestoreErrorKind::Damaged(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(what) && text.contains(why), "{text:?} lacks {what:?} or {why:?}");
        assert!(self.made.is_empty(), "{:?}", self.made);
    }
}

/// That a level found damage and says this of it.
#[track_caller]
fn finds(verdict: &Verdict, what: &str) {
    assert!(
        verdict.damage().any(|finding| finding.to_string().contains(what)),
        "{what:?} is not in {verdict:?}"
    );
}

/// Forges a snapshot whose manifest is these lines.
fn manifest(scene: &Scene, lines: &[Vec<u8>], entries: u64, bytes: u64) -> Forger {
    let mut forger = scene.forger();
    forger.segment(SegmentKind::Data, &[b"x"]);
    forger.commit(&scene.world, &lines.concat(), entries, Bytes(bytes));
    forger
}

#[test]
fn an_honest_forgery_restores() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    let forger = manifest(&scene, &[dir("d"), file("d/f", &[x])], 2, 1);
    let restored = scene.restore(&forger);
    assert_eq!(restored.outcome.as_ref().unwrap().status(), Status::Complete);
    assert_eq!(restored.made, ["d", "d/f"]);
    assert_eq!(scene.readback().word("-"), "-", "{:?}", scene.readback());
}

#[test]
fn paths_that_lead_out_end_the_share() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    for path in ["../outside/evil", "/outside/evil", "d/../../outside/evil", "d//evil", "d/./evil", ".."] {
        // The entry before a broken line might have gone on in it, so it is not taken either.
        let forger = manifest(&scene, &[dir("c"), dir("d"), file(path, &[x])], 3, 1);
        scene.restore(&forger).is_partial("a path is absolute or has a part", &["c"]);
        finds(&scene.readback(), "a path is absolute or has a part");
    }
    let first = hardlink("name", "../outside/precious");
    let forger = manifest(&scene, &[dir("c"), dir("d"), first], 3, 0);
    scene.restore(&forger).is_partial("a path is absolute or has a part", &["c"]);
}

#[test]
fn nothing_passes_through_a_symlink_of_the_manifest() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    for target in ["../outside", "../../outside", "/", "/dev/shm", "."] {
        // As a leaf first and a directory later, and the other way round.
        let lines = [symlink("a", Path::new(target)), file("a/evil", &[x])];
        let forger = manifest(&scene, &lines, 2, 1);
        scene.restore(&forger).is_partial("cannot", &["a", "a/evil"]);
    }
    // A link alone may point where it likes: it is what was backed up, and nothing is written through it.
    let forger = manifest(&scene, &[symlink("out", Path::new("../outside/precious"))], 1, 0);
    assert_eq!(scene.restore(&forger).outcome.unwrap().status(), Status::Complete);
}

#[test]
fn a_hardlink_ties_only_to_what_its_own_share_holds() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    // To what is not there, to itself, to a file of another share.
    for first in ["gone", "name", "tenants/acme/honest"] {
        let lines =
            [file("f", &[x]), hardlink("name", first), symlink("out", Path::new("../outside/precious"))];
        let forger = manifest(&scene, &lines, 3, 1);
        scene.restore(&forger).is_partial("which cannot be found", &["f", "out"]);
    }
    // A second name of a link that leads out is that link again, whichever comes first; nothing is followed.
    let out = || symlink("out", Path::new("../outside/precious"));
    for (lines, made) in [
        ([out(), hardlink("second", "out")], ["out", "second"]),
        ([hardlink("name", "out"), out()], ["name", "out"]),
    ] {
        let restored = scene.restore(&manifest(&scene, &lines, 2, 0));
        assert_eq!(restored.outcome.as_ref().unwrap().status(), Status::Complete);
        assert_eq!(restored.made, made);
    }
}

#[test]
fn entries_stand_once_and_in_order() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    for lines in [
        [file("b", &[x]), file("a", &[x])],
        [file("b", &[x]), file("b", &[x])],
        [file("b", &[x]), dir("b")],
        [dir("b"), dir("b")],
    ] {
        let forger = manifest(&scene, &lines, 2, 2);
        scene.restore(&forger).is_partial("not in order", &["b"]);
        finds(&scene.readback(), "not in its order");
    }
}

#[test]
fn long_lines_and_nested_ones_end_the_share() {
    let scene = Scene::new();
    let long = format!("{{\"path\":\"b\",\"type\":\"error\",\"error\":\"{}\"}}\n", "e".repeat(LINE_MAX))
        .into_bytes();
    let nested = [b"{\"path\":\"b\",\"x\":".to_vec(), b"[".repeat(60_000), b"\n".to_vec()].concat();
    let endless = b"x".repeat(3 << 20);
    for (line, why) in [
        (long, "the line is longer than"),
        (nested, "manifest line 3"),
        (endless, "the line is longer than"),
        (b"{\"more\":true,\"chunks\":[]}".to_vec(), "cut off"),
        (b"\n".to_vec(), "manifest line 3"),
    ] {
        let forger = manifest(&scene, &[dir("a"), dir("aa"), line], 3, 0);
        scene.restore(&forger).is_partial(why, &["a"]);
        finds(&scene.readback(), why);
    }
    let forger = manifest(&scene, &[b"{\"more\":true,\"chunks\":[]}\n".to_vec(), dir("a")], 2, 0);
    scene.restore(&forger).is_partial("goes on with nothing", &[]);
}

#[test]
fn chunks_that_are_nowhere_or_other_than_they_say_are_lost_by_name() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    let nowhere = ChunkRef(ChunkId::from_bytes([9; 32]), 1);
    let lying = ChunkRef(x.0, 2);
    let forger =
        manifest(&scene, &[file("bad", &[nowhere]), file("good", &[x]), file("lie", &[lying])], 3, 4);
    let restored = scene.restore(&forger);
    restored.is_partial("chunks of it are in no index", &["good"]);
    let losses = restored.outcome.unwrap().losses;
    let paths: Vec<_> =
        losses.iter().flat_map(|loss| &loss.paths).map(|path| String::from_utf8_lossy(path)).collect();
    assert_eq!(paths, ["bad", "lie"]);
    // Content and name do not fit, though every signature does.
    let mut forger = scene.forger();
    let honest = forger.reference(b"what was promised");
    forger.raw_segment(SegmentKind::Data, &packed(b"something quite e"), honest.length(), vec![honest]);
    forger.commit(&scene.world, &file("f", &[honest]), 1, honest.length());
    scene.restore(&forger).is_partial("its content is not what its id says", &[]);
    finds(&scene.readback(), "not what was stored");
    // No keyless check can see that: the writer signed what it stored.
    assert_eq!(look_integrity(&scene.world, &scene.world.store).word("-"), "-");
}

#[test]
fn sizes_and_holes_must_add_up() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    for line in [
        entry("f", EntryKind::File, Bytes(1 << 50), Tail { chunks: vec![x], ..Tail::default() }),
        entry("f", EntryKind::File, Bytes::ZERO, Tail { chunks: vec![x], ..Tail::default() }),
        br#"{"path":"f","type":"file","mode":"0644","size":8,"holes":[[4,18446744073709551615]]}"#.to_vec(),
        br#"{"path":"f","type":"file","mode":"0644","size":8,"holes":[[4,4],[0,4]]}"#.to_vec(),
        br#"{"path":"f","type":"file","mode":"0644","size":18446744073709551615}"#.to_vec(),
        br#"{"path":"f","type":"file","mode":"99999","size":0}"#.to_vec(),
        br#"{"path":"f","type":"dir","mode":"0755","chunks":[["00",1]]}"#.to_vec(),
    ] {
        let line = if line.ends_with(b"\n") { line } else { [line, b"\n".to_vec()].concat() };
        let forger = manifest(&scene, &[line], 1, 1);
        scene.restore(&forger).is_partial("manifest", &[]);
        finds(&scene.readback(), "manifest");
    }
}

/// Forges a run whose index is what `lie` makes of the true one.
fn index(
    scene: &Scene,
    lie: impl FnOnce(&mut IndexHeader, &mut Vec<SegmentLine>) -> Option<Vec<u8>>,
) -> Forger {
    let mut forger = scene.forger();
    let chunks = forger.segment(SegmentKind::Data, &[b"x"]);
    let manifest = forger.manifest(&file("f", &chunks));
    forger.put_run();
    let (mut header, mut lines) = forger.put_pack();
    let plain = lie(&mut header, &mut lines);
    let plain = plain.unwrap_or_else(|| encode_index(&header, &lines).unwrap());
    forger.put_index(&plain);
    let snapshot = forger.snapshot(manifest, 1, Bytes(1));
    forger.put_snapshot(&snapshot.encode().unwrap());
    forger.record(&scene.world);
    forger
}

#[test]
fn an_index_that_breaks_a_rule_is_named() {
    type Lie = fn(&mut IndexHeader, &mut Vec<SegmentLine>) -> Option<Vec<u8>>;
    let lies: [(&str, Lie); 9] = [
        ("beyond the limits", |_, lines| {
            lines[0].length = Bytes(1 << 40);
            None
        }),
        ("overflow", |_, lines| {
            lines[0].offset = Bytes(u64::MAX);
            None
        }),
        ("beyond the limits", |_, lines| {
            lines[0].plain = Bytes(65 << 20);
            None
        }),
        ("do not add up", |_, lines| {
            lines[0].plain = Bytes(2);
            None
        }),
        ("longer than the format allows", |_, lines| {
            lines[0].chunks[0].1 = u32::MAX;
            None
        }),
        ("names none where it must", |_, lines| {
            lines[0].pack = None;
            None
        }),
        ("it has format 1, newer", |header, _| {
            header.format = 1;
            None
        }),
        ("it needs [\"x\"]", |header, lines| {
            let plain = String::from_utf8(encode_index(header, lines).unwrap()).unwrap();
            Some(plain.replacen("{\"format\":0", "{\"must\":[\"x\"],\"format\":0", 1).into_bytes())
        }),
        ("cannot be read", |_, _| {
            Some([b"{\"format\":0,\"x\":".to_vec(), b"[".repeat(1 << 20), b"\n".to_vec()].concat())
        }),
    ];
    for (why, lie) in lies {
        let scene = Scene::new();
        let forger = index(&scene, lie);
        let restored = scene.restore(&forger);
        restored.is_partial(why, &[]);
        restored.is_partial(forger.index_name().as_str(), &[]);
        finds(&scene.readback(), why);
        let repository = scene.world.repository();
        let recovery = scene.world.recovery(&repository);
        finds(&look_inventory(&scene.world, &scene.world.store, recovery.catalog()), why);
    }
}

#[test]
fn an_index_that_lies_within_the_rules_loses_only_what_it_lies_about() {
    type Lie = fn(&mut IndexHeader, &mut Vec<SegmentLine>) -> Option<Vec<u8>>;
    let lies: [(&str, Lie); 6] = [
        ("ends after", |_, lines| {
            lines[0].offset = Bytes(900 << 20);
            None
        }),
        ("its bytes are not those that were stored", |_, lines| {
            lines[0].offset = Bytes(1);
            None
        }),
        // The segment holds less than the index says.
        ("shorter than its index says", |_, lines| {
            lines[0].plain = Bytes(9);
            lines[0].chunks.push(ChunkRef(ChunkId::from_bytes([7; 32]), 8));
            None
        }),
        ("no such object", |_, lines| {
            lines[0].pack = Some("77".repeat(32).parse().unwrap());
            None
        }),
        // Somebody else's key.
        ("in no index", |_, lines| {
            lines[0].key = "88".repeat(32).parse().unwrap();
            None
        }),
        ("in no index", |_, lines| {
            lines[0].chunks[0].0 = ChunkId::from_bytes([7; 32]);
            None
        }),
    ];
    for (why, lie) in lies {
        let scene = Scene::new();
        let forger = index(&scene, lie);
        let why = if why == "no such object" { "it is missing" } else { why };
        scene.restore(&forger).is_partial(why, &[]);
        assert!(scene.readback().damage().next().is_some(), "{why}");
    }
}

#[test]
fn a_segment_gives_no_more_than_its_index_says() {
    // 1 GiB of zeros in a few kilobytes: many frames, each honest about its size, and one that hides it.
    let frame = packed(&vec![0; 16 << 20]);
    let bomb = frame.repeat(64);
    assert!(bomb.len() < 1 << 20);
    let scene = Scene::new();
    let mut forger = scene.forger();
    let promised = forger.reference(&[0; 100]);
    forger.raw_segment(SegmentKind::Data, &bomb, Bytes(100), vec![promised]);
    forger.commit(&scene.world, &file("f", &[promised]), 1, Bytes(100));
    scene.restore(&forger).is_partial("decompresses to more than the 100 B", &[]);
    finds(&scene.readback(), "decompresses to more than the 100 B");
    // As manifest: the share is lost, and nothing more.
    let mut forger = scene.forger();
    forger.raw_segment(SegmentKind::Manifest, &bomb, Bytes(100), vec![promised]);
    forger.put_run();
    let (header, lines) = forger.put_pack();
    forger.put_index(&encode_index(&header, &lines).unwrap());
    let snapshot = forger.snapshot(vec![promised], 1, Bytes(1));
    forger.put_snapshot(&snapshot.encode().unwrap());
    forger.record(&scene.world);
    scene.restore(&forger).is_partial("decompresses to more than the 100 B", &[]);
    // Longer than the index says, by a byte.
    let mut forger = scene.forger();
    forger.raw_segment(SegmentKind::Data, &packed(&[0; 101]), Bytes(100), vec![promised]);
    forger.commit(&scene.world, &file("f", &[promised]), 1, Bytes(100));
    scene.restore(&forger).is_partial("decompresses to more than the 100 B", &[]);
}

#[test]
fn a_cataloged_bomb_stops_at_its_limit() {
    // 1.5 GiB where at most 1 GiB is taken.
    let scene = Scene::new();
    let mut forger = scene.forger();
    forger.put_run();
    let bomb = packed(&vec![b' '; 16 << 20]).repeat(96);
    let body = forger.sealed_for_catalog(&bomb);
    forger.put(forger.snapshot_name(), Kind::Snapshot, &body);
    forger.record(&scene.world);
    scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), "decompresses to more than");
    finds(&scene.readback(), "decompresses to more than");
}

#[test]
fn header_bombs_are_not_parsed() {
    let bomb_why = "the age header does not end within";
    // A segment.
    let scene = Scene::new();
    let mut forger = scene.forger();
    let x = forger.reference(b"x");
    let bomb = header_bomb(&packed(b"x"), &forger.card.recipient, 100_000);
    assert!(bomb.len() > 9_000_000);
    forger.stored_segment(SegmentKind::Data, bomb.clone(), Bytes(1), vec![x]);
    forger.commit(&scene.world, &file("f", &[x]), 1, Bytes(1));
    scene.restore(&forger).is_partial(bomb_why, &[]);
    finds(&scene.readback(), bomb_why);
    // A snapshot, an index.
    let mut forger = scene.forger();
    forger.put_run();
    forger.put(forger.snapshot_name(), Kind::Snapshot, &bomb);
    forger.put(forger.index_name(), Kind::Index, &bomb);
    forger.record(&scene.world);
    scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), bomb_why);
    // A card: the writer's next backup says which.
    let scene = Scene::new();
    let forger = scene.forger();
    let replace = |prefix: &str, kind: Kind, signing: &SigningKey, body: &[u8]| -> ObjectName {
        let name = scene.store.list(prefix).unwrap().pop().unwrap().name;
        let object = sign_object(signing, kind, &forger.repository, &name, body).unwrap();
        scene.store.replace(&name, &object);
        name
    };
    let card = replace(&format!("cards/w1/{}", ""), Kind::Card, &forger.signing, &bomb);
    let text = scene.world.backup().unwrap_err().to_string();
    assert!(text.contains(card.as_str()) && text.contains(bomb_why), "{text}");
    // A key: its tenant is lost, by name of the object.
    let scene = Scene::new();
    let name = scene.store.list("keys/").unwrap().pop().unwrap().name;
    let forger = scene.forger();
    scene
        .store
        .replace(&name, &sign_object(&forger.signing, Kind::Key, &forger.repository, &name, &bomb).unwrap());
    finds(&scene.readback(), bomb_why);
    finds(&scene.readback(), name.as_str());
    // A seal, by an officer: no level that needs it can be done, and the error names it.
    let name: ObjectName = "seals/00000001/officers".parse().unwrap();
    let seal = sign_object(&scene.world.officer, Kind::Seal, &forger.repository, &name, &bomb).unwrap();
    scene.store.replace(&name, &seal);
    match scene.readback() {
        Verdict::Stopped(text) => assert!(text.contains(name.as_str()) && text.contains(bomb_why), "{text}"),
        Verdict::Ran(..) => panic!("a seal that cannot be opened"),
    }
}

#[test]
fn a_snapshot_counts_only_where_it_belongs() {
    let scene = Scene::new();
    let x = scene.forger().reference(b"x");
    let snapshot = |forger: &mut Forger, lie: &dyn Fn(&mut Snapshot)| {
        forger.segment(SegmentKind::Data, &[b"x"]);
        let manifest = forger.manifest(&file("f", &[x]));
        forger.put_run();
        let (header, lines) = forger.put_pack();
        forger.put_index(&encode_index(&header, &lines).unwrap());
        let mut snapshot = forger.snapshot(manifest, 1, Bytes(1));
        lie(&mut snapshot);
        forger.put_snapshot(&snapshot.encode().unwrap());
        forger.record(&scene.world);
    };
    // A component that the writer is not bound to: nobody who may signed it.
    let mut forger = scene.forger();
    forger.component = label("other");
    snapshot(&mut forger, &|_| ());
    scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), "writer:w1 may not sign");
    // The snapshot of one component under the name of another; of another run; of another writer.
    let other_run = scene.forger().run;
    for lie in [
        &|snapshot: &mut Snapshot| snapshot.component = label("other"),
        &move |snapshot: &mut Snapshot| snapshot.run = other_run,
        &|snapshot: &mut Snapshot| snapshot.writer = label("w2"),
    ] as [&dyn Fn(&mut Snapshot); 3]
    {
        let mut forger = scene.forger();
        snapshot(&mut forger, lie);
        scene
            .restore(&forger)
            .is_refused(forger.snapshot_name().as_str(), "another component, run or writer");
    }
    // What a newer program wrote, and what this one must not guess at.
    for (lie, why) in [
        (&|snapshot: &mut Snapshot| snapshot.format = 1, "it has format 1, newer"),
        (&|snapshot: &mut Snapshot| snapshot.must = vec!["x".into()], "it needs [\"x\"]"),
    ] as [(&dyn Fn(&mut Snapshot), &str); 2]
    {
        let mut forger = scene.forger();
        snapshot(&mut forger, lie);
        scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), why);
    }
    // Nesting.
    let mut forger = scene.forger();
    forger.put_run();
    let nested = [b"{\"format\":0,\"keys\":".to_vec(), b"[".repeat(5 << 20)].concat();
    forger.put_snapshot(&nested);
    forger.record(&scene.world);
    scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), "cannot be read");
    // Without its run.
    let mut forger = scene.forger();
    let snapshot = forger.snapshot(Vec::new(), 0, Bytes::ZERO);
    forger.put_snapshot(&snapshot.encode().unwrap());
    forger.record(&scene.world);
    scene.restore(&forger).is_refused(forger.snapshot_name().as_str(), "its run object is missing");
    // The honest one is still there.
    let target = scratch();
    let honest = scene.world.repository();
    let recovery = scene.world.recovery(&honest);
    assert!(!recovery.keys().unwrap().is_empty());
    let report =
        restore(&scene.world, &scene.world.store, &label("files"), None, &target.path().join("t")).unwrap();
    assert_eq!(report.status(), Status::Complete);
}

#[test]
fn unsigned_and_foreign_objects_are_refused_by_name() {
    let (scene, foreign) = (Scene::new(), Scene::new());
    for (area, why) in [
        ("snapshots/", "it was signed as"),
        ("runs/", "it was signed as"),
        ("index/", "it was signed as"),
        ("keys/", "it was signed as"),
        ("ledger/", "it was signed as"),
    ] {
        let ours = scene.store.list(area).unwrap();
        let theirs = foreign.store.list(area).unwrap();
        for (own, other) in ours.iter().zip(&theirs) {
            let whole = scene.store.read(&own.name, Bytes::mib(1)).unwrap();
            let end = b"-----END SSH SIGNATURE-----\n";
            let body = whole.windows(end.len()).position(|window| window == end).unwrap() + end.len();
            let strange = foreign.store.read(&other.name, Bytes::mib(1)).unwrap();
            for (bytes, why) in [(&whole[body..], "it is not signed"), (strange.as_slice(), why)] {
                let store = scene.store.fork();
                store.replace(&own.name, bytes);
                let found = look_integrity(&scene.world, &(Arc::new(store) as Arc<dyn Store>));
                finds(&found, why);
                finds(&found, own.name.as_str());
            }
        }
    }
}

#[test]
fn wrong_keys_say_whose_they_are_not() {
    let scene = Scene::new();
    let repository = scene.world.repository();
    let wrong = Recovery::open(&repository, &[Identity::generate()], &SystemClock).err().unwrap();
    assert!(matches!(wrong.kind, RepositoryErrorKind::WrongKey(_)), "{wrong:?}");
    assert!(wrong.to_string().contains("seals/00000001/officers"), "{wrong}");
    // The card identity is no recovery identity, nor the other way round.
    let card = scene.world.credentials().card;
    assert!(matches!(
        Recovery::open(&repository, &[card], &SystemClock).err().unwrap().kind,
        RepositoryErrorKind::WrongKey(_)
    ));
    let stranger = SigningKey::from_seed([9; 32]).public();
    let error = Repository::open(Arc::clone(&scene.world.store), &[stranger]).unwrap_err();
    assert!(matches!(error.kind, RepositoryErrorKind::Refused(_)), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("trust/00000000") && text.contains(&scene.world.officer.public().fingerprint()),
        "{text}"
    );
    // A recovery identity of another repository, and nothing where a repository should be.
    let foreign = Scene::new();
    assert!(Recovery::open(&repository, &[foreign.world.recovery_identity()], &SystemClock).is_err());
    let empty: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let error = Repository::open(empty, &[scene.world.officer.public()]).unwrap_err().to_string();
    assert!(error.contains("there is no repository here"), "{error}");
}

#[test]
fn a_missing_key_loses_its_tenant_and_no_other() {
    let scene = Scene::new();
    write(&scene.world.source(), "tenants/beta/x", b"x");
    scene.world.backup().unwrap();
    let keys = scene.store.list("keys/").unwrap();
    let repository = scene.world.repository();
    let recovery = scene.world.recovery(&repository);
    for key in &keys {
        let store = scene.store.fork();
        store.remove(&key.name);
        let store: Arc<dyn Store> = Arc::new(store);
        let scratch = scratch();
        let report = restore(&scene.world, &store, &label("files"), None, &scratch.path().join("t")).unwrap();
        assert_eq!((report.status(), report.losses.len()), (Status::Partial, 1));
        assert!(report.losses[0].why.contains(key.name.as_str()), "{}", report.losses[0].why);
        finds(&look_inventory(&scene.world, &store, recovery.catalog()), key.name.as_str());
        finds(&look_integrity(&scene.world, &store), key.name.as_str());
    }
}

/// Directories that are swapped for links to an outside, again and again, while something writes to the target.
struct Swapped {
    /// How often.
    swaps: u64,
    /// What appeared outside.
    strays: usize,
}

const DIRECTORIES: u32 = 20;

fn swapping(scratch: &Path, pause: Duration, write: impl FnOnce(&Path)) -> Swapped {
    let (outside, target, aside) = (scratch.join("outside"), scratch.join("target"), scratch.join("aside"));
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    let done = AtomicBool::new(false);
    let swaps = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            for directory in (0..DIRECTORIES).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let at = target.join(format!("d{directory}"));
                if std::fs::rename(&at, &aside).is_ok() {
                    if std::os::unix::fs::symlink(&outside, &at).is_ok() {
                        std::thread::yield_now();
                        drop(std::fs::remove_file(&at));
                        swaps += 1;
                    }
                    drop(std::fs::rename(&aside, &at));
                }
                std::thread::sleep(pause);
            }
            swaps
        });
        write(&target);
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap()
    });
    Swapped { swaps, strays: tree(&outside).len() - 1 }
}

#[test]
fn a_directory_swapped_for_a_link_meanwhile_leads_nowhere() {
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    let names: Vec<String> =
        (0..DIRECTORIES * 25).map(|number| format!("d{}/sub/f{number}", number % DIRECTORIES)).collect();
    for name in &names {
        write(&world.source(), name, format!("{name} {}", "x".repeat(3000)).as_bytes());
    }
    world.backup().unwrap();
    // Whoever writes by path is led outside: the swaps are such as would do harm.
    let mut naive = Swapped { swaps: 0, strays: 0 };
    for _ in 0..50 {
        let scratch = scratch();
        naive = swapping(scratch.path(), Duration::ZERO, |target| {
            for name in &names {
                drop(std::fs::create_dir_all(target.join(name).parent().unwrap()));
                drop(std::fs::write(target.join(name), b"x"));
            }
        });
        if naive.strays > 0 {
            break;
        }
    }
    assert!(naive.strays > 0, "{} swaps led nobody astray", naive.swaps);
    let (mut swaps, mut noticed, mut whole) = (0, 0, 0);
    for round in 0..40 {
        let scratch = scratch();
        let swapped = swapping(scratch.path(), Duration::from_micros(round * 50), |target| {
            match restore(&world, &world.store, &label("files"), None, target) {
                Ok(report) if report.status() == Status::Complete => whole += 1,
                Ok(_) => noticed += 1,
                Err(error) => {
                    assert!(error.to_string().contains("target"), "{error}");
                    noticed += 1;
                }
            }
        });
        assert_eq!(swapped.strays, 0, "something was written outside the target");
        swaps += swapped.swaps;
    }
    println!("{swaps} swaps: {noticed} restores noticed, {whole} came out whole");
    assert!(noticed > 0 && swaps > 40, "{swaps} swaps, {noticed} noticed");
}
