//! What somebody hid, or put something over, in a store that keeps versions: told as such, since it can be undone.

use lifeboat_repo::format::names::{Place, place};
use lifeboat_repo::ids::{Label, ObjectName};
use lifeboat_repo::repository::{Repository, RepositoryErrorKind, versions};
use lifeboat_repo::store::StoreErrorKind;

use crate::damage::{Finding, Severity, Subject};

/// Adds what is hidden or overlaid. Where its absence was found already, that finding says why; nobody else would miss the
/// end of a ledger. For one component only what hits it is told.
pub(crate) fn tell(repository: &Repository, component: Option<&Label>, findings: &mut Vec<Finding>) {
    let found = match versions::disturbed(repository) {
        Ok(found) => found,
        Err(error) if is_refused(&error.kind) => {
            let what = "its credentials may not list versions, so what is hidden behind a marker is told as missing, and the \
                        end of a ledger not at all";
            return findings.push(Finding::notice(Subject::Area("versions"), what));
        }
        Err(error) => return findings.push(Finding::of_error(Subject::Area("versions"), &error)),
    };
    for one in found {
        let subject = Subject::Object(one.name.clone());
        let known = findings
            .iter_mut()
            .find(|finding| finding.object == subject && finding.severity == Severity::Damage);
        match known {
            Some(finding) => finding.what = format!("{}: {}", finding.what, one.words()),
            None if !concerns(component, &one.name) => {}
            None => findings.push(Finding::damage(subject, one.words())),
        }
    }
}

fn concerns(component: Option<&Label>, name: &ObjectName) -> bool {
    component.is_none_or(|wanted| matches!(place(name), Some(Place::Snapshot(its, _)) if its == *wanted))
}

fn is_refused(kind: &RepositoryErrorKind) -> bool {
    matches!(kind, RepositoryErrorKind::Store(error) if matches!(error.kind, StoreErrorKind::Denied(_)))
}
