//! The walk of last time, read beside this one.

use std::cmp::Ordering;
use std::sync::Arc;

use lifeboat_repo::format::manifest::{self, Tail};
use lifeboat_repo::ids::KeyId;
use lifeboat_repo::repository::index::SegmentNumber;

use super::items::TenantKeys;
use crate::source::Stat;
use crate::state::Table;
use crate::state::records::{Record, WalkReader};

/// Files changed so shortly before the last walk began may have changed again within the same tick of a
/// file system's clock; two seconds is the coarsest in use (FAT).
const RACY: std::time::Duration = std::time::Duration::from_secs(2);

/// The walk of last time, its ordinals translated to this run's.
pub(crate) struct Previous {
    pub(crate) table: Table,
    pub(crate) records: WalkReader,
    /// Keys by the tenant ordinals of last time; none where the tenant's key is another now.
    pub(crate) tenants: Vec<Option<KeyId>>,
    /// Segments by the ordinals of last time; none where the segment is gone.
    pub(crate) segments: Arc<[Option<SegmentNumber>]>,
    pub(crate) next: Option<Record>,
}

/// What the last walk says of an entry.
pub(super) enum Found {
    /// It looks as it did, and all it needs is there.
    Same(Record),
    /// It looks as it did, but something it needs is gone, or is to lie elsewhere.
    Elsewhere,
    /// It is new, or changed, or may have.
    Changed,
}

impl Previous {
    /// The record of last time, if the entry has the head it had and all it needs is there.
    pub(super) fn find(
        &mut self,
        path: &[u8],
        head: &[u8],
        stat: &Stat,
        keys: &TenantKeys,
        tail: &Tail,
    ) -> Found {
        let Some(record) = self.unchanged(path, head, stat, keys, tail) else { return Found::Changed };
        let there = |ordinal| matches!(self.segments.get(ordinal as usize), Some(Some(_)));
        if record.segments().all(there) { Found::Same(record) } else { Found::Elsewhere }
    }

    fn unchanged(
        &mut self,
        path: &[u8],
        head: &[u8],
        stat: &Stat,
        keys: &TenantKeys,
        tail: &Tail,
    ) -> Option<Record> {
        let record = self.seek(path, head)?;
        // What is younger than the last walk may have changed since it was read.
        let fresh = stat.metadata.ctime.plus(RACY) >= self.table.start
            || stat.metadata.mtime.plus(RACY) >= self.table.start;
        let key = self.tenants.get(record.fields.tenant as usize)?.as_ref()?;
        if fresh || !record.fields.stable || *key != keys.card.key {
            return None;
        }
        if let Some(first) = &tail.link {
            // The first name may be another now.
            let mut line = head.to_vec();
            manifest::write_tail(&mut line, 0, &Tail { link: Some(first.clone()), ..Tail::default() });
            if line != record.line() {
                return None;
            }
        }
        Some(record)
    }

    /// The record of this path, if its line begins with this head; everything before it was deleted since.
    fn seek(&mut self, path: &[u8], head: &[u8]) -> Option<Record> {
        loop {
            if self.next.is_none() {
                self.next = self.records.next();
            }
            let next = self.next.as_ref()?;
            // A head holds the path, so comparing paths is for where heads differ.
            if manifest::has_head(next.line(), head) {
                return self.next.take();
            }
            match manifest::order(next.path(), path) {
                Ordering::Less => self.next = None,
                Ordering::Equal => {
                    self.next = None;
                    return None;
                }
                Ordering::Greater => return None,
            }
        }
    }
}
