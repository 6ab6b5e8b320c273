//! Owner, attributes, ACLs, mode, time, in the order in which none undoes another.
//!
//! A change of owner clears setuid and capabilities, so it comes first. Attributes of a read-only file cannot be
//! set without root, so they come before the mode. An ACL sets bits of the mode, so the mode comes after it;
//! the two agree, since the mode was read beside the ACL. Times come last: nothing after them changes anything.
//!
//! What this user or machine cannot set is a finding, not an error: the content is there.

use std::borrow::Cow;
use std::os::fd::{AsRawFd, BorrowedFd};

use lifeboat_repo::format::text;
use lifeboat_repo::units::Timestamp;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmod, chownat, fchmod, fchown,
    fsetxattr, futimens, setxattr, utimensat,
};
use rustix::io::Errno;

use super::site::Site;
use super::values::{HELD_MAX, Slot};
use crate::ids::{ACL_ACCESS, ACL_DEFAULT};
use crate::report::Severity;
use crate::tree::{Extra, Node, ROOT, Role, Value};

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// How an entry is held while its metadata is set.
pub(super) enum Handle<'f> {
    /// Open for reading or writing.
    File(BorrowedFd<'f>),
    /// Held by `O_PATH`: links, fifos, sockets and devices are not opened. What the kernel has no call for by
    /// such a descriptor goes through its name in `/proc`.
    Held(BorrowedFd<'f>),
}

/// Sets everything a node says of itself.
pub(super) fn apply(site: &Site<'_>, handle: &Handle<'_>, number: u32, node: &Node) {
    let warn = |what: &dyn Fn() -> String| site.find(Severity::Warning, number, what);
    let mut mode = node.mode & 0o7777;
    let dropped = set_owner(site, handle, number, node);
    mode &= !dropped;
    if let Some(extra) = site.work.tree.extra(node) {
        // ACLs after everything that may clear them.
        for acls in [false, true] {
            set_xattrs(site, handle, number, extra, acls);
        }
    }
    if node.role != Role::Symlink
        && let Err(errno) = handle.chmod(Mode::from_raw_mode(mode))
    {
        warn(&|| format!("its mode {mode:04o} could not be set: {errno}"));
    }
    if let Err(errno) = handle.touch(node.mtime) {
        warn(&|| format!("its time could not be set: {errno}"));
    }
}

/// Sets owner and group; gives the bits of the mode that would now speak for somebody else.
fn set_owner(site: &Site<'_>, handle: &Handle<'_>, number: u32, node: &Node) -> u32 {
    let Some((uid, gid)) = site.ids.owners.get(node.owner as usize).copied() else { return 0 };
    // The target itself may have been there before.
    if number != ROOT && site.owner.get() == Some(&(uid, gid)) {
        return 0;
    }
    give(site, handle, number, node, (uid, gid))
}

/// Gives an entry to an owner; gives the bits of the mode that would now speak for somebody else.
pub(super) fn give(
    site: &Site<'_>,
    handle: &Handle<'_>,
    number: u32,
    node: &Node,
    (uid, gid): (u32, u32),
) -> u32 {
    let valid = |id: u32| (id != u32::MAX).then_some(id);
    let (user, group) = (valid(uid).map(Uid::from_raw), valid(gid).map(Gid::from_raw));
    let outcome = match (user, group) {
        (Some(_), Some(_)) => handle.chown(user, group),
        _ => Err(Errno::INVAL),
    };
    let Err(errno) = outcome else { return 0 };
    // Whoever may not give a file away may still give it to a group of his own.
    let group_set = group.is_some() && handle.chown(None, group).is_ok();
    let speaks = if group_set { SET_UID } else { SET_UID | SET_GID };
    let dropped = if matches!(node.role, Role::Dir) { 0 } else { node.mode & speaks };
    site.find(Severity::Warning, number, || {
        let bits = if dropped == 0 {
            ""
        } else {
            "; setuid and setgid were left out, since they would speak for another"
        };
        format!("its owner {uid}:{gid} could not be set: {errno}{bits}")
    });
    dropped
}

fn set_xattrs(site: &Site<'_>, handle: &Handle<'_>, number: u32, extra: &Extra, acls: bool) {
    for (name, value) in extra.xattrs.iter().filter(|(name, _)| is_acl(name) == acls) {
        if let Some(bytes) = value_of(site, number, name, value) {
            set_xattr(site, handle, number, name, &bytes);
        }
    }
}

/// Sets one attribute; that this user or machine cannot is a finding.
pub(super) fn set_xattr(site: &Site<'_>, handle: &Handle<'_>, number: u32, name: &[u8], value: &[u8]) {
    if let Err(errno) = handle.set_xattr(name, value) {
        site.find(Severity::Warning, number, || {
            format!("its attribute {} could not be set: {errno}", text::display(name))
        });
    }
}

pub(super) fn is_acl(name: &[u8]) -> bool {
    name == ACL_ACCESS || name == ACL_DEFAULT
}

/// The value an attribute gets on this host, ids in ACLs mapped. One that cannot be had is a finding. A fetched value
/// can be asked for once.
pub(super) fn value_of<'v>(
    site: &Site<'_>,
    number: u32,
    name: &[u8],
    value: &'v Value,
) -> Option<Cow<'v, [u8]>> {
    let missing = |why: &str| {
        site.find(Severity::Missing, number, || {
            format!("the value of its attribute {} {why}", text::display(name))
        });
        None
    };
    let mut bytes = match value {
        Value::Here(bytes) => Cow::Borrowed(bytes.as_slice()),
        Value::Fetched(at) => match site.values.take(*at) {
            Slot::Held(bytes) => Cow::Owned(bytes),
            Slot::NoRoom => {
                return missing(&format!(
                    "was left out, since {HELD_MAX} of such values waited to be set; restore this path by itself"
                ));
            }
            Slot::Empty | Slot::Lost => return missing("is lost"),
        },
        Value::Lost => return missing("is lost"),
    };
    if is_acl(name) {
        site.ids.map_acl(bytes.to_mut());
    }
    Some(bytes)
}

impl Handle<'_> {
    fn chown(&self, user: Option<Uid>, group: Option<Gid>) -> Result<(), Errno> {
        match self {
            Self::File(fd) => fchown(fd, user, group),
            Self::Held(fd) => chownat(fd, c"", user, group, AtFlags::EMPTY_PATH),
        }
    }

    pub(super) fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::File(fd) => fchmod(fd, mode),
            Self::Held(fd) => chmod(proc_name(*fd), mode),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        match self {
            Self::File(fd) => fsetxattr(fd, name, value, XattrFlags::empty()),
            Self::Held(fd) => setxattr(proc_name(*fd), name, value, XattrFlags::empty()),
        }
    }

    pub(super) fn touch(&self, moment: Timestamp) -> Result<(), Errno> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: moment.seconds(), tv_nsec: moment.nanos().into() },
        };
        match self {
            Self::File(fd) => futimens(fd, &times),
            Self::Held(fd) => utimensat(fd, c"", &times, AtFlags::EMPTY_PATH),
        }
    }
}

impl<'f> Handle<'f> {
    pub(super) fn fd(&self) -> BorrowedFd<'f> {
        match self {
            Self::File(fd) | Self::Held(fd) => *fd,
        }
    }
}

/// The name that leads to what a descriptor holds, whatever its own name means by now.
pub(super) fn proc_name(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
