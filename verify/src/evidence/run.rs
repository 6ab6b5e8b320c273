//! Facts of runs that execute no book: what a verification and an erasure say alike.

use lifeboat_repo::ids::{Label, ObjectHash};

use super::facts::{
    Assertion, Exercise, FORMAT, Facts, Freshness, How, Kind, Met, Moment, NotRun, RepositoryFact, Tool,
    Verdict,
};

/// What such a run says of itself.
#[derive(Clone, Debug)]
pub struct Run {
    /// Names the evidence.
    pub id: Label,
    /// What it was about, for people.
    pub title: String,
    /// The program.
    pub tool: Tool,
    /// SHA-256 of the configuration.
    pub configuration: ObjectHash,
    /// Who ran it.
    pub operator: String,
    /// When it began.
    pub begun: Moment,
    /// When it ended.
    pub ended: Moment,
    /// The repositories that it read, as they were when it began.
    pub repositories: Vec<RepositoryFact>,
    /// Those of which it is not known how far they had got, with the reason.
    pub unread: Vec<(Label, String)>,
}

/// A condition, and what it comes to.
pub(super) type Judged = (Assertion, Verdict);

/// Where a condition holds, misses, or nobody knows; `missed` is what it comes to then.
pub(super) fn judged(
    name: impl Into<String>,
    met: Met,
    missed: Verdict,
    detail: impl Into<String>,
) -> Judged {
    let verdict = match met {
        Met::Met => Verdict::Met,
        Met::Insufficient => Verdict::Insufficient,
        Met::Missed => missed,
    };
    (Assertion { name: name.into(), met, detail: detail.into() }, verdict)
}

impl Run {
    /// The facts, with what the verdict rests on: it is the gravest of all.
    pub(super) fn facts(self, kind: Kind, mut judged_all: Vec<Judged>, not_run: Vec<NotRun>) -> Facts {
        let mut not_run = not_run;
        for (region, why) in &self.unread {
            let name = format!("it is known how far the repository of {region} had got");
            judged_all.push(judged(name, Met::Insufficient, Verdict::Insufficient, why.clone()));
            not_run.push(NotRun {
                what: format!("the state of the repository of {region}"),
                reason: why.clone(),
            });
        }
        let mut limits = vec![
            "The signature shows who says this and that it was not changed since; not that it is true."
                .to_owned(),
        ];
        if self.repositories.iter().any(|one| matches!(one.freshness, Freshness::NotProven(_))) {
            limits.push("Nothing shows that the repository was the newest: somebody may have taken its newest state away.".to_owned());
        }
        // Of nothing at all, nothing is known.
        let none = if judged_all.is_empty() { Verdict::Insufficient } else { Verdict::Met };
        Facts {
            format: FORMAT,
            kind,
            id: self.id,
            title: self.title,
            tool: self.tool,
            book: None,
            configuration: self.configuration,
            repositories: self.repositories,
            exercise: Exercise {
                disruption: self.begun,
                how: How::Given,
                begun: self.begun,
                ended: self.ended,
                interruptions: Vec::new(),
                operator: self.operator,
            },
            steps: Vec::new(),
            components: Vec::new(),
            projection: None,
            sample: None,
            planted: Vec::new(),
            absent: Vec::new(),
            erasure: None,
            verification: None,
            not_run,
            verdict: judged_all.iter().map(|(_, verdict)| *verdict).fold(none, Verdict::max),
            assertions: judged_all.into_iter().map(|(assertion, _)| assertion).collect(),
            limits,
            history: Vec::new(),
        }
    }
}
