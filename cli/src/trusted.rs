//! What a repository's trust says, in the words of the command line.

#[cfg(feature = "recover")]
use lifeboat_repo::crypto::sign::SigningKey;
use lifeboat_repo::crypto::sign::VerifyingKey;
use lifeboat_repo::ids::Label;
use lifeboat_repo::repository::{Principal, Repository};
use lifeboat_repo::units::Timestamp;

/// What a writer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It backs up.
    Writer,
    /// It expires, collects and copies; it is a writer too, for what its work leaves.
    Maintainer,
}

impl Role {
    /// In a word.
    #[cfg(feature = "recover")]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Maintainer => "maintainer",
        }
    }
}

/// A writer that trust knows.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// Its name.
    pub(crate) name: Label,
    /// What it is for.
    pub(crate) role: Role,
    /// Its key.
    pub(crate) key: VerifyingKey,
    /// What it may snapshot.
    pub(crate) components: Vec<Label>,
    /// Since when.
    pub(crate) from: Option<Timestamp>,
    /// Until when, if it was revoked.
    pub(crate) until: Option<Timestamp>,
}

/// Every writer, maintainers among them, in the order of enrolment.
pub(crate) fn writers(repository: &Repository) -> Vec<Writer> {
    let prefix = format!("lifeboat-snapshot:{}:snapshots/", repository.id());
    let principals = || repository.trust().signers.entries().map(|entry| Principal::parse(&entry.principal));
    let maintains = |name: &Label| {
        principals().any(|one| matches!(one, Some(Principal::Maintainer(maintainer)) if maintainer == *name))
    };
    let mut writers: Vec<Writer> = Vec::new();
    for entry in repository.trust().signers.entries() {
        let Some(Principal::Writer(name)) = Principal::parse(&entry.principal) else { continue };
        let bound = entry.namespaces.iter().filter_map(|namespace| {
            namespace.strip_prefix(&prefix)?.strip_suffix("/*")?.parse::<Label>().ok()
        });
        let at = writers.iter().position(|writer| writer.name == name).unwrap_or_else(|| {
            let (from, until) = (entry.valid_after, entry.valid_before);
            let role = if maintains(&name) { Role::Maintainer } else { Role::Writer };
            writers.push(Writer { name, role, key: entry.key, components: Vec::new(), from, until });
            writers.len() - 1
        });
        if let Some(writer) = writers.get_mut(at) {
            writer.components.extend(bound);
            writer.components.sort();
            writer.components.dedup();
        }
    }
    writers
}

/// Every officer: name and key.
#[cfg(feature = "recover")]
pub(crate) fn officers(repository: &Repository) -> Vec<(Label, VerifyingKey)> {
    let entries = repository.trust().signers.entries().filter(|entry| entry.valid_before.is_none());
    entries
        .filter_map(|entry| match Principal::parse(&entry.principal) {
            Some(Principal::Officer(name)) => Some((name, entry.key)),
            _ => None,
        })
        .collect()
}

/// The officer whose key this is.
#[cfg(feature = "recover")]
pub(crate) fn officer_of(repository: &Repository, signing: &SigningKey) -> crate::failure::Result<Label> {
    let key = signing.public();
    officers(repository).into_iter().find(|(_, known)| *known == key).map(|(name, _)| name).ok_or_else(|| {
        crate::failure::Failure::new(
            crate::exit::Exit::Refused,
            format!("{} is no officer of region {}", key.fingerprint(), repository.trust().header.region),
        )
        .code(crate::codes::Code::NotAnOfficer)
        .next(
            "give an officer's signing key with --officer-key FILE; `lifeboat keys paper` names the officers",
        )
    })
}
