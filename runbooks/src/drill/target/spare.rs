//! A directory to write something of one's own into: what evidence is kept in.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::place::{refuse_repositories, refuse_sources, resolve};
use super::{Source, TargetError, io_error, shown};

/// Sees that a directory is none of these sources, lies in none and in no repository, and is empty or not there yet; where
/// it is, links resolved. Nothing is written.
///
/// # Errors
/// It is or may be a source, holds something, or cannot be looked at.
pub fn spare(asked: &Path, sources: &[Source]) -> Result<PathBuf, TargetError> {
    let directory = resolve_all(asked).map_err(|error| io_error(asked, error))?;
    refuse_sources(&directory, sources)?;
    refuse_repositories(&directory)?;
    match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(&directory, error)),
        Ok(mut entries) => {
            if let Some(first) = entries.next() {
                let first = first.map_err(|error| io_error(&directory, error))?.file_name();
                let first = shown(Path::new(&first));
                return Err(TargetError::NotEmpty { target: shown(&directory), first });
            }
        }
    }
    Ok(directory)
}

/// As [`resolve`], where directories above it need not be there yet either.
fn resolve_all(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match resolve(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(Component::Normal(name))) =
                (path.parent(), path.components().next_back())
            else {
                return Err(error);
            };
            Ok(resolve_all(parent)?.join(name))
        }
        done => done,
    }
}
