//! A snapshot beside another of the same component.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use lifeboat_repo::format::manifest::{Entry, EntryKind, Xattr, XattrValue, order};
use lifeboat_repo::format::snapshot::Snapshot;
use lifeboat_repo::ids::{SegmentPrefix, Tenant};
use lifeboat_repo::observe::{Event, Observer};
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::repository::segments::SegmentMap;

use super::merged::Merged;
use super::{Aspect, Change, Compared, Difference, Side, changes, not_read, plain_kind};
use crate::content::{self, Broken};
use crate::error::RestoreError;
use crate::select::{Match, PathMatcher, Selection};
use crate::shares::{self, ManifestReader, OpenShare, Shares};

/// Tells every selected entry in which two snapshots differ: tenant by tenant, in the order of paths.
///
/// A tenant whose manifest is the same in both is not read at all. Files are the same where their chunk ids are;
/// under different tenant keys (another writer made one of the snapshots) ids say nothing, so files of equal length
/// are fetched and compared, unless their times agree too and `contents` is not set.
///
/// # Errors
/// What was asked for is in neither snapshot, the store failed, or somebody asked to stop.
pub fn between(
    recovery: &Recovery<'_>,
    old: &Snapshot,
    new: &Snapshot,
    selection: &Selection,
    contents: bool,
    observer: &dyn Observer,
    show: &mut dyn FnMut(&Difference),
) -> Result<Compared, RestoreError> {
    let matcher = PathMatcher::new(&selection.paths)?;
    let everybody = Selection::default();
    let mut sides = [
        shares::open(recovery, old, &everybody, observer)?,
        shares::open(recovery, new, &everybody, observer)?,
    ];
    observer.tell(Event::Phase("reading the index"));
    let old_map = map_of(recovery, old, &sides)?;
    // One writer's index is read once.
    let other = if old.writer == new.writer { None } else { Some(map_of(recovery, new, &sides)?) };
    let new_map = other.as_ref().unwrap_or(&old_map);
    let mut compared = Compared::default();
    for side in &mut sides {
        compared.losses.append(&mut side.losses);
    }
    let pairs = pair(&sides, selection)?;
    observer.tell(Event::Phase("comparing manifests"));
    let mut work = Work {
        readers: [ManifestReader::new(recovery, &old_map)?, ManifestReader::new(recovery, new_map)?],
        matcher,
        contents,
        observer,
        compared,
        show,
    };
    for (old, new) in pairs.into_values() {
        // With paths to look for, every manifest must be read to know that none is missing.
        if selection.paths.is_empty()
            && let ([a], [b]) = (old.as_slice(), new.as_slice())
            && a.share.key == b.share.key
            && a.share.manifest == b.share.manifest
        {
            work.compared.same += a.share.entries;
            continue;
        }
        work.tenant(&old, &new)?;
    }
    if !work.matcher.matched() && work.compared.losses.is_empty() {
        return Err(RestoreError::refused(
            format!("snapshots {} and {} of {}", old.run, new.run, new.component),
            "neither holds anything at the paths given; `lifeboat ls` shows what there is",
        ));
    }
    Ok(work.compared)
}

/// A tenant's shares on either side.
type Pair<'s> = (Vec<&'s OpenShare<'s>>, Vec<&'s OpenShare<'s>>);

fn pair<'s>(
    sides: &'s [Shares<'s>; 2],
    selection: &Selection,
) -> Result<BTreeMap<&'s Tenant, Pair<'s>>, RestoreError> {
    let [old, new] = sides;
    let mut pairs: BTreeMap<&Tenant, Pair<'_>> = BTreeMap::new();
    let wanted =
        |one: &&OpenShare<'_>| selection.tenants.is_empty() || selection.tenants.contains(&one.key.tenant);
    for one in old.open.iter().filter(wanted) {
        pairs.entry(&one.key.tenant).or_default().0.push(one);
    }
    for one in new.open.iter().filter(wanted) {
        pairs.entry(&one.key.tenant).or_default().1.push(one);
    }
    let absent = selection.tenants.iter().find(|tenant| !pairs.contains_key(tenant));
    match absent {
        Some(tenant) if old.losses.is_empty() && new.losses.is_empty() => {
            Err(RestoreError::refused(format!("tenant {tenant}"), "neither snapshot has data of that name"))
        }
        _ => Ok(pairs),
    }
}

/// The segments that either snapshot needs of the writer of one of them.
fn map_of(
    recovery: &Recovery<'_>,
    snapshot: &Snapshot,
    sides: &[Shares<'_>; 2],
) -> Result<SegmentMap, RestoreError> {
    let open = sides.iter().flat_map(|side| &side.open);
    let wanted: HashSet<SegmentPrefix> = open.flat_map(|one| one.share.segments.iter().copied()).collect();
    Ok(SegmentMap::load(recovery.repository(), recovery.catalog(), &snapshot.writer, &wanted)?)
}

struct Work<'w, 'm> {
    /// Of the old side and the new.
    readers: [ManifestReader<'m>; 2],
    matcher: PathMatcher,
    contents: bool,
    observer: &'w dyn Observer,
    compared: Compared,
    show: &'w mut dyn FnMut(&Difference),
}

/// An entry and the share it stands in.
type Of<'s> = (&'s OpenShare<'s>, Entry);

impl Work<'_, '_> {
    fn tenant<'s>(
        &mut self,
        old: &[&'s OpenShare<'s>],
        new: &[&'s OpenShare<'s>],
    ) -> Result<(), RestoreError> {
        let observer = self.observer;
        let cancelled = || observer.cancelled();
        let [old_reader, new_reader] = &mut self.readers;
        let mut left = Merged::begin(old, old_reader, &cancelled)?;
        let mut right = Merged::begin(new, new_reader, &cancelled)?;
        let (mut a, mut b) = (left.next(old_reader), right.next(new_reader));
        loop {
            if cancelled() {
                return Err(RestoreError::cancelled());
            }
            let side = match (&a, &b) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((_, a)), Some((_, b))) => order(&a.path, &b.path),
            };
            let was = if side.is_le() { a.take() } else { None };
            let is = if side.is_ge() { b.take() } else { None };
            let path = was.as_ref().or(is.as_ref()).map(|(_, entry)| entry.path.as_slice());
            if path.is_some_and(|path| self.matcher.judge(path) == Match::Selected) {
                self.entries(was.as_ref(), is.as_ref())?;
            }
            let [old_reader, new_reader] = &mut self.readers;
            if side.is_le() {
                a = left.next(old_reader);
            }
            if side.is_ge() {
                b = right.next(new_reader);
            }
        }
        self.compared.losses.append(&mut left.losses);
        self.compared.losses.append(&mut right.losses);
        Ok(())
    }

    fn entries(&mut self, was: Option<&Of<'_>>, is: Option<&Of<'_>>) -> Result<(), RestoreError> {
        let Some((one, any)) = was.or(is) else { return Ok(()) };
        let unread = [was, is].into_iter().flatten().find_map(|(_, entry)| not_read(entry));
        let change = match (unread, was, is) {
            (Some(unread), _, _) => unread,
            (None, Some(was), Some(is)) => match self.pair(was, is)? {
                Change::Changed(aspects) if aspects.is_empty() => {
                    self.compared.same += 1;
                    return Ok(());
                }
                change => change,
            },
            (None, None, _) => Change::Added,
            (None, _, None) => Change::Removed,
        };
        let difference = Difference {
            tenant: Some(one.key.tenant.clone()),
            path: any.path.clone(),
            change,
            old: was.and_then(|(_, entry)| Side::of(entry)),
            new: is.and_then(|(_, entry)| Side::of(entry)),
        };
        self.compared.count(&difference);
        (self.show)(&difference);
        Ok(())
    }

    fn pair(&mut self, was: &Of<'_>, is: &Of<'_>) -> Result<Change, RestoreError> {
        let mut aspects = changes(&was.1, &is.1);
        if plain_kind(was.1.kind) != plain_kind(is.1.kind) {
            return Ok(Change::Changed(aspects));
        }
        let found = self.content(was, is).and_then(|content| Ok((content, self.xattrs(was, is)?)));
        match found {
            Ok((same_content, same_xattrs)) => {
                aspects.extend((!same_content).then_some(Aspect::Content));
                aspects.extend((!same_xattrs).then_some(Aspect::Xattrs));
                aspects.sort_unstable();
                Ok(Change::Changed(aspects))
            }
            Err(Broken::Stopped(error)) => Err(error),
            Err(Broken::Stored(error)) => Ok(Change::Unread(error.to_string())),
        }
    }

    /// Whether two files hold the same bytes.
    fn content(&mut self, was: &Of<'_>, is: &Of<'_>) -> Result<bool, Broken> {
        let ((old, a), (new, b)) = (was, is);
        if a.size != b.size {
            return Ok(false);
        }
        if a.kind != EntryKind::File || b.kind != EntryKind::File {
            // Another name has no content of its own; its file is compared where it stands.
            return Ok(true);
        }
        if old.share.key == new.share.key {
            return Ok(a.tail.chunks == b.tail.chunks && a.tail.holes == b.tail.holes);
        }
        if a.metadata.mtime == b.metadata.mtime && !self.contents {
            return Ok(true);
        }
        let [old_reader, new_reader] = &mut self.readers;
        let was = content::digest(old_reader, old, a, self.observer)?;
        Ok(was == content::digest(new_reader, new, b, self.observer)?)
    }

    fn xattrs(&mut self, was: &Of<'_>, is: &Of<'_>) -> Result<bool, Broken> {
        let ((old, a), (new, b)) = (was, is);
        // They are told with the first name of a file only.
        if a.kind != b.kind || a.kind == EntryKind::Hardlink {
            return Ok(true);
        }
        if old.share.key == new.share.key {
            return Ok(a.tail.xattrs == b.tail.xattrs);
        }
        let [old_reader, new_reader] = &mut self.readers;
        let was = values(old_reader, old, &a.tail.xattrs).map_err(Broken::Stored)?;
        Ok(was == values(new_reader, new, &b.tail.xattrs).map_err(Broken::Stored)?)
    }
}

/// Attributes with their values, fetched where they are long.
fn values(
    reader: &mut ManifestReader<'_>,
    one: &OpenShare<'_>,
    xattrs: &[Xattr],
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, RepositoryError> {
    let mut found = BTreeMap::new();
    for xattr in xattrs {
        let value = match &xattr.value {
            XattrValue::Inline(value) => value.clone(),
            XattrValue::Chunks(chunks) => {
                let mut value = Vec::new();
                for chunk in chunks {
                    value.extend_from_slice(reader.chunk(one, chunk)?);
                }
                value
            }
        };
        found.insert(xattr.name.clone(), value);
    }
    Ok(found)
}
