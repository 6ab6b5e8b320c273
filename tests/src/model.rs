//! A tree as a naive person sees it: what a restore is compared with.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lifeboat_repo::crypto::hash::sha256;
use lifeboat_repo::format::text;

/// Differences that are named; more do not help anybody.
const NAMED: usize = 12;

/// Everything beneath a directory, itself included as `.`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(BTreeMap<Vec<u8>, Seen>);

/// One entry, with everything that must come back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    what: What,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Directory,
    File {
        length: u64,
        sha256: [u8; 32],
        /// The first name of the same file, this one included.
        first: Vec<u8>,
    },
    Symlink(Vec<u8>),
    Other(u64),
}

impl Tree {
    /// Reads a tree. Names of one file in different tenants (beneath `tenants/`) are different files, since
    /// nothing is shared between tenants.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.add(root, b".".to_vec(), &mut HashMap::new());
        tree
    }

    /// Entries, the root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is not even a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What differs between this and what should be the same; empty where nothing does.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let paths = self.0.keys().chain(found.0.keys().filter(|path| !self.0.contains_key(*path)));
        let different = paths.filter_map(|path| {
            let (was, is) = (self.0.get(path), found.0.get(path));
            (was != is).then(|| format!("{}: {was:?} came back as {is:?}", text::display(path)))
        });
        different.take(NAMED).collect()
    }

    fn add(&mut self, at: &Path, path: Vec<u8>, firsts: &mut HashMap<(Vec<u8>, u64), Vec<u8>>) {
        let meta = fs::symlink_metadata(at).expect("metadata");
        let kind = meta.file_type();
        let what = if kind.is_dir() {
            What::Directory
        } else if kind.is_file() {
            let first = firsts.entry((tenant_of(&path), meta.ino())).or_insert_with(|| path.clone()).clone();
            let bytes = fs::read(at).expect("content");
            What::File { length: bytes.len() as u64, sha256: sha256(&bytes), first }
        } else if kind.is_symlink() {
            What::Symlink(fs::read_link(at).expect("a target").into_os_string().into_vec())
        } else {
            What::Other(meta.rdev())
        };
        if kind.is_dir() {
            let mut names: Vec<Vec<u8>> = fs::read_dir(at)
                .expect("entries")
                .map(|entry| entry.expect("an entry").file_name().into_vec())
                .collect();
            names.sort();
            for name in names {
                let below = if path == b"." { name.clone() } else { [path.as_slice(), b"/", &name].concat() };
                self.add(&at.join(OsStr::from_bytes(&name)), below, firsts);
            }
        }
        self.0.insert(
            path,
            Seen { what, mode: meta.mode(), owner: (meta.uid(), meta.gid()), mtime: mtime(&meta) },
        );
    }
}

fn mtime(meta: &Metadata) -> (i64, i64) {
    (meta.mtime(), meta.mtime_nsec())
}

fn tenant_of(path: &[u8]) -> Vec<u8> {
    let mut parts = path.split(|byte| *byte == b'/');
    match (parts.next(), parts.next()) {
        (Some(b"tenants"), Some(tenant)) => tenant.to_vec(),
        _ => Vec::new(),
    }
}

/// Bytes that do not compress, the same for the same seed (xorshift).
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}
