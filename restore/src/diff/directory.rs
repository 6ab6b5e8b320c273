//! A snapshot beside a directory of this machine.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;
use std::path::Path;

use lifeboat_repo::crypto::hash::{ChunkIdKey, chunk_id};
use lifeboat_repo::format::manifest::{Entry, EntryKind, Xattr, XattrValue, order};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::KeyId;
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::units::Bytes;
use rustix::io::Errno;

use super::merged::Merged;
use super::{Aspect, Change, Compared, Difference, Side, changes, not_read, plain_kind};
use crate::content::{file_holds, holes_kept};
use crate::disk::{FileId, Met, Step, Walk};
use crate::error::RestoreError;
use crate::select::{Match, PathMatcher, Selection};
use crate::shares::{self, ManifestReader, OpenShare};

/// How closely a directory is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Against {
    /// Read every file, even where size and time agree.
    pub contents: bool,
    /// Whether a hole that has been filled with zeros counts as a difference.
    pub holes: bool,
}

/// Tells every selected entry in which a directory (the new side) differs from a snapshot (the old one), in the
/// order of paths.
///
/// A file whose size and time agree is taken to be the same unless [`Against::contents`] is set; where the time
/// alone differs it is read and compared by the chunk ids of the snapshot, so nothing is fetched for it. Entries
/// that the snapshot could not read are [`Change::Unread`]. Where tenants are selected, directories that only the
/// directory has are not told: those above a tenant's own are another's.
///
/// # Errors
/// What was asked for is on neither side, the directory cannot be listed, the store failed, or somebody asked to
/// stop.
pub fn with_directory(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
    directory: &Path,
    against: Against,
    observer: &dyn Observer,
    show: &mut dyn FnMut(&Difference),
) -> Result<Compared, RestoreError> {
    let matcher = PathMatcher::new(&selection.paths)?;
    let mut walk = Walk::begin(directory)?;
    let mut shares = shares::open(recovery, snapshot, selection, observer)?;
    observer.tell(Event::Phase("reading the index"));
    let map = shares::segments(recovery, snapshot, &shares)?;
    let mut reader = ManifestReader::new(recovery, &map)?;
    observer.tell(Event::Phase("comparing with the directory"));
    let compared = Compared { losses: std::mem::take(&mut shares.losses), ..Compared::default() };
    let mut work = Work {
        matcher,
        against,
        some_tenants: !selection.tenants.is_empty(),
        observer,
        firsts: HashMap::new(),
        compared,
        show,
    };
    let open: Vec<&OpenShare<'_>> = shares.open.iter().collect();
    let mut stored = Merged::begin(&open, &mut reader, &|| observer.cancelled())?;
    let (mut a, mut b) = (stored.next(&mut reader), walk.next());
    loop {
        if observer.cancelled() {
            return Err(RestoreError::cancelled());
        }
        let side = match (&a, &b) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            // Told where it comes up: what it hides from the comparison follows as removed.
            (_, Some(Step::Unread(..))) | (None, Some(_)) => Ordering::Greater,
            (Some((_, entry)), Some(Step::Met(met))) => order(&entry.path, &met.path),
        };
        let was = if side.is_le() { a.take() } else { None };
        let is = if side.is_ge() { b.take() } else { None };
        work.entries(was, is)?;
        if side.is_le() {
            a = stored.next(&mut reader);
        }
        if side.is_ge() {
            b = walk.next();
        }
    }
    let mut compared = work.compared;
    compared.losses.append(&mut stored.losses);
    if !work.matcher.matched() && compared.losses.is_empty() {
        return Err(RestoreError::refused(
            format!("snapshot {} of {}", snapshot.run, snapshot.component),
            "neither it nor the directory holds anything at the paths given; `lifeboat ls` shows what there is",
        ));
    }
    Ok(compared)
}

struct Work<'w> {
    matcher: PathMatcher,
    against: Against,
    some_tenants: bool,
    observer: &'w dyn Observer,
    /// The first name met of each file with several, for each tenant: names are never shared between tenants.
    firsts: HashMap<(KeyId, FileId), Vec<u8>>,
    compared: Compared,
    show: &'w mut dyn FnMut(&Difference),
}

impl Work<'_> {
    fn entries(
        &mut self,
        was: Option<(&OpenShare<'_>, Entry)>,
        is: Option<Step>,
    ) -> Result<(), RestoreError> {
        let path = match (&was, &is) {
            (Some((_, entry)), _) => entry.path.clone(),
            (None, Some(Step::Met(met))) => met.path.clone(),
            (None, Some(Step::Unread(path, _))) => path.clone(),
            (None, None) => return Ok(()),
        };
        if self.matcher.judge(&path) != Match::Selected {
            return Ok(());
        }
        let (old, mut new) = (was.as_ref().and_then(|(_, entry)| Side::of(entry)), None);
        let unread = was.as_ref().and_then(|(_, entry)| not_read(entry));
        let change = match (&was, is) {
            (_, Some(Step::Unread(_, why))) => Change::Unread(why),
            (Some((one, entry)), Some(Step::Met(met))) => {
                new = Side::of(&as_entry(&met));
                let change = match unread {
                    Some(unread) => unread,
                    None => self.pair(one, entry, *met)?,
                };
                if matches!(&change, Change::Changed(aspects) if aspects.is_empty()) {
                    self.compared.same += 1;
                    return Ok(());
                }
                change
            }
            (None, Some(Step::Met(met))) => {
                // A stream's manifest holds no root: where it was restored to is no entry that came beside it.
                if met.path == b"." || (self.some_tenants && met.kind == EntryKind::Dir) {
                    return Ok(());
                }
                new = Side::of(&as_entry(&met));
                Change::Added
            }
            (_, None) => unread.unwrap_or(Change::Removed),
        };
        let tenant = was.map(|(one, _)| one.key.tenant.clone());
        let difference = Difference { tenant, path, change, old, new };
        self.compared.count(&difference);
        (self.show)(&difference);
        Ok(())
    }

    fn pair(&mut self, one: &OpenShare<'_>, entry: &Entry, met: Met) -> Result<Change, RestoreError> {
        if plain_kind(entry.kind) != met.kind {
            return Ok(Change::Changed(vec![Aspect::Type]));
        }
        let mut living = as_entry(&met);
        if met.kind == EntryKind::Symlink {
            match met.target() {
                Ok(target) => living.tail.target = Some(target),
                Err(error) => return Ok(Change::Unread(format!("where it leads cannot be read: {error}"))),
            }
        }
        if met.kind == EntryKind::File && met.links > 1 {
            let slot = (one.share.key, met.file);
            match self.firsts.get(&slot) {
                Some(first) => living.tail.link = Some(first.clone()),
                None => {
                    self.firsts.insert(slot, met.path.clone());
                }
            }
        }
        let mut aspects = changes(entry, &living);
        if entry.kind == EntryKind::File {
            match self.file(one, entry, &met) {
                Ok(more) => aspects.extend(more),
                Err(Errno::CANCELED) => return Err(RestoreError::cancelled()),
                Err(error) => return Ok(Change::Unread(format!("it cannot be read: {error}"))),
            }
        } else if entry.size != met.size && met.kind == EntryKind::File {
            aspects.push(Aspect::Content);
        }
        // They are told with the first name of a file only.
        if entry.kind != EntryKind::Hardlink {
            match met.xattrs() {
                Ok(found) if xattrs_agree(&one.key.k_id, &entry.tail.xattrs, &found) => {}
                Ok(_) => aspects.push(Aspect::Xattrs),
                Err(error) => return Ok(Change::Unread(format!("its attributes cannot be read: {error}"))),
            }
        }
        aspects.sort_unstable();
        Ok(Change::Changed(aspects))
    }

    /// What differs in what a file holds.
    fn file(&self, one: &OpenShare<'_>, entry: &Entry, met: &Met) -> Result<Vec<Aspect>, Errno> {
        if entry.size != met.size {
            return Ok(vec![Aspect::Content]);
        }
        let mut aspects = Vec::new();
        let holes = self.against.holes && !entry.tail.holes.is_empty();
        if holes || self.against.contents || entry.metadata.mtime != met.metadata.mtime {
            let file = met.open()?;
            if !file_holds(file.as_fd(), &one.key.k_id, entry, self.observer)? {
                aspects.push(Aspect::Content);
            }
            if holes && !holes_kept(file.as_fd(), &entry.tail.holes, met.size.0, met.block)? {
                aspects.push(Aspect::Holes);
            }
            self.observer.tell(Event::Progress { items: 0, bytes: met.size });
        }
        self.observer.tell(Event::Progress { items: 1, bytes: Bytes::ZERO });
        Ok(aspects)
    }
}

/// What `statx` told, as a manifest would say it.
fn as_entry(met: &Met) -> Entry {
    Entry {
        path: met.path.clone(),
        kind: met.kind,
        metadata: met.metadata.clone(),
        size: met.size,
        tail: lifeboat_repo::format::manifest::Tail { device: met.device, ..Default::default() },
    }
}

/// Whether attributes found are those stored; long ones are compared by the ids of their chunks.
fn xattrs_agree(k_id: &ChunkIdKey, stored: &[Xattr], found: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let stored: BTreeMap<&[u8], &XattrValue> =
        stored.iter().map(|xattr| (xattr.name.as_slice(), &xattr.value)).collect();
    stored.len() == found.len()
        && found.iter().all(|(name, value)| match stored.get(name.as_slice()) {
            None => false,
            Some(XattrValue::Inline(stored)) => stored == value,
            Some(XattrValue::Chunks(chunks)) => {
                let mut rest = value.as_slice();
                let all = chunks.iter().all(|chunk| {
                    let Some((part, after)) = rest.split_at_checked(chunk.1 as usize) else { return false };
                    rest = after;
                    chunk_id(k_id, part) == chunk.0
                });
                all && rest.is_empty()
            }
        })
}
