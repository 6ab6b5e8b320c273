//! Evidence that verbs leave of their own runs (`--evidence DIR`): where it may lie, what it says of the program, of the
//! repositories and of who ran it, and how it is told that it was written.

use std::path::{Path, PathBuf};

use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::witness::{Depth, Freshness as Witnessed};
use lifeboat_repo::repository::{Repository, Role};
use lifeboat_runbooks::drill::target::{TargetError, spare};
use lifeboat_verify::evidence::facts::{
    Facts, Freshness, Kind, Moment, RepositoryFact, Role as RoleFact, Tool,
};
use lifeboat_verify::evidence::{Attachment, Reserved, Run, extract, reserve};
use serde_json::json;

use crate::codes::Code;
use crate::config::Region;
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown, tame, word};
use crate::render::Outcome;
use crate::verbs::drill::sources;
use crate::witnessed::{self, Said};

/// Evidence that is under way.
pub(crate) struct Making {
    reserved: Reserved,
    kind: Kind,
    id: Label,
    begun: Moment,
    current: lifeboat_repo::ids::ObjectHash,
    repositories: Vec<RepositoryFact>,
    unread: Vec<(Label, String)>,
    attachments: Vec<Attachment>,
}

impl Making {
    /// Sees, before anything is done, that evidence of it can lie there.
    pub(crate) fn begin(
        context: &Context,
        kind: Kind,
        directory: &Path,
        identities: &[PathBuf],
    ) -> Result<Self> {
        let current = super::current(context, None)?.configuration;
        let path = spare(directory, &sources(context, identities)?).map_err(no_place)?;
        let begun = Moment::new(context.now());
        let moment = begun.timestamp().rfc3339().to_ascii_lowercase().replace(':', "-");
        // Two that begin in one second are two.
        let [a, b, ..] = context.nonce();
        let name = format!("{moment}-{}-{a:02x}{b:02x}", kind.word());
        let id = name.parse().map_err(|_| Failure::failed(format!("{name} is no name for evidence")))?;
        let reserved = reserve(&path)?;
        let (repositories, unread, attachments) = <_>::default();
        Ok(Self { reserved, kind, id, begun, current, repositories, unread, attachments })
    }

    /// Notes how far the repository of a region had got when the run began. That nobody can tell keeps it from nothing.
    pub(crate) fn see(&mut self, context: &Context, region: &Region) {
        let seen = context.open(region).and_then(|opened| repository(context, region, &opened));
        match seen {
            Ok((fact, files)) => {
                self.repositories.push(fact);
                self.attachments.extend(files);
            }
            Err(failure) => self.unread.push((region.name.clone(), failure.coded())),
        }
    }

    /// The state of the one repository that was seen, if it could be told.
    pub(crate) fn state(&self) -> Option<&RepositoryFact> {
        self.repositories.first()
    }

    /// Puts more files beside the facts.
    pub(crate) fn attach(&mut self, files: Vec<Attachment>) {
        self.attachments.extend(files);
    }

    /// Writes what the run came to, and says where in how it ended. A run is no worse for evidence that could not be
    /// written, and it is said.
    pub(crate) fn leave(
        self,
        context: &Context,
        title: String,
        operator: String,
        facts: impl FnOnce(Run) -> Facts,
        outcome: &mut Outcome,
    ) {
        let kind = self.kind.word();
        let (path, verdict) = match self.write(context, title, operator, facts) {
            Ok(written) => written,
            Err(failure) => return unwritten(context, kind, &failure, outcome),
        };
        let mut page = context.page();
        page.gap().raw(&format!("evidence: {} ({verdict}); nobody's word yet:", shown(&path)));
        page.raw(&format!("      lifeboat evidence sign {} --officer-key FILE", word(&path)));
        outcome.page.push_str(&page.finish());
        if let Some(value) = outcome.value.as_object_mut() {
            value.insert("evidence".to_owned(), json!(shown(&path)));
        }
    }

    /// Says in how a run ended that evidence of it could not be made.
    pub(crate) fn fail(self, context: &Context, failure: &Failure, outcome: &mut Outcome) {
        unwritten(context, self.kind.word(), failure, outcome);
    }

    /// Writes what a run came to that failed: the failure says where, too.
    pub(crate) fn leave_failed(
        self,
        context: &Context,
        title: String,
        operator: String,
        facts: impl FnOnce(Run) -> Facts,
        mut failure: Failure,
    ) -> Failure {
        let said = match self.write(context, title, operator, facts) {
            Ok((path, _)) => format!("evidence of that is in {}", shown(&path)),
            Err(error) => format!("evidence of that was not written: {}", error.coded()),
        };
        failure.what = format!("{}; {said}", failure.what);
        failure
    }

    fn write(
        self,
        context: &Context,
        title: String,
        operator: String,
        facts: impl FnOnce(Run) -> Facts,
    ) -> Result<(PathBuf, &'static str)> {
        let facts = facts(Run {
            id: self.id,
            title,
            tool: tool(),
            configuration: self.current,
            operator,
            begun: self.begun,
            ended: Moment::new(context.now()),
            repositories: self.repositories,
            unread: self.unread,
        });
        let path = self.reserved.write(&facts, &self.attachments)?;
        Ok((path, facts.verdict.words()))
    }
}

/// What was done stays done; that there is no evidence of it is said, and how it ended is no better than that.
fn unwritten(context: &Context, kind: &str, failure: &Failure, outcome: &mut Outcome) {
    let mut page = context.page();
    page.gap().item("✗", &format!("evidence of this {kind} was NOT written: {}", failure.coded()));
    outcome.page.push_str(&page.finish());
    outcome.exit = outcome.exit.worst(failure.exit);
    if let Some(value) = outcome.value.as_object_mut() {
        value.insert("evidence".to_owned(), json!(null));
        value.insert("evidence_error".to_owned(), failure.json());
    }
}

/// This program.
pub(crate) fn tool() -> Tool {
    Tool {
        name: "lifeboat".into(),
        version: super::VERSION.into(),
        commit: option_env!("LIFEBOAT_COMMIT").map(str::to_owned),
    }
}

/// A repository as it was read, with the entries that show it.
pub(crate) fn repository(
    context: &Context,
    region: &Region,
    repository: &Repository,
) -> Result<(RepositoryFact, Vec<Attachment>)> {
    let role = if region.role == Role::Primary { RoleFact::Repository } else { RoleFact::Replica };
    let said = witnessed::ask(context, region, repository, Depth::All);
    let unproven = Freshness::NotProven(said.words());
    let (mut fact, entries) = extract(repository, role, unproven)
        .map_err(|error| Failure::from(error).at(repository_place(region)))?;
    let newest = fact.heads.iter().max_by_key(|head| (head.run, head.entry.clone()));
    if let (Said::Says(Witnessed::Proven(vouched)), Some(head)) = (&said, newest)
        && vouched.contains_key(&head.writer)
    {
        fact.freshness = Freshness::Witnessed { entry: head.entry.clone(), sha256: head.sha256 };
    }
    Ok((fact, entries))
}

/// Where evidence must not lie.
fn no_place(error: TargetError) -> Failure {
    if let TargetError::Io { .. } = error {
        return Failure::failed(tame(&error.to_string())).code(Code::File);
    }
    Failure::new(Exit::Refused, tame(&error.to_string())).code(Code::EvidencePlace).at("--evidence")
}
