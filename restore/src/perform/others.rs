//! Everything that is no file: directories, further names, special files, symbolic links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::text;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstat, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat,
};
use rustix::io::Errno;

use super::beneath::{HANDLE, LOST_AND_FOUND, PRIVATE_DIR, PRIVATE_FILE};
use super::dirs::Dirs;
use super::existing::correct::correct;
use super::existing::{Fate, rewrite};
use super::files::learn_owner;
use super::metadata::{self, Handle};
use super::site::{Site, Trouble};
use crate::error::RestoreError;
use crate::report::Severity;
use crate::tree::{Node, ROOT, Role};

/// Entries between two looks at whether to stop.
const BATCH: usize = 1024;

/// Makes every directory, parents first.
///
/// # Errors
/// The restore must stop.
pub(super) fn make_dirs(site: &Site<'_>) -> Result<(), RestoreError> {
    let tree = &site.work.tree;
    each(
        site,
        |role| matches!(role, Role::Dir | Role::Implied),
        |dirs, number, node| {
            if number == ROOT || site.fate(number) != Fate::Make {
                return Ok(());
            }
            let made = dirs.get(node.parent).and_then(|parent| {
                let name = tree.name(node);
                match mkdirat(parent.as_fd(), name, PRIVATE_DIR) {
                    Err(Errno::EXIST) if node.parent == ROOT && name == LOST_AND_FOUND => Ok(()),
                    Err(Errno::EXIST) if site.shard.is_some() => made_by_another(parent.as_fd(), name),
                    // Directories are made first, each once: it came from elsewhere.
                    Err(Errno::EXIST) => Err(Trouble::Meddled(Errno::EXIST)),
                    outcome => outcome.map_err(|errno| Trouble::Errno("make the directory", errno)),
                }
            });
            site.settle(number, made)?;
            Ok(())
        },
    )
}

/// Another shard may need the same directory, and have made it first.
fn made_by_another(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Trouble> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(()),
        Ok(_) => Err(Trouble::Errno("make the directory", Errno::EXIST)),
        Err(errno) => Err(Trouble::again(errno)),
    }
}

/// Sets what directories say of themselves, deepest first.
///
/// # Errors
/// The restore must stop.
pub(super) fn set_dirs(site: &Site<'_>) -> Result<(), RestoreError> {
    let mut dirs = dirs(site)?;
    let mut implied = 0_u64;
    for (at, (number, node)) in site.work.tree.nodes().rev().enumerate() {
        implied += u64::from(node.role == Role::Implied && number != ROOT);
        if node.role != Role::Dir || site.is_absent(number) {
            continue;
        }
        let flags = if site.existing.is_some() { HANDLE } else { OFlags::RDONLY };
        let opened = dirs.get(node.parent).and_then(|parent| {
            let name = if number == ROOT { b".".as_slice() } else { site.work.tree.name(node) };
            site.root.open_dir(parent.as_fd(), name, flags).map_err(Trouble::again)
        });
        match opened {
            Ok(fd) if site.existing.is_some() => {
                // What was put into it or taken from it changed its time, whatever was seen before.
                if correct(site, &Handle::Held(fd.as_fd()), number, node) {
                    site.count(false);
                }
            }
            Ok(fd) => {
                metadata::apply(site, &Handle::File(fd.as_fd()), number, node);
                site.count(false);
            }
            Err(trouble) => {
                site.settle(number, Err(trouble))?;
            }
        }
        if at % BATCH == 0 {
            site.flush();
            site.check()?;
        }
    }
    if implied > 0 {
        site.find(Severity::Note, ROOT, || {
            format!(
                "{implied} directories above what was asked for belong to another tenant or are lost; they were made \
                 for their owner alone (mode 0700)"
            )
        });
    }
    Ok(())
}

/// Gives files their further names.
///
/// # Errors
/// The restore must stop.
pub(super) fn make_links(site: &Site<'_>) -> Result<(), RestoreError> {
    make_links_to(site, |role| !matches!(role, Role::Symlink | Role::Special(_)))
}

/// Gives symbolic links and special files their further names.
///
/// # Errors
/// The restore must stop.
pub(super) fn make_links_of_others(site: &Site<'_>) -> Result<(), RestoreError> {
    make_links_to(site, |role| matches!(role, Role::Symlink | Role::Special(_)))
}

fn make_links_to(site: &Site<'_>, first_is: impl Fn(Role) -> bool) -> Result<(), RestoreError> {
    let tree = &site.work.tree;
    each(
        site,
        |role| match role {
            Role::Link(first) => tree.node(first).is_some_and(|first| first_is(first.role)),
            _ => false,
        },
        |dirs, number, node| {
            let Role::Link(first_number) = node.role else { return Ok(()) };
            let Some(first) = tree.node(first_number) else { return Ok(()) };
            if site.is_absent(first_number) {
                site.set_absent(number);
                site.find(Severity::Missing, number, || {
                    let path = tree.path(first_number);
                    format!("it is another name of {}, which could not be restored", text::display(&path))
                });
                return Ok(());
            }
            if is_settled(site, number) {
                return Ok(());
            }
            let made = dirs.get(first.parent).and_then(|from| {
                let to = dirs.get(node.parent)?;
                let name = rewrite::name_of(site, number, node);
                rewrite::free(to.as_fd(), site, number, &name)?;
                linkat(from.as_fd(), tree.name(first), to.as_fd(), &*name, AtFlags::empty())
                    .map_err(|errno| Trouble::Errno("link it", errno))?;
                rewrite::settle_name(site, dirs, number, node)
            });
            if site.settle(number, made)? {
                site.count(false);
            }
            Ok(())
        },
    )
}

/// Makes fifos, sockets and devices.
///
/// # Errors
/// The restore must stop.
pub(super) fn make_specials(site: &Site<'_>) -> Result<(), RestoreError> {
    each(
        site,
        |role| matches!(role, Role::Special(_)),
        |dirs, number, node| {
            let Role::Special(kind) = node.role else { return Ok(()) };
            if is_settled(site, number) {
                return Ok(());
            }
            let (kind, doing) = match kind {
                EntryKind::Fifo => (FileType::Fifo, "make the fifo"),
                EntryKind::Socket => (FileType::Socket, "make the socket"),
                EntryKind::Char => (FileType::CharacterDevice, "make the character device"),
                _ => (FileType::BlockDevice, "make the block device"),
            };
            let (major, minor) = site.work.tree.extra(node).map(|extra| extra.device).unwrap_or_default();
            let made = dirs.get(node.parent).and_then(|dir| {
                let name = rewrite::name_of(site, number, node);
                rewrite::free(dir.as_fd(), site, number, &name)?;
                mknodat(dir.as_fd(), &*name, kind, PRIVATE_FILE, makedev(major, minor))
                    .map_err(|errno| Trouble::Errno(doing, errno))?;
                hold(dir.as_fd(), &name, kind)
            });
            finish(site, dirs, number, node, made)
        },
    )
}

/// Makes symbolic links.
///
/// # Errors
/// The restore must stop.
pub(super) fn make_symlinks(site: &Site<'_>) -> Result<(), RestoreError> {
    each(
        site,
        |role| matches!(role, Role::Symlink),
        |dirs, number, node| {
            if is_settled(site, number) {
                return Ok(());
            }
            let target = site.work.tree.extra(node).map(|extra| extra.target.as_slice()).unwrap_or_default();
            let made = dirs.get(node.parent).and_then(|dir| {
                let name = rewrite::name_of(site, number, node);
                rewrite::free(dir.as_fd(), site, number, &name)?;
                symlinkat(target, dir.as_fd(), &*name)
                    .map_err(|errno| Trouble::Errno("make the link", errno))?;
                hold(dir.as_fd(), &name, FileType::Symlink)
            });
            finish(site, dirs, number, node, made)
        },
    )
}

/// Whether nothing is to be made at a node: it is there already, or cannot be.
fn is_settled(site: &Site<'_>, number: u32) -> bool {
    matches!(site.fate(number), Fate::Keep | Fate::Leave | Fate::Blocked)
}

/// Sets the metadata of what was made and is held, and gives it its name.
fn finish(
    site: &Site<'_>,
    dirs: &mut Dirs<'_, '_>,
    number: u32,
    node: &Node,
    made: Result<OwnedFd, Trouble>,
) -> Result<(), RestoreError> {
    let settled = made.and_then(|fd| {
        let handle = Handle::Held(fd.as_fd());
        if site.existing.is_some() {
            correct(site, &handle, number, node);
        } else {
            learn_owner(site, fd.as_fd());
            metadata::apply(site, &handle, number, node);
        }
        rewrite::settle_name(site, dirs, number, node)
    });
    if site.settle(number, settled)? {
        site.count(false);
    }
    Ok(())
}

/// Holds what was just made, without opening it.
fn hold(dir: BorrowedFd<'_>, name: &[u8], kind: FileType) -> Result<OwnedFd, Trouble> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty()).map_err(Trouble::again)?;
    let stat = fstat(&fd).map_err(Trouble::again)?;
    if FileType::from_raw_mode(stat.st_mode) == kind { Ok(fd) } else { Err(Trouble::Meddled(Errno::EXIST)) }
}

/// Does something with every node of some roles, in the order of their numbers.
fn each(
    site: &Site<'_>,
    wanted: impl Fn(Role) -> bool,
    mut make: impl FnMut(&mut Dirs<'_, '_>, u32, &Node) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let mut dirs = dirs(site)?;
    for (at, (number, node)) in site.work.tree.nodes().filter(|(_, node)| wanted(node.role)).enumerate() {
        make(&mut dirs, number, node)?;
        if at % BATCH == 0 {
            site.flush();
            site.check()?;
        }
    }
    site.flush();
    Ok(())
}

fn dirs<'s, 'w>(site: &'s Site<'w>) -> Result<Dirs<'s, 'w>, RestoreError> {
    Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))
}
