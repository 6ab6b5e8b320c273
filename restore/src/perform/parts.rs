//! Files of several parts, which different threads bring in any order.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lifeboat_repo::units::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, ftruncate, openat, unlinkat};
use rustix::io::Errno;

use super::dirs::Dirs;
use super::existing::{Fate, rewrite};
use super::files::{create, finish, write_all_at};
use super::site::{Site, Trouble, lock};
use crate::error::RestoreError;
use crate::report::Severity;
use crate::tree::Node;
use crate::work::PartsOf;

/// A file of several parts while it is made.
pub(super) struct Part {
    node: u32,
    /// Parts to come.
    remaining: AtomicU32,
    lost: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Device and inode of the file we made: a name may come to mean another.
    made: Option<(u64, u64)>,
    fd: Option<Arc<OwnedFd>>,
    /// It could not be made; that was reported.
    failed: bool,
}

/// Files that are open, the longest first.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<VecDeque<u32>>);

impl Part {
    pub(super) fn new(of: &PartsOf) -> Self {
        Self {
            node: of.node,
            remaining: AtomicU32::new(of.pieces),
            lost: AtomicU64::new(of.lost.0),
            state: Mutex::default(),
        }
    }
}

/// Writes a part.
///
/// # Errors
/// The restore must stop.
pub(super) fn write(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    bytes: &[u8],
    offset: u64,
) -> Result<(), RestoreError> {
    let Some(part) = site.parts.get(number as usize) else { return Ok(()) };
    let written = match descriptor(site, dirs, number, part)? {
        Some(fd) => site.settle(part.node, write_all_at(fd.as_fd(), bytes, offset))?,
        None => false,
    };
    if written {
        site.count_bytes(bytes.len());
    } else {
        lock(&part.state).failed = true;
    }
    piece_done(site, dirs, number)
}

/// Notes that content will not come.
pub(super) fn lose(site: &Site<'_>, number: u32, bytes: u32) {
    if let Some(part) = site.parts.get(number as usize) {
        part.lost.fetch_add(u64::from(bytes), Ordering::Relaxed);
    }
}

/// Notes that a part came, or will not come; the last one completes the file.
///
/// # Errors
/// The restore must stop.
pub(super) fn piece_done(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, number: u32) -> Result<(), RestoreError> {
    let Some(part) = site.parts.get(number as usize) else { return Ok(()) };
    // What other threads wrote before they counted down is seen here.
    if part.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
        complete(site, dirs, number, part)
    } else {
        Ok(())
    }
}

fn complete(site: &Site<'_>, dirs: &mut Dirs<'_, '_>, number: u32, part: &Part) -> Result<(), RestoreError> {
    let lost = part.lost.load(Ordering::Relaxed);
    let (failed, made) = {
        let state = lock(&part.state);
        (state.failed, state.made.is_some())
    };
    let Some(node) = site.work.tree.node(part.node) else { return Ok(()) };
    if failed {
        rewrite::discard(site, dirs, part.node, node);
    } else if lost > 0 && rewrite::give_up(site, dirs, part.node, node) {
        lock(&part.state).fd.take();
        return Ok(());
    }
    if lost > 0 && site.shard.is_some() {
        return leave_to_finish(site, dirs, part, node, made);
    }
    if !made && lost > 0 {
        // Nothing of it came. A file of zeros would only deceive.
        site.set_absent(part.node);
        return Ok(());
    }
    let fd = if failed { None } else { descriptor(site, dirs, number, part)? };
    // Whoever looks later finds it closed.
    lock(&part.state).fd.take();
    let Some(fd) = fd else { return Ok(()) };
    if node.sparse || lost > 0 {
        let sized = ftruncate(&*fd, node.size.0).map_err(|errno| Trouble::Errno("set its size", errno));
        if !site.settle(part.node, sized)? {
            return Ok(());
        }
    }
    let finished = finish(site, dirs, fd.as_fd(), part.node, node)
        .inspect_err(|_| rewrite::discard(site, dirs, part.node, node));
    if !site.settle(part.node, finished)? {
        return Ok(());
    }
    if lost > 0 {
        site.find(Severity::Missing, part.node, || {
            format!("{} of it are lost and read as zeros", Bytes(lost))
        });
    } else {
        site.count(true);
    }
    Ok(())
}

/// A shard leaves a file some of which is lost to whoever finishes: that one tries again, and says what there is not.
fn leave_to_finish(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    part: &Part,
    node: &Node,
    made: bool,
) -> Result<(), RestoreError> {
    lock(&part.state).fd.take();
    let removed = if made && site.fate(part.node) == Fate::Make {
        dirs.get(node.parent).and_then(|dir| {
            unlinkat(dir.as_fd(), site.work.tree.name(node), AtFlags::empty())
                .map_err(|errno| Trouble::Errno("remove what came of it", errno))
        })
    } else {
        Ok(())
    };
    if site.settle(part.node, removed)? {
        site.set_absent(part.node);
    }
    Ok(())
}

/// A descriptor to write with: open already, made now, or opened again. `None` where it could not be made, which
/// is then reported.
fn descriptor(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    part: &Part,
) -> Result<Option<Arc<OwnedFd>>, RestoreError> {
    let opened = {
        let mut state = lock(&part.state);
        if state.failed {
            return Ok(None);
        }
        if let Some(fd) = &state.fd {
            return Ok(Some(Arc::clone(fd)));
        }
        let opened = open(site, dirs, part, &mut state);
        state.failed = opened.is_err();
        if let Ok(fd) = &opened {
            state.fd = Some(Arc::clone(fd));
        }
        opened
    };
    match opened {
        Ok(fd) => {
            make_room(site, number);
            Ok(Some(fd))
        }
        Err(trouble) => site.settle(part.node, Err(trouble)).map(|_| None),
    }
}

fn open(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    part: &Part,
    state: &mut State,
) -> Result<Arc<OwnedFd>, Trouble> {
    let Some(node) = site.work.tree.node(part.node) else { return Err(Trouble::NoDirectory) };
    let identity = |fd: &OwnedFd| {
        fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).map_err(|errno| Trouble::Errno("look at it", errno))
    };
    let fd = match state.made {
        None => {
            let fd = create(site, dirs, part.node, node)?;
            state.made = Some(identity(&fd)?);
            fd
        }
        Some(made) => {
            let dir = dirs.get(node.parent)?;
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let name = rewrite::name_of(site, part.node, node);
            let fd = openat(dir.as_fd(), &*name, flags, Mode::empty()).map_err(Trouble::again)?;
            if identity(&fd)? != made {
                return Err(Trouble::Meddled(Errno::EXIST));
            }
            fd
        }
    };
    Ok(Arc::new(fd))
}

/// Closes the files open longest where there are too many; they are opened again when their next part comes.
fn make_room(site: &Site<'_>, number: u32) {
    let close: Vec<u32> = {
        let mut open = lock(&site.open_files.0);
        open.push_back(number);
        let surplus = open.len().saturating_sub(site.files_open_max);
        open.drain(..surplus).collect()
    };
    for other in close.into_iter().filter(|other| *other != number) {
        if let Some(part) = site.parts.get(other as usize) {
            lock(&part.state).fd.take();
        }
    }
}
