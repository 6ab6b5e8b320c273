//! Writing where something is already: into a file that keeps some of its content, or beside it and then in its place.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lifeboat_repo::format::manifest::Hole;
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, fallocate, ftruncate, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::super::beneath::PRIVATE_FILE;
use super::super::dirs::Dirs;
use super::super::files::write_all_at;
use super::super::metadata::Handle;
use super::super::site::{Site, Trouble};
use super::compare::{gaps, holds};
use super::correct::{correct, id};
use super::{Existing, Fate};
use crate::report::Severity;
use crate::tree::Node;

/// Zeros written at a time where no hole can be made.
const BLOCK: usize = 256 << 10;

/// The name something is made under: its own, or where that is taken one that only a restore uses.
pub(in super::super) fn name_of<'n>(site: &'n Site<'_>, number: u32, node: &Node) -> Cow<'n, [u8]> {
    match site.fate(number) {
        Fate::Replace => {
            let mut name = site.scratch();
            name.extend_from_slice(format!(".{number}.tmp").as_bytes());
            Cow::Owned(name)
        }
        _ => Cow::Borrowed(site.work.tree.name(node)),
    }
}

/// Makes sure that the name something is made under is free: a restore that was cut off may have left its own there.
pub(in super::super) fn free(
    dir: BorrowedFd<'_>,
    site: &Site<'_>,
    number: u32,
    name: &[u8],
) -> Result<(), Trouble> {
    if site.fate(number) != Fate::Replace {
        return Ok(());
    }
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Trouble::Errno("remove what an earlier restore left", errno)),
    }
}

/// Gives what was made beside it the name it is for.
pub(in super::super) fn settle_name(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
) -> Result<(), Trouble> {
    if site.fate(number) != Fate::Replace {
        return Ok(());
    }
    let dir = dirs.get(node.parent)?;
    let name = name_of(site, number, node);
    renameat(dir.as_fd(), &*name, dir.as_fd(), site.work.tree.name(node))
        .map_err(|errno| Trouble::Errno("put it in its place", errno))
}

/// Opens a file to be rewritten; none where it is made anew.
pub(in super::super) fn open(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
) -> Result<Option<OwnedFd>, Trouble> {
    let Some(existing) = &site.existing else { return Ok(None) };
    match existing.fate(number) {
        // Attributes can be set without a right to write.
        Fate::Correct => again(existing, site, dirs, number, node, OFlags::RDONLY)
            .or_else(|_| again(existing, site, dirs, number, node, OFlags::PATH))
            .map(Some),
        Fate::Patch => again(existing, site, dirs, number, node, OFlags::RDWR).map(Some),
        Fate::Replace => {
            let dir = dirs.get(node.parent)?;
            let name = name_of(site, number, node);
            free(dir.as_fd(), site, number, &name)?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(dir.as_fd(), &*name, flags, PRIVATE_FILE)
                .map_err(|errno| Trouble::Errno("create it", errno))?;
            let copied = copy_kept(existing, site, dirs, number, node, fd.as_fd());
            copied.inspect_err(|_| discard(site, dirs, number, node))?;
            Ok(Some(fd))
        }
        _ => Ok(None),
    }
}

/// Opens a file that was there, if it is still the one that was looked at.
fn again(
    existing: &Existing,
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
    how: OFlags,
) -> Result<OwnedFd, Trouble> {
    let dir = dirs.get(node.parent)?;
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || openat(dir.as_fd(), site.work.tree.name(node), flags, Mode::empty());
    let fd = open().map_err(|errno| match errno {
        // A file of one's own that says that nobody may write it.
        Errno::ACCESS => Trouble::Errno("open it to write", Errno::PERM),
        errno => Trouble::again(errno),
    })?;
    if Some(&id(fd.as_fd())?) == existing.files.get(&number) { Ok(fd) } else { Err(Trouble::Changed) }
}

/// Copies what the file that is replaced has of the content, compared again with its ids while it passes.
fn copy_kept(
    existing: &Existing,
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
    to: BorrowedFd<'_>,
) -> Result<(), Trouble> {
    let is_here = |use_number: &u32| existing.satisfied.get(*use_number as usize).copied().unwrap_or(false);
    let mut from = None;
    let mut buffer = Vec::new();
    for piece in existing.pieces.of_file(site.work, number) {
        if !piece.uses.iter().all(is_here) {
            continue;
        }
        let fd = match from.take() {
            Some(fd) => fd,
            None => again(existing, site, dirs, number, node, OFlags::RDONLY)?,
        };
        if !holds(site.work, fd.as_fd(), &piece, &mut buffer)
            .map_err(|errno| Trouble::Errno("read it", errno))?
        {
            return Err(Trouble::Changed);
        }
        let mut at = 0;
        for one in piece.uses.iter().filter_map(|number| site.work.uses.get(*number as usize)) {
            let end = at + one.take as usize;
            write_all_at(to, buffer.get(at..end).unwrap_or_default(), one.offset)?;
            at = end;
        }
        site.count_bytes(at);
        from = Some(fd);
    }
    Ok(())
}

/// Brings a file whose parts are all there to its end: length, holes, a last look, what it says of itself, its name.
///
/// # Errors
/// It cannot be done, or somebody changed the file meanwhile.
pub(in super::super) fn finish(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    fd: BorrowedFd<'_>,
    number: u32,
    node: &Node,
) -> Result<(), Trouble> {
    let Some(existing) = &site.existing else { return Ok(()) };
    let fate = existing.fate(number);
    if matches!(fate, Fate::Patch | Fate::Replace) {
        ftruncate(fd, node.size.0).map_err(|errno| Trouble::Errno("set its size", errno))?;
    }
    if fate == Fate::Patch {
        let gaps = gaps(site.work, &existing.pieces, number, node.size.0);
        gaps.iter().try_for_each(|gap| clear(fd, gap))?;
        let mut buffer = Vec::new();
        for piece in existing.pieces.of_file(site.work, number) {
            let read = |errno| Trouble::Errno("read it again", errno);
            if !holds(site.work, fd, &piece, &mut buffer).map_err(read)? {
                return Err(Trouble::Changed);
            }
        }
    }
    correct(site, &Handle::Held(fd), number, node);
    settle_name(site, dirs, number, node)
}

/// What becomes of a file some of whose content cannot be had: one that would be replaced stays as it was.
pub(in super::super) fn give_up(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, number: u32, node: &Node) -> bool {
    match site.fate(number) {
        Fate::Replace => {
            discard(site, dirs, number, node);
            let what = "some of its content is lost; what was there before is left as it was";
            site.find(Severity::Missing, number, || what.into());
        }
        Fate::Patch => {
            let what =
                "some of its content is lost; there it holds what was there before, and its time is not set";
            site.find(Severity::Missing, number, || what.into());
        }
        _ => return false,
    }
    site.set_absent(number);
    true
}

/// Removes what was made beside a file and will not take its place.
pub(in super::super) fn discard(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, number: u32, node: &Node) {
    if site.fate(number) == Fate::Replace
        && let Ok(dir) = dirs.get(node.parent)
    {
        // What stays is removed by the next restore.
        let _ = unlinkat(dir.as_fd(), &*name_of(site, number, node), AtFlags::empty());
    }
}

/// Makes a range a hole, or zeros where the file system has none.
fn clear(fd: BorrowedFd<'_>, gap: &Hole) -> Result<(), Trouble> {
    let (from, length) = (gap.offset.0, gap.length.0);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(fd, punch, from, length) {
        Ok(()) => return Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(errno) => return Err(Trouble::Errno("make a hole", errno)),
    }
    let zeros = vec![0; BLOCK];
    let mut done = 0;
    while done < length {
        let now = usize::try_from(length - done).unwrap_or(BLOCK).min(BLOCK);
        write_all_at(fd, zeros.get(..now).unwrap_or_default(), from + done)?;
        done += now as u64;
    }
    Ok(())
}
