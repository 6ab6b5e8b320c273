//! Programs of others: started, watched, and never left behind.
//!
//! A program runs in a process group of its own, without input and without our environment variables unless
//! they are passed on. Whatever ends it early (a time limit, a person, a dropped [`Running`]) ends the whole
//! group: asked first, killed after a grace period.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lifeboat_repo::format::text;
use lifeboat_repo::units::Bytes;
use rustix::io::Errno;
use uzers::os::unix::UserExt;

use crate::running::Running;

/// So much of what a program writes is read at once.
const PIECE: usize = 64 << 10;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// A path, or a name that is looked up in the `PATH` the program gets.
    pub program: OsString,
    /// What it is given. Never logged: people put secrets there.
    pub arguments: Vec<OsString>,
    /// Where it works.
    pub directory: PathBuf,
    /// What is passed on to it of our own environment.
    pub inherited: Environment,
    /// What is set for it besides; comes last.
    pub environment: Environment,
    /// As whom it runs, with that user's primary group only; as ourselves if nothing is said.
    pub user: Option<String>,
    /// How long it may take, from its start to its end.
    pub timeout: Option<Duration>,
}

/// Environment variables. Their values are never shown: people put secrets there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

/// Why a program did not do what it should, and its last words.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct ProgramError {
    /// What went wrong.
    pub fault: Fault,
    /// What it wrote to standard error at last, line by line, safe to show.
    pub said: Vec<String>,
}

/// What can go wrong with a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is not there.
    #[error("there is no such program; install it, or give its whole path")]
    NotFound,
    /// It cannot work where it should.
    #[error("its directory {directory} cannot be used: {error}")]
    Directory {
        /// The directory.
        directory: String,
        /// Why.
        error: std::io::Error,
    },
    /// The user is unknown.
    #[error("there is no user {0} on this host")]
    NoUser(String),
    /// Not root, so it can be run as nobody else.
    #[error("only root can run it as user {0}; run the backup as root, or as that user")]
    NotRoot(String),
    /// It could not be started.
    #[error("it cannot be started: {0}")]
    Start(std::io::Error),
    /// It ended badly.
    #[error("it ended with exit status {0}")]
    Status(i32),
    /// It was killed.
    #[error("it was killed by signal {0}")]
    Signal(i32),
    /// Its time was up.
    #[error("it was not done after {0:?}; if it needs longer, raise its timeout")]
    Timeout(Duration),
    /// It wanted to ask a person.
    #[error("it wanted to ask something at the terminal; give it what it needs in its environment or a file")]
    Terminal,
    /// It wrote more than anybody wants.
    #[error("it wrote more than {0}")]
    TooMuch(Bytes),
    /// It wrote nothing at all.
    #[error("it ended well but wrote nothing; if that may be, say so with allow_empty = true")]
    Nothing,
    /// Somebody asked to stop.
    #[error("it was stopped")]
    Interrupted,
    /// The machine failed.
    #[error("it cannot be watched: {0}")]
    Machine(std::io::Error),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Machine(error.into())
    }
}

impl Environment {
    /// Sets a variable, in place of what it was.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let name = name.into();
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(pairs: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            environment.set(name, value);
        }
        environment
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Program {
    /// A program in `/` with nothing but its name.
    #[must_use]
    pub fn new(program: impl Into<OsString>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            directory: PathBuf::from("/"),
            inherited: Environment::default(),
            environment: Environment::default(),
            user: None,
            timeout: None,
        }
    }

    /// Its name, for people: without arguments.
    #[must_use]
    pub fn name(&self) -> String {
        text::display(self.program.as_encoded_bytes()).into_owned()
    }

    /// Who owns what it writes: the user and group it runs as.
    ///
    /// # Errors
    /// There is no such user.
    pub fn owner(&self) -> Result<(u32, u32), Fault> {
        match &self.user {
            None => Ok((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())),
            Some(name) => {
                let user = uzers::get_user_by_name(name).ok_or_else(|| Fault::NoUser(name.clone()))?;
                Ok((user.uid(), user.primary_group_id()))
            }
        }
    }

    /// Where it is, looked up in this `PATH` as it will be; and whether it can be run as the user it is meant for.
    ///
    /// # Errors
    /// It would not start.
    pub fn find(&self, path: Option<&OsStr>) -> Result<PathBuf, Fault> {
        self.owner()?;
        self.become_user(&mut Command::new(&self.program))?;
        if !self.directory.is_dir() {
            return Err(self.start_fault(std::io::ErrorKind::NotFound.into()));
        }
        let may_run = |place: &PathBuf| {
            let mode = std::fs::metadata(place).map(|found| if found.is_file() { found.mode() } else { 0 });
            mode.is_ok_and(|mode| mode & 0o111 != 0)
        };
        let name = Path::new(&self.program);
        let places: Vec<PathBuf> = if self.program.as_encoded_bytes().contains(&b'/') {
            vec![self.directory.join(name)]
        } else {
            let path = path.unwrap_or(OsStr::new("/bin:/usr/bin")).as_bytes();
            path.split(|byte| *byte == b':')
                .map(|part| Path::new(OsStr::from_bytes(part)).join(name))
                .collect()
        };
        places.into_iter().find(may_run).ok_or(Fault::NotFound)
    }

    /// Runs it to its end: what it wrote to standard output, at most `limit`. It is ended where `stop` says so.
    ///
    /// # Errors
    /// It did not start, ended badly or late, wrote more, or was stopped.
    pub fn output(&self, limit: Bytes, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, ProgramError> {
        let mut running = self.start(true)?;
        let mut written = Vec::new();
        while running.read(&mut written, PIECE, stop)? {
            if Bytes::of(&written) > limit {
                // Dropped, it is ended with all it started.
                return Err(ProgramError { fault: Fault::TooMuch(limit), said: Vec::new() });
            }
        }
        running.finish(stop)?;
        Ok(written)
    }

    /// Starts it. With `output` what it writes can be read; otherwise that counts as said.
    pub(crate) fn start(&self, output: bool) -> Result<Running, ProgramError> {
        self.spawn(output).map_err(|fault| ProgramError { fault, said: Vec::new() })
    }

    fn spawn(&self, output: bool) -> Result<Running, Fault> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory).process_group(0).stdin(Stdio::null());
        command.env_clear().envs(self.inherited.0.iter().map(|(name, value)| (name, value)));
        self.become_user(&mut command)?;
        command.envs(self.environment.0.iter().map(|(name, value)| (name, value)));
        let (said, saying) = std::io::pipe().map_err(Fault::Start)?;
        let written = if output {
            let (read, write) = std::io::pipe().map_err(Fault::Start)?;
            command.stdout(write);
            Some(read)
        } else {
            command.stdout(saying.try_clone().map_err(Fault::Start)?);
            None
        };
        command.stderr(saying);
        let child = command.spawn().map_err(|error| self.start_fault(error))?;
        // Our ends of what it writes to are closed with this, so that its end is seen.
        drop(command);
        Running::watch(child, self.name(), self.timeout, written, said)
    }

    /// Nothing to do for ourselves; as another, home and name go with the user.
    fn become_user(&self, command: &mut Command) -> Result<(), Fault> {
        let Some(name) = &self.user else { return Ok(()) };
        let user = uzers::get_user_by_name(name).ok_or_else(|| Fault::NoUser(name.clone()))?;
        let own = rustix::process::geteuid();
        if user.uid() != own.as_raw() {
            if !own.is_root() {
                return Err(Fault::NotRoot(name.clone()));
            }
            // The standard library drops all other groups with this.
            command.uid(user.uid()).gid(user.primary_group_id());
        }
        command.env("HOME", user.home_dir()).env("USER", name).env("LOGNAME", name);
        Ok(())
    }

    fn start_fault(&self, error: std::io::Error) -> Fault {
        match std::fs::metadata(&self.directory) {
            Ok(directory) if directory.is_dir() => match error.kind() {
                std::io::ErrorKind::NotFound => Fault::NotFound,
                _ => Fault::Start(error),
            },
            Ok(_) => Fault::Directory {
                directory: text::display(self.directory.as_os_str().as_encoded_bytes()).into_owned(),
                error: std::io::ErrorKind::NotADirectory.into(),
            },
            Err(error) => Fault::Directory {
                directory: text::display(self.directory.as_os_str().as_encoded_bytes()).into_owned(),
                error,
            },
        }
    }
}
