//! Where a drill restores to: a disposable directory that is provably nothing else.
//!
//! Before anything is written, the place is held against everything the configuration names: by its path with links
//! resolved, by device and inode of it and of every directory above (a bind mount has another path and the same inode),
//! and against repositories by their id, wherever they are mounted.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::shown;

mod place;
mod spare;
#[cfg(test)]
mod tests;

use place::{refuse_repositories, refuse_sources, resolve};
pub use spare::spare;

/// Marks the directory as a drill's.
const MARK: &str = ".lifeboat-drill";
/// No drill's id is longer.
const MARK_MAX: u64 = 256;
/// Where steps restore to: `$TARGET`.
const RESTORED: &str = "restored";
/// Copies with planted faults, scratch space.
const WORK: &str = "work";
/// In it, what steps read out of restored databases: `$RECORDS`.
const RECORDS: &str = "records";

/// Something a drill must not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is, for people: `the tree of chats`.
    pub what: String,
    /// Where it is, if it is a place in the file system.
    pub path: PathBuf,
}

/// Why a place is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is a source, lies within one, or one lies within it.
    #[error("{target} {relation} {what} ({path})")]
    IsSource {
        /// The place.
        target: String,
        /// How they lie.
        relation: &'static str,
        /// The source.
        what: String,
        /// Where that is.
        path: String,
    },
    /// It lies within a repository.
    #[error("{target} lies within a repository ({id}), mounted at {path}")]
    IsRepository {
        /// The place.
        target: String,
        /// The repository.
        id: String,
        /// Where it lies here.
        path: String,
    },
    /// It holds something.
    #[error("{target} is not empty: it holds {first}")]
    NotEmpty {
        /// The place.
        target: String,
        /// One name in it.
        first: String,
    },
    /// A drill took it and did not let go of it.
    #[error("{target} bears the mark of the drill {id}: it was cut off, or what it restored is kept")]
    Taken {
        /// The place.
        target: String,
        /// The drill.
        id: String,
    },
    /// It is another drill's, or what is there is not what this one left.
    #[error("{target} is not the target of this drill any more: {why}")]
    NotOurs {
        /// The place.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// The machine failed.
    #[error("cannot use {target}: {error}")]
    Io {
        /// The place.
        target: String,
        /// Why.
        error: io::Error,
    },
}

/// A directory that a drill may fill and empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its path, links resolved.
    pub directory: PathBuf,
    /// Whether the drill made it, and so removes it.
    pub made: bool,
}

/// What was left after cleaning up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// What was removed.
    pub removed: Vec<String>,
    /// What could not be, with the reason.
    pub left: Vec<String>,
}

/// Which drill a directory's mark names; a stranger's file of that name may hold anything.
fn mark_in(directory: &Path) -> Option<String> {
    let mut id = String::new();
    fs::File::open(directory.join(MARK)).and_then(|file| file.take(MARK_MAX).read_to_string(&mut id)).ok()?;
    Some(id)
}

impl Target {
    /// Where a target would be. Nothing is claimed.
    #[must_use]
    pub fn in_place(asked: &Path) -> Self {
        let directory = std::path::absolute(asked).unwrap_or_else(|_| asked.to_owned());
        Self { directory, made: false }
    }

    /// Takes a directory as the target of a drill: empty or not there, its parent there, and none of these sources.
    ///
    /// # Errors
    /// It is or may be a source, holds something, or cannot be used. Nothing is written then.
    pub fn claim(asked: &Path, sources: &[Source], id: &str) -> Result<Self, TargetError> {
        let directory = resolve(asked).map_err(|error| io_error(asked, error))?;
        refuse_sources(&directory, sources)?;
        refuse_repositories(&directory)?;
        if let Some(id) = mark_in(&directory) {
            return Err(TargetError::Taken { target: shown(&directory), id });
        }
        let there = directory.symlink_metadata();
        let made = match there {
            Ok(meta) if meta.is_dir() => false,
            Ok(_) => return Err(io_error(&directory, io::Error::from(io::ErrorKind::NotADirectory))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(io_error(&directory, error)),
        };
        if made {
            DirBuilder::new().mode(0o700).create(&directory).map_err(|error| io_error(&directory, error))?;
        }
        let target = Self { directory, made };
        let done = target.occupy(sources, id);
        if done.is_err() && made {
            // Nothing is in it.
            let _ = fs::remove_dir(&target.directory);
        }
        done.map(|()| target)
    }

    fn occupy(&self, sources: &[Source], id: &str) -> Result<(), TargetError> {
        let at = |error| io_error(&self.directory, error);
        if let Some(first) = self.others().map_err(at)?.first() {
            return Err(TargetError::NotEmpty { target: shown(&self.directory), first: first.clone() });
        }
        // Again, now that it is there: until then a link could have been put in its place.
        refuse_sources(&self.directory, sources)?;
        let mark = self.directory.join(MARK);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark).map_err(at)?;
        file.write_all(id.as_bytes()).and_then(|()| file.sync_all()).map_err(at)?;
        DirBuilder::new().mode(0o700).create(self.work()).map_err(at)
    }

    /// Sees that the target is still this drill's, before it goes on.
    ///
    /// # Errors
    /// It is gone, another's, or a source by now.
    pub fn reclaim(&self, sources: &[Source], id: &str) -> Result<(), TargetError> {
        let not_ours =
            |why: &str| TargetError::NotOurs { target: shown(&self.directory), why: why.to_owned() };
        if resolve(&self.directory).ok().as_ref() != Some(&self.directory) {
            return Err(not_ours("a link leads elsewhere, or it is gone"));
        }
        refuse_sources(&self.directory, sources)?;
        match fs::read_to_string(self.directory.join(MARK)) {
            Ok(mark) if mark == id => {}
            Ok(_) => return Err(not_ours("another drill took it")),
            Err(_) => return Err(not_ours("its mark is gone")),
        }
        match DirBuilder::new().mode(0o700).create(self.work()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error(&self.directory, error))
            }
            _ => Ok(()),
        }
    }

    /// Where steps restore to; it is not there before one makes it.
    #[must_use]
    pub fn restored(&self) -> PathBuf {
        self.directory.join(RESTORED)
    }

    /// Scratch space of the drill itself.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.directory.join(WORK)
    }

    /// Where steps put what they read out of what they restored: heartbeats and counts.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.work().join(RECORDS)
    }

    /// Removes everything the drill put there, and says what it could not. Cleaned once, it may be again.
    #[must_use]
    pub fn clean(&self, id: &str) -> Cleanup {
        let mut done = Cleanup::default();
        if self.is_clean() {
            return done;
        }
        if fs::read_to_string(self.directory.join(MARK)).ok().as_deref() != Some(id) {
            done.left.push(format!(
                "{}: it does not bear this drill's mark, so nothing is removed",
                shown(&self.directory)
            ));
            return done;
        }
        for name in [RESTORED, WORK] {
            let path = self.directory.join(name);
            match remove_tree(&path) {
                Ok(true) => done.removed.push(shown(&path)),
                Ok(false) => {}
                Err(error) => done.left.push(format!("{}: {error}", shown(&path))),
            }
        }
        for name in self.others().unwrap_or_default() {
            done.left.push(format!("{}: a step put it there", shown(&self.directory.join(name))));
        }
        if done.left.is_empty() {
            let mark = fs::remove_file(self.directory.join(MARK));
            let gone = if self.made { mark.and_then(|()| fs::remove_dir(&self.directory)) } else { mark };
            match gone {
                Ok(()) if self.made => done.removed.push(shown(&self.directory)),
                Ok(()) => {}
                Err(error) => done.left.push(format!("{}: {error}", shown(&self.directory))),
            }
        }
        done
    }

    /// Whether there is nothing any more that the drill could have put there.
    fn is_clean(&self) -> bool {
        match fs::read_dir(&self.directory) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(_) => !self.marked() && self.others().is_ok_and(|others| others.is_empty()),
        }
    }

    /// Names in it that are not ours.
    fn others(&self) -> io::Result<Vec<String>> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if ![MARK, RESTORED, WORK, "lost+found"].contains(&name.as_str())
                || (name != "lost+found" && !self.marked())
            {
                others.push(name);
            }
        }
        Ok(others)
    }

    fn marked(&self) -> bool {
        self.directory.join(MARK).exists()
    }
}

/// Removes a tree whatever modes were restored in it; whether there was one.
fn remove_tree(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(true);
    }
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        if directory.symlink_metadata()?.is_dir() {
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
    }
    fs::remove_dir_all(path).map(|()| true)
}

fn io_error(path: &Path, error: io::Error) -> TargetError {
    TargetError::Io { target: shown(path), error }
}
