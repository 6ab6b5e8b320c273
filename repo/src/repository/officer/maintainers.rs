//! Enrolling maintainers: two entries of one key. FORMAT.md §4.

use super::{Officer, put_next_trust, refuse_second_role, rewrap};
use crate::clock::Clock;
use crate::crypto::envelope::Recipient;
use crate::crypto::sign::VerifyingKey;
use crate::crypto::signers::Entry;
use crate::format::keys::NamedRecipient;
use crate::ids::{Label, RepositoryId};
use crate::repository::RepositoryError;
use crate::repository::recover::Recovery;
use crate::units::Timestamp;

/// A maintainer to be enrolled.
pub struct NewMaintainer {
    /// Its name, of which there is no writer.
    pub name: Label,
    /// Verifies what it signs.
    pub signing: VerifyingKey,
    /// Its card recipient: to it the writers' seal is sealed, and with it the catalog.
    pub card: Recipient,
}

/// Enrols a maintainer.
///
/// # Errors
/// The name is taken, the key is somebody else's, the officer may not, or the store failed.
pub fn add_maintainer(
    recovery: &Recovery<'_>,
    officer: &Officer<'_>,
    new: &NewMaintainer,
    clock: &dyn Clock,
) -> Result<(), RepositoryError> {
    let repository = recovery.repository();
    let [maintainer, writer] = [format!("maintainer:{}", new.name), format!("writer:{}", new.name)];
    let mut entries: Vec<Entry> = repository.trust().signers.entries().cloned().collect();
    let known = entries.iter().any(|entry| entry.principal == maintainer && entry.key == new.signing);
    let taken = entries.iter().any(|entry| [&maintainer, &writer].contains(&&entry.principal));
    if (taken && !known) || repository.trust().cutoff(&new.name).is_some() {
        return Err(RepositoryError::refused(
            maintainer,
            "this name was given to another key or to a writer, or was revoked before; a name is never used twice, \
             choose another",
        ));
    }
    refuse_second_role(&entries, &[&maintainer, &writer], &new.signing)?;
    if !known {
        entries.extend(entries_of(&repository.id(), new, clock.now()));
        put_next_trust(repository, officer, entries, repository.trust().header.cutoffs.clone(), clock)?;
    }
    rewrap(recovery, officer, |seal| {
        seal.writers.retain(|writer| writer.name != new.name);
        seal.writers.push(NamedRecipient { name: new.name.clone(), recipient: new.card.to_string() });
    })
}

/// Both roles of a maintainer. What the one may sign the other may not.
fn entries_of(id: &RepositoryId, new: &NewMaintainer, now: Timestamp) -> [Entry; 2] {
    let name = &new.name;
    let entry = |principal: String, namespaces: Vec<(&str, String)>| Entry {
        principal,
        namespaces: namespaces
            .into_iter()
            .map(|(kind, names)| format!("lifeboat-{kind}:{id}:{names}/*"))
            .collect(),
        valid_after: Some(Timestamp::new(now.seconds(), 0)),
        valid_before: None,
        key: new.signing,
        comment: None,
    };
    let maintainer = vec![
        ("gc", "gc".to_owned()),
        ("fence", "snapshots".to_owned()),
        ("fence", "replicas".to_owned()),
        ("bundle", "bundles".to_owned()),
    ];
    let writer = vec![
        ("run", format!("runs/{name}")),
        ("index", format!("index/{name}")),
        ("ledger", format!("ledger/{name}")),
        ("replica", "replicas".to_owned()),
    ];
    [entry(format!("maintainer:{name}"), maintainer), entry(format!("writer:{name}"), writer)]
}
