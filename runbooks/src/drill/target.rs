//! Where a drill restores to: a disposable directory that is provably nothing else.
//!
//! Before anything is written, the place is held against everything the configuration names: by its path with links
//! resolved, by device and inode of it and of every directory above (a bind mount has another path and the same inode),
//! and against repositories by their id, wherever they are mounted.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use lifeboat_repo::ids::RepositoryId;
use serde::{Deserialize, Serialize};

/// Marks the directory as a drill's.
const MARK: &str = ".lifeboat-drill";
/// Where steps restore to: `$TARGET`.
const RESTORED: &str = "restored";
/// Copies with planted faults, scratch space.
const WORK: &str = "work";

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

impl Target {
    /// Takes a directory as the target of a drill: empty or not there, its parent there, and none of these sources.
    ///
    /// # Errors
    /// It is or may be a source, holds something, or cannot be used. Nothing is written then.
    pub fn claim(asked: &Path, sources: &[Source], id: &str) -> Result<Self, TargetError> {
        let directory = resolve(asked).map_err(|error| io_error(asked, error))?;
        refuse_sources(&directory, sources)?;
        refuse_repositories(&directory)?;
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

    /// Removes everything the drill put there, and says what it could not.
    #[must_use]
    pub fn clean(&self, id: &str) -> Cleanup {
        let mut done = Cleanup::default();
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

/// The path with all links above it resolved, and those of the last part too if it is there. What is not there keeps its
/// name; `..` may stand only before what is there.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    // A link to nowhere would be followed by whoever makes what it names.
    if path.symlink_metadata().is_ok() {
        return Err(io::Error::other("it is a link that leads nowhere"));
    }
    let (Some(parent), Some(Component::Normal(name))) = (path.parent(), path.components().next_back()) else {
        return Err(io::Error::other("it has no name of its own"));
    };
    Ok(parent.canonicalize()?.join(name))
}

/// As [`resolve`], for what may be gone altogether: then its path stands.
fn best(path: &Path) -> PathBuf {
    resolve(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

fn refuse_sources(target: &Path, sources: &[Source]) -> Result<(), TargetError> {
    let above = inodes(target);
    for source in sources {
        let place = best(&source.path);
        let refuse = |relation| TargetError::IsSource {
            target: shown(target),
            relation,
            what: source.what.clone(),
            path: shown(&source.path),
        };
        if place == target {
            return Err(refuse("is"));
        }
        if target.starts_with(&place) {
            return Err(refuse("lies within"));
        }
        if place.starts_with(target) {
            return Err(refuse("holds"));
        }
        // The same directory by another name: a bind mount, another mount of the same disk.
        let own = inodes(&place);
        match (own.first(), above.first()) {
            (Some((true, inode)), _) if above.iter().any(|(_, other)| other == inode) => {
                return Err(refuse("by another name is, or lies within,"));
            }
            (_, Some((true, inode))) if own.iter().any(|(_, other)| other == inode) => {
                return Err(refuse("by another name holds"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Device and inode of a path and of every directory above it; the first says whether it is the path's own.
fn inodes(path: &Path) -> Vec<(bool, (u64, u64))> {
    path.ancestors()
        .filter_map(|one| one.metadata().ok().map(|meta| (one == path, (meta.dev(), meta.ino()))))
        .collect()
}

/// A repository is known by what lies at its root, wherever that is mounted and whatever it is called here.
fn refuse_repositories(target: &Path) -> Result<(), TargetError> {
    for one in target.ancestors() {
        if let Some(id) = repository_at(one) {
            return Err(TargetError::IsRepository { target: shown(target), id, path: shown(one) });
        }
    }
    Ok(())
}

/// The id of the repository at a directory, as its first trust says; none where there is no repository.
fn repository_at(directory: &Path) -> Option<String> {
    let trust = fs::read(directory.join("trust/00000000")).ok()?;
    let text = String::from_utf8_lossy(&trust);
    let header = text.lines().find_map(|line| line.strip_prefix("# {"));
    let id = header.and_then(|rest| {
        let value: serde_json::Value = serde_json::from_str(&format!("{{{rest}")).ok()?;
        value.get("repository")?.as_str()?.parse::<RepositoryId>().ok()
    });
    Some(id.map_or_else(|| "of unknown id".to_owned(), |id| id.to_string()))
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

fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    lifeboat_repo::format::text::display(path.as_os_str().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn source(path: &Path) -> Source {
        Source { what: "the tree of chats".into(), path: path.to_owned() }
    }

    #[test]
    fn a_target_is_claimed_and_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("target");
        let target = Target::claim(&place, &[source(&dir.path().join("data"))], "drill-1").unwrap();
        assert!(target.made && target.work().is_dir() && !target.restored().exists());
        assert!(target.reclaim(&[], "drill-1").is_ok());
        assert!(matches!(target.reclaim(&[], "drill-2"), Err(TargetError::NotOurs { .. })));
        fs::create_dir_all(target.restored().join("chats/locked")).unwrap();
        fs::set_permissions(target.restored().join("chats/locked"), fs::Permissions::from_mode(0o000))
            .unwrap();
        assert_eq!(target.clean("drill-2").removed, Vec::<String>::new());
        let done = target.clean("drill-1");
        assert!(done.left.is_empty() && !place.exists(), "{done:?}");
        // One that was there stays, empty.
        fs::create_dir(&place).unwrap();
        let target = Target::claim(&place, &[], "drill-1").unwrap();
        fs::write(place.join("stray"), "").unwrap();
        assert_eq!(target.clean("drill-1").left.len(), 1);
        fs::remove_file(place.join("stray")).unwrap();
        assert!(target.clean("drill-1").left.is_empty() && place.exists());
    }

    #[test]
    fn what_is_or_may_be_a_source_is_refused_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("host/data/chats")).unwrap();
        fs::create_dir_all(at("other")).unwrap();
        symlink(at("host/data"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        let sources = [source(&at("host/data/chats"))];
        for bad in [
            "host/data/chats",
            "host/data/chats/new",
            "host/data",
            "host",
            "link/chats",
            "link",
            "other/../link/chats/x",
        ] {
            let refused = Target::claim(&at(bad), &sources, "x");
            assert!(matches!(refused, Err(TargetError::IsSource { .. })), "{bad}: {refused:?}");
        }
        assert!(matches!(Target::claim(&at("dangling"), &sources, "x"), Err(TargetError::Io { .. })));
        assert!(matches!(Target::claim(&at("no/parent"), &sources, "x"), Err(TargetError::Io { .. })));
        fs::write(at("other/full"), "").unwrap();
        assert!(matches!(Target::claim(&at("other"), &sources, "x"), Err(TargetError::NotEmpty { .. })));
        // A source that is lost keeps its path.
        fs::remove_dir_all(at("host")).unwrap();
        fs::create_dir_all(at("host/data")).unwrap();
        assert!(matches!(
            Target::claim(&at("host/data/chats"), &sources, "x"),
            Err(TargetError::IsSource { .. })
        ));
        assert!(fs::read_dir(at("host/data")).unwrap().next().is_none(), "and nothing is written");
    }

    #[test]
    fn a_repository_is_known_by_what_lies_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("mnt/trust")).unwrap();
        fs::write(dir.path().join("mnt/trust/00000000"), "-----END SSH SIGNATURE-----\n# {}\n").unwrap();
        let refused = Target::claim(&dir.path().join("mnt/scratch"), &[], "x");
        assert!(matches!(refused, Err(TargetError::IsRepository { .. })), "{refused:?}");
    }
}
