//! The entries of several shares as one stream, in the order of paths.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use lifeboat_repo::format::manifest::{Entry, order};

use crate::error::RestoreError;
use crate::report::Loss;
use crate::shares::{self, Entries, ManifestReader, OpenShare};

/// With more shares than this, one that has only begun is closed again until its turn: 40,000 tenants have 40,000
/// first entries, and mostly one tenant's tree ends before the next begins.
const OPEN_MAX: usize = 64;

/// Shares being read side by side.
pub(super) struct Merged<'s> {
    heap: BinaryHeap<Reverse<Slot<'s>>>,
    pub(super) losses: Vec<Loss>,
}

struct Slot<'s> {
    /// The path of the next entry.
    path: Vec<u8>,
    one: &'s OpenShare<'s>,
    /// The next entry and what follows; none while the share is closed before its first.
    open: Option<(Entry, Entries<'s>)>,
}

impl<'s> Merged<'s> {
    /// # Errors
    /// Somebody asked to stop.
    pub(super) fn begin(
        shares: &[&'s OpenShare<'s>],
        reader: &mut ManifestReader<'_>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Self, RestoreError> {
        let mut merged = Self { heap: BinaryHeap::with_capacity(shares.len()), losses: Vec::new() };
        let many = shares.len() > OPEN_MAX;
        for one in shares {
            if cancelled() {
                return Err(RestoreError::cancelled());
            }
            merged.put(Entries::new(one), reader, !many);
        }
        Ok(merged)
    }

    /// The next entry and whose it is. A share that cannot be read on ends there and is noted as a loss.
    pub(super) fn next(&mut self, reader: &mut ManifestReader<'_>) -> Option<(&'s OpenShare<'s>, Entry)> {
        loop {
            let Reverse(slot) = self.heap.pop()?;
            match slot.open {
                Some((entry, entries)) => {
                    self.put(entries, reader, true);
                    return Some((slot.one, entry));
                }
                None => self.put(Entries::new(slot.one), reader, true),
            }
        }
    }

    fn put(&mut self, mut entries: Entries<'s>, reader: &mut ManifestReader<'_>, keep_open: bool) {
        let one = entries.share();
        match entries.next(reader) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                let path = entry.path.clone();
                let open = keep_open.then_some((entry, entries));
                self.heap.push(Reverse(Slot { path, one, open }));
            }
            Err(error) => self.losses.push(shares::lost_share(one.share, Some(&one.key.tenant), &error)),
        }
    }
}

impl Ord for Slot<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.path, &other.path).then_with(|| self.one.share.key.cmp(&other.one.share.key))
    }
}

impl PartialOrd for Slot<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slot<'_> {}
