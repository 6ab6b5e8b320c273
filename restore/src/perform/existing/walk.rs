//! What lies in the target, by handle and through no link: seen once, before anything is changed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lifeboat_repo::units::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, chmod, fstat, statx};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::super::dirs::Dirs;
use super::super::marker::Marker;
use super::super::metadata::proc_name;
use super::super::site::{Site, Trouble};
use crate::disk::{FileId, names_in};
use crate::error::RestoreError;
use crate::tree::{ROOT, Role};

/// Directories between two looks at whether to stop.
const BATCH: usize = 256;

/// An entry of the target.
#[derive(Debug, Clone)]
pub(in super::super) struct Seen {
    pub(in super::super) kind: FileType,
    pub(in super::super) id: FileId,
    pub(in super::super) links: u32,
    pub(in super::super) mode: u32,
    pub(in super::super) owner: (u32, u32),
    pub(in super::super) size: u64,
    pub(in super::super) mtime: Timestamp,
    pub(in super::super) device: (u32, u32),
    /// How its file system hands out space.
    pub(in super::super) block: u64,
    /// Whether something is mounted here.
    pub(in super::super) mount: bool,
    /// Of a directory that lies where none belongs: whether it holds nothing.
    pub(in super::super) empty: bool,
}

/// An entry that the snapshot does not have.
#[derive(Debug, Clone)]
pub(in super::super) struct Extra {
    /// The node of its directory.
    pub(in super::super) dir: u32,
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) kind: FileType,
    pub(in super::super) mount: bool,
    /// A restore that was cut off left it.
    pub(in super::super) ours: bool,
}

/// What the walk found.
pub(super) struct Walked {
    /// What lies at each node.
    pub(super) seen: Vec<Option<Seen>>,
    pub(super) extras: Vec<Extra>,
}

/// Looks at every directory of the tree that is there.
///
/// # Errors
/// One cannot be listed, or somebody asked to stop.
pub(super) fn walk(site: &Site<'_>, marker: &Marker) -> Result<Walked, RestoreError> {
    let tree = &site.work.tree;
    let mut children: Vec<u32> = tree.nodes().skip(1).map(|(number, _)| number).collect();
    let place =
        |number: &u32| tree.node(*number).map_or((0, [].as_slice()), |node| (node.parent, tree.name(node)));
    children.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
    let scratch = site.scratch();
    let mut walked = Walked { seen: vec![None; tree.nodes().len()], extras: Vec::new() };
    let mut dirs =
        Dirs::new(site).map_err(|trouble| RestoreError::refused(site.root.shown(), trouble.words()))?;
    let stat = look(site.root.fd.as_fd(), c"".to_bytes()).map_err(|errno| failed(site, ROOT, errno))?;
    set(&mut walked.seen, ROOT, stat);
    let is_dir = |role| matches!(role, Role::Dir | Role::Implied);
    for (at, (number, _)) in tree.nodes().filter(|(_, node)| is_dir(node.role)).enumerate() {
        let there = walked.seen.get(number as usize).and_then(Option::as_ref);
        if there.is_none_or(|seen| seen.kind != FileType::Directory) {
            continue;
        }
        let held = dirs.get(number).map_err(|trouble| of_trouble(site, number, trouble))?;
        let fd = list_handle(site, held.as_fd()).map_err(|errno| failed(site, number, errno))?;
        let from = children.partition_point(|child| place(child).0 < number);
        let to = children.partition_point(|child| place(child).0 <= number);
        let own = children.get(from..to).unwrap_or_default();
        for name in names_in(fd.as_fd()).map_err(|errno| failed(site, number, errno))? {
            let name = name.into_bytes();
            if number == ROOT && marker.is_mark(&name) {
                continue;
            }
            let mut seen = match look(fd.as_fd(), &name) {
                Ok(seen) => seen,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(site, number, errno)),
            };
            match own.binary_search_by(|child| place(child).1.cmp(&name)) {
                Ok(found) => {
                    let Some(child) = own.get(found) else { continue };
                    if seen.kind == FileType::Directory
                        && !tree.node(*child).is_some_and(|node| is_dir(node.role))
                    {
                        seen.empty = !seen.mount && is_empty(site, fd.as_fd(), &name);
                    }
                    set(&mut walked.seen, *child, seen);
                }
                Err(_) => {
                    let ours = name.starts_with(&scratch) && name.ends_with(b".tmp");
                    // Beside what a shard restores lies what others do.
                    if ours || site.shard.is_none() {
                        let (kind, mount) = (seen.kind, seen.mount);
                        walked.extras.push(Extra { dir: number, name, kind, mount, ours });
                    }
                }
            }
        }
        if at % BATCH == 0 {
            site.check()?;
        }
    }
    walked.extras.sort_by(|a, b| (a.dir, &a.name).cmp(&(b.dir, &b.name)));
    Ok(walked)
}

/// What is at a name.
pub(in super::super) fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Seen, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let flags = if name.is_empty() { flags | AtFlags::EMPTY_PATH } else { flags };
    let stat = statx(dir, name, flags, StatxFlags::BASIC_STATS)?;
    Ok(Seen {
        kind: FileType::from_raw_mode(u32::from(stat.stx_mode)),
        id: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
        links: stat.stx_nlink,
        mode: u32::from(stat.stx_mode) & 0o7777,
        owner: (stat.stx_uid, stat.stx_gid),
        size: stat.stx_size,
        mtime: Timestamp::new(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        device: (stat.stx_rdev_major, stat.stx_rdev_minor),
        block: u64::from(stat.stx_blksize),
        mount: is_mount(&stat),
        empty: false,
    })
}

fn is_mount(stat: &Statx) -> bool {
    stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

fn set(seen: &mut [Option<Seen>], number: u32, what: Seen) {
    if let Some(slot) = seen.get_mut(number as usize) {
        *slot = Some(what);
    }
}

/// Opens a held directory to list it. One in which its own owner may not do everything is opened up: the end sets its
/// mode. What a restore without root left unfinished has such.
fn list_handle(site: &Site<'_>, held: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    if site.may_change && !geteuid().is_root() {
        open_up(held)?;
    }
    site.root.open_dir(held, b".", OFlags::RDONLY)
}

/// Lets the owner of a directory, if that is who runs this, do everything in it.
fn open_up(held: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(held)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    if stat.st_uid != geteuid().as_raw() || mode.contains(Mode::RWXU) {
        return Ok(());
    }
    chmod(proc_name(held), mode | Mode::RWXU)
}

/// Whether a directory is seen to hold nothing.
fn is_empty(site: &Site<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    site.root
        .open_dir(dir, name, OFlags::RDONLY)
        .and_then(|fd| names_in(fd.as_fd()))
        .is_ok_and(|names| names.is_empty())
}

fn failed(site: &Site<'_>, node: u32, errno: Errno) -> RestoreError {
    of_trouble(site, node, Trouble::Errno("look at what is there", errno))
}

/// Before anything is changed every trouble ends the restore: what cannot be looked at cannot be judged.
pub(super) fn of_trouble(site: &Site<'_>, node: u32, trouble: Trouble) -> RestoreError {
    site.fatal(node, trouble).unwrap_or_else(|| match trouble {
        Trouble::Errno(doing, errno) => RestoreError::io(site.shown(node), doing, errno),
        trouble => RestoreError::refused(site.shown(node), trouble.words()),
    })
}
