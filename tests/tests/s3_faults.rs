//! A backup to a real server through a network that fails: at every request in turn, for a share of all, for good.
//! What is committed is always whole, and a run that could not confirm everything does not end well.

#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_backup::{BackupError, Report};
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::store::s3::{Bounds, S3Settings, S3Store};
use lifeboat_repo::store::{Created, Store, StoreErrorKind};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::proxy::{MISHAPS, Mishap, Proxy};
use lifeboat_tests::seaweed::{Seaweed, settings_at};
use lifeboat_tests::{World, write};

/// Waits and limits for a server on this machine.
fn quick() -> Bounds {
    Bounds {
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        patience: Duration::from_secs(10),
        ..Bounds::default()
    }
}

/// Notes which run it is.
#[derive(Default)]
struct Listener(Mutex<Option<RunId>>);

impl Observer for Listener {
    fn tell(&self, event: Event) {
        if let Event::Run(run) = event {
            *self.0.lock().unwrap() = Some(run);
        }
    }
}

struct Scene {
    world: World,
    /// What each run would bring back, had it committed.
    expected: Mutex<Expected>,
    proxy: Proxy,
    _server: Seaweed,
}

impl Scene {
    fn new() -> Self {
        let server = Seaweed::start();
        server.make_bucket("faults", false);
        let proxy = Proxy::start(server.port());
        let direct = S3Store::open(server.settings("faults", "r")).unwrap();
        let world = World::over(Arc::new(direct), scratch());
        Self { world, expected: Mutex::default(), proxy, _server: server }
    }

    fn through(&self, bounds: Bounds) -> Arc<dyn Store> {
        let settings = settings_at(self.proxy.endpoint(), "admin", "faults", "r");
        Arc::new(S3Store::open(S3Settings { bounds, ..settings }).unwrap())
    }

    fn change(&self, seed: u64) {
        write(&self.world.source(), "tenants/acme/a", &noise(seed, 30_000));
        write(&self.world.source(), &format!("tenants/globex/{}", seed % 5), &noise(seed + 1, 10_000));
    }

    /// Backs up through the proxy.
    fn backup(&self, bounds: Bounds) -> Result<Report, BackupError> {
        let listener = Listener::default();
        let ended = self.world.run(self.through(bounds), &self.world.job(), &SystemClock, &listener);
        if let Some(run) = *listener.0.lock().unwrap() {
            let tree = Arc::new(Tree::of(&self.world.source()));
            self.expected.lock().unwrap().insert(run, tree);
        }
        ended
    }

    /// Everything that counts restores exactly; nothing is damaged.
    fn examine(&self, context: &str) -> usize {
        self.world.verify(&self.world.store).assert_undamaged(context);
        self.world.assert_restorable(&self.world.store, &self.expected.lock().unwrap(), context)
    }
}

fn soak() -> bool {
    std::env::var_os("LIFEBOAT_SOAK").is_some()
}

#[test]
fn one_mishap_at_any_request_costs_nothing() {
    let scene = Scene::new();
    scene.change(0);
    // How many requests a backup makes when nothing happens.
    scene.proxy.plan(|_| None);
    scene.backup(quick()).unwrap();
    let requests = scene.proxy.requests();
    assert!(requests > 20, "{requests}");
    let (mut backups, mut befallen) = (0, 0);
    for at in 0..requests {
        let rotated = MISHAPS.iter().cycle().skip(usize::try_from(at).unwrap());
        for mishap in rotated.take(if soak() { MISHAPS.len() } else { 2 }).copied() {
            scene.change(at + 1);
            scene.proxy.plan(move |number| (number == at).then_some(mishap));
            let ended = scene.backup(quick());
            assert!(ended.is_ok(), "{mishap:?} at request {at}: {}", ended.unwrap_err());
            backups += 1;
            befallen += scene.proxy.befallen();
        }
    }
    let restored = scene.examine("after one mishap each");
    assert!(befallen * 10 >= backups * 9, "{befallen} of {backups} had a mishap");
    println!("{backups} backups of {requests} requests, {befallen} mishaps, {restored} snapshots restored");
}

#[test]
fn a_network_that_fails_for_a_share_of_all_is_got_through() {
    let scene = Scene::new();
    let (mut requests, mut befallen) = (0, 0);
    for seed in 0..if soak() { 200 } else { 12_u64 } {
        scene.change(seed * 10);
        scene.proxy.plan(move |number| {
            let mixed = (number ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let hit = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
            (hit % 6 == 0).then(|| MISHAPS[usize::try_from(hit / 6).unwrap() % MISHAPS.len()])
        });
        let ended = scene.backup(quick());
        assert!(ended.is_ok(), "seed {seed}: {}", ended.unwrap_err());
        requests += scene.proxy.requests();
        befallen += scene.proxy.befallen();
    }
    let restored = scene.examine("after many mishaps");
    assert!(befallen * 10 > requests, "{befallen} of {requests}");
    println!("{requests} requests, {befallen} mishaps, {restored} snapshots restored");
}

/// From some request on nothing works any more: the run must say so, and the next one must be able to go on.
#[test]
fn a_server_that_goes_away_is_told_of_and_nothing_is_lost() {
    let scene = Scene::new();
    let few = Bounds { attempts_max: 2, ..quick() };
    let ways = [Mishap::ResetBefore, Mishap::ResetAfter, Mishap::StatusAfter(500, "InternalError")];
    let (mut stopped, mut at) = (0_u64, 0);
    loop {
        scene.change(at);
        let way = ways[usize::try_from(stopped).unwrap() % ways.len()];
        scene.proxy.plan(move |number| (number >= at).then_some(way));
        let ended = scene.backup(few);
        if scene.proxy.befallen() == 0 {
            ended.unwrap();
            break;
        }
        // What the server did and nobody heard of may have been the commit: then the snapshot is whole.
        assert!(ended.is_err(), "a backup that lost its server at request {at} said that all is well");
        stopped += 1;
        at += if soak() { 1 } else { 3 };
        // The next one takes up what was left, or nothing would ever end.
        scene.proxy.plan(|_| None);
        scene.backup(few).unwrap();
    }
    let restored = scene.examine("after a server that went away");
    println!("stopped {stopped} times, {restored} snapshots restored");
}

#[test]
fn what_stalls_is_given_up_and_tried_again() {
    let scene = Scene::new();
    let bounds = Bounds { patience: Duration::from_millis(300), attempts_max: 3, ..quick() };
    let store = scene.through(bounds);
    let name: ObjectName = "packs/00/stalled".parse().unwrap();
    assert_eq!(store.create(&name, &noise(1, 20_000)).unwrap(), Created::New);
    scene.proxy.plan(|number| (number == 0).then_some(Mishap::Stall));
    assert_eq!(store.read(&name, Bytes::mib(1)).unwrap(), noise(1, 20_000));
    assert!(scene.proxy.requests() >= 2);
    scene.proxy.plan(|_| Some(Mishap::Stall));
    let error = store.read(&name, Bytes::mib(1)).unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Unreachable(_)), "{error}");
}

#[test]
fn a_listing_that_does_not_hold_together_is_an_error() {
    let scene = Scene::new();
    let store = scene.through(Bounds { attempts_max: 3, ..quick() });
    let whole = store.list("").unwrap();
    assert!(whole.len() > 3);
    // Once: asked again. For good: an error, never a short list.
    scene.proxy.plan(|number| (number == 0).then_some(Mishap::ShortPage));
    assert_eq!(store.list("").unwrap(), whole);
    for mishap in [Mishap::ShortPage, Mishap::LostPage] {
        scene.proxy.plan(move |_| Some(mishap));
        let error = store.list("").unwrap_err();
        assert!(error.to_string().contains("page of the listing"), "{mishap:?}: {error}");
    }
}

/// An answer that did not come is looked after: what is there and ours is ours, what is there and another's is not.
#[test]
fn an_unclear_answer_is_looked_after() {
    let scene = Scene::new();
    let store = scene.through(quick());
    for (at, mishap) in [Mishap::ResetAfter, Mishap::StatusAfter(500, "InternalError"), Mishap::HalfAnswer]
        .into_iter()
        .enumerate()
    {
        let ours: ObjectName = format!("snapshots/files/ours-{at}").parse().unwrap();
        scene.proxy.plan(move |number| (number == 0).then_some(mishap));
        assert_eq!(store.create(&ours, b"ours").unwrap(), Created::New, "{mishap:?}");
        let theirs: ObjectName = format!("snapshots/files/theirs-{at}").parse().unwrap();
        assert_eq!(scene.world.store.create(&theirs, b"them").unwrap(), Created::New);
        scene.proxy.plan(move |number| (number == 0).then_some(mishap));
        assert_eq!(store.create(&theirs, b"ours").unwrap(), Created::Exists, "{mishap:?}");
        assert_eq!(store.read(&theirs, Bytes(10)).unwrap(), b"them");
    }
}

/// What is read ahead is what is asked for, and mishaps on the way cost no more than elsewhere.
#[test]
fn what_is_expected_is_what_is_read() {
    let scene = Scene::new();
    let store = scene.through(Bounds { ahead_max: Bytes::kib(64), ..quick() });
    let name: ObjectName = "packs/00/ahead".parse().unwrap();
    let content = noise(3, 200_000);
    assert_eq!(store.create(&name, &content).unwrap(), Created::New);
    scene.proxy.plan(|number| (number % 3 == 0).then_some(Mishap::HalfAnswer));
    let ranges: Vec<(usize, usize)> = (0..20).map(|at| (at * 10_000, 10_000)).collect();
    let bytes = |length: usize| Bytes(length as u64);
    for (at, (from, length)) in ranges.iter().enumerate() {
        for (from, length) in ranges.iter().skip(at).take(8) {
            store.expect(&name, bytes(*from), bytes(*length));
        }
        let mut read = b"kept".to_vec();
        store.read_range(&name, bytes(*from), bytes(*length), &mut read).unwrap();
        assert_eq!(read.strip_prefix(b"kept"), content.get(*from..from + length));
    }
    let requests = scene.proxy.requests();
    assert!((30..60).contains(&requests), "each range once, and a half more for the mishaps: {requests}");
    // What is not there is said to be missing, expected or not.
    let missing: ObjectName = "packs/00/missing".parse().unwrap();
    store.expect(&missing, Bytes(0), Bytes(10));
    assert!(store.read_range(&missing, Bytes(0), Bytes(10), &mut Vec::new()).unwrap_err().is_missing());
}
