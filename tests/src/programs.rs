//! Backups of what programs write, and processes that must not stay behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_backup::{BackupError, CommandSource, Hooks, Job, Program, Report, Source};
use lifeboat_repo::clock::SystemClock;
use lifeboat_repo::ids::Tenant;
use lifeboat_repo::observe::{Observer, Silent};

use crate::World;

/// The program `lifeboat`, as it was built beside this test.
///
/// # Panics
/// It was not.
#[must_use]
pub fn lifeboat() -> PathBuf {
    let own = std::env::current_exe().expect("this test's binary");
    let built = own.ancestors().nth(2).expect("its directory's directory").join("lifeboat");
    assert!(built.is_file(), "{} is not there: cargo build --workspace --all-features", built.display());
    built
}

/// A line for the shell.
#[must_use]
pub fn shell(line: &str) -> Program {
    Program::new("/bin/sh", &["-c", line])
}

/// A command whose stream is called `dump`, and belongs to nobody.
#[must_use]
pub fn command(program: Program) -> CommandSource {
    CommandSource { program, stream_name: "dump".into(), tenant: Tenant::System, allow_empty: false }
}

impl World {
    /// A job that backs up what a command writes.
    #[must_use]
    pub fn command_job(&self, source: CommandSource) -> Job {
        Job { source: Source::Command(source), ..self.job() }
    }

    /// Runs a job into this world's store.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn run_job(&self, job: &Job) -> Result<Report, BackupError> {
        self.run_watched(job, &Silent)
    }

    /// The same, watched.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn run_watched(&self, job: &Job, observer: &dyn Observer) -> Result<Report, BackupError> {
        self.run(Arc::clone(&self.store), job, &SystemClock, observer)
    }

    /// Runs a job with these hooks.
    ///
    /// # Errors
    /// As `lifeboat_backup::run`.
    pub fn run_hooked(&self, job: Job, hooks: Hooks) -> Result<Report, BackupError> {
        self.run_job(&Job { hooks, ..job })
    }
}

/// Waits until the process whose number a file holds is gone, or dead and only not yet buried. A process that is
/// never ended makes the test run into its time limit.
///
/// # Panics
/// There is no such file.
pub fn await_death(file: &Path) {
    let text = std::fs::read_to_string(file).expect("the process wrote its number");
    let stat = format!("/proc/{}/stat", text.trim());
    let dead =
        |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']));
    while !std::fs::read_to_string(&stat).map_or(true, dead) {
        std::thread::yield_now();
    }
}

/// The most memory this process ever had, in bytes.
///
/// # Panics
/// The kernel does not say.
#[must_use]
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib << 10
}

/// Runs an ignored test of this binary in a process of its own; what it printed.
///
/// # Panics
/// It failed.
#[must_use]
pub fn in_own_process(test: &str, variable: &str, value: &str) -> String {
    let out = std::process::Command::new(std::env::current_exe().expect("this test's binary"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(variable, value)
        .output()
        .expect("this test's binary runs");
    let (said, told) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.contains("1 passed"), "{test}: {}\n{said}\n{told}", out.status);
    said.into_owned()
}
