//! A maintainer whose credentials expire, or whose network hardly moves, in the middle of a collection or a replication on a
//! real server: it says so, nothing that counts is harmed, and the next one ends the work.

#![cfg(test)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_repo::clock::{SystemClock, SystemEntropy};
use lifeboat_repo::ids::ObjectName;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::agent::Credentials;
use lifeboat_repo::repository::replicate::{Job, Report, replicate};
use lifeboat_repo::repository::{Repository, RepositoryError};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::s3::{Bounds, S3Settings, S3Store};
use lifeboat_repo::units::Bytes;
use lifeboat_tests::collecting::AT_ONCE;
use lifeboat_tests::model::{Tree, noise};
use lifeboat_tests::proof::{Expected, scratch};
use lifeboat_tests::proxy::{Mishap, Proxy};
use lifeboat_tests::seaweed::{Seaweed, settings_at};
use lifeboat_tests::{World, write};

const EXPIRED: Mishap = Mishap::Status(400, "ExpiredToken");

/// Waits and limits for a server on this machine.
fn quick() -> Bounds {
    Bounds {
        backoff: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        patience: Duration::from_secs(10),
        attempts_max: 3,
        ..Bounds::default()
    }
}

struct Scene {
    world: World,
    expected: Expected,
    maintainer: Arc<Credentials>,
    /// Every snapshot that was made and not expired.
    kept: Vec<ObjectName>,
    proxy: Proxy,
    server: Seaweed,
}

impl Scene {
    fn new() -> Self {
        let server = Seaweed::start();
        for bucket in ["first", "copy"] {
            server.make_bucket(bucket, false);
        }
        let proxy = Proxy::start(server.port());
        let direct = S3Store::open(server.settings("first", "r")).unwrap();
        let world = World::over(Arc::new(direct), scratch());
        let maintainer = world.maintainer("m1", 82);
        Self { world, expected: Expected::new(), maintainer, kept: Vec::new(), proxy, server }
    }

    fn through(&self, bucket: &str, bounds: Bounds) -> Arc<dyn Store> {
        let settings = settings_at(self.proxy.endpoint(), "admin", bucket, "r");
        Arc::new(S3Store::open(S3Settings { bounds, ..settings }).unwrap())
    }

    /// A night with something new, and something that the night before alone had.
    fn backup(&mut self, night: u64) {
        write(&self.world.source(), "tenants/acme/a", &noise(night, 60_000));
        write(&self.world.source(), &format!("tenants/globex/{}", night % 3), &noise(night + 500, 20_000));
        let tree = Arc::new(Tree::of(&self.world.source()));
        let report = self.world.backup().unwrap();
        self.expected.insert(report.run, tree);
        self.kept.push(report.snapshot);
    }

    /// Lets all but the last two expire.
    fn expire(&mut self) {
        let old: Vec<ObjectName> = self.kept.drain(..self.kept.len() - 2).collect();
        self.world.expire(&self.maintainer, &old);
    }

    fn assert_whole(&self, context: &str) {
        self.world.verify(&self.world.store).assert_undamaged(context);
        let restored = self.world.assert_restorable(&self.world.store, &self.expected, context);
        assert!(restored >= self.kept.len(), "{context}: {restored}");
    }

    fn copy(&self, replica: Arc<dyn Store>, source: Arc<dyn Store>) -> Result<Report, RepositoryError> {
        let source = Repository::open(source, &[self.world.officer.public()])?;
        let job = Job {
            source: &source,
            replica,
            pins: &[self.world.officer.public()],
            credentials: Arc::clone(&self.maintainer),
            clock: &SystemClock,
            entropy: &SystemEntropy,
            threads: NonZeroUsize::new(4).unwrap(),
            memory: Bytes::mib(64),
        };
        replicate(&job, &Silent)
    }

    fn assert_replica(&self, snapshots: usize, context: &str) {
        let store = Arc::new(S3Store::open(self.server.settings("copy", "r")).unwrap());
        let replica = Repository::open_replica(store, &[self.world.officer.public()]).unwrap();
        self.world.verify_in(&replica).assert_undamaged(context);
        assert_eq!(
            self.world.assert_restorable_in(&replica, &self.expected, context),
            snapshots,
            "{context}"
        );
    }
}

/// Where credentials expire: at a few requests from the first to the last, or at many.
fn moments(requests: u64) -> impl Iterator<Item = u64> {
    let parts = if std::env::var_os("LIFEBOAT_SOAK").is_some() { 40 } else { 4 };
    (0..parts).map(move |part| part * requests / parts)
}

#[test]
fn credentials_that_expire_in_a_collection_harm_nothing() {
    let mut scene = Scene::new();
    for night in 0..3 {
        scene.backup(night);
    }
    let collect =
        |scene: &Scene| scene.world.collect(scene.through("first", quick()), &scene.maintainer, &AT_ONCE);
    scene.expire();
    scene.proxy.plan(|_| None);
    let mut packs = collect(&scene).unwrap().swept.deleted.packs;
    let requests = scene.proxy.requests();
    for at in moments(requests) {
        scene.backup(100 + at);
        scene.expire();
        scene.proxy.plan(move |number| (number >= at).then_some(EXPIRED));
        let ended = collect(&scene);
        let context = format!("expired from request {at} of {requests}");
        // What a sweep could not delete it says.
        let told = ended.as_ref().map_or(true, |done| !done.swept.left.unknown.is_empty());
        assert!(told, "{context}: a collection that could not go on said that all is well: {ended:?}");
        scene.assert_whole(&context);
        // Now and then only: credentials are looked for again.
        scene.proxy.plan(|number| (number % 9 == 4).then_some(EXPIRED));
        for _ in 0..2 {
            let next = collect(&scene).unwrap_or_else(|error| panic!("after {context}: {error}"));
            packs += next.swept.deleted.packs;
        }
    }
    scene.assert_whole("at the end");
    assert!(requests > 20 && packs >= 4, "{requests} requests, {packs} packs deleted");
}

#[test]
fn credentials_that_expire_in_a_replication_harm_nothing() {
    let mut scene = Scene::new();
    let direct = S3Store::open(scene.server.settings("copy", "r")).unwrap();
    let direct: Arc<dyn Store> = Arc::new(direct);
    scene.backup(1);
    scene.proxy.plan(|_| None);
    let through = |scene: &Scene| scene.copy(scene.through("copy", quick()), scene.through("first", quick()));
    assert_eq!(through(&scene).unwrap().problems, []);
    let requests = scene.proxy.requests() / 2;
    let mut nights = 1;
    for at in moments(requests) {
        scene.backup(100 + at);
        nights += 1;
        scene.proxy.plan(move |number| (number >= at).then_some(EXPIRED));
        // The replica's credentials expire, or the repository's.
        let ended = if nights % 2 == 0 {
            scene.copy(scene.through("copy", quick()), Arc::clone(&scene.world.store))
        } else {
            scene.copy(Arc::clone(&direct), scene.through("first", quick()))
        };
        let context = format!("expired from request {at} of {requests}");
        let told = ended.as_ref().map_or(true, |report| !report.problems.is_empty());
        assert!(told && scene.proxy.befallen() > 0, "{context}: it said that all is well: {ended:?}");
        scene.proxy.plan(|number| (number % 9 == 4).then_some(EXPIRED));
        let next = through(&scene).unwrap_or_else(|error| panic!("after {context}: {error}"));
        assert_eq!(next.problems, [], "{context}");
    }
    scene.assert_replica(nights, "at the end");
}

/// Answers that come at a kilobyte a second are given up and asked for again; where all do, that is said.
#[test]
fn a_replication_whose_network_hardly_moves_ends_well_or_says_so() {
    let mut scene = Scene::new();
    let bounds = Bounds { patience: Duration::from_secs(1), attempts_max: 4, ..quick() };
    scene.backup(1);
    scene.proxy.plan(|number| (number % 6 == 5).then_some(Mishap::Trickle));
    let report = scene.copy(scene.through("copy", bounds), scene.through("first", bounds)).unwrap();
    assert_eq!((report.problems.as_slice(), report.committed.len()), (&[][..], 1));
    assert!(scene.proxy.befallen() > 5, "{}", scene.proxy.befallen());
    scene.assert_replica(1, "a network that hardly moves now and then");
    scene.backup(2);
    scene.proxy.plan(|_| Some(Mishap::Trickle));
    let ended = scene.copy(scene.through("copy", bounds), scene.through("first", bounds));
    assert!(ended.map_or(true, |report| !report.problems.is_empty()), "it said that all is well");
    scene.proxy.plan(|_| None);
    assert_eq!(
        scene.copy(scene.through("copy", bounds), scene.through("first", bounds)).unwrap().problems,
        []
    );
    scene.assert_replica(2, "after a network that hardly moved");
}
