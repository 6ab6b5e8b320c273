//! Steps that people did, as whoever leads a drill says it: what shows it, and who agreed.

use std::collections::BTreeMap;

use lifeboat_runbooks::{Book, InDrill, Mode, Step};
use lifeboat_verify::evidence::facts::{StepFact, What};

use super::asking;
use crate::codes::Code;
use crate::failure::{Failure, Result};

/// What is said of steps before anybody is asked.
#[derive(clap::Args)]
pub(super) struct Done {
    /// A step for people that was done, and what shows it: a ticket, a time; may be given several times
    #[arg(long, value_name = "STEP=TEXT")]
    done: Vec<String>,
    /// Who agreed to such a step, for each of the book's approvers; may be given several times
    #[arg(long, value_name = "STEP=APPROVER=NAME", requires = "done")]
    approved: Vec<String>,
}

impl Done {
    /// By their steps, what shows that they were done, and who agreed.
    ///
    /// # Errors
    /// Something was said of a step that nobody is asked about, or somebody's agreement is missing.
    pub(super) fn read(&self, book: &Book, facts: &[StepFact]) -> Result<BTreeMap<String, String>> {
        let usage = |why: String, at: &str| Failure::usage(why).code(Code::NoValue).at(at);
        let mut agreed: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for text in &self.approved {
            let parts = text.split_once('=').and_then(|(step, rest)| Some((step, rest.split_once('=')?)));
            let Some((step, (role, name))) = parts.filter(|(_, (_, name))| !name.is_empty()) else {
                return Err(usage("say who agreed: --approved STEP=APPROVER=NAME".into(), "--approved"));
            };
            let fits = |one: &&Step| one.name == step && one.approvers.iter().any(|known| known == role);
            if !book.steps.iter().any(|one| fits(&one)) {
                return Err(usage(
                    format!("the book has no step {step} that {role:?} approves"),
                    "--approved",
                ));
            }
            agreed.insert((step, role), name);
        }
        let mut all = BTreeMap::new();
        for text in &self.done {
            let Some((name, reference)) = text.split_once('=').filter(|(_, reference)| !reference.is_empty())
            else {
                return Err(usage("say what shows that it was done: --done STEP=TEXT".into(), "--done"));
            };
            let step = asked_about(book, facts, name).map_err(|why| usage(why, "--done"))?;
            let mut all_agree = Vec::new();
            for role in &step.approvers {
                let Some(who) = agreed.get(&(name, role.as_str())) else {
                    return Err(usage(
                        format!("the step {name} is done only once its {role} agrees"),
                        "--done",
                    )
                    .next(format!("say who agreed: --approved '{name}={role}=NAME'")));
                };
                all_agree.push((role.as_str(), *who));
            }
            all.insert(name.to_owned(), asking::reference(reference, all_agree.into_iter()));
        }
        if let Some((step, _)) = agreed.keys().find(|(step, _)| !all.contains_key(*step)) {
            return Err(usage(
                format!("say what shows that {step} was done, too: --done {step}=TEXT"),
                "--approved",
            ));
        }
        Ok(all)
    }
}

/// The step of that name, if a drill asks somebody about it and has not done so yet.
fn asked_about<'b>(book: &'b Book, facts: &[StepFact], name: &str) -> std::result::Result<&'b Step, String> {
    let found = book.steps.iter().zip(facts).find(|(step, _)| step.name == name);
    let (step, fact) = found.ok_or_else(|| format!("the book has no step {name}"))?;
    match (step.mode, step.drill, fact.what) {
        (Mode::Auto, ..) => {
            Err(format!("the step {name} is the shell's, so nobody is asked whether it is done"))
        }
        (_, InDrill::Simulate, _) => Err(format!(
            "the book says that drills only simulate the step {name}: say drill: run in it to have it done"
        )),
        (_, InDrill::Skip, _) => Err(format!("the book says that drills leave the step {name} out")),
        (_, InDrill::Run, What::NotReached | What::Interrupted) => Ok(step),
        (_, InDrill::Run, _) => Err(format!("the step {name} came to its end before")),
    }
}
