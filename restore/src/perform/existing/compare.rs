//! What of each entry is right already. Reads much, changes nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lifeboat_repo::crypto::hash::chunk_id;
use lifeboat_repo::format::manifest::Hole;
use lifeboat_repo::units::Bytes;
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::super::dirs::Dirs;
use super::super::site::{Site, Trouble, lock};
use super::correct;
use super::decide::Judged;
use super::pieces::{Piece, Pieces};
use super::walk::{Seen, of_trouble};
use crate::content::{holes_kept, is_zero, read_full};
use crate::error::RestoreError;
use crate::tree::{Node, ROOT, Role, Value};
use crate::work::Work;

/// Entries a thread takes at a time.
const BATCH: usize = 64;

/// Zeros looked for at a time.
const BLOCK: usize = 256 << 10;

/// What comparing came to.
pub(super) struct Compared {
    /// By node.
    pub(super) judged: Vec<Judged>,
    /// By use.
    pub(super) satisfied: Vec<bool>,
}

/// One thread's view.
struct Look<'l, 's, 'w> {
    site: &'s Site<'w>,
    dirs: Dirs<'s, 'w>,
    pieces: &'l Pieces,
    satisfied: &'l [AtomicBool],
    trust_times: bool,
    buffer: Vec<u8>,
}

/// Compares everything that is there with what should be.
///
/// # Errors
/// Something cannot be read, or somebody asked to stop.
pub(super) fn all(
    site: &Site<'_>,
    seen: &[Option<Seen>],
    pieces: &Pieces,
    trust_times: bool,
    workers: usize,
) -> Result<Compared, RestoreError> {
    let satisfied: Vec<AtomicBool> =
        std::iter::repeat_with(AtomicBool::default).take(site.work.uses.len()).collect();
    let judged = Mutex::new(vec![Judged::default(); seen.len()]);
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), RestoreError> {
        let dirs =
            Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))?;
        let mut look = Look { site, dirs, pieces, satisfied: &satisfied, trust_times, buffer: Vec::new() };
        while !site.stopped() {
            let from = next.fetch_add(BATCH, Ordering::Relaxed);
            let batch = seen.iter().enumerate().skip(from).take(BATCH);
            if batch.len() == 0 {
                break;
            }
            let mut found = Vec::new();
            for (at, seen) in batch {
                let number = u32::try_from(at).unwrap_or(u32::MAX);
                let (Some(node), Some(seen)) = (site.work.tree.node(number), seen) else { continue };
                let one =
                    look.one(number, node, seen).map_err(|trouble| of_trouble(site, number, trouble))?;
                found.push((at, one));
            }
            let mut judged = lock(&judged);
            for (at, one) in found {
                if let Some(slot) = judged.get_mut(at) {
                    *slot = one;
                }
            }
        }
        Ok(())
    };
    let fail = |outcome: Result<(), RestoreError>| outcome.unwrap_or_else(|error| site.fail(error));
    std::thread::scope(|scope| {
        for _ in 1..workers.min(seen.len().div_ceil(BATCH)) {
            scope.spawn(|| fail(work()));
        }
        fail(work());
    });
    site.check()?;
    Ok(Compared {
        judged: judged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        satisfied: satisfied.into_iter().map(AtomicBool::into_inner).collect(),
    })
}

impl Look<'_, '_, '_> {
    fn one(&mut self, number: u32, node: &Node, seen: &Seen) -> Result<Judged, Trouble> {
        let mut judged = Judged::default();
        let held = match (node.role, seen.kind) {
            (Role::Bare | Role::Whole | Role::Parts(_), FileType::RegularFile) => {
                let Some(fd) = self.open_file(node, seen)? else { return Ok(judged) };
                (judged.content, judged.kept) = self.content(fd.as_fd(), number, node, seen)?;
                fd
            }
            (Role::Dir, FileType::Directory) => {
                judged.content = true;
                hold(self.site, &mut self.dirs, number, node)?
            }
            (Role::Symlink, FileType::Symlink) => {
                let fd = hold(self.site, &mut self.dirs, number, node)?;
                let target = rustix::fs::readlinkat(&fd, c"", Vec::new())
                    .map_err(|errno| Trouble::Errno("read the link", errno))?;
                let extra = self.site.work.tree.extra(node);
                judged.content = extra.is_some_and(|extra| extra.target == target.to_bytes());
                fd
            }
            (Role::Special(kind), found) => {
                let device = self.site.work.tree.extra(node).map(|extra| extra.device).unwrap_or_default();
                judged.content = correct::file_type(kind) == found && device == seen.device;
                hold(self.site, &mut self.dirs, number, node)?
            }
            _ => return Ok(judged),
        };
        let values = self.values(held.as_fd(), node);
        judged.metadata = values && !correct::differs(self.site, held.as_fd(), node, seen);
        Ok(judged)
    }

    /// Opens a file as it was seen; none where this user may not read it: then it is replaced.
    fn open_file(&mut self, node: &Node, seen: &Seen) -> Result<Option<OwnedFd>, Trouble> {
        let dir = self.dirs.get(node.parent)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(dir.as_fd(), self.site.work.tree.name(node), flags, Mode::empty()) {
            Ok(fd) if correct::id(fd.as_fd())? == seen.id => Ok(Some(fd)),
            Ok(_) => Err(Trouble::Meddled(Errno::EXIST)),
            Err(Errno::ACCESS) => Ok(None),
            Err(errno) => Err(Trouble::again(errno)),
        }
    }

    /// Whether a file has the content it should, and whether it has any of it.
    fn content(
        &mut self,
        fd: BorrowedFd<'_>,
        number: u32,
        node: &Node,
        seen: &Seen,
    ) -> Result<(bool, bool), Trouble> {
        let read = |errno| Trouble::Errno("read what is there", errno);
        let (mut same, mut kept) = (seen.size == node.size.0, false);
        let trusted = self.trust_times && same && seen.mtime == node.mtime;
        let work = self.site.work;
        for piece in self.pieces.of_file(work, number) {
            if self.site.stopped() {
                break;
            }
            if trusted || holds(work, fd, &piece, &mut self.buffer).map_err(read)? {
                kept = true;
                self.satisfy(piece.uses);
            } else {
                same = false;
            }
        }
        if same && !trusted && (node.sparse || node.role == Role::Bare) {
            self.buffer.resize(BLOCK, 0);
            let holes = gaps(work, self.pieces, number, node.size.0);
            same &= self.are_holes(fd, &holes, seen.block).map_err(read)?;
        }
        Ok((same, kept))
    }

    /// Whether ranges read as zeros, and are holes as far as whole blocks go. Whoever asked to stop is told later.
    fn are_holes(&mut self, fd: BorrowedFd<'_>, holes: &[Hole], block: u64) -> Result<bool, Errno> {
        // The end of a file is no end of a block here: no hole can be made of a part of one.
        match holes_kept(fd, holes, u64::MAX, block) {
            Ok(false) => return Ok(false),
            // This file system knows of no holes.
            Ok(true) | Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
        for hole in holes {
            match is_zero(fd, hole, &mut self.buffer, self.site.observer) {
                Ok(true) => {}
                Ok(false) | Err(Errno::CANCELED) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
        Ok(true)
    }

    /// Whether every attribute that is stored as chunks is there.
    fn values(&mut self, fd: BorrowedFd<'_>, node: &Node) -> bool {
        let mut same = true;
        let Some(extra) = self.site.work.tree.extra(node) else { return true };
        for (name, value) in &extra.xattrs {
            let Value::Fetched(number) = value else { continue };
            let there = correct::attribute(fd, name);
            let mut at = 0_usize;
            let mut right = there.is_some();
            for piece in self.pieces.of_value(self.site.work, *number) {
                let end = at.saturating_add(piece.length as usize);
                let bytes = there.as_ref().and_then(|there| there.get(at..end)).unwrap_or_default();
                right &= chunk_id(piece.k_id, bytes) == piece.id;
                at = end;
            }
            right &= there.as_ref().is_some_and(|there| there.len() == at);
            if right {
                for piece in self.pieces.of_value(self.site.work, *number) {
                    self.satisfy(piece.uses);
                }
            }
            same &= right;
        }
        same
    }

    fn satisfy(&self, uses: &[u32]) {
        for number in uses {
            if let Some(flag) = self.satisfied.get(*number as usize) {
                flag.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Reads a piece of a file; whether it is what its id says. The buffer then holds it.
pub(super) fn holds(
    work: &Work,
    fd: BorrowedFd<'_>,
    piece: &Piece<'_>,
    buffer: &mut Vec<u8>,
) -> Result<bool, Errno> {
    buffer.clear();
    for number in piece.uses {
        let Some(one) = work.uses.get(*number as usize) else { return Ok(false) };
        let from = buffer.len();
        buffer.resize(from + one.take as usize, 0);
        let room = buffer.get_mut(from..).unwrap_or_default();
        if read_full(fd, room, one.offset)? < one.take as usize {
            return Ok(false);
        }
    }
    Ok(buffer.len() == piece.length as usize && chunk_id(piece.k_id, buffer) == piece.id)
}

/// Where a file of this length has no content.
pub(super) fn gaps(work: &Work, pieces: &Pieces, node: u32, size: u64) -> Vec<Hole> {
    let (mut gaps, mut at) = (Vec::new(), 0);
    let mut until = |from: u64, to: u64| {
        if to > from {
            gaps.push(Hole { offset: Bytes(from), length: Bytes(to - from) });
        }
    };
    for piece in pieces.of_file(work, node) {
        for one in piece.uses.iter().filter_map(|number| work.uses.get(*number as usize)) {
            until(at, one.offset);
            at = one.offset.saturating_add(u64::from(one.take));
        }
    }
    until(at, size);
    gaps
}

/// Holds what lies at a node, without opening it.
pub(super) fn hold(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
) -> Result<OwnedFd, Trouble> {
    let dir = dirs.get(node.parent)?;
    let name = if number == ROOT { b".".as_slice() } else { site.work.tree.name(node) };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir.as_fd(), name, flags, Mode::empty()).map_err(Trouble::again)
}

/// Takes the values of attributes that are right already, for an entry that is set or replaced.
pub(super) fn keep_values(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
    pieces: &Pieces,
    satisfied: &[bool],
) {
    let Some(extra) = site.work.tree.extra(node) else { return };
    for (name, value) in &extra.xattrs {
        let Value::Fetched(value) = value else { continue };
        let here = |number: &u32| satisfied.get(*number as usize).copied().unwrap_or(false);
        if !pieces.of_value(site.work, *value).all(|piece| piece.uses.iter().all(here)) {
            continue;
        }
        let bytes = hold(site, dirs, number, node).ok().and_then(|fd| correct::attribute(fd.as_fd(), name));
        let length = site.work.values.get(*value as usize).map_or(0, |value| value.length);
        match bytes {
            Some(bytes) if bytes.len() == length as usize => site.values.put(*value, length, 0, &bytes),
            _ => site.values.lose(*value),
        }
    }
}
