//! Drills plant faults, and whatever is not caught makes them red: each fault with what must catch it, and each with its
//! guard taken away.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::ids::{Label, ObjectHash};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::erase;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::units::Timestamp;
use lifeboat_runbooks::Book;
use lifeboat_runbooks::drill::conclude::{Found, Scene, TENANTS_DRAWN, look};
use lifeboat_runbooks::drill::disruption::Disruption;
use lifeboat_runbooks::drill::journal::Body;
use lifeboat_runbooks::drill::measure::{self, Wanted};
use lifeboat_runbooks::drill::planted::{Plant, Really};
use lifeboat_runbooks::drill::result::{self, Findings};
use lifeboat_runbooks::drill::run;
use lifeboat_runbooks::drill::target::{Cleanup, Target};
use lifeboat_tests::{World, label, write};
use lifeboat_verify::evidence::facts::{Facts, Met, Moment, Tool, Verdict, What};

const BOOK: &str = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: \"0 failed steps and rto <= 24h and rpo \
                    <= 24h and 0 digest mismatches and 0 undetected faults\"\n---\n# Book\n\n## 1. Restore\n\n```sh \
                    {\"name\":\"restore\",\"timeout\":\"1h\",\"phase\":\"transfer\"}\nlifeboat restore\n```\n\n## 2. Look\n\n```sh \
                    {\"name\":\"look\",\"timeout\":\"1h\",\"phase\":\"check\"}\ntrue\n```\n";

/// A world of three tenants, one of them erased, whose newest snapshot was restored to a drill's target.
struct Rehearsal {
    world: World,
    book: Book,
    body: Body,
    wanted: Vec<Wanted>,
}

impl Rehearsal {
    fn new() -> Self {
        let world = World::over_memory_disk();
        for (tenant, size) in [("acme", 300), ("beta", 3000), ("gone", 50)] {
            write(
                &world.source(),
                &format!("tenants/{tenant}/a"),
                &format!("{tenant} wrote this ").as_bytes().repeat(size),
            );
        }
        world.backup().unwrap();
        erase_tenant(&world, "gone");
        let wanted = vec![Wanted {
            name: label("files"),
            needs: Vec::new(),
            rpo: Duration::from_secs(86_400),
            rto: (Duration::from_secs(86_400), Duration::from_secs(2 * 86_400)),
        }];
        let book = Book::parse(BOOK).unwrap();
        let body = body(&world, &book, &wanted);
        let own = body.target.restored().join("files");
        std::fs::create_dir_all(body.target.restored()).unwrap();
        world.restore(&own).unwrap();
        Self { world, book, body, wanted }
    }

    fn look(&self, really: Really) -> Found {
        let repository = self.world.repository();
        let identities = [self.world.recovery_identity()];
        let scene = Scene {
            repository: &repository,
            identities: &identities,
            wanted: &self.wanted,
            journal: &self.body,
            clock: &SystemClock,
            tenants: TENANTS_DRAWN,
            really,
        };
        look(&scene, &Silent).unwrap()
    }

    fn facts(&self, found: Found) -> Facts {
        result::facts(Findings {
            book: &self.book,
            name: label("book"),
            journal: &self.body,
            tool: Tool { name: "lifeboat".into(), version: "0".into(), commit: None },
            repositories: Vec::new(),
            wanted: &self.wanted,
            found: Ok(found),
            took: BTreeMap::new(),
            cleanup: Cleanup::default(),
            kept: false,
            ended: Moment::new(SystemClock.now()),
            history: Vec::new(),
        })
    }

    fn restored(&self, path: &str) -> std::path::PathBuf {
        self.body.target.restored().join("files").join(path)
    }
}

fn erase_tenant(world: &World, tenant: &str) {
    let repository = world.repository();
    let identities = [world.recovery_identity()];
    let officer = world.alice();
    let acting = Acting {
        repository: &repository,
        identities: &identities,
        officer: &officer,
        clock: &SystemClock,
        lanes: std::num::NonZeroUsize::MIN,
    };
    let plan = erase::plan(&acting, &tenant.parse().unwrap(), &[repository.store()]).unwrap();
    erase::put(&acting, &plan).unwrap();
    erase::sweep(&acting, &[repository.store()]).unwrap();
}

fn body(world: &World, book: &Book, wanted: &[Wanted]) -> Body {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = measure::listed(&recovery).unwrap();
    let now = SystemClock.now();
    let disruption = Disruption::given(now);
    let (_, checkpoint) = measure::heads(&repository).unwrap();
    let target = Target::claim(&world.dir.path().join("target"), &[], "2026-drill").unwrap();
    let mut steps = run::untouched(book);
    for step in &mut steps {
        step.what = What::Ran;
        (step.started, step.ended) =
            (Some(Moment::new(now)), Some(Moment::new(now.plus(Duration::from_secs(60)))));
    }
    Body {
        id: label("2026-drill"),
        book: "book".into(),
        book_sha256: ObjectHash::from_bytes([0; 32]),
        configuration: ObjectHash::from_bytes([0; 32]),
        region: label("eu-fra"),
        component: None,
        operator: "alice".into(),
        disruption: Moment::new(disruption.at),
        how: disruption.how,
        begun: Moment::new(now),
        nonce: "auditor".into(),
        checkpoint: checkpoint.as_ref().map(|one| one.entry.to_string()),
        seed: measure::seed(checkpoint.as_ref(), "auditor").to_string(),
        target,
        pins: measure::pin(&listed, wanted, now),
        values: BTreeMap::new(),
        erased: vec!["gone".into()],
        steps,
        interruptions: Vec::new(),
        not_run: Vec::new(),
    }
}

/// All objects of a store with their bytes' hash.
fn stored(path: &Path) -> BTreeMap<String, [u8; 32]> {
    let store = LocalStore::open(path).unwrap();
    let limit = lifeboat_repo::units::Bytes::mib(64);
    let hash = |name| lifeboat_repo::crypto::sha256(&store.read(name, limit).unwrap());
    store.list("").unwrap().iter().map(|one| (one.name.to_string(), hash(&one.name))).collect()
}

#[test]
fn every_planted_fault_is_caught_and_none_is_left() {
    let rehearsal = Rehearsal::new();
    let repository = rehearsal.world.dir.path().join("repository");
    let before = stored(&repository);
    let found = rehearsal.look(Really::Planted);
    assert_eq!(before, stored(&repository), "a drill changed the repository");
    let left = std::fs::read_dir(rehearsal.body.target.work()).unwrap().count();
    assert_eq!(left, 0, "something planted is left");
    let by: Vec<(&str, String)> = found
        .planted
        .iter()
        .map(|(which, caught)| (which.name(), caught.as_ref().unwrap().by.clone().unwrap_or_default()))
        .collect();
    let wanted = [
        ("corrupted-segment", "the restore"),
        ("missing-object", "the inventory"),
        ("stale-sentinel", "the age of what can be restored"),
        ("wrong-key", "the seal"),
        ("altered-file", "the comparison of contents"),
    ];
    for ((name, by), (wanted, caught_by)) in by.iter().zip(wanted) {
        println!("{name:18} caught by {by}");
        assert!(*name == wanted && by.starts_with(caught_by), "{name}: {by}");
    }
    assert_eq!(by.len(), Plant::ALL.len());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Met, "{:#?}", facts.assertions);
    assert!(facts.absent.len() == 1 && facts.absent[0].absent, "{:?}", facts.absent);
    let sample = facts.sample.unwrap();
    assert_eq!((sample.population, sample.drawn), (3, 3), "acme, beta and what is nobody's");
    assert_eq!(sample.bound.map(|bound| bound.number()), Some(0.0));
}

#[test]
fn a_fault_that_nobody_plants_is_not_caught_and_makes_the_drill_red() {
    let rehearsal = Rehearsal::new();
    let pretended = rehearsal.look(Really::Pretended);
    for (which, caught) in &pretended.planted {
        assert_eq!(caught.as_ref().unwrap().by, None, "{}: cries wolf", which.name());
    }
    // One after another is not caught, the others are.
    for index in 0..Plant::ALL.len() {
        let mut found = rehearsal.look(Really::Planted);
        found.planted[index] = pretended.planted[index].clone();
        let facts = rehearsal.facts(found);
        assert_eq!(facts.verdict, Verdict::Failed, "{}", Plant::ALL[index].name());
        println!("{:18} not caught: {}", Plant::ALL[index].name(), facts.verdict.words());
    }
    // One that could not be planted is no pass either.
    let mut found = rehearsal.look(Really::Planted);
    found.planted[0].1 = Err("no room".into());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
    assert!(
        facts.not_run.iter().any(|one| one.what.contains("corrupted-segment") && one.reason == "no room")
    );
}

/// What makes a drill red, and how red.
type Case = (&'static str, fn(&mut Rehearsal), Verdict, &'static str);

const CASES: [Case; 11] = [
    ("nothing", |_| {}, Verdict::Met, ""),
    (
        "a byte of a restored file",
        |r| std::fs::write(r.restored("tenants/acme/a"), "x".repeat(300)).unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "a file that did not come back",
        |r| std::fs::remove_file(r.restored("tenants/beta/a")).unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "a file too many",
        |r| std::fs::write(r.restored("tenants/beta/b"), "").unwrap(),
        Verdict::Failed,
        "digest",
    ),
    (
        "nothing restored",
        |r| std::fs::remove_dir_all(r.restored("")).unwrap(),
        Verdict::Insufficient,
        "digest",
    ),
    (
        "the erased came back",
        |r| std::fs::create_dir_all(r.restored("tenants/gone")).unwrap(),
        Verdict::Failed,
        "erased",
    ),
    ("a step that failed", |r| r.body.steps[1].what = What::Failed, Verdict::Failed, "failed steps"),
    (
        "a step that nobody could be asked about",
        |r| {
            r.body.steps[1].what = What::Skipped;
            r.body.steps[1].note = Some("there was nobody to ask".into());
        },
        Verdict::Insufficient,
        "rto",
    ),
    ("thirty hours", |r| late(r, 30), Verdict::TargetMissed, "rto"),
    ("fifty hours", |r| late(r, 50), Verdict::LimitMissed, "rto"),
    (
        "too old a snapshot",
        |r| {
            r.body.disruption = Moment::new(SystemClock.now().plus(Duration::from_secs(2 * 86_400)));
            r.body.steps.iter_mut().for_each(|step| {
                (step.started, step.ended) = (Some(r.body.disruption), Some(r.body.disruption))
            });
        },
        Verdict::LimitMissed,
        "rpo",
    ),
];

fn late(rehearsal: &mut Rehearsal, hours: u64) {
    let step = &mut rehearsal.body.steps[0];
    step.ended = step.ended.map(|ended| ended.plus(Duration::from_secs(hours * 3600)));
}

#[test]
fn whatever_is_wrong_makes_the_drill_as_red_as_it_is() {
    for (what, spoil, verdict, named) in CASES {
        let mut rehearsal = Rehearsal::new();
        spoil(&mut rehearsal);
        let found = rehearsal.look(Really::Planted);
        let facts = rehearsal.facts(found);
        assert_eq!(facts.verdict, verdict, "{what}: {:#?}", facts.assertions);
        let missed: Vec<&str> =
            facts.assertions.iter().filter(|one| one.met != Met::Met).map(|one| one.name.as_str()).collect();
        assert!(named.is_empty() == missed.is_empty(), "{what}: {missed:?}");
        assert!(named.is_empty() || missed.iter().any(|name| name.contains(named)), "{what}: {missed:?}");
    }
}

/// Nothing was ever erased: nobody can say that the erased stay away.
#[test]
fn without_an_erased_canary_there_is_no_pass() {
    let rehearsal = Rehearsal::new();
    let mut found = rehearsal.look(Really::Planted);
    found.absent = Ok(Vec::new());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
    let _: Timestamp = facts.exercise.disruption.timestamp();
    let _: Label = facts.id;
}
