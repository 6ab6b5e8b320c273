//! Drills plant faults, and whatever is not caught makes them red: each fault with what must catch it, and each with its
//! guard taken away.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::Identity;
use lifeboat_repo::ids::{ObjectHash, TenantToken};
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::officer::Officer;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::repository::{Repository, erase};
use lifeboat_repo::store::Store;
use lifeboat_repo::store::local::LocalStore;
use lifeboat_repo::units::Timestamp;
use lifeboat_runbooks::Book;
use lifeboat_runbooks::drill::conclude::{Found, Scene, TENANTS_DRAWN, look};
use lifeboat_runbooks::drill::disruption::Disruption;
use lifeboat_runbooks::drill::journal::Body;
use lifeboat_runbooks::drill::measure::{self, Absent, Wanted};
use lifeboat_runbooks::drill::planted::{Plant, Really};
use lifeboat_runbooks::drill::result::{self, Findings};
use lifeboat_runbooks::drill::run;
use lifeboat_runbooks::drill::target::{Cleanup, Target};
use lifeboat_tests::{World, label, write};
use lifeboat_verify::evidence::facts::{
    Facts, Met, Moment, Outcome as CheckOutcome, StepFact, Tool, Verdict, What,
};
use lifeboat_verify::loss::{Loss, LostRecords, Span};
use lifeboat_verify::objective::RpoVerdict;

const BOOK: &str = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: \"0 failed steps and rto <= 24h and rpo \
                    <= 24h and 0 digest mismatches and 0 undetected faults\"\nvariables: [TARGET]\n---\n# Book\n\n## 1. Restore\n\n```sh \
                    {\"name\":\"restore\",\"timeout\":\"1h\",\"phase\":\"transfer\"}\nlifeboat restore --target \"$TARGET\"\n```\n\n## 2. Look\n\n```sh \
                    {\"name\":\"look\",\"timeout\":\"1h\",\"phase\":\"check\"}\ntrue\n```\n";

/// A world of three tenants, one of them erased, whose newest snapshot was restored to a drill's target.
struct Rehearsal {
    world: World,
    book: Book,
    body: Body,
    wanted: Vec<Wanted>,
    /// What its heartbeats say.
    heard: Option<Result<Loss, String>>,
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
        Self { world, book, body, wanted, heard: None }
    }

    /// Another book is rehearsed: every step of it took a minute.
    fn with_book(mut self, text: &str) -> Self {
        self.book = Book::parse(text).unwrap();
        self.body.steps = done(&self.book, self.body.begun.timestamp());
        self
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
            listen: &|_, _, _| self.heard.clone(),
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
            looked: Moment::new(SystemClock.now()),
            history: Vec::new(),
        })
    }

    fn restored(&self, path: &str) -> std::path::PathBuf {
        self.body.target.restored().join("files").join(path)
    }
}

fn acting<'a>(
    repository: &'a Repository,
    identities: &'a [Identity],
    officer: &'a Officer<'a>,
) -> Acting<'a> {
    Acting { repository, identities, officer, clock: &SystemClock, lanes: std::num::NonZeroUsize::MIN }
}

fn erase_tenant(world: &World, tenant: &str) {
    let repository = world.repository();
    let identities = [world.recovery_identity()];
    let officer = world.alice();
    let acting = acting(&repository, &identities, &officer);
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
        steps: done(book, now),
        interruptions: Vec::new(),
        not_run: Vec::new(),
        resume: String::new(),
        keep: false,
        cleaning: false,
        replica: false,
        done: BTreeMap::new(),
        cleanup: None,
    }
}

/// Every step was done, in a minute.
fn done(book: &Book, now: Timestamp) -> Vec<StepFact> {
    let mut steps = run::untouched(book);
    for step in &mut steps {
        step.what = What::Ran;
        (step.started, step.ended) =
            (Some(Moment::new(now)), Some(Moment::new(now.plus(Duration::from_secs(60)))));
    }
    steps
}

/// What heartbeats say: so much is lost at the most, between so many holes, and so many records of one tenant.
fn loss(rehearsal: &Rehearsal, bound: Option<u64>, holes: u64, records: Option<u64>) -> Loss {
    let bound = bound.map(|minutes| Duration::from_secs(minutes * 60));
    let disaster = rehearsal.body.disruption.timestamp();
    let lost = LostRecords { tenant: Some(TenantToken::from_bytes([1; 32])), records, counted: None };
    Loss {
        verdict: match bound {
            None => RpoVerdict::InsufficientEvidence("none in it".into()),
            Some(bound) if bound <= rehearsal.wanted[0].rpo && holes == 0 => RpoVerdict::Met,
            Some(_) => RpoVerdict::Missed,
        },
        component: label("files"),
        tenant: None,
        disaster,
        bound: bound.map(Span),
        low: None,
        proven: bound.map(|_| disaster),
        seq: None,
        holes,
        strange: 0,
        lost: vec![lost],
        note: "told by a test".into(),
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

#[test]
fn what_brings_nothing_back_says_nothing_of_how_long_that_takes() {
    let (_, text) = lifeboat_runbooks::BOOKS.iter().find(|(name, _)| *name == "repository-damage").unwrap();
    let rehearsal = Rehearsal::new().with_book(text);
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Met, "{:#?}", facts.assertions);
    for component in &facts.components {
        assert!(component.rto.is_none() && component.checks.is_empty(), "{component:#?}");
    }
    // What should have come back and did not took no time either.
    let rehearsal = Rehearsal::new();
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert!(facts.components[0].rto.is_none(), "{:#?}", facts.components);
}

#[test]
fn what_was_promised_is_kept_whatever_the_book_calls_a_success() {
    let hours = |count: u64| Duration::from_secs(count * 3600);
    let silent = BOOK.replace("and rto <= 24h ", "");
    assert_ne!(silent, BOOK);
    // A component of which more was promised than by the book; and a book that speaks of no time.
    let cases = [
        (BOOK, (hours(1), hours(4)), 10, Verdict::LimitMissed),
        (BOOK, (hours(1), hours(12)), 10, Verdict::TargetMissed),
        (&silent, (hours(24), hours(48)), 30, Verdict::TargetMissed),
        (&silent, (hours(24), hours(48)), 50, Verdict::LimitMissed),
        (&silent, (hours(24), hours(48)), 10, Verdict::Met),
    ];
    for (number, (book, rto, took, verdict)) in cases.into_iter().enumerate() {
        let mut rehearsal = Rehearsal::new().with_book(book);
        rehearsal.wanted[0].rto = rto;
        late(&mut rehearsal, took);
        let facts = rehearsal.facts(rehearsal.look(Really::Planted));
        assert_eq!(facts.verdict, verdict, "{number}: {:#?}", facts.assertions);
        let said = facts.assertions.iter().any(|one| one.met == Met::Missed && one.name.contains("back"));
        assert_eq!(said, verdict != Verdict::Met, "{number}: {:#?}", facts.assertions);
    }
}

/// What came back counts, whatever part of a recovery the step calls itself that brings it.
#[test]
fn a_restore_in_another_phase_counts() {
    let other = BOOK.replace("\"transfer\"", "\"replay\"").replace(" and 0 digest mismatches", "");
    assert_ne!(other, BOOK);
    let rehearsal = Rehearsal::new().with_book(&other);
    assert_eq!(rehearsal.facts(rehearsal.look(Really::Planted)).verdict, Verdict::Met);
    std::fs::write(rehearsal.restored("tenants/acme/a"), "x".repeat(300)).unwrap();
    assert_eq!(rehearsal.facts(rehearsal.look(Really::Planted)).verdict, Verdict::Failed);
    std::fs::remove_dir_all(rehearsal.restored("")).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Insufficient);
    assert_eq!(facts.components[0].checks.len(), 1);
}

/// A step that restores may say nothing of where to: what differs is told all the same, and why the verdict is what it is.
#[test]
fn what_a_step_brings_without_a_word_of_it_is_compared() {
    let silent = BOOK.replace("lifeboat restore --target \"$TARGET\"", "sh restore.sh");
    assert_ne!(silent, BOOK);
    let rehearsal = Rehearsal::new().with_book(&silent);
    std::fs::write(rehearsal.restored("tenants/acme/a"), "x".repeat(300)).unwrap();
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(facts.verdict, Verdict::Failed);
    assert_eq!(facts.components[0].checks[0].outcome, CheckOutcome::Failed, "{:#?}", facts.components);
}

/// Two are erased, and one of them came back: that one, and no other.
#[test]
fn of_the_erased_only_those_are_back_that_are() {
    let mut rehearsal = Rehearsal::new();
    erase_tenant(&rehearsal.world, "beta");
    let absent = |rehearsal: &Rehearsal| {
        let found = rehearsal.look(Really::Planted).absent;
        found.map(|all| all.facts.iter().map(|one| (one.absent, one.looked_by.clone())).collect::<Vec<_>>())
    };
    rehearsal.body.erased = vec!["gone".into(), "beta".into()];
    let both = absent(&rehearsal).unwrap();
    assert_eq!(both.iter().map(|(absent, _)| *absent).collect::<Vec<_>>(), [true, false]);
    assert!(both[0].1.contains("none is its own") && both[1].1.contains("ONE IS ITS OWN"), "{both:?}");
    rehearsal.body.erased = vec!["gone".into()];
    let one = absent(&rehearsal).unwrap();
    assert!(one[1].0 && one[1].1.contains("it was not named"), "{one:?}");
    // Somebody who was never erased shows nothing.
    rehearsal.body.erased.push("acme".into());
    assert!(absent(&rehearsal).unwrap_err().contains("is not erased"));
}

/// Who was let in again may be there; what the old key covered may not.
#[test]
fn who_was_let_in_again_is_no_canary() {
    let rehearsal = Rehearsal::new();
    let (repository, officer) = (rehearsal.world.repository(), rehearsal.world.alice());
    let identities = [rehearsal.world.recovery_identity()];
    let acting = acting(&repository, &identities, &officer);
    erase::readmit(&acting, &"gone".parse().unwrap()).unwrap();
    let mut rehearsal = rehearsal;
    assert!(rehearsal.look(Really::Planted).absent.unwrap_err().contains("is not erased"));
    rehearsal.body.erased.clear();
    let found = rehearsal.look(Really::Planted);
    assert_eq!(found.absent, Ok(Absent { facts: Vec::new(), readmitted: 1 }));
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
    assert!(facts.not_run.iter().any(|one| one.what.contains("let in again")), "{:?}", facts.not_run);
}

/// The snapshot is a moment old, and says of itself that next to nothing is lost: what was found in it counts.
#[test]
fn what_is_lost_is_told_by_what_came_back() {
    let asked = BOOK.replace("rpo <= 24h", "rpo <= 24h and canary gap <= 15m and 0 holes and 0 lost records");
    assert_ne!(asked, BOOK);
    let cases = [
        (Some((Some(10), 0, Some(0))), Verdict::Met, ""),
        (Some((Some(20), 0, Some(0))), Verdict::LimitMissed, "canary gap"),
        (Some((Some(1500), 0, Some(0))), Verdict::LimitMissed, "rpo"),
        (Some((Some(10), 2, Some(0))), Verdict::Failed, "holes"),
        (Some((Some(10), 0, Some(3))), Verdict::Failed, "lost records"),
        (Some((Some(10), 0, None)), Verdict::Insufficient, "lost records"),
        (Some((None, 0, Some(0))), Verdict::Insufficient, "rpo"),
        (None, Verdict::Insufficient, "canary gap"),
    ];
    for (said, verdict, named) in cases {
        let mut rehearsal = Rehearsal::new().with_book(&asked);
        rehearsal.heard = said.map(|(bound, holes, records)| Ok(loss(&rehearsal, bound, holes, records)));
        let facts = rehearsal.facts(rehearsal.look(Really::Planted));
        assert_eq!(facts.verdict, verdict, "{said:?}: {:#?}", facts.assertions);
        let missed: Vec<&str> =
            facts.assertions.iter().filter(|one| one.met != Met::Met).map(|one| one.name.as_str()).collect();
        assert_eq!(
            missed.iter().any(|name| name.starts_with(named)),
            !missed.is_empty(),
            "{said:?}: {missed:?}"
        );
        let rpo = facts.components[0].rpo.as_ref().unwrap();
        assert_eq!(rpo.note.starts_with("by its heartbeats"), said.is_some(), "{}", rpo.note);
        assert_eq!(rpo.newest_canary.is_some(), said.is_some_and(|said| said.0.is_some()));
    }
    // A component has heartbeats, and nobody could look for them.
    let mut rehearsal = Rehearsal::new();
    rehearsal.heard = Some(Err("no room".into()));
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    assert_eq!(
        (facts.verdict, facts.components[0].rpo.as_ref().unwrap().bound),
        (Verdict::Insufficient, None)
    );
}

/// What drills leave out takes its time all the same in a disaster.
#[test]
fn what_is_left_out_counts_with_its_planned_time() {
    let skipped = "\n```sh {\"name\":\"later\",\"timeout\":\"23h59m\",\"phase\":\"check\",\"drill\":\"skip\"}\ntrue\n```\n";
    let mut rehearsal = Rehearsal::new().with_book(&format!("{BOOK}{skipped}"));
    rehearsal.body.steps[2].what = What::Skipped;
    (rehearsal.body.steps[2].started, rehearsal.body.steps[2].ended) = (None, None);
    let facts = rehearsal.facts(rehearsal.look(Really::Planted));
    let whole = facts.projection.unwrap();
    assert!(whole.seconds.number() >= 24.0 * 3600.0, "{whole:?}");
    assert!(
        facts.limits.iter().any(|one| one.contains("not done") && one.contains("later")),
        "{:?}",
        facts.limits
    );
}

#[test]
fn a_target_that_was_not_cleaned_up_makes_the_drill_red() {
    let mut rehearsal = Rehearsal::new();
    let done = |rehearsal: &Rehearsal| {
        let mut facts = rehearsal.facts(rehearsal.look(Really::Planted));
        result::close(&mut facts, &rehearsal.body, Moment::new(SystemClock.now()));
        facts.verdict
    };
    rehearsal.body.cleanup = Some(Cleanup::default());
    assert_eq!(done(&rehearsal), Verdict::Met);
    rehearsal.body.cleanup = Some(Cleanup { left: vec!["a file".into()], ..Cleanup::default() });
    assert_eq!(done(&rehearsal), Verdict::Failed);
}

/// Nothing was ever erased: nobody can say that the erased stay away.
#[test]
fn without_an_erased_canary_there_is_no_pass() {
    let rehearsal = Rehearsal::new();
    let mut found = rehearsal.look(Really::Planted);
    found.absent = Ok(Absent::default());
    let facts = rehearsal.facts(found);
    assert_eq!(facts.verdict, Verdict::Insufficient);
}
