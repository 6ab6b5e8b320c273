//! Files of records: the newest, in one file that is replaced whole.
//!
//! A tenant may write into its own directory, and we may be root: no link is followed on the way from the component's
//! root to a file, nor at its end. A link in its place would not be in a backup either.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use lifeboat_repo::format::heartbeat::{Canary, RECORDS_KEPT};
use lifeboat_repo::ids::{Label, Tenant};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// A file of records that we keep is never longer: one line takes about 400 bytes.
const LENGTH_MAX: u64 = 1 << 20;
/// Where `{tenant}` stands in a pattern.
const TENANT: &str = "{tenant}";

/// A directory that is there, however its path may be changed meanwhile.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The records in a file, as they stand; none where there is no file.
pub(super) fn read(root: &Path, path: &Path) -> io::Result<Vec<Canary>> {
    Ok(records_in(root, path)?.map(|bytes| Canary::among(&bytes).0).unwrap_or_default())
}

/// What a file of records below a tree's root holds; nothing where there is no file. Whoever may write beside it can put a
/// link or a pipe in its place, or in that of a directory above it: none is followed, nor waited for.
///
/// # Errors
/// It cannot be read, is no regular file, or lies behind a link.
pub fn records_in(root: &Path, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (dir, name) = open_dir(root, path)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match openat(&dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is there, and no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a record behind those that were there, and a whole new file in the place of the old one.
pub(super) fn append(root: &Path, path: &Path, mut records: Vec<Canary>, canary: &Canary) -> io::Result<()> {
    records.retain(|known| known.component == canary.component && known.tenant == canary.tenant);
    records.push(canary.clone());
    let drop = records.len().saturating_sub(RECORDS_KEPT);
    let mut lines = Vec::new();
    for record in records.iter().skip(drop) {
        lines.extend(record.line().map_err(io::Error::other)?);
    }
    let (dir, name) = open_dir(root, path)?;
    let fresh = format!("{}.new", name.to_string_lossy());
    match unlinkat(&dir, fresh.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&dir, fresh.as_str(), flags, Mode::from_raw_mode(0o644))?);
    file.write_all(&lines)?;
    file.sync_all()?;
    renameat(&dir, fresh.as_str(), &dir, name)?;
    dir.sync_all()
}

/// The directory of a file below a root, which alone may be a link.
fn open_dir<'p>(root: &Path, path: &'p Path) -> io::Result<(File, &'p OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    Ok((beneath(root, path.parent().unwrap_or(Path::new("")))?, name))
}

/// Opens a directory below a root, one name after another, following no link.
fn beneath(root: &Path, path: &Path) -> io::Result<File> {
    let mut dir = openat(CWD, root, DIRECTORY, Mode::empty())?;
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => return Err(io::Error::other("it leads out of the component's tree")),
        };
        dir =
            openat(&dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| match error {
                Errno::NOTDIR | Errno::LOOP => io::Error::other(format!(
                    "{} above it is a link, or no directory; links are not followed",
                    name.to_string_lossy()
                )),
                error => error.into(),
            })?;
    }
    Ok(File::from(dir))
}

/// A sample of tenants with the directory of each below the root: always the same, as long as they are there, so that their
/// records go on. A directory behind a link is none.
///
/// # Errors
/// A directory above them cannot be read.
pub fn tenants_of(root: &Path, patterns: &[String], most: usize) -> io::Result<Vec<(Tenant, PathBuf)>> {
    let mut found: Vec<(u64, Tenant, PathBuf)> = Vec::new();
    for pattern in patterns {
        let Some((above, below)) = pattern.split_once(TENANT) else { continue };
        // `t-{tenant}` and `*/{tenant}` say which tenant a path is, and not where to look for one.
        let plain = (above.is_empty() || above.ends_with('/'))
            && (below.is_empty() || below.starts_with('/'))
            && !format!("{above}{below}").contains(['*', '?', '[']);
        if !plain {
            continue;
        }
        let dir = root.join(above);
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let Some(label) = entry.file_name().to_str().and_then(|name| name.parse::<Label>().ok()) else {
                continue;
            };
            let path = Path::new(above).join(entry.file_name()).join(below.trim_start_matches('/'));
            if entry.file_type()?.is_dir() && beneath(root, &path).is_ok() {
                found.push((rank(label.as_str()), Tenant::Named(label), path));
            }
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.1 == b.1);
    Ok(found.into_iter().take(most).map(|(_, tenant, path)| (tenant, path)).collect())
}

/// Spreads names over all numbers (FNV-1a): who comes first has nothing to do with the alphabet.
fn rank(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
