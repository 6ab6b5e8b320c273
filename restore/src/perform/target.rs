//! The target before anything is written: empty, left unfinished by a restore, or holding something else.
//!
//! A *marker* lies in the target while a restore writes: a file that names the snapshot and what of it was asked for.
//! It is made before the first change and removed after everything is on the disk, so whatever cuts a restore off
//! leaves it there, and the same restore run again knows that it may go on. The target is locked from before it is
//! looked at until the end, so that two restores neither write nor judge what the other writes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use lifeboat_repo::format::text;
use rustix::fs::{Dir, FlockOperation, flock, fstat, stat};
use rustix::io::Errno;

use super::beneath::{LOST_AND_FOUND, Root, drop_default_acl};
use super::marker::{Marker, OURS, Said, named_in};
use super::shards::{self, Held};
use crate::error::RestoreError;
use crate::plan::Plan;

/// What a target holds before a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing.
    Empty,
    /// What a restore of the same left unfinished.
    Unfinished,
    /// Something else.
    Full,
}

/// A target, ready to be restored into.
pub(super) struct Target {
    pub(super) root: Root,
    pub(super) state: State,
    pub(super) marker: Marker,
    /// Whether something of an interrupted restore lies in it, this one's or another's.
    pub(super) marked: bool,
    /// What a person should know of it.
    pub(super) notes: Vec<String>,
    /// Locks of shards that are turned into something else, kept until the end.
    pub(super) locks: Vec<OwnedFd>,
    /// What it takes to restore a shard, or to finish; none for a restore that is not in shards.
    pub(super) shards: Option<Held>,
}

/// How a target may be found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// It may hold anything.
    pub(super) full: bool,
    /// It may be the root of this system or of a running process.
    pub(super) live: bool,
}

/// Opens the target; makes it where it is not there.
///
/// # Errors
/// It holds something and may not, another restore runs in it, or it cannot be opened.
pub(super) fn open(path: &Path, plan: &Plan, allowed: Allowed) -> Result<Target, RestoreError> {
    if let Some(division) = &plan.division {
        return shards::open(path, plan, division, allowed);
    }
    let (root, made) = Root::open(path)?;
    lock(&root, FlockOperation::NonBlockingLockExclusive)?;
    let mut target = look(root, plan, allowed, made)?;
    if target.state == State::Empty {
        let failed = |error| RestoreError::io(target.root.shown(), "drop its default ACL", error);
        if drop_default_acl(target.root.fd.as_fd()).map_err(failed)? {
            let note = "its default ACL was dropped, so that nothing restored inherits it";
            target.notes.push(note.to_owned());
        }
    }
    Ok(target)
}

/// As [`open`], for somebody who changes nothing; none where the target is not there.
///
/// # Errors
/// As [`open`].
pub(super) fn peek(path: &Path, plan: &Plan, allowed: Allowed) -> Result<Option<Target>, RestoreError> {
    match Root::existing(path)? {
        Some(root) => {
            // Nobody is kept waiting by one who only looks.
            lock(&root, FlockOperation::NonBlockingLockShared)?;
            lock(&root, FlockOperation::Unlock)?;
            look(root, plan, allowed, false).map(Some)
        }
        None => Ok(None),
    }
}

/// Locks the target as a whole, against other processes of this host.
///
/// # Errors
/// Another restore holds it.
pub(super) fn lock(root: &Root, how: FlockOperation) -> Result<(), RestoreError> {
    match flock(&root.fd, how) {
        Err(Errno::WOULDBLOCK) => Err(RestoreError::refused(
            root.shown(),
            "another restore is writing into it; let it end, or stop it, then run this again",
        )),
        // A file system without locks cannot tell.
        _ => Ok(()),
    }
}

fn look(root: Root, plan: &Plan, allowed: Allowed, made: bool) -> Result<Target, RestoreError> {
    let mut marker = Marker::new(plan);
    let (state, marked, locks) =
        if made { (State::Empty, false, Vec::new()) } else { judge(&root, &mut marker, allowed)? };
    refuse_live(&root, allowed)?;
    Ok(Target { root, state, marker, marked, notes: Vec::new(), locks, shards: None })
}

/// # Errors
/// It is the root of something that runs, and that is not allowed.
pub(super) fn refuse_live(root: &Root, allowed: Allowed) -> Result<(), RestoreError> {
    if !allowed.live
        && let Some(whose) = running_from(root)
    {
        return Err(RestoreError::refused(
            root.shown(),
            format!(
                "it is the root of {whose}, which runs from it; restore elsewhere and move it there from a rescue system, \
                 or say --in-place --over-live-root"
            ),
        ));
    }
    Ok(())
}

/// Something in the target that no restore keeps there.
///
/// # Errors
/// It cannot be listed.
pub(super) fn stranger_in(root: &Root) -> Result<Option<Vec<u8>>, RestoreError> {
    Ok(names_in(root)?.into_iter().rfind(|name| is_strange(name)))
}

fn names_in(root: &Root) -> Result<Vec<Vec<u8>>, RestoreError> {
    let names = Dir::read_from(&root.fd).and_then(|dir| {
        dir.map(|entry| entry.map(|entry| entry.file_name().to_bytes().to_vec()))
            .collect::<Result<Vec<_>, _>>()
    });
    names.map_err(|errno| RestoreError::io(root.shown(), "list it", errno))
}

/// What a restore was about to mark when it was cut off is no content.
fn is_strange(name: &[u8]) -> bool {
    name != b"." && name != b".." && name != LOST_AND_FOUND && !name.starts_with(OURS)
}

/// The target holds something, and may not.
pub(super) fn not_empty(root: &Root, name: &[u8]) -> RestoreError {
    RestoreError::refused(
        root.shown(),
        format!(
            "it is not empty (it holds {:?}); name an empty directory or a new one, or give --in-place to bring what is \
             there to the snapshot's state",
            text::display(name)
        ),
    )
}

type Judged = (State, bool, Vec<OwnedFd>);

fn judge(root: &Root, marker: &mut Marker, allowed: Allowed) -> Result<Judged, RestoreError> {
    let names = names_in(root)?;
    let ours = names.iter().any(|name| name.starts_with(OURS));
    let stranger = names.iter().rfind(|name| is_strange(name));
    let found = if names.contains(&marker.name) { marker.read(root) } else { None };
    let mut locks = Vec::new();
    if let Some(said) = found.as_deref().and_then(Said::parse) {
        if !allowed.full {
            return Err(in_shards(root, &said));
        }
        locks = shards::lock_all(root, marker, said.of)?;
    }
    match (found, stranger) {
        (Some(found), _) if marker.is_own(&found) => Ok((State::Unfinished, ours, locks)),
        (_, Some(_)) if allowed.full => Ok((State::Full, ours, locks)),
        (Some(found), Some(_)) => Err(RestoreError::refused(
            root.shown(),
            format!(
                "another restore left it unfinished ({}); run that one again to finish it, empty the directory, or \
                 turn it into this snapshot with --in-place",
                named_in(&found)
            ),
        )),
        (None, Some(name)) => Err(not_empty(root, name)),
        (_, None) => Ok((State::Empty, ours, locks)),
    }
}

fn in_shards(root: &Root, said: &Said<'_>) -> RestoreError {
    RestoreError::refused(
        root.shown(),
        format!(
            "it is being restored in {} shards ({}); run those and then --finish, empty the directory, or turn it into \
             this snapshot with --in-place",
            said.of, said.what
        ),
    )
}

/// Who runs from the target as its root: this system, or a process in a container or chroot.
fn running_from(root: &Root) -> Option<String> {
    let own = fstat(&root.fd).ok()?;
    let same =
        |path: &str| stat(path).is_ok_and(|other| (other.st_dev, other.st_ino) == (own.st_dev, own.st_ino));
    if same("/") {
        return Some("this system".into());
    }
    // Roots of others' processes are seen by root only, who alone could overwrite them.
    let processes = std::fs::read_dir("/proc").ok()?;
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|number| same(&format!("/proc/{number}/root")))
        .map(|number| format!("process {number}"))
        .next()
}
