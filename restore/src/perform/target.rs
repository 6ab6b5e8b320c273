//! The target before anything is written: empty, left unfinished by a restore, or holding something else.
//!
//! A *marker* lies in the target while a restore writes: a file that names the snapshot and what of it was asked for.
//! It is made before the first change and removed after everything is on the disk, so whatever cuts a restore off
//! leaves it there, and the same restore run again knows that it may go on. The target is locked from before it is
//! looked at until the end, so that two restores neither write nor judge what the other writes.

use std::fmt::Write;
use std::os::fd::AsFd;
use std::path::Path;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::format::text;
use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, fchmod, flock, fstat, openat, renameat, stat, unlinkat,
};
use rustix::io::{Errno, read};

use super::beneath::{LOST_AND_FOUND, PRIVATE_FILE, Root, drop_default_acl};
use super::files::write_all_at;
use crate::error::RestoreError;
use crate::plan::Plan;
use crate::tree::ROOT;

/// How the names begin of what a restore itself keeps in its target.
pub(super) const OURS: &[u8] = b".lifeboat-restore";

/// A marker is far shorter; what is longer is none.
const MARKER_MAX: usize = 4096;

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
}

/// What says that a restore is under way or was cut off.
pub(super) struct Marker {
    pub(super) name: Vec<u8>,
    text: String,
    /// Whether it lies in the target.
    there: bool,
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

fn lock(root: &Root, how: FlockOperation) -> Result<(), RestoreError> {
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
    let (state, marked) = if made { (State::Empty, false) } else { judge(&root, &mut marker, allowed)? };
    if !allowed.live
        && let Some(whose) = running_from(&root)
    {
        return Err(RestoreError::refused(
            root.shown(),
            format!(
                "it is the root of {whose}, which runs from it; restore elsewhere and move it there from a rescue system, \
                 or say --in-place --over-live-root"
            ),
        ));
    }
    Ok(Target { root, state, marker, marked, notes: Vec::new() })
}

fn judge(root: &Root, marker: &mut Marker, allowed: Allowed) -> Result<(State, bool), RestoreError> {
    let unread = |error: Errno| RestoreError::io(root.shown(), "list it", error);
    let (mut stranger, mut marked, mut ours) = (None, false, false);
    for entry in Dir::read_from(&root.fd).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name().to_bytes();
        marked |= name == marker.name;
        ours |= name.starts_with(OURS);
        // What a restore was about to mark when it was cut off is no content.
        if name != b"." && name != b".." && name != LOST_AND_FOUND && !name.starts_with(OURS) {
            stranger = Some(name.to_vec());
        }
    }
    let found = if marked { marker.read(root) } else { None };
    match (found, stranger) {
        (Some(found), _) if found == marker.text => Ok((State::Unfinished, ours)),
        (_, Some(_)) if allowed.full => Ok((State::Full, ours)),
        (Some(found), Some(_)) => Err(RestoreError::refused(
            root.shown(),
            format!(
                "another restore left it unfinished ({}); run that one again to finish it, empty the directory, or \
                 turn it into this snapshot with --in-place",
                named_in(&found)
            ),
        )),
        (None, Some(name)) => Err(RestoreError::refused(
            root.shown(),
            format!(
                "it is not empty (it holds {:?}); name an empty directory or a new one, or give --in-place to bring \
                 what is there to the snapshot's state",
                text::display(&name)
            ),
        )),
        (_, None) => Ok((State::Empty, ours)),
    }
}

/// The component and run that a marker names.
fn named_in(marker: &str) -> String {
    let words: Vec<_> = marker.lines().filter(|line| line.starts_with("component ")).collect();
    text::display(words.join(" ").as_bytes()).into_owned()
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

impl Marker {
    fn new(plan: &Plan) -> Self {
        let tree = &plan.work.tree;
        let mut name = OURS.to_vec();
        // A snapshot of a tree that was being restored has one of its own.
        while tree.nodes().any(|(_, node)| node.parent == ROOT && tree.name(node) == name) {
            name.push(b'-');
        }
        let mut asked = String::new();
        for path in &plan.asked.paths {
            // Writing to a String cannot fail.
            let _ = writeln!(asked, "path {}", text::escape(path));
        }
        for tenant in &plan.asked.tenants {
            let _ = writeln!(asked, "tenant {tenant}");
        }
        let mut text =
            String::from("This directory is being restored. Run the same restore again to finish it.\n");
        let _ = writeln!(text, "component {} snapshot {}", plan.component, plan.run);
        text.push_str("asked ");
        for byte in sha256(asked.as_bytes()) {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        Self { name, text, there: false }
    }

    /// Makes it, whole or not at all.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn put(&mut self, root: &Root) -> Result<(), RestoreError> {
        if self.there {
            return Ok(());
        }
        let failed = |errno| RestoreError::io(root.shown(), "mark it as being restored", errno);
        let new = [OURS, b".new"].concat();
        // What lies there may be a name of something else, which must not be written.
        match unlinkat(&root.fd, new.as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&root.fd, new.as_slice(), flags, PRIVATE_FILE).map_err(failed)?;
        write_all_at(fd.as_fd(), self.text.as_bytes(), 0)
            .map_err(|trouble| RestoreError::refused(root.shown(), trouble.words()))?;
        renameat(&root.fd, new.as_slice(), &root.fd, self.name.as_slice()).map_err(failed)?;
        self.there = true;
        Ok(())
    }

    /// What lies in its place says; none where that is no marker.
    fn read(&mut self, root: &Root) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&root.fd, self.name.as_slice(), flags, Mode::empty()).ok()?;
        let mut bytes = vec![0; MARKER_MAX];
        let length = read(&fd, bytes.as_mut_slice()).unwrap_or(0);
        bytes.truncate(length);
        let found = String::from_utf8(bytes).ok().filter(|text| text.lines().count() == 3);
        // That of another restore is replaced, if this one may go on at all.
        self.there = found.as_ref() == Some(&self.text);
        found
    }

    /// Removes it: the restore is done, but for the root's own time, which this changes and which is set again after.
    /// A kill between the two leaves that time wrong, and nothing else.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn remove(&mut self, root: &Root) -> Result<(), RestoreError> {
        let unlink = || {
            // One that was being made when a restore was cut off.
            let _ = unlinkat(&root.fd, [OURS, b".new"].concat().as_slice(), AtFlags::empty());
            unlinkat(&root.fd, self.name.as_slice(), AtFlags::empty())
        };
        let outcome = match unlink() {
            // What the snapshot says of the root may not let its own owner write.
            Err(Errno::ACCESS) => fstat(&root.fd).and_then(|stat| {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                fchmod(&root.fd, mode | Mode::WUSR | Mode::XUSR)?;
                let outcome = unlink();
                fchmod(&root.fd, mode)?;
                outcome
            }),
            outcome => outcome,
        };
        match outcome {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                Err(RestoreError::io(root.shown(), "remove the mark of an unfinished restore", errno))
            }
        }
    }
}
