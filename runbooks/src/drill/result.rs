//! The facts of a drill, and what they come to. Pure: whoever has the same findings gets the same facts.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_repo::ids::{Label, ObjectHash};
use lifeboat_verify::evidence::facts::{
    Book as BookFact, Exercise, FORMAT, Facts, Kind, Moment, NotRun, PastDrill, PlantedFact, RepositoryFact,
    Seconds, StepFact, Tool, What,
};

use super::conclude::Found;
use super::journal::Body;
use super::measure::Wanted;
use crate::book::{Book, InDrill, Mode, Phase, Step};

mod parts;
mod verdict;

use parts::{components, projection};
pub use verdict::measured;
use verdict::{assertions, cleaned, verdict};

/// What the facts are made of.
pub struct Findings<'a> {
    /// The book.
    pub book: &'a Book,
    /// The name that evidence knows it by.
    pub name: Label,
    /// The drill.
    pub journal: &'a Body,
    /// The program.
    pub tool: Tool,
    /// The repositories it read.
    pub repositories: Vec<RepositoryFact>,
    /// The components, those that others need first.
    pub wanted: &'a [Wanted],
    /// What was looked at; the text says why nothing could be.
    pub found: Result<Found, String>,
    /// How long each component's restore took, where that is known.
    pub took: BTreeMap<Label, Duration>,
    /// When all of it was looked at.
    pub looked: Moment,
    /// Earlier drills of the book, of the same components.
    pub history: Vec<PastDrill>,
}

/// The time from the disruption until people were let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocked {
    /// On the clock, from the disruption to the end of the last step that counts.
    pub measured: Duration,
    /// Of that, until somebody began to act.
    pub before: Duration,
    /// Steps that were only simulated or left out, at the time planned for them.
    pub simulated: Duration,
    /// Their names.
    pub names: Vec<String>,
    /// Whether every step that was to be done was.
    pub whole: bool,
}

impl Clocked {
    /// All of it.
    #[must_use]
    pub fn all(&self) -> Duration {
        self.measured.saturating_add(self.simulated)
    }
}

/// Reads the clock off the steps.
#[must_use]
pub fn clocked(book: &Book, journal: &Body) -> Clocked {
    let counts = || book.steps.iter().zip(&journal.steps).filter(|(step, _)| step.phase != Phase::Cleanup);
    let end = counts().filter_map(|(_, fact)| fact.ended).max().unwrap_or(journal.begun);
    // What a drill leaves out is done in a disaster, and takes its time then.
    let undone = |fact: &&StepFact| {
        fact.what == What::Simulated || (fact.what == What::Skipped && fact.note.is_none())
    };
    let simulated: Vec<&StepFact> = counts().map(|(_, fact)| fact).filter(undone).collect();
    let planned = simulated.iter().filter_map(|fact| fact.planned).map(Seconds::span);
    Clocked {
        measured: end.since(journal.disruption),
        before: journal.begun.since(journal.disruption),
        simulated: planned.fold(Duration::ZERO, Duration::saturating_add),
        names: simulated.iter().map(|fact| fact.name.clone()).collect(),
        whole: counts().all(|(_, fact)| {
            matches!(fact.what, What::Ran | What::Simulated)
                || (fact.what == What::Skipped && fact.note.is_none())
        }),
    }
}

/// Puts it all together, but for what [`close`] adds.
#[must_use]
pub fn facts(findings: Findings<'_>) -> Facts {
    let clock = clocked(findings.book, findings.journal);
    let not_run = not_run(&findings);
    let promised = objective(&findings);
    let assertions = assertions(&findings, &clock, promised);
    let verdict = verdict(&findings, &assertions);
    let components = components(&findings, &clock);
    let projection = projection(&findings, &clock, promised);
    let limits = limits(&findings, &clock);
    let Findings { book, name, journal, tool, repositories, found, looked, history, .. } = findings;
    let title = match &journal.component {
        Some(component) => format!("{}: {component} of {}", book.title, journal.region),
        None => format!("{}: {}", book.title, journal.region),
    };
    let (sample, planted, absent) = match found {
        Ok(found) => (
            found.sample,
            planted_facts(&found.planted),
            found.absent.map(|absent| absent.facts).unwrap_or_default(),
        ),
        Err(_) => (None, Vec::new(), Vec::new()),
    };
    Facts {
        format: FORMAT,
        kind: Kind::Drill,
        id: journal.id.clone(),
        title,
        tool,
        book: Some(BookFact {
            name,
            title: book.title.clone(),
            sha256: journal.book_sha256,
            rto: Some(lifeboat_verify::span::promise(book.front.rto)),
            rpo: Some(lifeboat_verify::span::promise(book.front.rpo)),
            success: Some(success_text(book)),
        }),
        configuration: journal.configuration,
        repositories,
        exercise: Exercise {
            disruption: journal.disruption,
            how: journal.how.clone(),
            begun: journal.begun,
            ended: looked,
            interruptions: journal.interruptions.clone(),
            operator: journal.operator.clone(),
        },
        steps: journal.steps.clone(),
        components,
        projection,
        sample,
        planted,
        absent,
        erasure: None,
        verification: None,
        not_run,
        assertions: assertions.into_iter().map(|(assertion, _)| assertion).collect(),
        verdict,
        limits,
        history,
    }
}

/// Adds what became of the target, or that it was to be kept, and when all of it ended.
pub fn close(facts: &mut Facts, journal: &Body, ended: Moment) {
    if journal.keep {
        let not_run = NotRun { what: "cleaning up the target".into(), reason: "it was to be kept".into() };
        facts.not_run.push(not_run);
    }
    if let Some(cleanup) = &journal.cleanup {
        let (assertion, verdict) = cleaned(cleanup);
        facts.assertions.push(assertion);
        facts.verdict = facts.verdict.max(verdict);
    }
    facts.exercise.ended = ended;
    // It may have been cut off after everything was looked at.
    facts.exercise.interruptions.clone_from(&journal.interruptions);
}

/// Whether a drill does this step, and it brings data back: those that do say to where, whatever they call the part of a
/// recovery it is.
fn brings(step: &Step) -> bool {
    let names = || {
        crate::lint::variables_of(&step.script).any(|one| matches!(one.as_str(), "TARGET" | "DRILL_TARGET"))
    };
    step.mode == Mode::Auto && step.drill == InDrill::Run && names()
}

/// Whether a drill of this book brings data back at all: some are about keys or the repository.
fn restores(book: &Book) -> bool {
    book.steps.iter().any(brings)
}

fn success_text(book: &Book) -> String {
    let all: Vec<String> = book.front.success.conditions().iter().map(ToString::to_string).collect();
    all.join(" and ")
}

/// What is aimed for, and what must not be exceeded.
type Promised = (Duration, Duration);

/// What was promised: by the book, no laxer than the strictest component of those that it brings back.
fn objective(findings: &Findings<'_>) -> Promised {
    let brought = || findings.wanted.iter().filter(|_| restores(findings.book));
    let strictest = |of: fn(&Wanted) -> Duration| brought().map(of).min();
    let target = strictest(|wanted| wanted.rto.0)
        .map_or(findings.book.front.rto, |own| own.min(findings.book.front.rto));
    let limit = strictest(|wanted| wanted.rto.1).unwrap_or(findings.book.front.rto);
    (target, limit.max(target))
}

fn planted_facts(
    planted: &[(super::planted::Plant, Result<super::planted::Caught, String>)],
) -> Vec<PlantedFact> {
    let one = |(which, caught): &(super::planted::Plant, Result<super::planted::Caught, String>)| {
        let name: Label = which.name().parse().ok()?;
        // What could not be planted is told among what did not run.
        let caught = caught.as_ref().ok()?;
        let (place, caught_by) = (caught.place.clone(), caught.by.clone());
        Some(PlantedFact {
            name,
            what: which.what().into(),
            place,
            expected: which.expected().into(),
            caught_by,
        })
    };
    planted.iter().filter_map(one).collect()
}

fn not_run(findings: &Findings<'_>) -> Vec<NotRun> {
    let mut all = findings.journal.not_run.clone();
    for fact in &findings.journal.steps {
        let reason = match fact.what {
            What::Simulated => "simulated, as the book says for drills",
            What::Skipped => fact.note.as_deref().unwrap_or("left out, as the book says for drills"),
            What::NotReached => "the drill ended before it",
            What::Interrupted => "the drill was cut off while it ran",
            What::Ran | What::Failed | What::TimedOut => continue,
        };
        all.push(NotRun { what: format!("step {}", fact.name), reason: reason.to_owned() });
    }
    match &findings.found {
        Err(why) => {
            all.push(NotRun { what: "everything a drill looks at by itself".into(), reason: why.clone() })
        }
        Ok(found) => {
            let compared =
                found.compared.iter().filter_map(|(name, one)| one.as_ref().err().map(|why| (name, why)));
            all.extend(
                compared
                    .map(|(name, why)| NotRun { what: format!("comparison of {name}"), reason: why.clone() }),
            );
            let planted =
                found.planted.iter().filter_map(|(which, one)| one.as_ref().err().map(|why| (which, why)));
            all.extend(planted.map(|(which, why)| NotRun {
                what: format!("planted fault {}", which.name()),
                reason: why.clone(),
            }));
            match &found.absent {
                Err(why) => all.push(NotRun { what: "absence of the erased".into(), reason: why.clone() }),
                Ok(absent) if absent.readmitted > 0 => all.push(NotRun {
                    what: format!("absence of {} who were erased and let in again", absent.readmitted),
                    reason: "they may be there: only their old keys were looked for, and are gone".into(),
                }),
                Ok(_) => {}
            }
        }
    }
    all
}

fn limits(findings: &Findings<'_>, clock: &Clocked) -> Vec<String> {
    use lifeboat_verify::evidence::facts::Freshness;
    let mut all = vec![
        "The signature shows who says this and that it was not changed since; not that it is true."
            .to_owned(),
        "It was restored to scratch space on one machine; elsewhere disk, network and processors differ."
            .to_owned(),
    ];
    if !clock.names.is_empty() {
        all.push(format!(
            "These steps were not done, and count with the time planned for them, which nobody measured: {}.",
            clock.names.join(", ")
        ));
    }
    let unproven = findings.repositories.iter().any(|one| matches!(one.freshness, Freshness::NotProven(_)));
    if unproven {
        all.push("Nothing shows that the repository was the newest: somebody may have taken its newest state away.".to_owned());
    }
    all.extend(parts::limits(findings));
    if !findings.journal.interruptions.is_empty() {
        all.push(
            "The drill itself was cut off; the time until it went on is part of the time measured."
                .to_owned(),
        );
    }
    all
}

/// The hash of a configuration or a book, as facts name it.
#[must_use]
pub fn hash(text: &[u8]) -> ObjectHash {
    ObjectHash::from_bytes(lifeboat_repo::crypto::sha256(text))
}
