//! Packs that no index object names: what a run or a collector left that was cut off, or what an index object named that
//! is lost.

use std::collections::HashSet;

use super::held::{each_index, read_table};
use super::live::Live;
use super::plan::{LeftOut, WhyLeft};
use super::tally::PackAge;
use crate::ids::{PackId, SegmentId};
use crate::observe::{Event, Observer};
use crate::repository::catalog::Catalog;
use crate::repository::{Repository, RepositoryError};

/// Which of these packs stay: by their own tables they hold something live that no index object knows elsewhere, or their
/// tables cannot be read. `standing` are all packs that are there and not condemned.
pub(super) fn to_be_left(
    repository: &Repository,
    catalog: &Catalog,
    live: &Live,
    unnamed: &[PackAge],
    standing: &HashSet<PackId>,
    observer: &dyn Observer,
) -> Result<Vec<LeftOut>, RepositoryError> {
    let mut left = Vec::new();
    let mut holders: Vec<(PackId, Vec<SegmentId>)> = Vec::new();
    for pack in unnamed {
        match read_table(repository, catalog, pack.pack, pack.length) {
            Ok(lines) => {
                let needed = lines.iter().map(|line| line.segment).filter(|id| live.contains(id.prefix()));
                holders.push((pack.pack, needed.collect()));
            }
            Err(error) if error.is_missing() => {}
            Err(error) if error.is_damage() => {
                left.push(LeftOut { pack: pack.pack, why: WhyLeft::Unreadable(error.kind.to_string()) });
            }
            Err(error) => return Err(error),
        }
    }
    let mut nowhere: HashSet<SegmentId> = holders.iter().flat_map(|(_, needed)| needed).copied().collect();
    if !nowhere.is_empty() {
        observer.tell(Event::Phase("looking for what packs hold that no index names"));
        each_index(repository, catalog, observer, |_, index| {
            for line in index.segments {
                if line.pack.is_some_and(|pack| standing.contains(&pack)) {
                    nowhere.remove(&line.segment);
                }
            }
        })?;
    }
    let lost = holders.into_iter().filter(|(_, needed)| needed.iter().any(|id| nowhere.contains(id)));
    left.extend(lost.map(|(pack, _)| LeftOut { pack, why: WhyLeft::IndexLost }));
    Ok(left)
}
