//! What a drill found, once all is looked at: a directory in its journal that is there whole or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use lifeboat_repo::units::Bytes;
use lifeboat_verify::evidence::Attachment;
use lifeboat_verify::evidence::facts::Facts;
use lifeboat_verify::history::Line;

/// The facts, where evidence has them too.
const FACTS: &str = "evidence.json";
/// What is to be kept of it beside what was predicted. Attachments are called by their region and more, so none has this name.
const MEASURED: &str = "measured.json";
/// No file of evidence may be longer.
const FILE_MAX: Bytes = Bytes::mib(64);
/// Nor all of them together.
const ALL_MAX: Bytes = Bytes::mib(512);
/// Nor may there be more: two for each ledger.
const FILES_MAX: usize = 10_000;

/// What a drill found, before anything is removed.
#[derive(Debug)]
pub struct Concluded {
    /// The facts, but for how it ended.
    pub facts: Facts,
    /// What goes with them into evidence.
    pub attachments: Vec<Attachment>,
    /// What it measured, to be kept beside what was predicted.
    pub measured: Vec<Line>,
}

impl Concluded {
    /// Writes it in one step.
    pub(super) fn put(&self, place: &Path) -> io::Result<()> {
        let fresh = place.with_extension("new");
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let own = [
            Attachment::new(FACTS, serde_json::to_vec(&self.facts)?),
            Attachment::new(MEASURED, serde_json::to_vec(&self.measured)?),
        ];
        let mut room = Room::default();
        DirBuilder::new().mode(0o700).create(&fresh)?;
        for file in own.iter().chain(&self.attachments) {
            // What could not be read again would be lost with what was restored.
            room.take(&file.name, file.bytes.len() as u64).map_err(io::Error::other)?;
            let mut to = File::create_new(fresh.join(&file.name))?;
            to.write_all(&file.bytes)?;
            to.sync_all()?;
        }
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, place)
    }

    /// Reads it, if it is there.
    ///
    /// # Errors
    /// What is there is not what was written; the text says in which way.
    pub(super) fn read(place: &Path) -> Result<Option<Self>, String> {
        let entries = match fs::read_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(|error| error.to_string())?,
        };
        let (mut facts, mut measured, mut attachments, mut room) = (None, None, Vec::new(), Room::default());
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = read_file(&path, &name, &mut room)?;
            let bad = |error: serde_json::Error| format!("{name}: {error}");
            match name.as_str() {
                FACTS => facts = Some(serde_json::from_slice(&bytes).map_err(bad)?),
                MEASURED => measured = Some(serde_json::from_slice(&bytes).map_err(bad)?),
                _ => attachments.push(Attachment::new(name, bytes)),
            }
        }
        attachments.sort_by(|a, b| a.name.cmp(&b.name));
        let gone = |name: &str| format!("{name} is gone");
        let facts = facts.ok_or_else(|| gone(FACTS))?;
        let measured = measured.ok_or_else(|| gone(MEASURED))?;
        Ok(Some(Self { facts, attachments, measured }))
    }
}

/// A plain file: a pipe would never end.
fn read_file(path: &Path, name: &str, room: &mut Room) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{name}: {error}");
    let there = fs::symlink_metadata(path).map_err(failed)?;
    if !there.is_file() {
        return Err(format!("{name} is no plain file"));
    }
    room.take(name, there.len())?;
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(there.len()).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// How much of what evidence may hold was taken.
#[derive(Default)]
struct Room {
    files: usize,
    bytes: Bytes,
}

impl Room {
    fn take(&mut self, name: &str, length: u64) -> Result<(), String> {
        self.files += 1;
        self.bytes += Bytes(length);
        if length > FILE_MAX.0 {
            return Err(format!(
                "{name} has {}, and no file of a drill's has more than {FILE_MAX}",
                Bytes(length)
            ));
        }
        if self.bytes > ALL_MAX {
            return Err(format!("with {name} it is {}, and no drill's is more than {ALL_MAX}", self.bytes));
        }
        if self.files > FILES_MAX {
            return Err(format!("it holds more than {FILES_MAX} files, and no drill's does"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step may have put there what it likes: it runs as whoever leads.
    #[test]
    fn what_no_drill_puts_there_is_told_and_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("concluded");
        assert!(Concluded::read(&place).unwrap().is_none());
        fs::create_dir(&place).unwrap();
        let why = || Concluded::read(&place).unwrap_err();
        assert_eq!(why(), "evidence.json is gone");
        let long = |name: &str, length: u64| File::create(place.join(name)).unwrap().set_len(length).unwrap();
        long("eu-fra.repository.ledger.json", FILE_MAX.0 + 1);
        assert!(why().ends_with("no file of a drill's has more than 67.1 MB"), "{}", why());
        fs::remove_file(place.join("eu-fra.repository.ledger.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", place.join("link")).unwrap();
        assert_eq!(why(), "link is no plain file");
        fs::remove_file(place.join("link")).unwrap();
        let mut room = Room::default();
        let taken: Vec<bool> = (0..9).map(|_| room.take("one", FILE_MAX.0).is_ok()).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 8);
        let mut room = Room { files: FILES_MAX, ..Room::default() };
        assert!(room.take("one", 0).unwrap_err().contains("10000 files"));
    }
}
