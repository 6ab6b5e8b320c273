//! Looking inside: `find`, `cat` and `diff` say what a naive person would, and read no more than they must.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::format::text;
use lifeboat_repo::ids::{RunId, Tenant};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::snapshots::{Judge, Listed};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::faulty::FaultyStore;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::Bytes;
use lifeboat_restore::diff::{Against, Change, Compared, Difference, between, with_directory};
use lifeboat_restore::find::{Query, Search, State};
use lifeboat_restore::glob::Pattern;
use lifeboat_restore::{RestoreError, RestoreErrorKind, Selection, cat, find};
use lifeboat_tests::proof::scratch;
use lifeboat_tests::trees::{self, Maker, Room};
use lifeboat_tests::{World, label};

#[path = "looking/history.rs"]
mod history;
#[path = "looking/plants.rs"]
mod plants;

use history::{History, Look, Seen, aspects, look};
use plants::{PLANTS, Plant};

fn listed(world: &World) -> Vec<Listed> {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    Judge::new(&repository, recovery.catalog()).unwrap().list(Some(&label("files"))).unwrap()
}

fn snapshot(listed: &[Listed], run: RunId) -> &Snapshot {
    listed.iter().find(|one| one.run == run).and_then(|one| one.snapshot.as_ref()).unwrap()
}

/// The latest snapshot and what opens it.
fn latest<T>(world: &World, with: impl FnOnce(&Recovery<'_>, &Snapshot) -> T) -> T {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = listed(world);
    with(&recovery, listed.iter().max_by_key(|one| one.run).and_then(|one| one.snapshot.as_ref()).unwrap())
}

// --- find

/// States as a naive person tells them: first and last snapshot, how many, size, what changed.
type Told = Vec<(RunId, RunId, u64, usize, Vec<String>)>;

/// The history of every path of which `wanted` says at some moment that it is meant.
fn naive(moments: &[(RunId, Look)], wanted: &dyn Fn(&[u8], &Seen) -> bool) -> BTreeMap<Vec<u8>, Told> {
    let mut all: BTreeMap<Vec<u8>, Told> = BTreeMap::new();
    let paths: BTreeSet<&Vec<u8>> = moments.iter().flat_map(|(_, seen)| seen.keys()).collect();
    for path in paths {
        let mut told = Told::new();
        let mut before: Option<(&Seen, usize)> = None;
        for (at, (run, seen)) in moments.iter().enumerate() {
            let Some(is) = seen.get(path).filter(|is| wanted(path, is)) else { continue };
            let mut changed = before.map(|(was, _)| aspects(was, is)).unwrap_or_default();
            // Where another writer made the snapshot, a file of another time may be other content.
            let other = before.is_some_and(|(_, last)| history::is_second(last) != history::is_second(at));
            if other && is.kind == "file" && changed.contains(&"mtime") && !changed.contains(&"content") {
                changed.insert(0, "content");
            }
            let goes_on = before.is_some_and(|(_, last)| last + 1 == at) && changed.is_empty();
            match told.last_mut().filter(|_| goes_on) {
                Some(state) => {
                    state.1 = *run;
                    state.2 += 1;
                }
                None => {
                    let changed = changed.into_iter().map(str::to_owned).collect();
                    told.push((*run, *run, 1, is.content.len(), changed));
                }
            }
            before = Some((is, at));
        }
        if !told.is_empty() {
            all.insert(path.clone(), told);
        }
    }
    all
}

fn told(search: &Search) -> BTreeMap<Vec<u8>, Told> {
    let state = |state: &State| {
        let changed = state.changed.iter().map(|aspect| aspect.as_str().to_owned()).collect();
        (state.first, state.last, state.snapshots, state.size.as_usize(), changed)
    };
    let found = search.found.iter();
    found.map(|found| (found.path.clone(), found.states.iter().map(state).collect())).collect()
}

fn search(history: &History, query: &Query) -> Search {
    let repository = history.world.repository();
    let recovery = history.world.recovery(&repository);
    let listed = listed(&history.world);
    let snapshots: Vec<&Snapshot> = history.moments.iter().map(|(run, _)| snapshot(&listed, *run)).collect();
    find(&recovery, &snapshots, query, &Silent).unwrap()
}

fn pattern(text: &str) -> Vec<Pattern> {
    vec![Pattern::new(text.as_bytes(), false).unwrap()]
}

#[test]
fn find_tells_the_history_of_every_path() {
    for seed in 1..=4 {
        let history = History::new(seed, 14);
        let check = |query: &Query, wanted: &dyn Fn(&[u8], &Seen) -> bool| {
            let search = search(&history, query);
            assert!(search.losses.is_empty());
            let (expected, found) = (naive(&history.moments, wanted), told(&search));
            for path in expected.keys().chain(found.keys()) {
                let shown = text::display(path);
                assert_eq!(found.get(path), expected.get(path), "seed {seed}, {query:?}: {shown}");
            }
            let last = history.moments.last().unwrap();
            for one in &search.found {
                for state in &one.states {
                    assert_eq!(state.present, state.last == last.0, "{:?}", one.path);
                }
            }
            (search.effort, found.len())
        };
        let (effort, found) = check(&Query::default(), &|_, _| true);
        assert!(found > 1200);
        // A chunk that several snapshots share is decoded once, and nearly all of them do.
        let listed = listed(&history.world);
        let shares = listed.iter().filter_map(|one| one.snapshot.as_ref()).flat_map(|one| &one.keys);
        let chunks = shares.flat_map(|share| share.manifest.iter().map(|chunk| (share.key, chunk.0)));
        let (all, different) = (chunks.clone().count() as u64, chunks.collect::<HashSet<_>>().len() as u64);
        assert_eq!((effort.chunks, effort.decoded), (all, different), "seed {seed}");
        assert!(different * 3 < all * 2, "seed {seed}: {different} of {all} chunks are different");

        check(&Query { patterns: pattern("*.txt"), ..Query::default() }, &|path, _| path.ends_with(b".txt"));
        check(&Query { patterns: pattern("deep/"), ..Query::default() }, &|path, _| {
            path.windows(5).any(|part| part == b"deep/")
        });
        let sizes = Query { size_min: Some(Bytes(100)), size_max: Some(Bytes(2000)), ..Query::default() };
        check(&sizes, &|_, seen| seen.kind == "file" && (100..=2000).contains(&seen.content.len()));
        let beta: Tenant = "beta".parse().unwrap();
        let one = Query { tenants: [beta].into(), ..Query::default() };
        check(&one, &|path, _| path.starts_with(b"tenants/beta"));
        let dirs = Query { kinds: vec![EntryKind::Dir], ..Query::default() };
        check(&dirs, &|_, seen| seen.kind == "dir");
    }
}

#[test]
fn a_tenant_that_comes_back_unchanged_is_found_again() {
    let world = World::over(Arc::new(MemoryStore::new()), scratch());
    let m = Maker::new(&world.source());
    m.dir("tenants/beta");
    m.file("tenants/beta/x", b"x");
    let (here, away) = (m.path("tenants"), world.dir.path().join("away"));
    let mut runs = vec![world.backup().unwrap().run];
    // Nothing of the tenant's own is touched, its manifest is the same to the last byte.
    fs::rename(&here, &away).unwrap();
    runs.push(world.backup().unwrap().run);
    fs::rename(&away, &here).unwrap();
    runs.push(world.backup().unwrap().run);
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = listed(&world);
    let snapshots: Vec<&Snapshot> = runs.iter().map(|run| snapshot(&listed, *run)).collect();
    let manifests = |one: &Snapshot| -> HashSet<_> {
        one.keys.iter().flat_map(|share| share.manifest.iter().map(|chunk| (share.key, chunk.0))).collect()
    };
    assert!(!manifests(snapshots[0]).is_disjoint(&manifests(snapshots[2])));
    let query = Query { tenants: ["beta".parse().unwrap()].into(), ..Query::default() };
    let search = find(&recovery, &snapshots, &query, &Silent).unwrap();
    assert_eq!(search.found.len(), 2, "{:?}", search.found);
    for found in &search.found {
        let states: Vec<_> = found.states.iter().map(|one| (one.first, one.last, one.present)).collect();
        assert_eq!(states, [(runs[0], runs[0], false), (runs[2], runs[2], true)], "{:?}", found.path);
    }
}

#[test]
fn what_cannot_be_searched_is_said_and_passed_over() {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    let m = Maker::new(&world.source());
    m.dir("tenants/acme");
    m.dir("tenants/beta");
    let mut runs = Vec::new();
    for number in 0..3 {
        m.file("tenants/acme/same", b"same");
        m.time("tenants/acme/same", 1_500_000_000, 0);
        m.file(format!("tenants/acme/{number}"), b"new");
        m.file("tenants/beta/x", b"x");
        let before: HashSet<_> = memory.list("packs/").unwrap().into_iter().map(|one| one.name).collect();
        runs.push(world.backup().unwrap().run);
        if number == 1 {
            // What this snapshot brought is lost.
            for pack in memory.list("packs/").unwrap() {
                if !before.contains(&pack.name) {
                    memory.remove(&pack.name);
                }
            }
        }
    }
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = listed(&world);
    let snapshots: Vec<&Snapshot> = runs.iter().map(|run| snapshot(&listed, *run)).collect();
    let query = Query { patterns: pattern("acme/same"), ..Query::default() };
    let search = find(&recovery, &snapshots, &query, &Silent).unwrap();
    let lost: Vec<_> = search.losses.iter().map(|(run, loss)| (*run, loss.tenant.clone())).collect();
    assert!(lost.contains(&(runs[1], Some("acme".parse().unwrap()))), "{lost:?}");
    assert!(lost.iter().all(|(run, _)| *run == runs[1]), "{lost:?}");
    // The snapshot that could not be read breaks no row, and is not counted in it either.
    let states = &search.found[0].states;
    assert_eq!(
        (states.len(), states[0].first, states[0].last, states[0].snapshots),
        (1, runs[0], runs[2], 2)
    );
}

// --- diff

/// Differences as lines: `+ path`, `- path`, `content mode path`.
fn lines(
    of: impl FnOnce(&mut dyn FnMut(&Difference)) -> Result<Compared, RestoreError>,
) -> (Vec<String>, Compared) {
    let mut lines = Vec::new();
    let compared = of(&mut |difference| {
        let words = match &difference.change {
            Change::Added => vec!["+"],
            Change::Removed => vec!["-"],
            Change::Changed(aspects) => aspects.iter().map(|aspect| aspect.as_str()).collect(),
            Change::Unread(_) => vec!["?"],
        };
        lines.push(format!("{} {}", words.join(" "), text::display(&difference.path)));
    })
    .unwrap();
    lines.sort();
    (lines, compared)
}

fn naive_diff(was: &Look, is: &Look) -> Vec<String> {
    let paths: BTreeSet<&Vec<u8>> = was.keys().chain(is.keys()).collect();
    let line = |path: &&Vec<u8>| {
        let words = match (was.get(*path), is.get(*path)) {
            (Some(was), Some(is)) => aspects(was, is),
            (None, _) => vec!["+"],
            (_, None) => vec!["-"],
        };
        (!words.is_empty()).then(|| format!("{} {}", words.join(" "), text::display(path)))
    };
    let mut lines: Vec<String> = paths.iter().filter_map(line).collect();
    lines.sort();
    lines
}

fn assert_totals(compared: &Compared, was: &Look, is: &Look) {
    let size = |look: &Look, other: &Look| -> u64 {
        let alone = look.iter().filter(|(path, _)| !other.contains_key(*path));
        alone.map(|(_, seen)| seen.content.len() as u64).sum()
    };
    assert_eq!(compared.bytes_added.0, size(is, was));
    assert_eq!(compared.bytes_removed.0, size(was, is));
    let (gone, kept) = (compared.removed, compared.same + compared.changed);
    assert_eq!((gone + kept, compared.added + kept), (was.len() as u64, is.len() as u64));
    assert!(compared.whole());
}

#[test]
fn diff_tells_what_differs_between_any_two_snapshots_and_the_tree() {
    for seed in [11, 12] {
        let history = History::new(seed, 11);
        let repository = history.world.repository();
        let recovery = history.world.recovery(&repository);
        let listed = listed(&history.world);
        let everything = Selection::default();
        let source = history.world.source();
        let now = look(&source);
        for (at, (old, was)) in history.moments.iter().enumerate() {
            let old = snapshot(&listed, *old);
            // Its neighbours, one by another writer, itself, and one made before it.
            for other in [at, at + 1, at + 2, (at + 5) % 11, 4] {
                let Some((new, is)) = history.moments.get(other) else { continue };
                let new = snapshot(&listed, *new);
                let (found, compared) =
                    lines(|show| between(&recovery, old, new, &everything, true, &Silent, show));
                assert_eq!(found, naive_diff(was, is), "seed {seed}: {at} with {other}");
                assert_totals(&compared, was, is);
            }
            for contents in [false, true] {
                let against = Against { contents, holes: false };
                let (found, compared) = lines(|show| {
                    with_directory(&recovery, old, &everything, &source, against, &Silent, show)
                });
                assert_eq!(found, naive_diff(was, &now), "seed {seed}: {at} with the tree");
                assert_totals(&compared, was, &now);
            }
        }
    }
}

#[test]
fn a_directory_differs_in_just_what_was_planted() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
    let dir = tempfile::tempdir_in("/dev/shm").expect("a tmpfs");
    let store = LocalStore::create_at(&dir.path().join("repository")).unwrap();
    let world = World::over(Arc::new(store), dir);
    trees::one_of_each(&world.source());
    world.backup().unwrap();
    let target = world.dir.path().join("target");
    let against = |target: &Path, contents, holes| {
        latest(&world, |recovery, snapshot| {
            let against = Against { contents, holes };
            lines(|show| {
                with_directory(recovery, snapshot, &Selection::default(), target, against, &Silent, show)
            })
            .0
        })
    };
    for Plant { what, plant, said } in PLANTS {
        world.restore(&target).unwrap();
        assert_eq!(against(&target, true, true), Vec::<String>::new(), "before {what}");
        plant(&Maker::new(&target));
        let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        said.iter().for_each(|(word, path)| expected.entry(path).or_default().push(word));
        let mut expected: Vec<String> =
            expected.iter().map(|(path, words)| format!("{} {path}", words.join(" "))).collect();
        expected.sort();
        assert_eq!(against(&target, true, true), expected, "{what}");
        fs::remove_dir_all(&target).unwrap();
    }
    // Of what looks the same, contents are read only where that is asked for; filled holes are no difference then.
    world.restore(&target).unwrap();
    for Plant { what, plant, .. } in PLANTS {
        if ["one bit of content", "zeros where a hole was"].contains(what) {
            plant(&Maker::new(&target));
        }
    }
    assert_eq!(against(&target, false, false), Vec::<String>::new());
    assert_eq!(against(&target, true, false), ["content plain"]);
}

#[test]
fn part_of_a_snapshot_can_be_compared() {
    let world = World::new();
    trees::one_of_each(&world.source());
    world.backup().unwrap();
    let m = Maker::new(&world.source());
    m.file("tenants/acme/chat", b"hello again");
    m.file("plain", b"other");
    m.dir("tenants/new");
    m.file("tenants/new/file", b"x");
    let differs = |paths: &[&str], tenants: &[&str]| {
        let selection = Selection {
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            tenants: tenants.iter().map(|tenant| tenant.parse().unwrap()).collect(),
        };
        latest(&world, |recovery, snapshot| {
            let (source, against) = (world.source(), Against::default());
            let mut found = Vec::new();
            with_directory(recovery, snapshot, &selection, &source, against, &Silent, &mut |difference| {
                found.push(String::from_utf8(difference.path.clone()).unwrap());
            })
            .map(|_| found)
        })
    };
    assert_eq!(differs(&["tenants/acme"], &[]).unwrap(), ["tenants/acme/chat"]);
    assert_eq!(
        differs(&["plain", "tenants/new"], &[]).unwrap(),
        ["plain", "tenants/new", "tenants/new/file"]
    );
    assert_eq!(differs(&["dir"], &[]).unwrap(), Vec::<String>::new());
    // Nothing there is no "no difference".
    assert!(matches!(differs(&["no/such"], &[]).unwrap_err().kind, RestoreErrorKind::Refused(_)));
    assert!(matches!(differs(&[], &["nobody"]).unwrap_err().kind, RestoreErrorKind::Refused(_)));
    assert!(matches!(differs(&["../x"], &[]).unwrap_err().kind, RestoreErrorKind::Refused(_)));
}

#[test]
fn many_tenants_are_compared_in_order() {
    // More shares than are kept open at once, in patterns that interleave.
    let world = World::new();
    let m = Maker::new(&world.source());
    for number in 0..150 {
        m.dir(format!("tenants/t{number}"));
        for file in ["a", "b"] {
            m.file(format!("tenants/t{number}/{file}"), file.as_bytes());
        }
    }
    world.backup().unwrap();
    m.file("tenants/t77/a", b"longer");
    m.file("tenants/t149/c", b"");
    fs::remove_file(m.path("tenants/t3/b")).unwrap();
    let (found, compared) = latest(&world, |recovery, snapshot| {
        let (source, against) = (world.source(), Against::default());
        let everything = Selection::default();
        lines(|show| with_directory(recovery, snapshot, &everything, &source, against, &Silent, show))
    });
    assert_eq!(
        found,
        [
            "+ tenants/t149/c",
            "- tenants/t3/b",
            "content mtime tenants/t77/a",
            "mtime tenants/t149",
            "mtime tenants/t3",
        ]
    );
    assert_eq!(compared.same, 452 - 4);
}

// --- cat

fn given(world: &World, path: &[u8]) -> Result<Vec<u8>, (RestoreError, Vec<u8>)> {
    latest(world, |recovery, snapshot| given_of(recovery, snapshot, path))
}

fn given_of(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    path: &[u8],
) -> Result<Vec<u8>, (RestoreError, Vec<u8>)> {
    let mut bytes = Vec::new();
    let outcome = cat(recovery, snapshot, &BTreeSet::new(), path, &Silent, &mut |some| {
        bytes.extend_from_slice(some);
        Ok(())
    });
    match outcome {
        Ok(given) => {
            assert_eq!(given.size, Bytes::of(&bytes));
            Ok(bytes)
        }
        Err(error) => Err((error, bytes)),
    }
}

#[test]
fn cat_gives_every_file_of_every_kind() {
    assert!(rustix::process::geteuid().is_root(), "owners and devices can only be tested by root");
    let world = World::over(Arc::new(MemoryStore::new()), tempfile::tempdir_in("/dev/shm").unwrap());
    trees::everything(&world.source(), Room::Wide);
    world.backup().unwrap();
    let mut files = 0;
    let source = world.source();
    latest(&world, |recovery, snapshot| {
        let mut waiting = vec![(source.clone(), b".".to_vec())];
        while let Some((at, path)) = waiting.pop() {
            let kind = fs::symlink_metadata(&at).unwrap().file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&at).unwrap() {
                    let name = entry.unwrap().file_name();
                    let below = if path == b"." {
                        name.as_bytes().to_vec()
                    } else {
                        [&path, b"/".as_slice(), name.as_bytes()].concat()
                    };
                    waiting.push((at.join(&name), below));
                }
            }
            let given = given_of(recovery, snapshot, &path);
            let shown = text::display(&path);
            if kind.is_file() {
                assert!(given.unwrap() == fs::read(&at).unwrap(), "{shown}");
                files += 1;
            } else {
                let (error, bytes) = given.unwrap_err();
                assert!(matches!(error.kind, RestoreErrorKind::Refused(_)) && bytes.is_empty(), "{shown}");
            }
        }
    });
    assert!(files > 150, "{files}");
    let (error, _) = given(&world, b"no/such/file").unwrap_err();
    assert!(error.to_string().contains("no such path") && error.to_string().contains("lifeboat find"));
    for bad in [b"/etc/passwd".as_slice(), b"../x", b"a//b"] {
        assert!(matches!(given(&world, bad).unwrap_err().0.kind, RestoreErrorKind::Refused(_)));
    }
}

#[test]
fn cat_fetches_what_the_file_needs_and_stops_at_damage() {
    let memory = MemoryStore::new();
    let world = World::over(Arc::new(memory.clone()), scratch());
    let m = Maker::new(&world.source());
    let large = trees::noise(1, 40 << 20);
    m.file("large", &large);
    m.file("other", &trees::noise(2, 40 << 20));
    world.backup().unwrap();
    m.file("small", b"small");
    world.backup().unwrap();
    let read = |path: &[u8]| {
        let store = Arc::new(FaultyStore::new(memory.clone()));
        let repository = world.repository_over(Arc::clone(&store) as Arc<dyn Store>);
        let recovery = world.recovery(&repository);
        let before = store.log().len();
        let given = latest(&world, |_, snapshot| given_of(&recovery, snapshot, path));
        let packs =
            store.log().split_off(before).into_iter().filter(|call| call.subject.starts_with("packs/"));
        (given, packs.count())
    };
    let (small, few) = read(b"small");
    assert_eq!(small.unwrap(), b"small");
    assert!(few <= 3, "{few} segments for five bytes");
    let (all, some) = read(b"large");
    assert!(all.unwrap() == large);
    // 40 MB in segments of about 4 MiB, and the manifest; not the other file's.
    assert!((10..=14).contains(&some), "{some} segments");

    // One bit in the middle of everything stored.
    let mut packs: Vec<_> = memory.list("packs/").unwrap();
    packs.sort_by_key(|pack| pack.length);
    let mut broken = 0;
    for pack in packs.iter().rev().take(3) {
        assert!(matches!(place(&pack.name), Some(Place::Pack(_))));
        let mut whole = memory.read(&pack.name, Bytes::mib(64)).unwrap();
        let kept = whole.clone();
        let middle = whole.len() / 2;
        whole[middle] ^= 1;
        memory.replace(&pack.name, &whole);
        if let (Err((error, bytes)), _) = read(b"large") {
            broken += 1;
            assert!(matches!(error.kind, RestoreErrorKind::Damaged(_)), "{error}");
            assert!(error.to_string().contains("large of tenant _system"), "{error}");
            assert!(large.starts_with(&bytes) && bytes.len() < large.len());
        }
        memory.replace(&pack.name, &kept);
    }
    assert!((1..3).contains(&broken), "{broken} of three packs hold it");
    assert!(given(&world, OsStr::new("large").as_bytes()).unwrap() == large);
}
