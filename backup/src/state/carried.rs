//! State of hosts without a disk: its files as one stream, to the repository and back. FORMAT.md §16.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

use lifeboat_repo::ids::RunId;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::state::{STATE_MAX, StateKeeper};
use lifeboat_repo::units::Bytes;
use serde::{Deserialize, Serialize};

use super::{State, private};

/// The longest list of files: there are five at the most.
const LIST_MAX: usize = 16 << 10;
/// The file that makes a state one: it comes last, and is given its name last.
const TABLE: &str = "last";

/// What the stream begins with, on a line of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    files: Vec<(String, u64)>,
}

/// What came of looking for the state of an earlier night.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// There is none in the repository.
    Nothing,
    /// What this host has is as new.
    Here,
    /// It was written to this host's directory.
    Taken,
}

impl State {
    /// Fetches the newest state of the component from the repository, unless this host's own is as new.
    ///
    /// # Errors
    /// There is one, and it cannot be had; then this host's directory is as it was, or empty.
    pub(crate) fn fetch(&self, keeper: &StateKeeper<'_>) -> Result<Fetched, RepositoryError> {
        let Some(kept) = keeper.newest()? else { return Ok(Fetched::Nothing) };
        if self.read_table().ok().flatten().is_some_and(|table| table.run >= kept.run) {
            return Ok(Fetched::Here);
        }
        let mut unpacking = Unpacking { state: self, line: Vec::new(), files: None, open: None };
        keeper.read(&kept, &mut unpacking)?;
        unpacking.end().map_err(|error| {
            let what = format!("the state that run {} left", kept.run);
            RepositoryError::damaged(what, error.to_string())
        })?;
        Ok(Fetched::Taken)
    }

    /// Puts what the last run left into the repository.
    ///
    /// # Errors
    /// It could not be read here, or not be put there.
    pub(crate) fn keep_in(&self, keeper: &StateKeeper<'_>, run: RunId) -> Result<(), RepositoryError> {
        let failed = |error: io::Error| {
            RepositoryError::damaged(self.dir.display().to_string(), format!("it cannot be read: {error}"))
        };
        let (list, files) = self.files().map_err(failed)?;
        let mut head = serde_json::to_vec(&list).map_err(|error| failed(error.into()))?;
        head.push(b'\n');
        let length = list.files.iter().map(|(_, length)| Bytes(*length)).sum::<Bytes>() + Bytes::of(&head);
        let empty: Box<dyn Read> = Box::new(io::Cursor::new(head));
        let mut content = files
            .into_iter()
            .zip(list.files)
            .fold(empty, |before, (file, (_, length))| Box::new(before.chain(file.take(length))));
        keeper.put(run, length, &mut content)
    }

    /// The files that make the state, the table last.
    fn files(&self) -> io::Result<(List, Vec<File>)> {
        let mut names: Vec<String> = fs::read_dir(&self.dir)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_carried(name) && name != TABLE)
            .collect();
        names.sort_unstable();
        names.push(TABLE.to_owned());
        let (mut list, mut files) = (List::default(), Vec::new());
        for name in names {
            let file = File::open(self.dir.join(&name))?;
            list.files.push((name, file.metadata()?.len()));
            files.push(file);
        }
        Ok((list, files))
    }
}

/// Whether a file of this name belongs to a state. Names come from the repository: no other is ever written.
fn is_carried(name: &str) -> bool {
    let walk = name.strip_prefix("walk.").is_some_and(|run| run.parse::<RunId>().is_ok());
    walk || [super::CHUNKS, super::SHELF, TABLE].contains(&name)
}

/// A stream on its way back into files.
struct Unpacking<'s> {
    state: &'s State,
    /// The list, as far as it has come.
    line: Vec<u8>,
    /// Those that are still to come, the next one last.
    files: Option<Vec<(String, u64)>>,
    /// The one that is being written, and how much of it is still to come.
    open: Option<(File, PathBuf, u64)>,
}

impl Unpacking<'_> {
    fn begin(&mut self) -> io::Result<()> {
        let List { mut files } = serde_json::from_slice(&self.line)?;
        let total = files.iter().map(|(_, length)| Bytes(*length)).sum::<Bytes>();
        let last = files.last().is_some_and(|(name, _)| name == TABLE);
        if !last || total > STATE_MAX || !files.iter().all(|(name, _)| is_carried(name)) {
            return Err(io::Error::other("its list of files is none that a host leaves"));
        }
        // From here on there is no state but the one that comes.
        self.state.clear()?;
        files.reverse();
        self.files = Some(files);
        self.next_file()
    }

    /// Opens files until one wants content.
    fn next_file(&mut self) -> io::Result<()> {
        while self.open.as_ref().is_none_or(|(_, _, left)| *left == 0) {
            if let Some((_, path, _)) = self.open.take()
                && let Some(done) =
                    path.file_stem().filter(|_| path.extension().is_some_and(|new| new == "new"))
            {
                fs::rename(&path, self.state.dir.join(done))?;
            }
            let Some((name, length)) = self.files.as_mut().and_then(Vec::pop) else { return Ok(()) };
            let path = if name == TABLE { format!("{name}.new") } else { name };
            let path = self.state.dir.join(path);
            let file = private().write(true).create(true).truncate(true).open(&path)?;
            self.open = Some((file, path, length));
        }
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        match (self.files, self.open) {
            (Some(files), None) if files.is_empty() => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early")),
        }
    }
}

impl Write for Unpacking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.files.is_none() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            self.line.extend_from_slice(bytes.get(..taken).unwrap_or_default());
            if self.line.len() > LIST_MAX {
                return Err(io::Error::other("its list of files is too long"));
            }
            if end.is_some() {
                self.begin()?;
            }
            return Ok(taken);
        }
        let Some((file, _, left)) = &mut self.open else {
            return Err(io::Error::other("it is longer than it says"));
        };
        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        file.write_all(bytes.get(..take).unwrap_or_default())?;
        *left -= take as u64;
        if *left == 0 {
            self.next_file()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// Removes whatever belongs to a state, the table first.
    fn clear(&self) -> io::Result<()> {
        let mut names = vec![TABLE.to_owned()];
        names.extend(fs::read_dir(&self.dir)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()));
        for name in names.iter().filter(|name| is_carried(name)) {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
