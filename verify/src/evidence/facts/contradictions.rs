//! What a verdict must not rest on.

use super::{ComponentFact, ErasureFact, Facts, Kind, Met, Outcome, Seconds, Verdict, What};

/// Verdicts that say that it went well, if slowly.
const GOOD: [Verdict; 2] = [Verdict::Met, Verdict::TargetMissed];
/// Those that say of nothing that it is beyond what was promised.
const WITHIN: [Verdict; 3] = [Verdict::Met, Verdict::TargetMissed, Verdict::Insufficient];
/// Those that say that everything worked.
const NOT_FAILED: [Verdict; 4] =
    [Verdict::Met, Verdict::TargetMissed, Verdict::Insufficient, Verdict::LimitMissed];

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
        let (good, not_failed) = (GOOD, NOT_FAILED);
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
            self.of_component(component, &mut must_not);
        }
        if let Some(projection) = &self.projection {
            in_time("the whole", projection.verdict, &mut must_not);
        }
        let looks = self.verification.as_ref().map_or(&[][..], |verification| &verification.looks);
        if self.kind == Kind::Verification && looks.is_empty() {
            must_not(&good, "nothing was looked at".into());
        }
        for look in looks {
            match &look.outcome {
                Outcome::Passed => {}
                Outcome::Failed => must_not(&not_failed, format!("{} failed", look.words())),
                Outcome::NotRun(_) => must_not(&good, format!("{} did not run", look.words())),
            }
        }
        match &self.erasure {
            Some(erasure) => of_erasure(erasure, &mut must_not),
            None if self.kind == Kind::Erasure => must_not(&good, "it tells of no erasure".into()),
            None => {}
        }
        found
    }

    fn of_component(&self, component: &ComponentFact, must_not: &mut impl FnMut(&[Verdict], String)) {
        let name = &component.name;
        for check in &component.checks {
            match &check.outcome {
                Outcome::Passed => {}
                Outcome::Failed => must_not(&NOT_FAILED, format!("{} of {name} failed", check.level)),
                Outcome::NotRun(_) => must_not(&GOOD, format!("{} of {name} did not run", check.level)),
            }
        }
        if let Some(rto) = &component.rto {
            in_time(name.as_str(), rto.verdict, must_not);
        }
        // What nobody brought back says nothing of what was lost of it, and need not.
        let looked = component.rto.is_some() || !component.checks.is_empty();
        match component.rpo.as_ref().map(|rpo| rpo.verdict) {
            Some(Met::Missed) => must_not(&WITHIN, format!("more of {name} is lost than was promised")),
            Some(Met::Insufficient) if looked => {
                must_not(&GOOD, format!("nobody knows what is lost of {name}"));
            }
            Some(Met::Insufficient | Met::Met) | None => {}
        }
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

/// An erasure is one once it holds, is done, and was tried.
fn of_erasure(erasure: &ErasureFact, must_not: &mut impl FnMut(&[Verdict], String)) {
    let (wanted, done) = (erasure.effective.is_none(), erasure.destroyed.is_some());
    if wanted || !done {
        must_not(
            &GOOD,
            if wanted { "too few officers signed it" } else { "nothing says that keys are destroyed" }.into(),
        );
    }
    match &erasure.proof {
        None => must_not(&GOOD, "nobody tried whether anything opens it".into()),
        Some(proof) if !proof.found.is_empty() => {
            must_not(&NOT_FAILED, "something that is left opens what was erased".into());
        }
        Some(_) => {}
    }
    match erasure.horizon() {
        None => must_not(&GOOD, "nobody knows when the last bundle is gone".into()),
        Some(horizon) if horizon > erasure.promised => {
            must_not(&WITHIN, "the last bundle is gone later than was promised".into());
        }
        Some(_) => {}
    }
}

/// A whole is no quicker than what it consists of.
fn in_time(what: &str, verdict: Verdict, must_not: &mut impl FnMut(&[Verdict], String)) {
    let why = format!("the recovery time of {what}: {}", verdict.words());
    match verdict {
        Verdict::Met => {}
        Verdict::TargetMissed => must_not(&[Verdict::Met], why),
        Verdict::Insufficient => must_not(&GOOD, why),
        Verdict::LimitMissed => must_not(&WITHIN, why),
        Verdict::Failed => must_not(&NOT_FAILED, why),
    }
}
