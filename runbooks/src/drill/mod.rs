//! Drills: a book executed against a disposable target, timed from the disruption on, with faults planted to be caught.
//!
//! [`target`] is where it restores to, [`journal`] what it writes down as it goes, [`run`] goes through the steps and
//! [`step`] runs one, [`secrets`] keeps keys out of what is kept, [`planted`] plants faults in an [`overlay`] of the
//! repository, [`measure`] and [`conclude`] look at what came of it, [`result`] makes facts of it all.

pub mod conclude;
pub mod disruption;
pub mod journal;
pub mod measure;
pub mod overlay;
pub mod planted;
pub mod result;
pub mod run;
pub mod secrets;
pub mod step;
pub mod target;

/// A path for people: nothing in its name acts on a terminal.
fn shown(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    lifeboat_repo::format::text::display(path.as_os_str().as_bytes()).into_owned()
}
