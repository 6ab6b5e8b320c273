//! Everything that was looked at, as sentences with how each stands.

use super::super::controls::{Standing, Topic};
use super::super::facts::{ComponentFact, Facts, LookFact, Met, Outcome, Verdict};
use super::super::report::promise;

/// One thing that was looked at.
pub(super) struct Observed {
    /// Names it within these facts.
    pub(super) key: String,
    /// What it shows something of.
    pub(super) topic: Topic,
    /// The component it is of, if of one.
    pub(super) component: Option<String>,
    pub(super) title: String,
    pub(super) says: String,
    pub(super) standing: Standing,
}

/// All of them, in the order of the facts.
pub(super) fn all(facts: &Facts) -> Vec<Observed> {
    let mut all = Vec::new();
    if facts.book.is_some() {
        all.push(exercised(facts));
    }
    for component in &facts.components {
        all.extend(recovery_time(component));
        all.extend(data_loss(component));
        all.extend(checks(component));
    }
    all.extend(facts.verification.iter().flat_map(|one| &one.looks).enumerate().map(looked));
    all.extend(planted(facts));
    all.extend(erased(facts));
    all.extend(rest(facts));
    all
}

fn exercised(facts: &Facts) -> Observed {
    let count = |what: &str| facts.steps.iter().filter(|step| step.what.words() == what).count();
    let counted: Vec<String> =
        ["ran", "simulated", "skipped", "not reached", "failed", "timed out", "interrupted"]
            .into_iter()
            .filter(|what| count(what) > 0)
            .map(|what| format!("{} {what}", count(what)))
            .collect();
    Observed {
        key: "exercise".into(),
        topic: Topic::Exercised,
        component: None,
        title: "The book was executed".into(),
        says: format!("Steps: {}.", counted.join(", ")),
        standing: Topic::Exercised.standing(facts, None),
    }
}

fn recovery_time(component: &ComponentFact) -> Option<Observed> {
    let rto = component.rto.as_ref()?;
    let standing = match rto.verdict {
        Verdict::Met => Standing::Shown,
        Verdict::Insufficient => Standing::Insufficient,
        _ => Standing::NotShown,
    };
    let terms: Vec<String> = rto
        .terms
        .iter()
        .map(|term| format!("{} {} ({})", term.name, term.seconds.show(), term.basis))
        .collect();
    Some(Observed {
        key: format!("rto {}", component.name),
        topic: Topic::RecoveryTime,
        component: Some(component.name.to_string()),
        title: format!("Recovery time of {}", component.name),
        says: format!(
            "{} against a target of {} and a limit of {}: {}. {}",
            rto.seconds.show(),
            promise(rto.target),
            promise(rto.limit),
            rto.verdict.words(),
            terms.join(" + "),
        ),
        standing,
    })
}

fn data_loss(component: &ComponentFact) -> Option<Observed> {
    let rpo = component.rpo.as_ref()?;
    let standing = match rpo.verdict {
        Met::Met => Standing::Shown,
        Met::Insufficient => Standing::Insufficient,
        Met::Missed => Standing::NotShown,
    };
    let bound = rpo.bound.map_or_else(|| "unknown".to_owned(), |bound| format!("at most {}", bound.show()));
    let allowed = rpo.objective.map(|one| format!(" of {} allowed", promise(one))).unwrap_or_default();
    Some(Observed {
        key: format!("rpo {}", component.name),
        topic: Topic::DataLoss,
        component: Some(component.name.to_string()),
        title: format!("Data loss of {}", component.name),
        says: format!("Loss {bound}{allowed}, {} holes: {}. {}", rpo.holes, rpo.verdict.words(), rpo.note),
        standing,
    })
}

fn checks(component: &ComponentFact) -> impl Iterator<Item = Observed> {
    component.checks.iter().enumerate().map(|(number, check)| {
        let (standing, says) = match &check.outcome {
            Outcome::Passed => (Standing::Shown, "passed".to_owned()),
            Outcome::Failed => (Standing::NotShown, "failed".to_owned()),
            Outcome::NotRun(why) => (Standing::Insufficient, format!("did not run: {why}")),
        };
        Observed {
            key: format!("check {} {number}", component.name),
            topic: Topic::Restorable,
            component: Some(component.name.to_string()),
            title: format!("{} of {}", check.level, component.name),
            says: format!("{says}. {}", check.detail),
            standing,
        }
    })
}

fn looked((number, look): (usize, &LookFact)) -> Observed {
    let (standing, says) = match &look.outcome {
        Outcome::Passed => (Standing::Shown, "passed".to_owned()),
        Outcome::Failed => {
            let first = look
                .found
                .first()
                .map_or_else(String::new, |one| format!(", first {}: {}", one.object, one.what));
            (Standing::NotShown, format!("failed, with {} findings{first}", look.all_found()))
        }
        Outcome::NotRun(why) => (Standing::Insufficient, format!("did not run: {why}")),
    };
    Observed {
        key: format!("look {number}"),
        topic: if matches!(look.level.as_str(), "inventory" | "integrity") {
            Topic::Intact
        } else {
            Topic::Restorable
        },
        component: None,
        title: look.words(),
        says: format!("{says}. {}", look.detail),
        standing,
    }
}

fn planted(facts: &Facts) -> impl Iterator<Item = Observed> {
    facts.planted.iter().enumerate().map(|(number, one)| Observed {
        key: format!("planted {number}"),
        topic: Topic::Detects,
        component: None,
        title: format!("Planted fault {}", one.name),
        says: match &one.caught_by {
            Some(by) => format!("{}: caught by {by}, as expected ({}).", one.what, one.expected),
            None => format!("{}: nothing caught it ({} was expected).", one.what, one.expected),
        },
        standing: if one.caught_by.is_some() { Standing::Shown } else { Standing::NotShown },
    })
}

fn erased(facts: &Facts) -> impl Iterator<Item = Observed> {
    let absent = facts.absent.iter().enumerate().map(|(number, one)| Observed {
        key: format!("absent {number}"),
        topic: Topic::Erased,
        component: None,
        title: "An erased canary".into(),
        says: format!(
            "Tenant token {} is {}; looked for by {}.",
            one.tenant_token,
            if one.absent { "absent" } else { "there" },
            one.looked_by
        ),
        standing: if one.absent { Standing::Shown } else { Standing::NotShown },
    });
    absent.chain(facts.erasure.iter().map(|one| Observed {
        key: "erasure".into(),
        topic: Topic::Erased,
        component: None,
        title: "The erasure".into(),
        says: format!(
            "Tombstone {} is effective {}, keys destroyed {}, irreversible {}; {} promised. {}",
            one.tombstone.number,
            one.effective.map_or_else(|| "not yet".to_owned(), |at| at.to_string()),
            one.destroyed.map_or_else(|| "not yet".to_owned(), |at| at.to_string()),
            one.irreversible.map_or_else(|| "not yet known".to_owned(), |at| at.to_string()),
            promise(one.promised),
            one.proof.as_ref().map_or_else(
                || "Nobody tried whether anything opens it.".to_owned(),
                |proof| format!(
                    "{} identities were tried on {} segments: {} open, or lie where nothing may.",
                    proof.identities,
                    proof.segments,
                    proof.found.len()
                )
            ),
        ),
        standing: Topic::Erased.standing(facts, None),
    }))
}

/// What the verdict rests on, and what was not checked.
fn rest(facts: &Facts) -> impl Iterator<Item = Observed> {
    let asserted = facts.assertions.iter().enumerate().map(|(number, one)| Observed {
        key: format!("assertion {number}"),
        topic: Topic::Exercised,
        component: None,
        title: format!("Condition: {}", one.name),
        says: format!("{}. {}", one.met.words(), one.detail),
        standing: match one.met {
            Met::Met => Standing::Shown,
            Met::Missed => Standing::NotShown,
            Met::Insufficient => Standing::Insufficient,
        },
    });
    asserted.chain(facts.not_run.iter().enumerate().map(|(number, one)| Observed {
        key: format!("not run {number}"),
        topic: Topic::Exercised,
        component: None,
        title: format!("Not checked: {}", one.what),
        says: format!("It did not run: {}.", one.reason),
        standing: Standing::Insufficient,
    }))
}
