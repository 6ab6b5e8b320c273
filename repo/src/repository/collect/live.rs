//! What is live: the segments that snapshots need.

use std::collections::HashSet;

use crate::ids::{ObjectName, SegmentPrefix};
use crate::repository::catalog::Catalog;
use crate::repository::gc::Condemned;
use crate::repository::snapshots::{Judge, Listed};
use crate::repository::{Repository, RepositoryError};

/// As many names are told of what keeps collection from knowing what is live.
const NAMED: usize = 5;

/// The segments that snapshots need, by their prefixes: 8 bytes each, however many snapshots need one.
#[derive(Clone, Debug, Default)]
pub struct Live {
    sorted: Vec<SegmentPrefix>,
    fresh: Vec<SegmentPrefix>,
}

impl Live {
    /// Reads every snapshot that counts, is not recorded yet, or is void although its writer signed it.
    ///
    /// # Errors
    /// The store failed; or a snapshot cannot be read, or is gone although its ledger names it: what it needs cannot be
    /// told then, and nothing may be collected.
    pub fn load(repository: &Repository, catalog: &Catalog) -> Result<Self, RepositoryError> {
        let judge = Judge::new(repository, catalog)?;
        let mut live = Self::default();
        let mut there = HashSet::new();
        let mut unknown: Vec<(ObjectName, String)> = Vec::new();
        judge.each(None, |listed| {
            there.insert(listed.name.clone());
            if let Err(why) = live.add(&listed, judge.condemned()) {
                unknown.push((listed.name, why));
            }
        })?;
        unknown.extend(judge.missing(&there).into_iter().map(|name| (name, "it is missing".to_owned())));
        if let Some((first, _)) = unknown.first() {
            let told: Vec<String> =
                unknown.iter().take(NAMED).map(|(name, why)| format!("{name}: {why}")).collect();
            let more = unknown.len().saturating_sub(NAMED);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(RepositoryError::damaged(
                first.as_str(),
                format!(
                    "what it needs cannot be told, so nothing may be collected ({}{more}); heal it with \
                     `lifeboat repair`, or expire it: `lifeboat retain COMPONENT --snapshot SNAPSHOT`",
                    told.join("; ")
                ),
            ));
        }
        live.settle();
        Ok(live)
    }

    /// These segments.
    #[must_use]
    pub fn of(prefixes: impl IntoIterator<Item = SegmentPrefix>) -> Self {
        let mut live = Self { sorted: Vec::new(), fresh: prefixes.into_iter().collect() };
        live.settle();
        live
    }

    /// Whether a snapshot needs such a segment.
    #[must_use]
    pub fn contains(&self, prefix: SegmentPrefix) -> bool {
        self.sorted.binary_search(&prefix).is_ok()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether nothing is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Takes what a snapshot needs, without the keys that are expired in it.
    ///
    /// # Errors
    /// It cannot be told; the text says why.
    fn add(&mut self, listed: &Listed, condemned: &Condemned) -> Result<(), String> {
        use crate::repository::snapshots::Standing;
        let snapshot = match (&listed.standing, &listed.snapshot) {
            (Standing::Expired | Standing::Fenced, _) => return Ok(()),
            // One that does not count may count again once its run object or its ledger is healed.
            (Standing::Counts | Standing::Unrecorded | Standing::Void(_), Some(snapshot)) => snapshot,
            (Standing::Void(why), None) => return Err(why.clone()),
            (Standing::Counts | Standing::Unrecorded, None) => return Err("it was not read".to_owned()),
        };
        for share in snapshot.keys.iter().filter(|share| !condemned.key(&listed.name, share.key)) {
            self.fresh.extend_from_slice(&share.segments);
        }
        // Snapshots mostly need the same.
        if self.fresh.len() > self.sorted.len() {
            self.settle();
        }
        Ok(())
    }

    fn settle(&mut self) {
        self.sorted.append(&mut self.fresh);
        self.sorted.sort_unstable();
        self.sorted.dedup();
    }
}
