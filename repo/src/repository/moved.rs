//! Where maintainers moved segments to: what lets a writer go on deduplicating into segments of packs that are condemned.
//! FORMAT.md §8, §11.

use std::collections::{BTreeSet, HashMap};

use crate::ids::{Label, ObjectName, PackId, SegmentId};
use crate::repository::agent::Agent;
use crate::repository::gc::Condemned;
use crate::repository::{RepositoryError, index};
use crate::units::Bytes;

/// Other places of segments.
#[derive(Debug, Default)]
pub struct Moved {
    packs: HashMap<SegmentId, PackId>,
}

impl Moved {
    /// Reads the index objects of maintainers, as far as their packs are `present`, at the length they say.
    ///
    /// # Errors
    /// The store failed. What is damaged is passed over: what only it knows is stored again.
    pub(crate) fn load(
        agent: &Agent<'_>,
        condemned: &Condemned,
        present: &HashMap<PackId, Bytes>,
    ) -> Result<Self, RepositoryError> {
        let repository = agent.repository();
        let revoked: BTreeSet<&Label> = repository.trust().header.cutoffs.keys().collect();
        let mut moved = Self::default();
        for maintainer in repository.trust().maintainers() {
            if revoked.contains(&maintainer) {
                continue;
            }
            let names = index::names_of(repository, &maintainer)?.into_iter();
            let names: Vec<ObjectName> = names.filter(|name| !condemned.index(name)).collect();
            let _ahead = repository.expect(names.iter().cloned());
            for name in names {
                let index = match index::read(repository, agent.catalog(), &name) {
                    Ok(index) => index,
                    Err(error) if error.is_damage() => {
                        tracing::warn!(%error, "passed over; what only it knows is stored again");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let whole: BTreeSet<PackId> = index
                    .header
                    .packs
                    .iter()
                    .filter(|pack| present.get(&pack.0) == Some(&pack.1))
                    .map(|pack| pack.0)
                    .collect();
                let there = index.segments.iter().filter_map(|line| Some((line.segment, line.pack?)));
                moved.packs.extend(there.filter(|(_, pack)| whole.contains(pack)));
            }
        }
        Ok(moved)
    }

    /// A pack that is there and that holds the segment.
    #[must_use]
    pub fn find(&self, segment: &SegmentId) -> Option<PackId> {
        self.packs.get(segment).copied()
    }
}
