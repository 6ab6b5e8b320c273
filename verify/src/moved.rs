//! Collection goes on while others look: what seemed gone may have been moved meanwhile.

use lifeboat_repo::format::records::Census;
use lifeboat_repo::repository::Repository;

use crate::error::VerifyError;
use crate::levels::Outcome;

/// The names of gc records and index objects: collectors put both before they delete anything.
fn told(repository: &Repository) -> Result<[Census; 2], VerifyError> {
    let census = |prefix| -> Result<Census, VerifyError> {
        let listed = repository.store().list(prefix)?;
        Ok(Census::of(listed.iter().map(|object| &object.name)))
    };
    Ok([census("gc/")?, census("index/")?])
}

/// Looks, and once more where damage was found and a collector told something new since the first look began.
pub(crate) fn unless_moved<R>(
    repository: &Repository,
    mut look: impl FnMut() -> Result<R, VerifyError>,
    outcome: impl Fn(&R) -> &Outcome,
) -> Result<R, VerifyError> {
    let before = told(repository)?;
    let report = look()?;
    if *outcome(&report) == Outcome::Failed && told(repository)? != before {
        return look();
    }
    Ok(report)
}
