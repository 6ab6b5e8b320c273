//! Running part of a test as a user without rights: the test's own binary again, through setpriv.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says to the child where to work.
const VARIABLE: &str = "LIFEBOAT_TEST_AS_NOBODY";

/// User and group of the child.
pub const NOBODY: u32 = 65_534;

/// The directory to work in, in the child. Nothing elsewhere.
#[must_use]
pub fn child() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Runs the test of this name again as nobody, with a directory that everybody may enter; the child's failure is
/// the test's. Where the binary lies nobody may be allowed to look, so a copy runs.
pub fn run(test: &str, dir: &Path) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).expect("a directory open to all");
    let copy = dir.join("child");
    let own = std::env::current_exe().expect("this test's binary");
    std::fs::copy(own, &copy).expect("a copy of this test's binary");
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).expect("a program for all");
    let out = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .args([copy.as_os_str(), OsStr::new("--exact"), OsStr::new(test), OsStr::new("--nocapture")])
        .env(VARIABLE, dir)
        .current_dir(dir)
        .output()
        .expect("setpriv is installed");
    let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.contains("1 passed"), "as nobody: {}\n{said}\n{told}", out.status);
}
