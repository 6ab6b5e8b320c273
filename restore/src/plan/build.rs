//! From entries of manifests to work.

use std::collections::HashMap;
use std::sync::Arc;

use lifeboat_repo::format::index::ChunkRef;
use lifeboat_repo::format::manifest::{Entry, EntryKind, Xattr, XattrValue};
use lifeboat_repo::format::text;
use lifeboat_repo::ids::KeyId;
use lifeboat_repo::repository::RepositoryError;
use lifeboat_repo::repository::recover::TenantKey;
use lifeboat_repo::units::Bytes;

use super::stretch::{Stretch, stretches};
use crate::error::RestoreError;
use crate::ids::Owner;
use crate::report::{Findings, Loss, LossKind, Severity};
use crate::select::{Match, PathMatcher};
use crate::tree::{Extra, Look, Role, Tree, Value};
use crate::work::{Locate, PartsOf, Sink, Use, ValueOf, Work};

/// Takes the entries of one share after another.
pub(crate) struct Builder<'m> {
    matcher: PathMatcher,
    locate: &'m dyn Locate,
    tree: Tree,
    keys: HashMap<KeyId, Arc<TenantKey>>,
    key: Option<Arc<TenantKey>>,
    /// The first node of the present share: no name is tied to a file of another tenant.
    share_start: u32,
    uses: Vec<Use>,
    parts: Vec<PartsOf>,
    values: Vec<ValueOf>,
    sparse: HashMap<u32, Bytes>,
    entries: u64,
    files: u64,
    bytes: Bytes,
    findings: Findings,
    pub(crate) losses: Vec<Loss>,
    pub(crate) not_selected: u64,
    /// Chunks of the present share that no index names.
    unplaced: Option<Loss>,
    /// Further names of files of the present share.
    links: Vec<Link>,
    /// Those whose file was not asked for.
    wanting: HashMap<Vec<u8>, Vec<Link>>,
}

/// Everything the entries came to.
pub(crate) struct Built {
    pub(crate) work: Work,
    pub(crate) entries: u64,
    pub(crate) files: u64,
    pub(crate) bytes: Bytes,
    pub(crate) findings: Findings,
    pub(crate) losses: Vec<Loss>,
}

struct Link {
    path: Vec<u8>,
    first: Vec<u8>,
}

impl<'m> Builder<'m> {
    pub(crate) fn new(matcher: PathMatcher, locate: &'m dyn Locate) -> Self {
        Self {
            matcher,
            locate,
            tree: Tree::new(),
            keys: HashMap::new(),
            key: None,
            share_start: 0,
            uses: Vec::new(),
            parts: Vec::new(),
            values: Vec::new(),
            sparse: HashMap::new(),
            entries: 0,
            files: 0,
            bytes: Bytes::ZERO,
            findings: Findings::default(),
            losses: Vec::new(),
            not_selected: 0,
            unplaced: None,
            links: Vec::new(),
            wanting: HashMap::new(),
        }
    }

    /// Notes index objects that are damaged. What only they knew is lost and named as such.
    pub(crate) fn note_unreadable(&mut self, errors: &[RepositoryError]) {
        for error in errors {
            let what = format!("{error}; what no other index object names is lost");
            self.findings.add(Severity::Warning, || (b".".to_vec(), what));
        }
    }

    /// Begins a share.
    pub(crate) fn begin(&mut self, key: &Arc<TenantKey>) {
        self.keys.insert(key.key, Arc::clone(key));
        self.key = Some(Arc::clone(key));
        self.share_start = self.tree.next_number();
    }

    /// Takes an entry of the share.
    ///
    /// # Errors
    /// It contradicts another, or there are too many.
    pub(crate) fn take(&mut self, entry: Entry) -> Result<(), RestoreError> {
        match self.matcher.judge(&entry.path) {
            Match::Selected => {}
            Match::Above if entry.kind == EntryKind::Dir => {}
            Match::Above | Match::No => {
                self.not_selected += 1;
                return Ok(());
            }
        }
        match entry.kind {
            EntryKind::Error => {
                let why = entry.tail.error.unwrap_or_default();
                let what =
                    format!("it could not be read when it was backed up: {}", text::display(why.as_bytes()));
                self.findings.add(Severity::Warning, || (entry.path, what));
                return Ok(());
            }
            EntryKind::Hardlink => {
                self.links.push(Link { path: entry.path, first: entry.tail.link.unwrap_or_default() });
                return Ok(());
            }
            EntryKind::File => self.file(entry)?,
            EntryKind::Dir => {
                if let Some(why) = &entry.tail.error {
                    let why = text::display(why.as_bytes());
                    let what = format!("what was in it is missing, as when it was backed up {why}");
                    self.findings.add(Severity::Warning, || (entry.path.clone(), what));
                }
                let (path, look) = self.look(entry)?;
                self.tree.add_dir(&path, look)?;
            }
            EntryKind::Symlink => self.leaf(entry, Role::Symlink)?,
            EntryKind::Fifo | EntryKind::Socket | EntryKind::Char | EntryKind::Block => {
                let role = Role::Special(entry.kind);
                self.leaf(entry, role)?;
            }
        }
        self.entries += 1;
        Ok(())
    }

    /// Ties further names to their files; whether some of these were not asked for and must be read again.
    ///
    /// # Errors
    /// There are too many entries.
    pub(crate) fn resolve_links(&mut self) -> Result<bool, RestoreError> {
        let links = std::mem::take(&mut self.links);
        let found = self.tree.find_files(self.share_start, links.iter().map(|link| link.first.as_slice()));
        let firsts: Vec<Option<u32>> =
            links.iter().map(|link| found.get(link.first.as_slice()).copied()).collect();
        for (link, first) in links.into_iter().zip(firsts) {
            match first {
                Some(first) => self.link(&link.path, first)?,
                None => self.wanting.entry(link.first.clone()).or_default().push(link),
            }
        }
        Ok(!self.wanting.is_empty())
    }

    /// Takes an entry again, for names that were asked for although the file's first name was not.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) fn take_linked(&mut self, mut entry: Entry) -> Result<(), RestoreError> {
        let role = match entry.kind {
            EntryKind::File => None,
            EntryKind::Symlink => Some(Role::Symlink),
            EntryKind::Fifo | EntryKind::Socket | EntryKind::Char | EntryKind::Block => {
                Some(Role::Special(entry.kind))
            }
            _ => return Ok(()),
        };
        let Some(links) = self.wanting.remove(&entry.path) else { return Ok(()) };
        let mut paths = links.into_iter().map(|link| link.path);
        let Some(path) = paths.next() else { return Ok(()) };
        entry.path.clone_from(&path);
        match role {
            None => self.file(entry)?,
            Some(role) => self.leaf(entry, role)?,
        }
        self.entries += 1;
        let first = self.tree.next_number() - 1;
        paths.try_for_each(|path| self.link(&path, first))
    }

    /// Ends a share, whether or not all of it was read.
    pub(crate) fn end(&mut self) {
        self.losses.extend(self.unplaced.take());
        let orphans = std::mem::take(&mut self.wanting).into_values().flatten();
        for link in orphans.chain(std::mem::take(&mut self.links)) {
            self.findings.add(Severity::Missing, || {
                let first = text::display(&link.first).into_owned();
                (link.path, format!("it is another name of {first}, which cannot be found"))
            });
        }
        self.key = None;
    }

    /// Reports paths asked for that are not there.
    ///
    /// # Errors
    /// Nothing asked for is there, and nothing is lost that might have held it.
    pub(crate) fn judge_selection(&mut self, what: &str) -> Result<(), RestoreError> {
        let unmatched = self.matcher.unmatched();
        if !self.matcher.matched() && self.losses.is_empty() {
            let shown: Vec<_> = unmatched.iter().map(|path| text::display(path)).collect();
            return Err(RestoreError::refused(
                what,
                format!("it holds nothing at {}; `lifeboat ls` shows what there is", shown.join(", ")),
            ));
        }
        for path in unmatched {
            self.findings.add(Severity::Missing, || (path, "the snapshot holds nothing at this path".into()));
        }
        Ok(())
    }

    /// Everything, sorted for doing.
    pub(crate) fn into_built(self) -> Built {
        let (fetches, uses) = Work::fetches(self.uses, self.locate);
        Built {
            work: Work {
                tree: self.tree,
                keys: self.keys,
                fetches,
                uses,
                parts: self.parts,
                values: self.values,
                sparse: self.sparse,
                again: self.locate.again(),
            },
            entries: self.entries,
            files: self.files,
            bytes: self.bytes,
            findings: self.findings,
            losses: self.losses,
        }
    }

    fn link(&mut self, path: &[u8], first: u32) -> Result<(), RestoreError> {
        self.tree.add_leaf(path, Role::Link(first), Look::default())?;
        self.entries += 1;
        Ok(())
    }

    fn leaf(&mut self, entry: Entry, role: Role) -> Result<(), RestoreError> {
        let (path, look) = self.look(entry)?;
        self.tree.add_leaf(&path, role, look)?;
        Ok(())
    }

    fn file(&mut self, mut entry: Entry) -> Result<(), RestoreError> {
        let chunks = std::mem::take(&mut entry.tail.chunks);
        let holes = std::mem::take(&mut entry.tail.holes);
        if entry.tail.changed {
            let path = entry.path.clone();
            let what = "it kept changing while it was backed up; its content may mix several states";
            self.findings.add(Severity::Warning, || (path, what.into()));
        }
        let uses_before = self.uses.len();
        let (path, mut look) = self.look(entry)?;
        look.sparse = !holes.is_empty();
        let value_uses = self.uses.len() - uses_before;
        let node = self.tree.add_leaf(&path, Role::Bare, look)?;
        if !holes.is_empty() {
            // Whether or not it can be had: all who divide the plan must divide it alike.
            self.sparse.insert(node, chunks.iter().map(ChunkRef::length).sum());
        }
        let mut lost = Bytes::ZERO;
        for stretch in stretches(&chunks, &holes) {
            let length = Bytes(u64::from(stretch.take));
            if self.place(&stretch, Sink::File(node)) {
                self.bytes += length;
            } else {
                lost += length;
            }
        }
        let pieces = self.uses.len() - uses_before;
        let whole = pieces == 1 && value_uses == 0 && holes.is_empty();
        let role = match pieces {
            _ if lost > Bytes::ZERO && pieces == value_uses => Role::Gone,
            0 => Role::Bare,
            1 if whole && lost == Bytes::ZERO => Role::Whole,
            _ => {
                let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
                let pieces = u32::try_from(pieces)
                    .map_err(|_| RestoreError::damaged("manifest", "a file has more than 2^32 chunks"))?;
                self.parts.push(PartsOf { node, pieces, lost });
                Role::Parts(number)
            }
        };
        self.tree.set_role(node, role);
        self.files += u64::from(role != Role::Gone);
        if lost > Bytes::ZERO {
            self.unplaced_path(path, lost);
        }
        Ok(())
    }

    /// What the tree keeps of an entry. The node it is for is the next one, unless it is a directory.
    fn look(&mut self, entry: Entry) -> Result<(Vec<u8>, Look), RestoreError> {
        let node = self.tree.place_of(&entry.path, entry.kind == EntryKind::Dir)?;
        let path = entry.path;
        let mut extra = None;
        if !entry.tail.xattrs.is_empty() || entry.tail.target.is_some() || entry.tail.device.is_some() {
            let xattrs = entry.tail.xattrs.into_iter().map(|xattr| self.xattr(xattr, node, &path)).collect();
            extra = Some(Extra {
                target: entry.tail.target.unwrap_or_default(),
                device: entry.tail.device.unwrap_or_default(),
                xattrs,
            });
        }
        let m = entry.metadata;
        let owner = Owner { uid: m.uid, gid: m.gid, user: m.user, group: m.group };
        Ok((path, Look { mode: m.mode, owner, mtime: m.mtime, size: entry.size, sparse: false, extra }))
    }

    fn xattr(&mut self, xattr: Xattr, node: u32, path: &[u8]) -> (Vec<u8>, Value) {
        let chunks = match xattr.value {
            XattrValue::Inline(value) => return (xattr.name, Value::Here(value)),
            XattrValue::Chunks(chunks) => chunks,
        };
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let before = self.uses.len();
        let mut length = 0_u32;
        for chunk in &chunks {
            let stretch = Stretch { chunk: *chunk, skip: 0, take: chunk.1, offset: u64::from(length) };
            if !self.place(&stretch, Sink::Value(number)) {
                self.uses.truncate(before);
                self.unplaced_path(path.to_vec(), chunk.length());
                return (xattr.name, Value::Lost);
            }
            length = length.saturating_add(chunk.1);
        }
        self.values.push(ValueOf { node, length });
        (xattr.name, Value::Fetched(number))
    }

    /// Notes that a chunk is needed somewhere; whether any index says where it is.
    fn place(&mut self, stretch: &Stretch, sink: Sink) -> bool {
        let Some(key) = self.key.as_ref().map(|key| key.key) else { return false };
        let ChunkRef(id, length) = stretch.chunk;
        let Some(place) = self.locate.find(key, &id).filter(|place| place.length == length) else {
            return false;
        };
        self.uses.push(Use {
            segment: place.segment,
            at: place.offset,
            length,
            skip: stretch.skip,
            take: stretch.take,
            sink,
            offset: stretch.offset,
            id,
        });
        true
    }

    fn unplaced_path(&mut self, path: Vec<u8>, bytes: Bytes) {
        let Some(key) = &self.key else { return };
        let why = "chunks of it are in no index; an index object, or a pack that it spoke of, is lost";
        let loss = self
            .unplaced
            .get_or_insert_with(|| Loss::new(key.key, Some(key.tenant.clone()), LossKind::Damaged, why));
        loss.add_path(|| path);
        loss.bytes += bytes;
    }
}
