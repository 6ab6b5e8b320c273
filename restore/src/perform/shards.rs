//! A target into which several processes restore, each a shard, and one that finishes.
//!
//! The first shard marks an empty target with snapshot, number of shards and digest of the division; every other must
//! agree with that. What keeps them apart:
//! - Each shard locks a file of its own beside the mark. A file's lock is seen by all hosts that share a file system
//!   over NFS, a directory's is not.
//! - On one host every shard holds the target's lock, too, shared; whoever finishes and whoever restores otherwise hold
//!   it alone.
//! - Whoever finishes holds the locks of all shards.
//!
//! A shard that is complete leaves a mark, made when all it wrote is on the disk. So whoever finishes may take a file
//! whose length and time are right for right, unread, until it has written files itself.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use lifeboat_repo::ids::{Label, RunId};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::beneath::{PRIVATE_FILE, Root, drop_default_acl};
use super::marker::{
    Fetched, Marker, OURS, Said, done_name, fetched_by, missing, named_in, read_mark, replace, shard_name,
};
use super::target::{Allowed, State, Target, lock, not_empty, refuse_live, stranger_in};
use crate::error::RestoreError;
use crate::plan::Plan;
use crate::shard::Division;

/// How many names of a mark are tried: a snapshot of a target has one of its own.
const NAMES_MAX: usize = 16;

/// What is being done when a lock is made.
const LOCK: &str = "lock a shard of it";

/// A target that is being restored in shards, as its mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharded {
    /// The component.
    pub component: Label,
    /// The snapshot that the first shard chose.
    pub run: RunId,
    /// How many shards there are.
    pub of: u32,
    /// Those that are not complete, counted from 1.
    pub missing: Vec<u32>,
    target: String,
}

/// What a process that has to do with shards holds while it works.
pub(super) struct Held {
    /// This shard; none for whoever finishes.
    number: Option<u32>,
    /// Released when they are dropped.
    _locks: Vec<OwnedFd>,
    /// Whether files are right whose length and time are: they were brought to the disk.
    pub(super) trusted: bool,
    /// What complete shards fetched.
    pub(super) fetched: Fetched,
}

/// What the mark in a target says of shards; none where it is not there, or is not restored in shards.
///
/// # Errors
/// It cannot be opened.
pub fn sharded(target: &Path) -> Result<Option<Sharded>, RestoreError> {
    let Some(root) = Root::existing(target)? else { return Ok(None) };
    // The one in the restored tree comes first, the one of the restore last.
    let names = (0..NAMES_MAX).map(|dashes| [OURS, "-".repeat(dashes).as_bytes()].concat());
    let found = names.filter_map(|name| read_mark(&root, &name).map(|text| (name, text))).last();
    let Some((name, text)) = found else { return Ok(None) };
    let Some(said) = Said::parse(&text) else { return Ok(None) };
    let words = said.what.strip_prefix("component ").and_then(|rest| rest.split_once(" snapshot "));
    let parsed = words.and_then(|(component, run)| Some((component.parse().ok()?, run.parse().ok()?)));
    Ok(parsed.map(|(component, run)| Sharded {
        component,
        run,
        of: said.of,
        missing: if said.finishing { Vec::new() } else { missing(&root, &name, said.of) },
        target: root.shown(),
    }))
}

impl Sharded {
    /// Whether it can be finished.
    ///
    /// # Errors
    /// Shards are not complete: which.
    pub fn check_complete(&self) -> Result<(), RestoreError> {
        refuse_missing(&self.target, &self.missing, self.of)
    }
}

/// Opens the target of a shard, or of whoever finishes.
///
/// # Errors
/// It may not be restored into, another process does the same, or shards are not complete.
pub(super) fn open(
    path: &Path,
    plan: &Plan,
    division: &Division,
    allowed: Allowed,
) -> Result<Target, RestoreError> {
    let mut marker = Marker::new(plan);
    let mut notes = Vec::new();
    let (root, state, held) = match division.number {
        Some(_) if allowed.full => {
            return Err(RestoreError::refused(
                path.display().to_string(),
                "shards are restored into an empty directory, not in place",
            ));
        }
        Some(number) => {
            let (root, _) = Root::open(path)?;
            let (state, held) = join(&root, &mut marker, number, allowed, &mut notes)?;
            (root, state, held)
        }
        None => {
            let root = Root::existing(path)?.ok_or_else(|| no_shards(&path.display().to_string()))?;
            let held = gather(&root, &mut marker, division.of)?;
            (root, State::Unfinished, held)
        }
    };
    Ok(Target { root, state, marker, marked: true, notes, locks: Vec::new(), shards: Some(held) })
}

/// As [`open`], for somebody who changes nothing.
///
/// # Errors
/// As [`open`].
pub(super) fn look(path: &Path, plan: &Plan) -> Result<(), RestoreError> {
    let Some(root) = Root::existing(path)? else { return Ok(()) };
    check(&root, &mut Marker::new(plan)).map(|_| ())
}

/// Joins what is being restored, or begins it.
fn join(
    root: &Root,
    marker: &mut Marker,
    number: u32,
    allowed: Allowed,
    notes: &mut Vec<String>,
) -> Result<(State, Held), RestoreError> {
    lock(root, FlockOperation::NonBlockingLockShared)?;
    refuse_live(root, allowed)?;
    check(root, marker)?;
    let (fd, made) = lock_shard(root, marker, number, true)?;
    let begun = begin(root, marker, notes);
    if begun.is_err() && made {
        // What was refused leaves nothing behind.
        let _ = unlinkat(&root.fd, shard_name(&marker.name, number).as_slice(), AtFlags::empty());
    }
    begun?;
    let done = fetched_by(root, &marker.name, number);
    let state = if made { State::Empty } else { State::Unfinished };
    let held =
        Held { number: Some(number), _locks: vec![fd], trusted: done.is_some(), fetched: Fetched::default() };
    Ok((state, held))
}

/// Marks an empty target, unless another shard did. Looks again at what is there: whoever finished meanwhile, or began
/// something else, was not kept out before.
fn begin(root: &Root, marker: &mut Marker, notes: &mut Vec<String>) -> Result<(), RestoreError> {
    if check(root, marker)? {
        return Ok(());
    }
    let failed = |error| RestoreError::io(root.shown(), "drop its default ACL", error);
    if drop_default_acl(root.fd.as_fd()).map_err(failed)? {
        notes.push("its default ACL was dropped, so that nothing restored inherits it".to_owned());
    }
    marker.put_first(root)?;
    if check(root, marker)? { Ok(()) } else { Err(no_shards(&root.shown())) }
}

/// Whether the target is marked as this restore's; not, where it is empty.
///
/// # Errors
/// It is another's, is being finished, or holds something.
fn check(root: &Root, marker: &mut Marker) -> Result<bool, RestoreError> {
    if marker.read(root).is_none() {
        let Some(name) = stranger_in(root)? else { return Ok(false) };
        // Whoever made that marked the target first.
        if marker.read(root).is_none() {
            return Err(not_empty(root, &name));
        }
    }
    if agree(root, marker)? {
        return Err(RestoreError::refused(
            root.shown(),
            "its shards are being brought together; --finish it",
        ));
    }
    Ok(true)
}

/// Whether the mark in the target says that it is being finished.
///
/// # Errors
/// It is not the mark of this restore: what differs.
fn agree(root: &Root, marker: &mut Marker) -> Result<bool, RestoreError> {
    let Some(text) = marker.read(root) else { return Err(no_shards(&root.shown())) };
    let refused = |why: String| Err(RestoreError::refused(root.shown(), why));
    let (Some(found), Some(own)) = (Said::parse(&text), marker.said()) else {
        return refused(format!(
            "a restore that is not in shards left it unfinished ({}); run that one again to finish it, or name another \
             directory",
            named_in(&text)
        ));
    };
    if found.what != own.what {
        return refused(format!(
            "shards of another snapshot are restored into it ({}), not {}; name that one by \
             --snapshot, or another directory",
            named_in(&text),
            own.what
        ));
    }
    if found.of != own.of {
        return refused(format!(
            "it is being restored in {} shards, not {}; say the same number, or name another directory",
            found.of, own.of
        ));
    }
    if found.asked != own.asked {
        return refused(
            "its shards are of other paths or tenants; give them the same --path and --tenant".into(),
        );
    }
    if found.plan != own.plan {
        return refused(
            "this process reads other entries in the snapshot than the first shard did, so that their parts would not \
             fit together: a key or a manifest cannot be had here, or could not be had there; see `lifeboat verify`, or \
             restore all of it with --in-place"
                .into(),
        );
    }
    Ok(found.finishing)
}

/// Holds all that complete shards left, for whoever finishes.
fn gather(root: &Root, marker: &mut Marker, of: u32) -> Result<Held, RestoreError> {
    // First by looking, so that those are named which still run and hold a lock.
    let finishing = agree(root, marker)?;
    if !finishing {
        refuse_missing(&root.shown(), &missing(root, &marker.name, of), of)?;
    }
    lock(root, FlockOperation::NonBlockingLockExclusive)?;
    let locks = lock_all(root, marker, of)?;
    let finishing = agree(root, marker)?;
    if !finishing {
        refuse_missing(&root.shown(), &missing(root, &marker.name, of), of)?;
    }
    let mut fetched = Fetched::default();
    for one in (1..=of).filter_map(|number| fetched_by(root, &marker.name, number)) {
        fetched.segments += one.segments;
        fetched.bytes += one.bytes;
    }
    Ok(Held { number: None, _locks: locks, trusted: !finishing, fetched })
}

/// Locks every shard that was begun.
///
/// # Errors
/// One is being restored.
pub(super) fn lock_all(root: &Root, marker: &Marker, of: u32) -> Result<Vec<OwnedFd>, RestoreError> {
    let mut locks = Vec::new();
    for number in 1..=of {
        match lock_shard(root, marker, number, false) {
            Ok((fd, _)) => locks.push(fd),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(locks)
}

fn is_absent(error: &RestoreError) -> bool {
    use crate::error::RestoreErrorKind;
    matches!(&error.kind, RestoreErrorKind::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound)
}

/// Locks the file of a shard; whether it was made now.
fn lock_shard(
    root: &Root,
    marker: &Marker,
    number: u32,
    make: bool,
) -> Result<(OwnedFd, bool), RestoreError> {
    let failed = |errno| RestoreError::io(root.shown(), LOCK, errno);
    let name = shard_name(&marker.name, number);
    // Over NFS a lock of one's own needs a file that is open for writing.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let new = || openat(&root.fd, name.as_slice(), flags | OFlags::CREATE | OFlags::EXCL, PRIVATE_FILE);
        let (fd, made) = match if make { new() } else { Err(Errno::EXIST) } {
            Ok(fd) => (fd, true),
            Err(Errno::EXIST) => match openat(&root.fd, name.as_slice(), flags, Mode::empty()) {
                Ok(fd) => (fd, false),
                // Whoever finished has just removed it.
                Err(Errno::NOENT) if make => continue,
                Err(errno) => return Err(failed(errno)),
            },
            Err(errno) => return Err(failed(errno)),
        };
        // A file system without locks cannot tell.
        if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            return Err(RestoreError::refused(
                root.shown(),
                format!(
                    "another process is restoring shard {number}; let it end, or stop it, then run this again"
                ),
            ));
        }
        let own = fstat(&fd).map_err(failed)?;
        match statat(&root.fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) => return Ok((fd, made)),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

fn refuse_missing(target: &str, missing: &[u32], of: u32) -> Result<(), RestoreError> {
    let Some(first) = missing.first() else { return Ok(()) };
    let named: Vec<String> = missing.iter().map(|number| format!("{number}/{of}")).collect();
    let (what, are) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
    Err(RestoreError::refused(
        target,
        format!(
            "{what} {} {are} not complete; run each with --shard, as in `--shard {first}/{of}`, then --finish again",
            named.join(", ")
        ),
    ))
}

fn no_shards(target: &str) -> RestoreError {
    RestoreError::refused(
        target,
        "nothing is being restored into it in shards; restore every shard first, as in `--shard 1/16`",
    )
}

impl Held {
    /// Whether this is whoever finishes.
    pub(super) fn finishes(&self) -> bool {
        self.number.is_none()
    }

    /// Takes back, before anything is changed, what would vouch for it.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn begin(&self, root: &Root, marker: &Marker, writes_files: bool) -> Result<(), RestoreError> {
        match self.number {
            Some(number) => {
                match unlinkat(&root.fd, done_name(&marker.name, number).as_slice(), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(RestoreError::io(root.shown(), "take back that it is complete", errno)),
                }
            }
            None if writes_files => marker.put_finishing(root),
            None => Ok(()),
        }
    }

    /// Notes that this shard is complete and on the disk.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn complete(
        &self,
        root: &Root,
        marker: &Marker,
        fetched: Fetched,
    ) -> Result<(), RestoreError> {
        let Some(number) = self.number else { return Ok(()) };
        let text = format!("complete {} {}\n", fetched.segments, fetched.bytes.0);
        let scratch = [&shard_name(&marker.name, number), b".new".as_slice()].concat();
        replace(root, &scratch, &done_name(&marker.name, number), text.as_bytes())
    }
}
