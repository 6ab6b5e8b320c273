//! What a place is, whatever it is called: whether it is a source, or lies within a repository.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use lifeboat_repo::ids::RepositoryId;

use super::super::shown;
use super::{Source, TargetError};

/// The path with all links above it resolved, and those of the last part too if it is there. What is not there keeps its
/// name; `..` may stand only before what is there.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
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

pub(super) fn refuse_sources(target: &Path, sources: &[Source]) -> Result<(), TargetError> {
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
pub(super) fn refuse_repositories(target: &Path) -> Result<(), TargetError> {
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
