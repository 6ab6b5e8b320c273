//! The tree to make: entries of all tenants merged, held small.
//!
//! A restore of millions of files keeps one [`Node`] of about 80 bytes and a name for each; what few entries
//! have (attributes, targets, devices) lies beside.

use std::collections::HashMap;

use lifeboat_repo::format::manifest::EntryKind;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::error::RestoreError;
use crate::ids::Owner;

/// The number of the root.
pub(crate) const ROOT: u32 = 0;

/// What is to be made of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A directory that no entry describes: something below it was asked for, it was not.
    Implied,
    /// A directory.
    Dir,
    /// A file without stored content: empty or one hole.
    Bare,
    /// A file that is one chunk.
    Whole,
    /// A file of several parts; the number is its place in the work's `parts`.
    Parts(u32),
    /// A file none of whose content can be found. It is not made.
    Gone,
    /// Another name of the file with this number.
    Link(u32),
    /// A symbolic link.
    Symlink,
    /// A fifo, a socket, a device.
    Special(EntryKind),
}

/// An entry to make.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) parent: u32,
    name_length: u8,
    name_at: usize,
    pub(crate) role: Role,
    /// Whether some of it is a hole.
    pub(crate) sparse: bool,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) size: Bytes,
    /// Its place in the tree's `extras`, if it has any.
    extra: Option<u32>,
}

/// What few entries have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    pub(crate) target: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Value)>,
}

/// The value of an extended attribute.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Known.
    Here(Vec<u8>),
    /// Stored as chunks; the number is its place in the work's `values`.
    Fetched(u32),
    /// Some of it is lost.
    Lost,
}

/// Metadata of a new node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    pub(crate) mtime: Timestamp,
    pub(crate) size: Bytes,
    pub(crate) sparse: bool,
    pub(crate) extra: Option<Extra>,
}

/// The tree to make. A parent's number is below its children's.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    names: Vec<u8>,
    extras: Vec<Extra>,
    owners: Vec<Owner>,
    owner_numbers: HashMap<Owner, u32>,
    dirs: HashMap<Vec<u8>, u32>,
    last_dir: (Vec<u8>, u32),
}

impl Tree {
    pub(crate) fn new() -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            names: Vec::new(),
            extras: Vec::new(),
            owners: Vec::new(),
            owner_numbers: HashMap::new(),
            dirs: HashMap::from([(b".".to_vec(), ROOT)]),
            last_dir: (b".".to_vec(), ROOT),
        };
        let owner = tree.owner_number(Owner::default());
        tree.nodes.push(Node {
            parent: ROOT,
            name_length: 0,
            name_at: 0,
            role: Role::Implied,
            sparse: false,
            mode: 0,
            owner,
            mtime: Timestamp::default(),
            size: Bytes::ZERO,
            extra: None,
        });
        tree
    }

    /// Every node by its number.
    pub(crate) fn nodes(&self) -> impl DoubleEndedIterator<Item = (u32, &Node)> + ExactSizeIterator {
        // Numbers fit: `push` refuses what would not.
        self.nodes.iter().enumerate().map(|(at, node)| (u32::try_from(at).unwrap_or(u32::MAX), node))
    }

    pub(crate) fn node(&self, number: u32) -> Option<&Node> {
        self.nodes.get(number as usize)
    }

    pub(crate) fn set_role(&mut self, number: u32, role: Role) {
        if let Some(node) = self.nodes.get_mut(number as usize) {
            node.role = role;
        }
    }

    pub(crate) fn name(&self, node: &Node) -> &[u8] {
        self.names.get(node.name_at..node.name_at + usize::from(node.name_length)).unwrap_or_default()
    }

    pub(crate) fn extra(&self, node: &Node) -> Option<&Extra> {
        self.extras.get(node.extra? as usize)
    }

    pub(crate) fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// The full path of a node; `.` is the root.
    pub(crate) fn path(&self, number: u32) -> Vec<u8> {
        self.path_below(ROOT, number)
    }

    /// The path of a node relative to one above it.
    pub(crate) fn path_below(&self, above: u32, number: u32) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = number;
        while at != above && at != ROOT {
            let Some(node) = self.node(at) else { break };
            parts.push(self.name(node));
            at = node.parent;
        }
        parts.reverse();
        if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') }
    }

    /// The number that the next new node gets.
    pub(crate) fn next_number(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The number that an entry at this path gets; the directories it needs are implied.
    ///
    /// # Errors
    /// There are too many entries.
    pub(crate) fn place_of(&mut self, path: &[u8], is_dir: bool) -> Result<u32, RestoreError> {
        if is_dir {
            return self.dir(path);
        }
        self.dir(split(path).0)?;
        Ok(self.next_number())
    }

    /// Adds a directory, or describes one that something below it implied.
    ///
    /// # Errors
    /// Another entry described it, or there are too many entries.
    pub(crate) fn add_dir(&mut self, path: &[u8], look: Look) -> Result<u32, RestoreError> {
        let number = self.dir(path)?;
        let owner = self.owner_number(look.owner);
        let extra = self.push_extra(look.extra);
        match self.nodes.get_mut(number as usize) {
            Some(node) if node.role == Role::Implied => {
                node.role = Role::Dir;
                node.mode = look.mode;
                node.mtime = look.mtime;
                node.owner = owner;
                node.extra = extra;
                Ok(number)
            }
            _ => Err(RestoreError::damaged("manifest", "two entries describe the same directory")),
        }
    }

    /// Adds something else than a directory.
    ///
    /// # Errors
    /// There are too many entries.
    pub(crate) fn add_leaf(&mut self, path: &[u8], role: Role, look: Look) -> Result<u32, RestoreError> {
        let (parent, name) = split(path);
        let parent = self.dir(parent)?;
        self.push(parent, name, role, look)
    }

    /// The tree of those files alone, with the directories they lie in, which nothing describes; and the new number of
    /// each file.
    pub(crate) fn files_alone(self, wanted: impl Fn(u32, &Node) -> bool) -> (Self, HashMap<u32, u32>) {
        let mut needed = vec![false; self.nodes.len()];
        for (number, node) in self.nodes().rev() {
            let here = needed.get(number as usize).copied().unwrap_or(false) || wanted(number, node);
            if here {
                // A parent's number is below its children's, so that it is still to come.
                needed.iter_mut().skip(number as usize).take(1).for_each(|slot| *slot = true);
                needed.iter_mut().skip(node.parent as usize).take(1).for_each(|slot| *slot = true);
            }
        }
        let mut numbers: Vec<u32> = Vec::with_capacity(self.nodes.len());
        let (mut nodes, mut files): (Vec<Node>, _) = (Vec::new(), HashMap::new());
        for ((number, node), needed) in self.nodes().zip(needed) {
            // Every new number is at most the old one.
            let new = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            numbers.push(new);
            if !needed && number != ROOT {
                continue;
            }
            let parent = numbers.get(node.parent as usize).copied().unwrap_or(ROOT);
            if matches!(node.role, Role::Dir | Role::Implied) {
                nodes.push(Node { parent, role: Role::Implied, sparse: false, extra: None, ..*node });
            } else {
                nodes.push(Node { parent, ..*node });
                files.insert(number, new);
            }
        }
        (Self { nodes, dirs: HashMap::new(), last_dir: (b".".to_vec(), ROOT), ..self }, files)
    }

    /// The numbers of what lies at these paths and is no directory, of those that came from number `start` on.
    pub(crate) fn find_files<'p>(
        &self,
        start: u32,
        paths: impl Iterator<Item = &'p [u8]>,
    ) -> HashMap<&'p [u8], u32> {
        let wanted: HashMap<(u32, &[u8]), &'p [u8]> = paths
            .filter_map(|path| {
                let (parent, name) = split(path);
                self.dirs.get(parent).map(|parent| ((*parent, name), path))
            })
            .collect();
        if wanted.is_empty() {
            return HashMap::new();
        }
        let files = self
            .nodes()
            .skip(start as usize)
            .filter(|(_, node)| !matches!(node.role, Role::Implied | Role::Dir | Role::Link(_)));
        files
            .filter_map(|(number, node)| {
                wanted.get(&(node.parent, self.name(node))).map(|path| (*path, number))
            })
            .collect()
    }

    /// The directory at a path; it and those above it are implied where they are not there.
    fn dir(&mut self, path: &[u8]) -> Result<u32, RestoreError> {
        if self.last_dir.0 == path {
            return Ok(self.last_dir.1);
        }
        let number = match self.dirs.get(path) {
            Some(number) => *number,
            None => {
                let (parent, name) = split(path);
                let parent = self.dir(parent)?;
                let number = self.push(parent, name, Role::Implied, Look::default())?;
                self.dirs.insert(path.to_vec(), number);
                number
            }
        };
        self.last_dir.0.clear();
        self.last_dir.0.extend_from_slice(path);
        self.last_dir.1 = number;
        Ok(number)
    }

    fn push(&mut self, parent: u32, name: &[u8], role: Role, look: Look) -> Result<u32, RestoreError> {
        let number = Some(self.next_number()).filter(|number| *number != u32::MAX);
        let number = number.ok_or_else(|| {
            RestoreError::refused("restore", "more than 2^32 entries at once; restore it in parts, by path")
        })?;
        // Longer parts never pass a manifest's decoder.
        let name_length = u8::try_from(name.len())
            .map_err(|_| RestoreError::damaged("manifest", "a name is longer than 255 bytes"))?;
        let name_at = self.names.len();
        self.names.extend_from_slice(name);
        let owner = self.owner_number(look.owner);
        let extra = self.push_extra(look.extra);
        self.nodes.push(Node {
            parent,
            name_length,
            name_at,
            role,
            sparse: look.sparse,
            mode: look.mode,
            owner,
            mtime: look.mtime,
            size: look.size,
            extra,
        });
        Ok(number)
    }

    fn push_extra(&mut self, extra: Option<Extra>) -> Option<u32> {
        let number = u32::try_from(self.extras.len()).ok()?;
        self.extras.push(extra?);
        Some(number)
    }

    fn owner_number(&mut self, owner: Owner) -> u32 {
        // Neighbours mostly have the same owner.
        let last = self.nodes.last().map_or(0, |node| node.owner);
        if self.owners.get(last as usize) == Some(&owner) {
            return last;
        }
        if let Some(number) = self.owner_numbers.get(&owner) {
            return *number;
        }
        let number = u32::try_from(self.owners.len()).unwrap_or(u32::MAX);
        self.owners.push(owner.clone());
        self.owner_numbers.insert(owner, number);
        number
    }
}

/// A path's directory and its last part.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b".", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_meet_in_one_tree_in_any_order() {
        let mut tree = Tree::new();
        let file = tree.add_leaf(b"t/4711/a", Role::Bare, Look::default()).unwrap();
        let dir = tree.add_dir(b"t", Look { mode: 0o755, ..Look::default() }).unwrap();
        assert_eq!(tree.path(file), b"t/4711/a");
        assert_eq!(tree.path(ROOT), b".");
        assert_eq!(tree.path_below(dir, file), b"4711/a");
        assert!(tree.nodes().all(|(number, node)| number == ROOT || node.parent < number));
        let roles: Vec<_> = tree.nodes().map(|(_, node)| node.role).collect();
        assert_eq!(roles, [Role::Implied, Role::Dir, Role::Implied, Role::Bare]);
        assert!(tree.add_dir(b"t", Look::default()).is_err());
    }

    #[test]
    fn files_are_found_by_their_paths() {
        let mut tree = Tree::new();
        let one = tree.add_leaf(b"a/x", Role::Whole, Look::default()).unwrap();
        tree.add_leaf(b"b/x", Role::Symlink, Look::default()).unwrap();
        tree.add_dir(b"d", Look::default()).unwrap();
        let found = tree.find_files(0, [b"a/x".as_slice(), b"b", b"c/x", b"d"].into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(b"a/x".as_slice(), one)]);
    }
}
