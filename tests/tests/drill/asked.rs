//! Steps that somebody is asked about.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use lifeboat_repo::clock::SystemClock;
use lifeboat_runbooks::drill::journal::{self, Journal};
use lifeboat_runbooks::drill::run::{self, Answer, Conductor, Stage, Went};
use lifeboat_runbooks::{Book, Step};
use lifeboat_verify::evidence::facts::{StepFact, What};

use crate::rehearsal::{BOOK, Rehearsal};

/// Somebody who stops everything when asked, and looks at what is written down then.
struct Leaves {
    journal: PathBuf,
    seen: Mutex<Vec<What>>,
}

impl Conductor for Leaves {
    fn cancelled(&self) -> bool {
        !self.seen.lock().unwrap().is_empty()
    }
    fn begins(&self, _: usize, _: usize, _: &Step, _: What) {}
    fn line(&self, _: &str) {}
    fn tick(&self, _: &Step, _: Duration) {}
    fn ended(&self, _: &Step, _: &StepFact) {}
    fn ask(&self, _: &Step) -> Answer {
        self.seen.lock().unwrap().push(journal::peek(&self.journal).unwrap().steps[0].what);
        Answer::Nobody
    }
}

/// Answers take hours, and the machine may end meanwhile: nobody takes that time for one in which nothing ran.
#[test]
fn a_step_is_written_down_before_somebody_is_asked_about_it() {
    let asked = BOOK.replacen("\"phase\"", "\"mode\":\"manual\",\"drill\":\"run\",\"phase\"", 1);
    let mut rehearsal = Rehearsal::new().with_book(&asked);
    rehearsal.body.steps = run::untouched(&rehearsal.book);
    let out = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(out.path(), rehearsal.body).unwrap();
    let somebody = Leaves { journal: journal.directory().to_owned(), seen: Mutex::default() };
    let book: &Book = &rehearsal.book;
    let stage = Stage { book, environment: &[], secrets: &[], clock: &SystemClock, conductor: &somebody };
    assert_eq!(run::steps(&stage, &mut journal).unwrap(), Went::Interrupted);
    assert_eq!(*somebody.seen.lock().unwrap(), [What::Interrupted]);
    let step = &journal.body.steps[0];
    assert!(step.what == What::Interrupted && step.note.is_none(), "it is asked about again: {step:?}");
}
