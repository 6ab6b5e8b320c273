//! Owner, attributes, mode and time of what was there before: compared first, and set only where they differ.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::format::text;
use rustix::fs::{FileType, Mode, removexattr};
use rustix::process::geteuid;

use super::super::metadata::{Handle, give, is_acl, proc_name, set_xattr, value_of};
use super::super::site::{Site, Trouble};
use super::walk::{Seen, look};
use crate::disk::FileId;
use crate::ids::{ACL_ACCESS, ACL_DEFAULT};
use crate::report::Severity;
use crate::tree::{Node, Role, Value};

/// Attributes that security modules of this host keep: they say nothing of the snapshot and come by themselves.
const HOSTS_OWN: &[&[u8]] =
    &[b"security.selinux", b"security.ima", b"security.evm", b"security.apparmor", b"security.SMACK64"];

/// Makes what a node says of itself true. Only what differs is touched; whether anything did.
pub(in super::super) fn correct(site: &Site<'_>, handle: &Handle<'_>, number: u32, node: &Node) -> bool {
    let fd = handle.fd();
    let warn = |what: String| site.find(Severity::Warning, number, || what);
    let before = match look(fd, b"") {
        Ok(seen) => seen,
        Err(errno) => {
            warn(format!("what it says of itself could not be looked at: {errno}"));
            return false;
        }
    };
    let mut changed = false;
    let mut dropped = 0;
    let owner = site.ids.owners.get(node.owner as usize).copied();
    if let Some(owner) = owner.filter(|owner| *owner != before.owner) {
        dropped = give(site, handle, number, node, owner);
        changed = true;
    }
    let private = Mode::RUSR | Mode::WUSR;
    let mode_before = Mode::from_raw_mode(before.mode);
    if !geteuid().is_root() && node.role != Role::Symlink && !mode_before.contains(private) {
        // Who is not root reads and sets attributes of what he may read and write only. What fails here is told below.
        let _ = handle.chmod(mode_before | private);
    }
    changed |= correct_xattrs(site, handle, number, node);
    let Ok(now) = look(fd, b"") else { return changed };
    let mode = node.mode & 0o7777 & !dropped;
    if node.role != Role::Symlink && now.mode != mode {
        changed = true;
        if let Err(errno) = handle.chmod(Mode::from_raw_mode(mode)) {
            warn(format!("its mode {mode:04o} could not be set: {errno}"));
        }
    }
    if now.mtime != node.mtime {
        changed = true;
        if let Err(errno) = handle.touch(node.mtime) {
            warn(format!("its time could not be set: {errno}"));
        }
    }
    changed
}

fn correct_xattrs(site: &Site<'_>, handle: &Handle<'_>, number: u32, node: &Node) -> bool {
    let fd = handle.fd();
    let wanted = site.work.tree.extra(node).map(|extra| extra.xattrs.as_slice()).unwrap_or_default();
    let mut changed = false;
    for name in surplus(fd, wanted) {
        changed = true;
        if let Err(errno) = removexattr(proc_name(fd), name.as_slice()) {
            site.find(Severity::Warning, number, || {
                format!("its attribute {} could not be removed: {errno}", text::display(&name))
            });
        }
    }
    // ACLs after everything that may clear them.
    for acls in [false, true] {
        for (name, value) in wanted.iter().filter(|(name, _)| is_acl(name) == acls) {
            let Some(bytes) = value_of(site, number, name, value) else { continue };
            if attribute(fd, name).as_deref() != Some(&*bytes) {
                changed = true;
                set_xattr(site, handle, number, name, &bytes);
            }
        }
    }
    changed
}

/// Whether anything that an entry says of itself differs, but for attributes that are stored as chunks.
pub(super) fn differs(site: &Site<'_>, fd: BorrowedFd<'_>, node: &Node, seen: &Seen) -> bool {
    let owner = site.ids.owners.get(node.owner as usize).copied();
    let plain = owner.is_some_and(|owner| owner != seen.owner)
        || (node.role != Role::Symlink && node.mode & 0o7777 != seen.mode)
        || node.mtime != seen.mtime;
    if plain {
        return true;
    }
    let wanted = site.work.tree.extra(node).map(|extra| extra.xattrs.as_slice()).unwrap_or_default();
    let wrong = |(name, value): &(Vec<u8>, Value)| match value {
        Value::Here(bytes) => {
            let mut bytes = bytes.clone();
            if is_acl(name) {
                site.ids.map_acl(&mut bytes);
            }
            attribute(fd, name) != Some(bytes)
        }
        // Those stored as chunks are compared beside the content; those lost cannot be.
        Value::Fetched(_) | Value::Lost => false,
    };
    !surplus(fd, wanted).is_empty() || wanted.iter().any(wrong)
}

/// Attributes that are there and should not be.
fn surplus(fd: BorrowedFd<'_>, wanted: &[(Vec<u8>, Value)]) -> Vec<Vec<u8>> {
    let Ok(names) = xattr::list_deref(proc_name(fd)) else { return Vec::new() };
    names
        .map(|name| name.as_bytes().to_vec())
        .filter(|name| !wanted.iter().any(|(wanted, _)| wanted == name))
        .filter(|name| {
            let hosts = HOSTS_OWN.iter().any(|own| name.starts_with(own));
            let acl = name == ACL_ACCESS || name == ACL_DEFAULT;
            !hosts && (acl || !name.starts_with(b"system."))
        })
        .collect()
}

/// The value of an attribute; none where there is none, or it cannot be read.
pub(super) fn attribute(fd: BorrowedFd<'_>, name: &[u8]) -> Option<Vec<u8>> {
    xattr::get_deref(proc_name(fd), OsStr::from_bytes(name)).ok().flatten()
}

/// What names of one file have in common.
pub(super) fn id(fd: BorrowedFd<'_>) -> Result<FileId, Trouble> {
    look(fd, b"").map(|seen| seen.id).map_err(|errno| Trouble::Errno("look at it", errno))
}

/// The type that the kernel has for a kind of special file.
pub(in super::super) fn file_type(kind: EntryKind) -> FileType {
    match kind {
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::Char => FileType::CharacterDevice,
        EntryKind::Block => FileType::BlockDevice,
        _ => FileType::Unknown,
    }
}
