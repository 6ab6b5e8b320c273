//! The service of the demonstration: a real tree dealt out to tenants, a day's changes, and a comparison that
//! shares no code with backup or restore.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::hash::Sha256;
use lifeboat_repo::units::Bytes;

/// A single larger file would fill the whole demonstration.
const FILE_MAX: u64 = 4_000_000;

/// How much to copy at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) files: u64,
    pub(super) bytes: Bytes,
}

/// What was copied or changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::verbs) struct Amount {
    pub(super) files: u64,
    pub(super) bytes: Bytes,
}

/// Copies trees into the given places in turn, one top-level directory to each, until a limit is reached.
/// Some trees hold what this user may not read; that is left out.
pub(super) fn deal(from: &[PathBuf], places: &[PathBuf], limits: Limits) -> io::Result<Amount> {
    let mut copied = Amount::default();
    let mut turn = 0;
    for place in places {
        fs::create_dir_all(place)?;
    }
    for tree in from {
        for entry in sorted(tree)? {
            let Some(place) = places.get(turn % places.len()) else { return Ok(copied) };
            let before = copied;
            let name = entry.file_name().unwrap_or_default();
            copy(&entry, &place.join(name), limits, &mut copied)?;
            if copied != before {
                turn += 1;
            }
            if copied.files >= limits.files || copied.bytes >= limits.bytes {
                return Ok(copied);
            }
        }
    }
    Ok(copied)
}

fn sorted(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    Ok(entries)
}

fn copy(from: &Path, to: &Path, limits: Limits, copied: &mut Amount) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(from) else { return Ok(()) };
    if copied.files >= limits.files || copied.bytes >= limits.bytes || fs::symlink_metadata(to).is_ok() {
        return Ok(());
    }
    if meta.is_dir() {
        let Ok(entries) = sorted(from) else { return Ok(()) };
        fs::create_dir(to)?;
        for entry in entries {
            copy(&entry, &to.join(entry.file_name().unwrap_or_default()), limits, copied)?;
        }
        return Ok(());
    }
    if meta.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if !meta.is_file() || meta.len() > FILE_MAX || File::open(from).is_err() {
        return Ok(());
    }
    fs::copy(from, to)?;
    let times = FileTimes::new().set_modified(meta.modified()?);
    File::options().append(true).open(to).and_then(|file| file.set_times(times)).or_else(|error| {
        // A file whose mode forbids writing keeps the time of its copy.
        if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
    })?;
    copied.files += 1;
    copied.bytes += Bytes(meta.len());
    Ok(())
}

/// Adds what trees of documentation lack: a further name of a file, a hole, a name that is no text.
pub(super) fn add_oddities(place: &Path) -> io::Result<()> {
    let first = place.join("transcript.txt");
    fs::write(&first, "a file with two names\n")?;
    fs::hard_link(&first, place.join("transcript-again.txt"))?;
    fs::write(place.join(OsStr::from_bytes(b"caf\xe9 \x1b[31m.txt")), "a name that is no UTF-8\n")?;
    let mut sparse = File::create(place.join("recording.bin"))?;
    sparse.set_len(1 << 20)?;
    sparse.write_all(b"a file of 1 MiB that is almost all hole")
}

/// What a day changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) changed: u64,
    pub(super) added: u64,
    pub(super) deleted: u64,
}

/// Appends to every fortieth file, deletes every hundredth, adds a day of chat.
pub(super) fn live_a_day(place: &Path) -> io::Result<Changes> {
    let mut files = Vec::new();
    walk(place, &mut |path, meta| {
        if meta.is_file() && meta.nlink() == 1 {
            files.push(path.to_owned());
        }
        Ok(())
    })?;
    let mut changes = Changes::default();
    for (at, path) in files.iter().enumerate() {
        if at % 100 == 99 {
            fs::remove_file(path)?;
            changes.deleted += 1;
        } else if at % 40 == 7
            && let Ok(mut file) = File::options().append(true).open(path)
        {
            file.write_all(b"\na line written after the first backup\n")?;
            changes.changed += 1;
        }
    }
    let day = place.join("chat-of-today");
    fs::create_dir_all(&day)?;
    for number in 0..20 {
        let lines: String =
            (0..200).map(|line| format!("{number}:{line} customer: where is my order?\n")).collect();
        fs::write(day.join(format!("thread-{number}.txt")), lines)?;
        changes.added += 1;
    }
    Ok(changes)
}

type Visit<'v> = &'v mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>;

fn walk(directory: &Path, visit: Visit<'_>) -> io::Result<()> {
    for path in sorted(directory)? {
        let meta = fs::symlink_metadata(&path)?;
        visit(&path, &meta)?;
        if meta.is_dir() {
            walk(&path, visit)?;
        }
    }
    Ok(())
}

/// What an entry is, but for its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    size: u64,
    links: u64,
    content: [u8; 32],
}

/// Every entry of a tree by its path, with the SHA-256 of its content.
pub(super) type Facts = BTreeMap<PathBuf, Fact>;

/// Looks at every entry and reads every byte.
pub(super) fn facts(root: &Path) -> io::Result<Facts> {
    let mut facts = Facts::new();
    walk(root, &mut |path, meta| {
        let directory = meta.is_dir();
        let content = if meta.is_file() {
            digest(path)?
        } else if meta.is_symlink() {
            lifeboat_repo::crypto::hash::sha256(fs::read_link(path)?.as_os_str().as_bytes())
        } else {
            [0; 32]
        };
        let fact = Fact {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            // What directories take is the file system's affair.
            size: if directory { 0 } else { meta.size() },
            links: if directory { 0 } else { meta.nlink() },
            content,
        };
        facts.insert(path.strip_prefix(root).unwrap_or(path).to_owned(), fact);
        Ok(())
    })?;
    Ok(facts)
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hash.finish());
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

/// What differs between two trees: paths that are in one only, or are not the same in both.
pub(super) fn differences(before: &Facts, after: &Facts) -> Vec<PathBuf> {
    let changed = before.iter().filter(|(path, fact)| after.get(*path) != Some(fact)).map(|(path, _)| path);
    let new = after.keys().filter(|path| !before.contains_key(*path));
    changed.chain(new).cloned().collect()
}

/// Copies a directory of plain files, as a repository is.
pub(super) fn copy_plain(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for path in sorted(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_plain(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Flips one bit in the middle of the first file below a directory; whether there was one.
pub(super) fn flip_one_bit(directory: &Path) -> io::Result<bool> {
    let mut first = None;
    walk(directory, &mut |path, meta| {
        if meta.is_file() && first.is_none() {
            first = Some(path.to_owned());
        }
        Ok(())
    })?;
    let Some(path) = first else { return Ok(false) };
    let mut bytes = fs::read(&path)?;
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 1,
        None => return Ok(false),
    }
    fs::write(&path, bytes).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_sees_every_kind_of_difference() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        for root in [&one, &two] {
            fs::create_dir_all(root.join("d")).unwrap();
            add_oddities(root).unwrap();
        }
        let level = |path: &str| {
            let times = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            for root in [&one, &two] {
                File::open(root.join(path)).unwrap().set_times(times).unwrap();
            }
        };
        let names = ["d", "transcript.txt", "recording.bin"];
        names.iter().for_each(|name| level(name));
        level(OsStr::from_bytes(b"transcript-again.txt").to_str().unwrap());
        let odd = OsStr::from_bytes(b"caf\xe9 \x1b[31m.txt");
        for root in [&one, &two] {
            let times = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            File::open(root.join(odd)).unwrap().set_times(times).unwrap();
        }
        let before = facts(&one).unwrap();
        assert_eq!(differences(&before, &facts(&two).unwrap()), Vec::<PathBuf>::new());
        flip_one_bit(&two).unwrap();
        assert_eq!(differences(&before, &facts(&two).unwrap()).len(), 1);
        fs::remove_dir(two.join("d")).unwrap();
        fs::write(two.join("new"), "").unwrap();
        assert_eq!(differences(&before, &facts(&two).unwrap()).len(), 3);
    }

    #[test]
    fn limits_hold() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        for number in 0..30 {
            let below = from.join(format!("d{number}"));
            fs::create_dir_all(&below).unwrap();
            fs::write(below.join("f"), "x".repeat(100)).unwrap();
        }
        let places: Vec<PathBuf> = ["a", "b"].iter().map(|name| directory.path().join(name)).collect();
        let limits = Limits { files: 10, bytes: Bytes(1_000_000) };
        let copied = deal(std::slice::from_ref(&from), &places, limits).unwrap();
        assert_eq!(copied, Amount { files: 10, bytes: Bytes(1000) });
        assert_eq!(sorted(&places[0]).unwrap().len(), 5);
        let changes = live_a_day(&places[0]).unwrap();
        assert_eq!(changes.added, 20);
    }
}
