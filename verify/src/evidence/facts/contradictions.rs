//! What a verdict must not rest on.

use super::{Facts, Met, Outcome, Seconds, Verdict, What};

impl Facts {
    /// Why the verdict is better than the facts allow; nothing where it follows from them.
    ///
    /// Whoever makes facts computes the verdict; this is the other way round, so that evidence that says "met" over a
    /// fault that nobody caught is refused, whoever signed it.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut must_not = |verdicts: &[Verdict], why: String| {
            if verdicts.contains(&self.verdict) {
                found.push(format!("the verdict is {:?}, although {why}", self.verdict.words()));
            }
        };
        let good = [Verdict::Met, Verdict::TargetMissed];
        let not_failed = [Verdict::Met, Verdict::TargetMissed, Verdict::Insufficient, Verdict::LimitMissed];
        if self.assertions.is_empty() {
            must_not(&good, "nothing was asserted".into());
        }
        for one in &self.assertions {
            match one.met {
                Met::Met => {}
                Met::Missed => must_not(&[Verdict::Met], format!("{:?} is missed", one.name)),
                Met::Insufficient => must_not(&good, format!("{:?} lacks evidence", one.name)),
            }
        }
        for one in self.planted.iter().filter(|one| one.caught_by.is_none()) {
            must_not(&not_failed, format!("nothing caught the planted fault {}", one.name));
        }
        if self.absent.iter().any(|one| !one.absent) {
            must_not(&not_failed, "an erased canary is there".into());
        }
        for step in &self.steps {
            match step.what {
                What::Ran | What::Simulated | What::Skipped => {}
                // A failed attempt that a later one made good is told, and fails nothing.
                _ if self.made_good(&step.name, step.attempt) => {}
                what => must_not(&good, format!("step {:?} {}", step.name, what.words())),
            }
        }
        for component in &self.components {
            for check in &component.checks {
                match &check.outcome {
                    Outcome::Passed => {}
                    Outcome::Failed => {
                        must_not(&not_failed, format!("{} of {} failed", check.level, component.name));
                    }
                    Outcome::NotRun(_) => {
                        must_not(&good, format!("{} of {} did not run", check.level, component.name));
                    }
                }
            }
        }
        found
    }

    /// The largest loss of any component; nothing: unknown, in one of them at least, or none was looked at.
    #[must_use]
    pub fn largest_loss(&self) -> Option<Seconds> {
        let bounds: Option<Vec<Seconds>> =
            self.components.iter().filter_map(|one| one.rpo.as_ref()).map(|rpo| rpo.bound).collect();
        bounds?.into_iter().max()
    }

    fn made_good(&self, step: &str, attempt: u32) -> bool {
        self.steps
            .iter()
            .any(|other| other.name == step && other.attempt > attempt && other.what == What::Ran)
    }
}
