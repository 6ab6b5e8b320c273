//! The marks of restores in their target: files that say what is being restored.
//!
//! The mark of a restore is made before the first change and removed when all is on the disk. That of a restore in
//! shards says so, in how many, and how they divide the work; beside it each shard has a file that it locks, and another
//! once it is complete.

use std::fmt::Write;
use std::os::fd::AsFd;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::format::text;
use lifeboat_repo::units::Bytes;
use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, fchmod, fstat, fsync, linkat, openat, renameat, renameat_with,
    unlinkat,
};
use rustix::io::{Errno, read};

use super::beneath::{PRIVATE_FILE, Root};
use super::files::write_all_at;
use crate::error::RestoreError;
use crate::plan::Plan;
use crate::tree::{ROOT, Tree};

/// How the names begin of what a restore itself keeps in its target.
pub(super) const OURS: &[u8] = b".lifeboat-restore";

/// A marker is far shorter; what is longer is none.
const MARKER_MAX: usize = 4096;

/// A mark of a complete shard is shorter.
const DONE_MAX: usize = 256;

/// What is being done when a mark is written.
const MARK: &str = "mark it as being restored";

/// The last line of a mark while shards are brought together.
const FINISHING: &str = "finishing";

/// What says that a restore is under way or was cut off.
pub(super) struct Marker {
    pub(super) name: Vec<u8>,
    text: String,
    /// The name under which it is written before it has its own.
    scratch: Vec<u8>,
    /// Whether it lies in the target.
    there: bool,
}

/// What the mark of a restore in shards says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said<'t> {
    /// Component and snapshot.
    pub(super) what: &'t str,
    pub(super) asked: &'t str,
    pub(super) of: u32,
    pub(super) plan: &'t str,
    pub(super) finishing: bool,
}

/// The component and run that a marker names.
pub(super) fn named_in(marker: &str) -> String {
    let words: Vec<_> = marker.lines().filter(|line| line.starts_with("component ")).collect();
    text::display(words.join(" ").as_bytes()).into_owned()
}

/// What was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) segments: u64,
    pub(super) bytes: Bytes,
}

impl Marker {
    pub(super) fn new(plan: &Plan) -> Self {
        let division = plan.division.as_ref();
        let name = division.map_or_else(|| mark_name(&plan.work.tree), |division| division.mark.clone());
        let mut asked = String::new();
        for path in &plan.asked.paths {
            // Writing to a String cannot fail.
            let _ = writeln!(asked, "path {}", text::escape(path));
        }
        for tenant in &plan.asked.tenants {
            let _ = writeln!(asked, "tenant {tenant}");
        }
        let mut text = String::from(match division {
            Some(_) => {
                "This directory is being restored in shards. Run each again to complete it, then --finish.\n"
            }
            None => "This directory is being restored. Run the same restore again to finish it.\n",
        });
        let _ = writeln!(text, "component {} snapshot {}", plan.component, plan.run);
        let _ = writeln!(text, "asked {}", hex::encode(sha256(asked.as_bytes())));
        if let Some(division) = division {
            let _ = writeln!(text, "shards {}\nplan {}", division.of, hex::encode(division.digest));
        }
        let own = division.and_then(|division| division.number).map(|number| shard_name(&name, number));
        let scratch = [own.as_deref().unwrap_or(OURS), b".new"].concat();
        Self { name, text, scratch, there: false }
    }

    /// Whether this is what it says.
    pub(super) fn is_own(&self, text: &str) -> bool {
        text == self.text
    }

    /// What it says; nothing but of shards.
    pub(super) fn said(&self) -> Option<Said<'_>> {
        Said::parse(&self.text)
    }

    /// Whether a name in the root is that of a mark, this one or those of shards beside it.
    pub(super) fn is_mark(&self, name: &[u8]) -> bool {
        name == self.name || name == self.scratch || is_of_shard(&self.name, name)
    }

    /// Makes it, unless another made one first: it is whole or not there.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn put_first(&mut self, root: &Root) -> Result<(), RestoreError> {
        write_new(root, &self.scratch, self.text.as_bytes())?;
        let (new, name) = (self.scratch.as_slice(), self.name.as_slice());
        let linked = match linkat(&root.fd, new, &root.fd, name, AtFlags::empty()) {
            // Not every file system has further names.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                renameat_with(&root.fd, new, &root.fd, name, RenameFlags::NOREPLACE)
            }
            outcome => outcome,
        };
        let _ = unlinkat(&root.fd, new, AtFlags::empty());
        match linked {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(RestoreError::io(root.shown(), MARK, errno)),
        }
    }

    /// Notes that whoever finishes changes files, or removes what shards left: from here on no shard may go on, and
    /// nothing is trusted unread any more.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn put_finishing(&self, root: &Root) -> Result<(), RestoreError> {
        let text = format!("{}{FINISHING}\n", self.text);
        replace(root, &self.scratch, &self.name, text.as_bytes())
    }

    /// Makes it, whole or not at all.
    ///
    /// # Errors
    /// The target cannot be written.
    pub(super) fn put(&mut self, root: &Root) -> Result<(), RestoreError> {
        if self.there {
            return Ok(());
        }
        replace(root, &self.scratch, &self.name, self.text.as_bytes())?;
        self.there = true;
        Ok(())
    }

    /// What lies in its place says; none where that is no marker.
    pub(super) fn read(&mut self, root: &Root) -> Option<String> {
        let found = read_mark(root, &self.name);
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
            let _ = unlinkat(&root.fd, self.scratch.as_slice(), AtFlags::empty());
            remove_shards(root, &self.name)?;
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

impl<'t> Said<'t> {
    /// None where the text is not the mark of a restore in shards.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let what = lines.next().filter(|line| line.starts_with("component "))?;
        let asked = lines.next()?.strip_prefix("asked ")?;
        let of = lines.next()?.strip_prefix("shards ")?.parse().ok()?;
        let plan = lines.next()?.strip_prefix("plan ")?;
        let finishing = match lines.next() {
            None => false,
            Some(FINISHING) => true,
            Some(_) => return None,
        };
        lines.next().is_none().then_some(Self { what, asked, of, plan, finishing })
    }
}

/// The name of the mark of a restore of a tree: one that nothing at the tree's root has.
pub(crate) fn mark_name(tree: &Tree) -> Vec<u8> {
    let mut name = OURS.to_vec();
    // A snapshot of a tree that was being restored has one of its own.
    let is_taken = |name: &[u8], there: &[u8]| there == name || is_of_shard(name, there);
    while tree.nodes().any(|(_, node)| node.parent == ROOT && is_taken(&name, tree.name(node))) {
        name.push(b'-');
    }
    name
}

/// The name of the file that a shard locks; others of it begin so.
pub(super) fn shard_name(mark: &[u8], number: u32) -> Vec<u8> {
    [mark, b".shard-", number.to_string().as_bytes()].concat()
}

/// Whether a name is one that shards use beside a mark of this name; not that of a file that they are making.
fn is_of_shard(mark: &[u8], name: &[u8]) -> bool {
    name.strip_prefix(mark).is_some_and(|rest| rest.starts_with(b".shard-")) && !name.ends_with(b".tmp")
}

/// What the mark of this name says; none where there is none.
pub(super) fn read_mark(root: &Root, name: &[u8]) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(&root.fd, name, flags, Mode::empty()).ok()?;
    let mut bytes = vec![0; MARKER_MAX];
    let length = read(&fd, bytes.as_mut_slice()).unwrap_or(0);
    bytes.truncate(length);
    String::from_utf8(bytes).ok().filter(|text| text.lines().count() == 3 || Said::parse(text).is_some())
}

/// The name of what a shard leaves when it is complete.
pub(super) fn done_name(mark: &[u8], number: u32) -> Vec<u8> {
    [&shard_name(mark, number), b".done".as_slice()].concat()
}

/// What a shard fetched; none where it is not complete.
pub(super) fn fetched_by(root: &Root, mark: &[u8], number: u32) -> Option<Fetched> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(&root.fd, done_name(mark, number).as_slice(), flags, Mode::empty()).ok()?;
    let mut bytes = vec![0; DONE_MAX];
    let length = read(&fd, bytes.as_mut_slice()).ok()?;
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    let (segments, fetched) = text.strip_prefix("complete ")?.strip_suffix('\n')?.split_once(' ')?;
    Some(Fetched { segments: segments.parse().ok()?, bytes: Bytes(fetched.parse().ok()?) })
}

/// Shards that are not complete.
pub(super) fn missing(root: &Root, mark: &[u8], of: u32) -> Vec<u32> {
    (1..=of).filter(|number| fetched_by(root, mark, *number).is_none()).collect()
}

/// Writes a mark, whole or not at all, in place of what has its name.
///
/// # Errors
/// The target cannot be written.
pub(super) fn replace(root: &Root, scratch: &[u8], name: &[u8], text: &[u8]) -> Result<(), RestoreError> {
    write_new(root, scratch, text)?;
    renameat(&root.fd, scratch, &root.fd, name).map_err(|errno| RestoreError::io(root.shown(), MARK, errno))
}

fn write_new(root: &Root, name: &[u8], text: &[u8]) -> Result<(), RestoreError> {
    let failed = |errno| RestoreError::io(root.shown(), MARK, errno);
    // What lies there may be a name of something else, which must not be written.
    match unlinkat(&root.fd, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&root.fd, name, flags, PRIVATE_FILE).map_err(failed)?;
    write_all_at(fd.as_fd(), text, 0)
        .map_err(|trouble| RestoreError::refused(root.shown(), trouble.words()))?;
    fsync(&fd).map_err(failed)
}

/// Removes what shards left beside a mark.
fn remove_shards(root: &Root, mark: &[u8]) -> Result<(), Errno> {
    for entry in Dir::read_from(&root.fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_of_shard(mark, name.to_bytes()) {
            unlinkat(&root.fd, name, AtFlags::empty())?;
        }
    }
    Ok(())
}
