//! A drill whose steps are done, to be looked at: what it restored, and what is wrong with it, is up to a test.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_repo::clock::{Clock, SystemClock};
use lifeboat_repo::crypto::Identity;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_repo::observe::Silent;
use lifeboat_repo::repository::officer::Officer;
use lifeboat_repo::repository::reseal::Acting;
use lifeboat_repo::repository::{Repository, erase};
use lifeboat_repo::units::Timestamp;
use lifeboat_runbooks::Book;
use lifeboat_runbooks::drill::conclude::{Found, Scene, TENANTS_DRAWN, look};
use lifeboat_runbooks::drill::disruption::Disruption;
use lifeboat_runbooks::drill::journal::Body;
use lifeboat_runbooks::drill::measure::{self, Wanted};
use lifeboat_runbooks::drill::planted::Really;
use lifeboat_runbooks::drill::result::{self, Findings};
use lifeboat_runbooks::drill::run;
use lifeboat_runbooks::drill::target::Target;
use lifeboat_tests::{World, label, write};
use lifeboat_verify::evidence::extract;
use lifeboat_verify::evidence::facts::{Facts, Freshness, Moment, PastDrill, Role, StepFact, Tool, What};
use lifeboat_verify::loss::Loss;

pub(crate) const BOOK: &str = "---\ncomponent: any\nregion: any\nrto: 24h\nrpo: 24h\nsuccess: \"0 failed steps and rto <= 24h and rpo \
                    <= 24h and 0 digest mismatches and 0 undetected faults\"\nvariables: [TARGET]\n---\n# Book\n\n## 1. Restore\n\n```sh \
                    {\"name\":\"restore\",\"timeout\":\"1h\",\"phase\":\"transfer\"}\nlifeboat restore --target \"$TARGET\"\n```\n\n## 2. Look\n\n```sh \
                    {\"name\":\"look\",\"timeout\":\"1h\",\"phase\":\"check\"}\ntrue\n```\n";

/// A world of three tenants, one of them erased, whose newest snapshot was restored to a drill's target.
pub(crate) struct Rehearsal {
    pub(crate) world: World,
    pub(crate) book: Book,
    pub(crate) body: Body,
    pub(crate) wanted: Vec<Wanted>,
    /// What its heartbeats say.
    pub(crate) heard: Option<Result<Loss, String>>,
    /// Earlier drills.
    pub(crate) history: Vec<PastDrill>,
}

impl Rehearsal {
    pub(crate) fn new() -> Self {
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
        Self { world, book, body, wanted, heard: None, history: Vec::new() }
    }

    /// Another book is rehearsed: every step of it took a minute.
    pub(crate) fn with_book(mut self, text: &str) -> Self {
        self.book = Book::parse(text).unwrap();
        self.body.steps = done(&self.book, self.body.begun.timestamp());
        self
    }

    pub(crate) fn look(&self, really: Really) -> Found {
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

    pub(crate) fn facts(&self, found: Found) -> Facts {
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
            history: self.history.clone(),
        })
    }

    pub(crate) fn restored(&self, path: &str) -> std::path::PathBuf {
        self.body.target.restored().join("files").join(path)
    }
}

pub(crate) fn acting<'a>(
    repository: &'a Repository,
    identities: &'a [Identity],
    officer: &'a Officer<'a>,
) -> Acting<'a> {
    Acting { repository, identities, officer, clock: &SystemClock, lanes: std::num::NonZeroUsize::MIN }
}

pub(crate) fn erase_tenant(world: &World, tenant: &str) {
    let repository = world.repository();
    let identities = [world.recovery_identity()];
    let officer = world.alice();
    let acting = acting(&repository, &identities, &officer);
    let plan = erase::plan(&acting, &tenant.parse().unwrap(), &[repository.store()]).unwrap();
    erase::put(&acting, &plan).unwrap();
    erase::sweep(&acting, &[repository.store()]).unwrap();
}

pub(crate) fn body(world: &World, book: &Book, wanted: &[Wanted]) -> Body {
    let repository = world.repository();
    let recovery = world.recovery(&repository);
    let listed = measure::listed(&recovery).unwrap();
    let now = SystemClock.now();
    let disruption = Disruption::given(now);
    let unasked = Freshness::NotProven(String::new());
    let checkpoint = extract(&repository, Role::Repository, unasked).unwrap().0.checkpoint;
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
pub(crate) fn done(book: &Book, now: Timestamp) -> Vec<StepFact> {
    let mut steps = run::untouched(book);
    for step in &mut steps {
        step.what = What::Ran;
        (step.started, step.ended) =
            (Some(Moment::new(now)), Some(Moment::new(now.plus(Duration::from_secs(60)))));
    }
    steps
}

pub(crate) fn late(rehearsal: &mut Rehearsal, hours: u64) {
    let step = &mut rehearsal.body.steps[0];
    step.ended = step.ended.map(|ended| ended.plus(Duration::from_secs(hours * 3600)));
}
