//! One step: the shell runs its script, a clock runs along, and what it prints is hashed and cleaned.
//!
//! Values reach the script as environment variables alone. It runs in a process group of its own, without input; what it
//! leaves behind is ended with it, but for what is in a session of its own: a server that later steps need.

use std::ffi::OsString;
use std::io::PipeReader;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lifeboat_repo::clock::Clock;
use lifeboat_repo::ids::ObjectHash;
use lifeboat_repo::units::{Bytes, Timestamp};
use rustix::process::{Pid, Signal, kill_process_group};

use super::secrets::Redactor;

mod printing;
#[cfg(test)]
mod tests;

use printing::{Output, nothing, read};

/// Lines that are kept of what a step prints.
pub const TAIL: usize = 12;
/// How often it is seen whether a step has ended, is late, or somebody wants to stop.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a script may take to end once it is asked to.
const GRACE: Duration = Duration::from_secs(20);

/// What a script is given.
pub struct Shell<'a> {
    /// All of its environment.
    pub environment: &'a [(OsString, OsString)],
    /// Takes secrets out of what it prints.
    pub redactor: Redactor,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Tells the time of day.
    pub clock: &'a dyn Clock,
}

/// Who watches a step.
pub trait Watch: Sync {
    /// Whether it should stop.
    fn cancelled(&self) -> bool;
    /// A line that it printed, cleaned.
    fn line(&self, line: &str);
    /// It has been running so long.
    fn tick(&self, running: Duration);
}

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How long it took, on a clock that nobody sets.
    pub took: Duration,
    /// How it ended.
    pub end: End,
    /// What it printed.
    pub printed: Printed,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It took too long and was ended.
    TimedOut,
    /// Somebody asked to stop.
    Interrupted,
    /// It could not be started.
    NotStarted(String),
}

/// What a script printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// SHA-256 of all of it, as it was printed.
    pub sha256: ObjectHash,
    /// How much it was.
    pub bytes: Bytes,
    /// Lines in which a secret was.
    pub redacted_lines: u64,
    /// The last lines, cleaned.
    pub tail: Vec<String>,
}

/// Runs a script to its end.
#[must_use]
pub fn run(script: &str, shell: Shell<'_>, watch: &dyn Watch) -> Ran {
    let Shell { environment, redactor, timeout, clock } = shell;
    let (started, begun) = (clock.now(), Instant::now());
    let over = AtomicBool::new(false);
    let (end, printed) = match start(script, environment) {
        Ok((child, pipe)) => std::thread::scope(|scope| {
            let reading = scope.spawn(|| read(Output::new(pipe, &over), redactor, watch));
            let end = wait(child, begun, timeout, watch);
            over.store(true, Ordering::Release);
            (end, reading.join().unwrap_or_else(|_| nothing()))
        }),
        Err(error) => (End::NotStarted(error.to_string()), nothing()),
    };
    Ran { started, ended: clock.now(), took: begun.elapsed(), end, printed }
}

/// Ends what steps of a drill left running: they bear the drill's id and its target in their environment, since another drill
/// of the same second may have the same id. How many there were.
#[must_use]
pub fn end_leftovers(id: &str, restored: &Path) -> usize {
    let marks =
        [mark("LIFEBOAT_DRILL", id.as_bytes()), mark("DRILL_TARGET", restored.as_os_str().as_bytes())];
    let bears = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let all: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
        marks.iter().all(|mark| all.contains(&mark.as_slice()))
    };
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let left: Vec<i32> = numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own && bears(pid))
        .collect();
    let begun = Instant::now();
    for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    while left.iter().any(bears) && begun.elapsed() < GRACE {
        std::thread::sleep(LOOK_EVERY);
    }
    left.len()
}

fn mark(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"=", value].concat()
}

fn start(script: &str, environment: &[(OsString, OsString)]) -> std::io::Result<(Child, PipeReader)> {
    let (reader, writer) = std::io::pipe()?;
    let child = Command::new("/bin/sh")
        .args(["-eu", "-c", script, "lifeboat-step"])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((child, reader))
}

fn wait(mut child: Child, begun: Instant, timeout: Option<Duration>, watch: &dyn Watch) -> End {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let mut asked: Option<(End, Instant)> = None;
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                // Whatever it left behind would hold on to the pipe, and go on unwatched.
                let _ = signal(Signal::KILL);
                let own =
                    status.code().map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Exit);
                return asked.map_or(own, |(end, _)| end);
            }
            Err(error) => {
                let _ = signal(Signal::KILL);
                return End::NotStarted(error.to_string());
            }
        }
        let running = begun.elapsed();
        match &asked {
            None => {
                let late = timeout.is_some_and(|timeout| running > timeout);
                if watch.cancelled() || late {
                    let end = if watch.cancelled() { End::Interrupted } else { End::TimedOut };
                    let _ = signal(Signal::TERM);
                    asked = Some((end, Instant::now()));
                }
            }
            Some((_, since)) if since.elapsed() > GRACE => drop(signal(Signal::KILL)),
            Some(_) => {}
        }
        watch.tick(running);
        std::thread::sleep(LOOK_EVERY);
    }
}
