//! Files that are made in one go.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fstat, ftruncate, openat};
use rustix::io::{Errno, pwrite, write};

use super::beneath::PRIVATE_FILE;
use super::dirs::Dirs;
use super::existing::{Fate, rewrite};
use super::metadata::{self, Handle};
use super::site::{Site, Trouble};
use crate::error::RestoreError;
use crate::tree::{Node, Role};

/// Makes a file that is one chunk.
///
/// # Errors
/// The restore must stop.
pub(super) fn whole(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    bytes: &[u8],
) -> Result<(), RestoreError> {
    let Some(node) = site.work.tree.node(number) else { return Ok(()) };
    let made = create(site, dirs, number, node).and_then(|fd| {
        let written =
            write_all(fd.as_fd(), bytes).and_then(|()| finish(site, dirs, fd.as_fd(), number, node));
        written.inspect_err(|_| rewrite::discard(site, dirs, number, node))
    });
    if site.settle(number, made)? {
        site.count(true);
        site.count_bytes(bytes.len());
    }
    Ok(())
}

/// Makes a file without stored content, empty or a hole from end to end; or brings one to its end that has all of its
/// content.
///
/// # Errors
/// The restore must stop.
pub(super) fn bare(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, number: u32) -> Result<(), RestoreError> {
    let Some(node) = site.work.tree.node(number) else { return Ok(()) };
    let made = create(site, dirs, number, node).and_then(|fd| {
        if node.role == Role::Bare && node.size.0 > 0 && site.fate(number) == Fate::Make {
            ftruncate(&fd, node.size.0).map_err(|errno| Trouble::Errno("make a hole", errno))?;
        }
        finish(site, dirs, fd.as_fd(), number, node)
            .inspect_err(|_| rewrite::discard(site, dirs, number, node))
    });
    if site.settle(number, made)? {
        site.count(true);
    }
    Ok(())
}

/// Creates a file that must not be there, for its owner alone until it is whole; or opens the one that is rewritten.
pub(super) fn create(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
) -> Result<OwnedFd, Trouble> {
    if let Some(fd) = rewrite::open(site, dirs, number, node)? {
        return Ok(fd);
    }
    let dir = dirs.get(node.parent)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir.as_fd(), site.work.tree.name(node), flags, PRIVATE_FILE)
        .map_err(|errno| Trouble::Errno("create it", errno))?;
    learn_owner(site, fd.as_fd());
    Ok(fd)
}

/// Sets what a file says of itself, once all its content is there.
pub(super) fn finish(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    fd: BorrowedFd<'_>,
    number: u32,
    node: &Node,
) -> Result<(), Trouble> {
    if site.existing.is_some() {
        return rewrite::finish(site, dirs, fd, number, node);
    }
    metadata::apply(site, &Handle::File(fd), number, node);
    Ok(())
}

/// Learns, from the first thing made, who owns what this process makes below the target.
pub(super) fn learn_owner(site: &Site<'_>, fd: BorrowedFd<'_>) {
    if site.owner.get().is_none()
        && let Ok(stat) = fstat(fd)
    {
        // Another thread may have been first; it learned the same.
        let _ = site.owner.set((stat.st_uid, stat.st_gid));
    }
}

/// Writes all of it at the descriptor's position.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Trouble> {
    while !bytes.is_empty() {
        bytes = written(bytes, write(fd, bytes))?;
    }
    Ok(())
}

/// Writes all of it at an offset.
pub(super) fn write_all_at(fd: BorrowedFd<'_>, mut bytes: &[u8], mut offset: u64) -> Result<(), Trouble> {
    while !bytes.is_empty() {
        let rest = written(bytes, pwrite(fd, bytes, offset))?;
        offset += (bytes.len() - rest.len()) as u64;
        bytes = rest;
    }
    Ok(())
}

/// What is left after a write.
fn written(bytes: &[u8], outcome: Result<usize, Errno>) -> Result<&[u8], Trouble> {
    match outcome {
        Ok(0) => Err(Trouble::Errno("write it", Errno::IO)),
        Ok(count) => Ok(bytes.get(count..).unwrap_or_default()),
        Err(Errno::INTR) => Ok(bytes),
        Err(errno) => Err(Trouble::Errno("write it", errno)),
    }
}
